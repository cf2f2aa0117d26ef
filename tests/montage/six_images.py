"""Images on one grid, as Montage's projection leaves them: a known sky, a known plane in each, areas, a table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from dmontage.grid import Grid
from dmontage.montage.tables import write_rows
from dmontage.window import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

GRID = Grid.around("10.0 20.0", shape=(150, 190), scale="1 arcsec", frame="fk5")
"""2 rows of 3 images of 70 x 60 pixels on it, 10 pixels of overlap."""
SIDES = (70, 60)
FIRST = [(y, x) for y in (5, 65) for x in (3, 53, 103)]
"""First row and column of each image."""
OMEGA = (np.pi / 180 / 3600) ** 2


@dataclass(frozen=True)
class Scene:
    """Six images in files."""

    folder: Path
    planes: Floats
    """(6, 3) a, b, c of what was added to each, about CRPIX, in pixels from zero."""

    def path(self, name: str) -> str:
        return str(self.folder / name)

    @property
    def proj(self) -> str:
        return self.path("proj")

    @property
    def table(self) -> str:
        return self.path("proj.tbl")

    @property
    def template(self) -> str:
        return self.path("region.hdr")


def sky() -> Floats:
    """Waves, and a bright star in an overlap."""
    y, x = np.indices(GRID.shape)
    return np.asarray(50 + 3 * np.sin(x / 40) * np.cos(y / 50) + 2000 * np.exp(-((x - 58) ** 2 + (y - 40) ** 2) / 8))


def at(window: Window) -> tuple[Floats, Floats]:
    """Montage's x, y of the pixels of a window of the grid."""
    y, x = np.mgrid[window.y0 : window.y1, window.x0 : window.x1]
    header = GRID.to_header()
    return x - header["CRPIX1"], y - header["CRPIX2"]


def write_pair(path: Path, values: Floats, grid: Grid, area: Floats | float | None) -> None:
    """x.fits, and x_area.fits of areas in parts of a pixel."""
    header = grid.to_header()
    fits.writeto(path, values, header, overwrite=True)
    if area is not None:
        areas = np.broadcast_to(np.asarray(area, float), values.shape) * OMEGA
        fits.writeto(path.with_name(f"{path.stem}_area.fits"), areas, header, overwrite=True)


def write_table(path: Path, grids: dict[str, Grid], locked: int | None = None) -> None:
    """An image table, with the columns that Montage's programs need."""
    columns: dict[str, type] = {
        "cntr": int, "naxis1": int, "naxis2": int, "ctype1": str, "ctype2": str, "crpix1": float, "crpix2": float,
        "crval1": float, "crval2": float, "cdelt1": float, "cdelt2": float, "crota2": float, "equinox": float,
        "ra1": float, "dec1": float, "ra2": float, "dec2": float, "ra3": float, "dec3": float, "ra4": float,
        "dec4": float, "hdu": int, "fname": str,
    }  # fmt: skip
    rows: list[list[Any]] = []
    for k, (name, grid) in enumerate(grids.items()):
        header, (ny, nx) = grid.to_header(), grid.shape
        corners = grid.wcs().all_pix2world([(-0.5, -0.5), (nx - 0.5, -0.5), (nx - 0.5, ny - 0.5), (-0.5, ny - 0.5)], 0)
        cards = [header[key] for key in ("CTYPE1", "CTYPE2", "CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2")]
        delt = [header["CDELT1"], header["CDELT2"]]
        angle = np.degrees(np.arctan2(header.get("PC2_1", 0.0), header.get("PC1_1", 1.0)))
        rows.append([k, nx, ny, *cards, *delt, angle, 2000.0, *corners.ravel().tolist(), 0, name])
    if locked is not None:
        columns["locked"] = int
        rows = [[*row, int(k == locked)] for k, row in enumerate(rows)]
    write_rows(str(path), columns, rows)


def make(
    folder: Path, noise: float = 1.0, slopes: float = 0.02, levels: float = 20.0, rims: float = 0.4, seed: int = 1
) -> Scene:
    """The scene in a folder, with folders diff and corr; `rims` is the area of the images' outermost pixels."""
    rng = np.random.default_rng(seed)
    planes = np.column_stack([rng.normal(0, slopes, (6, 2)), rng.normal(0, levels, 6)])
    for name in ("proj", "diff", "corr"):
        (folder / name).mkdir()
    (folder / "region.hdr").write_text(GRID.to_template())
    whole, grids = sky(), {}
    for k, ((y, x), (a, b, c)) in enumerate(zip(FIRST, planes.tolist(), strict=True)):
        window = Window(y, y + SIDES[0], x, x + SIDES[1])
        grids[f"im{k}.fits"] = GRID.subgrid(window)
        across, up = at(window)
        values = whole[window.slices] + a * across + b * up + c + rng.normal(0, noise or 1, SIDES) * (noise > 0)
        area = np.ones(SIDES)
        area[0] = area[-1] = area[:, 0] = area[:, -1] = rims
        write_pair(folder / "proj" / f"im{k}.fits", values, grids[f"im{k}.fits"], area)
    write_table(folder / "proj.tbl", grids)
    return Scene(folder, planes)
