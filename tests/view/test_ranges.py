"""Ranges against numpy's percentiles."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.visualization import BaseInterval, ImageNormalize

from dmontage.errors import InputError
from dmontage.view.histogram import histogram
from dmontage.view.ranges import Limit, Range

VALUES = np.random.default_rng(0).normal(200, 4, (300, 200)).astype(np.float32)
PIXELS = histogram(VALUES)
P16, MEDIAN, P84 = np.percentile(VALUES, [16, 50, 84])
SIGMA = (P84 - P16) / 2


@pytest.mark.parametrize(("text", "expected"), [
    ("12.3", 12.3), ("-12.3", -12.3), ("+.5", 0.5), ("1e3", 1000.0), ("1.5E-3", 0.0015), (7, 7.0),
    (np.float32(2.5), 2.5),
    ("99.5%", np.percentile(VALUES, 99.5)), ("0%", VALUES.min()), ("100%", VALUES.max()),
    ("-2s", MEDIAN - 2 * SIGMA), ("3S", MEDIAN + 3 * SIGMA), ("0s", MEDIAN), ("+1.5s", MEDIAN + 1.5 * SIGMA),
    ("min", VALUES.min()), ("MAX", VALUES.max()), ("max-3", VALUES.max() - 3), ("min+2s", VALUES.min() + 2 * SIGMA),
    ("50%+1s", MEDIAN + SIGMA), ("10% - 5", np.percentile(VALUES, 10) - 5), ("2s-1e1", MEDIAN + 2 * SIGMA - 10),
    ("100+3s", 100 + 3 * SIGMA), ("1-3", -2.0), ("1e-3-2", -1.999),
])  # fmt: skip
def test_a_limit_is_what_it_says(text: str | float, expected: float) -> None:
    assert Limit.of(text).value(PIXELS) == pytest.approx(expected, abs=2e-3 * SIGMA)


@pytest.mark.parametrize(
    "text", ["", "s", "%", "2x", "max-", "5%%", "1+2+3", "50%+10%", "nan", "inf", "medium", "--2s", None]
)
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"no limit.*99\.5%.*max-3"):
        Limit.of(text)


@pytest.mark.parametrize(
    ("text", "match"), [("101%", "0% to 100%"), ("-1%", "0% to 100%"), ("1e400", "3.4e"), ("max+1e39", "3.4e")]
)
def test_a_limit_out_of_bounds_is_refused(text: str, match: str) -> None:
    with pytest.raises(InputError, match=match):
        Range("min", text)


def test_limits_are_in_order() -> None:
    assert Range("-2s", "max").limits(PIXELS) == pytest.approx((MEDIAN - 2 * SIGMA, VALUES.max()), abs=0.01)
    with pytest.raises(InputError, match=r"low limit 5s is at 2\d\d.*above the high limit 10%"):
        Range("5s", "10%").limits(PIXELS)


@pytest.mark.parametrize("value", [0.0, 3.0, -1e9, 1e-30, 3e38])
def test_one_value_lies_in_the_middle_of_its_range(value: float) -> None:
    for low, high in (("min", "max"), ("-2s", "99%"), ("0s", "2s")):
        black, white = Range(low, high).limits(histogram(np.full((9, 9), value)))
        assert black < value < white
        assert (value - black) / (white - black) == pytest.approx(0.5)


def test_blank_image_has_a_range() -> None:
    assert Range("-2s", "99%").limits(histogram(np.full((3, 3), np.nan))) == (0.0, 1.0)


def test_limits_of_huge_values_can_be_subtracted() -> None:
    black, white = Range("min", "max+1e30").limits(histogram(np.array([-1e308, 0.0, 1e308])))
    assert black < 0 < white and np.isfinite(white - black)


def test_is_an_interval_of_astropy() -> None:
    span = Range("-2s", "99%")
    assert isinstance(span, BaseInterval)
    assert span.get_limits(VALUES) == span.limits(PIXELS)
    norm = ImageNormalize(VALUES, interval=span)
    assert (norm.vmin, norm.vmax) == span.limits(PIXELS)
    assert repr(span) == "Range('-2s', '99%')"
