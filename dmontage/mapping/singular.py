"""Singular places: where a projection is not smooth, so that no polynomial may stand for it.

A polynomial checked at some points says nothing of a kink or a tear that slips between them, and some are too faint or
too small to see: a facet's vertex in the corner of an image, a seam that runs along its edge. But all of them are known
(M. R. Calabretta and E. W. Greisen 2002, A&A 395, 1077; M. R. Calabretta and B. F. Roukema 2007, MNRAS 381, 865): they
are curves in native longitude φ and latitude θ,

- the meridian φ = 180° and the poles, of cylinders, pseudo-cylinders, cones and polyconics;
- the limb, where a projection ends or diverges, and the antipode, of zenithals;
- the native pole of a ZPN with even powers of the zenith distance, the reference point of a TPV with odd powers of r;
- the edges of the facets of cubes and HEALPix; for QSC their diagonals too, where its formulae change.

They are kept as points a quarter of a degree apart, on the sky. A window is *clear* of them where every point of a mesh
over it is farther from them than its neighbours are from it.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from astropy.wcs import Prjprm

from dmontage.sphere import lengths, longest_step, unit_vectors

if TYPE_CHECKING:
    from astropy.wcs import WCS
    from numpy.typing import NDArray

    from dmontage.grid import Grid

__all__ = ["is_clear", "singular_places"]

_STEP = 0.25
"""Degrees between neighbouring points of a curve."""
_ZENITHAL = ("AZP", "SZP", "TAN", "STG", "SIN", "ARC", "ZPN", "ZEA", "AIR")
_ONE_SEAM = ("CYP", "CEA", "CAR", "MER", "COP", "COE", "COD", "COO", "SFL", "PAR", "MOL", "AIT", "BON", "PCO")
_CUBES = ("TSC", "CSC", "QSC")
_PV = re.compile(r"^PV([12])_(\d+) *= *([^ /\n]+)", re.MULTILINE)
_ODD_POWERS = (3, 11, 23, 39)
"""PV of TPV that multiply r, r³, r⁵ and r⁷."""


def singular_places(grid: Grid, wcs: WCS) -> NDArray[np.float64] | None:
    """Unit vectors (n, 3) of the grid's frame on all curves and points where its projection is not smooth.

    None where the projection is none of those known. ``wcs`` is the grid's own.
    """
    cel = wcs.wcs.cel
    # None, since a key that holds NaN is never found again.
    native = _native_places(cel.prj.code, tuple(v if math.isfinite(v) else None for v in cel.prj.pv.tolist()))
    if native is None:
        return None
    places = _to_sky(native, cel.euler)
    if _has_odd_powers(grid, wcs.wcs.lng + 1):
        at = np.array([wcs.wcs.crpix[: wcs.naxis] - 1.0])
        places = np.concatenate([places, grid.sky(at[:, 0], at[:, 1], wcs)])
    return places


def is_clear(mesh: NDArray[np.float64], places: NDArray[np.float64] | None) -> bool:
    """Whether a window is clear of places (n, 3), given unit vectors (k, l, 3) of a mesh over it."""
    if places is None or not np.isfinite(mesh).all():
        return False
    gap = longest_step(mesh)
    # The farthest point of a cell is 0.71 of its side from a corner; what lies beyond is the bulge.
    reach = 1.5 * gap + 0.5 * np.radians(_STEP)
    middle = mesh[mesh.shape[0] // 2, mesh.shape[1] // 2]
    radius = float(lengths(mesh - middle).max()) + reach
    points = mesh.reshape(-1, 3)
    # 2 − 2 cos is the square of the chord, good to 1e-8 rad: a thousandth of a step does not matter here.
    near = places[2.0 - 2.0 * (places @ middle) <= radius**2]
    return not len(near) or 2.0 - 2.0 * float((points @ near.T).max()) > reach**2


def _has_odd_powers(grid: Grid, longitude: int) -> bool:
    """Whether PV cards (also SCAMP's, of a TAN) multiply odd powers of r, which is not smooth at its origin."""
    tpv = "TPV'" in grid.header
    return (tpv or "TAN'" in grid.header) and any(
        int(m) in _ODD_POWERS and float(value) != 0.0
        for axis, m, value in _PV.findall(grid.header)
        # The third of a plain TAN's longitude is its LONPOLE.
        if tpv or (int(axis), int(m)) != (longitude, 3)
    )


@lru_cache(maxsize=64)
def _native_places(code: str, pv: tuple[float | None, ...]) -> NDArray[np.float64] | None:
    """Unit vectors (n, 3) in native coordinates; a survey's images share them."""
    poles = [_parallel(90.0, 1), _parallel(-90.0, 1)]
    if code in _ZENITHAL:
        curved = code == "ZPN" and any(pv[::2])
        return np.concatenate([_limb(code, pv), *poles[0 if curved else 1 :]])
    if code in _ONE_SEAM:
        return np.concatenate([_limb(code, pv), _meridian(180.0), *poles])
    if code in _CUBES:
        return _cube(diagonals=code == "QSC")
    if code == "HPX":
        facets, layers = (round(v or default) for v, default in zip(pv[1:3], (4, 3), strict=True))
        return _healpix(facets, float(np.degrees(np.arcsin((layers - 1) / layers))))
    return _healpix(4, float(np.degrees(np.arcsin(2 / 3))), whole=True) if code == "XPH" else None


def _vectors(phi: NDArray[np.float64], theta: NDArray[np.float64]) -> NDArray[np.float64]:
    phi, theta = np.broadcast_arrays(np.radians(phi), np.radians(theta))
    return unit_vectors(phi.ravel(), theta.ravel())


def _meridian(phi: float, low: float = -90.0, high: float = 90.0) -> NDArray[np.float64]:
    return _vectors(np.array(phi), np.linspace(low, high, int((high - low) / _STEP) + 2))


def _parallel(theta: float, n: int = int(360 / _STEP) + 1) -> NDArray[np.float64]:
    return _vectors(np.linspace(-180.0, 180.0, n), np.array(theta))


def _limb(code: str, pv: tuple[float | None, ...]) -> NDArray[np.float64]:
    """Where each meridian enters or leaves what the projection shows, by bisection."""
    prj = Prjprm()
    prj.code = code
    prj.pv = np.array(pv, float)
    prj.bounds = 7
    prj.set()

    def shown(phi: NDArray[np.float64], theta: NDArray[np.float64]) -> NDArray[np.bool_]:
        x, y = prj.prjs2x(phi.ravel(), theta.ravel())
        return np.asarray(np.isfinite(x) & np.isfinite(y)).reshape(phi.shape)

    phi, theta = np.meshgrid(np.linspace(-179.999, 179.999, int(360 / _STEP) + 1), np.linspace(-89.999, 89.999, 181))
    seen = shown(phi, theta)
    at = np.nonzero(seen[1:] != seen[:-1])
    along, low, high, low_seen = phi[at], theta[at], theta[1:][at], seen[:-1][at]
    for _ in range(20):
        middle = 0.5 * (low + high)
        same = shown(along, middle) == low_seen
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return _vectors(along, low)


def _cube(*, diagonals: bool) -> NDArray[np.float64]:
    """The edges of a cube's faces on the sphere, and their diagonals."""
    t = np.linspace(-1.0, 1.0, int(130 / _STEP))
    one = np.ones_like(t)
    lines = [(s * one, r * one, t) for s in (-1, 1) for r in (-1, 1)]
    if diagonals:
        lines += [(s * one, t, r * t) for s in (-1, 1) for r in (-1, 1)]
    points = np.concatenate([np.roll(np.stack(line, axis=-1), k, axis=-1) for line in lines for k in range(3)])
    return np.asarray(points / np.linalg.norm(points, axis=-1, keepdims=True))


def _healpix(facets: int, theta: float, *, whole: bool = False) -> NDArray[np.float64]:
    """The parallels where the polar caps begin, the edges and middles of the caps' facets, and the seam."""
    phi = 180.0 / facets * np.arange(2 * facets)
    caps = [_meridian(p, low, high) for p in phi for low, high in ((theta, 90.0), (-90.0, -theta))]
    lines = [_meridian(p) for p in (phi if whole else phi[facets : facets + 1])]
    return np.concatenate([_parallel(theta), _parallel(-theta), *caps, *lines])


def _to_sky(native: NDArray[np.float64], euler: NDArray[np.float64]) -> NDArray[np.float64]:
    """Native vectors in celestial coordinates.

    ``euler`` (degrees): longitude of the native pole, colatitude of the celestial pole, native longitude of the
    celestial pole (Calabretta & Greisen 2002, eq. 2, as a product of three rotations).
    """
    pole, tilt, origin = np.radians(euler[:3])

    def about_z(angle: float) -> NDArray[np.float64]:
        c, s = np.cos(angle), np.sin(angle)
        return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])

    c, s = np.cos(tilt), np.sin(tilt)
    lean = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
    turn = about_z(pole) @ lean @ about_z(np.pi - origin)
    return np.asarray(native @ turn.T)
