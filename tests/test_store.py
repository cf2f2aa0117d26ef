"""The store: what is written comes back, what is damaged is told, and only the same run is taken up again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dmontage.errors import InputError
from dmontage.store import FORMAT, InUseError, Mark, Store
from dmontage.window import Window

WINDOWS = (Window(0, 30, 0, 40), Window(10, 25, 30, 80), Window(50, 60, 5, 6))
MARK = "ab" * 32


def create(path: Path, digest: str = "one", windows: tuple[Window, ...] = WINDOWS, **layers: bool) -> Store:
    rows = [
        {"path": f"image{i}.fits", "window": [w.y0, w.y1, w.x0, w.x1], "nominal": 0.5 + i, "é": i}
        for i, w in enumerate(windows)
    ]
    return Store.create(path, {"digest": digest, "shape": [100, 120]}, rows, (100, 120), 64, **layers)


def draw(w: Window, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    flux, area = np.random.default_rng(seed).normal(size=(2, *w.shape)).astype(np.float32)
    return flux, area


def test_rows_come_back(tmp_path: Path) -> None:
    """Whole and in part, through a store opened anew; the numbers are rounded to float32 and no further."""
    create(tmp_path / "run.zarr")
    for i, w in enumerate(WINDOWS):
        flux, area = draw(w, i)
        Store.open(tmp_path / "run.zarr").write_row(i, (flux.astype(float), area.astype(float)), MARK)
    store = Store.open(tmp_path / "run.zarr")
    assert store.windows() == list(WINDOWS)
    for i, w in enumerate(WINDOWS):
        for found, wanted in zip(store.read_row(i, w, w), draw(w, i), strict=True):
            np.testing.assert_array_equal(found, wanted)
    part = Window(12, 20, 31, 50)
    flux, _ = store.read_row(1, WINDOWS[1], part)
    np.testing.assert_array_equal(flux, draw(WINDOWS[1], 1)[0][part.relative_to(WINDOWS[1]).slices])


def test_a_row_larger_than_a_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dmontage.store._WHOLE", 20)
    monkeypatch.setattr("dmontage.store._LATTICE", 16)
    store = create(tmp_path / "run.zarr")
    flux, area = draw(WINDOWS[0])
    store.write_row(0, (flux, area), MARK)
    assert len(list((tmp_path / "run.zarr/projected/flux/c/0").rglob("*/*"))) == 6
    np.testing.assert_array_equal(store.read_row(0, WINDOWS[0], WINDOWS[0])[0], flux)


def test_tables_planes_and_mosaic_come_back(tmp_path: Path) -> None:
    store = create(tmp_path / "run.zarr")
    assert [row["é"] for row in store.table([0, 1, 2])] == [0, 1, 2]
    assert [row["path"] for row in store.table([2])] == ["image2.fits"]
    assert store.table([]) == []
    planes = np.random.default_rng(1).normal(size=(3, 5))
    store.write_planes("plane", planes)
    np.testing.assert_array_equal(store.planes("plane"), planes)
    store.write_planes("level", -planes)  # a run with another background on the same rows has its own
    np.testing.assert_array_equal(store.planes("plane"), planes)
    np.testing.assert_array_equal(store.planes("none"), np.zeros((3, 5)))
    store.write_planes("plane", 2 * planes)
    np.testing.assert_array_equal(store.planes("plane"), 2 * planes)
    whole = Window(0, 100, 0, 120)
    with pytest.raises(InputError, match="has lost a chunk of the mosaic"):  # nothing was written yet
        store.read_mosaic("area", whole)
    for k, (_, chunk) in enumerate(whole.blocks((64, 64))):
        store.write_mosaic(chunk, draw(chunk, k))
    for k, (_, chunk) in enumerate(whole.blocks((64, 64))):
        np.testing.assert_array_equal(store.read_mosaic("mean", chunk), draw(chunk, k)[0])
        np.testing.assert_array_equal(store.read_mosaic("area", chunk), draw(chunk, k)[1])


def test_a_mark_says_what_a_row_was_made_from(tmp_path: Path) -> None:
    store = create(tmp_path / "run.zarr")
    assert store.done(0, MARK) is None
    mark = Mark(2**40 + 3, -137, True)
    assert store.exponent(0) == 0
    store.write_row(0, draw(WINDOWS[0]), MARK, mark)
    assert store.done(0, MARK) == mark and store.exponent(0) == -137
    assert store.done(0, "cd" * 32) is None and store.done(1, MARK) is None


def test_the_mark_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row whose second array fails is not done."""
    store = create(tmp_path / "run.zarr")
    order: list[str] = []
    plain = Store._array

    def spy(self: Store, name: str) -> Any:
        order.append(name)
        if len(order) == 2:
            raise OSError("disk full")
        return plain(self, name)

    monkeypatch.setattr(Store, "_array", spy)
    with pytest.raises(OSError, match="disk full"):
        store.write_row(0, draw(WINDOWS[0]), MARK)
    monkeypatch.undo()
    assert order == ["projected/flux", "projected/area"]
    assert store.done(0, MARK) is None


