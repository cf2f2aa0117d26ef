"""Corrections as tables: planes on the sky by image name; `given` reads and applies them.

A table is ECSV, which astropy and people read: a row for each image, with its origin on the sky, the level there and
the slopes towards east and north per degree; errors where they are known. It outlives grid and run.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage._version import __version__
from dmontage.aside import aside
from dmontage.sphere import lonlat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.table import Table
    from numpy.typing import NDArray

    from dmontage.background import Solution
    from dmontage.model import ImageRef
    from dmontage.pipeline.match import Match

    Floats = NDArray[np.float64]

__all__ = ["COLUMNS", "NO_ORIGIN", "correction_table", "names_apart", "sky_table", "to_sky", "told_in", "write_table"]

_MEANING = "subtract level + slope_east x + slope_north y; x, y: gnomonic offsets in degrees, east and north of ra, dec"
NO_ORIGIN = "no origin on the sky"
COLUMNS = ("file", "ra", "dec", "level", "slope_east", "slope_north")


def correction_table(match: Match, solution: Solution) -> Table:
    """The corrections of a plan's images, to be subtracted, with their errors.

    Its columns are told by `dmontage.Mosaic.corrections`.
    """
    plan = match.plan
    told = told_in(plan.unit, plan.grid.scale, plan.zero_point)
    turn = to_sky(match.tangents.jacobian)
    return sky_table(plan.images, match.sky_origins, turn, solution, plan.scales, told, plan.bunit)


def told_in(unit: str, scale: float, zero_point: float | None) -> dict[str, Any]:
    """What values are told in, for a table's meta: also the solid angle of pixels of side ``scale`` (radians)."""
    told = {"unit": unit, "solid_angle": scale**2}
    return told if zero_point is None else {**told, "zero_point": zero_point}


def sky_table(
    images: Sequence[ImageRef],
    origins: Floats,
    turn: Floats,
    solution: Solution,
    scales: Sequence[float],
    told: dict[str, Any],
    bunit: str,
    missing: Sequence[ImageRef] = (),
) -> Table:
    """The table of `correction_table` from what it is made of.

    Parameters
    ----------
    origins
        (n, 3) ICRS unit vectors of the planes' origins.
    turn
        (n, 3, 3) that `to_sky` gives.
    scales
        What each image's values were multiplied by.
    told
        That `told_in` gives.
    bunit
        The images' BUNIT; nothing where they differ.
    missing
        Images that are not in the table, but whose names its own must be told from.
    """
    from astropy.table import Table

    unit = bunit or "of the pixels"
    values = (turn @ solution.parameters[:, :, None])[:, :, 0]
    errors = np.full(values.shape, np.nan)
    if solution.normal is not None:
        covariance = turn @ solution.covariances @ np.swapaxes(turn, 1, 2)
        errors = np.sqrt(np.maximum(np.einsum("kaa->ka", covariance), 0.0))
        errors[list(solution.unpaired)] = np.nan  # nothing tells their level
    files = names_apart([*images, *missing])[: len(images)]
    numbers = np.column_stack([*lonlat(origins), values, errors])
    names = [*COLUMNS[1:], *(f"{name}_error" for name in COLUMNS[3:])]
    table = Table({"file": files} | dict(zip(names, numbers.T, strict=True)))
    table["group"], table["status"] = solution.components, _status(turn, solution)
    table["scale"] = np.array(scales, np.float64)
    if any(file != image.name for file, image in zip(files, images, strict=True)):
        table["digest"] = [image.digest for image in images]
    for name in names[2:]:
        table[name].description = f"unit: {unit}{' per degree' * name.startswith('slope')}"
    table.meta = {
        "creator": f"dmontage {__version__}", "meaning": _MEANING, "gauge": solution.gauge, "frame": "icrs", **told
    }  # fmt: skip
    return table


def names_apart(images: Sequence[ImageRef]) -> list[str]:
    """Names of images; of those that have one name, their paths."""
    alike = Counter(image.name for image in images)
    return [image.full_name if alike[image.name] > 1 else image.name for image in images]


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
        status[k] = NO_ORIGIN
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
