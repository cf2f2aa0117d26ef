"""The global solve: exact where the truth is known, and errors that agree with the scatter of many draws."""

import math
from copy import copy
from dataclasses import replace
from typing import Any, cast

import mpmath
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array

from dmontage.background import ImageFrame, PairTable, Solution, large_scale, solve
from dmontage.errors import InputError
from dmontage.model import Plane, PlaneFit

Floats = NDArray[np.float64]
H, STEP = 256.0, 460.0  # half size and spacing: overlaps of 52 px, 10 %


class Lattice:
    """k × k images, each paired with its eight neighbours; noise of 1 per pixel."""

    def __init__(self, k: int, origin: float = 0.0) -> None:
        row, column = np.divmod(np.arange(k * k), k)
        self.origin, self.extent = origin, k * STEP
        self.frames = np.stack((origin + column * STEP, origin + row * STEP, np.full(k * k, H)), axis=1)
        parts = []
        for dx, dy in ((1, 0), (0, 1), (1, 1), (-1, 1)):
            a = np.flatnonzero((column + dx >= 0) & (column + dx < k) & (row + dy < k))
            parts.append(np.stack((a, a + dx + k * dy, np.full(a.size, dx), np.full(a.size, dy)), axis=1))
        pairs = np.concatenate(parts)
        self.plus, self.minus = pairs[:, 0], pairs[:, 1]
        width = np.where(pairs[:, 2:] != 0, 2 * H - STEP, 2 * H)
        n = width.prod(axis=1)
        self.x0, self.y0 = (self.frames[self.plus, :2] + self.frames[self.minus, :2]).T / 2
        self.information = np.zeros((len(n), 3, 3))
        self.information[:, 0, 0] = n
        self.information[:, 1, 1], self.information[:, 2, 2] = (n[:, None] * (width**2 - 1) / 12).T

    def at_overlap(self, images: NDArray[np.int64], p: Floats) -> Floats:
        """Planes (k, 3) seen from the pairs' origins, one image per pair."""
        q = p[images].copy()
        q[:, 0] += q[:, 1] * (self.x0 - self.frames[images, 0]) + q[:, 2] * (self.y0 - self.frames[images, 1])
        return q

    def table(self, p: Floats, noise: Floats | float = 0.0, factor: float = 1.0) -> PairTable:
        f = self.at_overlap(self.plus, p) - self.at_overlap(self.minus, p) + noise
        return PairTable(self.plus, self.minus, self.x0, self.y0, f, factor * self.information)

    def noise(self, rng: np.random.Generator) -> Floats:
        sigma = 1 / np.sqrt(np.einsum("kii->ki", self.information))
        return np.asarray(sigma * rng.normal(size=sigma.shape), dtype=np.float64)

    def residual(self, p: Floats, truth: Floats) -> float:
        """Largest error at centres and corners, one plane over the whole mosaic taken out."""
        e = p - truth
        x, y = (self.frames[:, :2] - self.origin).T
        design, values = [], []
        for sx, sy in ((0, 0), (H, H), (-H, H), (H, -H), (-H, -H)):
            design.append(np.stack((np.ones_like(x), (x + sx) / self.extent, (y + sy) / self.extent), axis=1))
            values.append(e[:, 0] + e[:, 1] * sx + e[:, 2] * sy)
        a, b = np.concatenate(design), np.concatenate(values)
        return float(np.abs(b - a @ np.linalg.lstsq(a, b, rcond=None)[0]).max())

    def planes(self, rng: np.random.Generator, slope: float = 20 / 256, wave: float = 100.0) -> Floats:
        p = rng.uniform(-1, 1, (len(self.frames), 3)) * (20, slope, slope)
        p[:, 0] += wave * np.sin(2 * np.pi * (self.frames[:, 0] - self.origin) / self.extent)
        return np.asarray(p, dtype=np.float64)


def dense_oracle(lattice: Lattice, table: PairTable, tau: float | None) -> tuple[Floats, Floats]:
    """Least squares by dense algebra with 40 digits; Lagrange multipliers hold the gauge."""
    n, m = len(lattice.frames), len(table.plus)
    rows, weights = np.zeros((3 * m, 3 * n)), np.zeros((3 * m, 3 * m))
    for k in range(m):
        part = slice(3 * k, 3 * k + 3)
        weights[part, part] = table.information[k]
        for image, sign in ((table.plus[k], 1.0), (table.minus[k], -1.0)):
            a = np.eye(3)
            a[0, 1:] = table.x0[k] - lattice.frames[image, 0], table.y0[k] - lattice.frames[image, 1]
            rows[part, 3 * image : 3 * image + 3] = sign * a
    gauge = np.tile(np.eye(3)[: 3 if tau is None else 1], n)
    normal = rows.T @ weights @ rows
    if tau is not None:
        normal += np.diag(np.tile((0, tau**-2, tau**-2), n))
    bordered = np.block([[normal, gauge.T], [gauge, np.zeros((len(gauge), len(gauge)))]])
    with mpmath.workdps(40):
        inverse = np.array(mpmath.inverse(mpmath.matrix(bordered.tolist())).tolist(), dtype=float)
    covariance = inverse[: 3 * n, : 3 * n]
    return (covariance @ (rows.T @ weights @ table.difference.ravel())).reshape(n, 3), covariance


