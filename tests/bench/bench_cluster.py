"""A cluster on this machine: what a second worker is worth, and what scheduling costs. Medians of interleaved runs.

    python tests/bench/bench_cluster.py [--size 2] [--survey FOLDER] [--runs 5]

The survey is `dmontage.demo`'s. Schedulers and workers are started by dask's own commands, over TCP on the loopback; a
worker has one thread. The driver is a process beside them.

- ratio: seconds of the whole run, scan and plan excluded, on one worker over those on two. The driver, which writes the
  files while workers coadd, and the scheduler have a processor to themselves beside one worker, and none beside two: so
  there is a third way, one worker with its driver and scheduler on one processor, as on half the machine.
- ceiling: what two processes that know nothing of each other reach on this machine, each running the same job in one
  thread: twice the seconds of one alone over those of two at once. Two hardware threads may be one core.
- overhead: on one worker the part of the stages' wall time in which it runs no task.
- batch: seconds of the tasks of each stage, median and least.
- bytes: the pickled task, with its function and what it needs of a worker.

Nothing is asserted but that all give the same digest.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "cluster")]  # this tree's dmontage, whichever is installed

import dask  # noqa: E402
from dask.utils import key_split  # noqa: E402
from distributed import Client  # noqa: E402
from processes import Processes, environment  # noqa: E402

import dmontage as dm  # noqa: E402
from dmontage.demo.simulate import simulate  # noqa: E402
from dmontage.fits_files import product_digests  # noqa: E402

STAGES = ("project", "fit", "coadd")


def job(raw: Path, folder: Path) -> tuple[float, dict[str, float]]:
    """One run with a new store: seconds in all and by stage."""
    made = dm.mosaic(raw, store=folder / "run.zarr")
    start = time.perf_counter()
    made.write(folder / "m.fits")
    seconds = time.perf_counter() - start
    made.close(remove=True)
    return seconds, dict(made.summary.seconds)


def alone(raw: Path) -> None:
    """The child: one thread, twice; the second one counts."""
    with tempfile.TemporaryDirectory() as folder, dask.config.set(scheduler="synchronous"):
        times = [job(raw, Path(folder))[0] for _ in range(2)]
        print(json.dumps([times[1], product_digests(Path(folder, "m.fits"))[1]]))


def children(raw: Path, n: int) -> list[Any]:
    """So many children at once."""
    command = [sys.executable, __file__, "--alone", "--survey", str(raw)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) for _ in range(n)]
    return [json.loads(child.communicate()[0]) for child in running]


@contextmanager
def on_processors(n: int) -> Iterator[None]:
    """Keep all threads of this process, and what it starts, to the first of its processors."""
    before = os.sched_getaffinity(0)
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), sorted(before)[:n])
    try:
        yield
    finally:
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setaffinity(int(thread.name), before)


def measured(client: Any, raw: Path, folder: Path) -> dict[str, Any]:
    """One run on a cluster, with the seconds of its tasks."""
    began = time.time()
    with client.as_current():
        seconds, stages = job(raw, folder)
    tasks: defaultdict[str, list[float]] = defaultdict(list)
    for task in client.get_task_stream(start=began):
        name = key_split(task["key"]).removeprefix("dmontage-")
        tasks[name] += [part["stop"] - part["start"] for part in task["startstops"] if part["action"] == "compute"]
    return {"seconds": seconds, "stages": stages, "tasks": dict(tasks), "digest": product_digests(folder / "m.fits")[1]}


def sizes(client: Any, raw: Path, folder: Path) -> list[int]:
    """Bytes of each pickled task of a run."""
    found: list[int] = []
    submit = client.map

    def spy(function: Any, *iterables: Any, key: list[str], **more: Any) -> Any:
        found.extend(len(pickle.dumps((name, function, *task))) for name, *task in zip(key, *iterables, strict=True))
        return submit(function, *iterables, key=key, **more)

    client.map = spy
    measured(client, raw, folder)
    client.map = submit
    return found


def report(runs: dict[int, list[dict[str, Any]]], solo: list[tuple[float, float]], n_bytes: list[int]) -> None:
    """The table."""
    median = statistics.median
    one, two, half = runs[1], runs[2], runs[0]
    print(f"{'':10}{'1 worker':>10}{'on 1 CPU':>10}{'2 workers':>11}{'ratio':>8}{'of halves':>11}")
    for stage in ("all", *STAGES, "solve", "write"):
        a, h, b = ([r["stages"].get(stage, r["seconds"]) for r in each] for each in (one, half, two))
        ratios = [median(x / y for x, y in zip(each, b, strict=True)) for each in (a, h)]
        print(f"{stage:10}{median(a):10.2f}{median(h):10.2f}{median(b):11.2f}{ratios[0]:8.2f}{ratios[1]:11.2f}")
    for name, slow in (("ratios", one), ("of halves", half)):
        rounds = [a["seconds"] / b["seconds"] for a, b in zip(slow, two, strict=True)]
        print(f"{name} of the rounds: {', '.join(f'{ratio:.2f}' for ratio in rounds)}")
    ceilings = [2 * a / b for a, b in solo]
    print(f"ceiling, two processes on their own: {median(ceilings):.2f} ({', '.join(f'{c:.2f}' for c in ceilings)})")
    for stage in STAGES:
        wall = [r["stages"][stage] for r in one]
        work = [sum(r["tasks"][stage]) for r in one]
        each = [t for r in one for t in r["tasks"][stage]]
        idle = median(1 - b / a for a, b in zip(wall, work, strict=True))
        print(f"{stage:10}{len(one[0]['tasks'][stage]):4d} tasks of {median(each):.3f} s (least {min(each):.3f}), "
              f"the worker waits {idle:.1%} of the wall time")  # fmt: skip
    walls = [sum(r["stages"][s] for s in STAGES) for r in one]
    works = [sum(sum(r["tasks"][s]) for s in STAGES) for r in one]
    print(f"overhead  {median(1 - b / a for a, b in zip(walls, works, strict=True)):.1%} of the stages' wall time")
    print(
        f"bytes     {max(n_bytes)} at most, {statistics.mean(n_bytes):.0f} in the mean, of {len(n_bytes)} pickled tasks"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=float, default=2.0, help="side of the field, degrees")
    parser.add_argument("--survey", type=Path, help="images instead")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        alone(options.survey)
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        raw = options.survey or folder / "raw"
        if options.survey is None:
            simulate(raw, options.size, 1)
        clients: dict[int, Any] = {}
        for n in (0, 1, 2):  # 0: one worker, all on one processor
            (folder / str(n)).mkdir()
            with on_processors(1 if n == 0 else 2):
                cluster = stack.enter_context(Processes(folder / str(n)))
                cluster.start_workers(*(f"worker{k}" for k in range(n or 1)), nanny=False, environ=environment())
            clients[n] = stack.enter_context(Client(cluster.address, set_as_default=False))
            clients[n].get_task_stream(start=0, stop=0)  # from now on it is recorded
            measured(clients[n], raw, folder / str(n))  # compiled, and in the page cache
        n_bytes = sizes(clients[1], raw, folder / "1")
        runs: dict[int, list[dict[str, Any]]] = {0: [], 1: [], 2: []}
        solo, digests = [], set()
        print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the start")
        for _ in range(options.runs):
            for n, client in clients.items():
                with on_processors(1 if n == 0 else 2):
                    runs[n].append(measured(client, raw, folder / str(n)))
                digests.add(runs[n][-1]["digest"])
        for _ in range(max(options.runs // 2, 1)):
            single, both = children(raw, 1), children(raw, 2)
            solo.append((single[0][0], statistics.mean(seconds for seconds, _ in both)))
            digests |= {digest for _, digest in (*single, *both)}
        report(runs, solo, n_bytes)
        if len(digests) != 1:
            raise SystemExit(f"{len(digests)} different digests")


if __name__ == "__main__":
    main()
