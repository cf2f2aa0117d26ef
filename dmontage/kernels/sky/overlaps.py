"""Overlaps of spherical pixels: found once, listed, or deposited as they are found (level 0).

Notation::

    P      unit vector of a corner                a, b     input and output
    c      centre of a gnomonic plane             e, f     its axes: e ⟂ f ⟂ c
    (x, y) = (P·e, P·f) / P·c                     ω        solid angle [sr]

    3 ── 2     A *quad* is the quadrilateral of four neighbouring corners with great-circle edges; a *pixel* is a
    │    │     block of sub × sub quads. A *ring* is a convex, counter-clockwise polygon in a plane; a quad is one ring,
    0 ── 1     or two where it is concave or crosses itself (then both lobes count), or none where it has no area.

A gnomonic plane turns great circles into straight lines exactly, so clipping is planar. Coordinates are taken from
P − c, not from P: the rounding is then relative to the distance from c, and not 1e-16 rad. Within one plane neighbours
share their corners to the last bit, so one mesh cuts each quad of the other without gap or overlap.

Solid angles of overlaps follow A. van Oosterom and J. Strackee (1983, IEEE Trans. Biomed. Eng. 30, 125), whose
determinant is a planar cross product of coordinate differences here.

One file for all that is compiled together, since numba's cache of a kernel does not notice when a function that it
calls changes in another.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dmontage.errors import InputError
from dmontage.kernels._jit import inlined, kernel, primitive
from dmontage.kernels.sky.caps import BLOCK, Caps, caps_of
from dmontage.kernels.sky.pixels import as_corners, defined, pixel_shape, solid_angles

__all__ = ["list_sky", "project_sky"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Codes = NDArray[np.uint8]

MOST_SIDE = 2 * BLOCK
"""Most quads along a block: a pixel and a gap, for each of `BLOCK` pixels. Gaps are passed over: `BLOCK` count."""
NEAR = 1.0
"""Chord of 60° about a centre, up to where a plane is used without looking for a better centre."""
ROUNDING = 4e-15
"""Allowance when caps are compared [rad]."""
ON_EDGE = 4 * 2.220446049250313e-16
"""A corner nearer to an edge than this [rad] lies on it: what unit vectors cannot tell apart is no area.

Both neighbours at the edge then agree on whose the corner is. Dropping overlaps of such a width instead lost area where
grids are aligned: 2e-9 of it at 0.1", 2e-7 at 0.001".
"""
MOST_VERTICES = 24
"""Four half-planes make at most 4·(3/2)⁴ = 20.25 vertices of four, whatever the rounding does."""
BOX, AREA, PIXEL = 8, 12, 13
"""Columns of a list of rings, after x and y."""
ZERO = np.int64(0)
"""A literal has a type of its own, for which the functions that it is given to would be compiled once more."""
AT_ONCE = 2**15
"""Overlaps that are found before they are deposited: 0.8 MB. A list starts with as many, and grows."""


class _Mesh(NamedTuple):
    """Corners (nj+1, ni+1, 3) and which quads (nj, ni) count; `step` quads a pixel, `width` pixels a row; caps.

    Every `stride`-th quad of a block is looked at along either axis: 2 where the others are gaps. Corners up to `last`
    of a block are its pixels' own: after a gap comes a neighbour's, which the mesh's end has not.
    """

    corners: Floats
    quads: Bools
    step: int
    stride: int
    width: int
    last: int
    caps: Caps


class _Sums(NamedTuple):
    """Solid angles of the output; input values, and the flux and area to deposit in: none of the three for a list."""

    omega: Floats
    values: Floats
    flux: Floats
    area: Floats


class _Scratch(NamedTuple):
    """What the loops write to: made once, outside, as numba takes half a second to compile its making.

    Calls are given the arrays one by one, since a call counts a reference for each array in its arguments, and a tuple
    of 25 made these counts half of the time.
    """

    frame: Floats
    """(3, 3): e, f, c."""
    xy: Floats
    """(·, ·, 2) corners in the plane."""
    codes: Codes
    """(·, ·): on which sides of the input's box they lie."""
    rings_a: Floats
    """(·, 14): x (columns 0 to 3) and y (4 to 7), box (x_min, x_max, y_min, y_max), twice the area, pixel."""
    starts_a: Ints
    """The quad in row j and column i, gaps not counted, has rings starts[j, i] to starts[j, i + 1]."""
    rings_b: Floats
    starts_b: Ints
    box: Floats
    """(5, ·): see `_index`."""
    work: Floats
    """(2, ·, 3) a polygon: x, y, distance from an edge."""
    edges: Floats
    """(4, 4): x, y, dx, dy."""
    stack: Ints
    found: Ints


