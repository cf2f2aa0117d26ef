"""The scan: which HDUs of which files are usable images, and why the others are not."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astropy.io import fits

from dmontage.errors import InputError, UnreachableError
from dmontage.fits_files.common import first_line, quiet
from dmontage.fits_files.opening import opened
from dmontage.fits_files.plain import Plain, plain_image
from dmontage.fits_files.structure import hdu_starts
from dmontage.grid import Grid
from dmontage.model import ACCOMPANIES, ImageRef, Images, Skipped, none_usable
from dmontage.places import Place, Url, place, with_heads

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["is_fits_name", "layer_of", "scan"]

_SUFFIXES = (".fits", ".fit", ".fts", ".fz", ".gz")
"""Names that are taken from a folder; of ``.gz`` only ``.fits.gz`` and the like."""

_NOT_IMAGES = re.compile(
    r"ERR(OR)?|DQ|FLAGS?|WHT|WEIGHT|VAR(_.*|IANCE)?|IVAR|INVVAR|UNCERT(AINTY)?|STDDEV|SIGMA|RMS|(BAD)?MASK|CON|CTX|AREA"
    r"|BKG|BACKGROUND|EXP(TIME|OSURE)?|COV(ERAGE)?|HITS"
)
"""EXTNAMEs that accompany an image."""

_NO_FILE = "not a file to read from: a pipe, socket, device, or a link that leads nowhere"


def scan(
    inputs: str | Place | Iterable[str | Place],
    *,
    strict: bool = False,
    mosaics: bool = False,
    companions: bool = False,
) -> Images:
    """Find the images in files and folders.

    Parameters
    ----------
    inputs
        Files, folders (searched with all below them), and URLs of either, in any mix. From folders, ``x_area.fits``
        files and mosaics that dmontage wrote are left out.
    strict
        Raise at the first file that cannot be used, instead of skipping it.
    mosaics
        Take mosaics that dmontage wrote from folders too.
    companions
        Of files that are named themselves, take areas, variances and counts too that dmontage wrote beside a mosaic.

    Returns
    -------
    Images
        In order of name and HDU, whatever the order of the inputs; with what was skipped, and why.

    Raises
    ------
    InputError
        If there is no FITS file at all, none that is usable, or (``strict``) one that is not.
    """
    paths, skipped = _find(inputs)
    refs: list[ImageRef] = []
    for path in with_heads(paths):
        try:
            found, left = _scan_file(path, named=paths[path] or mosaics, companions=companions and paths[path])
            if not found:
                raise InputError("; ".join(left) or "holds no image")
        except UnreachableError:
            raise
        except InputError as error:
            if strict:
                raise InputError(f"{path}: {error}") from error
            skipped.append(Skipped(path.name, str(error)))
            continue
        refs += found
        skipped += [Skipped(path.name, reason) for reason in left]
    if not refs:
        raise none_usable(skipped)
    refs.sort(key=lambda ref: ref.order)
    return Images(tuple(refs), tuple(skipped))


def _find(inputs: str | Place | Iterable[str | Place]) -> tuple[dict[Place, bool], list[Skipped]]:
    """Files to look into, each with True where it was named itself; and what a folder holds besides."""
    items = [inputs] if isinstance(inputs, (str, Path, Url)) else list(inputs)
    if not items:
        raise InputError("no image was given: name files or folders")
    paths: dict[Place, bool] = {}
    skipped: list[Skipped] = []
    for item in items:
        path = place(item)
        if (inside := _inside(path)) is not None:
            for child in inside:
                if not is_fits_name(child) or child.name.startswith("."):
                    continue
                if isinstance(child, Url):
                    if not child.is_plain:
                        skipped.append(Skipped(child.name, "its key has '?', '#' or an empty part: rename it"))
                        continue
                elif not child.is_file():  # opening a pipe would wait for ever, and a device never ends
                    skipped.append(Skipped(child.name, _NO_FILE))
                    continue
                if _stem(child).endswith("_area"):
                    skipped.append(Skipped(child.name, "an area file, not an image"))
                else:
                    paths.setdefault(child.resolve(), False)
        elif path.exists() and not path.is_file():
            skipped.append(Skipped(path.name, _NO_FILE))
        elif path.exists():
            paths[path.resolve()] = True
        else:
            raise InputError(f"{path}: no such file or folder")
    if not paths and not skipped:
        raise InputError(f"no FITS file ({', '.join(_SUFFIXES)}) in {', '.join(map(str, items))}")
    return paths, skipped


def _inside(path: Place) -> list[Path] | list[Url] | None:
    """What a folder holds, with all below, but the folders themselves; None where it is none."""
    if isinstance(path, Path):
        return sorted(child for child in path.rglob("*") if not child.is_dir()) if path.is_dir() else None
    return None if is_fits_name(path) and path.is_file() else list(path.below()) or None


def _stem(path: Place) -> str:
    """Name without the suffixes of a FITS file; it may have other dots."""
    while path.suffix.lower() in _SUFFIXES:
        path = path.with_suffix("")
    return path.name


def is_fits_name(path: Place) -> bool:
    """Whether a file's name ends as those of FITS files do, compressed ones too."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    return bool(suffixes) and suffixes[-1] in _SUFFIXES and (suffixes[-1] != ".gz" or suffixes[0] in _SUFFIXES[:3])


