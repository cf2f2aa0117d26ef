"""Clipping: which values are rejected, against a plain reference and by Monte Carlo against the stated rates."""

from __future__ import annotations

import numpy as np
import pytest
from naive import kept_naive
from numpy.typing import NDArray
from scipy import stats

from dmontage.graph.clip_limits import clip_limits
from dmontage.kernels.clip import reject

Floats = NDArray[np.float64]

THREE = (3.0, 3.0)
BEYOND = 2 * stats.norm.sf(3)
"""Of a Gaussian's values beyond ±3."""


def clipped(
    values: Floats, clip: tuple[float, float] = THREE, variances: Floats | None = None, rounding: float = 0.0
) -> NDArray[np.bool_]:
    """Which of the values (n, pixels) are rejected."""
    stack = values[:, None, :].copy()
    s = np.zeros((0, 0, 0), np.float32) if variances is None else variances[:, None, :].astype(np.float32)
    number = np.full(stack.shape[1:], -1, np.int32)
    r = np.full(stack.shape, rounding, np.float32)
    reject(stack, r, s, *clip_limits(len(values), clip, known=variances is not None), number)
    out = (np.isnan(stack) & ~np.isnan(values[:, None, :]))[:, 0]
    np.testing.assert_array_equal(number[0], out.sum(axis=0))
    kept = ~np.isnan(stack[:, 0])
    np.testing.assert_array_equal(stack[:, 0][kept], values[kept])  # and no value is changed
    return out


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("clip", [(3.0, 3.0), (2.0, 4.0), (np.inf, 2.0), (1.5, np.inf)])
def test_against_the_reference(clip: tuple[float, float], known: bool) -> None:
    """Stacks of 0 to 40 with holes, outliers, several alike, and ties."""
    rng = np.random.default_rng(3)
    for n in (2, 3, 4, 5, 6, 9, 12, 40):
        values = rng.normal(100, 2, (n, 150))
        values[rng.random(values.shape) < 0.1] += 30
        values[rng.random(values.shape) < 0.05] = 70.0
        values[rng.random(values.shape) < 0.1] = np.nan
        values[:, 100:] = np.round(values[:, 100:] / 4) * 4 + rng.normal(0, 1e-3, (n, 50))
        variances = rng.choice([1.0, 4.0, 25.0], values.shape) if known else None
        found = clipped(values, clip, variances)
        for i in range(values.shape[1]):
            mine = ~np.isnan(values[:, i])
            s = None if variances is None else variances[:, i][mine]
            np.testing.assert_array_equal(
                ~found[:, i][mine], kept_naive(values[:, i][mine], clip, s), str(values[:, i])
            )
        assert n < 4 or found.any()


