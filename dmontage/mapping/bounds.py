"""Bounds: what straight edges, a constant solid angle and the WCS's own rounding can be wrong by."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.polynomial.chebyshev import chebder, chebvander

from dmontage.mapping.box import Box
from dmontage.polynomial import roots
from dmontage.sphere import lengths, quad_angles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.mapping.chain import Chain

__all__ = ["Bend", "curvatures", "omega_gradient", "rounding"]

_STEP = 5e-3
"""Length in radians over which curvatures are measured: above the WCS's rounding, below the curvature's own scale."""
_DEGREE = 4
"""Of ln Ω over the output."""
_NARROW = 8.0
"""Pixels a side below which the part of the output under an image tells nothing of curvatures."""
_NODES = np.meshgrid(*[roots(_DEGREE)] * 2)
"""Where Ω is looked at, x and y in [−1, 1]."""
_FROM = np.meshgrid(*[np.linspace(0.0, 1.0, 5)] * 2)
"""Where steps begin, x and y in [0, 1]."""
_ALONG = np.array([0.0, 0.5, 1.0])[:, None, None, None] * np.array([1.0, 0.0])[:, None, None]
"""(3, 2, 1, 1): how much of a step in x, and of one in y, lies along x at its first point, middle and end."""


class Bend(NamedTuple):
    """Sagittas of pixel edges, and the part of the output that the image covers."""

    sagitta: float
    """What the plane's straight lines may be off the true edges of both grids, output pixels; 0 where undefined."""
    edge_in: float
    """Of the edges of either grid against great circles, in pixels of that grid."""
    edge_out: float
    under: Box
    """Output pixels under the image, as far as they are on the grid."""


def rounding(chain: Chain) -> float:
    """Bound of what the WCS objects lose, output pixels: the last digit of a degree, and their own way there and back.

    Eight times a single loss: there are several on the way, and the largest of many pixels' counts.
    """
    start, end = chain.start, chain.end
    return 8.0 * (math.radians(float(np.spacing(360.0))) / end.scale + start.scale / end.scale * start.lost + end.lost)


def curvatures(chain: Chain) -> Bend:
    """Sagittas, measured as second differences over a step of several pixels and scaled down by its square.

    The WCS's rounding does not show so. Great circles against the output's straight lines are told in its pixels,
    which may be narrow or sheared. Edges against great circles are told on the sky, where a seam is no exception.
    """
    start, end = chain.start, chain.end
    x_in, y_in, step_in = _steps(start.scale, Box.of(start.grid.window))
    edges = chain.in_sky(x_in, y_in)
    first, half, last, middle = end.pixel(np.concatenate([edges, _unit(edges[:1] + edges[2:])]))
    under = _under(np.stack([first, last]).reshape(-1, 2), Box.of(end.grid.window))
    x_out, y_out, step_out = _steps(end.scale, under)
    sides = np.stack([edges, end.sky(x_out, y_out)], axis=1)
    chords = lengths(np.stack([middle - 0.5 * (first + last), middle - half]))
    sizes = np.concatenate([chords, _bulges(sides, np.array([start.scale * step_in, end.scale * step_out]))])
    line, edge, edge_in, edge_out = (_largest(sizes) / [step_in**2, step_in**2, step_in, step_out]).tolist()
    return Bend(line + edge + edge_out, edge_in, edge_out, under)


