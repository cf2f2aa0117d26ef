"""The plane kernel: exact overlap of quadrilaterals with a unit grid, by sums over shared edges.

Notation. In output pixel coordinates every input pixel is a quadrilateral through its four corners, and the cells are
unit squares. For a polygon with directed edges e, the part of cell (j, i) that it covers is ::

    overlap(j, i) = Σ_e  ∫_{e in column i} c_j(y) dx,        c_j(y) = length of [j, j+1] above y

(Green's theorem; the polygon runs counter-clockwise). c_j is 0 above the edge's cell, 1 below it, and linear in the one
between, so a piece of an edge adds to its own cell and the next, and a running sum up the column does the rest::

              i      i+1
      j+1 ────┼───────┼────      d = dx of the piece, s = mean of y − j over it
              │   /───┤
              ├──/    │          acc[j, i]     += d (1 − s)
        j ────┼───────┼────      acc[j + 1, i] += d s           overlap = running sum of acc

Neighbours share edges, so the flux image is a sum over *edges* of (value on the left − value on the right): two edges a
pixel and no polygon clipping. Interior edges cancel from the area.

An edge no longer than a cell crosses one column border at most (at yc, into two pieces), and either piece one row
border at most. With u the piece's height above that border, a piece of weight w gives, without a branch ::

    top = ½ w u² dx/|dy|,   moment = w d s,      acc[j : j + 3] += (w d − moment + top, moment − 2 top, top)

Longer edges are cut into equal parts first. So a row of edges goes through vector code into a batch of numbers, and
from there to the cells one by one.

A running sum forgets small numbers beside large ones. Therefore
- the image is cut into tiles; each works relative to its median v0 and adds v0·area back, so that a constant is exact;
- a pixel further from v0 than 1e4 times the tile's median deviation is left out as a hole and added alone, as a tile of
  one pixel;
- a cell that no outer edge crosses is covered 0 or 1 times: its area is rounded to that integer, so that
  nothing but a polygon gives area. Outer edges are those between a pixel and no pixel;
- where a sliver's area is below 1e-6 its mean is held within the tile's range of values: the sums' rounding (1e-15 of
  that range) would show there.

A tile is always computed whole, about its own integer origin, and cropped when it is added to the output: the bits do
not depend on the window that the caller asks for. Per-pixel arithmetic is + − × ÷ only.

Cost on one core with AVX-512, 512×1024 pixels turned by 17°, ratio 1: 21 ns a pixel, of which splitting edges 4.4,
adding to the cells 5, running sums 1.7, median, bounds and validity of the tile 3, loading edges 2, and 4 more than the
same pixels take from the cache. 226 instructions with AVX2. What was tried, in ns a pixel::

    edge by edge, scalar loops with branches, sums along rows    41   (426 instructions)
    batches without branches, sums up all columns at once        -12  (but long edges are cut: at ratio 1.05 +15)
    running sums by unsigned indices, no views                   -5
    elsewhere views of rows, not x[r0 + r, c0 + c]               -8   (that may be negative: no vector code)
    loading both ends before choosing the left one               -4
    only the outer edges of holes and of flat tiles              0    (but -11 where 2 % are holes: 500 ns a hole)
    tiles of 32, 48, 96, 128                                     +8, +3, -1.5, -2  (the last two 0 at ratio 2)
    a branch where a third cell gets 0, a second buffer          0    (the stores alone take 3.6)
    corners in bands of 64, 128 or 256 rows                      0    (evaluating them takes 1.5: not worth fusing)

A density that changes linearly across an output cell (Ω in CAR, middle latitudes, pixels of 10" to 10') was tried by
oversampling: it takes the kernel's error, sagitta included, down by 2.0 to 2.4 (rms). It would add about 50 operations
to the 75 of an edge, so some 3 ns, and is left out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.kernels._jit import kernel, primitive

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TILE", "project_plane"]

TILE = 64
"""Side of a tile in input pixels: its buffers (two of 90×90 doubles at 45°) stay in the second-level cache."""

_FAR = 1e4
"""A pixel further from the tile's median than this many median deviations is added alone."""

_MIXED = 1e11
"""A tile in which a pixel may lie so many times its smallest value from the median is added pixel by pixel."""

_FEW = 64
"""So many pixels of a tile that is constant otherwise are added alone: nothing tells what is far from it."""

