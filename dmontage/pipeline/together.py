"""Together: one solve for the fits of several runs, so that each makes its part of the sky as one run of all would.

Images are known across runs by what they are (`ImageRef.digest`), one on the border of two runs is one image, and an
overlap that both have fitted counts once: the fit with most pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from dmontage.background import solve
from dmontage.errors import InputError
from dmontage.pipeline.corrections import names_apart, sky_table, told_in
from dmontage.pipeline.merged import Merged
from dmontage.pipeline.placed import on_lattice, on_sky
from dmontage.pipeline.run_fits import RunFits
from dmontage.places import Url
from dmontage.planner import check_words, numbers_of, same_scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.table import Table

    from dmontage.places import Place

__all__ = ["solve_runs"]

_OPTION = {"unit": "unit, --unit", "zero point": "zero_point_out, --zero-point-out"}


def solve_runs(
    stores: str | Place | Sequence[str | Place],
    *,
    background: str = "plane",
    slope_prior: float | str | None = "auto",
    anchor: Sequence[str] = (),
    lock: Sequence[str] = (),
) -> Table:
    """Match the backgrounds of several runs by one solve, from the fits that their stores keep.

    Neighbouring runs must share images; best all within an image's side of their border, so that each overlap is whole
    in one of them. `Mosaic.fit` (``dmontage fit``) makes the fits and no more.

    Parameters
    ----------
    stores
        The runs' stores, in any order, or that of one run.
    background, slope_prior, anchor, lock
        As for `dmontage.plan`; background "plane" or "level". Without a prior of the slopes (None) the runs must lie on
        one lattice.

    Returns
    -------
    astropy.table.Table
        The corrections of all images, as `Mosaic.corrections` gives them: what each run applies by ``corrections=``.
        Its meta names, under "missing", images that no run has projected. A name that several images have, be they
        missing, is told by paths.

    Raises
    ------
    InputError
        Where a run is not fitted to its end, or runs tell their values in different units or zero points, or scale an
        image differently.
    """
    check_words(("background", background, ("plane", "level")))
    listed = [stores] if isinstance(stores, (str, Path, Url)) else stores
    runs = sorted(map(RunFits.of, listed), key=lambda run: (run.grid.header, run.grid.shape, run.path))
    _check(runs)
    merged = Merged.of(runs)
    scales = _scales(runs, merged)
    where = on_lattice(runs, merged) or on_sky(runs, merged)
    if where.turned and slope_prior is None and background == "plane":
        raise InputError("slope_prior None needs runs on one lattice: give a prior, or background 'level'")
    prior = slope_prior
    if prior is not None and not isinstance(prior, str):
        prior = float(prior) * float(np.degrees(where.scale))
    images = merged.images
    solution = solve(
        where.table,
        where.frames,
        cast("Literal['plane', 'level']", background),
        cast("Any", prior),
        level_only=where.level_only,
        anchors=numbers_of(images, "anchor", anchor),
        locked=numbers_of(images, "lock", lock),
    )
    told = told_in(runs[0].unit, where.scale, runs[0].zero_point)
    units = {image.bunit for image in images}
    bunit = units.pop() if len(units) == 1 else ""
    table = sky_table(images, where.origins, where.turn, solution, scales, told, bunit, merged.missing)
    table.meta["missing"] = names_apart([*images, *merged.missing])[len(images) :]
    return table


def _check(runs: Sequence[RunFits]) -> None:
    """InputError for runs whose values are not told in the same way."""
    if not runs:
        raise InputError("no run was given: name their stores (--workdir)")
    for run in runs[1:]:
        for what, one, other in (("unit", runs[0].unit, run.unit), ("zero point", runs[0].zero_point, run.zero_point)):
            if one != other:
                raise InputError(
                    f"{run.path} has {what} {other!r}, {runs[0].path} {one!r}: give both runs one ({_OPTION[what]})"
                )


def _scales(runs: Sequence[RunFits], merged: Merged) -> list[float]:
    """What each image's values were multiplied by; InputError for one of which two runs differ in that."""
    known: dict[int, tuple[float, RunFits]] = {}
    for run, numbers in zip(runs, merged.numbers, strict=True):
        for k, scale in zip(numbers.tolist(), run.scales.tolist(), strict=True):
            one, other = known.setdefault(k, (scale, run))
            if not same_scale(scale, one):
                raise InputError(
                    f"{merged.images[k].path}: its values are times {scale:.10g} in {run.path}, times {one:.10g} in "
                    f"{other.path}: give both runs one (flux_scale, zero_point) and fit anew"
                )
    return [known[k][0] for k in range(len(merged.images))]
