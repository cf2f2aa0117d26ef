"""What meets what: sources of a window and windows of an image, against projecting everything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from projections import CODES, map_grid, places
from test_mapping import SIP, make

from dmontage.grid import Grid
from dmontage.kernels.sky import project_sky
from dmontage.mapping import Chain, apart, fit_mapping, reach, sky_sources, sky_windows
from dmontage.sphere import rotate_frame
from dmontage.window import Window

Floats = NDArray[np.float64]


def area_on(grid_in: Grid, grid_out: Grid, use: NDArray[np.bool_] | None = None) -> Floats:
    """Area of an image on the whole output, by the sky kernel with every corner of both grids."""
    sub_in, sub_out = 2, 2
    values = np.ones(grid_in.shape) if use is None else np.where(use, 1.0, np.nan)
    flux, area = np.zeros(grid_out.shape), np.zeros(grid_out.shape)
    corners = rotate_frame(grid_in.corners(grid_in.window, sub_in), grid_in.frame, grid_out.frame)
    project_sky(values, corners, grid_out.corners(grid_out.window, sub_out), flux, area, sub_in, sub_out)
    return area


def image_at(lon: float, lat: float, scale: float = 0.5, shape: tuple[int, int] = (40, 60), **cards: Any) -> Grid:
    """A tangent plane of coarse pixels, ``scale`` in degrees."""
    return make("TAN", lon, lat, shape, scale * 3600, **cards)


MAPS = ("AIT", "CAR", "MOL", "HPX", "TSC", "ZEA", "COE", "PCO", "XPH")


def sky_map(code: str, scale: float = 1.0) -> Grid:
    """The whole sky, with some room about it."""
    if code == "XPH":
        return make("XPH", 20.0, 90.0, (280, 280), scale * 3600)
    return map_grid(code, scale, (200, 400) if code not in ("ZEA", "COE") else (300, 300))


CENTRES = {"mid-map": (37.0, 35.0), "seam": (200.0, 30.0), "north": (20.0, 90.0), "south": (300.0, -89.0)}


@pytest.mark.parametrize("where", CENTRES)
@pytest.mark.parametrize("code", MAPS)
def test_windows_hold_every_pixel_that_gets_area(code: str, where: str) -> None:
    grid_in, grid_out = image_at(*CENTRES[where], CROTA2=20.0), sky_map(code)
    windows = sky_windows(grid_in, grid_out)
    seen = np.zeros(grid_out.shape, int)
    for window in windows:
        assert window and window in grid_out.window
        seen[window.slices] += 1
    assert seen.max() == 1, "windows overlap, and pixels would be counted twice"
    area = area_on(grid_in, grid_out)
    assert (seen[area > 0] == 1).all()
    assert area.sum() > 100


@pytest.mark.parametrize("code", ["CAR", "AIT", "MOL"])
def test_an_image_on_the_seam_has_two_windows(code: str) -> None:
    """Nothing of the map's middle is kept for it."""
    whole = map_grid(code, 0.5, (400, 760))
    windows = sky_windows(image_at(200.0, 5.0, shape=(20, 20)), whole)
    assert len(windows) == 2
    assert sum(window.size for window in windows) < 0.3 * whole.window.size


def test_a_block_off_the_sky_is_left_out() -> None:
    """The corners of an AIT map are no sky, whatever an image covers."""
    grid_out = make("AIT", 20.0, 0.0, (700, 1400), 1000.0)
    whole = make("CAR", 20.0, 0.0, (45, 90), 4 * 3600.0)
    (window,) = sky_windows(whole, grid_out)
    on_sky = np.isfinite(grid_out.corners(grid_out.window)).all(axis=-1)
    ys, xs = np.nonzero(on_sky)
    assert window.y0 >= ys.min() - 64 and window.x0 >= xs.min() - 64
    assert window.y1 <= ys.max() + 64 and window.x1 <= xs.max() + 64


@pytest.mark.parametrize("scale", [1e-3, 1e-9, 1e-12])
def test_small_pixels_are_told_apart(scale: float) -> None:
    """Down to micro-arcseconds: an image beside a window is not among its sources."""
    grid_out = make("TAN", 83.8, -5.4, (640, 640), scale * 3600)
    grid_in = make("TAN", 83.8, -5.4, (640, 640), scale * 3600, CROTA2=30.0)
    window = sky_sources(grid_in, grid_out, Window(300, 310, 300, 310))
    assert window is not None
    assert window.size <= 320**2
    assert Window(300, 310, 300, 310) in window
    assert sky_sources(grid_in, grid_out.subgrid(Window(0, 64, 0, 64)), Window(0, 8, 0, 8)) is None


