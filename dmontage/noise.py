"""The noise of mosaics: what the variance of single pixels does not say (level 0, plain numbers)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from dmontage.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["correlation_factor", "kept_variance"]


def correlation_factor(ratio: float, pixfrac: float = 1.0) -> float:
    r"""Factor R by which variances per output pixel underestimate the standard deviation of a mean over many.

    One drop falls on several output pixels, whose noise is therefore correlated. Drop k of noise σ_k and weight w_k
    gives w_k a_kc to cell c. Of Σ_c flux_c over a large area the variance is Σ_k (w_k σ_k Σ_c a_kc)²; single pixels
    say Σ_c Σ_k (w_k σ_k a_kc)². Their ratio R² is, drop by drop, 1 over the probability that two random points of the
    drop fall in the same cell. For squares of sides d and s parallel to one another, at random phases, that is p² with
    p = ∫(d − |t|)(s − |t|)/(d² s) dt over |t| < min(d, s), so that with r = d/s, as in the reference (eq. 9, 10) ::

        R = 1/(1 − r/3)          r ≤ 1
        R = r/(1 − 1/(3 r))      r ≥ 1

    It holds for the area-weighted mean Σflux/Σweight over an area of many pixels, for white noise in the input,
    square pixels and drops of one size, and phases that are spread evenly; any number of images, and any weights that
    do not follow the phase. Rotation changes R by no more than 0.4 % (45°, r = 1), which is left out. It does not hold
    for grids that differ by whole pixels (one part of each drop: R = 1), for point drops (R = 1, pixfrac 0) and
    Gaussian ones only with p of their own.

    Parameters
    ----------
    ratio
        s, side of an output pixel over that of an input pixel.
    pixfrac
        d, side of a drop over that of its pixel, 0 to 1.

    Returns
    -------
    float
        R, 1 or more: 1.5 at equal sizes, towards 1 for large output pixels, d/s for small ones.

    Raises
    ------
    InputError
        For a ratio that is not positive and finite, or a pixfrac outside 0 to 1.

    References
    ----------
    Fruchter & Hook 2002, PASP 114, 144.
    """
    if not 0.0 < ratio < math.inf:
        raise InputError(f"pixel ratio {ratio} is not a positive number; give output over input pixel side")
    if not 0.0 <= pixfrac <= 1.0:
        raise InputError(f"pixfrac {pixfrac} is outside 0 to 1; give the drop's side over its pixel's")
    r = pixfrac / ratio
    return 1.0 / (1.0 - r / 3.0) if r <= 1.0 else r / (1.0 - 1.0 / (3.0 * r))


def kept_variance(phase: NDArray[np.float64], ratio: float) -> NDArray[np.float64]:
    """Part of the variance of input pixels that the mean over an output pixel keeps, along one axis.

    An output pixel from ``phase`` to ``phase + ratio`` shares the lengths l with pixels of side 1: Σ l²/ratio². It is 1
    where the pixels coincide, and depends on how they lie; in the mean over phases, for both axes, it is
    1/(R ratio)² with R of `correlation_factor`.

    Parameters
    ----------
    phase
        Where output pixels begin, in input pixels; 0 is an edge between two.
    ratio
        Side of an output pixel over that of an input pixel.
    """
    first = np.minimum(1.0 - phase % 1.0, ratio)
    whole, last = np.divmod(ratio - first, 1.0)
    return np.asarray((first**2 + whole + last**2) / ratio**2)
