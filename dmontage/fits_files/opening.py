"""Opening FITS files, wherever they lie."""

from __future__ import annotations

import gzip
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astropy.io import fits

from dmontage.places import Place, Ranges, place

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["opened"]


@contextmanager
def opened(path: str | Place) -> Iterator[fits.HDUList]:
    """The HDUs of a file, plain or gzipped; no data are read, nor mapped, before they are asked for.

    Of an object only the ranges are fetched that are asked for, unless it is gzipped.
    """
    there = place(path)
    if isinstance(there, Path):
        with fits.open(there, memmap=False, lazy_load_hdus=True) as hdus:
            yield hdus
        return
    file = there.open()
    raw = file.raw
    assert isinstance(raw, Ranges)
    source: Any = gzip.GzipFile(fileobj=file) if raw.is_gzip else file
    try:
        with fits.open(source, memmap=False, lazy_load_hdus=True) as hdus:
            yield hdus
    except Exception:
        if raw.failure is None:
            raise
    if raw.failure is not None:  # astropy takes some errors for the end of a file
        raise raw.failure
