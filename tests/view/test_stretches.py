"""The equalisations against their definition, from the sorted pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from astropy.visualization import BaseStretch, ContrastBiasStretch, ImageNormalize
from numpy.typing import NDArray
from scipy.stats import norm as normal

from dmontage.errors import InputError
from dmontage.view.histogram import histogram
from dmontage.view.stretches import GaussianLogStretch, GaussianStretch, TableStretch

STRETCHES = [GaussianStretch, GaussianLogStretch]


def field(seed: int = 0) -> NDArray[np.float32]:
    """Noise about 50, and stars of any brightness."""
    rng = np.random.default_rng(seed)
    values = rng.normal(50, 2, (500, 400))
    stars = rng.random(values.shape) < 0.02
    values[stars] += 10 ** rng.uniform(0, 6, int(stars.sum()))
    return values.astype(np.float32)


def g_of(values: NDArray[Any], at: float) -> float:
    """The inverse normal of the cumulative histogram, by counting pixels one by one; ends half a pixel within."""
    rank = ((values < at).sum() + 0.5 * (values == at).sum()) / values.size
    return float(normal.ppf(np.clip(rank, 0.5 / values.size, 1 - 0.5 / values.size)))


def gaussian_levels(first: float, last: float) -> list[float]:
    return [first + (last - first) * j / 255 for j in range(256)]


def gaussian_log_levels(first: float, last: float) -> list[float]:
    """Montage's: level j of 1 to 255 at g_max - 10^(s (256 - j)), s = log10(g_max - g_min) / 255; then the maximum."""
    s = np.log10(last - first) / 255
    return [*(last - 10 ** (s * (256 - j)) for j in range(1, 256)), last]


@pytest.mark.parametrize(
    ("stretch", "levels"), [(GaussianStretch, gaussian_levels), (GaussianLogStretch, gaussian_log_levels)]
)
@pytest.mark.parametrize("q", [(0.0, 1.0), (0.02, 0.9999), (0.1, 1.0)])
def test_levels_are_where_the_definition_has_them(stretch: Any, levels: Any, q: tuple[float, float]) -> None:
    values = field()
    low, high = (float(v) for v in np.quantile(values, q, method="inverted_cdf"))
    pixels = histogram(values)
    made = stretch(pixels, low, high)
    ordered = np.sort(values.ravel()).astype(np.float64)

    def exact(bins: int) -> NDArray[np.float64]:
        """The levels in value, with all values a number of bins higher."""
        up = 1 + bins * 2.0 ** (pixels.level - 23)
        ranks = normal.cdf(levels(g_of(values, low * up), g_of(values, high * up))) * values.size
        found: NDArray[np.float64] = ordered[np.clip(np.ceil(ranks).astype(int) - 1 + bins, 0, values.size - 1)]
        return found * up

    found = low + made.inverse(np.arange(256) / 255) * (high - low)
    assert ((found >= np.maximum(exact(-1), low)) & (found <= np.minimum(exact(1), high))).all()
    sky = (found > 45) & (found < 55)
    assert sky.sum() > 50
    np.testing.assert_allclose(found[sky], exact(0)[sky], atol=2e-2)


def test_noise_becomes_grey_in_proportion() -> None:
    """Of normal noise the gaussian stretch is a straight line."""
    values = np.random.default_rng(1).normal(0, 1, (2000, 1000)).astype(np.float32)
    made = GaussianStretch(histogram(values), -3.0, 3.0)
    x = np.linspace(0, 1, 101)
    np.testing.assert_allclose(made(x), x, atol=0.01)


def test_any_brightness_of_stars_leaves_the_sky_as_it_is() -> None:
    values = field()
    bright = np.where(values > 1000, values * np.float32(1e6), values)
    pictures = []
    for image in (values, bright):
        low, high = 46.0, float(image.max())
        pictures.append(
            GaussianLogStretch(histogram(image), low, high)((image.astype(np.float64) - low) / (high - low))
        )
    dim = values <= 60
    np.testing.assert_allclose(pictures[1][dim], pictures[0][dim], atol=0.004)  # one of 256 levels


