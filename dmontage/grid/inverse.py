"""Inverse: the pixel of a place on the sky, to rounding, for every kind of WCS.

wcslib inverts most projections to rounding, a few by iterations that stop early (MOL 7e-9", AIR 2e-8") or by another
approximation (CSC 24"), distortions of the sky plane not always, and none in pixels. There its answer, or the nearest
of a mesh of pixels, only begins a Newton iteration on the forward map. It ends at a pixel or at NaN.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.sphere import lonlat

if TYPE_CHECKING:
    from collections.abc import Callable

    from astropy.wcs import WCS
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Residual = Callable[[Floats, Floats, NDArray[np.intp]], Floats]

__all__ = ["Kind", "by_wcslib", "distorted", "kind_of", "polished", "wcslib_pixels"]

_STEPS = 30
_DIFFERENCE = 1e-2
"""Pixels over which slopes are taken: the curvature of any map is small over it, the rounding of a degree smaller."""
_GOAL = 1e-10
_ENOUGH = 1e-8
"""Pixels: where the map rounds more coarsely than it should, the last step may be this long."""
_ROUNDING = 4e-15
"""Radians: what a few operations on degrees below 360 lose."""
_MESH = 17

_CODE = re.compile(r"^CTYPE[12] *= *'.{5}([A-Z]{3})", re.MULTILINE)
_REWRITTEN = {"NCP", "SZP", "AIR", "TSC", "CSC", "QSC"}
_APPROXIMATE = {"MOL", "ZPN", "PCO", "TAB"}
_DOUBLED = re.compile(r"^PV[12]_1 *= *-", re.MULTILINE)
"""CYP from a point in front of the axis: its formula has a pixel also for latitudes that no pixel shows."""
_SLANT = re.compile(r"^PV[12]_[12] *= *(?!0*\.?0* *$)\S", re.MULTILINE)
_SEQUENT = re.compile(r"^(CQDIS[12]|AMDX1) *=", re.MULTILINE)
_SIP = re.compile(r"^[AB]_ORDER *=", re.MULTILINE)


class Kind(NamedTuple):
    """What a header's inverse needs."""

    code: str
    """The projection's three letters; of a DSS plate solution DSS."""
    approximate: bool
    """wcslib's own inverse of the undistorted map is not good to rounding everywhere."""
    folded: bool
    """Polynomials of the sky plane: a place may have further pixels, far outside."""
    sip: bool
    rewritten: bool
    """Its forward map is one of `dmontage.grid.exact`."""


@lru_cache(maxsize=4096)
def kind_of(header: str) -> Kind:
    """What the cards of a grid say about its inverse; kept, since every call for pixels asks."""
    found = _CODE.search(header)
    code = found[1] if found else "DSS"
    rewritten = code in _REWRITTEN or (code == "SIN" and bool(_SLANT.search(header)))
    approximate = (rewritten and code != "TSC") or code in _APPROXIMATE
    approximate |= code == "CYP" and bool(_DOUBLED.search(header))
    folded = code == "TPV" or bool(_SEQUENT.search(header))
    return Kind(code, approximate or folded, folded, bool(_SIP.search(header)), rewritten)


def wcslib_pixels(vectors: Floats, wcs: WCS) -> tuple[Floats, Floats]:
    """Undistorted pixels (n,) of unit vectors (n, 3), as wcslib finds them; NaN, of which it makes pixels, is NaN."""
    lon, lat = lonlat(vectors)
    world = (lon, lat) if wcs.wcs.lng == 0 else (lat, lon)
    x, y = by_wcslib(wcs.wcs.s2p, "pixcrd", *world)
    good = np.isfinite(vectors).all(axis=-1)
    return (x, y) if good.all() else (np.where(good, x, np.nan), np.where(good, y, np.nan))


