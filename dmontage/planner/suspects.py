"""Suspects: inputs that are probably not what the user thinks. Told by headers alone."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dmontage.mapping import Chain, Chart
from dmontage.planner.text import some

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dmontage.model import ImageRef
    from dmontage.planner.rows import Footprint

__all__ = ["Place", "deviation_warnings", "far_hint", "place_of", "suspicions"]

_ODD_SCALE = 3.0
"""Pixels larger or smaller than the median's by more are odd."""

_SAME_ZERO_POINT = 1e-3
"""Zero points that differ by less, magnitudes, are one: 0.1 % of a value."""

_SAME_EXPOSURE = 1e-3
"""Exposure times that differ by a smaller part are one."""

_FAR = 10.0
"""Typical distances of neighbours, or diameters where these are larger, from which on an image is far from others."""

_NEIGHBOURS = 3
"""An image must have as many: two that share a wrong WCS are near each other, and yet far from all others."""

_SAMPLE = 256
"""Images, evenly out of all, whose neighbours tell the typical distance."""

_BLOCK = 64
"""Images whose distances from all others are held at once."""

_EXPOSED = re.compile(r"^(counts?|ct|adu|dn|electrons?|photons?|e-?)(\s*/\s*pix(els?)?)?$", re.IGNORECASE)
"""BUNITs of what grows with the exposure time."""

_PER_PIXEL = re.compile(r"/\s*(pix|beam)", re.IGNORECASE)
"""Other BUNITs of energy per pixel."""

_DEVIATION = re.compile(r"(^|[._-])(err(or)?|uncert(aint(y|ie))?|std(dev)?|sigma|rms)s?([._-]|$)", re.IGNORECASE)
"""Names of maps that hold σ, not σ²."""


class Place(NamedTuple):
    """Where an image lies, and how large its pixels are, whether or not it reaches the grid."""

    name: str
    centre: NDArray[np.float64]
    """Unit vector (3,) in the frame of the mosaic; NaN where the image has no sky."""
    radius: float
    """Of the circle about the centre that holds the image, radians."""
    scale: float
    """Side of its middle pixel, radians."""


def place_of(image: ImageRef, chain: Chain) -> Place:
    """The place of an image, from a few points of it; ``chain`` leads from its grid to the mosaic's."""
    mesh = chain.turn(chain.start.mesh[2]).reshape(-1, 3)
    mesh = mesh[np.isfinite(mesh).all(axis=-1)]
    total = mesh.sum(axis=0)
    length = float(np.linalg.norm(total))
    centre = total / length if length > 0.0 else np.full(3, np.nan)
    chord = np.sqrt(((mesh - centre) ** 2).sum(axis=-1)).max(initial=0.0)
    return Place(image.name, centre, 2.0 * math.asin(min(0.5 * chord, 1.0)), chain.start.scale)


def suspicions(rows: Sequence[Footprint], places: Sequence[Place], unit: str, *, scaled: bool = False) -> list[str]:
    """Warnings about units, filters, zero points and exposures of images on the grid, and places and scales of all.

    ``scaled`` tells that zero points or flux scales are taken into account.
    """
    far = _far_text(places)
    images = [row.image for row in rows]
    return [
        *_filter_warnings({image.filter for image in images}),
        *([] if scaled else _zero_point_warnings([image.magzp for image in images])),
        *([] if scaled else _exposure_warnings([image.exptime for image in images if _EXPOSED.search(image.bunit)])),
        *_unit_warnings({image.bunit for image in images}, unit),
        *_scale_warnings(places),
        *([far] if far else []),
    ]


def deviation_warnings(variance: str | None) -> list[str]:
    """Of the name of maps that are taken for variances."""
    if variance is None or not _DEVIATION.search(variance):
        return []
    return [
        f"the variances are named {variance!r}, as standard deviations are, but are taken as they are: if they are "
        "those, give maps of their squares"
    ]


def far_hint(images: Sequence[ImageRef]) -> str:
    """What to add where images span more than a mosaic can hold: those far from the others; empty without any."""
    if not images:
        return ""
    end = Chart(images[0].grid)
    far = _far_text([place_of(image, Chain(image.grid, end)) for image in images])
    return f"; {far}" if far else ""


def _far_text(places: Sequence[Place]) -> str:
    far = [f"{name} ({math.degrees(angle):.3g} deg)" for name, angle in far_away(places)]
    return f"far from all other images, perhaps by a wrong WCS: {some(far)}" if far else ""


