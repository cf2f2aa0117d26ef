"""Workers killed, out of memory, a scheduler that dies, a task that runs twice: the same bits, or a clear end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dask
import pytest
from cluster_fixtures import products, run
from orders import Order, give, happened
from processes import LIMIT, Processes, environment
from surveys import Survey

import dmontage as dm
from dmontage.errors import InputError
from dmontage.graph import drive
from dmontage.graph.drive import Call
from dmontage.graph.ready import WAIT
from dmontage.graph.worker import at_work
from dmontage.store import Store

# --- killed workers -------------------------------------------------------------------------------------------------

KILLS = [Order("project-before", 2, "kill"), Order("put-after", 3, "kill"), Order("coadd-after", 4, "kill")]


@pytest.mark.usefixtures("client", "small_tasks")
@pytest.mark.parametrize("order", KILLS, ids=lambda order: f"{order.event}-{order.n}")
def test_a_killed_worker_changes_no_bit(
    processes: Processes, cluster_survey: Survey, cluster_reference: list[bytes], tmp_path: Path, order: Order
) -> None:
    """SIGKILL before a task, between two writes of one, or when it is done and its result not fetched."""
    before = processes.workers()
    give(processes.orders, order)
    run(cluster_survey, tmp_path)
    assert products(tmp_path) == cluster_reference
    assert set(before.values()) != set(processes.workers().values()), "nobody died"


@pytest.mark.usefixtures("client")
def test_a_result_that_is_here_is_one_when_its_worker_dies(processes: Processes) -> None:
    """While the driver is busy with another: dask then makes it again, and calls it lost until that is done."""
    done: list[Any] = []

    def collect(result: Any) -> None:
        if not done:
            time.sleep(3)  # all are there now
            os.kill(next(iter(processes.workers().values())), signal.SIGKILL)
            time.sleep(0.3)
        done.append(result)

    calls = [Call(f"a-result-{k}", time.sleep, (0.4,)) for k in range(8)]
    assert drive.run(calls, collect=collect) == [None] * 8 == done


def test_all_workers_gone(
    cluster_survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Said at once; an end, not a wait for ever, where none comes."""
    from distributed import Client

    monkeypatch.setattr("dmontage.graph.cluster._LOOK", 0.2)
    with Processes(tmp_path) as own, dask.config.set({WAIT: 2}):
        own.start_workers("alone", memory="900 MB")
        with Client(own.address) as client:
            client.wait_for_workers(1, timeout=60)
            made = dm.mosaic(cluster_survey.folder, cluster_survey.grid, tmp_path / "run.zarr")
            made._open()
            own.kill("alone")
            with pytest.raises(InputError, match=r"all workers of tcp://\S+ are gone, for 2 s"):
                made.write(tmp_path / "m.fits")
    assert "all workers are gone; waiting for another up to 2 s" in caplog.text
    assert not (tmp_path / "m.fits").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("client", "small_tasks")
def test_a_hundred_kills(
    processes: Processes, cluster_survey: Survey, cluster_reference: list[bytes], tmp_path: Path
) -> None:
    """Three in each of 34 runs, at any of a run's moments: no wrong bit, no hang (of 100 s).

    Four in one task would make dask give it up, by its allowed-failures.
    """
    give(processes.orders)
    run(cluster_survey, tmp_path / "whole")
    events = [f"{stage}-{when}" for stage in ("project", "fit", "coadd", "put") for when in ("before", "after")]
    points = [(event, n) for event in events for n in range(happened(processes.orders, event))]
    assert len(points) > 100
    kills, generator = 0, random.Random(1)
    for k in range(34):
        give(processes.orders, *(Order(*point, "kill") for point in generator.sample(points, 3)))
        before = set(processes.workers().values())
        start = time.monotonic()
        run(cluster_survey, tmp_path / str(k))
        assert time.monotonic() - start < 100
        assert products(tmp_path / str(k)) == cluster_reference
        kills += processes.kills()
        assert before != set(processes.workers().values())
    assert kills == 102


# --- memory ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("client", "small_tasks")
def test_a_worker_out_of_memory_once(
    processes: Processes, cluster_survey: Survey, cluster_reference: list[bytes], tmp_path: Path
) -> None:
    """Its nanny ends it; the task runs elsewhere."""
    before = processes.workers()
    give(processes.orders, Order("project-before", 1, "eat"))
    run(cluster_survey, tmp_path)
    assert products(tmp_path) == cluster_reference
    assert set(before.values()) != set(processes.workers().values())


