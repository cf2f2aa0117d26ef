"""Plan, graph, store, solve and scheduler of a mosaic of any size: time and memory, without a pixel.

    python tests/bench/bench_scale.py [--images 1000,10000] [--scheduler] [--json FILE]

Images are headers of the 2MASS Atlas's shape (512 × 1024 pixels of 1 arcsec, a tenth shared). The planner, the store,
the calls of each stage and the solve are the real ones; what the tasks would give is made up: receipts, and fits of
planes with noise. Each number of images has a process of its own; peaks are VmHWM, set back before each step.

With --scheduler the same calls, doing nothing, go to a `dask scheduler` with one worker of one thread, in processes of
their own, the way a run sends them.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[2]), str(HERE.parents[1]), str(HERE.parents[1] / "cluster")]

from catalogues import Pretended, atlas, nothing  # noqa: E402
from machine import peak_mb  # noqa: E402
from processes import Processes, environment  # noqa: E402

import dmontage as dm  # noqa: E402
from dmontage.graph.drive import Call, run  # noqa: E402
from dmontage.graph.packing import packed  # noqa: E402
from dmontage.graph.worker import Needs, work  # noqa: E402
from dmontage.grid import Grid  # noqa: E402
from dmontage.pipeline import Mosaic  # noqa: E402
from dmontage.planner.estimate import estimate  # noqa: E402


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Steps:
    """Seconds of CPU and of the clock, and peaks, of steps one after the other."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.told: dict[str, Any] = {"images": n}

    def __call__(self, name: str, call: Callable[[], Any]) -> Any:
        Path("/proc/self/clear_refs").write_text("5")
        cpu, clock = time.process_time(), time.perf_counter()
        found = call()
        cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
        self.told[name] = {"cpu_s": cpu, "s": clock, "ms_per_image": 1e3 * cpu / self.n, "peak_mb": peak_mb()}
        print(f"{self.n:8d}  {name:12s}{cpu:9.2f} s CPU{clock:9.2f} s{1e3 * cpu / self.n:9.3f} ms an image"
              f"{peak_mb():9.0f} MB", flush=True)  # fmt: skip
        return found

    def note(self, **more: Any) -> None:
        self.told.update(more)
        print(f"{self.n:8d}  " + ", ".join(f"{name} {value:.6g}" for name, value in more.items()), flush=True)


def measure(n: int, *, scheduler: bool) -> dict[str, Any]:
    """All steps of a mosaic of ``n`` images, in this process."""
    dm.plan(atlas(6))  # imports are no part of it
    steps = Steps(n)
    images = steps("catalogue", lambda: atlas(n))
    grid = steps("grid", lambda: Grid.fit(images))
    plan = steps("plan", lambda: dm.plan(images, grid, max_bytes=1e18))
    of_tasks = sum(estimate(replace(plan, workers=1))[stage] for stage in ("project", "fit", "coadd"))
    steps.note(pairs=len(plan.pairs), mosaic_side=max(grid.shape), chunks=len(plan.chunks))
    steps.note(estimated_core_ms_per_image=1e3 * of_tasks / n)
    with tempfile.TemporaryDirectory() as folder, Pretended() as tasks:
        store = Path(folder, "run.zarr")
        mosaic = Mosaic(plan, store)
        steps("store", mosaic._open)
        steps.note(row_table_bytes=sum(f.stat().st_size for f in store.rglob("*") if f.is_file()))
        steps("store again", Mosaic(plan, store)._open)
        steps("project", lambda: mosaic._project(range(n)))
        steps("fit", mosaic.fit)
        mosaic.solution = steps("solve", lambda: mosaic._match.solve(mosaic.fits))
        mosaic._tell(mosaic.solution)
        steps("corrections", mosaic._rectify)
        steps("coadd", lambda: mosaic._coadd(lambda *_: None))
        needs = Needs.of(mosaic._open(), plan)
    sizes = {stage: [len(sent(call, needs)) for call in calls] for stage, calls in tasks.calls.items()}
    for stage, each in sizes.items():
        steps.note(**{f"{stage}_tasks": len(each), f"{stage}_bytes": sum(each), f"{stage}_largest": max(each)})
    if scheduler:
        calls = [Call(call.key, nothing, call.arguments) for each in tasks.calls.values() for call in each]
        steps.note(**scheduled(steps, calls))
    return steps.told


def sent(call: Call, needs: Needs) -> bytes:
    """A call as a run on a cluster sends it."""
    return pickle.dumps((call.key, work, needs, call.function, packed(call.arguments[1:])))


def scheduled(steps: Steps, calls: Sequence[Call]) -> dict[str, Any]:
    """What a scheduler takes for calls that do nothing."""
    import distributed

    connect: Any = distributed.Client

    with ExitStack() as stack:
        with_catalogues = environment(HERE.parents[1])
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cluster = stack.enter_context(Processes(folder, with_catalogues))
        cluster.start_workers("one", nanny=False, environ=with_catalogues)
        client = stack.enter_context(connect(cluster.address, set_as_default=False))
        stack.enter_context(client.as_current())
        pid = cluster.pid("scheduler")
        before, taken = peak_mb(pid), cpu(pid)
        steps("scheduler", lambda: run(calls))
        step, n = steps.told["scheduler"], len(calls) / 1e3
        return {
            "tasks": len(calls), "ms_per_task": step["s"] / n, "client_cpu_ms_per_task": step["cpu_s"] / n,
            "scheduler_cpu_ms_per_task": (cpu(pid) - taken) / n, "scheduler_mb": peak_mb(pid), "before_mb": before,
        }  # fmt: skip


def exponents(told: Sequence[dict[str, Any]]) -> None:
    """How each step grows from the last but one number of images to the last."""
    if len(told) < 2:
        return
    a, b = told[-2:]
    ratio = np.log(b["images"] / a["images"])
    for name, step in b.items():
        if isinstance(step, dict) and a[name]["cpu_s"] > 0.05:
            power = np.log(step["cpu_s"] / a[name]["cpu_s"]) / ratio
            print(f"{name:12s} grows as images^{power:.2f}")


def each_in_a_process(script: Path, images: str, json_file: Path | None, *options: str) -> None:
    """Run a script with ``--one`` for each number of images, tell how steps grow, and write what all of them told."""
    told = []
    with tempfile.TemporaryDirectory() as folder:
        for n in map(int, images.split(",")):
            out = Path(folder, f"{n}.json")
            subprocess.run([sys.executable, str(script), "--one", str(n), "--json", str(out), *options], check=True)
            told.append(json.loads(out.read_text()))
    exponents(told)
    if json_file is not None:
        json_file.write_text(json.dumps(told, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="1000,10000")
    parser.add_argument("--scheduler", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        given.json.write_text(json.dumps(measure(given.one, scheduler=given.scheduler)))
    else:
        each_in_a_process(HERE, given.images, given.json, *["--scheduler"] * given.scheduler)


if __name__ == "__main__":
    main()
