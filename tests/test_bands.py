"""Several wavelengths in one go: one grid, and for each band the mosaic that its images alone have there."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from click.testing import CliRunner
from surveys import field_grid, image_header, make_survey, write_image

import dmontage as dm
from dmontage.cli import main
from dmontage.errors import InputError
from dmontage.grid import Grid
from dmontage.pipeline import verify
from dmontage.window import Window

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "gc-jhk"
ZERO_POINTS = {"J": (20.9, 21.0, 20.8, 21.3), "K": (19.5, 19.7)}
LAYOUTS = {"J": (2, 2), "K": (1, 2)}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of two bands, which cover different parts of the field, and one that says of none."""
    folder = tmp_path_factory.mktemp("bands") / "raw"
    for seed, band in enumerate(LAYOUTS):
        survey = make_survey(folder / band, seed, layout=LAYOUTS[band])
        for path, zero_point in zip(survey.paths, ZERO_POINTS[band], strict=True):
            with fits.open(path, mode="update") as hdus:
                hdus[0].header.update(FILTER=f"{band} ", MAGZP=zero_point)
            path.rename(folder / f"{band.lower()}{path.name}")
        (folder / band).rmdir()
    write_image(folder / "odd.fits", np.ones((20, 20), np.float32))
    return folder


def of_band(raw: Path, band: str) -> list[Path]:
    return sorted(raw.glob(f"{band.lower()}image*.fits"))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def cards(path: Path, *without: str) -> list[tuple[str, Any]]:
    return [(card.keyword, card.value) for card in fits.getheader(path).cards if card.keyword not in without]


