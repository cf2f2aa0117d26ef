"""Verify: chunks of a stored mosaic made again from the images, and compared bit for bit (level 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.errors import InputError, UnreachableError
from dmontage.graph.coadd import Layout, product
from dmontage.graph.rows import Run, row_from_table, row_sums
from dmontage.store import Store, StoreRef

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dmontage.graph.coadd import Chunk, How
    from dmontage.window import Window

__all__ = ["verify_chunk"]


class _Anew:
    """Rows projected from their images as they are now; reads as those of a store do."""

    def __init__(self, store: Store) -> None:
        self._store, self._run = store, Run.of(store)
        self.names = store.projected.names
        self.wrong: list[str] = []
        self._exponents: dict[int, int] = {}

    def read(self, row: int, origin: Window, window: Window, names: Sequence[str]) -> tuple[NDArray[Any], ...]:
        """As `Projected.read`; what differs from the store is noted."""
        (table,) = self._store.rows.tables((row,))
        sums, mark = row_sums(*row_from_table(table), self._run)
        self._exponents[row] = mark.exponent
        part = window.relative_to(origin).slices
        kept = self._store.projected.read(row, origin, origin, self.names)
        made = {name: sums[name].astype(np.float32) for name in self.names}
        differ = [name for name, old in zip(self.names, kept, strict=True) if not _same(made[name], old)]
        if differ:
            self.wrong.append(f"{table['path']}: its projected {' and '.join(differ)} would be other now")
        return tuple(made[name][part] for name in names)

    def exponent(self, row: int) -> int:
        """As `Projected.exponent`."""
        return self._exponents[row]


def verify_chunk(where: str | StoreRef, chunk: Chunk, how: How) -> list[str]:
    """Task: make a chunk again, from the images and the corrections that the store has; gives what is wrong, if any."""
    store = Store.open(where)
    anew = _Anew(store)
    try:
        layers = product(store, Layout.of(store, how.corrected_by), chunk, how, anew)
        for name, values in zip(store.product.layers, layers, strict=True):
            if not _same(values, store.product.read(name, chunk.window)):
                anew.wrong.append(f"chunk {chunk.window}: its {name} would be another now")
    except UnreachableError:  # which tells nothing of the chunk
        raise
    except InputError as error:  # an image that has gone or changed, a store that is damaged
        anew.wrong.append(f"chunk {chunk.window} cannot be made again: {error}")
    return anew.wrong


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Equal to the bit, but for what kind of NaN a NaN is."""
    return np.array_equal(one, other, equal_nan=True)
