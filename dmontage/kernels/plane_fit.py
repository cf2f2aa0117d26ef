"""Difference of two projected images, and the clipped plane through it.

Notation::

    d(x, y)     difference plus - minus, NaN where either image is not well covered
    u, v        x - x0, y - y0: pixels from the overlap's own origin
    r           d - (level + slope_x u + slope_y v), the residual
    T           clipping limit, a pixel is kept where |r| <= T
    κ = T/σ;    P = erf(κ/√2), the kept fraction of a Gaussian;  φ its density at κ;  q = P - 2κφ

**Estimator.** First a robust scale: {median of r, scale S = 1.4826·MAD, clip about the median, least squares} until S
stops falling, which takes slopes much larger than the noise, one-sided sources and values of 1e30. Then T = k·S is
frozen and {clip about the plane, least squares} runs until the kept set stops changing. Each such step lowers
Σ min(r², T²), so it ends, at a fixed point which sources outside ±T do not bias (a clip about the median would be).

**Errors.** The fixed point solves Σ ψ(r)·(1, u, v) = 0 with ψ(r) = r for |r| <= T, else 0. For Gaussian noise
E[ψ²] = σ²q, and E[ψ] changes by q per unit of shift (P from the slope of ψ, -2κφ from pixels crossing ±T), so the
variance of a mean of n pixels is E[ψ²]/(q² n) = σ²/(q n) (Huber, Robust Statistics, §3.2). With n_kept = P n pixels
of moment matrix M, and M for n: covariance = σ² (P/q) M_kept⁻¹, hence information = (q/P) M_kept / σ². The kept
variance is s² = σ² q/P (0.9733 σ² for κ = 3), which is solved for σ at the true κ = T/σ: S is some 6 % too large
beside 5 % sources, and σ does not inherit that. 1/s² overestimates 1/σ² by ν/(ν - 2) at ν degrees of freedom, which
is taken out: with ν <= 2 nothing is known about the noise, and the information is zero.

**Bits.** `residuals` sums in blocks of the mosaic's lattice and `median_counts` counts integers, so that neither the
caller's window nor its blank border changes a bit of the answer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dmontage.kernels._jit import kernel
from dmontage.kernels.median_counts import residual_median
from dmontage.kernels.residuals import residual_sums, smallest_above

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.kernels.residuals import Frame

    FloatArray = NDArray[np.float32] | NDArray[np.float64]

__all__ = ["ClippedPlane", "Sums", "difference", "fit_plane", "median_about"]

_GAUSSIAN_MAD = 1.482602218505602  # σ / MAD of a Gaussian
_MAX_STEPS = 40
_MIN_SCATTER = 0.25  # px²: any two distinct pixels scatter by 0.5 along the line through them
_MIN_RMS = 1e-100  # keeps the information of an all-zero difference finite, with its powers


class ClippedPlane(NamedTuple):
    """What `fit_plane` finds, about the origin that it was given."""

    level: float
    slope_x: float
    slope_y: float
    information: NDArray[np.float64]
    """(3, 3) inverse covariance of (level, slope_x, slope_y); singular where a direction is not constrained."""
    rms: float
    """σ of one difference pixel, corrected for the clipping; never below the rounding of the differences."""
    median: float
    """Median of the raw differences, to float32; NaN without pixels."""
    n_pixels: int
    n_kept: int


class Sums(NamedTuple):
    """What an image has in each pixel of an overlap, (y, x) arrays in float32 or float64."""

    flux: FloatArray
    """Sum of weight times value times overlap."""
    weight: FloatArray
    """Sum of weight times overlap; the area itself where there are no weights."""
    area: FloatArray
    """Sum of overlap."""
    min_area: float
    """Smallest area of a well covered pixel, in output pixels."""


def difference(plus: Sums, minus: Sums) -> FloatArray:
    """Mean of plus less mean of minus, where both are well covered.

    Stored sums are rounded: ``flux/weight`` is the mean to one unit eps of their type (both half an eps off), so two
    images of one constant would differ by up to ``eps·(|mean_a| + |mean_b|)``. A difference inside that bound is
    not known to differ from zero, and is returned as exactly zero. Double sums are granted 8 eps, for the additions.

    Returns
    -------
    ndarray
        (y, x) differences in the wider type of the fluxes, NaN where not both are well covered or finite.
    """
    shapes = [array.shape for sums in (plus, minus) for array in sums[:3]]
    if len(set(shapes)) > 1:
        raise ValueError(f"shapes differ: {shapes}")
    d = np.empty(plus.flux.shape, dtype=np.result_type(plus.flux, minus.flux))
    _difference(*plus, _rounding(plus), *minus, _rounding(minus), d)
    return d


def median_about(
    d: FloatArray, y_first: int, x_first: int, plane: tuple[float, float, float], x0: float, y0: float
) -> float:
    """Median of a difference image less a plane (level, slope_x, slope_y) about x0, y0; NaN without pixels.

    Arguments as for `fit_plane`.
    """
    return residual_median((d, y_first, x_first, x0, y0), np.array(plane, np.float64), False)[0]


def _rounding(sums: Sums) -> float:
    eps = max(float(np.finfo(array.dtype).eps) for array in sums[:2])
    return 1.0001 * eps if eps > 1e-8 else 8 * eps  # the 1e-4 pays for the products of two roundings


@kernel
def _difference(
    flux_a: FloatArray,
    weight_a: FloatArray,
    area_a: FloatArray,
    min_a: float,
    eps_a: float,
    flux_b: FloatArray,
    weight_b: FloatArray,
    area_b: FloatArray,
    min_b: float,
    eps_b: float,
    d: FloatArray,
) -> None:
    ny, nx = d.shape
    for y in range(ny):
        for x in range(nx):
            a, b = np.float64(weight_a[y, x]), np.float64(weight_b[y, x])
            value = np.nan
            if area_a[y, x] >= min_a and area_b[y, x] >= min_b and a > 0.0 and b > 0.0:
                mean_a, mean_b = flux_a[y, x] / a, flux_b[y, x] / b
                value = mean_a - mean_b
                if not abs(value) < np.inf:
                    value = np.nan
                elif abs(value) <= eps_a * abs(mean_a) + eps_b * abs(mean_b):
                    value = 0.0
            d[y, x] = value


def fit_plane(
    d: FloatArray,
    y_first: int,
    x_first: int,
    x0: float,
    y0: float,
    correlation: float = 1.0,
    clip: float = 3.0,
    *,
    level_only: bool = False,
) -> ClippedPlane:
    """Plane through a difference image, clipped robustly against sources and artefacts.

    Parameters
    ----------
    d
        (y, x) differences; not finite is blank.
    y_first, x_first
        Mosaic pixel of ``d[0, 0]``.
    x0, y0
        Origin of the plane, mosaic pixels; near the middle of the overlap, so that no digits are lost.
    correlation
        Covariance factor of correlated pixels: R² of `dmontage.noise.correlation_factor`.
    clip
        Clipping limit in standard deviations, 1.5 or more.
    level_only
        Slopes stay zero: a clipped mean, known at the centroid of the pixels kept.

    Returns
    -------
    ClippedPlane
        Zeros and no information where `d` has no pixel. A direction in which the pixels do not extend has slope
        zero through their centroid, and no information.
    """
    if not (d.ndim == 2 and clip >= 1.5 and 0 < correlation < math.inf):
        raise ValueError(f"d has {d.ndim} axes, clip is {clip}, correlation {correlation}; want 2, >= 1.5, positive")
    single = d.dtype == np.float32
    data: FloatArray = np.ascontiguousarray(d, np.float32) if single else np.ascontiguousarray(d, np.float64)
    frame = (data, y_first, x_first, float(x0), float(y0))
    plane, limit, rounding, median, n_pixels = _robust_start(frame, clip, level_only)
    if n_pixels == 0:
        return ClippedPlane(0.0, 0.0, 0.0, np.zeros((3, 3)), 0.0, math.nan, 0, 0)
    kept = np.zeros(6)
    for _ in range(_MAX_STEPS):
        sums = residual_sums(frame, plane, limit)
        step, moments, rank = _least_squares(sums, level_only)
        plane += step
        if np.array_equal(sums[:6], kept):  # n and the coordinate sums are the fingerprint of the kept set
            break
        kept = sums[:6]
    n_kept = int(sums[0])
    squares = max(0.0, sums[9] - float(step @ sums[6:9]))
    s = math.sqrt(squares / max(1, n_kept - rank))
    rms, shrink = _unclipped(s, limit)
    rms = max(rms, rounding, _MIN_RMS)
    freedom = n_kept / correlation - rank
    factor = shrink * max(0.0, freedom - 2) / max(freedom, 1.0) / (rms * rms * correlation)
    level, slope_x, slope_y = plane.tolist()
    return ClippedPlane(level, slope_x, slope_y, factor * moments, rms, median, n_pixels, n_kept)


def _robust_start(frame: Frame, clip: float, level_only: bool) -> tuple[NDArray[np.float64], float, float, float, int]:
    """Plane, clipping limit, rounding of the differences, their median and number."""
    plane = np.zeros(3)
    median, n_pixels = residual_median(frame, plane, False)
    if n_pixels == 0:
        return plane, 0.0, 0.0, median, 0
    rounding = quantum = 0.0
    previous, shift = math.inf, median
    for step in range(_MAX_STEPS):
        plane[0] += shift
        scale = _GAUSSIAN_MAD * residual_median(frame, plane, True)[0]
        if step == 0:
            rounding = float(np.finfo(frame[0].dtype).eps) * (abs(median) + 3 * scale)
        if scale <= rounding and quantum == 0.0:
            quantum = _quantum(frame, plane, rounding, n_pixels)
        # A Gaussian with half its values in one step has 3σ < 2.3 steps; a limit on a step itself (2) would let the
        # smallest tilt choose which pixels stay, and so tilt the plane further.
        scale = max(scale, rounding, 2.5 * quantum / clip)
        if scale >= 0.99 * previous:
            break
        previous = scale
        plane += _least_squares(residual_sums(frame, plane, clip * scale), level_only)[0]
        shift = residual_median(frame, plane, False)[0]
    return plane, clip * scale, rounding, median, n_pixels


def _quantum(frame: Frame, plane: NDArray[np.float64], rounding: float, n_pixels: int) -> float:
    """Step of quantized differences, or 0 where over half the pixels agree because there is no noise.

    Quantized noise puts many pixels one step away; without noise, what is left is sources, of all sizes.
    """
    step = smallest_above(*frame, plane, 8 * rounding)
    if step == math.inf:
        return 0.0
    near = residual_sums(frame, plane, 1.5 * step)[0] - residual_sums(frame, plane, 0.5 * step)[0]
    return step if near >= 0.01 * n_pixels else 0.0


def _least_squares(sums: NDArray[np.float64], level_only: bool) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Plane (3,) through the summed residuals, its moment matrix (3, 3), and the number of constrained directions."""
    plane, moments = np.zeros(3), np.zeros((3, 3))
    n = sums[0]
    if n == 0:
        return plane, moments, 0
    # About the centroid of the kept pixels the slopes part from the level, and lose no digits to it.
    centroid = sums[1:3] / n
    scatter = np.array([[sums[3], sums[4]], [sums[4], sums[5]]]) - n * np.outer(centroid, centroid)
    values, vectors = np.linalg.eigh(scatter)
    known = (values > _MIN_SCATTER) & (not level_only)
    values, vectors = values[known], vectors[:, known]
    plane[1:] = vectors @ ((vectors.T @ (sums[7:9] - centroid * sums[6])) / values)
    plane[0] = sums[6] / n - centroid @ plane[1:]
    moments[0, 0], moments[0, 1:], moments[1:, 0] = n, sums[1:3], sums[1:3]
    moments[1:, 1:] = (vectors * values) @ vectors.T + n * np.outer(centroid, centroid)
    return plane, moments, 1 + int(known.sum())


def _unclipped(s: float, limit: float) -> tuple[float, float]:
    """Sigma of the Gaussian whose part inside ±limit has standard deviation `s`, and q/P of the clip."""
    sigma, ratio = s, 1.0
    for _ in range(60):  # rises to the smallest solution; below κ = 1.5 the truncated part says too little
        if sigma == 0.0:
            break
        kappa = limit / sigma
        density = math.exp(-0.5 * kappa * kappa) / math.sqrt(2 * math.pi)
        ratio = 1 - 2 * kappa * density / math.erf(kappa / math.sqrt(2))
        sigma = min(s / math.sqrt(ratio), max(s, limit / 1.5))
    return sigma, ratio
