"""The picture against plain loops and the stretches' own formulae."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from PIL import Image

from dmontage.errors import InputError
from dmontage.view import picture
from dmontage.view.picture import shrink, write_png


def loop_shrink(data: NDArray[Any], step: int) -> NDArray[np.float64]:
    ny, nx = data.shape
    result = np.full((-(-ny // step), -(-nx // step)), np.nan)
    for j, y in enumerate(range(0, ny, step)):
        for i, x in enumerate(range(0, nx, step)):
            square = [float(v) for v in data[y : y + step, x : x + step].ravel() if np.isfinite(v)]
            if square:
                result[j, i] = sum(square) / len(square)
    return result


def read(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("dtype", [">f4", "<f8", ">i2"])
def test_shrink_is_the_mean_of_finite_pixels(monkeypatch: pytest.MonkeyPatch, step: int, dtype: str) -> None:
    rng = np.random.default_rng(step)
    values = rng.normal(100, 50, (41, 26)).astype(dtype)
    if values.dtype.kind == "f":
        values[rng.random(values.shape) < 0.3] = np.nan
        values[:8, 5:15] = np.nan
        values[20, 20], values[30, 3] = np.inf, -np.inf
    expected = loop_shrink(values, step)
    np.testing.assert_allclose(shrink(values, step), expected, rtol=1e-13)
    whole = shrink(values, step)
    monkeypatch.setattr(picture, "_BAND", 50)  # many bands now
    np.testing.assert_array_equal(shrink(values, step), whole)


class Reader:
    """Rows on demand, as a file or a store gives them."""

    def __init__(self, values: NDArray[np.float32]) -> None:
        self.values = values
        self.shape = values.shape
        self.asked: list[tuple[int, int]] = []

    def __getitem__(self, rows: slice, /) -> NDArray[np.float32]:
        self.asked.append((rows.start, min(rows.stop, len(self.values))))
        return self.values[rows]


def test_each_row_is_read_once_in_bounded_bands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(picture, "_BAND", 2000)
    reader = Reader(np.random.default_rng(0).normal(size=(301, 100)).astype(np.float32))
    assert write_png(tmp_path / "mosaic.png", reader, max_side=60) == (51, 17)
    starts, stops = zip(*reader.asked, strict=True)
    assert starts[0] == 0 and stops[-1] == 301 and starts[1:] == stops[:-1]
    assert max(stop - start for start, stop in reader.asked) * 100 <= 2000


def test_y_grows_upwards_and_blank_is_transparent(tmp_path: Path) -> None:
    data = np.array([[0.0, 1.0, 2.0], [3.0, np.nan, 5.0]])
    write_png(tmp_path / "small.png", data, stretch="linear", interval=(0.0, 5.0))
    seen = read(tmp_path / "small.png")
    assert seen.shape == (2, 3, 2)
    np.testing.assert_array_equal(seen[..., 0], [[153, 255, 255], [0, 51, 102]])
    np.testing.assert_array_equal(seen[..., 1], [[255, 0, 255], [255, 255, 255]])
    write_png(tmp_path / "full.png", np.nan_to_num(data))
    assert read(tmp_path / "full.png").shape == (2, 3)


@pytest.mark.parametrize(("shape", "max_side", "expected"), [
    ((300, 200), 300, (300, 200)), ((300, 200), 299, (150, 100)), ((301, 7), 100, (76, 2)), ((5, 1000), 1, (1, 1)),
])  # fmt: skip
def test_picture_fits_its_largest_side(
    tmp_path: Path, shape: tuple[int, int], max_side: int, expected: tuple[int, int]
) -> None:
    assert write_png(tmp_path / "p.png", np.ones(shape), max_side=max_side) == expected
    seen = read(tmp_path / "p.png")
    assert seen.shape == expected
    assert (seen == 128).all()  # a constant has no black nor white


def test_stretches_follow_their_formulae(tmp_path: Path) -> None:
    ramp = np.linspace(-1.0, 3.0, 400).reshape(20, 20)
    unit = np.clip(ramp / 2.0, 0, 1)
    formulae = {
        "linear": unit,
        "sqrt": np.sqrt(unit),
        "asinh": np.arcsinh(10 * unit) / np.arcsinh(10),
        "log": np.log(1000 * unit + 1) / np.log(1001),
    }
    for stretch, grey in formulae.items():
        write_png(tmp_path / "ramp.png", ramp, stretch=stretch, interval=(0.0, 2.0))
        seen = read(tmp_path / "ramp.png")[::-1].astype(float)
        np.testing.assert_allclose(seen, 255 * grey, rtol=0, atol=0.5 + 1e-9)


def test_intervals_keep_the_sky_visible(tmp_path: Path) -> None:
    """A field of noise with a few bright stars: the noise is neither all black nor lost below the stars."""
    rng = np.random.default_rng(3)
    sky = rng.normal(1000, 1, (400, 400))
    sky.flat[rng.choice(sky.size, 40, replace=False)] += 1e5
    for interval in ("percentile", "zscale"):
        write_png(tmp_path / "sky.png", sky, stretch="linear", interval=interval)
        grey = read(tmp_path / "sky.png")
        assert 50 < np.median(grey) < 200
        assert 20 < grey.std() < 100


def test_memory_map_of_a_fits_file(tmp_path: Path) -> None:
    data = np.random.default_rng(4).normal(size=(60, 50)).astype(np.float32)
    fits.PrimaryHDU(data).writeto(tmp_path / "m.fits")
    with fits.open(tmp_path / "m.fits", memmap=True) as hdus:
        assert hdus[0].data.dtype.byteorder == ">"
        write_png(tmp_path / "map.png", hdus[0].data)
    write_png(tmp_path / "array.png", data)
    np.testing.assert_array_equal(read(tmp_path / "map.png"), read(tmp_path / "array.png"))


def test_extreme_values_do_no_harm(tmp_path: Path) -> None:
    data = np.array([[1e308, -1e308], [0.0, 1.0]])
    write_png(tmp_path / "wild.png", data, stretch="linear", interval=(0.0, 1.0))
    np.testing.assert_array_equal(read(tmp_path / "wild.png"), [[0, 255], [255, 0]])


def test_what_cannot_be_shown_is_refused(tmp_path: Path) -> None:
    ones = np.ones((4, 4))
    with pytest.raises(InputError, match="nothing to show"):
        write_png(tmp_path / "p.png", np.full((4, 4), np.nan))
    with pytest.raises(InputError, match=r"\(2, 4, 4\)"):
        write_png(tmp_path / "p.png", np.ones((2, 4, 4)))
    with pytest.raises(InputError, match="max_side is 0"):
        write_png(tmp_path / "p.png", ones, max_side=0)
    with pytest.raises(InputError, match=r"'gamma'.*asinh"):
        write_png(tmp_path / "p.png", ones, stretch="gamma")
    with pytest.raises(InputError, match=r"'minmax'.*zscale"):
        write_png(tmp_path / "p.png", ones, interval="minmax")
    with pytest.raises(InputError, match=r"2\.0 to 1\.0"):
        write_png(tmp_path / "p.png", ones, interval=(2.0, 1.0))
    assert not list(tmp_path.iterdir())


def test_failed_write_leaves_the_old_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mosaic.png"
    write_png(path, np.arange(16.0).reshape(4, 4))
    before = path.read_bytes()

    def fail(image: Image.Image, part: Path, format: str) -> None:
        part.write_bytes(b"half a picture")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(InputError, match="disk full"):
        write_png(path, np.ones((4, 4)))
    assert [entry.name for entry in tmp_path.iterdir()] == ["mosaic.png"]
    assert path.read_bytes() == before
