"""Directions and lengths: a compass and a scale bar, asked of the grid's WCS where they are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.errors import InputError
from dmontage.headers import angle, in_unit
from dmontage.sphere import lengths
from dmontage.view.figure import grid_wcs, outlined
from dmontage.view.grid_wcs import sky_frame
from dmontage.view.layout import pixels_per_pixel
from dmontage.view.signs import write_text

if TYPE_CHECKING:
    from astropy.coordinates import BaseCoordinateFrame
    from astropy.visualization.wcsaxes import WCSAxes

__all__ = ["compass", "scale_bar"]

_CORNERS = {
    "bottom left": (0.0, 0.0), "bottom right": (1.0, 0.0), "top left": (0.0, 1.0), "top right": (1.0, 1.0),
}  # fmt: skip
_ROUND = [
    (number * size, f"{number:g}{sign}")
    for size, sign, numbers in (
        (1.0, "°", (60, 30, 20, 10, 5, 2, 1)),
        (1 / 60, "′", (30, 20, 10, 5, 2, 1)),
        (1 / 3600, "″", (30, 20, 10, 5, 2, 1)),
        (1 / 3600, "″", tuple(m * 10.0**-n for n in range(1, 10) for m in (5, 2, 1))),
    )
    for number in numbers
]
"""Lengths in degrees that a scale bar may have, the longest first, and their labels."""


def compass(
    axes: WCSAxes,
    corner: str = "bottom left",
    *,
    frame: str | BaseCoordinateFrame = "icrs",
    length: float = 0.08,
    color: Any = "white",
) -> tuple[float, float]:
    """Arrows to the north and the east of a frame, as the WCS has them where they are drawn.

    Parameters
    ----------
    axes
        Of `dmontage.view.figure.figure`.
    corner
        Of the picture: "bottom left", "top right", ...; where that is off the sky, it moves towards the middle.
    length
        Of the arrows, in parts of the picture's shorter side.
    frame
        As for `dmontage.Grid.around`, or an astropy frame.
    color
        A colour of matplotlib.

    Returns
    -------
    x, y
        The pixel where the arrows begin.

    Raises
    ------
    InputError
        If no pixel between the corner and the middle lies on the sky, or there are no directions (a pole).
    """
    width, height = _shown(axes)
    reach = length * min(width, height)
    # The arrows reach out to any side, and their letters beyond them.
    x, y = _sky_near(axes, corner, 1.9 * reach, 1.9 * reach)
    for name, (east, north) in (("N", (0.0, 1.0)), ("E", (1.0, 0.0))):
        way = grid_wcs(axes).direction(x, y, east, north, sky_frame(frame))
        if way is None:
            raise InputError(f"pixel ({x:.1f}, {y:.1f}) is a pole: there is no north; choose another corner")
        dx, dy = way
        arrow = {"arrowstyle": "-|>", "color": color, "linewidth": 1.3, "shrinkA": 0, "shrinkB": 0}
        arrow["path_effects"] = outlined(color)
        axes.annotate("", (x + reach * dx, y + reach * dy), (x, y), clip_on=True, arrowprops=arrow)
        write_text(axes, name, (x + 1.35 * reach * dx, y + 1.35 * reach * dy), color, ha="center", va="center",
                   fontsize="large", fontweight="bold")  # fmt: skip
    return x, y


def scale_bar(
    axes: WCSAxes, length: Any = None, corner: str = "bottom right", *, color: Any = "white", text: str | None = None
) -> tuple[float, float]:
    """A bar of a known length along the great circle through its ends, labelled with it.

    Parameters
    ----------
    axes
        Of `dmontage.view.figure.figure`.
    length
        Angle ("5 arcmin"); by default the longest round one up to a quarter of the picture.
    corner
        Of the picture: "bottom right", ...; where that is off the sky, it moves towards the middle.
    text
        Instead of the length.
    color
        A colour of matplotlib.

    Returns
    -------
    x0, x1
        Pixels of its ends; they share one y.

    Raises
    ------
    InputError
        If the bar does not fit into the picture, or no pixel between the corner and the middle lies on the sky.
    """
    width, height = _shown(axes)
    points = axes.figure.dpi / 72.0 * pixels_per_pixel(axes)
    at, y = _sky_near(axes, corner, 0.04 * width, 0.03 * height + 20 * points)
    way = -1.0 if corner.endswith("right") else 1.0
    if length is None:
        across = _separation(axes, at, at + way * 0.25 * width, y)
        degrees, name = next(((d, n) for d, n in _ROUND if d <= across), _ROUND[-1])
    else:
        degrees = angle(length, "length")
        name = _told(degrees)
    other = _end_of_bar(axes, at, y, way, degrees)
    axes.plot([at, other], [y, y], color=color, linewidth=2.0, solid_capstyle="butt", path_effects=outlined(color))
    write_text(
        axes, name if text is None else text, (0.5 * (at + other), y), color, offset=(0, -3), ha="center", va="top"
    )
    return min(at, other), max(at, other)


def _shown(axes: WCSAxes) -> tuple[float, float]:
    """Width and height of what is shown, in pixels of the grid."""
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    return x1 - x0, y1 - y0


def _sky_near(axes: WCSAxes, corner: str, dx: float, dy: float) -> tuple[float, float]:
    """The pixel some way in from a corner, or the first from there to the middle about which all is sky."""
    if corner not in _CORNERS:
        raise InputError(f"corner {corner!r} is not one of {', '.join(_CORNERS)}")
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    right, top = _CORNERS[corner]
    t = np.linspace(0.0, 1.0, 101)
    ends = (x0 + dx, x1 - dx)[int(right)], (y0 + dy, y1 - dy)[int(top)]
    x, y = ends[0] + t * (0.5 * (x0 + x1) - ends[0]), ends[1] + t * (0.5 * (y0 + y1) - ends[1])
    around = np.array([[0.0, 0.0], [-dx, 0.0], [dx, 0.0], [0.0, -dy], [0.0, dy]])
    sky = grid_wcs(axes).sky(x[:, None] + around[:, 0], y[:, None] + around[:, 1])
    good = np.flatnonzero(np.isfinite(sky).all(axis=(1, 2)))
    if not good.size:
        raise InputError(f"there is no sky between the {corner} corner and the middle of the picture")
    return float(x[good[0]]), float(y[good[0]])


def _separation(axes: WCSAxes, x0: float, x1: Any, y: float) -> Any:
    """Degrees between pixels of one row, along the great circle; NaN off the sky."""
    wcs = grid_wcs(axes)
    here, there = wcs.sky(x0, y), wcs.sky(x1, np.full(np.shape(x1), y))
    return np.degrees(2.0 * np.arctan2(lengths(here - there), lengths(here + there)))


def _end_of_bar(axes: WCSAxes, at: float, y: float, way: float, degrees: float) -> float:
    """The pixel x on a row that is so far from another one."""
    from scipy.optimize import brentq

    limits = axes.get_xlim()
    x = np.linspace(at, limits[0] if way < 0 else limits[1], 1025)
    apart = _separation(axes, at, x, y)
    beyond = np.flatnonzero(~(apart < degrees))
    if not beyond.size or not np.isfinite(apart[beyond[0]]):
        widest = float(np.nanmax(apart))
        raise InputError(
            f"a bar of {_told(degrees)} does not fit: there are {_told(widest)} of sky; give a shorter one"
        )
    k = int(beyond[0])
    return float(brentq(lambda end: float(_separation(axes, at, end, y)) - degrees, x[k - 1], x[k], xtol=1e-9))


def _told(degrees: float) -> str:
    """An angle in the largest of degrees, minutes and seconds that has one of it."""
    number, unit = in_unit(degrees)
    return f"{number:.3g}{ {'deg': '°', 'arcmin': '′', 'arcsec': '″'}[unit] }"
