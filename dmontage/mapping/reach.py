"""Reach: which pixels of two grids may meet on the sphere, by bounding caps of blocks of pixels.

A cap is a unit vector and a chord. It is taken around unit vectors sampled over a block and grown by the distance of
neighbouring samples, so that it holds what lies between; a box of pixel coordinates would miss what a pole, a seam or
the bulge of an edge puts outside. Chords obey the triangle inequality: caps meet only where the distance of their
centres is at most the sum of their chords. Where samples are undefined or uneven (a limb, a pole, a facet's edge) a
block is sampled again, at all its pixel corners if it is not very large.

Blocks of a large grid are large: what is found is searched again in smaller ones, until they have 64 pixels a side, or
are some 500.
"""

from __future__ import annotations

import math
from functools import lru_cache, reduce
from operator import or_
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from dmontage.sphere import lengths, rotate_frame
from dmontage.window import Window

if TYPE_CHECKING:
    from astropy.coordinates import BaseCoordinateFrame
    from astropy.wcs import WCS
    from numpy.typing import NDArray

    from dmontage.grid import Grid
    from dmontage.mapping.chain import Chain, Chart

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

__all__ = ["apart", "sky_sources", "sky_windows"]

_BLOCK = 64
"""Blocks are multiples of this many pixels."""
_MOST = 4096
"""Blocks of a grid at most; they are kept."""
_FINER = 512
"""Blocks at most of what is searched again: 64 find 1.6 times as much (15 times at CAR's poles) in 0.8 of the time;
4096 find the same, but take 2.7 times as long."""
_PARTS = 4
"""Parts of a block's side between samples."""
_FEW = 64
"""Blocks without a sample on the sky that are searched at all corners whatever their neighbours are."""
_MARGIN = 2
"""Fine samples that are taken beyond a block, so that the tip of a facet between two of them is not lost."""
_HALF_SKY = 1.4
"""Chord of somewhat less than a hemisphere."""
_WHOLE_SKY = 4.0
"""Chord that meets every cap; a cap beyond a hemisphere would not hold the great circles between its points."""
_PAIRS = 2**20


class _Caps(NamedTuple):
    """Caps of blocks of pixels."""

    centres: Floats
    """(n_y, n_x, 3) unit vectors."""
    chords: Floats
    """(n_y, n_x); −1 where no corner of the block is on the sky."""
    block: int
    """Side in pixels."""
    first: tuple[int, int]
    """Number (y, x) of the first block, counted from the grid's first pixel."""

    def window_of(self, mask: Bools) -> Window | None:
        """The pixels of the box of blocks that holds all those marked."""
        if not mask.any():
            return None
        (y0, y1), (x0, x1) = (np.nonzero(mask.any(axis=axis))[0][[0, -1]].tolist() for axis in (1, 0))
        (fy, fx), n = self.first, self.block
        return Window((fy + y0) * n, (fy + y1 + 1) * n, (fx + x0) * n, (fx + x1 + 1) * n)

    def turned(self, frame: BaseCoordinateFrame, to: BaseCoordinateFrame) -> _Caps:
        """The same caps in another frame."""
        return self._replace(centres=rotate_frame(self.centres, frame, to))


def sky_sources(grid_in: Grid, grid_out: Grid, window: Window) -> Window | None:
    """The input pixels that may meet a window of the output on the sphere; None where none does.

    Parameters
    ----------
    window
        Pixels of ``grid_out``.

    Returns
    -------
    Window or None
        Whole blocks of 64 (or a multiple) pixels counted from the first of ``grid_in``, cropped by its edge.
    """
    window &= grid_out.window
    if not window:
        return None
    caps_out = _kept_caps(grid_out, window, _block_of(grid_out.window)).turned(grid_out.frame, grid_in.frame)
    found = _search(grid_in, caps_out)
    return reduce(or_, found) if found else None


def sky_windows(grid_in: Grid, grid_out: Grid) -> list[Window]:
    """Disjoint windows of the output that hold every pixel which an image may reach on the sphere, in row order.

    One for each connected piece of the image's trace on the grid: an image across the seam of an all-sky map has two.
    """
    caps_in = _kept_caps(grid_in, grid_in.window, _block_of(grid_in.window))
    return sorted(_search(grid_out, caps_in.turned(grid_in.frame, grid_out.frame)))


