"""Texts beside symbols, which keep clear of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.view.signs import write_text

if TYPE_CHECKING:
    from astropy.visualization.wcsaxes import WCSAxes
    from matplotlib.text import Annotation

__all__ = ["Beside"]

_SIDES = ((1.0, 0.0, "left", "center"), (-1.0, 0.0, "right", "center"), (0.0, 1.0, "center", "bottom"),
          (0.0, -1.0, "center", "top"))  # fmt: skip
"""Where a text may stand, as a direction from the symbol, and how it is aligned there; the first that is free."""


class Beside:
    """Writes texts on axes where no other text stands."""

    def __init__(self, axes: WCSAxes) -> None:
        self._axes = axes
        self._renderer: Any = axes.figure.canvas.get_renderer()
        self._taken = np.array([self._box(text) for text in axes.texts if text.get_text()]).reshape(-1, 4)

    def write(self, text: str, at: tuple[float, float], color: Any, away: float, *, keep: bool, **style: Any) -> bool:
        """Write a text beside a pixel, so many points away: right of it, or left, above or below.

        Where all of these are taken, the text is left out, or, to be kept, stands on the right. A place within the
        picture is better than one at which its edge cuts the text.

        Returns
        -------
        bool
            Whether it is written.
        """
        written = write_text(self._axes, text, at, color, **style)
        free: list[tuple[bool, int, tuple[float, float, str, str]]] = []
        for side in _SIDES:
            self._move(written, away, side)
            box = self._box(written)
            if not self._overlaps(box):
                free.append((self._is_cut(box), len(free), side))
        if not free and not keep:
            written.remove()
            return False
        self._move(written, away, min(free)[2] if free else _SIDES[0])
        self._taken = np.vstack([self._taken, self._box(written)])
        return True

    @staticmethod
    def _move(text: Annotation, away: float, side: tuple[float, float, str, str]) -> None:
        dx, dy, ha, va = side
        text.set(position=(away * dx, away * dy), ha=ha, va=va)

    def _box(self, text: Any) -> tuple[float, float, float, float]:
        return tuple(text.get_window_extent(self._renderer).extents)

    def _overlaps(self, box: tuple[float, float, float, float]) -> bool:
        left, low, right, high = self._taken.T
        return bool(((left < box[2]) & (right > box[0]) & (low < box[3]) & (high > box[1])).any())

    def _is_cut(self, box: tuple[float, float, float, float]) -> bool:
        x0, y0, x1, y1 = self._axes.bbox.extents
        return not (x0 <= box[0] and y0 <= box[1] and box[2] <= x1 and box[3] <= y1)
