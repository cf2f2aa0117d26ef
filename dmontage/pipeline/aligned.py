"""Aligned: images that lie on one grid already, whole pixels apart."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from dmontage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dmontage.grid import Grid
    from dmontage.model import ImageRef
    from dmontage.planner import MosaicPlan

__all__ = ["check_aligned", "common_grid"]


def common_grid(images: Sequence[ImageRef]) -> Grid:
    """The smallest part of the images' lattice that holds them all; InputError where one is not on the first's."""
    first = images[0]
    windows = [image.grid.window.shift(*_shift(first.grid, image, f"that of {first.name}")) for image in images]
    return first.grid.subgrid(reduce(or_, windows))


def check_aligned(plan: MosaicPlan) -> MosaicPlan:
    """The plan, which says what images without an area file count as; InputError where pixels are not whole ones."""
    if not plan.drop.whole:
        raise InputError(
            "images that lie on the grid already are not laid on it by drops: leave out pixfrac and kernel"
        )
    for image in plan.images:
        _shift(plan.grid, image, "it")
    beside = dict(zip(plan.image_of, plan.companions, strict=True))
    without = sum(companions.area is None for companions in beside.values())
    if without in (0, plan.n_images):
        return plan
    text = f"{without} of {plan.n_images} images have no area file: their pixels count as covered wholly"
    return replace(plan, warnings=(*plan.warnings, text))


def _shift(grid: Grid, image: ImageRef, name: str) -> tuple[int, int]:
    shift = grid.shift_from(image.grid)
    if shift is None:
        raise InputError(
            f"{image.name} does not lie on the grid: its WCS is not {name} shifted by whole pixels; project it "
            "(dmontage mosaic)"
        )
    return shift
