"""The connected groups of images, and what the differences cannot say of them (level 3).

Images connected by pairs are a group; a `Gauge` has the directions in which a group may move without changing any
difference. A group with a locked image has none. See the package's notes on the gauge and on thin overlaps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.background.tables import ranks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.background.tables import Floats, Ints, PairTable

    Flags = NDArray[np.bool_]

__all__ = ["Gauge", "Groups", "Wishes"]


class Gauge(NamedTuple):
    """What moves the corrections without changing a difference, and where they are moved to; in natural units.

    Null vectors come in three kinds of n, most of them empty: the level, and the two slopes, of each group.
    """

    null: Any
    """(3n, 3n) sparse: columns are the directions that the differences cannot see."""
    dual: Any
    """(3n, 3n) sparse: rows are the means that the gauge sets to zero; with `null` they make an identity."""

    def move(self, p: Floats) -> Floats:
        """`p` (3n, ...), in natural units, moved to where the means are zero."""
        moved: Floats = p - self.null @ (self.dual @ p)
        return moved

    def of_functionals(self, g: Any) -> Any:
        """Rows of `g` (m, 3n; sparse) as they act on corrections of any gauge, moved to this one."""
        return g - (g @ self.null) @ self.dual


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user says of single images: flags (n,)."""

    locked: Flags
    """Their correction is zero, and the others are fitted to them."""
    anchors: Flags
    """Their mean correction is zero, in each group that has any; where none has, that of all images."""
    without_slopes: Flags
    """They have levels only."""

    @classmethod
    def of(cls, n: int, locked: Any = (), anchors: Any = (), without_slopes: Any = ()) -> Wishes:
        """Flags of image numbers."""
        flags = np.zeros((3, n), bool)
        for flag, images in zip(flags, (locked, anchors, without_slopes), strict=True):
            flag[np.asarray(images, dtype=np.int64)] = True
        return cls(*flags)