def test_the_same_run_is_taken_up_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    create(path).write_row(0, draw(WINDOWS[0]), MARK)
    assert create(path).done(0, MARK) == Mark()
    with pytest.raises(InputError, match="holds another run"):
        create(path, digest="two")
    assert create(path).done(0, MARK) == Mark()


@pytest.mark.parametrize("kind", ["folder", "file", "group", "array", "garbage", "format"])
def test_what_is_no_run_is_refused_and_kept(tmp_path: Path, kind: str) -> None:
    import zarr

    path = tmp_path / "there"
    if kind == "file":
        path.write_text("precious")
    elif kind == "group":
        zarr.create_group(str(path), attributes={"precious": 1})
    elif kind == "array":
        zarr.create_array(str(path), shape=(3,), dtype="f4")
    elif kind == "format":
        create(path)._group.attrs.update({"dmontage_format": 99})
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
    store = create(path)
    assert Store.digest_at(path) == "one"
    store._group.attrs.update({"dmontage_format": FORMAT - 1})
    assert Store.digest_at(path) is None
    with pytest.raises(InputError, match=f"store format {FORMAT - 1}.*remove it, or choose another --workdir"):
        create(path)
    Store.remove(path)
    assert not list(tmp_path.iterdir())


def test_a_store_in_use_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    store = create(path)
    with store.locked(path):
        before = sorted(path.rglob("*"))
        with pytest.raises(InUseError, match="in use by another run"):
            Store.remove(path)
        assert sorted(path.rglob("*")) == before
    Store.remove(path)
    with pytest.raises(InUseError, match="was removed by another run"), store.locked(path):
        pass


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "run.zarr").mkdir()
    create(tmp_path / "run.zarr").write_row(0, draw(WINDOWS[0]), MARK)
    assert [p.name for p in tmp_path.iterdir()] == ["run.zarr"]
    Store.remove(tmp_path / "run.zarr")
    assert not list(tmp_path.iterdir())


