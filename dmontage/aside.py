"""Writing aside: a file gets its name when it is whole (level 0)."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dmontage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["aside"]


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; it takes its name at the end, or goes if that is not reached.

    Raises
    ------
    InputError
        Where it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}; choose another place") from error
    finally:
        part.unlink(missing_ok=True)
