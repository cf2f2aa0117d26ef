"""Catalogues of images that do not exist: headers alone, as of the 2MASS Atlas, for plans and graphs of any size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dmontage.graph.coadd import Chunk, How
from dmontage.graph.drive import Call
from dmontage.graph.overlaps import Pairs
from dmontage.grid import Grid
from dmontage.headers import cards_text
from dmontage.model import ImageRef, Images, Plane, PlaneFit
from dmontage.store import Store, StoreRef
from dmontage.store.projected import Projected
from dmontage.window import Window

__all__ = ["NX", "NY", "SCALE", "Pretended", "atlas", "nothing"]

NY, NX = 1024, 512
SCALE = 1.0 / 3600.0
SHARED = 0.1
"""Of an image's sides, by two neighbours."""


def atlas(n: int, ra: float = 83.8, dec: float = -5.4, seed: int = 1) -> Images:
    """``n`` SIN images of 512 × 1024 pixels of 1 arcsec, slightly turned, a tenth shared, on a square of the sky."""
    rng = np.random.default_rng(seed)
    columns = math.ceil(math.sqrt(2 * n))
    rows = math.ceil(n / columns)
    refs = []
    for k in range(n):
        j, i = divmod(k, columns)
        y = dec + ((j - (rows - 1) / 2) * NY * (1 - SHARED) + rng.uniform(-5, 5)) * SCALE
        x = ((i - (columns - 1) / 2) * NX * (1 - SHARED) + rng.uniform(-5, 5)) * SCALE / math.cos(math.radians(y))
        cards = {
            "CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "RADESYS": "ICRS", "CRPIX1": (NX + 1) / 2,
            "CRPIX2": (NY + 1) / 2, "CRVAL1": (ra - x) % 360.0, "CRVAL2": y, "CDELT1": -SCALE, "CDELT2": SCALE,
            "CROTA2": rng.uniform(-0.3, 0.3),
        }  # fmt: skip
        path = f"/survey/j/ha{j:04d}/image{k:07d}.fits"
        grid = Grid(cards_text(cards), (NY, NX))
        refs.append(ImageRef(path, 0, grid, "MJy/sr", 2880 + 4 * NX * NY, 1_700_000_000_000_000_000 + k))
    return Images(tuple(refs))


def nothing(*_: Any) -> None:
    """A task that does nothing."""


class Pretended:
    """Stages whose tasks are not run: their calls are kept, and what they would give is made up.

    Receipts say that all is well. Fits are those of planes, one for each row, with the noise of the overlap's pixels.
    """

    def __init__(self, seed: int = 1, *, marks: bool = False) -> None:
        self.calls: dict[str, list[Call]] = {}
        """By stage, as a run on a cluster would send them."""
        self._rng = np.random.default_rng(seed)
        self._marks = marks
        self._known: dict[Any, tuple[Sequence[Window], list[int]]] = {}
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> Pretended:
        self._patch.setattr("dmontage.pipeline.stages.run", self._run)
        for module in ("stages", "value"):
            self._patch.setattr(f"dmontage.pipeline.{module}.in_process", lambda: False)
        self._patch.setattr("dmontage.store.product.Product.read", lambda *_: None)
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.undo()

    def _run(self, calls: Sequence[Call], *_: Any, collect: Any = None, **__: Any) -> list[Any]:
        results = []
        for call in calls:
            stage = call.key.split("-")[1]
            self.calls.setdefault(stage, []).append(call)
            results.append(getattr(self, f"_{stage}", nothing)(*call.arguments))
            if collect is not None:
                collect(results[-1])
        return results

    def _project(self, where: StoreRef, rows: Sequence[int]) -> list[dict[str, Any]]:
        if self._marks:
            marks = Projected(Store.open(where)._files, ())  # of rows that hold nothing
            for row in rows:
                marks.write(row, [], "00" * 32)
        return [{"row": row, "reused": False, "lost": 0, "empty": False} for row in rows]

    def _fit(self, where: StoreRef, pairs: Pairs) -> list[tuple[PlaneFit, float]]:
        if where.path not in self._known:
            rows = Store.open(where).rows
            names = [Path(table["path"]).stem.removeprefix("image") for table in rows.tables(range(len(rows)))]
            self._known[where.path] = rows.windows(), list(map(int, names))
        return [
            (self._plane(*self._known[where.path], plus, minus), correlation)
            for plus, minus, correlation in pairs.pairs
        ]

    def _coadd(self, where: StoreRef, chunks: Sequence[Chunk], how: How, to: object) -> list[tuple[Window, None]]:
        return [(chunk.window, None) for chunk in chunks]

    def _plane(self, windows: Sequence[Window], numbers: Sequence[int], plus: int, minus: int) -> PlaneFit:
        window = windows[plus] & windows[minus]
        (ny, nx), (x0, y0), n = window.shape, window.middle, window.size
        information = np.diag([n / 2, n * nx**2 / 24, n * ny**2 / 24])
        noise = self._rng.standard_normal(3) / np.sqrt(np.diag(information))
        ends = [_truth(numbers[k], *windows[k].middle, x0, y0) for k in (plus, minus)]
        level, slope_x, slope_y = (noise + ends[0] - ends[1]).tolist()
        a, b, c = information.tolist()
        plane = Plane(level, slope_x, slope_y, x0, y0)
        return PlaneFit(plus, minus, plane, (tuple(a), tuple(b), tuple(c)), 2**0.5, level, n, n)


def _truth(number: int, x0: float, y0: float, x: float, y: float) -> NDArray[np.float64]:
    """Level and slopes, at a place, of the plane about (x0, y0) that an image of this number has in every run."""
    u, v, w = (math.modf(1e4 * math.sin(k * number + k))[0] for k in (12.9898, 78.233, 39.425))
    return np.array([20 * u + 1e-4 * (v * (x - x0) + w * (y - y0)), 1e-4 * v, 1e-4 * w])
