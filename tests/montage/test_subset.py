"""mSubset and mCoverageCheck: what overlaps, against places that are known."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import FK5, SkyCoord
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from dmontage.errors import InputError
from dmontage.grid import Grid
from dmontage.montage import mCoverageCheck, mImgtbl, mSubset
from dmontage.montage.regions import cap_region, grid_region, overlap, polygon_region
from dmontage.montage.tables import grid_of_row, read_rows, write_rows
from dmontage.sphere import unit_vectors

SIDE = 0.1


def vector(ra: float, dec: float) -> np.ndarray:
    return unit_vectors(np.radians(np.array(ra)), np.radians(np.array(dec)))


def square(ra: float, dec: float, frame: str = "fk5", side: float = SIDE, turn: float = 0.0, **how: Any) -> Grid:
    return Grid.around(
        SkyCoord(ra, dec, unit="deg", frame=FK5()),
        f"{side} deg",
        "10 arcsec",
        frame=frame,
        rotation=f"{turn} deg",
        **how,
    )


@pytest.fixture
def table(tmp_path: Path) -> str:
    """Five images along a parallel, 0.09 degrees apart, over the seam of right ascension; the last is galactic."""
    (tmp_path / "raw").mkdir()
    for number in range(5):
        grid = square(359.85 + 0.09 * number, 0.0, "galactic" if number == 4 else "fk5")
        fits.writeto(tmp_path / f"raw/{number}.fits", np.zeros(grid.shape, np.float32), grid.to_header(naxis=False))
    mImgtbl(str(tmp_path / "raw"), str(tmp_path / "t.tbl"))
    return str(tmp_path / "t.tbl")


def chosen(path: Path) -> list[int]:
    return [row["cntr"] for row in read_rows(str(path), ("cntr",))]


def template(path: Path, grid: Grid) -> str:
    path.write_text(grid.to_template())
    return str(path)


@pytest.mark.parametrize(
    ("grid", "rows"),
    [
        (square(359.85, 0.0), [0, 1]),
        (square(0.03, 0.0, side=0.02), [2]),
        (square(0.075, 0.0, "galactic", side=0.005), [2, 3]),
        (square(0.0, 0.0, side=2.0), [0, 1, 2, 3, 4]),
        (square(0.0, 3.0), []),
        (square(180.0, 0.0), []),
    ],
)
def test_a_subset(table: str, tmp_path: Path, grid: Grid, rows: list[int]) -> None:
    """Rows are copied as they are, letter for letter."""
    told = mSubset(table, template(tmp_path / "a.hdr", grid), str(tmp_path / "s.tbl"))
    assert told == {"status": "0", "count": 5, "nmatches": len(rows)}
    assert chosen(tmp_path / "s.tbl") == rows
    assert set((tmp_path / "s.tbl").read_text().splitlines()) <= set(Path(table).read_text().splitlines())


@pytest.mark.parametrize(
    ("mode", "array", "rows"),
    [
        (3, [359.85, 0.0], [0]),
        (3, [359.895, 0.04], [0, 1]),
        (3, [359.85, 0.0501], []),
        (2, [0.03, 0.1, 0.049], []),
        (2, [0.03, 0.1, 0.051], [2]),
        (2, [0.0, 0.0, 100.0], [0, 1, 2, 3, 4]),
        (2, [359.84, 0.01, 0.001], [0]),
        (1, [359.9, 0.0, 0.001], [0, 1]),
        (1, [0.03, 0.07, 0.01, 0.03], []),
        (1, [0.03, 0.07, 0.03, 0.03, 45.0], [2]),
        (0, [359.89, -1, 359.89, 1, 0.03, 1, 0.03, -1], [0, 1, 2]),
        (0, [0.03, 1, 359.89, -1, 359.89, 1], [0, 1]),
    ],
)
def test_a_region(table: str, tmp_path: Path, mode: int, array: list[float], rows: list[int]) -> None:
    out = tmp_path / "s.tbl"
    told = mCoverageCheck(table, str(out), mode, narray=len(array), array=np.array(array))
    assert told == {"status": "0", "count": len(rows)} and chosen(out) == rows
    told = mCoverageCheck(table, str(out), mode, array=array, path=str(tmp_path / "raw"))
    assert told["count"] == len(rows)


def test_a_region_by_a_template(table: str, tmp_path: Path) -> None:
    header = template(tmp_path / "a.hdr", square(359.85, 0.0))
    assert mCoverageCheck(table, str(tmp_path / "s.tbl"), 4, hdrfile=header)["count"] == 2


def test_offsets_of_maps_have_no_meaning(table: str, tmp_path: Path) -> None:
    header = template(tmp_path / "region.hdr", square(359.95, 0.0))
    for name, more in (("s.tbl", {}), ("o.tbl", {"xoff": 500.0, "yoff": -70.0})):
        mCoverageCheck(table, str(tmp_path / name), 4, hdrfile=header, **more)
    assert (tmp_path / "s.tbl").read_text() == (tmp_path / "o.tbl").read_text()


def test_cutouts(table: str, tmp_path: Path) -> None:
    """Rows tell the pixels within the box: the same sky at them, and no more of them than reach into it."""
    box = [0.03, 0.01, 0.02, 0.03]
    assert mCoverageCheck(table, str(tmp_path / "s.tbl"), 5, array=box)["count"] == 1
    (row,) = read_rows(str(tmp_path / "s.tbl"), ())
    part, whole = grid_of_row(row), square(0.03, 0.0)
    assert part.shape == pytest.approx((0.03 * 360, 0.02 * 360), abs=2)
    x, y = (float(a) for a in whole.pixel(part.sky(np.array(0.0), np.array(0.0))))
    assert (x, y) == pytest.approx((round(x), round(y)), abs=1e-6)
    box_x, box_y = 17.5 - 0.01 * 360, 17.5  # of the box's own first edges, in pixels of the whole
    assert -1.0 < x - 0.5 - (box_x - 0.0) < 1.0 and -1.0 < y - 0.5 - (box_y + 0.01 * 360 - 0.015 * 360) < 1.0
    assert (row["ra"], row["dec"]) == pytest.approx((0.03, 0.01), abs=SIDE / 36)
    assert row["fname"].endswith("2.fits")


@given(st.floats(0, 360), st.floats(-85, 85), st.floats(0, 90), st.floats(0.0, 3.0), st.floats(0, 360))
def test_overlap_of_squares(ra: float, dec: float, turn: float, apart: float, towards: float) -> None:
    """As two circles tell: those inside that touch do overlap, those around that do not touch do not; both ways."""
    here = SkyCoord(ra, dec, unit="deg", frame=FK5())
    there = here.directional_offset_by(towards * np.pi / 180, apart * SIDE * np.pi / 180)
    a, b = grid_region(square(ra, dec)), grid_region(square(there.ra.deg, there.dec.deg, "galactic", turn=turn))
    told = overlap(a, b)
    assert told == overlap(b, a)
    if apart < 0.99:
        assert told
    if apart > 1.43:
        assert not told


def test_shapes_that_cross() -> None:
    """No corner, nor any point of a mesh, of one lies in the other."""
    wide = grid_region(square(10.0, 20.0, shape=(3, 4000)))
    tall = grid_region(square(10.0, 20.01, shape=(4000, 3)))
    aside = grid_region(square(18.0, 20.0, shape=(4000, 3)))
    assert overlap(wide, tall) and overlap(tall, wide) and not overlap(wide, aside)
    whole = grid_region(Grid.around("0 0", shape=(180, 360), scale="1 deg", projection="CAR"))
    assert overlap(whole, wide) and overlap(wide, whole)
    assert overlap(whole, cap_region(vector(77.7, -33.3), 0.0))


def test_a_side_along_a_parallel_is_no_great_circle() -> None:
    """Of a map of 60 degrees: the circle through two corners passes 3.4 degrees north of the side between them."""
    wide = grid_region(Grid.around("0 50", shape=(40, 120), scale="0.5 deg", projection="CAR"))
    north = np.degrees(np.arctan(np.tan(np.radians(60.0)) / np.cos(np.radians(30.0))))
    for dec, told in ((59.99, True), (60.2, False), (north, False)):
        assert overlap(wide, grid_region(square(0.0, float(dec)))) == told


def test_polygons_that_are_none() -> None:
    """Not convex, or without a size."""
    corners = [vector(*place) for place in ((0, 0), (2, 0), (0.5, 0.5), (0, 2))]
    with pytest.raises(InputError, match="not convex"):
        polygon_region(np.array(corners))
    with pytest.raises(InputError, match="are the same"):
        polygon_region(np.array([corners[0], corners[0], corners[3]]))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"infile": "no.tbl"}, "Invalid image metadata file: no.tbl"),
        ({"infile": "other.tbl"}, "Invalid image metadata file: other.tbl: it has no naxis1"),
        ({"mode": 6}, "mode is 6"),
        ({"array": [1.0]}, "mode 3 (POINT) needs 2 numbers, not 1"),
        ({"array": [1.0, float("nan")]}, "are not all numbers"),
        ({"array": [1.0, 91.0]}, "must lie from -90 to 90"),
        ({"mode": 2, "array": [1.0, 1.0, 0.0]}, "must be above 0"),
        ({"mode": 1, "array": [1.0, 1.0, 120.0]}, "is too wide"),
        ({"mode": 0, "array": [1.0, 1.0, 1.0, 2.0, 3.0]}, "needs 6 numbers or more, not 5"),
        ({"mode": 4, "hdrfile": "no.hdr"}, "Template file not found."),
        ({"path": "none"}, "no such file"),
        ({"outfile": "none/s.tbl"}, "cannot write"),
    ],
)
def test_what_is_refused(
    table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows("other.tbl", {"cntr": int, "fname": str}, [(0, "a.fits")])
    usual: dict[str, Any] = {"infile": "rel.tbl", "outfile": "s.tbl", "mode": 3, "array": [0.03, 0.0]}
    mImgtbl("raw", "rel.tbl")
    answer = mCoverageCheck(**(usual | given))
    assert answer["status"] == "1" and message in answer["msg"] and not Path("s.tbl").exists()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("no.tbl", "a.hdr"), "Invalid image metadata file: no.tbl"),
        (("t.tbl", "no.hdr"), "Template file not found."),
        (("t.tbl", "bad.hdr"), "Output wcsinit() failed."),
    ],
)
def test_what_a_subset_refuses(
    table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: tuple[str, str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    template(Path("a.hdr"), square(0, 0))
    Path("bad.hdr").write_text("NAXIS1  = 5\nEND\n")
    answer = mSubset(*files, "s.tbl")
    assert answer["status"] == "1" and message in answer["msg"] and not Path("s.tbl").exists()


@pytest.mark.skipif(shutil.which("mCoverageCheck") is None, reason="Montage is not installed")
@pytest.mark.parametrize("words", ["-point 359.84 0.01", "-circle 0.03 0.1 0.06", "-box 0.03 0.0 0.2 0.01 0.0"])
def test_beside_montage(table: str, tmp_path: Path, words: str) -> None:
    mode, *numbers = words.split()
    asked = ["mCoverageCheck", table, str(tmp_path / "theirs.tbl"), mode, *numbers]
    subprocess.run(asked, capture_output=True, check=True)
    array = [float(number) for number in numbers]
    mCoverageCheck(table, str(tmp_path / "ours.tbl"), {"-point": 3, "-circle": 2, "-box": 1}[mode], array=array)
    assert chosen(tmp_path / "ours.tbl") == chosen(tmp_path / "theirs.tbl") != []
