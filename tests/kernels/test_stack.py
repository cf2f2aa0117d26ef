"""The stack kernels against numpy on whole stacks, one pixel at a time where numpy has no word for it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dmontage.kernels import stack

Floats = NDArray[np.float64]

NO_PLANE = np.zeros(5)


def draw(seed: int, n: int, shape: tuple[int, int] = (5, 7)) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Values (n, ny, nx) of either sign, and areas in (0, 1] with a third of them 0."""
    rng = np.random.default_rng(seed)
    area = rng.uniform(0.01, 1, (n, *shape)).astype(np.float32)
    area[rng.random(area.shape) < 1 / 3] = 0
    return (100 * rng.standard_normal(area.shape)).astype(np.float32), area


def mean_of(
    flux: NDArray[np.float32], area: NDArray[np.float32], planes: Floats, first: tuple[int, int], weighted: bool
) -> tuple[Floats, Floats, NDArray[np.int32]]:
    value, weight, total = np.zeros((3, *flux.shape[1:]))
    count = np.zeros(flux.shape[1:], np.int32)
    for f, a, plane in zip(flux, area, planes, strict=True):
        stack.add_to_mean(f, a, a, plane, *first, 1.0, weighted, value, weight, total, count)
    stack.finish_mean(value, weight)
    return value, total, count


def median_of(values: Floats, areas: Floats, weighted: bool) -> tuple[Floats, Floats]:
    out, total = np.empty((2, *values.shape[1:]))
    stack.median(values, areas, areas, weighted, out, total)
    return out, total


@pytest.mark.parametrize("by_area", [True, False])
@pytest.mark.parametrize("n", [1, 2, 51, 60, 1000])
def test_mean_of_a_stack_of_any_depth(n: int, by_area: bool) -> None:
    """C21: mean = Σ v a / Σ a, or the plain mean of the contributors; area = Σ a; C23: every contributor counts."""
    values, area = draw(n, n)
    flux = values * area
    rng = np.random.default_rng(1)
    planes = np.column_stack([rng.normal(0, 10, n), rng.normal(0, 0.1, (n, 2)), rng.uniform(-50, 50, (n, 2))])
    value, total, count = mean_of(flux, area, planes, (100, -20), by_area)
    y, x = np.mgrid[100:105, -20:-13]
    p = planes.T[:, :, None, None]
    plane = p[0] + p[1] * (x - p[3]) + p[2] * (y - p[4])
    a = area.astype(float)
    used = a > 0
    v = np.divide(flux.astype(float), a, out=np.zeros(a.shape), where=used) - plane
    weight = a if by_area else used.astype(float)
    with np.errstate(invalid="ignore"):
        wanted = (v * weight).sum(axis=0) / weight.sum(axis=0)
    np.testing.assert_allclose(value, wanted, rtol=1e-12, atol=1e-11)
    np.testing.assert_array_equal(np.isnan(value), ~used.any(axis=0))
    np.testing.assert_allclose(total, a.sum(axis=0), rtol=1e-13)
    np.testing.assert_array_equal(count, used.sum(axis=0))


@pytest.mark.parametrize("n", [51, 60, 1000])
def test_deep_stacks_are_exact(n: int) -> None:
    """C21: image k holds 2^(k mod 20) with an area of 1/4, 1/2 or 1; sums of these are exact in any order."""
    k = np.arange(n)
    v, a = 2.0 ** (k % 20), np.array([0.25, 0.5, 1.0])[k % 3]
    flux, area = ((part[:, None, None] * np.ones((n, 2, 3))).astype(np.float32) for part in (v * a, a))
    value, total, _ = mean_of(flux, area, np.zeros((n, 5)), (0, 0), True)
    wanted = sum(Fraction(x) * Fraction(w) for x, w in zip(v, a, strict=True)) / sum(map(Fraction, a))
    assert (value == float(wanted)).all()
    assert (total == a.sum()).all()
    median, _ = median_of((flux / area).astype(float), area.astype(float), False)
    assert (median == np.median(v)).all()


