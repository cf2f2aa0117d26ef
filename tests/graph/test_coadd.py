"""Coadding: chunks against sums over whole arrays, in any cut of the mosaic."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dmontage.graph import coadd as module
from dmontage.graph.coadd import Part, coadd
from dmontage.window import Window

MOSAIC = Window(0, 150, 0, 90)


def make_parts(n: int = 9) -> list[Part]:
    """Images of many shapes, some over the edge of each other, with holes and thin areas, and a plane each."""
    rng = np.random.default_rng(7)
    parts = []
    for _ in range(n):
        y0, x0 = rng.integers(0, 100), rng.integers(0, 60)
        w = Window(int(y0), int(y0 + rng.integers(10, 50)), int(x0), int(x0 + rng.integers(5, 30)))
        area = rng.choice([0, 0.2, 0.5, 0.75, 1], w.shape).astype(np.float32)
        flux = (rng.normal(-5, 100, w.shape) * area).astype(np.float32)
        parts.append(Part(w, flux, area, rng.normal(0, [10, 0.1, 0.1, 50, 50])))
    return parts


def cut(part: Part, window: Window) -> Part:
    common = part.window & window
    at = common.relative_to(part.window).slices
    return Part(common, part.flux[at], part.area[at], part.plane)


def whole(parts: list[Part]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values, corrected, and areas (n, ny, nx) on the mosaic; NaN and 0 elsewhere."""
    values = np.full((len(parts), *MOSAIC.shape), np.nan)
    areas = np.zeros(values.shape)
    for k, (w, flux, area, plane) in enumerate(parts):
        y, x = np.mgrid[w.slices]
        level, slope_x, slope_y, x0, y0 = plane
        with np.errstate(invalid="ignore"):
            value = flux.astype(float) / area - (level + slope_x * (x - x0) + slope_y * (y - y0))
        values[k][w.slices], areas[k][w.slices] = value, area
    return values, areas


def weighted_median(values: NDArray[np.float64], areas: NDArray[np.float64]) -> float:
    order = np.argsort(values)
    below = np.cumsum(areas[order])
    k = int(np.searchsorted(below, below[-1] / 2))
    tie = below[k] == below[-1] / 2
    return float(values[order[k]] / 2 + values[order[k + 1]] / 2 if tie else values[order[k]])


@pytest.mark.filterwarnings("ignore:All-NaN")
@pytest.mark.parametrize("weights", ["area", "none"])
@pytest.mark.parametrize("combine", ["mean", "median", "count"])
def test_against_whole_arrays(combine: str, weights: str) -> None:
    """C21-C23: with and without weights; a median takes areas above one half only, and its area is theirs."""
    parts = make_parts()
    value, area = coadd(MOSAIC, parts, combine, weights)
    values, areas = whole(parts)
    used = areas > (0.5 if combine == "median" else 0)
    values[~used], areas[~used] = np.nan, 0
    if combine == "count":
        wanted = used.sum(axis=0).astype(float)
    elif combine == "mean":
        w = areas if weights == "area" else used.astype(float)
        with np.errstate(invalid="ignore"):
            wanted = np.nansum(values * w, axis=0) / w.sum(axis=0)
    elif weights == "none":
        wanted = np.nanmedian(values, axis=0)
    else:
        wanted = np.full(MOSAIC.shape, np.nan)
        for at in zip(*np.nonzero(used.any(axis=0)), strict=True):
            mine = used[:, *at]
            wanted[at] = weighted_median(values[:, *at][mine], areas[:, *at][mine])
    np.testing.assert_allclose(value, wanted, rtol=1e-12, atol=1e-10)
    np.testing.assert_array_equal(area, areas.sum(axis=0))  # quarters are exact
    assert (used.sum(axis=0) == 2).any() and not used.any(axis=0).all()


@pytest.mark.parametrize("weights", ["area", "none"])
@pytest.mark.parametrize("combine", ["mean", "median", "count"])
def test_no_bit_depends_on_the_chunk(combine: str, weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """C24: odd chunks, and odd bands of the median's stack."""
    parts = make_parts()
    value, area = coadd(MOSAIC, parts, combine, weights)
    monkeypatch.setattr(module, "_BAND", 7)
    for _, chunk in MOSAIC.blocks((41, 13)):
        mine = [cut(part, chunk) for part in parts if part.window & chunk]
        found = coadd(chunk, mine, combine, weights)
        np.testing.assert_array_equal(found[0], value[chunk.slices])
        np.testing.assert_array_equal(found[1], area[chunk.slices])


def test_images_of_equal_area_count_equally() -> None:
    """C21: images that lie on the grid already (area 1) have a plain mean, with weights or without."""
    rng = np.random.default_rng(0)
    window = Window(3, 8, 2, 9)
    values = rng.normal(size=(51, *window.shape)).astype(np.float32)
    parts = [Part(window, value, np.ones(window.shape, np.float32), np.zeros(5)) for value in values]
    by_area, area = coadd(window, parts, "mean", "area")
    np.testing.assert_array_equal(by_area, coadd(window, parts, "mean", "none")[0])
    np.testing.assert_allclose(by_area, values.astype(float).mean(axis=0), rtol=1e-12, atol=1e-15)
    assert (area == 51).all()


def test_nothing_is_blank_and_not_zero() -> None:
    for combine, blank in (("mean", np.nan), ("median", np.nan), ("count", 0.0)):
        value, area = coadd(Window(0, 4, 0, 5), [], combine, "area")
        np.testing.assert_array_equal(value, np.full((4, 5), blank))
        np.testing.assert_array_equal(area, np.zeros((4, 5)))
