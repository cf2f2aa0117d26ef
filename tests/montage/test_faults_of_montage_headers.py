"""Faults of Montage's headers, tables and small programs: ours does right, and the fault is really theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from their_programs import montagepy, program

from dmontage.grid import Grid
from dmontage.montage import raising
from dmontage.montage.tables import grid_of_row, read_rows, write_rows

Floats = NDArray[np.float64]
GRID = Grid.around("10 20", shape=(60, 50), scale="1 arcsec", frame="fk5")
VALUES = np.random.default_rng(1).normal(5.0, 1.0, GRID.shape)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """a.fits, and its template a.hdr."""
    monkeypatch.chdir(tmp_path)
    fits.writeto("a.fits", VALUES, GRID.to_header(naxis=False))
    Path("a.hdr").write_text(GRID.to_template())


def test_the_last_row_of_mshrink() -> None:
    """Means of 2 x 2; Montage's are right but for the last row."""
    truth = VALUES.reshape(30, 2, 25, 2).mean(axis=(1, 3))
    raising.mShrink("a.fits", "ours.fits", 2.0)
    np.testing.assert_allclose(fits.getdata("ours.fits"), truth, rtol=1e-13)
    program("mShrink", "a.fits", "theirs.fits", 2)
    off = np.abs(fits.getdata("theirs.fits") - truth).max(axis=1)
    assert off[:-1].max() < 1e-12 and off[-1] > 0.1


def test_tiles_lose_no_pixel() -> None:
    """3 tiles of 50 pixels have 50; mTileHdr's have 48."""
    n: dict[str, int] = {"ours": 0, "theirs": 0}
    for k in range(3):
        raising.mTileHdr("a.hdr", "ours.hdr", 3, 1, k, 0)
        n["ours"] += Grid.from_header("ours.hdr").shape[1]
    assert n["ours"] == 50
    for k in range(3):
        program("mTileHdr", "a.hdr", "theirs.hdr", 3, 1, k, 0)
        n["theirs"] += Grid.from_header("theirs.hdr").shape[1]
    assert n["theirs"] == 48


def test_mexamine_sums_a_circle() -> None:
    """MontagePy's "totalflux" is 0, and its circle is the box around it."""
    y, x = np.indices(GRID.shape)
    inside = VALUES[(x - 24) ** 2 + (y - 29) ** 2 <= 36]
    words: dict[str, Any] = {"ra": 25.0, "dec": 30.0, "radius": 6.0, "locinpix": True, "radinpix": True}
    told = raising.mExamine("a.fits", 2, **words)
    assert told["npixel"] == inside.size == 113 and told["totalflux"] == pytest.approx(inside.sum(), rel=1e-12)
    other = montagepy("mExamine", "a.fits", 2, **words)
    assert other["totalflux"] == 0.0 and other["npixel"] >= 169


def test_an_axis_that_is_not_there_has_no_length() -> None:
    """NAXIS3 and NAXIS4 of a plane are 0; MontagePy gives what its memory held."""
    told = raising.mExamine("a.fits")
    assert (told["naxis"], told["naxis3"], told["naxis4"]) == (2, 0, 0)
    assert montagepy("mExamine", "a.fits")["naxis"] == 2


def test_mtanhdr_is_solved() -> None:
    """The errors it tells are a thousandth of a pixel; MontagePy ends 90 pixels off, with status 0."""
    grid = Grid.around("84 30", shape=(200, 300), scale="20 arcsec", projection="CAR", rotation="25 deg", frame="fk5")
    Path("c.hdr").write_text(grid.to_template())
    told = raising.mTANHdr("c.hdr", "ours.hdr")
    assert max(told[f"{way}{axis}err"] for way in ("fwd", "rev") for axis in "xy") < 1e-3
    other = montagepy("mTANHdr", "c.hdr", "theirs.hdr")
    assert max(other["fwdxerr"], other["fwdyerr"]) > 10.0


