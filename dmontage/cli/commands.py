"""The commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dmontage._version import __version__
from dmontage.aside import aside
from dmontage.cli import options
from dmontage.cli.options import make_grid, take_grid
from dmontage.cli.run import Wish, picture, run, run_bands, show, tell
from dmontage.cli.where import Where
from dmontage.errors import InputError
from dmontage.places import Place, made_at

if TYPE_CHECKING:
    from dmontage.model import Images

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


@main.command("scan")
@options.inputs
@options.strict
def scan_command(inputs: tuple[Place, ...], strict: bool) -> None:
    """List the images in files and folders, and what is skipped and why."""
    click.echo(_scan(inputs, strict))


@main.command()
@options.inputs
@options.grid
@click.option("-o", "--output", type=options.PLACE, help="File to write; standard output if not given.")
def header(inputs: tuple[Place, ...], output: Place | None, **grid: Any) -> None:
    """Print the template of the grid that images fit on, or that is asked for."""
    text = make_grid(_scan(inputs, strict=False), **grid).to_template()
    if output is None:
        click.echo(text, nl=False)
    else:
        from dmontage.fits_files import check_writable

        check_writable(output, suffixes=None)
        with made_at(output) as here, aside(here) as part:
            part.write_text(text, encoding="utf-8")
        click.echo(f"wrote       {output}", err=True)


@main.command("plan")
@options.inputs
@options.grid
@options.how
@options.strict
@click.option("--calibrate", is_flag=True, help="Measure this machine's speed for the estimate of the time.")
@options.group_by
def plan_command(inputs: tuple[Place, ...], strict: bool, **chosen: Any) -> None:
    """Show what a mosaic would take: images, pairs, tasks, memory, bytes, time; and what of the input is suspicious.

    Computes nothing; of each image a row is read, to tell those that are blank.
    """
    from dmontage.pipeline import plan

    grid = take_grid(chosen)
    click.echo(plan(_scan(inputs, strict), grid, strict=strict, check_pixels=True, **chosen))


@main.command()
@options.inputs
@options.output
@options.grid
@options.how
@options.strict
@options.workdir
@click.option("--png", type=options.PLACE, help="Picture to write.")
@click.option(
    "--report",
    type=options.PLACE,
    help="Report of what background matching did: STEM.txt, STEM.json and STEM.png.",
    metavar="STEM",
)
@click.option("--write-corrections", type=options.PLACE, help="Table of the images' corrections to write (ECSV).")
@options.where
@options.tiles
@options.bands
def mosaic(
    inputs: tuple[Place, ...],
    strict: bool,
    group_by: str | None,
    cube: bool,
    **chosen: Any,
) -> None:
    """Make a mosaic of files and folders: project, match backgrounds, coadd, write."""
    from dmontage.pipeline import plan

    where, wish = Where.take(chosen), Wish.take(chosen)
    with where.told():
        wish.check()
        if cube and group_by is None:
            raise InputError("a cube needs bands: give --group-by too")
        grid = take_grid(chosen)
        images = _scan(inputs, strict)
        with where.entered():
            if group_by is None:
                tell(run(plan(images, grid, strict=strict, **chosen), wish, strict=strict), wish)
                show(wish)
            else:
                plans = plan(images, grid, strict=strict, group_by=group_by, **chosen)
                run_bands(plans, wish, strict=strict, cube=cube)


@main.command()
@options.inputs
@options.output
@click.option("--header", type=options.PLACE, help="Template (.hdr) of the grid.  [default: all images]")
@options.aligned
@options.strict
@options.workdir
@options.where
def coadd(
    inputs: tuple[Place, ...],
    header: Place | None,
    strict: bool,
    **chosen: Any,
) -> None:
    """Make a mosaic of images that lie on one grid already, with x_area.fits files beside them or without."""
    from dmontage.fits_files import scan
    from dmontage.grid import Grid
    from dmontage.pipeline import plan

    where, wish = Where.take(chosen), Wish.take(chosen)
    with where.told():
        wish.check()
        images = scan(inputs, strict=strict, mosaics=True)
        grid = None if header is None else Grid.from_header(header)
        with where.entered():
            tell(run(plan(images, grid, strict=strict, aligned=True, **chosen), wish, strict=strict), wish)


@main.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("demo-out"), show_default=True, help="Folder for all of it."
)
@click.option(
    "--size", type=click.FloatRange(0.05, 5.0), default=1.0, show_default=True, help="Side of the field in degrees."
)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Another number, another sky.")
@click.option("--nebula", type=click.FloatRange(0), default=0.0, help="Peak of a nebula over a third of it.")
def demo(out: Path, size: float, seed: int, nebula: float) -> None:
    """Simulate a survey of a known sky, mosaic it, and judge the mosaic against the truth."""
    from dmontage.demo.judge import judge
    from dmontage.demo.simulate import simulate
    from dmontage.pipeline import plan

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}; choose another folder (--out)") from error
    click.echo(f"simulating  {size:g} x {size:g} deg of sky, seed {seed}, in {out / 'raw'}")
    truth = simulate(out / "raw", size, seed, nebula=nebula)
    images = _scan((out / "raw",), strict=True)
    wish = Wish(out / "mosaic.fits", png=out / "mosaic.png")
    wish.check()
    click.echo(run(plan(images, strict=True), wish, strict=True).summary)
    picture(wish)
    verdict = judge(out / "mosaic.fits", truth)
    with aside(out / "verdict.json") as part:
        part.write_text(verdict.to_json(), encoding="utf-8")
    click.echo(verdict)
    click.echo("a level and a gradient common to all images are beyond what overlaps can tell: the picture shows them")
    click.echo(
        f"wrote       {out / 'mosaic.fits'}, {out / 'mosaic_area.fits'}, {out / 'mosaic.png'}, {out / 'verdict.json'}"
    )
    if not verdict.ok:
        raise click.ClickException("the mosaic does not meet its limits")


def _scan(inputs: tuple[Place, ...], strict: bool) -> Images:
    from dmontage.fits_files import scan

    return scan(inputs, strict=strict)