@pytest.mark.parametrize(
    ("n", "rate", "one", "two"),
    [(3, 1.00, 0.028, 0), (4, 0.99, 0.19, 0), (5, 1.00, 0.58, 0), (7, 1.31, 0.97, 0.54), (10, 1.28, 1.0, 0.97),
     (50, 1.03, 1.0, 1.0)],
)  # fmt: skip
def test_rates_are_those_stated(n: int, rate: float, one: float, two: float) -> None:
    """Of false rejection, and of what is found of one value and of two that are 10 σ off; the scale is the others'."""
    rng = np.random.default_rng(n)
    many = rng.standard_normal((n, 1_500_000 // n))
    assert clipped(many).mean() / BEYOND == pytest.approx(rate, abs=0.02 + 4 / np.sqrt(BEYOND * many.size))
    few = rng.standard_normal((n, 40_000))
    few[0] += 10
    assert clipped(few)[0].mean() == pytest.approx(one, abs=0.012)
    few[1] += 10
    assert clipped(few)[:2].all(axis=0).mean() == pytest.approx(two, abs=0.012)


@pytest.mark.parametrize(
    ("n", "rate", "mixed"), [(3, 0.94, 0.83), (4, 0.97, 0.79), (5, 0.99, 0.99), (10, 1.0, 0.99), (50, 0.98, 1.0)]
)
def test_rates_are_those_stated_where_sigma_is_known(n: int, rate: float, mixed: float) -> None:
    """Also where each value has a σ of its own: one that is 10 of its own off is found as surely."""
    for spread, stated in ((1.0, rate), (25.0, mixed)):
        rng = np.random.default_rng(n)
        variances = rng.choice([1.0, spread], (n, 1_500_000 // n))
        many = rng.standard_normal(variances.shape) * np.sqrt(variances)
        error = 0.02 + 4 / np.sqrt(BEYOND * many.size)
        assert clipped(many, THREE, variances).mean() / BEYOND == pytest.approx(stated, abs=error)
    few = rng.standard_normal((n, 40_000))
    few[0] += 10
    assert clipped(few, THREE, np.ones(few.shape))[0].mean() > 0.995


@pytest.mark.parametrize("k", [2.0, 4.0])
def test_other_limits_have_their_own_rates(k: float) -> None:
    beyond = 2 * stats.norm.sf(k)
    for n in (3, 5, 9, 15):
        many = np.random.default_rng(n).standard_normal((n, 4_000_000 // n))
        error = 4 / np.sqrt(beyond * many.size)
        assert 0.97 - error < clipped(many, (k, k)).mean() / beyond < 1.55 + error


def test_two_values_tell_nothing() -> None:
    """Which of them is wrong no number says, with variances neither."""
    values = np.array([[1.0, 5.0, np.nan], [1e6, np.nan, np.nan], [np.nan, np.nan, np.nan]])
    assert not clipped(values).any()
    assert not clipped(values, THREE, np.ones(values.shape)).any()


@pytest.mark.parametrize("n", [3, 4, 5, 10, 60])
def test_equal_values_reject_no_rounding(n: int) -> None:
    """All but one the same in the last bit: kept; a true outlier beside them goes where three or more agree."""
    values = np.full((n, 2), np.float64(np.float32(1000.1)))
    values[0] = [np.float64(np.nextafter(np.float32(1000.1), np.float32(2000))), 1010.0]
    found = clipped(values, rounding=1000.1 * 2.0**-21)
    assert not found[:, 0].any() and not found[1:, 1].any()
    assert found[0, 1] == (n > 3)


def test_two_that_agree_by_chance_are_no_scale() -> None:
    assert not clipped(np.array([[5.0], [5.0], [7.0]])).any()
    assert clipped(np.array([[5.0], [5.001], [7.0]])).sum() == 1


def test_outliers_that_are_alike_mask_nothing() -> None:
    """Two of 10, three of 12, twenty of 50, at one value or on both sides; the others stay."""
    rng = np.random.default_rng(1)
    for n, bad in ((10, 2), (12, 3), (50, 20)):
        for off in (1e3, [(-1) ** k * 1e3 for k in range(bad)]):
            values = rng.standard_normal((n, 500))
            values[:bad] = np.broadcast_to(np.array(off).reshape(-1, 1), (bad, 500))
            found = clipped(values)
            assert found[:bad].all()
            assert found[bad:].mean() < 3 * BEYOND


def test_an_infinite_limit_rejects_nothing_on_its_side() -> None:
    values = np.random.default_rng(2).standard_normal((10, 300))
    values[0], values[1] = 50, -50
    up, down = clipped(values, (np.inf, 3)), clipped(values, (3, np.inf))
    assert not up[1].any() and not down[0].any()
    assert clipped(values)[:2].all()


def test_size_and_place_change_nothing() -> None:
    """A factor that is a power of two, and a sign with the sides exchanged."""
    values = np.random.default_rng(4).standard_t(2, (9, 4000))
    found = clipped(values, (2, 3))
    np.testing.assert_array_equal(clipped(values * 2.0**100, (2, 3)), found)
    np.testing.assert_array_equal(clipped(-values, (3, 2)), found)
    assert found.any()
