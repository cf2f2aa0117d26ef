"""Layout: figures laid out in whole pixels, so that a picture on them keeps its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["MARGIN", "box_of", "inches", "is_bare", "make_room", "part", "pixels_per_pixel", "size_of"]

MARGIN = 0.08
"""Around what is drawn beside the axes, in inches."""


def is_bare(axes: Axes) -> bool:
    """Whether the axes fill their figure."""
    drawn: Any = axes.figure
    return box_of(axes) == (0, 0, *size_of(drawn))


def pixels_per_pixel(axes: Axes) -> float:
    """Pixels of the grid per pixel of the figure."""
    x0, x1 = axes.get_xlim()
    return abs(x1 - x0) / float(axes.bbox.width)


def make_room(drawn: Figure) -> None:
    """Make the figure as large as what is drawn on it, in whole pixels; not where the axes fill it."""
    if not drawn.axes or any(map(is_bare, drawn.axes)):
        return
    boxes = [box_of(axes) for axes in drawn.axes]
    outer = [axes.get_tightbbox(drawn.canvas.get_renderer()) for axes in drawn.axes]  # type: ignore[attr-defined]
    margin = math.ceil(MARGIN * drawn.dpi)
    left, bottom = (margin - math.floor(min(getattr(box, side) for box in outer)) for side in ("x0", "y0"))
    right, top = (margin + math.ceil(max(getattr(box, side) for box in outer)) for side in ("x1", "y1"))
    size = left + right, bottom + top
    drawn.set_size_inches(*inches(size, drawn.dpi))
    for axes, (x, y, width, height) in zip(drawn.axes, boxes, strict=True):
        axes.set_position(part((x + left, y + bottom, width, height), size))


def box_of(axes: Axes) -> tuple[int, int, int, int]:
    """(x, y, width, height) of the axes in pixels of the figure, y upwards."""
    figure: Any = axes.figure
    (width, height), box = size_of(figure), axes.get_position(original=True)
    x, y = round(box.x0 * width), round(box.y0 * height)
    return x, y, round(box.x1 * width) - x, round(box.y1 * height) - y


def size_of(drawn: Figure) -> tuple[int, int]:
    """(width, height) of the figure in pixels."""
    return round(float(drawn.bbox.width)), round(float(drawn.bbox.height))


def part(box: tuple[int, int, int, int], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """A box in pixels as parts of a figure's size."""
    x, y, width, height = box
    return x / size[0], y / size[1], width / size[0], height / size[1]


def inches(size: tuple[int, int], dpi: float) -> tuple[float, float]:
    """Inches that are whole pixels again: Agg takes the whole part of the product."""
    each = [n / dpi for n in size]
    return tuple(a if int(a * dpi) == n else math.nextafter(a, math.inf) for a, n in zip(each, size, strict=True))  # type: ignore[return-value]
