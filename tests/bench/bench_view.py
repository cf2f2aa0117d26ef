"""Speed of pictures: the parts of a grey PNG, the whole beside Montage's mViewer where it is installed, a lazy mosaic.

Run as ``PYTHONPATH=. python tests/bench/bench_view.py [--side N] [--runs N] [--gigapixel] [--json
FILE]``. Medians of several runs,
the programs taking turns, since machines are noisy: compare what is printed by one run only. Both programs start anew
for each run, read the FITS file, and write a PNG in grey, gaussian-log from -2 σ to the maximum.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits
from machine import peak_mb
from results import Figure, absent, json_option, write

from dmontage.fits_files import pixels
from dmontage.grid import Grid
from dmontage.view.colour import colour
from dmontage.view.norm import norm
from dmontage.view.picture import picture
from dmontage.view.save import save
from dmontage.view.shrink import shrink

OURS = """
import sys
from dmontage.fits_files import pixels
from dmontage.grid import Grid
from dmontage.view.picture import picture
from dmontage.view.save import save
save(picture(pixels(sys.argv[1]), max_side=None), sys.argv[2], Grid.from_header(sys.argv[1]))
"""


FIGURES: list[Figure] = []
"""All that was measured."""


def median(function: Callable[[], object], runs: int) -> float:
    """Seconds of a run."""
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def write_sky(path: Path, side: int) -> None:
    """Noise about 100 with stars."""
    rng = np.random.default_rng(1)
    image = rng.normal(100, 5, (side, side)).astype(np.float32)
    image.flat[rng.choice(image.size, image.size // 1000, replace=False)] += rng.pareto(1, image.size // 1000) * 50
    header = Grid.around("83 -5", scale="1 arcsec", shape=(side, side)).to_header(naxis=False)
    fits.PrimaryHDU(image, header).writeto(path)


def parts(path: Path, runs: int) -> None:
    """Times of the steps within one process, and of other pictures."""
    data = np.asarray(pixels(path)).astype(np.float32)
    picture(data[:100], max_side=50)  # kernels
    normal, shown = norm(data), picture(data, max_side=None)
    steps: dict[str, Callable[[], object]] = {
        "norm (gaussian-log)": lambda: norm(data),
        "norm of all pixels": lambda: normal(data),
        "picture, all pixels": lambda: picture(data, max_side=None),
        "picture, 2000 a side": lambda: picture(data),
        "shrink by 3": lambda: shrink(data, 3),
        "colour, 2000 a side": lambda: colour(data, data, data),
        "colour, Lupton": lambda: colour(data, data, data, method="lupton"),
        "save PNG": lambda: save(shown, path.with_suffix(".png")),
        "save JPEG": lambda: save(shown, path.with_suffix(".jpg")),
    }
    for name, step in steps.items():
        taken = median(step, runs)
        print(f"{name:24s} {taken:6.2f} s")
        FIGURES.append(Figure(f"Steps, {len(data)} pixels a side", name, "dmontage", taken, "s"))


def whole(path: Path, runs: int) -> None:
    """The whole, as a process, beside mViewer's."""
    out = path.with_name("whole.png")
    commands = {"dmontage": [sys.executable, "-c", OURS, str(path), str(out)]}
    if shutil.which("mViewer"):
        tail = ["-2s", "max", "gaussian-log", "-out", str(out)]
        commands["mViewer"] = ["mViewer", "-ct", "0", "-gray", str(path), *tail]
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - start)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(f"{name:10s} {seconds[name][-1]:6.2f} s, processor {cpu:5.2f} s, {out.stat().st_size / 1e6:.1f} MB")
    print("median:", ", ".join(f"{name} {statistics.median(each):.2f} s" for name, each in seconds.items()))
    title, work = "A grey PNG of a FITS file, whole processes", f"{fits.getval(path, 'NAXIS1')} pixels a side"
    FIGURES.extend(Figure(title, work, name, statistics.median(each), "s") for name, each in seconds.items())
    if "mViewer" not in seconds:
        FIGURES.append(absent(title, work, "mViewer"))


def gigapixel() -> None:
    """A preview of a lazy array of 32,768 pixels a side in chunks of 2048."""
    import dask.array as da

    random = da.random.default_rng(1)  # type: ignore[no-untyped-call]
    lazy = random.normal(100, 5, (32_768, 32_768), chunks=2048).astype(np.float32)
    start = time.perf_counter()
    shown = picture(lazy)
    seconds = time.perf_counter() - start
    print(f"1 Gpix of noise to {shown.shape[:2]}: {seconds:.1f} s, peak {peak_mb():.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=4096, help="pixels")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--gigapixel", action="store_true", help="a lazy mosaic of 1 Gpix instead (a minute)")
    json_option(parser)
    options = parser.parse_args()
    if options.gigapixel:
        gigapixel()
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sky.fits"
        write_sky(path, options.side)
        parts(path, options.runs)
        whole(path, options.runs)
    write(FIGURES, options.json)


if __name__ == "__main__":
    main()
