"""Tangent planes: gnomonic coordinates about places on the sky, and how a grid's pixels lie in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from astropy.coordinates import ICRS

from dmontage.sphere import rotate_frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.grid.grid import Grid

    Floats = NDArray[np.float64]

_SHORTER = 3
"""Times that a step is made eight times shorter where it leads off the sky."""

__all__ = ["Tangents", "offsets", "sky_at", "tangents"]


class Tangents(NamedTuple):
    """Affine maps from a grid's pixels, near some of them, to tangent planes: offset + jacobian (pixel - its own)."""

    offset: Floats
    """(k, 2) tangent coordinates of the pixels, radians."""
    jacobian: Floats
    """(k, 2, 2) radians per pixel: rows are east and north, columns x and y."""


def sky_at(grid: Grid, pixels: Floats) -> Floats:
    """(..., 3) ICRS unit vectors at pixels (..., 2); NaN where the grid has no sky."""
    return rotate_frame(grid.sky(pixels[..., 0], pixels[..., 1]), grid.frame, ICRS())


def offsets(vectors: Floats, origins: Floats) -> Floats:
    """(..., 2) gnomonic coordinates, east and north in radians, of unit vectors about others; NaN from 90° on.

    East is that of the origin's own meridian; at a pole it is the direction of longitude 90°.
    """
    x, y, z = np.moveaxis(origins, -1, 0)
    on_axis = np.hypot(x, y) == 0.0
    r = np.where(on_axis, 1.0, np.hypot(x, y))
    cos, sin = np.where(on_axis, 1.0, x / r), np.where(on_axis, 0.0, y / r)
    east = np.stack([-sin, cos, np.zeros_like(sin)], axis=-1)
    north = np.stack([-z * cos, -z * sin, np.where(on_axis, 0.0, r)], axis=-1)
    depth = (vectors * origins).sum(axis=-1)
    depth = np.where(depth > 0.0, depth, np.nan)
    return np.stack([(vectors * east).sum(axis=-1) / depth, (vectors * north).sum(axis=-1) / depth], axis=-1)


def tangents(grid: Grid, pixels: Floats, origins: Floats, steps: Floats) -> Tangents:
    """Affine maps about pixels (k, 2) to the tangent planes of ICRS unit vectors (k, 3).

    Derivatives are differences over ± ``steps`` (k,) pixels: quadratic terms of the map drop out of them.
    """
    out = _over(grid, pixels, origins, steps)
    for _ in range(_SHORTER):
        lost = np.isnan(out.jacobian).any(axis=(1, 2)) & np.isfinite(out.offset).all(axis=1)
        if not lost.any():
            break
        # A step led off the sky: a shorter one may not.
        steps = steps / 8
        out.jacobian[lost] = _over(grid, pixels[lost], origins[lost], steps[lost]).jacobian
    return out


def _over(grid: Grid, pixels: Floats, origins: Floats, steps: Floats) -> Tangents:
    moves = steps[:, None, None] * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    at = offsets(sky_at(grid, pixels[:, None, :] + moves), origins[:, None, :])
    jacobian = np.stack([at[:, 1] - at[:, 2], at[:, 3] - at[:, 4]], axis=-1) / (2 * steps[:, None, None])
    return Tangents(at[:, 0], jacobian)
