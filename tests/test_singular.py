"""No polynomial passes over a seam, a pole, a limb or a facet's edge: at all corners, for all projections."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from projections import CODES, CUBES, LON, map_grid, places
from test_mapping import make

from dmontage.grid import Grid
from dmontage.mapping import Chain, Mapping, fit_mapping
from dmontage.sphere import unit_vectors
from dmontage.window import Window

SHAPE = (72, 90)
VERTEX = {
    "HPX": (LON + 90.0, float(np.degrees(np.arcsin(2 / 3)))),
    **{code: (LON + 45.0, float(np.degrees(np.arctan(np.sqrt(0.5))))) for code in CUBES},
}
"""Where facets meet: a vertex hides in a window's corner more easily than an edge does."""


def place_of(code: str, place: str) -> tuple[float, float]:
    """Longitude and latitude of a place."""
    if code in VERTEX and place == "vertex":
        return VERTEX[code]
    if place in ("seam", "vertex") and code in ("TAN", "SIN"):  # nothing is beyond their limb, 90 degrees off
        return LON + 89.0, 0.0
    if place == "pole":  # next to it, since some maps have no pixel for the pole itself; TAN and SIN none near it
        return LON + 1.0, 80.0 if code in ("TAN", "SIN") else 89.99
    return places(code)["seam" if place == "vertex" else place]


def around(code: str, place: tuple[float, float], scale: float, at: tuple[int, int]) -> Grid:
    """The part of an all-sky map that has a place, longitude and latitude in degrees, at its pixel ``at`` (x, y)."""
    whole = map_grid(code, scale, SHAPE)
    x, y = (float(a) for a in whole.wcs().wcs_world2pix(*place, 0))
    x0, y0 = round(x) - at[0], round(y) - at[1]
    return whole.subgrid(Window(y0, y0 + SHAPE[0], x0, x0 + SHAPE[1]))


def worst(mapping: Mapping, grid_in: Grid, grid_out: Grid) -> float:
    """The largest distance of the polynomials from the exact chain at all corners; infinite where that is undefined."""
    chain = Chain(grid_in, grid_out)
    off = 0.0
    for patch in mapping.patches:
        w = patch.window
        x, y = np.meshgrid(np.arange(w.x0, w.x1 + 1) - 0.5, np.arange(w.y0, w.y1 + 1) - 0.5)
        here = np.abs(np.stack(patch.corners(w), axis=-1) - chain(x, y))
        off = max(off, float(here.max()) if np.isfinite(here).all() else np.inf)
    return off


def spot(rng: np.random.Generator) -> tuple[int, int]:
    """Where in an image a place is put: anywhere, or within three pixels of its edge or its corner."""
    ny, nx = SHAPE
    x, y = int(rng.integers(-5, nx + 5)), int(rng.integers(-5, ny + 5))
    kind = rng.integers(3)
    if kind:
        x = int(rng.choice([0, nx])) + int(rng.integers(-3, 4))
    if kind == 2:
        y = int(rng.choice([0, ny])) + int(rng.integers(-3, 4))
    return x, y


