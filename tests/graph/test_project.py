"""Projecting rows: what a task reads, writes and returns, and that no bit depends on how the work is cut."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from surveys import damage, field_grid, image_header, write_image

import dmontage as dm
from dmontage.graph import project as module
from dmontage.graph.project import project, project_rows, row_from_table, row_table
from dmontage.grid import Grid
from dmontage.kernels.plane import TILE
from dmontage.planner import Footprint, make_plan
from dmontage.store import Store
from dmontage.window import Window

Floats = NDArray[np.float64]


def noise(shape: tuple[int, int] = (80, 100)) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(50, 10, shape).astype(np.float32)


def row_of(folder: Path, values: NDArray[np.float32], grid: Grid, method: str = "auto", **place: float) -> Footprint:
    shape = values.shape[0], values.shape[1]
    write_image(folder / "a.fits", values, image_header(shape=shape, **place))
    return make_plan(dm.scan(folder), grid, method=method).rows[0]


def run(row: Footprint, values: NDArray[np.float32], grid: Grid, window: Window) -> tuple[Floats, Floats]:
    flux, area, lost = project(values, row.image.grid, grid, window, row.mapping, row.method)
    assert lost == 0
    return flux, area


@pytest.mark.parametrize(("method", "rtol"), [("plane", 0.0), ("sky", 1e-13)])
def test_a_part_is_the_part_of_the_whole(tmp_path: Path, method: str, rtol: float) -> None:
    """C24: bit for bit in any window of the mosaic; on the sphere to rounding (a row is always projected whole)."""
    grid, values = field_grid(), noise()
    row = row_of(tmp_path, values, grid, method, dx=3.3, dy=-2.1, rotation=17.0)
    flux, area = run(row, values, grid, row.window)
    for window in (Window(150, 171, 130, 200), Window(row.window.y0, row.window.y0 + 1, 100, 200), grid.window):
        part = run(row, values, grid, window)
        common = window & row.window
        for found, whole in zip(part, (flux, area), strict=True):
            mine, wanted = found[common.relative_to(window).slices], whole[common.relative_to(row.window).slices]
            np.testing.assert_allclose(mine, wanted, rtol=rtol, atol=0)
        outside = np.ones(window.shape, bool)
        outside[common.relative_to(window).slices] = False
        assert not part[1][outside].any()


@pytest.mark.parametrize("method", ["plane", "sky"])
def test_bands_of_the_input_change_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """Rows of tiles, one at a time: the sums are the same sums."""
    grid, values = field_grid(), noise((200, 70))
    row = row_of(tmp_path, values, grid, method, rotation=30.0)
    whole = run(row, values, grid, row.window)
    monkeypatch.setattr(module, "_BAND", TILE)
    monkeypatch.setattr(module, "_SKY_CORNERS", 1)
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


@pytest.mark.parametrize("method", ["plane", "sky"])
def test_a_row_survives_its_table(tmp_path: Path, method: str) -> None:
    """Through JSON, bit for bit, so that a task needs nothing but a number."""
    grid, values = field_grid(), noise()
    row = row_of(tmp_path, values, grid, method, dx=3.3, rotation=17.0)
    back = row_from_table(json.loads(json.dumps(row_table(row))))
    assert row.digest == back.digest
    assert (back.image, back.window, back.method) == (row.image, row.window, row.method)
    for found, wanted in zip(run(back, values, grid, row.window), run(row, values, grid, row.window), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_rows_are_marked_and_done_once(tmp_path: Path) -> None:
    """The receipts are small; a damaged image gets neither a row nor a mark, and keeps nobody from his."""
    raw = tmp_path / "raw"
    raw.mkdir()
    for k, dx in enumerate((-40, 0, 40)):
        write_image(raw / f"image{k}.fits", noise(), image_header(dx))
    damage(raw / "image1.fits")
    grid = field_grid()
    plan = make_plan(dm.scan(raw), grid)
    path = str(tmp_path / "run.zarr")
    attributes = {"digest": plan.digest, "unit": plan.unit, "grid": grid.header, "shape": list(grid.shape)}
    store = Store.create(path, attributes, [row_table(row) for row in plan.rows], grid.shape, 64)
    receipts = project_rows(path, (0, 1, 2))
    assert [receipt["row"] for receipt in receipts] == [0, 1, 2]
    assert [receipt["reused"] for receipt in receipts] == [False] * 3
    assert ["error" in receipt for receipt in receipts] == [False, True, False]
    assert "image1.fits.fz" in receipts[1]["error"]
    assert len(pickle.dumps(receipts)) < 1000
    assert [store.done(i, row.digest) for i, row in enumerate(plan.rows)] == [0, None, 0]
    for i in (0, 2):
        flux, area = store.read_row(i, plan.rows[i].window, plan.rows[i].window)
        wanted = run(plan.rows[i], noise(), grid, plan.rows[i].window)
        np.testing.assert_array_equal(flux, wanted[0].astype(np.float32))
        np.testing.assert_array_equal(area, wanted[1].astype(np.float32))
    (raw / "image0.fits").unlink()
    assert [receipt["reused"] for receipt in project_rows(path, (0, 2))] == [True, True]
