"""mDiffExec, mFitExec, mDiffFitExec: the differences of all overlapping pairs, and the planes through them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dmontage.errors import InputError
from dmontage.montage.diff import Side, difference_of
from dmontage.montage.each import Failed, absolute, check_folder, each, tell
from dmontage.montage.fitplane import FIT_COLUMNS, fitted, mFitplane
from dmontage.montage.inputs import template_grid
from dmontage.montage.tables import read_rows, write_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dmontage.grid import Grid

__all__ = ["mDiffExec", "mDiffFitExec", "mFitExec", "write_fits"]

_NUMBERS: dict[str, type] = {"cntr1": int, "cntr2": int}
_NAMES: dict[str, type] = {"plus": str, "minus": str, "diff": str}
_INVALID_DIFFS = "Invalid diffs metadata file: {}"


def mDiffExec(
    path: str, difffile: str, template: str, diffdir: str = "./", noAreas: bool = False, debug: int = 0
) -> dict[str, Any]:
    """Write the differences of all pairs of a table.

    Parameters
    ----------
    path
        Folder of the images.
    difffile
        Table of the pairs, by mOverlaps.
    template
        The grid that the images lie on.
    diffdir
        Folder for the differences.
    noAreas
        Neither read nor write area files.
    debug
        Not used.

    Returns
    -------
    dict
        "count" of the pairs, and "failed" of those without a difference (the log names them).
    """
    rows = read_rows(difffile, _NAMES, "Invalid image difference list file: {}")
    grid = template_grid(template)
    check_folder(diffdir)
    jobs = _jobs(path, rows, grid, noAreas)
    results = each(_write_difference, [(job, grid, absolute(diffdir, row["diff"]), noAreas)
                                       for job, row in zip(jobs, rows, strict=True)])  # fmt: skip
    return {"count": len(rows), "failed": tell("mDiffExec", _named(rows, results))}


def mFitExec(
    tblfile: str, fitfile: str, diffdir: str = "./", levelOnly: bool = False, debug: int = 0
) -> dict[str, Any]:
    """Fit planes to all differences of a table.

    Parameters
    ----------
    tblfile
        Table of the pairs, by mOverlaps.
    fitfile
        The table of fits that is written.
    diffdir
        Folder of the differences.
    levelOnly
        Levels, no slopes.
    debug
        Not used.

    Returns
    -------
    dict
        "count" of the pairs, "failed" of those that no plane could be fitted to, "warning" (0), and "missing" of those
        whose difference is not there.
    """
    rows = read_rows(tblfile, _NUMBERS | {"diff": str}, _INVALID_DIFFS)
    there = [(row, absolute(diffdir, row["diff"])) for row in rows]
    there = [(row, path) for row, path in there if Path(path).is_file()]
    fits = each(mFitplane, [(path, False, levelOnly) for _, path in there])
    some = [row for row, _ in there]
    write_fits(fitfile, some, fits)
    failed = tell("mFitExec", _named(some, fits))
    return {"count": len(rows), "failed": failed, "warning": 0, "missing": len(rows) - len(there)}


def mDiffFitExec(
    path: str,
    tblfile: str,
    template: str,
    diffdir: str,
    fitfile: str,
    keepAll: bool = False,
    levelOnly: bool = False,
    noAreas: bool = False,
    archive: str = "",
    debug: int = 0,
) -> dict[str, Any]:
    """Fit planes to the differences of all pairs of a table; differences stay in memory unless they are to be kept.

    Parameters
    ----------
    path
        Folder of the images.
    tblfile
        Table of the pairs, by mOverlaps.
    template
        The grid that the images lie on.
    diffdir
        Folder for the differences, where they are kept.
    fitfile
        The table of fits that is written.
    keepAll
        Write the differences, too.
    levelOnly
        Levels, no slopes.
    noAreas
        Neither read nor write area files.
    archive
        Not supported: images are read where they are.
    debug
        Not used.

    Returns
    -------
    dict
        "count" of the pairs, "diff_failed" of those without a difference, "fit_failed" of those that no plane could be
        fitted to, and "warning" (0); the log names what failed.
    """
    if archive:
        raise InputError(f"archive {archive!r}: differences are not sent to an archive; leave it empty")
    rows = read_rows(tblfile, _NUMBERS | _NAMES, _INVALID_DIFFS)
    grid = template_grid(template)
    if keepAll:
        check_folder(diffdir)
    keep = [absolute(diffdir, row["diff"]) if keepAll else "" for row in rows]
    jobs = _jobs(path, rows, grid, noAreas)
    results = each(_fit_difference, [(job, grid, name, noAreas, levelOnly)
                                     for job, name in zip(jobs, keep, strict=True)])  # fmt: skip
    fits = [found.fit if isinstance(found, _Fitted) else found for found in results]
    no_diff = sum(isinstance(found, Failed) for found in results)
    no_fit = tell("mDiffFitExec", _named(rows, fits)) - no_diff  # all that failed is among the fits, too
    write_fits(fitfile, rows, fits)
    return {"count": len(rows), "diff_failed": no_diff, "fit_failed": no_fit, "warning": 0}


class _Fitted(NamedTuple):
    """The fit to a difference that there is, or why there is none."""

    fit: dict[str, Any] | Failed


Job = tuple[Side, Side] | Failed


def _jobs(path: str, rows: Sequence[dict[str, Any]], grid: Grid, no_areas: bool) -> list[Job]:
    """The two sides of each pair, or why there are none; each image is looked at once."""
    names = sorted({row[end] for row in rows for end in ("plus", "minus")})
    found = each(_side, [(absolute(path, name), grid, no_areas) for name in names])
    sides: dict[str, Side | Failed] = dict(zip(names, found, strict=True))
    return [_job(sides[row["plus"]], sides[row["minus"]]) for row in rows]


def _job(plus: Side | Failed, minus: Side | Failed) -> Job:
    if isinstance(plus, Failed):
        return plus
    return minus if isinstance(minus, Failed) else (plus, minus)


def _side(path: str, grid: Grid, no_areas: bool) -> Side:
    """Task: an image on the grid."""
    return Side.of(path, grid, no_areas)


def _write_difference(job: Job, grid: Grid, path: str, no_areas: bool) -> None:
    """Task: the difference of a pair into a file."""
    if isinstance(job, Failed):
        raise InputError(job.reason)
    difference_of(*job, grid).write(path, grid, no_areas)


def _fit_difference(job: Job, grid: Grid, path: str, no_areas: bool, level_only: bool) -> _Fitted:
    """Task: the fit to the difference of a pair, which is written if it has a name."""
    if isinstance(job, Failed):
        raise InputError(job.reason)
    found = difference_of(*job, grid)
    if path:
        found.write(path, grid, no_areas)
    name = f"the difference of {job[0].covered.image.name} and {job[1].covered.image.name}"
    try:
        return _Fitted(fitted(found.values, grid.subgrid(found.window), name, level_only=level_only))
    except InputError as error:
        return _Fitted(Failed(str(error)))


def _named(rows: Sequence[dict[str, Any]], results: Sequence[Any]) -> list[tuple[str, Any]]:
    return [(row["diff"], result) for row, result in zip(rows, results, strict=True)]


def write_fits(path: str, rows: Sequence[dict[str, Any]], fits: Sequence[dict[str, Any] | Failed]) -> None:
    """The table of fits, of those that there are."""
    lines = [
        (row["cntr1"], row["cntr2"], *(fit[name] for name in FIT_COLUMNS))
        for row, fit in zip(rows, fits, strict=True)
        if not isinstance(fit, Failed)
    ]
    write_rows(path, {"plus": int, "minus": int} | FIT_COLUMNS, lines)
