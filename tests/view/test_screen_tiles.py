"""Tiles of a view: which pixels a screen needs, at which step, put together against slices of one picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmontage.view.shrink import shrink
from dmontage.view.tiles import SIDE, Kept, Key, view_of
from dmontage.window import Window

WHOLE = Window.of_shape((3000, 2000))
LIMIT = st.floats(-1000, 4000, allow_nan=False)


@given(st.tuples(LIMIT, LIMIT), st.tuples(LIMIT, LIMIT), st.floats(1, 3000), st.floats(1, 3000))
def test_a_view_holds_all_that_is_in_it(
    xlim: tuple[float, float], ylim: tuple[float, float], width: float, height: float
) -> None:
    view = view_of(WHOLE, xlim, ylim, (width, height))
    (x0, x1), (y0, y1) = sorted(xlim), sorted(ylim)
    inside = (max(x0, -0.5), min(x1, 1999.5)), (max(y0, -0.5), min(y1, 2999.5))
    if any(low >= high for low, high in inside):
        assert view is None or not all(low < high for low, high in inside)
        return
    assert view is not None
    window, step = view
    assert step & (step - 1) == 0
    # A pixel of the screen has one square of its own at least, and below two each way.
    ratio = max((x1 - x0) / width, (y1 - y0) / height)
    assert step <= max(ratio, 1.0) and (step > ratio / 2 or ratio < 1)
    (left, right), (bottom, top) = inside
    assert window.x0 - 0.5 <= left and right <= window.x1 - 0.5
    assert window.y0 - 0.5 <= bottom and top <= window.y1 - 0.5
    # No more than whole squares about it, on the lattice of the mosaic's first pixel.
    assert window.x0 % step == 0 and window.y0 % step == 0 and window in WHOLE
    assert window.x1 % step == 0 or window.x1 == 2000
    assert left - (window.x0 - 0.5) < step + 1e-9 and (window.y1 - 0.5) - top < step + 1e-9


@pytest.mark.parametrize(
    "window", [Window(0, 3000, 0, 2000), Window(512, 1032, 8, 1000), Window(2992, 3000, 1600, 2000)]
)
@pytest.mark.parametrize("step", [1, 2, 8])
def test_tiles_make_the_picture(window: Window, step: int) -> None:
    data = np.random.default_rng(0).standard_normal(WHOLE.shape).astype(np.float32)
    limits = [(a - 0.5, b - 0.5) for a, b in ((window.x0, window.x1), (window.y0, window.y1))]
    sizes = [(high - low) / step for low, high in limits]
    view = view_of(WHOLE, limits[0], limits[1], (sizes[0], sizes[1]))
    assert view is not None and view.window == window and view.step == step
    tiles = {key: shrink(data[key.window(WHOLE).slices], step).astype(np.float32) for key in view.keys}
    assert all(max(tile.shape) <= SIDE for tile in tiles.values())
    np.testing.assert_allclose(view.assembled(tiles.get), shrink(data[window.slices], step), rtol=1e-6)
    one = view.keys[0]
    only = view.assembled(lambda key: tiles[key] if key == one else None)
    assert np.isfinite(only).sum() == np.isfinite(view.assembled({one: tiles[one]}.get)).sum() > 0


def test_the_middle_comes_first() -> None:
    view = view_of(WHOLE, (-0.5, 1999.5), (-0.5, 2999.5), (2000, 3000))
    assert view is not None and view.step == 1
    x, y = ((view.keys[0].ix + 0.5) * SIDE, (view.keys[0].iy + 0.5) * SIDE)
    assert abs(x - 1000) <= SIDE / 2 and abs(y - 1500) <= SIDE / 2
    assert len(view.keys) == len(set(view.keys)) == 8 * 12


def test_what_is_used_is_kept() -> None:
    kept = Kept(2)
    a, b, c = (Key(1, 0, k) for k in range(3))
    for key in (a, b):
        kept.put(key, np.full((1, 1), key.ix, np.float32))
    assert kept.get(a) is not None
    kept.put(c, np.zeros((1, 1), np.float32))
    assert kept.get(b) is None and kept.get(a) is not None and kept.get(c) is not None
