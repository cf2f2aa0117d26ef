"""Scan and plan: CPU time per image, as their number grows.

    python tests/bench/bench_plan.py [--images 45,405,10000] [--runs 3]

A survey of slightly turned SIN images of 512 × 1024 pixels of 1 arcsec on a lattice, a tenth shared. Files have headers
only, and holes for pixels. Best of the runs; the plan holds footprints, pairs and the predicted background error. Where
a column grows from line to line, something is not proportional to the number of images.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

import dmontage as dm
from dmontage.grid import Grid

NY, NX = 1024, 512
RA, DEC = 83.8, -5.4
SCALE = 1.0 / 3600.0
SHARED = 0.1


def write_headers(folder: Path, n: int) -> None:
    """``n`` files on a lattice twice as wide, in images, as it is high."""
    rng = np.random.default_rng(1)
    columns = math.ceil(math.sqrt(2 * n))
    rows = math.ceil(n / columns)
    for k in range(n):
        j, i = divmod(k, columns)
        dec = DEC + ((j - (rows - 1) / 2) * NY * (1 - SHARED) + rng.uniform(-5, 5)) * SCALE
        ra = RA - ((i - (columns - 1) / 2) * NX * (1 - SHARED) + rng.uniform(-5, 5)) * SCALE / math.cos(
            math.radians(dec)
        )
        cards: dict[str, Any] = {
            "SIMPLE": True, "BITPIX": -32, "NAXIS": 2, "NAXIS1": NX, "NAXIS2": NY,
            "CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "RADESYS": "ICRS", "CRPIX1": (NX + 1) / 2,
            "CRPIX2": (NY + 1) / 2, "CRVAL1": ra, "CRVAL2": dec, "CDELT1": -SCALE, "CDELT2": SCALE,
            "CROTA2": rng.uniform(-0.3, 0.3), "BUNIT": "MJy/sr",
        }  # fmt: skip
        with (folder / f"image{k:05d}.fits").open("wb") as file:
            file.write(fits.Header(cards.items()).tostring().encode())
            file.truncate(file.tell() + -(-4 * NX * NY // 2880) * 2880)


def best(call: Callable[[], Any], runs: int) -> tuple[float, Any]:
    """Least CPU seconds of some runs, and what the last gave."""
    least, found = math.inf, None
    for _ in range(runs):
        start = time.process_time()
        found = call()
        least = min(least, time.process_time() - start)
    return least, found


def measure(n: int, runs: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        write_headers(Path(name), n)
        scan, images = best(lambda: dm.scan(name), runs)
    fit, grid = best(lambda: Grid.fit(images), runs)
    plan, planned = best(lambda: dm.plan(images, grid, max_bytes=1e15), runs)
    digest, _ = best(lambda: planned.digest, runs)
    columns = "".join(f"{1e3 * seconds / n:9.3f}" for seconds in (scan, fit, plan, digest))
    print(f"{n:7d}{columns}{scan + fit + plan + digest:10.2f} s{len(planned.pairs):9d} pairs", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="45,405,10000")
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    print(" images     scan     fit     plan   digest  ms of CPU an image      together")
    with tempfile.TemporaryDirectory() as name:  # imports and compiled expressions are no part of it
        write_headers(Path(name), 6)
        dm.plan(name)
    for n in map(int, given.images.split(",")):
        measure(n, given.runs if n < 5000 else 1)


if __name__ == "__main__":
    main()
