"""Headers of the FITS projections, for sweeps over all of them."""

from __future__ import annotations

from typing import Any

from astropy.io.fits import Header

from dmontage.grid import Grid

CODES = (
    "AZP", "SZP", "TAN", "STG", "SIN", "ARC", "ZPN", "ZEA", "AIR", "CYP", "CEA", "CAR", "MER", "COP",
    "COE", "COD", "COO", "SFL", "PAR", "MOL", "AIT", "BON", "PCO", "TSC", "CSC", "QSC", "HPX",
)  # fmt: skip
CONIC = ("COP", "COE", "COD", "COO")
CUBES = ("TSC", "CSC", "QSC")
ZENITHAL = ("AZP", "SZP", "TAN", "STG", "SIN", "ARC", "ZPN", "ZEA", "AIR")
PV: dict[str, dict[str, float]] = {
    "BON": {"PV2_1": 45.0},
    "ZPN": {"PV2_1": 1.0, "PV2_3": -0.05},
    "CYP": {"PV2_1": 1.0, "PV2_2": 0.7},
    "AZP": {"PV2_1": 2.0},
    "SZP": {"PV2_1": 2.0},
    **{code: {"PV2_1": 45.0} for code in CONIC},
}
LON = 20.0
"""Longitude of every map's middle."""


def map_grid(code: str, scale: float, shape: tuple[int, int], shift: tuple[float, float] = (0.0, 0.0)) -> Grid:
    """A grid about the middle of a map; ``scale`` in degrees, ``shift`` of the reference in pixels (x, y)."""
    cards: dict[str, Any] = {
        "CTYPE1": f"RA---{code}", "CTYPE2": f"DEC--{code}",
        "CRVAL1": LON, "CRVAL2": 45.0 if code in CONIC else 0.0,
        "CRPIX1": shape[1] / 2 + 0.5 + shift[0], "CRPIX2": shape[0] / 2 + 0.5 + shift[1],
        "CDELT1": -scale, "CDELT2": scale, "RADESYS": "ICRS",
    }  # fmt: skip
    return Grid.from_header(Header(cards | PV.get(code, {})), shape)


def places(code: str) -> dict[str, tuple[float, float]]:
    """Longitude and latitude of a place in mid-map, on the seam (a facet's edge, the limb), and a pole."""
    seam = (LON + 180.0, 30.0)
    if code in ZENITHAL:
        seam = (LON + 90.0, 10.0)
    elif code in CUBES:
        seam = (LON + 45.0, 40.0)
    elif code == "HPX":
        seam = (LON + 90.0, 42.0)
    return {"mid-map": (LON + 17.0, 35.0), "seam": seam, "pole": (LON, 90.0)}
