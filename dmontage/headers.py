"""Header cards: the gate that every foreign WCS passes, and text that keeps all digits (level 0).

wcslib accepts ``CRVAL1 = 'NaN'`` as 0 and 1E400 as infinity, and half a dozen kinds of damage raise as many kinds of
exception. Here types, finiteness and ranges are checked once; after that the engine works with plain numbers.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io.fits import Card, Header
from astropy.wcs import WCS
from astropy.wcs.utils import wcs_to_celestial_frame

from dmontage.errors import InputError

__all__ = [
    "angle",
    "build_wcs",
    "card_text",
    "checked_cards",
    "checked_shape",
    "header_of",
    "header_text",
    "parse_header",
]

_WCS_CARD = re.compile(
    r"(CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA)[12]|(CD|PC)[12]_[12]|PC00[12]00[12]|(PV|PS)[12]_\d{1,2}|LONPOLE|LATPOLE"
    r"|RADESYS|RADECSYS|EQUINOX|EPOCH|(A|B|AP|BP)_(ORDER|\d_\d)"
    r"|PPO\d|AMD[XY]\d{1,2}|CNPIX[12]|[XY]PIXELSZ|PLTRA[HMS]|PLTDEC(SN|[DMS])"  # a DSS plate solution
)
"""Cards of a two-dimensional celestial WCS with all its analytic distortions."""

_REFUSED = re.compile(r"(CPDIS|D2IMDIS|CQDIS)[12]")
"""Cards of distortions that need more than the analytic part of a header: refused, never misplaced."""

_TEXT_CARD = re.compile(r"(CTYPE|CUNIT)[12]|RADESYS|RADECSYS|PS[12]_\d+|PLTDECSN")

_MAX_SIDE = 2**31 - 1
_MAX_SIP_ORDER = 9
_MAX_HEADER = 2**20


def parse_header(text: str, name: str = "header") -> Header:
    """A Header from a template's text: cards one a line (or 80 columns each), free format, END and CR tolerated."""
    header = Header()
    lines = text.splitlines() if "\n" in text else [text[i : i + 80] for i in range(0, len(text), 80)]
    for line in lines:
        if line.rstrip() == "END":
            break
        if "=" in line[:10]:
            key, _, value = line.partition("=")
            try:
                card = Card.fromstring(f"{key.strip().upper():<8}= {value.strip()}"[:80])
                header[card.keyword] = card.value
            except Exception as error:
                raise InputError(f"{name}: cannot read the card {line.strip()!r}: {error}") from error
    if not len(header):
        raise InputError(f"{name}: holds no FITS cards; a template has one card a line, such as 'CRVAL1 = 83.8'")
    return header


def header_text(path: str | Path) -> str:
    """The text of a template, or of the primary header of a FITS file."""
    try:
        with Path(path).open("rb") as file:
            raw = file.read(_MAX_HEADER)
        if raw.startswith(b"SIMPLE  =") and b"\n" not in raw[:80]:
            cards = [raw[i : i + 80] for i in range(0, len(raw), 80)]
            ends = [i for i, card in enumerate(cards) if card.rstrip() == b"END"]
            raw = b"\n".join(cards[: ends[0]] if ends else cards)
        return raw.decode("ascii")
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no template; a template is text, one card a line") from error


def angle(value: Any, name: str, *, positive: bool = True) -> float:
    """An angle in degrees from "1 deg", "0.5 arcsec" or an astropy Quantity."""
    try:
        degrees = float(u.Quantity(value).to_value(u.deg))
    except (TypeError, ValueError, u.UnitConversionError) as error:
        raise InputError(
            f"{name} {value!r} is not an angle: give a number with a unit, such as '1 deg' or '0.5 arcsec'"
        ) from error
    if not math.isfinite(degrees) or (positive and degrees <= 0):
        raise InputError(f"{name} {value!r} must be a finite{' positive' if positive else ''} angle")
    return degrees


def build_wcs(cards: dict[str, Any] | Header) -> WCS:
    """An astropy WCS, repaired without the warnings that astropy would print (warning filters are not thread-safe)."""
    header = (
        cards
        if isinstance(cards, Header)
        else Header([Card.fromstring(card_text(key, value)) for key, value in cards.items()])
    )
    wcs = WCS(header, fix=False)
    wcs.wcs.fix()
    wcs.wcs.set()
    return wcs


