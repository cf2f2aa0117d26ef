"""Sources: which images made each pixel, numbered over the whole mosaic."""

from __future__ import annotations

from itertools import chain, groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.graph.coadd import How
from dmontage.graph.sources import Reach, source_numbers, source_sets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from dmontage.planner import MosaicPlan
    from dmontage.window import Window

    Run = Callable[[str, Callable[..., Any], Sequence[tuple[Any, ...]]], list[Any]]

__all__ = ["Sources", "find_sets", "number_chunks"]


class Sources(NamedTuple):
    """Which images made each pixel."""

    numbers: NDArray[np.int32]
    """(ny, nx) number of the pixel's set of images, 0 where it has none."""
    sets: tuple[tuple[str, ...], ...]
    """Names of the images of sets 1, 2, ..., which are sorted by the images' order: set k is ``sets[k - 1]``."""

    def __repr__(self) -> str:
        ny, nx = self.numbers.shape
        return f"<Sources {nx} x {ny}: numbers, sets; {len(self.sets)} sets of images>"


def find_sets(
    plan: MosaicPlan, chunks: Sequence[Reach], run: Run
) -> tuple[list[tuple[int, ...]], list[NDArray[np.int32]]]:
    """The mosaic's sets of images, sorted, and of each chunk the numbers of its own.

    Parameters
    ----------
    chunks
        Those of the plan.
    run
        Runs a stage's tasks: (stage, function, arguments without the store).
    """
    batches = [([chunks[i] for i in batch], How.of(plan)) for batch in plan.chunk_batches]
    of_chunks = list(chain.from_iterable(run("sources", source_sets, batches)))
    sets = sorted(set(chain.from_iterable(of_chunks)))
    number = {each: k + 1 for k, each in enumerate(sets)}
    return sets, [np.array([number[each] for each in mine], np.int32) for mine in of_chunks]


def number_chunks(
    plan: MosaicPlan, chunks: Sequence[Reach], numbers: Sequence[NDArray[np.int32]], run: Run
) -> Iterator[tuple[Window, NDArray[np.int32]]]:
    """Windows and the numbers of their pixels' sets, a row of chunks at a time; ``numbers`` as `find_sets` gives."""
    tasks = [(reach, mine, How.of(plan)) for reach, mine in zip(chunks, numbers, strict=True)]
    for _, group in groupby(tasks, key=lambda task: task[0].chunk.window.y0):
        row = list(group)
        yield from zip((task[0].chunk.window for task in row), run("sources", source_numbers, row), strict=True)
