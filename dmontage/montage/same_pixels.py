"""Images on one pixel grid: by how many whole pixels they are apart, where other programs rounded their headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dmontage.errors import InputError
from dmontage.grid.lattice import pixel_offsets
from dmontage.sphere import lengths

if TYPE_CHECKING:
    from dmontage.grid import Grid

__all__ = ["pixel_shift"]

_SAME = 1e-3
"""Pixels: what headers of six to ten digits move them by."""


def pixel_shift(grid: Grid, other: Grid, name: str) -> tuple[int, int]:
    """Whole pixels (dy, dx) from ``other``'s pixel numbers to those of ``grid``.

    Exact where the cards are; where they differ by rounding, all pixels that are looked at must agree to 1e-3 of one.

    Raises
    ------
    InputError
        If they are not whole pixels apart; ``name`` is of the image with the other grid.
    """
    shift = grid.shift_from(other)
    if shift is not None:
        return shift
    steps = pixel_offsets(grid, other)
    if np.isfinite(steps).all():
        dx, dy = (round(float(step)) for step in steps[12])  # in the middle
        off = float(lengths(steps - [dx, dy]).max())
        if off <= _SAME:
            return dy, dx
        how = f"up to {off:.3g} pixels off a shift by ({dx}, {dy})"
    else:
        how = "partly beyond its projection"
    raise InputError(
        f"Images are not in same pixel space: {name} is {how}; project it with the template (mProject, mProjExec)"
    )
