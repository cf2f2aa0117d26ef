"""Pixels on the sphere: which are defined, their solid angles, and drops shrunk from them (level 0).

Notation::

    P0..P3  unit vectors of a quad's corners, in order around it          3 ── 2
    t_k     determinant of three successive corners, (P_k, P_k+1, P_k+2)  │    │
    ω       solid angle [sr]                                              0 ── 1

Every number is made of one pixel's own corners, so that no bit depends on the window that is asked for.

Solid angles follow A. van Oosterom and J. Strackee (1983, IEEE Trans. Biomed. Eng. 30, 125): tan(ω/2) of a triangle is
t / (1 + P0·P1 + P1·P2 + P2·P0). The determinant is taken of differences, and so nothing cancels, for 60° as for
1e-12 rad. In space, without a plane, a quad takes no square root and costs a fifth of what it did by way of the
overlap kernel's planes (100 ns).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dmontage.errors import InputError
from dmontage.kernels._jit import kernel, primitive

__all__ = ["as_corners", "defined", "pixel_shape", "shrink", "solid_angles"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

COS_WIDEST = math.cos(math.radians(44.0))
"""A quad with a corner farther than 44° from its centre is undefined: two quads that meet then fit in one plane."""
CLOSE = 0.25
"""Corners within this chord of one of them are within 44° of their mean, in a single cheap test."""
COS_WIDEST_DROP = math.cos(math.radians(75.0))
"""A pixel with a corner farther than 75° from its middle is not shrunk: the plane about the middle ends at 90°."""
FLAT = 7e-6
"""Reach of a pixel [rad] below which its curvature (reach²) is less than the rounding of unit vectors (1e-16/reach)."""


# -- one quad ----------------------------------------------------------------------------------------------------------


@primitive
def _determinant(
    x0: float, y0: float, z0: float, x1: float, y1: float, z1: float, x2: float, y2: float, z2: float
) -> float:
    x1, y1, z1, x2, y2, z2 = x1 - x0, y1 - y0, z1 - z0, x2 - x0, y2 - y0, z2 - z0
    return x0 * (y1 * z2 - z1 * y2) + y0 * (z1 * x2 - x1 * z2) + z0 * (x1 * y2 - y1 * x2)


@primitive
def _triangle(
    x0: float, y0: float, z0: float, x1: float, y1: float, z1: float, x2: float, y2: float, z2: float
) -> float:
    """Solid angle [sr] of a triangle of either orientation."""
    e = 1.0 + (x0 * x1 + y0 * y1 + z0 * z1) + (x1 * x2 + y1 * y2 + z1 * z2) + (x2 * x0 + y2 * y0 + z2 * z0)
    d = abs(_determinant(x0, y0, z0, x1, y1, z1, x2, y2, z2))
    if d < 1e-3 * e:  # the next term is below 1e-21
        t = d / e
        return 2.0 * t * (1.0 - t * t * (1.0 / 3.0 - t * t * (1.0 / 5.0 - t * t / 7.0)))
    return 2.0 * math.atan2(d, e)


@primitive
def _opposed(a: float, b: float) -> bool:
    """Whether two numbers have opposite signs; zero goes with either."""
    return (a < 0.0 < b) or (b < 0.0 < a)


@primitive
def _quad(p: Floats, j: int, i: int) -> float:
    """Solid angle [sr] of quad (j, i) of a mesh: two triangles, chosen by signs as the overlap kernel's rings are."""
    x0, y0, z0 = p[j, i, 0], p[j, i, 1], p[j, i, 2]
    x1, y1, z1 = p[j, i + 1, 0], p[j, i + 1, 1], p[j, i + 1, 2]
    x2, y2, z2 = p[j + 1, i + 1, 0], p[j + 1, i + 1, 1], p[j + 1, i + 1, 2]
    x3, y3, z3 = p[j + 1, i, 0], p[j + 1, i, 1], p[j + 1, i, 2]
    t0 = _determinant(x0, y0, z0, x1, y1, z1, x2, y2, z2)
    t1 = _determinant(x1, y1, z1, x2, y2, z2, x3, y3, z3)
    t2 = _determinant(x2, y2, z2, x3, y3, z3, x0, y0, z0)
    t3 = _determinant(x3, y3, z3, x0, y0, z0, x1, y1, z1)
    if not _opposed(t0, t2):
        return _triangle(x0, y0, z0, x1, y1, z1, x2, y2, z2) + _triangle(x2, y2, z2, x3, y3, z3, x0, y0, z0)
    if not _opposed(t1, t3):
        return _triangle(x1, y1, z1, x2, y2, z2, x3, y3, z3) + _triangle(x3, y3, z3, x0, y0, z0, x1, y1, z1)
    if _opposed(t1, t2):  # corners 0 and 3 lie on one side of edge 12: edges 01 and 23 cross
        x, y, z = _crossing(x0, y0, z0, x1, y1, z1, t2, t1)
        return _triangle(x, y, z, x1, y1, z1, x2, y2, z2) + _triangle(x, y, z, x3, y3, z3, x0, y0, z0)
    x, y, z = _crossing(x1, y1, z1, x2, y2, z2, t3, t2)  # edges 12 and 30 cross
    return _triangle(x, y, z, x0, y0, z0, x1, y1, z1) + _triangle(x, y, z, x2, y2, z2, x3, y3, z3)


