"""Figures: a picture of a grid on axes that know the sky, at a size told in pixels.

The axes' box is laid out in whole pixels of the figure, so a picture that is drawn at its own width keeps its own
pixels, bit for bit. Objects only: no pyplot, no state of the process. Overlays (`dmontage.view.overlay` and its
neighbours) draw onto the axes; `render` and `write_figure` then make the margins as wide as the labels need.
"""

from __future__ import annotations

import math
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.aside import aside
from dmontage.errors import InputError
from dmontage.view.bar import even_ticks
from dmontage.view.grid_wcs import GridWCS
from dmontage.view.layout import MARGIN, box_of, inches, make_room, part, size_of

if TYPE_CHECKING:
    from astropy.visualization.wcsaxes import WCSAxes
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dmontage.grid import Grid

__all__ = [
    "color_bar", "empty_figure", "figure", "grid_wcs", "hide_coord", "outlined", "render", "whole_labels",
    "write_figure",
]  # fmt: skip

_INCHES = 8.0
"""A figure is as a page this wide: text grows with the picture."""
_LEAST_DPI = 72.0
_MOST_PIXELS = 1 << 28
_SUFFIXES = ("png", "jpg", "jpeg", "pdf", "svg")


def figure(
    picture: Any,
    grid: Grid,
    *,
    width: int | None = None,
    step: int | None = None,
    norm: Any = None,
    cmap: Any = "gray",
    bare: bool = False,
    dpi: float | None = None,
) -> tuple[Figure, WCSAxes]:
    """A picture of a grid, with the grid's coordinates on its axes.

    Parameters
    ----------
    picture
        Data (h, w), y upwards as in FITS, blank being NaN; or a ready picture (h, w, 3 or 4) of uint8, y downwards as
        in a PNG. Either is the whole grid, or its mean over squares of s × s pixels from the first pixel on, the last
        ones cut by the grid's edge.
    grid
        Of the unshrunk pixels.
    width
        Of the axes' box in pixels of the figure; by default the picture's own, and each pixel is drawn as it is.
    step
        Side s of those squares; by default the least that makes a picture of this size, as
        `dmontage.view.shrink.step_for` has it.
    norm, cmap
        How data are shown: a matplotlib norm (by default `dmontage.view.norm.norm` of the data), a colour map.
    bare
        The picture alone, with nothing beside it: the figure has the size of the picture.
    dpi
        Pixels per inch, which sets the size of text; by default such that the picture is 8 inches wide.

    Returns
    -------
    figure, axes
        A matplotlib Figure with the Agg canvas; axes whose data coordinates are the grid's pixels.

    Raises
    ------
    InputError
        If the picture is not the grid's, or the width is not 1 or more.
    """
    picture = np.asarray(picture)
    _check_picture(picture)
    shape = picture.shape[:2]
    step = _step(shape, grid.shape, step)
    drawn, axes = empty_figure(grid, width or shape[1], bare=bare, dpi=dpi, box=(shape[0] * step, shape[1] * step))
    extent = (-0.5, shape[1] * step - 0.5, -0.5, shape[0] * step - 0.5)
    # At their own size pixels are copied: rounding of the extent must not have them interpolated.
    style = {"extent": extent, "interpolation": "nearest" if width in (None, shape[1]) else None}
    if picture.ndim == 3:
        axes.imshow(picture[::-1], **style)
        return drawn, axes
    if norm is None:
        from dmontage.view.norm import norm as usual

        norm = usual(picture)
    axes.imshow(picture, cmap=cmap, norm=norm, **style)
    return drawn, axes


def empty_figure(
    grid: Grid,
    width: int,
    *,
    bare: bool = False,
    dpi: float | None = None,
    box: tuple[int, int] | None = None,
) -> tuple[Figure, WCSAxes]:
    """Axes of a grid without a picture; ``box`` (ny, nx) are the pixels shown, by default all of the grid."""
    from astropy.visualization.wcsaxes import WCSAxes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ny, nx = box or grid.shape
    height = max(round(width * ny / nx), 1)
    if width < 1 or width * height > _MOST_PIXELS:
        raise InputError(f"width {width} makes {width} × {height} pixels: give 1 or more, of {_MOST_PIXELS} in all")
    dpi = max(_LEAST_DPI, width / _INCHES) if dpi is None else dpi
    margin = 0 if bare else math.ceil(MARGIN * dpi)
    size = width + 2 * margin, height + 2 * margin
    drawn = Figure(figsize=inches(size, dpi), dpi=dpi)
    FigureCanvasAgg(drawn)
    axes = WCSAxes(drawn, part((margin, margin, width, height), size), wcs=GridWCS(grid))
    drawn.add_axes(axes)
    axes.set(xlim=(-0.5, nx - 0.5), ylim=(-0.5, ny - 0.5), autoscale_on=False)
    for coord in axes.coords:
        whole_labels(coord)
    if bare:
        drawn.patch.set_alpha(0.0)
        axes.coords.frame.set_linewidth(0.0)
        axes.patch.set_alpha(0.0)
        for coord in axes.coords:
            hide_coord(coord)
    return drawn, axes


