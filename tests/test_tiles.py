"""Tiles and cutouts as files: the same bits as the one file has there, each with the WCS and the digest of its part."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from surveys import Survey, make_survey

import dmontage as dm
from dmontage.errors import InputError
from dmontage.fits_files import read
from dmontage.fits_files import writer as fits_writer
from dmontage.model import ImageRef
from dmontage.pipeline.tiles import tiles_of
from dmontage.window import Window

LAYERS = ("", "_area", "_depth", "_sources")


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    return make_survey(tmp_path_factory.mktemp("tiles") / "raw", layout=(2, 2))


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dmontage.planner.memory.CHUNKS", (128,))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@given(
    st.tuples(st.integers(1, 900), st.integers(1, 900)),
    st.integers(1, 6).flatmap(lambda side: st.tuples(st.just(side), st.integers(0, side - 1))),
)
def test_tiles_cover_all_and_share_what_was_asked_for(shape: tuple[int, int], blocks: tuple[int, int]) -> None:
    side, overlap = (64 * n for n in blocks)
    tiles = tiles_of(shape, side, overlap)
    counts = np.zeros(shape, int)
    for tile in tiles:
        counts[tile.window.slices] += 1
        assert tile.window.y0 % 64 == tile.window.x0 % 64 == 0 and tile.window in Window.of_shape(shape)
    assert counts.min() == 1
    assert all(max(tile.window.shape) <= side for tile in tiles)
    rows = [tile.window for tile in tiles if tile.window.x0 == 0]
    for first, second in pairwise(rows):
        assert first.shape[0] == side and first.y1 - second.y0 == overlap and second.y1 > first.y1


@pytest.mark.parametrize(
    ("tiles", "overlap", "message"),
    [
        (100, 0, "tiles 100 must be a multiple of 64 pixels: choose 64 or 128"),
        (10, 0, "choose 64"),
        (0, 0, "tiles 0 must be a whole number of pixels from 64 up"),
        (128.0, 0, "must be a whole number"),
        (128, 65, "tile overlap 65 must be a multiple of 64 pixels: choose 64 or 128"),
        (128, 128, "tile overlap 128 must be smaller than the tiles, 128"),
        (128, -64, "tile overlap -64 must be"),
        (None, 64, "tile overlap 64 needs tiles"),
    ],
)
def test_tiles_that_make_no_sense_are_refused(
    survey: Survey, tmp_path: Path, tiles: int | None, overlap: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        dm.mosaic(survey.folder, survey.grid).write(tmp_path / "m.fits", tiles, overlap)
    assert not names(tmp_path)


def test_too_many_tiles_are_refused() -> None:
    assert len(tiles_of((6400, 6400), 64)) == 10_000
    with pytest.raises(InputError, match=r"make 10100 tiles, the limit is 10000"):
        tiles_of((6401, 6400), 64)


def sky(header: fits.Header, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit vectors by astropy."""
    return np.array(WCS(header).pixel_to_world(x, y).cartesian.xyz)


@pytest.mark.parametrize(("side", "overlap"), [(128, 64), (192, 0), (256, 64), (1024, 64)])
def test_tiles_have_the_bits_of_the_one_file(survey: Survey, tmp_path: Path, side: int, overlap: int) -> None:
    """All layers; the WCS by astropy; the digest; blank tiles too (the corners of this mosaic are blank)."""
    mosaic = dm.mosaic(survey.folder, survey.grid, also=("depth", "sources"))
    mosaic.write(tmp_path / "one.fits")
    mosaic.write(tmp_path / "m.fits", tiles=side, overlap=overlap)
    ny, nx = mosaic.grid.shape
    step = side - overlap
    starts = [[k * step for k in range(n) if k == 0 or k * step + overlap < n] for n in (ny, nx)]
    assert {name for name in names(tmp_path) if name.startswith("m_")} == {
        f"m_{row}_{column}{layer}.fits"
        for row in range(len(starts[0])) for column in range(len(starts[1])) for layer in LAYERS
    }  # fmt: skip
    for layer in LAYERS:
        whole, header = fits.getdata(tmp_path / f"one{layer}.fits"), fits.getheader(tmp_path / f"one{layer}.fits")
        for row, y0 in enumerate(starts[0]):
            for column, x0 in enumerate(starts[1]):
                path = tmp_path / f"m_{row}_{column}{layer}.fits"
                part, own = fits.getdata(path), fits.getheader(path)
                np.testing.assert_array_equal(part, whole[y0 : y0 + side, x0 : x0 + side])
                assert (own["TILEROW"], own["TILECOL"]) == (row, column) and not dm.verify(path).wrong
                y, x = np.mgrid[: part.shape[0] : 9, : part.shape[1] : 9].astype(float)
                assert np.abs(sky(own, x, y) - sky(header, x + x0, y + y0)).max() < 1e-15
                assert own.get("BUNIT") == header.get("BUNIT") and own["NIMAGES"] == header["NIMAGES"]


