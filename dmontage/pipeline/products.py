"""Products: the FITS files of a mosaic."""

from __future__ import annotations

import math
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.units import Unit

from dmontage._version import __version__
from dmontage.errors import InputError
from dmontage.fits_files import FitsWriter, source_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Self

    from numpy.typing import NDArray

    from dmontage.pipeline.summary import Summary
    from dmontage.planner import MosaicPlan
    from dmontage.window import Window

__all__ = ["Products", "check_apart", "product_paths", "write_sources"]

_BAND = 64
"""Rows that are written at once; a multiple of the block of the files' digests."""


def product_paths(path: Path, plan: MosaicPlan) -> list[Path]:
    """The mosaic's file and what stands beside it: ``x_area.fits``, and one for each other layer (``x_depth.fits``)."""
    stem = path.name.removesuffix(path.suffix)
    names = [*plan.layers[1:], *["sources"] * ("sources" in plan.also)]
    return [path, *(path.with_name(f"{stem}_{name}{path.suffix}") for name in names)]


def check_apart(products: Sequence[Path], plan: MosaicPlan) -> None:
    """InputError where two products, or a product and an image, would be one file."""
    seen = {Path(ref.path).resolve(): "one of the images" for ref in plan.files}
    for path in products:
        if (place := path.resolve()) in seen:
            raise InputError(f"cannot write {path}: it is {seen[place]}; name another file")
        seen[place] = "another product of this run"


class Products:
    """The files of a mosaic while they are written, a window at a time; each is renamed when all are whole."""

    def __init__(self, path: Path, plan: MosaicPlan, summary: Summary) -> None:
        self._plan = plan
        # Sources have a pass of their own.
        files = zip(product_paths(path, plan), _cards(plan, summary), strict=False)
        self._writers = [FitsWriter(product, plan.grid, cards) for product, cards in files]
        self._stack = ExitStack()
        self.any_covered = False
        """True when a pixel has a value."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for writer in self._writers:
                stack.enter_context(writer)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def close(self) -> None:
        """Put all files in their places."""
        self._stack.close()

    def write(self, window: Window, layers: Sequence[NDArray[np.float32]]) -> None:
        """Write one chunk of all layers, as the store has them; the area becomes steradian.

        In bands that stay in cache: half the time of whole chunks, for which memory would be had anew each time.
        """
        plan = self._plan
        for band in window.bands(_BAND):
            at = band.relative_to(window).slices
            for name, layer, writer in zip(plan.layers, layers, self._writers, strict=True):
                values: NDArray[Any] = layer[at]
                if name == "area":
                    covered = values > 0
                    self.any_covered |= bool(covered.any())
                    values = np.where(covered, values * plan.grid.solid_angle(band, plan.sub_out), 0.0)
                writer.write(band, values)


def write_sources(
    plan: MosaicPlan, summary: Summary, path: Path, sets: Sequence[Sequence[int]], chunks: Iterable[Any]
) -> None:
    """Write which images made each pixel: the number of their set as an int32 image, and a table of the sets.

    ``chunks`` gives windows and their numbers.
    """
    cards = [("CONTENT", "sources", "number of the set of images, see SOURCES"), *_provenance(plan, summary)]
    table = source_table(sets, [image.name for image in plan.images])
    with FitsWriter(product_paths(path, plan)[-1], plan.grid, cards, whole_numbers=True, tables=[table]) as writer:
        for window, numbers in chunks:
            writer.write(window, numbers)


def _cards(plan: MosaicPlan, summary: Summary) -> list[list[tuple[str, Any, str]]]:
    """Cards of each product: its unit, and how it was made."""
    made = _provenance(plan, summary)
    counts = plan.combine == "count"
    unit = "" if counts else plan.bunit
    zero_point = [("MAGZP", plan.zero_point, "[mag] zero point of the mosaic")]
    zero_point *= plan.zero_point is not None and not counts
    correlation = float(f"{plan.noise_correlation:.4g}")
    own = {
        "mean": [*_bunit(unit, ""), *zero_point],
        "area": _bunit("sr", "covered solid angle, summed over images"),
        "variance": [
            *_bunit(_squared(unit), "variance of the mosaic"),
            ("CONTENT", "variance", "of each value"),
            ("NOISECOR", correlation, "noise of wide means over single pixels'"),
            *zero_point,
        ],
        "depth": [("CONTENT", "depth", "number of images in each value")],
        "rejected": [("CONTENT", "rejected", "number of images that were clipped")],
    }
    return [[*own[name], *made] for name in plan.layers]


def _bunit(unit: str, comment: str) -> list[tuple[str, Any, str]]:
    return [("BUNIT", unit, comment)] if unit else []


def _squared(unit: str) -> str:
    """The unit of a variance, as FITS writes it where it is a known one."""
    if not unit:
        return ""
    try:
        return str((Unit(unit) ** 2).to_string("fits"))
    except (ValueError, TypeError):
        return f"({unit})**2"


def _clip_cards(plan: MosaicPlan) -> list[tuple[str, Any, str]]:
    """Limits of a clipped mean; FITS has no number for an infinite one."""
    sides = zip(("CLIPLOW", "CLIPHIGH"), plan.clip or (), ("below", "above"), strict=False)
    return [(key, k, f"[sigma] limit {side} which values are rejected") for key, k, side in sides if math.isfinite(k)]


def _provenance(plan: MosaicPlan, summary: Summary) -> list[tuple[str, Any, str]]:
    """Cards that tell how a mosaic was made; no dates, so that the same run gives the same file."""
    return [
        ("CREATOR", f"dmontage {__version__}", "software that made this mosaic"),
        ("NIMAGES", summary.images, "images in the mosaic"),
        ("NSKIPPED", len(summary.skipped), "inputs that were left out"),
        ("BACKGRND", plan.background, "background model"),
        ("COMBINE", plan.combine, "how images were combined"),
        *_clip_cards(plan),
        ("WEIGHTS", plan.weights, "weights of the images"),
        ("PIXUNIT", plan.unit, "what a pixel holds"),
        ("PROJECT", plan.method, "projection kernel"),
        ("DROPKERN", plan.drop.kernel, "how a pixel is laid on the output"),
        ("PIXFRAC", plan.drop.pixfrac, "side of a drop in pixels of the image"),
        ("PROJTOL", plan.tol, "[pix] tolerance of the projection"),
        ("PROJERR", float(f"{plan.error_bound:.3g}"), "[pix] stated bound of its error"),
    ]
