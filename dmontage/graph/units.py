"""Units: images whose pixels hold energy, not brightness (level 4).

A constant sky gives such an image values that follow its pixels' solid angles Ω. They are divided out before projection
and the output's own are multiplied in at the end, both relative to the middle pixel of the output, so that all numbers
between stay per output pixel: value·Ω_ref/Ω_in on the way in, mean·Ω_out/Ω_ref on the way out. The total is kept:
Σ over the mosaic of product·area = Σ of the image's values, where it lies inside the grid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.grid import Grid
    from dmontage.window import Window

__all__ = ["brightness_of", "flux_of"]


def brightness_of(
    flux: NDArray[Any], grid_in: Grid, grid_out: Grid, window: Window | None = None
) -> NDArray[np.float64]:
    """Energy per pixel of a window (..., ny, nx) of an image, per solid angle of the output's middle pixel."""
    return np.asarray(flux * (grid_out.scale**2 / grid_in.solid_angle(window or grid_in.window)))


def flux_of(brightness: NDArray[np.float64], grid_out: Grid, window: Window) -> NDArray[np.float64]:
    """Brightness on a window of the output, as `brightness_of` gives it, as energy per pixel there."""
    return np.asarray(brightness * (grid_out.solid_angle(window) / grid_out.scale**2))