def test_mhistogram_reads_the_pixels() -> None:
    """Montage 6.0's reads none, and MontagePy's cannot be called."""
    told = raising.mHistogram("a.fits", "ours.hist", "min", "max", "linear")
    assert (told["datamin"], told["datamax"]) == (VALUES.min(), VALUES.max())
    other = program("mHistogram", "-file", "a.fits", "min", "max", "linear", "-out", "theirs.hist")
    assert other["datamin"] > other["datamax"]
    main = pytest.importorskip("MontagePy.main")
    with pytest.raises(TypeError):
        main.mHistogram("a.fits", "theirs.hist", "min", "max", "linear")


def test_a_histogram_resolves_values_of_all_sizes() -> None:
    """The median to a hundredth of sigma where one pixel is 1e7 sigma: an even bin of the range would be 50 wide."""
    data = VALUES.copy()
    data[7, 7] = 1e7
    fits.writeto("b.fits", data, GRID.to_header(naxis=False))
    told = raising.mHistogram("b.fits", "b.hist", "-1s", "2s", "linear")
    p16, p50, p84 = np.percentile(data, [16, 50, 84])
    sigma = (p84 - p16) / 2
    assert told["minval"] == pytest.approx(p50 - sigma, abs=0.01) and told["maxval"] == pytest.approx(
        p50 + 2 * sigma, abs=0.01
    )
    assert told["datamax"] == 1e7


def test_the_middle_and_the_corners() -> None:
    """Of the pixels, by the WCS; mImgtbl's middle is half a pixel off, and corners of 6.0 a pixel."""
    truth = WCS(GRID.to_header()).all_pix2world([[24.5, 29.5], [-0.5, -0.5], [49.5, 59.5]], 0)
    Path("raw").mkdir()
    Path("a.fits").rename("raw/a.fits")
    raising.mImgtbl("raw", "ours.tbl")
    program("mImgtbl", "-c", "raw", "theirs.tbl")

    def off(name: str) -> list[float]:
        row = read_rows(name, ())[0]
        places = [(row[f"ra{i}"], row[f"dec{i}"]) for i in ("", 1, 3)]
        return [float(np.abs(np.array(a) - b).max() * 3600) for a, b in zip(places, truth, strict=True)]

    assert max(off("ours.tbl")) < 1e-6
    assert off("theirs.tbl")[0] > 0.4 and off("theirs.tbl")[1] > 0.9
    told = raising.mExamine("raw/a.fits")
    found = [(told["rac"], told["decc"]), (told["ra1"], told["dec1"]), (told["ra3"], told["dec3"])]
    np.testing.assert_allclose(found, truth, rtol=0, atol=1e-9)


def test_compressed_images_have_their_own_shape() -> None:
    """C28: of a tile-compressed HDU the image's sides and corners, not those of the table that holds it."""
    Path("raw").mkdir()
    header = GRID.to_header(naxis=False)
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(VALUES, header)]).writeto("raw/a.fits.fz")
    assert raising.mImgtbl("raw", "t.tbl")["count"] == 1
    row = read_rows("t.tbl", ())[0]
    assert (row["naxis1"], row["naxis2"], row["hdu"]) == (50, 60, 1) and grid_of_row(row).shape == GRID.shape
    ours = raising.mGetHdr("raw/a.fits.fz", "o.hdr", 1)
    assert ours["ncard"] > 10


def test_every_file_is_accounted_for() -> None:
    """C27: MontagePy's mProjExec counts no failure unless it writes a table of them."""
    for name in ("raw", "ours", "theirs"):
        Path(name).mkdir()
    fits.writeto("raw/a.fits", VALUES, GRID.to_header(naxis=False))
    fits.writeto("raw/far.fits", VALUES, Grid.around("90 20", shape=GRID.shape, frame="fk5").to_header(naxis=False))
    assert raising.mImgtbl("raw", "i.tbl")["count"] == 2
    told = raising.mProjExec("raw", "i.tbl", "a.hdr", projdir="ours")
    assert (told["count"], told["failed"], told["nooverlap"]) == (2, 0, 1)
    other = montagepy("mProjExec", "raw", "i.tbl", "a.hdr", projdir="theirs", quickMode=False)
    assert other["failed"] == other["nooverlap"] == 0 and len(list(Path("theirs").glob("*_area.fits"))) == 1


