"""The mapping between grids against the exact WCS chain of astropy."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io.fits import Header
from astropy.wcs import DistortionLookupTable
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial.chebyshev import chebgrid2d
from numpy.typing import NDArray
from reproject import reproject_exact

from dmontage.grid import Grid
from dmontage.kernels.plane import TILE, project_plane
from dmontage.mapping import TOL, Chain, Mapping, fit_mapping
from dmontage.mapping.box import folds
from dmontage.window import Window

Floats = NDArray[np.float64]

SIP: dict[str, Any] = {
    "A_ORDER": 3, "B_ORDER": 3, "A_2_0": 3e-6, "A_0_2": -1e-6, "A_1_1": 2e-6, "B_2_0": -2e-6, "B_1_1": 1e-6,
    "B_0_2": 4e-6, "A_3_0": 2e-10, "B_1_2": -1e-10,
}  # fmt: skip


def make(
    projection: str = "TAN",
    lon: float = 83.8,
    lat: float = -5.4,
    shape: tuple[int, int] = (300, 400),
    scale: float = 1.0,
    names: tuple[str, str] = ("RA--", "DEC-"),
    **cards: Any,
) -> Grid:
    """A grid about (lon, lat); ``scale`` in arcseconds."""
    base = {
        "CTYPE1": f"{names[0]}-{projection}",
        "CTYPE2": f"{names[1]}-{projection}",
        "CRVAL1": lon,
        "CRVAL2": lat,
        "CRPIX1": (shape[1] + 1) / 2,
        "CRPIX2": (shape[0] + 1) / 2,
        "CDELT1": -scale / 3600,
        "CDELT2": scale / 3600,
    }
    return Grid.from_header(Header(list((base | cards).items())), shape)


GALACTIC = SkyCoord(83.8, -5.4, unit="deg").galactic
ALLSKY: dict[str, Any] = {"lat": 0.0, "shape": (180, 360), "scale": 3600.0}


def truth(grid_in: Grid, grid_out: Grid, x: Floats, y: Floats) -> Floats:
    """Output (x, y) of input pixels, by astropy's own high-level chain."""
    wcs_in, wcs_out = grid_in.wcs(), grid_out.wcs()
    sky = wcs_in.pixel_to_world(x, y).transform_to(grid_out.frame)
    world = np.stack([sky.spherical.lon.deg, sky.spherical.lat.deg], axis=-1)
    if wcs_out.sip is None:
        return np.asarray(wcs_out.wcs_world2pix(world, 0))
    return np.asarray(wcs_out.all_world2pix(world, 0, tolerance=1e-11, maxiter=100))


def evaluate(mapping: Mapping, x: Floats, y: Floats) -> Floats:
    """Output (x, y) at any input pixel coordinates, from the coefficients by numpy."""
    from numpy.polynomial.chebyshev import chebval2d

    out = np.full((len(x), 2), np.nan)
    for patch in mapping.patches:
        w = patch.window
        inside = (x >= w.x0 - 0.5) & (x <= w.x1 - 0.5) & (y >= w.y0 - 0.5) & (y <= w.y1 - 0.5)
        t_x = (2 * x[inside] - (w.x0 + w.x1 - 1)) / (w.x1 - w.x0)
        t_y = (2 * y[inside] - (w.y0 + w.y1 - 1)) / (w.y1 - w.y0)
        out[inside] = np.stack([chebval2d(t_y, t_x, c) for c in (patch.coef_x, patch.coef_y)], axis=-1)
    return out


def random_points(grid: Grid, n: int = 400) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(4)
    ny, nx = grid.shape
    return rng.uniform(-0.5, nx - 0.5, n), rng.uniform(-0.5, ny - 0.5, n)


# -- agreement with the WCS --------------------------------------------------------------------------------------------

