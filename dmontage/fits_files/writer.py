"""A product into a FITS file: by offset into a file beside its final name, renamed when it is whole."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from astropy.io import fits

from dmontage.aside import name_aside, sweep_aside
from dmontage.errors import InputError
from dmontage.fits_files.common import BLOCK
from dmontage.fits_files.digest import block_digests, cube_digest, image_digest
from dmontage.headers import table_hdus
from dmontage.places import MissingError, Url, place
from dmontage.window import LATTICE, Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

    from dmontage.grid import Grid
    from dmontage.places import Place

__all__ = ["FitsPixels", "FitsWriter", "check_writable"]


def check_writable(path: str | Place, suffixes: tuple[str, ...] | None = (".fits", ".fit", ".fts")) -> None:
    """Raise InputError, before any work is done, if a product cannot be written to ``path``; None allows any suffix."""
    there = place(path)
    if isinstance(there, Path) and there.is_dir():
        raise InputError(f"cannot write {path}: it is a folder; name a file")
    if suffixes is not None and there.suffix.lower() not in suffixes:
        raise InputError(f"cannot write {path}: name a file that ends in {' or '.join(suffixes)}, not compressed")
    if not there.name:
        raise InputError(f"cannot write {path}: it names no file")
    if isinstance(there, Url):
        probe = there.with_name(f".{there.name}.probe")
        try:
            probe.write_bytes(b"")
        except MissingError as error:
            raise InputError(f"cannot write {path}: there is no such bucket") from error
        probe.unlink()
        return
    sweep_aside(there.parent)  # once a run, not for each of thousands of tiles
    part = name_aside(there)
    try:
        part.touch()
        part.unlink()
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror}; create its folder, or choose another place"
        ) from error


class FitsPixels(NamedTuple):
    """Where the pixels of an image go in a file that is being written: small, for any process of this machine.

    The file is open while it is written to, not between: there may be any number of them (it takes 10 µs a window).
    """

    path: str
    device: int
    inode: int
    """Of the file: another one that has its name meanwhile is not written to."""
    start: int
    """Bytes before the first pixel."""
    shape: tuple[int, int]
    dtype: str

    def write(self, window: Window, values: NDArray[Any], plane: int = 0) -> dict[tuple[int, int], bytes]:
        """Write the pixels of a window, whose edges lie on the lattice of `LATTICE` or are those of the image.

        Returns
        -------
        dict
            The digests of its blocks, for `FitsWriter.note`.

        Raises
        ------
        FileNotFoundError
            Where there is no such file, or it is another one.
        """
        if window.shape != values.shape or window not in Window.of_shape(self.shape):
            raise ValueError(f"{values.shape} pixels for {window} do not belong into an image of {self.shape}")
        ends = zip((window.y1, window.x1), self.shape, strict=True)
        if window.y0 % LATTICE or window.x0 % LATTICE or any(e % LATTICE and e != n for e, n in ends):
            raise ValueError(f"{window} is not on the lattice of {LATTICE} pixels")
        data, (ny, nx) = values.astype(self.dtype), self.shape
        width = data.itemsize * (data.size if window.shape[1] == nx else window.shape[1])
        flat, first = data.reshape(-1).view(np.uint8).data, plane * ny + window.y0
        with Path(self.path).open("r+b", buffering=0) as file:
            there = os.fstat(file.fileno())
            if (there.st_dev, there.st_ino) != (self.device, self.inode):
                raise FileNotFoundError(f"{self.path} is another file")
            for k in range(0, len(flat), width):
                before = (first + k // width) * nx + window.x0
                _write_at(file.fileno(), flat[k : k + width], self.start + data.itemsize * before)
        return dict(block_digests(window, data))


class FitsWriter:
    """One image or cube, written window by window in any order beside its final name, and renamed when whole.

    Use as a context: leaving it by an exception removes what was written and leaves an existing file as it was.
    Several threads may write at once, and other processes by what `pixels` gives.

    Parameters
    ----------
    whole_numbers, wide
        Pixels are int32, or float64; else float32.
    tables
        HDUs that come behind.
    planes
        Of a cube (planes, ny, nx); ``cards`` tell its third axis. None for an image.
    """

    def __init__(
        self,
        path: str | Path,
        grid: Grid,
        cards: Iterable[tuple[str, Any, str]] = (),
        *,
        whole_numbers: bool = False,
        wide: bool = False,
        tables: Sequence[Any] = (),
        planes: int | None = None,
    ) -> None:
        self.path = Path(path)
        self._partial = name_aside(self.path)
        self._shape = grid.shape
        self._is_cube = planes is not None
        bitpix = 32 if whole_numbers else -64 if wide else -32
        header = fits.Header([("SIMPLE", True), ("BITPIX", bitpix)])
        for card in (*grid.to_header().cards, *cards):
            header.append(card, end=True)
        if planes is not None:
            header["NAXIS"] = 3
            header.set("NAXIS3", planes, after="NAXIS2")
        header.append(("DATAHASH", "0" * 64, ""), end=True)  # its room: known when all pixels are
        self._header = header
        self._dtype = {32: ">i4", -32: ">f4", -64: ">f8"}[bitpix]
        self._tables = [*table_hdus(grid.tables), *tables]
        self._pixels: FitsPixels | None = None
        self._blocks: list[dict[tuple[int, int], bytes]] = [{} for _ in range(planes or 1)]

    def __enter__(self) -> Self:
        ny, nx = self._shape
        try:
            with self._partial.open("wb") as file:
                there, start = os.fstat(file.fileno()), len(self._header.tostring(padding=True))
                self._pixels = FitsPixels(
                    str(self._partial.absolute()), there.st_dev, there.st_ino, start, self._shape, self._dtype
                )
                self._write_header(file)
                # Reserve the room first: a full disk is told now, not after the work.
                n_bytes = np.dtype(self._dtype).itemsize * ny * nx * len(self._blocks)
                os.posix_fallocate(file.fileno(), 0, start + _padded(n_bytes))
        except OSError as error:
            self._discard()
            raise InputError(
                f"cannot write {self.path}: {error.strerror}; choose another place for the output"
            ) from error
        return self

    @property
    def pixels(self) -> FitsPixels:
        """Where the pixels go."""
        if self._pixels is None:
            raise ValueError(f"{self.path} is not open")
        return self._pixels

    def write(self, window: Window, values: NDArray[Any], plane: int = 0) -> None:
        """Write the pixels of a window, as `FitsPixels.write` does."""
        self.note(self.pixels.write(window, values, plane), plane)

    def note(self, blocks: Mapping[tuple[int, int], bytes], plane: int = 0) -> None:
        """What was written, here or by another process: the digests of its blocks."""
        self._blocks[plane].update(blocks)

    @property
    def digest(self) -> str:
        """That of the pixels, once the file is whole."""
        return str(self._header["DATAHASH"])

    def _write_header(self, file: BinaryIO) -> None:
        text = self._header.tostring(padding=True).encode("ascii")
        _write_at(file.fileno(), memoryview(text), 0)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None or self._pixels is None:
            self._discard()
            return
        try:
            self._finish()
        except BaseException:
            self._discard()
            raise

    def _finish(self) -> None:
        planes = [image_digest(blocks, self._shape) for blocks in self._blocks]
        self._header["DATAHASH"] = (cube_digest(planes) if self._is_cube else planes[0], "")
        with self._partial.open("r+b") as file:
            self._write_header(file)
            file.seek(0, os.SEEK_END)
            for hdu in self._tables:
                file.write(_extension(hdu))
            file.flush()
            os.fsync(file.fileno())
        self._pixels = None
        self._partial.replace(self.path)

    def _discard(self) -> None:
        if self._pixels is not None:
            self._partial.unlink(missing_ok=True)
            self._pixels = None


def _write_at(file: int, data: memoryview, offset: int) -> None:
    while len(data):
        n = os.pwrite(file, data, offset)
        data, offset = data[n:], offset + n


def _extension(hdu: Any) -> bytes:
    """An extension as it lies in a file."""
    out = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(out)
    return out.getvalue()[BLOCK:]


def _padded(n: int) -> int:
    return n + -n % BLOCK
