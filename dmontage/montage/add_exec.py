"""mAddExec: a mosaic in tiles."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmontage.aside import make_folder
from dmontage.errors import InputError
from dmontage.montage.add import add_to_file, check_outputs, combine_of, pairs_on
from dmontage.montage.inputs import template_grid
from dmontage.montage.tables import read_images
from dmontage.montage.templates import write_template
from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["mAddExec"]


def mAddExec(
    path: str,
    tblfile: str,
    template_file: str,
    tiledir: str,
    outfile: str,
    xsize: int = 0,
    ysize: int = 0,
    xoverlap: int = 0,
    yoverlap: int = 0,
    haveAreas: bool = True,
    coadd: int = 0,
    debug: int = 0,
) -> dict[str, Any]:
    """Combine images as mAdd does, into tiles ``x_0_0.fits`` (column and row from 0), each with ``_area`` and ``.hdr``.

    MontagePy has no such function; its arguments are those of the program of that name.

    Parameters
    ----------
    path, tblfile, template_file, haveAreas, coadd, debug
        As for `mAdd`.
    tiledir
        Folder of the tiles; it is made if need be.
    outfile
        Their name, ``x.fits`` or ``x``.
    xsize, ysize
        Pixels of a tile; 0: all of that axis.
    xoverlap, yoverlap
        Pixels by which a tile is larger on each side, as far as the template goes.

    Returns
    -------
    dict
        "count" of the tiles that were written, "nooverlap" of those that no image reaches, which are not, "time".
    """
    started = time.monotonic()
    sides = xsize, ysize, xoverlap, yoverlap
    if min(sides) < 0:
        raise InputError(f"sizes and overlaps of tiles are {sides}; give 0 or more pixels")
    combine = combine_of(coadd)
    grid = template_grid(template_file)
    pairs = pairs_on(grid, read_images(tblfile, path), haveAreas)
    folder, stem = Path(tiledir), Path(outfile).name.removesuffix(".fits")
    make_folder(folder)
    tiles = [(folder / f"{stem}_{column}_{row}.fits", tile) for column, row, tile in _tiles(grid.window, sides)]
    check_outputs([str(there) for there, _ in tiles], pairs)
    count = empty = 0
    for there, tile in tiles:
        inside = [pair._replace(window=pair.window.relative_to(tile)) for pair in pairs if pair.window & tile]
        if not inside:
            empty += 1
            continue
        own = grid.subgrid(tile)
        write_template(str(there.with_suffix(".hdr")), own.to_template())
        add_to_file(str(there), own, inside, combine, haveAreas)
        count += 1
    return {"count": count, "nooverlap": empty, "time": time.monotonic() - started}


def _tiles(whole: Window, sides: tuple[int, int, int, int]) -> Iterator[tuple[int, int, Window]]:
    """Column and row of each tile, and its pixels."""
    nx, ny = sides[0] or whole.x1, sides[1] or whole.y1
    for (row, column), tile in whole.blocks((ny, nx)):
        wide = Window(tile.y0 - sides[3], tile.y1 + sides[3], tile.x0 - sides[2], tile.x1 + sides[2])
        yield column, row, wide & whole
