"""Faults of Montage's projecting, by the lines of what must hold: ours does right, and the fault is really theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from their_programs import montagepy, program

from dmontage.grid import Grid
from dmontage.montage import raising

Floats = NDArray[np.float64]
ARCSEC = np.pi / 180 / 3600
OURS = {"mProject": raising.mProject, "mProjectPP": raising.mProjectPP, "mProjectCube": raising.mProjectCube}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def grid(side: int, scale: float, turn: float = 0.0, code: str = "TAN", place: str = "83.8 -5.4") -> Grid:
    return Grid.around(
        place, shape=(side, side), scale=f"{scale} arcsec", rotation=f"{turn} deg", projection=code, frame="fk5"
    )


def ready(values: Floats, source: Grid, target: Grid, **moved: float) -> fits.Header:
    """in.fits and t.hdr; the template's header, its cards moved by some."""
    fits.writeto("in.fits", values, source.to_header(naxis=False), overwrite=True)
    header = target.to_header()
    header.update({key: header[key] + by for key, by in moved.items()})
    Path("t.hdr").write_text(Grid.from_header(header, target.shape).to_template())
    return header


def ours(name: str = "mProject", **options: object) -> tuple[Floats, Floats]:
    """Values, and areas in steradian, over the whole template."""
    OURS[name]("in.fits", "ours.fits", "t.hdr", fullRegion=True, **options)  # type: ignore[arg-type]
    return fits.getdata("ours.fits"), fits.getdata("ours_area.fits")


def theirs(name: str = "mProject", *flags: str) -> tuple[Floats, Floats]:
    program(name, "-f", *flags, "in.fits", "theirs.fits", "t.hdr")
    return fits.getdata("theirs.fits"), fits.getdata("theirs_area.fits")


def plane_sums(values: Floats, scale: float) -> tuple[float, float]:
    """Σ Ω and Σ v Ω of a TAN image about its middle, Ω = ∫(1 + r²)^(-3/2) by Gauss's rule of 3 x 3 points."""
    nodes, weights = np.polynomial.legendre.leggauss(3)
    side = scale * ARCSEC
    at = (np.arange(values.shape[0]) - (values.shape[0] - 1) / 2)[:, None] * side + nodes * side / 2
    r2 = at[:, None, :, None] ** 2 + at[None, :, None, :] ** 2
    omega = side**2 / 4 * np.einsum("yxij,i,j->yx", (1 + r2) ** -1.5, weights, weights)
    return float(omega.sum()), float((values * omega).sum())


def some(side: int) -> Floats:
    return np.random.default_rng(1).uniform(1.0, 2.0, (side, side))


SCALES = [(60.0, 2e-7, 0.0), (1.0, 1e-9, 2e-5), (0.1, 1e-9, 1e-3), (0.01, 1e-9, 0.1), (0.001, 1e-7, 0.1)]


@pytest.mark.parametrize(("scale", "limit", "_"), SCALES)
def test_c1_flux_and_area_of_small_pixels(scale: float, limit: float, _: float) -> None:
    """C1, and the first half of C2: Σ(value·area) and Σ(area) are those of the image, by a rule of its plane.

    Of pixels of 60", whose curved edges the plane kernel takes for straight ones, within that kernel's own bound.
    """
    ready(some(41), grid(41, scale), grid(60, 1.3 * scale, 17.0))
    values, area = ours()
    omega, flux = plane_sums(some(41), scale)
    assert area.sum() == pytest.approx(omega, rel=limit)
    assert np.nansum(values * area) == pytest.approx(flux, rel=limit)


@pytest.mark.parametrize(("scale", "_", "off"), SCALES[1:])
def test_c1_is_montages(scale: float, _: float, off: float) -> None:
    ready(some(41), grid(41, scale), grid(60, 1.3 * scale, 17.0))
    montagepy("mProject", "in.fits", "theirs.fits", "t.hdr")
    values, area = fits.getdata("theirs.fits"), fits.getdata("theirs_area.fits")
    assert abs(np.nansum(values * area) / plane_sums(some(41), scale)[1] - 1) > off


def test_c1_the_first_row_counts() -> None:
    """Montage 6.0 leaves the image's first row out, or takes it for another."""
    values = np.zeros((41, 41))
    values[0] = 1.0
    ready(values, grid(41, 1.0), grid(60, 1.3, 17.0))
    flux = plane_sums(values, 1.0)[1]
    for who, right in ((ours, True), (theirs, False)):
        found, area = who()
        assert (abs(np.nansum(found * area) / flux - 1) < 1e-9) == right


