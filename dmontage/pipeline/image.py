"""`project`: one image on a grid, lazily, in the ecosystem's own terms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.errors import InputError
from dmontage.fits_files import one_image, one_in_memory
from dmontage.graph.image import Layers, is_lazy, lazy_projection
from dmontage.graph.job import Job
from dmontage.grid import Grid
from dmontage.mapping import TOL, fit_mapping
from dmontage.model import ImageRef
from dmontage.pipeline.planning import drop_of
from dmontage.planner import METHODS, UNITS, check_words, kernel_for, positive
from dmontage.quality import Quality

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.nddata import NDData

__all__ = ["project"]


def project(
    image: Any,
    grid: Any,
    method: str = "auto",
    pixfrac: float = 1.0,
    kernel: str = "square",
    *,
    hdu: int | str | None = None,
    weights: Any = None,
    mask: Any = None,
    variance: Any = None,
    good_bits: int | None = None,
    border: int | tuple[int, int, int, int] = 0,
    polygons: Sequence[Any] = (),
    min_weight: float = 0.0,
    unit: str = "surface_brightness",
    tol: float = TOL,
    shape: tuple[int, int] | None = None,
) -> tuple[Any, ...]:
    """Project one image, or a cube plane by plane, by exact overlap on the sky. Lazy: a cutout costs what it touches.

    Parameters
    ----------
    image
        ``(array, wcs)`` with a numpy or dask array (..., ny, nx) and a WCS, Header or Grid; a FITS HDU or HDUList; an
        NDData or CCDData (its mask and uncertainty count); the path of a FITS file; an image of `dmontage.scan`.
        Not finite is blank, in each plane by itself.
    grid
        The output: a Grid, or whatever `Grid.from_header` takes, with ``shape`` (ny, nx) where that has none.
    method
        "auto": the plane kernel where its error bound is below ``tol``, else the sphere; "plane"; "sky".
    pixfrac, kernel
        How a pixel is laid on the output (drizzle): shrunk to ``pixfrac`` of its side; "square" by exact overlap,
        "point" into the cell of its middle, "gaussian". See `dmontage.model.Drop`.
    hdu
        Number or EXTNAME, of a file or HDUList with several images; nothing else has HDUs.
    weights, mask, variance
        Arrays (ny, nx), or of the image's shape. Weights multiply a pixel's part in the mean, never in the area; those
        that are 0, below ``min_weight`` or not finite take the pixel out.
        A mask is non-zero where a pixel is bad, or has bits other than ``good_bits``.
    good_bits
        Sum of the bits of a mask that do no harm; by default any value but 0 is bad.
    border, polygons
        Pixels left out on all four sides, or on the (left, right, bottom, top); polygons of (x, y) pixel coordinates
        whose inside is left out.
    unit
        "surface_brightness", or "flux_per_pixel" for energy per pixel, whose total is kept.
    min_weight
        Weights below it count as 0.
    tol
        Tolerance of the projection in output pixels.
    shape
        (ny, nx) of the output, where ``grid`` has none.

    Returns
    -------
    mean, area : dask arrays
        (..., my, mx) float64 on the grid: the weighted mean, NaN where nothing falls; the covered fraction.
    variance : dask array
        Of the mean, without the correlation between neighbours that projection makes; only if ``variance`` was given.

    Raises
    ------
    InputError
        If the image or the grid is none, or an option is none of those above.

    Notes
    -----
    A pixel, of the image or of the grid, with a corner off the sky is no pixel. An image that does not reach the
    grid gives NaN everywhere, and a warning.
    """
    check_words(("method", method, METHODS), ("unit", unit, UNITS))
    tol = positive("tol", tol)
    grid_out = grid if isinstance(grid, Grid) else Grid.from_header(grid, shape)
    grid_in, planes, layers = _opened(image, hdu, Layers(None, weights, mask, variance))
    _check_shapes(grid_in, planes, layers)
    mapping = fit_mapping(grid_in, grid_out, tol)
    job = Job(grid_in, grid_out, mapping, kernel_for(mapping, method, tol, "the image"), drop_of(pixfrac, kernel))
    quality = Quality(border=border, polygons=tuple(polygons), good_bits=good_bits, min_weight=min_weight)
    return lazy_projection(layers, planes, job, quality, unit)


def _opened(image: Any, hdu: int | str | None, layers: Layers) -> tuple[Grid, tuple[int, ...], Layers]:
    """Grid, leading axes and layers of whatever the user calls an image."""
    if isinstance(image, (str, Path)):
        image = one_image(image, hdu)
    if isinstance(image, ImageRef):
        return image.grid, image.planes, layers._replace(values=image)
    from astropy.nddata import NDData  # 50 ms, that no mosaic needs

    held = one_in_memory(image, hdu)
    if held is not None:
        array, grid = held
    elif isinstance(image, NDData):
        array, where, layers = _from_nddata(image, layers)
        grid = Grid.from_header(where, np.shape(array)[-2:])
    elif isinstance(image, tuple) and len(image) == 2:
        array, where = image
        array = _plain(array)
        if array.ndim < 2:
            raise InputError(f"an image of shape {array.shape} has no two axes (..., ny, nx)")
        grid = where if isinstance(where, Grid) else Grid.from_header(where, array.shape[-2:])
    else:
        raise InputError(
            f"{type(image).__name__} is no image: give (array, wcs), an HDU, an HDUList, NDData, a file or an ImageRef"
        )
    return grid, tuple(array.shape[:-2]), layers._replace(values=array)


def _from_nddata(image: NDData, layers: Layers) -> tuple[Any, Any, Layers]:
    """Array and WCS of an NDData; its mask and uncertainty where the caller gives none."""
    from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty

    if image.wcs is None:
        raise InputError("the NDData has no wcs: give (array, wcs)")
    if layers.mask is None and image.mask is not None:
        layers = layers._replace(mask=image.mask if np.ndim(image.mask) else None)
    u = image.uncertainty
    if layers.variance is None and u is not None:
        if not isinstance(u, (StdDevUncertainty, VarianceUncertainty, InverseVariance)):
            raise InputError(f"uncertainty of type {u.uncertainty_type!r} is no variance: give variance=")
        layers = layers._replace(variance=u.represent_as(VarianceUncertainty).array)
    return _plain(image.data), image.wcs, layers


def _plain(array: Any) -> Any:
    """A dask, masked or numpy array as it is, anything else as a numpy array."""
    return array if is_lazy(array) else np.asanyarray(array)


def _check_shapes(grid: Grid, planes: tuple[int, ...], layers: Layers) -> None:
    if not isinstance(layers.values, ImageRef) and tuple(layers.values.shape[-2:]) != grid.shape:
        raise InputError(f"the array has shape {layers.values.shape}, its WCS is for {grid.shape} (ny, nx)")
    if 0 in planes:
        raise InputError(f"a cube of shape {(*planes, *grid.shape)} has no planes")
    for name, layer in zip(layers._fields, layers, strict=True):
        if np.dtype(getattr(layer, "dtype", float)).kind not in "biuf":
            raise InputError(f"{name} of type {layer.dtype} are no real numbers")
    whole = (*planes, *grid.shape)
    for name, layer in zip(("weights", "mask", "variance"), layers[1:], strict=True):
        if layer is not None and tuple(np.shape(layer)) not in (grid.shape, whole):
            raise InputError(f"{name} has shape {np.shape(layer)}: it must be {grid.shape} or {whole}, as the image")
