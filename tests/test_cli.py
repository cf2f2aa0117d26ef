"""The command line: each command, its refusals in one line that leave nothing behind, and that it starts at once."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner, Result
from PIL import Image
from surveys import Survey, damage, make_survey, write_image

import dmontage as dm
from dmontage.cli import main
from dmontage.grid import Grid
from dmontage.model import KERNELS, SOLVERS
from dmontage.planner import BACKGROUNDS, COMBINES, METHODS, UNITS
from dmontage.planner.combining import WEIGHTS


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    return make_survey(tmp_path_factory.mktemp("survey"))


def call(*arguments: object, code: int = 0) -> Result:
    """Run a command; a failure has one line that says so, and no traceback."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    if code:
        assert isinstance(result.exception, SystemExit), repr(result.exception)
        assert "Error: " in result.stderr and "Traceback" not in result.output
    return result


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


# --- the commands -------------------------------------------------------------------------------------------------


def test_scan_lists_images_and_what_is_skipped(tmp_path: Path, survey: Survey) -> None:
    shutil.copytree(survey.folder, tmp_path / "raw")
    (tmp_path / "raw/notes.fits").write_text("nothing")
    output = call("scan", tmp_path / "raw").output
    assert output.startswith("6 images, 0.0 Mpix") and "image03.fits  100x80" in output
    assert "1 skipped" in output and "notes.fits: not a readable FITS" in output


def test_header_makes_a_template_that_gives_the_grid_back(tmp_path: Path, survey: Survey) -> None:
    fitted = Grid.fit(dm.scan(survey.folder))
    (tmp_path / "a.hdr").write_text(call("header", survey.folder).output)
    assert Grid.from_header(tmp_path / "a.hdr") == fitted
    call("header", survey.folder, "-o", tmp_path / "b.hdr", "--center", "83.8 -5.4", "--size", "5 arcmin, 4 arcmin")
    grid = Grid.from_header(tmp_path / "b.hdr")
    assert grid.shape == (120, 150)
    assert np.degrees(grid.scale) * 3600 == pytest.approx(2.0, rel=1e-6)  # that of the finest image


