"""Coadd: chunks of the mosaic from the rows that reach them (level 4)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from dmontage.graph.units import flux_of
from dmontage.grid import Grid
from dmontage.kernels import stack
from dmontage.planner.task_memory import BAND
from dmontage.store import Store
from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from dmontage.planner import MosaicPlan

    Sink = Callable[[Window, Sequence[NDArray[np.float32]]], None]

__all__ = ["MEDIAN_AREA", "Chunk", "How", "Layout", "Part", "coadd", "coadd_chunk", "coadd_chunks", "product"]

MEDIAN_AREA = 0.5
"""A contributor to a median covers more than this part of its nominal area."""


class Part(NamedTuple):
    """What one image has in a window of the mosaic."""

    window: Window
    """Its pixels, on the mosaic grid."""
    flux: NDArray[Any]
    area: NDArray[Any]
    plane: NDArray[np.float64]
    """(5,) correction: level, slope_x, slope_y, x0, y0 in mosaic pixels."""
    weight: NDArray[Any] | None = None
    """Σ weight·overlap; None where it is the area."""
    variance: NDArray[Any] | None = None
    """Of flux/weight."""
    factor: float = 1.0
    """The image's own weight, times what its pixels' weights are stored in multiples of."""
    nominal: float = 1.0
    """Area of a pixel that the image covers as well as its drops can."""

    @property
    def divisor(self) -> NDArray[Any]:
        """What flux is divided by."""
        return self.area if self.weight is None else self.weight


class How(NamedTuple):
    """How a run's rows become one."""

    corrected_by: str
    """Name of the corrections in the store, or "none"."""
    combine: str
    weights: str
    sub_out: int
    """Parts of an edge of a mosaic pixel, for the polygon whose solid angle counts."""

    @classmethod
    def of(cls, plan: MosaicPlan) -> How:
        """As a plan has it."""
        return cls(plan.corrected_by, plan.combine, plan.weights, plan.sub_out)


class Chunk(NamedTuple):
    """A chunk of the product: what one task makes, or a part of it."""

    window: Window
    rows: tuple[int, ...]
    """Numbers in the store of the rows that reach it, in the order in which they are added."""
    factors: tuple[float, ...]
    """Their images' weights; empty where all weigh the same."""
    digest: str = ""
    """Of all that it is made from."""


def coadd(
    window: Window, parts: Iterable[Part], combine: str, weights: str, *, variance: bool = False
) -> tuple[NDArray[np.float64], ...]:
    """Combine the parts of many images over one window.

    Parameters
    ----------
    window
        Pixels of the mosaic to fill.
    parts
        In the order of the images' identity: the order of the sums.
    combine
        "mean": Σ W·w·v / Σ W·w with the images' own weights W and those of the pixels w, or the plain mean without
        weights. "median": of the contributors with an area above half of their nominal one; an even number gives the
        mean of the two middle ones. "count": number of images with area, negative values too.
    weights
        "area" (which weights multiply, where there are any) or "none".
    variance
        The variance of the mean too; the parts have theirs.

    Returns
    -------
    value, area[, variance]
        (ny, nx) float64; value is NaN (0 for "count") where nothing falls, area the sum of the contributors'.
    """
    weighted = weights == "area"
    if combine == "median":
        return _median(window, list(parts), weighted=weighted)
    value, weight, area, squares = (np.zeros(window.shape) for _ in range(4))
    count = np.zeros(window.shape, np.int32)
    for part in parts:
        at = part.window.relative_to(window).slices
        w = part.divisor
        stack.add_to_mean(
            part.flux, w, part.area, part.plane, part.window.y0, part.window.x0, part.factor, weighted,
            value[at], weight[at], area[at], count[at],
        )  # fmt: skip
        if part.variance is not None and variance:
            stack.add_to_variance(part.variance, w, part.area, part.factor, weighted, squares[at])
    if combine == "count":
        return count.astype(float), area
    stack.finish_mean(value, weight)
    if not variance:
        return value, area
    return value, area, np.divide(squares, weight**2, out=np.full(window.shape, np.nan), where=weight > 0.0)


