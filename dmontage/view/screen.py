"""Pixels of a mosaic at the resolution of a screen: means over squares, out of core.

Notation: a square of ``step`` × ``step`` pixels becomes one. Squares are counted from the first pixel of a window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dmontage.errors import InputError
from dmontage.pipeline import Cutout
from dmontage.view.shrink import shrink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from dmontage.pipeline import Mosaic
    from dmontage.window import Window

__all__ = ["check_layer", "parts", "screen_pixels"]

_AT_ONCE = 1 << 22
"""Pixels that are computed at once: all that is held beside the picture."""


def check_layer(mosaic: Mosaic, layer: str) -> None:
    """InputError for a layer that a mosaic does not have."""
    there = ["data", *mosaic.plan.layers[1:]]
    if layer not in there:
        raise InputError(f"layer {layer!r} is not one of this mosaic's: {', '.join(there)}")


def parts(window: Window, step: int) -> Iterator[Window]:
    """Cut a window into bands of whole squares."""
    rows = max(1, _AT_ONCE // max(window.shape[1] * step, 1)) * step
    return window.bands(rows)


def screen_pixels(
    mosaic: Mosaic,
    window: Window,
    step: int,
    layer: str = "data",
    each: Callable[[int, int], None] | None = None,
    *,
    compute: bool = True,
) -> NDArray[np.float32]:
    """A layer of a window, shrunk; what the store has of it is read, the rest computed.

    Parameters
    ----------
    each
        Called with (done, total) parts of the window after each; what it raises stops the work.
    compute
        False: what the store does not have is left blank.

    Returns
    -------
    (⌈ny/step⌉, ⌈nx/step⌉)
        NaN where blank.
    """
    ny, nx = (-(-side // step) for side in window.shape)
    shown = np.empty((ny, nx), np.float32)
    cut = list(parts(window, step))
    for k, part in enumerate(cut):
        values = getattr(Cutout(mosaic, part).compute(), layer) if compute else mosaic.stored(part, layer)
        first = (part.y0 - window.y0) // step
        small = shrink(values, step)
        shown[first : first + len(small)] = small
        if each is not None:
            each(k + 1, len(cut))
    return shown
