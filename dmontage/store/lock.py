"""Lock: one driver at a time writes to a run (level 3)."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dmontage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["LOCK", "InUseError", "gone", "in_use", "is_locked", "locked"]

LOCK = "driver.lock"
"""Its name in the store."""


class InUseError(InputError):
    """Another driver holds a run's lock."""


def in_use(place: object) -> InUseError:
    """The error that another driver is at work on a run."""
    return InUseError(f"{place} is in use by another run; wait for it, or choose another --workdir")


def gone(place: object) -> InUseError:
    """The error that a run is not there any more."""
    return InUseError(f"{place} was removed by another run; run again")


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """Hold the lock of the run at a place; the kernel frees it when this process ends.

    Raises
    ------
    InUseError
        If another run holds it, or has removed the store.
    InputError
        If nothing can be written there.
    """
    name = place / LOCK
    try:
        file = name.open("w")
    except FileNotFoundError as error:
        raise gone(place) from error
    except OSError as error:
        raise InputError(f"cannot write to the store {place}: {error.strerror}; choose another --workdir") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise in_use(place) from error
        if not (name.exists() and os.path.samestat(os.fstat(file.fileno()), name.stat())):
            raise gone(place)
        yield


def is_locked(place: Path) -> bool:
    """Whether a driver holds the lock of the run at a place, which may be one that nobody may write to."""
    try:
        file = (place / LOCK).open("rb")
    except OSError:  # there was no driver yet
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
