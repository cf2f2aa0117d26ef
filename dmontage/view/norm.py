"""The one way from an image to a picture's brightness: ranges and stretches by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dmontage.errors import InputError
from dmontage.view.histogram import Histogram, histogram

if TYPE_CHECKING:
    from dmontage.view.normalize import Norm

__all__ = ["COUNTS", "EQUALISATIONS", "STRETCHES", "norm", "usual", "usual_high"]

STRETCHES = ("gaussian", "gaussian-log", "asinh", "log", "linear", "sqrt")
EQUALISATIONS = ("gaussian", "gaussian-log")
"""Those that follow the histogram: no bright pixel takes all of the range."""
COUNTS = ("depth", "rejected")
"""Layers of whole numbers."""
_WHOLE_RANGE = ("area", *COUNTS)
_ASINH_SOFTENING = 0.1  # of the range: linear below, logarithmic above
_LOG_RATIO = 1000.0


def norm(
    data: Any,
    stretch: str = "gaussian-log",
    low: str | float = "-2s",
    high: str | float | None = None,
    *,
    a: float | None = None,
) -> Norm:
    """Make the map from an image's values to 0 (black) .. 1 (white), for matplotlib and for pictures.

    Parameters
    ----------
    data
        The image's `dmontage.view.histogram.Histogram`, or an image to count: see `dmontage.view.histogram.histogram`.
    stretch
        ``"gaussian"`` and ``"gaussian-log"`` are Montage's adaptive equalisations of the histogram; ``"asinh"``,
        ``"log"``, ``"linear"`` and ``"sqrt"`` are astropy's.
    low, high
        Values shown black and white: ``12.3``, ``"99.5%"``, ``"-2s"``, ``"min"``, ``"max-3"``.
        White is by default the maximum for the equalisations, and 99.5% for the others, which would show a sky with
        one bright star black.
    a
        The parameter of asinh (0.1: where it turns from linear to logarithmic, as a part of the range) or of log
        (1000).

    Returns
    -------
    Norm
        An astropy ImageNormalize that clips. Blank pixels stay blank; a blank image has the range 0 to 1, and one of a
        single value is mid-grey.

    Raises
    ------
    InputError
        An unknown stretch, a limit that cannot be read, limits out of order, or ``a`` with a stretch that has none.
    """
    from dmontage.view.normalize import Norm
    from dmontage.view.ranges import Range

    _check(stretch, a)
    span = Range(low, usual_high(stretch) if high is None else high)
    pixels = data if isinstance(data, Histogram) else histogram(data)
    vmin, vmax = span.limits(pixels)
    if pixels.n == 0 or span.low.value(pixels) == pixels.maximum == pixels.minimum == span.high.value(pixels):
        stretch = "linear"  # a range about a single value, which straight lines make mid-grey
    return Norm(vmin=vmin, vmax=vmax, stretch=_stretch(stretch, pixels, vmin, vmax, a), clip=True)


def usual_high(stretch: str) -> str:
    """What a stretch shows white unless told otherwise."""
    return "max" if stretch in EQUALISATIONS else "99.5%"


def usual(
    layer: str, stretch: str | None = None, low: str | float | None = None, high: str | float | None = None
) -> tuple[str, str | float, str | float | None]:
    """Stretch, low and high for a layer of a mosaic: those told, or the layer's usual ones.

    Areas and counts have few values, and no noise that an equalisation could show: they are linear, whole.
    """
    if layer in _WHOLE_RANGE and stretch in (None, "linear"):
        return "linear", "min" if low is None else low, "max" if high is None else high
    return stretch or "gaussian-log", "-2s" if low is None else low, high


def _check(stretch: str, a: float | None) -> None:
    if stretch not in STRETCHES:
        raise InputError(f"the stretch is {stretch!r}; give one of {', '.join(STRETCHES)}")
    if a is None:
        return
    if stretch not in ("asinh", "log"):
        raise InputError(
            f"a = {a} is given for the stretch {stretch!r}, which has no parameter; asinh and log have one"
        )
    if not a > 0 or (stretch == "asinh" and a > 1):
        raise InputError(f"a = {a} for the stretch {stretch!r}; give more than 0" + ", up to 1" * (stretch == "asinh"))


def _stretch(name: str, pixels: Histogram, low: float, high: float, a: float | None) -> Any:
    from astropy.visualization import AsinhStretch, LinearStretch, LogStretch, SqrtStretch

    from dmontage.view.stretches import GaussianLogStretch, GaussianStretch

    if name in EQUALISATIONS:
        return (GaussianStretch if name == "gaussian" else GaussianLogStretch)(pixels, low, high)
    if name == "asinh":
        return AsinhStretch(_ASINH_SOFTENING if a is None else a)
    if name == "log":
        return LogStretch(_LOG_RATIO if a is None else a)
    return LinearStretch() if name == "linear" else SqrtStretch()
