"""Estimate: about how long a run takes, from what its stages cost a pixel (level 3).

The costs were measured on one core of a machine whose plane kernel takes `REFERENCE` seconds a pixel; another machine
is as much faster or slower as its own is (`dmontage.graph.calibrate`). Within a factor of 1.5 for most jobs; a store on
a slow disk, or a network, takes longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dmontage.planner.plan import MosaicPlan

__all__ = ["REFERENCE", "chunk_cost", "estimate", "pair_cost", "row_cost"]

REFERENCE = 47e-9
"""Seconds of one core for projecting an input pixel on the plane, onto pixels of the same size."""

_NS = {
    "plane": 47, "listed": 130, "sky": 1000, "fit": 14, "coadd": 55, "median": 190, "clip": 140, "add": 4, "bytes": 2,
}  # fmt: skip
"""Nanoseconds of one core: of an input pixel by its kernel; of a pixel of an overlap; of a pixel of the mosaic, and of
each value in it; of a byte that is written in the end."""

_IMAGE, _PAIR, _SOLVE = 6e-3, 4.5e-3, 1.5e-4
"""Seconds of an image for scan and plan, of a pair besides its pixels, of an image in the solve."""

_SHARED = 0.77
"""Exponent of the workers: two are worth 1.7, since they share memory and caches."""


def row_cost(plan: MosaicPlan, i: int) -> float:
    """Seconds of one core for projecting a row, at the speed of reference."""
    row = plan.rows[i]
    kind = "sky" if row.method == "sky" else "listed" if plan.listed(i) else "plane"
    return 1e-9 * _NS[kind] * row.image.grid.window.size


def pair_cost(n_pixels: int) -> float:
    """The same for fitting an overlap of so many pixels."""
    return _PAIR + 1e-9 * _NS["fit"] * n_pixels


def chunk_cost(plan: MosaicPlan, n_pixels: int, n_values: int) -> float:
    """The same for making a chunk of so many pixels, of so many values in them."""
    return 1e-9 * (_NS["coadd"] * n_pixels + _NS.get(plan.combine, _NS["add"]) * n_values)


def estimate(plan: MosaicPlan) -> dict[str, float]:
    """Seconds of each stage, "scan", "project", "fit", "solve", "coadd" and "write", of a run with nothing done yet."""
    pairs = plan.pairs if plan.is_matched else ()
    values = int(plan.mean_depth * plan.grid.window.size)
    speed, workers = plan.per_pixel / REFERENCE, plan.slots**_SHARED
    return {
        "scan": speed * _IMAGE * len(plan.rows),
        "project": speed * sum(row_cost(plan, i) for i in range(len(plan.rows))) / workers,
        "fit": speed * sum(pair_cost(pair.window.size) for pair in pairs) / workers,
        "solve": speed * _SOLVE * len(plan.rows) * bool(pairs),
        "coadd": speed * chunk_cost(plan, plan.grid.window.size, values) / workers,
        "write": 1e-9 * _NS["bytes"] * plan.bytes_out,
    }
