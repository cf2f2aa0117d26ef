"""Summary: what a run did, for people."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dmontage.log import say
from dmontage.model import skipped_lines
from dmontage.planner import human, some
from dmontage.shown import Shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dmontage.model import Skipped

__all__ = ["Summary"]

_ON_MATCHING = (
    "pairs", "rms_before", "rms_after", "rejected", "gauge", "unpaired", "level_only", "uncorrected", "groups",
    "matching_warnings",
)  # fmt: skip


@dataclass
class Summary(Shown):
    """What a run did. Print it."""

    images: int = 0
    """Images in the mosaic: those of its plan, without damaged and empty ones."""
    used: int = 0
    """Those that were projected so far, or that the store held: a cutout needs its own. Lazy arrays tell nothing."""
    skipped: tuple[Skipped, ...] = ()
    warnings: tuple[str, ...] = ()
    pairs: int = 0
    """Overlaps that had a part in the match, or were rejected from it."""
    rms_before: float = 0.0
    """Root mean square of the level differences of the overlaps, in the unit of the pixels."""
    rms_after: float = 0.0
    """The same once the corrections are taken from the images."""
    rejected: tuple[str, ...] = ()
    """Pairs that disagree with the rest, and had no part in the match."""
    gauge: str = ""
    """What fixes the part of the corrections that differences cannot tell."""
    unpaired: tuple[str, ...] = ()
    """Images that were not matched: their overlaps are too small, or they have none."""
    level_only: tuple[str, ...] = ()
    """Images whose slopes could not be told, or not be applied."""
    uncorrected: tuple[str, ...] = ()
    """Images for which no correction was given."""
    matching_warnings: tuple[str, ...] = ()
    """About the match of the backgrounds."""
    fits_reused: int = 0
    """Overlaps whose fits the store held already."""
    matching_reused: bool = False
    """True where the store held the corrections already."""
    chunks: int = 0
    """Chunks of the mosaic."""
    chunks_reused: int = 0
    """Those that the store held already."""
    groups: int = 1
    """Sets of images that are connected by overlaps."""
    reused: int = 0
    """Images that the store held already."""
    empty: tuple[str, ...] = ()
    """Images of which no pixel counts, or lies on the grid."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Of each stage, by the clock."""
    n_tasks: int = 0
    """Of the stage that is timed, or was last."""
    undefined: int = 0
    """Pixels with a value but with a corner off the sky, which are no pixels."""
    error_bound: float = 0.0
    """Of the projection of any image, output pixels."""
    noise_correlation: float = 1.0
    """What the noise of a mean over many output pixels exceeds that of independent ones by."""
    bytes_in: int = 0
    """Of the files of the images that were projected so far, or that the store held."""
    bytes_out: int = 0
    """Of the FITS products."""

    def on_matching(self) -> dict[str, Any]:
        """What is told of the match of the backgrounds, as JSON values."""
        return {name: getattr(self, name) for name in _ON_MATCHING}

    def recall(self, told: dict[str, Any]) -> None:
        """Tell again what `on_matching` gave."""
        for name in _ON_MATCHING:
            value = told[name]
            setattr(self, name, tuple(value) if isinstance(value, list) else value)
        self.matching_reused = True

    @contextmanager
    def timed(self, stage: str) -> Iterator[dict[str, Any]]:
        """Add the seconds of what is inside to a stage, and log it with the values that it fills in (of JSON's types).

        The tasks that run inside are the stage's.
        """
        start = time.perf_counter()
        told: dict[str, Any] = {}
        self.n_tasks = 0
        try:
            yield told
        finally:
            seconds = time.perf_counter() - start
            self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
        told = {"seconds": round(seconds, 3), "tasks": self.n_tasks} | told
        values = ", ".join(f"{name} {value}" for name, value in told.items())
        say("stage", f"{stage}: {values}", stage=stage, **told)

    def __str__(self) -> str:
        reused = f" ({self.reused} from the store)" if self.reused else ""
        among = "" if self.used == self.images else f" of {self.images}"
        lines = [f"images      {self.used}{among} used{reused}, {len(self.skipped)} skipped"]
        lines += [f"  skipped   {text}" for text in skipped_lines(self.skipped)]
        if self.empty:
            lines.append(f"  empty     contribute nothing (blank, masked or beside the grid): {some(self.empty)}")
        lines += [f"  warning   {text}" for text in (*self.warnings, *self.matching_warnings)]
        correlated = f"noise of means over many pixels {self.noise_correlation:.3g} times that of independent ones"
        lines.append(f"projection  error at most {self.error_bound:.1e} px; {correlated}")
        if self.pairs:
            change = f"{self.rms_before:.4g} before, {self.rms_after:.4g} after"
            kept = f" ({self.fits_reused} fits from the store)" if self.fits_reused else ""
            kept = " (matched before)" if self.matching_reused else kept
            lines.append(f"overlaps    {self.pairs} pairs{kept}; rms difference {change}")
            lines.append(f"  gauge     {self.gauge}")
        if self.rejected:
            lines.append(f"  rejected  disagree with the other overlaps: {some(self.rejected)}")
        if self.level_only:
            lines.append(f"  levels    matched without slopes, which nothing tells: {some(self.level_only)}")
        if self.uncorrected:
            lines.append(f"  warning   used uncorrected, no correction was given: {some(self.uncorrected)}")
        if self.unpaired:
            lines.append(f"  unpaired  not matched, too little overlap: {some(self.unpaired)}")
        if self.groups > 1:
            lines.append(f"  groups    {self.groups} groups of images have no overlap with each other")
        if self.undefined:
            lines.append(
                f"  off sky   {self.undefined} pixels have a corner where their projection has no sky; left out"
            )
        if self.chunks_reused:
            lines.append(f"coadd       {self.chunks_reused} of {self.chunks} chunks made before")
        # A copy: a thread may run a stage while this is shown.
        times = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in self.seconds.copy().items())
        lines.append(f"seconds     {times}; total {sum(self.seconds.values()):.2f}")
        lines.append(f"bytes       {human(self.bytes_in)} of images, {human(self.bytes_out)} written")
        return "\n".join(lines)
