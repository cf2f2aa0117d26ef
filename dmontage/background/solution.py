"""What comes out of the solve: the corrections, how well they are known, and what they did (level 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.errors import InputError
from dmontage.model import Plane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dmontage.background.normal import Normal
    from dmontage.background.tables import Floats, Ints, PairTable

__all__ = ["Report", "Solution"]

_BATCH = 256  # functionals solved for at once


@dataclass(frozen=True, slots=True)
class Report:
    """Level differences at the overlaps' origins, before and after the corrections, in the unit of the pixels."""

    n_pairs: int
    rms_before: float
    rms_after: float
    weighted_before: float
    """Root mean square with the levels' information as weight."""
    weighted_after: float
    worst_before: tuple[int, int, float]
    """(plus, minus, difference) of the largest one."""
    worst_after: tuple[int, int, float]

    @classmethod
    def of(cls, pairs: PairTable, weights: Floats, after: Floats) -> Report:
        """Report of `pairs` with the levels' `weights` (m,), of which the differences `after` (m, 3) are left."""
        if not weights.size:
            return cls(0, 0.0, 0.0, 0.0, 0.0, (-1, -1, 0.0), (-1, -1, 0.0))

        def rms(level: Floats, weights: Floats | None = None) -> float:
            return float(np.sqrt(np.average(level**2, weights=weights)))

        def worst(level: Floats) -> tuple[int, int, float]:
            k = int(np.argmax(np.abs(level)))
            return int(pairs.plus[k]), int(pairs.minus[k]), float(level[k])

        a, b = pairs.difference[:, 0], after[:, 0]
        return cls(weights.size, rms(a), rms(b), rms(a, weights), rms(b, weights), worst(a), worst(b))


@dataclass(frozen=True)
class Solution:
    """The corrections of n images, to be subtracted, and how well they are known."""

    parameters: Floats
    """(n, 3) level at the image's centre, slope_x, slope_y per mosaic pixel."""
    centres: Floats
    """(n, 2) x, y of the planes' origins, mosaic pixels."""
    components: Ints
    """(n,) number of each image's connected group, in order of their first images."""
    unpaired: tuple[int, ...]
    """Images without a usable pair: their correction is zero."""
    level_only: tuple[int, ...]
    """Images whose slopes are zero because thin overlaps leave them undetermined, or because that was asked for."""
    unusable: tuple[int, ...]
    """Rows of the pairs without information, which were left out."""
    gauge: str
    """What fixes the part of the corrections that differences cannot tell."""
    tau: float | None
    """Prior standard deviation of the slopes, per pixel; None where there was no prior."""
    report: Report
    normal: Normal
    """The factored normal equations; they live in this process and cannot be pickled."""

    @property
    def level(self) -> Floats:
        """(n,) corrections at the images' centres."""
        return self.parameters[:, 0]

    @property
    def slope_x(self) -> Floats:
        """(n,) change per mosaic pixel along x."""
        return self.parameters[:, 1]

    @property
    def slope_y(self) -> Floats:
        """(n,) change per mosaic pixel along y."""
        return self.parameters[:, 2]

    def plane(self, i: int) -> Plane:
        """Correction of image `i`, about its centre."""
        return Plane(*self.parameters[i].tolist(), *self.centres[i].tolist())

    def variance(self, functionals: Any) -> Floats:
        """Variance of linear functions of the corrections, in the stated gauge.

        Parameters
        ----------
        functionals
            (m, 3n), dense or scipy sparse: coefficients of level, slope_x and slope_y of image 0, of image 1, ...

        Returns
        -------
        ndarray
            (m,) variances g C gᵀ, at the cost of one solve each; C itself is never formed.
        """
        from scipy.sparse import csr_array

        g = csr_array(functionals)
        if g.ndim != 2 or g.shape[1] != self.parameters.size:
            raise InputError(f"functionals of shape {g.shape}; want (m, {self.parameters.size}), 3 for each image")
        rows = range(0, g.shape[0], _BATCH)
        return np.concatenate([self.normal.variance(g[k : k + _BATCH]) for k in rows] or [np.zeros(0)])

    def standard_errors(self, images: Sequence[int] | None = None) -> Floats:
        """(k, 3) standard errors of level, slope_x, slope_y of some images (of all: 3n solves, minutes at 10,000)."""
        from scipy.sparse import csr_array

        index = np.arange(len(self.parameters)) if images is None else np.asarray(images, dtype=np.int64)
        columns = (3 * index[:, None] + np.arange(3)).ravel()
        rows = np.arange(columns.size)
        unit = csr_array((np.ones(columns.size), (rows, columns)), shape=(columns.size, self.parameters.size))
        return np.sqrt(self.variance(unit)).reshape(-1, 3)
