"""Pairs: coadding images that lie in files on one grid already, with files of their areas, straight into files.

Where `dmontage.graph.coadd` combines what a store holds, this reads the files: nothing is stored between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dmontage.aside import is_here
from dmontage.fits_files import read
from dmontage.graph.combine import Part, coadd, least_area
from dmontage.planner.combining import STACKED
from dmontage.window import LATTICE, Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from dmontage.fits_files import FitsPixels
    from dmontage.grid import Grid
    from dmontage.model import ImageRef

    Chunk = tuple[Window, tuple[int, ...]]

__all__ = ["Made", "Pair", "Target", "chunks_of", "coadd_pairs"]

_ROWS = 512
"""Of a chunk, at most."""
_COLUMNS = 512
"""Of a stack, at most."""
_CHUNK_BYTES = 1 << 28
"""That a chunk may take."""
_OF_PIXEL = 10 * 8
"""Bytes of the sums, for each pixel of a chunk."""
_OF_VALUE = 6 * 8
"""Bytes for each pixel of an image in it: value, flux and area, and what is made on the way."""


class Pair(NamedTuple):
    """An image on the grid."""

    image: ImageRef
    area: ImageRef | None
    """Its covered solid angles; None where its pixels count as covered wholly."""
    window: Window
    """Where it lies on the grid; it may reach beyond."""
    nominal: float = 1.0
    """What a pixel that it covers as well as it can has, in parts of its solid angle: less than 1 for drops."""


class Target(NamedTuple):
    """What is made, and where it goes."""

    grid: Grid
    combine: str
    weighted: bool
    """Whether areas are used; else each image counts as one."""
    values: FitsPixels
    areas: FitsPixels
    machine: str
    """Where the files are (`boot_of_machine`)."""


class Made(NamedTuple):
    """What became of a chunk."""

    window: Window
    blocks: tuple[dict[tuple[int, int], bytes], ...]
    """Digests, of what was written."""
    layers: list[NDArray[np.float64]]
    """Values and areas that could not be written where they were made."""


def chunks_of(shape: tuple[int, int], windows: Sequence[Window], combine: str) -> tuple[Chunk, ...]:
    """Windows of the mosaic, and which images reach each: bands of rows, or less where stacks are deep."""
    whole = Window.of_shape(shape)
    rows, columns = _ROWS, _on_lattice(shape[1])
    while True:
        chunks = whole.reached_blocks((rows, columns), windows)
        costly = max(_bytes(window, [windows[k] & window for k in inside], combine) for window, inside in chunks)
        if costly <= _CHUNK_BYTES or rows == columns == LATTICE:
            return chunks
        if rows > LATTICE:
            rows = _on_lattice(rows // 2)
        else:
            columns = _on_lattice(columns // 2)


def _on_lattice(side: int) -> int:
    return max(-(-side // LATTICE), 1) * LATTICE


def _bytes(window: Window, inside: Sequence[Window], combine: str) -> int:
    sizes = [part.size for part in inside]
    held = (sum if combine in STACKED else max)(sizes or [0])
    return window.size * _OF_PIXEL + held * _OF_VALUE


def coadd_pairs(window: Window, pairs: Sequence[Pair], target: Target) -> Made:
    """Task: combine the images that reach a window, in their order, and write it where the files can be seen."""
    values, areas = _combined(window, _parts(window, pairs, target), target)
    made = Made(window, (), [values, areas])
    if is_here(target.machine):
        try:
            blocks = target.values.write(window, values), target.areas.write(window, areas)
        except OSError:  # another process sees other files: the driver writes
            return made
        return made._replace(blocks=blocks, layers=[])
    return made


def _combined(window: Window, parts: Iterable[Part], target: Target) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values and areas of a window; stacks block by block, for they have as many layers as images reach the block."""
    weights = "area" if target.weighted and target.combine == "mean" else "none"
    values, areas = np.empty(window.shape), np.empty(window.shape)
    blocks = [window]
    if target.combine in STACKED:
        parts = list(parts)
        blocks = [block for _, block in window.blocks((_ROWS, _COLUMNS))]
    for block in blocks:
        inside = parts if block is window else [part.within(block) for part in parts if part.window & block]
        at = block.relative_to(window).slices
        values[at], areas[at] = coadd(block, inside, target.combine, weights, plain=weights == "area")
    if target.combine == "count":
        values[values == 0.0] = np.nan
    return values, areas


def _parts(window: Window, pairs: Sequence[Pair], target: Target) -> Iterator[Part]:
    """What each pair has in a window; areas that are too little of their own pixel's to contribute are 0."""
    cut = target.weighted and least_area(target.combine, 1.0) > 0.0
    angles = None
    if target.weighted and (cut or any(pair.area is None for pair in pairs)):
        angles = target.grid.solid_angle(window)
    for pair in pairs:
        common = pair.window & window
        mine = common.relative_to(pair.window)
        values = read(pair.image, mine).astype(np.float64, copy=False)
        covered = np.isfinite(values)
        whole = 1.0 if angles is None else angles[common.relative_to(window).slices]
        if pair.area is None or not target.weighted:
            areas = np.where(covered & (whole > 0.0), whole, 0.0)  # a pixel that is not whole on the sky has none
        else:
            told = read(pair.area, mine)
            least = least_area(target.combine, pair.nominal) * whole if cut else 0.0
            areas = np.where(covered & (told > least) & np.isfinite(told), told, 0.0)
        flux = np.where(areas > 0.0, values, 0.0) * areas
        yield Part(common, flux, areas, np.zeros(5), nominal=0.0)
