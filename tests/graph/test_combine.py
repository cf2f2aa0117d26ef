"""Combining: windows against sums over whole arrays, in any cut of the mosaic."""

from __future__ import annotations

import numpy as np
import pytest
from naive import kept_naive
from numpy.typing import NDArray

from dmontage.graph import combine as module
from dmontage.graph.combine import Part, coadd, contributors
from dmontage.window import Window

ALL = ("mean", "median", "clip", "min", "max", "count", "sum", "first")
CLIP, TEN = (1.5, 2.0), (10.0, 10.0)

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


def combined(combine: str, weights: str, v: NDArray[np.float64], a: NDArray[np.float64]) -> float:
    """What becomes of the contributors' values and areas in one pixel, in plain words."""
    w = a if weights == "area" else np.ones(a.shape)
    if combine == "median":
        return weighted_median(v, a) if weights == "area" else float(np.median(v))
    words = {
        "mean": (w * v).sum() / w.sum(), "clip": (w * v).sum() / w.sum(), "sum": (w * v).sum(), "count": len(v),
        "min": v.min(), "max": v.max(), "first": v[0],
    }  # fmt: skip
    return float(words[combine])


@pytest.mark.parametrize("weights", ["area", "none"])
@pytest.mark.parametrize("combine", ALL)
def test_against_whole_arrays(combine: str, weights: str) -> None:
    """C21-C23: with and without weights; all but the sums take areas above one half only, and their area is theirs."""
    parts = make_parts(25)
    names = ["mean", "area", "depth"] + ["rejected"] * (combine == "clip")
    found = coadd(MOSAIC, parts, combine, weights, layers=names, clip=CLIP)
    values, areas = whole(parts)
    used = areas > (0 if combine in ("mean", "sum", "count") else 0.5)
    total = used.sum(axis=0)
    wanted = np.full((len(names), *MOSAIC.shape), np.nan)
    for at in np.ndindex(*MOSAIC.shape):
        mine = used[:, *at]
        if combine == "clip":
            mine[mine] = kept_naive(values[:, *at][mine], CLIP)
        elif combine == "first":
            mine[np.flatnonzero(mine)[1:]] = False
        v, a = values[:, *at][mine], areas[:, *at][mine]
        nothing = 0.0 if combine == "count" else np.nan
        value = combined(combine, weights, v, a) if len(v) else nothing
        wanted[:, *at] = [value, a.sum(), len(v), total[at] - len(v)][: len(names)]
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-12, atol=1e-10)
    for one, other in zip(found[1:], wanted[1:], strict=True):  # quarters are exact
        np.testing.assert_array_equal(one, other)
    assert (total == 2).any() and (total == 0).any()
    assert combine != "clip" or (found[3].sum() > 20)


