"""Every kind of WCS: FITS projections, distortions, tables, frames and objects, against astropy and the definitions."""

from __future__ import annotations

import gc
import logging
import pickle
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import (
    FK5,
    BarycentricMeanEcliptic,
    FK4NoETerms,
    SkyCoord,
    Supergalactic,
)
from astropy.io import fits
from astropy.io.fits import Card, Header
from astropy.time import Time
from astropy.wcs import WCS, DistortionLookupTable
from astropy.wcs.wcsapi import SlicedLowLevelWCS
from numpy.polynomial import chebyshev, legendre, polynomial
from numpy.typing import NDArray

from dmontage.errors import InputError
from dmontage.fits_files import FitsWriter, read, scan
from dmontage.fits_files.reader import in_memory
from dmontage.grid import Grid
from dmontage.headers import card_text, parse_header
from dmontage.sphere import rotate_frame, unit_vectors
from dmontage.window import Window

Floats = NDArray[np.float64]

SHAPE = (80, 100)
BASE: dict[str, Any] = {
    "NAXIS": 2,
    "NAXIS1": 100,
    "NAXIS2": 80,
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 83.8,
    "CRVAL2": -5.4,
    "CRPIX1": 50.5,
    "CRPIX2": 40.5,
    "CD1_1": -1 / 3600,
    "CD1_2": 2e-5,
    "CD2_1": 3e-5,
    "CD2_2": 1 / 3600,
}
SIP: dict[str, Any] = {"A_ORDER": 3, "B_ORDER": 2, "A_2_0": 3e-4, "A_0_3": -1e-6, "B_1_1": -4e-4, "B_0_2": 1e-4}
X, Y = np.random.default_rng(5).uniform(-0.5, 79.5, (2, 400))


def header(code: str = "TAN", **changes: Any) -> Header:
    """A good header of a projection, with some cards changed, or (None) taken out."""
    cards = BASE | {"CTYPE1": f"RA---{code}", "CTYPE2": f"DEC--{code}"} | changes
    # With all digits: astropy itself cuts a card's number at 20 characters.
    return Header([Card.fromstring(card_text(key, value)) for key, value in cards.items() if value is not None])


def make(code: str = "TAN", **changes: Any) -> Grid:
    return Grid.from_header(header(code, **changes))


def astropy_sky(source: Header, hdus: fits.HDUList | None = None) -> Floats:
    """Where astropy, given the header as it stands, puts the test's pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wcs = WCS(source, hdus)
    world = np.radians(wcs.all_pix2world(X, Y, 0))
    return unit_vectors(world[wcs.wcs.lng], world[wcs.wcs.lat])


def apart(grid: Grid, vectors: Floats, x: Floats = X, y: Floats = Y) -> float:
    """Greatest distance in pixels of a grid's own places from others; all must be on the sky."""
    return float(np.linalg.norm(grid.sky(x, y) - vectors, axis=-1).max()) / grid.scale


def trip(grid: Grid, x: Floats = X, y: Floats = Y) -> float:
    """Greatest error of pixels that went to the sky and back; all must have come back."""
    back_x, back_y = grid.pixel(grid.sky(x, y))
    return float(np.hypot(back_x - x, back_y - y).max())


# -- projections -------------------------------------------------------------------------------------------------------

PARAMETERS: dict[str, dict[str, float]] = {
    "AZP": {"PV2_1": 2.0, "PV2_2": 30.0},
    "SZP": {"PV2_1": 2.0, "PV2_2": 160.0, "PV2_3": 60.0},
    "TAN": {},
    "STG": {},
    "SIN": {"PV2_1": 0.1, "PV2_2": -0.2},
    "NCP": {"CRVAL2": 60.0},
    "ARC": {},
    "ZPN": {"PV2_1": 1.0, "PV2_3": 40.0},
    "ZEA": {},
    "AIR": {"PV2_1": 45.0},
    "CYP": {"PV2_1": 1.0, "PV2_2": 0.7},
    "CEA": {"PV2_1": 0.7},
    "CAR": {},
    "MER": {},
    "SFL": {},
    "PAR": {},
    "MOL": {},
    "AIT": {},
    "COP": {"PV2_1": 45.0, "PV2_2": 25.0},
    "COE": {"PV2_1": -45.0, "PV2_2": 25.0},
    "COD": {"PV2_1": 45.0, "PV2_2": 25.0},
    "COO": {"PV2_1": 45.0, "PV2_2": 25.0},
    "BON": {"PV2_1": 45.0},
    "PCO": {},
    "TSC": {},
    "CSC": {},
    "QSC": {},
    "HPX": {},
    "XPH": {},
}
NOISE = {"CSC": 0.03, "AIR": 1e-5, "SZP": 1e-5, "SIN": 1e-5, "NCP": 3e-5, "TSC": 3e-10, "QSC": 3e-10}
"""Arc-seconds by which wcslib's own forward map is off."""


@pytest.mark.parametrize("code", PARAMETERS)
@pytest.mark.parametrize("step", [0.05, 1.0, 600.0], ids='{}"'.format)
def test_every_projection(code: str, step: float) -> None:
    """C12: astropy's places, and back to 1e-9 px or the rounding of a degree, whichever is more."""
    # wcslib loses digits of XPH about the pole and of QSC about the facets' middles; nobody has images there.
    away = {"CRVAL2": 20.0, "CRPIX1": 50.5 + 9e4 / step, "CRPIX2": 40.5 + 5e4 / step} if code in ("XPH", "QSC") else {}
    place = away | {"CD1_1": -step / 3600, "CD1_2": step * 1e-5, "CD2_1": step * 2e-5, "CD2_2": step / 3600}
    source = header(code, **(place | PARAMETERS[code]))
    grid = Grid.from_header(source)
    assert apart(grid, astropy_sky(source)) < max(NOISE.get(code, 0.0) / step, 1e-9)
    assert trip(grid) < max(1e-9, 1.2e-9 / step)


@pytest.mark.parametrize("code", ["SZP", "SIN", "AIR", "NCP"])
def test_rewritten_projections_are_their_definition(code: str) -> None:
    """Against paper II's equations in 40 digits: known places, projected, are where the grid puts them."""
    pole = {"CRVAL1": 0.0, "CRVAL2": 90.0, "LONPOLE": 180.0}  # native and celestial longitude and latitude are one
    values = {key: value for key, value in PARAMETERS[code].items() if key.startswith("PV")}
    if code == "NCP":  # SIN with η = cot δ0; at the pole η = 0
        values = {}
    grid = make(code, **(pole | values | {"CD1_1": -1.0, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 1.0, "CRVAL2": 90.0}))
    mpmath.mp.dps = 40
    p = [mpmath.mpf(value) for value in values.values()]
    pixels, truth = [], []
    for phi_deg, theta_deg in [(0.3, 89.9999), (40.1, 89.7), (123.0, 85.0), (300.5, 70.0), (200.0, 60.0)]:
        phi, theta = mpmath.radians(mpmath.mpf(phi_deg)), mpmath.radians(mpmath.mpf(theta_deg))
        c, s, one = mpmath.cos(theta), mpmath.sin(theta), 1 - mpmath.sin(theta)
        if code == "SZP":
            m, pc, tc = p[0], mpmath.radians(p[1]), mpmath.radians(p[2])
            xp, yp, zp = (
                -m * mpmath.cos(tc) * mpmath.sin(pc),
                m * mpmath.cos(tc) * mpmath.cos(pc),
                m * mpmath.sin(tc) + 1,
            )
            x = (zp * c * mpmath.sin(phi) - xp * one) / (zp - one)
            y = -(zp * c * mpmath.cos(phi) + yp * one) / (zp - one)
        elif code == "AIR":
            xi, edge = (mpmath.pi / 2 - theta) / 2, mpmath.radians(90 - p[0]) / 2
            k = mpmath.log(mpmath.cos(edge)) / mpmath.tan(edge) ** 2
            r = -2 * (mpmath.log(mpmath.cos(xi)) / mpmath.tan(xi) + k * mpmath.tan(xi))
            x, y = r * mpmath.sin(phi), -r * mpmath.cos(phi)
        else:
            xi, eta = p or (0, 0)
            x, y = c * mpmath.sin(phi) + xi * one, -c * mpmath.cos(phi) + eta * one
        pixels.append((float(-mpmath.degrees(x)) + 49.5, float(mpmath.degrees(y)) + 39.5))
        truth.append([float(c * mpmath.cos(phi)), float(c * mpmath.sin(phi)), float(s)])
        assert s > 0
    x_pix, y_pix = np.array(pixels).T
    np.testing.assert_allclose(grid.sky(x_pix, y_pix), truth, rtol=0, atol=4e-16)


