"""Sketch: where images lie, as a small inline SVG for notebooks.

Notation: outlines are (n, 2) arrays of (x, y) in a plane whose y grows upwards; the drawing's y grows downwards. Lines
have the colour of the text around them, so that they are seen on light and on dark pages.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.sphere import rotate_frame
from dmontage.view.grid_wcs import GridWCS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dmontage.grid import Grid
    from dmontage.model import ImageRef
    from dmontage.planner import MosaicPlan

__all__ = ["Sketch", "grid_sketch", "plan_sketch", "sky_sketch"]

MOST = 250
"""Outlines drawn at most: a file name with each, and below 40 kB."""

_SIDE = 240.0
"""Longest side of a drawing, CSS pixels."""

_NAME = 60
"""Characters of a name at most."""


class Sketch(NamedTuple):
    """A drawing, and what is to be said of it."""

    svg: str
    caption: str


def plan_sketch(plan: MosaicPlan, most: int = MOST) -> Sketch:
    """The footprints of a plan's images on its grid, the frame in another colour; some of more than ``most``."""
    rows, said = _thinned(plan.rows, most)
    outlines = [np.array(row.outline, np.float64) for row in rows]
    names = [row.image.name for row in rows]
    return Sketch(_svg(outlines, names, plan.grid, _arrows(plan.grid)), f"footprints on the grid{said}")


def grid_sketch(grid: Grid) -> Sketch:
    """The frame of a grid, with north and east in its middle."""
    return Sketch(_svg([], [], grid, _arrows(grid)), "the grid, y upwards")


def sky_sketch(images: Sequence[ImageRef]) -> Sketch | None:
    """Images on the sky about their middle, north up and east left, each area as it is (zenithal equal-area)."""
    drawn, said = _thinned(images)
    edges = [_edge_on_sky(image.grid) for image in drawn]
    kept = [(edge, image.name) for edge, image in zip(edges, drawn, strict=True) if np.isfinite(edge).all()]
    if not kept:
        return None
    if len(kept) < len(drawn):  # maps of all the sky, mostly: what bounds them is not their edge
        said += f"; not {len(drawn) - len(kept)} whose edges leave the sky"
    middle = sum(edge.mean(axis=0) for edge, _ in kept)
    middle = middle if np.linalg.norm(middle) > 1e-6 else kept[0][0][0]
    outlines = [_equal_area(edge, middle) for edge, _ in kept]
    return Sketch(_svg(outlines, [name for _, name in kept]), f"on the sky, north up, east left{said}")


def _thinned(items: Sequence[Any], most: int = MOST) -> tuple[Sequence[Any], str]:
    """Every k-th of many, and the words that say so."""
    step = -(-len(items) // most)
    return (items, "") if step <= 1 else (items[::step], f"; one of {step} is drawn, of {len(items)}")


def _edge_on_sky(grid: Grid) -> NDArray[np.float64]:
    """Unit vectors (n, 3), ICRS, around a grid; NaN where that has no sky."""
    from astropy.coordinates import ICRS

    return rotate_frame(grid.sky(*grid.window.edge(4)), grid.frame, ICRS())


def _equal_area(vectors: NDArray[np.float64], middle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lambert's zenithal projection (n, 2) about a direction, radians: x to the west, y to the north."""
    z = middle / np.linalg.norm(middle)
    pole = np.array([0.0, 0.0, 1.0]) if abs(z[2]) < 1 - 1e-12 else np.array([1.0, 0.0, 0.0])
    east = np.cross(pole, z)
    east /= np.linalg.norm(east)
    north = np.cross(z, east)
    scale = np.sqrt(2.0 / np.maximum(1.0 + vectors @ z, 1e-9))
    return np.stack([-scale * (vectors @ east), scale * (vectors @ north)], axis=-1)


def _arrows(grid: Grid) -> list[tuple[str, float, float]]:
    """Directions (x, y) of unit length, of north and east in the middle of a grid; none where that has no sky."""
    wcs, middle = GridWCS(grid), grid.window.middle
    ways = {"N": wcs.direction(*middle, 0.0, 1.0), "E": wcs.direction(*middle, 1.0, 0.0)}
    return [(name, *way) for name, way in ways.items() if way is not None]


def _svg(
    outlines: Sequence[NDArray[np.float64]],
    names: Sequence[str],
    grid: Grid | None = None,
    arrows: Sequence[tuple[str, float, float]] = (),
) -> str:
    frame = None if grid is None else np.column_stack(grid.window.edge())
    points = np.concatenate([*outlines, *([] if frame is None else [frame])])
    low, high = points.min(axis=0), points.max(axis=0)
    scale = _SIDE / max(float((high - low).max()), 1e-300)
    # A long strip is still seen: 8 CSS pixels at least.
    width, height = (max(8.0, float(side) * scale) for side in high - low)

    def path(outline: NDArray[np.float64], how: str, title: str = "") -> str:
        x, y = ((outline - low) * scale).T
        at = " ".join(f"{a:.1f},{height - b:.1f}" for a, b in zip(x, y, strict=True))
        inside = f"<title>{escape(_short(title))}</title>" if title else ""
        return f'<polygon class="{how}" points="{at}">{inside}</polygon>'

    parts = [path(outline, "dm-i", name) for outline, name in zip(outlines, names, strict=True)]
    if frame is not None:
        parts.append(path(frame, "dm-g"))
        x, y = ((frame[0] + frame[2]) / 2 - low) * scale
        parts += [_arrow(name, dx, dy, float(x), float(y), height) for name, dx, dy in arrows]
    box = f"-4 -4 {width + 8:.1f} {height + 8:.1f}"
    return (
        f'<svg viewBox="{box}" width="{width + 8:.0f}" height="{height + 8:.0f}" role="img" '
        f'aria-label="layout of {len(outlines)} images">{"".join(parts)}</svg>'
    )


def _arrow(name: str, dx: float, dy: float, x: float, y: float, height: float) -> str:
    """An arrow from the middle of the grid, with its letter."""
    length = 26.0
    x0, y0, x1, y1 = x, height - y, x + length * dx, height - y - length * dy
    tx, ty = x + (length + 8) * dx, height - y - (length + 8) * dy
    return (
        f'<line class="dm-a" x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"/>'
        f'<text class="dm-t" x="{tx:.1f}" y="{ty + 4:.1f}">{name}</text>'
    )


def _short(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME // 2]}…{name[-_NAME // 2 :]}"
