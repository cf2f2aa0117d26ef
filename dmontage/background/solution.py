"""What comes out of the solve: the corrections, how well they are known, and what they leave (level 3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.errors import InputError
from dmontage.model import Plane

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.background.normal import Normal
    from dmontage.background.tables import Floats, Ints, PairTable

__all__ = ["Remainders", "Solution"]


@dataclass(frozen=True, slots=True)
class Remainders:
    """Level differences of m pairs at the overlaps' origins, before and after the corrections, in the pixels' unit."""

    plus: Ints
    minus: Ints
    before: Floats
    after: Floats
    kept: NDArray[np.bool_]
    """False for pairs that disagree with the rest, and were left out."""
    t: Floats
    """What is left of level and slopes over its error, the misfit included; about 1, or less. NaN from a relaxation."""

    @classmethod
    def of(cls, pairs: PairTable, after: Floats, kept: NDArray[np.bool_], t: Floats) -> Remainders:
        """What of `pairs` the corrections leave, `after` (m, 3)."""
        return cls(pairs.plus, pairs.minus, pairs.difference[:, 0], after[:, 0], kept, t)

    @property
    def rms_before(self) -> float:
        """Root mean square of the level differences of the pairs that were kept; 0 without any."""
        return _rms(self.before[self.kept])

    @property
    def rms_after(self) -> float:
        """The same of what the corrections leave."""
        return _rms(self.after[self.kept])


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2))) if values.size else 0.0


@dataclass(frozen=True)
class Solution:
    """The corrections of n images, to be subtracted, and how well they are known."""

    parameters: Floats
    """(n, 3) level at the image's centre, slope_x, slope_y per mosaic pixel."""
    frames: Floats
    """(n, 3) x, y of the planes' origins and the images' half size, mosaic pixels."""
    components: Ints
    """(n,) number of each image's connected group, in order of their first images."""
    unpaired: tuple[int, ...]
    """Images without a usable pair: their correction is zero."""
    level_only: tuple[int, ...]
    """Images whose slopes are zero because thin overlaps leave them undetermined, or because that was asked for."""
    locked: tuple[int, ...]
    """Images whose correction is zero because that was asked for."""
    unusable: tuple[int, ...]
    """Rows of the pairs without information, which were left out."""
    gauge: str
    """What fixes the part of the corrections that differences cannot tell."""
    tau: float | None
    """Prior standard deviation of the slopes, per pixel; None where there was no prior."""
    misfit: float
    """Standard deviation of what the pairs disagree by beyond their stated errors, as a level; 0 if that is nothing."""
    remainders: Remainders
    normal: Normal | None
    """The factored normal equations, which give covariances; None from a relaxation, which has none."""
    steps: int | None = None
    """Of the relaxation; None for the direct solution."""
    converged: bool = True

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

    @property
    def centres(self) -> Floats:
        """(n, 2) x, y of the planes' origins, mosaic pixels."""
        return self.frames[:, :2]

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
        batch = self.known.batch
        rows = range(0, g.shape[0], batch)
        return np.concatenate([self.known.variance(g[k : k + batch]) for k in rows] or [np.zeros(0)])

    @cached_property
    def covariances(self) -> Floats:
        """(n, 3, 3) covariance of each image's level, slope_x, slope_y, in the stated gauge: by selected inversion."""
        each = np.arange(len(self.parameters))
        return self.known.blocks(each, each)

    @property
    def standard_errors(self) -> Floats:
        """(n, 3) of level, slope_x, slope_y; zero for what is fixed."""
        return np.asarray(np.sqrt(np.maximum(np.einsum("kaa->ka", self.covariances), 0.0)))

    @property
    def known(self) -> Normal:
        """What gives covariances; InputError from a relaxation."""
        if self.normal is None:
            raise InputError("a relaxation has no covariance: solve with solver='direct' for the errors")
        return self.normal
