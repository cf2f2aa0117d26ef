"""Several runs as one: what a common solve takes, from the fits in the runs' stores to the table that they apply.

    python tests/bench/bench_runs.py [--images 1000,10000] [--regions 4] [--json FILE]

The images of `bench_scale.py` in as many regions, side by side, each a run with a grid of its own about its middle; the
images along a border are in both. Fits are made up, stores and solve are the real ones. Regions are planned one after
the other here; on a cluster each has a driver of its own. Each number of images has a process of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[2]), str(HERE.parents[1]), str(HERE.parent)]

from bench_scale import Steps, each_in_a_process  # noqa: E402
from catalogues import NX, SCALE, Pretended, atlas  # noqa: E402

import dmontage as dm  # noqa: E402
from dmontage.grid import Grid  # noqa: E402
from dmontage.model import Images  # noqa: E402
from dmontage.pipeline import Mosaic, merged, placed, together  # noqa: E402
from dmontage.pipeline.corrections import write_table  # noqa: E402
from dmontage.pipeline.given import read_corrections  # noqa: E402
from dmontage.pipeline.run_fits import RunFits  # noqa: E402


def regions(images: Images, n: int) -> list[Images]:
    """Images in strips of right ascension, each with those of its neighbours that lie within two images' sides."""
    ra = np.array([float(image.grid.header.split("CRVAL1")[1].split("\n")[0].strip(" =")) for image in images])
    edges = np.quantile(ra, np.linspace(0, 1, n + 1))
    more = 2 * NX * SCALE
    return [
        Images(tuple(images[int(k)] for k in np.flatnonzero((ra >= low - more) & (ra <= high + more))))
        for low, high in pairwise(edges)
    ]


def measure(n: int, n_regions: int) -> dict[str, Any]:
    """A common solve of ``n`` images, in this process."""
    dm.plan(atlas(6))
    steps, images = Steps(n), atlas(n)
    with tempfile.TemporaryDirectory() as folder:
        stores = [Path(folder, f"{k}.zarr") for k in range(n_regions)]
        for store, some in zip(stores, regions(images, n_regions), strict=True):
            plan = dm.plan(some, Grid.fit(some), background="level", max_bytes=1e18)
            with Pretended(marks=True):
                Mosaic(plan, store).fit()
        _in_turn(steps, stores)
        table = steps("all, solved", lambda: together.solve_runs(stores))
        steps("write table", lambda: write_table(table, Path(folder, "c.ecsv")))
        steps.note(table_bytes=Path(folder, "c.ecsv").stat().st_size)
        steps("read table", lambda: read_corrections(Path(folder, "c.ecsv")))
    assert len(table) == n and set(table["group"]) == {0}
    return steps.told


def _in_turn(steps: Steps, stores: list[Path]) -> None:
    """What a solve does before it solves, a step at a time."""
    runs = steps("read runs", lambda: [RunFits.of(store) for store in stores])
    one = steps("merge", lambda: merged.Merged.of(runs))
    steps.note(in_runs=sum(len(run.images) for run in runs), fits=sum(map(len, one.chosen)))
    steps("place", lambda: placed.on_sky(runs, one))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="1000,10000")
    parser.add_argument("--regions", type=int, default=4)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        given.json.write_text(json.dumps(measure(given.one, given.regions)))
    else:
        each_in_a_process(HERE, given.images, given.json, "--regions", str(given.regions))


if __name__ == "__main__":
    main()