def _scratch(caps: Caps) -> _Scratch:
    """Scratch for overlaps with a mesh of these caps."""
    side, most_rings = MOST_SIDE + 1, 2 * BLOCK * BLOCK + 1  # two a quad, and one that is written before it is counted
    return _Scratch(
        np.empty((3, 3)),
        np.empty((side, side, 2)),
        np.empty((side, side), np.uint8),
        np.empty((most_rings, PIXEL + 1)),
        np.zeros((side, side), np.int64),
        np.empty((most_rings, PIXEL + 1)),
        np.zeros((side, side), np.int64),
        np.empty((5, BLOCK)),
        np.empty((2, MOST_VERTICES, 3)),
        np.empty((4, 4)),
        np.empty((caps.fanout**2 * len(caps.levels), 3), np.int64),
        np.empty(len(caps.shares) + 1, np.int64),
    )


# -- planes ------------------------------------------------------------------------------------------------------------


@primitive
def _set_frame(
    frame: Floats, x: float, y: float, z: float, corners: Floats, y0: int, y1: int, x0: int, x1: int
) -> None:
    """Axes e, f and centre c (rows) of the gnomonic plane about a direction of any length.

    Where it can be e points along the first row of the window's corners, and f to the side of the last: rows of quads
    then lie along x, one above the other, and their boxes hold little else.
    """
    norm = math.sqrt(x * x + y * y + z * z)
    x, y, z = x / norm, y / norm, z / norm
    px, py, pz = corners[y0, x0, 0], corners[y0, x0, 1], corners[y0, x0, 2]
    dx, dy, dz = corners[y0, x1, 0] - px, corners[y0, x1, 1] - py, corners[y0, x1, 2] - pz
    along = dx * x + dy * y + dz * z
    ex, ey, ez = dx - along * x, dy - along * y, dz - along * z
    if not ex * ex + ey * ey + ez * ez > 0.01 * (dx * dx + dy * dy + dz * dz):  # true for NaN too
        ex, ey, ez = y, -x, 0.0
        if abs(x) <= abs(y) and abs(x) <= abs(z):
            ex, ey, ez = 0.0, z, -y
        elif abs(y) <= abs(z):
            ex, ey, ez = -z, 0.0, x
    norm = math.sqrt(ex * ex + ey * ey + ez * ez)
    ex, ey, ez = ex / norm, ey / norm, ez / norm
    along = ex * x + ey * y + ez * z  # once more, for what cancelled
    ex, ey, ez = ex - along * x, ey - along * y, ez - along * z
    fx, fy, fz = y * ez - z * ey, z * ex - x * ez, x * ey - y * ex
    if (corners[y1, x0, 0] - px) * fx + (corners[y1, x0, 1] - py) * fy + (corners[y1, x0, 2] - pz) * fz < 0.0:
        fx, fy, fz = -fx, -fy, -fz
    frame[0, 0], frame[0, 1], frame[0, 2] = ex, ey, ez
    frame[1, 0], frame[1, 1], frame[1, 2] = fx, fy, fz
    frame[2, 0], frame[2, 1], frame[2, 2] = x, y, z


# -- rings -------------------------------------------------------------------------------------------------------------


@primitive
def _twice_area(x0: float, y0: float, x1: float, y1: float, x2: float, y2: float) -> float:
    """Twice the signed area of a triangle of points, positive when counter-clockwise."""
    return (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)


@primitive
def _opposed(a: float, b: float) -> bool:
    """Whether two numbers have opposite signs; zero goes with either."""
    return (a < 0.0 < b) or (b < 0.0 < a)


@inlined
def _put(
    rings: Floats,
    n: int,
    x0: float,
    y0: float,
    x1: float,
    y1: float,
    x2: float,
    y2: float,
    x3: float,
    y3: float,
) -> None:
    rings[n, 0], rings[n, 1], rings[n, 2], rings[n, 3] = x0, x1, x2, x3
    rings[n, 4], rings[n, 5], rings[n, 6], rings[n, 7] = y0, y1, y2, y3


