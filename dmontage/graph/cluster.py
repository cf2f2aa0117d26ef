"""Cluster: a dask.distributed cluster as the place where tasks run, seen from the driver (level 4).

A task holds nothing that is not in the store when it ends, so its future is released as it completes, and a lost worker
costs only what it was doing. Before a run is given up its tasks are: those that wait go, and those at work are waited
for. Nobody waits for those of a scheduler that died, or of a driver that was killed; a later run on the same workers
does before it begins.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from dask import config

from dmontage.aside import aside
from dmontage.errors import InputError
from dmontage.graph.packing import packed
from dmontage.graph.ready import INSTALL, WAIT, check_workers, inquire, missing_package, seconds_to_wait, settle
from dmontage.graph.worker import Needs, work
from dmontage.log import say
from dmontage.planner import human

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from dmontage.graph.drive import Call, Progress

__all__ = ["connected", "reported", "run_on_cluster"]

_CONNECT = 10
"""Seconds within which a scheduler answers."""
_LOOK = 2.0
"""Seconds between two looks at whether there are workers."""
_TOLD = 0.1
"""Seconds in which workers hear that tasks are not wanted any more: each message on the way waits for 2 to 10 ms."""


@contextmanager
def connected(address: str, wait: float | None = None, report: Path | None = None) -> Iterator[None]:
    """Run what is inside on the cluster of a scheduler; InputError when none answers, or its workers cannot be used.

    Parameters
    ----------
    wait
        Seconds until there must be a worker; dask's `WAIT`, or 60, if None.
    report
        File for dask's performance report, written at the end of what comes to it.
    """
    from distributed import Client
    from distributed.comm.addressing import parse_address, parse_host_port
    from distributed.comm.registry import get_backend

    try:
        scheme, place = parse_address(address)
        get_backend(scheme)
        parse_host_port(place)
        asyncio.run(asyncio.wait_for(_greet(address), _CONNECT))
        # Not the default until it is connected: a client that failed would stay behind as one.
        client = Client(address, timeout=_CONNECT, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        why = str(error) or f"nothing is heard within {_CONNECT} s"
        raise InputError(
            f"no dask scheduler answers at {address!r}: {why}; give tcp://HOST:PORT or 'threads'"
        ) from error
    with config.set({} if wait is None else {WAIT: wait}), _quiet(), client, client.as_current():
        check_workers(client)
        with nullcontext() if report is None else reported(client, report):
            yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what dask logs of connections that end, with pages of tracebacks: errors say what there is to say."""
    handlers = [each for name in ("distributed", "distributed.client") for each in logging.getLogger(name).handlers]
    before = [handler.level for handler in handlers]
    for handler in handlers:
        handler.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for handler, level in zip(handlers, before, strict=True):
            handler.setLevel(level)


@contextmanager
def reported(client: Any, path: Path) -> Iterator[None]:
    """Write dask's performance report of what is inside; nothing of what fails.

    Raises
    ------
    InputError
        Where the scheduler cannot make one, or it cannot be written.
    """
    from distributed import performance_report

    made = inquire(client, client.get_versions, packages=["bokeh"])["scheduler"]["packages"]["bokeh"]
    if made is None:
        raise InputError(
            "a performance report needs bokeh where the scheduler runs: install it there (pip install bokeh), and "
            "start the scheduler again"
        )
    failed: OSError | None = None
    try:
        with aside(path) as part:
            part.touch()  # what cannot be written is told now
            report = performance_report(filename=str(part))
            report.__enter__()
            try:
                yield
            except OSError as error:
                failed = error
                raise
            report.__exit__(None, None, None)
    except InputError:
        if failed is not None:  # inside: no fault of the report's place
            raise failed from failed.__cause__
        raise


async def _greet(address: str) -> None:
    """Shake hands with a scheduler: a client would wait for ever for one that takes connections and says nothing."""
    from distributed.comm.core import connect
    from distributed.security import Security

    comm = await connect(address, timeout=_CONNECT, **Security().get_connection_args("client"))
    comm.abort()


# --- the work -------------------------------------------------------------------------------------------------------


