"""Uncertainty: how well the mosaic's background is known, over a window and as a map.

The background over a window is a linear function of the corrections: the shares of the images in its pixels say which.
Its variance follows from the covariance of the solve, the correlation between images included.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.graph.shares import Cells

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.background import Solution
    from dmontage.pipeline.match import Match
    from dmontage.window import Window

    Floats = NDArray[np.float64]

__all__ = ["ErrorMap", "cells_of", "error_map", "functionals", "one_cell", "plane_functionals", "unknown_in"]

_SIDE = 32
"""Cells along the longer side of a map of errors."""
_LEAST = 16
"""Pixels along the side of a cell at the least."""


class ErrorMap(NamedTuple):
    """Standard errors of the mosaic's background, by cells."""

    error: Floats
    """(ny, nx) of the mean over each cell, once one plane over the whole mosaic is taken out; NaN where it is blank, or
    where an image without overlap has a part in it."""
    total: Floats
    """(ny, nx) in the stated gauge: with what is not known of a common gradient."""
    correction: Floats
    """(ny, nx) mean of what was taken out."""
    cells: Cells

    @property
    def rms(self) -> float:
        """Root mean square of `error` over the cells."""
        return float(np.sqrt(np.nanmean(self.error**2))) if np.isfinite(self.error).any() else 0.0


def cells_of(window: Window, side: int | None) -> Cells:
    """Square cells, `side` pixels wide, over a window; some 32 along the longer side by default."""
    side = side or max(-(-max(window.shape) // _SIDE), _LEAST)
    ys, xs = (
        np.unique(np.append(np.arange(low, high, side), high))
        for low, high in ((window.y0, window.y1), (window.x0, window.x1))
    )
    return Cells(ys, xs)


def one_cell(window: Window) -> Cells:
    """A window as a single cell."""
    return Cells(np.array([window.y0, window.y1]), np.array([window.x0, window.x1]))


def functionals(match: Match, cells: Cells, sums: Floats) -> tuple[Any, Floats]:
    """Mean corrections over cells as functions of the images' parameters.

    Parameters
    ----------
    sums
        What `dmontage.graph.shares.share_sums` gives, of all parts of the mosaic, with rows of the plan.

    Returns
    -------
    g, covered
        (cells, 3n) sparse, in row order of the cells, rows of blank ones empty; (cells,) covered pixels of each.
    """
    from scipy.sparse import csr_array

    n_cells = math.prod(cells.shape)
    j, i, row = sums[:, :3].astype(np.int64).T
    size, by_y, by_x = sums[:, 3:].T
    cell = j * cells.shape[1] + i
    covered = np.bincount(cell, size, minlength=n_cells).astype(np.float64)
    image = np.array(match.plan.image_of)[row]
    affine = np.tile(np.eye(2, 3), (len(row), 1, 1)) if match.affines is None else match.affines[row]
    middle_x, middle_y = cells.middles
    at = np.stack((size * middle_x[i] + by_x, size * middle_y[j] + by_y), axis=1)
    shift = affine[:, :, 2] - match.frames[image, :2]
    lever = (affine[:, :, :2] @ at[:, :, None])[:, :, 0] + size[:, None] * shift
    values = np.column_stack((size, lever)) / covered[cell, None]
    columns = 3 * image[:, None] + np.arange(3)
    rows = np.repeat(cell, 3)
    return csr_array((values.ravel(), (rows, columns.ravel())), shape=(n_cells, 3 * len(match.frames))), covered


def plane_functionals(g: Any, covered: Floats, cells: Cells) -> Floats:
    """(3, 3n) level about mosaic pixel (0, 0) and slopes of the plane through the means over all covered cells.

    ``g`` (cells, 3n) and ``covered`` (cells,) are what `functionals` gives.
    """
    known = covered > 0
    design = _design(cells, known)
    centre = design[:, 1:].mean(axis=0)
    design[:, 1:] -= centre
    fit = np.zeros((3, g.shape[0]))
    fit[:, known] = np.linalg.pinv(design)
    fit[0] -= centre @ fit[1:]
    return np.asarray((g.T @ fit.T).T)


def _design(cells: Cells, some: Any) -> Floats:
    """(k, 3) rows 1, x, y of some cells' middles."""
    x, y = (a.ravel()[some] for a in np.meshgrid(*cells.middles))
    return np.column_stack([np.ones(x.size), x, y])


def unknown_in(solution: Solution, g: Any) -> NDArray[np.bool_]:
    """(k,) where functionals (k, 3n) contain an image without overlap, whose level nothing tells."""
    alone = np.zeros(g.shape[1])
    alone[3 * np.array(solution.unpaired, np.int64)] = 1.0
    return np.asarray(abs(g) @ alone > 0)


def error_map(solution: Solution, cells: Cells, g: Any, covered: Floats) -> ErrorMap:
    """Standard errors of the background in each cell, from what `functionals` gives."""
    known = np.flatnonzero(covered > 0)
    total, error, correction = np.full((3, covered.size), np.nan)
    correction[known] = g[known] @ solution.parameters.ravel()
    if known.size:
        plane, design = plane_functionals(g, covered, cells), _design(cells, known)
        of_plane = solution.known.covariance_times(plane.T)
        square = solution.variance(g[known])
        total[known] = np.sqrt(np.maximum(square, 0))
        unknown = unknown_in(solution, g[known])
        total[known[unknown]] = np.nan
        square += ((design @ (plane @ of_plane) - 2 * (g[known] @ of_plane)) * design).sum(axis=1)
        error[known] = np.where(unknown, np.nan, np.sqrt(np.maximum(square, 0)))
    error, total, correction = (a.reshape(cells.shape) for a in (error, total, correction))
    return ErrorMap(error, total, correction, cells)
