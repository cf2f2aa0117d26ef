"""The sphere: unit vectors, longitudes and latitudes, frames (level 0)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from astropy.coordinates import BaseCoordinateFrame
    from numpy.typing import NDArray

__all__ = ["lonlat", "rotate_frame", "unit_vectors"]


def unit_vectors(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit vectors, shape (..., 3), of longitudes and latitudes in radians."""
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def lonlat(vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude (0 to 360) and latitude in degrees of vectors (..., 3)."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))


def rotate_frame(
    vectors: NDArray[np.float64], frame: BaseCoordinateFrame, to: BaseCoordinateFrame
) -> NDArray[np.float64]:
    """Unit vectors (..., 3) of one astropy frame in another."""
    if frame.is_equivalent_frame(to):
        return vectors
    from astropy import units as u
    from astropy.coordinates import SkyCoord

    lon, lat = lonlat(vectors)
    good = np.isfinite(lon) & np.isfinite(lat)
    there = SkyCoord(np.where(good, lon, 0.0) * u.deg, np.where(good, lat, 0.0) * u.deg, frame=frame).transform_to(to)
    turned = unit_vectors(there.spherical.lon.radian, there.spherical.lat.radian)
    return np.where(good[..., None], turned, np.nan)
