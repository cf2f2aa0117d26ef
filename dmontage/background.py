"""The corrections of all images at once, from the fitted differences of their overlaps (level 3).

Pure arithmetic on small tables: knows no pixels, files or dask. Notation::

    p_i         (level, slope_x, slope_y) of image i about its own centre
    A_ki        takes p_i to the origin of pair k: level + slope_x dx + slope_y dy, slope_x, slope_y
    f_k, W_k    fitted difference plus - minus of pair k at its origin, and its information matrix
    τ           standard deviation of the Gaussian prior on each slope

minimize  Σ_k ‖A_k,plus p_plus - A_k,minus p_minus - f_k‖²_W + Σ_i (slope_x² + slope_y²)/τ²

**Gauge.** Differences say nothing of a level common to a connected group of images, nor, without a prior, of a common
plane. One image per group is pinned, the rest solved for and refined once from the residuals, then the group is moved
along these exact null vectors to zero mean level (and zero mean slope). A ridge in the place of the pin bends the
largest scales: its pull is the same on all of them, and the data's is weakest there.

**Prior.** Errors of free slopes add up over many images to waves across the mosaic. The prior's variance comes from
the data: the slope difference of a pair has the variance 2τ² + its own, so a moment estimate with weights
1/(2τ² + own)² (those of maximum likelihood) is iterated. τ = 0 leaves levels only.

**Thin overlaps.** A pair whose information is singular (an overlap of one row of pixels) fixes no plane. Without a
prior, a group that is not connected through its other pairs gets levels only, and is listed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dmontage.errors import InputError
from dmontage.model import Plane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dmontage.model import PlaneFit

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["ImageFrame", "PairTable", "Report", "Solution", "solve"]

_MAX_PRECISION = 1e6  # a pair counts as at most 1000 times more precise than the median one, so that digits are left
_DEFICIENT = 1e-10  # smallest over largest eigenvalue; an overlap 2 px wide between images of 10,000 px has 1e-8
_BATCH = 256  # functionals solved for at once


@dataclass(frozen=True, slots=True)
class ImageFrame:
    """Where an image lies on the mosaic grid, as far as its plane is concerned."""

    x: float
    """Centre, mosaic pixels: the origin of the image's plane."""
    y: float
    half_size: float
    """Half its size in mosaic pixels: the lever arm that makes a slope comparable with a level."""


@dataclass(frozen=True, slots=True)
class PairTable:
    """The fits of m pairs as arrays, checked."""

    plus: Ints
    minus: Ints
    x0: Floats
    """Origin of each fit, mosaic pixels."""
    y0: Floats
    difference: Floats
    """(m, 3) level, slope_x, slope_y of plus - minus at the origin."""
    information: Floats
    """(m, 3, 3) inverse covariance of `difference`; zero for a pair that says nothing."""

    def __post_init__(self) -> None:
        m = self.plus.size
        shapes = [a.shape for a in (self.plus, self.minus, self.x0, self.y0, self.difference, self.information)]
        if shapes != [(m,)] * 4 + [(m, 3), (m, 3, 3)]:
            raise InputError(f"pair table of {m} rows has columns of shapes {shapes}; want (m,) ×4, (m, 3), (m, 3, 3)")
        numbers = np.column_stack((self.x0, self.y0, self.difference, self.information.reshape(m, 9)))
        bad = ~np.isfinite(numbers).all(axis=1) | (self.information[:, 0, 0] < 0) | (self.plus == self.minus)
        if bad.any():
            k = int(np.argmax(bad))
            raise InputError(
                f"fit of images {self.plus[k]} and {self.minus[k]} (row {k}; {int(bad.sum())} such rows): "
                "two different images, finite numbers and an information of 0 or more are needed; leave the pair out"
            )

    @classmethod
    def of(cls, fits: Sequence[PlaneFit]) -> PairTable:
        """The same fits as a table."""
        planes = [fit.plane for fit in fits]
        numbers = np.array([(p.x0, p.y0, p.level, p.slope_x, p.slope_y) for p in planes], dtype=float).reshape(-1, 5)
        rows = np.array([(fit.plus, fit.minus) for fit in fits], dtype=np.int64).reshape(-1, 2)
        information = np.array([fit.information for fit in fits], dtype=float).reshape(-1, 3, 3)
        return cls(rows[:, 0], rows[:, 1], numbers[:, 0], numbers[:, 1], numbers[:, 2:], information)

    def rows(self, keep: NDArray[np.bool_]) -> PairTable:
        """The pairs marked in `keep`."""
        return PairTable(
            self.plus[keep],
            self.minus[keep],
            self.x0[keep],
            self.y0[keep],
            self.difference[keep],
            self.information[keep],
        )


