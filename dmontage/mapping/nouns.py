"""Mapping: how an image lies on a grid, with the bounds of its error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.mapping.box import Box
from dmontage.mapping.patch import Focal, Patch
from dmontage.window import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.grid import Grid

__all__ = ["TOL", "Mapping"]

TOL = 1e-5
"""Default tolerance of a projection, in output pixels."""


@dataclass(frozen=True, eq=False)
class Mapping:
    """How an image's pixels lie on an output grid, and how well that is known."""

    patches: tuple[Patch, ...]
    """Empty where the map is cut."""
    error: float
    """Bound of the polynomials' error: the largest of the patches'."""
    sagitta: float
    """Sum of the largest distances of the plane kernel's straight lines from great circles, and of these from the edges
    of the grids' own pixels."""
    omega_gradient: float
    """Half the relative change of the solid angle across an output pixel."""
    rounding: float
    """Bound of the rounding of the WCS itself; ``error`` is what the polynomials add to it."""
    sub_in: int = 1
    """Sub-pixels a side that keep the edges of input pixels within the tolerance of great circles."""
    sub_out: int = 1
    """The same of output pixels."""
    edge: float = 0.0
    """Sagitta that is left after the subdivision, of input and output pixels: what the sky kernel may be wrong by."""

    @property
    def cut(self) -> bool:
        """True where a seam, a pole, a fold or undefined pixels lie in the image: only the sphere will do."""
        return not self.patches

    @cached_property
    def bound(self) -> float:
        """What the plane kernel may be wrong by."""
        return self.error + self.sagitta + self.omega_gradient if self.patches else math.inf

    @cached_property
    def pixel_ratio(self) -> float:
        """Side of an input pixel in output pixels (mean over the patches); NaN where the map is cut."""
        return float(np.mean([patch.pixel_ratio for patch in self.patches])) if self.patches else math.nan

    def corners(self, x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.float64]:
        """Output (x, y), shape (k, 2), of the corners before pixels x (nx,) times y (ny,) of the input, in any order.

        The map must not be cut; corners that two patches share come twice.
        """
        out = []
        for patch in self.patches:
            w = patch.window
            mine = patch.in_numpy(x[(x >= w.x0) & (x <= w.x1)], y[(y >= w.y0) & (y <= w.y1)])
            out.append(np.stack(mine, axis=-1).reshape(-1, 2))
        return out[0] if len(out) == 1 else np.concatenate(out)

    @cached_property
    def outline(self) -> NDArray[np.float64]:
        """(4, 2) output (x, y) of the image's corners, around it. The map must not be cut."""
        windows = [patch.window for patch in self.patches]
        x, y = (
            np.array([min(getattr(w, low) for w in windows), max(getattr(w, high) for w in windows)])
            for low, high in (("x0", "x1"), ("y0", "y1"))
        )
        around = [(0, 0), (1, 0), (1, 1), (0, 1)]
        if len(windows) > 1:
            return np.array([self.corners(x[[i]], y[[j]])[0] for i, j in around])
        mesh = np.stack(self.patches[0].in_numpy(x, y), axis=-1)
        return np.stack([mesh[j, i] for i, j in around])

    @cached_property
    def extent(self) -> Window | None:
        """The output pixels that the image can reach, on the grid or beside it; None where the map does not tell."""
        if self.cut:
            return None
        y0s, y1s, x0s, x1s = zip(*(patch.extent() for patch in self.patches), strict=True)
        margin = 1e-9 + self.error + (self.sagitta if self.bound > TOL else 0.0)
        box = Box(min(y0s) - margin, max(y1s) + margin, min(x0s) - margin, max(x1s) + margin)
        if not max(map(abs, box)) < 2.0**31:
            return None
        ys, xs = ((math.floor(lo + 0.5), math.floor(hi + 0.5) + 1) for lo, hi in (box[:2], box[2:]))
        return Window(*ys, *xs)

    def footprint(self, grid: Grid, margin: int = 0) -> Window:
        """The pixels of ``grid``, and of a margin around it, that the image can reach; all of the grid where it is cut.

        Parameters
        ----------
        margin
            Output pixels on each side of the grid.
        """
        return grid.window if self.extent is None else self.extent & grid.window.pad(margin)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for a table; `from_dict` gives the same bits back."""
        numbers = {k: getattr(self, k) for k in _NUMBERS}
        patches = [
            {
                "window": [p.window.y0, p.window.y1, p.window.x0, p.window.x1],
                "x": p.coef_x.tolist(),
                "y": p.coef_y.tolist(),
                "shift": None if p.shift is None else list(p.shift),
                "error": p.error,
                "focal": None if p.focal is None else list(map(float, p.focal.box)),
            }
            for p in self.patches
        ]
        return numbers | {"patches": patches}

    @classmethod
    def from_dict(cls, table: dict[str, Any], grid: Grid | None = None) -> Mapping:
        """The inverse of `to_dict`; ``grid`` is the image's own, needed where it has lookup tables.

        Raises
        ------
        ValueError
            If the mapping goes through lookup tables and no grid is given.
        """
        patches = []
        for p in table["patches"]:
            if p["focal"] is not None and grid is None:
                raise ValueError("a mapping through lookup tables needs the image's grid, which holds them")
            patches.append(
                Patch(
                    Window(*p["window"]),
                    np.array(p["x"]),
                    np.array(p["y"]),
                    None if p["shift"] is None else (p["shift"][0], p["shift"][1]),
                    p["error"],
                    None if p["focal"] is None or grid is None else Focal(Box(*p["focal"]), grid),
                )
            )
        return cls(**{**table, "patches": tuple(patches)})


_NUMBERS = ("error", "sagitta", "omega_gradient", "rounding", "sub_in", "sub_out", "edge")