_SAMPLE = 64
"""Pixels that give a tile's median and median deviation."""

_SLIVER = 1e-6

_TINY = 2.0**-60
"""Below every difference of two coordinates in a buffer that is not 0: these are 1 or more, so 2^-52 at least."""

_PITCH = 4 * TILE + 8
"""Edges that a batch holds: those along and up from a row of corners, twice. A batch is one array of rows at this
pitch; the compiler knows it, sees that rows do not overlap, and makes vector code without asking at run time."""

_XA, _YA, _XB, _YB, _W, _T1, _T2, _T3, _T4, _T5, _T6, _XA_WHOLE, _YA_WHOLE, _XB_WHOLE, _YB_WHOLE, _END = (
    k * _PITCH for k in range(16)
)
"""Rows of a batch: an edge's ends and weight; what its two pieces add to three cells each; the ends before cutting."""


class _Frame(NamedTuple):
    """The part of the output plane that a block's buffers hold; coordinates in it start at its first cell's corner."""

    i0: int
    j0: int
    stride: int
    n_rows: int
    x_max: float
    y_max: float


class _Cells(NamedTuple):
    """Buffers over a frame, flat (n_rows · stride): zero but for the work on one block."""

    flux: NDArray[np.float64]
    area: NDArray[np.float64]
    crossed: NDArray[np.uint8]
    run: NDArray[np.float64]
    """(2 · stride,): the running sums of flux and area."""
    span: NDArray[np.int64]
    """(2 · n_rows,): first and last cell of each row that an outer edge reaches."""


class _Work(NamedTuple):
    """Batches of edges, and the corners that they come from."""

    edges: NDArray[np.float64]
    outer: NDArray[np.float64]
    at: NDArray[np.int32]
    """(2 · _PITCH,): first cell of either piece."""
    corners: NDArray[np.float64]
    """(2, 2, tile + 1): x and y of two rows of corners."""
    columns: NDArray[np.float64]
    """(2, tile + 1): least and greatest of each column; a reduction along rows would not become vector code."""


class _Blocks(NamedTuple):
    """Deviations u and validity of a tile, and of a hole in it, padded by a pixel on all sides."""

    u: NDArray[np.float64]
    ok: NDArray[np.uint8]
    u_hole: NDArray[np.float64]
    ok_hole: NDArray[np.uint8]
    sample: NDArray[np.float64]


def _scratch(tile: int) -> tuple[_Blocks, _Work, _Cells]:
    """What the kernel writes to; made outside, as numba takes 1 s to compile its making."""
    ok_hole = np.zeros((3, 3), np.uint8)
    ok_hole[1, 1] = 1
    side = tile + 2
    blocks = np.zeros((side, side)), np.zeros((side, side), np.uint8), np.zeros((3, 3)), ok_hole, np.empty(_SAMPLE + 1)
    at, corners, columns = np.empty(2 * _PITCH, np.int32), np.empty((2, 2, tile + 1)), np.empty((2, tile + 1))
    none = _Cells(np.zeros(1), np.zeros(1), np.zeros(1, np.uint8), np.zeros(2), np.zeros(2, np.int64))
    return _Blocks(*blocks), _Work(np.empty(_END), np.empty(_END), at, corners, columns), none


# -- edges -------------------------------------------------------------------------------------------------------------