@pytest.mark.parametrize("weights", ["area", "none"])
@pytest.mark.parametrize("combine", ALL)
def test_no_bit_depends_on_the_chunk(combine: str, weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """C24: odd chunks, and odd bands of stacks."""
    parts = make_parts(25)
    for drawn in (parts, with_weights(parts)):
        names = ["mean", "area", "depth"] + ["rejected"] * (combine == "clip")
        names += ["variance"] * (drawn[0].variance is not None and combine in ("mean", "clip"))
        monkeypatch.setattr(module, "BAND", 128)
        uncut = coadd(MOSAIC, drawn, combine, weights, layers=names, clip=CLIP)
        monkeypatch.setattr(module, "BAND", 7)
        for _, chunk in MOSAIC.blocks((41, 13)):
            mine = [cut(part, chunk) for part in drawn if part.window & chunk]
            for found, wanted in zip(coadd(chunk, mine, combine, weights, layers=names, clip=CLIP), uncut, strict=True):
                np.testing.assert_array_equal(found, wanted[chunk.slices])


@pytest.mark.parametrize("combine", ALL)
def test_contributors_are_those_that_count(combine: str) -> None:
    """One by one: as many as the depth says, and each has its part in the area."""
    parts = with_weights(make_parts(25))
    _, area, depth = coadd(MOSAIC, parts, combine, "none", layers=("mean", "area", "depth"), clip=CLIP)
    areas, number = np.zeros(MOSAIC.shape), np.zeros(MOSAIC.shape)
    for k, window, used in contributors(MOSAIC, parts, combine, CLIP):
        number[window.slices] += used
        areas[window.slices] += np.where(used, whole(parts)[1][k][window.slices], 0)
    np.testing.assert_array_equal(number, depth)
    np.testing.assert_array_equal(areas, area)
    assert depth.max() == (1 if combine == "first" else depth.max()) > 0


@pytest.mark.parametrize("weights", ["area", "none"])
def test_clipped_means_and_their_variance_pixel_by_pixel(weights: str) -> None:
    """What the variances reject, and what the kept ones say of the mean: Σ (W w)² σ² / (Σ W w)²."""
    parts = with_weights(make_parts(25))
    value, variance, rejected = coadd(MOSAIC, parts, "clip", weights, layers=("mean", "variance", "rejected"), clip=TEN)
    for y, x in np.random.default_rng(2).integers(0, MOSAIC.shape, (500, 2)):
        here = [(p, (y - p.window.y0, x - p.window.x0)) for p in parts if Window(y, y + 1, x, x + 1) in p.window]
        mine = [(p, at) for p, at in here if p.area[at] > 0.5 * p.nominal]
        s2 = np.array([float(p.variance[at]) for p, at in mine if p.variance is not None])
        v = np.array([float(p.flux[at]) / float(p.divisor[at]) for p, at in mine])
        kept = kept_naive(v, TEN, s2)
        assert rejected[y, x] == (~kept).sum()
        if not mine:
            assert np.isnan(value[y, x]) and np.isnan(variance[y, x])
            continue
        share = np.array([float(p.divisor[at]) * p.factor for p, at in mine]) if weights == "area" else np.ones(len(v))
        share = share * kept
        assert value[y, x] == pytest.approx((share * v).sum() / share.sum(), rel=1e-12, abs=1e-10)
        assert variance[y, x] == pytest.approx((share**2 * s2).sum() / share.sum() ** 2, rel=1e-12)
    assert rejected.sum() > 200


@pytest.mark.parametrize("weights", ["area", "none"])
def test_weighted_means_and_their_variance_pixel_by_pixel(weights: str) -> None:
    """C7, C25: Σ W w v / Σ W w, Σ (W w)² σ² / (Σ W w)², and an area that knows no weight."""
    parts = with_weights(make_parts())
    value, area, variance = coadd(MOSAIC, parts, "mean", weights, layers=("mean", "area", "variance"))
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


@pytest.mark.parametrize("n", [51, 60, 1000])
@pytest.mark.parametrize("weights", ["area", "none"])
def test_deep_stacks_are_exact(n: int, weights: str) -> None:
    """C21-C23: integers on the grid already (area 1), negative ones too: no image is lost, and no digit."""
    rng = np.random.default_rng(n)
    window = Window(3, 8, 2, 9)
    values = rng.integers(-4000, 4000, (n, *window.shape)).astype(np.float32)
    parts = [Part(window, value, np.ones(window.shape, np.float32), np.zeros(5)) for value in values]
    exact = values.astype(float)
    wanted = {
        "mean": exact.sum(axis=0) / n, "sum": exact.sum(axis=0), "median": np.median(exact, axis=0), "first": exact[0],
        "min": exact.min(axis=0), "max": exact.max(axis=0), "count": np.full(window.shape, n),
        "clip": exact.sum(axis=0) / n,
    }  # fmt: skip
    for combine, truth in wanted.items():
        names = ("mean", "area", "depth")
        value, area, depth = coadd(window, parts, combine, weights, layers=names, clip=(9.0, np.inf))
        np.testing.assert_array_equal(value, truth, combine)
        assert (area == (1 if combine == "first" else n)).all() and (depth == area).all()


def test_nothing_is_blank_and_not_zero() -> None:
    for combine in ALL:
        value, area = coadd(Window(0, 4, 0, 5), [], combine, "area", clip=CLIP)
        np.testing.assert_array_equal(value, np.full((4, 5), 0.0 if combine == "count" else np.nan))
        np.testing.assert_array_equal(area, np.zeros((4, 5)))
