"""Coadd: chunks of the mosaic from the rows that reach them (level 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.graph.units import flux_of
from dmontage.grid import Grid
from dmontage.kernels import stack
from dmontage.store import Store
from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

__all__ = ["Part", "coadd", "coadd_chunk", "coadd_chunks"]

_MEDIAN_AREA = 0.5
"""A contributor to a median covers more than this part of the pixel."""

_BAND = 128
"""Rows of a chunk whose stack is held in double precision at once."""


class Part(NamedTuple):
    """What one image has in a window of the mosaic."""

    window: Window
    """Its pixels, on the mosaic grid."""
    flux: NDArray[Any]
    area: NDArray[Any]
    plane: NDArray[np.float64]
    """(5,) correction: level, slope_x, slope_y, x0, y0 in mosaic pixels."""


def coadd(
    window: Window, parts: Iterable[Part], combine: str, weights: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Combine the parts of many images over one window.

    Parameters
    ----------
    window
        Pixels of the mosaic to fill.
    parts
        In the order of the images' identity: the order of the sums.
    combine
        "mean": Σ v·a / Σ a, or the plain mean without weights. "median": of the contributors with an area above 0.5;
        an even number gives the mean of the two middle ones. "count": number of images with area, negative values too.
    weights
        "area" or "none".

    Returns
    -------
    value, area
        (ny, nx) float64; value is NaN (0 for "count") where nothing falls, area the sum of the contributors'.
    """
    if combine == "median":
        return _median(window, list(parts), by_area=weights == "area")
    value, weight, area = (np.zeros(window.shape) for _ in range(3))
    count = np.zeros(window.shape, np.int32)
    for part in parts:
        at = part.window.relative_to(window).slices
        stack.add_to_mean(
            part.flux, part.area, part.plane, part.window.y0, part.window.x0, weights == "area",
            value[at], weight[at], area[at], count[at],
        )  # fmt: skip
    if combine == "count":
        return count.astype(float), area
    stack.finish_mean(value, weight)
    return value, area


def _median(window: Window, parts: list[Part], *, by_area: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The median, in bands of rows so that deep stacks need not be held twice."""
    value = np.full(window.shape, np.nan)
    area = np.zeros(window.shape)
    for y0 in range(window.y0, window.y1, _BAND):
        band = Window(y0, min(y0 + _BAND, window.y1), window.x0, window.x1)
        inside = [(part, part.window & band) for part in parts if part.window & band]
        values = np.full((len(inside), *band.shape), np.nan)
        areas = np.zeros(values.shape)
        for k, (part, w) in enumerate(inside):
            mine, here = w.relative_to(part.window).slices, w.relative_to(band).slices
            stack.values(part.flux[mine], part.area[mine], part.plane, w.y0, w.x0, _MEDIAN_AREA, values[k][here])
            areas[k][here] = part.area[mine]
        at = band.relative_to(window).slices
        stack.median(values, areas, by_area, value[at], area[at])
    return value, area


def coadd_chunk(
    store_path: str, window: Window, rows: Sequence[int], background: str, combine: str, weights: str, *_: object
) -> NDArray[np.float32]:
    """Task: value and area of a window, (2, ny, nx); the last arguments only order it after its rows."""
    store = Store.open(store_path)
    return np.stack(_product(store, _Layout.of(store, background), window, rows, combine, weights)).astype(np.float32)


def coadd_chunks(
    store_path: str, chunks: Sequence[tuple[Window, tuple[int, ...]]], background: str, combine: str, weights: str
) -> int:
    """Task: coadd some chunks (window, rows that reach it) and store them; returns how many pixels were written."""
    store = Store.open(store_path)
    layout = _Layout.of(store, background)
    for window, rows in chunks:
        store.write_mosaic(window, *_product(store, layout, window, rows, combine, weights))
    return sum(window.size for window, _ in chunks)


class _Layout(NamedTuple):
    """Where the rows lie and what is taken from them: read once a task, not once a chunk."""

    windows: list[Window]
    planes: NDArray[np.float64]

    @classmethod
    def of(cls, store: Store, background: str) -> _Layout:
        return cls(store.windows(), store.planes(background))


def _product(
    store: Store, layout: _Layout, window: Window, rows: Sequence[int], combine: str, weights: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Value and area of a window, in the unit of the images."""
    value, area = coadd(window, _parts(store, layout, window, rows), combine, weights)
    run = store.attributes
    if run["unit"] == "flux_per_pixel" and combine != "count":
        value = flux_of(value, Grid(run["grid"], (run["shape"][0], run["shape"][1])), window)
    return value, area


def _parts(store: Store, layout: _Layout, window: Window, rows: Sequence[int]) -> Iterable[Part]:
    for row in rows:
        origin = layout.windows[row]
        common = origin & window
        if common:
            yield Part(common, *store.read_row(row, origin, common), layout.planes[row])
