"""Outlet: the files of a mosaic, for tasks that write what they make into them (level 4).

Without it all pixels of a mosaic go through the driver, which then is the slowest of a cluster's processes. Only tasks
on the machine that opened the files write to them: what two machines write into neighbouring bytes of a shared disk, or
of a bucket that is mounted as one, may be lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.aside import is_here
from dmontage.window import LATTICE, Window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from dmontage.fits_files import FitsPixels
    from dmontage.grid import Grid

__all__ = ["Outlet", "Written"]


class Written(NamedTuple):
    """What became of a window."""

    blocks: Mapping[str, Mapping[tuple[int, int], bytes]]
    """By file, the digests of its blocks."""
    any_covered: bool
    """Whether a pixel has a value."""


class Outlet(NamedTuple):
    """Files that are open to be written to."""

    machine: str
    """That on which they were opened (`boot_of_machine`)."""
    tiles: tuple[Window, ...]
    """What each file of a layer has of the mosaic."""
    files: Mapping[str, Sequence[FitsPixels]]
    """By layer, one for each tile."""

    def write(self, grid: Grid, sub_out: int, window: Window, layers: Sequence[NDArray[np.float32]]) -> Written:
        """Write a window of all layers, as the store has them; the area becomes steradian.

        In bands that stay in cache: half the time of whole chunks, for which memory would be had anew each time.

        Raises
        ------
        FileNotFoundError
            Where the files are gone.
        """
        blocks: dict[str, dict[tuple[int, int], bytes]] = {}
        any_covered = False
        for band in window.bands(LATTICE):
            at = band.relative_to(window).slices
            for (name, files), layer in zip(self.files.items(), layers, strict=True):
                values: NDArray[Any] = layer[at]
                if name == "area":
                    covered = values > 0
                    any_covered |= bool(covered.any())
                    values = np.where(covered, values * grid.solid_angle(band, sub_out), 0.0)
                for tile, file in zip(self.tiles, files, strict=True):
                    part = tile & band
                    if part:
                        done = file.write(part.relative_to(tile), values[part.relative_to(band).slices])
                        blocks.setdefault(file.path, {}).update(done)
        return Written(blocks, any_covered)

    def write_from_task(
        self, grid: Grid, sub_out: int, window: Window, layers: Sequence[NDArray[np.float32]]
    ) -> Written | None:
        """As `write`; None where this process cannot: then the driver does it, from what is stored, or says why."""
        if not is_here(self.machine):
            return None
        try:
            return self.write(grid, sub_out, window, layers)
        except OSError:  # it sees other files, or none that it may write to
            return None
