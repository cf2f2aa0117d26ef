"""Obviously right, slow references, in plain Python, fractions and mpmath; nothing here is shared with the package."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from mpmath import mp, mpf
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Quad = Sequence[Sequence[Any]] | Sequence[Floats]
Polygon = list[list[Any]]  # points of the plane or vectors of space, of any kind of number

mp.dps = 50


# -- polygons in any kind of number ------------------------------------------------------------------------------------


def clip(polygon: Polygon, distance: Callable[[list[Any]], Any]) -> Polygon:
    """The part of a polygon where a linear function is not negative (a concave one may get edges that cancel)."""
    kept: Polygon = []
    for p, q in zip(polygon[-1:] + polygon[:-1], polygon, strict=True):
        dp, dq = distance(p), distance(q)
        if (dp < 0) != (dq < 0):
            kept.append([(dp * v - dq * u) / (dp - dq) for u, v in zip(p, q, strict=True)])
        if dq >= 0:
            kept.append(q)
    return kept


# -- the plane ---------------------------------------------------------------------------------------------------------


def signed_area(polygon: Polygon) -> Any:
    """Shoelace area, positive when counter-clockwise."""
    if not polygon:
        return 0
    x0, y0 = polygon[0]
    moved = [(x - x0, y - y0) for x, y in polygon]
    return sum(a[0] * b[1] - a[1] * b[0] for a, b in zip(moved, moved[1:] + moved[:1], strict=True)) / 2


def overlap_planar(quad_a: Sequence[Sequence[float]], quad_b: Sequence[Sequence[float]]) -> Fraction:
    """Exact area common to two convex polygons of the plane, of either orientation, from the binary values given."""
    a, b = ([[Fraction(float(v)) for v in p] for p in quad] for quad in (quad_a, quad_b))
    turn = 1 if signed_area(b) >= 0 else -1
    for p, q in zip(b, b[1:] + b[:1], strict=True):
        edge = [q[0] - p[0], q[1] - p[1]]
        a = clip(a, lambda r, p=p, edge=edge: turn * (edge[0] * (r[1] - p[1]) - edge[1] * (r[0] - p[0])))  # type: ignore[misc]
        if not a:
            return Fraction(0)
    return abs(Fraction(signed_area(a)))


def project_plane_naive(
    values: NDArray[np.floating[Any]], x_out: Floats, y_out: Floats, shape: tuple[int, int]
) -> tuple[Floats, Floats]:
    """Flux and area by clipping each input pixel against each output cell.

    Corners (ny+1, nx+1) are in output pixels, where cell (y, x) is the unit square about (x, y). A pixel with a value
    or a corner that is not finite is left out; overlaps are counted positive for either orientation.
    """
    flux, area = np.zeros(shape), np.zeros(shape)
    for j, i in np.ndindex(*values.shape):
        corners = [(j, i), (j, i + 1), (j + 1, i + 1), (j + 1, i)]
        quad = [[float(x_out[c]), float(y_out[c])] for c in corners]
        if not (np.isfinite(values[j, i]) and np.isfinite(quad).all()):
            continue
        turn = 1.0 if signed_area(quad) >= 0 else -1.0
        for y, x in np.ndindex(*shape):
            part = quad
            for axis, low in ((0, x - 0.5), (1, y - 0.5)):
                part = clip(part, lambda p, axis=axis, low=low: p[axis] - low)  # type: ignore[misc]
                part = clip(part, lambda p, axis=axis, low=low: low + 1.0 - p[axis]) if part else part  # type: ignore[misc]
                if not part:
                    break
            overlap = turn * signed_area(part)
            flux[y, x] += float(values[j, i]) * overlap
            area[y, x] += overlap
    return flux, area


# -- the sphere --------------------------------------------------------------------------------------------------------


def _unit(p: Sequence[Any] | Floats) -> list[Any]:
    v = [mpf(float(x)) if isinstance(x, (float, np.floating)) else mpf(x) for x in p]
    norm = mp.sqrt(_dot(v, v))
    return [x / norm for x in v]


def _dot(a: Sequence[Any], b: Sequence[Any]) -> Any:
    return sum((x * y for x, y in zip(a, b, strict=True)), mpf(0))


def _cross(a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
    return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]


def _side(a: Sequence[Any], b: Sequence[Any]) -> Any:
    n = _cross(a, b)
    return mp.atan2(mp.sqrt(_dot(n, n)), _dot(a, b))


def signed_solid_angle_mp(polygon: Quad) -> Any:
    """Solid angle of a spherical polygon at 50 digits, positive when counter-clockwise seen from outside.

    L'Huilier's theorem on the triangles of a fan, each with the sign of its determinant: right for concave ones too.
    """
    v = [_unit(p) for p in polygon]
    total = mpf(0)
    for p, q in pairwise(v[1:]):
        a, b, c = _side(p, q), _side(q, v[0]), _side(v[0], p)
        s = (a + b + c) / 2
        product = mp.tan(s / 2) * mp.tan((s - a) / 2) * mp.tan((s - b) / 2) * mp.tan((s - c) / 2)
        total += mp.sign(_dot(v[0], _cross(p, q))) * 4 * mp.atan(mp.sqrt(max(product, mpf(0))))
    return total


def solid_angle_mp(polygon: Quad) -> Any:
    """Solid angle of a spherical polygon of either orientation, at 50 digits (mpf)."""
    return abs(signed_solid_angle_mp(polygon))


def overlap_sky_mp(quad_a: Quad, quad_b: Quad) -> Any:
    """Solid angle common to a simple polygon and a convex one on the sphere, at 50 digits; both below a hemisphere.

    Each great-circle edge of b is a plane through the centre of the sphere; a is clipped by these half-spaces.
    """
    a, b = [_unit(p) for p in quad_a], [_unit(p) for p in quad_b]
    turn = mp.sign(signed_solid_angle_mp(b))
    for p, q in zip(b, b[1:] + b[:1], strict=True):
        normal = _cross(p, q)
        a = clip(a, lambda r, normal=normal: turn * _dot(r, normal))  # type: ignore[misc]
        if not a:
            return mpf(0)
    return solid_angle_mp(a)


def quads_of(corners: Floats) -> list[list[list[Floats]]]:
    """Corners of each pixel in order around it, from a grid of corners."""
    ny, nx = corners.shape[0] - 1, corners.shape[1] - 1
    return [
        [[corners[j, i], corners[j, i + 1], corners[j + 1, i + 1], corners[j + 1, i]] for i in range(nx)]
        for j in range(ny)
    ]


def project_sky_naive(values: Floats, corners_in: Floats, corners_out: Floats) -> tuple[Floats, Floats]:
    """Flux and area by clipping every input pixel against every output pixel at 50 digits; convex outputs only."""
    shape = corners_out.shape[0] - 1, corners_out.shape[1] - 1
    quads_in, quads_out = quads_of(corners_in), quads_of(corners_out)
    flux, area = np.zeros(shape), np.zeros(shape)
    for y, x in np.ndindex(*shape):
        omega = solid_angle_mp(quads_out[y][x])
        for j, i in np.ndindex(*values.shape):
            if np.isfinite(values[j, i]):
                overlap = float(overlap_sky_mp(quads_in[j][i], quads_out[y][x]) / omega)
                flux[y, x] += values[j, i] * overlap
                area[y, x] += overlap
    return flux, area


# -- stacks ------------------------------------------------------------------------------------------------------------


@cache
def middle_variance(part: float) -> float:
    """Variance of a part of a Gaussian about its middle."""
    edge = stats.norm.ppf((1 + part) / 2)
    return float(stats.truncnorm.var(-edge, edge)) if part < 1 else 1.0


@cache
def as_rare(k: float, freedom: int) -> float:
    """What Student's t exceeds as rarely as a Gaussian does k σ."""
    return float(stats.t.isf(stats.norm.sf(k), freedom))


