"""What a mosaic does to stars: the fluxes and positions of the lone bright ones (level 6).

``noise`` is the σ of a raw pixel of 1 square arcsec, hence ``noise·√n`` that of n square arcsec of sky seen once.

Limits
------
photometry
    0.5 % in the median (half of what good surveys are calibrated to) plus 3 times its noise; the scatter of the stars
    0.5 % plus twice the noise of a typical star.
astrometry
    10 mas, or 1/100 of the mosaic's pixel, in the median plus 3 times its noise; the rms (of one coordinate) twice that
    plus twice the noise of the stars, since projection by overlap areas itself moves a star by 1/100 of a pixel.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.spatial import KDTree
from scipy.special import erf

from dmontage.demo.sky import pixel_area
from dmontage.demo.truth import ARCSEC, unit_vectors
from dmontage.demo.verdict import Check

if TYPE_CHECKING:
    from astropy.wcs import WCS
    from numpy.typing import NDArray

    from dmontage.demo.truth import Truth

    Array = NDArray[np.float64]
    Pixels = NDArray[np.floating[Any]]

__all__ = ["Stars", "check_stars", "measure_stars"]

_BRIGHT = 5000.0  # counts: a photometric error of 0.3 % by noise alone
_MAX_STARS = 400
_FEW_STARS = 12  # are measured however faint, in a small field; the limits grow with the noise
_MIN_STARS = 3
_APERTURE, _SKY_IN, _SKY_OUT, _ALONE = 5.0, 6.0, 11.0, 16.0  # radii in σ of the seeing; 4e-6 of a star lies outside 5 σ


class Stars(NamedTuple):
    """Isolated bright stars that lie wholly on the mosaic, each figure with the noise expected of it."""

    ratio: Array
    """Measured flux over true flux, minus 1."""
    ratio_noise: Array
    offset: Array
    """Measured minus true position (2, star): along x and y, arcsec."""
    offset_noise: Array


def measure_stars(data: Pixels, wcs: WCS, truth: Truth, sigma: float, scale: float) -> Stars:
    """Aperture sums over a local background, and centres of fitted Gaussians.

    Parameters
    ----------
    data
        (y, x) surface brightness, counts per raw pixel; not finite is blank.
    sigma
        Of the stars on the mosaic, arcsec.
    scale
        Side of a pixel, arcsec.
    """
    half = math.ceil(_SKY_OUT * sigma / scale)
    x, y, flux, area = _choose_stars(data, wcs, truth, sigma, half + 1)
    x0, y0 = np.rint(x).astype(int) - half, np.rint(y).astype(int) - half
    side = np.arange(2 * half + 1)
    stamps = data[(y0[:, None] + side)[:, :, None], (x0[:, None] + side)[:, None, :]].astype(np.float64)
    dx, dy = x0[:, None] + side - x[:, None], y0[:, None] + side - y[:, None]
    radius = np.hypot(dx[:, None, :], dy[:, :, None]) * scale / sigma
    aperture, annulus = radius <= _APERTURE, (radius >= _SKY_IN) & (radius <= _SKY_OUT) & np.isfinite(stamps)
    whole = np.isfinite(stamps).all(axis=(1, 2), where=aperture) & annulus.any(axis=(1, 2))
    stamps, dx, dy, flux, area = (values[whole] for values in (stamps, dx, dy, flux, area))
    aperture, annulus = aperture[whole], annulus[whole]
    stamps -= np.nanmedian(np.where(annulus, stamps, np.nan), axis=(1, 2), keepdims=True)
    inside, around = aperture.sum(axis=(1, 2)), annulus.sum(axis=(1, 2))
    # π/2 is the price of a median over a mean.
    sum_noise = truth.noise * np.sqrt(area * inside * (1 + math.pi / 2 * inside / around))
    measured = stamps.sum(axis=(1, 2), where=aperture) * area
    # A raw pixel of 1 arcsec has widened the star before it reached the mosaic.
    fitted = math.sqrt(truth.seeing**2 + 1 / 12)
    offset = scale * _centroid(np.where(aperture, stamps, 0), dx, dy, fitted / scale)
    # The least error of a Gaussian's position on white noise.
    offset_noise = math.sqrt(8 * math.pi) * sigma**2 * truth.noise / flux
    return Stars(measured / flux - 1, sum_noise / flux, offset, offset_noise)


def _choose_stars(data: Pixels, wcs: WCS, truth: Truth, sigma: float, rim: int) -> tuple[Array, Array, Array, Array]:
    """The brightest lone stars, ``rim`` pixels or more from the edge: x, y, flux, and the pixel's area (arcsec²)."""
    ra, dec, flux = np.array(truth.stars).T
    sky = unit_vectors(ra, dec)
    nearest = np.asarray(KDTree(sky).query(sky, k=[2])[0])[:, 0] / ARCSEC
    x, y = wcs.all_world2pix(ra, dec, 0)
    good = nearest > _ALONE * sigma
    good &= (x > rim) & (x < data.shape[1] - 1 - rim) & (y > rim) & (y < data.shape[0] - 1 - rim)
    chosen = np.flatnonzero(good)
    chosen = chosen[np.argsort(-flux[chosen])]
    chosen = chosen[: min(_MAX_STARS, max(_FEW_STARS, np.count_nonzero(flux[chosen] >= _BRIGHT)))]
    x, y, flux = x[chosen], y[chosen], flux[chosen]
    return x, y, flux, pixel_area(wcs, x, y)


