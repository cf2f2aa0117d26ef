"""The factor of a sparse, symmetric, positive definite matrix, and its inverse on the same pattern (level 3).

Multifrontal: the unknowns of a front are eliminated in one dense matrix F over them (1) and its border (2) ::

    F = [F11 F21ᵀ; F21 F22]     F11 = L11 L11ᵀ     L21 = F21 L11⁻ᵀ     what is passed up: F22 − L21 L21ᵀ

and the inverse Z is found from the top down, from its part Z22 on the border, which the fronts above know ::

    X = L21 L11⁻¹     Z21 = −Z22 X     Z11 = L11⁻ᵀ L11⁻¹ − Xᵀ Z21

Of Z no more is ever held than a front, and what waits for the fronts right below. All work is done by dense kernels of
LAPACK, on one thread: more of them would change the last bits with their number.

References
----------
Duff & Reid 1983, ACM Trans. Math. Softw. 9, 302. Takahashi, Fagan & Chin 1973; Erisman & Tinney 1975, CACM 18, 177.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dmontage.background.dissection import Front
    from dmontage.background.tables import Floats, Ints

__all__ = ["Factor", "one_thread"]


class _Block(NamedTuple):
    """A front as it is factored; unknowns are numbered in order of their elimination."""

    start: int
    stop: int
    border: Ints
    children: tuple[int, ...]

    def place(self, unknowns: Ints) -> Ints:
        """Where unknowns of this front stand in its dense matrix."""
        n_own = self.stop - self.start
        return np.where(unknowns < self.stop, unknowns - self.start, n_own + np.searchsorted(self.border, unknowns))


@dataclass(frozen=True)
class Factor:
    """A factored matrix of n unknowns."""

    order: Ints
    """(n,) unknowns in order of their elimination."""
    blocks: tuple[_Block, ...]
    diagonal: tuple[Floats, ...]
    """L11 of each block, lower triangular."""
    below: tuple[Floats, ...]
    """L21 of each block."""

    @classmethod
    def of(cls, matrix: Any, fronts: Sequence[Front], unknowns: Sequence[Ints]) -> Factor:
        """Factor a sparse matrix.

        Parameters
        ----------
        matrix
            (n, n) scipy sparse, symmetric and positive definite.
        fronts
            Of the images whose unknowns these are: entries lie within a front and its border only.
        unknowns
            Those of each image.

        Raises
        ------
        InputError
            If the matrix is not positive definite to rounding.
        """
        order, blocks = _in_order(fronts, unknowns)
        rows = matrix.tocsr()[order][:, order]
        rows.sort_indices()
        waiting: dict[int, Floats] = {}
        diagonal, below = [], []
        with one_thread():
            for number, block in enumerate(blocks):
                front = _assembled(rows, block, [(blocks[c], waiting.pop(c)) for c in block.children])
                low, under, waiting[number] = _eliminated(front, block.stop - block.start)
                diagonal.append(low)
                below.append(under)
        return cls(order, blocks, tuple(diagonal), tuple(below))

    def solve(self, right: Floats) -> Floats:
        """Solution for right sides (n,) or (n, k)."""
        from scipy.linalg.blas import dtrsm

        x = np.asfortranarray(right[self.order].reshape(len(right), math.prod(right.shape[1:])))
        with one_thread():
            for block, low, under in zip(self.blocks, self.diagonal, self.below, strict=True):
                own = slice(block.start, block.stop)
                if block.start < block.stop:
                    x[own] = dtrsm(1.0, low, x[own], lower=1)
                    x[block.border] -= under @ x[own]
            for block, low, under in zip(self.blocks[::-1], self.diagonal[::-1], self.below[::-1], strict=True):
                own = slice(block.start, block.stop)
                if block.start < block.stop:
                    x[own] = dtrsm(1.0, low, x[own] - under.T @ x[block.border], lower=1, trans_a=1)
        out = np.empty_like(x)
        out[self.order] = x
        return out.reshape(right.shape)

    def inverse_at(self, rows: Ints, columns: Ints) -> Floats:
        """(k,) entries of the inverse at (row, column), each of two unknowns of one image or of two that are tied."""
        when = np.empty_like(self.order)
        when[self.order] = np.arange(self.order.size)
        early, late = np.sort(np.stack((when[rows], when[columns])), axis=0)
        by_row = np.argsort(early, kind="stable")
        ends = np.searchsorted(early[by_row], [0, *(block.stop for block in self.blocks)])
        values = np.empty(early.size)
        waiting: dict[int, Floats] = {}
        with one_thread():
            for number in reversed(range(len(self.blocks))):
                block = self.blocks[number]
                inverse = _inverse(self.diagonal[number], self.below[number], waiting.pop(number, np.zeros((0, 0))))
                wanted = by_row[ends[number] : ends[number + 1]]
                values[wanted] = inverse[block.place(early[wanted]), block.place(late[wanted])]
                for child in block.children:
                    at = block.place(self.blocks[child].border)
                    waiting[child] = inverse[np.ix_(at, at)]
        return values


def one_thread() -> Any:
    """BLAS on one thread inside."""
    return _libraries().limit(limits=1, user_api="blas")


@lru_cache(maxsize=1)
def _libraries() -> Any:
    """The BLAS libraries of this process, numpy's and scipy's: it takes 4 ms to look for them."""
    import scipy.linalg  # noqa: F401  (so that its own is among them)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _in_order(fronts: Sequence[Front], unknowns: Sequence[Ints]) -> tuple[Ints, tuple[_Block, ...]]:
    """The unknowns in order of elimination, and the fronts in these."""
    none = np.zeros(0, np.int64)
    counts = np.array([len(some) for some in unknowns], np.int64)
    images = np.concatenate([front.own for front in fronts] or [none])
    first = np.empty(len(unknowns), np.int64)
    first[images] = np.cumsum(counts[images]) - counts[images]
    blocks, stop = [], 0
    for front in fronts:
        start, stop = stop, stop + int(counts[front.own].sum())
        border = [np.arange(first[i], first[i] + counts[i]) for i in front.border]
        blocks.append(_Block(start, stop, np.concatenate(border or [none]), front.children))
    return np.concatenate([unknowns[i] for i in images] or [none]), tuple(blocks)


def _assembled(rows: Any, block: _Block, below: Sequence[tuple[_Block, Floats]]) -> Floats:
    """The lower part of a front's matrix: the entries of its own unknowns, and what the fronts below leave."""
    n_own = block.stop - block.start
    front = np.zeros((n_own + block.border.size,) * 2, order="F")
    ends = rows.indptr[block.start : block.stop + 1]
    part = slice(ends[0], ends[-1])
    columns, row = rows.indices[part], np.repeat(np.arange(n_own), np.diff(ends))
    later = columns >= block.start
    front[block.place(columns[later]), row[later]] = rows.data[part][later]
    for child, left in below:
        at = block.place(child.border)
        front[np.ix_(at, at)] += left
    return front


