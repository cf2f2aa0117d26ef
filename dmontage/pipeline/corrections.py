"""Corrections as tables: planes on the sky by image name, written, read and applied without fitting.

A table is ECSV, which astropy and people read: a row for each image, with its origin on the sky, the level there and
the slopes towards east and north per degree; errors where they are known. It outlives grid and run.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage._version import __version__
from dmontage.aside import aside
from dmontage.errors import InputError
from dmontage.grid.tangent import tangents
from dmontage.model import SkyPlane
from dmontage.sphere import lonlat, unit_vectors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.table import Table
    from numpy.typing import NDArray

    from dmontage.background import Solution
    from dmontage.pipeline.match import Match

    Floats = NDArray[np.float64]

__all__ = ["correction_table", "given_planes", "read_corrections", "write_table"]

_COLUMNS = ("file", "ra", "dec", "level", "slope_east", "slope_north")


def correction_table(match: Match, solution: Solution) -> Table:
    """The corrections of a plan's images, to be subtracted, with their errors.

    Columns: file, ra, dec (ICRS, degrees), level, slope_east, slope_north (per degree), their standard errors
    (``_error``; NaN from a relaxation), group, and status: "fitted", "level only", "locked", "no overlap".
    """
    from astropy.table import Table

    to_sky, images, unit = _to_sky(match), match.plan.images, match.plan.bunit or "of the pixels"
    values = (to_sky @ solution.parameters[:, :, None])[:, :, 0]
    errors = np.full(values.shape, np.nan)
    if solution.normal is not None:
        covariance = to_sky @ solution.covariances @ np.swapaxes(to_sky, 1, 2)
        errors = np.sqrt(np.maximum(np.einsum("kaa->ka", covariance), 0.0))
    alike = Counter(image.name for image in images)
    files = [image.path if alike[image.name] > 1 else image.name for image in images]
    numbers = np.column_stack([*lonlat(match.sky_origins), values, errors])
    names = [*_COLUMNS[1:], *(f"{name}_error" for name in _COLUMNS[3:])]
    table = Table({"file": files} | dict(zip(names, numbers.T, strict=True)))
    table["group"], table["status"] = solution.components, _status(solution)
    for name in names[2:]:
        table[name].description = f"unit: {unit}{' per degree' * name.startswith('slope')}"
    table.meta = {"creator": f"dmontage {__version__}", "gauge": solution.gauge, "frame": "icrs"}
    return table


def _to_sky(match: Match) -> Floats:
    """(n, 3, 3) from level and slopes per mosaic pixel to level and slopes per degree towards east and north."""
    jacobian = match.tangents.jacobian
    lost = ~np.isfinite(jacobian).all(axis=(1, 2))
    if lost.any():
        name = match.plan.images[int(np.argmax(lost))].name
        raise InputError(f"{name}: its middle is off the sky of the grid, so its correction has no origin")
    out = np.zeros((len(jacobian), 3, 3))
    out[:, 0, 0] = 1.0
    out[:, 1:, 1:] = np.radians(np.swapaxes(np.linalg.inv(jacobian), 1, 2))  # per radian, and so much less per degree
    return out


def _status(solution: Solution) -> list[str]:
    status = ["fitted"] * len(solution.parameters)
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


def read_corrections(source: str | Path | Table | Mapping[str, SkyPlane]) -> tuple[tuple[str, SkyPlane], ...]:
    """Corrections by image name, from what `correction_table` made, a file of it, or planes by name.

    Raises
    ------
    InputError
        For a file that is no table, a column that is missing, a number that is not finite, or a name that comes twice.
    """
    from astropy.table import Table

    if isinstance(source, (str, Path)):
        try:
            source = Table.read(source, format="ascii.ecsv")
        except Exception as error:  # astropy raises what its parsers do
            raise InputError(f"{source} is no table of corrections (ECSV): {error}") from error
    if isinstance(source, Table):
        missing = [name for name in _COLUMNS if name not in source.colnames]
        if missing:
            raise InputError(f"the table of corrections has no column {missing[0]!r}; want {', '.join(_COLUMNS)}")
        planes = [(str(row["file"]), _sky_plane(row)) for row in source]
    else:
        planes = list(source.items())
    twice = [name for name, count in Counter(name for name, _ in planes).items() if count > 1]
    if twice:
        raise InputError(f"the table of corrections has {min(twice)!r} twice; keep one of its rows")
    return tuple(planes)


def _sky_plane(row: Any) -> SkyPlane:
    ra, dec, level, east, north = (_number(row, name) for name in _COLUMNS[1:])
    return SkyPlane(ra, dec, level, math.degrees(east), math.degrees(north))  # per degree, and so much more per radian


def _number(row: Any, name: str) -> float:
    try:
        value = float(row[name])
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value) or (name == "dec" and abs(value) > 90):
        raise InputError(f"correction of {row['file']}: {name} is {row[name]!r}, not a finite number in range")
    return value


def given_planes(match: Match) -> tuple[Floats, tuple[str, ...]]:
    """(rows, 5) planes of a plan's rows from the corrections that were given, and the images that have none.

    A row sees its image's plane through the affine map about the middle of its own window.
    """
    plan = match.plan
    given = dict(plan.matching.given or ())
    chosen = [given.get(image.name, given.get(image.path)) for image in plan.images]
    if not any(plane is not None for plane in chosen):
        raise InputError(f"the corrections name none of the {len(chosen)} images: {plan.images[0].name}, ...")
    planes = np.zeros((len(plan.rows), 5))
    seen = [i for i, image in enumerate(plan.image_of) if chosen[image] is not None]
    mine = [plane for plane in (chosen[plan.image_of[i]] for i in seen) if plane is not None]
    windows = [plan.rows[i].window for i in seen]
    middles = np.array([w.middle for w in windows])
    origins = unit_vectors(*np.radians([(p.ra, p.dec) for p in mine]).T)
    steps = np.array([max(min(w.shape) / 4, 1.0) for w in windows])
    there = tangents(plan.grid, middles, origins, steps)
    slopes = np.array([(p.slope_east, p.slope_north) for p in mine])
    planes[seen, 0] = np.array([p.level for p in mine])
    planes[seen, 3:] = middles
    tilted = slopes.any(axis=1)
    lost = tilted & ~(np.isfinite(there.jacobian).all(axis=(1, 2)) & np.isfinite(there.offset).all(axis=1))
    if lost.any():
        name = plan.rows[seen[int(np.argmax(lost))]].image.name
        raise InputError(f"the correction of {name} has slopes, but its image lies too far from its origin to see them")
    at = np.array(seen)[tilted]
    planes[at, 0] += (slopes[tilted] * there.offset[tilted]).sum(axis=1)
    planes[at, 1:3] = (slopes[tilted, None, :] @ there.jacobian[tilted])[:, 0]
    return planes, tuple(image.name for image, plane in zip(plan.images, chosen, strict=True) if plane is None)
