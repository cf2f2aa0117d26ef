"""Rows: the pixels of an image file, some rows at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dmontage.errors import InputError
from dmontage.fits_files import read
from dmontage.window import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.grid import Grid
    from dmontage.model import ImageRef

__all__ = ["Rows"]

_WHOLE = 1 << 26
"""Bytes of a file that is read at once and kept. So is one that is compressed: it must be read from its start."""


class Rows:
    """What pictures read: an array (ny, nx) that is a file."""

    def __init__(self, image: ImageRef) -> None:
        if image.planes:
            raise InputError(f"{image.path} is a cube of {image.planes} planes; a picture needs one plane")
        self.image = image
        self._kept: NDArray[Any] | None = None

    @property
    def grid(self) -> Grid:
        """Where it lies."""
        return self.image.grid

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return self.image.grid.shape

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Rows of pixels, NaN where blank."""
        if self._kept is None and (self.image.size < _WHOLE or str(self.image.path).endswith(".gz")):
            self._kept = read(self.image)
        if self._kept is not None:
            return self._kept[rows]
        ny, nx = self.shape
        start, stop, step = rows.indices(ny)
        return read(self.image, Window(start, stop, 0, nx))[::step]
