"""A run's store as a whole: laid out, taken up, locked, removed (level 3)."""

from __future__ import annotations

import json
import uuid
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakValueDictionary

from dmontage.errors import InputError
from dmontage.grid import Grid
from dmontage.places import is_url
from dmontage.store.arrays import DamagedError
from dmontage.store.files import group_document
from dmontage.store.lock import gone
from dmontage.store.objects import files_at
from dmontage.store.product import Product
from dmontage.store.projected import Projected
from dmontage.store.rows import RowTable, merged, write_rows
from dmontage.store.tables import Tables
from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dmontage.places import Place
    from dmontage.store.files import Files

__all__ = ["FORMAT", "Store", "StoreRef"]

FORMAT = 6
"""Version of the layout."""

_CURRENT = "current.json"
_ABOUT = "zarr.json"


_open: WeakValueDictionary[str, Store] = WeakValueDictionary()
"""Stores that somebody in this process holds: its tasks share the driver's, with the rows that it has in memory."""
_recent: deque[Store] = deque(maxlen=2)
"""The last that were opened by URL, which takes a second: a worker's next task needs the same."""


class StoreRef(NamedTuple):
    """One run, known from others that may come to its place."""

    path: str | Place
    laid_out: str | None = None
    """`Store.laid_out`; any if None."""


