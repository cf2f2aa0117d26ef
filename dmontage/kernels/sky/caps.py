"""Caps around blocks of quads, and the tree that finds those which meet (level 0).

A *cap* is a unit vector and a chord. One below 90° is convex, so that a cap around corners also holds the great-circle
edges between them; and as chords obey the triangle inequality, caps meet only where the distance of their centres is
at most the sum of their chords. Seams, poles and folds are nothing special: no step looks at pixel coordinates, and no
map is assumed to be smooth.

Blocks are counted from the first quad given: meshes that start at multiples of `BLOCK` pixels of a parent have its
blocks.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dmontage.kernels._jit import kernel, primitive

__all__ = ["BLOCK", "Caps", "caps_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

BLOCK = 8
"""Side of a block of pixels or quads that share one plane: what bits are anchored to."""
FANOUT = 4
"""Side of the children of a node in the tree."""
SPLIT = 0.25
"""Blocks of a larger chord are taken quad by quad."""
WHOLE_SKY = 4.0
"""Chord of a cap that meets every other; given to those beyond a hemisphere, which are not convex."""


class Caps(NamedTuple):
    """Caps (x, y, z, chord; chord −1 for none) of *shares*: the blocks, or each quad of those too wide for one plane.

    Shares `starts[n]` to `starts[n + 1]` are those of block n. The nodes of the tree are level after level, blocks
    first; levels are (offset, rows, columns), the last a single node.
    """

    windows: Ints  # of a share's quads: y0, y1, x0, x1
    shares: Floats
    starts: Ints
    nodes: Floats
    levels: Ints
    fanout: int


_Cap = tuple[float, float, float, float]


@primitive
def _cap(corners: Floats, quads: Bools, y0: int, y1: int, x0: int, x1: int) -> _Cap:
    """Cap around the corners of a window's quads."""
    cx, cy, cz, chord2 = 0.0, 0.0, 0.0, -1.0
    n_quads = 0
    for j in range(y0, y1):
        for i in range(x0, x1):
            n_quads += quads[j, i]
    whole = n_quads == (y1 - y0) * (x1 - x0)  # then each corner need be seen but once: 4 times less work
    step_y, step_x, n = (y1 - y0 + 1, x1 - x0 + 1, 1) if whole else (y1 - y0, x1 - x0, 4)
    for pass_ in range(2):
        for j in range(y0, y0 + step_y):
            for i in range(x0, x0 + step_x):
                if not whole and not quads[j, i]:
                    continue
                for k in range(n):
                    jj, ii = j + k // 2, i + k % 2
                    x, y, z = corners[jj, ii, 0], corners[jj, ii, 1], corners[jj, ii, 2]
                    if pass_ == 0:
                        cx, cy, cz = cx + x, cy + y, cz + z
                    else:
                        chord2 = max(chord2, (x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2)
        if pass_ == 0:
            cx, cy, cz = _direction(cx, cy, cz)
    return cx, cy, cz, _chord(math.sqrt(chord2) if chord2 >= 0.0 else -1.0)


@primitive
def _direction(x: float, y: float, z: float) -> tuple[float, float, float]:
    """Unit vector of a sum; the north pole for none, as a cap may have any centre."""
    norm = math.sqrt(x * x + y * y + z * z)
    return (x / norm, y / norm, z / norm) if norm > 0.0 else (0.0, 0.0, 1.0)


@primitive
def _chord(chord: float) -> float:
    return chord if chord < 1.4 else WHOLE_SKY


@primitive
def _set(caps: Floats, n: int, cap: _Cap) -> None:
    # Number by number: numba takes seconds to compile the assignment of a tuple to a row.
    for k in range(4):
        caps[n, k] = cap[k]


@primitive
def _parent(nodes: Floats, offset: int, rows: int, columns: int, j: int, i: int) -> _Cap:
    """Cap around the caps below node (j, i) of the level above one of rows × columns that starts at `offset`."""
    cx, cy, cz, chord = 0.0, 0.0, 0.0, -1.0
    for pass_ in range(2):
        for jj in range(j * FANOUT, min((j + 1) * FANOUT, rows)):
            for ii in range(i * FANOUT, min((i + 1) * FANOUT, columns)):
                n = offset + jj * columns + ii
                x, y, z, size = nodes[n, 0], nodes[n, 1], nodes[n, 2], nodes[n, 3]
                if size < 0.0:
                    continue
                if pass_ == 0:
                    cx, cy, cz = cx + x, cy + y, cz + z
                else:
                    chord = max(chord, math.sqrt((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2) + size)
        if pass_ == 0:
            cx, cy, cz = _direction(cx, cy, cz)
    return cx, cy, cz, _chord(chord)


def _levels(rows: int, columns: int) -> Ints:
    """Levels of a tree over rows × columns blocks."""
    levels = [(0, rows, columns)]
    while rows * columns > 1:
        offset = levels[-1][0] + rows * columns
        rows, columns = (rows - 1) // FANOUT + 1, (columns - 1) // FANOUT + 1
        levels.append((offset, rows, columns))
    return np.array(levels, np.int64)


@kernel
def _cap_blocks(corners: Floats, quads: Bools, side: int, levels: Ints, starts: Ints, nodes: Floats) -> None:
    """Fill in the caps of all nodes, and in `starts` the first share of each block."""
    ny, nx = quads.shape
    for level in range(len(levels)):
        offset, rows, columns = levels[level, 0], levels[level, 1], levels[level, 2]
        for j in range(rows):
            for i in range(columns):
                n = offset + j * columns + i
                if level > 0:
                    first, below_rows, below_columns = levels[level - 1, 0], levels[level - 1, 1], levels[level - 1, 2]
                    _set(nodes, n, _parent(nodes, first, below_rows, below_columns, j, i))
                    continue
                y1, x1 = min((j + 1) * side, ny), min((i + 1) * side, nx)
                _set(nodes, n, _cap(corners, quads, j * side, y1, i * side, x1))
                wide = nodes[n, 3] > SPLIT
                starts[n + 1] = starts[n] + ((y1 - j * side) * (x1 - i * side) if wide else 1)


@kernel
def _cap_shares(
    corners: Floats, quads: Bools, side: int, starts: Ints, nodes: Floats, windows: Ints, shares: Floats
) -> None:
    ny, nx = quads.shape
    columns = (nx - 1) // side + 1
    for block in range(len(starts) - 1):
        y0, x0 = block // columns * side, block % columns * side
        y1, x1 = min(y0 + side, ny), min(x0 + side, nx)
        wide = nodes[block, 3] > SPLIT
        step_y, step_x = (1, 1) if wide else (y1 - y0, x1 - x0)
        n = starts[block]
        for j in range(y0, y1, step_y):
            for i in range(x0, x1, step_x):
                windows[n, 0], windows[n, 1], windows[n, 2], windows[n, 3] = j, j + step_y, i, i + step_x
                if wide:
                    _set(shares, n, _cap(corners, quads, j, j + 1, i, i + 1))
                else:
                    for k in range(4):
                        shares[n, k] = nodes[block, k]
                n += 1


def caps_of(corners: Floats, quads: Bools, side: int) -> Caps:
    """Caps of a mesh of corners (nj+1, ni+1, 3), in blocks of side × side of its quads (nj, ni), those marked alone."""
    rows, columns = ((n - 1) // side + 1 for n in quads.shape)
    starts = np.zeros(rows * columns + 1, np.int64)
    levels = _levels(rows, columns)
    nodes = np.empty((levels[-1, 0] + 1, 4))
    _cap_blocks(corners, quads, side, levels, starts, nodes)
    windows, shares = np.empty((starts[-1], 4), np.int64), np.empty((starts[-1], 4))
    _cap_shares(corners, quads, side, starts, nodes, windows, shares)
    return Caps(windows, shares, starts, nodes, levels, FANOUT)