PAIRS = [
    (make(CROTA2=17.0), make(lon=83.83, lat=-5.37, scale=1.3)),
    (make("SIN", CROTA2=-71.0), make("ZEA", lon=83.9)),
    (make("ZEA"), make("CAR", lat=0.0, CRPIX2=19600.0)),
    (make("STG", scale=30.0), make("AIT", lon=60.0, lat=0.0, scale=40.0)),
    (make("ARC", lat=89.0, lon=10.0), make("SIN", lat=88.8, lon=9.0, scale=0.7)),
    (make("AIT", lat=0.0, scale=60.0), make("MOL", lat=0.0, lon=80.0, scale=50.0)),
    (make("CAR", lat=0.0, scale=20.0), make("CEA", lat=0.0, lon=80.0, scale=25.0)),
    (make("SFL", lat=0.0, scale=10.0), make("HPX", lat=0.0, lon=80.0, scale=9.0, CROTA2=3.0)),
    (make("TAN", lon=0.001, CROTA2=123.0), make("SIN", lon=359.98)),
    (make("ZEA", CROTA2=8.0), make("ZPN", PV2_1=1.0, PV2_3=0.05)),
    (make("AZP", PV2_1=2.0, PV2_2=10.0), make("SIN", PV2_1=0.02, PV2_2=-0.05)),
    (make("COE", lat=0.0, PV2_1=30.0, PV2_2=10.0), make("BON", lat=0.0, PV2_1=30.0)),
    (make(CDELT1=1 / 3600), make("TAN", CROTA2=90.0)),
    (make(), make(names=("GLON", "GLAT"), lon=GALACTIC.l.deg, lat=GALACTIC.b.deg)),
    (make(names=("GLON", "GLAT"), lon=GALACTIC.l.deg, lat=GALACTIC.b.deg), make("SIN", RADESYS="FK5", EQUINOX=1975.0)),
    (make(RADESYS="FK5", EQUINOX=2000.0), make("CAR", lat=0.0, CRPIX2=19600.0)),
    (make("TAN", scale=0.001), make("TAN", scale=0.0013, CROTA2=5.0)),
]
IDS = [f"{a.header[11:19]}{b.header[11:19]}{k}" for k, (a, b) in enumerate(PAIRS)]


@pytest.mark.parametrize(("grid_in", "grid_out"), PAIRS, ids=IDS)
def test_agrees_with_astropy_within_the_stated_error(grid_in: Grid, grid_out: Grid) -> None:
    mapping = fit_mapping(grid_in, grid_out)
    assert not mapping.cut
    x, y = random_points(grid_in)
    off = np.abs(evaluate(mapping, x, y) - truth(grid_in, grid_out, x, y)).max()
    assert off <= mapping.error + mapping.rounding
    assert mapping.error < 0.1 * TOL


@pytest.mark.parametrize(
    "grid_in",
    [make("SIN", PV2_1=0.02, PV2_2=-0.05), make("SZP", PV2_1=2.0, PV2_2=10.0, PV2_3=70.0), make("AIR", PV2_1=45.0)],
    ids=["slant SIN", "SZP", "AIR"],
)
def test_where_wcslib_itself_is_rough_the_map_is_no_rougher(grid_in: Grid) -> None:
    """wcslib's pixel → sky is good to some 1e-6 px only for these: its round trip tells how far off it can be."""
    grid_out = make(lon=83.81)
    mapping = fit_mapping(grid_in, grid_out)
    x, y = random_points(grid_in)
    wcs = grid_in.wcs()
    noise = np.abs(
        wcs.wcs_world2pix(np.stack(wcs.wcs_pix2world(x, y, 0), axis=-1), 0) - np.stack([x, y], axis=-1)
    ).max()
    assert 1e-9 < noise < 1e-5
    off = np.abs(evaluate(mapping, x, y) - truth(grid_in, grid_out, x, y)).max()
    assert off <= mapping.error + 1.5 * noise
    assert mapping.error < 0.1 * TOL


@pytest.mark.parametrize("distorted_output", [False, True])
def test_sip_agrees_with_astropy(distorted_output: bool) -> None:
    sip, plain = make("TAN-SIP", CROTA2=12.0, **SIP), make("SIN", lon=83.82, scale=1.1)
    grid_in, grid_out = (plain, sip) if distorted_output else (sip, plain)
    mapping = fit_mapping(grid_in, grid_out)
    x, y = random_points(grid_in)
    off = np.abs(evaluate(mapping, x, y) - truth(grid_in, grid_out, x, y)).max()
    # wcslib's own rounding at 1" is 2e-10 px; astropy's iterative inverse stops at the tolerance Grid asks, 1e-9 px.
    assert off <= mapping.error + mapping.rounding + (1e-9 if distorted_output else 0.0)
    assert mapping.error < 0.1 * TOL


