"""The sky kernel against 50-digit arithmetic, closures, reproject_exact, and by property."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import Floats, overlap_sky_mp, project_sky_naive, quads_of, solid_angle_mp

from dmontage.kernels.sky import project_sky, solid_angles

ARCSEC = np.pi / 180.0 / 3600.0
# fmt: off
PROJECTIONS = [
    "AZP", "SZP", "TAN", "STG", "SIN", "ARC", "ZPN", "ZEA", "AIR", "CYP", "CEA", "CAR", "MER", "COP",
    "COE", "COD", "COO", "SFL", "PAR", "MOL", "AIT", "BON", "PCO", "TSC", "CSC", "QSC", "HPX",
]
# fmt: on
SCALES = {"10deg": 36e3, "1deg": 3600.0, "60as": 60.0, "1as": 1.0, "10mas": 1e-2, "1mas": 1e-3, "1uas": 1e-6}


def rotation(seed: int) -> Floats:
    """A random orthonormal basis (rows), right-handed."""
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    return np.asarray(q * np.sign(np.linalg.det(q)))


def tangent(
    shape: tuple[int, int],
    scale: float,
    turn: float = 0.0,
    origin: tuple[float, float] = (0.0, 0.0),
    basis: Floats | None = None,
) -> Floats:
    """Unit vectors of the corners of a TAN grid: pixels of `scale`, centre at `origin` (x, y), turned; all in rad."""
    ny, nx = shape
    v, u = np.meshgrid((np.arange(ny + 1) - ny / 2) * scale, (np.arange(nx + 1) - nx / 2) * scale, indexing="ij")
    x = np.cos(turn) * u - np.sin(turn) * v + origin[0]
    y = np.sin(turn) * u + np.cos(turn) * v + origin[1]
    e, f, c = rotation(5) if basis is None else basis
    p = c + x[..., None] * e + y[..., None] * f
    return np.asarray(p / np.linalg.norm(p, axis=-1, keepdims=True))


def lonlat(lon: Floats, lat: Floats) -> Floats:
    """Unit vectors on a grid of longitudes and latitudes [deg]; the last longitude may repeat the first."""
    b, a = np.meshgrid(np.radians(lat), np.radians(lon % 360.0), indexing="ij")
    cos = np.where(np.abs(lat) == 90.0, 0.0, np.cos(np.radians(lat)))[:, None]
    return np.stack([cos * np.cos(a), cos * np.sin(a), np.sin(b)], axis=-1)


def all_sky(nx: int, ny: int) -> Floats:
    return lonlat(np.linspace(0.0, 360.0, nx + 1), np.linspace(-90.0, 90.0, ny + 1))


def aitoff(nx: int, ny: int) -> Floats:
    """Hammer-Aitoff all-sky grid (equation 2 by inverse), NaN beyond the limb."""
    x, y = np.meshgrid(np.linspace(-2.0, 2.0, nx + 1), np.linspace(-1.0, 1.0, ny + 1))
    inside = (x / 2) ** 2 + y**2 <= 1.0
    z = np.sqrt(np.where(inside, 1.0 - x**2 / 8 - y**2 / 2, np.nan)) * 1.0
    lon = 2.0 * np.arctan2(z * x / np.sqrt(2.0), (2.0 * z**2 - 1.0))
    lat = np.arcsin(np.clip(np.sqrt(2.0) * y * z, -1.0, 1.0))
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def project(values: Floats, a: Floats, b: Floats, sub_in: int = 1, sub_out: int = 1) -> tuple[Floats, Floats]:
    shape = (b.shape[0] - 1) // sub_out, (b.shape[1] - 1) // sub_out
    flux, area = np.zeros(shape), np.zeros(shape)
    project_sky(values, a, b, flux, area, sub_in, sub_out)
    return flux, area


def image(shape: tuple[int, int], seed: int = 0) -> Floats:
    return np.random.default_rng(seed).uniform(1.0, 2.0, shape)


def pixel_shape(corners: Floats) -> tuple[int, int]:
    return corners.shape[0] - 1, corners.shape[1] - 1


def assert_closes(a: Floats, b: Floats, rtol: float) -> None:
    """What falls on b is what a holds: area and value, in steradian."""
    omega_a, omega_b = np.nan_to_num(solid_angles(a)), np.nan_to_num(solid_angles(b))
    values = image(omega_a.shape)
    flux, area = project(values, a, b)
    assert (area * omega_b).sum() == pytest.approx(omega_a.sum(), rel=rtol)
    assert (flux * omega_b).sum() == pytest.approx((values * omega_a).sum(), rel=rtol)


# -- against 50 digits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arcsec", SCALES.values(), ids=SCALES.keys())
def test_solid_angle_against_mpmath(arcsec: float) -> None:
    corners = tangent((2, 2), arcsec * ARCSEC, 0.3, origin=(0.2, -0.1))
    truth = [[float(solid_angle_mp(q)) for q in row] for row in quads_of(corners)]
    np.testing.assert_allclose(solid_angles(corners), truth, rtol=2e-14)


@pytest.mark.parametrize("arcsec", SCALES.values(), ids=SCALES.keys())
def test_overlaps_against_mpmath(arcsec: float) -> None:
    # The truth takes the rounded corners as they are, so only the kernel's own rounding, and slivers that it drops
    # (2e-15 rad wide, of some cells), are left; 1e-13 of a pixel where these are below that.
    scale = arcsec * ARCSEC
    basis = rotation(int(arcsec * 1e6) % 1000)
    a, b = tangent((3, 3), scale, 0.0, basis=basis), tangent((3, 4), 1.3 * scale, np.radians(17), basis=basis)
    values = image((3, 3))
    flux, area = project(values, a, b)
    flux_true, area_true = project_sky_naive(values, a, b)
    atol = 2e-13 + 4e-15 / scale * 0.01
    np.testing.assert_allclose(area, area_true, rtol=0, atol=atol)
    np.testing.assert_allclose(flux, flux_true, rtol=0, atol=2 * atol)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_overlaps_against_mpmath_any_place_scale_and_turn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-11, -0.8)
    basis = rotation(seed)
    a = tangent((2, 3), scale, rng.uniform(0, 6), basis=basis)
    b = tangent((3, 2), scale * rng.uniform(0.4, 2.5), rng.uniform(0, 6), basis=basis)
    _, area = project(np.ones((2, 3)), a, b)
    _, truth = project_sky_naive(np.ones((2, 3)), a, b)
    np.testing.assert_allclose(area, truth, rtol=0, atol=1e-12 + 4e-16 / scale)


@pytest.mark.parametrize(("scale_a", "scale_b"), [(1.0, 36e3), (36e3, 1.0), (1e-3, 60.0), (60.0, 1e-3)])
def test_very_different_pixels(scale_a: float, scale_b: float) -> None:
    basis = rotation(8)
    a = tangent((2, 2), scale_a * ARCSEC, 0.2, basis=basis)
    b = tangent((2, 2), scale_b * ARCSEC, 0.9, basis=basis)
    _, area = project(np.ones((2, 2)), a, b)
    _, truth = project_sky_naive(np.ones((2, 2)), a, b)
    np.testing.assert_allclose(area, truth, rtol=1e-9)


# -- closure -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arcsec", "rtol"), [(60.0, 1e-9), (1.0, 1e-9), (0.1, 1e-9), (0.01, 1e-9), (1e-3, 1e-7), (1e-6, 1e-4)]
)
def test_area_and_value_close(arcsec: float, rtol: float) -> None:
    scale = arcsec * ARCSEC
    a = tangent((41, 41), scale)
    b = tangent((60, 60), 1.3 * scale, np.radians(17), origin=(0.3 * scale, 0.1 * scale))
    assert_closes(a, b, rtol)
    # The corners themselves are right to 1e-16 rad: the sum of the input's solid angles is the outline's to that.
    outline = [a[0, 0], a[0, -1], a[-1, -1], a[-1, 0]]
    assert solid_angles(a).sum() == pytest.approx(float(solid_angle_mp(outline)), rel=1e-12 + 1e-16 / (41 * scale))


@pytest.mark.parametrize("offset_deg", [0.0, 5.0])
@pytest.mark.parametrize("arcsec", [60.0, 1.0, 0.01])
def test_covered_pixels_have_area_one(arcsec: float, offset_deg: float) -> None:
    origin = (np.tan(np.radians(offset_deg)), 0.0)
    a = tangent((40, 40), arcsec * ARCSEC, 0.0, origin)
    b = tangent((16, 16), 1.3 * arcsec * ARCSEC, 0.5, origin)
    _, area = project(np.ones((40, 40)), a, b)
    np.testing.assert_allclose(area, 1.0, rtol=0, atol=1e-8)


@pytest.mark.parametrize("arcsec", SCALES.values(), ids=SCALES.keys())
def test_constant_stays_constant(arcsec: float) -> None:
    a = tangent((12, 12) if arcsec < 1e4 else (4, 4), arcsec * ARCSEC)
    b = tangent((14, 14), 1.1 * arcsec * ARCSEC if arcsec < 1e4 else 0.05, 0.4)
    flux, area = project(np.full(pixel_shape(a), 150.0), a, b)
    assert (area > 0).any()
    np.testing.assert_allclose(flux[area > 0] / area[area > 0], 150.0, rtol=1e-12)
    assert (flux[area == 0] == 0).all()


# -- the same and aligned grids ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "corners",
    [tangent((20, 21), s * ARCSEC, 0.3) for s in (600.0, 1.0, 1e-3, 1e-6)] + [all_sky(36, 18), all_sky(6, 3)],
    ids=["600as", "1as", "1mas", "1uas", "all-sky", "60deg"],
)
def test_same_grid_returns_the_input(corners: Floats) -> None:
    values = image(pixel_shape(corners))
    flux, area = project(values, corners, corners)
    np.testing.assert_allclose(area, 1.0, rtol=0, atol=1e-12)
    np.testing.assert_allclose(flux / area, values, rtol=0, atol=1e-12)


def test_whole_pixel_shift_returns_the_input() -> None:
    parent = tangent((30, 30), ARCSEC, 0.3)
    values = image((20, 20))
    flux, area = project(values, parent[5:26, 4:25], parent)
    np.testing.assert_allclose(flux[5:25, 4:24] / area[5:25, 4:24], values, rtol=0, atol=1e-12)
    area[5:25, 4:24] = 0
    assert not area.any()


@pytest.mark.parametrize("ratio", [1.3, 1.5, 2.0, 0.5, 1 / 3])
@pytest.mark.parametrize("turn", [0.0, 1e-6])
def test_aligned_grids_have_no_odd_pixel(ratio: float, turn: float) -> None:
    n, m = 30, int(24 / ratio)
    a, b = tangent((n, n), ARCSEC), tangent((m, m), ratio * ARCSEC, turn)
    values = image((n, n))
    flux, area = project(values, a, b)
    edges_a, edges_b = np.arange(n + 1) - n / 2, (np.arange(m + 1) - m / 2) * ratio
    width = np.minimum(edges_b[1:, None], edges_a[1:]) - np.maximum(edges_b[:-1, None], edges_a[:-1])
    weight = np.maximum(width, 0.0) / ratio
    # A turn by 1e-6 moves edges by 1.5e-5 of a pixel at the corners of the field.
    np.testing.assert_allclose(flux / area, weight @ values @ weight.T, rtol=0, atol=1e-9 if turn == 0 else 1e-4)
    np.testing.assert_allclose(area, 1.0, rtol=0, atol=1e-9)


@pytest.mark.parametrize("arcsec", SCALES.values(), ids=SCALES.keys())
@pytest.mark.parametrize("ratio", [1.0, 2.0, 0.5])
def test_area_is_exactly_zero_outside_every_polygon(arcsec: float, ratio: float) -> None:
    # Edges of the two grids coincide but for the rounding of their unit vectors, which differs.
    scale = min(arcsec * ARCSEC, 0.05)
    for seed in range(8):
        basis = rotation(100 + seed)
        a, b = tangent((4, 4), scale, basis=basis), tangent((16, 16), ratio * scale, basis=basis)
        b = b * (1.0 + 2e-16 * np.sign(np.random.default_rng(seed).normal(size=b.shape)))
        _, area = project(np.ones((4, 4)), a, b)
        inside = np.abs(np.arange(16) - 7.5) * ratio < 2.0
        assert not area[~(inside[:, None] & inside)].any()
        np.testing.assert_allclose(area[np.ix_(inside, inside)], 1.0, rtol=0, atol=1e-9 + 8e-15 / scale)


def test_true_slivers_are_kept() -> None:
    basis = rotation(2)
    for width in (1e-13, 1e-9, 1e-4):
        a, b = tangent((1, 1), 1e-3, basis=basis), tangent((1, 1), 1e-3, origin=(1e-3 * (1 - width), 0.0), basis=basis)
        _, area = project(np.ones((1, 1)), a, b)
        truth = float(overlap_sky_mp(quads_of(a)[0][0], quads_of(b)[0][0]))
        assert truth > 0 or width == 1e-13
        if 1e-3 * width > 1e-14:
            assert float(area[0, 0] * solid_angles(b)[0, 0]) == pytest.approx(truth, rel=1e-6)


# -- what is blank -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blank", [np.nan, np.inf, -np.inf])
def test_blank_takes_away_exactly_its_own_overlap(blank: float) -> None:
    a, b = tangent((12, 12), ARCSEC), tangent((12, 12), 1.3 * ARCSEC, 0.3)
    values, alone = image((12, 12)), np.full((12, 12), np.nan)
    alone[5, 6] = values[5, 6]
    flux_all, area_all = project(values, a, b)
    flux_one, area_one = project(alone, a, b)
    values[5, 6] = blank
    flux, area = project(values, a, b)
    np.testing.assert_allclose(area, area_all - area_one, rtol=0, atol=1e-13)
    np.testing.assert_allclose(flux, flux_all - flux_one, rtol=0, atol=1e-12)
    untouched = area_one == 0
    assert (flux[untouched] == flux_all[untouched]).all() and (area[untouched] == area_all[untouched]).all()


@pytest.mark.parametrize("huge", [1e30, 3.4e38, -1e300])
def test_huge_value_changes_nothing_that_it_does_not_touch(huge: float) -> None:
    a, b = tangent((12, 12), ARCSEC), tangent((12, 12), 1.3 * ARCSEC, 0.3)
    values, alone = image((12, 12)), np.full((12, 12), np.nan)
    alone[5, 6] = 1.0
    flux_all, _ = project(values, a, b)
    _, area_one = project(alone, a, b)
    values[5, 6] = huge
    flux, _ = project(values, a, b)
    assert (flux[area_one == 0] == flux_all[area_one == 0]).all()


def test_undefined_corners() -> None:
    a, b = tangent((6, 6), ARCSEC), tangent((8, 8), 1.1 * ARCSEC, 0.3)
    values = image((6, 6))
    holed = values.copy()
    holed[2:4, 2:4] = np.nan
    expected = project(holed, a, b)
    broken = a.copy()
    broken[3, 3, 1] = np.nan
    values[2, 2] = np.nan  # blank already: not counted
    flux, area = np.zeros((8, 8)), np.zeros((8, 8))
    assert project_sky(values, broken, b, flux, area) == 3
    np.testing.assert_allclose([flux, area], expected, rtol=0, atol=1e-13)
    expected = project(holed, a, b)
    cut = b.copy()
    cut[4, 4] = np.nan
    flux, area = project(holed, a, cut)
    lost = np.zeros((8, 8), np.bool_)
    lost[3:5, 3:5] = True
    assert not area[lost].any() and np.isnan(solid_angles(cut)[lost]).all()
    np.testing.assert_allclose(area[~lost], expected[1][~lost], rtol=1e-13)


def test_pixels_too_wide_are_skipped_and_counted() -> None:
    wide = tangent((1, 2), np.tan(np.radians(80.0)))
    flux, area = np.zeros((18, 36)), np.zeros((18, 36))
    assert project_sky(np.ones((1, 2)), wide, all_sky(36, 18), flux, area) == 2
    assert not area.any() and np.isnan(solid_angles(wide)).all()


# -- edges of the output -----------------------------------------------------------------------------------------------


def test_straddling_pixels_give_their_inside_part() -> None:
    a, b = tangent((30, 30), ARCSEC), tangent((30, 30), 1.1 * ARCSEC, 0.3)
    values = image((30, 30))
    flux, area = project(values, a, b)
    flux_cut, area_cut = project(values, a, b[9:22, 11:20])
    np.testing.assert_allclose(area_cut, area[9:21, 11:19], rtol=0, atol=1e-13)
    np.testing.assert_allclose(flux_cut, flux[9:21, 11:19], rtol=0, atol=1e-12)
    np.testing.assert_allclose(area_cut, 1.0, rtol=0, atol=1e-10)


def test_what_misses_the_output_adds_nothing() -> None:
    a, b = tangent((4, 4), ARCSEC), tangent((4, 4), ARCSEC, origin=(10 * ARCSEC, 0.0))
    assert not project(np.ones((4, 4)), a, b)[1].any()
    assert not project(np.ones((4, 4)), a, -b)[1].any()  # the antipode


def test_sums_are_added_to() -> None:
    a, b = tangent((4, 4), ARCSEC), tangent((4, 4), ARCSEC, 0.3)
    flux, area = project(np.ones((4, 4)), a, b)
    flux_2, area_2 = np.full((4, 4), 3.0), np.full((4, 4), 5.0)
    project_sky(np.ones((4, 4)), a, b, flux_2, area_2)
    np.testing.assert_allclose(flux_2, flux + 3.0, rtol=1e-14)
    np.testing.assert_allclose(area_2, area + 5.0, rtol=1e-14)


# -- the whole sky, poles and seams ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [3, 6, 18, 90])
def test_whole_sky_is_four_pi(n: int) -> None:
    assert solid_angles(all_sky(2 * n, n)).sum() == pytest.approx(4 * np.pi, rel=1e-13)


@pytest.mark.parametrize(("n", "m"), [(3, 4), (4, 3), (18, 12), (45, 60), (60, 45), (90, 90), (36, 5)])
@pytest.mark.parametrize("seed", [None, 1])
def test_whole_sky_onto_whole_sky(n: int, m: int, seed: int | None) -> None:
    # With seed None the grids are aligned: poles on poles, meridians along meridians.
    a, b = all_sky(2 * n, n), all_sky(2 * m, m)
    if seed is not None:
        a = a @ rotation(seed)
    assert_closes(a, b, 1e-9)
    _, area = project(np.ones((n, 2 * n)), a, b)
    np.testing.assert_allclose(area, 1.0, rtol=0, atol=1e-9)


def test_whole_sky_and_aitoff() -> None:
    car, ait = all_sky(144, 72), aitoff(120, 60)
    defined = np.isfinite(solid_angles(ait))
    assert 0.7 < defined.mean() < np.pi / 4
    _, area = project(np.ones((72, 144)), car, ait)
    np.testing.assert_allclose(area[defined], 1.0, rtol=0, atol=1e-9)
    assert not area[~defined].any()
    assert_closes(ait, car, 1e-9)


@pytest.mark.parametrize("arcsec", [3600.0, 60.0, 1.0])
@pytest.mark.parametrize("place", ["pole", "seam"])
def test_pole_and_seam(arcsec: float, place: str) -> None:
    c = np.array([0.0, 0.0, 1.0]) if place == "pole" else np.array([1.0, 0.0, 0.0])
    e = np.array([0.0, 1.0, 0.0])
    a = tangent((9, 9), arcsec * ARCSEC, 0.3, basis=np.stack([e, np.cross(c, e), c]))
    step = 1.2 * arcsec / 3600.0
    if place == "pole":
        b = lonlat(np.linspace(0.0, 360.0, 13), 90.0 - step * np.arange(10.0))
    else:
        b = lonlat(step * (np.arange(15.0) - 7.0), step * (np.arange(15.0) - 7.0))
    assert_closes(a, b, 1e-9)


@pytest.mark.parametrize("arcsec", [900.0, 60.0])
@pytest.mark.parametrize("lat", [0.0, 45.0, 85.0])
def test_aligned_bulging_edges(arcsec: float, lat: float) -> None:
    # CAR on CAR of the same axes: great-circle edges bulge over the parallels, more in the coarser grid.
    step = arcsec / 3600.0
    a = lonlat(30.0 + step * np.arange(-10.0, 11.0), lat + step * np.arange(-10.0, 11.0))
    b = lonlat(30.0 + 1.3 * step * np.arange(-10.0, 11.0), lat + 1.3 * step * np.arange(-10.0, 11.0))
    assert_closes(a, b, 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("code", PROJECTIONS)
def test_area_closes_for_every_projection(code: str) -> None:
    wcs = pytest.importorskip("astropy.wcs")
    w = wcs.WCS(naxis=2)
    w.wcs.ctype = [f"RA---{code}", f"DEC--{code}"]
    w.wcs.cdelt = [-2.0, 2.0]
    conic = code in ("COP", "COE", "COD", "COO")
    w.wcs.crval = [20.0, 45.0] if conic else [20.0, 0.0]
    pv = {"BON": [(2, 1, 45.0)], "ZPN": [(2, 1, 1.0), (2, 3, -0.05)], "CYP": [(2, 1, 1.0), (2, 2, 0.7)]}
    w.wcs.set_pv([(2, 1, 45.0)] if conic else pv.get(code, []))
    shape = 50, 90
    w.wcs.crpix = [shape[1] / 2 + 0.5, shape[0] / 2 + 0.5]
    y, x = np.mgrid[: shape[0] + 1, : shape[1] + 1] - 0.5
    with np.errstate(all="ignore"):
        world = w.wcs_pix2world(np.stack([x.ravel(), y.ravel()], axis=-1), 0)
        back = w.wcs_world2pix(world, 0)
    # CSC's inverse is a series good to 0.01 px here; off the map the way back lands elsewhere altogether.
    wrong = ~(np.hypot(*(back - np.stack([x.ravel(), y.ravel()], axis=-1)).T) < 0.05)
    world[wrong] = np.nan
    lon, lat = np.radians(world).reshape(*x.shape, 2).transpose(2, 0, 1)
    a = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)
    assert np.isfinite(solid_angles(a)).sum() > 400
    for b in (all_sky(180, 90), all_sky(120, 60) @ rotation(4)):
        assert_closes(a, b, 1e-9)


# -- shapes of pixels --------------------------------------------------------------------------------------------------

DART = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [0.6, -0.7]])  # reflex at the last corner
BOW = np.array([[-1.0, -1.0], [1.0, 1.0], [1.0, -1.0], [-1.0, 0.6]])


def one_pixel(points: Floats, scale: float, first: int = 0, mirror: bool = False) -> Floats:
    """Corners (2, 2, 3) of a pixel through four points of a tangent plane, from any of them on, in either sense."""
    p = np.roll(points, -first, axis=0)[:: -1 if mirror else 1] * scale
    e, f, c = rotation(3)
    v = c + p[:, :1] * e + p[:, 1:] * f
    v /= np.linalg.norm(v, axis=-1, keepdims=True)
    return np.stack([v[[0, 1]], v[[3, 2]]])


def triangles_of(points: Floats, scale: float) -> list[Floats]:
    """The same region as triangles with a corner given twice, by hand."""
    if points is DART:
        parts = [points[[0, 1, 3, 3]], points[[1, 2, 3, 3]]]
    else:  # edges 01 (y = x) and 23 (from (1, −1) to (−1, 0.6): y = −0.2 − 0.8 x) cross at x = −1/9
        x = np.full(2, -0.2 / 1.8)
        parts = [np.stack([x, points[1], points[2], points[2]]), np.stack([x, points[3], points[0], points[0]])]
    return [one_pixel(p, scale) for p in parts]


@pytest.mark.parametrize("points", [DART, BOW], ids=["concave", "bow-tie"])
@pytest.mark.parametrize("first", range(4))
@pytest.mark.parametrize("mirror", [False, True])
def test_pixels_that_are_not_convex(points: Floats, first: int, mirror: bool) -> None:
    scale = 1e-5
    quad = one_pixel(points, scale, first, mirror)
    parts = triangles_of(points, scale)
    grid = tangent((7, 7), 0.37 * scale, 0.4, basis=rotation(3))
    assert solid_angles(quad)[0, 0] == pytest.approx(sum(solid_angles(p)[0, 0] for p in parts), rel=1e-9)
    _, area = project(np.ones((1, 1)), quad, grid)
    expected = sum(project(np.ones((1, 1)), p, grid)[1] for p in parts)
    np.testing.assert_allclose(area, expected, rtol=0, atol=1e-9)
    _, back = project(np.ones((7, 7)), grid, quad)
    assert back[0, 0] * solid_angles(quad)[0, 0] == pytest.approx((area * solid_angles(grid)).sum(), rel=1e-9)


def test_concave_pixel_against_mpmath() -> None:
    quad, grid = one_pixel(DART, 0.1), tangent((4, 4), 0.06, 0.4, basis=rotation(3))
    assert solid_angles(quad)[0, 0] == pytest.approx(float(solid_angle_mp(quads_of(quad)[0][0])), rel=1e-13)
    truth = [[float(overlap_sky_mp(quads_of(quad)[0][0], q)) for q in row] for row in quads_of(grid)]
    np.testing.assert_allclose(project(np.ones((1, 1)), quad, grid)[1] * solid_angles(grid), truth, rtol=0, atol=1e-16)


def test_pixel_without_area() -> None:
    line = tangent((4, 4), ARCSEC)
    line[:, 2] = line[:, 1]
    flux, area = project(np.ones((4, 4)), tangent((4, 4), ARCSEC, 0.2), line)
    assert (solid_angles(line)[:, 1] == 0).all() and not area[:, 1].any() and np.isfinite(flux).all()
    assert_closes(line, tangent((8, 8), ARCSEC, 0.2), 1e-12)


@pytest.mark.parametrize("arcsec", [3600.0, 1.0, 1e-3])
def test_parity(arcsec: float) -> None:
    a, b = tangent((9, 9), arcsec * ARCSEC), tangent((8, 8), 1.2 * arcsec * ARCSEC, 0.3)
    values = image((9, 9))
    expected = np.array(project(values, a, b))
    atol = 1e-12 + 1e-14 / (arcsec * ARCSEC)
    np.testing.assert_allclose(project(values[:, ::-1], a[:, ::-1], b), expected, rtol=0, atol=atol)
    flipped = np.array(project(values, a, b[::-1]))
    np.testing.assert_allclose(flipped[:, ::-1], expected, rtol=0, atol=atol)
    swapped = np.array(project(values.T, a.swapaxes(0, 1), b[:, ::-1]))
    np.testing.assert_allclose(swapped[:, :, ::-1], expected, rtol=0, atol=atol)


@pytest.mark.parametrize(("sub_in", "sub_out"), [(3, 1), (1, 2), (2, 3), (9, 5)])
def test_subdivided_pixels_are_sums_of_their_quads(sub_in: int, sub_out: int) -> None:
    a = lonlat(np.linspace(0, 40, 4 * sub_in + 1), np.linspace(30, 70, 4 * sub_in + 1))
    b = lonlat(np.linspace(5, 32, 3 * sub_out + 1), np.linspace(33, 66, 3 * sub_out + 1)) @ rotation(1) @ rotation(1).T
    values = image((4, 4))
    flux, area = project(values, a, b, sub_in, sub_out)
    fine = np.array(project(values.repeat(sub_in, axis=0).repeat(sub_in, axis=1), a, b))
    omega = solid_angles(b)

    def binned(x: Floats) -> Floats:
        return np.asarray(x.reshape(3, sub_out, 3, sub_out).sum(axis=(1, 3)))

    np.testing.assert_allclose(solid_angles(b, sub_out), binned(omega), rtol=1e-14)
    np.testing.assert_allclose(flux, binned(fine[0] * omega) / binned(omega), rtol=1e-12)
    np.testing.assert_allclose(area, binned(fine[1] * omega) / binned(omega), rtol=1e-12)


# -- by property -------------------------------------------------------------------------------------------------------

seeds = st.integers(0, 10**6)
log_scales = st.floats(-11.0, -1.5)


@given(seed=seeds, log_scale=log_scales, turn=st.floats(-4, 4), ratio=st.floats(0.3, 3), cut=st.integers(1, 9))
def test_parts_of_the_output_make_the_whole(seed: int, log_scale: float, turn: float, ratio: float, cut: int) -> None:
    scale, basis = 10.0**log_scale, rotation(seed)
    a, b = tangent((7, 8), scale, basis=basis), tangent((10, 10), ratio * scale, turn, basis=basis)
    values = image((7, 8))
    whole = np.array(project(values, a, b))
    low, high = np.array(project(values, a, b[: cut + 1])), np.array(project(values, a, b[cut:]))
    np.testing.assert_allclose(np.concatenate([low, high], axis=1), whole, rtol=0, atol=1e-12)
    left, right = np.array(project(values, a, b[:, : cut + 1])), np.array(project(values, a, b[:, cut:]))
    np.testing.assert_allclose(np.concatenate([left, right], axis=2), whole, rtol=0, atol=1e-12)


@given(seed=seeds, log_scale=log_scales, turn=st.floats(-4, 4), ratio=st.floats(0.3, 3))
def test_overlap_is_symmetric(seed: int, log_scale: float, turn: float, ratio: float) -> None:
    scale, basis = 10.0**log_scale, rotation(seed)
    a, b = tangent((1, 1), scale, basis=basis), tangent((4, 4), ratio * scale, turn, basis=basis)
    forth = project(np.ones((1, 1)), a, b)[1] * solid_angles(b)
    back = np.zeros((4, 4))
    for y, x in np.ndindex(4, 4):
        one = np.full((4, 4), np.nan)
        one[y, x] = 1.0
        back[y, x] = project(one, b, a)[1][0, 0] * solid_angles(a)[0, 0]
    np.testing.assert_allclose(forth, back, rtol=0, atol=1e-12 * scale**2 + 4e-15 * scale * 0.1)


@given(seed=seeds, log_scale=log_scales, turn=st.floats(-4, 4), ratio=st.floats(0.3, 3))
def test_closure_by_property(seed: int, log_scale: float, turn: float, ratio: float) -> None:
    scale, basis = 10.0**log_scale, rotation(seed)
    n = int(8 / ratio) + 3
    b = tangent((n, n), ratio * scale, turn, basis=basis)
    assert_closes(tangent((5, 5), scale, basis=basis), b, 1e-12 + 4e-16 / scale)


@pytest.mark.parametrize(("arcsec", "rtol"), [(60.0, 1e-12), (0.1, 1e-9), (0.01, 1e-9), (1e-3, 1e-7)])
@given(
    seed=seeds,
    ratio=st.sampled_from([1.0, 1.3, 1.5, 2.0, 0.5, 1 / 3]),
    turn=st.sampled_from([0.0, np.pi / 4, np.pi / 2]),
    log_tilt=st.floats(-16, -3),
    log_shift=st.floats(-16, -3),
)
def test_nearly_aligned_grids_close(
    arcsec: float, rtol: float, seed: int, ratio: float, turn: float, log_tilt: float, log_shift: float
) -> None:
    # Edges that almost coincide: which neighbour has what lies between is a matter of rounding, but one has.
    scale, basis = arcsec * ARCSEC, rotation(seed)
    shift = 10.0**log_shift * scale
    b = tangent((28, 28) if ratio > 0.9 else (60, 60), ratio * scale, turn + 10.0**log_tilt, (shift, -shift), basis)
    assert_closes(tangent((10, 10), scale, basis=basis), b, rtol)


def test_same_bits_twice_and_for_any_input_type() -> None:
    a, b = tangent((20, 20), ARCSEC), tangent((20, 20), 1.1 * ARCSEC, 0.3)
    single = image((20, 20)).astype(np.float32)
    first = np.array(project(single.astype(np.float64), a, b))
    for kind in ("f4", "f8", ">f4", ">f8"):
        flux, area = np.zeros((20, 20)), np.zeros((20, 20))
        project_sky(np.asfortranarray(single.astype(kind)), a, np.asfortranarray(b), flux, area)
        assert (np.array([flux, area]) == first).all()


# -- the outside world -------------------------------------------------------------------------------------------------


def test_against_reproject_exact() -> None:
    reproject = pytest.importorskip("reproject")
    wcs = pytest.importorskip("astropy.wcs")

    def grid(n: int, scale: float, turn: float) -> tuple[object, Floats]:
        w = wcs.WCS(naxis=2)
        w.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        w.wcs.crval, w.wcs.crpix = [150.0, 20.0], [n / 2 + 0.5, n / 2 + 0.5]
        w.wcs.cdelt = [-scale / 3600, scale / 3600]
        c, s = np.cos(turn), np.sin(turn)
        w.wcs.pc = [[c, -s], [s, c]]
        y, x = np.mgrid[: n + 1, : n + 1] - 0.5
        lon, lat = (np.radians(v) for v in w.wcs_pix2world(x, y, 0))
        return w, np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)

    (wcs_in, a), (wcs_out, b) = grid(40, 1.0, 0.0), grid(36, 1.3, np.radians(17))
    values = image((40, 40))
    mean, covered = reproject.reproject_exact((values, wcs_in), wcs_out, shape_out=(36, 36), parallel=False)
    flux, area = project(values, a, b)
    np.testing.assert_allclose(area, covered, rtol=0, atol=1e-8)
    inside = area > 0.01
    np.testing.assert_allclose(flux[inside] / area[inside], mean[inside], rtol=0, atol=1e-7)
    np.testing.assert_allclose(flux, np.nan_to_num(mean) * covered, rtol=0, atol=2e-8)


def test_cost_does_not_grow_with_the_product_of_the_sizes() -> None:
    a, b = tangent((512, 512), ARCSEC), tangent((1000, 1000), ARCSEC, np.radians(17))
    values = image((512, 512))
    project(values[:1, :1], a[:2, :2], b[:2, :2])
    _, area = project(values, a, b)
    assert (area * solid_angles(b)).sum() == pytest.approx(solid_angles(a).sum(), rel=1e-12)


@pytest.mark.parametrize(
    ("shape", "sub_in", "message"), [((4, 5), 1, "values"), ((4, 4), 3, "corners_in"), ((4, 4), 0, "corners_in")]
)
def test_shapes_are_checked(shape: tuple[int, int], sub_in: int, message: str) -> None:
    a = tangent((4, 4), ARCSEC)
    with pytest.raises(ValueError, match=message):
        project_sky(np.ones(shape), a, a, np.zeros((4, 4)), np.zeros((4, 4)), sub_in)
    with pytest.raises(ValueError, match="area"):
        project_sky(np.ones((4, 4)), a, a, np.zeros((4, 4)), np.zeros((3, 4)))
