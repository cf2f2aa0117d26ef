"""Arrays: zarr (format 3) arrays by whole chunks (level 3).

zarr lays them out and any zarr reads them; chunks are coded and written here, by the same codecs: its own way to a
chunk costs 2 ms each, more than half of a mosaic. lz4 with byte shuffle costs less than writing raw. Chunks carry a
crc32c: a flipped bit is an error, not a value.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
import zarr
from numcodecs.blosc import Blosc
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.storage import MemoryStore

from dmontage.errors import InputError
from dmontage.store.files import Files
from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["Array", "DamagedError"]

_BLOSC = Blosc("lz4", clevel=1, shuffle=Blosc.SHUFFLE)
_CRC = 4
"""Bytes of the checksum, which stands last."""


class DamagedError(InputError):
    """A chunk is not what was written, or is gone."""


@dataclass(frozen=True)
class Array:
    """An array of one run: chunks in, chunks out."""

    files: Files
    name: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def create(
        cls,
        files: Files,
        name: str,
        shape: Sequence[int],
        chunks: Sequence[int],
        dtype: Any,
        fill: float = 0,
        attributes: dict[str, Any] | None = None,
    ) -> Array:
        """Lay out a new array, in the place of one that may be there."""
        laid_out = zarr.create_array(
            MemoryStore(),
            shape=tuple(shape),
            chunks=tuple(max(side, 1) for side in chunks),
            dtype=dtype,
            fill_value=fill,
            zarr_format=3,
            compressors=[BloscCodec(cname="lz4", clevel=1, shuffle="shuffle"), Crc32cCodec()],
            chunk_key_encoding={"name": "default", "separator": "."},  # no folder for each row
            attributes=attributes,
        )
        files.remove_folder(name)
        files.put(f"{name}/zarr.json", json.dumps(laid_out.metadata.to_dict()).encode())
        return cls.open(files, name)

    @classmethod
    def open(cls, files: Files, name: str) -> Array:
        """An array that is there.

        Raises
        ------
        DamagedError
            If it is not, or no array of this store.
        """
        data = files.get(f"{name}/zarr.json")
        try:
            about = json.loads(data or b"")
            shape, dtype = tuple(about["shape"]), np.dtype(about["data_type"])
            chunks = tuple(about["chunk_grid"]["configuration"]["chunk_shape"])
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedError(f"{name} of {files.root} is damaged: it is no array; remove the store") from error
        return cls(files, name, shape, chunks, dtype)

    @property
    def attributes(self) -> dict[str, Any]:
        """What was noted with it."""
        return dict(json.loads(self.files.get(f"{self.name}/zarr.json") or b"{}").get("attributes", {}))

    def resized(self, shape: Sequence[int]) -> Array:
        """The same with another shape, no side smaller."""
        if tuple(shape) == self.shape:
            return self
        document = json.loads(self.files.get(f"{self.name}/zarr.json") or b"")
        document["shape"] = list(shape)
        self.files.put(f"{self.name}/zarr.json", json.dumps(document).encode())
        return Array.open(self.files, self.name)

    def key(self, index: Sequence[int]) -> str:
        """Where a chunk lies."""
        return f"{self.name}/c.{'.'.join(map(str, index))}"

    def write(self, index: Sequence[int], values: NDArray[Any]) -> None:
        """A whole chunk."""
        if values.shape != self.chunks or values.dtype != self.dtype:
            raise ValueError(f"{values.dtype} of shape {values.shape} is no chunk {self.dtype} {self.chunks}")
        data = _BLOSC.encode(np.ascontiguousarray(values))
        self.files.put(self.key(index), data + google_crc32c.value(data).to_bytes(_CRC, "little"))

    def read(self, index: Sequence[int]) -> NDArray[Any] | None:
        """A whole chunk; None where it was never written.

        Raises
        ------
        DamagedError
            If it is not what was written.
        """
        data = self.files.get(self.key(index))
        return None if data is None else self.decoded(index, data)

    def decoded(self, index: Sequence[int], data: bytes) -> NDArray[Any]:
        """A whole chunk from what its file holds; `DamagedError` if that is not what was written."""
        coded, told = data[:-_CRC], data[-_CRC:]
        if google_crc32c.value(coded).to_bytes(_CRC, "little") != told:
            raise DamagedError(f"{self.key(index)} of {self.files.root} is damaged: its checksum is wrong")
        out = np.empty(self.chunks, self.dtype)
        _BLOSC.decode(coded, out)
        return out

    def has(self, index: Sequence[int]) -> bool:
        """Whether a chunk was written."""
        return self.files.has(self.key(index))

    def remove(self, index: Sequence[int]) -> None:
        """Forget a chunk."""
        self.files.remove(self.key(index))

    def write_all(self, values: NDArray[Any]) -> None:
        """The whole of an array that is one chunk; nothing of an empty one."""
        if values.size:
            self.write((0,) * values.ndim, values.astype(self.dtype))

    def read_all(self) -> NDArray[Any]:
        """The whole of an array that is one chunk.

        Raises
        ------
        DamagedError
            If it is not what was written, or is gone.
        """
        if not all(self.shape):
            return np.empty(self.shape, self.dtype)
        values = self.read((0,) * len(self.shape))
        if values is None:
            raise DamagedError(f"{self.name} of {self.files.root} has lost a chunk")
        return values

    def reached(self, window: Window) -> Iterator[tuple[tuple[int, int], Window]]:
        """Chunks (iy, ix) of the last two axes that a window reaches, each with all of its pixels."""
        cy, cx = self.chunks[-2:]
        for (iy, ix), _ in window.blocks((cy, cx)):
            yield (iy, ix), Window(iy * cy, (iy + 1) * cy, ix * cx, (ix + 1) * cx)
