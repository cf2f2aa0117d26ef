"""Kept: what a store or a product has to say of itself, without the images that it was made from.

`status` tells how far a run is; `verify` makes a sample of a run's chunks again, or checks a product's digest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dmontage.errors import InputError
from dmontage.fits_files import product_digests
from dmontage.graph.coadd import Chunk, How
from dmontage.graph.drive import Call, run
from dmontage.graph.verify import verify_chunk
from dmontage.grid import Grid
from dmontage.places import place
from dmontage.planner import human
from dmontage.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from dmontage.places import Place

__all__ = ["Status", "Verified", "grid_of", "status", "verify"]


@dataclass(frozen=True)
class Status:
    """How far a run is. Print it."""

    path: str
    version: str
    grid: Grid
    rows: int
    """Those of the mosaic that was last asked for: an image has several where a seam cuts it."""
    projected: int
    """Rows of these that are projected."""
    others: int
    """Rows that are kept of images that are not in it."""
    fits: int
    """Overlaps whose fits are kept."""
    background: str
    solved: bool
    combine: str
    chunks: int
    made: int
    """Chunks of the mosaic that are made of just what was last asked for."""
    running: bool
    """True while a driver is at work."""
    bytes: int

    def __str__(self) -> str:
        ny, nx = self.grid.shape
        more = f"; {self.others} more are kept, of images that are not in it" if self.others else ""
        solved = "" if self.background == "none" else ", solved" if self.solved else ", not solved yet"
        return "\n".join(
            [
                f"run         {self.path}, dmontage {self.version}, {human(self.bytes)}"
                f"{', a driver is at work' if self.running else ''}",
                f"mosaic      {nx} x {ny} pixels, {self.grid.kind} ({self.grid.frame.name}), {self.combine}",
                f"project     {self.projected} of {self.rows} rows{more}",
                f"fit         {self.fits} overlaps",
                f"background  {self.background}{solved}",
                f"coadd       {self.made} of {self.chunks} chunks",
            ]
        )


def status(path: str | Place) -> Status:
    """How far a run is, from its store alone.

    Parameters
    ----------
    path
        Store of the run.

    Returns
    -------
    Status
        Print it.

    Raises
    ------
    InputError
        If there is no run.
    """
    store = Store.open(path)
    current = store.current
    rows, run = current["rows"], store.attributes
    done = store.projected.marked(range(len(store.rows)))
    return Status(
        path=str(path),
        version=run["version"],
        grid=store.grid,
        rows=len(rows),
        projected=len(done.intersection(rows)),
        others=len(done.difference(rows)),
        fits=len(store.tables.fits()),
        background=current["background"],
        solved=store.tables.planes_told(current["how"]["corrected_by"]) is not None,
        combine=current["how"]["combine"],
        chunks=current["chunks"],
        made=len(_made_chunks(store)[0]),
        running=store.in_use,
        bytes=store.n_bytes(),
    )


@dataclass(frozen=True)
class Verified:
    """What was looked at, and what of it is wrong. Print it."""

    looked_at: str
    wrong: tuple[str, ...]

    def __str__(self) -> str:
        found = "all as it should be" if not self.wrong else f"{len(self.wrong)} wrong"
        return "\n".join([f"verified    {self.looked_at}: {found}", *(f"  wrong     {text}" for text in self.wrong)])


def verify(
    path: str | Place, sample: int = 8, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> Verified:
    """Check a product, or a run.

    Parameters
    ----------
    path
        A FITS file that dmontage wrote: its pixels must have the digest that its header tells. Or the store of a run:
        some chunks are made again from the images, all but the corrections, and must be the same to the bit.
    sample
        Chunks of a run to look at; 0 for all.
    seed
        Another number, another sample.
    progress
        Called with (done, total) of the chunks.

    Returns
    -------
    Verified
        What was looked at, and what is wrong of it.

    Raises
    ------
    InputError
        If it is neither, or a run whose mosaic is not made; if a number is none from 0 up.
    """
    for name, number in (("sample", sample), ("seed", seed)):
        if not isinstance(number, (int, np.integer)) or number < 0:
            raise InputError(f"{name} {number!r} must be a whole number from 0 up")
    if place(path).is_dir():
        return _verify_run(Store.open(path), sample, seed, progress)
    told, found = product_digests(path)
    wrong = () if told == found else (f"its pixels have the digest {found}, its header says {told}",)
    return Verified(f"the pixels of {path}", wrong)


def _verify_run(store: Store, sample: int, seed: int, progress: Callable[[int, int], None] | None) -> Verified:
    chunks, how = _made_chunks(store)
    if not chunks:
        raise InputError(f"{store.path} holds no chunk of the mosaic that was last asked for: run it first")
    n = min(sample, len(chunks)) if sample else len(chunks)
    chosen = sorted(np.random.default_rng(seed).permutation(len(chunks))[:n].tolist())
    calls = [Call(f"dmontage-verify-{k}", verify_chunk, (store.path, chunks[k], how)) for k in chosen]
    wrong = [text for texts in run(calls, progress) for text in texts]
    return Verified(f"{n} of {len(chunks)} chunks of {store.path}", tuple(dict.fromkeys(wrong)))


def _made_chunks(store: Store) -> tuple[list[Chunk], How]:
    """Chunks that were made of the mosaic last asked for."""
    current = store.current
    how = How(**current["how"])._replace(layers=store.product.layers)
    cut = store.product.about.get("chunk")
    if cut is None:
        return [], how
    windows, rows, factors = store.rows.windows(), current["rows"], current["factors"]
    if how.corrected_by != "none" and store.tables.planes_told(how.corrected_by) is None:
        return [], how
    planes = store.tables.planes(how.corrected_by, len(store.rows))
    digests = [table["digest"] for table in store.rows.tables(rows)]
    there = store.projected.marked(rows)
    chunks = []
    blocks = list(store.grid.window.reached_blocks(tuple(cut), (windows[row] for row in rows)))
    made = store.product.made([window for window, _ in blocks])
    for window, reached in blocks:
        # Made of all rows, or without those whose images could not be read.
        for used in (list(reached), [k for k in reached if rows[k] in there]):
            weights = tuple(factors[k] for k in used) if factors else ()
            chunk = Chunk(window, tuple(rows[k] for k in used), weights)
            chunk = chunk.marked(how, [digests[k] for k in used], planes)
            if made.get(window) == chunk.digest:
                chunks.append(chunk)
                break
    return chunks, how


def grid_of(path: str | Place) -> Grid:
    """The grid of a run: for another one that is to take up its images; InputError if there is no run."""
    return Store.open(path).grid
