"""Job: what a projection is of, and the sums that it fills, for both ways that lead to these (level 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.kernels.deposit import deposit
from dmontage.model import Drop
from dmontage.window import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.grid import Grid
    from dmontage.mapping import Mapping

    Lists = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]

__all__ = ["Image", "Job", "Sums", "deposit_lists"]


class Job(NamedTuple):
    """How an image is projected: all that does not depend on its values."""

    grid_in: Grid
    grid_out: Grid
    mapping: Mapping
    method: str
    """Kernel: "plane" or "sky"."""
    drop: Drop = Drop()


class Image(NamedTuple):
    """Planes (p, ny, nx) of a part of the input; weights and variance have 0, 1 or p planes."""

    values: NDArray[Any]
    weights: NDArray[Any]
    variance: NDArray[Any]
    part: Window

    @property
    def plain(self) -> bool:
        """True for one plane that weighs the same everywhere."""
        return len(self.values) == 1 and not len(self.weights) and not len(self.variance)

    def cut(self, window: Window) -> Image:
        """The pixels of a window of the input grid."""
        at = (slice(None), *window.relative_to(self.part).slices)
        return Image(self.values[at], self.weights[at], self.variance[at], window)

    def used(self) -> NDArray[np.bool_]:
        """Pixels that have a value in some plane."""
        return np.asarray(np.isfinite(self.values).any(axis=0))


class Sums(NamedTuple):
    """Sums (p, my, mx) to be added to; weight and variance have no plane where they are not wanted."""

    flux: NDArray[np.float64]
    area: NDArray[np.float64]
    weight: NDArray[np.float64]
    variance: NDArray[np.float64]


def deposit_lists(image: Image, lists: Lists, sums: Sums) -> None:
    """Add all planes of an image to the sums, through a list of its pixels' overlaps."""
    inputs = (np.ascontiguousarray(a).reshape(len(a), image.part.size) for a in image[:3])
    deposit(*lists, *inputs, *(a.reshape(len(a), sums.flux[0].size) for a in sums))
