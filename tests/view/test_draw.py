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
from dmontage.grid import Grid

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
        (["a.fits", "--mark", "nowhere"], "is not a place on the sky"),
        (["--red", "a.fits", "--green", "a.fits", "--blue", "other.fits"], "lies on another grid than"),
        (["cube.fits"], "a picture needs one plane"),
    ],
)
def test_what_cannot_be_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    """Says so, and writes nothing."""
    monkeypatch.chdir(tmp_path)
    write(Path("a.fits"), sky())
    write(Path("other.fits"), sky(), grid(rotation="30 deg"))
    fits.writeto("cube.fits", np.zeros((2, *SHAPE), np.float32), GRID.to_header())
    before = sorted(tmp_path.iterdir())
    result = call(*arguments, "-o", "out.png", code=1)
    assert message in result.output
    assert sorted(tmp_path.iterdir()) == before


def test_a_suffix_that_is_no_pictures(tmp_path: Path) -> None:
    image = write(tmp_path / "a.fits", sky())
    assert "ends in" in call(image, "-o", tmp_path / "a.gif", code=1).output
