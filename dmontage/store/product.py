"""Product: the mosaic, chunk by chunk (level 3).

::

    mosaic/mean, area[, variance, ...]   (y, x)          NaN (and area 0) where nothing falls
    mosaic/mark                          (iy, ix, 32)    written last: digest of what a chunk was made from

Its attributes, written last, tell the layers and the shape of the chunks. Another set of layers, or of chunks, takes
the place of the old one.
"""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.store.arrays import Array, DamagedError
from dmontage.store.files import group_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dmontage.store.files import Files
    from dmontage.window import Window

__all__ = ["Product"]

_PLACE = "mosaic"
_BYTES = 32
"""Of a digest."""


class Product:
    """The arrays of the mosaic."""

    def __init__(self, files: Files) -> None:
        self._files = files

    @cached_property
    def _arrays(self) -> dict[str, Array]:
        return {name: Array.open(self._files, f"{_PLACE}/{name}") for name in (*self.layers, "mark")}

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """What the product holds, in this order; nothing where none was laid out."""
        return tuple(self.about.get("layers", ()))

    @property
    def about(self) -> dict[str, Any]:
        """What was noted with it."""
        try:
            return dict(json.loads(self._files.get(f"{_PLACE}/zarr.json") or b"{}").get("attributes", {}))
        except ValueError:  # as good as none: it is laid out again
            return {}

    def lay_out(self, layers: Sequence[str], shape: tuple[int, int], chunk: tuple[int, int]) -> None:
        """Make room for a product; what is there is kept if it is the same layers and chunks."""
        self._forget()
        about: dict[str, Any] = {"layers": list(layers), "chunk": list(chunk)}
        if self.about == about and self._is_laid_out(layers):
            return
        self._files.remove(f"{_PLACE}/zarr.json")  # first: of a run that is killed meanwhile no half product is left
        self._files.remove_folder(_PLACE)
        n_y, n_x = (-(-side // cut) for side, cut in zip(shape, chunk, strict=True))
        for name in layers:
            Array.create(self._files, f"{_PLACE}/{name}", shape, chunk, np.float32, np.nan)
        Array.create(self._files, f"{_PLACE}/mark", (n_y, n_x, _BYTES), (1, 1, _BYTES), np.uint8)
        self._files.put(f"{_PLACE}/zarr.json", group_document(about))

    def refresh(self) -> None:
        """Forget a layout that the driver, in another process, has replaced."""
        known = self.__dict__.get("_arrays")
        if known and self.about != {"layers": list(self.layers), "chunk": list(known[self.layers[0]].chunks)}:
            self._forget()

    def _forget(self) -> None:
        """Read the layout anew when it is asked for."""
        self.__dict__.pop("layers", None)
        self.__dict__.pop("_arrays", None)

    def _is_laid_out(self, layers: Sequence[str]) -> bool:
        """Whether all arrays can be told by what lies there."""
        try:
            return all(Array.open(self._files, f"{_PLACE}/{name}") for name in (*layers, "mark"))
        except DamagedError:
            return False

    def done(self, window: Window, digest: str) -> bool:
        """Whether a chunk was made from just that."""
        return self.made([window]) == {window: digest}

    def made(self, windows: Sequence[Window]) -> dict[Window, str]:
        """Of some chunks those that are there, each with the digest of what it was made from."""
        try:
            mark = self._arrays["mark"]
        except DamagedError:
            return {}
        keys = {window: mark.key((*self._index(window), 0)) for window in windows}
        if len(keys) > 1:
            there = self._files.present(mark.name, keys.values())
            keys = {window: key for window, key in keys.items() if key in there}
        found = {}
        for window, data in zip(keys, self._files.each(self._files.get, keys.values()), strict=True):
            with suppress(DamagedError):  # as good as none
                if data is not None:
                    found[window] = mark.decoded((*self._index(window), 0), data).tobytes().hex()
        return found

    def write(self, window: Window, layers: Sequence[NDArray[Any]], digest: str) -> None:
        """Store one chunk of the product, all `layers` of it, then what it was made from.

        What it was made from before is forgotten first: killed half-way, it is neither.
        """
        index = self._index(window)
        self._arrays["mark"].remove((*index, 0))
        self._files.each(lambda item: self._write(index, *item), zip(self.layers, layers, strict=True))
        mark = np.frombuffer(bytes.fromhex(digest), np.uint8)
        self._arrays["mark"].write((*index, 0), mark[None, None])

    def _write(self, index: tuple[int, int], name: str, values: NDArray[Any]) -> None:
        array, whole = self._arrays[name], values
        if values.shape != array.chunks:
            whole = np.full(array.chunks, np.nan, np.float32)
            whole[: values.shape[0], : values.shape[1]] = values
        array.write(index, whole.astype(np.float32, copy=False))

    def _index(self, window: Window) -> tuple[int, int]:
        cy, cx = self._arrays[self.layers[0]].chunks
        return window.y0 // cy, window.x0 // cx

    def read(self, name: str, window: Window) -> NDArray[np.float32]:
        """A window of one of the layers.

        Raises
        ------
        DamagedError
            If a chunk is lost or changed; its mark is taken away, so that the next run makes it again.
        """
        array, out = self._arrays[name], np.empty(window.shape, np.float32)
        for index, chunk in array.reached(window):
            try:
                values = array.read(index)
            except DamagedError as error:
                raise self._damaged(index, str(error)) from error
            if values is None:
                raise self._damaged(index, f"{self._files.root} has lost a chunk of the mosaic")
            inside = chunk & window
            out[inside.relative_to(window).slices] = values[inside.relative_to(chunk).slices]
        return out

    def _damaged(self, index: tuple[int, int], why: str) -> DamagedError:
        self._arrays["mark"].remove((*index, 0))
        return DamagedError(f"{why}; the same command again makes it anew")
