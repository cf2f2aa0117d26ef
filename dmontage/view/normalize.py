"""Astropy's ImageNormalize, with blank pixels that stay blank.

This module is imported where it is used: its class is matplotlib's, which takes a second to import.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.visualization import ImageNormalize, LinearStretch

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Norm"]

_PIECE = 1 << 16  # pixels that stay in the cache through all steps


class Norm(ImageNormalize):  # type: ignore[misc]
    """From values to 0..1, clipped; what is masked or not finite stays so.

    Astropy's own, when it clips, shows masked pixels as the brightest: and matplotlib masks all that are NaN. The
    stretch was made for the limits ``vmin`` and ``vmax``; for other limits make another norm.
    """

    def __call__(self, values: Any, clip: bool | None = None, invalid: float | None = None) -> Any:
        """Stretched values as a masked array, float32 where the values are."""
        if np.ndim(values) == 0 or self.vmin is None or self.vmax is None:
            return super().__call__(values, clip, invalid)
        mask = np.ma.getmask(values)
        data = np.ma.getdata(values)
        result = np.empty(data.shape, dtype=np.float32 if data.dtype == np.float32 else np.float64)
        source, target = data.reshape(-1), result.reshape(-1)
        for i in range(0, source.size, _PIECE):
            piece = source[i : i + _PIECE].astype(np.float64)
            piece[np.isinf(piece)] = np.nan
            target[i : i + _PIECE] = super().__call__(piece, clip, invalid).data
        return np.ma.array(result, mask=mask, copy=False)

    def __repr__(self) -> str:
        stretch = type(self.stretch).__name__.removesuffix("Stretch")
        ends = ("?" if end is None else f"{float(end):g}" for end in (self.vmin, self.vmax))
        return f"<Norm {stretch} from {' to '.join(ends)}>"

    def ticks(self, n: int = 7, *, whole: bool = False) -> NDArray[np.float64]:
        """About ``n`` round values for a colour bar, spread evenly over the brightness, within the limits.

        A linear locator would crowd them at one end: ``figure.colorbar(image, ticks=norm.ticks(), format="%g")``, or
        `dmontage.view.bar.add_color_bar`. Each is the roundest value within a quarter of a step of its even place.

        Parameters
        ----------
        n
            About how many.
        whole
            Take whole numbers only, as counts have.

        Returns
        -------
        float64
            Values, the lowest first.
        """
        if self.vmin is None or self.vmax is None or not self.vmin < self.vmax:
            return np.empty(0)
        if isinstance(self.stretch, LinearStretch):
            from matplotlib.ticker import MaxNLocator

            locator = MaxNLocator(max(n - 1, 1), integer=whole)
            round_ones = np.asarray(locator.tick_values(self.vmin, self.vmax), dtype=np.float64)
            return np.asarray(round_ones[(round_ones >= self.vmin) & (round_ones <= self.vmax)])
        at = np.arange(1, n + 1) / (n + 1)
        low, high = (
            np.asarray(self.inverse(at + side * 0.25 / (n + 1)), dtype=np.float64).tolist() for side in (-1.0, 1.0)
        )
        values = [_roundest(*ends) for ends in zip(low, high, strict=True)]
        if whole:
            values = [float(round(value)) for value in values]
        return np.unique([value for value in values if self.vmin <= value <= self.vmax])


def _roundest(low: float, high: float) -> float:
    """The value of an interval with the fewest digits: a multiple of the largest 1, 2 or 5 times a power of ten.

    At most 6 digits of it: a step of a stretch has an interval that is empty, or as wide as the last bit.
    """
    if low <= 0 <= high:
        return 0.0
    least = max(high - low, max(abs(low), abs(high)) * 1e-5)
    power = math.ceil(math.log10(max(abs(low), abs(high))))
    middle = 0.5 * (low + high)
    while 10.0**power > 0.1 * least:
        for unit in (5 * 10.0**power, 2 * 10.0**power, 10.0**power):
            value = round(middle / unit) * unit
            if low <= value <= high:
                return float(f"{value:.12g}")
        power -= 1
    return float(f"{middle:.6g}")
