"""The plan: everything is decided here, before a byte moves (level 3).

Pure: images and a grid in, a `MosaicPlan` out. It knows each image's window on the mosaic grid and the kernel that its
error bound allows, which pairs overlap, how tasks are batched, what is read and written, and refuses what cannot be.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from dmontage._version import __version__
from dmontage.errors import InputError
from dmontage.mapping import TOL, Mapping, fit_mapping
from dmontage.model import ImageRef, Images, OverlapPair, Skipped
from dmontage.sphere import lonlat, rotate_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.coordinates import BaseCoordinateFrame
    from numpy.typing import NDArray

    from dmontage.grid import Grid
    from dmontage.window import Window

__all__ = ["BACKGROUNDS", "CHUNK", "COMBINES", "METHODS", "UNITS", "Footprint", "MosaicPlan", "make_plan"]

BACKGROUNDS = ("none", "level", "plane")
COMBINES = ("mean", "median", "count")
METHODS = ("auto", "plane", "sky")
UNITS = ("surface_brightness", "flux_per_pixel")
CHUNK = 1024
"""Side of a mosaic chunk in pixels: 4 MB of float32, where the codec is fastest."""

_TASK_PIXELS = 2_000_000
"""Input or output pixels of one task: 0.2 s or more at 10 Mpix/s."""

_MAX_RATIO = 1000
"""Input over output pixel size above which the plane kernel's buffers, one input pixel at least, are too large."""

_MAX_BYTES = 2**38
"""Size of product and store above which a plan is refused unless the user asks for it (256 GiB)."""


