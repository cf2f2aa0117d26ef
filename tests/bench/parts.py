"""What the comparison page is made of: which benchmark makes each part, with which options, in what time at most."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent


class Part(NamedTuple):
    """A benchmark that is run in a process of its own, and what the page says beside its tables."""

    name: str
    script: str
    heading: str
    text: str
    options: str = ""
    quick: str = ""
    """Options for a run of seconds, whose numbers mean little."""
    limit: float = 600.0
    """Seconds after which it is ended."""
    usual: bool = True
    """Made where nothing is said of parts."""

    def command(self, quick: bool) -> str:
        """As it is typed at the root of the repository."""
        return f"python tests/bench/{self.script} {self.quick if quick else self.options}".strip()


PARTS = (
    Part(
        "project", "bench_project.py", "Projection",
        "One core, TAN to TAN turned by 17°, pixels of 1 arcsec, millions of input pixels a second. `reproject_interp`, "
        "`reproject_adaptive` and SWarp (Lanczos-3) interpolate: they are no exact overlap, and are here for their speed.",
        "--rounds 5", "--rounds 1 --side 128 --skip-start",
    ),
)  # fmt: skip
