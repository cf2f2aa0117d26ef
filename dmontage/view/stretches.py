"""The adaptive histogram equalisations of the Montage papers, as stretches of astropy and matplotlib.

Notation::

    r     rank: fraction of the image's pixels that lie below a value
    g     Φ⁻¹(r), the value that a normal distribution has at that rank
    D     g at the high limit minus g at the low one

A stretch by g turns the pixels into normally distributed brightness: the sky's noise gets most of the grey levels,
and stars of any brightness some. It is a table, as in Montage's mViewer: `N_LEVELS` levels at chosen g, and straight
lines between them. This module is imported where it is used: its classes are astropy's, which takes a second to import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.visualization import BaseStretch
from scipy.special import ndtr, ndtri

from dmontage.errors import InputError
from dmontage.kernels.table_lookup import jumps_of, look_up

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.view.histogram import Histogram

__all__ = ["N_LEVELS", "GaussianLogStretch", "GaussianStretch", "TableStretch"]

N_LEVELS = 256


class TableStretch(BaseStretch):  # type: ignore[misc]
    """Straight lines through a table.

    Parameters
    ----------
    knots : (k,)
        From 0 to 1, never falling. Where several are alike the stretch has a step.
    levels : (k,)
        What they become, likewise.
    """

    def __init__(self, knots: NDArray[np.float64], levels: NDArray[np.float64]) -> None:
        self.knots = np.asarray(knots, dtype=np.float64)
        self.levels = np.asarray(levels, dtype=np.float64)
        for name, table in (("knots", self.knots), ("levels", self.levels)):
            rising = table.ndim == 1 and table.size > 1 and (np.diff(table) >= 0).all()
            if table.shape != self.knots.shape or not rising or table[0] < 0 or table[-1] > 1:
                raise InputError(
                    f"the {name} of a stretch are {table}; give two rows of one length, rising from 0 to 1"
                )
        self._jumps = jumps_of(self.knots)

    def __call__(self, values: Any, clip: bool = True, out: Any = None) -> Any:
        """Levels of values; those outside 0 to 1 get the first or last one, clipped or not. NaN stays NaN."""
        values = np.asarray(values, dtype=np.float64)
        result = np.empty(values.shape) if out is None or out.dtype != np.float64 or not out.flags.c_contiguous else out
        look_up(np.ascontiguousarray(values).reshape(-1), self.knots, self.levels, self._jumps, result.reshape(-1))
        if out is None:
            return result
        if result is not out:
            out[...] = result
        return out

    @property
    def inverse(self) -> TableStretch:
        """From levels to values."""
        return TableStretch(self.levels, self.knots)


class GaussianStretch(TableStretch):
    """Levels at equal steps of g, from the low limit to the high one.

    Parameters
    ----------
    pixels
        The image's histogram.
    low, high
        Limits in value, the first below the second; the stretch takes them as 0 and 1.

    Raises
    ------
    InputError
        Limits out of order.
    """

    def __init__(self, pixels: Histogram, low: float, high: float) -> None:
        if not low < high:
            raise InputError(f"the limits of a stretch are {low} and {high}; give black first, and white above it")
        self.low, self.high = float(low), float(high)
        levels = np.linspace(0.0, 1.0, N_LEVELS)
        knots = levels
        if pixels.n:
            # The first and the last pixel are half a pixel within the image's distribution, not at ±∞.
            half = 0.5 / pixels.n
            first, last = ndtri(np.clip(pixels.rank([low, high]), half, 1 - half))
            if first < last:
                at = pixels.smooth_quantile(ndtr(self.steps(first, last)))
                knots = np.maximum.accumulate((np.clip(at, low, high) - low) / (high - low))
                knots[0], knots[-1] = 0.0, 1.0
        super().__init__(knots, levels)

    @staticmethod
    def steps(first: float, last: float) -> NDArray[np.float64]:
        """The g of the levels."""
        return np.linspace(first, last, N_LEVELS)


class GaussianLogStretch(GaussianStretch):
    """Levels whose distances in g from the high limit are in equal ratios: more of them for what is bright.

    Level j of 1 to 255 lies D^((256 - j)/255) below the high limit, the last one at it: so the first is at the low
    limit, and what is within 1 of the high limit has the last step. Where D is below 4 all distances are D/4 of those
    of 4: with Montage's own formula the levels of a narrow range fall together, or run backwards (D < 1).
    """

    @staticmethod
    def steps(first: float, last: float) -> NDArray[np.float64]:
        """The g of the levels."""
        ratio = max(last - first, 4.0)
        down = ratio ** np.linspace(1.0, 0.0, N_LEVELS) * ((last - first) / ratio)
        down[-1] = 0.0
        return last - down
