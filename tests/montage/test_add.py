"""MAdd and mAddExec against plain numpy, and beside Montage's own program."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from pairs_of_files import GRID, OMEGA, Stack, write_table, write_template

from dmontage import InputError
from dmontage.fits_files import one_image, product_digests, write_image
from dmontage.graph import pairs
from dmontage.grid import Grid
from dmontage.montage import mAdd, mAddExec, mImgtbl, raising
from dmontage.window import Window

WINDOWS = [Window(10, 90, 5, 100), Window(40, 140, 30, 130), Window(0, 70, 60, 140), Window(50, 120, 20, 90)]


@pytest.fixture(scope="module")
def stack() -> Stack:
    return Stack(WINDOWS)


@pytest.fixture
def folder(tmp_path: Path, stack: Stack) -> Path:
    write_table(tmp_path, stack.write(tmp_path))
    write_template(tmp_path)
    return tmp_path


def add(folder: Path, name: str = "m.fits", **options: object) -> tuple[np.ndarray, np.ndarray]:
    """The mosaic and its area."""
    images, template = str(folder / "images.tbl"), str(folder / "t.hdr")
    told = mAdd(str(folder), images, template, str(folder / name), **options)  # type: ignore[arg-type]
    assert told["status"] == "0" and told["time"] >= 0.0, told
    return fits.getdata(folder / name), fits.getdata(folder / name.replace(".fits", "_area.fits"))


def test_mean_by_area(folder: Path, stack: Stack) -> None:
    """Σ(v a)/Σ a and Σ a in steradian, float64 on the template's grid; NaN and 0 where nothing falls."""
    values, area = add(folder)
    weights = stack.areas * OMEGA
    total = weights.sum(axis=0)
    with np.errstate(invalid="ignore"):
        truth = np.nansum(stack.values * weights, axis=0) / total
    np.testing.assert_allclose(values, truth, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(area, total, rtol=1e-12)
    header = fits.getheader(folder / "m.fits")
    assert header["BITPIX"] == -64 and header["BUNIT"] == "MJy/sr"
    assert one_image(folder / "m.fits").grid == GRID


def test_the_digest_in_its_header_is_that_of_its_pixels(folder: Path) -> None:
    add(folder)
    for name in ("m.fits", "m_area.fits"):
        told, found = product_digests(folder / name)
        assert told == found


def test_without_areas(folder: Path, stack: Stack) -> None:
    values, area = add(folder, haveAreas=False)
    n = np.isfinite(stack.values).sum(axis=0)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(values, np.nansum(stack.values, axis=0) / n, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(area, n)


def test_median_count_and_sum(folder: Path, stack: Stack) -> None:
    """A median is of values with more than half a pixel's area, two of them give their mean; a count counts all."""
    values, area = add(folder, coadd=1)
    kept = np.where(stack.areas * OMEGA > 0.5 * GRID.scale**2, stack.values, np.nan)
    n = np.isfinite(kept).sum(axis=0)
    truth = np.full(GRID.shape, np.nan)
    truth[n > 0] = np.nanmedian(kept[:, n > 0], axis=0)
    assert (n == 2).sum() > 500
    np.testing.assert_allclose(values, truth, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(area, np.where(np.isfinite(kept), stack.areas * OMEGA, 0.0).sum(axis=0), rtol=1e-12)
    n = np.isfinite(stack.values).sum(axis=0)
    assert (stack.values < 0).any()
    np.testing.assert_array_equal(np.nan_to_num(add(folder, "c.fits", coadd=2)[0]), n)
    total = np.where(n > 0, np.nansum(stack.values, axis=0), np.nan)
    np.testing.assert_allclose(add(folder, "s.fits", coadd=3)[0], total, rtol=1e-12, atol=1e-12)


def test_shrunk_to_the_images(folder: Path) -> None:
    whole, area = add(folder)
    values, shrunk_area = add(folder, "s.fits", shrink=True)
    window = Window(0, 140, 5, 140)
    np.testing.assert_array_equal(values, whole[window.slices])
    np.testing.assert_array_equal(shrunk_area, area[window.slices])
    assert one_image(folder / "s.fits").grid == GRID.subgrid(window)


def test_the_order_of_the_table_and_the_chunks_change_no_bit(
    folder: Path, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for coadd in (0, 1):
        first = add(folder, coadd=coadd)
        with monkeypatch.context() as patch:
            patch.setattr(pairs, "_CHUNK_BYTES", 1)
            write_table(folder, [f"i{k:02d}.fits" for k in (2, 0, 3, 1)])
            second = add(folder, coadd=coadd)
        for a, b in zip(first, second, strict=True):
            assert a.tobytes() == b.tobytes()


@pytest.mark.slow
def test_deep_stacks_take_smaller_chunks() -> None:
    windows = [Window(0, 5000, 0, 5000)] * 400
    for combine, limit in (("mean", 5000), ("median", 256)):
        found = pairs.chunks_of((5000, 5000), windows, combine)
        assert max(window.shape[1] for window, _ in found) <= limit
        assert sum(window.size for window, _ in found) == 5000**2
        assert max(pairs._bytes(w, [w] * len(k), combine) for w, k in found) <= pairs._CHUNK_BYTES


def test_sixty_images_in_one_pixel(tmp_path: Path) -> None:
    """Montage loses data in stacks of more than 50."""
    window = Window(0, 6, 0, 6)
    deep = Stack([window] * 60, blank=0.0)
    write_table(tmp_path, deep.write(tmp_path))
    write_template(tmp_path, GRID.subgrid(window))
    values, _ = add(tmp_path, haveAreas=False)
    np.testing.assert_allclose(values, deep.values[:, :6, :6].mean(axis=0), rtol=1e-12)


def test_images_without_area_files_cover_their_pixels(tmp_path: Path, stack: Stack) -> None:
    """As said in the answer."""
    write_table(tmp_path, stack.write(tmp_path, areas=False))
    write_template(tmp_path)
    values, area = add(tmp_path)
    n = np.isfinite(stack.values).sum(axis=0)
    np.testing.assert_allclose(area, n * OMEGA, rtol=1e-9)
    plain, _ = add(tmp_path, "p.fits", haveAreas=False)
    np.testing.assert_allclose(values, plain, rtol=1e-12, atol=1e-12)
    told = mAdd(str(tmp_path), str(tmp_path / "images.tbl"), str(tmp_path / "t.hdr"), str(tmp_path / "m.fits"))
    assert told["noareas"] == 4


def test_an_image_that_reaches_beyond_the_template(tmp_path: Path) -> None:
    beyond = Stack([Window(-20, 60, -30, 50), Window(100, 180, 90, 170)])
    write_table(tmp_path, beyond.write(tmp_path))
    write_template(tmp_path)
    values, _ = add(tmp_path, coadd=3)
    any_there = np.isfinite(beyond.values).any(axis=0)
    total = np.where(any_there, np.nansum(beyond.values, axis=0), np.nan)
    np.testing.assert_allclose(values, total, rtol=1e-12)


def test_headers_that_were_rounded(folder: Path, stack: Stack) -> None:
    """A template with nine decimals of CDELT moves no pixel by a thousandth; half a pixel is refused."""
    text = (folder / "t.hdr").read_text()
    rounded = Grid(GRID.header.replace("-0.0002777777777777778", "-0.000277777777"), GRID.shape)
    assert rounded.header != GRID.header
    (folder / "t.hdr").write_text(rounded.to_template())
    values, _ = add(folder)
    (folder / "t.hdr").write_text(text)
    np.testing.assert_array_equal(values, add(folder)[0])
    half = fits.Header.fromtextfile(folder / "t.hdr")
    half["CRPIX1"] += 0.4
    half.totextfile(folder / "h.hdr")
    told = mAdd(str(folder), str(folder / "images.tbl"), str(folder / "h.hdr"), str(folder / "h.fits"))
    assert told["status"] == "1" and "Images are not in same pixel space" in told["msg"] and "0.4" in told["msg"]


def test_tiles_abut_and_are_the_mosaic(folder: Path) -> None:
    whole, area = add(folder)
    arguments = (str(folder), str(folder / "images.tbl"), str(folder / "t.hdr"), str(folder / "tiles"), "m.fits")
    told = mAddExec(*arguments, xsize=50, ysize=60)
    assert (told["status"], told["count"], told["nooverlap"]) == ("0", 9, 0)
    pasted, pasted_area = np.full(GRID.shape, 1e9), np.full(GRID.shape, 1e9)
    for column, x0 in enumerate(range(0, 140, 50)):
        for row, y0 in enumerate(range(0, 150, 60)):
            tile = Window(y0, min(y0 + 60, 150), x0, min(x0 + 50, 140))
            stem = folder / "tiles" / f"m_{column}_{row}"
            pasted[tile.slices] = fits.getdata(f"{stem}.fits")
            pasted_area[tile.slices] = fits.getdata(f"{stem}_area.fits")
            assert Grid.from_header(f"{stem}.hdr") == GRID.subgrid(tile) == one_image(f"{stem}.fits").grid
    np.testing.assert_array_equal(pasted, whole)
    np.testing.assert_array_equal(pasted_area, area)
    mAddExec(*arguments, xsize=50, ysize=60, xoverlap=3, yoverlap=7)
    assert one_image(folder / "tiles" / "m_1_1.fits").grid == GRID.subgrid(Window(53, 127, 47, 103))


def test_tiles_without_images_are_not_written(tmp_path: Path) -> None:
    corner = Stack([Window(0, 40, 0, 40)])
    write_table(tmp_path, corner.write(tmp_path))
    write_template(tmp_path)
    told = mAddExec(str(tmp_path), str(tmp_path / "images.tbl"), str(tmp_path / "t.hdr"), str(tmp_path / "d"), "m", 70)
    assert (told["count"], told["nooverlap"]) == (1, 1)
    assert sorted(p.name for p in (tmp_path / "d").iterdir()) == ["m_0_0.fits", "m_0_0.hdr", "m_0_0_area.fits"]


def test_tiles_take_the_place_of_no_image(folder: Path) -> None:
    """Others are still to be made of them, and they would be lost."""
    tiles, table, template = folder / "tiles", str(folder / "tiles.tbl"), str(folder / "t.hdr")
    mAddExec(str(folder), str(folder / "images.tbl"), template, str(tiles), "m", 70, 80)
    assert mImgtbl(str(tiles), table)["count"] == 4
    before = {path: path.read_bytes() for path in tiles.iterdir()}
    told = mAddExec(str(tiles), table, template, str(tiles), "m", 90, 60)
    assert told["status"] == "1" and "m_0_0.fits: it is one of the images" in told["msg"], told
    assert {path: path.read_bytes() for path in tiles.iterdir()} == before


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"path": "nowhere"}, "Image file nowhere/i00.fits missing or invalid FITS"),
        ({"tblfile": "none.tbl"}, "Invalid image metadata file: none.tbl"),
        ({"tblfile": "t.hdr"}, "Invalid image metadata file: t.hdr"),
        ({"tblfile": "other.tbl"}, "Need columns: cntr fname"),
        ({"template_file": "none.hdr"}, "Template file not found."),
        ({"template_file": "images.tbl"}, "Output wcsinit() failed."),
        ({"template_file": "far.hdr"}, "No overlap"),
        ({"template_file": "turned.hdr"}, "Images are not in same pixel space"),
        ({"outfile": "nowhere/m.fits"}, "cannot write nowhere/m.fits"),
        ({"outfile": "i01.fits"}, "it is one of the images"),
        ({"outfile": "i01_area.fits"}, "it is one of the images, or an area file of theirs"),
        ({"coadd": 7}, "coadd is 7"),
    ],
)
def test_bad_input(folder: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, object], message: str) -> None:
    """Status 1 with Montage's words, a text, and no file; the raising twin raises."""
    monkeypatch.chdir(folder)
    (folder / "other.tbl").write_text("| cntr | name |\n| int  | char |\n  1      a.fits\n")
    (folder / "far.hdr").write_text(GRID.subgrid(Window(5000, 5010, 5000, 5010)).to_template())
    turned = Grid.around("83.8 -5.4", scale="1 arcsec", shape=(50, 50))
    (folder / "turned.hdr").write_text(turned.to_template())
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    usual = {"path": "", "tblfile": "images.tbl", "template_file": "t.hdr", "outfile": "m.fits"}
    told = mAdd(**(usual | changed))  # type: ignore[arg-type]
    assert told["status"] == "1" and isinstance(told["msg"], str) and message in told["msg"], told
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    with pytest.raises(InputError, match=message.replace("(", r"\(").replace(")", r"\)")):
        raising.mAdd(**(usual | changed))  # type: ignore[arg-type]


