"""Stages: project, fit, solve, coadd and write, each run once."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import numpy as np

from dmontage.errors import InputError
from dmontage.fits_files import check_writable
from dmontage.graph.coadd import How, coadd_chunk, coadd_chunks
from dmontage.graph.drive import Call, active_client, name_of, run
from dmontage.graph.lazy import lazy_mosaic
from dmontage.graph.overlaps import fit_pairs, medians_left
from dmontage.graph.rows import create_store, project_rows
from dmontage.graph.shares import Cells, share_sums
from dmontage.grid import Grid
from dmontage.model import PlaneFit, Skipped
from dmontage.pipeline.corrections import correction_table, given_planes, write_table
from dmontage.pipeline.match import Match, pair_arguments
from dmontage.pipeline.outcome import outcome
from dmontage.pipeline.products import product_paths, write_products
from dmontage.pipeline.summary import Summary
from dmontage.pipeline.uncertainty import ErrorMap, cells_of, error_map, functionals, one_cell, plane_functionals
from dmontage.planner import MosaicPlan
from dmontage.store import InUseError, Store
from dmontage.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Self

    from numpy.typing import NDArray

    from dmontage.background import Solution

    Progress = Callable[[str, int, int], None]

__all__ = ["Cutout", "Mosaic", "Pixels"]

_kept: list[tempfile.TemporaryDirectory[str]] = []
"""Temporary stores that lazy arrays read, kept until the process ends: an array outlives the Mosaic that gave it."""


class Mosaic:
    """A mosaic that is computed when it is asked for. Made by `mosaic`."""

    def __init__(
        self,
        plan: MosaicPlan,
        store: str | Path | None = None,
        *,
        strict: bool = False,
        progress: Progress | None = None,
    ) -> None:
        if "://" in str(store):
            raise InputError(f"{store}: object stores are not supported yet; give a local folder")
        self.plan = plan
        self.summary = Summary(
            images=plan.n_images, skipped=plan.skipped, warnings=plan.warnings, bytes_in=plan.bytes_in,
            error_bound=plan.error_bound, noise_correlation=plan.noise_correlation,
        )  # fmt: skip
        self.fits: tuple[PlaneFit, ...] = ()
        """The fitted differences of the overlaps between rows of the plan, once they are known."""
        self.solution: Solution | None = None
        """The corrections of the images of the plan, and their errors, once they are known."""
        self._strict = strict
        self._progress = progress or (lambda stage, done, total: None)
        self._place = None if store is None else Path(store)
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._store: Store | None = None
        self._receipts: dict[int, dict[str, Any]] = {}
        """Of the rows that the open store holds, or that turned out to be damaged."""
        self._outcome = outcome({}, ())
        self._corrected = False
        self._match = Match(plan)

    def __repr__(self) -> str:
        ny, nx = self.grid.shape
        return f"<Mosaic {nx} x {ny} of {self.plan.n_images} images, {self.plan.background}, {self.plan.combine}>"

    @property
    def grid(self) -> Grid:
        """Where the mosaic lies."""
        return self.plan.grid

    @property
    def data(self) -> Any:
        """Lazy dask array (ny, nx) of values. With background matching, the first use runs all but the coadd."""
        return self._lazy()[0]

    @property
    def area(self) -> Any:
        """Lazy dask array (ny, nx) of the summed covered fraction."""
        return self._lazy()[1]

    @property
    def variance(self) -> Any:
        """Lazy dask array (ny, nx) of the variance of the values, where the images have variances."""
        if not self.plan.has_variance:
            raise InputError("this mosaic has no variance: its images were given none (variance=)")
        return self._lazy()[2]

    def cutout(self, center: Any, size: Any) -> Cutout:
        """The part within a box about a place on the sky; it costs what its own images cost.

        Parameters
        ----------
        center, size
            As for `Grid.around`.
        """
        return Cutout(self, self.grid.window_around(center, size))

    def compute(self) -> Pixels:
        """All pixels, in memory."""
        return Cutout(self, self.grid.window).compute()

    def write(self, path: str | Path) -> Self:
        """Write the mosaic to ``path``, its area (steradian) to ``x_area.fits``, any variance to ``x_variance.fits``.

        All are written aside and renamed when they are whole.
        """
        path = Path(path)
        inputs = {Path(ref.path).resolve() for ref in self.plan.files}
        for product in product_paths(path, self.plan):
            check_writable(product)
            if product.resolve() in inputs:
                raise InputError(f"cannot write {product}: it is one of the images; name another file")
        plan, chunks = self.plan, self.plan.chunks
        with self._locked() as store:
            self._rectify()
            with self.summary.timed("coadd"):
                tasks = [(window, rows, plan.factors_of(rows)) for window, rows in chunks]
                batches = [([tasks[i] for i in batch], self._how) for batch in plan.chunk_batches]
                self._run("coadd", coadd_chunks, batches)
            with self.summary.timed("write"):
                write_products(
                    store, plan, self.summary, path, lambda done, total: self._progress("write", done, total)
                )
        self.summary.bytes_out = plan.bytes_out
        return self

    def corrections(self) -> Any:
        """The corrections of all images as an astropy table: planes on the sky, with errors.

        See `dmontage.pipeline.corrections.correction_table` for its columns; ``write_corrections`` makes a file of it,
        which ``corrections=`` of another mosaic applies without fitting.
        """
        return correction_table(self._match, self._solved(), self.plan.bunit)

    def write_corrections(self, path: str | Path) -> Self:
        """Write the corrections as an ECSV table."""
        write_table(self.corrections(), Path(path))
        return self

    def background_error(
        self, window: Window | Cutout, relative_to: Window | Cutout | Literal["plane"] | None = None
    ) -> float:
        """Standard error of the background over a window: how wrong its mean may be because the images' levels are.

        Times the solid angle of an aperture it is the systematic error of a flux. What single pixels' noise does is
        not in it.

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
            One standard deviation, in the unit of the pixels.
        """
        solution, (g, covered) = self._solved(), self._background_over(one_cell(_window(window)))
        if not covered.any():
            raise InputError(f"{_window(window)} has no pixel with a value: its background has no error")
        if relative_to == "plane":
            cells = cells_of(self.grid.window, None)
            plane = plane_functionals(*self._background_over(cells), cells)
            g = g.toarray() - np.array([[1.0, *_window(window).middle]]) @ plane
        elif relative_to is not None:
            other, covered = self._background_over(one_cell(_window(relative_to)))
            if not covered.any():
                raise InputError(f"{_window(relative_to)} has no pixel with a value to compare with")
            g = g - other
        return float(np.sqrt(max(0.0, float(solution.variance(g)[0]))))

    def background_error_map(self, side: int | None = None) -> ErrorMap:
        """Standard errors of the background over cells of ``side`` pixels (some 32 along the mosaic by default)."""
        solution, cells = self._solved(), cells_of(self.grid.window, side)
        return error_map(solution, cells, *self._background_over(cells))

    def medians_left(self) -> tuple[float, ...]:
        """Median difference of each pair of ``fits`` after the corrections, measured on the projected pixels."""
        self._solved()
        pairs = [(pair.plus, pair.minus) for pair in self.plan.pairs]
        tasks = [([pairs[i] for i in batch], self.plan.background) for batch in self.plan.pair_batches]
        with self._locked(), self.summary.timed("medians"):
            return tuple(chain.from_iterable(self._run("medians", medians_left, tasks)))

    def _solved(self) -> Solution:
        """The solution, found if need be; InputError where no background is matched."""
        if not self.plan.is_matched:
            raise InputError(f"background {self.plan.background!r} matches nothing here, so nothing is known of errors")
        with self._locked():
            self._rectify()
        assert self.solution is not None
        return self.solution

    def _background_over(self, cells: Cells) -> tuple[Any, NDArray[np.float64]]:
        """Mean corrections over cells as functions of the images' parameters, and their covered pixels."""
        plan = self.plan
        window = Window(int(cells.ys[0]), int(cells.ys[-1]), int(cells.xs[0]), int(cells.xs[-1])) & self.grid.window
        batches = [
            [(chunk & window, rows, plan.factors_of(rows)) for chunk, rows in map(plan.chunks.__getitem__, batch)
             if chunk & window] for batch in plan.chunk_batches
        ]  # fmt: skip
        with self._locked(), self.summary.timed("shares"):
            done = self._run("shares", share_sums, [(parts, self._how, cells) for parts in batches if parts])
        return functionals(self._match, cells, np.concatenate([np.zeros((0, 6)), *done]))

    def discard_stale(self) -> None:
        """Delete a store that another run left behind at this one's place; a store of the same run is kept.

        Raises
        ------
        InputError
            If that run is still alive, or what lies there is no run.
        """
        place = self._place
        if place is not None and place.exists() and Store.digest_at(place) != self.plan.digest:
            Store.remove(place)

    def close(self, *, remove: bool = False) -> None:
        """Forget the temporary store; ``remove`` deletes a named one too."""
        if self._temporary is not None:
            self._temporary.cleanup()
        elif remove and self._place is not None and self._store is not None:
            with suppress(InUseError):  # the same run again, by another driver: it removes the store when it is done
                Store.remove(self._place)
        self._temporary, self._store, self._receipts, self._corrected = None, None, {}, False

    @contextmanager
    def _locked(self) -> Iterator[Store]:
        """The store, with other drivers kept out."""
        store = self._open()
        with store.locked(self._path):
            yield store

    def _open(self) -> Store:
        """The store, laid out when it is first needed."""
        if self._store is None:
            if self._place is None:
                if active_client() is not None:
                    raise InputError("a mosaic on a cluster needs a store that all workers can reach: give store=...")
                self._temporary = tempfile.TemporaryDirectory(prefix="dmontage-")
            path = self._place or Path(cast("Any", self._temporary).name) / "run.zarr"
            self._store = create_store(path, self.plan)
            self._path = str(Path(path).absolute())
        return self._store

    @property
    def _how(self) -> How:
        return How(self.plan.background, self.plan.combine, self.plan.weights)

    def _run(self, stage: str, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Run one stage's tasks; their names tell the stage, what it works on and the batch."""
        run_name = name_of(self.plan.digest, self._path, arguments)
        calls = [
            Call(f"dmontage-{stage}-{run_name}-{k}", function, (self._path, *args)) for k, args in enumerate(arguments)
        ]
        self._progress(stage, 0, len(calls))
        return run(calls, lambda done, total: self._progress(stage, done, total))

    def _project(self, rows: Iterable[int]) -> None:
        """Fill rows of the store."""
        self._open()
        missing = set(rows).difference(self._receipts)
        if not missing:
            return
        batches = [tuple(row for row in batch if row in missing) for batch in self.plan.row_batches]
        with self.summary.timed("project"):
            done = self._run("project", project_rows, [(batch,) for batch in batches if batch])
        receipts = self._receipts | {receipt["row"]: receipt for receipt in chain.from_iterable(done)}
        found = outcome(receipts, self.plan.image_of)
        if found.failed and (self._strict or len(found.failed) == self.plan.n_images):
            raise InputError(next(iter(found.failed.values())))
        self._receipts, self._outcome = receipts, found
        images, summary = self.plan.images, self.summary
        bad = [(images[k], error) for k, error in found.failed.items()]
        summary.skipped = (*self.plan.skipped, *(Skipped(i.name, e.removeprefix(f"{i.path}: ")) for i, e in bad))
        summary.empty = tuple(images[k].name for k in found.empty)
        summary.images = len(images) - len(bad) - len(found.empty)
        summary.undefined, summary.reused = found.undefined, found.reused

    def _rectify(self) -> None:
        """Project, fit the overlaps and solve for the corrections; the store keeps these."""
        self._project(range(len(self.plan.rows)))
        if self.plan.background == "none" or self._corrected:
            return
        if self.plan.background == "given":
            planes, self.summary.uncorrected = given_planes(self._match)
        else:
            if self.solution is None:
                self.fits = self._fit()
                with self.summary.timed("solve"):
                    self.solution = self._match.solve(self.fits)
                self._tell(self.solution)
            planes = self._match.row_planes(self.solution.parameters)
        self._open().write_planes(self.plan.background, planes)
        self._corrected = True

    def _fit(self) -> tuple[PlaneFit, ...]:
        """The fits of the overlaps; the store keeps them for other models of the background."""
        store, batches = self._open(), pair_arguments(self.plan)
        made_from = name_of(self.plan.digest, batches, sorted(self._outcome.failed))
        kept = store.fits(made_from)
        if kept is not None:
            self.summary.fits_reused = True
            return tuple(map(PlaneFit.from_row, kept.tolist()))
        with self.summary.timed("fit"):
            fits = tuple(chain.from_iterable(self._run("fit", fit_pairs, [(batch,) for batch in batches])))
        store.write_fits(np.array([fit.to_row() for fit in fits]), made_from)
        return fits

    def _tell(self, solution: Solution) -> None:
        left, images, summary = solution.remainders, self.plan.images, self.summary
        summary.pairs = int(left.kept.size)
        summary.rejected = tuple(
            f"{images[plus].name} and {images[minus].name}"
            for plus, minus, kept in zip(left.plus, left.minus, left.kept, strict=True) if not kept
        )  # fmt: skip
        summary.rms_before, summary.rms_after = left.rms("before"), left.rms("after")
        told = {*self._outcome.failed, *self._outcome.empty}
        names = tuple(images[k].name for k in solution.unpaired if k not in told)
        summary.unpaired = names if summary.images > 1 else ()
        summary.level_only = tuple(images[k].name for k in solution.level_only) * (self.plan.background == "plane")
        paired = np.delete(solution.components, list(solution.unpaired))
        summary.groups = max(len(np.unique(paired)), 1)
        summary.gauge = solution.gauge
        if not solution.converged:
            summary.warnings += (
                f"the relaxation has not converged after {solution.steps} steps: the corrections still move",
            )

    def _lazy(self) -> tuple[Any, ...]:
        if self.plan.background == "none":
            self._open()
        else:
            with self._locked():
                self._rectify()
        if self._temporary is not None and self._temporary not in _kept:
            _kept.append(self._temporary)
        projected = len(self._receipts) == len(self.plan.rows)
        return lazy_mosaic(self._path, self.plan, projected=projected, strict=self._strict)

    def _pixels(self, window: Window) -> Pixels:
        """The pixels of a window; where no background is matched, only the images under it are projected."""
        plan = self.plan
        reach = [(chunk & window, rows) for chunk, rows in plan.chunks if chunk & window]
        parts = [(part, tuple(i for i in rows if plan.rows[i].window & part)) for part, rows in reach]
        with self._locked():
            if plan.background == "none":
                self._project(chain.from_iterable(rows for _, rows in parts))
            else:
                self._rectify()
            with self.summary.timed("coadd"):
                tasks = [(part, rows, plan.factors_of(rows), self._how) for part, rows in parts]
                done = self._run("cutout", coadd_chunk, tasks)
        layers = np.empty((3 if plan.has_variance else 2, *window.shape), np.float32)
        for (part, _), values in zip(parts, done, strict=True):
            layers[:, *part.relative_to(window).slices] = values
        data, area, *variance = layers
        return Pixels(data, area, self.grid.subgrid(window), *variance)


def _window(part: Window | Cutout) -> Window:
    return part.window if isinstance(part, Cutout) else part


@dataclass(frozen=True)
class Cutout:
    """A window of a mosaic."""

    mosaic: Mosaic
    window: Window

    @property
    def grid(self) -> Grid:
        """Its own WCS and shape."""
        return self.mosaic.grid.subgrid(self.window)

    def compute(self) -> Pixels:
        """Its pixels, in memory; only its own images are projected where no background is matched."""
        return self.mosaic._pixels(self.window)


class Pixels(NamedTuple):
    """Pixels in memory."""

    data: NDArray[np.float32]
    """(ny, nx) value, NaN where blank."""
    area: NDArray[np.float32]
    """(ny, nx) summed covered fraction."""
    grid: Grid
    variance: NDArray[np.float32] | None = None
    """(ny, nx) of the value, without the correlation between neighbours that projection makes; None without any."""
