"""The factor and its selected inverse, against dense algebra, over graphs of every kind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import coo_array

from dmontage.background.dissection import dissect
from dmontage.background.factor import Factor
from dmontage.errors import InputError

Ints = NDArray[np.int64]
Graph = tuple[Ints, Ints, NDArray[np.float64]]


def lattice(rng: np.random.Generator) -> Graph:
    """12 × 15 images with eight neighbours each."""
    y, x = (a.ravel() for a in np.mgrid[:12, :15])
    near = (np.abs(y[:, None] - y) <= 1) & (np.abs(x[:, None] - x) <= 1)
    a, b = np.nonzero(np.triu(near, 1))
    return a, b, np.stack((x, y), axis=1) + 0.1 * rng.normal(size=(180, 2))


def ring(rng: np.random.Generator) -> Graph:
    """A strip around the sky, which closes on itself."""
    a = np.arange(200)
    return a, (a + 1) % 200, np.stack((a.astype(float), np.zeros(200)), axis=1)


def stack(rng: np.random.Generator) -> Graph:
    """All images on one another: no separator is of use."""
    a, b = np.triu_indices(60, 1)
    return a, b, np.zeros((60, 2))


def scattered(rng: np.random.Generator) -> Graph:
    """Random pairs between far images, in several groups, some images alone."""
    a, b = rng.integers(0, 150, (2, 160))
    return a[a != b], b[a != b], rng.uniform(0, 100, (150, 2))


@pytest.mark.parametrize("graph", [lattice, ring, stack, scattered])
@pytest.mark.parametrize("most", [1, 3])
def test_solutions_and_inverse_are_those_of_dense_algebra(
    graph: Callable[[np.random.Generator], Graph], most: int
) -> None:
    """With 0 to 3 unknowns an image, as pins, locks and levels have it."""
    rng = np.random.default_rng(1)
    a, b, positions = graph(rng)
    n = len(positions)
    counts = rng.integers(0, most + 1, n)
    ends = np.cumsum(counts)
    unknowns = [np.arange(end - count, end) for end, count in zip(ends, counts, strict=True)]
    dense = np.zeros((ends[-1], ends[-1]))
    for i, j in zip(a, b, strict=True):
        both = np.concatenate((unknowns[i], unknowns[j]))
        m = rng.normal(size=(len(both), len(both)))
        dense[np.ix_(both, both)] += m @ m.T
    dense += np.diag(rng.uniform(0.5, 2, len(dense)))
    fronts = dissect(a, b, positions)
    assert np.array_equal(np.sort(np.concatenate([front.own for front in fronts])), np.arange(n))
    factor = Factor.of(coo_array(dense), fronts, unknowns)
    inverse = np.linalg.inv(dense)
    right = rng.normal(size=(len(dense), 4))
    np.testing.assert_allclose(factor.solve(right), inverse @ right, atol=1e-9 * np.abs(inverse @ right).max())
    np.testing.assert_allclose(factor.solve(right[:, 0]), factor.solve(right)[:, 0], rtol=1e-9, atol=1e-12)
    rows, columns = np.nonzero(dense)
    np.testing.assert_allclose(
        factor.inverse_at(rows, columns), inverse[rows, columns], atol=1e-10 * np.abs(inverse).max()
    )


def test_large_lattices_stay_sparse() -> None:
    """Of 3600 images no front has more than a few rows of them; the dense matrix would have 13 million entries."""
    y, x = (a.ravel() for a in np.mgrid[:60, :60])
    index = np.arange(3600).reshape(60, 60)
    pairs = [(index[:, :-1], index[:, 1:]), (index[:-1], index[1:]), (index[:-1, :-1], index[1:, 1:])]
    a, b = (np.concatenate([pair[k].ravel() for pair in pairs]) for k in (0, 1))
    fronts = dissect(a, b, np.stack((x, y), axis=1).astype(float))
    assert max(len(front.own) + len(front.border) for front in fronts) < 200
    assert sum(len(front.own) * (len(front.own) + len(front.border)) for front in fronts) < 3e5


def test_children_come_first_and_touch_nothing_beyond_their_borders() -> None:
    a, b, positions = lattice(np.random.default_rng(2))
    fronts = dissect(a, b, positions)
    when = np.empty(180, int)
    for number, front in enumerate(fronts):
        when[front.own] = number
        assert all(child < number for child in front.children)
    for number, front in enumerate(fronts):
        own = np.isin(a, front.own) | np.isin(b, front.own)
        touched = np.unique(np.concatenate((a[own], b[own])))
        above = touched[when[touched] > number]
        assert set(above) <= set(front.border) and (when[front.border] > number).all()


def test_what_is_not_positive_definite_is_refused() -> None:
    dense = np.array([[1.0, 2.0], [2.0, 1.0]])
    a = np.array([0])
    with pytest.raises(InputError, match="undetermined"):
        Factor.of(coo_array(dense), dissect(a, a + 1, np.zeros((2, 2))), [np.array([0]), np.array([1])])
