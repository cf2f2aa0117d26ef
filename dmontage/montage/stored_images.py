"""What mSubimage, mShrink and mFixNaN share: opening files in Montage's words, and cards of other pixels."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dmontage.errors import InputError
from dmontage.fits_files import read_stored
from dmontage.montage.inputs import check_file, named_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from astropy.io.fits import Header

    from dmontage.fits_files import Stored
    from dmontage.grid import Grid
    from dmontage.window import Window

    Choose = Callable[[tuple[int, int], Grid | None, str], Window]

__all__ = ["moved", "open_stored", "shrunk"]

_REFERENCE = re.compile(r"CRPIX([12])[A-Z]?")
_STEP = re.compile(r"CDELT[12][A-Z]?|CD[12]_[12][A-Z]?|[XY]PIXELSZ")
_SIP = re.compile(r"[AB]P?_(\d)_(\d)")
_NOT_SHRUNK = re.compile(r"CPDIS\d|D2IMDIS\d|D2IMEXT|CQDIS\d")


def open_stored(path: str, hdu: int, choose: Choose | None = None) -> Stored:
    """An image as it is stored; InputError in Montage's words where there is none, and as it is by ``choose``."""
    if isinstance(hdu, bool) or not isinstance(hdu, int) or hdu < 0:
        raise InputError(f"hdu {hdu!r} must be a whole number from 0")
    refusals: list[InputError] = []

    def chosen(*arguments: Any) -> Window:
        try:
            assert choose is not None
            return choose(*arguments)
        except InputError as error:
            refusals.append(error)
            raise

    try:
        with named_image(path):
            check_file(path)
            return read_stored(path, hdu, chosen if choose else None)
    except InputError:
        if refusals:  # which is no fault of the file
            raise refusals[0] from None
        raise


def moved(header: Header, x0: int, y0: int) -> dict[str, float]:
    """Cards that are others where pixels are counted from (x0, y0)."""
    found = {}
    for key in header:
        if match := _REFERENCE.fullmatch(key):
            found[key] = header[key] - (x0 if match[1] == "1" else y0)
        elif key in ("LTV1", "LTV2"):
            found[key] = header[key] - (x0 if key == "LTV1" else y0)
        elif key in ("CNPIX1", "CNPIX2"):
            found[key] = header[key] + (x0 if key == "CNPIX1" else y0)
    return found


def shrunk(header: Header, factor: float) -> dict[str, float]:
    """Cards that are others where pixels are ``factor`` times as wide.

    Raises
    ------
    InputError
        Where the header has distortions that do not scale.
    """
    if bad := next((key for key in header if _NOT_SHRUNK.fullmatch(key)), None):
        raise InputError(f"mShrink: {bad}: this kind of distortion cannot be shrunk; project the image (mProject)")
    found = {}
    for key in header:
        if _REFERENCE.fullmatch(key):
            found[key] = (header[key] - 0.5) / factor + 0.5
        elif _STEP.fullmatch(key):
            found[key] = header[key] * factor
        elif key in ("CNPIX1", "CNPIX2", "LTM1_1", "LTM2_2"):  # a DSS plate's pixels, and those of a detector
            found[key] = header[key] / factor
        elif key in ("LTV1", "LTV2"):
            found[key] = (header[key] - 0.5) / factor + 0.5
        elif match := _SIP.fullmatch(key):
            found[key] = header[key] * factor ** (int(match[1]) + int(match[2]) - 1)
    return found
