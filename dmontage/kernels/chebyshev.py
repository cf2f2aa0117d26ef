"""Tensor Chebyshev polynomials, evaluated a row at a time.

``P(x, y) = Σ_j Σ_i c[j, i] T_j(t_y) T_i(t_x)``, with t the coordinate scaled to [−1, 1]. For a row the sum over j is
done once; what is left is one short dot product a point, against a table of T_i(t_x) made once for all rows: a few ns a
corner, where the WCS takes hundreds. The order of the sums is fixed, so a value does not depend on the rows asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dmontage.kernels._jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["evaluate_points", "evaluate_rows"]


@kernel
def evaluate_rows(coef: NDArray[np.float64], t_x: NDArray[np.float64], t_y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of shape (len(t_y), len(t_x)) at the tensor points of scaled coordinates; ``coef`` is [j (y), i (x)]."""
    n_j, n_i = coef.shape
    table = np.empty((n_i, t_x.size))
    for k in range(t_x.size):
        table[0, k] = 1.0
    for i in range(1, n_i):
        for k in range(t_x.size):
            table[i, k] = t_x[k] if i == 1 else 2.0 * t_x[k] * table[i - 1, k] - table[i - 2, k]
    out = np.zeros((t_y.size, t_x.size))
    for r in range(t_y.size):
        row = out[r]
        for i in range(n_i):
            # Clenshaw's recurrence along y for coefficient i of this row.
            b1 = 0.0
            b2 = 0.0
            for j in range(n_j - 1, 0, -1):
                b1, b2 = 2.0 * t_y[r] * b1 - b2 + coef[j, i], b1
            c = t_y[r] * b1 - b2 + coef[0, i]
            for k in range(t_x.size):
                row[k] += c * table[i, k]
    return out


@kernel
def evaluate_points(
    coef: NDArray[np.float64], t_x: NDArray[np.float64], t_y: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Values (n,) at scattered points of scaled coordinates, each (n,); ``coef`` is [j (y), i (x)].

    Where the points of a mesh were bent by a distortion before, no row shares a sum over j.
    """
    n_j, n_i = coef.shape
    out = np.empty(t_x.size)
    for k in range(t_x.size):
        x2, y2 = 2.0 * t_x[k], 2.0 * t_y[k]
        # Clenshaw's recurrence along x, of which each coefficient is one along y.
        p1 = 0.0
        p2 = 0.0
        for i in range(n_i - 1, -1, -1):
            b1 = 0.0
            b2 = 0.0
            for j in range(n_j - 1, 0, -1):
                b1, b2 = y2 * b1 - b2 + coef[j, i], b1
            c = t_y[k] * b1 - b2 + coef[0, i]
            if i > 0:
                p1, p2 = x2 * p1 - p2 + c, p1
            else:
                out[k] = t_x[k] * p1 - p2 + c
    return out
