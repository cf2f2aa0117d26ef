"""Answers: what Montage's functions return, in place of exceptions."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

from dmontage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["NothingThereError", "answering"]

_P = ParamSpec("_P")


class NothingThereError(InputError):
    """Images are right, but have nothing to give: a pair without a common pixel, too few for a fit."""


def answering(function: Callable[_P, Mapping[str, Any]]) -> Callable[_P, dict[str, Any]]:
    """The function with MontagePy's way of failing.

    Returns
    -------
    function
        What it returns is {"status": "0", ...}, or {"status": "1", "msg": text} where it raises an InputError.
    """

    @wraps(function)
    def answer(*arguments: _P.args, **options: _P.kwargs) -> dict[str, Any]:
        try:
            return {"status": "0", **function(*arguments, **options)}
        except InputError as error:
            return {"status": "1", "msg": str(error)}

    answer.__module__ = "dmontage.montage"  # where it is found, by other processes too: there it has its own name
    return answer
