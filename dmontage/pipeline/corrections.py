"""Corrections as tables: planes on the sky by image name, written, read and applied without fitting.

A table is ECSV, which astropy and people read: a row for each image, with its origin on the sky, the level there and
the slopes towards east and north per degree; errors where they are known. It outlives grid and run.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage._version import __version__
from dmontage.aside import aside
from dmontage.errors import InputError, UnreachableError
from dmontage.fits_files.common import first_line
from dmontage.grid.tangent import tangents
from dmontage.model import Given, SkyPlane
from dmontage.places import Url, brought
from dmontage.sphere import lonlat, unit_vectors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.table import Table
    from numpy.typing import NDArray

    from dmontage.background import Solution
    from dmontage.model import ImageRef
    from dmontage.pipeline.match import Match
    from dmontage.planner import MosaicPlan

    Floats = NDArray[np.float64]

__all__ = ["correction_table", "given_planes", "read_corrections", "sky_table", "to_sky", "write_table"]

_MEANING = "subtract level + slope_east x + slope_north y; x, y: gnomonic offsets in degrees, east and north of ra, dec"
_NO_ORIGIN = "no origin on the sky"
_COLUMNS = ("file", "ra", "dec", "level", "slope_east", "slope_north")


def correction_table(match: Match, solution: Solution) -> Table:
    """The corrections of a plan's images, to be subtracted, with their errors.

    Columns: file, ra, dec (ICRS, degrees), level, slope_east, slope_north (per degree), their standard errors
    (``_error``; NaN from a relaxation, and without overlap), group, and status: "fitted", "level only", "locked",
    "no overlap", or "no origin on the sky", whose numbers are NaN. What values are told in stands in the table's meta.
    """
    plan = match.plan
    told = {"unit": plan.unit, "solid_angle": plan.grid.scale**2}
    if plan.zero_point is not None:
        told["zero_point"] = plan.zero_point
    return sky_table(plan.images, match.sky_origins, to_sky(match.tangents.jacobian), solution, told, plan.bunit)


def sky_table(
    images: Sequence[ImageRef], origins: Floats, turn: Floats, solution: Solution, told: dict[str, Any], bunit: str
) -> Table:
    """The table of `correction_table` from what it is made of.

    Parameters
    ----------
    origins
        (n, 3) ICRS unit vectors of the planes' origins.
    turn
        (n, 3, 3) that `to_sky` gives.
    told
        What the values are told in, for the table's meta.
    bunit
        The images' BUNIT; nothing where they differ.
    """
    from astropy.table import Table

    unit = bunit or "of the pixels"
    values = (turn @ solution.parameters[:, :, None])[:, :, 0]
    errors = np.full(values.shape, np.nan)
    if solution.normal is not None:
        covariance = turn @ solution.covariances @ np.swapaxes(turn, 1, 2)
        errors = np.sqrt(np.maximum(np.einsum("kaa->ka", covariance), 0.0))
        errors[list(solution.unpaired)] = np.nan  # nothing tells their level
    alike = Counter(image.name for image in images)
    files = [image.path if alike[image.name] > 1 else image.name for image in images]
    numbers = np.column_stack([*lonlat(origins), values, errors])
    names = [*_COLUMNS[1:], *(f"{name}_error" for name in _COLUMNS[3:])]
    table = Table({"file": files} | dict(zip(names, numbers.T, strict=True)))
    table["group"], table["status"] = solution.components, _status(turn, solution)
    for name in names[2:]:
        table[name].description = f"unit: {unit}{' per degree' * name.startswith('slope')}"
    table.meta = {
        "creator": f"dmontage {__version__}", "meaning": _MEANING, "gauge": solution.gauge, "frame": "icrs", **told
    }  # fmt: skip
    return table


def to_sky(jacobian: Floats) -> Floats:
    """(n, 3, 3) from level and slopes per pixel to level and slopes per degree towards east and north.

    ``jacobian`` (n, 2, 2) is that of the pixels' `Tangents`; NaN where an image's middle has no tangent plane.
    """
    lost = np.isnan(jacobian).any(axis=(1, 2))
    out = np.zeros((len(jacobian), 3, 3))
    out[:, 0, 0] = 1.0
    # Per radian, and so much less per degree.
    out[:, 1:, 1:] = np.radians(np.swapaxes(np.linalg.inv(np.where(lost.reshape(-1, 1, 1), np.eye(2), jacobian)), 1, 2))
    out[lost] = np.nan
    return out


def _status(turn: Floats, solution: Solution) -> list[str]:
    status = ["fitted"] * len(solution.parameters)
    for k in np.flatnonzero(np.isnan(turn).any(axis=(1, 2))).tolist():
        status[k] = _NO_ORIGIN
    for word, some in (
        ("level only", solution.level_only), ("no overlap", solution.unpaired), ("locked", solution.locked)
    ):  # fmt: skip
        for k in some:
            status[k] = word
    return status


def write_table(table: Table, path: Path) -> None:
    """Write a table as ECSV, aside first and then renamed."""
    with aside(path) as part:
        table.write(part, format="ascii.ecsv", overwrite=True)


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
        missing = [name for name in _COLUMNS if name not in source.colnames]
        if missing:
            raise InputError(f"the table of corrections has no column {missing[0]!r}; want {', '.join(_COLUMNS)}")
        has_status = "status" in source.colnames
        rows = [row for row in source if not (has_status and row["status"] == _NO_ORIGIN)]
        planes = [(str(row["file"]), _sky_plane(row)) for row in rows]
        told = {name: source.meta[name] for name in ("unit", "solid_angle", "zero_point") if name in source.meta}
    elif isinstance(source, Mapping) and all(isinstance(plane, SkyPlane) for plane in source.values()):
        planes, told = [(str(name), plane) for name, plane in source.items()], {}
    else:
        raise InputError(f"corrections {source!r:.60} are neither a table, nor its file, nor SkyPlanes by file name")
    twice = [name for name, count in Counter(name for name, _ in planes).items() if count > 1]
    if twice:
        raise InputError(f"the table of corrections has {min(twice)!r} twice; keep one of its rows")
    for name, plane in planes:
        for field, value in zip(_COLUMNS[1:], astuple(plane), strict=True):
            if not math.isfinite(value) or (field == "dec" and abs(value) > 90):
                raise InputError(f"correction of {name}: {field} is {value}, not a finite number in range")
    return Given(tuple(planes), **told)


def _scale_of(given: Given, plan: MosaicPlan) -> float:
    """What values of given corrections are multiplied by to be a plan's; InputError where that cannot be told."""
    if given.unit is not None and given.unit != plan.unit:
        raise InputError(f"the corrections are of unit {given.unit!r}, the mosaic of {plan.unit!r}: match anew")
    if (given.zero_point is None) != (plan.zero_point is None) and given.unit is not None:
        raise InputError(
            f"the corrections are told for zero point {given.zero_point}, the mosaic for {plan.zero_point}: "
            "give both (zero_point) or none"
        )
    scale = 1.0
    if given.zero_point is not None and plan.zero_point is not None:
        scale *= 10 ** (-0.4 * (given.zero_point - plan.zero_point))
    if plan.unit == "flux_per_pixel" and given.solid_angle is not None:
        scale *= plan.grid.scale**2 / given.solid_angle
    return scale


def _sky_plane(row: Any) -> SkyPlane:
    ra, dec, level, east, north = (_number(row, name) for name in _COLUMNS[1:])
    return SkyPlane(ra, dec, level, math.degrees(east), math.degrees(north))  # per degree, and so much more per radian


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
    given, scale = dict(source.planes), _scale_of(source, plan)
    chosen = [given.get(image.name, given.get(image.path)) for image in plan.images]
    if not any(plane is not None for plane in chosen):
        raise InputError(f"the corrections name none of the {len(chosen)} images: {plan.images[0].name}, ...")
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
