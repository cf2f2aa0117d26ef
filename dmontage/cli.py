"""The command line: one command per stage and one for all (level 7). It computes nothing itself.

What a command needs is imported when it runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dmontage._version import __version__
from dmontage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dmontage.grid import Grid
    from dmontage.model import Images
    from dmontage.pipeline import Mosaic

__all__ = ["main"]


class _Commands(click.Group):
    """Turns what a user can mend into one line and a non-zero exit."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except InputError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Science-grade mosaics of the sky from FITS images."""


def _options(*options: Callable[..., Any]) -> Callable[..., Any]:
    """Several options as one decorator, in the order given."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_inputs = click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
_strict = click.option(
    "--strict", is_flag=True, help="Stop at the first file that cannot be used, instead of skipping it."
)
_grid = _options(
    click.option("--header", type=click.Path(path_type=Path), help="Template (.hdr) of the output grid."),
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
_how = _options(
    click.option("--background", type=click.Choice(["none", "level", "plane"]), default="plane", show_default=True,
                 help="Match the images by a level and two slopes each, by a level, or not."),
    click.option("--margin", type=click.IntRange(min=0),
                 help="Pixels beyond the grid that fits of overlaps use too.  [default: a quarter of an image]"),
    click.option("--combine", type=click.Choice(["mean", "median", "count"]), default="mean", show_default=True,
                 help="What becomes of a pixel that several images cover."),
    click.option("--weights", type=click.Choice(["area", "none"]), help="[default: area for mean, none for median]"),
    click.option("--method", type=click.Choice(["auto", "plane", "sky"]), default="auto", show_default=True,
                 help="Overlaps on the plane where --tol allows it, or on the sphere."),
    click.option("--unit", type=click.Choice(["surface_brightness", "flux_per_pixel"]), default="surface_brightness",
                 show_default=True, help="What a pixel holds: brightness, or energy (counts), whose total is kept."),
    click.option("--tol", type=click.FloatRange(min=0, min_open=True), default=1e-5, show_default=True,
                 help="Tolerance of the projection in output pixels."),
    click.option("--pixfrac", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True,
                 help="Side of a drop in parts of its pixel (drizzle)."),
    click.option("--kernel", type=click.Choice(["square", "point", "gaussian"]), default="square", show_default=True,
                 help="How a drop is laid on the output."),
    click.option("--border", default="0", show_default=True, callback=lambda _, __, text: _border(text),
                 help="Pixels left out on each side of each image, or on 'LEFT,RIGHT,BOTTOM,TOP'."),
    click.option("--weight-map", help="Weights of pixels: an EXTNAME ('WHT'), or an ending ('.weight.fits') of files "
                 "beside the images."),
    click.option("--mask", help="Bad pixels, named likewise: any value but 0."),
    click.option("--variance", help="Variances of pixels, named likewise: the mosaic gets one too."),
    click.option("--good-bits", type=click.IntRange(min=0), help="Sum of the bits of the mask that do no harm."),
    click.option("--min-weight", type=click.FloatRange(min=0), default=0.0, help="Weights below it count as 0."),
    click.option("--image-weight", metavar="KEYWORD", help="Header keyword with each image's weight (EXPTIME), or "
                 "FILE:COLUMN of a table that has the images' file names too."),
    click.option("--zero-point", metavar="KEYWORD", help="Magnitude zero point of each image (MAGZP), named likewise: "
                 "values are brought to one."),
    click.option("--zero-point-out", type=float, help="Zero point of the mosaic.  [default: the images' median]"),
    click.option("--flux-scale", metavar="KEYWORD", help="Factor of each image's values, named likewise."),
    click.option("--max-bytes", type=click.FloatRange(min=1), default=2.0**38, show_default="275 GB",
                 help="Refuse a run whose store needs more."),
)  # fmt: skip


@main.command("scan")
@_inputs
@_strict
def scan_command(inputs: tuple[Path, ...], strict: bool) -> None:
    """List the images in files and folders, and what is skipped and why."""
    click.echo(_scan(inputs, strict))


@main.command()
@_inputs
@_grid
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write; standard output if not given.")
def header(inputs: tuple[Path, ...], output: Path | None, **grid: Any) -> None:
    """Print the template of the grid that images fit on, or that is asked for."""
    text = _make_grid(_scan(inputs, strict=False), **grid).to_template()
    if output is None:
        click.echo(text, nl=False)
    else:
        from dmontage.fits_files import check_writable

        check_writable(output, suffixes=None)
        output.write_text(text)
        click.echo(f"wrote       {output}", err=True)


@main.command("plan")
@_inputs
@_grid
@_how
@_strict
def plan_command(inputs: tuple[Path, ...], strict: bool, **options: Any) -> None:
    """Show what a mosaic would take: images, pairs, tasks, memory, bytes. Computes nothing."""
    from dmontage.pipeline import plan

    grid = _split(options)
    click.echo(plan(_scan(inputs, strict), grid, strict=strict, **options))


@main.command()
@_inputs
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Mosaic to write (FITS).")
@_grid
@_how
@_strict
@click.option(
    "--workdir", type=click.Path(path_type=Path), help="Store of the run, kept: the same command again reuses it."
)
@click.option("--png", type=click.Path(path_type=Path), help="Picture to write.")
@click.option(
    "--scheduler", default="threads", show_default=True, help="'threads', or a dask scheduler: tcp://HOST:PORT."
)
def mosaic(
    inputs: tuple[Path, ...],
    output: Path,
    strict: bool,
    workdir: Path | None,
    png: Path | None,
    scheduler: str,
    **options: Any,
) -> None:
    """Make a mosaic of files and folders: project, match backgrounds, coadd, write."""
    from dmontage.pipeline import product_paths

    grid = _split(options)
    images = _scan(inputs, strict)
    with _cluster(scheduler):
        made = _make(images, grid, output, workdir, png, strict=strict, **options)
    click.echo(made.summary)
    click.echo("wrote       " + ", ".join(map(str, product_paths(output, made.plan))))
    if png is not None:
        _picture(output, png)
        click.echo(f"wrote       {png}")


@main.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("demo-out"), show_default=True, help="Folder for all of it."
)
@click.option(
    "--size", type=click.FloatRange(0.05, 5.0), default=1.0, show_default=True, help="Side of the field in degrees."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Another number, another sky.")
@click.option("--nebula", type=click.FloatRange(0), default=0.0, help="Peak of a nebula over a third of it.")
def demo(out: Path, size: float, seed: int, nebula: float) -> None:
    """Simulate a survey of a known sky, mosaic it, and judge the mosaic against the truth."""
    from dmontage.demo.judge import judge
    from dmontage.demo.simulate import simulate

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}; choose another folder (--out)") from error
    click.echo(f"simulating  {size:g} x {size:g} deg of sky, seed {seed}, in {out / 'raw'}")
    truth = simulate(out / "raw", size, seed, nebula=nebula)
    images = _scan((out / "raw",), strict=True)
    made = _make(images, None, out / "mosaic.fits", None, out / "mosaic.png", strict=True)
    click.echo(made.summary)
    _picture(out / "mosaic.fits", out / "mosaic.png")
    verdict = judge(out / "mosaic.fits", truth)
    (out / "verdict.json").write_text(verdict.to_json())
    click.echo(verdict)
    click.echo("a level and a gradient common to all images are beyond what overlaps can tell: the picture shows them")
    click.echo(
        f"wrote       {out / 'mosaic.fits'}, {out / 'mosaic_area.fits'}, {out / 'mosaic.png'}, {out / 'verdict.json'}"
    )
    if not verdict.ok:
        raise click.ClickException("the mosaic does not meet its limits")


def _make(
    images: Images,
    grid: Callable[[Images], Grid] | None,
    output: Path,
    workdir: Path | None,
    png: Path | None,
    strict: bool,
    **options: Any,
) -> Mosaic:
    """Run it all but the picture; the store lies beside the output, and goes when all is written."""
    from dmontage.fits_files import check_writable
    from dmontage.graph.drive import active_client
    from dmontage.pipeline import Mosaic, plan
    from dmontage.pipeline.compiling import seconds_to_compile

    check_writable(output)
    if png is not None:
        check_writable(png, suffixes=(".png",))
    store = workdir or output.with_name(f"{output.name}.run.zarr")
    decided = plan(images, grid, strict=strict, **options)
    if active_client() is None and (seconds := seconds_to_compile(decided)):
        click.echo(f"compiling the kernels (once after installation, about {seconds} s)", err=True)
    with _bars() as progress:
        made = Mosaic(decided, store, strict=strict, progress=progress)
        if workdir is None:
            made.discard_stale()
        try:
            made.write(output)
        except BaseException:
            if made.summary.seconds:  # else the store was refused, and is somebody else's
                click.echo(f"the work so far is kept in {store}: the same command again goes on from there", err=True)
            raise
        made.close(remove=workdir is None)
    return made


def _picture(mosaic: Path, png: Path) -> None:
    """A mosaic's picture; after the summary, since one without pixels has none."""
    from dmontage.fits_files import pixels
    from dmontage.view.picture import write_png

    write_png(png, pixels(mosaic))


