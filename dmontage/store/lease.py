"""Lease: one driver at a time writes to a run in an object store (level 3).

There is no kernel that frees a lock when its holder dies. So the holder writes its lock anew every few seconds, by
conditional writes only, and who finds a lock watches it: one that does not change for a while belongs to nobody any
more. No clock but the watcher's own is used. A dead process of the same machine is known at once.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from dmontage.aside import lives
from dmontage.errors import UnreachableError
from dmontage.store.lock import InUseError, gone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dmontage.places import Url

__all__ = ["BEAT", "is_held", "leased"]

BEAT = 3.0
"""Seconds between two writes of a holder."""
PATIENCE = 5
"""Beats without a write until a lock is free."""


@contextmanager
def leased(place: Url) -> Iterator[None]:
    """Hold the lock of the run at a URL.

    Raises
    ------
    InUseError
        If another driver holds it, or the run is gone.
    """
    lock = place / "driver.lock"
    if not (place / "zarr.json").is_file():
        raise gone(place)
    state = _Holder(lock, _taken(lock, place))
    state.start()
    try:
        yield
    finally:
        state.end()
    if state.is_lost:
        raise InUseError(f"another run took the lock of {place}, which it found silent; run again when it is done")


def is_held(place: Url) -> bool:
    """Whether a driver holds the lock of the run at a URL; nothing is written."""
    lock, seen, since = place / "driver.lock", None, time.monotonic()
    while found := lock.read_versioned():
        if seen is not None and found[1] != seen:
            return True
        if _is_dead(found[0]) or time.monotonic() - since > 2 * BEAT:
            return False
        seen = found[1]
        time.sleep(BEAT / 6)
    return False


class _Holder(threading.Thread):
    """Writes the lock again and again until it is told to end."""

    def __init__(self, lock: Url, version: Any) -> None:
        super().__init__(name="dmontage-lease", daemon=True)
        self._lock, self._version, self._stop_it = lock, version, threading.Event()
        self.is_lost = False

    def run(self) -> None:
        while not self._stop_it.wait(BEAT):
            with suppress(UnreachableError):  # again at the next beat; the work itself will tell if it lasts
                self._version = self._lock.write_if(_document(), self._version)
                if self._version is None:
                    self.is_lost = True
                    return

    def end(self) -> None:
        """Give the lock back."""
        self._stop_it.set()
        self.join()
        if not self.is_lost:
            self._lock.unlink()


def _document() -> bytes:
    """Of its holder; no two are the same, so that one that is written anew has another ETag."""
    return json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "beat": uuid.uuid4().hex}).encode()


def _taken(lock: Url, place: Url) -> Any:
    """The version of the lock, now that it is this process's."""
    version = lock.write_if(_document(), None)
    seen, since = None, time.monotonic()
    while version is None:
        found = lock.read_versioned()
        if found is None:  # given back meanwhile
            version = lock.write_if(_document(), None)
            continue
        document, at = found
        if seen is not None and at != seen:
            raise InUseError(f"{place} is in use by another run; wait for it, or choose another --workdir")
        seen = at
        if _is_dead(document) or time.monotonic() - since > PATIENCE * BEAT:
            version, seen = lock.write_if(_document(), at), None
        else:
            time.sleep(BEAT / 6)
    return version


def _is_dead(document: bytes) -> bool:
    """Whether it was written by a process of this machine that is no more."""
    try:
        holder = json.loads(document)
        return bool(holder["host"] == socket.gethostname() and not lives(int(holder["pid"])))
    except (ValueError, KeyError, TypeError):  # no lock of ours: as any other that nobody writes to
        return False
