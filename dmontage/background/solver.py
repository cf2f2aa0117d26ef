"""The solve itself: tables in, weights, prior, groups and equations, solution out (level 3)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from dmontage.background.factor import one_thread
from dmontage.background.groups import Wishes
from dmontage.background.least_squares import Fitted, LeastSquares
from dmontage.background.prior import prior_of
from dmontage.background.relaxation import relax
from dmontage.background.robust import Robust, robust_fit
from dmontage.background.solution import Remainders, Solution
from dmontage.background.tables import PairTable, check_images, check_rows, frame_table, weights_of
from dmontage.errors import InputError
from dmontage.model import check_solver

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
    tolerance: float = 0.01,
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
        Of the relaxation: it ends when no level, and no slope over half an image, moves by ``tolerance`` of the usual
        pair's standard error.

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
    check_solver(solver)
    used = table.information[:, 0, 0] > 0
    pairs = table.rows(used)
    w, weight = weights_of(pairs.information)
    wishes = Wishes.of(len(frames), locked, anchors, level_only)
    problem = LeastSquares(pairs, w, weight, frames, None if model == "plane" else 0.0, wishes)
    with one_thread():
        if solver == "relaxation":
            found, steps, converged = _relaxed(problem, tolerance / math.sqrt(weight), max_steps)
            return _solution(found, _rows(~used), problem.tau, steps, converged)
        found, tau = _direct(problem, slope_prior if model == "plane" else 0.0)
        return _solution(found, _rows(~used), tau)


def _direct(problem: LeastSquares, slope_prior: float | str | None) -> tuple[Robust, float | None]:
    """The robust solution, and the prior that it was found with."""
    pairs, w, weight = problem.pairs, problem.w, problem.weight
    tau = prior_of(pairs, w * weight, slope_prior)
    found = robust_fit(problem.with_prior(tau))
    if found.misfit and tau and slope_prior == "auto":
        misfit = _misfit_of_free_slopes(problem, found)
        tau = prior_of(pairs, w * (weight / (1 + misfit * w[:, :1, :1] * weight)), slope_prior)
        found = robust_fit(problem.with_prior(tau))
    return found, tau


def _misfit_of_free_slopes(problem: LeastSquares, found: Robust) -> float:
    """κ² that the prior's estimate is to know of: what pairs disagree by is in the differences of their slopes too.

    With the slopes free it is seen by itself; beside a prior that is to be found as well, the two would take each
    other's part. Where free slopes are not determined, it is that of the solution with a prior.
    """
    if problem.pairs.affines is not None:
        return found.misfit
    try:
        return robust_fit(problem).misfit
    except InputError:
        return found.misfit


def _relaxed(problem: LeastSquares, tolerance: float, max_steps: int) -> tuple[Robust, int, bool]:
    kept = np.ones(len(problem.w), bool)
    _, groups = problem.part(kept)
    # No image is pinned: the mean moves nowhere, since what one image is asked for its neighbour is asked against.
    free = groups.free(pinned=False)
    p, steps, converged = relax(problem.system, problem.w, problem.pairs.difference, free, tolerance, max_steps)
    fitted = Fitted(problem, groups, None, p, np.zeros_like(p))
    return Robust(fitted, kept, 0.0, np.full(kept.size, np.nan)), steps, converged


def _solution(
    found: Robust,
    unusable: tuple[int, ...],
    tau: float | None,
    steps: int | None = None,
    converged: bool = True,
) -> Solution:
    fitted = found.fitted
    problem, groups = fitted.problem, fitted.groups
    p = groups.gauge(problem.frames).move(fitted.p * problem.system.unit)
    left = problem.system.residuals(problem.pairs.difference, p / problem.system.unit)
    return Solution(
        parameters=p.reshape(-1, 3),
        frames=problem.frames,
        components=groups.component,
        unpaired=_rows(~groups.paired),
        level_only=_rows(groups.level_only),
        locked=_rows(problem.wishes.locked),
        unusable=unusable,
        gauge=groups.gauge_text(),
        tau=tau,
        misfit=float(np.sqrt(found.misfit)),
        remainders=Remainders.of(problem.pairs, left, found.kept, found.t),
        normal=fitted.normal,
        steps=steps,
        converged=converged,
    )


def _rows(mask: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(np.flatnonzero(mask).tolist())
