"""Tables: the fits of overlaps and the corrections of images: small, and written by the driver alone (level 3).

::

    pairs/fits           (pair, number)   appended, a chunk at a time, as fits are done; all models share them
    corrections/NAME     (image, 6)       row, level, slope_x, slope_y, x0, y0 by the way of matching that NAME tells,
                                          for the rows that were matched; its attributes tell what there is to say of it
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.store.arrays import Array, DamagedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.store.files import Files

__all__ = ["FITS_PER_CHUNK", "Tables"]

_FITS = "pairs/fits"
FITS_PER_CHUNK = 256
"""Room of a chunk; one that is not full has NaN in the rest."""


class Tables:
    """The small tables of a run."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def append_fits(self, fits: NDArray[np.float64]) -> None:
        """Add the fits of some pairs, shape (pairs, numbers)."""
        for part in (fits[k : k + FITS_PER_CHUNK] for k in range(0, len(fits), FITS_PER_CHUNK)):
            chunk = np.full((FITS_PER_CHUNK, fits.shape[1]), np.nan)
            chunk[: len(part)] = part
            old = self._fits()
            if old is None:
                old = Array.create(self._files, _FITS, (0, fits.shape[1]), chunk.shape, np.float64, np.nan)
            n = old.shape[0] // FITS_PER_CHUNK
            old.write((n, 0), chunk)
            old.resized(((n + 1) * FITS_PER_CHUNK, fits.shape[1]))

    def fits(self) -> NDArray[np.float64]:
        """All fits, shape (pairs, numbers), in the order in which they were done.

        Raises
        ------
        DamagedError
            If any is lost or changed; all are taken away, and the next run makes them again.
        """
        array = self._fits()
        if array is None:
            return np.zeros((0, 1))
        chunks = []
        for k in range(array.shape[0] // FITS_PER_CHUNK):
            try:
                chunk = array.read((k, 0))
            except DamagedError as error:
                raise self._forget(_FITS, str(error)) from error
            if chunk is None:
                raise self._forget(_FITS, f"{_FITS} of {self._files.root} has lost a chunk")
            chunks.append(chunk[~np.isnan(chunk[:, 0])])
        return np.concatenate([np.zeros((0, array.shape[1])), *chunks])

    def _fits(self) -> Array | None:
        return Array.open(self._files, _FITS) if self._files.has(f"{_FITS}/zarr.json") else None

    def write_planes(self, name: str, planes: NDArray[np.float64], about: dict[str, Any] | None = None) -> None:
        """The corrections of some rows, shape (rows, 6): row, level, slope_x, slope_y, x0, y0; and what to tell."""
        place = f"corrections/{name}"
        array = Array.create(self._files, place, planes.shape, planes.shape, np.float64, np.nan, {"about": about})
        array.write_all(planes)

    def planes(self, name: str, n_rows: int) -> NDArray[np.float64]:
        """The corrections of all rows, shape (rows, 5): level, slope_x, slope_y, x0, y0; zero where there is none."""
        out = np.zeros((n_rows, 5))
        if name != "none":
            try:
                planes = Array.open(self._files, f"corrections/{name}").read_all()
            except DamagedError as error:
                raise self._forget(f"corrections/{name}", str(error)) from error
            out[planes[:, 0].astype(np.int64)] = planes[:, 1:]
        return out

    def planes_told(self, name: str) -> dict[str, Any] | None:
        """What was noted with corrections; None where there are none that can be read."""
        try:
            array = Array.open(self._files, f"corrections/{name}")
        except DamagedError:  # or none
            return None
        return dict(array.attributes["about"] or {}) if array.has((0, 0)) or not array.shape[0] else None

    def _forget(self, name: str, why: str) -> DamagedError:
        self._files.remove(f"{name}/zarr.json")
        return DamagedError(f"{why}; the same command again makes it anew")
