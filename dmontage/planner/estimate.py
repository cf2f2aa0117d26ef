"""Estimate: about how long a run takes, from what its stages cost a pixel (level 3).

The costs were measured on one core of a machine whose plane kernel takes `REFERENCE` seconds a pixel; another machine
is as much faster or slower as its own is (`dmontage.graph.calibrate`). Within a factor of 1.5 for most jobs; a store on
a slow disk, or a network, takes longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dmontage.planner.plan import MosaicPlan

__all__ = ["REFERENCE", "estimate"]

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


def estimate(plan: MosaicPlan) -> dict[str, float]:
    """Seconds of each stage, "scan", "project", "fit", "solve", "coadd" and "write", of a run with nothing done yet."""
    kinds = ["sky" if row.method == "sky" else "listed" if plan.listed(i) else "plane"
             for i, row in enumerate(plan.rows)]  # fmt: skip
    project = sum(_NS[kind] * row.image.grid.window.size for kind, row in zip(kinds, plan.rows, strict=True))
    pairs = plan.pairs if plan.is_matched else ()
    values = sum((row.window & plan.grid.window).size for row in plan.rows)
    coadd = _NS["coadd"] * plan.grid.window.size + _NS.get(plan.combine, _NS["add"]) * values
    speed, workers = plan.per_pixel / REFERENCE, plan.memory.workers**_SHARED
    return {
        "scan": speed * _IMAGE * len(plan.rows),
        "project": speed * project * 1e-9 / workers,
        "fit": speed * sum(_PAIR + 1e-9 * _NS["fit"] * pair.window.size for pair in pairs) / workers,
        "solve": speed * _SOLVE * len(plan.rows) * bool(pairs),
        "coadd": speed * coadd * 1e-9 / workers,
        "write": 1e-9 * _NS["bytes"] * plan.bytes_out,
    }
