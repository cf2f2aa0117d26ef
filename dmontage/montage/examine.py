"""mExamine: what an image is, and the statistics of it or of a circle on it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.errors import InputError
from dmontage.fits_files import read, read_header
from dmontage.grid.tangent import offsets
from dmontage.montage.coord import pixel_at, system_name
from dmontage.montage.image_row import equatorial, j2000, linear
from dmontage.montage.inputs import image_in
from dmontage.sphere import lonlat, rotate_frame
from dmontage.window import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.grid import Grid
    from dmontage.model import ImageRef

    Floats = NDArray[np.float64]

__all__ = ["mExamine"]


def mExamine(
    infile: str,
    areaMode: int = 0,
    hdu: int = 0,
    plane3: int = 1,
    plane4: int = 1,
    ra: float = 0.0,
    dec: float = 0.0,
    radius: float = 1.0,
    locinpix: bool = False,
    radinpix: bool = False,
    debug: int = 0,
) -> dict[str, Any]:
    """Tell an image's geometry, and the statistics of its pixels.

    Parameters
    ----------
    infile, hdu
        The image.
    areaMode
        0: the whole image; 1: the pixels whose middles lie within a circle; 2: the same, and their sum "totalflux".
    plane3, plane4
        The plane of a cube, from 1.
    ra, dec
        The circle's middle, degrees, equatorial J2000; or with ``locinpix`` a pixel (x, y), the first of which is 1.
    radius
        Degrees; or with ``radinpix`` pixels.
    debug
        Not used.
    locinpix, radinpix
        Whether middle and radius are told in pixels.

    Returns
    -------
    dict
        "proj", "csys", "equinox", "naxis" to "naxis4", "crval1", ..., "crota2"; "lonc", "latc", "rac", "decc" of the
        middle; "ximgsize", "yimgsize", degrees; "rotequ", CROTA2 against equatorial north; "ra1", "dec1" to "ra4",
        "dec4" of the corners around it from the first pixel's along x; "radius", "radpix", "npixel" and "nnull", pixels
        with values and without; "aveflux", "rmsflux" (about it), and "flux", "sigma" (in rms from the average), "x",
        "y", "ra", "dec" of the pixel in the middle ("fluxref", ...), and of those with the least and the greatest value
        ("fluxmin", ..., "fluxmax", ...); "totalflux".
    """
    if areaMode not in (0, 1, 2):
        raise InputError(f"areaMode is {areaMode!r}; give 0 (whole image), 1 (circle) or 2 (circle, and its sum)")
    ref = image_in(infile, hdu)
    told = _geometry(ref)
    x, y, r = _circle(ref.grid, areaMode, (ra, dec, radius), locinpix, radinpix)
    scale = abs(told["cdelt2"])
    told |= {"radius": r * scale, "radpix": r}
    ny, nx = ref.grid.shape
    whole = areaMode == 0
    far = min(r, float(nx + ny))  # from any pixel to all others
    box = Window(math.ceil(y - far), math.floor(y + far) + 1, math.ceil(x - far), math.floor(x + far) + 1)
    box &= ref.grid.window
    window = ref.grid.window if whole else box
    if not window:
        raise InputError(f"radius {radius!r} holds no pixel's middle: give a larger one")
    inside = np.ones(window.shape, bool)
    if not whole:
        rows, columns = np.ogrid[window.y0 : window.y1, window.x0 : window.x1]
        inside = (columns - x) ** 2 + (rows - y) ** 2 <= r * r
        if not inside.any():
            raise InputError(f"radius {radius!r} holds no pixel's middle: give a larger one")
    values = read(ref, window, _plane(ref, told, (plane3, plane4), infile))
    middle = min(max(math.floor(x + 0.5), 0), nx - 1), min(max(math.floor(y + 0.5), 0), ny - 1)
    told |= _statistics(ref.grid, values.astype(np.float64), inside, window, middle)
    return told | {"totalflux": float(np.nansum(values[inside], dtype=np.float64)) if areaMode == 2 else 0.0}


def _circle(
    grid: Grid, mode: int, asked: tuple[float, float, float], in_pixels: bool, radius_in_pixels: bool
) -> tuple[float, float, float]:
    """Middle, the first pixel of which is 0, and radius, in pixels."""
    ny, nx = grid.shape
    if mode == 0:
        return (nx - 1) / 2, (ny - 1) / 2, math.hypot(nx, ny) / 2
    ra, dec, radius = asked
    if not (math.isfinite(radius) and radius > 0.0):
        raise InputError(f"radius is {radius!r}: it must be a number above 0")
    r = radius if radius_in_pixels else radius / abs(linear(grid)["cdelt2"])
    if not in_pixels:
        return (*pixel_at(grid, ra, dec), r)
    if not (0.5 <= ra <= nx + 0.5 and 0.5 <= dec <= ny + 0.5):
        raise InputError(f"Location off the image. Pixel ({ra}, {dec}): the image has {nx} by {ny}")
    return ra - 1.0, dec - 1.0, r


def _plane(ref: ImageRef, told: dict[str, Any], planes: tuple[int, int], name: str) -> tuple[int, ...]:
    """A cube's plane, as `read` has it, of one that is counted from 1 along either axis."""
    if len(ref.planes) > 2:
        raise InputError(f"{name} has {len(ref.planes) + 2} axes: at most 4 are looked at")
    found = []
    for axis, plane in ((4, planes[1]), (3, planes[0])):
        side = max(told[f"naxis{axis}"], 1)
        if side == 1 and axis > told["naxis"]:
            continue
        if not 1 <= plane <= side:
            raise InputError(f"plane{axis} is {plane!r}: {name} has {side}")
        if side > 1:
            found.append(plane - 1)
    return tuple(found)


