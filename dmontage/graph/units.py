"""Units: images whose pixels hold energy, not brightness (level 4).

A constant sky gives such an image values that follow its pixels' solid angles Ω. They are divided out before projection
and the output's own are multiplied in at the end, both relative to the middle pixel of the output, so that all numbers
between stay per output pixel: value·Ω_ref/Ω_in on the way in, mean·Ω_out/Ω_ref on the way out. The total is kept:
Σ over the mosaic of product·area = Σ of the image's values, where it lies inside the grid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.quality import apply

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.grid import Grid
    from dmontage.quality import Quality
    from dmontage.window import Window

__all__ = ["brightness_of", "flux_of", "prepared"]


def brightness_of(
    flux: NDArray[Any], grid_in: Grid, grid_out: Grid, window: Window | None = None, power: int = 1
) -> NDArray[np.float64]:
    """Energy per pixel of a window (..., ny, nx) of an image as brightness, per Ω of the output's middle pixel.

    Into a variance (``power`` 2) the factor enters squared.
    """
    return np.asarray(flux * (grid_out.scale**2 / grid_in.solid_angle(window or grid_in.window)) ** power)


def flux_of(brightness: NDArray[np.float64], grid_out: Grid, window: Window, power: int = 1) -> NDArray[np.float64]:
    """Brightness on a window of the output, as `brightness_of` gives it, as energy per pixel there."""
    return np.asarray(brightness * (grid_out.solid_angle(window) / grid_out.scale**2) ** power)


def prepared(
    layers: tuple[NDArray[Any], NDArray[Any] | None, NDArray[Any] | None, NDArray[Any] | None],
    grid_in: Grid,
    grid_out: Grid,
    window: Window,
    quality: Quality,
    unit: str,
) -> tuple[NDArray[Any], NDArray[Any] | None, NDArray[Any] | None]:
    """Values, weights and variance of a window of an image as they are projected: as brightness, blank where bad.

    ``layers`` are values, weights, mask and variance.
    """
    values, weights, mask, variance = layers
    if unit == "flux_per_pixel":
        values = brightness_of(values, grid_in, grid_out, window)
        if variance is not None:
            variance = brightness_of(variance, grid_in, grid_out, window, power=2)
    return apply(values, window, grid_in.shape, quality, weights, mask, variance)