def test_corners_are_the_polynomials_at_pixel_corners() -> None:
    grid_in, grid_out = PAIRS[0]
    (patch,) = fit_mapping(grid_in, grid_out).patches
    window = Window(10, 14, 390, 400)
    got = np.stack(patch.corners(window), axis=-1)
    assert got.shape == (5, 11, 2)
    y, x = np.mgrid[10:15, 390:401] - 0.5
    want = truth(grid_in, grid_out, x.ravel(), y.ravel()).reshape(5, 11, 2)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-7)
    whole = np.stack(patch.corners(grid_in.window), axis=-1)
    assert got.tobytes() == whole[10:15, 390:401].tobytes()


def test_a_large_distorted_image_is_split_and_neighbours_meet() -> None:
    strong = SIP | {"A_3_0": 3e-8, "B_0_3": -4e-8, "A_1_2": 5e-8}
    grid_in = make("TAN-SIP", shape=(500, 700), **strong)
    grid_out = make("AIT", lon=20.0, lat=0.0, scale=1.0, CRPIX2=19600.0)
    mapping = fit_mapping(grid_in, grid_out)
    assert sum(patch.window.size for patch in mapping.patches) == grid_in.window.size
    x, y = random_points(grid_in)
    off = np.abs(evaluate(mapping, x, y) - truth(grid_in, grid_out, x, y)).max()
    assert off <= mapping.error + mapping.rounding


# -- lookup tables and objects -----------------------------------------------------------------------------------------


