"""mSubset and mCoverageCheck: the rows of an image table that overlap a region."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.coordinates import FK5, ICRS

from dmontage.aside import aside
from dmontage.errors import InputError
from dmontage.fits_files import one_image
from dmontage.grid import Grid
from dmontage.headers import cards_text
from dmontage.montage.cutout_table import write_cutouts
from dmontage.montage.inputs import template_grid
from dmontage.montage.outline import corners_of_row
from dmontage.montage.regions import Region, cap_region, grid_region, overlap, polygon_region
from dmontage.montage.systems import system_of
from dmontage.montage.tables import INVALID_IMAGES, grid_of_row, read_rows
from dmontage.sphere import rotate_frame, unit_vectors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["mCoverageCheck", "mSubset"]

_MODES = ("POINTS", "BOX", "CIRCLE", "POINT", "HEADER", "CUTOUT")


def mSubset(tblfile: str, template: str, subtbl: str, fastMode: bool = False, debug: int = 0) -> dict[str, int]:
    """Write the rows of an image table that overlap a template, as they are.

    Parameters
    ----------
    tblfile
        The table, of images by their WCS or by their corners.
    template
        The template.
    subtbl
        The new table.
    fastMode, debug
        Not used: edges are followed in any case.

    Returns
    -------
    dict
        "count" of rows, and "nmatches" of those written.
    """
    rows = read_rows(tblfile, (), INVALID_IMAGES)
    region = grid_region(template_grid(template))
    keep = [overlap(_region_of(row, tblfile), region) for row in rows]
    _copy_rows(tblfile, subtbl, keep)
    return {"count": len(rows), "nmatches": sum(keep)}


def mCoverageCheck(
    infile: str,
    outfile: str,
    mode: int = 0,
    hdrfile: str = "",
    narray: int = 0,
    array: Any = 0,
    path: str = "",
    xoff: float = 0.0,
    yoff: float = 0.0,
    debug: int = 0,
) -> dict[str, int]:
    """Write the rows of an image table that overlap a region of the sky.

    Parameters
    ----------
    infile, outfile
        The table, and the new one.
    mode
        0: a convex polygon, its corners' ra, dec, ra, dec, ...; 1: a box, its middle's ra and dec, its width, its
        height if that differs, and the angle that its y axis is turned by from north towards west; 2: a circle, ra, dec
        and radius; 3: a point, ra and dec; 4: the template ``hdrfile``; 5: a box, as 1, and the rows tell only the
        pixels within it.
    array
        These numbers, degrees, equatorial J2000.
    narray
        How many of them; 0: all.
    path
        The folder of the images, to take their WCS from their headers and not from the table.
    xoff, yoff, debug
        Not used: a map's seam is no edge on the sphere. (MontagePy 2.3 takes xoff and yoff, too, and does nothing by
        them; its program has no flags for them.)
    hdrfile
        Template of mode 4.

    Returns
    -------
    dict
        "count" of rows written.
    """
    if mode not in range(len(_MODES)):
        raise InputError(f"mode is {mode!r}; give {', '.join(f'{k} ({name})' for k, name in enumerate(_MODES))}")
    rows = read_rows(infile, (), INVALID_IMAGES)
    try:
        numbers = [float(value) for value in np.ravel(array)][: narray or None]
    except (TypeError, ValueError) as error:
        raise InputError(f"array {array!r} is not all numbers") from error
    region = grid_region(template_grid(hdrfile)) if mode == 4 else _asked(mode, numbers)
    keep = [overlap(_region_of(row, infile, path), region) for row in rows]
    if mode == 5:
        matches = [row for row, kept in zip(rows, keep, strict=True) if kept]
        write_cutouts(outfile, matches, [_grid_of(row, infile, path) for row in matches], region)
    else:
        _copy_rows(infile, outfile, keep)
    return {"count": sum(keep)}


def _asked(mode: int, numbers: Sequence[float]) -> Region:
    """The region that a mode's numbers tell."""
    name, least, most = _MODES[mode], (6, 3, 3, 2, 0, 3)[mode], (math.inf, 5, 3, 2, 0, 5)[mode]
    if not least <= len(numbers) <= most or (mode == 0 and len(numbers) % 2):
        raise InputError(f"mode {mode} ({name}) needs {least} numbers{' or more' * (most > least)}, not {len(numbers)}")
    if not all(math.isfinite(number) for number in numbers):
        raise InputError(f"mode {mode} ({name}): {list(numbers)} are not all numbers")
    if mode in (1, 2, 5) and min(numbers[2:4]) <= 0.0:
        raise InputError(f"mode {mode} ({name}): its size {numbers[2:4]} must be above 0")
    if mode == 0:
        return polygon_region(_sky(numbers[::2], numbers[1::2]))
    middle = _sky(numbers[:1], numbers[1:2])[0]
    if mode in (2, 3):
        return cap_region(middle, numbers[2] if mode == 2 else 0.0)
    width, height, angle = (*numbers[2:], *(numbers[2], 0.0)[len(numbers) - 3 :])
    if max(width, height) >= 90.0:
        raise InputError(f"mode {mode} ({name}): a box of {width} by {height} degrees is too wide: give below 90")
    cards = system_of("EquJ").tangent(numbers[0], numbers[1], 1.0, angle)
    tangent = Grid(cards_text(cards), (1, 1))
    x, y = (np.degrees(np.tan(np.radians(side / 2.0))) * np.array(s) for side, s in ((width, _X), (height, _Y)))
    return polygon_region(rotate_frame(tangent.sky(x, y), FK5(), ICRS()))


_X, _Y = (-1, 1, 1, -1), (-1, -1, 1, 1)


def _sky(ra: Sequence[float], dec: Sequence[float]) -> Floats:
    """ICRS unit vectors of places in J2000."""
    if max(abs(value) for value in dec) > 90.0:
        raise InputError(f"declinations {list(dec)} must lie from -90 to 90")
    return rotate_frame(unit_vectors(np.radians(np.array(ra)), np.radians(np.array(dec))), FK5(), ICRS())


def _region_of(row: dict[str, Any], path: str, folder: str = "") -> Region:
    if not (row.get("ctype1") or folder) and (corners := corners_of_row(row)) is not None:
        return polygon_region(rotate_frame(corners, ICRS() if row.get("radesys") == "ICRS" else FK5(), ICRS()))
    return grid_region(_grid_of(row, path, folder))


def _grid_of(row: dict[str, Any], path: str, folder: str = "") -> Grid:
    if not folder:
        return grid_of_row(row, path)
    if not row.get("fname"):
        raise InputError(f"Need columns: fname; {path} has a row without")
    return one_image(Path(folder, row["fname"]), row.get("hdu") or None).grid


def _copy_rows(source: str, target: str, keep: Sequence[bool]) -> None:
    """Write some rows of a table, as they are, under its header."""
    lines = Path(source).read_text(encoding="utf-8").splitlines(keepends=True)
    is_row = [bool(line.strip()) and line[0] not in "\\|" for line in lines]
    if sum(is_row) != len(keep):
        raise InputError(f"{INVALID_IMAGES.format(source)}: it has {sum(is_row)} lines and {len(keep)} rows")
    chosen = iter(keep)
    with aside(Path(target)) as part:
        rows = (line for line, row in zip(lines, is_row, strict=True) if not row or next(chosen))
        part.write_text("".join(rows), encoding="utf-8")
