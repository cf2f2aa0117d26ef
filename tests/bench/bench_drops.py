"""Lists of overlaps, and deposits through them: ns a pixel of input on one core, for drops of every kind.

``python tests/bench/bench_drops.py [--rounds N] [--columns N]``. TAN to TAN, turned by 17°, 1 arcsec, 1024 rows in
bands of 64, corners given. Times are the best of N interleaved rounds: compare what one run prints. How drops fare
beside drizzle is for `bench_project.py` to tell.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmontage.grid import Grid
from dmontage.kernels.deposit import deposit
from dmontage.kernels.drops import list_gaussian, list_point, list_square
from dmontage.mapping import fit_mapping
from dmontage.model import FWHM
from dmontage.window import Window

ROWS, BAND = 1024, 64

Floats = NDArray[np.float64]
Overlaps = tuple[NDArray[np.int64], NDArray[np.int64], Floats]


class Case:
    """One image, one output grid, one pixfrac."""

    def __init__(self, columns: int, ratio: float, pixfrac: float) -> None:
        self.pixfrac = pixfrac
        grid_in = Grid.around("83.8 -5.4", shape=(ROWS, columns), scale="1 arcsec")
        grid_out = Grid.fit([grid_in], scale=f"{ratio} arcsec", rotation="17 deg")
        self.where = (0, 0, grid_out.shape)
        self.use = np.ones((BAND, columns), bool)
        self.values = np.random.default_rng(1).uniform(0.5, 2.0, (ROWS // BAND, 1, BAND * columns)).astype(np.float32)
        self.sums = np.zeros((4, 1, grid_out.window.size))
        patch = fit_mapping(grid_in, grid_out).patches[0]
        self.bands = [patch.corners(Window(y, y + BAND, 0, columns)) for y in range(0, ROWS, BAND)]
        self.lists = [self.square(*band) for band in self.bands]

    def square(self, x: Floats, y: Floats) -> Overlaps:
        found: Overlaps = list_square(self.use, x, y, self.pixfrac, *self.where)
        return found

    def smeared(self, gaussian: bool) -> None:
        total = np.full(self.use.shape, self.pixfrac**2)
        for band in self.bands:
            x, y = (0.25 * (a[1:, 1:] + a[1:, :-1] + a[:-1, 1:] + a[:-1, :-1]) for a in band)
            if gaussian:
                list_gaussian(self.use, x, y, np.sqrt(total) / FWHM, total, *self.where)
            else:
                list_point(self.use, x, y, total, *self.where)

    def squares(self) -> None:
        for band in self.bands:
            self.square(*band)

    def deposits(self, weights: int = 0, variance: int = 0) -> None:
        """One more plane, with or without weights and variance: their numbers of planes, 0 or 1."""
        flux, area, weight, var = self.sums
        for found, v in zip(self.lists, self.values, strict=True):
            deposit(*found, v, v[:weights], v[:variance], flux, area, weight[:weights], var[:variance])


def report(columns: int, ratio: float, pixfrac: float, rounds: int) -> None:
    """All runs of one case, interleaved."""
    case = Case(columns, ratio, pixfrac)
    runs: dict[str, Callable[[], Any]] = {
        "list of squares": case.squares,
        "list of points": partial(case.smeared, gaussian=False),
        "list of Gaussians": partial(case.smeared, gaussian=True),
        "a plane": case.deposits,
        "a plane with weights": partial(case.deposits, weights=1),
        "... and variance": partial(case.deposits, weights=1, variance=1),
    }
    best = dict.fromkeys(runs, np.inf)
    for _ in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - start)
    entries = sum(found[0].size for found in case.lists) / case.values.size
    print(f"ratio {ratio}, pixfrac {pixfrac}: {entries:.2f} entries a pixel")
    for name, seconds in best.items():
        print(f"  {name:<22} {seconds / case.values.size * 1e9:7.1f} ns a pixel")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--columns", type=int, default=1024)
    arguments = parser.parse_args()
    for pixel_ratio, drop in ((1.0, 0.8), (1.0, 1.0), (0.5, 0.8), (1.3, 0.8)):
        report(arguments.columns, pixel_ratio, drop, arguments.rounds)
