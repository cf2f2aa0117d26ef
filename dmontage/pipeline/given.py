"""Given corrections: tables and planes by image name that a user has, read and applied without fitting."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import astuple, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.errors import InputError, UnreachableError
from dmontage.fits_files.common import first_line
from dmontage.grid.tangent import tangents
from dmontage.model import Given, SkyPlane
from dmontage.pipeline.corrections import COLUMNS, NO_ORIGIN
from dmontage.places import Url, brought
from dmontage.planner import same_scale
from dmontage.sphere import unit_vectors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from dmontage.model import ImageRef
    from dmontage.pipeline.match import Match
    from dmontage.planner import MosaicPlan

    Floats = NDArray[np.float64]

__all__ = ["given_planes", "read_corrections", "those_of"]


def read_corrections(source: Any) -> Given:
    """Corrections by image name, from what `correction_table` made, a file of it, or planes by name.

    Raises
    ------
    InputError
        For a file that is no table, a column that is missing, a number that is not finite, or a name that comes twice.
    """
    from astropy.table import Table

    if isinstance(source, (str, Path, Url)):
        try:
            with brought(source) as copy:
                source = Table.read(copy, format="ascii.ecsv")
        except UnreachableError:
            raise
        except Exception as error:  # astropy raises what its parsers do
            raise InputError(f"{source} is no table of corrections (ECSV): {first_line(error)}") from error
    if isinstance(source, Table):
        missing = [name for name in COLUMNS if name not in source.colnames]
        if missing:
            raise InputError(f"the table of corrections has no column {missing[0]!r}; want {', '.join(COLUMNS)}")
        has_status = "status" in source.colnames
        rows = [row for row in source if not (has_status and row["status"] == NO_ORIGIN)]
        planes = [(str(row["file"]), _sky_plane(row)) for row in rows]
        digests = [str(row["digest"]) for row in rows] if "digest" in source.colnames else []
        told = {name: source.meta[name] for name in ("unit", "solid_angle", "zero_point") if name in source.meta}
    elif isinstance(source, Mapping) and all(isinstance(plane, SkyPlane) for plane in source.values()):
        planes, told, digests = [(str(name), plane) for name, plane in source.items()], {}, []
    else:
        raise InputError(f"corrections {source!r:.60} are neither a table, nor its file, nor SkyPlanes by file name")
    twice = [name for name, count in Counter(name for name, _ in planes).items() if count > 1]
    if twice:
        raise InputError(f"the table of corrections has {min(twice)!r} twice; keep one of its rows")
    for name, plane in planes:
        for field, value in zip((*COLUMNS[1:], "scale"), astuple(plane), strict=True):
            if value is None:
                continue
            bad = (field == "dec" and abs(value) > 90) or (field == "scale" and value <= 0)
            if bad or not math.isfinite(value):
                raise InputError(f"correction of {name}: {field} is {value}, not a finite number in range")
    copies = Counter(digests)
    known = [(digest, plane) for digest, (_, plane) in zip(digests, planes, strict=False) if copies[digest] == 1]
    return Given((*planes, *known), **told)


def those_of(given: Given, images: Iterable[ImageRef]) -> Given:
    """The corrections that name one of some images: a table may be that of a whole survey."""
    names = {name for image in images for name in (*_exact(image), *_loose(image))}
    return replace(given, planes=tuple(plane for plane in given.planes if plane[0] in names))


def _exact(image: ImageRef) -> tuple[str, ...]:
    """What tells an image from all others."""
    return image.full_name, image.digest


def _loose(image: ImageRef) -> tuple[str, ...]:
    """What others may be called too."""
    return image.name, image.path


def _chosen(given: Given, images: Sequence[ImageRef]) -> list[SkyPlane | None]:
    """Each image's correction; InputError for one that is called what several are."""
    known = dict(given.planes)
    called = Counter(name for image in images for name in set(_loose(image)))
    of_one = {image.full_name for image in images}
    chosen: list[SkyPlane | None] = []
    for image in images:
        name = next((name for name in _exact(image) if name in known), None)
        if name is None:
            name = next((name for name in _loose(image) if name in known and name not in of_one), "")
            if called[name] > 1:
                raise InputError(
                    f"the correction of {name!r} may be that of {called[name]} images, as of {image.full_name}: give "
                    "the path of its image instead, or match anew"
                )
        chosen.append(known.get(name))
    return chosen


