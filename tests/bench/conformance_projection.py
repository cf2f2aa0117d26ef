"""What must hold of the projection of one image: each check gives the number that must not exceed its limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from checks import Check, check_of
from headers import DEC, RA, header, turned
from numpy.typing import NDArray
from projectors import (
    PROJECTORS,
    Floats,
    Projector,
    by_dmontage,
    by_montage,
    by_montagepy,
    shape_of,
    solid_angles,
)  # fmt: skip


def sky(side: int = 40) -> Floats:
    """Random values between 0.5 and 1.5 in a rim of zeros, that pixels of the rim count only where they must."""
    values = np.random.default_rng(1).uniform(0.5, 1.5, (side, side))
    values[[0, 1, -2, -1]] = values[:, [0, 1, -2, -1]] = 0
    return values


def closure(project: Projector, scale: float) -> float:
    """Σ(mean · area) out over Σ(value · Ω) in, less 1."""
    head = header(40, scale)
    values = sky()
    mean, area = project(values, head, turned(64, scale))
    return abs(float(np.nansum(mean * area) / np.sum(values * solid_angles(head))) - 1)


def same_corners(project: Projector) -> float:
    """Closure where corners and edges of both grids coincide: turned by 45° about a common corner."""
    head, values = header(40), sky()
    mean, area = project(values, head, header(64, turn=45.0))
    return abs(float(np.nansum(mean * area) / np.sum(values * solid_angles(head))) - 1)


def area_closure(project: Projector) -> float:
    """Σ(area) over Σ(Ω), less 1: no pixel of the image's rim is lost."""
    head = header(40)
    _, area = project(np.ones((40, 40)), head, turned(64))
    return abs(float(area.sum() / solid_angles(head).sum()) - 1)


def corner_area(project: Projector) -> float:
    """Area of covered pixels 3.5° from the tangent point, in their own solid angles, less 1 at most."""
    offset: dict[str, Any] = {"CRPIX1": 20 - 2.5 * 3600 / 30, "CRPIX2": 20 - 2.5 * 3600 / 30}
    grid = header(40, 30.0, **offset)
    ra, dec = WCS(grid).all_pix2world(20.3, 19.6, 0)
    _, area = project(np.ones((80, 80)), header(80, 30.0, 17.0, CRVAL1=float(ra), CRVAL2=float(dec)), grid)
    return float(np.abs(area / solid_angles(grid) - 1)[5:-5, 5:-5].max())


def constant(project: Projector) -> float:
    """Deviation of a constant image, in every pixel that has any area, onto smaller pixels."""
    mean, area = project(np.full((40, 40), 7.0), header(40), turned(90, 0.7))
    return float(np.nanmax(np.abs(mean[area > 0] / 7.0 - 1)))


def huge_neighbour(project: Projector) -> float:
    """What a pixel of 1e30 changes three pixels away from it and more."""
    values = sky()
    grid = turned(64)
    before, _ = project(values, header(40), grid)
    values[20, 20] = 1e30
    after, _ = project(values, header(40), grid)
    y, x = np.indices(before.shape)
    far = np.hypot(y - 31, x - 31) > 6
    return float(np.nanmax(np.abs(after - before)[far]))


def whole_pixels(project: Projector) -> float:
    """Difference from the input on a grid shifted by whole pixels."""
    values = sky()
    grid = header(50)
    grid["CRPIX1"], grid["CRPIX2"] = header(40)["CRPIX1"] + 5, header(40)["CRPIX2"] + 3
    mean, _ = project(values, header(40), grid)
    return float(np.nanmax(np.abs(mean[3:43, 5:45] - values)[6:-6, 6:-6]))


def aligned(project: Projector) -> float:
    """Percentage of pixels more than 1e-3 off, on an aligned grid of pixels 1.3 times as large, its rim apart."""
    values, ratio = sky(), 1.3
    mean, _ = project(values, header(40), header(24, ratio))
    left = 20 - 12 * ratio + ratio * np.arange(24)[:, None]
    part = np.clip(np.minimum(left + ratio, np.arange(40) + 1) - np.maximum(left, np.arange(40)), 0, None) / ratio
    right = np.abs(mean - part @ values @ part.T) <= 1e-3
    return 100 * float(np.mean(~right[1:-1, 1:-1]))


