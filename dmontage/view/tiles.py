"""Tiles of a view: what a screen shows of a large mosaic, in parts that are kept.

Notation: a tile is ``SIDE`` × ``SIDE`` pixels of the screen, each the mean over ``step`` × ``step`` pixels of the
mosaic. Tiles lie on one lattice for each step, anchored at the mosaic's first pixel, so that a tile is the same in
whatever view. Steps are powers of two.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from dmontage.pipeline import Mosaic

__all__ = ["SIDE", "Kept", "Key", "View", "around", "cost", "view_of"]

SIDE = 256
"""Pixels of the screen that a tile has each way."""

_KEPT = 256
"""Tiles that are kept: 64 MB, several screens."""


class Key(NamedTuple):
    """A tile."""

    step: int
    iy: int
    ix: int

    def window(self, whole: Window) -> Window:
        """Its pixels of the mosaic."""
        side = SIDE * self.step
        return Window(self.iy * side, (self.iy + 1) * side, self.ix * side, (self.ix + 1) * side) & whole


class View(NamedTuple):
    """What is asked for: a window of the mosaic at a step."""

    window: Window
    """Cut to the mosaic, and grown to whole squares; cut by the mosaic's last row and column only."""
    step: int

    @property
    def keys(self) -> list[Key]:
        """Its tiles, those in the middle first."""
        side = SIDE * self.step
        x, y = ((middle + 0.5) / side - 0.5 for middle in self.window.middle)
        keys = [Key(self.step, iy, ix) for (iy, ix), _ in self.window.blocks((side, side))]
        return sorted(keys, key=lambda key: (key.iy - y) ** 2 + (key.ix - x) ** 2)

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top edge of its squares, in pixels of the mosaic."""
        (ny, nx), w = self.shape, self.window
        return w.x0 - 0.5, w.x0 + nx * self.step - 0.5, w.y0 - 0.5, w.y0 + ny * self.step - 0.5

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) squares."""
        ny, nx = self.window.shape
        return -(-ny // self.step), -(-nx // self.step)

    def assembled(self, tiles: Callable[[Key], NDArray[np.float32] | None]) -> NDArray[np.float32]:
        """The picture (ny, nx) of the tiles that are there, NaN elsewhere."""
        picture = np.full(self.shape, np.nan, np.float32)
        here = Window.of_shape(self.shape).shift(self.window.y0 // self.step, self.window.x0 // self.step)
        for key in self.keys:
            tile = tiles(key)
            if tile is not None:
                there = Window.of_shape((tile.shape[0], tile.shape[1])).shift(key.iy * SIDE, key.ix * SIDE)
                part = here & there
                picture[part.relative_to(here).slices] = tile[part.relative_to(there).slices]
        return picture


def view_of(
    whole: Window, xlim: tuple[float, float], ylim: tuple[float, float], screen: tuple[float, float]
) -> View | None:
    """What limits of axes show of a mosaic, at a step that gives each pixel of the screen one of its own at least.

    Parameters
    ----------
    whole
        The mosaic's window.
    xlim, ylim
        In pixels of the mosaic, in any order.
    screen
        Width and height that the axes may fill, in pixels of the screen; the mosaic's pixels are squares in it.

    Returns
    -------
    View or None
        None where nothing of the mosaic is in view.
    """
    (x0, x1), (y0, y1) = sorted(xlim), sorted(ylim)
    ratio = max((x1 - x0) / max(screen[0], 1.0), (y1 - y0) / max(screen[1], 1.0))
    step = 1 << max(0, math.floor(math.log2(ratio))) if ratio > 1.0 else 1

    def squares(low: float, high: float, n: int) -> tuple[int, int]:
        first, last = math.floor((max(low, -0.5) + 0.5) / step), math.ceil((min(high, n - 0.5) + 0.5) / step)
        return first * step, min(last * step, n)

    window = Window(*squares(y0, y1, whole.y1), *squares(x0, x1, whole.x1)) & whole
    return View(window, step) if window else None


class Kept:
    """Tiles that were made, the last used ones of them."""

    def __init__(self, room: int = _KEPT) -> None:
        self._tiles: OrderedDict[Key, NDArray[np.float32]] = OrderedDict()
        self._room = room

    def get(self, key: Key) -> NDArray[np.float32] | None:
        """A tile, which counts as used now."""
        if key in self._tiles:
            self._tiles.move_to_end(key)
        return self._tiles.get(key)

    def put(self, key: Key, tile: NDArray[np.float32]) -> None:
        """Keep a tile; the one that was not used for longest makes room."""
        self._tiles[key] = tile
        self._tiles.move_to_end(key)
        while len(self._tiles) > self._room:
            self._tiles.popitem(last=False)


def around(windows: Sequence[Window]) -> Window:
    """The least window that holds some windows."""
    y0, x0 = min(w.y0 for w in windows), min(w.x0 for w in windows)
    return Window(y0, max(w.y1 for w in windows), x0, max(w.x1 for w in windows))


def cost(mosaic: Mosaic, windows: Sequence[Window], made: Iterable[Window]) -> list[int]:
    """Of each window the pixels that must be computed: in chunks that images reach and that are not made."""
    known, whole = set(made), around(windows)
    missing = [chunk for chunk, rows in mosaic.plan.chunks if rows and chunk & whole and chunk not in known]
    return [sum((chunk & window).size for chunk in missing) for window in windows]