@primitive
def _trapezoids(e: NDArray[np.float64], at: NDArray[np.int32], n: int, stride: float) -> int:
    """Find what ``n`` edges add to the cells; the number of edges too long for it (the rest is void then)."""
    too_long = 0
    for k in range(n):
        # All is loaded before it is chosen from: choosing addresses made this 1.7 times slower. ``min`` and ``max``
        # look for NaN, which a vector instruction does not: hence the comparisons, here and below.
        xa = e[k + _XA]
        ya = e[k + _YA]
        xb = e[k + _XB]
        yb = e[k + _YB]
        w = e[k + _W]
        turned = xb < xa
        xl = xb if turned else xa
        yl = yb if turned else ya
        xr = xa if turned else xb
        yr = ya if turned else yb
        w = -w if turned else w
        i = np.floor(xl)
        dx = xr - xl
        beyond = xr - (i + 1.0)
        beyond = beyond if beyond > 0.0 else 0.0
        dy = yr - yl
        yc = yr - beyond * (dy / (dx if dx > _TINY else _TINY))
        dy = abs(dy)
        half_w_per_y = 0.5 * w * dx / (dy if dy > _TINY else _TINY)

        j1 = np.floor(yl if yl < yc else yc)
        up1 = (yc if yl < yc else yl) - (j1 + 1.0)
        up1 = up1 if up1 > 0.0 else 0.0
        whole = w * (dx - beyond)
        moment = whole * (0.5 * (yl + yc) - j1)
        top = up1 * up1 * half_w_per_y
        e[k + _T1] = whole - moment + top
        e[k + _T2] = moment - (top + top)
        e[k + _T3] = top
        at[k] = np.int32(j1 * stride + i)

        j2 = np.floor(yr if yr < yc else yc)
        up2 = (yc if yr < yc else yr) - (j2 + 1.0)
        up2 = up2 if up2 > 0.0 else 0.0
        whole = w * beyond
        moment = whole * (0.5 * (yr + yc) - j2)
        top = up2 * up2 * half_w_per_y
        e[k + _T4] = whole - moment + top
        e[k + _T5] = moment - (top + top)
        e[k + _T6] = top
        at[k + _PITCH] = np.int32(j2 * stride + (i + 1.0))

        up = up1 if up1 > up2 else up2
        too_long += ((up if up > beyond else beyond) > 1.0) & (w != 0.0)  # between no pixels it may be anything
    return too_long


@primitive
def _scatter(e: NDArray[np.float64], at: NDArray[np.int32], n: int, acc: NDArray[np.float64], stride: int) -> None:
    """Add to the cells what `_trapezoids` found."""
    step = np.uintp(stride)  # unsigned, here and below: no test for indices that count from the end
    for k in range(n):
        p = np.uintp(at[k])
        q = np.uintp(at[k + _PITCH])
        acc[p] += e[k + _T1]
        acc[p + step] += e[k + _T2]
        acc[p + step + step] += e[k + _T3]
        acc[q] += e[k + _T4]
        acc[q + step] += e[k + _T5]
        acc[q + step + step] += e[k + _T6]


@primitive
def _cut(e: NDArray[np.float64], n: int, part: int, parts: int) -> None:
    """Put one of ``parts`` equal parts of every edge in its place; the first keeps the whole ones aside."""
    if part == 0:
        for k in range(n):
            e[k + _XA_WHOLE] = e[k + _XA]
            e[k + _YA_WHOLE] = e[k + _YA]
            e[k + _XB_WHOLE] = e[k + _XB]
            e[k + _YB_WHOLE] = e[k + _YB]
    a = part / parts
    b = (part + 1) / parts
    for k in range(n):
        xa = e[k + _XA_WHOLE]
        ya = e[k + _YA_WHOLE]
        dx = e[k + _XB_WHOLE] - xa
        dy = e[k + _YB_WHOLE] - ya
        e[k + _XA] = xa + a * dx
        e[k + _YA] = ya + a * dy
        e[k + _XB] = xa + b * dx if b < 1.0 else e[k + _XB_WHOLE]
        e[k + _YB] = ya + b * dy if b < 1.0 else e[k + _YB_WHOLE]


@primitive
def _add_edges(
    e: NDArray[np.float64], at: NDArray[np.int32], n: int, parts: int, acc: NDArray[np.float64], stride: int
) -> int:
    """Add ``n`` edges to ``acc``, each in ``parts`` parts or as many more as they need; the number of parts."""
    if parts == 1:
        if _trapezoids(e, at, n, float(stride)) == 0:
            _scatter(e, at, n, acc, stride)
            return parts
        parts = 2
    longer = 1
    while longer > 0:
        longer = 0
        for k in range(n):
            length = max(abs(e[k + _XB] - e[k + _XA]), abs(e[k + _YB] - e[k + _YA]))
            longer += (length > parts) & (e[k + _W] != 0.0)
        parts += longer > 0
    for part in range(parts):
        _cut(e, n, part, parts)
        _trapezoids(e, at, n, float(stride))
        _scatter(e, at, n, acc, stride)
    return parts