def test_a_layout_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the same command can be given again, whenever the first one was stopped."""
    import dmontage.store

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise OSError("disk full")

    monkeypatch.setattr(dmontage.store, "_array", fail)
    with pytest.raises(InputError, match="disk full"):
        create(tmp_path / "run.zarr")
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    create(tmp_path / "run.zarr")


def test_a_store_where_none_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot write the store"):
        create(tmp_path / "file" / "run.zarr")


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("variance", [True, False])
def test_weights_and_variances_are_there_where_a_run_has_them(tmp_path: Path, weighted: bool, variance: bool) -> None:
    """And nothing of them where it has not; a lost chunk of any is an error."""
    store = create(tmp_path / "run.zarr", weighted=weighted, variance=variance)
    assert store.sums == ("flux", "area", *["weight"] * weighted, *["variance"] * variance)
    assert store.layers == ("mean", "area", *["variance"] * variance)
    on_disk = {path.name for path in (tmp_path / "run.zarr/projected").iterdir() if path.is_dir()}
    assert on_disk == {*store.sums, "window", "nominal", "mark"}
    np.testing.assert_array_equal(store.nominal(), [0.5, 1.5, 2.5])
    given = np.random.default_rng(4).normal(size=(len(store.sums), *WINDOWS[0].shape)).astype(np.float32)
    with pytest.raises(ValueError, match="argument"):
        store.write_row(0, list(given[:-1]), MARK)
    store.write_row(0, list(given), MARK)
    np.testing.assert_array_equal(store.read_row(0, WINDOWS[0], WINDOWS[0], store.sums), given)
    np.testing.assert_array_equal(store.read_row(0, WINDOWS[0], WINDOWS[0]), given[:2])
    assert not np.any(store.read_row(1, WINDOWS[1], WINDOWS[1], store.sums))
    chunk = Window(0, 64, 0, 64)
    layers = list(np.random.default_rng(5).normal(size=(len(store.layers), *chunk.shape)).astype(np.float32))
    store.write_mosaic(chunk, layers)
    for name, layer in zip(store.layers, layers, strict=True):
        np.testing.assert_array_equal(store.read_mosaic(name, chunk), layer)
    (tmp_path / f"run.zarr/projected/{store.sums[-1]}/c/0/0/0").unlink()
    with pytest.raises(InputError, match=r"row 0 .* a chunk is missing"):
        store.read_row(0, WINDOWS[0], WINDOWS[0], store.sums)


@pytest.mark.parametrize("name", ["flux", "area"])
@pytest.mark.parametrize("place", [0.0, 0.3, 0.7, 1.0])
def test_a_flipped_bit_is_an_error(tmp_path: Path, name: str, place: float) -> None:
    """Anywhere in the chunk: its checksum tells."""
    store = create(tmp_path / "run.zarr")
    store.write_row(0, draw(WINDOWS[0]), MARK)
    chunk = tmp_path / f"run.zarr/projected/{name}/c/0/0/0"
    data = bytearray(chunk.read_bytes())
    data[round(place * (len(data) - 1))] ^= 1
    chunk.write_bytes(data)
    with pytest.raises(InputError, match=r"row 0 .* is damaged"):
        store.read_row(0, WINDOWS[0], WINDOWS[0])


@pytest.mark.parametrize("lattice", [4096, 16])
def test_a_row_can_be_written_over_a_damaged_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lattice: int
) -> None:
    """A process that was killed while it wrote leaves half a chunk and no mark; the next run writes it anew."""
    monkeypatch.setattr("dmontage.store._WHOLE", lattice)
    monkeypatch.setattr("dmontage.store._LATTICE", lattice)
    store = create(tmp_path / "run.zarr")
    for row in (0, 1):
        store.write_row(row, draw(WINDOWS[row]), MARK)
        for chunk in (tmp_path / f"run.zarr/projected/flux/c/{row}").rglob("*/*"):
            chunk.write_bytes(chunk.read_bytes()[:77])
        store.write_row(row, draw(WINDOWS[row]), MARK)
        np.testing.assert_array_equal(store.read_row(row, WINDOWS[row], WINDOWS[row])[0], draw(WINDOWS[row])[0])


@pytest.mark.parametrize("damage", ["lost", "flipped"])
def test_damaged_tables_are_errors(tmp_path: Path, damage: str) -> None:
    """Fits and corrections that were lost or changed are no zeros, and no numbers."""
    store = create(tmp_path / "run.zarr")
    store.write_fits(np.ones((4, 6)), "these")
    store.write_planes("plane", np.ones((3, 5)))
    for name in ("pairs/fits", "corrections/plane"):
        (chunk,) = [path for path in (tmp_path / "run.zarr" / name / "c").rglob("*") if path.is_file()]
        if damage == "lost":
            chunk.unlink()
        else:
            data = bytearray(chunk.read_bytes())
            data[len(data) // 2] ^= 1
            chunk.write_bytes(data)
        with pytest.raises(InputError, match=name):
            store.fits("these") if name == "pairs/fits" else store.planes("plane")
    assert store.fits("others") is None