def _scan(inputs: tuple[Path, ...], strict: bool) -> Images:
    from dmontage.fits_files import scan

    return scan(inputs, strict=strict)


def _border(text: str) -> int | tuple[int, ...]:
    """One number for all sides, or one for each."""
    try:
        sides = tuple(int(side) for side in text.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is neither a whole number nor four: LEFT,RIGHT,BOTTOM,TOP") from error
    return sides[0] if len(sides) == 1 else sides


def _split(options: dict[str, Any]) -> Callable[[Images], Grid] | None:
    """Take out of the options those that ask for a grid, if any; it is made once the images that count are known."""
    names = ("header", "center", "size", "scale", "projection", "frame", "rotation")
    wanted = {name: options.pop(name) for name in names}
    return partial(_make_grid, **wanted) if any(wanted.values()) else None


def _make_grid(
    images: Images,
    header: Path | None,
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


@contextmanager
def _bars() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar per stage on a terminal; silence elsewhere."""
    if not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bars: dict[str, Any] = {}
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:

        def show(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = progress.add_task(stage, total=total)
            progress.update(bars[stage], completed=done, total=total)

        yield show


def _cluster(scheduler: str) -> Any:
    """Where the tasks run: the cluster of an address, or threads."""
    if scheduler == "threads":
        return nullcontext()
    from dmontage.graph.drive import connected

    return connected(scheduler)
