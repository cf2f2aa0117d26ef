"""Make: a mosaic's background report."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from dmontage.background import large_scale
from dmontage.graph.shares import has_shares
from dmontage.report.nouns import BackgroundReport, ImageLine, PairLine

if TYPE_CHECKING:
    from dmontage.pipeline import Mosaic

__all__ = ["background_report"]

_ERRORS = 3.0
"""Standard errors that may be left of a pair, and the tolerance."""
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

    Returns
    -------
    BackgroundReport
        Print it, or ``write`` it.

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
        grid=plan.grid,
        model=plan.background,
        unit=plan.bunit,
        gauge=solution.gauge,
        solver=plan.matching.solver,
        slope_prior=None if tau is None else tau / plan.degrees_per_pixel,
        misfit=solution.misfit,
        noise=_noise(mosaic),
        tolerance=tolerance,
        converged=solution.converged,
        unpaired=tuple(plan.images[k].name for k in solution.unpaired),
        pairs=pairs,
        images=_image_lines(mosaic),
        rms_before=_rms([pair.before for pair in known]),
        rms_after=_rms([pair.after for pair in known]),
        large_scale=large_scale(solution) if direct else None,
        error_map=mosaic.background_error_map() if direct and has_shares(plan.combine) else None,
    )


def _rms(values: list[float]) -> float:
    return math.sqrt(float(np.mean(np.square(values)))) if values else 0.0


def _noise(mosaic: Mosaic) -> float:
    """σ of an input pixel: what a projected difference scatters by, less what projection took off."""
    plan = mosaic.plan
    each = [
        fit.rms / math.sqrt(2.0) * plan.correlation(ratio) * ratio
        for fit, ratio in zip(mosaic.fits, plan.pair_ratios, strict=True)
        if fit.n_pixels
    ]
    return float(np.median(each)) if each else 0.0


def _pair_lines(mosaic: Mosaic, left: tuple[float, ...], tolerance: float) -> tuple[PairLine, ...]:
    solution, rows = mosaic.solution, mosaic.plan.rows
    assert solution is not None
    used = np.delete(np.arange(len(left)), solution.unusable)
    t, rejected = np.full(len(left), np.nan), np.zeros(len(left), bool)
    t[used], rejected[used] = solution.remainders.t, ~solution.remainders.kept
    lines = []
    for k, (pair, fit, after) in enumerate(zip(mosaic.plan.pairs, mosaic.fits, left, strict=True)):
        precision = fit.information[0][0]
        error = 1 / math.sqrt(precision) if precision > 0 else math.inf
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
                t=float(t[k]),
                rejected=bool(rejected[k]),
                named=abs(after) > _ERRORS * error + tolerance,
            )
        )
    return tuple(lines)


def _image_lines(mosaic: Mosaic) -> tuple[ImageLine, ...]:
    table, names = mosaic.corrections(), [field.name for field in fields(ImageLine)]
    return tuple(ImageLine(*row) for row in zip(*(table[name].tolist() for name in names), strict=True))
