"""Progress: bars on a terminal, or in a notebook (level 0)."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["bars"]

_EVERY = 0.2
"""Seconds between two looks of a notebook's bar."""


@contextmanager
def bars() -> Iterator[Callable[[str, int, int], None]]:
    """A bar per stage: tasks done, how fast, and the time left, or taken. On a terminal they go at the end.

    Silence where neither a person nor a notebook is on the other side.
    """
    if _in_notebook():
        yield _Page().show
    elif sys.stderr.isatty():
        with _on_terminal() as show:
            yield show
    else:
        yield lambda stage, done, total: None


def _in_notebook() -> bool:
    """Whether this process is a notebook's kernel; programs that only run notebooks have its modules too."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


@contextmanager
def _on_terminal() -> Iterator[Callable[[str, int, int], None]]:
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
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:

        def show(stage: str, done: int, total: int) -> None:
            if stage not in shown:
                shown[stage] = progress.add_task(stage, total=total, speed="")
            bar = shown[stage]
            progress.update(bar, completed=done, total=total)
            seconds = progress.tasks[bar].elapsed
            if done and seconds:
                progress.update(bar, speed=f"{done / seconds:.3g}/s")

        yield show


class _Page:
    """Bars in a notebook: one output for each stage, which is replaced as it goes on.

    By Jupyter's own messages, which need no widgets: those of rich redirect what the whole kernel prints meanwhile, and
    stop programs that run notebooks (nbclient 0.10).
    """

    def __init__(self) -> None:
        self._shown: dict[str, tuple[Any, float]] = {}
        self._last = 0.0

    def show(self, stage: str, done: int, total: int) -> None:
        """Tell how far a stage is."""
        from IPython import display

        now = time.monotonic()
        if stage not in self._shown:
            show: Any = display.display
            handle = show(_look(stage, done, total, 0.0), raw=True, display_id=True)
            self._shown[stage] = handle, now
        elif done == total or now - self._last > _EVERY:
            handle, start = self._shown[stage]
            handle.update(_look(stage, done, total, now - start), raw=True)
        else:
            return
        self._last = now


def _look(stage: str, done: int, total: int, seconds: float) -> dict[str, str]:
    """A bar as HTML, and as text."""
    percent = 100.0 * done / total if total else 100.0
    words = [f"{done}/{total} tasks"]
    if done and seconds:
        words.append(f"{done / seconds:.3g}/s")
        words.append(f"{seconds:.1f} s" if done == total else f"{seconds / done * (total - done):.0f} s left")
    said = ", ".join(words)
    html = (
        '<div style="display:flex;align-items:center;gap:.8em;font-size:12px">'
        f'<span style="width:6em">{escape(stage)}</span>'
        '<span style="width:20em;height:.7em;border-radius:.35em;overflow:hidden;background:rgba(128,128,128,.3)">'
        f'<span style="display:block;height:100%;width:{percent:.1f}%;background:var(--jp-brand-color1,#2b7de0)">'
        f"</span></span><span>{said}</span></div>"
    )
    return {"text/html": html, "text/plain": f"{stage:<9} {percent:3.0f}%  {said}"}
