"""Outcome: what became of the images, from the receipts of their rows (an image may have several)."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Outcome", "outcome"]


class Outcome(NamedTuple):
    """Of the images whose rows were projected, by their number in the plan."""

    failed: dict[int, str]
    """Damaged ones, each with the error."""
    empty: tuple[int, ...]
    """Those of which no pixel counts, or lies on the grid."""
    undefined: int
    """Pixels with a value but with a corner off the sky."""
    reused: int
    """Images that the store held already."""


def outcome(receipts: Mapping[int, dict[str, Any]], image_of: Sequence[int]) -> Outcome:
    """Put the receipts of rows, by their number, together by image; ``image_of`` tells that of each row."""
    by_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row, receipt in sorted(receipts.items()):
        by_image[image_of[row]].append(receipt)
    n_rows = Counter(image_of)
    failed = {k: r["error"] for k, rows in sorted(by_image.items()) for r in rows if "error" in r}
    return Outcome(
        failed,
        tuple(
            k
            for k, rows in sorted(by_image.items())
            if k not in failed and len(rows) == n_rows[k] and all(r["empty"] for r in rows)
        ),
        # Each row of an image that is cut counts all of the image's, or none.
        sum(max(r["lost"] for r in rows) for rows in by_image.values()),
        sum(all(r["reused"] for r in rows) for rows in by_image.values()),
    )
