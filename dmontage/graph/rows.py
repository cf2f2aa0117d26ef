"""Rows: the store's rows from images, and how a row is told to a task (level 4)."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from dmontage._version import __version__
from dmontage.errors import InputError
from dmontage.fits_files import read
from dmontage.graph.project import Job, project
from dmontage.graph.units import prepared
from dmontage.grid import Grid
from dmontage.mapping import Mapping
from dmontage.model import Companions, Drop, ImageRef
from dmontage.planner import Footprint, row_digest
from dmontage.quality import Quality
from dmontage.store import Store
from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from dmontage.planner import MosaicPlan

__all__ = ["create_store", "project_rows", "row_from_table", "row_table"]

_ALONE = Companions()

_LARGEST, _SMALLEST = float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny)


def create_store(path: str | Path, plan: MosaicPlan) -> Store:
    """Lay out the run of a plan, or take it up where it is there already."""
    ny, nx = plan.grid.shape
    attributes = {
        "version": __version__,
        "grid": plan.grid.header,
        "shape": [ny, nx],
        "digest": plan.digest,
        "unit": plan.unit,
        "drop": asdict(plan.drop),
        "quality": plan.quality.to_dict(),
    }
    rows = [
        row_table(row, beside) | {"nominal": nominal}
        for row, beside, nominal in zip(plan.rows, plan.companions, plan.nominal, strict=True)
    ]
    return Store.create(
        path, attributes, rows, (ny, nx), plan.chunk, weighted=plan.has_weight, variance=plan.has_variance
    )


def row_table(row: Footprint, beside: Companions = _ALONE) -> dict[str, Any]:
    """A row as plain JSON values, so that a task needs nothing but its number."""
    image = row.image
    w = row.window
    return {
        **_file(image),
        "header": image.grid.header,
        "shape": list(image.grid.shape),
        "tables": b64encode(image.grid.tables).decode(),
        "window": [w.y0, w.y1, w.x0, w.x1],
        "mapping": row.mapping.to_dict(),
        "method": row.method,
        "maps": [None if ref is None else _file(ref) for ref in beside.maps],
    }


def _file(image: ImageRef) -> dict[str, Any]:
    return {"path": image.path, "hdu": image.hdu, "size": image.size, "mtime_ns": image.mtime_ns, "bunit": image.bunit}


def row_from_table(table: dict[str, Any]) -> tuple[Footprint, Companions]:
    """The inverse of `row_table`; factors are no part of it."""
    ny, nx = table["shape"]
    grid = Grid(table["header"], (ny, nx), b64decode(table["tables"]))
    image, weight, mask, variance = (
        None if f is None else ImageRef(f["path"], f["hdu"], grid, f["bunit"], f["size"], f["mtime_ns"])
        for f in (table, *table["maps"])
    )
    mapping = Mapping.from_dict(table["mapping"], grid)
    row = Footprint(cast("ImageRef", image), Window(*table["window"]), mapping, table["method"])
    return row, Companions(weight, mask, variance)


def project_rows(store_path: str, rows: Sequence[int]) -> list[dict[str, Any]]:
    """Task: project some images into their rows; what is done and still true is left alone.

    Returns
    -------
    list of dict
        A receipt per row: "row", "lost" (pixels with a value but an undefined corner), "reused" (the store had it), and
        "error" where the file's data are bad.
    """
    store = Store.open(store_path)
    run = _Run.of(store)
    receipts = []
    for number, table in zip(rows, store.table(rows), strict=True):
        row, beside = row_from_table(table)
        digest = row_digest(row, beside)
        lost = store.done(number, digest)
        receipt: dict[str, Any] = {"row": number, "lost": lost or 0, "reused": lost is not None}
        if lost is None:
            try:
                sums, receipt["lost"] = _sums(row, beside, run)
            except InputError as error:
                receipt["error"] = str(error)
            else:
                store.write_row(number, [sums[name] for name in store.sums], digest, receipt["lost"])
        receipts.append(receipt)
    return receipts


class _Run(NamedTuple):
    """What is the same for all rows."""

    grid: Grid
    unit: str
    drop: Drop
    quality: Quality

    @classmethod
    def of(cls, store: Store) -> _Run:
        run = store.attributes
        grid = Grid(run["grid"], (run["shape"][0], run["shape"][1]))
        return cls(grid, run["unit"], Drop(**run["drop"]), Quality(**run["quality"]))


def _sums(row: Footprint, beside: Companions, run: _Run) -> tuple[dict[str, NDArray[np.float64]], int]:
    """What the store holds of an image, by name, and how many of its pixels are undefined."""
    image = row.image
    weights, mask, variance = (None if ref is None else read(ref) for ref in beside.maps)
    layers = read(image), weights, mask, variance
    values, weights, variance = prepared(layers, image.grid, run.grid, image.grid.window, run.quality, run.unit)
    job = Job(image.grid, run.grid, row.mapping, row.method, run.drop)
    scale = _common(weights, values)
    done = project(values, job, row.window, weights=weights if scale is None else None, variance=variance)
    sums = {"flux": done.flux, "area": done.area, "weight": done.area if done.weight is None else done.weight}
    if done.variance is not None:
        divisor = np.where(sums["weight"] > 0.0, sums["weight"], 1.0)
        sums["variance"] = done.variance / divisor**2
        _check_variance(image, sums["variance"])
    if scale is not None:
        sums["flux"], sums["weight"] = scale * done.flux, scale * done.area
    for name, array in sums.items():
        if weights is not None and not np.abs(array).max(initial=0.0) <= _LARGEST:
            raise InputError(f"{image.path}: {name} exceeds {_LARGEST:.3g}, what a float32 holds; scale the weights")
    return sums, done.lost


def _common(weights: NDArray[Any] | None, values: NDArray[Any]) -> float | None:
    """The weight that all pixels share, so that the fast kernels serve; None where they differ, or there are none."""
    if weights is None:
        return None
    used = weights[np.isfinite(values)]
    return float(used[0]) if used.size and (used == used[0]).all() else None


def _check_variance(image: ImageRef, variance: NDArray[np.float64]) -> None:
    """Refuse what a float32 would round to zero or infinity."""
    low, high = variance.min(initial=_SMALLEST, where=variance > 0.0), variance.max(initial=0.0)
    if low < _SMALLEST or not high <= _LARGEST:
        raise InputError(
            f"{image.path}: variances of {low:.3g} to {high:.3g} are outside of what a float32 holds "
            f"({_SMALLEST:.3g} to {_LARGEST:.3g}); choose another unit for the image and its variance"
        )
