"""Measured numbers, as every benchmark returns them: one a line, JSON on request (``--json FILE``)."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

NOT_INSTALLED = "not installed"


class Figure(NamedTuple):
    """One number of one tool, where it belongs in the tables of the comparison."""

    table: str
    """Title of the table."""
    work: str
    """The row: what was done or asked."""
    tool: str
    """The column."""
    value: float | None
    """None where there is no number: ``note`` says why."""
    unit: str = ""
    """``Mpix/s``: more is better; everything else: less is."""
    note: str = ""
    limit: float | None = None
    """What must not be exceeded, of a statement that is checked."""


def absent(table: str, work: str, tool: str) -> Figure:
    """In place of a number, where the tool is not on this machine."""
    return Figure(table, work, tool, None, note=NOT_INSTALLED)


def json_option(parser: argparse.ArgumentParser) -> None:
    """The option that all benchmarks share."""
    parser.add_argument("--json", type=Path, help="write the figures to this file too")


def write(figures: Iterable[Figure], path: Path | None) -> None:
    """Write a benchmark's figures, if a file is asked for."""
    if path is not None:
        path.write_text(json.dumps([figure._asdict() for figure in figures], indent=1))


def read(path: Path) -> list[Figure]:
    """What `write` wrote."""
    return [Figure(**each) for each in json.loads(path.read_text())]
