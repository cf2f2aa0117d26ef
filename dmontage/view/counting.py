"""Pixels to sparse counts, and counts to sums: what a `Histogram` is made of.

The level of the bins is a property of the pixels as a set: the least at which they lie in `MAX_PAGES` pages or fewer.
No part of the pixels can have a higher level than the whole, so parts are counted at their own levels, brought to the
highest of them, added, and brought to the level of the sum: the result has no memory of how the pixels were cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.errors import InputError
from dmontage.kernels.value_counts import KEY_ZERO, PAGE_BITS, count_values

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LARGEST", "MAX_PAGES", "count_pixels", "float32_of", "key_of", "settle", "value_of"]

MAX_PAGES = 1 << 12
"""Half a million bins, 6 MB, at most."""

_FIRST = 1 << 16  # pixels whose level is where the counting begins: one that need not be raised often
LARGEST = float(np.finfo(np.float32).max)
"""Of float32; what is finite beyond it is counted there."""


def float32_of(values: Any) -> tuple[NDArray[np.float32], float, float]:
    """Pixels as a row of native float32, and their least and largest finite values (inf, -inf where all are blank).

    Finite values beyond float32 stay finite. Masked pixels are NaN.
    """
    array = np.asanyarray(values)
    if array.dtype.kind not in "biuf":
        raise InputError(f"the pixels are of type {array.dtype}; a histogram needs integers or floats")
    if isinstance(array, np.ma.MaskedArray):
        array = np.ma.filled(array.astype(np.float64), np.nan)
    flat = np.asarray(array).reshape(-1)
    if flat.dtype.kind == "f" and flat.itemsize == 4:
        row = np.ascontiguousarray(flat, dtype=np.float32)
        return row, *_extent(row)
    extent = _extent(flat)
    with np.errstate(over="ignore"):
        row = flat.astype(np.float32)
    if max(-extent[0], extent[1]) > LARGEST:
        wide = np.isfinite(flat) & ~np.isfinite(row)
        row[wide] = np.copysign(np.float32(LARGEST), flat[wide])
    return row, *extent


def _extent(flat: NDArray[Any]) -> tuple[float, float]:
    if flat.size == 0:
        return np.inf, -np.inf
    low, high = float(np.fmin.reduce(flat)), float(np.fmax.reduce(flat))
    if np.isfinite(low) and np.isfinite(high):
        return low, high
    good = flat[np.isfinite(flat)]
    return (float(good.min()), float(good.max())) if good.size else (np.inf, -np.inf)


def count_pixels(row: NDArray[np.float32]) -> tuple[int, NDArray[np.uint32], NDArray[np.int64]]:
    """Level, bins (sorted, none empty) and counts of a row of pixels."""
    bits = row.view(np.uint32)
    level = _level_of(np.sort(_keys(bits[:: max(1, bits.size // _FIRST)])), 0)
    numbers = np.empty(MAX_PAGES, dtype=np.int64)
    counts = np.zeros((MAX_PAGES, 1 << PAGE_BITS), dtype=np.int64)
    done = n_pages = 0
    while True:
        # A table of all pages there can be: 64 MB at level 0, of which only what is touched takes memory.
        table = np.zeros(1 << (32 - level - PAGE_BITS), dtype=np.int16)
        table[numbers[:n_pages]] = np.arange(1, n_pages + 1)
        done, n_pages = count_values(bits, done, level, table, numbers, counts, n_pages)
        if done == bits.size:
            break
        level, n_pages = level + 1, _raise(numbers, counts)
    order = np.argsort(numbers[:n_pages])
    sums = counts[order].reshape(-1)
    bins = ((numbers[order, None] << PAGE_BITS) + np.arange(1 << PAGE_BITS)).reshape(-1)
    filled = np.flatnonzero(sums)
    return level, bins[filled].astype(np.uint32), sums[filled]


def _raise(numbers: NDArray[np.int64], counts: NDArray[np.int64]) -> int:
    """Bring full pages one level up, in place: two bins become one, two pages one. Pages there are then."""
    pairs = counts.reshape(len(counts), -1, 2).sum(axis=2)
    above, where = np.unique(numbers >> 1, return_inverse=True)
    counts[:] = 0
    counts.reshape(len(counts), 2, -1)[where, numbers & 1] = pairs
    numbers[: above.size] = above
    return int(above.size)


def settle(
    level: int, bins: NDArray[np.uint32], counts: NDArray[np.int64]
) -> tuple[int, NDArray[np.uint32], NDArray[np.int64]]:
    """Bins in any order, some of them twice, to the sorted sums at the level of the whole."""
    order = np.argsort(bins, kind="stable")
    bins, counts = bins[order], counts[order]
    final = _level_of(bins, level)
    bins = bins >> np.uint32(final - level)
    starts = np.flatnonzero(np.diff(bins, prepend=bins[:1] ^ np.uint32(1)))
    return final, bins[starts], np.add.reduceat(counts, starts) if starts.size else counts


def _level_of(bins: NDArray[np.uint32], level: int) -> int:
    """The level at which sorted bins lie in few enough pages."""
    pages = bins >> np.uint32(PAGE_BITS)
    while 1 + np.count_nonzero(np.diff(pages)) > MAX_PAGES:
        pages = pages >> np.uint32(1)
        level += 1
    return level


def _keys(bits: NDArray[np.uint32]) -> NDArray[np.uint32]:
    magnitude = (bits & np.uint32(0x7FFFFFFF)).astype(np.int64)
    keys = KEY_ZERO + np.where(bits >> np.uint32(31), -magnitude, magnitude)
    return keys[magnitude < 0x7F800000].astype(np.uint32)


def key_of(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Keys of finite values within float32."""
    return _keys(values.astype(np.float32).view(np.uint32)).astype(np.int64)


def value_of(keys: NDArray[np.int64]) -> NDArray[np.float64]:
    """The float32 that keys stand for; infinite beyond the last."""
    magnitude = np.abs(keys - KEY_ZERO).astype(np.uint32)
    return np.copysign(magnitude.view(np.float32).astype(np.float64), (keys - KEY_ZERO).astype(np.float64))
