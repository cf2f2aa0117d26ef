"""Objects: a run in an object store (level 3). Objects appear whole as they are; there is no folder, no rename."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from dmontage.errors import InputError
from dmontage.places import AT_ONCE, MissingError, Url, place
from dmontage.store.files import Files
from dmontage.store.lease import Lease, is_held
from dmontage.store.lock import LOCK, gone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from dmontage.places import Place

__all__ = ["Objects", "files_at"]

_In = TypeVar("_In")
_Out = TypeVar("_Out")

_BEGUN = "laying-out"
"""There while a run is laid out: its objects are of no use before the last one, ``zarr.json``, is there."""


class Objects(Files):
    """What a `Files` does, in an object store."""

    def __init__(self, url: Url) -> None:
        super().__init__(str(url))
        self._url = url
        self._lease: Lease | None = None

    def get(self, key: str) -> bytes | None:
        """What a key holds; None where there is nothing."""
        try:
            return (self._url / key).read_bytes()
        except MissingError:
            return None

    def each(self, act: Callable[[_In], _Out], items: Iterable[_In]) -> list[_Out]:
        """As of files, many at once: an answer takes tens of milliseconds."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(act, items))

    def put(self, key: str, data: bytes) -> None:
        """Write it, whole."""
        (self._url / key).write_bytes(data)

    def has(self, key: str) -> bool:
        """Whether a key is there."""
        return (self._url / key).is_file()

    def present(self, folder: str, keys: Iterable[str]) -> set[str]:
        """Those of some keys of a folder that are there: one request for a thousand."""
        wanted, start = set(keys), len(f"{self._url}/")
        return {key for url in (self._url / folder).below() if (key := str(url)[start:]) in wanted}

    def remove(self, key: str) -> None:
        """Take a key away; nothing where it is not there."""
        (self._url / key).unlink()

    def remove_folder(self, folder: str) -> None:
        """Take all keys of a folder away."""
        self._url.remove(list((self._url / folder).below()))

    def sweep(self) -> None:
        """Nothing: no object is ever half-written."""

    def probe(self) -> None:
        """Nothing: tasks say what they may not."""

    def n_bytes(self) -> int:
        """What all keys take."""
        return sum(url.stat().st_size for url in self._url.below())

    def exists(self) -> bool:
        """Whether anything is there."""
        return self._url.is_dir()

    def is_free(self) -> bool:
        """Whether a run may be laid out there: nothing is, or what a run left that was killed before it was one."""
        return not self.has("zarr.json") and (self.has(_BEGUN) or self._url.some_below() <= {LOCK})

    @contextmanager
    def reserved(self) -> Iterator[None]:
        """Keep others out of a place that is no run yet."""
        if not self._url.key:
            raise InputError(f"{self._url}: a whole bucket is no place for a store; give {self._url}run.zarr")
        with Lease(self._url):
            yield

    def lay_out(self, fill: Callable[[Files], None]) -> None:
        """Let ``fill`` make a new run, which it is when its ``zarr.json`` is there."""
        self.put(_BEGUN, b"")
        self._clear()
        fill(self)
        self.remove(_BEGUN)

    def _clear(self) -> None:
        """Take all away but the lock, and what tells that it is no run; killed half-way, that stays true."""
        keep = {str(self._url / key) for key in (LOCK, _BEGUN)}
        self._url.remove([url for url in self._url.below() if str(url) not in keep])

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other drivers out; see `dmontage.store.lease.Lease`."""
        with Lease(self._url) as lease:
            if not self.has("zarr.json"):
                raise gone(self._url)
            self._lease = lease
            try:
                yield
            finally:
                self._lease = None

    def check_locked(self) -> None:
        """Raise InUseError where another driver has taken the lock that is held."""
        if self._lease is not None:
            self._lease.check()

    def is_locked(self) -> bool:
        """Whether a driver is at work: its lock is written to."""
        return is_held(self._url)

    def take_away(self) -> None:
        """Delete the whole run; killed half-way, it leaves what is no run, and free."""
        self.put(_BEGUN, b"")
        self.remove("zarr.json")
        self._clear()
        self.remove(_BEGUN)


def files_at(path: str | Place) -> Files:
    """The files of a place, which may be a URL."""
    there = place(path)
    return Objects(there) if isinstance(there, Url) else Files(there.absolute())
