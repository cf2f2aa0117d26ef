"""Catalogues of images that do not exist: headers alone, as of the 2MASS Atlas, for plans and graphs of any size."""

from __future__ import annotations

import math

import numpy as np

from dmontage.grid import Grid
from dmontage.headers import cards_text
from dmontage.model import ImageRef, Images

__all__ = ["NX", "NY", "atlas"]

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
