"""Make: the decisions."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from dmontage.errors import InputError
from dmontage.mapping import TOL
from dmontage.model import ImageRef, Images, OverlapPair
from dmontage.planner.plan import MosaicPlan, human
from dmontage.planner.rows import Footprint, footprints
from dmontage.sphere import lonlat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dmontage.grid import Grid

__all__ = ["BACKGROUNDS", "CHUNK", "COMBINES", "METHODS", "UNITS", "make_plan"]

BACKGROUNDS = ("none", "level", "plane")
COMBINES = ("mean", "median", "count")
METHODS = ("auto", "plane", "sky")
UNITS = ("surface_brightness", "flux_per_pixel")
CHUNK = 1024
"""Side of a mosaic chunk in pixels: 4 MB of float32, where the codec is fastest."""

_MAX_BYTES = 2**38
"""Size of product and store above which a plan is refused unless the user asks for it (256 GiB)."""


def make_plan(
    images: Images | Sequence[ImageRef],
    grid: Grid,
    *,
    background: str = "plane",
    combine: str = "mean",
    weights: str | None = None,
    method: str = "auto",
    unit: str = "surface_brightness",
    tol: float = TOL,
    max_bytes: int = _MAX_BYTES,
) -> MosaicPlan:
    """Decide how ``images`` become a mosaic on ``grid``.

    Parameters
    ----------
    background
        "none", "level" (one number per image) or "plane" (level and two slopes).
    combine
        "mean", "median" or "count".
    weights
        "area" or "none"; the mean's default is "area", the median's "none".
    method
        "auto" takes the plane kernel where its error bound is below ``tol``, else the sphere.
    unit
        "surface_brightness": a constant sky keeps its value whatever the pixels. "flux_per_pixel": values are energy
        per pixel (counts), of which the total is kept.
    tol
        Tolerance of the projection in output pixels.
    max_bytes
        Refuse a run whose product and store are larger.

    Raises
    ------
    InputError
        On a word that is none of these, when no image reaches the grid, or when the run would be too large.
    """
    for value, words, name in (
        (background, BACKGROUNDS, "background"),
        (combine, COMBINES, "combine"),
        (method, METHODS, "method"),
        (unit, UNITS, "unit"),
        (weights or "area", ("area", "none"), "weights"),
    ):
        if value not in words:
            raise InputError(f"{name} {value!r} is not one of {', '.join(words)}")
    if 8 * grid.window.size > max_bytes:
        raise InputError(_too_large(8 * grid.window.size, grid, max_bytes))
    rows, missed = footprints(images, grid, method, tol)
    if not rows:
        if not missed:
            raise InputError("no image was given")
        where = f"the grid lies about {_about(grid)}, the first image about {_about(images[0].grid)}"
        raise InputError(f"no image reaches the grid: {missed[0]}; {where}")
    plan = MosaicPlan(
        grid=grid,
        rows=tuple(rows),
        pairs=tuple(_pairs(rows)),
        skipped=(*getattr(images, "skipped", ()), *missed),
        background=background,
        combine=combine,
        weights=weights or ("area" if combine == "mean" else "none"),
        method=method,
        unit=unit,
        tol=tol,
        warnings=tuple(_warnings(rows, unit)),
        chunk=CHUNK,
    )
    if plan.bytes_store > max_bytes:
        raise InputError(_too_large(plan.bytes_store, grid, max_bytes))
    return plan


def _about(grid: Grid) -> str:
    """Where the middle of a grid lies, for people."""
    ny, nx = grid.shape
    lon, lat = lonlat(grid.sky(np.array((nx - 1) / 2), np.array((ny - 1) / 2)))
    return f"{float(lon):.4f} {float(lat):+.4f} ({grid.frame.name})"


def _pairs(rows: Sequence[Footprint]) -> list[OverlapPair]:
    """Rows whose windows share pixels: compared within bins the size of a typical window, never all against all."""
    side = max(int(np.median([max(row.window.shape) for row in rows])), 1)
    bins: dict[tuple[int, int], list[int]] = defaultdict(list)
    found: set[tuple[int, int]] = set()
    for i, row in enumerate(rows):
        for index, _ in row.window.blocks((side, side)):
            found.update((other, i) for other in bins[index] if rows[other].window & row.window)
            bins[index].append(i)
    return [OverlapPair(i, j, rows[i].window & rows[j].window) for i, j in sorted(found)]


def _warnings(rows: Sequence[Footprint], unit: str) -> list[str]:
    """Inputs that are probably not what the user thinks."""
    out = []
    units = {row.image.bunit for row in rows}
    if len(units) > 1:
        out.append(f"the images have different units: {', '.join(sorted(bunit or 'none' for bunit in units))}")
    counts = re.compile(r"/\s*(pix|beam)|^(counts?|ct|adu|dn|electrons?)$", re.IGNORECASE)
    per_pixel = [bunit for bunit in sorted(units) if counts.search(bunit)]
    if per_pixel and unit == "surface_brightness":
        out.append(
            f"BUNIT {per_pixel[0]!r} counts per pixel, but values are taken as surface brightness: "
            "if they are counts, ask for the unit flux_per_pixel"
        )
    scales = np.array([row.image.grid.scale for row in rows])
    odd = np.abs(np.log(scales / np.median(scales))) > np.log(3)
    strange = [row.image.name for row, is_odd in zip(rows, odd, strict=True) if is_odd]
    if strange:
        names = ", ".join(strange[:5]) + (", ..." if len(strange) > 5 else "")
        out.append(f"pixels over 3 times larger or smaller than the others': {names}")
    return out


def _too_large(n_bytes: int, grid: Grid, limit: int) -> str:
    ny, nx = grid.shape
    return (
        f"the mosaic of {nx} x {ny} pixels needs {human(n_bytes)}, the limit is {human(limit)}; "
        "choose a smaller size or a larger scale, or raise the limit (max_bytes, --max-bytes)"
    )
