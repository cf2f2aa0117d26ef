"""Pictures of coverage and quality: their colours against the numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from matplotlib import colormaps
from numpy.typing import NDArray

from dmontage.errors import InputError
from dmontage.graph.shares import Cells
from dmontage.grid import Grid
from dmontage.pipeline import ErrorMap
from dmontage.view.figure import empty_figure, render
from dmontage.view.quality import area_picture, depth_picture, draw_correction, draw_error, draw_overlaps
from dmontage.window import Window

GRID = Grid.around("10 10", scale="1 arcmin", shape=(80, 120))


def shades(drawn: Any) -> NDArray[np.uint8]:
    """Colours in the middles of the axes' pixels, y upwards, of a figure of twice the grid's width."""
    out = render(drawn)[::-1]
    box = drawn.axes[0].bbox
    x, y = round(box.x0), round(box.y0)
    return out[y + 1 : y + 161 : 2, x + 1 : x + 241 : 2, :3]


def test_depths_have_colours_of_their_own() -> None:
    depth = np.zeros((80, 120), np.int32)
    depth[:, 40:] += 1
    depth[20:50, 60:] += 2
    drawn = depth_picture(depth, GRID, width=240)
    seen = shades(drawn)
    of = {n: {tuple(c) for c in seen[3:-3, 3:-3][depth[3:-3, 3:-3] == n]} for n in (0, 1, 3)}
    common = {n: max(each, key=lambda c: (seen == c).all(axis=-1).sum()) for n, each in of.items()}
    assert common[0] == (217, 217, 217)
    viridis = colormaps["viridis"].resampled(3)
    assert common[1] == pytest.approx(np.array(viridis(0)[:3]) * 255, abs=1.5)
    assert common[3] == pytest.approx(np.array(viridis(2)[:3]) * 255, abs=1.5)
    assert [tick.get_text() for tick in drawn.axes[1].get_yticklabels()] == ["1", "2", "3"]


def test_areas_are_told_by_the_bar() -> None:
    area = np.full((80, 120), 0.5)
    area[:40] = 2.0
    area[:, :20] = 0.0
    drawn = area_picture(area, GRID, width=240)
    seen = shades(drawn)
    cividis = colormaps["cividis"]
    assert seen[60, 100] == pytest.approx(np.array(cividis(0.25)[:3]) * 255, abs=1.5)
    assert seen[20, 100] == pytest.approx(np.array(cividis(1.0)[:3]) * 255, abs=1.5)
    assert tuple(seen[20, 10]) == (217, 217, 217)
    with pytest.raises(InputError, match=r"shape \(80, 119\)"):
        area_picture(area[:, 1:], GRID)
    with pytest.raises(InputError, match="width is 0"):
        area_picture(area, GRID, width=0)


@pytest.mark.parametrize("picture", [depth_picture, area_picture])
def test_nothing_covered_is_all_blank(picture: Any) -> None:
    assert (shades(picture(np.zeros((80, 120)), GRID, width=240))[5:-5, 5:-5] > 150).all()


@dataclass
class Pair:
    window: Window
    before: float
    after: float
    named: bool = False
    rejected: bool = False
    n_pixels: int = 100


@pytest.mark.parametrize("picture", [depth_picture, area_picture])
def test_what_is_shown_stays_as_it_is(picture: Any) -> None:
    """An array that is not shrunk is not copied either: no coverage must not become NaN in it."""
    values = np.zeros(GRID.shape)
    values[:, 40:] = 1.0
    values.flags.writeable = False
    picture(values, GRID, width=240)
    assert (values[:, :40] == 0).all()


def test_overlaps_are_drawn_on_their_windows() -> None:
    pairs = [
        Pair(Window(10, 30, 10, 50), -8.0, 0.5, named=True),
        Pair(Window(40, 70, 60, 110), 4.0, 0.0),
        Pair(Window(0, 80, 0, 120), 99.0, 99.0, n_pixels=0),  # shares no pixels: not drawn
    ]
    reds = colormaps["YlOrRd"]
    for when, colours, outlined in (("before", (1.0, 0.5), 0), ("after", (1.0, 0.0), 1)):
        drawn, axes = empty_figure(GRID, 240, bare=True)
        shown = draw_overlaps(axes, pairs, when)
        seen = shades(drawn)
        assert seen[20, 30] == pytest.approx(np.array(reds(colours[0])[:3]) * 255, abs=1.5)
        assert seen[55, 90] == pytest.approx(np.array(reds(colours[1])[:3]) * 255, abs=1.5)
        assert tuple(seen[35, 55]) == (255, 255, 255) and len(axes.patches) == outlined
        assert shown.get_clim() == (0.0, 8.0 if when == "before" else 0.5)
    with pytest.raises(InputError, match="'then' is neither"):
        draw_overlaps(axes, pairs, "then")


def test_cells_lie_where_they_are_told_of() -> None:
    """Cells of 32 pixels, the last ones cut by the mosaic's edge."""
    cells = Cells(np.array([0, 32, 64, 80]), np.array([0, 32, 64, 96, 120]))
    values = np.arange(12.0).reshape(3, 4)
    error, correction = values.copy(), values - 3.0
    error[2, 0] = np.nan
    errors = ErrorMap(error, 2 * values, correction, cells)
    for draw, map_of, limits, numbers in (
        (draw_error, "viridis", (0.0, 11.0), error),
        (draw_correction, "RdBu_r", (-8.0, 8.0), correction),
    ):
        drawn, axes = empty_figure(GRID, 240)
        shown = draw(axes, errors)
        assert shown.get_clim() == limits and axes.get_xlim() == (-0.5, 119.5)
        seen = shades(drawn)
        for j, y in enumerate((31, 32, 76)):
            for i, x in enumerate((31, 32, 95, 96)):
                column = (0, 1, 2, 3)[i]
                value = (numbers[j, column] - limits[0]) / (limits[1] - limits[0])
                true = np.array(colormaps[map_of](value)[:3]) * 255 if np.isfinite(value) else np.full(3, 217)
                assert seen[y, x] == pytest.approx(true, abs=1.5), (j, i)
    total = draw_error(empty_figure(GRID, 240)[1], errors, total=True)
    assert total.get_clim() == (0.0, 22.0)
