"""Names: images as a user calls them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from dmontage.places import place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dmontage.model import ImageRef

__all__ = ["finder"]


def finder(images: Iterable[ImageRef]) -> Callable[[str], set[int]]:
    """Looks images up: the numbers of those that have a name, or a path, which may be told from where the user is."""
    known: dict[str, set[int]] = defaultdict(set)
    for k, image in enumerate(images):
        known[image.path].add(k)
        known[image.name].add(k)

    def find(name: str) -> set[int]:
        return known.get(name) or known.get(str(place(name).resolve()), set())

    return find
