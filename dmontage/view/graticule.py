"""Graticule: the lines of equal longitude and latitude, at the values that WCSAxes' own locators choose.

WCSAxes tells a seam by a step ten times the one before, and so draws lines across the gaps of HEALPix and along the
poles of cylindrical maps. Here each line is traced, and cut where the map is cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from matplotlib.collections import LineCollection

from dmontage.sphere import unit_vectors
from dmontage.view.figure import grid_wcs
from dmontage.view.layout import pixels_per_pixel
from dmontage.view.trace import traced

if TYPE_CHECKING:
    from astropy.coordinates import BaseCoordinateFrame
    from astropy.visualization.wcsaxes import WCSAxes
    from astropy.visualization.wcsaxes.coordinates_map import CoordinatesMap
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["Graticule"]

_TOLERANCE = 0.2
"""Pixels of the figure between a line and its chords."""
_PARTS = 48
"""Steps that a line begins with."""


class Graticule(LineCollection):
    """The lines of a frame on axes of `figure`; they follow the axes' limits and the locators."""

    def __init__(
        self, axes: WCSAxes, coords: CoordinatesMap, frame: BaseCoordinateFrame, labels: str, **style: Any
    ) -> None:
        super().__init__([], **style)
        self.labels = labels
        """Where its labels stand, as `coordinate_grid` has it."""
        self._at = axes, coords, frame
        self._key: Any = None

    def draw(self, renderer: Any) -> None:
        """Trace the lines, if limits or values have changed, and draw them."""
        axes, coords, frame = self._at
        ranges = coords.get_coord_range()
        values = [coords[k].locator(*ranges[k])[0].to_value(u.deg) for k in (0, 1)]
        key = (axes.get_xlim(), axes.get_ylim(), pixels_per_pixel(axes), *(tuple(each) for each in values))
        if key != self._key:
            self._key = key
            self.set_segments(_lines(axes, frame, values, ranges))
        super().draw(renderer)


def _lines(axes: WCSAxes, frame: BaseCoordinateFrame, values: list[Floats], ranges: Any) -> list[Floats]:
    """Polylines (n, 2) of pixels of all meridians, then all parallels."""
    wcs, tolerance = grid_wcs(axes), _TOLERANCE * pixels_per_pixel(axes)
    shown = *axes.get_xlim(), *axes.get_ylim()
    lines = []
    for k, others in enumerate((1, 0)):
        ends = np.clip(ranges[others], -90.0, 90.0) if others else np.asarray(ranges[others])
        for value in values[k]:

            def way(t: Floats, k: int = k, value: float = value) -> tuple[Floats, Floats]:
                lon, lat = (np.full(t.shape, value), t) if k == 0 else (t, np.full(t.shape, value))
                return wcs.pixel(unit_vectors(np.radians(lon), np.radians(lat)), frame)

            lines += traced(way, np.linspace(ends[0], ends[1], _PARTS + 1), tolerance, shown)
    return lines
