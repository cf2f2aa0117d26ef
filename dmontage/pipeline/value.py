"""The value that a user holds: a mosaic that is computed when it is asked for, and parts of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from dmontage.errors import InputError
from dmontage.graph.coadd import coadd_chunk, coadd_chunks
from dmontage.graph.drive import in_process
from dmontage.graph.lazy import lazy_mosaic
from dmontage.graph.overlaps import medians_left
from dmontage.graph.shares import Cells, check_shares, share_sums
from dmontage.graph.sources import Reach
from dmontage.grid import Grid
from dmontage.pipeline.corrections import correction_table, write_table
from dmontage.pipeline.products import Products, check_products, product_paths, write_sources
from dmontage.pipeline.sources import Sources, find_sets, number_chunks
from dmontage.pipeline.stages import Stages
from dmontage.pipeline.tiles import Tile, tiles_of
from dmontage.pipeline.uncertainty import (
    ErrorMap,
    cells_of,
    error_map,
    functionals,
    one_cell,
    plane_functionals,
    unknown_in,
)
from dmontage.window import Window

if TYPE_CHECKING:
    import tempfile
    from typing import Self

    from numpy.typing import NDArray

    from dmontage.graph.coadd import Sink

__all__ = ["Cutout", "Mosaic", "Pixels"]

_kept: list[tempfile.TemporaryDirectory[str]] = []
"""Temporary stores that lazy arrays read, kept until the process ends: an array outlives the Mosaic that gave it."""


class Mosaic(Stages):
    """A mosaic that is computed when it is asked for. Made by `mosaic`."""

    def __repr__(self) -> str:
        ny, nx = self.grid.shape
        return f"<Mosaic {nx} x {ny} of {self.plan.n_images} images, {self.plan.background}, {self.plan.combine}>"

    @property
    def data(self) -> Any:
        """Lazy dask array (ny, nx) of values. With background matching, the first use runs all but the coadd."""
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
        """
        return Cutout(self, self.grid.window_around(center, size))

    def compute(self) -> Pixels:
        """All pixels, in memory."""
        return Cutout(self, self.grid.window).compute()

    def write(self, path: str | Path, tiles: int | None = None, overlap: int = 0) -> Self:
        """Write the mosaic to ``path``, its area (steradian) to ``x_area.fits``, any other layer to ``x_NAME.fits``.

        All are written aside and renamed when they are whole.

        Parameters
        ----------
        tiles, overlap
            Side of tiles in pixels, and how many of them neighbours share, multiples of 64: the same pixels in files
            ``x_0_1.fits`` (row and column, from 0), ``x_0_1_area.fits``, ..., each with the WCS of its part. Blank ones
            are written too.
        """
        path, plan = Path(path), self.plan
        parts = tiles_of(plan.grid.shape, tiles, overlap)
        check_products(product_paths(path, plan, parts), [plan])
        with self._locked():
            self._project(range(len(plan.rows)))
            self._rectify()
            with Products(path, plan, self.summary, parts) as products:
                self._coadd(products.write)
                with self.summary.timed("write"):
                    products.close()
            if not products.any_covered:
                self.summary.warnings += ("all pixels of the mosaic are blank",)
            if "sources" in plan.also:
                with self.summary.timed("sources"):
                    chunks = self._reaches()
                    sets, numbers = find_sets(plan, chunks, self._run)
                    numbered = number_chunks(plan, chunks, numbers, self._run)
                    write_sources(plan, self.summary, path, parts, sets, numbered)
        self.summary.bytes_out = plan.bytes_out * sum(part.window.size for part in parts) // plan.grid.window.size
        return self

    def sources(self) -> Sources:
        """Which images have a part in each pixel's value, in memory; they need not have been asked for."""
        plane = np.zeros(self.grid.shape, np.int32)
        with self._locked():
            self._project(range(len(self.plan.rows)))
            self._rectify()
            with self.summary.timed("sources"):
                chunks = self._reaches()
                sets, numbers = find_sets(self.plan, chunks, self._run)
                for window, values in number_chunks(self.plan, chunks, numbers, self._run):
                    plane[window.slices] = values
        names = [image.name for image in self.plan.images]
        return Sources(plane, tuple(tuple(names[image] for image in each) for each in sets))

    def corrections(self) -> Any:
        """The corrections of all images, to be subtracted, as an astropy table: planes on the sky, with errors.

        See `dmontage.pipeline.corrections.correction_table` for its columns; ``write_corrections`` makes a file of it,
        which ``corrections=`` of another mosaic applies without fitting.
        """
        return correction_table(self._match, self._solved())

    def write_corrections(self, path: str | Path) -> Self:
        """Write the corrections as an ECSV table."""
        write_table(self.corrections(), Path(path))
        return self

    def background_error(
        self, window: Window | Cutout, relative_to: Window | Cutout | Literal["plane"] | None = None
    ) -> float:
        """Standard error of the background over a window: how wrong its mean may be because the images' levels are.

        Times the solid angle of an aperture it is the systematic error of a flux. What single pixels' noise does is
        not in it. Of a clipped mean it is that of the mean of all contributors, to which few rejections change little;
        of a sum, a count, a minimum or a maximum it is not known. Of energy per pixel (``unit="flux_per_pixel"``) it is
        that per pixel of the mosaic's middle.

        Parameters
        ----------
        window
            Pixels of the mosaic, or a cutout.
        relative_to
            What the background is taken against. None: the stated gauge, with what is not known of a gradient common
            to all images. Another window: the error of the difference of the two means, as for a source and the sky
            beside it. "plane": after a plane through the whole mosaic's background was taken out.

        Returns
        -------
        float
            One standard deviation, in the unit of the pixels; infinite where an image without overlap has a part in it.
        """
        from scipy.sparse import csr_array

        check_shares(self.plan.combine)
        solution, (g, covered) = self._solved(), self._background_over(one_cell(_window(window)))
        if not covered.any():
            raise InputError(f"{_window(window)} has no pixel with a value: its background has no error")
        if relative_to == "plane":
            cells = cells_of(self.grid.window, None)
            plane = plane_functionals(*self._background_over(cells), cells)
            g = g.toarray() - np.array([[1.0, *_window(window).middle]]) @ plane
        elif relative_to is not None:
            other, covered = self._background_over(one_cell(_window(relative_to)))
            if not covered.any():
                raise InputError(f"{_window(relative_to)} has no pixel with a value to compare with")
            g = g - other
        if unknown_in(solution, csr_array(g))[0]:
            return math.inf
        return float(np.sqrt(max(0.0, float(solution.variance(g)[0]))))

    def background_error_map(self, side: Any = None) -> ErrorMap:
        """Standard errors of the background over cells of ``side`` pixels (by default some 32 along the mosaic)."""
        if side is not None and not (isinstance(side, (int, np.integer)) and side > 0):
            raise InputError(f"side {side!r} of a cell must be a whole number of pixels above 0")
        check_shares(self.plan.combine)
        solution, cells = self._solved(), cells_of(self.grid.window, None if side is None else int(side))
        return error_map(solution, cells, *self._background_over(cells))

    def medians_left(self) -> tuple[float, ...]:
        """Median difference of each pair of ``fits`` after the corrections, measured on the projected pixels.

        In the unit of the pixels; NaN where a pair has no pixel in which both images are well covered.
        """
        self._solved()
        pairs = [(self._numbers[pair.plus], self._numbers[pair.minus]) for pair in self.plan.pairs]
        with self._locked(), self.summary.timed("medians"):
            tasks = [([pairs[i] for i in batch], self.plan.corrected_by) for batch in self.plan.pair_batches]
            return tuple(chain.from_iterable(self._run("medians", medians_left, tasks)))

    def _background_over(self, cells: Cells) -> tuple[Any, NDArray[np.float64]]:
        """Mean corrections over cells as functions of the images' parameters, and their covered pixels; kept."""
        plan, key = self.plan, (cells.ys.tobytes(), cells.xs.tobytes())
        if key in self._over:
            return self._over[key]
        window = cells.window & self.grid.window
        with self._locked(), self.summary.timed("shares"):
            batches = [
                [self._chunk(chunk & window, rows) for chunk, rows in map(plan.chunks.__getitem__, batch)
                 if chunk & window] for batch in plan.chunk_batches
            ]  # fmt: skip
            done = self._run("shares", share_sums, [(parts, self._how, cells) for parts in batches if parts])
        self._over[key] = functionals(self._match, cells, np.concatenate([np.zeros((0, 6)), *done]))
        return self._over[key]

    def stream(self, take: Sink) -> None:
        """Hand the layers of all chunks to ``take`` (window, layers), in any order and from any thread."""
        with self._locked():
            self._project(range(len(self.plan.rows)))
            self._rectify()
            self._coadd(take)

    def _coadd(self, take: Sink) -> None:
        """Make the chunks that the store does not have, and hand the layers of all of them to ``take``."""
        plan, store, summary = self.plan, self._open(), self.summary
        with summary.timed("coadd"):
            store.product.lay_out(plan.layers, plan.grid.shape, plan.chunk, {})
            planes = store.tables.planes(plan.corrected_by, len(store.rows))
            chunks = [self._chunk(window, rows, planes) for window, rows in plan.chunks]
            missing = {k for k, chunk in enumerate(chunks) if not store.product.done(chunk.window, chunk.digest)}
            summary.chunks, summary.chunks_reused = len(chunks), len(chunks) - len(missing)
            batches = [[chunks[k] for k in batch if k in missing] for batch in plan.chunk_batches]
            sink = take if in_process() else None
            self._run("coadd", coadd_chunks, [(batch, self._how) for batch in batches if batch], sink=sink)
            for k, chunk in enumerate(chunks):
                if sink is None or k not in missing:
                    take(chunk.window, [store.product.read(name, chunk.window) for name in store.product.layers])

    def _reaches(self) -> list[Reach]:
        """The plan's chunks with the images that reach them."""
        image_of = dict(zip(self._numbers, self.plan.image_of, strict=True))
        chunks = [self._chunk(window, rows) for window, rows in self.plan.chunks]
        return [Reach(chunk, tuple(image_of[row] for row in chunk.rows)) for chunk in chunks]

    def _layer(self, name: str) -> Any:
        """One of the plan's layers as a lazy array."""
        if name not in self.plan.layers:
            raise InputError(f"this mosaic has no {name}: ask for it by also={name!r}")
        return self._lazy()[self.plan.layers.index(name)]

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

    def _write_part(self, window: Window, path: Path) -> None:
        """Write the pixels of a window to files of their own."""
        check_products(product_paths(path, self.plan)[: len(self.plan.layers)], [self.plan])
        layers = self._layers_in(window)
        with Products(path, self.plan, self.summary, (Tile(window),)) as products:
            products.write(window, list(layers))

    def _layers_in(self, window: Window) -> NDArray[np.float32]:
        """All layers (n, ny, nx) of a window; once the backgrounds are matched, only its own images are projected."""
        plan = self.plan
        reach = [(chunk & window, rows) for chunk, rows in plan.chunks if chunk & window]
        parts = [(part, tuple(i for i in rows if plan.rows[i].window & part)) for part, rows in reach]
        with self._locked():
            self._rectify()
            self._project(chain.from_iterable(rows for _, rows in parts))
            with self.summary.timed("coadd"):
                done = self._run("cutout", coadd_chunk, [(self._chunk(part, rows), self._how) for part, rows in parts])
        layers = np.empty((len(plan.layers), *window.shape), np.float32)
        for (part, _), values in zip(parts, done, strict=True):
            layers[:, *part.relative_to(window).slices] = values
        return layers


