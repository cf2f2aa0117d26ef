"""mImgtbl: the images of a folder as a table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dmontage.errors import InputError
from dmontage.fits_files import is_fits_name, scan
from dmontage.log import LOGGER
from dmontage.montage.image_row import COLUMNS, CORNERS, CUBES, image_row
from dmontage.montage.tables import read_rows, write_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dmontage.model import ImageRef

__all__ = ["mImgtbl"]


def mImgtbl(
    pathname: str,
    tblname: str,
    recursiveMode: bool = False,
    processAreaFiles: bool = False,
    haveCubes: bool = True,
    noGZIP: bool = False,
    showCorners: bool = True,
    showinfo: bool = False,
    showbad: bool = False,
    imgListFile: str = "",
    fieldListFile: str = "",
    debug: int = 0,
) -> dict[str, Any]:
    """Make a table of the images in a folder, in the order of their names.

    Parameters
    ----------
    pathname
        The folder.
    tblname
        The table.
    recursiveMode
        Look into folders below, too.
    processAreaFiles
        Take ``x_area.fits``, too.
    haveCubes
        Have columns for axes 3 and 4.
    noGZIP
        Leave out ``.gz``.
    showCorners
        Have columns for the corners, equatorial J2000.
    showinfo
        Log what is left out, and why.
    showbad
        Give what is left out a row of zeros.
    imgListFile
        A table with ``fname``, names in the folder, instead of all files there.
    fieldListFile
        A line "KEYWORD type width" for each more column: the keyword's value; the type is char, int or double.
    debug
        Not used.

    Returns
    -------
    dict
        "count" of rows, "nfile", "nhdu" (images and what may be), "badfits" files, "badwcs" HDUs, and "skipped", a
        list of what was left out, with reasons.
    """
    fields = _fields(fieldListFile) if fieldListFile else {}
    files = _listed(pathname, imgListFile) if imgListFile else _found(pathname, recursiveMode, processAreaFiles)
    looks = [_look(file, name) for file, name in files if not (noGZIP and name.lower().endswith(".gz"))]
    columns = COLUMNS | fields | (CUBES if haveCubes else {}) | (CORNERS if showCorners else {}) | _LAST
    rows: list[dict[str, Any]] = []
    for look in looks:
        rows += [image_row(ref, fields) | {"fname": look.name} for ref in look.refs]
        if showbad:
            rows += [_zeros(columns) | {"hdu": hdu, "fname": look.name} for hdu in look.bad_hdus]
    table = [[number, *(row.get(name) for name in list(columns)[1:])] for number, row in enumerate(rows)]
    skipped = [f"{look.name}: {reason}" for look in looks for reason in look.reasons]
    if showinfo:
        for text in skipped:
            LOGGER.info("%s", text)
    write_rows(tblname, columns, table)
    bad_hdus = sum(len(look.bad_hdus) for look in looks)
    return {
        "count": len(rows),
        "nfile": len(looks),
        "nhdu": sum(len(look.refs) for look in looks) + bad_hdus,
        "badfits": sum(look.is_bad for look in looks),
        "badwcs": bad_hdus,
        "skipped": skipped,
    }


_LAST = {"radesys": str, "size": int, "hdu": int, "fname": str}
"""What Montage has last, and a column that tells FK5 from ICRS, which differ by 0.02 arcsec: both are J2000."""


class _Look(NamedTuple):
    """What one file holds."""

    name: str
    refs: tuple[ImageRef, ...]
    reasons: tuple[str, ...]
    """Why what was left out."""
    bad_hdus: tuple[int, ...]
    is_bad: bool
    """It is no FITS file, or a damaged one."""


_HDU = re.compile(r"(?:^|; )HDU (\d+): ")


def _look(file: Path, name: str) -> _Look:
    try:
        found = scan(file)
        refs, reasons = found.refs, tuple(skipped.reason for skipped in found.skipped)
    except InputError as error:
        refs, reasons = (), (str(error).partition("\n")[2].partition(": ")[2] or str(error),)
    bad = tuple(int(number) for reason in reasons for number in _HDU.findall(reason))
    is_bad = bool(reasons) and not refs and not bad and reasons != ("holds no image",)
    return _Look(name, refs, reasons, bad, is_bad)


def _found(pathname: str, recursive: bool, areas: bool) -> Iterator[tuple[Path, str]]:
    """Files of a folder, and their names in the table: whole ones where the folder's is whole, as in Montage."""
    folder = Path(pathname)
    if not folder.is_dir():
        raise InputError(f"Cannot access {pathname}: it is no folder; to take some files only, give imgListFile")
    for file in sorted(folder.rglob("*") if recursive else folder.iterdir()):
        stem = re.sub(r"(\.(fits?|fts|fz|gz))+$", "", file.name, flags=re.IGNORECASE)
        if file.name.startswith(".") or not is_fits_name(file) or (stem.endswith("_area") and not areas):
            continue
        if not file.is_file():
            continue
        yield file, str(file if folder.is_absolute() else file.relative_to(folder))


def _listed(pathname: str, path: str) -> list[tuple[Path, str]]:
    names = [row["fname"] for row in read_rows(path, {"fname": str}, "Cannot open image list file: {}")]
    return [(Path(pathname, name), name) for name in names]


_TYPES = {"char": str, "int": int, "integer": int, "double": float, "float": float}


def _fields(path: str) -> dict[str, type]:
    """More columns: keyword, type and width a line; widths follow from the values here."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Cannot open field list file: {path} ({error})") from error
    fields = {}
    for words in (line.split() for line in lines):
        if words:
            kind = _TYPES.get(words[1].lower() if len(words) > 1 else "char")
            if kind is None:
                raise InputError(f"Illegal field type {words[1]!r} in {path}: give char, int or double")
            fields[words[0].lower()] = kind
    if both := sorted(fields.keys() & (COLUMNS | CUBES | CORNERS | _LAST).keys()):
        raise InputError(f"{path}: {', '.join(both)} are columns already")
    return fields


def _zeros(columns: dict[str, type]) -> dict[str, Any]:
    return {name: None if kind is str or name in CUBES else kind() for name, kind in columns.items()}
