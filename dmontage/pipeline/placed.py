"""Placed: the images and fits of several runs in the coordinates that they are solved in.

Where all runs lie on one lattice (their grids differ by whole pixels) everything is told in its pixels, as in one run.
Else each pair is seen in the tangent plane about its own origin, and each image's plane in that about the image's:
nothing is told on a common grid, which all the sky has not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.background import PairTable
from dmontage.grid.tangent import sky_at, tangents
from dmontage.model import OverlapPair
from dmontage.pipeline.corrections import to_sky
from dmontage.pipeline.overlap_geometry import overlap_geometry
from dmontage.sphere import lonlat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dmontage.grid import Grid
    from dmontage.pipeline.merged import Merged
    from dmontage.pipeline.run_fits import RunFits
    from dmontage.window import Window

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["Placed", "on_lattice", "on_sky"]


class Placed(NamedTuple):
    """The images and pairs in the coordinates that they are solved in."""

    table: PairTable
    frames: Floats
    origins: Floats
    """(n, 3) ICRS unit vectors of the planes' origins."""
    turn: Floats
    """(n, 3, 3) of `to_sky`."""
    scale: float
    """Side of a pixel of these coordinates, radians."""
    level_only: tuple[int, ...]
    turned: bool
    """True where each image has pixels of its own."""


def _values(runs: Sequence[RunFits], merged: Merged, scale: float) -> tuple[Floats, Floats]:
    """(m, 3) differences and (m, 3, 3) information of the fits that count, per pixel of their run.

    Energy per pixel is told for pixels of side ``scale``.
    """
    factors = [(scale / run.grid.scale) ** 2 if run.unit == "flux_per_pixel" else 1.0 for run in runs]
    each = list(zip(runs, merged.chosen, factors, strict=True))
    return (
        np.concatenate([f * run.planes[i, :3] for run, i, f in each]),
        np.concatenate([run.information[i] / f**2 for run, i, f in each]),
    )


def on_lattice(runs: Sequence[RunFits], merged: Merged) -> Placed | None:
    """In the pixels of one grid over all runs; None where there is no such grid, or an image is cut."""
    base = runs[0].grid
    shifts = [base.shift_from(run.grid) for run in runs]
    if not all(run.windows for run in runs):
        return None
    moved = [(run, shift) for run, shift in zip(runs, shifts, strict=True) if shift is not None]
    if len(moved) < len(runs):
        return None
    whole = base.window
    for run, shift in moved:
        whole |= run.grid.window.shift(*shift)
    grid = base.subgrid(whole)
    moves = [(dy - whole.y0, dx - whole.x0) for _, (dy, dx) in moved]
    windows: dict[int, Window] = {}
    outlines = np.empty((len(merged.images), 4, 2))
    for run, numbers, (dy, dx) in zip(runs, merged.numbers, moves, strict=True):
        outlines[numbers] = run.outlines + np.array([dx, dy])
        for k, window in zip(numbers.tolist(), run.windows, strict=True):
            windows[k] = windows.get(k, window.shift(dy, dx)) | window.shift(dy, dx)
    return _in_pixels(grid, [windows[k] for k in range(len(windows))], outlines, runs, merged, moves)


def _in_pixels(
    grid: Grid, windows: list[Window], outlines: Floats, runs: Sequence[RunFits], merged: Merged, moves: Any
) -> Placed:
    ends = merged.ends(runs)
    order = np.lexsort((ends[:, 1], ends[:, 0]))
    ends = ends[order]
    at = [run.planes[i, 3:] + np.array([dx, dy]) for run, i, (dy, dx) in zip(runs, merged.chosen, moves, strict=True)]
    x0, y0 = np.concatenate(at)[order].T
    met = np.concatenate([run.n_pixels[i] for run, i in zip(runs, merged.chosen, strict=True)])[order] > 0
    pairs = [OverlapPair(a, b, windows[a] & windows[b]) for a, b in ends.tolist()]
    difference, information = _values(runs, merged, grid.scale)
    share = overlap_geometry(windows, outlines, pairs, met).share
    table = PairTable(ends[:, 0], ends[:, 1], x0, y0, difference[order], information[order], share)
    frames = np.array([(*window.middle, max(*window.shape, 1) / 2) for window in windows]).reshape(-1, 3)
    origins = sky_at(grid, frames[:, :2])
    turn = to_sky(tangents(grid, frames[:, :2], origins, np.maximum(frames[:, 2] / 4, 1.0)).jacobian)
    return Placed(table, frames, origins, turn, grid.scale, (), False)


