"""Pairs that disagree with the rest, and what all pairs disagree by beyond their stated errors (level 3).

Notation::

    r, W        what a solution leaves of a pair's difference (3,), and its information
    V           covariance of what a solution says of the difference of a pair that has no part in it
    t²          rᵀ W r, or rᵀ (W⁻¹ + V)⁻¹ r of such a pair, over the rank of W: 1 or less where the errors are right
    κ           misfit: standard deviation of what no plane describes, as a level over the overlap

**Misfit.** Statistical errors of an overlap of 10⁵ pixels are a few thousandths of the noise; real backgrounds are not
planes to that, nor do two nights see the same nebula. A pair's difference has the covariance W⁻¹ + κ² S, where S is
W⁻¹ scaled to a unit variance of the level: what no plane describes tilts an overlap as it tilts its noise. So its
information is W/(1 + κ² W₀₀): no pair is more precise than κ, be it of two images that share their raw pixels. (κ in
units of each pair's own scatter was tried: such pairs then rule, and leave 1.7 times as much to the others of a survey
about M42, whose images are not planes apart.) κ² is what makes χ² = Σ rᵀ W r equal to its expectation ν (Mandel &
Paule), and zero unless χ² exceeds that by three of its standard deviations.

**Rejection.** A first solution by least squares spreads a gross error over its neighbours, so where any t is large the
solution is iterated with the weights of a Cauchy distribution, 1/(1 + (t/c)²), whose width c follows the median of t
down: the majority rules. What then has t above the limit is left out, and listed. The last tie of an image to its group
keeps a millionth of its weight: it gives the image a level, if a doubtful one, and bends nobody.

References
----------
Holland & Welsch 1977, Comm. Statist. A6, 813. Paule & Mandel 1982, J. Res. NBS 87, 377.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from dmontage.background.tables import ranks

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from dmontage.background.tables import Floats, PairTable

    Flags = NDArray[np.bool_]

__all__ = ["Fitted", "Robust", "robust_fit"]

_LIMIT = 5.0
"""Rejected above this many robust standard deviations."""
_WIDTH = 2.385
"""c, in units of the usual t: 95 % efficient for Gaussian errors."""
_TIE = 1e-6
"""Weight of a pair that disagrees, but is the last one of an image."""
_MEDIAN = 0.789
"""Median of χ² with three degrees of freedom, over three."""
_ROUNDS, _STEPS = 8, 40


class Fitted(Protocol):
    """A solution by least squares."""

    @property
    def residuals(self) -> Floats:
        """(m, 3) what it leaves of all pairs' differences, also of those without weight."""
        ...

    def predicted(self, some: Flags) -> Floats:
        """(k, 3, 3) covariances of what it says of the differences of some pairs."""
        ...

    @property
    def n_effective(self) -> float:
        """Parameters that the differences fix: those of a prior count in part."""
        ...


class Fit(Protocol):
    """Least squares with the pairs' weights (m,), 0 for those left out."""

    def __call__(self, weights: Floats) -> Fitted: ...


class Robust(NamedTuple):
    """The last solution, and what it was made from."""

    fitted: Fitted
    kept: Flags
    """(m,) pairs that were not rejected."""
    misfit: float
    """κ²."""
    t: Floats
    """(m,) of all pairs, with the misfit in their errors."""


def robust_fit(pairs: PairTable, w: Floats, frames: Floats, fit: Fit) -> Robust:
    """Fit the pairs of information `w` (m, 3, 3) to one another by `fit`, without those that disagree grossly."""
    rank = ranks(pairs, w, frames)
    share = np.ones(len(w)) if pairs.share is None else pairs.share
    kept, misfit, sought = np.ones(len(w), bool), 0.0, False
    weights = kept.astype(float)
    for _ in range(_ROUNDS):
        damped = _damping(w, misfit)
        fitted = fit(share * damped * weights)
        t = _t(fitted.residuals, w, damped, rank)
        t[~kept] = _t_apart(fitted, w, damped, rank, ~kept)
        found = Robust(fitted, kept, misfit, t)
        if not sought and (t > _LIMIT * _usual(t)).any():
            t, sought = _majority(t, lambda weights: _t(fit(weights).residuals, w, damped, rank), share * damped), True  # noqa: B023
        kept = t <= _LIMIT * _usual(t[kept])
        weights = np.where(kept, 1.0, _TIE * _tree(pairs, t, len(frames)))
        if not np.array_equal(kept, found.kept):
            continue
        misfit = _misfit(fitted, w[kept], share[kept], rank[kept], kept, misfit)
        if abs(misfit - found.misfit) <= 0.02 * misfit:
            break
    return found


