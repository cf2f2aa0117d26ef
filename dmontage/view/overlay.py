"""Coordinate grids of any frame, and the pixels of places on the sky.

All overlays draw onto axes that `dmontage.view.figure` made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u

from dmontage.errors import InputError
from dmontage.headers import angle
from dmontage.sphere import lonlat, rotate_frame, unit_vectors
from dmontage.view.figure import grid_wcs, hide_coord, outlined, whole_labels
from dmontage.view.grid_wcs import axis_names, sky_frame
from dmontage.view.layout import is_bare

if TYPE_CHECKING:
    from astropy.coordinates import BaseCoordinateFrame
    from astropy.visualization.wcsaxes import WCSAxes
    from astropy.visualization.wcsaxes.coordinates_map import CoordinatesMap
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["coordinate_grid", "sky_pixel"]

_ALL_SKY_SPACING = 30.0
"""Degrees, or two hours."""
_ALL_SKY = 300.0
"""Degrees of longitude from which on WCSAxes takes all of them."""
_SHORT = 0.25
"""Of the picture's range of latitudes: distance from a pole within which a parallel carries no labels."""


def coordinate_grid(
    axes: WCSAxes,
    frame: str | BaseCoordinateFrame | None = None,
    *,
    color: Any = "white",
    alpha: float = 0.6,
    labels: str | None = None,
    spacing: Any = None,
    linewidth: float = 0.6,
) -> CoordinatesMap:
    """Lines of equal longitude and latitude of a frame.

    Parameters
    ----------
    axes
        Of `dmontage.view.figure.figure`.
    frame
        As for `dmontage.Grid.around`, or an astropy frame; the grid's own by default.
    labels
        Where the lines' values stand: "bl" (below and left, each where more of its lines end), "tr" (above and
        right), "inside" (along a line through the picture's middle), or "" for nowhere. By default "bl" for the grid's
        own frame and "tr" for another, "bl" if other lines have that; and "inside" where nothing is left or beside the
        picture, its edges are off the sky, or it shows another frame's whole sky.
    spacing
        Angle between lines, or a pair of them (longitude, latitude); round numbers by default.
    color, alpha, linewidth
        Of the lines: a colour of matplotlib, opacity 0 to 1, points.

    Returns
    -------
    CoordinatesMap
        Of WCSAxes, for whatever else is to be set.
    """
    from dmontage.view.graticule import Graticule

    wcs = grid_wcs(axes)
    wanted = wcs.grid.frame if frame is None else sky_frame(frame)
    own = wanted.is_equivalent_frame(wcs.grid.frame)
    if labels is None:
        beside = not is_bare(axes) and _has_edges(axes, whole=not own)
        labels = _free_sides(axes, own=own) if beside else "inside"
    if labels not in ("bl", "tr", "inside", ""):
        raise InputError(f"labels {labels!r} is not one of 'bl', 'tr', 'inside', ''")
    # Lines that carry labels belong to a frame of the axes, and that of an overlay's coordinates is not drawn.
    coords = axes.coords if own and labels != "inside" else _other_coords(axes, wanted)
    _set_spacing(coords, spacing)
    lines = Graticule(axes, coords, wanted, labels, colors=[color], alpha=alpha, linewidths=linewidth)
    axes.add_collection(lines, autolim=False)
    if coords is not axes.coords and (own or labels == "bl"):
        for coord in axes.coords:
            hide_coord(coord)
    sides = _sides(axes, wanted, labels) if labels in ("bl", "tr") else ""
    for k, coord in enumerate(coords):
        whole_labels(coord, exclude_overlapping=True)
        if sides:
            coord.set_ticklabel_position(sides[k])
            coord.set_axislabel(axis_names(wanted)[k])
            coord.set_axislabel_position(sides[k])
            coord.set_ticks_position("bltr" if own else sides[k])
        else:
            hide_coord(coord)
    if labels == "inside":
        _label_inside(axes, coords, color)
    return coords


def sky_pixel(axes: WCSAxes, lon: Any, lat: Any, frame: str | BaseCoordinateFrame = "icrs") -> tuple[Floats, Floats]:
    """Pixels (x, y) at longitudes and latitudes (degrees, or Quantities) of a frame; NaN off the projection.

    Parameters
    ----------
    axes
        Of `dmontage.view.figure.figure`.
    lon, lat
        Degrees, or angles as Quantities, in ``frame``.
    frame
        As for `dmontage.Grid.around`, or an astropy frame.

    Returns
    -------
    x, y
        float64, counted from 0.
    """
    values = [
        np.asarray(a.to_value(u.rad) if isinstance(a, u.Quantity) else np.radians(np.asarray(a, np.float64)))
        for a in (lon, lat)
    ]
    return grid_wcs(axes).pixel(unit_vectors(*values), sky_frame(frame))


