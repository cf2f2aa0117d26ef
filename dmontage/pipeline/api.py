"""What a user calls: `plan` and `mosaic`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmontage.fits_files import scan
from dmontage.grid import Grid
from dmontage.model import ImageRef, Images
from dmontage.pipeline.stages import Mosaic
from dmontage.planner import MosaicPlan, make_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Progress = Callable[[str, int, int], None]

__all__ = ["mosaic", "plan"]


def plan(
    images: Images | Sequence[ImageRef] | str | Path | Iterable[str | Path], grid: Grid | None = None, **options: Any
) -> MosaicPlan:
    """What `mosaic` would do with the same arguments; it reads headers and computes nothing. Print it."""
    found = _scanned(images)
    return make_plan(found, grid if grid is not None else Grid.fit(found), **options)


def mosaic(
    images: Images | Sequence[ImageRef] | str | Path | Iterable[str | Path],
    grid: Grid | None = None,
    store: str | Path | None = None,
    background: str = "plane",
    combine: str = "mean",
    *,
    strict: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Mosaic:
    """A mosaic of images; lazy: no pixel is read before one is asked for.

    Parameters
    ----------
    images
        What `dmontage.scan` gives, or files and folders.
    grid
        Where the mosaic lies; by default the smallest grid, north up, that holds all images.
    store
        Folder (``.zarr``) of the run, kept for the next time; a temporary one if not given. Required on a cluster.
    background
        "plane": the differences in the overlaps are fitted by planes, and one least-squares solution gives each image's
        correction. "level": one number per image. "none": the values are left as they are.
    combine
        "mean" (by area), "median", or "count".
    strict
        Raise when a file cannot be used or turns out to be damaged, instead of going on without it.
    progress
        Called with (stage, done, total).
    **options
        ``weights``, ``method``, ``unit``, ``tol``, ``max_bytes`` as for `dmontage.planner.make_plan`.

    Raises
    ------
    InputError
        When the input cannot be used; see `dmontage.scan` and `dmontage.planner.make_plan`.
    """
    found = _scanned(images, strict=strict)
    decided = plan(found, grid, background=background, combine=combine, **options)
    return Mosaic(decided, store, strict=strict, progress=progress)


def _scanned(
    images: Images | Sequence[ImageRef] | str | Path | Iterable[str | Path], *, strict: bool = False
) -> Images:
    """Images from whatever names them."""
    if isinstance(images, Images):
        return images
    listed = [images] if isinstance(images, (str, Path)) else list(images)
    refs = {item for item in listed if isinstance(item, ImageRef)}
    paths = [item for item in listed if not isinstance(item, ImageRef)]
    found = scan(paths, strict=strict) if paths or not refs else Images(())
    refs.update(found)
    return Images(tuple(sorted(refs, key=lambda ref: ref.order)), found.skipped)
