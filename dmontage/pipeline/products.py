"""Products: the FITS files of a mosaic."""

from __future__ import annotations

import math
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.units import Unit

from dmontage._version import __version__
from dmontage.errors import InputError
from dmontage.fits_files import FitsWriter, check_writable, source_table
from dmontage.headers import is_wcs_card
from dmontage.pipeline.tiles import tiles_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Self

    from numpy.typing import NDArray

    from dmontage.pipeline.summary import Summary
    from dmontage.pipeline.tiles import Tile
    from dmontage.planner import MosaicPlan
    from dmontage.window import Window

__all__ = ["Products", "check_apart", "check_products", "product_paths", "with_ending", "write_sources"]

_BAND = 64
"""Rows that are written at once; a multiple of the block of the files' digests."""

_OWN = {
    "SIMPLE", "BITPIX", "EXTEND", "BUNIT", "MAGZP", "CONTENT", "NOISECOR", "CREATOR", "NIMAGES", "NSKIPPED", "BACKGRND",
    "COMBINE", "CLIPLOW", "CLIPHIGH", "WEIGHTS", "PIXUNIT", "PROJECT", "DROPKERN", "PIXFRAC", "PROJTOL", "PROJERR",
    "TILEROW", "TILECOL", "DATAHASH", "XTENSION", "BSCALE", "BZERO", "BLANK", "PCOUNT", "GCOUNT", "GROUPS",
}  # fmt: skip
"""Keywords of a product beside those of its grid, and others that no text may stand under."""

_ROOM = 60
"""Characters of a card's keyword and value."""


def with_ending(path: Path, ending: str) -> Path:
    """``x.fits`` as ``x_ending.fits``."""
    return path.with_name(f"{path.name.removesuffix(path.suffix)}{ending}{path.suffix}")


def product_paths(path: Path, plan: MosaicPlan, tiles: Sequence[Tile] = ()) -> list[Path]:
    """The mosaic's file and what stands beside it: ``x_area.fits``, and one for each other layer (``x_depth.fits``).

    Of tiles those of each, ``x_0_1.fits``, ``x_0_1_area.fits`` and so on.
    """
    names = ["", *(f"_{name}" for name in plan.layers[1:]), *["_sources"] * ("sources" in plan.also)]
    return [with_ending(path, f"{tile.ending}{name}") for tile in tiles or tiles_of(plan.grid.shape, None)
            for name in names]  # fmt: skip


def check_products(products: Sequence[Path], plans: Iterable[MosaicPlan]) -> None:
    """InputError, before any work, where one of a mosaic's products cannot be written, or would be another file too."""
    for k, path in enumerate(products):
        if not k or path.is_dir():  # one folder and one suffix: what the first can the others can, but be a folder
            check_writable(path)
    check_apart(products, plans)


def check_apart(products: Sequence[Path], plans: Iterable[MosaicPlan]) -> None:
    """InputError where two products, or a product and an image, would be one file."""
    seen = {Path(ref.path).resolve(): "one of the images" for plan in plans for ref in plan.files}
    for path in products:
        if (place := path.resolve()) in seen:
            raise InputError(f"cannot write {path}: it is {seen[place]}; name another file")
        seen[place] = "another product of this run"


class _Layer:
    """The files of one layer, one for each tile: used as a `FitsWriter` of the whole."""

    def __init__(
        self, paths: Sequence[Path], plan: MosaicPlan, tiles: Sequence[Tile], cards: Sequence[Any], **options: Any
    ) -> None:
        self._tiles = [
            (tile.window, FitsWriter(path, plan.grid.subgrid(tile.window), [*cards, *_tile_cards(tile)], **options))
            for path, tile in zip(paths, tiles, strict=True)
        ]
        self._side = max(tiles[0].window.shape)
        self._at: dict[tuple[int, int], list[int]] = defaultdict(list)
        for k, tile in enumerate(tiles):
            for index, _ in tile.window.blocks((self._side, self._side)):
                self._at[index].append(k)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for _, writer in self._tiles:
                stack.enter_context(writer)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def write(self, window: Window, values: NDArray[Any]) -> None:
        """Write a window's pixels into all tiles that it reaches."""
        blocks = window.blocks((self._side, self._side))
        for k in {k for index, _ in blocks for k in self._at.get(index, ())}:
            tile, writer = self._tiles[k]
            part = tile & window
            if part:
                writer.write(part.relative_to(tile), values[part.relative_to(window).slices])


