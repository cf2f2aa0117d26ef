"""The report's nouns: plain numbers, and their text and JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from dmontage.aside import aside
from dmontage.errors import InputError
from dmontage.log import as_json
from dmontage.pipeline.prediction import advice
from dmontage.places import Place

if TYPE_CHECKING:
    from dmontage.background import LargeScale
    from dmontage.grid import Grid
    from dmontage.pipeline import ErrorMap
    from dmontage.window import Window

__all__ = ["BackgroundReport", "ImageLine", "PairLine", "report_paths"]

_P = TypeVar("_P", bound=Place)

_WORTH_NAMING = 0.01
"""Part of the error below which a mode is not told of."""
_LEGEND = (
    "kept: pixels within the clip; rms: of a difference pixel; before, after: medians of plus - minus; error: of the "
    "mean difference, by noise alone; t: what is left over its error, with what the overlaps disagree by beyond noise"
)
_SHOWN = 60
"""Pairs that the text lists; the JSON has all."""


@dataclass(frozen=True, slots=True)
class PairLine:
    """One overlap, in the unit of the pixels."""

    plus: str
    minus: str
    window: Window
    n_pixels: int
    kept: float
    """Fraction of the pixels that the clipping kept."""
    rms: float
    """Noise of a difference pixel."""
    before: float
    """Median of plus - minus."""
    after: float
    """The same less the corrections, measured on the pixels."""
    error: float
    """Standard error of the difference, by the noise of independent input pixels; infinite where it is not known."""
    t: float
    """What is left of level and slopes over its error, the misfit included."""
    rejected: bool
    """It disagrees with the other overlaps, and had no part in the match."""
    named: bool
    """More is left than three errors and the tolerance."""


@dataclass(frozen=True, slots=True)
class ImageLine:
    """One image's correction at its middle, with its standard error; the slopes are per degree."""

    file: str
    level: float
    level_error: float
    slope_east: float
    slope_north: float
    slope_east_error: float
    slope_north_error: float
    group: int
    """Number of its connected group."""
    status: str