def test_count_takes_negative_values_and_zero() -> None:
    """C23 (Montage's count leaves out what is not positive)."""
    flux = np.array([-5.0, 0.0, 3.0], np.float32)[:, None, None]
    _, _, count = mean_of(flux, np.full((3, 1, 1), 0.3, np.float32), np.zeros((3, 5)), (0, 0), True)
    assert count[0, 0] == 3


@pytest.mark.parametrize("n", range(1, 9))
def test_median_is_numpys(n: int) -> None:
    """C22: an even number gives the mean of the two middle ones, two included."""
    values = np.random.default_rng(n).normal(size=(n, 4, 5))
    out, total = median_of(values, np.full(values.shape, 0.75), False)
    np.testing.assert_array_equal(out, np.median(values, axis=0))
    assert (total == 0.75 * n).all()


def weighted_median_naive(values: list[float], weights: list[float]) -> float:
    """The middle of all v that have at most half of the weight on either side, by trying each one."""
    total = sum(map(Fraction, weights))
    pairs = list(zip(values, map(Fraction, weights), strict=True))
    middle = [
        v for v in values
        if 2 * sum(w for u, w in pairs if u < v) <= total and 2 * sum(w for u, w in pairs if u > v) <= total
    ]  # fmt: skip
    return (min(middle) + max(middle)) / 2


# Areas are stored in float32, so that their sums are exact in double precision.
areas_of_contributors = st.integers(1, 64).map(lambda k: k / 64) | st.floats(0.5, 1.0, width=32)


@given(st.lists(st.tuples(st.integers(-20, 20).map(float), areas_of_contributors), min_size=1, max_size=12))
def test_weighted_median_halves_the_area(pairs: list[tuple[float, float]]) -> None:
    """C21: the weighted median has at most half of the area on either side, ties and equal values among them."""
    values, areas = np.array(pairs).T
    out, total = median_of(values[:, None, None], areas[:, None, None], True)
    assert out[0, 0] == weighted_median_naive(values.tolist(), areas.tolist())
    assert total[0, 0] == areas.sum()


@given(st.permutations(range(7)))
def test_median_does_not_depend_on_the_order(order: list[int]) -> None:
    values, areas = np.random.default_rng(3).uniform(0.5, 1, (2, 7, 2, 2)).astype(np.float32).astype(float)
    for by_area in (True, False):
        one, _ = median_of(values, areas, by_area)
        other, _ = median_of(values[order], areas[order], by_area)
        np.testing.assert_array_equal(one, other)


def test_values_below_the_area_do_not_contribute() -> None:
    """C22: only an area above the threshold counts; NaN is no contributor to a median or to its area."""
    area = np.array([[0.0, 0.5, np.nextafter(np.float32(0.5), np.float32(1)), 1.0]], np.float32)
    out = np.empty((1, 4))
    stack.values(8 * area, area, area, NO_PLANE, 0, 0, 0.5, out)
    np.testing.assert_array_equal(out, [[np.nan, np.nan, 8, 8]])
    median, total = median_of(np.stack([out, out + 2]), np.stack([area, area]).astype(float), False)
    np.testing.assert_array_equal(median, [[np.nan, np.nan, 9, 9]])
    np.testing.assert_array_equal(total, [[0, 0, 2 * area[0, 2], 2]])


def test_a_plane_is_taken_at_its_own_pixels() -> None:
    """The window's first pixel and the plane's origin both count, to the last bit for whole numbers."""
    area = np.ones((3, 4), np.float32)
    plane = np.array([7.0, 2.0, -3.0, 1000.0, 2000.0])
    out = np.empty((3, 4))
    stack.values(0 * area, area, area, plane, 1990, 1005, 0.5, out)
    y, x = np.mgrid[1990:1993, 1005:1009]
    np.testing.assert_array_equal(out, -(7 + 2 * (x - 1000) - 3 * (y - 2000)))


