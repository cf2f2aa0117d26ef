"""Reprojecting: one image into a pair of files, ``x.fits`` and ``x_area.fits``, by the engine's own kernels."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.errors import InputError
from dmontage.fits_files import map_for, read, read_map, write_images
from dmontage.graph.drive import Call, in_process, run
from dmontage.graph.job import Job
from dmontage.graph.project import project, reached, sources
from dmontage.graph.units import flux_of, parts, prepared
from dmontage.mapping import TOL, Chain, Chart, apart, fit_mapping
from dmontage.model import Drop
from dmontage.montage.covered import nominal_card, pair_of
from dmontage.montage.inputs import check_file, check_room, image_in, named_image, plane_cards
from dmontage.planner import kernel_for
from dmontage.quality import Quality
from dmontage.window import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.grid import Grid
    from dmontage.model import ImageRef

__all__ = ["NO_OVERLAP", "Asked", "project_file", "reach"]

NO_OVERLAP = "No overlap"
_BLANK = "All pixels are blank. Check for overlap of output template with image file."

_SIDE = 1024
"""Of the blocks of the output that are made at a time; those of a cube are smaller."""
_IN_MEMORY = 2**26
"""Pixels of an image that is read once; of a larger one each block of the output reads what it needs."""


class Asked(NamedTuple):
    """How an image is to be projected; see `dmontage.montage.project.mProject`."""

    hdu: int = 0
    weight_file: str = ""
    fixed_weight: float = 1.0
    threshold: float = 0.0
    border: Quality = Quality()
    drizzle: float = 1.0
    flux_scale: float = 1.0
    energy: bool = False
    expand: bool = False
    whole_template: bool = False
    areas: bool = True

    def checked(self) -> Asked:
        """Itself; InputError for numbers that make no sense, by Montage's names."""
        if not 0.0 < self.fixed_weight < math.inf:
            raise InputError(
                f"fixedWeight {self.fixed_weight!r} must be positive and finite; 1 leaves areas as they are"
            )
        if not math.isfinite(self.flux_scale):
            raise InputError(f"fluxScale {self.flux_scale!r} must be finite; 1 leaves values as they are")
        if not 0.0 < self.drizzle <= 1.0:
            raise InputError(f"drizzle {self.drizzle!r} must lie above 0 and not above 1, the whole pixel")
        if not 0.0 <= self.threshold < math.inf:
            raise InputError(f"threshold {self.threshold!r} must be 0 or more, and finite")
        return self


def project_file(
    input_file: str, output_file: str, grid: Grid, asked: Asked, *, threads: bool = True
) -> dict[str, Any]:
    """Project an image, or a cube plane by plane, into a pair of files.

    Parameters
    ----------
    threads
        Whether blocks of the output are made side by side.

    Returns
    -------
    dict
        "time" in seconds.
    """
    start = time.perf_counter()
    path, area_path = pair_of(output_file)
    inputs = {Path(name).resolve() for name in (input_file, asked.weight_file) if name}
    if taken := [name for name in (path, area_path) if Path(name).resolve() in inputs]:
        raise InputError(f"cannot write {taken[0]}: it is what it is made of; name another file")
    ref = image_in(input_file, asked.hdu)
    window, mean, area, grid = _projected(ref, grid, asked.checked(), threads=threads)
    if not asked.whole_template:
        some = Window.around(area != 0)
        mean, area, window = mean[(..., *some.slices)], area[some.slices], some.shift(window.y0, window.x0)
    where = grid.subgrid(window)
    cards = ([("BUNIT", ref.bunit)] if ref.bunit else []) + plane_cards(ref, where)
    nominal = Drop(asked.drizzle).nominal(grid.scale / ref.grid.scale) * asked.fixed_weight
    areas = [(area_path, area, where, [("BUNIT", "sr", ""), *nominal_card(nominal)])] if asked.areas else []
    write_images([*areas, (path, mean, where, cards)])
    return {"time": round(time.perf_counter() - start, 3)}


