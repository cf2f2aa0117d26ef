"""Astropy's ImageNormalize, with blank pixels that stay blank.

This module is imported where it is used: its class is matplotlib's, which takes a second to import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.visualization import ImageNormalize

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

    def ticks(self, n: int = 7) -> NDArray[np.float64]:
        """About ``n`` round values for a colour bar, spread evenly over the brightness, within the limits.

        A linear locator would crowd them at one end: ``figure.colorbar(image, ticks=norm.ticks(), format="%g")``.
        """
        if self.vmin is None or self.vmax is None or not self.vmin < self.vmax:
            return np.empty(0)
        at = np.asarray(self.inverse(np.linspace(0.0, 1.0, n + 2)), dtype=np.float64)
        # Rounded to a tenth of the distance to the nearer neighbour, by a power of ten.
        near = np.minimum(at[1:-1] - at[:-2], at[2:] - at[1:-1])
        unit = 10.0 ** np.floor(np.log10(np.maximum(near, (self.vmax - self.vmin) * 1e-12)))
        return np.unique(np.clip(np.rint(at[1:-1] / unit) * unit, self.vmin, self.vmax))
