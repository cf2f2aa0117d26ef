"""Rows: the store's rows from images, and how a row is told to a task (level 4)."""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from dmontage.errors import ChangedError, InputError, UnreachableError
from dmontage.fits_files import read
from dmontage.fits_files.reader import read_map, read_mask
from dmontage.graph.coadd import How
from dmontage.graph.job import Job
from dmontage.graph.project import project
from dmontage.graph.units import prepared
from dmontage.grid import Grid
from dmontage.mapping import Mapping
from dmontage.model import Companions, Drop, ImageRef
from dmontage.planner import Footprint
from dmontage.quality import Quality
from dmontage.store import Mark, Store, StoreRef
from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dmontage.places import Place
    from dmontage.planner import MosaicPlan

__all__ = ["Run", "create_store", "project_rows", "row_from_table", "row_sums", "row_table"]

_ALONE = Companions()

_LARGEST, _SMALLEST = float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny)

_FAINTEST = _SMALLEST / float(np.finfo(np.float32).eps)
"""Least of an image's largest value, so that one of 1e-7 of it still has all its digits."""

_DEEPEST = 1e6
"""Of an area in pixels: so many images lie on no pixel."""

_LIGHTEST, _LEAST_SHARE = 1e-150, 1e-20
"""Least weight, and least in parts of an image's largest: squares stay in double range, slivers of 1e-17 in float32."""


def create_store(path: str | Place, plan: MosaicPlan) -> tuple[Store, tuple[int, ...]]:
    """Lay out the run of a plan, or take it up where it is there already; and the numbers of the plan's rows in it."""
    current = {
        "how": How.of(plan)._asdict(),
        "background": plan.background,
        "factors": list(plan.factors),
        "chunks": len(plan.chunks),
        "zero_point": plan.zero_point,
    }
    rows = [
        row_table(row, beside) | {"nominal": nominal, "digest": digest}
        for row, beside, nominal, digest in zip(plan.rows, plan.companions, plan.nominal, plan.row_digests, strict=True)
    ]
    return Store.create(path, {**plan.run, "digest": plan.digest}, rows, current)


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
        "scale": beside.scale,
    }


def _file(image: ImageRef) -> dict[str, Any]:
    return {"path": image.path, "hdu": image.hdu, "size": image.size, "stamp": image.stamp, "bunit": image.bunit}


def row_from_table(table: dict[str, Any]) -> tuple[Footprint, Companions]:
    """The inverse of `row_table`; factors and zero points are no part of it."""
    ny, nx = table["shape"]
    grid = Grid(table["header"], (ny, nx), b64decode(table["tables"]))
    image, weight, mask, variance, area = (
        None if f is None else ImageRef(f["path"], f["hdu"], grid, f["bunit"], f["size"], f["stamp"])
        for f in (table, *table["maps"])
    )
    mapping = Mapping.from_dict(table["mapping"], grid)
    row = Footprint(cast("ImageRef", image), Window(*table["window"]), mapping, table["method"])
    return row, Companions(weight, mask, variance, scale=table["scale"], area=area)


def project_rows(where: str | StoreRef, rows: Sequence[int]) -> list[dict[str, Any]]:
    """Task: project some images into their rows; what is done and still true is left alone.

    Returns
    -------
    list of dict
        A receipt per row: "row", "lost" (pixels with a value but an undefined corner), "empty" (no pixel of it counts),
        "reused" (the store had it), and "error" where the file's data are bad.
    """
    store = Store.open(where)
    run = Run.of(store)
    receipts = []
    for number, table in zip(rows, store.rows.tables(rows), strict=True):
        mark = store.projected.done(number, table["digest"])
        receipt: dict[str, Any] = {"row": number, "reused": mark is not None}
        if mark is None:
            try:
                sums, mark = row_sums(*row_from_table(table), run)
            # No fault of the image: without it the mosaic would be another than was asked for.
            except (ChangedError, UnreachableError):
                raise
            except InputError as error:
                mark = Mark()
                receipt["error"] = str(error)
            else:
                done = [sums[name] for name in store.projected.names]
                store.check_there()
                store.projected.write(number, done, table["digest"], mark)
        receipts.append(receipt | {"lost": mark.lost, "empty": mark.empty})
    return receipts


class Run(NamedTuple):
    """What is the same for all rows."""

    grid: Grid
    unit: str
    drop: Drop
    quality: Quality
    inverse_variance: bool
    """True where a pixel weighs 1/σ²."""

    @classmethod
    def of(cls, store: Store) -> Run:
        """As a store has it."""
        run = store.attributes
        return cls(store.grid, run["unit"], Drop(**run["drop"]), Quality(**run["quality"]), run["inverse_variance"])


