"""Driving tasks: order, progress, errors, and the same results on threads and on a cluster."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import dask
import pytest

from dmontage.errors import InputError
from dmontage.graph.cluster import connected
from dmontage.graph.drive import Call, active_client, run
from dmontage.window import Window


def double(x: int, delay: float = 0.0) -> int:
    time.sleep(delay)
    return 2 * x


def refuse(x: int) -> int:
    raise InputError(f"{x} is refused")


def whose(windows: list[tuple[Window, tuple[int, ...]]], **_: Any) -> Any:
    """Arguments arrive as they were given."""
    assert isinstance(windows, list) and isinstance(windows[0][0], Window)
    return windows


@pytest.fixture(params=["threads", "cluster"])
def place(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "threads":
        yield "threads"
        return
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster),
    ):
        yield "cluster"


def test_results_come_in_the_order_of_the_calls(place: str) -> None:
    """The first calls are the slowest; progress counts each task once, from 1 to all."""
    assert (active_client() is not None) == (place == "cluster")
    seen: list[tuple[int, int]] = []
    calls = [Call(f"double-{place}-{k}", double, (k, 0.05 * (4 - k))) for k in range(5)]
    assert run(calls, lambda done, total: seen.append((done, total))) == [0, 2, 4, 6, 8]
    assert seen == [(k, 5) for k in range(1, 6)]
    given = [(Window(0, 1, 2, 3), (1, 2)), (Window(4, 5, 6, 7), ())]
    assert run([Call(f"whose-{place}", whose, (given,))]) == [given]
    assert run([]) == []


def test_an_error_of_a_task_is_the_runs(place: str) -> None:
    """What goes on with the same names at once hears nothing of the tasks that were given up."""
    calls = [Call(f"double-e-{place}", double, (1,)), Call(f"refuse-{place}", refuse, (7,))]
    for _ in range(10):
        with pytest.raises(InputError, match="7 is refused"):
            run(calls)
        assert run(calls[:1]) == [2]


NOTES: list[int] = []


def note(x: int) -> None:
    """The cluster of these tests lives in this process, so the list is shared."""
    NOTES.append(x)


def test_a_call_under_an_old_name_is_run_again(place: str) -> None:
    """Its future was released: what a task makes lies in the store and not on the cluster."""
    NOTES.clear()
    for x in range(20):
        run([Call(f"again-{place}", note, (x,))])
    assert list(range(20)) == NOTES


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_threads_is_dasks(workers: int) -> None:
    names: set[str] = set()

    def where() -> None:
        time.sleep(0.02)
        names.add(threading.current_thread().name)

    with dask.config.set(num_workers=workers):
        run([Call(f"where-{workers}-{k}", where, ()) for k in range(8)])
    assert len(names) == workers


def test_a_configured_scheduler_is_used() -> None:
    with dask.config.set(scheduler="synchronous"):
        found = run([Call("here", threading.current_thread, ())])
    assert found == [threading.main_thread()]


def test_without_a_cluster_distributed_is_not_imported() -> None:
    code = (
        "import sys; from dmontage.graph.drive import Call, run\n"
        "assert run([Call('a', int, ('7',))]) == [7]\nassert 'distributed' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_cluster_is_used_by_its_address() -> None:
    distributed = pytest.importorskip("distributed")
    settings = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**settings, protocol="tcp") as cluster:
        with connected(cluster.scheduler_address):
            assert active_client() is not None
            assert run([Call("by-address", double, (21,))]) == [42]
        assert active_client() is None


def test_no_scheduler_at_an_address() -> None:
    """The client that failed does not stay behind: the next run would wait for it for ever."""
    with (
        pytest.raises(InputError, match=r"no dask scheduler answers at 'nonsense://here'"),
        connected("nonsense://here"),
    ):
        pass
    assert active_client() is None
    assert run([Call("after", double, (1,))]) == [2]


def test_runs_of_several_threads_hear_of_their_own_tasks() -> None:
    """A picture may be made in a thread while a user computes: no run counts, or collects, what another one does."""
    heard: dict[int, list[int]] = {}
    errors: list[BaseException] = []

    def work(n: int) -> None:
        try:
            counted: list[int] = []
            collected: list[int] = []
            calls = [Call(f"t{n}-{k}", double, (100 * n + k, 0.002)) for k in range(30)]
            run(calls, lambda done, total: counted.append(done), collect=collected.append, workers=2)
            assert counted == list(range(1, 31))
            heard[n] = sorted(collected)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    assert heard == {n: [2 * (100 * n + k) for k in range(30)] for n in range(4)}


def test_dasks_own_callbacks_hear_of_the_tasks() -> None:
    from dask import callbacks

    callback: Any = callbacks.Callback
    keys: list[Any] = []
    with callback(posttask=lambda key, *_: keys.append(key)):
        run([Call(f"k{k}", double, (k,)) for k in range(3)])
    assert sorted(keys) == ["k0", "k1", "k2"]