def _scan_file(path: Place, *, named: bool, companions: bool) -> tuple[list[ImageRef], list[str]]:
    """The images of one file, and the reasons for which HDUs of it were left out."""
    refs: list[ImageRef] = []
    left: list[str] = []
    try:
        stat = path.stat()
        plain = plain_image(path, stat.st_size)
        starts = [0] if plain else hdu_starts(path, stat.st_size)  # a plain file's structure is looked at already
        with quiet, nullcontext([plain]) if plain else opened(path) as hdus:
            for index, hdu in _each(hdus, starts):
                try:
                    reason = _not_an_image(hdu, named=named, companions=companions)
                    if reason is None:
                        grid = Grid.from_header(hdu.header, hdu.shape, hdus)
                        bunit = str(hdu.header.get("BUNIT", "")).strip()
                        planes = tuple(side for side in hdu.shape[:-2] if side != 1)
                        headers = hdu.header, hdus[0].header
                        told = _band(*headers), _number("MAGZP", *headers), _number("EXPTIME", *headers)
                        size, stamp = stat.st_size, stat.st_mtime_ns
                        refs.append(ImageRef(str(path), index, grid, bunit, size, stamp, planes, *told))
                except InputError as error:
                    reason = str(error)
                except fits.VerifyError as error:
                    reason = first_line(error)
                if reason:
                    left.append(f"HDU {index}: {reason}")
    except InputError:
        raise
    except Exception as error:  # damage shows as OSError, TypeError, ValueError, VerifyError, EOFError, ...
        raise InputError(f"not a readable FITS file: {first_line(error)}") from error
    return refs, left


def _each(hdus: Any, starts: list[int]) -> Iterator[tuple[int, Any]]:
    """The HDUs one by one; a compressed file is not read past the end of its last."""
    for index, start in enumerate(starts):
        hdu = hdus[index]
        info = hdu.fileinfo()
        if info is not None and info["datLoc"] != start:
            raise InputError(f"its HDU {index} has an END card in a form that can be read in two ways")
        yield index, hdu


def _band(*headers: Any) -> str:
    """FILTER or BAND of the first header that has any."""
    words = (_card(header, key) for header in headers for key in ("FILTER", "BAND"))
    return next((text for word in words if word is not None and (text := str(word).strip())), "")


def _card(header: Any, key: str) -> object:
    """A card that warnings alone need; None where it is not there, or damaged."""
    try:
        return header.get(key)
    except fits.VerifyError:
        return None


def _number(key: str, *headers: Any) -> float | None:
    """Of the first header that has a number by this name."""
    values = [_card(header, key) for header in headers]
    return next((float(v) for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)), None)


def layer_of(header: Any) -> str:
    """Which layer of a mosaic that dmontage wrote a header is of: "data", "area", "variance", "depth", ...

    Whatever else there is are data.
    """
    if not str(header.get("CREATOR", "")).startswith("dmontage"):
        return "data"
    return "area" if header.get("BUNIT") == "sr" else str(header.get("CONTENT", "data"))


def _not_an_image(hdu: Any, *, named: bool, companions: bool) -> str | None:
    """Why an HDU is no image of the sky; an empty string where that goes without saying."""
    if not isinstance(hdu, (Plain, fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)):
        return ""
    shape = hdu.shape
    if len(shape) < 2:
        return ""
    if str(hdu.header.get("CREATOR", "")).startswith("dmontage"):
        if layer_of(hdu.header) == "area" and not companions:
            return "an area that dmontage wrote, not an image"
        if "CONTENT" in hdu.header and not companions:
            return f"{hdu.header['CONTENT']} of a mosaic that dmontage wrote, not an image"
        if not named:
            return "a mosaic that dmontage wrote; name the file itself to use it"
    name = str(hdu.header.get("EXTNAME", "")).strip().upper()
    return f"extension {name} {ACCOMPANIES}" if _NOT_IMAGES.fullmatch(name) else None
