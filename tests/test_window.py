"""Window against sets of pixels."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import windows

from dmontage.window import Window, meeting


def pixels(window: Window) -> set[tuple[int, int]]:
    return {(y, x) for y in range(window.y0, window.y1) for x in range(window.x0, window.x1)}


@given(windows(12))
def test_shape_size_and_truth(window: Window) -> None:
    inside = pixels(window)
    assert window.size == len(inside)
    assert bool(window) == bool(inside)
    assert min(window.shape) >= 0
    assert window.shape == Window.of_shape(window.shape).shape


@given(windows(12), windows(12))
def test_intersection_is_that_of_the_pixel_sets(a: Window, b: Window) -> None:
    assert pixels(a & b) == pixels(a) & pixels(b)
    assert a & b == b & a
    if b in a:
        assert pixels(b) <= pixels(a)


def test_containment() -> None:
    whole = Window.of_shape((10, 20))
    assert Window(0, 10, 0, 20) in whole
    assert Window(2, 3, 4, 5) in whole
    for beyond in (Window(-1, 3, 0, 2), Window(0, 11, 0, 2), Window(0, 2, -1, 2), Window(0, 2, 0, 21)):
        assert beyond not in whole


@given(windows(12), st.integers(-30, 30), st.integers(-30, 30))
def test_shift_pad_and_relative(window: Window, dy: int, dx: int) -> None:
    assert pixels(window.shift(dy, dx)) == {(y + dy, x + dx) for y, x in pixels(window)}
    assert window.shift(dy, dx).shift(-dy, -dx) == window
    assert window.relative_to(window) == Window(0, window.y1 - window.y0, 0, window.x1 - window.x0)
    assert window.pad(3).pad(-3) == window
    if window:
        grown = {(y + j, x + i) for y, x in pixels(window) for j in (-2, 0, 2) for i in (-2, 0, 2)}
        assert grown <= pixels(window.pad(2))
        assert window.pad(2).shape == (window.shape[0] + 4, window.shape[1] + 4)


def test_slices_cut_the_pixels() -> None:
    image = np.arange(200).reshape(10, 20)
    window = Window(2, 5, 7, 11)
    np.testing.assert_array_equal(image[window.slices], image[2:5, 7:11])
    part = Window(3, 5, 8, 9)
    np.testing.assert_array_equal(image[window.slices][part.relative_to(window).slices], image[part.slices])


@given(windows(20), st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_blocks_tile_the_window_on_the_lattice(window: Window, block: tuple[int, int]) -> None:
    seen: list[tuple[int, int]] = []
    indices = []
    for (iy, ix), part in window.blocks(block):
        assert part
        assert part in Window(iy * block[0], (iy + 1) * block[0], ix * block[1], (ix + 1) * block[1])
        seen += sorted(pixels(part))
        indices.append((iy, ix))
    assert len(seen) == len(set(seen)), "blocks overlap"
    assert set(seen) == pixels(window)
    assert indices == sorted(set(indices)), "not in row order"


def test_a_value_hashes_compares_pickles_and_cannot_be_changed() -> None:
    window = Window(1, 2, 3, 4)
    assert pickle.loads(pickle.dumps(window)) == window
    assert len({window, Window(1, 2, 3, 4), Window(1, 2, 3, 5)}) == 2
    assert str(window) == "[1:2, 3:4]"
    with pytest.raises(AttributeError):
        window.y0 = 5  # type: ignore[misc]


@given(st.lists(st.integers(-50, 50), min_size=8, max_size=8), st.integers(1, 20))
def test_the_box_of_both_and_bands(sides: list[int], rows: int) -> None:
    (a, b, c, d), (e, f, g, h) = (sorted(sides[:2]) + sorted(sides[2:4]), sorted(sides[4:6]) + sorted(sides[6:]))
    one, other = Window(a, b, c, d), Window(e, f, g, h)
    both = one | other
    assert one in both and other in both and both == other | one
    assert both.y0 in (a, e) and both.y1 in (b, f) and both.x0 in (c, g) and both.x1 in (d, h)
    bands = list(both.bands(rows))
    assert [y for band in bands for y in range(band.y0, band.y1)] == list(range(both.y0, both.y1))
    assert all((band.x0, band.x1) == (both.x0, both.x1) and band.shape[0] <= rows for band in bands)


@given(st.lists(windows(12), max_size=12))
def test_meeting_windows_share_pixels(some: list[Window]) -> None:
    sets = [pixels(window) for window in some]
    expected = [(i, j) for i in range(len(some)) for j in range(i + 1, len(some)) if sets[i] & sets[j]]
    assert meeting(some) == expected


def test_the_window_around_marks() -> None:
    marked = np.zeros((5, 7), bool)
    assert not Window.around(marked)
    marked[1, 4] = marked[3, 2] = True
    assert Window.around(marked) == Window(1, 4, 2, 5)


def test_points_around_a_window() -> None:
    """Its corners from the first along x; more of a side lie evenly on it, each corner once."""
    window = Window(2, 5, 10, 18)
    assert [tuple(map(float, point)) for point in zip(*window.edge(), strict=True)] == [
        (9.5, 1.5), (17.5, 1.5), (17.5, 4.5), (9.5, 4.5)
    ]  # fmt: skip
    x, y = window.edge(4)
    assert len(x) == len(set(zip(x.tolist(), y.tolist(), strict=True))) == 16
    assert np.hypot(np.diff(x, append=x[0]), np.diff(y, append=y[0])).sum() == pytest.approx(2 * (8 + 3))
