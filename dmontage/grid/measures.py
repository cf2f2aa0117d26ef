"""Measures: what is computed from a grid's own WCS, the solid angles of its pixels and whether it comes back."""

from __future__ import annotations

import math
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from dmontage.errors import InputError
from dmontage.grid.inverse import kind_of
from dmontage.polynomial import coefficients, roots, spread, values_at
from dmontage.sphere import quad_angles
from dmontage.window import Window

if TYPE_CHECKING:
    from astropy.wcs import WCS
    from numpy.typing import NDArray

    from dmontage.grid.grid import Grid

__all__ = ["check_round_trip", "middle_side", "solid_angles"]

_ROUND_TRIP = 0.01
_CORNERS = 2**20
"""Corners held at once where a mesh is worked through in bands of rows."""
_DEGREES = (4, 12)
"""Of polynomials that are tried; a block of a degree of sky needs the first, which takes half the time."""
_BLOCK = 1024
_SIDES = 2**17
"""Middle pixels whose sides are kept: of 100,000 images and their grids, in 40 MB."""
_sides: dict[tuple[bytes, int, tuple[int, int]], float] = {}


def solid_angles(grid: Grid, window: Window, sub: int) -> NDArray[np.float64]:
    """Solid angle of each pixel, as `Grid.solid_angle` tells it.

    It is smooth but for seams and poles: a polynomial through 5×5 or 13×13 pixels costs a thousandth of the WCS at
    every corner. Where it does not meet the pixels between to 1e-10, all corners are taken. Blocks are anchored at the
    grid's first pixel, so that the bits do not depend on the window.
    """
    omega = np.empty(window.shape)
    for (iy, ix), part in window.blocks((_BLOCK, _BLOCK)):
        block = Window(iy * _BLOCK, (iy + 1) * _BLOCK, ix * _BLOCK, (ix + 1) * _BLOCK)
        omega[part.relative_to(window).slices] = _block_angles(grid, block & grid.window, part, sub)
    return omega


def _block_angles(grid: Grid, block: Window, part: Window, sub: int) -> NDArray[np.float64]:
    """Solid angles of a part of a block; its polynomial is that of the whole block."""
    from dmontage.kernels.chebyshev import evaluate_rows

    coef = _block_polynomial(grid, block, sub)
    if coef is not None:
        here = part.relative_to(block)
        t_y, t_x = (
            (2.0 * np.arange(first, last) + 1.0) / n - 1.0
            for first, last, n in ((here.y0, here.y1, block.shape[0]), (here.x0, here.x1, block.shape[1]))
        )
        return np.asarray(evaluate_rows(coef, t_x, t_y))
    ny, nx = part.shape
    out = np.empty((ny, nx))
    rows = max(_CORNERS // (nx * sub**2), 1)
    for band in part.bands(rows):
        angles = quad_angles(grid.corners(band, sub)).reshape(band.shape[0], sub, nx, sub).sum(axis=(1, 3))
        out[band.relative_to(part).slices] = angles
    return out


@lru_cache(maxsize=256)
def _block_polynomial(grid: Grid, block: Window, sub: int) -> NDArray[np.float64] | None:
    """The polynomial through a block's solid angles, kept for its other parts; None where none is good enough."""
    checks = np.linspace(-0.97, 0.97, 8)
    truth = _about(grid, block, checks, sub)
    for degree in _DEGREES if np.isfinite(truth).all() else ():
        coef = coefficients(_about(grid, block, roots(degree), sub))
        error = np.abs(values_at(coef, checks, checks) / truth - 1.0).max()
        if error <= max(1e-10, 1e-15 / grid.scale):  # not where any is NaN
            return coef
    return None


def _about(grid: Grid, window: Window, t: NDArray[np.float64], sub: int) -> NDArray[np.float64]:
    """Solid angles of pixels about the tensor points ``t`` in [−1, 1] over a window, whole pixels or not."""
    x, y = np.meshgrid(spread(t, window.x0, window.x1), spread(t, window.y0, window.y1))
    ends = np.linspace(-0.5, 0.5, sub + 1)
    corners = grid.sky(x[..., None, None] + ends, y[..., None, None] + ends[:, None])
    return np.asarray(quad_angles(corners).sum(axis=(-2, -1)))


def middle_side(grid: Grid, wcs: WCS | None = None) -> float:
    """`Grid.scale`; kept, since a plan asks for it many times for each image.

    ``wcs`` saves building one where the caller has its own.
    """
    # Kept under a digest of 16 bytes, not the header: a worker forgets an image after its task, but not its key here.
    cards = blake2b(grid.header.encode(), digest_size=16).digest()
    key = cards, hash(grid.tables), grid.shape
    side = _sides.get(key)
    if side is None:
        if len(_sides) >= _SIDES:
            _sides.clear()
        side = _sides[key] = _middle_side(grid, wcs or grid.wcs())
    return side


def _middle_side(grid: Grid, wcs: WCS) -> float:
    ny, nx = grid.shape
    ends = np.array([-0.5, 0.5])
    side = math.sqrt(float(quad_angles(grid.sky(nx // 2 + ends, ny // 2 + ends[:, None], wcs))[0, 0]))
    if not math.isfinite(side):  # the middle of an all-sky grid may lie off the sky
        side = math.radians(math.sqrt(abs(float(np.linalg.det(wcs.pixel_scale_matrix)))))
    return side


def check_round_trip(grid: Grid) -> None:
    """Raise InputError for a WCS that puts no pixel on the sky, or does not come back from it."""
    ny, nx = grid.shape
    t = np.linspace(0.0, 1.0, 9)
    x, y = np.meshgrid(t * (nx - 1), t * (ny - 1))
    try:
        wcs = grid.wcs()
        vectors = grid.sky(x, y, wcs)
        back_x, back_y = grid.pixel(vectors, wcs)
    except Exception as error:  # wcslib raises half a dozen kinds; all mean the same to the user
        raise InputError(f"the WCS cannot be evaluated: {error}") from error
    on_sky = np.isfinite(vectors).all(axis=-1)
    if not on_sky.any():
        raise InputError("no pixel of the image lies on the sky by its WCS: check CRPIX, CDELT and CTYPE")
    if not grid.scale > 0.0:
        raise InputError("the image's middle pixel has no size on the sky: check CDELT or CD, and the PV polynomial")
    apart = np.hypot(back_x - x, back_y - y)
    if not kind_of(grid.header).sip:  # SIP may fold pixels over each other
        # Either will do: a pole has many pixels, and a pixel on a face's edge may come back a rounding off the sky.
        apart = np.fmin(apart, np.linalg.norm(grid.sky(back_x, back_y, wcs) - vectors, axis=-1) / grid.scale)
    error_pix = float(apart[on_sky].max())
    floor = 1e-13 / grid.scale  # at micro-arcseconds the degrees of the WCS round by more
    if not error_pix <= max(_ROUND_TRIP, floor):
        raise InputError(
            f"the WCS does not come back to its own pixels: {error_pix:.3g} px off, limit {_ROUND_TRIP:.3g} px; "
            "the header's distortion or projection parameters are damaged"
        )
