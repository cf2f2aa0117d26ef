"""mAdd: images on one pixel grid become one."""

from __future__ import annotations

import time
from functools import partial, reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmontage.aside import boot_of_machine
from dmontage.errors import InputError
from dmontage.fits_files import FitsWriter, check_writable
from dmontage.graph.drive import Call, name_of, run
from dmontage.graph.pairs import Made, Pair, Target, chunks_of, coadd_pairs
from dmontage.montage.covered import area_beside, area_name, nominal_card, nominal_of
from dmontage.montage.inputs import plane_in, template_grid
from dmontage.montage.same_pixels import pixel_shift
from dmontage.montage.tables import read_images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dmontage.grid import Grid
    from dmontage.montage.tables import ImageRow

__all__ = ["COADDS", "add_to_file", "check_outputs", "combine_of", "mAdd", "pairs_on"]

COADDS = ("mean", "median", "count", "sum")
"""Montage's numbers for them are their places."""


def mAdd(
    path: str,
    tblfile: str,
    template_file: str,
    outfile: str,
    shrink: bool = False,
    haveAreas: bool = True,
    coadd: int = 0,
    debug: int = 0,
) -> dict[str, Any]:
    """Combine images that lie on one pixel grid into a mosaic, ``x.fits`` with ``x_area.fits``.

    Runs on all cores, or on the dask cluster whose client is active; memory does not grow with the mosaic.

    Parameters
    ----------
    path
        Folder of the images.
    tblfile
        Table of the images, of mImgtbl.
    template_file
        Header template (``.hdr``) of the mosaic; the images' grids must be its grid, by whole pixels shifted.
    outfile
        The mosaic.
    shrink
        Only as much of the template as images reach.
    haveAreas
        Images weigh by their area files (``x_area.fits``); one without counts as covering its pixels wholly. False: all
        values weigh the same, and the area is their number. (MontagePy's own default is False.)
    coadd
        0: mean, weighted by area. 1: median of the values with an area above half a pixel's, or half of what a pixel
        has that drops or a fixed weight of mProject's cover well; an even number gives the mean of the two middle ones.
        2: number of values, negative ones too. 3: their sum, not weighted.
    debug
        Not used.

    Returns
    -------
    dict
        "time" in seconds; "noareas", how many images had no area file though they were to be used.

    Raises
    ------
    InputError
        For a table, template or image that cannot be used, images on another grid, and where none reaches the template.
    """
    started = time.monotonic()
    combine = combine_of(coadd)
    check_writable(outfile)
    grid = template_grid(template_file)
    pairs = pairs_on(grid, read_images(tblfile, path), haveAreas)
    if shrink:
        reached = reduce(or_, (pair.window & grid.window for pair in pairs))
        grid, pairs = grid.subgrid(reached), [p._replace(window=p.window.relative_to(reached)) for p in pairs]
    check_outputs([outfile], pairs)
    add_to_file(outfile, grid, pairs, combine, haveAreas)
    without = sum(pair.area is None for pair in pairs) if haveAreas else 0
    return {"time": time.monotonic() - started, "noareas": without}


def check_outputs(outfiles: Sequence[str], pairs: Sequence[Pair]) -> None:
    """InputError where a mosaic, or its area file, would take the place of what it is made of."""
    inputs = {Path(ref.path).resolve() for pair in pairs for ref in (pair.image, pair.area) if ref is not None}
    for path in (path for outfile in outfiles for path in (outfile, area_name(outfile))):
        if Path(path).resolve() in inputs:
            raise InputError(
                f"cannot write {path}: it is one of the images, or an area file of theirs; name another file"
            )


def combine_of(coadd: int) -> str:
    """The way to combine images by Montage's number; InputError for another one."""
    if coadd not in range(len(COADDS)):
        raise InputError(f"coadd is {coadd!r}; give {', '.join(f'{k} ({name})' for k, name in enumerate(COADDS))}")
    return COADDS[coadd]


def pairs_on(grid: Grid, rows: Sequence[ImageRow], areas: bool) -> list[Pair]:
    """The images of a table that reach a grid, in the order of their names.

    Raises
    ------
    InputError
        Where one is no image or on another grid, or none reaches it.
    """
    pairs = []
    for row in rows:
        image = plane_in(row.path, row.hdu)
        window = image.grid.window.shift(*pixel_shift(grid, image.grid, row.name))
        if window & grid.window:
            has_area = areas and Path(area_name(row.path)).is_file()
            area = area_beside(row.path, image) if has_area else None
            pairs.append(Pair(image, area, window, nominal_of(area) if area else 1.0))
    if not pairs:
        raise InputError(f"No overlap: none of {len(rows)} images reaches the template")
    return sorted(pairs, key=lambda pair: pair.image.order)


def add_to_file(outfile: str, grid: Grid, pairs: Sequence[Pair], combine: str, areas: bool) -> None:
    """Combine pairs into a mosaic's two files."""
    unit = _unit(pairs, combine)
    of_area = [("BUNIT", "sr", ""), *nominal_card(min(pair.nominal for pair in pairs))] if areas else []
    with (
        FitsWriter(outfile, grid, unit, wide=True) as values,
        FitsWriter(area_name(outfile), grid, of_area, wide=True) as weights,
    ):
        target = Target(grid, combine, areas, values.pixels, weights.pixels, boot_of_machine())
        calls = []
        for window, inside in chunks_of(grid.shape, [pair.window for pair in pairs], combine):
            reach = [pairs[k] for k in inside]
            calls.append(Call(f"madd-{name_of(window, reach, target)}", coadd_pairs, (window, reach, target)))
        run(calls, collect=partial(_collect, (values, weights)))


def _collect(writers: tuple[FitsWriter, FitsWriter], made: Made) -> None:
    for k, writer in enumerate(writers):
        if made.layers:
            writer.write(made.window, made.layers[k])
        else:
            writer.note(made.blocks[k])
    made.layers.clear()  # results are kept to the end of the run


def _unit(pairs: Sequence[Pair], combine: str) -> list[tuple[str, Any, str]]:
    """The images' own unit, where all have the same."""
    units = {pair.image.bunit for pair in pairs}
    return [("BUNIT", units.pop(), "")] if combine != "count" and len(units) == 1 and units != {""} else []
