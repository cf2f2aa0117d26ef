"""What is not true any more is not taken for done: other images behind the same numbers, halves of older products."""

from __future__ import annotations

import gc
import importlib
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from surveys import Survey, make_survey

import dmontage as dm
from dmontage.errors import InputError
from dmontage.fits_files import reader
from dmontage.graph.drive import Call, run
from dmontage.model import ImageRef
from dmontage.store import InUseError
from dmontage.store.cache import RowCache
from dmontage.store.files import Files


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    return make_survey(tmp_path_factory.mktemp("stale") / "raw", layout=(2, 2))


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dmontage.planner.memory.CHUNKS", (128,))


def fresh(files: Any, survey: Survey, folder: Path, **options: Any) -> bytes:
    """The product of a run without a store of its own."""
    dm.mosaic(files, survey.grid, **options).write(folder / "fresh.fits")
    return (folder / "fresh.fits").read_bytes()


def stored(files: Any, survey: Survey, folder: Path, **options: Any) -> bytes:
    """The product of a run with one."""
    dm.mosaic(files, survey.grid, folder / "run.zarr", **options).write(folder / "m.fits")
    return (folder / "m.fits").read_bytes()


def test_lazy_arrays_outlive_their_mosaic(survey: Survey) -> None:
    """Rows that were in the memory of a temporary store alone are written before its arrays are given."""
    expected = dm.mosaic(survey.folder, survey.grid).compute().data
    data = dm.mosaic(survey.folder, survey.grid).data
    gc.collect()
    np.testing.assert_array_equal(data.compute(), expected)
    mosaic = dm.mosaic(survey.folder, survey.grid)
    mosaic.compute()
    data = mosaic.data
    del mosaic
    gc.collect()
    np.testing.assert_array_equal(data.compute(), expected)


