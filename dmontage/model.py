"""The frozen nouns that the stages hand to each other (level 2). They hold numbers, never pixels."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from dmontage.errors import InputError
from dmontage.shown import Shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.grid import Grid
    from dmontage.window import Window

__all__ = [
    "ACCOMPANIES", "FWHM", "KERNELS", "MAX_ZERO_POINT", "SOLVERS", "Companions", "Drop", "Given", "ImageRef", "Images",
    "Matching", "OverlapPair", "Plane", "PlaneFit", "Skipped", "SkyPlane", "check_slope_prior", "check_solver",
    "none_usable", "skipped_lines",
]  # fmt: skip

FWHM = math.sqrt(8.0 * math.log(2.0))
"""Full width at half maximum of a Gaussian, in σ."""

KERNELS = ("square", "point", "gaussian")

SOLVERS = ("direct", "relaxation")

ACCOMPANIES = "accompanies an image"
"""End of the reason for which an HDU beside an image is left out."""

_LISTED = 50
"""Images that are named one by one where that is enough to see what they are, or what is wrong with them."""

MAX_ZERO_POINT = 90.0
"""Magnitudes of either sign that no zero point reaches, in any unit; ±99 and the like stand for none."""


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One image HDU of a file, as the scan found it; no pixels."""

    path: str
    hdu: int
    grid: Grid
    """Its WCS and shape."""
    bunit: str
    """BUNIT, or nothing."""
    size: int
    """Bytes of the file."""
    stamp: int
    """Changes with the file: the time of its last change in nanoseconds, or a number that an object's ETag gives."""
    planes: tuple[int, ...] = ()
    """Sizes of a cube's leading axes that are not 1."""
    filter: str = ""
    """FILTER or BAND of its header, or nothing; warnings alone use it."""
    magzp: float | None = None
    """MAGZP of its header, magnitudes; warnings alone use it."""
    exptime: float | None = None
    """EXPTIME of its header, seconds; warnings alone use it."""

    @property
    def name(self) -> str:
        """File name, with the HDU where it is not the first."""
        return self.path.rpartition(os.sep)[2] + (f"[{self.hdu}]" if self.hdu else "")

    @property
    def full_name(self) -> str:
        """Path, with the HDU where it is not the first."""
        return self.path + (f"[{self.hdu}]" if self.hdu else "")

    @property
    def order(self) -> tuple[str, int, str]:
        """What images are sorted by, and so added in: name, HDU, path."""
        return self.path.rpartition(os.sep)[2], self.hdu, self.path

    @property
    def digest(self) -> str:
        """Changes with the file, the HDU and the WCS."""
        text = f"{self.name}|{self.hdu}|{self.size}|{self.stamp}|{self.grid.shape}|{self.grid.header}"
        return hashlib.sha256(text.encode() + self.grid.tables).hexdigest()


@dataclass(frozen=True, slots=True)
class Companions:
    """Maps of an image's shape, each an HDU on the image's own grid, and numbers of the image as a whole."""

    weight: ImageRef | None = None
    mask: ImageRef | None = None
    variance: ImageRef | None = None
    factor: float = 1.0
    """Multiplies all weights of the image."""
    scale: float = 1.0
    """Multiplies its values, and its variances by the square."""
    zero_point: float | None = None
    """Magnitude zero point of its values before they are scaled."""
    area: ImageRef | None = None
    """Covered solid angle of each pixel of an image that lies on the grid already, steradian."""
    band: str | None = None
    """Of which band it is, where images are grouped."""

    @property
    def maps(self) -> tuple[ImageRef | None, ...]:
        """Weight, mask, variance and area."""
        return self.weight, self.mask, self.variance, self.area


