"""Lists of overlaps against exact fractions, analytic integrals and the plane kernel."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf
from naive import Polygon, clip, overlap_planar, signed_area
from numpy.typing import NDArray
from strategies import ANGLES, Mesh, corner_meshes, make_mesh

from dmontage.kernels.drops import list_gaussian, list_point, list_square
from dmontage.kernels.plane import TILE, project_plane

Floats = NDArray[np.float64]
Overlaps = tuple[NDArray[np.int64], NDArray[np.int64], Floats]
PIXFRACS = (1.0, 0.8, 0.5, 0.01)


def square(
    mesh: Mesh,
    pixfrac: float = 1.0,
    first: tuple[int, int] = (0, 0),
    shape: tuple[int, int] | None = None,
    use: NDArray[np.bool_] | None = None,
) -> Overlaps:
    chosen = np.ones(mesh.shape, bool) if use is None else use
    found: Overlaps = list_square(chosen, mesh.x, mesh.y, pixfrac, *first, shape or mesh.shape_out)
    return found


def as_dict(overlaps: Overlaps) -> dict[tuple[int, int], float]:
    pairs = {(int(p), int(c)): float(a) for p, c, a in zip(*overlaps, strict=True)}
    assert len(pairs) == overlaps[0].size, "a pair is listed twice"
    return pairs


def per_pixel(mesh: Mesh, overlaps: Overlaps) -> Floats:
    sums = np.bincount(overlaps[0], overlaps[2], mesh.x[1:, 1:].size)
    return sums.astype(np.float64).reshape(mesh.shape)


def drop(mesh: Mesh, r: int, c: int, pixfrac: float) -> Polygon:
    """Corners of a drop in fractions: its pixel's bilinear map at (1 ± d)/2."""
    lows = [(1 - Fraction(pixfrac)) / 2, (1 + Fraction(pixfrac)) / 2]

    def at(corners: Floats, v: Fraction, u: Fraction) -> Fraction:
        c00, c01, c10, c11 = (Fraction(float(corners[r + j, c + i])) for j in (0, 1) for i in (0, 1))
        return (1 - v) * ((1 - u) * c00 + u * c01) + v * ((1 - u) * c10 + u * c11)

    order = [(lows[0], lows[0]), (lows[0], lows[1]), (lows[1], lows[1]), (lows[1], lows[0])]
    return [[at(mesh.x, v, u), at(mesh.y, v, u)] for v, u in order]


def cut_to_cell(polygon: Polygon, y: int, x: int) -> Fraction:
    """Signed area of a polygon inside a cell."""
    for axis, middle in ((0, x), (1, y)):
        low, high = middle - Fraction(1, 2), middle + Fraction(1, 2)
        polygon = clip(polygon, lambda p, axis=axis, low=low: p[axis] - low)  # type: ignore[misc]
        polygon = clip(polygon, lambda p, axis=axis, high=high: high - p[axis]) if polygon else polygon  # type: ignore[misc]
        if not polygon:
            return Fraction(0)
    return Fraction(signed_area(polygon))


def exact(mesh: Mesh, pixfrac: float) -> dict[tuple[int, int], Fraction]:
    """All overlaps in fractions of the binary corners."""
    found = {}
    my, mx = mesh.shape_out
    for r, c in np.ndindex(*mesh.shape):
        quad = drop(mesh, r, c, pixfrac)
        y_low, y_high = (math.floor(f(p[1] for p in quad) + Fraction(1, 2)) for f in (min, max))
        x_low, x_high = (math.floor(f(p[0] for p in quad) + Fraction(1, 2)) for f in (min, max))
        for y in range(max(y_low, 0), min(y_high + 1, my)):
            for x in range(max(x_low, 0), min(x_high + 1, mx)):
                if part := abs(cut_to_cell(quad, y, x)):
                    found[r * mesh.shape[1] + c, y * mx + x] = part
    return found


