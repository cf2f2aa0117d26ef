"""Cube: the mosaics of several bands as the planes of one file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dmontage._version import __version__
from dmontage.fits_files import FitsWriter, band_table

if TYPE_CHECKING:
    from pathlib import Path

    from dmontage.planner import BandPlans

__all__ = ["cube_writer"]


def cube_writer(path: Path, plans: BandPlans) -> FitsWriter:
    """A file for a cube (band, y, x): its third axis counts the bands from 1, its cards and a table name them."""
    each = list(plans.values())
    first = each[0]
    counts = first.combine == "count"
    units = ["" if counts else plan.bunit for plan in each]
    zero_points = [None if counts else plan.zero_point for plan in each]
    cards: list[tuple[str, Any, str]] = [
        ("CTYPE3", "BAND", "number of the band, from 1"),
        ("CRPIX3", 1.0, ""),
        ("CRVAL3", 1.0, ""),
        ("CD3_3" if "CD1_1" in plans.grid.to_header() else "CDELT3", 1.0, ""),
        *((f"BAND{k}", name, "band of this plane") for k, name in enumerate(plans, 1)),
    ]
    if len(set(units)) == 1 and units[0]:
        cards.append(("BUNIT", units[0], ""))
    if len(set(zero_points)) == 1 and zero_points[0] is not None:
        cards.append(("MAGZP", zero_points[0], "[mag] zero point of the mosaics"))
    cards += [
        ("CREATOR", f"dmontage {__version__}", "software that made this mosaic"),
        ("BACKGRND", first.background, "background model"),
        ("COMBINE", first.combine, "how images were combined"),
        ("PIXUNIT", first.unit, "what a pixel holds"),
    ]
    table = band_table(list(plans), units, zero_points)
    return FitsWriter(path, plans.grid, cards, tables=[table], planes=len(plans))
