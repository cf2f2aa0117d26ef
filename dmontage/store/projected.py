"""Projected: what the images have on the mosaic grid, row by row (level 3).

::

    projected/flux, area[, weight, variance]   (row, y, x)   each on its row's window; 0 where nothing falls
    projected/mark                             (row, 48)     written last: digest of what it was made from, its `Mark`

A row is done when its mark says so. The fill value is NaN, which no written chunk holds.
"""

from __future__ import annotations

import struct
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.store.arrays import Array, DamagedError
from dmontage.store.cache import RowCache
from dmontage.store.rows import row_shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from dmontage.store.files import Files
    from dmontage.window import Window

__all__ = ["Mark", "Projected"]

_WHOLE = 4096
"""A row up to this side is one chunk."""
_LATTICE = 2048
"""Larger rows are cut at this side."""
_MARK = struct.Struct("<32sQi?3x")


class Mark(NamedTuple):
    """What a row says of itself besides its sums."""

    lost: int = 0
    """Pixels with a value but with an undefined corner."""
    exponent: int = 0
    """The row's weights are stored as multiples of 2**exponent, so that float32 holds those of any size."""
    empty: bool = False
    """True where no pixel of the image counts."""


_PLAIN = Mark()


class Projected:
    """The arrays of all rows."""

    def __init__(self, files: Files, names: Sequence[str]) -> None:
        self._files = files
        self.names = tuple(names)
        """What a row holds, in this order: "flux", "area", then "weight" and "variance" in runs that have them."""
        self.cache = RowCache()
        self.volatile = False
        """True where what stays in memory need not be written: nobody comes back to a temporary store."""

    @cached_property
    def _arrays(self) -> dict[str, Array]:
        return {name: Array.open(self._files, f"projected/{name}") for name in (*self.names, "mark")}

    @staticmethod
    def lay_out(files: Files, names: Sequence[str], windows: Sequence[Window]) -> None:
        """Make the arrays; the first rows tell the chunks."""
        n, (shape, chunks) = len(windows), row_shape(windows, _WHOLE, _LATTICE)
        Array.create(files, "projected/mark", (n, _MARK.size), (1, _MARK.size), np.uint8)
        for name in names:
            Array.create(files, f"projected/{name}", (n, *shape), (1, *chunks), np.float32, np.nan)

    def grow(self, windows: Sequence[Window]) -> None:
        """Make room for all of these rows; chunks keep their shape, so what is there stays."""
        sides = [window.shape for window in windows]
        for name, array in list(self._arrays.items()):
            rest = array.shape[1:]
            if name != "mark":
                rest = tuple(map(max, zip(rest, *sides, strict=True)))
            self._arrays[name] = array.resized((len(windows), *rest))

    def write(self, row: int, sums: Sequence[NDArray[Any]], digest: str, mark: Mark = _PLAIN) -> None:
        """Store a projected image, finite everywhere, then the digest of what it was made from."""
        self._files.each(lambda item: self._write(row, *item), zip(self.names, sums, strict=True))
        packed = np.frombuffer(_MARK.pack(bytes.fromhex(digest), *mark), np.uint8)
        self._arrays["mark"].write((row, 0), packed[None])

    def _write(self, row: int, name: str, values: NDArray[Any]) -> None:
        array = self._arrays[name]
        ny, nx = values.shape
        _, cy, cx = array.chunks
        whole = np.zeros((-(-ny // cy) * cy, -(-nx // cx) * cx), np.float32)
        whole[:ny, :nx] = values
        if not (self.cache.offer(row, name, whole) and self.volatile):
            _write_chunks(array, row, whole)

    def settle(self) -> None:
        """Write what is in memory alone, and all from now on: what is lazy may be asked for when this store is gone."""
        if self.volatile:
            for row, name, whole in self.cache.kept():
                _write_chunks(self._arrays[name], row, whole)
        self.volatile = False

    def done(self, row: int, digest: str) -> Mark | None:
        """The mark of a row that was made from just that; None where it was not."""
        made_from, *mark = self._mark(row)
        return Mark(*mark) if made_from == bytes.fromhex(digest) else None

    def exponent(self, row: int) -> int:
        """Power of two that the row's weights are multiples of; 0 for a row that was never written."""
        return Mark(*self._mark(row)[1:]).exponent

    def is_marked(self, row: int) -> bool:
        """Whether a row is done, from whatever it was made."""
        return self._arrays["mark"].has((row, 0))

    def marked(self, rows: Iterable[int]) -> set[int]:
        """Those of some rows that are done, from whatever they were made."""
        mark, rows = self._arrays["mark"], list(rows)
        there = self._files.present(mark.name, (mark.key((row, 0)) for row in rows))
        return {row for row in rows if mark.key((row, 0)) in there}

    def forget(self, row: int) -> None:
        """Take a row's mark away: it will be made again."""
        self._arrays["mark"].remove((row, 0))
        self.cache.forget(row)

    def _mark(self, row: int) -> tuple[Any, ...]:
        try:
            packed = self._arrays["mark"].read((row, 0))
        except DamagedError:  # as good as none: the row is made again
            packed = None
        return _MARK.unpack(bytes(_MARK.size) if packed is None else packed.tobytes())

    def read(
        self, row: int, origin: Window, window: Window, names: Sequence[str] = ("flux", "area")
    ) -> tuple[NDArray[np.float32], ...]:
        """Some of the sums of a row, whose window is ``origin``, in a window of the mosaic inside it; read-only.

        A row that was never written is empty.

        Raises
        ------
        DamagedError
            If a chunk is lost or changed; the row's mark is taken away, so that the next run makes it again.
        """
        part = window.relative_to(origin)
        return tuple(self._files.each(lambda name: self._read(row, name, part, origin), names))

    def _read(self, row: int, name: str, part: Window, origin: Window) -> NDArray[np.float32]:
        kept = self.cache.get(row).get(name)
        if kept is not None:
            return kept[part.slices]
        array = self._arrays[name]
        reached = list(array.reached(part))
        out = np.zeros(part.shape, np.float32) if len(reached) != 1 else None
        for index, chunk in reached:
            values = self._chunk(array, row, index)
            if values is None:
                return np.zeros(part.shape, np.float32)
            if out is None:
                if chunk.shape[0] >= origin.shape[0] and chunk.shape[1] >= origin.shape[1]:
                    self.cache.offer(row, name, values)
                view = values[part.relative_to(chunk).slices]
                return view if 2 * view.size > values.size else view.copy()  # a view keeps all of it in memory
            inside = chunk & part
            out[inside.relative_to(part).slices] = values[inside.relative_to(chunk).slices]
        assert out is not None
        return out

    def _chunk(self, array: Array, row: int, index: tuple[int, int]) -> NDArray[np.float32] | None:
        try:
            values = array.read((row, *index))
        except DamagedError as error:
            raise self._damaged(row, str(error)) from error
        if values is None and self.is_marked(row):
            raise self._damaged(row, "a chunk is missing")
        return None if values is None else values[0]

    def _damaged(self, row: int, why: str) -> DamagedError:
        self.forget(row)
        return DamagedError(
            f"row {row} of {self._files.root} is damaged: {why}; the same command again makes that row anew"
        )


def _write_chunks(array: Array, row: int, whole: NDArray[np.float32]) -> None:
    """Write a row, padded to whole chunks."""
    _, cy, cx = array.chunks
    for iy in range(whole.shape[0] // cy):
        for ix in range(whole.shape[1] // cx):
            array.write((row, iy, ix), whole[None, iy * cy : (iy + 1) * cy, ix * cx : (ix + 1) * cx])