@primitive
def _put_triangle(rings: Floats, n: int, x0: float, y0: float, x1: float, y1: float, x2: float, y2: float) -> int:
    """Add a triangle, turned counter-clockwise, as ring n; none when it has no area. The number of rings after it."""
    turn = _twice_area(x0, y0, x1, y1, x2, y2)
    rings[n, AREA] = abs(turn)
    if turn > 0.0:
        _put(rings, n, x0, y0, x1, y1, x2, y2, x0, y0)
    elif turn < 0.0:
        _put(rings, n, x0, y0, x2, y2, x1, y1, x0, y0)
    return n + (turn != 0.0)


@primitive
def _put_odd(
    rings: Floats, n: int, x0: float, y0: float, x1: float, y1: float, x2: float, y2: float, x3: float, y3: float
) -> int:
    """Add the rings of a quad that is not counter-clockwise and convex from ring n on; the number of rings after it.

    A diagonal cuts the quad well when its two triangles turn the same way: both diagonals do in a convex quad, one in
    a concave one, none where two edges cross. Signs alone decide, so equal or collinear corners need no tolerance.
    """
    t0, t1 = _twice_area(x0, y0, x1, y1, x2, y2), _twice_area(x1, y1, x2, y2, x3, y3)
    t2, t3 = _twice_area(x2, y2, x3, y3, x0, y0), _twice_area(x3, y3, x0, y0, x1, y1)
    if max(t0, t1, t2, t3) < 0.0:
        _put(rings, n, x0, y0, x3, y3, x2, y2, x1, y1)
        rings[n, AREA] = -(t0 + t2)
        return n + 1
    if not _opposed(t0, t2):
        n = _put_triangle(rings, n, x0, y0, x1, y1, x2, y2)
        return _put_triangle(rings, n, x2, y2, x3, y3, x0, y0)
    if not _opposed(t1, t3):
        n = _put_triangle(rings, n, x1, y1, x2, y2, x3, y3)
        return _put_triangle(rings, n, x3, y3, x0, y0, x1, y1)
    if _opposed(t1, t2):  # corners 0 and 3 lie on one side of edge 12: edges 01 and 23 cross
        t = t2 / (t2 - t1)
        x, y = x0 + t * (x1 - x0), y0 + t * (y1 - y0)
        n = _put_triangle(rings, n, x, y, x1, y1, x2, y2)
        return _put_triangle(rings, n, x, y, x3, y3, x0, y0)
    t = t3 / (t3 - t2)  # edges 12 and 30 cross
    x, y = x1 + t * (x2 - x1), y1 + t * (y2 - y1)
    n = _put_triangle(rings, n, x, y, x0, y0, x1, y1)
    return _put_triangle(rings, n, x, y, x2, y2, x3, y3)


@inlined
def _cut(work: Floats, at: int, n: int) -> int:
    """Keep what lies on the positive side of an edge; the distances are given. The new number of vertices."""
    to = 1 - at
    m = 0
    x0, y0, s0 = work[at, n - 1, 0], work[at, n - 1, 1], work[at, n - 1, 2]
    for i in range(n):
        x1, y1, s1 = work[at, i, 0], work[at, i, 1], work[at, i, 2]
        if s0 * s1 < 0.0:
            t = s0 / (s0 - s1)
            work[to, m, 0] = x0 + t * (x1 - x0)
            work[to, m, 1] = y0 + t * (y1 - y0)
            m += 1
        if s1 >= 0.0:
            work[to, m, 0] = x1
            work[to, m, 1] = y1
            m += 1
        x0, y0, s0 = x1, y1, s1
    return m


@inlined
def _clip(work: Floats, edges: Floats) -> tuple[int, int]:
    """Clip the first polygon of the scratch, a ring, by four edges (Sutherland and Hodgman 1974).

    Returns where in the scratch the result is, and its number of vertices, 0 when nothing is left.
    """
    n = len(edges)  # a ring has four corners, too
    at = int(ZERO)
    for k in range(4):
        x0, y0, dx, dy = edges[k, 0], edges[k, 1], edges[k, 2], edges[k, 3]
        on_edge = ON_EDGE * (abs(dx) + abs(dy)) * (1.0 + x0 * x0 + y0 * y0)
        n_out = 0
        n_in = 0
        for i in range(n):
            s = dx * (work[at, i, 1] - y0) - dy * (work[at, i, 0] - x0)
            s = 0.0 if abs(s) <= on_edge else s
            work[at, i, 2] = s
            n_out += s < 0.0
            n_in += s > 0.0
        if n_out == 0:
            continue
        if n_in == 0:
            return at, 0
        n = _cut(work, at, n)
        at = 1 - at
    return at, n


