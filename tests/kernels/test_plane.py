"""The plane kernel against brute-force clipping, exact fractions and analytic overlaps."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import clip, project_plane_naive, signed_area
from numpy.typing import NDArray
from strategies import ANGLES, Mesh, corner_meshes, images, make_mesh, meshes_with_images

from dmontage.kernels.drops import list_square
from dmontage.kernels.plane import TILE, project_plane

Floats = NDArray[np.float64]


def project(
    values: NDArray[Any],
    mesh: Mesh,
    tile: int = TILE,
    shape: tuple[int, int] | None = None,
    first: tuple[int, int] = (0, 0),
) -> tuple[Floats, Floats]:
    flux, area = np.zeros(shape or mesh.shape_out), np.zeros(shape or mesh.shape_out)
    project_plane(values, mesh.x, mesh.y, flux, area, first[0], first[1], tile)
    return flux, area


def touched(mesh: Mesh, taken: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Output pixels that share area with an input pixel, in exact fractions of the binary corners."""
    result = np.zeros(mesh.shape_out, bool)
    for r, c in zip(*np.nonzero(taken), strict=True):
        corners = ((r, c), (r, c + 1), (r + 1, c + 1), (r + 1, c))
        quad = [[Fraction(float(mesh.x[k])), Fraction(float(mesh.y[k]))] for k in corners]
        y_low, y_high = (math.floor(f(p[1] for p in quad) + Fraction(1, 2)) for f in (min, max))
        x_low, x_high = (math.floor(f(p[0] for p in quad) + Fraction(1, 2)) for f in (min, max))
        for y in range(max(y_low, 0), min(y_high, mesh.shape_out[0] - 1) + 1):
            for x in range(max(x_low, 0), min(x_high, mesh.shape_out[1] - 1) + 1):
                part = quad
                for axis, middle in ((0, x), (1, y)):
                    low, high = middle - Fraction(1, 2), middle + Fraction(1, 2)
                    part = clip(part, lambda p, axis=axis, low=low: p[axis] - low)  # type: ignore[misc]
                    part = clip(part, lambda p, axis=axis, high=high: high - p[axis])  # type: ignore[misc]
                result[y, x] |= signed_area(part) != 0
    return result


