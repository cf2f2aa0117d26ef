"""The sky kernel: exact overlap of spherical pixels (level 0).

Notation::

    P      unit vector of a corner                a, b     input and output; their quads
    c      centre of a gnomonic plane             e, f     its axes: e ⟂ f ⟂ c
    (x, y) = (P·e, P·f) / P·c                     ω        solid angle [sr]

    3 ── 2     A *quad* is the quadrilateral of four neighbouring corners with great-circle edges; a *pixel* is a
    │    │     block of sub × sub quads. A *ring* is a convex, counter-clockwise polygon in a plane; a quad is one ring,
    0 ── 1     or two where it is concave or crosses itself (then both lobes count), or none where it has no area.

A gnomonic plane turns great circles into straight lines exactly, so clipping is planar. Coordinates are taken from
P − c, not from P: the rounding is then relative to the distance from c, and not 1e-16 rad. Within one plane neighbours
share their corners to the last bit, so the output cuts each input quad without gap or overlap.

Solid angles follow A. van Oosterom and J. Strackee (1983, IEEE Trans. Biomed. Eng. 30, 125), whose determinant is a
planar cross product of coordinate differences here: nothing cancels, for 60° as for 1e-12 rad.

Candidates come from *caps*: a unit vector and a chord. A cap below 90° is convex, so that one around the corners also
holds the great-circle edges between them; and as chords obey the triangle inequality, caps meet only where the distance
of their centres is at most the sum of their chords. Seams, poles and folds are nothing special: no step looks at pixel
coordinates, and no map is assumed to be smooth.

One file, since numba's cache of a kernel does not notice when a function that it calls changes in another.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dmontage.kernels._jit import inlined, kernel, primitive

__all__ = ["project_sky", "solid_angles"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

BLOCK = 8
"""Side of a block of quads that share one plane."""
FANOUT = 4
"""Side of the children of a node in the tree of caps."""
COS_WIDEST = math.cos(math.radians(44.0))
"""A quad with a corner farther than 44° from its centre is undefined: two quads that meet then fit in one plane."""
NEAR = 1.0
"""Chord of 60° about a centre, up to where a plane is used without looking for a better centre."""
SPLIT = 0.25
"""Blocks of a larger chord are taken quad by quad."""
WHOLE_SKY = 4.0
"""Chord of a cap that meets every other; given to those beyond a hemisphere, which are not convex."""
ROUNDING = 4e-15
"""Allowance when caps are compared [rad]."""
UNRESOLVED = 16 * 2.220446049250313e-16
"""Overlaps whose mean width is below half of this [rad] are the rounding of unit vectors, not area."""
MOST_VERTICES = 24
"""Four half-planes make at most 4·(3/2)⁴ = 20.25 vertices of four, whatever the rounding does."""


class _Grid(NamedTuple):
    """Corners of sub × sub quads a pixel, unit vectors (ny·sub+1, nx·sub+1, 3), and which pixels take part (ny, nx)."""

    corners: Floats
    good: Bools
    sub: int


class _Tree(NamedTuple):
    """Caps of blocks of quads, level after level; levels are (offset, rows, columns)."""

    caps: Floats
    levels: Ints


class _Sheet(NamedTuple):
    """A window of quads in a plane: corners, rings and boxes (x_min, x_max, y_min, y_max) of quads and rows of quads.

    A triangle is a ring whose last corner repeats the first.
    """

    xy: Floats
    rings: Floats
    n_rings: Ints
    boxes: Floats
    row_boxes: Floats


class _Scratch(NamedTuple):
    """What the loops write to: axes (e, f, c), sheets, a quad, the polygon being clipped with its distances, nodes."""

    frame: Floats
    sheet_a: _Sheet
    sheet_b: _Sheet
    quad: Floats
    work: Floats
    stack: Ints


class _Sums(NamedTuple):
    """Input values (ny, nx); solid angles, flux and area of the output (my, mx)."""

    values: Floats
    omega: Floats
    flux: Floats
    area: Floats


_Window = tuple[int, int, int, int]  # of quads: y0, y1, x0, x1
_Cap = tuple[float, float, float, float]  # unit vector and chord; −1 for none


# -- planes ------------------------------------------------------------------------------------------------------------


@primitive
def _set_frame(frame: Floats, x: float, y: float, z: float) -> None:
    """Axes e, f and centre c (rows) of the gnomonic plane about a direction of any length."""
    norm = math.sqrt(x * x + y * y + z * z)
    x, y, z = x / norm, y / norm, z / norm
    ex, ey, ez = y, -x, 0.0
    if abs(x) <= abs(y) and abs(x) <= abs(z):
        ex, ey, ez = 0.0, z, -y
    elif abs(y) <= abs(z):
        ex, ey, ez = -z, 0.0, x
    norm = math.sqrt(ex * ex + ey * ey + ez * ez)
    ex, ey, ez = ex / norm, ey / norm, ez / norm
    frame[0, 0], frame[0, 1], frame[0, 2] = ex, ey, ez
    frame[1, 0], frame[1, 1], frame[1, 2] = y * ez - z * ey, z * ex - x * ez, x * ey - y * ex
    frame[2, 0], frame[2, 1], frame[2, 2] = x, y, z


@inlined
def _to_plane(frame: Floats, px: float, py: float, pz: float) -> tuple[float, float]:
    """Gnomonic coordinates of P, rounded relative to its distance from the centre."""
    dx, dy, dz = px - frame[2, 0], py - frame[2, 1], pz - frame[2, 2]
    w = 1.0 / (px * frame[2, 0] + py * frame[2, 1] + pz * frame[2, 2])
    return (
        (dx * frame[0, 0] + dy * frame[0, 1] + dz * frame[0, 2]) * w,
        (dx * frame[1, 0] + dy * frame[1, 1] + dz * frame[1, 2]) * w,
    )


# -- rings -------------------------------------------------------------------------------------------------------------


@inlined
def _twice_area(p: Floats, i: int, j: int, k: int) -> float:
    """Twice the signed area of a triangle of points, positive when counter-clockwise."""
    dx, dy = p[j, 0] - p[i, 0], p[j, 1] - p[i, 1]
    return float(dx * (p[k, 1] - p[i, 1]) - dy * (p[k, 0] - p[i, 0]))


@inlined
def _opposed(a: float, b: float) -> bool:
    """Whether two numbers have opposite signs; zero goes with either."""
    return (a < 0.0 < b) or (b < 0.0 < a)


@inlined
def _put_ring(sheet: _Sheet, q: int, quad: Floats, corners: tuple[int, int, int, int]) -> None:
    """Add a ring through four corners of a quad, turned counter-clockwise; none when it has no area."""
    i0, i1, i2, i3 = corners
    turn = _twice_area(quad, i0, i1, i2) + _twice_area(quad, i2, i3, i0)
    if turn == 0.0:
        return
    if turn < 0.0:
        i1, i3 = i3, i1
    k = sheet.n_rings[q]
    sheet.n_rings[q] = k + 1
    for axis in range(2):
        sheet.rings[q, k, 0, axis] = quad[i0, axis]
        sheet.rings[q, k, 1, axis] = quad[i1, axis]
        sheet.rings[q, k, 2, axis] = quad[i2, axis]
        sheet.rings[q, k, 3, axis] = quad[i3, axis]


@inlined
def _put_quad(sheet: _Sheet, q: int, quad: Floats) -> None:
    """Rings of quad q from its corners (0 to 3; row 4 is scratch).

    A diagonal cuts the quad well when its two triangles turn the same way: both diagonals do in a convex quad, one in
    a concave one, none where two edges cross. Signs alone decide, so equal or collinear corners need no tolerance.
    """
    t0, t1 = _twice_area(quad, 0, 1, 2), _twice_area(quad, 1, 2, 3)
    t2, t3 = _twice_area(quad, 2, 3, 0), _twice_area(quad, 3, 0, 1)
    first, second = (0, 1, 2, 3), (0, 0, 0, 0)  # the second has no area
    if _opposed(t0, t2) and _opposed(t1, t3):
        if _opposed(t1, t2):  # corners 0 and 3 lie on one side of edge 12: edges 01 and 23 cross
            _put_crossing(quad, 0, 1, t2 / (t2 - t1))
            first, second = (4, 1, 2, 4), (4, 3, 0, 4)
        else:  # edges 12 and 30 cross
            _put_crossing(quad, 1, 2, t3 / (t3 - t2))
            first, second = (4, 0, 1, 4), (4, 2, 3, 4)
    elif _opposed(t1, t3):
        first, second = (0, 1, 2, 0), (2, 3, 0, 2)
    elif _opposed(t0, t2):
        first, second = (1, 2, 3, 1), (3, 0, 1, 3)
    sheet.n_rings[q] = 0
    _put_ring(sheet, q, quad, first)
    _put_ring(sheet, q, quad, second)


@inlined
def _put_crossing(quad: Floats, i: int, j: int, t: float) -> None:
    quad[4, 0] = quad[i, 0] + t * (quad[j, 0] - quad[i, 0])
    quad[4, 1] = quad[i, 1] + t * (quad[j, 1] - quad[i, 1])


@inlined
def _load(rings: Floats, q: int, k: int, work: Floats) -> None:
    """Copy ring k of quad q to the first polygon of the scratch."""
    for i in range(4):
        work[0, i, 0] = rings[q, k, i, 0]
        work[0, i, 1] = rings[q, k, i, 1]


@inlined
def _clip(work: Floats, rings: Floats, q: int, k: int) -> tuple[int, int]:
    """Clip the first polygon of the scratch, a ring, by ring k of quad q (Sutherland and Hodgman 1974).

    Returns where in the scratch the result is, and its number of vertices, 0 when nothing is left.
    """
    n = 4
    at = 0
    for edge in range(4):
        after = (edge + 1) % 4
        x0, y0 = rings[q, k, edge, 0], rings[q, k, edge, 1]
        dx, dy = rings[q, k, after, 0] - x0, rings[q, k, after, 1] - y0
        n_out = 0
        n_in = 0
        for i in range(n):
            side = dx * (work[at, i, 1] - y0) - dy * (work[at, i, 0] - x0)
            work[at, i, 2] = side
            n_out += side < 0.0
            n_in += side > 0.0
        if n_out == 0:
            continue
        if n_in == 0:
            return at, 0
        n = _cut(work, at, n)
        at = 1 - at
    return at, n


@inlined
def _cut(work: Floats, at: int, n: int) -> int:
    """Keep what lies on the positive side of an edge; the sides are in the scratch. The new number of vertices."""
    to = 1 - at
    m = 0
    x0, y0, s0 = work[at, n - 1, 0], work[at, n - 1, 1], work[at, n - 1, 2]
    for i in range(n):
        x1, y1, s1 = work[at, i, 0], work[at, i, 1], work[at, i, 2]
        if (s0 < 0.0) != (s1 < 0.0):
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
def _polygon_angle(work: Floats, at: int, n: int, unresolved: float) -> float:
    """Solid angle [sr] of a convex polygon; 0 when its area is below `unresolved` × its reach from the first vertex.

    tan(ω/2) of a triangle is D/E; angles add as the arguments of E + iD do when multiplied, so one arc tangent does
    for the whole fan, and no sum of angles cancels.
    """
    if n < 3:
        return 0.0
    x0, y0 = work[at, 0, 0], work[at, 0, 1]
    n0 = math.sqrt(1.0 + x0 * x0 + y0 * y0)
    re, im, twice_area, reach = 1.0, 0.0, 0.0, 0.0
    x1, y1, n1, dx1, dy1, n01 = x0, y0, n0, 0.0, 0.0, 0.0
    for i in range(1, n):
        x2, y2 = work[at, i, 0], work[at, i, 1]
        n2 = math.sqrt(1.0 + x2 * x2 + y2 * y2)
        dx2, dy2 = x2 - x0, y2 - y0
        n02 = 1.0 + x0 * x2 + y0 * y2
        reach = max(reach, dx2 * dx2 + dy2 * dy2)
        if i > 1:
            d = dx1 * dy2 - dy1 * dx2
            e = n0 * n1 * n2 + n01 * n2 + n02 * n1 + (1.0 + x1 * x2 + y1 * y2) * n0
            re, im = re * e - im * d, re * d + im * e
            twice_area += d
        x1, y1, n1, dx1, dy1, n01 = x2, y2, n2, dx2, dy2, n02
    if twice_area <= unresolved * n0 * n0 * math.sqrt(reach):
        return 0.0
    t = im / re
    if 0.0 < t < 1e-3:  # the next term is below 1e-19
        return 2.0 * t * (1.0 - t * t * (1.0 / 3.0 - t * t / 5.0))
    return 2.0 * math.atan2(im, re)


@inlined
def _overlap(rings_a: Floats, n_a: int, qa: int, rings_b: Floats, n_b: int, qb: int, work: Floats) -> float:
    """Solid angle [sr] common to two quads of one plane, given their numbers of rings."""
    omega = 0.0
    for ka in range(n_a):
        for kb in range(n_b):
            _load(rings_a, qa, ka, work)
            at, n = _clip(work, rings_b, qb, kb)
            omega += _polygon_angle(work, at, n, UNRESOLVED)
    return omega


# -- sheets ------------------------------------------------------------------------------------------------------------


@primitive
def _lay(sheet: _Sheet, s: _Scratch, grid: _Grid, window: _Window) -> None:
    """Lay a window of quads out in a plane: its corners, rings and boxes."""
    y0, y1, x0, x1 = window
    corners, frame, quad = grid.corners, s.frame, s.quad
    for j in range(y1 - y0 + 1):
        for i in range(x1 - x0 + 1):
            px, py, pz = corners[y0 + j, x0 + i, 0], corners[y0 + j, x0 + i, 1], corners[y0 + j, x0 + i, 2]
            sheet.xy[j, i, 0], sheet.xy[j, i, 1] = _to_plane(frame, px, py, pz)
    for j in range(y1 - y0):
        _clear_box(sheet.row_boxes, j)
        for i in range(x1 - x0):
            q = j * BLOCK + i
            _clear_box(sheet.boxes, q)
            sheet.n_rings[q] = 0
            if grid.good[(y0 + j) // grid.sub, (x0 + i) // grid.sub]:
                for k in range(4):
                    jj, ii = j + k // 2, i + (k + 1) // 2 % 2
                    x, y = sheet.xy[jj, ii, 0], sheet.xy[jj, ii, 1]
                    quad[k, 0], quad[k, 1] = x, y
                    _grow_box(sheet.boxes, q, x, y)
                    _grow_box(sheet.row_boxes, j, x, y)
                _put_quad(sheet, q, quad)


@inlined
def _clear_box(boxes: Floats, index: int) -> None:
    boxes[index, 0], boxes[index, 1] = np.inf, -np.inf
    boxes[index, 2], boxes[index, 3] = np.inf, -np.inf


@inlined
def _grow_box(boxes: Floats, index: int, x: float, y: float) -> None:
    boxes[index, 0], boxes[index, 1] = min(boxes[index, 0], x), max(boxes[index, 1], x)
    boxes[index, 2], boxes[index, 3] = min(boxes[index, 2], y), max(boxes[index, 3], y)


@inlined
def _apart(boxes_a: Floats, a: int, boxes_b: Floats, b: int) -> bool:
    """Whether two boxes have no area in common."""
    return bool(
        boxes_a[a, 1] <= boxes_b[b, 0]
        or boxes_b[b, 1] <= boxes_a[a, 0]
        or boxes_a[a, 3] <= boxes_b[b, 2]
        or boxes_b[b, 3] <= boxes_a[a, 2]
    )


@primitive
def _meet(s: _Scratch, window_a: _Window, sub_a: int, window_b: _Window, sub_b: int, sums: _Sums) -> None:
    """Add the overlaps of the two sheets of the scratch to flux and area."""
    a, b = s.sheet_a, s.sheet_b
    for ja in range(window_a[1] - window_a[0]):
        for ia in range(window_a[3] - window_a[2]):
            qa = ja * BLOCK + ia
            value = sums.values[(window_a[0] + ja) // sub_a, (window_a[2] + ia) // sub_a]
            if not np.isfinite(value):
                continue
            for jb in range(window_b[1] - window_b[0]):
                if _apart(a.boxes, qa, b.row_boxes, jb):
                    continue
                for ib in range(window_b[3] - window_b[2]):
                    qb = jb * BLOCK + ib
                    if _apart(a.boxes, qa, b.boxes, qb):
                        continue
                    omega = _overlap(a.rings, a.n_rings[qa], qa, b.rings, b.n_rings[qb], qb, s.work)
                    if omega > 0.0:
                        y, x = (window_b[0] + jb) // sub_b, (window_b[2] + ib) // sub_b
                        overlap = omega / sums.omega[y, x]
                        sums.flux[y, x] += value * overlap
                        sums.area[y, x] += overlap


# -- caps --------------------------------------------------------------------------------------------------------------


@primitive
def _cap(grid: _Grid, window: _Window) -> _Cap:
    """Cap around the corners of the window's good quads."""
    corners, good, sub = grid.corners, grid.good, grid.sub
    cx, cy, cz, chord2 = 0.0, 0.0, 0.0, -1.0
    for pass_ in range(2):
        for j in range(window[0], window[1]):
            for i in range(window[2], window[3]):
                if not good[j // sub, i // sub]:
                    continue
                for k in range(4):
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
def _distance(a: _Cap, b: _Cap) -> float:
    return math.sqrt((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2)


@primitive
def _may_meet(a: _Cap, b: _Cap) -> bool:
    """Whether two caps can have a point in common."""
    return bool(a[3] >= 0.0 and b[3] >= 0.0 and _distance(a, b) <= a[3] + b[3] + ROUNDING)


@primitive
def _cap_at(caps: Floats, n: int) -> _Cap:
    return caps[n, 0], caps[n, 1], caps[n, 2], caps[n, 3]


@primitive
def _set_cap(caps: Floats, n: int, cap: _Cap) -> None:
    # Number by number: numba takes seconds to compile the assignment of a tuple to a row.
    for k in range(4):
        caps[n, k] = cap[k]


@primitive
def _set_three(rows: Ints, n: int, a: int, b: int, c: int) -> None:
    rows[n, 0], rows[n, 1], rows[n, 2] = a, b, c


@primitive
def _window_at(windows: Ints, n: int) -> _Window:
    return windows[n, 0], windows[n, 1], windows[n, 2], windows[n, 3]


@primitive
def _parent_cap(tree: _Tree, level: int, j: int, i: int) -> _Cap:
    """Cap around the caps below node (j, i) of a level."""
    offset, rows, columns = tree.levels[level - 1]
    cx, cy, cz, chord = 0.0, 0.0, 0.0, -1.0
    for pass_ in range(2):
        for jj in range(j * FANOUT, min((j + 1) * FANOUT, rows)):
            for ii in range(i * FANOUT, min((i + 1) * FANOUT, columns)):
                child = _cap_at(tree.caps, offset + jj * columns + ii)
                if child[3] < 0.0:
                    continue
                if pass_ == 0:
                    cx, cy, cz = cx + child[0], cy + child[1], cz + child[2]
                else:
                    chord = max(chord, _distance(child, (cx, cy, cz, 0.0)) + child[3])
        if pass_ == 0:
            cx, cy, cz = _direction(cx, cy, cz)
    return cx, cy, cz, _chord(chord)


@primitive
def _block(grid: _Grid, j: int, i: int) -> _Window:
    """Window of quads of block (j, i)."""
    ny, nx = grid.corners.shape[0] - 1, grid.corners.shape[1] - 1
    return j * BLOCK, min((j + 1) * BLOCK, ny), i * BLOCK, min((i + 1) * BLOCK, nx)


@primitive
def _plant(grid: _Grid) -> _Tree:
    """Tree of caps over the blocks of a grid, the top a single node."""
    rows = (grid.corners.shape[0] - 2) // BLOCK + 1
    columns = (grid.corners.shape[1] - 2) // BLOCK + 1
    levels = np.zeros((40, 3), np.int64)
    _set_three(levels, 0, 0, rows, columns)
    n_levels, n_nodes = 1, rows * columns
    while rows > 1 or columns > 1:
        rows, columns = (rows - 1) // FANOUT + 1, (columns - 1) // FANOUT + 1
        _set_three(levels, n_levels, n_nodes, rows, columns)
        n_nodes += rows * columns
        n_levels += 1
    tree = _Tree(np.empty((n_nodes, 4)), levels[:n_levels])
    for level in range(n_levels):
        offset, rows, columns = levels[level]
        for j in range(rows):
            for i in range(columns):
                cap = _cap(grid, _block(grid, j, i)) if level == 0 else _parent_cap(tree, level, j, i)
                _set_cap(tree.caps, offset + j * columns + i, cap)
    return tree


# -- array loops -------------------------------------------------------------------------------------------------------


@primitive
def _defined(corners: Floats, sub: int, y: int, x: int) -> bool:
    """Whether every quad of pixel (y, x) has finite corners, all within 44° of their mean direction."""
    for j in range(y * sub, (y + 1) * sub):
        for i in range(x * sub, (x + 1) * sub):
            cx, cy, cz, limit = 0.0, 0.0, 0.0, 0.0
            for k in range(8):
                jj, ii = j + k // 2 % 2, i + k % 2
                px, py, pz = corners[jj, ii, 0], corners[jj, ii, 1], corners[jj, ii, 2]
                if k < 4:
                    cx, cy, cz = cx + px, cy + py, cz + pz
                    limit = COS_WIDEST * math.sqrt(cx * cx + cy * cy + cz * cz)
                elif not px * cx + py * cy + pz * cz >= limit > 0.0:  # false for NaN too
                    return False
    return True


@primitive
def _mark_defined(grid: _Grid, values: Floats) -> int:
    """Mark the defined pixels of a grid as good; how many others have a finite value."""
    n = 0
    for j in range(values.shape[0]):
        for i in range(values.shape[1]):
            grid.good[j, i] = _defined(grid.corners, grid.sub, j, i)
            n += not grid.good[j, i] and np.isfinite(values[j, i])
    return n


@primitive
def _any_finite(values: Floats, sub: int, window: _Window) -> bool:
    for j in range(window[0] // sub, (window[1] - 1) // sub + 1):
        for i in range(window[2] // sub, (window[3] - 1) // sub + 1):
            if np.isfinite(values[j, i]):
                return True
    return False


@primitive
def _empty_sheet() -> _Sheet:
    n = BLOCK * BLOCK
    xy, rings = np.empty((BLOCK + 1, BLOCK + 1, 2)), np.empty((n, 2, 4, 2))
    return _Sheet(xy, rings, np.empty(n, np.int64), np.empty((n, 4)), np.empty((BLOCK, 4)))


@primitive
def _scratch(n_nodes: int) -> _Scratch:
    work, stack = np.empty((2, MOST_VERTICES, 3)), np.empty((n_nodes, 3), np.int64)
    return _Scratch(np.empty((3, 3)), _empty_sheet(), _empty_sheet(), np.empty((5, 2)), work, stack)


@primitive
def _shares(grid: _Grid) -> tuple[Ints, Floats]:
    """Windows of quads with their caps: the blocks, or each quad of those too wide for one plane; in row order."""
    rows, columns = (grid.corners.shape[0] - 2) // BLOCK + 1, (grid.corners.shape[1] - 2) // BLOCK + 1
    n_shares = 0
    for block in range(rows * columns):
        window = _block(grid, block // columns, block % columns)
        wide = _cap(grid, window)[3] > SPLIT
        n_shares += (window[1] - window[0]) * (window[3] - window[2]) if wide else 1
    windows, caps = np.empty((n_shares, 4), np.int64), np.empty((n_shares, 4))
    n = 0
    for block in range(rows * columns):
        window = _block(grid, block // columns, block % columns)
        wide = _cap(grid, window)[3] > SPLIT
        step_y, step_x = (1, 1) if wide else (window[1] - window[0], window[3] - window[2])
        for j in range(window[0], window[1], step_y):
            for i in range(window[2], window[3], step_x):
                share = (j, j + step_y, i, i + step_x)
                _set_cap(caps, n, _cap(grid, share))
                for k in range(4):
                    windows[n, k] = share[k]
                n += 1
    return windows, caps


@primitive
def _add_angles(s: _Scratch, grid: _Grid, window: _Window, cap: _Cap, omega: Floats) -> None:
    """Add the solid angles of a window of quads to those of their pixels."""
    _set_frame(s.frame, cap[0], cap[1], cap[2])
    _lay(s.sheet_a, s, grid, window)
    for j in range(window[1] - window[0]):
        for i in range(window[3] - window[2]):
            q = j * BLOCK + i
            y, x = (window[0] + j) // grid.sub, (window[2] + i) // grid.sub
            for k in range(s.sheet_a.n_rings[q]):
                _load(s.sheet_a.rings, q, k, s.work)
                omega[y, x] += _polygon_angle(s.work, 0, 4, 0.0)


@kernel
def _solid_angles(corners: Floats, sub: int, omega: Floats) -> None:
    s = _scratch(0)
    grid = _Grid(corners, np.zeros(omega.shape, np.bool_), sub)
    _mark_defined(grid, omega)
    for j in range(omega.shape[0]):
        for i in range(omega.shape[1]):
            omega[j, i] = 0.0 if grid.good[j, i] else np.nan
    windows, caps = _shares(grid)
    for n in range(len(windows)):
        if caps[n, 3] >= 0.0:
            _add_angles(s, grid, _window_at(windows, n), _cap_at(caps, n), omega)


@primitive
def _pair_up(s: _Scratch, a: _Grid, window_a: _Window, b: _Grid, window_b: _Window, cap_a: _Cap, sums: _Sums) -> None:
    """Overlaps of a window with each quad of a block too wide for its plane, about a centre that suits the two."""
    for j in range(window_b[0], window_b[1]):
        for i in range(window_b[2], window_b[3]):
            window = (j, j + 1, i, i + 1)
            cap = _cap(b, window)
            if not _may_meet(cap_a, cap):
                continue
            if cap_a[3] + 2.0 * cap[3] <= NEAR:
                _set_frame(s.frame, cap_a[0], cap_a[1], cap_a[2])
            else:  # halfway no corner of the two is farther than 88°
                _set_frame(s.frame, cap_a[0] + cap[0], cap_a[1] + cap[1], cap_a[2] + cap[2])
            _lay(s.sheet_a, s, a, window_a)
            _lay(s.sheet_b, s, b, window)
            _meet(s, window_a, a.sub, window, b.sub, sums)


@primitive
def _sweep(s: _Scratch, a: _Grid, window: _Window, cap: _Cap, b: _Grid, tree: _Tree, sums: _Sums) -> None:
    """Overlaps of a window of the input with all of the output, found down the tree of caps."""
    laid = False
    top = 1
    _set_three(s.stack, 0, len(tree.levels) - 1, 0, 0)
    while top > 0:
        top -= 1
        level, j, i = s.stack[top]
        offset, _, columns = tree.levels[level]
        cap_b = _cap_at(tree.caps, offset + j * columns + i)
        if not _may_meet(cap, cap_b):
            continue
        if level > 0:
            for jj in range(j * FANOUT, min((j + 1) * FANOUT, tree.levels[level - 1, 1])):
                for ii in range(i * FANOUT, min((i + 1) * FANOUT, tree.levels[level - 1, 2])):
                    _set_three(s.stack, top, level - 1, jj, ii)
                    top += 1
        elif cap[3] + 2.0 * cap_b[3] <= NEAR:
            if not laid:
                _set_frame(s.frame, cap[0], cap[1], cap[2])
                _lay(s.sheet_a, s, a, window)
                laid = True
            window_b = _block(b, j, i)
            _lay(s.sheet_b, s, b, window_b)
            _meet(s, window, a.sub, window_b, b.sub, sums)
        else:
            _pair_up(s, a, window, b, _block(b, j, i), cap, sums)
            laid = False


@kernel
def _project(corners_in: Floats, sub_in: int, corners_out: Floats, sub_out: int, sums: _Sums) -> int:
    # Blank pixels keep their place in caps and planes, so that they leave the bits of their neighbours alone.
    a = _Grid(corners_in, np.zeros(sums.values.shape, np.bool_), sub_in)
    skipped = _mark_defined(a, sums.values)
    b = _Grid(corners_out, sums.omega > 0.0, sub_out)
    tree = _plant(b)
    s = _scratch(FANOUT * FANOUT * len(tree.levels))
    windows, caps = _shares(a)
    for n in range(len(windows)):
        if caps[n, 3] >= 0.0 and _any_finite(sums.values, sub_in, _window_at(windows, n)):
            _sweep(s, a, _window_at(windows, n), _cap_at(caps, n), b, tree, sums)
    return skipped


# -- for others --------------------------------------------------------------------------------------------------------


def solid_angles(corners: ArrayLike, sub: int = 1) -> Floats:
    """Solid angle of each pixel of a grid of corners.

    Parameters
    ----------
    corners : (ny·sub+1, nx·sub+1, 3)
        Unit vectors of the corners.
    sub : int
        Quads along a side of a pixel.

    Returns
    -------
    (ny, nx) float64
        Steradian, positive for either orientation. Where a pixel crosses itself both lobes count. NaN where a corner is
        not finite, or a quad has a corner farther than 44° from its middle.
    """
    unit_vectors = _as_corners(corners, sub, "corners")
    omega = np.zeros(((unit_vectors.shape[0] - 1) // sub, (unit_vectors.shape[1] - 1) // sub))
    _solid_angles(unit_vectors, sub, omega)
    return omega


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

    ``flux += Σ value · overlap`` and ``area += Σ overlap``, with overlap = Ω(input ∩ output) / Ω(output pixel). A pixel
    is the union of its sub × sub quads with great-circle edges. Overlaps narrower than the rounding of unit vectors,
    about 2e-15 rad, are dropped, so that pixels which only touch have none.

    Parameters
    ----------
    values : (ny, nx)
        Input image. What is not finite contributes nothing, and leaves its neighbours alone.
    corners_in : (ny·sub_in+1, nx·sub_in+1, 3)
        Unit vectors of the input's corners, of either parity.
    corners_out : (my·sub_out+1, mx·sub_out+1, 3)
        Unit vectors of the output's corners, of either parity.
    flux, area : (my, mx) float64
        Added to in place; the mean is flux/area.
    sub_in, sub_out : int
        Quads along a side of a pixel.

    Returns
    -------
    int
        Number of finite input pixels skipped as undefined: a corner is not finite, or a quad has a corner farther than
        44° from its middle. Output pixels of that kind, and those without area, stay as they are.

    Raises
    ------
    ValueError
        When shapes do not agree.
    """
    a = _as_corners(corners_in, sub_in, "corners_in")
    b = _as_corners(corners_out, sub_out, "corners_out")
    image = np.ascontiguousarray(values, np.float64)
    for name, array, corners, sub in (
        ("values", image, a, sub_in),
        ("flux", flux, b, sub_out),
        ("area", area, b, sub_out),
    ):
        expected = (corners.shape[0] - 1) // sub, (corners.shape[1] - 1) // sub
        if array.shape != expected:
            raise ValueError(f"{name} has shape {array.shape}, but the corners given are those of {expected} pixels")
    omega = np.zeros(flux.shape)
    _solid_angles(b, sub_out, omega)
    return int(_project(a, sub_in, b, sub_out, _Sums(image, omega, flux, area)))


def _as_corners(corners: ArrayLike, sub: int, name: str) -> Floats:
    """The corners as the kernels read them, their shape checked, since a kernel would read past the end."""
    array = np.ascontiguousarray(corners, np.float64)
    if sub < 1 or array.ndim != 3 or array.shape[2] != 3 or any((n - 1) % sub or n <= sub for n in array.shape[:2]):
        raise ValueError(f"{name} has shape {array.shape}, not (ny·{sub}+1, nx·{sub}+1, 3) with sub = {sub}")
    return array
