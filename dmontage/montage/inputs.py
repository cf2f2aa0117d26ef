"""What the projecting functions are given: templates, images, borders and names of files, in Montage's words."""

from __future__ import annotations

import math
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.errors import InputError
from dmontage.fits_files import one_image, read_stored
from dmontage.grid import Grid
from dmontage.montage.templates import check_template
from dmontage.planner import human
from dmontage.planner.memory import default_limit
from dmontage.quality import Quality
from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dmontage.model import ImageRef

__all__ = [
    "border_of",
    "check_file",
    "check_room",
    "image_in",
    "named_image",
    "plane_cards",
    "plane_in",
    "template_grid",
]


def template_grid(path: str) -> Grid:
    """The grid of a template file (``.hdr``), in Montage's words where it is none."""
    check_template(path)
    try:
        return Grid.from_header(path)
    except InputError as error:
        raise InputError(f"Output wcsinit() failed. {path}: {error}") from error


def border_of(text: str | float) -> Quality:
    """What Montage's border leaves out: so many pixels on each side, or what lies outside of a polygon.

    A polygon is "x1,y1,x2,y2,..." in pixels of which the first reaches from 0 to 1.
    """
    words = str(text).replace(",", " ").split()
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = [math.nan]
    if len(numbers) < 2 and all(number.is_integer() and number >= 0 for number in numbers):
        return Quality(border=int(sum(numbers)))
    if len(numbers) < 6 or len(numbers) % 2 or not np.isfinite(numbers).all():
        raise InputError(f"border {text!r} is neither a number of pixels nor x1,y1,x2,y2,x3,y3,... of a polygon")
    inside = [(x - 0.5, y - 0.5) for x, y in zip(numbers[::2], numbers[1::2], strict=True)]
    # Everything but the polygon, in one turn: around all, in by a seam, around the polygon, out by the same seam.
    far = 2.0**32
    around = [(-far, -far), (far, -far), (far, far), (-far, far), (-far, -far)]
    return Quality(polygons=[[*around, *inside, inside[0]]])


@contextmanager
def named_image(path: str, kind: str = "Image") -> Iterator[None]:
    """What is wrong with an image file inside, in Montage's words; "Area", "Weight image" are other kinds."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{kind} file {path} missing or invalid FITS: {error}") from error


def check_file(path: str) -> None:
    """InputError, in Montage's words, where there is no such file."""
    if not Path(path).is_file():
        raise InputError(f"File {path} not found.")


def image_in(path: str, hdu: int = 0, kind: str = "Image") -> ImageRef:
    """The image of a file, or a cube, in Montage's words where there is none.

    HDU 0 stands for the only image of a file that has none there.
    """
    with named_image(path, kind):
        check_file(path)
        try:
            return one_image(path, hdu)
        except InputError:
            if hdu != 0:
                raise
            return one_image(path)


def plane_in(path: str, hdu: int = 0) -> ImageRef:
    """`image_in`, of functions that take no cubes."""
    image = image_in(path, hdu)
    if image.planes:
        raise InputError(f"Image file {path} is a cube of planes {image.planes}: give one plane")
    return image


def check_room(n_bytes: int, way_out: str) -> None:
    """InputError, before anything is made, where an output is more than memory holds."""
    if n_bytes > (most := default_limit()):
        raise InputError(f"the output takes {human(n_bytes)} of memory, the limit here is {human(most)}; {way_out}")


_OF_AXIS = ("CTYPE", "CUNIT", "CRVAL", "CRPIX")
_OF_SPECTRUM = ("RESTFRQ", "RESTFREQ", "RESTWAV", "SPECSYS", "VELREF", "ZSOURCE")


def plane_cards(ref: ImageRef, grid: Grid) -> list[tuple[str, Any]]:
    """Cards of a cube's planes, for its pixels on another grid; none for an image."""
    if not ref.planes:
        return []
    stored = read_stored(ref.path, ref.hdu, lambda *_: Window(0, 1, 0, 1))
    header, lead = stored.header, stored.pixels.shape[-3::-1]  # axes 3, 4, ...
    cards: list[tuple[str, Any]] = []
    for new, old in enumerate((axis for axis, side in enumerate(lead, 3) if side != 1), 3):
        cards += [(f"{key}{new}", header[f"{key}{old}"]) for key in _OF_AXIS if f"{key}{old}" in header]
        step = header.get(f"CD{old}_{old}", header.get(f"CDELT{old}"))
        if step is not None:
            cards.append((f"CD{new}_{new}" if "CD1_1" in grid.to_header() else f"CDELT{new}", step))
    return cards + [(key, header[key]) for key in _OF_SPECTRUM if key in header]
