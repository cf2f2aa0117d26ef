"""What of a mosaic is there already: chunks in a store, files; and cutouts that read it."""

from __future__ import annotations

import pickle
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from surveys import Survey, make_survey

import dmontage as dm
from dmontage.errors import InputError
from dmontage.store.rows import RowTable
from dmontage.window import Window


@pytest.fixture
def survey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Survey:
    """Its mosaic has 25 chunks."""
    monkeypatch.setattr("dmontage.planner.memory.CHUNKS", (64,))
    return make_survey(tmp_path / "raw")


@pytest.mark.parametrize("background", ["none", "plane"])
def test_nothing_is_there_before_anything_is_made(survey: Survey, tmp_path: Path, background: str) -> None:
    mosaic = dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr", background=background)
    assert mosaic.made() == () and mosaic.files == ()
    assert mosaic.corrected == (background == "none")
    assert np.isnan(mosaic.stored(mosaic.grid.window)).all()
    assert not (tmp_path / "run.zarr").exists()


def test_what_was_made_is_known_to_the_next_of_the_same(survey: Survey, tmp_path: Path) -> None:
    first = dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr")
    first.write(tmp_path / "m.fits")
    expected = fits.getdata(tmp_path / "m.fits")
    for mosaic in (first, dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr")):
        assert len(mosaic.made()) == len(mosaic.plan.chunks) == 25 and mosaic.corrected
        np.testing.assert_array_equal(mosaic.stored(mosaic.grid.window), expected)
        window = Window(50, 201, 3, 150)
        np.testing.assert_array_equal(mosaic.stored(window, "area"), first.compute().area[window.slices])
    others: list[dict[str, Any]] = [{"background": "level"}, {"combine": "max"}, {"also": "depth"}]
    for other in others:
        assert dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr", **other).made() == ()


def test_a_lost_chunk_is_not_there(survey: Survey, tmp_path: Path) -> None:
    mosaic = dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr", background="none")
    mosaic.write(tmp_path / "m.fits")
    marks = (tmp_path / "run.zarr" / "mosaic" / "mark").rglob("*")
    min(path for path in marks if path.is_file() and path.name != "zarr.json").unlink()
    made = mosaic.made()
    assert len(made) == len(mosaic.plan.chunks) - 1
    (window,) = (chunk for chunk, _ in mosaic.plan.chunks if chunk not in made)
    stored = mosaic.stored(mosaic.grid.window)
    assert np.isnan(stored[window.slices]).all()
    stored[window.slices] = fits.getdata(tmp_path / "m.fits")[window.slices]
    np.testing.assert_array_equal(stored, fits.getdata(tmp_path / "m.fits"))


def test_files_that_differ_in_their_folders_alone_are_two(survey: Survey, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        shutil.copy2(survey.paths[0], tmp_path / name / "same.fits")
    images = dm.scan([tmp_path / "a", tmp_path / "b"])
    dm.mosaic(images, survey.grid, tmp_path / "run.zarr").write(tmp_path / "m.fits")
    mosaic = dm.mosaic(images, survey.grid, tmp_path / "run.zarr")
    assert len(set(mosaic.plan.row_digests)) == 1 < len(mosaic.plan.rows)
    assert mosaic.corrected and len(mosaic.made()) == len(mosaic.plan.chunks)


def test_a_store_that_was_laid_out_anew_is_another(survey: Survey, tmp_path: Path) -> None:
    """Its rows have other numbers, and there are more of them."""
    first = dm.mosaic(survey.paths[:2], survey.grid, tmp_path / "run.zarr")
    first.write(tmp_path / "m.fits")
    shutil.rmtree(tmp_path / "run.zarr")
    assert first.made() == () and not np.isfinite(first.stored(first.grid.window)).any()
    dm.mosaic(survey.paths[2:], survey.grid, tmp_path / "run.zarr").compute()
    again = dm.mosaic(survey.paths[:2], survey.grid, tmp_path / "run.zarr")
    again.write(tmp_path / "m.fits")
    assert len(again.made()) == len(again.plan.chunks) and first.made() == ()
    fresh = dm.mosaic(survey.paths[:2], survey.grid, tmp_path / "run.zarr")
    assert fresh.made() == again.made()


def test_the_table_of_a_stores_rows_is_read_once(
    survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 20,000 images it takes 1.5 seconds, and each tile of a view asks what is stored."""
    dm.mosaic(survey.paths[:2], survey.grid, tmp_path / "run.zarr").write(tmp_path / "m.fits")
    read: list[int] = []
    tables = RowTable.tables

    def spy(self: RowTable, rows: Any) -> Any:
        read.append(len(rows))
        return tables(self, rows)

    monkeypatch.setattr(RowTable, "tables", spy)
    mosaic = dm.mosaic(survey.paths[:2], survey.grid, tmp_path / "run.zarr")
    for _ in range(3):
        assert mosaic.corrected and mosaic.made() and np.isfinite(mosaic.stored(mosaic.grid.window)).any()
    assert read == [2]
    more = dm.mosaic(survey.paths, survey.grid, tmp_path / "run.zarr")
    more.compute()
    read.clear()
    assert mosaic.corrected and read == [len(survey.paths)]


def test_cutouts_of_what_is_stored_read_no_image(survey: Survey, tmp_path: Path) -> None:
    """With the chunks in the store the images may be gone; without, they are missed."""
    images = dm.scan(survey.folder)
    dm.mosaic(images, survey.grid, tmp_path / "run.zarr", background="none").write(tmp_path / "m.fits")
    expected = fits.getdata(tmp_path / "m.fits")
    again = dm.mosaic(images, survey.grid, tmp_path / "run.zarr", background="none")
    missed = dm.mosaic(images, survey.grid, tmp_path / "other.zarr", background="none", strict=True)
    for path in survey.paths:
        path.unlink()
    np.testing.assert_array_equal(again.compute().data, expected)
    assert not again._receipts
    with pytest.raises(InputError, match="image0"):
        missed.compute()


def test_files_are_those_that_were_written_and_have_not_changed(survey: Survey, tmp_path: Path) -> None:
    mosaic = dm.mosaic(survey.folder, survey.grid, background="none")
    mosaic.write(tmp_path / "m.fits")
    ((path, window),) = mosaic.files
    assert path == tmp_path / "m.fits" and window == mosaic.grid.window
    path.write_bytes(path.read_bytes()[:-2880])
    assert not mosaic.files
    mosaic.write(tmp_path / "m.fits", tiles=192)
    assert {part.path.name for part in mosaic.files} == {f"m_{y}_{x}.fits" for y in range(2) for x in range(2)}
    assert sum(part.window.size for part in mosaic.files) == mosaic.grid.window.size
    (tmp_path / "m_1_0.fits").unlink()
    assert len(mosaic.files) == 3


def test_threads_take_turns(survey: Survey, tmp_path: Path) -> None:
    """The lock of a store keeps other drivers out, not the threads of one: a picture is made while a user works."""
    mosaic = dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr", background="none")
    got: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: got.append(mosaic.compute().data)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(got) == 3
    for values in got[1:]:
        np.testing.assert_array_equal(values, got[0])


def test_watchers_hear_of_their_own_threads_stages(survey: Survey, tmp_path: Path) -> None:
    """Who watches one thread does not silence the other, and is gone in the end, whoever ends first."""
    told: list[tuple[str, int]] = []
    watched: list[str] = []
    mosaic = dm.mosaic(
        survey.folder, survey.grid, tmp_path / "run.zarr", progress=lambda stage, *_: told.append((stage, 0))
    )
    inside, go_on = threading.Event(), threading.Event()

    def other() -> None:
        with mosaic.watched(lambda stage, *_: watched.append(stage)):
            inside.set()
            assert go_on.wait(60)

    thread = threading.Thread(target=other)
    with mosaic.watched(lambda *_: None):
        thread.start()
        assert inside.wait(60)
    mosaic.compute()
    go_on.set()
    thread.join(60)
    assert told and not watched and not mosaic._watches


def test_closing_waits_for_what_other_threads_compute(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is taken away meanwhile was an error there, or came back as a folder that nobody takes away."""
    began, go_on = threading.Event(), threading.Event()

    def slow(stage: str, *_: int) -> None:
        if stage == "cutout":
            began.set()
            go_on.wait(60)

    expected = dm.mosaic(survey.folder, survey.grid, background="none").compute().data
    mosaic = dm.mosaic(survey.folder, survey.grid, background="none", progress=slow)
    got: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: got.append(mosaic.compute().data))
    thread.start()
    assert began.wait(60) and mosaic._temporary is not None
    folder = Path(mosaic._temporary.name)
    closing = threading.Thread(target=mosaic.close)
    closing.start()
    closing.join(0.2)
    assert folder.exists()
    go_on.set()
    for each in (thread, closing):
        each.join(60)
    np.testing.assert_array_equal(got[0], expected)
    assert not folder.exists() and mosaic._store is None


@pytest.mark.parametrize("how", ["lost", "changed"])
def test_a_damaged_chunk_is_made_anew_for_a_cutout(survey: Survey, tmp_path: Path, how: str) -> None:
    mosaic = dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr", background="none")
    mosaic.write(tmp_path / "m.fits")
    chunk = tmp_path / "run.zarr" / "mosaic" / "area" / "c.2.2"
    if how == "lost":
        chunk.unlink()
    else:
        chunk.write_bytes(chunk.read_bytes()[::-1])
    with pytest.raises(InputError, match="makes it anew"):
        mosaic.stored(mosaic.grid.window, "area")
    mosaic.write(tmp_path / "m.fits")
    chunk.unlink()
    expected = dm.mosaic(survey.folder, survey.grid, background="none").compute()
    pixels = mosaic.compute()
    np.testing.assert_array_equal(pixels.data, expected.data)
    np.testing.assert_array_equal(pixels.area, expected.area)


def test_a_mosaic_is_still_pickled(survey: Survey) -> None:
    mosaic = dm.mosaic(survey.folder, survey.grid, background="none")
    again = pickle.loads(pickle.dumps(mosaic))
    np.testing.assert_array_equal(again.compute().data, mosaic.compute().data)


def test_a_mosaic_that_was_used_is_pickled_without_its_store(survey: Survey, tmp_path: Path) -> None:
    """A temporary one is of this value alone; a named one is opened again."""
    for store in (None, tmp_path / "run.zarr"):
        mosaic = dm.mosaic(survey.folder, survey.grid, store)
        expected = mosaic.compute()
        again = pickle.loads(pickle.dumps(mosaic))
        np.testing.assert_array_equal(again.compute().data, expected.data)
        again.close()
        np.testing.assert_array_equal(mosaic.compute().data, expected.data)


def test_a_layer_that_a_mosaic_does_not_have_is_refused(survey: Survey, tmp_path: Path) -> None:
    """Whether its store is there yet or not."""
    mosaic = dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr", background="none")
    for _ in range(2):
        for ask in (lambda: mosaic.stored(Window(0, 5, 0, 5), "depth"), lambda: mosaic.depth):
            with pytest.raises(InputError, match="has no depth: ask for it by also='depth'"):
                ask()
        mosaic.write(tmp_path / "m.fits")
