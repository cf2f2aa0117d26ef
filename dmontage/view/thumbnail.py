"""Thumbnail: a small picture of a mosaic whose pixels are kept already, as inline PNG."""

from __future__ import annotations

import io
from base64 import b64encode
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from dmontage.fits_files import pixels
from dmontage.view.shrink import shrink
from dmontage.view.sketch import Sketch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.pipeline import Mosaic

__all__ = ["Preview", "preview", "thumbnail"]

SIDE = 256
"""Pixels of its longest side at most."""

_MOST = 1 << 23
"""Pixels of a mosaic that are read for it: a tenth of a second."""

_MOST_MARKS = 500
"""Chunks of a store that are looked for."""

_MOST_ROWS = 5000
"""Images of a mosaic whose store is looked at: reading what it tells of them takes 80 µs each."""

_MOST_FILES = 64

_BYTES = 30_000
"""Of a PNG at most: what pixels with much noise make larger gets smaller sides."""


class Preview(NamedTuple):
    """Pixels of a mosaic, few enough to be looked at, and where they come from."""

    values: NDArray[np.float32]
    """(ny, nx), NaN where blank or not there."""
    source: str


def thumbnail(mosaic: Mosaic, side: int = SIDE) -> Sketch:
    """A small picture of what is kept of a mosaic, or what is to be said instead. No pixel is computed."""
    try:
        found = preview(mosaic, side)
    except Exception as error:  # whatever a damaged store or file comes to: the numbers are still to be shown
        return _nothing(f"cannot be shown: {error or type(error).__name__}")
    if isinstance(found, str):
        return _nothing(found)
    if not np.isfinite(found.values).any():
        return _nothing(f"all pixels are blank ({found.source})")
    data = _encoded(found.values)
    ny, nx = found.values.shape
    image = f'<img alt="the mosaic" width="{nx}" height="{ny}" src="data:image/png;base64,{data}">'
    return Sketch(image, found.source)


def preview(mosaic: Mosaic, side: int = SIDE) -> Preview | str:
    """Pixels of a mosaic from its files or its store; words for why there are none."""
    step = -(-max(mosaic.grid.shape) // side)
    files = mosaic.files
    if 0 < len(files) <= _MOST_FILES:
        return _from_files(mosaic, step)
    if len(mosaic.plan.chunks) > _MOST_MARKS:
        return f"not looked for in {len(mosaic.plan.chunks)} chunks; plot() shows it"
    if len(mosaic.plan.rows) > _MOST_ROWS:
        return f"not looked for among {len(mosaic.plan.rows)} images; plot() shows it"
    if mosaic.is_remote:
        return "not looked for in a remote store; plot() shows it"
    made = mosaic.made()
    if not made:
        return "not computed yet"
    if sum(window.size for window in made) > _MOST:
        return f"{len(made)} of {len(mosaic.plan.chunks)} chunks are in the store; plot() shows them"
    whole = len(made) == len(mosaic.plan.chunks)
    said = "from the store" if whole else f"{len(made)} of {len(mosaic.plan.chunks)} chunks, the rest not computed yet"
    return Preview(shrink(mosaic.stored(mosaic.grid.window), step).astype(np.float32), said)


def _from_files(mosaic: Mosaic, step: int) -> Preview:
    """Means over squares, or every ``step``-th pixel of what is too large to be read."""
    files, shape = mosaic.files, mosaic.grid.shape
    name = files[0].path.name if len(files) == 1 else f"{len(files)} tiles"
    if mosaic.grid.window.size <= _MOST:
        whole = np.full(shape, np.nan, np.float32)
        for part in files:
            whole[part.window.slices] = pixels(part.path)
        return Preview(shrink(whole, step).astype(np.float32), f"from {name}")
    values = np.full(tuple(-(-n // step) for n in shape), np.nan, np.float32)
    for part in files:
        window = part.window
        y, x = -(-window.y0 // step), -(-window.x0 // step)
        few = pixels(part.path)[y * step - window.y0 :: step, x * step - window.x0 :: step]
        values[y : y + few.shape[0], x : x + few.shape[1]] = few
    return Preview(values, f"from {name}, one pixel of {step} × {step}")


def _nothing(said: str) -> Sketch:
    """A grey box where the picture will be."""
    box = '<svg viewBox="0 0 96 64" width="96" height="64" role="img" aria-label="no picture"><rect class="dm-i" x="1" '
    return Sketch(f'{box}y="1" width="94" height="62"/></svg>', said)


def _encoded(values: NDArray[np.float32]) -> str:
    """Grey PNG in base64, y upwards; blank is transparent. One shade less of 256, which means that."""
    from dmontage.view.norm import norm

    shades = np.asarray(norm(values)(np.nan_to_num(values, posinf=0.0, neginf=0.0)))
    grey = np.where(np.isfinite(values), np.rint(np.clip(shades, 0, 1) * 254) + 1, 0).astype(np.uint8)[::-1]
    picture = Image.fromarray(grey, "P")
    picture.putpalette([v for k in range(256) for v in (max(k - 1, 0),) * 3])
    side = max(grey.shape)
    while True:
        out = io.BytesIO()
        picture.save(out, "PNG", transparency=0, optimize=True)
        if out.tell() <= _BYTES or side <= 64:
            return b64encode(out.getvalue()).decode()
        side = side * 3 // 4
        picture = picture.resize([max(1, n * side // max(grey.shape)) for n in grey.shape[::-1]])