@primitive
def _crossing(
    xa: float, ya: float, za: float, xb: float, yb: float, zb: float, ta: float, tb: float
) -> tuple[float, float, float]:
    """Where arc ab is cut by a great circle, given the determinants of its ends with it, of opposite sign."""
    f = ta / (ta - tb)
    x, y, z = xa + f * (xb - xa), ya + f * (yb - ya), za + f * (zb - za)
    norm = math.sqrt(x * x + y * y + z * z)
    return x / norm, y / norm, z / norm


@primitive
def _quad_defined(p: Floats, j: int, i: int) -> bool:
    """Whether the corners of quad (j, i) are finite and within 44° of their mean direction."""
    x0, y0, z0 = p[j, i, 0], p[j, i, 1], p[j, i, 2]
    close = True
    for k in range(1, 4):
        x, y, z = p[j + k // 2, i + k % 2, 0], p[j + k // 2, i + k % 2, 1], p[j + k // 2, i + k % 2, 2]
        close &= (x - x0) ** 2 + (y - y0) ** 2 + (z - z0) ** 2 < CLOSE * CLOSE  # false for NaN too
    if close:
        return True
    cx, cy, cz, limit = 0.0, 0.0, 0.0, 0.0
    for k in range(8):
        x, y, z = p[j + k // 2 % 2, i + k % 2, 0], p[j + k // 2 % 2, i + k % 2, 1], p[j + k // 2 % 2, i + k % 2, 2]
        if k < 4:
            cx, cy, cz = cx + x, cy + y, cz + z
            limit = COS_WIDEST * math.sqrt(cx * cx + cy * cy + cz * cz)
        elif not x * cx + y * cy + z * cz >= limit > 0.0:
            return False
    return True


# -- one pixel ---------------------------------------------------------------------------------------------------------


@primitive
def _pixel_defined(p: Floats, y: int, x: int, sub: int) -> bool:
    """Whether every quad of the pixel whose first quad is (y, x) is defined."""
    for j in range(y, y + sub):
        for i in range(x, x + sub):
            if not _quad_defined(p, j, i):
                return False
    return True


@primitive
def _pixel_angle(p: Floats, y: int, x: int, sub: int) -> float:
    omega = 0.0
    for j in range(y, y + sub):
        for i in range(x, x + sub):
            omega += _quad(p, j, i)
    return omega


@primitive
def _to_plane(p: Floats, y: int, x: int, sub: int, offsets: Floats) -> tuple[float, float, float, float]:
    """Gnomonic offsets of a pixel's corners from its middle, in space; the middle, and the largest offset.

    Offsets are made of P − c, so that they are rounded relative to their own size. The largest is NaN or infinite where
    the pixel cannot be shrunk.
    """
    cx, cy, cz = 0.0, 0.0, 0.0
    for j in range(sub + 1):
        for i in range(sub + 1):
            cx, cy, cz = cx + p[y + j, x + i, 0], cy + p[y + j, x + i, 1], cz + p[y + j, x + i, 2]
    norm = math.sqrt(cx * cx + cy * cy + cz * cz)
    cx, cy, cz = cx / norm, cy / norm, cz / norm
    reach2 = 0.0
    for j in range(sub + 1):
        for i in range(sub + 1):
            dx, dy, dz = p[y + j, x + i, 0] - cx, p[y + j, x + i, 1] - cy, p[y + j, x + i, 2] - cz
            along = dx * cx + dy * cy + dz * cz
            w = 1.0 + along
            if not w >= COS_WIDEST_DROP:
                return cx, cy, cz, np.nan
            dx, dy, dz = (dx - along * cx) / w, (dy - along * cy) / w, (dz - along * cz) / w
            offsets[j, i, 0], offsets[j, i, 1], offsets[j, i, 2] = dx, dy, dz
            reach2 = max(reach2, dx * dx + dy * dy + dz * dz)
    return cx, cy, cz, math.sqrt(reach2)


@primitive
def _from_plane(
    offsets: Floats, cx: float, cy: float, cz: float, scale: float, drops: Floats, y: int, x: int, sub: int
) -> None:
    """Unit vectors of the corners of the drop that begins at (y, x): its pixel's offsets scaled about the middle."""
    for j in range(sub + 1):
        for i in range(sub + 1):
            dx, dy, dz = scale * offsets[j, i, 0], scale * offsets[j, i, 1], scale * offsets[j, i, 2]
            norm = math.sqrt(1.0 + (dx * dx + dy * dy + dz * dz))
            px, py, pz = (cx + dx) / norm, (cy + dy) / norm, (cz + dz) / norm
            drops[y + j, x + i, 0], drops[y + j, x + i, 1], drops[y + j, x + i, 2] = px, py, pz


@primitive
def _shrink_pixel(p: Floats, j: int, i: int, sub: int, pixfrac: float, offsets: Floats, drops: Floats) -> None:
    """Drop (j, i): in the plane about the middle it is similar to its pixel.

    The scale that gives d² on the sphere differs from d by the curvature, 1e-8 at 60", and Newton's rule (ω ∝ scale²)
    finds it in one or two steps.
    """
    cx, cy, cz, reach = _to_plane(p, j * sub, i * sub, sub, offsets)
    y, x = j * (sub + 1), i * (sub + 1)
    if not reach < np.inf:
        cx = cy = cz = np.nan
    _from_plane(offsets, cx, cy, cz, pixfrac, drops, y, x, sub)
    if not FLAT <= reach < np.inf:
        return
    wanted = pixfrac * pixfrac * _pixel_angle(p, j * sub, i * sub, sub)
    scale = pixfrac
    for _ in range(20):
        ratio = wanted / _pixel_angle(drops, y, x, sub)
        if not abs(ratio - 1.0) > 4e-16 / (reach * pixfrac):  # nor is it for a pixel without area
            return
        scale *= math.sqrt(ratio)
        _from_plane(offsets, cx, cy, cz, scale, drops, y, x, sub)


# -- array loops -------------------------------------------------------------------------------------------------------


@kernel
def _mark_defined(corners: Floats, sub: int, step: int, good: Bools) -> None:
    for j in range(good.shape[0]):
        for i in range(good.shape[1]):
            good[j, i] = _pixel_defined(corners, j * step, i * step, sub)


@kernel
def _solid_angles(corners: Floats, sub: int, step: int, omega: Floats) -> None:
    for j in range(omega.shape[0]):
        for i in range(omega.shape[1]):
            y, x = j * step, i * step
            omega[j, i] = _pixel_angle(corners, y, x, sub) if _pixel_defined(corners, y, x, sub) else np.nan


@kernel
def _shrink(corners: Floats, sub: int, pixfrac: float, drops: Floats) -> None:
    offsets = np.empty((sub + 1, sub + 1, 3))
    for j in range((corners.shape[0] - 1) // sub):
        for i in range((corners.shape[1] - 1) // sub):
            _shrink_pixel(corners, j, i, sub, pixfrac, offsets, drops)


# -- for others --------------------------------------------------------------------------------------------------------


def solid_angles(corners: ArrayLike, sub: int = 1, gap: int = 0) -> Floats:
    """Solid angle of each pixel of a grid of corners.

    Parameters
    ----------
    corners : (ny·sub+1, nx·sub+1, 3), or (ny·(sub+1), nx·(sub+1), 3) with gap = 1
        Unit vectors of the corners; with a gap those of drops, as `shrink` gives them.
    sub : int
        Quads along a side of a pixel.
    gap : int
        1 where every (sub+1)-th row and column of quads belongs to no pixel.

    Returns
    -------
    (ny, nx) float64
        Steradian, positive for either orientation. Where a pixel crosses itself both lobes count. NaN where a corner is
        not finite, or a quad has a corner farther than 44° from its middle.
    """
    unit_vectors = as_corners(corners, sub, gap, "corners")
    omega = np.empty(pixel_shape(unit_vectors, sub, gap))
    _solid_angles(unit_vectors, sub, sub + gap, omega)
    return omega


def defined(corners: Floats, sub: int, gap: int) -> Bools:
    """Which pixels (ny, nx) have a solid angle; arguments as for `solid_angles`, made by `as_corners`."""
    good = np.empty(pixel_shape(corners, sub, gap), np.bool_)
    _mark_defined(corners, sub, sub + gap, good)
    return good


def shrink(corners: ArrayLike, pixfrac: float, sub: int = 1) -> Floats:
    """Corners of drops: each pixel shrunk about its middle to pixfrac² of its solid angle.

    In the gnomonic plane about the mean of its corners a drop is similar to its pixel; its scale is the one that gives
    the solid angle, to 1e-15 and the rounding of unit vectors (4e-16 rad over the drop's size).

    Parameters
    ----------
    corners : (ny·sub+1, nx·sub+1, 3)
        Unit vectors of the pixels' corners.
    pixfrac : float
        Side of a drop in pixels, above 0 and at most 1.
    sub : int
        Quads along a side of a pixel.

    Returns
    -------
    (ny·(sub+1), nx·(sub+1), 3) float64
        Unit vectors. Drops share no corners: of the mesh's quads every (sub+1)-th row and column is a gap. NaN where a
        corner is not finite, or farther than 75° from the pixel's middle.
    """
    if not 0.0 < pixfrac <= 1.0:
        raise InputError(f"pixfrac is {pixfrac}: give the side of a drop in pixels, above 0 and at most 1")
    unit_vectors = as_corners(corners, sub, 0, "corners")
    ny, nx = pixel_shape(unit_vectors, sub, 0)
    if pixfrac == 1.0:  # to the bit, which no rounding of a scale by 1 promises
        rows, columns = (np.arange(n * (sub + 1)) - np.arange(n * (sub + 1)) // (sub + 1) for n in (ny, nx))
        return np.ascontiguousarray(unit_vectors[np.ix_(rows, columns)])
    drops = np.empty((ny * (sub + 1), nx * (sub + 1), 3))
    _shrink(unit_vectors, sub, pixfrac, drops)
    return drops


def as_corners(corners: ArrayLike, sub: int, gap: int, name: str) -> Floats:
    """The corners as the kernels read them, their shape checked, since a kernel would read past the end."""
    array = np.ascontiguousarray(corners, np.float64)
    fits = sub >= 1 and gap in (0, 1) and array.ndim == 3 and array.shape[2] == 3
    if not fits or any((n - 1 + gap) % (sub + gap) or n <= sub for n in array.shape[:2]):
        expected = f"(ny·{sub + 1}, nx·{sub + 1}, 3)" if gap else f"(ny·{sub}+1, nx·{sub}+1, 3)"
        raise InputError(f"{name} has shape {array.shape}, not {expected} with sub = {sub}, gap = {gap}")
    return array


def pixel_shape(corners: Floats, sub: int, gap: int) -> tuple[int, int]:
    """Number of pixels (ny, nx) of a mesh of corners."""
    return (corners.shape[0] - 1 + gap) // (sub + gap), (corners.shape[1] - 1 + gap) // (sub + gap)
