"""Every FITS projection as output and as input: in mid-map, on its seam, at a pole, on aligned grids (C2, C11, C13)."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from dask.base import compute
from numpy.typing import NDArray
from projections import CODES, map_grid, places

import dmontage as dm
from dmontage.grid import Grid
from dmontage.mapping import fit_mapping
from dmontage.sphere import unit_vectors

Floats = NDArray[np.float64]

COARSE = 1.0
"""Tolerance at which a coarse pixel is the polygon through its four corners, as in the sums below."""

NONE_INSIDE = {
    "mid-map": (),
    "seam": ("TAN", "AZP", "SZP", "SIN", "AIR", "STG", "ZPN", "BON"),
    "pole": ("TAN", "AZP", "SZP", "SIN", "AIR", "STG", "ZPN", "CYP", "MER", "CEA"),
}
"""Maps whose limb is there, or whose pixels are too large there to lie within 14°."""


def convex(grid: Grid) -> NDArray[np.bool_]:
    """Pixels whose corners turn one way: at a limb some quadrilaterals cross themselves."""
    c = grid.corners(grid.window)
    a, b, d, e = c[:-1, :-1], c[:-1, 1:], c[1:, 1:], c[1:, :-1]
    turns = [(p * np.cross(q, r)).sum(-1) for p, q, r in ((a, b, d), (b, d, e), (d, e, a), (e, a, b))]
    return np.asarray((np.min(turns, axis=0) >= 0) | (np.max(turns, axis=0) <= 0))


def projected(values: Floats, grid_in: Grid, grid_out: Grid, method: str = "sky") -> tuple[Floats, Floats]:
    """Mean and area."""
    lazy = dm.project((values, grid_in), grid_out, method=method, tol=COARSE)
    return compute(*lazy, scheduler="synchronous")  # type: ignore[no-any-return]


def inside(grid_out: Grid, grid_in: Grid) -> NDArray[np.bool_]:
    """Pixels of ``grid_out`` whose corners all lie within a TAN grid, which is convex on the sphere."""
    corners = grid_out.corners(grid_out.window)
    x, y = grid_in.pixel(corners)
    ny, nx = grid_in.shape
    ok = (x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5)
    return np.asarray(ok[:-1, :-1] & ok[:-1, 1:] & ok[1:, :-1] & ok[1:, 1:])


def omega(grid: Grid) -> Floats:
    return grid.solid_angle(grid.window)


@pytest.mark.parametrize("where", ["mid-map", "seam", "pole"])
@pytest.mark.parametrize("code", CODES)
def test_a_covered_pixel_of_every_map_has_area_1(code: str, where: str) -> None:
    """C2, C13: a 28° image laid on the whole map covers what lies within it, and covers nothing twice."""
    lon, lat = places(code)[where]
    image = Grid.around(f"{lon} {lat}", shape=(28, 28), scale="1 deg")
    whole = map_grid(code, 4.0, (50, 90))
    mean, area = projected(np.full(image.shape, 3.5), image, whole)
    full = inside(whole, image) & np.isfinite(omega(whole))
    assert full.sum() >= (5 if code not in NONE_INSIDE[where] else 0)
    np.testing.assert_allclose(area[full], 1.0, atol=1e-9)
    assert area.max() <= 1.0 + 1e-9
    np.testing.assert_allclose(mean[area > 0], 3.5, rtol=1e-12)


@pytest.mark.parametrize("code", CODES)
def test_the_whole_map_as_an_image_closes(code: str) -> None:
    """C1, C13: from limb to limb, poles and seam included, onto all of the sky; values carry their flux."""
    image = map_grid(code, 4.0, (50, 90))
    sky = map_grid("CAR", 3.0, (60, 120))
    values = np.where(convex(image), np.random.default_rng(1).uniform(1.0, 2.0, image.shape), np.nan)
    mean, area = projected(values, image, sky)
    size_in, size_out = omega(image), omega(sky)
    assert np.isfinite(size_out).all()
    assert size_out.sum() == pytest.approx(4 * np.pi, rel=1e-3)  # great circles under-run the parallels
    known = np.isfinite(size_in) & np.isfinite(values)
    assert known.sum() >= 600
    assert (area * size_out).sum() == pytest.approx(size_in[known].sum(), rel=1e-9)
    assert np.nansum(mean * area * size_out) == pytest.approx((values * size_in)[known].sum(), rel=1e-9)


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.3, 1.5, 3.0])
@pytest.mark.parametrize("code", CODES)
def test_aligned_grids_close(code: str, ratio: float) -> None:
    """C4, C13: edges that coincide, or nearly so, neither open nor overlap; the same projection twice."""
    image = map_grid(code, 1.0, (24, 24))
    side = int(np.ceil(24 / ratio)) + 4
    for shift in (0.0, 1e-9):
        grid = map_grid(code, ratio, (side, side), (shift, -shift))
        values = np.random.default_rng(2).uniform(1.0, 2.0, image.shape)
        mean, area = projected(values, image, grid)
        size_in, size_out = omega(image), omega(grid)
        assert np.isfinite(size_in).all()
        assert np.nansum(area * size_out) == pytest.approx(size_in.sum(), rel=1e-9)
        assert np.nansum(mean * area * size_out) == pytest.approx((values * size_in).sum(), rel=1e-9)


def centroid(values: Floats, grid: Grid) -> Floats:
    """Unit vector of the flux-weighted middle."""
    ny, nx = grid.shape
    x, y = np.meshgrid(np.arange(float(nx)), np.arange(float(ny)))
    weight = values * omega(grid)
    middle = np.nansum(weight[..., None] * grid.sky(x, y), axis=(0, 1))
    return np.asarray(middle / np.linalg.norm(middle))


def check_centroid(code_in: str, code_out: str) -> None:
    """A Gaussian laid on a map by its WCS stays where the WCS puts it.

    The image is three times finer than the grid, and the Gaussian 11 of the grid's pixels wide (FWHM, of the longer
    side there): else the beat of the two lattices shows in the middles of pixels, however exact the overlaps.
    """
    lon, lat = places("CAR")["mid-map"]
    truth = unit_vectors(np.radians(lon), np.radians(lat))
    grids = []
    for code, scale, side in ((code_in, 0.0037, 440), (code_out, 0.013, 70)):
        x, y = map_grid(code, scale, (side, side)).pixel(truth)
        shift = side / 2 - 0.7 - float(x), side / 2 + 0.1 - float(y)
        grids.append(map_grid(code, scale, (side, side), shift))
    image, grid = grids
    corners = grid.corners(grid.window)
    widest = max(float(np.linalg.norm(np.diff(corners, axis=k), axis=-1).max()) for k in (0, 1))
    sky = image.sky(*np.meshgrid(np.arange(440.0), np.arange(440.0)))
    distance = np.linalg.norm(sky - truth, axis=-1)
    values = np.exp(-0.5 * (distance / (11 / 2.3548 * widest)) ** 2)
    lazy = dm.project((values, image), grid)
    mean, area = compute(*lazy, scheduler="synchronous")
    offset = float(np.linalg.norm(centroid(np.nan_to_num(mean) * area, grid) - truth)) / grid.scale
    assert offset < 1e-3, (code_in, code_out, offset)


@pytest.mark.parametrize("code", CODES)
def test_a_gaussian_stays_in_its_place(code: str) -> None:
    """C11, sampled: to and from every projection."""
    check_centroid(code, "TAN")
    check_centroid("AIT", code)


@pytest.mark.slow
@pytest.mark.parametrize("code", CODES)
def test_a_gaussian_stays_in_its_place_for_all_pairs(code: str) -> None:
    """C11: every pair."""
    for other in CODES:
        check_centroid(code, other)


@pytest.mark.parametrize(
    ("code_in", "code_out"), [*itertools.product(("TAN", "CAR", "ZEA", "HPX"), ("SIN", "AIT", "TSC"))]
)
def test_kernels_agree_within_the_bound(code_in: str, code_out: str) -> None:
    """C14: both kernels, where both apply."""
    lon, lat = places("CAR")["mid-map"]
    truth = unit_vectors(np.radians(lon), np.radians(lat))
    grids = []
    for code, scale in ((code_in, 0.0011), (code_out, 0.0013)):
        x, y = map_grid(code, scale, (80, 80)).pixel(truth)
        grids.append(map_grid(code, scale, (80, 80), (39.5 - float(x), 39.5 - float(y))))
    values = np.random.default_rng(3).uniform(0.0, 1.0, (80, 80))
    mapping = fit_mapping(grids[0], grids[1])
    bound = mapping.bound + mapping.rounding
    assert bound < 1e-4
    (mean_p, area_p), (mean_s, area_s) = (
        compute(*dm.project((values, grids[0]), grids[1], method=method, tol=1e-4), scheduler="synchronous")
        for method in ("plane", "sky")
    )
    # An edge that is off by the bound moves that much of each side's area; a pixel has up to 8 pieces of edge in it.
    assert np.abs(area_p - area_s).max() < 8 * bound
    both = (area_p > 0.5) & (area_s > 0.5)
    assert np.abs(mean_p - mean_s)[both].max() < 16 * bound
