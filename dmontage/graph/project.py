"""Project: rows of the store from images (level 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.errors import InputError
from dmontage.fits_files import read
from dmontage.graph.units import brightness_of
from dmontage.grid import Grid
from dmontage.kernels.plane import TILE, project_plane
from dmontage.kernels.sky import BLOCK, project_sky
from dmontage.mapping import Mapping
from dmontage.model import ImageRef
from dmontage.planner import Footprint
from dmontage.sphere import rotate_frame
from dmontage.store import Store
from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["project", "project_rows", "row_from_table", "row_table"]

_BAND = 4 * TILE
"""Rows of the input whose corners are evaluated at once: 2 MB of corners at 512 columns, still in cache when used."""

_SKY_CORNERS = 2**21
"""Corners of the input on the sphere at once: 50 MB, and some times that while the WCS makes them."""


def project(
    values: NDArray[Any], grid_in: Grid, grid_out: Grid, window: Window, mapping: Mapping, method: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Project an image onto a window of the mosaic grid.

    Parameters
    ----------
    values
        (ny, nx) pixels of ``grid_in``.
    window
        Part of ``grid_out`` to fill; the numbers in it do not depend on its size (on the sphere but for 1e-15, since
        the output's own solid angles are summed per block of the window: rows are always projected whole).
    mapping, method
        As the plan has them.

    Returns
    -------
    flux, area
        (my, mx) float64: Σ value·overlap and Σ overlap, overlap being the part of the output pixel.
    lost
        Pixels with a value but with an undefined corner.
    """
    flux = np.zeros(window.shape)
    area = np.zeros(window.shape)
    if method == "plane":
        return flux, area, _on_plane(values, mapping, window, flux, area)
    return flux, area, _on_sky(values, grid_in, grid_out, mapping, window, flux, area)


def _on_sky(
    values: NDArray[Any],
    grid_in: Grid,
    grid_out: Grid,
    mapping: Mapping,
    window: Window,
    flux: NDArray[np.float64],
    area: NDArray[np.float64],
) -> int:
    sub = mapping.sub_in
    corners_out = grid_out.corners(window, mapping.sub_out)
    # Bands are whole blocks of the kernel, so that they change no bit.
    rows = max(_SKY_CORNERS // (grid_in.shape[1] * sub**2) // BLOCK, 1) * BLOCK
    lost = 0
    for y0 in range(0, grid_in.shape[0], rows):
        band = Window(y0, min(y0 + rows, grid_in.shape[0]), 0, grid_in.shape[1])
        corners_in = rotate_frame(grid_in.corners(band, sub), grid_in.frame, grid_out.frame)
        lost += project_sky(values[band.slices], corners_in, corners_out, flux, area, sub, mapping.sub_out)
    return lost


def _on_plane(
    values: NDArray[Any], mapping: Mapping, window: Window, flux: NDArray[np.float64], area: NDArray[np.float64]
) -> int:
    lost = 0
    for patch in mapping.patches:
        # A tile's buffers hold its output: smaller tiles where an input pixel spans many output pixels.
        tile = int(np.clip(TILE / max(patch.pixel_ratio, 1.0), 1, TILE))
        w = patch.window
        for y0 in range(w.y0, w.y1, _BAND):
            band = Window(y0, min(y0 + _BAND, w.y1), w.x0, w.x1)
            x_out, y_out = patch.corners(band)
            if not (
                np.nanmax(y_out) < window.y0 - 0.5
                or np.nanmin(y_out) > window.y1 - 0.5
                or np.nanmax(x_out) < window.x0 - 0.5
                or np.nanmin(x_out) > window.x1 - 0.5
            ):
                lost += project_plane(values[band.slices], x_out, y_out, flux, area, window.y0, window.x0, tile)
    return lost


def row_table(row: Footprint) -> dict[str, Any]:
    """A row as plain JSON values, so that a task needs nothing but its number."""
    image = row.image
    w = row.window
    return {
        "path": image.path,
        "hdu": image.hdu,
        "header": image.grid.header,
        "shape": image.grid.shape,
        "bunit": image.bunit,
        "size": image.size,
        "mtime_ns": image.mtime_ns,
        "window": [w.y0, w.y1, w.x0, w.x1],
        "mapping": row.mapping.to_dict(),
        "method": row.method,
    }


def row_from_table(table: dict[str, Any]) -> Footprint:
    """The inverse of `row_table`."""
    ny, nx = table["shape"]
    image = ImageRef(
        table["path"], table["hdu"], Grid(table["header"], (ny, nx)), table["bunit"], table["size"], table["mtime_ns"]
    )
    return Footprint(image, Window(*table["window"]), Mapping.from_dict(table["mapping"]), table["method"])


def project_rows(store_path: str, rows: Sequence[int]) -> list[dict[str, Any]]:
    """Task: project some images into their rows; what is done and still true is left alone.

    Returns
    -------
    list of dict
        A receipt per row: "row", "lost" (pixels with a value but an undefined corner), "reused" (the store had it), and
        "error" where the file's data are bad.
    """
    store = Store.open(store_path)
    attributes = store.attributes
    ny, nx = attributes["shape"]
    grid_out = Grid(attributes["grid"], (ny, nx))
    receipts = []
    for number, table in zip(rows, store.table(rows), strict=True):
        row = row_from_table(table)
        lost = store.done(number, row.digest)
        receipt: dict[str, Any] = {"row": number, "lost": lost or 0, "reused": lost is not None}
        if lost is None:
            try:
                values = read(row.image)
            except InputError as error:
                receipt["error"] = str(error)
            else:
                if attributes["unit"] == "flux_per_pixel":
                    values = brightness_of(values, row.image.grid, grid_out)
                flux, area, lost = project(values, row.image.grid, grid_out, row.window, row.mapping, row.method)
                receipt["lost"] = lost
                store.write_row(number, flux, area, row.digest, lost)
        receipts.append(receipt)
    return receipts
