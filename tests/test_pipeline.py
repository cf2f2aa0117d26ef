"""Whole mosaics: the same bits however they are made, what is left out is named, and constants and fluxes survive."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from astropy.io import fits
from surveys import SHAPE, Survey, damage, field_grid, image_header, make_survey, write_image

import dmontage as dm
from dmontage.errors import InputError
from dmontage.fits_files import scan
from dmontage.graph.drive import Call, run
from dmontage.graph.outlet import Written
from dmontage.grid import Grid
from dmontage.model import Images
from dmontage.pipeline import Mosaic, Pixels, Summary
from dmontage.pipeline.products import Products
from dmontage.pipeline.tiles import tiles_of


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    return make_survey(tmp_path_factory.mktemp("survey"))


@pytest.fixture(scope="module")
def images(survey: Survey) -> Images:
    return scan(survey.folder)


@pytest.fixture
def chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mosaics of 25 chunks and several tasks a stage, that would else have one."""
    monkeypatch.setattr("dmontage.planner.memory.CHUNKS", (64,))
    monkeypatch.setattr("dmontage.planner.batching._TASK_PIXELS", 20_000)


@pytest.fixture(scope="module")
def reference(survey: Survey, images: Images) -> Pixels:
    return dm.mosaic(images, survey.grid).compute()


def same(one: Pixels, other: Pixels) -> bool:
    return one.grid == other.grid and all(
        np.array_equal(a, b, equal_nan=True) for a, b in zip(one[:2], other[:2], strict=True)
    )


def marked(store: Path) -> list[bool]:
    """Which rows of a store are done."""
    import zarr

    marks = zarr.open_group(str(store), mode="r")["projected/mark"]
    return [bool(row.any()) for row in np.asarray(marks[:])]  # type: ignore[index]


# --- the same bits (C24) ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_threads_and_chunks_change_no_bit(survey: Survey, images: Images, reference: Pixels, workers: int) -> None:
    """C24: one chunk and one task a stage, or many of them on 1, 2 and 4 threads."""
    with dask.config.set(num_workers=workers):
        made = dm.mosaic(images, survey.grid)
        assert len(made.plan.chunks) == 25 and len(made.plan.row_batches) >= 3
        assert same(made.compute(), reference)


@pytest.mark.usefixtures("chunks")
def test_the_order_of_the_inputs_changes_no_bit(survey: Survey, images: Images, reference: Pixels) -> None:
    """C24: as files, folder, references, or a mixture of these."""
    for given in (survey.paths[::-1], [images[4], *survey.paths[:4], images[5]], list(images)[::-1], survey.folder):
        assert same(dm.mosaic(given, survey.grid).compute(), reference)  # type: ignore[arg-type]


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize(
    ("background", "combine"), [("none", "mean"), ("level", "median"), ("plane", "mean"), ("none", "count")]
)
def test_all_ways_to_the_pixels_give_the_same_bits(
    tmp_path: Path, survey: Survey, images: Images, background: str, combine: str
) -> None:
    """C24: compute, cutout, lazy arrays, and the written file."""
    made = dm.mosaic(images, survey.grid, background=background, combine=combine)
    whole = made.compute()
    cutout = made.cutout("83.81 -5.41", ("150 arcsec", "90 arcsec"))
    part = cutout.compute()
    assert cutout.window.shape == (45, 75) == part.data.shape
    assert part.grid == survey.grid.subgrid(cutout.window)
    np.testing.assert_array_equal(part.data, whole.data[cutout.window.slices])
    np.testing.assert_array_equal(part.area, whole.area[cutout.window.slices])
    np.testing.assert_array_equal(made.data.compute(), whole.data)
    np.testing.assert_array_equal(made.area[10:70, 60:200].compute(), whole.area[10:70, 60:200])
    fresh = dm.mosaic(images, survey.grid, background=background, combine=combine)
    np.testing.assert_array_equal(fresh.data[10:70, 60:200].compute(), whole.data[10:70, 60:200])
    made.write(tmp_path / "m.fits")
    np.testing.assert_array_equal(fits.getdata(tmp_path / "m.fits"), whole.data)
    made.close()
    fresh.close()