def _scale_of(given: Given, plan: MosaicPlan) -> float:
    """What values of given corrections are multiplied by to be a plan's; InputError where that cannot be told."""
    if given.unit is not None and given.unit != plan.unit:
        raise InputError(f"the corrections are of unit {given.unit!r}, the mosaic of {plan.unit!r}: match anew")
    if (given.zero_point is None) != (plan.zero_point is None) and given.unit is not None:
        raise InputError(
            f"the corrections are told for zero point {given.zero_point}, the mosaic for {plan.zero_point}: "
            "give both (zero_point) or none"
        )
    scale = _brighter(given, plan)
    if plan.unit == "flux_per_pixel" and given.solid_angle is not None:
        scale *= plan.grid.scale**2 / given.solid_angle
    return scale


def _brighter(given: Given, plan: MosaicPlan) -> float:
    """Values of a star in a plan, in parts of those where corrections were found: by the zero points of the two."""
    if given.zero_point is None or plan.zero_point is None:
        return 1.0
    return float(10 ** (-0.4 * (given.zero_point - plan.zero_point)))


def _check_scales(given: Given, plan: MosaicPlan, chosen: Sequence[SkyPlane | None]) -> None:
    """InputError for an image that is scaled otherwise than when its correction was found, but for the zero points."""
    brighter = _brighter(given, plan)
    for image, scale, plane in zip(plan.images, plan.scales, chosen, strict=True):
        if plane is None or plane.scale is None or same_scale(scale, brighter * plane.scale):
            continue
        raise InputError(
            f"the correction of {image.path} was found with its values times {brighter * plane.scale:.10g}, here they "
            f"are times {scale:.10g}: give the flux_scale and zero_point of then, or match anew"
        )


def _sky_plane(row: Any) -> SkyPlane:
    ra, dec, level, east, north = (_number(row, name) for name in COLUMNS[1:])
    scale = _number(row, "scale") if "scale" in row.colnames else None
    # Per degree, and so much more per radian.
    return SkyPlane(ra, dec, level, math.degrees(east), math.degrees(north), scale)


def _number(row: Any, name: str) -> float:
    try:
        return float(row[name])
    except (TypeError, ValueError) as error:
        raise InputError(f"correction of {row['file']}: {name} is {row[name]!r}, not a number") from error


def given_planes(match: Match) -> tuple[Floats, tuple[str, ...], tuple[str, ...]]:
    """Planes (rows, 5) of a plan's rows from the corrections that were given; images without, and images bent.

    A row sees its image's plane through the affine map about the middle of what it covers. Where the grid is bent
    there, slopes are followed roughly only.
    """
    plan = match.plan
    source = plan.matching.given or Given(())
    chosen, scale = _chosen(source, plan.images), _scale_of(source, plan)
    if not any(plane is not None for plane in chosen):
        raise InputError(f"the corrections name none of the {len(chosen)} images: {plan.images[0].name}, ...")
    _check_scales(source, plan, chosen)
    planes = np.zeros((len(plan.rows), 5))
    covered = match.boxes[:, 2] * match.boxes[:, 3] > 0
    seen = [i for i, image in enumerate(plan.image_of) if chosen[image] is not None and covered[i]]
    mine = [plane for plane in (chosen[plan.image_of[i]] for i in seen) if plane is not None]
    middles, steps = match.boxes[seen, :2], np.maximum(match.boxes[seen, 2:].min(axis=1) / 4, 1.0)
    origins = unit_vectors(*np.radians([(p.ra, p.dec) for p in mine]).T)
    there = tangents(plan.grid, middles, origins, steps)
    slopes = np.array([(p.slope_east, p.slope_north) for p in mine]).reshape(-1, 2)
    planes[seen, 0] = np.array([p.level for p in mine])
    planes[seen, 3:] = middles
    tilted = np.abs(slopes).sum(axis=1) > 0
    lost = tilted & ~np.isfinite(np.column_stack([there.jacobian.reshape(-1, 4), there.offset])).all(axis=1)
    if lost.any():
        name = plan.rows[seen[int(np.argmax(lost))]].image.name
        raise InputError(f"the correction of {name} has slopes, but its image lies too far from its origin to see them")
    at = np.array(seen)[tilted]
    planes[at, 0] += (slopes[tilted] * there.offset[tilted]).sum(axis=1)
    planes[at, 1:3] = (slopes[tilted, None, :] @ there.jacobian[tilted])[:, 0]
    planes[:, :3] *= scale
    bent = {plan.image_of[i] for i in at} & set(match.level_only)
    return planes, _names(match, [k for k, plane in enumerate(chosen) if plane is None]), _names(match, sorted(bent))


def _names(match: Match, images: list[int]) -> tuple[str, ...]:
    return tuple(match.plan.images[k].name for k in images)
