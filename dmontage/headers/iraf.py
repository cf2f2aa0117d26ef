"""IRAF's TNX and ZPX: projections whose polynomial corrections stand in WAT cards.

They are one long text an axis, cut into strings of 68 characters: ``wtype=tnx axtype=ra lngcor = "3. 4. 4. 2. ..."``
(Valdes & Davis, registry of FITS conventions). wcslib reads it too, but fails where a blank ends a card, and misread
without a word a text with wider gaps, made to avoid that. So the text is read here, and its surfaces, whatever
polynomials they are of, are written as what they are: corrections of the sky plane before TAN or ZPN (CQDIS, TPD of the
draft distortion paper).
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.polynomial import chebyshev, legendre

from dmontage.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.headers.text import Cards

__all__ = ["settled_iraf"]

_ITEM = re.compile(r'(\w+)\s*=\s*("[^"]*"|\S+)')
_WIDTH = 68
_MAX_ORDER = 10
"""Terms in one direction: the template goes to the ninth power."""

_FIRST = (0, 1, 4, 7, 12, 17, 24, 31, 40, 49)
"""Number of the template's term x^n, by n; y x^(n−1) and so on follow, and odd powers of the radius are left out."""

_PLAIN = {"TNX": "TAN", "ZPX": "ZPN"}


def settled_iraf(header: Cards, cards: dict[str, Any]) -> dict[str, Any]:
    """What becomes of the cards of a TNX or ZPX: new ones for CTYPE, PV and the distortion.

    Raises
    ------
    InputError
        If a number cannot be read, is not finite, or their count is not that of the surface's orders.
    """
    ctypes = [cards[f"CTYPE{axis}"] for axis in (1, 2)]
    code = ctypes[0][5:8]
    texts = [_items(header, axis) for axis in (1, 2)]
    new: dict[str, Any] = {f"CTYPE{axis}": ctype.replace(code, _PLAIN[code]) for axis, ctype in enumerate(ctypes, 1)}
    lat = 1 if "LAT" in ctypes[0] or ctypes[0].startswith("DEC") else 2
    for key, value in (texts[0] | texts[1]).items():
        if re.fullmatch(r"projp\d", key) and code == "ZPX":
            new[f"PV{lat}_{key[-1]}"] = _numbers("WAT", key, value)[0]
    surfaces = [text.get("lngcor", text.get("latcor")) for text in texts]
    if any(surfaces):
        for axis, surface in enumerate(surfaces, 1):
            new |= _template(axis, surface)
    return new


def _items(header: Cards, axis: int) -> dict[str, str]:
    """The assignments in the text of one axis."""
    keys = sorted(key for key in header if re.fullmatch(rf"WAT{axis}_\d{{3}}", key))
    # FITS drops a string's last blanks; within the text they separate numbers.
    text = "".join(str(header[key]).ljust(_WIDTH) for key in keys)
    return {key.lower(): value.strip('"') for key, value in _ITEM.findall(text)}


def _template(axis: int, surface: str | None) -> dict[str, Any]:
    """The cards of one axis's correction: a polynomial of the two coordinates, each scaled to −1 … 1."""
    numbers = _surface(f"WAT{axis}", surface) if surface else [3.0, 1.0, 1.0, 1.0, -1.0, 1.0, -1.0, 1.0, 0.0]
    kind, nx, ny, cross = (int(number) for number in numbers[:4])
    values = np.zeros((nx, ny))
    for (i, j), value in zip(_terms(nx, ny, cross), numbers[8:], strict=True):
        values[i, j] = value
    record = f"DQ{axis}"
    cards: dict[str, Any] = {f"CQDIS{axis}": "TPD", f"{record}.NAXES": 2, f"{record}.AXIS.1": 1, f"{record}.AXIS.2": 2}
    cards[f"{record}.DOCORR"] = 1
    if kind != 3:
        values = _powers(values, kind)
        for i, (low, high) in enumerate((numbers[4:6], numbers[6:8])):
            scale = [-(low + high) / (high - low), 0.0, 0.0]
            scale[i + 1] = 2.0 / (high - low)
            cards |= {f"{record}.AUX.{i + 1}.COEFF.{k}": value for k, value in enumerate(scale)}
    for (i, j), value in np.ndenumerate(values):
        if value != 0.0 or (i, j) == (0, 0):
            cards[f"{record}.TPD.FWD.{_FIRST[i + j] + j}"] = float(value)
    return cards


def _powers(values: NDArray[np.float64], kind: int) -> NDArray[np.float64]:
    """Coefficients of powers from those of Chebyshev (1) or Legendre (2) polynomials, along both axes."""
    convert = chebyshev.cheb2poly if kind == 1 else legendre.leg2poly
    for axis in (0, 1):
        # numpy drops last coefficients that are zero.
        values = np.apply_along_axis(lambda c: np.resize([*convert(c), *np.zeros(len(c))], len(c)), axis, values)
    return values


def _surface(name: str, value: str) -> list[float]:
    """The numbers of a surface: function, two orders, cross terms, the ranges of ξ and η, coefficients."""
    numbers = _numbers(name, "the surface", value)
    if len(numbers) < 9:
        raise InputError(f"{name}: the surface has {len(numbers)} numbers, at least 9 make one")
    kind, nx, ny, cross = numbers[:4]
    if kind not in (1, 2, 3) or cross not in (0, 1, 2):
        raise InputError(f"{name}: the surface is of function {kind:g} (1 to 3) with cross terms {cross:g} (0 to 2)")
    if not all(order == int(order) and 1 <= order <= _MAX_ORDER for order in (nx, ny)):
        raise InputError(
            f"{name}: the surface has orders {nx:g} and {ny:g}; whole ones from 1 to {_MAX_ORDER} are read"
        )
    if not (numbers[4] < numbers[5] and numbers[6] < numbers[7]):
        raise InputError(f"{name}: the surface has the ranges {numbers[4:6]} and {numbers[6:8]}; they must grow")
    terms = _terms(int(nx), int(ny), int(cross))
    if len(numbers) - 8 != len(terms):
        raise InputError(f"{name}: the surface has {len(numbers) - 8} coefficients, its orders make {len(terms)}")
    if max(i + j for i, j in terms) >= len(_FIRST):
        raise InputError(f"{name}: the surface has terms of degree {max(i + j for i, j in terms)}; at most 9 are read")
    return numbers


def _terms(nx: int, ny: int, cross: int) -> list[tuple[int, int]]:
    """Powers (i, j) of ξ and η, ξ fastest: with none (0), all (1) or half (2) of the cross terms."""
    every = [(i, j) for j in range(ny) for i in range(nx)]
    return [(i, j) for i, j in every if cross == 1 or (i * j == 0 if cross == 0 else i + j < max(nx, ny))]


def _numbers(name: str, what: str, value: str) -> list[float]:
    try:
        numbers = [float(word) for word in value.split()]
    except ValueError as error:
        raise InputError(f"{name}: {what} holds what is no number: {error}") from error
    if not numbers or not all(math.isfinite(number) and abs(number) <= 1e30 for number in numbers):
        raise InputError(f"{name}: {what} = {value[:40]!r} must hold finite numbers")
    return numbers
