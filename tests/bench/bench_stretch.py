"""Seconds to count and to stretch an image, of one core: ``python tests/bench/bench_stretch.py [--side 4096]``.

Noise and stars as in a mosaic; the best of three runs. `numpy.interp` is the stretch without its table of jumps.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from dmontage.view.histogram import histogram
from dmontage.view.norm import STRETCHES, norm


def best(run: Callable[[], Any]) -> float:
    """Least CPU seconds of three runs; a first one compiles."""
    run()
    seconds = []
    for _ in range(3):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=4096)
    side = parser.parse_args().side
    rng = np.random.default_rng(0)
    image = rng.standard_normal((side, side), dtype=np.float32)
    stars = rng.random(image.shape, dtype=np.float32) < 0.01
    image[stars] += (10 ** rng.uniform(1, 6, int(stars.sum()))).astype(np.float32)
    for level in (0, 1000):
        sky = image + np.float32(level)
        pixels = histogram(sky)
        print(f"{side} × {side} pixels, sky at {level}: histogram {best(lambda: histogram(sky)):.2f} s", end="")  # noqa: B023
        print(f" (level {pixels.level}, {pixels.bins.size} bins)")
        for name in STRETCHES:
            made = norm(pixels, name)
            print(f"    {name:13} {best(lambda: made(sky)):.2f} s")  # noqa: B023
        table = norm(pixels, "gaussian-log").stretch
        unit = np.clip((sky.astype(np.float64) - norm(pixels).vmin) / 1e6, 0, 1)
        print(f"    numpy.interp  {best(lambda: np.interp(unit, table.knots, table.levels)):.2f} s")  # noqa: B023


if __name__ == "__main__":
    main()
