"""The whole job beside its peers: raw images to one background-matched mosaic on one grid, medians of interleaved runs.

    python tests/bench/bench_mosaic.py [--size 1|3] [--survey FOLDER] [--runs 3] [--cores 2] [--cold]
                                       [--peers montage,swarp,reproject] [--swarp LANCZOS3] [--reproject interp]
                                       [--json FILE]

The survey is `dmontage.demo`'s: SIN images of 1024 x 512 pixels, turned by up to 0.5°, on a TAN grid north up. Each
run of each tool is a process of its own on the same cores; peers that are not installed are left out, and named.

- dmontage: the second run in one process, scan to products, with a new store; on one core and on all. Peak memory is
  that of the whole process. What its stages cost is stated per input pixel. Beyond the cores measured, Amdahl's law.
- Montage: mImgtbl, mProjExec (mProjectPP), mOverlaps, mDiffFitExec, mBgModel, mBgExec, mAdd: one process at a time,
  as it is; peak memory is that of its largest program.
- SWarp: threads on all cores, background meshes subtracted (it matches none), Lanczos-3 (its default) or as asked.
- reproject_and_coadd: reproject_interp (not exact) or reproject_exact (minutes), levels matched, one thread.
- CPU seconds are those of all cores together: on a busy machine they say more than the wall's.
- ``--cold``: once more with the raw images dropped from the page cache, and for dmontage no compiled kernel, as whole
  processes, imports included. Programs and libraries stay in the page cache.

Nothing is asserted but that every mosaic has the shape asked for.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # this tree's dmontage, whichever is installed

import machine  # noqa: E402
import numpy as np  # noqa: E402
from astropy.io import fits  # noqa: E402
from chains import Clock  # noqa: E402
from results import Figure, absent, json_option, write  # noqa: E402

import dmontage as dm  # noqa: E402
from dmontage.demo.simulate import simulate  # noqa: E402

FIGURES: list[Figure] = []
"""All that was measured."""
MISSING: list[Tool] = []


class Tool(NamedTuple):
    """A line of the table: how ``chains.py`` is called."""

    label: str
    name: str
    cores: int
    option: str = ""
    memory: int = 0
    """MB, of tools that can be told."""


class Field(NamedTuple):
    """The survey and the grid that all tools are given."""

    raw: Path
    grid: dm.Grid
    template: Path
    n_images: int
    n_pixels: int

    def about(self) -> str:
        """Numbers of images and pixels, size of the mosaic."""
        ny, nx = self.grid.shape
        area = np.degrees(np.degrees(self.grid.scale**2)) * ny * nx
        return f"{self.n_images} images, {self.n_pixels / 1e6:.1f} Mpix, on {nx} x {ny} pixels ({area:.2f} deg²)"


class Outcome(NamedTuple):
    """One run of a tool."""

    seconds: float
    whole: float
    """Of the process, with Python and its imports where it is Python's."""
    cpu: float
    """Seconds of all cores together."""
    peak_mb: float
    stages: dict[str, float]


def field(raw: Path, folder: Path) -> Field:
    """The survey's images, and the template of the smallest grid that holds them."""
    images = dm.scan(raw)
    grid = dm.Grid.fit(images)
    template = folder / "grid.hdr"
    template.write_text(grid.to_template())
    return Field(raw, grid, template, len(images), sum(image.grid.window.size for image in images))


def tools(cores: int, names: str, swarp: str = "LANCZOS3", reproject: str = "interp") -> list[Tool]:
    """dmontage, on one core too, and the peers of these names that are installed; the others go to `MISSING`."""
    found = [Tool("dmontage", "dmontage", cores)]
    if cores > 1:
        found.append(Tool("dmontage, 1 core", "dmontage", 1))
    versions = machine.tools()
    peers = {
        "montage": (versions["Montage"], Tool("Montage", "montage", cores)),
        "swarp": (versions["SWarp"], Tool(f"SWarp, {swarp}", "swarp", cores, swarp)),
        "reproject": (
            versions["reproject"],
            Tool(f"reproject_and_coadd, {reproject}", "reproject", cores, reproject),
        ),
    }
    for name in filter(None, names.split(",")):
        if name not in peers:
            raise SystemExit(f"peer {name!r} is none of {', '.join(peers)}")
        installed, tool = peers[name]
        if installed:
            found.append(tool)
        else:
            print(f"{tool.label}: not installed, left out")
            MISSING.append(tool)
    return found


