"""Drive: run a set of independent tasks, wherever dask is told to (level 4).

The library starts no cluster. With an active dask client the tasks go there (`dmontage.graph.cluster`). Otherwise they
run on threads of this process, or on the local scheduler that dask is configured to use.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from dask import config, threaded
from dask.base import compute, tokenize
from dask.callbacks import Callback
from dask.delayed import delayed
from dask.system import CPU_COUNT

from dmontage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dmontage.graph.worker import Needs

    Progress = Callable[[int, int], None]

__all__ = ["Call", "active_client", "in_process", "name_of", "run"]


class Call(NamedTuple):
    """One task: a function of plain arguments, and a name that tells what it makes."""

    key: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


def active_client() -> Any | None:
    """The dask client that is active in this process; to find that there is none, distributed is not even imported."""
    if "distributed" not in sys.modules:
        return None
    from distributed import default_client

    try:
        client = default_client()
    except ValueError:
        return None
    if client.status != "running":
        raise InputError(f"the active dask client is {client.status}, not connected: close it or connect it again")
    if client.asynchronous:
        raise InputError("the active dask client is asynchronous, which waits for nothing: make one without that")
    return client


def in_process() -> bool:
    """Whether tasks run in this process, and may hand arrays to it."""
    return active_client() is None and config.get("scheduler", None) not in ("processes", "multiprocessing")


def name_of(*parts: Any) -> str:
    """A name that is the same for the same parts, in every process."""
    return str(tokenize(*parts))


def run(
    calls: Sequence[Call],
    progress: Progress | None = None,
    *,
    collect: Callable[[Any], None] | None = None,
    workers: int | None = None,
    needs: Needs | None = None,
) -> list[Any]:
    """Run all calls and return their results, in the order of the calls.

    Parameters
    ----------
    progress
        Called with (done, total) after each task, from the calling thread's point of view.
    collect
        Called with each result as soon as it is there, in the calling thread: what it keeps outlives the rest.
    workers
        At once at most; fewer where dask is told so (``num_workers``). As many as dask is told, or as there are
        processors, if None. A cluster has its own.
    needs
        What a worker of a cluster must have for these calls; nothing else asks for it.
    """
    if not calls:
        return []
    client = active_client()
    if client is not None:
        from dmontage.graph.cluster import run_on_cluster

        return run_on_cluster(client, calls, progress, collect, needs)
    done = 0

    def after(_: object, result: Any, *__: object) -> None:
        nonlocal done
        done += 1
        if collect is not None:
            collect(result)
        if progress is not None:
            progress(done, len(calls))

    tasks = [delayed(c.function, pure=True, traverse=False)(*c.arguments, dask_key_name=c.key) for c in calls]
    scheduler, told = config.get("scheduler", None), config.get("num_workers", None)
    workers = min(filter(None, (workers, told)), default=CPU_COUNT)
    with ExitStack() as stack:
        more: dict[str, Any] = {"num_workers": workers}
        if scheduler in (None, "threads", "threading"):
            # Told by its name, "threads" would make dask import distributed, which takes longer than a small mosaic.
            # Threads of its own: never more than the plan has memory for, and none is at work any more when a run that
            # failed gives back its lock.
            scheduler = threaded.get
            more["pool"] = stack.enter_context(ThreadPoolExecutor(workers))
            # Of this run alone: what is registered for all would hear of the tasks of other threads of this process.
            more["callbacks"] = [(None, None, None, after, None), *Callback.active]  # (..., posttask, finish)
        else:
            stack.enter_context(Callback(posttask=after))
        return list(compute(*tasks, scheduler=scheduler, optimize_graph=False, **more))
