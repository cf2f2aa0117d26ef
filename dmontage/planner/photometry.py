"""Photometry: images of different zero points on one scale.

A magnitude is zp - 2.5 log10(value): the larger an image's zero point, the larger its values of the same star. To the
mosaic's zero point they are brought by the factor 10**(-0.4 (zp_image - zp_mosaic)).
"""

from __future__ import annotations

import math
from dataclasses import replace
from numbers import Real
from statistics import median_low
from typing import TYPE_CHECKING, Any

from dmontage.errors import InputError
from dmontage.model import MAX_ZERO_POINT, Companions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dmontage.model import ImageRef

__all__ = ["on_one_scale", "same_scale"]

_MAX_SCALE = 1e76
"""Of a value: from one end of a float32's range to the other; its square stays in double range."""


def on_one_scale(
    images: Iterable[ImageRef], companions: Mapping[ImageRef, Companions], zero_point_out: float | None
) -> tuple[dict[ImageRef, Companions], float | None]:
    """Companions of all images, whose scales bring the values to one zero point.

    Parameters
    ----------
    companions
        Of the images that have any; an image without a zero point is on the mosaic's scale already.
    zero_point_out
        Zero point of the mosaic, magnitudes; None takes the images' median, of an even number the lower middle one: it
        is one of theirs, and does not depend on their order, nor on the grid.

    Returns
    -------
    companions, zero_point_out
        The second is None where no image has a zero point.
    """
    beside = {image: companions.get(image, Companions()) for image in images}
    own = [found.zero_point for found in beside.values() if found.zero_point is not None]
    if zero_point_out is not None:
        _check(zero_point_out)
        if beside and not own:
            raise InputError(f"zero_point_out {zero_point_out!r} needs the images' own: give a zero_point")
    out = None
    if own:
        out = float(median_low(own) if zero_point_out is None else zero_point_out)
    return {image: _scaled(image, found, out) for image, found in beside.items()}, out


def same_scale(one: float, other: float) -> bool:
    """True for scales that are one but for rounding: powers may differ by a bit between machines."""
    return math.isclose(one, other, rel_tol=1e-9)


def _check(zero_point_out: Any) -> None:
    is_number = isinstance(zero_point_out, Real) and not isinstance(zero_point_out, bool)
    if not (is_number and abs(float(zero_point_out)) < MAX_ZERO_POINT):
        raise InputError(
            f"zero_point_out {zero_point_out!r} must be a number of magnitudes between {-MAX_ZERO_POINT:g} and "
            f"{MAX_ZERO_POINT:g}"
        )


def _scaled(image: ImageRef, beside: Companions, zero_point_out: float | None) -> Companions:
    scale = beside.scale
    if zero_point_out is not None and beside.zero_point is not None:
        scale *= 10.0 ** (-0.4 * (beside.zero_point - zero_point_out))
    if not 1.0 / _MAX_SCALE <= scale <= _MAX_SCALE:
        raise InputError(
            f"{image.name}: its flux scale and zero point multiply values by {scale:.3g} (limits {1 / _MAX_SCALE:g} to "
            f"{_MAX_SCALE:g}); choose another zero_point_out or flux_scale"
        )
    return replace(beside, scale=scale)
