"""From cards to an astropy WCS and back, and the frame that it is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io.fits import Card, Header
from astropy.wcs import WCS
from astropy.wcs.utils import wcs_to_celestial_frame

from dmontage.errors import InputError
from dmontage.headers.tables import attach, tab_hdus
from dmontage.headers.text import card_text

if TYPE_CHECKING:
    from astropy.coordinates import BaseCoordinateFrame

__all__ = ["build_wcs", "frame_of", "header_of"]


def build_wcs(cards: dict[str, Any] | Header, tables: bytes = b"") -> WCS:
    """An astropy WCS, repaired without the warnings that astropy would print (warning filters are not thread-safe)."""
    header = (
        cards
        if isinstance(cards, Header)
        else Header([Card.fromstring(card_text(key, value)) for key, value in cards.items()])
    )
    wcs = WCS(header, tab_hdus(tables), fix=False)
    wcs.wcs.fix()
    wcs.wcs.set()
    attach(wcs, tables)
    return wcs


def frame_of(wcs: WCS) -> BaseCoordinateFrame:
    """The astropy frame of a celestial WCS's coordinates: the one place where FITS names become frames.

    Raises
    ------
    ValueError
        If it is no frame of the sky that astropy knows.
    """
    system = wcs.wcs.ctype[wcs.wcs.lng][:4] if wcs.wcs.lng >= 0 else ""
    if system == "SLON":
        from astropy.coordinates import Supergalactic

        return Supergalactic()
    if system == "ELON":
        return _ecliptic(wcs)
    if system not in ("RA--", "GLON"):
        raise ValueError(f"{system!r} coordinates are none of the sky that astropy knows; use RA, GLON, ELON or SLON")
    try:
        return wcs_to_celestial_frame(wcs)
    except ValueError as error:
        raise ValueError(
            f"RADESYS = {wcs.wcs.radesys!r}: not a frame that astropy knows; use ICRS, FK5, FK4 or FK4-NO-E"
        ) from error


def _ecliptic(wcs: WCS) -> BaseCoordinateFrame:
    """The mean ecliptic and equinox of EQUINOX (FITS paper II, section 3.1); J2000 where there is none."""
    from astropy.coordinates import BarycentricMeanEcliptic
    from astropy.time import Time

    if np.isnan(wcs.wcs.equinox):
        return BarycentricMeanEcliptic()
    old = wcs.wcs.radesys in ("FK4", "FK4-NO-E")
    return BarycentricMeanEcliptic(equinox=Time(wcs.wcs.equinox, format="byear" if old else "jyear"))


def header_of(wcs: WCS) -> Header:
    """The cards of an astropy WCS with all digits: its own ``to_header`` cuts them at 14.

    Only the polynomials that wcslib keeps to itself (TPV, TNX, ZPX, DSS) stay at that.
    """
    if wcs.wcs.tab:
        raise InputError("a WCS with -TAB axes does not give its table back: give the header, and the HDUList (hdus=)")
    header = wcs.to_header(relax=True)
    exact = {f"CRVAL{i + 1}": value for i, value in enumerate(wcs.wcs.crval)}
    exact |= {f"CRPIX{i + 1}": value for i, value in enumerate(wcs.wcs.crpix)}
    exact |= {f"CDELT{i + 1}": value for i, value in enumerate(wcs.wcs.get_cdelt())}
    exact |= {f"PC{i + 1}_{j + 1}": value for (i, j), value in np.ndenumerate(wcs.wcs.get_pc())}
    exact |= {f"PV{i}_{m}": value for i, m, value in wcs.wcs.get_pv()}
    if wcs.sip is not None:
        for name in ("a", "b", "ap", "bp"):
            table = getattr(wcs.sip, name)
            if table is not None:
                exact |= {f"{name.upper()}_{i}_{j}": value for (i, j), value in np.ndenumerate(table) if value}
    header.update({key: float(value) for key, value in exact.items()})
    return header
