"""Explore: pan and zoom over a lazy mosaic, which computes what is in view.

The axes' limits are watched. A thread makes the tiles of the last view one by one; a timer of the figure's event loop
takes them over and draws, since matplotlib's objects are of one thread. A view that is no longer looked at is given up
before its next part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.errors import InputError
from dmontage.view.bar import add_color_bar, even_ticks
from dmontage.view.making import End, Making, Tile
from dmontage.view.norm import COUNTS, norm
from dmontage.view.picture import check_norm
from dmontage.view.plot import new_axes, place_on, unit_of
from dmontage.view.screen import check_layer
from dmontage.view.tiles import Kept, View, view_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.pipeline import Mosaic
    from dmontage.view.tiles import Key

__all__ = ["Explorer", "explore"]

_TICK = 100
"""Milliseconds between looks at what the thread has made."""


def explore(
    mosaic: Mosaic,
    ax: Any,
    *,
    layer: str,
    stretch: str,
    low: Any,
    high: Any,
    colorbar: bool,
    most: int,
    **style: Any,
) -> Explorer:
    """Pan and zoom; see `dmontage.shown.Explored.explore`."""
    from matplotlib import get_backend

    check_norm(stretch, low, high, {})  # what is no stretch is refused here, not by a timer
    check_layer(mosaic, layer)
    if ax is None and "inline" in get_backend():
        raise InputError(
            "the figures of matplotlib's backend 'inline' do not move: say %matplotlib widget first, which comes with "
            "dmontage[notebook] (ipympl)"
        )
    if ax is not None:
        place_on(ax, mosaic, mosaic.grid.window)
    shades = {"stretch": stretch, "low": low, "high": high}
    explorer = Explorer(mosaic, new_axes(mosaic.grid) if ax is None else ax, layer, most, shades, style)
    if colorbar:
        explorer.bar = add_color_bar(explorer.ax, explorer.image, unit_of(mosaic, layer), whole=layer in COUNTS)
    explorer.look()
    return explorer


class Explorer:
    """A mosaic on axes that are panned and zoomed. Made by `dmontage.Mosaic.explore`."""

    def __init__(
        self, mosaic: Mosaic, ax: Any, layer: str, most: int, stretch: dict[str, Any], style: dict[str, Any]
    ) -> None:
        self.mosaic, self.ax = mosaic, ax
        self.view: View | None = None
        """What is in view; None where that is nothing of the mosaic."""
        self.stretch = stretch
        self.bar: Any = None
        self._layer, self._most = layer, most
        self._making = Making(mosaic, layer)
        self._kept, self._partial = Kept(), Kept()
        self._error: BaseException | None = None
        self._unstretched: InputError | None = None
        """Why what is shown has no shades of its own."""
        self._is_closed = False
        self._is_stretched = "norm" in style
        """True when the shades are to stay as they are."""
        before = {} if self._is_stretched else {"vmin": 0.0, "vmax": 1.0}
        style = {"origin": "lower", "cmap": "gray", "interpolation": "nearest", **before, **style}
        blank, (ny, nx) = np.full((1, 1), np.nan, np.float32), mosaic.grid.shape
        self._under, self.image = (ax.imshow(blank, **style) for _ in range(2))
        """The view before, as long as the new one is not whole, and the view."""
        self._text = ax.text(0.01, 0.99, "", transform=ax.transAxes, va="top", ha="left", fontsize="small", zorder=9)
        self._text.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.8})
        ax.set(xlim=(-0.5, nx - 0.5), ylim=(-0.5, ny - 0.5), autoscale_on=False)
        self._watch(ax)

    def _watch(self, ax: Any) -> None:
        """Hear of new limits, and of time that passes."""
        canvas = ax.figure.canvas
        self._timer = canvas.new_timer(_TICK)
        self._timer.add_callback(self.process)
        # Functions of their own, which matplotlib holds: a bound method would be let go with this object.
        self._ids = [ax.callbacks.connect(name, lambda _: self.look()) for name in ("xlim_changed", "ylim_changed")]
        self._events = [
            canvas.mpl_connect("resize_event", lambda _: self.look()),
            canvas.mpl_connect("close_event", lambda _: self.close()),
        ]

    def __repr__(self) -> str:
        return f"<Explorer of {self.mosaic!r}: {self.view and self.view.window}>"

    @property
    def shown(self) -> NDArray[np.float32]:
        """The picture (ny, nx) of the view, NaN where blank or not there yet."""
        return np.asarray(np.ma.filled(self.image.get_array().astype(np.float32), np.nan))

    @property
    def note(self) -> str:
        """What is said about the view; nothing when it is whole."""
        return str(self._text.get_text())

    def compute(self) -> None:
        """Compute what is in view, whatever it takes; in the background, too. InputError once it is closed."""
        if self._is_closed:
            raise InputError("this view is closed and computes nothing any more: explore() makes another")
        if self.view is not None:
            self._ask(self.view, None)

    def restretch(self, **how: Any) -> None:
        """Shades that suit what is in view; ``stretch``, ``low`` and ``high`` as for `dmontage.Mosaic.explore`.

        Parameters
        ----------
        **how
            ``stretch``, ``low`` and ``high``, as for `dmontage.Mosaic.explore`.
        """
        self._set_norm(self.stretch | how)
        self.stretch |= how
        self._unstretched = None
        self._draw()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the view is whole, and show it: for scripts, which have no event loop.

        Parameters
        ----------
        timeout
            Seconds; None for as long as it takes.

        Raises
        ------
        TimeoutError
            After so many seconds.
        Exception
            Whatever went wrong in the background.
        """
        self._making.wait(timeout)
        self.process()
        error, self._error = self._error, None
        if error is not None:
            raise error

    def close(self) -> None:
        """Stop: nothing is computed any more."""
        self._is_closed = True
        self._making.close()
        self._timer.stop()
        for each in self._ids:
            self.ax.callbacks.disconnect(each)
        for each in self._events:
            self.ax.figure.canvas.mpl_disconnect(each)

    def process(self) -> None:
        """Take over what the thread has made. The figure's timer calls it; any number of times does no harm."""
        new = list(self._making.taken())
        if not new:
            return
        for what in new:
            if isinstance(what, Tile):
                (self._kept if what.whole else self._partial).put(what.key, what.values)
            elif isinstance(what, str):
                self._say(what)
        self._show()
        for what in new:
            if isinstance(what, End):
                self._end(what)
        self._draw()

    def look(self) -> None:
        """Find out what is in view, and have it made; nothing once it is closed."""
        if self._is_closed:
            return
        part, (width, height) = self.ax.get_position(original=True), self.ax.figure.bbox.size
        screen = part.width * width, part.height * height
        view = view_of(self.mosaic.grid.window, self.ax.get_xlim(), self.ax.get_ylim(), screen)
        if view == self.view:
            return
        if self.view is not None:
            self._under.set_data(self.image.get_array())
            self._under.set_extent(self.view.extent)
        self.view = view
        if view is None:
            self._rest()
        else:
            self._ask(view, self._most)
        self._draw()

    def _ask(self, view: View, most: int | None) -> None:
        """Show what is there of a view, and have the rest made."""
        self._show()
        missing = [key for key in view.keys if self._kept.get(key) is None]
        if missing:
            self._say("computing …")
            self._making.start(missing, most)
            self._timer.start()
        else:
            self._rest()

    def _rest(self) -> None:
        """There is nothing to be made."""
        self._making.give_up()
        self._timer.stop()
        self._say("")

    def _end(self, end: End) -> None:
        self._error = end.error or self._unstretched
        self._say(end.said or str(self._unstretched or ""))
        self._timer.stop()
        self._is_stretched |= self._unstretched is None and bool(np.isfinite(self.shown).any())

    def _show(self) -> None:
        """Put what there is of the view into the picture."""
        if self.view is None:
            return
        self.image.set_data(self.view.assembled(self._tile_at))
        self.image.set_extent(self.view.extent)
        if not self._is_stretched:
            try:
                self._set_norm(self.stretch)
                self._unstretched = None
            except InputError as error:  # limits that these pixels have in the wrong order: told when the view is whole
                self._unstretched = error

    def _tile_at(self, key: Key) -> NDArray[np.float32] | None:
        whole = self._kept.get(key)
        return self._partial.get(key) if whole is None else whole

    def _set_norm(self, stretch: dict[str, Any]) -> None:
        """Shades by what is in view; as they are where that is nothing."""
        values = self.shown
        if np.isfinite(values).any():
            made = norm(values, **stretch)
            for image in (self._under, self.image):
                image.set_norm(made)
            if self.bar is not None:
                even_ticks(self.bar, made, whole=self._layer in COUNTS)

    def _say(self, text: str) -> None:
        self._text.set_text(text)
        self._text.set_visible(bool(text))

    def _draw(self) -> None:
        """Have the figure drawn when its window is idle; one without a window is drawn when it is saved."""
        from matplotlib.backend_bases import FigureCanvasBase

        canvas = self.ax.figure.canvas
        if type(canvas).draw_idle is not FigureCanvasBase.draw_idle:
            canvas.draw_idle()
