"""Clip limits: the tables that the clip kernel decides by (level 4; its formulas are those of `dmontage.kernels.clip`).

scipy's own functions only, whose loops give a number the same bits wherever it stands in an array.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["clip_limits"]


_ROWS = 64


def clip_limits(n: int, clip: tuple[float, float], *, known: bool) -> tuple[Floats, Floats, Floats]:
    """Limits below and above, and widths, of cores of up to ``n`` values, as `dmontage.kernels.clip.reject` takes them.

    Parameters
    ----------
    clip
        Limits (low, high) in σ of a Gaussian.
    known
        True where each value has its own σ.
    """
    size = 1 << max(n, 1).bit_length()  # few different tables, kept
    low, high = (_limits(size, k, known) for k in clip)
    return low, high, np.zeros((size, 1)) if known else _widths(size)


@lru_cache(maxsize=32)
def _limits(size: int, k: float, known: bool) -> Floats:
    from scipy.special import ndtr, stdtrit

    if known or np.isinf(k):
        return np.full(size, float(k))
    freedom = np.maximum(np.arange(size) - 1.0, 1.0)
    return np.asarray(-stdtrit(freedom, ndtr(-k)), np.float64)


@lru_cache(maxsize=8)
def _widths(size: int) -> Floats:
    """(1 + 1/m) / ((m - 1) T) of a core of m among n, at [n, m]; 0 where there is none."""
    widths = np.empty((size, size))
    for first in range(0, size, _ROWS):  # else some ten tables would be in memory at once
        n = np.arange(first, min(first + _ROWS, size))
        widths[n] = _widths_of(n[:, None], np.arange(size)[None, :])
    return widths


def _widths_of(n: NDArray[np.int64], m: NDArray[np.int64]) -> Floats:
    """Some rows of the table."""
    from scipy.special import expm1, ndtri

    inside = (m >= 2) & (m < n)
    n, m = np.where(inside, n, 3), np.where(inside, m, 2)
    part = (m + 1) / n
    z = ndtri(0.5 + 0.5 * np.where(part < 1.0, part, 0.5))
    # z φ(z) → 0 where nothing is cut away.
    cut = np.where(part < 1.0, 2.0 * z * (1.0 + expm1(-0.5 * z * z)) / np.sqrt(2.0 * np.pi) / part, 0.0)
    return np.where(inside, (1.0 + 1.0 / m) / ((m - 1) * (1.0 - cut)), 0.0)
