"""A dask array to one small value: a body for each chunk, and a tree of merges (level 4)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["reduce_blocks"]

_Part = TypeVar("_Part")

_MERGED = 8
"""Parts that a merge takes at a time: as many are in memory with it."""


def reduce_blocks(array: Any, body: Callable[[Any], _Part], merge: Callable[[Sequence[_Part]], _Part]) -> _Part:
    """Reduce a dask array in one pass, on the client that is active or the scheduler that dask is configured to use.

    Parameters
    ----------
    array
        Of any shape and chunks. A chunk is let go as soon as its part is made.
    body
        From a chunk, a numpy array, to its part.
    merge
        From parts in any order to the part of their union.
    """
    from dask.array import reduction

    reduced = reduction(
        array,
        chunk=partial(_part_of, body),
        aggregate=partial(_merged, merge),
        concatenate=False,
        split_every=_MERGED,
        dtype=object,
    )
    result: _Part = reduced.compute().item()
    return result


def _part_of(
    body: Callable[[Any], _Part], chunk: Any, computing_meta: bool = False, **axes: Any
) -> NDArray[np.object_]:
    """A chunk's part, as the array of one object that dask's reduction takes it for."""
    if computing_meta:
        return np.empty((0,) * chunk.ndim, dtype=object)
    return np.full((1,) * chunk.ndim, body(chunk), dtype=object)


def _merged(merge: Callable[[Sequence[_Part]], _Part], parts: Any, keepdims: bool, **axes: Any) -> NDArray[np.object_]:
    arrays = list(_flat(parts))
    return np.full((1,) * arrays[0].ndim if keepdims else (), merge([a.item() for a in arrays]), dtype=object)


def _flat(parts: Any) -> Iterator[NDArray[np.object_]]:
    """Parts as dask gives them: lists of lists, one for each axis."""
    if isinstance(parts, list):
        for part in parts:
            yield from _flat(part)
    else:
        yield parts
