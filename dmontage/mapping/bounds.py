"""Bounds: what straight edges, a constant solid angle and the WCS's own rounding can be wrong by."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from dmontage.sphere import quad_angles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.grid import Grid
    from dmontage.mapping.chain import Chain

__all__ = ["curvatures", "rounding"]

_STEP = 5e-3
"""Length in radians over which curvatures are measured: above the WCS's rounding, below the curvature's own scale."""


def rounding(chain: Chain) -> float:
    """What the WCS objects themselves lose, output pixels: the last digit of a degree, or their own way there and back.

    wcslib's slant SIN, SZP, AIR and ZPN return to 1e-6 px at best.
    """
    to_out = chain.grid_in.scale / chain.grid_out.scale
    worst = math.radians(float(np.spacing(360.0))) / chain.grid_out.scale
    for grid, wcs, unit in ((chain.grid_in, chain.wcs_in, to_out), (chain.grid_out, chain.wcs_out, 1.0)):
        ny, nx = grid.shape
        x, y = np.meshgrid(np.linspace(-0.5, nx - 0.5, 9), np.linspace(-0.5, ny - 0.5, 9))
        back_x, back_y = grid.pixel(grid.sky(x, y, wcs), wcs)
        trip = np.hypot(back_x - x, back_y - y)
        # Beyond this it is no rounding: the other side of a seam, or a projection that covers its plane twice.
        worst += unit * float(np.nanmax(np.where(trip < 1e-3, trip, 0.0), initial=0.0))
    return worst


def curvatures(chain: Chain) -> tuple[float, float, float, float]:
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


def _cell(chain: Chain, x: NDArray[np.float64], y: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    """Solid angle of the quadrilateral of ``step`` output pixels a side at each point."""
    ends = np.array([0.0, step])
    return quad_angles(chain.out_sky(x[..., None, None] + ends, y[..., None, None] + ends[:, None]))[..., 0, 0]


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def _largest(vectors: NDArray[np.float64]) -> float:
    """Greatest length; undefined ones do not count."""
    return float(np.nanmax(np.linalg.norm(vectors, axis=-1), initial=0.0))
