"""What a mosaic does to the background: its cover, flatness, seams, and the emission it keeps (level 6).

A block is 64 × 64 pixels of the mosaic; its median is that of the mosaic minus the true emission, outside the stars.
``noise`` is the σ of a raw pixel of 1 square arcsec.

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
emission kept
    slope 1 within 1 %, plus what a flatness error of the permitted size does to it when it has the emission's shape.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.demo.sky import background_spline
from dmontage.demo.truth import ARCSEC, tangent_frame, unit_vectors
from dmontage.demo.verdict import Check
from dmontage.errors import InputError

if TYPE_CHECKING:
    from astropy.wcs import WCS
    from numpy.typing import NDArray

    from dmontage.demo.truth import Truth

    Array = NDArray[np.float64]
    Pixels = NDArray[np.floating[Any]]

__all__ = ["Blocks", "check_background", "check_cover", "emission_kept", "measure_blocks", "without_plane"]

_BLOCK = 64  # pixels
_RUN = 4  # neighbouring blocks that a seam is followed along
_MIN_BLOCKS = 9
_DRIFT = 0.15  # of the noise, at
_DRIFT_IMAGES = 45


class Blocks(NamedTuple):
    """Figures of each block (rows, columns), the first at the mosaic's pixel (0, 0)."""

    residual: Array
    """Median of mosaic minus emission, brought to the block's middle; NaN where less than half of it can be used."""
    emission: Array
    """Mean of the true emission over the pixels used."""
    covered: Array
    """Fraction of pixels that are not blank."""


