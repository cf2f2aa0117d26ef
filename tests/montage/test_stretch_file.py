"""MHistogram against numpy, and as Montage's mViewer reads it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from PIL import Image

from dmontage.fits_files import write_image
from dmontage.grid import Grid
from dmontage.montage import mHistogram

GRID = Grid.around("10.0 20.0", size=("200 arcsec", "150 arcsec"), scale="1 arcsec")


@pytest.fixture
def values() -> NDArray[np.float64]:
    y, x = np.indices(GRID.shape)
    r2 = (x - 120) ** 2 + (y - 60) ** 2
    data = np.random.default_rng(1).normal(5, 1, GRID.shape) + 300 * np.exp(-r2 / 300)
    data[:3, :5] = np.nan
    return np.asarray(data.astype(np.float32), np.float64)


@pytest.fixture
def image(tmp_path: Path, values: NDArray[np.float64]) -> Path:
    write_image(tmp_path / "m.fits", values, GRID)
    return tmp_path / "m.fits"


def told(image: Path, *words: str, **more: int | str) -> dict[str, float]:
    found = mHistogram(str(image), str(image.with_suffix(".hist")), *words, **more)  # type: ignore[arg-type]
    assert found.pop("status") == "0", found
    return found


def parts(image: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The 256 shades, and the bins."""
    lines = image.with_suffix(".hist").read_text().splitlines()
    at = lines.index("Stretch Lookup")
    shades = np.array([line.split() for line in lines[at + 1 : at + 257]], float)
    assert lines[at + 258] == "200000 Histogram Bins"
    return shades, np.array([line.split() for line in lines[at + 259 :]], float)


def test_its_answer(image: Path, values: NDArray[np.float64]) -> None:
    found = told(image, "-2s", "99%", "gaussian-log")
    good = values[np.isfinite(values)]
    p16, median, p84, p99 = np.percentile(good, [16, 50, 84, 99])
    assert found["minval"] == pytest.approx(median - (p84 - p16), abs=0.02)
    assert found["minsigma"] == pytest.approx(-2.0) and found["maxpercent"] == pytest.approx(99.0, abs=0.02)
    assert found["maxval"] == pytest.approx(p99, rel=0.01)
    assert (found["datamin"], found["datamax"]) == (good.min(), good.max())


def test_its_bins(image: Path, values: NDArray[np.float64]) -> None:
    """All pixels are in them, and as many below any value as there are."""
    told(image, "min", "max", "linear")
    shades, bins = parts(image)
    good = np.sort(values[np.isfinite(values)])
    assert bins[:, 2].sum() == bins[-1, 3] == good.size
    np.testing.assert_allclose(np.cumsum(bins[:, 2]), bins[:, 3])
    ends = bins[1:, 1]
    assert np.abs(np.searchsorted(good, ends) - bins[:-1, 3]).max() <= 0.002 * good.size
    np.testing.assert_allclose(shades[:, 1], np.linspace(good.min(), good.max(), 256), rtol=1e-6)


def test_a_part_of_the_image(image: Path, values: NDArray[np.float64]) -> None:
    """From pixel 1, both ends included."""
    found = told(image, "min", "max", "log", xMin=11, xMax=40, yMin=21, yMax=120)
    part = values[20:120, 10:40]
    assert (found["datamin"], found["datamax"]) == (part.min(), part.max())
    assert parts(image)[1][-1, 3] == part.size


@pytest.mark.parametrize(
    ("words", "more", "message"),
    [
        (("none.fits", "min", "max", "linear"), {}, "Image file none.fits missing or invalid FITS"),
        (("m.fits", "2s", "-2s", "linear"), {}, "2s"),
        (("m.fits", "min", "99x", "linear"), {}, "99x"),
        (("m.fits", "min", "max", "loud"), {}, "stretchType is 'loud'"),
        (("m.fits", "min", "max", "asinh"), {"betaString": "-out"}, "'-out' is not a valid beta value"),
        (("m.fits", "min", "max", "linear"), {"xMin": 300, "xMax": 310}, "no part of an image of 200 x 150"),
        (("blank.fits", "min", "max", "linear"), {}, "All pixels are blank..."),
    ],
)
def test_bad_input(
    image: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], more: dict[str, object], message: str
) -> None:
    monkeypatch.chdir(image.parent)
    write_image("blank.fits", np.full(GRID.shape, np.nan), GRID)
    found = mHistogram(words[0], "h.hist", *words[1:], **more)  # type: ignore[arg-type]
    assert found["status"] == "1" and message in found["msg"]
    assert sorted(path.name for path in Path().iterdir()) == ["blank.fits", "m.fits"]


@pytest.mark.skipif(shutil.which("mViewer") is None, reason="Montage is not installed")
@pytest.mark.parametrize("stretch", ["gaussian-log", "gaussian", "linear"])
def test_as_the_program_reads_it(image: Path, stretch: str) -> None:
    """Its picture by our file is its own, to a few shades."""
    fits.writeto(image, fits.getdata(image), GRID.to_header(), overwrite=True)
    told(image, "-2s", "99%", stretch)
    pictures = []
    for name, words in (("a", ["-histfile", "m.hist"]), ("b", ["-2s", "99%", stretch])):
        command = ["mViewer", "-gray", "m.fits", *words, "-out", f"{name}.png"]
        subprocess.run(command, cwd=image.parent, check=True, capture_output=True)
        pictures.append(np.asarray(Image.open(image.parent / f"{name}.png").convert("L"), int))
    assert pictures[0].std() > 20
    assert np.percentile(np.abs(pictures[0] - pictures[1]), 99) <= 4
