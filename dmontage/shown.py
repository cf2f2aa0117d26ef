"""Shown: how values of lower levels are drawn by what lies above them (level 0).

A value says only that it can be shown; `draw_by` tells who draws it. The package's front does so, by functions that
import what they need when they are first called. Where nobody draws, notebooks fall back to text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Explored", "Pictured", "Shown", "draw_by"]

_drawers: dict[str, Callable[..., Any]] = {}


def draw_by(way: str, drawer: Callable[..., Any]) -> None:
    """Let ``drawer`` draw values in a way ("html", "plot", "explore"): called with the value, and what is asked."""
    _drawers[way] = drawer


class Shown:
    """A value that notebooks show as more than text. It has no attributes: values stay what they are."""

    __slots__ = ()

    def _repr_html_(self) -> str | None:
        """What IPython asks for; None makes it take the text."""
        drawer = _drawers.get("html")
        return None if drawer is None else drawer(self)


class Pictured(Shown):
    """A value with pixels, which can be drawn."""

    __slots__ = ()

    def plot(
        self,
        ax: Any = None,
        *,
        layer: str = "data",
        stretch: str | None = None,
        low: Any = None,
        high: Any = None,
        max_side: int = 1000,
        colorbar: bool = True,
        **style: Any,
    ) -> Any:
        """Draw it with matplotlib, with the sky's coordinates on the axes; what is not there yet is computed.

        Parameters
        ----------
        ax
            Axes to draw on; new ones if None. Axes that another `plot` of the same mosaic gave, or of matplotlib with
            ``projection=grid.wcs()``; or plain ones, which then count pixels.
        layer
            "data", "area", "variance", "depth" or "rejected": what `dmontage.pipeline.Pixels` has.
        stretch, low, high
            From values to shades; see `dmontage.view.norm.norm`. A matplotlib ``norm`` may be given instead. Unless
            told, data and variance are gaussian-log, and areas and counts linear from their minimum to their maximum.
        max_side
            Pixels of the drawn picture at most; more are shrunk to means over squares, in memory for that many only.
        colorbar
            Whether a bar of the values stands beside it.
        **style
            As for matplotlib's ``imshow``: ``cmap``, ``alpha``, ``norm``, ...

        Returns
        -------
        WCSAxes
            Its data coordinates are pixels: draw on with ``ax.scatter(..., transform=ax.get_transform("icrs"))``.

        Raises
        ------
        InputError
            If the layer is not there, all of it is blank, or the axes are those of another grid.
        """
        how = {"layer": layer, "stretch": stretch, "low": low, "high": high, "max_side": max_side}
        return _drawers["plot"](self, ax, **how, colorbar=colorbar, **style)


class Explored(Pictured):
    """A value so large that it is looked at in parts."""

    __slots__ = ()

    def explore(
        self,
        ax: Any = None,
        *,
        layer: str = "data",
        stretch: str = "gaussian-log",
        low: Any = "-2s",
        high: Any = None,
        colorbar: bool = True,
        most: int = 1 << 26,
        **style: Any,
    ) -> Any:
        """Pan and zoom: what is in view is computed at the screen's resolution, in the background.

        In a notebook it needs ``%matplotlib widget`` (the extra ``dmontage[notebook]``); elsewhere any backend of
        matplotlib with a window.

        Parameters
        ----------
        ax, layer, stretch, low, high, colorbar, **style
            As for `plot`, gaussian-log for all layers unless told. The stretch is that of the first view;
            ``restretch()`` makes one of what is in view.
        most
            Pixels that one view may compute unasked. A view that takes more shows what is there, says what is missing,
            and ``compute()`` makes it.

        Returns
        -------
        Explorer
            With ``ax``; ``wait()`` until the view is whole.
        """
        how = {"layer": layer, "stretch": stretch, "low": low, "high": high}
        return _drawers["explore"](self, ax, **how, colorbar=colorbar, most=most, **style)
