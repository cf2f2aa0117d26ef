"""The commands about Montage's own programs."""

from __future__ import annotations

from pathlib import Path

import click

from dmontage.cli.commands import main

__all__ = ["montage_tools"]


@main.group("montage-tools")
def montage_tools() -> None:
    """Montage's programs (mProjExec, mAdd, ...) over this engine."""


@montage_tools.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@click.option("--force", is_flag=True, help="Replace files of these names that are not ours.")
def install(folder: Path, force: bool) -> None:
    """Write executables by the names of Montage's programs into DIR: with its flags, its answers and its exit codes.

    Put DIR first in PATH, and scripts that call Montage's programs call these.
    """
    from dmontage.montage.install import install as write

    names = write(folder, force=force)
    click.echo(f"wrote       {len(names)} programs into {folder}: {' '.join(names)}")
    click.echo(f"to use them export PATH={folder.absolute()}:$PATH")