def _window(part: Window | Cutout) -> Window:
    if not isinstance(part, (Window, Cutout)):
        raise InputError(f"{part!r} is no part of a mosaic: give a Window, or what `cutout` gives")
    return part.window if isinstance(part, Cutout) else part


@dataclass(frozen=True)
class Cutout:
    """A window of a mosaic."""

    mosaic: Mosaic
    window: Window

    @property
    def grid(self) -> Grid:
        """Its own WCS and shape."""
        return self.mosaic.grid.subgrid(self.window)

    def compute(self) -> Pixels:
        """Its pixels, in memory. Only its own images are projected where no background is matched, or it was before."""
        return self.mosaic._pixels(self.window)

    def write(self, path: str | Path) -> Self:
        """Write its pixels as `Mosaic.write` does those of all, but the sources; they are held in memory."""
        self.mosaic._write_part(self.window, Path(path))
        return self


class Pixels(NamedTuple):
    """Pixels in memory."""

    data: NDArray[np.float32]
    """(ny, nx) value, NaN where blank."""
    area: NDArray[np.float32]
    """(ny, nx) summed covered fraction."""
    grid: Grid
    variance: NDArray[np.float32] | None = None
    """(ny, nx) of the value, without the correlation between neighbours that projection makes; None without any."""
    depth: NDArray[np.float32] | None = None
    """(ny, nx) number of images in the value, where it was asked for."""
    rejected: NDArray[np.float32] | None = None
    """(ny, nx) number of images that were clipped, where it was asked for."""
