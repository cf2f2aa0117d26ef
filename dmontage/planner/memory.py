"""Memory: what a run may take, and how it is kept to that (level 3).

The limit is promised for the whole process: base + workers × (the largest task) + rows kept in memory ≤ limit. The
chunks of the mosaic get smaller for deep stacks, then fewer tasks run at once; what is left over keeps projected rows
for the stages to come. Only what cannot be kept to at all is refused.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dmontage.errors import InputError
from dmontage.planner.text import human
from dmontage.window import LATTICE

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CHUNKS", "Memory", "chunk_shape", "decide_memory", "default_limit", "processors"]

CHUNKS = (1024, 512, 256, 128, 64)
"""Sides of a mosaic chunk in pixels, the best first: 4 MB of float32, where the codec is fastest. All are
multiples of `LATTICE`."""

_BASE = 320_000_000
"""Bytes of a process that holds no image: measured 261 MB, with all of numba, astropy, scipy and dask in it."""

_PER_ROW = 35_000
"""Bytes that the driver holds for each image: header, mapping, fits, its part of the solve (18 kB), its line of the
table; measured 38 kB at 10,000 images and 36 kB at 100,000, of which the bench's own record of calls is 3 kB."""

_SPREAD = 1.15
"""What the allocator keeps beyond what arrays take."""

_DEFAULT = 0.6
"""Part of the memory that there is which a run takes if it is not told."""


class Memory(NamedTuple):
    """How a run is kept to its limit, bytes."""

    limit: int
    base: int
    """What the process takes without any task."""
    task: int
    """The largest task."""
    workers: int
    """Tasks at once."""
    cache: int
    """Projected rows that stay in memory."""
    chunk: int
    """Side of a square of as many pixels as a chunk of the mosaic has, about."""

    def __str__(self) -> str:
        kept = f"; up to {human(self.cache)} of projected images stay in memory" if self.cache else ""
        return f"{self.workers} tasks at once of up to {human(self.task)}, limit {human(self.limit)}{kept}"


def decide_memory(
    limit: int | None,
    workers: int,
    n_rows: int,
    rows_bytes: int,
    bytes_task: Callable[[int], int],
    way_out: str = "raise it (memory_limit, --memory-limit)",
) -> Memory:
    """Fit a run into a limit.

    Parameters
    ----------
    limit
        Bytes of the whole process; `default_limit` if None.
    workers
        Tasks that could run at once.
    rows_bytes
        What all projected rows take.
    bytes_task
        Memory of the largest task as a function of the side of a mosaic chunk.
    way_out
        How the limit is raised.

    Raises
    ------
    InputError
        If one task at a time, on the smallest chunks, is too much.
    """
    limit = default_limit() if limit is None else limit
    base = _BASE + _PER_ROW * n_rows
    bytes_task = cache(bytes_task)  # it looks at all rows
    for n in range(max(workers, 1), 0, -1):
        for chunk in CHUNKS:
            task = int(_SPREAD * bytes_task(chunk))
            room = limit - base - n * task
            if room >= 0:
                return Memory(limit, base, task, n, min(room, rows_bytes), chunk)
    least = base + int(_SPREAD * min(map(bytes_task, CHUNKS)))
    raise InputError(
        f"the run needs {human(least)} at least ({human(base)} for the process, the rest for one task at a time), the "
        f"memory limit is {human(limit)}; {way_out}, or use smaller images"
    )


def chunk_shape(side: int, shape: tuple[int, int]) -> tuple[int, int]:
    """Chunks (ny, nx) of a mosaic of ``shape`` with about ``side``² pixels, on its lattice.

    As wide as they may be: FITS is written row by row, and in chunks of 1024 columns a write has 4 kB only, of which
    threads do no more than one at a time.
    """
    unit = min(LATTICE, side)
    widest = max(min(8 * side, side**2 // unit), side)
    columns = -(-shape[1] // widest)
    width = _rounded_up(-(-shape[1] // columns), unit)
    return max(side**2 // width // unit, 1) * unit, width


def _rounded_up(n: int, unit: int) -> int:
    return -(-n // unit) * unit


def default_limit() -> int:
    """A safe part of the memory that the machine, or the container, allows."""
    there = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_cgroup_limits()]
    return int(_DEFAULT * min(there))


def _cgroup_limits(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> list[int]:
    """Limits of the control groups that this process is in, of either version."""
    places = [root, root / "memory"]
    try:
        lines = own.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds == "" or "memory" in kinds.split(","):
            places += [root / path.lstrip("/"), root / "memory" / path.lstrip("/")]
    limits = []
    for place in places:
        for name in ("memory.max", "memory.limit_in_bytes"):
            try:
                text = (place / name).read_text().strip()
            except OSError:
                continue
            if text.isdigit():  # else "max"
                limits.append(int(text))
    return limits


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))