@dataclass(frozen=True)
class BackgroundReport:
    """What background matching did, and how well the result is known. Print it; see `to_json`, `write`."""

    grid: Grid
    """Of the mosaic."""
    model: str
    unit: str
    """Of the pixels; empty where the images do not say, or differ."""
    gauge: str
    solver: str
    slope_prior: float | None
    """Standard deviation of the slopes' prior, per degree; None without one."""
    misfit: float
    """Standard deviation of what the overlaps disagree by beyond their noise, as a level."""
    noise: float
    """Of an input pixel, from the overlaps' scatter in the median."""
    tolerance: float
    """What may be left of an overlap beyond three errors without its being named."""
    converged: bool
    """False for a relaxation whose corrections still move."""
    unpaired: tuple[str, ...]
    """Images without overlap, whose level nothing tells."""
    pairs: tuple[PairLine, ...]
    images: tuple[ImageLine, ...]
    rms_before: float
    """Root mean square of the pairs' medians."""
    rms_after: float
    large_scale: LargeScale | None
    """None from a relaxation, which has no covariance."""
    error_map: ErrorMap | None
    """None likewise, and where nothing tells what each image has in a pixel (``combine``)."""

    @property
    def named(self) -> tuple[PairLine, ...]:
        """Pairs of which more is left than three errors and the tolerance; worst first."""
        some = (pair for pair in self.pairs if pair.named and not pair.rejected)
        return tuple(sorted(some, key=lambda pair: -abs(pair.after)))

    @property
    def rejected(self) -> tuple[PairLine, ...]:
        """Pairs that had no part in the match."""
        return tuple(pair for pair in self.pairs if pair.rejected)

    @property
    def advice(self) -> str:
        """What to do where the largest scales are badly known; empty where they are not."""
        scale = self.large_scale
        return "" if scale is None or not self.noise else advice(scale.rms / self.noise, self.model)

    @property
    def no_errors(self) -> str:
        """Why there is no map of errors; empty where there is one."""
        if self.large_scale is None:
            return "not known from a relaxation"
        return "" if self.error_map else "not known of the mosaic's background: a min, max, sum or count has no shares"

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        lines = [f"background  {self.model}, {self.solver}; gauge: {self.gauge}"]
        if not self.converged:
            lines.append("  warning   the relaxation has not converged: the corrections still move")
        if self.unpaired:
            lines.append(f"  unpaired  no overlap tells their level: {', '.join(self.unpaired)}")
        if not any(pair.n_pixels for pair in self.pairs):
            return "\n".join([*lines, "overlaps    none: nothing was matched"])
        beyond = f"; overlaps disagree by {self.misfit:.3g} beyond it" if self.large_scale else ""
        lines.append(f"noise       {self.noise:.4g}{unit} of an input pixel, if these are independent{beyond}")
        if self.slope_prior is not None:
            lines.append(f"prior       slopes of {self.slope_prior:.4g}{unit} per degree")
        change = f"{self.rms_before:.4g} before, {self.rms_after:.4g} after"
        lines.append(f"overlaps    {len(self.pairs)}; rms of the medians {change}")
        lines.append(f"  named     those left with more than 3 errors + {self.tolerance:.3g}: {len(self.named)}")
        lines += [f"  left      {p.plus} and {p.minus}: {p.after:.4g} ± {p.error:.2g}" for p in self.named]
        lines += [
            f"  rejected  {p.plus} and {p.minus}: {p.before:.4g} before, {p.after:.4g} after" for p in self.rejected
        ]
        lines += self._error_lines(unit)
        return "\n".join([*lines, "", *self._pair_table()])

    def _error_lines(self, unit: str) -> list[str]:
        scale, errors = self.large_scale, self.error_map
        if scale is None:
            return [f"errors      {self.no_errors}; solve directly for them"]
        first = f"errors      {self.no_errors}"
        if errors is not None:
            sigma = f" ({errors.rms / self.noise:.2g} of the noise)" if self.noise else ""
            known = f"background known to {errors.rms:.3g}{unit} rms{sigma} beyond a plane"
            first = f"errors      {known}, {_largest(errors.error):.3g} at the worst"
        x, y = (f"to {g:.3g}" if np.isfinite(g) else "not at all" for g in scale.gradient)
        largest = f"{scale.rms / self.noise:.2g} of the noise" if self.noise else f"{scale.rms:.3g}"
        lines = [
            first,
            f"  gradient  of all images together known {x}{unit} in x and {y}{unit} in y across the mosaic",
            f"  largest   scales, between the images' middles: {largest}",
        ]
        lines += [
            f"  mode      {m.name}: {m.rms:.3g}{unit} rms, {m.share:.0%} of the error"
            for m in scale.modes
            if m.share > _WORTH_NAMING
        ]
        return [*lines, f"  advice    {self.advice}"] if self.advice else lines

    def _pair_table(self) -> list[str]:
        order = sorted(self.pairs, key=lambda p: (not (p.named or p.rejected), -abs(p.after) if p.n_pixels else 0.0))
        rows = [("plus", "minus", "pixels", "kept", "rms", "before", "after", "error", "t", "")]
        for p in order[:_SHOWN]:
            numbers = f"{p.rms:.3g}", f"{p.before:.4g}", f"{p.after:.3g}", f"{p.error:.2g}", f"{p.t:.1f}"
            flag = "rejected" if p.rejected else "left" if p.named else ""
            rows.append((p.plus, p.minus, str(p.n_pixels), f"{p.kept:.3f}", *numbers, flag))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = []
        for row in rows:
            aligned = zip(row, widths, "<<>>>>>>><", strict=True)
            texts = [f"{text:{side}{width}}" for text, width, side in aligned]
            lines.append("  ".join(texts).rstrip())
        lines.append(_LEGEND)
        return lines + ([f"... and {len(order) - _SHOWN} more, in the JSON"] if len(order) > _SHOWN else [])

    def to_json(self) -> str:
        """All of it as a JSON object; what is not known is null.

        Returns
        -------
        str
            One JSON object.
        """
        table = asdict(self) | {"grid": self.grid.header, "window": asdict(self.grid.window)}
        errors = self.error_map
        if errors is not None:
            table["error_map"] = {
                "error": errors.error.tolist(), "total": errors.total.tolist(), "rms": errors.rms,
                "correction": errors.correction.tolist(),
                "y_edges": errors.cells.ys.tolist(), "x_edges": errors.cells.xs.tolist(),
            }  # fmt: skip
        if self.large_scale is not None:
            scale = self.large_scale
            table["large_scale"] = scale._asdict() | {"modes": [mode._asdict() for mode in scale.modes]}
        return json.dumps(as_json(table | {"advice": self.advice}), indent=1)

    def write(self, stem: str | Path) -> list[Path]:
        """Write ``stem.txt``, ``stem.json`` and the picture ``stem.png``; their paths are returned.

        Parameters
        ----------
        stem
            Path without an ending.

        Returns
        -------
        list of Path
            Text, JSON, picture.
        """
        from dmontage.report.picture import write_picture

        paths = report_paths(Path(stem))
        for path, content in zip(paths, (f"{self}\n", self.to_json()), strict=False):
            with aside(path) as part:
                part.write_text(content, encoding="utf-8")
        write_picture(self, paths[2])
        return paths


def report_paths(stem: _P) -> list[_P]:
    """Name the text, the JSON and the picture of a report.

    Parameters
    ----------
    stem
        Path without an ending, or such a URL.

    Returns
    -------
    list of three paths
        STEM.txt, STEM.json, STEM.png.

    Raises
    ------
    InputError
        For a stem that names no file.
    """
    if not stem.name:
        raise InputError(f"{str(stem)!r} names no file: give a stem, as 'background'")
    return [cast("_P", stem.with_name(f"{stem.name}.{suffix}")) for suffix in ("txt", "json", "png")]


def _largest(values: Any) -> float:
    return float(np.nanmax(values)) if np.isfinite(values).any() else math.nan
