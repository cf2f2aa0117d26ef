"""Run fits: what the store of a run knows of its images and their overlaps, for a solve of several runs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.errors import InputError
from dmontage.graph.rows import row_from_table
from dmontage.model import Drop, Matching
from dmontage.pipeline.match import Match
from dmontage.planner import MosaicPlan, overlap_pairs
from dmontage.quality import Quality
from dmontage.store import Store

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.grid import Grid
    from dmontage.model import ImageRef
    from dmontage.places import Place
    from dmontage.window import Window

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["RunFits"]


class RunFits(NamedTuple):
    """A run's n images and the m fits of their overlaps; numbers of images are their places here."""

    path: str
    grid: Grid
    unit: str
    zero_point: float | None
    images: tuple[ImageRef, ...]
    scales: Floats
    """(n,) what their values were multiplied by."""
    boxes: Floats
    """(n, 4) x, y of the middle of what each image covers, and its width and height; mosaic pixels."""
    origins: Floats
    """(n, 3) ICRS unit vectors of these middles."""
    level_only: tuple[int, ...]
    windows: tuple[Window, ...]
    """Of the images, on the mosaic grid, and"""
    outlines: Floats
    """(n, 4, 2) of their corners; none of either where an image is cut."""
    ends: Ints
    """(m, 2) images plus and minus."""
    planes: Floats
    """(m, 5) level, slope_x, slope_y, x0, y0 of the fits, in mosaic pixels."""
    information: Floats
    """(m, 3, 3)."""
    n_pixels: Ints
    """(m,) pixels in which both images are well covered."""
    share: Floats
    """(m,) as of `Overlaps`, by the images of this run."""
    missing: tuple[ImageRef, ...]
    """Images that are not projected: damaged ones, as a rule."""

    @classmethod
    def of(cls, path: str | Place) -> RunFits:
        """As the store of a run has it.

        Raises
        ------
        InputError
            If there is no run, or not all overlaps of its projected images are fitted.
        """
        store = Store.open(path)
        kept = {(int(row[0]), int(row[1])): row[:-1] for row in store.tables.fits()}
        plan, numbers, missing = _plan_of(store, {row for ends in kept for row in ends})
        match, fits = Match(plan), _fits_of(plan, numbers, kept, path)
        image_of, main = np.array(plan.image_of, np.int64), match.main_rows
        whole = len(plan.rows) == plan.n_images and not any(row.mapping.cut for row in plan.rows)
        return cls(
            str(path), plan.grid, plan.unit, plan.zero_point, plan.images, np.array(plan.scales), match.boxes[main],
            match.sky_origins, tuple(match.level_only),
            tuple(row.window for row in plan.rows) if whole else (),
            np.array([row.outline for row in plan.rows]).reshape(-1, 4, 2) if whole else np.zeros((0, 4, 2)),
            image_of[np.array([(pair.plus, pair.minus) for pair in plan.pairs], np.int64).reshape(-1, 2)],
            fits[:, 2:7], fits[:, 7:16].reshape(-1, 3, 3), fits[:, 18].astype(np.int64),
            match.overlaps(fits[:, 18] > 0).share, missing,
        )  # fmt: skip


def _plan_of(store: Store, fitted: set[int]) -> tuple[MosaicPlan, list[int], tuple[ImageRef, ...]]:
    """As much of a run's plan as matching needs, of the images that are projected; their rows' numbers; the others.

    Rows that are ``fitted`` are projected: only of others the marks are asked for.
    """
    run, current = store.attributes, store.current
    known: dict[ImageRef, ImageRef] = {}
    rows, beside, numbers, missing = [], [], [], []
    unknown = set(current["rows"]) - fitted
    projected = fitted | (store.projected.marked(unknown) if unknown else set())
    for number, table in zip(current["rows"], store.rows.tables(current["rows"]), strict=True):
        row, companions = row_from_table(table)
        if number not in projected:
            missing.append(row.image)
            continue
        rows.append(replace(row, image=known.setdefault(row.image, row.image)))
        beside.append(companions)
        numbers.append(number)
    more: dict[str, Any] = {"skipped": (), "combine": "mean", "weights": "area", "method": "auto", "warnings": ()}
    plan = MosaicPlan(
        grid=store.grid, rows=tuple(rows), pairs=tuple(overlap_pairs(rows)) if rows else (), background="plane",
        unit=run["unit"], tol=run["tol"], margin=0, drop=Drop(**run["drop"]), quality=Quality(**run["quality"]),
        companions=tuple(beside), zero_point=current.get("zero_point"), matching=Matching(), **more,
    )  # fmt: skip
    return plan, numbers, tuple(image for image in dict.fromkeys(missing) if image not in known)


def _fits_of(plan: MosaicPlan, numbers: list[int], kept: dict[tuple[int, int], Floats], path: str | Place) -> Floats:
    """(m, 20) the fits of a plan's pairs, in their order, as `PlaneFit.to_row` has them."""
    wanted = [(numbers[pair.plus], numbers[pair.minus]) for pair in plan.pairs]
    lost = [pair for key, pair in zip(wanted, plan.pairs, strict=True) if key not in kept]
    if lost or not plan.rows:
        names = (plan.rows[row].image.name for row in (lost[0].plus, lost[0].minus)) if lost else ()
        what = f"lacks {len(lost)} of {len(wanted)} fits of overlaps ({', '.join(names)})" if lost else "has no image"
        raise InputError(f"{path} {what}: project and fit it first (dmontage fit)")
    return np.array([kept[key] for key in wanted]).reshape(-1, 20)
