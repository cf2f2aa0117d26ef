"""Chain: the exact way from the pixels of one grid to those of another, through its own WCS objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from astropy.wcs.utils import wcs_to_celestial_frame

from dmontage.sphere import rotate_frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.grid import Grid

__all__ = ["Chain"]


class Chain:
    """The exact way from one grid's pixels to the other's, on WCS objects of its own."""

    def __init__(self, grid_in: Grid, grid_out: Grid) -> None:
        self.grid_in, self.grid_out = grid_in, grid_out
        self.wcs_in, self.wcs_out = grid_in.wcs(), grid_out.wcs()
        self.frame_in, self.frame_out = (wcs_to_celestial_frame(wcs) for wcs in (self.wcs_in, self.wcs_out))

    def in_sky(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Unit vectors (..., 3) of input pixels, in the output's frame."""
        return rotate_frame(self.grid_in.sky(x, y, self.wcs_in), self.frame_in, self.frame_out)

    def out_sky(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Unit vectors (..., 3) of output pixels."""
        return self.grid_out.sky(x, y, self.wcs_out)

    def out_pixel(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Output pixels (..., 2) of (x, y) of unit vectors."""
        return np.stack(self.grid_out.pixel(vectors, self.wcs_out), axis=-1)

    def __call__(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Output pixels (..., 2) of (x, y) of input pixels."""
        return self.out_pixel(self.in_sky(x, y))
