"""Program: one of Montage's executables; its flags in, its line out.

The line goes to the standard output, or to the file of ``-s``; the exit code is 0 or 1.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmontage.errors import InputError
from dmontage.montage.answer import NothingThereError
from dmontage.montage.answer_line import answer_line
from dmontage.montage.program_words import is_number, number
from dmontage.montage.programs import PROGRAMS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dmontage.montage.programs import Program

__all__ = ["arguments_of", "main"]


def main(name: str, words: Sequence[str] | None = None) -> int:
    """Run a program on words (those of the command line if None); its exit code."""
    words = list(sys.argv[1:] if words is None else words)
    program = PROGRAMS[name]
    status, words = _status_file(words)
    try:
        arguments = arguments_of(name, words)
        found = getattr(import_module(f"dmontage.montage.{program.home}"), program.function or name)(**arguments)
        answer, code = answer_line("OK", {"module": name, **program.answer(found)}), 0
    except InputError as error:
        answer, code = answer_line("ERROR", {"msg": str(error)}), 1
        if isinstance(error, NothingThereError) and program.may_be_empty:
            code = 0
    if status is None:
        print(answer)
    else:
        try:
            Path(status).write_text(f"{answer}\n", encoding="utf-8")
        except OSError as error:
            print(answer_line("ERROR", {"msg": f"Cannot open status file: {status}: {error.strerror}"}))
            return 1
    return code


def _status_file(words: list[str]) -> tuple[str | None, list[str]]:
    """The file of ``-s``, and the other words."""
    if "-s" not in words[:-1]:
        return None, words
    at = words.index("-s")
    return words[at + 1], words[:at] + words[at + 2 :]


def arguments_of(name: str, words: Sequence[str]) -> dict[str, Any]:
    """The arguments of a function by the words of its program.

    Raises
    ------
    InputError
        For words that it does not take.
    """
    program = PROGRAMS[name]
    usage = f"Usage: {name} {program.usage}"
    if not words:
        raise InputError(usage)
    try:
        found = dict(program.usual)
        if program.raw:
            left = list(words)
        else:
            flags, left = _flags(program, list(words))
            found |= flags
            left = _words(program, left, found)
        if program.rest is not None:
            return program.rest(found, left)
        if left:
            raise InputError(f"{' '.join(left)!r} is too much")
    except InputError as error:
        raise InputError(f"{error}. {usage}") from error
    return found


def _flags(program: Program, words: list[str]) -> tuple[dict[str, Any], list[str]]:
    """What flags say, and the words that are none: numbers may be negative.

    Flags may stand anywhere, but not among words that the program reads in its own way.
    """
    found: dict[str, Any] = {}
    left: list[str] = []
    while words:
        word = words.pop(0)
        letters = word[1:]
        own = program.rest is not None and len(left) >= len(program.words)
        if own or not word.startswith("-") or not letters or is_number(word):
            left.append(word)
            continue
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter not in program.flags:
                raise InputError(f"the flag -{letter} of {word!r} is not known")
            key, value = program.flags[letter]
            if callable(value):
                if not letters and not words:
                    raise InputError(f"the flag -{letter} lacks its value")
                value, letters = _convert(value, letters or words.pop(0), letter), ""
            found[key] = value
    return found, left


def _convert(kind: Callable[[str], Any], text: str, letter: str) -> Any:
    try:
        return kind(text)
    except InputError:
        raise
    except ValueError:
        raise InputError(f"-{letter} {text!r} is no number of its kind") from None


def _words(program: Program, words: list[str], found: dict[str, Any]) -> list[str]:
    """Put words where they belong; those that are left."""
    left = list(words)
    for place in program.words:
        optional, name = place.startswith("?"), place.removeprefix("?")
        if not left:
            if optional:
                break
            raise InputError(f"too few words: {name.partition(':')[0]} is missing")
        word = left.pop(0)
        key, _, kind = name.partition(":")
        found[key] = word if not kind else _whole(number(word))
    return left


def _whole(value: float) -> float | int:
    return int(value) if value.is_integer() else value
