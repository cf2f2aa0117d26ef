"""Squares: sums over squares of pixels.

Notation: a square is ``step`` × ``step`` pixels, counted from the first pixel; those cut by the last row or column
have what there is. A sum is two float64, ``total`` and ``rest``: what rounding takes from the one is added to the other
(Knuth's sum without error, TAOCP 2, 4.2.2). Of float32 values the two are exact unless these differ by a factor of some
2⁶⁰, so that total + rest, rounded once, is the same to the bit in whatever pieces, and order, the array comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dmontage.kernels._jit import inlined, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["add_squares"]


@inlined
def _rounded(a: float, b: float, total: float) -> float:
    """What rounding takes from a + b when it makes ``total`` of it, exactly."""
    part = total - a
    return (a - (total - part)) + (b - part)


@kernel
def add_squares(
    values: NDArray[np.float32] | NDArray[np.float64],
    y0: int,
    x0: int,
    step: int,
    totals: NDArray[np.float64],
    rests: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> None:
    """Add the finite values of an array, whose first pixel is at (y0, x0), to the sums of the squares that it is on.

    Squares are counted from (0, 0); ``counts`` are how many values each has.
    """
    ny, nx = values.shape
    for y in range(ny):
        j = (y0 + y) // step
        for i in range(totals.shape[1]):
            total, rest, count = 0.0, 0.0, 0
            for x in range(max(i * step - x0, 0), min((i + 1) * step - x0, nx)):
                value = float(values[y, x])
                good = np.isfinite(value)
                value = value if good else 0.0
                new = total + value
                rest += _rounded(total, value, new)
                total = new
                count += good
            new = totals[j, i] + total
            rests[j, i] += _rounded(totals[j, i], total, new) + rest
            totals[j, i] = new
            counts[j, i] += count
