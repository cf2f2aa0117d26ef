"""Combine: what many images have in a window of the mosaic becomes one (level 4). Plain arrays in, plain arrays out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.graph.stacked import NO_PLANES, Stack
from dmontage.kernels import stack
from dmontage.planner.combining import STACKED, TAKES_ALL
from dmontage.planner.task_memory import BAND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from dmontage.window import Window

__all__ = ["MEDIAN_AREA", "Part", "coadd", "contributors", "least_area"]

MEDIAN_AREA = 0.5
"""A contributor to a median, or to any other combine but the sums, covers more than this part of its nominal area."""


def least_area(combine: str, nominal: float) -> float:
    """Area above which an image contributes to a pixel, of its nominal one."""
    return 0.0 if combine in TAKES_ALL else MEDIAN_AREA * nominal


_TAKEN = {"first": stack.FIRST, "min": stack.MIN, "max": stack.MAX}


class Part(NamedTuple):
    """What one image has in a window of the mosaic."""

    window: Window
    """Its pixels, on the mosaic grid."""
    flux: NDArray[Any]
    area: NDArray[Any]
    plane: NDArray[np.float64]
    """(5,) correction: level, slope_x, slope_y, x0, y0 in mosaic pixels."""
    weight: NDArray[Any] | None = None
    """Σ weight·overlap; None where it is the area."""
    variance: NDArray[Any] | None = None
    """Of flux/weight."""
    factor: float = 1.0
    """The image's own weight, times what its pixels' weights are stored in multiples of."""
    nominal: float = 1.0
    """Area of a pixel that the image covers as well as its drops can."""

    @property
    def divisor(self) -> NDArray[Any]:
        """What flux is divided by."""
        return self.area if self.weight is None else self.weight

    def within(self, window: Window) -> Part:
        """What it has in a part of its window."""
        inside = self.window & window
        at = inside.relative_to(self.window).slices
        weight, variance = (None if a is None else a[at] for a in (self.weight, self.variance))
        return self._replace(window=inside, flux=self.flux[at], area=self.area[at], weight=weight, variance=variance)

    def least(self, combine: str) -> float:
        """Area above which it contributes."""
        return least_area(combine, self.nominal)


def coadd(
    window: Window,
    parts: Iterable[Part],
    combine: str,
    weights: str,
    *,
    layers: Sequence[str] = ("mean", "area"),
    clip: tuple[float, float] | None = None,
    plain: bool = False,
) -> tuple[NDArray[np.float64], ...]:
    """Combine the parts of many images over one window.

    Parameters
    ----------
    window
        Pixels of the mosaic to fill.
    parts
        In the order of the images' identity: the order of the sums.
    combine
        "mean": Σ W·w·v / Σ W·w with the images' own weights W and those of the pixels w, or the plain mean without
        weights. "sum": Σ W·w·v, or Σ v. "count": number of images with area, negative values too. The others are of
        contributors with an area above half of their nominal one: "median" (an even number gives the mean of the two
        middle ones), "clip" (the mean of what `dmontage.kernels.clip` keeps, by the parts' variances where they have
        them), "min", "max", "first" in the order of the parts.
    weights
        "area" or "ivar" (weights multiply, where there are any) or "none".
    layers
        What is wanted: "mean" is the combined value, NaN (0 for "count") where nothing falls; "area" the sum of the
        contributors'; "variance" that of a mean or clipped mean, of parts that have theirs; "depth" the number of
        contributors; "rejected" of those that were clipped.
    clip
        Limits (low, high) of "clip" in σ.
    plain
        True when no part has weights, a variance, or a factor but 1: a mean of these is made faster.

    Returns
    -------
    tuple of ndarray
        The layers, (ny, nx) float64 each, in the order that was asked for.
    """
    weighted = weights != "none"
    if combine in STACKED:
        found = _of_stacks(window, list(parts), combine, weighted, clip, variance="variance" in layers)
    elif combine in _TAKEN:
        found = _taken(window, parts, combine)
    elif plain and weighted and combine == "mean" and set(layers) <= {"mean", "area"}:
        found = _plain_mean(window, parts)
    else:
        found = _sums(window, parts, combine, weighted, variance="variance" in layers)
    return tuple(found[name] for name in layers)


def contributors(
    window: Window, parts: Iterable[Part], combine: str, clip: tuple[float, float] | None = None
) -> Iterator[tuple[int, Window, NDArray[np.bool_]]]:
    """Which parts have a share in which pixels: number of the part, a window of the mosaic, and its pixels in there."""
    if combine == "clip":
        parts = list(parts)  # of the others one is held at a time
        for band in window.bands(BAND):
            stacked = Stack.of(band, parts, combine, weighted=False)
            stacked.clip(clip)
            for number, values in zip(stacked.numbers, stacked.values, strict=True):
                yield number, band, ~np.isnan(values)
        return
    taken = np.zeros(window.shape, bool)
    for number, part in enumerate(parts):
        at = part.window.relative_to(window).slices
        used = (part.area > part.least(combine)) & (part.divisor > 0.0)
        if combine == "first":
            used &= ~taken[at]
            taken[at] |= used
        yield number, part.window, used


def _plain_mean(window: Window, parts: Iterable[Part]) -> dict[str, NDArray[np.float64]]:
    value, area = np.zeros(window.shape), np.zeros(window.shape)
    for part in parts:
        at = part.window.relative_to(window).slices
        stack.add_plain(part.flux, part.area, part.plane, part.window.y0, part.window.x0, value[at], area[at])
    stack.finish_mean(value, area)
    return {"mean": value, "area": area}


def _sums(
    window: Window, parts: Iterable[Part], combine: str, weighted: bool, *, variance: bool
) -> dict[str, NDArray[np.float64]]:
    value, weight, area, squares = (np.zeros(window.shape) for _ in range(4))
    count = np.zeros(window.shape, np.int32)
    for part in parts:
        at = part.window.relative_to(window).slices
        w = part.divisor
        stack.add_to_mean(
            part.flux, w, part.area, part.plane, part.window.y0, part.window.x0, part.factor, weighted,
            value[at], weight[at], area[at], count[at],
        )  # fmt: skip
        if part.variance is not None and variance:
            stack.add_to_variance(part.variance, w, part.area, part.factor, weighted, squares[at])
    if combine == "count":
        value = count.astype(float)
    elif combine == "sum":
        value[count == 0] = np.nan
    else:
        stack.finish_mean(value, weight)
    found = {"mean": value, "area": area, "depth": count.astype(float)}
    if variance:
        found["variance"] = np.divide(squares, weight**2, out=np.full(window.shape, np.nan), where=weight > 0.0)
    return found


def _taken(window: Window, parts: Iterable[Part], combine: str) -> dict[str, NDArray[np.float64]]:
    value, area = np.full(window.shape, np.nan), np.zeros(window.shape)
    count = np.zeros(window.shape, np.int32)
    for part in parts:
        at = part.window.relative_to(window).slices
        stack.take(
            part.flux, part.divisor, part.area, part.plane, part.window.y0, part.window.x0, part.least(combine),
            _TAKEN[combine], value[at], area[at], count[at],
        )  # fmt: skip
    return {"mean": value, "area": area, "depth": count.astype(float)}


def _of_stacks(
    window: Window,
    parts: list[Part],
    combine: str,
    weighted: bool,
    clip: tuple[float, float] | None,
    *,
    variance: bool,
) -> dict[str, NDArray[np.float64]]:
    """Medians and clipped means, in bands of rows so that deep stacks need not be held twice."""
    found = {name: np.zeros(window.shape) for name in ("mean", "area", "depth", "rejected")}
    if variance:
        found["variance"] = np.full(window.shape, np.nan)
    for band in window.bands(BAND):
        at = band.relative_to(window).slices
        value, area = found["mean"][at], found["area"][at]
        stacked = Stack.of(band, parts, combine, weighted=weighted)
        if combine == "median":
            stack.median(stacked.values, stacked.areas, stacked.shares, weighted, value, area)
        else:
            found["rejected"][at] = stacked.clip(clip)
            spread = found["variance"][at] if variance else np.zeros((0, 0))
            stack.mean(
                stacked.values, stacked.areas, stacked.shares, stacked.variances if variance else NO_PLANES, weighted,
                value, area, spread,
            )  # fmt: skip
        found["depth"][at] = np.count_nonzero(~np.isnan(stacked.values), axis=0)
    return found
