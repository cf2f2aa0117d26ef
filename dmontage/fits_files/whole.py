"""Whole arrays into FITS files: a pair of pixels and areas, as Montage's programs hand them on, is two of these."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from dmontage.aside import write_together
from dmontage.errors import InputError
from dmontage.fits_files.common import quiet
from dmontage.fits_files.opening import opened
from dmontage.headers import is_wcs_card, table_hdus

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike

    from dmontage.grid import Grid
    from dmontage.model import ImageRef

    Cards = Iterable[tuple[str, Any] | tuple[str, Any, str]]

__all__ = ["other_cards", "write_image", "write_images"]

_STRUCTURE = re.compile(
    r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|[PG]COUNT|GROUPS|INHERIT|BSCALE|BZERO|BLANK|DATAM(IN|AX)|WCSAXES"
    r"|CHECKSUM|DATASUM|DATAHASH|TFIELDS|T(TYPE|FORM)\d+"
    r"|Z(IMAGE|SIMPLE|TENSION|BITPIX|(NAXIS|TILE|NAME|VAL)\d*|CMPTYPE|QUANTIZ|DITHER0|BLANK|HECKSUM|DATASUM)"
    r"|C(TYPE|UNIT|RVAL|RPIX|DELT|ROTA)\d|(CD|PC)\d_\d|PC00\d00\d|(CPDIS|D2IM(DIS|ERR|ARR)?)\d?|D[PQ]\d"
)
"""What says how the pixels are stored, and what the WCS says."""
_STANDARD = re.compile(r"\s*(FITS \(Flexible Image Transport|and Astrophysics', volume 376)")
"""What cfitsio says in each file that it writes."""


def write_image(path: str | Path, array: ArrayLike, grid: Grid, cards: Cards = ()) -> None:
    """Write an image, or a cube, as float64, beside its name first, and renamed when whole.

    Parameters
    ----------
    array
        (..., ny, nx) of the grid's shape; NaN is blank.
    grid
        Its cards are written with all their digits, its tables as HDUs behind.
    cards
        (keyword, value) or (keyword, value, comment), behind those of the grid.

    Raises
    ------
    InputError
        Where it cannot be written, or the grid is a WCS object, for which there are no cards.
    """
    write_images([(path, array, grid, cards)])


def write_images(images: Sequence[tuple[str | Path, ArrayLike, Grid, Cards]]) -> None:
    """Write images that belong together, as `write_image` does: all get their names when all are whole, the last last.

    Raises
    ------
    InputError
        Where one cannot be written: then what was there before stays as it was, of those that come before it too.
    """
    write_together([(Path(path), partial(_write, array, grid, cards)) for path, array, grid, cards in images])


def _write(array: ArrayLike, grid: Grid, cards: Cards, path: Path) -> None:
    data = np.asarray(array, np.float64)
    if data.shape[-2:] != grid.shape:
        raise ValueError(f"pixels of shape {data.shape} are none of a grid of {grid.shape}")
    header = grid.to_header(naxis=False)
    for card in cards:
        header.append(card, end=True)
    fits.HDUList([fits.PrimaryHDU(data, header), *table_hdus(grid.tables)]).writeto(path)


def other_cards(ref: ImageRef) -> list[tuple[str, Any, str]]:
    """The cards of an image's header that tell neither its WCS nor how its pixels are stored: unit, object, history."""
    with quiet, opened(ref.path) as hdus:
        cards = []
        for card in hdus[ref.hdu].header.cards:
            try:
                card.verify("silentfix")  # such as text without quotes
                cards.append((card.keyword, card.value, card.comment))
            except fits.VerifyError as error:
                raise InputError(f"{ref.path}: cannot read the card {card.keyword}: {error}") from error
    return [card for card in cards if not _is_told(*card[:2])]


def _is_told(key: str, value: Any) -> bool:
    """Whether the grid, or the file, says it anyway."""
    return (
        not key
        or _STRUCTURE.fullmatch(key.split(".", maxsplit=1)[0]) is not None
        or is_wcs_card(key)
        or (key == "COMMENT" and _STANDARD.match(str(value)) is not None)
    )
