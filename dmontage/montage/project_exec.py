"""mProjExec: the images of a table onto a template, on all cores or on the cluster that is there."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dmontage.errors import InputError
from dmontage.log import say
from dmontage.montage.covered import pair_of
from dmontage.montage.each import absolute, check_apart, each
from dmontage.montage.inputs import border_of, template_grid
from dmontage.montage.reprojecting import NO_OVERLAP, Asked, project_file
from dmontage.montage.tables import read_images, write_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dmontage.grid import Grid
    from dmontage.montage.tables import ImageRow

__all__ = ["mProjExec"]


def mProjExec(
    path: str,
    tblfile: str,
    template: str,
    projdir: str = "./",
    quickMode: bool = False,
    exact: bool = False,
    wholeImages: bool = False,
    energyMode: bool = False,
    drizzle: float = 0.0,
    border: str = "",
    scaleCol: str = "",
    weightCol: str = "",
    restart: int = 0,
    stats: str = "",
    debug: int = 0,
) -> dict[str, Any]:
    """Project the images of a table onto a template, each into ``hdu0_x.fits`` and ``hdu0_x_area.fits``.

    Parameters
    ----------
    path, tblfile
        Folder of the images, and their table (of mImgtbl).
    template
        Header of the output.
    projdir
        Folder for what is projected.
    quickMode, exact
        Not used: all are projected by exact overlap, whatever their projections and frames.
    wholeImages
        Let outputs reach beyond the template, to hold their images wholly.
    energyMode, border
        As for `mProject`.
    drizzle
        As for `mProject`; 0 is 1.
    scaleCol, weightCol
        Columns of the table with each image's fluxScale and fixedWeight.
    restart
        Row of the table to begin with, counted from 0.
    stats
        A table to write, with what became of each image and the seconds it took.
    debug
        Not used.

    Returns
    -------
    dict
        "count" images, of which "failed" and "nooverlap"; an image that fails is told in a warning, and in ``stats``.

    Raises
    ------
    InputError
        Where the table, the template or the folder cannot be used, or two images would have one name.
    """
    rows = read_images(tblfile, path)
    grid = template_grid(template)
    if not Path(projdir).is_dir():
        raise InputError(f"Output directory ({projdir}) does not exist: make it")
    if not (isinstance(restart, int) and 0 <= restart <= len(rows)):
        raise InputError(f"restart is {restart!r}: it counts the rows of {tblfile}, 0 to {len(rows)}")
    asked = Asked(border=border_of(border), drizzle=drizzle or 1.0, energy=energyMode, expand=wholeImages).checked()
    tasks = _tasks(rows, projdir, asked, (scaleCol, weightCol), tblfile)[restart:]
    done = each(_project, [(task, grid) for task in tasks])
    if stats:
        columns = {"fname": str, "time": float, "message": str}
        table = [(row.name, one.seconds, one.message or "OK") for row, one in zip(rows[restart:], done, strict=True)]
        write_rows(stats, columns, table)
    off = [one.message.startswith(NO_OVERLAP) for one in done]
    failed = [k for k, one in enumerate(done) if one.message and not off[k]]
    for k in failed:
        say("skipped", f"mProjExec: {tasks[k].path} is left out: {done[k].message}", logging.WARNING)
    return {"count": len(tasks), "failed": len(failed), "nooverlap": sum(off)}


class _Task(NamedTuple):
    """An image to project."""

    path: str
    output: str
    asked: Asked


class _Done(NamedTuple):
    """What became of it."""

    seconds: float
    message: str
    """Why it failed; empty where it did not."""


def _tasks(rows: Sequence[ImageRow], folder: str, asked: Asked, columns: tuple[str, str], table: str) -> list[_Task]:
    """A task for each row, with the scale and the weight of two columns; InputError where two would write one file."""
    scales, weights = (_column(rows, name, table) for name in columns)
    tasks = [
        _Task(
            absolute(row.path), _output(row, folder), asked._replace(hdu=row.hdu, flux_scale=scale, fixed_weight=weight)
        )
        for row, scale, weight in zip(rows, scales, weights, strict=True)
    ]
    check_apart(tasks)
    return tasks


def _project(task: _Task, grid: Grid) -> _Done:
    """Task: project one image."""
    start = time.perf_counter()
    try:
        project_file(task.path, task.output, grid, task.asked.checked(), threads=False)
    except InputError as error:
        return _Done(round(time.perf_counter() - start, 3), " ".join(str(error).split()))
    return _Done(round(time.perf_counter() - start, 3), "")


def _column(rows: Sequence[ImageRow], name: str, table: str) -> list[float]:
    """Numbers of a column, 1 for each row where none is named."""
    if not name:
        return [1.0] * len(rows)
    if rows and name.lower() not in rows[0].row:
        raise InputError(f"Need column {name} in input: {table} has {', '.join(rows[0].row)}")
    try:
        return [float(row.row[name.lower()]) for row in rows]
    except (TypeError, ValueError) as error:
        raise InputError(f"{table}: column {name} must hold numbers in all rows: {error}") from error


def _output(row: ImageRow, folder: str) -> str:
    """Where an image goes, absolute."""
    name = Path(row.name).name
    return pair_of(absolute(folder, name if row.row.get("hdu") is None else f"hdu{row.hdu}_{name}"))[0]
