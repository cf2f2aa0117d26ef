"""Explore: pan and zoom over a lazy mosaic, which computes what is in view.

The axes' limits are watched. A thread makes the tiles of the last view, one after the other; a timer of the figure's own
event loop takes them over and draws, since matplotlib's objects are of one thread. A view that is no longer looked at
is given up before its next part.
"""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.errors import InputError
from dmontage.view.plot import add_color_bar, new_axes, unit_of
from dmontage.view.screen import check_layer, screen_pixels
from dmontage.view.tiles import Kept, Key, View, cost, view_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dmontage.pipeline import Mosaic

__all__ = ["Explorer", "explore"]

_END = "end"

_PAUSE = 0.15
"""Seconds that a view must last before it is computed."""

_TICK = 100
"""Milliseconds between looks at what the thread has made."""


def explore(mosaic: Mosaic, ax: Any = None, *, most: int = 1 << 26, layer: str = "data", **how: Any) -> Explorer:
    """Pan and zoom; see `dmontage.shown.Explored.explore`."""
    from matplotlib import get_backend

    check_layer(mosaic, layer)
    if ax is None and "inline" in get_backend():
        raise InputError(
            "the figures of matplotlib's backend 'inline' do not move: say %matplotlib widget first, which comes with "
            "dmontage[notebook] (ipympl)"
        )
    return Explorer(mosaic, new_axes(mosaic.grid) if ax is None else ax, most, layer, **how)


class _StaleError(Exception):
    """The view has changed."""


