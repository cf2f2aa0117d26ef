"""Files: bytes by key in one folder (level 3). A key appears whole, or not at all.

All that a store does to its place goes through here: `Files` for a folder of this machine, `Objects` for a URL.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dmontage.aside import name_aside, sweep_aside
from dmontage.errors import InputError
from dmontage.store.lock import is_locked, locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["Files", "group_document"]

_In = TypeVar("_In")
_Out = TypeVar("_Out")

_PARTIAL = ".partial"


class Files:
    """A folder of this machine."""

    def __init__(self, root: str | Path) -> None:
        self.root = os.fspath(root)

    def get(self, key: str) -> bytes | None:
        """What a key holds; None where there is nothing."""
        try:
            with open(f"{self.root}/{key}", "rb", buffering=0) as file:  # noqa: PTH123 (a path object costs as much)
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise InputError(f"cannot read {self.root}/{key}: {error.strerror or error}") from error

    def each(self, act: Callable[[_In], _Out], items: Iterable[_In]) -> list[_Out]:
        """Do something that waits for this place with each of some items; where that takes long, with many at once."""
        return [act(item) for item in items]

    def put(self, key: str, data: bytes) -> None:
        """Write aside, then give it its name: a process that is killed leaves the old bytes or the new.

        Raises
        ------
        InputError
            Where it cannot be written: the disk is full, or the folder read-only or gone.
        """
        path = f"{self.root}/{key}"
        partial = f"{path}.{os.getpid()}-{threading.get_ident()}{_PARTIAL}"
        try:
            try:
                self._write(partial, data)
            except FileNotFoundError:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                self._write(partial, data)
            os.replace(partial, path)  # noqa: PTH105
        except OSError as error:
            Path(partial).unlink(missing_ok=True)
            raise InputError(
                f"cannot write to the store {self.root}: {error.strerror or error}; what is done is kept: make room "
                "or mend it, and run the same command again"
            ) from error

    @staticmethod
    def _write(path: str, data: bytes) -> None:
        with open(path, "wb", buffering=0) as file:  # noqa: PTH123
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]

    def has(self, key: str) -> bool:
        """Whether a key is there."""
        return os.path.exists(f"{self.root}/{key}")  # noqa: PTH110

    def present(self, folder: str, keys: Iterable[str]) -> set[str]:
        """Those of some keys of a folder that are there."""
        return {key for key in keys if self.has(key)}

    def remove(self, key: str) -> None:
        """Take a key away; nothing where it is not there."""
        Path(self.root, key).unlink(missing_ok=True)

    def remove_folder(self, folder: str) -> None:
        """Take all keys of a folder away."""
        shutil.rmtree(Path(self.root, folder), ignore_errors=True)

    def sweep(self) -> None:
        """Take away what killed processes left half-written."""
        for path in Path(self.root).rglob(f"*{_PARTIAL}"):
            path.unlink(missing_ok=True)

    def probe(self) -> None:
        """Write something and take it away; OSError where nothing can be written."""
        path = Path(self.root, f"probe-{uuid.uuid4().hex}{_PARTIAL}")  # swept up, should it stay
        path.touch()
        path.unlink()

    def n_bytes(self) -> int:
        """What all keys take; of those that come and go meanwhile some."""
        total = 0
        for folder, _, names in os.walk(self.root):  # which passes over folders that are gone
            for name in names:
                with suppress(FileNotFoundError):
                    total += Path(folder, name).stat().st_size
        return total

    def exists(self) -> bool:
        """Whether anything is there."""
        return Path(self.root).exists()

    def is_free(self) -> bool:
        """Whether a run may be laid out there."""
        place = Path(self.root)
        return not place.exists() or (place.is_dir() and not any(place.iterdir()))

    @contextmanager
    def reserved(self) -> Iterator[None]:
        """Nothing: who is first to rename a folder has laid out the run."""
        yield

    def lay_out(self, fill: Callable[[Files], None]) -> None:
        """Let ``fill`` make a new run; one that is killed meanwhile leaves no folder that is none."""
        place = Path(self.root)
        sweep_aside(place.parent)
        partial = name_aside(place)
        try:
            partial.mkdir(parents=True)
            fill(Files(partial))
            partial.rename(place)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):  # another run was first
                return
            raise InputError(f"cannot write the store {place}: {error}; choose another place (--workdir)") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other drivers out; see `dmontage.store.lock.locked`."""
        with locked(Path(self.root)):
            yield

    def check_locked(self) -> None:
        """Nothing: what the kernel gives nobody takes."""

    def is_locked(self) -> bool:
        """Whether a driver is at work; nothing is written."""
        return is_locked(Path(self.root))

    def take_away(self) -> None:
        """Delete the whole run; killed half-way, it leaves no folder in its place that is neither a run nor free."""
        place = Path(self.root)
        sweep_aside(place.parent)
        aside = name_aside(place)
        place.rename(aside)
        shutil.rmtree(aside)


def group_document(attributes: dict[str, Any]) -> bytes:
    """The document of a zarr group, ``zarr.json``."""
    return json.dumps({"zarr_format": 3, "node_type": "group", "attributes": attributes}).encode()
