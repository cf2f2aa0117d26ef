"""Progress: bars on a terminal, or in a notebook (level 0)."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["bars"]


@contextmanager
def bars() -> Iterator[Callable[[str, int, int], None]]:
    """A bar per stage: tasks done, how fast, and the time left, or taken. On a terminal they go at the end.

    Silence where neither a person nor a notebook is on the other side.
    """
    in_notebook = "ipykernel" in sys.modules
    if not (in_notebook or sys.stderr.isatty()):
        yield lambda stage, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(),
        TextColumn("{task.completed:>5.0f}/{task.total:.0f} tasks"),
        TextColumn("{task.fields[speed]:>12}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    shown: dict[str, Any] = {}
    with Progress(*columns, console=Console(stderr=not in_notebook), transient=not in_notebook) as progress:

        def show(stage: str, done: int, total: int) -> None:
            if stage not in shown:
                shown[stage] = progress.add_task(stage, total=total, speed="")
            bar = shown[stage]
            progress.update(bar, completed=done, total=total)
            seconds = progress.tasks[bar].elapsed
            if done and seconds:
                progress.update(bar, speed=f"{done / seconds:.3g}/s")

        yield show
