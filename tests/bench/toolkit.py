"""One call for a function of Montage's toolkit, here, of Montage's programs and of MontagePy.

``(folder, name, *words, flags=(), **options) -> numbers``: words are files in the folder and numbers, the same for all;
flags are the program's, options the functions'. Programs and MontagePy run in processes of their own, and are ended
after some time; one that fails raises `ToolFailed`.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from projectors import ToolFailed, run

from dmontage.montage import raising

Toolkit = Callable[..., dict[str, float]]

NUMBER = re.compile(r"['\"]?(\w+)['\"]?\s*[=:]\s*([-+]?(?:nan|inf|\d[\d.]*(?:e[-+]?\d+)?))")
"""In Montage's ``[struct stat="OK", a=1.5]``, and in a dictionary as Python prints it."""


def by_dmontage(folder: Path, name: str, *words: Any, flags: Sequence[str] = (), **options: Any) -> dict[str, float]:
    """The function as this package has it."""
    with contextlib.chdir(folder):
        found: dict[str, float] = getattr(raising, name)(*words, **options)
    return found


def by_montage(folder: Path, name: str, *words: Any, flags: Sequence[str] = (), **options: Any) -> dict[str, float]:
    """Montage's program."""
    return {key: float(value) for key, value in NUMBER.findall(run([name, *flags, *map(str, words)], folder))}


def by_montagepy(folder: Path, name: str, *words: Any, flags: Sequence[str] = (), **options: Any) -> dict[str, float]:
    """MontagePy's function."""
    code = f"from MontagePy.main import {name}; print({name}(*{words!r}, **{options!r}))"
    said = run([sys.executable, "-c", code], folder).splitlines()
    if not said or "'status': '0'" not in said[-1]:
        raise ToolFailed(f"{name}: {said[-1:]}")
    return {key: float(value) for key, value in NUMBER.findall(said[-1])}


TOOLKITS: dict[str, tuple[str, Toolkit]] = {
    "dmontage": ("dmontage", by_dmontage),
    "Montage": ("Montage", by_montage),
    "MontagePy": ("MontagePy", by_montagepy),
}
"""By column: the tool that must be installed, and its call."""
