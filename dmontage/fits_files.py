"""FITS files: the only place that opens them (level 3).

`scan` is the gate: every file and HDU is either a usable image or is skipped with a reason, before any pixel is read,
and nothing is allocated because a header claims it. `read` gives native floats with NaN for blank. `FitsWriter` streams
a product into a file beside its final name and renames it when it is whole.
"""

from __future__ import annotations

import gzip
import os
import re
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from dmontage.errors import InputError
from dmontage.grid import Grid
from dmontage.model import ImageRef, Images, Skipped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

    from dmontage.window import Window

__all__ = ["SUFFIXES", "FitsWriter", "check_writable", "pixels", "read", "scan"]

SUFFIXES = (".fits", ".fit", ".fts", ".fz", ".gz")
"""Names that are taken from a folder; of ``.gz`` only ``.fits.gz`` and the like."""

_NOT_IMAGES = re.compile(
    r"ERR(OR)?|DQ|FLAGS?|WHT|WEIGHT|VAR(_.*|IANCE)?|IVAR|INVVAR|UNCERT(AINTY)?|STDDEV|SIGMA|RMS|(BAD)?MASK|CON|CTX|AREA"
    r"|BKG|BACKGROUND|EXP(TIME|OSURE)?|COV(ERAGE)?|HITS"
)
"""EXTNAMEs that accompany an image."""

_BLOCK = 2880


class _Quiet:
    """Silences astropy while any thread is inside.

    ``warnings.catch_warnings`` in two threads at once can leave the filter of one behind for good.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore", AstropyWarning)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._caught.__exit__(None, None, None)


_quiet = _Quiet()


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


def read(ref: ImageRef, window: Window | None = None) -> NDArray[Any]:
    """Pixels of an image, native float32 or float64 (ny, nx); BLANK and NaN are NaN, BSCALE and BZERO applied.

    Raises
    ------
    InputError
        If the data are damaged, or the file has gone or changed since the scan.
    """
    window = window or ref.grid.window
    try:
        stat = Path(ref.path).stat()
        if (stat.st_size, stat.st_mtime_ns) != (ref.size, ref.mtime_ns):
            raise InputError("has changed since the scan; scan again")
        with _quiet, fits.open(ref.path, memmap=False) as hdus:
            hdu = hdus[ref.hdu]
            plane = (0,) * (len(hdu.shape) - 2)
            data = hdu.section[(*plane, *window.slices)]
            blank = hdu.header.get("BLANK") if hdu.header["BITPIX"] > 0 else None
            return _as_float(np.asarray(data), hdu.header, blank)
    except InputError as error:
        raise InputError(f"{ref.path}: {error}") from error
    except Exception as error:  # damage shows as OSError, TypeError, ValueError, zlib.error, EOFError, ...
        raise InputError(f"{ref.path}: HDU {ref.hdu} cannot be read: {_first_line(error)}") from error


def pixels(path: str | Path) -> NDArray[Any]:
    """The pixels of a product that `FitsWriter` wrote, big-endian and mapped, not loaded."""
    with fits.open(path, memmap=True) as hdus:
        return np.asarray(hdus[0].data)


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
        self._file.write(b"\0" * (-self._file.tell() % _BLOCK))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._partial.replace(self.path)

    def _discard(self) -> None:
        if self._file is not None:
            self._file.close()
            self._partial.unlink(missing_ok=True)


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
        n_bytes = _real_bytes(path, stat.st_size)
        with _quiet, fits.open(path, memmap=False, lazy_load_hdus=True) as hdus:
            for index, hdu in _each(hdus, n_bytes):
                reason = _not_an_image(hdu, named=named)
                if reason is None:
                    _check_extent(hdu, n_bytes)
                    try:
                        grid = Grid.from_header(hdu.header, shape=hdu.shape[-2:])
                    except InputError as error:
                        reason = str(error)
                    else:
                        bunit = str(hdu.header.get("BUNIT", "")).strip()
                        refs.append(ImageRef(str(path), index, grid, bunit, stat.st_size, stat.st_mtime_ns))
                if reason:
                    left.append(f"HDU {index}: {reason}")
    except InputError:
        raise
    except Exception as error:  # damage shows as OSError, TypeError, ValueError, VerifyError, EOFError, ...
        raise InputError(f"not a readable FITS file: {_first_line(error)}") from error
    return refs, left


def _each(hdus: fits.HDUList, n_bytes: int) -> Iterator[tuple[int, Any]]:
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
    if not isinstance(hdu, (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)):
        return ""
    shape = hdu.shape
    if len(shape) < 2:
        return ""
    if any(side != 1 for side in shape[:-2]):
        return f"a cube of shape {shape}: cubes are not supported yet; extract a plane"
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
        claimed = info["datSpan"] - _BLOCK + 1  # its table is what lies in the file, and may lack its last padding
    there = n_bytes - info["datLoc"]
    if claimed > there:
        raise InputError(f"truncated: its header claims {claimed} bytes of pixels, the file has {max(there, 0)}")


def _real_bytes(path: Path, size: int) -> int:
    """Bytes of the file, decompressed: told by the last four bytes of a gzip file, or by reading it through."""
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return size
        file.seek(-4, os.SEEK_END)
        told = int.from_bytes(file.read(4), "little")
    if told % _BLOCK == 0 and told >= size // 2:
        return told
    total = 0
    with gzip.open(path) as stream:
        while block := stream.read(1 << 22):
            total += len(block)
    return total


def _as_float(data: NDArray[Any], header: fits.Header, blank: int | None) -> NDArray[Any]:
    """Native floats: float32 where that holds the values, NaN where the file says BLANK."""
    wide = data.dtype.itemsize > (4 if data.dtype.kind == "f" else 2)
    out = np.ascontiguousarray(data, dtype=np.float64 if wide else np.float32)
    if blank is not None and data.dtype.kind in "iu":  # where astropy made floats it has blanked them
        out[data == blank * header.get("BSCALE", 1) + header.get("BZERO", 0)] = np.nan
    if wide:  # a sentinel such as 1e308: the store could only make it infinite
        out[np.abs(out) > np.finfo(np.float32).max] = np.nan
    return out


def _partial(path: Path) -> Path:
    """Name under which a product is written before it is whole."""
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def _padded(n: int) -> int:
    return n + -n % _BLOCK


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__
