"""Log: what a run says of itself while it runs (level 0).

All of it goes to the standard logger "dmontage": a line for people, and what it says as names and plain values, in the
record's ``event``, for programs (``dmontage mosaic --log-json``).
"""

from __future__ import annotations

import logging
from typing import Any

__all__ = ["LOGGER", "say"]

LOGGER = logging.getLogger("dmontage")


def say(event: str, text: str, level: int = logging.INFO, /, **values: Any) -> None:
    """Log a line, and its values (of JSON's types) under the name of what happened."""
    LOGGER.log(level, text, extra={"event": {"event": event, **values}})