def test_an_image_that_is_damaged(folder: Path) -> None:
    """Found while pixels are read: an older mosaic stays as it was."""
    add(folder)
    before = (folder / "m.fits").read_bytes()
    write_image(folder / "i02_area.fits", np.ones((3, 3)), GRID.subgrid(Window(0, 3, 0, 3)))
    told = mAdd(str(folder), str(folder / "images.tbl"), str(folder / "t.hdr"), str(folder / "m.fits"))
    assert told["status"] == "1" and "i02_area.fits has shape (3, 3)" in told["msg"]
    assert (folder / "m.fits").read_bytes() == before and not list(folder.glob(".*"))


def test_on_a_cluster(folder: Path) -> None:
    """Workers of this machine write themselves; what others make, the driver writes."""
    from distributed import Client

    here = add(folder)
    with Client(  # type: ignore[no-untyped-call]
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0"
    ):
        there = add(folder, "c.fits")
    for a, b in zip(here, there, strict=True):
        assert a.tobytes() == b.tobytes()


def test_where_workers_see_no_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = add(folder)
    monkeypatch.setattr(pairs, "is_here", lambda machine: False)
    for a, b in zip(here, add(folder, "c.fits"), strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.mark.skipif(shutil.which("mAdd") is None, reason="Montage is not installed")
@pytest.mark.parametrize(("word", "coadd"), [("mean", 0), ("median", 1), ("count", 2)])
def test_beside_the_program(tmp_path: Path, word: str, coadd: int) -> None:
    """The same to 1e-12, of positive values (it counts no others), and of medians of more than two."""
    images = Stack([Window(10 * k, 10 * k + 90, 5 * k, 5 * k + 100) for k in range(6)])
    images.values += 100.0
    write_table(tmp_path, images.write(tmp_path))
    write_template(tmp_path)
    values, area = add(tmp_path, coadd=coadd, shrink=True)
    names = ["images.tbl", "t.hdr", "theirs.fits"]
    subprocess.run(["mAdd", "-a", word, *names], cwd=tmp_path, check=True, capture_output=True)
    theirs, their_area = fits.getdata(tmp_path / "theirs.fits"), fits.getdata(tmp_path / "theirs_area.fits")
    assert theirs.shape == values.shape
    same = np.ones(GRID.shape, bool)
    if word == "median":
        same = (images.areas * OMEGA > 0.5 * GRID.scale**2).sum(axis=0) != 2
        # Its nominal area is |CDELT1 CDELT2|, ours that of the middle pixel: as good as the same.
    inside = one_image(tmp_path / "m.fits").grid.shift_from(GRID)
    assert inside is not None
    same = same[-inside[0] :, -inside[1] :][: values.shape[0], : values.shape[1]]
    np.testing.assert_allclose(values[same], theirs[same], rtol=1e-12)
    if word == "mean":
        np.testing.assert_allclose(area, their_area, rtol=1e-12)


@pytest.mark.parametrize("words", [{"drizzle": 0.7}, {"drizzle": 0.5, "fixedWeight": 0.1}, {"fixedWeight": 3.0}])
def test_a_median_of_drops_and_weights(tmp_path: Path, words: dict[str, float]) -> None:
    """C7: areas of drops are pixfrac² of a pixel's at best, those of weighted images what the weight makes them."""
    grid = Grid.around("83.6 22.0", shape=(60, 60), scale="1 arcsec", rotation="20 deg")
    out = Grid.around("83.6 22.0", shape=(40, 40), scale="2 arcsec")
    (tmp_path / "t.hdr").write_text(out.to_template())
    for k, level in enumerate((1.0, 2.0, 9.0)):
        write_image(tmp_path / f"{k}.fits", np.full(grid.shape, level), grid, [])
        raising.mProject(f"{tmp_path}/{k}.fits", f"{tmp_path}/p{k}.fits", f"{tmp_path}/t.hdr", **words)  # type: ignore[arg-type]
        raising.mBackground(f"{tmp_path}/p{k}.fits", f"{tmp_path}/c{k}.fits", 0.0, 0.0, 1.0)
    write_table(tmp_path, [f"c{k}.fits" for k in range(3)])
    values, area = add(tmp_path, coadd=1)
    inside = values[12:28, 12:28]
    np.testing.assert_allclose(inside, 1.0, rtol=1e-6)  # of 0, 1 and 8
    assert (area[12:28, 12:28] > 0).all()
    # A mosaic's area file tells it, too: of tiles, and of mosaics of few images.
    write_table(tmp_path, ["c1.fits"])
    add(tmp_path, "few.fits")
    write_table(tmp_path, ["few.fits"])
    values, _ = add(tmp_path, "again.fits", coadd=1)
    np.testing.assert_allclose(values[12:28, 12:28], 1.0, rtol=1e-6)


def test_a_median_where_pixels_are_narrow(tmp_path: Path) -> None:
    """C7: half of a pixel is half of that pixel: in plate carrée at latitude 85 it is an eighth of the middle's."""
    cards = {"NAXIS": 2, "NAXIS1": 40, "NAXIS2": 85, "CTYPE1": "RA---CAR", "CTYPE2": "DEC--CAR", "CRVAL1": 0.0,
             "CRVAL2": 0.0, "CRPIX1": 20.5, "CRPIX2": 0.5, "CDELT1": -1.0, "CDELT2": 1.0}  # fmt: skip
    grid = Grid.from_header(cards)
    (tmp_path / "t.hdr").write_text(grid.to_template())
    # Parallels and meridians bound the pixels: an independent truth of their areas.
    omega = np.radians(1.0) * np.diff(np.sin(np.radians(np.arange(86.0))))[:, None] * np.ones(40)
    part = np.where(np.arange(40) % 2, 0.6, 0.4) * omega
    for k, area in enumerate((omega, omega, part)):
        write_image(tmp_path / f"{k}.fits", np.full(grid.shape, (1.0, 2.0, 9.0)[k]), grid)
        write_image(tmp_path / f"{k}_area.fits", area, grid)
    write_table(tmp_path, [f"{k}.fits" for k in range(3)])
    values, _ = add(tmp_path, coadd=1)
    np.testing.assert_array_equal(values, np.broadcast_to(np.where(np.arange(40) % 2, 2.0, 1.5), grid.shape))


@pytest.mark.parametrize("combine", ["mean", "median", "sum", "count"])
def test_no_area_where_the_grid_has_no_sky(tmp_path: Path, combine: str) -> None:
    """Values beyond the rim of an all-sky map: their pixels have no solid angle to be covered."""
    grid = Grid.around("0 0", ("360 deg", "180 deg"), "10 deg", "AIT")
    write_image(tmp_path / "a.fits", np.ones(grid.shape, np.float32), grid)
    image = pairs.Pair(one_image(tmp_path / "a.fits"), None, grid.window)
    made = pairs.coadd_pairs(grid.window, [image], pairs.Target(grid, combine, True, None, None, ""))  # type: ignore[arg-type]
    values, areas = made.layers
    omega = grid.solid_angle(grid.window)
    np.testing.assert_array_equal(areas, np.nan_to_num(omega))
    np.testing.assert_array_equal(np.isnan(values), np.isnan(omega))
