"""What the largest task of each stage takes, from the sizes of its arrays (level 3)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dmontage.places import is_url

if TYPE_CHECKING:
    from dmontage.planner.plan import MosaicPlan

__all__ = ["BAND", "HELD", "bytes_task"]

BAND = 64
"""Rows of a chunk that are combined at once in double precision."""

HELD = 16
"""Depth of a chunk up to which its images are held together, so that it can be combined in bands; more are added one by
one."""

_CLIP = 32_000_000
"""What clipping takes besides its stack and its table: scipy's special functions."""

_LISTED = 2**19
"""Input pixels whose overlaps are listed at once, about."""


def bytes_task(plan: MosaicPlan, side: int) -> int:
    """Bytes of the largest task of a plan, with mosaic chunks of some side."""
    project = max(_bytes_row(plan, i) for i in range(len(plan.rows)))
    return max(project, _bytes_pair(plan), _bytes_chunk(plan, side))


def _bytes_row(plan: MosaicPlan, i: int) -> int:
    """Projecting an image: its pixels, corners and sums, and a band's overlaps."""
    row, beside = plan.rows[i], plan.companions[i]
    n_maps = sum(ref is not None for ref in beside.maps)
    size = row.image.grid.window.size
    n = (32 + 16 * n_maps) * size + 8 * (4 + n_maps) * row.window.size
    if is_url(row.image.path):  # the object as it lies there, while it is read
        n += row.image.size
    if row.method == "sky":
        # The corners of the whole window are vectors, some times over while the WCS makes them.
        n += 100 * row.mapping.sub_out**2 * row.window.size
    if plan.listed(i):
        per_pixel = (1 + plan.drop.pixfrac / plan.ratios[i]) ** 2
        n += int(2 * 24 * per_pixel) * min(size, _LISTED)
    return n


def _bytes_pair(plan: MosaicPlan) -> int:
    """Fitting a difference: two decoded rows and their files' bytes, and the overlap in double precision."""
    if not (plan.is_matched and plan.pairs):
        return 0
    return max(
        8 * len(plan.sums) * (plan.rows[pair.plus].window.size + plan.rows[pair.minus].window.size)
        + 40 * pair.window.size
        for pair in plan.pairs
    )


def _bytes_chunk(plan: MosaicPlan, side: int) -> int:
    """Making a chunk: a decoded row beside its file's bytes, the images that are held, the sums, and the stack."""
    largest, n_sums, shape = max(row.window.size for row in plan.rows), len(plan.sums), plan.chunk_of(side)
    size = math.prod(shape)
    n = 8 * n_sums * largest + 8 * size * (8 + len(plan.layers))
    chunks = plan.chunks_of(shape)
    held = max(sum((plan.rows[row].window & window).size for row in rows) for window, rows in chunks)
    depth = max(len(rows) for _, rows in chunks)
    if plan.stacked:
        n += 8 * (2 + plan.has_weight + (plan.combine == "clip")) * depth * min(BAND, shape[0]) * shape[1]
    if plan.stacked or held <= HELD * size:
        n += 4 * n_sums * held
    if plan.combine == "clip":
        n += _CLIP + 8 * 4 ** depth.bit_length()  # with its table of depth by depth
    return n
