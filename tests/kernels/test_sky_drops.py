"""Overlap lists and drops on the sphere: against 50 digits, closures, the direct path, and any window or band."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import Floats, quads_of, solid_angle_mp
from numpy.typing import NDArray
from test_sky import ARCSEC, SCALES, all_sky, image, lonlat, project, rotation, tangent

from dmontage.errors import InputError
from dmontage.kernels.sky import BLOCK, list_sky, project_sky, shrink, solid_angles

Ints = NDArray[np.int64]

NY, NX = 37, 43


def apply(pixel: Ints, cell: Ints, part: Floats, values: Floats, shape: tuple[int, int]) -> tuple[Floats, Floats]:
    """Flux and area from a list, one overlap after the other."""
    flux, area = np.zeros(shape[0] * shape[1]), np.zeros(shape[0] * shape[1])
    np.add.at(flux, cell, values.ravel()[pixel] * part)
    np.add.at(area, cell, part)
    return flux.reshape(shape), area.reshape(shape)


def listed(
    values: Floats, a: Floats, b: Floats, sub_in: int = 1, sub_out: int = 1, gap: int = 0
) -> tuple[Floats, Floats]:
    pixel, cell, part, _ = list_sky(np.isfinite(values), a, b, sub_in, sub_out, gap)
    return apply(pixel, cell, part, values, ((b.shape[0] - 1) // sub_out, (b.shape[1] - 1) // sub_out))


# -- lists -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sub_in", "sub_out"), [(1, 1), (2, 3)])
@pytest.mark.parametrize("ratio", [0.3, 1.0, 1.3])
def test_a_list_gives_the_bits_of_the_direct_path(sub_in: int, sub_out: int, ratio: float) -> None:
    a = tangent((NY * sub_in, NX * sub_in), ARCSEC / sub_in)
    b = tangent((60 * sub_out, 50 * sub_out), ratio * ARCSEC / sub_out, 0.3)
    values = image((NY, NX))
    values[3, 4] = np.nan
    direct, from_list = project(values, a, b, sub_in, sub_out), listed(values, a, b, sub_in, sub_out)
    assert direct[1].any()
    np.testing.assert_array_equal(from_list, direct)


def test_lists_grow() -> None:
    # 2500 output pixels for each of 64 input pixels, five times what a list starts with.
    a, b = tangent((8, 8), ARCSEC), tangent((520, 520), 0.02 * ARCSEC, 0.3)
    pixel, cell, part, skipped = list_sky(np.ones((8, 8), np.bool_), a, b)
    assert len(pixel) >= 160000 and skipped == 0
    omega_b = solid_angles(b).ravel()
    sums = np.bincount(pixel, weights=part * omega_b[cell], minlength=64)
    np.testing.assert_allclose(sums, solid_angles(a).ravel(), rtol=1e-11)
    np.testing.assert_array_equal(apply(pixel, cell, part, image((8, 8)), (520, 520)), project(image((8, 8)), a, b))


def test_a_list_names_pixels_and_cells() -> None:
    # Same grid, shifted by whole pixels: each input pixel is one output pixel.
    parent = tangent((30, 30), ARCSEC, 0.3)
    use = image((20, 21)) > 1.5
    pixel, cell, part, skipped = list_sky(use, parent[5:26, 4:26], parent)
    assert skipped == 0 and (part > 0).all()
    y, x = np.divmod(pixel, 21)
    assert use[y, x].all() and len(np.unique(pixel)) == use.sum()
    np.testing.assert_array_equal(cell, (y + 5) * 30 + x + 4)
    np.testing.assert_allclose(part, 1.0, rtol=1e-12)


def test_undefined_pixels_are_counted_where_used() -> None:
    a, b = tangent((6, 6), ARCSEC), tangent((8, 8), 1.1 * ARCSEC, 0.3)
    a[3, 3, 1] = np.nan
    use = np.ones((6, 6), np.bool_)
    use[2, 2] = False
    pixel, _, _, skipped = list_sky(use, a, b)
    assert skipped == 3
    assert not np.isin(pixel, [14, 15, 20, 21]).any()
    _, _, _, skipped = list_sky(use, shrink(a, 0.8), b, gap=1)
    assert skipped == 3


def test_nothing_used_or_met_gives_empty_lists() -> None:
    a = tangent((4, 4), ARCSEC)
    for use, b in ((np.zeros((4, 4), np.bool_), a), (np.ones((4, 4), np.bool_), -a)):
        pixel, cell, part, skipped = list_sky(use, a, b)
        assert len(pixel) == len(cell) == len(part) == skipped == 0
        assert pixel.dtype == cell.dtype == np.int64 and part.dtype == np.float64


# -- drops -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arcsec", SCALES.values(), ids=SCALES.keys())
@pytest.mark.parametrize("pixfrac", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("sub", [1, 2])
def test_a_drop_has_the_square_of_pixfrac_of_its_pixel(arcsec: float, pixfrac: float, sub: int) -> None:
    scale = arcsec * ARCSEC
    corners = tangent((4 * sub, 6 * sub), scale / sub, 0.4, origin=(0.1, -0.2))
    drops = shrink(corners, pixfrac, sub)
    assert drops.shape == (4 * (sub + 1), 6 * (sub + 1), 3)
    # A norm and a division round in the drops (1.5 ulp of 2^-53), a norm in the check: processors differ within 2 ulp.
    np.testing.assert_allclose(np.linalg.norm(drops, axis=-1), 1.0, rtol=2.0**-51)
    omega = solid_angles(corners, sub)
    # What is left is the rounding of unit vectors: some 1e-16 rad at each corner of the drop.
    rtol = 5e-15 + 1.5e-15 * sub / (scale * pixfrac)
    assert arcsec < 60 or rtol < 1e-9
    np.testing.assert_allclose(solid_angles(drops, sub, gap=1), pixfrac**2 * omega, rtol=rtol)


def test_solid_angle_of_a_drop_against_mpmath() -> None:
    corners = tangent((2, 2), 60 * ARCSEC, 0.4, origin=(0.1, -0.2))
    drops = shrink(corners, 0.8).reshape(2, 2, 2, 2, 3).swapaxes(1, 2)
    for j, i in np.ndindex(2, 2):
        truth = solid_angle_mp(quads_of(corners)[j][i])
        drop = solid_angle_mp(quads_of(drops[j, i])[0][0])
        assert float(drop / truth) == pytest.approx(0.64, rel=1e-11)


@pytest.mark.parametrize("arcsec", [36e3, 3600.0, 60.0, 1.0, 1e-3])
def test_a_drop_is_its_pixel_about_the_same_middle(arcsec: float) -> None:
    corners = tangent((3, 3), arcsec * ARCSEC, 0.4)
    drops = shrink(corners, 0.7).reshape(3, 2, 3, 2, 3).swapaxes(1, 2)
    for j, i in np.ndindex(3, 3):
        pixel, drop = corners[j : j + 2, i : i + 2], drops[j, i]
        middle = pixel.sum(axis=(0, 1)) / np.linalg.norm(pixel.sum(axis=(0, 1)))
        flat_pixel, flat_drop = ((p - middle) / (p @ middle)[..., None] for p in (pixel, drop))
        across = flat_drop - middle * (flat_drop @ middle)[..., None]
        wanted = flat_pixel - middle * (flat_pixel @ middle)[..., None]
        scale = np.linalg.norm(across, axis=-1) / np.linalg.norm(wanted, axis=-1)
        np.testing.assert_allclose(scale, scale[0, 0], rtol=1e-15 + 1e-15 / (arcsec * ARCSEC))
        np.testing.assert_allclose(across, scale[0, 0] * wanted, rtol=0, atol=1e-15)


@pytest.mark.parametrize("arcsec", SCALES.values(), ids=SCALES.keys())
@pytest.mark.parametrize("sub", [1, 3])
def test_pixfrac_one_is_the_plain_path(arcsec: float, sub: int) -> None:
    scale = min(arcsec * ARCSEC, 0.05)
    a, b = tangent((7 * sub, 9 * sub), scale / sub), tangent((12, 12), 1.1 * scale, 0.3)
    values = image((7, 9))
    plain = listed(values, a, b, sub)
    drops = listed(values, shrink(a, 1.0, sub), b, sub, gap=1)
    # In other planes: coordinates are rounded relative to the distance from another centre.
    np.testing.assert_allclose(drops, plain, rtol=0, atol=1e-12 + 4e-17 / scale)


@pytest.mark.parametrize(("arcsec", "rtol"), [(600.0, 1e-9), (60.0, 1e-9), (1.0, 1e-9), (0.01, 1e-9), (1e-3, 1e-7)])
@pytest.mark.parametrize("pixfrac", [0.3, 0.8])
def test_drops_close(arcsec: float, rtol: float, pixfrac: float) -> None:
    scale = arcsec * ARCSEC
    a = tangent((33, 35), scale)
    b = tangent((50, 52), 1.1 * scale, np.radians(17), origin=(0.3 * scale, 0.1 * scale))
    values, omega_a, omega_b = image((33, 35)), solid_angles(a), solid_angles(b)
    flux, area = listed(values, shrink(a, pixfrac), b, gap=1)
    assert (area * omega_b).sum() == pytest.approx(pixfrac**2 * omega_a.sum(), rel=rtol)
    assert (flux * omega_b).sum() == pytest.approx(pixfrac**2 * (values * omega_a).sum(), rel=rtol)


@pytest.mark.parametrize("n", [3, 6, 18, 60])
@pytest.mark.parametrize("sub", [1, 2])
def test_drops_of_the_whole_sky_close(n: int, sub: int) -> None:
    # Pixels of 60° to 3°, at the poles with a side of no length.
    a, b = all_sky(2 * n * sub, n * sub), all_sky(40, 20) @ rotation(3)
    drops = shrink(a, 0.75, sub)
    omega = solid_angles(drops, sub, gap=1)
    np.testing.assert_allclose(omega, 0.75**2 * solid_angles(a, sub), rtol=1e-13)
    _, area = listed(np.ones((n, 2 * n)), drops, b, sub, gap=1)
    assert (area * solid_angles(b)).sum() == pytest.approx(0.75**2 * 4.0 * np.pi, rel=1e-11)


def test_drops_leave_gaps() -> None:
    # Drops of half a pixel on a grid twice as fine and shifted by a quarter pixel: each is one cell, the rest is bare.
    a, b = tangent((6, 6), ARCSEC), tangent((14, 14), 0.5 * ARCSEC, origin=(0.25 * ARCSEC, 0.25 * ARCSEC))
    _, area = listed(np.ones((6, 6)), shrink(a, 0.5), b, gap=1)
    covered = np.zeros((14, 14), np.bool_)
    covered[0:12:2, 0:12:2] = True
    assert covered.sum() == 36
    np.testing.assert_allclose(area[area > 0.5], 1.0, rtol=0, atol=1e-9)
    assert (area > 0.5).sum() == 36 and (area == 0).sum() >= 140
    np.testing.assert_array_equal(np.argwhere(area > 0.5)[0] % 2, np.argwhere(area > 0.5)[-1] % 2)


@given(
    seed=st.integers(0, 10**6),
    log_scale=st.floats(-8.0, -1.5),
    turn=st.floats(-4, 4),
    ratio=st.floats(0.4, 2.5),
    pixfrac=st.floats(0.1, 1.0),
    sub=st.integers(1, 3),
)
def test_drops_close_by_property(
    seed: int, log_scale: float, turn: float, ratio: float, pixfrac: float, sub: int
) -> None:
    scale, basis = 10.0**log_scale, rotation(seed)
    n = int(8 / ratio) + 3
    a, b = tangent((5 * sub, 5 * sub), scale / sub, basis=basis), tangent((n, n), ratio * scale, turn, basis=basis)
    flux, area = listed(np.full((5, 5), 7.0), shrink(a, pixfrac, sub), b, sub, gap=1)
    wanted = pixfrac**2 * solid_angles(a, sub).sum()
    assert (area * solid_angles(b)).sum() == pytest.approx(wanted, rel=1e-12 + 1e-15 * sub / (scale * pixfrac))
    np.testing.assert_allclose(flux[area > 0] / area[area > 0], 7.0, rtol=1e-12)


@pytest.mark.parametrize("pixfrac", [0.0, -1.0, 1.5, np.nan])
def test_pixfrac_is_checked(pixfrac: float) -> None:
    with pytest.raises(InputError, match=f"pixfrac is {pixfrac}"):
        shrink(tangent((2, 2), ARCSEC), pixfrac)


def test_drops_of_undefined_pixels_are_undefined() -> None:
    a = tangent((4, 4), ARCSEC)
    a[2, 2, 0] = np.nan
    omega = solid_angles(shrink(a, 0.8), gap=1)
    lost = np.zeros((4, 4), np.bool_)
    lost[1:3, 1:3] = True
    np.testing.assert_array_equal(np.isnan(omega), lost)
    wide = tangent((1, 2), np.tan(np.radians(80.0)))
    assert np.isnan(shrink(wide, 0.9)).any()


@pytest.mark.parametrize("corners", [np.zeros((4, 5, 3)), np.zeros((4, 4, 2)), np.zeros((1, 4, 3))])
def test_shapes_of_drops_are_checked(corners: Floats) -> None:
    with pytest.raises(InputError, match="corners has shape"):
        solid_angles(corners, gap=1)


# -- any window, any band ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sub", [1, 2, 3])
@pytest.mark.parametrize("scale", [ARCSEC, 0.02])
def test_windows_of_the_output_on_the_lattice_have_the_bits_of_the_whole(sub: int, scale: float) -> None:
    a = tangent((20, 22), scale)
    b = tangent((40 * sub, 44 * sub), 0.8 * scale / sub, 0.7)
    values = image((20, 22))
    whole = np.array(project(values, a, b, 1, sub))
    assert whole[1].any()
    for y0, x0, y1, x1 in ((0, 0, 17, 19), (8, 16, 40, 44), (24, 8, 35, 33), (16, 16, 24, 24)):
        part = np.array(project(values, a, b[y0 * sub : y1 * sub + 1, x0 * sub : x1 * sub + 1], 1, sub))
        # The last block of a window that ends off the lattice is another block.
        y_end, x_end = y1 if y1 == 40 else y1 - y1 % BLOCK, x1 if x1 == 44 else x1 - x1 % BLOCK
        np.testing.assert_array_equal(part[:, : y_end - y0, : x_end - x0], whole[:, y0:y_end, x0:x_end])


@pytest.mark.parametrize("gap", [0, 1])
@pytest.mark.parametrize("sub", [1, 2, 3])
@pytest.mark.parametrize("scale", [ARCSEC, 0.02])
def test_bands_of_the_input_on_the_lattice_have_the_bits_of_the_whole(sub: int, gap: int, scale: float) -> None:
    a = tangent((24 * sub, 26 * sub), scale / sub)
    b = tangent((30, 30), 0.9 * scale, 0.7)
    step = sub + gap
    corners = shrink(a, 0.7, sub) if gap else a
    use = np.ones((24, 26), np.bool_)
    pixel, cell, part, _ = list_sky(use, corners, b, sub, gap=gap)
    whole = sorted(zip(pixel, cell, part, strict=True))
    pieces = []
    for y0, y1, x0, x1 in ((0, 16, 0, 8), (0, 16, 8, 26), (16, 24, 0, 26)):
        band = corners[y0 * step : y1 * step + 1 - gap, x0 * step : x1 * step + 1 - gap]
        p, c, w, _ = list_sky(use[y0:y1, x0:x1], band, b, sub, gap=gap)
        y, x = np.divmod(p, x1 - x0)
        pieces += list(zip((y + y0) * 26 + x + x0, c, w, strict=True))
    assert sorted(pieces) == whole and len(whole) > 600


def test_rows_are_summed_in_order_whatever_the_band() -> None:
    a, b = tangent((32, 30), ARCSEC), tangent((30, 30), 1.3 * ARCSEC, 0.7)
    values = image((32, 30))
    whole = np.array(project(values, a, b))
    flux, area = np.zeros((30, 30)), np.zeros((30, 30))
    for y0 in range(0, 32, 8):
        project_sky(values[y0 : y0 + 8], a[y0 : y0 + 9], b, flux, area)
    np.testing.assert_array_equal([flux, area], whole)


def test_solid_angles_do_not_depend_on_the_window_at_all() -> None:
    b = lonlat(np.linspace(0, 60, 31), np.linspace(30, 90, 31))
    np.testing.assert_array_equal(solid_angles(b)[3:17, 5:23], solid_angles(b[3:18, 5:24]))


def test_flux_and_area_may_be_views() -> None:
    a, b = tangent((9, 9), ARCSEC), tangent((10, 10), 1.1 * ARCSEC, 0.3)
    flux, area = project(image((9, 9)), a, b)
    wide = np.zeros((2, 20, 30))
    project_sky(image((9, 9)), a, b, wide[0, ::2, 5:15], wide[1, 3:13, ::3])
    np.testing.assert_array_equal(wide[0, ::2, 5:15], flux)
    np.testing.assert_array_equal(wide[1, 3:13, ::3], area)
    assert (wide != 0).sum() == (flux != 0).sum() + (area != 0).sum()