@pytest.mark.usefixtures("client")
def test_workers_out_of_memory_each_time(
    processes: Processes, cluster_survey: Survey, cluster_reference: list[bytes], tmp_path: Path
) -> None:
    """The error tells what it probably was, and the way out; with more memory the same command goes on."""
    give(processes.orders, Order("coadd-before", -1, "kill"))
    text = r"4 workers died in task dmontage-coadd-\S+ .* for lack of memory \(limit 900 MB; the process takes 320 MB, "
    with pytest.raises(InputError, match=text):
        run(cluster_survey, tmp_path)
    give(processes.orders)
    assert run(cluster_survey, tmp_path).summary.reused == 6
    assert products(tmp_path) == cluster_reference


# --- a scheduler that dies ------------------------------------------------------------------------------------------

SMALL = """
import sys, dmontage.planner.batching as batching, dmontage.planner.memory as memory
memory.CHUNKS, batching._TASK_PIXELS = (128,), 1
from dmontage.cli import main
main()
"""


def test_a_scheduler_that_dies(cluster_survey: Survey, cluster_reference: list[bytes], tmp_path: Path) -> None:
    """The command ends within seconds and says why; with a new scheduler the same command goes on."""
    grid, output = tmp_path / "grid.hdr", tmp_path / "m.fits"
    grid.write_text(cluster_survey.grid.to_template())
    with Processes(tmp_path) as mine:
        mine.start_workers("one", nanny=False)
        given = ["mosaic", str(cluster_survey.folder), "-o", str(output), "--header", str(grid)]
        command = [sys.executable, "-c", SMALL, *given, "--scheduler", mine.address]
        give(mine.orders, Order("coadd-before", 3, "3"))
        driver = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True)
        try:
            deadline = time.monotonic() + LIMIT
            while happened(mine.orders, "coadd-before") < 4:
                assert driver.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            mine.kill("scheduler")
            start = time.monotonic()
            _, said = driver.communicate(timeout=LIMIT)
        finally:
            driver.kill()
        assert driver.returncode == 1 and time.monotonic() - start < 10
        assert "Error: the connection to the dask scheduler is lost: start it again" in said
        assert "the same command again goes on from there" in said
        assert "Traceback" not in said and not output.exists()
        mine.kill("one")
        there = dm.pipeline.status(tmp_path / "m.fits.run.zarr")
        assert there.projected == 6 and there.solved and 3 <= there.made < there.chunks
        give(mine.orders)
        mine.start_scheduler()
        mine.start_workers("one", nanny=False)
        subprocess.run(command, env=environment(), check=True, timeout=LIMIT)
        assert products(tmp_path) == cluster_reference
        assert happened(mine.orders, "fit-before") == 0
        assert happened(mine.orders, "coadd-before") == there.chunks - there.made


# --- tasks that run twice, or on --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("client", "small_tasks")
def test_tasks_that_run_twice(
    processes: Processes, cluster_survey: Survey, cluster_reference: list[bytes], tmp_path: Path
) -> None:
    give(processes.orders, *(Order(f"{stage}-before", -1, "twice") for stage in ("project", "fit", "coadd")))
    run(cluster_survey, tmp_path)
    assert products(tmp_path) == cluster_reference


@pytest.mark.usefixtures("small_tasks")
def test_nothing_runs_on_when_a_run_has_failed(
    processes: Processes, client: Any, cluster_survey: Survey, cluster_reference: list[bytes], tmp_path: Path
) -> None:
    """Tasks in the queue go, and the one that runs is waited for before the lock is free."""
    give(processes.orders, Order("project-before", 0, "1.5"), Order("project-before", 1, "fail"))
    with pytest.raises(OSError, match="Input/output error"):
        run(cluster_survey, tmp_path)
    assert happened(processes.orders, "project-after") >= 1, "the slow one came to its end"
    assert not any(client.run(at_work, str(tmp_path / "run.zarr")).values())
    done = happened(processes.orders, "put-before")
    assert not Store.open(tmp_path / "run.zarr").in_use
    time.sleep(1.0)
    assert happened(processes.orders, "put-before") == done and happened(processes.orders, "project-before") < 6
    give(processes.orders)
    run(cluster_survey, tmp_path)
    assert products(tmp_path) == cluster_reference
