"""Copies on this machine: of what is written to a URL, until it is whole, and of what only a path can be read from."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dmontage.places.text import place
from dmontage.places.url import Url

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from dmontage.places.url import Place

__all__ = ["brought", "made_at"]

_PREFIX = "dmontage-"


@contextmanager
def made_at(path: str | os.PathLike[str] | Url) -> Iterator[Path]:
    """Where to write what is to be at a place: there, or, of a URL, in a folder of its own whose files are sent to it.

    All files of that folder go beside ``path``, that of its own name last, once what is inside has ended well.
    """
    there = place(path)
    with _here(there) as main:
        yield main
        if isinstance(there, Url):
            for made in sorted(main.parent.iterdir(), key=lambda made: (made == main, made.name)):
                there.with_name(made.name).send(made)


@contextmanager
def brought(path: str | os.PathLike[str] | Url) -> Iterator[Path]:
    """A path to read what lies at a place from: a copy, of a URL.

    Raises
    ------
    MissingError
        If there is no such object.
    """
    there = place(path)
    with _here(there) as copy:
        if isinstance(there, Url):
            there.fetch(copy)
        yield copy


@contextmanager
def _here(there: Place) -> Iterator[Path]:
    """A path itself, or, of a URL, one of its name in a folder that goes again."""
    if isinstance(there, Path):
        yield there
        return
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as folder:
        yield Path(folder, there.name)
