"""Outlines: the few points that tell how far what a table lists reaches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.errors import InputError
from dmontage.montage.least_box import boxes_around, hull_of
from dmontage.montage.tables import grid_of_row
from dmontage.sphere import lengths, rotate_frame, unit_vectors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.coordinates import BaseCoordinateFrame
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["Outline", "corners_of_row", "least_turn"]

_AT_ONCE = 64
"""Rows whose points, some 1300 each, are held at once."""


class Outline(NamedTuple):
    """Points of the sky, as unit vectors of one frame."""

    vectors: Floats
    """(n, 3); where all lie within a hemisphere, those on their hull."""
    mean: Floats
    """(3,) the direction in the middle of the rows' own middles."""

    @classmethod
    def of_rows(cls, rows: Sequence[dict[str, Any]], frame: BaseCoordinateFrame, path: str) -> Outline:
        """That of a table's rows: images by their WCS or their corners, or places.

        Raises
        ------
        InputError
            Where a row is neither.
        """
        middles = np.array([_middle(row, frame, path) for row in rows])
        mean = middles.sum(axis=0)
        mean = mean / lengths(mean) if lengths(mean) > 1e-6 else np.array([1.0, 0.0, 0.0])
        kept = np.zeros((0, 3))
        for start in range(0, len(rows), _AT_ONCE):
            part = [_points(row, frame, path) for row in rows[start : start + _AT_ONCE]]
            kept = _hull(np.concatenate([kept, *part]), mean)
        return cls(kept, mean)

    def within(self, centre: Floats, degrees: float) -> bool:
        """Whether all lie within so many degrees of a direction."""
        return bool((self.vectors @ centre).min() >= math.cos(math.radians(degrees)))


def _points(row: dict[str, Any], frame: BaseCoordinateFrame, path: str) -> Floats:
    if row.get("ctype1") and row.get("naxis1"):
        return np.asarray(grid_of_row(row, path).points_in(frame))
    corners = corners_of_row(row)
    if corners is None:
        corners = _vectors([row.get("ra")], [row.get("dec")])
    if corners is None:
        raise InputError(f"Need columns: ra dec, or ra1 dec1 to ra4 dec4, or those of a WCS; {path} has a row without")
    return rotate_frame(corners, _j2000(row), frame)


def _middle(row: dict[str, Any], frame: BaseCoordinateFrame, path: str) -> Floats:
    points = _vectors([row.get("ra")], [row.get("dec")])
    if points is not None:
        return np.asarray(rotate_frame(points, _j2000(row), frame)[0])
    total = _points(row, frame, path).sum(axis=0)
    return np.asarray(total / max(float(lengths(total)), 1e-9))


def corners_of_row(row: dict[str, Any]) -> Floats | None:
    """(4, 3) unit vectors, equatorial J2000, of an image table's corners; None where it has none."""
    return _vectors(*([row.get(f"{name}{i}") for i in range(1, 5)] for name in ("ra", "dec")))


def _vectors(lon: Sequence[Any], lat: Sequence[Any]) -> Floats | None:
    numbers = [*lon, *lat]
    if not all(isinstance(value, (int, float)) and math.isfinite(value) for value in numbers):
        return None
    return unit_vectors(np.radians(np.array(lon, np.float64)), np.radians(np.array(lat, np.float64)))


def _j2000(row: dict[str, Any]) -> BaseCoordinateFrame:
    from astropy.coordinates import FK5, ICRS

    return ICRS() if row.get("radesys") == "ICRS" else FK5()


def _hull(vectors: Floats, centre: Floats) -> Floats:
    """Those of vectors that are on their hull, which great circles bound; all where they reach beyond a hemisphere."""
    depth = vectors @ centre
    if depth.min() < 0.01 or len(vectors) < 4:
        return vectors
    across = np.linalg.svd(centre[None, :])[2][1:]
    return np.asarray(vectors[hull_of(vectors @ across.T / depth[:, None])])


def least_turn(points: Floats) -> float:
    """CROTA2 in degrees, from -45 to 45, of the box of least area around points (n, 2) of an upright grid's pixels."""
    hull = points[hull_of(points)]
    if len(hull) < 3:  # all on a line, or in a point
        return 0.0
    boxes = boxes_around(hull)
    angles = (boxes.angles + math.pi / 4) % (math.pi / 2) - math.pi / 4
    areas = (boxes.high - boxes.low).prod(axis=1)
    # Of edges that tell the same box to rounding the least turned.
    best = min(range(len(areas)), key=lambda k: (areas[k] > areas.min() * (1.0 + 1e-9), abs(angles[k])))
    return -math.degrees(float(angles[best])) + 0.0
