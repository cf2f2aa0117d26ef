"""Telling: who hears how far the stages of a mosaic are."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from dmontage.progress import bars

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Progress", "Telling"]

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total) of its tasks."""


def _silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""


class Telling:
    """Something with stages whose progress is told."""

    def __init__(self, progress: Progress | bool | None = None) -> None:
        self._progress = _silent if progress is None or isinstance(progress, bool) else progress
        self._bars = progress is True
        self._watches: dict[int, Progress] = {}
        """By thread: who watches one must not hear of, or silence, what another does."""

    @contextmanager
    def watched(self, watch: Progress) -> Iterator[None]:
        """Tell somebody else of the progress of this thread's stages, meanwhile: called with (stage, done, total).

        There are no bars then. A function that was given as ``progress`` hears of it as well.
        """
        me = threading.get_ident()
        before = self._watches.get(me)
        self._watches[me] = watch
        try:
            yield
        finally:
            if before is None:
                del self._watches[me]
            else:
                self._watches[me] = before

    def _shower(self) -> AbstractContextManager[Progress]:
        """Who is told of the progress of a stage."""
        watch, progress = self._watches.get(threading.get_ident()), self._progress
        if watch is None:
            return bars() if self._bars else nullcontext(progress)

        def both(stage: str, done: int, total: int) -> None:
            progress(stage, done, total)
            watch(stage, done, total)

        return nullcontext(both)

    @contextmanager
    def one_bar(self, name: str, hidden: str) -> Iterator[Callable[[int, int], None]]:
        """One bar for what runs a stage many times, which is not shown then; other stages have theirs, once.

        Called with (done, total); nothing is shown where no bars were asked for.
        """
        if not self._bars or threading.get_ident() in self._watches:
            yield lambda done, total: None
            return
        with bars() as show, self.watched(lambda stage, *done: None if stage == hidden else show(stage, *done)):
            yield lambda done, total: show(name, done, total)
