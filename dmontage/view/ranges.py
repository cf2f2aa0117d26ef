"""Ranges of values for a picture, as mViewer writes them: in value, per cent and sigma.

::

    12.3        a value
    99.5%       a percentile
    -2s         sigmas from the median: 2 below it
    min, max    of the image
    max-3       and an offset to any of these, in value
    50%+1s      or in sigma

The median is the 50th percentile, sigma half the interval from the 16th to the 84th. This module is imported where it
is used: its class is astropy's, which takes a second to import.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from astropy.visualization import BaseInterval

from dmontage.errors import InputError
from dmontage.view.counting import LARGEST
from dmontage.view.histogram import histogram

if TYPE_CHECKING:
    from dmontage.view.histogram import Histogram

__all__ = ["Limit", "Range"]

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?"
_LIMIT = re.compile(
    rf"(?:(?P<end>min|max)|(?P<base>{_NUMBER})(?P<unit>[%s]?))(?:(?P<offset>(?=[+-]){_NUMBER})(?P<s>s?))?"
)


@dataclass(frozen=True)
class Limit:
    """One end of a range: a base, and an offset to it."""

    text: str
    base: float
    unit: str
    """Of the base: ``""`` value, ``"%"`` percentile, ``"s"`` sigmas from the median, ``"min"`` or ``"max"``."""
    offset: float
    offset_unit: str
    """``""`` value or ``"s"`` sigma."""

    @classmethod
    def of(cls, text: str | float) -> Limit:
        """Read a limit; a number is a value.

        Raises
        ------
        InputError
            Text that is no limit, a percentage outside 0 to 100, or a number beyond float32.
        """
        found = _LIMIT.fullmatch(re.sub(r"\s", "", str(text)).lower())
        if found is None:
            raise InputError(
                f"{text!r} is no limit of a range: give a value (12.3), a percentile (99.5%), sigmas from the median "
                "(-2s), min or max, with an offset if need be (max-3, 50%+1s)"
            )
        base, offset = float(found["base"] or 0), float(found["offset"] or 0)
        if not max(abs(base), abs(offset)) <= LARGEST:
            raise InputError(f"the limit {text!r} is beyond what a pixel can hold; give at most {LARGEST:.3g}")
        if found["unit"] == "%" and not 0 <= base <= 100:
            raise InputError(f"the limit {text!r} is a percentile of {base:g}; give 0% to 100%")
        return cls(str(text), base, found["end"] or found["unit"], offset, found["s"] or "")

    def value(self, pixels: Histogram) -> float:
        """Where it is in an image that is not blank."""
        bases = {"min": lambda: pixels.minimum, "max": lambda: pixels.maximum, "": lambda: self.base,
                 "%": lambda: float(pixels.quantile(self.base / 100)),
                 "s": lambda: pixels.median + self.base * pixels.sigma}  # fmt: skip
        return bases[self.unit]() + self.offset * (pixels.sigma if self.offset_unit else 1)


class Range(BaseInterval):  # type: ignore[misc]
    """From a low to a high limit; of use wherever astropy takes an interval.

    Parameters
    ----------
    low, high
        As the module says, or numbers.
    """

    def __init__(self, low: str | float = "min", high: str | float = "max") -> None:
        self.low = Limit.of(low)
        self.high = Limit.of(high)

    def __repr__(self) -> str:
        return f"Range({self.low.text!r}, {self.high.text!r})"

    def limits(self, pixels: Histogram) -> tuple[float, float]:
        """Values shown from black to white, the first below the second.

        Where both come out alike, as when most pixels have one value, the range goes on to the brightest pixel, or from
        the faintest; in an image of one value it lies about that value, which is shown mid-grey. Of a blank image 0 to
        1.

        Raises
        ------
        InputError
            A low limit above the high one.
        """
        if pixels.n == 0:
            return 0.0, 1.0
        low, high = (min(max(limit.value(pixels), -LARGEST), LARGEST) for limit in (self.low, self.high))
        if low > high:
            raise InputError(
                f"the low limit {self.low.text} is at {low:g}, above the high limit {self.high.text} at {high:g}: "
                "give black first, and white above it"
            )
        if low == high:
            first, last = (min(max(v, -LARGEST), LARGEST) for v in (pixels.minimum, pixels.maximum))
            low, high = (low, last) if low < last else (min(low, first), high)
        if low < high:
            return low, high
        half = max(0.5, abs(low) * 2.0**-20)
        return low - half, high + half

    def get_limits(self, values: Any) -> tuple[float, float]:
        """The limits in an image; astropy's name for it."""
        return self.limits(histogram(values))