def _geometry(ref: ImageRef) -> dict[str, Any]:
    grid, header, row = ref.grid, read_header(ref.path, ref.hdu), linear(ref.grid)
    ny, nx = grid.shape
    told: dict[str, Any] = {"proj": row["ctype1"][5:8], "csys": system_name(grid), "equinox": row["equinox"]}
    told |= {"naxis": int(header["NAXIS"]), "naxis1": nx, "naxis2": ny}
    told |= {f"naxis{i}": int(header.get(f"NAXIS{i}", 0)) for i in (3, 4)}
    told |= {key: float(row[key]) for key in ("crval1", "crval2", "crpix1", "crpix2", "cdelt1", "cdelt2", "crota2")}
    x, y = (np.array([at, *corners]) for at, corners in zip(grid.window.middle, grid.window.edge(), strict=True))
    lon, lat = lonlat(grid.sky(x[:1], y[:1]))
    ra, dec = j2000(grid, x, y)
    told |= {"lonc": float(lon[0]), "latc": float(lat[0])}
    told |= {"ximgsize": nx * abs(told["cdelt1"]), "yimgsize": ny * abs(told["cdelt2"])}
    told |= {"rotequ": _rotation(grid), "rac": float(ra[0]), "decc": float(dec[0])}
    for i in range(1, 5):
        told |= {f"ra{i}": float(ra[i]), f"dec{i}": float(dec[i])}
    return told


def _rotation(grid: Grid) -> float:
    """Degrees by which y is turned from equatorial north towards west, in the middle of the image."""
    x, y = grid.window.middle
    here, up = rotate_frame(grid.sky(np.array([x, x]), np.array([y, y + 1.0])), grid.frame, equatorial(grid))
    east, north = offsets(up, here)
    return math.degrees(math.atan2(-east, north))


def _statistics(
    grid: Grid, values: Floats, inside: NDArray[np.bool_], window: Window, middle: tuple[int, int]
) -> dict[str, Any]:
    good = inside & np.isfinite(values)
    n = int(good.sum())
    told: dict[str, Any] = {"npixel": n, "nnull": int(inside.sum()) - n}
    if not n:
        raise InputError("All pixels are blank: there is nothing to tell statistics of")
    chosen = values[good]
    mean, rms = float(chosen.mean()), float(chosen.std())
    told |= {"aveflux": mean, "rmsflux": rms}
    flat = np.where(good, values, np.nan)
    places = {"ref": (middle[1] - window.y0, middle[0] - window.x0)}
    for name, index in (("min", np.nanargmin(flat)), ("max", np.nanargmax(flat))):
        at = np.unravel_index(index, flat.shape)
        places[name] = int(at[0]), int(at[1])
    for name, (row, column) in places.items():
        there = 0 <= row < values.shape[0] and 0 <= column < values.shape[1]
        value = float(values[row, column]) if there else math.nan
        x, y = column + window.x0, row + window.y0
        ra, dec = j2000(grid, np.array(x), np.array(y))
        told |= {f"flux{name}": value, f"sigma{name}": (value - mean) / rms if rms > 0.0 else 0.0}
        told |= {f"x{name}": x + 1.0, f"y{name}": y + 1.0, f"ra{name}": float(ra), f"dec{name}": float(dec)}
    return told
