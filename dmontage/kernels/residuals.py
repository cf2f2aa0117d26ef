"""Residuals of a plane: their sums within a limit, and the smallest one above a bound.

Notation::

    u, v    x - x0, y - y0: pixels from the overlap's own origin
    r       d - (level + slope_x u + slope_y v), the residual of a difference d; not finite where d is blank

**Bits.** Sums are kept per 256 × 256 block of the mosaic's lattice and merged in block order, so that neither the
caller's window nor its blank border changes a bit of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dmontage.kernels._jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32] | NDArray[np.float64]

__all__ = ["Frame", "residual_sums", "smallest_above"]

_BLOCK = 256
_N_SUMS = 10  # n, Σu, Σv, Σu², Σuv, Σv² | Σr, Σru, Σrv, Σr²

Frame = tuple["FloatArray", int, int, float, float]
"""Differences (y, x), the mosaic pixel y, x of their first one, and the origin x0, y0 of the plane."""


def residual_sums(frame: Frame, plane: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """The ten sums over the pixels with residuals within ±limit, merged in block order."""
    d, y_first, x_first, *_ = frame
    blocks = [
        (first + n - 1) // _BLOCK - first // _BLOCK + 1 for first, n in zip((y_first, x_first), d.shape, strict=True)
    ]
    sums = np.zeros((blocks[0], blocks[1], _N_SUMS))
    _block_sums(*frame, plane, limit, sums)
    total = np.zeros(_N_SUMS)
    _merge(sums, total)
    return total


@kernel
def _merge(sums: NDArray[np.float64], total: NDArray[np.float64]) -> None:
    # One after the other: numpy's pairwise order depends on how many empty blocks surround the overlap.
    for j in range(sums.shape[0]):
        for i in range(sums.shape[1]):
            for k in range(total.size):
                total[k] += sums[j, i, k]


@kernel
def _block_sums(
    d: FloatArray,
    y_first: int,
    x_first: int,
    x0: float,
    y0: float,
    plane: NDArray[np.float64],
    limit: float,
    sums: NDArray[np.float64],
) -> None:
    ny, nx = d.shape
    level, slope_x, slope_y = plane[0], plane[1], plane[2]
    for j in range(ny):
        v = y_first + j - y0
        base = level + slope_y * v
        row_of_blocks = sums[(y_first + j) // _BLOCK - y_first // _BLOCK]
        start = 0
        for block in range(row_of_blocks.shape[0]):
            stop = min(nx, (x_first // _BLOCK + block + 1) * _BLOCK - x_first)
            n, su, suu, sr, sru, srr = 0, 0.0, 0.0, 0.0, 0.0, 0.0
            for i in range(start, stop):
                u = x_first + i - x0
                r = d[j, i] - (base + slope_x * u)
                if abs(r) <= limit:
                    n += 1
                    su += u
                    suu += u * u
                    sr += r
                    sru += r * u
                    srr += r * r
            start = stop
            s = row_of_blocks[block]
            s[0] += n
            s[1] += su
            s[2] += n * v
            s[3] += suu
            s[4] += su * v
            s[5] += n * v * v
            s[6] += sr
            s[7] += sru
            s[8] += sr * v
            s[9] += srr


@kernel
def smallest_above(
    d: FloatArray,
    y_first: int,
    x_first: int,
    x0: float,
    y0: float,
    plane: NDArray[np.float64],
    bound: float,
) -> float:
    """Smallest absolute residual larger than `bound`; infinite where there is none."""
    smallest = np.inf
    ny, nx = d.shape
    level, slope_x, slope_y = plane[0], plane[1], plane[2]
    for j in range(ny):
        base = level + slope_y * (y_first + j - y0)
        for i in range(nx):
            r = abs(d[j, i] - (base + slope_x * (x_first + i - x0)))
            if bound < r < smallest:
                smallest = r
    return smallest
