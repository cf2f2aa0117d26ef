"""Pictures of three bands: colours of single pixels by hand, and Lupton's against astropy's."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from astropy.visualization import LuptonAsinhStretch, ManualInterval
from astropy.visualization.lupton_rgb import RGBImageMappingLupton
from numpy.typing import NDArray

from dmontage.errors import InputError
from dmontage.view import picture as module
from dmontage.view.colour import colour

CLEAR = [255, 255, 255, 0]
LINEAR: dict[str, Any] = {"stretch": "linear", "low": 0, "high": 1}


def bands(seed: int, shape: tuple[int, int] = (40, 50)) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    return [rng.gamma(1, scale, shape).astype(np.float32) for scale in (1, 2, 3)]


def one(pixel: list[float], **options: Any) -> list[int]:
    """The colour of a pixel beside others."""
    images = [np.array([[value, 0.0, 1.0]]) for value in pixel]
    seen: list[int] = colour(*images, **(LINEAR | options))[0, 0].tolist()
    return seen


def test_each_band_has_its_own_range() -> None:
    ramp = np.arange(11.0).reshape(1, 11)
    shown = colour(ramp, ramp, ramp, stretch="linear", low=(0, 1, "min"), high=(10, 9, "max-5"))[0]
    wanted = [np.clip((ramp[0] - low) / (high - low), 0, 1) for low, high in ((0, 10), (1, 9), (0, 5))]
    np.testing.assert_array_equal(shown[:, :3], np.rint(255 * np.stack(wanted, axis=-1)))


def test_a_limit_may_be_a_number_of_numpy() -> None:
    bands = [np.arange(12, dtype=np.float32).reshape(3, 4)] * 3
    wanted = colour(*bands, stretch="linear", low=2, high=9)
    limits: dict[str, Any] = {"low": np.float32(2), "high": np.int64(9)}
    np.testing.assert_array_equal(colour(*bands, stretch="linear", **limits), wanted)


def test_red_is_red_and_north_is_up() -> None:
    data = np.array([[0.0, 0.0], [1.0, 0.0]])
    shown = colour(data, data.T, np.fliplr(data), **LINEAR)
    assert shown.tolist() == [[[255, 0, 0, 255], [0, 0, 255, 255]], [[0, 0, 0, 255], [0, 255, 0, 255]]]


@pytest.mark.parametrize("power", [1.0, 2.0, 3.5, 4.0])
def test_the_ratio_keeps_the_largest_and_raises_the_others(power: float) -> None:
    assert one([0.8, 0.4, 0.2], method="ratio", power=power) == [
        204, round(204 * 0.5**power), round(204 * 0.25**power), 255,
    ]  # fmt: skip
    assert one([0.0, 0.0, 0.0], method="ratio", power=power) == [0, 0, 0, 255]
    assert one([0.3, 0.3, 0.3], method="ratio", power=power)[:3] == [76, 76, 76]


def test_the_ratio_is_of_stretched_values() -> None:
    u = [np.arcsinh(10 * x) / np.arcsinh(10) for x in (0.8, 0.4, 0.2)]
    assert one([0.8, 0.4, 0.2], method="ratio", stretch="asinh", power=2)[:3] == [
        round(255 * u[0] * (x / u[0]) ** 2) for x in u
    ]


def test_lupton_by_hand() -> None:
    def f(x: float) -> float:
        return float(np.arcsinh(x / 0.1) / np.arcsinh(10))

    x = np.array([0.02, 0.05, 0.2])
    wanted = x * f(x.mean()) / x.mean()
    assert wanted.max() < 1
    assert one(x.tolist(), method="lupton", stretch="asinh", a=0.1)[:3] == np.rint(255 * wanted).tolist()
    bright = np.array([0.5, 0.1, 0.9])
    assert (bright * f(0.5) / 0.5).max() > 1
    assert one(bright.tolist(), method="lupton", stretch="asinh", a=0.1)[:3] == np.rint(255 * bright / 0.9).tolist()
    # Above the range a colour stays what it is.
    assert one([3.0, 1.0, 2.0], method="lupton", stretch="asinh")[:3] == [255, 85, 170]
    assert one([-1.0, -1.0, -1.0], method="lupton", stretch="asinh")[:3] == [0, 0, 0]
    assert one([-0.5, 1.0, 1.0], method="lupton", stretch="linear")[:3] == [0, 255, 255]


def test_lupton_is_that_of_astropy() -> None:
    """Their asinh(Q x / α) · 0.1 / asinh(0.1 Q) is 1 at x = 1 for such an α; above, both divide by the largest."""
    images = bands(1)
    lows, width, q = (0.1, 0.2, 0.3), 3.0, 8.0
    alpha = q / np.sinh(np.arcsinh(0.1 * q) / 0.1)
    units = [(image.astype(float) - low) / width for image, low in zip(images, lows, strict=True)]
    astropy = RGBImageMappingLupton([ManualInterval(0, 1)] * 3, LuptonAsinhStretch(stretch=alpha, Q=q))
    theirs = astropy.make_rgb_image(*units, output_dtype=np.float64)
    intensity = np.mean(units, axis=0)
    assert 0.05 < (intensity > 1).mean() < 0.5 and (intensity < 0).any()
    highs = [low + width for low in lows]
    ours = colour(*images, method="lupton", stretch="asinh", a=alpha / q, low=lows, high=highs)[::-1, :, :3]
    np.testing.assert_allclose(ours, 255 * theirs, rtol=0, atol=0.5 + 1e-6)


def stars(bands: tuple[float, float, float]) -> list[NDArray[np.float64]]:
    """Noise of σ 1, 3 and 10 (times a band's factor), one star of 900 in all, one of 900, 300 and 0."""
    images = []
    for k, (sigma, factor) in enumerate(zip((10.0, 3.0, 1.0), bands, strict=True)):
        image = np.random.default_rng(k).normal(0, sigma, (100, 100))
        image[20, 20] = 900
        image[70, 70] = (900, 300, 0)[k]
        images.append(image * factor)
    return images


def test_lupton_s_usual_scale_is_one_for_all_bands() -> None:
    """So what is as bright in all is white, and ratios of values are those of the colour; units that differ are not."""
    shown = colour(*stars((1, 1, 1)), method="lupton")[::-1, :, :3].astype(int)
    assert np.ptp(shown[20, 20]) <= 4 and shown[20, 20].max() == 255
    np.testing.assert_allclose(shown[70, 70], (255, 85, 0), atol=5)
    for other in (
        colour(*stars((1, 1, 1)), method="lupton", alike=False),
        colour(*stars((1, 1, 1)), method="lupton", high="100s"),
        colour(*stars((1, 1, 1e-3)), method="lupton"),  # σ of one is 10,000 times that of another
    ):
        white = other[::-1, :, :3].astype(int)[20, 20]
        assert white[2] == 255 and white[0] < 60  # blue, where it is 900 σ, and 90 in red


def test_saturation_keeps_the_luma() -> None:
    rgb = np.array([0.8, 0.4, 0.2])
    luma = 0.299 * 0.8 + 0.587 * 0.4 + 0.114 * 0.2
    for s in (0.0, 0.5, 1.0, 1.4):
        wanted = np.rint(255 * np.clip(luma + s * (rgb - luma), 0, 1))
        assert one(rgb.tolist(), saturation=s)[:3] == wanted.tolist()
    assert len(set(one(rgb.tolist(), saturation=0.0)[:3])) == 1
    bright = 0.5 + 1.5 * (1.2 * rgb - 0.5)
    luma = float(bright @ [0.299, 0.587, 0.114])
    wanted = np.rint(255 * np.clip(luma + 0.7 * (bright - luma), 0, 1))
    assert one(rgb.tolist(), brightness=1.2, contrast=1.5, saturation=0.7)[:3] == wanted.tolist()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("method", ["stretch", "ratio", "lupton"])
def test_a_pixel_without_one_band_has_no_colour(method: str) -> None:
    red, green, blue = (band[:4, :4] for band in bands(2))
    red[0, 0], green[1, 1], blue[2, 2] = np.nan, np.inf, -np.inf
    for band in (red, green, blue):
        band[3, 3] = np.nan
    any_blank = colour(red, green, blue, method=method)[::-1]
    assert [tuple(p) for p in np.argwhere(any_blank[..., 3] == 0)] == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert any_blank[1, 1].tolist() == CLEAR
    all_blank = colour(red, green, blue, method=method, blank="all")[::-1]
    assert [tuple(p) for p in np.argwhere(all_blank[..., 3] == 0)] == [(3, 3)]
    assert all_blank[0, 0, 0] == 0 and all_blank[1, 1, 1] == 0 and all_blank[2, 2, 2] == 0
    same = any_blank[..., 3] > 0
    np.testing.assert_array_equal(any_blank[same], all_blank[same])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("method", ["stretch", "ratio", "lupton"])
def test_odd_images_give_no_warnings(method: str) -> None:
    blank, constant = np.full((20, 30), np.nan), np.full((20, 30), 5.0)
    star = np.zeros((20, 30))
    star[5, 6] = 1e5
    wild = np.full((20, 30), 1.0)
    wild[0, 0], wild[0, 1] = 1e308, -1e308
    assert (colour(blank, blank, blank, method=method) == CLEAR).all()
    assert (colour(blank, star, star, method=method) == CLEAR).all()
    flat = colour(constant, constant, constant, method=method)
    assert np.ptp(flat[..., :3]) == 0 and 0 < flat[0, 0, 0] < 255
    shown = colour(star, star, star, method=method)[::-1]
    assert shown[5, 6].tolist() == [255, 255, 255, 255] and shown[0, 0, 0] < 128
    assert colour(wild, star, constant, method=method).shape == (20, 30, 4)


@pytest.mark.parametrize("method", ["stretch", "ratio", "lupton"])
def test_pieces_make_no_difference(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images = bands(3)
    whole = colour(*images, method=method, max_side=25)
    monkeypatch.setattr(module, "_BAND", 60)
    np.testing.assert_array_equal(colour(*images, method=method, max_side=25), whole)
    lazy = [da.from_array(band, chunks=(7, 50)) for band in images]  # type: ignore[no-untyped-call]
    np.testing.assert_array_equal(colour(*lazy, method=method, max_side=25), whole)


def test_what_cannot_be_is_refused() -> None:
    ones = np.ones((4, 4))
    with pytest.raises(InputError, match=r"\(4, 4\), \(4, 4\), \(5, 4\).*one grid"):
        colour(ones, ones, np.ones((5, 4)))
    with pytest.raises(InputError, match=r"'hsv'.*lupton"):
        colour(ones, ones, ones, method="hsv")
    with pytest.raises(InputError, match=r"power is 5"):
        colour(ones, ones, ones, method="ratio", power=5)
    with pytest.raises(InputError, match=r"'none'.*any or all"):
        colour(ones, ones, ones, blank="none")
    with pytest.raises(InputError, match=r"low is .*three"):
        colour(ones, ones, ones, low=(1, 2))
    with pytest.raises(InputError, match="saturation is -1"):
        colour(ones, ones, ones, saturation=-1)
    with pytest.raises(InputError, match="'gamma'"):
        colour(ones, ones, ones, stretch="gamma")
