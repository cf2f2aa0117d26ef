"""Stages: what each of them runs over, the store that keeps what they made, and the first of them, project."""

from __future__ import annotations

import tempfile
import threading
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from dmontage.errors import InputError
from dmontage.graph.coadd import Chunk, How
from dmontage.graph.drive import Call, active_client, in_process, name_of, run
from dmontage.graph.rows import create_store, project_rows
from dmontage.model import Skipped
from dmontage.pipeline.journal import say_skipped, say_start
from dmontage.pipeline.outcome import outcome
from dmontage.pipeline.summary import Summary
from dmontage.pipeline.telling import Progress, Telling
from dmontage.places import Url, place
from dmontage.store import InUseError, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from dmontage.graph.worker import Needs
    from dmontage.grid import Grid
    from dmontage.places import Place
    from dmontage.planner import MosaicPlan
    from dmontage.window import Window

__all__ = ["Stages"]


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
            self._forget()

    def _forget(self) -> None:
        """Know nothing of the store any more."""
        self._temporary, self._store, self._receipts = None, None, {}

    @contextmanager
    def _locked(self) -> Iterator[Store]:
        """The store, with other drivers kept out."""
        with self._turn:
            store = self._open()
            with store.locked():
                yield store

    def __getstate__(self) -> dict[str, Any]:
        own = ("_turn", "_watches", "_temporary", "_store")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _turn=threading.RLock(), _watches={})
        self._forget()

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
