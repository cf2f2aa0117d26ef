"""mTANHdr: a distorted tangent plane in place of another projection."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from dmontage.grid import Grid
from dmontage.montage import mTANHdr


def grid(code: str, turn: str = "25 deg") -> Grid:
    return Grid.around("05h35m +30d", shape=(200, 300), scale="20 arcsec", projection=code, rotation=turn, frame="fk5")


@pytest.mark.parametrize("code", ["SIN", "ZEA", "CAR", "AIT", "TAN"])
@pytest.mark.parametrize("order", [2, 5])
def test_it_is_the_same_map(tmp_path: Path, code: str, order: int) -> None:
    """At every tenth pixel, by astropy, both ways; the errors are no more than it tells, and it tells them truly."""
    (tmp_path / "a.hdr").write_text(grid(code).to_template())
    told = mTANHdr(str(tmp_path / "a.hdr"), str(tmp_path / "b.hdr"), order=order)
    new = fits.Header.fromtextfile(tmp_path / "b.hdr")
    assert new["CTYPE1"] == "RA---TAN-SIP" and new["A_ORDER"] == order
    x, y = (a.ravel().astype(float) for a in np.meshgrid(np.arange(0, 300, 10), np.arange(0, 200, 10)))
    wcs, truth = WCS(new), grid(code).wcs()
    world = truth.all_pix2world(x, y, 0)
    plane = WCS(new).sub(2)
    plane.sip = None
    plane.wcs.ctype = [ctype.removesuffix("-SIP") for ctype in plane.wcs.ctype]
    focal = np.array(plane.wcs_world2pix(*world, 0))
    ahead = np.abs(np.array(wcs.pix2foc(x, y, 0)) - focal).max(axis=1)
    f, g = focal[0] + 1.0 - new["CRPIX1"], focal[1] + 1.0 - new["CRPIX2"]
    terms = {key: key.split("_") for key in new if key.startswith(("AP_", "BP_")) and "ORDER" not in key}
    sums = [
        sum(new[k] * f ** int(i) * g ** int(j) for k, (n, i, j) in terms.items() if n == name) for name in ("AP", "BP")
    ]
    back = np.abs(focal + np.array(sums) - [x, y]).max(axis=1)
    limits = np.array([told["fwdxerr"], told["fwdyerr"], told["revxerr"], told["revyerr"]])
    found = np.concatenate([ahead, back])
    assert (found <= limits * 1.05 + 1e-8).all() and (found >= limits / 3 - 1e-8).all()
    assert limits.max() < (0.5 if order == 2 else 1e-3)


def test_plain(tmp_path: Path) -> None:
    """Of the first order a tangent plane; of a tangent plane itself."""
    (tmp_path / "a.hdr").write_text(grid("TAN").to_template())
    told = mTANHdr(str(tmp_path / "a.hdr"), str(tmp_path / "b.hdr"), order=1)
    assert max(told["fwdxerr"], told["revyerr"]) < 1e-8
    new = Grid.from_header(tmp_path / "b.hdr")
    assert new.kind == "TAN"
    ends = np.array([0.0, 299.0]), np.array([0.0, 199.0])
    assert np.abs(new.sky(*ends) - grid("TAN").sky(*ends)).max() < 1e-13


@pytest.mark.parametrize("system", ["galactic", "fk4", "icrs"])
def test_systems(tmp_path: Path, system: str) -> None:
    old = Grid.around("100 40", shape=(50, 60), scale="20 arcsec", projection="SIN", frame=system)
    (tmp_path / "a.hdr").write_text(old.to_template())
    mTANHdr(str(tmp_path / "a.hdr"), str(tmp_path / "b.hdr"))
    new = Grid.from_header(tmp_path / "b.hdr")
    assert new.frame.is_equivalent_frame(old.frame)
    ends = np.array([0.0, 59.0]), np.array([0.0, 49.0])
    assert np.abs(new.sky(*ends) - old.sky(*ends)).max() < 1e-11


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"template": "no.hdr"}, "Bad template: no.hdr"),
        ({"template": "text.hdr"}, "Bad template: text.hdr"),
        ({"order": 0}, "order is 0"),
        ({"order": 10}, "order is 10"),
        ({"template": "all.hdr"}, "Bad original header template."),
        ({"tanTemplate": "none/b.hdr"}, "cannot write"),
    ],
)
def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], message: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.hdr").write_text(grid("SIN").to_template())
    Path("text.hdr").write_text("nothing\n")
    Path("all.hdr").write_text(Grid.around("0 0", shape=(90, 180), scale="2 deg", projection="AIT").to_template())
    usual: dict[str, Any] = {"template": "a.hdr", "tanTemplate": "b.hdr"}
    answer = mTANHdr(**(usual | given))
    assert answer["status"] == "1" and message in answer["msg"] and not Path("b.hdr").exists()


@pytest.mark.skipif(shutil.which("mProjectPP") is None, reason="Montage is not installed")
def test_montage_projects_by_it(tmp_path: Path) -> None:
    """A star of a CAR image, which mProjectPP refuses by itself, comes where it belongs."""
    image, path = grid("CAR", "0 deg"), str(tmp_path / "i.fits")
    y, x = np.indices(image.shape)
    star = np.exp(-((x - 40.0) ** 2 + (y - 30.0) ** 2) / 8.0)
    fits.writeto(path, star, image.to_header(naxis=False))
    out = Grid.around("05h35m +30d", shape=(260, 360), scale="20 arcsec", frame="fk5")
    (tmp_path / "o.hdr").write_text(out.to_template())
    (tmp_path / "a.hdr").write_text(image.to_template())
    mTANHdr(str(tmp_path / "a.hdr"), str(tmp_path / "t.hdr"), order=4)
    words = ["mProjectPP", "-i", str(tmp_path / "t.hdr"), path, str(tmp_path / "o.fits"), str(tmp_path / "o.hdr")]
    subprocess.run(words, capture_output=True, check=True)
    data, header = fits.getdata(tmp_path / "o.fits", header=True)
    data = np.nan_to_num(data)
    rows, columns = np.indices(data.shape)
    centre = (columns * data).sum() / data.sum(), (rows * data).sum() / data.sum()
    there, wanted = WCS(header).pixel_to_world(*centre), image.wcs().pixel_to_world(40.0, 30.0)
    assert there.separation(wanted).arcsec < 0.02 * 20