@inlined
def _polygon_angle(work: Floats, at: int, n: int) -> float:
    """Solid angle [sr] of a convex polygon; below 0 where it is but rounding.

    tan(ω/2) of a triangle is D/E; angles add as the arguments of E + iD do when multiplied, so one arc tangent does
    for the whole fan, and no sum of angles cancels.
    """
    x0, y0 = work[at, 0, 0], work[at, 0, 1]
    n0 = math.sqrt(1.0 + x0 * x0 + y0 * y0)
    re, im = 1.0, 0.0
    x1, y1, n1, dx1, dy1, n01 = x0, y0, n0, 0.0, 0.0, 0.0
    for i in range(1, n):
        x2, y2 = work[at, i, 0], work[at, i, 1]
        n2 = math.sqrt(1.0 + x2 * x2 + y2 * y2)
        dx2, dy2 = x2 - x0, y2 - y0
        n02 = 1.0 + x0 * x2 + y0 * y2
        if i > 1:
            d = dx1 * dy2 - dy1 * dx2
            e = n0 * n1 * n2 + n01 * n2 + n02 * n1 + (1.0 + x1 * x2 + y1 * y2) * n0
            re, im = re * e - im * d, re * d + im * e
        x1, y1, n1, dx1, dy1, n01 = x2, y2, n2, dx2, dy2, n02
    t = im / re
    if abs(t) < 1e-3:  # the next term is below 1e-21
        return 2.0 * t * (1.0 - t * t * (1.0 / 3.0 - t * t * (1.0 / 5.0 - t * t / 7.0)))
    return 2.0 * math.atan2(im, re)


# -- sheets ------------------------------------------------------------------------------------------------------------


@primitive
def _lay_corners(
    corners: Floats, y0: int, y1: int, x0: int, x1: int, frame: Floats, index: Floats, xy: Floats, codes: Codes
) -> None:
    """Gnomonic coordinates of a window's corners, rounded relative to their distance from the centre.

    Each gets a bit for each side of the index's box that it is not within: a quad misses the box where its corners
    share one.
    """
    ex, ey, ez = frame[0, 0], frame[0, 1], frame[0, 2]
    fx, fy, fz = frame[1, 0], frame[1, 1], frame[1, 2]
    cx, cy, cz = frame[2, 0], frame[2, 1], frame[2, 2]
    x_min, x_max, y_min, y_max = index[4, 0], index[4, 1], index[4, 2], index[4, 3]
    for j in range(y1 - y0 + 1):
        for i in range(x1 - x0 + 1):
            px, py, pz = corners[y0 + j, x0 + i, 0], corners[y0 + j, x0 + i, 1], corners[y0 + j, x0 + i, 2]
            w = 1.0 / (px * cx + py * cy + pz * cz)
            dx, dy, dz = px - cx, py - cy, pz - cz
            x = (dx * ex + dy * ey + dz * ez) * w
            y = (dx * fx + dy * fy + dz * fz) * w
            xy[j, i, 0], xy[j, i, 1] = x, y
            codes[j, i] = (x <= x_min) | (x >= x_max) << 1 | (y <= y_min) << 2 | (y >= y_max) << 3


@primitive
def _lay(
    used: Bools,
    y0: int,
    y1: int,
    x0: int,
    x1: int,
    step: int,
    stride: int,
    width: int,
    xy: Floats,
    codes: Codes,
    rings: Floats,
    starts: Ints,
) -> int:
    """Rings of a window's used quads that reach the index's box; their number."""
    n = int(ZERO)
    rows, columns = (y1 - y0 - 1) // stride + 1, (x1 - x0 - 1) // stride + 1
    for row in range(rows):
        for column in range(columns):
            j, i = stride * row, stride * column
            starts[row, column] = n
            if codes[j, i] & codes[j, i + 1] & codes[j + 1, i] & codes[j + 1, i + 1] or not used[y0 + j, x0 + i]:
                continue
            ax, ay, bx, by = xy[j, i, 0], xy[j, i, 1], xy[j, i + 1, 0], xy[j, i + 1, 1]
            cx, cy, dx, dy = xy[j + 1, i + 1, 0], xy[j + 1, i + 1, 1], xy[j + 1, i, 0], xy[j + 1, i, 1]
            t0, t1 = _twice_area(ax, ay, bx, by, cx, cy), _twice_area(bx, by, cx, cy, dx, dy)
            t2, t3 = _twice_area(cx, cy, dx, dy, ax, ay), _twice_area(dx, dy, ax, ay, bx, by)
            if min(t0, t1, t2, t3) > 0.0:
                end = n + 1
                rings[n, AREA] = t0 + t2
                rings[n, 0], rings[n, 1], rings[n, 2], rings[n, 3] = ax, bx, cx, dx
                rings[n, 4], rings[n, 5], rings[n, 6], rings[n, 7] = ay, by, cy, dy
            else:
                end = _put_odd(rings, n, ax, ay, bx, by, cx, cy, dx, dy)
            pixel = (y0 + j) // step * width + (x0 + i) // step
            while n < end:
                rings[n, BOX], rings[n, BOX + 1] = min(ax, bx, cx, dx), max(ax, bx, cx, dx)
                rings[n, BOX + 2], rings[n, BOX + 3] = min(ay, by, cy, dy), max(ay, by, cy, dy)
                rings[n, PIXEL] = pixel
                n += 1
        starts[row, columns] = n
    return n


