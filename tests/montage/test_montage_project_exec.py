"""mProjExec: what it makes of a table of images, and how it tells what became of each."""

from __future__ import annotations

import logging
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from surveys import image_header, write_image

from dmontage.grid import Grid
from dmontage.montage import mProject, mProjExec
from dmontage.montage.tables import write_rows

NAMES = ("a.fits", "b.fits.gz", "sub/c.fit", "far.fits", "blank.fits")
MADE = ("hdu0_a", "hdu0_b.fits.gz", "hdu0_c")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images in raw/, their table, a template, a folder proj/."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(3)
    (tmp_path / "raw/sub").mkdir(parents=True)
    (tmp_path / "proj").mkdir()
    for k, name in enumerate(NAMES):
        header = image_header(10 * k, 5 * k, rotation=3 * k, shape=(40, 50))
        data = np.full((40, 50), np.nan) if name == "blank.fits" else rng.normal(100, 1, (40, 50))
        write_image(tmp_path / "raw" / name, data, header, **({"CRVAL1": 10.0} if name == "far.fits" else {}))
    (tmp_path / "t.hdr").write_text(Grid.from_header(image_header(20, 10, scale=2.3), (80, 100)).to_template())
    table(*NAMES)
    return tmp_path


def table(*names: str, **columns: list[float]) -> None:
    kinds = {"cntr": int, "hdu": int, "fname": str} | dict.fromkeys(columns, float)
    write_rows(
        "images.tbl", kinds, list(zip(range(len(names)), [0] * len(names), names, *columns.values(), strict=True))
    )


def run(**options: Any) -> dict[str, Any]:
    return mProjExec("raw", "images.tbl", "t.hdr", projdir="proj", **options)


def made() -> set[str]:
    return {path.name for path in Path("proj").iterdir()}


def test_all_images_are_accounted_for(work: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "dmontage"):
        assert run(stats="stats.tbl") == {"status": "0", "count": 5, "failed": 1, "nooverlap": 1}
    assert made() == {f"{stem}{end}.fits" for stem in MADE for end in ("", "_area")}
    assert [record.message for record in caplog.records if "blank.fits is left out: All pixels" in record.message]
    told = Table.read("stats.tbl", format="ascii.ipac")
    assert list(told["fname"]) == list(NAMES) and (told["time"] > 0).all()
    assert list(told["message"][:3]) == ["OK"] * 3
    assert told["message"][3].startswith("No overlap") and told["message"][4].startswith("All pixels are blank.")


def test_each_is_what_mproject_makes(work: Path) -> None:
    run(quickMode=True)
    mProject("raw/sub/c.fit", "alone.fits", "t.hdr")
    for end in ("", "_area"):
        np.testing.assert_array_equal(fits.getdata(f"proj/hdu0_c{end}.fits"), fits.getdata(f"alone{end}.fits"))


def test_scales_and_weights_of_the_table(work: Path) -> None:
    run()
    plain = [fits.getdata(f"proj/hdu0_a{end}.fits") for end in ("", "_area")]
    table(*NAMES, scale=[2.0] * 5, W=[3.0, 1.0, 1.0, 1.0, 0.0])
    assert run(scaleCol="scale", weightCol="W")["failed"] == 1
    np.testing.assert_allclose(fits.getdata("proj/hdu0_a.fits"), 2 * plain[0], rtol=1e-14)
    np.testing.assert_allclose(fits.getdata("proj/hdu0_a_area.fits"), 3 * plain[1], rtol=1e-14)


def test_options_reach_the_images(work: Path) -> None:
    run(energyMode=True, border="5", wholeImages=True, drizzle=0.5)
    mProject("raw/a.fits", "alone.fits", "t.hdr", energyMode=True, borderstr="5", expand=True, drizzle=0.5)
    np.testing.assert_array_equal(fits.getdata("proj/hdu0_a.fits"), fits.getdata("alone.fits"))


def test_restart(work: Path) -> None:
    assert run(restart=2)["count"] == 3
    assert made() == {"hdu0_c.fits", "hdu0_c_area.fits"}


def test_a_table_without_hdu(work: Path) -> None:
    write_rows("images.tbl", {"cntr": int, "fname": str}, [(1, "a.fits")])
    assert run() == {"status": "0", "count": 1, "failed": 0, "nooverlap": 0}
    assert made() == {"a.fits", "a_area.fits"}