def _projected(
    ref: ImageRef, grid: Grid, asked: Asked, *, threads: bool
) -> tuple[Window, NDArray[np.float64], NDArray[np.float64], Grid]:
    """Window of the pixels that are made, they (*planes, ny, nx), their areas in steradian, and the grid of it all."""
    if asked.expand:
        grid = _expanded(grid, ref.grid)
    way = reach(ref.grid, grid, ref.name, Drop(asked.drizzle))
    if way is None:
        raise InputError(f"{NO_OVERLAP}: {ref.name} does not reach the template")
    job, windows = way
    whole = grid.window if asked.whole_template else reduce(or_, windows)
    planes = math.prod(ref.planes)
    check_room(8 * whole.size * (planes + 1), "use a smaller template, or dmontage mosaic")
    mean = np.full((*ref.planes, *whole.shape), np.nan)
    area = np.zeros(whole.shape)
    made = _Made(job, asked, whole, mean, area)
    side = max(_SIDE // math.isqrt(planes), 64)
    blocks = [block for _, block in whole.blocks((side, side)) if any(block & window for window in windows)]
    layers = _layers(ref, asked)
    calls = [Call(f"mProject-{block}", made.fill, (block, *layers)) for block in blocks]
    if threads and len(calls) > 1 and in_process():
        run(calls)
    else:
        for call in calls:
            call.function(*call.arguments)
    if not area.any():
        raise InputError(_BLANK)
    return whole, mean, area, grid


def reach(grid_in: Grid, grid: Grid, name: str, drop: Drop) -> tuple[Job, list[Window]] | None:
    """How an image gets onto a grid, and the windows outside of which nothing of it falls; None where all does."""
    chain = Chain(grid_in, Chart(grid))
    if apart(chain):
        return None
    mapping = fit_mapping(chain.start, chain.end, TOL)
    job = Job(grid_in, grid, mapping, kernel_for(mapping, "auto", TOL, name), drop)
    windows = [window for window in reached(job) if window]
    return (job, windows) if windows else None


def _expanded(grid: Grid, other: Grid) -> Grid:
    """The grid grown on all sides by the diagonal of another one, in whole pixels: its own stay where they are."""
    return grid.subgrid(grid.window.pad(math.ceil(math.hypot(*other.shape) * other.scale / grid.scale)))


def _layers(ref: ImageRef, asked: Asked) -> tuple[Any, NDArray[Any] | None]:
    """Values, or where they are read from, and weights."""
    weights = None
    if asked.weight_file:
        with named_image(asked.weight_file, "Weight image"):
            check_file(asked.weight_file)
        weights = read_map(map_for(ref, "weight map", Path(asked.weight_file)))
        weights = np.asarray(weights, np.float64).reshape(weights.shape[-2:])
    small = ref.grid.window.size * math.prod(ref.planes) <= _IN_MEMORY
    return read(ref) if small else ref, weights


class _Made(NamedTuple):
    """The output, block by block; blocks may be filled side by side."""

    job: Job
    asked: Asked
    whole: Window
    mean: NDArray[np.float64]
    area: NDArray[np.float64]

    def fill(self, block: Window, layer: Any, weights: NDArray[Any] | None) -> None:
        """Make the pixels of a block of the output; of a cube the area is the largest of any plane's."""
        job, asked = self.job, self.asked
        part = sources(job, block)
        if part is None:
            return
        pixels = layer[(..., *part.slices)] if isinstance(layer, np.ndarray) else read(layer, part)
        cut = None if weights is None else weights[part.slices]
        unit = "flux_per_pixel" if asked.energy else "surface_brightness"
        quality = replace(asked.border, min_weight=asked.threshold)
        values, cut, _ = prepared((pixels, cut, None, None), job, part, quality, unit, asked.flux_scale)
        done = project(values, job, block, weights=cut, part=part)
        weight = done.area if done.weight is None else done.weight
        some = weight > 0.0
        if asked.energy:  # the total is kept, whatever part of its pixel a drop is
            sums = done.flux * (asked.fixed_weight / asked.drizzle**2)
            made = np.where(some, flux_of(sums, job.grid_out, block, parts(job)[1]), np.nan)
        else:
            made = np.divide(done.flux, weight, out=np.full(weight.shape, np.nan), where=some)
        at = block.relative_to(self.whole).slices
        self.mean[(..., *at)] = made
        angles = job.grid_out.solid_angle(block, parts(job)[1])
        covered = weight.reshape(-1, *block.shape).max(axis=0)
        self.area[at] = np.where(covered > 0.0, covered * angles * asked.fixed_weight, 0.0)
