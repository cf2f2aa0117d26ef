"""The value that a user holds: a mosaic that is computed when it is asked for."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.errors import InputError
from dmontage.graph.coadd import coadd_chunk, coadd_chunks
from dmontage.graph.drive import in_process
from dmontage.graph.lazy import lazy_mosaic
from dmontage.graph.sources import Reach
from dmontage.pipeline.cutout import Cutout, Pixels
from dmontage.pipeline.journal import say_end
from dmontage.pipeline.products import Products, check_products, product_paths, with_ending, write_sources
from dmontage.pipeline.sources import Sources, find_sets, number_chunks
from dmontage.pipeline.there import There
from dmontage.pipeline.tiles import Tile, tiles_of
from dmontage.places import Place, made_at, place
from dmontage.shown import Explored
from dmontage.store import DamagedError
from dmontage.window import Window

if TYPE_CHECKING:
    import tempfile
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Self

    from numpy.typing import NDArray

    from dmontage.graph.coadd import Sink
    from dmontage.graph.outlet import Written
    from dmontage.store import Store

__all__ = ["Mosaic"]

_BLANK = "all pixels of the mosaic are blank"

_kept: list[tempfile.TemporaryDirectory[str]] = []
"""Temporary stores that lazy arrays read, kept until the process ends: an array outlives the Mosaic that gave it."""


class Mosaic(There, Explored):
    """A mosaic that is computed when it is asked for. Made by `mosaic`."""

    def __repr__(self) -> str:
        ny, nx = self.grid.shape
        return f"<Mosaic {nx} x {ny} of {self.plan.n_images} images, {self.plan.background}, {self.plan.combine}>"

    @property
    def data(self) -> Any:
        """Lazy dask array (ny, nx) of values. The first use matches the backgrounds, unless the store has that."""
        return self._layer("mean")

    @property
    def area(self) -> Any:
        """Lazy dask array (ny, nx) of the summed covered fraction."""
        return self._layer("area")

    @property
    def variance(self) -> Any:
        """Lazy dask array (ny, nx) of the variance of the values, where the images have variances."""
        if not self.plan.has_variance:
            raise InputError("this mosaic has no variance: its images were given none (variance=)")
        return self._layer("variance")

    @property
    def depth(self) -> Any:
        """Lazy dask array (ny, nx) of the number of images in each value, where it was asked for (``also``)."""
        return self._layer("depth")

    @property
    def rejected(self) -> Any:
        """Lazy dask array (ny, nx) of the number of images that were clipped, where it was asked for (``also``)."""
        return self._layer("rejected")

    def cutout(self, center: Any, size: Any) -> Cutout:
        """The part within a box about a place on the sky; it costs what its own images cost.

        Parameters
        ----------
        center, size
            As for `Grid.around`.

        Returns
        -------
        Cutout
            Lazy: ``compute`` it, ``write`` it, ``plot`` it.
        """
        return Cutout(self, self.grid.window_around(center, size))

    def compute(self) -> Pixels:
        """All pixels, in memory.

        Returns
        -------
        Pixels
            Numpy arrays (ny, nx), float32, and their grid.
        """
        return Cutout(self, self.grid.window).compute()

    def write(self, path: str | Place, tiles: int | None = None, overlap: int = 0) -> Self:
        """Write the mosaic to ``path``, its area (steradian) to ``x_area.fits``, any other layer to ``x_NAME.fits``.

        All are written aside and renamed when they are whole; what goes to a URL is written to a temporary folder of
        this machine, and sent then.

        Parameters
        ----------
        path
            FITS file, or its URL; an existing one is replaced by a whole new one.
        tiles, overlap
            Side of tiles in pixels, and how many of them neighbours share, multiples of 64: the same pixels in files
            ``x_0_1.fits`` (row and column, from 0), ``x_0_1_area.fits``, ..., each with the WCS of its part. Blank ones
            are written too.

        Returns
        -------
        Mosaic
            Itself.

        Raises
        ------
        InputError
            Where a file cannot be written there, or would replace an input.
        """
        plan = self.plan
        parts = tiles_of(plan.grid.shape, tiles, overlap)
        there = place(path)
        check_products(product_paths(there, plan, parts), [plan])
        with made_at(path) as here, self._locked():
            self._prepare()
            with Products(here, plan, self.summary, parts) as products:
                self._coadd(products.write, products)
                with self.summary.timed("write") as told:
                    products.close()
                    told.update(bytes=sum(part.stat().st_size for part in products.digests))
            if not products.any_covered and _BLANK not in self.summary.warnings:
                self.summary.warnings += (_BLANK,)
            if "sources" in plan.also:
                with self.summary.timed("sources"):
                    write_sources(plan, self.summary, here, parts, *self._find_sources())
        if isinstance(there, Path):
            self._note_files([with_ending(there, tile.ending) for tile in parts], parts)
        self.summary.bytes_out = plan.bytes_out * sum(part.window.size for part in parts) // plan.grid.window.size
        say_end(path, {part.name: digest for part, digest in products.digests.items()}, self.summary)
        return self

    def sources(self) -> Sources:
        """Which images have a part in each pixel's value, in memory; they need not have been asked for.

        Returns
        -------
        Sources
            A number for each pixel, and the images that each number stands for.
        """
        plane = np.zeros(self.grid.shape, np.int32)
        with self._locked():
            self._prepare()
            with self.summary.timed("sources"):
                sets, chunks = self._find_sources()
                for window, numbers in chunks:
                    plane[window.slices] = numbers
        names = [image.name for image in self.plan.images]
        return Sources(plane, tuple(tuple(names[image] for image in each) for each in sets))

    def stream(self, take: Sink) -> None:
        """Hand the layers of all chunks to ``take`` (window, layers), in any order and from any thread.

        Parameters
        ----------
        take
            Called with a `Window` and the layers (ny, nx) float32 of it, in the order of the plan's ``layers``.
        """
        with self._locked():
            self._prepare()
            self._coadd(take)

    def _coadd(self, take: Sink, files: Products | None = None) -> None:
        """Make the chunks that the store does not have, and hand the layers of all of them to ``take``.

        To ``files`` workers of a cluster write themselves what they make, if they can.
        """
        plan, store, summary = self.plan, self._open(), self.summary
        with summary.timed("coadd") as told:
            store.check_there()
            store.product.lay_out(plan.layers, plan.grid.shape, plan.chunk)
            planes = store.tables.planes(plan.corrected_by, len(store.rows))
            chunks = [self._chunk(window, rows, planes) for window, rows in plan.chunks]
            made = store.product.made([chunk.window for chunk in chunks])
            missing = {k for k, chunk in enumerate(chunks) if made.get(chunk.window) != chunk.digest}
            summary.chunks, summary.chunks_reused = len(chunks), len(chunks) - len(missing)
            told.update(chunks=len(chunks), reused=summary.chunks_reused)
            batches = [[chunks[k] for k in batch if k in missing] for batch in plan.chunk_batches]

            def hand_on(windows: Iterable[Window]) -> None:
                for window in windows:
                    take(window, [store.product.read(name, window) for name in store.product.layers])

            def collect(done: Sequence[tuple[Window, Written | None]]) -> None:
                for window, written in done:
                    if files is None or written is None:
                        hand_on([window])
                    else:
                        files.note(written)

            batches = [batch for batch in batches if batch]
            if in_process():
                self._run("coadd", coadd_chunks, [(batch, self._how) for batch in batches], sink=take)
            else:  # what workers do not write is handed on while they make more
                outlets = [files and files.outlet_of_task([chunk.window for chunk in batch]) for batch in batches]
                tasks = [(batch, self._how, outlet) for batch, outlet in zip(batches, outlets, strict=True)]
                self._run("coadd", coadd_chunks, tasks, collect)
            hand_on(chunk.window for k, chunk in enumerate(chunks) if k not in missing)

    def _find_sources(self) -> tuple[list[tuple[int, ...]], Iterator[tuple[Window, NDArray[np.int32]]]]:
        """The sets of images that made pixels, and windows with the numbers of their pixels' sets."""
        image_of = dict(zip(self._numbers, self.plan.image_of, strict=True))
        chunks = [self._chunk(window, rows) for window, rows in self.plan.chunks]
        reaches = [Reach(chunk, tuple(image_of[row] for row in chunk.rows)) for chunk in chunks]
        sets, numbers = find_sets(self.plan, reaches, self._run)
        return sets, number_chunks(self.plan, reaches, numbers, self._run)

    def _layer(self, name: str) -> Any:
        """One of the plan's layers as a lazy array."""
        return self._lazy()[self.plan.layers.index(self._layer_named(name))]

    def _lazy(self) -> tuple[Any, ...]:
        with self._locked() as store:
            store.projected.settle()
            self._rectify()
        if self._temporary is not None and self._temporary not in _kept:
            _kept.append(self._temporary)
        projected = len(self._receipts) == len(self.plan.rows)
        return lazy_mosaic(store, self.plan, self._numbers, projected=projected, strict=self._strict)

    def _pixels(self, window: Window) -> Pixels:
        """The pixels of a window, in memory."""
        named = dict(zip(self.plan.layers, self._layers_in(window), strict=True))
        return Pixels(named.pop("mean"), named.pop("area"), self.grid.subgrid(window), **named)

    def _write_part(self, window: Window, path: str | Place) -> None:
        """Write the pixels of a window to files of their own."""
        check_products(product_paths(place(path), self.plan)[: len(self.plan.layers)], [self.plan])
        layers = self._layers_in(window)
        with made_at(path) as here, Products(here, self.plan, self.summary, (Tile(window),)) as products:
            products.write(window, list(layers))

    def _read(self, store: Store, part: Window, window: Window, layers: NDArray[np.float32]) -> bool:
        """Take a part of the layers of a window from the store; False where that is damaged, and must be made."""
        try:
            for name, target in zip(self.plan.layers, layers, strict=True):
                target[part.relative_to(window).slices] = store.product.read(name, part)
        except DamagedError:
            return False
        return True

    def _layers_in(self, window: Window) -> NDArray[np.float32]:
        """All layers (n, ny, nx) of a window; once the backgrounds are matched, only its own images are projected.

        Chunks that the store holds are read from it: none of their images is.
        """
        plan = self.plan
        reach = [(chunk, rows) for chunk, rows in plan.chunks if chunk & window]
        layers = np.empty((len(plan.layers), *window.shape), np.float32)
        with self._locked() as store:
            self._rectify()
            made = self._made(store, self._numbers, reach)
            known = {chunk for chunk in made if self._read(store, chunk & window, window, layers)}
            missing = [(chunk & window, rows) for chunk, rows in reach if chunk not in known]
            parts = [(part, tuple(i for i in rows if plan.rows[i].window & part)) for part, rows in missing]
            self._project(chain.from_iterable(rows for _, rows in parts))
            with self.summary.timed("coadd"):
                done = self._run("cutout", coadd_chunk, [(self._chunk(part, rows), self._how) for part, rows in parts])
        for (part, _), values in zip(parts, done, strict=True):
            layers[:, *part.relative_to(window).slices] = values
        return layers
