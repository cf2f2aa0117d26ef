"""The rectangles about points of a plane that have a side on their convex hull: the smallest of all is one of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["Boxes", "boxes_around", "hull_of"]


def hull_of(points: Floats) -> NDArray[np.intp]:
    """Which of points (n, 2) are corners of their convex hull, in order; both ends where all lie in one line."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        return np.asarray(ConvexHull(points).vertices, np.intp)
    except QhullError:
        return np.lexsort((points[:, 1], points[:, 0]))[[0, -1]]


class Boxes(NamedTuple):
    """Rectangles, one for each direction in which a side of the hull goes."""

    angles: Floats
    """(n,) directions of their first side, radians from x to y, above 0 and at most π/2, upwards."""
    low: Floats
    """(n, 2) lowest coordinates along the first side and across it."""
    high: Floats
    """(n, 2) highest coordinates."""


def boxes_around(hull: Floats) -> Boxes:
    """The rectangles about the corners (n, 2) of a convex hull, in order; an upright one about a single point."""
    sides = np.roll(hull, -1, axis=0) - hull
    angles = np.arctan2(sides[:, 1], sides[:, 0]) % (math.pi / 2)
    angles = np.unique(np.where(angles == 0.0, math.pi / 2, angles))
    u = np.stack([np.cos(angles), np.sin(angles)])
    at = np.stack([hull @ u, hull @ np.stack([-u[1], u[0]])], axis=-1)
    return Boxes(angles, at.min(axis=0), at.max(axis=0))
