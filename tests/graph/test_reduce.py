"""The reduction against a loop over blocks."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Sequence
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
from dask.local import get_sync

from dmontage.graph.reduce import reduce_blocks

Seen = Counter[tuple[int, ...]]


def shapes(block: Any) -> Seen:
    return Counter([block.shape])


def added(parts: Sequence[Seen]) -> Seen:
    assert len(parts) <= 8
    return sum(parts, Counter())


@pytest.mark.parametrize("shape", [(100,), (60, 70), (5, 40, 30), (1, 1), (0, 4)])
def test_each_block_enters_once_and_merges_are_small(shape: tuple[int, ...]) -> None:
    array = da.zeros(shape, chunks=tuple(min(7, max(1, side)) for side in shape))
    found = reduce_blocks(array, shapes, added)
    assert isinstance(found, Counter)
    assert found == Counter(array.blocks[place].shape for place in np.ndindex(*array.numblocks))


def test_follows_the_scheduler_that_dask_is_told_of() -> None:
    """And its tasks hold no pixels but those of the array, and are the same each time."""
    graphs: list[dict[Any, Any]] = []

    def get(graph: Any, keys: Any, **options: Any) -> Any:
        graphs.append(dict(graph.__dask_graph__()))
        return get_sync(graph, keys, **options)

    lazy = da.random.default_rng(0).normal(size=(1000, 1000), chunks=(100, 100))
    with dask.config.set(scheduler=get):
        totals = [reduce_blocks(lazy, shapes, added) for _ in range(2)]
    assert totals[0] == totals[1] == Counter({(100, 100): 100})
    # Chunks are tuples; the last keys are of dask's compute, which names them at random.
    chunks = [{key for key in graph if isinstance(key, tuple)} for graph in graphs]
    assert chunks[0] == chunks[1] and len(chunks[0]) > 100
    assert len(graphs[0]) < 3 * 100
    assert max(len(pickle.dumps(task)) for task in graphs[0].values()) < 10_000
