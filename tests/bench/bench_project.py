"""Projection kernels beside reproject_exact, in one run; prints Mpix of input per second and core, and ratios.

``python tests/bench/bench_project.py [--rounds N]``. TAN to TAN, turned by 17°, 1 arcsec, pixel ratios 1 and 1.3.
Times are the best of N interleaved rounds; compile time is shown apart. Nothing is asserted: machines are noisy, ratios
less so. reproject_exact gets a smaller image on a grid that just holds it, since it takes so much longer.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from reproject import reproject_exact

from dmontage.graph.project import project
from dmontage.grid import Grid
from dmontage.kernels.plane import TILE, project_plane
from dmontage.kernels.sky import project_sky
from dmontage.mapping import fit_mapping


def best(function: Callable[[], object], rounds: int) -> float:
    """Least seconds of a call over some rounds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def case(ratio: float, rounds: int) -> None:
    """One pixel ratio (output over input size)."""
    grid_in = Grid.around("83.8 -5.4", shape=(1024, 512), scale="1 arcsec")
    side = int(1200 / ratio)
    grid_out = Grid.around("83.8 -5.4", shape=(side, side), scale=f"{ratio} arcsec", rotation="17 deg")
    values = np.random.default_rng(1).normal(100.0, 1.0, grid_in.shape).astype(np.float32)
    mapping = fit_mapping(grid_in, grid_out)
    window = grid_out.window
    x_out, y_out = mapping.patches[0].corners(grid_in.window)
    flux, area = np.zeros(window.shape), np.zeros(window.shape)
    small = values[:256, :128]
    corners_in, corners_out = grid_in.corners(grid_in.window), grid_out.corners(window)
    small_in = Grid.around("83.8 -5.4", shape=small.shape, scale="1 arcsec")
    small_out = Grid.fit([small_in], scale=f"{ratio} arcsec", rotation="17 deg")

    runs: dict[str, tuple[Callable[[], object], int]] = {
        "plane kernel": (lambda: project_plane(values, x_out, y_out, flux, area, 0, 0, TILE), values.size),
        "plane, mapping included": (
            lambda: project(values, grid_in, grid_out, window, fit_mapping(grid_in, grid_out), "plane"),
            values.size,
        ),
        "sky kernel, corners given": (lambda: project_sky(values, corners_in, corners_out, flux, area), values.size),
        "reproject_exact": (
            lambda: reproject_exact(
                (small, small_in.wcs()), small_out.wcs(), shape_out=small_out.shape, parallel=False
            ),
            small.size,
        ),
    }
    first = {name: best(run, 1) for name, (run, _) in runs.items()}
    seconds = dict.fromkeys(runs, np.inf)
    for _ in range(rounds):
        for name, (run, _) in runs.items():
            seconds[name] = min(seconds[name], best(run, 1))
    reference = runs["reproject_exact"][1] / seconds["reproject_exact"]
    print(f"pixel ratio {ratio}: error bound of the plane {mapping.bound:.1e} px")
    for name, (_, size) in runs.items():
        rate = size / seconds[name]
        extra = f"   first call {first[name]:.2f} s" if first[name] > 2 * seconds[name] + 0.1 else ""
        print(f"  {name:<26} {rate / 1e6:8.2f} Mpix/s   {rate / reference:7.1f} x reproject_exact{extra}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    for pixel_ratio in (1.0, 1.3):
        case(pixel_ratio, arguments.rounds)
