"""Corrections as tables: planes on the sky by image name, written, read and applied without fitting.

A table is ECSV, which astropy and people read: a row for each image, with its origin on the sky, the level there and
the slopes towards east and north per degree; errors where they are known. It outlives grid and run.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage._version import __version__
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


def sky_planes(match: Match, solution: Solution) -> list[SkyPlane | None]:
    """Of all images; None for one whose plane has no origin on the sky."""
    frames, origins = match.frames, match.origins
    turn = tangents(match.plan.grid, frames[:, :2], origins, np.maximum(frames[:, 2] / 2, 1.0)).turn
    lon, lat = lonlat(origins)
    planes: list[SkyPlane | None] = []
    for k, (level, *slopes) in enumerate(solution.parameters.tolist()):
        if not np.isfinite(turn[k]).all():
            planes.append(None)
            continue
        east, north = np.linalg.solve(turn[k].T, slopes).tolist()
        planes.append(SkyPlane(float(lon[k]), float(lat[k]), level, east, north))
    return planes


def correction_table(match: Match, solution: Solution, unit: str) -> Table:
    """The corrections of a plan's images, to be subtracted, with their errors.

    Columns: file, ra, dec (ICRS, degrees), level, slope_east, slope_north (per degree), their standard errors
    (``_error``; NaN from a relaxation), group, and status: "fitted", "level only", "locked", "no overlap".
    """
    from astropy.table import Table

    planes, images = sky_planes(match, solution), match.plan.images
    for image, plane in zip(images, planes, strict=True):
        if plane is None:
            raise InputError(f"{image.name}: its middle is off the sky of the grid, so its correction has no origin")
    numbers = np.array([(p.lon, p.lat, p.level, *np.radians((p.east, p.north))) for p in planes if p]).reshape(-1, 5)
    alike = Counter(image.name for image in images)
    table = Table(
        {"file": [image.path if alike[image.name] > 1 else image.name for image in images]}
        | dict(zip(_COLUMNS[1:], numbers.T, strict=True))
        | dict(zip([f"{name}_error" for name in _COLUMNS[3:]], _errors(match, solution).T, strict=True))
        | {"group": solution.components, "status": _status(solution)}
    )
    for name in ("level", "level_error"):
        table[name].description = f"unit: {unit or 'of the pixels'}"
    for name in ("slope_east", "slope_north", "slope_east_error", "slope_north_error"):
        table[name].description = f"unit: {unit or 'of the pixels'} per degree"
    table.meta = {"creator": f"dmontage {__version__}", "gauge": solution.gauge, "frame": "icrs"}
    return table


def _errors(match: Match, solution: Solution) -> Floats:
    """(n, 3) standard errors of level, and of the slopes per degree."""
    n = len(solution.parameters)
    if solution.normal is None:
        return np.full((n, 3), np.nan)
    frames = match.frames
    turn = tangents(match.plan.grid, frames[:, :2], match.origins, np.maximum(frames[:, 2] / 2, 1.0)).turn
    to_sky = np.zeros((n, 3, 3))
    to_sky[:, 0, 0] = 1
    to_sky[:, 1:, 1:] = np.radians(np.swapaxes(np.linalg.inv(turn), 1, 2))
    covariance = to_sky @ solution.covariances @ np.swapaxes(to_sky, 1, 2)
    return np.asarray(np.sqrt(np.maximum(np.einsum("kaa->ka", covariance), 0)))


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
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        table.write(part, format="ascii.ecsv", overwrite=True)
        part.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another place") from error
    finally:
        part.unlink(missing_ok=True)


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
    names = [name for name, _ in planes]
    twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    if twice:
        raise InputError(f"the table of corrections has {min(twice)!r} twice; keep one of its rows")
    return tuple(planes)


def _sky_plane(row: Any) -> SkyPlane:
    lon, lat, level, east, north = (_number(row, name) for name in _COLUMNS[1:])
    return SkyPlane(lon, lat, level, math.degrees(east), math.degrees(north))


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
    origins = unit_vectors(*np.radians([(p.lon, p.lat) for p in mine]).T)
    steps = np.array([max(min(w.shape) / 4, 1.0) for w in windows])
    there = tangents(plan.grid, middles, origins, steps)
    slopes = np.array([(p.east, p.north) for p in mine])
    planes[seen, 0] = np.array([p.level for p in mine])
    planes[seen, 3:] = middles
    tilted = slopes.any(axis=1)
    lost = tilted & ~(np.isfinite(there.turn).all(axis=(1, 2)) & np.isfinite(there.offset).all(axis=1))
    if lost.any():
        name = plan.rows[seen[int(np.argmax(lost))]].image.name
        raise InputError(f"the correction of {name} has slopes, but its image lies too far from its origin to see them")
    at = np.array(seen)[tilted]
    planes[at, 0] += (slopes[tilted] * there.offset[tilted]).sum(axis=1)
    planes[at, 1:3] = (slopes[tilted, None, :] @ there.turn[tilted])[:, 0]
    return planes, tuple(image.name for image, plane in zip(plan.images, chosen, strict=True) if plane is None)
