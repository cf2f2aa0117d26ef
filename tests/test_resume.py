"""Runs that end before their end: killed, out of room, out of luck. The same call again gives the same bits (C24)."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from surveys import Survey, make_survey

import dmontage as dm
from dmontage.errors import InputError, UnreachableError
from dmontage.fits_files import FitsWriter
from dmontage.fits_files import writer as fits_writer
from dmontage.model import ImageRef
from dmontage.store import Store
from dmontage.store.files import Files


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    return make_survey(tmp_path_factory.mktemp("resume") / "raw", layout=(2, 2))


@pytest.fixture(autouse=True)
def _small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several chunks, and one unit of work in each task."""
    monkeypatch.setattr("dmontage.planner.memory.CHUNKS", (128,))
    monkeypatch.setattr("dmontage.planner.batching._TASK_PIXELS", 1)


def run(survey: Survey, folder: Path, **options: Any) -> dm.Mosaic:
    return dm.mosaic(survey.folder, survey.grid, folder / "run.zarr", **options).write(folder / "m.fits")


def products(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in ("m.fits", "m_area.fits")]


@pytest.fixture(scope="module")
def reference(survey: Survey, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("reference")
    dm.mosaic(survey.folder, survey.grid).write(folder / "m.fits")
    return products(folder)


class Writes:
    """Counts what goes to the store and to the products, and does something at the Nth write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.n = 0
        self.names: list[str] = []
        self.at: int | None = None
        self.action: Callable[[], None] = lambda: None
        put, write, replace = Files.put, fits_writer._write_at, FitsWriter._finish

        def spy_put(files: Files, key: str, data: bytes) -> None:
            self._count(key)
            put(files, key, data)

        def spy_write(file: int, data: memoryview, offset: int) -> None:
            if not offset or (offset - 2880) % (64 * 4 * 320) == 0:  # a row of pixels now and then
                self._count("pixels" if offset else "header")
            write(file, data, offset)

        def spy_finish(writer: FitsWriter) -> None:
            self._count(f"finish {writer.path.name}")
            replace(writer)

        monkeypatch.setattr(Files, "put", spy_put)
        monkeypatch.setattr(fits_writer, "_write_at", spy_write)
        monkeypatch.setattr(FitsWriter, "_finish", spy_finish)

    def _count(self, name: str) -> None:
        self.n += 1
        self.names.append(name)
        if self.n == self.at:
            self.action()

    def start(self, at: int | None = None, action: Callable[[], None] = lambda: None) -> None:
        """Count from 0."""
        self.n, self.names, self.at, self.action = 0, [], at, action

    def of(self, start: str) -> int:
        """Writes of one kind."""
        return sum(name.startswith(start) for name in self.names)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Writes:
    return Writes(monkeypatch)


def in_child(work: Callable[[], Any]) -> int:
    """Run something in a fork of this process, on threads of its own; gives how it ended, as `os.waitpid` does."""
    child = os.fork()
    if child == 0:
        try:
            with dask.config.set(pool=ThreadPoolExecutor(2)):
                work()
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1]


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("moment", range(20))
def test_a_killed_run_is_taken_up(
    survey: Survey, reference: list[bytes], tmp_path: Path, writes: Writes, moment: int
) -> None:
    """SIGKILL at one of twenty writes, from the first of the layout to the last of the products."""
    (tmp_path / "whole").mkdir()
    run(survey, tmp_path / "whole")
    names = writes.names
    chosen = np.linspace(1, len(names), 20).round().astype(int)[moment]
    writes.start(int(chosen), kill)
    assert in_child(lambda: run(survey, tmp_path)) == signal.SIGKILL, names[chosen - 1]
    assert not (tmp_path / "m.fits").exists() or moment == 19
    rows = chunks = 0
    if (tmp_path / "run.zarr").exists():
        found = dm.status(tmp_path / "run.zarr")
        rows, chunks = found.projected, found.made
        str(found)
    writes.start()
    again = run(survey, tmp_path)
    assert products(tmp_path) == reference
    assert again.summary.reused == rows and again.summary.chunks_reused == chunks
    assert writes.of("projected/mark/c") == 4 - rows and writes.of("mosaic/mark/c") == 10 - chunks
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("first", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_whose_nth_write_fails(tmp_path: Path, writes: Writes, first: int) -> None:
    """For every N, half of them at a time: the error is the disk's, no half of a product is there, and what was done is
    not done again."""
    small = make_survey(tmp_path / "raw", layout=(1, 2))

    def fail() -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "whole").mkdir()
    run(small, tmp_path / "whole")
    total = writes.n
    assert total > 40
    for n in range(first, total + 1, 2):
        folder = tmp_path / str(n)
        folder.mkdir()
        writes.start(n, fail)
        with dask.config.set(scheduler="synchronous"), pytest.raises((InputError, OSError), match="No space left"):
            run(small, folder)
        assert not (folder / "m.fits").exists() or writes.names[n - 1] == "finish m.fits"
        done = dm.status(folder / "run.zarr") if (folder / "run.zarr").exists() else None
        again = run(small, folder)
        assert products(folder) == products(tmp_path / "whole")
        assert again.summary.reused == (done.projected if done else 0)
        assert again.summary.chunks_reused == (done.made if done else 0)


def test_changes_redo_what_they_touch(survey: Survey, tmp_path: Path, writes: Writes) -> None:
    """Another background, another way to combine, an image less, an image more: counted by what is written."""

    def counted(files: Any, **options: Any) -> tuple[int, int, int]:
        writes.start()
        made = dm.mosaic(files, survey.grid, tmp_path / "run.zarr", **options).write(tmp_path / "m.fits")
        fresh = tmp_path / "fresh.fits"
        store_writes = writes.of("projected/mark/c"), writes.of("pairs/fits/c"), writes.of("mosaic/mark/c")
        dm.mosaic(files, survey.grid, **options).write(fresh)
        assert fresh.read_bytes() == (tmp_path / "m.fits").read_bytes(), "resumed and fresh: the same bits"
        assert made.summary.images == len(made.plan.images)
        return store_writes

    files = [str(path) for path in survey.paths]
    rows, fits, chunks = counted(files)
    assert (rows, chunks) == (4, 10) and fits > 0
    covered = sum(bool(reached) for _, reached in dm.plan(files, survey.grid).chunks)
    assert counted(files) == (0, 0, 0)
    assert counted(files, background="level") == (0, 0, covered)
    assert counted(files, background="none") == (0, 0, covered)
    assert counted(files, background="none", combine="median")[:2] == (0, 0)
    fewer = counted(files[:3], background="none", combine="median")
    assert fewer[:2] == (0, 0) and 0 < fewer[2] < covered, "only the chunks under the image that went"
    assert counted(files, background="none", combine="median") == (0, 0, fewer[2])
    assert counted(files[1:], background="plane")[:2] == (0, 0)
    assert dm.status(tmp_path / "run.zarr").others == 1


@pytest.mark.parametrize("change", ["gone", "other"])
def test_an_input_that_changes_during_the_run(survey: Survey, tmp_path: Path, change: str) -> None:
    """The run stops and says which; the next one goes on with what is there then."""
    mine = make_survey(tmp_path / "raw", layout=(2, 2))
    image = mine.paths[3]
    kept = image.read_bytes()

    def tamper(stage: str, done: int, total: int) -> None:
        if (stage, done) == ("project", 0):
            image.unlink() if change == "gone" else os.utime(image, ns=(0, 0))

    with (
        dask.config.set(scheduler="synchronous"),
        pytest.raises(InputError, match=rf"{image.name}: .* (any more|scan)"),
    ):
        run(mine, tmp_path, progress=tamper)
    assert not (tmp_path / "m.fits").exists()
    done = dm.status(tmp_path / "run.zarr").projected
    image.write_bytes(kept)
    again = run(mine, tmp_path)
    assert again.summary.reused == done and not again.summary.skipped
    (tmp_path / "fresh").mkdir()
    run(mine, tmp_path / "fresh")
    assert products(tmp_path) == products(tmp_path / "fresh")


def test_a_corrupted_chunk_of_the_mosaic(survey: Survey, reference: list[bytes], tmp_path: Path) -> None:
    """Told of, and made again by the next run; `verify` finds a changed value whose checksum is right."""
    run(survey, tmp_path)
    chunk = tmp_path / "run.zarr/mosaic/mean/c.1.1"
    data = bytearray(chunk.read_bytes())
    data[100] ^= 1
    chunk.write_bytes(data)
    with pytest.raises(InputError, match="checksum is wrong; the same command again makes it anew"):
        run(survey, tmp_path)
    assert products(tmp_path) == reference
    again = run(survey, tmp_path)
    assert products(tmp_path) == reference and again.summary.chunks_reused == 9
    assert not dm.pipeline.verify(tmp_path / "run.zarr", sample=0).wrong
    del again  # and with it the rows that it has in memory
    store = Store.open(tmp_path / "run.zarr")
    for row, window in enumerate(store.rows.windows()):
        flux, area = (a.copy() for a in store.projected.read(row, window, window))
        flux[40, 50] += np.float32(1e-3) * (row == 2)
        store.projected.write(row, (flux, area), store.rows.tables((row,))[0]["digest"])
    found = dm.pipeline.verify(tmp_path / "run.zarr", sample=0)
    assert len(found.wrong) == 1 and "image02.fits: its projected flux would be other now" in str(found)


def test_a_place_out_of_reach_is_no_wrong_chunk(
    survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(survey, tmp_path)

    def fails(ref: ImageRef) -> Any:
        raise UnreachableError(f"{ref.path} cannot be reached")

    monkeypatch.setattr("dmontage.graph.rows.read", fails)
    with pytest.raises(UnreachableError, match="cannot be reached"):
        dm.pipeline.verify(tmp_path / "run.zarr", sample=1)


@pytest.mark.parametrize(
    ("options", "name"), [({"sample": -1}, "sample -1"), ({"sample": 2.5}, "sample 2.5"), ({"seed": -3}, "seed -3")]
)
def test_a_sample_that_is_none_is_refused(tmp_path: Path, options: dict[str, Any], name: str) -> None:
    """Before anything is looked at."""
    with pytest.raises(InputError, match=f"{name} must be a whole number from 0"):
        dm.verify(tmp_path / "m.fits", **options)


def test_a_changed_product_is_found(survey: Survey, tmp_path: Path) -> None:
    run(survey, tmp_path)
    for name in ("m.fits", "m_area.fits"):
        assert not dm.pipeline.verify(tmp_path / name).wrong
        data = bytearray((tmp_path / name).read_bytes())
        data[-4000] ^= 1
        (tmp_path / name).write_bytes(data)
        assert "its header says" in str(dm.pipeline.verify(tmp_path / name))
    for path in (survey.paths[0], tmp_path / "nothing.fits"):
        with pytest.raises(InputError):
            dm.pipeline.verify(path)


# --- a disk of two megabytes --------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own; skipped where one cannot be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk(survey: Survey, reference: list[bytes], disk: Path, tmp_path: Path) -> None:
    """The error says so; with more room the same command goes on."""
    mosaic = dm.mosaic(survey.folder, survey.grid, disk / "run.zarr")
    with pytest.raises(InputError, match="No space left on device"):
        mosaic.write(tmp_path / "m.fits")
    del mosaic
    assert not list(tmp_path.glob("*.fits"))
    subprocess.run(["mount", "-o", "remount,size=40m", disk], check=True)
    done = dm.status(disk / "run.zarr").projected
    again = dm.mosaic(survey.folder, survey.grid, disk / "run.zarr").write(tmp_path / "m.fits")
    assert again.summary.reused == done and products(tmp_path) == reference


def test_a_full_disk_for_the_product(survey: Survey, disk: Path, tmp_path: Path) -> None:
    """Known before a pixel is coadded, since the file's room is reserved."""
    with pytest.raises(InputError, match=r"cannot write .*m.fits: No space left on device"):
        dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr").write(disk / "m.fits")
    assert not list(disk.iterdir())


def test_a_read_only_store(survey: Survey, disk: Path, tmp_path: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=40m", disk], check=True)
    dm.mosaic(survey.folder, survey.grid, disk / "run.zarr").write(tmp_path / "m.fits")
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises(InputError, match=r"cannot write .*Read-only file system"):
        dm.mosaic(survey.folder, survey.grid, disk / "run.zarr", combine="count").write(tmp_path / "m.fits")
