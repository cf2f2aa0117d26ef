"""Units: images whose pixels hold energy, not brightness (level 4).

A constant sky gives such an image values that follow its pixels' solid angles Ω. They are divided out before projection
and the output's own are multiplied in at the end, both relative to the middle pixel of the output, so that all numbers
between stay per output pixel: value·Ω_ref/Ω_in on the way in, mean·Ω_out/Ω_ref on the way out. The total is kept:
Σ over the mosaic of product·area = Σ of the image's values, where it lies inside the grid. On the sphere that holds
for the polygons that the kernel takes pixels for: Ω is theirs, of edges in as many parts (``sub``).

Here too an image's own scale, of its zero point, is multiplied in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.quality import apply

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.graph.job import Job
    from dmontage.grid import Grid
    from dmontage.quality import Quality
    from dmontage.window import Window

__all__ = ["flux_of", "parts", "prepared"]


def parts(job: Job) -> tuple[int, int]:
    """Parts of an edge, of input and of output pixels, for the polygons whose areas a job's kernel sums."""
    return (job.mapping.sub_in, job.mapping.sub_out) if job.method == "sky" else (1, 1)


def flux_of(
    brightness: NDArray[np.float64], grid_out: Grid, window: Window, sub: int, power: int = 1
) -> NDArray[np.float64]:
    """Brightness on a window of the output, per Ω of its middle pixel, as energy per pixel there.

    Into a variance (``power`` 2) the factor enters squared.
    """
    return np.asarray(brightness * (grid_out.solid_angle(window, sub) / grid_out.scale**2) ** power)


def prepared(
    layers: tuple[NDArray[Any], NDArray[Any] | None, NDArray[Any] | None, NDArray[Any] | None],
    job: Job,
    window: Window,
    quality: Quality,
    unit: str,
    scale: float = 1.0,
) -> tuple[NDArray[Any], NDArray[Any] | None, NDArray[Any] | None]:
    """Values, weights and variance of a window of an image as they are projected: as brightness, blank where bad.

    ``layers`` are values, weights, mask and variance. ``scale`` multiplies the values, squared the variance.
    """
    values, weights, mask, variance = layers
    grid_in = job.grid_in
    ratio: Any = np.float64(scale)  # not a float, which would leave float32 values in single precision
    if unit == "flux_per_pixel":
        omega = grid_in.solid_angle(window, parts(job)[0])
        # A pixel with an undefined corner keeps its value: the kernel leaves it out, and counts it.
        ratio = ratio * (job.grid_out.scale**2 / np.where(np.isfinite(omega), omega, job.grid_out.scale**2))
    if scale != 1.0 or unit == "flux_per_pixel":
        values = values * ratio
        if variance is not None:
            variance = variance * ratio**2
    return apply(values, window, grid_in.shape, quality, weights, mask, variance)