def cube_face(code: str, chi: Any, psi: Any) -> tuple[Any, Any]:
    """Paper II, 5.6, forwards: plane coordinates on a face, degrees, of its tangent plane's coordinates."""
    if code == "TSC":
        return 45 * chi, 45 * psi
    along, aside = (chi, psi) if abs(chi) > abs(psi) else (psi, chi)
    omega, zeta = aside / along, 1 / mpmath.sqrt(1 + chi**2 + psi**2)
    u = 45 * mpmath.sign(along) * mpmath.sqrt((1 - zeta) / (1 - 1 / mpmath.sqrt(2 + omega**2)))
    v = u / 15 * mpmath.degrees(mpmath.atan(omega) - mpmath.asin(omega / mpmath.sqrt(2 * (1 + omega**2))))
    return (u, v) if along is chi else (v, u)


@pytest.mark.parametrize("code", ["TSC", "QSC"])
@pytest.mark.parametrize("step", [1e-6, 1.0])
def test_cubes_are_their_definition(code: str, step: float) -> None:
    """In 40 digits, about the middle of the upper face, where wcslib loses half of them, and elsewhere on it."""
    mpmath.mp.dps = 40
    source = header(code, CRVAL1=0.0, CRVAL2=0.0, CRPIX1=1.0, CRPIX2=1.0 - 90.0 / step, NAXIS1=1, NAXIS2=1)
    source.update({"CD1_1": step, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": step})
    grid = Grid.from_header(source)
    for chi, psi in ((0.1, 0.3), (-0.6, 0.2), (0.5, -0.7), (-0.3, -0.9), (1e-3, 0.9)):
        a, b = (mpmath.mpf(value) * step / 45 for value in (chi, psi))
        plane = cube_face(code, a, b)
        (vector,) = grid.sky(np.array([float(plane[0] / step)]), np.array([float(plane[1] / step)]))
        length = mpmath.sqrt(1 + a * a + b * b)
        truth = [float(value / length) for value in (-b, a, 1)]  # face 0: η to the east, −ξ up
        np.testing.assert_allclose(vector, truth, rtol=0, atol=2e-15)  # a pixel's place on the plane rounds by 1e-16
        assert np.linalg.norm(vector - truth) < 1e-9 * np.radians(step) + 4e-16


@pytest.mark.parametrize("code", ["TSC", "CSC", "QSC"])
@pytest.mark.parametrize(
    ("crpix", "nx"), [(180.5, 360), (45.5, 360), (315.5, 360), (190.5, 380), (315.5, 630), (80.5, 200), (-60.5, 90)]
)
@pytest.mark.parametrize("turn", [0.0, 30.0])
def test_cubes_show_every_place_once(code: str, crpix: float, nx: int, turn: float) -> None:
    """Wherever the faces begin: each pixel on the sky comes back to itself, on grids of more than a turn too."""
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    changes = {"CD1_1": -c, "CD1_2": s, "CD2_1": s, "CD2_2": c, "CRVAL1": 20.0, "CRVAL2": 0.0}
    grid = make(code, **changes, CRPIX1=crpix, CRPIX2=135.5, NAXIS1=nx, NAXIS2=270)
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(0.3, nx - 1.4, 71), np.linspace(0.3, 268.7, 53)))
    vectors = grid.sky(x, y)
    on = np.isfinite(vectors[:, 0])
    assert on.sum() > 400
    back_x, back_y = grid.pixel(vectors[on])
    assert np.hypot(back_x - x[on], back_y - y[on]).max() < 1e-9
    if turn == 0.0 and nx >= 360:
        assert np.nansum(grid.solid_angle(grid.window)) == pytest.approx(4 * np.pi, rel=1e-12)


@pytest.mark.parametrize("crpix", [190.5, 190.25, 300.9, 75.1])
def test_a_cube_is_cut_between_pixels(crpix: float) -> None:
    """Of more than a turn one is kept, and nothing of the four faces lost where its ends meet."""
    changes = {"CD1_1": -1.0, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 1.0, "CRVAL2": 0.0, "CRPIX1": crpix, "CRPIX2": 45.5}
    grid = make("QSC", **changes, NAXIS1=380, NAXIS2=90)
    omega = grid.solid_angle(grid.window)
    assert np.isfinite(omega).sum() == 360 * 90
    # Pixels that straddle faces bend there: their great circles add 2e-5.
    assert np.nansum(omega) == pytest.approx(4 / 6 * 4 * np.pi, rel=1e-4)


@pytest.mark.parametrize("code", ["TSC", "CSC", "QSC", "HPX", "XPH", "PCO", "CAR"])
def test_a_place_does_not_depend_on_its_company(code: str) -> None:
    """wcslib takes points of one row for a row of faces; a grid of one row is a grid."""
    changes = {"CD1_1": -1.0, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 1.0, "CRVAL2": 0.0, "CRPIX1": 190.5, "CRPIX2": 100.5}
    grid = make(code, **changes, NAXIS1=380, NAXIS2=200)
    x = np.linspace(0.0, 379.0, 150)
    for y in (20.0, 60.0, 100.25, 150.0):
        row = grid.sky(x, np.full(150, y))
        alone = np.concatenate([grid.sky(x[i : i + 1], np.array([y])) for i in range(150)])
        np.testing.assert_array_equal(row, alone)
    line = grid.subgrid(Window(60, 61, 0, 380))
    assert Grid.from_header(line.to_header()).shape == (1, 380)
    np.testing.assert_array_equal(line.sky(x, np.zeros(150)), grid.sky(x, np.full(150, 60.0)))


@pytest.mark.parametrize(
    ("code", "plane_x", "plane_y"),
    [("HPX", 45.0, 90.0), ("HPX", 0.0, 45.0), ("QSC", 0.0, 90.0), ("QSC", 45.0, 10.0), ("MOL", 0.0, 90.0)],
)
@pytest.mark.parametrize("step", [0.1, 10 / 3600])
def test_edges_of_faces_and_poles_come_back(code: str, plane_x: float, plane_y: float, step: float) -> None:
    """A pixel of the check on a face's edge, or at a pole, damages no header."""
    y = plane_y if code != "MOL" else np.degrees(np.sqrt(2.0))
    place = {"CRVAL1": 0.0, "CRVAL2": 0.0, "CRPIX1": 11.0 - plane_x / step, "CRPIX2": 11.0 - y / step}
    grid = make(code, CD1_1=step, CD1_2=0.0, CD2_1=0.0, CD2_2=step, NAXIS1=21, NAXIS2=21, **place)
    assert np.isfinite(grid.sky(np.arange(21.0), np.arange(21.0))).any()


@pytest.mark.parametrize("turn", [0.0, 45.0, 90.0])
def test_pco_beyond_the_row_of_its_pole(turn: float) -> None:
    """Paper II, 5.5.2, forwards: parallels that rise above |Y| = 90° cross it away from the pole."""
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    grid = make("PCO", CRVAL1=0.0, CRVAL2=0.0, CRPIX1=1.0, CRPIX2=1.0, CD1_1=c, CD1_2=s, CD2_1=-s, CD2_2=c)
    for theta_deg in (30.0, -50.0, 75.0):
        theta = np.radians(theta_deg)
        # φ at which the parallel crosses the row, from Y = θ + cot θ (1 − cos(φ sin θ)) = ±90°
        bend = np.arccos(1.0 - (np.sign(theta) * np.pi / 2 - theta) * np.tan(theta))
        phi = bend / np.abs(np.sin(theta))
        X_, Y_ = np.degrees(np.sin(bend) / np.abs(np.tan(theta))), np.sign(theta) * 90.0
        (vector,) = grid.sky(np.array([c * X_ - s * Y_]), np.array([s * X_ + c * Y_]))
        np.testing.assert_allclose(vector, unit_vectors(phi, theta), rtol=0, atol=1e-11)


