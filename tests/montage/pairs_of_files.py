"""Images on one pixel grid, in files as Montage's programs hand them on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from dmontage.fits_files import write_image
from dmontage.grid import Grid
from dmontage.montage.tables import write_rows
from dmontage.window import Window

GRID = Grid.around("83.8 -5.4", scale="1 arcsec", shape=(150, 140), rotation="12 deg")
OMEGA = GRID.solid_angle(GRID.window)

COLUMNS = {
    "cntr": int, "naxis1": int, "naxis2": int, "ctype1": str, "ctype2": str, "crpix1": float, "crpix2": float,
    "crval1": float, "crval2": float, "cdelt1": float, "cdelt2": float, "crota2": float, "equinox": float, "hdu": int,
    "fname": str,
}  # fmt: skip


def write_template(folder: Path, grid: Grid = GRID) -> Path:
    path = folder / "t.hdr"
    path.write_text(grid.to_template())
    return path


def write_table(folder: Path, names: list[str], name: str = "images.tbl") -> Path:
    """What mImgtbl tells of files."""
    rows: list[list[Any]] = []
    for k, file in enumerate(names):
        header = fits.getheader(folder / file)
        told: dict[str, Any] = {key: header.get(key.upper()) for key in COLUMNS}
        told |= {"cntr": k, "hdu": 0, "fname": file, "equinox": 2000.0, "crota2": header.get("CROTA2", 0.0)}
        if told["cdelt1"] is None:  # of a CD or PC matrix
            told |= {"cdelt1": -1 / 3600, "cdelt2": 1 / 3600}
        rows.append([told[key] for key in COLUMNS])
    write_rows(str(folder / name), COLUMNS, rows)
    return folder / name


class Stack:
    """Random images in windows of the grid, with covered parts of their pixels; also as one array each."""

    def __init__(self, windows: list[Window], seed: int = 1, blank: float = 0.1) -> None:
        random = np.random.default_rng(seed)
        self.windows = windows
        self.values = np.full((len(windows), *GRID.shape), np.nan)
        self.areas = np.zeros_like(self.values)
        """Parts of pixels, 0 to 1."""
        for k, window in enumerate(windows):
            inside = window & GRID.window
            part = random.uniform(0.0, 1.0, inside.shape)
            part[random.uniform(size=inside.shape) < blank] = 0.0
            self.areas[k][inside.slices] = part
            self.values[k][inside.slices] = np.where(part > 0, random.normal(3.0, 10.0, inside.shape), np.nan)

    def write(self, folder: Path, areas: bool = True, names: str = "i{:02d}.fits") -> list[str]:
        folder.mkdir(exist_ok=True)
        files = []
        for k, window in enumerate(self.windows):
            grid = GRID.subgrid(window)
            name = names.format(k)
            write_image(folder / name, _cut(self.values[k], window, np.nan), grid, [("BUNIT", "MJy/sr")])
            if areas:
                covered = _cut(self.areas[k] * OMEGA, window, 0.0)
                write_image(folder / name.replace(".fits", "_area.fits"), covered, grid)
            files.append(name)
        return files


def _cut(whole: NDArray[np.float64], window: Window, outside: float) -> NDArray[np.float64]:
    """A window of an array, that may reach beyond it."""
    out = np.full(window.shape, outside)
    inside = window & GRID.window
    out[inside.relative_to(window).slices] = whole[inside.slices]
    return out
