"""mDiff: the difference of two images that lie on one grid."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.fits_files import write_images
from dmontage.kernels.plane_fit import difference
from dmontage.montage.answer import NothingThereError
from dmontage.montage.covered import Covered, area_name
from dmontage.montage.inputs import template_grid
from dmontage.montage.same_pixels import pixel_shift
from dmontage.window import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.grid import Grid

    Floats = NDArray[np.float64]

__all__ = ["Difference", "Side", "difference_of", "mDiff", "subtract"]


def mDiff(
    input_file1: str,
    input_file2: str,
    output_file: str,
    template_file: str,
    noAreas: bool = False,
    factor: float = 1.0,
    debug: int = 0,
) -> dict[str, Any]:
    """Subtract an image from another that lies on the same grid, where both are well covered.

    Parameters
    ----------
    input_file1, input_file2
        The images; the second is subtracted.
    output_file
        The difference on the part of the grid where there is one; beside it the sum of the areas.
    template_file
        The grid.
    noAreas
        Neither read nor write area files: all pixels with a value count.
    factor
        Multiplies the second image.
    debug
        Not used.

    Returns
    -------
    dict
        "time" in seconds, "min_pixel" and "max_pixel" of either image in the overlap, "min_diff", "max_diff".
    """
    start = time.perf_counter()
    found = subtract(input_file1, input_file2, output_file, template_grid(template_file), noAreas, factor)
    low, high = found.pixels
    return {
        "time": time.perf_counter() - start,
        "min_pixel": low,
        "max_pixel": high,
        "min_diff": float(np.nanmin(found.values)),
        "max_diff": float(np.nanmax(found.values)),
    }


class Side(NamedTuple):
    """One of two images, on a grid."""

    covered: Covered
    least: float
    window: Window
    """On the grid's pixels."""

    @classmethod
    def of(cls, path: str, grid: Grid, no_areas: bool) -> Side:
        """An image's place, and what a well covered pixel of it is."""
        covered = Covered.of(path, no_areas)
        image = covered.image
        dy, dx = pixel_shift(grid, image.grid, image.name)
        return cls(covered, covered.least(), image.grid.window.shift(dy, dx))


class Difference(NamedTuple):
    """A difference, on the smallest window that has all its pixels."""

    window: Window
    """On the grid's pixels."""
    values: Floats
    """NaN where there is no difference."""
    areas: Floats
    """Sum of both images' areas; 0 where there is no difference."""
    pixels: tuple[float, float]
    """Smallest and largest of either image where there is a difference."""

    def write(self, path: str, grid: Grid, no_areas: bool) -> None:
        """Write it, with its area file unless that is not wanted."""
        mine = grid.subgrid(self.window)
        areas = [] if no_areas else [(area_name(path), self.areas, mine, [("BUNIT", "sr")])]
        write_images([*areas, (path, self.values, mine, ())])


def subtract(plus: str, minus: str, output: str, grid: Grid, no_areas: bool, factor: float = 1.0) -> Difference:
    """The difference of two images on a grid, all by the names of their files; it is written."""
    found = difference_of(Side.of(plus, grid, no_areas), Side.of(minus, grid, no_areas), grid, factor)
    found.write(output, grid, no_areas)
    return found


def difference_of(plus: Side, minus: Side, grid: Grid, factor: float = 1.0) -> Difference:
    """The difference of two images on a grid; NothingThereError where they have no pixel in common."""
    window = plus.window & minus.window & grid.window
    if not window:
        raise NothingThereError(
            f"Images don't overlap: {plus.covered.image.name} covers {plus.window} of the template's "
            f"{grid.window}, {minus.covered.image.name} {minus.window}"
        )
    a, areas = plus.covered.sums(window.relative_to(plus.window), plus.least)
    b, more = minus.covered.sums(window.relative_to(minus.window), minus.least)
    scaled = b._replace(flux=b.flux * factor)
    d = np.asarray(difference(a, scaled), np.float64)
    good = np.isfinite(d)
    if not good.any():
        raise NothingThereError(
            f"All pixels are blank. {plus.covered.image.name} and {minus.covered.image.name} have none in common"
        )
    found = Window.around(good)
    part, values = found.slices, np.stack([a.flux, scaled.flux])[:, good]
    total = np.where(good, areas + more, 0.0)[part]
    return Difference(found.shift(window.y0, window.x0), d[part], total, (float(values.min()), float(values.max())))
