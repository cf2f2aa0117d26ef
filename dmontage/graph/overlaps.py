"""Overlaps: the plane through the difference of each pair of rows (level 4)."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

from dmontage.kernels.plane_fit import Sums, difference, fit_plane
from dmontage.model import Drop, OverlapPair, Plane, PlaneFit
from dmontage.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["MIN_AREA", "MIN_OF_DROPS", "fit_pair", "fit_pairs"]

MIN_AREA = 0.9
"""A pixel counts in a difference where both images cover at least this part of what they cover in the mean.

Less would let the rims of an image in, where its neighbour's pixels are whole."""

MIN_OF_DROPS = 0.25
"""The same where drops leave gaps, and their mean is pixfrac².

Two images whose dithers are apart hardly ever reach more in the same pixel: of 11 overlaps with drops of 0.6 onto half
the pixel, three have none at 0.9, where levels are wrong by 0.11; at 0.25 by 0.02, as with whole pixels."""


def fit_pair(
    pair: OverlapPair, plus: Sums, minus: Sums, model: Literal["plane", "level"], correlation: float
) -> PlaneFit:
    """Fit the difference of two projected images.

    Parameters
    ----------
    plus, minus
        Sums of either image on ``pair.window``.
    model
        "level" keeps the slopes at zero.
    correlation
        Factor by which projection enlarges the covariance of a fit: it makes neighbours alike.
    """
    w = pair.window
    d = difference(plus, minus)
    x0, y0 = (w.x0 + w.x1 - 1) / 2, (w.y0 + w.y1 - 1) / 2
    fit = fit_plane(d, w.y0, w.x0, x0, y0, model, correlation)
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
    """Task: fit some pairs (plus, minus, correlation); those with one ``plus`` stand together: it is decoded once."""
    store = Store.open(store_path)
    windows = store.windows()
    drop = Drop(**store.attributes["drop"])
    min_area = MIN_AREA if drop.whole else MIN_OF_DROPS * drop.pixfrac**2
    names = [name for name in ("flux", "weight", "area") if name in store.sums]
    fits = []
    for plus, others in groupby(pairs, key=itemgetter(0)):
        origin = windows[plus]
        whole = store.read_row(plus, origin, origin, names)
        for _, minus, correlation in others:
            pair = OverlapPair(plus, minus, origin & windows[minus])
            part = pair.window.relative_to(origin).slices
            mine = _sums([array[part] for array in whole], min_area)
            other = _sums(store.read_row(minus, windows[minus], pair.window, names), min_area)
            fits.append(fit_pair(pair, mine, other, model, correlation))
    return fits


def _sums(arrays: Sequence[NDArray[Any]], min_area: float) -> Sums:
    """Of (flux, area), or (flux, weight, area): without weights the area is the weight."""
    return Sums(arrays[0], arrays[1], arrays[-1], min_area)
