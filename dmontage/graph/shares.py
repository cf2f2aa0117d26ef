"""Shares: what part each row has in the mosaic, summed over cells of it (level 4).

The mosaic's pixel is Σ share·value over its contributors, the shares adding to 1, so an error of the rows' planes
enters it as Σ share·error. Over a cell of pixels that is a few sums for each row, which no correction changes.
Shares of a median are the chances that a contributor is the middle one, where noise decides. A clipped mean's are those
of the mean of all its contributors: an approximation, good while few values are rejected, as those are whose errors
are noise. Which image gives a minimum or a maximum depends on the corrections themselves: these have no shares; a sum's
do not add to 1, and a count has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dmontage.errors import InputError
from dmontage.graph.combine import least_area
from dmontage.store import Store, StoreRef
from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from dmontage.graph.coadd import Chunk, How

    Ints = NDArray[np.int64]

__all__ = ["Cells", "check_shares", "has_shares", "share_sums"]

_HAVE = ("mean", "median", "clip", "first")


class Cells(NamedTuple):
    """Boxes of mosaic pixels between edges."""

    ys: Ints
    """Edges (ny + 1,), rising: cell j has the rows ys[j] to ys[j + 1] - 1."""
    xs: Ints

    def sums(self, values: NDArray[np.float64], window: Window) -> NDArray[np.float64]:
        """(ny, nx) sums over the cells of what a window has of them."""
        out = np.zeros(self.shape)
        edges = [
            np.clip(all_edges, low, high) - low
            for all_edges, low, high in ((self.ys, window.y0, window.y1), (self.xs, window.x0, window.x1))
        ]
        (first_y, last_y), (first_x, last_x) = (np.flatnonzero(np.diff(e) > 0)[[0, -1]] for e in edges)
        at_y, at_x = edges[0][first_y : last_y + 1], edges[1][first_x : last_x + 1]
        inside = values[: edges[0][-1], : edges[1][-1]]
        part = np.add.reduceat(np.add.reduceat(inside, at_x, axis=1), at_y, axis=0)
        out[first_y : last_y + 1, first_x : last_x + 1] = part
        return out

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return len(self.ys) - 1, len(self.xs) - 1

    @property
    def window(self) -> Window:
        """All that they cover."""
        return Window(int(self.ys[0]), int(self.ys[-1]), int(self.xs[0]), int(self.xs[-1]))

    @property
    def middles(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mosaic pixels x (nx,) and y (ny,) of the cells' middles."""
        x, y = ((edges[:-1] + edges[1:] - 1) / 2 for edges in (self.xs, self.ys))
        return x, y


def has_shares(combine: str) -> bool:
    """True where a pixel of the mosaic is a sum over images whose parts no correction changes."""
    return combine in _HAVE


def check_shares(combine: str) -> None:
    """InputError where it is not: nothing tells then how the errors of corrections enter the mosaic."""
    if not has_shares(combine):
        raise InputError(
            f"the background's error is not known of combine {combine!r}; it is of {', '.join(_HAVE)}: ask one of these"
        )


def share_sums(where: str | StoreRef, parts: Sequence[Chunk], how: How, cells: Cells) -> NDArray[np.float64]:
    """Task: the rows' shares over cells, of what some parts of the mosaic have of them.

    Returns
    -------
    ndarray
        (k, 6): cell's y and x, row, and the sums over the pixels of share, share·v and share·u, where u, v count
        from the middle of the cell.
    """
    store = Store.open(where)
    windows, nominal = store.rows.windows(), store.rows.nominal()
    middle_x, middle_y = cells.middles
    out = []
    for part in parts:
        # Read twice, for the total and for what each is of it: the weights of a deep stack are never held.
        total = np.zeros(part.window.shape)
        for _, common, weight in _each(store, windows, nominal, part, how):
            total[common.relative_to(part.window).slices] += weight
        for row, common, weight in _each(store, windows, nominal, part, how):
            whole = total[common.relative_to(part.window).slices]
            share = np.divide(weight, whole, out=np.zeros_like(weight), where=whole > 0)
            y, x = (np.arange(a, b, dtype=np.float64) for a, b in ((common.y0, common.y1), (common.x0, common.x1)))
            level, by_y, by_x = (
                cells.sums(values, common) for values in (share, share * y[:, None], share * x[None, :])
            )
            j, i = np.nonzero(level)
            size = level[j, i]
            moments = by_y[j, i] - size * middle_y[j], by_x[j, i] - size * middle_x[i]
            out.append(np.stack([j, i, np.full(j.size, row), size, *moments], axis=1))
    return np.concatenate([np.zeros((0, 6)), *out])


def _each(
    store: Store, windows: Sequence[Window], nominal: NDArray[np.float64], part: Chunk, how: How
) -> Iterator[tuple[int, Window, NDArray[np.float64]]]:
    """The rows that reach a part: number, common window, and what they weigh there."""
    so_far = np.zeros(part.window.shape)
    for row, factor in zip(part.rows, part.factors or (1.0,) * len(part.rows), strict=True):
        if common := windows[row] & part.window:
            weight = _weights(store, row, windows[row], part.window, factor, how, float(nominal[row]))
            if how.combine == "first":
                at = common.relative_to(part.window).slices
                weight[so_far[at] > 0] = 0.0
                so_far[at] += weight
            yield row, common, weight


def _weights(
    store: Store, row: int, origin: Window, window: Window, factor: float, how: How, nominal: float
) -> NDArray[np.float64]:
    """What a row's pixels weigh in the mosaic; of a median's contributors each the same, or its weight."""
    common = origin & window
    names = [name for name in ("weight", "area") if name in store.projected.names]
    *weights, area = (values.astype(np.float64) for values in store.projected.read(row, origin, common, names))
    weight = weights[0] if weights else area
    used = (area > least_area(how.combine, nominal)) & (weight > 0)
    if how.weights == "none":
        return used.astype(np.float64)
    return np.where(used, np.ldexp(factor, store.projected.exponent(row)) * weight, 0.0)