def with_tables(plain: Grid, seed: int = 3) -> Grid:
    """The grid with lookup tables (CPDIS) of some tenths of a pixel in both coordinates, a node every 20 pixels."""
    rng = np.random.default_rng(seed)
    wcs = plain.wcs()
    ny, nx = (n // 20 + 2 for n in plain.shape)
    for name in ("cpdis1", "cpdis2"):
        table = rng.uniform(-0.3, 0.3, (ny, nx)).astype(np.float32)
        setattr(wcs, name, DistortionLookupTable(table, (1.0, 1.0), (1.0, 1.0), (20.0, 20.0)))
    return Grid.from_header(wcs, plain.shape)


@pytest.mark.parametrize("header", [{}, SIP], ids=["tables", "with SIP"])
def test_tables_are_applied_exactly(header: dict[str, Any]) -> None:
    """At all corners, by astropy's own chain; a polynomial through the kinks would be tenths of a pixel off."""
    plain = make("TAN-SIP" if header else "TAN", shape=(90, 110), CROTA2=12.0, **header)
    grid_in, grid_out = with_tables(plain), make("SIN", lon=83.81, scale=1.1)
    assert grid_in.has_tables
    mapping = fit_mapping(grid_in, grid_out)
    (patch,) = mapping.patches
    assert patch.focal is not None
    y, x = np.mgrid[0:91, 0:111] - 0.5
    want = truth(grid_in, grid_out, x.ravel(), y.ravel()).reshape(91, 111, 2)
    got = np.stack(patch.corners(grid_in.window), axis=-1)
    assert np.abs(got - want).max() <= mapping.error + mapping.rounding
    assert mapping.error < 0.1 * TOL
    bare = np.stack(fit_mapping(plain, grid_out).patches[0].corners(grid_in.window), axis=-1)
    assert np.abs(bare - want).max() > 0.1, "the tables of this test do nothing"
    box = mapping.footprint(grid_out)
    edge = np.concatenate([want[0], want[-1], want[:, 0], want[:, -1]])
    assert box.x0 - 0.5 <= edge[:, 0].min() and edge[:, 0].max() <= box.x1 - 0.5
    assert box.y0 - 0.5 <= edge[:, 1].min() and edge[:, 1].max() <= box.y1 - 0.5
    again = Mapping.from_dict(json.loads(json.dumps(mapping.to_dict())), grid_in)
    part = Window(13, 30, 50, 90)
    for a, b in zip(again.patches[0].corners(part), patch.corners(grid_in.window), strict=True):
        assert a.tobytes() == np.ascontiguousarray(b[13:31, 50:91]).tobytes()
    with pytest.raises(ValueError, match="needs the image's grid"):
        Mapping.from_dict(mapping.to_dict())


def test_no_polynomial_stands_for_tables_of_the_output() -> None:
    grid = make(shape=(90, 110))
    assert fit_mapping(grid, with_tables(make(lon=83.801, shape=(90, 110)))).cut


def test_tables_that_fold_the_image_cut_it() -> None:
    grid_in = make(shape=(90, 110))
    wcs = grid_in.wcs()
    table = np.zeros((6, 8), np.float32)
    table[3, 3] = 60.0
    wcs.cpdis1 = DistortionLookupTable(table, (1.0, 1.0), (1.0, 1.0), (20.0, 20.0))
    assert fit_mapping(Grid.from_header(wcs, grid_in.shape), make()).cut


# -- whole-pixel shifts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nx", [1, 3, 49, 98, 107, 299, 1000])
@pytest.mark.parametrize("shift", [0, -1, -49, 7, -1000003])
def test_whole_pixel_shifts_are_exact(nx: int, shift: int) -> None:
    grid_in = make(shape=(nx, 5), CRPIX2=nx / 2 + 1 / 3)
    grid_out = make(shape=(nx, 5), CRPIX2=nx / 2 + 1 / 3 + shift, CRPIX1=3 - 2 * shift)
    mapping = fit_mapping(grid_in, grid_out)
    assert mapping.bound == 0.0
    assert not mapping.cut
    again = Mapping.from_dict(json.loads(json.dumps(mapping.to_dict())))
    for patch in (*mapping.patches, *again.patches):
        x, y = patch.corners(grid_in.window)
        np.testing.assert_array_equal(x, np.broadcast_to(np.arange(6) - 0.5 - 2 * shift, x.shape))
        np.testing.assert_array_equal(y.T, np.broadcast_to(np.arange(nx + 1) - 0.5 + shift, x.T.shape))
        assert patch.pixel_ratio == pytest.approx(1.0, rel=1e-9)


def test_a_subgrid_maps_by_a_shift() -> None:
    grid = make("TAN-SIP", CRPIX1=0.1, **SIP)
    part = grid.subgrid(Window(13, 50, 100, 230))
    mapping = fit_mapping(part, grid)
    assert mapping.bound == 0.0
    assert mapping.footprint(grid) in Window(12, 51, 99, 231)


@pytest.mark.parametrize("dy", range(-12, 13, 3))
def test_a_shift_by_whole_pixels_knows_undefined_corners(dy: int) -> None:
    """Windows about the tip of the notch between two facets of a HEALPix map, where single corners are off the sky."""
    whole = make("HPX", lon=0.0, lat=0.0, shape=(700, 1400), scale=720.0)
    x, y = whole.pixel(np.array([0.0, np.sqrt(5.0) / 3.0, 2.0 / 3.0]))
    x0, y0 = round(float(x)) - 60, round(float(y)) - 97 + dy
    part = whole.subgrid(Window(y0, y0 + 97, x0, x0 + 130))
    on_sky = bool(np.isfinite(part.corners(part.window)).all())
    mapping = fit_mapping(part, whole)
    assert mapping.cut != on_sky
    assert mapping.cut or mapping.patches[0].shift == (y0, x0)


# -- cut ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grid_in", "grid_out"),
    [
        (make("CAR", lon=0.0, **ALLSKY), make("AIT", lon=180.0, **ALLSKY)),
        (make("CAR", lon=0.0, **ALLSKY), make("AIT", lon=0.0, **ALLSKY)),
        (make(lon=180.0, lat=0.0), make("CAR", lon=0.0, **ALLSKY)),
        (make(lon=40.0, lat=90.0), make("CAR", lon=0.0, **ALLSKY)),
        (make(lon=40.0, lat=89.96), make("CAR", lon=0.0, **ALLSKY)),
        (make("CAR", lon=0.0, **ALLSKY), make(lon=0.0, lat=0.0)),
        (make(lon=180.0, lat=0.0), make(lon=0.0, lat=0.0)),
        (make("SIN", lon=180.0, lat=0.0), make("SIN", lon=0.0, lat=0.0)),
        (make("SIN", lat=0.0, shape=(200, 200), scale=3600.0), make()),
    ],
    ids=["seam", "all-sky", "across the seam", "pole", "pole off centre", "sky to TAN", "far side", "far SIN", "limb"],
)
def test_seams_poles_and_far_sides_are_cut(grid_in: Grid, grid_out: Grid) -> None:
    mapping = fit_mapping(grid_in, grid_out)
    assert mapping.cut
    assert mapping.bound == math.inf
    assert math.isnan(mapping.pixel_ratio)
    assert mapping.footprint(grid_out) == grid_out.window
    assert Mapping.from_dict(mapping.to_dict()).cut


