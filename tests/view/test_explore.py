"""Pan and zoom without a window: which pixels of the mosaic are asked for, and what is shown of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.backend_bases import ResizeEvent
from matplotlib.colors import Normalize
from surveys import DEC, RA, SHAPE, Survey, make_survey

import dmontage as dm
from dmontage.errors import InputError
from dmontage.pipeline import Cutout
from dmontage.store.product import Product
from dmontage.view import making, tiles
from dmontage.view.shrink import shrink
from dmontage.window import Window


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tiles of 32, chunks of 64 and a small screen: a mosaic of 320 is a large one."""
    monkeypatch.setattr(tiles, "SIDE", 32)
    monkeypatch.setattr(making, "_PAUSE", 0.05)
    monkeypatch.setattr("dmontage.planner.memory.CHUNKS", (64,))
    with mpl.rc_context({"backend": "agg", "figure.dpi": 20}):
        plt.switch_backend("agg")
        yield
        plt.close("all")


@pytest.fixture
def survey(tmp_path: Path) -> Survey:
    return make_survey(tmp_path / "raw")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Window]:
    """Windows whose pixels are computed, or read, by cutouts."""
    seen: list[Window] = []
    compute = Cutout.compute

    def spy(self: Cutout) -> Any:
        seen.append(self.window)
        return compute(self)

    monkeypatch.setattr(Cutout, "compute", spy)
    return seen


def lazy(survey: Survey, store: Path | None = None, background: str = "none", **how: Any) -> dm.Mosaic:
    return dm.mosaic(survey.folder, survey.grid, store, background=background, **how)


def go(explorer: Any, window: Window) -> None:
    """Show a window, and wait for it."""
    explorer.ax.set(xlim=(window.x0 - 0.5, window.x1 - 0.5), ylim=(window.y0 - 0.5, window.y1 - 0.5))
    explorer.wait(60)


def test_the_whole_is_shown_first_at_the_resolution_of_the_screen(survey: Survey) -> None:
    mosaic = lazy(survey)
    explorer = mosaic.explore()
    explorer.wait(60)
    step = explorer.view.step
    assert step == 2 and explorer.view.window == mosaic.grid.window and explorer.note == ""
    np.testing.assert_allclose(explorer.shown, shrink(mosaic.compute().data, step), rtol=1e-6)
    assert explorer.image.get_extent() == [-0.5, 319.5, -0.5, 319.5]


@pytest.mark.parametrize("window", [Window(100, 150, 120, 170), Window(7, 40, 301, 320), Window(60, 200, 90, 230)])
def test_what_is_in_view_is_the_cutouts_own(survey: Survey, window: Window) -> None:
    mosaic = lazy(survey)
    explorer = mosaic.explore()
    go(explorer, window)
    view = explorer.view
    assert window in view.window
    values = Cutout(mosaic, view.window).compute().data
    expected = values if view.step == 1 else shrink(values, view.step)
    np.testing.assert_allclose(explorer.shown, expected, rtol=1e-6)
    x0, x1, y0, _ = explorer.image.get_extent()
    assert (x0, y0) == (view.window.x0 - 0.5, view.window.y0 - 0.5)
    np.testing.assert_allclose(x1 - x0, explorer.shown.shape[1] * view.step)


def test_only_what_is_in_view_is_asked_for(survey: Survey, asked: list[Window]) -> None:
    """A corner in view projects the images under it, and asks for no pixel beyond its tiles."""
    mosaic = lazy(survey)
    explorer = mosaic.explore(most=0)
    explorer.wait(60)
    assert asked == [] and not mosaic._receipts
    explorer._most = 1 << 26
    window = Window(60, 90, 50, 80)
    go(explorer, window)
    assert asked and all(part in Window(32, 96, 32, 96) for part in asked)
    near = [k for k, row in enumerate(mosaic.plan.rows) if row.window & Window(32, 96, 32, 96)]
    assert sorted(mosaic._receipts) == near and len(near) < len(mosaic.plan.rows)
    assert np.isfinite(explorer.shown).any()


def test_panning_asks_for_the_new_part_only(survey: Survey, asked: list[Window]) -> None:
    explorer = lazy(survey).explore(most=0)
    explorer.wait(60)
    explorer._most = 1 << 26
    go(explorer, Window(96, 160, 96, 160))
    assert len(asked) == len(set(asked)) == 4
    before = set(asked)
    asked.clear()
    go(explorer, Window(96, 160, 128, 192))
    assert len(asked) == 2 and not before & set(asked)
    asked.clear()
    go(explorer, Window(96, 160, 96, 160))
    assert asked == []


