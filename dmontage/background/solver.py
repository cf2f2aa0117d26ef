"""The solve itself: tables in, weights, prior, groups and equations, solution out (level 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from dmontage.background.groups import Groups
from dmontage.background.normal import Normal, System
from dmontage.background.prior import prior_of
from dmontage.background.solution import Report, Solution
from dmontage.background.tables import PairTable, check_rows, frame_table, weights_of

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
    level_only: Sequence[int] = (),
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

    Returns
    -------
    Solution
        Corrections with their error on demand; what was left out is listed in it.

    Raises
    ------
    InputError
        For pairs of unknown images, numbers that are not finite, or a negative prior.
    """
    table = fits if isinstance(fits, PairTable) else PairTable.of(fits)
    frames = frame_table(images)
    check_rows(table, len(frames))
    used = table.information[:, 0, 0] > 0
    pairs = table.rows(used)
    w, weight = weights_of(pairs.information)
    tau = prior_of(pairs, w * weight, slope_prior) if model == "plane" else 0.0
    without_slopes = np.zeros(len(frames), dtype=bool)
    without_slopes[list(level_only)] = True
    groups = Groups.of(pairs, w, frames, tau, without_slopes)
    system = System.of(pairs, w, frames)
    penalty = np.zeros((len(frames), 3))
    if tau:
        penalty[:, 1:] = 1 / (weight * (tau * frames[:, 2:]) ** 2)
    free = groups.free()
    normal = Normal(*system.factored(penalty.ravel(), free), free, system.unit, weight, *groups.null_vectors(frames))
    p = normal.solve(system.right(pairs.difference))
    p += normal.solve(system.right(system.residuals(pairs.difference, p)) - penalty.ravel() * p)
    p = normal.to_gauge(p * system.unit)
    return Solution(
        parameters=p.reshape(-1, 3),
        centres=frames[:, :2],
        components=groups.component,
        unpaired=_rows(~groups.paired),
        level_only=_rows(groups.level_only),
        unusable=_rows(~used),
        gauge=groups.gauge_text(),
        tau=tau,
        report=Report.of(pairs, w[:, 0, 0], system.residuals(pairs.difference, p / system.unit)),
        normal=normal,
    )


def _rows(mask: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(np.flatnonzero(mask).tolist())
