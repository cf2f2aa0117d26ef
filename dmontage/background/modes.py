"""The largest scales: what the overlaps hardly constrain, named and sized (level 3).

A common level and, nearly, a common gradient are beyond what differences can tell. What is left is C' = Q C Q, where C
is the covariance of the corrections at the images' middles and Q takes one plane over all of them out. Its trace is the
mean square of the background's error; its largest eigenvectors are the waves in which that error comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from dmontage.background.solution import Solution
    from dmontage.background.tables import Floats, Ints

__all__ = ["LargeScale", "Mode", "error_beyond_a_plane", "large_scale"]

_DENSE = 300
"""Images up to which the covariance is written out; larger ones are met by Lanczos's iteration."""
_N_MODES = 5
_FLAT = 0.05
"""Spread of the middles, in parts of the longest, below which they lie in one row."""
_ALIKE = 0.5
"""Correlation from which on a mode has the name of a shape."""
_MIN_IMAGES = 4
"""Three levels are a plane: nothing is left of them."""


class Mode(NamedTuple):
    """A wave in which the background's error comes."""

    name: str
    """The shape that it resembles most."""
    rms: float
    """Standard deviation of its amplitude: its root mean square over the images."""
    share: float
    """Of the mean square error beyond a plane."""


class LargeScale(NamedTuple):
    """Errors of the corrections of the largest connected group, at the images' middles, in the pixels' unit."""

    n_images: int
    rms: float
    """Root mean square over the images, a common plane taken out."""
    gradient: tuple[float, float]
    """Standard deviation of the common gradient: of the change of the background across the group in x, and in y; NaN
    where the images lie in one row across that direction."""
    modes: tuple[Mode, ...]
    """The largest, falling."""


class _Group(NamedTuple):
    """The largest connected group."""

    images: Ints
    scaled: Floats
    """(k, 2) the images' middles, from -1 to 1 over what the group covers."""
    basis: Floats
    """(k, 1 to 3) an orthonormal basis of planes over the middles: images in one row know no slope across it."""

    @classmethod
    def of(cls, solution: Solution) -> _Group:
        paired = np.ones(len(solution.parameters), bool)
        paired[list(solution.unpaired)] = False
        sizes = np.bincount(solution.components[paired], minlength=1)
        images = np.flatnonzero(paired & (solution.components == sizes.argmax()))
        if not images.size:
            return cls(images, np.zeros((0, 2)), np.zeros((0, 3)))
        xy = solution.centres[images]
        extent = np.ptp(xy, axis=0) + 2 * np.median(solution.frames[images, 2])
        scaled = 2 * (xy - xy.mean(axis=0)) / extent
        vectors, values, _ = np.linalg.svd(np.column_stack([np.ones(len(images)), scaled]), full_matrices=False)
        return cls(images, scaled, vectors[:, values > _FLAT * values[0]])


def error_beyond_a_plane(solution: Solution) -> float:
    """Root mean square error of the levels at the images' middles, once a common plane is taken out."""
    return _beyond_a_plane(solution, _Group.of(solution))


def _beyond_a_plane(solution: Solution, group: _Group) -> float:
    images = group.images
    if len(images) < _MIN_IMAGES:
        return 0.0
    common = solution.variance(_at_levels(group.basis.T, images, len(solution.parameters)))
    return float(np.sqrt(max(0.0, solution.covariances[images, 0, 0].sum() - common.sum()) / len(images)))


def large_scale(solution: Solution) -> LargeScale:
    """What the overlaps hardly constrain in a direct solution."""
    group = _Group.of(solution)
    images, scaled = group.images, group.scaled
    if not images.size:
        return LargeScale(0, 0.0, (0.0, 0.0), ())
    plane = np.column_stack([np.ones(len(images)), scaled])
    fit = np.linalg.pinv(plane, rcond=_FLAT)
    slopes = solution.variance(_at_levels(fit[1:], images, len(solution.parameters)))
    told = np.abs(np.diag(fit @ plane)[1:] - 1) < _FLAT
    gradient = tuple(np.where(told, 2 * np.sqrt(np.maximum(slopes, 0)), np.nan).tolist())
    rms = _beyond_a_plane(solution, group)
    if not rms:
        return LargeScale(len(images), rms, gradient, ())
    values, vectors = _leading(solution, images, group.basis)
    squares = len(images) * rms**2
    modes = [
        Mode(_name(vector, scaled, group.basis), float(np.sqrt(value / len(images))), float(value / squares))
        for value, vector in zip(values, vectors.T, strict=True)
        if value > 0
    ]
    return LargeScale(len(images), rms, gradient, tuple(modes))


def _at_levels(values: Floats, images: Ints, n: int) -> Any:
    """(k, 3n) sparse functionals of the levels of some images, from (k, len(images))."""
    from scipy.sparse import csr_array

    rows, columns = np.indices(values.shape)
    return csr_array((values.ravel(), (rows.ravel(), 3 * images[columns.ravel()])), shape=(len(values), 3 * n))


def _leading(solution: Solution, images: Ints, basis: Floats) -> tuple[Floats, Floats]:
    """Largest eigenvalues of Q C Q, falling, and their vectors (n, k)."""
    normal, n = solution.known, len(solution.parameters)

    def without_plane(v: Floats) -> Floats:
        return np.asarray(v - basis @ (basis.T @ v))

    if len(images) <= _DENSE:
        q, z = normal.functionals(_at_levels(np.eye(len(images)), images, n))
        covariance = without_plane(without_plane(q.T @ z / normal.weight).T)
        values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
        return values[: -_N_MODES - 1 : -1], vectors[:, : -_N_MODES - 1 : -1]
    from scipy.sparse.linalg import LinearOperator, eigsh

    def apply(v: Floats) -> Floats:
        levels = np.zeros((3 * n, 1))
        levels[3 * images, 0] = without_plane(v.ravel())
        return without_plane(normal.covariance_times(levels)[3 * images, 0])

    if not normal.free.size:
        return np.zeros(0), np.zeros((len(images), 0))
    operator = LinearOperator((len(images),) * 2, matvec=apply, dtype=np.float64)
    # Two digits of a standard deviation are all that anybody reads; the start is fixed, so that they stay the same.
    start = without_plane(np.cos(np.arange(len(images))))
    values, vectors = eigsh(operator, k=_N_MODES, v0=start, tol=1e-3)
    return values[::-1], vectors[:, ::-1]


def _name(vector: Floats, scaled: Floats, basis: Floats) -> str:
    """The shape, of a few over the square -1 to 1, that a vector resembles most."""
    x, y = scaled.T
    shapes = {
        "a bowl": x**2 + y**2,
        "a bowl along x": x**2,
        "a bowl along y": y**2,
        "a saddle between the axes": x * y,
        "a saddle along the axes": x**2 - y**2,
        "an S along x": x**3,
        "an S along y": y**3,
        "a bowl along x that turns over along y": x**2 * y,
        "a bowl along y that turns over along x": y**2 * x,
        "a W along x": x**4 - 6 / 7 * x**2,  # Legendre's polynomial, but for a constant
        "a W along y": y**4 - 6 / 7 * y**2,
    }
    likeness = {}
    for name, shape in shapes.items():
        rest = shape - basis @ (basis.T @ shape)
        norm = float(np.linalg.norm(rest))
        likeness[name] = abs(float(vector @ rest)) / norm if norm > 1e-9 * len(rest) else 0.0
    best = max(likeness, key=lambda name: likeness[name])
    return best if likeness[best] > _ALIKE else "a shorter wave"
