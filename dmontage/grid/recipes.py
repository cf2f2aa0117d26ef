"""Recipes: the header cards of a regular grid from a place, a scale, a projection and a frame by name."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u

from dmontage.errors import InputError
from dmontage.headers import angle, build_wcs, frame_of
from dmontage.sphere import lonlat

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from astropy.coordinates import BaseCoordinateFrame, SkyCoord
    from numpy.typing import NDArray

    from dmontage.grid.span import Span

__all__ = ["ZENITHAL", "common_frame", "fitted_cards", "frame_named", "place", "regular_cards", "sides"]

FRAMES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "icrs": ("RA--", "DEC-", {"RADESYS": "ICRS"}),
    "fk5": ("RA--", "DEC-", {"RADESYS": "FK5", "EQUINOX": 2000.0}),
    "fk4": ("RA--", "DEC-", {"RADESYS": "FK4", "EQUINOX": 1950.0}),
    "galactic": ("GLON", "GLAT", {}),
    "supergalactic": ("SLON", "SLAT", {}),
    "ecliptic": ("ELON", "ELAT", {"EQUINOX": 2000.0}),
}
ZENITHAL = {"AZP", "SZP", "TAN", "STG", "SIN", "ARC", "ZEA", "AIR"}
_NEEDS_PARAMETERS = {"ZPN", "COP", "COE", "COD", "COO", "BON", "CYP"}
_PROJECTIONS = ZENITHAL | {
    "CEA", "CAR", "MER", "SFL", "PAR", "MOL", "AIT", "PCO", "TSC", "CSC", "QSC", "HPX", "XPH",
}  # fmt: skip
"""What `around` and `fit` offer."""


def frame_named(name: str) -> BaseCoordinateFrame:
    """The astropy frame of a name."""
    return frame_of(build_wcs(regular_cards(0.0, 0.0, 1.0, "TAN", name, 0.0)))


def common_frame(frames: Sequence[BaseCoordinateFrame]) -> str:
    """The name of the frame that all share, if it is one of those offered; else ICRS."""
    different = list({id(frame): frame for frame in frames}.values())  # the images of a survey share one
    for name in FRAMES:
        target = frame_named(name)
        if all(frame.is_equivalent_frame(target) for frame in different):
            return name
    return "icrs"


def place(center: str | SkyCoord, target: BaseCoordinateFrame, what: str = "centre") -> tuple[float, float]:
    """Longitude and latitude in degrees of ``center`` in a frame; messages say what it is."""
    from astropy.coordinates import SkyCoord

    hint = "give '05h35m -5d23m', '05:35:17 -05:23:28', '83.82 -5.39' or a SkyCoord"
    if isinstance(center, str):
        # Hours can only be right ascension; degrees are meant in the grid's own frame.
        sexagesimal = "h" in center or ":" in center
        try:
            if sexagesimal:
                center = SkyCoord(center, unit=(u.hourangle, u.deg), frame="icrs")
            else:
                center = SkyCoord(center.replace(",", " "), unit=u.deg, frame=target)
        except ValueError as error:
            raise InputError(f"{what} {center!r} is not a place on the sky: {hint}") from error
    if not isinstance(center, SkyCoord) or not center.isscalar:
        raise InputError(f"{what} {center!r} is not one place on the sky: {hint}")
    there = center.transform_to(target)
    lon, lat = float(there.spherical.lon.degree), float(there.spherical.lat.degree)
    if not (math.isfinite(lon) and math.isfinite(lat)):
        raise InputError(f"{what} {center!r} is not finite: {hint}")
    return lon, lat


def sides(size: Any) -> tuple[float, float]:
    """Width and height in degrees of a size: an angle, or a pair of them."""
    pair = size if isinstance(size, (tuple, list)) else (size, size)
    if len(pair) != 2:
        raise InputError(f"size {size!r} must be an angle, such as '1 deg', or two: (width, height)")
    return angle(pair[0], "size"), angle(pair[1], "size")


def regular_cards(lon: float, lat: float, scale: float, projection: str, frame: str, rotation: float) -> dict[str, Any]:
    """Cards of a regular grid about a place, reference pixel 1; degrees."""
    code = projection.upper()
    if code not in _PROJECTIONS:
        hint = " (it needs PV parameters: give a header)" if code in _NEEDS_PARAMETERS else ""
        raise InputError(f"projection {projection!r} is not one of {', '.join(sorted(_PROJECTIONS))}{hint}")
    if frame not in FRAMES:
        raise InputError(f"frame {frame!r} is not one of {', '.join(FRAMES)}")
    lon_name, lat_name, extra = FRAMES[frame]
    cards: dict[str, Any] = {
        "CTYPE1": f"{lon_name}-{code}",
        "CTYPE2": f"{lat_name}-{code}",
        "CRVAL1": lon,
        "CRVAL2": lat if code in ZENITHAL else 0.0,
        "CRPIX1": 1.0,
        "CRPIX2": 1.0,
        "CDELT1": -scale,
        "CDELT2": scale,
    }
    if rotation:
        c, s = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
        cards |= {"PC1_1": c, "PC1_2": s, "PC2_1": -s, "PC2_2": c}
    return cards | extra


def fitted_cards(
    span: Span,
    scale: float,
    projection: str,
    frame: str,
    rotation: float,
    pixel: Callable[[dict[str, Any], NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> tuple[dict[str, Any], tuple[int, int]]:
    """Cards and shape (ny, nx) of the smallest regular grid that holds all that a span does.

    Scale and rotation in degrees; ``pixel`` tells where a grid of some cards has points. A zenithal projection touches
    the sky in the middle of the box.
    """
    lon, lat = (float(a) for a in lonlat(span.mean))
    for _ in range(2):  # the second pass moves the reference point to the middle of the box
        cards = regular_cards(lon, lat, scale, projection, frame, rotation)
        low, high = span.box(partial(pixel, cards))
        if not np.isfinite([low, high]).all():
            raise InputError(
                f"the images span more sky than one {projection} grid about ({lon:.4f}, {lat:.4f}) holds; "
                "choose another projection (AIT, CAR) or give a centre and a size"
            )
        middle = (low + high) / 2
        if projection.upper() in ZENITHAL:
            lon, lat = (float(a) for a in build_wcs(cards).wcs_pix2world([middle], 0)[0])
    nx, ny = (int(n) for n in np.ceil(high - low - 1e-6))
    cards["CRPIX1"] += (nx - 1) / 2 - middle[0]
    cards["CRPIX2"] += (ny - 1) / 2 - middle[1]
    return cards, (ny, nx)
