"""The rows of images of which only the pixels within a region are wanted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.coordinates import ICRS

from dmontage.montage.image_row import COLUMNS, CORNERS, CUBES, place_columns
from dmontage.montage.tables import write_rows
from dmontage.sphere import rotate_frame
from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dmontage.grid import Grid
    from dmontage.montage.regions import Region

__all__ = ["write_cutouts"]

_USUAL = COLUMNS | CUBES | CORNERS


def write_cutouts(path: str, rows: Sequence[dict[str, Any]], grids: Sequence[Grid], region: Region) -> None:
    """Write a table of images with sizes, reference pixels, middles and corners of their pixels within a region."""
    told = [row | _within(row, grid, region) for row, grid in zip(rows, grids, strict=True)]
    columns = {
        name: _USUAL.get(name) or next((type(row[name]) for row in told if row[name] is not None), str)
        for name in (told[0] if told else {"cntr": 0, "fname": ""})
    }
    write_rows(path, columns, [[row[name] for name in columns] for row in told])


def _within(row: dict[str, Any], grid: Grid, region: Region) -> dict[str, Any]:
    x, y = grid.pixel(rotate_frame(region.ring, ICRS(), grid.frame))
    (x0, x1), (y0, y1) = (_span(values, n) for values, n in ((x, grid.shape[1]), (y, grid.shape[0])))
    part = grid.subgrid(Window(y0, y1, x0, x1))
    new = {"naxis1": x1 - x0, "naxis2": y1 - y0, "crpix1": row["crpix1"] - x0, "crpix2": row["crpix2"] - y0}
    new |= place_columns(part)
    return {name: value for name, value in new.items() if name in row}


def _span(values: Any, n: int) -> tuple[int, int]:
    """First and behind the last pixel that is touched; all of them where the region's edge is not on the map."""
    if not np.isfinite(values).all():
        return 0, n
    first = min(max(math.floor(float(values.min()) + 0.5), 0), n - 1)
    return first, max(min(math.ceil(float(values.max()) + 0.5), n), first + 1)
