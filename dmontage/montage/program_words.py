"""What programs are told in ways of their own, as arguments of Montage's functions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dmontage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "background", "coadd_of", "coverage", "examine", "fix_nan", "histogram", "histogram_answer", "is_number", "number",
    "subimage", "viewer", "viewer_answer",
]  # fmt: skip

Arguments = dict[str, Any]


def coadd_of(word: str) -> int:
    """The number of a way to combine images."""
    from dmontage.montage.add import COADDS

    if word not in COADDS:
        raise InputError(f"Invalid argument for -a flag: {word!r}; give {', '.join(COADDS)}")
    return COADDS.index(word)


def subimage(found: Arguments, words: list[str]) -> Arguments:
    """Sizes of a cutout: one for both sides, none where all is wanted."""
    mode = found.setdefault("mode", 0)
    if mode in (2, 3):
        return found | {"ra": 0.0, "dec": 0.0, "xsize": 0.0, "ysize": 0.0}
    if len(words) not in (3, 4):
        raise InputError("give a place and a size: ra dec xsize [ysize], or with -p xstart ystart xsize [ysize]")
    ra, dec, x_size, *y_size = (number(word) for word in words)
    return found | {"ra": ra, "dec": dec, "xsize": x_size, "ysize": y_size[0] if y_size else x_size}


def background(found: Arguments, words: list[str]) -> Arguments:
    """Three numbers, or with ``-t`` an image table and one of corrections."""
    if not found.pop("table", False):
        if len(words) != 3:
            raise InputError("give three numbers: A B C")
        return found | dict(zip("ABC", map(number, words), strict=True))
    if len(words) != 2:
        raise InputError("give two tables: images.tbl corrections.tbl")
    from dmontage.montage.tables import read_images, read_rows

    name = found["input_file"].rpartition("/")[2]
    numbers = [row.cntr for row in read_images(words[0]) if row.name.rpartition("/")[2] == name]
    if not numbers:
        raise InputError(f"{words[0]} has no file {name}")
    rows = [row for row in read_rows(words[1], {"id": int} | dict.fromkeys("abc", float)) if row["id"] == numbers[0]]
    plane = {key.upper(): rows[0][key] for key in "abc"} if rows else {"A": 0.0, "B": 0.0, "C": 0.0}
    return found | plane


def fix_nan(found: Arguments, words: list[str]) -> Arguments:
    """Pairs of ends of ranges, of which one may be "min" or "max"."""
    if len(words) % 2:
        raise InputError("give ranges by both ends: minblank maxblank, or the words min and max")
    low, high = words[::2], words[1::2]
    return found | {
        "haveVal": "NaNvalue" in found, "NaNvalue": found.get("NaNvalue", 0.0), "nMinMax": len(low),
        # In the function's terms what goes on to the maximum begins with a minimum: "max" sets ismin, "min" ismax.
        "minblank": [0.0 if word == "min" else number(word) for word in low], "ismin": [word == "max" for word in high],
        "maxblank": [0.0 if word == "max" else number(word) for word in high],
        "ismax": [word == "min" for word in low],
    }  # fmt: skip


_REGIONS = ("points", "box", "circle", "point", "header", "cutout")


def coverage(found: Arguments, words: list[str]) -> Arguments:
    """The region: its kind, and numbers or a header."""
    if not words or words[0].removeprefix("-") not in _REGIONS:
        raise InputError(f"give a region: {', '.join(f'-{name}' for name in _REGIONS)}, and its numbers")
    kind, rest = words[0].removeprefix("-"), words[1:]
    found["mode"] = _REGIONS.index(kind)
    if kind == "header":
        if len(rest) != 1:
            raise InputError("give one header template: -header region.hdr")
        return found | {"hdrfile": rest[0]}
    array = [number(word) for word in rest]
    return found | {"narray": len(array), "array": array}


_NAMED = re.compile(r"(.+?)\[(\d+)\](?:\[(\d+)\])?")
"""A file, its HDU, and a plane of a cube."""


def examine(found: Arguments, words: list[str]) -> Arguments:
    """``-p ra dec radius`` or ``-a ra dec`` before the image; a "p" behind a number means pixels."""
    sizes = {"-p": 3, "-a": 2}
    if words and words[0] in sizes:
        n = sizes[words[0]]
        told, found["areaMode"] = words[1 : n + 1], (1 if words[0] == "-p" else 2)
        names = ("ra", "dec", "radius")[: len(told)]
        found |= {name: number(word.removesuffix("p")) for name, word in zip(names, told, strict=True)}
        found["locinpix"] = told[:1] != [] and told[0].endswith("p")
        found["radinpix"] = len(told) == 3 and told[2].endswith("p")
        words = words[n + 1 :]
    if len(words) != 1:
        raise InputError("give one image")
    named = _NAMED.fullmatch(words[0])
    if named is None:
        return found | {"infile": words[0]}
    hdu, plane = named[2], named[3]
    return found | {"infile": named[1], "hdu": int(hdu)} | ({} if plane is None else {"plane3": int(plane)})


def viewer(found: Arguments, words: list[str]) -> Arguments:
    """The words as they are; ``-json TEXT`` and ``-jsonfile FILE`` are the other ways."""
    import shlex

    words = list(words)
    for flag, mode in (("-jsonfile", 0), ("-json", 1)):
        if words[:1] == [flag] and len(words) > 1:
            out = words[words.index("-out") + 1] if "-out" in words[:-1] else ""
            return found | {"cmdstr": words[1], "outFile": out, "mode": mode}
    return found | {"cmdstr": shlex.join(words), "outFile": "", "mode": 2}


def histogram(found: Arguments, words: list[str]) -> Arguments:
    """``-file in.fits min max [stretch [beta]] -out out.hist``."""
    groups: dict[str, list[str]] = {"-file": [], "-out": []}
    here: list[str] = []
    for word in words:
        if word in groups:
            here = groups[word]
        elif word != "-d":
            here.append(word)
    image, out = groups["-file"], groups["-out"]
    if len(image) not in (3, 4, 5) or len(out) != 1:
        raise InputError("give an image with its range, and a file to write: -file in.fits min max -out out.hist")
    names = dict(zip(("imgFile", "minString", "maxString", "stretchType", "betaString"), image, strict=False))
    return found | {"stretchType": "linear"} | names | {"histFile": out[0]}


def number(word: str) -> float:
    """A number, or an error that names it."""
    try:
        return float(word)
    except ValueError:
        raise InputError(f"{word!r} is no number") from None


def histogram_answer(found: Mapping[str, Any]) -> dict[str, Any]:
    """MHistogram's own words for its numbers."""
    return {key.removesuffix("val"): value for key, value in found.items()}


_BANDS: dict[str, tuple[str, ...]] = {
    "gray": ("gray",), "red": ("red", "rdata"), "green": ("green", "gdata"), "blue": ("blue", "bdata"),
}  # fmt: skip
_VIEWER = {"nx": "width", "ny": "height", "flipX": "xflip", "flipY": "yflip"}


def viewer_answer(found: Mapping[str, Any]) -> dict[str, Any]:
    """MViewer's own words: of the bands that the picture has, ``min`` or ``rmin``, ``gmin``, ``bmin``."""
    short = {"gray": ""} if found["type"] == "grayscale" else {"red": "r", "green": "g", "blue": "b"}
    said: dict[str, Any] = {}
    for key, value in found.items():
        band = next((name for name, starts in _BANDS.items() if key.startswith(starts)), "")
        if not band:
            said[_VIEWER.get(key, key)] = value
        elif band in short:
            kind = key.removeprefix(band) if key.startswith(band) else key[1:]
            said[short[band] + kind.removesuffix("val")] = value
    return said


def is_number(word: str) -> bool:
    """Whether a word is a number, and so no flag."""
    try:
        float(word)
    except ValueError:
        return False
    return True