def test_two_images_of_one_name_are_refused(work: Path) -> None:
    (work / "raw/sub/a.fits").write_bytes((work / "raw/a.fits").read_bytes())
    table("a.fits", "sub/a.fits")
    answer = run()
    assert answer["status"] == "1" and "raw/sub/a.fits would both go to" in answer["msg"]
    assert not made()
    table("a.fits", "a.fits")  # the same twice is the same
    assert run() == {"status": "0", "count": 2, "failed": 0, "nooverlap": 0}


def test_a_missing_image_counts_as_failed(work: Path) -> None:
    table("a.fits", "none.fits")
    assert run(stats="stats.tbl") == {"status": "0", "count": 2, "failed": 1, "nooverlap": 0}
    assert "none.fits missing or invalid FITS" in Table.read("stats.tbl", format="ascii.ipac")["message"][1]


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("none.tbl", "t.hdr"), {}, "Invalid image metadata file: none.tbl"),
        (("t.hdr", "t.hdr"), {}, "Invalid image metadata file: t.hdr"),
        (("other.tbl", "t.hdr"), {}, "Need columns: cntr fname"),
        (("images.tbl", "none.hdr"), {}, "Template file not found."),
        (("images.tbl", "images.tbl"), {}, "Output wcsinit() failed."),
        (("images.tbl", "t.hdr"), {"projdir": "nowhere"}, "Output directory (nowhere) does not exist"),
        (("images.tbl", "t.hdr"), {"restart": 9}, "restart is 9"),
        (("images.tbl", "t.hdr"), {"scaleCol": "zz"}, "Need column zz in input"),
        (("images.tbl", "t.hdr"), {"weightCol": "fname"}, "column fname must hold numbers"),
        (("images.tbl", "t.hdr"), {"drizzle": -1.0}, "drizzle -1.0"),
        (("images.tbl", "t.hdr"), {"border": "x"}, "border 'x'"),
    ],
)
def test_bad_input(work: Path, arguments: tuple[str, str], options: dict[str, Any], words: str) -> None:
    write_rows("other.tbl", {"name": str}, [("a",)])
    answer = mProjExec("raw", *arguments, **({"projdir": "proj"} | options))
    assert answer["status"] == "1" and words in answer["msg"], answer
    assert not made()


def test_on_a_cluster(work: Path, request: pytest.FixtureRequest) -> None:
    """Tasks are plain values that workers of other processes understand, and files lie where they are looked for."""
    run()
    threads = {name: fits.getdata(f"proj/{name}") for name in made()}
    for name in threads:
        (work / "proj" / name).unlink()
    request.getfixturevalue("client")
    assert run() == {"status": "0", "count": 5, "failed": 1, "nooverlap": 1}
    assert made() == threads.keys()
    for name, pixels in threads.items():
        np.testing.assert_array_equal(fits.getdata(f"proj/{name}"), pixels)


@pytest.mark.skipif(shutil.which("mProjExec") is None, reason="needs Montage's mImgtbl and mProjExec")
def test_beside_the_program(work: Path) -> None:
    """By Montage's own table: the same files, shapes and values."""
    (work / "theirs").mkdir()
    for command in ("mImgtbl -r raw images.tbl", "mProjExec -p raw images.tbl t.hdr theirs stats.tbl"):
        done = subprocess.run(command.split(), check=True, capture_output=True, text=True, timeout=60)
        assert 'stat="OK"' in done.stdout
    answer = run()
    assert f"count={answer['count']}, failed={answer['failed']}, nooverlap={answer['nooverlap']}" in done.stdout
    assert made() == {path.name for path in Path("theirs").iterdir()}
    for name in sorted(made()):
        mine, theirs = fits.getdata(f"proj/{name}"), fits.getdata(f"theirs/{name}")
        assert mine.shape == theirs.shape
        # The program drops a last row of parts of pixels here and there: see the whole ones.
        whole = fits.getdata(f"proj/{name.removesuffix('_area.fits').removesuffix('.fits')}_area.fits")
        some = (whole > 0.999 * whole.max())[1:-1, 1:-1]
        np.testing.assert_allclose(mine[1:-1, 1:-1][some], theirs[1:-1, 1:-1][some], rtol=1e-6)
