"""Rows: the table of the images that a run has seen (level 3).

A row is one window of one image; it is appended when an image is first met, and never reused: its number stands for
what it was made from. The table is written anew with each change, beside the old one, and takes its place when the
attributes of the run name it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.places import place
from dmontage.store.arrays import Array, DamagedError
from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dmontage.store.files import Files

__all__ = ["RowTable", "merged", "row_shape", "write_rows"]

_ROWS_PER_CHUNK = 64


class RowTable:
    """One state of the table."""

    def __init__(self, files: Files, generation: int) -> None:
        self._files = files
        self._place = f"rows/{generation}"
        self._lines = Array.open(files, f"{self._place}/table")

    def __len__(self) -> int:
        return self._lines.shape[0]

    def tables(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """What some rows are, as JSON values."""
        chunks: dict[int, NDArray[Any]] = {}
        out = []
        for row in rows:
            k, line = divmod(row, _ROWS_PER_CHUNK)
            if k not in chunks:
                chunks[k] = self._chunk(k)
            lines = chunks[k]
            out.append(json.loads(bytes(lines[line]).rstrip(b"\0")))
        return out

    def _chunk(self, k: int) -> NDArray[Any]:
        try:
            lines = self._lines.read((k, 0))
        except DamagedError as error:
            raise DamagedError(f"{error.args[0]}; remove the store and run again") from error
        if lines is None:
            raise DamagedError(f"{self._place} of {self._files.root} has lost a chunk; remove the store and run again")
        return lines

    def windows(self) -> Sequence[Window]:
        """The rows' windows on the mosaic grid."""
        return self._windows

    def nominal(self) -> NDArray[np.float64]:
        """The rows' nominal areas; read-only."""
        return self._nominal

    # Kept: each task asks for those of all rows, and one state of the table never changes.

    @cached_property
    def _windows(self) -> list[Window]:
        return [Window(*each) for each in self._numbers("window").tolist()]

    @cached_property
    def _nominal(self) -> NDArray[np.float64]:
        nominal = self._numbers("nominal")
        nominal.flags.writeable = False
        return nominal

    @property
    def is_whole(self) -> bool:
        """False where the numbers must be written anew."""
        try:
            return len(self.windows()) == len(self.nominal()) == len(self)
        except DamagedError:
            return False

    def _numbers(self, name: str) -> NDArray[Any]:
        try:
            return Array.open(self._files, f"{self._place}/{name}").read_all()
        except DamagedError as error:
            raise DamagedError(f"{error.args[0]}; the same command again makes it anew") from error


def merged(old: list[dict[str, Any]], wanted: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], tuple[int, ...]]:
    """The table with what it lacks of some rows, told apart by their "digest", and the numbers of these.

    A known row takes over what does not count for its digest: the same file may lie elsewhere now. Files that are there
    both are two, though all but their pixels be the same.
    """
    asked = {(table["digest"], table["path"]) for table in wanted}
    at: dict[tuple[str, str], int] = {}
    known: dict[str, list[int]] = defaultdict(list)
    for number, table in enumerate(old):
        at[table["digest"], table["path"]] = number
        known[table["digest"]].append(number)
    rows, numbers = list(old), []
    for table in wanted:
        key = table["digest"], table["path"]
        if key not in at:
            free = (n for n in known[table["digest"]] if (key[0], rows[n]["path"]) not in asked)
            at[key] = next((n for n in free if not place(rows[n]["path"]).exists()), len(rows))
        number = at[key]
        rows[number : number + 1] = [table]
        numbers.append(number)
    return rows, tuple(numbers)


def write_rows(files: Files, generation: int, rows: Sequence[dict[str, Any]]) -> None:
    """Write a table as JSON, padded with zeros to one length, and what every task needs of all rows as numbers."""
    folder, n = f"rows/{generation}", len(rows)
    files.remove_folder(folder)
    text = [json.dumps(row).encode() for row in rows]
    width = max(map(len, text), default=1)
    lines = Array.create(files, f"{folder}/table", (n, width), (_ROWS_PER_CHUNK, width), np.uint8)
    for k in range(0, n, _ROWS_PER_CHUNK):
        chunk = np.zeros((_ROWS_PER_CHUNK, width), np.uint8)
        for line, row in zip(chunk, text[k : k + _ROWS_PER_CHUNK], strict=False):
            line[: len(row)] = np.frombuffer(row, np.uint8)
        lines.write((k // _ROWS_PER_CHUNK, 0), chunk)
    windows = np.array([row["window"] for row in rows], np.int64).reshape(n, 4)
    Array.create(files, f"{folder}/window", (n, 4), (n, 4), np.int64).write_all(windows)
    Array.create(files, f"{folder}/nominal", (n,), (n,), np.float64).write_all(np.array([r["nominal"] for r in rows]))


def row_shape(windows: Sequence[Window], whole: int, lattice: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Shape of the largest row, and of a chunk: a usual row whole, a few large ones or too large ones cut."""
    sides = np.array([window.shape for window in windows]).reshape(-1, 2).T
    shape, usual = sides.max(axis=1, initial=1), np.median(sides, axis=1)
    cut = [int(side) if side <= min(1.5 * mid, whole) else 0 for side, mid in zip(shape, usual, strict=True)]
    chunks = [side or min(int(mid), lattice) for side, mid in zip(cut, usual, strict=True)]
    return (int(shape[0]), int(shape[1])), (max(chunks[0], 1), max(chunks[1], 1))
