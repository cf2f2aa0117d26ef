"""Overlaps: the plane through the difference of each pair of rows (level 4)."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from dmontage.kernels.plane_fit import Sums, difference, fit_plane, median_about
from dmontage.model import Drop, OverlapPair, Plane, PlaneFit
from dmontage.store import Store, StoreRef

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["MIN_AREA", "MIN_OF_DROPS", "Pairs", "fit_pair", "fit_pairs", "medians_left"]

MIN_AREA = 0.9
"""A pixel counts in a difference where both images cover at least this part of what they cover in the mean.

Less would let the rims of an image in, where its neighbour's pixels are whole."""

MIN_OF_DROPS = 0.25
"""The same where drops leave gaps, and their mean is pixfrac².

Two images whose dithers are apart hardly ever reach more in the same pixel: of 11 overlaps with drops of 0.6 onto half
the pixel, three have none at 0.9, where levels are wrong by 0.11; at 0.25 by 0.02, as with whole pixels."""


def fit_pair(pair: OverlapPair, plus: Sums, minus: Sums, correlation: float) -> PlaneFit:
    """Fit the difference of two projected images.

    Parameters
    ----------
    plus, minus
        Sums of either image on ``pair.window``.
    correlation
        Factor by which projection enlarges the covariance of a fit: it makes neighbours alike.
    """
    w = pair.window
    x0, y0 = pair.origin
    fit = fit_plane(difference(plus, minus), w.y0, w.x0, x0, y0, correlation)
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


class Pairs(NamedTuple):
    """Pairs that a task fits."""

    pairs: tuple[tuple[int, int, float], ...]
    """Of the store's rows: (plus, minus, correlation); those with one ``plus`` stand together: it is decoded once."""


def fit_pairs(where: str | StoreRef, pairs: Pairs) -> list[tuple[PlaneFit, float]]:
    """Task: fit some pairs; gives each fit with its correlation."""
    correlations = [correlation for *_, correlation in pairs.pairs]
    each = _each(Store.open(where), [(plus, minus) for plus, minus, _ in pairs.pairs])
    return [(fit_pair(*sums, correlation), correlation) for sums, correlation in zip(each, correlations, strict=True)]


def medians_left(where: str | StoreRef, pairs: Sequence[tuple[int, int]], corrected_by: str) -> list[float]:
    """Task: medians of some pairs' differences less the corrections that the store has, measured on the pixels."""
    store = Store.open(where)
    planes = [Plane(*numbers) for numbers in store.tables.planes(corrected_by, len(store.rows)).tolist()]
    medians = []
    for pair, plus, minus in _each(store, pairs):
        a, b, (x0, y0), w = planes[pair.plus], planes[pair.minus], pair.origin, pair.window
        level = float(a.at(x0, y0) - b.at(x0, y0))
        left = level, a.slope_x - b.slope_x, a.slope_y - b.slope_y
        medians.append(median_about(difference(plus, minus), w.y0, w.x0, left, x0, y0))
    return medians


def _each(store: Store, pairs: Sequence[tuple[int, int]]) -> Iterator[tuple[OverlapPair, Sums, Sums]]:
    """The pairs with what both rows have in their overlap."""
    windows = store.rows.windows()
    drop = Drop(**store.attributes["drop"])
    min_area = MIN_AREA if drop.whole else MIN_OF_DROPS * drop.pixfrac**2
    names = [name for name in ("flux", "weight", "area") if name in store.projected.names]
    for plus, others in groupby(pairs, key=itemgetter(0)):
        origin = windows[plus]
        whole = store.projected.read(plus, origin, origin, names)
        for _, minus in others:
            pair = OverlapPair(plus, minus, origin & windows[minus])
            part = pair.window.relative_to(origin).slices
            mine = _sums([array[part] for array in whole], min_area)
            yield pair, mine, _sums(store.projected.read(minus, windows[minus], pair.window, names), min_area)


def _sums(arrays: Sequence[NDArray[Any]], min_area: float) -> Sums:
    """Of (flux, area), or (flux, weight, area): without weights the area is the weight."""
    return Sums(arrays[0], arrays[1], arrays[-1], min_area)
