"""Quality: what of an image counts (level 1).

Borders, polygons, masks, weights that are not above their limit and variances that are none take pixels out: these
become NaN, so that the kernels meet one kind of blank. Weights that remain keep their values.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.window import Window

__all__ = ["Quality", "apply"]

Sides = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Quality:
    """What of each image of a run counts."""

    border: int | Sides = 0
    """Pixels left out on all four sides, or on the (left, right, bottom, top)."""
    polygons: Sequence[Sequence[Sequence[float]]] = ()
    """Each a list of (x, y) vertices in pixels of the image, 0-based; pixels whose centre lies inside (even-odd rule)
    are left out. A centre just on an edge belongs to the polygon to its right or above, so that no pixel has two."""
    good_bits: int | None = None
    """Bits of a mask that do no harm: a value is good when its other bits are 0, so a negative one is bad. None: any
    value but 0 is bad."""
    min_weight: float = 0.0
    """Weights below it count as 0."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "border", _sides(self.border))
        object.__setattr__(self, "polygons", tuple(_vertices(polygon) for polygon in self.polygons))
        bits: Any = self.good_bits
        least: Any = self.min_weight
        if bits is not None:
            if not (isinstance(bits, Integral) and 0 <= int(bits) < 2**63):
                raise InputError(f"good_bits {bits!r} is no sum of bits, 0 to 2^63 - 1: add up those that do no harm")
            object.__setattr__(self, "good_bits", int(bits))
        if not (isinstance(least, Real) and 0.0 <= float(least) < np.inf):
            raise InputError(f"min_weight {least!r} must be 0 or more, and finite")
        object.__setattr__(self, "min_weight", float(least))

    @property
    def takes_all(self) -> bool:
        """True when nothing is left out for its place."""
        return not any(_sides(self.border)) and not self.polygons

    @property
    def left_out(self) -> str:
        """What is left out for its place, for people."""
        sides = _sides(self.border)
        border = f"border {sides[0] if len(set(sides)) == 1 else sides}" if any(sides) else ""
        polygons = f"{len(self.polygons)} polygons" if self.polygons else ""
        return ", ".join(filter(None, (border, polygons)))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, equal for equal meaning; ``Quality(**...)`` gives it back."""
        return asdict(self)


def _sides(border: int | Sequence[int]) -> Sides:
    """Border on the left, right, bottom and top."""
    try:
        left, right, bottom, top = (operator.index(side) for side in np.broadcast_to(np.asarray(border), 4).tolist())
    except (TypeError, ValueError) as error:
        raise InputError(f"border {border!r} is neither a whole number nor four: left, right, bottom, top") from error
    if min(left, right, bottom, top) < 0:
        raise InputError(f"border {border!r} is negative; 0 leaves nothing out")
    return left, right, bottom, top


def _vertices(polygon: Sequence[Sequence[float]]) -> tuple[tuple[float, float], ...]:
    try:
        vertices = tuple((float(x), float(y)) for x, y in polygon)
    except (TypeError, ValueError) as error:
        raise InputError(f"polygon {polygon!r} is no list of (x, y) pixel coordinates") from error
    if len(vertices) < 3 or not np.isfinite(vertices).all():
        raise InputError(f"polygon {polygon!r} needs three vertices or more, all finite")
    return vertices


def apply(
    values: NDArray[Any],
    window: Window,
    shape: tuple[int, int],
    quality: Quality,
    weights: NDArray[Any] | None = None,
    mask: NDArray[Any] | None = None,
    variance: NDArray[Any] | None = None,
) -> tuple[NDArray[Any], NDArray[Any] | None, NDArray[Any] | None]:
    """Blank what does not count.

    Parameters
    ----------
    values
        (..., ny, nx) pixels of ``window``, floats.
    window, shape
        Where the pixels lie in their image, and the image's (ny, nx): borders are those of the image.
    weights
        A pixel whose weight is not above 0, below ``quality.min_weight``, or not finite does not count.
    mask
        Integers or booleans; NaN and fractions are bad.
    variance
        σ²; a pixel whose variance is negative or not finite does not count.

    Returns
    -------
    values, weights, variance
        ``values`` with NaN for what does not count, a copy if that changes anything; the others as they were given.
        No pixel's outcome depends on the window.
    """
    bad = _outside(window, shape, quality)
    if mask is not None:
        bad = bad | _flagged(mask, quality.good_bits)
    with np.errstate(invalid="ignore"):
        if weights is not None:
            bad = bad | ~((weights > 0) & (weights >= quality.min_weight) & (weights < np.inf))
        if variance is not None:
            bad = bad | ~((variance >= 0) & (variance < np.inf))
    if bad.any():
        values = np.where(bad, values.dtype.type(np.nan), values)
    return values, weights, variance


def _outside(window: Window, shape: tuple[int, int], quality: Quality) -> NDArray[np.bool_]:
    """Pixels (ny, nx) of a window that the border or a polygon takes out."""
    if quality.takes_all:
        return np.zeros((1, 1), bool)
    left, right, bottom, top = _sides(quality.border)
    y, x = np.arange(window.y0, window.y1)[:, None], np.arange(window.x0, window.x1)
    bad: NDArray[np.bool_] = (y < bottom) | (y >= shape[0] - top) | (x < left) | (x >= shape[1] - right)
    for polygon in quality.polygons:
        bad |= _inside(polygon, x, y)
    return bad


def _inside(polygon: Sequence[Sequence[float]], x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether points (x[None, :], y[:, None]) lie inside: an odd number of edges to their right or through them."""
    inside = np.zeros((y.size, x.size), bool)
    for (xa, ya), (xb, yb) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        if ya == yb:
            continue
        (x_low, y_low), (x_high, y_high) = sorted([(xa, ya), (xb, yb)], key=lambda vertex: vertex[1])
        rows = np.flatnonzero((y[:, 0] >= y_low) & (y[:, 0] < y_high))
        # From the lower end for either direction of the edge: neighbours that share it get the same crossing.
        crossing = x_low + (y[rows, 0] - y_low) * ((x_high - x_low) / (y_high - y_low))
        inside[rows] ^= x < crossing[:, None]
    return inside


def _flagged(mask: NDArray[Any], good_bits: int | None) -> NDArray[np.bool_]:
    if mask.dtype.kind == "b" or not good_bits:
        return np.asarray(mask != 0)  # NaN too
    # As floats, integers above 2^53 would lose their last bits; those above 2^63 are bad by the comparison.
    numbers = mask if mask.dtype.kind in "iu" else np.where(np.isfinite(mask), mask, -1)
    whole = numbers.astype(np.int64)
    return np.asarray((whole != mask) | ((whole & ~good_bits) != 0))
