"""The frozen nouns that the stages hand to each other (level 2). They hold numbers, never pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.window import Window

__all__ = ["OverlapPair", "Plane", "PlaneFit"]


@dataclass(frozen=True, slots=True)
class OverlapPair:
    """Two images whose footprints share pixels of the mosaic grid; the difference is ``plus - minus``."""

    plus: int
    """Row of the image that counts positive."""
    minus: int
    """Row of the image that is subtracted; always greater than ``plus``."""
    window: Window
    """The common part of their footprints, on the mosaic grid."""


@dataclass(frozen=True, slots=True)
class Plane:
    """``level + slope_x (x - x0) + slope_y (y - y0)`` over the pixels (x, y) of one grid.

    The origin is part of the plane: about a far origin its level would lose eight digits.
    """

    level: float
    """Value at the origin, in the unit of the pixels."""
    slope_x: float
    """Change per pixel along x."""
    slope_y: float
    """Change per pixel along y."""
    x0: float
    y0: float

    def at(self, x: NDArray[np.float64] | float, y: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Values at pixel coordinates ``x``, ``y`` (broadcast against each other)."""
        return np.asarray(self.level + self.slope_x * (x - self.x0) + self.slope_y * (y - self.y0))


@dataclass(frozen=True, slots=True)
class PlaneFit:
    """The plane through the difference of one pair, and how well it is known."""

    plus: int
    minus: int
    plane: Plane
    """Fitted difference plus - minus, about the overlap's own origin, in mosaic pixels."""
    covariance: tuple[tuple[float, float, float], ...]
    """3×3 covariance of (level, slope_x, slope_y), counting independent *input* pixels."""
    rms: float
    """Standard deviation of the kept differences about the plane, corrected for the clipping."""
    median: float
    """Median of the raw differences, before any plane is taken out."""
    n_pixels: int
    """Pixels in which both images are well covered."""
    n_kept: int
    """Pixels that survived the clipping."""
