"""Ready: whether the workers of a cluster can do a run, asked of each before any work (level 4).

What cannot work is told at once and by name: another version, a package or a file that is not there, too little memory.
Questions are put beside the tasks, so that busy workers answer too.
"""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING, Any

from dask import config

from dmontage._version import __version__
from dmontage.errors import InputError
from dmontage.graph.worker import Needs, aside, at_work, differences, look, own_versions, room, unseen
from dmontage.log import say
from dmontage.places import is_url

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dmontage.model import ImageRef

__all__ = [
    "INSTALL", "WAIT", "check_files", "check_store", "check_workers", "inquire", "missing_package", "seconds_to_wait",
    "settle", "smallest_worker",
]  # fmt: skip

WAIT = "dmontage.wait-for-workers"
"""Dask's name for the seconds until a cluster must have its first worker (DASK_DMONTAGE__WAIT_FOR_WORKERS)."""

INSTALL = "install there what is here, or start it from this environment (dask scheduler, dask worker)"

_ANSWER = 30
"""Seconds within which workers answer a question."""

_SETTLE = 300
"""Seconds that tasks of a run that was given up have to end."""

_SAMPLE = 200
"""Input files that each worker is asked for: what it does not see is a folder or a disk, not a file among others."""


def check_workers(client: Any) -> None:
    """Wait for the first worker; InputError if none comes, or where the versions on the cluster are not those here."""
    _wait_for_workers(client)
    mine, own = own_versions(), {"dmontage": __version__}
    # Dask's own question first, which needs nothing there but dask.
    names = [name for name in mine if name not in ("python", "dmontage")]
    found = inquire(client, client.get_versions, packages=names)
    installed = {"scheduler": found["scheduler"]} | {f"worker {name}": v for name, v in found["workers"].items()}
    _refuse_others(mine, {place: each["packages"] | own for place, each in installed.items()})
    # A scheduler without dmontage cannot read its tasks either.
    try:
        there = {"scheduler": inquire(client, client.run_on_scheduler, own_versions)}
    except Exception as error:
        if name := missing_package(error):
            raise InputError(f"the scheduler has no {name}; {INSTALL}") from error
        raise
    there |= _ask(client, own_versions)
    _refuse_others(own, there)


def check_files(client: Any, files: Sequence[ImageRef]) -> None:
    """InputError where a worker does not see a sample of the input files, or sees others: two of each folder."""
    chosen: dict[str, list[ImageRef]] = {}
    for ref in files:
        if not is_url(ref.path):
            chosen.setdefault(ref.path.rpartition("/")[0], []).append(ref)
    folders = list(chosen.values())
    step = -(-2 * len(folders) // _SAMPLE) or 1
    sample = [(ref.path, ref.size, ref.stamp) for mine in folders[::step] for ref in (mine[0], mine[-1])]
    _refuse(_ask(client, unseen, sample), "give paths that mean the same files on all workers (a shared disk)")


def check_store(client: Any, needs: Needs) -> None:
    """InputError where a worker cannot use the store, or lacks the memory; waits for tasks of an earlier run on it."""
    _refuse(_ask(client, look, needs))
    if settle(client, needs.store):
        raise InputError(
            f"workers are still at work on {needs.store} for a run that was given up: wait for them, or restart them"
        )


def smallest_worker(client: Any) -> dict[str, int]:
    """What a plan keeps to on a cluster: "memory_limit", where there is one, and "workers" (threads) of one worker.

    With all threads of the cluster as "cluster_threads".
    """
    _wait_for_workers(client)
    threads = client.nthreads().values()
    told = [n for n in _ask(client, room).values() if isinstance(n, int)] if threads else []
    limit = {"memory_limit": min(told)} if told else {}
    return {"workers": max(threads, default=1), "cluster_threads": max(sum(threads), 1)} | limit


def seconds_to_wait() -> float:
    """How long a cluster may be without any worker."""
    return float(config.get(WAIT, 60))


def _wait_for_workers(client: Any) -> None:
    if client.nthreads():
        return
    seconds, address = seconds_to_wait(), client.scheduler.address
    start = f"start one by 'dask worker {address}'"
    say("waiting", f"{address} has no worker yet; waiting for one up to {seconds:g} s: {start}", logging.WARNING)
    wish = client.submit(int, key=f"dmontage-wait-{time.time_ns()}")  # a cluster that grows with its work has some now
    try:
        client.wait_for_workers(1, timeout=seconds)
    except TimeoutError as error:
        raise InputError(f"the dask scheduler at {address!r} has no worker after {seconds:g} s: {start}") from error
    finally:
        wish.release()


def _ask(client: Any, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """What a function gives in each worker process, beside its tasks; those that die meanwhile have no part."""
    found = inquire(client, client.run, aside, function, *arguments, on_error="return")
    for name, answer in found.items():
        if package := missing_package(answer):
            raise InputError(f"worker {name} has no {package}; {INSTALL}") from answer
        if isinstance(answer, Exception) and not isinstance(answer, OSError):
            raise answer
    return {f"worker {name}": answer for name, answer in found.items() if not isinstance(answer, OSError)}


def inquire(client: Any, question: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What one of the client's questions gives; InputError where nobody answers in time."""
    try:
        return client.sync(question, *arguments, callback_timeout=_ANSWER, **options)
    except (OSError, TimeoutError) as error:
        place = client.scheduler.address if client.scheduler is not None else "the cluster"
        raise InputError(
            f"{place} does not answer within {_ANSWER} s ({error or 'it hangs'}): see the logs of the scheduler and "
            "its workers, or restart them"
        ) from error


def missing_package(error: Any) -> str:
    """The package that an error says is missing; dask passes some errors on as text."""
    found = re.search(r"No module named '([\w.]+)'", str(error)) if isinstance(error, Exception) else None
    return found[1] if found else ""


def _refuse_others(mine: dict[str, str], there: dict[str, dict[str, str | None]]) -> None:
    """InputError for processes that have other versions."""
    told = {place: differences(mine, versions) for place, versions in there.items()}
    _refuse({place: f"has {', '.join(others)}" for place, others in told.items() if others}, INSTALL)


def _refuse(lacking: dict[str, str], way_out: str = "") -> None:
    """InputError with the first of those that lack something."""
    bad = [f"{name} {text}" for name, text in lacking.items() if text]
    if bad:
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise InputError(f"{bad[0]}{more}{'; ' * bool(way_out)}{way_out}")


def settle(client: Any, store: str) -> list[str]:
    """Wait until no worker runs a task on a store; those that do so still after a while."""
    start, told = time.monotonic(), False
    while True:
        busy = [name for name, n in _ask(client, at_work, store).items() if n]
        if not busy or time.monotonic() - start > _SETTLE:
            return busy
        if not told and time.monotonic() - start > 1.0:
            say("waiting", f"waiting for tasks that run still on {', '.join(busy)}", logging.WARNING)
            told = True
        time.sleep(0.1)
