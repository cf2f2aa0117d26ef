"""mCoord and mPix2Coord: pixels and places on the sky."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.errors import InputError
from dmontage.montage.image_row import equatorial, j2000
from dmontage.montage.inputs import check_file, image_in, template_grid
from dmontage.sphere import lonlat, rotate_frame, unit_vectors

if TYPE_CHECKING:
    from dmontage.grid import Grid

__all__ = ["mCoord", "mPix2Coord", "pixel_at", "system_name"]


def mCoord(
    imgfile: str,
    hdu: int = 0,
    plane3: int = 1,
    plane4: int = 1,
    ra: float = 0.0,
    dec: float = 0.0,
    locinpix: bool = False,
    debug: int = 0,
) -> dict[str, float]:
    """Tell where a pixel of an image lies on the sky, or a place on the image.

    Parameters
    ----------
    imgfile, hdu
        The image.
    plane3, plane4, debug
        Not used: the planes of a cube share their pixels.
    ra, dec
        The place, degrees, equatorial J2000; or with ``locinpix`` a pixel (x, y), the first of which is 1.
    locinpix
        A pixel is given.

    Returns
    -------
    dict
        "ra", "dec", "xpix", "ypix".

    Raises
    ------
    InputError
        Among others where that is off the image: "Location off the image."
    """
    grid = image_in(imgfile, hdu).grid
    if not locinpix:
        x, y = pixel_at(grid, ra, dec)
        return {"ra": float(ra), "dec": float(dec), "xpix": x + 1.0, "ypix": y + 1.0}
    lon, lat = j2000(grid, np.array(ra - 1.0), np.array(dec - 1.0))
    _check_inside(grid, ra - 1.0, dec - 1.0, f"pixel ({ra}, {dec})")
    return {"ra": float(lon), "dec": float(lat), "xpix": float(ra), "ypix": float(dec)}


def mPix2Coord(infile: str, ixpix: float, jypix: float, hdu: int = 0, debug: int = 0) -> dict[str, Any]:
    """Tell where a pixel of an image, or of a template, lies on the sky.

    Parameters
    ----------
    infile, hdu
        An image, or a template (``.hdr``).
    ixpix, jypix
        The pixel (x, y), the first of which is 1; it may lie off the image.
    debug
        Not used.

    Returns
    -------
    dict
        "native_lon", "native_lat" in its own system, "native_csys", "lon", "lat" in equatorial J2000, and "locstr",
        these as a text.
    """
    if not (math.isfinite(ixpix) and math.isfinite(jypix)):
        raise InputError(f"({ixpix!r}, {jypix!r}) is no pixel")
    check_file(infile)
    is_template = re.search(r"\.(hdr|txt)$", infile, re.IGNORECASE)
    grid = template_grid(infile) if is_template else image_in(infile, hdu).grid
    x, y = np.array(ixpix - 1.0), np.array(jypix - 1.0)
    own = [float(a) for a in lonlat(grid.sky(x, y))]
    lon, lat = (float(a) for a in j2000(grid, x, y))
    if not (math.isfinite(lon) and math.isfinite(lat)):
        raise InputError(f"Location off the image. Pixel ({ixpix}, {jypix}) is not on the sky")
    return {
        "native_lon": own[0],
        "native_lat": own[1],
        "native_csys": _own_system(grid),
        "lon": lon,
        "lat": lat,
        "locstr": f"{lon:.9f} {lat:.9f} eq J2000",
    }


def pixel_at(grid: Grid, ra: float, dec: float) -> tuple[float, float]:
    """The pixel (x, y), the first of which is 0, of a place in J2000; InputError where it is not on the image."""
    if not (math.isfinite(ra) and -90.0 <= dec <= 90.0):
        raise InputError(f"({ra!r}, {dec!r}) is no place: give degrees")
    vectors = unit_vectors(np.radians(np.array(ra)), np.radians(np.array(dec)))
    x, y = (float(a) for a in grid.pixel(rotate_frame(vectors, equatorial(grid), grid.frame)))
    _check_inside(grid, x, y, f"({ra}, {dec})")
    return x, y


def _check_inside(grid: Grid, x: float, y: float, name: str) -> None:
    ny, nx = grid.shape
    if not (-0.5 <= x <= nx - 0.5 and -0.5 <= y <= ny - 0.5):  # NaN, too
        at = f"it would be at pixel ({x + 1:.1f}, {y + 1:.1f})" if math.isfinite(x) else "it is not on its map"
        raise InputError(f"Location off the image. {name}: {at}; the image has {nx} by {ny}")


def system_name(grid: Grid) -> str:
    """Montage's word for a grid's system."""
    old = grid.frame.name.startswith("fk4") or "RADESYS = 'FK4" in grid.header
    letters = {"RA--": "EQUB" if old else "EQUJ", "ELON": "ECLB" if old else "ECLJ", "GLON": "GAL", "SLON": "SGAL"}
    return letters.get(grid.wcs().wcs.ctype[0][:4], "EQUJ")


def _own_system(grid: Grid) -> str:
    name = system_name(grid)
    year = float(grid.wcs().wcs.equinox)
    short = {"EQU": "eq", "ECL": "ec"}.get(name[:3])
    if short is None:
        return name.lower()
    return f"{short} {name[3]}{(1950 if name[3] == 'B' else 2000) if math.isnan(year) else year:g}"
