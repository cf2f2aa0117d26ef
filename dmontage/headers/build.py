"""From cards to an astropy WCS and back, and the frame that it is in.

astropy reads a header four times over and verifies each card anew: 1.1 ms a WCS, of which wcslib takes 0.05. The cards
that a grid is made of mostly need none of it, and go to wcslib as they are; what asks for more goes through astropy.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io.fits import Card, Header
from astropy.wcs import WCS, Sip, Wcsprm
from astropy.wcs.utils import wcs_to_celestial_frame

from dmontage.errors import InputError
from dmontage.headers.tables import attach, tab_hdus
from dmontage.headers.text import cards_text

if TYPE_CHECKING:
    from astropy.coordinates import BaseCoordinateFrame
    from numpy.typing import NDArray

__all__ = ["build_wcs", "frame_of", "header_of"]


_KEYS = (
    r"(?:CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA)[12]|(?:CD|PC)[12]_[12]|PV[12]_\d{1,2}|LONPOLE|LATPOLE|RADESYS|EQUINOX"
    r"|(?:A|B|AP|BP)_(?:ORDER|\d_\d)"
)
_LINE = rf"(?:{_KEYS}) *(?<=^.{{8}})= +(?:'[^'\n]*'|[-+]?\d+(?:\.\d*)?(?:E[-+]?\d+)?)"
_PLAIN = re.compile(rf"(?:{_LINE}\n)*{_LINE}", re.MULTILINE)
"""Cards in which astropy has nothing to mend."""
_BEYOND_TAN = re.compile(r"^PV[12]_(?:[5-9]|\d\d) ", re.MULTILINE)
_SIP = re.compile(r"^((?:A|B|AP|BP)_(?:ORDER|\d_\d)) *= +(\S+)\n?", re.MULTILINE)
_WIDTH = 80


def build_wcs(cards: dict[str, Any] | str, tables: bytes = b"") -> WCS:
    """An astropy WCS, repaired without the warnings that astropy would print (warning filters are not thread-safe).

    Parameters
    ----------
    cards
        Values by keyword, or the text of the cards, one a line.
    """
    text = cards if isinstance(cards, str) else cards_text(cards)
    wcs = None if tables else _by_wcslib(text)
    if wcs is None:
        wcs = WCS(Header([Card.fromstring(line) for line in text.splitlines()]), tab_hdus(tables), fix=False)
        wcs.wcs.fix()
        wcs.wcs.set()
        attach(wcs, tables)
    return wcs


def _by_wcslib(text: str) -> WCS | None:
    """The same WCS in a tenth of the time; None where astropy has more to do, or to say what is wrong."""
    if not _PLAIN.fullmatch(text) or (_BEYOND_TAN.search(text) and "TPV'" not in text):
        return None
    lines = _SIP.sub("", text).splitlines()
    wcs = WCS(naxis=2, fix=False)
    try:
        wcs.sip = _sip_of(text)
        wcs.wcs = Wcsprm("".join(line.ljust(_WIDTH) for line in lines).encode(), relax=True)
        wcs.wcs.set()
        wcs.wcs.fix()
        wcs.wcs.set()
    except Exception:  # whatever it is, astropy comes upon it too, and its words are those that people know
        return None
    return wcs if len(max(lines, key=len)) <= _WIDTH and wcs.wcs.naxis == 2 else None


def _sip_of(text: str) -> Sip | None:
    """The SIP polynomials; KeyError where one is missing, or of the first order, which astropy leaves out."""
    values = {key: float(value) for key, value in _SIP.findall(text)}
    if not values:
        return None
    ahead = [_sip_table(values, name) for name in ("A", "B")]
    has_inverse = {"AP_ORDER", "BP_ORDER"} & values.keys()
    back = [_sip_table(values, name) if has_inverse else None for name in ("AP", "BP")]
    crpix = dict(re.findall(r"^CRPIX([12]) *= +(\S+)", text, re.MULTILINE))
    return Sip(*ahead, *back, (float(crpix["1"]), float(crpix["2"])))


def _sip_table(values: dict[str, float], name: str) -> NDArray[np.float64]:
    """Coefficients [i, j] of u^i v^j with i + j up to the order."""
    order = int(values[f"{name}_ORDER"])
    if order < 2:
        raise KeyError(name)
    table = np.zeros((order + 1, order + 1))
    for i in range(order + 1):
        for j in range(order + 1 - i):
            table[i, j] = values.get(f"{name}_{i}_{j}", 0.0)
    return table


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