def test_a_view_that_takes_too_much_waits_to_be_asked(survey: Survey) -> None:
    mosaic = lazy(survey, background="plane")
    explorer = mosaic.explore(most=1000)
    explorer.wait(60)
    assert not np.isfinite(explorer.shown).any() and mosaic._store is None
    n = sum(chunk.size for chunk, rows in mosaic.plan.chunks if rows)
    images = sum(row.window.size for row in mosaic.plan.rows)
    assert explorer.note.startswith(f"{n / 1e6:.3g} Mpix of this view are not computed")
    assert f"{images / 1e6:.3g} Mpix of images come first" in explorer.note
    explorer.compute()
    explorer.wait(60)
    assert explorer.note == ""
    np.testing.assert_allclose(explorer.shown, shrink(mosaic.compute().data, explorer.view.step), rtol=1e-6)


def test_chunks_in_the_store_are_read_whatever_is_allowed(survey: Survey, tmp_path: Path, asked: list[Window]) -> None:
    lazy(survey, tmp_path / "run.zarr", "plane").write(tmp_path / "m.fits")
    mosaic = lazy(survey, tmp_path / "run.zarr", "plane")
    explorer = mosaic.explore(most=0)
    explorer.wait(60)
    assert explorer.note == "" and asked == [] and mosaic._store is None
    np.testing.assert_allclose(explorer.shown, shrink(mosaic.compute().data, explorer.view.step), rtol=1e-6)


