"""Project: the pixels of one image onto a window of the mosaic grid (level 4). Plain arrays in, plain arrays out.

Two ways lead to the same sums. Where each pixel is laid on the output whole, once and with one weight, the edges that
neighbours share are summed (on the plane), or overlaps are added as they are found (on the sphere). For drops smaller
than their pixels, weight maps, variances and cubes, the overlaps of a band of pixels are listed once, and every plane
is deposited through the list.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.kernels.deposit import deposit
from dmontage.kernels.drops import list_gaussian, list_point, list_square
from dmontage.kernels.plane import TILE, project_plane
from dmontage.kernels.sky import BLOCK, list_sky, project_sky, shrink
from dmontage.mapping import sky_sources, sky_windows
from dmontage.model import FWHM, Drop
from dmontage.sphere import quad_angles, rotate_frame
from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dmontage.grid import Grid
    from dmontage.mapping import Mapping, Patch

    Lists = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]

__all__ = ["Job", "Projected", "project", "reached", "sources"]

_BAND = 4 * TILE
"""Rows of the input whose corners are evaluated at once: 2 MB of corners at 512 columns, still in cache when used."""

_SKY_BAND = 2**19
"""Corners of the input on the sphere at once: 12 MB, some times that while the WCS makes them, and the lists 100 MB."""


class Job(NamedTuple):
    """How an image is projected: all that does not depend on its values."""

    grid_in: Grid
    grid_out: Grid
    mapping: Mapping
    method: str
    """Kernel: "plane" or "sky"."""
    drop: Drop = Drop()


class Projected(NamedTuple):
    """Sums over a window of the output, each (..., my, mx) float64 with the leading axes of the values."""

    flux: NDArray[np.float64]
    """Σ weight·value·overlap, overlap being the part of the output pixel that a drop covers."""
    area: NDArray[np.float64]
    """Σ overlap of what has a value: pure coverage."""
    weight: NDArray[np.float64] | None
    """Σ weight·overlap; None where no weights were given: it is the area then."""
    variance: NDArray[np.float64] | None
    """Σ weight²·overlap²·σ²: over weight² it is the variance of the mean. None where none was given."""
    lost: int
    """Pixels with a value but with an undefined corner."""


def reached(job: Job) -> list[Window]:
    """Windows of the output outside of which nothing falls."""
    grid, drop = job.grid_out, job.drop
    if job.method == "sky":
        return [grid.window] if drop.kernel == "gaussian" else sky_windows(job.grid_in, grid)
    ratio = max(patch.pixel_ratio for patch in job.mapping.patches)
    return [job.mapping.footprint(grid).pad(drop.reach(1.25 * ratio)) & grid.window]


def sources(job: Job, window: Window) -> Window | None:
    """The input pixels that `project` needs for a window of the output; None where nothing reaches it."""
    if job.method == "sky":
        return _sky_sources(job, _on_lattice(window, job.grid_out))
    found = [w for patch in job.mapping.patches if (w := _plane_sources(job, patch, window)) is not None]
    return reduce(or_, found) if found else None


def project(
    values: NDArray[Any],
    job: Job,
    window: Window,
    *,
    weights: NDArray[Any] | None = None,
    variance: NDArray[Any] | None = None,
    part: Window | None = None,
) -> Projected:
    """Project an image, or a cube plane by plane, onto a window of the mosaic grid.

    Parameters
    ----------
    values
        (..., ny, nx) pixels of ``part``; not finite is blank, plane by plane.
    job
        As the plan has it.
    window
        Part of the output grid to fill; no bit of a pixel depends on it.
    weights, variance
        (ny, nx), or of the shape of ``values``. A pixel whose weight is not above 0, or whose variance is negative or
        not finite, contributes nothing.
    part
        The input pixels that are given, the whole image if None; they must hold ``sources(job, window)``.
    """
    part = part or job.grid_in.window
    planes = [_planes(a, part.shape) for a in (values, weights, variance)]
    image = _Image(planes[0], planes[1], planes[2], part)
    lead = np.shape(values)[:-2]
    n_planes = len(image.values)
    sums = _Sums(
        *(
            np.zeros((n_planes if wanted else 0, *window.shape))
            for wanted in (True, True, weights is not None, variance is not None)
        )
    )
    way = _on_sky if job.method == "sky" else _by_edges if image.plain and job.drop.whole else _by_lists
    lost = way(image, job, window, sums)
    flux, area, weight, var = (a.reshape(*lead, *window.shape) if len(a) else None for a in sums)
    assert flux is not None
    assert area is not None
    return Projected(flux, area, weight, var, lost)


class _Image(NamedTuple):
    """Planes (p, ny, nx) of a part of the input; weights and variance have 0, 1 or p planes."""

    values: NDArray[Any]
    weights: NDArray[Any]
    variance: NDArray[Any]
    part: Window

    @property
    def plain(self) -> bool:
        """True for one plane that weighs the same everywhere."""
        return len(self.values) == 1 and not len(self.weights) and not len(self.variance)

    def cut(self, window: Window) -> _Image:
        """The pixels of a window of the input grid."""
        at = (slice(None), *window.relative_to(self.part).slices)
        return _Image(self.values[at], self.weights[at], self.variance[at], window)

    def used(self) -> NDArray[np.bool_]:
        """Pixels that have a value in some plane."""
        return np.asarray(np.isfinite(self.values).any(axis=0))


class _Sums(NamedTuple):
    flux: NDArray[np.float64]
    area: NDArray[np.float64]
    weight: NDArray[np.float64]
    variance: NDArray[np.float64]


def _planes(array: NDArray[Any] | None, shape: tuple[int, int]) -> NDArray[Any]:
    """(p, ny, nx); no plane for nothing."""
    return np.empty((0, *shape)) if array is None else np.asarray(array).reshape(-1, *shape)


def _tile(patch: Patch) -> int:
    """Side of a tile in input pixels: its buffers hold its output, so smaller where a pixel spans many of them.

    Up to three times `TILE` output pixels a side, 1.2 MB at 45°: 1.3 times faster than up to `TILE` at ratio 2, 1.6
    times at 3 to 10.
    """
    return int(np.clip(3.0 * TILE / max(patch.pixel_ratio, 3.0), 1, TILE))


def _plane_sources(job: Job, patch: Patch, window: Window) -> Window | None:
    return patch.sources(window.pad(job.drop.reach(1.25 * patch.pixel_ratio)), _tile(patch))


def _sky_sources(job: Job, padded: Window) -> Window | None:
    if job.drop.kernel == "gaussian":  # as wide as pixels are narrow: towards a pole of CAR it may be all of the grid
        least = float(np.nanmin(job.grid_out.solid_angle(padded), initial=job.grid_out.scale**2))
        side = min(2.0 * job.grid_in.scale / np.sqrt(least) if least > 0.0 else np.inf, max(job.grid_out.shape))
        padded = padded.pad(job.drop.reach(side)) & job.grid_out.window
    return sky_sources(job.grid_in, job.grid_out, padded)


def _on_lattice(window: Window, grid: Grid) -> Window:
    """A window grown to the blocks of the sky kernel, which are anchored at the grid's first pixel."""
    ys, xs = (
        (lo // BLOCK * BLOCK, -(-hi // BLOCK) * BLOCK) for lo, hi in ((window.y0, window.y1), (window.x0, window.x1))
    )
    return Window(*ys, *xs) & grid.window


# -- on the plane ------------------------------------------------------------------------------------------------------


def _by_edges(image: _Image, job: Job, window: Window, sums: _Sums) -> int:
    lost = 0
    for patch in job.mapping.patches:
        tile = _tile(patch)
        here = _plane_sources(job, patch, window)
        if here is None:
            continue
        for band in here.bands(max(_BAND // tile, 1) * tile):
            x_out, y_out = patch.corners(band)
            pixels = image.cut(band).values[0]
            lost += project_plane(pixels, x_out, y_out, sums.flux[0], sums.area[0], window.y0, window.x0, tile)
    return lost


def _deposit(image: _Image, lists: Lists, sums: _Sums) -> None:
    inputs = (np.ascontiguousarray(a).reshape(len(a), image.part.size) for a in image[:3])
    deposit(*lists, *inputs, *(a.reshape(len(a), sums.flux[0].size) for a in sums))


def _by_lists(image: _Image, job: Job, window: Window, sums: _Sums) -> int:
    lost = 0
    for patch in job.mapping.patches:
        here = _plane_sources(job, patch, window)
        for band in here.bands(TILE) if here is not None else ():  # lists of 64 rows stay in cache: 1.3 times faster
            x_out, y_out = patch.corners(band)
            pixels = image.cut(band)
            use = pixels.used()
            lost += int((use & ~_defined(x_out + y_out)).sum())
            _deposit(pixels, _plane_lists(job.drop, use, x_out, y_out, window), sums)
    return lost


def _plane_lists(
    drop: Drop, use: NDArray[np.bool_], x: NDArray[np.float64], y: NDArray[np.float64], window: Window
) -> Lists:
    where = (window.y0, window.x0, window.shape)
    if drop.kernel == "square":
        return list_square(use, x, y, drop.pixfrac, *where)
    x_mid, y_mid = (0.25 * (a[:-1, :-1] + a[:-1, 1:] + a[1:, :-1] + a[1:, 1:]) for a in (x, y))
    diagonals = (x[1:, 1:] - x[:-1, :-1]) * (y[1:, :-1] - y[:-1, 1:]) - (x[1:, :-1] - x[:-1, 1:]) * (
        y[1:, 1:] - y[:-1, :-1]
    )
    total = drop.pixfrac**2 * 0.5 * np.abs(diagonals)
    if drop.kernel == "point":
        return list_point(use, x_mid, y_mid, total, *where)
    return list_gaussian(use, x_mid, y_mid, np.sqrt(total) / FWHM, total, *where)


def _defined(corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Pixels (ny, nx) whose corners (ny + 1, nx + 1) are all finite."""
    ok = np.isfinite(corners)
    return np.asarray(ok[:-1, :-1] & ok[:-1, 1:] & ok[1:, :-1] & ok[1:, 1:])


# -- on the sphere -----------------------------------------------------------------------------------------------------


def _on_sky(image: _Image, job: Job, window: Window, sums: _Sums) -> int:
    padded = _on_lattice(window, job.grid_out)
    wide = _Sums(*(np.zeros((len(a), *padded.shape)) for a in sums))
    square, sub, sub_out = job.drop.kernel == "square", job.mapping.sub_in, job.mapping.sub_out
    corners_out = job.grid_out.corners(padded, sub_out) if square else np.empty(0)
    lost = 0
    for band in _sky_bands(job, padded):
        pixels = image.cut(band)
        corners = _sky_corners(job, band)
        if image.plain and job.drop.whole:  # the same bits without the memory of a list
            lost += project_sky(pixels.values[0], corners, corners_out, wide.flux[0], wide.area[0], sub, sub_out)
            continue
        if not square:
            lists, skipped = _smeared(job, pixels.used(), corners, band, padded)
        else:
            gap = 0 if job.drop.whole else 1
            drops = shrink(corners, job.drop.pixfrac, sub) if gap else corners
            pixel, cell, part, skipped = list_sky(pixels.used(), drops, corners_out, sub, sub_out, gap)
            lists = pixel, cell, part
        lost += skipped
        _deposit(pixels, lists, wide)
    at = window.relative_to(padded).slices
    for narrow, all_of_it in zip(sums, wide, strict=True):
        narrow[:] = all_of_it[:, *at]
    return lost


def _sky_bands(job: Job, padded: Window) -> Iterator[Window]:
    """Whole blocks of the kernel, so that they change no bit."""
    here = _sky_sources(job, padded)
    if here is not None:
        yield from here.bands(max(_SKY_BAND // (here.shape[1] * job.mapping.sub_in**2) // BLOCK, 1) * BLOCK)


def _sky_corners(job: Job, band: Window) -> NDArray[np.float64]:
    corners = job.grid_in.corners(band, job.mapping.sub_in)
    return rotate_frame(corners, job.grid_in.frame, job.grid_out.frame)


def _smeared(
    job: Job, use: NDArray[np.bool_], corners: NDArray[np.float64], band: Window, window: Window
) -> tuple[Lists, int]:
    """Points and Gaussians where no plane map is at hand: about the middle of each pixel by the exact chain.

    A Gaussian is laid in output pixels; its tails cross neither a seam nor, from outside, the edge of the grid.
    """
    drop, grid, sub = job.drop, job.grid_out, job.mapping.sub_in
    ends = corners[::sub, ::sub]
    middle = ends[:-1, :-1] + ends[:-1, 1:] + ends[1:, :-1] + ends[1:, 1:]
    x, y = grid.pixel(middle / np.linalg.norm(middle, axis=-1, keepdims=True))
    ny, nx = grid.shape
    with np.errstate(invalid="ignore"):
        good = use & (np.abs(x - (nx - 1) / 2) <= nx / 2) & (np.abs(y - (ny - 1) / 2) <= ny / 2)
    total = drop.pixfrac**2 * job.grid_in.solid_angle(band, sub)
    good &= np.isfinite(total)
    where = (window.y0, window.x0, window.shape)
    if drop.kernel == "point":
        pixel, cell, part = list_point(good, x, y, total, *where)
    else:
        half = np.array([-0.5, 0.5])
        local = quad_angles(grid.sky(x[..., None, None] + half, y[..., None, None] + half[:, None]))[..., 0, 0]
        sigma = np.sqrt(total / local) / FWHM
        good &= np.isfinite(sigma)
        pixel, cell, part = list_gaussian(good, x, y, sigma, total, *where)
    omega = grid.solid_angle(window, job.mapping.sub_out).ravel()[cell]
    kept = np.isfinite(omega)
    return (pixel[kept], cell[kept], part[kept] / omega[kept]), int((use & ~np.isfinite(total)).sum())