def test_the_ra_origin_is_no_cut() -> None:
    for lon in (0.0, 359.999, 180.0):
        assert not fit_mapping(make(lon=lon, CROTA2=20.0), make("SIN", lon=(lon + 0.01) % 360)).cut
        assert not fit_mapping(make("CAR", lon=lon, lat=0.0), make("AIT", lon=lon, lat=0.0)).cut
    assert not fit_mapping(make(lat=90.0), make("SIN", lat=89.99)).cut


def test_a_grid_with_kinks_of_unknown_place_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not fit_mapping(*PAIRS[0]).cut
    monkeypatch.setattr(Grid, "smooth", property(lambda grid: grid is not PAIRS[0][0]))
    assert fit_mapping(*PAIRS[0]).cut
    assert fit_mapping(PAIRS[1][0], PAIRS[0][0]).cut


def test_a_distortion_that_folds_the_image_is_cut() -> None:
    """u + u²/300 turns back at u = −150: smooth, and a polynomial itself, but twice over the same sky."""
    plain = make("TAN-SIP", **SIP)
    for coefficient, cut in ((1 / 600, False), (1 / 300, True)):
        lines = [
            f"A_2_0   = {coefficient!r}" if line.startswith("A_2_0") else line for line in plain.header.split("\n")
        ]
        assert fit_mapping(Grid("\n".join(lines), plain.shape), make(lon=83.801, shape=(300, 900))).cut == cut


@given(st.integers(0, 2**32), st.floats(0.0, 0.6))
def test_what_does_not_fold_keeps_its_orientation(seed: int, bend: float) -> None:
    """By the Jacobian on a fine mesh, from differences."""
    rng = np.random.default_rng(seed)
    coef_x, coef_y = bend * rng.normal(size=(2, 4, 4)) * 0.5 ** np.add.outer(np.arange(4), np.arange(4))
    coef_x[0, 1] += 1.0
    coef_y[1, 0] += float(rng.choice([-1.0, 1.0]))
    t = np.linspace(-1.0, 1.0, 201)
    x, y = (chebgrid2d(t, t, c) for c in (coef_x, coef_y))
    jacobian = np.gradient(x, axis=1) * np.gradient(y, axis=0) - np.gradient(x, axis=0) * np.gradient(y, axis=1)
    keeps = bool((jacobian > 0).all() or (jacobian < 0).all())
    assert keeps or folds(coef_x, coef_y)
    if bend < 0.02:
        assert not folds(coef_x, coef_y)


# -- tables, footprints, bounds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", [PAIRS[0], PAIRS[3], PAIRS[7]])
def test_a_table_gives_the_same_bits_back(pair: tuple[Grid, Grid]) -> None:
    mapping = fit_mapping(*pair)
    again = Mapping.from_dict(json.loads(json.dumps(mapping.to_dict())))
    for a, b in zip(mapping.patches, again.patches, strict=True):
        assert a.window == b.window
        assert a.coef_x.tobytes() == b.coef_x.tobytes()
        assert a.coef_y.tobytes() == b.coef_y.tobytes()
    assert again.to_dict() == mapping.to_dict()
    assert fit_mapping(*pair).to_dict() == mapping.to_dict(), "the same grids are to give the same numbers"


def covered(mapping: Mapping, grid_in: Grid, shape: tuple[int, int]) -> Floats:
    area, flux = np.zeros(shape), np.zeros(shape)
    for patch in mapping.patches:
        x, y = patch.corners(patch.window)
        project_plane(np.ones(patch.window.shape), x, y, flux, area, 0, 0, TILE)
    return area


@pytest.mark.parametrize(
    ("lon", "lat", "cards"),
    [(83.8, -5.4, {}), (83.83, -5.43, {"CROTA2": 33.0}), (83.86, -5.4, {"CDELT1": 1 / 3600}), (83.8, -5.46, {})],
)
def test_the_footprint_holds_what_receives_area_and_little_more(lon: float, lat: float, cards: dict[str, Any]) -> None:
    grid_in = make("TAN-SIP", lon, lat, (90, 110), 1.0, **cards, **SIP)
    grid_out = make("SIN", shape=(300, 280), scale=1.2)
    mapping = fit_mapping(grid_in, grid_out)
    box = mapping.footprint(grid_out)
    ys, xs = np.nonzero(covered(mapping, grid_in, grid_out.shape))
    reached = Window(int(ys.min()), int(ys.max()) + 1, int(xs.min()), int(xs.max()) + 1)
    assert reached in box
    assert box in reached.pad(2)


