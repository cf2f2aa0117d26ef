"""Run: from plans to files, one mosaic after the other."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dmontage.errors import InputError
from dmontage.places import Place, Url, brought, made_at
from dmontage.progress import bars

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from dmontage.pipeline import Mosaic
    from dmontage.planner import BandPlans, MosaicPlan

__all__ = ["Wish", "picture", "run", "run_bands", "show", "tell"]


@dataclass(frozen=True)
class Wish:
    """What a command is to write."""

    output: Place
    workdir: Place | None = None
    png: Place | None = None
    report: Place | None = None
    """Stem of the report's files."""
    write_corrections: Place | None = None
    tiles: int | None = None
    tile_overlap: int = 0

    @property
    def store(self) -> Place:
        """Where the run lies: beside the output, unless told otherwise."""
        return self.workdir or self.output.with_name(f"{self.output.name}.run.zarr")

    @classmethod
    def take(cls, options: dict[str, Any]) -> Self:
        """Take out of a command's options what is to be written."""
        return cls(**{f.name: options.pop(f.name) for f in fields(cls) if f.name in options})

    def check(self) -> None:
        """InputError, before anything is read, where it cannot be written."""
        from dmontage.fits_files import check_writable

        check_writable(self.output)
        if self.png is not None:
            check_writable(self.png, suffixes=(".png",))
            if self.tiles is not None:
                raise InputError("a picture is made of the one file: leave out --png or --tiles")
        for path in self.beside():
            check_writable(path, suffixes=None)

    def of_band(self, name: str) -> Self:
        """The same for one band."""
        from dmontage.pipeline.bands import band_path

        paths: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        paths = {key: band_path(path, name) for key, path in paths.items() if isinstance(path, (Path, Url))}
        return replace(self, **paths)

    def beside(self) -> list[Place]:
        """Files beside the mosaic's, but for the picture."""
        paths: list[Place] = [] if self.write_corrections is None else [self.write_corrections]
        if self.report is not None:
            from dmontage.report import report_paths

            paths[:0] = report_paths(self.report)
        return paths

    def products(self, plan: MosaicPlan) -> list[Place]:
        """Files of the mosaic."""
        from dmontage.pipeline import product_paths
        from dmontage.pipeline.tiles import tiles_of

        return product_paths(self.output, plan, tiles_of(plan.grid.shape, self.tiles, self.tile_overlap))


def run(plan: MosaicPlan, wish: Wish, *, strict: bool) -> Mosaic:
    """Make a mosaic and all that is wished but the picture."""
    _check([(plan, wish)])
    return _run(plan, wish, strict=strict)


def run_bands(plans: BandPlans, wish: Wish, *, strict: bool, cube: bool) -> None:
    """Make a mosaic for each band, and on request a cube of them, at the output's own name, and tell of each."""
    from dmontage.model import skipped_lines
    from dmontage.pipeline.bands import add_plane
    from dmontage.pipeline.cube import cube_writer

    wishes = {name: wish.of_band(name) for name in plans}
    _check([(plan, wishes[name]) for name, plan in plans.items()], [wish.output] if cube else [])
    with ExitStack() as stack:
        file = None if not cube else stack.enter_context(cube_writer(stack.enter_context(made_at(wish.output)), plans))
        for k, (name, plan) in enumerate(plans.items()):
            then = None if file is None else partial(add_plane, file, k)
            made = _run(plan, wishes[name], strict=strict, then=then)
            click.echo(f"band        {name}")
            tell(made, wishes[name])
    for text in skipped_lines(plans.skipped):
        click.echo(f"skipped     {text}")
    if cube:
        click.echo(f"wrote       {wish.output}")
    show(*wishes.values())


def show(*wishes: Wish) -> None:
    """Make the pictures that are wished, and say so."""
    for wish in wishes:
        if wish.png is not None:
            picture(wish)
            click.echo(f"wrote       {wish.png}")


def _check(each: Sequence[tuple[MosaicPlan, Wish]], more: Sequence[Place] = ()) -> None:
    """InputError, before any work, for what cannot be written, or would be one file with another."""
    from dmontage.pipeline.products import check_products

    products = list(more)
    for plan, wish in each:
        products += wish.products(plan)
        if (wish.report or wish.write_corrections) and not plan.is_matched:
            raise InputError(f"background {plan.background!r} matches nothing: leave out --report, --write-corrections")
    others = [path for _, wish in each for path in (wish.png, *wish.beside()) if path is not None]
    check_products([*products, *others], [plan for plan, _ in each])


def _run(plan: MosaicPlan, wish: Wish, *, strict: bool, then: Callable[[Mosaic], None] | None = None) -> Mosaic:
    """Make what is wished of one mosaic; the store lies beside the output, and goes then."""
    from dmontage.graph.drive import active_client
    from dmontage.pipeline import Mosaic
    from dmontage.pipeline.compiling import seconds_to_compile
    from dmontage.report import background_report

    if active_client() is None and (seconds := seconds_to_compile(plan)):
        click.echo(f"compiling kernels that no run here needed before (about {seconds} s, once)", err=True)
    with bars() as progress:
        made = Mosaic(plan, wish.store, strict=strict, progress=progress)
        if wish.workdir is None:
            made.discard_stale()
        try:
            made.write(wish.output, wish.tiles, wish.tile_overlap)
            if then is not None:
                then(made)
            if wish.report is not None:
                with made_at(wish.report) as stem:
                    background_report(made).write(stem)
            if wish.write_corrections is not None:
                made.write_corrections(wish.write_corrections)
        except BaseException:
            if made.summary.seconds:  # else the store was refused, and is somebody else's
                kept = f"the work so far is kept in {wish.store}: the same command again goes on from there"
                click.echo(kept, err=True)
            raise
        made.close(remove=wish.workdir is None)
    return made


def tell(made: Mosaic, wish: Wish) -> None:
    """Say what was done and written, but for the picture."""
    from dmontage.planner import some

    click.echo(made.summary)
    products, beside = ([str(path) for path in paths] for paths in (wish.products(made.plan), wish.beside()))
    written = ", ".join(products) if wish.tiles is None else some(products)
    click.echo("wrote       " + ", ".join([written, *beside]))


def picture(wish: Wish) -> None:
    """Make the picture that is wished, if any, with the mosaic's coordinates in it."""
    from dmontage.fits_files import pixels
    from dmontage.grid import Grid
    from dmontage.view import picture as view
    from dmontage.view.save import save

    if wish.png is not None:
        with brought(wish.output) as mosaic, made_at(wish.png) as here:
            save(view.picture(pixels(mosaic)), here, Grid.from_header(mosaic))
