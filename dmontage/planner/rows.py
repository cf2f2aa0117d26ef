"""Rows: the images on the mosaic grid, each with its windows and its kernel."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dmontage.errors import InputError
from dmontage.mapping import Chain, Chart, Mapping, apart, fit_mapping, sky_windows
from dmontage.model import Companions, ImageRef, Skipped
from dmontage.planner.suspects import Place, place_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dmontage.grid import Grid
    from dmontage.window import Window

__all__ = ["Footprint", "footprints", "kernel_for", "row_digest"]

_MAX_RATIO = 1000
"""Input over output pixel size above which the plane kernel's buffers, one input pixel at least, are too large."""


@dataclass(frozen=True, eq=False, slots=True)
class Footprint:
    """An image on the mosaic grid: one row of the store."""

    image: ImageRef
    window: Window
    """The pixels of the mosaic grid, and of the margin around it, that it can reach, or one connected piece of them
    where its map is cut."""
    mapping: Mapping
    method: str
    """Kernel that projects it: "plane" or "sky"."""

    @property
    def error_bound(self) -> float:
        """What its kernel may be wrong by, with the rounding of the WCS, output pixels."""
        mapping = self.mapping
        return (mapping.bound if self.method == "plane" else mapping.edge) + mapping.rounding

    @property
    def outline(self) -> tuple[tuple[float, float], ...]:
        """Mosaic pixels (x, y) of the image's four corners, around it; of the window's where the map is cut."""
        w = self.window
        if self.mapping.cut:
            x0, x1, y0, y1 = w.x0 - 0.5, w.x1 - 0.5, w.y0 - 0.5, w.y1 - 0.5
            return (x0, y0), (x1, y0), (x1, y1), (x0, y1)
        return tuple((x, y) for x, y in self.mapping.outline.tolist())

    @property
    def digest(self) -> str:
        """Changes with everything that the projected row depends on."""
        text = f"{self.image.digest}|{self.window}|{self.method}|{self.mapping.to_dict()}"
        return hashlib.sha256(text.encode()).hexdigest()


def footprints(
    images: Sequence[ImageRef], grid: Grid, method: str, tol: float
) -> tuple[list[Footprint], list[Skipped], list[Place]]:
    """Rows for the images that reach the grid, in their order, and the others; where all of them lie."""
    rows: list[Footprint] = []
    missed: list[Skipped] = []
    places: list[Place] = []
    chart = Chart(grid)
    for image in images:
        chain = Chain(image.grid, chart)
        places.append(place_of(image, chain))
        if apart(chain):
            missed.append(Skipped(image.name, "does not overlap the grid"))
            continue
        mapping = fit_mapping(chain.start, chart, tol)
        windows = sky_windows(image.grid, grid) if mapping.cut else [mapping.footprint(grid)]
        if not any(windows):
            missed.append(Skipped(image.name, "does not overlap the grid"))
            continue
        chosen = kernel_for(mapping, method, tol, image.name)
        rows += [Footprint(image, window, mapping, chosen) for window in windows]
    return rows, missed, places


def row_digest(row: Footprint, beside: Companions) -> str:
    """Changes with the files and the scale that a projected row depends on; not with the factor, for the coadd."""
    maps = ["" if ref is None else ref.digest for ref in beside.maps]
    return hashlib.sha256("|".join([row.digest, *maps, repr(float(beside.scale))]).encode()).hexdigest()


def kernel_for(mapping: Mapping, method: str, tol: float, name: str) -> str:
    """The kernel that projects an image; InputError where the plane is asked for and will not do."""
    if method == "plane" and mapping.cut:
        raise InputError(
            f"{name}: method 'plane' cannot project it: a seam, a pole or undefined pixels cut its map, or come too "
            "close; use 'auto'"
        )
    large = mapping.pixel_ratio > _MAX_RATIO
    if method == "plane" and large:
        raise InputError(
            f"{name}: method 'plane' cannot project pixels {mapping.pixel_ratio:.0f} times larger than the "
            f"output's (limit {_MAX_RATIO}); use 'auto'"
        )
    return method if method != "auto" else ("plane" if mapping.bound <= tol and not large else "sky")
