"""Every file of the real-image folders is projected right, or refused with a reason."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS
from dask.base import compute
from numpy.typing import NDArray
from reproject import reproject_exact

import dmontage as dm
from dmontage.fits_files import read, scan
from dmontage.grid import Grid
from dmontage.model import ImageRef
from dmontage.window import Window

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
FOLDERS = ("proj-1904-66/real", "odd-wcs", "decam-tpv", "compressed")
FILES = [path for folder in FOLDERS for path in sorted((DATA / folder).glob("*.fits*"))]
REFUSED = {"earth_healpix_gal.fits": "holds no image", "image_with_distortion_map.fits": "CTYPE1 is missing"}
"""What is no image of the sky, and the word that says so."""

pytestmark = pytest.mark.skipif(not FILES, reason="the real images are not at hand")


def middle(ref: ImageRef, side: int = 48) -> Window:
    """A box about the middle of an image."""
    ny, nx = ref.grid.shape
    return Window(ny // 2 - side // 2, ny // 2 + side // 2, nx // 2 - side // 2, nx // 2 + side // 2) & ref.grid.window


def by_reproject(ref: ImageRef, window: Window, pixels: NDArray[Any], grid: Grid) -> tuple[NDArray[Any], NDArray[Any]]:
    """The same by astropy's own WCS of the file and reproject_exact."""
    with fits.open(ref.path) as hdus, warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        header = hdus[ref.hdu].header
        if header.get("EQUINOX") == 0.0:  # none is known: astropy would take FK4 of the year 0, 24° away
            del header["EQUINOX"]
        cut = WCS(header, hdus).celestial[window.slices]
    return reproject_exact((pixels, cut), grid.wcs(), shape_out=grid.shape, parallel=False)  # type: ignore[no-any-return]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_is_projected_right_or_refused(path: Path) -> None:
    """C12: in the middle of each image, by both kernels where both apply, beside reproject_exact on astropy's WCS."""
    if path.name in REFUSED:
        with pytest.raises(dm.InputError, match=REFUSED[path.name]):
            scan(path)
        return
    for ref in scan(path):
        window = middle(ref)
        pixels = np.asarray(read(ref, window), np.float64)
        plane = pixels[(0,) * (pixels.ndim - 2)]
        grid = Grid.fit([ref.grid.subgrid(window)], scale=f"{1.17 * np.degrees(ref.grid.scale)} deg", rotation="11 deg")
        filled = np.where(np.isfinite(plane), plane, np.nanmedian(plane) if np.isfinite(plane).any() else 0.0)
        reference, footprint = by_reproject(ref, window, filled, grid)
        for method in ("auto", "sky"):
            lazy = dm.project((filled, ref.grid.subgrid(window)), grid, method=method)
            mean, area = compute(*lazy, scheduler="synchronous")
            both = (footprint > 0.99) & (area > 0.99)
            assert both.sum() > 100
            # An image that is off by 0.01 pixel differs by that part of what neighbours differ by.
            assert np.abs(mean - reference)[both].max() <= 0.01 * np.ptp(filled) + 1e-9


def test_compressed_images_are_the_plain_ones() -> None:
    """C28: the lossless one to the bit, the lossy ones to their quantisation, with the same WCS."""
    plain = scan(DATA / "compressed/m13.fits")[0]
    grid = Grid.fit([plain], rotation="20 deg")
    mean, area = compute(*dm.project(plain, grid), scheduler="synchronous")
    spread = np.nanstd(mean)
    for kind in ("gzip", "rice", "hcomp"):
        image = scan(DATA / f"compressed/m13_{kind}.fits")[0]
        other, other_area = compute(*dm.project(image, grid), scheduler="synchronous")
        np.testing.assert_array_equal(area, other_area)
        worst = np.nanmax(np.abs(other - mean))
        assert worst == 0 if np.array_equal(read(plain), read(image)) else worst < 0.05 * spread, kind