def row_sums(row: Footprint, beside: Companions, run: Run) -> tuple[dict[str, NDArray[np.float64]], Mark]:
    """What the store holds of an image, by name, and what its mark says of it."""
    image = row.image
    job = Job(image.grid, run.grid, row.mapping, row.method, run.drop)
    weights, mask, variance, area = (
        None if ref is None else how(ref)
        for ref, how in zip(beside.maps, (read_map, read_mask, read_map, read_map), strict=True)
    )
    layers = read(image), weights, mask, variance
    values, weights, variance = prepared(layers, job, image.grid.window, run.quality, run.unit, beside.scale)
    if values.dtype == np.float64:
        _check_values(image, values, beside.scale)
    if run.inverse_variance and variance is not None:
        values, weights = _by_inverse_variance(values, variance)
    weights, exponent = _scaled(image, weights, values)
    scale = _common(weights, values)
    done = project(values, job, row.window, weights=weights if scale is None else None, variance=variance)
    sums = {"flux": done.flux, "area": done.area, "weight": done.area if done.weight is None else done.weight}
    if done.variance is not None:
        divisor = np.where(sums["weight"] > 0.0, sums["weight"], 1.0)
        sums["variance"] = done.variance / divisor**2
        _check_variance(image, sums["variance"])
    if scale is not None:
        sums["flux"], sums["weight"] = scale * done.flux, scale * done.area
    if area is not None:
        covered = _covered(image, area, row.window, run.grid)
        sums |= {name: covered * sums[name] for name in ("flux", "area", "weight")}
    lost = done.lost
    if lost and row.mapping.cut:  # several rows meet them, or a part of them each: the same count for all
        omega = image.grid.solid_angle(image.grid.window)
        lost = int((np.isfinite(values) & ~np.isfinite(omega)).sum())
    on_grid = (row.window & run.grid.window).relative_to(row.window).slices  # the margin gives the mosaic nothing
    return sums, Mark(lost, exponent, not sums["area"][on_grid].any())


def _covered(image: ImageRef, area: NDArray[Any], window: Window, grid: Grid) -> NDArray[np.float64]:
    """Covered part of the pixels of a window of the grid that an image lies on, from its area in steradian."""
    shift = grid.shift_from(image.grid)
    assert shift is not None, "the plan has none but whole-pixel shifts"
    part = np.where(area > 0.0, area, 0.0) / image.grid.solid_angle(image.grid.window)
    part[~np.isfinite(part)] = 0.0
    if part.max(initial=0.0) > _DEEPEST:
        raise InputError(
            f"{image.path}: its area file has up to {part.max():.3g} times the solid angle of a pixel (limit "
            f"{_DEEPEST:g}): it is not in steradian; remove or mend it"
        )
    out = np.zeros(window.shape)
    common = image.grid.window.shift(*shift) & window
    out[common.relative_to(window).slices] = part[common.shift(-shift[0], -shift[1]).slices]
    return out


def _by_inverse_variance(values: NDArray[Any], variance: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Values, and weights 1/σ²; a pixel whose σ² is 0 has no such weight, and does not count."""
    good = variance > 0.0
    weights = np.divide(1.0, variance, out=np.zeros(variance.shape), where=good, dtype=np.float64)
    return np.where(good, values, values.dtype.type(np.nan)), weights


def _scaled(image: ImageRef, weights: NDArray[Any] | None, values: NDArray[Any]) -> tuple[NDArray[Any] | None, int]:
    """Weights in multiples of a power of two, the largest in use below 1, and its exponent: no bit of a mean changes.

    In float32 the store would round those of 1e-40 to a few bits, and lose those of 1e40.
    """
    if weights is None:
        return None, 0
    used = np.isfinite(values)
    low, high = (float(w) for w in (weights.min(initial=np.inf, where=used), weights.max(initial=0.0, where=used)))
    if high == 0.0:
        return weights, 0
    if not (low >= _LIGHTEST and high <= 1 / _LIGHTEST and low >= _LEAST_SHARE * high):
        raise InputError(
            f"{image.path}: weights of {low:.3g} to {high:.3g} are too far from each other, or from 1, to be added up "
            f"(limits {_LEAST_SHARE:g} of the largest, {_LIGHTEST:g} to {1 / _LIGHTEST:g}); set min_weight"
        )
    exponent = math.frexp(high)[1]
    return np.ldexp(weights, -exponent), exponent


def _common(weights: NDArray[Any] | None, values: NDArray[Any]) -> float | None:
    """The weight that all pixels share, so that the fast kernels serve; None where they differ, or there are none."""
    if weights is None:
        return None
    used = weights[np.isfinite(values)]
    return float(used[0]) if used.size and (used == used[0]).all() else None


def _check_values(image: ImageRef, values: NDArray[Any], scale: float) -> None:
    """Refuse values that a float32 would round to infinity, or of whose digits it would keep few.

    Of an image in its own unit not even the largest has them all then.
    """
    faintest = _SMALLEST if scale == 1.0 else _FAINTEST
    top = float(np.abs(values).max(initial=0.0, where=np.isfinite(values)))
    if top > _LARGEST or 0.0 < top < faintest:
        raise InputError(
            f"{image.path}: values up to {top:.3g}, scaled by {scale:.3g}, are outside of what a float32 holds "
            f"({faintest:.3g} to {_LARGEST:.3g}); choose another zero_point_out or flux_scale, or mask sentinels"
        )


def _check_variance(image: ImageRef, variance: NDArray[np.float64]) -> None:
    """Refuse what a float32 would round to zero or infinity."""
    low, high = variance.min(initial=_SMALLEST, where=variance > 0.0), variance.max(initial=0.0)
    if low < _SMALLEST or not high <= _LARGEST:
        raise InputError(
            f"{image.path}: variances of {low:.3g} to {high:.3g} are outside of what a float32 holds "
            f"({_SMALLEST:.3g} to {_LARGEST:.3g}); choose another unit for the image and its variance"
        )
