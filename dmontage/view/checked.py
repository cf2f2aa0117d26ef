"""What is drawn over a picture, checked before any pixel is read, its tables read once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmontage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dmontage.grid import Grid
    from dmontage.view.scene import Overlay

__all__ = ["check_color", "check_words", "checked"]


def check_words(overlays: Iterable[Overlay]) -> None:
    """InputError of colours, symbols and frames that are none."""
    from dmontage.view.grid_wcs import sky_frame
    from dmontage.view.signs import symbol_named

    for overlay in overlays:
        told = overlay.options
        if "color" in told:
            check_color(told["color"])
        if "symbol" in told:
            symbol_named(told["symbol"])
        if told.get("frame") is not None:
            sky_frame(told["frame"])


def checked(overlays: Iterable[Overlay], grid: Grid) -> tuple[Overlay, ...]:
    """The same overlays, whose catalogues are tables that have the columns they are to be drawn by.

    Raises
    ------
    InputError
        As `check_words`; of a table that cannot be read, or lacks a column.
    """
    overlays = tuple(overlays)
    check_words(overlays)
    return tuple(_with_table(each, grid) if each.kind == "catalog" else each for each in overlays)


def _with_table(overlay: Overlay, grid: Grid) -> Overlay:
    from dmontage.fits_files import read_table
    from dmontage.view.places_of import check_column, column, places_of

    told: dict[str, Any] = dict(overlay.options)
    if isinstance(told["table"], (str, Path)):
        told["table"] = read_table(str(told["table"]), "catalogue")
    rows = told["table"]
    places_of(rows, told.get("lon"), told.get("lat"), told.get("frame"), grid.frame)
    for word in ("size_by", "color_by"):
        if told.get(word) is not None:
            column(rows, told[word], word)
    if told.get("label_by") is not None:
        check_column(rows, told["label_by"], "label_by")
    return replace(overlay, options=told)


def check_color(color: Any) -> None:
    """InputError of a colour that matplotlib does not know, or of any in a list."""
    from matplotlib.colors import is_color_like

    for each in [color] if isinstance(color, str) or is_color_like(color) else list(color):
        if not is_color_like(each):
            raise InputError(f"the colour {each!r} is not known: give a name (yellow, cyan, tab:blue), or #rrggbb")