def test_a_part_that_is_stored_is_shown_and_the_rest_is_told_of(survey: Survey, tmp_path: Path) -> None:
    lazy(survey, tmp_path / "run.zarr").write(tmp_path / "m.fits")
    mosaic = lazy(survey, tmp_path / "run.zarr")
    marks = (tmp_path / "run.zarr" / "mosaic" / "mark").rglob("*")
    lost = sorted(path for path in marks if path.is_file() and path.name != "zarr.json")[12]
    lost.unlink()
    (window,) = {chunk for chunk, _ in mosaic.plan.chunks} - set(mosaic.made())
    explorer = mosaic.explore(most=0)
    explorer.wait(60)
    assert explorer.note.startswith(f"{window.size / 1e6:.3g} Mpix of this view")
    step = explorer.view.step
    inside = Window(*(v // step for v in (window.y0, window.y1, window.x0, window.x1)))
    whole = shrink(dm.mosaic(survey.folder, survey.grid, background="none").compute().data, step)
    shown = explorer.shown.copy()
    assert np.isnan(shown[inside.slices]).all() and np.isfinite(whole[inside.slices]).any()
    explorer.compute()
    explorer.wait(60)
    np.testing.assert_allclose(explorer.shown, whole, rtol=1e-6)
    shown[inside.slices] = whole[inside.slices]
    np.testing.assert_allclose(shown, whole, rtol=1e-6)


def test_stale_views_are_dropped(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Views that are passed by are given up before their next part, and what comes late is not shown."""
    mosaic = lazy(survey)
    started, go_on = threading.Event(), threading.Event()
    done: list[Window] = []
    compute = Cutout.compute

    def slow(self: Cutout) -> Any:
        started.set()
        assert go_on.wait(60)
        done.append(self.window)
        return compute(self)

    monkeypatch.setattr(Cutout, "compute", slow)
    explorer = mosaic.explore()  # 9 tiles and more
    assert started.wait(60)
    for x in range(0, 200, 10):  # twenty views in passing
        explorer.ax.set(xlim=(x - 0.5, x + 59.5), ylim=(99.5, 159.5))
    go_on.set()
    explorer.wait(60)
    view = explorer.view
    first = done[0]
    last = [key.window(mosaic.grid.window) for key in view.keys]
    assert set(done) - {first} <= set(last) and len(done) <= len(last) + 1
    np.testing.assert_array_equal(explorer.shown, compute(Cutout(mosaic, view.window)).data)


def test_shades_are_those_of_the_first_view(survey: Survey) -> None:
    explorer = lazy(survey).explore(stretch="linear", low="min", high="max")
    explorer.wait(60)
    norm = explorer.image.norm
    assert norm.vmin == pytest.approx(np.nanmin(explorer.shown)) and norm.vmax == pytest.approx(
        np.nanmax(explorer.shown)
    )
    go(explorer, Window(96, 160, 96, 160))
    assert explorer.image.norm is norm
    explorer.restretch(high="50%")
    assert explorer.image.norm.vmax == pytest.approx(np.nanmedian(explorer.shown), rel=1e-2)
    own = Normalize(0, 1)
    other = lazy(survey).explore(norm=own)
    other.wait(60)
    assert other.image.norm is own


def test_beside_the_mosaic_nothing_is_shown(survey: Survey, asked: list[Window]) -> None:
    explorer = lazy(survey).explore(most=0)
    go(explorer, Window(1000, 1100, 1000, 1100))
    assert explorer.view is None and asked == [] and explorer.note == ""
    explorer.compute()
    explorer.wait(60)
    assert asked == []


def test_what_goes_wrong_is_told(survey: Survey) -> None:
    mosaic = lazy(survey, strict=True)
    for path in survey.paths:
        path.unlink()
    explorer = mosaic.explore()
    with pytest.raises(InputError, match="image0"):
        explorer.wait(60)
    assert "image0" in explorer.note
    explorer.wait(60)  # once


def test_other_layers(survey: Survey) -> None:
    mosaic = lazy(survey)
    explorer = mosaic.explore(layer="area", stretch="linear")
    explorer.wait(60)
    np.testing.assert_allclose(explorer.shown, shrink(mosaic.compute().area, explorer.view.step), rtol=1e-6)
    with pytest.raises(InputError, match="'flux' is not one of this mosaic's"):
        mosaic.explore(layer="flux")


def test_closed_nothing_more_is_made(survey: Survey, asked: list[Window]) -> None:
    explorer = lazy(survey).explore()
    explorer.wait(60)
    explorer.close()
    asked.clear()
    explorer.ax.set(xlim=(10, 30), ylim=(10, 30))
    explorer.process()
    assert asked == []


def test_closed_it_hears_of_nothing(survey: Survey) -> None:
    """Its figure may live on, and be resized."""
    explorer = lazy(survey).explore()
    explorer.wait(60)
    explorer.close()
    explorer.close()
    explorer.ax.figure.set_size_inches(12, 10)
    canvas = explorer.ax.figure.canvas
    canvas.callbacks.process("resize_event", ResizeEvent("resize_event", canvas))
    explorer.view = None
    explorer.look()
    with pytest.raises(InputError, match="closed"):
        explorer.compute()


def test_stretches_that_are_none_are_refused_at_once(survey: Survey) -> None:
    mosaic = lazy(survey)
    wrongs: list[dict[str, Any]] = [{"stretch": "foo"}, {"low": "abc"}]
    for wrong in wrongs:
        with pytest.raises(InputError, match=r"foo|abc"):
            mosaic.explore(**wrong)
        explorer = mosaic.explore()
        explorer.wait(60)
        with pytest.raises(InputError, match=r"foo|abc"):
            explorer.restretch(**wrong)
        explorer.restretch(high="99%")
        assert explorer.stretch == {"stretch": "gaussian-log", "low": "-2s", "high": "99%"}


def test_limits_in_the_wrong_order_are_told_with_the_view(survey: Survey) -> None:
    """Raised in the figure's timer they would end it, and the view with it."""
    explorer = lazy(survey).explore(low="max", high=-1e9)
    explorer._making.wait(60)
    explorer.process()
    assert np.isfinite(explorer.shown).any() and "above the high limit" in explorer.note
    with pytest.raises(InputError, match="above the high limit"):
        explorer.wait(60)
    explorer.restretch(low="min", high="max")
    assert explorer.image.norm.vmax == pytest.approx(np.nanmax(explorer.shown))


def test_axes_of_another_grid_are_refused(survey: Survey) -> None:
    mosaic = lazy(survey)
    with pytest.raises(InputError, match="another grid"):
        mosaic.explore(mosaic.cutout(f"{RA} {DEC}", "2 arcmin").plot())
    assert mosaic.explore(mosaic.plot()).view is not None


def test_only_marks_of_what_is_in_view_are_looked_at(
    survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a mosaic of 200,000 chunks all would take seconds, with each view."""
    mosaic = lazy(survey, tmp_path / "run.zarr")
    explorer = mosaic.explore(most=0)
    explorer.wait(60)
    explorer._most = 1 << 26
    mosaic.write(tmp_path / "m.fits")
    looked: list[Window] = []
    made = Product.made

    def spy(self: Product, windows: Any) -> Any:
        looked.extend(windows)
        return made(self, windows)

    monkeypatch.setattr(Product, "made", spy)
    go(explorer, Window(70, 90, 70, 90))
    assert set(looked) == {Window(64, 128, 64, 128)} and explorer.note == ""


def test_figures_that_do_not_move_are_refused(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpl, "get_backend", lambda: "module://matplotlib_inline.backend_inline")
    with pytest.raises(InputError, match="%matplotlib widget"):
        lazy(survey).explore()


def test_the_survey_is_larger_than_a_tile() -> None:
    assert min(SHAPE) > 2 * 32