def render(drawn: Figure) -> NDArray[np.uint8]:
    """The figure as a picture (h, w, 4), y downwards; labels beside the axes have the room they need.

    Parameters
    ----------
    drawn
        A figure of `figure`.

    Returns
    -------
    (h, w, 4) uint8
        Red, green, blue and opacity.
    """
    canvas: Any = drawn.canvas
    make_room(drawn)
    canvas.draw()
    return np.array(canvas.buffer_rgba())


def write_figure(drawn: Figure, path: str | Path) -> None:
    """Write the figure as PNG, JPEG, PDF or SVG, by the name's ending; aside first, and renamed when whole.

    Parameters
    ----------
    drawn
        A figure of `figure`.
    path
        Ends in ``.png``, ``.jpg``, ``.jpeg``, ``.pdf`` or ``.svg``.

    Raises
    ------
    InputError
        For any other ending.
    """
    path = Path(path)
    kind = path.suffix[1:].lower()
    if kind not in _SUFFIXES:
        raise InputError(f"{path}: a figure is written as {', '.join(_SUFFIXES)}; name it so")
    make_room(drawn)
    with aside(path) as part:
        drawn.savefig(part, format=kind, dpi=drawn.dpi, facecolor=drawn.get_facecolor())


def color_bar(axes: Axes, shown: Any, label: str = "") -> Axes:
    """A colour bar at the right of the axes, outside of what is labelled there.

    Parameters
    ----------
    axes
        Of `figure`.
    shown
        What is drawn there and has a norm: an image, a collection.
    label
        Of the values, as their unit.

    Returns
    -------
    Axes
        Those of the bar.
    """
    drawn: Any = axes.figure
    canvas: Any = drawn.canvas
    x0, y0, width, height = box_of(axes)
    outer = axes.get_tightbbox(canvas.get_renderer())
    left = math.ceil(max(x0 + width, outer.x1 if outer else 0.0) + 0.12 * drawn.dpi)
    beside = drawn.add_axes(part((left, y0, max(round(0.18 * drawn.dpi), 1), height), size_of(drawn)))
    even_ticks(drawn.colorbar(shown, cax=beside, label=label), shown.norm)
    return beside  # type: ignore[no-any-return]


def grid_wcs(axes: Any) -> GridWCS:
    """The grid's WCS behind axes; InputError for axes of another make."""
    wcs = getattr(axes, "wcs", None)
    if not isinstance(wcs, GridWCS):
        raise InputError(f"{type(axes).__name__} has no grid: make the axes by dmontage.view.figure.figure")
    return wcs


def outlined(color: Any) -> list[Any]:
    """Path effects that keep lines and text readable on any sky: dark edges of light ones, light edges of dark ones."""
    from matplotlib.colors import to_rgb
    from matplotlib.patheffects import withStroke

    # Of sRGB; at 0.18 black and white contrast alike, by the formula of WCAG.
    luminance = float(np.dot(np.power(to_rgb(color), 2.2), (0.2126, 0.7152, 0.0722)))
    return [withStroke(linewidth=2.8, foreground="black" if luminance > 0.18 else "white", alpha=0.6)]


def hide_coord(coord: Any) -> None:
    """No ticks and no labels of a coordinate; its lines stay."""
    coord.set_ticks_visible(False)
    coord.set_ticklabel_visible(False)
    coord.set_auto_axislabel(False)
    coord.set_axislabel("")


def whole_labels(coord: Any, **style: Any) -> None:
    """Labels such as "0°20′", not "20′" beside a neighbour's degrees; astropy 6.1 has no choice."""
    whole = {"simplify": False} if "simplify" in signature(coord.set_ticklabel).parameters else {}
    coord.set_ticklabel(**style, **whole)


def _check_picture(picture: NDArray[Any]) -> None:
    ready = picture.ndim == 3 and picture.shape[2] in (3, 4) and picture.dtype == np.uint8
    if not (ready or picture.ndim == 2) or 0 in picture.shape:
        raise InputError(
            f"the picture has shape {picture.shape} of {picture.dtype}; give data (h, w), or uint8 (h, w, 3 or 4)"
        )


def _step(shape: tuple[int, ...], whole: tuple[int, int], step: int | None) -> int:
    """Side of the squares that the picture's pixels are means over."""
    step = max(-(-n // m) for n, m in zip(whole, shape, strict=True)) if step is None else step
    if step < 1 or any(-(-n // step) != m for n, m in zip(whole, shape, strict=True)):
        raise InputError(
            f"a picture of {shape[1]} × {shape[0]} is not the grid's {whole[1]} × {whole[0]} shrunk by {step}"
        )
    return step
