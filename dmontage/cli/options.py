"""Options that commands share, and what they say."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dmontage.errors import InputError
from dmontage.places import Place, place

if TYPE_CHECKING:
    from collections.abc import Callable

    from dmontage.grid import Grid
    from dmontage.model import Images

__all__ = [
    "PLACE", "aligned", "bands", "grid", "group_by", "how", "inputs", "make_grid", "matching", "output", "strict",
    "take_grid", "tiles", "where", "workdir",
]  # fmt: skip


def options(*each: Callable[..., Any]) -> Callable[..., Any]:
    """Several options as one decorator, in the order given."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(each):
            function = option(function)
        return function

    return decorate


class _PlaceType(click.Path):
    """A path, or a URL of an object store."""

    name = "path or url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return place(value) if "://" in str(value) else super().convert(value, param, ctx)


PLACE = _PlaceType(path_type=Path)

inputs = click.argument("inputs", nargs=-1, required=True, type=PLACE)
strict = click.option(
    "--strict", is_flag=True, help="Stop at the first file that cannot be used, instead of skipping it."
)
output = click.option("-o", "--output", required=True, type=PLACE, help="Mosaic to write (FITS).")
workdir = click.option("--workdir", type=PLACE, help="Store of the run, kept: the same command again reuses it.")
where = options(
    click.option("--scheduler", default="threads", show_default=True,
                 help="'threads', or a dask scheduler: tcp://HOST:PORT."),
    click.option("--wait-for-workers", type=click.FloatRange(min=0), metavar="SECONDS",
                 help="How long a cluster may take to have its first worker.  [default: 60]"),
    click.option("--performance-report", type=click.Path(path_type=Path), metavar="FILE.html",
                 help="Dask's report of what the cluster did, to write."),
    click.option("--log-json", metavar="FILE", help="Append a line of JSON for each stage, each skipped image, the "
                 "start, and the end or the error, as they happen; '-' for the standard output."),
)  # fmt: skip
grid = options(
    click.option("--header", type=PLACE,
                 help="Template (.hdr) of the output grid, or a --workdir that has it."),
    click.option("--center", help="'05h35m -5d23m', or degrees in the grid's frame: '83.8 -5.4'."),
    click.option("--size", help="'1 deg', or width and height: '1 deg, 30 arcmin'."),
    click.option("--scale", help="Side of a pixel: '1 arcsec'.  [default: that of the finest image]"),
    click.option("--projection", help="FITS code: TAN, SIN, CAR, AIT, ...  [default: TAN]"),
    click.option(
        "--frame",
        type=click.Choice(["icrs", "fk5", "fk4", "galactic", "supergalactic", "ecliptic"]),
        help="[default: the images' own; with --center icrs]",
    ),
    click.option("--rotation", help="Turns the y axis from north (CROTA2).  [default: 0 deg]"),
)  # fmt: skip
tiles = options(
    click.option("--tiles", type=click.IntRange(min=1), metavar="PIXELS",
                 help="Write tiles of so many pixels a side, a multiple of 64: OUTPUT_ROW_COLUMN.fits, all of them."),
    click.option("--tile-overlap", type=click.IntRange(min=0), default=0, show_default=True,
                 help="Pixels that neighbouring tiles share, a multiple of 64."),
)  # fmt: skip
group_by = click.option(
    "--group-by",
    metavar="KEYWORD",
    help="A mosaic for each value of a header keyword (FILTER), or of FILE:COLUMN of a table that has the images' file "
    "names too, all on one grid: OUTPUT_VALUE.fits.",
)
bands = options(
    group_by,
    click.option("--cube", is_flag=True, help="With --group-by: all of them as one cube too, OUTPUT.fits."),
)


def _background(default: str) -> Callable[..., Any]:
    return click.option(
        "--background",
        type=click.Choice(["none", "level", "plane"]),
        default=default,
        show_default=True,
        help="Match the images by a level and two slopes each, by a level, or not.",
    )


