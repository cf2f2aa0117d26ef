"""Plain files: one image under a header in which every card is as the standard has it.

Most files of a survey are such, and astropy's ways with the others take most of a scan's time (1.2 ms to open a file,
10 µs to read a card). Whatever here is out of the ordinary, or does not fit the file's size, is left to astropy, which
knows what can be made of it, or what is wrong.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from dmontage.fits_files.common import BITPIX, BLOCK
from dmontage.headers import needs_tables

if TYPE_CHECKING:
    from dmontage.places import Place

__all__ = ["Plain", "plain_image"]

_MOST = 16 * BLOCK
"""Bytes of a header; longer ones are left to astropy."""
_CARD = re.compile(
    r"([A-Z0-9_-]+) *(?<=^.{8})= +"
    r"(?:'((?:[^']|'')*)'|([-+]?\d+)|([-+]?(?:\d+\.\d*|\.\d+|\d+(?=[DE]))(?:[DE][-+]?\d+)?)|([TF])) *(?:/.*)?"
)
"""Keyword, and text, whole number, other number, or truth."""
_COMMENT = ("COMMENT ", "HISTORY ", " " * 8)
_RECORD = re.compile(r"\w[\w.]*: +[-+.\d]")
"""Text of which astropy makes a number under a longer keyword."""
_BEFORE = re.compile(rb"SIMPLE  = +T *(?:/[ -~]*)?")
_STRANGE = re.compile(rb"[^ -~]")
_OTHER = ("GROUPS", "PCOUNT", "GCOUNT", "XTENSION", "ZIMAGE", "TFIELDS", "BLOCKED")
"""Keywords by which an HDU is something else, or of another size."""


class Plain(NamedTuple):
    """The only HDU of a file; it looks like one of astropy's."""

    header: dict[str, Any]
    shape: tuple[int, ...]

    def fileinfo(self) -> None:
        """Nothing: that the file holds it, and ends with it, is known."""


def plain_image(path: Place, n_bytes: int) -> Plain | None:
    """The image of a plain file of ``n_bytes``; None where astropy must look at it."""
    with path.open("rb") as file:
        raw = file.read(_MOST)
    if not _BEFORE.fullmatch(raw[:80]):
        return None
    end = next((k for k in range(80, len(raw), 80) if raw[k : k + 80].rstrip() == b"END"), None)
    if end is None:
        return None
    start = -(-(end + 80) // BLOCK) * BLOCK
    if start > len(raw) or _STRANGE.search(raw, 0, start) or raw[end + 80 : start].strip():
        return None
    header = _values(raw[:end].decode("ascii"))
    shape = None if header is None else _shape(header)
    if header is None or shape is None or needs_tables(header) or not _scaled_well(header):
        return None
    claimed = abs(header["BITPIX"]) // 8 * math.prod(shape)
    whole = start + claimed <= n_bytes <= start - (-claimed // BLOCK) * BLOCK
    return Plain(header, shape) if whole else None


def _values(text: str) -> dict[str, Any] | None:
    """The values of a header's cards; None where one has no plain value, or two have one keyword."""
    header: dict[str, Any] = {}
    for k in range(0, len(text), 80):
        card = text[k : k + 80]
        if card.startswith(_COMMENT):
            continue
        found = _CARD.fullmatch(card)
        if found is None or found[1] in header or found[1] == "END":
            return None
        key, string, whole, other, _ = found.groups()
        if string is not None:
            if _RECORD.match(string):
                return None
            header[key] = string.replace("''", "'").rstrip()
        elif whole is not None:
            header[key] = int(whole)
        else:
            header[key] = found[5] == "T" if other is None else float(other.replace("D", "E"))
    return header


def _scaled_well(header: dict[str, Any]) -> bool:
    """Whether nothing strange is to be made of the values."""
    scale, zero = header.get("BSCALE", 1), header.get("BZERO", 0)
    numbers = all(type(value) in (int, float) and math.isfinite(value) for value in (scale, zero))
    return numbers and scale != 0 and type(header.get("BLANK", 0)) is int


def _shape(header: dict[str, Any]) -> tuple[int, ...] | None:
    """(..., NAXIS2, NAXIS1) of a primary image whose first cards are in order."""
    n = header.get("NAXIS")
    if type(n) is not int or not 2 <= n <= 9 or header.keys() & set(_OTHER):
        return None
    names = ["SIMPLE", "BITPIX", "NAXIS", *(f"NAXIS{i}" for i in range(1, n + 1))]
    sides = [header.get(name) for name in names[3:]]
    whole = all(type(side) is int and side > 0 for side in sides)
    if [*header][: len(names)] != names or header["BITPIX"] not in BITPIX or not whole:
        return None
    return tuple(int(side) for side in reversed(sides) if side is not None)