@pytest.mark.parametrize("options", [{}, {"background": "none"}, {"combine": "median", "also": ("depth", "sources")}])
def test_each_band_is_the_mosaic_of_its_images_alone(raw: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    """To the bit, in all files and cards but the band's own; on one grid, that holds the images of all."""
    bands = dm.mosaics(raw, group_by="FILTER", zero_point="MAGZP", **options).write(tmp_path / "m.fits")
    grid = Grid.fit([image for image in dm.scan(raw) if image.name != "odd.fits"])
    assert list(bands) == ["J", "K"] and bands.grid == grid
    for band in bands:
        dm.mosaic(of_band(raw, band), grid, zero_point="MAGZP", **options).write(tmp_path / f"{band}.fits")
        alone = sorted(path for path in tmp_path.glob(f"{band}*.fits"))
        assert len(alone) == 2 + 2 * ("also" in options)
        for path in alone:
            mine = tmp_path / f"m_{path.name}"
            assert fits.getheader(mine)["FILTER"] == band and "FILTER" not in fits.getheader(path)
            assert cards(mine, "FILTER") == cards(path)
            np.testing.assert_array_equal(fits.getdata(mine), fits.getdata(path))
            assert not verify(mine).wrong
    assert len(names(tmp_path)) == 2 * 2 * (2 + 2 * ("also" in options))


def test_bands_have_scales_of_their_own_or_one(raw: Path, tmp_path: Path) -> None:
    """The (lower) median of the band's zero points; or what is asked for, for all."""
    dm.mosaics(raw, group_by="FILTER", zero_point="MAGZP").write(tmp_path / "m.fits")
    assert [fits.getheader(tmp_path / f"m_{band}.fits")["MAGZP"] for band in "JK"] == [20.9, 19.5]
    dm.mosaics(raw, group_by="FILTER", zero_point="MAGZP", zero_point_out=25.0).write(tmp_path / "m.fits")
    assert [fits.getheader(tmp_path / f"m_{band}.fits")["MAGZP"] for band in "JK"] == [25.0, 25.0]


def test_the_same_sky_lies_at_the_same_pixel(tmp_path: Path) -> None:
    """A star in images of other pixels and turns: its centroid is where astropy sees it on the grid, in each band."""
    (tmp_path / "raw").mkdir()
    star, grid = WCS(image_header(shape=(81, 81))).pixel_to_world(40, 40), field_grid(120)
    x, y = WCS(grid.to_header()).world_to_pixel(star)
    for band, rotation, scale in (("u", 0.0, 2.0), ("v", 33.0, 3.0), ("w", 90.0, 1.5)):
        data = np.zeros((81, 81), np.float32)
        data[40, 40] = 1000.0  # the middle of each image is the star
        header = image_header(rotation=rotation, shape=(81, 81), scale=scale)
        write_image(tmp_path / f"raw/{band}.fits", data, header, BANDNAME=band)
    bands = dm.mosaics(tmp_path / "raw", grid, group_by="BANDNAME", background="none")
    for mosaic in bands.values():
        values = np.nan_to_num(mosaic.compute().data.astype(float))
        ys, xs = np.mgrid[:120, :120]
        assert [(values * at).sum() / values.sum() for at in (xs, ys)] == pytest.approx([float(x), float(y)], abs=1e-3)


def test_a_cube_has_the_bands_as_planes(raw: Path, tmp_path: Path) -> None:
    """Astropy's third axis counts them from 1; cards and a table name them; its digest is over those of the planes."""
    bands = dm.mosaics(raw, group_by="FILTER", zero_point="MAGZP", store=tmp_path / "run.zarr")
    bands.write_cube(tmp_path / "m.fits")
    assert names(tmp_path) == {"m.fits", "run_J.zarr", "run_K.zarr"}
    bands.write(tmp_path / "m.fits")
    assert all(mosaic.summary.chunks_reused == mosaic.summary.chunks for mosaic in bands.values())
    with fits.open(tmp_path / "m.fits") as hdus:
        header, table, whole = hdus[0].header, hdus["BANDS"].data, hashlib.sha256()
        assert hdus[0].data.shape == (2, *bands.grid.shape)
        for k, band in enumerate(bands):
            plane, own = hdus[0].data[k], fits.getheader(tmp_path / f"m_{band}.fits")
            np.testing.assert_array_equal(plane, fits.getdata(tmp_path / f"m_{band}.fits"))
            whole.update(bytes.fromhex(own["DATAHASH"]))
            assert header[f"BAND{k + 1}"] == band == table["BAND"][k] and table["NUMBER"][k] == k + 1
            assert table["MAGZP"][k] == own["MAGZP"] and table["BUNIT"][k] == own["BUNIT"] == header["BUNIT"]
            found = WCS(header).wcs_pix2world([[3.0, 7.0, k], [50.0, 20.0, k]], 0)
            np.testing.assert_array_equal(found[:, 2], k + 1)
            sky = WCS(own).wcs_pix2world([[3.0, 7.0], [50.0, 20.0]], 0)
            np.testing.assert_allclose(found[:, :2], sky, rtol=0, atol=1e-12)
        assert header["DATAHASH"] == whole.hexdigest() and "MAGZP" not in header and header["NAXIS"] == 3
    assert not verify(tmp_path / "m.fits").wrong
    with (tmp_path / "m.fits").open("r+b") as file:
        file.seek(2880 * 2 + 4 * bands.grid.window.size + 4000)  # in the second plane
        file.write(b"\x00\x00\x00\x07")
    assert verify(tmp_path / "m.fits").wrong


def test_a_cube_of_counts_has_no_unit(raw: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"background": "none", "combine": "count", "zero_point": "MAGZP", "zero_point_out": 25}
    dm.mosaics(raw, group_by="FILTER", **options).write_cube(tmp_path / "m.fits")
    with fits.open(tmp_path / "m.fits") as hdus:
        assert not {"BUNIT", "MAGZP"} & set(hdus[0].header)
        assert hdus["BANDS"].data["BUNIT"].tolist() == ["", ""] and np.isnan(hdus["BANDS"].data["MAGZP"]).all()


def test_a_cube_on_a_grid_of_a_cd_matrix(raw: Path, tmp_path: Path) -> None:
    header = image_header(shape=(64, 64))
    for key in ("CDELT1", "CDELT2", "CROTA2"):
        del header[key]
    header.update(CD1_1=-5e-4, CD1_2=1e-4, CD2_1=1e-4, CD2_2=5e-4)
    bands = dm.mosaics(raw, Grid.from_header(header, (64, 64)), group_by="FILTER", background="none")
    bands.write_cube(tmp_path / "m.fits")
    wcs = WCS(fits.getheader(tmp_path / "m.fits"))
    found = wcs.wcs_pix2world([[10.0, 50.0, 1.0]], 0)[0]
    assert found == pytest.approx([*WCS(header).wcs_pix2world([[10.0, 50.0]], 0)[0], 2.0], abs=1e-12)


def test_bands_of_a_table_or_a_mapping(raw: Path, tmp_path: Path) -> None:
    paths = [*of_band(raw, "J"), *of_band(raw, "K")]
    words = ["deep" if k < 4 else "g'" for k in range(6)]
    Table({"file": [path.name for path in paths], "pass": words}).write(tmp_path / "t.csv")
    by_name = {path.name: word for path, word in zip(paths, words, strict=True)}
    for group_by in (f"{tmp_path / 't.csv'}:pass", by_name):
        bands = dm.mosaics(raw, group_by=group_by, background="none").write(tmp_path / "m.fits")
        assert list(bands) == ["deep", "g'"] and [mosaic.plan.n_images for mosaic in bands.values()] == [4, 2]
        assert [s.name for s in bands.plan.skipped] == ["odd.fits"]
        assert names(tmp_path) == {"t.csv", "m_deep.fits", "m_deep_area.fits", "m_g_.fits", "m_g__area.fits"}
        assert fits.getheader(tmp_path / "m_g_.fits")["BAND"] == "g'"


def test_words_of_headers(tmp_path: Path) -> None:
    """Numbers are one however they are written; a long keyword keeps its name; one of the grid's becomes BAND."""
    for k, value in enumerate((30, 30.0, 5.5, True, "30 ", "")):
        write_image(tmp_path / f"raw/{k}.fits", np.ones((20, 20), np.float32), CHIP=value)
        with fits.open(tmp_path / f"raw/{k}.fits", mode="update") as hdus:
            hdus[0].header["HIERARCH ESO INS FILT1 NAME"] = "Ks"
    options: dict[str, Any] = {"background": "none"}
    plans = dm.plan(tmp_path / "raw", group_by="CHIP", **options)
    assert {name: plan.n_images for name, plan in plans.items()} == {"30": 3, "5.5": 1, "True": 1}
    assert str(plans.skipped[0]) == "5.fits: has no band: its header keyword CHIP is '', not a word or number"
    dm.mosaics(tmp_path / "raw", group_by="ESO INS FILT1 NAME", **options).write(tmp_path / "a.fits")
    assert fits.getheader(tmp_path / "a_Ks.fits")["ESO INS FILT1 NAME"] == "Ks"
    dm.mosaics(tmp_path / "raw", group_by="CTYPE1", **options).write(tmp_path / "b.fits")
    header = fits.getheader(tmp_path / "b_RA---TAN.fits")
    assert header["BAND"] == "RA---TAN" and len(list(header["CTYPE1*"])) == 1


def test_long_numbers_are_bands_of_their_own(tmp_path: Path) -> None:
    """Visits are numbered by the second, times are told to the millisecond."""
    for k, value in enumerate((20150101123456, 20150101123457, 20150101123457.0, 57023.514537037, 57023.5145370372)):
        write_image(tmp_path / f"{k}.fits", np.ones((20, 20), np.float32), VISIT=value)
    plans = dm.plan(tmp_path, group_by="VISIT", background="none")
    assert {name: plan.n_images for name, plan in plans.items()} == {
        "20150101123456": 1, "20150101123457": 2, "57023.514537037": 1, "57023.5145370372": 1
    }  # fmt: skip


@pytest.mark.parametrize(
    ("keyword", "value", "word"),
    [("BSCALE", 2.0, "2"), ("EQUINOX", 1975.0, "1975"), ("CROTA2", 30.0, "30"), ("PV1_3", 180.0, "180")],
)
def test_a_keyword_with_a_meaning_becomes_band(tmp_path: Path, keyword: str, value: float, word: str) -> None:
    """Text under it would make the mosaic unreadable, or turn it."""
    path = write_image(tmp_path / "raw/a.fits", np.ones((20, 20), np.float32))
    with fits.open(path, mode="update") as hdus:
        hdus[0].header[keyword] = value
    grid = Grid.fit(dm.scan(tmp_path / "raw"), None, "SIN", "galactic")
    dm.mosaics(tmp_path / "raw", grid, group_by=keyword, background="none").write(tmp_path / "m.fits")
    header = fits.getheader(tmp_path / f"m_{word}.fits")
    assert header["BAND"] == word and keyword not in header
    assert np.isfinite(fits.getdata(tmp_path / f"m_{word}.fits")).any()


def test_a_band_beside_the_grid_is_left_out(raw: Path) -> None:
    first = dm.scan(of_band(raw, "J")[0])[0].grid
    only_j = first.subgrid(Window(0, 8, 0, 8))  # south of all of K
    plans = dm.plan(raw, only_j, group_by="FILTER", background="none")
    assert list(plans) == ["J"] and plans["J"].n_images == 1
    assert [f"{s}" for s in plans.skipped[-2:]] == [
        f"kimage0{k}.fits: no image of band K overlaps the grid" for k in range(2)
    ]
    nowhere = Grid.around("10d 40d", "1 arcmin", "1 arcsec")
    with pytest.raises(InputError, match="no image reaches the grid"):
        dm.plan(raw, nowhere, group_by="FILTER")


def test_an_anchor_counts_in_its_own_band(raw: Path) -> None:
    plans = dm.plan(raw, group_by="FILTER", anchor=["jimage02.fits"], lock=[of_band(raw, "K")[1]])
    assert [(plan.anchors, plan.locked) for plan in plans.values()] == [((2,), ()), ((), (1,))]
    with pytest.raises(InputError, match=r"band J: anchor 'none\.fits' is none of the"):
        dm.plan(raw, group_by="FILTER", anchor="none.fits")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group_by": "NOWHERE"}, "no usable image.*has no band: no header keyword NOWHERE"),
        ({"group_by": ""}, "group_by '' is neither a header keyword"),
        ({"group_by": {"x.fits": "J"}}, "no entry of group_by names any of the images"),
        ({"group_by": {"odd.fits": "H\u03b1"}}, "not printable ASCII of at most 40"),
        (
            {"group_by": {"odd.fits": "g'", "jimage00.fits": "g*"}},
            r"bands .g'. and 'g\*' would both have files that end in '_g_'",
        ),
        ({"group_by": "FILTER", "combine": "best"}, "band J: combine 'best' is not one of"),
        ({"group_by": "FILTER", "store": "ftp://bucket/run.zarr"}, "ftp:// is no place that can be read"),
        ({"group_by": "FILTER", "strict": True}, r"odd\.fits: has no band"),
    ],
)
def test_what_makes_no_bands_is_refused(raw: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"(?s){message}"):
        dm.mosaics(raw, **options)


