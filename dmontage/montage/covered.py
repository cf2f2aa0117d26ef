"""Images with what they cover: ``x.fits`` with ``x_area.fits``, on pixels of one grid."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.errors import InputError
from dmontage.fits_files import other_cards, read
from dmontage.kernels.plane_fit import Sums
from dmontage.montage.inputs import image_in, plane_in
from dmontage.window import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.grid import Grid
    from dmontage.model import ImageRef

    Floats = NDArray[np.float64]

__all__ = ["Covered", "area_beside", "area_name", "nominal_card", "nominal_of", "pair_of", "reference_pixel"]

_WELL = 0.9
"""Of what a pixel of the image covers: less are rims."""
_OF_DROPS = 0.25
"""The same where drops leave gaps."""
_NOMINAL = "NOMAREA"
_EVEN = 0.01
"""Change of the pixels' solid angle across an image below which they are all alike."""


class Covered(NamedTuple):
    """An image, and the solid angle that each of its pixels covers."""

    image: ImageRef
    area: ImageRef | None
    """None where areas are not wanted: then all pixels count alike."""

    @classmethod
    def of(cls, path: str, no_areas: bool = False) -> Covered:
        """By the image's name; InputError, in Montage's words, where either is missing or no image."""
        image = plane_in(path)
        return cls(image, None if no_areas else area_beside(path, image))

    def areas(self, window: Window | None = None) -> Floats:
        """The solid angles as the file has them; ones where there is none."""
        if self.area is None:
            return np.ones((window or self.image.grid.window).shape)
        return _pixels(self.area, window or self.image.grid.window)

    def least(self) -> float:
        """Area of a well covered pixel, in `coverage`'s terms: from all of the image, since an overlap may be a rim."""
        if self.area is None:
            return 0.0
        areas = self.coverage(self.areas(), self.image.grid.window)
        areas = areas[areas > 0]
        if not areas.size:
            return 0.0
        usual, low = np.median(areas), np.quantile(areas, 0.25)
        return float(_WELL * usual if low >= _WELL * usual else _OF_DROPS * areas.mean())

    def coverage(self, areas: Floats, window: Window) -> Floats:
        """Areas in parts of what the grid's pixels have, where these differ; else the areas themselves."""
        grid = self.image.grid
        if self.area is None or not window or areas.min() == areas.max():
            return areas
        ny, nx = grid.shape
        some = [Window(y, y + 1, x, x + 1) for y in (0, ny // 2, ny - 1) for x in (0, nx // 2, nx - 1)]
        angles = np.array([grid.solid_angle(pixel)[0, 0] for pixel in some])
        if not np.isfinite(angles).all() or np.ptp(angles) > _EVEN * angles.max():
            with np.errstate(invalid="ignore"):
                return np.asarray(areas / grid.solid_angle(window))
        return areas

    def sums(self, window: Window, least: float) -> tuple[Sums, Floats]:
        """What a difference takes of a window of the image's own pixels, and the areas there."""
        areas = self.areas(window)
        values = _pixels(self.image, window)
        # A pixel that the area file leaves out is blank, whatever the image has there.
        return Sums(values, np.ones_like(values), np.nan_to_num(self.coverage(areas, window)), least), areas


def _pixels(image: ImageRef, window: Window) -> Floats:
    """A window by its whole rows: pieces of rows are read one by one, each as slowly as 100 kB."""
    rows = Window(window.y0, window.y1, 0, image.grid.shape[1])
    return np.asarray(read(image, rows)[:, window.x0 : window.x1], np.float64)


def area_name(path: str) -> str:
    """``x_area.fits`` of ``x.fits``, ``x_area.fit`` of ``x.fit``."""
    file = Path(path)
    return str(file.with_name(f"{file.stem}_area{file.suffix}"))


def pair_of(path: str) -> tuple[str, str]:
    """The two files that are made by a name, "x.fits", "x.fit" or "x", as in Montage: ``x.fits``, ``x_area.fits``."""
    stem = re.sub(r"\.(fits?|FITS?)$", "", path)
    if not Path(stem).name:
        raise InputError(f"{path!r} names no file: give the name of an image, such as x.fits")
    return f"{stem}.fits", area_name(f"{stem}.fits")


def nominal_card(nominal: float) -> list[tuple[str, Any, str]]:
    """For an area file: what a pixel that is covered as well as can be has, in parts of its solid angle; none for 1."""
    return [] if nominal == 1.0 else [(_NOMINAL, nominal, "area of a well covered pixel, in its own")]


def nominal_of(area: ImageRef) -> float:
    """What `nominal_card` told; 1 where nothing did."""
    told = {key: value for key, value, _ in other_cards(area)}.get(_NOMINAL, 1.0)
    return float(told) if isinstance(told, int | float) and 0.0 < told < np.inf else 1.0


def area_beside(path: str, image: ImageRef) -> ImageRef:
    """The area file of an image's file; InputError, in Montage's words, where it is missing or of another shape."""
    beside = area_name(path)
    try:
        area = image_in(beside, kind="Area")
    except InputError as error:
        raise InputError(f"{error} (noAreas does without, of mAdd haveAreas=False)") from error
    if area.grid.shape != image.grid.shape:
        raise InputError(f"Area file {beside} has shape {area.grid.shape}, its image {image.grid.shape}")
    return area


def reference_pixel(grid: Grid) -> tuple[float, float]:
    """CRPIX1 and CRPIX2: planes of Montage are told about them, in pixels that are counted from zero."""
    header = grid.to_header()
    return float(header["CRPIX1"]), float(header["CRPIX2"])