matching = options(
    click.option("--slope-prior", default="auto", show_default=True, callback=lambda _, __, text: _prior(text),
                 help="Standard deviation of the slopes' prior, per degree; 'auto' from the overlaps, or 'none'."),
    click.option("--anchor", multiple=True, metavar="IMAGE", help="Image whose correction is zero at its middle, or "
                 "of several (again) the mean; that of all images if none is named."),
    click.option("--lock", multiple=True, metavar="IMAGE", help="Image that is not corrected (again for more)."),
)  # fmt: skip
_combining = options(
    matching,
    click.option("--solver", type=click.Choice(["direct", "relaxation"]), default="direct", show_default=True,
                 help="Least squares, or the iteration of the Montage papers."),
    click.option("--corrections", type=PLACE, help="Table of corrections to apply, instead of "
                 "matching."),
    click.option("--margin", type=click.IntRange(min=0),
                 help="Pixels beyond the grid that fits of overlaps use too.  [default: a quarter of an image]"),
    click.option("--combine", type=click.Choice(["mean", "clip", "median", "min", "max", "count", "sum", "first"]),
                 default="mean", show_default=True,
                 help="What becomes of a pixel that several images cover; clip is the mean without outliers."),
    click.option("--clip", metavar="LOW,HIGH", callback=lambda _, __, text: _clip(text),
                 help="Limits of --combine clip in sigma, or one for both.  [default: 3]"),
    click.option("--weights", type=click.Choice(["area", "none", "ivar"]), help="What images weigh: what they cover, "
                 "all the same, or 1/--variance.  [default: area for mean, clip and sum, else none]"),
    click.option("--also", default="", metavar="NAMES", callback=lambda _, __, text: _names(text),
                 help="Files to write beside: depth, rejected (how many images are in a pixel, or were clipped), "
                 "sources (which)."),
)  # fmt: skip
_projecting = options(
    click.option("--method", type=click.Choice(["auto", "plane", "sky"]), default="auto", show_default=True,
                 help="Overlaps on the plane where --tol allows it, or on the sphere."),
    click.option("--tol", type=click.FloatRange(min=0, min_open=True), default=1e-5, show_default=True,
                 help="Tolerance of the projection in output pixels."),
    click.option("--pixfrac", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True,
                 help="Side of a drop in parts of its pixel (drizzle)."),
    click.option("--kernel", type=click.Choice(["square", "point", "gaussian"]), default="square", show_default=True,
                 help="How a drop is laid on the output."),
)  # fmt: skip
_pixels = options(
    click.option("--unit", type=click.Choice(["surface_brightness", "flux_per_pixel"]), default="surface_brightness",
                 show_default=True, help="What a pixel holds: brightness, or energy (counts), whose total is kept."),
    click.option("--border", default="0", show_default=True, callback=lambda _, __, text: _border(text),
                 help="Pixels left out on each side of each image, or on 'LEFT,RIGHT,BOTTOM,TOP'."),
    click.option("--weight-map", help="Weights of pixels: an EXTNAME ('WHT'), or an ending ('.weight.fits') of files "
                 "beside the images."),
    click.option("--mask", help="Bad pixels, named likewise: any value but 0."),
    click.option("--variance", help="Variances of pixels (not their roots), named likewise: the mosaic "
                 "gets one too."),
    click.option("--good-bits", type=click.IntRange(min=0), help="Sum of the bits of the mask that do no harm."),
    click.option("--min-weight", type=click.FloatRange(min=0), default=0.0, help="Weights below it count as 0."),
    click.option("--image-weight", metavar="KEYWORD", help="Header keyword with each image's weight (EXPTIME), or "
                 "FILE:COLUMN of a table that has the images' file names too."),
    click.option("--zero-point", metavar="KEYWORD", help="Magnitude zero point of each image (MAGZP), named likewise: "
                 "values are brought to one."),
    click.option("--zero-point-out", type=float, help="Zero point of the mosaic.  [default: the images' median]"),
    click.option("--flux-scale", metavar="KEYWORD", help="Factor of each image's values, named likewise: "
                 "FLXSCALE, or one over a keyword, 1/EXPTIME."),
    click.option("--memory-limit", metavar="SIZE", callback=lambda _, __, text: _bytes(text),
                 help="Memory of the process: '8 GB'.  [default: 0.6 of the machine's, or the container's]"),
    click.option("--workers", type=click.IntRange(min=1), help="Tasks at once.  [default: the processors]"),
    click.option("--max-bytes", type=click.FloatRange(min=1), default=2.0**38, show_default="275 GB",
                 help="Refuse a run whose store needs more."),
)  # fmt: skip
how = options(_background("plane"), _combining, _projecting, _pixels)
aligned = options(_background("none"), _combining, _pixels)


def _clip(text: str | None) -> float | tuple[float, ...] | None:
    """One limit for both sides, or one for each."""
    if text is None:
        return None
    try:
        limits = tuple(float(limit) for limit in text.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is neither a number nor two: LOW,HIGH") from error
    return limits[0] if len(limits) == 1 else limits


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _border(text: str) -> int | tuple[int, ...]:
    """One number for all sides, or one for each."""
    try:
        sides = tuple(int(side) for side in text.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is neither a whole number nor four: LEFT,RIGHT,BOTTOM,TOP") from error
    return sides[0] if len(sides) == 1 else sides


def _bytes(text: str | None) -> int | None:
    """A number of bytes, with a unit or without."""
    if text is None:
        return None
    from astropy.units import Quantity, UnitsError

    try:
        size = Quantity(text)
        return int(size.value if size.unit == "" else size.to_value("byte"))
    except (ValueError, TypeError, OverflowError, UnitsError) as error:
        raise click.BadParameter(f"{text!r} is no number of bytes: '8 GB', '500 MiB'") from error


def take_grid(options: dict[str, Any]) -> Callable[[Images], Grid] | None:
    """Take out of the options those that ask for a grid, if any; it is made once the images that count are known."""
    names = ("header", "center", "size", "scale", "projection", "frame", "rotation")
    wanted = {name: options.pop(name) for name in names}
    return partial(make_grid, **wanted) if any(wanted.values()) else None


def make_grid(
    images: Images,
    header: Place | None,
    center: str | None,
    size: str | None,
    scale: str | None,
    projection: str | None,
    frame: str | None,
    rotation: str | None,
) -> Grid:
    """The grid that the options ask for."""
    from dmontage.grid import Grid

    if header is not None:
        if center or size or scale or projection or frame or rotation:
            raise InputError(
                "--header gives the whole grid: leave out --center, --size, --scale, --projection, --frame, --rotation"
            )
        if header.is_dir():
            from dmontage.pipeline.kept import grid_of

            return grid_of(header)
        return Grid.from_header(header)
    projection, rotation = projection or "TAN", rotation or "0 deg"
    if center is None and size is None:
        return Grid.fit(images, scale, projection, frame, rotation)
    if center is None or size is None:
        raise InputError(
            "a grid about a place needs both --center and --size; without either it is fitted to the images"
        )
    sides = [side.strip() for side in size.split(",")]
    if scale is None:
        scale = f"{min(image.grid.scale for image in images)} rad"
    return Grid.around(
        center, sides[0] if len(sides) == 1 else tuple(sides), scale, projection, frame or "icrs", rotation
    )


def _prior(text: str) -> float | str | None:
    """A number, "auto", or None for "none"."""
    if text in ("auto", "none"):
        return None if text == "none" else text
    try:
        return float(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is neither a number nor 'auto' or 'none'") from error
