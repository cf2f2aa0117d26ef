"""Coordinate systems and places by Montage's words."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from dmontage.errors import InputError
from dmontage.grid import Grid
from dmontage.grid.recipes import place
from dmontage.headers import build_wcs, frame_of

if TYPE_CHECKING:
    from astropy.coordinates import BaseCoordinateFrame

__all__ = ["System", "place_of", "system_of"]


class System(NamedTuple):
    """A coordinate system of the sky, as FITS cards have it."""

    lon: str
    """First letters of CTYPE1."""
    lat: str
    cards: dict[str, Any]
    """RADESYS and EQUINOX, where they say anything."""

    @property
    def frame(self) -> BaseCoordinateFrame:
        """Astropy's frame."""
        return frame_of(build_wcs(self.tangent(0.0, 0.0, 1.0)))

    def tangent(self, lon: float, lat: float, scale: float, rotation: float = 0.0, code: str = "TAN") -> dict[str, Any]:
        """Cards of a grid that touches the sky at a place; degrees, reference pixel 1.

        The rotation is CROTA2, which Montage's programs read, and not a matrix PC, of which some of them do not know.
        """
        return {
            "CTYPE1": f"{self.lon}-{code}",
            "CTYPE2": f"{self.lat}-{code}",
            "CRVAL1": lon,
            "CRVAL2": lat,
            "CRPIX1": 1.0,
            "CRPIX2": 1.0,
            "CDELT1": -scale,
            "CDELT2": scale,
            "CROTA2": rotation,
        } | self.cards

    def grid(
        self, place: tuple[float, float], scale: float, shape: tuple[int, int], rotation: float = 0.0, code: str = "TAN"
    ) -> Grid:
        """A grid (ny, nx) about a place (lon, lat), which is in its middle; as `tangent`."""
        ny, nx = shape
        cards = self.tangent(*place, scale, rotation, code) | {"CRPIX1": (nx + 1) / 2, "CRPIX2": (ny + 1) / 2}
        return Grid.from_header(cards, shape)


_SYSTEMS = (
    (r"icrs", "RA--", "DEC-", ""),
    (r"(equatorial|equ?)b|fk4", "RA--", "DEC-", "FK4"),
    (r"(equatorial|equ?)j?|fk5", "RA--", "DEC-", "FK5"),
    (r"(ecliptic|ecl?)b", "ELON", "ELAT", "FK4"),
    (r"(ecliptic|ecl?)j?", "ELON", "ELAT", "FK5"),
    (r"galactic|gal?", "GLON", "GLAT", ""),
    (r"super-?galactic|sgal|sg", "SLON", "SLAT", ""),
)
_EPOCH = re.compile(r"([bj]?)(\d{4}(?:\.\d*)?)")


def system_of(text: str, equinox: float = 2000.0) -> System:
    """The system of Montage's words: EquJ, EquB, EclJ, EclB, Gal, SGal, or "eq J2000" and the like.

    Parameters
    ----------
    equinox
        Where the words have none. That of the B systems is 1950 where it is 2000, which no Besselian one was.

    Raises
    ------
    InputError
        For other words.
    """
    *words, last = text.lower().split() or [""]
    epoch, year = _EPOCH.fullmatch(last), float(equinox)
    names = [last]
    if epoch and (words or epoch[1]):
        year, base = float(epoch[2]), words.pop() if words else "equ"
        names = [base + epoch[1], base]
    for pattern, lon, lat, kind in () if words or not math.isfinite(year) else _SYSTEMS:
        if any(re.fullmatch(pattern, name) for name in names):
            return System(lon, lat, _cards(lon, kind, year))
    raise InputError(
        f"Invalid system string {text!r} (equinox {equinox!r}).  Must be EQUJ|EQUB|ECLJ|ECLB|GAL|SGAL, or ICRS"
    )


def _cards(lon: str, kind: str, year: float) -> dict[str, Any]:
    if not kind:
        return {"RADESYS": "ICRS"} if lon == "RA--" else {}
    if kind == "FK4":
        return {"RADESYS": "FK4", "EQUINOX": 1950.0 if year == 2000.0 else year}
    # FITS takes an equinox before 1984 for FK4, and one without RADESYS from then on for FK5.
    return {"RADESYS": "FK5", "EQUINOX": year} if year < 1984.0 else {"EQUINOX": year}


def place_of(text: str, target: BaseCoordinateFrame) -> tuple[float, float]:
    """Longitude and latitude in degrees, in a frame, of a place that a text tells.

    Parameters
    ----------
    text
        "83.82 -5.39", "05h35m17s -5d23m28s", "5 35 17 -5 23 28"; equatorial J2000, or with a system behind, such as
        "209.0 -19.4 gal"; or the name of an object, which is looked up on the network (Sesame).

    Raises
    ------
    InputError
        If it is none of these.
    """
    words = text.replace(",", " ").split()
    if len(words) == 6 and all(re.fullmatch(r"[+-]?\d+(\.\d*)?", word) for word in words):
        words = [":".join(words[:3]), ":".join(words[3:])]
    system = system_of("eqj")
    for n in (2, 1):
        if len(words) > n:
            try:
                system, words = system_of(" ".join(words[-n:])), words[:-n]
                break
            except InputError:
                continue
    return _in_frame(" ".join(words), text, system, target)


def _in_frame(coordinates: str, text: str, system: System, target: BaseCoordinateFrame) -> tuple[float, float]:
    from astropy.coordinates import SkyCoord
    from astropy.coordinates.name_resolve import NameResolveError

    hours = system.lon == "RA--" and re.search(r"\d\s*[h:]", coordinates)
    try:
        there = SkyCoord(coordinates, unit=("hourangle" if hours else "deg", "deg"), frame=system.frame)
        if there.frame.is_equivalent_frame(target):  # a transformation would round
            return float(there.spherical.lon.degree), float(there.spherical.lat.degree)
    except ValueError as error:
        try:
            there = SkyCoord.from_name(text)
        except (NameResolveError, ValueError, OSError) as unknown:
            raise InputError(
                f"Invalid object/coordinates {text!r}: {error}; and no object is found by that name: {unknown}"
            ) from unknown
    return place(there, target)
