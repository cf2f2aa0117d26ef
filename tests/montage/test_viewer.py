"""mViewer's words, JSON and answers, and its pictures beside those of the program itself."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from PIL import Image

from dmontage.grid import Grid
from dmontage.montage import mViewer
from dmontage.montage.viewer_scene import scene_of
from dmontage.montage.viewer_words import as_json
from dmontage.places import place

GRID = Grid.around("10.0 20.0", size=("200 arcsec", "150 arcsec"), scale="1 arcsec")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Noise, a faint nebula, a bright core."""
    y, x = np.indices(GRID.shape)
    r2 = (x - 120) ** 2 + (y - 60) ** 2
    data = np.random.default_rng(1).normal(5, 1, GRID.shape) + 3 * np.exp(-r2 / 3000) + 5000 * np.exp(-r2 / 8)
    header = GRID.to_header()
    header["BUNIT"] = "MJy/sr"
    fits.writeto(tmp_path / "m.fits", data.astype(np.float32), header)
    return tmp_path / "m.fits"


def test_a_command_as_json() -> None:
    """How to draw holds for all that follows; limits may begin with a dash; quotes hold texts together."""
    told = as_json(
        "-t 2 -red r.fits -2s max gaussian-log -green g.fits 1% 99% 2 -blue b.fits -0.5 12 asinh 3 -color ff0000 "
        "-grid eq J2000 -color blue -csys ga -symbol 1.5 polygon 6 -scalecol k_m 16 mag -catalog t.tbl "
        "-label 1.5 -2.5 'M 42' -imginfo i.tbl -out m.png"
    )
    assert told["red_file"] == {
        "fits_file": "r.fits", "stretch_min": "-2s", "stretch_max": "max", "stretch_mode": "gaussian-log"
    }  # fmt: skip
    assert told["green_file"]["stretch_mode"] == "2"
    assert (
        told["blue_file"] | {"stretch_min": "-0.5", "stretch_mode": "asinh", "stretch_beta": 3.0} == told["blue_file"]
    )
    assert told["true_color"] == 2 and told["image_file"] == "m.png"
    grid, catalog, label, images = told["overlays"]
    assert grid == {"color": "ff0000", "type": "grid", "coord_sys": "eq J2000"}
    assert catalog["color"] == "blue" and catalog["symbol"] == "polygon 6" and catalog["data_ref"] == 16
    assert label["text"] == "M 42" and label["lat"] == "-2.5" and label["coord_sys"] == "ga"
    assert images["data_file"] == "i.tbl"


def test_json_as_a_scene() -> None:
    told = {
        "gray_file": {"fits_file": "m.fits", "stretch_min": "1%", "stretch_max": "max", "stretch_mode": "asinh",
                      "stretch_beta": 20, "color_table": 1},
        "color": "00ff00",
        "overlays": [
            {"type": "grid", "coord_sys": "ga"},
            {"type": "mark", "lon": "10h", "lat": "20d30m", "visible": False},
            {"type": "mark", "lon": "10h", "lat": "20d30m", "coord_sys": "eq J2000", "color": "red", "symbol": "box"},
            {"type": "catalog", "data_file": "t.tbl", "data_column": "j_m", "data_type": "mag"},
        ],
    }  # fmt: skip
    scene = scene_of(told)
    assert scene.cmap == "gray_r" and scene.softening == 0.05 and scene.max_side is None and scene.bare
    assert scene.bands[0].stretch == "asinh" and scene.bands[0].low == "1%"
    grid, mark, catalog = scene.overlays
    assert grid.options["frame"] == "galactic" and grid.options["color"] == "#00ff00"
    assert (mark.options["lon"], mark.options["lat"]) == pytest.approx((150.0, 20.5))
    assert [mark.options[name] for name in ("frame", "symbol", "color")] == ["icrs", "square", "red"]
    assert catalog.options["size_by"] == "j_m" and catalog.options["scale"] == "mag"


