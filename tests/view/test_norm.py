"""From images to brightness, by name, and in matplotlib."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from typing import Any

import dask.array as da
import numpy as np
import pytest
from astropy.visualization import ImageNormalize
from numpy.typing import NDArray

from dmontage.errors import InputError
from dmontage.view.histogram import histogram
from dmontage.view.norm import STRETCHES, norm, usual


def field() -> NDArray[np.float32]:
    """Noise about 100, a blank corner, one star of 1e5."""
    rng = np.random.default_rng(0)
    values = rng.normal(100, 3, (300, 200)).astype(np.float32)
    values[:20, :30] = np.nan
    values[150, 100] = 1e5
    return values


@pytest.mark.parametrize(("stretch", "a", "formula"), [
    ("linear", None, lambda x: x), ("sqrt", None, np.sqrt),
    ("asinh", None, lambda x: np.arcsinh(10 * x) / np.arcsinh(10)),
    ("asinh", 0.01, lambda x: np.arcsinh(100 * x) / np.arcsinh(100)),
    ("log", None, lambda x: np.log(1000 * x + 1) / np.log(1001)),
    ("log", 50.0, lambda x: np.log(50 * x + 1) / np.log(51)),
])  # fmt: skip
def test_stretches_follow_their_formulae(stretch: str, a: float | None, formula: Any) -> None:
    values = field()
    made = norm(values, stretch, 90, 120, a=a)
    expected = formula(np.clip((values.astype(np.float64) - 90) / 30, 0, 1))
    np.testing.assert_allclose(np.asarray(made(values)), expected, atol=1e-6)
    np.testing.assert_allclose(np.asarray(made(values.astype(np.float64))), expected, atol=1e-12)


@pytest.mark.parametrize("stretch", STRETCHES)
def test_is_a_norm_of_astropy_that_rises_and_has_an_inverse(stretch: str) -> None:
    values = field()
    made = norm(values, stretch, high="max")
    assert isinstance(made, ImageNormalize) and made.clip
    assert made.vmax == 1e5
    assert 93 < made.vmin < 95
    grey = np.asarray(made(values.astype(np.float64)))
    good = np.isfinite(values)
    assert np.isfinite(grey[good]).all() and grey[good].min() == 0 and grey[150, 100] == 1
    order = np.argsort(values[good], kind="stable")
    assert (np.diff(grey[good][order]) >= 0).all()
    np.testing.assert_allclose(
        made.inverse(grey[good]), np.clip(values[good].astype(np.float64), made.vmin, None), rtol=1e-9
    )


@pytest.mark.parametrize("stretch", ["gaussian", "gaussian-log"])
def test_equalisations_show_the_sky_beside_a_bright_star(stretch: str) -> None:
    grey = np.asarray(norm(field(), stretch)(field()))
    assert 0.05 < np.nanmedian(grey) < 0.5
    assert np.nanstd(grey) > 0.03
    assert np.nanstd(np.asarray(norm(field(), "linear", high="max")(field()))) < 0.01


@pytest.mark.parametrize("stretch", STRETCHES)
def test_the_usual_range_shows_the_sky_beside_a_bright_star(stretch: str) -> None:
    """The equalisations reach to the maximum; the others to numpy's 99.5th percentile."""
    values = field()
    made = norm(values, stretch)
    wanted = 1e5 if stretch.startswith("gaussian") else np.nanpercentile(values, 99.5)
    assert made.vmax == pytest.approx(wanted, rel=1e-3)
    assert np.nanstd(np.asarray(made(values))) > 0.03


