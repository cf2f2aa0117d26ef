"""A grey PNG of a mosaic: the mean over squares of pixels, an interval, a stretch.

Notation: a square of ``step`` × ``step`` pixels of the mosaic makes one pixel of the picture, ``step`` being the least
that fits the picture into its largest side. The mosaic is read a band of whole squares at a time, so its size is
limited by the disk and not by memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

from dmontage.aside import aside
from dmontage.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Pixels", "shrink", "write_png"]

_BAND = 1 << 22  # pixels read at a time
_PERCENTILES = (1.0, 99.9)  # leaves the sky's own noise dark, and only the cores of stars white
_ASINH_SOFTENING = 0.1  # of the interval: linear below, logarithmic above


class Pixels(Protocol):
    """Anything two-dimensional that gives its rows as a numpy array: an array, a memory map of a file, a zarr array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(ny, nx)."""
        ...

    def __getitem__(self, rows: slice, /) -> Any:
        """Rows of pixels."""
        ...


def write_png(
    path: Path,
    data: Pixels,
    max_side: int = 2000,
    stretch: str = "asinh",
    interval: str | tuple[float, float] = "percentile",
) -> tuple[int, int]:
    """Write a mosaic as a grey PNG, with y upwards as FITS has it and blank pixels transparent.

    Parameters
    ----------
    path
        The picture; written beside it first, and renamed when whole.
    data
        Pixels (y, x) of any real type and byte order; what is not finite is blank.
    max_side
        Largest side of the picture; a larger mosaic is shrunk by a whole factor, to means over squares of its pixels.
    stretch
        From the interval to grey: ``"asinh"``, ``"linear"``, ``"log"`` or ``"sqrt"``.
    interval
        Values shown from black to white: ``"percentile"`` (1 to 99.9), ``"zscale"`` (IRAF's), or the two values.

    Returns
    -------
    (ny, nx)
        Size of the picture.

    Raises
    ------
    InputError
        Data that are not two-dimensional or wholly blank, or an unknown stretch or interval.
    """
    if len(data.shape) != 2 or 0 in data.shape:
        raise InputError(f"the data have shape {data.shape}; a picture needs (ny, nx), so give one plane")
    if max_side < 1:
        raise InputError(f"max_side is {max_side}; give 1 or more pixels")
    values = shrink(data, -(-max(data.shape) // max_side))
    if not np.isfinite(values).any():
        raise InputError(f"all {data.shape[0]} × {data.shape[1]} pixels are blank, so there is nothing to show")
    grey = _to_grey(values, stretch, interval)[::-1]
    alpha = np.where(np.isfinite(values), 255, 0).astype(np.uint8)[::-1]
    _save(Image.fromarray(grey if alpha.all() else np.dstack([grey, alpha])), path)
    return grey.shape[0], grey.shape[1]


def shrink(data: Pixels, step: int) -> NDArray[np.float64]:
    """Means over squares of ``step`` × ``step`` pixels, of those that are finite; NaN where none is.

    The squares are counted from the first pixel, and those cut by the last row or column are means of what there is.
    """
    ny, nx = data.shape
    shrunk = np.empty((-(-ny // step), -(-nx // step)))
    rows = max(1, _BAND // (nx * step)) * step
    starts = np.arange(0, nx, step)
    for y0 in range(0, ny, rows):
        band = np.array(data[y0 : y0 + rows], dtype=np.float64)
        good = np.isfinite(band)
        band[~good] = 0
        steps = np.arange(0, len(band), step)
        total = np.add.reduceat(np.add.reduceat(band, steps, axis=0), starts, axis=1)
        count = np.add.reduceat(np.add.reduceat(good, steps, axis=0, dtype=np.int64), starts, axis=1)
        mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
        shrunk[y0 // step : y0 // step + len(steps)] = mean
    return shrunk


def _to_grey(values: NDArray[np.float64], stretch: str, interval: str | tuple[float, float]) -> NDArray[np.uint8]:
    """Grey levels 0-255; blank pixels are 255, so that viewers without transparency show them white."""
    good = np.isfinite(values)
    low, high = _limits(values[good], interval)
    brightness = _stretch(stretch)
    # A constant picture has no interval: it is mid-grey.
    grey = brightness((np.clip(values[good], low, high) - low) / (high - low)) if high > low else 0.5
    shades = np.full(values.shape, 255, dtype=np.uint8)
    shades[good] = np.rint(255 * grey)
    return shades


def _limits(values: NDArray[np.float64], interval: str | tuple[float, float]) -> tuple[float, float]:
    from astropy.visualization import AsymmetricPercentileInterval, ZScaleInterval

    if not isinstance(interval, str):
        low, high = interval
        if not low < high:
            raise InputError(
                f"the interval is {low} to {high}; give the value of black first, and a larger one of white"
            )
    elif interval == "percentile":
        low, high = AsymmetricPercentileInterval(*_PERCENTILES).get_limits(values)
    elif interval == "zscale":
        low, high = ZScaleInterval().get_limits(values)
    else:
        raise InputError(f"the interval is {interval!r}; give percentile, zscale, or two values")
    return float(low), float(high)


def _stretch(name: str) -> Any:
    """A map of [0, 1] onto itself, for arrays."""
    from astropy.visualization import AsinhStretch, LinearStretch, LogStretch, SqrtStretch

    stretches = {
        "asinh": AsinhStretch(_ASINH_SOFTENING),
        "linear": LinearStretch(),
        "log": LogStretch(),
        "sqrt": SqrtStretch(),
    }
    if name not in stretches:
        raise InputError(f"the stretch is {name!r}; give one of {', '.join(stretches)}")
    return stretches[name]


def _save(image: Image.Image, path: Path) -> None:
    with aside(path) as part:
        image.save(part, format="PNG")
