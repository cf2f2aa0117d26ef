"""Nested dissection: the order in which the images' unknowns are eliminated (level 3).

Images lie on the sky, so a cut across their longer extent halves them, and those of one side that have pairs across it
separate the halves. Each half is cut again; what is left at the end, and each separator, is a *front*: images that are
eliminated together, as one dense matrix. The order depends on the pairs and the positions alone.

References
----------
George 1973, SIAM J. Numer. Anal. 10, 345.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.background.tables import Floats, Ints

__all__ = ["Front", "dissect"]

_WHOLE = 24
"""Images that are not cut further: dense algebra on some 70 unknowns takes as long as the calls that start it."""

_USELESS = 0.4
"""A separator of more than this part of the images is none: a deep stack is dense."""


class Front(NamedTuple):
    """Images that are eliminated together, after those of the fronts below."""

    own: Ints
    border: Ints
    """Images of fronts above that are tied to these, by pairs or through fronts below; in order of elimination."""
    children: tuple[int, ...]
    """Numbers of the fronts right below."""


def dissect(first: Ints, second: Ints, positions: Floats) -> list[Front]:
    """Fronts of the images at `positions` (n, 2) tied by the edges `first`, `second` (m,); each after its children."""
    cuts: list[tuple[Ints, tuple[int, ...]]] = []
    _cut(np.arange(len(positions)), first, second, positions, cuts)
    when = np.empty(len(positions), np.int64)
    order = np.concatenate([own for own, _ in cuts] or [np.zeros(0, np.int64)])
    when[order] = np.arange(order.size)
    starts, neighbours = _adjacency(first, second, len(positions))
    fronts: list[Front] = []
    done = 0
    for own, children in cuts:
        done += own.size
        near = [neighbours[starts[i] : starts[i + 1]] for i in own]
        borders = [fronts[child].border for child in children]
        times = np.unique(when[np.concatenate([order[:0], *near, *borders])])
        fronts.append(Front(own, order[times[times >= done]], children))
    return fronts


def _cut(
    images: Ints, a: Ints, b: Ints, positions: Floats, cuts: list[tuple[Ints, tuple[int, ...]]]
) -> tuple[int, ...]:
    """Append the fronts of some images, whose edges are `a`, `b` by place among them; give the topmost's numbers."""
    low = _lower_half(positions[images])
    crossing = low[a] != low[b]
    ends = np.concatenate((a[crossing], b[crossing]))
    between = min(np.unique(ends[low[ends]]), np.unique(ends[~low[ends]]), key=len)
    if len(images) <= _WHOLE or len(between) > _USELESS * len(images):
        cuts.append((images, ()))
        return (len(cuts) - 1,)
    apart = np.ones(len(images), bool)
    apart[between] = False
    below: tuple[int, ...] = ()
    for half in (apart & low, apart & ~low):
        mine = half[a] & half[b]
        place = np.cumsum(half) - 1
        below += _cut(images[half], place[a[mine]], place[b[mine]], positions, cuts)
    if not between.size:
        return below
    cuts.append((images[between], below))
    return (len(cuts) - 1,)


def _lower_half(positions: Floats) -> NDArray[np.bool_]:
    """The half of the positions with the smaller values along the axis that they extend along most."""
    low = np.zeros(len(positions), bool)
    if len(positions):
        axis = int(np.argmax(np.ptp(positions, axis=0)))
        low[np.argsort(positions[:, axis], kind="stable")[: len(positions) // 2]] = True
    return low


def _adjacency(first: Ints, second: Ints, n: int) -> tuple[Ints, Ints]:
    """Neighbours of each image, one after the other, and where each image's begin (n + 1,)."""
    ends, others = np.concatenate((first, second)), np.concatenate((second, first))
    order = np.argsort(ends, kind="stable")
    return np.concatenate(([0], np.cumsum(np.bincount(ends, minlength=n)))), others[order]
