"""Plot: a mosaic, or a cutout, on matplotlib's axes with the sky's coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.errors import InputError
from dmontage.grid import Grid
from dmontage.grid.lattice import pixel_offsets
from dmontage.pipeline import Cutout, Mosaic
from dmontage.view.bar import add_color_bar
from dmontage.view.screen import check_layer, screen_pixels

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from dmontage.window import Window

__all__ = ["new_axes", "place_on", "plot", "unit_of"]

_SAME_PIXELS = 1e-3
"""Of a pixel, to which the pixels of two WCS agree that are told by other cards."""


def plot(
    value: Mosaic | Cutout,
    ax: Any,
    *,
    layer: str,
    stretch: str | None,
    low: Any,
    high: Any,
    max_side: int,
    colorbar: bool,
    **style: Any,
) -> Any:
    """Draw a mosaic or a cutout; see `dmontage.shown.Pictured.plot`."""
    from dmontage.view.norm import COUNTS, norm, usual

    mosaic, window = (value.mosaic, value.window) if isinstance(value, Cutout) else (value, value.grid.window)
    check_layer(mosaic, layer)
    if max_side < 1:
        raise InputError(f"max_side is {max_side}; give 1 or more pixels")
    first = (0, 0) if ax is None else place_on(ax, value, window)
    step = -(-max(window.shape) // max_side)
    with mosaic.one_bar("plot", hidden="cutout") as each:
        values = screen_pixels(mosaic, window, step, layer, each)
    if not np.isfinite(values).any():
        raise InputError(f"all {window.shape[0]} × {window.shape[1]} pixels are blank, so there is nothing to show")
    if "norm" not in style:
        style["norm"] = norm(values, *usual(layer, stretch, low, high))
    is_new = ax is None
    ax = new_axes(value.grid) if ax is None else ax
    shown = ax.imshow(
        values, **{"origin": "lower", "cmap": "gray", "extent": _extent(first, values.shape, step)} | style
    )
    if is_new:
        ny, nx = window.shape
        ax.set(xlim=(-0.5, nx - 0.5), ylim=(-0.5, ny - 0.5))
    if colorbar:
        add_color_bar(ax, shown, unit_of(mosaic, layer), whole=layer in COUNTS)
    return ax


def new_axes(grid: Grid) -> Any:
    """Axes of a new figure of pyplot's, whose data coordinates are a grid's pixels."""
    from matplotlib import pyplot as plt

    from dmontage.view.figure import whole_labels
    from dmontage.view.grid_wcs import GridWCS

    # No constrained layout: it measures labels of the limits before, and collapses when they are zoomed.
    figure = plt.figure(figsize=(7.0, 5.6))
    figure.subplots_adjust(right=0.86)  # room for the labels of a bar
    axes = figure.add_subplot(projection=GridWCS(grid))
    for coord in axes.coords:
        whole_labels(coord)
    return axes


def unit_of(mosaic: Mosaic, layer: str) -> str:
    """What a layer's values are told in."""
    unit = mosaic.plan.bunit
    if layer == "data":
        return unit or "value"
    return {"area": "covered fraction, summed", "variance": f"({unit or 'value'})²"}.get(layer, layer)


def _extent(first: tuple[int, int], shape: tuple[int, ...], step: int) -> tuple[float, float, float, float]:
    """Where a picture lies, in pixels of the axes; ``first`` (x, y) is its first."""
    x, y = first
    return x - 0.5, x + shape[1] * step - 0.5, y - 0.5, y + shape[0] * step - 0.5


def place_on(ax: Any, value: Mosaic | Cutout, window: Window) -> tuple[int, int]:
    """The pixel (x, y) of given axes where the first of the value lies.

    A cutout may be drawn on the axes of its mosaic, and both on those of an astropy WCS with the same pixels. Axes
    without coordinates of the sky count the value's own pixels.
    """
    wcs = getattr(ax, "wcs", None)
    grid = getattr(wcs, "grid", None)
    if wcs is None or grid == value.grid:
        return 0, 0
    if isinstance(value, Cutout) and grid == value.mosaic.grid:
        return window.x0, window.y0
    first = _first_pixel(wcs, value.grid) if grid is None and getattr(wcs, "has_celestial", False) else None
    if first is None:
        raise InputError(
            "the axes are those of another grid: give axes that plot() of the same mosaic made, or whose projection is "
            "its grid.wcs(), or none"
        )
    return first


def _first_pixel(wcs: WCS, grid: Grid) -> tuple[int, int] | None:
    """The pixel (x, y) of an astropy WCS that is the first of a grid; None where the two have other pixels."""
    try:
        there = Grid.from_header(wcs, grid.shape)
    except InputError:
        return None
    steps = pixel_offsets(there, grid)
    steps = steps[np.isfinite(steps).all(axis=1)]
    if not len(steps) or np.abs(steps - np.rint(steps[0])).max() > _SAME_PIXELS:
        return None
    x, y = np.rint(steps[0])
    return int(x), int(y)
