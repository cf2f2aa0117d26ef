"""The public names: one list, which has all that is exported, and docstrings that say what numpydoc asks for."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from public import MEMBERS, PUBLIC

import dmontage
import dmontage.montage
import dmontage.report

NAMES = [name for section in PUBLIC.values() for name in section]

ASKED = {
    "GL01", "GL02", "GL03", "GL05", "GL06", "GL07", "GL08", "GL09", "GL10",  # there, laid out, sections in order
    "SS01", "SS02", "SS04", "SS06",  # a summary, of one line
    "PR01", "PR02", "PR06", "PR07", "PR10",  # every parameter, and no other
    "RT01", "RT02", "RT03", "RT05", "YD01",  # what is returned
}  # fmt: skip
"""numpydoc's checks. Not asked for: types of parameters (annotations tell them, and mypy checks these); an order of
parameters other than by what belongs together; extended summaries, examples and see-alsos of everything."""


def found(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


def callables() -> Iterator[str]:
    """Public functions and methods."""
    for name in NAMES:
        value = found(name)
        if not inspect.isclass(value):
            yield name
            continue
        members = MEMBERS[name].split(", ") if name in MEMBERS else [m for m in vars(value) if not m.startswith("_")]
        for member in members:
            static = inspect.getattr_static(value, member, None)
            if inspect.isfunction(static) or isinstance(static, (classmethod, staticmethod, property)):
                yield f"{name}.{member}"


def test_all_that_is_exported_is_listed_once() -> None:
    assert len(NAMES) == len(set(NAMES))
    exported = {f"dmontage.{name}" for name in dmontage.__all__} - {"dmontage.__version__"}
    exported |= {f"dmontage.montage.raising.{name}" for name in dmontage.montage.__all__}
    exported |= {f"dmontage.report.{name}" for name in dmontage.report.__all__} - {"dmontage.report.background_report"}
    assert not exported - set(NAMES)


def test_what_is_listed_is_there() -> None:
    for name in NAMES:
        value = found(name)
        fields = set(dir(value)).union(
            *(vars(each).get("__annotations__", ()) for each in getattr(value, "__mro__", ()))
        )
        assert not set(MEMBERS.get(name, "").split(", ")) - fields - {""}, name


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_says_what_it_is(name: str) -> None:
    assert len((inspect.getdoc(found(name)) or "").splitlines()[0]) > 10


def wanting(name: str) -> list[tuple[str, str]]:
    """What a docstring lacks."""
    from numpydoc.validate import validate

    return [(code, told) for code, told in validate(name)["errors"] if code in ASKED]


@pytest.mark.parametrize("name", list(callables()))
def test_docstrings_are_whole(name: str) -> None:
    assert not wanting(name)


def test_a_docstring_that_lacks_something_is_found() -> None:
    assert {code for code, _ in wanting(f"{__name__}.found")} >= {"GL08"}
    assert {code for code, _ in wanting(f"{__name__}.wanting")} >= {"PR01", "RT01"}
