"""Shrunk: means over squares of pixels of a lazy array, out of core (level 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.kernels.squares import add_squares

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

__all__ = ["as_floats", "block_means", "in_chunks", "shrink_chunks"]

_BAND = 1 << 22  # pixels read at a time


def in_chunks(data: Any) -> bool:
    """Whether this is an array of chunks, dask's or one that is stored so (zarr), which rows would read many times."""
    return getattr(data, "chunks", None) is not None


def square_means(bands: Iterable[Any], shape: tuple[int, int], step: int) -> NDArray[np.float64]:
    """Means over squares of ``step`` × ``step`` pixels of an array (ny, nx) that comes in bands of rows, in order.

    What is not finite, or masked, is left out; NaN where that is all. The means are the same whatever the bands.
    """
    small = (-(-shape[0] // step), -(-shape[1] // step))
    totals, counts, y0 = np.zeros(small), np.zeros(small, np.int64), 0
    for band in bands:
        add_squares(as_floats(band), y0, step, totals, counts)
        y0 += len(band)
    means = np.full(small, np.nan)
    np.divide(totals, counts, out=means, where=counts > 0)
    return means


def as_floats(band: Any) -> NDArray[np.float32] | NDArray[np.float64]:
    """The same values in this machine's byte order, masked ones NaN: float32 as they are, all others float64."""
    if np.ma.isMaskedArray(band):
        band = np.ma.filled(band.astype(np.promote_types(band.dtype, np.float32)), np.nan)
    band = np.asarray(band)
    if band.dtype.kind == "f" and band.dtype.itemsize <= 4:
        return np.ascontiguousarray(band, dtype=np.float32)
    return np.ascontiguousarray(band, dtype=np.float64)


def block_means(block: Any, step: int) -> NDArray[np.float64]:
    """Task: the means of an array (ny, nx), of which rows are read a band at a time."""
    rows = max(1, _BAND // block.shape[1])
    return square_means((block[y : y + rows] for y in range(0, block.shape[0], rows)), block.shape, step)


def shrink_chunks(data: Any, step: int) -> NDArray[np.float64]:
    """Means over squares of ``step`` × ``step`` pixels of a chunked array (ny, nx), NaN where all are blank.

    Borders of chunks move to the nearest border of squares: the strips between are a copy of each block, and there is
    no sum that depends on the chunks. What is in memory at a time is some blocks for each thread or worker.
    """
    import dask.array as da

    lazy = hasattr(data, "rechunk")
    array = data if lazy else da.from_array(data, name=False)
    chunks = tuple(aligned(sizes, step) for sizes in array.chunks)
    small = tuple(tuple(-(-size // step) for size in sizes) for sizes in chunks)
    means = array.rechunk(chunks, method="tasks").map_blocks(
        block_means, step, dtype=np.float64, chunks=small, meta=np.empty((0, 0))
    )
    # A stored array may be on this machine only: its tasks stay in this process.
    return np.asarray(means.compute() if lazy else means.compute(scheduler="threads"))


def aligned(sizes: Sequence[int], step: int) -> tuple[int, ...]:
    """Sizes of chunks whose borders are the multiples of a step that are nearest to those of the given ones."""
    total = sum(sizes)
    borders = {round(border / step) * step for border in np.cumsum(sizes)[:-1].tolist()}
    inner = sorted(border for border in borders if 0 < border < total)
    return tuple(np.diff([0, *inner, total]).tolist())
