"""mImgtbl's tables, and what Montage makes of them."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import FK5, SkyCoord
from astropy.io import fits
from astropy.table import Table

from dmontage.fits_files import one_image
from dmontage.grid import Grid
from dmontage.montage import mImgtbl
from dmontage.montage.tables import grid_of_row, read_images, read_rows


def grid(n: int = 0, **how: str) -> Grid:
    return Grid.around(f"{10 + n / 50} 20", shape=(30, 40), scale="2 arcsec", rotation="25 deg", **how)


def write(path: Path, g: Grid, planes: tuple[int, ...] = (), **cards: object) -> None:
    header = g.to_header(naxis=False)
    header.update(cards)
    path.parent.mkdir(exist_ok=True)
    fits.writeto(path, np.ones((*planes, *g.shape), np.float32), header)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images, an area, a file of nonsense, one without a WCS, a compressed one, and one in a folder below."""
    top = tmp_path / "raw"
    write(top / "b.fits", grid(1), FILTER="J", MAGZP=20.5)
    write(top / "a.fits", grid(frame="galactic"), FILTER="H")
    write(top / "a_area.fits", grid(frame="galactic"))
    (top / "c.fits").write_bytes(b"nonsense")
    fits.writeto(top / "d.fits", np.ones((5, 6), np.float32))
    (top / "e.fits.gz").write_bytes(gzip.compress((top / "b.fits").read_bytes()))
    write(top / "below" / "f.fits", grid(2, frame="fk5"))
    return top


def test_a_table(folder: Path, tmp_path: Path) -> None:
    """In order of names; what is left out is counted, and told; numbers have all their digits."""
    told = mImgtbl(str(folder), str(tmp_path / "t.tbl"))
    assert {k: v for k, v in told.items() if k != "skipped"} == {
        "status": "0", "count": 3, "nfile": 5, "nhdu": 4, "badfits": 1, "badwcs": 1
    }  # fmt: skip
    assert [text.split(":")[0].rpartition("/")[2] for text in told["skipped"]] == ["c.fits", "d.fits"]
    rows = read_images(str(tmp_path / "t.tbl"), "elsewhere")
    assert [(row.cntr, Path(row.name).name) for row in rows] == [(0, "a.fits"), (1, "b.fits"), (2, "e.fits.gz")]
    assert one_image(rows[0].path, rows[0].hdu).grid == grid(frame="galactic")
    row = rows[1].row
    assert (row["naxis1"], row["naxis2"], row["naxis"], row["naxis3"]) == (40, 30, 2, None)
    wcs = grid(1).wcs()
    assert (row["crval1"], row["crval2"]) == (wcs.wcs.crval[0], wcs.wcs.crval[1])
    around = wcs.pixel_to_world([19.5, -0.5, -0.5, 39.5, 39.5], [14.5, -0.5, 29.5, 29.5, -0.5])
    for i, place in zip(("", 1, 2, 3, 4), around, strict=True):
        assert (row[f"ra{i}"], row[f"dec{i}"]) == pytest.approx((place.ra.deg, place.dec.deg), abs=1e-11)
    assert SkyCoord(row["cra"], row["cdec"]).separation(around[0]).arcsec < 0.1
    ours, back = grid(1), grid_of_row(row)
    ends = np.array([0.0, 39.0]), np.array([0.0, 29.0])
    assert back.frame.name == "icrs" and np.abs(back.sky(*ends) - ours.sky(*ends)).max() < 1e-13


def test_corners_are_j2000(folder: Path, tmp_path: Path) -> None:
    mImgtbl(str(folder), str(tmp_path / "t.tbl"))
    row = read_rows(str(tmp_path / "t.tbl"), ())[0]
    place = grid(frame="galactic").wcs().pixel_to_world(-0.5, -0.5).transform_to(FK5())
    assert (row["ra1"], row["dec1"]) == pytest.approx((place.ra.deg, place.dec.deg), abs=1e-10)