def pair(code: str, place: str, scale: float, rng: np.random.Generator, *, as_input: bool) -> tuple[Grid, Grid]:
    """A window at a place of a projection's map, and a tangent plane there: the map is either."""
    lon, lat = place_of(code, place)
    x, y = spot(rng)
    chart = around(code, (lon, lat), scale, (x, y) if as_input else (SHAPE[1] // 2, SHAPE[0] // 2))
    cards: dict[str, Any] = (
        {} if as_input else {"CRPIX1": x + 1 + rng.uniform(-0.5, 0.5), "CRPIX2": y + 1 + rng.uniform(-0.5, 0.5)}
    )
    turned = float(rng.choice([0.0, 45.0, rng.uniform(0, 360)]))
    plane = make("TAN", lon, lat, SHAPE, scale * 3600 * rng.uniform(0.7, 1.4), CROTA2=turned, **cards)
    return (chart, plane) if as_input else (plane, chart)


def check(code: str, place: str, scale: float, seed: int, *, as_input: bool) -> bool:
    """Fit and compare; whether polynomials were found."""
    grid_in, grid_out = pair(code, place, scale, np.random.default_rng(seed), as_input=as_input)
    mapping = fit_mapping(grid_in, grid_out)
    assert worst(mapping, grid_in, grid_out) <= mapping.error + mapping.rounding + 1e-9  # Grid.pixel promises that
    assert mapping.error == max((patch.error for patch in mapping.patches), default=np.inf)
    return not mapping.cut


PLACES = ("mid-map", "seam", "pole", "vertex")


@pytest.mark.parametrize("as_input", [True, False], ids=["input", "output"])
@pytest.mark.parametrize("code", CODES)
def test_no_corner_is_off_by_more_than_the_bound(code: str, as_input: bool) -> None:
    number = CODES.index(code)
    assert check(code, "mid-map", 0.02, number, as_input=as_input), "there is nothing to be cut by"
    check(code, PLACES[1 + number % 3], 0.02, number, as_input=as_input)
    check(code, PLACES[1 + (number + as_input) % 3], 0.3, number, as_input=as_input)


@pytest.mark.slow
@pytest.mark.parametrize("as_input", [True, False], ids=["input", "output"])
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("scale", [0.3, 0.02, 0.001])
def test_no_corner_is_off_by_more_than_the_bound_wherever_windows_lie(code: str, as_input: bool, scale: float) -> None:
    for seed in range(10):
        for place in PLACES:
            check(code, place, scale, seed, as_input=as_input)


@pytest.mark.parametrize(
    ("code", "at"), [("HPX", (1, 1)), ("TSC", (0, 40)), ("QSC", (89, 71)), ("CSC", (90, 0)), ("SFL", (1, 30))]
)
def test_what_only_grazes_a_window_cuts_it(code: str, at: tuple[int, int]) -> None:
    """A facet's vertex, or a seam, within a pixel of the window's edge or corner."""
    chart = around(code, place_of(code, "vertex"), 0.002, at)
    lon, lat = place_of(code, "vertex")
    assert fit_mapping(chart, make("TAN", lon, lat, SHAPE, 7.0)).cut


@pytest.mark.parametrize("cards", [{"PV2_1": 1.0, "PV2_2": 1e-7}, {"PV2_1": 1.0, "PV2_3": 0.2}], ids=["even", "odd"])
def test_the_pole_of_a_zenithal_is_singular_for_even_powers_alone(cards: dict[str, Any]) -> None:
    """r² / |r| is no polynomial, however faint; the point lies between all points that are checked."""
    assert fit_mapping(make("ZPN", CRPIX1=33.3, CRPIX2=77.7, **cards), make()).cut == ("PV2_2" in cards)


def test_odd_powers_of_r_are_singular_at_the_reference_point() -> None:
    linear: dict[str, Any] = {"PV1_1": 1.0, "PV2_1": 1.0}
    for odd, at, cut in ((1e-9, 33.3, True), (0.0, 33.3, False), (1e-9, -3000.0, False)):
        image = make("TPV", **linear, PV1_3=odd, CRPIX1=at)
        assert fit_mapping(image, make(lon=83.9)).cut == cut


def test_curves_are_where_wcslib_ends() -> None:
    """Of every projection: all places beyond which nothing is shown are among the singular ones."""
    for code in CODES:
        grid = map_grid(code, 1.0, (180, 360))
        chart = Chain(grid, grid).start
        assert chart.singular is not None
        theta, phi = np.meshgrid(np.radians(np.arange(-89.5, 90)), np.radians(np.arange(0.0, 360.0)), indexing="ij")
        places_on_sky = unit_vectors(phi, theta)
        x, y = chart.wcs.wcs_world2pix(np.degrees(phi.ravel()), np.degrees(theta.ravel()), 0)
        shown = np.isfinite(x + y).reshape(phi.shape)
        edge = np.nonzero(shown[1:] != shown[:-1])
        for v in places_on_sky[edge][::7]:
            assert np.linalg.norm(chart.singular - v, axis=-1).min() < np.radians(1.2)
