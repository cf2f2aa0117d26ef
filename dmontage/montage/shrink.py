"""mShrink: an image with larger pixels, or smaller ones, on the same axes."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array

from dmontage.errors import InputError
from dmontage.fits_files import write_stored
from dmontage.montage.inputs import check_room
from dmontage.montage.stored_images import open_stored, shrunk

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["mShrink"]


def mShrink(
    infile: str,
    output_file: str,
    shrinkFactor: float,
    cdelt: float = 0.0,
    hdu: int = 0,
    fixedSize: bool = False,
    debug: int = 0,
) -> dict[str, Any]:
    """Average an image over squares of pixels, weighted by what of each pixel lies inside; blank pixels do not count.

    Parameters
    ----------
    infile, output_file
        The image, and the new one.
    shrinkFactor
        Side of a square in pixels, any positive number; below 1 it makes the image larger. Squares are counted from
        the first pixel's corner, and those that are not wholly in the image are left out.
    cdelt
        Written as the pixel's side, where that would be rounded; 0 for what it is.
    hdu
        Of the image; 0 stands for the only image of a file that has none there.
    fixedSize
        ``shrinkFactor`` is the largest side of the output instead, in pixels.
    debug
        Not used.

    Returns
    -------
    dict
        "time" in seconds.
    """
    start = time.perf_counter()
    if not 0.0 < shrinkFactor < math.inf:
        raise InputError(f"Shrink factor must be positive: {shrinkFactor!r}")
    if not math.isfinite(cdelt):
        raise InputError(f"cdelt {cdelt!r} must be finite; 0 leaves the pixel's side as it comes out")
    image = open_stored(infile, hdu)
    shape = image.pixels.shape[-2:]
    factor = max(shape) / shrinkFactor if fixedSize else float(shrinkFactor)
    ny, nx = (math.floor(side / factor * (1 + 1e-12)) for side in shape)  # 0.3 / 0.1 are three
    if min(ny, nx) < 1:
        raise InputError(f"Trying to shrink image to smaller than one pixel: {shape[1]} x {shape[0]} by {factor:g}")
    changed = shrunk(image.header, factor)
    if cdelt:
        changed |= {key: math.copysign(cdelt, image.header[key]) for key in ("CDELT1", "CDELT2") if key in changed}
    kind = np.float32 if image.pixels.dtype == np.float32 else np.float64
    check_room(16 * ny * nx * math.prod(image.pixels.shape[:-2]), "shrink by more")
    means = _means(image.values(), factor, (ny, nx)).astype(kind)
    write_stored(output_file, image.with_values(means), changed)
    return {"time": round(time.perf_counter() - start, 3)}


def _means(values: NDArray[np.float64], factor: float, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Means (..., ny, nx) over squares of a side of ``factor`` pixels; NaN where none has a value."""
    rows, columns = (_parts(n, m, factor) for n, m in zip(values.shape[-2:], shape, strict=True))
    planes = []
    for plane in values.reshape(-1, *values.shape[-2:]):
        some = np.isfinite(plane)
        sums = rows @ (columns @ np.where(some, plane, 0.0).T).T
        weights = rows @ (columns @ some.astype(np.float64).T).T
        planes.append(np.divide(sums, weights, out=np.full(shape, np.nan), where=weights > 0.0))
    return np.reshape(planes, (*values.shape[:-2], *shape))


def _parts(n: int, m: int, factor: float) -> csr_array:
    """What of each of ``n`` pixels lies in each of ``m`` intervals of ``factor`` pixels, shape (m, n)."""
    edges = np.minimum(np.arange(m + 1) * factor, n)
    first = np.floor(edges[:-1]).astype(int)
    last = np.minimum(np.ceil(edges[1:]).astype(int), n)
    counts = last - first
    row = np.repeat(np.arange(m), counts)
    pixel = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    part = np.minimum(pixel + 1, edges[row + 1]) - np.maximum(pixel, edges[row])
    return csr_array((part, (row, pixel)), shape=(m, n))
