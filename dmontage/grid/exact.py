"""Exact: projections whose forward map wcslib rounds coarsely, written anew from their definition.

wcslib finds the native latitude of a slanted SIN, SZP and AIR as an arc sine or cosine near the pole, which loses half
the digits there (3e-7 px at 1"), of NCP likewise, and holds CSC in single precision (0.02"). Here native unit vectors
come straight from the plane. Formulas: Calabretta & Greisen (2002), "paper II", sections 5.1 and 5.6; plane coordinates
(X, Y) in radians, native unit vectors (l, m, n) = (cos θ cos φ, cos θ sin φ, sin θ), s = 1 − n.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from astropy.io.fits import Card, Header

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
        dx, dy = x - self.crpix[0], y - self.crpix[1]
        (a, b), (c, d) = self.matrix
        l, m, n = np.moveaxis(self.native(a * dx + b * dy, c * dx + d * dy, self.parameters), -1, 0)  # noqa: E741
        return np.stack([row[0] * l + row[1] * m + row[2] * n for row in self.rotation], axis=-1)


@lru_cache(maxsize=4096)
def exact_map(header: str) -> Exact | None:
    """The map of a grid's cards where it is written here; None where wcslib's own is good to rounding."""
    wcs = build_wcs(Header([Card.fromstring(line) for line in header.splitlines()]))
    lng, lat = wcs.wcs.lng, wcs.wcs.lat
    code = wcs.wcs.ctype[lng][5:8]
    given = {(i - 1, m): value for i, m, value in wcs.wcs.get_pv()}
    if code not in _NATIVE or any(i == lng for i, _ in given):  # PV of the longitude axis move the native origin
        return None
    native, defaults = _NATIVE[code]
    parameters = tuple(given.get((lat, m), value) for m, value in enumerate(defaults, 1))
    matrix = np.radians(wcs.pixel_scale_matrix)
    # The rotation, as wcslib makes it for a projection with the same native origin.
    other, axes = ("CAR", ((0, 0), (90, 0), (0, 90))) if code == "CSC" else ("ARC", ((0, -90), (90, 0), (0, 0)))
    cards = {"CTYPE1": f"RA---{other}", "CTYPE2": f"DEC--{other}", "CRPIX1": 0.0, "CRPIX2": 0.0}
    cards |= {"CRVAL1": wcs.wcs.crval[lng], "CRVAL2": wcs.wcs.crval[lat]}
    plain = build_wcs(cards | {"LONPOLE": wcs.wcs.lonpole, "LATPOLE": wcs.wcs.latpole})
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


_CSC = (
    (-0.27292696, -0.07629969, -0.22797056, 0.54852384, -0.62930065, 0.25795794, 0.02584375),
    (-0.02819452, -0.01471565, 0.48051509, -1.74114454, 1.71547508, -0.53022337),
    (0.27058160, -0.56800938, 0.30803317, 0.98938102, -0.83180469),
    (-0.60441560, 1.50880086, -0.93678576, 0.08693841),
    (0.93412077, -1.41601920, 0.33887446),
    (-0.63915306, 0.52032238),
    (0.14381585,),
)
"""P_ij of paper II, 5.6.2: rows j, columns i."""


def _cube(X: Floats, Y: Floats, _: tuple[float, ...]) -> Floats:  # noqa: N803
    """CSC: the faces 1 to 4 along X, 0 above and 5 below the first, each from −1 to 1."""
    x, y = X / (math.pi / 4), Y / (math.pi / 4)
    column = np.abs(x) <= 1.0
    good = (column & (np.abs(y) <= 3.0)) | (~column & (np.abs(x) <= 7.0) & (np.abs(y) <= 1.0))
    x = np.where(x < -1.0, x + 8.0, x)
    face = 1 + np.where(x > 1.0, np.ceil((x - 1.0) / 2.0), 0.0)
    x = x - 2.0 * (face - 1.0)
    face = np.where(y > 1.0, 0.0, np.where(y < -1.0, 5.0, face))
    y = np.where(y > 1.0, y - 2.0, np.where(y < -1.0, y + 2.0, y))
    u, v = _cube_side(x, y), _cube_side(y, x)
    w = 1.0 / np.sqrt(1.0 + u * u + v * v)
    u, v, face = u * w, v * w, face.astype(int)
    axes = np.stack([[-v, u, w], [w, u, v], [-u, w, v], [-w, -u, v], [u, -w, v], [v, u, -w]])  # (6, 3, n), paper II
    picked = np.take_along_axis(axes, np.clip(face, 0, 5)[None, None], axis=0)[0].T
    return np.where(good[:, None], picked, np.nan)


def _cube_side(x: Floats, y: Floats) -> Floats:
    """The tangent of a face's angle along x: x + x (1 − x²) Σ P_ij x^2i y^2j."""
    xx, yy = x * x, y * y
    total = np.zeros_like(x)
    for row in reversed(_CSC):
        inner = np.zeros_like(x)
        for value in reversed(row):
            inner = inner * xx + value
        total = total * yy + inner
    return x + x * (1.0 - xx) * total


_NATIVE = {
    "SIN": (_slant, (0.0, 0.0)),
    "SZP": (_perspective, (0.0, 0.0, 90.0)),
    "AIR": (_airy, (90.0,)),
    "CSC": (_cube, ()),
}
"""By code: the map, and what its PV2_1, PV2_2, ... are where they are not given."""
