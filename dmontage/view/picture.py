"""A picture of one image: shrunk, stretched, in grey or the colours of a map.

A picture is an array (ny, nx, 4) of red, green, blue and opacity, 0 to 255, whose first row is at the top: FITS rows
grow upwards, so that it is the mosaic upside down, and north stays up. Blank pixels are transparent, and white for
viewers that know no transparency.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.errors import InputError
from dmontage.view.adjust import Adjustment
from dmontage.view.norm import norm
from dmontage.view.shrink import shrink, step_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from dmontage.view.shrink import Pixels

    RGBA = NDArray[np.uint8]

__all__ = ["BLANK", "check_norm", "paint", "picture", "row_bands"]

BLANK = (255, 255, 255, 0)
"""Colour of blank pixels."""

_BAND = 1 << 18  # pixels coloured at a time, all their steps in the cache


def picture(
    data: Pixels,
    *,
    stretch: str = "gaussian-log",
    low: str | float = "-2s",
    high: str | float | None = None,
    cmap: Any = "gray",
    max_side: int | None = 2000,
    brightness: float = 1.0,
    contrast: float = 1.0,
    **options: Any,
) -> RGBA:
    """Make a picture of an image of any size.

    Parameters
    ----------
    data
        Pixels (y, x) of any real type and byte order: an array, a memory map, a zarr array, a lazy dask array. It is
        read once, in memory bounded by its chunks, not by its size. What is not finite is blank.
    stretch, low, high, **options
        From values to shades, as `dmontage.view.norm.norm` has it; of the pixels that are shown, after the shrinking.
    cmap
        A matplotlib colour map, or its name.
    max_side
        Largest side of the picture; a larger image is shrunk by a whole factor, to means over squares of its pixels.
        None shows every pixel.
    brightness, contrast
        Factors b and c on the colours v of 0 to 1: b v, and then 1/2 + c (v - 1/2), clipped at the end.

    Returns
    -------
    (ny, nx, 4)
        uint8: red, green, blue and opacity (0 where blank, else 255), the first row at the top. An image that is
        blank throughout gives a transparent picture, and one of a single value mid-grey.

    Raises
    ------
    InputError
        Data that are not real numbers (ny, nx), or have no pixels; an unknown stretch, range, or colour map.
    """
    step = step_for(data.shape, max_side)
    table = colours_of(cmap, Adjustment(brightness, contrast)).view(np.uint32)[:, 0]
    check_norm(stretch, low, high, options)
    values = shrink(data, step)
    normal = norm(values, stretch, low, high, **options)
    shown = np.empty((*values.shape, 4), np.uint8)

    def paint_rows(rows: slice, target: RGBA) -> None:
        units = np.ma.getdata(normal(values[rows]))
        levels = np.where(np.isnan(units), 256, np.rint(255 * units)).astype(np.intp)
        target.view(np.uint32)[..., 0] = table[levels]

    paint(shown, paint_rows)
    return shown


def check_norm(stretch: str, low: str | float, high: str | float | None, options: dict[str, Any]) -> None:
    """InputError of what `norm` does not understand, before pixels are read for it: a blank one will do."""
    norm(np.full((1, 1), np.nan), stretch, low, high, **options)


def paint(shown: RGBA, paint_rows: Callable[[slice, RGBA], None]) -> None:
    """Fill a picture, some rows of the image at a time, on the threads of this machine.

    What paints them is given rows of the image, and where these are in the picture, turned so that both run alike.
    """
    upwards = shown[::-1]
    with ThreadPoolExecutor() as pool:
        for _ in pool.map(lambda rows: paint_rows(rows, upwards[rows]), row_bands(*shown.shape[:2])):
            pass  # an error is raised here


def row_bands(ny: int, nx: int) -> Iterator[slice]:
    """All rows of an image, some at a time."""
    rows = max(1, _BAND // nx)
    for y in range(0, ny, rows):
        yield slice(y, y + rows)


def colours_of(cmap: Any, adjustment: Adjustment) -> RGBA:
    """(257, 4): the colours of 256 shades from low to high, and of blank."""
    adjustment.check()
    shades = np.linspace(0, 1, 256)
    if isinstance(cmap, str) and cmap == "gray":  # saves the 0.3 s of matplotlib's import
        colours = np.repeat(shades[:, None], 3, axis=1)
    else:
        from matplotlib import colormaps
        from matplotlib.colors import Colormap

        if not isinstance(cmap, Colormap) and cmap not in colormaps:
            raise InputError(f"the colour map is {cmap!r}; give one of matplotlib's, such as gray, viridis or inferno")
        colours = (cmap if isinstance(cmap, Colormap) else colormaps[cmap])(shades)[:, :3]
    table = np.full((257, 4), 255, np.uint8)
    table[:256, :3] = np.rint(255 * adjustment.of(colours))
    table[256] = BLANK
    return table