@primitive
def _index(rings: Floats, starts: Ints, ny: int, nx: int, index: Floats) -> None:
    """Where a box can meet the rows and columns of the input, and the box of all.

    Rows before j end at or below index[1, j], and from j on begin at or above index[0, j], columns so in index[3] and
    index[2]; none ever decreases. Where rows lie along x, which is usual, few quads are found that a box does not meet;
    elsewhere more are looked at. index[4] is the box.
    """
    for k in range(BLOCK):
        index[0, k], index[1, k], index[2, k], index[3, k] = np.inf, -np.inf, np.inf, -np.inf
    for j in range(ny):
        for i in range(nx):
            for r in range(starts[j, i], starts[j, i + 1]):
                index[0, j], index[1, j] = min(index[0, j], rings[r, BOX + 2]), max(index[1, j], rings[r, BOX + 3])
                index[2, i], index[3, i] = min(index[2, i], rings[r, BOX]), max(index[3, i], rings[r, BOX + 1])
    for k in range(1, BLOCK):
        m = BLOCK - 1 - k
        for axis in range(0, 4, 2):
            index[axis, m] = min(index[axis, m], index[axis, m + 1])
            index[axis + 1, k] = max(index[axis + 1, k], index[axis + 1, k - 1])
    index[4, 0], index[4, 1] = index[2, 0], index[3, BLOCK - 1]
    index[4, 2], index[4, 3] = index[0, 0], index[1, BLOCK - 1]


@inlined
def _load(polygon: Floats, n: int, cutter: Floats, m: int, work: Floats, edges: Floats) -> None:
    """Put ring n of one list, and the edges of ring m of another, in the scratch."""
    for k in range(4):
        work[0, k, 0], work[0, k, 1] = polygon[n, k], polygon[n, 4 + k]
        x, y = cutter[m, k], cutter[m, 4 + k]
        edges[k, 0], edges[k, 1] = x, y
        edges[k, 2], edges[k, 3] = cutter[m, (k + 1) % 4] - x, cutter[m, 4 + (k + 1) % 4] - y


@primitive
def _meet(
    a: Floats,
    starts: Ints,
    index: Floats,
    b: Floats,
    n_b: int,
    omega: Floats,
    work: Floats,
    edges: Floats,
    pixel: Ints,
    cell: Ints,
    part: Floats,
    count: int,
) -> int:
    """Find the overlaps of the input's rings with n_b of the output; the number of hits after it.

    The larger ring cuts the smaller, which then needs fewer cuts.
    """
    for q in range(n_b):
        x0, x1, y0, y1 = b[q, BOX], b[q, BOX + 1], b[q, BOX + 2], b[q, BOX + 3]
        j0, j1, i0, i1 = 0, 0, 0, 0
        for k in range(BLOCK):  # counted to the end: a search has branches that no processor foresees
            j0 += index[1, k] <= y0
            j1 += index[0, k] < y1
            i0 += index[3, k] <= x0
            i1 += index[2, k] < x1
        for j in range(j0, j1):
            for r in range(starts[j, min(i0, i1)], starts[j, i1]):
                if (a[r, BOX] >= x1) | (a[r, BOX + 1] <= x0) | (a[r, BOX + 2] >= y1) | (a[r, BOX + 3] <= y0):
                    continue
                if b[q, AREA] < 0.5 * a[r, AREA]:
                    _load(b, q, a, r, work, edges)
                else:
                    _load(a, r, b, q, work, edges)
                at, n = _clip(work, edges)
                if n < 3:
                    continue
                angle = _polygon_angle(work, at, n)
                if angle > 0.0:
                    to = int(b[q, PIXEL])
                    pixel[count], cell[count], part[count] = int(a[r, PIXEL]), to, angle / omega[to]
                    count += 1
    return count