def test_one_mosaic_is_not_of_bands(raw: Path) -> None:
    with pytest.raises(InputError, match=r"call dmontage\.mosaics"):
        dm.mosaic(raw, group_by="FILTER")


def test_what_is_printed(raw: Path) -> None:
    bands = dm.mosaics(raw, group_by="FILTER")
    text = str(bands.plan)
    ny, nx = bands.grid.shape
    assert text.count(f"mosaic      {nx} x {ny} pixels") == 1 and "bands       2 by FILTER: J, K" in text
    assert "total       6 images, about" in text and "skipped     odd.fits: has no band" in text
    assert "band        J\nimages      4 used" in text and "band        K\nimages      2 used" in text
    assert f"{bands!r}" == f"<Bands J, K by FILTER, {nx} x {ny}>" and str(bands).count("<Mosaic") == 2


# --- the command line ---------------------------------------------------------------------------------------------


def call(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code and "Traceback" not in result.output, result.output
    return result.output


def test_the_command_makes_all_bands(raw: Path, tmp_path: Path) -> None:
    output = call(
        "mosaic", raw, "-o", tmp_path / "m.fits", "--group-by", "FILTER", "--cube", "--png", tmp_path / "p.png",
        "--report", tmp_path / "r", "--write-corrections", tmp_path / "c.ecsv",
    )  # fmt: skip
    each = ("m_{}.fits", "m_{}_area.fits", "p_{}.png", "r_{}.txt", "r_{}.json", "r_{}.png", "c_{}.ecsv")
    assert names(tmp_path) == {name.format(band) for name in each for band in "JK"} | {"m.fits"}
    assert "band        J\nimages      4 used, 0 skipped" in output and "skipped     odd.fits" in output
    bands = dm.mosaics(raw, group_by="FILTER")
    for k, band in enumerate(bands):
        pixels = bands[band].compute().data
        np.testing.assert_array_equal(fits.getdata(tmp_path / f"m_{band}.fits"), pixels)
        np.testing.assert_array_equal(fits.getdata(tmp_path / "m.fits")[k], pixels)
        assert len(Table.read(tmp_path / f"c_{band}.ecsv")) == len(of_band(raw, band))


def test_the_command_keeps_a_store_of_each_band(raw: Path, tmp_path: Path) -> None:
    command = ("mosaic", raw, "-o", tmp_path / "m.fits", "--group-by", "FILTER", "--workdir", tmp_path / "run.zarr")
    call(*command)
    assert {"run_J.zarr", "run_K.zarr"} <= names(tmp_path) and "m.fits" not in names(tmp_path)
    again = call(*command)
    assert "4 used (4 from the store)" in again and "2 used (2 from the store)" in again
    assert "project     2 of 2 rows" in call("status", tmp_path / "run_K.zarr")


def test_the_command_plans_all_bands(raw: Path, tmp_path: Path) -> None:
    output = call("plan", raw, "--group-by", "FILTER", "--background", "none")
    assert "bands       2 by FILTER: J, K" in output and "band        K\nimages      2 used" in output
    assert not names(tmp_path)


def test_the_command_writes_tiles(raw: Path, tmp_path: Path) -> None:
    call("mosaic", raw, "-o", tmp_path / "one.fits", "--group-by", "FILTER")
    output = call(
        "mosaic", raw, "-o", tmp_path / "m.fits", "--group-by", "FILTER", "--tiles", 128, "--tile-overlap", 64
    )
    assert "m_J_0_0.fits" in output and "more" in output
    whole = fits.getdata(tmp_path / "one_J.fits")
    np.testing.assert_array_equal(fits.getdata(tmp_path / "m_J_1_0.fits"), whole[64:192, :128])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--cube",), "a cube needs bands"),
        (("--group-by", "FILTER", "--tiles", 100), "must be a multiple of 64"),
        (("--tiles", 128, "--png", "p.png"), "leave out --png or --tiles"),
        (("--tile-overlap", 64), "needs tiles"),
        (("--group-by", "FILTER", "--background", "none", "--report", "r"), "matches nothing"),
    ],
)
def test_wishes_that_do_not_go_together(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[object, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in call("mosaic", raw, "-o", "m.fits", *options, code=1)
    assert not names(tmp_path)


def test_files_of_two_bands_stay_apart(raw: Path, tmp_path: Path) -> None:
    """The mosaic of a band "J_area" would lie where the area of band "J" does."""
    group_by = {path.name: "J" if k else "J_area" for k, path in enumerate(of_band(raw, "J"))}
    bands = dm.mosaics(raw, group_by=group_by)
    with pytest.raises(InputError, match="another product of this run"):
        bands.write(tmp_path / "m.fits")
    assert not names(tmp_path)


# --- real images --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not DATA.is_dir(), reason="the real images are not at hand")
def test_2mass_of_the_galactic_centre(tmp_path: Path) -> None:
    """J, H and K on one grid: each equals its own mosaic, and their stars lie on each other."""
    grid = Grid.around("266.4d -28.93d", "20 arcmin", "5 arcsec", frame="fk5", rotation="12 deg")
    bands = dm.mosaics(DATA, grid, group_by="BAND", background="none", zero_point="MAGZP").write(tmp_path / "m.fits")
    bands.write_cube(tmp_path / "m.fits")
    assert list(bands) == ["H", "J", "K"] and [s.name for s in bands.plan.skipped] == ["MSX_E.fits.gz"]
    cube = fits.getdata(tmp_path / "m.fits").astype(float)
    for k, band in enumerate(bands):
        alone = dm.mosaic(DATA / f"2MASS_{band.lower()}.fits.gz", grid, background="none", zero_point="MAGZP")
        np.testing.assert_array_equal(fits.getdata(tmp_path / f"m_{band}.fits"), alone.compute().data)
        np.testing.assert_array_equal(cube[k], fits.getdata(tmp_path / f"m_{band}.fits"))
    logs = np.log(np.clip(cube, 1, None))
    logs -= logs.mean(axis=(1, 2), keepdims=True)
    shifts = [(dy, dx) for dy in range(-3, 4) for dx in range(-3, 4)]
    for other in logs[:2]:
        match = [(np.roll(other, shift, (0, 1)) * logs[2])[8:-8, 8:-8].mean() for shift in shifts]
        assert shifts[int(np.argmax(match))] == (0, 0)
