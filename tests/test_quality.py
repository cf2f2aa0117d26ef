"""What of an image counts: borders, polygons, masks, weights and variances, each pixel by the definition."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dmontage.errors import InputError
from dmontage.quality import Quality, apply
from dmontage.window import Window

SHAPE = (12, 17)
WHOLE = Window.of_shape(SHAPE)
VALUES = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


def left_out(quality: Quality, window: Window = WHOLE, **layers: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels of a window that are blanked; the others must be what they were, to the bit."""
    cut = {name: layer[window.slices] for name, layer in layers.items()}
    values, _, _ = apply(VALUES[window.slices], window, SHAPE, quality, **cut)
    bad = np.asarray(np.isnan(values))
    assert values.dtype == VALUES.dtype
    np.testing.assert_array_equal(values[~bad], VALUES[window.slices][~bad])
    return bad


@given(st.integers(0, 20) | st.tuples(*[st.integers(0, 20)] * 4))
def test_a_border_goes_on_all_four_sides(border: int | tuple[int, int, int, int]) -> None:
    """C9: pixel by pixel by the definition, sides that meet included."""
    left, right, bottom, top = (border,) * 4 if isinstance(border, int) else border
    bad = left_out(Quality(border=border))
    for j, i in np.ndindex(SHAPE):
        assert bad[j, i] == (i < left or SHAPE[1] - 1 - i < right or j < bottom or SHAPE[0] - 1 - j < top)


corner = st.tuples(st.integers(-8, 40), st.integers(-8, 30)).map(lambda v: (v[0] / 2, v[1] / 2))


def crossings(polygon: list[tuple[float, float]], x: int, y: int) -> int:
    """Edges that a ray towards larger x meets, in fractions; an edge holds its lower end and not its upper one."""
    n = 0
    for (xa, ya), (xb, yb) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if (ya <= y) != (yb <= y):
            at = Fraction(xa) + (Fraction(y) - Fraction(ya)) * (Fraction(xb) - Fraction(xa)) / (
                Fraction(yb) - Fraction(ya)
            )
            n += x < at
    return n


@given(st.lists(corner, min_size=3, max_size=6), st.integers(-3, 3))
def test_inside_of_polygons_is_left_out(polygon: list[tuple[float, float]], shift: int) -> None:
    """Even-odd by exact crossings, vertices and edges on pixel centres and crossing polygons included."""
    moved = [(x + shift, y - shift) for x, y in polygon]
    bad = left_out(Quality(polygons=[moved]))
    for j, i in np.ndindex(SHAPE):
        exact = [crossings(moved, i, j) % 2]
        for (xa, ya), (xb, yb) in zip(moved, moved[1:] + moved[:1], strict=True):
            # Where rounding may choose the side: a centre that lies on a slanted edge.
            on = (Fraction(xb) - Fraction(xa)) * (j - Fraction(ya)) == (Fraction(yb) - Fraction(ya)) * (
                i - Fraction(xa)
            )
            if on and ya != yb and xa != xb:
                exact.append(1 - exact[0])
        assert bad[j, i] in exact


def test_a_box_holds_the_centres_on_its_left_and_lower_edge() -> None:
    bad = left_out(Quality(polygons=[[(3, 2), (7, 2), (7, 5), (3, 5)]]))
    np.testing.assert_array_equal(np.argwhere(bad)[[0, -1]], [[2, 3], [4, 6]])
    assert bad.sum() == 4 * 3


def test_two_polygons_that_share_an_edge_leave_no_gap_and_no_double() -> None:
    a, b = [(1.0, 1.0), (9.0, 1.0), (5.0, 10.0)], [(9.0, 1.0), (14.0, 9.0), (5.0, 10.0)]
    one, other = left_out(Quality(polygons=[a])), left_out(Quality(polygons=[b]))
    assert not (one & other).any()
    np.testing.assert_array_equal(left_out(Quality(polygons=[a, b])), one | other)
    np.testing.assert_array_equal(left_out(Quality(polygons=[[a[0], b[0], b[1], b[2]]])), one | other)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
def test_bits_that_do_no_harm(dtype: type) -> None:
    """A value is good when no bit but the good ones is set; without bits any value but 0 is bad."""
    mask: NDArray[Any] = np.random.default_rng(1).integers(0, 16, SHAPE).astype(dtype)
    for bits in (0, 1, 4, 6, 15, 2**20):
        wanted = [any(int(v) >> k & 1 and not bits >> k & 1 for k in range(8)) for v in mask.ravel()]
        np.testing.assert_array_equal(left_out(Quality(good_bits=bits), mask=mask).ravel(), wanted)
    np.testing.assert_array_equal(left_out(Quality(), mask=mask), mask != 0)


@pytest.mark.parametrize("dtype", ["i2", ">i4", "i8", "u1", ">u2", "u8"])
def test_every_bit_of_integers_counts(dtype: str) -> None:
    """One bad bit beside one good, the last but one of the mask's own; the sign is bad whatever is good."""
    n = 8 * np.dtype(dtype).itemsize
    high, bits = 1 << (n - 2), np.arange(n, dtype="u8")
    mask = ((np.uint64(1) << bits) | np.uint64(high)).astype(dtype)[None]
    bad, _, _ = apply(np.ones((1, n)), Window(0, 1, 0, n), (1, n), Quality(good_bits=high), mask=mask)
    np.testing.assert_array_equal(np.isnan(bad[0]), bits != n - 2)