def test_not_a_number_has_no_pixel() -> None:
    for code, parameters in PARAMETERS.items():
        x, y = make(code, **({"CRVAL2": 0.0} | parameters)).pixel(np.full((3, 3), np.nan))
        assert np.isnan(x).all() and np.isnan(y).all(), code


@pytest.mark.parametrize("moved", [{"PV1_3": 150.0}, {"PV1_3": 150.0, "PV1_4": 30.0}])
def test_slant_sin_with_its_pole_in_pv(moved: dict[str, float]) -> None:
    """The other way to say LONPOLE and LATPOLE does not lose the exact map."""
    same = {"LONPOLE": 150.0, "LATPOLE": moved.get("PV1_4", 90.0)}
    vectors = make("SIN", **PARAMETERS["SIN"], **moved).sky(X, Y)
    np.testing.assert_array_equal(vectors, make("SIN", **PARAMETERS["SIN"], **same).sky(X, Y))


def test_ncp_with_sip_is_a_slant_sin() -> None:
    slant = make("SIN", CRVAL2=60.0, PV2_1=0.0, PV2_2=1 / np.tan(np.radians(60.0)), **SIP)
    grid = make("NCP", CRVAL2=60.0, **SIP)
    assert apart(grid, slant.sky(X, Y)) < 1e-9 and trip(grid) < 1e-9


@pytest.mark.parametrize("mu", [-0.5, -2.0])
def test_cyp_from_before_the_axis_gives_no_wrong_pixel(mu: float) -> None:
    """Its formula has pixels for latitudes that no pixel shows: none is given."""
    grid = make("CYP", CRVAL2=0.0, PV2_1=mu, PV2_2=0.7, CD1_1=-1.0, CD1_2=0.0, CD2_1=0.0, CD2_2=1.0)
    vectors = unit_vectors(*np.radians([np.full(60, 83.8), np.linspace(-88.0, 88.0, 60)]))
    x, y = grid.pixel(vectors)
    found = np.isfinite(x)
    assert 5 < found.sum() < 55
    assert np.linalg.norm(grid.sky(x, y) - vectors, axis=-1)[found].max() < 1e-12


def test_the_whole_csc_sky_comes_back() -> None:
    """Six faces of single precision in wcslib; here smooth, and where astropy has it to 0.1", but 40° once only."""
    source = header("CSC", CRVAL2=0.0, NAXIS1=400, NAXIS2=300, CRPIX1=100.5, CRPIX2=150.5)
    source.update({"CD1_1": -1.0, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 1.0})
    grid = Grid.from_header(source)
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(0.3, 399.2, 90), np.linspace(0.3, 299.2, 80)))
    world = np.radians(WCS(source).all_pix2world(x, y, 0))
    vectors = grid.sky(x, y)
    once = x < 359.5  # the map is 400° wide: X from −260°, as near to the reference as 360° on it can be
    np.testing.assert_array_equal(np.isnan(vectors[:, 0]), np.isnan(world[0]) | ~once)
    on = np.isfinite(vectors[:, 0])
    assert on.sum() > 2000
    assert np.linalg.norm(vectors[on] - unit_vectors(*world[:, on]), axis=-1).max() < np.radians(0.1 / 3600)
    back_x, back_y = grid.pixel(vectors[on])
    assert np.hypot(back_x - x[on], back_y - y[on]).max() < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("code", PARAMETERS)
@pytest.mark.parametrize("step", [1.0, 0.01])
def test_the_whole_sky_comes_back(code: str, step: float) -> None:
    """Places anywhere: a pixel that is given is that of the place, and none is missing that is on the grid."""
    lat = {"CRVAL2": 60.0 if code == "NCP" else 0.0}
    place = {"CD1_1": -step, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": step, "CRPIX1": 180.5 / step, "CRPIX2": 140.5 / step}
    grid = Grid.from_header(header(code, **(PARAMETERS[code] | lat | place)), (round(280 / step), round(360 / step)))
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(20000, 3))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    x, y = grid.pixel(vectors)
    again = grid.sky(x, y)
    there = np.isfinite(again[:, 0])
    assert there.sum() > 300
    assert (
        np.linalg.norm(again - vectors, axis=-1)[there].max() < 1e-6 * grid.scale
    )  # at a limb any pixel's rounding is large
    ny, nx = grid.shape
    px, py = rng.uniform(0, nx, 20000), rng.uniform(0, ny, 20000)
    place_of = grid.sky(px, py)
    lost = np.isfinite(place_of[:, 0]) & ~np.isfinite(grid.pixel(place_of)[0])
    assert lost.mean() < 2e-3


def test_pco_has_its_central_meridian() -> None:
    """On which wcslib finds no sky."""
    grid = make("PCO", CRVAL2=0.0, CD1_2=0.0, CD2_1=0.0, CRPIX1=51.0)
    y = np.linspace(-0.5, 79.5, 33)
    vectors = grid.sky(np.full(33, 50.0), y)
    lat = np.radians((y - 39.5) / 3600)
    np.testing.assert_allclose(vectors, unit_vectors(np.full(33, np.radians(83.8)), lat), rtol=0, atol=3e-15)
    assert Grid.around("83.8 -5.4", "2 arcmin", projection="PCO").shape == (120, 120)


def test_where_no_pixel_is_there_is_none() -> None:
    """The other side of the sky, and whatever a polynomial does far outside: NaN, or a pixel that is there."""
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(3000, 3))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    wide = {"CD1_1": -0.1, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.1}
    for grid in (
        make("TAN-SIP", **(SIP | wide)),
        make("TPV", PV1_1=1.0, PV2_1=1.0, PV1_4=1e-2, **wide),
        make("SZP", **(PARAMETERS["SZP"] | wide)),
        make("SIN", **(PARAMETERS["SIN"] | wide)),
        make("SIN", **(PARAMETERS["SIN"] | wide | {"CD1_1": -1.0, "CD2_2": 1.0})),
        make("AIR", **wide),
        make("ZPN", **(PARAMETERS["ZPN"] | wide)),
    ):
        x, y = grid.pixel(vectors)
        found = np.isfinite(x)
        assert found.sum() > 10 and (found == np.isfinite(y)).all()
        slack = 1e-8 * (1 + np.abs(x[found]) + np.abs(y[found])) * grid.scale
        assert (np.linalg.norm(grid.sky(x[found], y[found]) - vectors[found], axis=-1) < slack).all()


@pytest.mark.parametrize("code", ["TAN-SIP", "TPV", "CSC", "MOL", "SZP"])
def test_a_pixel_does_not_depend_on_its_company(code: str) -> None:
    """Bit for bit, whether a point is asked for alone, in a part, or with others."""
    grid = make(code, **(SIP if "SIP" in code else {"PV1_1": 1.0, "PV2_1": 1.0, "PV1_7": 0.3} if code == "TPV" else {}))
    vectors = grid.sky(X, Y)
    whole = np.stack(grid.pixel(vectors))
    np.testing.assert_array_equal(np.stack(grid.pixel(vectors[37:90])), whole[:, 37:90])
    np.testing.assert_array_equal(np.stack(grid.pixel(vectors[5])), whole[:, 5])
    np.testing.assert_array_equal(np.stack(grid.pixel(vectors[::-3])), whole[:, ::-3])


