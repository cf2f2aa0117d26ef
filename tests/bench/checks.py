"""Statements that are checked by a number, for each tool that can be asked."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from machine import tools
from projectors import ToolFailed
from results import Figure, absent


class Check(NamedTuple):
    """A statement, its limit, and what tells how far a tool is from it."""

    work: str
    limit: float
    measures: dict[str, tuple[str, Callable[[], float]]]
    """By column: the tool that must be installed, and its check."""
    unit: str = ""


def check_of(
    work: str, limit: float, columns: Mapping[str, tuple[str, Any]], measure: Callable[..., float], *more: Any,
    unit: str = "", **options: Any,
) -> Check:  # fmt: skip
    """The same check for all columns: ``measure`` is given each one's call, and the rest."""
    return Check(
        work, limit, {name: (tool, partial(measure, call, *more, **options)) for name, (tool, call) in columns.items()},
        unit,
    )  # fmt: skip


def measured(title: str, checks: Iterable[Check]) -> Iterator[Figure]:
    """The numbers, each printed as it is made."""
    versions = tools()
    print(title)
    for check in checks:
        for name, (tool, measure) in check.measures.items():
            if versions[tool] is None:
                yield absent(title, check.work, name)._replace(limit=check.limit)
                continue
            try:
                value, note = measure(), ""
            except ToolFailed as error:
                print(f"{check.work}, {name}: {error}", file=sys.stderr)
                value, note = np.nan, "fails"
            print(f"  {check.work:<60} {name:<20} {value:10.2e}   limit {check.limit:.0e}", flush=True)
            number = float(value) if np.isfinite(value) else None
            yield Figure(title, check.work, name, number, check.unit, note or ("" if number is not None else "none"),
                         check.limit)  # fmt: skip
