"""Cubes: the forward maps of TSC, CSC and QSC from their definition (Calabretta & Greisen 2002, "paper II", 5.6).

The faces 1 to 4 lie along X, each from −1 to 1 after division by π/4; 0 is above the first and 5 below it. wcslib holds
CSC in single precision, finds TSC's native latitude as an arc sine next to the poles of the faces (1e-6 px at 1"), and
confuses the faces of points that share one Y. Native unit vectors as in `dmontage.grid.exact`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["CUBES", "REACH", "csc", "qsc", "tsc"]

CUBES = ("TSC", "CSC", "QSC")
REACH = 7 * math.pi / 4
"""Radians: the faces are read from −7 to 7 along X, so that they may begin with any of them."""

_CSC = (
    (-0.27292696, -0.07629969, -0.22797056, 0.54852384, -0.62930065, 0.25795794, 0.02584375),
    (-0.02819452, -0.01471565, 0.48051509, -1.74114454, 1.71547508, -0.53022337),
    (0.27058160, -0.56800938, 0.30803317, 0.98938102, -0.83180469),
    (-0.60441560, 1.50880086, -0.93678576, 0.08693841),
    (0.93412077, -1.41601920, 0.33887446),
    (-0.63915306, 0.52032238),
    (0.14381585,),
)
"""P_ij of 5.6.2: rows j, columns i."""


def tsc(X: Floats, Y: Floats, _: tuple[float, ...]) -> Floats:  # noqa: N803
    """TSC (5.6.1): each face is a tangent plane."""
    return _cube(X, Y, _central)


def csc(X: Floats, Y: Floats, _: tuple[float, ...]) -> Floats:  # noqa: N803
    """CSC (5.6.2): a polynomial of the tangent plane's coordinates."""
    return _cube(X, Y, lambda x, y: _central(_csc_side(x, y), _csc_side(y, x)))


def qsc(X: Floats, Y: Floats, _: tuple[float, ...]) -> Floats:  # noqa: N803
    """QSC (5.6.3): equal areas."""
    return _cube(X, Y, _equal_area)


def _cube(X: Floats, Y: Floats, face_map: Callable[[Floats, Floats], Floats]) -> Floats:  # noqa: N803
    """Native unit vectors (n, 3); ``face_map`` gives cosines (3, n) along a face's x and y and to its middle."""
    x, y = X / (math.pi / 4), Y / (math.pi / 4)
    column = np.abs(x) <= 1.0
    good = (column & (np.abs(y) <= 3.0)) | (~column & (np.abs(x) <= 7.0) & (np.abs(y) <= 1.0))
    x = np.where(x < -1.0, x + 8.0, x)
    face = 1 + np.where(x > 1.0, np.ceil((x - 1.0) / 2.0), 0.0)
    x = x - 2.0 * (face - 1.0)
    face = np.where(y > 1.0, 0.0, np.where(y < -1.0, 5.0, face))
    y = np.where(y > 1.0, y - 2.0, np.where(y < -1.0, y + 2.0, y))
    u, v, w = face_map(np.where(good, x, np.nan), np.where(good, y, np.nan))
    axes = np.stack([[-v, u, w], [w, u, v], [-u, w, v], [-w, -u, v], [u, -w, v], [v, u, -w]])  # (6, 3, n), paper II
    return np.asarray(np.take_along_axis(axes, np.where(good, face, 0.0).astype(int)[None, None], axis=0)[0].T)


def _central(u: Floats, v: Floats) -> Floats:
    """Cosines (3, n) of points of a face's tangent plane."""
    w = 1.0 / np.sqrt(1.0 + u * u + v * v)
    return np.stack([u * w, v * w, w])


def _csc_side(x: Floats, y: Floats) -> Floats:
    """The tangent of a face's angle along x: x + x (1 − x²) Σ P_ij x^2i y^2j."""
    xx, yy = x * x, y * y
    total = np.zeros_like(x)
    for row in reversed(_CSC):
        inner = np.zeros_like(x)
        for value in reversed(row):
            inner = inner * xx + value
        total = total * yy + inner
    return x + x * (1.0 - xx) * total


def _equal_area(x: Floats, y: Floats) -> Floats:
    """Cosines (3, n) of QSC: with a the longer of x and y, b the other, 1 − ζ = a² (1 − 1/√(2 + ω²)), ω = tangent."""
    across = np.abs(x) > np.abs(y)
    a, b = np.where(across, x, y), np.where(across, y, x)
    turn = math.radians(15.0) * np.divide(b, a, out=np.zeros_like(a), where=a != 0.0)
    omega = np.sin(turn) / (np.cos(turn) - math.sqrt(0.5))
    k = 1.0 - 1.0 / np.sqrt(2.0 + omega * omega)
    s = a * a * k
    along = a * np.sqrt(k * (2.0 - s) / (1.0 + omega * omega))
    aside = along * omega
    return np.stack([np.where(across, along, aside), np.where(across, aside, along), 1.0 - s])