@primitive
def _mark_edges(e: NDArray[np.float64], n: int, cells: _Cells, stride: int) -> None:
    """Mark the cells whose inside an outer edge passes through, along a border none; widen the rows' spans to them."""
    crossed = cells.crossed
    span = cells.span
    for k in range(n):
        xa = e[k + _XA]
        ya = e[k + _YA]
        xb = e[k + _XB]
        yb = e[k + _YB]
        if ya > yb:
            xa, ya, xb, yb = xb, yb, xa, ya
        j = int(ya)
        top = int(yb)
        slope = (xb - xa) / (yb - ya) if top > j else 0.0
        x = xa
        while j < top or (j == top and yb > j):
            x_next = xa + (j + 1 - ya) * slope if j < top else xb
            low = min(x, x_next)
            high = max(x, x_next)
            first = int(low)
            last = int(high)
            span[2 * j] = min(span[2 * j], first)
            span[2 * j + 1] = max(span[2 * j + 1], last)
            for i in range(first, last):
                crossed[j * stride + i] = 1
            if high > last:
                crossed[j * stride + last] = 1
            x = x_next
            j += 1


# -- a block of pixels: a tile, or a hole in it ------------------------------------------------------------------------


@primitive
def _load_corners(
    x: NDArray[np.float64], r: int, c0: int, n: int, shift: float, x_max: float, corners: NDArray[np.float64]
) -> None:
    """A row of corners in the buffer's frame; those of no pixel, wherever they are, are moved into it."""
    row = x[r, c0 : c0 + n]
    for k in range(n):
        v = row[k] - shift
        v = v if v > 0.0 else 0.0  # NaN too
        corners[k] = v if v < x_max else x_max


@primitive
def _load_edges(
    e: NDArray[np.float64],
    nc: int,
    here: NDArray[np.float64],
    above: NDArray[np.float64],
    u_below: NDArray[np.float64],
    u_above: NDArray[np.float64],
) -> None:
    """The ``nc`` edges along a row of corners, then the ``nc + 1`` edges up from it to the row ``above``."""
    for axis in range(2):
        a = here[axis]
        b = above[axis]
        along = e[axis * _PITCH :]
        up = e[axis * _PITCH + nc :]
        for k in range(nc):
            along[k + _XA] = a[k]
            along[k + _XB] = a[k + 1]
        for k in range(nc + 1):
            up[k + _XA] = a[k]
            up[k + _XB] = b[k]
    up = e[nc:]
    for k in range(nc):
        e[k + _W] = u_above[k + 1] - u_below[k + 1]
    for k in range(nc + 1):
        up[k + _W] = u_above[k] - u_above[k + 1]


@primitive
def _collect_outer(work: _Work, r: int, nr: int, nc: int, ok: NDArray[np.uint8], full: bool, n_outer: int) -> int:
    """Append the outer ones of a row's edges to their batch; the number that it holds then."""
    e = work.edges
    outer = work.outer
    k = nc if full and 0 < r < nr else 0
    while k < (2 * nc + 1 if r < nr else nc):
        if k < nc:
            w = np.int64(ok[r + 1, k + 1] == 1) - np.int64(ok[r, k + 1] == 1)
        else:
            w = np.int64(ok[r + 1, k - nc] == 1) - np.int64(ok[r + 1, k - nc + 1] == 1)
        if w != 0:
            outer[n_outer + _XA] = e[k + _XA]
            outer[n_outer + _YA] = e[k + _YA]
            outer[n_outer + _XB] = e[k + _XB]
            outer[n_outer + _YB] = e[k + _YB]
            outer[n_outer + _W] = w
            n_outer += 1
        k += nc if full and k >= nc else 1
    return n_outer


