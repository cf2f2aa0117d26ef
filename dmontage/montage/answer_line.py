"""Answer line: what Montage's programs say, and what is read of it where it was kept in a file.

::

    [struct stat="OK", module="mAdd", time=1.25]
    [struct stat="ERROR", msg="Image file x.fits missing or invalid FITS: ..."]
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["answer_line", "told_in"]

_LINE = re.compile(r"^\s*\[struct (.*)\]\s*$", re.MULTILINE)
_PAIR = re.compile(r'(\w+)=(?:"([^"]*)"|([^,\s]*))')


def answer_line(stat: str, told: Mapping[str, Any]) -> str:
    """The line that scripts read; lists, such as mImgtbl's reasons, are none of its values."""
    values = {"stat": stat} | {key: value for key, value in told.items() if not isinstance(value, list)}
    return f"[struct {', '.join(f'{key}={_text(value)}' for key, value in values.items())}]"


def told_in(text: str) -> dict[str, str]:
    """The values of the last such line in a text, as they are; none where there is no such line."""
    lines = _LINE.findall(text)
    return {key: quoted or plain for key, quoted, plain in _PAIR.findall(lines[-1])} if lines else {}


def _text(value: Any) -> str:
    """A value: text in quotes, with none inside, nor line breaks; all digits of a number."""
    if isinstance(value, (bool, int)):
        return str(int(value))
    if isinstance(value, float):
        return repr(float(value))
    return '"' + " ".join(str(value).replace('"', "'").split()) + '"'