# -- pairs of shares ---------------------------------------------------------------------------------------------------


@inlined
def _may_meet(a: Floats, n: int, b: Floats, m: int) -> bool:
    """Whether two caps can have a point in common."""
    reach = a[n, 3] + b[m, 3] + ROUNDING
    distance2 = (a[n, 0] - b[m, 0]) ** 2 + (a[n, 1] - b[m, 1]) ** 2 + (a[n, 2] - b[m, 2]) ** 2
    return bool((a[n, 3] >= 0.0) & (b[m, 3] >= 0.0) & (distance2 <= reach * reach))


@primitive
def _candidates(
    shares: Floats,
    n: int,
    nodes: Floats,
    levels: Ints,
    fanout: int,
    starts: Ints,
    others: Floats,
    stack: Ints,
    found: Ints,
) -> int:
    """Find the shares of the output whose caps meet that of share n of the input, down the tree; their number."""
    n_found = int(ZERO)
    top = 1
    stack[0, 0], stack[0, 1], stack[0, 2] = len(levels) - 1, 0, 0
    while top > 0:
        top -= 1
        level, j, i = stack[top, 0], stack[top, 1], stack[top, 2]
        node = levels[level, 0] + j * levels[level, 2] + i
        if not _may_meet(shares, n, nodes, node):
            continue
        if level > 0:
            for jj in range(j * fanout, min((j + 1) * fanout, levels[level - 1, 1])):
                for ii in range(i * fanout, min((i + 1) * fanout, levels[level - 1, 2])):
                    stack[top, 0], stack[top, 1], stack[top, 2] = level - 1, jj, ii
                    top += 1
            continue
        for m in range(starts[node], starts[node + 1]):
            found[n_found] = m
            n_found += _may_meet(shares, n, others, m)
    _sort(found, n_found)
    return n_found


@primitive
def _sort(numbers: Ints, n: int) -> None:
    """Sort the first n numbers (Shell 1959): the tree's order would depend on where the output's window begins."""
    gap = n // 2
    while gap > 0:
        for i in range(gap, n):
            number, j = numbers[i], i
            while j >= gap and numbers[j - gap] > number:
                numbers[j] = numbers[j - gap]
                j -= gap
            numbers[j] = number
        gap //= 2


@primitive
def _angle(chord: float) -> float:
    return 2.0 * math.asin(min(0.5 * chord, 1.0))


@primitive
def _centre(a: Floats, n: int, b: Floats, m: int) -> tuple[int, float, float, float]:
    """How to look at two caps: about the first (1), halfway between them (0), not at all as they are apart (−1)."""
    if a[n, 3] + 2.0 * b[m, 3] <= NEAR:
        return 1, a[n, 0], a[n, 1], a[n, 2]
    # By angles, as chords allow too much here: caps of 44° that meet have no corner farther than 88° from halfway.
    chord = math.sqrt((a[n, 0] - b[m, 0]) ** 2 + (a[n, 1] - b[m, 1]) ** 2 + (a[n, 2] - b[m, 2]) ** 2)
    near = 0 if _angle(chord) <= _angle(a[n, 3]) + _angle(b[m, 3]) + ROUNDING else -1
    return near, a[n, 0] + b[m, 0], a[n, 1] + b[m, 1], a[n, 2] + b[m, 2]


@primitive
def _any(used: Bools, y0: int, y1: int, x0: int, x1: int) -> bool:
    for j in range(y0, y1):
        for i in range(x0, x1):
            if used[j, i]:
                return True
    return False


@primitive
def _deposit(pixel: Ints, cell: Ints, part: Floats, count: int, values: Floats, flux: Floats, area: Floats) -> None:
    for k in range(count):
        flux[cell[k]] += values[pixel[k]] * part[k]
        area[cell[k]] += part[k]


@primitive
def _longer(pixel: Ints, cell: Ints, part: Floats, count: int, room: int, done: float) -> tuple[Ints, Ints, Floats]:
    """Copies of a list with room for more; ``done`` is the part of the work that gave its count, and foretells all."""
    size = max(2 * len(pixel), count + room, int(1.1 * count / max(done, 1e-3)))
    pixels, cells, parts = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size)
    for k in range(count):  # numba takes 3 s to compile assignments of slices
        pixels[k], cells[k], parts[k] = pixel[k], cell[k], part[k]
    return pixels, cells, parts