def assert_exact(mesh: Mesh, pixfrac: float) -> None:
    """No entry that is not there, none missing above the rounding, and all parts right."""
    got, want = as_dict(square(mesh, pixfrac)), exact(mesh, pixfrac)
    assert set(got) <= set(want)
    assert all(part > 0.0 for part in got.values())
    # Crossings of a long edge are known to the rounding of its length.
    tolerance = 3e-14 * max(1.0, float(np.ptp(mesh.x)) / max(mesh.shape))
    for pair, part in want.items():
        assert abs(got.get(pair, 0.0) - float(part)) <= tolerance, pair


# -- against exact fractions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parity", [1, -1])
@pytest.mark.parametrize("angle", ANGLES)
def test_parts_are_exact(angle: float, parity: int) -> None:
    for (ratio, offset), pixfrac in zip(
        ((0.3, (0.5, 0.5)), (1.0, (0.25, 0.1)), (1.3, (0.0, 0.0)), (2.7, (0.25, 0.1))), PIXFRACS, strict=True
    ):
        assert_exact(make_mesh((3, 4), ratio, angle, parity, offset, bend=0.05 if ratio < 2 else 0.0), pixfrac)


@settings(max_examples=30)
@given(corner_meshes(3), st.sampled_from(PIXFRACS) | st.floats(0.001, 1.0))
def test_parts_are_exact_on_any_mesh(mesh: Mesh, pixfrac: float) -> None:
    assert_exact(mesh, pixfrac)


@pytest.mark.slow
@settings(max_examples=1500)
@given(corner_meshes(5), st.sampled_from(PIXFRACS) | st.floats(0.001, 1.0))
def test_parts_are_exact_on_any_mesh_at_length(mesh: Mesh, pixfrac: float) -> None:
    assert_exact(mesh, pixfrac)


def test_parts_agree_with_clipping_of_two_quadrilaterals() -> None:
    mesh = make_mesh((4, 4), 1.7, 31.0, bend=0.04)
    got = as_dict(square(mesh))
    for (p, cell), part in got.items():
        r, c = divmod(p, 4)
        y, x = divmod(cell, mesh.shape_out[1])
        quad = [(mesh.x[k], mesh.y[k]) for k in ((r, c), (r, c + 1), (r + 1, c + 1), (r + 1, c))]
        box = [(x - 0.5, y - 0.5), (x + 0.5, y - 0.5), (x + 0.5, y + 0.5), (x - 0.5, y + 0.5)]
        assert abs(part - float(overlap_planar(quad, box))) < 1e-14


@pytest.mark.parametrize("pixfrac", [1.0, 0.5])
@pytest.mark.parametrize("step", [(1, 1), (2, 1), (3, 4), (1, 0)])
def test_edges_through_lattice_points_leave_no_slivers(step: tuple[int, int], pixfrac: float) -> None:
    """Corners and crossings fall on the corners of cells, which the drops only touch."""
    v, u = np.mgrid[0:5, 0:5].astype(float)
    mesh = Mesh(u * step[0] - v * step[1] + 20.5, u * step[1] + v * step[0] + 0.5, (40, 44))
    assert_exact(mesh, pixfrac)
    scaled = Mesh(20.5 + (mesh.x - 20.5) / 3.0, 0.5 + (mesh.y - 0.5) / 3.0, (40, 44))
    assert_exact(scaled, pixfrac)


@pytest.mark.parametrize("depth", [2e-4, 1e-9, 1e-12, 5e-14])
@pytest.mark.parametrize("side", [1.0, 1e-3])
def test_true_slivers_are_listed(side: float, depth: float) -> None:
    """A drop that reaches into a cell by more than the rounding of its corners is seen there."""
    u = np.array([0.5 + depth - side, 0.5 + depth])
    x, y = np.meshgrid(u, 1.0 + 0.4 * side * np.array([-1.0, 1.0]))
    got = as_dict(square(Mesh(x, y, (3, 3))))
    assert set(got) == {(0, 3), (0, 4)}
    assert got[0, 4] == pytest.approx((x[0, 1] - 0.5) * (y[1, 0] - y[0, 0]), rel=1e-3 + 1e-15 / depth)