@dataclass(frozen=True, slots=True)
class Skipped:
    """An input that was left out, and why."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


def skipped_lines(skipped: Iterable[Skipped]) -> list[str]:
    """What was left out, a line each; HDUs that accompany images, which every file may have, a line for a kind."""
    lines: dict[str, str] = {}
    more: dict[str, int] = {}
    for item in skipped:
        kind = item.reason.partition(": ")[2] if item.reason.endswith(ACCOMPANIES) else str(item)
        lines.setdefault(kind, str(item))
        more[kind] = more.get(kind, -1) + 1
    return [line + (f" (and {more[kind]} more)" if more[kind] else "") for kind, line in lines.items()]


def none_usable(skipped: Iterable[Skipped]) -> InputError:
    """The error where all that was found is left out: the first ones, and why; a misspelt name is wrong for all."""
    lines = skipped_lines(skipped)
    more = [f"  ... and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
    return InputError("\n".join(["no usable image:", *(f"  {line}" for line in lines[:_LISTED]), *more]))


@dataclass(frozen=True, slots=True, repr=False)
class Images(Sequence[ImageRef], Shown):
    """What a scan found: the usable images in order of their identity, and what was skipped."""

    refs: tuple[ImageRef, ...]
    skipped: tuple[Skipped, ...] = ()

    @overload
    def __getitem__(self, index: int) -> ImageRef: ...
    @overload
    def __getitem__(self, index: slice) -> Images: ...
    def __getitem__(self, index: int | slice) -> ImageRef | Images:
        if isinstance(index, slice):
            return Images(self.refs[index], self.skipped)
        return self.refs[index]

    def __len__(self) -> int:
        return len(self.refs)

    def __iter__(self) -> Iterator[ImageRef]:
        return iter(self.refs)

    def __repr__(self) -> str:
        mpix = sum(ref.grid.window.size for ref in self.refs) / 1e6
        return f"<Images: {len(self.refs)} images, {mpix:.1f} Mpix, {len(self.skipped)} skipped>"

    def __str__(self) -> str:
        lines = [f"{len(self.refs)} images, {sum(r.grid.window.size for r in self.refs) / 1e6:.1f} Mpix"]
        # Sides in the order of NAXIS1, NAXIS2, ...: a cube, which mosaics leave out, shows its third.
        lines += [f"  {r.name}  {'x'.join(map(str, (*r.planes, *r.grid.shape)[::-1]))}" for r in self.refs[:_LISTED]]
        if len(self.refs) > _LISTED:
            lines.append(f"  ... and {len(self.refs) - _LISTED} more")
        if self.skipped:
            lines += [f"{len(self.skipped)} skipped", *(f"  {text}" for text in skipped_lines(self.skipped))]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class OverlapPair:
    """Two images whose footprints share pixels of the mosaic grid; the difference is ``plus - minus``."""

    plus: int
    """Row of the image that counts positive."""
    minus: int
    """Row of the image that is subtracted; always greater than ``plus``."""
    window: Window
    """The common part of their footprints, on the mosaic grid."""

    @property
    def origin(self) -> tuple[float, float]:
        """Mosaic pixel (x, y) that planes over the overlap are told about."""
        return self.window.middle


@dataclass(frozen=True, slots=True)
class Drop:
    """How an input pixel is laid on the output: what drizzle calls pixfrac and kernel."""

    pixfrac: float = 1.0
    """Side of a drop in parts of its pixel, 0 < pixfrac <= 1; its solid angle is pixfrac² of the pixel's."""
    kernel: str = "square"
    """"square": the pixel, shrunk about its middle, by exact overlap. "point": all in the cell that holds its middle.
    "gaussian": a circular Gaussian of FWHM pixfrac × the pixel's side in output pixels, cut at 3σ. All three conserve,
    but that a Gaussian's tails across a seam are lost."""

    def __post_init__(self) -> None:
        if self.kernel not in KERNELS:
            raise InputError(f"kernel {self.kernel!r} is not one of {', '.join(KERNELS)}")
        if not 0.0 < self.pixfrac <= 1.0:
            raise InputError(f"pixfrac {self.pixfrac!r} must lie above 0 and not above 1")

    @property
    def whole(self) -> bool:
        """True for the pixel itself: neighbours share their edges."""
        return self.kernel == "square" and self.pixfrac == 1.0

    def nominal(self, ratio: float) -> float:
        """Part of an output pixel that drops cover at best; ``ratio`` is its side in pixels of the image."""
        return min(1.0, self.pixfrac**2 * max(1.0, ratio**-2)) if self.pixfrac < 1.0 else 1.0

    def reach(self, side: float) -> int:
        """Cells that the drop of a pixel of ``side`` cells may reach beyond those of its middle: a Gaussian's 3σ."""
        return math.ceil(3.0 * self.pixfrac * side / FWHM) if self.kernel == "gaussian" else 0


