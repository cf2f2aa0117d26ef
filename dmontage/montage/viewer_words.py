"""mViewer's command string, in the form of its JSON.

Words are those of Montage's manual: ``-gray m.fits -2s max gaussian-log -color white -grid eq J2000 -out m.png``. What
tells how to draw (``-color``, ``-symbol``, ``-csys``, ...) holds for all that follows.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from dmontage.errors import InputError
from dmontage.montage.program_words import is_number

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FRAMES", "STRETCHES", "as_json"]

STRETCHES = {
    "linear": "linear", "log": "log", "loglog": "log", "gaussian": "gaussian", "gaussianlog": "gaussian-log",
    "gaussian-log": "gaussian-log", "asinh": "asinh",
}  # fmt: skip
"""mViewer's names, and ours. A log of a log saturates in mViewer; here it is the log."""

FRAMES = {
    "eq": "icrs", "equ": "icrs", "equj": "icrs", "equatorial": "icrs", "icrs": "icrs", "fk5": "fk5", "fk4": "fk4",
    "eqb": "fk4", "equb": "fk4", "ga": "galactic", "gal": "galactic", "galactic": "galactic", "ec": "ecliptic",
    "ecl": "ecliptic", "ecliptic": "ecliptic",
}  # fmt: skip
"""Montage's words for coordinate systems, in small letters, and astropy's frames."""

_EPOCHS = ("j2000", "b1950")

_STICKY = {
    "color": "color", "csys": "coord_sys", "fontscale": "font_scale", "linewidth": "line_width", "alpha": "alpha",
    "colorcol": "color_column", "sizecol": "size_column", "shapecol": "shape_column", "labelcol": "label_column",
}  # fmt: skip
_NUMBERS = {"font_scale", "line_width", "alpha"}
_TOP = {
    "ct": "color_table", "t": "true_color", "true-color": "true_color", "brightness": "brightness",
    "contrast": "contrast", "imgalpha": "imgalpha", "saturation": "saturation",
}  # fmt: skip
_OUT = {"out": None, "png": "png", "jpeg": "jpeg", "jpg": "jpeg"}
_DROPPED = {"d": 1, "debug": 1, "font": 1, "pix-coords": 0, "pixel": 0, "noflip": 0, "bunit": 1, "outfmt": 1}
"""Words that change nothing here, and how many more belong to each."""


def as_json(command: str) -> dict[str, Any]:
    """What a command string asks for, with "image_file" (and "image_type") for where the picture goes.

    Raises
    ------
    InputError
        For a word that is not known, or one whose values are missing.
    """
    words = _Words(command)
    top: dict[str, Any] = {"overlays": []}
    ink: dict[str, Any] = {}
    while words:
        word = words.take("a flag")
        name = word.removeprefix("-")
        if not word.startswith("-"):
            raise InputError(f"mViewer: {word!r} stands where a flag is expected")
        if name in ("gray", "grey", "red", "green", "blue"):
            top[f"{name.replace('grey', 'gray')}_file"] = _band(words, name)
        elif name in _STICKY:
            key = _STICKY[name]
            value = words.take(name)
            ink[key] = _number(value, name) if key in _NUMBERS else value
            if name == "csys" and (epoch := words.take_if(lambda w: w.lower() in _EPOCHS)):
                ink[key] += f" {epoch}"
        elif name == "symbol":
            ink |= _symbol(words)
        elif name == "scalecol":
            ink |= {"data_column": words.take(name), "data_ref": words.number(name), "data_type": words.take(name)}
        elif name in _TOP:
            top[_TOP[name]] = words.number(name)
        elif name == "nowcs":
            top["no_wcs"] = True
        elif name in _OUT:
            top |= {"image_file": words.take(name)} | ({"image_type": kind} if (kind := _OUT[name]) else {})
        elif name in _OVERLAYS:
            top["overlays"].append(ink | _OVERLAYS[name](words))
        elif name in _DROPPED:
            for _ in range(_DROPPED[name]):
                words.take(name)
        else:
            raise InputError(f"mViewer: the flag {word!r} is not known here")
    return top


class _Words:
    """The words that are left."""

    def __init__(self, command: str) -> None:
        try:
            self._left = shlex.split(command)
        except ValueError as error:
            raise InputError(f"mViewer: {command!r} cannot be split into words: {error}") from error

    def __bool__(self) -> bool:
        return bool(self._left)

    def take(self, flag: str) -> str:
        """The next one."""
        if not self._left:
            raise InputError(f"mViewer: -{flag} lacks a value")
        return self._left.pop(0)

    def number(self, flag: str) -> float:
        """The next one, a number."""
        return _number(self.take(flag), flag)

    def take_if(self, wanted: Callable[[str], bool]) -> str:
        """The next one if it is wanted, or nothing."""
        return self._left.pop(0) if self._left and wanted(self._left[0]) else ""


def _number(text: str, flag: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"mViewer: -{flag} needs a number, not {text!r}") from None


def _band(words: _Words, flag: str) -> dict[str, Any]:
    band: dict[str, Any] = {"fits_file": words.take(flag)}
    for key in ("stretch_min", "stretch_max"):
        if value := words.take_if(lambda word: not word.startswith("-") or word[1:2].isdigit() or word[1:2] == "."):
            band[key] = value
    if mode := words.take_if(lambda word: word.lower() in STRETCHES or word.isdigit()):
        band["stretch_mode"] = mode
    if mode.lower() == "asinh" and (beta := words.take_if(is_number)):
        band["stretch_beta"] = float(beta)
    return band


def _symbol(words: _Words) -> dict[str, Any]:
    size, shape = words.number("symbol"), words.take("symbol")
    rest = [words.take_if(is_number) for _ in range(2)]  # vertices, and the angle of the first
    return {"sym_size": size, "symbol": " ".join(filter(None, (shape, *rest)))}


def _grid(words: _Words) -> dict[str, Any]:
    frame = words.take("grid")
    epoch = words.take_if(lambda word: word.lower() in _EPOCHS)
    return {"type": "grid", "coord_sys": f"{frame} {epoch}".strip()}


def _catalog(words: _Words) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "catalog", "data_file": words.take("catalog")}
    if column := words.take_if(lambda word: not word.startswith("-")):
        found |= {"data_column": column, "data_ref": words.number("catalog"), "data_type": words.take("catalog")}
    return found


def _place(words: _Words, flag: str) -> dict[str, Any]:
    return {"type": flag, "lon": words.take(flag), "lat": words.take(flag)}


_OVERLAYS: dict[str, Callable[[_Words], dict[str, Any]]] = {
    "grid": _grid,
    "catalog": _catalog,
    "imginfo": lambda words: {"type": "imginfo", "data_file": words.take("imginfo")},
    "mark": lambda words: _place(words, "mark"),
    "label": lambda words: _place(words, "label") | {"text": words.take("label")},
    "draw": lambda words: {"type": "drawing", "data_file": words.take("draw")},
}