# -- polynomials -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["TAN-SIP", "SIN-SIP", "TAN", "ZEA"])
def test_sip_with_and_without_its_suffix(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And without astropy's lecture about it."""
    source = header(code, **SIP)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grid = Grid.from_header(source)
        grid.wcs()
    assert capsys.readouterr() == ("", "")
    u_, v = X + 1 - 50.5, Y + 1 - 40.5
    f = X + 3e-4 * u_**2 - 1e-6 * v**3
    g = Y - 4e-4 * u_ * v + 1e-4 * v**2
    assert apart(grid, make(code[:3]).sky(f, g)) < 1e-9
    logging.disable(logging.INFO)
    assert apart(grid, astropy_sky(source)) < 1e-9
    logging.disable(logging.NOTSET)
    assert trip(grid) < 1e-9
    assert grid.core() == make(code[:3]) and grid.smooth and not grid.has_tables


TPV: dict[str, Any] = {
    "PV1_1": 1.001,
    "PV1_2": -2e-4,
    "PV1_4": 0.3,
    "PV1_6": 0.2,
    "PV1_7": 2.0,
    "PV2_1": 0.999,
    "PV2_5": 0.4,
}


def tpv(xi: Floats, eta: Floats) -> tuple[Floats, Floats]:
    """The TPV polynomial above: terms 1, x, y, r, x², xy, y², x³; for axis 2 with x and y exchanged."""
    return (
        1.001 * xi - 2e-4 * eta + 0.3 * xi**2 + 0.2 * eta**2 + 2.0 * xi**3,
        0.999 * eta + 0.4 * eta * xi,
    )


def from_plane(xi: Floats, eta: Floats) -> Floats:
    """Places at coordinates of the tangent plane, degrees."""
    plane = make(CD1_1=1.0, CD1_2=0.0, CD2_1=0.0, CD2_2=1.0, CRPIX1=1.0, CRPIX2=1.0)
    return plane.sky(xi, eta)


def plane_of(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    dx, dy = x + 1 - 50.5, y + 1 - 40.5
    return -dx / 3600 + 2e-5 * dy, 3e-5 * dx + dy / 3600


@pytest.mark.parametrize("code", ["TPV", "TAN"])
def test_tpv_and_the_older_pv_with_tan(code: str) -> None:
    """With SIP cards beside them, which say the same a second time, and are left out (SCAMP's convention)."""
    source = header(code, **TPV, **(SIP if code == "TAN" else {}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grid = Grid.from_header(source)
    assert apart(grid, from_plane(*tpv(*plane_of(X, Y)))) < 1e-8
    assert apart(grid, astropy_sky(source)) < 1e-9
    assert trip(grid) < 1e-9
    assert Grid.from_header(parse_header(grid.to_template())) == grid


def test_tpv_beside_cdelt_is_in_degrees() -> None:
    """As its definition says; wcslib, given CDELT, applies the polynomial to pixels."""
    by_cd = make("TPV", CD1_2=0.0, CD2_1=0.0, **TPV)
    step = {"CD1_1": None, "CD1_2": None, "CD2_1": None, "CD2_2": None, "CDELT1": -1 / 3600, "CDELT2": 1 / 3600}
    by_cdelt = make("TPV", **step, **TPV)
    assert apart(by_cdelt, by_cd.sky(X, Y)) < 1e-9
    turned = make("TPV", **(step | {"CROTA2": 90.0}), **TPV)
    assert apart(turned, make("TPV", CD1_1=0.0, CD1_2=-1 / 3600, CD2_1=-1 / 3600, CD2_2=0.0, **TPV).sky(X, Y)) < 1e-9


@pytest.mark.parametrize("code", ["TPV", "TAN"])
def test_tpv_left_out_is_the_conventions_default(code: str) -> None:
    """PV1_1 and PV2_1 are 1 where they are not given: wcslib takes 0, a map onto a line."""
    few = {"PV1_4": 0.1, "PV2_5": 0.2}
    assert make(code, **few) == make(code, **few, PV1_1=1.0, PV2_1=1.0)
    assert apart(make(code, **few), make("TAN").sky(X, Y)) < 1.0
    assert apart(make("TPV"), make("TAN").sky(X, Y)) < 1e-9
    with pytest.raises(InputError, match="no size on the sky"):
        make(code, PV1_1=0.0, PV2_1=0.0, PV1_5=0.0)


def test_sip_and_scamp_polynomials_in_one_header() -> None:
    """They say the same twice: astropy's choice is the one that CTYPE names, and so is the grid's kind."""
    for code, kind in (("TAN-SIP", "TAN-SIP"), ("TPV", "TPV"), ("TAN", "TPV")):
        source = header(code, **SIP, **TPV)
        logging.disable(logging.INFO)
        vectors = astropy_sky(source)
        logging.disable(logging.NOTSET)
        grid = Grid.from_header(source)
        assert grid.kind == kind and apart(grid, vectors) < 1e-9
    lonpole = make("TAN-SIP", **SIP, PV1_3=150.0)  # TAN's own PV are kept
    assert apart(lonpole, make("TAN-SIP", **SIP, LONPOLE=150.0).sky(X, Y)) < 1e-9


def test_a_strong_sip_finds_the_pixel_on_the_grid() -> None:
    """x → x + a x² is two to one; the other root is far outside, and nearer to where Newton begins."""
    strong = {"A_ORDER": 2, "B_ORDER": 2, "A_2_0": -4e-3, "B_2_0": 2e-3}
    far = make("TAN-SIP", **strong, CRPIX1=-20.5, NAXIS1=95)
    x, y = np.meshgrid(np.linspace(-0.5, 94.5, 41), np.linspace(-0.5, 79.5, 21))
    assert trip(far, x.ravel(), y.ravel()) < 1e-8


@pytest.mark.parametrize("code", ["TAN", "TPV", "SZP"])
def test_latitude_first(code: str) -> None:
    """wcslib's own inverse of a TPV is infinite then."""
    values = TPV if code == "TPV" else PARAMETERS[code]
    plain = header(code, **values)
    swapped = plain.copy()
    for key in ("CTYPE", "CRVAL"):
        swapped[f"{key}1"], swapped[f"{key}2"] = plain[f"{key}2"], plain[f"{key}1"]
    for i in (1, 2):
        for j in (1, 2):
            swapped[f"CD{i}_{j}"] = plain[f"CD{3 - i}_{j}"]
        for key in [key for key in plain if key.startswith(f"PV{i}_")]:
            del swapped[key]
    for key in [key for key in plain if key.startswith("PV")]:
        swapped[f"PV{3 - int(key[2])}{key[3:]}"] = plain[key]
    grid = Grid.from_header(swapped)
    assert apart(grid, astropy_sky(swapped)) < (1e-9 if code != "SZP" else 1e-5)
    assert trip(grid) < 1e-9
    if code != "TPV":  # TPV's x is that of axis 1, whatever it is
        assert apart(grid, make(code, **values).sky(X, Y)) < 1e-9


def surface(kind: int, cross: int, coefficients: Floats, xi: Floats, eta: Floats) -> Floats:
    """IRAF's surface of orders 4 and 3 over ±0.05 and ±0.04 degrees, by numpy's polynomials."""
    terms = [(i, j) for j in range(3) for i in range(4) if cross == 1 or (i * j == 0 if cross == 0 else i + j < 4)]
    c = np.zeros((4, 3))
    for (i, j), value in zip(terms, coefficients, strict=True):
        c[i, j] = value
    value = {1: chebyshev.chebval2d, 2: legendre.legval2d, 3: polynomial.polyval2d}[kind]
    a, b = (xi, eta) if kind == 3 else (xi / 0.05, eta / 0.04)
    return np.asarray(value(a, b, c))


def wat(source: Header, axis: int, text: str) -> None:
    for i in range(0, len(text), 68):
        source.append(Card.fromstring(f"WAT{axis}_{i // 68 + 1:03d}= '{text[i : i + 68]:<68}'"))


def iraf_header(code: str, kind: int, cross: int, end: str = " ", pad: int = 0) -> tuple[Header, list[Floats]]:
    """A TNX or ZPX header, and its two lists of coefficients; its text cut elsewhere with ``pad``."""
    n = {0: 6, 1: 12, 2: 9}[cross]
    coefficients = [1e-4 * np.random.default_rng(seed).normal(size=n) for seed in (1, 2)]
    source = header(code)
    wat(source, 0, "system=image")
    for axis, name, kind_of_axis, values in (
        (1, "lngcor", "ra", coefficients[0]),
        (2, "latcor", "dec", coefficients[1]),
    ):
        numbers = [float(kind), 4.0, 3.0, float(cross), -0.05, 0.05, -0.04, 0.04, *values]
        projp = "projp1=1.0 projp3=40.0 " if code == "ZPX" else ""
        body = " ".join([f"{number:.0f}." for number in numbers[:4]] + [repr(float(number)) for number in numbers[4:]])
        wat(source, axis, f'wtype={code.lower()} axtype={kind_of_axis} {" " * pad}{projp}{name} = "{body}{end}"')
    return source, coefficients


@pytest.mark.parametrize("code", ["TNX", "ZPX"])
@pytest.mark.parametrize("kind", [1, 2, 3])
@pytest.mark.parametrize("cross", [0, 1, 2])
def test_irafs_tnx_and_zpx(code: str, kind: int, cross: int) -> None:
    """Corrections by Chebyshev, Legendre or plain polynomials of the plane, then TAN or ZPN."""
    source, (lng, lat) = iraf_header(code, kind, cross)
    grid = Grid.from_header(source)
    xi, eta = plane_of(X, Y)
    truth_xi, truth_eta = (p + surface(kind, cross, c, xi, eta) for p, c in ((xi, lng), (eta, lat)))
    unit = {"CD1_1": 1.0, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 1.0, "CRPIX1": 1.0, "CRPIX2": 1.0}
    plane = make("TAN", **unit) if code == "TNX" else make("ZPN", **unit, PV2_1=1.0, PV2_3=40.0)
    assert apart(grid, plane.sky(truth_xi, truth_eta)) < 1e-8
    assert trip(grid) < 1e-9
    assert Grid.from_header(parse_header(grid.to_template())) == grid
    # wcslib's parser fails without a blank before the last quote, and where a blank ends a card: here all are read.
    assert Grid.from_header(iraf_header(code, kind, cross, end="")[0]) == grid
    assert all(Grid.from_header(iraf_header(code, kind, cross, pad=pad)[0]) == grid for pad in (1, 4, 8))
    assert apart(grid, astropy_sky(grid.to_header())) < 1e-9
    others = []
    for pad in range(12):
        with suppress(ValueError):
            others.append(astropy_sky(iraf_header(code, kind, cross, pad=pad)[0]))
    assert others and max(apart(grid, other) for other in others) < 1e-9


def test_tnx_without_its_text_is_tan() -> None:
    assert apart(make("TNX"), make("TAN").sky(X, Y)) < 1e-9
    harmless = make(WAT0_001="system=image", WAT1_001="wtype=tan axtype=ra")
    assert harmless == make()


@pytest.mark.parametrize(
    ("find", "put", "named"),
    [
        ("1. 4.", "1. nan", "finite"),
        ("1. 4.", "1. 4.x", "no number"),
        ("1. 4.", "7. 4.", "function 7"),
        ("1. 4.", "1. 5.", "its orders make"),
        ("1. 4.", "1. 99.", "orders 99"),
        ("-0.05 0.05", "0.05 -0.05", "must grow"),
    ],
)
def test_damaged_iraf_text_is_named(find: str, put: str, named: str) -> None:
    source, _ = iraf_header("TNX", 1, 0)
    source["WAT1_001"] = source["WAT1_001"].replace(find, put)
    with pytest.raises(InputError, match=named) as caught:
        Grid.from_header(source)
    assert "WAT1" in str(caught.value)


def test_sequent_distortions_of_the_draft_standard() -> None:
    """CQDIS, in which an astropy WCS gives back what it read as TNX, as it gives PV for TPV; both at 14 digits."""
    tnx = iraf_header("TNX", 1, 2)[0]
    for source, word in ((Grid.from_header(tnx).to_header(), "CQDIS1"), (header("TPV", **TPV), "PV1_1")):
        wcs = WCS(source)
        wcs.array_shape = SHAPE
        grid = Grid.from_header(wcs)
        assert word in grid.header
        assert apart(grid, Grid.from_header(source).sky(X, Y)) < 1e-8
        assert trip(grid) < 1e-9
        assert Grid.from_header(parse_header(grid.to_template())) == grid
        assert Grid.from_header(grid.to_header()) == grid
    with pytest.raises(InputError, match="CQDIS1 = 'Spline'"):
        make(CQDIS1="Spline")


DSS: dict[str, Any] = {
    "PPO3": 177500.0, "PPO6": 177500.0, "XPIXELSZ": 25.28445, "YPIXELSZ": 25.28445, "CNPIX1": 9000, "CNPIX2": 8000,
    "PLTRAH": 5, "PLTRAM": 40, "PLTRAS": 30.5, "PLTDECSN": "-", "PLTDECD": 2, "PLTDECM": 0, "PLTDECS": 25.0,
    "AMDX1": 67.2, "AMDX2": 0.05, "AMDX3": -1.2, "AMDX4": 1e-5, "AMDX5": -2e-5, "AMDX8": 1e-6,
    "AMDY1": 67.3, "AMDY2": -0.04, "AMDY3": 2.1, "AMDY4": 3e-5, "AMDY9": 1e-6,
}  # fmt: skip


def test_dss_plate_solutions() -> None:
    """Against the definition: millimetres from the plate's middle, a cubic, the tangent plane."""
    source = Header([(key, value) for key, value in (BASE | DSS).items() if key[:2] not in ("CT", "CR", "CD")])
    grid = Grid.from_header(source)
    x = (177500.0 - 25.28445 * (X + 9000.5)) / 1000  # the lower left corner of a pixel counts
    y = (25.28445 * (Y + 8000.5) - 177500.0) / 1000
    xi = 67.2 * x + 0.05 * y - 1.2 + 1e-5 * x * x - 2e-5 * x * y + 1e-6 * x**3
    eta = 67.3 * y - 0.04 * x + 2.1 + 3e-5 * y * y + 1e-6 * y * y * x
    middle = {"CRVAL1": 15 * (5 + 40 / 60 + 30.5 / 3600), "CRVAL2": -(2 + 25.0 / 3600)}
    unit = {"CD1_1": 1.0, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 1.0, "CRPIX1": 1.0, "CRPIX2": 1.0}
    assert apart(grid, astropy_sky(source)) < 1e-9
    assert trip(grid) < 2e-9
    assert apart(grid, make("TAN", **middle, **unit).sky(xi / 3600, eta / 3600)) < 1e-8
    part = grid.subgrid(Window(10, 40, 20, 70))
    assert apart(part, grid.sky(X, Y), X - 20, Y - 10) < 1e-8
    assert part.shift_from(grid) == (-10, -20) and grid.shift_from(part) == (10, 20)


# -- lookup tables -----------------------------------------------------------------------------------------------------


def table(name: str, version: int, seed: int, shape: tuple[int, int] = (9, 11)) -> fits.ImageHDU:
    data = np.random.default_rng(seed).normal(scale=0.3, size=shape).astype(np.float32)
    hdu = fits.ImageHDU(data, name=name, ver=version)
    hdu.header.update({"CRPIX1": 1.0, "CRPIX2": 2.0, "CRVAL1": 3.5, "CRVAL2": 4.0, "CDELT1": 10.5, "CDELT2": 9.0})
    return hdu


def with_tables(cpdis: bool = True, d2im: bool = True, **changes: Any) -> fits.HDUList:
    """An image with SIP and both kinds of lookup tables, the second D2IM one transposed."""
    source = header("TAN-SIP", **(SIP | changes))
    hdus = fits.HDUList([fits.PrimaryHDU(np.zeros(SHAPE, np.float32), source)])
    for wanted, kind, record, name in ((cpdis, "CPDIS", "DP", "WCSDVARR"), (d2im, "D2IMDIS", "D2IM", "D2IMARR")):
        for axis in (1, 2) if wanted else ():
            hdus[0].header[f"{kind}{axis}"] = "Lookup"
            first = 2 if (kind, axis) == ("D2IMDIS", 2) else 1
            for field in (f"EXTVER: {axis}", "NAXES: 2", f"AXIS.1: {first}", f"AXIS.2: {3 - first}"):
                hdus[0].header.append(Card.fromstring(f"{record}{axis:<{8 - len(record)}}= '{field}'"), end=True)
            hdus.append(table(name, axis, axis + len(name)))
    return hdus


def bilinear(hdu: fits.ImageHDU, x: Floats, y: Floats, transposed: bool = False) -> Floats:
    """A table's value at pixels counted from 0: linear between its points, its edge's value beyond."""
    data = hdu.data.T if transposed else hdu.data
    ny, nx = data.shape
    i = np.clip((x + 1 - 3.5) / 10.5 + 1.0 - 1, 0, nx - 1)
    j = np.clip((y + 1 - 4.0) / 9.0 + 2.0 - 1, 0, ny - 1)
    i0, j0 = np.minimum(i.astype(int), nx - 2), np.minimum(j.astype(int), ny - 2)
    s, t = i - i0, j - j0
    low = (1 - s) * data[j0, i0] + s * data[j0, i0 + 1]
    high = (1 - s) * data[j0 + 1, i0] + s * data[j0 + 1, i0 + 1]
    return np.asarray((1 - t) * low + t * high)


@pytest.mark.parametrize(("cpdis", "d2im"), [(True, False), (False, True), (True, True)])
def test_lookup_tables(cpdis: bool, d2im: bool) -> None:
    hdus = with_tables(cpdis, d2im)
    grid = Grid.from_header(hdus[0].header, hdus=hdus)
    assert grid.has_tables and not grid.smooth and grid.kind == "TAN-SIP" and grid.core().kind == "TAN"
    assert apart(grid, astropy_sky(hdus[0].header, hdus)) < 1e-9
    assert trip(grid) < 1e-9
    assert grid.core() == make("TAN") and not grid.core().has_tables
    assert apart(grid, grid.core().sky(*grid.to_core(X, Y))) < 1e-9
    # D2IM first; SIP and CPDIS add what they say at the pixel that this gives.
    x, y = X, Y
    if d2im:
        x, y = X + bilinear(hdus["D2IMARR", 1], X, Y), Y + bilinear(hdus["D2IMARR", 2], X, Y, transposed=True)
    a, b = x + 1 - 50.5, y + 1 - 40.5
    f, g = x + 3e-4 * a**2 - 1e-6 * b**3, y - 4e-4 * a * b + 1e-4 * b**2
    if cpdis:
        f, g = f + bilinear(hdus["WCSDVARR", 1], x, y), g + bilinear(hdus["WCSDVARR", 2], x, y)
    inside = (X > 12) & (X < 75) & (Y > 10) & (Y < 75)  # beyond its mesh a table is not defined by the standard
    core_x, core_y = grid.to_core(X, Y)
    np.testing.assert_allclose(core_x[inside], f[inside], rtol=0, atol=1e-5)  # wcslib interpolates in float32
    np.testing.assert_allclose(core_y[inside], g[inside], rtol=0, atol=1e-5)


def test_a_grid_with_tables_is_a_value(tmp_path: Path) -> None:
    hdus = with_tables()
    grid = Grid.from_header(hdus[0].header, hdus=hdus)
    again = Grid.from_header(with_tables()[0].header, hdus=with_tables())
    assert again == grid and hash(again) == hash(grid) and pickle.loads(pickle.dumps(grid)) == grid
    other = with_tables()
    other["D2IMARR", 1].data[3, 3] += 1
    assert Grid.from_header(other[0].header, hdus=other) != grid
    assert len(grid.tables) < 4 * 4 * 99 + 2500
    # From an astropy WCS that holds them, from the file by its path, and as a product is written and read again.
    assert Grid.from_header(WCS(hdus[0].header, hdus), SHAPE).tables == grid.tables
    hdus.writeto(tmp_path / "in.fits")
    assert Grid.from_header(tmp_path / "in.fits") == grid
    with FitsWriter(tmp_path / "out.fits", grid) as writer:
        writer.write(grid.window, np.zeros(SHAPE, np.float32))
    with fits.open(tmp_path / "out.fits") as written:
        written.verify("exception")
        assert apart(grid, astropy_sky(written[0].header, written)) < 1e-9
    assert scan([tmp_path / "in.fits", tmp_path / "out.fits"])[1].grid == grid
    with pytest.raises(InputError, match="tables"):
        grid.to_template()


def test_a_part_of_a_grid_with_tables() -> None:
    hdus = with_tables()
    grid = Grid.from_header(hdus[0].header, hdus=hdus)
    part = grid.subgrid(Window(10, 40, 20, 70))
    assert apart(part, grid.sky(X, Y), X - 20, Y - 10) < 1e-7
    assert trip(part) < 1e-9
    assert part.shift_from(grid) == (-10, -20) and grid.shift_from(part) == (10, 20) and grid.shift_from(grid) == (0, 0)
    assert part.shift_from(grid.core()) is None
    other = with_tables()
    other["D2IMARR", 1].data[3, 3] += 1
    assert part.shift_from(Grid.from_header(other[0].header, hdus=other)) is None


def test_the_older_form_of_d2im() -> None:
    """AXISCORR and a row of corrections along x."""
    source = header(AXISCORR=1, D2IMEXT="somewhere.fits", D2IMERR=0.002)
    row = np.random.default_rng(3).normal(scale=0.01, size=128).astype(np.float32)
    hdus = fits.HDUList([fits.PrimaryHDU(np.zeros(SHAPE, np.float32), source), fits.ImageHDU(row, name="D2IMARR")])
    grid = Grid.from_header(source, hdus=hdus)
    assert apart(grid, astropy_sky(source, hdus)) < 1e-9
    assert apart(grid, grid.core().sky(*grid.to_core(X, Y))) < 1e-9
    assert trip(grid) < 1e-9
    moved = grid.to_core(X, Y)[0] - X
    assert np.abs(moved).max() > 0.01
    assert Grid.from_header(source, hdus=hdus[:1]) == make()  # a resampled image: the card is left, the table is gone


def _no_hdus(hdus: fits.HDUList) -> None:
    del hdus[1:]


def _no_axis(hdus: fits.HDUList) -> None:
    del hdus[0].header["DP1.AXIS.1"]


def _nan(hdus: fits.HDUList) -> None:
    hdus["WCSDVARR", 1].data[0, 0] = np.nan


def _cube(hdus: fits.HDUList) -> None:
    hdus["WCSDVARR", 1].data = np.zeros((2, 3, 4), np.float32)


def _zero_step(hdus: fits.HDUList) -> None:
    hdus["WCSDVARR", 1].header["CDELT1"] = 0.0


def _words(hdus: fits.HDUList) -> None:
    hdus["WCSDVARR", 1].header["CRVAL1"] = "left"


def _unknown(hdus: fits.HDUList) -> None:
    hdus[0].header["CPDIS1"] = "Polynomial"


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (_no_hdus, "not in the file"),
        (_no_axis, r"DP1\.AXIS\.1"),
        (_nan, "finite"),
        (_cube, "shape"),
        (_zero_step, "CDELT"),
        (_words, "CRVAL"),
        (_unknown, "Polynomial"),
    ],
)
def test_damaged_tables_are_named(tmp_path: Path, damage: Any, named: str) -> None:
    hdus = with_tables()
    damage(hdus)
    with pytest.raises(InputError, match=named) as caught:
        Grid.from_header(hdus[0].header, hdus=hdus)
    assert "CPDIS1" in str(caught.value)
    hdus.writeto(tmp_path / "bad.fits", output_verify="silentfix")
    with pytest.raises(InputError, match=r"bad\.fits"):
        scan(tmp_path)


def test_tables_that_are_not_given_are_asked_for() -> None:
    hdus = with_tables()
    with pytest.raises(InputError, match=r"CPDIS1 = 'Lookup'.*hdus="):
        Grid.from_header(hdus[0].header)


def test_the_file_that_tables_are_read_from_is_closed(tmp_path: Path) -> None:
    with_tables().writeto(tmp_path / "a.fits")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ResourceWarning)
        assert Grid.from_header(tmp_path / "a.fits", SHAPE).has_tables
        gc.collect()
    # Of this file alone: what other tests left open is collected here too.
    assert not [text for warning in told if str(tmp_path) in (text := str(warning.message))]


def test_a_table_that_claims_too_much_allocates_nothing(tmp_path: Path) -> None:
    import tracemalloc

    hdus = with_tables()
    path = tmp_path / "big.fits"
    hdus.writeto(path)
    raw = path.read_bytes()
    at = raw.index(b"XTENSION")
    for key in (b"NAXIS1", b"NAXIS2"):
        card = raw.index(key, at)
        raw = raw[:card] + key + b"  =                40000" + raw[card + 30 :]
    path.write_bytes(raw)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"truncated|cells"):
        scan(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


def tab_list(**changes: Any) -> fits.HDUList:
    """An image whose coordinates stand in a table."""
    ny, nx = 10, 12
    row = np.zeros(1, [("COORD", "f8", (ny, nx, 2)), ("I1", "f8", (nx,)), ("I2", "f8", (ny,)), ("OTHER", "f8")])
    j, i = np.mgrid[0:ny, 0:nx]
    row["COORD"][0, ..., 0] = 83.8 - 3e-3 * i + 1e-4 * j + 2e-5 * j**2
    row["COORD"][0, ..., 1] = -5.4 + 3e-3 * j + 1e-5 * i**2
    row["I1"][0], row["I2"][0] = 10.0 * np.arange(nx) - 5, 9.0 * np.arange(ny) - 3
    unit = {
        "CRVAL1": 0.0,
        "CRVAL2": 0.0,
        "CRPIX1": 1.0,
        "CRPIX2": 1.0,
        "CD1_1": 1.0,
        "CD2_2": 1.0,
        "CD1_2": 0.0,
        "CD2_1": 0.0,
    }
    source = header("TAB", **unit)
    for axis in (1, 2):
        source.update(
            {f"PS{axis}_0": "GRID", f"PS{axis}_1": "COORD", f"PS{axis}_2": f"I{axis}", f"PV{axis}_3": float(axis)}
        )
        source[f"CUNIT{axis}"] = "deg"
    source.update(changes)
    return fits.HDUList([fits.PrimaryHDU(np.zeros(SHAPE, np.float32), source), fits.BinTableHDU(row, name="GRID")])


def test_coordinates_in_a_table(tmp_path: Path) -> None:
    """-TAB: bilinear in the plane of longitude and latitude, so with kinks, and with no core."""
    hdus = tab_list()
    grid = Grid.from_header(hdus[0].header, hdus=hdus)
    assert not grid.smooth and not grid.has_tables and grid.frame.name == "icrs"
    assert apart(grid, astropy_sky(hdus[0].header, hdus)) < 1e-9
    i, j = 3, 4
    (vector,) = grid.sky(np.array([10.0 * i - 5.0]), np.array([9.0 * j - 3.0]))
    lon, lat = 83.8 - 3e-3 * i + 1e-4 * j + 2e-5 * j**2, -5.4 + 3e-3 * j + 1e-5 * i**2
    assert np.linalg.norm(vector - unit_vectors(*np.radians([np.array(lon), np.array(lat)]))) < 1e-15
    assert trip(grid) < 1e-9
    part = grid.subgrid(Window(10, 40, 20, 70))
    assert apart(part, grid.sky(X, Y), X - 20, Y - 10) < 1e-9
    assert part.shift_from(grid) == (-10, -20)
    assert pickle.loads(pickle.dumps(grid)) == grid == Grid.from_header(tab_list()[0].header, hdus=tab_list())
    hdus.writeto(tmp_path / "in.fits")
    assert scan(tmp_path / "in.fits")[0].grid == grid
    with FitsWriter(tmp_path / "out.fits", grid) as writer:
        writer.write(grid.window, np.zeros(SHAPE, np.float32))
    with fits.open(tmp_path / "out.fits") as written:
        assert apart(grid, astropy_sky(written[0].header, written)) < 1e-9
    with pytest.raises(InputError, match="CTYPE1 = 'RA---TAB'"):
        Grid.from_header(hdus[0].header)
    with pytest.raises(InputError, match="-TAB"):
        Grid.from_header(WCS(hdus[0].header, hdus), SHAPE)
    with pytest.raises(InputError, match="not in the file"):
        Grid.from_header(hdus[0].header, hdus=hdus[:1])
    with pytest.raises(InputError, match="not in the file"):
        bad = tab_list(PS1_1="ABSENT")
        Grid.from_header(bad[0].header, hdus=bad)
    same = tab_list(PV1_1=np.int64(1))
    assert apart(Grid.from_header(same[0].header, hdus=same), grid.sky(X, Y)) == 0
    for version in ("first", 0.0, 1.5):
        with pytest.raises(InputError, match=r"PV1_1 = .* must be the EXTVER"):
            bad = tab_list(PV1_1=version)
            Grid.from_header(bad[0].header, hdus=bad)


# -- WCS objects -------------------------------------------------------------------------------------------------------


def test_an_astropy_wcs_keeps_its_tables_and_digits() -> None:
    wcs = WCS(header("TAN-SIP", **SIP))
    wcs.cpdis1 = DistortionLookupTable(np.ones((4, 4), np.float32) / 3, (1.0, 1.0), (1 / 3, 1.0), (30.1, 30.0))
    grid = Grid.from_header(wcs, SHAPE)
    table = grid.wcs().cpdis1
    assert (tuple(table.crval), tuple(table.cdelt)) == ((1 / 3, 1.0), (30.1, 30.0))
    world = np.radians(wcs.all_pix2world(X, Y, 0))
    assert apart(grid, unit_vectors(*world)) < 1e-9
    assert trip(grid) < 1e-9


def distorted_gwcs(inverse: bool = False, box: bool = False) -> Any:
    """A gwcs of one's own: a polynomial, the tangent plane, a rotation."""
    gwcs, cf = pytest.importorskip("gwcs"), pytest.importorskip("gwcs.coordinate_frames")
    from astropy.modeling import models as m

    a = m.Polynomial2D(2, c1_0=1, c2_0=3e-4, c0_2=2e-4, c1_1=-1e-4)
    b = m.Polynomial2D(2, c0_1=1, c2_0=1e-4)
    chain = m.Shift(-50) & m.Shift(-40) | m.Mapping((0, 1, 0, 1)) | a & b | m.Scale(-1 / 3600) & m.Scale(1 / 3600)
    sky = m.Pix2Sky_TAN() | m.RotateNative2Celestial(83.8, -5.4, 180)
    transform = chain | sky
    if not inverse:
        transform.bounding_box = None
    detector = cf.Frame2D(name="detector", unit=(u.pix, u.pix))
    world = cf.CelestialFrame(reference_frame=FK5(), name="sky", unit=(u.deg, u.deg))
    made = gwcs.WCS([(detector, transform), (world, None)])
    if box:
        made.bounding_box = ((-0.5, 60.5), (-0.5, 79.5))
    made.array_shape = SHAPE
    return made


def test_gwcs() -> None:
    """The same as the FITS header that says the same, through an inverse of our own."""
    thing = distorted_gwcs()
    grid = Grid.from_header(thing)
    dx, dy = X - 50, Y - 40
    f = 3e-4 * dx**2 + 2e-4 * dy**2 - 1e-4 * dx * dy
    same = make("TAN", CD1_2=0.0, CD2_1=0.0, CRPIX1=51.0, CRPIX2=41.0, RADESYS="FK5", EQUINOX=2000.0)
    assert apart(grid, same.sky(X + f, Y + 1e-4 * dx**2)) < 1e-8
    assert (
        grid.kind == "WCS"
        and grid.shape == SHAPE
        and grid.frame.is_equivalent_frame(FK5())
        and not grid.smooth
        and not grid.has_tables
    )
    assert trip(grid) < 1e-9
    assert grid.scale == pytest.approx(np.radians(1 / 3600), rel=0.01)
    assert pickle.loads(pickle.dumps(grid)) == grid and len({grid, grid.subgrid(grid.window)}) == 1
    part = grid.subgrid(Window(10, 40, 20, 70)).subgrid(Window(5, 25, -30, 30))
    assert apart(part, grid.sky(X, Y), X + 10, Y - 15) < 1e-9
    assert part.shift_from(grid) == (-15, 10)
    assert part.shift_from(same) is None and same.shift_from(part) is None
    assert np.isfinite(grid.solid_angle(Window(0, 3, 0, 4))).all()
    for call in (grid.to_header, grid.to_template):
        with pytest.raises(InputError, match=r"object|tables"):
            call()
    assert Grid.fit([grid]).frame.name == "fk5"


@pytest.mark.parametrize("box", [False, True])
def test_a_gwcs_is_a_value(box: bool) -> None:
    """Its copies, and itself after use, are the same grid; so are the digests that are made of it."""
    wcs = distorted_gwcs(box=box)
    grid = Grid.from_header(wcs, SHAPE)
    copies = [pickle.loads(pickle.dumps(wcs)), pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(wcs))))]
    wcs(3.0, 4.0)
    wcs.pixel_to_world_values(5.0, 6.0)
    for other in (wcs, *copies):
        again = Grid.from_header(other, SHAPE)
        assert again == grid and hash(again) == hash(grid) and again.tables == grid.tables
        assert again.shift_from(grid.subgrid(Window(2, 9, 3, 9))) is not None


