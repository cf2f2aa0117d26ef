"""Ways: from a grid's pixels to the sky and back, by the kind of its WCS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.grid.cubes import CUBES
from dmontage.grid.exact import exact_map
from dmontage.grid.inverse import by_wcslib, distorted, kind_of, polished, wcslib_pixels
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
"""Pixels to both sides of a line on which wcslib errs; the middle of what is there is right to 1e-15 px."""

_NEAR = 1e-11
"""Degrees from |Y| = 90° within which wcslib takes any pixel of PCO for a pole."""


_PLACING = ("CRVAL", "CRPIX", "CD", "PC", "PV", "CROTA", "A_", "B_", "AP_", "BP_")
"""First letters of the cards that say where a grid lies, and not in what frame."""
_FRAMES = 256
_frames: dict[tuple[str, bytes], BaseCoordinateFrame] = {}


def frame_of_grid(grid: Grid) -> BaseCoordinateFrame:
    """The astropy frame of a grid's sky coordinates; the images of a survey share one object."""
    key = "\n".join(line for line in grid.header.splitlines() if not line.startswith(_PLACING)), grid.tables
    if (frame := _frames.get(key)) is None:
        wcs = grid.wcs()
        frame = wcs.frame if isinstance(wcs, SkyObject) else frame_of(wcs)
        if len(_frames) >= _FRAMES:
            _frames.clear()
        _frames[key] = frame
    return frame


def sky_of(grid: Grid, x: Floats, y: Floats, wcs: Any) -> Floats:
    """Unit vectors (n, 3) of pixels (n,)."""
    if isinstance(wcs, SkyObject):
        return wcs.sky(x, y)
    kind = kind_of(grid.header)
    if not (kind.rewritten or kind.code in ("PCO", "HPX")):
        if kind.sip or grid.has_tables:
            return _vectors(wcs, wcs.all_pix2world(x, y, 0))
        return _vectors(wcs, by_wcslib(wcs.wcs.p2s, "world", x, y))
    if kind.sip or grid.has_tables:
        x, y = wcs.pix2foc(x, y, 0)
    vectors = _core_sky(grid, wcs)(x, y)
    if kind.code in CUBES and (exact := exact_map(grid.header)) is not None:
        vectors[exact.beyond(x, y, grid.shape)] = np.nan
    return vectors


def _core_sky(grid: Grid, wcs: WCS) -> Callable[[Floats, Floats], Floats]:
    """The map from undistorted pixels (n,) to unit vectors (n, 3)."""
    kind = kind_of(grid.header)
    if kind.rewritten and (exact := exact_map(grid.header)) is not None:
        return exact.sky
    if kind.code == "PCO":
        return lambda x, y: _polyconic(wcs, x, y)

    def plain(x: Floats, y: Floats) -> Floats:
        return _vectors(wcs, wcs.wcs_pix2world(x, y, 0))

    def in_company(x: Floats, y: Floats) -> Floats:
        # Points that share one Y are put on wrong faces by wcslib: these three never do.
        return plain(np.append(x, [0.0, 1.0, 0.0]), np.append(y, [0.0, 0.0, 1.0]))[:-3]

    return in_company if kind.code in ("HPX", *CUBES) else plain


def _polyconic(wcs: WCS, x: Floats, y: Floats) -> Floats:
    """PCO: wcslib has no sky on the central meridian, and a pole all along |Y| = 90°."""
    vectors = _vectors(wcs, wcs.wcs_pix2world(x, y, 0))
    lng, lat = wcs.wcs.lng, wcs.wcs.lat
    matrix = wcs.pixel_scale_matrix
    plane_y = matrix[lat, 0] * (x + 1.0 - wcs.wcs.crpix[0]) + matrix[lat, 1] * (y + 1.0 - wcs.wcs.crpix[1])
    wrong = np.flatnonzero(~np.isfinite(vectors[:, 0]) | (np.abs(np.abs(plane_y) - 90.0) < _NEAR))
    if wrong.size:
        # Aside along both axes of the plane, whatever the grid's rotation.
        step = np.linalg.solve(matrix[[lng, lat]], np.array([1.0, 1.0]))
        dx, dy = step * (_ASIDE / np.hypot(step[0], step[1]))
        sides = [
            _vectors(wcs, wcs.wcs_pix2world(x[wrong] + sign * dx, y[wrong] + sign * dy, 0)) for sign in (-1.0, 1.0)
        ]
        middle = sides[0] + sides[1]
        vectors[wrong] = middle / np.linalg.norm(middle, axis=-1, keepdims=True)
    return vectors


def pixel_of(grid: Grid, vectors: Floats, wcs: Any) -> tuple[Floats, Floats]:
    """Pixels (n,) of unit vectors (n, 3); NaN where there are none."""
    if isinstance(wcs, SkyObject):
        # An object's own inverse may be missing, slow, or good to 1e-6 px only; the mesh is always there.
        return polished(wcs.sky, vectors, None, grid.shape)
    kind = kind_of(grid.header)
    x, y = wcslib_pixels(vectors, wcs)
    if kind.approximate:
        x, y = polished(_core_sky(grid, wcs), vectors, (x, y), grid.shape, kind.folded)
    if kind.code in CUBES and (exact := exact_map(grid.header)) is not None:
        x, y = exact.folded(x, y, grid.shape)
    if not (kind.sip or grid.has_tables):
        return x, y
    return distorted(lambda x_in, y_in: wcs.pix2foc(x_in, y_in, 0), x, y, grid.shape)


def _vectors(wcs: WCS, world: Any) -> Floats:
    """Unit vectors (n, 3) of two arrays of degrees in the order of the WCS's axes."""
    return unit_vectors(np.radians(world[wcs.wcs.lng]), np.radians(world[wcs.wcs.lat]))