def _damping(w: Floats, misfit: float) -> Floats:
    """(m,) what a misfit κ² leaves of the pairs' information."""
    return np.asarray(1 / (1 + misfit * w[:, 0, 0]))


def _t(residuals: Floats, w: Floats, damping: Floats, rank: NDArray[np.int64]) -> Floats:
    squares = np.einsum("ka,kab,kb->k", residuals, w, residuals)
    return np.asarray(np.sqrt(np.maximum(squares, 0) * damping / np.maximum(rank, 1)))


def _t_apart(fitted: Fitted, w: Floats, damping: Floats, rank: NDArray[np.int64], some: Flags) -> Floats:
    """T of pairs that have no part in a solution."""
    r, information = fitted.residuals[some], w[some] * damping[some, None, None]
    weighted = information @ np.linalg.solve(np.eye(3) + fitted.predicted(some) @ information, r[:, :, None])
    return np.asarray(np.sqrt(np.maximum((r * weighted[:, :, 0]).sum(axis=1), 0) / np.maximum(rank[some], 1)))


def _usual(t: Floats) -> float:
    """What t is in the median, over what it should be; 1 or more."""
    return max(1.0, float(np.sqrt(np.median(t**2) / _MEDIAN))) if t.size else 1.0


def _majority(t: Floats, refit: Callable[[Floats], Floats], weights: Floats) -> Floats:
    """(m,) t of all pairs about a solution that large ones do not pull; ``refit`` gives it for weights (m,)."""
    for _ in range(_STEPS):
        usual = _usual(t)
        t = refit(weights / (1 + (t / (_WIDTH * usual)) ** 2))
        if _usual(t) > 0.99 * usual:
            break
    return t


def _tree(pairs: PairTable, t: Floats, n: int) -> Flags:
    """(m,) pairs of the tree that ties each group together with the least t."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    order = np.argsort(t, kind="stable")
    ends = np.stack((np.minimum(pairs.plus, pairs.minus), np.maximum(pairs.plus, pairs.minus)), axis=1)[order]
    # Of several pairs of the same two images the best; places and not t itself, which may be zero.
    _, first = np.unique(ends, axis=0, return_index=True)
    links = coo_array((first + 1.0, tuple(ends[first].T)), shape=(n, n)).tocsr()
    chosen = minimum_spanning_tree(links).data.astype(np.int64) - 1
    flags = np.zeros(t.size, bool)
    flags[order[chosen]] = True
    return flags


def _misfit(fitted: Fitted, w: Floats, share: Floats, rank: NDArray[np.int64], kept: Flags, before: float) -> float:
    """κ² that makes the residuals' χ² what it should be; 0 where it is not significantly larger without."""
    squares = share * np.einsum("ka,kab,kb->k", fitted.residuals[kept], w, fitted.residuals[kept])
    expected = float(share @ rank) - fitted.n_effective
    if expected < 1 or (before == 0 and squares.sum() < expected + 3 * np.sqrt(2 * expected)):
        return 0.0

    def excess(misfit: float) -> float:
        return float((squares * _damping(w, misfit)).sum()) - expected

    if excess(0.0) <= 0:
        return 0.0
    from scipy.optimize import brentq

    high = 1.0
    while excess(high) > 0 and high < 1e30:
        high *= 4
    return float(brentq(excess, 0.0, high, rtol=1e-6))
