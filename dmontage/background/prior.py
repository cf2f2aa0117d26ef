"""The prior on the slopes: its standard deviation τ, given or estimated from the pairs (level 3).

The slope difference of a pair has the variance 2τ² + its own. Where the two are to be told apart, each pair is seen
along the two axes in which the errors of its slopes are independent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dmontage.background.tables import DEFICIENT
from dmontage.model import check_slope_prior

if TYPE_CHECKING:
    from dmontage.background.tables import Floats, PairTable

__all__ = ["is_negligible", "prior_of"]

_NEGLIGIBLE = 1e-12
"""Of what the data say: a prior below it is lost in the rounding of the normal equations."""


def prior_of(pairs: PairTable, information: Floats, wanted: float | str | None) -> float | None:
    """Prior standard deviation of the slopes, per pixel; the information is capped, in the unit of the pairs."""
    check_slope_prior(wanted)
    if wanted is None:
        return None
    return _slope_spread(pairs, information) if isinstance(wanted, str) else float(wanted)


def is_negligible(tau: float | None, information: Floats) -> bool:
    """True where a prior is so wide that the data's rounding hides it: its limit, the smallest gradient, is exact."""
    if not tau or not len(information):
        return False
    by_data = float(np.median(np.maximum(information[:, 1, 1], information[:, 2, 2])))
    return 1 / tau**2 < _NEGLIGIBLE * by_data


def _slope_spread(pairs: PairTable, w: Floats) -> float:
    """τ from the slope differences, each along the two axes in which its own errors are independent."""
    if not len(w):
        return 0.0
    # What the pair says of the slopes when its level is unknown.
    slopes = w[:, 1:, 1:] - w[:, 1:, :1] / w[:, :1, :1] * w[:, :1, 1:]
    values, vectors = np.linalg.eigh(slopes)
    known = values > DEFICIENT * np.maximum(w[:, 1, 1], w[:, 2, 2])[:, None]
    if not known.any():
        return 0.0
    own = 1 / values[known]
    squares = np.einsum("kab,ka->kb", vectors, pairs.difference[:, 1:])[known] ** 2
    spread = max(0.0, float(np.median(squares)) / 0.4549 - float(np.median(own)))  # 2τ²; median of χ² with 1 dof
    for _ in range(50):
        total = own + spread
        usual = squares < 25 * total  # beyond 5 σ it is no Gaussian slope but a bad pair
        if not usual.any():
            break
        share = (total[usual].min() / total[usual]) ** 2
        before, spread = spread, max(0.0, float(share @ (squares - own)[usual] / share.sum()))
        if abs(spread - before) <= 1e-6 * before:
            break
    return float(np.sqrt(spread / 2))