@pytest.mark.parametrize("stretch", STRETCHES)
@pytest.mark.parametrize("low", ["-2s", "min", "50%", "1%"])
@pytest.mark.parametrize("high", ["max", "99.5%", "3s"])
def test_odd_images_give_sensible_pictures_without_a_warning(stretch: str, low: str, high: str) -> None:
    one = np.zeros((50, 50), dtype=np.float32)
    one[20, 30] = 1e6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        blank = np.full((4, 5), np.nan)
        assert np.isnan(np.asarray(norm(blank, stretch, low, high)(blank))).all()
        for value in (0.0, -7.5, 1e30):
            flat = np.full((4, 5), value)
            assert np.asarray(norm(flat, stretch, low, high)(flat)) == pytest.approx(0.5, abs=1e-6)
        grey = np.asarray(norm(one, stretch, low, high)(one))
        sky = np.unique(np.delete(grey.ravel(), 20 * 50 + 30))
        assert sky.size == 1 and sky[0] <= 0.5 and grey[20, 30] == 1
        wild = np.array([[1e308, -1e308, 0.0, 1.0], [np.inf, -np.inf, np.nan, 2.0]])
        seen = np.asarray(norm(wild, stretch)(wild))
        np.testing.assert_array_equal(np.isfinite(seen), np.isfinite(wild))


def test_histogram_image_and_lazy_image_give_the_same() -> None:
    values = field()
    grey = np.asarray(norm(values)(values))
    for data in (histogram(values), da.from_array(values, chunks=(64, 50))):
        np.testing.assert_array_equal(np.asarray(norm(data)(values)), grey)
    again = pickle.loads(pickle.dumps(norm(values)))
    np.testing.assert_array_equal(np.asarray(again(values)), grey)


def test_masked_pixels_stay_masked_and_floats_keep_their_size() -> None:
    values = field()
    made = norm(values)
    seen = made(np.ma.masked_invalid(values))
    np.testing.assert_array_equal(seen.mask, np.isnan(values))
    assert seen.dtype == np.float32
    assert made(values[::2, ::2]).shape == (150, 100)
    assert made(np.array([[90, 200]], dtype=">i2")).dtype == np.float64
    assert 0 < float(made(100.0)[0]) < 1
    large = np.tile(values, (2, 2))  # more than one piece
    np.testing.assert_array_equal(np.asarray(made(large)), np.tile(np.asarray(made(values)), (2, 2)))


