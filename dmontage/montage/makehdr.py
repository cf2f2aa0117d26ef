"""mMakeHdr: the template that holds all images, or places, of a table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.errors import InputError
from dmontage.grid import Grid
from dmontage.headers import card_text, cards_text
from dmontage.montage.outline import Outline, least_turn
from dmontage.montage.systems import System, system_of
from dmontage.montage.tables import read_rows
from dmontage.montage.templates import write_template
from dmontage.sphere import lonlat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["mMakeHdr"]

_INVALID = "Invalid table file: {}"
_WIDEST = 60.0
"""Degrees from the middle to which a tangent plane is taken: pixels there are four times as many as the sky needs."""


def mMakeHdr(
    tblfile: str,
    template: str,
    csys: str = "EQUJ",
    equinox: float = 2000.0,
    pixelScale: float = 0.0,
    northAligned: int = 0,
    pad: float = 0.0,
    isPercentage: bool = False,
    maxPixel: int = 0,
    debug: int = 0,
) -> dict[str, Any]:
    """Make the smallest template (TAN) that holds what a table lists; of the whole sky (AIT) where that is too wide.

    Parameters
    ----------
    tblfile
        A table of images by their WCS, or by the corners ra1, dec1 to ra4, dec4; or of places by ra and dec.
    template
        The template.
    csys, equinox
        Its system: EquJ, EquB, EclJ, EclB, Gal, SGal or ICRS. EquJ of images that are all ICRS is ICRS, which Montage's
        programs take for the same.
    pixelScale
        Degrees; 0 is that of the finest image.
    northAligned
        1: north up; 0: turned so that it is smallest.
    pad
        Pixels on each side, or percent of the longer side with ``isPercentage``; at least one pixel.
    maxPixel
        Pixels of a side at most: larger ones if need be. 0 is no limit.
    debug
        Not used.
    isPercentage
        Whether ``pad`` is told in percent.

    Returns
    -------
    dict
        "count", "ncube", "naxis1", "naxis2", "clon", "clat", "lonsize", "latsize" (degrees), "posang", and the corners
        "lon1", "lat1" to "lon4", "lat4" around it from the first pixel's along x.
    """
    rows = read_rows(tblfile, (), _INVALID)
    if not rows:
        raise InputError(f"{_INVALID.format(tblfile)}: it has no rows")
    system = system_of(csys, equinox)
    if system == system_of("EQUJ") and all(row.get("radesys") == "ICRS" for row in rows):
        system = system_of("ICRS")
    outline = Outline.of_rows(rows, system.frame, tblfile)
    ask = _Asked(_scale(rows, pixelScale, tblfile), not northAligned, _pad(pad), isPercentage, _most(maxPixel))
    grid, rotation = _tangent(system, outline, ask) or _whole_sky(system, ask)
    cubes = [row for row in rows if (row.get("naxis") or 2) > 2]
    write_template(template, _with_axes(grid.to_template(), cubes) if len(cubes) == len(rows) else grid.to_template())
    return {"count": len(rows), "ncube": len(cubes)} | _told(grid, rotation)


class _Asked(NamedTuple):
    scale: float
    """Degrees."""
    turned: bool
    pad: float
    is_percentage: bool
    most: int

    def sides(self, width: float, height: float) -> tuple[float, int, int]:
        """Scale, nx and ny for an extent in pixels of the scale that is asked for."""
        longer = max(width, height)
        pad = self.pad / 100.0 * longer if self.is_percentage else self.pad
        pad = max(pad, 1.0)
        factor = 1.0
        if self.most and longer + 2.0 * pad > self.most:
            if self.is_percentage:
                pad *= self.most / (longer + 2.0 * pad)
            if self.most <= 2.0 * pad:
                raise InputError(f"maxPixel {self.most} leaves no pixel beside pad {self.pad!r} on both sides")
            factor = longer / (self.most - 2.0 * pad)
        nx, ny = (max(math.ceil(side / factor + 2.0 * pad - 1e-6), 1) for side in (width, height))
        return self.scale * factor, nx, ny


def _scale(rows: Sequence[dict[str, Any]], given: float, path: str) -> float:
    if not (math.isfinite(given) and given >= 0.0):
        raise InputError(f"Invalid pixel scale {given!r}: it must be a number of degrees, or 0 for that of the images")
    found = [abs(row[name]) for row in rows for name in ("cdelt1", "cdelt2") if row.get(name)]
    if not (given or found):
        raise InputError(f"{path}: it has no cdelt1 and cdelt2: give pixelScale, in degrees")
    return float(given or min(found))


def _pad(pad: float) -> float:
    if not (math.isfinite(pad) and pad >= 0.0):
        raise InputError(f"pad is {pad!r}: it must be a number from 0")
    return float(pad)


def _most(most: int) -> int:
    if most < 0:
        raise InputError(f"maxPixel is {most!r}: it must be a number of pixels, or 0 for no limit")
    return int(most)


def _tangent(system: System, outline: Outline, ask: _Asked) -> tuple[Grid, float] | None:
    """The smallest tangent grid, with its middle in the tangent point, and its turn; None for too wide a sky."""
    centre, rotation, half = outline.mean, 0.0, np.zeros(2)
    for _ in range(4):  # the tangent point moves into the middle: to a thousandth of what it was off in each turn
        if not outline.within(centre, _WIDEST):
            return None
        lon, lat = (float(a) for a in lonlat(centre))
        upright = _pixels(system.tangent(lon, lat, ask.scale), outline.vectors)
        rotation = least_turn(upright) if ask.turned else 0.0
        cards = system.tangent(lon, lat, ask.scale, rotation)
        pixels = _pixels(cards, outline.vectors)
        low, high = pixels.min(axis=0), pixels.max(axis=0)
        half = np.maximum(np.abs(low), np.abs(high))
        centre = Grid(cards_text(cards), (1, 1)).sky(*((low + high) / 2.0))
    scale, nx, ny = ask.sides(*(2.0 * half))
    return system.grid((lon, lat), scale, (ny, nx), rotation), rotation


def _pixels(cards: dict[str, Any], vectors: Floats) -> Floats:
    return np.stack(Grid(cards_text(cards), (1, 1)).pixel(vectors), axis=-1)


def _whole_sky(system: System, ask: _Asked) -> tuple[Grid, float]:
    wide = math.degrees(4.0 * math.sqrt(2.0)) / ask.scale
    scale, nx, ny = ask.sides(wide, wide / 2.0)
    return system.grid((0.0, 0.0), scale, (ny, nx), code="AIT"), 0.0


def _told(grid: Grid, rotation: float) -> dict[str, Any]:
    ny, nx = grid.shape
    header = grid.to_header()
    lon, lat = (np.nan_to_num(a) for a in lonlat(grid.sky(*grid.window.edge())))  # 0 off the sky, as Montage has it
    told: dict[str, Any] = {"naxis1": nx, "naxis2": ny, "clon": header["CRVAL1"], "clat": header["CRVAL2"]}
    told |= {"lonsize": nx * header["CDELT2"], "latsize": ny * header["CDELT2"], "posang": rotation}
    for i in range(4):
        told |= {f"lon{i + 1}": float(lon[i]), f"lat{i + 1}": float(lat[i])}
    return told


def _with_axes(text: str, cubes: Sequence[dict[str, Any]]) -> str:
    """The template with the third and fourth axes of cubes that all have the same; as it is where they differ."""
    first = cubes[0]
    names = [f"{key}{i}" for i in range(3, first["naxis"] + 1) for key in ("naxis", "crval", "cdelt", "crpix")]
    if any(row.get(name) != first.get(name) for row in cubes for name in ("naxis", *names)):
        return text
    axes = [card_text(name.upper(), first[name]) for name in names if first.get(name) is not None]
    sides = [card for card in axes if card.startswith("NAXIS")]
    lines = text.splitlines()
    lines[2] = card_text("NAXIS", first["naxis"])
    lines = [*lines[:5], *sides, *lines[5:-1], *(card for card in axes if card not in sides), "END"]
    return "\n".join(lines) + "\n"
