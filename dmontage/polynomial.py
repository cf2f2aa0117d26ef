"""Tensor Chebyshev polynomials on [−1, 1]², in plain numpy, for fits and checks at few points (level 0).

Values and coefficients are ``[j (y), i (x)]``. Many points are the business of `dmontage.kernels.chebyshev`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.polynomial.chebyshev import chebvander

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["coefficients", "roots", "spread", "values_at"]


def roots(degree: int) -> NDArray[np.float64]:
    """The ``degree + 1`` points at which a polynomial of that degree is best interpolated."""
    return np.asarray(np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1)))


def coefficients(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients (n, n) of the polynomial through values (n, n) at the tensor points of ``roots(n - 1)``."""
    weights = _weights(len(values))
    return np.asarray(weights @ values @ weights.T)


@lru_cache(maxsize=64)
def _weights(n: int) -> NDArray[np.float64]:
    """From n values at the roots to n coefficients."""
    # At the roots the Chebyshev polynomials are orthogonal: a discrete cosine sum inverts their table.
    weights = chebvander(roots(n - 1), n - 1).T * (2.0 / n)
    weights[0] *= 0.5
    return np.asarray(weights)


def spread(t: NDArray[np.float64], first: int, last: int) -> NDArray[np.float64]:
    """Pixel coordinates of points ``t`` in [−1, 1] over the pixels ``first`` to ``last`` (excluded), edge to edge."""
    return np.asarray(first - 0.5 + 0.5 * (last - first) * (t + 1.0))


def values_at(coef: NDArray[np.float64], t_x: NDArray[np.float64], t_y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values (len(t_y), len(t_x)) of a polynomial at tensor points."""
    return np.asarray(chebvander(t_y, coef.shape[0] - 1) @ coef @ chebvander(t_x, coef.shape[1] - 1).T)
