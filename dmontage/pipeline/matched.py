"""What a mosaic knows of its backgrounds: the corrections, how well they are known, and what they left."""

from __future__ import annotations

import math
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dmontage.errors import InputError
from dmontage.graph.overlaps import medians_left
from dmontage.graph.shares import Cells, check_shares, share_sums
from dmontage.pipeline.corrections import correction_table, write_table
from dmontage.pipeline.cutout import Cutout
from dmontage.pipeline.rectify import Rectified
from dmontage.pipeline.uncertainty import (
    ErrorMap,
    cells_of,
    error_map,
    functionals,
    one_cell,
    plane_functionals,
    unknown_in,
)
from dmontage.places import made_at
from dmontage.window import Window

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from dmontage.background import Solution
    from dmontage.places import Place

__all__ = ["Matched"]


class Matched(Rectified):
    """A mosaic's stages, and what its corrections can be asked for."""

    @cached_property
    def _over(self) -> dict[tuple[bytes, bytes], tuple[Any, NDArray[np.float64]]]:
        """What corrections do to the background over some cells of the mosaic, by the cells' edges."""
        return {}

    def fit(self) -> Self:
        """Project the images and fit their overlaps, and no more: for `dmontage.solve_runs`, with other runs.

        Returns
        -------
        Mosaic
            Itself.
        """
        self._check_matched()
        with self._locked():
            self._project(range(len(self.plan.rows)))
            self.fits = self._fit()
        return self

    def corrections(self) -> Any:
        """The corrections of all images, to be subtracted, as an astropy table: planes on the sky, with errors.

        ``write_corrections`` makes a file of it, which ``corrections=`` of another mosaic applies without fitting.

        Returns
        -------
        astropy Table
            Columns: file, ra, dec (ICRS, degrees), level, slope_east, slope_north (per degree), their standard errors
            (``_error``; NaN from a relaxation, and without overlap), group, and status: "fitted", "level only",
            "locked", "no overlap", or "no origin on the sky", whose numbers are NaN; and scale, which the image's
            values were multiplied by before. An image whose name another one has too is told by its path; a digest
            then tells images whose path is another elsewhere. What values are told in stands in the table's meta.

        Raises
        ------
        InputError
            Of a mosaic whose backgrounds are not matched.
        """
        return correction_table(self._match, self._solved())

    def write_corrections(self, path: str | Place) -> Self:
        """Write the corrections as an ECSV table.

        Parameters
        ----------
        path
            File, or its URL; replaced by a whole new one.

        Returns
        -------
        Mosaic
            Itself.
        """
        with made_at(path) as here:
            write_table(self.corrections(), here)
        return self

    def background_error(
        self, window: Window | Cutout, relative_to: Window | Cutout | Literal["plane"] | None = None
    ) -> float:
        """Standard error of the background over a window: how wrong its mean may be because the images' levels are.

        Times the solid angle of an aperture it is the systematic error of a flux. What single pixels' noise does is
        not in it. Of a clipped mean it is that of the mean of all contributors, to which few rejections change little;
        of a sum, a count, a minimum or a maximum it is not known. Of energy per pixel (``unit="flux_per_pixel"``) it is
        that per pixel of the mosaic's middle.

        Parameters
        ----------
        window
            Pixels of the mosaic, or a cutout.
        relative_to
            What the background is taken against. None: the stated gauge, with what is not known of a gradient common
            to all images. Another window: the error of the difference of the two means, as for a source and the sky
            beside it. "plane": after a plane through the whole mosaic's background was taken out.

        Returns
        -------
        float
            One standard deviation, in the unit of the pixels; infinite where an image without overlap has a part in it.
        """
        from scipy.sparse import csr_array

        check_shares(self.plan.combine)
        solution, (g, covered) = self._solved(), self._background_over(one_cell(_window(window)))
        if not covered.any():
            raise InputError(
                f"{_window(window)} has no pixel with a value: its background has no error; choose another"
            )
        if relative_to == "plane":
            cells = cells_of(self.grid.window, None)
            plane = plane_functionals(*self._background_over(cells), cells)
            g = g.toarray() - np.array([[1.0, *_window(window).middle]]) @ plane
        elif relative_to is not None:
            other, covered = self._background_over(one_cell(_window(relative_to)))
            if not covered.any():
                raise InputError(f"{_window(relative_to)} has no pixel with a value to compare with; choose another")
            g = g - other
        if unknown_in(solution, csr_array(g))[0]:
            return math.inf
        return float(np.sqrt(max(0.0, float(solution.variance(g)[0]))))

    def background_error_map(self, side: Any = None) -> ErrorMap:
        """Standard errors of the background over cells of ``side`` pixels (by default some 32 along the mosaic).

        Parameters
        ----------
        side
            Of the cells, in pixels.

        Returns
        -------
        ErrorMap
            Arrays of the cells, in the unit of the pixels.

        Raises
        ------
        InputError
            Where no background is matched, or its errors are not known.
        """
        if side is not None and not (isinstance(side, (int, np.integer)) and side > 0):
            raise InputError(f"side {side!r} of a cell must be a whole number of pixels above 0")
        check_shares(self.plan.combine)
        solution, cells = self._solved(), cells_of(self.grid.window, None if side is None else int(side))
        return error_map(solution, cells, *self._background_over(cells))

    def medians_left(self) -> tuple[float, ...]:
        """Median difference of each pair of ``fits`` after the corrections, measured on the projected pixels.

        In the unit of the pixels; NaN where a pair has no pixel in which both images are well covered.
        """
        self._solved()
        pairs = [(self._numbers[pair.plus], self._numbers[pair.minus]) for pair in self.plan.pairs]
        with self._locked():
            self._prepare()  # a solution outlives the store that it was found in
            with self.summary.timed("medians"):
                tasks = [([pairs[i] for i in batch], self.plan.corrected_by) for batch in self.plan.pair_batches]
                return tuple(chain.from_iterable(self._run("medians", medians_left, tasks)))

    def _solved(self) -> Solution:
        """The solution, found if need be; InputError where no background is matched."""
        self._check_matched()
        with self._locked():
            self._solve()
            self._rectify()
        assert self.solution is not None
        return self.solution

    def _check_matched(self) -> None:
        if not self.plan.is_matched:
            raise InputError(
                f"background {self.plan.background!r} matches nothing here, so nothing is known of errors; "
                "ask for 'plane' or 'level'"
            )

    def _background_over(self, cells: Cells) -> tuple[Any, NDArray[np.float64]]:
        """Mean corrections over cells as functions of the images' parameters, and their covered pixels; kept."""
        plan, key = self.plan, (cells.ys.tobytes(), cells.xs.tobytes())
        if key in self._over:
            return self._over[key]
        window = cells.window & self.grid.window
        with self._locked():
            self._prepare()
            batches = [
                [self._chunk(chunk & window, rows) for chunk, rows in map(plan.chunks.__getitem__, batch)
                 if chunk & window] for batch in plan.chunk_batches
            ]  # fmt: skip
            with self.summary.timed("shares"):
                done = self._run("shares", share_sums, [(parts, self._how, cells) for parts in batches if parts])
        sums = np.concatenate([np.zeros((0, 6)), *done])
        row_of = np.zeros(max(self._numbers, default=0) + 1)
        row_of[list(self._numbers)] = np.arange(len(self._numbers))
        sums[:, 2] = row_of[sums[:, 2].astype(np.int64)]  # the store's numbers are not the plan's
        self._over[key] = functionals(self._match, cells, sums)
        return self._over[key]


def _window(part: Window | Cutout) -> Window:
    if not isinstance(part, (Window, Cutout)):
        raise InputError(f"{part!r} is no part of a mosaic: give a Window, or what `cutout` gives")
    return part.window if isinstance(part, Cutout) else part