def kept_naive(values: Floats, clip: tuple[float, float], variances: Floats | None = None) -> NDArray[np.bool_]:
    """Which of some values a clipped mean keeps: from the median outward, each judged by those inside of it."""
    n = len(values)
    kept = np.ones(n, bool)
    if n < 3:
        return kept
    distance = np.abs(values - np.median(values)) / (1.0 if variances is None else np.sqrt(variances))
    order = list(np.argsort(distance, kind="stable"))
    half = n // 2 + 1
    core = order[: half if variances is not None else max(half, min(n - 1, 5))]
    grows = True
    for k in order[len(core) :]:
        m = len(core)
        limit = clip[1] if values[k] > np.median(values) else clip[0]
        if variances is None:
            off = values[k] - values[core].mean()
            scale = np.sqrt(np.var(values[core], ddof=1) / middle_variance((m + 1) / n) * (1 + 1 / m))
            limit = as_rare(limit, m - 1) if m > 2 or scale > 0 else np.inf
        else:
            off = values[k] - np.average(values[core], weights=1 / variances[core])
            scale = np.sqrt(variances[k] + 1 / (1 / variances[core]).sum())
        if np.isfinite(limit) and abs(off) > limit * scale:
            kept[k] = grows = False
        elif grows:
            core.append(k)
    return kept
