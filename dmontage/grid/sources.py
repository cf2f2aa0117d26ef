"""Sources: what a grid is made from, a header, a file, an astropy WCS or any other WCS object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from astropy.io.fits import HDUList, Header, VerifyError
from astropy.wcs import WCS
from astropy.wcs.wcsapi import BaseHighLevelWCS, BaseLowLevelWCS

from dmontage.errors import InputError
from dmontage.grid.objects import SkyObject, pack_object
from dmontage.headers import (
    cards_text,
    checked_cards,
    checked_shape,
    find_tables,
    header_of,
    header_text,
    needs_tables,
    parse_header,
    tables_of_wcs,
)
from dmontage.places import Url, brought

__all__ = ["described"]


def described(source: Any, shape: tuple[int, ...] | None, hdus: HDUList | None) -> tuple[str, tuple[int, int], bytes]:
    """Cards, shape (ny, nx) and tables of the grid that a source describes, as `Grid.from_header` takes it."""
    if isinstance(source, WCS):
        return _of_header(header_of(source), shape if shape is not None else source.array_shape, tables_of_wcs(source))
    if isinstance(source, (BaseLowLevelWCS, BaseHighLevelWCS)):
        return _of_object(source, shape)
    if isinstance(source, (str, Path, Url)):
        path, source = source, parse_header(header_text(source), name=str(source))
        if hdus is None and needs_tables(source) and not str(path).lower().endswith(".hdr"):
            with brought(path) as copy, HDUList.fromfile(copy, memmap=False) as own:
                return described(source, shape, own)
    if not isinstance(source, (Header, dict)):
        raise InputError(f"a grid is made from a header, a WCS or a path, not from {type(source).__name__}")
    try:
        return _of_header(source, shape, find_tables(source, hdus))
    except VerifyError as error:  # of a card that is none of the WCS's own, which the gate names
        raise InputError(f"the header cannot be read: {error}") from error


def _of_header(
    header: Header | dict[str, Any], shape: tuple[int, ...] | None, tables: bytes
) -> tuple[str, tuple[int, int], bytes]:
    return cards_text(checked_cards(header, tables)), checked_shape(header, shape), tables


def _of_object(source: Any, shape: tuple[int, ...] | None) -> tuple[str, tuple[int, int], bytes]:
    low = source.low_level_wcs if isinstance(source, BaseHighLevelWCS) else source
    SkyObject(low).check()
    shape = shape if shape is not None else low.array_shape
    return "", checked_shape(Header(), shape), pack_object(low)