@primitive
def _add_block(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    r0: int,
    c0: int,
    nr: int,
    nc: int,
    u: NDArray[np.float64],
    ok: NDArray[np.uint8],
    full: bool,
    flat: bool,
    work: _Work,
    frame: _Frame,
    cells: _Cells,
) -> None:
    """Add all edges of a block.

    ``ok`` is 1 for the pixels that take part, all of them if ``full``; ``u`` is 0 everywhere if ``flat``.
    """
    e, outer, at, corners, _ = work
    acc_flux = cells.flux
    acc_area = cells.area
    stride = frame.stride
    for j in range(frame.n_rows):
        cells.span[2 * j] = stride
        cells.span[2 * j + 1] = -2
    parts = int(np.int64(1))  # a plain 1 or 0 has a type of its own, and the functions would be compiled twice
    n_outer = int(np.int64(0))
    for r in range(-1, nr + 1):
        above = corners[(r + 1) % 2]
        if r < nr:
            _load_corners(x, r0 + r + 1, c0, nc + 1, frame.i0 - 0.5, frame.x_max, above[0])
            _load_corners(y, r0 + r + 1, c0, nc + 1, frame.j0 - 0.5, frame.y_max, above[1])
        if r >= 0:
            # Row r of the padded u and ok lies below corner row r.
            _load_edges(e, nc, corners[r % 2], above, u[r], u[r + 1])
            n_outer = _collect_outer(work, r, nr, nc, ok, full, n_outer)
            n = 2 * nc + 1 if r < nr else nc
            if not flat:  # as holes are, of which images of a few counts are full
                parts = _add_edges(e, at, n, parts, acc_flux, stride)
            if n_outer + 2 * nc + 1 > _PITCH or r == nr:
                _mark_edges(outer, n_outer, cells, stride)
                parts = _add_edges(outer, at, n_outer, parts, acc_area, stride)
                n_outer = 0


@primitive
def _flush(
    cells: _Cells,
    frame: _Frame,
    parity: float,
    v0: float,
    u_min: float,
    u_max: float,
    flux: NDArray[np.float64],
    area: NDArray[np.float64],
    y_first: int,
    x_first: int,
) -> None:
    """Run the sums up the columns, add what lies inside the output, and leave the buffers at zero."""
    ny, nx = flux.shape
    i_first = frame.i0 - x_first
    stride = np.uintp(frame.stride)
    acc_flux, acc_area, crossed, run, span = cells
    for i in range(2 * frame.stride):
        run[i] = 0.0
    for j in range(frame.n_rows):
        # An edge adds to the two rows above it as well, and rounding to a cell beyond on each side.
        low = frame.stride
        high = -2
        for k in range(max(j - 2, 0), min(j + 2, frame.n_rows)):
            low = min(low, span[2 * k])
            high = max(high, span[2 * k + 1])
        start = np.uintp(max(low - 1, 0))
        stop = np.uintp(max(min(high + 2, frame.stride), 0))
        base = np.uintp(j * frame.stride)
        for i in range(start, stop):
            run[i] += acc_flux[base + i]
            acc_flux[base + i] = 0.0
        for i in range(start, stop):
            run[i + stride] += acc_area[base + i]
            acc_area[base + i] = 0.0
        out_j = frame.j0 + j - y_first
        low = max(span[2 * j], -i_first)
        high = min(span[2 * j + 1] + 1, nx - i_first)
        if 0 <= out_j < ny and low < high:
            row = np.uintp(out_j)
            shift = np.uintp(i_first + low) - np.uintp(low)
            for i in range(np.uintp(low), np.uintp(high)):
                a = parity * run[i + stride]
                a = a if crossed[base + i] else np.floor(a + 0.5)
                a = a if a > 0.0 else 0.0
                f = parity * run[i]
                held = f if f > u_min * a else u_min * a
                held = held if held < u_max * a else u_max * a
                f = held if a < _SLIVER else f
                area[row, i + shift] += a
                flux[row, i + shift] += f + v0 * a
        for i in range(start, stop):
            crossed[base + i] = 0


# -- a tile ------------------------------------------------------------------------------------------------------------


@primitive
def _load_tile(
    values: NDArray[np.floating[Any]],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    r0: int,
    c0: int,
    nr: int,
    nc: int,
    columns: NDArray[np.float64],
    u: NDArray[np.float64],
    ok: NDArray[np.uint8],
) -> int:
    """Copy a tile into the padded ``u`` and its validity into ``ok``; number of pixels that have value and corners."""
    n = 0
    for r in range(nr + 1):
        # A finite number times 0 is 0; NaN and infinity are not.
        x_row = x[r0 + r, c0 : c0 + nc + 1]
        y_row = y[r0 + r, c0 : c0 + nc + 1]
        here = columns[r % 2]
        below = columns[(r + 1) % 2]
        for c in range(nc + 1):
            here[c] = x_row[c] * 0.0 + y_row[c] * 0.0
        if r > 0:
            v_row = values[r0 + r - 1, c0 : c0 + nc]
            u_row = u[r, 1:]
            ok_row = ok[r, 1:]
            for c in range(nc):
                v = np.float64(v_row[c])
                good = (here[c] + here[c + 1]) + (below[c] + below[c + 1]) + v * 0.0 == 0.0
                u_row[c] = v if good else 0.0
                ok_row[c] = good
                n += good
    for c in range(nc + 2):
        u[nr + 1, c] = 0.0
        ok[nr + 1, c] = 0
    for r in range(nr + 2):
        u[r, nc + 1] = 0.0
        ok[r, nc + 1] = 0
    return n