@dataclass(frozen=True, slots=True)
class Plane:
    """``level + slope_x (x - x0) + slope_y (y - y0)`` over the pixels (x, y) of one grid.

    The origin is part of the plane: about a far origin its level would lose eight digits.
    """

    level: float
    """Value at the origin, in the unit of the pixels."""
    slope_x: float
    """Change per pixel along x."""
    slope_y: float
    """Change per pixel along y."""
    x0: float
    y0: float

    def at(self, x: NDArray[np.float64] | float, y: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Values at pixel coordinates ``x``, ``y`` (broadcast against each other)."""
        return np.asarray(self.level + self.slope_x * (x - self.x0) + self.slope_y * (y - self.y0))


@dataclass(frozen=True, slots=True)
class SkyPlane:
    """``level + slope_east ξ + slope_north η`` over gnomonic coordinates (ξ, η), in radians, about a place (ICRS).

    It outlives the grid it was found on: a grid evaluates it by its own affine map there.
    """

    ra: float
    """Right ascension of the origin, degrees."""
    dec: float
    """Declination, degrees."""
    level: float
    """Value at the origin, in the unit of the pixels."""
    slope_east: float
    """Change per radian towards the east."""
    slope_north: float
    """Change per radian towards the north."""
    scale: float | None = None
    """What the image's values were multiplied by when it was found; None where that is not known."""


@dataclass(frozen=True, slots=True)
class Given:
    """Corrections by image, to be applied as they are, and what their values are told in where that is known."""

    planes: tuple[tuple[str, SkyPlane], ...]
    """By name, or by path; and by digest, where that is known too."""
    unit: str | None = None
    """"surface_brightness" or "flux_per_pixel"."""
    solid_angle: float | None = None
    """Of the pixel that energy per pixel is counted for, steradian."""
    zero_point: float | None = None
    """Magnitude zero point of the mosaic that they were found in."""


@dataclass(frozen=True, slots=True)
class Matching:
    """How backgrounds are matched, beside the model."""

    slope_prior: float | str | None = "auto"
    """Standard deviation of the prior on the slopes, in the unit of the pixels per degree; "auto": from the data."""
    anchors: tuple[str, ...] = ()
    """Names of images whose mean correction is zero."""
    locked: tuple[str, ...] = ()
    """Names of images that are not corrected."""
    solver: str = "direct"
    given: Given | None = None
    """Corrections to apply; None where they are to be found."""

    def __post_init__(self) -> None:
        check_solver(self.solver)
        check_slope_prior(self.slope_prior)


def check_solver(solver: str) -> None:
    """InputError for a word that is none of `SOLVERS`."""
    if solver not in SOLVERS:
        raise InputError(f"solver {solver!r} is not one of {', '.join(SOLVERS)}")


def check_slope_prior(prior: Any) -> None:
    """InputError for what is neither a standard deviation, nor "auto", nor None."""
    if not (prior is None or prior == "auto" or (isinstance(prior, Real) and 0 <= float(prior) < math.inf)):
        raise InputError(f"slope_prior {prior!r} is no standard deviation: give a number from 0 up, 'auto' or None")


@dataclass(frozen=True, slots=True)
class PlaneFit:
    """The plane through the difference of one pair, and how well it is known."""

    plus: int
    minus: int
    plane: Plane
    """Fitted difference plus - minus, about the overlap's own origin, in mosaic pixels."""
    information: tuple[tuple[float, float, float], ...]
    """3×3 inverse covariance of (level, slope_x, slope_y), counting independent *input* pixels.

    The inverse, since a thin overlap leaves a slope unknown: its information is zero, its variance infinite."""
    rms: float
    """Standard deviation of the kept differences about the plane, corrected for the clipping; unit of the pixels."""
    median: float
    """Median of the raw differences, before any plane is taken out; unit of the pixels."""
    n_pixels: int
    """Pixels in which both images are well covered."""
    n_kept: int
    """Pixels that survived the clipping."""

    def to_row(self) -> list[float]:
        """All its numbers; `from_row` gives the same bits back."""
        p, information = self.plane, [number for row in self.information for number in row]
        pixels = [self.rms, self.median, self.n_pixels, self.n_kept]
        return [self.plus, self.minus, p.level, p.slope_x, p.slope_y, p.x0, p.y0, *information, *pixels]

    @classmethod
    def from_row(cls, row: Sequence[float]) -> PlaneFit:
        """The inverse of `to_row`."""
        plus, minus, level, slope_x, slope_y, x0, y0, a, b, c, d, e, f, g, h, i, rms, median, n_pixels, n_kept = row
        plane, information = Plane(level, slope_x, slope_y, x0, y0), ((a, b, c), (d, e, f), (g, h, i))
        return cls(int(plus), int(minus), plane, information, rms, median, int(n_pixels), int(n_kept))
