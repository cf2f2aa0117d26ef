"""The noise of pairs: how much more that of an overlap's mean is than its pixels' scatter says.

Projection makes neighbours alike, and takes from their scatter what their mean keeps. How much it takes depends on how
the images' pixels lie on the grid, which along an overlap may hardly change: by the mean over all phases the variance
of such a pair would be a fifth off, and twice too large for images that lie on the grid already.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from dmontage.noise import kept_variance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dmontage.planner import MosaicPlan
    from dmontage.window import Window

    Floats = NDArray[np.float64]

__all__ = ["pair_correlations"]

_AT_ONCE = 4096
"""Pairs whose numbers are held at once."""
_SIDE = 12
"""Pixel corners along each side of an overlap at which the phase is looked at."""


def pair_correlations(plan: MosaicPlan) -> list[float]:
    """Of each pair, what projection enlarges the covariance of a fit by, beside the pixels' own scatter.

    With kept variances k and ratios r of output to input pixels the scatter is Σ σ² k, and the variance of the mean of
    n pixels Σ σ²/(r² n). The noise is taken to be the same per solid angle, σ ∝ r: then it is 2/Σ k r².
    """
    out: list[float] = []
    for start in range(0, len(plan.pairs), _AT_ONCE):
        pairs = plan.pairs[start : start + _AT_ONCE]
        ends = [[pair.plus for pair in pairs], [pair.minus for pair in pairs]]
        windows = [pair.window for pair in pairs]
        edges = [_edges(plan, rows, windows) for rows in ends]
        kept = [list(map(partial(_kept, plan), *side)) for side in zip(ends, (windows, windows), edges, strict=True)]
        out += [2.0 / (plus + minus) for plus, minus in zip(*kept, strict=True)]
    # Tasks carry them by the hundred, and half of a double's digits are zeros then, which packing takes away.
    return list(map(float, np.array(out, np.float32)))


def _edges(plan: MosaicPlan, rows: Sequence[int], windows: Sequence[Window]) -> NDArray[np.int64]:
    """(k, 2, 12) pixel edges of images, along x and along y, spread evenly over what some windows take of them.

    The map is nearly affine: that tells where to look, and the map itself what the phases are.
    """
    outlines = np.array([plan.rows[row].outline for row in rows])
    shape = np.array([plan.rows[row].image.grid.shape for row in rows])[:, ::-1]
    w = np.array([(w.x0, w.x1, w.y0, w.y1) for w in windows])
    along_x, along_y = ((outlines[:, k] - outlines[:, 0]) / shape[:, [n]] for k, n in ((1, 0), (3, 1)))
    dx, dy = w[:, [0, 0, 1, 1]] - 0.5 - outlines[:, :1, 0], w[:, [2, 3, 2, 3]] - 0.5 - outlines[:, :1, 1]
    (xx, xy), (yx, yy) = along_x.T[:, :, None], along_y.T[:, :, None]
    det = xx * yy - xy * yx
    inside = np.stack([(dx * yy - dy * yx) / det, (dy * xx - dx * xy) / det], axis=1)
    first, last = np.maximum(inside.min(axis=2), 0.0), np.minimum(inside.max(axis=2), shape)
    steps = (last - first)[:, :, None] * np.arange(_SIDE) / (_SIDE - 1)
    return np.asarray(np.rint(first[:, :, None] + steps), np.int64)


def _kept(plan: MosaicPlan, row: int, window: Window, edges: NDArray[np.int64]) -> float:
    """K r² of an image's noise in a window: from the phases of its pixels there, or in the mean over all phases."""
    ratio, mapping = plan.ratios[row], plan.rows[row].mapping
    if plan.drop.whole and not mapping.cut:
        x, y = (np.array(sorted(set(some))) for some in edges.tolist())
        at = mapping.corners(x, y)
        off = np.abs(at - window.middle)
        ny, nx = window.shape
        at = at[(off[:, 0] <= nx / 2) & (off[:, 1] <= ny / 2)]
        if len(at):
            phase = -((at + 0.5) % 1.0) * ratio
            return float(kept_variance(phase, ratio).prod(axis=1).mean()) * ratio**2
    return plan.correlation(ratio) ** -2