@pytest.mark.parametrize("stretch", STRETCHES)
def test_works_in_matplotlib_with_a_colour_bar(stretch: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    values = field()
    figure = Figure(figsize=(2.0, 3.0), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    made = norm(values, stretch)
    image = axes.imshow(values, norm=made, cmap="gray", interpolation="nearest", aspect="auto", origin="lower")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        canvas.draw()
        seen = np.array(canvas.buffer_rgba())[::-1]
        bar = figure.colorbar(image, ticks=made.ticks(), format="%g")
        canvas.draw()
    assert (seen[:20, :30] == 255).all()  # blank shows the page
    expected = np.asarray(made(values.astype(np.float64)))[30:, 40:]
    np.testing.assert_allclose(seen[30:, 40:, 0] / 255, expected, atol=2 / 255)
    assert tuple(bar.ax.get_ylim()) == pytest.approx((made.vmin, made.vmax))


@pytest.mark.parametrize("stretch", STRETCHES)
def test_ticks_are_round_and_spread_over_the_bar(stretch: str) -> None:
    made = norm(field(), stretch)
    ticks = made.ticks(6)
    assert 4 <= ticks.size <= 6
    assert made.vmin <= ticks.min() and ticks.max() <= made.vmax
    assert all(len(f"{tick:g}".rstrip("0").replace(".", "").replace("-", "")) <= 5 for tick in ticks)
    where = np.asarray(made(ticks))
    assert np.diff(where).min() > 0.05 and np.diff(where).max() < 0.3
    assert norm(np.full((3, 3), np.nan)).ticks().size > 0


def test_layers_have_usual_ranges() -> None:
    """Areas and counts are linear and whole; what is told is taken."""
    for layer in ("area", "depth", "rejected"):
        assert usual(layer) == ("linear", "min", "max")
        assert usual(layer, "asinh") == ("asinh", "-2s", None)
        assert usual(layer, None, 1, "90%") == ("linear", 1, "90%")
    for layer in ("data", "variance"):
        assert usual(layer) == ("gaussian-log", "-2s", None)
        assert usual(layer, "linear", "min", 0.0) == ("linear", "min", 0.0)


@pytest.mark.parametrize("factor", [1.0, 1e-7, 1e4])
def test_a_bar_has_distinct_short_labels_from_dark_to_bright(factor: float) -> None:
    from matplotlib.figure import Figure

    from dmontage.view.bar import add_color_bar

    made = norm(field() * np.float32(factor), "gaussian-log")
    axes = Figure().subplots()
    bar = add_color_bar(axes, axes.imshow(field() * np.float32(factor), norm=made), "DN")
    labels = [text.get_text() for text in bar.ax.get_yticklabels()]
    assert len(set(labels)) == len(labels) >= 6 and max(map(len, labels)) <= 8
    np.testing.assert_allclose([float(label) for label in labels], made.ticks(), rtol=1e-5)
    dark = np.asarray(made(made.ticks())) < 0.75
    assert dark.sum() >= 4


def test_ticks_of_few_values_are_distinct() -> None:
    """As an area's: most pixels are 1 to a bit or two."""
    area = np.ones((200, 200))
    area[:, 150:] = 2.0
    area[::7] *= 1 - 1e-7
    area[:20] = 0.4
    for stretch in STRETCHES:
        ticks = norm(area, stretch, "min", "max").ticks()
        assert len({f"{tick:.6g}" for tick in ticks}) == ticks.size >= 1
        assert all(len(f"{tick:.6g}") <= 8 for tick in ticks)


@pytest.mark.parametrize("most", [1, 3, 40])
@pytest.mark.parametrize("stretch", [None, "asinh"])
def test_a_bar_of_counts_has_whole_numbers(most: int, stretch: str | None) -> None:
    """As many as there are, where these are few."""
    from matplotlib.figure import Figure

    from dmontage.view.bar import add_color_bar

    depth = np.random.default_rng(1).integers(0, most, (100, 100), endpoint=True).astype(np.float32)
    made = norm(depth, *usual("depth", stretch, "min", "max"))
    axes = Figure().subplots()
    bar = add_color_bar(axes, axes.imshow(depth, norm=made), whole=True)
    labels = [float(text.get_text()) for text in bar.ax.get_yticklabels()]
    assert all(label.is_integer() for label in labels) and len(set(labels)) == len(labels)
    assert len(labels) >= 2
    if stretch is None:
        assert len(labels) == most + 1 if most < 4 else 4 <= len(labels) <= 8


def test_a_norm_tells_what_it_does() -> None:
    assert repr(norm(field(), "asinh", 90, 120.5)) == "<Norm Asinh from 90 to 120.5>"
    assert repr(norm(field(), "gaussian-log", 90, "max")) == "<Norm GaussianLog from 90 to 100000>"


def test_what_cannot_be_shown_is_refused() -> None:
    values = field()
    with pytest.raises(InputError, match=r"'gamma'.*gaussian-log.*sqrt"):
        norm(values, "gamma")
    with pytest.raises(InputError, match=r"a = 2.*'linear'.*asinh and log"):
        norm(values, "linear", a=2)
    for stretch, a in (("asinh", 0.0), ("asinh", 1.5), ("log", -1.0), ("log", float("nan"))):
        with pytest.raises(InputError, match="more than 0"):
            norm(values, stretch, a=a)
    with pytest.raises(InputError, match="above the high limit"):
        norm(values, "linear", 120, 90)
    with pytest.raises(InputError, match="no limit"):
        norm(values, "linear", "lots")


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    code = "import sys, dmontage.view.norm; print(*{m.split('.')[0] for m in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"matplotlib", "distributed", "dask", "astropy"} & set(loaded)