@dataclass(frozen=True, slots=True)
class Report:
    """Level differences at the overlaps' origins, before and after the corrections, in the unit of the pixels."""

    n_pairs: int
    rms_before: float
    rms_after: float
    weighted_before: float
    """Root mean square with the levels' information as weight."""
    weighted_after: float
    worst_before: tuple[int, int, float]
    """(plus, minus, difference) of the largest one."""
    worst_after: tuple[int, int, float]


@dataclass(frozen=True)
class Solution:
    """The corrections of n images, to be subtracted, and how well they are known."""

    parameters: Floats
    """(n, 3) level at the image's centre, slope_x, slope_y per mosaic pixel."""
    centres: Floats
    """(n, 2) x, y of the planes' origins, mosaic pixels."""
    components: Ints
    """(n,) number of each image's connected group, in order of their first images."""
    unpaired: tuple[int, ...]
    """Images without a usable pair: their correction is zero."""
    level_only: tuple[int, ...]
    """Images whose slopes were set to zero because thin overlaps leave them undetermined."""
    unusable: tuple[int, ...]
    """Rows of the pairs without information, which were left out."""
    gauge: str
    """What fixes the part of the corrections that differences cannot tell."""
    tau: float | None
    """Prior standard deviation of the slopes, per pixel; None where there was no prior."""
    report: Report
    normal: _Normal
    """The factored normal equations; they live in this process and cannot be pickled."""

    @property
    def level(self) -> Floats:
        """(n,) corrections at the images' centres."""
        return self.parameters[:, 0]

    @property
    def slope_x(self) -> Floats:
        """(n,) change per mosaic pixel along x."""
        return self.parameters[:, 1]

    @property
    def slope_y(self) -> Floats:
        """(n,) change per mosaic pixel along y."""
        return self.parameters[:, 2]

    def plane(self, i: int) -> Plane:
        """Correction of image `i`, about its centre."""
        return Plane(*self.parameters[i].tolist(), *self.centres[i].tolist())

    def variance(self, functionals: Any) -> Floats:
        """Variance of linear functions of the corrections, in the stated gauge.

        Parameters
        ----------
        functionals
            (m, 3n), dense or scipy sparse: coefficients of level, slope_x and slope_y of image 0, of image 1, ...

        Returns
        -------
        ndarray
            (m,) variances g C gᵀ, at the cost of one solve each; C itself is never formed.
        """
        from scipy.sparse import csr_array

        g = csr_array(functionals)
        if g.ndim != 2 or g.shape[1] != self.parameters.size:
            raise InputError(f"functionals of shape {g.shape}; want (m, {self.parameters.size}), 3 for each image")
        rows = range(0, g.shape[0], _BATCH)
        return np.concatenate([self.normal.variance(g[k : k + _BATCH]) for k in rows] or [np.zeros(0)])

    def standard_errors(self, images: Sequence[int] | None = None) -> Floats:
        """(k, 3) standard errors of level, slope_x, slope_y of some images (of all: 3n solves, minutes at 10,000)."""
        from scipy.sparse import csr_array

        index = np.arange(len(self.parameters)) if images is None else np.asarray(images, dtype=np.int64)
        columns = (3 * index[:, None] + np.arange(3)).ravel()
        rows = np.arange(columns.size)
        unit = csr_array((np.ones(columns.size), (rows, columns)), shape=(columns.size, self.parameters.size))
        return np.sqrt(self.variance(unit)).reshape(-1, 3)


@dataclass(frozen=True, slots=True)
class _Normal:
    """Normal equations of the free parameters, in units of `unit` and of the weight `weight`."""

    factor: Any
    scale: Floats
    """(free,) 1/√diagonal: the matrix that was factored has a unit diagonal."""
    free: Ints
    """Positions of the free parameters among the 3n."""
    unit: Floats
    """(3n,) natural parameter per internal one: 1 for levels, 1/half_size for slopes."""
    weight: float
    null: Any
    """(3n, 3n) sparse: columns are the directions that the differences cannot see, in natural units; most are empty."""
    dual: Any
    """(3n, 3n) sparse: rows are the means that the gauge sets to zero; with `null` they make an identity."""

    def solve(self, right: Floats) -> Floats:
        """(3n,) internal parameters for the right side (3n,); fixed parameters are zero."""
        p = np.zeros_like(right)
        if self.free.size:
            p[self.free] = self.scale * self.factor.solve(self.scale * right[self.free])
        return p

    def to_gauge(self, p: Floats) -> Floats:
        moved: Floats = p - self.null @ (self.dual @ p)
        return moved

    def variance(self, g: Any) -> Floats:
        if not self.free.size:
            return np.zeros(g.shape[0])
        q = (g - (g @ self.null) @ self.dual).toarray() * self.unit
        q = (q[:, self.free] * self.scale).T
        return np.asarray((q * self.factor.solve(q)).sum(axis=0)) / self.weight


