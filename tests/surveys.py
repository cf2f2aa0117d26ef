"""Small surveys of FITS files for the tests of the upper layers: a known sky, planes, noise, in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from dmontage.demo.judge_background import Blocks, measure_blocks
from dmontage.demo.sky import pixel_arcsec
from dmontage.demo.truth import Truth
from dmontage.grid import Grid
from dmontage.pipeline import Mosaic

Floats = NDArray[np.float64]

RA, DEC = 83.8, -5.4
SCALE = 2.0  # arcsec
SHAPE = (80, 100)


class Survey(NamedTuple):
    """Files of one survey, and what was put into them."""

    folder: Path
    paths: tuple[Path, ...]
    planes: Floats
    """(n, 3) level at the image's middle, slope_x, slope_y per pixel."""
    grid: Grid
    """North up about the middle; holds every image."""


def image_header(
    dx: float = 0.0, dy: float = 0.0, *, rotation: float = 0.0, shape: tuple[int, int] = SHAPE, scale: float = SCALE
) -> fits.Header:
    """A TAN image whose centre lies ``dx``, ``dy`` pixels (of ``SCALE``) from the field's, along -RA and +Dec."""
    ny, nx = shape
    ra = RA - dx * SCALE / 3600 / np.cos(np.radians(DEC))
    cards = {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": ra, "CRVAL2": DEC + dy * SCALE / 3600,
        "CRPIX1": (nx + 1) / 2, "CRPIX2": (ny + 1) / 2, "CDELT1": -scale / 3600, "CDELT2": scale / 3600,
        "CROTA2": rotation, "BUNIT": "MJy/sr",
    }  # fmt: skip
    return fits.Header(cards.items())


def write_image(path: Path, data: NDArray[Any], header: fits.Header | None = None, **cards: Any) -> Path:
    """An image file; further cards replace those of the header."""
    full = image_header(shape=(data.shape[-2], data.shape[-1])) if header is None else header.copy()
    full.update(cards)
    path.parent.mkdir(exist_ok=True)
    fits.PrimaryHDU(data, full).writeto(path, overwrite=True)
    return path


def damage(path: Path) -> Path:
    """Replace an image by a compressed one whose headers are well and whose first tile is said to lie past its end."""
    with fits.open(path) as hdus:
        packed = fits.CompImageHDU(hdus[0].data, hdus[0].header, compression_type="GZIP_1", quantize_level=0)
    bad = path.with_name(f"{path.name}.fz")
    packed.writeto(bad)
    with fits.open(bad) as hdus:
        start = hdus[1].fileinfo()["datLoc"]
    data = bytearray(bad.read_bytes())
    data[start + 4 : start + 8] = (2**30).to_bytes(4)
    bad.write_bytes(data)
    path.unlink()
    return bad


def field_grid(size: int = 320, scale: float = SCALE) -> Grid:
    """A square TAN grid about the field's centre."""
    return Grid.from_header(image_header(shape=(size, size), scale=scale), shape=(size, size))


def make_survey(
    folder: Path, seed: int = 0, *, noise: float = 1.0, spread: float = 20.0, layout: tuple[int, int] = (2, 3)
) -> Survey:
    """``layout`` (rows, columns) images of ``SHAPE``, 20 % shared, each turned a little and with a plane of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    rows, columns = layout
    ny, nx = SHAPE
    x, y = np.arange(nx) - (nx - 1) / 2, (np.arange(ny) - (ny - 1) / 2)[:, None]
    paths, planes = [], []
    for k in range(rows * columns):
        dy, dx = 64 * (k // columns - (rows - 1) / 2), 80 * (k % columns - (columns - 1) / 2)
        plane = spread * rng.uniform(-1, 1, 3) / [1, nx, ny]
        data = 100 + plane[0] + plane[1] * x + plane[2] * y + noise * rng.standard_normal(SHAPE)
        jitter = rng.uniform(-1, 1, 3)
        header = image_header(dx + jitter[0], dy + jitter[1], rotation=0.5 * jitter[2])
        paths.append(write_image(folder / f"image{k:02d}.fits", data.astype(np.float32), header))
        planes.append(plane)
    return Survey(folder, tuple(paths), np.array(planes), field_grid())


def blocks_of(mosaic: Mosaic, truth: Truth, side: int) -> Blocks:
    """What the judge measures of the blocks of a simulated survey's mosaic."""
    wcs = mosaic.grid.wcs()
    scale = pixel_arcsec(wcs)
    return measure_blocks(mosaic.compute().data, wcs, truth, np.hypot(truth.seeing, scale / 2) / scale, scale, side)
