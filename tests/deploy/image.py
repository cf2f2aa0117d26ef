"""The Containerfile, as much of it as tests ask for."""

from __future__ import annotations

import re
import shlex
from functools import cache
from string import Template

from chart import DEPLOY

CONTAINERFILE = DEPLOY / "Containerfile"


@cache
def instructions() -> list[tuple[str, str]]:
    """Names and arguments of all stages, in order."""
    text = re.sub(r"(?m)^\s*#.*\n", "", CONTAINERFILE.read_text()).replace("\\\n", " ")
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    return [(name, rest) for name, rest in lines]


def environment() -> dict[str, str]:
    """The variables of the image, with the defaults of its arguments."""
    known: dict[str, str] = {}
    made: dict[str, str] = {}
    for name, rest in instructions():
        if name in ("ARG", "ENV"):
            pairs = dict(pair.partition("=")[::2] for pair in shlex.split(rest))
            pairs = {key: Template(value).substitute(known) for key, value in pairs.items()}
            known |= pairs
            if name == "ENV":
                made |= pairs
    return made