def card_text(key: str, value: Any) -> str:
    """One card's text with all digits of a float (FITS free format: astropy itself cuts at 20 characters)."""
    if isinstance(value, bool):
        text = "T" if value else "F"
    elif isinstance(value, str):
        return f"{key:<8}= '{value.replace(chr(39), chr(39) * 2):<8}'"
    else:
        text = repr(int(value) if isinstance(value, (int, np.integer)) else float(value)).upper()
    return f"{key:<8}= {text:>20}"


def checked_cards(header: Header) -> dict[str, Any]:
    """The cards that define a celestial WCS, or an InputError that names the one that is wrong."""
    cards: dict[str, Any] = {}
    for key in header:
        if _REFUSED.fullmatch(key):
            raise InputError(f"{key}: lookup-table distortions are not supported yet; resample the image first")
        if not _WCS_CARD.fullmatch(key):
            continue
        value = header[key]
        if _TEXT_CARD.fullmatch(key):
            if not isinstance(value, str):
                raise InputError(f"{key} = {value!r} must be text")
            cards[key] = "deg" if value.strip().upper() in ("DEGREE", "DEGREES") else value
            continue
        if isinstance(value, (bool, str)) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise InputError(f"{key} = {value!r} must be a finite number")
        if abs(value) > 1e30:
            raise InputError(f"{key} = {value!r} is out of range (limit 1e30)")
        if key.endswith("_ORDER") and not (value == int(value) and 0 <= value <= _MAX_SIP_ORDER):
            raise InputError(f"{key} = {value!r} must be a whole number from 0 to {_MAX_SIP_ORDER}")
        cards[key] = int(value) if key.endswith("_ORDER") else float(value)
    if "RADECSYS" in cards:  # the old name, at which astropy prints a warning
        cards.setdefault("RADESYS", cards.pop("RADECSYS"))
    if "RADESYS" in cards:
        cards["RADESYS"] = cards["RADESYS"].strip().upper()
    for key in ("CRPIX1", "CRPIX2"):  # the standard's default; written out, so that a sub-grid can shift it
        cards.setdefault(key, 0.0)
    for key in ("CTYPE1", "CTYPE2"):
        if key not in cards and "AMDX1" not in cards:
            raise InputError(f"no celestial WCS: {key} is missing")
        if cards.get(key, "").rstrip()[-3:] in ("TNX", "ZPX"):
            raise InputError(f"{key} = {cards[key]!r}: IRAF's TNX and ZPX are not supported yet; convert to TPV")
    try:
        wcs = build_wcs(cards)
    except Exception as error:  # wcslib raises half a dozen kinds; all mean the same to the user
        raise InputError(f"the WCS cannot be read: {str(error).strip().splitlines()[-1]}") from error
    if not wcs.has_celestial:
        raise InputError(f"no celestial WCS: CTYPE1 = {cards.get('CTYPE1')!r}, CTYPE2 = {cards.get('CTYPE2')!r}")
    try:
        wcs_to_celestial_frame(wcs)
    except ValueError as error:
        raise InputError(
            f"RADESYS = {cards.get('RADESYS')!r}: not a frame that astropy knows; use ICRS, FK5 or FK4"
        ) from error
    det = float(np.linalg.det(wcs.pixel_scale_matrix))
    if not math.isfinite(det) or det == 0.0:
        raise InputError(f"the pixel matrix (CDELT, CD or PC) is singular: determinant {det}")
    return cards


def header_of(wcs: WCS) -> Header:
    """The cards of an astropy WCS with all digits: its own ``to_header`` cuts them at 14.

    Raises
    ------
    InputError
        If it holds distortion tables, which cards cannot carry.
    """
    tables = {"CPDIS1": wcs.cpdis1, "CPDIS2": wcs.cpdis2, "D2IMDIS1": wcs.det2im1, "D2IMDIS2": wcs.det2im2}
    for name, table in tables.items():
        if table is not None:
            raise InputError(f"{name}: lookup-table distortions are not supported yet; resample the image first")
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


def checked_shape(header: Header, shape: tuple[int, int] | None) -> tuple[int, int]:
    """(ny, nx) from the argument, or from NAXIS1 and NAXIS2."""
    if shape is None:
        shape = (header.get("NAXIS2"), header.get("NAXIS1"))
    ny, nx = shape
    for side, name in ((ny, "NAXIS2"), (nx, "NAXIS1")):
        if isinstance(side, bool) or not isinstance(side, (int, np.integer)) or not 1 <= side <= _MAX_SIDE:
            raise InputError(f"{name} = {side!r} must be a whole number from 1 to {_MAX_SIDE}; give a shape (ny, nx)")
    return int(ny), int(nx)
