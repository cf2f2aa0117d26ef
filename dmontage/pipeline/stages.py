"""Stages: project, fit and solve, each run once, over a store that keeps what they made."""

from __future__ import annotations

import tempfile
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from dmontage.errors import InputError
from dmontage.graph.coadd import Chunk, How
from dmontage.graph.drive import Call, active_client, in_process, name_of, run
from dmontage.graph.overlaps import Pairs, fit_pairs
from dmontage.graph.rows import create_store, project_rows
from dmontage.model import PlaneFit, Skipped
from dmontage.pipeline.given import given_planes
from dmontage.pipeline.journal import say_skipped, say_start
from dmontage.pipeline.match import Match
from dmontage.pipeline.outcome import outcome
from dmontage.pipeline.pair_noise import pair_correlations
from dmontage.pipeline.saving import Saving
from dmontage.pipeline.summary import Summary
from dmontage.pipeline.telling import Progress, Telling
from dmontage.places import Url, place
from dmontage.store import FITS_PER_CHUNK, InUseError, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from dmontage.background import Solution
    from dmontage.graph.worker import Needs
    from dmontage.grid import Grid
    from dmontage.places import Place
    from dmontage.planner import MosaicPlan
    from dmontage.window import Window

__all__ = ["Stages"]


_LATEST = 2.0
"""Seconds that fits wait for others at most before they are stored: what a run that is killed does again."""


