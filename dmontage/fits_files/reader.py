"""Pixels out of FITS files: native floats, NaN for blank."""

from __future__ import annotations

import math
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from dmontage.errors import ChangedError, InputError, UnreachableError
from dmontage.fits_files.common import first_line, quiet
from dmontage.fits_files.digest import cube_digest, digest_of
from dmontage.fits_files.opening import opened
from dmontage.grid import Grid
from dmontage.places import MissingError, Place, Url, brought, place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from dmontage.model import ImageRef
    from dmontage.window import Window

    Convert = Callable[[NDArray[Any], fits.Header], NDArray[Any]]

__all__ = ["in_memory", "pixels", "product_digests", "read", "read_map", "read_mask", "reading"]


def read(ref: ImageRef, window: Window | None = None, plane: tuple[int, ...] | None = None) -> NDArray[Any]:
    """Pixels of an image, native float32 or float64; BLANK and NaN are NaN, BSCALE and BZERO applied.

    Parameters
    ----------
    plane
        Of a cube: the one to read, by its index along each of ``ref.planes``; all are read without it.

    Returns
    -------
    NDArray
        Shape (*planes, ny, nx): a cube's planes are those of ``ref.planes``; (ny, nx) of one plane.

    Raises
    ------
    InputError
        If the data are damaged; `ChangedError` if the file has gone or changed since the scan.
    """
    return _section(ref, window or ref.grid.window, _as_image, plane)


def read_map(ref: ImageRef) -> NDArray[Any]:
    """Weights or variances, as `read` gives pixels; of any size, since what is stored of them is scaled first."""
    return _section(ref, ref.grid.window, _as_float)


def read_mask(ref: ImageRef) -> NDArray[Any]:
    """A mask, native: integers as they are, every bit of them, -1 for BLANK; else floats."""
    return _section(ref, ref.grid.window, _as_mask)


def _section(ref: ImageRef, window: Window, convert: Convert, plane: tuple[int, ...] | None = None) -> NDArray[Any]:
    """Pixels (*planes, ny, nx) of a window, converted from what astropy makes of them by their header."""
    there = _unchanged(ref, window)
    with _errors_of(ref), quiet, opened(there) as hdus:
        return _cut(hdus[ref.hdu], ref, window, convert, plane)


@contextmanager
def reading(ref: ImageRef) -> Iterator[Callable[[Window], NDArray[Any]]]:
    """`read`, of a file of this machine that stays open: a gzipped one is unpacked once, where windows go upwards."""
    there = _unchanged(ref, ref.grid.window)
    with ExitStack() as stack:
        with _errors_of(ref), quiet:
            hdus = stack.enter_context(opened(there))

        def read_next(window: Window) -> NDArray[Any]:
            with _errors_of(ref), quiet:
                return _cut(hdus[ref.hdu], ref, window, _as_image)

        yield read_next


def _cut(
    hdu: Any, ref: ImageRef, window: Window, convert: Convert, plane: tuple[int, ...] | None = None
) -> NDArray[Any]:
    """The pixels of a window out of an open file."""
    sides, planes = hdu.shape[:-2], ref.planes if plane is None else ()
    lead: tuple[Any, ...] = (slice(None),) * len(sides)
    if plane is not None:
        index = iter(plane)
        lead = tuple(0 if side == 1 else next(index) for side in sides)
    data = np.asarray(hdu.section[(*lead, *window.slices)])
    if window.y1 == hdu.shape[-2]:
        _check_stream(hdu)
    return convert(data.reshape(*planes, *window.shape), hdu.header)


@contextmanager
def _errors_of(ref: ImageRef) -> Iterator[None]:
    """What can go wrong in reading an image, told of its file."""
    try:
        yield
    except (ChangedError, UnreachableError):
        raise
    except MissingError as error:
        raise _gone(ref, "there is no such object") from error
    except InputError as error:
        raise InputError(f"{ref.path}: {error}") from error
    except Exception as error:  # damage shows as OSError, TypeError, ValueError, zlib.error, EOFError, ...
        raise InputError(f"{ref.path}: HDU {ref.hdu} cannot be read: {first_line(error)}") from error


