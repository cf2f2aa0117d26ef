"""The connected groups of images, and what the differences cannot say of them (level 3).

Images connected by pairs are a group; `null_vectors` are the directions in which a group may move without changing any
difference. See the package's notes on the gauge and on thin overlaps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.background.tables import DEFICIENT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.background.tables import Floats, Ints, PairTable

__all__ = ["Groups"]


@dataclass(frozen=True, slots=True)
class Groups:
    """What hangs together, what is pinned, and what has slopes: arrays (n,) over the images."""

    component: Ints
    """Number of the image's group, in order of their first images."""
    paired: NDArray[np.bool_]
    """Images with a pair."""
    slopes: NDArray[np.bool_]
    """Images whose slopes are solved for."""
    level_only: NDArray[np.bool_]
    """Images that lost theirs to thin overlaps, or were given none."""
    pinned: NDArray[np.bool_]
    """In each group the image with most pairs."""
    prior: bool
    """Whether the slopes have one: then none of them is pinned."""

    @classmethod
    def of(
        cls, pairs: PairTable, w: Floats, frames: Floats, tau: float | None, without_slopes: NDArray[np.bool_]
    ) -> Groups:
        """Groups of the images in `frames` (n, 3), for pairs of information `w` and a prior of `tau`.

        Images ``without_slopes`` (n,) have levels only, and without a prior all of their group: it has no null vector
        then along which its slopes could be moved to the gauge.
        """
        n = len(frames)
        component = _connected(pairs.plus, pairs.minus, n)
        degree = np.bincount(pairs.plus, minlength=n) + np.bincount(pairs.minus, minlength=n)
        order = np.lexsort((-degree, component))
        pinned = np.zeros(n, dtype=bool)
        pinned[order[np.unique(component[order], return_index=True)[1]]] = True
        level_only = without_slopes.copy()
        if tau is None:
            lever = np.minimum(frames[pairs.plus, 2], frames[pairs.minus, 2])
            unit = np.stack((np.ones_like(lever), 1 / lever, 1 / lever), axis=1)
            values = np.linalg.eigvalsh(w * unit[:, :, None] * unit[:, None, :])
            whole = values[:, 0] > DEFICIENT * values[:, 2]
            part = _connected(pairs.plus[whole], pairs.minus[whole], n)
            level_only = np.isin(component, component[without_slopes | (part != part[pinned][component])])
        slopes = (degree > 0) & ~level_only & (tau != 0)
        return cls(component, degree > 0, slopes, level_only, pinned, tau is not None)

    def free(self) -> Ints:
        """Positions among the 3n parameters of those that are solved for."""
        level = self.paired & ~self.pinned
        slope = self.slopes if self.prior else self.slopes & ~self.pinned
        return np.flatnonzero(np.stack((level, slope, slope), axis=1))

    def null_vectors(self, frames: Floats) -> tuple[Any, Any]:
        """Directions that the differences cannot see (columns), and the means that the gauge sets to zero (rows)."""
        from scipy.sparse import coo_array

        n = len(frames)
        images = np.flatnonzero(self.paired)
        tilted = np.flatnonzero(self.slopes) if not self.prior else images[:0]
        size = np.bincount(self.component[images], minlength=n)
        null, dual = [(3 * images, self.component[images], np.ones(images.size))], []
        dual.append((self.component[images], 3 * images, 1 / size[self.component[images]]))
        for axis in (1, 2):
            group = self.component[tilted]
            column = axis * n + group
            centre = np.bincount(group, frames[tilted, axis - 1], minlength=n)[group] / size[group]
            null.append((3 * tilted, column, frames[tilted, axis - 1] - centre))
            null.append((3 * tilted + axis, column, np.ones(tilted.size)))
            dual.append((column, 3 * tilted + axis, 1 / size[group]))
        rows, columns, values = (np.concatenate(part) for part in zip(*null, strict=True))
        z = coo_array((values, (rows, columns)), shape=(3 * n, 3 * n)).tocsr()
        rows, columns, values = (np.concatenate(part) for part in zip(*dual, strict=True))
        return z, coo_array((values, (rows, columns)), shape=(3 * n, 3 * n)).tocsr()

    def gauge_text(self) -> str:
        """What fixes the part of the corrections that differences cannot tell, in words."""
        groups = np.unique(self.component[self.paired]).size
        tilted = np.unique(self.component[self.slopes]).size
        text = f"zero mean level in each of {groups} connected groups"
        if tilted and not self.prior:
            text += f", zero mean slope in {tilted} of them"
        return text + ("; slopes have zero mean by their prior" if tilted and self.prior else "")


def _connected(plus: Ints, minus: Ints, n: int) -> Ints:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(plus.size), (plus, minus)), shape=(n, n))
    return connected_components(links, directed=False)[1].astype(np.int64)
