"""MosaicPlan: what will be done, and what it takes."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage._version import __version__
from dmontage.mapping import affordable_parts
from dmontage.model import FWHM, Companions, Drop, ImageRef, Matching, OverlapPair, Skipped
from dmontage.noise import correlation_factor
from dmontage.planner.batching import in_tasks
from dmontage.planner.combining import STACKED
from dmontage.planner.estimate import REFERENCE, chunk_cost, pair_cost, row_cost
from dmontage.planner.memory import Memory, chunk_shape, decide_memory, processors
from dmontage.planner.names import numbers_of
from dmontage.planner.rows import row_digest
from dmontage.planner.task_memory import bytes_task
from dmontage.planner.text import plan_text
from dmontage.quality import Quality
from dmontage.shown import Shown

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from dmontage.grid import Grid
    from dmontage.planner.rows import Footprint
    from dmontage.window import Window

__all__ = ["MosaicPlan"]

_PAIRS = 100
"""Pairs that one task fits at most: their numbers take less than 1 kB in the graph."""

_SPREAD = math.sqrt(12.0) / FWHM
"""Side of a square over the FWHM of a Gaussian of the same variance."""


@dataclass(frozen=True, repr=False)
class MosaicPlan(Shown):
    """What will be done. Print it."""

    grid: Grid
    rows: tuple[Footprint, ...]
    """The images that reach the grid; a row's number is its place here, in the store and everywhere."""
    pairs: tuple[OverlapPair, ...]
    """Rows that share pixels of the grid, or of the margin around it."""
    skipped: tuple[Skipped, ...]
    background: str
    """"none", "level", "plane", or "given"; this word and the next four as for `make_plan`."""
    combine: str
    weights: str
    method: str
    unit: str
    tol: float
    """Tolerance of the projection, output pixels."""
    warnings: tuple[str, ...]
    margin: int
    """Pixels beyond the grid, on each side, that rows on the plane may cover: for the fits of overlaps."""
    drop: Drop
    quality: Quality
    companions: tuple[Companions, ...]
    """Of each row."""
    zero_point: float | None
    """Magnitude zero point of the mosaic; None where those of the images are not used."""
    matching: Matching
    """How backgrounds are matched, beside the model `background`."""
    memory_limit: int | None = None
    """Bytes of the process at most; a safe part of what there is if None."""
    workers: int | None = None
    """Tasks at once at most; as many as there are processors if None."""
    cluster_threads: int | None = None
    """Tasks at once on all of a cluster; None where there is none."""
    per_pixel: float = REFERENCE
    """Seconds of one core for projecting a pixel, which the estimate of the time goes by."""
    large_scale: float | None = None
    """Predicted error of the background on the largest scales, in units of the noise of an input pixel, from that noise
    alone and with free slopes; None where nothing is matched."""
    clip: tuple[float, float] | None = None
    """Limits (low, high) of a clipped mean in σ; None for any other."""
    also: tuple[str, ...] = ()
    """What is wanted of each pixel besides: "depth", "rejected", "sources"."""
    band: tuple[str, str] | None = None
    """Of a mosaic that is one of several: the header keyword that tells bands apart, or nothing, and its value."""

    @property
    def each_worker(self) -> bool:
        """True where memory and workers are those of each worker process: what the driver holds does not count."""
        return self.cluster_threads is not None

    @cached_property
    def memory(self) -> Memory:
        """How the run is kept to its memory; InputError where it cannot be."""
        workers, task = self.workers or processors(), partial(bytes_task, self)
        if self.each_worker:
            way_out = "0.8 of a worker's --memory-limit counts; start workers with more"
            return decide_memory(self.memory_limit, workers, 0, 0, task, way_out)
        return decide_memory(self.memory_limit, workers, len(self.rows), self.bytes_rows, task)

    @property
    def chunk(self) -> tuple[int, int]:
        """Shape of the mosaic's chunks."""
        return self.chunk_of(self.memory.chunk)

    def chunk_of(self, side: int) -> tuple[int, int]:
        """Shape of chunks of about ``side``² pixels: squares where all values of a pixel are held, else wide."""
        return (side, side) if self.stacked else chunk_shape(side, self.grid.shape)

    @cached_property
    def chunks(self) -> tuple[tuple[Window, tuple[int, ...]], ...]:
        """The mosaic's chunks in row order, each with the rows that reach it."""
        return self.chunks_of(self.chunk)

    def chunks_of(self, cut: tuple[int, int]) -> tuple[tuple[Window, tuple[int, ...]], ...]:
        """The same for chunks of some shape."""
        return self.grid.window.reached_blocks(cut, (row.window for row in self.rows))

    @cached_property
    def reaches_beyond(self) -> bool:
        """True when a row covers pixels beyond the grid."""
        return any(row.window not in self.grid.window for row in self.rows)

    @property
    def slots(self) -> int:
        """Tasks at once, wherever they run."""
        return self.cluster_threads or self.memory.workers

    @cached_property
    def row_batches(self) -> tuple[tuple[int, ...], ...]:
        """Rows that one task projects: neighbours in the table."""
        return in_tasks([row_cost(self, i) for i in range(len(self.rows))], self.slots)

    @cached_property
    def pair_batches(self) -> tuple[tuple[int, ...], ...]:
        """Pairs that one task fits: grouped by image, so that an image is decoded once."""
        return in_tasks([pair_cost(pair.window.size) for pair in self.pairs], self.slots, most=_PAIRS)

    @cached_property
    def chunk_batches(self) -> tuple[tuple[int, ...], ...]:
        """Mosaic chunks that one task coadds."""
        depth = self.mean_depth
        costs = [chunk_cost(self, chunk.size, int(depth * chunk.size)) for chunk, _ in self.chunks]
        return in_tasks(costs, self.slots)

    @cached_property
    def mean_depth(self) -> float:
        """Images that a pixel of the mosaic lies in, in the mean over all."""
        return sum((row.window & self.grid.window).size for row in self.rows) / self.grid.window.size

    @cached_property
    def ratios(self) -> tuple[float, ...]:
        """Side of an output pixel in pixels of each row's image, in the middle of either."""
        scale = self.grid.scale
        sides = {row.image: row.image.grid.scale for row in self.rows}
        return tuple(scale / sides[row.image] for row in self.rows)

    @cached_property
    def pair_ratios(self) -> tuple[float, ...]:
        """Of each pair the smaller ratio, the coarser image's: its noise rules how many differences are independent."""
        ratios = self.ratios
        return tuple(min(ratios[pair.plus], ratios[pair.minus]) for pair in self.pairs)

    @property
    def degrees_per_pixel(self) -> float:
        """Side of the mosaic's middle pixel, degrees."""
        return math.degrees(self.grid.scale)

    @property
    def nominal(self) -> tuple[float, ...]:
        """Area of an output pixel that each row covers as well as its drops can: less than 1 where they leave gaps."""
        if self.drop.pixfrac == 1.0:
            return (1.0,) * len(self.rows)
        return tuple(map(self.drop.nominal, self.ratios))

    @cached_property
    def factors(self) -> tuple[float, ...]:
        """Each row's own weight; empty where none differs from 1."""
        factors = tuple(companions.factor for companions in self.companions)
        return factors if set(factors) != {1.0} else ()

    def factors_of(self, rows: Sequence[int]) -> tuple[float, ...]:
        """Of some rows; empty as `factors`."""
        return tuple(self.factors[row] for row in rows) if self.factors else ()

    @cached_property
    def has_weight(self) -> bool:
        """True when pixels have weights of their own."""
        return self.weights == "ivar" or self.has_weight_map

    @property
    def has_weight_map(self) -> bool:
        """True when maps give pixels weights of their own."""
        return any(companions.weight for companions in self.companions)

    @cached_property
    def has_variance(self) -> bool:
        """True when the variance of the mosaic is wanted."""
        return any(companions.variance for companions in self.companions)

    @property
    def layers(self) -> tuple[str, ...]:
        """What the store holds of the product and files are written of, in this order; the one place that decides."""
        return ("mean", "area", *["variance"] * self.has_variance, *(name for name in self.also if name != "sources"))

    @cached_property
    def images(self) -> tuple[ImageRef, ...]:
        """Images that reach the grid, in the order of their rows; one may have several."""
        return tuple(dict.fromkeys(row.image for row in self.rows))

    @property
    def scales(self) -> tuple[float, ...]:
        """Of each image, what its values are multiplied by."""
        scales = dict(zip(self.image_of, self.companions, strict=True))
        return tuple(scales[k].scale for k in range(self.n_images))

    @property
    def n_images(self) -> int:
        """Images that reach the grid."""
        return len(self.images)

    @cached_property
    def image_of(self) -> tuple[int, ...]:
        """Of each row, the number of its image among `images`."""
        numbers = {image: k for k, image in enumerate(self.images)}
        return tuple(numbers[row.image] for row in self.rows)

    @cached_property
    def corrected_by(self) -> str:
        """A name of the corrections: the same for the same images, matched in the same way; "none" without any."""
        if self.background == "none":
            return "none"
        # Images by number: a path that is relative to where the user is now names another image elsewhere.
        matching = replace(self.matching, anchors=(), locked=())
        made_from = f"{self.input_digest}|{matching!r}|{self.anchors}|{self.locked}"
        return f"{self.background}-{hashlib.sha256(made_from.encode()).hexdigest()[:32]}"

    @property
    def is_matched(self) -> bool:
        """True where backgrounds are to be matched: neither left alone nor corrected by what was given."""
        return self.background in ("level", "plane")

    @property
    def bunit(self) -> str:
        """The images' BUNIT; empty where they differ or do not say."""
        units = {row.image.bunit for row in self.rows}
        return units.pop() if len(units) == 1 else ""

    @cached_property
    def anchors(self) -> tuple[int, ...]:
        """Numbers of the images whose mean correction is zero."""
        return numbers_of(self.images, "anchor", self.matching.anchors)

    @cached_property
    def locked(self) -> tuple[int, ...]:
        """Numbers of the images that are not corrected."""
        return numbers_of(self.images, "lock", self.matching.locked)

    @cached_property
    def sub_out(self) -> int:
        """Parts of an edge of an output pixel whose solid angle products state: one number for the whole mosaic."""
        on_sky = (row.mapping.sub_out for row in self.rows if row.method == "sky")
        return affordable_parts(max(on_sky, default=1), self.grid.window)

    @property
    def files(self) -> tuple[ImageRef, ...]:
        """Images and maps that are read."""
        return self._files_of(range(len(self.rows)))

    def _files_of(self, rows: Collection[int]) -> tuple[ImageRef, ...]:
        maps = [ref for row in rows for ref in self.companions[row].maps if ref is not None]
        return (*(self.rows[row].image for row in rows), *maps)

    @property
    def bytes_in(self) -> int:
        """Bytes of the input files."""
        return self.bytes_in_of(range(len(self.rows)))

    def bytes_in_of(self, rows: Collection[int]) -> int:
        """Bytes of the input files of some rows; a file of several images counts once."""
        return sum({ref.path: ref.size for ref in self._files_of(rows)}.values())

    @property
    def bytes_out(self) -> int:
        """Bytes of the FITS products."""
        return (len(self.layers) + ("sources" in self.also)) * 4 * self.grid.window.size

    @property
    def bytes_store(self) -> int:
        """Bytes of the store at most (it is compressed)."""
        return self.bytes_rows + self.bytes_out

    @property
    def bytes_rows(self) -> int:
        """Bytes of all projected images, decoded."""
        return 4 * len(self.sums) * sum(row.window.size for row in self.rows)

    @property
    def read_amplification(self) -> float:
        """How often a projected image is read for the coadd, in the mean: once for each chunk that it reaches."""
        return sum(len(rows) for _, rows in self.chunks) / len(self.rows)

    @property
    def stacked(self) -> bool:
        """True where the values of a pixel are held together to be combined: a chunk takes memory by its depth."""
        return self.combine in STACKED

    def listed(self, i: int) -> bool:
        """True where the overlaps of a row are listed before they are used: drops, weights, variances."""
        return not self.drop.whole or self.companions[i].weight is not None or self.companions[i].variance is not None

    @property
    def error_bound(self) -> float:
        """Greatest bound of any image on its kernel, output pixels, with the rounding of its WCS."""
        return max(row.error_bound for row in self.rows)

    @property
    def gap(self) -> float:
        """Widest distance between neighbouring drops of an image, output pixels."""
        side = {"square": 1.0, "point": 0.0, "gaussian": _SPREAD}[self.drop.kernel] * self.drop.pixfrac
        return max(0.0, 1.0 - side) / min(self.ratios)

    def correlation(self, ratio: float) -> float:
        """Factor by which projection makes the noise of a mean over many pixels exceed what single ones say.

        Parameters
        ----------
        ratio
            Side of an output pixel over that of an input pixel.
        """
        drop = self.drop
        if drop.kernel == "point":
            return 1.0
        # A Gaussian correlates as a square of the same variance does: to 3 %, wide or narrow.
        spread = _SPREAD if drop.kernel == "gaussian" else 1.0
        return correlation_factor(ratio / spread, drop.pixfrac)

    @property
    def noise_correlation(self) -> float:
        """Factor by which the noise of a mean over many pixels exceeds what variances say, in the median of the images.

        1 for images that lie on the grid already.
        """
        of_rows = [
            1.0 if self.drop.whole and _is_shift(row) else self.correlation(ratio)
            for row, ratio in zip(self.rows, self.ratios, strict=True)
        ]
        return float(np.median(of_rows))

    @cached_property
    def run(self) -> dict[str, Any]:
        """What rows have in common, as JSON values: a store holds rows of one such run."""
        return {
            "version": __version__,
            "grid": self.grid.header,
            "shape": list(self.grid.shape),
            "unit": self.unit,
            "tol": self.tol,
            "drop": asdict(self.drop),
            "quality": self.quality.to_dict(),
            "sums": list(self.sums),
            "inverse_variance": self.weights == "ivar",
        }

    @property
    def sums(self) -> tuple[str, ...]:
        """What the store holds of a row."""
        return ("flux", "area", *["weight"] * self.has_weight, *["variance"] * self.has_variance)

    @cached_property
    def digest(self) -> str:
        """Tells runs apart that share no projected image."""
        return hashlib.sha256(json.dumps(self.run).encode()).hexdigest()

    @cached_property
    def row_digests(self) -> tuple[str, ...]:
        """Of each row, what changes with all that it is made from, beside the run."""
        return tuple(row_digest(row, beside) for row, beside in zip(self.rows, self.companions, strict=True))

    @cached_property
    def input_digest(self) -> str:
        """Tells plans apart whose rows differ: by the run, or by their images."""
        return hashlib.sha256(json.dumps([self.digest, self.row_digests]).encode()).hexdigest()

    def __repr__(self) -> str:
        ny, nx = self.grid.shape
        return f"<MosaicPlan {nx} x {ny} of {self.n_images} images, {self.background}, {self.combine}>"

    def __str__(self) -> str:
        return plan_text(self)


def _is_shift(row: Footprint) -> bool:
    return not row.mapping.cut and all(patch.shift is not None for patch in row.mapping.patches)
