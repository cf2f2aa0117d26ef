"""Headers as a file has them: all cards of an HDU, and the pixels of one under other cards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits

from dmontage.aside import aside
from dmontage.errors import InputError, UnreachableError
from dmontage.fits_files.common import first_line, quiet
from dmontage.fits_files.opening import opened
from dmontage.fits_files.structure import hdu_starts
from dmontage.places import MissingError, place

if TYPE_CHECKING:
    from dmontage.places import Place

__all__ = ["read_header", "replace_header"]

_OWN = ("SIMPLE", "XTENSION", "BITPIX", "NAXIS", "EXTEND", "PCOUNT", "GCOUNT", "BSCALE", "BZERO", "BLANK", "CHECKSUM",
        "DATASUM", "END")  # fmt: skip
"""Keywords that tell how pixels are stored."""


def read_header(path: str | Place, hdu: int = 0) -> fits.Header:
    """The header of an HDU, a compressed image's as that of the image; its cards are as the file has them.

    Raises
    ------
    InputError
        If there is no such file or HDU, or it is no FITS file.
    """
    return _read(place(path), hdu)[0]


def replace_header(source: str | Path, target: str | Path, header: fits.Header, hdu: int = 0) -> None:
    """Write an image under other cards: its pixels as float64, beside its name first, and renamed when whole.

    Parameters
    ----------
    header
        All cards but those of how pixels are stored; NAXIS1, NAXIS2, ..., where it has any, must be those of the image.

    Raises
    ------
    InputError
        If the image cannot be read, has another shape, or the file cannot be written.
    """
    data = _read(place(source), hdu, pixels=True)[1]
    if data is None:
        raise InputError(f"{source}: HDU {hdu} holds no image")
    sides = {f"NAXIS{i}": side for i, side in enumerate(reversed(data.shape), 1)}
    told = {key: header[key] for key in header if key.startswith("NAXIS") and key[5:].isdigit()}
    if different := {key: value for key, value in told.items() if value != sides.get(key, 1)}:
        raise InputError(f"the header's {different} are not the image's {sides}")
    new = header.copy(strip=False)
    for key in (*_OWN, *told):
        new.remove(key, ignore_missing=True, remove_all=True)
    with aside(Path(target)) as part, quiet:
        fits.PrimaryHDU(np.asarray(data, np.float64), new).writeto(part)


def _read(there: Place, hdu: int, *, pixels: bool = False) -> tuple[fits.Header, np.ndarray | None]:
    try:
        starts = hdu_starts(there, there.stat().st_size)
        if not 0 <= hdu < len(starts):
            raise InputError(f"there is no HDU {hdu}: the last is {len(starts) - 1}")
        with quiet, opened(there) as hdus:
            return hdus[hdu].header.copy(), np.array(hdus[hdu].data) if pixels and hdus[hdu].is_image else None
    except UnreachableError:
        raise
    except (OSError, MissingError) as error:
        raise InputError(f"{there}: {getattr(error, 'strerror', None) or first_line(error)}") from error
    except InputError as error:
        raise InputError(f"{there}: {error}") from error
    except Exception as error:  # damage shows as TypeError, ValueError, VerifyError, EOFError, ...
        raise InputError(f"{there}: not a readable FITS file: {first_line(error)}") from error