def test_lazy_arrays_of_other_chunks(survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of one store, in one graph: their tasks have names of their own."""
    one = dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr").data
    monkeypatch.setattr("dmontage.planner.memory.CHUNKS", (64,))
    other = dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr").data
    both = da.stack([one, other.rechunk(one.chunks)]).compute()  # type: ignore[no-untyped-call]
    np.testing.assert_array_equal(both[0], both[1])


def test_another_store_in_the_place_of_one_that_is_held(survey: Survey, tmp_path: Path) -> None:
    """Its rows are not those in memory; what was made of the old one says so, and gives no pixel of the new."""
    files = [str(path) for path in survey.paths]
    options: dict[str, Any] = {"background": "none"}
    held = dm.mosaic(files[:2], survey.grid, tmp_path / "run.zarr", **options)
    held.write(tmp_path / "m.fits")
    lazy = held.data
    shutil.rmtree(tmp_path / "run.zarr")
    assert stored(files[2:], survey, tmp_path, **options) == fresh(files[2:], survey, tmp_path, **options)
    for use in (lazy.compute, held.compute, lambda: held.write(tmp_path / "n.fits")):
        with pytest.raises(InUseError, match="was removed by another run; run again"):
            use()


def test_a_product_half_overwritten_is_not_the_old_one(
    survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of another kind ends between two layers of a chunk; the first one again makes that chunk anew."""
    expected = stored(survey.folder, survey, tmp_path)
    put = Files.put

    def fail(files: Files, key: str, data: bytes) -> None:
        if key == "mosaic/area/c.1.1":
            raise OSError(28, "No space left on device")
        put(files, key, data)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(Files, "put", fail)
        stored(survey.folder, survey, tmp_path, combine="max")
    assert stored(survey.folder, survey, tmp_path) == expected


def test_a_product_half_removed_is_laid_out_again(
    survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other layers take the place of the old ones; the run ends while those are deleted."""
    expected = stored(survey.folder, survey, tmp_path)

    def fail(files: Files, folder: str) -> None:
        Path(files.root, folder, "mean/c.1.1").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Files, "remove_folder", fail)
        stored(survey.folder, survey, tmp_path, also="depth")
    assert stored(survey.folder, survey, tmp_path) == expected


@pytest.mark.parametrize("task", ["rows.row_sums", "coadd.product"])
def test_a_task_that_wakes_up_in_another_run_writes_nothing(
    survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    """Its driver was taken for dead, and another run has its place, whose rows have the same numbers."""
    about = tmp_path / "run.zarr/zarr.json"
    module = importlib.import_module(f"dmontage.graph.{task.partition('.')[0]}")
    act = getattr(module, task.partition(".")[2])
    kept: list[list[str]] = []

    def sleep(*arguments: Any) -> Any:
        found = act(*arguments)
        document = json.loads(about.read_text())
        document["attributes"]["laid_out"] = "another"
        about.write_text(json.dumps(document))
        kept.append(sorted(str(path) for path in about.parent.rglob("c.*")))
        return found

    monkeypatch.setattr(f"dmontage.graph.{task}", sleep)
    with pytest.raises(InUseError, match="was removed by another run"):
        stored(survey.folder, survey, tmp_path)
    assert kept[0] == sorted(str(path) for path in about.parent.rglob("c.*"))


def test_an_image_that_could_not_be_read_is_matched_the_next_time(
    survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many open files, say: the corrections that were found without it are those of no other run."""
    read = reader.read

    def fail(image: ImageRef) -> NDArray[Any]:
        if image.name == "image03.fits":
            raise InputError("Too many open files")
        return read(image)

    with monkeypatch.context() as patch:
        patch.setattr("dmontage.graph.rows.read", fail)
        without = stored(survey.folder, survey, tmp_path)
        assert stored(survey.folder, survey, tmp_path) == without
        again = dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr").write(tmp_path / "m.fits")
        assert again.summary.matching_reused, "still the same image that cannot be read"
    assert stored(survey.folder, survey, tmp_path) == fresh(survey.folder, survey, tmp_path)


def test_twins_of_other_pixels(survey: Survey, tmp_path: Path) -> None:
    """Files of one name, size, time and WCS, as of several bands out of one archive: each stays itself."""
    twins = []
    for k, folder in enumerate((tmp_path / "J", tmp_path / "K")):
        folder.mkdir()
        twins.append(str(shutil.copy(survey.paths[0], folder)))
        with fits.open(twins[-1], mode="update") as hdus:
            hdus[0].data += np.float32(100 * k)
        os.utime(twins[-1], (1e9, 1e9))
    other = str(survey.paths[1])
    for background in ("none", "level"):
        for mine in (twins, twins[:1], twins[1:], [twins[0], other], [twins[1], other]):
            options = {"background": background}
            made = stored(mine, survey, tmp_path, **options)
            assert made == fresh(mine, survey, tmp_path, **options), (background, mine)


def test_an_anchor_by_a_relative_path(survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same words in another folder name another image."""
    files: list[str] = []
    for folder in ("a", "b"):
        shutil.copytree(survey.folder, tmp_path / folder)
        files += map(str, (tmp_path / folder).glob("*.fits"))
    made = []
    for folder in ("a", "b"):
        monkeypatch.chdir(tmp_path / folder)
        made.append(dm.plan(files, survey.grid, anchor="./image00.fits").corrected_by)
    assert made[0] != made[1]
    assert (
        dm.plan(files, survey.grid, anchor=files[0]).corrected_by
        == dm.plan(files, survey.grid, anchor=str(Path("..", *Path(files[0]).parts[-2:]))).corrected_by
    ), "and other words may name the same"


def test_verify_looks_at_what_was_asked_for_last(survey: Survey, tmp_path: Path) -> None:
    """A cutout of another kind leaves the older product in the store, which is not made of what is asked for now."""
    stored(survey.folder, survey, tmp_path)
    place, plan = tmp_path / "run.zarr", dm.plan(survey.folder, survey.grid)
    part = "05h35m12s -5d24m", "20 arcsec"
    dm.mosaic(survey.folder, survey.grid, place, also="depth").cutout(*part).compute()
    assert not dm.pipeline.verify(place, sample=0).wrong and dm.pipeline.status(place).made == len(plan.chunks)
    dm.mosaic(survey.folder, survey.grid, place, combine="max").cutout(*part).compute()
    assert dm.pipeline.status(place).made == 0 < len(plan.chunks)
    with pytest.raises(InputError, match="holds no chunk of the mosaic that was last asked for"):
        dm.pipeline.verify(place, sample=0)


@pytest.mark.parametrize(
    "name",
    ["mosaic/zarr.json", "mosaic/mean/zarr.json", "mosaic/mark/zarr.json", "corrections/*/zarr.json", "current.json",
     "rows/0/nominal/c.0", "rows/0/window/c.0.0"],
)  # fmt: skip
@pytest.mark.parametrize("data", [b"", b"{,}", None])
def test_damage_beside_the_pixels_is_mended(survey: Survey, tmp_path: Path, name: str, data: bytes | None) -> None:
    """Emptied, changed or lost: the next run has the same bits; who only looks gets an error that a user can read."""
    expected = stored(survey.folder, survey, tmp_path)
    (path,) = (tmp_path / "run.zarr").glob(name)
    path.unlink() if data is None else path.write_bytes(data)
    gc.collect()
    for look in (dm.pipeline.status, dm.pipeline.verify):
        try:
            str(look(tmp_path / "run.zarr"))
        except InputError as error:
            assert "anew" in str(error) or "run it first" in str(error)
    stored(survey.folder, survey, tmp_path, combine="max")
    assert stored(survey.folder, survey, tmp_path) == expected


def test_a_changed_grid_in_a_store_is_noticed(survey: Survey, tmp_path: Path) -> None:
    """Its digest alone would not tell: rows would be laid on another grid."""
    stored(survey.folder, survey, tmp_path)
    path = tmp_path / "run.zarr/zarr.json"
    document = json.loads(path.read_text())
    document["attributes"]["grid"] = document["attributes"]["grid"].replace("160", "161", 1)
    assert document != json.loads(path.read_text())
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match="holds another run: another grid"):
        stored(survey.folder, survey, tmp_path, combine="max")


def test_a_run_that_fails_leaves_no_task_at_work() -> None:
    """Its lock is free then, and the next one's."""
    done = []

    def slow() -> None:
        time.sleep(0.5)
        done.append(True)

    def fail() -> None:
        time.sleep(0.1)
        raise InputError("no")

    with pytest.raises(InputError, match="no"):
        run([Call("slow", slow, ()), Call("fail", fail, ())], workers=2)
    assert done == [True]


def test_no_more_tasks_at_once_than_the_plan_has_memory_for() -> None:
    """Also where dask was given a pool."""
    now: list[int] = []
    most: list[int] = []

    def count() -> None:
        now.append(1)
        most.append(len(now))
        time.sleep(0.05)
        now.pop()

    with dask.config.set(pool=ThreadPoolExecutor(8)):
        run([Call(str(k), count, ()) for k in range(12)], workers=2)
    assert max(most) == 2


def test_a_cache_has_one_room_for_all_that_use_it() -> None:
    """A second mosaic of a store does not get the room of the first one on top."""
    cache = RowCache()
    cache.allow(100)
    assert cache.offer(0, "flux", np.zeros(20, np.float32))
    cache.allow(120)
    assert not cache.offer(1, "flux", np.zeros(20, np.float32))
    assert cache.offer(1, "flux", np.zeros(10, np.float32))
