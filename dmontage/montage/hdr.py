"""mHdr: a template from a place and a size; it needs no network, but for names of objects."""

from __future__ import annotations

import math

from dmontage.errors import InputError
from dmontage.headers import card_text
from dmontage.montage.systems import place_of, system_of
from dmontage.montage.templates import write_template

__all__ = ["mHdr"]

_MAGZP = {"j": 20.9044}
"""Magnitude zero point of a 2MASS Atlas mosaic, as Montage's templates have it."""


def mHdr(
    locstr: str,
    width: float,
    height: float,
    outfile: str,
    csys: str = "EquJ",
    equinox: float = 2000.0,
    resolution: float = 1.0,
    rotation: float = 0.0,
    band2MASS: str = "",
    debug: int = 0,
) -> dict[str, int]:
    """Make a template about a place on the sky, in the TAN projection.

    Parameters
    ----------
    locstr
        "83.82 -5.39", "05h35m17s -5d23m28s", equatorial J2000, or with a system behind ("209.0 -19.4 gal"); or the name
        of an object, for which alone the network is asked.
    width, height
        Degrees.
    outfile
        The template.
    csys, equinox
        System of the template: EquJ, EquB, EclJ, EclB, Gal, SGal or ICRS.
    resolution
        Side of a pixel, arcsec.
    rotation
        CROTA2, degrees.
    band2MASS
        "j" adds MAGZP.
    debug
        Not used.

    Returns
    -------
    dict
        "count", the lines of the template.
    """
    for name, value in (("width", width), ("height", height), ("resolution", resolution)):
        if not (math.isfinite(value) and value > 0.0):
            raise InputError(f"{name} is {value!r}: it must be a number above 0")
    if not math.isfinite(rotation):
        raise InputError(f"rotation is {rotation!r}: it must be a number of degrees")
    if max(width, height) > 360.0:
        raise InputError(f"{width!r} by {height!r} degrees are more than the sky: at most 360")
    if band2MASS and band2MASS.lower() not in _MAGZP:
        raise InputError(f"band2MASS {band2MASS!r}: only the zero point of 'j' is known here; add MAGZP yourself")
    system = system_of(csys, equinox)
    scale = resolution / 3600.0
    nx, ny = (max(round(side / scale), 1) for side in (width, height))
    text = system.grid(place_of(locstr, system.frame), scale, (ny, nx), float(rotation)).to_template()
    if band2MASS:
        text = text.replace("\nEND\n", f"\n{card_text('MAGZP', _MAGZP[band2MASS.lower()])}\nEND\n")
    return {"count": write_template(outfile, text)}
