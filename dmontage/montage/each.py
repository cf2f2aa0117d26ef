"""Each: one function over the rows of a table, on all cores or the cluster, wherever dask is told to."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dmontage.errors import InputError
from dmontage.graph.drive import Call, name_of, run
from dmontage.log import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["Failed", "absolute", "check_apart", "check_folder", "each", "tell"]

_TASKS = 512
"""Tasks at the most: a scheduler takes a millisecond for each."""


class Failed(NamedTuple):
    """A row that could not be done, and why."""

    reason: str


def each(function: Callable[..., Any], rows: Sequence[tuple[Any, ...]]) -> list[Any]:
    """What a function gives for each row of arguments, in their order; `Failed` where it raises an InputError."""
    many = max(1, -(-len(rows) // _TASKS))
    parts = [tuple(rows[k : k + many]) for k in range(0, len(rows), many)]
    # They read and write files: what a scheduler knows of an earlier call is not their result.
    name = f"{function.__name__.strip('_')}-{name_of(time.time_ns(), len(rows))}"
    calls = [Call(f"{name}-{k}", _some, (function, part)) for k, part in enumerate(parts)]
    return [found for part in run(calls) for found in part]


def _some(function: Callable[..., Any], rows: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Task: some rows."""
    found = []
    for row in rows:
        try:
            found.append(function(*row))
        except InputError as error:
            found.append(Failed(str(error)))
    return found


def tell(module: str, results: Iterable[tuple[str, Any]]) -> int:
    """Say what failed, of (name, result), and count it."""
    n = 0
    for name, result in results:
        if isinstance(result, Failed):
            n += 1
            say("failed", f"{module}: {name}: {result.reason}", logging.WARNING, name=name, reason=result.reason)
    return n


def check_folder(path: str) -> None:
    """InputError, in Montage's words, where a folder to write to is not there."""
    if not Path(path).is_dir():
        raise InputError(f"Cannot access {path}: there is no such folder; create it")


def check_apart(jobs: Iterable[tuple[Any, ...]]) -> None:
    """InputError where two jobs, (source, target, ...), would write one file; a job that is there twice may."""
    first: dict[str, tuple[Any, ...]] = {}
    for job in jobs:
        other = first.setdefault(job[1], job)
        if other != job:
            raise InputError(f"{other[0]} and {job[0]} would both go to {job[1]}: rename one, or take it out")


def absolute(*parts: str) -> str:
    """A path for workers, who may be at home in another folder."""
    return str(Path(*parts).absolute())
