"""Headers of the small fields on which tools are checked."""

from __future__ import annotations

import math
from typing import Any

from astropy.io import fits

RA, DEC = 83.8, -5.4


def header(side: int, scale: float = 1.0, turn: float = 0.0, code: str = "TAN", **cards: Any) -> fits.Header:
    """A square field about (`RA`, `DEC`): pixels of ``scale`` arcsec; cards replace its own."""
    cos, sin = (scale / 3600 * f(math.radians(turn)) for f in (math.cos, math.sin))
    made: dict[str, Any] = {
        "SIMPLE": True, "BITPIX": -64, "NAXIS": 2, "NAXIS1": side, "NAXIS2": side,
        "CTYPE1": f"RA---{code}", "CTYPE2": f"DEC--{code}", "CRVAL1": RA, "CRVAL2": DEC,
        "CRPIX1": (side + 1) / 2, "CRPIX2": (side + 1) / 2,
        "CD1_1": -cos, "CD1_2": -sin, "CD2_1": -sin, "CD2_2": cos, "RADESYS": "ICRS", "EQUINOX": 2000.0,
    }  # fmt: skip
    # As files have it: a card holds fewer digits than a float.
    return fits.Header.fromstring(fits.Header((made | cards).items()).tostring())


def turned(side: int, scale: float = 1.0, turn: float = 17.0, code: str = "TAN") -> fits.Header:
    """A grid that holds such a field, in general position: no corner on a corner."""
    return header(side, scale, turn, code, CRPIX1=(side + 1) / 2 + 0.37, CRPIX2=(side + 1) / 2 - 0.21)
