"""Exact: projections whose forward map wcslib rounds coarsely, written anew from their definition.

wcslib finds the native latitude of a slanted SIN, SZP and AIR as an arc sine or cosine near the pole, which loses half
the digits there (3e-7 px at 1"), and of NCP likewise. Here native unit vectors come straight from the plane.
Formulas: Calabretta & Greisen (2002), "paper II", section 5.1 (5.6 in `dmontage.grid.cubes`); plane coordinates
(X, Y) in radians, native unit vectors (l, m, n) = (cos θ cos φ, cos θ sin φ, sin θ), s = 1 − n.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dmontage.grid.cubes import CUBES, REACH, csc, qsc, tsc
from dmontage.headers import build_wcs
from dmontage.sphere import unit_vectors

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["Exact", "exact_map"]


class Exact(NamedTuple):
    """The whole forward map of one header, but for distortions in pixels."""

    native: Callable[[Floats, Floats, tuple[float, ...]], Floats]
    """Native unit vectors (n, 3) from plane coordinates, radians."""
    parameters: tuple[float, ...]
    crpix: tuple[float, float]
    """Reference pixel, counted from 0."""
    matrix: tuple[tuple[float, float], tuple[float, float]]
    """Radians along the plane's X (first row) and Y per pixel along x and y."""
    rotation: Floats
    """Rows: celestial axes in native ones, (3, 3)."""

    def sky(self, x: Floats, y: Floats) -> Floats:
        """Unit vectors (n, 3) of undistorted pixels (n,); NaN where the projection has no sky."""
        l, m, n = np.moveaxis(self.native(*self._plane(x, y), self.parameters), -1, 0)  # noqa: E741
        return np.stack([row[0] * l + row[1] * m + row[2] * n for row in self.rotation], axis=-1)

    def beyond(self, x: Floats, y: Floats, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Which pixels (n,) of a cube lie outside of the one period of a grid of ``shape`` (ny, nx)."""
        return np.asarray(np.abs(self._plane(x, y)[0] - self._middle(shape)) > math.pi + _SLACK)

    def folded(self, x: Floats, y: Floats, shape: tuple[int, int]) -> tuple[Floats, Floats]:
        """Pixels (n,) of a cube moved by whole turns of X into the one period of a grid of ``shape`` (ny, nx)."""
        (a, b), (c, d) = self.matrix
        turn = 2.0 * math.pi / (a * d - b * c)
        turns = np.round((self._plane(x, y)[0] - self._middle(shape)) / (2.0 * math.pi))
        return x - turns * (d * turn), y + turns * (c * turn)

    def _plane(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        dx, dy = x - self.crpix[0], y - self.crpix[1]
        (a, b), (c, d) = self.matrix
        return a * dx + b * dy, c * dx + d * dy

    def _middle(self, shape: tuple[int, int]) -> float:
        """The middle of a cube's period along X: it holds the grid, or the grid it, as near to the reference as can be.

        The faces of a cube go round the sky along X, and X of −315° to 315° is read: a grid wider than 360° shows some
        sky twice, of which one period is kept. A grid that is less wide has all its pixels, wherever it lies.
        """
        ny, nx = shape
        X, _ = self._plane(np.array([-0.5, nx - 0.5] * 2), np.repeat([-0.5, ny - 0.5], 2))  # noqa: N806
        first, last = float(X.min()) + math.pi, float(X.max()) - math.pi
        middle = min(max(0.0, min(first, last)), max(first, last))
        a, b = self.matrix[0]
        if first < last and a * b == 0.0:  # between pixels: one that straddles the ends is lost
            middle = first + math.floor((middle - first) / abs(a + b) + 1e-6) * abs(a + b)
        return min(max(middle, math.pi - REACH), REACH - math.pi)


_SLACK = 1e-11
"""Radians of X by which a grid of just one period may seem too wide by rounding."""


@lru_cache(maxsize=4096)
def exact_map(header: str) -> Exact | None:
    """The map of a grid's cards where it is written here; None where wcslib's own is good to rounding."""
    wcs = build_wcs(header)
    lng, lat = wcs.wcs.lng, wcs.wcs.lat
    code = wcs.wcs.ctype[lng][5:8]
    given = {(i - 1, m): value for i, m, value in wcs.wcs.get_pv()}
    if code == "NCP":  # wcslib itself does not rename it where SIP follows
        code, given = "SIN", {(lat, 1): 0.0, (lat, 2): 1.0 / math.tan(math.radians(wcs.wcs.crval[lat]))}
    if code not in _NATIVE or given.get((lng, 0), 0.0):  # the plane's origin is another one: left to wcslib
        return None
    native, defaults = _NATIVE[code]
    parameters = tuple(given.get((lat, m), value) for m, value in enumerate(defaults, 1))
    matrix = np.radians(wcs.pixel_scale_matrix)
    # The rotation, as wcslib makes it for the simplest projection with the same native reference point.
    phi, theta = (given.get((lng, m), value) for m, value in ((1, 0.0), (2, 0.0 if code in CUBES else 90.0)))
    cards = {"CTYPE1": "RA---CAR", "CTYPE2": "DEC--CAR", "CRPIX1": 0.0, "CRPIX2": 0.0, "PV1_1": phi, "PV1_2": theta}
    cards |= {"CRVAL1": wcs.wcs.crval[lng], "CRVAL2": wcs.wcs.crval[lat]}
    plain = build_wcs(cards | {"LONPOLE": wcs.wcs.lonpole, "LATPOLE": wcs.wcs.latpole})
    axes = ((0, 0), (90, 0), (0, 90))
    world = np.radians(plain.wcs_pix2world(np.array(axes, np.float64), 1))
    return Exact(
        native,
        parameters,
        (float(wcs.wcs.crpix[0]) - 1.0, float(wcs.wcs.crpix[1]) - 1.0),
        ((matrix[lng, 0], matrix[lng, 1]), (matrix[lat, 0], matrix[lat, 1])),
        unit_vectors(world[:, 0], world[:, 1]).T,
    )


def _slant(X: Floats, Y: Floats, parameters: tuple[float, ...]) -> Floats:  # noqa: N803
    """SIN with ξ, η (5.1.5): X = m + ξ s, Y = −l + η s."""
    xi, eta = parameters
    return _on_sphere(X, Y, -xi, -eta)


def _perspective(X: Floats, Y: Floats, parameters: tuple[float, ...]) -> Floats:  # noqa: N803
    """SZP from the point (μ, φc, θc) (5.1.2): X = (z m − x s)/(z − s), and Y alike."""
    mu, phi, theta = parameters[0], math.radians(parameters[1]), math.radians(parameters[2])
    x, y, z = -mu * math.cos(theta) * math.sin(phi), mu * math.cos(theta) * math.cos(phi), mu * math.sin(theta) + 1.0
    return _on_sphere(X, Y, (x - X) / z, (y - Y) / z)


def _on_sphere(X: Floats, Y: Floats, A: Floats | float, B: Floats | float) -> Floats:  # noqa: N803
    """The point m = X + A s, −l = Y + B s of the unit sphere that is nearest to the pole."""
    a, b, c = 1.0 + A * A + B * B, 1.0 - X * A - Y * B, X * X + Y * Y
    with np.errstate(invalid="ignore", divide="ignore"):
        s = c / (b + np.sqrt(b * b - a * c))
    s = np.where((s >= 0.0) & (s <= 2.0), s, np.nan)
    return np.stack([-(Y + B * s), X + A * s, 1.0 - s], axis=-1)


def _airy(X: Floats, Y: Floats, parameters: tuple[float, ...]) -> Floats:  # noqa: N803
    """AIR (5.1.9): with t = tan ξ, ξ half the polar distance, R = ln(1 + t²)/t − 2 k t; by Newton's iteration."""
    edge = math.radians(90.0 - parameters[0]) / 2.0
    k = -0.5 if edge < 1e-4 else math.log(math.cos(edge)) / math.tan(edge) ** 2
    radius = np.hypot(X, Y)
    t = radius / (1.0 - 2.0 * k)
    for _ in range(12):
        square = np.maximum(t * t, 1e-300)
        part = np.log1p(square) / square
        t = t - (t * part - 2.0 * k * t - radius) / (2.0 / (1.0 + square) - part - 2.0 * k)
    rest = np.abs(t * np.log1p(np.maximum(t * t, 1e-300)) / np.maximum(t * t, 1e-300) - 2.0 * k * t - radius)
    t = np.where((rest <= 1e-14 * (1.0 + radius)) & (t >= 0.0), t, np.nan)
    sine = np.divide(2.0 / (1.0 + t * t) * t, radius, out=np.zeros_like(t), where=radius > 0.0)
    return np.stack([-Y * sine, X * sine, (1.0 - t * t) / (1.0 + t * t)], axis=-1)


_NATIVE = {
    "SIN": (_slant, (0.0, 0.0)),
    "SZP": (_perspective, (0.0, 0.0, 90.0)),
    "AIR": (_airy, (90.0,)),
    "TSC": (tsc, ()),
    "CSC": (csc, ()),
    "QSC": (qsc, ()),
}
"""By code: the map, and what its PV2_1, PV2_2, ... are where they are not given."""
