"""Clip: values of a pixel that do not belong to the others are taken out, at the same rate however few there are.

Notation: n values v of one pixel, m of them in the core; mean and S = Σ (v − mean)² of the core; k the limit in σ.

The core starts as the n//2 + 1 values nearest to the median (5 at the least, where there are more), so that fewer than
half may be wrong, several alike too, and grows outward: the next value joins it while it fits. From the first that does
not, the core stays as it is and decides on the rest. No value is judged by a scale that it had a part in. It fits when,
at its side,

    scale from the others    (v − mean)² <= t(k, m−1)² · (1 + 1/m) · S / ((m−1) T)
    σ of each value known    (v − mean)² <= k² (σ² + 1/Σ 1/σ²), mean by 1/σ², core of n//2 + 1, distances in σ

t(k, ν) is the quantile of Student's t beyond which lies what lies beyond k of a Gaussian. For the outermost value
(m = n − 1) this is the externally studentized residual, which follows just that t of n − 2 degrees of freedom (Cook &
Weisberg 1982, Residuals and Influence in Regression, 2.2): it is rejected in error as often as a Gaussian's is beyond
k. Further in, the core lacks its tails: T is the variance of a Gaussian cut to the part (m + 1)/n in its middle.
Deciding from the inside outward keeps outliers from masking each other (Rosner 1983, Technometrics 25, 165).

Limits (3, 3), Monte Carlo: how often a value is rejected in error, over the 0.0027 of a Gaussian (± 0.01; the most is
1.39, of 9 values; at limits of 2 and 4 it is 1.55); how often one value among n that is 10 σ off is found, and two of
the same size both::

    n                            3      4      5      7     10     50
    scale from the others     1.00   0.99   1.00   1.31   1.28   1.03
      one found              0.028   0.19   0.58   0.97   1.00   1.00
      two found                  0      0      0   0.54   0.97   1.00
    σ known                   0.94   0.97   0.99   0.99   1.00   0.98
      one found               1.00   1.00   1.00   1.00   1.00   1.00
      half of σ five times    0.83   0.79   0.99   0.99   0.99   1.00

Three values without σ tell little: what is 3 σ among many is 289 times the standard deviation of the two that agree (a
cosmic ray of 1000 σ is found). Of two values nothing is rejected, with variances neither: no number says which is
wrong. What differs by no more than rounding always fits, and two values that are equal by chance give no scale. Whole
numbers whose σ is 1 or less are equal by chance more often than rates allow for: give their variances.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dmontage.kernels._jit import kernel, primitive

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["reject"]

_FEW = 32
"""Values up to which insertion is the faster sort."""

_CORE = 5
"""Values of a core at the least, where there are more: fewer would know too little of their own scale."""

_LEAST_VARIANCE = 1e-80
"""Stands for σ² = 0; far below what a float32 holds, and its inverse far from overflow."""


@primitive
def _sort(keys: Floats, order: NDArray[np.int64], n: int) -> None:
    """Numbers 0 to n - 1 in the order of their keys, equal ones as they come."""
    if n > _FEW:
        order[:n] = np.argsort(keys[:n], kind="mergesort")
        return
    for k in range(n):
        j = k
        while j > 0 and keys[order[j - 1]] > keys[k]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = k


@primitive
def _outward(u: Floats, order: NDArray[np.int64], n: int, out: NDArray[np.int64]) -> None:
    """From the numbers of sorted values those in the order of their distance from the median, where u is 0."""
    below, above = (n - 1) // 2, (n - 1) // 2 + 1
    for k in range(n):
        if above == n or (below >= 0 and -u[order[below]] <= u[order[above]]):
            out[k] = order[below]
            below -= 1
        else:
            out[k] = order[above]
            above += 1


@primitive
def _by_spread(
    u: Floats, rounding: Floats, order: NDArray[np.int64], n: int, low: Floats, high: Floats, widths: Floats,
    bad: NDArray[np.bool_],
) -> int:  # fmt: skip
    """Judge values u (from their median) in order of distance; the scale is the core's."""
    m, found, growing = max(n // 2 + 1, min(n - 1, _CORE)), 0, True
    total, squares, least = 0.0, 0.0, 0.0
    for j in range(n):
        k = order[j]
        if j >= m:
            off = u[k] - total / m
            spread = max(squares - total * total / m, 0.0)
            limit = high[m] if off > 0.0 else low[m]
            told = spread > 0.0 or m > 2
            if told and abs(off) > max(least, rounding[k]) and off * off > limit * limit * widths[m] * spread:
                bad[k] = True
                found += 1
                growing = False
            elif growing:
                m += 1
        if growing:
            total += u[k]
            squares += u[k] * u[k]
            least = max(least, rounding[k])
    return found


@primitive
def _by_variance(
    u: Floats, rounding: Floats, variance: Floats, order: NDArray[np.int64], n: int, low: float, high: float,
    bad: NDArray[np.bool_],
) -> int:  # fmt: skip
    """Judge values u in order of distance; the scale is known."""
    found, growing = 0, True
    total, weight, least = 0.0, 0.0, 0.0
    for j in range(n):
        k = order[j]
        if j > n // 2:
            off = u[k] - total / weight
            limit = high if off > 0.0 else low
            if abs(off) > max(least, rounding[k]) and off * off > limit * limit * (variance[k] + 1.0 / weight):
                bad[k] = True
                found += 1
                growing = False
        if growing:
            total += u[k] / variance[k]
            weight += 1.0 / variance[k]
            least = max(least, rounding[k])
    return found


@kernel
def reject(
    stack: Floats,
    rounding: NDArray[np.float32],
    variances: NDArray[np.float32],
    low: Floats,
    high: Floats,
    widths: Floats,
    rejected: NDArray[np.int32],
) -> None:
    """Make NaN of the values of a stack that do not belong to the others, in place, and count them.

    Parameters
    ----------
    stack
        (n, ny, nx) values, NaN where an image does not contribute.
    rounding
        (n, ny, nx) what each may be off by rounding alone.
    variances
        (n, ny, nx) σ² of each; (0, 0, 0) where they are not known.
    low, high
        (n + 1,) limits below and above a core of m values: t(k, m − 1), or k itself where σ² is known; infinite where
        nothing is rejected on a side.
    widths
        (n + 1, n + 1) (1 + 1/m) / ((m − 1) T) of a core of m (second index) among n (first).
    rejected
        (ny, nx) numbers of values that were taken out.
    """
    n, ny, nx = stack.shape
    known = variances.shape[0] > 0
    v, r, s, key = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    which, order, outward = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    bad = np.empty(n, np.bool_)
    for j in range(ny):
        for i in range(nx):
            m = 0
            for k in range(n):
                value = stack[k, j, i]
                if value == value:  # noqa: PLR0124 (NaN is not equal to itself)
                    v[m], r[m], which[m], bad[m] = value, rounding[k, j, i], k, False
                    s[m] = max(np.float64(variances[k, j, i]), _LEAST_VARIANCE) if known else 1.0
                    m += 1
            rejected[j, i] = 0
            if m < 3:
                continue
            _sort(v, order, m)
            centre = 0.5 * v[order[(m - 1) // 2]] + 0.5 * v[order[m // 2]]
            for k in range(m):
                v[k] -= centre
                key[k] = abs(v[k]) / np.sqrt(s[k])
            if known:
                _sort(key, outward, m)
                rejected[j, i] = _by_variance(v, r, s, outward, m, low[m], high[m], bad)
            else:
                _outward(v, order, m, outward)
                rejected[j, i] = _by_spread(v, r, outward, m, low, high, widths[m], bad)
            if rejected[j, i] > 0:
                for k in range(m):
                    if bad[k]:
                        stack[which[k], j, i] = np.nan
