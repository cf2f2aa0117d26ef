"""Pixel-to-pixel mapping between two grids: Chebyshev polynomials with a checked bound (level 2).

Between two pixel grids the map is smooth almost everywhere. X(x, y) and Y(x, y) of an image's pixels in output pixels
are interpolated at Chebyshev nodes of the exact WCS chain (pixel → sky → frame → sky → pixel) and checked at other
points; the degree is raised, or the window split, until the check holds. Where that does not help (seams, poles, folds,
the limb of a projection) the mapping says that it is *cut*, and the sphere must be used. Grids that differ by whole
pixels of CRPIX map by that shift exactly.

All lengths here are in output pixels. The bound that decides between the kernels is the sum of

- the mapping's own error, twice the largest seen at the check points;
- the sagitta of pixel edges: a pixel is the polygon through its corners with great circles for edges, the plane kernel
  joins them by straight lines of the output plane (edges of the input and of the output pixels both count);
- half the relative change of Ω across an output pixel, which the plane kernel takes as constant.

The rounding of the WCS (2e-10 px at 1", 2e-4 px at 1 µas) is reported beside it and decides nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.polynomial.chebyshev import chebvander

from dmontage.grid import Grid
from dmontage.sphere import quad_angles, rotate_frame
from dmontage.window import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TOL", "Mapping", "Patch", "affordable_parts", "fit_mapping"]

TOL = 1e-5
"""Default tolerance of a projection, in output pixels."""

_DEGREES = (3, 5, 7, 10, 14)
_MIN_SIDE = 32
"""A window of this side that still does not fit is cut by something."""
_MAX_PATCHES = 64
_MAX_SUB = 64
_MAX_QUADS = 2**22
"""Sub-pixels of an image, or of its footprint, that the tolerance may cost: some seconds and 100 MB."""
_STEP = 5e-3
"""Length in radians over which curvatures are measured: above the WCS's rounding, below the curvature's own scale."""


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """Polynomials of one window of the input."""

    window: Window
    coef_x: NDArray[np.float64]
    """[j (y), i (x)] Chebyshev coefficients of the output x."""
    coef_y: NDArray[np.float64]
    shift: tuple[int, int] | None = None
    """(dy, dx) where the map is this shift: in scaled coordinates it would round, and leave slivers."""

    def scaled(self, window: Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Coordinates in [−1, 1] of the pixel corners of a window inside this patch: (nx + 1,), (ny + 1,)."""
        w = self.window
        x = np.arange(window.x0, window.x1 + 1, dtype=float)
        y = np.arange(window.y0, window.y1 + 1, dtype=float)
        return (2 * x - w.x0 - w.x1) / (w.x1 - w.x0), (2 * y - w.y0 - w.y1) / (w.y1 - w.y0)

    def corners(self, window: Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Output (x, y) of the pixel corners of a window inside this patch, each (ny + 1, nx + 1)."""
        if self.shift is not None:
            dy, dx = self.shift
            x = np.arange(window.x0, window.x1 + 1) + (dx - 0.5)
            y = np.arange(window.y0, window.y1 + 1) + (dy - 0.5)
            x, y = np.meshgrid(x, y)
            return x, y
        from dmontage.kernels.chebyshev import evaluate_rows

        t_x, t_y = self.scaled(window)
        return evaluate_rows(self.coef_x, t_x, t_y), evaluate_rows(self.coef_y, t_x, t_y)

    def outline(self) -> NDArray[np.float64]:
        """Output (x, y) of all corners on the patch's edge, (n, 2): a map without folds has its extremes there."""
        t_x, t_y = self.scaled(self.window)
        v_x, v_y = chebvander(t_x, self.coef_x.shape[1] - 1), chebvander(t_y, self.coef_x.shape[0] - 1)
        edges = [
            np.concatenate([(v_y[[0, -1]] @ c @ v_x.T).ravel(), (v_y @ c @ v_x[[0, -1]].T).ravel()])
            for c in (self.coef_x, self.coef_y)
        ]
        return np.stack(edges, axis=-1)

    @property
    def pixel_ratio(self) -> float:
        """Side of an input pixel in output pixels, at the patch's middle."""
        w = self.window
        mid_y, mid_x = (w.y0 + w.y1) // 2, (w.x0 + w.x1) // 2
        one = Window(mid_y, mid_y + 1, mid_x, mid_x + 1)
        t_x, t_y = self.scaled(one)
        d_x, d_y = (
            chebvander(t_y, c.shape[0] - 1) @ c @ chebvander(t_x, c.shape[1] - 1).T for c in (self.coef_x, self.coef_y)
        )
        return math.sqrt(
            0.5 * abs(float((d_x[1, 1] - d_x[0, 0]) * (d_y[1, 0] - d_y[0, 1])
                            - (d_x[1, 0] - d_x[0, 1]) * (d_y[1, 1] - d_y[0, 0])))
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Mapping:
    """How an image's pixels lie on an output grid, and how well that is known."""

    patches: tuple[Patch, ...]
    """Empty where the map is cut."""
    error: float
    """Bound of the polynomials' error."""
    sagitta: float
    """Largest distance between a great-circle edge and the straight line in the output plane."""
    omega_gradient: float
    """Half the relative change of the solid angle across an output pixel."""
    rounding: float
    """Rounding of the WCS itself."""
    sub_in: int = 1
    """Sub-pixels a side that keep the edges of input pixels within the tolerance of great circles."""
    sub_out: int = 1
    edge: float = 0.0
    """Sagitta that is left after the subdivision, of input and output pixels: what the sky kernel may be wrong by."""

    @property
    def cut(self) -> bool:
        """True where a seam, a pole, a fold or undefined pixels lie in the image: only the sphere will do."""
        return not self.patches

    @cached_property
    def bound(self) -> float:
        """What the plane kernel may be wrong by."""
        return self.error + self.sagitta + self.omega_gradient if self.patches else math.inf

    @cached_property
    def pixel_ratio(self) -> float:
        """Side of an input pixel in output pixels (mean over the patches); NaN where the map is cut."""
        return float(np.mean([patch.pixel_ratio for patch in self.patches])) if self.patches else math.nan

    def footprint(self, grid: Grid) -> Window:
        """The window of ``grid`` that the image can reach; all of it where the map is cut."""
        if self.cut:
            return grid.window
        points = np.concatenate([patch.outline() for patch in self.patches])
        margin = 1e-9 + self.error + (self.sagitta if self.bound > TOL else 0.0)
        (x_min, y_min), (x_max, y_max) = points.min(axis=0) - margin, points.max(axis=0) + margin
        limit = 2.0**31
        if not max(abs(x_min), abs(x_max), abs(y_min), abs(y_max)) < limit:
            return grid.window
        box = Window(
            *(math.floor(edge + 0.5) + last for edge, last in ((y_min, 0), (y_max, 1), (x_min, 0), (x_max, 1)))
        )
        return box & grid.window

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for a table; `from_dict` gives the same bits back."""
        numbers = {
            k: getattr(self, k) for k in ("error", "sagitta", "omega_gradient", "rounding", "sub_in", "sub_out", "edge")
        }
        patches = [
            {
                "window": [p.window.y0, p.window.y1, p.window.x0, p.window.x1],
                "x": p.coef_x.tolist(),
                "y": p.coef_y.tolist(),
                "shift": None if p.shift is None else list(p.shift),
            }
            for p in self.patches
        ]
        return numbers | {"patches": patches}

    @classmethod
    def from_dict(cls, table: dict[str, Any]) -> Mapping:
        """The inverse of `to_dict`."""
        patches = tuple(
            Patch(
                Window(*p["window"]),
                np.array(p["x"]),
                np.array(p["y"]),
                None if p["shift"] is None else (p["shift"][0], p["shift"][1]),
            )
            for p in table["patches"]
        )
        return cls(**{**table, "patches": patches})


class _Chain:
    """The exact way from one grid's pixels to the other's, on WCS objects of its own."""

    def __init__(self, grid_in: Grid, grid_out: Grid) -> None:
        self.grid_in, self.grid_out = grid_in, grid_out
        self.wcs_in, self.wcs_out = grid_in.wcs(), grid_out.wcs()
        self.frame_in, self.frame_out = grid_in.frame, grid_out.frame

    def in_sky(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        return rotate_frame(self.grid_in.sky(x, y, self.wcs_in), self.frame_in, self.frame_out)

    def out_sky(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.grid_out.sky(x, y, self.wcs_out)

    def out_pixel(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., 2) of (x, y)."""
        return np.stack(self.grid_out.pixel(vectors, self.wcs_out), axis=-1)

    def __call__(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.out_pixel(self.in_sky(x, y))


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
    if shift is not None:
        return _exact_shift(grid_in, shift)
    chain = _Chain(grid_in, grid_out)
    rounding = _rounding(chain)
    patches, error = _fit_patches(chain, grid_in.window, max(1e-3 * tol, 16 * rounding), tol)
    sagitta, gradient, edge_in, edge_out = _curvatures(chain)
    # What the check sees of the WCS's own rounding is not the polynomials' doing.
    mapping = Mapping(tuple(patches), max(error - 8 * rounding, 0.0), sagitta, gradient, rounding)
    sub_in = _sub(edge_in, tol, grid_in.window)
    sub_out = _sub(edge_out, tol, mapping.footprint(grid_out))
    edge = edge_in / sub_in**2 * grid_in.scale / grid_out.scale + edge_out / sub_out**2
    return replace(mapping, sub_in=sub_in, sub_out=sub_out, edge=edge)


def _sub(edge: float, tol: float, window: Window) -> int:
    """Parts of a pixel's edge that bring its sagitta below the tolerance, as far as the number of quads allows."""
    return affordable_parts(math.ceil(math.sqrt(edge / tol)), window)


def affordable_parts(sub: int, window: Window) -> int:
    """As many parts of an edge as are wanted and as a window of that size allows."""
    return max(min(sub, math.isqrt(_MAX_QUADS // max(window.size, 1)), _MAX_SUB), 1)


def _rounding(chain: _Chain) -> float:
    """What the WCS objects themselves lose, output pixels: the last digit of a degree, or their own way there and back.

    wcslib's slant SIN, SZP, AIR and ZPN return to 1e-6 px at best.
    """
    to_out = chain.grid_in.scale / chain.grid_out.scale
    worst = math.radians(float(np.spacing(360.0))) / chain.grid_out.scale
    for grid, wcs, unit in ((chain.grid_in, chain.wcs_in, to_out), (chain.grid_out, chain.wcs_out, 1.0)):
        x, y, _ = _samples(grid)
        back_x, back_y = grid.pixel(grid.sky(x, y, wcs), wcs)
        trip = np.hypot(back_x - x, back_y - y)
        # Beyond this it is no rounding: the other side of a seam, or a projection that covers its plane twice.
        worst = max(worst, unit * float(np.nanmax(np.where(trip < 1e-3, trip, 0.0), initial=0.0)))
    return worst


def _exact_shift(grid: Grid, shift: tuple[int, int]) -> Mapping:
    """A map by whole pixels, exact; its polynomials of degree 1 only serve the outline and the pixel ratio."""
    ny, nx = grid.shape
    dy, dx = shift
    coef_x = np.array([[dx + (nx - 1) / 2, nx / 2], [0.0, 0.0]])
    coef_y = np.array([[dy + (ny - 1) / 2, 0.0], [ny / 2, 0.0]])
    return Mapping((Patch(grid.window, coef_x, coef_y, shift),), 0.0, 0.0, 0.0, 0.0)


def _fit_patches(chain: _Chain, window: Window, goal: float, tol: float) -> tuple[list[Patch], float]:
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
    ys = (
        [window.y0, window.y1]
        if window.shape[0] < 2 * _MIN_SIDE
        else [window.y0, sum((window.y0, window.y1)) // 2, window.y1]
    )
    xs = (
        [window.x0, window.x1]
        if window.shape[1] < 2 * _MIN_SIDE
        else [window.x0, sum((window.x0, window.x1)) // 2, window.x1]
    )
    return [Window(y0, y1, x0, x1) for y0, y1 in pairwise(ys) for x0, x1 in pairwise(xs)]


def _fit_window(chain: _Chain, window: Window, goal: float) -> tuple[Patch | None, float]:
    """The lowest degree that reaches the goal, or the best; None where a point is undefined or the map folds."""
    best: tuple[Patch | None, float] = (None, math.inf)
    for degree in _DEGREES:
        nodes = np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))
        exact = chain(*_points(window, nodes))
        checks = np.linspace(-1.0, 1.0, 2 * degree + 2)
        truth = chain(*_points(window, checks))
        if not (np.isfinite(exact).all() and np.isfinite(truth).all()):
            return None, math.inf
        # Interpolation at the roots: the discrete cosine sum, exact for the polynomial through the nodes.
        weights = chebvander(nodes, degree).T * (2.0 / (degree + 1))
        weights[0] *= 0.5
        coef = [weights @ exact[..., k] @ weights.T for k in (0, 1)]
        table = chebvander(checks, degree)
        fitted = np.stack([table @ c @ table.T for c in coef], axis=-1)
        error = 2.0 * float(np.abs(fitted - truth).max())
        if error < best[1]:
            best = Patch(window, coef[0], coef[1]), error
        if best[1] <= goal:
            break
    return (None, math.inf) if _folds(truth) else best


def _points(window: Window, t: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixel coordinates (x, y) of the tensor points ``t`` in [−1, 1] over a window's corners."""
    ny, nx = window.shape
    x = window.x0 - 0.5 + 0.5 * nx * (t + 1.0)
    y = window.y0 - 0.5 + 0.5 * ny * (t + 1.0)
    return x[None, :], y[:, None]


def _folds(points: NDArray[np.float64]) -> bool:
    """True where the map turns its orientation over between the points."""
    d1 = points[1:, 1:] - points[:-1, :-1]
    d2 = points[1:, :-1] - points[:-1, 1:]
    cross = d1[..., 0] * d2[..., 1] - d1[..., 1] * d2[..., 0]
    return not ((cross > 0).all() or (cross < 0).all())


def _curvatures(chain: _Chain) -> tuple[float, float, float, float]:
    """Sagitta and half change of Ω in output pixels, and the sagittas of either grid against its own pixel edges.

    All are second differences over a step of several pixels, scaled down by its square (by its length for Ω), so that
    the WCS's rounding does not show. Distances are taken on the sky, where poles and seams are no exception.
    """
    grid_in, grid_out = chain.grid_in, chain.grid_out
    x, y, step = _samples(grid_in)
    scale_in, scale_out = grid_in.scale, grid_out.scale
    sagitta = edge_in = edge_out = gradient = 0.0
    here = chain.in_sky(x, y)
    for dx, dy in ((step, 0), (0, step)):
        ahead = chain.in_sky(x + dx, y + dy)
        middle = _unit(here + ahead)
        straight = chain.out_sky(*np.moveaxis(0.5 * (chain.out_pixel(here) + chain.out_pixel(ahead)), -1, 0))
        sagitta = max(sagitta, _largest(middle - straight) / scale_out / step**2)
        edge_in = max(edge_in, _largest(middle - chain.in_sky(x + dx / 2, y + dy / 2)) / scale_in / step**2)
    x, y, step = _samples(grid_out)
    inside = chain.out_pixel(here).reshape(-1, 2)
    inside = inside[np.isfinite(inside).all(axis=-1)]
    if len(inside):
        # Only the part of the output under the image matters.
        lo, hi = (
            np.maximum(inside.min(axis=0), [0, 0]),
            np.minimum(inside.max(axis=0), [x.max() + step, y.max() + step]),
        )
        if (lo < hi).all():
            step = min(step, max(int((hi - lo).min()) // 8, 1))
            x, y = np.meshgrid(np.linspace(lo[0], hi[0], 5), np.linspace(lo[1], hi[1], 5))
    here = chain.out_sky(x, y)
    size = _cell(chain, x, y, step)
    for dx, dy in ((step, 0), (0, step)):
        middle = _unit(here + chain.out_sky(x + dx, y + dy))
        edge_out = max(edge_out, _largest(middle - chain.out_sky(x + dx / 2, y + dy / 2)) / scale_out / step**2)
        change = np.abs(np.log(_cell(chain, x + dx, y + dy, step) / size))
        gradient = max(gradient, float(np.nanmax(change, initial=0.0)) / (2 * step))
    return sagitta + edge_out, gradient, edge_in, edge_out


def _samples(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """5×5 points (x, y) over a grid, and a step in pixels that stays inside it."""
    ny, nx = grid.shape
    step = max(min(int(_STEP / grid.scale), min(ny, nx) // 8), 1)
    x, y = np.meshgrid(np.linspace(-0.5, nx - 0.5 - step, 5), np.linspace(-0.5, ny - 0.5 - step, 5))
    return x, y, step


def _cell(chain: _Chain, x: NDArray[np.float64], y: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    """Solid angle of the quadrilateral of ``step`` output pixels a side at each point."""
    ends = np.array([0.0, step])
    return quad_angles(chain.out_sky(x[..., None, None] + ends, y[..., None, None] + ends[:, None]))[..., 0, 0]


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def _largest(vectors: NDArray[np.float64]) -> float:
    """Greatest length; undefined ones do not count."""
    return float(np.nanmax(np.linalg.norm(vectors, axis=-1), initial=0.0))
