"""Montage's tables: of images, of pairs, of fits and of corrections, in IPAC's format.

Numbers are written with all their digits, Montage's own have six to ten; both read either.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dmontage.aside import write_together
from dmontage.errors import InputError
from dmontage.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astropy.table import Table

__all__ = ["INVALID_IMAGES", "ImageRow", "grid_of_row", "read_images", "read_rows", "write_rows", "write_tables"]


INVALID_IMAGES = "Invalid image metadata file: {}"
"""What Montage says of an image table that is none."""


def read_rows(
    path: str, columns: Sequence[str] | Mapping[str, type], invalid: str = "Invalid table file: {}"
) -> list[dict[str, Any]]:
    """The rows of a table, names of columns in small letters, blank as None.

    Parameters
    ----------
    columns
        Those that must be there; where it tells what they hold (int, float or str), all rows must have such a value.
    invalid
        What the error says where the file is no table; `{}` is its name.

    Raises
    ------
    InputError
        If there is no such file, it is no IPAC table, or it lacks a column, or a row a value.
    """
    from astropy.table import Table

    try:
        table = Table.read(path, format="ascii.ipac")
    except FileNotFoundError as error:
        raise InputError(f"{invalid.format(path)}: there is no such file") from error
    except Exception as error:  # astropy's reader raises of lines, values and units
        raise InputError(f"{invalid.format(path)}: it is no IPAC table ({error})") from error
    names = {name.lower(): name for name in table.colnames}
    if "file" in names:  # as archives, and planners of workflows, call it
        names.setdefault("fname", names["file"])
    if missing := [name for name in columns if name not in names]:
        raise InputError(f"Need columns: {' '.join(columns)}; {path} has no {', '.join(missing)}")
    rows = [{name: _plain(row[column]) for name, column in names.items()} for row in table]
    if isinstance(columns, dict):
        for number, row in enumerate(rows, 1):
            row |= {name: _of_kind(kind, row[name], f"{path}, row {number}: {name}") for name, kind in columns.items()}
    return rows


def _of_kind(kind: type, value: Any, name: str) -> Any:
    try:
        if value is not None and (kind is not float or math.isfinite(value)):
            return kind(value)
    except (TypeError, ValueError):
        pass
    told = "nothing" if value is None else repr(value)
    raise InputError(f"{name} is {told}: it must be a {'text' if kind is str else 'number'}")


def write_rows(path: str, columns: dict[str, type], rows: Sequence[Sequence[Any]]) -> None:
    """Write a table; beside its name first, and renamed when whole.

    Parameters
    ----------
    columns
        Names, and what they hold: int, float or str.
    rows
        A value for each column; None is blank.
    """
    write_tables([(path, columns, rows)])


def write_tables(tables: Sequence[tuple[str, dict[str, type], Sequence[Sequence[Any]]]]) -> None:
    """Write tables that belong together, as `write_rows` does: all get their names when all are whole."""
    write_together([(Path(path), partial(_write, columns, rows)) for path, columns, rows in tables])


def _write(columns: dict[str, type], rows: Sequence[Sequence[Any]], path: Path) -> None:
    from astropy.io.ascii import masked

    _table(columns, rows).write(path, format="ascii.ipac", overwrite=True, fill_values=[(masked, "")])


def _table(columns: dict[str, type], rows: Sequence[Sequence[Any]]) -> Table:
    from astropy.table import MaskedColumn, Table

    table = Table()
    for number, (name, kind) in enumerate(columns.items()):
        values = [row[number] for row in rows]
        told = [kind() if value is None else value for value in values]
        table[name] = MaskedColumn(told, dtype=kind, mask=[value is None for value in values])
    return table


def _plain(value: Any) -> Any:
    import numpy as np

    if value is np.ma.masked:
        return None
    return str(value).strip() if isinstance(value, str) else value.item()


class ImageRow(NamedTuple):
    """A row of an image table."""

    cntr: int
    name: str
    """Of the file, as the table has it."""
    path: str
    """The file."""
    hdu: int
    row: dict[str, Any]
    """All of it."""


def read_images(path: str, folder: str = "") -> list[ImageRow]:
    """The rows of an image table (of mImgtbl); files lie in a folder, or where their names say."""
    rows = read_rows(path, {"cntr": int, "fname": str}, INVALID_IMAGES)
    return [
        ImageRow(row["cntr"], row["fname"], str(Path(folder, row["fname"])), int(row.get("hdu") or 0), row)
        for row in rows
    ]


_CARDS = ("naxis1", "naxis2", "ctype1", "ctype2", "crpix1", "crpix2", "crval1", "crval2", "cdelt1", "cdelt2", "crota2",
          "radesys", "equinox")  # fmt: skip


def grid_of_row(row: dict[str, Any], path: str = "") -> Grid:
    """The grid that a row of an image table tells: to the digits that the table has, and without distortions."""
    if missing := [name for name in _CARDS[:10] if row.get(name) is None]:
        raise InputError(f"{INVALID_IMAGES.format(path)}: it has no {', '.join(missing)}")
    cards = {name.upper(): row[name] for name in _CARDS if row.get(name) is not None}
    return Grid.from_header({"NAXIS": 2} | cards)
