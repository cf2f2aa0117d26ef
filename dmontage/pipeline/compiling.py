"""Compiling: whether the kernels of a plan must be compiled first, told without importing numba (half a second)."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import dmontage.kernels
from dmontage.planner.combining import STACKED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dmontage.planner import MosaicPlan

__all__ = ["seconds_to_compile"]

_SECONDS = {
    "chebyshev": 1, "plane": 7, "sky": 9, "drops.list_square": 3, "drops.list_point": 1, "drops.list_gaussian": 1,
    "deposit": 1, "fit": 2, "stack": 1, "stack.median": 2,
    "stack.take": 1, "clip": 4,
}  # fmt: skip
"""Of modules, or of functions of their own weight; measured on one core of a 2-core machine. What a function takes
again for arguments of other types (weights, variances) is not foreseen: a second or two."""

_TAKEN = ("min", "max", "first")

_FIT = ("plane_fit", "residuals", "median_counts")


def seconds_to_compile(plan: MosaicPlan) -> int:
    """About how long the kernels of a plan take to compile; 0 when numba's cache has them all."""
    listed = [plan.listed(i) for i in range(len(plan.rows))]
    methods = {row.method for row in plan.rows}
    needed = {
        "chebyshev": "plane" in methods,
        "plane": any(row.method == "plane" and not long for row, long in zip(plan.rows, listed, strict=True)),
        "sky": "sky" in methods,
        f"drops.list_{plan.drop.kernel}": any(listed) and ("plane" in methods or plan.drop.kernel != "square"),
        "deposit": any(listed),
        "fit": plan.is_matched and bool(plan.pairs),
        "stack": plan.combine not in (*STACKED, *_TAKEN),
        "stack.median": plan.combine == "median",
        "stack.take": plan.combine in _TAKEN,
        "clip": plan.combine == "clip",
    }
    cold = [name for name, wanted in needed.items() if wanted and not _cached(name)]
    return sum(_SECONDS[name] for name in cold)


def _cached(name: str) -> bool:
    """Whether the cache holds something of each module that is not older than its source."""
    folder = Path(dmontage.kernels.__path__[0])
    module, _, function = name.partition(".")
    return all(_is_cached(folder / each, function or "*") for each in (_FIT if module == "fit" else (module,)))


def _is_cached(module: Path, function: str = "*") -> bool:
    sources = sorted(module.glob("*.py")) if module.is_dir() else [module.with_suffix(".py")]
    found = [(source, list(_indices(source, function))) for source in sources]
    known = [any(_is_of(source, index) for index in indices) for source, indices in found if indices]
    return bool(known) and all(known)


def _is_of(source: Path, index: Path) -> bool:
    """Whether an index was made from the source as it is.

    It has what numba knows the source by: of later versions its SHA-256, which is the same in a package that was
    installed again, of earlier ones the time of its last change.
    """
    if index.stat().st_mtime >= source.stat().st_mtime:
        return True
    return hashlib.sha256(source.read_bytes()).digest() in index.read_bytes()


def _indices(source: Path, function: str) -> Iterator[Path]:
    """What numba wrote about a file's functions, or about one of them."""
    pattern = f"{source.stem}.{function}-*.py{sys.version_info[0]}{sys.version_info[1]}.nbi"
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        yield from Path(chosen).glob(f"{source.parent.name}_*/{pattern}")
        return
    # Where the package's own folder cannot be written, numba uses the user's.
    home = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "numba"
    yield from (source.parent / "__pycache__").glob(pattern)
    yield from home.glob(f"{source.parent.name}_*/{pattern}")
