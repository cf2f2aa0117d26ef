"""The store: one zarr (format 3) group per run, and the only place that knows zarr (level 3).

::

    run.zarr/  attributes: what the run is (version, grid, parameters, digest)
      images               (row, bytes) uint8   JSON of each row: path, WCS, window, mapping; tasks read their rows
      projected/flux       (row, y, x)          one row per image, on its window; 0 where nothing falls
      projected/area       (row, y, x)
      projected/weight     (row, y, x)          Σ weight·overlap; only in runs with weight maps, else it is the area
      projected/variance   (row, y, x)          of flux/weight; only in runs with variances
      projected/window     (row, 4) int64       y0, y1, x0, x1 of each row on the mosaic grid
      projected/nominal    (row,)               area of a pixel that the image covers as well as its drops can
      projected/mark       (row, 48) uint8      written last: digest of what the row was made from, and its `Mark`
      corrections/NAME     (row, 5)             level, slope_x, slope_y, x0, y0 by one way of matching backgrounds, that
                                                the name tells: runs that differ only in it share their rows
      pairs/fits           (pair, number)       fits of the overlaps, which all models share; its attribute "made_from",
                                                written last, tells from which rows
      mosaic/mean, area    (y, x)               the product on the mosaic's chunks; NaN and 0 where nothing falls
      mosaic/variance      (y, x)               of the mean; only in runs with variances

Every chunk has one owner: the task of its row, or of its mosaic chunk. A row counts as done when its mark says so, and
the mark is written last; a run is laid out aside and renamed when whole. Chunks carry a crc32c: a flipped bit is an
error, not a value; the fill value is NaN, which no written chunk but those of the mean and its variance holds, so that
a lost chunk is an error too. lz4 with byte shuffle costs less than writing raw.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import struct
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

from dmontage.errors import InputError
from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["FORMAT", "InUseError", "Mark", "Store"]

FORMAT = 4
"""Version of the layout above."""

_ROWS_PER_CHUNK = 64
_WHOLE = 4096
"""A row up to this side is one chunk."""
_LATTICE = 2048
"""Larger rows are cut at this side."""
_MARK = struct.Struct("<32sQi?3x")


class InUseError(InputError):
    """Another driver holds a run's lock."""


class Mark(NamedTuple):
    """What a row says of itself besides its sums."""

    lost: int = 0
    """Pixels with a value but with an undefined corner."""
    exponent: int = 0
    """The row's weights are stored as multiples of 2**exponent, so that float32 holds those of any size."""
    empty: bool = False
    """True where no pixel of the image counts."""


_PLAIN = Mark()


