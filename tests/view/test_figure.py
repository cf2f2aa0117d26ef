"""Figures: their pixels are the picture's, and their sizes what was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from dmontage.errors import InputError
from dmontage.grid import Grid
from dmontage.view.figure import color_bar, empty_figure, figure, grid_wcs, render, write_figure
from dmontage.view.layout import box_of, is_bare, pixels_per_pixel


def a_grid(shape: tuple[int, int] = (60, 83)) -> Grid:
    return Grid.around("05h35m -5d23m", scale="1 arcsec", shape=shape)


def noise(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("dpi", [None, 97.3, 300.0])
@pytest.mark.parametrize("shape", [(60, 83), (1, 7), (301, 113)])
def test_a_bare_picture_keeps_its_pixels(shape: tuple[int, int], dpi: float | None) -> None:
    picture = noise((*shape, 3))
    drawn, axes = figure(picture, a_grid(shape), bare=True, dpi=dpi)
    assert is_bare(axes)
    out = render(drawn)
    np.testing.assert_array_equal(out[..., :3], picture)
    assert (out[..., 3] == 255).all()


def test_a_picture_with_labels_keeps_its_pixels_too() -> None:
    """With labels at its sides it stands in the figure as it is, but for the frame's line."""
    picture = noise((60, 83, 3))
    drawn, axes = figure(picture, a_grid())
    out = render(drawn)
    x, y, width, height = box_of(axes)
    top = out.shape[0] - y - height
    inner = out[top + 4 : top + height - 4, x + 4 : x + width - 4, :3]
    np.testing.assert_array_equal(inner, picture[4:-4, 4:-4])
    assert out.shape[0] > 60 + 20 and out.shape[1] > 83 + 20
    assert (out[[0, -1]] == 255).all() and (out[:, [0, -1]] == 255).all(), "a label runs over the edge"


def test_data_have_y_upwards_and_pictures_downwards() -> None:
    data = np.arange(12.0).reshape(3, 4)
    drawn, _ = figure(data, a_grid((3, 4)), bare=True, norm=Normalize(0, 255))
    np.testing.assert_array_equal(render(drawn)[..., 0], data[::-1])
    ready = np.repeat(data[::-1, :, None], 3, axis=2).astype(np.uint8)
    drawn, _ = figure(ready, a_grid((3, 4)), bare=True)
    np.testing.assert_array_equal(render(drawn)[..., 0], data[::-1])


def test_blank_pixels_are_transparent() -> None:
    data = np.ones((5, 6))
    data[1, 2] = np.nan
    alpha = render(figure(data, a_grid((5, 6)), bare=True)[0])[..., 3]
    assert alpha[3, 2] == 0 and (alpha == 255).sum() == 29


@pytest.mark.parametrize("step", [2, 3, 7])
def test_a_shrunk_picture_lies_on_the_grid_s_pixels(step: int) -> None:
    """Each of its pixels over the squares that it is the mean of, the last ones cut by the grid."""
    shape = (-(-60 // step), -(-83 // step))
    picture = noise((*shape, 3))
    drawn, axes = figure(picture, a_grid(), bare=True)
    np.testing.assert_array_equal(render(drawn)[..., :3], picture)
    assert pixels_per_pixel(axes) == pytest.approx(step)
    assert axes.get_xlim() == (-0.5, shape[1] * step - 0.5)


def test_a_step_that_the_size_does_not_tell_is_given() -> None:
    """Two by three pixels are made by steps of 30 to 41."""
    assert pixels_per_pixel(figure(noise((2, 3, 3)), a_grid(), bare=True)[1]) == pytest.approx(30)
    assert pixels_per_pixel(figure(noise((2, 3, 3)), a_grid(), bare=True, step=40)[1]) == pytest.approx(40)
    with pytest.raises(InputError, match="shrunk by 50"):
        figure(noise((2, 3, 3)), a_grid(), step=50)


def test_the_width_is_that_of_the_axes() -> None:
    drawn, axes = figure(noise((60, 83, 4)), a_grid(), width=500)
    before = box_of(axes)[2:]
    render(drawn)
    assert box_of(axes)[2:] == before == (500, round(500 * 60 / 83))
    again = render(drawn)
    np.testing.assert_array_equal(again, render(drawn))  # room is made once


def test_a_color_bar_stands_beside_all_that_is_drawn() -> None:
    drawn, axes = figure(np.arange(60 * 83.0).reshape(60, 83), a_grid(), width=300)
    color_bar(axes, axes.images[0], "DN")
    out = render(drawn)
    assert (out[[0, -1]] == 255).all() and (out[:, [0, -1]] == 255).all()
    assert len(drawn.axes) == 2 and box_of(drawn.axes[1])[3] == box_of(axes)[3]
    assert box_of(drawn.axes[1])[0] > box_of(axes)[0] + 300


@pytest.mark.parametrize("suffix", ["png", "JPG", "pdf", "svg"])
def test_a_figure_is_written_whole(tmp_path: Path, suffix: str) -> None:
    drawn, _ = figure(noise((60, 83, 3)), a_grid())
    path = tmp_path / f"picture.{suffix}"
    write_figure(drawn, str(path))
    assert list(tmp_path.iterdir()) == [path]
    if suffix in ("png", "JPG"):
        with Image.open(path) as image:
            assert image.size == render(drawn).shape[1::-1]
    else:
        assert path.read_bytes()[:5] in (b"%PDF-", b"<?xml")


def bad_calls() -> list[Any]:
    grid = a_grid()
    return [
        (lambda: figure(np.zeros((60, 83, 3)), grid), r"shape \(60, 83, 3\) of float64"),
        (lambda: figure(np.zeros((0, 83)), grid), r"shape \(0, 83\)"),
        (lambda: figure(np.zeros((60, 60)), grid), "60 × 60 is not the grid's 83 × 60"),
        (lambda: empty_figure(grid, -1), "width -1"),
        (lambda: empty_figure(grid, 10**6), "width 1000000"),
        (lambda: write_figure(Figure(), Path("a.bmp")), "png, jpg"),
        (lambda: grid_wcs(Figure().add_subplot()), "Axes has no grid"),
    ]


@pytest.mark.parametrize("case", range(7))
def test_bad_input_is_told(case: int) -> None:
    call, message = bad_calls()[case]
    with pytest.raises(InputError, match=message):
        call()
