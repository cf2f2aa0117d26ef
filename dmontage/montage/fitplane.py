"""mFitplane: a plane through an image, and where its pixels lie.

Planes are ``a x + b y + c``, x and y counted from zero at the first pixel, less CRPIX: so all images of one projection
tell theirs in the same coordinates.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.errors import InputError
from dmontage.fits_files import read
from dmontage.kernels.plane_fit import fit_plane
from dmontage.montage.answer import NothingThereError
from dmontage.montage.covered import reference_pixel
from dmontage.montage.inputs import plane_in
from dmontage.montage.least_box import boxes_around, hull_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.grid import Grid

    Floats = NDArray[np.float64]

__all__ = ["FIT_COLUMNS", "fitted", "mFitplane"]

FIT_COLUMNS: dict[str, type] = {
    "a": float, "b": float, "c": float, "crpix1": float, "crpix2": float, "xmin": float, "xmax": float, "ymin": float,
    "ymax": float, "xcenter": float, "ycenter": float, "npixel": int, "rms": float, "boxx": float, "boxy": float,
    "boxwidth": float, "boxheight": float, "boxang": float,
}  # fmt: skip
"""What is told of a fit, in Montage's order."""

_FEWEST = 3
"""Pixels that fix a plane."""


def mFitplane(
    input_file: str, nofit: bool = False, levelOnly: bool = False, border: int = 0, debug: int = 0
) -> dict[str, Any]:
    """Fit a plane to an image, its sources clipped.

    Parameters
    ----------
    input_file
        The image.
    nofit
        Only tell where the pixels lie.
    levelOnly
        A clipped mean; slopes are zero.
    border
        Pixels on each side that do not count.
    debug
        Not used.

    Returns
    -------
    dict
        "a", "b", "c" of ``a x + b y + c``, x and y in pixels counted from zero, less "crpix1" and "crpix2"; "xmin",
        "xmax", "ymin", "ymax" of the pixels with values; "xcenter", "ycenter", the mean of those kept, "npixel" their
        number, and "rms" the standard deviation about the plane, what was clipped allowed for; "boxx", "boxy",
        "boxwidth", "boxheight", "boxang", the smallest rectangle about the pixels: its middle, its sides, and the
        direction of the first from x to y in degrees.
    """
    image = plane_in(input_file)
    return fitted(np.asarray(read(image), np.float64), image.grid, input_file, nofit, levelOnly, border)


def fitted(
    values: Floats, grid: Grid, name: str, nofit: bool = False, level_only: bool = False, border: int = 0
) -> dict[str, Any]:
    """What mFitplane tells of an image in memory."""
    ny, nx = values.shape
    if border < 0:
        raise InputError(f"border is {border}; give 0 or more")
    inner = values[border : max(ny - border, border), border : max(nx - border, border)]
    good = np.isfinite(inner)
    if min(inner.shape, default=0) < 2 or int(good.sum()) < _FEWEST:
        blank = " (all pixels are blank)" if inner.size and not good.any() else ""
        raise NothingThereError(
            f"Too few pixels to fit: {name} has {int(good.sum())}{blank}, {_FEWEST} are needed, in 2 rows and columns"
        )
    crpix = np.array(reference_pixel(grid))
    first = border - crpix  # x, y of inner's first pixel
    ys, xs = np.flatnonzero(good.any(axis=1)), np.flatnonzero(good.any(axis=0))
    low, high = np.array([xs[0], ys[0]]), np.array([xs[-1], ys[-1]])
    found = _no_fit(good) if nofit else _fit(inner, (low + high) / 2, level_only)
    # The plane is told about its origin; c is what it has where x and y are zero.
    at = found.origin + first
    c = found.level - float(found.slopes @ at)
    center, box = found.center + first, _box(np.isfinite(values))
    numbers = [*found.slopes, c, *crpix, low[0] + first[0], high[0] + first[0], low[1] + first[1], high[1] + first[1],
               *center, found.n_kept, found.rms, box.x - crpix[0], box.y - crpix[1], *box[2:]]  # fmt: skip
    return {name: kind(number) for (name, kind), number in zip(FIT_COLUMNS.items(), numbers, strict=True)}


class _Found(NamedTuple):
    """A plane about an origin, and the mean of its pixels; x, y in pixels of the array."""

    level: float
    slopes: Floats
    origin: Floats
    center: Floats
    n_kept: int
    rms: float


def _no_fit(good: NDArray[np.bool_]) -> _Found:
    y, x = np.nonzero(good)
    return _Found(0.0, np.zeros(2), np.zeros(2), np.array([x.mean(), y.mean()]), x.size, 0.0)


def _fit(inner: Floats, middle: Floats, level_only: bool) -> _Found:
    x0, y0 = middle.tolist()
    fit = fit_plane(inner, 0, 0, x0, y0, level_only=level_only)
    center = _no_fit(np.isfinite(inner)).center
    if fit.information[0, 0] > 0:  # n (1, x, y) over a variance: its parts give the mean
        center = middle + fit.information[0, 1:] / fit.information[0, 0]
    return _Found(fit.level, np.array([fit.slope_x, fit.slope_y]), middle, center, fit.n_kept, fit.rms)


class _Box(NamedTuple):
    x: float
    y: float
    width: float
    """From the first pixel's middle to the last one's, along the direction of the angle."""
    height: float
    angle: float
    """From x to y, degrees, above 0 and at most 90."""


def _box(good: NDArray[np.bool_]) -> _Box:
    """The smallest rectangle about the middles of pixels: one side of it lies on a side of their convex hull."""
    ends = _ends_of_rows(good)
    boxes = boxes_around(ends[hull_of(ends)])
    sizes = boxes.high - boxes.low
    best = int(np.argmin(sizes.prod(axis=1) + 1e-9 * sizes[:, 0]))  # of two that are alike that with the shorter first
    along, across = (boxes.low[best] + boxes.high[best]) / 2
    cos, sin = np.cos(boxes.angles[best]), np.sin(boxes.angles[best])
    x, y = along * cos - across * sin, along * sin + across * cos
    return _Box(*(round(float(number), 9) for number in (x, y, *sizes[best], math.degrees(boxes.angles[best]))))


def _ends_of_rows(good: NDArray[np.bool_]) -> Floats:
    """(n, 2) x, y of the first and the last pixel of each row: the convex hull of all has its corners among them."""
    rows = np.flatnonzero(good.any(axis=1))
    some = good[rows]
    first, last = some.argmax(axis=1), good.shape[1] - 1 - some[:, ::-1].argmax(axis=1)
    return np.concatenate([np.column_stack([first, rows]), np.column_stack([last, rows])]).astype(np.float64)
