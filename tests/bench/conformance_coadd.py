"""What must hold of coadds: each check gives the number that must not exceed its limit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from checks import Check, check_of
from projectors import Floats
from stacks import SIDE, STACKS, Stack

MONTAGE = {name: STACKS[name] for name in ("dmontage", "Montage", "MontagePy")}
WEIGHTED = MONTAGE | {"reproject": STACKS["reproject"]}
MEDIAN = MONTAGE | {"SWarp": STACKS["SWarp"]}


def levels(*values: float) -> list[Floats]:
    """Constant images."""
    return [np.full((SIDE, SIDE), value) for value in values]


def deep(stack: Stack, n: int) -> float:
    """Percentage of pixels where the mean of 1 ... n is not (n + 1) / 2."""
    made = stack(levels(*range(1, n + 1)), None, "mean")
    return 100 * float(np.mean(~(np.abs(made / ((n + 1) / 2) - 1) < 1e-6)))


def off(stack: Stack, values: Sequence[float], word: str, true: float, areas: Sequence[float] | None = None) -> float:
    """Largest difference from what it should be."""
    made = stack(levels(*values), areas, word)
    return float(np.max(np.abs(np.where(np.isfinite(made), made, np.inf) - true)))


COADD: list[Check] = [
    check_of("C21 mean of a stack of 51: pixels wrong", 0, STACKS, deep, 51, unit="%"),
    check_of("C21 mean of a stack of 101: pixels wrong", 0, STACKS, deep, 101, unit="%"),
    check_of("C21 mean of 10 and 20, areas 1 and 1/4, off 12", 1e-6, WEIGHTED, off, (10, 20), "mean", 12, (1, 0.25)),
    check_of("C22 median of 1, 2, 4, 10, off 3", 1e-6, MEDIAN, off, (1, 2, 4, 10), "median", 3.0),
    check_of("C22 median of 1 and 2, off 1.5", 1e-6, MEDIAN, off, (1, 2), "median", 1.5),
    check_of("C23 count of -1, -2, 3, off 3", 0, MONTAGE, off, (-1, -2, 3), "count", 3.0),
]
