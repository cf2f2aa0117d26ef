"""Makes a process see what one on another machine would: as sitecustomize, which is imported at its start.

BLOCKED names packages (comma-separated) that are not installed there, HIDDEN a folder that is not there.
"""

import builtins
import io
import os
import sys
from typing import Any

BLOCKED = os.environ.get("BLOCKED", "").split(",")
HIDDEN = os.environ.get("HIDDEN", "")


class _Blocked:
    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        top = name.partition(".")[0]
        if top in BLOCKED:
            raise ModuleNotFoundError(f"No module named {top!r}", name=top)


def _without_hidden(function: Any) -> Any:
    def checked(path: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith(HIDDEN):
            raise FileNotFoundError(2, "No such file or directory", os.fspath(path))
        return function(path, *args, **kwargs)

    return checked


sys.meta_path.insert(0, _Blocked)
if HIDDEN:
    os.stat = _without_hidden(os.stat)
    builtins.open = io.open = _without_hidden(io.open)
