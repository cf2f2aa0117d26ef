"""MosaicPlan: what will be done, and what it takes."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from dmontage._version import __version__
from dmontage.model import OverlapPair, Skipped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dmontage.grid import Grid
    from dmontage.planner.rows import Footprint
    from dmontage.window import Window

__all__ = ["MosaicPlan", "batches", "human"]

_TASK_PIXELS = 2_000_000
"""Input or output pixels of one task: 0.2 s or more at 10 Mpix/s."""


@dataclass(frozen=True)
class MosaicPlan:
    """What will be done. Print it."""

    grid: Grid
    rows: tuple[Footprint, ...]
    """The images that reach the grid; a row's number is its place here, in the store and everywhere."""
    pairs: tuple[OverlapPair, ...]
    skipped: tuple[Skipped, ...]
    background: str
    combine: str
    weights: str
    method: str
    unit: str
    tol: float
    warnings: tuple[str, ...]
    chunk: int
    """Side of the mosaic's chunks in pixels."""

    @cached_property
    def chunks(self) -> tuple[tuple[Window, tuple[int, ...]], ...]:
        """The mosaic's chunks in row order, each with the rows that reach it."""
        cut = (self.chunk, self.chunk)
        rows: dict[tuple[int, int], list[int]] = defaultdict(list)
        for i, row in enumerate(self.rows):
            for index, _ in row.window.blocks(cut):
                rows[index].append(i)
        return tuple((window, tuple(rows[index])) for index, window in self.grid.window.blocks(cut))

    @property
    def row_batches(self) -> tuple[tuple[int, ...], ...]:
        """Rows that one task projects: neighbours in the table, about two million input pixels."""
        return batches([row.image.grid.window.size for row in self.rows])

    @property
    def pair_batches(self) -> tuple[tuple[int, ...], ...]:
        """Pairs that one task fits: grouped by image, so that an image is decoded once."""
        return batches([max(8 * pair.window.size, _TASK_PIXELS // 16) for pair in self.pairs])

    @property
    def chunk_batches(self) -> tuple[tuple[int, ...], ...]:
        """Mosaic chunks that one task coadds."""
        return batches([(len(rows) + 1) * chunk.size // 2 for chunk, rows in self.chunks])

    @property
    def bytes_in(self) -> int:
        """Bytes of the input files."""
        return sum({row.image.path: row.image.size for row in self.rows}.values())

    @property
    def bytes_out(self) -> int:
        """Bytes of the two FITS products."""
        return 2 * 4 * self.grid.window.size

    @property
    def bytes_store(self) -> int:
        """Bytes of the store at most (it is compressed)."""
        return 2 * 4 * sum(row.window.size for row in self.rows) + self.bytes_out

    @property
    def bytes_task(self) -> int:
        """Memory of the largest task at most: an image with its corners and sums, or a chunk with its stack."""
        project = max(_bytes_row(row) for row in self.rows)
        stack = max(len(rows) for _, rows in self.chunks) if self.combine == "median" else 2
        return max(project, 8 * self.chunk**2 * (stack + 3))

    @property
    def error_bound(self) -> float:
        """Greatest bound of any image on its kernel, output pixels, with the rounding of its WCS."""
        return max(
            (row.mapping.bound if row.method == "plane" else row.mapping.edge) + row.mapping.rounding
            for row in self.rows
        )

    @property
    def digest(self) -> str:
        """Tells runs apart whose projected images differ."""
        parts = [__version__, self.unit, self.grid.header, self.grid.shape, self.tol, [row.digest for row in self.rows]]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def __str__(self) -> str:
        ny, nx = self.grid.shape
        n_sky = sum(row.method == "sky" for row in self.rows)
        n_fit = len(self.pair_batches) if self.background != "none" else 0
        mpix = sum(row.image.grid.window.size for row in self.rows) / 1e6
        depth = sum(row.window.size for row in self.rows) / self.grid.window.size
        lines = [
            f"mosaic      {nx} x {ny} pixels of {np.degrees(self.grid.scale) * 3600:.4g} arcsec, {_ctype(self.grid)}",
            f"images      {len(self.rows)} used, {mpix:.1f} Mpix; {len(self.skipped)} skipped",
            f"projection  {len(self.rows) - n_sky} on the plane, {n_sky} on the sphere; "
            f"error at most {self.error_bound:.1e} px",
            f"overlaps    {len(self.pairs)} pairs at most; mean depth {depth:.2f}",
            f"background  {self.background};  combine {self.combine}, weights {self.weights}",
            f"tasks       {len(self.row_batches)} project, {n_fit} fit, {len(self.chunk_batches)} coadd; "
            f"largest needs {human(self.bytes_task)}",
            f"bytes       {human(self.bytes_in)} in, store at most {human(self.bytes_store)}, "
            f"{human(self.bytes_out)} out",
        ]
        lines += [f"warning     {text}" for text in self.warnings]
        lines += [f"skipped     {text}" for text in self.skipped]
        return "\n".join(lines)


def _bytes_row(row: Footprint) -> int:
    """Memory that projecting an image takes at most: its pixels, corners and sums."""
    sums = 32 * row.image.grid.window.size + 32 * row.window.size
    # On the sphere the corners of the whole window are vectors, some times over while the WCS makes them.
    return sums + (100 * row.mapping.sub_out**2 * row.window.size if row.method == "sky" else 0)


def batches(costs: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Cut the numbers 0, 1, ... into runs of about one task's cost each."""
    out: list[list[int]] = []
    total = 0
    for i, cost in enumerate(costs):
        if not out or total + cost > _TASK_PIXELS:
            out.append([])
            total = 0
        out[-1].append(i)
        total += cost
    return tuple(tuple(batch) for batch in out)


def human(n: float) -> str:
    """A number of bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if n < 999.5:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.4g} TB"


def _ctype(grid: Grid) -> str:
    """CTYPE1 of the grid, such as RA---TAN."""
    return str(grid.wcs().wcs.ctype[0])
