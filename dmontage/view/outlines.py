"""Outlines of images on a picture of the sky, and the coverage map of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.errors import InputError
from dmontage.sphere import lengths, rotate_frame
from dmontage.view.figure import empty_figure, grid_wcs, outlined
from dmontage.view.layout import pixels_per_pixel
from dmontage.view.overlay import coordinate_grid
from dmontage.view.signs import inside
from dmontage.view.trace import edge_of, traced

if TYPE_CHECKING:
    from astropy.visualization.wcsaxes import WCSAxes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox
    from numpy.typing import NDArray

    from dmontage.grid import Grid

    Floats = NDArray[np.float64]

__all__ = ["Outline", "coverage", "outline", "outlines"]

_TOLERANCE = 0.3
"""Pixels of the figure between an outline and the true edge."""
_NAMED = 30
"""Images up to which a coverage map names them."""
_FILL_SIDE = 1000
"""Largest side of the mask by which an image that a seam cuts is filled."""


class Outline(NamedTuple):
    """One image's edge on a grid."""

    name: str
    pieces: list[Floats]
    """Polylines (n, 2) of pixels x, y."""
    closed: bool
    """Whether they are one ring."""


def outline(image: Any, axes: WCSAxes) -> Outline:
    """The true edge of an image, or Grid, on a picture: its pixels' outer edge, curved as the two maps have it."""
    grid = _grid_of(image)
    way, t = edge_of(grid, grid_wcs(axes))
    pieces = traced(way, t, _TOLERANCE * pixels_per_pixel(axes), (*axes.get_xlim(), *axes.get_ylim()))
    closed = len(pieces) == 1 and np.allclose(pieces[0][0], pieces[0][-1], rtol=0.0, atol=1e-6)
    return Outline(getattr(image, "name", ""), pieces, closed)


def outlines(
    axes: WCSAxes,
    images: Any,
    *,
    color: Any = "cyan",
    alpha: float = 1.0,
    linewidth: float = 1.0,
    fill: float = 0.0,
    names: bool = False,
) -> int:
    """The outlines of images.

    Parameters
    ----------
    axes
        Of `dmontage.view.figure.figure`.
    images
        What `dmontage.scan` gives, a plan, or a sequence of images or Grids.
    color
        One colour, or a sequence of them that is gone through again and again.
    fill
        Opacity with which they are filled, 0 to 1; where several overlap they add up.
    names
        Write the images' names at their middles, but those that would cover another.
    alpha, linewidth
        Opacity of the lines, 0 to 1; their width in points.

    Returns
    -------
    int
        How many of them are seen in the picture; what is off the projection is left out.
    """
    from matplotlib.collections import LineCollection, PolyCollection
    from matplotlib.colors import to_rgba_array

    images = list(getattr(images, "images", images))
    colors = to_rgba_array(color)
    seen = 0
    taken: list[Bbox] = []
    for k, image in enumerate(images):
        drawn, shade = outline(image, axes), colors[k % len(colors)]
        visible = [piece for piece in drawn.pieces if _touches(axes, piece)]
        axes.add_collection(LineCollection(visible, colors=[shade], alpha=alpha, linewidths=linewidth), autolim=False)
        filled = bool(visible)
        if drawn.closed and fill:
            body = PolyCollection(drawn.pieces, facecolors=[shade], edgecolors="none", alpha=fill)
            axes.add_collection(body, autolim=False)
        elif not drawn.closed and (fill or not visible):
            covered, extent = _covered(_grid_of(image), axes)
            filled = bool(covered.any())
            if fill and filled:
                picture = np.zeros((*covered.shape, 4))
                picture[covered] = [*shade[:3], fill]
                axes.imshow(picture, extent=extent, interpolation="nearest", aspect="auto")
        seen += filled or bool(visible)
        if names and drawn.name:
            taken = _name(axes, image, shade, taken)
    return seen


def coverage(images: Any, grid: Grid, *, width: int = 800, names: bool | None = None) -> Figure:
    """A map of where images lie on a grid: their outlines, filled, so that depth shows, and their names if few.

    Parameters
    ----------
    images
        As for `outlines`.
    width
        Of the map, in pixels.
    names
        Whether images are named; by default up to 30 of them.
    grid
        Of the map.

    Returns
    -------
    Figure
        matplotlib's.
    """
    refs = list(getattr(images, "images", images))
    if not refs:
        raise InputError("there are no images to show: give at least one")
    figure, axes = empty_figure(grid, width)
    coordinate_grid(axes, color="0.4")
    alpha = max(0.5 / len(refs) ** 0.5, 0.04)
    outlines(axes, refs, color="tab:blue", fill=alpha, names=len(refs) <= _NAMED if names is None else names)
    return figure


def _grid_of(image: Any) -> Grid:
    from dmontage.grid import Grid

    grid = getattr(image, "grid", image)
    if not isinstance(grid, Grid):
        raise InputError(f"{image!r} is no image: give what dmontage.scan finds, a plan, or Grids")
    return grid


def _touches(axes: WCSAxes, piece: Floats) -> bool:
    """Whether the box about a polyline meets the picture."""
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    (left, low), (right, high) = piece.min(axis=0), piece.max(axis=0)
    return bool(left <= x1 and right >= x0 and low <= y1 and high >= y0)


def _covered(grid: Grid, axes: WCSAxes) -> tuple[NDArray[np.bool_], tuple[float, float, float, float]]:
    """The picture's points, on a mesh of its own, that lie in an image; and the mesh's extent."""
    wcs = grid_wcs(axes)
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    step = max(pixels_per_pixel(axes), max(x1 - x0, y1 - y0) / _FILL_SIDE)
    nx, ny = (max(round(side / step), 1) for side in (x1 - x0, y1 - y0))
    x = x0 + (np.arange(nx) + 0.5) * (x1 - x0) / nx
    y = y0 + (np.arange(ny) + 0.5) * (y1 - y0) / ny
    vectors = rotate_frame(wcs.sky(*np.meshgrid(x, y)), wcs.grid.frame, grid.frame)
    good = np.asarray(np.isfinite(vectors).all(axis=-1))
    own = grid.wcs()
    with np.errstate(invalid="ignore"):
        px, py = grid.pixel(vectors[good], own)
        # Polynomials of distortion may bring back far places: what does not come back is not there.
        back = lengths(grid.sky(px, py, own) - vectors[good]) < grid.scale
    height, width = grid.shape
    good[good] = back & (np.abs(px - (width - 1) / 2) <= width / 2) & (np.abs(py - (height - 1) / 2) <= height / 2)
    return good, (x0, x1, y0, y1)


def _name(axes: WCSAxes, image: Any, color: Any, taken: list[Bbox]) -> list[Bbox]:
    """Write the image's name at the middle of it, unless it covers another; the boxes of all names."""
    grid, onto = _grid_of(image), grid_wcs(axes)
    y, x = (np.array((n - 1) / 2) for n in grid.shape)
    x, y = onto.pixel(rotate_frame(grid.sky(x, y), grid.frame, onto.grid.frame))
    if not inside(axes, x, y):
        return taken
    style = {"fontsize": "x-small", "ha": "center", "va": "center", "clip_on": True, "parse_math": False}
    name = axes.text(x, y, image.name, color=color, **style)
    name.set_path_effects(outlined(color))
    box = name.get_window_extent(axes.figure.canvas.get_renderer())
    if any(box.overlaps(other) for other in taken):
        name.remove()
        return taken
    return [*taken, box]