# --- exact planes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", [0.0, 1e6])
@pytest.mark.parametrize("k", [2, 16, 100])
def test_noise_free_planes_are_found(k: int, origin: float) -> None:
    """C17: 4, 256 and 10,000 images, near the origin and a million pixels from it."""
    lattice = Lattice(k, origin)
    truth = lattice.planes(np.random.default_rng(1))
    table = lattice.table(truth)
    found = solve(table, lattice.frames, slope_prior=None)
    assert lattice.residual(found.parameters, truth) < 1e-6
    assert found.tau is None
    assert found.remainders.rms_after < 1e-9
    assert found.remainders.rms_before > 1
    np.testing.assert_allclose(found.parameters.mean(axis=0), 0, atol=1e-9)


@pytest.mark.parametrize("k", [2, 16])
def test_the_prior_does_not_bend_what_is_known_well(k: int) -> None:
    lattice = Lattice(k, 1e6)
    truth = lattice.planes(np.random.default_rng(2))
    found = solve(lattice.table(truth, factor=1e20), lattice.frames)
    assert found.tau is not None
    assert 0.7 < found.tau / (20 / 256 / math.sqrt(3)) < 1.4
    assert lattice.residual(found.parameters, truth) < 1e-6


def test_nouns_and_table_agree_and_planes_carry_their_centres() -> None:
    lattice = Lattice(3)
    table = lattice.table(lattice.planes(np.random.default_rng(3)))
    fits = [
        PlaneFit(
            int(table.plus[k]),
            int(table.minus[k]),
            Plane(*(float(v) for v in (*table.difference[k], table.x0[k], table.y0[k]))),
            tuple(tuple(row) for row in table.information[k].tolist()),
            1.0,
            0.0,
            100,
            90,
        )
        for k in range(len(table.plus))
    ]
    a = solve(table, lattice.frames)
    b = solve(fits, [ImageFrame(*row) for row in lattice.frames.tolist()])
    assert np.array_equal(a.parameters, b.parameters)
    assert a.plane(4) == Plane(a.level[4], a.slope_x[4], a.slope_y[4], STEP, STEP)


# --- against dense algebra --------------------------------------------------------------------------------------


@pytest.mark.parametrize("tau", [None, 1e-4, 0.05])
def test_solution_and_covariance_are_those_of_dense_algebra(tau: float | None) -> None:
    lattice, rng = Lattice(3), np.random.default_rng(4)
    table = lattice.table(lattice.planes(rng, slope=2e-4 if tau == 1e-4 else 20 / 256), lattice.noise(rng))
    found = solve(table, lattice.frames, slope_prior=tau)
    assert found.misfit == 0 and found.remainders.kept.all()
    expected, covariance = dense_oracle(lattice, table, tau)
    np.testing.assert_allclose(found.parameters * (1, H, H), expected * (1, H, H), atol=1e-8)
    g = rng.normal(size=(7, 27)) * np.tile((1, H, H), 9)
    np.testing.assert_allclose(found.variance(g), np.einsum("ai,ij,aj->a", g, covariance, g), rtol=1e-7)
    np.testing.assert_allclose(found.standard_errors.ravel() ** 2, np.diag(covariance), rtol=1e-7)


