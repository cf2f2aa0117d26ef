"""A run's store as a whole: laid out, taken up, locked, removed (level 3)."""

from __future__ import annotations

import json
import shutil
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import zarr

from dmontage.aside import name_aside, sweep_aside
from dmontage.errors import InputError
from dmontage.grid import Grid
from dmontage.store.arrays import DamagedError
from dmontage.store.files import Files
from dmontage.store.lock import InUseError, gone, locked
from dmontage.store.product import Product
from dmontage.store.projected import Projected
from dmontage.store.rows import RowTable, merged, write_rows
from dmontage.store.tables import Tables
from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["FORMAT", "Store"]

FORMAT = 5
"""Version of the layout."""

_CURRENT = "current.json"


_open: WeakValueDictionary[str, Store] = WeakValueDictionary()
"""Stores that somebody in this process holds: its tasks share the driver's, with the rows that it has in memory."""


class Store:
    """One run's group. Cheap to open; a task opens its own."""

    def __init__(self, path: str, attributes: dict[str, Any]) -> None:
        self.path = path
        self._files = Files(path)
        self._attributes = attributes
        self.rows = RowTable(self._files, attributes["rows"])
        self.projected = Projected(self._files, attributes["sums"])
        self.tables = Tables(self._files)
        self.product = Product(self._files)

    @classmethod
    def create(
        cls,
        path: str | Path,
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
        place = Path(path)
        if not place.exists() or (place.is_dir() and not any(place.iterdir())):
            cls._lay_out(place, attributes, rows, current or {})
        found = cls.open(path).attributes
        wanted = json.loads(json.dumps(attributes))  # as they come back
        if any(found.get(name) != value for name, value in wanted.items()):
            raise InputError(f"{path} holds another run: {_difference(path, found, wanted)}")
        with locked(place):
            store = cls.open(path, found.get("laid_out"))  # as it is now: another driver may have had it meanwhile
            store._files.sweep()
            numbers = store._take(rows)
            document = _as_current(current or {}, numbers)
            if store._files.get(_CURRENT) != document:  # or damaged
                store._files.put(_CURRENT, document)
            return store, numbers

    @classmethod
    def _lay_out(
        cls,
        place: Path,
        attributes: dict[str, Any],
        rows: Sequence[dict[str, Any]],
        current: dict[str, Any],
    ) -> None:
        # Laid out aside: a run that was killed meanwhile leaves no folder that is none.
        sweep_aside(place.parent)
        partial = name_aside(place)
        about = {
            **attributes,
            "rows": 0,
            "dmontage_format": FORMAT,
            "laid_out": uuid.uuid4().hex,  # tells it from the next one at this place
        }
        try:
            zarr.create_group(str(partial), zarr_format=3, attributes=about)
            files = Files(partial)
            write_rows(files, 0, rows)
            Projected.lay_out(files, attributes["sums"], [Window(*row["window"]) for row in rows])
            files.put(_CURRENT, _as_current(current, range(len(rows))))
            partial.rename(place)
        except OSError as error:
            raise InputError(f"cannot write the store {place}: {error}; choose another place (--workdir)") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)

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
            shutil.rmtree(Path(self.path, "rows", str(last)), ignore_errors=True)
        return numbers

    def _note(self, more: dict[str, Any]) -> None:
        """Add to the attributes, in one step."""
        document = json.loads(self._files.get("zarr.json") or b"")
        document["attributes"].update(more)
        self._files.put("zarr.json", json.dumps(document).encode())
        self._attributes = document["attributes"]

    @classmethod
    def open(cls, path: str | Path, laid_out: str | None = None) -> Store:
        """Open an existing run, or share it with who has it open in this process.

        Parameters
        ----------
        laid_out
            Which one it must be: `laid_out` of the store when it was opened first. Any, if None.

        Raises
        ------
        InputError
            Where there is none, or one of another format.
        InUseError
            Where another one has taken its place.
        """
        key = str(Path(path).absolute())
        attributes = _attributes_at(key)
        version = attributes["dmontage_format"]
        if version != FORMAT:
            raise InputError(
                f"{path} has store format {version}, this one reads {FORMAT}; remove it, or choose another --workdir"
            )
        if laid_out not in (None, attributes.get("laid_out")):
            raise gone(path)
        store = _open.get(key)
        if store is None or store._attributes != attributes:
            store = _open[key] = cls(key, attributes)
        return store

    @staticmethod
    def digest_at(path: str | Path) -> str | None:
        """Digest of the run at a place; None where its format is another than this version's."""
        attributes = _attributes_at(path)
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
        try:
            with self.locked():
                return False
        except InUseError:
            return True

    @property
    def laid_out(self) -> str | None:
        """Tells this store from one that takes its place: rows are known by their numbers."""
        return self._attributes.get("laid_out")

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
        with locked(Path(self.path)):
            Store.open(self.path, self.laid_out)
            yield

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
        version = _attributes_at(place)["dmontage_format"]
        if not (isinstance(version, int) and version <= FORMAT):
            raise InputError(f"{path} has store format {version}, this version knows {FORMAT}; remove it by hand")
        with locked(place):
            # Aside first: killed half-way, it leaves no folder in the place that is neither a run nor free.
            sweep_aside(place.parent)
            aside = name_aside(place)
            place.rename(aside)
            shutil.rmtree(aside)


def _attributes_at(path: str | Path) -> dict[str, Any]:
    """Attributes of a run of any format; InputError where there is none."""
    try:
        document = json.loads(Path(path, "zarr.json").read_bytes())
        attributes = dict(document["attributes"])
        if document["zarr_format"] == 3 and document["node_type"] == "group" and "dmontage_format" in attributes:
            return attributes
    except FileNotFoundError as error:
        if not Path(path).exists():
            raise InputError(f"there is no {path}; name the --workdir of a run") from error
        raise InputError(f"{path} is no dmontage run; name another --workdir") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no dmontage run; name another --workdir") from error
    raise InputError(f"{path} is no dmontage run; name another --workdir")


def _as_current(current: dict[str, Any], numbers: Sequence[int]) -> bytes:
    return json.dumps({**current, "rows": list(numbers)}).encode()


def _difference(path: str | Path, old: dict[str, Any], new: dict[str, Any]) -> str:
    """In what two runs differ, for people, and the way out."""
    names = [name for name in new if name != "digest" and old.get(name) != new[name]]
    keep = f", or keep its grid (--header {path})" if {"grid", "shape"} & set(names) else ""
    found = "another " + ", ".join(names) if names else "other parameters"
    return f"{found}; choose another --workdir, remove it{keep}"
