"""Log: what a run says of itself while it runs (level 0).

All of it goes to the standard logger "dmontage": a line for people, and what it says as names and plain values, in the
record's ``event``, for programs (``dmontage mosaic --log-json``).
"""

from __future__ import annotations

import logging
import math
from typing import Any

__all__ = ["LOGGER", "as_json", "say"]

LOGGER = logging.getLogger("dmontage")


def say(event: str, text: str, level: int = logging.INFO, /, **values: Any) -> None:
    """Log a line, and its values (of JSON's types) under the name of what happened."""
    LOGGER.log(level, text, extra={"event": {"event": event, **values}})


def as_json(value: Any) -> Any:
    """A value as JSON has it: numbers that are not finite are null."""
    if isinstance(value, dict):
        return {key: as_json(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
