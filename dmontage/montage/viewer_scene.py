"""mViewer's JSON as a scene."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from dmontage.errors import InputError
from dmontage.montage.tables import grid_of_row, read_rows
from dmontage.montage.viewer_words import FRAMES, STRETCHES
from dmontage.places import place
from dmontage.view.scene import Band, Overlay, Scene

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dmontage.grid import Grid

__all__ = ["scene_of", "table_of"]

_TABLES = ("gray", "gray_r", "turbo_r", "nipy_spectral", "gist_ncar", "nipy_spectral_r", "gnuplot2", "bwr_r", "Reds_r",
           "Greens_r", "Blues_r", "gist_rainbow_r", "gist_stern")  # fmt: skip
"""matplotlib's colour maps nearest to mViewer's color tables 0 to 12; the first two are the same."""

_TOP = {
    "gray_file", "red_file", "green_file", "blue_file", "true_color", "color_table", "no_wcs", "coord_sys", "color",
    "symbol", "font_scale", "line_width", "alpha", "imgalpha", "brightness", "contrast", "saturation", "overlays",
    "image_file", "image_type", "tzero", "sym_size",
}  # fmt: skip

_SHARED = ("color", "coord_sys", "symbol", "sym_size", "font_scale", "line_width", "alpha")
"""Keys at the top that overlays take where they have none of their own."""

_SIZE = 12.0
"""Points of a symbol of size 1, and of text of scale 1."""


def scene_of(told: Mapping[str, Any]) -> Scene:
    """The scene that mViewer's JSON tells.

    Raises
    ------
    InputError
        For keys that are not known, and values that make no sense.
    """
    if unknown := sorted(set(told) - _TOP):
        raise InputError(f"mViewer: {', '.join(unknown)} is not known here; known are {', '.join(sorted(_TOP))}")
    names = ("gray_file",) if "gray_file" in told else ("red_file", "green_file", "blue_file")
    if missing := [name for name in names if name not in told]:
        raise InputError(f"mViewer: no {' and '.join(missing)}: give -gray, or -red, -green and -blue")
    bands = [_band(told[name], name) for name in names]
    power = _float(told, "true_color", 0.0)
    betas = {beta for _, beta in bands if beta is not None}
    if len(betas) > 1:
        raise InputError(f"mViewer: the bands' stretch_beta differ ({sorted(betas)}): give one")
    shared = {key: told[key] for key in _SHARED if key in told}
    return Scene(
        bands=tuple(band for band, _ in bands),
        cmap=_table(table_of(told)),
        method="ratio" if power > 0 else "stretch",
        power=power if power > 0 else 2.0,
        softening=1.0 / betas.pop() if betas else None,
        brightness=_float(told, "brightness", 1.0),
        contrast=_float(told, "contrast", 1.0),
        saturation=_float(told, "saturation", 1.0),
        max_side=None,
        overlays=tuple(_overlay(shared | each) for each in _overlays(told) if each.get("visible", True)),
        bare=True,
    )


def table_of(told: Mapping[str, Any]) -> Any:
    """The number of the color table that is asked for, at the top or with the image."""
    gray = told.get("gray_file")
    return told.get("color_table", gray.get("color_table", 0) if isinstance(gray, dict) else 0)


def _overlays(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    overlays = told.get("overlays") or []
    if not isinstance(overlays, list) or not all(isinstance(each, dict) for each in overlays):
        raise InputError(f"mViewer: overlays must be a list of objects, not {overlays!r}")
    return overlays


def _band(told: Any, name: str) -> tuple[Band, float | None]:
    if not isinstance(told, dict) or not isinstance(told.get("fits_file"), str):
        raise InputError(f"mViewer: {name} needs a fits_file")
    mode = str(told.get("stretch_mode", "linear")).lower()
    if mode not in STRETCHES and not mode.isdecimal():
        raise InputError(f"mViewer: stretch_mode {mode!r} is not one of {', '.join(STRETCHES)}")
    low, high = (str(told.get(f"stretch_{end}", end)).strip() for end in ("min", "max"))
    # A number is a count of logarithms; more than one of them saturates in mViewer.
    stretch = STRETCHES.get(mode) or ("linear" if int(mode) == 0 else "log")
    return Band(place(told["fits_file"]), None, stretch, low, high), _beta(told) if stretch == "asinh" else None


def _beta(told: Mapping[str, Any]) -> float | None:
    """Of asinh: the range is so many times the part of it that is linear."""
    if told.get("stretch_beta") is None:
        return None
    beta = _float(told, "stretch_beta", 1.0)
    if not 1 <= beta < math.inf:
        raise InputError(f"mViewer: stretch_beta is {beta:g}; give 1 or more")
    return beta


def _float(told: Mapping[str, Any], key: str, usual: float) -> float:
    try:
        return float(told.get(key, usual))
    except (TypeError, ValueError):
        raise InputError(f"mViewer: {key} must be a number, not {told[key]!r}") from None


def _table(number: Any) -> str:
    try:
        return _TABLES[int(number)]
    except (IndexError, TypeError, ValueError):
        raise InputError(f"mViewer: color table {number!r} is not one of 0 to {len(_TABLES) - 1}") from None


def _overlay(told: Mapping[str, Any]) -> Overlay:
    kind = told.get("type")
    color = _color(told.get("color", "white"))
    ink: dict[str, Any] = {"color": color}
    lines = ink | ({"alpha": _float(told, "alpha", 1.0)} if "alpha" in told else {})
    if kind == "grid":
        return Overlay("grid", lines | {"frame": _frame(told), "linewidth": 0.6 * _float(told, "line_width", 1.0)})
    if kind == "catalog":
        return Overlay("catalog", ink | _catalog(told))
    if kind == "imginfo":
        return Overlay("images", lines | {"images": _images(told), "linewidth": _float(told, "line_width", 1.0)})
    if kind in ("mark", "label"):
        at = {"lon": _angle(told, "lon"), "lat": _angle(told, "lat"), "frame": _frame(told)}
        if kind == "label":
            return Overlay("label", ink | at | {"text": str(told.get("text", "")),
                                                "fontsize": _SIZE * _float(told, "font_scale", 1.0)})  # fmt: skip
        if str(told.get("symbol", "")).startswith("compass"):
            return Overlay("compass", ink)
        return Overlay("marker", ink | at | _symbol(told) | {"size": _SIZE * _float(told, "sym_size", 1.0)})
    raise InputError(
        f"mViewer: an overlay of type {kind!r} is not drawn here; grid, catalog, imginfo, mark and label are"
    )


def _frame(told: Mapping[str, Any]) -> str:
    words = str(told.get("coord_sys", "eq")).lower().split()
    if not words or words[0] not in FRAMES or words[1:] not in ([], ["j2000"], ["b1950"]):
        raise InputError(
            f"mViewer: coordinates {' '.join(words)!r} are not one of {', '.join(FRAMES)} (J2000 or B1950)"
        )
    frame = FRAMES[words[0]]
    return "fk4" if words[1:] == ["b1950"] and frame == "icrs" else frame


def _angle(told: Mapping[str, Any], key: str) -> Any:
    """Degrees, from degrees or sexagesimal text (a longitude's in hours where the frame is equatorial)."""
    from astropy import units as u
    from astropy.coordinates import Angle

    text = str(told.get(key, "")).strip()
    try:
        return float(text)
    except ValueError:
        pass
    hours = key == "lon" and _frame(told) in ("icrs", "fk5", "fk4")
    try:
        return Angle(text, u.hourangle if hours else u.deg).to_value(u.deg)
    except Exception as error:  # astropy raises of its parser, of units, of values
        raise InputError(f"mViewer: {key} {text!r} is no angle: give degrees or 05h35m17s") from error


def _color(text: Any) -> str:
    """A colour as matplotlib has it; hexadecimal digits alone are Montage's way."""
    from matplotlib.colors import is_color_like

    word = str(text)
    if re.fullmatch(r"[0-9a-fA-F]{6}([0-9a-fA-F]{2})?", word):
        return f"#{word}"
    if not is_color_like(word):
        raise InputError(f"mViewer: color {word!r} is not known; give a name, or six hexadecimal digits")
    return word


_SYMBOLS = {"box": "square", "el": "dot", "skeleton": "plus", "starred": "star", "star": "star"}
"""Montage's words, and ours where they differ."""
_POLYGONS = {3: "triangle", 4: "square", 5: "pentagon", 6: "hexagon"}


def _symbol(told: Mapping[str, Any]) -> dict[str, str]:
    words = str(told.get("symbol", "circle")).lower().split()
    word = words[0] if words else "circle"
    if word.startswith("poly") and len(words) > 1:
        sides = _float({"sides of a polygon": words[1]}, "sides of a polygon", 0.0)
        return {"symbol": _POLYGONS.get(round(sides) if abs(sides) < 100 else 100, "circle")}
    return {"symbol": _SYMBOLS.get(word, word)}


def _catalog(told: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"table": _file(told)} | _symbol(told)
    if "data_column" in told:
        found |= {"size_by": told["data_column"], "scale": str(told.get("data_type", "mag")).lower()}
    elif "size_column" in told:
        found |= {"size_by": told["size_column"], "scale": "flux"}
    if "sym_size" in told:
        size = _SIZE * _float(told, "sym_size", 1.0)
        found["sizes"] = (size / 6.0, size)
    for key, ours in (("color_column", "color_by"), ("label_column", "label_by")):
        if key in told:
            found[ours] = told[key]
    return found


def _file(told: Mapping[str, Any]) -> str:
    path = told.get("data_file")
    if not isinstance(path, str) or not path:
        raise InputError(f"mViewer: an overlay of type {told.get('type')} needs a data_file")
    return path


def _images(told: Mapping[str, Any]) -> list[Grid]:
    """The grids of an image table (Montage's, of mImgtbl)."""
    path = _file(told)
    return [grid_of_row(row, path) for row in read_rows(path, ())]
