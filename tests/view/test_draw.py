"""Scenes drawn into files, and the command that makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from click.testing import CliRunner, Result
from PIL import Image

from dmontage.cli import main
from dmontage.fits_files import scan
from dmontage.grid import Grid
from dmontage.view.rows import Rows

SHAPE = (60, 80)


def grid(**more: Any) -> Grid:
    return Grid.around("10.0 20.0", size=("80 arcsec", "60 arcsec"), scale="1 arcsec", **more)


def write(path: Path, data: Any, g: Grid | None = None) -> Path:
    fits.writeto(path, np.asarray(data, np.float32), (g or GRID).to_header())
    return path


GRID = grid()


def sky(seed: int = 1) -> Any:
    """Noise, a nebula and a star."""
    y, x = np.indices(SHAPE)
    noise = np.random.default_rng(seed).normal(0, 1, SHAPE)
    return noise + 10 * np.exp(-((x - 20) ** 2 + (y - 40) ** 2) / 200) + 1e4 * ((x == 60) & (y == 10))


def call(*arguments: Any, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["view", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def pixels(path: Path) -> Any:
    return np.asarray(Image.open(path).convert("RGBA"))


def test_one_image(tmp_path: Path) -> None:
    """Rows grow upwards; blank is transparent; black and white are where the range says."""
    data = np.tile(np.arange(80.0), (60, 1))
    data[:30] = np.nan
    image = write(tmp_path / "a.fits", data)
    output = call(image, "-o", tmp_path / "a.png", "--stretch", "linear", "--range", 20, 60).output
    assert "a.png (80 x 60 pixels)" in output
    shown = pixels(tmp_path / "a.png")
    assert (shown[:30, :, 3] == 255).all() and (shown[30:, :, 3] == 0).all()
    np.testing.assert_allclose(shown[0, :, 0], np.rint(255 * np.clip((np.arange(80) - 20) / 40, 0, 1)), atol=1)


def test_ranges_that_begin_with_a_dash_and_a_compressed_file(tmp_path: Path) -> None:
    image = write(tmp_path / "a.fits.gz", sky())
    call(image, "-o", tmp_path / "a.png", "--range", "-2s", "max-1s", "--max-side", 40)
    shown = pixels(tmp_path / "a.png")
    assert shown.shape[:2] == (30, 40)
    assert shown[..., 0].max() == 255 and 20 < np.median(shown[..., 0]) < 200


def test_three_images(tmp_path: Path) -> None:
    """Each in its own channel, by its own range where that is told."""
    ramp = np.tile(np.arange(80.0), (60, 1))
    for name, data in (("r", ramp), ("g", ramp.T[:60, :60].mean() + 0 * ramp), ("b", 2 * ramp)):
        write(tmp_path / f"{name}.fits", data)
    options = [f"--{name}={tmp_path / name[0]}.fits" for name in ("red", "green", "blue")]
    call(*options, "-o", tmp_path / "c.png", "--stretch", "linear", "--range", 0, 79, "--blue-range", 0, 158)
    shown = pixels(tmp_path / "c.png")
    np.testing.assert_array_equal(shown[..., 0], shown[..., 2])
    np.testing.assert_allclose(shown[0, :, 0], np.rint(255 * np.arange(80) / 79), atol=1)
    assert (shown[..., 1] == shown[0, 0, 1]).all()


def test_what_is_drawn_over_it_stands_where_it_belongs(tmp_path: Path) -> None:
    """A catalogue's symbol lies around the pixel of its place; without a grid the picture keeps its size."""
    image = write(tmp_path / "a.fits", np.zeros(SHAPE))
    lon, lat = GRID.wcs().all_pix2world([[60.0, 10.0]], 0)[0]
    Table({"ra": [lon], "dec": [lat], "mag": [9.0]}).write(tmp_path / "t.ecsv")
    call(image, "-o", tmp_path / "plain.png")
    for name, more in (("catalog", ["--catalog", tmp_path / "t.ecsv"]), ("mark", ["--mark", f"{lon} {lat}"])):
        call(image, "-o", tmp_path / f"{name}.png", "--color", "red", *more)
        changed = (pixels(tmp_path / f"{name}.png") != pixels(tmp_path / "plain.png")).any(axis=-1)
        rows, columns = np.nonzero(changed)
        assert abs(rows.mean() - (59 - 10)) < 1 and abs(columns.mean() - 60) < 1
        assert changed.sum() < 600