def test_what_is_taken(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are those in the folder where it is told by a relative path."""
    monkeypatch.chdir(tmp_path)

    def names(**how: Any) -> list[str]:
        assert mImgtbl("raw", "t.tbl", **how)["status"] == "0"
        return [row["fname"] for row in read_rows("t.tbl", ("fname",))]

    assert names() == ["a.fits", "b.fits", "e.fits.gz"]
    assert names(recursiveMode=True) == ["a.fits", "b.fits", "below/f.fits", "e.fits.gz"]
    assert names(processAreaFiles=True) == ["a.fits", "a_area.fits", "b.fits", "e.fits.gz"]
    assert names(noGZIP=True) == ["a.fits", "b.fits"]
    assert names(showbad=True) == ["a.fits", "b.fits", "d.fits", "e.fits.gz"]
    Table({"fname": ["below/f.fits", "b.fits"]}).write("l.tbl", format="ascii.ipac")
    assert names(imgListFile="l.tbl") == ["below/f.fits", "b.fits"]


def test_columns(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f.lst").write_text("FILTER char 10\nMAGZP double 20\nNAXIS1X int 5\n")
    mImgtbl("raw", "t.tbl", haveCubes=False, showCorners=False, fieldListFile="f.lst")
    rows = read_rows("t.tbl", ())
    assert [(row["filter"], row["magzp"], row["naxis1x"]) for row in rows[:2]] == [("H", None, None), ("J", 20.5, None)]
    assert not {"naxis", "crval3", "ra1"} & rows[0].keys()
    write(Path("cube/c.fits"), grid(), (3,), CRVAL3=7.5, CDELT3=0.5, CRPIX3=1.0, CTYPE3="FREQ")
    mImgtbl("cube", "c.tbl")
    row = read_rows("c.tbl", ())[0]
    assert [row[name] for name in ("naxis", "naxis3", "crval3", "cdelt3", "naxis4")] == [3, 3, 7.5, 0.5, None]


def test_nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder is a table without rows."""
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    assert mImgtbl("empty", "t.tbl")["count"] == 0 and read_rows("t.tbl", ("cntr", "fname")) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pathname": "nowhere"}, "Cannot access nowhere"),
        ({"tblname": "none/t.tbl"}, "cannot write none/t.tbl"),
        ({"imgListFile": "no.tbl"}, "Cannot open image list file: no.tbl"),
        ({"fieldListFile": "no.lst"}, "Cannot open field list file: no.lst"),
        ({"fieldListFile": "bad.lst"}, "Illegal field type 'complex'"),
        ({"fieldListFile": "same.lst"}, "naxis1 are columns already"),
    ],
)
def test_what_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.lst").write_text("FILTER complex 10\n")
    Path("same.lst").write_text("NAXIS1 int 10\n")
    usual: dict[str, Any] = {"pathname": "raw", "tblname": "t.tbl"}
    answer = mImgtbl(**(usual | given))
    assert answer["status"] == "1" and message in answer["msg"] and not Path("t.tbl").exists()


@pytest.mark.skipif(shutil.which("mImgtbl") is None, reason="Montage is not installed")
def test_beside_montage(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own table says the same to its digits, and its programs read ours as they read theirs."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> str:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    mImgtbl("raw", "ours.tbl", noGZIP=True, recursiveMode=True)
    assert 'stat="OK"' in run("mImgtbl", "-c", "-r", "-z", "raw", "theirs.tbl")
    ours = {row["fname"]: row for row in read_rows("ours.tbl", ())}
    theirs = {row["fname"]: row for row in read_rows("theirs.tbl", ())}
    assert len(ours) == 3 and ours.keys() <= theirs.keys()
    for name, row in ours.items():
        theirs_of = theirs[name]
        for key in (*(f"{key}{i}" for key in ("naxis", "ctype", "crpix", "crval", "cdelt") for i in (1, 2)), "crota2"):
            told = row[key], theirs_of[key]
            assert told[0] == told[1] if isinstance(told[0], str) else told[0] == pytest.approx(told[1], rel=1e-7), key
        # Its other corners are a pixel farther out, its middle half a pixel off, and its galactic system 0.3 arcsec.
        place, other = (SkyCoord(r["ra3"], r["dec3"], unit="deg") for r in (row, theirs_of))
        assert place.separation(other).arcsec < (0.5 if row["ctype1"].startswith("GLON") else 1e-3)
        for i in (1, 2, 4):
            place, other = (SkyCoord(r[f"ra{i}"], r[f"dec{i}"], unit="deg") for r in (row, theirs_of))
            assert place.separation(other).arcsec < 3.5
    (folder / "a.fits").unlink()  # lies elsewhere
    mImgtbl("raw", "ours.tbl", noGZIP=True, recursiveMode=True, showCorners=False)
    run("mImgtbl", "-r", "-z", "raw", "theirs.tbl")
    said = run("mMakeHdr", "ours.tbl", "a.hdr"), run("mMakeHdr", "theirs.tbl", "b.hdr")
    sizes = [re.findall(r"(?:count|naxis.)=\d+", text) for text in said]
    assert sizes[0][0] == "count=2" and sizes[0] == sizes[1]
    assert run("mOverlaps", "ours.tbl", "d.tbl") == run("mOverlaps", "theirs.tbl", "e.tbl")
    Path("p").mkdir()
    assert "count=2, failed=0" in run("mProjExec", "-p", "raw", "ours.tbl", "a.hdr", "p", "s.tbl")
