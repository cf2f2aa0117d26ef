"""Shrunk: means over squares of pixels of an array of any size, out of core (level 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.kernels.squares import add_squares

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["as_floats", "in_chunks", "shrink_chunks", "shrink_rows"]

_BAND = 1 << 22  # pixels read at a time


class Sums(NamedTuple):
    """Sums over squares, as `dmontage.kernels.squares` has them."""

    totals: NDArray[np.float64]
    rests: NDArray[np.float64]
    counts: NDArray[np.int64]

    @classmethod
    def zeros(cls, ny: int, nx: int, step: int) -> Sums:
        """Of no pixels yet, for as many squares as (ny, nx) pixels are on."""
        shape = (-(-ny // step), -(-nx // step))
        return cls(np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int64))

    def means(self) -> NDArray[np.float64]:
        """NaN where there is no pixel."""
        means = np.full(self.counts.shape, np.nan)
        np.divide(self.totals + self.rests, self.counts, out=means, where=self.counts > 0)
        return means


def shrink_rows(data: Any, step: int) -> NDArray[np.float64]:
    """Means over squares of ``step`` × ``step`` pixels of an array (ny, nx), NaN where all are blank.

    Rows are read a band at a time.
    """
    return _sums(data, 0, 0, step).means()


def _sums(data: Any, y0: int, x0: int, step: int) -> Sums:
    """Sums of pixels of which the first is at (y0, x0) of a square, and all rows are read a band at a time."""
    ny, nx = data.shape
    sums, rows = Sums.zeros(y0 + ny, x0 + nx, step), max(1, _BAND // nx)
    for y in range(0, ny, rows):
        add_squares(as_floats(data[y : y + rows]), y0 + y, x0, step, *sums)
    return sums


def as_floats(band: Any) -> NDArray[np.float32] | NDArray[np.float64]:
    """The same values in this machine's byte order, masked ones NaN: float32 as they are, all others float64."""
    if np.ma.isMaskedArray(band):
        band = np.ma.filled(band.astype(np.promote_types(band.dtype, np.float32)), np.nan)
    band = np.asarray(band)
    if band.dtype.kind == "f" and band.dtype.itemsize <= 4:
        return np.ascontiguousarray(band, dtype=np.float32)
    return np.ascontiguousarray(band, dtype=np.float64)


def in_chunks(data: Any) -> bool:
    """Whether this is an array of chunks, dask's or one that is stored so (zarr), which rows would read many times."""
    return getattr(data, "chunks", None) is not None


def shrink_chunks(data: Any, step: int) -> NDArray[np.float64]:
    """Means as those of `shrink_rows`, of a chunked array: a chunk is let go as soon as its sums are made.

    What is in memory is a chunk for each thread or worker, and the sums. They are the same to the bit whatever the
    chunks.
    """
    import dask.array as da  # 0.4 s, which an array in memory does not need
    from dask.base import compute
    from dask.delayed import delayed

    lazy = hasattr(data, "rechunk")
    array = data if lazy else da.from_array(data, name=False)
    starts = [np.cumsum([0, *sizes[:-1]]).tolist() for sizes in array.chunks]
    places = [(y0, x0) for y0 in starts[0] for x0 in starts[1]]
    blocks = array.to_delayed().ravel()
    tasks = [delayed(_sums)(block, y0 % step, x0 % step, step) for block, (y0, x0) in zip(blocks, places, strict=True)]
    # A stored array may be on this machine only: its tasks stay in this process.
    parts = compute(*tasks) if lazy else compute(*tasks, scheduler="threads")
    sums = Sums.zeros(array.shape[0], array.shape[1], step)
    for (y0, x0), part in zip(places, parts, strict=True):
        _add(sums, part, y0 // step, x0 // step)
    return sums.means()


def _add(sums: Sums, part: Sums, j: int, i: int) -> None:
    """Add sums over some squares, of which the first is (j, i), to those over all: without error, in the same way."""
    ny, nx = part.counts.shape
    squares = (slice(j, j + ny), slice(i, i + nx))
    before = sums.totals[squares]
    with np.errstate(over="ignore", invalid="ignore"):  # of values near the largest float64: blank, as in the kernel
        new = before + part.totals
        taken = new - before
        sums.rests[squares] += (before - (new - taken)) + (part.totals - taken) + part.rests
    sums.totals[squares] = new
    sums.counts[squares] += part.counts
