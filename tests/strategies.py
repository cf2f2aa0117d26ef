"""Hypothesis strategies: windows, corner meshes, and images with all that detectors and archives put into them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from numpy.typing import NDArray

from dmontage.window import Window

Floats = NDArray[np.float64]

ANGLES = (0.0, 17.0, 45.0, 90.0, 180.0, 271.3)
OFFSETS = (0.0, 0.5, 0.25, 1.0 / 3.0)


class Mesh(NamedTuple):
    """Corners (ny + 1, nx + 1) of an image's pixels in output pixels, and an output that holds them all."""

    x: Floats
    y: Floats
    shape_out: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) of the image."""
        return self.x.shape[0] - 1, self.x.shape[1] - 1

    @property
    def areas(self) -> Floats:
        """Area of each pixel (ny, nx): half the cross product of its diagonals, in output pixels."""
        x, y = self.x, self.y
        one = (x[1:, 1:] - x[:-1, :-1]) * (y[1:, :-1] - y[:-1, 1:])
        two = (x[1:, :-1] - x[:-1, 1:]) * (y[1:, 1:] - y[:-1, :-1])
        return np.asarray(0.5 * np.abs(one - two))

    def at(self, dy: float, dx: float) -> Mesh:
        """The same corners moved."""
        return Mesh(self.x + dx, self.y + dy, self.shape_out)


def make_mesh(
    shape: tuple[int, int],
    ratio: float = 1.0,
    angle: float = 0.0,
    parity: int = 1,
    offset: tuple[float, float] = (0.0, 0.0),
    bend: float = 0.0,
) -> Mesh:
    """An affine mesh with a little quadratic distortion.

    ``ratio`` is the side of an input pixel in output pixels, ``angle`` its rotation in degrees (exact at right angles),
    ``parity`` −1 mirrors it, and ``bend`` is the distortion across the whole mesh as a part of its size. The lowest
    corner lies at one output pixel's edge plus ``offset`` (y, x).
    """
    ny, nx = shape
    v, u = np.mgrid[0 : ny + 1, 0 : nx + 1].astype(float)
    n = max(shape)
    u, v = u + bend * u * v / n, v - bend * u * u / n
    quarter = {0.0: (1.0, 0.0), 90.0: (0.0, 1.0), 180.0: (-1.0, 0.0), 270.0: (0.0, -1.0)}
    c, s = quarter.get(angle % 360.0, (math.cos(math.radians(angle)), math.sin(math.radians(angle))))
    x, y = ratio * (c * u - s * v) * parity, ratio * (s * u + c * v)
    x, y = x - x.min() + 0.5 + offset[1], y - y.min() + 0.5 + offset[0]
    return Mesh(x, y, (math.ceil(float(y.max())) + 2, math.ceil(float(x.max())) + 2))


@st.composite
def windows(draw: DrawFn, limit: int = 60) -> Window:
    """Windows near the origin, the empty and the inverted among them."""
    corner = st.integers(-limit, limit)
    return Window(draw(corner), draw(corner), draw(corner), draw(corner))


@st.composite
def corner_meshes(draw: DrawFn, max_side: int = 5, *, exact_angles: bool = False) -> Mesh:
    """Meshes of either parity, ratio 0.2 to 5, at any angle, with exact coincidences as often as not."""
    shape = draw(st.tuples(st.integers(1, max_side), st.integers(1, max_side)))
    ratio = draw(st.sampled_from([0.2, 1 / 3, 0.5, 1.0, 1.3, 1.5, 2.0, 5.0]) | st.floats(0.2, 5.0))
    angle = draw(st.sampled_from(ANGLES) if exact_angles else st.sampled_from(ANGLES) | st.floats(0.0, 360.0))
    offset = draw(st.tuples(*[st.sampled_from(OFFSETS) | st.floats(0.0, 1.0)] * 2))
    bend = draw(st.sampled_from([0.0, 0.0, 0.05, -0.1]))
    return make_mesh(shape, ratio, angle, draw(st.sampled_from([1, -1])), offset, bend)


BLANKS = (math.nan, math.inf, -math.inf)


def pixel_values(huge: bool = True) -> SearchStrategy[float]:
    """Sky, stars, blanks, and (``huge``) the numbers that broken pipelines leave behind."""
    ordinary = st.floats(-10.0, 10.0) | st.floats(1e3, 1e5)
    spoilt = st.sampled_from((*BLANKS, 1e30, -1e30, 3.4e38) if huge else BLANKS)
    return st.integers(0, 5).flatmap(lambda kind: spoilt if kind == 0 else ordinary)


@st.composite
def images(draw: DrawFn, shape: tuple[int, int], *, huge: bool = True) -> Floats:
    """Images of a shape."""
    n = shape[0] * shape[1]
    return np.array(draw(st.lists(pixel_values(huge), min_size=n, max_size=n))).reshape(shape)


@st.composite
def meshes_with_images(draw: DrawFn, max_side: int = 5, *, huge: bool = True) -> tuple[Mesh, Floats]:
    """A mesh and an image on it."""
    mesh = draw(corner_meshes(max_side))
    return mesh, draw(images(mesh.shape, huge=huge))
