"""One tool's whole job, in a process of its own: raw images on a given grid, backgrounds matched, one mosaic written.

``python chains.py TOOL RAW FOLDER TEMPLATE CORES [OPTION [MEMORY]]`` prints one line of JSON: the seconds of
the job, of all its cores, of its stages, the peak memory in MB, and the mosaic's path. Nothing heavy is imported before
it is needed: a program that is started from here counts our own memory as its own until it runs.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import machine


class Job(NamedTuple):
    """What every tool is given."""

    raw: Path
    folder: Path
    """Empty, for all that is written."""
    template: Path
    """Header of the grid, one card a line."""
    cores: int
    option: str
    """The interpolation of SWarp and reproject."""
    memory: int = 0
    """MB that must do, of tools that can be told; 0: as they are."""


class Done(NamedTuple):
    """What a job took."""

    seconds: float
    cpu: float
    """Seconds of all cores together: what a busy machine leaves comparable."""
    stages: dict[str, float]
    mosaic: str


class Clock:
    """Wall and processor time since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), _cpu()

    def taken(self) -> tuple[float, float]:
        return time.perf_counter() - self._wall, _cpu() - self._cpu


def _cpu() -> float:
    """Processor seconds of this process and of the programs that it has run."""
    programs = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + programs.ru_utime + programs.ru_stime


def run(command: list[str], folder: Path) -> str:
    """Output of a program; an error where it fails, or says so in Montage's way."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode or 'stat="ERROR"' in done.stdout:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def montage(job: Job) -> Done:
    """Montage's own chain. mProjExec takes mProjectPP, the fast one, from one tangent plane (SIN, TAN) to another."""
    raw, grid = str(job.raw.resolve()), str(job.template.resolve())
    for name in ("projected", "differences", "corrected"):
        (job.folder / name).mkdir()
    stages: dict[str, float] = {}
    clock = Clock()
    for command in (
        f"mImgtbl {raw} raw.tbl",
        f"mProjExec -p {raw} raw.tbl {grid} projected stats.tbl",
        "mImgtbl projected images.tbl",
        "mOverlaps images.tbl pairs.tbl",
        f"mDiffFitExec -p projected pairs.tbl {grid} differences fits.tbl",
        "mBgModel images.tbl fits.tbl corrections.tbl",
        "mBgExec -p projected images.tbl corrections.tbl corrected",
        f"mAdd -e -p corrected images.tbl {grid} mosaic.fits",
    ):
        start = time.perf_counter()
        said = run(command.split(), job.folder)
        name = command.split()[0]
        stages[name] = stages.get(name, 0.0) + time.perf_counter() - start
        # A pair whose images touch in blank corners only has no difference to fit, which is as it should be.
        if name != "mDiffFitExec" and re.search(r"failed=[1-9]", said):
            raise RuntimeError(f"{command}: {said}")
    return Done(*clock.taken(), stages, str(job.folder / "mosaic.fits"))


def swarp(job: Job) -> Done:
    """SWarp: resampling by interpolation, each image's own background mesh subtracted, plain mean."""
    program = machine.swarp_program()
    assert program is not None
    shutil.copy(job.template, job.folder / "mosaic.head")
    options = {
        "IMAGEOUT_NAME": "mosaic.fits", "WEIGHTOUT_NAME": "mosaic.weight.fits", "RESAMPLE_DIR": ".", "VMEM_DIR": ".",
        "COMBINE_TYPE": "AVERAGE", "RESAMPLING_TYPE": job.option, "SUBTRACT_BACK": "Y", "NTHREADS": str(job.cores),
        "MEM_MAX": str(job.memory or 1024), "COMBINE_BUFSIZE": str(job.memory // 2 or 1024),
        "VERBOSE_TYPE": "QUIET", "WRITE_XML": "N",
    }  # fmt: skip
    images = sorted(str(path.resolve()) for path in job.raw.glob("*.fits"))
    command = [program, *images, *(word for key, value in options.items() for word in (f"-{key}", value))]
    clock = Clock()
    run(command, job.folder)
    return Done(*clock.taken(), {}, str(job.folder / "mosaic.fits"))


def coadd_by_reproject(job: Job) -> Done:
    """reproject_and_coadd by reproject_interp or reproject_exact, levels matched, mean; both products written."""
    import reproject
    from astropy.io import fits
    from astropy.wcs import WCS
    from reproject.mosaicking import reproject_and_coadd

    header = fits.Header.fromtextfile(job.template)
    function = getattr(reproject, f"reproject_{job.option}")
    out = job.folder / "mosaic.fits"
    clock = Clock()
    paths = sorted(map(str, job.raw.glob("*.fits")))
    data, footprint = reproject_and_coadd(
        paths, WCS(header), shape_out=(header["NAXIS2"], header["NAXIS1"]), reproject_function=function,
        match_background=True, combine_function="mean", intermediate_memmap=job.memory > 0,
    )  # fmt: skip
    fits.writeto(out, data.astype("f4"), WCS(header).to_header())
    fits.writeto(out.with_name("mosaic_area.fits"), footprint.astype("f4"), WCS(header).to_header())
    return Done(*clock.taken(), {}, str(out))


def by_dmontage(job: Job) -> Done:
    """The second run in one process: kernels loaded, page cache hot. The store is new each time.

    With a limit of memory, one run, of which the peak is what is asked.
    """
    import dask

    with dask.config.set(scheduler="threads", num_workers=job.cores):
        if not job.memory:
            once_by_dmontage(job, "first")
        return once_by_dmontage(job, "mosaic")


def once_by_dmontage(job: Job, name: str) -> Done:
    """Scan, plan, and all the rest."""
    import dmontage as dm

    out, store = job.folder / f"{name}.fits", job.folder / f"{name}.zarr"
    clock = Clock()
    images = dm.scan(job.raw)
    scanned, _ = clock.taken()
    limit = job.memory * 10**6 or None
    mosaic = dm.mosaic(images, dm.Grid.from_header(job.template), store=store, memory_limit=limit)
    planned, _ = clock.taken()
    mosaic.write(out)
    seconds, cpu = clock.taken()
    stages = {"scan": scanned, "plan": planned - scanned, **mosaic.summary.seconds}
    stages["the rest"] = seconds - sum(stages.values())
    return Done(seconds, cpu, stages, str(out))


def command_of_dmontage(job: Job) -> Done:
    """The command line, from nothing to the files; what Python and its imports take is in it."""
    out = job.folder / "mosaic.fits"
    clock = Clock()
    code = "from dmontage.cli import main; main()"
    run([sys.executable, "-c", code, "mosaic", str(job.raw), "-o", str(out), "--header", str(job.template)], Path.cwd())
    return Done(*clock.taken(), {}, str(out))


TOOLS: dict[str, Callable[[Job], Done]] = {
    "dmontage": by_dmontage,
    "command": command_of_dmontage,
    "montage": montage,
    "swarp": swarp,
    "reproject": coadd_by_reproject,
}
_HERE = ("dmontage", "reproject")
"""Tools that run in this very process."""


def peak_mb(tool: str) -> float:
    """Greatest resident memory of this process, or of any single program that it started, 10^6 bytes."""
    if tool in _HERE:
        return machine.peak_mb()
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6


def main(tool: str, raw: str, folder: str, template: str, cores: str, option: str = "", memory: str = "0") -> None:
    job = Job(Path(raw), Path(folder), Path(template), int(cores), option, int(memory))
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: job.cores])
    done: dict[str, Any] = TOOLS[tool](job)._asdict()
    print(json.dumps({**done, "peak_mb": peak_mb(tool)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
