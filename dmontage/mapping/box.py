"""Box: a piece of the plane of pixels with a tensor Chebyshev polynomial over it, and what to do with the latter."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.polynomial.chebyshev import chebder, chebvander

from dmontage.polynomial import coefficients, roots

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.window import Window

    Floats = NDArray[np.float64]

__all__ = ["Box", "folds"]


class Box(NamedTuple):
    """A box of the plane of pixels, from edge to edge."""

    y0: float
    y1: float
    x0: float
    x1: float

    @classmethod
    def of(cls, window: Window) -> Box:
        """The box that the pixels of a window cover."""
        return cls(*(edge - 0.5 for edge in (window.y0, window.y1, window.x0, window.x1)))

    @property
    def sides(self) -> tuple[float, float]:
        """Height and width."""
        return self.y1 - self.y0, self.x1 - self.x0

    def at(self, t_x: Floats, t_y: Floats) -> tuple[Floats, Floats]:
        """Pixel coordinates (x, y) of scaled ones, which run from −1 to 1 over the box."""
        x = 0.5 * (self.x0 + self.x1) + 0.5 * (self.x1 - self.x0) * t_x
        return x, 0.5 * (self.y0 + self.y1) + 0.5 * (self.y1 - self.y0) * t_y

    def scaled(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """The inverse of `at`."""
        return (2 * x - self.x0 - self.x1) / (self.x1 - self.x0), (2 * y - self.y0 - self.y1) / (self.y1 - self.y0)


def folds(coef_x: Floats, coef_y: Floats) -> bool:
    """False only where the map (x, y) is certain to keep its orientation over all of [−1, 1]².

    Its Jacobian is a polynomial itself: it has one sign where its constant outweighs all its other coefficients.
    """
    flat, slope = _tables(len(coef_x) - 1)
    (xx, xy), (yx, yy) = ((flat @ c @ slope.T, slope @ c @ flat.T) for c in (coef_x, coef_y))
    jacobian = np.abs(coefficients(xx * yy - xy * yx))
    return not 2.0 * jacobian[0, 0] > jacobian.sum()


@lru_cache(maxsize=64)
def _tables(degree: int) -> tuple[Floats, Floats]:
    """Chebyshev polynomials and their slopes at the nodes of twice their degree; kept, as they take 0.1 ms to make."""
    t = roots(2 * degree)
    slope = chebvander(t, degree - 1) @ chebder(np.eye(degree + 1), axis=0)
    return np.asarray(chebvander(t, degree), np.float64), np.asarray(slope, np.float64)
