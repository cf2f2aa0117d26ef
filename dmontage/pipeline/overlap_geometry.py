"""The geometry of overlaps, from the images' outlines: how much of an overlap there is, and who shares it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.planner import MosaicPlan

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["Overlaps", "overlap_geometry"]

_SIDE = 8
"""Points along each side of an overlap's window at which it is looked at."""
_BATCH = 512
"""Pairs looked at at once."""


class Overlaps(NamedTuple):
    """Of the m pairs of a plan, sampled at 8 × 8 points of their windows."""

    ends: Ints
    """(m, 2) rows plus and minus."""
    origins: Floats
    """(m, 2) x, y of the windows' middles."""
    moments: Floats
    """(m, 3, 3) Σ (1, u, v)ᵀ(1, u, v) over the pixels that both images cover; u, v from the window's middle."""
    share: Floats
    """(m,) mean of 2/depth over these, depth being the number of images there.

    Σ over the pairs of n images of (d_ij − p_i + p_j)²/n is the sum of squares about their mean: weighted so, pairs
    count the noise of each image once, and give the estimate and the covariance of a fit to the images themselves.
    """


def overlap_geometry(plan: MosaicPlan, met: NDArray[np.bool_] | None = None) -> Overlaps:
    """Look at all overlaps of a plan; only pairs that ``met`` in some pixel, (m,), tell who covers those of others."""
    from scipy.sparse import coo_array

    m, n = len(plan.pairs), len(plan.rows)
    ends = np.array([(pair.plus, pair.minus) for pair in plan.pairs], np.int64).reshape(m, 2)
    sides = np.array([pair.window.shape for pair in plan.pairs], float).reshape(m, 2)
    outlines = np.array([row.outline for row in plan.rows])
    known = ends if met is None else ends[met]
    near = coo_array((np.ones(len(known)), (known[:, 0], known[:, 1])), shape=(n, n)).tocsr()
    near = near + near.T
    origins = np.array([pair.origin for pair in plan.pairs], float).reshape(m, 2)
    t = (np.arange(_SIDE) + 0.5) / _SIDE - 0.5
    moments, share = np.zeros((m, 3, 3)), np.ones(m)
    for first in range(0, m, _BATCH):
        part = slice(first, first + _BATCH)
        (plus, minus), (height, width) = ends[part].T, sides[part].T
        u, v = width[:, None] * np.tile(t, _SIDE), height[:, None] * np.repeat(t, _SIDE)
        points = np.stack((u, v), axis=-1) + origins[part, None]
        both = _inside(points, outlines[plus]) & _inside(points, outlines[minus])
        # What overlaps both may cover some of the overlap too.
        pair, other = near[plus].multiply(near[minus]).nonzero()
        covered = _inside(points[pair], outlines[other]).astype(np.float64)
        depth = 2.0 + coo_array((np.ones(pair.size), (pair, np.arange(pair.size))), (len(plus), pair.size)) @ covered
        n_both = both.sum(axis=1)
        share[part] = np.where(n_both > 0, (2 / depth * both).sum(axis=1) / np.maximum(n_both, 1), 1.0)
        design = np.stack((np.ones_like(u), u, v), axis=-1) * both[:, :, None]
        cell = height * width / _SIDE**2
        moments[part] = cell[:, None, None] * np.swapaxes(design, 1, 2) @ design
    return Overlaps(ends, origins, moments, share)


def _inside(points: Floats, outlines: Floats) -> NDArray[np.bool_]:
    """(k, p) which of the points (k, p, 2) lie in the convex quadrilaterals (k, 4, 2), of either direction."""
    edges = np.roll(outlines, -1, axis=1) - outlines
    to = points[:, :, None, :] - outlines[:, None, :, :]
    side = edges[:, None, :, 0] * to[..., 1] - edges[:, None, :, 1] * to[..., 0]
    return np.asarray((side >= 0).all(axis=-1) | (side <= 0).all(axis=-1))
