"""Planning: images and options as a user gives them, made a plan."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from dmontage.errors import InputError
from dmontage.fits_files import scan
from dmontage.fits_files.companions import Wanted, find_companions
from dmontage.graph.drive import active_client
from dmontage.grid import Grid
from dmontage.model import Drop, ImageRef, Images, Matching
from dmontage.pipeline.aligned import check_aligned, common_grid
from dmontage.pipeline.bands import plan_bands
from dmontage.pipeline.given import given_planes, read_corrections, those_of
from dmontage.pipeline.match import Match
from dmontage.pipeline.pixel_check import with_pixels_checked
from dmontage.pipeline.prediction import with_prediction
from dmontage.places import Url
from dmontage.planner import BandPlans, MosaicPlan, deviation_warnings, far_hint, make_plan
from dmontage.quality import Quality

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    GridLike = Grid | Callable[[Images], Grid] | None

__all__ = ["drop_of", "plan"]


@overload
def plan(
    images: Images | Sequence[ImageRef] | str | Path | Iterable[str | Path],
    grid: GridLike = None,
    *,
    group_by: None = None,
    **options: Any,
) -> MosaicPlan: ...
@overload
def plan(
    images: Images | Sequence[ImageRef] | str | Path | Iterable[str | Path],
    grid: GridLike = None,
    *,
    group_by: str | Mapping[str, str],
    **options: Any,
) -> BandPlans: ...
def plan(
    images: Images | Sequence[ImageRef] | str | Path | Iterable[str | Path],
    grid: GridLike = None,
    *,
    weight_map: str | None = None,
    mask: str | None = None,
    variance: str | None = None,
    image_weight: str | Mapping[str, float] | None = None,
    zero_point: str | Mapping[str, float] | None = None,
    zero_point_out: float | None = None,
    flux_scale: str | Mapping[str, float] | None = None,
    border: int | tuple[int, int, int, int] = 0,
    polygons: Sequence[Sequence[Sequence[float]]] = (),
    good_bits: int | None = None,
    min_weight: float = 0.0,
    pixfrac: float = 1.0,
    kernel: str = "square",
    slope_prior: float | str | None = "auto",
    anchor: str | Path | Sequence[str | Path] = (),
    lock: str | Path | Sequence[str | Path] = (),
    solver: str = "direct",
    corrections: Any = None,
    aligned: bool = False,
    strict: bool = False,
    check_pixels: bool = False,
    calibrate: bool = False,
    group_by: str | Mapping[str, str] | None = None,
    **options: Any,
) -> MosaicPlan | BandPlans:
    """What `dmontage.mosaic`, or `dmontage.mosaics`, would do with the same arguments. Print it.

    It reads headers and computes nothing.

    Parameters
    ----------
    images, grid
        As for `mosaic`.
    weight_map, mask, variance
        Maps of each image's shape, named once for all: an EXTNAME of the image's own file ("WHT"; with several images
        in a file the HDU of the same EXTVER), or, with a dot in it, what follows the image's name in that of a file
        beside it (".weight.fits": x.fits has x.weight.fits). An image that has none is skipped. Weights multiply a
        pixel's part in the mean, never in the area; 0, NaN and what is below ``min_weight`` take the pixel out.
        Variances are σ², not σ; they give the mosaic one, in which the errors of the background's correction have no
        part.
    image_weight
        Weight of each image as a whole: a header keyword ("EXPTIME"), in the image's HDU or else the primary one;
        numbers by file name ("x.fits", "x.fits[1]" for one HDU of it) or path; or ``"FILE:COLUMN"``, a column
        of a table that astropy reads (ECSV, CSV, IPAC's .tbl, ...) beside one of such names (fname, file,
        filename or name). "1/KEYWORD" is one over a keyword's number.
    zero_point
        Magnitude zero point of each image, zp in m = zp - 2.5 log10(value), named likewise ("MAGZP"). Values are
        multiplied by 10**(-0.4 (zp - zero_point_out)), variances by its square, before backgrounds are matched.
        Weights stay as they are. An image without one is skipped.
    zero_point_out
        Zero point of the mosaic, magnitudes; by default the images' median, the lower middle one of an even number. The
        mosaic's header has it as MAGZP.
    flux_scale
        Further factor of each image's values, named as ``image_weight`` is: "FLXSCALE", "1/EXPTIME".
    border, polygons
        Pixels left out on all four sides, or on the (left, right, bottom, top); polygons of (x, y) pixel coordinates,
        0-based, whose inside is left out. The same in all images.
    good_bits
        Sum of the bits of a mask that do no harm: a pixel with any other bit is left out. By default any value but 0 is
        bad.
    min_weight
        Weights below it count as 0.
    pixfrac, kernel
        How a pixel is laid on the output (drizzle): shrunk to ``pixfrac`` of its side; "square" by exact overlap,
        "point" into the cell of its middle, "gaussian". See `dmontage.model.Drop`.
    slope_prior
        Standard deviation of the zero-mean prior that keeps the slopes of background "plane" down, in the unit of the
        pixels per degree; "auto" takes it from the data; None has no prior.
    anchor
        Name of an image whose correction is zero at its middle (slopes are fitted still), or of several whose mean is;
        that of all images if none is named.
    lock
        Names of images that are not corrected at all: the others are fitted to them.
    solver
        "direct", or "relaxation": the iteration of the Montage papers, without errors, for comparison.
    corrections
        Corrections to apply as they are, instead of matching: a table or file that `Mosaic.corrections` or
        `Mosaic.write_corrections` made, or `dmontage.model.SkyPlane` by image name.
    aligned
        The images lie on one grid, as for `coadd`.
    strict
        Raise where an image would be skipped.
    check_pixels
        Read a row of each image too (1 ms an image), and warn of those that are blank, of one value throughout, or
        cannot be read.
    calibrate
        Measure how fast this machine is, for the estimate of the time: 0.2 s, and compiling at first.
    group_by
        What tells the band of each image, as for `mosaics`: plans for all of them, on one grid.
    **options
        ``background``, ``combine``, ``clip``, ``weights``, ``also``, ``method``, ``unit``, ``tol``, ``margin``,
        ``max_bytes``: see `dmontage.planner.make_plan`.

    Returns
    -------
    MosaicPlan or BandPlans
        What was decided; print it. A plan for each band where ``group_by`` is given.

    Raises
    ------
    InputError
        On an option that cannot be used, where no image reaches the grid, or the run would be too large.
    """
    wanted = Wanted(weight_map, mask, variance, image_weight, zero_point, flux_scale, aligned, group_by)
    scanned = _scanned(images, strict=strict, mosaics=aligned)
    found, companions = find_companions(scanned, wanted, strict=strict)
    given = None if corrections is None else those_of(read_corrections(corrections), found)
    matching = Matching(slope_prior, _names(anchor), _names(lock), solver, given)
    decide: Callable[[Images, Matching], MosaicPlan] = partial(
        _decide,
        aligned=aligned,
        strict=strict,
        check_pixels=check_pixels,
        per_pixel=_speed() if calibrate else None,
        grid=grid if isinstance(grid, Grid) else _grid(_flat(found), grid, common_grid if aligned else Grid.fit),
        drop=drop_of(pixfrac, kernel),
        quality=Quality(border, polygons, good_bits, min_weight),
        companions=companions,
        zero_point_out=zero_point_out,
        doubts=deviation_warnings(variance),
        **(options | _of_workers(options)),
    )
    if group_by is None:
        return decide(found, matching)
    return plan_bands(group_by, found, companions, matching, decide)


def _decide(
    images: Images,
    matching: Matching,
    /,
    *,
    aligned: bool,
    strict: bool,
    check_pixels: bool,
    per_pixel: float | None,
    doubts: Sequence[str],
    **options: Any,
) -> MosaicPlan:
    """The plan of some images, checked as far as it can be before any work; ``doubts`` are warnings already."""
    decided = make_plan(images, matching=matching, **options)
    decided = replace(decided, warnings=(*decided.warnings, *doubts))
    if aligned:
        decided = check_aligned(decided)
    if matching.given is not None:
        given_planes(Match(decided))  # what is wrong with them is told before any work
    decided = with_prediction(decided)
    if per_pixel is not None:
        decided = replace(decided, per_pixel=per_pixel)
    return with_pixels_checked(decided, strict=strict) if check_pixels else decided


def _of_workers(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the plan that are those of a cluster's workers, where there is one; a lower limit of the user's stays.

    No bit of the answer depends on them: chunks get smaller.
    """
    client = active_client()
    if client is None:
        return {}
    from dmontage.graph.ready import smallest_worker

    found, told = smallest_worker(client), options.get("memory_limit")
    limit = found.pop("memory_limit", None)
    if limit is not None and (told is None or (isinstance(told, (int, float)) and told > limit)):
        found["memory_limit"] = limit
    return found


