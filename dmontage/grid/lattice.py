"""Lattice: the same pixels counted from another first one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from astropy.io.fits import Card

from dmontage.grid.objects import is_object, moved_object, object_origin
from dmontage.headers import card_text, moved
from dmontage.sphere import rotate_frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.grid.grid import Grid

__all__ = ["moved_cards", "moved_tables", "pixel_offsets", "whole_shift"]

_SAME_LATTICE = 1e-11
"""Pixels, less than what the WCS itself rounds by."""

_SIGN = {"CRPIX": -1, "CNPIX": 1}
"""A DSS plate counts from the first pixel of the plate, the others from that of the image."""


def moved_cards(header: str, x0: int, y0: int) -> str:
    """A grid's cards for pixels counted from (x0, y0)."""
    lines = []
    for line in header.splitlines():
        key = line[:8].rstrip()
        if key[:-1] in _SIGN:
            line = card_text(key, Card.fromstring(line).value + _SIGN[key[:-1]] * (x0 if key[-1] == "1" else y0))  # noqa: PLW2901
        lines.append(line)
    return "\n".join(lines)


def moved_tables(tables: bytes, x0: int, y0: int) -> bytes:
    """What goes with these cards."""
    return moved_object(tables, x0, y0) if is_object(tables) else moved(tables, x0, y0)


def whole_shift(grid: Grid, other: Grid) -> tuple[int, int] | None:
    """Whole pixels (dy, dx) from ``other``'s pixel numbers to those of ``grid``; None where they differ otherwise."""
    if is_object(grid.tables) != is_object(other.tables):
        return None
    shift = _object_shift(grid, other) if is_object(grid.tables) else _card_shift(grid.header, other.header)
    if shift is None or moved_tables(other.tables, -shift[1], -shift[0]) != grid.tables:
        return None
    return shift


def pixel_offsets(grid: Grid, other: Grid) -> NDArray[np.float64]:
    """By how much ``other``'s pixels lie beyond those of the same numbers of ``grid``: (25, 2) of x, y, in pixels.

    At 5 by 5 pixels from corner to corner, of which the 13th is the middle; NaN where either has no sky.
    """
    ny, nx = other.shape
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(0, nx - 1, 5), np.linspace(0, ny - 1, 5)))
    at = grid.pixel(rotate_frame(other.sky(x, y), other.frame, grid.frame))
    return np.stack(at, axis=-1) - np.stack([x, y], axis=-1)


def _object_shift(grid: Grid, other: Grid) -> tuple[int, int]:
    (x0, y0), (other_x0, other_y0) = object_origin(grid.tables), object_origin(other.tables)
    return other_y0 - y0, other_x0 - x0


def _rest(header: str) -> list[str]:
    """The cards that say nothing of the first pixel, in one order."""
    return sorted(line for line in header.splitlines() if line[:5] not in _SIGN)


def _card_shift(header: str, other: str) -> tuple[int, int] | None:
    """What the reference pixels differ by, where that is whole pixels, all others being equal."""
    if _rest(header) != _rest(other):
        return None
    pixels: list[dict[str, float]] = []
    for text in (header, other):
        counts = [line for line in text.splitlines() if line[:5] in _SIGN]
        pixels.append({line[:8].rstrip(): Card.fromstring(line).value for line in counts})
    if pixels[0].keys() != pixels[1].keys():
        return None
    shift: dict[str, int] = {}
    for key, mine in pixels[0].items():
        step = -_SIGN[key[:-1]] * (mine - pixels[1][key])
        rounding = math.ulp(max(abs(mine), abs(pixels[1][key])))
        # Taking windows' first pixels from CRPIX rounds its last bits: that is still the same lattice.
        if abs(step - round(step)) > max(2.0 * rounding, _SAME_LATTICE) or shift.setdefault(
            key[-1], round(step)
        ) != round(step):
            return None
    return shift["2"], shift["1"]