@dataclass(frozen=True, eq=False, slots=True)
class Footprint:
    """An image on the mosaic grid: one row of the store."""

    image: ImageRef
    window: Window
    """The pixels of the mosaic grid that it can reach."""
    mapping: Mapping
    method: str
    """Kernel that projects it: "plane" or "sky"."""

    @property
    def digest(self) -> str:
        """Changes with everything that the projected row depends on."""
        text = f"{self.image.digest}|{self.window}|{self.method}|{self.mapping.to_dict()}"
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class MosaicPlan:
    """What will be done. Print it."""

    grid: Grid
    rows: tuple[Footprint, ...]
    """The images that reach the grid; a row's number is its place here, in the store and everywhere."""
    pairs: tuple[OverlapPair, ...]
    skipped: tuple[Skipped, ...]
    background: str
    combine: str
    weights: str
    method: str
    unit: str
    tol: float
    warnings: tuple[str, ...]
    chunk: int
    """Side of the mosaic's chunks in pixels."""

    @cached_property
    def chunks(self) -> tuple[tuple[Window, tuple[int, ...]], ...]:
        """The mosaic's chunks in row order, each with the rows that reach it."""
        cut = (self.chunk, self.chunk)
        rows: dict[tuple[int, int], list[int]] = defaultdict(list)
        for i, row in enumerate(self.rows):
            for index, _ in row.window.blocks(cut):
                rows[index].append(i)
        return tuple((window, tuple(rows[index])) for index, window in self.grid.window.blocks(cut))

    @property
    def row_batches(self) -> tuple[tuple[int, ...], ...]:
        """Rows that one task projects: neighbours in the table, about two million input pixels."""
        return batches([row.image.grid.window.size for row in self.rows])

    @property
    def pair_batches(self) -> tuple[tuple[int, ...], ...]:
        """Pairs that one task fits: grouped by image, so that an image is decoded once."""
        return batches([max(8 * pair.window.size, _TASK_PIXELS // 16) for pair in self.pairs])

    @property
    def chunk_batches(self) -> tuple[tuple[int, ...], ...]:
        """Mosaic chunks that one task coadds."""
        return batches([(len(rows) + 1) * chunk.size // 2 for chunk, rows in self.chunks])

    @property
    def bytes_in(self) -> int:
        """Bytes of the input files."""
        return sum({row.image.path: row.image.size for row in self.rows}.values())

    @property
    def bytes_out(self) -> int:
        """Bytes of the two FITS products."""
        return 2 * 4 * self.grid.window.size

    @property
    def bytes_store(self) -> int:
        """Bytes of the store at most (it is compressed)."""
        return 2 * 4 * sum(row.window.size for row in self.rows) + self.bytes_out

    @property
    def bytes_task(self) -> int:
        """Memory of the largest task at most: an image with its corners and sums, or a chunk with its stack."""
        project = max(_bytes_row(row) for row in self.rows)
        stack = max(len(rows) for _, rows in self.chunks) if self.combine == "median" else 2
        return max(project, 8 * self.chunk**2 * (stack + 3))

    @property
    def error_bound(self) -> float:
        """Greatest bound of any image on its kernel, output pixels, with the rounding of its WCS."""
        return max(
            (row.mapping.bound if row.method == "plane" else row.mapping.edge) + row.mapping.rounding
            for row in self.rows
        )

    @property
    def digest(self) -> str:
        """Tells runs apart whose projected images differ."""
        parts = [__version__, self.unit, self.grid.header, self.grid.shape, self.tol, [row.digest for row in self.rows]]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def __str__(self) -> str:
        ny, nx = self.grid.shape
        n_sky = sum(row.method == "sky" for row in self.rows)
        n_fit = len(self.pair_batches) if self.background != "none" else 0
        mpix = sum(row.image.grid.window.size for row in self.rows) / 1e6
        depth = sum(row.window.size for row in self.rows) / self.grid.window.size
        lines = [
            f"mosaic      {nx} x {ny} pixels of {np.degrees(self.grid.scale) * 3600:.4g} arcsec, {ctype(self.grid)}",
            f"images      {len(self.rows)} used, {mpix:.1f} Mpix; {len(self.skipped)} skipped",
            f"projection  {len(self.rows) - n_sky} on the plane, {n_sky} on the sphere; "
            f"error at most {self.error_bound:.1e} px",
            f"overlaps    {len(self.pairs)} pairs at most; mean depth {depth:.2f}",
            f"background  {self.background};  combine {self.combine}, weights {self.weights}",
            f"tasks       {len(self.row_batches)} project, {n_fit} fit, {len(self.chunk_batches)} coadd; "
            f"largest needs {human(self.bytes_task)}",
            f"bytes       {human(self.bytes_in)} in, store at most {human(self.bytes_store)}, "
            f"{human(self.bytes_out)} out",
        ]
        lines += [f"warning     {text}" for text in self.warnings]
        lines += [f"skipped     {text}" for text in self.skipped]
        return "\n".join(lines)


def make_plan(
    images: Images | Sequence[ImageRef],
    grid: Grid,
    *,
    background: str = "plane",
    combine: str = "mean",
    weights: str | None = None,
    method: str = "auto",
    unit: str = "surface_brightness",
    tol: float = TOL,
    max_bytes: int = _MAX_BYTES,
) -> MosaicPlan:
    """Decide how ``images`` become a mosaic on ``grid``.

    Parameters
    ----------
    background
        "none", "level" (one number per image) or "plane" (level and two slopes).
    combine
        "mean", "median" or "count".
    weights
        "area" or "none"; the mean's default is "area", the median's "none".
    method
        "auto" takes the plane kernel where its error bound is below ``tol``, else the sphere.
    unit
        "surface_brightness": a constant sky keeps its value whatever the pixels. "flux_per_pixel": values are energy
        per pixel (counts), of which the total is kept.
    tol
        Tolerance of the projection in output pixels.
    max_bytes
        Refuse a run whose product and store are larger.

    Raises
    ------
    InputError
        On a word that is none of these, when no image reaches the grid, or when the run would be too large.
    """
    for value, words, name in (
        (background, BACKGROUNDS, "background"),
        (combine, COMBINES, "combine"),
        (method, METHODS, "method"),
        (unit, UNITS, "unit"),
        (weights or "area", ("area", "none"), "weights"),
    ):
        if value not in words:
            raise InputError(f"{name} {value!r} is not one of {', '.join(words)}")
    if 8 * grid.window.size > max_bytes:
        raise InputError(_too_large(8 * grid.window.size, grid, max_bytes))
    rows, missed = _footprints(images, grid, method, tol)
    if not rows:
        if not missed:
            raise InputError("no image was given")
        where = f"the grid lies about {_about(grid)}, the first image about {_about(images[0].grid)}"
        raise InputError(f"no image reaches the grid: {missed[0]}; {where}")
    plan = MosaicPlan(
        grid=grid,
        rows=tuple(rows),
        pairs=tuple(_pairs(rows)),
        skipped=(*getattr(images, "skipped", ()), *missed),
        background=background,
        combine=combine,
        weights=weights or ("area" if combine == "mean" else "none"),
        method=method,
        unit=unit,
        tol=tol,
        warnings=tuple(_warnings(rows, unit)),
        chunk=CHUNK,
    )
    if plan.bytes_store > max_bytes:
        raise InputError(_too_large(plan.bytes_store, grid, max_bytes))
    return plan


def _bytes_row(row: Footprint) -> int:
    """Memory that projecting an image takes at most: its pixels, corners and sums."""
    sums = 32 * row.image.grid.window.size + 32 * row.window.size
    # On the sphere the corners of the whole window are vectors, some times over while the WCS makes them.
    return sums + (100 * row.mapping.sub_out**2 * row.window.size if row.method == "sky" else 0)


def batches(costs: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Cut the numbers 0, 1, ... into runs of about one task's cost each."""
    out: list[list[int]] = []
    total = 0
    for i, cost in enumerate(costs):
        if not out or total + cost > _TASK_PIXELS:
            out.append([])
            total = 0
        out[-1].append(i)
        total += cost
    return tuple(tuple(batch) for batch in out)


def human(n: float) -> str:
    """A number of bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if n < 999.5:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.4g} TB"


def ctype(grid: Grid) -> str:
    """CTYPE1 of the grid, such as RA---TAN."""
    return str(grid.wcs().wcs.ctype[0])


def _about(grid: Grid) -> str:
    """Where the middle of a grid lies, for people."""
    ny, nx = grid.shape
    lon, lat = lonlat(grid.sky(np.array((nx - 1) / 2), np.array((ny - 1) / 2)))
    return f"{float(lon):.4f} {float(lat):+.4f} ({grid.frame.name})"


def _footprints(
    images: Sequence[ImageRef], grid: Grid, method: str, tol: float
) -> tuple[list[Footprint], list[Skipped]]:
    """Rows for the images that reach the grid, and the others."""
    rows: list[Footprint] = []
    missed: list[Skipped] = []
    frame = grid.frame
    grid_cap = _cap(grid, frame)
    for image in images:
        if _apart(_cap(image.grid, frame), grid_cap):
            missed.append(Skipped(image.name, "does not overlap the grid"))
            continue
        mapping = fit_mapping(image.grid, grid, tol)
        window = mapping.footprint(grid)
        if not window:
            missed.append(Skipped(image.name, "does not overlap the grid"))
            continue
        if method == "plane" and mapping.cut:
            raise InputError(
                f"{image.name}: method 'plane' cannot project it: a seam, a pole or undefined pixels cut its map; "
                "use 'auto'"
            )
        if method == "plane" and mapping.pixel_ratio > _MAX_RATIO:
            raise InputError(
                f"{image.name}: method 'plane' cannot project pixels {mapping.pixel_ratio:.0f} times larger than the "
                f"output's (limit {_MAX_RATIO}); use 'auto'"
            )
        chosen = method if method != "auto" else ("plane" if mapping.bound <= tol else "sky")
        rows.append(Footprint(image, window, mapping, chosen))
    return rows, missed


def _cap(grid: Grid, frame: BaseCoordinateFrame) -> tuple[NDArray[np.float64], float]:
    """Centre and chord radius of a cap that holds a grid, in a frame; radius 2 when it is not small."""
    ny, nx = grid.shape
    x, y = np.meshgrid(np.linspace(-0.5, nx - 0.5, 9), np.linspace(-0.5, ny - 0.5, 9))
    vectors = rotate_frame(grid.sky(x, y), grid.frame, frame)
    if not np.isfinite(vectors).all():
        return np.array([0.0, 0.0, 1.0]), 2.0
    centre = vectors.mean(axis=(0, 1))
    norm = float(np.linalg.norm(centre))
    if norm < 0.5:
        return np.array([0.0, 0.0, 1.0]), 2.0
    centre /= norm
    # Between samples the edge may bulge: by less than the distance between them.
    gap = max(float(np.linalg.norm(np.diff(vectors, axis=axis), axis=-1).max()) for axis in (0, 1))
    return centre, float(np.linalg.norm(vectors - centre, axis=-1).max()) + gap


def _apart(a: tuple[NDArray[np.float64], float], b: tuple[NDArray[np.float64], float]) -> bool:
    return float(np.linalg.norm(a[0] - b[0])) > a[1] + b[1]


def _pairs(rows: Sequence[Footprint]) -> list[OverlapPair]:
    """Rows whose windows share pixels: compared within bins the size of a typical window, never all against all."""
    side = max(int(np.median([max(row.window.shape) for row in rows])), 1)
    bins: dict[tuple[int, int], list[int]] = defaultdict(list)
    found: set[tuple[int, int]] = set()
    for i, row in enumerate(rows):
        for index, _ in row.window.blocks((side, side)):
            found.update((other, i) for other in bins[index] if rows[other].window & row.window)
            bins[index].append(i)
    return [OverlapPair(i, j, rows[i].window & rows[j].window) for i, j in sorted(found)]


def _warnings(rows: Sequence[Footprint], unit: str) -> list[str]:
    """Inputs that are probably not what the user thinks."""
    out = []
    units = {row.image.bunit for row in rows}
    if len(units) > 1:
        out.append(f"the images have different units: {', '.join(sorted(bunit or 'none' for bunit in units))}")
    counts = re.compile(r"/\s*(pix|beam)|^(counts?|ct|adu|dn|electrons?)$", re.IGNORECASE)
    per_pixel = [bunit for bunit in sorted(units) if counts.search(bunit)]
    if per_pixel and unit == "surface_brightness":
        out.append(
            f"BUNIT {per_pixel[0]!r} counts per pixel, but values are taken as surface brightness: "
            "if they are counts, ask for the unit flux_per_pixel"
        )
    scales = np.array([row.image.grid.scale for row in rows])
    odd = np.abs(np.log(scales / np.median(scales))) > np.log(3)
    strange = [row.image.name for row, is_odd in zip(rows, odd, strict=True) if is_odd]
    if strange:
        names = ", ".join(strange[:5]) + (", ..." if len(strange) > 5 else "")
        out.append(f"pixels over 3 times larger or smaller than the others': {names}")
    return out


def _too_large(n_bytes: int, grid: Grid, limit: int) -> str:
    ny, nx = grid.shape
    return (
        f"the mosaic of {nx} x {ny} pixels needs {human(n_bytes)}, the limit is {human(limit)}; "
        "choose a smaller size or a larger scale, or raise the limit (max_bytes, --max-bytes)"
    )
