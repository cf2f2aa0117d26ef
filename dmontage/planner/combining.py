"""Combining: the words for how images become one, and which of them go together."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

from dmontage.errors import InputError

if TYPE_CHECKING:
    from dmontage.planner.plan import MosaicPlan

__all__ = ["ALSO", "COMBINES", "STACKED", "TAKES_ALL", "WEIGHTS", "also_of", "check_combining", "clip_of", "weights_of"]

COMBINES = ("mean", "median", "clip", "min", "max", "count", "sum", "first")
WEIGHTS = ("area", "none", "ivar")
ALSO = ("depth", "rejected", "sources")

TAKES_ALL = ("mean", "sum", "count")
"""Combines whose contributors have any area; of the others they have more than half of what they can."""

STACKED = ("median", "clip")
"""Combines that need all values of a pixel at once."""

_MEANS = ("mean", "clip")
"""Combines that a variance is propagated through."""

_WEIGHTED = ("mean", "clip", "sum")
"""Combines whose contributors weigh what they cover, unless told otherwise."""

_UNWEIGHTED = ("min", "max", "count", "first")

_CLIP = (3.0, 3.0)


def weights_of(combine: str, weights: str | None) -> str:
    """Weights that are asked for, or the combine's own."""
    return weights or ("area" if combine in _WEIGHTED else "none")


def clip_of(combine: str, clip: Any) -> tuple[float, float] | None:
    """Limits (low, high) in σ from one number or two; None for a combine without. Infinite: nothing on that side."""
    if combine != "clip":
        if clip is not None:
            raise InputError(f"clip {clip!r} has no meaning with combine {combine!r}: ask for combine 'clip'")
        return None
    if clip is None:
        return _CLIP
    sides = tuple(clip) if isinstance(clip, Sequence) and not isinstance(clip, str) else (clip, clip)
    if len(sides) != 2 or not all(isinstance(k, Real) and float(k) > 0.0 for k in sides):
        raise InputError(f"clip {clip!r} must be a number of sigma above 0, or two: (low, high)")
    return float(sides[0]), float(sides[1])


def also_of(also: Any) -> tuple[str, ...]:
    """Layers that are asked for beside the mean, its area and variance, in their order."""
    names = (also,) if isinstance(also, str) else tuple(also)
    for name in names:
        if name not in ALSO:
            raise InputError(f"also {name!r} is not one of {', '.join(ALSO)}")
    return tuple(name for name in ALSO if name in names)


def check_combining(plan: MosaicPlan) -> None:
    """InputError for words that are right one by one, but not together."""
    combine = plan.combine
    if plan.has_variance and combine not in _MEANS:
        raise InputError(
            f"variance is propagated through a mean, not through a {combine}: ask for combine 'mean' or 'clip', or "
            "leave the variance out"
        )
    if plan.factors and plan.weights == "none":
        raise InputError(
            f"weights of images (image_weight) have no meaning with weights 'none', the default of a {combine}: "
            "ask for weights 'area', or leave them out"
        )
    if plan.weights != "none" and combine in _UNWEIGHTED:
        raise InputError(f"weights {plan.weights!r} have no meaning with combine {combine!r}: leave them out")
    if "rejected" in plan.also and combine != "clip":
        raise InputError(f"nothing is rejected by combine {combine!r}: ask for 'clip', or leave out also 'rejected'")
    if plan.weights == "ivar":
        _check_inverse_variance(plan)


def _check_inverse_variance(plan: MosaicPlan) -> None:
    if not plan.has_variance:
        raise InputError("weights 'ivar' are 1/variance of each pixel: give a variance (--variance)")
    if plan.has_weight_map:
        raise InputError("weights 'ivar' take the place of a weight_map: leave one of them out")
