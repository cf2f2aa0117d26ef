"""The pairs' equations, and the normal equations factored from them (level 3).

Internal slopes are in units of 1/half_size, which makes them comparable with levels. `System` goes from parameters to
differences and back; `Normal` is what is left to keep: it solves, moves to the gauge, and gives variances.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from dmontage.background.tables import Floats, Ints, PairTable

__all__ = ["Normal", "System"]


@dataclass(frozen=True, slots=True)
class System:
    """The equations of m pairs in the internal parameters of n images."""

    index: Ints
    """(m, 6) positions of the parameters of plus and of minus among the 3n."""
    design: Floats
    """(m, 3, 6) from these to the corrected-away difference at the pair's origin."""
    w: Floats
    """(m, 3, 3) information of the differences, in units of the weight."""
    unit: Floats
    """(3n,) natural parameter per internal one: 1 for levels, 1/half_size for slopes."""

    @classmethod
    def of(cls, pairs: PairTable, w: Floats, frames: Floats) -> System:
        """Equations of `pairs` with the information `w`, between the images of `frames` (n, 3)."""
        design = np.zeros((len(w), 3, 6))
        for image, first, sign in ((pairs.plus, 0, 1.0), (pairs.minus, 3, -1.0)):
            x, y, h = frames[image].T
            design[:, 0, first] = sign
            design[:, 0, first + 1] = sign * (pairs.x0 - x) / h
            design[:, 0, first + 2] = sign * (pairs.y0 - y) / h
            design[:, 1, first + 1] = design[:, 2, first + 2] = sign / h
        index = np.concatenate([3 * image[:, None] + np.arange(3) for image in (pairs.plus, pairs.minus)], axis=1)
        unit = np.stack((np.ones(len(frames)), 1 / frames[:, 2], 1 / frames[:, 2]), axis=1).ravel()
        return cls(index, design, w, unit)

    def residuals(self, difference: Floats, p: Floats) -> Floats:
        """(m, 3) what internal parameters p leave of the fitted differences."""
        return difference - (self.design @ p[self.index][:, :, None])[:, :, 0]

    def right(self, difference: Floats) -> Floats:
        """(3n,) right side of the normal equations."""
        parts = np.swapaxes(self.design, 1, 2) @ (self.w @ difference[:, :, None])
        return np.asarray(np.bincount(self.index.ravel(), parts.ravel(), minlength=self.unit.size), dtype=np.float64)

    def factored(self, penalty: Floats, free: Ints) -> tuple[Any, Floats]:
        """Factor of the free part of the normal matrix, scaled to a unit diagonal, and that scale."""
        from scipy.sparse import coo_array, diags_array
        from scipy.sparse.linalg import splu

        if not free.size:
            return None, np.zeros(0)
        blocks = np.swapaxes(self.design, 1, 2) @ (self.w @ self.design)
        place = np.full(self.unit.size, -1)
        place[free] = np.arange(free.size)
        at = place[self.index]
        rows, columns = np.broadcast_arrays(at[:, :, None], at[:, None, :])
        inside = (rows >= 0) & (columns >= 0)
        matrix = coo_array((blocks[inside], (rows[inside], columns[inside])), shape=(free.size, free.size)).tocsc()
        matrix = matrix + diags_array(penalty[free], format="csc")
        scale = 1 / np.sqrt(matrix.diagonal())
        matrix = (diags_array(scale) @ matrix @ diags_array(scale)).tocsc()
        # Symmetric and positive definite: no pivoting, so the ordering keeps the factor sparse.
        return splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}), scale


@dataclass(frozen=True, slots=True)
class Normal:
    """Normal equations of the free parameters, in units of `unit` and of the weight `weight`."""

    factor: Any
    scale: Floats
    """(free,) 1/√diagonal: the matrix that was factored has a unit diagonal."""
    free: Ints
    """Positions of the free parameters among the 3n."""
    unit: Floats
    """(3n,) natural parameter per internal one: 1 for levels, 1/half_size for slopes."""
    weight: float
    null: Any
    """(3n, 3n) sparse: columns are the directions that the differences cannot see, in natural units; most are empty."""
    dual: Any
    """(3n, 3n) sparse: rows are the means that the gauge sets to zero; with `null` they make an identity."""

    def solve(self, right: Floats) -> Floats:
        """(3n,) internal parameters for the right side (3n,); fixed parameters are zero."""
        p = np.zeros_like(right)
        if self.free.size:
            p[self.free] = self.scale * self.factor.solve(self.scale * right[self.free])
        return p

    def to_gauge(self, p: Floats) -> Floats:
        """`p` (3n,), in natural units, moved along the null vectors to where the gauge's means are zero."""
        moved: Floats = p - self.null @ (self.dual @ p)
        return moved

    def variance(self, g: Any) -> Floats:
        """(m,) variances of the rows of `g` (m, 3n; sparse, natural units) in the gauge."""
        if not self.free.size:
            return np.zeros(g.shape[0])
        q = (g - (g @ self.null) @ self.dual).toarray() * self.unit
        q = (q[:, self.free] * self.scale).T
        return np.asarray((q * self.factor.solve(q)).sum(axis=0)) / self.weight
