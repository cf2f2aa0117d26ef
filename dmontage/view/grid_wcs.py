"""A Grid as the WCS of astropy's shared interface (APE 14), which WCSAxes draws by.

The world axes are longitude and latitude in degrees, in this order, whatever the order of the grid's cards. Pixels off
the sky, and places off the projection, are NaN: so lookup tables, SIP inverses, faces of HEALPix and WCS objects are
drawn by the grid's own ways.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from astropy.coordinates import BaseCoordinateFrame, SkyCoord
from astropy.wcs.wcsapi import BaseLowLevelWCS

from dmontage.errors import InputError
from dmontage.grid.recipes import frame_named
from dmontage.sphere import lonlat, rotate_frame, unit_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.grid import Grid

    Floats = NDArray[np.float64]

__all__ = ["AxisNames", "GridWCS", "axis_names", "sky_frame"]


class AxisNames(NamedTuple):
    """What the axes of a frame are called."""

    lon: str
    lat: str
    kind: str
    """UCD of both, less the last word."""
    hours: bool
    """Whether longitudes are told in hours."""


_NAMES = {
    "icrs": AxisNames("RA (ICRS)", "Dec (ICRS)", "pos.eq", True),
    "fk5": AxisNames("RA ({equinox})", "Dec ({equinox})", "pos.eq", True),
    "fk4": AxisNames("RA ({equinox})", "Dec ({equinox})", "pos.eq", True),
    "galactic": AxisNames("galactic l", "galactic b", "pos.galactic", False),
    "supergalactic": AxisNames("supergalactic l", "supergalactic b", "pos.supergalactic", False),
    "barycentricmeanecliptic": AxisNames("ecliptic longitude", "ecliptic latitude", "pos.ecliptic", False),
}


def axis_names(frame: BaseCoordinateFrame) -> AxisNames:
    """Names for the axes of a frame of the sky."""
    known = _NAMES.get(frame.name)
    if known is None:
        return AxisNames(f"{frame.name} longitude", f"{frame.name} latitude", f"custom:pos.{frame.name}", False)
    equinox = ""
    if hasattr(frame, "equinox"):
        besselian = frame.name == "fk4"
        equinox = f"B{frame.equinox.byear:g}" if besselian else f"J{frame.equinox.jyear:g}"
    return known._replace(lon=known.lon.format(equinox=equinox), lat=known.lat.format(equinox=equinox))


_WORDS = {
    "eq": "icrs", "equatorial": "icrs", "j2000": "fk5", "b1950": "fk4", "ga": "galactic", "gal": "galactic",
    "ec": "ecliptic", "ecl": "ecliptic", "supergal": "supergalactic",
}  # fmt: skip
"""Other words for frames, as mViewer and DS9 have them."""


def sky_frame(frame: str | BaseCoordinateFrame) -> BaseCoordinateFrame:
    """The astropy frame of a name as `Grid.around` takes it, or of itself; "gal", "ecl", "equatorial", "j2000" too.

    Raises
    ------
    InputError
        For a name that is none of these, or an object that is no frame.
    """
    if isinstance(frame, str):
        return frame_named(_WORDS.get(frame.lower(), frame.lower()))
    if not isinstance(frame, BaseCoordinateFrame):
        raise InputError(f"frame {frame!r} is no frame: give 'icrs', 'galactic', ... or an astropy frame")
    return frame.replicate_without_data()


class GridWCS(BaseLowLevelWCS):  # type: ignore[misc]
    """The low-level WCS of a Grid; it holds an astropy WCS, so it belongs to one thread."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self._wcs = grid.wcs()
        self._frame = grid.frame
        self._names = axis_names(self._frame)

    def sky(self, x: Any, y: Any, frame: BaseCoordinateFrame | None = None) -> Floats:
        """Unit vectors (..., 3) of pixels in a frame, by default the grid's; NaN off the sky."""
        with np.errstate(invalid="ignore"):
            vectors = self.grid.sky(np.asarray(x, np.float64), np.asarray(y, np.float64), self._wcs)
        return vectors if frame is None else rotate_frame(vectors, self._frame, frame)

    def pixel(self, vectors: Floats, frame: BaseCoordinateFrame | None = None) -> tuple[Floats, Floats]:
        """Pixels (x, y) of unit vectors (..., 3) of a frame, by default the grid's; NaN off the projection."""
        if frame is not None:
            vectors = rotate_frame(vectors, frame, self._frame)
        shape, vectors = vectors.shape[:-1], vectors.reshape(-1, 3)
        good = np.isfinite(vectors).all(axis=-1)
        x, y = np.full((2, good.size), np.nan)
        if good.any():
            with np.errstate(invalid="ignore"):
                x[good], y[good] = self.grid.pixel(vectors[good], self._wcs)
        return x.reshape(shape), y.reshape(shape)

    def direction(
        self, x: float, y: float, east: float, north: float, frame: BaseCoordinateFrame | None = None
    ) -> tuple[float, float] | None:
        """Unit step (x, y) in pixels towards a direction of the tangent plane at a pixel; None at a pole, or no sky."""
        here = self.sky(x, y, frame)
        from_pole = math.hypot(here[0], here[1])
        if not from_pole >= 1e-9:  # NaN, too
            return None
        to_east = np.array([-here[1], here[0], 0.0]) / from_pole
        step = min(0.1 * self.grid.scale, 0.1 * from_pole) * (east * to_east + north * np.cross(here, to_east))
        ends = [np.array(self.pixel(here + sign * step, frame)) for sign in (-1.0, 1.0)]
        dx, dy = ends[1] - ends[0]
        length = math.hypot(dx, dy)
        return (float(dx) / length, float(dy) / length) if length > 0.0 else None

    def pixel_to_world_values(self, *pixel_arrays: Any) -> tuple[Any, Any]:
        """Longitudes and latitudes in degrees of pixels x, y."""
        return lonlat(self.sky(*pixel_arrays))

    def world_to_pixel_values(self, *world_arrays: Any) -> tuple[Any, Any]:
        """Pixels x, y of longitudes and latitudes in degrees."""
        lon, lat = (np.radians(np.asarray(a, np.float64)) for a in world_arrays)
        return self.pixel(unit_vectors(lon, lat))

    @property
    def pixel_n_dim(self) -> int:
        """Two."""
        return 2

    @property
    def world_n_dim(self) -> int:
        """Two."""
        return 2

    @property
    def array_shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return self.grid.shape

    @property
    def world_axis_physical_types(self) -> list[str]:
        """UCDs."""
        lon, lat = ("ra", "dec") if self._names.kind == "pos.eq" else ("lon", "lat")
        return [f"{self._names.kind}.{lon}", f"{self._names.kind}.{lat}"]

    @property
    def world_axis_names(self) -> list[str]:
        """As the axes are labelled."""
        return [self._names.lon, self._names.lat]

    @property
    def world_axis_units(self) -> list[str]:
        """Degrees."""
        return ["deg", "deg"]

    @property
    def world_axis_object_components(self) -> list[tuple[str, int, str]]:
        """Both axes make one SkyCoord."""
        return [("sky", 0, "spherical.lon.degree"), ("sky", 1, "spherical.lat.degree")]

    @property
    def world_axis_object_classes(self) -> dict[str, Any]:
        """A SkyCoord in the grid's frame."""
        return {"sky": (SkyCoord, (), {"frame": self._frame, "unit": ("deg", "deg")})}
