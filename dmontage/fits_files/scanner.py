"""The scan: which HDUs of which files are usable images, and why the others are not."""

from __future__ import annotations

import gzip
import os
import re
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from dmontage.errors import InputError
from dmontage.fits_files.common import BLOCK, first_line, quiet
from dmontage.fits_files.plain import Plain, plain_image
from dmontage.grid import Grid
from dmontage.headers import needs_tables
from dmontage.model import ImageRef, Images, Skipped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["SUFFIXES", "scan"]

SUFFIXES = (".fits", ".fit", ".fts", ".fz", ".gz")
"""Names that are taken from a folder; of ``.gz`` only ``.fits.gz`` and the like."""

_NOT_IMAGES = re.compile(
    r"ERR(OR)?|DQ|FLAGS?|WHT|WEIGHT|VAR(_.*|IANCE)?|IVAR|INVVAR|UNCERT(AINTY)?|STDDEV|SIGMA|RMS|(BAD)?MASK|CON|CTX|AREA"
    r"|BKG|BACKGROUND|EXP(TIME|OSURE)?|COV(ERAGE)?|HITS"
)
"""EXTNAMEs that accompany an image."""


def scan(inputs: str | Path | Iterable[str | Path], *, strict: bool = False) -> Images:
    """Find the images in files and folders.

    Parameters
    ----------
    inputs
        Files and folders (searched with all below them) in any mix. From folders, ``x_area.fits`` files and mosaics
        that dmontage wrote are left out.
    strict
        Raise at the first file that cannot be used, instead of skipping it.

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
    for path, named in paths.items():
        try:
            found, left = _scan_file(path, named=named)
            if not found:
                raise InputError("; ".join(left) or "holds no image")
        except InputError as error:
            if strict:
                raise InputError(f"{path}: {error}") from error
            skipped.append(Skipped(path.name, str(error)))
            continue
        refs += found
        skipped += [Skipped(path.name, reason) for reason in left]
    if not refs:
        raise InputError("no usable image:\n" + "\n".join(f"  {s}" for s in skipped))
    refs.sort(key=lambda ref: ref.order)
    return Images(tuple(refs), tuple(skipped))


def _find(inputs: str | Path | Iterable[str | Path]) -> tuple[dict[Path, bool], list[Skipped]]:
    """Files to look into, each with True where it was named itself; and what a folder holds besides."""
    items = [inputs] if isinstance(inputs, (str, Path)) else list(inputs)
    if not items:
        raise InputError("no image was given: name files or folders")
    paths: dict[Path, bool] = {}
    skipped: list[Skipped] = []
    for item in items:
        path = Path(item)
        if path.is_dir():
            for child in sorted(path.rglob("*")):
                if not child.is_file() or not _is_fits_name(child) or child.name.startswith("."):
                    continue
                if _stem(child).endswith("_area"):
                    skipped.append(Skipped(child.name, "an area file, not an image"))
                else:
                    paths.setdefault(child.resolve(), False)
        elif path.exists():
            paths[path.resolve()] = True
        else:
            raise InputError(f"{path}: no such file or folder")
    if not paths:
        raise InputError(f"no FITS file ({', '.join(SUFFIXES)}) in {', '.join(map(str, items))}")
    return paths, skipped


def _stem(path: Path) -> str:
    """Name without the suffixes of a FITS file; it may have other dots."""
    while path.suffix.lower() in SUFFIXES:
        path = path.with_suffix("")
    return path.name


def _is_fits_name(path: Path) -> bool:
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    return bool(suffixes) and suffixes[-1] in SUFFIXES and (suffixes[-1] != ".gz" or suffixes[0] in SUFFIXES[:3])


def _scan_file(path: Path, *, named: bool) -> tuple[list[ImageRef], list[str]]:
    """The images of one file, and the reasons for which HDUs of it were left out."""
    refs: list[ImageRef] = []
    left: list[str] = []
    try:
        stat = path.stat()
        plain = plain_image(path, stat.st_size)
        n_bytes = stat.st_size if plain else _real_bytes(path, stat.st_size)
        opened = nullcontext([plain]) if plain else fits.open(path, memmap=False, lazy_load_hdus=True)
        with quiet, opened as hdus:
            for index, hdu in _each(hdus, n_bytes):
                reason = _not_an_image(hdu, named=named)
                if reason is None:
                    _check_extent(hdu, n_bytes)
                    if needs_tables(hdu.header):
                        _check_tables(hdus, n_bytes)
                    try:
                        grid = Grid.from_header(hdu.header, hdu.shape, hdus)
                    except InputError as error:
                        reason = str(error)
                    else:
                        bunit = str(hdu.header.get("BUNIT", "")).strip()
                        planes = tuple(side for side in hdu.shape[:-2] if side != 1)
                        refs.append(ImageRef(str(path), index, grid, bunit, stat.st_size, stat.st_mtime_ns, planes))
                if reason:
                    left.append(f"HDU {index}: {reason}")
    except InputError:
        raise
    except Exception as error:  # damage shows as OSError, TypeError, ValueError, VerifyError, EOFError, ...
        raise InputError(f"not a readable FITS file: {first_line(error)}") from error
    return refs, left


def _each(hdus: Any, n_bytes: int) -> Iterator[tuple[int, Any]]:
    """The HDUs one by one; a compressed file is not read past the end of its last."""
    index = 0
    while True:
        try:
            hdu = hdus[index]
        except IndexError:
            return
        yield index, hdu
        info = hdu.fileinfo()
        if info is not None and info["datLoc"] + info["datSpan"] >= n_bytes:
            return
        index += 1


def _not_an_image(hdu: Any, *, named: bool) -> str | None:
    """Why an HDU is no image of the sky; an empty string where that goes without saying."""
    if not isinstance(hdu, (Plain, fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)):
        return ""
    shape = hdu.shape
    if len(shape) < 2:
        return ""
    if str(hdu.header.get("CREATOR", "")).startswith("dmontage"):
        if hdu.header.get("BUNIT") == "sr":
            return "an area that dmontage wrote, not an image"
        if not named:
            return "a mosaic that dmontage wrote; name the file itself to use it"
    name = str(hdu.header.get("EXTNAME", "")).strip().upper()
    return f"extension {name} accompanies an image" if _NOT_IMAGES.fullmatch(name) else None


def _check_extent(hdu: Any, n_bytes: int) -> None:
    """Compare what the header claims with what the file has."""
    info = hdu.fileinfo()
    if info is None:
        return
    claimed = abs(hdu.header["BITPIX"]) // 8 * int(np.prod(hdu.shape, dtype=object))
    if isinstance(hdu, fits.CompImageHDU):
        claimed = info["datSpan"] - BLOCK + 1  # its table is what lies in the file, and may lack its last padding
    there = n_bytes - info["datLoc"]
    if claimed > there:
        raise InputError(f"truncated: its header claims {claimed} bytes of pixels, the file has {max(there, 0)}")


def _check_tables(hdus: fits.HDUList, n_bytes: int) -> None:
    """The same for the HDUs in which lookup tables lie."""
    for hdu in hdus:
        if isinstance(hdu, fits.BinTableHDU) or hdu.name in ("WCSDVARR", "D2IMARR"):
            info = hdu.fileinfo()
            if info is not None and info["datLoc"] + hdu.size > n_bytes:
                raise InputError(f"truncated: its table {hdu.name} claims {hdu.size} bytes, more than the file has")


def _real_bytes(path: Path, size: int) -> int:
    """Bytes of the file, decompressed: told by the last four bytes of a gzip file, or by reading it through."""
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return size
        file.seek(-4, os.SEEK_END)
        told = int.from_bytes(file.read(4), "little")
    if told % BLOCK == 0 and told >= size // 2:
        return told
    total = 0
    with gzip.open(path) as stream:
        while block := stream.read(1 << 22):
            total += len(block)
    return total