class Store:
    """One run's group. Cheap to open; a task opens its own."""

    def __init__(self, group: zarr.Group) -> None:
        self._group = group

    @classmethod
    def create(
        cls,
        path: str | Path,
        attributes: dict[str, Any],
        rows: Sequence[dict[str, Any]],
        mosaic_shape: tuple[int, int],
        chunk: int,
        *,
        weighted: bool = False,
        variance: bool = False,
    ) -> Store:
        """Lay out a new run, or take up the one that is there when it is the same run.

        Parameters
        ----------
        attributes
            What the run is; its "digest" tells runs apart.
        rows
            One JSON-able table per row, with its "window" and its "nominal" area.
        mosaic_shape, chunk
            Shape of the product, and the side of its chunks.
        weighted, variance
            Whether rows have weights of their own, and variances.

        Raises
        ------
        InputError
            If ``path`` holds another run, or something that is no run.
        """
        place = Path(path)
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            return cls._take_up(path, attributes["digest"], rows)
        # Laid out aside: a run that was killed meanwhile leaves no folder that is none.
        partial = place.with_name(f".{place.name}.{uuid.uuid4().hex}.partial")
        try:
            group = zarr.create_group(str(partial), zarr_format=3)
            sums = ["flux", "area"] + ["weight"] * weighted + ["variance"] * variance
            layers = ["mean", "area"] + ["variance"] * variance
            _write_table(group, rows)
            _lay_out_rows(group, rows, sums)
            for name in layers:
                _array(group, f"mosaic/{name}", mosaic_shape, (chunk, chunk), np.float32, np.nan)
            group.attrs.update({**attributes, "sums": sums, "layers": layers, "dmontage_format": FORMAT})
            partial.rename(place)
        except OSError as error:
            raise InputError(f"cannot write the store {path}: {error}; choose another place (--workdir)") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return cls.open(place)

    @classmethod
    def _take_up(cls, path: str | Path, digest: str, rows: Sequence[dict[str, Any]]) -> Store:
        store = cls.open(path)
        if store.attributes.get("digest") != digest:
            raise InputError(
                f"{path} holds another run (other images, grid or parameters); choose another --workdir, or remove it"
            )
        if store.table(range(len(rows))) != list(rows):  # the same files lie elsewhere now
            with store.locked(path):
                _write_table(store._group, rows)
        return store

    @contextmanager
    def locked(self, path: str | Path) -> Iterator[None]:
        """Keep other drivers out while something is written; the kernel frees the lock when this process ends.

        Raises
        ------
        InUseError
            If another run holds it, or has removed the store.
        """
        with _locked(Path(path)):
            yield

    @classmethod
    def open(cls, path: str | Path) -> Store:
        """Open an existing run; InputError where there is none, or one of another format."""
        group = _run_at(path)
        version = group.attrs["dmontage_format"]
        if version != FORMAT:
            raise InputError(
                f"{path} has store format {version}, this one reads {FORMAT}; remove it, or choose another --workdir"
            )
        return cls(group)

    @staticmethod
    def digest_at(path: str | Path) -> str | None:
        """Digest of the run at a place; None where its format is another than this version's."""
        attributes = _run_at(path).attrs
        return str(attributes["digest"]) if attributes["dmontage_format"] == FORMAT else None

    @property
    def attributes(self) -> dict[str, Any]:
        """What the run is."""
        return dict(self._group.attrs)

    def table(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """The tables of some rows, in ascending order."""
        array = self._array("images")
        lines = array[rows[0] : rows[-1] + 1] if len(rows) else []
        return [json.loads(bytes(lines[row - rows[0]]).rstrip(b"\0")) for row in rows]

    def windows(self) -> list[Window]:
        """The rows' windows on the mosaic grid."""
        return [Window(*map(int, numbers)) for numbers in self._array("projected/window")[:]]

    @property
    def sums(self) -> tuple[str, ...]:
        """What a row holds, in this order: "flux", "area", then "weight" and "variance" in runs that have them."""
        return tuple(self._group.attrs["sums"])  # type: ignore[arg-type]

    @property
    def layers(self) -> tuple[str, ...]:
        """What the product holds, in this order: "mean", "area", and "variance" in runs that have it."""
        return tuple(self._group.attrs["layers"])  # type: ignore[arg-type]

    def nominal(self) -> NDArray[np.float64]:
        """The rows' nominal areas."""
        return np.asarray(self._array("projected/nominal")[:])

    def write_row(self, row: int, sums: Sequence[NDArray[Any]], digest: str, mark: Mark = _PLAIN) -> None:
        """Store a projected image, `sums` of it, finite everywhere, then the digest of what it was made from."""
        for name, values in zip(self.sums, sums, strict=True):
            array = self._array(f"projected/{name}")
            # Whole chunks: of a part the rest would first be read, and may be what a killed run left.
            cut = zip(values.shape, array.chunks[1:], array.shape[1:], strict=True)
            ny, nx = (min(-(-n // chunk) * chunk, side) for n, chunk, side in cut)
            whole = np.zeros((ny, nx), np.float32)
            whole[: values.shape[0], : values.shape[1]] = values
            array[row, :ny, :nx] = whole
        packed = _MARK.pack(bytes.fromhex(digest), *mark)
        self._array("projected/mark")[row] = np.frombuffer(packed, np.uint8)

    def done(self, row: int, digest: str) -> Mark | None:
        """The mark of a row that was made from just that; None where it was not."""
        made_from, *mark = self._mark(row)
        return Mark(*mark) if made_from == bytes.fromhex(digest) else None

    def exponent(self, row: int) -> int:
        """Power of two that the row's weights are multiples of; 0 for a row that was never written."""
        return Mark(*self._mark(row)[1:]).exponent

    def _mark(self, row: int) -> tuple[Any, ...]:
        return _MARK.unpack(bytes(self._array("projected/mark")[row]))

    def read_row(
        self, row: int, origin: Window, window: Window, names: Sequence[str] = ("flux", "area")
    ) -> tuple[NDArray[np.float32], ...]:
        """Some of the sums of a row, whose window is ``origin``, in a window of the mosaic inside it.

        A row that was never written is empty; one that has lost a chunk is an InputError.
        """
        ys, xs = window.relative_to(origin).slices
        try:
            sums = tuple(self._array(f"projected/{name}")[row, ys, xs] for name in names)
        except (ValueError, RuntimeError) as error:  # a checksum, or what the decompressor says
            raise self._damaged(row, str(error)) from error
        # A written chunk holds no NaN, the fill value.
        if any(np.isnan(values).any() for values in sums):
            if self._array("projected/mark")[row].any():
                raise self._damaged(row, "a chunk is missing")
            return tuple(np.zeros_like(values) for values in sums)
        return sums

    def _damaged(self, row: int, why: str) -> InputError:
        return InputError(f"row {row} of {self._group.store_path} is damaged: {why}; remove the store and run again")

    def write_fits(self, fits: NDArray[np.float64], made_from: str) -> None:
        """The fits of all pairs, shape (pairs, numbers), then the digest of what they were made from."""
        if fits.size:
            array = _array(self._group, "pairs/fits", fits.shape, fits.shape, np.float64, np.nan)
            array[:] = fits
            array.attrs["made_from"] = made_from

    def fits(self, made_from: str) -> NDArray[np.float64] | None:
        """The fits that were made from just that; None where there are none."""
        if "pairs/fits" not in self._group or self._array("pairs/fits").attrs.get("made_from") != made_from:
            return None
        return self._table("pairs/fits")

    def write_planes(self, name: str, planes: NDArray[np.float64]) -> None:
        """The corrections of all rows, shape (rows, 5), by the way of matching that ``name`` tells."""
        place = f"corrections/{name}"
        if place not in self._group or not np.array_equal(self.planes(name), planes):
            _array(self._group, place, planes.shape, planes.shape, np.float64, np.nan)[:] = planes

    def planes(self, name: str) -> NDArray[np.float64]:
        """The corrections of all rows, shape (rows, 5): level, slope_x, slope_y, x0, y0; zero for "none"."""
        if name == "none":
            return np.zeros((self._array("projected/window").shape[0], 5))
        return self._table(f"corrections/{name}")

    def _table(self, name: str) -> NDArray[np.float64]:
        """A small table, none of whose written numbers is NaN; InputError where it is damaged."""
        try:
            values = np.asarray(self._array(name)[:])
        except (ValueError, RuntimeError) as error:  # a checksum, or what the decompressor says
            raise InputError(f"{name} of {self._group.store_path} is damaged: {error}; remove the store") from error
        if values.size and np.isnan(values).all():
            raise InputError(f"{name} of {self._group.store_path} has lost a chunk; remove the store and run again")
        return values

    def write_mosaic(self, window: Window, layers: Sequence[NDArray[Any]]) -> None:
        """Store one chunk of the product, all `layers` of it."""
        for name, values in zip(self.layers, layers, strict=True):
            self._array(f"mosaic/{name}")[window.slices] = values.astype(np.float32)

    def read_mosaic(self, name: str, window: Window) -> NDArray[np.float32]:
        """A window of one of the `layers` of a product that was written whole."""
        values = np.asarray(self._array(f"mosaic/{name}")[window.slices])
        if name == "area" and np.isnan(values).any():
            raise InputError(f"{self._group.store_path} has lost a chunk of the mosaic; run again")
        return values

    def _array(self, name: str) -> Any:
        return self._group[name]

    @staticmethod
    def remove(path: str | Path) -> None:
        """Delete a run, of this format or an older one; nothing else is ever deleted here.

        Raises
        ------
        InputError
            If there is no run, or one of a newer version.
        InUseError
            If another driver holds its lock.
        """
        place = Path(path)
        version = _run_at(place).attrs["dmontage_format"]
        if not (isinstance(version, int) and version <= FORMAT):
            raise InputError(f"{path} has store format {version}, this version knows {FORMAT}; remove it by hand")
        with _locked(place):
            # Aside first: killed half-way, it leaves no folder in the place that is neither a run nor free.
            aside = place.with_name(f".{place.name}.{uuid.uuid4().hex}.removed")
            place.rename(aside)
            shutil.rmtree(aside)


def _run_at(path: str | Path) -> zarr.Group:
    """The group of a run of any format; InputError where there is none."""
    try:
        group = zarr.open_group(str(path), mode="r+", zarr_format=3)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is no dmontage run; choose another --workdir, or remove it") from error
    if "dmontage_format" not in group.attrs:
        raise InputError(f"{path} is no dmontage run; choose another --workdir, or remove it")
    return group


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    """The lock of the run at a place."""
    name = place / "driver.lock"
    try:
        file = name.open("w")
    except FileNotFoundError as error:
        raise InUseError(f"{place} was removed by another run; run again") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InUseError(f"{place} is in use by another run; wait for it, or choose another --workdir") from error
        if not (name.exists() and os.path.samestat(os.fstat(file.fileno()), name.stat())):
            raise InUseError(f"{place} was removed by another run; run again")
        yield


def _write_table(group: zarr.Group, rows: Sequence[dict[str, Any]]) -> None:
    """The rows' tables as JSON, padded with zeros to one length."""
    text = [json.dumps(row).encode() for row in rows]
    table = np.zeros((len(rows), max(map(len, text), default=1)), np.uint8)
    for row, line in zip(table, text, strict=True):
        row[: len(line)] = np.frombuffer(line, np.uint8)
    _array(group, "images", table.shape, (_ROWS_PER_CHUNK, table.shape[1]), np.uint8)[:] = table


def _lay_out_rows(group: zarr.Group, rows: Sequence[dict[str, Any]], sums: Sequence[str]) -> None:
    n = len(rows)
    windows = np.array([row["window"] for row in rows], np.int64).reshape(n, 4)
    _array(group, "projected/window", (n, 4), (n, 4), np.int64)[:] = windows
    _array(group, "projected/nominal", (n,), (n,), np.float64)[:] = [row["nominal"] for row in rows]
    _array(group, "projected/mark", (n, _MARK.size), (1, _MARK.size), np.uint8)
    shape, chunks = _row_shape(windows)
    for name in sums:
        _array(group, f"projected/{name}", (n, *shape), (1, *chunks), np.float32, np.nan)


def _row_shape(windows: NDArray[np.int64]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Shape of the largest row, and of a chunk: a usual row whole, a few large ones or too large ones cut."""
    sides = np.stack([windows[:, 1] - windows[:, 0], windows[:, 3] - windows[:, 2]])
    shape, usual = sides.max(axis=1), np.median(sides, axis=1)
    whole = [int(side) if side <= min(1.5 * mid, _WHOLE) else 0 for side, mid in zip(shape, usual, strict=True)]
    chunks = [side or min(int(mid), _LATTICE) for side, mid in zip(whole, usual, strict=True)]
    return (int(shape[0]), int(shape[1])), (chunks[0], chunks[1])


def _array(
    group: zarr.Group, name: str, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: Any, fill: float = 0
) -> Any:
    """A new array with this store's codecs."""
    return group.create_array(
        name,
        shape=shape,
        chunks=tuple(max(min(c, s), 1) for c, s in zip(chunks, shape, strict=True)),
        dtype=dtype,
        fill_value=fill,
        overwrite=True,
        compressors=[BloscCodec(cname="lz4", clevel=1, shuffle="shuffle"), Crc32cCodec()],
    )
