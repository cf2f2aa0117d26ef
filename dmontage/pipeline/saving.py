"""Saving: rows of a table that go to the store many at a time, and none of them late."""

from __future__ import annotations

import time
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Self

    from numpy.typing import NDArray

__all__ = ["Saving"]


class Saving:
    """Rows that wait for each other; all are saved when the block ends, however it ends.

    One by one they would take as many writes as there are tasks, and on an object store more time than the tasks.
    """

    def __init__(self, save: Callable[[NDArray[np.float64]], None], at_once: int, seconds: float) -> None:
        self._save, self._at_once, self._seconds = save, at_once, seconds
        self._rows: list[list[Any]] = []
        self._since = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with suppress(InputError) if kind is not None else nullcontext():  # what ended the block is told
            self._flush(len(self._rows))

    def add(self, rows: Iterable[list[Any]]) -> None:
        """Take some rows; they are saved with others, or when they have waited for long."""
        self._rows += rows
        if time.monotonic() - self._since > self._seconds:
            self._flush(len(self._rows))
        else:
            self._flush(len(self._rows) // self._at_once * self._at_once)

    def _flush(self, n: int) -> None:
        if n:
            self._save(np.array(self._rows[:n]))
            del self._rows[:n]
        if not self._rows:
            self._since = time.monotonic()
