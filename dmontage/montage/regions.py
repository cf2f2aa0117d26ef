"""Regions of the sky, and whether two have anything in common: exactly, on the sphere.

A region is a closed ring of great circles, told in ICRS, with a way to ask what lies inside. Two overlap where a point
of one lies in the other, or where their rings cross.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from astropy.coordinates import ICRS

from dmontage.errors import InputError
from dmontage.sphere import lengths, rotate_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from dmontage.grid import Grid

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

__all__ = ["Region", "cap_region", "grid_region", "overlap", "polygon_region"]

_EDGE = 1e-12
"""Radians within which a point is on an edge, and so inside."""


class Region(NamedTuple):
    """A part of the sky."""

    points: Floats
    """(n, 3) unit vectors that lie in it."""
    ring: Floats
    """(m, 3) its outline, closed by its first point; empty where it has none that is known."""
    holds: Callable[[Floats], Bools]
    """Which of (k, 3) unit vectors lie in it."""
    centre: Floats
    radius: float
    """Chord from the centre beyond which nothing of it lies; 2 for what may be anywhere."""


def grid_region(grid: Grid) -> Region:
    """All that a grid's pixels cover, to the outer edges of the outermost."""
    frame, sky = grid.frame, ICRS()
    ny, nx = grid.shape
    points = grid.points_in(sky)
    n = grid.edge_points
    whole = len(points) == n + 17 * 17  # of what leaves the sky, or holds a pole, the edge is not told

    def holds(vectors: Floats) -> Bools:
        x, y = grid.pixel(rotate_frame(vectors, sky, frame))
        return np.asarray((np.abs(x - (nx - 1) / 2) <= nx / 2) & (np.abs(y - (ny - 1) / 2) <= ny / 2))

    if not whole:
        return _region(points, np.zeros((0, 3)), holds)
    first, last, opposite, back = points[:n].reshape(4, -1, 3)  # sides, all told upwards
    return _region(points, np.concatenate([first, last, opposite[::-1], back[::-1]]), holds)


def polygon_region(corners: Floats) -> Region:
    """A convex polygon of great circles (n, 3), n >= 3, told in whichever direction, and less than half the sky.

    Raises
    ------
    InputError
        If it is not convex, or has no size.
    """
    middle = corners.sum(axis=0)
    normals = np.cross(corners, np.roll(corners, -1, axis=0))
    if lengths(normals).min() == 0.0:
        raise InputError("two neighbours of the polygon's corners are the same, or opposite")
    normals /= lengths(normals)[:, None]
    normals *= 1.0 if float(np.median(normals @ middle)) > 0.0 else -1.0
    if lengths(middle) < 1e-6 or (corners @ normals.T).min() < -_EDGE:
        raise InputError("the polygon is not convex: give its corners in order around it")
    return _region(corners, corners, lambda vectors: np.asarray((vectors @ normals.T).min(axis=-1) >= -_EDGE))


def cap_region(centre: Floats, degrees: float) -> Region:
    """A circle about a unit vector."""
    chord = 2.0 * math.sin(min(math.radians(degrees), math.pi) / 2.0)
    return Region(
        centre[None, :],
        np.zeros((0, 3)),
        lambda vectors: np.asarray(lengths(vectors - centre) <= chord + _EDGE),
        centre,
        chord,
    )


def _region(points: Floats, ring: Floats, holds: Callable[[Floats], Bools]) -> Region:
    total = points.sum(axis=0)
    if not len(ring) or lengths(total) == 0.0:
        return Region(points, ring, holds, np.array([0.0, 0.0, 1.0]), 2.0)
    centre = total / lengths(total)
    # Between neighbours an edge may bulge by no more than their distance.
    gap = float(lengths(np.roll(ring, -1, axis=0) - ring).max())
    return Region(points, ring, holds, centre, float(lengths(points - centre).max()) + gap)


def overlap(a: Region, b: Region) -> bool:
    """Whether two regions have a point in common; of two circles, only where one holds the other's middle."""
    if float(lengths(a.centre - b.centre)) > a.radius + b.radius:
        return False
    if a.holds(b.points).any() or b.holds(a.points).any():
        return True
    if len(a.ring) and len(b.ring):
        return _cross(a.ring, b.ring)
    return any(_nearest(one.ring, other) for one, other in ((a, b), (b, a)) if len(one.ring) and len(other.points) == 1)


def _cross(a: Floats, b: Floats) -> bool:
    """Whether any arc of one ring crosses one of the other."""
    a1, b1 = np.roll(a, -1, axis=0), np.roll(b, -1, axis=0)
    na, nb = np.cross(a, a1), np.cross(b, b1)
    sides_b = np.sign(na @ b.T) * np.sign(na @ b1.T)  # (arcs of a, arcs of b)
    sides_a = np.sign(a @ nb.T) * np.sign(a1 @ nb.T)
    ahead = (a + a1) @ (b + b1).T > 0.0
    return bool(((sides_a < 0) & (sides_b < 0) & ahead).any())


def _nearest(ring: Floats, cap: Region) -> bool:
    """Whether a ring comes as near to a circle's middle as its radius."""
    after = np.roll(ring, -1, axis=0)
    normals = np.cross(ring, after)
    normals = normals[(size := lengths(normals)) > 0.0] / size[size > 0.0, None]
    start, end = ring[size > 0.0], after[size > 0.0]
    foot = cap.centre - (normals @ cap.centre)[:, None] * normals
    foot /= np.maximum(lengths(foot), 1e-300)[:, None]
    on_arc = ((np.cross(start, foot) * normals).sum(-1) >= 0) & ((np.cross(foot, end) * normals).sum(-1) >= 0)
    return bool(cap.holds(foot[on_arc]).any())
