"""The true sky on a grid of pixels: stars integrated over each pixel, nebulae by a spline (level 6).

Both who makes the survey and who judges its mosaics look at the sky through this file. Pixels are 0-based, their
centres at integers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import RectBivariateSpline
from scipy.special import erf

from dmontage.demo.truth import ARCSEC, FWHM_TO_SIGMA, unit_vectors

if TYPE_CHECKING:
    from astropy.wcs import WCS
    from numpy.typing import NDArray

    from dmontage.demo.truth import Truth

    Array = NDArray[np.float64]

__all__ = ["background_spline", "paint", "pixel_arcsec", "pixel_area"]

_NODE = 8.0  # arcsec between nodes of the nebulae's spline: off by 1e-4 of the noise at most


def paint(truth: Truth, wcs: WCS, shape: tuple[int, int], fwhm: float) -> NDArray[np.float64]:
    """The true sky on a grid of square pixels, without noise or planes.

    Parameters
    ----------
    truth
        What is in it.
    wcs
        Celestial, its pixels square and of one size.
    shape
        (ny, nx).
    fwhm
        Of the stars' Gaussian, arcsec.

    Returns
    -------
    (ny, nx) float64
        Surface brightness averaged over each pixel, counts per square arcsec.
    """
    image = background_spline(truth, wcs, shape)(np.arange(shape[0]), np.arange(shape[1]))
    scale = pixel_arcsec(wcs)
    sigma = fwhm * FWHM_TO_SIGMA / scale
    half = math.ceil(6 * sigma) + 1  # 2e-9 of a star lies outside
    x, y, flux = _stars_near(truth, wcs, shape, half)
    x0, y0 = np.rint(x).astype(int) - half, np.rint(y).astype(int) - half
    edges = np.arange(2 * half + 2) - 0.5
    part_x = 0.5 * np.diff(erf((x0[:, None] + edges - x[:, None]) / (math.sqrt(2) * sigma)))
    part_y = 0.5 * np.diff(erf((y0[:, None] + edges - y[:, None]) / (math.sqrt(2) * sigma)))
    part_y *= flux[:, None] / scale**2
    for i in range(len(flux)):
        below, left = max(0, -y0[i]), max(0, -x0[i])
        target = image[y0[i] + below : y0[i] + 2 * half + 1, x0[i] + left : x0[i] + 2 * half + 1]
        height, width = target.shape
        target += part_y[i, below : below + height, None] * part_x[i, left : left + width]
    return image


def _stars_near(
    truth: Truth, wcs: WCS, shape: tuple[int, int], margin: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Pixel positions and fluxes of the stars on a grid or less than ``margin`` pixels outside of it."""
    ra, dec, flux = np.array(truth.stars).T
    with np.errstate(invalid="ignore"):
        x, y = wcs.all_world2pix(ra, dec, 0)
    inside = np.abs(x - (shape[1] - 1) / 2) < shape[1] / 2 + margin
    inside &= np.abs(y - (shape[0] - 1) / 2) < shape[0] / 2 + margin
    return x[inside], y[inside], flux[inside]


def background_spline(truth: Truth, wcs: WCS, shape: tuple[int, int]) -> RectBivariateSpline:
    """The extended emission on a pixel grid, as a cubic spline ``s(y, x)`` that follows the formula to 1e-3 counts."""
    scale = pixel_arcsec(wcs)
    y, x = (np.linspace(-0.5, n - 0.5, 6 + math.ceil(n * scale / _NODE)) for n in shape)
    ra, dec = wcs.all_pix2world(x[None, :], y[:, None], 0)
    # Off the map there is no sky, and no pixel of a mosaic either.
    emission = np.nan_to_num(truth.sky_background(ra, dec))
    return RectBivariateSpline(y, x, emission)


def pixel_arcsec(wcs: WCS) -> float:
    """Side in arcsec of a celestial WCS's pixel, as nominal at its reference point (√ of the area)."""
    wcs.wcs.set()  # brings every celestial unit to degrees
    return 3600 * math.sqrt(abs(float(np.linalg.det(wcs.pixel_scale_matrix))))


def pixel_area(wcs: WCS, x: Array, y: Array) -> Array:
    """Square arcsec of the pixels centred at ``x``, ``y``."""
    right, left, up, down = (
        unit_vectors(*wcs.all_pix2world(x + dx, y + dy, 0)) for dx, dy in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))
    )
    return np.asarray(np.linalg.norm(np.cross(right - left, up - down), axis=-1) / ARCSEC**2)