@pytest.mark.parametrize("parity", [1, -1])
def test_concave_pixels_are_exact(parity: int) -> None:
    x = np.array([[0.0, 6.0], [3.0, 2.0]])[:, ::parity] + 0.7
    y = np.array([[0.0, 0.3], [7.0, 1.0]])[:, ::parity] + 0.2
    assert signed_area(drop(Mesh(x, y, (12, 12)), 0, 0, 1.0)) * parity > 0
    for pixfrac in PIXFRACS:
        assert_exact(Mesh(x, y, (12, 12)), pixfrac)


def test_a_gap_in_a_concave_pixel_stays_empty() -> None:
    """A chevron: its rows are two intervals with cells between that it does not touch."""
    mesh = Mesh(np.array([[0.5, 10.37], [10.2, 20.5]]), np.array([[0.61, 9.13], [18.3, 0.57]]), (22, 24))
    assert mesh.areas.min() > 1
    assert_exact(mesh, 1.0)


def test_a_crossing_pixel_gives_its_larger_lobe() -> None:
    """Corners in the order of a bow tie: the triangle that turns the other way counts less than nothing."""
    mesh = Mesh(np.array([[0.5, 8.5], [4.5, 0.5]]), np.array([[0.5, 6.5], [0.5, 3.5]]), (10, 12))
    got = as_dict(square(mesh))
    assert got
    for y, x in np.ndindex(10, 12):
        signed = float(cut_to_cell(drop(mesh, 0, 0, 1.0), y, x)) * np.sign(signed_area(drop(mesh, 0, 0, 1.0)))
        assert got.get((0, y * 12 + x), 0.0) == pytest.approx(max(signed, 0.0), abs=1e-14)


# -- closure -----------------------------------------------------------------------------------------------------------


@given(corner_meshes(8), st.sampled_from(PIXFRACS) | st.floats(0.001, 1.0))
def test_parts_add_up_to_the_area_of_the_drop(mesh: Mesh, pixfrac: float) -> None:
    np.testing.assert_allclose(per_pixel(mesh, square(mesh, pixfrac)), pixfrac**2 * mesh.areas, rtol=1e-12)


@pytest.mark.parametrize("pixfrac", [1.0, 0.7])
@pytest.mark.parametrize("parity", [1, -1])
def test_an_input_pixel_of_hundreds_of_output_pixels(parity: int, pixfrac: float) -> None:
    mesh = make_mesh((2, 2), 311.3, 31.0, parity, (0.3, 0.7))
    overlaps = square(mesh, pixfrac)
    np.testing.assert_allclose(per_pixel(mesh, overlaps), pixfrac**2 * mesh.areas, rtol=1e-12)
    p, cell, part = overlaps
    inner = np.abs(part - 1.0) < 1e-9
    assert inner.sum() > 0.95 * pixfrac**2 * mesh.areas.sum()
    np.testing.assert_allclose(part[inner], 1.0, rtol=0, atol=1e-13)
    y, x = np.divmod(cell[p == 0], mesh.shape_out[1])
    quad = [[float(v) for v in q] for q in drop(mesh, 0, 0, pixfrac)]
    assert y.min() == math.floor(min(q[1] for q in quad) + 0.5)
    assert x.max() == math.floor(max(q[0] for q in quad) + 0.5)
    assert set(np.unique(y)) == set(range(int(y.min()), int(y.max()) + 1))


@pytest.mark.parametrize("pixfrac", [1.0, 0.6])
def test_hundreds_of_input_pixels_in_an_output_pixel(pixfrac: float) -> None:
    mesh = make_mesh((300, 290), 1 / 300, 17.0, offset=(0.6, 0.4))
    overlaps = square(mesh, pixfrac)
    np.testing.assert_allclose(per_pixel(mesh, overlaps), pixfrac**2 * mesh.areas, rtol=1e-12)
    small = make_mesh((3, 3), 1 / 300, 17.0, offset=(0.995, 0.995))
    assert_exact(small, pixfrac)


@pytest.mark.parametrize("origin", [(0, 0), (-7, 1000), (123456, -3)])
def test_aligned_pixels_have_one_part_of_one(origin: tuple[int, int]) -> None:
    y, x = np.mgrid[0:5, 0:7].astype(float)
    pixel, cell, part = square(Mesh(x - 0.5 + origin[1], y - 0.5 + origin[0], (4, 6)), 1.0, origin)
    np.testing.assert_array_equal(pixel, np.arange(24))
    np.testing.assert_array_equal(cell, np.arange(24))
    assert set(part) == {1.0}


