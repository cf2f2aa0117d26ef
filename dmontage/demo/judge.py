"""The judge: measures a mosaic of a simulated survey against its truth, each figure with a limit an astronomer defends.

`judge_background` measures cover, flatness, seams and emission, and `judge_stars` photometry and astrometry; each
opens with its limits. ``noise`` is the σ of a raw pixel of 1 square arcsec, so n square arcsec of sky seen once have
the noise ``noise·√n`` however they were resampled; where images overlap it is less. All lengths are arcsec, positions
degrees.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from dmontage.demo.judge_background import check_background, check_cover, measure_blocks
from dmontage.demo.judge_stars import check_stars, measure_stars
from dmontage.demo.sky import pixel_area
from dmontage.demo.verdict import Verdict
from dmontage.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from dmontage.demo.truth import Truth

    Pixels = NDArray[np.floating[Any]]

__all__ = ["judge"]


def judge(mosaic_path: str | Path, truth: Truth) -> Verdict:
    """Measure a mosaic against the truth of its survey.

    Parameters
    ----------
    mosaic_path
        FITS file whose first image is the mosaic: surface brightness in counts per raw pixel, blank NaN, any
        celestial WCS with nearly square pixels.
    truth
        As ``simulate`` returned it, or ``Truth.load`` read it.

    Returns
    -------
    Verdict
        What was measured, beside its limits; print it.

    Raises
    ------
    InputError
        No celestial image in the file, or too little of the simulated field on it.
    """
    with _open(mosaic_path) as hdus:
        data, wcs = _mosaic(hdus, mosaic_path)
        scale = math.sqrt(pixel_area(wcs, *wcs.all_world2pix(truth.ra, truth.dec, 0)))
        if not math.isfinite(scale):
            raise InputError(f"the simulated field is not on the map of {mosaic_path}; give a mosaic of that survey")
        # Resampling spreads a star by about half a pixel, in quadrature.
        sigma = math.hypot(truth.seeing, 0.5 * scale)
        blocks = measure_blocks(data, wcs, truth, sigma / scale, scale)
        stars = measure_stars(data, wcs, truth, sigma, scale)
    checks = [
        check_cover(blocks, wcs, truth, scale),
        *check_background(blocks, truth, scale),
        *check_stars(stars, scale),
    ]
    n_blocks = int(np.isfinite(blocks.residual).sum())
    return Verdict(str(mosaic_path), len(stars.ratio), n_blocks, tuple(checks))


def _open(path: str | Path) -> fits.HDUList:
    try:
        return fits.open(path, memmap=True)
    except OSError as error:
        raise InputError(f"{path} is not a FITS file that can be read ({error}); give the mosaic's own file") from error


def _mosaic(hdus: fits.HDUList, path: str | Path) -> tuple[Pixels, WCS]:
    for hdu in hdus:
        if hdu.is_image and hdu.header["NAXIS"] == 2 and (wcs := WCS(hdu.header)).has_celestial:
            return hdu.data, wcs
    raise InputError(f"{path} has no two-dimensional image with a celestial WCS; give the mosaic's FITS file")
