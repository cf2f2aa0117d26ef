"""Lazy: the mosaic as dask arrays, over the same tasks that the staged run drives (level 4)."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.delayed import delayed

from dmontage.errors import InputError
from dmontage.graph.coadd import Chunk, How, coadd_chunk
from dmontage.graph.drive import name_of
from dmontage.graph.rows import project_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dmontage.planner import MosaicPlan
    from dmontage.store import Store, StoreRef

__all__ = ["lazy_mosaic"]


def project_row(where: StoreRef, row: int, strict: bool) -> None:
    """Task: project one image for the chunks that need it; a damaged one is told of, or stops a strict run."""
    for receipt in project_rows(where, (row,)):
        if "error" in receipt:
            if strict:
                raise InputError(receipt["error"])
            warnings.warn(f"left out: {receipt['error']}", stacklevel=2)


def lazy_mosaic(
    store: Store, plan: MosaicPlan, numbers: Sequence[int], *, projected: bool, strict: bool
) -> tuple[Any, ...]:
    """The layers of a plan's mosaic as dask arrays (ny, nx) in its chunks.

    A chunk depends on its own images and no others. The graph holds row numbers and windows, no pixels.

    Parameters
    ----------
    numbers
        Of the plan's rows, in the store.
    projected
        True when all rows are in the store already, so that chunks depend on nothing.
    strict
        A damaged image is an error, not a warning.
    """
    import dask.array as da  # 0.4 s, which a run that only writes files does not need

    run = name_of(plan.input_digest, store.path, store.laid_out, strict)
    rows = {
        i: delayed(project_row, pure=True, traverse=False)(
            store.where, numbers[i], strict, dask_key_name=f"dmontage-row-{run}-{i}"
        )
        for i in range(0 if projected else len(plan.rows))
    }
    how = How.of(plan)
    name = f"dmontage-coadd-{name_of(run, how, plan.factors, plan.chunk)}"
    n_layers = len(plan.layers)
    blocks: list[list[Any]] = []
    for k, (chunk, mine) in enumerate(plan.chunks):
        task = delayed(coadd_chunk, pure=True)(
            store.where, Chunk(chunk, tuple(numbers[i] for i in mine), plan.factors_of(mine)), how,
            *(rows[i] for i in mine if i in rows),
            dask_key_name=f"{name}-{k}",
        )  # fmt: skip
        if chunk.x0 == 0:
            blocks.append([])
        blocks[-1].append(da.from_delayed(task, (n_layers, *chunk.shape), np.float32, name=f"{name}-{k}-array"))
    layers = da.block([blocks]) if len(blocks) > 1 or len(blocks[0]) > 1 else blocks[0][0]
    return tuple(layers[k] for k in range(n_layers))
