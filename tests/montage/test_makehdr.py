"""mMakeHdr's templates hold everything that a table lists, and little more."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import FK5, ICRS
from astropy.io import fits

from dmontage.grid import Grid
from dmontage.montage import mImgtbl, mMakeHdr
from dmontage.montage.outline import least_turn
from dmontage.montage.tables import write_rows
from dmontage.sphere import rotate_frame, unit_vectors


def grids(turn: str = "0 deg", frame: str = "fk5") -> list[Grid]:
    return [
        Grid.around(place, shape=(60, 90), scale="5 arcsec", rotation=turn, frame=frame, projection=projection)
        for place, projection in (("40.0 60.0", "SIN"), ("40.2 60.02", "TAN"), ("40.35 60.05", "ZEA"))
    ]


def listed(folder: Path, images: list[Grid], planes: tuple[int, ...] = (), **cards: float) -> str:
    (folder / "raw").mkdir()
    for number, grid in enumerate(images):
        header = grid.to_header(naxis=False)
        header.update(cards)
        fits.writeto(folder / f"raw/{number}.fits", np.zeros((*planes, *grid.shape), np.float32), header)
    assert mImgtbl(str(folder / "raw"), str(folder / "t.tbl"))["count"] == len(images)
    return str(folder / "t.tbl")


def margins(out: Grid, images: list[Grid]) -> np.ndarray:
    """Pixels between the outer edges of all images and of the template: low x, high x, low y, high y."""
    points = np.concatenate([rotate_frame(grid.points_in(ICRS()), ICRS(), out.frame) for grid in images])
    x, y = out.pixel(points)
    ny, nx = out.shape
    return np.array([x.min() + 0.5, nx - 0.5 - x.max(), y.min() + 0.5, ny - 0.5 - y.max()])


@pytest.mark.parametrize("csys", ["EQUJ", "EQUB", "GAL", "ECLJ", "SGAL", "ICRS"])
@pytest.mark.parametrize("north", [0, 1])
def test_it_holds_all(tmp_path: Path, csys: str, north: int) -> None:
    """With a pixel to spare on all sides, and less than another."""
    images = grids("20 deg")
    told = mMakeHdr(listed(tmp_path, images), str(tmp_path / "a.hdr"), csys, northAligned=north)
    out = Grid.from_header(tmp_path / "a.hdr")
    assert (told["status"], told["count"], told["ncube"]) == ("0", 3, 0)
    spare = margins(out, images)
    assert spare.min() >= 1.0 - 1e-6 and spare.max() < 1.8
    assert np.degrees(out.scale) == pytest.approx(5 / 3600, rel=1e-5)
    assert (told["naxis1"], told["naxis2"]) == out.shape[::-1]
    lon, lat = np.radians([told["lon1"], told["lon3"]]), np.radians([told["lat1"], told["lat3"]])
    x, y = out.pixel(unit_vectors(lon, lat))
    assert [*x, *y] == pytest.approx([-0.5, out.shape[1] - 0.5, -0.5, out.shape[0] - 0.5], abs=1e-6)
    assert told["posang"] == 0.0 if north else told["posang"] == pytest.approx(out.to_header()["CROTA2"])


def test_it_turns_with_the_images(tmp_path: Path) -> None:
    """One turned image: its own turn, and its own size with the pixel around."""
    image = Grid.around("40 60", shape=(60, 90), scale="5 arcsec", rotation="20 deg", frame="fk5")
    table = listed(tmp_path, [image])
    told = mMakeHdr(table, str(tmp_path / "a.hdr"))
    assert told["posang"] == pytest.approx(20.0, abs=1e-6) and (told["naxis1"], told["naxis2"]) == (92, 62)
    north = mMakeHdr(table, str(tmp_path / "b.hdr"), northAligned=1)
    assert north["naxis1"] * north["naxis2"] > 1.2 * told["naxis1"] * told["naxis2"]


@pytest.mark.parametrize("angle", [-44.0, -10.0, 0.0, 3.0, 44.0])
def test_the_least_box(angle: float) -> None:
    """Of the corners of a rectangle its own turn, told by geometry; CROTA2 is the turn from x towards -y."""
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    corners = np.array([[0, 0], [30, 0], [30, 10], [0, 10], [4, 3]]) @ np.array([[c, -s], [s, c]])
    assert least_turn(corners) == pytest.approx(angle, abs=1e-9)
    assert least_turn(corners[:2]) == 0.0


def test_icrs_stays_icrs(tmp_path: Path) -> None:
    """Images that say so are not laid on a grid that is turned by 0.02 arcsec; a pixel that is asked for is taken."""
    mMakeHdr(listed(tmp_path, grids(frame="icrs")), str(tmp_path / "a.hdr"), pixelScale=0.01)
    out = Grid.from_header(tmp_path / "a.hdr")
    assert out.frame.name == "icrs" and out.to_header()["CDELT2"] == 0.01


def test_pad_and_limit(tmp_path: Path) -> None:
    table, path = listed(tmp_path, grids()), str(tmp_path / "a.hdr")
    usual = mMakeHdr(table, path)
    more = mMakeHdr(table, path, pad=10)
    assert (more["naxis1"], more["naxis2"]) == (usual["naxis1"] + 18, usual["naxis2"] + 18)
    percent = mMakeHdr(table, path, pad=10, isPercentage=True)
    assert percent["naxis1"] == pytest.approx(1.2 * (usual["naxis1"] - 2), abs=1)
    assert percent["naxis2"] - usual["naxis2"] == pytest.approx(0.2 * (usual["naxis1"] - 2) - 2, abs=1)
    small = mMakeHdr(table, path, maxPixel=50)
    assert small["naxis1"] == 50 and margins(Grid.from_header(path), grids()).min() >= 1.0 - 1e-6
    assert mMakeHdr(table, path, maxPixel=5000)["naxis1"] == usual["naxis1"]


def test_places_and_corners(tmp_path: Path) -> None:
    """Tables without a WCS; across the seam of right ascension, and over a pole."""
    path, out = str(tmp_path / "t.tbl"), str(tmp_path / "a.hdr")
    write_rows(path, {"ra": float, "dec": float}, [(359.9, 1.0), (0.1, 1.2), (0.0, 0.9)])
    told = mMakeHdr(path, out, pixelScale=0.001, northAligned=1)
    assert told["naxis1"] == pytest.approx(202, abs=1) and told["naxis2"] == pytest.approx(302, abs=1)
    ring = [(float(ra), 89.0) for ra in range(0, 360, 10)]
    write_rows(path, {"ra": float, "dec": float}, ring)
    told = mMakeHdr(path, out, pixelScale=0.01)
    assert told["clat"] > 89.9999 and told["naxis1"] == pytest.approx(202, abs=2)
    corners = [10.0, 1.0, 10.0, 2.0, 9.0, 2.0, 9.0, 1.0]
    write_rows(path, {f"{n}{i}": float for i in range(1, 5) for n in ("ra", "dec")}, [corners])
    assert mMakeHdr(path, out, pixelScale=0.01)["naxis2"] == pytest.approx(102, abs=1)
    assert "give pixelScale" in mMakeHdr(path, out)["msg"]


def test_too_wide_a_sky(tmp_path: Path) -> None:
    path, out = str(tmp_path / "t.tbl"), str(tmp_path / "a.hdr")
    write_rows(path, {"ra": float, "dec": float}, [(0.0, 10.0), (120.0, -30.0), (240.0, 50.0)])
    told = mMakeHdr(path, out, pixelScale=1.0)
    grid = Grid.from_header(out)
    assert grid.kind == "AIT" and told["naxis1"] == 327
    for ra, dec in ((0.0, 10.0), (179.9, 0.0), (180.1, 0.0), (0.0, 90.0)):
        x, y = grid.pixel(rotate_frame(unit_vectors(np.radians(ra), np.radians(dec)), FK5(), grid.frame))
        assert 0 <= x < grid.shape[1] and 0 <= y < grid.shape[0]


def test_cubes(tmp_path: Path) -> None:
    """Cubes that share their third axis give it to the template."""
    told = mMakeHdr(listed(tmp_path, grids(), (4,), CRVAL3=7.5, CDELT3=0.5, CRPIX3=1.0), str(tmp_path / "a.hdr"))
    text = (tmp_path / "a.hdr").read_text()
    assert told["ncube"] == 3
    for key, value in (("NAXIS", 3), ("NAXIS3", 4), ("CRVAL3", 7.5), ("CDELT3", 0.5), ("CRPIX3", 1.0)):
        assert f"{key:<8}= {value!r:>20}\n" in text
    Grid.from_header(tmp_path / "a.hdr")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tblfile": "no.tbl"}, "Invalid table file: no.tbl"),
        ({"tblfile": "text.tbl"}, "Invalid table file: text.tbl"),
        ({"tblfile": "other.tbl"}, "Need columns: ra dec"),
        ({"tblfile": "empty.tbl"}, "it has no rows"),
        ({"csys": "xyz"}, "Invalid system string 'xyz'"),
        ({"pixelScale": -1.0}, "Invalid pixel scale -1.0"),
        ({"pad": -1.0}, "pad is -1.0"),
        ({"maxPixel": -1}, "maxPixel is -1"),
        ({"maxPixel": 10, "pad": 5.0}, "leaves no pixel"),
        ({"template": "none/a.hdr"}, "cannot write"),
    ],
)
def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], message: str) -> None:
    monkeypatch.chdir(tmp_path)
    usual: dict[str, Any] = {"tblfile": "t.tbl", "template": "a.hdr", "pixelScale": 0.01}
    write_rows("t.tbl", {"ra": float, "dec": float}, [(10.0, 20.0), (11.0, 20.0)])
    write_rows("other.tbl", {"name": str}, [("a",)])
    write_rows("empty.tbl", {"ra": float, "dec": float}, [])
    Path("text.tbl").write_text("no table\n")
    answer = mMakeHdr(**(usual | given))
    assert answer["status"] == "1" and message in answer["msg"] and not Path("a.hdr").exists()


@pytest.mark.skipif(shutil.which("mMakeHdr") is None, reason="Montage is not installed")
@pytest.mark.parametrize("flags", [[], ["-n"]])
def test_beside_montage(tmp_path: Path, flags: list[str]) -> None:
    """The same place and size, or less: its turn is not always that of the least box, and it rounds sizes down."""
    table = listed(tmp_path, grids("10 deg"))
    ours = mMakeHdr(table, str(tmp_path / "ours.hdr"), northAligned=len(flags))
    words = ["mMakeHdr", *flags, table, str(tmp_path / "x.hdr")]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    theirs = dict(part.strip().split("=") for part in said.strip("\n[]").split(",")[3:])
    sides = [int(theirs[key]) for key in ("naxis1", "naxis2")]
    assert (ours["naxis1"] - 3) * (ours["naxis2"] - 3) <= sides[0] * sides[1]
    if flags:
        assert [ours["naxis1"], ours["naxis2"]] == pytest.approx(sides, abs=2)
        for key in ("clon", "clat"):
            assert ours[key] == pytest.approx(float(theirs[key]), abs=1.5 * 5 / 3600)
