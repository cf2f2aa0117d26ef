"""Lazy: the mosaic as dask arrays, over the same tasks that the staged run drives (level 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.delayed import delayed

from dmontage.graph.coadd import coadd_chunk
from dmontage.graph.project import project_rows

if TYPE_CHECKING:
    from dmontage.planner import MosaicPlan

__all__ = ["lazy_mosaic"]


def lazy_mosaic(store_path: str, plan: MosaicPlan, *, projected: bool, state: str = "") -> tuple[Any, Any]:
    """Value and area of a mosaic as dask arrays (ny, nx) in its chunks.

    A chunk depends on its own images and no others. The graph holds row numbers and windows, no pixels.

    Parameters
    ----------
    projected
        True when all rows are in the store already, so that chunks depend on nothing.
    state
        What else the values depend on (the corrections), for the names of the tasks.
    """
    run = plan.digest[:16]
    rows = {
        i: delayed(project_rows, pure=True, traverse=False)(
            store_path, (i,), dask_key_name=f"dmontage-project-{run}-row-{i}"
        )
        for i in range(0 if projected else len(plan.rows))
    }
    name = f"dmontage-coadd-{tokenize(run, plan.combine, plan.weights, plan.background, state, store_path)}"
    blocks: list[list[Any]] = []
    for k, (chunk, mine) in enumerate(plan.chunks):
        task = delayed(coadd_chunk, pure=True)(
            store_path, chunk, mine, plan.combine, plan.weights, *(rows[i] for i in mine if i in rows),
            dask_key_name=f"{name}-{k}",
        )  # fmt: skip
        if chunk.x0 == 0:
            blocks.append([])
        blocks[-1].append(da.from_delayed(task, (2, *chunk.shape), np.float32, name=f"{name}-{k}-array"))
    both = da.block([blocks]) if len(blocks) > 1 or len(blocks[0]) > 1 else blocks[0][0]
    return both[0], both[1]
