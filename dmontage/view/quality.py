"""Coverage and quality of a mosaic, drawn: depth, area, overlaps before and after matching, background and its error.

`depth_picture` and `area_picture` are whole figures. The others draw one panel each onto any axes whose data
coordinates are the mosaic's pixels: those of `figure`, of `empty_figure`, or of a figure of several panels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from dmontage.errors import InputError
from dmontage.view.figure import color_bar, figure
from dmontage.view.overlay import coordinate_grid
from dmontage.view.shrink import shrink

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.axes import Axes
    from matplotlib.collections import PatchCollection, QuadMesh
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dmontage.grid import Grid
    from dmontage.pipeline import ErrorMap
    from dmontage.view.shrink import Pixels
    from dmontage.window import Window

__all__ = [
    "Overlap", "area_picture", "depth_picture", "draw_correction", "draw_error", "draw_overlaps",
]  # fmt: skip

_BLANK = "0.85"
_STEPS = 12
"""Depths up to which each has a colour of its own."""


class Overlap(Protocol):
    """What is drawn of an overlap of two images: a line of a background report."""

    @property
    def window(self) -> Window:
        """On the mosaic's grid."""
        ...

    @property
    def n_pixels(self) -> int:
        """Pixels in which both are well covered."""
        ...

    @property
    def before(self) -> float:
        """Median difference."""
        ...

    @property
    def after(self) -> float:
        """The same, corrected."""
        ...

    @property
    def named(self) -> bool:
        """Whether more is left than may be."""
        ...

    @property
    def rejected(self) -> bool:
        """Whether it had no part in the match."""
        ...


def depth_picture(depth: Pixels, grid: Grid, *, width: int = 800) -> Figure:
    """A figure of how many images there are in each pixel of a mosaic; no image is blank.

    Parameters
    ----------
    depth
        ``mosaic.depth``, or any other array (ny, nx) that gives its rows; shrunk to the width by means.
    grid
        Of the mosaic.
    width
        Of the picture, in pixels.

    Returns
    -------
    Figure
        matplotlib's, with a bar.
    """
    from matplotlib import colormaps
    from matplotlib.colors import BoundaryNorm, Normalize

    values = _shrunk(depth, grid, width)
    values = np.where(values > 0, values, np.nan)  # not in place: these may be the caller's own
    most = max(int(np.ceil(np.nanmax(values, initial=1.0))), 1)
    if most > _STEPS:
        return _picture(values, grid, width, "images", "viridis", Normalize(0.0, most))
    norm = BoundaryNorm(np.arange(most + 1) + 0.5, most) if most > 1 else Normalize(0.0, 1.0)
    shades = colormaps["viridis"].resampled(most)
    return _picture(values, grid, width, "images", shades, norm, ticks=range(1, most + 1))


def area_picture(area: Pixels, grid: Grid, *, width: int = 800) -> Figure:
    """A figure of the covered fraction of each pixel, summed over the images; no coverage is blank.

    Parameters
    ----------
    area
        ``mosaic.area``, or any other array (ny, nx) that gives its rows; shrunk to the width by means.
    grid, width
        As for `depth_picture`.

    Returns
    -------
    Figure
        matplotlib's, with a bar.
    """
    from matplotlib.colors import Normalize

    values = _shrunk(area, grid, width)
    values = np.where(values > 0, values, np.nan)
    most = float(np.nanmax(values, initial=1e-9))
    return _picture(values, grid, width, "covered fraction, summed", "cividis", Normalize(0.0, most))