def test_edges_are_followed_on_the_sphere() -> None:
    """A CAR strip of 80 degrees lies between its parallels; great circles between its corners run 6 degrees north."""
    cards = {
        "CTYPE1": "RA---CAR", "CTYPE2": "DEC--CAR", "CRVAL1": 180.0, "CRVAL2": 0.0, "CRPIX1": 400.5, "CRPIX2": -579.5,
        "CDELT1": -0.1, "CDELT2": 0.1, "RADESYS": "FK5", "EQUINOX": 2000.0,
    }  # fmt: skip
    Path("s.hdr").write_text(Grid.from_header(cards, (40, 800)).to_template())
    columns = {"cntr": int, "ra": float, "dec": float, "fname": str} | {
        f"{n}{i}": float for i in range(1, 5) for n in ("ra", "dec")
    }
    rows = []
    for k, dec in enumerate((60.0, 66.0)):  # the strip reaches from 58 to 62, the great circles from 64.4 to 67.8
        corners = [180.1, dec, 179.9, dec, 179.9, dec + 0.1, 180.1, dec + 0.1]
        rows.append([k, 180.0, dec, f"{k}.fits", *corners])
    write_rows("i.tbl", columns, rows)
    for fast in (False, True):
        assert raising.mSubset("i.tbl", "s.hdr", "o.tbl", fastMode=fast)["nmatches"] == 1
        assert [row["cntr"] for row in read_rows("o.tbl", ("cntr",))] == [0]


def test_a_template_of_small_pixels_keeps_its_digits() -> None:
    """C26: of 0.0012345678" CDELT has all digits; mMakeHdr writes nine decimals of a degree."""
    small = Grid.around("10 20", shape=GRID.shape, scale="0.0012345678 arcsec", frame="fk5")
    Path("raw").mkdir()
    fits.writeto("raw/a.fits", VALUES, small.to_header(naxis=False))
    raising.mImgtbl("raw", "i.tbl")
    raising.mMakeHdr("i.tbl", "ours.hdr")
    step = small.to_header()["CDELT2"]
    assert fits.Header.fromtextfile("ours.hdr")["CDELT2"] == pytest.approx(step, rel=1e-14)
    program("mMakeHdr", "i.tbl", "theirs.hdr")
    assert abs(fits.Header.fromtextfile("theirs.hdr")["CDELT2"] / step - 1) > 1e-4


def test_tables_have_all_digits() -> None:
    """C26: what is read back is what was written, of images, fits and corrections; Montage's fits have six digits."""
    odd = Grid.around("10.123456789012345 20.987654321098765", shape=(60, 50), scale="1.0000000123 arcsec", frame="fk5")
    Path("raw").mkdir()
    fits.writeto("raw/a.fits", VALUES, odd.to_header(naxis=False))
    raising.mImgtbl("raw", "i.tbl")
    row, header = read_rows("i.tbl", ())[0], odd.to_header()
    assert [row[key] for key in ("crval1", "crval2", "crpix1", "cdelt2")] == [
        header[key] for key in ("CRVAL1", "CRVAL2", "CRPIX1", "CDELT2")
    ]
    fitted = raising.mFitplane("a.fits")
    write_rows("d.tbl", {"cntr1": int, "cntr2": int, "diff": str}, [[0, 1, "a.fits"]])
    raising.mFitExec("d.tbl", "f.tbl", ".")
    assert read_rows("f.tbl", ("c",))[0]["c"] == fitted["c"]
    program("mFitExec", "d.tbl", "theirs.tbl", ".")
    level = read_rows("theirs.tbl", ("c",))[0]["c"]
    assert level == float(f"{level:.5e}")