def test_c2_areas_far_from_the_middle() -> None:
    """C2: a pixel's area is its own, 3.5 degrees from the middle too; mProjectPP's are all those of the middle."""
    side, scale = 300, 60.0
    ready(np.ones((side, side)), grid(side + 2, scale).subgrid(grid(side + 2, scale).window.pad(-1)),
          grid(side, scale), CRPIX1=0.25, CRPIX2=-0.25)  # fmt: skip
    at = (np.arange(side) - (side - 1) / 2) * scale * ARCSEC
    middle = at - 0.25 * scale * ARCSEC, at + 0.25 * scale * ARCSEC
    r2 = middle[1][:, None] ** 2 + middle[0] ** 2
    truth = (scale * ARCSEC) ** 2 * (1 + r2) ** -1.5
    inner = np.s_[2:-2, 2:-2]
    np.testing.assert_allclose(ours("mProjectPP")[1][inner], truth[inner], rtol=3e-8)  # of the middle for the mean
    area = theirs("mProjectPP")[1]
    assert np.ptp(area[inner]) < 1e-12 * area.max() and area[3, 3] / truth[3, 3] - 1 > 0.005


def test_c3_a_bright_pixel_leaves_all_others() -> None:
    """C3: where it does not reach, not a digit changes."""
    values = np.full((41, 41), 100.0)
    ready(values, grid(41, 1.0), grid(60, 1.3, 17.0))
    plain, _ = ours()
    values[20, 20] = 1e30
    ready(values, grid(41, 1.0), grid(60, 1.3, 17.0))
    bright, area = ours()
    far = np.isfinite(bright) & (bright < 1e20)
    assert (np.isfinite(bright) == (area > 0)).all() and ((bright > 1e20).sum()) <= 9
    np.testing.assert_allclose(bright[far], plain[far], rtol=1e-9)


@pytest.mark.parametrize(("n", "m", "ratio"), [(40, 30, 1.3), (60, 40, 1.5), (40, 20, 2.0), (20, 40, 0.5)])
def test_c4_grids_that_share_edges(n: int, m: int, ratio: float) -> None:
    """C4: no pixel is off by more than 1e-9 of what overlaps of intervals give; mProject errs in a sixth at 1.3."""
    inner, outer = (np.arange(k + 1) - k / 2 for k in (n, m))
    outer = outer * ratio
    part = np.clip(np.minimum(inner[1:], outer[1:, None]) - np.maximum(inner[:-1], outer[:-1, None]), 0.0, None)
    truth = part @ some(n) @ part.T / np.outer(part.sum(axis=1), part.sum(axis=1))
    ready(some(n), grid(n, 1.0), grid(m, ratio))
    mine = ours()[0]
    np.testing.assert_array_equal(np.isfinite(mine), np.isfinite(truth))
    assert np.nanmax(np.abs(mine - truth)) < 1e-9
    if ratio == 1.3:
        off = np.abs(theirs()[0] - truth)[2:-2, 2:-2] > 1e-3
        assert off.mean() > 0.1


def test_c5_values_are_surface_brightness() -> None:
    """C5: 100 x 100 ones onto pixels of twice the side weigh 10,000 of theirs by area."""
    ready(np.ones((100, 100)), grid(100, 1.0), grid(70, 2.0, 17.0))
    values, area = ours()
    np.testing.assert_allclose(values[area > 0], 1.0, rtol=1e-12)
    assert (values[area > 0] * area[area > 0]).sum() == pytest.approx(1e4 * ARCSEC**2, rel=1e-7)


def test_c8_blanks_of_a_plane_are_its_own() -> None:
    """C8: a cube of ones with blanks is one wherever it has a value; mProjectCube makes it 0 and what is between."""
    cube = np.ones((3, 40, 40))
    cube[1, 10:20, 10:20] = cube[2, 5:9] = np.nan
    ready(cube, grid(40, 1.0), grid(70, 1.0, 17.0))
    mine = ours("mProjectCube")[0]
    np.testing.assert_allclose(mine[np.isfinite(mine)], 1.0, rtol=1e-12)
    # A blank pixel blanks no pixel that others reach.
    assert (np.isfinite(mine[1]) >= np.isfinite(mine[0])).mean() > 0.97 and np.isnan(mine[1]).sum() > 1600
    found = theirs("mProjectCube")[0]
    assert np.nanmin(found[1]) < 0.5 and np.nanmax(np.abs(found[0] - 1)) < 1e-12


def test_c9_a_border_has_four_sides() -> None:
    """C9: mProject's has rows only."""
    ready(np.ones((100, 100)), grid(100, 1.0), grid(100, 1.0))
    kept = np.zeros((100, 100), bool)
    kept[10:-10, 10:-10] = True
    np.testing.assert_array_equal(ours(borderstr="10")[1] > 0, kept)
    program("mProject", "-b", "10", "in.fits", "theirs.fits", "t.hdr")
    assert fits.getdata("theirs.fits").shape == (80, 100)


