"""The noise of pairs: how much more that of an overlap's mean is than its pixels' scatter says.

Projection makes neighbours alike, and takes from their scatter what their mean keeps. How much it takes depends on how
the images' pixels lie on the grid, which along an overlap may hardly change: by the mean over all phases the variance
of such a pair would be a fifth off, and twice too large for images that lie on the grid already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dmontage.noise import kept_variance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.planner import MosaicPlan
    from dmontage.window import Window

    Floats = NDArray[np.float64]

__all__ = ["pair_correlations"]

_SIDE = 12
"""Pixel corners along each side of an overlap at which the phase is looked at."""


def pair_correlations(plan: MosaicPlan) -> list[float]:
    """Of each pair, what projection enlarges the covariance of a fit by, beside the pixels' own scatter.

    With kept variances k and ratios r of output to input pixels the scatter is Σ σ² k, and the variance of the mean of
    n pixels Σ σ²/(r² n). The noise is taken to be the same per solid angle, σ ∝ r: then it is 2/Σ k r².
    """
    outlines = [np.array(row.outline) for row in plan.rows]
    out = []
    for pair in plan.pairs:
        kept = [_kept(plan, row, outlines[row], pair.window) for row in (pair.plus, pair.minus)]
        out.append(2.0 / sum(kept))
    return out


def _kept(plan: MosaicPlan, row: int, outline: Floats, window: Window) -> float:
    """K r² of an image's noise in a window: from the phases of its pixels there, or in the mean over all phases."""
    ratio, mapping = plan.ratios[row], plan.rows[row].mapping
    if plan.drop.whole and not mapping.cut:
        ny, nx = plan.rows[row].image.grid.shape
        # The map is nearly affine: that tells where to look, and the map itself what the phases are.
        along_x, along_y = (outline[1] - outline[0]) / nx, (outline[3] - outline[0]) / ny
        dx = np.array([window.x0, window.x0, window.x1, window.x1]) - 0.5 - outline[0, 0]
        dy = np.array([window.y0, window.y1, window.y0, window.y1]) - 0.5 - outline[0, 1]
        det = along_x[0] * along_y[1] - along_x[1] * along_y[0]
        in_x, in_y = (dx * along_y[1] - dy * along_y[0]) / det, (dy * along_x[0] - dx * along_x[1]) / det
        at = mapping.corners(_some(in_x, nx), _some(in_y, ny))
        at = at[(np.abs(at - window.middle) <= np.array(window.shape[::-1]) / 2).all(axis=1)]
        if len(at):
            phase = -((at + 0.5) % 1.0) * ratio
            return float(kept_variance(phase, ratio).prod(axis=1).mean()) * ratio**2
    return plan.correlation(ratio) ** -2


def _some(where: Floats, n: int) -> NDArray[np.int64]:
    """Edges, of n pixels, spread evenly over the range of some places."""
    first, last = max(float(where.min()), 0.0), min(float(where.max()), float(n))
    return np.array(sorted({round(first + (last - first) * k / (_SIDE - 1)) for k in range(_SIDE)}), np.int64)