def test_gwcs_ends_at_its_bounding_box() -> None:
    grid = Grid.from_header(distorted_gwcs(box=True))
    vectors = grid.sky(np.array([60.4, 60.6]), np.array([5.0, 5.0]))
    np.testing.assert_array_equal(np.isfinite(vectors[:, 0]), [True, False])
    back = grid.pixel(grid.sky(np.array([60.499, -0.5]), np.array([5.0, 79.5])))
    np.testing.assert_allclose(back, [[60.499, -0.5], [5.0, 79.5]], rtol=0, atol=1e-8)


def test_a_slice_of_a_cubes_wcs() -> None:
    cube = WCS(cube_header())
    sliced = cube[3, 10:, 20:]
    assert apart(Grid.from_header(sliced, SHAPE), make().sky(X, Y), X - 20, Y - 10) < 1e-8
    low = SlicedLowLevelWCS(cube, (3, slice(None), slice(None)))
    grid = Grid.from_header(low, SHAPE)
    assert apart(grid, make().sky(X, Y)) < 1e-9 and trip(grid) < 1e-9
    with pytest.raises(InputError, match="slice it"):
        Grid.from_header(SlicedLowLevelWCS(cube, (slice(None), slice(None), 3)), SHAPE)


def test_objects_that_cannot_be_used() -> None:
    thing = distorted_gwcs()
    thing.array_shape = None
    with pytest.raises(InputError, match="shape"):
        Grid.from_header(thing)
    thing.forward_transform.evaluate = lambda *_: None  # a function without a name
    with pytest.raises(InputError, match="pickle"):
        thing.lock = lambda: None
        Grid.from_header(thing, SHAPE)
    with pytest.raises(InputError, match="not from int"):
        Grid.from_header(5)


