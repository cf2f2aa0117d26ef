"""Prediction: what the overlaps of a plan can tell of the background, before a pixel is read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dmontage.pipeline.match import Match

if TYPE_CHECKING:
    from dmontage.planner import MosaicPlan

__all__ = ["advice", "with_prediction"]

_WORTH_ADVICE = 0.2
"""Of the noise of an input pixel: an error on the largest scales above it calls for advice."""

_FREE = 1.0
"""Prior of the slopes, in units of the noise per pixel: no image is nearly so steep, and no equation singular."""

_EFFICIENCY = 0.97
"""What clipping at three standard deviations leaves of the information."""


def with_prediction(plan: MosaicPlan) -> MosaicPlan:
    """The plan with the predicted error on the largest scales, and with advice where that is large.

    Slopes are taken as free: how far a prior holds them down is known from the data only.
    """
    if not plan.is_matched or plan.n_images < 2:
        return plan
    from dmontage.background import PairTable, error_beyond_a_plane

    match = Match(plan)
    overlaps = match.overlaps()
    # Input pixels in the overlap, half as many by the noise of a difference.
    n_input = 0.5 * _EFFICIENCY * np.array(plan.pair_ratios) ** 2
    information = overlaps.moments * n_input[:, None, None]
    (plus, minus), (x0, y0) = overlaps.ends.T, overlaps.origins.T
    rows = PairTable(plus, minus, x0, y0, np.zeros((len(plus), 3)), information)
    table = match.between_images(rows, overlaps.share)
    error = error_beyond_a_plane(match.solved(table, plan.background, _FREE))
    said = advice(error, plan.background)
    return replace(plan, large_scale=error, warnings=(*plan.warnings, *([said] if said else [])))


def advice(error: float, model: str) -> str:
    """What to do about an error on the largest scales, in units of an input pixel's noise; empty where it is small."""
    if error <= _WORTH_ADVICE:
        return ""
    remedy = "compare what levels alone leave (background 'level'), or lock images that are known to be right"
    if model == "level":
        remedy = "lock images that are known to be right"
    return f"the overlaps leave an error of {error:.2g} of the noise on the largest scales: {remedy}"