def _median(window: Window, parts: list[Part], *, weighted: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The median, in bands of rows so that deep stacks need not be held twice."""
    value = np.full(window.shape, np.nan)
    area = np.zeros(window.shape)
    for band in window.bands(BAND):
        inside = [(part, part.window & band) for part in parts if part.window & band]
        values = np.full((len(inside), *band.shape), np.nan)
        areas = np.zeros(values.shape)
        own = any(part.weight is not None or part.factor != 1.0 for part, _ in inside)
        shares = np.zeros(values.shape) if own else areas
        for k, (part, w) in enumerate(inside):
            mine, here = w.relative_to(part.window).slices, w.relative_to(band).slices
            flux, divisor, covered = part.flux[mine], part.divisor[mine], part.area[mine]
            limit = MEDIAN_AREA * part.nominal
            stack.values(flux, divisor, covered, part.plane, w.y0, w.x0, limit, values[k][here])
            areas[k][here] = covered
            if own:
                np.multiply(divisor, part.factor, out=shares[k][here], dtype=np.float64)
        at = band.relative_to(window).slices
        stack.median(values, areas, shares, weighted, value[at], area[at])
    return value, area


def coadd_chunk(store_path: str, chunk: Chunk, how: How, *_: object) -> NDArray[np.float32]:
    """Task: the product's layers in a window, (2 or 3, ny, nx); the last arguments only order it after its rows."""
    store = Store.open(store_path)
    return np.stack(product(store, Layout.of(store, how.corrected_by), chunk, how)).astype(np.float32)


def coadd_chunks(store_path: str, chunks: Sequence[Chunk], how: How, sink: Sink | None = None) -> int:
    """Task: coadd some chunks and store them; gives the pixels made.

    Parameters
    ----------
    sink
        Takes each chunk's layers (float32) too, while they are at hand; only where the task runs in this process.
    """
    store = Store.open(store_path)
    layout = Layout.of(store, how.corrected_by)
    made = 0
    for chunk in chunks:
        if not store.product.done(chunk.window, chunk.digest):
            layers = [layer.astype(np.float32) for layer in product(store, layout, chunk, how)]
            if sink is None or not store.projected.volatile:
                store.product.write(chunk.window, layers, chunk.digest)
            made += chunk.window.size
            if sink is not None:
                sink(chunk.window, layers)
    return made


class Layout(NamedTuple):
    """Where the rows lie and what is taken from them: read once a task, not once a chunk."""

    windows: list[Window]
    planes: NDArray[np.float64]
    nominal: list[float]

    @classmethod
    def of(cls, store: Store, corrected_by: str) -> Layout:
        """As a store has it."""
        planes = store.tables.planes(corrected_by, len(store.rows))
        return cls(store.rows.windows(), planes, store.rows.nominal().tolist())


class Rows(Protocol):
    """Where the sums of rows come from: a store, as `dmontage.store.projected.Projected` tells, or the images."""

    @property
    def names(self) -> tuple[str, ...]: ...
    def read(self, row: int, origin: Window, window: Window, names: Sequence[str]) -> tuple[NDArray[Any], ...]: ...
    def exponent(self, row: int) -> int: ...


def product(
    store: Store, layout: Layout, chunk: Chunk, how: How, rows: Rows | None = None
) -> tuple[NDArray[np.float64], ...]:
    """The product's layers in a window, in the unit of the images; of the store's rows if no others are given."""
    window = chunk.window
    parts = _parts(rows or store.projected, layout, chunk)
    layers = coadd(window, parts, how.combine, how.weights, variance="variance" in store.projected.names)
    run = store.attributes
    if run["unit"] == "surface_brightness" or how.combine == "count":
        return layers
    grid = Grid(run["grid"], (run["shape"][0], run["shape"][1]))
    value, area, *variance = layers
    sub = how.sub_out
    return flux_of(value, grid, window, sub), area, *(flux_of(v, grid, window, sub, power=2) for v in variance)


def _parts(stored: Rows, layout: Layout, chunk: Chunk) -> Iterable[Part]:
    names = stored.names
    for row, factor in zip(chunk.rows, chunk.factors or (1.0,) * len(chunk.rows), strict=True):
        origin = layout.windows[row]
        common = origin & chunk.window
        if common:
            sums = dict(zip(names, stored.read(row, origin, common, names), strict=True))
            if "weight" in sums:
                factor = math.ldexp(factor, stored.exponent(row))  # noqa: PLW2901
            yield Part(common, plane=layout.planes[row], factor=factor, nominal=layout.nominal[row], **sums)
