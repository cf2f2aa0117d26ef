"""mDiffFit, mConcatFit: fits of pairs by jobs that run apart, each into a file, and the table that gathers them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dmontage.errors import InputError
from dmontage.montage.answer_line import told_in
from dmontage.montage.diff import subtract
from dmontage.montage.diff_fit import write_fits
from dmontage.montage.each import Failed, check_folder, tell
from dmontage.montage.fitplane import FIT_COLUMNS, fitted
from dmontage.montage.inputs import template_grid
from dmontage.montage.tables import read_rows

__all__ = ["mConcatFit", "mDiffFit"]


def mDiffFit(
    input_file1: str,
    input_file2: str,
    output_file: str,
    template_file: str,
    noAreas: bool = False,
    border: int = 0,
    debug: int = 0,
) -> dict[str, Any]:
    """Subtract an image from another that lies on the same grid, and fit a plane to the difference.

    Parameters
    ----------
    input_file1, input_file2
        The images; the second is subtracted.
    output_file
        The difference, as `mDiff` writes it.
    template_file
        The grid.
    noAreas
        Neither read nor write area files.
    border
        Pixels on each side of the difference that do not count.
    debug
        Not used.

    Returns
    -------
    dict
        What `mFitplane` tells.

    Raises
    ------
    NothingThereError
        If the images have no pixel in common, or too few for a fit. The program's exit code is 0 then: tables of
        overlaps that are made before the images have such pairs, which must not end a workflow.
    """
    grid = template_grid(template_file)
    found = subtract(input_file1, input_file2, output_file, grid, noAreas)
    return fitted(found.values, grid.subgrid(found.window), output_file, border=border)


def mConcatFit(tblfile: str, fitfile: str, statdir: str, debug: int = 0) -> dict[str, Any]:
    """Gather what jobs of mDiffFit or mFitplane answered into a table of fits.

    Parameters
    ----------
    tblfile
        Table of the answers: ``cntr1``, ``cntr2``, and the name of the file, ``stat`` (of the programs' ``-s``).
    fitfile
        The table of fits that is written.
    statdir
        Folder of the answers.
    debug
        Not used.

    Returns
    -------
    dict
        "count" of the answers, "failed" of those that tell no fit, as of pairs that have no pixel in common (the log
        names them), "missing" of those that are not there, and "warning" of those that are one.
    """
    rows = read_rows(tblfile, {"cntr1": int, "cntr2": int, "stat": str}, "Invalid statfiles metadata file: {}")
    check_folder(statdir)
    paths = [Path(statdir, row["stat"]) for row in rows]
    there = [path.is_file() for path in paths]
    some = [row for row, is_there in zip(rows, there, strict=True) if is_there]
    fits = [_answered(path) for path, is_there in zip(paths, there, strict=True) if is_there]
    write_fits(fitfile, some, fits)
    warned = [isinstance(fit, Failed) and fit.reason.startswith("WARNING") for fit in fits]
    failed = tell("mConcatFit", [(row["stat"], fit) for row, fit in zip(some, fits, strict=True)])
    return {
        "count": len(rows),
        "failed": failed - sum(warned),
        "missing": len(rows) - len(some),
        "warning": sum(warned),
    }


def _answered(path: Path) -> dict[str, Any] | Failed:
    """The fit that a file tells, or why it tells none."""
    try:
        told = told_in(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    if told.get("stat") != "OK":
        return Failed(f"{told.get('stat', 'no answer')}: {told.get('msg', 'none')}")
    try:
        return {name: kind(told[name]) for name, kind in FIT_COLUMNS.items()}
    except (KeyError, ValueError) as error:
        return Failed(f"it tells no fit: {error}")
