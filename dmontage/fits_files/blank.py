"""Blank: images that say nothing, told from a row of each that does say something."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from dmontage.fits_files.reader import read
from dmontage.window import Window

if TYPE_CHECKING:
    from dmontage.model import ImageRef

__all__ = ["only_value"]

_SAMPLED = (0.5, 0.25, 0.75)
"""Rows that are read first, as parts of the image's height: one is enough unless the image is a suspect."""


def only_value(ref: ImageRef) -> float | None:
    """The one value that all pixels have which are not blank; NaN where all are blank, None where values differ.

    Raises
    ------
    InputError
        As `read`.
    """
    ny, nx = ref.grid.shape
    rows = dict.fromkeys(int(part * ny) for part in _SAMPLED)
    low, high = math.inf, -math.inf
    for window in (*(Window(y, y + 1, 0, nx) for y in rows), ref.grid.window):
        values = read(ref, window)
        values = values[np.isfinite(values)]
        low, high = min(low, float(values.min(initial=np.inf))), max(high, float(values.max(initial=-np.inf)))
        if low < high:
            return None
    return low if low == high else math.nan
