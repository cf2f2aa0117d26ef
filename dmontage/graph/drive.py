"""Drive: run a set of independent tasks, wherever dask is told to (level 4).

The library starts no cluster. With an active dask client the tasks go there, and each future is released as it
completes, so that a lost worker never costs what is stored already. Otherwise they run on threads of this process, or
on the local scheduler that dask is configured to use.
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from dask import config, threaded
from dask.base import compute, tokenize
from dask.callbacks import Callback
from dask.delayed import delayed
from dask.system import CPU_COUNT

from dmontage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Progress = Callable[[int, int], None]

__all__ = ["Call", "active_client", "connected", "in_process", "name_of", "run"]


_WAIT = 60
"""Seconds until a cluster must have its first worker."""


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
    return client


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Run what is inside on the cluster of a scheduler; InputError when none answers."""
    from distributed import Client
    from distributed.comm.addressing import parse_address, parse_host_port
    from distributed.comm.registry import get_backend

    try:
        scheme, place = parse_address(address)
        get_backend(scheme)
        parse_host_port(place)
        # Not the default until it is connected: a client that failed would stay behind as one.
        client = Client(address, timeout="10s", set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise InputError(
            f"no dask scheduler answers at {address!r}: {error}; give tcp://HOST:PORT or 'threads'"
        ) from error
    with client, client.as_current():
        try:
            client.wait_for_workers(1, timeout=_WAIT)
        except TimeoutError as error:
            raise InputError(
                f"the dask scheduler at {address!r} has no worker after {_WAIT} s: start one by 'dask worker {address}'"
            ) from error
        yield


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
    """
    if not calls:
        return []
    client = active_client()
    if client is not None:
        return _on_cluster(client, calls, progress, collect)
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
        stack.enter_context(Callback(posttask=after))
        return list(compute(*tasks, scheduler=scheduler, optimize_graph=False, **more))


def _on_cluster(
    client: Any, calls: Sequence[Call], progress: Progress | None, collect: Callable[[Any], None] | None
) -> list[Any]:
    from distributed import as_completed

    futures = {client.submit(c.function, *c.arguments, key=c.key): k for k, c in enumerate(calls)}
    results: list[Any] = [None] * len(calls)
    try:
        for done, (future, result) in enumerate(as_completed(futures, with_results=True), 1):
            results[futures[future]] = result
            future.release()
            if collect is not None:
                collect(result)
            if progress is not None:
                progress(done, len(calls))
    finally:
        for future in futures:
            future.release()
        # The client's own thread lets go of them: until it has, a call of the same name would get the old result.
        client.sync(asyncio.sleep, 0)
    return results
