"""The gate that every foreign header passes: which cards count, and whether their values are usable."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io.fits import Header, VerifyError

from dmontage.errors import InputError
from dmontage.headers.build import build_wcs, frame_of
from dmontage.headers.iraf import settled_iraf
from dmontage.headers.text import is_number

if TYPE_CHECKING:
    from dmontage.headers.text import Cards

__all__ = ["checked_cards", "is_wcs_card"]

_WCS_CARD = re.compile(
    r"(CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA)[12]|(CD|PC)[12]_[12]|PC00[12]00[12]|(PV|PS)[12]_\d{1,2}|LONPOLE|LATPOLE"
    r"|RADESYS|RADECSYS|EQUINOX|EPOCH|(A|B|AP|BP)_(ORDER|\d_\d)"
    r"|CQDIS[12]|DQ[12]\.[A-Z0-9_.]+"  # distortions of the distortion paper's draft that wcslib evaluates itself
    r"|PPO\d|AMD[XY]\d{1,2}|CNPIX[12]|[XY]PIXELSZ|PLTRA[HMS]|PLTDEC(SN|[DMS])"  # a DSS plate solution
)
"""Cards of a two-dimensional celestial WCS with all its analytic distortions."""

_TEXT_CARD = re.compile(r"(CTYPE|CUNIT)[12]|RADESYS|RADECSYS|PS[12]_\d+|PLTDECSN|CQDIS[12]")

_UNITS = {"DEG": "deg", "DEGREE": "deg", "DEGREES": "deg"}
_YEAR = re.compile(r"[JB]?\s*(\d+(\.\d*)?)")
_YEARS = (1800.0, 2100.0)
"""Equinoxes: precession is known, and catalogues were made, within these."""

_COUPLING = re.compile(r"(CD|PC)(\d)_(\d)|(PC)00(\d)00(\d)")

_SEQUENT = ("TPD", "TPV", "SIP", "WAT-TNX", "WAT-ZPX")
"""Kinds of CQDIS that wcslib evaluates."""

_MAX_SIP_ORDER = 9
_MAX_SHEAR = 1e6
"""Longest to shortest axis of a pixel; slits of spectrographs reach 1e3."""


def is_wcs_card(key: str) -> bool:
    """True for a keyword that the gate takes for part of a WCS, where it has any value."""
    return _WCS_CARD.fullmatch(key) is not None


def checked_cards(header: Cards, tables: bytes = b"") -> dict[str, Any]:
    """The cards that define a celestial WCS, or an InputError that names the one that is wrong.

    Parameters
    ----------
    header
        Any header; of a cube, the celestial axes must be the first two, and the others must not depend on them.
    tables
        What other HDUs add to it (`dmontage.headers.find_tables`).
    """
    cards = {key: _value(key, _read(header, key)) for key in header if _WCS_CARD.fullmatch(key)}
    _check_axes(header, cards)
    _settle_names(cards)
    _settle_equinox(cards)
    _check_latitude(cards)
    _settle_distortions(header, cards)
    try:
        wcs = build_wcs(cards, tables)
    except Exception as error:  # wcslib raises half a dozen kinds; all mean the same to the user
        raise InputError(f"the WCS cannot be read: {str(error).strip().splitlines()[-1]}") from error
    if not wcs.has_celestial:
        raise InputError(f"no celestial WCS: CTYPE1 = {cards.get('CTYPE1')!r}, CTYPE2 = {cards.get('CTYPE2')!r}")
    try:
        frame_of(wcs)
    except ValueError as error:
        raise InputError(str(error)) from error
    det = float(np.linalg.det(wcs.pixel_scale_matrix))
    if not math.isfinite(det) or det == 0.0:
        raise InputError(f"the pixel matrix (CDELT, CD or PC) is singular: determinant {det}")
    shear = float(np.linalg.cond(wcs.pixel_scale_matrix))
    if not shear <= _MAX_SHEAR:
        raise InputError(
            f"the pixel matrix (CDELT, CD or PC) is nearly singular: pixels are {shear:.3g} times longer than wide, "
            f"limit {_MAX_SHEAR:g}"
        )
    return cards


def _read(header: Cards, key: str) -> Any:
    try:
        return header[key]
    except VerifyError as error:  # a bare NaN, two decimal points, an open quote
        text = header.cards[key].image if isinstance(header, Header) else "damaged"
        raise InputError(f"{key} cannot be read: its card is {text.strip()!r}") from error


def _value(key: str, value: Any) -> Any:
    """One card's value, of the right type, finite and in range."""
    if key in ("EQUINOX", "EPOCH") and isinstance(value, str) and (year := _YEAR.fullmatch(value.strip().upper())):
        value = float(year[1])
    if _TEXT_CARD.fullmatch(key):
        if not isinstance(value, str):
            raise InputError(f"{key} = {value!r} must be text")
        return _UNITS.get(value.strip().upper(), value) if key.startswith("CUNIT") else value
    if not (is_number(value) and math.isfinite(value)):
        raise InputError(f"{key} = {value!r} must be a finite number")
    if abs(value) > 1e30:
        raise InputError(f"{key} = {value!r} is out of range (limit 1e30)")
    if key.endswith("_ORDER") and not (value == int(value) and 0 <= value <= _MAX_SIP_ORDER):
        raise InputError(f"{key} = {value!r} must be a whole number from 0 to {_MAX_SIP_ORDER}")
    return int(value) if key.endswith("_ORDER") else float(value)


