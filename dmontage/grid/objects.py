"""Objects: WCS that are no FITS cards, by the shared interface of astropy (APE 14): gwcs and its like."""

from __future__ import annotations

import pickle
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from astropy.coordinates import BaseCoordinateFrame, SkyCoord

from dmontage.errors import InputError
from dmontage.sphere import rotate_frame, unit_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SkyObject", "is_object", "moved_object", "object_origin", "pack_object", "unpack_object"]

_MARK = b"APE14"
_HEAD = struct.Struct("<8sqq")
_COPIES = 4


@dataclass(frozen=True, slots=True)
class SkyObject:
    """A low-level APE-14 WCS with two celestial world axes, on pixels counted from an origin."""

    wcs: Any
    """The object itself, in pixels of its own."""
    x0: int = 0
    """Its pixel that is this one's first, along x."""
    y0: int = 0
    """The same along y."""

    def sky(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Unit vectors (n, 3) of pixels (n,); NaN where the object has no sky."""
        world = self.wcs.pixel_to_world_values(x + self.x0, y + self.y0)
        lon, lat = (
            np.asarray(world[i], np.float64) * u.Unit(self.wcs.world_axis_units[i]).to(u.rad) for i in self._axes()
        )
        return unit_vectors(lon, lat)

    @property
    def frame(self) -> BaseCoordinateFrame:
        """The frame of its celestial axes."""
        classes = self.wcs.world_axis_object_classes
        kind, _, keywords, *_ = classes[self._celestial()[0][0]]
        frame = keywords.get("frame") if issubclass(kind, SkyCoord) else kind(**keywords)
        frame = SkyCoord(0 * u.deg, 0 * u.deg, frame=frame).frame if isinstance(frame, str) or frame is None else frame
        return frame.replicate_without_data() if isinstance(frame, BaseCoordinateFrame) else frame()

    def check(self) -> None:
        """Raise InputError where it is not two pixel axes to one celestial pair in a frame of the sky."""
        if self.wcs.pixel_n_dim != 2 or self.wcs.world_n_dim != 2 or len(self._celestial()) != 2:
            raise InputError(
                f"{type(self.wcs).__name__}: {self.wcs.pixel_n_dim} pixel axes to the world axes "
                f"{list(self.wcs.world_axis_physical_types)}; needed are two of each, celestial: "
                "slice it first (astropy.wcs.wcsapi.SlicedLowLevelWCS)"
            )
        try:
            rotate_frame(np.array([[1.0, 0.0, 0.0]]), self.frame, SkyCoord(0 * u.deg, 0 * u.deg).frame)
        except Exception as error:  # astropy has no way to the sky from solar, terrestrial and made-up frames
            raise InputError(f"{type(self.wcs).__name__}: its frame is not one of the sky: {error}") from error

    def _celestial(self) -> list[tuple[str, Any]]:
        """(Name of the world object, component) of the celestial axes, in the order of the world axes."""
        classes = self.wcs.world_axis_object_classes
        return [
            component[:2]
            for component in self.wcs.world_axis_object_components
            if issubclass(classes[component[0]][0], (SkyCoord, BaseCoordinateFrame))
        ]

    def _axes(self) -> tuple[int, int]:
        """World axes of longitude and latitude."""
        first = self._celestial()[0][1]
        return (0, 1) if first in (0, "lon", "ra", "l") else (1, 0)


def is_object(tables: bytes) -> bool:
    """Whether packed bytes are an object, not tables."""
    return tables.startswith(_MARK)


def pack_object(wcs: Any) -> bytes:
    """A low-level WCS object as bytes: a mark, its first pixel, and its pickle.

    The pickle of an object depends on which of its parts are one, and so on how it was made; that of its copies does
    so no more after one or two. So an object, its copies and the same object after use are equal bytes. Not promised
    for two objects that were built alike, or where an object holds sets or remembers what it was asked.

    Raises
    ------
    InputError
        If it cannot be pickled, and so not be sent to where the work is done.
    """
    try:
        data = pickle.dumps(wcs, protocol=5)
        for _ in range(_COPIES):
            data, before = pickle.dumps(pickle.loads(data), protocol=5), data
            if data == before:
                break
    except Exception as error:  # anything may lie in such an object
        raise InputError(f"{type(wcs).__name__}: cannot be pickled: {error}") from error
    return _HEAD.pack(_MARK, 0, 0) + zlib.compress(data)


def unpack_object(tables: bytes) -> SkyObject:
    """The object from its bytes; they hold a pickle, to be trusted like the store that they are from."""
    return SkyObject(pickle.loads(zlib.decompress(tables[_HEAD.size :])), *object_origin(tables))


def object_origin(tables: bytes) -> tuple[int, int]:
    """The object's pixel (x0, y0) from which the grid counts."""
    _, x0, y0 = _HEAD.unpack_from(tables)
    return x0, y0


def moved_object(tables: bytes, x0: int, y0: int) -> bytes:
    """The same object, for pixels counted from (x0, y0)."""
    old_x0, old_y0 = object_origin(tables)
    return _HEAD.pack(_MARK, old_x0 + x0, old_y0 + y0) + tables[_HEAD.size :]
