"""The store: what is written comes back, what is damaged is told and made anew, and only the same run is taken up."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from dmontage.errors import InputError
from dmontage.store import FORMAT, DamagedError, InUseError, Mark, Store
from dmontage.store.files import Files
from dmontage.window import Window

WINDOWS = (Window(0, 30, 0, 40), Window(10, 25, 30, 80), Window(50, 60, 5, 6))
MARK = "ab" * 32
WHOLE = Window(0, 100, 0, 120)


def tables(windows: tuple[Window, ...] = WINDOWS) -> list[dict[str, Any]]:
    return [
        {"path": f"image{i}.fits", "window": [w.y0, w.y1, w.x0, w.x1], "nominal": 0.5 + i, "digest": str(w), "é": i}
        for i, w in enumerate(windows)
    ]


def create(path: Path, digest: str = "one", windows: tuple[Window, ...] = WINDOWS, *more: str) -> Store:
    run = {"digest": digest, "shape": [100, 120], "sums": ["flux", "area", *more]}
    return Store.create(path, run, tables(windows))[0]


def draw(w: Window, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    flux, area = np.random.default_rng(seed).normal(size=(2, *w.shape)).astype(np.float32)
    return flux, area


def by_zarr(path: Path, name: str) -> NDArray[Any]:
    """An array as zarr reads it."""
    return np.asarray(zarr.open_group(str(path), mode="r")[name][:])  # type: ignore[index]


def test_rows_come_back(tmp_path: Path) -> None:
    """Whole and in part, opened anew, and by zarr itself; the numbers are rounded to float32 and no further."""
    create(tmp_path / "run.zarr")
    for i, w in enumerate(WINDOWS):
        flux, area = draw(w, i)
        Store.open(tmp_path / "run.zarr").projected.write(i, (flux.astype(float), area.astype(float)), MARK)
    store = Store.open(tmp_path / "run.zarr")
    assert store.rows.windows() == list(WINDOWS)
    for i, w in enumerate(WINDOWS):
        for name, found, wanted in zip(("flux", "area"), store.projected.read(i, w, w), draw(w, i), strict=True):
            np.testing.assert_array_equal(found, wanted)
            whole = by_zarr(tmp_path / "run.zarr", f"projected/{name}")[i]
            np.testing.assert_array_equal(whole[: w.shape[0], : w.shape[1]], wanted)
    part = Window(12, 20, 31, 50)
    flux, _ = store.projected.read(1, WINDOWS[1], part)
    np.testing.assert_array_equal(flux, draw(WINDOWS[1], 1)[0][part.relative_to(WINDOWS[1]).slices])


def test_a_row_larger_than_a_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dmontage.store.projected._WHOLE", 20)
    monkeypatch.setattr("dmontage.store.projected._LATTICE", 16)
    store = create(tmp_path / "run.zarr")
    flux, area = draw(WINDOWS[0])
    store.projected.write(0, (flux, area), MARK)
    assert len(list((tmp_path / "run.zarr/projected/flux").glob("c.0.*"))) == 6
    np.testing.assert_array_equal(store.projected.read(0, WINDOWS[0], WINDOWS[0])[0], flux)
    part = Window(3, 29, 7, 33)
    np.testing.assert_array_equal(store.projected.read(0, WINDOWS[0], part)[0], flux[part.slices])
    np.testing.assert_array_equal(by_zarr(tmp_path / "run.zarr", "projected/flux")[0, :30, :40], flux)


def test_rows_in_memory_are_those_of_the_store(tmp_path: Path) -> None:
    """They are shared with the tasks of this process, up to the room that there is, and nobody changes them."""
    store = create(tmp_path / "run.zarr")
    store.projected.cache.room = 2 * 30 * 50 * 4 + 100
    for i, w in enumerate(WINDOWS):
        Store.open(tmp_path / "run.zarr").projected.write(i, draw(w, i), MARK)
    for chunk in (tmp_path / "run.zarr/projected/flux").glob("c.*"):
        chunk.unlink()
    flux, area = Store.open(tmp_path / "run.zarr").projected.read(0, WINDOWS[0], WINDOWS[0])
    np.testing.assert_array_equal(flux, draw(WINDOWS[0])[0])
    np.testing.assert_array_equal(area, draw(WINDOWS[0])[1])
    with pytest.raises(ValueError, match="read-only"):
        flux[0, 0] = 1.0
    with pytest.raises(DamagedError, match="row 1"):
        store.projected.read(1, WINDOWS[1], WINDOWS[1])
    del store, flux, area
    with pytest.raises(DamagedError, match="row 0"):
        Store.open(tmp_path / "run.zarr").projected.read(0, WINDOWS[0], WINDOWS[0])


def test_images_come_and_go(tmp_path: Path) -> None:
    """A row keeps its number and its pixels; a larger one finds room; a file that moved is told anew."""
    path = tmp_path / "run.zarr"
    create(path).projected.write(1, draw(WINDOWS[1]), MARK)
    larger = Window(0, 90, 10, 110)
    wanted = tables((WINDOWS[1], larger, WINDOWS[2]))
    store, numbers = Store.create(path, {"digest": "one"}, wanted)
    assert numbers == (1, 3, 2)
    store.projected.write(3, draw(larger, 3), MARK)
    for row, window, seed in ((1, WINDOWS[1], 0), (3, larger, 3)):
        np.testing.assert_array_equal(store.projected.read(row, window, window)[0], draw(window, seed)[0])
    assert [table["path"] for table in store.rows.tables((1, 3, 2))] == ["image0.fits", "image1.fits", "image2.fits"]
    assert store.rows.windows() == [*WINDOWS, larger]
    assert [p.name for p in (path / "rows").iterdir()] == ["1"]
    assert Store.create(path, {"digest": "one"}, wanted)[1] == numbers
    assert [p.name for p in (path / "rows").iterdir()] == ["1"], "nothing new, nothing written"
    twins = tables((WINDOWS[0], WINDOWS[0]))
    assert Store.create(path, {"digest": "one"}, twins)[1] == (0, 4)
    assert Store.create(path, {"digest": "one"}, twins)[1] == (0, 4)


def test_many_rows(tmp_path: Path) -> None:
    """Over several chunks of the table."""
    windows = tuple(Window(k, k + 2, 0, 3) for k in range(150))
    store = create(tmp_path / "run.zarr", windows=windows)
    assert [row["é"] for row in store.rows.tables((149, 3, 64))] == [149, 3, 64]
    assert store.rows.windows() == list(windows) and len(store.rows) == 150
    np.testing.assert_array_equal(store.rows.nominal(), 0.5 + np.arange(150))


def test_tables_come_back(tmp_path: Path) -> None:
    store = create(tmp_path / "run.zarr")
    assert store.rows.tables([]) == []
    planes = np.random.default_rng(1).normal(size=(2, 5))
    told = {"pairs": 3, "rejected": ["a and b"]}
    assert store.tables.planes_told("plane-x") is None
    store.tables.write_planes("plane-x", np.column_stack([[2.0, 0.0], planes]), told)
    np.testing.assert_array_equal(store.tables.planes("plane-x", 3), [planes[1], np.zeros(5), planes[0]])
    assert store.tables.planes_told("plane-x") == told
    np.testing.assert_array_equal(store.tables.planes("none", 3), np.zeros((3, 5)))
    fits = np.random.default_rng(2).normal(size=(700, 6))
    assert store.tables.fits().shape[0] == 0
    store.tables.append_fits(fits[:0])
    for part in (fits[:3], fits[3:600], fits[600:]):
        store.tables.append_fits(part)
    np.testing.assert_array_equal(Store.open(tmp_path / "run.zarr").tables.fits(), fits)


def test_the_product_comes_back(tmp_path: Path) -> None:
    store = create(tmp_path / "run.zarr")
    store.product.lay_out(("mean", "area"), WHOLE.shape, (64, 64))
    with pytest.raises(DamagedError, match="has lost a chunk of the mosaic"):  # nothing was written yet
        store.product.read("area", WHOLE)
    for k, (_, chunk) in enumerate(WHOLE.blocks((64, 64))):
        assert not store.product.done(chunk, MARK)
        store.product.write(chunk, draw(chunk, k), MARK)
    store.product.lay_out(("mean", "area"), WHOLE.shape, (64, 64))  # the same again: nothing is lost
    for k, (_, chunk) in enumerate(WHOLE.blocks((64, 64))):
        assert store.product.done(chunk, MARK) and not store.product.done(chunk, "cd" * 32)
        np.testing.assert_array_equal(store.product.read("mean", chunk), draw(chunk, k)[0])
        np.testing.assert_array_equal(store.product.read("area", chunk), draw(chunk, k)[1])
    across = Window(50, 90, 30, 119)
    whole = by_zarr(tmp_path / "run.zarr", "mosaic/area")
    np.testing.assert_array_equal(store.product.read("area", across), whole[across.slices])
    store.product.lay_out(("mean", "area", "variance"), WHOLE.shape, (64, 64))
    assert not any(store.product.done(chunk, MARK) for _, chunk in WHOLE.blocks((64, 64)))


def test_a_damaged_chunk_of_the_product_is_made_again(tmp_path: Path) -> None:
    store = create(tmp_path / "run.zarr")
    store.product.lay_out(("mean", "area"), WHOLE.shape, (64, 64))
    (first, *_), chunks = zip(*WHOLE.blocks((64, 64)), strict=True)
    for chunk in chunks:
        store.product.write(chunk, draw(chunk), MARK)
    assert first == (0, 0)
    (tmp_path / "run.zarr/mosaic/mean/c.0.0").write_bytes(b"not what was written")
    with pytest.raises(DamagedError, match="checksum"):
        store.product.read("mean", WHOLE)
    assert [store.product.done(chunk, MARK) for chunk in chunks] == [False, True, True, True]


def test_a_mark_says_what_a_row_was_made_from(tmp_path: Path) -> None:
    store = create(tmp_path / "run.zarr").projected
    assert store.done(0, MARK) is None
    mark = Mark(2**40 + 3, -137, True)
    assert store.exponent(0) == 0
    store.write(0, draw(WINDOWS[0]), MARK, mark)
    assert store.done(0, MARK) == mark and store.exponent(0) == -137
    assert store.done(0, "cd" * 32) is None and store.done(1, MARK) is None
    store.forget(0)
    assert store.done(0, MARK) is None


def test_the_mark_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row or a chunk of which any write fails is not done, and leaves no half of a file."""
    store = create(tmp_path / "run.zarr")
    store.product.lay_out(("mean", "area"), WHOLE.shape, (64, 64))
    chunk, plain = Window(0, 64, 0, 64), Files._write
    for n in range(3):
        written: list[str] = []

        def write(path: str, data: bytes, n: int = n, written: list[str] = written) -> None:
            if len(written) == n:
                plain(path, data[: len(data) // 2])
                raise OSError(28, "No space left on device")
            written.append(path)
            plain(path, data)

        for work in (
            lambda: store.projected.write(0, draw(WINDOWS[0]), MARK),
            lambda: store.product.write(chunk, draw(chunk), MARK),
        ):
            written.clear()
            with monkeypatch.context() as patch:
                patch.setattr(Files, "_write", staticmethod(write))
                with pytest.raises(InputError, match=r"cannot write to the store .*No space left.*same command again"):
                    work()  # type: ignore[no-untyped-call]
        assert store.projected.done(0, MARK) is None and not store.product.done(chunk, MARK)
        assert not list(tmp_path.rglob("*.partial"))


def test_the_same_run_is_taken_up_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    create(path).projected.write(0, draw(WINDOWS[0]), MARK)
    assert create(path).projected.done(0, MARK) == Mark()
    with pytest.raises(InputError, match=r"holds another run: other parameters; choose another --workdir, remove it$"):
        create(path, digest="two")
    with pytest.raises(InputError, match=r"holds another run: another grid, unit"):
        Store.create(path, {"digest": "two", "grid": "x", "unit": "y"}, tables())
    assert create(path).projected.done(0, MARK) == Mark()


@pytest.mark.parametrize("kind", ["folder", "file", "group", "array", "garbage", "format"])
def test_what_is_no_run_is_refused_and_kept(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "there"
    if kind == "file":
        path.write_text("precious")
    elif kind == "group":
        zarr.create_group(str(path), attributes={"precious": 1})
    elif kind == "array":
        zarr.create_array(str(path), shape=(3,), dtype="f4")
    elif kind == "format":
        create(path)
        zarr.open_group(str(path)).attrs.update({"dmontage_format": 99})
    else:
        path.mkdir()
        (path / ("zarr.json" if kind == "garbage" else "notes.txt")).write_text("{precious")
    before = sorted(tmp_path.rglob("*"))
    for attempt in (create, Store.open, Store.remove):
        with pytest.raises(InputError):
            attempt(path)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_store_of_an_older_format_is_told_of_and_can_be_removed(tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    create(path)
    assert Store.digest_at(path) == "one"
    zarr.open_group(str(path)).attrs.update({"dmontage_format": FORMAT - 1})
    assert Store.digest_at(path) is None
    with pytest.raises(InputError, match=f"store format {FORMAT - 1}.*remove it, or choose another --workdir"):
        create(path)
    Store.remove(path)
    assert not list(tmp_path.iterdir())


def test_a_store_in_use_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    store = create(path)
    with store.locked():
        before = sorted(path.rglob("*"))
        with pytest.raises(InUseError, match="in use by another run"):
            Store.remove(path)
        with pytest.raises(InUseError, match="in use by another run"):
            create(path)
        assert sorted(path.rglob("*")) == before
    Store.remove(path)
    with pytest.raises(InUseError, match="was removed by another run"), store.locked():
        pass


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "run.zarr").mkdir()
    create(tmp_path / "run.zarr").projected.write(0, draw(WINDOWS[0]), MARK)
    assert [p.name for p in tmp_path.iterdir()] == ["run.zarr"]
    Store.remove(tmp_path / "run.zarr")
    assert not list(tmp_path.iterdir())


def test_a_layout_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the same command can be given again, whenever the first one was stopped."""

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(zarr, "create_array", fail)
        with pytest.raises(InputError, match="disk full"):
            create(tmp_path / "run.zarr")
    assert not list(tmp_path.iterdir())
    create(tmp_path / "run.zarr")


def test_a_store_where_none_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot write the store"):
        create(tmp_path / "file" / "run.zarr")


@pytest.mark.parametrize("more", [(), ("weight",), ("variance",), ("weight", "variance")])
def test_weights_and_variances_are_there_where_a_run_has_them(tmp_path: Path, more: tuple[str, ...]) -> None:
    """And nothing of them where it has not; a lost chunk of any is an error, and the row is made again."""
    store = create(tmp_path / "run.zarr", "one", WINDOWS, *more).projected
    assert store.names == ("flux", "area", *more)
    on_disk = {path.name for path in (tmp_path / "run.zarr/projected").iterdir() if path.is_dir()}
    assert on_disk == {*store.names, "mark"}
    given = np.random.default_rng(4).normal(size=(len(store.names), *WINDOWS[0].shape)).astype(np.float32)
    with pytest.raises(ValueError, match="argument"):
        store.write(0, list(given[:-1]), MARK)
    store.write(0, list(given), MARK)
    np.testing.assert_array_equal(store.read(0, WINDOWS[0], WINDOWS[0], store.names), given)
    np.testing.assert_array_equal(store.read(0, WINDOWS[0], WINDOWS[0]), given[:2])
    assert not np.any(store.read(1, WINDOWS[1], WINDOWS[1], store.names))
    (tmp_path / f"run.zarr/projected/{store.names[-1]}/c.0.0.0").unlink()
    with pytest.raises(DamagedError, match=r"row 0 .* a chunk is missing"):
        store.read(0, WINDOWS[0], WINDOWS[0], store.names)
    assert store.done(0, MARK) is None


@pytest.mark.parametrize("name", ["flux", "area"])
@pytest.mark.parametrize("place", [0.0, 0.3, 0.7, 1.0])
def test_a_flipped_bit_is_an_error(tmp_path: Path, name: str, place: float) -> None:
    """Anywhere in the chunk: its checksum tells, to zarr as well."""
    store = create(tmp_path / "run.zarr").projected
    store.write(0, draw(WINDOWS[0]), MARK)
    chunk = tmp_path / f"run.zarr/projected/{name}/c.0.0.0"
    data = bytearray(chunk.read_bytes())
    data[round(place * (len(data) - 1))] ^= 1
    chunk.write_bytes(data)
    with pytest.raises(DamagedError, match=r"row 0 .* is damaged"):
        store.read(0, WINDOWS[0], WINDOWS[0])
    assert store.done(0, MARK) is None
    with pytest.raises(ValueError, match="checksum"):
        by_zarr(tmp_path / "run.zarr", f"projected/{name}")


@pytest.mark.parametrize("lattice", [4096, 16])
def test_a_row_can_be_written_over_a_damaged_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lattice: int
) -> None:
    """A machine that went down while it wrote may leave half a chunk and no mark; the next run writes it anew."""
    monkeypatch.setattr("dmontage.store.projected._WHOLE", lattice)
    monkeypatch.setattr("dmontage.store.projected._LATTICE", lattice)
    store = create(tmp_path / "run.zarr").projected
    for row in (0, 1):
        store.write(row, draw(WINDOWS[row]), MARK)
        for chunk in (tmp_path / "run.zarr/projected/flux").glob(f"c.{row}.*"):
            chunk.write_bytes(chunk.read_bytes()[:77])
        store.write(row, draw(WINDOWS[row]), MARK)
        np.testing.assert_array_equal(store.read(row, WINDOWS[row], WINDOWS[row])[0], draw(WINDOWS[row])[0])


@pytest.mark.parametrize("damage", ["lost", "flipped"])
def test_damaged_tables_are_errors(tmp_path: Path, damage: str) -> None:
    """Fits and corrections that were lost or changed are no zeros and no numbers, and are made anew the next time."""
    store = create(tmp_path / "run.zarr").tables
    store.append_fits(np.ones((4, 6)))
    store.write_planes("plane", np.ones((2, 6)), {})
    for name in ("pairs/fits", "corrections/plane"):
        (chunk,) = (tmp_path / "run.zarr" / name).glob("c.*")
        if damage == "lost":
            chunk.unlink()
        else:
            data = bytearray(chunk.read_bytes())
            data[len(data) // 2] ^= 1
            chunk.write_bytes(data)
        with pytest.raises(DamagedError, match=rf"{name}.*the same command again makes it anew"):
            store.fits() if name == "pairs/fits" else store.planes("plane", 3)
    assert store.fits().size == 0 and store.planes_told("plane") is None


def test_what_killed_runs_left_is_swept(tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    create(path)
    (path / "projected/flux/c.0.0.0.123-456.partial").write_bytes(b"half")
    create(path)
    assert not list(path.rglob("*.partial"))


def test_who_asks_for_a_lock_writes_nothing(tmp_path: Path) -> None:
    """So that a run on a disk that may only be read tells how far it is."""
    path = tmp_path / "run.zarr"
    store = create(path)
    (path / "driver.lock").unlink()
    told = [store.in_use]
    assert not (path / "driver.lock").exists()
    with store.locked():
        told.append(store.in_use)
    assert [*told, store.in_use] == [False, True, False]


def test_bytes_are_counted_while_a_driver_is_at_work(tmp_path: Path) -> None:
    """Files and folders go between being found and being looked at: once in 500 times here."""
    files, done, usual = Files(tmp_path), threading.Event(), sys.getswitchinterval()
    files.put("kept", bytes(1000))

    def work() -> None:
        while not done.is_set():
            for k in range(5):
                files.put(f"row/c.{k}", bytes(10))
            files.remove_folder("row")

    driver = threading.Thread(target=work)
    driver.start()
    sys.setswitchinterval(1e-5)
    try:
        assert all(1000 <= files.n_bytes() <= 1060 for _ in range(2000))
    finally:
        sys.setswitchinterval(usual)
        done.set()
        driver.join()
