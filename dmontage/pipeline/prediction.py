"""Prediction: what the overlaps of a plan can tell of the background, before a pixel is read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dmontage.pipeline.match import Match
from dmontage.pipeline.overlap_geometry import overlap_geometry

if TYPE_CHECKING:
    from dmontage.planner import MosaicPlan

__all__ = ["ADVICE", "with_prediction"]

ADVICE = 0.2
"""Of the noise of an input pixel: an error on the largest scales above it calls for advice."""

_EFFICIENCY = 0.97
"""What clipping at three standard deviations leaves of the information."""


def with_prediction(plan: MosaicPlan) -> MosaicPlan:
    """The plan with the predicted error on the largest scales, and with advice where that is large.

    Slopes are taken as free: how far a prior holds them down is known from the data only.
    """
    if not plan.is_matched or plan.n_images < 2:
        return plan
    error, warnings = _predicted(plan, plan.background), plan.warnings
    if error > ADVICE:
        say = f"the overlaps leave an error of up to {error:.2g} of the noise on the largest scales"
        if plan.background == "plane":
            level = _predicted(plan, "level")
            say += f": match levels only (background 'level': {level:.2g}), or lock images that are known to be right"
        else:
            say += ": lock images that are known to be right"
        warnings = (*warnings, say)
    return replace(plan, large_scale=error, warnings=warnings)


def _predicted(plan: MosaicPlan, model: str) -> float:
    """In units of the noise of an input pixel."""
    from dmontage.background import PairTable, large_scale, solve

    match, overlaps = Match(plan), overlap_geometry(plan)
    m = len(plan.pairs)
    ends = np.array([(pair.plus, pair.minus) for pair in plan.pairs], np.int64).reshape(m, 2)
    ratio = np.array(plan.ratios)[ends].min(axis=1, initial=np.inf)
    # Input pixels in the overlap, half as many by the noise of a difference.
    information = overlaps.moments * (0.5 * _EFFICIENCY * ratio**2)[:, None, None]
    image_of = np.array(plan.image_of)
    origins = np.array([pair.origin for pair in plan.pairs], float).reshape(m, 2)
    views = None if match.views is None else np.stack([match.views[ends[:, 0]], match.views[ends[:, 1]]], axis=1)
    table = PairTable(
        image_of[ends[:, 0]], image_of[ends[:, 1]], origins[:, 0],
        origins[:, 1], np.zeros((m, 3)), information,
        overlaps.share, views,
    )  # fmt: skip
    return float(
        large_scale(
            solve(
                table,
                match.frames,
                "level" if model == "level" else "plane",
                None,
                level_only=match.level_only,
                locked=plan.locked,
                anchors=plan.anchors,
            )
        ).rms
    )
