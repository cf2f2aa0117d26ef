"""Rows: the images on the mosaic grid, each with its windows and its kernel."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dmontage.errors import InputError
from dmontage.mapping import Mapping, fit_mapping
from dmontage.model import ImageRef, Skipped
from dmontage.sphere import rotate_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.coordinates import BaseCoordinateFrame
    from numpy.typing import NDArray

    from dmontage.grid import Grid
    from dmontage.window import Window

__all__ = ["Footprint", "footprints"]

_MAX_RATIO = 1000
"""Input over output pixel size above which the plane kernel's buffers, one input pixel at least, are too large."""


@dataclass(frozen=True, eq=False, slots=True)
class Footprint:
    """An image on the mosaic grid: one row of the store."""

    image: ImageRef
    window: Window
    """The pixels of the mosaic grid that it can reach."""
    mapping: Mapping
    method: str
    """Kernel that projects it: "plane" or "sky"."""

    @property
    def digest(self) -> str:
        """Changes with everything that the projected row depends on."""
        text = f"{self.image.digest}|{self.window}|{self.method}|{self.mapping.to_dict()}"
        return hashlib.sha256(text.encode()).hexdigest()


def footprints(
    images: Sequence[ImageRef], grid: Grid, method: str, tol: float
) -> tuple[list[Footprint], list[Skipped]]:
    """Rows for the images that reach the grid, in their order, and the others."""
    rows: list[Footprint] = []
    missed: list[Skipped] = []
    frame = grid.frame
    grid_cap = _cap(grid, frame)
    for image in images:
        if _apart(_cap(image.grid, frame), grid_cap):
            missed.append(Skipped(image.name, "does not overlap the grid"))
            continue
        mapping = fit_mapping(image.grid, grid, tol)
        window = mapping.footprint(grid)
        if not window:
            missed.append(Skipped(image.name, "does not overlap the grid"))
            continue
        if method == "plane" and mapping.cut:
            raise InputError(
                f"{image.name}: method 'plane' cannot project it: a seam, a pole or undefined pixels cut its map; "
                "use 'auto'"
            )
        if method == "plane" and mapping.pixel_ratio > _MAX_RATIO:
            raise InputError(
                f"{image.name}: method 'plane' cannot project pixels {mapping.pixel_ratio:.0f} times larger than the "
                f"output's (limit {_MAX_RATIO}); use 'auto'"
            )
        chosen = method if method != "auto" else ("plane" if mapping.bound <= tol else "sky")
        rows.append(Footprint(image, window, mapping, chosen))
    return rows, missed


def _cap(grid: Grid, frame: BaseCoordinateFrame) -> tuple[NDArray[np.float64], float]:
    """Centre and chord radius of a cap that holds a grid, in a frame; radius 2 when it is not small."""
    ny, nx = grid.shape
    x, y = np.meshgrid(np.linspace(-0.5, nx - 0.5, 9), np.linspace(-0.5, ny - 0.5, 9))
    vectors = rotate_frame(grid.sky(x, y), grid.frame, frame)
    if not np.isfinite(vectors).all():
        return np.array([0.0, 0.0, 1.0]), 2.0
    centre = vectors.mean(axis=(0, 1))
    norm = float(np.linalg.norm(centre))
    if norm < 0.5:
        return np.array([0.0, 0.0, 1.0]), 2.0
    centre /= norm
    # Between samples the edge may bulge: by less than the distance between them.
    gap = max(float(np.linalg.norm(np.diff(vectors, axis=axis), axis=-1).max()) for axis in (0, 1))
    return centre, float(np.linalg.norm(vectors - centre, axis=-1).max()) + gap


def _apart(a: tuple[NDArray[np.float64], float], b: tuple[NDArray[np.float64], float]) -> bool:
    return float(np.linalg.norm(a[0] - b[0])) > a[1] + b[1]
