"""Images on one pixel grid: by how many whole pixels they are apart, where other programs rounded their headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dmontage.errors import InputError
from dmontage.sphere import rotate_frame

if TYPE_CHECKING:
    from dmontage.grid import Grid

__all__ = ["pixel_shift"]

_SAME = 1e-3
"""Pixels: what headers of six to ten digits move them by."""


def pixel_shift(grid: Grid, other: Grid, name: str) -> tuple[int, int]:
    """Whole pixels (dy, dx) from ``other``'s pixel numbers to those of ``grid``.

    Exact where the cards are; where they differ by rounding, corners and middle must all agree to 1e-3 of a pixel.

    Raises
    ------
    InputError
        If they are not whole pixels apart; ``name`` is of the image with the other grid.
    """
    shift = grid.shift_from(other)
    if shift is not None:
        return shift
    ny, nx = other.shape
    x, y = np.array([0.0, nx - 1, 0.0, nx - 1, (nx - 1) / 2]), np.array([0.0, 0.0, ny - 1, ny - 1, (ny - 1) / 2])
    at_x, at_y = grid.pixel(rotate_frame(other.sky(x, y), other.frame, grid.frame))
    off_x, off_y = at_x - x, at_y - y
    if np.isfinite(off_x).all() and np.isfinite(off_y).all():
        dx, dy = round(float(off_x[4])), round(float(off_y[4]))
        off = float(np.hypot(off_x - dx, off_y - dy).max())
        if off <= _SAME:
            return dy, dx
        how = f"up to {off:.3g} pixels off a shift by ({dx}, {dy})"
    else:
        how = "partly beyond its projection"
    raise InputError(
        f"Images are not in same pixel space: {name} is {how}; project it with the template (mProject, mProjExec)"
    )
