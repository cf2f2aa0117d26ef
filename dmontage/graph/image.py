"""Image: one image, or cube, on a grid as lazy dask arrays (level 4).

A chunk of the output depends on the part of the image that reaches it and on nothing else: a window of a file, that it
reads itself, a slice of a dask array, or an array that the caller holds, which is in the graph once.
"""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import dask.array as da
import numpy as np
from dask.delayed import delayed

from dmontage.fits_files import read
from dmontage.graph.drive import name_of
from dmontage.graph.job import Job
from dmontage.graph.project import project, reached, sources
from dmontage.graph.units import flux_of, parts, prepared
from dmontage.model import ImageRef
from dmontage.window import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.quality import Quality

__all__ = ["Layers", "is_lazy", "lazy_projection", "project_part"]

_SIDE = 1024
"""Side of a chunk of the output."""

_BYTES = 2**28
"""Of the sums that one task holds; a cube's chunks are smaller."""


class Layers(NamedTuple):
    """What belongs to an image: each a numpy or dask array (..., ny, nx), an ImageRef that tasks read, or None."""

    values: Any
    weights: Any = None
    mask: Any = None
    variance: Any = None


def is_lazy(array: Any) -> bool:
    """True for a dask array."""
    return isinstance(array, da.Array)


def lazy_projection(
    layers: Layers, planes: tuple[int, ...], job: Job, quality: Quality, unit: str
) -> tuple[da.Array, ...]:
    """Mean and area, and the variance of the mean where one is given, each (*planes, my, mx) float64.

    Parameters
    ----------
    planes
        Leading axes of the image; they share one geometry, and one chunk.
    unit
        "surface_brightness" or "flux_per_pixel".
    """
    has_variance = layers.variance is not None
    n_out = 3 if has_variance else 2
    run = name_of(job.grid_in, job.grid_out, job.method, job.drop, job.mapping.to_dict(), quality, unit, *layers)
    whole = [_whole(layer, f"dmontage-image-{run}-{k}") for k, layer in enumerate(layers)]
    setup = delayed((job, quality, unit), pure=True, traverse=False, name=f"dmontage-job-{run}")
    side = _side(math.prod(planes))
    blocks: list[list[Any]] = []
    windows = reached(job)
    reaches = False
    for k, (_, window) in enumerate(job.grid_out.window.blocks((side, side))):
        part = sources(job, window) if any(window & other for other in windows) else None
        shape = (n_out, *planes, *window.shape)
        if window.x0 == 0:
            blocks.append([])
        if part is None:
            blocks[-1].append(_nothing(shape))
            continue
        reaches = True
        arguments = [_part(layer, part) for layer in whole]
        task = delayed(project_part, pure=True)(
            setup, window, part, *arguments, dask_key_name=f"dmontage-project-{run}-{k}"
        )
        blocks[-1].append(da.from_delayed(task, shape, np.float64, name=f"dmontage-projected-{run}-{k}"))
    if not reaches:
        warnings.warn("the image does not reach the grid: the mean is NaN everywhere", stacklevel=3)
    all_of_it = da.block(blocks) if len(blocks) > 1 or len(blocks[0]) > 1 else blocks[0][0]
    return tuple(all_of_it[i] for i in range(n_out))


def project_part(setup: tuple[Job, Quality, str], window: Window, part: Window, *layers: Any) -> NDArray[np.float64]:
    """Task: (mean, area[, variance]) of a window, from the layers on a part of the image.

    A layer is an array of just that part, a whole one to be cut, or an ImageRef to be read.
    """
    job, quality, unit = setup
    values, weights, mask, variance = (_pixels(layer, part) for layer in layers)
    prepared_layers = _as_floats(values), _as_floats(weights), _as_mask(mask), _as_floats(variance)
    values, weights, variance = prepared(prepared_layers, job, part, quality, unit)
    done = project(values, job, window, weights=weights, variance=variance, part=part)
    weight = done.area if done.weight is None else done.weight
    some = weight > 0.0
    mean = np.divide(done.flux, weight, out=np.full(weight.shape, np.nan), where=some)
    out = [mean, done.area]
    if done.variance is not None:
        # Twice, since the square of a weight may not be a number any more.
        once = np.divide(done.variance, weight, out=np.full(weight.shape, np.nan), where=some)
        out.append(np.divide(once, weight, out=once, where=some))
    if unit == "flux_per_pixel":
        sub_out = parts(job)[1]
        out[0] = flux_of(out[0], job.grid_out, window, sub_out)
        if done.variance is not None:
            out[2] = flux_of(out[2], job.grid_out, window, sub_out, power=2)
    return np.stack(out)


def _side(n_planes: int) -> int:
    """Side of a chunk, a power of two, so that the sums of all planes fit."""
    side = _SIDE
    while side > 64 and 4 * 8 * n_planes * side**2 > _BYTES:
        side //= 2
    return side


def _whole(layer: Any, name: str) -> Any:
    """A layer as tasks are told of it: an array that the caller holds is in the graph once."""
    if layer is None or isinstance(layer, (ImageRef, da.Array)):
        return layer
    return delayed(layer, pure=True, traverse=False, name=name)


def _part(layer: Any, part: Window) -> Any:
    if isinstance(layer, da.Array):
        block = layer[(..., *part.slices)]
        return block.rechunk(block.shape).to_delayed().item()
    return layer


def _pixels(layer: Any, part: Window) -> Any:
    """A layer's pixels on a part of the image."""
    if layer is None:
        return None
    if isinstance(layer, ImageRef):
        return read(layer, part)
    array = layer if isinstance(layer, np.ma.MaskedArray) else np.asarray(layer)
    return array if array.shape[-2:] == part.shape else array[(..., *part.slices)]


def _as_floats(array: Any) -> Any:
    """Native floats of one of the two kinds that the kernels take; what a masked array masks is NaN."""
    if array is None:
        return None
    kind = np.float32 if array.dtype.newbyteorder("=") == np.float32 else np.float64
    return np.ma.filled(array.astype(kind, copy=False), np.nan)


def _as_mask(array: Any) -> Any:
    """Flags as they are; what a masked array masks is NaN in place of a flag, which is bad whatever bits are good."""
    if not isinstance(array, np.ma.MaskedArray):
        return array
    return np.where(np.ma.getmaskarray(array), np.nan, np.ma.getdata(array))


@lru_cache(maxsize=16)
def _nothing(shape: tuple[int, ...]) -> da.Array:
    """Where nothing falls: NaN, and no area."""
    blank = da.full((1, *shape[1:]), np.nan, chunks=-1)
    nothing: da.Array = da.concatenate([blank, da.zeros_like(blank), *([blank] * (shape[0] - 2))]).rechunk(-1)
    return nothing
