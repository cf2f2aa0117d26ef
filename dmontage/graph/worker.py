"""Worker: what a run needs of a worker process of a cluster, and its tasks as they run there (level 4).

Every task checks once a process that it is in the right place, so that workers that join a run in its midst are as good
as those that were there when it began.
"""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections import Counter
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from inspect import signature
from pathlib import Path
from threading import Condition
from typing import TYPE_CHECKING, Any, NamedTuple

from dmontage._version import __version__
from dmontage.errors import InputError, UnreachableError
from dmontage.graph.packing import unpacked
from dmontage.planner import human
from dmontage.store import InUseError, Store, StoreRef

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

    from dmontage.planner import MosaicPlan

__all__ = [
    "PACKAGES",
    "USABLE",
    "Needs",
    "aside",
    "at_work",
    "differences",
    "look",
    "own_versions",
    "room",
    "unseen",
    "work",
]

PACKAGES = {
    "python": 2, "dmontage": 9, "numpy": 9, "numba": 9, "scipy": 9, "astropy": 9, "zarr": 2, "numcodecs": 2, "dask": 2,
    "distributed": 2,
}  # fmt: skip
"""How many parts of the version must be the same everywhere: all of what makes the numbers, so that their bits are the
same; of what carries them, the parts that change what is understood."""

USABLE = 0.8
"""Part of a worker's memory that its tasks may take: beyond it dask lets a worker take no more tasks."""

_LATE = 5.0
"""Seconds that a folder may take to be seen on another machine: network disks keep what they knew for some."""


class Needs(NamedTuple):
    """What a run needs of each worker; it goes with every task, so it is small."""

    versions: str
    """Of `PACKAGES`, in their order; nothing for one that is not known."""
    store: str
    laid_out: str | None
    """Tells the store from any other at such a place."""
    base: int = 0
    """Bytes of the process without any task."""
    task: int = 0
    """Bytes of the largest task."""
    limit: int | None = None
    """Bytes of the process at most, where the user says so."""

    @classmethod
    def of(cls, store: Store, plan: MosaicPlan | None = None) -> Self:
        """Of the tasks on a store, as a plan has them."""
        place = " ".join(own_versions().get(name, "") for name in PACKAGES), store.path, store.laid_out
        return cls(*place) if plan is None else cls(*place, plan.memory.base, plan.memory.task, plan.memory_limit)


@cache
def own_versions() -> dict[str, str]:
    """The versions of this process, of packages that are installed in the usual way."""
    found = {"python": platform.python_version(), "dmontage": __version__}
    for name in PACKAGES:
        if name not in found:
            try:
                found[name] = version(name)
            except PackageNotFoundError:  # on the path, but not installed: nobody knows
                continue
    return found


def differences(mine: dict[str, str], theirs: dict[str, str | None]) -> list[str]:
    """Packages that another process lacks, or has in a version too different from this one's, for people."""
    found = []
    for name, own in mine.items():
        other, parts = theirs.get(name), PACKAGES[name]
        if other is None:
            found.append(f"no {name} (here {own})")
        elif other.split(".")[:parts] != own.split(".")[:parts]:
            found.append(f"{name} {other} (here {own})")
    return found


async def aside(function: Callable[..., Any], *arguments: Any, dask_worker: Any = None) -> Any:
    """Answer a question in a thread: in the worker's own loop it would keep the worker from telling that it lives."""
    more = {"dask_worker": dask_worker} if "dask_worker" in signature(function).parameters else {}
    return await asyncio.to_thread(function, *arguments, **more)


def unseen(files: Iterable[tuple[str, int, int]]) -> str:
    """Which of some files (path, size, time of change) this process does not see as they are, and why; or nothing."""
    for path, size, mtime_ns in files:
        try:
            stat = Path(path).stat()
        except OSError as error:
            return f"does not see {path}: {error.strerror}"
        if (stat.st_size, stat.st_mtime_ns) != (size, mtime_ns):
            return f"sees another {path}: of another size, or changed at another time"
        if not os.access(path, os.R_OK):
            return f"may not read {path}"
    return ""


