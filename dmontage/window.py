"""Window: a half-open box of pixels (level 0).

Arrays are ``[y, x]``, pixel centres lie at integers and pixel edges at ±0.5, so the window ``[y0, y1) × [x0, x1)``
covers the plane from ``x0 - 0.5`` to ``x1 - 0.5``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median_high
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LATTICE", "Window", "meeting"]

LATTICE = 64
"""Pixels of a side of the blocks that products are digested by; chunks and tiles of a mosaic are multiples of it."""


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A half-open box of pixels, ``y0 <= y < y1`` and ``x0 <= x < x1``; empty when a side is not positive."""

    y0: int
    y1: int
    x0: int
    x1: int

    @classmethod
    def of_shape(cls, shape: tuple[int, int]) -> Window:
        """The window of a whole array of ``shape`` (ny, nx).

        Parameters
        ----------
        shape
            (ny, nx).
        """
        return cls(0, shape[0], 0, shape[1])

    @classmethod
    def around(cls, marked: NDArray[np.bool_]) -> Window:
        """The smallest window with all marked pixels of an array (ny, nx); empty where none is."""
        y, x = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
        return cls(int(y[0]), int(y[-1]) + 1, int(x[0]), int(x[-1]) + 1) if y.size else cls(0, 0, 0, 0)

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx), never negative."""
        return max(self.y1 - self.y0, 0), max(self.x1 - self.x0, 0)

    @property
    def size(self) -> int:
        """Number of pixels."""
        ny, nx = self.shape
        return ny * nx

    def __bool__(self) -> bool:
        return self.y1 > self.y0 and self.x1 > self.x0

    def __and__(self, other: Window) -> Window:
        """The common box; empty (and false) where there is none."""
        return Window(max(self.y0, other.y0), min(self.y1, other.y1), max(self.x0, other.x0), min(self.x1, other.x1))

    def __or__(self, other: Window) -> Window:
        """The smallest box that holds both."""
        return Window(min(self.y0, other.y0), max(self.y1, other.y1), min(self.x0, other.x0), max(self.x1, other.x1))

    def __contains__(self, other: Window) -> bool:
        return self.y0 <= other.y0 and other.y1 <= self.y1 and self.x0 <= other.x0 and other.x1 <= self.x1

    def __str__(self) -> str:
        return f"[{self.y0}:{self.y1}, {self.x0}:{self.x1}]"

    def shift(self, dy: int, dx: int) -> Window:
        """The same box moved by whole pixels.

        Parameters
        ----------
        dy, dx
            Whole pixels.

        Returns
        -------
        Window
            The moved box.
        """
        return Window(self.y0 + dy, self.y1 + dy, self.x0 + dx, self.x1 + dx)

    def pad(self, n: int) -> Window:
        """The box grown by ``n`` pixels on all four sides.

        Parameters
        ----------
        n
            Pixels; negative ones shrink it.

        Returns
        -------
        Window
            The grown box.
        """
        return Window(self.y0 - n, self.y1 + n, self.x0 - n, self.x1 + n)

    def relative_to(self, origin: Window) -> Window:
        """The same pixels, counted from the first pixel of ``origin``.

        Parameters
        ----------
        origin
            The box that its pixels are counted from.

        Returns
        -------
        Window
            The same box in other numbers.
        """
        return self.shift(-origin.y0, -origin.x0)

    @property
    def middle(self) -> tuple[float, float]:
        """Pixel coordinates (x, y) of its middle."""
        return (self.x0 + self.x1 - 1) / 2, (self.y0 + self.y1 - 1) / 2

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the box in an array whose first pixel is (0, 0)."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def edge(self, n: int = 1) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixel coordinates x, y of ``n`` points a side along its outer edge, around it from its first corner along x.

        With one it is the four corners.
        """
        t = np.linspace(0.0, 1.0, n + 1)
        zero, one = np.zeros(n), np.ones(n)
        x, y = np.concatenate([t[:-1], one, t[:0:-1], zero]), np.concatenate([zero, t[:-1], one, t[:0:-1]])
        return self.x0 - 0.5 + x * (self.x1 - self.x0), self.y0 - 0.5 + y * (self.y1 - self.y0)

    def bands(self, rows: int) -> Iterator[Window]:
        """Cut the box into bands of ``rows`` rows, counted from its first; the last may have fewer."""
        for y0 in range(self.y0, self.y1, rows):
            yield Window(y0, min(y0 + rows, self.y1), self.x0, self.x1)

    def blocks(self, block: tuple[int, int]) -> Iterator[tuple[tuple[int, int], Window]]:
        """Cut the box on the lattice of ``block`` (ny, nx) anchored at pixel (0, 0).

        Yields
        ------
        (iy, ix), window
            Lattice index of the block, and its part inside this box, in row order.
        """
        if not self:
            return
        by, bx = block
        for iy in range(self.y0 // by, (self.y1 - 1) // by + 1):
            for ix in range(self.x0 // bx, (self.x1 - 1) // bx + 1):
                yield (iy, ix), self & Window(iy * by, (iy + 1) * by, ix * bx, (ix + 1) * bx)

    def reached_blocks(
        self, block: tuple[int, int], windows: Iterable[Window]
    ) -> tuple[tuple[Window, tuple[int, ...]], ...]:
        """The `blocks`, each with the numbers of the windows that reach it."""
        reached: dict[tuple[int, int], list[int]] = defaultdict(list)
        for number, window in enumerate(windows):
            for index, _ in (window & self).blocks(block):
                reached[index].append(number)
        return tuple((window, tuple(reached[index])) for index, window in self.blocks(block))


def meeting(windows: Sequence[Window]) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of windows that share pixels: compared within bins the size of a typical one, never all."""
    side = max(median_high(max(window.shape) for window in windows), 1) if windows else 1
    bins: dict[tuple[int, int], list[int]] = defaultdict(list)
    found: set[tuple[int, int]] = set()
    for i, window in enumerate(windows):
        for index, _ in window.blocks((side, side)):
            found.update((other, i) for other in bins[index] if windows[other] & window)
            bins[index].append(i)
    return sorted(found)
