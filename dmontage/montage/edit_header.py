"""mGetHdr, mPutHdr and mTileHdr: headers taken out of files, put into files, and cut into tiles."""

from __future__ import annotations

import html
import re

from dmontage.errors import InputError
from dmontage.fits_files import read_header, write_stored
from dmontage.headers import card_text
from dmontage.montage.inputs import named_image, template_grid
from dmontage.montage.stored_images import open_stored
from dmontage.montage.templates import template_header, template_text, write_template

__all__ = ["mGetHdr", "mPutHdr", "mTileHdr"]

_OF_FORM = re.compile(
    r"SIMPLE|XTENSION|EXTEND|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|BSCALE|BZERO|BLANK|CHECKSUM|DATASUM|DATAHASH|Z(IMAGE|BITPIX"
    r"|NAXIS\d*|TILE\d+|CMPTYPE|QUANTIZ|DITHER0)"
)
"""Cards of how pixels are stored."""


def mGetHdr(infile: str, hdrfile: str, hdu: int = 0, htmlMode: int = 0, debug: int = 0) -> dict[str, int]:
    """Write the header of a file as text.

    Parameters
    ----------
    infile, hdu
        The file, and which header of it.
    hdrfile
        The text: a card a line, END last.
    htmlMode
        0: text; 1: an HTML page; 2: its part that stands for the header.
    debug
        Not used.

    Returns
    -------
    dict
        "ncard", the number of cards.
    """
    if htmlMode not in (0, 1, 2):
        raise InputError(f"htmlMode is {htmlMode!r}; give 0 (text), 1 (HTML) or 2 (part of a page)")
    with named_image(infile):
        header = read_header(infile, hdu)
    lines = [line.rstrip() for line in header.tostring(sep="\n", endcard=False, padding=False).splitlines()]
    text = "\n".join([*lines, "END"]) + "\n"
    if htmlMode:
        text = f"<pre>\n{html.escape(text)}</pre>\n"
    if htmlMode == 1:
        head = f"<head><title>{html.escape(infile)}</title></head>"
        text = f"<!DOCTYPE html>\n<html>\n{head}\n<body>\n{text}</body>\n</html>\n"
    write_template(hdrfile, text)
    return {"ncard": len(lines)}


def mPutHdr(input_file: str, output_file: str, template_file: str, hdu: int = 0, debug: int = 0) -> dict[str, str]:
    """Write the pixels of an image under another header, as float64.

    Parameters
    ----------
    input_file, hdu
        The image.
    output_file
        The new file.
    template_file
        The new header's cards; those of how pixels are stored stay the image's own.
    debug
        Not used.

    Returns
    -------
    dict
        Empty.
    """
    cards = template_header(template_file)
    image = open_stored(input_file, hdu)
    values = image.values()
    sides = {f"NAXIS{i}": side for i, side in enumerate(reversed(values.shape), 1)}
    told = {key: cards[key] for key in cards if re.fullmatch(r"NAXIS\d+", key)}
    if any(value != sides.get(key, 1) for key, value in told.items()):
        raise InputError(
            f"NAXIS/NAXES values cannot be modified using this program: {template_file} has {told}, "
            f"{input_file} {sides}"
        )
    header = type(cards)([card for card in cards.cards if not _OF_FORM.fullmatch(card.keyword)])
    write_stored(output_file, image._replace(pixels=values, header=header), {})
    return {}


def mTileHdr(
    orig: str, new: str, nx: int, ny: int, ix: int, iy: int, xpad: int = 0, ypad: int = 0, debug: int = 0
) -> dict[str, float]:
    """Write the template of one of nx by ny tiles, which together have all pixels of a template, each once.

    Parameters
    ----------
    orig, new
        The template, and that of the tile; all its other cards are the same.
    ix, iy
        Which tile, from 0.
    xpad, ypad
        Pixels more on each side, beyond the template's own too.
    debug
        Not used.
    nx, ny
        Tiles along x, and along y.

    Returns
    -------
    dict
        "naxis1", "naxis2", "crpix1", "crpix2".
    """
    if not all(float(number).is_integer() for number in (nx, ny, ix, iy, xpad, ypad)):
        raise InputError(f"tiles {nx}, {ny}, {ix}, {iy} and pads {xpad}, {ypad} must be whole numbers")
    if not (nx > 0 and ny > 0 and 0 <= ix < nx and 0 <= iy < ny):
        raise InputError(
            "(nx,ny) have to be positive integers and (ix,iy) have to be in the range (0..nx-1, 0..ny-1), "
            f"not ({nx},{ny}) and ({ix},{iy})"
        )
    if min(xpad, ypad) < 0:
        raise InputError(f"xpad and ypad are {xpad} and {ypad}: they must be numbers of pixels from 0")
    template_grid(orig)
    header = template_header(orig)
    told: dict[str, float] = {}
    for axis, n, i, pad in ((1, nx, ix, xpad), (2, ny, iy, ypad)):
        side = header[f"NAXIS{axis}"]
        first, last = side * i // n, side * (i + 1) // n
        if first == last:
            raise InputError(f"{n} tiles along axis {axis} are more than its {side} pixels")
        told |= {f"naxis{axis}": last - first + 2 * pad, f"crpix{axis}": header.get(f"CRPIX{axis}", 0.0) - first + pad}
    write_template(new, _with_values(template_text(orig), {key.upper(): value for key, value in told.items()}))
    return {key: told[key] for key in ("naxis1", "naxis2", "crpix1", "crpix2")}


def _with_values(text: str, values: dict[str, float]) -> str:
    """A template with other values; all other lines are as they were."""
    lines = []
    left = dict(values)
    for line in text.splitlines():
        key = line.partition("=")[0].strip().upper()
        if line.rstrip() == "END":
            break
        lines.append(card_text(key, left.pop(key)) if key in left else line.rstrip())
    return "\n".join([*lines, *(card_text(key, value) for key, value in left.items()), "END"]) + "\n"
