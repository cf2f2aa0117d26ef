"""Suspicious pixels: the part of a plan's warnings that headers cannot tell."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from dmontage.errors import ChangedError, InputError, UnreachableError
from dmontage.fits_files import only_value
from dmontage.planner import some

if TYPE_CHECKING:
    from dmontage.planner import MosaicPlan

__all__ = ["with_pixels_checked"]


def with_pixels_checked(plan: MosaicPlan, *, strict: bool = False) -> MosaicPlan:
    """The plan, with warnings of images that are blank, of one value throughout, or that cannot be read.

    One row of each image is read (1 ms), and all of those of which some rows tell nothing. Masks and weights are not
    looked at.

    Raises
    ------
    InputError
        With ``strict``, for an image that cannot be read; always for one that has changed since the scan, or that is
        out of reach.
    """
    blank: list[str] = []
    constant: list[str] = []
    said: list[str] = []
    for image in plan.images:
        try:
            value = only_value(image)
        # Such an image is not left out: without it the mosaic would be another than was asked for.
        except (ChangedError, UnreachableError):
            raise
        except InputError as error:
            if strict:
                raise
            said.append(f"will be left out: {error}")
            continue
        if value is None:
            continue
        if math.isnan(value):
            blank.append(image.name)
        else:
            constant.append(f"{image.name} ({value:g})")
    if blank:
        said.append(f"all pixels are blank: {some(blank)}")
    if constant:
        said.append(f"all pixels have one value: {some(constant)}")
    return replace(plan, warnings=(*plan.warnings, *said))
