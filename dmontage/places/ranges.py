"""Reading objects by ranges, as files are read."""

from __future__ import annotations

import io
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmontage.errors import ChangedError, InputError
from dmontage.places.buckets import MissingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    from dmontage.places.url import Place, Url

__all__ = ["AT_ONCE", "Ranges", "with_heads"]

AT_ONCE = 16
"""Requests that are under way together."""


class Ranges(io.RawIOBase):
    """An object as a file that can be sought in; its first bytes are there at once."""

    def __init__(self, url: Url) -> None:
        super().__init__()
        headed = url.with_head()
        self._url, self._head, self._at = headed, headed.head or b"", 0
        self.stat = headed.stat()
        self.failure: InputError | None = None
        """Why a read failed: readers of formats take any error for damage of what they read."""

    @property
    def is_gzip(self) -> bool:
        """Whether it begins as gzip does."""
        return self._head.startswith(b"\x1f\x8b")

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of any file."""
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.stat.st_size}[whence])
        return self._at

    def tell(self) -> int:
        """As of any file."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """As of any file."""
        start, end = self._at, min(self._at + len(buffer), self.stat.st_size)
        if start >= end:
            return 0
        data: bytes | memoryview
        if start < len(self._head):
            data = memoryview(self._head)[start:end]  # it may be all of a large image
        else:
            try:
                data, stat = self._url.read_range(start, end)
                if stat != self.stat:
                    raise ChangedError(f"{self._url}: has changed while it was read; scan again")
            except InputError as error:
                self.failure = error
                raise
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _headed(url: Url) -> Url:
    try:
        return url.with_head()
    except MissingError:  # gone since it was listed: told by who looks into it
        return url


def with_heads(places: Iterable[Place]) -> Iterator[Place]:
    """The same places in the same order; the first bytes of objects are read ahead, many at once."""
    waiting: deque[Future[Place]] = deque()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for each in places:
            if isinstance(each, Path):
                while waiting:
                    yield waiting.popleft().result()
                yield each
                continue
            waiting.append(pool.submit(_headed, each))
            if len(waiting) > 2 * AT_ONCE:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
