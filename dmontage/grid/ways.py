"""Ways: from a grid's pixels to the sky and back, by the kind of its WCS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.grid.exact import exact_map
from dmontage.grid.inverse import kind_of, newton, polished, wcslib_pixels
from dmontage.grid.objects import SkyObject
from dmontage.headers import frame_of
from dmontage.sphere import unit_vectors

if TYPE_CHECKING:
    from collections.abc import Callable

    from astropy.coordinates import BaseCoordinateFrame
    from astropy.wcs import WCS
    from numpy.typing import NDArray

    from dmontage.grid.grid import Grid

    Floats = NDArray[np.float64]

__all__ = ["frame_of_grid", "pixel_of", "sky_of"]

_ASIDE = 1e-6
"""Pixels to both sides of PCO's central meridian, on which wcslib finds no sky; their middle is on it to 1e-15 px."""


def frame_of_grid(grid: Grid) -> BaseCoordinateFrame:
    """The astropy frame of a grid's sky coordinates."""
    wcs = grid.wcs()
    return wcs.frame if isinstance(wcs, SkyObject) else frame_of(wcs)


def sky_of(grid: Grid, x: Floats, y: Floats, wcs: Any) -> Floats:
    """Unit vectors (n, 3) of pixels (n,)."""
    if isinstance(wcs, SkyObject):
        return wcs.sky(x, y)
    kind = kind_of(grid.header)
    if not (kind.rewritten or kind.code == "PCO"):
        return _vectors(wcs, wcs.all_pix2world(x, y, 0))
    if kind.sip or grid.has_tables:
        x, y = wcs.pix2foc(x, y, 0)
    return _core_sky(grid, wcs)(x, y)


def _core_sky(grid: Grid, wcs: WCS) -> Callable[[Floats, Floats], Floats]:
    """The map from undistorted pixels (n,) to unit vectors (n, 3)."""
    kind = kind_of(grid.header)
    if kind.rewritten and (exact := exact_map(grid.header)) is not None:
        return exact.sky

    def plain(x: Floats, y: Floats) -> Floats:
        return _vectors(wcs, wcs.wcs_pix2world(x, y, 0))

    def polyconic(x: Floats, y: Floats) -> Floats:
        vectors = plain(x, y)
        lost = np.flatnonzero(~np.isfinite(vectors[:, 0]))
        if lost.size:
            middle = plain(x[lost] - _ASIDE, y[lost]) + plain(x[lost] + _ASIDE, y[lost])
            vectors[lost] = middle / np.linalg.norm(middle, axis=-1, keepdims=True)
        return vectors

    return polyconic if kind.code == "PCO" else plain


def pixel_of(grid: Grid, vectors: Floats, wcs: Any) -> tuple[Floats, Floats]:
    """Pixels (n,) of unit vectors (n, 3); NaN where there are none."""
    if isinstance(wcs, SkyObject):
        # An object's own inverse may be missing, slow, or good to 1e-6 px only; the mesh is always there.
        return polished(wcs.sky, vectors, None, grid.shape)
    kind = kind_of(grid.header)
    x, y = wcslib_pixels(vectors, wcs)
    if kind.approximate:
        x, y = polished(_core_sky(grid, wcs), vectors, (x, y), grid.shape, kind.folded)
    if not (kind.sip or grid.has_tables):
        return x, y

    def off(x_in: Floats, y_in: Floats, which: NDArray[np.intp]) -> Floats:
        core_x, core_y = wcs.pix2foc(x_in, y_in, 0)
        return np.stack([core_x - x[which], core_y - y[which]], axis=-1)

    return newton(off, x, y)


def _vectors(wcs: WCS, world: Any) -> Floats:
    """Unit vectors (n, 3) of two arrays of degrees in the order of the WCS's axes."""
    return unit_vectors(np.radians(world[wcs.wcs.lng]), np.radians(world[wcs.wcs.lat]))