def room(limit: int | None = None, dask_worker: Any = None) -> int | None:
    """Bytes that all that runs in a worker's process may take together; None where dask sets it no limit.

    Parameters
    ----------
    limit
        What the user allows, if that is less.
    dask_worker
        The worker; that of the task that asks, if None. Dask gives it to whom it runs outside of tasks.
    """
    from distributed import get_worker

    own = (dask_worker or get_worker()).memory_manager.memory_limit
    return min(filter(None, (limit, own and int(USABLE * own))), default=None)


def look(needs: Needs, dask_worker: Any = None) -> str:
    """What of a run's needs a worker lacks, for people; nothing if it has all. ``dask_worker`` as for `room`."""
    wanted = zip(PACKAGES, needs.versions.split(" "), strict=True)
    others = differences({name: version for name, version in wanted if version}, dict(own_versions()))
    if others:
        return f"has {', '.join(others)}"
    there = room(needs.limit, dask_worker)
    if there is not None and needs.base + needs.task > there:
        return (
            f"may use {human(there)} ({USABLE:g} of its memory limit, or what --memory-limit says), and the largest "
            f"task takes up to {human(needs.task)} beside {human(needs.base)} for the process; give workers more "
            "memory (dask worker --memory-limit), or use smaller images"
        )
    return _look_at_store(needs)


def _look_at_store(needs: Needs) -> str:
    way_out = "give a store that all workers reach, by a path that means the same on all"
    deadline = time.monotonic() + _LATE
    while True:
        try:
            store = Store.open(StoreRef(needs.store, needs.laid_out))
            break
        except InUseError:
            there = "sees another one at"
        except UnreachableError as error:
            return f"cannot reach the store: {error}"
        except InputError:
            there = "does not see"
        if time.monotonic() > deadline:
            return f"{there} the store {needs.store}; {way_out}"
        time.sleep(0.2)
    try:
        store.probe()
    except OSError as error:
        return f"cannot write to the store {needs.store}: {error.strerror}; {way_out}"
    return ""


# --- tasks ----------------------------------------------------------------------------------------------------------


class _Tasks:
    """The tasks that run in this process: what memory they take, and on which stores they are at work."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._taken = 0
        self.at_work: Counter[str] = Counter()
        self.met: set[Needs] = set()

    @contextmanager
    def running(self, needs: Needs) -> Iterator[None]:
        """Have room for a task: wait for others to end where the memory is not enough for all threads at once."""
        there = room(needs.limit)
        with self._changed:
            self.at_work[needs.store] += 1  # while it waits, too: nothing keeps it from beginning then
            self._changed.wait_for(
                lambda: there is None or not self._taken or needs.base + self._taken + needs.task <= there
            )
            self._taken += needs.task
        try:
            yield
        finally:
            with self._changed:
                self._taken -= needs.task
                self.at_work[needs.store] -= 1
                self._changed.notify_all()


_tasks = _Tasks()


def work(needs: Needs, function: Callable[..., Any], arguments: bytes) -> Any:
    """Task: another one on a store, by a worker that has what it needs; an error of it says which.

    Parameters
    ----------
    arguments
        As `dmontage.graph.packing.packed` gives them, without the store.
    """
    try:
        with _tasks.running(needs):
            if needs not in _tasks.met:
                lacking = look(needs)
                if lacking:
                    raise InputError(f"this worker {lacking}")
                _tasks.met.add(needs)
            store = StoreRef(needs.store, needs.laid_out)  # which the arguments need not tell again
            return function(store, *unpacked(arguments))
    except InputError as error:
        raise type(error)(f"{error} (on worker {_address()})") from error


def _address() -> str:
    from distributed import get_worker

    return str(get_worker().address)


def at_work(store: str) -> int:
    """How many tasks on a store run in this process."""
    return _tasks.at_work[store]