def _check_axes(header: Cards, cards: dict[str, Any]) -> None:
    """Refuse what has no celestial pair of axes, has it elsewhere, or mixes it with other axes."""
    for key in ("CTYPE1", "CTYPE2"):
        if key not in cards and "AMDX1" not in cards:
            raise InputError(f"no celestial WCS: {key} is missing")
    for key in header:
        found = _COUPLING.fullmatch(key)
        if found is None:
            continue
        i, j = (int(digit) for digit in found.groups() if digit is not None and digit.isdigit())
        if (min(i, j) <= 2) and (max(i, j) > 2) and header[key] != 0:
            raise InputError(
                f"{key} = {header[key]!r} couples the celestial axes with axis {max(i, j)}: "
                "the planes of a cube must share one geometry"
            )
    others = [str(header.get(f"CTYPE{i}", "")) for i in range(3, 8)]
    celestial = [i for i, ctype in enumerate(others, 3) if re.match(r"RA--|DEC-|.LON|.LAT", ctype)]
    if len(celestial) == 2:
        raise InputError(
            f"CTYPE{celestial[0]}, CTYPE{celestial[1]}: the celestial axes must be the first two; transpose the cube"
        )


def _settle_names(cards: dict[str, Any]) -> None:
    """Old names and defaults that are left out, written as the standard has them."""
    if "RADECSYS" in cards:  # the old name, at which astropy prints a warning
        cards.setdefault("RADESYS", cards.pop("RADECSYS"))
    if "RADESYS" in cards:
        cards["RADESYS"] = cards["RADESYS"].strip().upper()
    for key in ("CRPIX1", "CRPIX2"):  # the standard's default; written out, so that a sub-grid can shift it
        cards.setdefault(key, 0.0)


def _settle_equinox(cards: dict[str, Any]) -> None:
    """The year of the axes, where one is given: 0 is what software writes that has none, and ICRS the default."""
    if cards.get("EQUINOX", 0.0) != 0.0:
        cards.pop("EPOCH", None)  # the old name, often the date of the observation by then
    for key in ("EQUINOX", "EPOCH"):
        year = cards.get(key)
        if year == 0.0:
            del cards[key]
        elif year is not None and not _YEARS[0] <= year <= _YEARS[1]:
            raise InputError(
                f"{key} = {year!r} must be a year from {_YEARS[0]:g} to {_YEARS[1]:g}, or left out for the default"
            )


