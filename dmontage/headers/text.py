"""Header text: templates, single cards with all their digits, angles and shapes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from astropy import units as u
from astropy.io.fits import Card, Header

from dmontage.errors import InputError
from dmontage.places import place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dmontage.places import Place

__all__ = ["Cards", "angle", "card_text", "cards_text", "checked_shape", "header_text", "is_number", "parse_header"]

Cards: TypeAlias = "Header | Mapping[str, Any]"
"""A header, or no more than its values by keyword."""

_MAX_SIDE = 2**31 - 1
_MAX_HEADER = 2**20


def is_number(value: Any) -> bool:
    """Whether a card's value is a number; in headers that are made in memory it may be one of numpy's."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


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
                if card.field_specifier is not None:  # a record: its keyword stands on several cards
                    header.append(card, end=True)
                else:
                    header[card.keyword] = card.value
            except Exception as error:
                raise InputError(f"{name}: cannot read the card {line.strip()!r}: {error}") from error
    if not len(header):
        raise InputError(f"{name}: holds no FITS cards; a template has one card a line, such as 'CRVAL1 = 83.8'")
    return header


def header_text(path: str | Place) -> str:
    """The text of a template, or of the primary header of a FITS file."""
    try:
        with place(path).open("rb") as file:
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


def in_unit(degrees: float) -> tuple[float, str]:
    """An angle by the largest of "deg", "arcmin" and "arcsec" that has one of it: the number, and the unit."""
    for factor, unit in ((1.0, "deg"), (60.0, "arcmin")):
        if degrees * factor >= 1.0 - 1e-9:
            return degrees * factor, unit
    return degrees * 3600.0, "arcsec"


def card_text(key: str, value: Any) -> str:
    """One card's text with all digits of a float (FITS free format: astropy itself cuts at 20 characters).

    A key with a dot, such as ``DQ1.TPD.FWD.4``, is a record of its keyword: ``DQ1     = 'TPD.FWD.4: 0.5'``.
    """
    keyword, _, field = key.partition(".")
    if field:
        return f"{keyword:<8}= '{field}: {float(value)!r}'".upper()
    if isinstance(value, bool):
        text = "T" if value else "F"
    elif isinstance(value, str):
        return f"{key:<8}= '{value.replace(chr(39), chr(39) * 2):<8}'"
    else:
        text = repr(int(value) if isinstance(value, (int, np.integer)) else float(value)).upper()
    return f"{key:<8}= {text:>20}"


def cards_text(cards: Mapping[str, Any]) -> str:
    """Cards one a line, with all their digits."""
    return "\n".join(card_text(key, value) for key, value in cards.items())


def checked_shape(header: Cards, shape: tuple[int, ...] | None) -> tuple[int, int]:
    """(ny, nx) from the argument (its last two, of a cube), or from NAXIS1 and NAXIS2."""
    ny: Any
    nx: Any
    try:
        ny, nx = (header.get("NAXIS2"), header.get("NAXIS1")) if shape is None else shape[-2:]
    except (TypeError, ValueError) as error:
        raise InputError(f"shape {shape!r} must be two whole numbers: (ny, nx)") from error
    for side, name in ((ny, "NAXIS2"), (nx, "NAXIS1")):
        if isinstance(side, bool) or not isinstance(side, (int, np.integer)) or not 1 <= side <= _MAX_SIDE:
            raise InputError(f"{name} = {side!r} must be a whole number from 1 to {_MAX_SIDE}; give a shape (ny, nx)")
    return int(ny), int(nx)
