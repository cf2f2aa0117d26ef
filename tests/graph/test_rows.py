"""Rows of the store: what a task reads, writes and returns, and which way it takes."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from surveys import damage, field_grid, image_header, write_image

import dmontage as dm
from dmontage.graph import rows as module
from dmontage.graph.job import Job
from dmontage.graph.project import project
from dmontage.graph.rows import create_store, project_rows, row_from_table, row_table
from dmontage.planner import MosaicPlan, make_plan, row_digest
from dmontage.store import Mark, Store


def noise(shape: tuple[int, int] = (80, 100)) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(50, 10, shape).astype(np.float32)


def write_maps(folder: Path, **layers: NDArray[np.generic]) -> Path:
    """One image with maps as extensions."""
    hdus = [fits.PrimaryHDU(noise(), image_header(3.3, rotation=17.0))]
    hdus += [fits.ImageHDU(layer, name=name) for name, layer in layers.items()]
    fits.HDUList(hdus).writeto(folder / "a.fits")
    return folder / "a.fits"


@pytest.mark.parametrize("method", ["plane", "sky"])
def test_a_row_survives_its_table(tmp_path: Path, method: str) -> None:
    """Through JSON, bit for bit, so that a task needs nothing but a number; its companions too, but for the factor."""
    path = write_maps(tmp_path, WHT=noise() ** 2, VAR=noise() ** 2)
    plan = dm.plan(
        path, field_grid(), method=method, weight_map="WHT", variance="VAR", image_weight={"a.fits": 3.0},
        zero_point={"a.fits": 21.7}, zero_point_out=20.0,
    )  # fmt: skip
    row, beside = plan.rows[0], plan.companions[0]
    back, companions = row_from_table(json.loads(json.dumps(row_table(row, beside))))
    assert row_digest(back, companions) == row_digest(row, beside)
    assert (back.image, back.window, back.method) == (row.image, row.window, row.method)
    assert companions.maps == beside.maps and (companions.factor, beside.factor) == (1.0, 3.0)
    assert companions.scale == beside.scale == 10.0 ** (-0.4 * (21.7 - 20.0))
    one, other = (project(noise(), Job(r.image.grid, plan.grid, r.mapping, r.method), r.window) for r in (back, row))
    np.testing.assert_array_equal(one.flux, other.flux)
    np.testing.assert_array_equal(one.area, other.area)


def test_rows_are_marked_and_done_once(tmp_path: Path) -> None:
    """The receipts are small; a damaged image gets neither a row nor a mark, and keeps nobody from his."""
    raw = tmp_path / "raw"
    raw.mkdir()
    for k, dx in enumerate((-40, 0, 40)):
        write_image(raw / f"image{k}.fits", noise(), image_header(dx))
    damage(raw / "image1.fits")
    plan = make_plan(dm.scan(raw), field_grid())
    path = str(tmp_path / "run.zarr")
    store, numbers = create_store(path, plan)
    assert numbers == (0, 1, 2) == create_store(path, plan)[1]
    receipts = project_rows(path, (0, 1, 2))
    assert [receipt["row"] for receipt in receipts] == [0, 1, 2]
    assert [receipt["reused"] for receipt in receipts] == [False] * 3
    assert ["error" in receipt for receipt in receipts] == [False, True, False]
    assert "image1.fits.fz" in receipts[1]["error"]
    assert len(pickle.dumps(receipts)) < 1000
    digests = [row_digest(*both) for both in zip(plan.rows, plan.companions, strict=True)]
    assert [store.projected.done(i, digest) for i, digest in enumerate(digests)] == [Mark(), None, Mark()]
    for i in (0, 2):
        row = plan.rows[i]
        flux, area = store.projected.read(i, row.window, row.window)
        wanted = project(noise(), Job(row.image.grid, plan.grid, row.mapping, row.method), row.window)
        np.testing.assert_array_equal(flux, wanted.flux.astype(np.float32))
        np.testing.assert_array_equal(area, wanted.area.astype(np.float32))
    (raw / "image0.fits").unlink()
    assert [receipt["reused"] for receipt in project_rows(path, (0, 2))] == [True, True]


def filled(path: Path, plan: MosaicPlan) -> dict[str, NDArray[np.float32]]:
    """What the store holds of the only row."""
    create_store(path, plan)
    assert "error" not in project_rows(str(path), (0,))[0]
    store, window = Store.open(path), plan.rows[0].window
    return dict(zip(store.projected.names, store.projected.read(0, window, window, store.projected.names), strict=True))


@pytest.mark.parametrize("weight", [1.0, 3.7, 1e-30])
def test_equal_weights_take_the_fast_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weight: float) -> None:
    """Without lists, and with the sums that lists give: to the rounding of float32, slivers too small for it apart."""
    seen: list[bool] = []
    path = write_maps(tmp_path, WHT=np.full((80, 100), weight))

    def spy(*arguments: object, **layers: object) -> object:
        seen.append(layers["weights"] is None)
        return project(*arguments, **layers)  # type: ignore[arg-type]

    plan = dm.plan(path, field_grid(), weight_map="WHT")
    with monkeypatch.context() as patch:
        patch.setattr(module, "project", spy)
        fast = filled(tmp_path / "fast.zarr", plan)
        patch.setattr(module, "_common", lambda weights, values: None)
        listed = filled(tmp_path / "listed.zarr", plan)
    assert seen == [True, False]
    for name, array in fast.items():
        scale = 1.0 if name == "area" else weight
        np.testing.assert_allclose(array / scale, listed[name] / scale, rtol=1e-6, atol=1e-6)


def test_a_variance_is_that_of_the_mean(tmp_path: Path) -> None:
    """Σ (w a σ)² / (Σ w a)², the same for equal weights of any size; 0 where nothing falls."""
    s2 = np.random.default_rng(3).uniform(1, 2, (80, 100))
    path = write_maps(tmp_path, VAR=s2, ONE=np.ones((80, 100)), TEN=np.full((80, 100), 1e12))
    rows = [filled(tmp_path / f"{name}.zarr", dm.plan(path, field_grid(), variance="VAR", weight_map=name))
            for name in (None, "ONE", "TEN")]  # fmt: skip
    assert "weight" not in rows[0]
    for other in rows[1:]:
        np.testing.assert_array_equal(other["variance"], rows[0]["variance"])
    plan = dm.plan(path, field_grid())
    row = plan.rows[0]
    done = project(noise(), Job(row.image.grid, plan.grid, row.mapping, row.method), row.window, variance=s2)
    assert done.variance is not None
    wanted = np.divide(done.variance, done.area**2, out=np.zeros(done.area.shape), where=done.area > 0)
    np.testing.assert_allclose(rows[0]["variance"], wanted, rtol=1e-6)
    assert not rows[0]["variance"][rows[0]["area"] == 0].any()
