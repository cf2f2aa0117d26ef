"""Packing: the arguments of a task in few bytes, of which a graph has many (level 4).

Numbers that stand together are alike, but not when they are pickled one by one: rows and pairs go as columns of
differences, the bytes of each place together, and what pickles have in common is known to the compressor beforehand.
"""

from __future__ import annotations

import io
import pickle
import zlib
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.fits_files import FitsPixels
from dmontage.graph.coadd import Chunk, How
from dmontage.graph.outlet import Outlet
from dmontage.graph.overlaps import Pairs
from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["packed", "unpacked"]


def packed(arguments: Sequence[Any]) -> bytes:
    """A task's arguments: a quarter of what they take pickled, for the two stages with long ones."""
    packer = zlib.compressobj(zdict=_common())
    return packer.compress(_pickled(arguments)) + packer.flush()


def unpacked(data: bytes) -> Any:
    """The arguments again."""
    return pickle.loads(zlib.decompressobj(zdict=_common()).decompress(data))


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, Chunk):
            w = value.window
            numbers = _column([w.y0, w.y1 - w.y0, w.x0, w.x1 - w.x0, *np.diff(value.rows, prepend=0)], "<i4")
            return _chunk, (numbers, value.factors, bytes.fromhex(value.digest))
        if isinstance(value, Pairs):
            plus, minus, correlation = np.array(value.pairs).reshape(-1, 3).T
            return _pairs, (_column(np.diff(plus, prepend=0), "<i4"), _column(minus - plus, "<i4"),
                            _column(correlation, "<f8"))  # fmt: skip
        return NotImplemented


def _chunk(numbers: bytes, factors: tuple[float, ...], digest: bytes) -> Chunk:
    y0, ny, x0, nx, *rows = _values(numbers, "<i4").tolist()
    return Chunk(Window(y0, y0 + ny, x0, x0 + nx), tuple(np.cumsum(rows, dtype=int).tolist()), factors, digest.hex())


def _pairs(plus: bytes, minus: bytes, correlation: bytes) -> Pairs:
    first = np.cumsum(_values(plus, "<i4"))
    second = first + _values(minus, "<i4")
    return Pairs(tuple(zip(first.tolist(), second.tolist(), _values(correlation, "<f8").tolist(), strict=True)))


def _column(values: Any, dtype: str) -> bytes:
    """Numbers, the first bytes of all, then the second ones, ...: long runs of the same."""
    numbers = np.asarray(values).astype(dtype)
    return numbers.view(np.uint8).reshape(-1, numbers.itemsize).T.tobytes()


def _values(data: bytes, dtype: str) -> Any:
    size = np.dtype(dtype).itemsize
    return np.frombuffer(np.frombuffer(data, np.uint8).reshape(size, -1).T.tobytes(), dtype)


def _pickled(value: Any) -> bytes:
    file = io.BytesIO()
    _Pickler(file).dump(value)
    return file.getvalue()


@cache
def _common() -> bytes:
    """What the arguments of tasks have in common when they are pickled: names, patterns of windows."""
    windows = [Window(0, 512, 1024 * k, 1024 * k + 1024) for k in range(2)]
    chunks = [Chunk(window, tuple(range(3)), (), "0" * 64) for window in windows]
    how = How("plane:joint", "mean", "area", 1, None, ("mean", "area"))
    files = {name: [FitsPixels(f"/.{name}.fits.partial", 0, 0, 2880, (1024, 2048), ">f4")] for name in how.layers}
    pairs = Pairs(tuple((1, k, 2.0) for k in range(2, 5)))
    return _pickled((pairs, chunks, how, Outlet("", (windows[0],), files)))
