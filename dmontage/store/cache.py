"""Cache: decoded rows that one process keeps for the stages to come (level 3).

Every row is read by each of its overlaps and by the coadd. Where there is room they stay in memory, as they were
written: rows are never changed. It belongs to a `Store` that is held open by the driver of a run, and goes with it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["RowCache"]


class RowCache:
    """Rows by number, up to some bytes. What is in stays: stages go through all rows in turn, which would empty it."""

    def __init__(self, room: int = 0) -> None:
        self.room = room
        self._lock = threading.Lock()
        self._rows: dict[int, dict[str, NDArray[Any]]] = {}

    def allow(self, total: int) -> None:
        """Bytes for all that it keeps, with what is in already."""
        with self._lock:
            self.room = total - sum(values.nbytes for _, _, values in self.kept())

    def get(self, row: int) -> Mapping[str, NDArray[Any]]:
        """What is kept of a row, by name; nothing where nothing is."""
        return self._rows.get(row, {})

    def offer(self, row: int, name: str, values: NDArray[Any]) -> bool:
        """Keep an array (read-only from now on) if there is room; whether it is kept."""
        with self._lock:
            kept = self._rows.get(row, {})
            if name in kept:
                return True
            if values.nbytes > self.room:
                return False
            self.room -= values.nbytes
            values.flags.writeable = False
            self._rows[row] = {**kept, name: values}
            return True

    def kept(self) -> list[tuple[int, str, NDArray[Any]]]:
        """All that is in: row, name, array."""
        return [(row, name, values) for row, named in list(self._rows.items()) for name, values in named.items()]

    def forget(self, row: int) -> None:
        """Drop a row."""
        with self._lock:
            self.room += sum(values.nbytes for values in self._rows.pop(row, {}).values())
