"""Batching: what one task does of many small things."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dmontage.planner.estimate import REFERENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["batches", "in_tasks"]

_TASK_PIXELS = 2_000_000
"""Work of one task at least, in pixels that the plane kernel projects in the time: 0.1 s."""

_MORE, _EACH = 4, 4
"""How many times as much where there is enough of it: as long as each of the tasks at once has so many in turn."""


def in_tasks(seconds: Sequence[float], slots: int, most: int | None = None) -> tuple[tuple[int, ...], ...]:
    """Tasks of things that take so long each: so few that scheduling costs little, so many that all stay busy.

    Parameters
    ----------
    seconds
        Of each thing, on one core of the speed of reference.
    slots
        Tasks at once.
    most
        Things in a task, where what they are told by counts.

    Returns
    -------
    tuple of tuple of int
        Numbers of the things of each task, in order.
    """
    shortest = max(_MORE * _TASK_PIXELS / most, 1.0) if most else 1.0
    costs = [max(each / REFERENCE, shortest) for each in seconds]
    n_least, n_most = (math.ceil(sum(costs) / (times * _TASK_PIXELS) - 1e-6) for times in (_MORE, 1))
    n = min(max(_EACH * slots, n_least), n_most)
    if n > slots:
        n = -(-n // slots) * slots  # all end together
    return batches(costs, n)


def batches(costs: Sequence[float], n: int) -> tuple[tuple[int, ...], ...]:
    """Cut the numbers 0, 1, ... into ``n`` runs of about the same cost; fewer where single ones cost more than that."""
    total, before = sum(costs), 0.0
    out: dict[int, list[int]] = {}
    for i, cost in enumerate(costs):
        out.setdefault(int((before + cost / 2) / total * n), []).append(i)
        before += cost
    return tuple(tuple(batch) for batch in out.values())