def flux_kept(project: Projector) -> float:
    """Total of 60 × 60 ones, counts a pixel, on pixels twice as large, over 3600, less 1."""
    values = np.zeros((64, 64))
    values[2:-2, 2:-2] = 1
    mean, area = project(values, header(64), turned(50, 2.0))
    return abs(float(np.nansum(mean * area / solid_angles(turned(50, 2.0)))) / 3600 - 1)


def pixfrac_area(project: Projector) -> float:
    """Σ(area) of drops of half the side over a quarter of Σ(Ω), less 1."""
    head = header(40)
    _, area = project(np.ones((40, 40)), head, turned(64))
    return abs(float(area.sum() / solid_angles(head).sum()) / 0.25 - 1)


def blank(project: Projector) -> float:
    """Solid angle that one blank pixel takes away, in its own, less 1."""
    head, grid, values = header(40), turned(64), np.ones((40, 40))
    mean, area = project(values, head, grid)
    values[20, 20] = np.nan
    holed, left = project(values, head, grid)
    lost = area[np.isfinite(mean)].sum() - left[np.isfinite(holed)].sum()
    return abs(float(lost / solid_angles(head)[20, 20]) - 1)


def border(project: Projector) -> float:
    """Σ(area) with 3 pixels of border on all sides over that of the rest, less 1."""
    head = header(40)
    _, area = project(np.ones((40, 40)), head, turned(64))
    return abs(float(area.sum() / solid_angles(head)[3:-3, 3:-3].sum()) - 1)


def edge_row(project: Projector) -> float:
    """What lacks in the outermost row of a grid that the image covers wholly, as a part of its pixels."""
    grid = turned(24)
    _, area = project(np.ones((60, 60)), header(60), grid)
    return float(np.abs(1 - np.mean(area[0] / solid_angles(grid)[0])))


def centroid(project: Projector, code: str, code_out: str = "TAN", **cards: Any) -> float:
    """Distance of a Gaussian's centroid from where astropy's WCS puts its middle, output pixels."""
    head, grid = header(60, SCALE, code=code, **cards), turned(90, SCALE, code=code_out)
    y, x = np.indices((60, 60))
    values = np.exp(-0.5 * ((x - 31.3) ** 2 + (y - 27.8) ** 2) / 4**2)
    mean, area = project(values, head, grid)
    flux = np.nan_to_num(mean * area)
    rows, columns = np.indices(flux.shape)
    found = np.array([np.sum(columns * flux), np.sum(rows * flux)]) / flux.sum()
    # The middle of the Gaussian's pixels themselves, on the sky: what curvature and distortion make of it is in both.
    places = WCS(grid).all_world2pix(*WCS(head).all_pix2world(x, y, 0), 0)
    weight = values * _pixel_areas(head)
    true = [float(np.sum(place * weight) / weight.sum()) for place in places]
    return float(np.hypot(*(found - true)))


def _pixel_areas(head: fits.Header) -> NDArray[np.float64]:
    """Relative solid angles by astropy: the Jacobian of its WCS at the pixels' middles."""
    y, x = np.indices(shape_of(head))
    wcs, half = WCS(head), 0.5
    vectors = []
    for dx, dy in ((half, 0), (-half, 0), (0, half), (0, -half)):
        ra, dec = np.radians(wcs.all_pix2world(x + dx, y + dy, 0))
        vectors.append(np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)]))
    a, b = vectors[0] - vectors[1], vectors[2] - vectors[3]
    area: NDArray[np.float64] = np.linalg.norm(np.cross(a, b, axis=0), axis=0)
    return area


def all_sky(project: Projector, ra: float, dec: float) -> float:
    """Σ(area) over Σ(Ω), less 1, of pixels of 0.25° on an all-sky map of 1° pixels."""
    head = header(40, 900.0, 10.0, CRVAL1=ra, CRVAL2=dec)
    grid = header(360, 3600.0, code="CAR", NAXIS2=180, CRPIX2=90.5, CRVAL1=180.0, CRVAL2=0.0)
    _, area = project(np.ones((40, 40)), head, grid)
    return abs(float(area.sum() / solid_angles(head).sum()) - 1)


