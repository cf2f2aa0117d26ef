"""Brightness, contrast and saturation, of colours between 0 and 1.

Notation: each is a factor, and 1 leaves all as it is. In this order, clipped to 0 … 1 once, at the end::

    brightness b    v → b v                       0 is black
    contrast c      v → 1/2 + c (v − 1/2)         0 is mid-grey; mid-grey stays
    saturation s    v → L + s (v − L)             0 is grey; L = 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601) stays

A pixel's new colour depends on its old one only, not on the rest of the picture.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dmontage.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32] | NDArray[np.float64]

__all__ = ["Adjustment"]

_LUMA = (0.299, 0.587, 0.114)


class Adjustment(NamedTuple):
    """The three factors."""

    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0

    def check(self) -> None:
        """InputError of a factor that is negative or not finite."""
        for name, factor in self._asdict().items():
            if not (math.isfinite(factor) and factor >= 0):
                raise InputError(f"{name} is {factor}; give 0 or more, 1 to leave it as it is")

    def of(self, colours: Floats) -> Floats:
        """The new colours of old ones (..., 3), both from 0 to 1."""
        if self == Adjustment():
            return colours
        new = 0.5 + self.contrast * (self.brightness * colours - 0.5)
        if self.saturation != 1.0:
            luma = (new @ np.array(_LUMA, new.dtype))[..., None]
            new = luma + self.saturation * (new - luma)
        return np.clip(new, 0.0, 1.0)