def apart(chain: Chain) -> bool:
    """True only where two grids have no sky in common: told from few points of each, before anything is fitted."""
    mesh = chain.turn(chain.start.mesh[2])
    if _holds(chain.end, mesh[mesh.shape[0] // 2, mesh.shape[1] // 2]):
        return False
    meshes = np.stack([mesh, chain.end.mesh[2]])
    centres, chords, gaps, even = _around(np.moveaxis(meshes, -1, 1))
    a, b = np.where(even & (chords + gaps < _HALF_SKY), chords + gaps, _WHOLE_SKY)
    return not _touch(centres[0], a, centres[1], b)


def _holds(chart: Chart, place: Floats) -> bool:
    """Whether a place lies in the cap around a grid's mesh: the quick answer for most images of a mosaic."""
    centre, chord = chart.cap
    return bool(((place - centre) ** 2).sum() < chord**2)


def _search(grid: Grid, others: _Caps, caps: _Caps | None = None, within: Window | None = None) -> list[Window]:
    """Disjoint windows of a grid that hold all that may meet any of the caps, which are in the grid's frame.

    What large blocks find is searched again in smaller ones: ``caps`` of the window ``within``.
    """
    within = within or grid.window
    caps = caps or _kept_caps(grid, within, _block_of(within))
    pieces = _pieces(_meeting(caps, others))
    boxes = _disjoint([box & within for piece in pieces if (box := caps.window_of(piece)) is not None])
    found: list[Window] = []
    for box in boxes:
        finer = _block_of(box, _FINER)
        found += _search(grid, others, _caps(grid, box, finer), box) if finer < caps.block else [box]
    return found


# -- caps --------------------------------------------------------------------------------------------------------------


def _block_of(window: Window, most: int = _MOST) -> int:
    """Side of the blocks that a window falls into, ``most`` of them or little more."""
    ny, nx = (-(-n // _BLOCK) for n in window.shape)
    return _BLOCK * math.ceil(math.sqrt(ny * nx / max(most, 1)))


def _caps(grid: Grid, window: Window, block: int) -> _Caps:
    """Caps of the grid's blocks, as far as they are in a window."""
    ys, xs = (np.arange(lo // block, -(-hi // block)) for lo, hi in ((window.y0, window.y1), (window.x0, window.x1)))
    wcs = grid.wcs()
    centres, chords, gaps, even = _around(_sample(grid, window, ys, xs, block, wcs))
    chords = np.where(chords >= 0.0, chords + gaps, -1.0)
    step = block // _BLOCK
    around = window.pad(_MARGIN * step) & grid.window
    for j, i in zip(*np.nonzero(_doubtful(chords, even)), strict=True):
        x, y = (
            np.clip(k * block + step * (np.arange(-_MARGIN, _BLOCK + _MARGIN + 1)), lo, hi) - 0.5
            for k, lo, hi in ((xs[i], around.x0, around.x1), (ys[j], around.y0, around.y1))
        )
        centre, chord, gap, _ = _around(np.moveaxis(grid.sky(x[None, :], y[:, None], wcs), -1, 0)[None, None])
        # Towards a limb the distance grows as a root does: from the last sample it is 2.4 times that to the one before.
        room = float(gap[0, 0]) if step == 1 else 3.0 * max(float(gap[0, 0]), 2.0 * step * grid.scale)
        centres[j, i] = centre[0, 0]
        chords[j, i] = chord[0, 0] + room if chord[0, 0] >= 0.0 else -1.0
    return _Caps(centres, np.where(chords < _HALF_SKY, chords, _WHOLE_SKY), block, (int(ys[0]), int(xs[0])))


_kept_caps = lru_cache(maxsize=64)(_caps)
"""For whole grids and for windows that many images are asked about."""


def _sample(
    grid: Grid, window: Window, rows: NDArray[np.int64], columns: NDArray[np.int64], block: int, wcs: WCS
) -> Floats:
    """Unit vectors (n_y, n_x, 3, 5, 5) over each block, from edge to edge, of those rows and columns of blocks."""
    x, y = (
        _spread(np.clip(np.append(k, k[-1:] + 1) * block, lo, hi)) - 0.5
        for k, lo, hi in ((columns, window.x0, window.x1), (rows, window.y0, window.y1))
    )
    vectors = grid.sky(x[None, :], y[:, None], wcs)
    return np.asarray(sliding_window_view(vectors, (_PARTS + 1, _PARTS + 1), axis=(0, 1))[::_PARTS, ::_PARTS])


def _spread(edges: NDArray[np.int64]) -> Floats:
    """Points evenly between consecutive edges, and these."""
    parts = edges[:-1, None] + np.diff(edges)[:, None] * (np.arange(_PARTS) / _PARTS)
    return np.append(parts.ravel(), edges[-1])


def _around(samples: Floats) -> tuple[Floats, Floats, Floats, Bools]:
    """Centres, chords (−1: no sample on the sky) and largest distance of neighbours of samples (..., 3, k, l).

    The last array tells whether all are on the sky, and evenly spread.
    """
    finite = np.asarray(np.isfinite(samples).all(axis=-3))
    total = np.where(finite[..., None, :, :], samples, 0.0).sum(axis=(-2, -1))
    norm = lengths(total)[..., None]
    centres = np.divide(total, norm, out=np.broadcast_to([0.0, 0.0, 1.0], total.shape).copy(), where=norm > 0.0)

    def longest(vectors: Floats) -> Floats:
        length = lengths(vectors, axis=-3)
        return np.asarray(np.where(np.isfinite(length), length, -1.0).max(axis=(-2, -1), initial=-1.0))

    def steps(vectors: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
        down, across = vectors
        return down[..., 1:, :] - down[..., :-1, :], across[..., 1:] - across[..., :-1]

    chords = longest(samples - centres[..., None, None])
    once = steps((samples, samples))
    gaps, bends = (np.maximum(*map(longest, differences)) for differences in (once, steps(once)))
    even = np.asarray(finite.all(axis=(-2, -1)) & (bends <= 0.5 * gaps))
    return centres, chords, np.maximum(gaps, 0.0), even


def _doubtful(chords: Floats, even: Bools) -> Bools:
    """Blocks to be sampled again: uneven ones, and those off the sky whose neighbours are not."""
    off = chords < 0.0
    if int(off.sum()) <= _FEW:
        return ~even
    padded = np.pad(~off, 1)
    beside = np.asarray(sliding_window_view(padded, (3, 3))).any(axis=(-2, -1))
    return np.asarray(~even & beside)


# -- meeting -----------------------------------------------------------------------------------------------------------


def _meeting(caps: _Caps, others: _Caps) -> Bools:
    """Which of the caps meet any of the others, (n_y, n_x)."""
    out = np.zeros(caps.chords.shape, np.bool_)
    centre, chord = _whole(others)
    near = (caps.chords >= 0.0) & _touch(caps.centres, caps.chords, centre, chord)
    some = others.chords >= 0.0
    b, b_chords = others.centres[some], others.chords[some]
    found = np.zeros(int(near.sum()), np.bool_)
    a, a_chords = caps.centres[near], caps.chords[near]
    at_once = max(_PAIRS // max(len(b), 1), 1)
    for k in range(0, len(a), at_once):
        part = slice(k, k + at_once)
        found[part] = _touch(a[part, None], a_chords[part, None], b, b_chords).any(axis=1)
    out[near] = found
    return out


def _touch(a: Floats, a_chords: Floats, b: Floats, b_chords: Floats | float) -> Bools:
    # By differences: 2 − 2 cos loses distances below 1e-8 rad, which are many pixels of a radio image.
    away = (a[..., 0] - b[..., 0]) ** 2 + (a[..., 1] - b[..., 1]) ** 2 + (a[..., 2] - b[..., 2]) ** 2
    return np.asarray(np.sqrt(away) <= a_chords + b_chords + 1e-14)


def _whole(caps: _Caps) -> tuple[Floats, float]:
    """A cap around all caps."""
    some = caps.chords >= 0.0
    total = caps.centres[some].sum(axis=0)
    norm = float(np.linalg.norm(total))
    centre = total / norm if norm > 0.0 else np.array([0.0, 0.0, 1.0])
    return centre, float((np.linalg.norm(caps.centres[some] - centre, axis=-1) + caps.chords[some]).max(initial=0.0))


def _pieces(mask: Bools) -> list[Bools]:
    """The connected pieces of a mask, corners connecting."""
    from scipy.ndimage import label

    labels, n = label(mask, structure=np.ones((3, 3)))
    return [labels == k for k in range(1, n + 1)]


def _disjoint(boxes: list[Window]) -> list[Window]:
    """Boxes joined until none overlaps another, in row order."""
    out: list[Window] = []
    for box in boxes:
        merged = box
        while overlapping := [other for other in out if other & merged]:
            for other in overlapping:
                out.remove(other)
                merged |= other
        out.append(merged)
    return sorted(out)