def measure_blocks(data: Pixels, wcs: WCS, truth: Truth, sigma_pix: float, scale: float, side: int = _BLOCK) -> Blocks:
    """Figures of all blocks of a mosaic, in counts per raw pixel.

    One row of blocks is read at a time, so that the largest mosaic needs little memory.

    Parameters
    ----------
    data
        (y, x) surface brightness; not finite is blank.
    sigma_pix
        Of the stars on the mosaic, in its pixels.
    scale
        Side of a pixel, arcsec.
    side
        Of a block, pixels.
    """
    emission_at = background_spline(truth, wcs, data.shape)
    ra, dec, flux = np.array(truth.stars).T
    x, y = wcs.all_world2pix(ra, dec, 0)
    # A star is masked out to where its profile is 2 % of the noise.
    peak = flux / (2 * math.pi * (sigma_pix * scale) ** 2)
    radius = sigma_pix * np.sqrt(2 * np.log(np.maximum(peak / (0.02 * truth.noise), 1))) + 1
    ny, nx = data.shape
    figures = np.full((3, -(-ny // side), -(-nx // side)), np.nan)
    beside = np.zeros((2, *figures.shape[1:]))
    for i, y0 in enumerate(range(0, ny, side)):
        values = np.array(data[y0 : y0 + side], dtype=np.float64)
        emission = emission_at(np.arange(y0, y0 + len(values)), np.arange(nx))
        valid = np.isfinite(values)
        values -= emission
        usable = valid.copy()
        for k in np.flatnonzero((y + radius > y0) & (y - radius < y0 + len(values))):
            _mask_disc(usable, x[k], y[k] - y0, radius[k])
        for j, x0 in enumerate(range(0, nx, side)):
            part = np.s_[:, x0 : x0 + side]
            use = usable[part]
            figures[2, i, j] = valid[part].mean()
            if 2 * np.count_nonzero(use) >= side**2:
                figures[:2, i, j] = np.median(values[part][use]), emission[part][use].mean()
                beside[:, i, j] = [at.mean() / side - (side - 1) / (2 * side) for at in np.nonzero(use)]
    figures[0] -= np.tensordot(_plane(figures[0], *beside)[1:], beside, axes=1)
    return Blocks(*figures)


def _mask_disc(usable: NDArray[np.bool_], x: float, y: float, radius: float) -> None:
    y0, x0 = max(0, math.ceil(y - radius)), max(0, math.ceil(x - radius))
    box = usable[y0 : max(0, math.floor(y + radius) + 1), x0 : max(0, math.floor(x + radius) + 1)]
    rows, columns = np.ogrid[: box.shape[0], : box.shape[1]]
    box &= (rows + y0 - y) ** 2 + (columns + x0 - x) ** 2 > radius**2


def check_cover(blocks: Blocks, wcs: WCS, truth: Truth, scale: float) -> Check:
    """Cover of the blocks whose centre lies in the part of the field that the mosaic shows; InputError without any."""
    rows, columns = (np.arange(n) * _BLOCK + (_BLOCK - 1) / 2 for n in blocks.covered.shape)
    sky = unit_vectors(*wcs.all_pix2world(columns[None, :], rows[:, None], 0))
    east, north, centre = tangent_frame(truth.ra, truth.dec)
    outward = sky @ centre
    # A block's own half is kept off the field's rim, where a mosaic may end.
    half = math.radians(truth.size_deg / 2) - _BLOCK / 2 * scale * ARCSEC
    inside = (outward > 0) & (np.abs(sky @ north) <= half * outward)
    inside &= np.abs(sky @ east) <= half * outward
    if not inside.any():
        raise InputError(
            f"no block of {_BLOCK}×{_BLOCK} pixels lies in the simulated field; give a mosaic of that survey"
        )
    return Check("covered", 100 * float(blocks.covered[inside].mean()), 100.0, 0.1, "%")


def check_background(blocks: Blocks, truth: Truth, scale: float) -> list[Check]:
    """Flatness, seams and emission, all from the blocks' medians; InputError where they are too few."""
    if (n_blocks := np.isfinite(blocks.residual).sum()) < _MIN_BLOCKS:
        raise InputError(
            f"the mosaic has {n_blocks} blocks of {_BLOCK}×{_BLOCK} good pixels and {_MIN_BLOCKS} are needed; "
            "make a larger mosaic, or smaller pixels"
        )
    median_noise = math.sqrt(math.pi / 2) * truth.noise / (_BLOCK * scale)
    drift = _DRIFT * truth.noise * math.sqrt(max(1, len(truth.images) / _DRIFT_IMAGES))
    flatness_limit = math.hypot(drift, median_noise)
    flat = without_plane(blocks.residual)
    seam_limit = max(_DRIFT * truth.noise, 5 * median_noise * math.sqrt(2 / _RUN))
    kept, spread = emission_kept(blocks)
    return [
        Check("background flatness, rms", math.sqrt(np.nanmean(flat**2)), 0.0, flatness_limit, "counts"),
        Check("largest seam", max(_largest_step(flat), _largest_step(flat.T)), 0.0, seam_limit, "counts"),
        Check("emission kept", kept, 1.0, 0.01 + flatness_limit / spread, ""),
    ]


def emission_kept(blocks: Blocks) -> tuple[float, float]:
    """Part of the emission that the blocks have, by regression on its true shape, and that shape's rms in counts.

    One plane is taken out of both.
    """
    flat = without_plane(blocks.residual)
    emission = without_plane(np.where(np.isfinite(flat), blocks.emission, np.nan))
    return 1 + float(np.nansum(flat * emission) / np.nansum(emission**2)), math.sqrt(np.nanmean(emission**2))


def without_plane(values: Array) -> Array:
    """``values`` (rows, columns) minus their least-squares plane; NaN stays NaN."""
    level, by_row, by_column = _plane(values)
    rows, columns = np.indices(values.shape)
    return np.asarray(values - level - by_row * rows - by_column * columns)


def _plane(values: Array, down: Array | float = 0.0, right: Array | float = 0.0) -> Array:
    """Level, and change by row and by column, of the least-squares plane of ``values`` (rows, columns).

    ``down`` and ``right`` are where in its block each was measured, in blocks from the middle: a median over part of a
    block, at the mosaic's rim or beside a star, is that of the part's own middle.
    """
    rows, columns = np.indices(values.shape)
    terms = np.stack([np.ones(values.shape), rows + down, columns + right], axis=-1)
    known = np.isfinite(values)
    return np.asarray(np.linalg.lstsq(terms[known], values[known])[0])


def _largest_step(flat: Array) -> float:
    """Largest step between columns, each the mean over a run of neighbouring rows."""
    steps = np.diff(flat, axis=1)
    run = min(_RUN, max(1, int(np.isfinite(steps).any(axis=1).sum())))
    means = np.lib.stride_tricks.sliding_window_view(steps, run, axis=0).mean(axis=-1)
    means = means[np.isfinite(means)]
    return float(np.abs(means).max()) if means.size else math.nan
