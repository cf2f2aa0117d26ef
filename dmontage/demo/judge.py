"""The judge: measures a mosaic of a simulated survey against its truth, each figure with a limit an astronomer defends.

Notation: ``noise`` is the σ of a raw pixel of 1 square arcsec, so n square arcsec of sky seen once have the noise
``noise·√n`` however they were resampled; where images overlap it is less. A block is 64 × 64 pixels of the mosaic; its
median is that of the mosaic minus the true emission, outside the stars. All lengths are arcsec, positions degrees.

Limits
------
covered
    99.9 % of the field's pixels: the survey covers all of it, but for a few blank pixels.
background flatness
    0.15 noise for up to 45 images, growing as √images beyond: overlaps of 10 % cannot tie 45 planes together better
    than 0.05-0.13 of the noise on the largest scales; plus the noise of a block's median.
largest seam
    0.15 noise, in the mean of 4 neighbouring steps from block to block: invisible beside the noise, and many times the
    error with which an overlap is matched; never below 5 times the noise of such a mean, as thousands are looked at.
photometry
    0.5 % in the median (half of what good surveys are calibrated to) plus 3 times its noise; the scatter of the stars
    0.5 % plus twice the noise of a typical star.
astrometry
    10 mas, or 1/100 of the mosaic's pixel, in the median plus 3 times its noise; the rms (of one coordinate) twice that
    plus twice the noise of the stars, since projection by overlap areas itself moves a star by 1/100 of a pixel.
emission kept
    slope 1 within 1 %, plus what a flatness error of the permitted size does to it when it has the emission's shape.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from scipy.spatial import KDTree
from scipy.special import erf

from dmontage.demo.simulate import ARCSEC, FWHM_TO_SIGMA, Truth, background_spline, unit_vectors
from dmontage.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Pixels = NDArray[np.floating[Any]]

__all__ = ["Check", "Verdict", "judge"]

_BLOCK = 64  # pixels
_RUN = 4  # neighbouring blocks that a seam is followed along
_MIN_BLOCKS = 9
_DRIFT = 0.15  # of the noise, at
_DRIFT_IMAGES = 45
_BRIGHT = 5000.0  # counts: a photometric error of 0.3 % by noise alone
_MAX_STARS = 400
_FEW_STARS = 12  # are measured however faint, in a small field; the limits grow with the noise
_MIN_STARS = 3
_APERTURE, _SKY_IN, _SKY_OUT, _ALONE = 5.0, 6.0, 11.0, 16.0  # radii in σ of the seeing; 4e-6 of a star lies outside 5 σ


@dataclass(frozen=True, slots=True)
class Check:
    """One measured figure: it holds when it lies within ``limit`` of ``target``; NaN, not measured, never holds."""

    name: str
    measured: float
    target: float
    limit: float
    unit: str

    @property
    def ok(self) -> bool:
        """Whether the figure is within its limit."""
        return abs(self.measured - self.target) <= self.limit


@dataclass(frozen=True, slots=True)
class Verdict:
    """All checks of one mosaic; prints as a table."""

    mosaic: str
    n_stars: int
    """Stars measured."""
    n_blocks: int
    """Blocks of background measured."""
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)

    def __str__(self) -> str:
        rows = [("check", "measured", "limit", "", "verdict")]
        for c in self.checks:
            limit = f"{c.target:g} ± {c.limit:.3f}" if c.target else f"{c.limit:.3f}"
            rows.append((c.name, f"{c.measured:.3f}", limit, c.unit, "ok" if c.ok else "FAILED"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            f"{name:<{widths[0]}}  {measured:>{widths[1]}}  {limit:>{widths[2]}} {unit:<{widths[3]}}  {verdict}"
            for name, measured, limit, unit, verdict in rows
        ]
        summary = f"{self.mosaic}: {'ok' if self.ok else 'FAILED'} ({self.n_stars} stars, {self.n_blocks} blocks)"
        return "\n".join([*lines, summary])

    def to_json(self) -> str:
        """The verdict as a JSON object; a figure that could not be measured is null."""
        checks = [asdict(check) | {"ok": check.ok} for check in self.checks]
        for row in checks:
            row |= {key: None for key, value in row.items() if isinstance(value, float) and not math.isfinite(value)}
        return json.dumps(asdict(self) | {"ok": self.ok, "checks": checks}, indent=1)


class _Blocks(NamedTuple):
    """Figures of each block (rows, columns)."""

    residual: Array
    """Median of mosaic minus emission, NaN where less than half of a block can be used."""
    emission: Array
    """Mean of the true emission over the pixels used."""
    covered: Array
    """Fraction of pixels that are not blank."""


class _Stars(NamedTuple):
    """Isolated bright stars that lie wholly on the mosaic, each figure with the noise expected of it."""

    ratio: Array
    """Measured flux over true flux, minus 1."""
    ratio_noise: Array
    offset: Array
    """Measured minus true position (2, star): along x and y, arcsec."""
    offset_noise: Array


def judge(mosaic_path: Path, truth: Truth) -> Verdict:
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

    Raises
    ------
    InputError
        No celestial image in the file, or too little of the simulated field on it.
    """
    with _open(mosaic_path) as hdus:
        data, wcs = _mosaic(hdus, mosaic_path)
        scale = math.sqrt(_pixel_area(wcs, *wcs.all_world2pix(truth.ra, truth.dec, 0)))
        if not math.isfinite(scale):
            raise InputError(f"the simulated field is not on the map of {mosaic_path}; give a mosaic of that survey")
        # Resampling spreads a star by about half a pixel, in quadrature.
        sigma = math.hypot(_seeing(truth), 0.5 * scale)
        blocks = _measure_blocks(data, wcs, truth, sigma / scale, scale)
        stars = _measure_stars(data, wcs, truth, sigma, scale)
    checks = [
        _check_cover(blocks, wcs, truth, scale),
        *_check_background(blocks, truth, scale),
        *_check_stars(stars, scale),
    ]
    n_blocks = int(np.isfinite(blocks.residual).sum())
    return Verdict(str(mosaic_path), len(stars.ratio), n_blocks, tuple(checks))


