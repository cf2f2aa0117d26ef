"""Tensor Chebyshev evaluation against numpy and against exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.polynomial.chebyshev import chebgrid2d, chebval2d

from dmontage.kernels.chebyshev import evaluate_points, evaluate_rows


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (2, 2), (6, 4), (15, 15)])
def test_agrees_with_numpy(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    coef = rng.normal(size=shape)
    t_x, t_y = np.linspace(-1, 1, 23), np.linspace(-1, 1, 17)
    value = evaluate_rows(coef, t_x, t_y)
    assert value.shape == (17, 23)
    np.testing.assert_allclose(value, chebgrid2d(t_y, t_x, coef), rtol=0, atol=1e-13 * np.abs(coef).sum())


def test_first_index_is_y() -> None:
    coef = np.zeros((3, 2))
    coef[2, 1] = 1.0  # T2(y) T1(x)
    value = evaluate_rows(coef, np.array([0.5]), np.array([0.25]))
    assert value[0, 0] == (2 * 0.25**2 - 1) * 0.5


def test_agrees_with_exact_fractions() -> None:
    rng = np.random.default_rng(5)
    coef = rng.normal(size=(9, 11))

    def basis(t: float, n: int) -> list[Fraction]:
        values = [Fraction(1), Fraction(t)]
        while len(values) < n:
            values.append(2 * Fraction(t) * values[-1] - values[-2])
        return values[:n]

    for x, y in rng.uniform(-1, 1, (20, 2)):
        b_y, b_x = basis(y, 9), basis(x, 11)
        exact = sum(Fraction(coef[j, i]) * b_y[j] * b_x[i] for j in range(9) for i in range(11))
        assert abs(evaluate_rows(coef, np.array([x]), np.array([y]))[0, 0] - float(exact)) < 1e-14 * np.abs(coef).sum()


def test_a_point_has_the_same_bits_in_any_window() -> None:
    rng = np.random.default_rng(7)
    coef = rng.normal(size=(8, 8))
    t_x, t_y = np.linspace(-1, 1, 101), np.linspace(-1, 1, 77)
    whole = evaluate_rows(coef, t_x, t_y)
    for rows, columns in ((slice(3, 9), slice(90, 101)), (slice(70, 77), slice(0, 1)), (slice(5, 6), slice(13, 60))):
        part = evaluate_rows(coef, t_x[columns].copy(), t_y[rows].copy())
        assert part.tobytes() == whole[rows, columns].tobytes()


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (2, 2), (6, 4), (15, 15)])
def test_scattered_points_agree_with_numpy_one_by_one(shape: tuple[int, int]) -> None:
    """Beyond the box too, where the corners of a table's padding lie; and a point knows nothing of the others."""
    rng = np.random.default_rng(3)
    coef = rng.normal(size=shape)
    t_x, t_y = rng.uniform(-1.01, 1.01, (2, 200))
    value = evaluate_points(coef, t_x, t_y)
    np.testing.assert_allclose(
        value, chebval2d(t_y, t_x, coef), rtol=0, atol=1e-13 * np.abs(coef).sum() * 1.5 ** len(coef)
    )
    assert evaluate_points(coef, t_x[7:9].copy(), t_y[7:9].copy()).tobytes() == value[7:9].tobytes()


def test_nothing_to_evaluate() -> None:
    assert evaluate_rows(np.ones((3, 3)), np.empty(0), np.zeros(4)).shape == (4, 0)


def test_the_constant_is_the_first_coefficient_where_the_others_vanish() -> None:
    coef = np.zeros((3, 3))
    coef[0, 0] = 7.25
    assert (evaluate_rows(coef, np.linspace(-1, 1, 5), np.linspace(-1, 1, 4)) == 7.25).all()
