"""The table of the sets of images that a mosaic's pixels are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["source_table"]


def source_table(sets: Sequence[Sequence[int]], names: Sequence[str]) -> Any:
    """A binary table SOURCES with a row for each image of each set.

    Parameters
    ----------
    sets
        Numbers of the images in sets 1, 2, ...
    names
        Of the images; letters beyond ASCII, which FITS has not, are escaped as in Python.
    """
    number = np.repeat(np.arange(1, len(sets) + 1), [len(each) for each in sets]).astype(np.int32)
    index = np.array([image for each in sets for image in each], np.int32)
    plain = [name.encode("ascii", "backslashreplace").decode() for name in names]
    width = max(map(len, plain), default=1)
    columns = [
        fits.Column("NUMBER", "J", array=number),
        fits.Column("INDEX", "J", array=index),
        fits.Column("IMAGE", f"{width}A", array=np.array(plain, f"U{width}")[index]),
    ]
    return fits.BinTableHDU.from_columns(columns, name="SOURCES")
