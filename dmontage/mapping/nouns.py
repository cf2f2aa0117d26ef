"""Patch and Mapping: the polynomials, evaluated, and the bounds of their error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.polynomial import values_at
from dmontage.window import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.grid import Grid

__all__ = ["TOL", "Mapping", "Patch"]

TOL = 1e-5
"""Default tolerance of a projection, in output pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """Polynomials of one window of the input."""

    window: Window
    coef_x: NDArray[np.float64]
    """[j (y), i (x)] Chebyshev coefficients of the output x."""
    coef_y: NDArray[np.float64]
    shift: tuple[int, int] | None = None
    """(dy, dx) where the map is this shift: in scaled coordinates it would round, and leave slivers."""

    def scaled(self, window: Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Coordinates in [−1, 1] of the pixel corners of a window inside this patch: (nx + 1,), (ny + 1,)."""
        w = self.window
        x = np.arange(window.x0, window.x1 + 1, dtype=float)
        y = np.arange(window.y0, window.y1 + 1, dtype=float)
        return (2 * x - w.x0 - w.x1) / (w.x1 - w.x0), (2 * y - w.y0 - w.y1) / (w.y1 - w.y0)

    def corners(self, window: Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Output (x, y) of the pixel corners of a window inside this patch, each (ny + 1, nx + 1)."""
        if self.shift is not None:
            dy, dx = self.shift
            x = np.arange(window.x0, window.x1 + 1) + (dx - 0.5)
            y = np.arange(window.y0, window.y1 + 1) + (dy - 0.5)
            x, y = np.meshgrid(x, y)
            return x, y
        from dmontage.kernels.chebyshev import evaluate_rows

        t_x, t_y = self.scaled(window)
        return evaluate_rows(self.coef_x, t_x, t_y), evaluate_rows(self.coef_y, t_x, t_y)

    def outline(self) -> NDArray[np.float64]:
        """Output (x, y) of all corners on the patch's edge, (n, 2): a map without folds has its extremes there."""
        t_x, t_y = self.scaled(self.window)
        ends = np.array([-1.0, 1.0])
        edges = [
            np.concatenate([values_at(c, t_x, ends).ravel(), values_at(c, ends, t_y).ravel()])
            for c in (self.coef_x, self.coef_y)
        ]
        return np.stack(edges, axis=-1)

    @property
    def pixel_ratio(self) -> float:
        """Side of an input pixel in output pixels, at the patch's middle."""
        w = self.window
        mid_y, mid_x = (w.y0 + w.y1) // 2, (w.x0 + w.x1) // 2
        one = Window(mid_y, mid_y + 1, mid_x, mid_x + 1)
        t_x, t_y = self.scaled(one)
        d_x, d_y = (values_at(c, t_x, t_y) for c in (self.coef_x, self.coef_y))
        return math.sqrt(
            0.5 * abs(float((d_x[1, 1] - d_x[0, 0]) * (d_y[1, 0] - d_y[0, 1])
                            - (d_x[1, 0] - d_x[0, 1]) * (d_y[1, 1] - d_y[0, 0])))
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Mapping:
    """How an image's pixels lie on an output grid, and how well that is known."""

    patches: tuple[Patch, ...]
    """Empty where the map is cut."""
    error: float
    """Bound of the polynomials' error."""
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

    def footprint(self, grid: Grid) -> Window:
        """The window of ``grid`` that the image can reach; all of it where the map is cut."""
        if self.cut:
            return grid.window
        points = np.concatenate([patch.outline() for patch in self.patches])
        margin = 1e-9 + self.error + (self.sagitta if self.bound > TOL else 0.0)
        (x_min, y_min), (x_max, y_max) = points.min(axis=0) - margin, points.max(axis=0) + margin
        limit = 2.0**31
        if not max(abs(x_min), abs(x_max), abs(y_min), abs(y_max)) < limit:
            return grid.window
        box = Window(
            *(math.floor(edge + 0.5) + last for edge, last in ((y_min, 0), (y_max, 1), (x_min, 0), (x_max, 1)))
        )
        return box & grid.window

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for a table; `from_dict` gives the same bits back."""
        numbers = {
            k: getattr(self, k) for k in ("error", "sagitta", "omega_gradient", "rounding", "sub_in", "sub_out", "edge")
        }
        patches = [
            {
                "window": [p.window.y0, p.window.y1, p.window.x0, p.window.x1],
                "x": p.coef_x.tolist(),
                "y": p.coef_y.tolist(),
                "shift": None if p.shift is None else list(p.shift),
            }
            for p in self.patches
        ]
        return numbers | {"patches": patches}

    @classmethod
    def from_dict(cls, table: dict[str, Any]) -> Mapping:
        """The inverse of `to_dict`."""
        patches = tuple(
            Patch(
                Window(*p["window"]),
                np.array(p["x"]),
                np.array(p["y"]),
                None if p["shift"] is None else (p["shift"][0], p["shift"][1]),
            )
            for p in table["patches"]
        )
        return cls(**{**table, "patches": patches})