def _set_spacing(coords: CoordinatesMap, spacing: Any) -> None:
    """The spacing asked for; on a picture of the whole sky one that is not as wide as astropy's."""
    if spacing is not None:
        each = spacing if isinstance(spacing, (tuple, list)) else (spacing, spacing)
        degrees = [angle(one, "spacing") for one in each]
    else:
        if not _is_all_sky(coords):
            return
        degrees = [_ALL_SKY_SPACING] * 2
    for coord, step in zip(coords, degrees, strict=True):
        coord.set_ticks(spacing=step * u.deg)


def _other_coords(axes: WCSAxes, frame: BaseCoordinateFrame) -> CoordinatesMap:
    """Coordinates of another frame than the grid's, as an overlay of WCSAxes."""
    names = axis_names(frame)
    unit = u.hourangle if names.hours else u.deg
    meta = {
        "type": ["longitude", "latitude"],
        "name": ["lon", "lat"],
        "wrap": [360.0 * u.deg, None],
        "unit": [u.deg, u.deg],
        "format_unit": [unit, u.deg],
        "default_axis_label": [names.lon, names.lat],
    }
    return axes.get_coords_overlay(_turn(grid_wcs(axes).grid.frame, frame), coord_meta=meta)


def _turn(frame: BaseCoordinateFrame, to: BaseCoordinateFrame) -> Any:
    """A matplotlib transform from longitudes and latitudes of one frame to another's, in degrees.

    astropy's own would give the other frame this one's equinox, wherever the other keeps its default.
    """
    from astropy.visualization.wcsaxes.transforms import CurvedTransform

    class Turn(CurvedTransform):  # type: ignore[misc]
        has_inverse = True

        def transform(self, world: Any) -> Any:
            lon, lat = np.radians(np.asarray(world, np.float64)).T
            return np.stack(lonlat(rotate_frame(unit_vectors(lon, lat), frame, to)), axis=-1)

        transform_non_affine = transform

        def inverted(self) -> Any:
            return _turn(to, frame)

    return Turn()


def _is_all_sky(coords: CoordinatesMap) -> bool:
    (west, east), (south, north) = coords.get_coord_range()
    return bool(east - west > _ALL_SKY and north - south > 90.0)


def _has_edges(axes: WCSAxes, *, whole: bool) -> bool:
    """Whether coordinates can be told along the edges: most of these is on the sky, and lines of both meet them.

    The lines of another frame than the grid's wind about its poles on a picture of the whole sky (``whole``).
    """
    if whole and _is_all_sky(axes.coords):
        return False
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    t = np.linspace(0.0, 1.0, 33)
    sides = grid_wcs(axes).sky([x0 + t * (x1 - x0), 0 * t + x0], [0 * t + y0, y0 + t * (y1 - y0)])
    return bool((np.isfinite(sides[..., 0]).mean(axis=1) > 0.5).all())


def _free_sides(axes: WCSAxes, *, own: bool) -> str:
    """Where the labels of a frame can stand beside those of the lines drawn before."""
    from dmontage.view.graticule import Graticule

    taken = {lines.labels for lines in axes.collections if isinstance(lines, Graticule)}
    return next((sides for sides in (("bl",) if own else ("tr", "bl")) if sides not in taken), "inside")


def _sides(axes: WCSAxes, frame: BaseCoordinateFrame, labels: str) -> str:
    """The side of the longitudes and that of the latitudes: those along which they change more."""
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    t = np.linspace(0.0, 1.0, 65)
    y, x = (y0, x0) if labels == "bl" else (y1, x1)
    lon, lat = (
        np.radians(a)
        for a in lonlat(grid_wcs(axes).sky([x0 + t * (x1 - x0), 0 * t + x], [0 * t + y, y0 + t * (y1 - y0)], frame))
    )
    east = np.abs(np.sin(np.diff(lon, axis=1))) * np.cos(lat[:, 1:])
    lon_level, lon_upright = np.nansum(east, axis=1)
    lat_level, lat_upright = np.nansum(np.abs(np.diff(lat, axis=1)), axis=1)
    return labels if lon_level + lat_upright >= lat_level + lon_upright else labels[::-1]


def _label_inside(axes: WCSAxes, coords: CoordinatesMap, color: Any) -> None:
    """The values of the lines along two of them, which cross near the picture's middle."""
    ranges = coords.get_coord_range()
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    middle = coords[0].transform.transform(np.array([[0.5 * (x0 + x1), 0.5 * (y0 + y1)]]))[0]
    for k, turn in enumerate((360.0, 720.0)):
        ticks = coords[k].locator(*ranges[k])[0].to_value(u.deg)
        if k:  # no parallel that a pole makes too short for the labels of the meridians
            ticks = ticks[90.0 - np.abs(ticks) > _SHORT * (ranges[1][1] - ranges[1][0])]
        if not ticks.size:
            continue
        about = middle[k] if np.isfinite(middle[k]) else float(np.mean(ranges[k]))
        best = ticks[np.argmin(np.abs((ticks - about + turn / 2) % turn - turn / 2))]
        name = f"inside-{k}"
        coords[k].add_tickable_gridline(name, best * u.deg)
        along = coords[1 - k]
        along.set_ticklabel_visible(True)
        along.set_ticklabel_position((name,))
        whole_labels(along, color=color, size="small", path_effects=outlined(color))
