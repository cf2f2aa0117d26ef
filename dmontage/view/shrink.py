"""Shrinking: an array of any size becomes one that a screen holds, by means over squares of its pixels.

Notation: a square of ``step`` × ``step`` pixels of the mosaic makes one pixel of the picture, ``step`` being the least
that fits the picture into its largest side. Pixel x of the mosaic (0-based, centres at integers) lies at
(x + 1/2) / step − 1/2 of the picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from dmontage.errors import InputError
from dmontage.graph.shrunk import as_floats, in_chunks, shrink_chunks, shrink_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float32] | NDArray[np.float64]

__all__ = ["Pixels", "shrink", "step_for"]


class Pixels(Protocol):
    """Anything two-dimensional that gives its rows: an array, a memory map of a file, a zarr or lazy dask array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(ny, nx)."""
        ...

    def __getitem__(self, rows: slice, /) -> Any:
        """Rows of pixels."""
        ...


def step_for(shape: tuple[int, ...], max_side: int | None) -> int:
    """Side, in pixels of (ny, nx), of the squares that make a picture of at most ``max_side`` pixels a side.

    Parameters
    ----------
    shape
        (ny, nx).
    max_side
        Pixels; None for no limit.

    Returns
    -------
    int
        1 or more.

    Raises
    ------
    InputError
        Of a shape that is not (ny, nx), or has no pixels, and of a side below 1.
    """
    if len(shape) != 2 or 0 in shape:
        raise InputError(f"the data have shape {tuple(shape)}; a picture needs (ny, nx), so give one plane with pixels")
    if max_side is None:
        return 1
    if max_side < 1:
        raise InputError(f"max_side is {max_side}; give 1 or more pixels")
    return -(-max(shape) // max_side)


def shrink(data: Pixels, step: int) -> Values:
    """Means over squares of ``step`` × ``step`` pixels, of those that are finite; NaN where none is.

    The squares are counted from the first pixel, and those cut by the last row or column are means of what there is.
    Sums are kept without error, so that the means are the same to the bit whatever the chunks
    (of float64 values a last bit may differ once in 10¹⁵ times).

    Parameters
    ----------
    data
        Pixels (y, x) of any real type and byte order. Rows are read a band at a time, what has chunks (dask, zarr) some
        chunks at a time: the size is not limited by memory.
    step
        Side of a square; 1 gives the pixels themselves, infinite ones too.

    Returns
    -------
    (⌈ny/step⌉, ⌈nx/step⌉)
        float64; with ``step`` 1 of float32 data float32, and not a copy where there need be none.
    """
    kind = np.dtype(getattr(data, "dtype", np.float64))
    if kind.kind not in "biuf":
        raise InputError(f"the data are of type {kind}; a picture needs real numbers")
    if step == 1:
        pixels = data[0 : data.shape[0]]
        return as_floats(pixels.compute() if hasattr(pixels, "compute") else pixels)
    return shrink_chunks(data, step) if in_chunks(data) else shrink_rows(data, step)
