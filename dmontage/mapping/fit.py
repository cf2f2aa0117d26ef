"""Fit: the polynomials of a mapping, their degree raised and their window split until the check holds."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from dmontage.mapping.bounds import curvatures, rounding
from dmontage.mapping.chain import Chain
from dmontage.mapping.nouns import TOL, Mapping, Patch
from dmontage.polynomial import coefficients, roots, spread, values_at
from dmontage.window import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.grid import Grid

__all__ = ["affordable_parts", "fit_mapping"]

_DEGREES = (3, 5, 7, 10, 14)
_MIN_SIDE = 32
"""A window of this side that still does not fit is cut by something."""
_MAX_PATCHES = 64
_MAX_SUB = 64
_MAX_QUADS = 2**22
"""Sub-pixels of an image, or of its footprint, that the tolerance may cost: some seconds and 100 MB."""


def fit_mapping(grid_in: Grid, grid_out: Grid, tol: float = TOL) -> Mapping:
    """The mapping of all pixels of ``grid_in`` to the pixels of ``grid_out``.

    Parameters
    ----------
    grid_in, grid_out
        The mapping depends on these two only, never on a window that somebody asks for.
    tol
        Tolerance in output pixels; the polynomials are made a thousand times better where the WCS's rounding allows.
    """
    shift = grid_out.shift_from(grid_in)
    if shift is not None and _all_on_sky(grid_in):
        return _exact_shift(grid_in, shift)
    chain = Chain(grid_in, grid_out)
    lost = rounding(chain)
    patches, error = _fit_patches(chain, grid_in.window, max(1e-3 * tol, 16 * lost), tol)
    sagitta, gradient, edge_in, edge_out = curvatures(chain)
    edge_in *= grid_in.scale / grid_out.scale
    # What the check sees of the WCS's own rounding is not the polynomials' doing.
    mapping = Mapping(tuple(patches), max(error - 8 * lost, 0.0), sagitta + edge_in, gradient, lost)
    # Parts of a pixel's edge that bring its sagitta below the tolerance.
    sub_in = affordable_parts(math.ceil(math.sqrt(edge_in / tol)), grid_in.window)
    sub_out = affordable_parts(math.ceil(math.sqrt(edge_out / tol)), mapping.footprint(grid_out))
    edge = edge_in / sub_in**2 + edge_out / sub_out**2
    return replace(mapping, sub_in=sub_in, sub_out=sub_out, edge=edge)


def affordable_parts(sub: int, window: Window) -> int:
    """As many parts of an edge as are wanted and as a window of that size allows."""
    return max(min(sub, math.isqrt(_MAX_QUADS // max(window.size, 1)), _MAX_SUB), 1)


def _all_on_sky(grid: Grid) -> bool:
    """True where no corner is off the sky, as far as a mesh over the whole grid tells."""
    ny, nx = grid.shape
    x, y = np.linspace(-0.5, nx - 0.5, 33), np.linspace(-0.5, ny - 0.5, 33)
    return bool(np.isfinite(grid.sky(x[None, :], y[:, None])).all())


def _exact_shift(grid: Grid, shift: tuple[int, int]) -> Mapping:
    """A map by whole pixels, exact; its polynomials of degree 1 only serve the outline and the pixel ratio."""
    ny, nx = grid.shape
    dy, dx = shift
    coef_x = np.array([[dx + (nx - 1) / 2, nx / 2], [0.0, 0.0]])
    coef_y = np.array([[dy + (ny - 1) / 2, 0.0], [ny / 2, 0.0]])
    return Mapping((Patch(grid.window, coef_x, coef_y, shift),), 0.0, 0.0, 0.0, 0.0)


def _fit_patches(chain: Chain, window: Window, goal: float, tol: float) -> tuple[list[Patch], float]:
    """Patches that cover the window and their error bound; no patches where the map is cut."""
    patches: list[Patch] = []
    waiting = [window]
    worst = 0.0
    while waiting:
        window = waiting.pop(0)
        patch, error = _fit_window(chain, window, goal)
        if patch is not None and error <= max(goal, 0.1 * tol):
            patches.append(patch)
            worst = max(worst, error)
            continue
        halves = _split(window)
        if len(halves) == 1 or len(patches) + len(waiting) + len(halves) > _MAX_PATCHES:
            return [], math.inf
        waiting += halves
    return patches, worst


def _split(window: Window) -> list[Window]:
    """Halves, or quarters, of a window whose sides allow it."""

    def cuts(first: int, last: int) -> list[int]:
        return [first, last] if last - first < 2 * _MIN_SIDE else [first, (first + last) // 2, last]

    ys, xs = cuts(window.y0, window.y1), cuts(window.x0, window.x1)
    return [Window(y0, y1, x0, x1) for y0, y1 in pairwise(ys) for x0, x1 in pairwise(xs)]


def _fit_window(chain: Chain, window: Window, goal: float) -> tuple[Patch | None, float]:
    """The lowest degree that reaches the goal, or the best; None where a point is undefined or the map folds."""
    best: tuple[Patch | None, float] = (None, math.inf)
    for degree in _DEGREES:
        exact = chain(*_points(window, roots(degree)))
        checks = np.linspace(-1.0, 1.0, 2 * degree + 2)
        truth = chain(*_points(window, checks))
        if not (np.isfinite(exact).all() and np.isfinite(truth).all()):
            return None, math.inf
        coef = [coefficients(exact[..., k]) for k in (0, 1)]
        fitted = np.stack([values_at(c, checks, checks) for c in coef], axis=-1)
        error = 2.0 * float(np.abs(fitted - truth).max())
        if error < best[1]:
            best = Patch(window, coef[0], coef[1]), error
        if best[1] <= goal:
            break
    return (None, math.inf) if _folds(truth) else best


def _points(window: Window, t: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixel coordinates (x, y) of the tensor points ``t`` in [−1, 1] over a window's corners."""
    return spread(t, window.x0, window.x1)[None, :], spread(t, window.y0, window.y1)[:, None]


def _folds(points: NDArray[np.float64]) -> bool:
    """True where the map turns its orientation over between the points."""
    d1 = points[1:, 1:] - points[:-1, :-1]
    d2 = points[1:, :-1] - points[:-1, 1:]
    cross = d1[..., 0] * d2[..., 1] - d1[..., 1] * d2[..., 0]
    return not ((cross > 0).all() or (cross < 0).all())
