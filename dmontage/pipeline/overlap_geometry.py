"""The geometry of overlaps, from the images' outlines: how much of an overlap there is, and who shares it.

All is looked at on one lattice of points, some 50 along an image: each image marks the points that it covers, and they
are counted. That takes as long as there are images and pairs, however deep they lie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dmontage.model import OverlapPair

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["Overlaps", "overlap_geometry"]

_ALONG = 48
"""Points of the lattice along the shorter side of the median image."""
_BAND = 1024
"""Lines of the lattice whose overlaps are looked at together: of a whole survey the lattice would not fit in memory."""


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


def overlap_geometry(
    windows: Sequence[Window],
    outlines: Sequence[Floats] | Floats,
    pairs: Sequence[OverlapPair],
    met: NDArray[np.bool_] | None = None,
) -> Overlaps:
    """Look at all overlaps of rows.

    Parameters
    ----------
    windows, outlines
        Of the rows; outlines (4, 2) are those of `Footprint.outline`.
    pairs
        Of rows, by their numbers.
    met
        (m,) flags: images without a pair that met in some pixel cover nothing.
    """
    step = max(1, int(np.median([min(window.shape) for window in windows])) // _ALONG) if pairs else 1
    ends = np.array([(pair.plus, pair.minus) for pair in pairs], np.int64).reshape(len(pairs), 2)
    # First and end in y, first and end in x, in numbers of the lattice.
    boxes = -(-np.array([(w.y0, w.y1, w.x0, w.x1) for w in windows], np.int64).reshape(-1, 4) // step)
    shown = np.zeros(len(windows), bool)
    shown[ends if met is None else ends[met]] = True
    moments, share = np.zeros((len(pairs), 3, 3)), np.ones(len(pairs))
    first = np.maximum(boxes[ends[:, 0], 0], boxes[ends[:, 1], 0])
    for band in np.unique(first // _BAND):
        mine = np.flatnonzero(first // _BAND == band)
        _look(mine, [pairs[k] for k in mine.tolist()], step, boxes, shown, outlines, moments, share)
    origins = np.array([pair.origin for pair in pairs], float).reshape(len(pairs), 2)
    return Overlaps(ends, origins, moments, share)


def _look(
    numbers: Ints,
    pairs: Sequence[OverlapPair],
    step: int,
    boxes: Ints,
    shown: NDArray[np.bool_],
    outlines: Sequence[Floats] | Floats,
    moments: Floats,
    share: Floats,
) -> None:
    """Fill in moments and shares of some pairs, near each other in y."""
    ends = np.array([(pair.plus, pair.minus) for pair in pairs])
    everything = _hull(boxes[ends.ravel()])
    meets = shown & (boxes[:, 0] < everything.y1) & (boxes[:, 1] > everything.y0)
    near = np.flatnonzero(meets & (boxes[:, 2] < everything.x1) & (boxes[:, 3] > everything.x0))
    covers = {k: _cover(Window(*boxes[k].tolist()), outlines[k], step) for k in np.union1d(near, ends).tolist()}
    depth = np.zeros(everything.shape, np.int32)
    for k in near.tolist():
        window, inside = covers[k]
        part = window & everything
        depth[part.relative_to(everything).slices] += inside[part.relative_to(window).slices]
    for k, pair in zip(numbers.tolist(), pairs, strict=True):
        (a, inside_a), (b, inside_b) = covers[pair.plus], covers[pair.minus]
        common = a & b
        both = inside_a[common.relative_to(a).slices] & inside_b[common.relative_to(b).slices]
        if not both.any():  # narrower than the lattice: the window tells
            moments[k] = _moments(np.ones((1, 1), bool), np.zeros(1), np.zeros(1), *pair.window.shape)
            continue
        share[k] = np.mean(2 / np.maximum(depth[common.relative_to(everything).slices][both], 2))
        x0, y0 = pair.origin
        at_x, at_y = step * np.arange(common.x0, common.x1), step * np.arange(common.y0, common.y1)
        moments[k] = _moments(both, np.asarray(at_x - x0, float), np.asarray(at_y - y0, float), step, step)


def _hull(boxes: Ints) -> Window:
    low, high = boxes.min(axis=0), boxes.max(axis=0)
    return Window(int(low[0]), int(high[1]), int(low[2]), int(high[3]))


def _cover(window: Window, outline: Floats, step: int) -> tuple[Window, NDArray[np.bool_]]:
    """A window of the lattice, and those of its points that lie in a convex quadrilateral of either direction."""
    y, x = (np.arange(window.y0, window.y1)[:, None] * step, np.arange(window.x0, window.x1) * step)
    along = outline[[1, 2, 3, 0]] - outline
    sides = [dx * (y - y0) - dy * (x - x0) for (x0, y0), (dx, dy) in zip(outline.tolist(), along.tolist(), strict=True)]
    inside = np.logical_and.reduce([side >= 0 for side in sides])
    return window, inside | np.logical_and.reduce([side <= 0 for side in sides])


def _moments(both: NDArray[np.bool_], u: Floats, v: Floats, height: float, width: float) -> Floats:
    """(3, 3) of pixels in boxes about those points of a lattice, u (nx,) times v (ny,), that ``both`` marks."""
    some = both.astype(np.float64)
    by_x, by_y = some.sum(axis=0), some.sum(axis=1)
    n, su, sv, suv = by_x.sum(), by_x @ u, by_y @ v, v @ some @ u
    suu, svv = by_x @ (u * u) + n * (width**2 - 1) / 12, by_y @ (v * v) + n * (height**2 - 1) / 12
    return np.asarray(height * width * np.array([[n, su, sv], [su, suu, suv], [sv, suv, svv]]))
