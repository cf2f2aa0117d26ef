"""Bands: a mosaic for each of several bands, pixel by pixel on one grid."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from dmontage.errors import InputError, OffGridError
from dmontage.fits_files import check_writable
from dmontage.model import Images, Skipped
from dmontage.pipeline.cube import cube_writer
from dmontage.pipeline.products import check_apart, check_products, product_paths, with_ending
from dmontage.pipeline.tiles import tiles_of
from dmontage.pipeline.value import Mosaic
from dmontage.places import Place, made_at, place
from dmontage.planner import BandPlans, band_ending
from dmontage.planner.bands import check_endings
from dmontage.planner.names import finder
from dmontage.shown import Shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from dmontage.fits_files import FitsWriter
    from dmontage.grid import Grid
    from dmontage.model import Companions, ImageRef, Matching
    from dmontage.planner import MosaicPlan

__all__ = ["Bands", "add_plane", "band_path", "plan_bands"]


_P = TypeVar("_P", bound=Place)


def band_path(path: _P, name: str) -> _P:
    """Where the file, or the store, of a band lies: ``x_J.fits`` for ``x.fits``."""
    return with_ending(path, band_ending(name))


@dataclass(frozen=True, eq=False, repr=False)
class Bands(Mapping[str, Mosaic], Shown):
    """Mosaics by the names of their bands, in order of these, pixel by pixel on one grid. Made by `mosaics`."""

    plan: BandPlans
    """What will be done. Print it."""
    mosaics: Mapping[str, Mosaic]

    @property
    def grid(self) -> Grid:
        """The grid of all."""
        return self.plan.grid

    def write(self, path: str | Place, tiles: int | None = None, overlap: int = 0) -> Self:
        """Write each band's mosaic, and what stands beside it: ``x_J.fits``, ``x_J_area.fits``, ...

        Parameters
        ----------
        path
            ``x.fits``; no file has that very name.
        tiles, overlap
            As for `Mosaic.write`.

        Returns
        -------
        Bands
            Itself.
        """
        there, parts = place(path), tiles_of(self.grid.shape, tiles, overlap)
        each = [product_paths(band_path(there, name), plan, parts) for name, plan in self.plan.items()]
        check_products([product for products in each for product in products], self.plan.values())
        for name, mosaic in self.items():
            mosaic.write(band_path(there, name), tiles, overlap)
        return self

    def write_cube(self, path: str | Place) -> Self:
        """Write all bands as one cube (band, y, x), with a table BANDS of their names; it needs no other file.

        Parameters
        ----------
        path
            FITS file, or its URL.

        Returns
        -------
        Bands
            Itself.
        """
        check_writable(path)
        check_apart([place(path)], self.plan.values())
        with made_at(path) as here, cube_writer(here, self.plan) as cube:
            for k, mosaic in enumerate(self.values()):
                add_plane(cube, k, mosaic)
        return self

    def __getitem__(self, name: str) -> Mosaic:
        if name not in self.mosaics:
            raise KeyError(f"there is no band {name!r} by {self.plan.group_by}; there are {', '.join(self)}")
        return self.mosaics[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.mosaics)

    def __len__(self) -> int:
        return len(self.mosaics)

    def __repr__(self) -> str:
        ny, nx = self.grid.shape
        return f"<Bands {', '.join(self)} by {self.plan.group_by}, {nx} x {ny}>"

    def __str__(self) -> str:
        return "\n".join([repr(self), *(f"  {name}  {mosaic!r}" for name, mosaic in self.items())])


def add_plane(cube: FitsWriter, plane: int, mosaic: Mosaic) -> None:
    """Write a mosaic's values into a plane of a cube, counted from 0; what the store has of them is not made again."""
    mosaic.stream(lambda window, layers: cube.write(window, layers[0], plane))


def plan_bands(
    group_by: str | Mapping[str, str],
    images: Images,
    companions: Mapping[ImageRef, Companions],
    matching: Matching,
    make: Callable[[Images, Matching], MosaicPlan],
) -> BandPlans:
    """A plan for each band.

    Parameters
    ----------
    group_by
        What told the bands of the companions.
    make
        Makes the plan of some images.

    Raises
    ------
    InputError
        If no band reaches the grid; if two would have one file name; if a plan cannot be made.
    """
    groups: dict[str, list[ImageRef]] = defaultdict(list)
    for image in images:
        groups[companions[image].band or ""].append(image)
    check_endings(sorted(groups))
    plans: dict[str, MosaicPlan] = {}
    skipped = list(images.skipped)
    nowhere: list[OffGridError] = []
    keyword = group_by if isinstance(group_by, str) and ":" not in group_by else ""
    for name in sorted(groups):
        try:
            decided = make(Images(tuple(groups[name])), _of_band(matching, groups[name], images))
        except OffGridError as error:
            nowhere.append(error)
            skipped += [Skipped(image.name, f"no image of band {name} overlaps the grid") for image in groups[name]]
        except InputError as error:
            raise InputError(f"band {name}: {error}") from error
        else:
            plans[name] = replace(decided, band=(keyword, name))
    if not plans:
        raise nowhere[0]
    return BandPlans(group_by if isinstance(group_by, str) else "group_by", plans, tuple(skipped))


def _of_band(matching: Matching, mine: list[ImageRef], images: Images) -> Matching:
    """The matching of some images: of anchors and locks, those that name no image of other bands alone."""
    in_band, in_any = finder(mine), finder(images)

    def named(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in names if in_band(name) or not in_any(name))

    return replace(matching, anchors=named(matching.anchors), locked=named(matching.locked))