def test_many_tiles_need_few_open_files(survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """25 tiles of 2 layers: at no write are more of them open than there are threads."""
    write, most = fits_writer._write_at, 0

    def spy(file: int, data: memoryview, offset: int) -> None:
        nonlocal most
        links = []
        for number in Path("/proc/self/fd").iterdir():
            try:
                links.append(number.readlink())
            except FileNotFoundError:  # closed by now
                continue
        most = max(most, sum(link.suffix == ".partial" for link in links))
        write(file, data, offset)

    monkeypatch.setattr(fits_writer, "_write_at", spy)
    dm.mosaic(survey.folder, survey.grid, workers=2).write(tmp_path / "m.fits", 64)
    assert len(names(tmp_path)) == 50
    assert 1 <= most <= 2


def test_chunks_are_made_once_for_all_tiles(survey: Survey, tmp_path: Path) -> None:
    mosaic = dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr")
    mosaic.write(tmp_path / "m.fits", 128, 64)
    assert mosaic.summary.chunks == len(mosaic.plan.chunks) == 10 and mosaic.summary.chunks_reused == 0
    mosaic.write(tmp_path / "n.fits", 192)
    assert mosaic.summary.chunks_reused == 10
    assert mosaic.summary.bytes_out == 2 * 4 * 320 * 320


def test_a_tile_that_fails_leaves_the_old_ones(survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mosaic = dm.mosaic(survey.folder, survey.grid)
    for name in ("m_0_0.fits", "m_2_2_area.fits"):
        (tmp_path / name).write_bytes(b"old")
    write, n = fits_writer._write_at, 0

    def fail(file: int, data: memoryview, offset: int) -> None:
        nonlocal n
        n += 1
        if n == 30:  # 18 headers, and the first pixels
            raise OSError(28, "No space left on device")
        write(file, data, offset)

    monkeypatch.setattr(fits_writer, "_write_at", fail)
    with pytest.raises(OSError, match="No space"):
        mosaic.write(tmp_path / "m.fits", 128)
    assert names(tmp_path) == {"m_0_0.fits", "m_2_2_area.fits"} and (tmp_path / "m_0_0.fits").read_bytes() == b"old"


def test_a_tile_in_the_place_of_an_image_or_folder_is_refused(survey: Survey, tmp_path: Path) -> None:
    raw = shutil.copytree(survey.folder, tmp_path / "raw")
    (raw / "image00.fits").rename(raw / "m_1_1.fits")
    mosaic = dm.mosaic(raw, survey.grid)
    with pytest.raises(InputError, match=r"m_1_1\.fits: it is one of the images"):
        mosaic.write(raw / "m.fits", 128)
    (tmp_path / "m_2_0.fits").mkdir()
    with pytest.raises(InputError, match=r"m_2_0\.fits: it is a folder"):
        mosaic.write(tmp_path / "m.fits", 128)
    assert names(tmp_path) == {"raw", "m_2_0.fits"} and names(raw) == {p.name for p in survey.paths[1:]} | {
        "m_1_1.fits"
    }


# --- cutouts (C30) ------------------------------------------------------------------------------------------------


def marks(store: Path) -> dict[int, Path]:
    """The files that say of each row that it is projected."""
    return {int(path.name.split(".")[1]): path for path in (store / "projected/mark").glob("c*")}


def test_cutouts_of_a_matched_mosaic_are_local(survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C30: the first pixels solve, for all; a later process reads and projects the images under its cutout only."""
    store = tmp_path / "run.zarr"
    first = dm.mosaic(survey.folder, survey.grid, store)
    whole = first.compute()
    assert first.summary.pairs and set(marks(store)) == {0, 1, 2, 3}
    for mark in marks(store).values():
        mark.unlink()

    again = dm.mosaic(survey.folder, survey.grid, store)
    cutout = again.cutout("83.835 -5.418", "30 arcsec")
    under = {i for i, row in enumerate(again.plan.rows) if row.window & cutout.window}
    assert 1 <= len(under) < 4
    reads: list[str] = []

    def spy(ref: ImageRef) -> NDArray[Any]:
        reads.append(ref.name)
        return read(ref)

    monkeypatch.setattr("dmontage.graph.rows.read", spy)
    monkeypatch.setattr("dmontage.pipeline.rectify.fit_pairs", None)  # nothing may be fitted any more
    part = cutout.compute()
    np.testing.assert_array_equal(part.data, whole.data[cutout.window.slices])
    np.testing.assert_array_equal(part.area, whole.area[cutout.window.slices])
    assert np.isfinite(part.data).any() and set(marks(store)) == under
    assert sorted(reads) == sorted(again.plan.rows[i].image.name for i in under)
    assert again.summary.matching_reused and not again.fits


@pytest.mark.parametrize("background", ["none", "plane"])
def test_a_written_cutout_is_part_of_the_file(survey: Survey, tmp_path: Path, background: str) -> None:
    mosaic = dm.mosaic(survey.folder, survey.grid, background=background, also=("depth", "sources"))
    cutout = mosaic.cutout("83.80 -5.41", ("150 arcsec", "90 arcsec")).write(tmp_path / "part.fits")
    assert names(tmp_path) == {"part.fits", "part_area.fits", "part_depth.fits"}
    mosaic.write(tmp_path / "m.fits")
    for layer in ("", "_area", "_depth"):
        path = tmp_path / f"part{layer}.fits"
        np.testing.assert_array_equal(
            fits.getdata(path), fits.getdata(tmp_path / f"m{layer}.fits")[cutout.window.slices]
        )
        assert not dm.verify(path).wrong
        y, x = np.mgrid[:45:4, :75:4].astype(float)
        here, there = fits.getheader(path), fits.getheader(tmp_path / "m.fits")
        assert np.abs(sky(here, x, y) - sky(there, x + cutout.window.x0, y + cutout.window.y0)).max() < 1e-15
