"""Files: bytes by key in one folder (level 3). A key appears whole, or not at all."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from dmontage.errors import InputError

__all__ = ["Files"]

_PARTIAL = ".partial"


class Files:
    """A folder. All that a store writes goes through `put`."""

    def __init__(self, root: str | Path) -> None:
        self.root = os.fspath(root)

    def get(self, key: str) -> bytes | None:
        """What a key holds; None where there is nothing."""
        try:
            with open(f"{self.root}/{key}", "rb", buffering=0) as file:  # noqa: PTH123 (a path object costs as much)
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InputError(f"cannot read {self.root}/{key}: {error.strerror or error}") from error

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

    def remove(self, key: str) -> None:
        """Take a key away; nothing where it is not there."""
        Path(self.root, key).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Take away what killed processes left half-written."""
        for path in Path(self.root).rglob(f"*{_PARTIAL}"):
            path.unlink(missing_ok=True)
