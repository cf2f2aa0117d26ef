"""The geometry of overlaps, from the images' outlines: how much of an overlap there is, and who shares it.

All is looked at on one lattice of points, some 50 along an image: each image marks the points that it covers, and they
are counted. That takes as long as there are images and pairs, however deep they lie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dmontage.window import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.planner import MosaicPlan

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["Overlaps", "overlap_geometry"]

_ALONG = 48
"""Points of the lattice along the shorter side of the median image."""


class Overlaps(NamedTuple):
    """Of the m pairs of a plan."""

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


class _Cover(NamedTuple):
    """The lattice points of an image's window, in numbers of the lattice, and which of them it covers."""

    window: Window
    inside: NDArray[np.bool_]


def overlap_geometry(plan: MosaicPlan, met: NDArray[np.bool_] | None = None) -> Overlaps:
    """Look at all overlaps of a plan; images without a pair that ``met`` in some pixel, (m,), cover nothing."""
    rows, pairs = plan.rows, plan.pairs
    step = max(1, int(np.median([min(row.window.shape) for row in rows])) // _ALONG)
    covers = [_cover(row.window, np.array(row.outline), step) for row in rows]
    ends = np.array([(pair.plus, pair.minus) for pair in pairs], np.int64).reshape(len(pairs), 2)
    shown = np.unique(ends if met is None else ends[met])
    low_y, low_x = (min((getattr(c.window, name) for c in covers), default=0) for name in ("y0", "x0"))
    high_y, high_x = (max((getattr(c.window, name) for c in covers), default=0) for name in ("y1", "x1"))
    everything = Window(low_y, high_y, low_x, high_x)
    depth = np.zeros(everything.shape, np.int32)
    for k in shown:
        depth[covers[k].window.relative_to(everything).slices] += covers[k].inside
    moments, share = np.zeros((len(pairs), 3, 3)), np.ones(len(pairs))
    for k, pair in enumerate(pairs):
        a, b = covers[pair.plus], covers[pair.minus]
        common = a.window & b.window
        both = a.inside[common.relative_to(a.window).slices] & b.inside[common.relative_to(b.window).slices]
        if not both.any():  # narrower than the lattice: the window tells
            moments[k] = _moments(np.ones((1, 1), bool), np.zeros(1), np.zeros(1), *pair.window.shape)
            continue
        share[k] = np.mean(2 / np.maximum(depth[common.relative_to(everything).slices][both], 2))
        x0, y0 = pair.origin
        at_x, at_y = step * np.arange(common.x0, common.x1), step * np.arange(common.y0, common.y1)
        moments[k] = _moments(both, np.asarray(at_x - x0, float), np.asarray(at_y - y0, float), step, step)
    origins = np.array([pair.origin for pair in pairs], float).reshape(len(pairs), 2)
    return Overlaps(ends, origins, moments, share)


def _cover(window: Window, outline: Floats, step: int) -> _Cover:
    """Points at multiples of ``step`` in a window, and those in a convex quadrilateral (4, 2) of either direction."""
    w = Window(*(-(-edge // step) for edge in (window.y0, window.y1, window.x0, window.x1)))
    y, x = (np.arange(w.y0, w.y1)[:, None] * step, np.arange(w.x0, w.x1) * step)
    sides = [
        dx * (y - y0) - dy * (x - x0)
        for (x0, y0), (dx, dy) in zip(outline, np.roll(outline, -1, axis=0) - outline, strict=True)
    ]
    inside = np.logical_and.reduce([side >= 0 for side in sides])
    return _Cover(w, inside | np.logical_and.reduce([side <= 0 for side in sides]))


def _moments(both: NDArray[np.bool_], u: Floats, v: Floats, height: float, width: float) -> Floats:
    """(3, 3) of pixels in boxes about those points of a lattice, u (nx,) times v (ny,), that ``both`` marks."""
    some = both.astype(np.float64)
    by_x, by_y = some.sum(axis=0), some.sum(axis=1)
    n, su, sv, suv = by_x.sum(), by_x @ u, by_y @ v, v @ some @ u
    suu, svv = by_x @ (u * u) + n * (width**2 - 1) / 12, by_y @ (v * v) + n * (height**2 - 1) / 12
    return np.asarray(height * width * np.array([[n, su, sv], [su, suu, suv], [sv, suv, svv]]))