def draw_overlaps(axes: Axes, overlaps: Iterable[Overlap], when: str, *, limit: float | None = None) -> PatchCollection:
    """Each overlap's window in the colour of its median difference, the largest windows below.

    Parameters
    ----------
    axes
        Whose data coordinates are the mosaic's pixels.
    overlaps
        ``report.pairs``; those that share no pixels are left out.
    when
        "before" or "after" the images were matched; after, those left or rejected are outlined.
    limit
        Difference of the darkest colour; by default the largest.

    Returns
    -------
    PatchCollection
        For a colour bar.
    """
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    if when not in ("before", "after"):
        raise InputError(f"when {when!r} is neither 'before' nor 'after'")
    pairs = sorted((p for p in overlaps if p.n_pixels), key=lambda p: -p.window.size)
    values = np.abs([getattr(p, when) for p in pairs])
    boxes = [Rectangle((p.window.x0 - 0.5, p.window.y0 - 0.5), *p.window.shape[::-1]) for p in pairs]
    drawn = PatchCollection(boxes, cmap="YlOrRd", edgecolor="0.5", linewidth=0.3)
    drawn.set_array(values)
    drawn.set_clim(0.0, (float(values.max(initial=0.0)) if limit is None else limit) or 1.0)
    axes.add_collection(drawn, autolim=False)
    for box, pair in zip(boxes, pairs, strict=True):
        if pair.rejected or (pair.named and when == "after"):
            axes.add_patch(Rectangle(box.get_xy(), box.get_width(), box.get_height(), fill=False, edgecolor="k"))
    return drawn


def draw_correction(axes: Axes, errors: ErrorMap) -> QuadMesh:
    """The background that was taken out of the mosaic, symmetric about none.

    Parameters
    ----------
    axes
        Whose data coordinates are the mosaic's pixels.
    errors
        `dmontage.Mosaic.background_error_map`.

    Returns
    -------
    QuadMesh
        matplotlib's, for a bar.
    """
    drawn = _draw_cells(axes, errors, errors.correction, "RdBu_r")
    if np.isfinite(errors.correction).any():
        limit = float(np.nanmax(np.abs(errors.correction))) or 1.0
        drawn.set_clim(-limit, limit)
    return drawn


def draw_error(axes: Axes, errors: ErrorMap, *, total: bool = False) -> QuadMesh:
    """The background's standard error: beyond a plane over all of the mosaic, or in the stated gauge (``total``).

    Parameters
    ----------
    axes, errors
        As for `draw_correction`.
    total
        The error in the stated gauge, with what no overlap tells.

    Returns
    -------
    QuadMesh
        matplotlib's, for a bar.
    """
    return _draw_cells(axes, errors, errors.total if total else errors.error, "viridis")


def _draw_cells(axes: Axes, errors: ErrorMap, values: NDArray[np.float64], cmap: str) -> QuadMesh:
    """Cells on the mosaic's pixels; the axes keep their limits, whatever the last cells are cut to."""
    ys, xs = errors.cells.ys, errors.cells.xs
    axes.set_facecolor(_BLANK)
    limits = axes.get_xlim(), axes.get_ylim()
    drawn = axes.pcolormesh(xs - 0.5, ys - 0.5, np.ma.masked_invalid(values), cmap=cmap)
    axes.set(xlim=limits[0], ylim=limits[1])
    return drawn


def _shrunk(data: Pixels, grid: Grid, width: int) -> NDArray[np.float64]:
    if tuple(data.shape) != grid.shape:
        raise InputError(f"the data have shape {tuple(data.shape)}, the grid {grid.shape}: give those of one mosaic")
    if width < 1:
        raise InputError(f"width is {width}; give 1 or more pixels")
    return np.asarray(shrink(data, _step(grid, width)), dtype=np.float64)


def _step(grid: Grid, width: int) -> int:
    return -(-grid.shape[1] // width)


def _picture(
    values: NDArray[np.float64], grid: Grid, width: int, label: str, cmap: Any, norm: Normalize, *, ticks: Any = None
) -> Figure:
    """A figure of values with the sky's coordinates and a colour bar."""
    drawn, axes = figure(values, grid, width=width, step=_step(grid, width), norm=norm, cmap=cmap)
    axes.set_facecolor(_BLANK)
    coordinate_grid(axes, color="0.3", alpha=0.4)
    beside = color_bar(axes, axes.images[0], label)
    if ticks is not None:
        beside.set_yticks(list(ticks))
    return drawn