def far_away(places: Sequence[Place]) -> list[tuple[str, float]]:
    """Names of the images that are far from all others, and how far, radians.

    Far is an image whose third nearest neighbour (of few images the second, or the nearest) lies `_FAR` times as far as
    the typical image's, counted from its own edge. Not all are compared with all: those that share a small cell of
    space with enough others have neighbours.
    """
    places = [place for place in places if np.isfinite(place.centre).all()]
    k = min(_NEIGHBOURS, len(places) // 3)
    if k < 1:
        return []
    centres, radii = np.array([place.centre for place in places]), np.array([place.radius for place in places])
    sample = np.arange(0, len(places), -(-len(places) // _SAMPLE))
    typical = max(float(np.median(_distances(centres, sample, k))), 2.0 * float(np.median(radii)))
    lonely = np.flatnonzero(_cell_mates(centres, _FAR * typical) < k)
    distances = _distances(centres, lonely, k)
    return [
        (places[i].name, float(distance))
        for i, distance in zip(lonely, distances, strict=True)
        if distance > _FAR * typical + radii[i]
    ]


def _distances(centres: NDArray[np.float64], chosen: NDArray[np.intp], k: int) -> NDArray[np.float64]:
    """Angle from each chosen point to its k-th nearest other, radians."""
    out = np.empty(len(chosen))
    for start in range(0, len(chosen), _BLOCK):
        mine = centres[chosen[start : start + _BLOCK]]
        chords = np.sqrt(((mine[:, None] - centres) ** 2).sum(axis=-1))
        # The nearest of all is the point itself.
        out[start : start + _BLOCK] = np.partition(chords, k, axis=1)[:, k]
    return 2.0 * np.arcsin(np.minimum(0.5 * out, 1.0))


def _cell_mates(centres: NDArray[np.float64], reach: float) -> NDArray[np.intp]:
    """Others in each point's cube of space, all of which are nearer than ``reach`` (radians) if that is a small angle.

    The cube's diagonal is the chord of the angle, or 2 where that is more than half the sky.
    """
    side = 2.0 * math.sin(0.5 * min(reach, math.pi)) / math.sqrt(3.0)
    _, cell, count = np.unique(np.floor(centres / side), axis=0, return_inverse=True, return_counts=True)
    return np.asarray(count[cell.ravel()] - 1)


def _filter_warnings(filters: set[str]) -> list[str]:
    named = sorted(filters - {""})
    if len(named) < 2:
        return []
    return [
        f"the images have different filters: {some(named)}; group_by makes a mosaic of each (--group-by FILTER, or "
        "BAND, whichever card they have)"
    ]


def _zero_point_warnings(zero_points: Sequence[float | None]) -> list[str]:
    told = [zero_point for zero_point in zero_points if zero_point is not None]
    if not told or max(told) - min(told) < _SAME_ZERO_POINT:
        return []
    return [
        f"the images have different zero points, MAGZP {min(told):.6g} to {max(told):.6g}, but values are taken as "
        "they are: if they are not on one scale, give the zero_point (--zero-point MAGZP)"
    ]


def _exposure_warnings(times: Sequence[float | None]) -> list[str]:
    told = [time for time in times if time is not None and time > 0.0]
    if not told or max(told) < (1.0 + _SAME_EXPOSURE) * min(told):
        return []
    return [
        f"the images are in counts, of exposure times EXPTIME {min(told):g} to {max(told):g}, but values are taken as "
        "they are: to have them per second, give the flux_scale (--flux-scale 1/EXPTIME)"
    ]


def _unit_warnings(units: set[str], unit: str) -> list[str]:
    out = []
    if len(units) > 1:
        out.append(f"the images have different units: {', '.join(sorted(bunit or 'none' for bunit in units))}")
    per_pixel = [bunit for bunit in sorted(units) if _EXPOSED.search(bunit) or _PER_PIXEL.search(bunit)]
    if per_pixel and unit == "surface_brightness":
        out.append(
            f"BUNIT {per_pixel[0]!r} counts per pixel, but values are taken as surface brightness: "
            "if they are counts, give the unit (--unit flux_per_pixel)"
        )
    return out


def _scale_warnings(places: Sequence[Place]) -> list[str]:
    scales = np.array([place.scale for place in places])
    odd = np.abs(np.log(scales / np.median(scales))) > math.log(_ODD_SCALE)
    strange = [place.name for place, is_odd in zip(places, odd, strict=True) if is_odd]
    return [f"pixels over {_ODD_SCALE:g} times larger or smaller than the others': {some(strange)}"] if strange else []
