"""Projection beside its peers, in one run: Mpix of input per second and core, ratios.

``python tests/bench/bench_project.py [--rounds N] [--side N] [--json FILE]``. Peers that are not
installed are named: reproject, drizzle, Montage's programs (mProjectPP, mProject), SWarp. TAN to TAN, turned by 17°, 1
arcsec. Times are medians of N interleaved rounds; nothing is asserted: machines are noisy, ratios less so. Slow peers
get a smaller image, on a grid that just holds it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402
from machine import swarp_program  # noqa: E402
from results import Figure, absent, json_option, write  # noqa: E402

from dmontage.fits_files import FitsWriter, read, scan  # noqa: E402
from dmontage.graph.job import Job  # noqa: E402
from dmontage.graph.project import project  # noqa: E402
from dmontage.grid import Grid  # noqa: E402
from dmontage.kernels.plane import TILE, project_plane  # noqa: E402
from dmontage.kernels.sky import project_sky  # noqa: E402
from dmontage.mapping import fit_mapping  # noqa: E402
from dmontage.model import Drop  # noqa: E402

MEMORY, GIVEN, FILES = "arrays, mapping included", "arrays, corners given", "from file to file"
FIGURES: list[Figure] = []
"""All that was measured."""


class Run(NamedTuple):
    """Something to be timed: what a tool does with how many input pixels."""

    work: str
    tool: str
    call: Callable[[], object] | None
    """None where the tool is not installed."""
    n_pixels: int


class Field(NamedTuple):
    """An image, its grid, and one turned by 17° that holds it."""

    values: Any
    grid_in: Grid
    grid_out: Grid


def field(side: int, ratio: float) -> Field:
    """A square field; ``ratio`` is output over input pixel size."""
    grid_in = Grid.around("83.8 -5.4", shape=(side, side), scale="1 arcsec")
    grid_out = Grid.fit([grid_in], scale=f"{ratio} arcsec", rotation="17 deg")
    return Field(np.random.default_rng(1).normal(100.0, 1.0, grid_in.shape).astype(np.float32), grid_in, grid_out)


def seconds(call: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def table(title: str, runs: list[Run], rounds: int) -> None:
    """Time all runs, interleaved, and print the medians beside dmontage's of the same work."""
    taken: dict[Run, list[float]] = {run: [seconds(run.call)] for run in runs if run.call}
    for _ in range(rounds):
        for run, times in taken.items():
            if run.call:
                times.append(seconds(run.call))
    rates = {run: run.n_pixels / statistics.median(times[1:]) / 1e6 for run, times in taken.items()}
    ours = {run.work: rate for run, rate in rates.items() if run.tool == "dmontage"}
    print(f"\n{title}")
    for run in runs:
        if run not in rates:
            print(f"  {run.work:<32} {run.tool:<20} not installed")
            FIGURES.append(absent(title, run.work, run.tool))
            continue
        print(f"  {run.work:<32} {run.tool:<20} {rates[run]:9.3f} Mpix/s {rates[run] / ours[run.work]:9.3f} x dmontage")
        FIGURES.append(Figure(title, run.work, run.tool, rates[run], "Mpix/s"))


def exact_on_plane(side: int, ratio: float, rounds: int, folder: Path) -> None:
    """First row: exact projection, TAN to TAN turned."""
    big, small = field(side, ratio), field(128, ratio)
    x_out, y_out = fit_mapping(big.grid_in, big.grid_out).patches[0].corners(big.grid_in.window)
    window = big.grid_out.window
    flux, area = np.zeros(window.shape), np.zeros(window.shape)
    n = big.values.size
    kernel = Run(GIVEN, "dmontage", lambda: project_plane(big.values, x_out, y_out, flux, area, 0, 0, TILE), n)
    runs = [
        kernel,
        Run(MEMORY, "dmontage", lambda: project(big.values, fresh(big), window), n),
        Run(FILES, "dmontage", with_files(big, folder, "plane"), n),
        reproject_run(small, "exact"),
        reproject_run(big, "adaptive"),
        reproject_run(big, "interp"),
        program_run(big, folder, "mProjectPP"),
        swarp_run(big, folder),
    ]
    table(f"On the plane, {side}x{side}, output pixels {ratio} times as large", runs, rounds)


def exact_on_sphere(side: int, ratio: float, rounds: int, folder: Path) -> None:
    """Second row: exact projection on the sphere, corners given."""
    big, small = field(side, ratio), field(128, ratio)
    corners_in, corners_out = big.grid_in.corners(big.grid_in.window), big.grid_out.corners(big.grid_out.window)
    flux, area = np.zeros(big.grid_out.shape), np.zeros(big.grid_out.shape)
    job = Job(big.grid_in, big.grid_out, fit_mapping(big.grid_in, big.grid_out), "sky")
    n = big.values.size
    runs = [
        Run(GIVEN, "dmontage", lambda: project_sky(big.values, corners_in, corners_out, flux, area), n),
        Run(MEMORY, "dmontage", lambda: project(big.values, job, big.grid_out.window), n),
        Run(FILES, "dmontage", with_files(big, folder, "sky"), n),
        reproject_run(small, "exact"),
        program_run(small, folder, "mProject"),
    ]
    table(f"On the sphere, {side}x{side}, output pixels {ratio} times as large", runs, rounds)