@pytest.mark.parametrize("weighted", [True, False])
def test_weights_multiply_in_the_mean_and_never_in_the_area(weighted: bool) -> None:
    """C7: mean = Σ W (f − p w) / Σ W w in exact numbers, or the plain mean of f/w − p; area = Σ a."""
    n, shape = 7, (3, 4)
    rng = np.random.default_rng(5)
    area = rng.choice([0, 0.25, 0.5, 1], (n, *shape)).astype(np.float32)
    weight = (area * rng.choice([0, 0.5, 2, 8], area.shape)).astype(np.float32)
    flux = (rng.integers(-50, 50, area.shape) * weight).astype(np.float32)
    planes, factors = rng.integers(-3, 4, (n, 5)).astype(float), 2.0 ** rng.integers(-2, 5, n)
    value, total, sum_area = np.zeros((3, *shape))
    count = np.zeros(shape, np.int32)
    for k in range(n):
        stack.add_to_mean(
            flux[k], weight[k], area[k], planes[k], 20, 10, factors[k], weighted, value, total, sum_area, count
        )
    stack.finish_mean(value, total)
    for j, i in np.ndindex(shape):
        top = bottom = Fraction(0)
        for k in np.flatnonzero(weight[:, j, i]).tolist():
            f, w, p = Fraction(float(flux[k, j, i])), Fraction(float(weight[k, j, i])), planes[k]
            plane = Fraction(p[0] + p[1] * (10 + i - p[3]) + p[2] * (20 + j - p[4]))
            share = Fraction(factors[k]) * w if weighted else Fraction(1)
            top, bottom = top + share * (f / w - plane), bottom + share
        assert np.isnan(value[j, i]) if not bottom else value[j, i] == pytest.approx(float(top / bottom), abs=1e-12)
        assert sum_area[j, i] == area[weight[:, j, i] > 0, j, i].sum()
        assert count[j, i] == (weight[:, j, i] > 0).sum()


@pytest.mark.parametrize("weighted", [True, False])
def test_variance_of_the_mean_of_drawn_stacks(weighted: bool) -> None:
    """C25: the spread of 4000 means of Gaussian values is what is propagated, within its own 4 standard errors."""
    n, draws, shape = 5, 4000, (2, 3)
    rng = np.random.default_rng(8)
    weight = rng.uniform(0.2, 3, (n, *shape)).astype(np.float32)
    variance = rng.uniform(0.1, 9, weight.shape).astype(np.float32)
    weight[0, 0, 0] = 0  # contributes nothing, not even its variance
    factors = rng.uniform(0.5, 4, n)
    means = np.empty((draws, *shape))
    for means_k in means:
        values = rng.normal(0, np.sqrt(variance)).astype(np.float32)
        total, area = np.zeros((2, *shape))
        count = np.zeros(shape, np.int32)
        means_k[:] = 0
        for k in range(n):
            flux = values[k] * weight[k]
            stack.add_to_mean(
                flux, weight[k], weight[k], NO_PLANE, 0, 0, factors[k], weighted, means_k, total, area, count
            )
        stack.finish_mean(means_k, total)
    propagated = np.zeros(shape)
    for k in range(n):
        stack.add_to_variance(variance[k], weight[k], weight[k], factors[k], weighted, propagated)
    ratio = means.var(axis=0) / (propagated / total**2)
    np.testing.assert_allclose(ratio, 1, atol=4 * np.sqrt(2 / draws))


def test_a_weighted_median_weighs_and_its_area_does_not() -> None:
    """C7, C21: the weight alone halves; the area is the contributors'."""
    values = np.array([1.0, 2, 3, np.nan])[:, None, None]
    areas, weights = np.array([1.0, 0.5, 1, 1])[:, None, None], np.array([1.0, 1, 10, 99])[:, None, None]
    out, total = np.empty((2, 1, 1))
    stack.median(values, areas, weights, True, out, total)
    assert (out[0, 0], total[0, 0]) == (3, 2.5)
    stack.median(values, areas, weights, False, out, total)
    assert (out[0, 0], total[0, 0]) == (2, 2.5)