def test_masks_that_say_nothing_sensible_are_bad() -> None:
    """NaN, fractions and negative values; a boolean mask is True where bad."""
    mask = np.zeros(SHAPE)
    mask[0, :4] = np.nan, 0.5, -1, np.inf
    for quality in (Quality(), Quality(good_bits=0), Quality(good_bits=7)):
        np.testing.assert_array_equal(np.argwhere(left_out(quality, mask=mask)), [[0, 0], [0, 1], [0, 2], [0, 3]])
    flags = np.zeros(SHAPE, bool)
    flags[3, 4] = True
    np.testing.assert_array_equal(left_out(Quality(good_bits=7), mask=flags), flags)


def test_weights_and_variances_that_are_none() -> None:
    """C7: zero, negative, below the threshold, NaN and infinite weights; negative and non-finite variances."""
    weights, variance = np.ones(SHAPE), np.ones(SHAPE)
    weights[0, :6] = 0, -1, 0.0999, np.nan, np.inf, 0.1
    variance[1, :5] = -1e-30, np.nan, np.inf, 0, 1e30
    bad = left_out(Quality(min_weight=0.1), weights=weights, variance=variance)
    assert {tuple(at) for at in np.argwhere(bad)} == {(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (1, 0), (1, 1), (1, 2)}
    np.testing.assert_array_equal(left_out(Quality(), weights=weights)[0, :6], [1, 1, 0, 1, 1, 0])


@given(st.integers(0, 11), st.integers(0, 11), st.integers(0, 16), st.integers(0, 16))
def test_no_pixel_depends_on_the_window(y0: int, y1: int, x0: int, x1: int) -> None:
    """C24."""
    rng = np.random.default_rng(2)
    window = Window(min(y0, y1), max(y0, y1) + 1, min(x0, x1), max(x0, x1) + 1)
    quality = Quality((1, 0, 2, 3), [[(2.2, 1.1), (11.3, 4.0), (6.0, 11.7)]], good_bits=2, min_weight=0.2)
    layers: dict[str, NDArray[Any]] = {
        "weights": rng.uniform(-0.1, 1, SHAPE), "mask": rng.integers(0, 4, SHAPE), "variance": rng.normal(1, 1, SHAPE),
    }  # fmt: skip
    np.testing.assert_array_equal(
        left_out(quality, window, **layers), left_out(quality, WHOLE, **layers)[window.slices]
    )


def test_planes_of_a_cube_share_a_mask_or_have_their_own() -> None:
    cube = np.ones((2, 3, *SHAPE))
    mask = np.zeros(SHAPE, int)
    mask[4, 5] = 1
    values, _, _ = apply(cube, WHOLE, SHAPE, Quality(), mask=mask)
    assert np.isnan(values).sum() == 6 and np.isnan(values[..., 4, 5]).all()
    own = np.zeros(cube.shape, int)
    own[1, 2, 4, 5] = 1
    values, _, _ = apply(cube, WHOLE, SHAPE, Quality(), mask=own)
    assert np.argwhere(np.isnan(values)).tolist() == [[1, 2, 4, 5]]


def test_nothing_is_copied_where_nothing_changes() -> None:
    weights = np.ones(SHAPE)
    values, same, variance = apply(VALUES, WHOLE, SHAPE, Quality(), weights=weights, mask=np.zeros(SHAPE, int))
    assert values is VALUES and same is weights and variance is None
    before = VALUES.copy()
    assert apply(VALUES, WHOLE, SHAPE, Quality(border=1))[0] is not VALUES
    np.testing.assert_array_equal(VALUES, before)


def test_a_quality_survives_json() -> None:
    quality = Quality(3, [[(0.5, 1), (2, 3), (4, 0.1)]], 7, 0.25)
    assert Quality(**json.loads(json.dumps(quality.to_dict()))) == quality
    assert hash(quality) == hash(Quality((3, 3, 3, 3), (((0.5, 1.0), (2.0, 3.0), (4.0, 0.1)),), 7, 0.25))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"border": -1}, "negative"),
        ({"border": 1.5}, "neither a whole number nor four"),
        ({"border": (1, 2)}, "neither a whole number nor four"),
        ({"border": "five"}, "neither a whole number nor four"),
        ({"polygons": [[(1, 2), (3, 4)]]}, "three vertices or more"),
        ({"polygons": [[(1, 2), (3, 4), (np.nan, 1)]]}, "three vertices or more"),
        ({"polygons": [[1, 2, 3]]}, "no list of"),
        ({"good_bits": -2}, "no sum of bits"),
        ({"good_bits": 1.5}, "no sum of bits"),
        ({"min_weight": -0.1}, "min_weight -0.1"),
        ({"min_weight": np.nan}, "min_weight nan"),
    ],
)
def test_what_cannot_be_is_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Quality(**options)  # type: ignore[arg-type]