def measure(tool: Tool, survey: Field, look: Callable[[Path], object] | None = None, **environment: str) -> Outcome:
    """One run in a process and a folder of its own; ``look`` is given the mosaic before that goes."""
    threads = {f"{library}_NUM_THREADS": str(tool.cores) for library in ("OMP", "OPENBLAS", "NUMBA")}
    environ = {**os.environ, **threads, "PYTHONPATH": str(ROOT), **environment}
    script = Path(__file__).with_name("chains.py")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(script), tool.name, str(survey.raw), folder, str(survey.template)]
        start = time.perf_counter()
        done = subprocess.run(
            [*command, str(tool.cores), tool.option, str(tool.memory)],
            cwd=ROOT,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        whole = time.perf_counter() - start
        if done.returncode:
            raise RuntimeError(f"{tool.label}: {done.stderr[-3000:]}")
        said = json.loads(done.stdout.splitlines()[-1])
        shape = fits.getdata(said["mosaic"]).shape
        if look is not None:
            look(Path(said["mosaic"]))
    if shape != survey.grid.shape:
        raise RuntimeError(f"{tool.label} made a mosaic of shape {shape}, asked for {survey.grid.shape}")
    print(f"  {tool.label}: {said['seconds']:.2f} s, CPU {said['cpu']:.2f} s", file=sys.stderr, flush=True)
    return Outcome(said["seconds"], whole, said["cpu"], said["peak_mb"], said["stages"])


def forget(survey: Field) -> None:
    """Drop the raw images from the page cache: theirs alone, so without rights and without harm to others."""
    os.sync()
    for path in survey.raw.glob("*.fits"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def median_of(outcomes: list[Outcome]) -> Outcome:
    """Medians, number by number; of the stages too."""
    stages = {name: statistics.median(run.stages.get(name, 0.0) for run in outcomes) for name in outcomes[0].stages}
    seconds, whole, cpu, peak = np.median([run[:4] for run in outcomes], axis=0).tolist()
    return Outcome(seconds, whole, cpu, peak, stages)


def warm(survey: Field, chosen: list[Tool], runs: int) -> None:
    """The main table, and what stages cost."""
    taken: dict[Tool, list[Outcome]] = defaultdict(list)
    for path in survey.raw.glob("*.fits"):
        path.read_bytes()  # the page cache is hot for the first tool too
    for _ in range(runs):
        for tool in chosen:
            taken[tool].append(measure(tool, survey))
    medians = {tool: median_of(taken[tool]) for tool in chosen}
    table(f"{survey.about()}, warm", {tool: run.seconds for tool, run in medians.items()}, medians)
    for tool, run in medians.items():
        if run.stages:
            stages_table(tool, run, survey)
    ours = [tool for tool in chosen if tool.name == "dmontage"]
    if len(ours) == 2:
        curve(medians[ours[1]].seconds, medians[ours[0]].seconds, ours[0].cores)


def table(title: str, seconds: dict[Tool, float], runs: dict[Tool, Outcome]) -> None:
    """Wall time and that of all cores together, with ratios to the first line; peak memory."""
    print(f"\n{title}\n  {'':<40} {'s':>8} {'x dmontage':>11} {'CPU s':>8} {'x dmontage':>11} {'peak MB':>9}")
    first, first_cpu = next(iter(seconds.values())), next(iter(runs.values())).cpu
    FIGURES.extend(absent(title, "the clock", tool.label) for tool in MISSING)
    for tool, taken in seconds.items():
        FIGURES.extend(Figure(title, work, tool.label, value, unit) for work, value, unit in (
            ("the clock", taken, "s"), ("processor, all cores", runs[tool].cpu, "s"),
            ("peak memory", runs[tool].peak_mb, "MB")))  # fmt: skip
        cpu, peak = runs[tool].cpu, runs[tool].peak_mb
        print(f"  {tool.label:<40} {taken:8.2f} {taken / first:11.2f} {cpu:8.2f} {cpu / first_cpu:11.2f} {peak:9.0f}")
    sys.stdout.flush()


def stages_table(tool: Tool, run: Outcome, survey: Field) -> None:
    """Seconds of each stage, and nanoseconds per input pixel."""
    print(f"\n{tool.label}, stages\n  {'':<40} {'s':>8} {'ns per input pixel':>19}")
    for name, taken in run.stages.items():
        print(f"  {name:<40} {taken:8.3f} {taken / survey.n_pixels * 1e9:19.1f}")


def curve(one: float, many: float, cores: int) -> None:
    """Speed-up measured, and what Amdahl's law makes of it: serial + parallel / n."""
    parallel = (one - many) / (1 - 1 / cores)
    serial = one - parallel
    modelled = ", ".join(f"{n}: {serial + parallel / n:.2f} s" for n in (4, 8, 16, 64) if n > cores)
    print(f"\nfrom 1 to {cores} cores {one / many:.2f} times faster: serial {serial:.2f} s, parallel {parallel:.2f} s")
    if min(serial, parallel) > 0:
        print(f"  modelled for more cores: {modelled}")


def cold(survey: Field, chosen: list[Tool], runs: int) -> None:
    """Whole processes after the images were dropped; dmontage's command without and with its compiled kernels."""
    ours = chosen[0]
    first, again = (ours._replace(name="command", label=f"dmontage mosaic, {how}") for how in ("cold", "kernels kept"))
    taken: dict[Tool, list[Outcome]] = defaultdict(list)
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as cache:
            for tool in (first, again, *(tool for tool in chosen if tool.name != "dmontage")):
                forget(survey)
                taken[tool].append(measure(tool, survey, NUMBA_CACHE_DIR=cache))
    medians = {tool: median_of(outcomes) for tool, outcomes in taken.items()}
    table(f"{survey.about()}, cold (images not in the page cache, whole processes)",
          {tool: run.seconds if tool.name == "command" else run.whole for tool, run in medians.items()},
          medians)  # fmt: skip


def start_up(survey: Field, cores: int, runs: int) -> None:
    """What the command line takes beside the work: its help, its imports, and the whole command, all caches hot."""
    title = "Command line, caches hot"
    print(f"\n{title}\n  {'':<40} {'s':>8} {'CPU s':>8}")
    help_text = "from dmontage.cli import main; main(['--help'])"
    for name, code in (("dmontage --help", help_text), ("import dmontage.pipeline", "import dmontage.pipeline")):
        seconds, cpu = np.median([python(code) for _ in range(max(runs, 3))], axis=0)
        print(f"  {name:<40} {seconds:8.2f} {cpu:8.2f}")
        FIGURES.append(Figure(title, name, "dmontage", float(seconds), "s"))
    whole = median_of([measure(Tool("dmontage mosaic", "command", cores), survey) for _ in range(runs)])
    print(f"  {'dmontage mosaic RAW -o OUT, as a whole':<40} {whole.seconds:8.2f} {whole.cpu:8.2f}")
    FIGURES.append(Figure(title, "dmontage mosaic RAW -o OUT, as a whole", "dmontage", whole.seconds, "s"))


def python(code: str) -> tuple[float, float]:
    """Wall and processor time of a Python process."""
    clock = Clock()
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    return clock.taken()


def about(survey: Field) -> None:
    """Machine, versions, sizes."""
    print(", ".join(machine.about().values()))
    versions = {**machine.tools(), **machine.libraries()}
    print(", ".join(f"{name} {version}" for name, version in versions.items() if version))
    print(survey.about(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=float, default=1.0, help="side of the survey, degrees: 1 (45 images), 3 (325)")
    parser.add_argument("--survey", type=Path, help="folder of a survey that exists; only read")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--peers", default="montage,swarp,reproject", help="some of these, or nothing")
    parser.add_argument("--swarp", default="LANCZOS3", help="its RESAMPLING_TYPE")
    parser.add_argument("--reproject", default="interp", choices=["interp", "exact", "adaptive"])
    parser.add_argument("--cold", action="store_true", help="a table of cold runs too")
    json_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        raw = options.survey or Path(folder) / "raw"
        if options.survey is None:
            simulate(raw, options.size)
        survey = field(raw.resolve(), Path(folder))
        chosen = tools(options.cores, options.peers, options.swarp, options.reproject)
        about(survey)
        warm(survey, chosen, options.runs)
        if options.cold:
            cold(survey, chosen, options.runs)
        start_up(survey, options.cores, options.runs)
    write(FIGURES, options.json)


if __name__ == "__main__":
    main()