@kernel
def _find(
    a: _Mesh, used: Bools, b: _Mesh, sums: _Sums, scratch: _Scratch, pixel: Ints, cell: Ints, part: Floats
) -> tuple[Ints, Ints, Floats, int]:
    """Find all overlaps of the used quads of a, and deposit them, or list them in the arrays given or longer ones.

    Blank pixels keep their place in caps and planes, so that they leave the bits of their neighbours alone.
    """
    frame, xy, codes, rings_a, starts_a, rings_b, starts_b, index, work, edges, stack, found = scratch
    nodes, levels, fanout, shares_a, shares_b = b.caps.nodes, b.caps.levels, b.caps.fanout, a.caps.shares, b.caps.shares
    count = int(ZERO)
    for n in range(len(shares_a)):
        window = a.caps.windows[n]
        y0, y1, x0, x1 = window[0], window[1], window[2], window[3]
        if shares_a[n, 3] < 0.0 or not _any(used, y0, y1, x0, x1):
            continue
        n_a = -1  # not laid out about its own centre
        for k in range(_candidates(shares_a, n, nodes, levels, fanout, b.caps.starts, shares_b, stack, found)):
            near, cx, cy, cz = _centre(shares_a, n, shares_b, found[k])
            if near < 0:
                continue
            if near == 0 or n_a < 0:
                _set_frame(frame, cx, cy, cz, a.corners, y0, min(y1, y0 + a.last), x0, min(x1, x0 + a.last))
                index[4, 0], index[4, 1], index[4, 2], index[4, 3] = -np.inf, np.inf, -np.inf, np.inf
                _lay_corners(a.corners, y0, y1, x0, x1, frame, index, xy, codes)
                n_a = _lay(used, y0, y1, x0, x1, a.step, a.stride, a.width, xy, codes, rings_a, starts_a)
                _index(rings_a, starts_a, (y1 - y0 - 1) // a.stride + 1, (x1 - x0 - 1) // a.stride + 1, index)
            window = b.caps.windows[found[k]]
            v0, v1, u0, u1 = window[0], window[1], window[2], window[3]
            _lay_corners(b.corners, v0, v1, u0, u1, frame, index, xy, codes)
            n_b = _lay(b.quads, v0, v1, u0, u1, b.step, b.stride, b.width, xy, codes, rings_b, starts_b)
            if count + n_a * n_b > len(pixel):
                if len(sums.flux) > 0:
                    _deposit(pixel, cell, part, count, sums.values, sums.flux, sums.area)
                    count = 0
                else:
                    pixel, cell, part = _longer(pixel, cell, part, count, n_a * n_b, n / len(shares_a))
            count = _meet(rings_a, starts_a, index, rings_b, n_b, sums.omega, work, edges, pixel, cell, part, count)
            if near == 0:
                n_a = -1
    if len(sums.flux) > 0:
        _deposit(pixel, cell, part, count, sums.values, sums.flux, sums.area)
    return pixel, cell, part, count


# -- for others --------------------------------------------------------------------------------------------------------


def project_sky(
    values: ArrayLike,
    corners_in: ArrayLike,
    corners_out: ArrayLike,
    flux: Floats,
    area: Floats,
    sub_in: int = 1,
    sub_out: int = 1,
) -> int:
    """Add an image to an output grid by exact overlap on the sphere.

    ``flux += Σ value · overlap`` and ``area += Σ overlap``, with overlap = Ω(input ∩ output) / Ω(output pixel), summed
    in the order of `list_sky`.

    Parameters
    ----------
    values : (ny, nx)
        Input image. What is not finite contributes nothing, and leaves its neighbours alone.
    corners_in, corners_out, sub_in, sub_out
        As for `list_sky`.
    flux, area : (my, mx) float64
        Added to in place; the mean is flux/area.

    Returns
    -------
    int
        Number of finite input pixels skipped as undefined.

    Raises
    ------
    InputError
        When shapes do not agree.
    """
    image = np.ascontiguousarray(values, np.float64)
    b = as_corners(corners_out, sub_out, 0, "corners_out")
    for name, array in (("flux", flux), ("area", area)):
        _check_shape(name, array.shape, b, sub_out, 0)
    sums = [np.ascontiguousarray(array) for array in (flux, area)]
    skipped, _ = _overlaps(np.isfinite(image), corners_in, b, (sub_in, 0), sub_out, image, *sums)
    for array, result in zip((flux, area), sums, strict=True):
        if array is not result:
            array[:] = result
    return skipped


def list_sky(
    use: ArrayLike, corners_in: ArrayLike, corners_out: ArrayLike, sub_in: int = 1, sub_out: int = 1, gap: int = 0
) -> tuple[Ints, Ints, Floats, int]:
    """List the overlaps of input pixels with output pixels on the sphere.

    A pixel is the union of its sub × sub quads with great-circle edges. A corner within 1e-15 rad of an edge,
    which unit vectors cannot tell, lies on it, so that pixels which only touch have no overlap.

    Parameters
    ----------
    use : (ny, nx) bool
        Input pixels to consider.
    corners_in : (ny·sub_in+1, nx·sub_in+1, 3), or (ny·(sub_in+1), nx·(sub_in+1), 3) with gap = 1
        Unit vectors of the input's corners, of either parity; with a gap those of drops, as `shrink` gives them.
    corners_out : (my·sub_out+1, mx·sub_out+1, 3)
        Unit vectors of the output's corners, of either parity.
    sub_in, sub_out : int
        Quads along a side of a pixel.
    gap : int
        1 where every (sub_in+1)-th row and column of the input's quads belongs to no pixel.

    Returns
    -------
    pixel, cell : (n,) int64
        Row-major index of the input pixel in (ny, nx), and of the output pixel in (my, mx). A pair may come more than
        once: once for each two of their quads.
    part : (n,) float64
        Ω(overlap) / Ω(output pixel), above 0.
    skipped : int
        Number of pixels to consider that are undefined: a corner is not finite, or a quad has a corner farther than 44°
        from its middle. Output pixels of that kind, and those without area, have no overlaps.

    Raises
    ------
    InputError
        When shapes do not agree.
    """
    none = np.empty(0)
    b = as_corners(corners_out, sub_out, 0, "corners_out")
    used = np.ascontiguousarray(use, np.bool_)
    skipped, (pixel, cell, part, n) = _overlaps(used, corners_in, b, (sub_in, gap), sub_out, none, none, none)
    return pixel[:n], cell[:n], part[:n], skipped


def _overlaps(
    use: Bools,
    corners_in: ArrayLike,
    corners_out: Floats,
    mesh_in: tuple[int, int],
    sub_out: int,
    values: Floats,
    flux: Floats,
    area: Floats,
) -> tuple[int, tuple[Ints, Ints, Floats, int]]:
    sub, gap = mesh_in
    a = as_corners(corners_in, sub, gap, "corners_in")
    _check_shape("values" if values.ndim == 2 else "use", use.shape, a, sub, gap)
    good = defined(a, sub, gap)
    omega = solid_angles(corners_out, sub_out)
    quads_a, quads_b = _quads(good, sub, gap), _quads(omega > 0.0, sub_out, 0)
    stride = 2 if gap and sub == 1 else 1
    side = stride * BLOCK
    mesh_a = _Mesh(a, quads_a, sub + gap, stride, use.shape[1], side - gap, caps_of(a, quads_a, side))
    mesh_b = _Mesh(corners_out, quads_b, sub_out, 1, omega.shape[1], BLOCK, caps_of(corners_out, quads_b, BLOCK))
    sums = _Sums(omega.ravel(), values.ravel(), flux.ravel(), area.ravel())
    used = quads_a if use.all() else _quads(good & use, sub, gap)
    overlaps = np.empty(AT_ONCE, np.int64), np.empty(AT_ONCE, np.int64), np.empty(AT_ONCE)
    return int((use & ~good).sum()), _find(mesh_a, used, mesh_b, sums, _scratch(mesh_b.caps), *overlaps)


def _quads(pixels: Bools, sub: int, gap: int) -> Bools:
    """Which quads of a mesh belong to marked pixels."""
    if sub == 1 and gap == 0:
        return pixels
    (ny, nx), step = pixels.shape, sub + gap
    quads = np.zeros((ny, step, nx, step), np.bool_)
    quads[:, :sub, :, :sub] = pixels[:, None, :, None]
    return np.ascontiguousarray(quads.reshape(ny * step, nx * step)[: ny * step - gap, : nx * step - gap])


def _check_shape(name: str, shape: tuple[int, ...], corners: Floats, sub: int, gap: int) -> None:
    expected = pixel_shape(corners, sub, gap)
    if shape != expected:
        raise InputError(f"{name} has shape {shape}, but the corners given are those of {expected} pixels")
