"""The pictures of the documentation: ``python docs/figures.py`` makes all of them again, in ``docs/_static``.

Each is made by dmontage from what it simulates; the names of some, as arguments, make these alone. The function `NAME`
of one of the files beside draws ``NAME.png``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

from figures_of_pixels import clipping, noise, overlap, units
from figures_of_survey import Survey, background, matching, report, view

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

STATIC = Path(__file__).parent / "_static"
BY_THEMSELVES: dict[str, Callable[[], Figure]] = {f.__name__: f for f in (clipping, noise, overlap, units)}
OF_A_SURVEY: dict[str, Callable[[Survey], Figure]] = {f.__name__: f for f in (background, matching, report, view)}


def make(names: list[str], folder: Path, size_deg: float = 0.4) -> None:
    """Draw figures into a folder; a smaller survey is for tests."""
    there = [*BY_THEMSELVES, *OF_A_SURVEY]
    if unknown := set(names) - set(there):
        raise SystemExit(f"no figure {', '.join(sorted(unknown))}; there are {', '.join(there)}")
    with TemporaryDirectory() as scratch:
        survey = Survey(Path(scratch), size_deg)
        for name in names or there:
            drawn = BY_THEMSELVES[name]() if name in BY_THEMSELVES else OF_A_SURVEY[name](survey)
            drawn.savefig(folder / f"{name}.png", dpi=drawn.dpi, bbox_inches="tight", pad_inches=0.06)
            print(f"wrote       {folder / name}.png")


if __name__ == "__main__":
    make(sys.argv[1:], STATIC)
