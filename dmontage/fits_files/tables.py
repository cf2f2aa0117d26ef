"""Tables that users name: by their paths, in whatever format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmontage.errors import InputError, UnreachableError
from dmontage.fits_files.common import first_line, quiet
from dmontage.places import brought, place

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["read_table"]


def read_table(path: str, asked_by: str, way_out: str = "give the path of one") -> Table:
    """A table in any format that astropy knows by its name or content, or guesses: FITS, VOTable, ECSV, IPAC, ...

    Raises
    ------
    InputError
        If there is no such file, or it is no table; told as ``asked_by``.
    """
    from astropy.io.registry import IORegistryError
    from astropy.table import Table

    if not place(path).is_file():
        raise InputError(f"{asked_by}: there is no table {path!r}; {way_out}")
    try:
        with quiet, brought(path) as copy:
            try:
                table = Table.read(copy)
            except IORegistryError:  # .tbl and .txt are not known by their names
                table = Table.read(copy, format="ascii")
    except UnreachableError:
        raise
    except Exception as error:  # each reader has its own errors
        raise InputError(f"{asked_by}: {path} cannot be read as a table: {first_line(error)}") from error
    table.convert_bytestring_to_unicode()
    return table
