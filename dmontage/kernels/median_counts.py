"""The exact median of a plane's residuals, from integer counts.

Notation::

    r       residual of a pixel, rounded to float32 (see `residuals`)
    key     bits of r as an integer, with the sign folded so that keys sort as the numbers do
    digit   11, 11 and 10 bits of a key, from the top; prefix: the digits found so far

A histogram of the digits tells which one holds a given rank, and the next pass counts within it: three passes over the
pixels find any rank, without a sort or a copy. Counts are integers, so that no border of blank pixels changes a bit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from dmontage.kernels._jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.kernels.residuals import Frame

    FloatArray = NDArray[np.float32] | NDArray[np.float64]

__all__ = ["residual_median"]


def residual_median(frame: Frame, plane: NDArray[np.float64], absolute: bool) -> tuple[float, int]:
    """Median of the float32 residuals (or of their absolute values), and how many there are.

    Three histograms stay in the innermost cache; two of 16 bits read less, but cost 0.1 ms of clearing and adding up a
    median.
    """
    middle = np.empty(2, dtype=np.uint32)
    tables: dict[tuple[int, int], NDArray[np.int64]] = {}
    for k in (0, 1):
        prefix, rank, n = 0, 0, -1
        for shift, bits in ((21, 11), (10, 11), (0, 10)):
            if (shift, prefix) not in tables:
                counts = np.zeros(1 << bits, dtype=np.int64)
                _count(*frame, plane, absolute, shift, shift + bits, prefix, counts)
                tables[shift, prefix] = np.cumsum(counts)
            table = tables[shift, prefix]
            if n < 0:
                n = int(table[-1])
                rank = (n - 1 + k) // 2
            if n == 0:
                return math.nan, 0
            digit = int(np.searchsorted(table, rank, side="right"))
            rank -= int(table[digit - 1]) if digit else 0
            prefix = prefix << bits | digit
        middle[k] = prefix ^ 0x80000000 if prefix & 0x80000000 else prefix ^ 0xFFFFFFFF
    a, b = middle.view(np.float32).tolist()
    return 0.5 * a + 0.5 * b, n


@kernel
def _count(
    d: FloatArray,
    y_first: int,
    x_first: int,
    x0: float,
    y0: float,
    plane: NDArray[np.float64],
    absolute: bool,
    low: int,
    high: int,
    prefix: int,
    counts: NDArray[np.int64],
) -> None:
    """Histogram of the bits low..high of the residuals' keys, among those whose bits above are `prefix`."""
    ny, nx = d.shape
    level, slope_x, slope_y = plane[0], plane[1], plane[2]
    residual = np.empty(nx, dtype=np.float32)
    bits = residual.view(np.uint32)
    mask = counts.size - 1
    for j in range(ny):
        base = level + slope_y * (y_first + j - y0)
        for i in range(nx):
            r = d[j, i] - (base + slope_x * (x_first + i - x0))
            residual[i] = abs(r) if absolute else r
        for i in range(nx):
            if abs(d[j, i]) < np.inf:
                b = np.int64(bits[i])
                key = b ^ 0xFFFFFFFF if b >> 31 else b | 0x80000000
                if key >> high == prefix:
                    counts[(key >> low) & mask] += 1
