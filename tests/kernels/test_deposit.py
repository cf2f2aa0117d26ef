"""Values, weights and variances through a list of overlaps: against a plain loop, formulas and drawn noise."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import Mesh, corner_meshes, make_mesh

from dmontage.kernels.deposit import deposit
from dmontage.kernels.drops import list_gaussian, list_square

Floats = NDArray[np.float64]
BAD_WEIGHTS = (0.0, -1.0, math.nan, math.inf, -math.inf)
BAD_VARIANCES = (-1.0, math.nan, math.inf, -math.inf)


class Sums(NamedTuple):
    flux: Floats
    area: Floats
    weight: Floats
    var: Floats


class Lists(NamedTuple):
    pixel: NDArray[np.int64]
    cell: NDArray[np.int64]
    part: Floats


def lists(mesh: Mesh, pixfrac: float = 0.8) -> Lists:
    return Lists(*list_square(np.ones(mesh.shape, bool), mesh.x, mesh.y, pixfrac, 0, 0, mesh.shape_out))


def through(
    found: Lists,
    n_out: int,
    values: NDArray[Any],
    weights: NDArray[Any] | None = None,
    variance: NDArray[Any] | None = None,
) -> Sums:
    none = np.empty((0, values.shape[1]))
    weights, variance = none if weights is None else weights, none if variance is None else variance
    n = len(values)
    sums = Sums(*(np.zeros((rows, n_out)) for rows in (n, n, n if len(weights) else 0, n if len(variance) else 0)))
    deposit(*found, values, weights, variance, *sums)
    return sums


def naive(found: Lists, n_out: int, values: Floats, weights: Floats, variance: Floats) -> Sums:
    """One entry after the other; weights and variance as full as the values."""
    sums = Sums(*np.zeros((4, len(values), n_out)))
    for k in range(len(values)):
        for p, c, a in zip(*found, strict=True):
            v, w, s2 = float(values[k, p]), float(weights[k, p]), float(variance[k, p])
            if math.isfinite(v) and math.isfinite(w) and w > 0 and math.isfinite(s2) and s2 >= 0:
                for total, term in zip(sums, (w * v * a, a, w * a, w**2 * a**2 * s2), strict=True):
                    total[k, c] += term
    return sums


def spoilt(rng: np.random.Generator, good: NDArray[Any], bad: tuple[float, ...]) -> NDArray[Any]:
    """A tenth of the numbers replaced by each of the bad ones in turn."""
    at = np.flatnonzero(rng.random(good.shape) < 0.1)
    good.flat[at] = np.resize(bad, at.size)
    return good


MESH = make_mesh((9, 8), 1.2, 17.0, bend=0.03)
FOUND = lists(MESH)
N_IN, N_OUT = 72, MESH.shape_out[0] * MESH.shape_out[1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows_w", [0, 1, 3])
@pytest.mark.parametrize("rows_v", [0, 1, 3])
def test_agrees_with_a_plain_loop(rows_v: int, rows_w: int, dtype: type) -> None:
    rng = np.random.default_rng(rows_v * 10 + rows_w)
    values = spoilt(rng, rng.normal(10, 3, (3, N_IN)).astype(dtype), (math.nan, math.inf, -math.inf))
    weights = spoilt(rng, rng.uniform(0.1, 5, (rows_w, N_IN)).astype(dtype), BAD_WEIGHTS)
    variance = spoilt(rng, rng.uniform(0.0, 4, (rows_v, N_IN)).astype(dtype), BAD_VARIANCES)
    got = through(FOUND, N_OUT, values, weights, variance)
    full = [np.broadcast_to(a if len(a) else np.ones((1, N_IN)), values.shape) for a in (weights, variance)]
    want = naive(FOUND, N_OUT, values, *full)
    for name, rows in (("flux", 3), ("area", 3), ("weight", min(rows_w, 1) * 3), ("var", min(rows_v, 1) * 3)):
        assert len(getattr(got, name)) == rows
        if rows:
            np.testing.assert_allclose(getattr(got, name), getattr(want, name), rtol=1e-14, atol=1e-13)


def test_adds_to_what_is_there_and_may_leave_sums_out() -> None:
    rng = np.random.default_rng(5)
    values, weights, variance = rng.normal(size=(2, N_IN)), rng.random((1, N_IN)), rng.random((2, N_IN))
    first = through(FOUND, N_OUT, values, weights, variance)
    twice = Sums(*(a.copy() for a in first))
    deposit(*FOUND, values, weights, variance, *twice)
    for a, b in zip(first, twice, strict=True):
        np.testing.assert_allclose(b, 2 * a, rtol=1e-13, atol=1e-15)
    flux, area, none = np.zeros((2, N_OUT)), np.zeros((2, N_OUT)), np.empty((0, N_OUT))
    deposit(*FOUND, values, weights, variance, flux, area, none, none)
    np.testing.assert_array_equal(flux, first.flux)
    np.testing.assert_array_equal(area, first.area)


def test_weight_without_weights_is_the_area() -> None:
    values = np.random.default_rng(6).normal(size=(2, N_IN))
    values[1, ::5] = np.nan
    flux, area, weight = np.zeros((3, 2, N_OUT))
    deposit(*FOUND, values, np.empty((0, N_IN)), np.empty((0, N_IN)), flux, area, weight, np.empty((0, N_OUT)))
    np.testing.assert_array_equal(weight, area)


@given(corner_meshes(5), st.sampled_from([1.0, 0.8, 0.3, 0.01]), st.integers(0, 2**32 - 1), st.floats(-1e6, 1e6))
def test_a_constant_stays_constant_whatever_its_weights(mesh: Mesh, pixfrac: float, seed: int, level: float) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.lognormal(0.0, 5.0, (1, mesh.x[1:, 1:].size))
    n_out = mesh.shape_out[0] * mesh.shape_out[1]
    got = through(lists(mesh, pixfrac), n_out, np.full(weights.shape, level), weights)
    covered = got.area > 0
    assert covered.any()
    np.testing.assert_array_equal(got.weight > 0, covered)
    np.testing.assert_allclose(got.flux[covered] / got.weight[covered], level, rtol=1e-12)


def test_area_knows_no_weights() -> None:
    rng = np.random.default_rng(7)
    values, weights = rng.normal(size=(1, N_IN)), rng.uniform(0.1, 9.0, (1, N_IN))
    np.testing.assert_array_equal(through(FOUND, N_OUT, values, weights).area, through(FOUND, N_OUT, values).area)


@pytest.mark.parametrize("spoil", ["values", "weights", "variance"])
def test_a_bad_pixel_takes_away_its_own_overlap_in_its_own_plane(spoil: str) -> None:
    """Also from its neighbours nothing else: what is left is, to the bit, the list without that pixel."""
    rng = np.random.default_rng(8)
    inputs = {name: rng.uniform(1.0, 2.0, (3, N_IN)) for name in ("values", "weights", "variance")}
    whole = through(FOUND, N_OUT, **inputs)
    for bad in {"values": (math.nan, -math.inf), "weights": BAD_WEIGHTS, "variance": BAD_VARIANCES}[spoil]:
        inputs[spoil][1, 30] = bad
        got = through(FOUND, N_OUT, **inputs)
        keep = FOUND.pixel != 30
        without = through(Lists(*(a[keep] for a in FOUND)), N_OUT, *(a[1:2] for a in inputs.values()))
        for a, b, c in zip(got, whole, without, strict=True):
            np.testing.assert_array_equal(a[[0, 2]], b[[0, 2]])
            np.testing.assert_array_equal(a[1], c[0])


def test_a_huge_pixel_changes_only_what_it_touches() -> None:
    values = np.random.default_rng(9).normal(size=(1, N_IN))
    calm = through(FOUND, N_OUT, values).flux[0]
    values[0, 30] = 1e30
    changed = through(FOUND, N_OUT, values).flux[0] != calm
    np.testing.assert_array_equal(np.flatnonzero(changed), np.sort(FOUND.cell[FOUND.pixel == 30]))


@pytest.mark.parametrize("kernel", ["square", "gaussian"])
@pytest.mark.parametrize("weighted", [True, False])
def test_variance_agrees_with_a_thousand_draws(kernel: str, weighted: bool) -> None:
    """The variance of the drawn fluxes is χ²: each cell within 5.5 standard errors, all together within 1 %."""
    rng = np.random.default_rng(10)
    mesh = make_mesh((24, 22), 0.9, 25.0, bend=0.02)
    found = lists(mesh)
    if kernel == "gaussian":
        x, y = (0.25 * (a[1:, 1:] + a[1:, :-1] + a[:-1, 1:] + a[:-1, :-1]) for a in (mesh.x, mesh.y))
        sigma = 0.8 * np.sqrt(mesh.areas) / 2.3548
        found = Lists(*list_gaussian(np.ones(mesh.shape, bool), x, y, sigma, mesh.areas, 0, 0, mesh.shape_out))
    n_in, n_out, draws = mesh.areas.size, mesh.shape_out[0] * mesh.shape_out[1], 1000
    variance = rng.uniform(0.2, 5.0, (1, n_in))
    weights = rng.uniform(0.1, 3.0, (1, n_in)) if weighted else None
    values = 100.0 + np.sqrt(variance) * rng.standard_normal((draws, n_in))
    got = through(found, n_out, values, weights)
    stated = through(found, n_out, values[:1], weights, variance).var[0]
    covered = stated > 0
    ratio = got.flux.var(axis=0, ddof=1)[covered] / stated[covered]
    assert np.abs(ratio - 1.0).max() < 5.5 * math.sqrt(2.0 / draws)
    assert abs(ratio.mean() - 1.0) < 0.01


def test_variance_of_one_overlap() -> None:
    one = Lists(np.array([0]), np.array([1]), np.array([0.25]))
    got = through(one, 2, np.array([[7.0]]), np.array([[2.0]]), np.array([[9.0]]))
    np.testing.assert_array_equal(np.vstack(got), [[0.0, 3.5], [0.0, 0.25], [0.0, 0.5], [0.0, 2.25]])


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("weights", (2, N_IN)),
        ("weights", (1, N_IN - 1)),
        ("variance", (4, N_IN)),
        ("area", (1, N_OUT)),
        ("area", (3, N_OUT + 1)),
        ("weight", (1, N_OUT)),
        ("var", (2, N_OUT)),
        ("flux", (3 * N_OUT,)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(name: str, shape: tuple[int, ...]) -> None:
    arrays: dict[str, Floats] = {k: np.zeros((3, N_IN)) for k in ("values", "weights", "variance")}
    arrays |= {k: np.zeros((3, N_OUT)) for k in ("flux", "area", "weight", "var")}
    arrays[name] = np.zeros(shape)
    with pytest.raises(ValueError, match=name):
        deposit(*FOUND, *arrays.values())


def test_a_variance_is_not_made_from_nothing() -> None:
    sums = np.zeros((4, 1, N_OUT))
    with pytest.raises(ValueError, match="var"):
        deposit(*FOUND, np.zeros((1, N_IN)), np.empty((0, N_IN)), np.empty((0, N_IN)), *sums)