def _seeing(truth: Truth) -> float:
    """Mean σ of the images' stars, arcsec."""
    return FWHM_TO_SIGMA * float(np.mean([image.fwhm for image in truth.images]))


def _open(path: Path) -> fits.HDUList:
    try:
        return fits.open(path, memmap=True)
    except OSError as error:
        raise InputError(f"{path} is not a FITS file that can be read ({error}); give the mosaic's own file") from error


def _mosaic(hdus: fits.HDUList, path: Path) -> tuple[Pixels, WCS]:
    for hdu in hdus:
        if hdu.is_image and hdu.header["NAXIS"] == 2 and (wcs := WCS(hdu.header)).has_celestial:
            return hdu.data, wcs
    raise InputError(f"{path} has no two-dimensional image with a celestial WCS; give the mosaic's FITS file")


def _pixel_area(wcs: WCS, x: Array, y: Array) -> Array:
    """Square arcsec of the pixels centred at ``x``, ``y``."""
    right, left, up, down = (
        unit_vectors(*wcs.all_pix2world(x + dx, y + dy, 0)) for dx, dy in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))
    )
    return np.asarray(np.linalg.norm(np.cross(right - left, up - down), axis=-1) / ARCSEC**2)


def _measure_blocks(data: Pixels, wcs: WCS, truth: Truth, sigma_pix: float, scale: float) -> _Blocks:
    """One row of blocks at a time, so that the largest mosaic needs little memory."""
    emission_at = background_spline(truth, wcs, data.shape)
    ra, dec, flux = np.array(truth.stars).T
    x, y = wcs.all_world2pix(ra, dec, 0)
    # A star is masked out to where its profile is 2 % of the noise.
    peak = flux / (2 * math.pi * (sigma_pix * scale) ** 2)
    radius = sigma_pix * np.sqrt(2 * np.log(np.maximum(peak / (0.02 * truth.noise), 1))) + 1
    ny, nx = data.shape
    figures = np.full((3, -(-ny // _BLOCK), -(-nx // _BLOCK)), np.nan)
    for i, y0 in enumerate(range(0, ny, _BLOCK)):
        values = np.array(data[y0 : y0 + _BLOCK], dtype=np.float64)
        emission = emission_at(np.arange(y0, y0 + len(values)), np.arange(nx))
        valid = np.isfinite(values)
        values -= emission
        usable = valid.copy()
        for k in np.flatnonzero((y + radius > y0) & (y - radius < y0 + len(values))):
            _mask_disc(usable, x[k], y[k] - y0, radius[k])
        for j, x0 in enumerate(range(0, nx, _BLOCK)):
            part = np.s_[:, x0 : x0 + _BLOCK]
            use = usable[part]
            figures[2, i, j] = valid[part].mean()
            if 2 * np.count_nonzero(use) >= _BLOCK**2:
                figures[:2, i, j] = np.median(values[part][use]), emission[part][use].mean()
    return _Blocks(*figures)


def _mask_disc(usable: NDArray[np.bool_], x: float, y: float, radius: float) -> None:
    y0, x0 = max(0, math.ceil(y - radius)), max(0, math.ceil(x - radius))
    box = usable[y0 : max(0, math.floor(y + radius) + 1), x0 : max(0, math.floor(x + radius) + 1)]
    rows, columns = np.ogrid[: box.shape[0], : box.shape[1]]
    box &= (rows + y0 - y) ** 2 + (columns + x0 - x) ** 2 > radius**2


def _check_cover(blocks: _Blocks, wcs: WCS, truth: Truth, scale: float) -> Check:
    """Of the blocks whose centre lies in the part of the field that the mosaic shows."""
    rows, columns = (np.arange(n) * _BLOCK + (_BLOCK - 1) / 2 for n in blocks.covered.shape)
    sky = unit_vectors(*wcs.all_pix2world(columns[None, :], rows[:, None], 0))
    centre, north = unit_vectors(truth.ra, truth.dec), unit_vectors(truth.ra, truth.dec + 90)
    outward = sky @ centre
    # A block's own half is kept off the field's rim, where a mosaic may end.
    half = math.radians(truth.size_deg / 2) - _BLOCK / 2 * scale * ARCSEC
    inside = (outward > 0) & (np.abs(sky @ north) <= half * outward)
    inside &= np.abs(sky @ np.cross(north, centre)) <= half * outward
    if not inside.any():
        raise InputError(
            f"no block of {_BLOCK}×{_BLOCK} pixels lies in the simulated field; give a mosaic of that survey"
        )
    return Check("covered", 100 * float(blocks.covered[inside].mean()), 100.0, 0.1, "%")


def _without_plane(values: Array) -> Array:
    """``values`` (rows, columns) minus their least-squares plane; NaN stays NaN."""
    rows, columns = np.indices(values.shape)
    terms = np.stack([np.ones(values.shape), columns, rows], axis=-1)
    known = np.isfinite(values)
    solution = np.linalg.lstsq(terms[known], values[known])[0]
    return np.asarray(values - terms @ solution)


def _check_background(blocks: _Blocks, truth: Truth, scale: float) -> list[Check]:
    """Flatness, seams and emission, all from the blocks' medians."""
    if (n_blocks := np.isfinite(blocks.residual).sum()) < _MIN_BLOCKS:
        raise InputError(
            f"the mosaic has {n_blocks} blocks of {_BLOCK}×{_BLOCK} good pixels and {_MIN_BLOCKS} are needed; "
            "make a larger mosaic, or smaller pixels"
        )
    median_noise = math.sqrt(math.pi / 2) * truth.noise / (_BLOCK * scale)
    drift = _DRIFT * truth.noise * math.sqrt(max(1, len(truth.images) / _DRIFT_IMAGES))
    flatness_limit = math.hypot(drift, median_noise)
    flat = _without_plane(blocks.residual)
    seam_limit = max(_DRIFT * truth.noise, 5 * median_noise * math.sqrt(2 / _RUN))
    emission = _without_plane(np.where(np.isfinite(flat), blocks.emission, np.nan))
    spread = math.sqrt(np.nanmean(emission**2))
    kept = 1 + float(np.nansum(flat * emission) / np.nansum(emission**2))
    return [
        Check("background flatness, rms", math.sqrt(np.nanmean(flat**2)), 0.0, flatness_limit, "counts"),
        Check("largest seam", max(_largest_step(flat), _largest_step(flat.T)), 0.0, seam_limit, "counts"),
        Check("emission kept", kept, 1.0, 0.01 + flatness_limit / spread, ""),
    ]


def _largest_step(flat: Array) -> float:
    """Largest step between columns, each the mean over a run of neighbouring rows."""
    steps = np.diff(flat, axis=1)
    run = min(_RUN, max(1, int(np.isfinite(steps).any(axis=1).sum())))
    means = np.lib.stride_tricks.sliding_window_view(steps, run, axis=0).mean(axis=-1)
    means = means[np.isfinite(means)]
    return float(np.abs(means).max()) if means.size else math.nan


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
    return x, y, flux, _pixel_area(wcs, x, y)


def _measure_stars(data: Pixels, wcs: WCS, truth: Truth, sigma: float, scale: float) -> _Stars:
    """Aperture sums over a local background, and centres of fitted Gaussians."""
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
    fitted = math.sqrt(_seeing(truth) ** 2 + 1 / 12)
    offset = scale * _centroid(np.where(aperture, stamps, 0), dx, dy, fitted / scale)
    # The least error of a Gaussian's position on white noise.
    offset_noise = math.sqrt(8 * math.pi) * sigma**2 * truth.noise / flux
    return _Stars(measured / flux - 1, sum_noise / flux, offset, offset_noise)


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


def _check_stars(stars: _Stars, scale: float) -> list[Check]:
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