class Store:
    """One run's group. Cheap to open; a task opens its own."""

    def __init__(self, files: Files, attributes: dict[str, Any]) -> None:
        self.path = files.root
        self._files = files
        self._attributes = attributes
        self.rows = RowTable(self._files, attributes["rows"])
        self.projected = Projected(self._files, attributes["sums"])
        self.tables = Tables(self._files)
        self.product = Product(self._files)

    @classmethod
    def create(
        cls,
        path: str | Place,
        attributes: dict[str, Any],
        rows: Sequence[dict[str, Any]],
        current: dict[str, Any] | None = None,
    ) -> tuple[Store, tuple[int, ...]]:
        """Lay out a new run, or take up the one that is there when it is the same run.

        Parameters
        ----------
        attributes
            What the run is, as JSON values; its "digest" tells runs apart, its "sums" what a row holds: "flux",
            "area"[, "weight"][, "variance"].
        rows
            One JSON-able table per row, with its "digest", "path", "window" and "nominal" area.
        current
            What is asked for now, as JSON values: see `Store.current`.

        Returns
        -------
        store, numbers
            And the numbers of the rows in it.

        Raises
        ------
        InputError
            If ``path`` holds another run, or something that is no run; if it cannot be written.
        """
        files = files_at(path)
        if files.is_free():
            with files.reserved():
                if files.is_free():  # no other driver was first
                    cls._lay_out(files, attributes, rows, current or {})
        found = cls._opened(files).attributes
        wanted = json.loads(json.dumps(attributes))  # as they come back
        if any(found.get(name) != value for name, value in wanted.items()):
            raise InputError(f"{path} holds another run: {_difference(path, found, wanted)}")
        with files.locked():
            store = cls._opened(files, found.get("laid_out"))  # as it is now: another driver may have had it meanwhile
            store._files.sweep()
            numbers = store._take(rows)
            document = _as_current(current or {}, numbers)
            if store._files.get(_CURRENT) != document:  # or damaged
                store._files.put(_CURRENT, document)
            return store, numbers

    @classmethod
    def _lay_out(
        cls, files: Files, attributes: dict[str, Any], rows: Sequence[dict[str, Any]], current: dict[str, Any]
    ) -> None:
        about = {
            **attributes,
            "rows": 0,
            "dmontage_format": FORMAT,
            "laid_out": uuid.uuid4().hex,  # tells it from the next one at this place
        }

        def fill(new: Files) -> None:
            write_rows(new, 0, rows)
            Projected.lay_out(new, attributes["sums"], [Window(*row["window"]) for row in rows])
            new.put(_CURRENT, _as_current(current, range(len(rows))))
            new.put(_ABOUT, group_document(about))  # last: by it a run is one

        files.lay_out(fill)

    def _take(self, wanted: Sequence[dict[str, Any]]) -> tuple[int, ...]:
        """Numbers of some rows; those that are not there are appended."""
        old = self.rows.tables(range(len(self.rows)))
        rows, numbers = merged(old, wanted)
        if rows != old or not self.rows.is_whole:
            last = int(self._attributes["rows"])
            write_rows(self._files, last + 1, rows)
            self.projected.grow([Window(*row["window"]) for row in rows])
            self._note({"rows": last + 1})
            self.rows = RowTable(self._files, last + 1)
            self._files.remove_folder(f"rows/{last}")
        return numbers

    def numbers_of(self, wanted: Sequence[dict[str, Any]]) -> tuple[int, ...] | None:
        """Numbers of some rows, told by their "digest" and "path"; None where any of them is not there."""
        old = self.rows.tables(range(len(self.rows)))
        rows, numbers = merged(old, wanted)
        return numbers if len(rows) == len(old) else None

    def _note(self, more: dict[str, Any]) -> None:
        """Add to the attributes, in one step."""
        attributes = json.loads(self._files.get(_ABOUT) or b"")["attributes"] | more
        self._files.put(_ABOUT, group_document(attributes))
        self._attributes = attributes

    @classmethod
    def open(cls, path: str | Place | StoreRef) -> Store:
        """Open an existing run, or share it with who has it open in this process.

        Parameters
        ----------
        path
            Its place; any run there will do, unless that is a `StoreRef`.

        Raises
        ------
        InputError
            Where there is none, or one of another format.
        InUseError
            Where another one has taken its place.
        """
        there, laid_out = path if isinstance(path, StoreRef) else StoreRef(path)
        store = cls._opened(files_at(there), laid_out)
        if is_url(there):
            _recent.append(store)
        return store

    @classmethod
    def _opened(cls, files: Files, laid_out: str | None = None) -> Store:
        attributes = _attributes_at(files)
        version = attributes["dmontage_format"]
        if version != FORMAT:
            raise InputError(
                f"{files.root} has store format {version}, this one reads {FORMAT}; remove it, or choose another "
                "--workdir"
            )
        if laid_out not in (None, attributes.get("laid_out")):
            raise gone(files.root)
        store = _open.get(files.root)
        if store is None or store._attributes != attributes:
            store = _open[files.root] = cls(files, attributes)
        return store

    @staticmethod
    def is_free(path: str | Place) -> bool:
        """Whether a run may be laid out at a place."""
        return files_at(path).is_free()

    def probe(self) -> None:
        """Raise OSError where this process cannot write to it, as far as that is known before it does."""
        self._files.probe()

    def n_bytes(self) -> int:
        """What all of it takes."""
        return self._files.n_bytes()

    @staticmethod
    def digest_at(path: str | Place) -> str | None:
        """Digest of the run at a place; None where its format is another than this version's."""
        attributes = _attributes_at(files_at(path))
        return str(attributes["digest"]) if attributes["dmontage_format"] == FORMAT else None

    @property
    def current(self) -> dict[str, Any]:
        """The mosaic that was last asked for: the numbers of its "rows", in order, and what its driver noted."""
        try:
            return dict(json.loads(self._files.get(_CURRENT) or b""))
        except ValueError as error:
            raise DamagedError(
                f"{_CURRENT} of {self.path} is damaged: the next run with this --workdir writes it anew"
            ) from error

    @property
    def in_use(self) -> bool:
        """Whether a driver is at work."""
        return self._files.is_locked()

    @property
    def laid_out(self) -> str | None:
        """Tells this store from one that takes its place: rows are known by their numbers."""
        return self._attributes.get("laid_out")

    @property
    def where(self) -> StoreRef:
        """What opens this store, and no other."""
        return StoreRef(self.path, self.laid_out)

    def check_there(self) -> None:
        """Raise InUseError where the lock that is held was taken, or another store has this one's place.

        Before anything is written that stays: rows and pairs are known by numbers, which mean others there.
        """
        self.check_locked()
        if _attributes_at(self._files).get("laid_out") != self.laid_out:
            raise gone(self.path)

    @property
    def attributes(self) -> dict[str, Any]:
        """What the run is."""
        return self._attributes

    @property
    def grid(self) -> Grid:
        """Where its mosaic lies."""
        ny, nx = self._attributes["shape"]
        return Grid(self._attributes["grid"], (ny, nx))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other drivers out while something is written; see `dmontage.store.lock.locked`."""
        with self._files.locked():
            self.check_there()
            yield

    def check_locked(self) -> None:
        """Raise InUseError where the lock that is held was taken by another driver, which found it silent."""
        self._files.check_locked()

    @staticmethod
    def remove(path: str | Place) -> None:
        """Delete a run, of this format or an older one; nothing else is ever deleted here.

        Raises
        ------
        InputError
            If there is no run, or one of a newer version.
        InUseError
            If another driver holds its lock.
        """
        files = files_at(path)
        version = _attributes_at(files)["dmontage_format"]
        if not (isinstance(version, int) and version <= FORMAT):
            raise InputError(f"{path} has store format {version}, this version knows {FORMAT}; remove it by hand")
        with files.locked():
            files.take_away()


def _attributes_at(files: Files) -> dict[str, Any]:
    """Attributes of a run of any format; InputError where there is none."""
    data = files.get(_ABOUT)
    if data is None and not files.exists():
        raise InputError(f"there is no {files.root}; name the --workdir of a run")
    try:
        document = json.loads(data or b"")
        attributes = dict(document["attributes"])
        if document["zarr_format"] == 3 and document["node_type"] == "group" and "dmontage_format" in attributes:
            return attributes
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{files.root} is no dmontage run; name another --workdir") from error
    raise InputError(f"{files.root} is no dmontage run; name another --workdir")


def _as_current(current: dict[str, Any], numbers: Sequence[int]) -> bytes:
    return json.dumps({**current, "rows": list(numbers)}).encode()


def _difference(path: str | Place, old: dict[str, Any], new: dict[str, Any]) -> str:
    """In what two runs differ, for people, and the way out."""
    names = [name for name in new if name != "digest" and old.get(name) != new[name]]
    keep = f", or keep its grid (--header {path})" if {"grid", "shape"} & set(names) else ""
    found = "another " + ", ".join(names) if names else "other parameters"
    return f"{found}; choose another --workdir, remove it{keep}"
