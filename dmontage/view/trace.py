"""Trace: curves on the sky as polylines of pixels, halved until they are smooth, and cut where the map is cut.

Notation: a way takes numbers t to pixels (x, y), NaN off the projection. Two neighbouring points and the way between
them are one step. A step is smooth if its middle lies on its chord to a tolerance; one that stays rough however often
it is halved crosses a seam, or ends at the limb, and nothing is drawn over it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dmontage.sphere import rotate_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from dmontage.grid import Grid
    from dmontage.view.grid_wcs import GridWCS

    Floats = NDArray[np.float64]
    Way = Callable[[Floats], tuple[Floats, Floats]]

__all__ = ["edge_of", "traced"]

_HALVINGS = 14
_PARTS = 12
"""Steps that a side begins with: a seam that cuts off less is not seen."""


def edge_of(grid: Grid, onto: GridWCS) -> tuple[Way, Floats]:
    """The way along the outer edge of a grid's pixels, t = 0..4 from its first corner on, and the t to begin with."""
    ny, nx = grid.shape
    wcs, frame, to = grid.wcs(), grid.frame, onto.grid.frame
    corners = np.array([[0, 0], [nx, 0], [nx, ny], [0, ny], [0, 0]]) - 0.5

    def way(t: Floats) -> tuple[Floats, Floats]:
        side = np.minimum(t.astype(np.intp), 3)
        at = corners[side] + (t - side)[:, None] * (corners[side + 1] - corners[side])
        with np.errstate(invalid="ignore"):
            vectors = grid.sky(at[:, 0], at[:, 1], wcs)
        return onto.pixel(rotate_frame(vectors, frame, to))

    return way, np.linspace(0.0, 4.0, 4 * _PARTS + 1)


def traced(way: Way, t: Floats, tolerance: float, shown: tuple[float, float, float, float]) -> list[Floats]:
    """The polylines (n, 2) of a way, in pixels.

    Parameters
    ----------
    way
        From t to pixels.
    t
        Where it begins to look, in order.
    tolerance
        From chord to curve, in pixels.
    shown
        Limits x0, x1, y0, y1 of the picture: what is wholly to one side of it is not refined.
    """
    points = np.stack(way(t), axis=-1)
    rough = np.ones(len(t) - 1, bool)
    for _ in range(_HALVINGS):
        k = np.flatnonzero(rough)
        middles = 0.5 * (t[k] + t[k + 1])
        between = np.stack(way(middles), axis=-1)
        still = _is_rough(points[k], between, points[k + 1], tolerance, shown)
        rough[k] = False
        k, middles, between = k[still], middles[still], between[still]
        if not k.size:
            break
        t, points = np.insert(t, k + 1, middles), np.insert(points, k + 1, between, axis=0)
        rough = np.insert(rough, k, False)
        first = k + np.arange(k.size)
        rough[first] = rough[first + 1] = True
    steps = np.hypot(*np.diff(points, axis=0).T)
    # What is still rough is short where it only turns sharply, and long, or off the sky, where the map is cut.
    cut = ~np.isfinite(steps) | (rough & (steps > tolerance))
    pieces = np.split(points, np.flatnonzero(cut) + 1)
    pieces = [piece for piece in pieces if len(piece) > 1]
    closed = bool(cut.any()) and len(pieces) > 1 and np.array_equal(pieces[0][0], pieces[-1][-1])
    return [np.concatenate([pieces[-1], pieces[0][1:]]), *pieces[1:-1]] if closed else pieces


def _is_rough(
    a: Floats, middle: Floats, b: Floats, tolerance: float, shown: tuple[float, float, float, float]
) -> NDArray[np.bool_]:
    off = 0.5 * (a + b) - middle
    rough = ~(np.hypot(off[:, 0], off[:, 1]) <= tolerance)
    nowhere = np.isnan(a[:, 0]) & np.isnan(middle[:, 0]) & np.isnan(b[:, 0])
    three = np.stack([a, middle, b])
    beside = ((three < shown[::2]).all(axis=0) | (three > shown[1::2]).all(axis=0)).any(axis=-1)
    return np.asarray(rough & ~nowhere & ~beside)
