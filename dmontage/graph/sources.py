"""Sources: which images have a part in each pixel (level 4).

There are few sets of images in a mosaic beside its pixels, so a pixel has the number of its set. Numbers are those of
the sorted sets of all the mosaic: first each task tells which sets it has, then it is told their numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dmontage.errors import InputError
from dmontage.graph.coadd import Layout, parts_of
from dmontage.graph.combine import contributors
from dmontage.store import Store, StoreRef

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from dmontage.graph.coadd import Chunk, How
    from dmontage.window import Window

    Set = tuple[int, ...]

__all__ = ["Reach", "source_numbers", "source_sets"]

_MOST = 50_000_000
"""Members of all the sets of a chunk together: 400 MB. Deep stacks of which each pixel clips others have as many."""


class Reach(NamedTuple):
    """A chunk of the mosaic, and the images that reach it."""

    chunk: Chunk
    images: tuple[int, ...]
    """Of each of its rows, the number of the image."""


def source_sets(where: str | StoreRef, chunks: Sequence[Reach], how: How) -> list[list[Set]]:
    """Task: of some chunks the sets of images, sorted, that have a part in the value of one of their pixels or more."""
    return [_labelled(where, chunk, how)[1] for chunk in chunks]


def source_numbers(where: str | StoreRef, chunk: Reach, numbers: NDArray[np.int32], how: How) -> NDArray[np.int32]:
    """Task: the number of each pixel's set, 0 where there is none; ``numbers`` are those of the chunk's sorted sets."""
    labels, _ = _labelled(where, chunk, how)
    return np.concatenate([[np.int32(0)], numbers]).astype(np.int32)[labels]


def _labelled(where: str | StoreRef, reach: Reach, how: How) -> tuple[NDArray[np.int32], list[Set]]:
    """(ny, nx) place of each pixel's set among the chunk's sorted sets, counted from 1; and these."""
    store = Store.open(where)
    layout, chunk = Layout.of(store, how.corrected_by), reach.chunk
    images = [k for k, row in zip(reach.images, chunk.rows, strict=True) if layout.windows[row] & chunk.window]
    found = contributors(chunk.window, parts_of(store.projected, layout, chunk), how.combine, how.clip)
    labels, sets = _label(chunk.window, ((images[k], window, used) for k, window, used in found))
    present = np.unique(labels)
    names = sorted(sets[label] for label in present if label)
    place = {name: k + 1 for k, name in enumerate(names)}
    lookup = np.zeros(len(sets), np.int32)
    lookup[present] = [place.get(sets[label], 0) for label in present]
    return lookup[labels], names


def _label(
    window: Window, found: Iterable[tuple[int, Window, NDArray[np.bool_]]]
) -> tuple[NDArray[np.int32], list[Set]]:
    """A label for each pixel, and the set of each label; 0 is the empty one. An image's rows follow each other."""
    labels = np.zeros(window.shape, np.int32)
    sets: list[Set] = [()]
    label_of: dict[Set, int] = {(): 0}
    members = 0
    for image, part, used in found:
        here = labels[part.relative_to(window).slices]
        before = here[used]
        lookup = np.zeros(len(sets), np.int32)
        for label in np.unique(before):
            grown = sets[label] if sets[label][-1:] == (image,) else (*sets[label], image)
            if grown not in label_of:
                label_of[grown] = len(sets)
                sets.append(grown)
                members += len(grown)
            lookup[label] = label_of[grown]
        if members > _MOST:
            raise InputError(
                f"more than {_MOST} members of sets of images in one chunk: too many to tell the sources of its "
                "pixels; leave out also 'sources'"
            )
        here[used] = lookup[before]
    return labels, sets
