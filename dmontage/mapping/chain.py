"""Chart and Chain: a grid with a WCS object of its own, and the exact way from one grid's pixels to another's."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from dmontage.grid.measures import middle_side
from dmontage.mapping.singular import singular_places
from dmontage.sphere import lengths, rotate_frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.grid import Grid

__all__ = ["Chain", "Chart"]

_MESH = 9
"""Points a side of the mesh by which a grid is located."""


class Chart:
    """A grid with a WCS object of its own: built once for what is asked often. It belongs to one thread."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.wcs = grid.wcs()
        self.frame = grid.frame
        self.scale = middle_side(grid, self.wcs)

    @classmethod
    def of(cls, grid: Grid | Chart) -> Chart:
        """The chart of a grid; a chart itself."""
        return grid if isinstance(grid, Chart) else cls(grid)

    def sky(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Unit vectors (..., 3) of pixels, in the grid's own frame; NaN off the sky."""
        return self.grid.sky(x, y, self.wcs)

    def pixel(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels (..., 2) of (x, y) of unit vectors of the grid's own frame."""
        pixels = np.empty((*vectors.shape[:-1], 2))
        pixels[..., 0], pixels[..., 1] = self.grid.pixel(vectors, self.wcs)
        return pixels

    @cached_property
    def smooth(self) -> bool:
        """Whether polynomials may stand for the way to the sky, once lookup tables are applied."""
        return self.core.smooth if self.core else self.grid.smooth

    @cached_property
    def core(self) -> Chart | None:
        """The chart of focal pixels, where lookup tables lead from the grid's pixels to these."""
        return Chart(self.grid.core()) if self.grid.has_tables else None

    @cached_property
    def mesh(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Pixels x, y (9, 9) from edge to edge, and their unit vectors (9, 9, 3)."""
        x, y = _mesh(*self.grid.shape)
        return x, y, self.sky(x, y)

    @cached_property
    def cap(self) -> tuple[NDArray[np.float64], float]:
        """Middle of the mesh, a unit vector, and the chord to its farthest point; 0 where it leaves the sky."""
        mesh = self.mesh[2]
        total = mesh.sum(axis=(0, 1))
        if not (np.isfinite(mesh).all() and total.any()):
            return np.array([0.0, 0.0, 1.0]), 0.0
        centre = total / lengths(total)
        return centre, float(lengths(mesh - centre).max())

    @cached_property
    def lost(self) -> float:
        """What the WCS object loses on its way there and back, pixels.

        wcslib's slant SIN, SZP, AIR and ZPN return to 1e-6 px at best.
        """
        x, y, vectors = self.mesh
        back = self.pixel(vectors)
        dx, dy = back[..., 0] - x, back[..., 1] - y
        trip = np.sqrt(dx * dx + dy * dy)
        # Beyond this it is no rounding: the other side of a seam, or a projection that covers its plane twice.
        return float(np.where(trip < 1e-3, trip, 0.0).max())

    @cached_property
    def singular(self) -> NDArray[np.float64] | None:
        """Unit vectors (n, 3) of the places where the projection is not smooth; None where nothing is known of it."""
        chart = self.core or self
        return singular_places(chart.grid, chart.wcs) if chart.grid.smooth else None


class Chain:
    """The exact way from one grid's pixels to the other's."""

    def __init__(self, grid_in: Grid | Chart, grid_out: Grid | Chart) -> None:
        self.start, self.end = Chart.of(grid_in), Chart.of(grid_out)

    def turn(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Unit vectors of the input's frame in the output's."""
        # Frames are kept: comparing two equal ones takes longer than a hundred points through the WCS.
        same = self.start.frame is self.end.frame
        return vectors if same else rotate_frame(vectors, self.start.frame, self.end.frame)

    def in_sky(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Unit vectors (..., 3) of input pixels, in the output's frame."""
        return self.turn(self.start.sky(x, y))

    def __call__(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Output pixels (..., 2) of (x, y) of input pixels."""
        return self.end.pixel(self.in_sky(x, y))


@lru_cache(maxsize=64)
def _mesh(ny: int, nx: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.meshgrid(np.linspace(-0.5, nx - 0.5, _MESH), np.linspace(-0.5, ny - 0.5, _MESH))
    x.flags.writeable = y.flags.writeable = False  # astropy moves some of its input to and fro, others read it
    return x, y
