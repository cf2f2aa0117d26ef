"""URLs that can be asked what a `Path` can."""

from __future__ import annotations

import hashlib
import io
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from dmontage.errors import InputError, UnreachableError
from dmontage.places.buckets import MissingError, asked, bucket
from dmontage.places.ranges import Ranges

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Place", "Stat", "Url"]

_AHEAD = 64 * 1024
"""Bytes that one request reads at least: the header of an image mostly."""


class Stat(NamedTuple):
    """Of an object, named as those of a file are."""

    st_size: int
    st_mtime_ns: int
    """No time: a number that its ETag gives. Times of objects are whole seconds only."""


@dataclass(frozen=True, order=True)
class Url:
    """An object, or the common start of several, in an object store."""

    scheme: str
    bucket: str
    key: str
    known: Stat | None = field(default=None, compare=False, repr=False)
    """What a listing told of it."""
    head: bytes | None = field(default=None, compare=False, repr=False)
    """Its first bytes, where they were read already."""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}"

    @property
    def is_plain(self) -> bool:
        """Whether its text names it: not where a key has parts that paths, or marks that URLs, do not have."""
        parts = self.key.split("/") if self.key else []
        return not ({"", ".", ".."}.intersection(parts) or set("?#").intersection(self.key))

    @property
    def in_memory(self) -> bool:
        """Whether it is of this process alone."""
        return self.scheme == "memory"

    @property
    def _path(self) -> PurePosixPath:
        return PurePosixPath(self.key)

    @property
    def name(self) -> str:
        """The last part of its key."""
        return self._path.name

    @property
    def stem(self) -> str:
        """The name without its last suffix."""
        return self._path.stem

    @property
    def suffix(self) -> str:
        """The last suffix of the name."""
        return self._path.suffix

    @property
    def suffixes(self) -> list[str]:
        """All suffixes of the name."""
        return self._path.suffixes

    @property
    def parent(self) -> Url:
        """What its key begins with."""
        parent = str(self._path.parent)
        return Url(self.scheme, self.bucket, "" if parent == "." else parent)

    def with_name(self, name: str) -> Url:
        """Another in the same place."""
        return Url(self.scheme, self.bucket, str(self._path.with_name(name)))

    def with_suffix(self, suffix: str) -> Url:
        """The same with another suffix."""
        return Url(self.scheme, self.bucket, str(self._path.with_suffix(suffix)))

    def with_stem(self, stem: str) -> Url:
        """The same with another name before the suffix."""
        return Url(self.scheme, self.bucket, str(self._path.with_stem(stem)))

    def __truediv__(self, part: str) -> Url:
        return Url(self.scheme, self.bucket, f"{self.key}/{part}".lstrip("/"))

    def resolve(self) -> Url:
        """Itself: there are no links."""
        return self

    def exists(self) -> bool:
        """Whether there is such an object, or any below."""
        return self.is_file() or self.is_dir()

    def is_file(self) -> bool:
        """Whether there is such an object."""
        try:
            return bool(self.key) and bool(self.stat())
        except MissingError:
            return False

    def is_dir(self) -> bool:
        """Whether any object lies below."""
        return bool(self.some_below())

    def some_below(self) -> set[str]:
        """Some keys of objects that lie below, a thousand at most, without its own; none only where there is none."""
        import obstore

        def page() -> list[Any]:
            # A listing of its own for each try.
            return list(next(iter(obstore.list(self._store, prefix=self.key or None)), ()))

        return {meta["path"][len(self.key) + bool(self.key) :] for meta in asked(self, page)}

    def below(self) -> Iterator[Url]:
        """All objects whose keys begin with this one and a slash, in order, with what is known of them."""
        import obstore

        def listed() -> list[Any]:
            # Whole, or not at all: a listing that was broken off ends, when it is asked again, as if that were all.
            return [meta for batch in obstore.list(self._store, prefix=self.key or None) for meta in batch]

        for meta in sorted(asked(self, listed), key=lambda meta: meta["path"]):
            yield Url(self.scheme, self.bucket, meta["path"], _stat(meta))

    def stat(self) -> Stat:
        """Size and ETag; `MissingError` where it is not."""
        if self.known is not None:
            return self.known
        import obstore

        return _stat(asked(self, lambda: obstore.head(self._store, self.key)))

    @property
    def _store(self) -> Any:
        return bucket(self.scheme, self.bucket)

    def with_head(self, n: int = _AHEAD) -> Url:
        """The same with its first ``n`` bytes, all for one request."""
        if self.head is not None:
            return self
        if self.known is None or self.known.st_size:
            try:
                head, stat = self.read_range(0, n)
                return replace(self, head=head, known=stat)
            except UnreachableError:
                if self.stat().st_size:  # no range of an empty object can be had
                    raise
        return replace(self, head=b"")

    def read_range(self, start: int, end: int) -> tuple[bytes, Stat]:
        """Some of its bytes, at most to its end, and what it is."""
        import obstore

        def both() -> tuple[bytes, Stat]:
            got = obstore.get(self._store, self.key, options={"range": (start, end)})
            return got.bytes().to_bytes(), _stat(got.meta)

        return asked(self, both)

    def open(self, mode: str = "rb") -> io.BufferedReader:
        """A file to read from by ranges; its ``raw`` is a `Ranges`."""
        if mode != "rb":
            raise ValueError(f"mode {mode!r}: objects are read in binary, and written whole")
        source = Ranges(self)
        return io.BufferedReader(source, _AHEAD * 64 if source.is_gzip else _AHEAD)  # which is read from its start

    def fetch(self, path: Path) -> None:
        """Copy it to a path of this machine, piece by piece; InputError where that cannot be written."""
        import obstore

        def copy() -> None:
            try:
                with path.open("wb") as file:
                    for piece in obstore.get(self._store, self.key).stream():
                        file.write(piece)
            except OSError as error:
                if error.errno is None:  # the store's own, which has no number
                    raise
                raise InputError(
                    f"{self}: cannot write {path}: {error.strerror}; make room there, or name another folder (TMPDIR)"
                ) from error

        asked(self, copy)

    def read_bytes(self) -> bytes:
        """All of it."""
        import obstore

        return asked(self, lambda: obstore.get(self._store, self.key).bytes().to_bytes())

    def write_bytes(self, data: bytes) -> None:
        """Put it there whole."""
        import obstore

        asked(self, lambda: obstore.put(self._store, self.key, data, use_multipart=False))

    def send(self, path: Path) -> None:
        """Put a file there, in parts where it is large; it appears when it is whole."""
        import obstore

        asked(self, lambda: obstore.put(self._store, self.key, path))

    def write_if(self, data: bytes, before: Any) -> Any:
        """Put it there, within seconds, if it is the version ``before``, None for nothing.

        Returns
        -------
        version or None
            That it has now; None where it was not. A write that was done, but whose answer is lost, may look so too.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        client = bucket(self.scheme, self.bucket, quick=True)
        mode: Any = "create" if before is None else before
        try:
            made = asked(self, lambda: obstore.put(client, self.key, data, mode=mode, use_multipart=False), once=True)
        except (AlreadyExistsError, PreconditionError, MissingError):
            return None
        return _version(made)

    def read_versioned(self) -> tuple[bytes, Any] | None:
        """All of it, and its version, within seconds or not at all; None where there is nothing."""
        import obstore

        client = bucket(self.scheme, self.bucket, quick=True)

        def both() -> tuple[bytes, Any]:
            got = obstore.get(client, self.key)
            return got.bytes().to_bytes(), _version(got.meta)

        try:
            return asked(self, both, once=True)
        except MissingError:
            return None

    def unlink(self) -> None:
        """Take it away; nothing where it is not there."""
        self.remove([self])

    def remove(self, each: list[Url]) -> None:
        """Take objects of its bucket away; nothing where they are not there."""
        import obstore

        def delete(keys: list[str]) -> None:
            asked(self, lambda: obstore.delete(self._store, keys))

        keys = [url.key for url in each]
        try:
            delete(keys)
        except MissingError:  # one of them, as one that was deleted without an answer; the others may be there still
            for key in keys:
                with suppress(MissingError):
                    delete([key])


def _version(meta: Any) -> dict[str, str]:
    """What tells one content of an object from the next: S3 has ETags for it, Google a number of its own."""
    return {name: meta[name] for name in ("e_tag", "version") if meta[name] is not None}


def _stat(meta: Any) -> Stat:
    text = f"{meta['e_tag']}|{meta['last_modified'] if meta['e_tag'] is None else ''}"
    return Stat(meta["size"], int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big"))


Place: TypeAlias = Path | Url
