"""The sphere: unit vectors, longitudes and latitudes, frames (level 0)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord, frame_transform_graph
from astropy.time import Time

if TYPE_CHECKING:
    from astropy.coordinates import BaseCoordinateFrame
    from numpy.typing import NDArray

__all__ = ["lengths", "longest_step", "lonlat", "quad_angles", "rotate_frame", "unit_vectors"]


def unit_vectors(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit vectors, shape (..., 3), of longitudes and latitudes in radians."""
    vectors = np.empty((*np.broadcast(lon, lat).shape, 3))
    flat = np.cos(lat)
    vectors[..., 0], vectors[..., 1], vectors[..., 2] = flat * np.cos(lon), flat * np.sin(lon), np.sin(lat)
    return vectors


def lengths(vectors: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    """Lengths of vectors along an axis: numpy's norm in a third of its time, which counts where there are few."""
    return np.asarray(np.sqrt((vectors * vectors).sum(axis=axis)))


def longest_step(mesh: NDArray[np.float64]) -> float:
    """Longest distance between neighbours of a mesh (n, m, 3)."""
    return max(float(lengths(steps).max()) for steps in (mesh[1:] - mesh[:-1], mesh[:, 1:] - mesh[:, :-1]))


def lonlat(vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude (0 to 360) and latitude in degrees of vectors (..., 3)."""
    x, y, z = (vectors[..., k] for k in range(3))
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))


def quad_angles(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solid angles, shape (..., ny, nx), of the quadrilaterals of a mesh of unit vectors (..., ny + 1, nx + 1, 3).

    Two triangles each, by Van Oosterom & Strackee (1983) with the triple product taken of differences, so that small
    quadrilaterals lose nothing; great circles are the edges. Steradian, positive; NaN where a corner is undefined.
    """
    a, b = corners[..., :-1, :-1, :], corners[..., :-1, 1:, :]
    c, d = corners[..., 1:, 1:, :], corners[..., 1:, :-1, :]
    return np.asarray(np.abs(_triangle(a, b, c) + _triangle(a, c, d)))


def _triangle(a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signed solid angle of a spherical triangle."""
    (ux, uy, uz), (vx, vy, vz) = ((d[..., 0], d[..., 1], d[..., 2]) for d in (b - a, c - a))
    normal = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    triple = a[..., 0] * normal[0] + a[..., 1] * normal[1] + a[..., 2] * normal[2]
    return np.asarray(2.0 * np.arctan2(triple, 1.0 + (a * b).sum(-1) + (b * c).sum(-1) + (c * a).sum(-1)))


def rotate_frame(
    vectors: NDArray[np.float64], frame: BaseCoordinateFrame, to: BaseCoordinateFrame
) -> NDArray[np.float64]:
    """Unit vectors (..., 3) of one astropy frame in another; NaN stays NaN."""
    if frame.is_equivalent_frame(to):
        return vectors
    if frame.name in _RIGID and to.name in _RIGID:
        turn = _rotation(frame.name, _equinox(frame), to.name, _equinox(to))
        # Written out: a matrix product may sum in another order for another number of vectors.
        x, y, z = np.moveaxis(vectors, -1, 0)
        return np.stack([row[0] * x + row[1] * y + row[2] * z for row in turn], axis=-1)
    return _transformed(vectors, frame, to)


_RIGID = ("icrs", "fk5", "galactic", "supergalactic", "barycentricmeanecliptic")
"""Frames that differ by a rotation; FK4 has terms of aberration, and is left to astropy point by point."""


def _equinox(frame: BaseCoordinateFrame) -> float | None:
    """Julian year of the frame's equinox, with all its digits."""
    return float(frame.equinox.jyear) if hasattr(frame, "equinox") else None


@lru_cache(maxsize=32)
def _rotation(name: str, equinox: float | None, to_name: str, to_equinox: float | None) -> NDArray[np.float64]:
    """The matrix that turns vectors of one rigid frame into another's: where astropy puts the three axes."""
    frames = [
        frame_transform_graph.lookup_name(n)(**({} if e is None else {"equinox": Time(e, format="jyear")}))
        for n, e in ((name, equinox), (to_name, to_equinox))
    ]
    return _transformed(np.eye(3), frames[0], frames[1]).T


def _transformed(
    vectors: NDArray[np.float64], frame: BaseCoordinateFrame, to: BaseCoordinateFrame
) -> NDArray[np.float64]:
    """The same through astropy, point by point."""
    lon, lat = lonlat(vectors)
    good = np.isfinite(lon) & np.isfinite(lat)
    here = SkyCoord(np.where(good, lon, 0.0) * u.deg, np.where(good, lat, 0.0) * u.deg, frame=frame)
    # Unmerged: astropy would give the target this frame's equinox, wherever the target keeps its default.
    there = here.transform_to(to, merge_attributes=False).spherical
    return np.where(good[..., None], unit_vectors(there.lon.radian, there.lat.radian), np.nan)
