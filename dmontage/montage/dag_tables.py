"""mDAGTbls: the tables of a workflow, before any of its images is there."""

from __future__ import annotations

import re
from functools import reduce
from operator import or_
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from dmontage.model import Drop
from dmontage.montage.each import check_apart
from dmontage.montage.image_row import linear
from dmontage.montage.inputs import template_grid
from dmontage.montage.reprojecting import reach
from dmontage.montage.tables import grid_of_row, read_images, write_tables

if TYPE_CHECKING:
    from dmontage.grid import Grid

__all__ = ["mDAGTbls"]

_COLUMNS: dict[str, type] = {
    "cntr": int, "ctype1": str, "ctype2": str, "naxis1": int, "naxis2": int, "crval1": float, "crval2": float,
    "crpix1": float, "crpix2": float, "cdelt1": float, "cdelt2": float, "crota2": float, "equinox": float,
    "radesys": str, "file": str,
}  # fmt: skip
_PACKED = re.compile(r"\.(gz|z|bz2|fz|zip)$", re.IGNORECASE)


def mDAGTbls(
    tblfile: str, template_file: str, rawtbl: str, projtbl: str, corrtbl: str, debug: int = 0
) -> dict[str, int]:
    """Make the tables that plan a mosaic: of images that reach it, of these projected, and of these corrected.

    Parameters
    ----------
    tblfile
        Table of images that there are, by their WCS; names in ``fname``, or ``file`` as archives have it.
    template_file
        The template that they will be projected with.
    rawtbl
        The images that reach the template, by their own WCS, unpacked (``x.fits`` of ``x.fits.gz``), in ``file``.
    projtbl, corrtbl
        The same projected, ``px.fits``, and corrected, ``cx.fits``: their window of the template, by its WCS. Blank
        pixels may leave less of it, which ``mImgtbl`` tells when they are there.
    debug
        Not used.

    Returns
    -------
    dict
        "count" of the images that reach the template, and "total" of those in the table.

    Raises
    ------
    InputError
        Where the table or the template cannot be used, two images would have one name, or a table cannot be written:
        then none is.
    """
    template = template_grid(template_file)
    images = read_images(tblfile)
    reaching = []
    for image in images:
        name = _PACKED.sub("", image.name)
        grid = grid_of_row(image.row, tblfile)
        way = reach(grid, template, name, Drop())
        if way is not None:
            reaching.append(_Reaching(image.cntr, name, grid, template.subgrid(reduce(or_, way[1]))))
    check_apart((f"image {one.cntr} ({one.name})", one.own("p")) for one in reaching)
    raw = [_line(one.cntr, one.grid, one.name) for one in reaching]
    projected, corrected = ([_line(one.cntr, one.projected, one.own(letter)) for one in reaching] for letter in "pc")
    write_tables([(rawtbl, _COLUMNS, raw), (projtbl, _COLUMNS, projected), (corrtbl, _COLUMNS, corrected)])
    return {"count": len(reaching), "total": len(images)}


class _Reaching(NamedTuple):
    """An image that reaches the template."""

    cntr: int
    name: str
    grid: Grid
    projected: Grid

    def own(self, letter: str) -> str:
        """Its name when it is projected, or corrected."""
        return letter + PurePath(self.name).name


def _line(cntr: int, grid: Grid, name: str) -> list[Any]:
    ny, nx = grid.shape
    row = linear(grid) | {"cntr": cntr, "naxis1": nx, "naxis2": ny, "file": name}
    return [row[column] for column in _COLUMNS]