def boxes(mesh: Mesh, taken: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Output pixels in the bounding boxes of input pixels: a little more than `touched`, and quick."""
    result = np.zeros(mesh.shape_out, bool)
    for r, c in zip(*np.nonzero(taken), strict=True):
        x, y = mesh.x[r : r + 2, c : c + 2], mesh.y[r : r + 2, c : c + 2]
        low, high = np.floor([y.min() + 0.5, x.min() + 0.5]), np.floor([y.max() + 1.5, x.max() + 1.5])
        result[int(low[0]) : int(high[0]), int(low[1]) : int(high[1])] = True
    return result


def assert_same(got: tuple[Floats, Floats], want: tuple[Floats, Floats], scale: float = 1.0) -> None:
    np.testing.assert_allclose(got[1], want[1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(got[0], want[0], rtol=1e-12, atol=1e-12 * scale)


# -- against brute force -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tile", [1, 3, 16, 64])
@pytest.mark.parametrize("parity", [1, -1])
@pytest.mark.parametrize("angle", ANGLES)
def test_agrees_with_brute_force(angle: float, parity: int, tile: int) -> None:
    values = np.random.default_rng(1).normal(size=(5, 4))
    for ratio, offset in ((0.3, (0.5, 0.5)), (1.3, (0.0, 0.0)), (2.7, (0.25, 0.1))):
        mesh = make_mesh((5, 4), ratio, angle, parity, offset, bend=0.05 if ratio < 2 else 0.0)
        assert_same(project(values, mesh, tile), brute(values, mesh))


_known: dict[tuple[bytes, ...], tuple[Floats, Floats]] = {}


def brute(values: Floats, mesh: Mesh) -> tuple[Floats, Floats]:
    """The naive projection, once for each input."""
    key = values.tobytes(), mesh.x.tobytes(), mesh.y.tobytes()
    if key not in _known:
        _known[key] = project_plane_naive(values, mesh.x, mesh.y, mesh.shape_out)
    return _known[key]


@settings(max_examples=20)
@given(meshes_with_images(4, huge=False), st.sampled_from([1, 2, 3, 16, 64]))
def test_agrees_with_brute_force_on_any_mesh(case: tuple[Mesh, Floats], tile: int) -> None:
    mesh, values = case
    scale = max(np.abs(values[np.isfinite(values)]).max(initial=0.0), 1.0)
    assert_same(project(values, mesh, tile), brute(values, mesh), scale)


@pytest.mark.slow
@settings(max_examples=400)
@given(meshes_with_images(6, huge=False), st.sampled_from([1, 2, 3, 16, 64]))
def test_agrees_with_brute_force_on_any_mesh_at_length(case: tuple[Mesh, Floats], tile: int) -> None:
    mesh, values = case
    scale = max(np.abs(values[np.isfinite(values)]).max(initial=0.0), 1.0)
    assert_same(project(values, mesh, tile), brute(values, mesh), scale)


@settings(max_examples=60)
@given(corner_meshes(12), st.integers(0, 2**32 - 1))
def test_tile_size_does_not_matter(mesh: Mesh, seed: int) -> None:
    values = np.random.default_rng(seed).normal(10.0, 3.0, mesh.shape)
    whole = project(values, mesh, 64)
    for tile in (1, 3, 16):
        assert_same(project(values, mesh, tile), whole, 20.0)


def test_many_tiles_agree_with_one_pixel_tiles() -> None:
    mesh = make_mesh((150, 140), 0.77, 31.0, bend=0.02)
    values = np.random.default_rng(2).normal(100.0, 1.0, mesh.shape)
    single, tiled = project(values, mesh, 1), project(values, mesh, 64)
    np.testing.assert_allclose(tiled[1], single[1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(tiled[0], single[0], rtol=0, atol=1e-10)


# -- where edges are cut, tilted by a last bit, or more than a batch holds --------------------------------------------


@pytest.mark.parametrize("side", [1 - 2.0**-53, 1.0, 1 + 2.0**-52, 1 + 1e-9, 1.001, 2.0, 2 + 2.0**-51, 2.001, 7.3])
@pytest.mark.parametrize("start", [0.5, 0.5 - 2.0**-53, 0.5 + 2.0**-52, 0.9999])
def test_edges_as_long_as_cells_and_a_little_more(side: float, start: float) -> None:
    """One border crossed, or two by a last bit: exact shares, along both axes and turned by a right angle."""
    n = 3
    corners = [Fraction(start) + Fraction(side) * k for k in range(n + 1)]
    line = np.array([float(v) for v in corners])
    size = math.ceil(line[-1]) + 2
    share = np.zeros((size, n))
    for o, k in np.ndindex(size, n):
        low, high = Fraction(o) - Fraction(1, 2), Fraction(o) + Fraction(1, 2)
        share[o, k] = float(
            max(min(Fraction(float(line[k + 1])), high) - max(Fraction(float(line[k])), low), Fraction(0))
        )
    values = np.random.default_rng(20).normal(size=(n, n))
    x, y = np.meshgrid(line, line)
    for mesh, turned in ((Mesh(x, y, (size, size)), values), (Mesh(y, x, (size, size)), values.T)):
        flux, area = project(values, mesh)
        np.testing.assert_allclose(flux, share @ turned @ share.T, rtol=0, atol=1e-13)
        np.testing.assert_allclose(area, np.outer(share.sum(axis=1), share.sum(axis=1)), rtol=0, atol=1e-13)


@pytest.mark.parametrize("tilt", [2.0**-52, 1e-15, 1e-12, 1e-9, 1e-5, 1e-2])
@pytest.mark.parametrize("ratio", [0.45, 1.0, 2.6])
def test_edges_that_are_all_but_level_and_upright(ratio: float, tilt: float) -> None:
    """Slopes of 1e16 either way, across borders that they hardly cross."""
    y, x = np.mgrid[0:6, 0:6] * ratio
    mesh = Mesh(x + tilt * y + 0.5, y - tilt * x + 0.5 + 5 * tilt, (18, 18))
    values = np.random.default_rng(21).normal(size=mesh.shape)
    assert_same(project(values, mesh), brute(values, mesh))


@pytest.mark.parametrize("kind", ["point", "level", "upright", "slanting"])
def test_pixels_without_area_give_nothing(kind: str) -> None:
    across = {"point": (0.0, 0.0), "level": (0.3, 0.0), "upright": (0.0, 0.3), "slanting": (0.31, 0.17)}[kind]
    x = np.mgrid[0:5, 0:5][1] * 1.0
    mesh = Mesh(1.2 + across[0] * x, 1.4 + across[1] * x, (5, 5))
    flux, area = project(np.random.default_rng(22).normal(size=mesh.shape), mesh)
    assert np.abs(area).max() < 1e-15
    assert np.abs(flux).max() < 1e-14


@pytest.mark.parametrize("ratio", [0.6, 1.0, 1.7])
def test_a_chequerboard_of_blanks(ratio: float) -> None:
    """Every edge is an outer one: many more than a batch holds."""
    mesh = make_mesh((TILE, TILE + 9), ratio, 29.0, bend=0.02)
    values = np.random.default_rng(23).normal(5.0, 1.0, mesh.shape)
    values[(np.indices(mesh.shape).sum(axis=0) % 2).astype(bool)] = math.nan
    flux, area = project(values, mesh)
    single = project(values, mesh, 1)
    np.testing.assert_allclose(area, single[1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(flux, single[0], rtol=0, atol=1e-11)
    assert area.sum() == pytest.approx(mesh.areas[np.isfinite(values)].sum(), rel=1e-12)


@pytest.mark.parametrize("far", [math.nan, math.inf, -1e300, 1e12, -3e7])
def test_corners_of_no_pixel_may_be_anywhere(far: float) -> None:
    mesh = make_mesh((20, 20), 0.9, 12.0)
    values = np.random.default_rng(24).normal(size=mesh.shape)
    values[4:9, 7:15] = math.nan
    want = project(values, mesh)
    x, y = mesh.x.copy(), mesh.y.copy()
    x[5:9, 8:15], y[5:9, 8:15] = far, -far
    got = project(values, Mesh(x, y, mesh.shape_out))
    assert got[0].tobytes() == want[0].tobytes()
    assert got[1].tobytes() == want[1].tobytes()


@pytest.mark.parametrize("background", [0.0, 7.0])
def test_counts_on_a_constant_are_all_holes(background: float) -> None:
    """A median deviation of 0: whatever differs is added alone, through the same code as a tile."""
    mesh = make_mesh((9, 8), 1.2, 33.0)
    rng = np.random.default_rng(25)
    values = np.where(rng.random(mesh.shape) < 0.2, 3.0 + rng.integers(0, 9, mesh.shape), background)
    values[0, 0], values[8, 7] = 4.0, math.nan
    assert_same(project(values, mesh), brute(values, mesh), 12.0)


# -- closure -----------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(corner_meshes(20), st.integers(0, 2**32 - 1), st.sampled_from([3, 16, 64]))
def test_flux_and_area_close(mesh: Mesh, seed: int, tile: int) -> None:
    values = np.random.default_rng(seed).uniform(1.0, 2.0, mesh.shape)
    flux, area = project(values, mesh, tile)
    assert math.fsum(area.ravel()) == pytest.approx(math.fsum(mesh.areas.ravel()), rel=1e-12)
    assert math.fsum(flux.ravel()) == pytest.approx(math.fsum((values * mesh.areas).ravel()), rel=1e-12)


@settings(max_examples=60)
@given(corner_meshes(12), st.sampled_from([0.1, -7.3, 1e-30, 1e30, 1e5 / 3]), st.sampled_from([1, 3, 64]))
def test_a_constant_stays_constant_down_to_the_smallest_sliver(mesh: Mesh, level: float, tile: int) -> None:
    flux, area = project(np.full(mesh.shape, level), mesh, tile)
    covered = area > 0
    assert covered.any()
    np.testing.assert_allclose(flux[covered] / area[covered], level, rtol=1e-12)
    assert (flux[~covered] == 0).all()


def test_a_covered_output_pixel_has_area_one() -> None:
    mesh = make_mesh((40, 40), 1.1, 23.0)
    area = project(np.ones(mesh.shape), mesh)[1]
    middle = area[20:30, 20:30]
    np.testing.assert_allclose(middle, 1.0, rtol=0, atol=1e-13)
    assert area.max() <= 1.0 + 1e-13


# -- area is nowhere but under polygons --------------------------------------------------------------------------------


@settings(max_examples=40)
@given(corner_meshes(4, exact_angles=True), st.data())
def test_area_is_exactly_zero_outside_every_polygon(mesh: Mesh, data: st.DataObject) -> None:
    values = data.draw(images(mesh.shape))
    tile = data.draw(st.sampled_from([1, 2, 64]))
    flux, area = project(values, mesh, tile)
    inside = touched(mesh, np.isfinite(values))
    assert (area[~inside] == 0.0).all()
    assert (flux[~inside] == 0.0).all()
    assert (area >= 0.0).all()


@pytest.mark.parametrize("angle", [0.0, 17.0, 45.0])
@pytest.mark.parametrize("ratio", [0.4, 1.0, 3.7])
def test_holes_larger_than_output_pixels_are_exactly_empty(ratio: float, angle: float) -> None:
    mesh = make_mesh((12, 12), ratio, angle)
    values = np.random.default_rng(3).normal(100.0, 1.0, mesh.shape)
    values[2:9, 3:10] = math.nan
    values[10, 1] = math.inf
    flux, area = project(values, mesh)
    inside = touched(mesh, np.isfinite(values))
    assert (~inside[2:-2, 2:-2]).any(), "the hole is to hold whole output pixels"
    assert (area[~inside] == 0.0).all()
    assert (flux[~inside] == 0.0).all()
    assert (area[inside] > 0).sum() >= inside.sum() - 2, "true slivers are not to be cut"


@pytest.mark.parametrize("parity", [1, -1])
@pytest.mark.parametrize("ratio", [0.1, 0.7, 1.3])
@pytest.mark.parametrize("transposed", [False, True])
def test_edges_on_cell_borders_leave_no_rounding_beyond(ratio: float, parity: int, transposed: bool) -> None:
    """Edges that end exactly on a border, in sums that do not cancel exactly, give nothing to the cell beyond it."""
    y, x = np.mgrid[0:31, 0:31] * 1.0
    x, y = ratio * x + 0.5, 0.37 * y + 0.61 + 0.003 * x  # 30 · 0.1, 30 · 0.7 and 30 · 1.3 are whole numbers
    x[:, -1] = round(30 * ratio) + 0.5
    x = x if parity == 1 else round(30 * ratio) + 1 - x
    mesh = Mesh(y, x, (48, 48)) if transposed else Mesh(x, y, (48, 48))
    for tile in (1, 10, 64):
        flux, area = project(np.random.default_rng(15).normal(size=(30, 30)), mesh, tile)
        flux, area = (flux.T, area.T) if transposed else (flux, area)
        last = round(30 * ratio) + 1
        assert (area[:, 0] == 0).all()
        assert (area[:, last:] == 0).all()
        assert (flux[:, last:] == 0).all()
        assert (area[1:11, 1:last] > 0).all()


@pytest.mark.parametrize("depth", [1e-6, 1e-9, 1e-12, 1e-14])
def test_the_mean_of_a_sliver_lies_among_its_values(depth: float) -> None:
    y, x = np.mgrid[0:40, 0:40] / 3.0
    x[:, -1] = 13.0 + depth  # the last column reaches this far into the next cell
    mesh = Mesh(x - 0.5, y - 0.5, (14, 15))
    values = np.random.default_rng(16).uniform(100.0, 101.0, mesh.shape)
    values[20, 20], values[11, 38] = 900.0, 200.0
    flux, area = project(values, mesh)
    np.testing.assert_allclose(area[:13, 13], depth, rtol=1e-15 / depth)
    assert (area[:13, 13] > 0).all()
    mean = flux[:13, 13] / area[:13, 13]
    assert mean.min() >= 100.0 - 1e-9
    assert mean.max() <= 900.0 + 1e-9
    assert (flux[:, 14] == 0).all()


# -- spoilt pixels -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [1e30, -1e30, 3.4e38, 1e300, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("tile", [1, 5, 64])
@pytest.mark.parametrize("angle", [0.0, 33.0])
def test_a_spoilt_pixel_changes_only_what_it_touches(bad: float, tile: int, angle: float) -> None:
    mesh = make_mesh((24, 30), 0.8, angle)
    rng = np.random.default_rng(4)
    values = rng.normal(50.0, 1.0, mesh.shape)
    spoilt = [(0, 0), (7, 11), (8, 11), (23, 29), (16, 3)]
    clean = values.copy()
    for k in spoilt:
        values[k] = bad
    flux, area = project(values, mesh, tile)
    clean_flux, clean_area = project(clean, mesh, tile)
    hit = np.zeros(mesh.shape, bool)
    hit[tuple(np.array(spoilt).T)] = True
    apart = ~touched(mesh, hit)
    np.testing.assert_allclose(flux[apart], clean_flux[apart], rtol=1e-9, atol=0)
    np.testing.assert_allclose(area[apart], clean_area[apart], rtol=1e-9, atol=0)
    if math.isfinite(bad):
        np.testing.assert_allclose(area, clean_area, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bad", [1e20, -1e30, 3.4e38])
@pytest.mark.parametrize(("level", "n"), [(0.0, 1), (0.0, 60), (100.0, 1), (100.0, 60), (100.0, 300), (-3e-5, 300)])
def test_spoilt_pixels_of_a_constant_image(level: float, n: int, bad: float) -> None:
    """No noise tells there what is far from the median; before, the running sums kept 1e-16 of what was spoilt."""
    mesh = make_mesh((40, 40), 0.8, 17.0)
    hit = np.zeros(mesh.shape, bool)
    hit.ravel()[np.random.default_rng(4).choice(1600, n, replace=False)] = True
    flux, area = project(np.where(hit, bad, level), mesh)
    apart = ~touched(mesh, hit)
    assert apart.sum() > 50
    np.testing.assert_allclose(flux[apart], level * area[apart], rtol=1e-9, atol=0)


@pytest.mark.parametrize("side", [64, 63, 48, 40])
@pytest.mark.parametrize("kind", ["columns", "rows", "block"])
def test_garbage_of_every_size_leaves_the_rest_alone(kind: str, side: int) -> None:
    """Memory that nobody set, up to three eighths of a tile, wherever it lies in it."""
    mesh = make_mesh((side, side), 0.9, 12.0)
    rng = np.random.default_rng(5)
    clean = rng.normal(50.0, 1.0, mesh.shape)
    garbage = np.zeros(mesh.shape, bool)
    spoilt: dict[str, Any] = {"columns": np.s_[:, ::16], "rows": np.s_[::16], "block": np.s_[:, : 3 * side // 8]}
    garbage[spoilt[kind]] = True
    values = clean.copy()
    values[garbage] = 10.0 ** rng.uniform(0, 38, garbage.sum()) * rng.choice([-1.0, 1.0], garbage.sum())
    flux, _ = project(values, mesh)
    apart = ~boxes(mesh, garbage)
    assert apart.sum() > 300
    clean_flux, _ = project(clean, mesh)
    np.testing.assert_allclose(flux[apart], clean_flux[apart], rtol=1e-9, atol=0)


def test_a_few_different_pixels_on_a_constant() -> None:
    mesh = make_mesh((6, 6), 1.3, 20.0)
    values = np.full(mesh.shape, 5.0)
    values[1, 2], values[4, 4], values[5, 0] = 6.0, -1e4, 5.0 + 1e-9
    got, want = project(values, mesh), brute(values, mesh)
    assert_same(got, want)
    hit = values != 5.0
    apart = ~touched(mesh, hit) & (got[1] > 0)
    np.testing.assert_allclose(got[0][apart] / got[1][apart], 5.0, rtol=1e-13)


def test_high_dynamic_range() -> None:
    mesh = make_mesh((8, 8), 0.9, 28.0, bend=0.03)
    rng = np.random.default_rng(6)
    values = rng.normal(0.0, 1.0, mesh.shape)
    values[2, 3], values[5, 5], values[5, 6], values[0, 7] = 1e5, 9e3, 1.2e4, 3e5
    for tile in (4, 64):
        np.testing.assert_allclose(project(values, mesh, tile)[0], brute(values, mesh)[0], rtol=1e-10, atol=1e-10)


def test_a_tile_of_blanks_and_an_image_of_blanks() -> None:
    mesh = make_mesh((70, 70), 1.0, 10.0)
    flux, area = project(np.full(mesh.shape, math.nan), mesh)
    assert not flux.any()
    assert not area.any()
    values = np.full(mesh.shape, math.nan)
    values[69, 69] = 3.0
    flux, area = project(values, mesh)
    assert area.sum() == pytest.approx(mesh.areas[69, 69], rel=1e-12)
    assert flux.sum() == pytest.approx(3.0 * mesh.areas[69, 69], rel=1e-12)


# -- C8: a blank takes away exactly its own overlap --------------------------------------------------------------------


@pytest.mark.parametrize("tile", [1, 64])
@pytest.mark.parametrize("angle", [0.0, 17.0])
def test_a_blank_takes_away_its_own_overlap_only(angle: float, tile: int) -> None:
    mesh = make_mesh((6, 7), 1.7, angle)
    values = np.random.default_rng(7).uniform(1.0, 2.0, mesh.shape)
    whole = project(values, mesh, tile)
    for k in ((0, 0), (3, 2), (5, 6)):
        holed = values.copy()
        holed[k] = math.nan
        alone = np.full_like(values, math.nan)
        alone[k] = values[k]
        own = brute(alone, mesh)
        got = project(holed, mesh, tile)
        np.testing.assert_allclose(got[0], whole[0] - own[0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(got[1], whole[1] - own[1], rtol=0, atol=1e-12)


def test_pixels_without_corners_are_counted_and_give_nothing() -> None:
    mesh = make_mesh((9, 8), 1.1, 40.0)
    values = np.random.default_rng(8).normal(size=mesh.shape)
    values[0, 0] = math.nan
    x, y = mesh.x.copy(), mesh.y.copy()
    x[0, 0] = math.nan  # pixel (0, 0), blank already
    y[4, 4] = math.inf  # four pixels
    flux, area = np.zeros(mesh.shape_out), np.zeros(mesh.shape_out)
    for tile in (1, 3, 64):
        flux[:], area[:] = 0, 0
        assert project_plane(values, x, y, flux, area, 0, 0, tile) == 4
        blanked = values.copy()
        blanked[3:5, 3:5] = math.nan
        assert_same((flux, area), brute(blanked, mesh))
    x[:] = math.nan
    flux[:], area[:] = 0, 0
    assert project_plane(values, x, y, flux, area, 0, 0, 64) == values.size - 1
    assert not area.any()


# -- C10 and cropping --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tile", [1, 64])
@pytest.mark.parametrize("angle", [0.0, 17.0, 90.0])
def test_straddling_pixels_give_their_inside_part(angle: float, tile: int) -> None:
    mesh = make_mesh((6, 6), 2.3, angle)
    values = np.random.default_rng(9).normal(size=mesh.shape)
    full = brute(values, mesh)
    small = full[0].shape[0] // 2, full[0].shape[1] // 2
    assert_same(project(values, mesh, tile, small), (full[0][: small[0], : small[1]], full[1][: small[0], : small[1]]))
    moved = mesh.at(-3.0, -4.0)
    assert_same(project(values, moved, tile, small), tuple(a[3:, 4:][: small[0], : small[1]] for a in full))  # type: ignore[arg-type]


@settings(max_examples=60)
@given(corner_meshes(12), st.data())
def test_a_window_of_the_output_is_the_crop_of_it_bit_for_bit(mesh: Mesh, data: st.DataObject) -> None:
    values = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1))).normal(0.0, 1.0, mesh.shape)
    values.ravel()[:: data.draw(st.integers(2, 30))] = data.draw(st.sampled_from([math.nan, 1e30, 0.0, 1e5]))
    tile = data.draw(st.sampled_from([1, 3, 5, 64]))
    far = data.draw(st.sampled_from([0, -1000, 2**20 + 1]))
    mesh = mesh.at(far, -far)
    ny, nx = mesh.shape_out
    whole = project(values, mesh, tile, (ny + 4, nx + 4), (far - 2, -far - 2))
    y0, x0 = data.draw(st.integers(0, ny + 3)), data.draw(st.integers(0, nx + 3))
    y1, x1 = data.draw(st.integers(y0 + 1, ny + 4)), data.draw(st.integers(x0 + 1, nx + 4))
    part = project(values, mesh, tile, (y1 - y0, x1 - x0), (far - 2 + y0, -far - 2 + x0))
    for a, b in zip(part, whole, strict=True):
        assert a.tobytes() == b[y0:y1, x0:x1].tobytes()


def test_the_output_is_added_to() -> None:
    mesh = make_mesh((5, 5), 1.1, 20.0)
    values = np.ones(mesh.shape)
    flux, area = project(values, mesh)
    twice, twice_area = flux.copy(), area.copy()
    project_plane(values, mesh.x, mesh.y, twice, twice_area, 0, 0, 64)
    np.testing.assert_array_equal(twice, 2 * flux)
    np.testing.assert_array_equal(twice_area, 2 * area)


def test_an_image_that_misses_the_window_leaves_it_untouched() -> None:
    mesh = make_mesh((5, 5), 1.0).at(1000.0, 0.0)
    flux, area = project(np.ones(mesh.shape), mesh)
    assert not flux.any()
    assert not area.any()


# -- C4: aligned grids -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tile", [1, 7, 64])
@pytest.mark.parametrize("shift", [(0, 0), (3, 5), (-2, 1000003)])
def test_whole_pixel_shifts_return_the_input_exactly(shift: tuple[int, int], tile: int) -> None:
    rng = np.random.default_rng(10)
    values = rng.normal(1e3, 40.0, (70, 90)) * rng.choice([1.0, 1e-8, 1e6], (70, 90))
    values[3, 4], values[69, 89], values[20, 20] = math.nan, math.inf, 1e30
    y, x = np.mgrid[0:71, 0:91] - 0.5
    mesh = Mesh(x + shift[1], y + shift[0], values.shape)
    flux, area = project(values, mesh, tile, first=shift)
    good = np.isfinite(values)
    np.testing.assert_array_equal(area, good.astype(float))
    # v0 + (v − v0) may differ from v in the last bit of the tile's level; the declared limit is 1e-12 of it.
    level = np.median(values[good])
    np.testing.assert_allclose(flux[good], values[good], rtol=1e-12, atol=1e-12 * level)
    assert (flux[~good] == 0).all()


def test_parity_and_right_angles_permute_the_input() -> None:
    values = np.random.default_rng(11).normal(size=(5, 8))
    for parity in (1, -1):
        for angle, turned in ((0.0, values), (180.0, values[::-1, ::-1])):
            mesh = make_mesh(values.shape, 1.0, angle, parity)
            want = turned if parity == 1 else turned[:, ::-1]
            flux, area = project(values, mesh)
            np.testing.assert_allclose(flux[1:6, 1:9], want, rtol=0, atol=1e-14)
            assert area.sum() == 40.0


def shares(n_in: int, ratio: Fraction, n_out: int) -> Floats:
    """Length of each output cell covered by each input cell, (n_out, n_in), aligned at the first edge; exact."""
    table = np.zeros((n_out, n_in))
    for o in range(n_out):
        for i in range(n_in):
            length = min((i + 1) * ratio, Fraction(o + 1)) - max(i * ratio, Fraction(o))
            table[o, i] = float(max(length, Fraction(0)))
    return table


@pytest.mark.parametrize("ratio", [Fraction(13, 10), Fraction(3, 2), Fraction(2), Fraction(1, 2), Fraction(1, 3)])
@pytest.mark.parametrize("tile", [1, 64])
def test_aligned_grids_show_no_pixel_off(ratio: Fraction, tile: int) -> None:
    values = np.random.default_rng(12).normal(100.0, 10.0, (90, 75))
    y, x = np.mgrid[0:91, 0:76] * float(ratio) - 0.5
    shape = math.ceil(90 * ratio), math.ceil(75 * ratio)
    flux, area = project(values, Mesh(x, y, shape), tile)
    s_y, s_x = shares(90, ratio, shape[0]), shares(75, ratio, shape[1])
    np.testing.assert_allclose(flux, s_y @ values @ s_x.T, rtol=0, atol=1e-9)
    np.testing.assert_allclose(area, np.outer(s_y.sum(axis=1), s_x.sum(axis=1)), rtol=0, atol=1e-12)


# -- types -------------------------------------------------------------------------------------------------------------


def test_float32_input_gives_what_its_float64_copy_gives() -> None:
    mesh = make_mesh((20, 20), 1.2, 15.0)
    values = np.random.default_rng(13).normal(100.0, 5.0, mesh.shape).astype(np.float32)
    values[3, 3], values[5, 5], values[7, 7] = np.nan, np.float32(3.4e38), np.inf
    single, double = project(values, mesh), project(values.astype(np.float64), mesh)
    assert single[0].tobytes() == double[0].tobytes()
    assert single[1].tobytes() == double[1].tobytes()


def test_far_from_the_origin() -> None:
    mesh = make_mesh((6, 6), 1.3, 17.0)
    values = np.random.default_rng(14).normal(size=mesh.shape)
    # A power of two that keeps 30 bits behind the point; corners are rounded to them first, so nothing else changes.
    x, y = np.round(mesh.x * 2**30) / 2**30, np.round(mesh.y * 2**30) / 2**30
    near = Mesh(x, y, mesh.shape_out)
    here = project(values, near)
    there = project(values, near.at(-(2.0**20), 2.0**20), first=(-(2**20), 2**20))
    assert here[0].tobytes() == there[0].tobytes()
    assert here[1].tobytes() == there[1].tobytes()


def mixtures() -> dict[str, Floats]:
    """Tiles of which large parts hold values that are no sky: memory never written, sentinels, saturation."""
    rng = np.random.default_rng(0)
    sky = rng.normal(100.0, 1.0, (64, 64))
    part = rng.random(sky.shape)
    columns = np.arange(64)
    signs = np.where(rng.random(sky.shape) < 0.5, 1e308, -1e308)
    lone = rng.poisson(0.3, sky.shape).astype(float)
    lone[3, 5] = 1e30
    return {
        "two sentinels": np.where(part < 0.4, 1e30, np.where(part > 0.6, -1e30, sky)),
        "spread": np.where(part < 0.6, rng.uniform(1e30, 2e30, sky.shape), sky),
        "strips": np.where(columns < 20, 1e30, np.where(columns < 40, -1e30, sky)),
        "memory": np.where(columns < 40, rng.uniform(0.0, 3e38, sky.shape), sky),
        "greatest": np.where(columns < 40, signs, sky),
        "counts": lone,
    }


@pytest.mark.parametrize("kind", mixtures())
def test_what_fills_half_a_tile_changes_no_pixel_that_it_does_not_touch(kind: str) -> None:
    """C3: beside the lists of `drops`, which add pixel by pixel."""
    values, mesh = mixtures()[kind], make_mesh((64, 64), 1.0, 17.0)
    flux, area = project(values, mesh)
    pixel, cell, part = list_square(np.ones(values.shape, bool), mesh.x, mesh.y, 1.0, 0, 0, mesh.shape_out)
    small = np.abs(values.ravel()[pixel]) < 1e6
    hit = np.bincount(cell[~small], minlength=flux.size).reshape(flux.shape) > 0
    expected = np.bincount(cell[small], values.ravel()[pixel[small]] * part[small], flux.size).reshape(flux.shape)
    alone = ~hit & (area > 1e-3)
    assert alone.sum() > 10
    np.testing.assert_allclose((flux[alone] / area[alone]), expected[alone] / area[alone], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mirror", [1.0, -1.0])
def test_a_first_pixel_without_area_does_not_turn_its_tile_over(mirror: float) -> None:
    x, y = np.meshgrid(mirror * np.arange(5.0), np.arange(4.0))
    x, y = x + (4.0 if mirror < 0 else 0.0), y.copy()
    x[:2, :2], y[:2, :2] = x[0, 0], y[0, 0]
    flux, area = np.zeros((6, 6)), np.zeros((6, 6))
    project_plane(np.ones((3, 4)), x, y, flux, area, 0, 0, 64)
    other = np.zeros((6, 6))
    project_plane(np.ones((3, 4)), 4.0 - x, y, flux, other, 0, 0, 64)
    assert area.sum() == pytest.approx(other.sum(), rel=1e-12)
    assert area.sum() > 10.0