def test_a_picture_with_lines_of_two_frames(tmp_path: Path) -> None:
    """Has its labels beside it, so it is larger."""
    image = write(tmp_path / "a.fits", sky())
    call(image, "-o", tmp_path / "a.png", "--grid", "icrs", "--grid", "galactic", "--compass", "--scale-bar",
         "--images", image)  # fmt: skip
    ny, nx = pixels(tmp_path / "a.png").shape[:2]
    assert ny > 60 and nx > 80


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give one IMAGE, or three"),
        (["a.fits", "--red", "a.fits"], "give one IMAGE, or three"),
        (["--red", "a.fits", "--green", "a.fits"], "give one IMAGE, or three"),
        (["missing.fits"], "missing.fits"),
        (["a.fits", "--red-range", "0", "1"], "--red-range is of one band of three"),
        (["a.fits", "--stretch", "log", "--softening", "0.1"], "--softening is of --stretch asinh"),
        (["a.fits", "--range", "2s", "1s"], "2s"),
        (["a.fits", "--cmap", "nonsense"], "the colour map is 'nonsense'"),
        (["a.fits", "--grid", "nonsense"], "nonsense"),
        (["a.fits", "--catalog", "missing.vot"], "missing.vot"),
        (["a.fits", "--mark", "nowhere"], "mark 'nowhere' is not a place on the sky"),
        (["a.fits", "--color", "neon"], "the colour 'neon' is not known"),
        (["a.fits", "--grid", "icrs=neon"], "the colour 'neon' is not known"),
        (["a.fits", "--symbol", "neon", "--mark", "10 20"], "symbol 'neon' is not one of"),
        (["a.fits", "--catalog", "t.ecsv", "--size-by", "flux"], "there is no column 'flux'"),
        (["a.fits", "--catalog", "t.ecsv", "--color-by", "flux"], "there is no column 'flux'"),
        (["a.fits", "--catalog", "t.ecsv", "--label-by", "flux"], "there is no column 'flux'"),
        (["a.fits", "--size-by", "mag"], "--size-by names a column of --catalog"),
        (["a.fits", "--label-by", "mag"], "--label-by names a column of --catalog"),
        (["--red", "a.fits", "--green", "a.fits", "--blue", "a.fits", "--cmap", "gray"], "--cmap is of one IMAGE"),
        (["a.fits", "--method", "lupton"], "--method is of three images"),
        (["a.fits", "--power", "3"], "--power is of three images"),
        (["a.fits", "--saturation", "0.5"], "--saturation is of three images"),
        (["--red", "a.fits", "--green", "a.fits", "--blue", "a.fits", "--power", "3"], "--power is of --method ratio"),
        (["."], "is a folder of 3 files with images, where one image is needed: name one of them, or make one of all"),
        (["a.fits", "--hdu", "7"], "has no image for hdu=7; its images are in HDUs 0"),
        (["--red", "a.fits", "--green", "a.fits", "--blue", "other.fits"], "lies on another grid than"),
        (["cube.fits"], "a picture needs one plane"),
    ],
)
def test_what_cannot_be_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    """Says so before a pixel is read, and writes nothing."""
    monkeypatch.chdir(tmp_path)
    Table({"ra": [10.0], "dec": [20.0], "mag": [9.0]}).write("t.ecsv")

    def no_pixels(image: Any, rows: slice) -> None:
        raise AssertionError("pixels are read")

    if "2s" not in arguments:  # limits that only the pixels tell to be out of order
        monkeypatch.setattr(Rows, "__getitem__", no_pixels)
    write(Path("a.fits"), sky())
    write(Path("other.fits"), sky(), grid(rotation="30 deg"))
    fits.writeto("cube.fits", np.zeros((2, *SHAPE), np.float32), GRID.to_header())
    before = sorted(tmp_path.iterdir())
    result = call(*arguments, "-o", "out.png", code=1)
    assert message in result.output
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_is_not_there_is_told_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = write(tmp_path / "a.fits", sky())
    monkeypatch.setattr(Rows, "__getitem__", lambda self, rows: pytest.fail("pixels are read"))
    assert "create its folder" in call(image, "-o", tmp_path / "no" / "a.png", code=1).output


