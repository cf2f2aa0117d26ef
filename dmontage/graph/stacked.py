"""Stacked: all values of a pixel side by side, for medians and clipped means (level 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dmontage.graph.clip_limits import clip_limits
from dmontage.kernels import stack
from dmontage.kernels.clip import reject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dmontage.graph.combine import Part
    from dmontage.window import Window

__all__ = ["NO_PLANES", "Stack"]

_ROUNDING = 2.0**-21
"""Of a value before its plane is taken off: four times what the rounding of flux and weight to float32 may do to it."""

NO_PLANES = np.zeros((0, 0, 0), np.float32)


class Stack(NamedTuple):
    """All values of a band, (n, ny, nx) each; NaN where a part does not contribute."""

    numbers: list[int]
    """Of the parts."""
    values: NDArray[np.float64]
    areas: NDArray[np.float64]
    shares: NDArray[np.float64]
    """Their weights in a weighted mean or median."""
    rounding: NDArray[np.float32]
    """What values may be off by rounding; (0, 0, 0) but for a clipped mean, and so are the variances."""
    variances: NDArray[np.float32]

    @classmethod
    def of(cls, band: Window, parts: Sequence[Part], combine: str, *, weighted: bool) -> Stack:
        """What some parts have in a band."""
        inside = [(k, part, part.window & band) for k, part in enumerate(parts) if part.window & band]
        shape = (len(inside), *band.shape)
        own = weighted and any(part.weight is not None or part.factor != 1.0 for _, part, _ in inside)
        clipped = combine == "clip"
        known = clipped and any(part.variance is not None for _, part, _ in inside)
        values, areas = np.full(shape, np.nan), np.zeros(shape)
        shares = np.zeros(shape) if own else areas
        rounding = np.zeros(shape, np.float32) if clipped else NO_PLANES
        variances = np.zeros(shape, np.float32) if known else NO_PLANES
        for k, (_, part, w) in enumerate(inside):
            mine, here = w.relative_to(part.window).slices, w.relative_to(band).slices
            flux, divisor, covered = part.flux[mine], part.divisor[mine], part.area[mine]
            stack.values(flux, divisor, covered, part.plane, w.y0, w.x0, part.least(combine), values[k][here])
            areas[k][here] = covered
            if own:
                np.multiply(divisor, part.factor, out=shares[k][here], dtype=np.float64)
            if clipped:
                np.divide(np.abs(flux) * np.float32(_ROUNDING), divisor, out=rounding[k][here], where=divisor > 0.0)
            if known and part.variance is not None:
                variances[k][here] = part.variance[mine]
        return cls([number for number, _, _ in inside], values, areas, shares, rounding, variances)

    def clip(self, clip: tuple[float, float] | None) -> NDArray[np.int32]:
        """Make NaN of what is rejected, in place, and count it."""
        assert clip is not None
        rejected = np.zeros(self.values.shape[1:], np.int32)
        tables = clip_limits(len(self.values), clip, known=len(self.variances) > 0)
        reject(self.values, self.rounding, self.variances, *tables, rejected)
        return rejected