@pytest.mark.parametrize("name", ["mProject", "mProjectPP"])
def test_c10_what_straddles_the_border_counts(name: str) -> None:
    """C10: a template inside the image is covered to its edge; Montage's outermost rows by a third."""
    ready(np.ones((100, 100)), grid(100, 1.0), grid(40, 1.0, 17.0))
    np.testing.assert_allclose(ours(name)[1], ARCSEC**2, rtol=1e-6)
    area = theirs(name)[1] / ARCSEC**2
    assert area[0].mean() < 0.5 and area[:, 0].mean() < 0.5 and area[5:-5, 5:-5].min() > 0.99


def star(source: Grid, target: Grid) -> tuple[float, float, fits.Header, Floats]:
    """in.fits with a star far from the middle; where astropy puts it in the template, that, and the image."""
    y, x = np.indices(source.shape)
    values = np.exp(-((x - 260) ** 2 + (y - 50) ** 2) / 2 / 3.0**2)
    header = ready(values, source, target)
    u, v = WCS(header).all_world2pix(*source.wcs().all_pix2world(260.0, 50.0, 0), 0)
    return float(u), float(v), header, values


def off_by(found: tuple[Floats, Floats], u: float, v: float) -> float:
    """Distance of the centroid from a place."""
    light = np.nan_to_num(found[0] * found[1])
    y, x = np.indices(light.shape)
    return float(np.hypot((x * light).sum() / light.sum() - u, (y * light).sum() / light.sum() - v))


@pytest.mark.parametrize(
    ("code_in", "code_out", "right"),
    [("TAN", "STG", False), ("ZEA", "TAN", False), ("ARC", "TAN", False), ("STG", "TAN", True), ("TAN", "SIN", True)],
)
def test_c11_a_star_lies_where_the_wcs_puts_it(code_in: str, code_out: str, right: bool) -> None:
    """C11: within 0.001 px; mProjectPP's lies pixels off in three of the projections that it takes."""
    u, v, _, _ = star(grid(301, 10.0, code=code_in), grid(401, 10.0, 17.0, code_out))
    assert off_by(ours("mProjectPP"), u, v) < 1e-3
    assert (off_by(theirs("mProjectPP"), u, v) < 0.01) == right


@pytest.mark.parametrize("interp", [0, 1])
def test_c11_a_quick_look_is_right_too(interp: int) -> None:
    """Montage's shift a star by a hundredth of a pixel or more, Lanczos changes its flux by 1 %, areas are 1."""
    u, v, _, values = star(grid(301, 10.0), grid(401, 10.0, 17.0))
    raising.mProjectQL("in.fits", "ours.fits", "t.hdr", interp=interp, noAreas=False, fullRegion=True)
    mine = fits.getdata("ours.fits"), fits.getdata("ours_area.fits")
    assert off_by(mine, u, v) < 1e-3
    assert np.nansum(mine[0] * mine[1]) == pytest.approx(plane_sums(values, 10.0)[1], rel=1e-8)
    program("mProjectQL", "-f", "-a", *["-L"] * interp, "in.fits", "theirs.fits", "t.hdr")
    found = fits.getdata("theirs.fits"), fits.getdata("theirs_area.fits")
    assert not off_by((found[0], np.isfinite(found[1]) * 1.0), u, v) < 5e-3  # NaN where it reads beyond a row
    assert interp or np.nanmax(found[1]) == 1.0


def test_c12_pv_of_a_tangent_plane_is_distortion() -> None:
    """C12: TAN with PV cards, of SCAMP, as astropy has it; mProjectPP does not look at them."""
    source, target = grid(301, 10.0), grid(401, 10.0, 17.0)
    star(source, target)
    with fits.open("in.fits", mode="update") as hdus:
        header = hdus[0].header
        header.update({f"CD{i}_{i}": header.pop(f"CDELT{i}") for i in (1, 2)})  # as SCAMP writes them
        header.update({"PV1_1": 1.0, "PV2_1": 1.0, "PV1_7": 0.02, "PV2_4": -0.01})
    u, v = WCS(target.to_header()).all_world2pix(*WCS(fits.getheader("in.fits")).all_pix2world(260.0, 50.0, 0), 0)
    assert off_by(ours("mProjectPP"), float(u), float(v)) < 2e-3
    plain = target.wcs().all_world2pix(*source.wcs().all_pix2world(260.0, 50.0, 0), 0)
    assert np.hypot(u - plain[0], v - plain[1]) > 0.3  # 3 arcsec
    assert off_by(theirs("mProjectPP"), float(plain[0]), float(plain[1])) < 0.02


@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (120.0, 40.0), (30.0, 90.0)])
def test_c13_areas_close_at_seams_and_poles(ra: float, dec: float) -> None:
    """C13: of pixels of 6' on an all-sky map, whose edges are great circles between their corners."""
    source = grid(40, 360.0, 10.0, place=f"{ra} {dec}")
    sky = Grid.around("0 0", shape=(360, 720), scale="0.5 deg", projection="CAR", frame="fk5")
    ready(np.ones(source.shape), source, sky)
    assert ours()[1].sum() == pytest.approx(plane_sums(np.ones(source.shape), 360.0)[0], rel=1e-9)