# -- cubes -------------------------------------------------------------------------------------------------------------


def cube_header(**changes: Any) -> Header:
    more: dict[str, Any] = {
        "NAXIS": 3,
        "NAXIS3": 5,
        "CTYPE3": "FREQ",
        "CRVAL3": 1e9,
        "CRPIX3": 1.0,
        "CD3_3": 1e6,
        "CUNIT3": "Hz",
    }
    return header(**(more | changes))


def test_cubes_have_the_geometry_of_a_plane(tmp_path: Path) -> None:
    assert Grid.from_header(cube_header(NAXIS=4, NAXIS4=1, CTYPE4="STOKES")) == make()
    wcs = WCS(cube_header())
    wcs.array_shape = (5, *SHAPE)
    assert Grid.from_header(wcs) == Grid.from_header(WCS(header()), SHAPE)
    values = np.random.default_rng(1).normal(size=(1, 5, 1, *SHAPE)).astype(np.float32)
    values[0, 3, 0, 2, 2] = np.nan
    fits.PrimaryHDU(values, cube_header()).writeto(tmp_path / "cube.fits")
    (ref,) = scan(tmp_path)
    assert ref.planes == (5,) and ref.grid == make()
    np.testing.assert_array_equal(read(ref), values[0, :, 0])
    np.testing.assert_array_equal(read(ref, Window(1, 9, 2, 30)), values[0, :, 0, 1:9, 2:30])
    with fits.open(tmp_path / "cube.fits") as hdus:
        array, grid = in_memory(hdus[0], hdus)
    np.testing.assert_array_equal(array, values[0, :, 0])
    assert grid == make()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"CD1_3": 1e-5}, "CD1_3"),
        ({"CD3_2": 1.0}, "CD3_2"),
        ({"CTYPE1": "FREQ", "CTYPE3": "RA---TAN"}, "celestial"),
        ({"CTYPE1": "FREQ", "CTYPE2": "RA---TAN", "CTYPE3": "DEC--TAN"}, "celestial"),
        ({"CTYPE1": "FREQ", "CTYPE2": "STOKES", "CTYPE3": "RA---TAN", "CTYPE4": "DEC--TAN"}, "transpose"),
    ],
)
def test_cubes_that_share_no_geometry_are_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        Grid.from_header(cube_header(**changes))