def drizzle(side: int, rounds: int) -> None:
    """Third row: drizzle with pixfrac 0.8, square drops."""
    big = field(side, 1.0)
    mapping = fit_mapping(big.grid_in, big.grid_out)
    given = Job(big.grid_in, big.grid_out, mapping, "plane", Drop(0.8))
    weights = np.random.default_rng(2).uniform(0.5, 1.5, big.values.shape)
    n, window = big.values.size, big.grid_out.window
    cube = np.broadcast_to(big.values, (8, *big.values.shape))
    runs = [
        Run("mapping given", "dmontage", lambda: project(big.values, given, window), n),
        Run("mapping included", "dmontage", lambda: project(big.values, fresh(big, Drop(0.8)), window), n),
        Run("mapping given, weights", "dmontage", lambda: project(big.values, given, window, weights=weights), n),
        Run("mapping given, each of 8 planes", "dmontage", lambda: project(cube, given, window), 8 * n),
        *drizzle_runs(big),
    ]
    table(f"Drizzle, pixfrac 0.8, {side}x{side}", runs, rounds)


def with_files(f: Field, folder: Path, method: str) -> Callable[[], None]:
    """Projection from file to files, mean and area."""
    path = write_field(f, folder / "in.fits")
    window = f.grid_out.window

    def call() -> None:
        image = scan(path)[0]
        done = project(read(image), Job(image.grid, f.grid_out, fit_mapping(image.grid, f.grid_out), method), window)
        with FitsWriter(folder / "out.fits", f.grid_out) as out:
            out.write(window, np.divide(done.flux, done.area, where=done.area > 0, out=np.full(window.shape, np.nan)))
        with FitsWriter(folder / "out_area.fits", f.grid_out) as out:
            out.write(window, done.area * f.grid_out.solid_angle(window))

    return call


def fresh(f: Field, drop: Drop | None = None) -> Job:
    """A job whose mapping is made anew."""
    return Job(f.grid_in, f.grid_out, fit_mapping(f.grid_in, f.grid_out), "plane", drop or Drop())


def write_field(f: Field, path: Path) -> Path:
    """The field as a FITS file."""
    with FitsWriter(path, f.grid_in) as out:
        out.write(f.grid_in.window, f.values)
    return path


def reproject_run(f: Field, kind: str) -> Run:
    """reproject's exact, adaptive or interp on this field."""
    call: Callable[[], object] | None = None
    if find_spec("reproject") is not None:
        import reproject

        function = getattr(reproject, f"reproject_{kind}")
        options = {"parallel": False} if kind == "exact" else {"conserve_flux": True} if kind == "adaptive" else {}

        def call() -> object:
            return function((f.values, f.grid_in.wcs()), f.grid_out.wcs(), shape_out=f.grid_out.shape, **options)

    return Run(MEMORY, f"reproject_{kind}", call, f.values.size)


def drizzle_runs(f: Field) -> list[Run]:
    """STScI drizzle on this field, with its pixmap and with one given."""
    n = f.values.size
    if find_spec("drizzle") is None:
        return [Run(f"mapping {how}", "drizzle", None, n) for how in ("given", "included")]
    from drizzle.resample import Drizzle
    from drizzle.utils import calc_pixmap

    def add(pixmap: Any) -> None:
        # Without its map of contributing images, which nobody else makes here.
        out = Drizzle(kernel="square", out_shape=f.grid_out.shape, disable_ctx=True)
        out.add_image(f.values, exptime=1.0, pixmap=pixmap, pixfrac=0.8)

    given = calc_pixmap(f.grid_in.wcs(), f.grid_out.wcs())
    return [
        Run("mapping given", "drizzle", lambda: add(given), n),
        Run("mapping included", "drizzle", lambda: add(calc_pixmap(f.grid_in.wcs(), f.grid_out.wcs())), n),
    ]


def program_run(f: Field, folder: Path, program: str) -> Run:
    """One of Montage's programs, from file to file."""
    path, template = write_field(f, folder / f"{program}.fits"), folder / f"{program}.hdr"
    template.write_text(f.grid_out.to_template())
    command = [program, str(path), str(folder / f"{program}_out.fits"), str(template)]
    return Run(FILES, program, (lambda: check(command)) if shutil.which(program) else None, f.values.size)


def swarp_run(f: Field, folder: Path) -> Run:
    """SWarp's resampling (Lanczos-3, not exact), file to file, without background and coaddition."""
    program = swarp_program()
    if program is None:
        return Run(FILES, "SWarp", None, f.values.size)
    path = write_field(f, folder / "swarp.fits")
    (folder / "coadd.head").write_text(f.grid_out.to_template())
    options = {"COMBINE": "N", "SUBTRACT_BACK": "N", "NTHREADS": "1", "VERBOSE_TYPE": "QUIET", "WRITE_XML": "N"}
    options |= {"IMAGEOUT_NAME": f"{folder}/coadd.fits", "RESAMPLE_DIR": f"{folder}", "DELETE_TMPFILES": "N"}
    command = [program, str(path), *(word for key, value in options.items() for word in (f"-{key}", value))]
    return Run(FILES, "SWarp", lambda: check(command), f.values.size)


def check(command: list[str]) -> None:
    """Run a program; a failure is shown, not timed in silence."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode or "ERROR" in done.stdout:
        raise RuntimeError(f"{command[0]}: {done.stdout}{done.stderr}")


def main() -> None:
    """All tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", type=int, default=1024)
    json_option(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for ratio in (1.0, 1.3):
            exact_on_plane(arguments.side, ratio, arguments.rounds, Path(folder))
        for ratio in (1.0, 1.3):
            exact_on_sphere(arguments.side // 2, ratio, arguments.rounds, Path(folder))
        drizzle(2 * arguments.side, arguments.rounds)
    write(FIGURES, arguments.json)


if __name__ == "__main__":
    main()
