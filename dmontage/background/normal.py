"""The pairs' equations, and the normal equations factored from them (level 3).

Internal slopes are in units of 1/half_size, which makes them comparable with levels. `System` goes from parameters to
differences and back; `Normal` is what is left to keep: it solves, moves to the gauge, and gives covariances.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.background.dissection import dissect
from dmontage.background.factor import Factor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.background.dissection import Front
    from dmontage.background.groups import Gauge
    from dmontage.background.tables import Floats, Ints, PairTable

__all__ = ["Normal", "System"]

_BATCH = 256
"""Functionals solved for at once, and"""
_MOST = 2**24
"""their numbers: 128 MB, some times over."""


@dataclass(frozen=True)
class System:
    """The equations of m pairs in the internal parameters of n images."""

    index: Ints
    """(m, 6) positions of the parameters of plus and of minus among the 3n."""
    design: Floats
    """(m, 3, 6) from these to the corrected-away difference at the pair's origin."""
    unit: Floats
    """(3n,) natural parameter per internal one: 1 for levels, 1/half_size for slopes."""
    positions: Floats
    """(n, 2) of the images, mosaic pixels."""

    @classmethod
    def of(cls, pairs: PairTable, frames: Floats) -> System:
        """Equations of `pairs` between the images of `frames` (n, 3)."""
        m = pairs.plus.size
        design = np.zeros((m, 3, 6))
        origin = np.stack((pairs.x0, pairs.y0), axis=1)
        for side, (image, sign) in enumerate(((pairs.plus, 1.0), (pairs.minus, -1.0))):
            at, turn = origin, np.eye(2)
            if pairs.affines is not None:
                turn, shift = pairs.affines[:, side, :, :2], pairs.affines[:, side, :, 2]
                at = (turn @ origin[:, :, None])[:, :, 0] + shift
            half = frames[image, 2:]
            part = design[:, :, 3 * side : 3 * side + 3]
            part[:, 0, 0] = sign
            part[:, 0, 1:] = sign * (at - frames[image, :2]) / half
            part[:, 1:, 1:] = sign * np.swapaxes(np.broadcast_to(turn, (m, 2, 2)), 1, 2) / half[:, :, None]
        index = np.concatenate([3 * image[:, None] + np.arange(3) for image in (pairs.plus, pairs.minus)], axis=1)
        unit = np.stack((np.ones(len(frames)), 1 / frames[:, 2], 1 / frames[:, 2]), axis=1).ravel()
        return cls(index, design, unit, frames[:, :2])

    def rows(self, keep: NDArray[np.bool_]) -> System:
        """The equations of the pairs marked in `keep`."""
        return self if keep.all() else System(self.index[keep], self.design[keep], self.unit, self.positions)

    @cached_property
    def fronts(self) -> list[Front]:
        """The order in which the images' parameters are eliminated."""
        return dissect(self.index[:, 0] // 3, self.index[:, 3] // 3, self.positions)

    def residuals(self, difference: Floats, p: Floats) -> Floats:
        """(m, 3) what internal parameters p leave of the fitted differences."""
        return difference - (self.design @ p[self.index][:, :, None])[:, :, 0]

    def right(self, w: Floats, difference: Floats) -> Floats:
        """(3n,) right side of the normal equations, for differences of information `w` (m, 3, 3)."""
        parts = np.swapaxes(self.design, 1, 2) @ (w @ difference[:, :, None])
        return np.asarray(np.bincount(self.index.ravel(), parts.ravel(), minlength=self.unit.size), dtype=np.float64)

    def factored(self, w: Floats, penalty: Floats, free: Ints) -> tuple[Factor, Floats]:
        """Factor of the free part of the normal matrix, scaled to a unit diagonal, and that scale."""
        from scipy.sparse import coo_array, diags_array

        n = len(self.positions)
        place = np.full(3 * n, -1)
        place[free] = np.arange(free.size)
        blocks = np.swapaxes(self.design, 1, 2) @ (w @ self.design)
        at = place[self.index]
        rows, columns = np.broadcast_arrays(at[:, :, None], at[:, None, :])
        inside = (rows >= 0) & (columns >= 0)
        matrix = coo_array((blocks[inside], (rows[inside], columns[inside])), shape=(free.size, free.size)).tocsr()
        matrix = matrix + diags_array(penalty[free], format="csr")
        scale = 1 / np.sqrt(matrix.diagonal())
        matrix = diags_array(scale) @ matrix @ diags_array(scale)
        ends = np.searchsorted(free, 3 * np.arange(n + 1))
        unknowns = np.split(np.arange(free.size), ends[1:-1]) if n else []
        return Factor.of(matrix, self.fronts, unknowns), scale


@dataclass(frozen=True, slots=True)
class Normal:
    """Normal equations of the free parameters, in units of `unit` and of the weight `weight`."""

    factor: Factor
    scale: Floats
    """(free,) 1/√diagonal: the matrix that was factored has a unit diagonal."""
    free: Ints
    """Positions of the free parameters among the 3n."""
    unit: Floats
    """(3n,) natural parameter per internal one: 1 for levels, 1/half_size for slopes."""
    weight: float
    gauge: Gauge

    def solve(self, right: Floats) -> Floats:
        """(3n, ...) internal parameters for right sides (3n, ...); fixed parameters are zero."""
        p = np.zeros_like(right)
        scale = self.scale.reshape(-1, *(1,) * (right.ndim - 1))
        p[self.free] = scale * self.factor.solve(scale * right[self.free])
        return p

    def functionals(self, g: Any) -> tuple[Floats, Floats]:
        """Rows of `g` (m, 3n; sparse, natural units) in the gauge, (free, m), and the inverse applied to them.

        Products of the two are covariances in units of 1/weight.
        """
        q = self.gauge.of_functionals(g).toarray() * self.unit
        q = (q[:, self.free] * self.scale).T
        return q, self.factor.solve(q)

    def variance(self, g: Any) -> Floats:
        """(m,) variances of the rows of `g` (m, 3n; sparse, natural units) in the gauge."""
        q, z = self.functionals(g)
        return np.asarray((q * z).sum(axis=0)) / self.weight

    def covariance_times(self, v: Floats) -> Floats:
        """C v for vectors (3n, k), in natural units: C is the covariance in the gauge, and is never formed."""
        mine = self.gauge.of_functionals(v.T).T
        unit = self.unit[:, None]
        return self.gauge.move(unit * self.solve(unit * mine)) / self.weight

    @property
    def batch(self) -> int:
        """Functionals that are solved for at once."""
        return max(3, min(_BATCH, _MOST // max(self.unit.size, 1)))

    def of_differences(self, system: System) -> Floats:
        """(m, 3, 3) covariances of what the solution says of the differences of a system's pairs."""
        from scipy.sparse import csr_array

        m = len(system.design)
        out = np.empty((m, 3, 3))
        for k in range(0, m, self.batch // 3):
            part = slice(k, min(k + self.batch // 3, m))
            values = system.design[part] / system.unit[system.index[part]][:, None, :]
            n = len(values)
            rows = np.broadcast_to(np.arange(3 * n).reshape(n, 3, 1), values.shape)
            columns = np.broadcast_to(system.index[part][:, None, :], values.shape)
            g = csr_array((values.ravel(), (rows.ravel(), columns.ravel())), shape=(3 * n, self.unit.size))
            q, z = self.functionals(g)
            three = (len(q), n, 3)
            out[part] = np.einsum("fka,fkb->kab", q.reshape(three), z.reshape(three)) / self.weight
        return out

    def blocks(self, first: Ints, second: Ints) -> Floats:
        """(k, 3, 3) covariances of the parameters of images `first` with those of `second`, in the gauge.

        Either one and the same image, or two of a pair: what selected inversion gives without further solves. With Z
        the inverse that the pins give, N null vectors and D the gauge's means, the gauge's is Z − N(DZ) − (N(DZ))ᵀ +
        N(DZDᵀ)Nᵀ. A mean's own group is all that it is correlated with, so one solve serves all groups.
        """
        place = np.full(self.unit.size, -1)
        place[self.free] = np.arange(self.free.size)
        three = np.arange(3)
        rows, columns = np.broadcast_arrays(
            3 * first[:, None, None] + three[:, None], 3 * second[:, None, None] + three
        )
        at_rows, at_columns = place[rows], place[columns]
        inside = (at_rows >= 0) & (at_columns >= 0)
        z = np.zeros(rows.shape)
        z[inside] = self.factor.inverse_at(at_rows[inside], at_columns[inside])
        size = np.zeros(self.unit.size)
        size[self.free] = self.scale
        size *= self.unit
        z *= size[rows] * size[columns]
        return (z + self._gauge_part(rows[:, :, 0], columns[:, 0, :])) / self.weight

    def _gauge_part(self, rows: Ints, columns: Ints) -> Floats:
        """(k, 3, 3) what the gauge adds to blocks of rows (k, 3) and columns (k, 3) of the pinned inverse."""
        n_images = self.unit.size // 3
        # Of each kind of null vector (level, and two slopes) the sum over all groups.
        kinds = [slice(axis * n_images, (axis + 1) * n_images) for axis in range(3)]
        out = np.zeros((len(rows), 3, 3))
        null = [np.asarray(self.gauge.null[:, kind].sum(axis=1)).ravel() for kind in kinds]
        used = [axis for axis in range(3) if null[axis].any()]
        if not used:
            return out
        dual = {axis: np.asarray(self.gauge.dual[kinds[axis]].sum(axis=0)).ravel() for axis in used}
        z = {axis: self.unit * self.solve(self.unit * dual[axis]) for axis in used}
        for a in used:
            out -= null[a][rows][:, :, None] * z[a][columns][:, None, :]
            out -= z[a][rows][:, :, None] * null[a][columns][:, None, :]
            for b in used:
                # D_a Z D_bᵀ of each image's own group.
                between = np.asarray((self.gauge.dual[kinds[a]].multiply(z[b][None, :])).sum(axis=1)).ravel()
                of_image = self._group_values(between, a)
                out += (of_image * null[a])[rows][:, :, None] * null[b][columns][:, None, :]
        return out

    def _group_values(self, of_group: Floats, axis: int) -> Floats:
        """(3n,) the value of each parameter's group, from those (n,) of the groups' null vectors of one kind."""
        n_images = self.unit.size // 3
        pattern = self.gauge.null[:, axis * n_images : (axis + 1) * n_images].copy()
        pattern.data[:] = 1.0
        return np.asarray(pattern @ of_group).ravel()
