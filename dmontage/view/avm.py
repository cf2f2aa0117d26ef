"""Coordinates in a picture: Astronomy Visualization Metadata (AVM 1.2), as an XMP packet.

AVM tells a reference frame, one of six projections without parameters, and FITS's CRVAL, CRPIX (y upwards, as in FITS),
scale and rotation. Where a grid's WCS is no more than that, the picture has all of it (Spatial.Quality "Full"). Where
it is more (other projections, distortions, parameters, unusual poles, WCS objects), the picture has the tangent plane
at its middle ("Position").
What the tags say is read back and compared with the grid, rather than known from the kind of WCS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.errors import InputError
from dmontage.sphere import unit_vectors

if TYPE_CHECKING:
    from astropy.wcs import WCS
    from numpy.typing import NDArray

    from dmontage.grid import Grid

    Floats = NDArray[np.float64]

__all__ = ["avm_packet", "step_between"]

_FRAMES = {
    "ICRS": "ICRS", "FK5": "FK5", "FK4": "FK4", "Galactic": "GAL", "Supergalactic": "SGAL",
    "BarycentricMeanEcliptic": "ECL", "GeocentricMeanEcliptic": "ECL",
}  # fmt: skip
_PROJECTIONS = ("TAN", "SIN", "ARC", "AIT", "CAR", "CEA")
"""All that the standard has."""
_EXACT = 1e-6
"""Pixels of the picture."""


def step_between(large: tuple[int, int], small: tuple[int, int]) -> int:
    """Side of the squares by which a mosaic (ny, nx) became a picture (ny, nx).

    Raises
    ------
    InputError
        Where there is none, or several fit.
    """
    first, last = 1, max(large)
    for n, m in zip(large, small, strict=True):
        # ⌈n / step⌉ = m: step is at least n / m, and below n / (m − 1)
        first = max(first, -(-n // m))
        last = min(last, last if m == 1 else -(-n // (m - 1)) - 1)
    if first > last:
        raise InputError(f"a picture of {small} pixels (ny, nx) is no whole part of a grid of {large}; give its grid")
    if first < last:
        raise InputError(
            f"a picture of {small} pixels (ny, nx) may be a grid of {large} shrunk by {first} to {last}; give step="
        )
    return first


def avm_packet(grid: Grid, shape: tuple[int, int], step: int) -> bytes | None:
    """The XMP packet for a picture (ny, nx) of a grid shrunk by ``step``; None where its middle has no sky."""
    avm = _exact(grid, shape, step) or _tangent(grid, shape, step)
    return None if avm is None else bytes(avm.to_xmp())


def _exact(grid: Grid, shape: tuple[int, int], step: int) -> Any | None:
    """Tags that say the same as the grid, if there are such."""
    wcs, frame = grid.wcs(), _FRAMES.get(type(grid.frame).__name__)
    if frame is None or not hasattr(wcs, "wcs") or not hasattr(wcs.wcs, "crval"):
        return None
    code = wcs.wcs.ctype[0][5:8]
    if code not in _PROJECTIONS:
        return None
    equinox = wcs.wcs.equinox if np.isfinite(wcs.wcs.equinox) else 2000.0
    pixel = (wcs.wcs.crpix - 0.5) / step + 0.5
    avm = _tags((frame, equinox, code), wcs.wcs.crval, pixel, wcs.pixel_scale_matrix * step, shape)
    avm.Spatial.Quality = "Full"
    return avm if _error(avm.to_wcs(), grid, shape, step) <= _EXACT else None


def _tangent(grid: Grid, shape: tuple[int, int], step: int) -> Any | None:
    """Tags of the tangent plane (ICRS) at the picture's middle."""
    from dmontage.grid.tangent import sky_at, tangents

    ny, nx = shape
    middle = np.array([[(nx * step - 1) / 2, (ny * step - 1) / 2]])
    origin = sky_at(grid, middle)
    if not np.isfinite(origin).all():
        return None
    matrix = np.degrees(tangents(grid, middle, origin, np.array([float(step)])).jacobian[0]) * step
    if not np.isfinite(matrix).all():
        return None
    x, y, z = origin[0]
    value = np.degrees([np.arctan2(y, x) % (2 * np.pi), np.arctan2(z, np.hypot(x, y))])
    avm = _tags(("ICRS", 2000.0, "TAN"), value, np.array([(nx + 1) / 2, (ny + 1) / 2]), matrix, shape)
    avm.Spatial.Quality = "Position"
    return avm


def _tags(system: tuple[str, float, str], value: Floats, pixel: Floats, matrix: Floats, shape: tuple[int, int]) -> Any:
    """AVM of a frame, equinox and projection, CRVAL, CRPIX and the CD matrix, degrees a pixel of the picture."""
    from pyavm import AVM

    avm = AVM()
    spatial = avm.Spatial
    spatial.CoordinateFrame, spatial.Equinox, spatial.CoordsystemProjection = system
    spatial.ReferenceValue, spatial.ReferencePixel = value.tolist(), pixel.tolist()
    spatial.ReferenceDimension = [float(shape[1]), float(shape[0])]
    across, up = -np.hypot(*matrix[:, 0]), np.hypot(*matrix[:, 1])
    turn = np.arctan2(-matrix[0, 1], matrix[1, 1])
    cos, sin = np.cos(turn), np.sin(turn)
    if np.allclose(matrix, [[across * cos, -up * sin], [across * sin, up * cos]], rtol=0, atol=1e-12 * up):
        spatial.Scale, spatial.Rotation = [float(across), float(up)], float(np.degrees(turn)) + 0.0  # no "-0.0"
    else:  # skewed, or seen from behind: scale and rotation cannot tell, readers take longitude to grow leftwards
        spatial.CDMatrix = matrix.ravel().tolist()
    return avm


def _error(wcs: WCS, grid: Grid, shape: tuple[int, int], step: int) -> float:
    """Largest distance, in pixels of the picture, between where tags and grid have the same sky; NaN if nowhere."""
    x, y = np.meshgrid(*(np.linspace(-0.5, n - 0.5, 9) for n in shape[::-1]))
    lon, lat = np.radians(wcs.wcs_pix2world(x.ravel(), y.ravel(), 0))
    there = grid.pixel(unit_vectors(lon, lat))
    off = [(at + 0.5) / step - 0.5 - wanted.ravel() for at, wanted in zip(there, (x, y), strict=True)]
    distance = np.hypot(*off)
    seen = np.isfinite(grid.sky((x.ravel() + 0.5) * step - 0.5, (y.ravel() + 0.5) * step - 0.5)).all(axis=-1)
    return float(distance[seen].max()) if seen.any() else float("nan")
