"""mHistogram: a stretch into a file, for pictures of other images by the same one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.aside import aside
from dmontage.errors import InputError
from dmontage.montage.inputs import named_image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dmontage.view.histogram import Histogram
    from dmontage.view.rows import Rows

__all__ = ["End", "mHistogram"]

_TYPES = {"linear": 0, "log": 0, "power": 0, "gaussian": 1, "gaussian-log": 2, "gaussianlog": 2, "asinh": 3, "sinh": 3}
"""Montage's words for stretches, and its numbers."""

_N_BINS = 200_000
"""Of a file, as Montage's programs expect them."""
_N_SHADES = 256


def mHistogram(
    imgFile: str,
    histFile: str,
    minString: str,
    maxString: str,
    stretchType: str,
    xMin: int = 0,
    xMax: int = 0,
    yMin: int = 0,
    yMax: int = 0,
    grayLogPower: int = 1,
    betaString: str = "",
    debug: int = 0,
) -> dict[str, Any]:
    """Write the histogram and the stretch of an image, for the ``-histfile`` of Montage's mViewer, mPad and others.

    Parameters
    ----------
    imgFile
        The image.
    histFile
        The file to write.
    minString, maxString
        Values shown black and white: numbers, ``99.5%``, ``-2s``, ``min``, ``max``, as for mViewer.
    stretchType
        "linear", "log", "gaussian", "gaussian-log" or "asinh"; a number is a count of logarithms (0: linear).
    xMin, xMax, yMin, yMax
        Pixels that count, from 1, both ends included; 0: as far as the image goes.
    grayLogPower
        Of "log" and "power"; 0 is linear. More than one logarithm is one here: in Montage they saturate.
    betaString
        Of "asinh": 1 / beta is the part of the range that is linear; 0.1 if empty.
    debug
        Not used.

    Returns
    -------
    dict
        "minval", "minpercent", "minsigma" and the same with max: the range as values, percentiles and sigmas from the
        median; "datamin", "datamax".
    """
    from dmontage.view.histogram import histogram
    from dmontage.view.norm import norm
    from dmontage.view.ranges import Range

    number, power, name = _stretch(stretchType, grayLogPower)
    beta = _beta(betaString) if number == 3 else None
    pixels = _pixels(imgFile, (xMin, xMax, yMin, yMax))
    counted = histogram(pixels)
    if counted.n == 0:
        raise InputError(f"All pixels are blank... ({imgFile})")
    span = Range(minString, maxString)
    shades = norm(counted, name, minString, maxString, a=None if beta is None else 1.0 / beta)
    low, high = span.limits(counted)
    ends = [End.of(counted, value) for value in (low, high)]
    lookup = np.asarray(shades.inverse(np.linspace(0.0, 1.0, _N_SHADES)), float)
    head = f"Type {number}" + (f" {power}" if number == 0 else f" {beta:g}" if beta is not None else "")
    with aside(Path(histFile)) as part, part.open("w", encoding="ascii") as out:
        out.writelines(f"{line}\n" for line in _lines(head, ends, counted, lookup))
    found: dict[str, Any] = {}
    for end, told in zip(("min", "max"), ends, strict=True):
        found |= {f"{end}{kind}": value for kind, value in zip(("val", "percent", "sigma"), told, strict=True)}
    return found | {"datamin": counted.minimum, "datamax": counted.maximum}


def _stretch(told: str, log_power: int) -> tuple[int, int, str]:
    """Number, count of logarithms, and our name of a stretch."""
    word = str(told).strip().lower()
    if word.isdecimal():
        word, log_power = "log", int(word)
    if word not in _TYPES:
        raise InputError(f"stretchType is {told!r}; give {', '.join(_TYPES)}, or a count of logarithms")
    if word == "linear" or (_TYPES[word] == 0 and log_power == 0):
        return 0, 0, "linear"
    names = {0: "log", 1: "gaussian", 2: "gaussian-log", 3: "asinh"}
    return _TYPES[word], 1 if _TYPES[word] == 0 else 0, names[_TYPES[word]]


def _beta(text: str) -> float:
    try:
        beta = float(text or 10.0)
    except ValueError:
        beta = 0.0
    if not beta >= 1.0:
        raise InputError(f"{text!r} is not a valid beta value: give a number of 1 or more")
    return beta


def _pixels(path: str, box: tuple[int, int, int, int]) -> NDArray[Any] | Rows:
    """What is counted: rows of the file, or a part of it."""
    from dmontage.fits_files import one_image, read
    from dmontage.view.rows import Rows
    from dmontage.window import Window

    with named_image(path):
        image = one_image(path)
    if not any(box):
        return Rows(image)
    ny, nx = image.grid.shape
    x_min, x_max, y_min, y_max = box
    window = Window((y_min or 1) - 1, y_max or ny, (x_min or 1) - 1, x_max or nx)
    if not window or window not in image.grid.window or image.planes:
        raise InputError(f"pixels {x_min} to {x_max}, {y_min} to {y_max} are no part of an image of {nx} x {ny}")
    return read(image, window)


class End(NamedTuple):
    """One end of the range that is shown."""

    value: float
    percent: float
    """Of the pixels, that are below it."""
    sigma: float
    """From the median."""

    @classmethod
    def of(cls, counted: Histogram, value: float) -> End:
        """By the value."""
        sigma = (value - counted.median) / counted.sigma if counted.sigma > 0 else 0.0
        return cls(float(value), 100.0 * float(counted.rank(value)), float(sigma))


_HEAD = """# Histogram of an image, and how its values are stretched to 256 shades.
#
# Type: 0 powers of the logarithm, 1 gaussian, 2 gaussian-log, 3 asinh.
# Ranges: what is shown, as values, percentiles and sigmas; then data minimum and
# maximum, median and sigma.
# rmin, rmax, delta, npix: the bins' first and last value, their width, all pixels.
# Stretch Lookup: the lowest value of each shade.
# Bins: number, lowest value, pixels, pixels up to its end, sigmas of these in a
# normal distribution."""


def _lines(head: str, ends: list[End], counted: Histogram, lookup: NDArray[np.float64]) -> Iterator[str]:
    from scipy.special import ndtri

    low, high = counted.minimum, counted.maximum
    delta = (high - low) / (_N_BINS - 1)
    yield from (_HEAD, head, "", "Ranges")
    for kind, told in zip(("Value", "Percentile", "Sigma"), zip(*ends, strict=True), strict=True):
        yield f"{kind} {told[0]:.10g} {told[1]:.10g}"
    yield from (f"Min/Max {low:.10g} {high:.10g}", f"Median/Sigma {counted.median:.10g} {counted.sigma:.10g}", "")
    yield from (f"rmin {low:.17g}", f"rmax {high:.17g}", f"delta {delta:.17g}", f"npix {counted.n}", "")
    yield "Stretch Lookup"
    yield from (f"{k} {value:.10e}" for k, value in enumerate(lookup))
    yield from ("", f"{_N_BINS} Histogram Bins")
    edges = low + delta * np.arange(1, _N_BINS + 1)
    below = np.rint(counted.rank(edges) * counted.n).astype(np.int64)
    sigmas = ndtri(np.clip(below / counted.n, 0.5 / counted.n, 1.0 - 0.5 / counted.n))
    each = np.diff(below, prepend=0)
    for k, (edge, n, total, sigma) in enumerate(zip(edges - delta, each, below, sigmas, strict=True)):
        yield f"{k} {edge:.6e} {n} {total:.6e} {sigma:.6e}"