def solve(
    fits: Sequence[PlaneFit] | PairTable,
    images: Sequence[ImageFrame] | Floats,
    model: Literal["plane", "level"] = "plane",
    slope_prior: Literal["auto"] | float | None = "auto",
) -> Solution:
    """Corrections of all images from the differences of their overlaps.

    Parameters
    ----------
    fits
        Fitted differences, as nouns or as one table.
    images
        Frames of all n images, or their (n, 3) array of x, y, half_size.
    model
        ``"level"`` keeps all slopes exactly zero.
    slope_prior
        Standard deviation of the zero-mean prior on the slopes, per mosaic pixel; estimated from the data where
        ``"auto"``; no prior where None; zero is level-only.

    Returns
    -------
    Solution
        Corrections with their error on demand; what was left out is listed in it.

    Raises
    ------
    InputError
        For pairs of unknown images, numbers that are not finite, or a negative prior.
    """
    table = fits if isinstance(fits, PairTable) else PairTable.of(fits)
    frames = _frames(images)
    _check_rows(table, len(frames))
    used = table.information[:, 0, 0] > 0
    pairs = table.rows(used)
    w, weight = _weights(pairs.information)
    tau = _prior(pairs, slope_prior) if model == "plane" else 0.0
    groups = _Groups.of(pairs, w, frames, tau)
    system = _System.of(pairs, w, frames)
    penalty = np.zeros((len(frames), 3))
    if tau:
        penalty[:, 1:] = 1 / (weight * (tau * frames[:, 2:]) ** 2)
    free = groups.free()
    normal = _Normal(*system.factored(penalty.ravel(), free), free, system.unit, weight, *groups.null_vectors(frames))
    p = normal.solve(system.right(pairs.difference))
    p += normal.solve(system.right(system.residuals(pairs.difference, p)) - penalty.ravel() * p)
    p = normal.to_gauge(p * system.unit)
    return Solution(
        parameters=p.reshape(-1, 3),
        centres=frames[:, :2],
        components=groups.component,
        unpaired=_rows(~groups.paired),
        level_only=_rows(groups.level_only),
        unusable=_rows(~used),
        gauge=groups.gauge_text(),
        tau=tau,
        report=_report(pairs, w[:, 0, 0], system.residuals(pairs.difference, p / system.unit)),
        normal=normal,
    )


def _frames(images: Sequence[ImageFrame] | Floats) -> Floats:
    if not isinstance(images, np.ndarray):
        images = np.array([(f.x, f.y, f.half_size) for f in images], dtype=float).reshape(-1, 3)
    if not (images.ndim == 2 and images.shape[1] == 3 and np.isfinite(images).all() and (images[:, 2] > 0).all()):
        raise InputError(f"image frames of shape {images.shape}: want (n, 3) finite x, y and half_size > 0")
    return images


def _check_rows(table: PairTable, n: int) -> None:
    rows = np.concatenate((table.plus, table.minus))
    if rows.size and not 0 <= rows.min() <= rows.max() < n:
        raise InputError(f"pairs name images {rows.min()} to {rows.max()}, but there are {n} frames; give them all")


