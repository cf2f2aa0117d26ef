"""Make: a mosaic's background report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from dmontage.background import large_scale
from dmontage.report.nouns import BackgroundReport, ImageLine, PairLine

if TYPE_CHECKING:
    from dmontage.pipeline import Mosaic

__all__ = ["background_report"]

_ERRORS = 3.0
_TOLERANCE = 0.1
"""Of the noise of a difference pixel: no eye, and hardly a measurement, tells a step of that size."""


def background_report(mosaic: Mosaic, tolerance: float | None = None) -> BackgroundReport:
    """What background matching did to the photometry of a mosaic.

    Parameters
    ----------
    mosaic
        Its background must be matched ("plane" or "level"); what has not run yet runs now.
    tolerance
        A pair is named when more than three of its standard errors and this are left, in the unit of the pixels; by
        default a tenth of the noise of a difference pixel.

    Raises
    ------
    InputError
        If no background is matched.
    """
    left = mosaic.medians_left()
    solution, plan = mosaic.solution, mosaic.plan
    assert solution is not None
    rms = [fit.rms for fit in mosaic.fits if fit.n_pixels]
    usual = float(np.median(rms)) if rms else 0.0
    tolerance = _TOLERANCE * usual if tolerance is None else tolerance
    pairs = _pair_lines(mosaic, left, tolerance)
    known = [pair for pair in pairs if pair.n_pixels]
    direct = solution.normal is not None
    tau = solution.tau if plan.background == "plane" else None
    return BackgroundReport(
        model=plan.background,
        unit=plan.bunit,
        gauge=solution.gauge,
        solver=plan.matching.solver,
        slope_prior=None if tau is None else tau / float(np.degrees(plan.grid.scale)),
        misfit=solution.misfit,
        noise=_noise(mosaic),
        tolerance=tolerance,
        pairs=pairs,
        images=_image_lines(mosaic),
        rms_before=_rms([pair.before for pair in known]),
        rms_after=_rms([pair.after for pair in known]),
        large_scale=large_scale(solution) if direct else None,
        error_map=mosaic.background_error_map() if direct else None,
    )


def _rms(values: list[float]) -> float:
    return math.sqrt(float(np.mean(np.square(values)))) if values else 0.0


def _noise(mosaic: Mosaic) -> float:
    """σ of an input pixel: what a projected difference scatters by, less what projection took off."""
    plan = mosaic.plan
    ratio = plan.ratios
    each = [
        fit.rms / math.sqrt(2.0) * plan.correlation(r) * r
        for fit in mosaic.fits
        if fit.n_pixels and (r := min(ratio[fit.plus], ratio[fit.minus]))
    ]
    return float(np.median(each)) if each else 0.0


def _pair_lines(mosaic: Mosaic, left: tuple[float, ...], tolerance: float) -> tuple[PairLine, ...]:
    assert mosaic.solution is not None
    remainders, rows = mosaic.solution.remainders, mosaic.plan.rows
    usable = [fit.information[0][0] > 0 for fit in mosaic.fits]
    place = np.cumsum(usable) - 1
    lines = []
    for k, (pair, fit, after) in enumerate(zip(mosaic.plan.pairs, mosaic.fits, left, strict=True)):
        error = 1 / math.sqrt(fit.information[0][0]) if usable[k] else math.inf
        kept, t = (bool(remainders.kept[place[k]]), float(remainders.t[place[k]])) if usable[k] else (True, math.nan)
        lines.append(
            PairLine(
                plus=rows[pair.plus].image.name,
                minus=rows[pair.minus].image.name,
                window=pair.window,
                n_pixels=fit.n_pixels,
                kept=fit.n_kept / max(fit.n_pixels, 1),
                rms=fit.rms,
                before=fit.median,
                after=after,
                error=error,
                t=t,
                rejected=not kept,
                named=abs(after) > _ERRORS * error + tolerance,
            )
        )
    return tuple(lines)


def _image_lines(mosaic: Mosaic) -> tuple[ImageLine, ...]:
    return tuple(
        ImageLine(
            name=str(row["file"]),
            level=float(row["level"]),
            level_error=float(row["level_error"]),
            slope_east=float(row["slope_east"]),
            slope_north=float(row["slope_north"]),
            slope_east_error=float(row["slope_east_error"]),
            slope_north_error=float(row["slope_north_error"]),
            status=str(row["status"]),
        )
        for row in mosaic.corrections()
    )
