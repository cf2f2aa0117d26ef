"""Headers as a file has them: all cards of an HDU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from astropy.io import fits

from dmontage.errors import InputError, UnreachableError
from dmontage.fits_files.common import first_line, quiet
from dmontage.fits_files.opening import opened
from dmontage.fits_files.structure import hdu_starts
from dmontage.places import MissingError, Place, place

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_header"]


def read_header(path: str | Path | Place, hdu: int = 0) -> fits.Header:
    """The header of an HDU, a compressed image's as that of the image; its cards are as the file has them.

    Raises
    ------
    InputError
        If there is no such file or HDU, or it is no FITS file.
    """
    there = place(path)
    try:
        starts = hdu_starts(there, there.stat().st_size)
        if not 0 <= hdu < len(starts):
            raise InputError(f"there is no HDU {hdu}: the last is {len(starts) - 1}")
        with quiet, opened(there) as hdus:
            return _as_there(hdus[hdu])
    except UnreachableError:
        raise
    except (OSError, MissingError) as error:
        raise InputError(f"{there}: {getattr(error, 'strerror', None) or first_line(error)}") from error
    except InputError as error:
        raise InputError(f"{there}: {error}") from error
    except Exception as error:  # damage shows as TypeError, ValueError, VerifyError, EOFError, ...
        raise InputError(f"{there}: not a readable FITS file: {first_line(error)}") from error


def _as_there(hdu: Any) -> fits.Header:
    """The cards of an HDU's own bytes: astropy adds some to what it opens, such as EXTEND."""
    if isinstance(hdu, fits.CompImageHDU):
        return hdu.header.copy()
    where = hdu.fileinfo()
    where["file"].seek(where["hdrLoc"])
    raw = where["file"].read(where["datLoc"] - where["hdrLoc"])
    return fits.Header.fromstring(raw)