def _centroid(stamps: Array, x: Array, y: Array, sigma: float) -> Array:
    """Centres (2, star) of the best-fitting Gaussians of known width, integrated over the pixels of ``stamps``.

    Least squares weighs each pixel by the profile's own gradient. The integration matters where pixels are coarse:
    a weighted mean of 2 arcsec pixels is off by 0.02 pixels, depending on where in its pixel a star lies.

    Parameters
    ----------
    stamps
        (star, y, x), background taken out.
    x, y
        (star, side) pixel centres.
    sigma
        In pixels.
    """
    centre = np.zeros((2, len(stamps)))
    for _ in range(8):  # Gauss-Newton from a start within a pixel or so
        profile_x, slope_x = _profile(x - centre[0, :, None], sigma)
        profile_y, slope_y = _profile(y - centre[1, :, None], sigma)
        norm_x, norm_y = (profile_x**2).sum(axis=1), (profile_y**2).sum(axis=1)
        flux = np.einsum("nyx,ny,nx->n", stamps, profile_y, profile_x) / (norm_x * norm_y)
        residual = stamps - flux[:, None, None] * profile_y[:, :, None] * profile_x[:, None, :]
        step_x = np.einsum("nyx,ny,nx->n", residual, profile_y, slope_x) / (norm_y * (slope_x**2).sum(axis=1))
        step_y = np.einsum("nyx,ny,nx->n", residual, slope_y, profile_x) / (norm_x * (slope_y**2).sum(axis=1))
        # Where nothing is left of a star it has no place: NaN.
        centre += np.clip(np.stack([step_x, step_y]) / np.where(flux > 0, flux, np.nan), -0.5, 0.5)
    return centre


def _profile(offset: Array, sigma: float) -> tuple[Array, Array]:
    """A Gaussian of unit sum, integrated over pixels at ``offset`` from its centre, and its slope by the centre."""
    edges = (offset[..., None] + np.array([-0.5, 0.5])) / (math.sqrt(2) * sigma)
    slope = np.diff(-np.exp(-(edges**2))) / (math.sqrt(2 * math.pi) * sigma)
    return 0.5 * np.diff(erf(edges))[..., 0], slope[..., 0]


def check_stars(stars: Stars, scale: float) -> list[Check]:
    """Photometry and astrometry; NaN, and so failed, where too few stars could be measured."""
    names = ("photometry, median", "photometry, scatter", "astrometry, median", "astrometry, rms")
    n = len(stars.ratio)
    if n < _MIN_STARS:
        return [
            Check(name, math.nan, 0.0, math.nan, unit)
            for name, unit in zip(names, ("%", "%", "mas", "mas"), strict=True)
        ]
    median_noise = math.sqrt(math.pi / 2 / n)
    median = float(np.median(stars.ratio))
    scatter = 1.4826 * float(np.median(np.abs(stars.ratio - median)))
    ratio_noise, offset_noise = float(np.median(stars.ratio_noise)), float(np.median(stars.offset_noise))
    shift = math.hypot(*np.median(stars.offset, axis=1))
    rms = math.sqrt(np.mean(stars.offset**2))
    tolerance = max(0.010, 0.01 * scale)
    shift_limit = tolerance + 3 * median_noise * offset_noise
    rms_limit = 2 * tolerance + 2 * math.sqrt(np.mean(stars.offset_noise**2))
    return [
        Check(names[0], 100 * median, 0.0, 0.5 + 300 * median_noise * ratio_noise, "%"),
        Check(names[1], 100 * scatter, 0.0, 0.5 + 200 * ratio_noise, "%"),
        Check(names[2], 1000 * shift, 0.0, 1000 * shift_limit, "mas"),
        Check(names[3], 1000 * rms, 0.0, 1000 * rms_limit, "mas"),
        Check(names[3], rms / scale, 0.0, rms_limit / scale, "px"),
    ]