@given(st.data())
@settings(max_examples=25)
def test_no_source_is_forgotten_on_the_sphere(data: st.DataObject) -> None:
    """Blank all that is named as a source of a window: nothing is left in it. Poles, seams, limbs; either way round."""
    code = data.draw(st.sampled_from(CODES))
    lon, lat = places(code)[data.draw(st.sampled_from(["mid-map", "seam", "pole"]))]
    image = image_at(lon, lat, data.draw(st.sampled_from([0.2, 1.0])), (90, 150), CROTA2=data.draw(st.floats(0, 360)))
    whole = map_grid(code, 2.0, (120, 200))
    grid_in, grid_out = (image, whole) if data.draw(st.booleans()) else (whole, image)
    ny, nx = grid_out.shape
    y0, x0 = data.draw(st.integers(0, ny - 1)), data.draw(st.integers(0, nx - 1))
    window = Window(y0, y0 + data.draw(st.integers(1, 60)), x0, x0 + data.draw(st.integers(1, 60))) & grid_out.window
    found = sky_sources(grid_in, grid_out, window)
    use = np.ones(grid_in.shape, bool)
    if found is not None:
        assert found in grid_in.window
        assert found.y0 % 64 == found.x0 % 64 == 0
        use[found.slices] = False
    assert not area_on(grid_in, grid_out, use)[window.slices].any()


