"""Images as they are stored: numbers without their scale, and the whole header, for tools that cut or mend files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from astropy.io import fits

from dmontage.aside import aside
from dmontage.errors import InputError
from dmontage.fits_files.common import first_line, quiet
from dmontage.fits_files.structure import hdu_starts
from dmontage.grid import Grid
from dmontage.headers import card_text, table_hdus
from dmontage.places import place
from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["Stored", "read_stored", "write_stored"]

_OF_FILE = re.compile(
    r"SIMPLE|XTENSION|EXTEND|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|GROUPS|EXTNAME|EXTVER|EXTLEVEL|CHECKSUM|DATASUM|DATAHASH"
)
"""Cards that belong to an HDU's place and form in its file."""
_SCALE = ("BSCALE", "BZERO", "BLANK")
_TABLES = re.compile(r"(CPDIS|CPERR|DP|D2IMDIS|D2IMERR|D2IM|AXISCORR)\d*(\..*)?|D2IMEXT")
"""Cards that ask for lookup tables."""


class Stored(NamedTuple):
    """An image of a file, or a window of one, with the header of the whole."""

    pixels: NDArray[Any]
    """(..., ny, nx) as they lie there, native: BSCALE, BZERO and BLANK are yet to be applied."""
    header: fits.Header
    """All cards but those of the image's place and form in the file."""
    window: Window
    """The pixels that were read."""
    grid: Grid | None
    """Of the whole image; None where its header tells none."""
    why: str = ""
    """Why there is no grid."""

    def values(self) -> NDArray[np.float64]:
        """Pixels (..., ny, nx) as numbers that mean what they are, NaN for blank."""
        scale, zero = (float(self.header.get(key, usual)) for key, usual in (("BSCALE", 1.0), ("BZERO", 0.0)))
        values = self.pixels.astype(np.float64) * scale + zero
        if self.pixels.dtype.kind in "iu" and "BLANK" in self.header:
            values[self.pixels == self.header["BLANK"]] = np.nan
        return values

    def with_values(self, values: NDArray[Any]) -> Stored:
        """The image with other pixels, which mean what they are."""
        header = self.header.copy()
        for key in _SCALE:
            header.remove(key, ignore_missing=True)
        return self._replace(pixels=values, header=header)


def read_stored(
    path: str | Path, hdu: int = 0, choose: Callable[[tuple[int, int], Grid | None, str], Window] | None = None
) -> Stored:
    """An image, with or without a WCS; HDU 0 stands for the only one of a file that has none there.

    Parameters
    ----------
    choose
        Tells the pixels to read by the shape (ny, nx), the grid, and why there is none; all are read without it.

    Raises
    ------
    InputError
        If it is no FITS file, or it has no such image.
    """
    there = place(path)
    try:
        n_hdus = len(hdu_starts(there, there.stat().st_size))
        with quiet, fits.open(str(there), memmap=False, do_not_scale_image_data=True) as hdus:
            images = [k for k in range(n_hdus) if hdus[k].is_image and len(hdus[k].shape) >= 2]
            number = images[0] if hdu == 0 and len(images) == 1 else hdu
            if number not in images:
                held = f"its images are in HDUs {', '.join(map(str, images))}" if images else "it has none"
                raise InputError(f"HDU {hdu} is no image; {held}")
            grid, why = _grid(hdus[number], hdus)
            shape = hdus[number].shape[-2:]
            window = choose(shape, grid, why) if choose else Window.of_shape(shape)
            lead = (slice(None),) * (len(hdus[number].shape) - 2)
            pixels = np.asarray(hdus[number].section[(*lead, *window.slices)])
            cards = [card for card in hdus[number].header.cards if not _OF_FILE.fullmatch(card.keyword)]
            for card in cards:
                card.verify("silentfix")  # such as text without quotes, which astropy would not write again
            native = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
            return Stored(native, fits.Header(cards), window, grid, why)
    except InputError:
        raise
    except Exception as error:  # damage shows as OSError, TypeError, ValueError, zlib.error, EOFError, ...
        raise InputError(getattr(error, "strerror", None) or f"cannot be read: {first_line(error)}") from error


def _grid(hdu: Any, hdus: fits.HDUList) -> tuple[Grid | None, str]:
    try:
        return Grid.from_header(hdu.header, hdu.shape, hdus), ""
    except InputError as error:
        return None, str(error)


def write_stored(path: str | Path, image: Stored, changed: dict[str, float], grid: Grid | None = None) -> None:
    """Write an image as the first of a file, beside its name first, and renamed when whole.

    Parameters
    ----------
    changed
        Values of cards that are others now, written with all their digits.
    grid
        Where the pixels lie now, if that asks for lookup tables, which are written behind.
    """
    header = image.header.copy()
    extra: list[Any] = []
    if grid is not None and grid.has_tables:
        header = fits.Header([card for card in header.cards if not _TABLES.fullmatch(card.keyword)])
        for card in grid.to_header(naxis=False).cards:
            if card.field_specifier is not None:
                header.append(card, end=True)
            else:
                header[card.keyword] = card.value
        extra = table_hdus(grid.tables)
    for key, value in changed.items():
        header[key] = value
    header = fits.Header(
        [fits.Card.fromstring(card_text(c.keyword, changed[c.keyword])) if c.keyword in changed else c
         for c in header.cards]  # astropy itself would cut the digits
    )  # fmt: skip
    first = fits.PrimaryHDU(image.pixels, header)
    first.header.update({key: header[key] for key in _SCALE if key in header})  # which astropy takes for its own
    with quiet, aside(Path(path)) as part:
        fits.HDUList([first, *extra]).writeto(part)
