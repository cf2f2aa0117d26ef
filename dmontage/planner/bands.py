"""Bands: one plan for images of several bands, on one grid."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dmontage.errors import InputError
from dmontage.model import skipped_lines
from dmontage.planner.estimate import estimate
from dmontage.planner.text import human
from dmontage.shown import Shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dmontage.grid import Grid
    from dmontage.model import Skipped
    from dmontage.planner.plan import MosaicPlan

__all__ = ["BandPlans", "band_ending", "check_endings"]


@dataclass(frozen=True, eq=False, repr=False)
class BandPlans(Mapping[str, "MosaicPlan"], Shown):
    """Plans by the names of their bands, in order of these; all have one grid. Print it."""

    group_by: str
    """What tells the bands apart, for people."""
    plans: Mapping[str, MosaicPlan]
    skipped: tuple[Skipped, ...]
    """Inputs that are of no band; each plan has its own besides."""

    @property
    def grid(self) -> Grid:
        """The grid of all."""
        return next(iter(self.plans.values())).grid

    def __getitem__(self, name: str) -> MosaicPlan:
        return self.plans[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.plans)

    def __len__(self) -> int:
        return len(self.plans)

    def __repr__(self) -> str:
        return f"<BandPlans by {self.group_by}: {', '.join(self)}>"

    def __str__(self) -> str:
        plans = self.plans.values()
        lines = [str(plan).partition("\n") for plan in plans]
        each = ((p.n_images, sum(estimate(p).values()), p.bytes_in, p.bytes_out) for p in plans)
        n_images, seconds, n_in, n_out = map(sum, zip(*each, strict=True))
        return "\n".join(
            [
                lines[0][0],
                f"bands       {len(self)} by {self.group_by}: {', '.join(self)}; one after the other",
                f"total       {n_images} images, about {seconds:.2g} s, {human(n_in)} in, {human(n_out)} out",
                *(f"skipped     {text}" for text in skipped_lines(self.skipped)),
                *(f"\nband        {name}\n{rest}" for name, (_, _, rest) in zip(self, lines, strict=True)),
            ]
        )


def band_ending(name: str) -> str:
    """What files of a band have behind the name of all: what is no letter, digit, dot, plus or minus is ``_``."""
    return "_" + re.sub(r"[^A-Za-z0-9.+-]", "_", name)


def check_endings(names: Iterable[str]) -> None:
    """InputError where two bands would have files of one name."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(band_ending(name), name)
        if other != name:
            raise InputError(
                f"bands {other!r} and {name!r} would both have files that end in {band_ending(name)!r}: rename one, by "
                "a table of bands (FILE:COLUMN)"
            )
