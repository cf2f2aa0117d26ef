"""Pictures as files: PNG and JPEG, with the sky's coordinates in them.

A picture of greys is stored as such, and without opacity where nothing is blank: the file is a fourth. PNG is packed by
zlib's run lengths, not by its search for what repeats: the sky does not, and its pictures are as small so in two thirds
of the time, or less (pictures of 2MASS and CFHTLS images: 0.53 to 0.90 bytes a grey pixel either way).
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.aside import aside
from dmontage.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from dmontage.grid import Grid

    RGBA = NDArray[np.uint8]

__all__ = ["check_saved", "save"]

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_JPEG_SIDE = 65_500
"""The JPEG library's own limit."""
_PNG: dict[str, Any] = {"compress_level": 1, "compress_type": zlib.Z_RLE}


def check_saved(path: str | Path, shape: tuple[int, int], quality: int = 92) -> None:
    """InputError, before any work is done, of a picture (ny, nx) that cannot be written to a path by its suffix."""
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise InputError(f"cannot write {path}: name a picture that ends in {', '.join(_FORMATS)}")
    if _FORMATS[suffix] == "JPEG":
        if max(shape) > _JPEG_SIDE:
            raise InputError(
                f"the picture has {shape[1]} × {shape[0]} pixels, and a JPEG at most {_JPEG_SIDE} a side: "
                "give a smaller max_side, or write a PNG"
            )
        if not 1 <= quality <= 100:
            raise InputError(f"quality is {quality}; give 1 to 100")


def save(
    picture: RGBA,
    path: str | Path,
    grid: Grid | None = None,
    *,
    step: int | None = None,
    quality: int = 92,
    background: tuple[int, int, int] = (255, 255, 255),
) -> None:
    """Write a picture; beside its path first, and renamed when whole.

    Parameters
    ----------
    picture
        (ny, nx, 4), uint8: red, green, blue and opacity, the first row at the top.
    path
        Ends in ``.png``, ``.jpg`` or ``.jpeg``.
    grid
        Of the image, or mosaic, that is shown: its coordinates go into the file, by the AVM standard.
    step
        By how much the picture is smaller than the grid; found from their shapes where only one fits.
    quality
        Of a JPEG, 1 to 100; colours are kept at each pixel, not for 2 × 2 of them.
    background
        Colour of blank pixels in a JPEG, which has no transparency.

    Raises
    ------
    InputError
        A suffix, size or shape that cannot be, or a place that cannot be written to.
    """
    if picture.ndim != 3 or picture.shape[2] != 4 or picture.dtype != np.uint8 or 0 in picture.shape:
        raise InputError(f"the picture is {picture.dtype} of shape {picture.shape}; give uint8 (ny, nx, 4)")
    path = Path(path)
    shape = (picture.shape[0], picture.shape[1])
    check_saved(path, shape, quality)
    packet = None if grid is None else _packet(grid, shape, step)
    if _FORMATS[path.suffix.lower()] == "PNG":
        image, options = _image(picture), _PNG | _png_text(packet)
    else:
        image = _image(_on(picture, background))
        options = {"quality": quality, "subsampling": 0} | ({} if packet is None else {"xmp": packet})
    with aside(path) as part:
        image.save(part, format=_FORMATS[path.suffix.lower()], **options)


def _packet(grid: Grid, shape: tuple[int, int], step: int | None) -> bytes | None:
    from dmontage.view.avm import avm_packet, step_between

    if step is None:
        step = step_between(grid.shape, shape)
    elif shape != tuple(-(-n // step) for n in grid.shape):
        raise InputError(f"a grid of {grid.shape} pixels (ny, nx) shrunk by {step} is no picture of {shape}")
    return avm_packet(grid, shape, step)


def _png_text(packet: bytes | None) -> dict[str, Any]:
    """What Pillow needs to be told to put an XMP packet where readers look for it."""
    from PIL.PngImagePlugin import PngInfo

    if packet is None:
        return {}
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", packet.decode())
    return {"pnginfo": info}


def _image(picture: RGBA) -> Image:
    """A Pillow image with no more channels than there are different ones."""
    from PIL import Image

    red, green, blue, opacity = (picture[..., k] for k in range(4))
    opaque = bool((opacity == 255).all())
    grey = np.array_equal(red, green) and np.array_equal(red, blue)
    if grey:
        return Image.fromarray(np.ascontiguousarray(red if opaque else picture[..., ::3]))
    return Image.fromarray(np.ascontiguousarray(picture[..., :3]) if opaque else picture)


def _on(picture: RGBA, background: tuple[int, int, int]) -> RGBA:
    """The picture before a colour, opaque."""
    opacity = picture[..., 3:]
    if (opacity == 255).all():
        return picture
    part = opacity / np.float32(255)
    colours = np.rint(picture[..., :3] * part + np.array(background, np.float32) * (1 - part))
    return np.dstack([colours.astype(np.uint8), np.full_like(opacity, 255)])