def test_an_image_off_the_grid_has_an_empty_footprint() -> None:
    grid_out = make()
    assert not fit_mapping(make("SIN", lon=85.0), grid_out).footprint(grid_out)


def test_a_footprint_goes_on_into_the_margin() -> None:
    """As far as the image does; of a cut one nothing is known beyond the grid."""
    image, grid = make("SIN", shape=(90, 110), CROTA2=33.0), make("TAN", shape=(40, 30))
    mapping = fit_mapping(image, grid)
    assert mapping.footprint(grid) == grid.window and mapping.footprint(grid, 7) == grid.window.pad(7)
    assert mapping.extent is not None and mapping.footprint(grid, 10**6) == mapping.extent
    seam, sky = make("TAN", lon=180.0, lat=10.0), make("CAR", lon=0.0, lat=0.0, shape=(180, 360), scale=3600.0)
    cut = fit_mapping(seam, sky)
    assert cut.extent is None and cut.footprint(sky, 7) == sky.window


def test_the_pixel_ratio() -> None:
    assert fit_mapping(make(CROTA2=40.0), make(scale=0.5)).pixel_ratio == pytest.approx(2.0, rel=1e-5)
    assert fit_mapping(make(CDELT1=2 / 3600), make(scale=1.3)).pixel_ratio == pytest.approx(2**0.5 / 1.3, rel=1e-5)


def test_the_bound_falls_with_the_pixel_scale() -> None:
    def bound(scale: float) -> float:
        grid_in = make("SIN", scale=scale, CROTA2=17.0)
        return fit_mapping(grid_in, make("TAN", lon=83.8 + scale / 60, scale=1.3 * scale)).bound

    bounds = [bound(scale) for scale in (120.0, 30.0, 6.0, 1.0, 0.1)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] > TOL > bounds[-1]


def test_coarse_pixels_ask_for_subdivided_edges() -> None:
    coarse = make("CAR", lon=0.0, **ALLSKY)
    mapping = fit_mapping(coarse, make("ZEA", lon=30.0, lat=20.0, scale=1800.0))
    assert mapping.sub_in > 1
    assert fit_mapping(make(), coarse).sub_out > 1
    fine = fit_mapping(*PAIRS[0])
    assert (fine.sub_in, fine.sub_out) == (1, 1)


def great_circle_bends(grid_in: Grid, grid_out: Grid) -> tuple[float, float]:
    """Largest distances in output pixels, over all edges of both grids' pixels: great circles from straight lines."""
    worst = []
    for grid in (grid_in, grid_out):
        ny, nx = grid.shape
        y, x = np.mgrid[0 : ny + 1, 0 : nx + 1] - 0.5
        sky = grid.sky(x, y)
        pixels = np.stack(grid_out.pixel(sky), axis=-1)
        bends = []
        for a, b in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
            middle = sky[a] + sky[b]
            middle /= np.linalg.norm(middle, axis=-1, keepdims=True)
            straight = 0.5 * (pixels[a] + pixels[b])
            bends.append(np.linalg.norm(np.stack(grid_out.pixel(middle), axis=-1) - straight, axis=-1).max())
        worst.append(float(max(bends)))
    return worst[0], worst[1]