# -- frames ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "frame"),
    [
        ({"CTYPE1": "ELON-TAN", "CTYPE2": "ELAT-TAN"}, BarycentricMeanEcliptic()),
        ({"CTYPE1": "ELON-TAN", "CTYPE2": "ELAT-TAN", "EQUINOX": 1987.5}, BarycentricMeanEcliptic(equinox="J1987.5")),
        (
            {"CTYPE1": "ELON-TAN", "CTYPE2": "ELAT-TAN", "EQUINOX": 1950.0, "RADESYS": "FK4"},
            BarycentricMeanEcliptic(equinox="B1950"),
        ),
        ({"CTYPE1": "SLON-TAN", "CTYPE2": "SLAT-TAN"}, Supergalactic()),
        ({"RADESYS": "FK4-NO-E", "EQUINOX": 1950.0}, FK4NoETerms(equinox="B1950")),
        ({"RADESYS": "FK5", "EQUINOX": 1975.0}, FK5(equinox="J1975")),
    ],
)
def test_frames(changes: dict[str, Any], frame: Any) -> None:
    grid = make(**changes)
    assert grid.frame.is_equivalent_frame(frame)
    vectors = grid.sky(X, Y)
    there = make("TAN", RADESYS="FK5", EQUINOX=2000.0).frame
    lon, lat = np.arctan2(vectors[:, 1], vectors[:, 0]), np.arcsin(vectors[:, 2])
    truth = (
        SkyCoord(lon * u.rad, lat * u.rad, frame=frame).transform_to(FK5(), merge_attributes=False).cartesian.xyz.value
    )
    assert np.abs(rotate_frame(vectors, grid.frame, there) - truth.T).max() < 1e-14


