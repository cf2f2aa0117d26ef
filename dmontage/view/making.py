"""Making: tiles of a mosaic in a thread of their own, for whoever looks at it.

Nothing here knows matplotlib, whose objects belong to one thread. What is made waits in a queue until it is taken.
"""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from dmontage.view.screen import screen_pixels
from dmontage.view.tiles import around, cost

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from dmontage.pipeline import Mosaic
    from dmontage.view.tiles import Key

__all__ = ["End", "Making", "Tile"]

_PAUSE = 0.15
"""Seconds that a view must last before it is made."""


class Tile(NamedTuple):
    """A tile that was made."""

    key: Key
    values: NDArray[np.float32]
    whole: bool
    """False where pixels are left out because they are not computed yet."""


class End(NamedTuple):
    """A view is as whole as it gets."""

    said: str
    """Why it is not whole; nothing where it is."""
    error: BaseException | None = None


class _StaleError(Exception):
    """Nobody looks at the view any more."""


class Making:
    """A thread that makes the tiles of one view at a time: the last that was asked for."""

    def __init__(self, mosaic: Mosaic, layer: str) -> None:
        self._mosaic, self._layer = mosaic, layer
        self._made: queue.SimpleQueue[tuple[int, Tile | End | str]] = queue.SimpleQueue()
        self._number = 0
        self._given_up = threading.Event()
        self._thread = ThreadPoolExecutor(1, "dmontage-explore")
        self._last: Future[None] | None = None

    def start(self, keys: Sequence[Key], most: int | None) -> None:
        """Give up the view before, and make these tiles; ``most`` pixels may be computed for them, None for any."""
        self.give_up()
        self._given_up = threading.Event()
        self._last = self._thread.submit(self._make, self._number, keys, most, self._given_up)

    def give_up(self) -> None:
        """Stop before the next part of the view."""
        self._number += 1
        self._given_up.set()

    def close(self) -> None:
        """Stop for good."""
        self.give_up()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the view that was asked for last; TimeoutError after so many seconds."""
        if self._last is not None:
            self._last.result(timeout)

    def taken(self) -> Iterator[Tile | End | str]:
        """What was made since the last time: tiles, words on how far it is, the end. Of a view before, tiles only."""
        while not self._made.empty():
            number, what = self._made.get()
            if number == self._number or isinstance(what, Tile):
                yield what

    def _make(self, number: int, keys: Sequence[Key], most: int | None, given_up: threading.Event) -> None:
        end = End("")
        try:
            if given_up.wait(_PAUSE):
                return
            costs, before = self._costs(keys)
            compute = most is None or sum(costs) + before <= most
            if not compute:
                end = End(_too_much(sum(costs), before))
            with self._mosaic.watched(lambda *stage: self._made.put((number, "{} {} of {}".format(*stage)))):
                for k, (key, pixels) in enumerate(zip(keys, costs, strict=True)):
                    self._made.put((number, f"tile {k + 1} of {len(keys)}"))
                    values = self._tile(key, given_up, compute=compute and bool(pixels))
                    self._made.put((number, Tile(key, values, compute or not pixels)))
        except _StaleError:
            return
        except Exception as error:  # it is told where the view is: nobody looks at a thread
            end = End(f"{error}", error)
        self._made.put((number, end))

    def _costs(self, keys: Sequence[Key]) -> tuple[list[int], int]:
        """Pixels that each tile takes; and those before, of all images, where backgrounds are to be matched first."""
        plan, whole = self._mosaic.plan, self._mosaic.grid.window
        windows = [key.window(whole) for key in keys]
        costs = cost(self._mosaic, windows, self._mosaic.made(around(windows)))
        before = 0 if self._mosaic.corrected or not any(costs) else sum(row.window.size for row in plan.rows)
        return costs, before

    def _tile(self, key: Key, given_up: threading.Event, *, compute: bool) -> NDArray[np.float32]:
        def check(done: int, total: int) -> None:
            if given_up.is_set():
                raise _StaleError

        check(0, 1)
        window = key.window(self._mosaic.grid.window)
        return screen_pixels(self._mosaic, window, key.step, self._layer, check, compute=compute)


def _too_much(pixels: int, before: int) -> str:
    first = f"\nnor are the backgrounds matched: {before / 1e6:.3g} Mpix of images come first" if before else ""
    return f"{pixels / 1e6:.3g} Mpix of this view are not computed{first}\nzoom in, or call compute()"
