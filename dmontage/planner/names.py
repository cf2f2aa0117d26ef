"""Names: images as a user calls them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from dmontage.errors import InputError
from dmontage.places import place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from dmontage.model import ImageRef

__all__ = ["finder", "numbers_of"]


def finder(images: Iterable[ImageRef]) -> Callable[[str], set[int]]:
    """Looks images up: the numbers of those that have a name, or a path, which may be told from where the user is."""
    known: dict[str, set[int]] = defaultdict(set)
    for k, image in enumerate(images):
        known[image.path].add(k)
        known[image.name].add(k)

    def find(name: str) -> set[int]:
        return known.get(name) or known.get(str(place(name).resolve()), set())

    return find


def numbers_of(images: Sequence[ImageRef], option: str, names: Sequence[str]) -> tuple[int, ...]:
    """Images by name, or by path; InputError, about an option, for one that is none of these, or several."""
    if not names:
        return ()
    find = finder(images)
    found: list[int] = []
    for name in names:
        mine = find(name)
        if not mine:
            raise InputError(
                f"{option} {name!r} is none of the {len(images)} images on the grid: {images[0].name}, ..."
            )
        if len(mine) > 1:
            raise InputError(f"{option} {name!r} names {len(mine)} images: give the path of one")
        found += mine
    return tuple(dict.fromkeys(found))
