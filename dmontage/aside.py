"""Writing aside: a file, or a folder, gets its name when it is whole (level 0)."""

from __future__ import annotations

import os
import shutil
import socket
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from dmontage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["aside", "boot_of_machine", "lives", "name_aside", "sweep_aside"]

_SUFFIX = ".partial"


def name_aside(path: Path) -> Path:
    """A hidden name beside ``path`` that is this process's own: it tells machine and process."""
    return path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}{_SUFFIX}")


def sweep_aside(folder: Path) -> None:
    """Take away what processes of this machine that are no more left in a folder under such names."""
    for old in folder.glob(f".*.{socket.gethostname()}-*{_SUFFIX}"):
        pid = old.name.removesuffix(_SUFFIX).rpartition("-")[2]
        if pid.isdigit() and int(pid) != os.getpid() and not lives(int(pid)):
            shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink(missing_ok=True)


def lives(pid: int) -> bool:
    """Whether a process of this machine is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


@cache
def boot_of_machine() -> str:
    """The same in all processes of a machine, containers too, and another on any other; nothing where not known."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; it takes its name at the end, or goes if that is not reached.

    Raises
    ------
    InputError
        Where it cannot be written.
    """
    sweep_aside(path.parent)
    part = name_aside(path)
    try:
        yield part
        part.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}; choose another place") from error
    finally:
        part.unlink(missing_ok=True)
