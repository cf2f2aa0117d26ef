"""Least squares: the fit of all pairs for given weights, and what is known of it (level 3)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from dmontage.background.groups import Groups, Wishes
from dmontage.background.normal import Normal, System
from dmontage.background.prior import is_negligible
from dmontage.background.tables import PairTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.background.tables import Floats

    Flags = NDArray[np.bool_]

__all__ = ["Fitted", "LeastSquares"]


@dataclass(frozen=True)
class LeastSquares:
    """All that a fit of the pairs takes but their weights."""

    pairs: PairTable
    w: Floats
    """(m, 3, 3) information, in units of `weight`."""
    weight: float
    frames: Floats
    tau: float | None
    wishes: Wishes

    def with_prior(self, tau: float | None) -> LeastSquares:
        """The same with another prior; one so wide that rounding hides it is none, where that has its gauge."""
        hidden = self.pairs.affines is None and is_negligible(tau, self.w * self.weight)
        return replace(self, tau=None if hidden else tau)

    @cached_property
    def system(self) -> System:
        """The equations of all pairs."""
        return System.of(self.pairs, self.frames)

    def penalty(self, width: Floats) -> Floats:
        """(3n,) of the prior, τ being ``width`` (n,) times as wide for an image."""
        penalty = np.zeros((len(self.frames), 3))
        if self.tau:
            penalty[:, 1:] = 1 / (self.weight * (self.tau * width[:, None] * self.frames[:, 2:]) ** 2)
        return penalty.ravel()

    @cached_property
    def _parts(self) -> dict[bytes, tuple[System, Groups]]:
        return {}

    def part(self, kept: Flags) -> tuple[System, Groups]:
        """Equations and groups of the pairs marked in ``kept`` (m,); those of the last ones are at hand."""
        key = kept.tobytes()
        if key not in self._parts:
            self._parts.clear()
            groups = Groups.of(self.pairs.rows(kept), self.w[kept], self.frames, self.tau, self.wishes)
            self._parts[key] = self.system.rows(kept), groups
        return self._parts[key]

    def fit(self, weights: Floats, width: Floats | None = None) -> Fitted:
        """Least squares with the pairs' weights (m,), and τ so much wider for each image (n,)."""
        penalty = self.penalty(np.ones(len(self.frames)) if width is None else width)
        kept = weights > 0
        (system, groups), w = self.part(kept), self.w[kept] * weights[kept, None, None]
        difference, free = self.pairs.difference[kept], groups.free()
        factor, scale = system.factored(w, penalty, free)
        normal = Normal(factor, scale, free, system.unit, self.weight, groups.gauge(self.frames))
        p = normal.solve(system.right(w, difference))
        p += normal.solve(system.right(w, system.residuals(difference, p)) - penalty * p)
        return Fitted(self, groups, normal, p, penalty)


@dataclass(frozen=True)
class Fitted:
    """A solution by least squares."""

    problem: LeastSquares
    groups: Groups
    normal: Normal | None
    p: Floats
    """(3n,) internal parameters, in no gauge."""
    penalty: Floats

    @cached_property
    def residuals(self) -> Floats:
        """(m, 3) what it leaves of all pairs' differences, also of those without weight."""
        return self.problem.system.residuals(self.problem.pairs.difference, self.p)

    def predicted(self, some: Flags) -> Floats:
        """(k, 3, 3) covariances of what the solution says of some pairs' differences."""
        assert self.normal is not None
        return self.normal.of_differences(self.problem.system.rows(some))

    @property
    def steepness(self) -> Floats:
        """(n,) slopes of each image in units of τ; 0 without a prior."""
        if not self.problem.tau:
            return np.zeros(len(self.problem.frames))
        natural = (self.p * self.problem.system.unit).reshape(-1, 3)
        return np.asarray(np.hypot(natural[:, 1], natural[:, 2]) / self.problem.tau)

    @property
    def n_free(self) -> int:
        """Parameters that were solved for."""
        return 0 if self.normal is None else self.normal.free.size

    @cached_property
    def n_effective(self) -> float:
        """Free parameters, less what of them the prior fixes."""
        normal = self.normal
        if normal is None or not normal.free.size or not self.problem.tau:
            return float(self.n_free)
        each = np.arange(normal.free.size)
        by_prior = normal.factor.inverse_at(each, each) * normal.scale**2 * self.penalty[normal.free]
        return float(normal.free.size - by_prior.sum())