def test_agrees_with_the_plane_kernel() -> None:
    mesh = make_mesh((70, 80), 1.3, 23.0, bend=0.03)
    values = np.random.default_rng(1).normal(5.0, 2.0, mesh.shape)
    values[3, 5] = np.nan
    flux, area = np.zeros((2, *mesh.shape_out))
    project_plane(values, mesh.x, mesh.y, flux, area, 0, 0, TILE)
    pixel, cell, part = square(mesh, use=np.isfinite(values))
    size = flux.size
    np.testing.assert_allclose(np.bincount(cell, part, size), area.ravel(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.bincount(cell, part * values.ravel()[pixel], size), flux.ravel(), rtol=0, atol=1e-11)


# -- symmetries --------------------------------------------------------------------------------------------------------


def image_of(overlaps: Overlaps, mesh: Mesh) -> Floats:
    """Parts as (pixel row, column, cell row, column)."""
    parts = np.zeros((mesh.x[1:, 1:].size, mesh.shape_out[0] * mesh.shape_out[1]))
    parts[overlaps[0], overlaps[1]] = overlaps[2]
    return parts.reshape(*mesh.shape, *mesh.shape_out)


@given(corner_meshes(4), st.sampled_from(PIXFRACS), st.integers(-3, 1000), st.integers(-3, 1000))
def test_whole_pixel_shifts_move_the_cells(mesh: Mesh, pixfrac: float, dy: int, dx: int) -> None:
    here = image_of(square(mesh, pixfrac), mesh)
    there = image_of(square(mesh.at(dy, dx), pixfrac, (dy, dx)), mesh)
    np.testing.assert_allclose(there, here, rtol=0, atol=1e-11)  # the corners round where they move to: 1e-13 each


@given(corner_meshes(4), st.sampled_from(PIXFRACS))
def test_reflections_reflect(mesh: Mesh, pixfrac: float) -> None:
    here = image_of(square(mesh, pixfrac), mesh)
    my, mx = mesh.shape_out
    flip_x = Mesh(mx - 1.0 - mesh.x, mesh.y, mesh.shape_out)
    flip_y = Mesh(mesh.x, my - 1.0 - mesh.y, mesh.shape_out)
    swap = Mesh(mesh.y, mesh.x, (mx, my))
    np.testing.assert_allclose(image_of(square(flip_x, pixfrac), flip_x)[..., ::-1], here, rtol=0, atol=1e-13)
    np.testing.assert_allclose(image_of(square(flip_y, pixfrac), flip_y)[..., ::-1, :], here, rtol=0, atol=1e-13)
    np.testing.assert_allclose(image_of(square(swap, pixfrac), swap).swapaxes(2, 3), here, rtol=0, atol=1e-13)


@given(corner_meshes(4), st.sampled_from(PIXFRACS))
def test_the_order_of_the_corners_does_not_matter(mesh: Mesh, pixfrac: float) -> None:
    here = image_of(square(mesh, pixfrac), mesh)
    for turned in (np.s_[::-1], np.s_[:, ::-1], np.s_[::-1, ::-1]):
        other = Mesh(mesh.x[turned].copy(), mesh.y[turned].copy(), mesh.shape_out)
        np.testing.assert_allclose(image_of(square(other, pixfrac), other)[turned], here, rtol=0, atol=1e-13)
    across = Mesh(mesh.x.T.copy(), mesh.y.T.copy(), mesh.shape_out)
    np.testing.assert_allclose(image_of(square(across, pixfrac), across).swapaxes(0, 1), here, rtol=0, atol=1e-13)


def cropped(overlaps: Overlaps, mesh: Mesh, first: tuple[int, int], shape: tuple[int, int]) -> Overlaps:
    pixel, cell, part = overlaps
    y, x = np.divmod(cell, mesh.shape_out[1])
    y, x = y - first[0], x - first[1]
    inside = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
    return pixel[inside], (y * shape[1] + x)[inside], part[inside]


def assert_same_bits(got: Overlaps, want: Overlaps) -> None:
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)


