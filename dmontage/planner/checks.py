"""Checks: what a plan refuses, words and numbers one by one and those that contradict each other."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any

from dmontage.errors import InputError
from dmontage.planner.combining import check_combining
from dmontage.planner.suspects import far_hint
from dmontage.planner.text import human, some

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dmontage.grid import Grid
    from dmontage.model import ImageRef
    from dmontage.planner.plan import MosaicPlan

__all__ = ["check_grid", "check_together", "check_words", "positive", "too_large_text"]


def positive(name: str, value: Any) -> float:
    """A finite number above 0; InputError for anything else."""
    if not (isinstance(value, Real) and 0.0 < float(value) < math.inf):
        raise InputError(f"{name} {value!r} must be a number above 0, and finite")
    return float(value)


def check_words(*options: tuple[str, str, tuple[str, ...]]) -> None:
    """Raise InputError for an option (name, value, words) that is none of its words."""
    for name, value, words in options:
        if value not in words:
            raise InputError(f"{name} {value!r} is not one of {', '.join(words)}")


def check_grid(grid: Grid, images: Sequence[ImageRef], max_bytes: float) -> None:
    """InputError for a grid that no mosaic can be on, before it is compared with any image."""
    if grid.tables:
        raise InputError(
            "the grid has a WCS that FITS cards alone do not hold (lookup tables, or an object): no mosaic's file can "
            "carry it; give a grid without, or project single images onto it by dmontage.project"
        )
    if 8 * grid.window.size > max_bytes:
        raise InputError(too_large_text(8 * grid.window.size, grid, max_bytes) + far_hint(images))


def check_together(plan: MosaicPlan) -> None:
    """Options that are right one by one."""
    check_combining(plan)
    without = [row.image.name for row, beside in zip(plan.rows, plan.companions, strict=True) if not beside.variance]
    if plan.has_variance and without:
        raise InputError(f"{some(without)}: no variance, which others have: give one to each image, or to none")
    if plan.quality.min_weight and not plan.has_weight_map:
        raise InputError(f"min_weight {plan.quality.min_weight:g} needs weights of pixels: give a weight_map")
    _check_matching(plan)
    if plan.quality.good_bits and not any(companions.mask for companions in plan.companions):
        raise InputError(f"good_bits {plan.quality.good_bits} needs bits: give a mask")


def _check_matching(plan: MosaicPlan) -> None:
    """Wishes about the match of backgrounds that contradict it, or each other."""
    matching = plan.matching
    wished = {
        "anchor": plan.anchors, "lock": plan.locked, "slope_prior": matching.slope_prior != "auto",
        "solver": matching.solver != "direct",
    }  # fmt: skip
    if not plan.is_matched and any(wished.values()):
        name = next(name for name, wish in wished.items() if wish)
        how = "background 'none'" if plan.background == "none" else "corrections that are given"
        raise InputError(f"{name} has no meaning with {how}: leave it out")
    if wished["slope_prior"] and (plan.background == "level" or matching.solver == "relaxation"):
        what = "background 'level'" if plan.background == "level" else "solver 'relaxation'"
        raise InputError(f"slope_prior has no meaning with {what}: leave it out")
    both = sorted({*plan.anchors} & {*plan.locked})
    if both:
        raise InputError(f"image {plan.images[both[0]].name!r} is both an anchor and locked: leave out the anchor")


def too_large_text(n_bytes: int, grid: Grid, limit: float, *, beyond: bool = False) -> str:
    """That a mosaic of so many bytes is above the limit, and what to do; ``beyond`` where rows reach into a margin."""
    ny, nx = grid.shape
    less = "a smaller size, a larger scale or a smaller margin" if beyond else "a smaller size or a larger scale"
    return (
        f"the mosaic of {nx} x {ny} pixels needs {human(n_bytes)}, the limit is {human(limit)}; "
        f"choose {less}, or raise the limit (max_bytes, --max-bytes)"
    )
