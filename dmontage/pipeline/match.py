"""Match: the overlaps of a plan's rows, and the corrections of its images."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

from dmontage.background import ImageFrame, Solution, solve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dmontage.model import PlaneFit
    from dmontage.planner import MosaicPlan
    from dmontage.window import Window

__all__ = ["pair_arguments", "solve_images"]


def pair_arguments(plan: MosaicPlan) -> list[tuple[Any, ...]]:
    """Per batch: (plus, minus, what projection enlarges the covariance by) of each pair, and the model."""
    ratio = plan.ratios
    # The coarser image's noise is the more correlated: it rules how many differences are independent.
    coarser = [(p.plus, p.minus, min(ratio[p.plus], ratio[p.minus])) for p in plan.pairs]
    pairs = [(plus, minus, plan.correlation(least) ** 2) for plus, minus, least in coarser]
    return [([pairs[i] for i in batch], plan.background) for batch in plan.pair_batches]


def solve_images(plan: MosaicPlan, fits: Sequence[PlaneFit]) -> Solution:
    """Corrections of the images, from the fitted differences of their rows.

    An image that is cut has one level in all of its windows, and no slopes: in pixels of two windows far apart they
    are not one thing (in planes on the sky they would be).
    """
    largest: dict[int, Window] = {}
    for image, row in zip(plan.image_of, plan.rows, strict=True):
        largest[image] = max(largest.get(image, row.window), row.window, key=lambda window: window.size)
    frames = [ImageFrame((w.x0 + w.x1 - 1) / 2, (w.y0 + w.y1 - 1) / 2, max(w.shape) / 2) for w in largest.values()]
    of_images = [replace(fit, plus=plan.image_of[fit.plus], minus=plan.image_of[fit.minus]) for fit in fits]
    cut = [image for image, n_rows in Counter(plan.image_of).items() if n_rows > 1]
    return solve(of_images, frames, cast("Literal['plane', 'level']", plan.background), level_only=cut)
