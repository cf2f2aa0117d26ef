"""Pictures of one image: colours of single pixels by hand, and odd images."""

from __future__ import annotations

from typing import Any

import dask.array as da
import matplotlib as mpl
import numpy as np
import pytest
from numpy.typing import NDArray

from dmontage.errors import InputError
from dmontage.view import picture as module
from dmontage.view.picture import picture

CLEAR = [255, 255, 255, 0]


def greys(shown: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The shades of an opaque grey picture, y upwards."""
    assert (shown[..., 3] == 255).all()
    assert (shown[..., :3] == shown[..., :1]).all()
    return shown[::-1, :, 0]


def test_y_grows_upwards_and_blank_is_transparent() -> None:
    data = np.array([[0.0, 1.0, 2.0], [3.0, np.nan, 5.0]])
    shown = picture(data, stretch="linear", low=0, high=5)
    assert shown.dtype == np.uint8 and shown.shape == (2, 3, 4)
    assert shown[0].tolist() == [[153, 153, 153, 255], CLEAR, [255, 255, 255, 255]]
    assert shown[1].tolist() == [[0, 0, 0, 255], [51, 51, 51, 255], [102, 102, 102, 255]]


def test_stretches_follow_their_formulae() -> None:
    ramp = np.linspace(-1.0, 3.0, 400).reshape(20, 20)
    unit = np.clip(ramp / 2.0, 0, 1)
    formulae = {
        "linear": unit,
        "sqrt": np.sqrt(unit),
        "asinh": np.arcsinh(10 * unit) / np.arcsinh(10),
        "log": np.log(1000 * unit + 1) / np.log(1001),
    }
    for stretch, grey in formulae.items():
        seen = greys(picture(ramp, stretch=stretch, low=0.0, high=2.0)).astype(float)
        np.testing.assert_allclose(seen, 255 * grey, rtol=0, atol=0.5 + 1e-9)


@pytest.mark.parametrize("stretch", ["gaussian-log", "gaussian", "asinh"])
def test_noise_is_neither_black_nor_lost_below_the_stars(stretch: str) -> None:
    """A field of noise with a few bright stars: the sky is dark grey, and both ends of the range are used."""
    rng = np.random.default_rng(3)
    sky = rng.normal(1000, 1, (400, 400))
    sky.flat[rng.choice(sky.size, 40, replace=False)] += 1e5
    high = "10s" if stretch == "asinh" else "max"
    grey = greys(picture(sky, stretch=stretch, high=high))
    assert grey.min() == 0 and grey.max() == 255
    assert 20 < np.median(grey) < 160
    assert 8 < grey.std() < 80


@pytest.mark.parametrize("stretch", ["gaussian-log", "gaussian", "asinh", "log", "linear", "sqrt"])
@pytest.mark.filterwarnings("error")
def test_odd_images_have_sensible_pictures_and_no_warnings(stretch: str) -> None:
    blank = picture(np.full((30, 40), np.nan), stretch=stretch)
    assert blank.shape == (30, 40, 4) and (blank == CLEAR).all()
    for value in (0.0, 1.0, -3e8, 1e-30):
        mid = greys(picture(np.full((30, 40), value), stretch=stretch))
        assert np.ptp(mid) == 0 and abs(int(mid[0, 0]) - 128) <= 1
    star = np.zeros((30, 40))
    star[10, 20] = 1000.0
    grey = greys(picture(star, stretch=stretch))
    assert grey[10, 20] == 255
    assert np.unique(np.delete(grey.ravel(), 10 * 40 + 20)).size == 1 and grey[0, 0] < 128
    one = np.full((30, 40), np.nan)
    one[3, 4] = 7.0
    assert (picture(one, stretch=stretch)[..., 3] > 0).sum() == 1
    infinite = star.copy()
    infinite[0, :2] = np.inf, -np.inf
    assert picture(infinite, stretch=stretch)[-1, :2].tolist() == [CLEAR, CLEAR]
    wild = np.array([[1e308, -1e308], [0.0, 1.0]])
    assert picture(wild, stretch=stretch).shape == (2, 2, 4)


@pytest.mark.filterwarnings("error")
def test_values_beyond_the_range_are_black_and_white() -> None:
    wild = np.array([[1e308, -1e308], [0.0, 1.0]])
    assert greys(picture(wild, stretch="linear", low=0, high=1)).tolist() == [[255, 0], [0, 255]]


def test_the_stretch_is_of_the_pixels_that_are_shown() -> None:
    """Means over 2 × 2 lie in 1 … 2, the pixels in 0 … 3."""
    data = np.tile([[0.0, 1.0, 1.0, 2.0], [1.0, 2.0, 2.0, 3.0]], (2, 2))
    grey = greys(picture(data, stretch="linear", low="min", high="max", max_side=4))
    assert grey.tolist() == [[0, 255, 0, 255]] * 2


@pytest.mark.parametrize("name", ["viridis", "inferno", "gray_r"])
def test_colour_maps_are_those_of_matplotlib(name: str) -> None:
    ramp = np.arange(256.0).reshape(16, 16)
    shown = picture(ramp, stretch="linear", low=0, high=255, cmap=name)[::-1]
    wanted = np.rint(255 * mpl.colormaps[name](np.arange(256) / 255))
    np.testing.assert_array_equal(shown.reshape(256, 4), wanted)
    np.testing.assert_array_equal(
        shown, picture(ramp, stretch="linear", low=0, high=255, cmap=mpl.colormaps[name])[::-1]
    )


def test_brightness_and_contrast_are_as_they_are_told() -> None:
    ramp = np.arange(256.0).reshape(16, 16)
    unit = ramp / 255
    for b, c in ((1.0, 1.0), (0.5, 1.0), (1.7, 1.0), (1.0, 0.3), (1.0, 2.0), (1.2, 1.5), (0.0, 1.0), (1.0, 0.0)):
        wanted = 255 * np.clip(0.5 + c * (b * unit - 0.5), 0, 1)
        seen = greys(picture(ramp, stretch="linear", low=0, high=255, brightness=b, contrast=c))
        np.testing.assert_allclose(seen, wanted, rtol=0, atol=0.5 + 1e-9)


def test_bands_of_rows_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    data = np.random.default_rng(5).normal(size=(50, 30)).astype(np.float32)
    whole = picture(data)
    monkeypatch.setattr(module, "_BAND", 100)
    np.testing.assert_array_equal(picture(data), whole)


def test_a_lazy_array_gives_the_same_picture() -> None:
    data = np.random.default_rng(6).normal(size=(500, 300)).astype(np.float32)
    for side in (None, 100):
        lazy = da.from_array(data, chunks=(70, 110))  # type: ignore[no-untyped-call]
        np.testing.assert_array_equal(picture(lazy, max_side=side), picture(data, max_side=side))


def test_what_cannot_be_is_refused_before_pixels_are_read() -> None:
    class Untouched:
        shape = (4, 4)

        def __getitem__(self, rows: slice, /) -> None:
            raise AssertionError("read")

    refused: dict[str, dict[str, Any]] = {
        r"'gamma'.*asinh": {"stretch": "gamma"},
        r"'minmax'": {"low": "minmax"},
        r"'nocolour'.*viridis": {"cmap": "nocolour"},
        "max_side is 0": {"max_side": 0},
        "brightness is -1": {"brightness": -1.0},
        "contrast is nan": {"contrast": float("nan")},
    }
    for message, wrong in refused.items():
        with pytest.raises(InputError, match=message):
            picture(Untouched(), **wrong)
    with pytest.raises(InputError, match=r"\(2, 4, 4\)"):
        picture(np.ones((2, 4, 4)))
    with pytest.raises(InputError, match=r"2.* above .*1"):
        picture(np.ones((4, 4)), low=2.0, high=1.0)
