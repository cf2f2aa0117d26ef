"""Lease: one driver at a time writes to a run in an object store (level 3).

There is no kernel that frees a lock when its holder dies. So the holder writes its lock anew every few seconds, by
conditional writes only, and who finds a lock watches it: one that does not change for a while belongs to nobody any
more. No clock but the watcher's own is used. A dead process of the same machine is known at once.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from dmontage.aside import boot_of_machine, lives
from dmontage.errors import UnreachableError
from dmontage.log import say
from dmontage.store.lock import LOCK, InUseError, in_use

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from dmontage.places import Url

__all__ = ["BEAT", "PATIENCE", "Lease", "is_held"]

BEAT = 3.0
"""Seconds between two writes of a holder."""
PATIENCE = 10
"""Beats without a write until a lock is free."""
_T = TypeVar("_T")

_TRIES = 5
"""Of the write that takes a lock, before the store counts as out of reach."""


class Lease:
    """The lock of the run at a URL, as one driver holds it; use as a context.

    Raises
    ------
    InUseError
        If another driver holds it; at the end, if another one has taken it meanwhile.
    """

    def __init__(self, place: Url) -> None:
        self._place, self._lock = place, place / LOCK
        self._version: Any = None
        self._sent: deque[bytes] = deque(maxlen=2 * PATIENCE)
        """What was written last: known again where the answer to a write was lost."""
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="dmontage-lease", daemon=True)
        self.is_lost = False
        """True when another driver has it."""

    def __enter__(self) -> Self:
        self._take()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._done.set()
        self._thread.join()
        with suppress(UnreachableError):  # of a lock that is not given back nobody waits for long
            if self._renew():
                self._lock.unlink()
        if kind is None:
            self.check()

    def check(self) -> None:
        """Raise InUseError where another driver has the lock."""
        if self.is_lost:
            raise InUseError(
                f"another run took the lock of {self._place}, which was silent for {PATIENCE * BEAT:g} s; run again"
            )

    def _beat(self) -> None:
        while not self._done.wait(BEAT):
            with suppress(UnreachableError):  # again at the next beat; the work itself will tell if it lasts
                if not self._renew():
                    return

    def _renew(self) -> bool:
        """Write it anew; False where it is lost."""
        if self.is_lost or self._write(self._version):
            return not self.is_lost
        found = self._lock.read_versioned()
        if found is None or found[0] not in self._sent:
            self.is_lost = True
            return False
        self._version = found[1]  # written by this, and not answered
        return True

    def _write(self, before: Any) -> bool:
        document = json.dumps({**_machine(), "beat": uuid.uuid4().hex}).encode()
        self._sent.append(document)
        version = self._lock.write_if(document, before)
        if version is None:
            return False
        self._version = version
        return True

    def _take(self) -> None:
        if _insisted(lambda: self._write(None)):
            return
        seen, since = None, time.monotonic()
        while (found := _insisted(self._lock.read_versioned)) is not None:
            document, version = found
            if document in self._sent:
                self._version = version
                return
            if seen is not None and version != seen:
                raise in_use(self._place)
            dead = _is_dead(document)
            if seen is None and not dead:
                text = f"another run may be at work in {self._place}: watching its lock for {PATIENCE * BEAT:g} s"
                say("waiting", text, logging.WARNING)
            seen = version
            if (dead or time.monotonic() - since > PATIENCE * BEAT) and _insisted(partial(self._write, version)):
                return
            time.sleep(BEAT / 6)
        self._take()  # given back meanwhile


def _insisted(ask: Callable[[], _T]) -> _T:
    """What a request gives that takes seconds at most, tried some times."""
    for _ in range(_TRIES - 1):
        with suppress(UnreachableError):
            return ask()
        time.sleep(BEAT / 6)
    return ask()


def is_held(place: Url) -> bool:
    """Whether a driver holds the lock of the run at a URL; nothing is written."""
    lock, seen, since = place / LOCK, None, time.monotonic()
    while found := _insisted(lock.read_versioned):
        if seen is not None and found[1] != seen:
            return True
        if _is_dead(found[0]) or time.monotonic() - since > 2 * BEAT:
            return False
        seen = found[1]
        time.sleep(BEAT / 6)
    return False


def _machine() -> dict[str, Any]:
    """What tells this process: names of machines are not all different, nor are numbers of processes in containers."""
    try:
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 (it is no path)
    except OSError:
        space = ""
    # Where nobody knows, there is no telling whether a process lives.
    boot = boot_of_machine() or uuid.uuid4().hex
    return {"host": socket.gethostname(), "boot": boot, "space": space, "pid": os.getpid()}


def _is_dead(document: bytes) -> bool:
    """Whether it was written by a process of this machine that is no more."""
    try:
        holder = json.loads(document)
        here = all(holder[key] == value for key, value in _machine().items() if key != "pid")
        return here and not lives(int(holder["pid"]))
    except (ValueError, KeyError, TypeError):  # no lock of ours: as any other that nobody writes to
        return False