@given(corner_meshes(6), st.sampled_from(PIXFRACS), st.data())
def test_bits_do_not_depend_on_the_window(mesh: Mesh, pixfrac: float, data: st.DataObject) -> None:
    first = data.draw(st.tuples(*(st.integers(0, n - 1) for n in mesh.shape_out)))
    ny, nx = (n - f for n, f in zip(mesh.shape_out, first, strict=True))
    shape = data.draw(st.tuples(st.integers(1, ny), st.integers(1, nx)))
    whole = square(mesh, pixfrac)
    assert_same_bits(square(mesh, pixfrac, first, shape), cropped(whole, mesh, first, shape))


def test_bits_do_not_depend_on_the_other_pixels() -> None:
    """Lists that grow, and a buffer that widens, while a single pixel has neither."""
    mesh = make_mesh((6, 7), 25.0, 12.0, bend=0.1)
    whole = square(mesh, 0.9)
    assert whole[0].size > 20_000, "nothing has grown"
    for p in range(42):
        use = np.zeros(42, bool)
        use[p] = True
        mine = whole[0] == p
        assert_same_bits(square(mesh, 0.9, use=use.reshape(6, 7)), (whole[0][mine], whole[1][mine], whole[2][mine]))


# -- what is no drop ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e300, -1e300, 1e8])
@pytest.mark.parametrize("axis", ["x", "y"])
@pytest.mark.parametrize("ratio", [1.1, 120.0])
def test_a_pixel_with_a_bad_corner_has_no_drop(ratio: float, axis: str, bad: float) -> None:
    mesh = make_mesh((4, 4), ratio, 20.0)
    for r, c in ((0, 0), (2, 2), (4, 1)):
        broken = Mesh(mesh.x.copy(), mesh.y.copy(), mesh.shape_out)
        (broken.x if axis == "x" else broken.y)[r, c] = bad
        use = np.ones((4, 4), bool)
        use[max(r - 1, 0) : r + 1, max(c - 1, 0) : c + 1] = False
        for pixfrac in (1.0, 0.8):
            assert_same_bits(square(broken, pixfrac), square(mesh, pixfrac, use=use))


def test_unused_and_outside_pixels_have_no_drops() -> None:
    mesh = make_mesh((5, 5), 1.2, 40.0)
    use = np.random.default_rng(3).random((5, 5)) < 0.5
    pixel, cell, part = square(mesh)
    kept = use.ravel()[pixel]
    assert_same_bits(square(mesh, use=use), (pixel[kept], cell[kept], part[kept]))
    for first in ((-50, 0), (0, -50), (50, 0), (0, 50)):
        assert square(mesh, first=first)[0].size == 0
    flat = Mesh(mesh.x, np.zeros_like(mesh.y) + 3.2, mesh.shape_out)
    assert square(flat)[0].size == 0, "a pixel without area covers nothing"


# -- points and Gaussians ----------------------------------------------------------------------------------------------


class Middles:
    """Middles, totals and widths of some drops, all inside (30, 40) output pixels."""

    def __init__(self, seed: int = 1, sigma: float = 0.5) -> None:
        rng = np.random.default_rng(seed)
        self.use = rng.random((5, 6)) < 0.8
        self.x, self.y = rng.uniform(8, 31, (5, 6)), rng.uniform(8, 21, (5, 6))
        self.total = rng.uniform(0.1, 2.0, (5, 6))
        self.sigma = sigma * rng.uniform(0.9, 1.1, (5, 6))
        self.shape = (30, 40)

    def points(self) -> Overlaps:
        found: Overlaps = list_point(self.use, self.x, self.y, self.total, 0, 0, self.shape)
        return found

    def gaussians(self, first: tuple[int, int] = (0, 0), shape: tuple[int, int] | None = None) -> Overlaps:
        found: Overlaps = list_gaussian(self.use, self.x, self.y, self.sigma, self.total, *first, shape or self.shape)
        return found


