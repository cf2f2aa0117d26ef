"""Lists of overlaps and deposits beside STScI drizzle, in one run; Mpix of input per second on one core, and ratios.

``python tests/bench/bench_drops.py [--rounds N] [--columns N]``. TAN to TAN, turned by 17°, 1 arcsec, 1024 rows in
bands of 256. Times are the best of N interleaved rounds; compile time is shown apart. drizzle gets its pixmap for
nothing, and the same image in float32; how far the two means differ is printed too. Nothing is asserted: machines are
noisy, ratios less so.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import cached_property, partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmontage.grid import Grid
from dmontage.kernels.deposit import deposit
from dmontage.kernels.drops import list_gaussian, list_point, list_square
from dmontage.mapping import fit_mapping
from dmontage.window import Window

BAND = 256

Floats = NDArray[np.float64]
Overlaps = tuple[NDArray[np.int64], NDArray[np.int64], Floats]


class Case:
    """One image, one output grid, one pixfrac."""

    def __init__(self, columns: int, ratio: float, pixfrac: float) -> None:
        self.pixfrac = pixfrac
        self.grid_in = Grid.around("83.8 -5.4", shape=(1024, columns), scale="1 arcsec")
        side = int(1.3 * max(1024, columns) / ratio)
        self.grid_out = Grid.around("83.8 -5.4", shape=(side, side), scale=f"{ratio} arcsec", rotation="17 deg")
        rng = np.random.default_rng(1)
        self.values = rng.normal(100.0, 1.0, self.grid_in.shape).astype(np.float32)
        self.weights = rng.uniform(0.5, 2.0, self.grid_in.shape).astype(np.float32)
        self.sums = np.zeros((4, 1, side * side))
        self.none = np.empty((0, side * side))
        self.use = np.ones((BAND, columns), bool)
        self.given = self.corners()

    def corners(self) -> list[tuple[Floats, Floats]]:
        """Corners of all bands, the mapping's fit included."""
        patch = fit_mapping(self.grid_in, self.grid_out).patches[0]
        return [patch.corners(Window(y, y + BAND, 0, self.grid_in.shape[1])) for y in range(0, 1024, BAND)]

    @cached_property
    def kept(self) -> list[Overlaps]:
        """The lists of all bands."""
        return [self.square(*band) for band in self.given]

    def square(self, x: Floats, y: Floats) -> Overlaps:
        found: Overlaps = list_square(self.use, x, y, self.pixfrac, 0, 0, self.grid_out.shape)
        return found

    def smeared(self, x: Floats, y: Floats, gaussian: bool) -> Overlaps:
        x_mid, y_mid = (0.25 * (a[1:, 1:] + a[1:, :-1] + a[:-1, 1:] + a[:-1, :-1]) for a in (x, y))
        total = np.full(self.use.shape, self.pixfrac**2)
        found: Overlaps
        if gaussian:
            found = list_gaussian(self.use, x_mid, y_mid, np.sqrt(total) / 2.3548, total, 0, 0, self.grid_out.shape)
        else:
            found = list_point(self.use, x_mid, y_mid, total, 0, 0, self.grid_out.shape)
        return found

    def put(self, band: int, found: Overlaps, weighted: bool = False, variance: bool = False) -> None:
        def rows(image: NDArray[np.float32], wanted: bool) -> NDArray[np.float32]:
            return image[band * BAND : (band + 1) * BAND].reshape(1, -1)[: int(wanted)]

        weights = rows(self.weights, weighted)
        flux, area, weight, var = self.sums
        deposit(
            *found, rows(self.values, True), weights, rows(self.weights, variance),
            flux, area, weight if weighted else self.none, var if variance else self.none,
        )  # fmt: skip

    def all_lists(self) -> None:
        for band in self.given:
            self.square(*band)

    def all_smeared(self, gaussian: bool) -> None:
        for band in self.given:
            self.smeared(*band, gaussian)

    def all_deposits(self, **options: bool) -> None:
        for k, found in enumerate(self.kept):
            self.put(k, found, **options)

    def both(self, mapped: bool = False) -> None:
        for k, band in enumerate(self.corners() if mapped else self.given):
            self.put(k, self.square(*band))

    def difference(self, mean: NDArray[np.float32], weight: NDArray[np.float32]) -> float:
        """Largest difference of the means where both cover half the nominal area or more."""
        self.sums[:] = 0.0
        self.both()
        flux, area = (a.reshape(self.grid_out.shape) for a in self.sums[:2])
        well = (area > 0.5 * self.pixfrac**2) & (weight > 0.5 * self.pixfrac**2)
        return float(np.abs(flux[well] / area[well] - mean[well]).max())


def drizzled(case: Case, pixmap: Floats) -> Any:
    """The output of drizzle's square kernel."""
    resample = import_module("drizzle.resample")  # no types come with it
    out = resample.Drizzle(kernel="square", out_shape=case.grid_out.shape, disable_ctx=True)
    out.add_image(case.values, 1.0, pixmap, pixfrac=case.pixfrac)
    return out


def pixmap_of(case: Case) -> Floats:
    y, x = np.mgrid[: case.grid_in.shape[0], : case.grid_in.shape[1]].astype(float)
    world = case.grid_in.wcs().all_pix2world(x.ravel(), y.ravel(), 0)
    return np.stack(case.grid_out.wcs().all_world2pix(*world, 0), axis=-1).reshape(*case.grid_in.shape, 2)


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def report(columns: int, ratio: float, pixfrac: float, rounds: int) -> None:
    """All runs of one case, interleaved."""
    case = Case(columns, ratio, pixfrac)
    runs: dict[str, Callable[[], object]] = {
        "list": case.all_lists,
        "list + deposit": case.both,
        "mapping + list + deposit": partial(case.both, mapped=True),
        "a further plane": case.all_deposits,
        "a further plane, weights": partial(case.all_deposits, weighted=True),
        "... and variance": partial(case.all_deposits, weighted=True, variance=True),
        "list of points": partial(case.all_smeared, gaussian=False),
        "list of Gaussians": partial(case.all_smeared, gaussian=True),
    }
    peer = "drizzle, pixmap given"
    if find_spec("drizzle") is not None:
        pixmap = pixmap_of(case)
        runs[peer] = partial(drizzled, case, pixmap)
    first = {name: seconds(run) for name, run in runs.items()}
    best = dict.fromkeys(runs, np.inf)
    for _ in range(rounds):
        for name, run in runs.items():
            best[name] = min(best[name], seconds(run))
    entries = sum(found[0].size for found in case.kept) / case.values.size
    print(f"ratio {ratio}, pixfrac {pixfrac}: 1024x{columns} pixels, {entries:.2f} entries a pixel")
    for name, time_taken in best.items():
        rate = f"{case.values.size / time_taken / 1e6:8.1f} Mpix/s"
        against = f"{best[peer] / time_taken:7.1f} x drizzle" if peer in best else ""
        compiled = f"   first call {first[name]:.1f} s" if first[name] > 2 * time_taken + 0.1 else ""
        print(f"  {name:<26} {rate} {against}{compiled}")
    if peer in runs:
        out = drizzled(case, pixmap)
        print(f"  means differ by {case.difference(out.out_img, out.out_wht):.1e} of a level of 100")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--columns", type=int, default=1024)
    arguments = parser.parse_args()
    for pixel_ratio, drop in ((1.0, 0.8), (1.0, 1.0), (0.5, 0.8), (1.3, 0.8)):
        report(arguments.columns, pixel_ratio, drop, arguments.rounds)