@pytest.fixture
def client() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    settings = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster) as made:
        yield made


@pytest.mark.usefixtures("chunks", "client")
def test_a_cluster_gives_the_same_bits(tmp_path: Path, survey: Survey, images: Images, reference: Pixels) -> None:
    """C24; twice under the same names, with the store gone between: nothing is taken from the first run."""
    with pytest.raises(InputError, match="needs a store that all workers can reach"):
        dm.mosaic(images, survey.grid).compute()
    made = dm.mosaic(images, survey.grid, tmp_path / "run.zarr")
    for _ in range(2):
        assert same(made.compute(), reference)
        np.testing.assert_array_equal(made.data[100:200, 50:300].compute(), reference.data[100:200, 50:300])
        assert made.summary.reused == 0
        made.close(remove=True)
        assert not list(tmp_path.iterdir())


def test_tasks_of_a_store_are_no_others(monkeypatch: pytest.MonkeyPatch, survey: Survey, tmp_path: Path) -> None:
    """A scheduler that knows a task by its name gives an earlier result for it, of which a new store has nothing."""
    keys: list[set[str]] = []

    def spy(calls: list[Call], progress: Any, **more: Any) -> list[Any]:
        keys[-1].update(call.key for call in calls)
        return run(calls, progress, **more)

    monkeypatch.setattr("dmontage.pipeline.stages.run", spy)
    for _ in range(2):
        keys.append(set())
        made = dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr").write(tmp_path / "m.fits")
        made.close(remove=True)
    assert len(keys[0]) == len(keys[1]) > 2 and keys[0].isdisjoint(keys[1])


def test_tasks_are_small(monkeypatch: pytest.MonkeyPatch, survey: Survey, images: Images) -> None:
    """C29: a pickled task carries numbers; of a whole run less than one row of pixels."""
    sizes: list[int] = []

    def spy(calls: list[Call], progress: Any, **more: Any) -> list[Any]:
        sizes.append(len(pickle.dumps(calls)))
        return run(calls, progress, **more)

    monkeypatch.setattr("dmontage.pipeline.stages.run", spy)
    made = dm.mosaic(images, survey.grid)
    made.compute()
    assert sum(sizes) < 4 * survey.grid.shape[1] * 2
    assert len(pickle.dumps(dm.mosaic(images, survey.grid, background="none").data.dask)) < 20_000


# --- resuming -----------------------------------------------------------------------------------------------------


