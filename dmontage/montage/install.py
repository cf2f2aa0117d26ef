"""Install: files by the names of Montage's programs, for scripts and workflows that call those."""

from __future__ import annotations

import sys
from pathlib import Path

from dmontage.aside import aside, make_folder
from dmontage.errors import InputError
from dmontage.montage.programs import PROGRAMS

__all__ = ["MARK", "install"]

MARK = "# dmontage montage-tools"
"""Tells our files from others of the same name."""

_TEXT = """#!{python}
{mark}: Montage's {name}, by dmontage
import sys

from dmontage.montage.program import main

if __name__ == "__main__":
    sys.exit(main("{name}"))
"""


def install(folder: Path, *, python: str = sys.executable, force: bool = False) -> list[str]:
    """Write an executable for each program into a folder, which is made if need be; their names.

    Parameters
    ----------
    python
        The interpreter that runs them; this one has dmontage.
    force
        Take the place of files that are not ours, such as Montage's own.

    Raises
    ------
    InputError
        If a file of such a name is there that is not ours, before any is written; if the folder cannot be written.
    """
    names = sorted(PROGRAMS)
    make_folder(folder)
    others = [name for name in names if (folder / name).exists() and not _is_ours(folder / name)]
    if others and not force:
        raise InputError(
            f"{folder} has {', '.join(others)} of somebody else's, most likely Montage's own: choose another folder "
            "and put it first in PATH, or --force"
        )
    for name in names:
        with aside(folder / name) as part:
            part.write_text(_TEXT.format(python=python, mark=MARK, name=name), encoding="utf-8")
            part.chmod(0o755)
    return names


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return MARK.encode() in file.read(4096)
    except OSError:
        return False
