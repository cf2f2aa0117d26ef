"""Merged: the images of several runs, each once, and the fits of their overlaps, of which one run's counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dmontage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dmontage.model import ImageRef
    from dmontage.pipeline.run_fits import RunFits

    Ints = NDArray[np.int64]

__all__ = ["Merged"]


class Merged(NamedTuple):
    """The images of all runs, each once, and which run's fit counts for each pair of them."""

    images: tuple[ImageRef, ...]
    """In order of their identity."""
    numbers: tuple[Ints, ...]
    """Of each run's images, their places among these."""
    chosen: tuple[Ints, ...]
    """Of each run, the fits that count."""
    missing: tuple[ImageRef, ...]
    """Images that no run has projected, in order of their identity."""

    @classmethod
    def of(cls, runs: Sequence[RunFits]) -> Merged:
        """Of runs in an order of their own: of equal fits the first one's counts."""
        images, numbers, missing = _one_of_each(runs)
        best: dict[tuple[int, int], tuple[float, float, int]] = {}
        groups: list[dict[tuple[int, int], list[int]]] = []
        for k, (run, mine) in enumerate(zip(runs, numbers, strict=True)):
            groups.append(defaultdict(list))
            for i, ends in enumerate(mine[run.ends].tolist()):
                groups[-1][min(ends), max(ends)].append(i)
            sky = run.n_pixels * run.grid.scale**2
            for pair, fits in groups[-1].items():
                # Of the same pixels that which knows of more images on them; of equal ones the first.
                mark = -float(sky[fits].sum()), float(run.share[fits].min()), k
                best[pair] = min(best.get(pair, mark), mark)
        chosen = [
            np.array([i for pair, fits in sorted(group.items()) if best[pair][2] == k for i in fits], np.int64)
            for k, group in enumerate(groups)
        ]
        return cls(images, numbers, tuple(chosen), missing)

    def ends(self, runs: Sequence[RunFits]) -> Ints:
        """(m, 2) images plus and minus of the fits that count, one run's after the other's."""
        parts = [n[run.ends[i]] for n, run, i in zip(self.numbers, runs, self.chosen, strict=True)]
        return np.concatenate(parts).reshape(-1, 2)


def _one_of_each(
    runs: Sequence[RunFits],
) -> tuple[tuple[ImageRef, ...], tuple[Ints, ...], tuple[ImageRef, ...]]:
    """The images of all runs in order of their identity, the numbers of each run's among them, and the missing ones.

    An image has one digest, and perhaps another path in another run; but of one run two images are two.
    """
    digests = [[image.digest for image in (*run.images, *run.missing)] for run in runs]
    twins = {digest for each in digests for digest, count in Counter(each).items() if count > 1}
    first: dict[tuple[str, str], ImageRef] = {}
    absent: dict[tuple[str, str], ImageRef] = {}
    keys = []
    for run, mine in zip(runs, digests, strict=True):
        images = (*run.images, *run.missing)
        each = [(d, image.path if d in twins else "") for d, image in zip(mine, images, strict=True)]
        n = len(run.images)
        keys.append(each[:n])
        for known, some, names in ((first, run.images, each[:n]), (absent, run.missing, each[n:])):
            for key, image in zip(names, some, strict=True):
                known.setdefault(key, image)
    paths: dict[str, tuple[str, str]] = {}
    for key, image in first.items():
        if paths.setdefault(image.full_name, key) != key:
            raise InputError(f"{image.path} has changed between two of the runs: fit the older one anew")
    order = sorted(first, key=lambda key: (first[key].order, key))
    place = {key: k for k, key in enumerate(order)}
    # By path too: a damaged image may have been mended between two runs.
    missing = {image.full_name: image for key, image in absent.items() if key not in first}
    return (
        tuple(first[key] for key in order),
        tuple(np.array([place[key] for key in each], np.int64) for each in keys),
        tuple(sorted((missing[name] for name in missing.keys() - paths.keys()), key=lambda image: image.order)),
    )