@primitive
def _sample_tile(
    nr: int, nc: int, n_good: int, u: NDArray[np.float64], ok: NDArray[np.uint8], sample: NDArray[np.float64]
) -> int:
    """Every so manyth valid pixel of a tile; their number."""
    step = (n_good + _SAMPLE - 1) // _SAMPLE
    while math.gcd(step, nc) > 1:  # else the sample is a few columns, and a bad column may be all that it sees
        step += 1
    k = 0
    wait = 0
    for r in range(1, nr + 1):
        if n_good == nr * nc:
            for c in range(1 + wait, nc + 1, step):
                sample[k] = u[r, c]
                k += 1
            wait = (wait - nc) % step
        else:
            for c in range(1, nc + 1):
                if ok[r, c]:
                    if wait == 0:
                        sample[k] = u[r, c]
                        k += 1
                        wait = step
                    wait -= 1
    return k


@primitive
def _median_in_place(a: NDArray[np.float64], n: int) -> float:
    """Lower median of the first ``n`` numbers, which it sorts (n is small: insertion)."""
    for i in range(1, n):
        v = a[i]
        k = i - 1
        while k >= 0 and a[k] > v:
            a[k + 1] = a[k]
            k -= 1
        a[k + 1] = v
    return float(a[(n - 1) // 2])


@primitive
def _farthest(
    nr: int, nc: int, v0: float, u: NDArray[np.float64], ok: NDArray[np.uint8], sample: NDArray[np.float64], k: int
) -> float:
    """How far from ``v0`` a pixel may lie to take part; below 0 where each must be added alone. Destroys the sample.

    Where more than half of a tile is one value (counts, padding), the least of the other deviations is the scale, or
    the value itself; a few others may all be spoilt, and are added alone. Where values of very different size lie side
    by side, none of them is far from the median of all.
    """
    least = np.inf
    for i in range(k):
        size = abs(sample[i])
        least = min(least, size if size > 0.0 else np.inf)
        sample[i] = abs(sample[i] - v0)
    scale = _median_in_place(sample, k)
    if scale == 0.0:
        scale = abs(v0) if v0 != 0.0 else np.inf
        n = 0
        for r in range(1, nr + 1):
            for c in range(1, nc + 1):
                size = abs(u[r, c] - v0) if ok[r, c] != 0 else 0.0
                scale = min(scale, size if size > 0.0 else np.inf)
                n += size > 0.0
        return _FAR * scale if n > _FEW else 0.0
    return _FAR * scale if _FAR * scale <= _MIXED * least else -1.0


@primitive
def _centre_tile(
    nr: int,
    nc: int,
    n_good: int,
    u: NDArray[np.float64],
    ok: NDArray[np.uint8],
    sample: NDArray[np.float64],
    columns: NDArray[np.float64],
) -> tuple[float, float, float, int]:
    """Subtract the median from ``u``; far pixels become holes: ``ok`` = 2, and ``u`` = 0 as where nothing is valid.

    Returns v0, the least and greatest remaining deviation, and the number of holes.
    """
    k = _sample_tile(nr, nc, n_good, u, ok, sample)
    v0 = _median_in_place(sample, k)
    far = _farthest(nr, nc, v0, u, ok, sample, k)
    low = columns[0]
    high = columns[1]
    for c in range(nc):
        low[c] = 0.0
        high[c] = 0.0
    holes = 0
    for r in range(1, nr + 1):
        u_row = u[r, 1:]
        ok_row = ok[r, 1:]
        for c in range(nc):
            d = u_row[c] - v0
            valid = ok_row[c] != 0
            hole = valid & (abs(d) > far)
            u_row[c] = d if valid & (not hole) else 0.0
            ok_row[c] += np.uint8(hole)
            holes += hole
        for c in range(nc):
            d = u_row[c]
            low[c] = d if d < low[c] else low[c]
            high[c] = d if d > high[c] else high[c]
    u_min = 0.0
    u_max = 0.0
    for c in range(nc):
        u_min = min(u_min, low[c])
        u_max = max(u_max, high[c])
    return v0, u_min, u_max, holes


@primitive
def _bounds(
    x: NDArray[np.float64], r0: int, c0: int, nr: int, nc: int, ok: NDArray[np.uint8], columns: NDArray[np.float64]
) -> tuple[float, float]:
    """Least and greatest ``x`` over the corners of a block's valid pixels."""
    low = columns[0]
    high = columns[1]
    for c in range(nc + 1):
        low[c] = np.inf
        high[c] = -np.inf
    for r in range(nr + 1):
        row = x[r0 + r, c0 : c0 + nc + 1]
        below = ok[r]
        above = ok[r + 1]
        for c in range(nc + 1):
            used = (below[c] | below[c + 1] | above[c] | above[c + 1]) != 0
            v = row[c] if used else np.inf
            low[c] = v if v < low[c] else low[c]
            v = row[c] if used else -np.inf
            high[c] = v if v > high[c] else high[c]
    least = np.inf
    greatest = -np.inf
    for c in range(nc + 1):
        least = min(least, low[c])
        greatest = max(greatest, high[c])
    return least, greatest


@primitive
def _frame(x_min: float, x_max: float, y_min: float, y_max: float) -> _Frame:
    """The frame of a polygon within these bounds.

    One spare cell on each side takes the last bit of an interpolated crossing, and one row more takes zeros.
    """
    i0 = int(np.floor(x_min + 0.5)) - 1
    j0 = int(np.floor(y_min + 0.5)) - 1
    stride = int(np.floor(x_max + 0.5)) - i0 + 3
    n_rows = int(np.floor(y_max + 0.5)) - j0 + 4
    return _Frame(i0, j0, stride, n_rows, x_max - (i0 - 0.5), y_max - (j0 - 0.5))


@primitive
def _cells(size: int, stride: int, n_rows: int) -> _Cells:
    return _Cells(
        np.zeros(size), np.zeros(size), np.zeros(size, np.uint8), np.zeros(2 * stride), np.zeros(2 * n_rows, np.int64)
    )


@primitive
def _parity(
    x: NDArray[np.float64], y: NDArray[np.float64], r0: int, c0: int, nr: int, nc: int, ok: NDArray[np.uint8]
) -> float:
    """+1 where the pixels' corners run counter-clockwise in the output plane, −1 where clockwise.

    That of the first pixel that has area (shoelace): the map does not fold, so it is that of all.
    """
    for r in range(r0, r0 + nr):
        for c in range(c0, c0 + nc):
            if ok[r - r0 + 1, c - c0 + 1] == 1:
                cross = (x[r + 1, c + 1] - x[r, c]) * (y[r + 1, c] - y[r, c + 1])
                cross -= (x[r + 1, c] - x[r, c + 1]) * (y[r + 1, c + 1] - y[r, c])
                if cross != 0.0:
                    return 1.0 if cross > 0.0 else -1.0
    return 1.0


@primitive
def _next_hole(ok: NDArray[np.uint8], k: int, nc: int) -> int:
    """The ``k``-th pixel of a tile in row order, or the next after it, that is a hole."""
    while ok[k // nc + 1, k % nc + 1] != 2:
        k += 1
    return k


@primitive
def _count_lost(values: NDArray[np.floating[Any]], r0: int, c0: int, nr: int, nc: int, ok: NDArray[np.uint8]) -> int:
    """Pixels of a tile with a value but without corners."""
    lost = 0
    for r in range(nr):
        for c in range(nc):
            v = np.float64(values[r0 + r, c0 + c])
            lost += (ok[r + 1, c + 1] == 0) & (v - v == 0.0)
    return lost


@primitive
def _project_block(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    r0: int,
    c0: int,
    nr: int,
    nc: int,
    u: NDArray[np.float64],
    ok: NDArray[np.uint8],
    full: bool,
    v0: float,
    u_min: float,
    u_max: float,
    work: _Work,
    cells: _Cells,
    flux: NDArray[np.float64],
    area: NDArray[np.float64],
    y_first: int,
    x_first: int,
) -> _Cells:
    """Add a block to the output if it reaches that; the buffers, which may have grown."""
    x_min, x_max = _bounds(x, r0, c0, nr, nc, ok, work.columns)
    y_min, y_max = _bounds(y, r0, c0, nr, nc, ok, work.columns)
    ny, nx = flux.shape
    if x_max + 0.5 <= x_first or x_min + 0.5 >= x_first + nx or y_max + 0.5 <= y_first or y_min + 0.5 >= y_first + ny:
        return cells
    frame = _frame(x_min, x_max, y_min, y_max)
    size = frame.stride * frame.n_rows
    if size > cells.flux.size or 2 * frame.stride > cells.run.size or 2 * frame.n_rows > cells.span.size:
        cells = _cells(size, frame.stride, frame.n_rows)
    parity = _parity(x, y, r0, c0, nr, nc, ok)
    _add_block(x, y, r0, c0, nr, nc, u, ok, full, u_min == u_max, work, frame, cells)
    _flush(cells, frame, parity, v0, u_min, u_max, flux, area, y_first, x_first)
    return cells


@kernel
def _project_tiles(
    values: NDArray[np.floating[Any]],
    x_out: NDArray[np.float64],
    y_out: NDArray[np.float64],
    flux: NDArray[np.float64],
    area: NDArray[np.float64],
    y_first: int,
    x_first: int,
    tile: int,
    blocks: _Blocks,
    work: _Work,
    cells: _Cells,
) -> int:
    """Add all tiles, as `project_plane` tells it."""
    u_tile, ok_tile, u_hole, ok_hole, sample = blocks
    ny, nx = values.shape
    one = int(np.int64(1))  # no literals for these functions either
    lost = 0
    for r0 in range(0, ny, tile):
        for c0 in range(0, nx, tile):
            nr = min(tile, ny - r0)
            nc = min(tile, nx - c0)
            n_good = _load_tile(values, x_out, y_out, r0, c0, nr, nc, work.columns, u_tile, ok_tile)
            if n_good < nr * nc:
                lost += _count_lost(values, r0, c0, nr, nc, ok_tile)
            if n_good == 0:
                continue
            v0, u_min, u_max, holes = _centre_tile(nr, nc, n_good, u_tile, ok_tile, sample, work.columns)
            if holes < n_good:
                full = n_good == nr * nc and holes == 0
                cells = _project_block(
                    x_out, y_out, r0, c0, nr, nc, u_tile, ok_tile, full, v0, u_min, u_max,
                    work, cells, flux, area, y_first, x_first,
                )  # fmt: skip
            k = -1
            for _ in range(holes):
                k = _next_hole(ok_tile, k + 1, nc)
                r = r0 + k // nc
                c = c0 + k % nc
                cells = _project_block(
                    x_out, y_out, r, c, one, one, u_hole, ok_hole, holes > 0, np.float64(values[r, c]), 0.0, 0.0,
                    work, cells, flux, area, y_first, x_first,
                )  # fmt: skip
    return lost


def project_plane(
    values: NDArray[np.floating[Any]],
    x_out: NDArray[np.float64],
    y_out: NDArray[np.float64],
    flux: NDArray[np.float64],
    area: NDArray[np.float64],
    y_first: int,
    x_first: int,
    tile: int,
) -> int:
    """Add an image's pixels to ``flux`` and ``area`` by exact planar overlap.

    Parameters
    ----------
    values
        (ny, nx) surface brightness; a pixel that is not finite is blank.
    x_out, y_out
        (ny + 1, nx + 1) corners of the pixels in output pixel coordinates, ``[r, c]`` being the lower left corner of
        pixel (r, c). A pixel with a corner that is not finite is no pixel. The map must not fold.
    flux, area
        (my, mx) float64, a window of the output; ``flux += Σ value·overlap``, ``area += Σ overlap`` in place.
    y_first, x_first
        Output pixel of ``flux[0, 0]``.
    tile
        Side of a tile in input pixels, 1 to `TILE`. Small where an input pixel spans many output pixels.

    Returns
    -------
    int
        Number of pixels with a value but without corners.
    """
    # In one piece: the kernel would be compiled once more for windows of a larger array.
    v, x, y = (np.ascontiguousarray(a) for a in (values, x_out, y_out))
    return int(_project_tiles(v, x, y, flux, area, y_first, x_first, tile, *_scratch(tile)))