def _rows(mask: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(np.flatnonzero(mask).tolist())


def _weights(information: Floats) -> tuple[Floats, float]:
    """Information in units of the median pair's (level), capped there, and that unit."""
    if not len(information):
        return information, 1.0
    level = information[:, 0, 0]
    unit = float(np.median(level))
    return information * (np.minimum(1, _MAX_PRECISION * unit / level) / unit)[:, None, None], unit


def _prior(pairs: PairTable, wanted: float | str | None) -> float | None:
    """Prior standard deviation of the slopes, per pixel."""
    if wanted is None:
        return None
    if isinstance(wanted, str):
        if wanted != "auto":
            raise InputError(f"slope_prior {wanted!r} is not known; give 'auto', None or a number")
        return _slope_spread(pairs)
    if not 0 <= wanted < np.inf:
        raise InputError(f"slope_prior {wanted} is not a standard deviation; give 0 or more, or None for no prior")
    return float(wanted)


def _slope_spread(pairs: PairTable) -> float:
    """τ from the slope differences, each along the two axes in which its own errors are independent."""
    w = pairs.information
    if not len(w):
        return 0.0
    # What the pair says of the slopes when its level is unknown.
    slopes = w[:, 1:, 1:] - w[:, 1:, :1] * w[:, :1, 1:] / w[:, :1, :1]
    values, vectors = np.linalg.eigh(slopes)
    known = values > _DEFICIENT * values.max()
    if values.max() <= 0:
        return 0.0
    own = 1 / values[known]
    squares = np.einsum("kab,ka->kb", vectors, pairs.difference[:, 1:])[known] ** 2
    spread = max(0.0, float(np.median(squares)) / 0.4549 - float(np.median(own)))  # 2τ²; median of χ² with 1 dof
    for _ in range(50):
        total = own + spread
        usual = squares < 25 * total  # beyond 5 σ it is no Gaussian slope but a bad pair
        if not usual.any():
            break
        share = (total[usual].min() / total[usual]) ** 2
        before, spread = spread, max(0.0, float(share @ (squares - own)[usual] / share.sum()))
        if abs(spread - before) <= 1e-6 * before:
            break
    return float(np.sqrt(spread / 2))


def _connected(plus: Ints, minus: Ints, n: int) -> Ints:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(plus.size), (plus, minus)), shape=(n, n))
    return connected_components(links, directed=False)[1].astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Groups:
    """What hangs together, what is pinned, and what has slopes."""

    component: Ints
    paired: NDArray[np.bool_]
    slopes: NDArray[np.bool_]
    """Images whose slopes are solved for."""
    level_only: NDArray[np.bool_]
    """Images that lost theirs to thin overlaps."""
    pinned: NDArray[np.bool_]
    """In each group the image with most pairs."""
    prior: bool

    @classmethod
    def of(cls, pairs: PairTable, w: Floats, frames: Floats, tau: float | None) -> _Groups:
        n = len(frames)
        component = _connected(pairs.plus, pairs.minus, n)
        degree = np.bincount(pairs.plus, minlength=n) + np.bincount(pairs.minus, minlength=n)
        order = np.lexsort((-degree, component))
        pinned = np.zeros(n, dtype=bool)
        pinned[order[np.unique(component[order], return_index=True)[1]]] = True
        level_only = np.zeros(n, dtype=bool)
        if tau is None:
            lever = np.minimum(frames[pairs.plus, 2], frames[pairs.minus, 2])
            unit = np.stack((np.ones_like(lever), 1 / lever, 1 / lever), axis=1)
            values = np.linalg.eigvalsh(w * unit[:, :, None] * unit[:, None, :])
            whole = values[:, 0] > _DEFICIENT * values[:, 2]
            part = _connected(pairs.plus[whole], pairs.minus[whole], n)
            level_only = np.isin(component, component[part != part[pinned][component]])
        slopes = (degree > 0) & ~level_only & (tau != 0)
        return cls(component, degree > 0, slopes, level_only, pinned, tau is not None)

    def free(self) -> Ints:
        """Positions among the 3n parameters of those that are solved for."""
        level = self.paired & ~self.pinned
        slope = self.slopes if self.prior else self.slopes & ~self.pinned
        return np.flatnonzero(np.stack((level, slope, slope), axis=1))

    def null_vectors(self, frames: Floats) -> tuple[Any, Any]:
        """Directions that the differences cannot see (columns), and the means that the gauge sets to zero (rows)."""
        from scipy.sparse import coo_array

        n = len(frames)
        images = np.flatnonzero(self.paired)
        tilted = np.flatnonzero(self.slopes) if not self.prior else images[:0]
        size = np.bincount(self.component[images], minlength=n)
        null, dual = [(3 * images, self.component[images], np.ones(images.size))], []
        dual.append((self.component[images], 3 * images, 1 / size[self.component[images]]))
        for axis in (1, 2):
            group = self.component[tilted]
            column = axis * n + group
            centre = np.bincount(group, frames[tilted, axis - 1], minlength=n)[group] / size[group]
            null.append((3 * tilted, column, frames[tilted, axis - 1] - centre))
            null.append((3 * tilted + axis, column, np.ones(tilted.size)))
            dual.append((column, 3 * tilted + axis, 1 / size[group]))
        rows, columns, values = (np.concatenate(part) for part in zip(*null, strict=True))
        z = coo_array((values, (rows, columns)), shape=(3 * n, 3 * n)).tocsr()
        rows, columns, values = (np.concatenate(part) for part in zip(*dual, strict=True))
        return z, coo_array((values, (rows, columns)), shape=(3 * n, 3 * n)).tocsr()

    def gauge_text(self) -> str:
        groups = np.unique(self.component[self.paired]).size
        tilted = np.unique(self.component[self.slopes]).size
        text = f"zero mean level in each of {groups} connected groups"
        if tilted and not self.prior:
            text += f", zero mean slope in {tilted} of them"
        return text + ("; slopes have zero mean by their prior" if tilted and self.prior else "")


