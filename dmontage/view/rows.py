"""Rows: the pixels of an image file, some rows at a time."""

from __future__ import annotations

import dataclasses
import weakref
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmontage.errors import InputError
from dmontage.fits_files import read, reading
from dmontage.places import Url, brought, place
from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from dmontage.grid import Grid
    from dmontage.model import ImageRef

__all__ = ["Rows"]

_WHOLE = 1 << 24
"""Pixels of an image that is read at once and kept; its file may be packed, and of any size."""
_GZIP = b"\x1f\x8b"


class Rows:
    """What pictures read: an array (ny, nx) that is a file."""

    def __init__(self, image: ImageRef) -> None:
        if image.planes:
            raise InputError(f"{image.path} is a cube of {image.planes} planes; a picture needs one plane")
        self.image = image
        self._kept: NDArray[Any] | None = None
        self._read: Callable[[Window], NDArray[Any]] | None = None

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
        if self._kept is None and self.grid.window.size <= _WHOLE:
            self._kept = read(self.image)
        if self._kept is not None:
            return self._kept[rows]
        if self._read is None:
            self._read = self._stream() if _is_gzip(self.image) else lambda window: read(self.image, window)
        ny, nx = self.shape
        start, stop, step = rows.indices(ny)
        return self._read(Window(start, stop, 0, nx))[::step]

    def _stream(self) -> Callable[[Window], NDArray[Any]]:
        """Reads of a gzipped file, or a copy of one, that stays open until these rows are let go.

        It can be read from its start only: for each band anew, it would be unpacked as many times as there are bands.
        """
        stack, image = ExitStack(), self.image
        weakref.finalize(self, stack.close)
        if isinstance(place(image.path), Url):
            copy = stack.enter_context(brought(image.path))
            stat = copy.stat()
            image = dataclasses.replace(image, path=str(copy), size=stat.st_size, stamp=stat.st_mtime_ns)
        return stack.enter_context(reading(image))


def _is_gzip(image: ImageRef) -> bool:
    """By its first bytes, or, of an object, by its name."""
    there = place(image.path)
    if not isinstance(there, Path):
        return image.path.endswith(".gz")
    with there.open("rb") as file:
        return file.read(2) == _GZIP
