"""mSubimage: a part of an image, as it is stored."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.errors import InputError
from dmontage.fits_files import write_stored
from dmontage.montage.stored_images import moved, open_stored
from dmontage.sphere import rotate_frame, unit_vectors
from dmontage.window import Window

if TYPE_CHECKING:
    from dmontage.fits_files import Stored
    from dmontage.grid import Grid

__all__ = ["mSubimage"]

_SKY, _PIXELS, _HDU, _SHRINK, _REFERENCE = range(5)


def mSubimage(
    infile: str,
    outfile: str,
    ra: float,
    dec: float,
    xsize: float,
    ysize: float,
    mode: int = 0,
    hdu: int = 0,
    nowcs: bool = False,
    debug: int = 0,
) -> dict[str, Any]:
    """Cut a part out of an image; numbers stay as they are stored, and all planes of a cube are cut.

    Parameters
    ----------
    infile, outfile
        The image, and its part.
    ra, dec, xsize, ysize
        By ``mode``; a box begins with the pixel that holds its corner, and is cropped to the image.
    mode
        0: a box about a place (J2000, degrees), of so many degrees. 1: from FITS pixel (ra, dec) to (ra + xsize,
        dec + ysize), both included. 2: all of an HDU. 3: all but the blank pixels around. 4: as 1, but from ra to xsize
        and from dec to ysize, counted from the reference pixel.
    hdu
        Of the image; 0 stands for the only image of a file that has none there.
    nowcs
        Not used: a box in pixels needs no WCS.
    debug
        Not used.

    Returns
    -------
    dict
        "content": "blank", "flat" or "normal".
    """
    _check_box(mode, ra, dec, xsize, ysize)

    def choose(shape: tuple[int, int], grid: Grid | None, why: str) -> Window:
        if mode in (_HDU, _SHRINK):
            return Window.of_shape(shape)
        if mode == _PIXELS:
            window = _box(ra, dec, xsize, ysize)
        elif grid is None:
            raise InputError(f"{infile}: no WCS, which mode {mode} needs: {why}; use mode 1 (pixels)")
        elif mode == _SKY:
            window = _on_sky(grid, ra, dec, xsize, ysize)
        else:
            x, y = grid.wcs().wcs.crpix
            window = _between(math.floor(x + ra), x + xsize, math.floor(y + dec), y + ysize)
        if not (window := window & Window.of_shape(shape)):
            raise InputError(f"Region outside image. {infile} has {shape[1]} x {shape[0]} pixels")
        return window

    image = open_stored(infile, hdu, choose)
    if mode == _SHRINK:
        image = _without_blank(image)
    values = image.values()
    changed = moved(image.header, image.window.x0, image.window.y0)
    write_stored(outfile, image, changed, None if image.grid is None else image.grid.subgrid(image.window))
    some = values[np.isfinite(values)]
    return {"content": "blank" if not some.size else "flat" if some.min() == some.max() else "normal"}


def _check_box(mode: int, x: float, y: float, width: float, height: float) -> None:
    """InputError for a mode that there is not, and a box that is none."""
    if mode not in range(5):
        raise InputError(f"mode is {mode!r}; give 0 (sky), 1 (pixels), 2 (HDU), 3 (shrink) or 4 (from the reference)")
    if mode in (_HDU, _SHRINK):
        return
    if not all(math.isfinite(number) for number in (x, y, width, height)):
        raise InputError(f"mSubimage: {(x, y, width, height)} must be finite")
    for name, first, size in (("x", x, width), ("y", y, height)):
        if mode == _REFERENCE and size < first:
            raise InputError(
                f"Invalid '{name}' size: mode 4 goes from pixel {first:g} to {size:g}: give the lower first"
            )
        if mode != _REFERENCE and size < 0.0:
            raise InputError(
                f"Invalid '{name}' size {size:g}: give 0 or more {'degrees' if mode == _SKY else 'pixels'}"
            )


def _box(x: float, y: float, width: float, height: float) -> Window:
    """A box from a FITS pixel on: as many pixels for a size wherever in a pixel it begins, as Montage has it."""
    first_x, first_y = math.floor(x), math.floor(y)
    return _between(first_x, first_x + width, first_y, first_y + height)


def _between(first_x: int, last_x: float, first_y: int, last_y: float) -> Window:
    return Window(first_y - 1, math.ceil(last_y), first_x - 1, math.ceil(last_x))


def _on_sky(grid: Grid, ra: float, dec: float, width: float, height: float) -> Window:
    from astropy.coordinates import FK5, ICRS

    frame = grid.frame
    j2000 = frame if frame.is_equivalent_frame(FK5()) else ICRS()
    vector = rotate_frame(unit_vectors(*np.radians([[ra], [dec]])), j2000, frame)
    wcs = grid.wcs()
    x, y = (float(each[0]) + 1.0 for each in grid.pixel(vector, wcs))
    if not (math.isfinite(x) and math.isfinite(y)):
        raise InputError(f"Region outside image. ({ra}, {dec}) is on the other side of the sky")
    step_x, step_y = np.hypot(*wcs.pixel_scale_matrix)
    nx, ny = (max(size / step, 1.0) for size, step in ((width, step_x), (height, step_y)))
    return _box(x - nx / 2, y - ny / 2, nx, ny)


def _without_blank(image: Stored) -> Stored:
    """The smallest box around all pixels that are not blank."""
    values = image.values()
    window = Window.around(np.logical_or.reduce(np.isfinite(values).reshape(-1, *values.shape[-2:])))
    if not window:
        raise InputError("No pixels match area. All pixels are blank.")
    return image._replace(pixels=image.pixels[(..., *window.slices)], window=window)
