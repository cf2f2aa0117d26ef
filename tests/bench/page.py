"""The comparison page, from what was measured and nothing else."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

from parts import PARTS, Part
from results import NOT_INSTALLED, Figure

Record = dict[str, Any]
"""A part as it was measured: date, command, seconds, machine, tools, libraries, figures."""

HEAD = """# How it compares

All of it is measured: `python -m tests.bench` makes this page (`--only NAME` a part of it), and every part says which
command gave its numbers. Tools take turns in the same run; numbers are medians. A number in brackets is how many
times slower (or larger) it is than dmontage's in the same row: below 1 the other tool is better. "—" is what a tool
does not offer, or was not asked.
"""

OFFERED = """| | dmontage | Montage | reproject | SWarp | drizzle |
|---|---|---|---|---|---|
| exact overlap on the sphere | any projection | yes (mProject) | yes (reproject_exact) | no | no |
| exact overlap on the plane | any projection, by error bound | TAN, SIN, ZEA, STG, ARC (mProjectPP) | no | no | any |
| interpolation | no | Lanczos (mProjectQL) | nearest to bicubic, adaptive | many kernels | no |
| background | planes, robust least squares, errors | planes, relaxation | levels | mesh of each image | no |
| drizzle; weights | yes; yes | yes; yes | no; yes | no; yes | yes; yes |
| coadd | mean, clipped mean, median, ... | mean, median, count | mean, sum, first, ... | many | mean |
| runs on | threads, dask clusters | processes (MPI builds) | threads, processes, dask | threads | — |
"""


def page(records: dict[str, Record]) -> str:
    """Markdown of all parts that there are, in their order."""
    found = [(part, records[part.name]) for part in PARTS if part.name in records]
    parts = (text for part, record in found for text in _part(part, record))
    return "\n".join([HEAD, *_measured_on(found), OFFERED, *parts])


def _measured_on(found: list[tuple[Part, Record]]) -> Iterable[str]:
    """Machines and versions, each once, with the parts that were made there."""
    places: dict[str, list[str]] = {}
    for part, record in found:
        machine, tools = record["machine"], record["tools"]
        versions = {**tools, **record["libraries"]}
        said = ", ".join(f"{name} {version or NOT_INSTALLED}" for name, version in versions.items())
        where = "{processor}, {cores} cores, {memory}, {system}".format(**machine)
        places.setdefault(f"{where}; {said}.", []).append(part.name)
    for place, names in places.items():
        yield textwrap.fill(place if len(places) == 1 else f"{', '.join(names)}: {place}", 120, break_on_hyphens=False)
        yield ""


def _part(part: Part, record: Record) -> Iterable[str]:
    """Heading, command, prose, tables."""
    yield f"## {part.heading}\n"
    yield f"`{record['command']}` ({part.name}; {record['date']}, {record['seconds']:.0f} s)\n"
    yield f"{textwrap.fill(' '.join(part.text.split()), 120, break_on_hyphens=False)}\n"
    figures = [Figure(**each) for each in record["figures"]]
    for title in dict.fromkeys(figure.table for figure in figures):
        yield from _table(title, [figure for figure in figures if figure.table == title])


def _table(title: str, figures: list[Figure]) -> Iterable[str]:
    """Works down, tools across."""
    tools = list(dict.fromkeys(figure.tool for figure in figures))
    works = list(dict.fromkeys(figure.work for figure in figures))
    cells = {(figure.work, figure.tool): figure for figure in figures}
    limits = any(figure.limit is not None for figure in figures)
    yield f"| {title} | {' | '.join(['limit'] * limits + tools)} |"
    yield "|---" * (1 + limits + len(tools)) + "|"
    for work in works:
        row = [cells.get((work, tool)) for tool in tools]
        limit = next((number(f.limit) for f in row if f is not None and f.limit is not None), "")
        unit = next((f.unit for f in row if f is not None and f.unit), "")
        ours = cells.get((work, "dmontage"))
        texts = [limit] * limits + [cell(figure, ours) for figure in row]
        yield f"| {work}{f', {unit}' if unit else ''} | {' | '.join(texts)} |"
    yield ""


def cell(figure: Figure | None, ours: Figure | None) -> str:
    """A number, and how many times worse than ours it is; or why there is none."""
    if figure is None:
        return "—"
    if figure.value is None:
        return figure.note or "—"
    text = number(figure.value)
    if figure.note:
        text += f" {figure.note}"
    if (
        ours is None
        or not ours.value
        or figure.limit is not None
        or figure.tool.startswith("dmontage")
        or not figure.value
    ):
        return text
    worse = ours.value / figure.value if figure.unit == "Mpix/s" else figure.value / ours.value
    return f"{text} ({number(worse, 2)}×)"


def number(value: float, digits: int = 3) -> str:
    """With few digits, powers of ten where it is large or small."""
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        rounded = float(f"{value:.{digits}g}")
        return f"{rounded:,.0f}" if abs(rounded) >= 10 ** (digits - 1) else f"{rounded:.{digits}g}"
    return f"{value:.1e}".replace(".0e", "e").replace("e-0", "e-").replace("e+0", "e+")