def test_a_second_run_reuses_all_rows(tmp_path: Path, survey: Survey, images: Images, reference: Pixels) -> None:
    store = tmp_path / "run.zarr"
    first = dm.mosaic(images, survey.grid, store)
    assert same(first.compute(), reference) and first.summary.reused == 0
    second = dm.mosaic(images, survey.grid, store)
    assert same(second.compute(), reference) and second.summary.reused == 6
    assert "(6 from the store)" in str(second.summary)
    with pytest.raises(InputError, match="holds another run"):
        dm.mosaic(images, field_grid(300), store).compute()


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("stage", ["project", "fit", "coadd"])
def test_a_run_that_was_stopped_is_taken_up(
    tmp_path: Path, survey: Survey, images: Images, reference: Pixels, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """C24: a failure in the middle of a stage keeps what is done; the same call again ends with the same bits."""

    def fail(calls: list[Call], progress: Any, **more: Any) -> list[Any]:
        if not calls or stage not in calls[0].key:
            return run(calls, progress, **more)
        run(calls[:1], progress, **more)
        raise RuntimeError("killed")

    store, out = tmp_path / "run.zarr", tmp_path / "m.fits"
    with monkeypatch.context() as patch:
        patch.setattr("dmontage.pipeline.stages.run", fail)
        with pytest.raises(RuntimeError, match="killed"):
            dm.mosaic(images, survey.grid, store).write(out)
    assert [p.name for p in tmp_path.iterdir()] == ["run.zarr"]
    kept = sum(marked(store))
    assert kept == (len(dm.plan(images, survey.grid).row_batches[0]) if stage == "project" else 6)
    again = dm.mosaic(images, survey.grid, store).write(out)
    assert again.summary.reused == kept
    np.testing.assert_array_equal(fits.getdata(out), reference.data)


def test_one_store_serves_several_backgrounds(tmp_path: Path, survey: Survey, images: Images) -> None:
    """The rows are the same; the corrections of one run are not those of another, not even with both still open."""
    made = {name: dm.mosaic(images, survey.grid, tmp_path / "run.zarr", name) for name in ("plane", "none", "level")}
    lazy = {name: mosaic.data for name, mosaic in made.items()}
    for name, mosaic in made.items():
        alone = dm.mosaic(images, survey.grid, background=name).compute()
        np.testing.assert_array_equal(lazy[name].compute(), alone.data)
        assert same(mosaic.compute(), alone)


def test_a_closed_mosaic_starts_anew(tmp_path: Path, survey: Survey, images: Images, reference: Pixels) -> None:
    """Its corrections are known, the new store does not have them yet."""
    made = dm.mosaic(images, survey.grid)
    made.compute()
    made.close()
    assert same(made.compute(), reference)
    kept = dm.mosaic(images, survey.grid, tmp_path / "run.zarr")
    kept.compute()
    kept.close(remove=True)
    assert not list(tmp_path.iterdir())
    assert same(kept.compute(), reference)


# --- cutouts (C30) ------------------------------------------------------------------------------------------------


def test_a_cutout_projects_its_own_images(tmp_path: Path, survey: Survey, images: Images) -> None:
    """C30: within one chunk of the mosaic too, and a second cutout adds its own."""
    made = dm.mosaic(images, survey.grid, tmp_path / "run.zarr", "none")
    wanted = set()
    for center in ("83.845 -5.418", "83.755 -5.382"):
        cutout = made.cutout(center, "20 arcsec")
        part = cutout.compute()
        wanted |= {i for i, row in enumerate(made.plan.rows) if row.window & cutout.window}
        assert [i for i, done in enumerate(marked(tmp_path / "run.zarr")) if done] == sorted(wanted)
        assert np.isfinite(part.data).all()
        assert made.summary.bytes_in == sum(survey.paths[i].stat().st_size for i in wanted)
        assert (made.summary.images, made.summary.used) == (6, len(wanted))
        assert f"{len(wanted)} of 6 used, 0 skipped" in str(made.summary)
        assert repr(part) == "<Pixels {1} x {0}: data, area, grid>".format(*part.data.shape)
    assert len(wanted) == 2
    made.compute()
    assert made.summary.used == 6 and made.summary.bytes_in == made.plan.bytes_in


def test_a_cutout_beside_the_grid_is_refused(survey: Survey, images: Images) -> None:
    ny, nx = survey.grid.shape
    with pytest.raises(InputError, match=rf"not on the grid: .* the grid has {nx} x {ny}; give"):
        dm.mosaic(images, survey.grid).cutout("83.8 -4.4", "20 arcsec")


@pytest.mark.parametrize("grid", ["m.hdr", fits.Header(), (100, 100), lambda images: images])
def test_what_is_no_grid_is_refused(images: Images, grid: Any) -> None:
    """What a header tells goes through `Grid.from_header`."""
    with pytest.raises(InputError, match=r"is no Grid.*Grid\.from_header"):
        dm.plan(images, grid)


@pytest.mark.usefixtures("chunks")
def test_a_lazy_array_projects_what_its_chunks_need(tmp_path: Path, survey: Survey, images: Images) -> None:
    made = dm.mosaic(images, survey.grid, tmp_path / "run.zarr", "none")
    made.data[64:128, 64:128].compute()
    chunk = next(rows for window, rows in made.plan.chunks if (window.y0, window.x0) == (64, 64))
    assert [i for i, done in enumerate(marked(tmp_path / "run.zarr")) if done] == list(chunk) != list(range(6))


# --- damage -------------------------------------------------------------------------------------------------------


@pytest.fixture
def spoilt(tmp_path: Path, survey: Survey) -> Path:
    """The survey, with one image whose damage shows when its pixels are read, and one that is no image."""
    folder = tmp_path / "raw"
    shutil.copytree(survey.folder, folder)
    damage(folder / "image02.fits")
    (folder / "notes.fits").write_text("nothing")
    return folder


@pytest.mark.parametrize("background", ["none", "plane"])
def test_a_damaged_image_is_left_out_named_and_counted(
    tmp_path: Path, survey: Survey, spoilt: Path, background: str
) -> None:
    """C27: at the scan or while projecting; the mosaic is that of the others."""
    made = dm.mosaic(spoilt, survey.grid, background=background)
    assert (made.summary.images, len(made.summary.skipped)) == (6, 1)
    whole = made.compute()
    assert (made.summary.images, len(made.summary.skipped)) == (5, 2)
    assert [item.name for item in made.summary.skipped] == ["notes.fits", "image02.fits.fz[1]"]
    assert "5 used, 2 skipped" in str(made.summary) and "image02.fits.fz" in str(made.summary)
    assert str(spoilt) not in str(made.summary)
    assert made.summary.unpaired == ()
    others = [path for path in sorted(spoilt.glob("image*")) if path.suffix == ".fits"]
    alone = dm.mosaic(others, survey.grid, background=background).compute()
    np.testing.assert_allclose(whole.data, alone.data, rtol=1e-6)
    np.testing.assert_array_equal(whole.area, alone.area)
    made.write(tmp_path / "m.fits")
    header = fits.getheader(tmp_path / "m.fits")
    assert (header["NIMAGES"], header["NSKIPPED"]) == (5, 2)


def test_strict_stops_at_damage(survey: Survey, spoilt: Path) -> None:
    with pytest.raises(InputError, match=r"notes\.fits"):
        dm.mosaic(spoilt, survey.grid, strict=True)
    (spoilt / "notes.fits").unlink()
    for background in ("none", "plane"):
        made = dm.mosaic(spoilt, survey.grid, background=background, strict=True)
        with pytest.raises(InputError, match=r"image02\.fits\.fz"):
            made.compute()
        with pytest.raises(InputError, match=r"image02\.fits\.fz"):
            made.data.compute()


def test_a_lazy_array_tells_of_damage(survey: Survey, spoilt: Path) -> None:
    """C27: nothing is dropped in silence, where there is no summary either."""
    made = dm.mosaic(spoilt, survey.grid, background="none")
    with pytest.warns(UserWarning, match=r"left out: .*image02\.fits\.fz"):
        made.data.compute()


def test_all_images_damaged_is_an_error(tmp_path: Path) -> None:
    damage(write_image(tmp_path / "a.fits", np.ones(SHAPE, np.float32)))
    with pytest.raises(InputError, match=r"a\.fits\.fz"):
        dm.mosaic(tmp_path).compute()


def test_a_damaged_store_is_an_error(tmp_path: Path, survey: Survey, images: Images, reference: Pixels) -> None:
    """A flipped bit in a projected image is told of, not coadded; the next run mends it."""
    dm.mosaic(images, survey.grid, tmp_path / "run.zarr").compute()
    chunk = tmp_path / "run.zarr/projected/flux/c.3.0.0"
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 4
    chunk.write_bytes(data)
    with pytest.raises(InputError, match=r"row 3 of .*run.zarr is damaged.*the same command again makes that row anew"):
        dm.mosaic(images, survey.grid, tmp_path / "run.zarr").compute()
    again = dm.mosaic(images, survey.grid, tmp_path / "run.zarr")
    assert same(again.compute(), reference) and again.summary.reused == 5


def test_a_blank_mosaic_says_so_once(tmp_path: Path) -> None:
    """However often it is written."""
    made = dm.mosaic(write_image(tmp_path / "a.fits", np.full((20, 30), np.nan, np.float32)), background="none")
    for name in ("m.fits", "n.fits"):
        made.write(tmp_path / name)
    assert made.summary.warnings == ("all pixels of the mosaic are blank",)


def test_what_one_thread_notes_no_other_takes_back(tmp_path: Path) -> None:
    """A chunk with values comes in while a blank one is noted."""
    plan = dm.plan(write_image(tmp_path / "a.fits", np.ones((20, 30), np.float32)))
    products = Products(tmp_path / "m.fits", plan, Summary(), tiles_of(plan.grid.shape, None))

    class Blank:
        blocks: Mapping[str, Any] = {}

        @property
        def any_covered(self) -> bool:
            products.note(Written({}, any_covered=True))
            return False

    products.note(Blank())  # type: ignore[arg-type]
    assert products.any_covered


def test_an_output_that_cannot_be_written_is_refused_first(tmp_path: Path, survey: Survey, images: Images) -> None:
    (tmp_path / "m_area.fits").mkdir()
    made = dm.mosaic(images, survey.grid, tmp_path / "run.zarr")
    with pytest.raises(InputError, match=r"m_area\.fits: it is a folder"):
        made.write(tmp_path / "m.fits")
    assert [p.name for p in tmp_path.iterdir()] == ["m_area.fits"]


# --- numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["plane", "sky"])
@pytest.mark.parametrize("combine", ["mean", "median"])
def test_a_constant_sky_stays_constant(tmp_path: Path, method: str, combine: str) -> None:
    """C3, C5 through the store: to the rounding of float32, in every pixel, whatever the output pixel's size."""
    for k, dx in enumerate((-30.0, 0.0, 25.0)):
        header = image_header(dx, 3 * k, rotation=20.0 * k, scale=2.0 + 0.7 * k)
        write_image(tmp_path / f"a{k}.fits", np.full(SHAPE, 7.3, np.float32), header)
    for scale in (1.3, 5.0):
        made = dm.mosaic(tmp_path, field_grid(200, scale), background="plane", combine=combine, method=method).compute()
        covered = made.area > 0
        assert covered.any() and not covered.all()
        valid = np.isfinite(made.data)
        np.testing.assert_allclose(made.data[valid], np.float32(7.3), rtol=3e-7)
        if combine == "mean":
            np.testing.assert_array_equal(valid, covered)


@pytest.mark.parametrize("method", ["plane", "sky"])
def test_flux_closes(tmp_path: Path, method: str) -> None:
    """C1 through the written files: Σ mean · area(sr) = Σ v Ω_in, with a NaN that takes its own pixel away (C8)."""
    values = np.random.default_rng(0).normal(50, 10, SHAPE).astype(np.float32)
    values[33, 44] = np.nan
    write_image(tmp_path / "a.fits", values, image_header(0.3, 0.7, rotation=31.0))
    image = scan(tmp_path)[0]
    dm.mosaic([image], field_grid(300, 1.7), background="none", method=method).write(tmp_path / "out.fits")
    mean = fits.getdata(tmp_path / "out.fits").astype(float)
    area, header = fits.getdata(tmp_path / "out_area.fits", header=True)
    assert header["BUNIT"] == "sr" and fits.getheader(tmp_path / "out.fits")["BUNIT"] == "MJy/sr"
    omega = image.grid.solid_angle(image.grid.window)
    good = np.isfinite(values)
    assert area.astype(float).sum() == pytest.approx(omega[good].sum(), rel=1e-6)
    total = np.nansum(mean * area)
    assert total == pytest.approx((values.astype(float) * omega)[good].sum(), rel=1e-6)
    np.testing.assert_array_equal(np.isnan(mean), area == 0)


def test_images_on_the_grid_come_through_unchanged(tmp_path: Path) -> None:
    """C4, C21: whole-pixel shifts; two images without area files count equally."""
    values = np.random.default_rng(0).normal(0, 10, (2, *SHAPE)).astype(np.float32)
    for k in (0, 1):
        path = write_image(tmp_path / f"a{k}.fits", values[k], image_header())
    grid = scan(path)[0].grid  # a file's cards have not all the digits of the header's
    made = dm.mosaic(tmp_path, grid, background="none").compute()
    assert (made.area == 2).all()
    np.testing.assert_array_equal(made.data, ((values[0].astype(float) + values[1]) / 2).astype(np.float32))
    header = image_header()
    header["CRPIX1"], header["CRPIX2"] = header["CRPIX1"] + 7, header["CRPIX2"] - 12
    write_image(tmp_path / "a1.fits", values[1], header)
    made = dm.mosaic(tmp_path / "a1.fits", grid, background="none").compute()
    np.testing.assert_array_equal(made.data[12:, :-7], values[1][:-12, 7:])


def test_a_stack_of_sixty(tmp_path: Path) -> None:
    """C21, C22, C23: deeper than 50, negative values, through files and store; exact, since the sums are."""
    grid = Grid.from_header(image_header(shape=(6, 5)), shape=(6, 5))
    values = np.random.default_rng(3).integers(-1000, 1000, (60, 6, 5)).astype(np.float32)
    for k in range(60):
        write_image(tmp_path / f"a{k:02d}.fits", values[k])
    plan = dm.plan(tmp_path, grid, background="none")
    truths = {"mean": values.astype(float).mean(axis=0), "median": np.median(values, axis=0), "count": 60}
    for combine, truth in truths.items():
        for weights in ("area", "none"):
            made = Mosaic(replace(plan, combine=combine, weights=weights), tmp_path / "run.zarr").compute()
            np.testing.assert_array_equal(made.data, np.float32(truth))
            assert (made.area == 60).all()
    Mosaic(replace(plan, combine="count"), tmp_path / "run.zarr").write(tmp_path / "out.fits")
    assert "BUNIT" not in fits.getheader(tmp_path / "out.fits")


# --- backgrounds --------------------------------------------------------------------------------------------------


def spread(values: np.ndarray[Any, Any]) -> float:
    return float(np.nanstd(values.astype(float)))


def test_backgrounds_are_matched(tmp_path: Path) -> None:
    """Planes of ±20 over a noise of 0.1: "plane" leaves the noise and one common plane, "level" the gradients."""
    survey = make_survey(tmp_path / "raw", 5, noise=0.1)
    left = {}
    for background in ("none", "level", "plane"):
        made = dm.mosaic(survey.folder, survey.grid, background=background)
        data = made.compute().data.astype(float)
        y, x = np.nonzero(np.isfinite(data))
        terms = np.column_stack([np.ones(x.size), x, y])
        values = data[y, x]
        left[background] = spread(values - terms @ np.linalg.lstsq(terms, values)[0])
        assert (made.summary.pairs > 0) == (background != "none")
        if background == "level":
            assert made.solution is not None and not made.solution.parameters[:, 1:].any()
        if background == "plane":
            assert made.summary.rms_after < 0.02 and made.summary.rms_before > 5
    assert left["plane"] < 0.2 and 2 < left["level"] < left["none"]


def test_the_corrections_are_the_planes_that_were_put_in(tmp_path: Path) -> None:
    """Up to a common plane, within the errors that the solution states."""
    survey = make_survey(tmp_path / "raw", 6, noise=0.1)
    made = dm.mosaic(survey.folder, survey.grid)
    made.compute()
    assert made.solution is not None
    truth = []
    for plane, row, centre in zip(survey.planes, made.plan.rows, made.solution.centres, strict=True):
        sky = survey.grid.wcs().all_pix2world([centre], 0)
        x, y = row.image.grid.wcs().all_world2pix(sky, 0)[0]
        truth.append(plane @ [1, x - (SHAPE[1] - 1) / 2, y - (SHAPE[0] - 1) / 2])
    q, _ = np.linalg.qr(np.column_stack([np.ones(6), made.solution.centres]))
    flatten = np.eye(6) - q @ q.T
    left = flatten @ (made.solution.level - truth)
    errors = np.sqrt(made.solution.variance(np.kron(flatten, [1, 0, 0])))
    assert (np.abs(left) < 4 * errors).all() and errors.max() < 0.1


def test_an_image_without_a_pair_is_reported_and_left_alone(tmp_path: Path) -> None:
    """C18."""
    survey = make_survey(tmp_path / "raw", noise=0.0, spread=5.0)
    write_image(survey.folder / "lone.fits", np.full(SHAPE, 42, np.float32), image_header(0, 400))
    made = dm.mosaic(survey.folder)
    whole = made.compute()
    assert made.summary.unpaired == ("lone.fits",) and made.summary.groups == 1
    assert "lone.fits" in str(made.summary)
    row = next(row for row in made.plan.rows if row.image.name == "lone.fits")
    inner = whole.data[row.window.pad(-5).slices]
    np.testing.assert_allclose(inner, 42, rtol=1e-6)


def test_disconnected_groups_are_reported(tmp_path: Path) -> None:
    """C18: each is solved for on its own."""
    for k, (dx, dy) in enumerate([(0, 0), (60, 0), (0, 400), (60, 400)]):
        write_image(tmp_path / f"a{k}.fits", np.full(SHAPE, [10, 14, -3, 5][k], np.float32), image_header(dx, dy))
    made = dm.mosaic(tmp_path, background="level")
    whole = made.compute()
    assert made.summary.groups == 2 and made.summary.unpaired == ()
    assert "2 groups" in str(made.summary)
    for rows, level in (((0, 1), 12), ((2, 3), 1)):
        for row in rows:
            np.testing.assert_allclose(whole.data[made.plan.rows[row].window.pad(-4).slices], level, rtol=1e-5)


def test_one_image_needs_no_background(tmp_path: Path) -> None:
    write_image(tmp_path / "a.fits", np.full(SHAPE, 3, np.float32))
    made = dm.mosaic(tmp_path)
    np.testing.assert_allclose(np.nanmax(made.compute().data), 3, rtol=1e-6)
    assert made.summary.unpaired == () and made.summary.pairs == 0


def test_the_products_say_how_they_were_made(tmp_path: Path, survey: Survey, images: Images) -> None:
    made = dm.mosaic(images, survey.grid, background="level", combine="median").write(tmp_path / "m.fits")
    for name in ("m.fits", "m_area.fits"):
        header = fits.getheader(tmp_path / name)
        assert Grid.from_header(header) == survey.grid
        assert [header[key] for key in ("BACKGRND", "COMBINE", "WEIGHTS", "NIMAGES")] == ["level", "median", "none", 6]
        assert 0 <= header["PROJERR"] <= header["PROJTOL"] == 1e-5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.fits", "m_area.fits"]
    assert made.summary.bytes_out == made.plan.bytes_out
    assert set(made.summary.seconds) == {"project", "fit", "solve", "coadd", "write"}


def test_progress_reaches_the_end_of_each_stage(survey: Survey, images: Images, tmp_path: Path) -> None:
    seen: dict[str, list[tuple[int, int]]] = {}
    dm.mosaic(
        images, survey.grid, progress=lambda stage, done, total: seen.setdefault(stage, []).append((done, total))
    ).write(tmp_path / "m.fits")
    assert list(seen) == ["project", "fit", "coadd"]
    for steps in seen.values():
        assert steps == sorted(steps) and steps[-1][0] == steps[-1][1]


def test_flux_per_pixel_keeps_the_total(tmp_path: Path) -> None:
    """C5: 100 × 100 ones onto pixels twice as large are 10,000 still, four to a pixel; and the same bits by cutouts."""
    path = write_image(tmp_path / "a.fits", np.ones((100, 100), np.float32), image_header(shape=(100, 100)))
    grid = field_grid(70, 2 * 2.0)
    made = dm.mosaic(path, grid, background="none", unit="flux_per_pixel")
    whole = made.compute()
    inside = whole.area > 0.999999
    assert inside.sum() > 2000
    np.testing.assert_allclose(whole.data[inside], 4.0, rtol=1e-5)
    total = np.nansum(whole.data.astype(float) * whole.area)
    assert total == pytest.approx(1e4, rel=1e-6)
    part = made.cutout("83.8 -5.4", "1 arcmin")
    assert np.array_equal(part.compute().data, whole.data[part.window.slices], equal_nan=True)
    bright = dm.mosaic(path, grid, background="none").compute()
    np.testing.assert_allclose(bright.data[inside], 1.0, rtol=1e-6)


def test_a_wide_constant_sky_in_counts_is_flat_in_brightness(tmp_path: Path) -> None:
    """Values that follow the pixels' solid angle, 2 % across the field, are a constant brightness, and counts again."""
    image = Grid.around("83.8 -5.4", shape=(60, 60), scale="0.2 deg")
    omega = image.solid_angle(image.window)
    write_image(tmp_path / "a.fits", (omega / omega.max()).astype(np.float32), image.to_header())
    made = dm.mosaic(tmp_path / "a.fits", image, background="none", unit="flux_per_pixel").compute()
    np.testing.assert_allclose(made.data, omega / omega.max(), rtol=1e-6)
    assert np.ptp(made.data) > 0.01
