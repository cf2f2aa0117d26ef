"""A whole array into a FITS file: a pair of pixels and areas, as Montage's programs hand them on, is two of these."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from dmontage.aside import aside
from dmontage.headers import table_hdus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike

    from dmontage.grid import Grid

__all__ = ["write_image"]


def write_image(
    path: str | Path, array: ArrayLike, grid: Grid, cards: Iterable[tuple[str, Any] | tuple[str, Any, str]] = ()
) -> None:
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
    data = np.asarray(array, np.float64)
    if data.shape[-2:] != grid.shape:
        raise ValueError(f"pixels of shape {data.shape} are none of a grid of {grid.shape}")
    header = grid.to_header(naxis=False)
    for card in cards:
        header.append(card, end=True)
    hdus = fits.HDUList([fits.PrimaryHDU(data, header), *table_hdus(grid.tables)])
    with aside(Path(path)) as part:
        hdus.writeto(part)
