"""Stack kernels: many projected images over one window of the mosaic become one.

Notation: per pixel image k gives flux f, weight w (Σ weight·overlap; the area a where the run has no weights), area a
and the variance s of f/w. It has a correction plane p and a factor W of its own; its value is v = f/w − p.

    weighted mean   Σ W (f − p w) / Σ W w      its variance   Σ (W w)² s / (Σ W w)²
    plain mean      Σ v / n                                   Σ s / n²

Images are added in the order in which the caller passes them. A plane is ``level + slope_x (x − x0) +
slope_y (y − y0)`` at mosaic pixel (x, y).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dmontage.kernels._jit import inlined, kernel, primitive

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "FIRST", "MAX", "MIN", "add_plain", "add_to_mean", "add_to_variance", "finish_mean", "mean", "median", "take",
    "values",
]  # fmt: skip

FIRST, MIN, MAX = 0, 1, 2
"""What `take` takes."""


@inlined
def _plane_at(plane: NDArray[np.float64], x: float, y: float) -> float:
    return float(plane[0] + plane[1] * (x - plane[3]) + plane[2] * (y - plane[4]))


@kernel
def add_to_mean(
    flux: NDArray[np.float32],
    weight: NDArray[np.float32],
    area: NDArray[np.float32],
    plane: NDArray[np.float64],
    y_first: int,
    x_first: int,
    factor: float,
    weighted: bool,
    sum_value: NDArray[np.float64],
    sum_weight: NDArray[np.float64],
    sum_area: NDArray[np.float64],
    count: NDArray[np.int32],
) -> None:
    """Add one image's window to the running sums of the same window, in place.

    Parameters
    ----------
    flux, weight, area
        (ny, nx) of the image; weight and area 0 where it has nothing, ``weight`` the area itself in a run without.
    plane
        (5,) level, slope_x, slope_y, x0, y0 of its correction, in mosaic pixels.
    y_first, x_first
        Mosaic pixel of element [0, 0].
    factor
        The image's own weight W.
    weighted
        False: every contributor counts the same.
    sum_value, sum_weight, sum_area, count
        (ny, nx) sums of v·W·w, of W·w (of v, of 1), of a, and number of contributors.
    """
    for j in range(flux.shape[0]):
        for i in range(flux.shape[1]):
            w = np.float64(weight[j, i])
            a = np.float64(area[j, i])
            if w > 0.0 and a > 0.0:
                f = np.float64(flux[j, i])
                p = _plane_at(plane, float(x_first + i), float(y_first + j))
                if weighted:
                    sum_value[j, i] += factor * (f - p * w)
                    sum_weight[j, i] += factor * w
                else:
                    sum_value[j, i] += f / w - p
                    sum_weight[j, i] += 1.0
                sum_area[j, i] += a
                count[j, i] += 1


@kernel
def add_plain(
    flux: NDArray[np.float32],
    area: NDArray[np.float32],
    plane: NDArray[np.float64],
    y_first: int,
    x_first: int,
    sum_value: NDArray[np.float64],
    sum_area: NDArray[np.float64],
) -> None:
    """As `add_to_mean` with the area for the weight and no factor, to the bit, at a third of its time.

    Where an image has nothing its flux and area are 0, and so is what is added: no branch keeps the loop from running
    on several pixels at once.
    """
    for j in range(flux.shape[0]):
        for i in range(flux.shape[1]):
            a = np.float64(area[j, i])
            p = _plane_at(plane, float(x_first + i), float(y_first + j))
            sum_value[j, i] += np.float64(flux[j, i]) - p * a
            sum_area[j, i] += a


@kernel
def add_to_variance(
    variance: NDArray[np.float32],
    weight: NDArray[np.float32],
    area: NDArray[np.float32],
    factor: float,
    weighted: bool,
    sum_variance: NDArray[np.float64],
) -> None:
    """Add Σ (W w)² s, or Σ s, of one image in place (arguments as in `add_to_mean`); over sum_weight² at the end."""
    for j in range(variance.shape[0]):
        for i in range(variance.shape[1]):
            w = np.float64(weight[j, i])
            if w > 0.0 and area[j, i] > 0.0:
                share = factor * w if weighted else 1.0
                sum_variance[j, i] += share * share * np.float64(variance[j, i])


@kernel
def finish_mean(sum_value: NDArray[np.float64], sum_weight: NDArray[np.float64]) -> None:
    """Turn the sum of values into the mean in place; NaN where nothing was added."""
    for j in range(sum_value.shape[0]):
        for i in range(sum_value.shape[1]):
            w = sum_weight[j, i]
            sum_value[j, i] = sum_value[j, i] / w if w > 0.0 else np.nan


@kernel
def take(
    flux: NDArray[np.float32],
    weight: NDArray[np.float32],
    area: NDArray[np.float32],
    plane: NDArray[np.float64],
    y_first: int,
    x_first: int,
    min_area: float,
    which: int,
    value: NDArray[np.float64],
    sum_area: NDArray[np.float64],
    count: NDArray[np.int32],
) -> None:
    """Take one image's values where they are the first, the least or the greatest so far, in place.

    Parameters
    ----------
    flux, weight, area, plane, y_first, x_first
        As in `add_to_mean`; an image contributes where its area is above ``min_area``.
    which
        `FIRST`, `MIN` or `MAX`.
    value, sum_area, count
        (ny, nx) what was taken, NaN before; summed area and number of contributors, of which `FIRST` has one.
    """
    for j in range(flux.shape[0]):
        for i in range(flux.shape[1]):
            w = np.float64(weight[j, i])
            if not (area[j, i] > min_area and w > 0.0) or (which == FIRST and count[j, i] > 0):
                continue
            v = np.float64(flux[j, i]) / w - _plane_at(plane, float(x_first + i), float(y_first + j))
            if count[j, i] == 0 or (which == MIN and v < value[j, i]) or (which == MAX and v > value[j, i]):
                value[j, i] = v
            sum_area[j, i] += np.float64(area[j, i])
            count[j, i] += 1


@kernel
def values(
    flux: NDArray[np.float32],
    weight: NDArray[np.float32],
    area: NDArray[np.float32],
    plane: NDArray[np.float64],
    y_first: int,
    x_first: int,
    min_area: float,
    out: NDArray[np.float64],
) -> None:
    """Fill ``out`` with f/w − p where the area is above ``min_area``, NaN elsewhere (arguments as in `add_to_mean`)."""
    for j in range(flux.shape[0]):
        for i in range(flux.shape[1]):
            w = np.float64(weight[j, i])
            if area[j, i] > min_area and w > 0.0:
                out[j, i] = np.float64(flux[j, i]) / w - _plane_at(plane, float(x_first + i), float(y_first + j))
            else:
                out[j, i] = np.nan


_FEW = 32
"""Values that are sorted by insertion: four in a fifth of the time of an argsort, which has memory to get."""


@primitive
def _sort_few(v: NDArray[np.float64], w: NDArray[np.float64], n: int) -> None:
    """Sort the first ``n`` values in place, and their weights with them; equal ones stay in their order."""
    for k in range(1, n):
        value, weight = v[k], w[k]
        i = k
        while i > 0 and v[i - 1] > value:
            v[i], w[i] = v[i - 1], w[i - 1]
            i -= 1
        v[i], w[i] = value, weight


@primitive
def _median_of(v: NDArray[np.float64], w: NDArray[np.float64], n: int) -> float:
    """Weighted median of the first ``n``; the mean of the two middle ones where the weight halves between them.

    It leaves ``v`` and ``w`` in another order.
    """
    if n <= _FEW:
        _sort_few(v, w, n)
    else:
        order = np.argsort(v[:n])
        v[:n], w[:n] = v[order], w[order]
    total = 0.0
    for k in range(n):
        total += w[k]
    below = 0.0
    for k in range(n):
        below += w[k]
        if 2.0 * below > total:
            return float(v[k])
        if 2.0 * below == total:
            return 0.5 * (float(v[k]) + float(v[k + 1]))
    return float(v[n - 1])


@kernel
def median(
    stack: NDArray[np.float64],
    areas: NDArray[np.float64],
    weights: NDArray[np.float64],
    weighted: bool,
    out: NDArray[np.float64],
    sum_area: NDArray[np.float64],
) -> None:
    """Median along the first axis; fills ``out`` (NaN where nothing contributes) and the contributors' summed area.

    Parameters
    ----------
    stack
        (n, ny, nx) values, NaN where an image does not contribute.
    areas, weights
        (n, ny, nx) their areas and weights W·w.
    weighted
        True: half of the weight on either side; False: the plain median, where an even number of contributors gives the
        mean of the two middle ones.
    out, sum_area
        (ny, nx) results.
    """
    n, ny, nx = stack.shape
    v = np.empty(n)
    w = np.empty(n)
    for j in range(ny):
        for i in range(nx):
            m = 0
            total = 0.0
            for k in range(n):
                value = stack[k, j, i]
                if value == value:  # noqa: PLR0124 (NaN is not equal to itself)
                    v[m] = value
                    w[m] = weights[k, j, i] if weighted else 1.0
                    total += areas[k, j, i]
                    m += 1
            sum_area[j, i] = total
            out[j, i] = _median_of(v, w, m) if m > 0 else np.nan


@kernel
def mean(
    stack: NDArray[np.float64],
    areas: NDArray[np.float64],
    weights: NDArray[np.float64],
    variances: NDArray[np.float32],
    weighted: bool,
    out: NDArray[np.float64],
    sum_area: NDArray[np.float64],
    out_variance: NDArray[np.float64],
) -> None:
    """Mean along the first axis, of what a stack has, and its variance; NaN where it has nothing.

    Parameters
    ----------
    stack, areas, weights, weighted, out, sum_area
        As in `median`; without weights all contributors count the same.
    variances, out_variance
        (n, ny, nx) of the values and (ny, nx) of the mean; of shape (0, 0, 0) and (0, 0) where they are not wanted.
    """
    n, ny, nx = stack.shape
    wanted = variances.shape[0] > 0
    for j in range(ny):
        for i in range(nx):
            total, weight, squares, area = 0.0, 0.0, 0.0, 0.0
            for k in range(n):
                value = stack[k, j, i]
                if value == value:  # noqa: PLR0124 (NaN is not equal to itself)
                    share = weights[k, j, i] if weighted else 1.0
                    total += share * value
                    weight += share
                    area += areas[k, j, i]
                    if wanted:
                        squares += share * share * np.float64(variances[k, j, i])
            sum_area[j, i] = area
            out[j, i] = total / weight if weight > 0.0 else np.nan
            if wanted:
                out_variance[j, i] = squares / (weight * weight) if weight > 0.0 else np.nan