def _speed() -> float:
    """Seconds of one core of this machine for projecting a pixel."""
    from dmontage.graph.calibrate import seconds_per_pixel

    return seconds_per_pixel()


def _grid(images: Images, make: GridLike, usual: Callable[[Images], Grid]) -> Grid:
    """The grid made for images; where that fails, those that lie far from the others may be why, and are named."""
    try:
        made = usual(images) if make is None else make(images) if callable(make) else make
    except InputError as error:
        raise InputError(f"{error}{far_hint(images)}") from error
    if not isinstance(made, Grid):
        raise InputError(
            f"grid {made!r:.60} is no Grid, nor a function that makes one of the images: give "
            "dmontage.Grid.from_header(...) of a header, a WCS or a template"
        )
    return made


def _names(names: str | Path | Sequence[str | Path]) -> tuple[str, ...]:
    if isinstance(names, (str, Path)):
        names = (names,)
    if not (isinstance(names, (list, tuple)) and all(isinstance(name, (str, Path)) for name in names)):
        raise InputError(f"{names!r} names no images: give their file names")
    return tuple(map(str, names))


def drop_of(pixfrac: Any, kernel: str) -> Drop:
    """A drop of what a user gives."""
    if not isinstance(pixfrac, Real):
        raise InputError(f"pixfrac {pixfrac!r} is no number; give one above 0 and not above 1")
    return Drop(float(pixfrac), kernel)


def _flat(images: Images) -> Images:
    """Images that can be used: a cube that will be skipped must not shape the grid."""
    flat = tuple(image for image in images if not image.planes)
    return Images(flat or images.refs, images.skipped)  # of cubes alone, the plan says what to do


def _scanned(
    images: Images | Sequence[ImageRef] | str | Path | Iterable[str | Path],
    *,
    strict: bool = False,
    mosaics: bool = False,
) -> Images:
    """Images from whatever names them."""
    if isinstance(images, Images):
        return images
    listed = [images] if isinstance(images, (str, Path, Url)) else list(images)
    refs = {item for item in listed if isinstance(item, ImageRef)}
    paths = [item for item in listed if not isinstance(item, ImageRef)]
    found = scan(paths, strict=strict, mosaics=mosaics) if paths or not refs else Images(())
    refs.update(found)
    return Images(tuple(sorted(refs, key=lambda ref: ref.order)), found.skipped)
