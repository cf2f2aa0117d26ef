"""The commands."""

from __future__ import annotations

import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dmontage._version import __version__
from dmontage.cli import options
from dmontage.cli.options import make_grid, take_grid
from dmontage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dmontage.grid import Grid
    from dmontage.model import Images
    from dmontage.pipeline import Mosaic

__all__ = ["bars", "main"]


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
def scan_command(inputs: tuple[Path, ...], strict: bool) -> None:
    """List the images in files and folders, and what is skipped and why."""
    click.echo(_scan(inputs, strict))


@main.command()
@options.inputs
@options.grid
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write; standard output if not given.")
def header(inputs: tuple[Path, ...], output: Path | None, **grid: Any) -> None:
    """Print the template of the grid that images fit on, or that is asked for."""
    text = make_grid(_scan(inputs, strict=False), **grid).to_template()
    if output is None:
        click.echo(text, nl=False)
    else:
        from dmontage.fits_files import check_writable

        check_writable(output, suffixes=None)
        output.write_text(text)
        click.echo(f"wrote       {output}", err=True)


@main.command("plan")
@options.inputs
@options.grid
@options.how
@options.strict
@click.option("--calibrate", is_flag=True, help="Measure this machine's speed for the estimate of the time.")
def plan_command(inputs: tuple[Path, ...], strict: bool, calibrate: bool, **chosen: Any) -> None:
    """Show what a mosaic would take: images, pairs, tasks, memory, bytes, time; and what of the input is suspicious.

    Computes nothing; of each image a row is read, to tell those that are blank.
    """
    from dmontage.pipeline import plan

    grid = take_grid(chosen)
    click.echo(plan(_scan(inputs, strict), grid, strict=strict, check_pixels=True, calibrate=calibrate, **chosen))


@main.command()
@options.inputs
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Mosaic to write (FITS).")
@options.grid
@options.how
@options.strict
@click.option(
    "--workdir", type=click.Path(path_type=Path), help="Store of the run, kept: the same command again reuses it."
)
@click.option("--png", type=click.Path(path_type=Path), help="Picture to write.")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    help="Report of what background matching did: STEM.txt, STEM.json and STEM.png.",
    metavar="STEM",
)
@click.option(
    "--write-corrections", type=click.Path(path_type=Path), help="Table of the images' corrections to write (ECSV)."
)
@click.option(
    "--scheduler", default="threads", show_default=True, help="'threads', or a dask scheduler: tcp://HOST:PORT."
)
def mosaic(
    inputs: tuple[Path, ...],
    output: Path,
    strict: bool,
    workdir: Path | None,
    png: Path | None,
    report: Path | None,
    write_corrections: Path | None,
    scheduler: str,
    **chosen: Any,
) -> None:
    """Make a mosaic of files and folders: project, match backgrounds, coadd, write."""
    from dmontage.pipeline import product_paths

    grid = take_grid(chosen)
    images = _scan(inputs, strict)
    with _cluster(scheduler):
        made, more = _make(images, grid, output, workdir, png, report, write_corrections, strict=strict, **chosen)
    click.echo(made.summary)
    click.echo("wrote       " + ", ".join(map(str, [*product_paths(output, made.plan), *more])))
    if png is not None:
        _picture(output, png)
        click.echo(f"wrote       {png}")


@main.command()
@options.inputs
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Mosaic to write (FITS).")
@click.option("--header", type=click.Path(path_type=Path), help="Template (.hdr) of the grid.  [default: all images]")
@options.aligned
@options.strict
@click.option(
    "--workdir", type=click.Path(path_type=Path), help="Store of the run, kept: the same command again reuses it."
)
@click.option(
    "--scheduler", default="threads", show_default=True, help="'threads', or a dask scheduler: tcp://HOST:PORT."
)
def coadd(
    inputs: tuple[Path, ...],
    output: Path,
    header: Path | None,
    strict: bool,
    workdir: Path | None,
    scheduler: str,
    **chosen: Any,
) -> None:
    """Make a mosaic of images that lie on one grid already, with x_area.fits files beside them or without."""
    from dmontage.fits_files import scan
    from dmontage.grid import Grid
    from dmontage.pipeline import product_paths

    images = scan(inputs, strict=strict, mosaics=True)
    grid = None if header is None else Grid.from_header(header)
    with _cluster(scheduler):
        made, _ = _make(images, grid, output, workdir, None, strict=strict, aligned=True, **chosen)
    click.echo(made.summary)
    click.echo("wrote       " + ", ".join(map(str, product_paths(output, made.plan))))


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
    made, _ = _make(images, None, out / "mosaic.fits", None, out / "mosaic.png", strict=True)
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
    grid: Callable[[Images], Grid] | Grid | None,
    output: Path,
    workdir: Path | None,
    png: Path | None,
    report: Path | None = None,
    table: Path | None = None,
    *,
    strict: bool,
    **chosen: Any,
) -> tuple[Mosaic, list[Path]]:
    """Run it all but the picture, and tell what else was written; the store lies beside the output, and goes then."""
    from dmontage.fits_files import check_writable
    from dmontage.graph.drive import active_client
    from dmontage.pipeline import Mosaic, plan, product_paths
    from dmontage.pipeline.compiling import seconds_to_compile
    from dmontage.pipeline.products import check_apart
    from dmontage.report import background_report, report_paths

    check_writable(output)
    if png is not None:
        check_writable(png, suffixes=(".png",))
    more = [*(report_paths(report) if report else []), *([table] if table else [])]
    for path in more:
        check_writable(path, suffixes=None)
    store = workdir or output.with_name(f"{output.name}.run.zarr")
    decided = plan(images, grid, strict=strict, **chosen)
    check_apart([*product_paths(output, decided), *([png] if png else []), *more], [decided])
    if (report or table) and not decided.is_matched:
        raise InputError(f"background {decided.background!r} matches nothing: leave out --report, --write-corrections")
    if active_client() is None and (seconds := seconds_to_compile(decided)):
        click.echo(f"compiling the kernels (once after installation, about {seconds} s)", err=True)
    with bars() as progress:
        made = Mosaic(decided, store, strict=strict, progress=progress)
        if workdir is None:
            made.discard_stale()
        try:
            made.write(output)
            if report is not None:
                background_report(made).write(report)
            if table is not None:
                made.write_corrections(table)
        except BaseException:
            if made.summary.seconds:  # else the store was refused, and is somebody else's
                click.echo(f"the work so far is kept in {store}: the same command again goes on from there", err=True)
            raise
        made.close(remove=workdir is None)
    return made, more


def _picture(mosaic: Path, png: Path) -> None:
    """A mosaic's picture; after the summary, since one without pixels has none."""
    from dmontage.fits_files import pixels
    from dmontage.view.picture import write_png

    write_png(png, pixels(mosaic))


def _scan(inputs: tuple[Path, ...], strict: bool) -> Images:
    from dmontage.fits_files import scan

    return scan(inputs, strict=strict)


@contextmanager
def bars() -> Iterator[Callable[[str, int, int], None]]:
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
