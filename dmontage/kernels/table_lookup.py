"""Values through a table of knots, by straight lines between them: `numpy.interp`, several times as fast.

Notation::

    knots, levels   the table: rising values, and what they become
    jumps           for each sign, exponent and first mantissa bits of a value where its search in knots begins

Knots of an image lie close together near the sky, and far apart in the stars: their spacing follows the powers of two
that the jumps are equal parts of, so that a search is over after a few steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dmontage.kernels._jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["jumps_of", "look_up"]

_SHIFT = 15  # 16 bits of a float32 are left: 65,536 jumps, within the second cache


def jumps_of(knots: NDArray[np.float64]) -> NDArray[np.int64]:
    """Where the search for a value that is not negative begins: the last knot not above the first value of its part."""
    firsts = (np.arange(1 << (31 - _SHIFT), dtype=np.uint32) << np.uint32(_SHIFT)).view(np.float32)
    firsts[~np.isfinite(firsts)] = np.inf
    # Values are rounded to float32 to find their part, perhaps into the next: begin one float32 lower.
    firsts = np.nextafter(firsts, np.float32(0))
    return np.clip(np.searchsorted(knots, firsts, side="right") - 1, 0, knots.size - 2)


@kernel
def look_up(
    values: NDArray[np.float64],
    knots: NDArray[np.float64],
    levels: NDArray[np.float64],
    jumps: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    """Levels of values (n,); those beyond the knots get the first or last level, NaN stays NaN.

    ``out`` may be ``values`` itself.
    """
    last = knots.size - 1
    scratch = np.empty(1, dtype=np.float32)
    bits = scratch.view(np.uint32)
    for i in range(values.size):
        v = values[i]
        if np.isnan(v):
            out[i] = np.nan
        elif v <= knots[0]:
            out[i] = levels[0]
        elif v >= knots[last]:
            out[i] = levels[last]
        else:
            scratch[0] = v
            k = jumps[bits[0] >> _SHIFT] if v > 0 else 0
            while knots[k + 1] <= v:
                k += 1
            out[i] = levels[k] + (levels[k + 1] - levels[k]) * ((v - knots[k]) / (knots[k + 1] - knots[k]))
