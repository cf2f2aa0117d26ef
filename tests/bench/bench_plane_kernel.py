"""The plane kernel alone: rates over angles, pixel ratios, blanks and sizes; or one run of it, to count instructions.

``python tests/bench/bench_plane_kernel.py [--rounds N]`` prints, for each case, ns a pixel and Mpix/s of input, best of
N rounds over all cases. Nothing is asserted: machines are noisy, the ratios of one run less so.

Instructions are repeatable where times are not. Their cost a pixel is the difference of two runs, everything else being
the same in both (valgrind knows no AVX-512, hence the CPU named)::

    export NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES=+avx2,+fma NUMBA_CACHE_DIR=$(mktemp -d)
    python tests/bench/bench_plane_kernel.py --repeat 1        # compiles
    valgrind --tool=callgrind --callgrind-out-file=/dev/null python tests/bench/bench_plane_kernel.py --repeat 1
    valgrind --tool=callgrind --callgrind-out-file=/dev/null python tests/bench/bench_plane_kernel.py --repeat 11
"""

from __future__ import annotations

import argparse
import math
import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dmontage.kernels.plane import TILE, project_plane


class Case(NamedTuple):
    """An image and where its corners lie."""

    values: NDArray[Any]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    flux: NDArray[np.float64]
    area: NDArray[np.float64]
    tile: int

    def run(self) -> None:
        """Project it."""
        project_plane(self.values, self.x, self.y, self.flux, self.area, 0, 0, self.tile)


def make(shape: tuple[int, int], ratio: float = 1.0, angle: float = 17.0, blank: float = 0.0) -> Case:
    """Noise, a part of it blank, turned by ``angle`` degrees, with pixels ``ratio`` output pixels a side."""
    rng = np.random.default_rng(1)
    values = rng.normal(100.0, 1.0, shape).astype(np.float32)
    values[rng.random(shape) < blank] = np.nan
    v, u = np.mgrid[0 : shape[0] + 1, 0 : shape[1] + 1] * ratio
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    x, y = c * u - s * v, s * u + c * v
    x, y = x - x.min() + 0.37, y - y.min() + 0.21
    out = np.zeros((2, int(y.max()) + 2, int(x.max()) + 2))
    tile = int(np.clip(3 * TILE / max(ratio, 3.0), 1, TILE))  # as projection has it
    return Case(values, x, y, out[0], out[1], tile)


def counts(shape: tuple[int, int], mean: float) -> Case:
    """Photons, most pixels without any: what deviates from a tile's median of 0 is added alone."""
    return make(shape)._replace(values=np.random.default_rng(2).poisson(mean, shape).astype(np.float32))


def sweep(rounds: int) -> None:
    """Print the rate of every case."""
    large = (1024, 512)
    cases = {f"angle {a}": make(large, angle=a) for a in (0, 5, 17, 45, 90, 133)}
    cases |= {f"ratio {r}": make(large, r) for r in (0.3, 0.5, 0.77, 1.0001, 1.05, 1.3, 2.0, 3.0)}
    cases |= {f"counts, mean {m}": counts(large, m) for m in (0.02, 0.3, 3.0)}
    cases |= {f"blank {b:.1%}": make(large, blank=b) for b in (0.001, 0.02, 0.1, 0.3)}
    cases |= {f"{n} x {n}": make((n, n)) for n in (8, 32, 64, 70, 128)}
    seconds = dict.fromkeys(cases, math.inf)
    for _ in range(rounds):
        for name, case in cases.items():
            repeats = max(1, 2**15 // case.values.size)
            start = time.perf_counter()
            for _ in range(repeats):
                case.run()
            seconds[name] = min(seconds[name], (time.perf_counter() - start) / repeats)
    for name, case in cases.items():
        each = seconds[name] / case.values.size
        print(f"{name:<18} {each * 1e9:7.1f} ns a pixel {1e-6 / each:8.1f} Mpix/s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--repeat", type=int, help="only project 128×128 pixels, this many times")
    arguments = parser.parse_args()
    if arguments.repeat is None:
        sweep(arguments.rounds)
    else:
        one = make((128, 128))
        for _ in range(arguments.repeat):
            one.run()
