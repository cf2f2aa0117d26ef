"""Writing aside: a file, or a folder, gets its name when it is whole (level 0)."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import socket
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from dmontage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["aside", "boot_of_machine", "is_here", "lives", "make_folder", "name_aside", "sweep_aside", "write_together"]

_SUFFIX = ".partial"

_BORN = secrets.token_hex(4)
"""Tells this process from an earlier one of its number: in containers that start again all have the same."""
_numbers = itertools.count()


def name_aside(path: Path) -> Path:
    """A hidden name beside ``path`` that was never given before: it tells machine and process, too.

    A task of a run that was given up may still write to the name that it was told.
    """
    own = f"{_BORN}{next(_numbers):x}.{socket.gethostname()}-{os.getpid()}"
    return path.with_name(f".{path.name}.{own}{_SUFFIX}")


def sweep_aside(folder: Path) -> None:
    """Take away what processes of this machine that are no more left in a folder under such names."""
    for old in folder.glob(f".*.{socket.gethostname()}-*{_SUFFIX}"):
        head, _, pid = old.name.removesuffix(_SUFFIX).rpartition("-")
        if not pid.isdigit() or not head.endswith(f".{socket.gethostname()}"):  # of a machine with a longer name
            continue
        if f".{_BORN}" not in head if int(pid) == os.getpid() else not lives(int(pid)):
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


def is_here(boot: str) -> bool:
    """Whether a machine, by its `boot_of_machine`, is this one; False for one that is not known."""
    return boot != "" and boot == boot_of_machine()


def make_folder(folder: Path) -> None:
    """Make a folder, where it is not there; InputError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}; choose another") from error


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


def write_together(files: Sequence[tuple[Path, Callable[[Path], object]]]) -> None:
    """Write files that belong together, each by its function: they get their names when all are whole, the last last.

    Raises
    ------
    InputError
        Where one cannot be written: then what was there before stays as it was. Where two are one file.
    """
    paths = [path.absolute() for path, _ in files]
    for path, _ in files:
        if path.is_dir():  # which nothing but its renaming would tell, after that of others
            raise InputError(f"cannot write {path}: it is a folder; name a file")
        if paths.count(path.absolute()) > 1:
            raise InputError(f"cannot write two files to {path}: name another for one of them")
    with ExitStack() as names:  # which ends with what was entered last
        for path, write in reversed(files):
            write(names.enter_context(aside(path)))
