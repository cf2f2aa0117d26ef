"""mHdr's templates."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import FK4, FK5, ICRS, SkyCoord
from astropy.coordinates.name_resolve import NameResolveError

from dmontage.grid import Grid
from dmontage.montage import mHdr
from dmontage.montage.systems import place_of, system_of
from dmontage.sphere import lonlat


def at(grid: Grid, x: float, y: float) -> SkyCoord:
    lon, lat = lonlat(grid.sky(np.array(x), np.array(y)))
    return SkyCoord(SkyCoord(lon, lat, unit="deg", frame=grid.frame).transform_to(ICRS()).frame)


def middle(path: Path) -> SkyCoord:
    grid = Grid.from_header(path)
    return at(grid, *grid.window.middle)


def test_a_template(tmp_path: Path) -> None:
    """The place is the middle, the sizes are the sides; the lines are those that Montage's own has."""
    path = tmp_path / "a.hdr"
    assert mHdr("83.82 -5.39", 1.0, 0.5, str(path), rotation=30.0) == {"status": "0", "count": 16}
    assert len(path.read_text().splitlines()) == 16 and path.read_text().endswith("\nEND\n")
    grid = Grid.from_header(path)
    assert grid.shape == (1800, 3600) and grid.to_header()["CRVAL2"] == -5.39
    assert middle(path).separation(SkyCoord("83.82d -5.39d", frame=FK5()).icrs).arcsec < 1e-9
    up = grid.wcs().pixel_to_world([1799.5, 1799.5], [899.5, 909.5])
    assert up[0].position_angle(up[1]).deg == pytest.approx(360 - 30.0, abs=1e-3)  # CROTA2 turns y towards the west


@pytest.mark.parametrize(
    ("text", "csys", "place"),
    [
        ("83.82, -5.39", "EquJ", SkyCoord(83.82, -5.39, unit="deg", frame="fk5")),
        ("05h35m17s -5d23m28s", "EquJ", SkyCoord("05h35m17s -5d23m28s", frame="fk5")),
        ("5 35 17 -05 23 28", "GAL", SkyCoord("05h35m17s -5d23m28s", frame="fk5")),
        ("5:35:17 -0:23:28", "icrs", SkyCoord("05h35m17s -0d23m28s", frame="fk5")),
        ("209.0 -19.4 gal", "EquB", SkyCoord(209.0, -19.4, unit="deg", frame="galactic")),
        ("83.0 -5.0 eq B1950", "SGAL", SkyCoord(83.0, -5.0, unit="deg", frame=FK4(equinox="B1950"))),
    ],
)
def test_where_it_lies(tmp_path: Path, text: str, csys: str, place: SkyCoord) -> None:
    assert mHdr(text, 0.1, 0.1, str(tmp_path / "a.hdr"), csys=csys)["status"] == "0"
    assert middle(tmp_path / "a.hdr").separation(place.frame.transform_to(ICRS())).arcsec < 1e-6


def test_names_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(name: str) -> SkyCoord:
        if name != "3C 273":
            raise NameResolveError("no")
        return SkyCoord(187.2779, 2.0524, unit="deg")

    monkeypatch.setattr(SkyCoord, "from_name", staticmethod(found))
    assert place_of("3C 273", system_of("icrs").frame) == pytest.approx((187.2779, 2.0524), abs=1e-12)


def test_a_band(tmp_path: Path) -> None:
    assert mHdr("83.82 -5.39", 0.1, 0.1, str(tmp_path / "a.hdr"), band2MASS="J")["count"] == 17
    assert "MAGZP   =              20.9044\nEND\n" in (tmp_path / "a.hdr").read_text()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"locstr": "83.82 -95"}, "Invalid object/coordinates"),
        ({"locstr": "nowhere at all"}, "Invalid object/coordinates"),
        ({"width": 0.0}, "width is 0.0"),
        ({"height": float("nan")}, "height is nan"),
        ({"width": 400.0}, "more than the sky"),
        ({"resolution": -1.0}, "resolution is -1.0"),
        ({"rotation": float("inf")}, "rotation is inf"),
        ({"csys": "xyz"}, "Invalid system string 'xyz'"),
        ({"equinox": float("nan")}, "Invalid system string"),
        ({"band2MASS": "q"}, "band2MASS 'q'"),
        ({"outfile": "none/a.hdr"}, "cannot write"),
    ],
)
def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], message: str) -> None:
    def unknown(name: str) -> SkyCoord:
        raise NameResolveError(f"nothing is known of {name}")

    monkeypatch.setattr(SkyCoord, "from_name", staticmethod(unknown))
    monkeypatch.chdir(tmp_path)
    usual: dict[str, Any] = {"locstr": "83.82 -5.39", "width": 0.1, "height": 0.1, "outfile": "a.hdr"}
    answer = mHdr(**(usual | given))
    assert answer["status"] == "1" and message in answer["msg"] and not list(tmp_path.iterdir())


@pytest.mark.skipif(shutil.which("mPix2Coord") is None, reason="Montage is not installed")
@pytest.mark.parametrize("csys", ["EquJ", "EquB", "Gal", "EclJ", "ICRS"])
def test_montage_reads_it(tmp_path: Path, csys: str) -> None:
    """Its pixel (1, 1) is where we say.

    Montage takes ICRS for FK5; its FK4 and ecliptic are 0.1 arcsec off, its galactic system lies in B1950's, 0.3 off.
    """
    path = tmp_path / "a.hdr"
    mHdr("83.82 -5.39", 0.5, 0.25, str(path), csys=csys, rotation=20.0)
    said = subprocess.run(["mPix2Coord", str(path), "1", "1"], capture_output=True, text=True, check=True).stdout
    told = dict(part.strip().split("=") for part in said.strip("\n[]").split(",")[1:-1])
    theirs = SkyCoord(float(told["lon"]), float(told["lat"]), unit="deg", frame=FK5())
    limit = 0.4 if csys == "Gal" else 0.1
    assert at(Grid.from_header(path), 0, 0).separation(theirs.frame.transform_to(ICRS())).arcsec < limit