def test_frames_keep_their_own_equinox() -> None:
    """astropy's SkyCoord hands its equinox on to a target that has none of its own: half a degree off."""
    old, new = make(RADESYS="FK4", EQUINOX=1950.0).frame, FK5()
    vectors = rotate_frame(np.array([[1.0, 0.0, 0.0]]), old, new)
    expected = np.degrees(np.arctan2(vectors[0, 1], vectors[0, 0]))
    assert expected == pytest.approx(0.6407, abs=1e-3)  # 50 years of precession in right ascension
    assert old.equinox == Time("B1950")


@pytest.mark.parametrize("name", ["ecliptic", "supergalactic"])
def test_around_in_other_frames(name: str) -> None:
    place = SkyCoord(83.82, -5.39, unit="deg")
    grid = Grid.around(place, "3 arcmin", frame=name)
    (vector,) = grid.sky(np.array([89.5]), np.array([89.5]))
    lon, lat = np.arctan2(vector[1], vector[0]), np.arcsin(vector[2])
    assert SkyCoord(lon * u.rad, lat * u.rad, frame=grid.frame).separation(place).arcsec < 1e-6
    assert Grid.fit([grid]).frame.is_equivalent_frame(grid.frame)
    assert Grid.fit([grid, make()]).frame.name == "icrs"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"CTYPE1": "TLON-TAN", "CTYPE2": "TLAT-TAN"}, "TLON"),
        ({"RADESYS": "GAPPT"}, "GAPPT"),
        ({"RADESYS": "X"}, "'X'"),
    ],
)
def test_frames_that_are_none_of_the_sky(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        make(**changes)
