"""mBgModel: the corrections of all images from the fits to their differences.

As in Montage a plane is told in x, y: pixels of the mosaic, less its CRPIX, counted from zero. A table of fits tells no
errors: they come from the number of a fit's pixels, its rms, and its box, over which the pixels lie evenly.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.background import PairTable, Solution, solve
from dmontage.errors import InputError
from dmontage.log import say
from dmontage.model import OverlapPair
from dmontage.montage.fitplane import FIT_COLUMNS
from dmontage.montage.tables import INVALID_IMAGES, read_rows, write_rows
from dmontage.pipeline.overlap_geometry import overlap_geometry
from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Rows = Sequence[dict[str, Any]]

__all__ = ["mBgModel"]

_IMAGES = {"cntr": int, "fname": str, "crpix1": float, "crpix2": float}
_SMALL = 0.001
"""Of the images' mean area: overlaps of fewer pixels are left out unless all are to be used."""


def mBgModel(
    input_file: str,
    fit_file: str,
    corr_file: str,
    gap_dir: str = "",
    noslope: bool = False,
    useall: bool = False,
    niteration: int = 10000,
    debug: int = 0,
) -> dict[str, Any]:
    """Find the planes, one for each image, that make images agree where they overlap.

    It is one least-squares solution, with a prior on slopes that the fits themselves tell, and without pairs that
    disagree with all others.

    Parameters
    ----------
    input_file
        Table of the images; those whose column "locked" (if there is one) is not 0 are not corrected.
    fit_file
        Table of the fits.
    corr_file
        The table of corrections that is written: of the images that overlap others.
    gap_dir
        Not supported.
    noslope
        Levels only.
    useall
        Use overlaps of less than a thousandth of an image, too.
    niteration
        Not used: nothing is iterated.
    debug
        Not used.

    Returns
    -------
    dict
        Nothing.
    """
    if gap_dir:
        raise InputError(f"gap_dir {gap_dir!r}: gaps of HEALPix maps are not bridged; leave it empty")
    images = _images(input_file)
    rows = read_rows(fit_file, ("plus", "minus", *FIT_COLUMNS), "Invalid background fit parameters file: {}")
    least = 0.0 if useall else _SMALL * float(np.mean([row["naxis1"] * row["naxis2"] for row in images]))
    fits = _usable(rows, {row["cntr"]: i for i, row in enumerate(images)}, least)
    level_only = noslope or not any(fit["a"] or fit["b"] for fit in fits)
    solution = _solved(images, fits, level_only)
    unpaired = set(solution.unpaired)
    lines = []
    for i, row in enumerate(images):
        if i not in unpaired:
            (level, a, b), (x, y) = solution.parameters[i].tolist(), solution.centres[i].tolist()
            lines.append((row["cntr"], a, b, level - a * x - b * y))
    write_rows(corr_file, {"id": int, "a": float, "b": float, "c": float}, lines)
    return {}


def _images(path: str) -> list[dict[str, Any]]:
    """The rows of an image table, sides named naxis1 and naxis2."""
    rows = read_rows(path, _IMAGES, INVALID_IMAGES)
    for row in rows:
        for name, other in (("naxis1", "ns"), ("naxis2", "nl")):
            row.setdefault(name, row.get(other))
            if row[name] is None:
                raise InputError(
                    f"Need columns: cntr fname naxis1 naxis2 crpix1 crpix2 in image info file; {path} has no {name}"
                )
    if not rows:
        raise InputError(f"{INVALID_IMAGES.format(path)}: it has no images")
    return rows


def _usable(rows: list[dict[str, Any]], place: dict[int, int], least: float) -> list[dict[str, Any]]:
    """The fits of overlaps that are large enough, of images that are there, with their places as "ends"."""
    kept, strange = [], 0
    for row in rows:
        ends = place.get(row["plus"]), place.get(row["minus"])
        numbers = [row[name] for name in FIT_COLUMNS]
        good = all(number is not None and math.isfinite(number) for number in numbers) and ends[0] != ends[1]
        if None in ends or not good:
            strange += 1
        elif row["npixel"] >= max(least, 1):
            kept.append(row | {"ends": ends})
    if strange:
        say("fits_left_out", f"mBgModel: {strange} fits are of images that are not in the table, or have no numbers",
            logging.WARNING, n=strange)  # fmt: skip
    return kept


def _solved(images: Rows, fits: Rows, level_only: bool) -> Solution:
    sides = np.array([(row["naxis1"], row["naxis2"]) for row in images], float)
    first = -np.array([(row["crpix1"], row["crpix2"]) for row in images], float)
    frames = np.column_stack([first + (sides - 1) / 2, sides.max(axis=1) / 2])
    ends = np.array([fit["ends"] for fit in fits], np.int64).reshape(-1, 2)
    a, b, c, x, y = (np.array([fit[name] for fit in fits], float) for name in ("a", "b", "c", "boxx", "boxy"))
    table = PairTable(
        plus=ends[:, 0],
        minus=ends[:, 1],
        x0=x,
        y0=y,
        difference=np.column_stack([a * x + b * y + c, a, b]),
        information=np.array([_information(fit) for fit in fits]).reshape(-1, 3, 3),
        share=_shares(first, sides, ends),
    )
    locked = [i for i, row in enumerate(images) if row.get("locked")]
    return solve(table, frames, "level" if level_only else "plane", locked=locked)


def _information(fit: dict[str, Any]) -> Floats:
    """Of level and slopes about the box's middle: n pixels of one rms, spread evenly over the box."""
    n, rms, angle = fit["npixel"], max(fit["rms"], 1e-100), math.radians(fit["boxang"])
    # The sides go from the first pixel's middle to the last one's.
    spread = np.diag([side * (side + 2) / 12 for side in (fit["boxwidth"], fit["boxheight"])])
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    found = np.zeros((3, 3))
    found[0, 0], found[1:, 1:] = 1.0, turn @ spread @ turn.T
    return np.asarray(found * (n / rms**2))


def _shares(first: Floats, sides: Floats, ends: Ints) -> Floats:
    """What part of each overlap's pixels no other pair repeats; images taken for their whole rectangles."""
    low = np.rint(first - first.min(axis=0)).astype(int)
    high = low + sides.astype(int)
    windows = [Window(y0, y1, x0, x1) for (x0, y0), (x1, y1) in zip(low.tolist(), high.tolist(), strict=True)]
    outlines = [np.column_stack(w.edge()) for w in windows]
    pairs = [OverlapPair(i, j, windows[i] & windows[j]) for i, j in ends.tolist()]
    return overlap_geometry(windows, outlines, pairs).share