def by_wcslib(way: Callable[[Floats, int], Any], what: str, a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Two coordinates (n,) by wcslib's p2s or s2p: astropy's own way to them takes longer than a hundred points do."""
    if not a.size:  # which wcslib refuses
        return a, b
    given = np.empty((a.size, 2))
    given[:, 0], given[:, 1] = a, b
    found = way(given, 0)[what]
    return found[:, 0], found[:, 1]


def polished(
    sky: Callable[[Floats, Floats], Floats],
    vectors: Floats,
    start: tuple[Floats, Floats] | None,
    shape: tuple[int, int],
    folded: bool = False,
) -> tuple[Floats, Floats]:
    """Pixels (n,) of unit vectors (n, 3) by Newton's iteration on a forward map.

    Parameters
    ----------
    sky
        The forward map: unit vectors (n, 3) of pixels (n,).
    start
        First guesses; where they lead nowhere, and where there are none, a mesh of pixels over ``shape`` gives one.
    shape
        (ny, nx) of the grid; from the mesh, pixels up to its own size outside of it are found.
    folded
        The map may cover the sky more than once: what was found outside the grid is looked for inside as well.
    """
    aside = np.where((np.abs(vectors[:, 2]) < 0.9)[:, None], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0])
    east = np.cross(aside, vectors)
    east /= np.linalg.norm(east, axis=-1, keepdims=True)
    north = np.cross(vectors, east)

    def residual(x: Floats, y: Floats, which: NDArray[np.intp]) -> Floats:
        """Place minus aim in the tangent plane of the aim, radians; NaN on the far side of the sky."""
        here = sky(x, y)
        off = np.stack([_dot(here, east[which]), _dot(here, north[which])], axis=-1)
        return np.where((_dot(here, vectors[which]) > 0.0)[:, None], off, np.nan)

    x, y = np.full(len(vectors), np.nan), np.full(len(vectors), np.nan)
    if start is not None:
        x, y = newton(residual, *start, _ROUNDING)
        # A pole in a corner of the map has no slopes to follow, but may well be where wcslib says.
        lost = np.flatnonzero(~np.isfinite(x) & np.isfinite(start[0]))
        lost = lost[np.hypot(*residual(start[0][lost], start[1][lost], lost).T) <= 2.0 * _ROUNDING]
        x[lost], y[lost] = start[0][lost], start[1][lost]
    again = np.flatnonzero(~(_inside(x, y, shape) if folded else np.isfinite(x)) & np.isfinite(vectors).all(axis=-1))
    if again.size:
        first = _nearest(sky, vectors[again], shape)
        new_x, new_y = newton(lambda x, y, which: residual(x, y, again[which]), *first, _ROUNDING)
        better = _inside(new_x, new_y, shape) | ~np.isfinite(x[again])
        x[again[better]], y[again[better]] = new_x[better], new_y[better]
    return x, y


def distorted(
    to_core: Callable[[Floats, Floats], tuple[Floats, Floats]], x: Floats, y: Floats, shape: tuple[int, int]
) -> tuple[Floats, Floats]:
    """Pixels (n,) that a distortion in pixels moves to (x, y), by Newton's iteration; NaN where there are none.

    A strong one moves several there: the one on the grid is meant, from the nearest of a mesh if not from (x, y).
    """

    def off(x_in: Floats, y_in: Floats, which: NDArray[np.intp]) -> Floats:
        core_x, core_y = to_core(x_in, y_in)
        return np.stack([core_x - x[which], core_y - y[which]], axis=-1)

    out_x, out_y = newton(off, x, y)
    again = np.flatnonzero(~_inside(out_x, out_y, shape) & np.isfinite(x) & np.isfinite(y))
    if again.size:
        nodes = _mesh(shape)
        core = to_core(*nodes)
        for mine, theirs in zip((x, y), core, strict=True):  # most are nowhere near
            margin = np.ptp(theirs) / _MESH
            again = again[(mine[again] >= theirs.min() - margin) & (mine[again] <= theirs.max() + margin)]
        best = np.empty(len(again), np.intp)
        for i in range(0, len(again), 4096):
            part = again[i : i + 4096, None]
            best[i : i + 4096] = ((x[part] - core[0]) ** 2 + (y[part] - core[1]) ** 2).argmin(axis=1)
        new_x, new_y = newton(lambda x, y, which: off(x, y, again[which]), nodes[0][best], nodes[1][best])
        better = _inside(new_x, new_y, shape) | ~np.isfinite(out_x[again])
        out_x[again[better]], out_y[again[better]] = new_x[better], new_y[better]
    return out_x, out_y


def _mesh(shape: tuple[int, int]) -> tuple[Floats, Floats]:
    """Pixels of a mesh over a grid, its edge included."""
    ny, nx = shape
    return np.tile(np.linspace(-0.5, nx - 0.5, _MESH), _MESH), np.repeat(np.linspace(-0.5, ny - 0.5, _MESH), _MESH)


def _inside(x: Floats, y: Floats, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Which pixels lie on a grid; its very edge counts."""
    ny, nx = shape
    return (np.abs(x - (nx - 1) / 2) <= nx / 2 + 1e-6) & (np.abs(y - (ny - 1) / 2) <= ny / 2 + 1e-6)


def _nearest(sky: Callable[[Floats, Floats], Floats], vectors: Floats, shape: tuple[int, int]) -> tuple[Floats, Floats]:
    """The pixels of a mesh over a grid that are nearest to places; NaN for those farther off than the grid is wide."""
    x, y = _mesh(shape)
    nodes = sky(x, y)
    good = np.isfinite(nodes).all(axis=-1)
    x, y, nodes = x[good], y[good], nodes[good]
    if not x.size:
        return np.full(len(vectors), np.nan), np.full(len(vectors), np.nan)
    width = float(np.linalg.norm(nodes - nodes[len(nodes) // 2], axis=-1).max())
    best = np.empty(len(vectors), np.intp)
    for i in range(0, len(vectors), 4096):
        best[i : i + 4096] = _dot(vectors[i : i + 4096, None], nodes).argmax(axis=1)
    near = np.linalg.norm(vectors - nodes[best], axis=-1) <= width
    return np.where(near, x[best], np.nan), np.where(near, y[best], np.nan)


def _dot(a: Floats, b: Floats) -> Floats:
    """Written out: a matrix product may sum in another order for another number of vectors."""
    return np.asarray(a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2])


def newton(residual: Residual, x: Floats, y: Floats, rounding: float = 0.0) -> tuple[Floats, Floats]:
    """Where a residual of two numbers vanishes, near first guesses; NaN where that is not found.

    Parameters
    ----------
    residual
        From coordinates (m,) and the numbers of their points (m,) to (m, 2), NaN where it is not defined.
    x, y
        First guesses (n,); not-a-number stays so.
    rounding
        What the residual itself is wrong by, besides the last digits of ``x`` and ``y``: the step that this makes is
        the last.
    """
    x, y = np.array(x, np.float64), np.array(y, np.float64)
    found = np.zeros(len(x), bool)
    which = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    best, full = np.full(len(x), np.inf), np.full(len(x), np.inf)
    floor, slope, step = np.zeros(len(x)), np.zeros(len(x)), np.zeros((len(x), 2))
    for _ in range(_STEPS):
        if not which.size:
            break
        r, jacobian = _slopes(residual, x[which], y[which], which)
        size = np.hypot(r[:, 0], r[:, 1])
        better = size < best[which]
        ahead, behind = which[better], which[~better]
        best[ahead] = size[better]
        slope[ahead] = np.sqrt((jacobian[better] ** 2).sum(axis=(1, 2)))
        step[ahead], lost = _newton_step(r[better], jacobian[better], rounding)
        floor[ahead] = np.maximum(lost, 4.0 * np.spacing(np.maximum(np.abs(x[ahead]), np.abs(y[ahead]))))
        full[ahead] = np.hypot(step[ahead, 0], step[ahead, 1])
        # Where the map degenerates, at a limb, any step is within the rounding: the residual itself must vanish too.
        small = best[which] <= 8.0 * (rounding + _GOAL * slope[which])
        # A step that led to no better place is taken back by three quarters; one of the last digits may stay.
        found[which] = small & (full[which] <= np.where(better, 1.0, 8.0) * floor[which])
        x[behind] -= 0.75 * step[behind, 0]
        y[behind] -= 0.75 * step[behind, 1]
        step[behind] *= 0.25
        x[ahead] += step[ahead, 0]
        y[ahead] += step[ahead, 1]
        which = which[~found[which] & np.isfinite(full[which])]
    # The map itself is a staircase, as some of wcslib's are: no step leads further down.
    found |= (full <= _ENOUGH) & (best <= _ENOUGH * slope)
    return np.where(found, x, np.nan), np.where(found, y, np.nan)


def _slopes(residual: Residual, x: Floats, y: Floats, which: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Residuals (m, 2) and their slopes (m, 2, 2) along x and y; backwards where ahead is nothing."""
    r = residual(x, y, which)
    columns = []
    for dx, dy in ((_DIFFERENCE, 0.0), (0.0, _DIFFERENCE)):
        slope = (residual(x + dx, y + dy, which) - r) / _DIFFERENCE
        edge = np.flatnonzero(~np.isfinite(slope).all(axis=-1) & np.isfinite(r).all(axis=-1))
        if edge.size:
            slope[edge] = (r[edge] - residual(x[edge] - dx, y[edge] - dy, which[edge])) / _DIFFERENCE
        columns.append(slope)
    return r, np.stack(columns, axis=-1)


def _newton_step(r: Floats, jacobian: Floats, rounding: float) -> tuple[Floats, Floats]:
    """Newton's steps (m, 2) in pixels, and the length below which they are rounding (m,)."""
    (a, b), (c, d) = jacobian[:, 0].T, jacobian[:, 1].T
    det = a * d - b * c
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.stack([b * r[:, 1] - d * r[:, 0], c * r[:, 0] - a * r[:, 1]], axis=-1) / det[:, None]
        floor = np.maximum(_GOAL, rounding * np.sqrt(a * a + b * b + c * c + d * d) / np.abs(det))
    return step, floor