def test_a_template_is_written_whole_or_not_at_all(
    tmp_path: Path, survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk the one that was there stays."""
    (tmp_path / "a.hdr").write_text("the old one")
    write_text = Path.write_text

    def full(self: Path, text: str, *how: Any, **more: Any) -> int:
        write_text(self, text[:100], *how, **more)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert "No space left" in call("header", survey.folder, "-o", tmp_path / "a.hdr", code=1).stderr
    assert names(tmp_path) == ["a.hdr"] and (tmp_path / "a.hdr").read_text() == "the old one"


@pytest.mark.parametrize("command", ["mosaic", "plan", "coadd"])
def test_the_words_of_options_are_those_of_the_package(command: str) -> None:
    """They stand twice, since to ask the package for them would cost ``--help`` a second."""
    words = {"background": BACKGROUNDS, "method": METHODS, "unit": UNITS, "combine": COMBINES, "weights": WEIGHTS,
             "kernel": KERNELS, "solver": SOLVERS}  # fmt: skip
    options = {option.name: option.type for option in main.commands[command].params}
    assert {"background", "combine", "weights", "unit", "solver"} <= options.keys()
    for name in words.keys() & options.keys():
        kind = options[name]
        assert isinstance(kind, click.Choice) and sorted(kind.choices) == sorted(words[name]), name


def test_plan_tells_suspicious_inputs(tmp_path: Path, survey: Survey) -> None:
    shutil.copytree(survey.folder, tmp_path / "raw")
    write_image(tmp_path / "raw/image02.fits", np.full((80, 100), np.nan, np.float32))
    write_image(tmp_path / "raw/image03.fits", np.ones((80, 100), np.float32), CRVAL1=85.0)
    output = call("plan", tmp_path / "raw", "--background", "none").output
    for said in ("far from all other images, perhaps by a wrong WCS: image03.fits (1.1", "are blank: image02.fits\n",
                 "have one value: image03.fits (1)\n"):  # fmt: skip
        assert said in output
    assert "warning" not in call("plan", survey.folder, "--background", "none").output


def test_plan_prints_and_computes_nothing(tmp_path: Path, survey: Survey) -> None:
    output = call("plan", survey.folder, "--scale", "4 arcsec", "--combine", "median").output
    assert "pixels of 4 arcsec, TAN (icrs)" in output and "combine median, weights none" in output
    assert not names(tmp_path)


def test_mosaic_is_what_the_library_makes(tmp_path: Path, survey: Survey) -> None:
    """With a template, a kept store and a picture; a second run reuses the store and writes the same bits."""
    (tmp_path / "grid.hdr").write_text(survey.grid.to_template())
    arguments = (
        "mosaic", survey.folder, "-o", tmp_path / "m.fits", "--header", tmp_path / "grid.hdr",
        "--workdir", tmp_path / "run.zarr", "--png", tmp_path / "m.png",
    )  # fmt: skip
    output = call(*arguments).output
    assert "6 used, 0 skipped" in output and "wrote " in output and "m.png" in output
    assert names(tmp_path) == ["grid.hdr", "m.fits", "m.png", "m_area.fits", "run.zarr"]
    wanted = dm.mosaic(survey.folder, survey.grid).compute()
    np.testing.assert_array_equal(fits.getdata(tmp_path / "m.fits"), wanted.data)
    with Image.open(tmp_path / "m.png") as picture:
        assert picture.size == (320, 320)
    first = (tmp_path / "m.fits").read_bytes()
    assert "6 used (6 from the store)" in call(*arguments).output
    assert (tmp_path / "m.fits").read_bytes() == first


def test_a_mosaic_about_a_place_leaves_only_its_products(tmp_path: Path, survey: Survey) -> None:
    call(
        "mosaic", survey.folder, "-o", tmp_path / "m.fits", "--center", "05h35m12s -5d24m", "--size", "4 arcmin",
        "--scale", "3 arcsec", "--background", "level", "--weights", "none", "--method", "sky",
    )  # fmt: skip
    assert names(tmp_path) == ["m.fits", "m_area.fits"]
    header = fits.getheader(tmp_path / "m.fits")
    assert (header["NAXIS1"], header["BACKGRND"], header["WEIGHTS"], header["PROJECT"]) == (80, "level", "none", "sky")


def test_drops_weights_masks_and_variance_end_to_end(tmp_path: Path, survey: Survey) -> None:
    """Every option reaches the mosaic; the products say so."""
    raw, rng = tmp_path / "raw", np.random.default_rng(1)
    raw.mkdir()
    for k, path in enumerate(survey.paths):
        data, header = fits.getdata(path, header=True)
        header["EXPTIME"] = 10.0 + k
        flags = fits.ImageHDU(rng.integers(0, 3, data.shape).astype(np.int16), name="DQ")
        fits.HDUList([fits.PrimaryHDU(data, header), flags]).writeto(raw / path.name)
        write_image(raw / f"image{k:02d}.weight.fits", rng.uniform(0.05, 2, data.shape))
        write_image(raw / f"image{k:02d}.var.fits", rng.uniform(1, 2, data.shape))
    out = tmp_path / "m.fits"
    output = call(
        "mosaic", raw, "-o", out, "--pixfrac", "0.8", "--kernel", "square", "--border", "5", "--weight-map",
        ".weight.fits", "--mask", "DQ", "--good-bits", "1", "--min-weight", "0.1", "--image-weight", "EXPTIME",
        "--variance", ".var.fits", "--scale", "2 arcsec",
    ).output  # fmt: skip
    assert "6 used" in output and f"{tmp_path / 'm_variance.fits'}" in output and "error at most" in output
    assert names(tmp_path) == ["m.fits", "m_area.fits", "m_variance.fits", "raw"]
    wanted = dm.mosaic(
        raw, Grid.from_header(fits.getheader(out)), pixfrac=0.8, border=5, weight_map=".weight.fits", mask="DQ",
        good_bits=1, min_weight=0.1, image_weight="EXPTIME", variance=".var.fits",
    ).compute()  # fmt: skip
    np.testing.assert_array_equal(fits.getdata(out), wanted.data)
    np.testing.assert_array_equal(fits.getdata(tmp_path / "m_variance.fits"), wanted.variance)
    header = fits.getheader(tmp_path / "m_variance.fits")
    assert (header["PIXFRAC"], header["DROPKERN"], header["BUNIT"]) == (0.8, "square", "MJy2 sr-2")
    assert header["NOISECOR"] == pytest.approx(1 / (1 - 0.8 / 3), rel=0.01)
    assert "drops of 0.8 pixels" in call("plan", raw, "--pixfrac", "0.8").output
    assert "no HDU named WHT" in call("plan", raw, "--weight-map", "WHT", code=1).stderr


def test_zero_points_and_scales_end_to_end(tmp_path: Path, survey: Survey) -> None:
    """By keyword and from a table; the plan and the product say so."""
    raw, out, table = tmp_path / "raw", tmp_path / "m.fits", tmp_path / "phot.csv"
    rows = ["fname,weight,scale"]
    for k, path in enumerate(survey.paths):
        write_image(raw / path.name, *fits.getdata(path, header=True), MAGZP=20.0 + k / 10)
        rows.append(f"{path.name},{k + 1},{1 + k / 20}")
    table.write_text("\n".join(rows))
    options = ["--zero-point", "MAGZP", "--flux-scale", f"{table}:scale", "--image-weight", f"{table}:weight"]
    assert "zero points 20 to 20.5 brought to 20.2;  values times 0.9" in call("plan", raw, *options).output
    call("mosaic", raw, "-o", out, *options, "--zero-point-out", "20.35", "--scale", "2 arcsec")
    header = fits.getheader(out)
    wanted = dm.mosaic(
        raw, Grid.from_header(header), zero_point="MAGZP", zero_point_out=20.35,
        flux_scale={path.name: 1 + k / 20 for k, path in enumerate(survey.paths)},
        image_weight={path.name: k + 1 for k, path in enumerate(survey.paths)},
    ).compute()  # fmt: skip
    np.testing.assert_array_equal(fits.getdata(out), wanted.data)
    assert header["MAGZP"] == 20.35
    assert "give a zero_point" in call("plan", raw, "--zero-point-out", "20", code=1).stderr


@pytest.mark.parametrize(("options", "clouds"), [((), 3), (("--nebula", "300"), 8)])
def test_demo_simulates_and_judges(tmp_path: Path, options: tuple[str, ...], clouds: int) -> None:
    output = call("demo", "--out", tmp_path / "demo", "--size", "0.1", *options).output
    assert ": ok (" in output and "FAILED" not in output
    assert len(json.loads((tmp_path / "demo/raw/truth.json").read_text())["clouds"]) == clouds
    assert names(tmp_path / "demo") == ["mosaic.fits", "mosaic.png", "mosaic_area.fits", "raw", "verdict.json"]
    assert json.loads((tmp_path / "demo/verdict.json").read_text())["ok"] is True


# --- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--center", "10h +40d", "--size", "1 deg"], "no image reaches the grid"),
        (["--center", "83.8 -5.4", "--size", "200 deg", "--scale", "0.1 arcsec", "--projection", "CAR"], "TB"),
        (["--center", "83.8 -5.4"], "needs both --center and --size"),
        (["--center", "here", "--size", "1 deg"], "'here' is not a place on the sky"),
        (["--center", "83.8 -5.4", "--size", "large"], "'large' is not an angle"),
        (["--scale", "-1 arcsec"], "positive"),
        (["--projection", "XYZ"], "'XYZ' is not one of"),
        (["--header", "absent.hdr"], "absent.hdr"),
        (["--header", "absent.hdr", "--size", "1 deg"], "leave out --center, --size, --scale, --projection"),
        (["--max-bytes", "1000"], "the limit is 1 kB"),
        (["--scheduler", "nonsense://here"], "no dask scheduler answers"),
        (["--scheduler", "localhost"], "no dask scheduler answers"),
    ],
)
def test_a_refusal_is_one_line_and_leaves_nothing(
    tmp_path: Path, survey: Survey, options: list[str], message: str
) -> None:
    result = call("mosaic", survey.folder, "-o", tmp_path / "m.fits", *options, code=1)
    assert message in result.stderr
    assert result.stdout == "" and len(result.stderr.strip().splitlines()) == 1
    assert not names(tmp_path)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("absent/m.fits", "No such file"),
        ("file/m.fits", "Not a directory"),
        (".", "it is a folder"),
        ("m.fits.gz", "not compressed"),
    ],
)
def test_an_output_that_cannot_be_written(tmp_path: Path, survey: Survey, output: str, message: str) -> None:
    """Told before any work: no store is begun."""
    (tmp_path / "file").write_text("x")
    assert message in call("mosaic", survey.folder, "-o", tmp_path / output, code=1).stderr
    good = tmp_path / "m.fits"
    assert "cannot write" in call("mosaic", survey.folder, "-o", good, "--png", tmp_path / "no/m.png", code=1).stderr
    assert "cannot write" in call("header", survey.folder, "-o", tmp_path / "no/a.hdr", code=1).stderr
    assert "cannot write" in call("demo", "--out", tmp_path / "file" / "demo", "--size", "0.1", code=1).stderr
    refused = call("mosaic", survey.folder, "-o", good, "--workdir", tmp_path / "file", code=1).stderr
    assert "is no dmontage run" in refused and "goes on from there" not in refused
    assert names(tmp_path) == ["file"]


def test_no_usable_input(tmp_path: Path) -> None:
    empty, bad = tmp_path / "empty", tmp_path / "bad"
    empty.mkdir()
    bad.mkdir()
    fits.PrimaryHDU(np.zeros((5, 5), np.float32)).writeto(bad / "plain.fits")
    for command in (["scan"], ["plan"], ["header"], ["mosaic", "-o", str(tmp_path / "m.fits")]):
        assert "no FITS file" in call(*command, empty, code=1).stderr
        assert "no celestial WCS" in call(*command, bad, code=1).stderr
        assert "no such file or folder" in call(*command, tmp_path / "absent", code=1).stderr
    assert names(tmp_path) == ["bad", "empty"]


def test_one_bad_among_good(tmp_path: Path, survey: Survey) -> None:
    """Skipped, counted and named; fatal with --strict, at the scan and while projecting."""
    raw, out = tmp_path / "raw", tmp_path / "m.fits"
    shutil.copytree(survey.folder, raw)
    (raw / "cut.fits").write_bytes((raw / "image00.fits").read_bytes()[:9000])
    assert "cut.fits: truncated" in call("mosaic", raw, "-o", out, "--strict", code=1).stderr
    assert names(tmp_path) == ["raw"]
    output = call("mosaic", raw, "-o", out).output
    assert "6 used, 1 skipped" in output and "cut.fits: truncated" in output
    (raw / "cut.fits").unlink()
    damage(raw / "image05.fits")
    before = out.read_bytes()
    result = call("mosaic", raw, "-o", out, "--strict", code=1)
    assert "image05.fits.fz" in result.stderr and "the same command again goes on from there" in result.stderr
    assert out.read_bytes() == before
    assert names(tmp_path) == ["m.fits", "m.fits.run.zarr", "m_area.fits", "raw"]
    assert "5 used (5 from the store), 1 skipped" in call("mosaic", raw, "-o", out).output
    assert out.read_bytes() != before and names(tmp_path) == ["m.fits", "m_area.fits", "raw"]


def test_an_old_mosaic_is_kept_until_the_new_one_is_whole(
    tmp_path: Path, survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure while the second band is written: the old files are as they were, and no partial lies about."""
    out = tmp_path / "m.fits"
    call("mosaic", survey.folder, "-o", out)
    before = out.read_bytes(), (tmp_path / "m_area.fits").read_bytes()

    def fail(*_: object) -> None:
        raise dm.InputError("the disk is gone")

    monkeypatch.setattr("dmontage.planner.memory.CHUNKS", (64,))
    with monkeypatch.context() as patch:
        patch.setattr("dmontage.fits_files.FitsPixels.write", fail)
        assert "the disk is gone" in call("mosaic", survey.folder, "-o", out, "--scale", "3 arcsec", code=1).stderr
    assert (out.read_bytes(), (tmp_path / "m_area.fits").read_bytes()) == before
    assert names(tmp_path) == ["m.fits", "m.fits.run.zarr", "m_area.fits"]
    call("mosaic", survey.folder, "-o", out, "--scale", "3 arcsec")
    assert out.read_bytes() != before[0]
    assert names(tmp_path) == ["m.fits", "m_area.fits"]


def test_a_store_of_another_run_is_refused_and_kept(tmp_path: Path, survey: Survey) -> None:
    out, store = tmp_path / "m.fits", tmp_path / "run.zarr"
    command = ("mosaic", survey.folder, "-o", out, "--workdir")
    call(*command, store)
    for other in (["--scale", "3 arcsec"], ["--tol", "1e-12"]):
        assert "holds another run" in call(*command, store, *other, code=1).stderr
    foreign = tmp_path / "photos"
    foreign.mkdir()
    write_image(foreign / "precious.fits", np.zeros((4, 4), np.float32))
    assert "is no dmontage run" in call(*command, foreign, code=1).stderr
    assert names(foreign) == ["precious.fits"] and store.is_dir()


# --- starting up --------------------------------------------------------------------------------------------------


def imported(*arguments: str) -> tuple[str, set[str]]:
    """What a command prints, and the modules that it has imported, in a process of its own."""
    code = (
        "import sys\nfrom dmontage.cli import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit as end: assert not end.code\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *arguments]
    run = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    return run.stdout, set(run.stderr.split())


def test_help_imports_nothing_heavy() -> None:
    """And each command says what it is for."""
    output, modules = imported("--help")
    assert not {"numpy", "numba", "scipy", "distributed", "dask", "zarr", "astropy", "rich", "PIL"} & modules
    for command in ("scan", "header", "plan", "mosaic", "demo"):
        assert f"\n  {command} " in output


def test_a_scan_needs_no_engine(survey: Survey) -> None:
    output, modules = imported("scan", str(survey.folder))
    assert output.startswith("6 images")
    assert not {"numba", "scipy", "distributed", "dask", "zarr"} & modules


def test_a_mosaic_on_threads_needs_no_cluster(survey: Survey, tmp_path: Path) -> None:
    _, modules = imported("mosaic", str(survey.folder), "-o", str(tmp_path / "m.fits"))
    assert "dask" in modules and "distributed" not in modules


def test_the_first_mosaic_says_that_it_compiles(
    tmp_path: Path, survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an empty cache, once; a warm one is not talked about."""
    assert "compiling" not in call("mosaic", survey.folder, "-o", tmp_path / "m.fits").stderr
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    told = call("mosaic", survey.folder, "-o", tmp_path / "m.fits").stderr
    assert re.fullmatch(r"compiling kernels that no run here needed before \(about \d+ s, once\)\n", told)


@pytest.mark.slow
def test_three_first_mosaics_at_once(tmp_path: Path, survey: Survey) -> None:
    """C24: three processes that start on one cold cache compile, say so, and give the same bits; a fourth is warm."""
    settings: dict[str, Any] = {
        "env": os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}, "cwd": Path(__file__).parents[1],
        "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True,
    }  # fmt: skip

    def start(k: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", "from dmontage.cli import main; main()"]
        command += ["mosaic", str(survey.folder), "-o", str(tmp_path / f"m{k}.fits")]
        return subprocess.Popen(command, **settings)

    for numbers, cold in (((0, 1, 2), True), ((3,), False)):
        runs = [start(k) for k in numbers]
        said = [run.communicate()[1] for run in runs]
        assert [run.returncode for run in runs] == [0] * len(runs), said
        assert all(("compiling kernels" in text) == cold for text in said), said
    assert len({(tmp_path / f"m{k}.fits").read_bytes() for k in range(4)}) == 1


def test_a_mosaic_among_the_inputs_is_no_input(tmp_path: Path, survey: Survey) -> None:
    """The same command twice: nothing of the first mosaic may enter the second, nor may an image be replaced."""
    raw = tmp_path / "raw"
    shutil.copytree(survey.folder, raw)
    call("mosaic", raw, "-o", raw / "m.fits")
    first = (raw / "m.fits").read_bytes()
    again = call("mosaic", raw, "-o", raw / "m.fits").output
    assert "6 used, 2 skipped" in again and "a mosaic that dmontage wrote" in again and "an area file" in again
    pixels = slice(2880 * 2, None)
    assert (raw / "m.fits").read_bytes()[pixels] == first[pixels]
    named = call("mosaic", *sorted(raw.iterdir()), "-o", raw / "m.fits", code=1).stderr
    assert "m.fits: it is one of the images" in named and "goes on from there" not in named
    before = survey.paths[0].read_bytes()
    call("mosaic", survey.folder, "-o", survey.paths[0], code=1)
    assert survey.paths[0].read_bytes() == before


def test_a_store_left_by_another_run_is_no_obstacle(
    tmp_path: Path, survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted, and then other options: without --workdir the store beside the output is nobody else's."""
    out = tmp_path / "m.fits"

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("dmontage.fits_files.FitsPixels.write", interrupt)
        CliRunner().invoke(main, ["mosaic", str(survey.folder), "-o", str(out)])
    assert names(tmp_path) == ["m.fits.run.zarr"]
    call("mosaic", survey.folder, "-o", out, "--scale", "4 arcsec")
    assert names(tmp_path) == ["m.fits", "m_area.fits"]


def test_warnings_reach_the_summary(tmp_path: Path) -> None:
    blank = write_image(tmp_path / "a.fits", np.full((20, 30), np.nan, np.float32), BUNIT="adu")
    output = call("mosaic", blank, "-o", tmp_path / "m.fits").output
    assert "counts per pixel" in output and "all pixels of the mosaic are blank" in output


def test_a_mosaic_without_pixels_has_a_summary_and_a_transparent_picture(tmp_path: Path) -> None:
    blank = write_image(tmp_path / "raw" / "a.fits", np.full((20, 30), np.nan, np.float32))
    result = call("mosaic", blank, "-o", tmp_path / "m.fits", "--png", tmp_path / "m.png")
    assert "contribute nothing" in result.output
    assert names(tmp_path) == ["m.fits", "m.png", "m_area.fits", "raw"]
    with Image.open(tmp_path / "m.png") as picture:
        assert picture.mode == "LA" and picture.getextrema()[1] == (0, 0)


def test_a_border_of_each_side(tmp_path: Path, survey: Survey) -> None:
    for text, said in (("5", "border 5"), ("1,2, 3,4", "border (1, 2, 3, 4)")):
        assert said in call("plan", survey.folder, "--border", text).output
    assert "border (1, 2) is neither" in call("plan", survey.folder, "--border", "1,2", code=1).stderr
    for text in ("a", "1.5", ""):
        assert "is neither a whole number nor four" in call("plan", survey.folder, "--border", text, code=2).stderr


def test_a_margin_about_the_grid(tmp_path: Path, survey: Survey) -> None:
    """Of its own, by default, and none; the mosaic is that of the library."""
    place = ("--center", "83.8 -5.4", "--size", "140 arcsec", "--scale", "2 arcsec")
    said = "fits reach up to {} pixels beyond the grid"
    for options, margin in (((), 20), (("--margin", "7"), 7), (("--background", "none", "--margin", 4), 4)):
        assert said.format(margin) in call("plan", survey.folder, *place, *options).output
    for options in (("--margin", "0"), ("--background", "none")):
        assert "beyond the grid" not in call("plan", survey.folder, *place, *options).output
    for text in ("-1", "1.5", "a"):
        assert "'--margin'" in call("plan", survey.folder, "--margin", text, code=2).stderr
    out = tmp_path / "m.fits"
    call("mosaic", survey.folder, "-o", out, *place, "--margin", "31")
    grid = Grid.from_header(fits.getheader(out))
    assert grid.shape == (70, 70)
    np.testing.assert_array_equal(fits.getdata(out), dm.mosaic(survey.folder, grid, margin=31).compute().data)


@pytest.mark.parametrize(("option", "value"), [("--tol", "nan"), ("--max-bytes", "nan"), ("--max-bytes", "inf")])
def test_numbers_that_are_none_are_refused(survey: Survey, option: str, value: str) -> None:
    assert f"{value} must be a number above 0" in call("plan", survey.folder, option, value, code=1).stderr


@pytest.mark.parametrize("value", ["inf", "nan", "8 parsec", "much"])
def test_a_memory_limit_that_is_none_is_refused(survey: Survey, value: str) -> None:
    assert "is no number of bytes" in call("plan", survey.folder, "--memory-limit", value, code=2).stderr


def test_the_grid_is_fitted_to_the_images_that_count(tmp_path: Path, survey: Survey) -> None:
    """Here as in the library: an image without its weights does not shape it, nor does a cube."""
    for path in survey.paths[:2]:
        shutil.copy(path, tmp_path)
    write_image(tmp_path / "image00.w.fits", np.ones((80, 100), np.float32))
    wanted = dm.plan(tmp_path, weight_map=".w.fits").grid
    assert wanted == dm.plan(tmp_path / "image00.fits").grid
    for options in ((), ("--projection", "TAN")):
        text = call("plan", tmp_path, "--weight-map", ".w.fits", *options).output
        assert text.startswith(f"mosaic      {wanted.shape[1]} x {wanted.shape[0]} pixels of 2 arcsec")


@pytest.mark.parametrize(("option", "name"), [("-o", "m.png"), ("--png", "m.jpg")])
def test_a_product_has_its_own_suffix(tmp_path: Path, survey: Survey, option: str, name: str) -> None:
    rest = [] if option == "-o" else ["-o", tmp_path / "m.fits"]
    assert "name a file that ends in" in call("mosaic", survey.folder, option, tmp_path / name, *rest, code=1).stderr
    assert not names(tmp_path)


def test_the_header_of_an_image_is_a_template(tmp_path: Path, survey: Survey) -> None:
    assert Grid.from_header(survey.paths[0]) == dm.scan(survey.paths[0])[0].grid
    (tmp_path / "x.hdr").write_bytes(b"\xff\xfe\x00")
    for name, message in (("x.hdr", "is no template"), ("absent.hdr", "no such file")):
        with pytest.raises(dm.InputError, match=message):
            Grid.from_header(tmp_path / name)


# --- backgrounds --------------------------------------------------------------------------------------------------


def test_report_and_corrections_end_to_end(tmp_path: Path, survey: Survey) -> None:
    """Written beside the mosaic; the table gives the same mosaic again, without a fit."""
    arguments = ("mosaic", survey.folder, "-o", tmp_path / "m.fits", "--report", tmp_path / "bg")
    output = call(*arguments, "--write-corrections", tmp_path / "c.ecsv").output
    assert names(tmp_path) == ["bg.json", "bg.png", "bg.txt", "c.ecsv", "m.fits", "m_area.fits"]
    assert all(str(tmp_path / name) in output for name in names(tmp_path))
    assert "overlaps    11; rms of the medians" in (tmp_path / "bg.txt").read_text()
    assert len(json.loads((tmp_path / "bg.json").read_text())["images"]) == 6
    again = call("mosaic", survey.folder, "-o", tmp_path / "n.fits", "--corrections", tmp_path / "c.ecsv").output
    assert "overlaps" not in again
    with fits.open(tmp_path / "m.fits") as first, fits.open(tmp_path / "n.fits") as second:
        np.testing.assert_allclose(first[0].data, second[0].data, rtol=1e-6)
        assert (first[0].header["BACKGRND"], second[0].header["BACKGRND"]) == ("plane", "given")


def test_wishes_about_the_background(tmp_path: Path, survey: Survey) -> None:
    output = call(
        "mosaic", survey.folder, "-o", tmp_path / "m.fits", "--lock", "image00.fits", "--lock", "image05.fits",
        "--slope-prior", "none",
    ).output  # fmt: skip
    assert "gauge     2 locked images in the one connected group" in output
    relaxed = ("--solver", "relaxation", "--anchor", "image01.fits", "--background", "level")
    output = call("plan", survey.folder, *relaxed).output
    assert "anchored to image01.fits;  solved by relaxation" in output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--anchor", "nobody.fits"), "anchor 'nobody.fits' is none of the 6 images"),
        (("--slope-prior", "steep"), "neither a number nor 'auto' or 'none'"),
        (("--corrections", "missing.ecsv"), "missing.ecsv is no table of corrections"),
        (("--background", "none", "--report", "bg"), "matches nothing"),
        (("--report", "nowhere/bg"), "nowhere"),
    ],
)
def test_what_cannot_be_matched_is_refused_before_any_work(
    tmp_path: Path, survey: Survey, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code = 2 if "steep" in options else 1
    assert message in call("mosaic", survey.folder, "-o", "m.fits", *options, code=code).output
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--png", "m.png", "--report", "m"), "another product of this run"),
        (("--write-corrections", "m.fits"), "another product of this run"),
        (("--write-corrections", "IMAGE"), "one of the images"),
        (("--report", "."), "names no file"),
    ],
)
def test_no_product_takes_the_place_of_another_file(
    tmp_path: Path, survey: Survey, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    image = survey.paths[2]
    before = image.read_bytes()
    given = [str(image) if option == "IMAGE" else option for option in options]
    assert message in call("mosaic", survey.folder, "-o", "m.fits", *given, code=1).output
    assert names(tmp_path) == [] and image.read_bytes() == before


def test_a_run_goes_on_with_more_images_on_its_grid(tmp_path: Path, survey: Survey) -> None:
    """What is refused by its grid says how to keep it; status and verify tell what became of it."""
    some = tmp_path / "some"
    some.mkdir()
    for path in survey.paths[:4]:
        shutil.copy2(path, some)
    out, store = tmp_path / "m.fits", tmp_path / "run.zarr"
    call("mosaic", some, "-o", out, "--workdir", store)
    shutil.copy2(survey.paths[5], some)
    refused = call("mosaic", some, "-o", out, "--workdir", store, code=1).stderr
    assert "holds another run: another grid" in refused and f"keep its grid (--header {store})" in refused
    assert "(4 from the store)" in call("mosaic", some, "-o", out, "--workdir", store, "--header", store).output
    told = call("status", store).output
    assert "project     5 of 5 rows" in told and "background  plane, solved" in told
    assert "all as it should be" in call("verify", store).output
    assert "all as it should be" in call("verify", out).output
    data = bytearray(out.read_bytes())
    data[-3000] ^= 1
    out.write_bytes(data)
    assert "is not what its images give" in call("verify", out, code=1).stderr
    assert "is no dmontage run; name another --workdir" in call("status", some, code=1).stderr
    assert "there is no " in call("status", tmp_path / "nothing.zarr", code=1).stderr
    other = call("mosaic", some, "-o", out, "--workdir", store, "--header", store, "--pixfrac", "0.8", code=1).stderr
    assert "another drop; choose another --workdir, remove it\n" in other, "that and nothing else"
