"""Jobs that are planned before any image is there: mDAGTbls, mDiffFit, mConcatFit."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from dmontage import InputError
from dmontage.fits_files import one_image, write_image
from dmontage.grid import Grid
from dmontage.montage import raising
from dmontage.montage.answer_line import told_in
from dmontage.montage.program import main
from dmontage.montage.tables import write_rows
from dmontage.window import Window

ARCHIVE: dict[str, type] = {
    "cntr": int, "ctype1": str, "ctype2": str, "naxis1": int, "naxis2": int, "crval1": float, "crval2": float,
    "crpix1": float, "crpix2": float, "cdelt1": float, "cdelt2": float, "crota2": float, "URL": str, "file": str,
}  # fmt: skip
"""Columns of an archive's table."""


@pytest.fixture
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three images on the template, of which the third has no pixel in common with the first."""
    monkeypatch.chdir(tmp_path)
    Path("t.hdr").write_text(Grid.around("84.0 10.0", scale="1 arcsec", shape=(130, 130)).to_template())
    for k, (x0, level) in enumerate(((0, 5.0), (10, 2.0), (60, 1.0)), 1):
        grid = Grid.from_header("t.hdr").subgrid(Window(0, 20, x0, x0 + 30))
        write_image(Path(f"p{k}.fits"), np.full(grid.shape, level), grid)
        write_image(Path(f"p{k}_area.fits"), np.full(grid.shape, grid.scale**2), grid)
    return tmp_path


def test_answers_that_tell_no_fit(pairs: Path) -> None:
    """A planned pair may have no pixel in common: that ends no workflow, and the table leaves it out."""
    assert main("mDiffFit", ["-s", "far.txt", "p1.fits", "p3.fits", "far.fits", "t.hdr"]) == 0
    said = told_in(Path("far.txt").read_text())
    assert said["stat"] == "ERROR" and said["msg"].startswith("Images don't overlap") and not Path("far.fits").exists()
    assert main("mDiffFit", ["-b", "12", "-s", "few.txt", "p1.fits", "p2.fits", "few.fits", "t.hdr"]) == 0
    assert "Too few pixels to fit" in Path("few.txt").read_text()
    assert main("mDiffFit", ["-s", "none.txt", "p1.fits", "none.fits", "d.fits", "t.hdr"]) == 1  # it should be there
    assert main("mDiffFit", ["-s", "near.txt", "p1.fits", "p2.fits", "near.fits", "t.hdr"]) == 0
    assert one_image("near.fits").grid.shape == (20, 20)
    Path("odd.txt").write_text('[struct stat="OK", a=1, b=2]\n')
    Path("warned.txt").write_text('[struct stat="WARNING", msg="hm"]\n')
    names = ("far", "few", "near", "gone", "odd", "warned")
    write_rows("stat.tbl", {"cntr1": int, "cntr2": int, "stat": str},
               [(k, k + 1, f"{name}.txt") for k, name in enumerate(names)])  # fmt: skip
    assert raising.mConcatFit("stat.tbl", "fits.tbl", ".") == {"count": 6, "failed": 3, "missing": 1, "warning": 1}
    table = Table.read("fits.tbl", format="ascii.ipac")
    assert table["plus"].tolist() == [2] and table["minus"].tolist() == [3]
    assert table["c"][0] == pytest.approx(3.0) and table["npixel"][0] == 400 and table["a"][0] == 0.0
    with pytest.raises(InputError, match="Cannot access gone"):
        raising.mConcatFit("stat.tbl", "fits.tbl", "gone")
    with pytest.raises(InputError, match="Invalid statfiles metadata file"):
        raising.mConcatFit("none.tbl", "fits.tbl", ".")
    with pytest.raises(InputError, match="Need columns: cntr1 cntr2 stat"):
        raising.mConcatFit("fits.tbl", "more.tbl", ".")


def test_a_difference_and_its_fit_in_one(pairs: Path) -> None:
    """What mDiff and mFitplane give one after the other."""
    raising.mDiff("p1.fits", "p2.fits", "two.fits", "t.hdr")
    found = raising.mDiffFit("p1.fits", "p2.fits", "one.fits", "t.hdr", border=2)
    assert found == raising.mFitplane("two.fits", border=2)
    np.testing.assert_array_equal(fits.getdata("one.fits"), fits.getdata("two.fits"))
    np.testing.assert_array_equal(fits.getdata("one_area.fits"), fits.getdata("two_area.fits"))
    raising.mDiffFit("p1.fits", "p2.fits", "bare.fits", "t.hdr", noAreas=True)
    assert not Path("bare_area.fits").exists()


def test_a_plan_is_whole_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that fall together would make one job of two; of three tables none is left alone."""
    monkeypatch.chdir(tmp_path)
    grid = Grid.around("84.0 10.0", scale="1 arcsec", shape=(130, 120))
    Path("t.hdr").write_text(grid.to_template())
    cards = grid.to_header()
    linear = [cards[key] for key in ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CDELT1", "CDELT2")]

    def write(*names: str) -> None:
        write_rows("i.tbl", ARCHIVE, [[k, "RA---TAN", "DEC--TAN", 120, 130, *linear, 0.0, "", name]
                                      for k, name in enumerate(names, 1)])  # fmt: skip

    write("a/x.fits", "b/x.fits.gz")
    with pytest.raises(InputError, match=r"image 1 \(a/x.fits\) and image 2 \(b/x.fits\) would both go to px.fits"):
        raising.mDAGTbls("i.tbl", "t.hdr", "raw.tbl", "p.tbl", "c.tbl")
    write("a/x.fits", "b/y.fits")
    with pytest.raises(InputError, match=r"cannot write gone/p\.tbl"):
        raising.mDAGTbls("i.tbl", "t.hdr", "raw.tbl", "gone/p.tbl", "c.tbl")
    with pytest.raises(InputError, match=r"cannot write two files to p\.tbl"):
        raising.mDAGTbls("i.tbl", "t.hdr", "raw.tbl", "p.tbl", "p.tbl")
    assert {path.name for path in tmp_path.iterdir()} == {"t.hdr", "i.tbl"}
    assert raising.mDAGTbls("i.tbl", "t.hdr", "raw.tbl", "p.tbl", "c.tbl") == {"count": 2, "total": 2}


def test_tables_that_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of images that reach the template, to its pixels; what Montage's program says of the same is near."""
    monkeypatch.chdir(tmp_path)
    template = Grid.around("84.0 10.0", scale="1 arcsec", shape=(130, 120))
    Path("t.hdr").write_text(template.to_template())
    places = ["84.0 10.0", "84.02 10.01", "83.98 9.985", "84.5 10.0"]
    rows = []
    for k, place in enumerate(places):
        cards = Grid.around(place, scale="2 arcsec", shape=(30, 40)).to_header()
        linear = [cards[key] for key in ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CDELT1", "CDELT2")]
        rows.append([k + 5, "RA---TAN", "DEC--TAN", 40, 30, *linear, 20.0, f"http://a/{k}", f"i{k}.fits.gz"])
    write_rows("i.tbl", ARCHIVE, rows)
    words = ["i.tbl", "t.hdr", "raw.tbl", "p.tbl", "c.tbl"]
    assert raising.mDAGTbls("i.tbl", "t.hdr", "raw.tbl", "p.tbl", "c.tbl") == {"count": 3, "total": 4}
    raw, projected, corrected = (Table.read(name, format="ascii.ipac") for name in words[2:])
    assert raw["file"].tolist() == ["i0.fits", "i1.fits", "i2.fits"] and raw["cntr"].tolist() == [5, 6, 7]
    assert projected["file"].tolist() == ["pi0.fits", "pi1.fits", "pi2.fits"]
    assert corrected["file"].tolist() == ["ci0.fits", "ci1.fits", "ci2.fits"]
    for row, cells, line in zip(projected, rows, raw, strict=False):
        keys = ("ctype1", "ctype2", "naxis1", "naxis2", "crval1", "crval2", "crpix1", "crpix2", "cdelt1", "cdelt2")
        cards = dict(zip(keys, cells[1:], strict=False))
        here = Grid.from_header({"NAXIS": 2, "CROTA2": 20.0} | {key.upper(): value for key, value in cards.items()})
        assert (line["naxis1"], line["crota2"], line["crval1"]) == (40, pytest.approx(20.0), cards["crval1"])
        # All corners of all pixels, by the WCS alone.
        y, x = np.mgrid[-0.5:30, -0.5:40]
        u, v = template.wcs().all_world2pix(*here.wcs().all_pix2world(x, y, 0), 0)
        window = Window(
            int(np.rint(v.min())), int(np.rint(v.max())) + 1, int(np.rint(u.min())), int(np.rint(u.max())) + 1
        )
        inside = window & template.window
        first = (template.to_header()["CRPIX1"] - row["crpix1"], template.to_header()["CRPIX2"] - row["crpix2"])
        assert (row["naxis1"], row["naxis2"]) == inside.shape[::-1] and first == (inside.x0, inside.y0)
    program = shutil.which("mDAGTbls")
    if program is None:
        pytest.skip("Montage's programs for grids are not installed")
    subprocess.run([program, *words[:2], "r2.tbl", "p2.tbl", "c2.tbl"], check=True)
    theirs = Table.read("p2.tbl", format="ascii.ipac")
    assert theirs["file"].tolist() == projected["file"].tolist()
    for key in ("naxis1", "naxis2", "crpix1", "crpix2"):
        np.testing.assert_allclose(np.array(projected[key], float), np.array(theirs[key], float), atol=3.0)