def cylinder(projection: str, lat: float, scale: float, n: int) -> Grid:
    """About longitude 80° and a latitude that is not the reference point's."""
    far = make(projection, lon=80.0, lat=0.0, shape=(n, n), scale=scale)
    where = np.radians([80.0, lat])
    at = np.array([np.cos(where[1]) * np.cos(where[0]), np.cos(where[1]) * np.sin(where[0]), np.sin(where[1])])
    row = round(float(far.pixel(at)[1]))
    return far.subgrid(Window(row - n // 2, row - n // 2 + n, 0, n))


SHEAR: dict[str, Any] = {"CDELT1": 1.0, "CDELT2": 1.0, "CD1_1": -1e-2, "CD1_2": 8e-3, "CD2_1": 0.0, "CD2_2": 1e-3}


@pytest.mark.parametrize(
    ("lat", "scale", "grid_out"),
    [
        (60.0, 600.0, cylinder("CAR", 60.0, 600.0, 60)),
        (89.0, 1.0, cylinder("CAR", 89.0, 1.0, 200)),
        (88.0, 1.0, cylinder("CEA", 88.0, 1.0, 60)),
        (-5.4, 10.0, make("ARC", shape=(60, 60), lon=80.0, **SHEAR)),
        (-5.4, 60.0, make("STG", shape=(60, 60), lon=81.0, CDELT1=-1 / 3600, CDELT2=100 / 3600)),
    ],
    ids=["CAR 60", "CAR 89", "CEA 88", "sheared", "1:100"],
)
def test_the_stated_sagitta_is_that_of_the_edges(lat: float, scale: float, grid_out: Grid) -> None:
    """At all corners of both grids, where output pixels are squares, narrow or sheared."""
    grid_in = make("TAN", lon=80.0, lat=lat, shape=(40, 40), scale=scale, CROTA2=30.0)
    mapping = fit_mapping(grid_in, grid_out)
    assert not mapping.cut
    of_in, of_out = great_circle_bends(grid_in, grid_out)
    # The output's edges count only under the image.
    assert of_in < mapping.sagitta < 3 * (of_in + of_out)


@pytest.mark.parametrize(("projection", "lat"), [("CAR", 40.0), ("SIN", 30.0), ("MER", 60.0)])
def test_the_gradient_of_the_solid_angle(projection: str, lat: float) -> None:
    """Against the solid angles of neighbouring pixels under the image."""
    zenithal = projection == "SIN"
    scale = 300.0
    where: dict[str, Any] = {"lat": 0.0} if zenithal else {"lat": 0.0, "CRPIX2": -lat * 3600 / scale}
    grid_out = make(projection, lon=83.8 - lat if zenithal else 83.8, scale=scale, shape=(80, 80), **where)
    if zenithal:
        grid_out = grid_out.subgrid(Window(0, 80, -400, -320))
    middle = grid_out.sky(np.array(39.5), np.array(39.5))
    lon, lat_mid = np.degrees(np.arctan2(middle[1], middle[0])), np.degrees(np.arcsin(middle[2]))
    mapping = fit_mapping(make("TAN", lon=lon % 360, lat=lat_mid, shape=(40, 40), scale=scale), grid_out)
    log = np.log(grid_out.solid_angle(mapping.footprint(grid_out)))
    worst = max(float(np.abs(np.diff(log, axis=axis)).max()) / 2 for axis in (0, 1))
    assert 0.95 * worst < mapping.omega_gradient < 1.1 * worst


def test_the_table_of_a_mapping_is_small() -> None:
    """A run keeps one for each image."""
    assert len(json.dumps(fit_mapping(*PAIRS[0]).to_dict())) < 1500


# -- the plane kernel through a mapping, against reproject_exact -------------------------------------------------------


@pytest.mark.parametrize("projection", ["TAN", "SIN"])
def test_agrees_with_reproject_exact(projection: str) -> None:
    grid_in = make(projection, shape=(64, 80), CROTA2=17.0)
    grid_out = make(shape=(80, 90), scale=1.3, lon=83.801)
    values = np.random.default_rng(6).normal(100.0, 10.0, grid_in.shape)
    mapping = fit_mapping(grid_in, grid_out)
    flux, area = np.zeros(grid_out.shape), np.zeros(grid_out.shape)
    for patch in mapping.patches:
        x, y = patch.corners(patch.window)
        project_plane(values[patch.window.slices], x, y, flux, area, 0, 0, TILE)
    want, footprint = reproject_exact((values, grid_in.wcs()), grid_out.wcs(), shape_out=grid_out.shape, parallel=False)
    np.testing.assert_allclose(area, np.nan_to_num(footprint), rtol=0, atol=1e-8)
    well = area > 1e-3
    np.testing.assert_allclose(flux[well] / area[well], want[well], rtol=1e-8)


BENT: dict[str, Any] = {"projection": "ZPN", "PV2_1": 1.0, "PV2_5": 4e4, "shape": (900, 700), "scale": 10.0}


@pytest.mark.parametrize(("cards", "several"), [({"projection": "SIN", "CROTA2": 33.0}, False), (BENT, True)])
def test_the_outline_is_the_chains_at_the_corners(cards: dict[str, Any], several: bool) -> None:
    grid_in, grid_out = make(**cards), make(lon=83.9)
    mapping = fit_mapping(grid_in, grid_out)
    assert (len(mapping.patches) > 1) == several
    ny, nx = grid_in.shape
    x, y = np.array([0, nx, nx, 0]) - 0.5, np.array([0, 0, ny, ny]) - 0.5
    assert np.abs(mapping.outline - Chain(grid_in, grid_out)(x, y)).max() < 1e-7
