"""Tiles: the parts of a mosaic that files are written of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.errors import InputError
from dmontage.window import LATTICE, Window

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MOST_TILES", "Tile", "tiles_of"]

MOST_TILES = 10_000
"""More files than that are hardly meant."""


class Tile(NamedTuple):
    """A part of a mosaic, for files of its own."""

    window: Window
    place: tuple[int, int] | None = None
    """(row, column) among the tiles; None for the only one."""

    @property
    def ending(self) -> str:
        """What its files' names have behind the mosaic's."""
        return "" if self.place is None else "_{}_{}".format(*self.place)


def tiles_of(shape: tuple[int, int], side: int | None, overlap: int = 0) -> tuple[Tile, ...]:
    """The tiles of a mosaic (ny, nx), in row order: ``side`` pixels each way, but for the last of a row or column.

    Parameters
    ----------
    side
        None for one tile, the whole.
    overlap
        Pixels that a tile shares with each neighbour.

    Raises
    ------
    InputError
        If a number is no multiple of 64 (the lattice of the digests), or makes too many tiles.
    """
    if side is None:
        if overlap:
            raise InputError(f"tile overlap {overlap!r} needs tiles: give their side (tiles, --tiles)")
        return (Tile(Window.of_shape(shape)),)
    side, overlap = _on_lattice("tiles", side, 1), _on_lattice("tile overlap", overlap, 0)
    if overlap >= side:
        raise InputError(f"tile overlap {overlap} must be smaller than the tiles, {side}")
    step = side - overlap
    n_y, n_x = (max(1, -(-(n - overlap) // step)) for n in shape)
    if n_y * n_x > MOST_TILES:
        raise InputError(f"tiles {side} with overlap {overlap} make {n_y * n_x} tiles, the limit is {MOST_TILES}")
    return tuple(_tiles(shape, (n_y, n_x), side, step))


def _tiles(shape: tuple[int, int], number: tuple[int, int], side: int, step: int) -> Iterator[Tile]:
    for row in range(number[0]):
        for column in range(number[1]):
            y0, x0 = row * step, column * step
            yield Tile(Window(y0, y0 + side, x0, x0 + side) & Window.of_shape(shape), (row, column))


def _on_lattice(name: str, pixels: Any, least: int) -> int:
    """A number of pixels, a multiple of the digests' block."""
    if not isinstance(pixels, (int, np.integer)) or pixels < least:
        raise InputError(f"{name} {pixels!r} must be a whole number of pixels from {least * LATTICE} up")
    if pixels % LATTICE:
        blocks = pixels // LATTICE
        choice = " or ".join(str(LATTICE * k) for k in (blocks, blocks + 1) if k >= least)
        raise InputError(f"{name} {pixels} must be a multiple of {LATTICE} pixels: choose {choice}")
    return int(pixels)
