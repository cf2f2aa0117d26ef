"""Bad tables, cards and words: status "1" and a message, never another error."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from dmontage import montage
from dmontage.montage.program import main


def image(path: Path, crpix1: float, shape: tuple[int, ...] = (20, 20)) -> None:
    cards: dict[str, Any] = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 83.0, "CRVAL2": -5.0}
    cards |= {"CRPIX1": crpix1, "CRPIX2": 10.5, "CDELT1": -1e-3, "CDELT2": 1e-3, "EQUINOX": 2000.0}
    pixels = np.random.default_rng(1).normal(5.0, 1.0, shape)
    fits.writeto(path, pixels, fits.Header(cards))


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two images that overlap, and Montage's tables of them."""
    monkeypatch.chdir(tmp_path)
    for name in ("raw", "out"):
        Path(name).mkdir()
    image(Path("raw/a.fits"), 10.5)
    image(Path("raw/b.fits"), 15.5)
    for answer in (
        montage.mImgtbl("raw", "images.tbl"),
        montage.mGetHdr("raw/a.fits", "t.hdr"),
        montage.mOverlaps("images.tbl", "diffs.tbl"),
        montage.mDiffFitExec("raw", "diffs.tbl", "t.hdr", "out", "fits.tbl", noAreas=True),
        montage.mBgModel("images.tbl", "fits.tbl", "corr.tbl"),
    ):
        assert answer["status"] == "0", answer
    return tmp_path


def blank(source: str, column: str) -> str:
    """The table without the last value of a column."""
    table = Table.read(source, format="ascii.ipac")
    values = table[column]
    table[column] = MaskedColumn(values, mask=np.arange(len(values)) == len(values) - 1)
    table.write("bad.tbl", format="ascii.ipac", overwrite=True)
    return "bad.tbl"


IMAGES: dict[str, tuple[Any, ...]] = {
    "mProjExec": ("raw", "bad.tbl", "t.hdr", "out"),
    "mAdd": ("raw", "bad.tbl", "t.hdr", "new.fits"),
    "mOverlaps": ("bad.tbl", "new"),
    "mBgModel": ("bad.tbl", "fits.tbl", "new"),
    "mBgExec": ("raw", "bad.tbl", "corr.tbl", "out"),
}
CASES = [("images.tbl", name, column, told) for name, told in IMAGES.items() for column in ("cntr", "fname")]
CASES += [("images.tbl", name, "crpix1", IMAGES[name]) for name in ("mOverlaps", "mBgModel")]
CASES += [("diffs.tbl", "mDiffExec", column, ("raw", "bad.tbl", "t.hdr", "out")) for column in ("plus", "diff")]
CASES += [("diffs.tbl", "mFitExec", column, ("bad.tbl", "new", "out")) for column in ("cntr1", "diff")]
CASES += [
    ("diffs.tbl", "mDiffFitExec", column, ("raw", "bad.tbl", "t.hdr", "out", "new")) for column in ("cntr1", "minus")
]
CASES += [("corr.tbl", "mBgExec", column, ("raw", "images.tbl", "bad.tbl", "out")) for column in ("id", "a")]


@pytest.mark.parametrize(("source", "name", "column", "told"), CASES, ids=[f"{c[1]}-{c[2]}" for c in CASES])
def test_a_row_without_a_value_is_named(work: Path, source: str, name: str, column: str, told: tuple[Any, ...]) -> None:
    blank(source, column)
    answer = getattr(montage, name)(*told)
    assert answer["status"] == "1"
    assert column in answer["msg"] and "bad.tbl" in answer["msg"]
    assert not list(Path().glob("new*"))


def test_a_list_of_images_without_a_name(work: Path) -> None:
    answer = montage.mImgtbl("raw", "new", imgListFile=blank("images.tbl", "fname"))
    assert answer["status"] == "1" and "fname" in answer["msg"]


