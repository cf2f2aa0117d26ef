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

from dmontage.graph.job import Image, Job, Sums
from dmontage.graph.on_plane import by_edges, by_lists, plane_sources
from dmontage.graph.on_sky import on_sky, sources_on_sky
from dmontage.mapping import sky_windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.window import Window

__all__ = ["Projected", "project", "reached", "sources"]


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
        return sources_on_sky(job, window)
    found = [w for patch in job.mapping.patches if (w := plane_sources(job, patch, window)) is not None]
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
    image = Image(planes[0], planes[1], planes[2], part)
    lead = np.shape(values)[:-2]
    n_planes = len(image.values)
    sums = Sums(
        *(
            np.zeros((n_planes if wanted else 0, *window.shape))
            for wanted in (True, True, weights is not None, variance is not None)
        )
    )
    way = on_sky if job.method == "sky" else by_edges if image.plain and job.drop.whole else by_lists
    lost = way(image, job, window, sums)
    flux, area, weight, var = (a.reshape(*lead, *window.shape) if len(a) else None for a in sums)
    assert flux is not None
    assert area is not None
    return Projected(flux, area, weight, var, lost)


def _planes(array: NDArray[Any] | None, shape: tuple[int, int]) -> NDArray[Any]:
    """(p, ny, nx); no plane for nothing."""
    return np.empty((0, *shape)) if array is None else np.asarray(array).reshape(-1, *shape)