def run_on_cluster(
    client: Any,
    calls: Sequence[Call],
    progress: Progress | None,
    collect: Callable[[Any], None] | None,
    needs: Needs | None,
) -> list[Any]:
    """As `dmontage.graph.drive.run`; when it fails no task of it is left running, as far as workers can be asked.

    The first argument of calls with needs is the store that these name.
    """
    from distributed import as_completed

    keys, functions, arguments = zip(*calls, strict=True)
    if needs is None:
        made = [client.submit(f, *a, key=key) for key, f, a in zip(keys, functions, arguments, strict=True)]
    else:
        sent = [packed(each[1:]) for each in arguments]
        made = client.map(work, [needs] * len(calls), functions, sent, key=list(keys))
    numbers = {future: k for k, future in enumerate(made)}
    results: list[Any] = [None] * len(calls)
    watch = _Watch(client, made)
    try:
        watch.start()
        for done, (future, result) in enumerate(as_completed(made, with_results=True, raise_errors=False), 1):
            if _is_failure(result):
                raise watch.reason or _told(client, future, result, needs)
            results[numbers[future]] = result
            future.release()
            if collect is not None:
                collect(result)
            if progress is not None:
                progress(done, len(calls))
    except BaseException:
        _give_up(client, made, needs)
        raise
    finally:
        watch.end()
        _let_go(client, made)
    return results


def _let_go(client: Any, futures: Sequence[Any]) -> None:
    """Want nothing of some futures any more: tasks that wait go with them.

    They are not cancelled, for word of that comes back: late, it would cancel the next call of the same name.
    """
    for future in futures:
        future.release()
    if client.status == "running":
        # The client's own thread lets go of them: until it has, a call of the same name would get the old result.
        client.sync(asyncio.sleep, 0)


def _is_failure(result: Any) -> bool:
    """Whether a future gave an error, or was cancelled; a good result stays one when the worker that has it dies."""
    return isinstance(result, BaseException) or (
        isinstance(result, tuple) and len(result) == 3 and isinstance(result[1], BaseException)
    )


class _Watch(threading.Thread):
    """Looks whether there are workers while the driver waits: without any, dask would wait for ever."""

    def __init__(self, client: Any, futures: Sequence[Any]) -> None:
        super().__init__(name="dmontage-watch", daemon=True)
        self._client, self._futures, self._done = client, futures, threading.Event()
        self.reason: InputError | None = None
        """Why all was cancelled."""

    def run(self) -> None:
        """Until it is told to end."""
        since: float | None = None
        seconds = seconds_to_wait()
        while not self._done.wait(_LOOK):
            try:
                if self._client.status != "running" or self._client.nthreads():
                    since = None
                    continue
            except (OSError, RuntimeError, ValueError):  # the connection is lost: who waits for results is told
                continue
            if since is None:
                since = time.monotonic()
                text = f"all workers are gone; waiting for another up to {seconds:g} s"
                say("waiting", text, logging.WARNING)
            elif time.monotonic() - since > seconds:
                self.reason = InputError(
                    f"all workers of {self._client.scheduler.address} are gone, for {seconds:g} s: see their logs, "
                    "start others; what is done is kept: the same command again goes on from there"
                )
                self._client.cancel(self._futures)
                return

    def end(self) -> None:
        """Look no more."""
        self._done.set()
        self.join()


def _give_up(client: Any, futures: Sequence[Any], needs: Needs | None) -> None:
    """Let go of tasks, and wait for those at work; where nobody can be asked they end by themselves."""
    _let_go(client, futures)
    if client.status != "running" or needs is None:
        return
    time.sleep(_TOLD)
    try:
        busy = settle(client, needs.store)
    except Exception as error:  # whatever it is, it must not hide why the run is given up
        busy = [str(error)]
    if busy:
        say("waiting", f"tasks may be at work still: {', '.join(busy)}", logging.WARNING)


def _told(client: Any, future: Any, result: Any, needs: Needs | None) -> BaseException:
    """The error of a task, in terms of what can be done about it."""
    from distributed.scheduler import KilledWorker

    _, error, trace = result if isinstance(result, tuple) else (None, result, None)
    if isinstance(error, KilledWorker):
        takes = (
            f"; the process takes {human(needs.base)}, and a task up to {human(needs.task)}"
            if needs is not None and needs.task
            else ""
        )
        limit = human(error.last_worker.memory_limit) if error.last_worker.memory_limit else "none"
        return InputError(
            f"{error.allowed_failures + 1} workers died in task {future.key}, the last of them "
            f"{error.last_worker.address}: most likely for lack of memory (limit {limit}{takes}); start workers with "
            "more memory or fewer threads (dask worker --memory-limit, --nthreads), and see their logs"
        )
    if name := missing_package(error):
        return InputError(f"a worker has no {name}; {INSTALL}")
    if isinstance(result, tuple):
        return error.with_traceback(trace)  # type: ignore[no-any-return]
    if client.status != "running":
        return InputError("the connection to the dask scheduler is lost: start it again, or another one")
    return InputError(f"task {future.key} was cancelled on the cluster: {error}")
