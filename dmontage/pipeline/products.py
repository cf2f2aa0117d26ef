"""Products: the FITS files of a mosaic."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from dmontage.aside import boot_of_machine
from dmontage.errors import InputError
from dmontage.fits_files import FitsWriter, check_writable, source_table
from dmontage.graph.outlet import Outlet
from dmontage.pipeline.cards import layer_cards, provenance, tile_cards
from dmontage.pipeline.tiles import tiles_of
from dmontage.places import Place, place

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray

    from dmontage.graph.outlet import Written
    from dmontage.pipeline.summary import Summary
    from dmontage.pipeline.tiles import Tile
    from dmontage.planner import MosaicPlan
    from dmontage.window import Window

__all__ = ["Products", "check_apart", "check_products", "product_paths", "with_ending", "write_sources"]


_P = TypeVar("_P", bound=Place)

_TOLD = 20
"""Files that a task is told of at most, of 10 to 20 bytes each."""


def with_ending(path: _P, ending: str) -> _P:
    """``x.fits`` as ``x_ending.fits``."""
    return cast("_P", path.with_stem(f"{path.stem}{ending}"))


def product_paths(path: _P, plan: MosaicPlan, tiles: Sequence[Tile] = ()) -> list[_P]:
    """The mosaic's file and what stands beside it: ``x_area.fits``, and one for each other layer (``x_depth.fits``).

    Of tiles those of each, ``x_0_1.fits``, ``x_0_1_area.fits`` and so on.
    """
    names = ["", *(f"_{name}" for name in plan.layers[1:]), *["_sources"] * ("sources" in plan.also)]
    return [with_ending(path, f"{tile.ending}{name}") for tile in tiles or tiles_of(plan.grid.shape, None)
            for name in names]  # fmt: skip


def check_products(products: Sequence[Place], plans: Iterable[MosaicPlan]) -> None:
    """InputError, before any work, where one of a mosaic's products cannot be written, or would be another file too."""
    for k, path in enumerate(products):
        # One folder and one suffix: what the first can the others can, but be a folder.
        if not k or (isinstance(path, Path) and path.is_dir()):
            check_writable(path)
    check_apart(products, plans)


def check_apart(products: Sequence[Place], plans: Iterable[MosaicPlan]) -> None:
    """InputError where two products, or a product and an image, would be one file."""
    seen = {place(ref.path).resolve(): "one of the images" for plan in plans for ref in plan.files}
    for path in products:
        if (there := path.resolve()) in seen:
            raise InputError(f"cannot write {path}: it is {seen[there]}; name another file")
        seen[there] = "another product of this run"


class _Together:
    """Several contexts as one: all are entered or none, and each is left."""

    def __init__(self, each: Sequence[Any]) -> None:
        self._each = each
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for one in self._each:
                stack.enter_context(one)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def close(self) -> None:
        """Put all files in their places."""
        self._stack.close()


class _Layer(_Together):
    """The files of one layer, one for each tile: used as a `FitsWriter` of the whole."""

    def __init__(
        self, paths: Sequence[Path], plan: MosaicPlan, tiles: Sequence[Tile], cards: Sequence[Any], **options: Any
    ) -> None:
        self._tiles = [
            (tile.window, FitsWriter(path, plan.grid.subgrid(tile.window), [*cards, *tile_cards(tile)], **options))
            for path, tile in zip(paths, tiles, strict=True)
        ]
        self._side = max(tiles[0].window.shape)
        self._at: dict[tuple[int, int], list[int]] = defaultdict(list)
        for k, tile in enumerate(tiles):
            for index, _ in tile.window.blocks((self._side, self._side)):
                self._at[index].append(k)
        super().__init__([writer for _, writer in self._tiles])

    @property
    def digests(self) -> dict[Path, str]:
        """Of the files, once they are whole."""
        return {writer.path: writer.digest for _, writer in self._tiles}

    def reached(self, windows: Iterable[Window]) -> list[tuple[Window, FitsWriter]]:
        """The tiles that some windows reach, and their files."""
        blocks = {index for window in windows for index, _ in window.blocks((self._side, self._side))}
        return [self._tiles[k] for k in sorted({k for index in blocks for k in self._at.get(index, ())})]

    def write(self, window: Window, values: NDArray[Any]) -> None:
        """Write a window's pixels into all tiles that it reaches."""
        for tile, writer in self.reached([window]):
            part = tile & window
            if part:
                writer.write(part.relative_to(tile), values[part.relative_to(window).slices])


class Products(_Together):
    """The files of a mosaic while they are written, a window at a time; each is renamed when all are whole."""

    def __init__(self, path: Path, plan: MosaicPlan, summary: Summary, tiles: Sequence[Tile]) -> None:
        self._plan = plan
        paths = [product_paths(path, plan, (tile,)) for tile in tiles]
        # Sources have a pass of their own.
        made = zip(zip(*paths, strict=True), layer_cards(plan, summary), strict=False)
        self._writers = [_Layer(mine, plan, tiles, cards) for mine, cards in made]
        super().__init__(self._writers)
        self._writer_of: dict[str, FitsWriter] = {}
        self.any_covered = False
        """True when a pixel has a value."""

    @property
    def digests(self) -> dict[Path, str]:
        """Of all files, once they are whole."""
        return {path: digest for layer in self._writers for path, digest in layer.digests.items()}

    def outlet(self, windows: Sequence[Window]) -> Outlet:
        """The files that some windows go to."""
        layers = zip(self._plan.layers, self._writers, strict=True)
        reached = {name: layer.reached(windows) for name, layer in layers}
        tiles = tuple(tile for tile, _ in reached[self._plan.layers[0]])
        self._writer_of |= {writer.pixels.path: writer for layer in reached.values() for _, writer in layer}
        files = {name: [writer.pixels for _, writer in layer] for name, layer in reached.items()}
        return Outlet(boot_of_machine(), tiles, files)

    def outlet_of_task(self, windows: Sequence[Window]) -> Outlet | None:
        """The same, but for files so small that a task would have to tell too many of them."""
        outlet = self.outlet(windows)
        return outlet if len(outlet.tiles) * len(outlet.files) <= _TOLD else None

    def write(self, window: Window, layers: Sequence[NDArray[np.float32]]) -> None:
        """Write one chunk of all layers, as the store has them; the area becomes steradian."""
        self.note(self.outlet([window]).write(self._plan.grid, self._plan.sub_out, window, layers))

    def note(self, written: Written) -> None:
        """What was written, here or by a task."""
        if written.any_covered:  # set, not added to: threads note at once
            self.any_covered = True
        for path, blocks in written.blocks.items():
            self._writer_of[path].note(blocks)


def write_sources(
    plan: MosaicPlan,
    summary: Summary,
    path: Path,
    tiles: Sequence[Tile],
    sets: Sequence[Sequence[int]],
    chunks: Iterable[Any],
) -> None:
    """Write which images made each pixel: the number of their set as an int32 image, and a table of the sets.

    ``chunks`` gives windows and their numbers.
    """
    cards = [("CONTENT", "sources", "number of the set of images, see SOURCES"), *provenance(plan, summary)]
    table = source_table(sets, [image.name for image in plan.images])
    paths = [product_paths(path, plan, (tile,))[-1] for tile in tiles]
    with _Layer(paths, plan, tiles, cards, whole_numbers=True, tables=[table]) as writer:
        for window, numbers in chunks:
            writer.write(window, numbers)
