"""Products: the FITS files of a mosaic, streamed from its store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage._version import __version__
from dmontage.fits_files import FitsWriter
from dmontage.mapping import affordable_parts
from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dmontage.pipeline.summary import Summary
    from dmontage.planner import MosaicPlan
    from dmontage.store import Store

__all__ = ["area_path", "write_products"]


def area_path(path: Path) -> Path:
    """Name of the area beside a mosaic: ``x_area.fits`` for ``x.fits``."""
    return path.with_name(f"{path.name.removesuffix(path.suffix)}_area{path.suffix}")


def write_products(
    store: Store, plan: MosaicPlan, summary: Summary, path: Path, progress: Callable[[int, int], None]
) -> None:
    """Write the mosaic that a store holds, and its summed area in steradian; both are renamed when they are whole."""
    grid = plan.grid
    ny, nx = grid.shape
    units = {row.image.bunit for row in plan.rows}
    unit = units.pop() if len(units) == 1 and plan.combine != "count" else ""
    on_sky = [row.mapping.sub_out for row in plan.rows if row.method == "sky"]
    sub = affordable_parts(max(on_sky, default=1), grid.window)
    cards = _provenance(plan, summary)
    any_covered = False
    with (
        FitsWriter(path, grid, [("BUNIT", unit, "")] * bool(unit) + cards) as value,
        FitsWriter(area_path(path), grid, [("BUNIT", "sr", "covered solid angle, summed over images"), *cards]) as area,
    ):
        for y0 in range(0, ny, plan.chunk):
            band = Window(y0, min(y0 + plan.chunk, ny), 0, nx)
            value.write_rows(store.read_mosaic("mean", band))
            covered = store.read_mosaic("area", band)
            any_covered = any_covered or bool((covered > 0).any())
            area.write_rows(np.where(covered > 0, covered * grid.solid_angle(band, sub), 0.0))
            progress(band.y1, ny)
    if not any_covered:
        summary.warnings += ("all pixels of the mosaic are blank",)


def _provenance(plan: MosaicPlan, summary: Summary) -> list[tuple[str, Any, str]]:
    """Cards that tell how a mosaic was made; no dates, so that the same run gives the same file."""
    return [
        ("CREATOR", f"dmontage {__version__}", "software that made this mosaic"),
        ("NIMAGES", summary.images, "images in the mosaic"),
        ("NSKIPPED", len(summary.skipped), "inputs that were left out"),
        ("BACKGRND", plan.background, "background model"),
        ("COMBINE", plan.combine, "how images were combined"),
        ("WEIGHTS", plan.weights, "weights of the images"),
        ("PIXUNIT", plan.unit, "what a pixel holds"),
        ("PROJECT", plan.method, "projection kernel"),
        ("PROJTOL", plan.tol, "[pix] tolerance of the projection"),
        ("PROJERR", float(f"{plan.error_bound:.3g}"), "[pix] stated bound of its error"),
    ]
