"""Overlaps: the plane through the difference of each pair of rows (level 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from dmontage.kernels.plane_fit import difference, fit_plane, noise_correlation
from dmontage.model import OverlapPair, Plane, PlaneFit
from dmontage.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["MIN_AREA", "fit_pair", "fit_pairs"]

MIN_AREA = 0.9
"""A pixel counts in a difference where both images cover at least this part of it."""


def fit_pair(
    pair: OverlapPair,
    plus: tuple[NDArray[Any], NDArray[Any]],
    minus: tuple[NDArray[Any], NDArray[Any]],
    model: Literal["plane", "level"],
    ratio: float,
) -> PlaneFit:
    """Fit the difference of two projected images.

    Parameters
    ----------
    plus, minus
        Flux and area of either image on ``pair.window``.
    model
        "level" keeps the slopes at zero.
    ratio
        Output over input pixel size, from which follows how many pixels are independent.
    """
    w = pair.window
    d = difference(*plus, *minus, MIN_AREA)
    x0, y0 = (w.x0 + w.x1 - 1) / 2, (w.y0 + w.y1 - 1) / 2
    fit = fit_plane(d, w.y0, w.x0, x0, y0, model, noise_correlation(ratio))
    a, b, c = fit.information.tolist()
    return PlaneFit(
        plus=pair.plus,
        minus=pair.minus,
        plane=Plane(fit.level, fit.slope_x, fit.slope_y, x0, y0),
        information=(tuple(a), tuple(b), tuple(c)),
        rms=fit.rms,
        median=fit.median,
        n_pixels=fit.n_pixels,
        n_kept=fit.n_kept,
    )


def fit_pairs(
    store_path: str, pairs: Sequence[tuple[int, int, float]], model: Literal["plane", "level"]
) -> list[PlaneFit]:
    """Task: fit some pairs (plus, minus, ratio); those with the same ``plus`` stand together, so it is decoded once."""
    store = Store.open(store_path)
    windows = store.windows()
    fits = []
    decoded = -1
    for plus, minus, ratio in pairs:
        if plus != decoded:
            flux, area = store.read_row(plus, windows[plus], windows[plus])
            decoded = plus
        pair = OverlapPair(plus, minus, windows[plus] & windows[minus])
        part = pair.window.relative_to(windows[plus]).slices
        other = store.read_row(minus, windows[minus], pair.window)
        fits.append(fit_pair(pair, (flux[part], area[part]), other, model, ratio))
    return fits