def test_its_answer(image: Path, tmp_path: Path) -> None:
    """Where the stretch lies: as value, percentile and sigma, against numpy's of all pixels."""
    out = tmp_path / "m.png"
    told = mViewer(f"-ct 1 -gray {image} -2s 99% gaussian-log -out {out}", "", mode=2)
    assert told["status"] == "0" and told["type"] == "grayscale" and (told["nx"], told["ny"]) == (200, 150)
    assert Image.open(out).size == (200, 150)
    data = np.asarray(fits.getdata(image), np.float64)
    p16, median, p84, p99 = np.percentile(data, [15.8655, 50, 84.1345, 99])
    sigma = (p84 - p16) / 2
    assert told["grayminval"] == pytest.approx(median - 2 * sigma, abs=0.02)
    assert told["grayminsigma"] == pytest.approx(-2, abs=1e-6) and told["graymaxpercent"] == pytest.approx(99, abs=0.02)
    assert told["graymaxval"] == pytest.approx(p99, rel=0.01)
    assert told["graydatamin"] == data.min() and told["graydatamax"] == data.max()
    assert told["colortable"] == 1 and told["bunit"] == "MJy/sr" and told["redmaxval"] == 0.0


def test_all_ways_to_tell_it(image: Path, tmp_path: Path) -> None:
    """Flags, JSON and a file of JSON give one picture; JPEG by the format's name; three images are a colour."""
    band = {"fits_file": str(image), "stretch_min": "-1s", "stretch_max": "max", "stretch_mode": "gaussian-log"}
    told = {"gray_file": band, "overlays": [{"type": "grid", "coord_sys": "ga"}]}
    (tmp_path / "m.json").write_text(json.dumps(told))
    mViewer(f"-gray {image} -1s max gaussian-log -grid ga", str(tmp_path / "2.png"), mode=2)
    mViewer(json.dumps(told), str(tmp_path / "1.png"), mode=1)
    mViewer(str(tmp_path / "m.json"), str(tmp_path / "0.png"), mode=0)
    assert len({(tmp_path / f"{k}.png").read_bytes() for k in range(3)}) == 1
    bands = " ".join(f"-{name} {image} -1s max gaussian-log" for name in ("red", "green", "blue"))
    answer = mViewer(bands, str(tmp_path / "c.jpg"), mode=2, outFmt="jpeg")
    assert answer["type"] == "color" and answer["greenminsigma"] == pytest.approx(-1)
    assert Image.open(tmp_path / "c.jpg").format == "JPEG"


def test_an_image_table_is_outlined(image: Path, tmp_path: Path) -> None:
    """Of mImgtbl's columns; the outline is that of the image, so it runs along the picture's middle here."""
    header = GRID.to_header()
    row = {name: [header[name.upper()]] for name in ("ctype1", "ctype2", "crval1", "crval2", "crpix1", "crpix2")}
    row |= {"naxis1": [100], "naxis2": [150], "cdelt1": [-1 / 3600], "cdelt2": [1 / 3600], "crota2": [0.0]}
    Table(row).write(tmp_path / "i.tbl", format="ascii.ipac")
    mViewer(f"-gray {image} min max linear -out {tmp_path / 'a.png'}", mode=2)
    mViewer(f"-gray {image} min max linear -color red -imginfo {tmp_path / 'i.tbl'} -out {tmp_path / 'b.png'}", mode=2)
    a, b = (np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB")) for name in "ab")
    columns = np.flatnonzero((a[20:-20] != b[20:-20]).any(axis=(0, 2)))
    assert set(columns) & {98, 99, 100} and not set(columns) & set(range(110, 195))


@pytest.mark.parametrize("frame", ["eq J2000", "eq B1950", "ga", "ecl", "ec"])
def test_grids_of_all_frames(image: Path, tmp_path: Path, frame: str) -> None:
    assert mViewer(f"-gray {image} min max linear -grid {frame} -out {tmp_path / 'a.png'}", mode=2)["status"] == "0"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("-gray missing.fits -2s max gaussian-log -out m.png", "missing.fits"),
        ("-gray {image} -2s max gaussian-log", "no output file is given"),
        ("-gray {image} -2s max gaussian-log -out m.gif", "ends in"),
        ("-gray {image} -2s max nonsense -out m.png", "'nonsense' stands where a flag is expected"),
        ("-gray {image} 2s -2s linear -out m.png", "2s"),
        ("-ct 13 -gray {image} -out m.png", "color table 13"),
        ("-red {image} -out m.png", "no green_file and blue_file"),
        ("-gray {image} -grid nowhere -out m.png", "coordinates 'nowhere'"),
        ("-gray {image} -color nothing -grid eq -out m.png", "color 'nothing'"),
        ("-gray {image} -nonsense -out m.png", "'-nonsense' is not known"),
        ("-gray {image} -symbol x circle -out m.png", "-symbol needs a number"),
        ("-gray {image} -catalog missing.tbl -out m.png", "missing.tbl"),
        ("-gray {image} -draw d.txt -out m.png", "'drawing' is not drawn here"),
        ("-gray {image} -mark here there -out m.png", "is no angle"),
        ("-gray {image} 'open", "cannot be split"),
        ("-out", "lacks a value"),
    ],
)
def test_what_cannot_be_drawn(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, message: str
) -> None:
    """Status 1, the reason as text, and no file."""
    monkeypatch.chdir(tmp_path)
    answer = mViewer(command.format(image=image), mode=2)
    assert answer["status"] == "1" and message in answer["msg"] and isinstance(answer["msg"], str)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.fits"]


