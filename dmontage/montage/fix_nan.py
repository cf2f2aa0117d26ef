"""mFixNaN: values to NaN, and NaN to values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.errors import InputError
from dmontage.fits_files import write_stored
from dmontage.montage.stored_images import open_stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dmontage.grid import Grid

__all__ = ["mFixNaN"]

_ROWS = 512
"""Of pixels that are asked for their place on the sky at once."""


def mFixNaN(
    input_file: str,
    output_file: str,
    haveVal: bool,
    NaNvalue: float,
    nMinMax: int,
    minblank: Sequence[float],
    ismin: Sequence[int],
    maxblank: Sequence[float],
    ismax: Sequence[int],
    boundaries: bool = False,
    debug: int = 0,
) -> dict[str, Any]:
    """Make pixels of some values blank, or give blank pixels a value.

    Parameters
    ----------
    input_file
        The image.
    output_file
        float64 for it all; "-" for no file.
    haveVal, NaNvalue
        Whether what is blank gets a value, and which.
    nMinMax, minblank, ismin, maxblank, ismax
        Ranges of values that are blank, both ends included: from each ``minblank`` to ``maxblank``; with ``ismin`` to
        no end, with ``ismax`` from none, with both as with neither.
    boundaries
        Make pixels blank whose centre is not on the sky, such as those around an all-sky map.
    debug
        Not used.

    Returns
    -------
    dict
        "rangeCount" pixels in the ranges, "nanCount" these and, with ``haveVal``, those that were blank,
        "boundaryCount" pixels that are not on the sky.
    """
    ranges = _ranges(nMinMax, minblank, ismin, maxblank, ismax)
    image = open_stored(input_file, 0)
    values = image.values()
    was_blank = np.isnan(values)
    inside = np.zeros(values.shape, bool)
    for low, high in ranges:
        inside |= (values >= low) & (values <= high)
    values[inside] = np.nan
    n_blank = int(inside.sum() + (was_blank.sum() if haveVal else 0))
    if haveVal:
        values[was_blank | inside] = NaNvalue
    off = 0
    if boundaries:
        if image.grid is None:
            raise InputError(f"{input_file}: no WCS, which boundaries needs: {image.why}")
        beyond = _off_sky(image.grid)
        values[..., beyond] = np.nan
        off = int(beyond.sum())
    if output_file != "-":
        write_stored(output_file, image.with_values(values), {}, image.grid)
    return {"rangeCount": int(inside.sum()), "nanCount": n_blank, "boundaryCount": off}


def _ranges(
    n: int, low: Sequence[float], no_end: Sequence[int], high: Sequence[float], no_start: Sequence[int]
) -> list[tuple[float, float]]:
    lists = {"minblank": low, "ismin": no_end, "maxblank": high, "ismax": no_start}
    for name, values in lists.items():
        if n and (values is None or len(values) < n):
            raise InputError(f"mFixNaN: {name} has fewer than nMinMax = {n} values")
    found = []
    for k in range(n):
        both = no_start[k] and no_end[k]  # is a range with both ends, as in Montage
        least = -np.inf if no_start[k] and not both else float(low[k])
        most = np.inf if no_end[k] and not both else float(high[k])
        if not least <= most:
            raise InputError(f"mFixNaN: range {k} goes from {least} to {most}: give the lower value first")
        found.append((least, most))
    return found


def _off_sky(grid: Grid) -> NDArray[np.bool_]:
    """Pixels (ny, nx) whose centre is not on the sky."""
    wcs, x = grid.wcs(), np.arange(grid.shape[1], dtype=float)[None, :]
    rows = [np.arange(band.y0, band.y1, dtype=float)[:, None] for band in grid.window.bands(_ROWS)]
    return np.concatenate([np.isnan(grid.sky(x, y, wcs)).any(axis=-1) for y in rows])
