"""Speed of the sky kernel: onto larger and smaller pixels, turned, of several sizes, and for drops.

Run as ``PYTHONPATH=.:tests:tests/kernels python tests/bench/bench_sky_kernel.py [--scale ARCSEC] [--size N]``. The best
of several runs, the cases interleaved, since machines are noisy: compare what is printed by one run only.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from test_sky import ARCSEC, tangent

from dmontage.kernels.sky import list_sky, project_sky, shrink, solid_angles

RATIOS = (1.0, 1.3, 0.7, 1 / 3, 3.0)
TURNS = (0.0, 17.0, 45.0)


def direct(n: int, scale: float, ratio: float, turn: float) -> Callable[[], object]:
    """Project n × n pixels onto pixels `ratio` times as large."""
    m = int(1.3 * n / ratio) + 2
    a, b = tangent((n, n), scale), tangent((m, m), ratio * scale, np.radians(turn))
    values, flux, area = np.ones((n, n)), np.zeros((m, m)), np.zeros((m, m))
    return lambda: project_sky(values, a, b, flux, area)


def drops(n: int, scale: float, pixfrac: float) -> Callable[[], object]:
    """Shrink n × n pixels and list their overlaps with as many as large, turned."""
    m = int(1.3 * n) + 2
    a, b = tangent((n, n), scale), tangent((m, m), scale, np.radians(17.0))
    use = np.ones((n, n), np.bool_)
    return lambda: list_sky(use, shrink(a, pixfrac), b, gap=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="size of an input pixel [arcsec]")
    parser.add_argument("--size", type=int, default=192, help="pixels along a side of the input")
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    n, scale = options.size, options.scale * ARCSEC
    corners = tangent((n, n), scale)
    cases = {f"onto {r:.2f} × larger, turned by {t:.0f}°": direct(n, scale, r, t) for r in RATIOS for t in TURNS}
    cases |= {f"drops of {d}, listed": drops(n, scale, d) for d in (0.5, 0.8, 1.0)}
    cases["drops of 0.8, shrunk only"] = lambda: shrink(corners, 0.8)
    cases["solid angles"] = lambda: solid_angles(corners)
    best = dict.fromkeys(cases, np.inf)
    for _ in range(options.runs):
        for name, run in cases.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - start)
    for name, seconds in best.items():
        print(f"{name:40} {n * n / seconds / 1e6:8.2f} Mpix/s of input")


if __name__ == "__main__":
    main()
