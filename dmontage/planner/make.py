"""Make: the decisions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dmontage.errors import InputError, OffGridError
from dmontage.mapping import TOL
from dmontage.model import Drop, ImageRef, Images, Matching, OverlapPair, Skipped
from dmontage.planner.checks import check_grid, check_together, check_words, positive, too_large_text
from dmontage.planner.combining import COMBINES, WEIGHTS, also_of, clip_of, weights_of
from dmontage.planner.margin import automatic_margin, check_margin, widened
from dmontage.planner.photometry import on_one_scale
from dmontage.planner.plan import MosaicPlan
from dmontage.planner.rows import Footprint, footprints
from dmontage.planner.suspects import far_hint, suspicions
from dmontage.quality import Quality
from dmontage.sphere import lonlat
from dmontage.window import meeting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dmontage.grid import Grid
    from dmontage.model import Companions

__all__ = ["BACKGROUNDS", "METHODS", "UNITS", "make_plan", "overlap_pairs"]

BACKGROUNDS = ("none", "level", "plane")
METHODS = ("auto", "plane", "sky")
UNITS = ("surface_brightness", "flux_per_pixel")
_WHOLE, _ALL, _MATCHING = Drop(), Quality(), Matching()

_WIDE_GAP = 1.05
"""Between drops, in output pixels: above 1 there are some that no drop of an image touches."""

_MAX_BYTES = 2**38
"""Size of product and store above which a plan is refused unless the user asks for it (256 GiB)."""


def make_plan(
    images: Images | Sequence[ImageRef],
    grid: Grid,
    *,
    background: str = "plane",
    combine: str = "mean",
    weights: str | None = None,
    clip: float | tuple[float, float] | None = None,
    also: Sequence[str] = (),
    method: str = "auto",
    unit: str = "surface_brightness",
    tol: float = TOL,
    drop: Drop = _WHOLE,
    quality: Quality = _ALL,
    companions: Mapping[ImageRef, Companions] | None = None,
    zero_point_out: float | None = None,
    matching: Matching = _MATCHING,
    margin: int | None = None,
    max_bytes: float = _MAX_BYTES,
    memory_limit: float | None = None,
    workers: int | None = None,
    cluster_threads: int | None = None,
) -> MosaicPlan:
    """Decide how ``images`` become a mosaic on ``grid``.

    Parameters
    ----------
    images
        Usable images; those that miss the grid are named in the warnings, or skipped.
    grid
        Where the mosaic lies; without lookup tables.
    background
        "none", "level" (one number per image) or "plane" (level and two slopes).
    combine
        What becomes of a pixel that several images cover: "mean", "clip" (the mean of what is left when outliers are
        rejected), "median", "min", "max", "count" of the images, "sum", or "first" in the order of the images' names.
        Those that are no sums take images that cover more than half of the pixel (of what their drops can).
    weights
        "area": the part of the pixel that an image covers, times its weights where it has any; the default of "mean",
        "clip" and "sum". "ivar": 1/variance of each pixel in place of a weight map. "none".
    clip
        Limits of "clip" in σ below and above, or one for both; 3 by default. As many are rejected in error as lie
        beyond so many σ of a Gaussian, however few the images. With variances σ is theirs, else what the other images
        scatter by: of three images that tells little.
    also
        Layers that are made beside: "depth", the number of images in the pixel's value; "rejected", that of those
        that were clipped; "sources", which images they are.
    method
        "auto" takes the plane kernel where its error bound is below ``tol``, else the sphere.
    unit
        "surface_brightness": a constant sky keeps its value whatever the pixels. "flux_per_pixel": values are energy
        per pixel (counts), of which the total is kept.
    tol
        Tolerance of the projection in output pixels.
    drop, quality
        How a pixel is laid on the output, and which of an image's pixels count.
    companions
        Maps, weights, scales and zero points of the images that have any.
    zero_point_out
        Zero point of the mosaic, where the images have theirs; by default their median (the lower of two).
    matching
        How backgrounds are matched, beside the model. With corrections that are given the model is "given".
    margin
        Mosaic pixels beyond the grid, on each side, that the fits of overlaps use too: an image that touches the grid
        with a corner has more than that corner to tell its plane. By default a quarter of the shorter side of the
        median image as it lies on the grid; 0 with background "none". The mosaic gets no pixel of it: without a
        background no bit changes, and an image that reaches the margin alone is skipped. Images that are projected on
        the sphere end with the grid, since beyond the edge of a map of all the sky the same sky would come again.
        Where images reach beyond the grid, runs of different margins share none of their rows.
    max_bytes
        Refuse a run whose product and store are larger.
    memory_limit
        Bytes that the process may take; by default 0.6 of what the machine or container has. Chunks get smaller, then
        fewer tasks run at once, and a run that cannot be kept to it is refused.
    workers
        Tasks at once at most; by default as many as there are processors.
    cluster_threads
        Tasks at once on all of a cluster; ``memory_limit`` and ``workers`` are then those of each worker process.

    Returns
    -------
    MosaicPlan
        What was decided; print it.

    Raises
    ------
    InputError
        On a word or number that is none of these, when no image reaches the grid, when the run would be too large, or
        when options contradict each other.
    """
    check_words(
        ("background", background, BACKGROUNDS),
        ("combine", combine, COMBINES),
        ("method", method, METHODS),
        ("unit", unit, UNITS),
        ("weights", weights or "area", WEIGHTS),
    )
    tol, max_bytes = positive("tol", tol), positive("max_bytes", max_bytes)
    check_margin(margin)
    flat = [image for image in images if not image.planes]
    check_grid(grid, flat, max_bytes)
    beside, zero_point = on_one_scale(flat, companions or {}, zero_point_out)
    scaled = zero_point is not None or any(each.scale != 1.0 for each in beside.values())
    cubes = [Skipped(image.name, _cube(image)) for image in images if image.planes]
    rows, missed, places = footprints(flat, grid, method, tol)
    margin = automatic_margin(rows, background) if margin is None else int(margin)
    rows = [widened(row, grid, margin, drop) for row in rows]
    missed = [*cubes, *missed]
    if not rows:
        raise _no_row(grid, images, missed)
    plan = MosaicPlan(
        grid=grid,
        rows=tuple(rows),
        pairs=tuple(overlap_pairs(rows)),
        skipped=(*getattr(images, "skipped", ()), *missed),
        background="given" if matching.given is not None else background,
        combine=combine,
        weights=weights_of(combine, weights),
        clip=clip_of(combine, clip),
        also=also_of(also),
        method=method,
        unit=unit,
        tol=tol,
        warnings=tuple(suspicions(rows, places, unit, scaled=scaled)),
        margin=margin,
        drop=drop,
        quality=quality,
        companions=tuple(beside[row.image] for row in rows),
        zero_point=zero_point,
        matching=matching,
        memory_limit=None if memory_limit is None else int(positive("memory_limit", memory_limit)),
        workers=None if workers is None else int(positive("workers", workers)),
        cluster_threads=cluster_threads,
    )
    check_together(plan)
    plan = replace(plan, warnings=(*plan.warnings, *_background_warnings(plan)))
    if plan.bytes_store > max_bytes:
        text = too_large_text(plan.bytes_store, grid, max_bytes, beyond=plan.reaches_beyond)
        raise InputError(text + far_hint(flat))
    plan.memory  # noqa: B018 (what cannot be kept to the limit is refused here)
    return plan


def _no_row(grid: Grid, images: Sequence[ImageRef], missed: Sequence[Skipped]) -> InputError:
    """Why there is nothing to make a mosaic of."""
    if not missed:
        return InputError("no image was given: name files or folders")
    where = f"the grid lies about {_about(grid)}, the first image about {_about(images[0].grid)}"
    return OffGridError(f"no image reaches the grid: {missed[0]}; {where}")


def _cube(image: ImageRef) -> str:
    shape = (*image.planes, *image.grid.shape)
    return f"a cube of shape {shape}: project it with dmontage.project, or write the plane you want to a file"


def _about(grid: Grid) -> str:
    """Where the middle of a grid lies, for people."""
    ny, nx = grid.shape
    lon, lat = lonlat(grid.sky(np.array((nx - 1) / 2), np.array((ny - 1) / 2)))
    return f"{float(lon):.4f} {float(lat):+.4f} ({grid.frame.name})"


def overlap_pairs(rows: Sequence[Footprint]) -> list[OverlapPair]:
    """Rows of two images whose windows share pixels."""
    pairs = [(i, j) for i, j in meeting([row.window for row in rows]) if rows[i].image is not rows[j].image]
    return [OverlapPair(i, j, rows[i].window & rows[j].window) for i, j in pairs]


def _background_warnings(plan: MosaicPlan) -> list[str]:
    """Where the match of backgrounds can do less than is asked for."""
    if not (plan.is_matched and plan.pairs and plan.gap > _WIDE_GAP):
        return []
    return [
        f"drops leave gaps of {plan.gap:.2g} pixels of the grid: two images meet in few pixels of their overlaps, or "
        "in none, and backgrounds may go unmatched (the summary names them); choose a larger pixfrac or scale"
    ]
