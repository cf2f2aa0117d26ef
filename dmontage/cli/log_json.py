"""The log as lines of JSON, for programs that watch a run."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import ExitStack, contextmanager, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dmontage.errors import InputError
from dmontage.log import LOGGER, as_json, say

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["logged"]


class _Lines(logging.Formatter):
    """A record as one line: time, level, what happened, its values, and the text for people."""

    def format(self, record: logging.LogRecord) -> str:
        event = getattr(record, "event", {"event": "message"})
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": time, "level": record.levelname, **event, "message": record.getMessage()}
        return json.dumps(as_json(line), default=str, allow_nan=False)


@contextmanager
def logged(target: str | None) -> Iterator[None]:
    """Log what is inside as lines of JSON; an error that ends it has a line of its own, the last.

    Parameters
    ----------
    target
        A file, whose old lines stay; "-" for the standard output, on which nothing else is written then; None for none.
    """
    if target is None:
        yield
        return
    with ExitStack() as stack:
        lines = logging.StreamHandler(sys.stdout) if target == "-" else _file(target)
        lines.setFormatter(_Lines())
        if target == "-":
            stack.enter_context(redirect_stdout(sys.stderr))
        people = logging.StreamHandler()
        people.setLevel(logging.WARNING)
        people.addFilter(lambda record: record.levelno < logging.ERROR)  # which the command itself tells
        for handler in (lines, people):
            LOGGER.addHandler(handler)
            stack.callback(handler.close)
            stack.callback(LOGGER.removeHandler, handler)
        stack.callback(LOGGER.setLevel, LOGGER.level)
        LOGGER.setLevel(logging.INFO)
        try:
            yield
        except BaseException as error:
            _say_error(error)
            raise


def _file(target: str) -> logging.Handler:
    try:
        return logging.FileHandler(Path(target), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}; choose another place (--log-json)") from error


def _say_error(error: BaseException) -> None:
    text = "interrupted" if isinstance(error, (KeyboardInterrupt, click.Abort)) else str(error)
    say("error", text or type(error).__name__, logging.ERROR, kind=type(error).__name__)
