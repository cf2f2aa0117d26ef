"""On the sky: an image's pixels as polygons of great circles, where no plane will do (level 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dmontage.graph.job import Sums, deposit_lists
from dmontage.kernels.drops import list_gaussian, list_point
from dmontage.kernels.sky import BLOCK, list_sky, project_sky, shrink
from dmontage.mapping import sky_sources
from dmontage.model import FWHM
from dmontage.sphere import quad_angles, rotate_frame
from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dmontage.graph.job import Image, Job, Lists
    from dmontage.grid import Grid

__all__ = ["on_sky", "sources_on_sky"]

_SKY_BAND = 2**19
"""Corners of the input on the sphere at once: 12 MB, some times that while the WCS makes them, and the lists 100 MB."""


def sources_on_sky(job: Job, window: Window) -> Window | None:
    """The input pixels that `on_sky` takes for a window of the output."""
    return _sky_sources(job, _on_lattice(window, job.grid_out))


def on_sky(image: Image, job: Job, window: Window, sums: Sums) -> int:
    """Add all that an image has to the sums of a window of the output; how many pixels have an undefined corner."""
    padded = _on_lattice(window, job.grid_out)
    wide = Sums(*(np.zeros((len(a), *padded.shape)) for a in sums))
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
        deposit_lists(pixels, lists, wide)
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
