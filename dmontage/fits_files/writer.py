"""A product into a FITS file: streamed beside its final name, renamed when it is whole."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from astropy.io import fits

from dmontage.errors import InputError
from dmontage.fits_files.common import BLOCK
from dmontage.headers import table_hdus

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

    from dmontage.grid import Grid

__all__ = ["FitsWriter", "check_writable"]


def check_writable(path: str | Path, suffixes: tuple[str, ...] | None = (".fits", ".fit", ".fts")) -> None:
    """Raise InputError, before any work is done, if a product cannot be written to ``path``; None allows any suffix."""
    probe = _partial(Path(path))
    if Path(path).is_dir():
        raise InputError(f"cannot write {path}: it is a folder; name a file")
    if suffixes is not None and Path(path).suffix.lower() not in suffixes:
        raise InputError(f"cannot write {path}: name a file that ends in {' or '.join(suffixes)}, not compressed")
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror}; create its folder, or choose another place"
        ) from error


class FitsWriter:
    """One float32 image, written band by band beside its final name and renamed when whole.

    Use as a context: leaving it by an exception removes what was written and leaves an existing file as it was.
    """

    def __init__(self, path: str | Path, grid: Grid, cards: Iterable[tuple[str, Any, str]] = ()) -> None:
        self.path = Path(path)
        self._partial = _partial(self.path)
        self._shape = grid.shape
        header = fits.Header([("SIMPLE", True), ("BITPIX", -32)])
        for card in (*grid.to_header().cards, *cards):
            header.append(card, end=True)
        self._header = header
        self._tables = table_hdus(grid.tables)
        self._rows = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        ny, nx = self._shape
        try:
            self._file = self._partial.open("wb")
            self._file.write(self._header.tostring(padding=True).encode("ascii"))
            # Reserve the room first: a full disk is told now, not after the work.
            os.posix_fallocate(self._file.fileno(), 0, self._file.tell() + _padded(4 * ny * nx))
        except OSError as error:
            self._discard()
            raise InputError(
                f"cannot write {self.path}: {error.strerror}; choose another place for the output"
            ) from error
        return self

    def write_rows(self, rows: NDArray[Any]) -> None:
        """Append rows of pixels, shape (n, nx)."""
        if self._file is None or rows.shape[1] != self._shape[1]:
            raise ValueError(f"rows of shape {rows.shape} do not belong into an image of shape {self._shape}")
        self._file.write(rows.astype(">f4").tobytes())
        self._rows += rows.shape[0]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None or self._file is None:
            self._discard()
            return
        if self._rows != self._shape[0]:
            self._discard()
            raise ValueError(f"{self.path}: {self._rows} of {self._shape[0]} rows were written")
        self._file.write(b"\0" * (-self._file.tell() % BLOCK))
        for hdu in self._tables:
            self._file.write(_extension(hdu))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._partial.replace(self.path)

    def _discard(self) -> None:
        if self._file is not None:
            self._file.close()
            self._partial.unlink(missing_ok=True)


def _extension(hdu: Any) -> bytes:
    """An extension as it lies in a file."""
    out = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(out)
    return out.getvalue()[BLOCK:]


def _partial(path: Path) -> Path:
    """Name under which a product is written before it is whole."""
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def _padded(n: int) -> int:
    return n + -n % BLOCK
