"""Parts of a mosaic: a window of it, and pixels in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dmontage.grid import Grid
from dmontage.shown import Pictured
from dmontage.window import Window

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from dmontage.pipeline.value import Mosaic
    from dmontage.places import Place

__all__ = ["Cutout", "Pixels"]


@dataclass(frozen=True)
class Cutout(Pictured):
    """A window of a mosaic."""

    mosaic: Mosaic
    window: Window

    @property
    def grid(self) -> Grid:
        """Its own WCS and shape."""
        return self.mosaic.grid.subgrid(self.window)

    def compute(self) -> Pixels:
        """Its pixels, in memory. Only its own images are projected where no background is matched, or it was before.

        Returns
        -------
        Pixels
            Numpy arrays (ny, nx), float32, and their grid.
        """
        return self.mosaic._pixels(self.window)

    def write(self, path: str | Place) -> Self:
        """Write its pixels as `dmontage.Mosaic.write` does those of all, but the sources; they are held in memory.

        Parameters
        ----------
        path
            FITS file, or its URL.

        Returns
        -------
        Cutout
            Itself.
        """
        self.mosaic._write_part(self.window, path)
        return self


class Pixels(NamedTuple):
    """Pixels in memory."""

    data: NDArray[np.float32]
    """(ny, nx) value, NaN where blank."""
    area: NDArray[np.float32]
    """(ny, nx) summed covered fraction, 2 where two images cover all of the pixel; in files it is in steradian."""
    grid: Grid
    variance: NDArray[np.float32] | None = None
    """(ny, nx) of the value, without the correlation between neighbours that projection makes; None without any."""
    depth: NDArray[np.float32] | None = None
    """(ny, nx) number of images in the value, where it was asked for."""
    rejected: NDArray[np.float32] | None = None
    """(ny, nx) number of images that were clipped, where it was asked for."""

    def __repr__(self) -> str:
        ny, nx = self.data.shape
        there = [name for name, value in self._asdict().items() if value is not None]
        return f"<Pixels {nx} x {ny}: {', '.join(there)}>"