def test_a_card_that_cannot_be_parsed_is_handed_on(work: Path) -> None:
    raw = bytearray(Path("raw/a.fits").read_bytes())
    end = raw.find(b"END     ")
    raw[end : end + 160] = b"OBSERVER= abc def ghi'".ljust(80) + b"END".ljust(80)
    Path("c.fits").write_bytes(raw)
    for answer in (
        montage.mBackground("c.fits", "0.fits", 0.0, 0.0, 1.0, noAreas=True),
        montage.mSubimage("c.fits", "1.fits", 1, 1, 5, 5, mode=1),
        montage.mShrink("c.fits", "2.fits", 2),
        montage.mFixNaN("c.fits", "3.fits", False, 0.0, 0, [], [], [], []),
    ):
        assert answer["status"] == "0", answer
    for k in range(4):
        assert fits.getheader(f"{k}.fits")["OBSERVER"] == "abc def ghi'"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mTileHdr", ["t.hdr", "new", "nan", "2", "0", "0"]),
        ("mTileHdr", ["t.hdr", "new", "2.5", "2", "0", "0"]),
        ("mTileHdr", ["t.hdr", "new", "2", "2", "0", "0", "0.5"]),
        ("mHdr", ["83 -5", "inf", "new"]),
        ("mShrink", ["raw/a.fits", "new", "inf"]),
        ("mPix2Coord", ["t.hdr", "nan", "1"]),
    ],
)
def test_programs_told_no_finite_or_whole_number(
    work: Path, capsys: pytest.CaptureFixture[str], name: str, words: list[str]
) -> None:
    assert main(name, words) == 1
    assert capsys.readouterr().out.startswith('[struct stat="ERROR", msg="')
    assert not list(Path().glob("new*"))


@pytest.mark.parametrize("array", [None, ["x", 1.0]])
def test_coverage_of_no_numbers(work: Path, array: Any) -> None:
    answer = montage.mCoverageCheck("images.tbl", "new", mode=3, array=array)
    assert answer["status"] == "1" and "array" in answer["msg"]


def test_superscripts_are_no_counts_of_logarithms(work: Path) -> None:
    assert montage.mHistogram("raw/a.fits", "new", "min", "max", "\u00b2")["status"] == "1"
    assert montage.mViewer("-gray raw/a.fits min max \u00b2 -out new.png", mode=2)["status"] == "1"


def test_viewer_takes_a_file_of_json_unless_told_otherwise(work: Path) -> None:
    Path("m.json").write_text('{"gray_file": {"fits_file": "raw/a.fits"}}')
    assert montage.mViewer("m.json", "m.png")["status"] == "0"  # MontagePy's mode is 0


def test_a_circle_larger_than_numbers_is_the_image(work: Path) -> None:
    answer = montage.mExamine("raw/a.fits", 1, ra=83.0, dec=-5.0, radius=1e308)
    assert answer["status"] == "0" and answer["npixel"] == 400


def test_the_fourth_axis_where_the_third_has_one_pixel(work: Path) -> None:
    image(Path("cube.fits"), 10.5, (3, 1, 20, 20))
    values = fits.getdata("cube.fits")
    for plane in (1, 3):
        answer = montage.mExamine("cube.fits", plane4=plane)
        assert answer["aveflux"] == pytest.approx(values[plane - 1].mean(), rel=1e-12)
    assert montage.mExamine("cube.fits", plane4=4)["status"] == "1"


@pytest.mark.parametrize(("words", "n"), [("min 5", "low"), ("5 max", "high")])
def test_fix_nan_goes_on_to_the_minimum_and_the_maximum(work: Path, words: str, n: str) -> None:
    assert main("mFixNaN", ["raw/a.fits", "new.fits", *words.split()]) == 0
    values, found = fits.getdata("raw/a.fits"), fits.getdata("new.fits")
    np.testing.assert_array_equal(np.isnan(found), values <= 5 if n == "low" else values >= 5)


@pytest.mark.skipif(shutil.which("mFixNaN") is None, reason="Montage's programs are not here")
def test_fix_nan_as_montage_has_the_maximum(work: Path) -> None:
    import subprocess

    subprocess.run(["mFixNaN", "raw/a.fits", "theirs.fits", "5", "max"], check=True, capture_output=True)
    main("mFixNaN", ["raw/a.fits", "ours.fits", "5", "max"])
    np.testing.assert_array_equal(fits.getdata("ours.fits"), fits.getdata("theirs.fits"))


def test_a_range_with_both_flags_has_both_ends(work: Path) -> None:
    answer = montage.mFixNaN("raw/a.fits", "-", False, 0.0, 1, [4.0], [1], [6.0], [1])
    values = fits.getdata("raw/a.fits")
    assert answer["rangeCount"] == int(((values >= 4.0) & (values <= 6.0)).sum())


def test_a_page_of_a_file_whose_name_is_not_ascii(work: Path) -> None:
    shutil.copy("raw/a.fits", "é.fits")
    assert montage.mGetHdr("é.fits", "new", htmlMode=1)["status"] == "0"
    assert "é.fits" in Path("new").read_text(encoding="utf-8")
