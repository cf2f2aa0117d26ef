"""What projection needs beside its work: memory, and the time until it begins, each in processes of its own.

``python tests/bench/bench_start.py [--side N] [--skip-compile] [--json FILE]``. Memory is peak resident memory above
that of the imports and compiled kernels; times are seconds of CPU, medians of five, but for first projections.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from bench_project import field
from machine import peak_mb  # noqa: F401  (for the code that `memory` runs)
from results import Figure, json_option, write

from dmontage.graph.job import Job
from dmontage.graph.project import project
from dmontage.mapping import fit_mapping

FIGURES: list[Figure] = []
"""All that was measured."""


def project_once(side: int, method: str) -> None:
    """Project a field of that size."""
    f = field(side, 1.0)
    project(f.values, Job(f.grid_in, f.grid_out, fit_mapping(f.grid_in, f.grid_out), method), f.grid_out.window)


def python(code: str, environment: dict[str, str]) -> float:
    """What a line of Python prints, with this file's names, in a process of its own."""
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
    command = [sys.executable, "-c", f"from bench_start import *; {code}"]
    environment = os.environ | {"PYTHONPATH": path} | environment
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def memory(side: int) -> None:
    """Peak memory above that of the imports and compiled kernels, per input Mpix."""
    title = f"Memory of projection alone, {side}x{side} float32 in and two float64 sums out included"
    print(f"\n{title}")
    for method in ("plane", "sky"):
        code = f"project_once(64, {method!r}); a = peak_mb(); project_once({side}, {method!r}); print(peak_mb() - a)"
        each = python(code, {}) / (side**2 / 1e6)
        print(f"  {method:<44} {each:9.1f} MB per Mpix")
        FIGURES.append(Figure(title, f"{method} kernel", "dmontage", each, "MB per Mpix"))


def start(compiling: bool) -> None:
    """CPU seconds of imports, of the command line's help, and of a first projection, cold and cached."""
    title = "Start-up, CPU seconds"
    print(f"\n{title}")
    cases = {"--help": ["-c", "from dmontage.cli import main; main(['--help'])"]}
    cases["import dmontage.pipeline"] = ["-c", "import dmontage.pipeline"]
    if find_spec("reproject"):
        cases["import reproject"] = ["-c", "import reproject"]
    for name, arguments in cases.items():
        cpu(arguments)
        taken = statistics.median(cpu(arguments) for _ in range(5))
        print(f"  {name:<44} {taken:9.2f}")
        tool = "reproject" if name == "import reproject" else "dmontage"
        FIGURES.append(Figure(title, name, tool, taken, "s"))
    if not compiling:
        return
    code = "import time; t = time.process_time(); project_once(16, {!r}); print(time.process_time() - t)"
    with tempfile.TemporaryDirectory() as cache:
        for method in ("plane", "sky"):
            for state in ("compiled", "from the cache"):
                taken = python(code.format(method), {"NUMBA_CACHE_DIR": cache})
                print(f"  first projection by the {method} kernel, {state:<14} {taken:9.2f}")
                FIGURES.append(Figure(title, f"first projection, {method} kernel {state}", "dmontage", taken, "s"))


def cpu(arguments: list[str]) -> float:
    """CPU seconds of a python process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--skip-compile", action="store_true", help="no first projections")
    json_option(parser)
    arguments = parser.parse_args()
    memory(arguments.side)
    start(compiling=not arguments.skip_compile)
    write(FIGURES, arguments.json)


if __name__ == "__main__":
    main()