@dataclass(frozen=True, slots=True)
class Groups:
    """What hangs together, what is pinned, and what has slopes: arrays (n,) over the images."""

    component: Ints
    """Number of the image's group, in order of their first images."""
    paired: Flags
    """Images with a pair."""
    slopes: Flags
    """Images whose slopes are solved for."""
    level_only: Flags
    """Images that lost theirs to thin overlaps, or were given none."""
    pinned: Flags
    """In each group without locked images that with most pairs."""
    wishes: Wishes
    prior: bool
    """Whether the slopes have one: then none of them is pinned."""

    @classmethod
    def of(cls, pairs: PairTable, w: Floats, frames: Floats, tau: float | None, wishes: Wishes) -> Groups:
        """Groups of the images in `frames` (n, 3), for pairs of information `w` and a prior of `tau`.

        Without a prior, a group has levels only where thin overlaps alone tie some of it to what fixes its slopes: the
        pinned image, or those whose slopes are known to be zero; and where some pair is seen through an affine map, so
        that a plane over the mosaic's pixels is no common plane.
        """
        n = len(frames)
        component = _connected(pairs.plus, pairs.minus, n)
        degree = np.bincount(pairs.plus, minlength=n) + np.bincount(pairs.minus, minlength=n)
        order = np.lexsort((-degree, component))
        most = np.zeros(n, dtype=bool)
        most[order[np.unique(component[order], return_index=True)[1]]] = True
        fixed = np.isin(component, component[wishes.locked])
        flat = wishes.locked | wishes.without_slopes
        level_only = flat & ~wishes.locked
        if tau is None:
            whole = ranks(pairs, w, frames) == 3
            part = _connected(pairs.plus[whole], pairs.minus[whole], n)
            held = np.isin(part, part[np.where(np.isin(component, component[flat]), flat, most)])
            if pairs.affines is not None:
                seen = (pairs.affines != np.eye(2, 3)).any(axis=(1, 2, 3))
                held &= ~np.isin(component, component[pairs.plus[seen]])
            level_only = (level_only | np.isin(component, component[~held])) & ~wishes.locked
        slopes = (degree > 0) & ~level_only & ~wishes.locked & (tau != 0)
        return cls(component, degree > 0, slopes, level_only, most & ~fixed, wishes, tau is not None)

    def free(self, *, pinned: bool = True) -> Ints:
        """Positions among the 3n parameters of those that may change: all but the pinned, or all."""
        level, slope = self.paired & ~self.wishes.locked, self.slopes
        if pinned:
            level = level & ~self.pinned
            slope = slope & ~(self.pinned & self._tilting)
        return np.flatnonzero(np.stack((level, slope, slope), axis=1))

    @property
    def _movable(self) -> Flags:
        """Images of groups that no locked image holds."""
        return self.paired & np.isin(self.component, self.component[self.pinned])

    @property
    def _tilting(self) -> Flags:
        """Images of groups that may move by a common plane: no prior, and no image whose slopes are known."""
        known = np.isin(self.component, self.component[self.level_only])
        return self._movable & self.slopes & ~known & (not self.prior)

    @property
    def _gauge_images(self) -> Flags:
        """Images whose mean is zero in the gauge: a group's anchors, or all of it."""
        anchored = np.isin(self.component, self.component[self.wishes.anchors & self.paired])
        return np.where(anchored, self.wishes.anchors, True) & self._movable

    def gauge(self, frames: Floats) -> Gauge:
        """What fixes the part of the corrections of the images in `frames` that differences cannot tell."""
        from scipy.sparse import coo_array

        n = len(frames)
        means, tilted = self._gauge_images, self._tilting
        null = [_entries(self._movable, self.component, n, 0, 0, np.ones(n))]
        dual = [_mean(means, self.component, n, 0)]
        for axis in (1, 2):
            some = means & tilted
            size = np.maximum(np.bincount(self.component[some], minlength=n), 1)
            centre = np.bincount(self.component[some], frames[some, axis - 1], minlength=n) / size
            null.append(_entries(tilted, self.component, n, axis, 0, frames[:, axis - 1] - centre[self.component]))
            null.append(_entries(tilted, self.component, n, axis, axis, np.ones(n)))
            dual.append(_mean(some, self.component, n, axis))
        rows, columns, values = (np.concatenate(part) for part in zip(*null, strict=True))
        z = coo_array((values, (rows, columns)), shape=(3 * n, 3 * n)).tocsr()
        rows, columns, values = (np.concatenate(part) for part in zip(*dual, strict=True))
        return Gauge(z, coo_array((values, (columns, rows)), shape=(3 * n, 3 * n)).tocsr())

    def gauge_text(self) -> str:
        """What fixes the part of the corrections that differences cannot tell, in words."""
        movable, anchors = self._movable, self.wishes.anchors
        groups = np.unique(self.component[self.paired]).size
        by_lock = groups - np.unique(self.component[movable]).size
        by_anchor = np.unique(self.component[anchors & movable]).size
        by_mean = groups - by_lock - by_anchor
        parts = []
        if by_mean:
            parts.append(f"zero mean level in {_each(by_mean)}")
        if by_anchor:
            parts.append(f"zero mean level of the {int((anchors & movable).sum())} anchors in {_each(by_anchor)}")
        if by_lock:
            parts.append(f"{int((self.wishes.locked & self.paired).sum())} locked images in {_each(by_lock)}")
        tilted = np.unique(self.component[self._tilting]).size
        if tilted:
            parts.append(f"smallest gradient (zero mean slopes) in {_each(tilted)}")
        if self.slopes.any() and self.prior:
            parts.append("slopes have zero mean by their prior")
        return "; ".join(parts) or "no image has a pair"


def _each(n: int) -> str:
    return "the one connected group" if n == 1 else f"{n} connected groups"


def _entries(
    some: Flags, component: Ints, n: int, kind: int, parameter: int, values: Floats
) -> tuple[Ints, Ints, Floats]:
    """Rows, columns and values of a sparse matrix: a parameter of some images, by the null vectors of one kind."""
    images = np.flatnonzero(some)
    return 3 * images + parameter, kind * n + component[images], values[images]


def _mean(some: Flags, component: Ints, n: int, kind: int) -> tuple[Ints, Ints, Floats]:
    """The same for the mean of a parameter over some images of each group."""
    size = np.maximum(np.bincount(component[some], minlength=n), 1)
    return _entries(some, component, n, kind, kind, 1 / size[component])


def _connected(plus: Ints, minus: Ints, n: int) -> Ints:
    """(n,) number of each image's group, in order of their first images."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(plus.size), (plus, minus)), shape=(n, n))
    return connected_components(links, directed=False)[1].astype(np.int64)
