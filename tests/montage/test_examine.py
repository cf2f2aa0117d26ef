"""mExamine, mCoord and mPix2Coord, against numpy and astropy."""

from __future__ import annotations

import shutil
import subprocess
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import FK5, ICRS
from astropy.io import fits

from dmontage.grid import Grid
from dmontage.montage import mCoord, mExamine, mPix2Coord

GRID = Grid.around("40 60", shape=(30, 41), scale="5 arcsec", rotation="20 deg", frame="fk5")
Y, X = np.indices(GRID.shape)


@pytest.fixture
def image(tmp_path: Path) -> str:
    values = np.random.default_rng(1).normal(5.0, 2.0, GRID.shape).astype(np.float32)
    values[3, 4], values[20, 30], values[10, 10:13] = 100.0, -50.0, np.nan
    fits.writeto(tmp_path / "a.fits", values, GRID.to_header(naxis=False))
    return str(tmp_path / "a.fits")


def test_the_whole_image(image: str) -> None:
    told, values = mExamine(image), fits.getdata(image).astype(float)
    assert told["status"] == "0" and (told["npixel"], told["nnull"]) == (30 * 41 - 3, 3)
    assert told["aveflux"] == pytest.approx(np.nanmean(values), rel=1e-12)
    assert told["rmsflux"] == pytest.approx(np.nanstd(values), rel=1e-12)
    assert [told[f"{key}max"] for key in ("flux", "x", "y")] == [100.0, 5.0, 4.0]
    assert [told[f"{key}min"] for key in ("flux", "x", "y")] == [-50.0, 31.0, 21.0]
    assert told["sigmamax"] == pytest.approx((100.0 - told["aveflux"]) / told["rmsflux"], rel=1e-12)
    assert told["fluxref"] == values[15, 20] and (told["xref"], told["yref"]) == (21.0, 16.0)
    place = GRID.wcs().pixel_to_world(4, 3)
    assert (told["ramax"], told["decmax"]) == pytest.approx((place.ra.deg, place.dec.deg), abs=1e-10)
    assert (told["proj"], told["csys"], told["equinox"], told["naxis"], told["naxis3"]) == ("TAN", "EQUJ", 2000.0, 2, 0)
    assert told["rotequ"] == pytest.approx(told["crota2"], abs=0.01) and told["crota2"] == pytest.approx(20.0)
    corners = GRID.wcs().pixel_to_world([-0.5, 40.5, 40.5, -0.5], [-0.5, -0.5, 29.5, 29.5])
    for i in range(4):
        assert (told[f"ra{i + 1}"], told[f"dec{i + 1}"]) == pytest.approx((corners[i].ra.deg, corners[i].dec.deg))
    assert told["totalflux"] == 0.0


@pytest.mark.parametrize("mode", [1, 2])
@pytest.mark.parametrize("where", [(20.0, 14.0, 6.1), (0.0, 29.3, 8.5), (10.4, 10.2, 1.1)])
def test_a_circle(image: str, mode: int, where: tuple[float, float, float]) -> None:
    """The same by pixels and by places; the circle may reach beyond the image."""
    x, y, radius = where
    values = fits.getdata(image).astype(float)[(X - x) ** 2 + (Y - y) ** 2 <= radius**2]
    told = mExamine(image, mode, ra=x + 1, dec=y + 1, radius=radius, locinpix=True, radinpix=True)
    good = values[np.isfinite(values)]
    assert (told["npixel"], told["nnull"]) == (len(good), len(values) - len(good))
    assert told["aveflux"] == pytest.approx(good.mean(), rel=1e-12)
    assert told["totalflux"] == pytest.approx(good.sum() if mode == 2 else 0.0, rel=1e-12)
    place = GRID.wcs().pixel_to_world(x, y)
    again = mExamine(image, mode, ra=place.ra.deg, dec=place.dec.deg, radius=radius * 5 / 3600)
    assert again["npixel"] == told["npixel"] and again["fluxmax"] == told["fluxmax"]


def test_planes(tmp_path: Path) -> None:
    values = np.arange(2 * 3)[:, None, None] + np.zeros(GRID.shape)
    header = GRID.to_header(naxis=False)
    fits.writeto(tmp_path / "c.fits", values.reshape(2, 3, *GRID.shape), header)
    told = mExamine(str(tmp_path / "c.fits"), plane3=3, plane4=2)
    assert (told["aveflux"], told["naxis"], told["naxis3"], told["naxis4"]) == (5.0, 4, 3, 2)
    assert "plane3 is 4" in mExamine(str(tmp_path / "c.fits"), plane3=4)["msg"]
    fits.writeto(tmp_path / "d.fits", values.reshape(6, *GRID.shape), header)
    assert mExamine(str(tmp_path / "d.fits"), plane3=5)["aveflux"] == 4.0


def test_a_plane_is_read_and_not_the_cube(tmp_path: Path) -> None:
    """Of 400 planes; without the plane's own pixels it would be less than one."""
    cube = np.arange(400.0)[:, None, None] + np.zeros((100, 100))
    fits.writeto(tmp_path / "c.fits", cube, Grid.around("40 60", shape=(100, 100), scale="5 arcsec").to_header())
    mExamine(str(tmp_path / "c.fits"))  # what is imported on the way
    tracemalloc.start()
    told = mExamine(str(tmp_path / "c.fits"), plane3=321)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert told["aveflux"] == 320.0 and peak < cube.nbytes / 10