def on_sky(runs: Sequence[RunFits], merged: Merged) -> Placed:
    """In tangent planes, of pixels as large as those of the first run."""
    scale, n = runs[0].grid.scale, len(merged.images)
    origins, sizes = _largest_parts(runs, merged, scale)
    known = np.asarray(np.isfinite(origins).all(axis=1))
    frames = np.column_stack([_flat(origins, known) / scale, sizes / 2])
    each = list(zip(runs, merged.numbers, merged.chosen, strict=True))
    parts = [_pairs_on_sky(run, numbers, i, origins, frames, scale) for run, numbers, i in each]
    turns, affines, bent = (np.concatenate(part) for part in zip(*parts, strict=True))
    difference, information = _values(runs, merged, scale)
    # Slopes per pixel of the tangent plane, from those per pixel of the run.
    there, back = np.tile(np.eye(3), (2, len(turns), 1, 1))
    there[:, 1:, 1:], back[:, 1:, 1:] = np.swapaxes(np.linalg.inv(turns), 1, 2), np.swapaxes(turns, 1, 2)
    ends, zero = merged.ends(runs), np.zeros(len(turns))
    table = PairTable(
        ends[:, 0], ends[:, 1], zero, zero, (there @ difference[:, :, None])[:, :, 0],
        np.swapaxes(back, 1, 2) @ information @ back, np.concatenate([run.share[i] for run, _, i in each]), affines,
    )  # fmt: skip
    level_only = {k for run, numbers, _ in each for k in numbers[list(run.level_only)].tolist()}
    level_only |= {*ends[bent].tolist(), *np.flatnonzero(~known).tolist()}
    turn = np.tile(np.diag([1.0, *2 * [1.0 / np.degrees(scale)]]), (n, 1, 1))
    turn[~known] = np.nan
    return Placed(table, frames, origins, turn, scale, tuple(sorted(level_only)), True)


def _largest_parts(runs: Sequence[RunFits], merged: Merged, scale: float) -> tuple[Floats, Floats]:
    """Origins (n, 3) of the images and their sizes (n,), in pixels of side ``scale``, where most of each is covered."""
    n = len(merged.images)
    origins, sizes, most = np.full((n, 3), np.nan), np.ones(n), np.full(n, -1.0)
    for run, numbers in zip(runs, merged.numbers, strict=True):
        ratio = run.grid.scale / scale
        covered = run.boxes[:, 2:].prod(axis=1) * ratio**2 * np.isfinite(run.origins).all(axis=1)
        better = covered > most[numbers]  # of equal ones the first
        at = numbers[better]
        most[at], origins[at] = covered[better], run.origins[better]
        sizes[at] = np.maximum(run.boxes[better, 2:].max(axis=1), 1.0) * ratio
    return origins, sizes


def _flat(origins: Floats, known: NDArray[np.bool_]) -> Floats:
    """(n, 2) longitude about the images' middle and latitude, radians: which images lie near each other."""
    lon, lat = lonlat(origins)
    centre = float(lonlat(origins[known].sum(axis=0))[0]) if known.any() else 0.0
    return np.nan_to_num(np.radians(np.column_stack([(lon - centre + 180.0) % 360.0 - 180.0, lat])))


def _pairs_on_sky(
    run: RunFits, numbers: Ints, chosen: Ints, origins: Floats, frames: Floats, scale: float
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """How the tangent planes about some fits' origins lie.

    Returns
    -------
    turns
        (m, 2, 2) from the run's pixels to them.
    affines
        (m, 2, 2, 3) from them to the planes of plus and of minus.
    bent
        (m, 2) True where an image has no such plane.
    """
    pixels = run.planes[chosen, 3:]
    steps = np.maximum(frames[numbers[run.ends[chosen]], 2].min(axis=1) / 8 * scale / run.grid.scale, 1.0)
    own = tangents(run.grid, pixels, sky_at(run.grid, pixels), steps).jacobian / scale
    lost = ~np.isfinite(own).all(axis=(1, 2))
    own[lost] = np.eye(2)
    affines = np.zeros((len(chosen), 2, 2, 3))
    bent = np.zeros((len(chosen), 2), bool)
    for side in (0, 1):
        images = numbers[run.ends[chosen, side]]
        there = tangents(run.grid, pixels, origins[images], steps)
        affines[:, side, :, :2] = there.jacobian / scale @ np.linalg.inv(own)
        affines[:, side, :, 2] = there.offset / scale + frames[images, :2]
        bent[:, side] = lost | ~np.isfinite(affines[:, side]).all(axis=(1, 2))
        # Where there is no tangent plane there is a level only, which takes no map.
        affines[bent[:, side], side] = np.eye(2, 3)
    return own, affines, bent