class Explorer:
    """A mosaic on axes that are panned and zoomed. Made by `Mosaic.explore`."""

    def __init__(
        self,
        mosaic: Mosaic,
        ax: Any,
        most: int,
        layer: str,
        *,
        stretch: str = "gaussian-log",
        low: Any = "-2s",
        high: Any = "max",
        **style: Any,
    ) -> None:
        self.mosaic, self.ax = mosaic, ax
        self.view: View | None = None
        """What is in view; None where that is nothing of the mosaic."""
        self._most, self._layer = most, layer
        self._stretch = {"stretch": stretch, "low": low, "high": high}
        self._kept, self._partial = Kept(), Kept()
        self._made: queue.SimpleQueue[tuple[int, Key | str | None, Any]] = queue.SimpleQueue()
        self._number = 0
        """Of the view that is looked at: what is made for another is not shown."""
        self._done: Future[None] | None = None
        self._error: BaseException | None = None
        self._thread = ThreadPoolExecutor(1, "dmontage-explore")
        self._wake = threading.Event()
        self._is_stretched = "norm" in style
        ny, nx = mosaic.grid.shape
        style = {"origin": "lower", "cmap": "gray", "interpolation": "nearest"} | style
        if not self._is_stretched:
            style |= {"vmin": 0.0, "vmax": 1.0}
        blank = np.full((1, 1), np.nan, np.float32)
        extent = (-0.5, nx - 0.5, -0.5, ny - 0.5)
        self._under, self._image = (ax.imshow(blank, extent=extent, **style) for _ in range(2))
        self._text = ax.text(0.01, 0.99, "", transform=ax.transAxes, va="top", ha="left", fontsize="small", zorder=9,
                             bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8})  # fmt: skip
        ax.set(xlim=(-0.5, nx - 0.5), ylim=(-0.5, ny - 0.5), autoscale_on=False)
        ax.set_aspect("equal", adjustable="datalim")  # the axes keep their size on the screen
        if ax.figure.get_layout_engine() is not None:
            add_color_bar(ax, self._image, unit_of(mosaic, layer))
        self._timer = ax.figure.canvas.new_timer(_TICK)
        self._timer.add_callback(self.process)
        # Functions of their own, which matplotlib holds: a bound method would be let go with this object.
        self._ids = [ax.callbacks.connect(name, lambda _: self._look()) for name in ("xlim_changed", "ylim_changed")]
        ax.figure.canvas.mpl_connect("resize_event", lambda _: self._look())
        ax.figure.canvas.mpl_connect("close_event", lambda _: self.close())
        self._look()

    def __repr__(self) -> str:
        return f"<Explorer of {self.mosaic!r}: {self.view and self.view.window}>"

    @property
    def shown(self) -> NDArray[np.float32]:
        """The picture (ny, nx) of the view, NaN where blank or not there yet."""
        return np.asarray(np.ma.filled(self._image.get_array().astype(np.float32), np.nan))

    @property
    def note(self) -> str:
        """What is said about the view; nothing when it is whole."""
        return str(self._text.get_text())

    def compute(self) -> None:
        """Compute what is in view, whatever it takes; in the background, too."""
        self._look(most=None)

    def restretch(self, **how: Any) -> None:
        """Shades that suit what is in view; ``stretch``, ``low`` and ``high`` as for `Mosaic.explore`."""
        self._stretch |= how
        self._set_norm()
        self.ax.figure.canvas.draw_idle()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the view is whole, and show it: for scripts, which have no event loop.

        Raises
        ------
        TimeoutError
            After so many seconds.
        Exception
            Whatever went wrong in the background.
        """
        if self._done is not None:
            self._done.result(timeout)
        self.process()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def close(self) -> None:
        """Stop: nothing is computed any more."""
        self._number += 1
        self._wake.set()
        self._timer.stop()
        for each in self._ids:
            self.ax.callbacks.disconnect(each)
        self._thread.shutdown(wait=False, cancel_futures=True)

    def process(self) -> None:
        """Take over what the thread has made. The figure's timer calls it; any number of times does no harm."""
        changed = False
        while not self._made.empty():
            number, what, made = self._made.get()
            if isinstance(what, Key):
                tile, whole = made
                # Of a view that has gone too: it may come back.
                (self._kept if whole else self._partial).put(what, tile)
                changed |= number == self._number
            elif number == self._number:
                self._say("" if made is None else str(made))
                if what == _END:
                    self._end(made)
        if changed:
            self._show()

    def _end(self, said: Any) -> None:
        """The view is as whole as it gets."""
        self._error = said if isinstance(said, BaseException) else None
        self._timer.stop()
        self._show()
        self._is_stretched = self._is_stretched or bool(np.isfinite(self.shown).any())

    def _look(self, most: int | None = 0) -> None:
        """Find out what is in view, and have it made; ``most`` of 0 is the usual limit, None is none."""
        box = self.ax.get_window_extent()
        view = view_of(self.mosaic.grid.window, self.ax.get_xlim(), self.ax.get_ylim(), (box.width, box.height))
        if view == self.view and most is not None:
            return
        before, self.view = self.view, view
        self._number += 1
        self._wake.set()
        if view is None:
            self._say("")
            return
        if before is not None and before != view:
            self._under.set_data(self._image.get_array())
            self._under.set_extent(before.extent)
        self._show()
        missing = [key for key in view.keys if self._kept.get(key) is None]
        if missing:
            self._wake = threading.Event()
            limit = self._most if most == 0 else most
            self._say("computing …")
            self._done = self._thread.submit(self._make, self._number, missing, limit, self._wake)
            self._timer.start()
        else:
            self._say("")

    def _show(self) -> None:
        """Draw what there is of the view."""
        if self.view is None:
            return
        self._image.set_data(self.view.assembled(self._tile_at))
        self._image.set_extent(self.view.extent)
        if not self._is_stretched:
            self._set_norm()
        self.ax.figure.canvas.draw_idle()

    def _tile_at(self, key: Key) -> NDArray[np.float32] | None:
        whole = self._kept.get(key)
        return self._partial.get(key) if whole is None else whole

    def _set_norm(self) -> None:
        """Shades by what is in view; as they are where that is nothing."""
        from dmontage.view.norm import norm

        values = self.shown
        if np.isfinite(values).any():
            made = norm(values, **self._stretch)
            for image in (self._under, self._image):
                image.set_norm(made)

    def _say(self, text: str) -> None:
        self._text.set_text(text)
        self._text.set_visible(bool(text))
        self.ax.figure.canvas.draw_idle()

    # What follows runs in the thread: it touches no object of matplotlib.

    def _make(self, number: int, keys: Sequence[Key], most: int | None, wake: threading.Event) -> None:
        """Make tiles, as long as they are wanted."""
        said: Any = None
        try:
            if wake.wait(_PAUSE):
                return
            costs, extra = self._costs(keys)
            affordable = most is None or sum(costs) + extra <= most
            if not affordable:
                said = self._too_much(sum(costs), extra)
            with self.mosaic.watched(lambda *stage: self._made.put((number, None, "{} {} of {}".format(*stage)))):
                for k, (key, pixels) in enumerate(zip(keys, costs, strict=True)):
                    self._made.put((number, None, f"tile {k + 1} of {len(keys)}"))
                    made = self._tile(key, wake, compute=affordable and bool(pixels))
                    self._made.put((number, key, (made, affordable or not pixels)))
        except _StaleError:
            return
        except Exception as error:  # told where the view is: nobody looks at a thread
            said = error
        self._made.put((number, _END, said))

    def _costs(self, keys: Sequence[Key]) -> tuple[list[int], int]:
        """Pixels that each tile takes, and those that all take before: where backgrounds are to be matched first."""
        plan, whole = self.mosaic.plan, self.mosaic.grid.window
        costs = cost(self.mosaic, [key.window(whole) for key in keys], self.mosaic.made())
        extra = 0 if self.mosaic.corrected or not any(costs) else sum(row.window.size for row in plan.rows)
        return costs, extra

    @staticmethod
    def _too_much(pixels: int, extra: int) -> str:
        first = f", after the backgrounds of all images ({extra / 1e6:.3g} Mpix) are matched" if extra else ""
        return f"{pixels / 1e6:.3g} Mpix of this view are not computed{first}: zoom in, or call compute()"

    def _tile(self, key: Key, wake: threading.Event, *, compute: bool) -> NDArray[np.float32]:
        def check(done: int, total: int) -> None:
            if wake.is_set():
                raise _StaleError

        check(0, 1)
        window = key.window(self.mosaic.grid.window)
        return screen_pixels(self.mosaic, window, key.step, self._layer, check, compute=compute)
