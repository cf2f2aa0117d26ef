"""The solve itself: tables in, weights, prior, groups and equations, solution out (level 3)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from dmontage.background.groups import Groups, Wishes
from dmontage.background.normal import Normal, System
from dmontage.background.prior import is_negligible, prior_of
from dmontage.background.relaxation import relax
from dmontage.background.robust import Robust, robust_fit
from dmontage.background.solution import Remainders, Solution
from dmontage.background.tables import PairTable, check_images, check_rows, frame_table, weights_of
from dmontage.errors import InputError
from dmontage.model import SOLVERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dmontage.background.tables import Floats, ImageFrame
    from dmontage.model import PlaneFit

__all__ = ["solve"]


def solve(
    fits: Sequence[PlaneFit] | PairTable,
    images: Sequence[ImageFrame] | Floats,
    model: Literal["plane", "level"] = "plane",
    slope_prior: Literal["auto"] | float | None = "auto",
    *,
    level_only: Sequence[int] = (),
    locked: Sequence[int] = (),
    anchors: Sequence[int] = (),
    solver: str = "direct",
    tolerance: float = 1e-4,
    max_steps: int = 10_000,
) -> Solution:
    """Corrections of all images from the differences of their overlaps.

    Parameters
    ----------
    fits
        Fitted differences, as nouns or as one table.
    images
        Frames of all n images, or their (n, 3) array of x, y, half_size.
    model
        ``"level"`` keeps all slopes exactly zero.
    slope_prior
        Standard deviation of the zero-mean prior on the slopes, per mosaic pixel; estimated from the data where
        ``"auto"``; no prior where None; zero is level-only.
    level_only
        Images whose slopes are zero all the same.
    locked
        Images that are not corrected: the others are fitted to them.
    anchors
        Images whose mean correction is zero; of all images in groups without any.
    solver
        ``"direct"``: least squares, robust, with its covariance. ``"relaxation"``: the papers' own iteration, which
        knows neither prior nor rejection nor covariance.
    tolerance, max_steps
        Of the relaxation: it ends when no level, and no slope over half an image, moves by ``tolerance``.

    Returns
    -------
    Solution
        Corrections with their errors; what was left out is listed in it.

    Raises
    ------
    InputError
        For pairs or wishes of unknown images, numbers that are not finite, a negative prior, or an unknown solver.
    """
    table = fits if isinstance(fits, PairTable) else PairTable.of(fits)
    frames = frame_table(images)
    check_rows(table, len(frames))
    for name, some in (("level_only", level_only), ("locked", locked), ("anchors", anchors)):
        check_images(name, some, len(frames))
    if solver not in SOLVERS:
        raise InputError(f"solver {solver!r} is not one of {', '.join(SOLVERS)}")
    used = table.information[:, 0, 0] > 0
    pairs = table.rows(used)
    w, weight = weights_of(pairs.information)
    wishes = Wishes.of(len(frames), locked, anchors, level_only)
    problem = _Problem(pairs, w, weight, frames, None if model == "plane" else 0.0, wishes)
    if solver == "relaxation":
        found, steps, converged = _relaxed(problem, tolerance, max_steps)
        return _solution(problem, found, _rows(~used), problem.tau, steps, converged)
    tau = prior_of(pairs, w * weight, slope_prior) if model == "plane" else 0.0
    found = problem.with_prior(tau).robust()
    if found.misfit and tau and slope_prior == "auto":
        misfit = _misfit_of_free_slopes(problem, found)
        tau = prior_of(pairs, w * (weight / (1 + misfit * w[:, :1, :1] * weight)), slope_prior)
        found = problem.with_prior(tau).robust()
    return _solution(problem, found, _rows(~used), tau)


def _misfit_of_free_slopes(problem: _Problem, found: Robust) -> float:
    """κ² that the prior's estimate is to know of: what pairs disagree by is in the differences of their slopes too.

    With the slopes free it is seen by itself; beside a prior that is to be found as well, the two would take each
    other's part. Where free slopes are not determined, it is that of the solution with a prior.
    """
    try:
        return problem.robust().misfit
    except InputError:
        return found.misfit


@dataclass(frozen=True)
class _Problem:
    """All that a least-squares fit takes but the pairs' weights."""

    pairs: PairTable
    w: Floats
    """(m, 3, 3) information, in units of `weight`."""
    weight: float
    frames: Floats
    tau: float | None
    wishes: Wishes

    def with_prior(self, tau: float | None) -> _Problem:
        """The same with another prior; one so wide that rounding hides it is none."""
        return replace(self, tau=None if is_negligible(tau, self.w * self.weight) else tau)

    def robust(self) -> Robust:
        """The solution without the pairs that disagree."""
        return robust_fit(self.pairs, self.w * self.weight, self.frames, self.fit)

    @cached_property
    def system(self) -> System:
        return System.of(self.pairs, self.frames)

    def penalty(self, width: Floats) -> Floats:
        """(3n,) of the prior, τ being ``width`` (n,) times as wide for an image."""
        penalty = np.zeros((len(self.frames), 3))
        if self.tau:
            penalty[:, 1:] = 1 / (self.weight * (self.tau * width[:, None] * self.frames[:, 2:]) ** 2)
        return penalty.ravel()

    def groups(self, kept: NDArray[np.bool_]) -> Groups:
        return Groups.of(self.pairs.rows(kept), self.w[kept], self.frames, self.tau, self.wishes)

    def fit(self, weights: Floats, width: Floats | None = None) -> _Fitted:
        """Least squares with the pairs' weights (m,), and τ so much wider for each image (n,)."""
        penalty = self.penalty(np.ones(len(self.frames)) if width is None else width)
        kept = weights > 0
        groups, system, w = self.groups(kept), self.system.rows(kept), self.w[kept] * weights[kept, None, None]
        difference, free = self.pairs.difference[kept], groups.free()
        factor, scale = system.factored(w, penalty, free)
        normal = Normal(factor, scale, free, system.unit, self.weight, groups.gauge(self.frames))
        p = normal.solve(system.right(w, difference))
        p += normal.solve(system.right(w, system.residuals(difference, p)) - penalty * p)
        return _Fitted(self, groups, normal, p, penalty)


