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

**Steep images.** The prior on the slopes is that of the usual image. One that the overlaps give slopes beyond 3τ, as by
a bright nebula's light in the instrument, is not usual: its own τ is a third of its slopes, iterated. Else the prior
would bend it, and what it leaves would count as misfit, which lets the prior bend more (on a survey about M42 the
overlaps were left with four times as much).

**Rejection.** A first solution by least squares spreads a gross error over its neighbours, so where any t is large one
of least absolute deviations, Σ t, is sought by iterated weights min(1, c/t): the majority rules. From there weights
1/(1 + (t/b)²) take away what pull the gross ones have left. Such a solution goes through as many pairs as it has
parameters for, so what t usually is, is told by the median of the others; five times that is too much. These pairs are
left out, and listed, unless the misfit that is then found explains them. The last tie of an image to its group keeps a
millionth of its weight: it gives the image a level, if a doubtful one, and bends nobody.

References
----------
Huber 1981, Robust Statistics, 7.8. Holland & Welsch 1977, Comm. Statist. A6, 813.
Paule & Mandel 1982, J. Res. NBS 87, 377.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dmontage.background.tables import ranks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.background.least_squares import Fitted, LeastSquares
    from dmontage.background.tables import Floats, Ints, PairTable

    Flags = NDArray[np.bool_]

__all__ = ["Robust", "robust_fit"]

_LIMIT = 5.0
"""Rejected above this many robust standard deviations."""
_CORNER = 1.5
"""c: weights fall from here on."""
_WIDTH = 2.385
"""b, in units of the usual t: 95 % efficient for Gaussian errors."""
_TIE = 1e-6
"""Weight of a pair that disagrees, but is the last one of an image."""
_MEDIAN = 0.789
"""Median of χ² with three degrees of freedom, over three."""
_STEEP = 3.0
"""Slopes in τ above which an image is none of those that the prior speaks of."""
_CLOSE = 0.03
"""Change of κ², of a width or of t below which they have come to rest: errors are known to two digits at best."""
_ROUNDS = 20
"""Of misfit and widths; they take some five."""
_FIRST, _STEPS = 10, 30
"""Steps towards least absolute deviations, and all steps at most."""


class Robust(NamedTuple):
    """The last solution, and what it was made from."""

    fitted: Fitted
    kept: Flags
    """(m,) pairs that were not rejected."""
    misfit: float
    """κ²."""
    t: Floats
    """(m,) of all pairs, with the misfit in their errors."""


def robust_fit(problem: LeastSquares) -> Robust:
    """Fit the pairs to one another, without those that disagree grossly."""
    pairs, n = problem.pairs, len(problem.frames)
    w = problem.w * problem.weight
    share = np.ones(len(w)) if pairs.share is None else pairs.share
    search = _Search(w, share, ranks(pairs, w, problem.frames), problem)
    fitted = problem.fit(share)
    kept = np.ones(len(w), bool)
    if not (search.t(fitted, kept) > _LIMIT).any():
        return search.settled(kept, share, fitted)
    t, kept = search.majority(fitted)
    ties = _TIE * share * _tree(pairs, t, n)
    found = search.settled(kept, np.where(kept, share, ties))
    explained = kept | (found.t <= _LIMIT)
    return found if np.array_equal(explained, kept) else search.settled(explained, np.where(explained, share, ties))