SCALE = 120.0
"""Arcsec, of the fields for centroids: 2° a side, where projections differ by pixels."""
# Distortions of up to two pixels at the field's rim.
SIP = {"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-4, "A_0_2": -5e-5, "B_1_1": 8e-5, "B_2_0": 3e-5}
PV = {f"PV{axis}_{k}": float(k == 1) for axis in (1, 2) for k in range(11)}
PV |= {"PV1_4": 0.02, "PV2_4": -0.03, "PV1_7": 0.01}
CODES = ("CAR", "MER", "AIT", "SFL")
Columns = Mapping[str, tuple[str, Projector]]
EXACT: Columns = {
    "dmontage": ("dmontage", by_dmontage("sky")),
    "dmontage, auto": ("dmontage", by_dmontage()),
    **{name: column for name, column in PROJECTORS.items() if name != "dmontage"},
}
AREAS: Columns = {name: column for name, column in EXACT.items() if name != "SWarp"}
"""Without what gives no area."""
TANGENT = ("SIN", "ZEA", "ARC", "STG")
"""What mProjectPP projects, beside TAN."""
ANY: Columns = {name: column for name, column in EXACT.items() if name != "mProjectPP"}
ANY_AREAS: Columns = {name: column for name, column in ANY.items() if name in AREAS}


def options(dmontage: dict[str, Any], flags: tuple[str, ...], montagepy: dict[str, Any]) -> Columns:
    """The tools that have an option, with it."""
    return {
        "dmontage": ("dmontage", by_dmontage("sky", **dmontage)),
        "mProject": ("Montage", by_montage("mProject", *flags)),
        "mProjectPP": ("Montage", by_montage("mProjectPP", *flags)),
        "MontagePy mProject": ("MontagePy", by_montagepy("mProject", **montagepy)),
    }


# Beside 1e-9, what one rounding of a right ascension is of a pixel.
CLOSURE: list[Check] = [
    check_of(
        f"C1 pixels of {scale:g} arcsec", 1e-9 + float(np.spacing(RA)) * 3600 / scale, EXACT, closure, scale
    )
    for scale in (60.0, 1.0, 0.1, 0.01, 0.001)
]  # fmt: skip
PROJECTION: list[Check] = [
    check_of("C1 flux closes where corners coincide", 1e-9, EXACT, same_corners),
    check_of("C2 area closes, 1 arcsec", 1e-9, AREAS, area_closure),
    check_of("C2 area of covered pixels 3.5° from the tangent point", 1e-8, AREAS, corner_area),
    check_of("C3 a constant image stays constant", 1e-12, EXACT, constant),
    check_of("C3 what a pixel of 1e30 changes far from it", 1e-9, EXACT, huge_neighbour),
    check_of("C4 a shift by whole pixels returns the input", 1e-12, EXACT, whole_pixels),
    check_of("C4 aligned grids, ratio 1.3: pixels off by 1e-3", 0, EXACT, aligned, unit="%"),
    check_of("C5 counts a pixel keep their total", 1e-9,
             options({"unit": "flux_per_pixel"}, ("-e",), {"energyMode": True}), flux_kept),
    check_of("C6 area of drops of half the side", 1e-9,
             options({"pixfrac": 0.5}, ("-z", "0.5"), {"drizzle": 0.5}), pixfrac_area),
    check_of("C8 area that a blank pixel takes, less its own", 1e-6, EXACT, blank),
    check_of("C9 a border of 3 pixels", 1e-9, options({"border": 3}, ("-b", "3"), {"borderstr": "3"}), border),
    check_of("C10 what lacks in the grid's outermost row", 1e-9, AREAS, edge_row),
    *(check_of(f"C11 centroid, {code} to TAN", 1e-3, EXACT, centroid, code, unit="px") for code in TANGENT),
    *(check_of(f"C11 centroid, {code} to TAN", 1e-3, ANY, centroid, code, unit="px") for code in CODES),
    *(check_of(f"C11 centroid, TAN to {code}", 1e-3, EXACT, centroid, "TAN", code, unit="px") for code in TANGENT),
    check_of("C12 centroid, SIP", 1e-2, EXACT, centroid, "TAN-SIP", unit="px", **SIP),
    check_of("C12 centroid, TPV", 1e-2, ANY, centroid, "TPV", unit="px", **PV),
    check_of("C12 centroid, TAN with PV", 1e-2, EXACT, centroid, "TAN", unit="px", **PV),
    check_of("C13 area closes, 0.25° pixels, mid-sky", 1e-9, ANY_AREAS, all_sky, RA, DEC),
    check_of("C13 at the seam", 1e-9, ANY_AREAS, all_sky, 0.0, 10.0),
    check_of("C13 at the pole", 1e-9, ANY_AREAS, all_sky, 0.0, 90.0),
]  # fmt: skip
