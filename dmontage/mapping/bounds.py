"""Bounds: what straight edges, a constant solid angle and the WCS's own rounding can be wrong by."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.polynomial.chebyshev import chebder, chebvander

from dmontage.mapping.box import Box
from dmontage.mapping.nouns import Density
from dmontage.polynomial import coefficients, roots
from dmontage.sphere import quad_angles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.mapping.chain import Chain

__all__ = ["Bend", "curvatures", "density_terms", "rounding"]

_STEP = 5e-3
"""Length in radians over which curvatures are measured: above the WCS's rounding, below the curvature's own scale."""
_DEGREE = 4
"""Of ln Ω over the output: enough for its second derivatives."""
_NARROW = 8.0
"""Pixels a side below which the part of the output under an image tells nothing of curvatures."""


class Bend(NamedTuple):
    """Sagittas of pixel edges, and the part of the output that the image covers."""

    sagitta: float
    """Of great circles against the output's straight lines, and of the output's edges against great circles."""
    edge_in: float
    """Of the edges of either grid against great circles, in pixels of that grid."""
    edge_out: float
    under: Box
    """Output pixels under the image, as far as they are on the grid."""


def rounding(chain: Chain) -> float:
    """What the WCS objects lose, output pixels: the last digit of a degree, and their own way there and back."""
    start, end = chain.start, chain.end
    return math.radians(float(np.spacing(360.0))) / end.scale + start.scale / end.scale * start.lost + end.lost


def curvatures(chain: Chain) -> Bend:
    """Sagittas, measured as second differences over a step of several pixels and scaled down by its square.

    The WCS's rounding does not show so. Distances are taken on the sky, where poles and seams are no exception.
    """
    start, end = chain.start, chain.end
    x_in, y_in, step_in = _steps(start.scale, Box.of(start.grid.window))
    first, half, last = chain.in_sky(x_in, y_in)
    ends = end.pixel(np.stack([first, last]))
    under = _under(ends.reshape(-1, 2), Box.of(end.grid.window))
    x_out, y_out, step_out = _steps(end.scale, under)
    straight = 0.5 * (ends[0] + ends[1])
    # One call for both: it costs as much as some hundred points.
    on_sky = end.sky(*(np.concatenate([straight[None, ..., k], a]) for k, a in enumerate((x_out, y_out))))
    middle = _unit(first + last)
    sagitta = _largest(middle - on_sky[0]) / end.scale / step_in**2
    edge_in = _largest(middle - half) / start.scale / step_in**2
    edge_out = _largest(_unit(on_sky[1] + on_sky[3]) - on_sky[2]) / end.scale / step_out**2
    return Bend(sagitta + edge_out, edge_in, edge_out, under)


def density_terms(chain: Chain, under: Box) -> dict[str, Any]:
    """What a Mapping says of the output's solid angles over a box: ``density`` and the bounds taken from it.

    Over a pixel, 1 + g·d + d·K·d/2 with |d_x|, |d_y| ≤ 1/2 stands for Ω: the first order changes it by half of g, the
    second, K = (∇∇Ω)/Ω, by an eighth of its terms.
    """
    scale = chain.end.scale
    step = _step(scale, under)
    inner = Box(under.y0 + step / 2, under.y1 - step / 2, under.x0 + step / 2, under.x1 - step / 2)
    t = roots(_DEGREE)
    x, y = inner.at(*np.meshgrid(t, t))
    ends = np.array([-0.5, 0.5]) * step
    cells = quad_angles(chain.end.sky(x[..., None, None] + ends, y[..., None, None] + ends[:, None]))[..., 0, 0]
    if not (cells > 0.0).all():  # a corner of the box is off the sky, or a pole
        return {"omega_gradient": math.inf}
    log = np.log(cells / (step * scale) ** 2)
    ny, nx = (2.0 / side for side in inner.sides)
    flat, first, second = _derivatives()
    g_x, g_y = nx * (flat @ log @ first.T), ny * (first @ log @ flat.T)
    h_xx, h_xy, h_yy = (
        nx**2 * (flat @ log @ second.T),
        nx * ny * (first @ log @ first.T),
        ny**2 * (second @ log @ flat.T),
    )
    k_xx, k_xy, k_yy = h_xx + g_x * g_x, h_xy + g_x * g_y, h_yy + g_y * g_y
    return {
        "density": Density(inner, coefficients(log)),
        "omega_gradient": 0.5 * float(np.maximum(np.abs(g_x), np.abs(g_y)).max()),
        "omega_second": 0.125 * float((np.abs(k_xx) + 2.0 * np.abs(k_xy) + np.abs(k_yy)).max()),
        "omega_bend": float(np.maximum(np.abs(h_xx), np.abs(h_yy)).max() + np.abs(h_xy).max()),
    }


@lru_cache(maxsize=1)
def _derivatives() -> tuple[NDArray[np.float64], ...]:
    """From values at the nodes to those at 5 points from edge to edge, and to first and second derivatives there."""
    to_coef = np.linalg.inv(chebvander(roots(_DEGREE), _DEGREE))
    table = chebvander(np.linspace(-1.0, 1.0, 5), _DEGREE)
    slope = np.vstack([chebder(np.eye(_DEGREE + 1), axis=0), np.zeros(_DEGREE + 1)])
    return table @ to_coef, table @ slope @ to_coef, table @ slope @ slope @ to_coef


def _step(scale: float, box: Box) -> int:
    """Pixels over which curvatures are measured inside a box."""
    return max(min(int(_STEP / scale), int(min(box.sides)) // 8), 1)


def _steps(scale: float, box: Box) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """First point, middle and end of steps in x and in y from 5×5 points of a box: x and y (3, 2, 5, 5), the step."""
    step = _step(scale, box)
    x, y = np.meshgrid(np.linspace(box.x0, box.x1 - step, 5), np.linspace(box.y0, box.y1 - step, 5))
    part = np.array([0.0, 0.5 * step, step])[:, None, None, None]
    along_x, along_y = np.array([1.0, 0.0])[:, None, None], np.array([0.0, 1.0])[:, None, None]
    return x + part * along_x, y + part * along_y, step


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
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def _largest(vectors: NDArray[np.float64]) -> float:
    """Greatest length; undefined ones do not count."""
    return float(np.nanmax(np.linalg.norm(vectors, axis=-1), initial=0.0))
