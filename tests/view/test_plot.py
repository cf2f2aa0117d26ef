"""Plots: the values that are drawn, and where on the sky, against the cutout's own and astropy's WCS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.visualization import LinearStretch
from astropy.visualization.wcsaxes import WCSAxes
from astropy.wcs import WCS
from matplotlib import pyplot as plt
from matplotlib.colors import Normalize
from surveys import DEC, RA, Survey, make_survey

import dmontage as dm
from dmontage.errors import InputError
from dmontage.grid import Grid
from dmontage.view.plot import place_on
from dmontage.view.shrink import shrink


@pytest.fixture(autouse=True)
def _agg() -> Iterator[None]:
    with mpl.rc_context({"backend": "agg"}):
        plt.switch_backend("agg")
        yield
        plt.close("all")


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    return make_survey(tmp_path_factory.mktemp("raw"))


@pytest.fixture
def mosaic(survey: Survey) -> dm.Mosaic:
    return dm.mosaic(survey.folder, survey.grid, background="none")


def drawn(ax: Any) -> Any:
    return np.ma.filled(ax.images[-1].get_array(), np.nan)


def test_a_small_mosaic_is_drawn_as_it_is(mosaic: dm.Mosaic) -> None:
    ax = mosaic.plot()
    assert isinstance(ax, WCSAxes)
    np.testing.assert_array_equal(drawn(ax), mosaic.compute().data)
    assert ax.images[0].get_extent() == [-0.5, 319.5, -0.5, 319.5] and ax.images[0].origin == "lower"
    assert ax.get_xlim() == (-0.5, 319.5) and ax.get_ylim() == (-0.5, 319.5)


@pytest.mark.parametrize("max_side", [1, 50, 107, 319])
def test_a_large_one_is_shrunk(mosaic: dm.Mosaic, max_side: int) -> None:
    ax = mosaic.plot(max_side=max_side)
    step = -(-320 // max_side)
    np.testing.assert_allclose(drawn(ax), shrink(mosaic.compute().data, step), rtol=1e-6)
    assert max(drawn(ax).shape) <= max_side
    n = drawn(ax).shape[0] * step
    assert ax.images[0].get_extent() == [-0.5, n - 0.5, -0.5, n - 0.5]
    assert ax.get_xlim() == (-0.5, 319.5)


def test_bands_of_rows_make_one_picture(mosaic: dm.Mosaic, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = drawn(mosaic.plot(max_side=100))
    monkeypatch.setattr("dmontage.view.screen._AT_ONCE", 320 * 8)
    np.testing.assert_array_equal(drawn(mosaic.plot(max_side=100)), expected)


def test_places_on_the_sky(mosaic: dm.Mosaic) -> None:
    """astropy's idiom: what is drawn at ICRS coordinates lies at the WCS's pixels."""
    ax = mosaic.plot()
    ra, dec = RA + 0.02, DEC - 0.03
    pixel = (ax.get_transform("icrs") - ax.transData).transform(np.array([[ra, dec]]))[0]
    np.testing.assert_allclose(pixel, mosaic.grid.wcs().world_to_pixel(SkyCoord(ra, dec, unit="deg")), atol=1e-6)
    galactic = SkyCoord(ra, dec, unit="deg").galactic
    pixel_too = (ax.get_transform("galactic") - ax.transData).transform(np.array([[galactic.l.deg, galactic.b.deg]]))[0]
    np.testing.assert_allclose(pixel_too, pixel, atol=1e-5)


def test_a_cutout_is_drawn_alone_or_on_its_mosaic(mosaic: dm.Mosaic) -> None:
    cutout = mosaic.cutout(f"{RA} {DEC}", "3 arcmin")
    alone = cutout.plot()
    np.testing.assert_array_equal(drawn(alone), cutout.compute().data)
    assert alone.get_xlim() == (-0.5, cutout.window.shape[1] - 0.5)
    pixel = (alone.get_transform("icrs") - alone.transData).transform(np.array([[RA, DEC]]))[0]
    np.testing.assert_allclose(pixel, cutout.grid.wcs().world_to_pixel(SkyCoord(RA, DEC, unit="deg")), atol=1e-6)
    whole = mosaic.plot()
    assert cutout.plot(whole, colorbar=False) is whole
    w = cutout.window
    assert whole.images[-1].get_extent() == [w.x0 - 0.5, w.x1 - 0.5, w.y0 - 0.5, w.y1 - 0.5]
    assert whole.get_xlim() == (-0.5, 319.5)
    with pytest.raises(InputError, match="another grid"):
        mosaic.plot(alone)


def test_axes_of_astropy_s_own_wcs(mosaic: dm.Mosaic) -> None:
    """The idiom of its documentation; a cutout lies on the mosaic's where its pixels are, and on no other grid's."""
    cutout = mosaic.cutout(f"{RA} {DEC}", "3 arcmin")
    _, panels = plt.subplots(1, 2, subplot_kw={"projection": mosaic.grid.wcs()})
    assert mosaic.plot(panels[0]) is panels[0]
    assert panels[0].images[0].get_extent() == [-0.5, 319.5, -0.5, 319.5]
    cutout.plot(panels[1])
    w = cutout.window
    assert panels[1].images[0].get_extent() == [w.x0 - 0.5, w.x1 - 0.5, w.y0 - 0.5, w.y1 - 0.5]
    for shift, refused in ((0.0, False), (2.0, False), (0.01, True)):
        other = mosaic.grid.wcs()
        other.wcs.crpix[0] += shift
        ax = plt.figure().add_subplot(projection=other)
        if refused:
            with pytest.raises(InputError, match="another grid"):
                mosaic.plot(ax)
        else:
            assert mosaic.plot(ax).images[0].get_extent()[0] == shift - 0.5
    cards = WCS(mosaic.grid.to_header())  # whoever reads a file has no shape, and other cards for the same
    cards.wcs.pc, cards.wcs.cdelt = cards.wcs.get_pc() * 2.0, cards.wcs.cdelt / 2.0
    cards.wcs.crpix += [3.0, -7.0]
    assert mosaic.plot(plt.figure().add_subplot(projection=cards)).images[0].get_extent()[::2] == [2.5, -7.5]
    plain = WCS(naxis=2)
    with pytest.raises(InputError, match="another grid"):
        mosaic.plot(plt.figure().add_subplot(projection=plain))


@pytest.mark.parametrize(("frame", "projection"), [("ecliptic", "TAN"), ("fk4", "TAN"), ("galactic", "CAR")])
def test_any_grid_s_own_wcs_has_its_pixels(frame: str, projection: str) -> None:
    """Also where astropy takes its frame for another one, as it does with ecliptic coordinates."""
    grid = Grid.around("0 0", shape=(21, 360), scale="1 deg", frame=frame, projection=projection)
    ax = plt.figure().add_subplot(projection=grid.wcs())
    value: Any = SimpleNamespace(grid=grid)
    assert place_on(ax, value, grid.window) == (0, 0)


def test_plain_axes_count_pixels(mosaic: dm.Mosaic) -> None:
    _, ax = plt.subplots()
    assert mosaic.plot(ax) is ax
    assert ax.images[0].get_extent() == [-0.5, 319.5, -0.5, 319.5]


def test_shades_and_their_bar(mosaic: dm.Mosaic) -> None:
    values = mosaic.compute().data
    ax = mosaic.plot(stretch="linear", low="5%", high="95%", cmap="viridis")
    low, high = np.nanpercentile(values, [5, 95])
    norm = ax.images[0].norm
    np.testing.assert_allclose([norm.vmin, norm.vmax], [low, high], rtol=1e-3)
    assert ax.images[0].get_cmap().name == "viridis"
    bar = ax.images[0].colorbar
    assert bar.ax.get_ylabel() == "MJy/sr"
    ticks = np.asarray(norm(bar.get_ticks()))
    assert 4 <= ticks.size <= 7 and np.ptp(np.diff(ticks)) < 1e-6 and ticks.min() >= 0 and ticks.max() <= 1
    own = Normalize(0, 200)
    assert mosaic.plot(norm=own).images[0].norm is own
    assert mosaic.plot(colorbar=False).images[0].colorbar is None


@pytest.mark.parametrize("layer", ["data", "area"])
def test_the_bar_s_labels_are_distinct_and_in_the_figure(mosaic: dm.Mosaic, layer: str) -> None:
    bar = mosaic.plot(layer=layer).images[0].colorbar
    figure = bar.ax.figure
    figure.canvas.draw()
    labels = [text.get_text() for text in bar.ax.get_yticklabels()]
    assert len(set(labels)) == len(labels) >= 3 and max(map(len, labels)) <= 7
    assert bar.ax.get_tightbbox().x1 <= figure.bbox.x1


def test_areas_are_shown_linearly_and_whole(mosaic: dm.Mosaic) -> None:
    area = mosaic.compute().area
    assert area is not None
    shown = mosaic.plot(layer="area").images[0].norm
    assert isinstance(shown.stretch, LinearStretch) and (shown.vmin, shown.vmax) == (area.min(), area.max())


def test_other_layers(survey: Survey) -> None:
    mosaic = dm.mosaic(survey.folder, survey.grid, background="none", also="depth")
    pixels = mosaic.compute()
    np.testing.assert_array_equal(drawn(mosaic.plot(layer="area", stretch="linear")), pixels.area)
    np.testing.assert_array_equal(drawn(mosaic.plot(layer="depth", stretch="linear")), pixels.depth)
    with pytest.raises(InputError, match="'variance' is not one of this mosaic's: data, area, depth"):
        mosaic.plot(layer="variance")


def test_what_cannot_be_drawn(mosaic: dm.Mosaic) -> None:
    with pytest.raises(InputError, match="max_side is 0"):
        mosaic.plot(max_side=0)
    corner = mosaic.grid.wcs().pixel_to_world(2, 2)
    with pytest.raises(InputError, match="blank"):
        mosaic.cutout(corner, "8 arcsec").plot()


def test_one_bar_for_a_plot(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import contextmanager

    seen: list[tuple[str, int, int]] = []

    @contextmanager
    def spy() -> Iterator[Any]:
        yield lambda *said: seen.append(said)

    monkeypatch.setattr("dmontage.pipeline.telling.bars", spy)
    monkeypatch.setattr("dmontage.view.screen._AT_ONCE", 320 * 64)
    mosaic = dm.mosaic(survey.folder, survey.grid, progress=True)
    mosaic.plot()
    assert [said for said in seen if said[0] == "plot"] == [("plot", k, 5) for k in range(1, 6)]
    assert {said[0] for said in seen} == {"project", "fit", "plot"}
    seen.clear()
    mosaic.compute()
    assert {said[0] for said in seen} == {"cutout"}


def test_the_picture_has_north_up(mosaic: dm.Mosaic, tmp_path: Path) -> None:
    """The rendered figure: rows of the picture that are brighter at larger y are higher up."""
    ax = mosaic.plot(stretch="linear", low="min", high="max", colorbar=False, interpolation="nearest")
    ax.images[0].set_data(np.repeat(np.linspace(90, 110, 320)[:, None], 320, axis=1))
    ax.images[0].set_norm(Normalize(90, 110))
    ax.figure.canvas.draw()
    shades = np.asarray(ax.figure.canvas.buffer_rgba())[..., 0]
    x0, y0, x1, y1 = (int(v) for v in ax.bbox.extents)
    column = shades[shades.shape[0] - y1 + 5 : shades.shape[0] - y0 - 5, (x0 + x1) // 2].astype(int)
    assert column[0] > 240 and column[-1] < 15 and (np.diff(column) <= 0).all()