@pytest.mark.parametrize("code", ["AIT", "CAR", "HPX"])
@pytest.mark.parametrize("where", ["seam", "north"])
def test_search_in_smaller_blocks_forgets_nothing(code: str, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In many rounds, as on grids of 10⁶ pixels a side: windows and sources hold what meets, and little else."""
    grid_in, grid_out = image_at(*CENTRES[where], CROTA2=20.0, shape=(10, 12)), map_grid(code, 0.5, (400, 760))
    once = sky_windows(grid_in, grid_out)
    monkeypatch.setattr(reach, "_MOST", 4)
    monkeypatch.setattr(reach, "_FINER", 4)
    windows, found = sky_windows(grid_in, grid_out), sky_sources(grid_out, grid_in, grid_in.window)
    area = area_on(grid_in, grid_out)
    assert area.any() and found is not None
    seen = np.zeros(grid_out.shape, int)
    for window in windows:
        seen[window.slices] += 1
    assert (seen[area > 0] == 1).all() and seen.max() == 1
    assert not area[np.setdiff1d(np.arange(area.shape[0]), np.arange(found.y0, found.y1))].any()
    assert not area[:, np.setdiff1d(np.arange(area.shape[1]), np.arange(found.x0, found.x1))].any()
    assert sum(window.size for window in windows) <= 1.5 * sum(window.size for window in once)


def test_windows_on_a_fine_map_of_the_sky_are_small() -> None:
    """C4: 512×512 pixels of 1" on the seam of 648,000 × 1,296,000: two windows about the image's corners."""
    grid_out = make("CAR", 20.0, 0.0, (648_000, 1_296_000), 1.0)
    grid_in = make("TAN", 200.0, 30.0, (512, 512), 1.0, CROTA2=20.0)
    windows = sky_windows(grid_in, grid_out)
    assert len(windows) == 2
    assert sum(window.size for window in windows) < 4 * grid_in.window.size
    y, x = np.mgrid[0:513:4, 0:513:4] - 0.5
    pixels = np.floor(Chain(grid_in, grid_out)(x, y).reshape(-1, 2) + 0.5)
    for px, py in pixels:
        assert any(w.x0 <= px < w.x1 and w.y0 <= py < w.y1 for w in windows)


def test_sources_in_a_fine_map_of_the_sky_are_few() -> None:
    grid_in = make("CAR", 20.0, 0.0, (648_000, 1_296_000), 1.0)
    grid_out, window = make("TAN", 60.0, 30.0, (512, 512), 1.0, CROTA2=20.0), Window(100, 356, 50, 306)
    found = sky_sources(grid_in, grid_out, window)
    assert found is not None and found.size < 6 * window.size
    y, x = np.mgrid[100:357:4, 50:307:4] - 0.5
    px, py = np.moveaxis(Chain(grid_out, grid_in)(x, y), -1, 0)
    assert (px >= found.x0 - 0.5).all() and (px <= found.x1 - 0.5).all()
    assert (py >= found.y0 - 0.5).all() and (py <= found.y1 - 0.5).all()


def test_a_window_off_the_grid_has_no_sources() -> None:
    grid = make()
    assert sky_sources(grid, grid, Window(-50, -10, 0, 10)) is None
    assert sky_sources(grid, grid, Window(0, 10, 400, 500)) is None


@pytest.mark.parametrize("lat", [-5.4, 89.9])
def test_grids_with_no_sky_in_common_are_apart(lat: float) -> None:
    image = make(lat=lat, CROTA2=10.0)
    assert apart(Chain(image, make(lat=lat - 1.0)))
    assert apart(Chain(image, make(lat=-lat)))
    assert not apart(Chain(image, make(lat=lat - 0.08)))  # 288 of 300 pixels away
    assert not apart(Chain(image, map_grid("AIT", 1.0, (200, 400))))


boxes = st.builds(
    lambda y, x, ny, nx: Window(y, y + ny, x, x + nx),
    st.integers(0, 40), st.integers(0, 40), st.integers(1, 12), st.integers(1, 12),
)  # fmt: skip


@given(st.lists(boxes, max_size=12))
def test_joined_boxes_are_disjoint_and_hold_all(found: list[Window]) -> None:
    joined = reach._disjoint(found)
    assert joined == sorted(joined)
    assert all(not a & b for k, a in enumerate(joined) for b in joined[:k])
    assert all(any(box in whole for whole in joined) for box in found)


# -- sources on the plane ----------------------------------------------------------------------------------------------

PAIRS = [
    (make("TAN-SIP", CROTA2=33.0, shape=(130, 170), **SIP), make("SIN", shape=(150, 160), scale=1.3)),
    (make("ARC", shape=(64, 65), scale=5.0, CROTA2=200.0), make("SIN", shape=(500, 400), scale=1.3)),
    (make(shape=(100, 1), CROTA2=10.0), make(shape=(90, 90))),
    (make("TAN", shape=(200, 200)), make("TAN", shape=(180, 190), CRPIX1=130.5, CRPIX2=77.5)),
]


@pytest.mark.parametrize("tile", [1, 7, 64])
@pytest.mark.parametrize(("grid_in", "grid_out"), PAIRS, ids=["sip", "coarse", "column", "shift"])
def test_sources_hold_every_pixel_that_reaches_a_window(grid_in: Grid, grid_out: Grid, tile: int) -> None:
    """By the corners of each pixel; and a tile that is far off is none of them."""
    mapping = fit_mapping(grid_in, grid_out)
    rng = np.random.default_rng(tile)
    for patch in mapping.patches:
        x, y = patch.corners(patch.window)
        corners = [np.stack([a[:-1, :-1], a[:-1, 1:], a[1:, :-1], a[1:, 1:]]) for a in (x, y)]
        lo_x, lo_y = (a.min(axis=0) for a in corners)
        hi_x, hi_y = (a.max(axis=0) for a in corners)
        room = tile * float(max((hi_x - lo_x).max(), (hi_y - lo_y).max())) * 1.5 + 1
        for _ in range(20):
            y0, x0 = rng.integers(-20, grid_out.shape[0]), rng.integers(-20, grid_out.shape[1])
            window = Window(int(y0), int(y0) + int(rng.integers(1, 60)), int(x0), int(x0) + int(rng.integers(1, 60)))
            found = patch.sources(window, tile)

            def reaching(
                by: float, window: Window = window, boxes: tuple[Floats, ...] = (lo_x, hi_x, lo_y, hi_y)
            ) -> NDArray[np.bool_]:
                x_lo, x_hi, y_lo, y_hi = boxes
                across = (x_hi > window.x0 - 0.5 - by) & (x_lo < window.x1 - 0.5 + by)
                return np.asarray(across & (y_hi > window.y0 - 0.5 - by) & (y_lo < window.y1 - 0.5 + by))

            if found is None:
                assert not reaching(0.0).any()
                continue
            assert found in patch.window
            assert found.y0 % tile == found.x0 % tile == 0
            outside = np.ones(grid_in.shape, bool)
            outside[found.slices] = False
            assert not reaching(0.0)[outside].any()
            ys, xs = np.nonzero(reaching(room))
            near = Window(int(ys.min()), int(ys.max()) + 1, int(xs.min()), int(xs.max()) + 1)
            assert found in near.pad(tile)
