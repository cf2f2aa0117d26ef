"""Span: how far many images reach on a grid.

Each tells itself by some 1300 points, in all 32 kB: those of a hundred thousand images would not fit in memory, so that
a few images are looked at at a time. Of many only those near the edge can reach farthest; which these are, nine points
of each tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from astropy.coordinates import BaseCoordinateFrame
    from numpy.typing import NDArray

    from dmontage.grid.grid import Grid

    Floats = NDArray[np.float64]
    Pixels = Callable[[Floats], tuple[Floats, Floats]]

__all__ = ["Span"]

_AT_ONCE = 64
"""Images whose points are held at once."""
_FEW = 256
"""Images of which all are looked at closely."""
_MESH = 17
"""Points a side of the mesh that the points of an image end with."""
_WIDE = 0.1
"""Chord across an image above which a map may bend so much over it that nine points do not tell how far it reaches."""


class Span:
    """The points of images, in one frame."""

    def __init__(self, grids: Sequence[Grid], frame: BaseCoordinateFrame) -> None:
        self._grids, self._frame = grids, frame
        self._coarse = np.full((len(grids), 9, 3), np.nan)
        """Corners, middles of edges, and the middle; NaN where these do not stand for the image."""
        total, n = np.zeros((0, 3)), 0
        for part in self._points(np.arange(len(grids))):
            for k, points in part:
                self._coarse[k] = _nine(points, grids[k].edge_points)
            several = np.concatenate([points for _, points in part])
            # Row by row, as numpy adds all of them: the sum has the same bits.
            total = np.concatenate([total, several]).sum(axis=0, keepdims=True)
            n += len(several)
        self.mean = total[0] / n
        """Of all points (3,)."""

    def _points(self, chosen: NDArray[np.intp]) -> Iterator[list[tuple[int, Floats]]]:
        """Number and points of some images, a few at a time."""
        for start in range(0, len(chosen), _AT_ONCE):
            part = chosen[start : start + _AT_ONCE].tolist()
            yield [(k, self._grids[k].points_in(self._frame)) for k in part]

    def box(self, pixel: Pixels) -> tuple[Floats, Floats]:
        """Lowest and highest (x, y) of all points, by the pixels that ``pixel`` tells; NaN where one has none."""
        boxes = []
        for part in self._points(self._outermost(pixel)):
            at = np.stack(pixel(np.concatenate([points for _, points in part])), axis=-1)
            boxes.append((at.min(axis=0), at.max(axis=0)))
        lows, highs = zip(*boxes, strict=True)
        return np.min(lows, axis=0), np.max(highs, axis=0)

    def _outermost(self, pixel: Pixels) -> NDArray[np.intp]:
        """The images one of whose points may be the farthest to a side."""
        everything = np.arange(len(self._grids))
        if len(everything) <= _FEW:
            return everything
        at = np.stack(pixel(self._coarse.reshape(-1, 3)), axis=-1).reshape(-1, 9, 2)
        low, high = at.min(axis=1), at.max(axis=1)
        size = high - low  # by so much no point of an image lies outside the box of its nine
        # NaN, and so nothing is inside, where nine points stand for no image.
        lowest, highest = np.fmin.reduce(low, axis=0), np.fmax.reduce(high, axis=0)
        inside = (low - size > lowest) & (high + size < highest)
        return np.flatnonzero(~inside.all(axis=1))


def _nine(points: Floats, n_edge: int) -> Floats:
    """(9, 3) of an image's points that stand for it; NaN where they cannot: it holds a pole, or is wide or cut."""
    if len(points) != n_edge + _MESH**2:
        return np.full((9, 3), np.nan)
    nine = points[n_edge:].reshape(_MESH, _MESH, 3)[:: _MESH // 2, :: _MESH // 2].reshape(9, 3)
    wide = np.abs(nine - nine[4]).max() > _WIDE
    return np.full((9, 3), np.nan) if wide else nine