def _eliminated(front: Floats, n_own: int) -> tuple[Floats, Floats, Floats]:
    """L11, L21, and what is passed up."""
    from scipy.linalg.blas import dtrsm
    from scipy.linalg.lapack import dpotrf

    if not n_own:
        return front[:0, :0], front[:, :0], front
    low, info = dpotrf(front[:n_own, :n_own], lower=1)
    if info:
        raise InputError(
            "the overlaps leave some correction all but undetermined, to the last digit of the arithmetic: "
            "give the slopes a prior, or match levels only"
        )
    under = front[n_own:, :n_own]
    if not under.size:
        return low, under, np.zeros((len(under), len(under)))
    under = dtrsm(1.0, low, under, side=1, lower=1, trans_a=1)
    return low, under, front[n_own:, n_own:] - under @ under.T


def _inverse(low: Floats, under: Floats, border: Floats) -> Floats:
    """The inverse over a front and its border, from that on the border."""
    from scipy.linalg.blas import dtrsm
    from scipy.linalg.lapack import dpotri

    n_own = len(low)
    if not n_own:
        return border
    own = dpotri(low, lower=1)[0]
    own = np.tril(own) + np.tril(own, -1).T
    if not under.size:
        return np.asarray(own)
    x = dtrsm(1.0, low, under, side=1, lower=1)
    full = np.empty((n_own + len(under),) * 2)
    full[n_own:, n_own:] = border
    full[n_own:, :n_own] = -border @ x
    full[:n_own, n_own:] = full[n_own:, :n_own].T
    full[:n_own, :n_own] = own - x.T @ full[n_own:, :n_own]
    return full