@pytest.mark.parametrize(("cards", "stretch"), [
    ({"BUNIT": "sr"}, "linear"), ({"CONTENT": "depth"}, "linear"), ({"CONTENT": "variance"}, "gaussian-log"),
])  # fmt: skip
def test_companions_of_a_mosaic(tmp_path: Path, cards: dict[str, str], stretch: str) -> None:
    """Areas and counts are linear from their minimum to their maximum; a folder's are still no images."""
    data = np.tile(np.arange(80.0), (60, 1))
    header = GRID.to_header()
    header["CREATOR"] = "dmontage 1.0"
    header.update(cards)
    fits.writeto(tmp_path / "m_area.fits", data.astype(np.float32), header)
    call(tmp_path / "m_area.fits", "-o", tmp_path / "a.png")
    more = ["--range", "min", "max"] if stretch == "linear" else []
    write(tmp_path / "data.fits", data)
    call(tmp_path / "data.fits", "-o", tmp_path / "b.png", "--stretch", stretch, *more)
    np.testing.assert_array_equal(pixels(tmp_path / "a.png"), pixels(tmp_path / "b.png"))
    assert [image.name for image in scan(tmp_path, companions=True)] == ["data.fits"]


@pytest.mark.parametrize("stretch", ["asinh", "log", "linear", "sqrt"])
def test_a_stretch_alone_shows_the_nebula_beside_the_star(tmp_path: Path, stretch: str) -> None:
    image = write(tmp_path / "a.fits", sky())
    call(image, "-o", tmp_path / "a.png", "--stretch", stretch)
    shown = pixels(tmp_path / "a.png")[..., 0].astype(int)
    assert shown[59 - 40, 20] > shown[5, 70] + 60


def test_what_lies_outside_is_noted_and_a_shrunk_picture_says_so(tmp_path: Path) -> None:
    image = write(tmp_path / "a.fits", sky())
    away = tmp_path / "away"
    away.mkdir()
    write(away / "b.fits", sky(), Grid.around("200 -20", scale="1 arcsec", shape=SHAPE))
    Table({"ra": [100.0], "dec": [20.0]}).write(tmp_path / "t.ecsv")
    seen = ["--mark", "10 20=here", "--images", image]
    output = call(image, "-o", tmp_path / "a.png", *seen).output
    assert "lies outside" not in output and "none of" not in output and "shrunk" not in output
    unseen = ["--mark", "11 20=there", "--catalog", tmp_path / "t.ecsv", "--images", away, "--max-side", 40]
    output = call(image, "-o", tmp_path / "a.png", *unseen).output
    assert "the mark there at 11.00000 20.00000 lies outside the picture" in output
    assert "no row of the catalogue" in output and "none of the images" in output
    assert "(40 x 30 pixels, shrunk 2 x: --max-side 0 for all pixels)" in output


def test_each_grid_may_have_its_colour_and_words_for_frames(tmp_path: Path) -> None:
    image = write(tmp_path / "a.fits", 0 * sky())
    call(image, "-o", tmp_path / "a.png", "--grid", "J2000=red", "--grid", "gal=lime")
    call(image, "-o", tmp_path / "b.png", "--grid", "fk5=red", "--grid", "galactic=lime")
    shown = pixels(tmp_path / "a.png").astype(int)
    np.testing.assert_array_equal(shown, pixels(tmp_path / "b.png"))
    red, green = shown[..., 0], shown[..., 1]
    assert (red > green + 60).any() and (green > red + 60).any()


def test_a_suffix_that_is_no_pictures(tmp_path: Path) -> None:
    image = write(tmp_path / "a.fits", sky())
    assert "ends in" in call(image, "-o", tmp_path / "a.gif", code=1).output
