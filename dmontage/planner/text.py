"""The plan for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dmontage.model import skipped_lines
from dmontage.planner.estimate import REFERENCE, estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dmontage.planner.plan import MosaicPlan

__all__ = ["human", "plan_text", "some"]


def plan_text(plan: MosaicPlan) -> str:
    """What will be done, and what it takes, in some twenty lines."""
    ny, nx = plan.grid.shape
    n_sky = sum(row.method == "sky" for row in plan.rows)
    n_fit = len(plan.pair_batches) if plan.is_matched else 0
    mpix = sum(image.grid.window.size for image in plan.images) / 1e6
    beyond = f";  fits reach up to {plan.margin} pixels beyond the grid" if plan.reaches_beyond else ""
    lines = [
        f"mosaic      {nx} x {ny} pixels of {np.degrees(plan.grid.scale) * 3600:.4g} arcsec, "
        f"{plan.grid.kind} ({plan.grid.frame.name})",
        f"images      {plan.n_images} used, {mpix:.1f} Mpix; {len(plan.skipped)} skipped",
        f"projection  {len(plan.rows) - n_sky} on the plane, {n_sky} on the sphere; "
        f"error at most {plan.error_bound:.1e} px",
        _footprints_line(plan),
        f"overlaps    {len(plan.pairs)} pairs at most; mean depth {plan.mean_depth:.2f}{beyond}",
        f"background  {plan.background};  combine {_combine(plan)}, weights {plan.weights}",
        *_matching_lines(plan),
        *_pixels_line(plan),
        *_scale_line(plan),
        f"tasks       {len(plan.row_batches)} project, {n_fit} fit, {len(plan.chunk_batches)} coadd; "
        f"an image is read {plan.read_amplification:.2g} times for the coadd",
        f"memory      {plan.memory}{' of each worker' if plan.each_worker else ''}",
        _time_line(plan),
        f"bytes       {human(plan.bytes_in)} in, store at most {human(plan.bytes_store)}, {human(plan.bytes_out)} out",
    ]
    lines += [f"warning     {text}" for text in plan.warnings]
    lines += [f"skipped     {text}" for text in skipped_lines(plan.skipped)]
    return "\n".join(lines)


def _combine(plan: MosaicPlan) -> str:
    limits = "" if plan.clip is None else " beyond -{:g} and +{:g} sigma".format(*plan.clip)
    also = f" (also {', '.join(plan.also)})" if plan.also else ""
    return f"{plan.combine}{limits}{also}"


def _pixels_line(plan: MosaicPlan) -> list[str]:
    """What of a pixel counts and how it is laid, where that is not all of it and as it is."""
    drop, quality, first = plan.drop, plan.quality, plan.companions[0]
    names = ("weights", "mask", "variance", "area")
    said = [f"{name} {ref.name}" for name, ref in zip(names, first.maps, strict=True) if ref is not None]
    said[:] = [f"{', '.join(said)} and the like"] if said else []
    if first.mask is not None and quality.good_bits:
        said.append(f"good bits {quality.good_bits}")
    if first.weight is not None and quality.min_weight:
        said.append(f"weights from {quality.min_weight:g}")
    if not drop.whole:
        said.insert(0, f"{drop.kernel} drops of {drop.pixfrac:g} pixels")
    if not quality.takes_all:
        said.append(quality.left_out)
    if plan.factors:
        said.append(f"images weigh {min(plan.factors):.4g} to {max(plan.factors):.4g}")
    return [f"pixels      {';  '.join(said)}"] if said else []


def _footprints_line(plan: MosaicPlan) -> str:
    """The windows that images cover on the grid."""
    sides = np.array([row.window.shape for row in plan.rows])
    ny, nx = np.median(sides, axis=0).astype(int)
    deepest = max(len(rows) for _, rows in plan.chunks)
    cy, cx = plan.chunk
    return (
        f"footprints  {len(sides)} windows of {nx} x {ny} pixels (median); up to {deepest} reach a chunk of "
        f"{min(cx, plan.grid.shape[1])} x {min(cy, plan.grid.shape[0])}"
    )


def _time_line(plan: MosaicPlan) -> str:
    """About how long it takes, and by what measure."""
    stages = estimate(plan)
    parts = ", ".join(f"{stage} {seconds:.2g}" for stage, seconds in stages.items() if seconds >= 0.005)
    by = "another machine's speed (--calibrate)" if plan.per_pixel == REFERENCE else "this machine's speed"
    return f"time        about {sum(stages.values()):.2g} s by {by}: {parts}"


def _scale_line(plan: MosaicPlan) -> list[str]:
    """What values are multiplied by, and why, where that is not 1."""
    scales = [companions.scale for companions in plan.companions]
    own = [companions.zero_point for companions in plan.companions if companions.zero_point is not None]
    said = []
    if plan.zero_point is not None and own:
        said.append(f"zero points {min(own):g} to {max(own):g} brought to {plan.zero_point:g}")
    if set(scales) != {1.0}:
        said.append(f"values times {min(scales):.4g} to {max(scales):.4g}")
    return [f"scale       {';  '.join(said)}"] if said else []


def _matching_lines(plan: MosaicPlan) -> list[str]:
    """What is asked of the match of backgrounds, and what it can tell at best."""
    matching, lines = plan.matching, []
    said = [f"{word} {', '.join(names)}" for word, names in
            (("anchored to", matching.anchors), ("locked", matching.locked)) if names]  # fmt: skip
    if matching.solver != "direct":
        said.append(f"solved by {matching.solver}")
    if plan.background == "plane" and matching.slope_prior != "auto":
        prior = matching.slope_prior
        said.append("no prior of the slopes" if prior is None else f"prior of the slopes {prior:g} per degree")
    if said:
        lines.append(f"            {';  '.join(said)}")
    if plan.large_scale is not None:
        lines.append(
            f"            error on the largest scales {plan.large_scale:.2g} of an input pixel's noise, "
            "from that noise alone and with free slopes"
        )
    return lines


def human(n: float) -> str:
    """A number of bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if n < 999.5:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.4g} TB"


def some(names: Sequence[str]) -> str:
    """The first names of many, and how many more there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{', '.join(names[:5])}{more}"
