"""What of a mosaic is there already: chunks in its store, files that were written. Nothing is computed for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.errors import InputError
from dmontage.pipeline.matched import Matched
from dmontage.places import Url
from dmontage.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from dmontage.pipeline.tiles import Tile
    from dmontage.window import Window

__all__ = ["FilePart", "There"]


class FilePart(NamedTuple):
    """A file of this machine that holds a window of the mosaic's values."""

    path: Path
    window: Window


class There(Matched):
    """A mosaic's stages, and what they have made."""

    _written: tuple[tuple[FilePart, tuple[int, int]], ...] = ()
    """Files of the values, each with its size and the time of its last change."""
    _found: tuple[Any, tuple[int, ...] | None] = (None, None)
    """A state of a store that this value has not used, and the numbers of the plan's rows in it, if all are there."""

    @property
    def files(self) -> tuple[FilePart, ...]:
        """Files of this machine that `write` made of the values, as far as they have not changed or gone since."""
        return tuple(part for part, stamp in self._written if _stamp(part.path) == stamp)

    @property
    def is_remote(self) -> bool:
        """Whether looking into its store takes a network."""
        return isinstance(self._place, Url)

    @property
    def corrected(self) -> bool:
        """Whether the corrections of the images are known, or none is wanted: what `compute` must find first if not."""
        name = self.plan.corrected_by
        if name == "none" or self._corrected:
            return True
        store, numbers = self._known_store()
        told = None if store is None else store.tables.planes_told(name)
        return told is not None and told.get("rows") == list(numbers)

    def made(self, within: Window | None = None) -> tuple[Window, ...]:
        """Windows of the mosaic's chunks that its store holds, of just what the mosaic is made from.

        A named store is looked at whether or not this value has used it before.

        Parameters
        ----------
        within
            Only chunks that reach this window; all if None.

        Returns
        -------
        tuple of Window
            On the mosaic's grid, in row order.
        """
        store, numbers = self._known_store()
        chunks = [chunk for chunk in self.plan.chunks if within is None or chunk[0] & within]
        return () if store is None else tuple(self._made(store, numbers, chunks))

    def stored(self, window: Window, layer: str = "data") -> NDArray[np.float32]:
        """A layer (ny, nx) of a window as far as the store has it, NaN where it does not; blank where no image reaches.

        Parameters
        ----------
        window
            Of the mosaic's pixels.
        layer
            As `dmontage.pipeline.Pixels` calls it: "data", "area", ...

        Returns
        -------
        (ny, nx) float32
            As far as it is there.

        Raises
        ------
        InputError
            If the mosaic does not have the layer, or a chunk is damaged.
        """
        name = self._layer_named("mean" if layer == "data" else layer)
        values = np.full(window.shape, np.nan, np.float32)
        store, numbers = self._known_store()
        reach = [chunk for chunk in self.plan.chunks if chunk[0] & window]
        is_zero = layer not in ("data", "variance") or (layer == "data" and self.plan.combine == "count")
        for chunk, rows in reach if is_zero else ():
            if not rows:
                values[(chunk & window).relative_to(window).slices] = 0.0
        if store is None:
            return values
        for chunk in self._made(store, numbers, reach):
            part = chunk & window
            values[part.relative_to(window).slices] = store.product.read(name, part)
        return values

    def _layer_named(self, name: str) -> str:
        """The name itself, as the plan has it; InputError for a layer that is not there."""
        if name not in self.plan.layers:
            raise InputError(f"this mosaic has no {name}: ask for it by also={name!r}")
        return name

    def _note_files(self, paths: Iterable[Path], parts: Sequence[Tile]) -> None:
        """Remember what was written of the values, a file for each of some tiles."""
        made = [FilePart(path.absolute(), tile.window) for path, tile in zip(paths, parts, strict=True)]
        self._written = tuple((part, stamp) for part in made if (stamp := _stamp(part.path)) is not None)

    def _known_store(self) -> tuple[Store | None, Sequence[int]]:
        """The store, and the numbers of the plan's rows in it, if it is this run's; none is laid out for it."""
        used, numbers = self._store, self._numbers
        try:
            if used is not None:
                return Store.open(used.where), numbers  # another may have its place, or more rows in it
            if self._place is None:
                return None, ()
            store = Store.open(self._place)
            found = self._numbers_in(store) if store.attributes.get("digest") == self.plan.digest else None
        except InputError:  # nothing there yet, or nothing that can be used
            return None, ()
        return (None, ()) if found is None else (store, found)

    def _numbers_in(self, store: Store) -> tuple[int, ...] | None:
        """Numbers of the plan's rows in a store; kept, since the table of many takes a second to read."""
        state = store.laid_out, store.attributes["rows"]
        if self._found[0] != state:
            told = zip(self.plan.row_digests, self.plan.rows, strict=True)
            wanted = [{"digest": digest, "path": row.image.path} for digest, row in told]
            self._found = state, store.numbers_of(wanted)
        return self._found[1]

    def _made(
        self, store: Store, numbers: Sequence[int], chunks: Sequence[tuple[Window, tuple[int, ...]]]
    ) -> list[Window]:
        """Those of some chunks (window, rows of the plan) that the store holds."""
        plan, product = self.plan, store.product
        product.refresh()
        if product.about != {"layers": list(plan.layers), "chunk": list(plan.chunk)}:
            return []
        if plan.corrected_by != "none" and store.tables.planes_told(plan.corrected_by) is None:
            return []
        planes = store.tables.planes(plan.corrected_by, len(store.rows))
        found = product.made([window for window, _ in chunks])
        return [w for w, rows in chunks if w in found and found[w] == self._chunk(w, rows, planes, numbers).digest]


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_size, about.st_mtime_ns