@pytest.mark.parametrize(("text", "mode", "message"), [
    ("{", 1, "this is no JSON"), ("[]", 1, "must be an object"), ("missing.json", 0, "cannot be read"),
    ('{"gray_file": {"fits_file": "m.fits"}, "colour": 1}', 1, "colour is not known"),
    ('{"gray_file": "m.fits"}', 1, "needs a fits_file"), ("", 3, "mode is 3"),
    ('{"gray_file": {"fits_file": 3}}', 1, "needs a fits_file"),
    ('{"gray_file": {"fits_file": "m", "stretch_mode": "asinh", "stretch_beta": 0}}', 1, "stretch_beta is 0"),
    ('{"gray_file": {"fits_file": "m", "stretch_mode": "asinh", "stretch_beta": "x"}}', 1, "must be a number"),
    ('{"gray_file": {"fits_file": "m"}, "overlays": ["x"]}', 1, "overlays must be a list"),
    ('{"gray_file": {"fits_file": "m"}, "overlays": [{"type": "catalog", "data_file": 3}]}', 1, "needs a data_file"),
    ('{"gray_file": {"fits_file": "m"}, "overlays": [{"type": "mark", "lon": 1, "lat": 1, "symbol": "polygon x"}]}', 1,
     "must be a number"),
    ("no-text.json", 0, "no text in UTF-8"), ("memory://nowhere/m.json", 0, "there is no such object"),
])  # fmt: skip
def test_json_that_makes_no_sense(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, mode: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no-text.json").write_bytes(b"\xd0\x00")
    answer = mViewer(text, "m.png", mode=mode)
    assert answer["status"] == "1" and message in answer["msg"]


def test_lines_are_as_opaque_as_told() -> None:
    """Of a grid by -alpha; unless told, as the grid itself has it."""
    plain, faint = scene_of(as_json("-gray m.fits -grid eq -alpha 0.25 -grid ga")).overlays
    assert "alpha" not in plain.options and faint.options["alpha"] == 0.25


def test_what_json_leaves_open(image: Path, tmp_path: Path) -> None:
    """Nulls are as if they were not there, a beta is of asinh alone, the table may be told with the image."""
    band = {"fits_file": str(image), "stretch_mode": "linear", "stretch_beta": 5, "color_table": 1}
    told = {"gray_file": band, "overlays": None, "image_file": None, "image_type": None}
    answer = mViewer(json.dumps(told), str(tmp_path / "m.png"), mode=1)
    assert answer["status"] == "0" and answer["colortable"] == 1
    place("memory://viewer/m.json").write_bytes(json.dumps(told).encode())
    assert mViewer("memory://viewer/m.json", str(tmp_path / "n.png"), mode=0) == answer
    assert (tmp_path / "m.png").read_bytes() == (tmp_path / "n.png").read_bytes()


@pytest.mark.skipif(shutil.which("mViewer") is None, reason="Montage is not installed")
@pytest.mark.parametrize("mode", ["gaussian-log", "gaussian", "linear"])
def test_beside_the_program(image: Path, tmp_path: Path, mode: str) -> None:
    """The same shades to a few, and the same numbers; where the last pixel's rank lies is everybody's own choice."""
    ours, theirs = tmp_path / "ours.png", tmp_path / "theirs.png"
    words = f"-ct 0 -gray {image} -2s 99% {mode}"
    answer = mViewer(f"{words} -out {ours}", mode=2)
    said = subprocess.run(["mViewer", *words.split(), "-out", str(theirs)], capture_output=True, text=True, check=True)
    numbers = dict(part.strip().split("=") for part in said.stdout.strip(" \n[]").split(",")[3:])
    assert answer["grayminval"] == pytest.approx(float(numbers["min"]), abs=0.05)
    assert answer["graymaxval"] == pytest.approx(float(numbers["max"]), rel=1e-3)
    a, b = (np.asarray(Image.open(path).convert("L"), int) for path in (ours, theirs))
    assert np.percentile(np.abs(a - b), 99) <= 3
