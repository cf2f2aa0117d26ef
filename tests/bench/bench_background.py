"""Global solves side by side: direct, the papers' relaxation, and Montage's mBgModel where it is installed.

    python tests/bench/bench_background.py [--sides 16,32,100] [--large 316] [--steps 10000]
                                           [--relaxation 10000] [--json FILE]

Each lattice has k × k images with planes of their own and a wave of 100 units over the mosaic, noise-free and
consistent, as in the statement C17: what is left is the rms of the corrections' error at the images' middles, once one
plane is taken out. The direct solution is timed with and without the covariance of all images.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent.parent))
from machine import peak_mb
from results import Figure, absent, json_option, write
from test_background import H, Lattice

from dmontage.background import PairTable, solve

Floats = NDArray[np.float64]
FIGURES: list[Figure] = []
"""All that was measured."""
SECONDS, LEFT = "Global solve, seconds", "What is left of a wave of 100 over the mosaic, rms"


def rms_left(lattice: Lattice, level: Floats, truth: Floats) -> float:
    """Error of the levels, one plane taken out."""
    design = np.column_stack([np.ones(len(level)), lattice.frames[:, :2] / lattice.extent])
    error = level - truth[:, 0]
    return float(np.std(error - design @ np.linalg.lstsq(design, error)[0]))


def timed(call: Callable[[], Floats]) -> tuple[float, Floats]:
    start = time.perf_counter()
    level = call()
    return time.perf_counter() - start, level


def mbgmodel(folder: Path, lattice: Lattice, table: PairTable) -> Floats:
    """Levels at the images' middles by mBgModel, through its tables; origins are CRPIX = 0 of one mosaic."""
    n = len(lattice.frames)
    side = int(2 * H)
    images = [
        "|  cntr  |  ns   |  nl   |   crpix1    |   crpix2    |  fname        |",
        "|  int   |  int  |  int  |   double    |   double    |  char         |",
    ]
    for i, (x, y, _) in enumerate(lattice.frames):
        images.append(f" {i:7d} {side:7d} {side:7d} {H - x:13.3f} {H - y:13.3f} {f'i{i}.fits':>15s} ")
    names = ["plus", "minus", "a", "b", "c", "crpix1", "crpix2", "xmin", "xmax", "ymin", "ymax", "xcenter", "ycenter"]
    names += ["npixel", "rms", "boxx", "boxy", "boxwidth", "boxheight", "boxang"]
    fits = ["".join(f"|{name:>16s}" for name in names) + "|"]
    width_x, width_y = (np.sqrt(12 * table.information[:, a, a] / table.information[:, 0, 0] + 1) for a in (1, 2))
    for k in range(len(table.plus)):
        level, a, b = table.difference[k]
        x, y, wx, wy = table.x0[k], table.y0[k], width_x[k], width_y[k]
        c = level - a * x - b * y
        values = [table.plus[k], table.minus[k], a, b, c, 0, 0, x - wx / 2, x + wx / 2, y - wy / 2, y + wy / 2, x, y,
                  int(wx * wy), 1.0, x, y, wx, wy, 0.0]  # fmt: skip
        texts = [f"{v:16d}" if isinstance(v, (int, np.integer)) else f"{v:16.9e}" for v in values]
        fits.append(f" {' '.join(texts)} ")
    (folder / "images.tbl").write_text("\n".join(images) + "\n")
    (folder / "fits.tbl").write_text("\n".join(fits) + "\n")
    done = subprocess.run(
        ["mBgModel", "-a", "images.tbl", "fits.tbl", "corrections.tbl"], cwd=folder, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if 'stat="OK"' not in done.stdout:
        raise RuntimeError(done.stdout)
    rows = [line.split() for line in (folder / "corrections.tbl").read_text().splitlines() if not line.startswith("|")]
    level = np.full(n, np.nan)
    for row, a, b, c in rows:
        x, y = lattice.frames[int(row), :2]
        level[int(row)] = float(a) * x + float(b) * y + float(c)
    return level


def line(name: str, n: int, seconds: float, left: float, note: str = "") -> None:
    FIGURES.append(Figure(SECONDS, f"{n:,} images", name, seconds, "s"))
    FIGURES.append(Figure(LEFT, f"{n:,} images", name, left))
    print(f"{n:7d} images  {name:42s} {seconds:9.2f} s   rms left {left:9.2e}  {note}")


def compare(k: int, steps: int, relaxation: int) -> None:
    lattice = Lattice(k)
    truth = lattice.planes(np.random.default_rng(1))
    table = lattice.table(truth)
    n = k * k
    solve(table, lattice.frames, slope_prior=None)  # imports, libraries
    seconds, level = timed(lambda: solve(table, lattice.frames, slope_prior=None).level)
    line("dmontage", n, seconds, rms_left(lattice, level, truth))
    seconds, _ = timed(lambda: solve(table, lattice.frames, slope_prior=None).standard_errors)
    line("dmontage, with all covariances", n, seconds, rms_left(lattice, level, truth))
    if n <= relaxation:
        start = time.perf_counter()
        found = solve(table, lattice.frames, solver="relaxation", max_steps=steps)
        seconds = time.perf_counter() - start
        note = f"{found.steps} steps" + ("" if found.converged else ", not converged")
        line("dmontage, relaxation as in the papers", n, seconds, rms_left(lattice, found.level, truth), note)
    if shutil.which("mBgModel"):
        with tempfile.TemporaryDirectory() as folder:
            seconds, level = timed(lambda: mbgmodel(Path(folder), lattice, table))
        line("mBgModel", n, seconds, rms_left(lattice, level, truth))
    else:
        FIGURES.extend(absent(table, f"{n:,} images", "mBgModel") for table in (SECONDS, LEFT))


def large(k: int) -> None:
    """A noisy survey of k² images with the default prior: solution, covariances, memory."""
    lattice, rng = Lattice(k), np.random.default_rng(1)
    truth = lattice.planes(rng)
    table = lattice.table(truth, lattice.noise(rng))
    start = time.perf_counter()
    found = solve(table, lattice.frames)
    middle = time.perf_counter()
    errors = found.standard_errors
    end = time.perf_counter()
    peak = peak_mb() / 1e3
    line("dmontage, noise and prior", k * k, middle - start, rms_left(lattice, found.level, truth))
    FIGURES.append(Figure(SECONDS, f"{k * k:,} images", "dmontage, covariances beside", end - middle, "s"))
    FIGURES.append(Figure("Memory of the last solve and its covariances", f"{k * k:,} images", "dmontage", peak, "GB"))
    print(
        f"{'':15s} covariances of all images {end - middle:27.2f} s   peak memory {peak:.2f} GB, errors {errors.shape}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", default="16,32,100", help="images along a side of each lattice")
    parser.add_argument("--large", type=int, default=316, help="of a last one, direct only; 0 for none")
    parser.add_argument("--steps", type=int, default=10_000, help="of the relaxation at most")
    parser.add_argument("--relaxation", type=int, default=10_000, help="at most of so many images; mBgModel is not")
    json_option(parser)
    options = parser.parse_args()
    for side in map(int, options.sides.split(",")):
        compare(side, options.steps, options.relaxation)
    if options.large:
        large(options.large)
    write(FIGURES, options.json)


if __name__ == "__main__":
    main()
