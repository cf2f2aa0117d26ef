"""What a user calls for mosaics: `mosaic`, `mosaics` and `coadd`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dmontage.errors import InputError
from dmontage.pipeline.bands import Bands, band_path
from dmontage.pipeline.planning import plan
from dmontage.pipeline.value import Mosaic
from dmontage.places import place

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from dmontage.model import ImageRef, Images
    from dmontage.pipeline.planning import GridLike
    from dmontage.pipeline.telling import Progress
    from dmontage.places import Place

__all__ = ["coadd", "mosaic", "mosaics"]


def mosaic(
    images: Images | Sequence[ImageRef] | str | Path | Iterable[str | Path],
    grid: GridLike = None,
    store: str | Path | None = None,
    background: str = "plane",
    combine: str = "mean",
    *,
    strict: bool = False,
    progress: Progress | bool | None = None,
    **options: Any,
) -> Mosaic:
    """A mosaic of images; lazy: no pixel is read before one is asked for.

    Parameters
    ----------
    images
        What `dmontage.scan` gives, or files and folders.
    grid
        Where the mosaic lies; by default the smallest grid, north up, that holds all images; or a function that makes
        it of those that can be used.
    store
        Folder (``.zarr``) of the run, or its URL, kept for the next time; a temporary one if not given. Required on a
        cluster.
    background
        "plane": the differences in the overlaps are fitted by planes, and one least-squares solution gives each image's
        correction. "level": one number per image. "none": the values are left as they are.
    combine
        "mean" (by area and weights), "clip" (the mean without outliers), "median", "min", "max", "count", "sum", or
        "first"; see `dmontage.planner.make_plan`.
    strict
        Raise when a file cannot be used or turns out to be damaged, instead of going on without it.
    progress
        Called with (stage, done, total) of the tasks; True shows bars on a terminal, or in a notebook.
    **options
        What of the images counts, and how it is laid on the output: ``weight_map``, ``mask``, ``variance``,
        ``image_weight``, ``zero_point``, ``zero_point_out``, ``flux_scale``, ``border``, ``polygons``, ``good_bits``,
        ``min_weight``, ``pixfrac``, ``kernel``; how backgrounds are matched: ``slope_prior``, ``anchor``, ``lock``,
        ``solver``, ``corrections``; as for `dmontage.plan`; ``clip``, ``weights``, ``also``, ``method``, ``unit``,
        ``tol``, ``margin``, ``max_bytes`` as for `dmontage.planner.make_plan`.

    Returns
    -------
    Mosaic
        With ``data``, ``area``, ``variance`` where the images have variances, and what ``also`` names as lazy arrays,
        cutouts, and ``write`` for FITS files.

    Raises
    ------
    InputError
        When the input cannot be used; see `dmontage.scan`, `dmontage.plan` and `dmontage.planner.make_plan`.
    """
    if options.get("group_by") is not None:
        raise InputError(f"group_by {options['group_by']!r} makes several mosaics: call dmontage.mosaics")
    decided = plan(images, grid, strict=strict, background=background, combine=combine, **options)
    return Mosaic(decided, store, strict=strict, progress=progress)


def mosaics(
    images: Images | Sequence[ImageRef] | str | Path | Iterable[str | Path],
    grid: GridLike = None,
    store: str | Path | None = None,
    background: str = "plane",
    combine: str = "mean",
    *,
    group_by: str | Mapping[str, str],
    strict: bool = False,
    progress: Progress | bool | None = None,
    **options: Any,
) -> Bands:
    """A mosaic for each band of images, on one grid; each is what `dmontage.mosaic` makes of its images alone.

    Parameters
    ----------
    images, background, combine, strict, progress, **options
        As for `mosaic`. An anchor or a lock counts in its own band. Without ``zero_point_out`` each band has the median
        of its own zero points.
    grid
        As for `mosaic`; by default it holds the images of all bands.
    store
        One for each band beside this name: ``run_J.zarr`` for ``run.zarr``; temporary ones if not given.
    group_by
        Tells the band of each image: a header keyword ("FILTER"), words by file name, or ``"FILE:COLUMN"`` of a table,
        as for ``image_weight`` of `dmontage.plan`. An image without is skipped.

    Returns
    -------
    Bands
        The mosaics by the names of their bands.

    Raises
    ------
    InputError
        As for `mosaic`; where two bands would have files of one name.
    """
    decided = plan(images, grid, group_by=group_by, strict=strict, background=background, combine=combine, **options)
    each = {
        name: Mosaic(own, _store_of(store, name), strict=strict, progress=progress) for name, own in decided.items()
    }
    return Bands(decided, each)


def _store_of(store: str | Path | None, band: str) -> Place | None:
    """The store of a band."""
    return None if store is None else band_path(place(store), band)


def coadd(
    images: Images | Sequence[ImageRef] | str | Path | Iterable[str | Path],
    grid: GridLike = None,
    store: str | Path | None = None,
    background: str = "none",
    combine: str = "mean",
    *,
    strict: bool = False,
    progress: Progress | bool | None = None,
    **options: Any,
) -> Mosaic:
    """A mosaic of images that lie on one grid already, such as Montage's projected ones: none is projected.

    Where an image has an area file beside it (``x_area.fits``, steradian; packed as the image is, or not), that tells
    how much of a pixel it covers, and so what it weighs; without one its pixels count as covered wholly.

    Parameters
    ----------
    images
        As for `mosaic`; of folders, mosaics that dmontage wrote too.
    grid
        By default the smallest part of the images' common lattice that holds them all.
    store, background, combine, strict, progress, **options
        As for `mosaic`.

    Returns
    -------
    Mosaic
        As of `mosaic`.

    Raises
    ------
    InputError
        As for `mosaic`, and where an image is not shifted by whole pixels: nothing is rounded.
    """
    decided = plan(images, grid, strict=strict, background=background, combine=combine, aligned=True, **options)
    return Mosaic(decided, store, strict=strict, progress=progress)
