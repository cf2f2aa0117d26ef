"""The table of the bands that the planes of a cube are of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["band_table"]


def band_table(names: Sequence[str], units: Sequence[str], zero_points: Sequence[float | None]) -> Any:
    """A binary table BANDS with a row for each plane, numbered from 1; a zero point that is none is NaN."""
    columns = [
        fits.Column("NUMBER", "J", array=np.arange(1, len(names) + 1, dtype=np.int32)),
        fits.Column("BAND", f"{max(map(len, names))}A", array=np.array(names)),
        fits.Column("BUNIT", f"{max(1, *map(len, units))}A", array=np.array(units)),
        fits.Column("MAGZP", "D", array=np.array(zero_points, np.float64), unit="mag"),
    ]
    return fits.BinTableHDU.from_columns(columns, name="BANDS")
