"""Commands for several runs whose backgrounds are matched by one solve."""

from __future__ import annotations

from typing import Any

import click

from dmontage.cli import options
from dmontage.cli.commands import main
from dmontage.cli.options import take_grid
from dmontage.cli.where import Where
from dmontage.places import Place
from dmontage.progress import bars

__all__: list[str] = []


@main.command("fit")
@options.inputs
@click.option("--workdir", required=True, type=options.PLACE, help="Store of the run: its fits are kept there.")
@options.grid
@options.how
@options.strict
@options.where
def fit_command(inputs: tuple[Place, ...], workdir: Place, strict: bool, **chosen: Any) -> None:
    """Project files and folders and fit their overlaps, and no more: for a solve of several runs.

    The mosaic follows with --corrections and the same --workdir.
    """
    from dmontage.fits_files import scan
    from dmontage.pipeline import Mosaic, plan

    where = Where.take(chosen)
    with where.told():
        grid = take_grid(chosen)
        images = scan(inputs, strict=strict)
        with where.entered(), bars() as progress:
            made = Mosaic(plan(images, grid, strict=strict, **chosen), workdir, strict=strict, progress=progress).fit()
        click.echo(made.summary)
        click.echo(f"fitted      {len(made.fits)} overlaps, kept in {workdir}")


@main.command("solve")
@click.argument("stores", nargs=-1, required=True, type=options.PLACE)
@click.option("-o", "--output", required=True, type=options.PLACE, help="Table to write (ECSV).")
@click.option(
    "--background",
    type=click.Choice(["level", "plane"]),
    default="plane",
    show_default=True,
    help="Match the images by a level and two slopes each, or by a level.",
)
@options.matching
def solve_command(stores: tuple[Place, ...], output: Place, **wishes: Any) -> None:
    """Match the backgrounds of the runs in STORES (their --workdirs) by one solve, from the fits that these keep.

    Each run then makes its mosaic with --corrections, as a part of one run of all.
    """
    from dmontage.fits_files import check_writable
    from dmontage.pipeline import solve_runs
    from dmontage.pipeline.corrections import write_table
    from dmontage.places import made_at
    from dmontage.planner import some

    check_writable(output, suffixes=None)
    table = solve_runs(stores, **wishes)
    with made_at(output) as here:
        write_table(table, here)
    click.echo(f"solved      {len(table)} images of {len(stores)} runs in {len(set(table['group']))} groups")
    click.echo(f"gauge       {table.meta['gauge']}")
    if table.meta["missing"]:
        click.echo(f"skipped     not projected: {some(table.meta['missing'])}")
    click.echo(f"wrote       {output}")
