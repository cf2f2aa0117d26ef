"""A colour picture of three images on one grid.

Notation: v is a band's value, x = (v − low) / (high − low) its place in the band's range, u its stretch to 0 … 1.

stretch
    Each band by itself: u is the colour. What is brightest is white, in whatever bands it is.
ratio
    The same, and then colours made stronger: of a pixel the largest u stays, M, and the others become M (u/M)^power.
    This is mViewer's "true colour" (its ``-t power``).
lupton
    The intensity I = (x_red + x_green + x_blue) / 3 is stretched, to F, and all bands are multiplied by F/I, so that a
    colour is the same from faint to bright; where one is then above 1 all three are divided by it (Lupton et al. 2004,
    PASP 116, 133). Their asinh(α Q I) / Q is the stretch asinh, softened at 1/(α Q).

Lupton's usual range begins 1 σ below each band's median, which makes the sky grey, and is as wide in all bands: the
mean of their 101 σ. So colours are the ratios of the bands' values above their skies, and a star that is saturated in
all bands is white. Ranges by each band's own σ would make colours of their ratios: white is then what is as far above
the noise in all. That is what is left where units differ, or σ by more than a factor of 30. A range that is told is
each band's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmontage.errors import InputError
from dmontage.view.adjust import Adjustment
from dmontage.view.norm import norm
from dmontage.view.picture import BLANK, check_norm, paint, row_bands
from dmontage.view.shrink import shrink, step_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dmontage.view.shrink import Pixels, Values

    RGBA = NDArray[np.uint8]
    Floats = NDArray[np.floating[Any]]

__all__ = ["colour"]

Limits = str | float
Mapping = Callable[[slice], "Floats"]
"""Colours (rows, nx, 3), 0 to 1, of some rows of the images."""


class Usual(NamedTuple):
    """What a method does unless told otherwise."""

    stretch: str
    low: str
    high: str | None
    options: dict[str, float]


METHODS = {
    "stretch": Usual("gaussian-log", "-2s", None, {}),
    "ratio": Usual("gaussian-log", "-2s", None, {}),
    # The sky is dark grey, linear up to 2 σ of it.
    "lupton": Usual("asinh", "-1s", "100s", {"a": 0.02}),
}
_ALIKE = 30.0
"""Ratio of the bands' σ up to which their values can be in one unit."""


def colour(
    red: Pixels,
    green: Pixels,
    blue: Pixels,
    *,
    method: str = "stretch",
    stretch: str | Sequence[str] | None = None,
    low: Limits | Sequence[Limits | None] | None = None,
    high: Limits | Sequence[Limits | None] | None = None,
    power: float = 2.0,
    blank: str = "any",
    alike: bool = True,
    max_side: int | None = 2000,
    brightness: float = 1.0,
    contrast: float = 1.0,
    saturation: float = 1.0,
    **options: Any,
) -> RGBA:
    """Make a colour picture of three images on one grid, of any size.

    Parameters
    ----------
    red, green, blue
        Pixels (y, x), all of one shape, as `dmontage.view.picture.picture` takes them.
    method
        ``"stretch"``, ``"ratio"`` or ``"lupton"``, as the module says.
    stretch, low, high, **options
        As `dmontage.view.norm.norm` has them; the first three may be lists, for red, green and blue. Unless given,
        gaussian-log from -2s to max, for Lupton asinh (``a`` = 0.02) from -1s to about 100s.
    power
        Of the ratio, 1 (nothing) to 4.
    blank
        ``"any"``: a pixel that is blank in any band has no colour, and is transparent; ``"all"``: one that is blank in
        all is transparent, and a band that is missing there is black.
    alike
        Whether the bands' values are in one unit, which makes Lupton's usual range as wide in all.
    max_side, brightness, contrast
        As for a picture of one image.
    saturation
        Factor on the colours' distance from grey, which is 0.299 R + 0.587 G + 0.114 B.

    Returns
    -------
    (ny, nx, 4)
        uint8: red, green, blue and opacity (0 where blank, else 255), the first row at the top.

    Raises
    ------
    InputError
        Images of different shapes, or one that cannot be shown; an unknown method, stretch or range.
    """
    images = (red, green, blue)
    shapes = [tuple(image.shape) for image in images]
    if len(set(shapes)) > 1:
        raise InputError(f"the images have shapes {', '.join(map(str, shapes))}; bring them onto one grid first")
    if method not in METHODS:
        raise InputError(f"the method is {method!r}; give one of {', '.join(METHODS)}")
    if blank not in ("any", "all"):
        raise InputError(f"blank is {blank!r}; give any or all")
    if not 1 <= power <= 4:
        raise InputError(f"the power is {power}; give 1 to 4")
    adjustment = Adjustment(brightness, contrast, saturation)
    adjustment.check()
    usual, step = METHODS[method], step_for(shapes[0], max_side)
    lows, highs = _three(low, usual.low, "low"), _three(high, None, "high")
    stretches = _three(stretch, usual.stretch, "stretch")
    if stretch is None:
        options = usual.options | options
    if method == "lupton" and len(set(stretches)) > 1:
        raise InputError(f"the stretches are {', '.join(stretches)}; lupton has one for all bands")
    for each in zip(stretches, lows, highs, strict=True):
        check_norm(*each, options)
    values = [shrink(image, step) for image in images]
    if method == "lupton":
        mapping = _lupton(values, stretches[0], _spans(values, lows, highs, alike=alike), options)
    else:
        mapping = _each(values, stretches, lows, highs, options)
    return _paint(values, mapping, power if method == "ratio" else 1.0, adjustment, blank)


