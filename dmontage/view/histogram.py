"""The histogram of an image of any size, in one pass, by exact sums.

Notation: *bin*, *page* and *level* as in `dmontage.kernels.value_counts`. Within a bin, the cumulative count rises as a
straight line.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.errors import InputError
from dmontage.view.counting import LARGEST, count_pixels, float32_of, key_of, settle, value_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Histogram", "count", "histogram", "merge"]

_PIECE = 1 << 22  # pixels read at a time


@dataclass(frozen=True, eq=False)
class Histogram:
    """How many pixels have which value; blank pixels (not finite) have none.

    The resolution is relative to the values themselves, whatever their range, so that no bright pixel takes it from
    the sky: a bin is 2^(level-23) of its value or less, and ``level`` is as low as half a million bins allow. That is
    float32's own resolution (level 0) for noise on a sky 300 σ high, σ/30 on a sky 1000 σ high with stars of up to
    10⁶ σ in each hundredth pixel, 1.2e-4 of each value for noise about zero with such stars, and 2^-10 of it where the
    values fill all that float32 can hold. Each integer of 16 bits has a bin of its own. Values are rounded to float32
    first; ``minimum`` and ``maximum`` are not.

    The same pixels give the same histogram, bit for bit, in whatever pieces and order they were counted.
    """

    level: int
    """Bins are 2^level neighbouring float32 values."""
    bins: NDArray[np.uint32]
    """Those that are not empty, sorted: the keys of their values without the last ``level`` bits."""
    counts: NDArray[np.int64]
    """Pixels in them."""
    minimum: float
    """Of the pixels that are not blank; NaN where there are none."""
    maximum: float

    @cached_property
    def n(self) -> int:
        """Pixels that are not blank."""
        return int(self.counts.sum())

    @cached_property
    def median(self) -> float:
        """The 50th percentile."""
        return float(self.quantile(0.5))

    @cached_property
    def sigma(self) -> float:
        """Half the interval from the 16th to the 84th percentile: σ, where the pixels are mostly noise."""
        low, high = self.quantile((0.16, 0.84))
        return float(high - low) / 2

    def quantile(self, q: Any) -> NDArray[np.float64]:
        """Values below which the fractions ``q`` of the pixels lie, true to one bin; NaN of a blank image.

        Parameters
        ----------
        q
            Fractions, 0 to 1, of any shape.

        Returns
        -------
        float64 of that shape
            Values, in the unit of the pixels.

        Raises
        ------
        InputError
            A fraction outside 0 to 1.
        """
        q = np.asarray(q, dtype=np.float64)
        if not ((q >= 0) & (q <= 1)).all():
            raise InputError(f"a quantile is asked at {q}; give fractions from 0 to 1")
        if self.n == 0:
            return np.full(q.shape, np.nan)
        if self.level == 0:  # a bin is one value
            which = np.minimum(np.searchsorted(self._above, q * self.n), self.bins.size - 1)
            values = value_of(self.bins[which].astype(np.int64))
        else:
            values = self.smooth_quantile(q)
        return np.clip(values, self.minimum, self.maximum)

    def smooth_quantile(self, q: NDArray[np.float64]) -> NDArray[np.float64]:
        """The inverse of `rank`: as `quantile`, but half a float32 step to either side where many have one value."""
        pixels = q * self.n
        which = np.minimum(np.searchsorted(self._above, pixels), self.bins.size - 1)
        low, high = self._edges
        part = 1 - (self._above[which] - pixels) / self.counts[which]
        return low[which] + np.clip(part, 0, 1) * (high[which] - low[which])

    def rank(self, values: Any) -> NDArray[np.float64]:
        """Fractions of the pixels that lie below values, to one bin; at level 0 half of equal ones are below.

        Parameters
        ----------
        values
            In the unit of the pixels, of any shape.

        Returns
        -------
        float64 of that shape
            0 to 1.
        """
        values = np.asarray(values, dtype=np.float64)
        if self.n == 0:
            return np.full(values.shape, np.nan)
        edges = np.stack(self._edges, axis=1).reshape(-1)
        pixels = np.stack([self._above - self.counts, self._above], axis=1).reshape(-1)
        ranks: NDArray[np.float64] = np.interp(values, edges, pixels) / self.n
        return ranks

    @cached_property
    def _above(self) -> NDArray[np.int64]:
        """Pixels in each bin and those below it."""
        return np.cumsum(self.counts)

    @cached_property
    def _edges(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper edges of the bins: half-way between float32 values, as rounding is."""
        first, last = key_of(np.clip([self.minimum, self.maximum], -LARGEST, LARGEST))
        keys = self.bins.astype(np.int64) << self.level
        low, high = _edge(np.maximum(keys, first)), _edge(np.minimum(keys + (1 << self.level), last + 1))
        if self.level == 0:  # as wide on either side of the one value, also where it is a power of two
            middle = value_of(keys)
            half = np.minimum(middle - low, high - middle)
            return middle - half, middle + half
        return low, high

    def __add__(self, other: Histogram) -> Histogram:
        """The histogram of both images' pixels."""
        return merge([self, other])


def _edge(keys: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.clip(value_of(keys - 1), -LARGEST, None) / 2 + np.clip(value_of(keys), None, LARGEST) / 2


def histogram(data: Any) -> Histogram:
    """Count the pixels of an image, in one pass and in bounded memory.

    Parameters
    ----------
    data
        Pixels of any real type and byte order: a numpy array, whatever gives its rows as one when it is sliced (a
        memory map, a zarr array), or a dask array, of which each chunk is counted where it is made: on the threads of
        this process, or on the workers of the client that is active.

    Returns
    -------
    Histogram
        The same for the same pixels, in whatever chunks.

    Raises
    ------
    InputError
        Pixels that are not real numbers, or data without axes.
    """
    if not hasattr(data, "shape"):
        data = np.asarray(data)
    if not data.shape:
        raise InputError(f"the data are one value, {data!r}; a histogram needs an image")
    if hasattr(data, "__dask_graph__"):
        from dmontage.graph.reduce import reduce_blocks

        counted: Histogram = reduce_blocks(data, count, merge)
        return counted
    rows = max(1, _PIECE // max(1, int(np.prod(data.shape[1:]))))
    total = count(data[:rows])
    for y0 in range(rows, data.shape[0], rows):
        total = total + count(data[y0 : y0 + rows])
    return total


def count(pixels: Any) -> Histogram:
    """Count pixels in memory."""
    row, low, high = float32_of(pixels)
    return Histogram(*count_pixels(row), low if low <= high else np.nan, high if low <= high else np.nan)


def merge(parts: Sequence[Histogram]) -> Histogram:
    """The histogram of all parts' pixels."""
    level = max(part.level for part in parts)
    bins = np.concatenate([part.bins >> np.uint32(level - part.level) for part in parts])
    counts = np.concatenate([part.counts for part in parts])
    low = float(np.fmin.reduce([part.minimum for part in parts]))
    high = float(np.fmax.reduce([part.maximum for part in parts]))
    return Histogram(*settle(level, bins, counts), low, high)