def test_pixels_and_places(image: str, tmp_path: Path) -> None:
    """There and back; by astropy; of templates too, and in their own system."""
    place = GRID.wcs().pixel_to_world(9, 19)
    there = mCoord(image, ra=10, dec=20, locinpix=True)
    assert (there["ra"], there["dec"]) == pytest.approx((place.ra.deg, place.dec.deg), abs=1e-11)
    back = mCoord(image, ra=there["ra"], dec=there["dec"])
    assert (back["xpix"], back["ypix"]) == pytest.approx((10.0, 20.0), abs=1e-6)
    galactic = Grid.around("130 -20", shape=(30, 41), scale="5 arcsec", frame="galactic")
    (tmp_path / "g.hdr").write_text(galactic.to_template())
    told = mPix2Coord(str(tmp_path / "g.hdr"), 10, 20)
    place = galactic.wcs().pixel_to_world(9, 19)
    assert (told["native_lon"], told["native_lat"]) == pytest.approx((place.l.deg, place.b.deg), abs=1e-11)
    other = place.transform_to(FK5())
    assert (told["lon"], told["lat"]) == pytest.approx((other.ra.deg, other.dec.deg), abs=1e-10)
    assert told["native_csys"] == "gal" and told["locstr"].endswith(" eq J2000")
    assert mPix2Coord(image, 10, 20)["lon"] == there["ra"]


def test_j2000_of_icrs_is_icrs(tmp_path: Path) -> None:
    """As Montage takes it: the image's own system where that is ICRS."""
    grid = Grid.around("40 60", shape=(30, 41), scale="5 arcsec")
    fits.writeto(tmp_path / "a.fits", np.ones(grid.shape), grid.to_header(naxis=False))
    place = grid.wcs().pixel_to_world(9, 19)
    assert isinstance(place.frame, ICRS)
    told = mCoord(str(tmp_path / "a.fits"), ra=place.ra.deg, dec=place.dec.deg)
    assert (told["xpix"], told["ypix"]) == pytest.approx((10.0, 20.0), abs=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: mExamine("no.fits"), "Image file no.fits missing or invalid FITS"),
        (lambda a: mExamine("text.fits"), "Image file text.fits missing or invalid FITS"),
        (lambda a: mExamine("nan.fits"), "All pixels are blank"),
        (lambda a: mExamine(a, 3), "areaMode is 3"),
        (lambda a: mExamine(a, 1, ra=50.0, dec=60.0), "Location off the image."),
        (lambda a: mExamine(a, 1, ra=50.0, dec=6.0, locinpix=True), "Location off the image."),
        (lambda a: mExamine(a, 1, ra=40.0, dec=60.0, radius=-1.0), "radius is -1.0"),
        (
            lambda a: mExamine(a, 1, ra=3.5, dec=3.5, radius=0.1, locinpix=True, radinpix=True),
            "holds no pixel's middle",
        ),
        (lambda a: mExamine(a, 1, ra=12, dec=11, radius=0.9, locinpix=True, radinpix=True), "All pixels are blank"),
        (lambda a: mCoord("no.fits"), "Image file no.fits missing or invalid FITS"),
        (lambda a: mCoord(a, ra=220.0, dec=-60.0), "Location off the image."),
        (lambda a: mCoord(a, ra=40.0, dec=95.0), "is no place"),
        (lambda a: mCoord(a, ra=0.0, dec=5.0, locinpix=True), "Location off the image."),
        (lambda a: mCoord(a, hdu=1, ra=40.0, dec=60.0), "Image file"),
        (lambda a: mPix2Coord("no.hdr", 1, 1), "File no.hdr not found."),
        (lambda a: mPix2Coord("bad.hdr", 1, 1), "Output wcsinit() failed."),
        (lambda a: mPix2Coord(a, float("nan"), 1), "is no pixel"),
        (lambda a: mPix2Coord("all.hdr", 1, 1), "Location off the image."),
    ],
)
def test_what_is_refused(image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Any, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    fits.writeto("nan.fits", np.full(GRID.shape, np.nan), GRID.to_header(naxis=False))
    Path("text.fits").write_text("nothing\n")
    Path("bad.hdr").write_text("NAXIS1  = 5\nEND\n")
    Path("all.hdr").write_text(Grid.around("0 0", shape=(90, 180), scale="2 deg", projection="AIT").to_template())
    answer = call(image)
    assert answer["status"] == "1" and message in answer["msg"] and isinstance(answer["msg"], str)


@pytest.mark.skipif(shutil.which("mExamine") is None, reason="Montage is not installed")
def test_beside_montage(image: str) -> None:
    """Geometry, and the extremes of a circle, which Montage looks for in the box around it."""

    def run(*words: str) -> dict[str, str]:
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        return dict(part.strip().split("=", 1) for part in said.strip("\n[]").split(",")[1:])

    theirs = run("mExamine", "-p", "5p", "4p", "3p", image)
    ours = mExamine(image, 1, ra=5, dec=4, radius=3, locinpix=True, radinpix=True)
    for key in ("naxis1", "naxis2", "crval1", "crval2", "crpix1", "crpix2", "crota2", "rac", "decc", "ra3", "dec3",
                "fluxmax", "xmax", "ymax", "ramax", "decmax"):  # fmt: skip
        assert ours[key] == pytest.approx(float(theirs[key]), rel=1e-5, abs=1e-4), key
    assert (theirs["proj"], theirs["csys"]) == ('"TAN"', '"EQUJ"')
    told = run("mPix2Coord", image, "10", "20")
    assert mPix2Coord(image, 10, 20)["lon"] == pytest.approx(float(told["lon"]), abs=2e-6)
