"""Fit: the polynomials of a mapping, their degree raised and their window split until the check holds."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.polynomial.chebyshev import chebvander

from dmontage.mapping.bounds import curvatures, omega_gradient, rounding
from dmontage.mapping.box import Box, folds
from dmontage.mapping.chain import Chain, Chart
from dmontage.mapping.nouns import TOL, Mapping
from dmontage.mapping.patch import Focal, Patch
from dmontage.mapping.singular import is_clear
from dmontage.polynomial import coefficients, roots
from dmontage.window import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.grid import Grid

__all__ = ["affordable_parts", "fit_mapping"]

_DEGREES = ((3, 4, 5, 6, 7), (8, 10, 12, 14))
"""Each row comes from one polynomial of its highest degree, cut short: the exact chain is called once for all."""
_EDGE = 64
"""Parts of each edge of a window at whose ends it is checked, besides the mesh inside."""
_MIN_SIDE = 32
"""A window of this side that still does not fit is cut by something."""
_MAX_PATCHES = 64
_CORNERS = 2**18
"""Corners that are asked for at once."""
_MAX_SUB = 64
_MAX_QUADS = 2**22
"""Sub-pixels of an image, or of its footprint, that the tolerance may cost: some seconds and 100 MB."""


def fit_mapping(grid_in: Grid | Chart, grid_out: Grid | Chart, tol: float = TOL) -> Mapping:
    """The mapping of all pixels of ``grid_in`` to the pixels of ``grid_out``.

    Parameters
    ----------
    grid_in, grid_out
        The mapping depends on these two only, never on a window that somebody asks for. A Chart saves building what
        one grid needs for many mappings.
    tol
        Tolerance in output pixels; the polynomials are made a thousand times better where the WCS's rounding allows.
    """
    chain = Chain(grid_in, grid_out)
    start, end = chain.start, chain.end
    shift = end.grid.shift_from(start.grid)
    if shift is not None and _all_on_sky(start):
        return _exact_shift(start.grid, shift)
    lost = rounding(chain)
    patches = _fit_patches(chain, max(1e-3 * tol, 2 * lost), tol) if _has_polynomials(chain) else []
    bend = curvatures(chain)
    # What the check sees of the WCS's own rounding is not the polynomials' doing, and is told beside it.
    patches = [replace(patch, error=max(patch.error - lost, 0.0)) for patch in patches]
    error = max((patch.error for patch in patches), default=math.inf)
    gradient = omega_gradient(chain, bend.under) if patches else 0.0
    mapping = Mapping(tuple(patches), error, bend.sagitta, gradient, lost)
    # Parts of a pixel's edge that bring its sagitta below the tolerance.
    edge_in = bend.edge_in * start.scale / end.scale
    sub_in = affordable_parts(math.ceil(math.sqrt(edge_in / tol)), start.grid.window)
    sub_out = affordable_parts(math.ceil(math.sqrt(bend.edge_out / tol)), mapping.footprint(end.grid))
    edge = edge_in / sub_in**2 + bend.edge_out / sub_out**2
    return replace(mapping, sub_in=sub_in, sub_out=sub_out, edge=edge)


def affordable_parts(sub: int, window: Window) -> int:
    """As many parts of an edge as are wanted and as a window of that size allows."""
    return max(min(sub, math.isqrt(_MAX_QUADS // max(window.size, 1)), _MAX_SUB), 1)


def _has_polynomials(chain: Chain) -> bool:
    """Whether the map is known to be smooth where the image is: no kinks, and no singular place near."""
    start, end = chain.start, chain.end
    mesh = start.mesh[2]
    return start.smooth and end.smooth and is_clear(mesh, start.singular) and is_clear(chain.turn(mesh), end.singular)


# -- shifts ------------------------------------------------------------------------------------------------------------


def _all_on_sky(chart: Chart) -> bool:
    """True where no pixel corner is off the sky; near a limb, a seam or a facet's edge all of them are asked."""
    if is_clear(chart.mesh[2], chart.singular):
        return True
    nx = chart.grid.shape[1]
    rows = max(_CORNERS // (nx + 1), 1)
    return all(bool(np.isfinite(chart.grid.corners(band)).all()) for band in chart.grid.window.bands(rows))


def _exact_shift(grid: Grid, shift: tuple[int, int]) -> Mapping:
    """A map by whole pixels, exact; its polynomials of degree 1 only serve the outline."""
    ny, nx = grid.shape
    dy, dx = shift
    coef_x = np.array([[dx + (nx - 1) / 2, nx / 2], [0.0, 0.0]])
    coef_y = np.array([[dy + (ny - 1) / 2, 0.0], [ny / 2, 0.0]])
    return Mapping((Patch(grid.window, coef_x, coef_y, shift),), 0.0, 0.0, 0.0, 0.0)


# -- polynomials -------------------------------------------------------------------------------------------------------


def _fit_patches(chain: Chain, goal: float, tol: float) -> list[Patch]:
    """Patches that cover the image; none where the map is cut."""
    patches: list[Patch] = []
    waiting = [chain.start.grid.window]
    while waiting:
        window = waiting.pop(0)
        patch = _fit_window(chain, window, goal)
        if patch is not None and patch.error <= max(goal, 0.1 * tol):
            patches.append(patch)
            continue
        halves = _split(window)
        if len(halves) == 1 or len(patches) + len(waiting) + len(halves) > _MAX_PATCHES:
            return []
        waiting += halves
    return patches


def _split(window: Window) -> list[Window]:
    """Halves, or quarters, of a window whose sides allow it."""

    def cuts(first: int, last: int) -> list[int]:
        return [first, last] if last - first < 2 * _MIN_SIDE else [first, (first + last) // 2, last]

    ys, xs = cuts(window.y0, window.y1), cuts(window.x0, window.x1)
    return [Window(y0, y1, x0, x1) for y0, y1 in pairwise(ys) for x0, x1 in pairwise(xs)]


def _fit_window(chain: Chain, window: Window, goal: float) -> Patch | None:
    """The lowest degree that reaches the goal, or the best; None where a point is undefined or the map may fold."""
    core = chain.start.core
    if core is None:
        return _fit_box(chain, window, Box.of(window), None, goal)
    box = _focal_box(chain.start, window)
    if box is None:
        return None
    return _fit_box(Chain(core, chain.end), window, box, Focal(box, chain.start.grid), goal)


def _fit_box(chain: Chain, window: Window, box: Box, focal: Focal | None, goal: float) -> Patch | None:
    best: Patch | None = None
    for degrees in _DEGREES:
        points = _points(degrees[-1])
        exact = chain(*box.at(points.t_x, points.t_y))
        if not np.isfinite(exact).all():
            return None
        n = degrees[-1] + 1
        full = [coefficients(exact[: n * n, k].reshape(n, n)) for k in (0, 1)]
        for degree in degrees:
            coef = [np.ascontiguousarray(c[: degree + 1, : degree + 1]) for c in full]
            off = [np.abs(points.values(c) - exact[n * n :, k]).max() for k, c in enumerate(coef)]
            error = 2.0 * float(max(off))
            if best is None or error < best.error:
                best = Patch(window, coef[0], coef[1], None, error, focal)
            if best.error <= goal:
                return None if folds(best.coef_x, best.coef_y) else best
    return None if best is None or folds(best.coef_x, best.coef_y) else best


class _Points(NamedTuple):
    """Where a polynomial of some degree is interpolated and checked, in scaled coordinates."""

    t_x: NDArray[np.float64]
    """Nodes first, then the points of the check: a mesh between and beyond the nodes, and the edges more closely."""
    t_y: NDArray[np.float64]
    table_x: NDArray[np.float64]
    """Chebyshev polynomials at the points of the check, (n, degree + 1)."""
    table_y: NDArray[np.float64]

    def values(self, coef: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values (n,) of a polynomial of this degree or a lower one at the points of the check."""
        n = len(coef)
        return np.asarray(((self.table_y[:, :n] @ coef) * self.table_x[:, :n]).sum(axis=1))


@lru_cache(maxsize=8)
def _points(degree: int) -> _Points:
    nodes = np.meshgrid(*[roots(degree)] * 2)
    mesh = np.meshgrid(*[np.linspace(-1.0, 1.0, 2 * degree + 2)] * 2)
    t = np.linspace(-1.0, 1.0, _EDGE + 1)
    one = np.ones_like(t)
    edges = np.concatenate([t, t, one, -one]), np.concatenate([one, -one, t, t])
    checks = [np.concatenate([mesh[k].ravel(), edges[k]]) for k in (0, 1)]
    t_x, t_y = (np.concatenate([nodes[k].ravel(), checks[k]]) for k in (0, 1))
    return _Points(t_x, t_y, chebvander(checks[0], degree), chebvander(checks[1], degree))


# -- lookup tables -----------------------------------------------------------------------------------------------------


def _focal_box(chart: Chart, window: Window) -> Box | None:
    """What a window covers in focal pixels, with room for what lies between the points that are asked.

    None where the tables fold it.
    """
    t = np.linspace(-1.0, 1.0, _EDGE + 1)
    x, y = Box.of(window).at(*np.meshgrid(t, t))
    u, v = chart.grid.to_core(x, y, chart.wcs)
    if not (np.isfinite(u).all() and np.isfinite(v).all()) or _turns_over(u, v):
        return None
    # The tables' steps between two points are less than all that they do over the window.
    room = 1.0 + float(max(np.ptp(u - x), np.ptp(v - y)))
    return Box(float(v.min()) - room, float(v.max()) + room, float(u.min()) - room, float(u.max()) + room)


def _turns_over(u: NDArray[np.float64], v: NDArray[np.float64]) -> bool:
    """True where a mesh of points turns its orientation over."""
    one = (u[1:, 1:] - u[:-1, :-1]) * (v[1:, :-1] - v[:-1, 1:])
    two = (u[1:, :-1] - u[:-1, 1:]) * (v[1:, 1:] - v[:-1, :-1])
    return not ((one > two).all() or (one < two).all())