def _bulges(edges: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sagitta of steps along pixel edges against great circles, (n, 2, 5, 5), in the steps that make it.

    Parameters
    ----------
    edges
        (3, n, 2, 5, 5, 3) unit vectors of steps' first points, middles and ends, for each of n grids along x and y.
    sizes
        (n,) sizes of steps in radians, for where a pixel's side vanishes or its two are one.
    """
    first, half, last = edges
    off = _unit(first + last) - half
    along = last - first
    x, y = along[:, :1], along[:, 1:]
    xx, xy, yy, ox, oy = ((a * b).sum(axis=-1) for a, b in ((x, x), (x, y), (y, y), (off, x), (off, y)))
    # Least squares: off = p x + q y.
    det = xx * yy - xy * xy
    with np.errstate(divide="ignore", invalid="ignore"):
        pixels = np.hypot(ox * yy - oy * xy, oy * xx - ox * xy) / det
    on_sky = lengths(off) / sizes[:, None, None, None]
    return np.asarray(np.where(det > 1e-12 * (xx + yy) ** 2, pixels, on_sky))


def omega_gradient(chain: Chain, under: Box) -> float:
    """Half the largest relative change of Ω across an output pixel in a box; infinite where one there has no Ω."""
    step = _step(chain.end.scale, under)
    # Of a single row the change is that from half a pixel below it to half a pixel above.
    inset = [min(step, side - 1.0) / 2.0 for side in under.sides]
    inner = Box(under.y0 + inset[0], under.y1 - inset[0], under.x0 + inset[1], under.x1 - inset[1])
    x, y = inner.at(*_NODES)
    ends = np.array([-0.5, 0.5]) * step
    cells = quad_angles(chain.end.sky(x[..., None, None] + ends, y[..., None, None] + ends[:, None]))[..., 0, 0]
    if not (cells > 0.0).all():  # a corner of the box is off the sky, or a pole
        return math.inf
    log = np.log(cells)
    flat, slope = _derivatives()
    ny, nx = inner.sides
    return float(max(np.abs(flat @ log @ slope.T).max() / nx, np.abs(slope @ log @ flat.T).max() / ny))


@lru_cache(maxsize=1)
def _derivatives() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """From values at the nodes to those at 5 points from edge to edge, and to derivatives there, scaled."""
    to_coef = np.linalg.inv(chebvander(roots(_DEGREE), _DEGREE))
    t = np.linspace(-1.0, 1.0, 5)
    return chebvander(t, _DEGREE) @ to_coef, chebvander(t, _DEGREE - 1) @ chebder(np.eye(_DEGREE + 1)) @ to_coef


def _step(scale: float, box: Box) -> int:
    """Pixels over which curvatures are measured inside a box."""
    return max(min(int(_STEP / scale), int(min(box.sides)) // 8), 1)


def _steps(scale: float, box: Box) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """First point, middle and end of steps in x and in y from 5×5 points of a box: x and y (3, 2, 5, 5), the step."""
    step = _step(scale, box)
    x, y = _FROM
    ny, nx = box.sides
    return box.x0 + (nx - step) * x + step * _ALONG, box.y0 + (ny - step) * y + step * _ALONG[:, ::-1], step


def _under(pixels: NDArray[np.float64], grid: Box) -> Box:
    """The box of the grid that holds the finite ones of pixels (n, 2); all of it where there are none."""
    inside = pixels[np.isfinite(pixels).all(axis=-1)]
    if not len(inside):
        return grid
    (x0, y0), (x1, y1) = inside.min(axis=0), inside.max(axis=0)
    box = Box(max(y0, grid.y0), min(y1, grid.y1), max(x0, grid.x0), min(x1, grid.x1))
    # Of a strip too narrow to hold steps nothing can be told.
    return box if min(box.sides) > _NARROW else grid


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vectors / lengths(vectors)[..., None])


def _largest(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bounds (n,) of sizes (n, 2, 5, 5) over the boxes they sample; undefined ones do not count.

    A step tells the mean over its length. Half of what changes from one step to the next stands for what lies between.
    """
    changes = np.abs(sizes[:, :, 1:] - sizes[:, :, :-1]), np.abs(sizes[..., 1:] - sizes[..., :-1])
    most, *change = (np.fmax.reduce(a, axis=(1, 2, 3), initial=0.0) for a in (sizes, *changes))
    return np.asarray(most + 0.5 * np.maximum(*change))
