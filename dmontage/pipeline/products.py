"""Products: the FITS files of a mosaic, streamed from its store."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.units import Unit

from dmontage._version import __version__
from dmontage.errors import InputError
from dmontage.fits_files import FitsWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dmontage.pipeline.summary import Summary
    from dmontage.planner import MosaicPlan
    from dmontage.store import Store

__all__ = ["check_apart", "product_paths", "write_products"]


def product_paths(path: Path, plan: MosaicPlan) -> list[Path]:
    """The mosaic's file and what stands beside it: ``x_area.fits``, and ``x_variance.fits`` if there is one."""
    names = ["area"] + ["variance"] * plan.has_variance
    stem = path.name.removesuffix(path.suffix)
    return [path, *(path.with_name(f"{stem}_{name}{path.suffix}") for name in names)]


def check_apart(products: Sequence[Path], plan: MosaicPlan) -> None:
    """InputError where two products, or a product and an image, would be one file."""
    seen = {Path(ref.path).resolve(): "one of the images" for ref in plan.files}
    for path in products:
        if (place := path.resolve()) in seen:
            raise InputError(f"cannot write {path}: it is {seen[place]}; name another file")
        seen[place] = "another product of this run"


def write_products(
    store: Store, plan: MosaicPlan, summary: Summary, path: Path, progress: Callable[[int, int], None]
) -> None:
    """Write what a store holds: the mosaic, its area in steradian, its variance; each is renamed when it is whole."""
    grid = plan.grid
    ny = grid.shape[0]
    any_covered = False
    with ExitStack() as stack:
        files = zip(product_paths(path, plan), _cards(plan, summary), strict=True)
        writers = [stack.enter_context(FitsWriter(product, grid, cards)) for product, cards in files]
        for band in grid.window.bands(plan.chunk):
            for name, writer in zip(store.layers, writers, strict=True):
                values = store.read_mosaic(name, band)
                if name == "area":
                    any_covered = any_covered or bool((values > 0).any())
                    values = np.where(values > 0, values * grid.solid_angle(band, plan.sub_out), 0.0)
                writer.write_rows(values)
            progress(band.y1, ny)
    if not any_covered:
        summary.warnings += ("all pixels of the mosaic are blank",)


def _cards(plan: MosaicPlan, summary: Summary) -> list[list[tuple[str, Any, str]]]:
    """Cards of each product: its unit, and how it was made."""
    made = _provenance(plan, summary)
    unit = plan.bunit if plan.combine != "count" else ""
    has_zero_point = plan.zero_point is not None and plan.combine != "count"
    zero_point = [("MAGZP", plan.zero_point, "[mag] zero point of the mosaic")] * has_zero_point
    cards = [
        [("BUNIT", unit, "")] * bool(unit) + zero_point + made,
        [("BUNIT", "sr", "covered solid angle, summed over images"), *made],
    ]
    if plan.has_variance:
        correlation = (
            "NOISECOR",
            float(f"{plan.noise_correlation:.4g}"),
            "noise of wide means over single pixels'",
        )
        cards.append(
            [("BUNIT", _squared(unit), "variance of the mosaic")] * bool(unit) + [correlation, *zero_point, *made]
        )
    return cards


def _squared(unit: str) -> str:
    """The unit of a variance, as FITS writes it where it is a known one."""
    try:
        return str((Unit(unit) ** 2).to_string("fits"))
    except (ValueError, TypeError):
        return f"({unit})**2"


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
        ("DROPKERN", plan.drop.kernel, "how a pixel is laid on the output"),
        ("PIXFRAC", plan.drop.pixfrac, "side of a drop in pixels of the image"),
        ("PROJTOL", plan.tol, "[pix] tolerance of the projection"),
        ("PROJERR", float(f"{plan.error_bound:.3g}"), "[pix] stated bound of its error"),
    ]