def _unchanged(ref: ImageRef, window: Window) -> Place:
    """Where an image lies, to read a window of it; ChangedError where its file is not the one that was scanned."""
    there = place(ref.path)
    try:
        if isinstance(there, Url):
            # At most 8 bytes a pixel: all of the object at once, where about all is wanted.
            most = 8 * window.size * math.prod(ref.planes)
            there = there.with_head(ref.size) if ref.size <= most else there.with_head()
        stat = there.stat()
    except (OSError, MissingError) as error:
        raise _gone(ref, getattr(error, "strerror", None) or "there is no such object") from error
    if (stat.st_size, stat.st_mtime_ns) != (ref.size, ref.stamp):
        raise ChangedError(f"{ref.path}: has changed since the scan; scan again")
    return there


def _gone(ref: ImageRef, reason: str) -> ChangedError:
    return ChangedError(f"{ref.path}: cannot be read any more: {reason}; put it back, or scan again without it")


def _check_stream(hdu: Any) -> None:
    """Read a gzip stream to its end, if that comes with the last block of an image: only there is its checksum."""
    info = hdu.fileinfo()
    if info is not None and info["file"].compression == "gzip":
        stream = info["file"]._file  # the reading of its owner takes a wrong checksum for the end
        stream.seek(info["datLoc"] + info["datSpan"])
        stream.read(1)


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
        return _as_image(np.asarray(hdu.data).reshape(*planes, *grid.shape), hdu.header), grid


def pixels(path: str | Path) -> NDArray[Any]:
    """The pixels of a product that `FitsWriter` wrote, big-endian and mapped, not loaded."""
    with fits.open(path, memmap=True) as hdus:
        return np.asarray(hdus[0].data)


def product_digests(path: str | Place) -> tuple[str, str]:
    """The digest of a product's pixels by its header, and that which they have.

    Raises
    ------
    InputError
        If it is no product.
    """
    try:
        with brought(path) as copy, fits.open(copy, memmap=True) as hdus:
            told, pixels = hdus[0].header.get("DATAHASH"), hdus[0].data
            if not isinstance(told, str) or pixels is None or pixels.ndim not in (2, 3):
                raise InputError(f"{path}: its header has no DATAHASH: dmontage did not write it")
            return told, digest_of(pixels) if pixels.ndim == 2 else cube_digest(map(digest_of, pixels))
    except (OSError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: cannot be read: {first_line(error)}") from error


def _as_image(data: NDArray[Any], header: fits.Header) -> NDArray[Any]:
    """As `_as_float`; what float32 cannot hold is a sentinel such as 1e308: the store could only make it infinite."""
    out = _as_float(data, header)
    if out.dtype == np.float64 and (large := np.abs(out) > np.finfo(np.float32).max).any():
        out = np.where(large, np.nan, out)  # not in place: these may be the caller's own
    return out


def _as_mask(data: NDArray[Any], header: fits.Header) -> NDArray[Any]:
    if data.dtype.kind not in "iu":
        return _as_float(data, header)
    blank = _blank(header)
    out = np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("="))
    return out if blank is None else np.where(out == blank, -1, out.astype(np.int64))


def _as_float(data: NDArray[Any], header: fits.Header) -> NDArray[Any]:
    """Native floats: float32 where that holds the values, NaN where the file says BLANK."""
    wide = data.dtype.itemsize > (4 if data.dtype.kind == "f" else 2)
    blank = _blank(header)
    out = np.ascontiguousarray(data, dtype=np.float64 if wide else np.float32)
    if blank is not None and data.dtype.kind in "iu":  # where astropy made floats it has blanked them
        out[data == blank] = np.nan
    return out


def _blank(header: fits.Header) -> Any:
    """The value of integer pixels that are blank, after scaling; None without any."""
    blank = header.get("BLANK") if header["BITPIX"] > 0 else None
    return None if blank is None else blank * header.get("BSCALE", 1) + header.get("BZERO", 0)