@dataclass(frozen=True, slots=True)
class _System:
    """The pairs' equations. Internal slopes are in units of 1/half_size, which makes them comparable with levels."""

    index: Ints
    """(m, 6) positions of the parameters of plus and of minus among the 3n."""
    design: Floats
    """(m, 3, 6) from these to the corrected-away difference at the pair's origin."""
    w: Floats
    unit: Floats

    @classmethod
    def of(cls, pairs: PairTable, w: Floats, frames: Floats) -> _System:
        design = np.zeros((len(w), 3, 6))
        for image, first, sign in ((pairs.plus, 0, 1.0), (pairs.minus, 3, -1.0)):
            x, y, h = frames[image].T
            design[:, 0, first] = sign
            design[:, 0, first + 1] = sign * (pairs.x0 - x) / h
            design[:, 0, first + 2] = sign * (pairs.y0 - y) / h
            design[:, 1, first + 1] = design[:, 2, first + 2] = sign / h
        index = np.concatenate([3 * image[:, None] + np.arange(3) for image in (pairs.plus, pairs.minus)], axis=1)
        unit = np.stack((np.ones(len(frames)), 1 / frames[:, 2], 1 / frames[:, 2]), axis=1).ravel()
        return cls(index, design, w, unit)

    def residuals(self, difference: Floats, p: Floats) -> Floats:
        """(m, 3) what internal parameters p leave of the fitted differences."""
        return difference - (self.design @ p[self.index][:, :, None])[:, :, 0]

    def right(self, difference: Floats) -> Floats:
        """(3n,) right side of the normal equations."""
        parts = np.swapaxes(self.design, 1, 2) @ (self.w @ difference[:, :, None])
        return np.asarray(np.bincount(self.index.ravel(), parts.ravel(), minlength=self.unit.size), dtype=np.float64)

    def factored(self, penalty: Floats, free: Ints) -> tuple[Any, Floats]:
        """Factor of the free part of the normal matrix, scaled to a unit diagonal, and that scale."""
        from scipy.sparse import coo_array, diags_array
        from scipy.sparse.linalg import splu

        if not free.size:
            return None, np.zeros(0)
        blocks = np.swapaxes(self.design, 1, 2) @ (self.w @ self.design)
        place = np.full(self.unit.size, -1)
        place[free] = np.arange(free.size)
        at = place[self.index]
        rows, columns = np.broadcast_arrays(at[:, :, None], at[:, None, :])
        inside = (rows >= 0) & (columns >= 0)
        matrix = coo_array((blocks[inside], (rows[inside], columns[inside])), shape=(free.size, free.size)).tocsc()
        matrix = matrix + diags_array(penalty[free], format="csc")
        scale = 1 / np.sqrt(matrix.diagonal())
        matrix = (diags_array(scale) @ matrix @ diags_array(scale)).tocsc()
        # Symmetric and positive definite: no pivoting, so the ordering keeps the factor sparse.
        return splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}), scale


def _report(pairs: PairTable, weights: Floats, after: Floats) -> Report:
    if not weights.size:
        return Report(0, 0.0, 0.0, 0.0, 0.0, (-1, -1, 0.0), (-1, -1, 0.0))

    def rms(level: Floats, weights: Floats | None = None) -> float:
        return float(np.sqrt(np.average(level**2, weights=weights)))

    def worst(level: Floats) -> tuple[int, int, float]:
        k = int(np.argmax(np.abs(level)))
        return int(pairs.plus[k]), int(pairs.minus[k]), float(level[k])

    a, b = pairs.difference[:, 0], after[:, 0]
    return Report(weights.size, rms(a), rms(b), rms(a, weights), rms(b, weights), worst(a), worst(b))
