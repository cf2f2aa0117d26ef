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


def with_weights(parts: list[Part], seed: int = 1) -> list[Part]:
    """The same values with weights in pixels and of images, variances, and drops of several sizes; no plane."""
    rng = np.random.default_rng(seed)
    out = []
    for part in parts:
        share = rng.choice([0.5, 1, 4], part.area.shape)
        out.append(
            part._replace(
                flux=(part.flux * share).astype(np.float32), weight=(part.area * share).astype(np.float32),
                variance=rng.uniform(0.1, 5, part.area.shape).astype(np.float32), plane=np.zeros(5),
                factor=float(rng.choice([0.25, 1, 3])), nominal=float(rng.choice([0.3, 0.49, 1])),
            )
        )  # fmt: skip
    return out


def cut(part: Part, window: Window) -> Part:
    common = part.window & window
    at = common.relative_to(part.window).slices
    weight, variance = (None if layer is None else layer[at] for layer in (part.weight, part.variance))
    return part._replace(window=common, flux=part.flux[at], area=part.area[at], weight=weight, variance=variance)


def whole(parts: list[Part]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values, corrected, and areas (n, ny, nx) on the mosaic; NaN and 0 elsewhere."""
    values = np.full((len(parts), *MOSAIC.shape), np.nan)
    areas = np.zeros(values.shape)
    for k, (w, flux, area, plane, *_) in enumerate(parts):
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
    for drawn in (parts, with_weights(parts)):
        variance = drawn[0].variance is not None and combine == "mean"
        monkeypatch.setattr(module, "_BAND", 128)
        uncut = coadd(MOSAIC, drawn, combine, weights, variance=variance)
        monkeypatch.setattr(module, "_BAND", 7)
        for _, chunk in MOSAIC.blocks((41, 13)):
            mine = [cut(part, chunk) for part in drawn if part.window & chunk]
            for found, wanted in zip(coadd(chunk, mine, combine, weights, variance=variance), uncut, strict=True):
                np.testing.assert_array_equal(found, wanted[chunk.slices])


@pytest.mark.parametrize("weights", ["area", "none"])
def test_weighted_means_and_their_variance_pixel_by_pixel(weights: str) -> None:
    """C7, C25: Σ W w v / Σ W w, Σ (W w)² σ² / (Σ W w)², and an area that knows no weight."""
    parts = with_weights(make_parts())
    value, area, variance = coadd(MOSAIC, parts, "mean", weights, variance=True)
    assert coadd(MOSAIC, parts, "mean", weights)[0].tobytes() == value.tobytes()
    for y, x in np.random.default_rng(2).integers(0, MOSAIC.shape, (300, 2)):
        here = [(p, (y - p.window.y0, x - p.window.x0)) for p in parts if Window(y, y + 1, x, x + 1) in p.window]
        mine = [(p, at) for p, at in here if p.area[at] > 0]
        if not mine:
            assert np.isnan(value[y, x]) and np.isnan(variance[y, x]) and area[y, x] == 0
            continue
        w = np.array([float(p.divisor[at]) for p, at in mine])
        s2 = np.array([float(p.variance[at]) for p, at in mine if p.variance is not None])
        v = np.array([p.flux[at] for p, at in mine]) / w
        share = w * [p.factor for p, _ in mine] if weights == "area" else np.ones(len(mine))
        assert value[y, x] == pytest.approx((share * v).sum() / share.sum(), abs=1e-5)
        assert variance[y, x] == pytest.approx((share**2 * s2).sum() / share.sum() ** 2, rel=1e-12)
        assert area[y, x] == sum(float(p.area[at]) for p, at in mine)


@pytest.mark.filterwarnings("ignore:All-NaN")
@pytest.mark.parametrize("weights", ["area", "none"])
def test_a_median_takes_half_of_what_drops_can_cover(weights: str) -> None:
    """C7, C22: above half of each image's own nominal area, not of 1; halved by W·w."""
    parts = with_weights(make_parts())
    value, area = coadd(MOSAIC, parts, "median", weights)
    per_area = [p._replace(flux=p.flux / np.where(p.area > 0, p.divisor, 1) * p.area) for p in parts]
    values, areas = whole(per_area)
    shares = np.zeros(values.shape)
    for k, part in enumerate(parts):
        shares[k][part.window.slices] = part.divisor.astype(float) * part.factor
    used = areas > 0.5 * np.array([part.nominal for part in parts])[:, None, None]
    assert (used & (areas < 0.3)).any()
    values[~used] = np.nan
    np.testing.assert_array_equal(area, np.where(used, areas, 0).sum(axis=0))
    if weights == "none":
        wanted = np.nanmedian(values, axis=0)
    else:
        wanted = np.full(MOSAIC.shape, np.nan)
        for at in zip(*np.nonzero(used.any(axis=0)), strict=True):
            mine = used[:, *at]
            wanted[at] = weighted_median(values[:, *at][mine], shares[:, *at][mine])
    np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-5)


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
