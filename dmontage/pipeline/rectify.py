"""Rectify: the stages that find the corrections of the images, fit and solve; each runs once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dmontage.graph.overlaps import Pairs, fit_pairs
from dmontage.model import PlaneFit
from dmontage.pipeline.given import given_planes
from dmontage.pipeline.match import Match
from dmontage.pipeline.pair_noise import pair_correlations
from dmontage.pipeline.saving import Saving
from dmontage.pipeline.stages import Stages
from dmontage.store import FITS_PER_CHUNK

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.background import Solution
    from dmontage.pipeline.telling import Progress
    from dmontage.places import Place
    from dmontage.planner import MosaicPlan

__all__ = ["Rectified"]

_LATEST = 2.0
"""Seconds that fits wait for others at most before they are stored: what a run that is killed does again."""


class Rectified(Stages):
    """A plan, its store, and the corrections of the images once they are found."""

    def __init__(
        self,
        plan: MosaicPlan,
        store: str | Place | None = None,
        *,
        strict: bool = False,
        progress: Progress | bool | None = None,
    ) -> None:
        super().__init__(plan, store, strict=strict, progress=progress)
        self.fits: tuple[PlaneFit, ...] = ()
        """The fitted differences of the overlaps between rows of the plan, once they are known."""
        self.solution: Solution | None = None
        """The corrections of the images of the plan, and their errors, once they are known."""
        self._corrected = False
        self._match = Match(plan)

    def _forget(self) -> None:
        super()._forget()
        self._corrected = False

    def _prepare(self) -> None:
        """Project all images, and find the corrections."""
        self._project(range(len(self.plan.rows)))
        self._rectify()

    def _rectify(self) -> None:
        """Find the corrections, unless the store has them: project, fit the overlaps and solve."""
        name = self.plan.corrected_by
        if name == "none" or self._corrected:
            return
        store = self._open()
        told = store.tables.planes_told(name)
        if told is not None and told.get("failed"):
            self._project(range(len(self.plan.rows)))  # what could not be read then may be there now
        if told is not None and told.get("rows") == list(self._numbers) and told.get("failed") == self._failed:
            self.summary.recall(told)
        else:
            planes = self._given() if self.plan.background == "given" else self._match.row_planes(self._solve())
            rows = np.array(self._numbers, np.float64)[:, None]
            about = self.summary.on_matching() | {"rows": list(self._numbers), "failed": self._failed}
            store.check_there()
            store.tables.write_planes(name, np.hstack([rows, planes]), about)
        self._corrected = True

    @property
    def _failed(self) -> list[int]:
        """Numbers in the store of rows whose images could not be read, so far."""
        return sorted(self._numbers[row] for row, receipt in self._receipts.items() if "error" in receipt)

    def _given(self) -> NDArray[np.float64]:
        """The rows' planes from corrections that the user has."""
        planes, self.summary.uncorrected, rough = given_planes(self._match)
        if rough:
            self.summary.matching_warnings = (
                f"slopes are followed to more than 5 % off, where the map is bent, of {', '.join(rough[:5])}",
            )
        return planes

    def _solve(self) -> NDArray[np.float64]:
        """The images' corrections (n, 3), from the overlaps of all of them."""
        if self.solution is None:
            self._project(range(len(self.plan.rows)))
            self.fits = self._fit()
            with self.summary.timed("solve") as told:
                self.solution = self._match.solve(self.fits)
                self._tell(self.solution)
                summary = self.summary
                told.update(
                    pairs=summary.pairs, rejected=len(summary.rejected), rms_before=summary.rms_before,
                    rms_after=summary.rms_after,
                )  # fmt: skip
        return self.solution.parameters

    def _fit(self) -> tuple[PlaneFit, ...]:
        """The fits of the overlaps; the store keeps each for runs with other images or models of the background."""
        plan, store = self.plan, self._open()
        wanted: list[tuple[int, int, float]] = [
            (self._numbers[pair.plus], self._numbers[pair.minus], correlation)
            for pair, correlation in zip(plan.pairs, pair_correlations(plan), strict=True)
        ]
        failed = set(self._failed)
        kept = {
            (int(row[0]), int(row[1]), row[-1]): PlaneFit.from_row(row[:-1]) for row in store.tables.fits().tolist()
        }
        missing = {k for k, key in enumerate(wanted) if key not in kept}
        batches = [tuple(wanted[k] for k in batch if k in missing) for batch in plan.pair_batches]
        self.summary.fits_reused = len(wanted) - len(missing)

        def collect(done: list[tuple[PlaneFit, float]]) -> None:
            new = {(fit.plus, fit.minus, correlation): fit for fit, correlation in done}
            kept.update(new)
            saving.add([*f.to_row(), key[-1]] for key, f in new.items() if not failed & {f.plus, f.minus})

        def save(rows: NDArray[np.float64]) -> None:
            store.check_there()
            store.tables.append_fits(rows)

        saving = Saving(save, FITS_PER_CHUNK, _LATEST)
        with self.summary.timed("fit") as told, saving:
            self._run("fit", fit_pairs, [(Pairs(batch),) for batch in batches if batch], collect)
            told.update(pairs=len(wanted), reused=self.summary.fits_reused)
        fits = zip((kept[key] for key in wanted), plan.pairs, strict=True)
        return tuple(replace(fit, plus=pair.plus, minus=pair.minus) for fit, pair in fits)

    def _tell(self, solution: Solution) -> None:
        left, images, summary = solution.remainders, self.plan.images, self.summary
        summary.pairs = int(left.kept.size)
        summary.rejected = tuple(
            f"{images[plus].name} and {images[minus].name}"
            for plus, minus, kept in zip(left.plus, left.minus, left.kept, strict=True) if not kept
        )  # fmt: skip
        summary.rms_before, summary.rms_after = left.rms_before, left.rms_after
        told = {*self._outcome.failed, *self._outcome.empty}
        names = tuple(images[k].name for k in solution.unpaired if k not in told)
        summary.unpaired = names if summary.images > 1 else ()
        summary.level_only = tuple(images[k].name for k in solution.level_only) * (self.plan.background == "plane")
        paired = np.delete(solution.components, list(solution.unpaired))
        summary.groups = max(len(np.unique(paired)), 1)
        summary.gauge = solution.gauge
        if not solution.converged:
            summary.matching_warnings = (
                f"the relaxation has not converged after {solution.steps} steps: the corrections still move",
            )