@pytest.mark.parametrize("prior", [None, 3e-4])
def test_stated_errors_agree_with_the_scatter(prior: float | None) -> None:
    lattice, rng, draws = Lattice(6), np.random.default_rng(5), 300
    n = 36
    scale = np.tile((1, H, H), n)
    g = rng.normal(size=(20, 3 * n)) * scale
    g[:6] = 0
    g[0, 0], g[1, 3 * 14], g[2, 1], g[3, 3 * 21 + 2] = 1, 1, 1, 1
    g[4, 0], g[4, 105] = 1, -1  # one corner against the other: the largest scale
    g[5, ::3] = np.cos(np.pi * np.arange(n) // 6 / 6)
    z2 = np.empty((draws, len(g)))
    for i in range(draws):
        truth = np.zeros((n, 3))
        truth[:, 0] = rng.normal(size=n)
        truth[:, 1:] = rng.normal(size=(n, 2)) * (1e-3 if prior is None else prior)
        found = solve(lattice.table(truth, lattice.noise(rng)), lattice.frames, slope_prior=prior)
        truth_gauged = found.known.gauge.move(truth.ravel())
        z2[i] = (g @ (found.parameters.ravel() - truth_gauged)) ** 2 / found.variance(g)
    assert np.all(np.abs(z2.mean(axis=0) - 1) < 4 * math.sqrt(2 / draws))
    assert abs(z2.mean() - 1) < 0.1


def test_the_spread_of_slopes_is_found() -> None:
    lattice, rng = Lattice(12), np.random.default_rng(6)
    errors = np.sqrt(np.median(1 / lattice.information[:, 1, 1]))
    for tau in (10 * errors, errors, 0.0):
        truth = np.zeros((144, 3))
        truth[:, 1:] = tau * rng.normal(size=(144, 2))
        table = lattice.table(truth, lattice.noise(rng))
        table.difference[7] = 1e3  # one gross pair is no evidence of slopes
        estimate = solve(table, lattice.frames).tau
        assert estimate is not None
        assert abs(estimate - tau) < (0.15 * tau if tau else 0.3 * errors)


def test_the_prior_keeps_large_scales_down() -> None:
    lattice, rng = Lattice(16), np.random.default_rng(7)
    corner = np.zeros((1, 3 * 256))
    corner[0, 0] = 1
    table = lattice.table(np.zeros((256, 3)), lattice.noise(rng))
    free = solve(table, lattice.frames, slope_prior=None)
    tied = solve(table, lattice.frames, slope_prior=1e-4)
    level = solve(table, lattice.frames, "level")
    assert level.variance(corner) <= tied.variance(corner) <= free.variance(corner)
    assert level.variance(corner)[0] < 0.1 * free.variance(corner)[0]


# --- groups and gauges ------------------------------------------------------------------------------------------


def two_lattices() -> tuple[PairTable, Floats, Floats, Lattice]:
    """Two separate 3 × 3 groups with an image without pairs between them (row 9)."""
    lattice = Lattice(3)
    truth = lattice.planes(np.random.default_rng(8))
    part = lattice.table(truth)
    far = np.concatenate((lattice.frames, [[5e4, 5e4, H]], lattice.frames + np.array((1e5, 0, 0))))
    table = PairTable(
        np.concatenate((part.plus, part.plus + 10)),
        np.concatenate((part.minus, part.minus + 10)),
        np.concatenate((part.x0, part.x0 + 1e5)),
        np.concatenate((part.y0, part.y0)),
        np.concatenate((part.difference, part.difference)),
        np.concatenate((part.information, part.information)),
    )
    return table, far, truth, lattice


@pytest.mark.parametrize("prior", [None, "auto", 0.01])
def test_groups_are_solved_apart_and_lonely_images_reported(prior: None) -> None:
    table, frames, _truth, lattice = two_lattices()
    found = solve(table, frames, slope_prior=prior)
    alone = solve(lattice.table(_truth), lattice.frames, slope_prior=found.tau)
    assert found.unpaired == (9,)
    assert not found.parameters[9].any()
    assert found.components.tolist() == [0] * 9 + [1] + [2] * 9
    assert "2 connected groups" in found.gauge
    for part in (slice(0, 9), slice(10, 19)):
        np.testing.assert_allclose(found.parameters[part], alone.parameters, atol=1e-10)
    assert not found.standard_errors[9].any()
    np.testing.assert_allclose(found.standard_errors[10:], alone.standard_errors, rtol=1e-7)


def test_no_pairs_at_all() -> None:
    none = np.zeros(0)
    table = PairTable(none.astype(int), none.astype(int), none, none, np.zeros((0, 3)), np.zeros((0, 3, 3)))
    found = solve(table, np.ones((4, 3)))
    assert found.unpaired == (0, 1, 2, 3)
    assert not found.parameters.any()
    assert not found.standard_errors.any()
    assert found.remainders.plus.size == 0
    assert solve([], []).unpaired == ()


@pytest.mark.parametrize(("model", "prior"), [("level", "auto"), ("plane", 0.0)])
def test_level_only_has_slopes_of_exactly_zero(model: Any, prior: Any) -> None:
    lattice = Lattice(6)
    truth = lattice.planes(np.random.default_rng(9), slope=0)
    found = solve(lattice.table(truth), lattice.frames, model, prior)
    assert not found.slope_x.any()
    assert not found.slope_y.any()
    assert not found.standard_errors[:, 1:].any()
    np.testing.assert_allclose(found.level, truth[:, 0] - truth[:, 0].mean(), atol=1e-10)
    assert "slope" not in found.gauge


def level_fits() -> tuple[PairTable, Lattice, Floats]:
    lattice = Lattice(4)
    truth = lattice.planes(np.random.default_rng(10), slope=0)
    table = lattice.table(truth)
    table.information[:, 1:] = 0
    return table, lattice, truth


@pytest.mark.parametrize("prior", [None, "auto"])
def test_fits_without_slopes_give_levels(prior: None) -> None:
    table, lattice, truth = level_fits()
    found = solve(table, lattice.frames, slope_prior=prior)
    np.testing.assert_allclose(found.level, truth[:, 0] - truth[:, 0].mean(), atol=1e-10)
    assert not found.slope_x.any()
    assert found.level_only == (tuple(range(16)) if prior is None else ())


def test_a_chain_of_one_row_overlaps_falls_back_to_levels_only_where_it_must() -> None:
    lattice = Lattice(3)
    truth = lattice.planes(np.random.default_rng(11), slope=0)
    table = lattice.table(truth)
    thin = (table.plus == 8) | (table.minus == 8)
    table.information[thin, 2] = table.information[thin, :, 2] = 0
    found = solve(table, lattice.frames, slope_prior=None)
    assert found.level_only == tuple(range(9))
    assert np.isfinite(found.standard_errors).all()
    np.testing.assert_allclose(found.level, truth[:, 0] - truth[:, 0].mean(), atol=1e-10)
    still = table.information.copy()
    still[np.flatnonzero(thin)[0]] = lattice.information[np.flatnonzero(thin)[0]]
    table = PairTable(table.plus, table.minus, table.x0, table.y0, table.difference, still)
    assert solve(table, lattice.frames, slope_prior=None).level_only == ()
    assert solve(table, lattice.frames, slope_prior=1e-3).level_only == ()


# --- odd input --------------------------------------------------------------------------------------------------


def test_pairs_without_information_are_listed_and_exact_ones_do_not_swamp_the_rest() -> None:
    lattice, rng = Lattice(4), np.random.default_rng(12)
    truth = lattice.planes(rng)
    table = lattice.table(truth, lattice.noise(rng))
    table.information[3] = 0
    table.information[5] *= 1e40
    found = solve(table, lattice.frames, slope_prior=None)
    assert found.unusable == (3,)
    assert found.remainders.plus.size == len(table.plus) - 1
    assert np.isfinite(found.standard_errors).all()
    assert lattice.residual(found.parameters, truth) < 1


def test_all_pairs_exact_and_equal() -> None:
    lattice = Lattice(4)
    found = solve(lattice.table(np.zeros((16, 3)), factor=1e200), lattice.frames)
    assert not found.parameters.any()
    assert found.tau == 0
    assert np.isfinite(found.standard_errors).all()


def broken(column: str, row: int, value: float) -> tuple[PairTable, Floats]:
    lattice = Lattice(2)
    table = lattice.table(np.zeros((4, 3)))
    columns = {name: copy(getattr(table, name)) for name in PairTable.__slots__}
    columns[column][row] = value
    return PairTable(**columns), lattice.frames


@pytest.mark.parametrize(
    ("column", "value", "word"),
    [
        ("plus", 9, "9"),
        ("plus", -1, "-1"),
        ("difference", np.nan, "finite"),
        ("information", np.inf, "finite"),
        ("information", -1, "0 or more"),
        ("x0", np.nan, "finite"),
    ],
)
def test_bad_pairs_are_refused(column: str, value: float, word: str) -> None:
    with pytest.raises(InputError, match=word):
        solve(*broken(column, 2, value))


def test_bad_frames_priors_and_functionals_are_refused() -> None:
    lattice = Lattice(2)
    table = lattice.table(np.zeros((4, 3)))
    for frames in (lattice.frames[:, :2], lattice.frames * (1, 1, 0), lattice.frames * np.nan):
        with pytest.raises(InputError, match="frames"):
            solve(table, frames)
    for prior in (-1.0, math.nan):
        with pytest.raises(InputError, match="slope_prior"):
            solve(table, lattice.frames, slope_prior=prior)
    found: Solution = solve(table, lattice.frames)
    with pytest.raises(InputError, match="3 for each image"):
        found.variance(np.ones((1, 4)))
    assert found.variance(np.zeros((0, 12))).shape == (0,)


@pytest.mark.parametrize("prior", ["auto", 1e-2, None])
def test_some_images_may_have_a_level_only(prior: Any) -> None:
    """Their slopes are exactly zero, as is their truth; the others' are found, and they fix a common plane."""
    lattice, rng = Lattice(4), np.random.default_rng(8)
    truth = rng.normal(0, [5, 1e-2, 1e-2], (16, 3))
    flat = [3, 10]
    truth[flat, 1:] = 0
    found = solve(lattice.table(truth, factor=1e8), lattice.frames, slope_prior=prior, level_only=flat)
    assert not found.parameters[flat, 1:].any()
    assert found.level_only == tuple(flat)
    np.testing.assert_allclose(found.parameters[:, 1:], truth[:, 1:], atol=1e-6)
    np.testing.assert_allclose(found.level, truth[:, 0] - truth[:, 0].mean(), atol=1e-4)


# --- what disagrees -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [3.0, 100.0, 1e6])
@pytest.mark.parametrize("n_bad", [1, 6])
def test_gross_pairs_are_named_and_bend_nobody(size: float, n_bad: int) -> None:
    """C19: the solution is that of the other pairs alone."""
    lattice, rng = Lattice(6), np.random.default_rng(20)
    truth = lattice.planes(rng, slope=1e-3, wave=0)
    table = lattice.table(truth, lattice.noise(rng))
    bad = rng.choice(len(table.plus), n_bad, replace=False)
    table.difference[bad, 0] += size * rng.choice([-1, 1], n_bad)
    found = solve(table, lattice.frames, slope_prior=1e-3)
    assert set(np.flatnonzero(~found.remainders.kept)) == set(bad)
    rest = np.ones(len(table.plus), bool)
    rest[bad] = False
    alone = solve(table.rows(rest), lattice.frames, slope_prior=1e-3)
    np.testing.assert_allclose(found.parameters, alone.parameters, atol=1e-9)
    np.testing.assert_allclose(found.standard_errors, alone.standard_errors, rtol=1e-9)
    assert found.misfit == 0


def test_a_gross_image_bends_nobody() -> None:
    """C19: all differences of one image are off, each in its own way; its neighbours do not follow."""
    lattice, rng = Lattice(6), np.random.default_rng(21)
    truth = lattice.planes(rng, slope=1e-3, wave=0)
    table = lattice.table(truth, lattice.noise(rng))
    wild = (table.plus == 14) | (table.minus == 14)
    table.difference[wild] += rng.uniform(-100, 100, (wild.sum(), 3)) / (1, H, H)
    found = solve(table, lattice.frames, slope_prior=1e-3)
    alone = solve(table.rows(~wild), lattice.frames, slope_prior=1e-3)
    others = np.arange(36) != 14
    shift = (found.level - alone.level)[others]
    assert np.abs(shift - shift.mean()).max() < alone.standard_errors[others, 0].min()
    assert found.remainders.kept[~wild].all() and not found.remainders.kept[wild].any()
    assert found.unpaired == ()


def test_no_rejection_cuts_an_image_off() -> None:
    """What alone ties two images cannot disagree with anything. A second such tie can, and one of them stays."""
    lattice, rng = Lattice(3), np.random.default_rng(22)
    table = lattice.table(np.zeros((9, 3)), lattice.noise(rng))
    ties = (table.plus == 8) | (table.minus == 8)
    first, second = np.flatnonzero(ties)[:2]
    keep = ~ties
    keep[[first, second]] = True
    table.difference[second, 0] += 1e3
    found = solve(table.rows(keep), lattice.frames, slope_prior=1e-3)
    assert found.unpaired == () and len(np.unique(found.components)) == 1
    assert (~found.remainders.kept).sum() <= 1


def test_what_no_plane_describes_enters_the_errors() -> None:
    """Noise of 0.3 in the levels beyond the stated 0.005: found, and the errors agree with the scatter again."""
    lattice, rng, extra, draws = Lattice(6), np.random.default_rng(23), 0.3, 60
    shape = np.linalg.cholesky(np.linalg.inv(lattice.information) * lattice.information[:, :1, :1])
    z2, misfits = [], []
    for _ in range(draws):
        truth = lattice.planes(rng, slope=1e-3, wave=0)
        beyond = extra * (shape @ rng.normal(size=(len(lattice.plus), 3, 1)))[:, :, 0]
        table = lattice.table(truth, lattice.noise(rng) + beyond)
        found = solve(table, lattice.frames, slope_prior=1e-3 / math.sqrt(3))
        e = found.parameters[:, 0] - truth[:, 0] + truth[:, 0].mean()
        z2.append((e / found.standard_errors[:, 0]) ** 2)
        misfits.append(found.misfit)
        assert found.remainders.kept.sum() >= len(lattice.plus) - 1
    assert abs(np.mean(misfits) / extra - 1) < 0.05
    assert 0.75 < np.mean(z2) < 1.25


def test_steep_images_are_not_bent_by_the_others_prior() -> None:
    """Slopes of 5 for two images of 36, 0.1 for the rest, and a misfit of 0.3: all are found within their errors."""
    lattice, rng = Lattice(6), np.random.default_rng(31)
    truth = lattice.planes(rng, slope=0.1 / H, wave=0)
    truth[[14, 21], 1:] = np.array([[5.0, 3.0], [-4.0, 5.0]]) / H
    shape = np.linalg.cholesky(np.linalg.inv(lattice.information) * lattice.information[:, :1, :1])
    beyond = 0.3 * (shape @ rng.normal(size=(len(lattice.plus), 3, 1)))[:, :, 0]
    found = solve(lattice.table(truth, lattice.noise(rng) + beyond), lattice.frames)
    assert found.tau is not None and found.tau < 0.5 / H and found.remainders.kept.all()
    assert found.misfit == pytest.approx(0.3, rel=0.2)
    z = (found.parameters - truth)[[14, 21], 1:] / found.standard_errors[[14, 21], 1:]
    assert np.abs(z).max() < 3.5
    assert np.abs(found.parameters[[14, 21], 1:] - truth[[14, 21], 1:]).max() < 1.0 / H


def test_stacks_count_their_noise_once() -> None:
    """n images on one another, all pairs: the error of a level is σ/√n_pix·√(1 - 1/n), not √(2/n) of that."""
    n, pixels, draws, rng = 12, 1e4, 300, np.random.default_rng(24)
    plus, minus = np.triu_indices(n, 1)
    frames = np.tile((0.0, 0.0, 50.0), (n, 1))
    information = np.zeros((plus.size, 3, 3))
    information[:, 0, 0] = pixels / 2
    zero, share = np.zeros(plus.size), np.full(plus.size, 2 / n)
    errors = []
    for _ in range(draws):
        level = rng.normal(0, 1 / math.sqrt(pixels), n)  # the mean noise of each image
        f = np.stack((level[plus] - level[minus], zero, zero), axis=1)
        found = solve(PairTable(plus, minus, zero, zero, f, information, share), frames, "level")
        errors.append(found.level)
        assert found.misfit == 0 and found.remainders.kept.all()
    stated = found.standard_errors[:, 0]
    np.testing.assert_allclose(stated, math.sqrt((1 - 1 / n) / pixels), rtol=1e-9)
    assert abs(np.std(errors) / stated.mean() - 1) < 0.05


# --- wishes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", [None, "auto", 1e-2])
def test_locked_images_are_not_corrected_and_the_others_fit_them(prior: Any) -> None:
    lattice = Lattice(4)
    truth = lattice.planes(np.random.default_rng(25), slope=1e-3)
    truth[5] = truth[11] = 0
    found = solve(lattice.table(truth, factor=1e6), lattice.frames, slope_prior=prior, locked=[5, 11])
    assert not found.parameters[[5, 11]].any() and found.locked == (5, 11)
    np.testing.assert_allclose(found.parameters * (1, H, H), truth * (1, H, H), atol=1e-4)
    assert "2 locked images" in found.gauge and not found.standard_errors[[5, 11]].any()
    assert (found.standard_errors[0] > 0).all()


@pytest.mark.parametrize("prior", [None, 1e-2])
def test_anchors_have_zero_mean(prior: Any) -> None:
    """One anchor without a prior is not corrected at all; with one, its slopes are what the data say."""
    lattice, rng = Lattice(4), np.random.default_rng(26)
    table = lattice.table(lattice.planes(rng, slope=1e-3), lattice.noise(rng))
    plain = solve(table, lattice.frames, slope_prior=prior)
    one, two = (solve(table, lattice.frames, slope_prior=prior, anchors=a) for a in ([6], [1, 6]))
    assert abs(one.level[6]) < 1e-9 and abs(two.level[[1, 6]].mean()) < 1e-9
    assert "anchors" in one.gauge
    g = np.zeros((1, 48))
    g[0, 0], g[0, 45] = 1, -1  # a difference is the same in any gauge, with its error, but for a common plane
    if prior is None:
        assert np.abs(one.parameters[6] * (1, H, H)).max() < 1e-9 and np.abs(one.standard_errors[6]).max() < 1e-9
        assert lattice.residual(one.parameters, plain.parameters) < 1e-9
    else:
        np.testing.assert_allclose(one.parameters - plain.parameters, [[-plain.level[6], 0, 0]] * 16, atol=1e-9)
        np.testing.assert_allclose(one.variance(g), plain.variance(g), rtol=1e-9)
        assert one.standard_errors[6, 0] < 1e-6 * plain.standard_errors[6, 0]


def test_selected_covariances_are_those_of_solves_in_every_gauge() -> None:
    """Blocks of images and of pairs, in two groups, with pins, priors, anchors and locks."""
    table, frames, _truth, _ = two_lattices()
    each: tuple[dict[str, Any], ...] = (
        {}, {"anchors": [2, 4, 12]}, {"locked": [3]}, {"locked": [3, 15], "anchors": [0]},
    )  # fmt: skip
    for wishes in each:
        for prior in (None, 0.01):
            found = solve(table, frames, slope_prior=prior, **wishes)
            first, second = np.concatenate((np.arange(19), table.plus)), np.concatenate((np.arange(19), table.minus))
            blocks = found.known.blocks(first, second)
            q, z = found.known.functionals(csr_array(np.eye(57)))
            dense = (q.T @ z / found.known.weight).reshape(19, 3, 19, 3).swapaxes(1, 2)
            unit = np.array((1, H, H))
            scaled = (blocks - dense[first, second]) * unit[:, None] * unit
            assert np.abs(scaled).max() < 1e-9 * np.abs(dense * unit[:, None] * unit).max()


def test_wishes_about_unknown_images_are_refused() -> None:
    lattice = Lattice(2)
    table = lattice.table(np.zeros((4, 3)))
    for name in ("locked", "anchors", "level_only"):
        with pytest.raises(InputError, match=name):
            solve(table, lattice.frames, **cast("dict[str, Any]", {name: [4]}))
    with pytest.raises(InputError, match="direct, relaxation"):
        solve(table, lattice.frames, solver="annealing")


# --- relaxation ---------------------------------------------------------------------------------------------------


def test_relaxation_ends_at_the_direct_solution() -> None:
    lattice, rng = Lattice(3), np.random.default_rng(27)
    table = lattice.table(lattice.planes(rng), lattice.noise(rng))
    direct = solve(table, lattice.frames, slope_prior=None)
    relaxed = solve(table, lattice.frames, solver="relaxation", tolerance=1e-6)
    assert relaxed.converged and 10 < (relaxed.steps or 0) < 10_000
    np.testing.assert_allclose(relaxed.parameters * (1, H, H), direct.parameters * (1, H, H), atol=1e-2)
    hasty = solve(table, lattice.frames, solver="relaxation", max_steps=5)
    assert not hasty.converged and hasty.steps == 5
    with pytest.raises(InputError, match="direct"):
        _ = relaxed.standard_errors


def test_one_step_of_relaxation_is_half_of_what_the_neighbour_asks() -> None:
    """Two images whose levels differ by 8: each moves by half of it, all at once, and they agree."""
    information = np.zeros((1, 3, 3))
    information[0, 0, 0] = 1
    pair = PairTable(np.array([0]), np.array([1]), np.zeros(1), np.zeros(1), np.array([[8.0, 0, 0]]), information)
    found = solve(pair, np.array([[0.0, 0, 1], [0, 0, 1]]), "level", solver="relaxation", max_steps=1)
    assert found.level.tolist() == [4.0, -4.0]


# --- largest scales -----------------------------------------------------------------------------------------------


def test_lattices_drift_as_they_are_known_to() -> None:
    """Overlaps of 10 %: free planes of 49 and 400 images drift by 0.07 and 0.26 of the noise, levels by 0.005."""
    for k, drift in ((7, 0.07), (20, 0.26)):
        lattice = Lattice(k)
        table = lattice.table(np.zeros((k * k, 3)), factor=0.5)  # two images' noise in a difference
        free = large_scale(solve(table, lattice.frames, slope_prior=None))
        level = large_scale(solve(table, lattice.frames, "level"))
        assert 0.6 < free.rms / drift < 1.7 and level.rms < 0.02
        assert "bowl" in free.modes[0].name or "saddle" in free.modes[0].name
        assert 0.2 < free.modes[0].share < 1


def test_the_largest_scales_are_those_of_dense_algebra() -> None:
    """3 × 3 images, by 40 digits: what is left beyond a plane, the gradient, and the modes."""
    lattice, rng = Lattice(3), np.random.default_rng(32)
    table = lattice.table(np.zeros((9, 3)), lattice.noise(rng))
    found = solve(table, lattice.frames, slope_prior=None)
    _, covariance = dense_oracle(lattice, table, None)
    levels, (x, y) = covariance[::3, ::3], found.centres.T
    plane = np.column_stack([np.ones(9), x, y])
    beyond = np.eye(9) - plane @ np.linalg.pinv(plane)
    values = np.linalg.eigvalsh(beyond @ levels @ beyond)[::-1]
    scale = large_scale(found)
    assert scale.rms == pytest.approx(math.sqrt(values.sum() / 9), rel=1e-6)
    np.testing.assert_allclose([mode.rms for mode in scale.modes], np.sqrt(values[: len(scale.modes)] / 9), rtol=1e-6)
    slope = np.linalg.pinv(plane)[1]
    across = np.ptp(x) + 2 * H
    assert scale.gradient[0] == pytest.approx(math.sqrt(max(0.0, slope @ levels @ slope)) * across, abs=1e-6)


def test_large_groups_have_the_modes_of_dense_algebra() -> None:
    """400 images take the iteration; the dense eigenvalues are a hundredth off at most."""
    lattice, rng = Lattice(20), np.random.default_rng(30)
    found = solve(lattice.table(np.zeros((400, 3)), lattice.noise(rng)), lattice.frames, slope_prior=None)
    modes = large_scale(found).modes
    q, z = found.known.functionals(csr_array(np.eye(1200)[::3]))
    covariance = q.T @ z / found.known.weight
    plane = np.column_stack([np.ones(400), found.centres])
    beyond = np.eye(400) - plane @ np.linalg.pinv(plane)
    values = np.linalg.eigvalsh(beyond @ covariance @ beyond)[::-1]
    np.testing.assert_allclose([mode.rms**2 for mode in modes], values[: len(modes)] / 400, rtol=1e-2)


# --- units, seams, rows -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["direct", "relaxation"])
@pytest.mark.parametrize("unit", [1e-20, 1e-8, 1e8, 1e20])
def test_the_unit_of_the_pixels_does_not_matter(unit: float, solver: str) -> None:
    """With a misfit, a gross pair and the prior from the data: all scales with the pixels."""
    lattice, rng = Lattice(5), np.random.default_rng(33)
    truth = lattice.planes(rng, slope=1e-3, wave=0)
    shape = np.linalg.cholesky(np.linalg.inv(lattice.information) * lattice.information[:, :1, :1])
    beyond = 0.3 * (shape @ rng.normal(size=(len(lattice.plus), 3, 1)))[:, :, 0]
    table = lattice.table(truth, lattice.noise(rng) + beyond)
    table.difference[7, 0] += 100
    other = replace(table, difference=unit * table.difference, information=table.information / unit**2)
    one, two = (solve(t, lattice.frames, solver=solver, max_steps=200) for t in (table, other))
    np.testing.assert_allclose(two.parameters / unit, one.parameters, rtol=1e-6, atol=1e-9)
    assert two.steps == one.steps and np.array_equal(two.remainders.kept, one.remainders.kept)
    if solver == "direct":
        assert one.misfit > 0.1 and two.misfit == pytest.approx(one.misfit * unit, rel=1e-4)
        np.testing.assert_allclose(two.standard_errors / unit, one.standard_errors, rtol=1e-3)


def test_images_in_one_row_know_no_gradient_across_it() -> None:
    frames = np.array([[460.0 * k, 1e-6 * (k % 2), H] for k in range(6)])
    a = np.arange(5)
    information = np.tile(np.diag([26624.0, 26624 * 225, 26624 * 21845]), (5, 1, 1))
    pairs = PairTable(a, a + 1, frames[:5, 0] + 230, np.zeros(5), np.zeros((5, 3)), information)
    found = solve(pairs, frames, slope_prior=1e-3)
    scale = large_scale(found)
    g = np.zeros((6, 18))
    g[:, ::3] = np.eye(6) - np.column_stack([np.ones(6), frames[:, 0]]) @ np.linalg.pinv(
        np.column_stack([np.ones(6), frames[:, 0]])
    )
    assert scale.rms == pytest.approx(math.sqrt(found.variance(g).mean()), rel=1e-6)
    assert np.isfinite(scale.gradient[0]) and math.isnan(scale.gradient[1])


@pytest.mark.parametrize("prior", [None, 1e6, 1e-3])
def test_a_ring_has_no_common_gradient(prior: float | None) -> None:
    """Eight images around the sky, the last pair seen across the seam: what is returned fits what was given."""
    n, step = 8, 450.0
    frames = np.array([[step * k, 0.0, H] for k in range(n)])
    a = np.arange(n)
    b = (a + 1) % n
    truth = np.random.default_rng(34).normal(size=(n, 3)) * (1, 1e-3, 1e-3)
    x0 = frames[:, 0] + step / 2
    affines = np.tile(np.eye(2, 3), (n, 2, 1, 1))
    affines[-1, 1, 0, 2] = -n * step  # the first image, seen from the end of the map
    f = truth[a] - truth[b]
    f[:, 0] += truth[a, 1] * (x0 - frames[a, 0]) - truth[b, 1] * (x0 + affines[:, 1, 0, 2] - frames[b, 0])
    information = np.tile(np.diag([3e4, 3e4 * 300, 3e4 * 2e4]), (n, 1, 1)) * 1e6
    found = solve(PairTable(a, b, x0, np.zeros(n), f, information, affines=affines), frames, slope_prior=prior)
    left = f - (found.parameters[a] - found.parameters[b])
    p = found.parameters
    left[:, 0] -= p[a, 1] * (x0 - frames[a, 0]) - p[b, 1] * (x0 + affines[:, 1, 0, 2] - frames[b, 0])
    np.testing.assert_allclose(left[:, 0], found.remainders.after, atol=1e-9)
    if prior is None:
        assert found.level_only == tuple(range(n))
    else:
        assert np.abs(left[:, 0]).max() < 1e-4
