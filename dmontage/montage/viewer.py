"""mViewer: pictures by Montage's words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dmontage.errors import InputError
from dmontage.montage.histogram import End
from dmontage.montage.viewer_scene import scene_of, table_of
from dmontage.montage.viewer_words import as_json

if TYPE_CHECKING:
    from dmontage.view.rows import Rows
    from dmontage.view.scene import Band

__all__ = ["mViewer"]


def mViewer(
    cmdstr: str,
    outFile: str = "",
    mode: int = 0,
    outFmt: str = "",
    fontFile: str = "",
    debug: int = 0,
) -> dict[str, Any]:
    """Make a PNG or JPEG of a FITS image, or of three in colour, with overlays.

    Parameters
    ----------
    cmdstr
        A JSON file, JSON, or a string of flags, by ``mode``.
    outFile
        The picture; where the command says ``-out`` too, this one is meant, unless it is empty.
    mode
        0: a JSON file; 1: JSON; 2: flags, as of Montage's command ``mViewer``.
    outFmt
        "png" or "jpeg"; by the name of the picture if empty.
    fontFile, debug
        Not used: text is matplotlib's.

    Returns
    -------
    dict
        "type" ("grayscale" or "color"), "nx" and "ny", and of each band ("gray", or "red", "green" and
        "blue") "grayminval", "grayminpercent" and "grayminsigma" (the same with max): where the stretch begins and
        ends, as a value, a percentile and in sigma from the median; "graydatamin", "rdatamin", ...; "flipX" 0,
        "flipY" 1, "colortable", "bunit".
    """
    return _view(_told(cmdstr, mode), outFile, outFmt)


def _told(cmdstr: str, mode: int) -> dict[str, Any]:
    if mode not in (0, 1, 2):
        raise InputError(f"mode is {mode!r}; give 0 (JSON file), 1 (JSON) or 2 (flags)")
    if mode == 2:
        return as_json(cmdstr)
    text = cmdstr
    if mode == 0:
        text = _text_of(cmdstr)
    try:
        told = json.loads(text)
    except ValueError as error:
        raise InputError(f"mViewer: this is no JSON: {error}") from error
    if not isinstance(told, dict):
        raise InputError("mViewer: the JSON must be an object, {...}")
    return told


def _text_of(path: str) -> str:
    """The text of a file, wherever it lies."""
    from dmontage.places import MissingError, place

    try:
        return place(path).read_bytes().decode()
    except (OSError, MissingError) as error:
        reason = getattr(error, "strerror", None) or "there is no such object"
        raise InputError(f"JSON file {path} cannot be read: {reason}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"JSON file {path} cannot be read: it is no text in UTF-8") from error


def _view(told: dict[str, Any], out_file: str, out_format: str) -> dict[str, Any]:
    from dmontage.places import place
    from dmontage.view.draw import draw, images_of

    scene = scene_of(told)
    path = _named(out_file or str(told.get("image_file") or ""), out_format or told.get("image_type") or "")
    images = images_of(scene)
    ny, nx = draw(scene, place(path), images).shape
    names = ("gray",) if len(images) == 1 else ("red", "green", "blue")
    found: dict[str, Any] = {"type": "grayscale" if len(images) == 1 else "color", "nx": nx, "ny": ny}
    for name in ("gray", "blue", "green", "red"):
        found |= dict.fromkeys((f"{name}{end}{kind}" for end in ("min", "max") for kind in _KINDS), 0.0)
        found |= dict.fromkeys(_data_keys(name), 0.0)
    for name, band, image in zip(names, scene.bands, images, strict=True):
        found |= _numbers(name, band, image)
    return found | {
        "flipX": 0,
        "flipY": 1,
        "colortable": int(table_of(told)) if len(images) == 1 else 0,
        "bunit": images[0].image.bunit,
    }


_KINDS = ("val", "percent", "sigma")


def _data_keys(name: str) -> tuple[str, str]:
    short = "gray" if name == "gray" else name[0]
    return f"{short}datamin", f"{short}datamax"


def _numbers(name: str, band: Band, image: Rows) -> dict[str, float]:
    """Where a band's stretch begins and ends."""
    from dmontage.view.histogram import histogram
    from dmontage.view.ranges import Range

    counted = histogram(image)
    found = dict(zip(_data_keys(name), (counted.minimum, counted.maximum), strict=True))
    for end, value in zip(("min", "max"), Range(band.low or "-2s", band.high or "max").limits(counted), strict=True):
        found |= {f"{name}{end}{kind}": told for kind, told in zip(_KINDS, End.of(counted, value), strict=True)}
    return found


def _named(path: str, kind: str) -> str:
    """Where the picture goes, with the ending of its kind."""
    if not path:
        raise InputError("mViewer: no output file is given: -out m.png, or outFile")
    if kind not in ("", "png", "jpeg"):
        raise InputError(f"outFmt is {kind!r}; give png or jpeg")
    endings = {"png": (".png",), "jpeg": (".jpg", ".jpeg")}.get(kind)
    if endings and not path.lower().endswith(endings):
        raise InputError(f"mViewer: {path} does not end as {kind} does ({' or '.join(endings)}): name it so")
    return path
