"""What differs from Montage on purpose, and how to have its own; and that each line of the page has its test.

``ROWS`` names the tests of each row of docs/montage.md's table "What differs on purpose", in its order.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from six_images import write_pair, write_table
from test_corrections import mesh
from their_programs import montagepy

from dmontage.grid import Grid
from dmontage.montage import raising
from dmontage.montage.program import main
from dmontage.montage.tables import read_rows

GRID = Grid.around("10 20", shape=(40, 50), scale="1 arcsec", frame="fk5")
VALUES = np.random.default_rng(1).normal(5.0, 1.0, GRID.shape)
PAGE = Path(__file__).parents[2] / "docs" / "montage.md"

F, M, H, D = (f"test_{name}" for name in (
    "faults_of_montage", "faults_of_montage_mosaics", "faults_of_montage_headers", "defaults"))  # fmt: skip
ROWS: list[tuple[str, str]] = [
    ("mAdd weighs by area files", f"{D}.test_madd_weighs_by_area test_add.test_mean_by_area"),
    ("mAdd: the median of two", f"{M}.test_c22_c23_medians_of_two_and_negative_values"),
    ("mAdd: a count has all values", f"{D}.test_areas_of_counts {M}.test_c22_c23_medians_of_two_and_negative_values"),
    ("mAdd: images without area files", "test_add.test_images_without_area_files_cover_their_pixels"),
    ("pixels that straddle", f"{F}.test_c10_what_straddles_the_border_counts"),
    ("areas are each pixel's own", f"{F}.test_c2_areas_far_from_the_middle"),
    ("mProjectPP, mProjectQL: exact", f"{D}.test_any_frame_and_projection {F}.test_c11_a_quick_look_is_right_too "
     "test_montage_project.test_alternate_headers_are_read_and_change_nothing"),
    ("mProjectQL: areas", f"{F}.test_c11_a_quick_look_is_right_too test_montage_project.test_quick_look_is_exact_too"),
    ("TAN with PV", f"{F}.test_c12_pv_of_a_tangent_plane_is_distortion"),
    ("mDiff: the difference", f"{M}.test_c15_mdiff_of_equal_fields "
     "test_differences.test_equal_fields_differ_by_nothing_whatever_their_areas"),
    ("mFitplane: clipped", "test_match_beside_montage.test_planes_and_boxes_are_the_same"),
    ("mDiffFit: too few", "test_planned.test_answers_that_tell_no_fit"),
    ("mBgModel: one least-squares", f"{M}.test_c17_noise_free_fits {M}.test_c19_a_wrong_pair_bends_no_neighbour "
     "test_corrections.test_levels_only"),
    ("mBgModel: `niteration`", f"{D}.test_iterations_change_nothing test_match_refusals.test_it_says_what_is_wrong"),
    ("mImgtbl: rows in the order", "test_imgtbl.test_a_table"),
    ("mTileHdr: tiles have every pixel", f"{H}.test_tiles_lose_no_pixel test_edit_header.test_tiles"),
    ("mHdr: no network", f"{D}.test_headers_need_no_network"),
    ("mImgtbl: a column `radesys`", f"{D}.test_errors_of_a_file_are_no_images"),
    ("mImgtbl, mExamine: the middle", f"{H}.test_the_middle_and_the_corners"),
    ("mDAGTbls: the raw", "test_planned.test_tables_that_plan"),
    ("mMakeHdr: the least box", "test_makehdr.test_it_holds_all test_makehdr.test_icrs_stays_icrs"),
    ("mTANHdr: any projection", f"{H}.test_mtanhdr_is_solved {D}.test_the_tangent_point_is_the_middle"),
    ("mSubset, mCoverageCheck", f"{H}.test_edges_are_followed_on_the_sphere"),
    ("mCoverageCheck: `xoff`", "test_subset.test_offsets_of_maps_have_no_meaning"),
    ("mExamine: a circle", f"{H}.test_mexamine_sums_a_circle"),
    ("mHistogram: relative", f"{H}.test_mhistogram_reads_the_pixels "
     f"{H}.test_a_histogram_resolves_values_of_all_sizes"),
    ("mHistogram, mViewer: one", f"{D}.test_more_logarithms_are_one"),
    ("tables: all digits", f"{H}.test_tables_have_all_digits"),
]  # fmt: skip


def test_each_row_of_the_page_has_its_tests() -> None:
    lines = PAGE.read_text(encoding="utf-8").partition("| here | Montage |")[2].partition("\n\n")[0].splitlines()[2:]
    assert len(lines) == len(ROWS)
    for line, (row, tests) in zip(lines, ROWS, strict=True):
        assert line.startswith(f"| {row}"), line
        for test in tests.split():
            module, _, name = test.partition(".")
            assert f"def {name}(" in (Path(__file__).parent / f"{module}.py").read_text(encoding="utf-8"), test


def test_each_line_of_the_list_that_montage_fails_has_its_test() -> None:
    """C1 to C30, but for the lines that are of other tools, or of the engine alone; these have theirs elsewhere."""
    text = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    told = {int(number) for number in re.findall(r"\bC(\d+)\b", text)}
    of_the_engine = {6, 7, 14, 16, 20, 25, 30}
    assert set(range(1, 31)) - told <= of_the_engine


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """a.fits, and its template a.hdr."""
    monkeypatch.chdir(tmp_path)
    fits.writeto("a.fits", VALUES, GRID.to_header(naxis=False))
    Path("a.hdr").write_text(GRID.to_template())
    return tmp_path


def two_levels() -> None:
    """1 with areas of 1, 5 with areas of a third."""
    for k, (value, area) in enumerate(((1.0, 1.0), (5.0, 1 / 3))):
        write_pair(Path(f"s{k}.fits"), np.full(GRID.shape, value), GRID, area)
    write_table(Path("s.tbl"), {f"s{k}.fits": GRID for k in range(2)})


def test_madd_weighs_by_area() -> None:
    """Unless told otherwise: MontagePy does not, unless told so."""
    two_levels()
    words = ("", "s.tbl", "a.hdr")
    for more, mean in (({}, 2.0), ({"haveAreas": True}, 2.0), ({"haveAreas": False}, 3.0)):
        raising.mAdd(*words, "ours.fits", **more)
        np.testing.assert_allclose(fits.getdata("ours.fits"), mean, rtol=1e-14)
    assert main("mAdd", ["s.tbl", "a.hdr", "ours.fits"]) == 0
    np.testing.assert_allclose(fits.getdata("ours.fits"), 2.0, rtol=1e-14)
    montagepy("mAdd", ".", *words[1:], "theirs.fits")
    np.testing.assert_allclose(fits.getdata("theirs.fits"), 3.0, rtol=1e-14)


def test_areas_of_counts() -> None:
    """What the values cover, in steradian, as of any mosaic."""
    two_levels()
    raising.mAdd("", "s.tbl", "a.hdr", "mean.fits")
    raising.mAdd("", "s.tbl", "a.hdr", "count.fits", coadd=2)
    assert (fits.getdata("count.fits") == 2.0).all()
    np.testing.assert_allclose(fits.getdata("count_area.fits"), fits.getdata("mean_area.fits"), rtol=1e-14)


def test_any_frame_and_projection() -> None:
    """mProjectPP from galactic CAR onto TAN: the area is that of the image, the level stays."""
    image = Grid.around("10 20", shape=(40, 50), scale="1 arcmin", projection="CAR", frame="galactic")
    fits.writeto("g.fits", np.full(image.shape, 3.0), image.to_header(naxis=False))
    place = SkyCoord(10.0, 20.0, unit="deg", frame="galactic").fk5
    Path("t.hdr").write_text(Grid.around(place, shape=(90, 90), scale="1 arcmin", frame="fk5").to_template())
    raising.mProjectPP("g.fits", "o.fits", "t.hdr")
    values, area = fits.getdata("o.fits"), fits.getdata("o_area.fits")
    np.testing.assert_allclose(values[area > 0], 3.0, rtol=1e-12)
    assert area.sum() == pytest.approx(image.solid_angle(image.window).sum(), rel=1e-8)


def test_iterations_change_nothing(here: Path) -> None:
    """As many as one likes, and the flags of the program that choose a way to iterate."""
    mesh(here, 3, 0.0)
    raising.mBgModel("i.tbl", "f.tbl", "c.tbl")
    found = Path("c.tbl").read_text()
    raising.mBgModel("i.tbl", "f.tbl", "d.tbl", niteration=1)
    assert Path("d.tbl").read_text() == found
    for flags in (["-t"], ["-f"], ["-i", "7"]):
        assert main("mBgModel", [*flags, "i.tbl", "f.tbl", "d.tbl"]) == 0
        assert Path("d.tbl").read_text() == found


def test_headers_need_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """C27: with every connection and every look-up of a host refused."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network is asked")

    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert raising.mHdr("83.82 -5.39", 0.1, 0.1, "b.hdr", csys="GAL")["count"] == 15
    assert raising.mHdr("5h35m17s -5d23m28s", 0.1, 0.1, "b.hdr", band2MASS="j")["count"] == 17


