"""Mapping: how an image lies on a grid, with the bounds of its error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.mapping.box import Box, scattered_values, slopes
from dmontage.mapping.patch import Focal, Patch
from dmontage.window import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.grid import Grid

    Floats = NDArray[np.float64]

__all__ = ["TOL", "Density", "Mapping"]

TOL = 1e-5
"""Default tolerance of a projection, in output pixels."""


class Density(NamedTuple):
    """The logarithm of Ω over the output pixels under the image, a polynomial."""

    box: Box
    coef: Floats
    """[j (y), i (x)] Chebyshev coefficients of ln Ω."""

    def gradient(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Relative change of Ω (g_x, g_y) per output pixel, at output pixels ``x``, ``y`` of one shape."""
        t_x, t_y = self.box.scaled(x, y)
        d_x, d_y = slopes(self.coef)
        ny, nx = self.box.sides
        return 2.0 / nx * scattered_values(d_x, t_x, t_y), 2.0 / ny * scattered_values(d_y, t_x, t_y)


@dataclass(frozen=True, eq=False)
class Mapping:
    """How an image's pixels lie on an output grid, and how well that is known."""

    patches: tuple[Patch, ...]
    """Empty where the map is cut."""
    error: float
    """Bound of the polynomials' error: the largest of the patches'."""
    sagitta: float
    """Largest distance of the plane kernel's straight lines from great circles, and of these from the true edges."""
    omega_gradient: float
    """Half the relative change of the solid angle across an output pixel."""
    rounding: float
    """Rounding of the WCS itself."""
    sub_in: int = 1
    """Sub-pixels a side that keep the edges of input pixels within the tolerance of great circles."""
    sub_out: int = 1
    edge: float = 0.0
    """Sagitta that is left after the subdivision, of input and output pixels: what the sky kernel may be wrong by."""
    omega_second: float = 0.0
    """What is left of ``omega_gradient`` once its first order, `gradient` at each pixel's middle, is accounted for."""
    omega_bend: float = 0.0
    """Largest change of `gradient` per output pixel: taken as constant over n pixels, it is wrong by n/2 times this."""
    density: Density | None = None
    """None where the map is cut, or exact."""

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

    def gradient(self, window: Window) -> tuple[float, float]:
        """Relative change (g_x, g_y) of the solid angle per output pixel, at the middle of a window of the output."""
        if self.density is None:
            return 0.0, 0.0
        middle = np.array((window.x0 + window.x1 - 1) / 2), np.array((window.y0 + window.y1 - 1) / 2)
        g_x, g_y = self.density.gradient(*middle)
        return float(g_x), float(g_y)

    def footprint(self, grid: Grid) -> Window:
        """The window of ``grid`` that the image can reach; all of it where the map is cut."""
        if self.cut:
            return grid.window
        y0s, y1s, x0s, x1s = zip(*(patch.extent() for patch in self.patches), strict=True)
        margin = 1e-9 + self.error + (self.sagitta if self.bound > TOL else 0.0)
        box = Box(min(y0s) - margin, max(y1s) + margin, min(x0s) - margin, max(x1s) + margin)
        if not max(map(abs, box)) < 2.0**31:
            return grid.window
        ys, xs = ((math.floor(lo + 0.5), math.floor(hi + 0.5) + 1) for lo, hi in (box[:2], box[2:]))
        return Window(*ys, *xs) & grid.window

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
        d = self.density
        density = None if d is None else {"box": list(map(float, d.box)), "coef": d.coef.tolist()}
        return numbers | {"density": density, "patches": patches}

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
        d = table["density"]
        density = None if d is None else Density(Box(*d["box"]), np.array(d["coef"]))
        return cls(**{**table, "patches": tuple(patches), "density": density})


_NUMBERS = (
    "error", "sagitta", "omega_gradient", "rounding", "sub_in", "sub_out", "edge", "omega_second", "omega_bend",
)  # fmt: skip