class Stages(Telling):
    """A plan, the store that it fills, and what is known so far."""

    plan: MosaicPlan
    """What was decided."""
    summary: Summary
    """What was done so far. Print it."""

    def __init__(
        self,
        plan: MosaicPlan,
        store: str | Place | None = None,
        *,
        strict: bool = False,
        progress: Progress | bool | None = None,
    ) -> None:
        super().__init__(progress)
        self.plan = plan
        self.summary = Summary(
            images=plan.n_images, skipped=plan.skipped, warnings=plan.warnings,
            error_bound=plan.error_bound, noise_correlation=plan.noise_correlation,
        )  # fmt: skip
        self.fits: tuple[PlaneFit, ...] = ()
        """The fitted differences of the overlaps between rows of the plan, once they are known."""
        self.solution: Solution | None = None
        """The corrections of the images of the plan, and their errors, once they are known."""
        self._strict = strict
        self._place = None if store is None else place(store)
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._store: Store | None = None
        self._needs: Needs | None = None
        """Of each worker, where the stages run on a cluster."""
        self._numbers: tuple[int, ...] = ()
        """Of the plan's rows, in the store."""
        self._receipts: dict[int, dict[str, Any]] = {}
        """Of the rows that the open store holds, or that turned out to be damaged."""
        self._outcome = outcome({}, ())
        self._corrected = False
        self._match = Match(plan)
        self._turn = threading.RLock()
        """Threads of one process take turns; others are refused by the store's lock."""

    @property
    def grid(self) -> Grid:
        """Where the mosaic lies."""
        return self.plan.grid

    def discard_stale(self) -> None:
        """Delete a store that another run left behind at this one's place; a store of the same run is kept.

        Raises
        ------
        InputError
            If that run is still alive, or what lies there is no run.
        """
        there = self._place
        if there is not None and not Store.is_free(there) and Store.digest_at(there) != self.plan.digest:
            Store.remove(there)

    def close(self, *, remove: bool = False) -> None:
        """Forget the temporary store; ``remove`` deletes a named one too. What other threads compute ends first.

        Parameters
        ----------
        remove
            Delete a named store too.
        """
        with self._turn:
            if self._temporary is not None:
                self._temporary.cleanup()
            elif remove and self._place is not None and self._store is not None:
                with suppress(InUseError):  # the same run again, by another driver: it removes the store when done
                    Store.remove(self._place)
            self._temporary, self._store, self._receipts, self._corrected = None, None, {}, False

    @contextmanager
    def _locked(self) -> Iterator[Store]:
        """The store, with other drivers kept out."""
        with self._turn:
            store = self._open()
            with store.locked():
                yield store

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_turn", "_watches")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _turn=threading.RLock(), _watches={})

    def _open(self) -> Store:
        """The store, laid out when it is first needed."""
        if self._store is None:
            if self._place is None:
                if active_client() is not None:
                    raise InputError("a mosaic on a cluster needs a store that all workers can reach: give store=...")
                self._temporary = tempfile.TemporaryDirectory(prefix="dmontage-")
            elif isinstance(self._place, Url) and self._place.in_memory and not in_process():
                raise InputError(f"{self._place} is of this process alone: give a store that all workers can reach")
            path = self._place or Path(cast("Any", self._temporary).name) / "run.zarr"
            say_start(self.plan, path)
            say_skipped(self.plan.skipped)
            client = active_client()
            if client is not None:
                self._check_inputs(client)
            store, self._numbers = create_store(path, self.plan)
            if client is not None:
                self._check_store(client, store)
            self._store = store
            if in_process():
                self._store.projected.cache.allow(self.plan.memory.cache)
                self._store.projected.volatile = self._temporary is not None
        return self._store

    def _check_inputs(self, client: Any) -> None:
        """InputError where workers of a cluster are not as this process is, or do not see the inputs."""
        from dmontage.graph.ready import check_files, check_workers

        check_workers(client)
        check_files(client, self.plan.files)

    def _check_store(self, client: Any, store: Store) -> None:
        """InputError where workers of a cluster cannot use the store."""
        from dmontage.graph.ready import check_store
        from dmontage.graph.worker import Needs

        self._needs = Needs.of(store, self.plan)
        check_store(client, self._needs)

    @property
    def _how(self) -> How:
        return How.of(self.plan)

    def _run(
        self,
        stage: str,
        function: Callable[..., Any],
        arguments: Sequence[tuple[Any, ...]],
        collect: Callable[[Any], None] | None = None,
        sink: Any = None,
    ) -> list[Any]:
        """Run one stage's tasks; their names tell the stage, what it works on and the batch, but no ``sink``."""
        store = self._open()
        store.check_there()
        run_name = name_of(self.plan.input_digest, store.where, arguments)
        more = () if sink is None else (sink,)
        calls = [
            Call(f"dmontage-{stage}-{run_name}-{k}", function, (store.where, *args, *more))
            for k, args in enumerate(arguments)
        ]
        self.summary.n_tasks += len(calls)
        with self._shower() as show:
            show(stage, 0, len(calls))

            def after(done: int, total: int) -> None:
                store.check_locked()
                show(stage, done, total)

            return run(calls, after, collect=collect, workers=self.plan.memory.workers, needs=self._needs)

    def _stored(self, rows: Iterable[int]) -> tuple[int, ...]:
        """Numbers in the store of rows of the plan."""
        return tuple(self._numbers[row] for row in rows)

    def _project(self, rows: Iterable[int]) -> None:
        """Fill rows of the store."""
        self._open()
        missing = set(rows).difference(self._receipts)
        if not missing:
            return
        batches = [tuple(row for row in batch if row in missing) for batch in self.plan.row_batches]
        with self.summary.timed("project") as told:
            done = self._run("project", project_rows, [(self._stored(batch),) for batch in batches if batch])
            read = {self.plan.image_of[row] for row in missing}
            told.update(rows=len(missing), images=len(read), bytes=self.plan.bytes_in_of(missing))
        each = zip(chain.from_iterable(batches), chain.from_iterable(done), strict=True)
        receipts = self._receipts | dict(each)
        found = outcome(receipts, self.plan.image_of)
        if found.failed and (self._strict or len(found.failed) == self.plan.n_images):
            raise InputError(next(iter(found.failed.values())))
        self._receipts, self._outcome = receipts, found
        images, summary = self.plan.images, self.summary
        bad = [(images[k], error) for k, error in found.failed.items()]
        damaged = [Skipped(i.name, e.removeprefix(f"{i.path}: ")) for i, e in bad]
        say_skipped(item for item in damaged if item not in summary.skipped)
        summary.skipped = (*self.plan.skipped, *damaged)
        summary.empty = tuple(images[k].name for k in found.empty)
        unused = len(bad) + len(found.empty)
        summary.images = len(images) - unused
        summary.used = len({self.plan.image_of[row] for row in receipts}) - unused
        summary.bytes_in = self.plan.bytes_in_of(receipts)
        summary.undefined, summary.reused = found.undefined, found.reused

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

    def _chunk(
        self,
        window: Window,
        rows: Sequence[int],
        planes: NDArray[np.float64] | None = None,
        numbers: Sequence[int] | None = None,
    ) -> Chunk:
        """What a task needs to make a part of the product, less the images that cannot be read.

        Parameters
        ----------
        planes
            Of the store's rows; they go into its digest, which it has only with them.
        numbers
            Of the plan's rows in the store, where that is not the open one.
        """
        plan, there = self.plan, self._numbers if numbers is None else numbers
        used = [row for row in rows if "error" not in self._receipts.get(row, {})]
        chunk = Chunk(window, tuple(there[row] for row in used), plan.factors_of(used))
        if planes is None:
            return chunk
        return chunk.marked(self._how, [plan.row_digests[row] for row in used], planes)
