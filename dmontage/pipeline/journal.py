"""Journal: what of a run goes to the log besides its stages: how it starts, what it leaves out, how it ends."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from dmontage._version import __version__
from dmontage.log import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dmontage.model import Skipped
    from dmontage.pipeline.summary import Summary
    from dmontage.places import Place
    from dmontage.planner import MosaicPlan

__all__ = ["say_end", "say_skipped", "say_start"]


def say_start(plan: MosaicPlan, store: str | Place) -> None:
    """A run begins, or is taken up: what it is, and with which parameters."""
    ny, nx = plan.grid.shape
    values: dict[str, Any] = {
        "version": __version__,
        "store": str(store),
        "images": plan.n_images,
        "skipped": len(plan.skipped),
        "pixels": [nx, ny],
        "scale_arcsec": math.degrees(plan.grid.scale) * 3600,
        "projection": plan.grid.kind,
        "background": plan.background,
        "combine": plan.combine,
        "clip": plan.clip,
        "weights": plan.weights,
        "unit": plan.unit,
        "method": plan.method,
        "tol": plan.tol,
        "kernel": plan.drop.kernel,
        "pixfrac": plan.drop.pixfrac,
        "margin": plan.margin,
        "memory_limit": plan.memory.limit,
    } | ({} if plan.band is None else {"band": plan.band[1]})
    text = f"dmontage {__version__}: {plan.n_images} images onto {nx} x {ny} pixels, in {store}"
    say("start", text, **values)


def say_skipped(skipped: Iterable[Skipped]) -> None:
    """Images that are left out, each with the reason."""
    for item in skipped:
        say("skipped", f"skipped {item}", image=item.name, reason=item.reason)


def say_end(path: str | Place, digests: Mapping[str, str], summary: Summary) -> None:
    """A mosaic is written: its files, each with the digest of its pixels."""
    seconds = round(sum(summary.seconds.values()), 3)
    say(
        "end", f"wrote {path} in {seconds} s", output=str(path), digests=dict(digests), seconds=seconds,
        images=summary.images, skipped=len(summary.skipped), bytes=summary.bytes_out,
    )  # fmt: skip