def test_points_go_to_the_cell_of_the_middle() -> None:
    m = Middles()
    m.x[0, 0], m.y[0, 0], m.use[0, 0] = 7.5, 9.5, True  # a corner of four cells: the upper ones
    pixel, cell, part = m.points()
    np.testing.assert_array_equal(pixel, np.flatnonzero(m.use))
    np.testing.assert_array_equal(part, m.total[m.use])
    assert cell[0] == 10 * 40 + 8
    y, x = np.divmod(cell, 40)
    assert (np.abs(x - m.x[m.use]) <= 0.5).all()
    assert (np.abs(y - m.y[m.use]) <= 0.5).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e300, -1.0, 0.0])
def test_points_and_gaussians_that_are_none(bad: float) -> None:
    for field in ("x", "y", "total", "sigma"):
        m, without = Middles(), Middles()
        getattr(m, field)[2, 3] = bad
        m.use[2, 3], without.use[2, 3] = True, False
        if field in ("x", "y") and abs(bad) <= 1.0:
            m.x[2, 3] -= 100.0
        if field == "total" and bad == 1e300:
            continue
        assert_same_bits(m.gaussians(), without.gaussians())
        if field != "sigma":
            assert_same_bits(m.points(), without.points())


@pytest.mark.parametrize("sigma", [1e-6, 0.05, 0.34, 1.0, 2.3])
def test_gaussians_conserve_their_total(sigma: float) -> None:
    m = Middles(sigma=sigma)
    pixel, cell, part = m.gaussians()
    np.testing.assert_allclose(np.bincount(pixel, part, 30), np.where(m.use, m.total, 0.0).ravel(), rtol=1e-14)
    assert (part > 0.0).all()
    y, x = np.divmod(cell, 40)
    reach = 0.5 + 3.0 * m.sigma.ravel()[pixel]
    assert (np.abs(x - m.x.ravel()[pixel]) < reach).all()
    assert (np.abs(y - m.y.ravel()[pixel]) < reach).all()


@pytest.mark.parametrize("sigma", [0.15, 0.34, 1.3])
def test_gaussians_agree_with_quadrature(sigma: float) -> None:
    """The integral over each cell, by mpmath's quadrature of the exponential, and the stated truncation."""
    m = Middles(2, sigma)
    m.use[:] = False
    m.use[1, 2] = True
    x0, y0, s = (mpf(float(a[1, 2])) for a in (m.x, m.y, m.sigma))
    _, cell, part = m.gaussians()
    got = dict(zip(cell.tolist(), part.tolist(), strict=True))

    def along(middle: mpf, size: int) -> dict[int, mpf]:
        met = [k for k in range(size) if k - 0.5 < middle + 3 * s and k + 0.5 > middle - 3 * s]
        return {k: mp.quad(lambda t: mp.exp(-(((t - middle) / s) ** 2) / 2), [k - 0.5, k, k + 0.5]) for k in met}

    gx, gy = along(x0, 40), along(y0, 30)
    assert set(got) == {j * 40 + i for j in gy for i in gx}
    norm = sum(gx.values()) * sum(gy.values())
    for j, v in gy.items():
        for i, u in gx.items():
            want = float(m.total[1, 2] * u * v / norm)
            assert got[j * 40 + i] == pytest.approx(want, rel=1e-11, abs=1e-15)


def test_gaussians_at_an_edge_give_their_inside_part() -> None:
    m = Middles(sigma=1.5)
    pixel, cell, part = m.gaussians()
    for first, shape in (((9, 10), (7, 9)), ((-5, 20), (30, 40)), ((0, 0), (12, 12))):
        got = m.gaussians(first, shape)
        y, x = np.divmod(cell, 40)
        inside = (y >= first[0]) & (y < first[0] + shape[0]) & (x >= first[1]) & (x < first[1] + shape[1])
        want = pixel[inside], ((y - first[0]) * shape[1] + x - first[1])[inside], part[inside]
        assert_same_bits(got, want)


def test_wide_gaussians_make_the_list_grow() -> None:
    m = Middles(sigma=14.0)
    m.shape = (200, 200)
    m.x, m.y = m.x + 70.0, m.y + 70.0
    pixel, _, part = m.gaussians()
    assert part.size > 1000 * 30
    np.testing.assert_allclose(np.bincount(pixel, part, 30)[m.use.ravel()], m.total[m.use], rtol=1e-13)