def test_errors_of_a_file_are_no_images() -> None:
    """Its errors and weights are left out, and named; ICRS and FK5 are told apart."""
    Path("raw").mkdir()
    header = Grid.around("10 20", shape=GRID.shape, scale="1 arcsec", frame="icrs").to_header(naxis=False)
    hdus = [fits.ImageHDU(VALUES, header, name=name) for name in ("SCI", "ERR", "WHT")]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto("raw/m.fits")
    Path("a.fits").rename("raw/a.fits")
    skipped = " ".join(raising.mImgtbl("raw", "t.tbl")["skipped"])
    assert "HDU 2" in skipped and "HDU 3" in skipped
    rows = read_rows("t.tbl", ("fname", "hdu", "radesys"))
    assert [(row["fname"], row["hdu"], row["radesys"]) for row in rows] == [("a.fits", 0, "FK5"), ("m.fits", 1, "ICRS")]
    assert montagepy("mImgtbl", "raw", "theirs.tbl")["count"] == 4


def test_the_tangent_point_is_the_middle() -> None:
    """Of the image, wherever its reference pixel lies."""
    far = Grid.around("84 30", shape=(400, 400), scale="20 arcsec", projection="SIN", frame="fk5")
    part = far.subgrid(far.window.shift(0, 0) & far.window.shift(250, 130))
    Path("p.hdr").write_text(part.to_template())
    raising.mTANHdr("p.hdr", "o.hdr")
    made, (ny, nx) = fits.Header.fromtextfile("o.hdr"), part.shape
    middle = part.wcs().all_pix2world((nx - 1) / 2, (ny - 1) / 2, 0)
    assert (made["CRVAL1"], made["CRVAL2"]) == pytest.approx([float(a) for a in middle], abs=1e-9)
    there = WCS(made).all_pix2world((nx - 1) / 2, (ny - 1) / 2, 0)
    assert [float(a) for a in there] == pytest.approx([float(a) for a in middle], abs=1e-9)


def test_more_logarithms_are_one() -> None:
    """The file and the picture of "3" are those of "1" and of "log"."""
    made = []
    for word in ("log", "1", "3"):
        raising.mHistogram("a.fits", "a.hist", "min", "max", word)
        raising.mViewer(f"-gray a.fits min max {word} -out a.png", mode=2)
        made.append((Path("a.hist").read_text(), Path("a.png").read_bytes()))
    assert made[0] == made[1] == made[2]
