"""Margin: what rows cover beyond the grid.

Where the grid is smaller than the images, an image that touches it with a corner would have its plane fitted to that
corner alone. So rows go on for a margin, in the grid's own pixels; the mosaic does not.
"""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dmontage.grid import Grid
    from dmontage.model import Drop
    from dmontage.planner.rows import Footprint

__all__ = ["automatic_margin", "check_margin", "widened"]

_PARTS = 4
"""Of an image's shorter side. A quarter gives a plane its arm, and a row half an image's side more at most."""


def check_margin(margin: Any) -> None:
    """Raise InputError for a margin that is neither None nor a number of pixels; True is none."""
    whole = isinstance(margin, Integral) and not isinstance(margin, bool)
    if margin is not None and not (whole and int(margin) >= 0):
        raise InputError(
            f"margin {margin!r} must be a whole number of mosaic pixels, 0 or more; by default a quarter of an image"
        )


def automatic_margin(rows: Sequence[Footprint], background: str) -> int:
    """A quarter of the shorter side of the median image, mosaic pixels, rounded down; 0 where nothing is fitted."""
    extents = [row.mapping.extent for row in rows if row.method == "plane"]
    sides = [min(extent.shape) for extent in extents if extent is not None]
    return int(np.median(sides)) // _PARTS if sides and background != "none" else 0


def widened(row: Footprint, grid: Grid, margin: int, drop: Drop) -> Footprint:
    """A row whose window goes on into the margin, and holds the tails of Gaussians: 3σ.

    The tails are those of the image's largest pixels and a quarter more. On the sphere a row ends with the grid: beyond
    the edge of a map of all the sky the same sky would come again. Where the map is cut the window is made of whole
    blocks, and larger than what falls into it.
    """
    if row.mapping.cut:
        return row
    margin = margin if row.method == "plane" else 0
    window = row.mapping.footprint(grid, margin)
    if drop.kernel == "gaussian":
        side = 1.25 * max(patch.pixel_ratio for patch in row.mapping.patches)
        window = window.pad(drop.reach(side)) & grid.window.pad(margin)
    return replace(row, window=window)