def _three(given: Any, usual: Any, name: str) -> list[Any]:
    """For red, green and blue what is given, or usual."""
    each = [given] * 3 if given is None or isinstance(given, (str, float, int, np.number)) else list(given)
    if len(each) != 3:
        raise InputError(f"{name} is {given!r}; give one, or three for red, green and blue")
    return [usual if one is None else one for one in each]


def _each(
    values: list[Values], stretches: list[str], lows: list[Limits], highs: list[Limits | None], options: dict[str, Any]
) -> Mapping:
    """Each band by its own stretch."""
    norms = [norm(*each, **options) for each in zip(values, stretches, lows, highs, strict=True)]

    def colours(rows: slice) -> Floats:
        return np.stack([np.ma.getdata(n(v[rows])) for n, v in zip(norms, values, strict=True)], axis=-1)

    return colours


def _spans(
    values: list[Values], lows: list[Limits], highs: list[Limits | None], *, alike: bool
) -> list[tuple[float, float]]:
    """Low limits and widths of the bands' ranges, the widths alike where none is told and the units are one."""
    high = METHODS["lupton"].high
    norms = [
        norm(v, "linear", low, high if told is None else told) for v, low, told in zip(values, lows, highs, strict=True)
    ]
    spans = [(float(n.vmin), float(n.vmax) - float(n.vmin)) for n in norms]
    widths = [width for (_, width), v in zip(spans, values, strict=True) if np.isfinite(v).any()]
    if alike and widths and highs == [None] * 3 and max(widths) <= _ALIKE * min(widths):
        spans = [(low, sum(widths) / len(widths)) for low, _ in spans]
    return spans


def _lupton(values: list[Values], stretch: str, spans: list[tuple[float, float]], options: dict[str, Any]) -> Mapping:
    """All bands by the stretch of their mean, of those that are not blank."""

    def places(rows: slice) -> Floats:
        with np.errstate(over="ignore", invalid="ignore"):  # of values near the largest float, which end as blank
            each = [(v[rows] - np.float64(low)) / width for v, (low, width) in zip(values, spans, strict=True)]
        x = np.stack(each, axis=-1)
        x[~np.isfinite(x)] = np.nan
        return x

    def means(x: Floats) -> Floats:
        n = np.isfinite(x).sum(axis=-1)
        return np.where(n > 0, np.nan_to_num(x).sum(axis=-1) / np.maximum(n, 1), np.nan)

    ny, nx = values[0].shape
    normal = norm(np.concatenate([means(places(rows)) for rows in row_bands(ny, nx)]), stretch, 0.0, 1.0, **options)

    def colours(rows: slice) -> Floats:
        x = places(rows)
        intensity = means(x)[..., None]
        factor = np.ma.getdata(normal(intensity)) / np.where(intensity > 0, intensity, np.inf)
        bright = np.maximum(x * factor, 0)
        return np.asarray(bright / np.maximum(np.fmax.reduce(bright, axis=-1, keepdims=True), 1))

    return colours


def _paint(values: list[Values], mapping: Mapping, power: float, adjustment: Adjustment, blank: str) -> RGBA:
    shown = np.empty((*values[0].shape, 4), np.uint8)

    def paint_rows(rows: slice, target: RGBA) -> None:
        good = [np.isfinite(v[rows]) for v in values]
        seen = np.logical_and.reduce(good) if blank == "any" else np.logical_or.reduce(good)
        colours = np.nan_to_num(mapping(rows))
        if power != 1.0:
            largest = colours.max(axis=-1, keepdims=True)
            largest[largest == 0] = 1
            colours = largest * (colours / largest) ** power
        target[..., :3] = np.rint(255 * adjustment.of(colours))
        target[..., 3] = 255
        target[~seen] = BLANK

    paint(shown, paint_rows)
    return shown
