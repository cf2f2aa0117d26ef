"""Cards: what the headers of products say besides where they lie."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from astropy.units import Unit

from dmontage._version import __version__
from dmontage.headers import is_wcs_card

if TYPE_CHECKING:
    from dmontage.pipeline.summary import Summary
    from dmontage.pipeline.tiles import Tile
    from dmontage.planner import MosaicPlan

    Card = tuple[str, Any, str]

__all__ = ["layer_cards", "provenance", "tile_cards"]

_OWN = {
    "SIMPLE", "BITPIX", "EXTEND", "BUNIT", "MAGZP", "CONTENT", "NOISECOR", "CREATOR", "NIMAGES", "NSKIPPED", "BACKGRND",
    "COMBINE", "CLIPLOW", "CLIPHIGH", "WEIGHTS", "PIXUNIT", "PROJECT", "DROPKERN", "PIXFRAC", "PROJTOL", "PROJERR",
    "TILEROW", "TILECOL", "DATAHASH", "XTENSION", "BSCALE", "BZERO", "BLANK", "PCOUNT", "GCOUNT", "GROUPS",
}  # fmt: skip
"""Keywords of a product beside those of its grid, and others that no text may stand under."""

_ROOM = 60
"""Characters of a card's keyword and value."""


def tile_cards(tile: Tile) -> list[Card]:
    """Cards that tell where a tile stands among the others."""
    if tile.place is None:
        return []
    row, column = tile.place
    return [("TILEROW", row, "row of this tile of the mosaic, from 0"), ("TILECOL", column, "and column")]


def layer_cards(plan: MosaicPlan, summary: Summary) -> list[list[Card]]:
    """Cards of each product: its unit, and how it was made."""
    made = provenance(plan, summary)
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


def _bunit(unit: str, comment: str) -> list[Card]:
    return [("BUNIT", unit, comment)] if unit else []


def _squared(unit: str) -> str:
    """The unit of a variance, as FITS writes it where it is a known one."""
    if not unit:
        return ""
    try:
        return str((Unit(unit) ** 2).to_string("fits"))
    except (ValueError, TypeError):
        return f"({unit})**2"


def _clip_cards(plan: MosaicPlan) -> list[Card]:
    """Limits of a clipped mean; FITS has no number for an infinite one."""
    sides = zip(("CLIPLOW", "CLIPHIGH"), plan.clip or (), ("below", "above"), strict=False)
    return [(key, k, f"[sigma] limit {side} which values are rejected") for key, k, side in sides if math.isfinite(k)]


def _band_cards(plan: MosaicPlan) -> list[Card]:
    """The band, by the keyword that told it; by BAND if a table did, or the keyword is too long or of another sense."""
    if plan.band is None:
        return []
    keyword, name = plan.band
    keyword = keyword.strip().upper()
    taken = keyword in _OWN or is_wcs_card(keyword) or keyword in plan.grid.to_header()
    if not keyword or taken or len(keyword) + len(name) > _ROOM:
        keyword = "BAND"
    if len(keyword) > 8 or " " in keyword:
        return [(f"HIERARCH {keyword}", name, "")]
    return [(keyword, name, "band of this mosaic")]


def provenance(plan: MosaicPlan, summary: Summary) -> list[Card]:
    """Cards that tell how a mosaic was made; no dates, so that the same run gives the same file."""
    return [
        *_band_cards(plan),
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