def _check_latitude(cards: dict[str, Any]) -> None:
    """Refuse a reference point beyond the poles, of which wcslib says no more than that it is invalid."""
    for axis in (1, 2):
        value = cards.get(f"CRVAL{axis}", 0.0)
        latitude = re.match(r"DEC-|.LAT", str(cards.get(f"CTYPE{axis}", "")))
        if latitude and cards.get(f"CUNIT{axis}", "deg").strip() in ("deg", "") and abs(value) > 90.0:
            raise InputError(f"CRVAL{axis} = {value!r} must be a latitude from -90 to 90 degrees")


def _settle_distortions(header: Cards, cards: dict[str, Any]) -> None:
    """One distortion, spelled so that astropy takes it without a word."""
    ctypes = [str(cards.get(f"CTYPE{axis}", "")).rstrip() for axis in (1, 2)]
    code = ctypes[0][5:8]
    beyond_tan = any(re.fullmatch(r"PV[12]_([5-9]|\d\d)", key) for key in cards)  # TAN itself has PV up to 4
    scamp = beyond_tan and all(ctype.endswith("-TAN") for ctype in ctypes)
    if scamp or code == "TPV":
        # SCAMP's polynomials, before it called them TPV or after; SIP beside them says the same (Shupe et al. 2012).
        cards |= {f"CTYPE{axis}": ctype.replace("-TAN", "-TPV") for axis, ctype in enumerate(ctypes, 1)}
        _drop(cards, r"(A|B|AP|BP)_.+")
        # The convention's defaults; wcslib takes what is left out for 0, which puts all pixels on one line or point.
        cards.setdefault("PV1_1", 1.0)
        cards.setdefault("PV2_1", 1.0)
    elif beyond_tan and "A_ORDER" in cards and all(ctype.endswith("-TAN-SIP") for ctype in ctypes):
        _drop(cards, r"PV[12]_\d+")  # the same the other way round (PTF), as astropy settles it
    elif "A_ORDER" in cards and code not in ("TNX", "ZPX"):
        cards |= {f"CTYPE{axis}": ctype for axis, ctype in enumerate(map(_with_sip, ctypes), 1)}
    if code in ("TNX", "ZPX"):
        cards |= settled_iraf(header, cards)
    if scamp or code in ("TPV", "TNX", "ZPX"):
        _settle_matrix(cards)
    for key in ("CQDIS1", "CQDIS2"):
        if key in cards and cards[key].strip().upper() not in _SEQUENT:
            raise InputError(f"{key} = {cards[key]!r}: of such distortions only {', '.join(_SEQUENT)} are supported")


def _drop(cards: dict[str, Any], pattern: str) -> None:
    for key in [key for key in cards if re.fullmatch(pattern, key)]:
        del cards[key]


def _settle_matrix(cards: dict[str, Any]) -> None:
    """The pixel matrix as CD: polynomials of the sky plane are in degrees, but beside CDELT wcslib takes pixels."""
    if any(key.startswith(("CD1_", "CD2_")) for key in cards):
        return
    linear = {key: value for key, value in cards.items() if re.fullmatch(r"(CDELT|CROTA)[12]|PC.+|CRPIX[12]", key)}
    try:
        wcs = build_wcs(linear | {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"})
    except Exception as error:
        raise InputError(f"the pixel matrix (CDELT, CROTA or PC) cannot be read: {error}") from error
    for key in linear:
        if not key.startswith("CRPIX"):
            del cards[key]
    cards |= {f"CD{i + 1}_{j + 1}": float(value) for (i, j), value in np.ndenumerate(wcs.pixel_scale_matrix)}


def _with_sip(ctype: str) -> str:
    return ctype if ctype.endswith("-SIP") or len(ctype) != 8 else f"{ctype}-SIP"