class Products:
    """The files of a mosaic while they are written, a window at a time; each is renamed when all are whole."""

    def __init__(self, path: Path, plan: MosaicPlan, summary: Summary, tiles: Sequence[Tile]) -> None:
        self._plan = plan
        paths = [product_paths(path, plan, (tile,)) for tile in tiles]
        # Sources have a pass of their own.
        made = zip(zip(*paths, strict=True), _cards(plan, summary), strict=False)
        self._writers = [_Layer(mine, plan, tiles, cards) for mine, cards in made]
        self._stack = ExitStack()
        self.any_covered = False
        """True when a pixel has a value."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for writer in self._writers:
                stack.enter_context(writer)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def close(self) -> None:
        """Put all files in their places."""
        self._stack.close()

    def write(self, window: Window, layers: Sequence[NDArray[np.float32]]) -> None:
        """Write one chunk of all layers, as the store has them; the area becomes steradian.

        In bands that stay in cache: half the time of whole chunks, for which memory would be had anew each time.
        """
        plan = self._plan
        for band in window.bands(_BAND):
            at = band.relative_to(window).slices
            for name, layer, writer in zip(plan.layers, layers, self._writers, strict=True):
                values: NDArray[Any] = layer[at]
                if name == "area":
                    covered = values > 0
                    self.any_covered |= bool(covered.any())
                    values = np.where(covered, values * plan.grid.solid_angle(band, plan.sub_out), 0.0)
                writer.write(band, values)


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
    cards = [("CONTENT", "sources", "number of the set of images, see SOURCES"), *_provenance(plan, summary)]
    table = source_table(sets, [image.name for image in plan.images])
    paths = [product_paths(path, plan, (tile,))[-1] for tile in tiles]
    with _Layer(paths, plan, tiles, cards, whole_numbers=True, tables=[table]) as writer:
        for window, numbers in chunks:
            writer.write(window, numbers)


def _tile_cards(tile: Tile) -> list[tuple[str, Any, str]]:
    if tile.place is None:
        return []
    row, column = tile.place
    return [("TILEROW", row, "row of this tile of the mosaic, from 0"), ("TILECOL", column, "and column")]


def _cards(plan: MosaicPlan, summary: Summary) -> list[list[tuple[str, Any, str]]]:
    """Cards of each product: its unit, and how it was made."""
    made = _provenance(plan, summary)
    counts = plan.combine == "count"
    unit = "" if counts else plan.bunit
    zero_point = [("MAGZP", plan.zero_point, "[mag] zero point of the mosaic")]
    zero_point *= plan.zero_point is not None and not counts
    correlation = float(f"{plan.noise_correlation:.4g}")
    own = {
        "mean": [*_bunit(unit, ""), *zero_point],
        "area": _bunit("sr", "covered solid angle, summed over images"),
        "variance": [
            *_bunit(_squared(unit), "variance of the mosaic"),
            ("CONTENT", "variance", "of each value"),
            ("NOISECOR", correlation, "noise of wide means over single pixels'"),
            *zero_point,
        ],
        "depth": [("CONTENT", "depth", "number of images in each value")],
        "rejected": [("CONTENT", "rejected", "number of images that were clipped")],
    }
    return [[*own[name], *made] for name in plan.layers]


def _bunit(unit: str, comment: str) -> list[tuple[str, Any, str]]:
    return [("BUNIT", unit, comment)] if unit else []


def _squared(unit: str) -> str:
    """The unit of a variance, as FITS writes it where it is a known one."""
    if not unit:
        return ""
    try:
        return str((Unit(unit) ** 2).to_string("fits"))
    except (ValueError, TypeError):
        return f"({unit})**2"


def _clip_cards(plan: MosaicPlan) -> list[tuple[str, Any, str]]:
    """Limits of a clipped mean; FITS has no number for an infinite one."""
    sides = zip(("CLIPLOW", "CLIPHIGH"), plan.clip or (), ("below", "above"), strict=False)
    return [(key, k, f"[sigma] limit {side} which values are rejected") for key, k, side in sides if math.isfinite(k)]


def _band_cards(plan: MosaicPlan) -> list[tuple[str, Any, str]]:
    """The band, by the keyword that told it; by BAND if a table did, or the keyword is too long or of another sense."""
    if plan.band is None:
        return []
    keyword, name = plan.band
    keyword = keyword.strip().upper()
    taken = keyword in _OWN or is_wcs_card(keyword) or keyword in plan.grid.to_header()
    if not keyword or taken or len(keyword) + len(name) > _ROOM:
        keyword = "BAND"
    if len(keyword) > 8 or " " in keyword:
        return [(f"HIERARCH {keyword}", name, "")]
    return [(keyword, name, "band of this mosaic")]


def _provenance(plan: MosaicPlan, summary: Summary) -> list[tuple[str, Any, str]]:
    """Cards that tell how a mosaic was made; no dates, so that the same run gives the same file."""
    return [
        *_band_cards(plan),
        ("CREATOR", f"dmontage {__version__}", "software that made this mosaic"),
        ("NIMAGES", summary.images, "images in the mosaic"),
        ("NSKIPPED", len(summary.skipped), "inputs that were left out"),
        ("BACKGRND", plan.background, "background model"),
        ("COMBINE", plan.combine, "how images were combined"),
        *_clip_cards(plan),
        ("WEIGHTS", plan.weights, "weights of the images"),
        ("PIXUNIT", plan.unit, "what a pixel holds"),
        ("PROJECT", plan.method, "projection kernel"),
        ("DROPKERN", plan.drop.kernel, "how a pixel is laid on the output"),
        ("PIXFRAC", plan.drop.pixfrac, "side of a drop in pixels of the image"),
        ("PROJTOL", plan.tol, "[pix] tolerance of the projection"),
        ("PROJERR", float(f"{plan.error_bound:.3g}"), "[pix] stated bound of its error"),
    ]