@dataclass(frozen=True)
class _Fitted:
    problem: _Problem
    groups: Groups
    normal: Normal | None
    p: Floats
    """(3n,) internal parameters, in no gauge."""
    penalty: Floats

    @cached_property
    def residuals(self) -> Floats:
        return self.problem.system.residuals(self.problem.pairs.difference, self.p)

    def predicted(self, some: NDArray[np.bool_]) -> Floats:
        """(k, 3, 3) covariances of what the solution says of some pairs' differences."""
        assert self.normal is not None
        return self.normal.of_differences(self.problem.system.rows(some))

    @property
    def steepness(self) -> Floats:
        """(n,) slopes of each image in units of τ; 0 without a prior."""
        if not self.problem.tau:
            return np.zeros(len(self.problem.frames))
        natural = (self.p * self.problem.system.unit).reshape(-1, 3)
        return np.asarray(np.hypot(natural[:, 1], natural[:, 2]) / self.problem.tau)

    @property
    def n_free(self) -> int:
        """Parameters that were solved for."""
        return 0 if self.normal is None else self.normal.free.size

    @cached_property
    def n_effective(self) -> float:
        """Free parameters, less what of them the prior fixes."""
        normal = self.normal
        if normal is None or not normal.free.size or not self.problem.tau:
            return float(self.n_free)
        each = np.arange(normal.free.size)
        by_prior = normal.factor.inverse_at(each, each) * normal.scale**2 * self.penalty[normal.free]
        return float(normal.free.size - by_prior.sum())


def _relaxed(problem: _Problem, tolerance: float, max_steps: int) -> tuple[Robust, int, bool]:
    kept = np.ones(len(problem.w), bool)
    groups = problem.groups(kept)
    # No image is pinned: the mean moves nowhere, since what one image is asked for its neighbour is asked against.
    free = groups.free(pinned=False)
    p, steps, converged = relax(problem.system, problem.w, problem.pairs.difference, free, tolerance, max_steps)
    fitted = _Fitted(problem, groups, None, p, np.zeros_like(p))
    return Robust(fitted, kept, 0.0, np.zeros(kept.size)), steps, converged


def _solution(
    problem: _Problem,
    found: Robust,
    unusable: tuple[int, ...],
    tau: float | None,
    steps: int | None = None,
    converged: bool = True,
) -> Solution:
    fitted = found.fitted
    assert isinstance(fitted, _Fitted)
    groups, frames = fitted.groups, problem.frames
    p = groups.gauge(frames).move(fitted.p * problem.system.unit)
    return Solution(
        parameters=p.reshape(-1, 3),
        frames=frames,
        components=groups.component,
        unpaired=_rows(~groups.paired),
        level_only=_rows(groups.level_only),
        locked=_rows(problem.wishes.locked),
        unusable=unusable,
        gauge=groups.gauge_text(),
        tau=tau,
        misfit=float(np.sqrt(found.misfit)),
        remainders=Remainders.of(problem.pairs, fitted.residuals, found.kept, found.t),
        normal=fitted.normal,
        steps=steps,
        converged=converged,
    )


def _rows(mask: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(np.flatnonzero(mask).tolist())
