"""The store: one zarr (format 3) group per run, and the only place that knows zarr (level 3).

::

    run.zarr/  attributes: what the run is (version, grid, parameters, digest)
      images               (row, bytes) uint8   JSON of each row: path, WCS, window, mapping; tasks read their rows
      projected/flux       (row, y, x)          one row per image, on its window; 0 where nothing falls
      projected/area       (row, y, x)
      projected/window     (row, 4) int64       y0, y1, x0, x1 of each row on the mosaic grid
      projected/mark       (row, 32) uint8      digest of what the row was made from, written last
      corrections/level    (row, 5)             level, slope_x, slope_y, x0, y0 of one background model
      corrections/plane    (row, 5)             ... and of the other: runs that differ only in it share their rows
      mosaic/mean, area    (y, x)               the product on the mosaic's chunks; NaN and 0 where nothing falls

Every chunk has one owner: the task of its row, or of its mosaic chunk. A row counts as done when its mark says so, and
the mark is written last; a run is laid out aside and renamed when whole. Chunks carry a crc32c: a flipped bit is an
error, not a value. lz4 with byte shuffle costs less than writing raw. A chunk that holds only its fill value is not
stored.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

from dmontage.errors import InputError
from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["FORMAT", "Store"]

FORMAT = 1
"""Version of the layout above."""

_MODELS = ("level", "plane")
_ROWS_PER_CHUNK = 64
_WHOLE = 4096
"""A row up to this side is one chunk."""
_LATTICE = 2048
"""Larger rows are cut at this side."""


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
        row_shape: tuple[int, int],
        mosaic_shape: tuple[int, int],
        chunk: int,
    ) -> Store:
        """Lay out a new run, or take up the one that is there when it is the same run.

        Parameters
        ----------
        attributes
            What the run is; its "digest" tells runs apart.
        rows
            One JSON-able table per row.
        row_shape
            (ny, nx) of the largest row's window.
        mosaic_shape, chunk
            Shape of the product, and the side of its chunks.

        Raises
        ------
        InputError
            If ``path`` holds another run, or something that is no run.
        """
        place = Path(path)
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            return cls._take_up(path, attributes["digest"])
        # Laid out aside: a run that was killed meanwhile leaves no folder that is none.
        partial = place.with_name(f".{place.name}.{os.getpid()}.partial")
        try:
            group = zarr.create_group(str(partial), zarr_format=3)
            text = [json.dumps(row).encode() for row in rows]
            table = np.zeros((len(rows), max(map(len, text), default=1)), np.uint8)
            for row, line in zip(table, text, strict=True):
                row[: len(line)] = np.frombuffer(line, np.uint8)
            _array(group, "images", table.shape, (_ROWS_PER_CHUNK, table.shape[1]), np.uint8)[:] = table
            n = len(rows)
            cut = tuple(min(side, _LATTICE) if max(row_shape) > _WHOLE else side for side in row_shape)
            for name in ("projected/flux", "projected/area"):
                _array(group, name, (n, *row_shape), (1, *cut), np.float32)
            windows = np.array([row["window"] for row in rows], np.int64).reshape(n, 4)
            _array(group, "projected/window", (n, 4), (n, 4), np.int64)[:] = windows
            _array(group, "projected/mark", (n, 32), (1, 32), np.uint8)
            for model in _MODELS:
                _array(group, f"corrections/{model}", (n, 5), (n, 5), np.float64)
            for name, fill in (("mosaic/mean", np.nan), ("mosaic/area", 0.0)):
                _array(group, name, mosaic_shape, (chunk, chunk), np.float32, fill)
            group.attrs.update({**attributes, "dmontage_format": FORMAT})
            partial.rename(place)
        except OSError as error:
            raise InputError(f"cannot write the store {path}: {error}; choose another place (--workdir)") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return cls.open(place)

    @classmethod
    def _take_up(cls, path: str | Path, digest: str) -> Store:
        try:
            store = cls.open(path)
        except InputError as error:
            raise InputError(f"{path} exists and is no dmontage run; choose another --workdir, or remove it") from error
        if store.attributes.get("digest") != digest:
            raise InputError(
                f"{path} holds another run (other images, grid or parameters); choose another --workdir, or remove it"
            )
        return store

    @classmethod
    def open(cls, path: str | Path) -> Store:
        """Open an existing run."""
        try:
            group = zarr.open_group(str(path), mode="r+", zarr_format=3)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{path} is no dmontage run: {error}") from error
        version = group.attrs.get("dmontage_format")
        if version != FORMAT:
            raise InputError(f"{path} has store format {version}; this version reads {FORMAT}; run the mosaic anew")
        return cls(group)

    @property
    def attributes(self) -> dict[str, Any]:
        """What the run is."""
        return dict(self._group.attrs)

    def update_attributes(self, **items: Any) -> None:
        """Keep small results (JSON) beside the run's description."""
        self._group.attrs.update(items)

    def table(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """The tables of some rows."""
        array = self._array("images")
        lines = array[rows[0] : rows[-1] + 1] if len(rows) else []
        return [json.loads(bytes(lines[row - rows[0]]).rstrip(b"\0")) for row in rows]

    def windows(self) -> list[Window]:
        """The rows' windows on the mosaic grid."""
        return [Window(*map(int, numbers)) for numbers in self._array("projected/window")[:]]

    def write_row(self, row: int, flux: NDArray[Any], area: NDArray[Any], digest: str) -> None:
        """Store a projected image, and then its mark."""
        for name, values in (("projected/flux", flux), ("projected/area", area)):
            array = self._array(name)
            # Whole chunks: of a part the rest would first be read, and may be what a killed run left.
            cut = zip(values.shape, array.chunks[1:], array.shape[1:], strict=True)
            ny, nx = (min(-(-n // chunk) * chunk, side) for n, chunk, side in cut)
            whole = np.zeros((ny, nx), np.float32)
            whole[: values.shape[0], : values.shape[1]] = values
            array[row, :ny, :nx] = whole
        self._array("projected/mark")[row] = np.frombuffer(bytes.fromhex(digest), np.uint8)

    def is_done(self, row: int, digest: str) -> bool:
        """True when the row was made from just that."""
        return bytes(self._array("projected/mark")[row]) == bytes.fromhex(digest)

    def read_row(self, row: int, origin: Window, window: Window) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Flux and area of a row, whose window is ``origin``, in a window of the mosaic inside it."""
        ys, xs = window.relative_to(origin).slices
        try:
            return self._array("projected/flux")[row, ys, xs], self._array("projected/area")[row, ys, xs]
        except (ValueError, RuntimeError) as error:  # a checksum, or what the decompressor says
            raise InputError(
                f"row {row} of {self._group.store_path} is damaged: {error}; remove the store and run again"
            ) from error

    def write_planes(self, model: str, planes: NDArray[np.float64]) -> None:
        """The corrections of all rows by a background model ("level" or "plane"), shape (rows, 5)."""
        self._array(f"corrections/{model}")[:] = planes

    def planes(self, model: str) -> NDArray[np.float64]:
        """The corrections of all rows, shape (rows, 5): level, slope_x, slope_y, x0, y0; zero for "none"."""
        if model == "none":
            return np.zeros(self._array("corrections/plane").shape)
        return np.asarray(self._array(f"corrections/{model}")[:])

    def write_mosaic(self, window: Window, mean: NDArray[Any], area: NDArray[Any]) -> None:
        """Store one chunk of the product."""
        self._array("mosaic/mean")[window.slices] = mean.astype(np.float32)
        self._array("mosaic/area")[window.slices] = area.astype(np.float32)

    def read_mosaic(self, name: str, window: Window) -> NDArray[np.float32]:
        """A window of "mean" or "area"."""
        return np.asarray(self._array(f"mosaic/{name}")[window.slices])

    def _array(self, name: str) -> Any:
        return self._group[name]

    @staticmethod
    def remove(path: str | Path) -> None:
        """Delete a run; nothing else is ever deleted here."""
        Store.open(path)
        shutil.rmtree(path)


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
        compressors=[BloscCodec(cname="lz4", clevel=1, shuffle="shuffle"), Crc32cCodec()],
    )
