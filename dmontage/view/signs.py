"""Signs at places on the sky: markers and labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.errors import InputError
from dmontage.view.figure import outlined
from dmontage.view.overlay import sky_pixel

if TYPE_CHECKING:
    from astropy.coordinates import BaseCoordinateFrame
    from astropy.visualization.wcsaxes import WCSAxes
    from matplotlib.collections import PathCollection
    from matplotlib.text import Annotation

__all__ = ["SYMBOLS", "inside", "label", "marker", "symbol_named", "symbols", "write_text"]

SYMBOLS = {
    "circle": "o", "square": "s", "diamond": "D", "triangle": "^", "pentagon": "p", "hexagon": "h", "star": "*",
    "plus": "+", "cross": "x", "dot": ".",
}  # fmt: skip
"""Words for symbols; matplotlib's own letters are taken too."""


def marker(
    axes: WCSAxes,
    lon: Any,
    lat: Any,
    *,
    frame: str | BaseCoordinateFrame = "icrs",
    symbol: str = "circle",
    size: float = 12.0,
    color: Any = "yellow",
    text: str = "",
) -> bool:
    """A symbol at a place, and a text beside it, on the side where no other stands.

    Parameters
    ----------
    axes
        Of `dmontage.view.figure.figure`.
    lon, lat
        Degrees, or angles as Quantities, in ``frame``.
    symbol
        "circle", "square", "diamond", "triangle", "pentagon", "hexagon", "star", "plus", "cross", "dot",
        or a matplotlib marker.
    size
        Across, in points.
    frame
        As for `dmontage.Grid.around`, or an astropy frame.
    color, text
        A colour of matplotlib; what is written beside it.

    Returns
    -------
    bool
        Whether it is in the picture; nothing is drawn outside.
    """
    x, y = (float(a) for a in sky_pixel(axes, lon, lat, frame))
    if not inside(axes, x, y):
        return False
    drawn = symbols(axes, [x], [y], [size], symbol_named(symbol), color)
    drawn.set_edgecolor(color)
    drawn.set_facecolor("none")
    if text:
        from dmontage.view.beside import Beside

        Beside(axes).write(text, (x, y), color, 0.5 * size + 3.0, keep=True)
    return True


def label(
    axes: WCSAxes,
    lon: Any,
    lat: Any,
    text: str,
    *,
    frame: str | BaseCoordinateFrame = "icrs",
    color: Any = "white",
    offset: tuple[float, float] = (0.0, 0.0),
    **style: Any,
) -> bool:
    """A text at a place, moved by an offset in points; ``style`` is that of matplotlib's texts.

    Parameters
    ----------
    axes
        Of `dmontage.view.figure.figure`.
    lon, lat
        Degrees, or angles as Quantities, in ``frame``.
    text
        What is written.
    frame
        As for `dmontage.Grid.around`, or an astropy frame.
    color
        A colour of matplotlib.
    offset
        (x, y) in points.
    **style
        As for matplotlib's texts.

    Returns
    -------
    bool
        Whether it is in the picture; nothing is drawn outside.
    """
    x, y = (float(a) for a in sky_pixel(axes, lon, lat, frame))
    if not inside(axes, x, y):
        return False
    write_text(axes, text, (x, y), color, offset=offset, **({"ha": "center", "va": "center"} | style))
    return True


def symbols(axes: WCSAxes, x: Any, y: Any, diameters: Any, sign: str, outline: Any = "white") -> PathCollection:
    """Symbols at pixels, of diameters in points, whose colours are to be set; the sky inside stays as it is."""
    drawn: PathCollection = axes.scatter(x, y, s=np.square(diameters), marker=sign, linewidths=1.0, zorder=3)
    drawn.set_path_effects(outlined(outline))
    return drawn


def symbol_named(symbol: str) -> str:
    """The letter that matplotlib has for a symbol."""
    if symbol in SYMBOLS:
        return SYMBOLS[symbol]
    from matplotlib.markers import MarkerStyle

    if symbol not in MarkerStyle.markers:
        raise InputError(f"symbol {symbol!r} is not one of {', '.join(SYMBOLS)}, nor a marker of matplotlib")
    return symbol


def write_text(
    axes: WCSAxes,
    text: str,
    at: tuple[float, float],
    color: Any,
    offset: tuple[float, float] = (0.0, 0.0),
    **style: Any,
) -> Annotation:
    """A readable text at a pixel in the picture, moved by an offset in points, and cut at the picture's edge."""
    # annotation_clip would take all pixels to be outside, and the text for empty, until the axes are drawn.
    style = {"color": color, "path_effects": outlined(color), "annotation_clip": False, "clip_on": True} | style
    return axes.annotate(text, at, offset, textcoords="offset points", **style)  # type: ignore[no-any-return]


def inside(axes: WCSAxes, x: Any, y: Any) -> Any:
    """Whether pixels lie in the picture; NaN does not."""
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    return (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
