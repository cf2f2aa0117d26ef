"""Pixels out of FITS files: native floats, NaN for blank."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from dmontage.errors import InputError
from dmontage.fits_files.common import first_line, quiet
from dmontage.grid import Grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.model import ImageRef
    from dmontage.window import Window

__all__ = ["in_memory", "pixels", "read"]


def read(ref: ImageRef, window: Window | None = None) -> NDArray[Any]:
    """Pixels of an image, native float32 or float64; BLANK and NaN are NaN, BSCALE and BZERO applied.

    Returns
    -------
    NDArray
        Shape (*planes, ny, nx): a cube's planes are those of ``ref.planes``.

    Raises
    ------
    InputError
        If the data are damaged, or the file has gone or changed since the scan.
    """
    window = window or ref.grid.window
    try:
        stat = Path(ref.path).stat()
        if (stat.st_size, stat.st_mtime_ns) != (ref.size, ref.mtime_ns):
            raise InputError("has changed since the scan; scan again")
        with quiet, fits.open(ref.path, memmap=False) as hdus:
            hdu = hdus[ref.hdu]
            data = np.asarray(hdu.section[(*(slice(None),) * (len(hdu.shape) - 2), *window.slices)])
            return _as_float(data.reshape(*ref.planes, *window.shape), hdu.header)
    except InputError as error:
        raise InputError(f"{ref.path}: {error}") from error
    except Exception as error:  # damage shows as OSError, TypeError, ValueError, zlib.error, EOFError, ...
        raise InputError(f"{ref.path}: HDU {ref.hdu} cannot be read: {first_line(error)}") from error


def in_memory(hdu: Any, hdus: fits.HDUList | None = None) -> tuple[NDArray[Any], Grid]:
    """Pixels (*planes, ny, nx), as `read` gives them, and the grid of an image HDU that the caller holds open.

    Parameters
    ----------
    hdu
        A primary, image or compressed-image HDU with data.
    hdus
        The list that it is from, for lookup tables.
    """
    if hdu.data is None or len(hdu.shape) < 2:
        raise InputError(f"HDU {hdu.name!r} of shape {hdu.shape} holds no image")
    planes = tuple(side for side in hdu.shape[:-2] if side != 1)
    with quiet:
        grid = Grid.from_header(hdu.header, hdu.shape, hdus)
        return _as_float(np.asarray(hdu.data).reshape(*planes, *grid.shape), hdu.header), grid


def pixels(path: str | Path) -> NDArray[Any]:
    """The pixels of a product that `FitsWriter` wrote, big-endian and mapped, not loaded."""
    with fits.open(path, memmap=True) as hdus:
        return np.asarray(hdus[0].data)


def _as_float(data: NDArray[Any], header: fits.Header) -> NDArray[Any]:
    """Native floats: float32 where that holds the values, NaN where the file says BLANK."""
    wide = data.dtype.itemsize > (4 if data.dtype.kind == "f" else 2)
    blank = header.get("BLANK") if header["BITPIX"] > 0 else None
    out = np.ascontiguousarray(data, dtype=np.float64 if wide else np.float32)
    if blank is not None and data.dtype.kind in "iu":  # where astropy made floats it has blanked them
        out[data == blank * header.get("BSCALE", 1) + header.get("BZERO", 0)] = np.nan
    if wide:  # a sentinel such as 1e308: the store could only make it infinite
        out[np.abs(out) > np.finfo(np.float32).max] = np.nan
    return out
