"""What the solve is given, as checked tables: the images' frames and the pairs' fits (level 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dmontage.model import PlaneFit

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["DEFICIENT", "ImageFrame", "PairTable", "check_images", "check_rows", "frame_table", "ranks", "weights_of"]

DEFICIENT = 1e-10
"""Smallest over largest eigenvalue of an information that fixes no plane; an overlap 2 px wide between images of
10,000 px has 1e-8."""
_MAX_PRECISION = 1e6  # a pair counts as at most 1000 times more precise than the median one, so that digits are left


@dataclass(frozen=True, slots=True)
class ImageFrame:
    """Where an image lies on the mosaic grid, as far as its plane is concerned."""

    x: float
    """Centre, mosaic pixels: the origin of the image's plane."""
    y: float
    half_size: float
    """Half its size in mosaic pixels: the lever arm that makes a slope comparable with a level."""


@dataclass(frozen=True, slots=True)
class PairTable:
    """The fits of m pairs as arrays, checked."""

    plus: Ints
    minus: Ints
    x0: Floats
    """Origin of each fit, mosaic pixels."""
    y0: Floats
    difference: Floats
    """(m, 3) level, slope_x, slope_y of plus - minus at the origin."""
    information: Floats
    """(m, 3, 3) inverse covariance of `difference`; zero for a pair that says nothing."""
    share: Floats | None = None
    """(m,) part of the information that other pairs do not repeat, above 0 and at most 1; None where it is all of it.
    Where n images lie on one another, their n (n - 1)/2 pairs share the noise of n: each says 2/n of what it seems to.
    """
    affines: Floats | None = None
    """(m, 2, 2, 3) affine maps from mosaic pixels about the origin to the pixels of plus's, and of minus's, plane; None
    where all of these are the mosaic's own. They differ for images that a seam cuts into several windows."""

    def __post_init__(self) -> None:
        m = self.plus.size
        shapes = [(m,)] * 4 + [(m, 3), (m, 3, 3), (m,), (m, 2, 2, 3)]
        for name, shape in zip(self.__slots__, shapes, strict=True):
            column = getattr(self, name)
            if column is not None and column.shape != shape:
                raise InputError(f"pair table of {m} rows: {name} has shape {column.shape}, want {shape}")
        optional = [a.reshape(m, a.size // max(m, 1)) for a in (self.share, self.affines) if a is not None]
        numbers = np.column_stack((self.x0, self.y0, self.difference, self.information.reshape(m, 9), *optional))
        bad = ~np.isfinite(numbers).all(axis=1) | (self.information[:, 0, 0] < 0) | (self.plus == self.minus)
        if bad.any():
            k = int(np.argmax(bad))
            raise InputError(
                f"fit of images {self.plus[k]} and {self.minus[k]} (row {k}; {int(bad.sum())} such rows): "
                "two different images, finite numbers and an information of 0 or more are needed; leave the pair out"
            )

    @classmethod
    def of(cls, fits: Sequence[PlaneFit]) -> PairTable:
        """The same fits as a table."""
        planes = [fit.plane for fit in fits]
        numbers = np.array([(p.x0, p.y0, p.level, p.slope_x, p.slope_y) for p in planes], dtype=float).reshape(-1, 5)
        rows = np.array([(fit.plus, fit.minus) for fit in fits], dtype=np.int64).reshape(-1, 2)
        information = np.array([fit.information for fit in fits], dtype=float).reshape(-1, 3, 3)
        return cls(rows[:, 0], rows[:, 1], numbers[:, 0], numbers[:, 1], numbers[:, 2:], information)

    def rows(self, keep: NDArray[np.bool_]) -> PairTable:
        """The pairs marked in `keep`."""
        columns: list[Any] = [getattr(self, name) for name in self.__slots__]
        chosen: list[Any] = [None if column is None else column[keep] for column in columns]
        return PairTable(*chosen)


def frame_table(images: Sequence[ImageFrame] | Floats) -> Floats:
    """(n, 3) x, y and half_size of the images, checked."""
    if not isinstance(images, np.ndarray):
        images = np.array([(f.x, f.y, f.half_size) for f in images], dtype=float).reshape(-1, 3)
    if not (images.ndim == 2 and images.shape[1] == 3 and np.isfinite(images).all() and (images[:, 2] > 0).all()):
        raise InputError(f"image frames of shape {images.shape}: want (n, 3) finite x, y and half_size > 0")
    return images


def check_rows(table: PairTable, n: int) -> None:
    """InputError for pairs of other images than the `n` that have frames."""
    rows = np.concatenate((table.plus, table.minus))
    if rows.size and not 0 <= rows.min() <= rows.max() < n:
        raise InputError(f"pairs name images {rows.min()} to {rows.max()}, but there are {n} frames; give them all")


def check_images(name: str, images: Sequence[int], n: int) -> None:
    """InputError for numbers of other images than the `n` that there are."""
    if len(images) and not 0 <= min(images) <= max(images) < n:
        raise InputError(f"{name} names images {min(images)} to {max(images)}, but there are {n}")


def ranks(pairs: PairTable, information: Floats, frames: Floats) -> Ints:
    """(m,) parameters, 0 to 3, that each pair's information fixes, for images of `frames` (n, 3)."""
    lever = np.minimum(frames[pairs.plus, 2], frames[pairs.minus, 2])
    unit = np.stack((np.ones_like(lever), 1 / lever, 1 / lever), axis=1)
    values = np.linalg.eigvalsh(information * unit[:, :, None] * unit[:, None, :])
    return np.asarray((values > DEFICIENT * values[:, 2:]).sum(axis=1))


def weights_of(information: Floats) -> tuple[Floats, float]:
    """Information in units of a usual pair's (level), capped above that, and the unit.

    The usual pair is the median one, unless images that are equal to the last bit make up most of the pairs: these are
    infinitely precise, and the others would vanish beside them.
    """
    if not len(information):
        return information, 1.0
    level = information[:, 0, 0]
    unit = min(float(np.median(level)), _MAX_PRECISION * float(np.quantile(level, 0.1, method="lower")))
    return information * (np.minimum(1, _MAX_PRECISION * unit / level) / unit)[:, None, None], unit