class _Search(NamedTuple):
    """The pairs' information, shares and ranks, and how they are fitted."""

    w: Floats
    share: Floats
    rank: Ints
    problem: LeastSquares

    def settled(self, kept: Flags, weights: Floats, fitted: Fitted | None = None) -> Robust:
        """The solution from the pairs kept, with the misfit that they show; a first one may be there already."""
        misfit, width = 0.0, np.ones(len(self.problem.frames))
        for _ in range(_ROUNDS):
            fitted = fitted or self.problem.fit(weights * _damping(self.w, misfit), width)
            found, before = Robust(fitted, kept, misfit, self.t(fitted, kept, misfit)), width
            misfit, width = self._misfit(found), np.maximum(1.0, fitted.steepness / _STEEP)
            if abs(misfit - found.misfit) <= _CLOSE * misfit and (np.abs(width - before) <= _CLOSE * before).all():
                break
            fitted = None
        return found

    def t(self, fitted: Fitted, kept: Flags, misfit: float = 0.0) -> Floats:
        """(m,) of all pairs; those not kept have no part in the solution."""
        w, r = self.w * _damping(self.w, misfit)[:, None, None], fitted.residuals
        weighted = (w @ r[:, :, None])[:, :, 0]
        if not kept.all():
            apart = w[~kept]
            inflated = np.eye(3) + fitted.predicted(~kept) @ apart
            weighted[~kept] = (apart @ np.linalg.solve(inflated, r[~kept, :, None]))[:, :, 0]
        return np.asarray(np.sqrt(np.maximum((r * weighted).sum(axis=1), 0.0) / np.maximum(self.rank, 1)))

    def majority(self, fitted: Fitted) -> tuple[Floats, Flags]:
        """(m,) t of all pairs about the solution of least absolute deviations, and which of them are not too large."""
        everything = np.ones(len(self.w), bool)
        free = min(fitted.n_effective / max(float(self.share @ self.rank), 1.0), 0.9)
        t = self.t(fitted, everything)
        for step in range(_STEPS):
            before, usual = t, max(1.0, float(np.sqrt(np.quantile(t**2, 0.5 + 0.5 * free) / _MEDIAN)))
            pull = _CORNER / np.maximum(t, _CORNER) if step < _FIRST else 1 / (1 + (t / (_WIDTH * usual)) ** 2)
            t = self.t(self.problem.fit(self.share * pull), everything)
            if step > _FIRST and (np.abs(t - before) <= _CLOSE * np.maximum(t, usual)).all():
                break
        return t, t <= _LIMIT * usual

    def _misfit(self, found: Robust) -> float:
        """κ² that makes the χ² of the pairs kept what it should be; 0 where it is not significantly larger without."""
        kept = found.kept
        w, r = self.w[kept], found.fitted.residuals[kept]
        squares = self.share[kept] * np.einsum("ka,kab,kb->k", r, w, r)
        n_equations, chi2 = float(self.share[kept] @ self.rank[kept]), float(squares.sum())
        # That all parameters are free is quickly said; how many the prior fixes takes as long as the solution.
        if found.misfit == 0 and _is_usual(chi2, n_equations - found.fitted.n_free):
            return 0.0
        expected = n_equations - found.fitted.n_effective
        if expected < 1 or (found.misfit == 0 and _is_usual(chi2, expected)):
            return 0.0

        # In units of the usual pair's variance: pixels of 1e-20 and of 1e20 are as good as any.
        unit = 1 / float(np.median(w[:, 0, 0]))

        def excess(misfit: float) -> float:
            return float((squares * _damping(w, misfit * unit)).sum()) - expected

        if excess(0.0) <= 0:
            return 0.0
        from scipy.optimize import brentq

        high = 1.0
        while excess(high) > 0:
            high *= 4
        return unit * float(brentq(excess, 0.0, high, rtol=1e-6))


def _is_usual(chi2: float, expected: float) -> bool:
    """True where χ² is within three of its standard deviations of what is expected, or below."""
    return expected >= 1 and chi2 < expected + 3 * np.sqrt(2 * expected)


def _damping(w: Floats, misfit: float) -> Floats:
    """(m,) what a misfit κ² leaves of the pairs' information."""
    return np.asarray(1 / (1 + misfit * w[:, 0, 0]))


def _tree(pairs: PairTable, t: Floats, n: int) -> Flags:
    """(m,) pairs of the tree that ties each group together with the least t."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    order = np.argsort(t, kind="stable")
    ends = np.stack((np.minimum(pairs.plus, pairs.minus), np.maximum(pairs.plus, pairs.minus)), axis=1)[order]
    # Of several pairs of the same two images the best; places and not t itself, which may be zero.
    _, first = np.unique(ends, axis=0, return_index=True)
    rows, columns = ends[first].T.astype(np.int32)  # scipy before 1.17 takes no others in graphs
    links = coo_array((first + 1.0, (rows, columns)), shape=(n, n)).tocsr()
    chosen = minimum_spanning_tree(links).data.astype(np.int64) - 1
    flags = np.zeros(t.size, bool)
    flags[order[chosen]] = True
    return flags
