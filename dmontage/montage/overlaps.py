"""mOverlaps: which images of a table overlap."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.montage.tables import grid_of_row, read_images, write_rows
from dmontage.sphere import rotate_frame
from dmontage.window import Window, meeting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.coordinates import BaseCoordinateFrame
    from numpy.typing import NDArray

    from dmontage.grid import Grid
    from dmontage.montage.tables import ImageRow

    Floats = NDArray[np.float64]

__all__ = ["mOverlaps"]

_FLAT = ("TAN", "SIN", "STG", "ZEA", "ARC", "ZPN")
"""Projections whose pixels are one plane: none is the neighbour of one far away, as across a map's seam."""
_LEAST = 1e-6
"""Of the smaller image: what images that abut share by the rounding of their tables is less."""
_WHOLE = 1e-3
"""Of a pixel: what images on one grid may be off it by the rounding of their tables."""
_ALONG = 32
"""Points on each side of an outline, which is curved in another image's pixels."""


def mOverlaps(tblfile: str, difftbl: str, quickmode: bool = False, debug: int = 0) -> dict[str, Any]:
    """Write the table of all pairs of images that overlap.

    Parameters
    ----------
    tblfile
        Table of the images, by mImgtbl.
    difftbl
        The table of pairs that is written, with the names of their differences.
    quickmode
        Not used: outlines are always compared exactly.
    debug
        Not used.

    Returns
    -------
    dict
        "count" of the pairs.
    """
    images = read_images(tblfile)
    pairs = _pairs(images, tblfile)
    columns = {"cntr1": int, "cntr2": int, "plus": str, "minus": str, "diff": str}
    write_rows(difftbl, columns, [_line(images[i], images[j]) for i, j in pairs])
    return {"count": len(pairs)}


def _line(plus: ImageRow, minus: ImageRow) -> tuple[Any, ...]:
    return plus.cntr, minus.cntr, plus.name, minus.name, f"diff.{plus.cntr:06d}.{minus.cntr:06d}.fits"


def _pairs(images: Sequence[ImageRow], table: str) -> list[tuple[int, int]]:
    windows = _windows(images, table)
    if windows is not None:
        return meeting(windows)
    grids: dict[int, Grid] = {i: grid_of_row(image.row, table) for i, image in enumerate(images)}
    outlines = [_Outline.of(grid) for grid in grids.values()]
    return [(i, j) for i, j in _near(outlines) if _overlap(outlines[i], outlines[j])]


def _windows(images: Sequence[ImageRow], table: str) -> list[Window] | None:
    """Windows of images that lie on one grid already, as those that are projected do; None where they do not."""
    if not images:
        return []
    first = images[0].row
    grid_of_row(first, table)  # says what is missing
    same = ("ctype1", "ctype2", "crval1", "crval2", "cdelt1", "cdelt2", "crota2", "equinox")
    if any(image.row.get(name) != first.get(name) for image in images for name in same):
        return None
    try:
        crpix = np.array([(image.row["crpix1"], image.row["crpix2"]) for image in images], float)
        sides = np.array([(image.row["naxis1"], image.row["naxis2"]) for image in images], int)
    except (KeyError, TypeError):  # a row that lacks some is named when its grid is made
        return None
    if not np.isfinite(crpix).all() or str(first["ctype1"])[-3:] not in _FLAT:
        return None
    step = crpix[0] - crpix
    if (np.abs(step - np.rint(step)) > _WHOLE).any():
        return None
    ends = np.column_stack([np.rint(step).astype(int), np.rint(step).astype(int) + sides])
    return [Window(y0, y1, x0, x1) for x0, y0, x1, y1 in ends.tolist()]


class _Outline(NamedTuple):
    """An image's edge on the sky.

    Not a `regions.Region`, which overlaps all that touches it: here it is asked how much is shared, since images that
    abut are no pair.
    """

    grid: Grid
    frame: BaseCoordinateFrame
    edge: Floats
    """(n, 3) ICRS unit vectors, around it; NaN where the map has no sky."""
    middle: Floats
    radius: float
    """Of the circle about the middle that holds it, as a chord."""

    @classmethod
    def of(cls, grid: Grid) -> _Outline:
        from astropy.coordinates import ICRS

        x, y = (np.append(edge, at) for edge, at in zip(grid.window.edge(_ALONG), grid.window.middle, strict=True))
        frame = grid.frame
        sky = rotate_frame(grid.sky(x, y), frame, ICRS())
        edge, middle = sky[:-1], sky[-1]
        radius = float(np.sqrt(((edge - middle) ** 2).sum(axis=1)).max())
        if not math.isfinite(radius) or radius > 1.0:  # a map of much of the sky may reach round it
            return cls(grid, frame, edge, np.where(np.isfinite(middle), middle, 0.0), 2.0)
        return cls(grid, frame, edge, middle, radius)


def _near(outlines: Sequence[_Outline]) -> list[tuple[int, int]]:
    """Pairs whose circles meet, in order."""
    from scipy.spatial import cKDTree

    middles, radii = np.array([o.middle for o in outlines]), np.array([o.radius for o in outlines])
    order = np.argsort(radii, kind="stable")
    found = set()
    # An image looks for those that are no larger: so one large map does not make all others look far.
    for k, i in enumerate(order.tolist()):
        if k % 256 == 0:
            tree = cKDTree(middles[order[: k + 256]])
        for at in tree.query_ball_point(middles[i], 2.0 * radii[i] * 1.0001 + 1e-12):
            j = int(order[at])
            if at < k and np.linalg.norm(middles[i] - middles[j]) <= (radii[i] + radii[j]) * 1.0001 + 1e-12:
                found.add((min(i, j), max(i, j)))
    return sorted(found)


def _overlap(one: _Outline, other: _Outline) -> bool:
    """Whether they share something, in the pixels of either; True where neither map sees the other's edge."""
    unseen = 0
    for here, there in ((one, other), (other, one)):
        part = _shared(here, there)
        if part is not None and part > _LEAST:
            return True
        unseen += part is None
    return unseen == 2


def _shared(one: _Outline, other: _Outline) -> float | None:
    """What they share, in parts of the smaller one, by one's pixels; None where the other's edge is not all seen."""
    from astropy.coordinates import ICRS

    x, y = one.grid.pixel(rotate_frame(other.edge, ICRS(), one.frame))
    polygon = np.column_stack([x, y])
    if not np.isfinite(polygon).all():
        return None
    ny, nx = one.grid.shape
    smaller = min(_size(polygon), float(nx * ny))
    for axis, limit, sign in ((0, -0.5, 1), (0, nx - 0.5, -1), (1, -0.5, 1), (1, ny - 0.5, -1)):
        polygon = _clipped(polygon, axis, limit, sign)
    return _size(polygon) / smaller if smaller > 0 else 0.0


def _size(polygon: Floats) -> float:
    """Area of a polygon (n, 2)."""
    x, y = polygon.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def _clipped(polygon: Floats, axis: int, limit: float, sign: int) -> Floats:
    """The part of a polygon (n, 2) on one side of a line along an axis."""
    if not len(polygon):
        return polygon
    after = np.roll(polygon, -1, axis=0)
    here, there = ((some[:, axis] - limit) * sign for some in (polygon, after))
    crosses = (here < 0) != (there < 0)
    step = np.divide(here, here - there, out=np.zeros_like(here), where=crosses)
    cuts = polygon + step[:, None] * (after - polygon)
    keep = np.column_stack([here >= 0, crosses]).ravel()
    return np.asarray(np.stack([polygon, cuts], axis=1).reshape(-1, 2)[keep])