@pytest.mark.parametrize("stretch", STRETCHES)
@pytest.mark.parametrize(
    "span", [(0.0, 1e4), (46.0, 60.0), (50.0, 50.5), (40.0, 1e9), (-1e6, 45.0), (1e7, 2e7), (-5.0, -4.0)]
)
def test_rises_from_0_to_1_and_has_an_inverse(stretch: Any, span: tuple[float, float]) -> None:
    made = stretch(histogram(field()), *span)
    x = np.concatenate([[0.0], np.sort(10 ** np.random.default_rng(2).uniform(-7, 0, 2000)), [1.0]])
    y = made(x)
    assert (y[0], y[-1]) == (0.0, 1.0)
    assert (np.diff(y) >= 0).all()
    np.testing.assert_allclose(made.inverse(y), x, atol=1e-9)
    np.testing.assert_allclose(made(made.inverse(np.linspace(0, 1, 777))), np.linspace(0, 1, 777), atol=1e-6)


def test_narrow_ranges_of_gaussian_log_keep_their_levels() -> None:
    """Montage's formula has no levels left where g spans 1; here half of the range is never in one level."""
    values = np.random.default_rng(1).normal(0, 1, (1000, 1000)).astype(np.float32)
    for low, high in ((0.0, 1.0), (0.0, 0.5), (-0.1, 0.1), (-1.0, 2.0)):
        made = GaussianLogStretch(histogram(values), low, high)
        half = float(made(np.array([0.5]))[0])
        assert 0.25 < half < 0.6
        assert np.diff(made(np.linspace(0, 0.7, 20))).min() > 0.01


@pytest.mark.parametrize("stretch", STRETCHES)
def test_is_a_stretch_of_astropy(stretch: Any) -> None:
    values = field()
    made = stretch(histogram(values), 45.0, 1000.0)
    assert isinstance(made, BaseStretch) and isinstance(made.inverse, BaseStretch)
    norm = ImageNormalize(vmin=45.0, vmax=1000.0, stretch=made, clip=True)
    seen = np.asarray(norm(values))
    unit = np.clip((values.astype(np.float64) - 45) / 955, 0, 1)
    np.testing.assert_allclose(seen, np.interp(unit, made.knots, made.levels), atol=1e-12)
    at = np.linspace(0, 1, 50)
    np.testing.assert_allclose(norm.inverse(at), 45 + 955 * np.interp(at, made.levels, made.knots), rtol=1e-12)
    both = ContrastBiasStretch(1.5, 0.4) + made
    np.testing.assert_allclose(both(unit), np.clip((made(unit) - 0.4) * 1.5 + 0.5, 0, 1), atol=1e-12)


def test_shapes_types_and_out() -> None:
    made = GaussianStretch(histogram(field()), 45.0, 1000.0)
    x = np.random.default_rng(0).random((6, 8))
    expected = np.interp(x, made.knots, made.levels)
    np.testing.assert_allclose(made(x), expected)
    np.testing.assert_allclose(made(x[:, ::2]), expected[:, ::2])
    np.testing.assert_allclose(made(x.astype(np.float32)), expected, atol=1e-3)
    assert made(0.5).shape == ()
    for dtype in (np.float32, np.float64):
        room = np.zeros((6, 16), dtype=dtype)
        assert made(x, out=room[:, ::2]).base is room
        np.testing.assert_allclose(room[:, ::2], expected, atol=1e-6)
        assert not room[:, 1::2].any()
    inside = x.copy()
    assert made(inside, out=inside) is inside
    np.testing.assert_allclose(inside, expected)
    assert np.isnan(made(np.array([np.nan]))).all()


def test_blank_image_has_straight_lines() -> None:
    made = GaussianStretch(histogram(np.full((3, 3), np.nan)), 0.0, 1.0)
    np.testing.assert_allclose(made(np.linspace(0, 1, 9)), np.linspace(0, 1, 9))


def test_what_is_no_stretch_is_refused() -> None:
    pixels = histogram(field())
    for limits in ((2.0, 1.0), (1.0, 1.0), (np.nan, 1.0)):
        with pytest.raises(InputError, match="black first"):
            GaussianStretch(pixels, *limits)
    for knots in ([0, 0.6, 0.5, 1], [0.0], [[0, 1]], [0, np.nan, 1], [-1, 1], [0, 2]):
        with pytest.raises(InputError, match="rising from 0 to 1"):
            TableStretch(np.array(knots, dtype=float), np.linspace(0, 1, len(knots)))
    with pytest.raises(InputError, match="one length"):
        TableStretch(np.array([0.0, 1.0]), np.array([0.0, 0.5, 1.0]))
