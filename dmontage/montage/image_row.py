"""A row of an image table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.fits_files import read_header
from dmontage.sphere import lonlat, rotate_frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.coordinates import BaseCoordinateFrame
    from numpy.typing import NDArray

    from dmontage.grid import Grid
    from dmontage.model import ImageRef

__all__ = ["COLUMNS", "CORNERS", "CUBES", "equatorial", "image_row", "j2000", "linear", "place_columns"]

COLUMNS: dict[str, type] = {
    "cntr": int, "ra": float, "dec": float, "cra": str, "cdec": str, "naxis1": int, "naxis2": int, "ctype1": str,
    "ctype2": str, "crpix1": float, "crpix2": float, "crval1": float, "crval2": float, "cdelt1": float, "cdelt2": float,
    "crota2": float, "equinox": float,
}  # fmt: skip
CUBES: dict[str, type] = {
    "naxis": int, "naxis3": int, "crval3": float, "cdelt3": float, "crpix3": float, "naxis4": int, "crval4": float,
    "cdelt4": float, "crpix4": float,
}  # fmt: skip
CORNERS: dict[str, type] = {f"{name}{i}": float for i in range(1, 5) for name in ("ra", "dec")}


def image_row(ref: ImageRef, fields: Mapping[str, type]) -> dict[str, Any]:
    """What a table tells of an image: of COLUMNS, CUBES and CORNERS, "radesys", "size", "hdu", and more keywords."""
    grid = ref.grid
    ny, nx = grid.shape
    header = read_header(ref.path, ref.hdu)
    more = {name: _typed(header.get(name.upper()), kind) for name, kind in fields.items()}
    row: dict[str, Any] = more | linear(grid) | {"naxis1": nx, "naxis2": ny, "size": ref.size, "hdu": ref.hdu}
    row |= place_columns(grid)
    row["naxis"] = int(header["NAXIS"])
    for i in (3, 4):
        if i <= row["naxis"]:
            row[f"naxis{i}"] = int(header[f"NAXIS{i}"])
            row |= {f"{key}{i}": _typed(header.get(f"{key.upper()}{i}"), float) for key in ("crval", "cdelt", "crpix")}
    return row


def place_columns(grid: Grid) -> dict[str, Any]:
    """The middle of a grid and its four corners, equatorial J2000; None off the sky."""
    ny, nx = grid.shape
    # Around it from the first pixel's outer corner: up, along, down.
    x = np.array([(nx - 1) / 2, -0.5, -0.5, nx - 0.5, nx - 0.5])
    y = np.array([(ny - 1) / 2, -0.5, ny - 0.5, ny - 0.5, -0.5])
    ra, dec = ([float(v) if math.isfinite(v) else None for v in values] for values in j2000(grid, x, y))
    told: dict[str, Any] = {"ra": ra[0], "dec": dec[0], "cra": None, "cdec": None}
    if ra[0] is not None and dec[0] is not None:
        told |= {"cra": _sexagesimal(ra[0] / 15.0, "hms", "", 2), "cdec": _sexagesimal(dec[0], "dms", "+", 1)}
    for i in range(1, 5):
        told |= {f"ra{i}": ra[i], f"dec{i}": dec[i]}
    return told


def _typed(value: Any, kind: type) -> Any:
    try:
        return None if value is None else kind(value)
    except (TypeError, ValueError):
        return None


def j2000(
    grid: Grid, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Right ascension and declination in degrees of pixels, equatorial J2000."""
    return lonlat(rotate_frame(grid.sky(x, y), grid.frame, equatorial(grid)))


def equatorial(grid: Grid) -> BaseCoordinateFrame:
    """What "equatorial J2000" means for an image: FK5, or ICRS where that is its own system."""
    from astropy.coordinates import FK5

    return grid.frame if grid.frame.name == "icrs" else FK5()


def linear(grid: Grid) -> dict[str, Any]:
    """The linear part of a grid's WCS by the cards of old: what of it is no turn and no scale is left out."""
    wcs = grid.wcs().wcs
    (a, b), (c, d) = grid.wcs().pixel_scale_matrix
    flip = math.copysign(1.0, a * d - b * c)
    row = {f"{key}{i + 1}": getattr(wcs, key)[i] for i in (0, 1) for key in ("ctype", "crpix", "crval")}
    year = float(wcs.equinox)
    return row | {
        "cdelt1": flip * math.hypot(a, c),
        "cdelt2": math.hypot(b, d),
        "crota2": math.degrees(math.atan2(-b, d)) + 0.0,  # no -0
        "equinox": year if math.isfinite(year) else 2000.0,
        "radesys": wcs.radesys or ("ICRS" if wcs.ctype[0].startswith("RA") and grid.frame.name == "icrs" else None),
    }


def _sexagesimal(value: float, units: str, plus: str, digits: int) -> str:
    """Such as 05h 37m 13.85s."""
    whole = round(abs(value) * 3600 * 10**digits)
    seconds, rest = divmod(whole, 10**digits)
    minutes, seconds = divmod(seconds, 60)
    first, minutes = divmod(minutes, 60)
    sign = "-" if value < 0 else plus
    return f"{sign}{first:02d}{units[0]} {minutes:02d}{units[1]} {seconds:02d}.{rest:0{digits}d}{units[2]}"
