"""Squares: means over squares of pixels.

Notation: a square is ``step`` × ``step`` pixels, counted from the first pixel; those cut by the last row or column
have what there is. Its pixels are added row by row, each row by itself from left to right: one order, so that sums are
the same to the bit in whatever bands of rows the array comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dmontage.kernels._jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["add_squares"]


@kernel
def add_squares(
    values: NDArray[np.float32] | NDArray[np.float64],
    y0: int,
    step: int,
    totals: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> None:
    """Add rows ``y0`` and following of an array (ny, nx) to the sums (⌈ny/step⌉, ⌈nx/step⌉) of its finite values.

    ``counts`` are how many there are in each.
    """
    n_rows, nx = values.shape
    for y in range(n_rows):
        j = (y0 + y) // step
        for i in range(totals.shape[1]):
            total, count = 0.0, 0
            for x in range(i * step, min((i + 1) * step, nx)):
                value = float(values[y, x])
                good = np.isfinite(value)
                total += value if good else 0.0
                count += good
            totals[j, i] += total
            counts[j, i] += count
