"""Projecting an image: no bit depends on how the work is cut, flux and area close."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from surveys import field_grid, image_header, write_image

import dmontage as dm
from dmontage.graph import on_plane, on_sky
from dmontage.graph.job import Job
from dmontage.graph.project import project
from dmontage.grid import Grid
from dmontage.kernels.plane import TILE
from dmontage.planner import Footprint, make_plan
from dmontage.window import Window

Floats = NDArray[np.float64]


def noise(shape: tuple[int, int] = (80, 100)) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(50, 10, shape).astype(np.float32)


def row_of(folder: Path, values: NDArray[np.float32], grid: Grid, method: str = "auto", **place: float) -> Footprint:
    shape = values.shape[0], values.shape[1]
    write_image(folder / "a.fits", values, image_header(shape=shape, **place))
    return make_plan(dm.scan(folder), grid, method=method, margin=0).rows[0]


def run(row: Footprint, values: NDArray[np.float32], grid: Grid, window: Window) -> tuple[Floats, Floats]:
    done = project(values, Job(row.image.grid, grid, row.mapping, row.method), window)
    assert done.lost == 0 and done.weight is None and done.variance is None
    return done.flux, done.area


@pytest.mark.parametrize("method", ["plane", "sky"])
def test_a_part_is_the_part_of_the_whole(tmp_path: Path, method: str) -> None:
    """C24: bit for bit in any window of the mosaic."""
    grid, values = field_grid(), noise()
    row = row_of(tmp_path, values, grid, method, dx=3.3, dy=-2.1, rotation=17.0)
    flux, area = run(row, values, grid, row.window)
    for window in (Window(150, 171, 130, 200), Window(row.window.y0, row.window.y0 + 1, 100, 200), grid.window):
        part = run(row, values, grid, window)
        common = window & row.window
        for found, whole in zip(part, (flux, area), strict=True):
            mine, wanted = found[common.relative_to(window).slices], whole[common.relative_to(row.window).slices]
            np.testing.assert_array_equal(mine, wanted)
        outside = np.ones(window.shape, bool)
        outside[common.relative_to(window).slices] = False
        assert not part[1][outside].any()


@pytest.mark.parametrize("method", ["plane", "sky"])
def test_bands_of_the_input_change_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """Rows of tiles, one at a time: the sums are the same sums."""
    grid, values = field_grid(), noise((200, 70))
    row = row_of(tmp_path, values, grid, method, rotation=30.0)
    whole = run(row, values, grid, row.window)
    monkeypatch.setattr(on_plane, "_BAND", TILE)
    monkeypatch.setattr(on_sky, "_SKY_BAND", 1)
    for found, wanted in zip(run(row, values, grid, row.window), whole, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("method", ["plane", "sky"])
def test_flux_and_area_close(tmp_path: Path, method: str) -> None:
    """C1, C2 through the task's body: Σ flux Ω_out = Σ v Ω_in, with a NaN that takes its own pixel away (C8)."""
    grid, values = field_grid(200), noise()
    values[40, 50] = np.nan
    row = row_of(tmp_path, values, grid, method, dx=0.4, dy=0.2, rotation=12.0)
    flux, area = run(row, values, grid, row.window)
    omega_in = row.image.grid.solid_angle(row.image.grid.window)
    omega_out = grid.solid_angle(row.window)
    good = np.isfinite(values)
    limit = 1e-9 if method == "sky" else row.mapping.bound
    assert (area * omega_out).sum() == pytest.approx(omega_in[good].sum(), rel=limit)
    assert (flux * omega_out).sum() == pytest.approx((values.astype(float) * omega_in)[good].sum(), rel=limit)


def test_the_edge_of_the_grid_keeps_the_inside_part(tmp_path: Path) -> None:
    """C10: pixels half over the edge count by half; the same numbers as on a grid that holds them."""
    grid, values = field_grid(), noise()
    row = row_of(tmp_path, values, grid, dx=130.3, dy=140.6, rotation=5.0)
    assert row.window.y1 == 320 and row.window.x1 == 320
    flux, area = run(row, values, grid, row.window)
    larger = run(row, values, grid, row.window.pad(60))
    inside = row.window.relative_to(row.window.pad(60)).slices
    np.testing.assert_array_equal(flux, larger[0][inside])
    np.testing.assert_array_equal(area, larger[1][inside])
    assert (area[-1] > 0.999).any()
