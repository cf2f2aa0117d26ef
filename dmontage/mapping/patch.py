"""Patch: the polynomials of one window of the input, evaluated."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.polynomial.chebyshev import chebder, chebval2d, chebvander

from dmontage.mapping.box import Box
from dmontage.window import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.grid import Grid

    Floats = NDArray[np.float64]

__all__ = ["Focal", "Patch"]


class Focal(NamedTuple):
    """Lookup tables lie before the polynomials: these take the focal pixels that ``grid.to_core`` tells."""

    box: Box
    """What the patch covers in focal pixels."""
    grid: Grid


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """Polynomials of one window of the input."""

    window: Window
    coef_x: Floats
    """[j (y), i (x)] Chebyshev coefficients of the output x."""
    coef_y: Floats
    shift: tuple[int, int] | None = None
    """(dy, dx) where the map is this shift: in scaled coordinates it would round, and leave slivers."""
    error: float = 0.0
    """Bound of these polynomials' error, output pixels."""
    focal: Focal | None = None
    """The exact step through lookup tables that comes first, where there are some."""
    _kept: dict[int, Floats] = field(default_factory=dict, init=False, repr=False)
    """The extent, under 0, and boxes of tiles under their side: both are asked for again."""

    def _scaled(self, x: NDArray[np.int64], y: NDArray[np.int64]) -> tuple[Floats, Floats]:
        w = self.window
        return (2.0 * x - w.x0 - w.x1) / (w.x1 - w.x0), (2.0 * y - w.y0 - w.y1) / (w.y1 - w.y0)

    def corners(self, window: Window) -> tuple[Floats, Floats]:
        """Output (x, y) of the pixel corners of a window inside this patch, each (ny + 1, nx + 1)."""
        return self.mesh(np.arange(window.x0, window.x1 + 1), np.arange(window.y0, window.y1 + 1))

    def mesh(self, x: NDArray[np.int64], y: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Output (x, y), each (len(y), len(x)), where pixel edges cross; edge k lies before pixel k."""
        if self.shift is not None:
            dy, dx = self.shift
            x_out, y_out = np.meshgrid(x + (dx - 0.5), y + (dy - 0.5))
            return x_out, y_out
        from dmontage.kernels.chebyshev import evaluate_points, evaluate_rows

        if self.focal is None:
            t_x, t_y = self._scaled(x, y)
            return evaluate_rows(self.coef_x, t_x, t_y), evaluate_rows(self.coef_y, t_x, t_y)
        t_x, t_y = (t.ravel() for t in self._through_tables(x, y))
        shape = (len(y), len(x))
        return (
            evaluate_points(self.coef_x, t_x, t_y).reshape(shape),
            evaluate_points(self.coef_y, t_x, t_y).reshape(shape),
        )

    def _through_tables(self, x: NDArray[np.int64], y: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Scaled coordinates of pixel edges' crossings in the focal box, (len(y), len(x))."""
        assert self.focal is not None
        u, v = self.focal.grid.to_core(*np.meshgrid(x - 0.5, y - 0.5))
        return self.focal.box.scaled(u, v)

    def extent(self) -> Box:
        """The box of the output that the patch's corners span: a map without folds has its extremes on the edge."""
        if 0 not in self._kept:
            w = self.window
            x, y = np.arange(w.x0, w.x1 + 1), np.arange(w.y0, w.y1 + 1)
            rows, columns = self.in_numpy(x, y[[0, -1]]), self.in_numpy(x[[0, -1]], y)
            ends = [(min(a.min(), b.min()), max(a.max(), b.max())) for a, b in zip(rows, columns, strict=True)]
            self._kept[0] = np.array([*ends[1], *ends[0]])
        return Box(*self._kept[0].tolist())

    def in_numpy(self, x: NDArray[np.int64], y: NDArray[np.int64]) -> list[Floats]:
        """As `mesh`, of corners of this patch; a plan needs no kernel, and need not wait for numba."""
        if self.focal is not None:
            t = self._through_tables(x, y)
            return [chebval2d(*t[::-1], c) for c in (self.coef_x, self.coef_y)]
        (ny, nx), degree = self.window.shape, len(self.coef_x) - 1
        table_x = _edge_table(nx, degree)[:, x - self.window.x0].T
        table_y = _edge_table(ny, degree)[:, y - self.window.y0].T
        return [table_y @ c @ table_x.T for c in (self.coef_x, self.coef_y)]

    def sources(self, window: Window, tile: int) -> Window | None:
        """The input pixels that a window of the output takes: outside of them none reaches it.

        Parameters
        ----------
        tile
            Side of the tiles of input pixels that the answer is made of, counted from the patch's first pixel.

        Returns
        -------
        Window or None
            Whole tiles, cropped by the patch alone; None where no pixel reaches the window.
        """
        if tile not in self._kept:
            self._kept[tile] = self._tile_boxes(tile)
        y0, y1, x0, x1 = np.moveaxis(self._kept[tile], -1, 0)
        edge = Box.of(window)
        meets = (y1 > edge.y0) & (y0 < edge.y1) & (x1 > edge.x0) & (x0 < edge.x1)
        if not meets.any():
            return None
        (first_y, last_y), (first_x, last_x) = (np.nonzero(meets.any(axis=axis))[0][[0, -1]] for axis in (1, 0))
        w = self.window
        found = Window(first_y * tile, (last_y + 1) * tile, first_x * tile, (last_x + 1) * tile)
        return Window(*(int(k) for k in (found.y0, found.y1, found.x0, found.x1))).shift(w.y0, w.x0) & w

    def _tile_boxes(self, tile: int) -> Floats:
        """Boxes (n_y, n_x, 4) of y0, y1, x0, x1 in output pixels that hold all pixels of each tile.

        A map without folds takes the inside of a curve to the inside of its image, so only lines of the tiles' lattice
        are evaluated. Between two corners such a line may bulge out of their box by an eighth of its second difference,
        or by half of it at a table's kink.
        """
        w = self.window
        x, y = np.arange(w.x0, w.x1 + 1), np.arange(w.y0, w.y1 + 1)
        at_x, at_y = np.append(x[:-1:tile], w.x1), np.append(y[:-1:tile], w.y1)
        boxes = np.empty((len(at_y) - 1, len(at_x) - 1, 4))
        across, down = self.mesh(x, at_y), self.mesh(at_x, y)
        for k, (rows, columns) in enumerate(zip(across, down, strict=True)):
            bulge = max(float(np.abs(np.diff(a, 2, axis=b)).max(initial=0.0)) for a, b in ((rows, 1), (columns, 0)))
            for side, pick, sign in ((0, np.minimum, -1), (1, np.maximum, 1)):
                along_x = _segments(pick, rows, at_x - w.x0, axis=1)
                along_y = _segments(pick, columns, at_y - w.y0, axis=0)
                lines = pick(pick(along_x[:-1], along_x[1:]), pick(along_y[:, :-1], along_y[:, 1:]))
                boxes[..., 2 - 2 * k + side] = lines + sign * (bulge + 1e-9)
        return boxes

    @property
    def pixel_ratio(self) -> float:
        """Side of an input pixel in output pixels, at the patch's middle."""
        if self.shift is not None:
            return 1.0
        flat, slope = _at_middle(len(self.coef_x))
        (xx, xy), (yx, yy) = ((float(flat @ c @ slope), float(slope @ c @ flat)) for c in (self.coef_x, self.coef_y))
        box = self.focal.box if self.focal else Box.of(self.window)
        return math.sqrt(4.0 * abs(xx * yy - xy * yx) / math.prod(box.sides))


@lru_cache(maxsize=8)
def _edge_table(n: int, degree: int) -> Floats:
    """Chebyshev polynomials (degree + 1, n + 1) at the edges of n pixels; the images of a survey share them."""
    return np.asarray(chebvander((2.0 * np.arange(n + 1) - n) / n, degree).T)


@lru_cache(maxsize=64)
def _at_middle(n: int) -> tuple[Floats, Floats]:
    """The first n Chebyshev polynomials, and their slopes, at 0."""
    slope = chebvander(np.zeros(1), n - 2) @ chebder(np.eye(n), axis=0)
    return np.asarray(chebvander(np.zeros(1), n - 1)[0]), np.asarray(slope[0])


def _segments(pick: np.ufunc, values: Floats, at: NDArray[np.int64], axis: int) -> Floats:
    """Extremes of values between consecutive indices ``at`` along an axis, both ends included."""
    inner = pick.reduceat(values, at[:-1], axis=axis)
    return np.asarray(pick(inner, values.take(at[1:], axis=axis)))
