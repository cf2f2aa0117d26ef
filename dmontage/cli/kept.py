"""Commands about what is kept: stores of runs, and products."""

from __future__ import annotations

import click

from dmontage.cli.commands import main
from dmontage.cli.options import PLACE
from dmontage.places import Place
from dmontage.progress import bars

__all__: list[str] = []


@main.command("status")
@click.argument("store", type=PLACE)
def status_command(store: Place) -> None:
    """Tell how far the run in STORE (a --workdir) is."""
    from dmontage.pipeline.kept import status

    click.echo(status(store))


@main.command("verify")
@click.argument("path", type=PLACE)
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=8,
    show_default=True,
    help="Chunks of a run to make again; 0 for all.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another number, another sample."
)
def verify_command(path: Place, sample: int, seed: int) -> None:
    """Check PATH: a mosaic's pixels against the digest in its header, or a run against its images.

    Of a run (a --workdir) a sample of chunks is made again from the images, all but the corrections of the backgrounds,
    and must be the same to the bit.
    """
    from dmontage.pipeline.kept import verify

    with bars() as progress:
        found = verify(path, sample, seed, lambda done, total: progress("verify", done, total))
    click.echo(found)
    if found.wrong:
        raise click.ClickException(f"{path} is not what its images give: remove it, and make it again")
