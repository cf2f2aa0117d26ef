"""How many pixels have which value: counts in bins that are equal parts of each power of two.

Notation::

    bits    of a pixel, rounded to float32
    key     of the pixel: KEY_ZERO ± its magnitude's bits, so that keys are uint32 and sort as the numbers do; 0 = -0
    level   keys are counted in bins of 2^level of them: bin = key >> level, so that bins of all levels are nested
    page    PAGE neighbouring bins; pages are made as pixels fall into them

Neighbouring floats have neighbouring keys: a bin of level L has the relative width 2^(L-23) to 2^(L-24).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmontage.kernels._jit import kernel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["KEY_ZERO", "PAGE_BITS", "count_values"]

KEY_ZERO = 0x80000000
"""The key of zero; -inf has KEY_ZERO - 0x7F800000."""

PAGE_BITS = 7
_PAGE_MASK = (1 << PAGE_BITS) - 1
_MAGNITUDE = 0x7FFFFFFF
_INFINITY = 0x7F800000


@kernel
def count_values(
    bits: NDArray[np.uint32],
    start: int,
    level: int,
    table: NDArray[np.int16],
    numbers: NDArray[np.int64],
    counts: NDArray[np.int64],
    n_pages: int,
) -> tuple[int, int]:
    """Count pixels from ``start`` on, until there is no room for one more page.

    Parameters
    ----------
    bits : (n,)
        Pixels as float32, seen as integers. NaN and infinities are blank, and are not counted.
    table : (2^32 >> (level + PAGE_BITS),)
        For each possible page where it is in ``counts``, plus 1; 0 where it is not. Changed in place.
    numbers : (room,)
        Which pages are in ``counts``; room for 2^15 - 1 at most. Changed in place.
    counts : (room, 2^PAGE_BITS)
        Changed in place.
    n_pages
        Pages there are.

    Returns
    -------
    tuple of int
        The first pixel that was not counted (``n`` when all are), and the pages there are.
    """
    for i in range(start, bits.size):
        b = int(bits[i])
        magnitude = b & _MAGNITUDE
        if magnitude >= _INFINITY:
            continue
        key = KEY_ZERO + magnitude if b == magnitude else KEY_ZERO - magnitude
        number = key >> (level + PAGE_BITS)
        page = table[number] - 1
        if page < 0:
            if n_pages == numbers.size:
                return i, n_pages
            page = n_pages
            n_pages += 1
            numbers[page] = number
            table[number] = n_pages
        counts[page, (key >> level) & _PAGE_MASK] += 1
    return bits.size, n_pages
