"""Coordinate grids: every inked pixel lies on a line that astropy knows, at seams, poles and limbs too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import FK5, SkyCoord
from astropy.utils import minversion
from astropy.visualization.wcsaxes import WCSAxes
from astropy.wcs import WCS
from numpy.typing import NDArray

from dmontage.errors import InputError
from dmontage.grid import Grid
from dmontage.view.figure import empty_figure, figure, render
from dmontage.view.overlay import _sides, coordinate_grid, sky_pixel

WHOLE_SKY = [
    ("CAR", "icrs", "0 0"), ("CAR", "galactic", "201.7 0"), ("AIT", "galactic", "0 0"), ("AIT", "icrs", "137.3 0"),
    ("HPX", "ecliptic", "138.01 0"), ("HPX", "ecliptic", "21.89 0"), ("HPX", "icrs", "0 0"), ("MOL", "icrs", "77 0"),
]  # fmt: skip
ASTROPY = {"icrs": "icrs", "galactic": "galactic", "ecliptic": "barycentricmeanecliptic"}
PARTS = [
    ("TAN", "icrs", "0 1", "1 arcmin"), ("TAN", "icrs", "0 89", "1 arcmin"), ("TAN", "icrs", "50 -90", "1 arcmin"),
    ("SIN", "icrs", "0 40", "0.6 deg"), ("ZEA", "galactic", "123 -40", "0.6 deg"), ("STG", "icrs", "200 40", "0.6 deg"),
]  # fmt: skip


def strays(
    grid: Grid, own: str, frame: str, spacing: float, spoil: Callable[[WCSAxes], object] | None = None
) -> tuple[int, int]:
    """Pixels inked by a coordinate grid, and how many of these no line passes within two pixels, by astropy's WCS."""
    drawn, axes = empty_figure(grid, grid.shape[1], bare=True)
    coordinate_grid(axes, frame, color="black", alpha=1.0, labels="", spacing=f"{spacing} deg", linewidth=0.5)
    if spoil:
        spoil(axes)
    y, x = np.nonzero(render(drawn)[::-1, :, 3] > 60)
    lon, lat = around(grid, own, frame, x, y)
    middle = len(lon) // 2
    turned = (lon - lon[middle] + 180.0) % 360.0 - 180.0 + lon[middle]
    crossed = np.zeros(x.size, bool)
    for values in (turned, lat):
        numbers = np.nan_to_num(np.floor(values / spacing + 1e-9), nan=-1e6)
        crossed |= np.ptp(numbers, axis=0) > 0
        on_line = values[middle] / spacing
        crossed |= np.abs(on_line - np.round(on_line)) < 0.02
    crossed |= np.abs(lat[middle]) > 90.0 - 2.5 * grid.scale * 180 / np.pi  # the meridians meet
    return x.size, int((~crossed).sum())


def around(
    grid: Grid, own: str, frame: str, x: NDArray[np.int_], y: NDArray[np.int_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitudes and latitudes (25, n) in degrees of points within two pixels of each."""
    steps = np.linspace(-2.0, 2.0, 5)
    dy, dx = (a.ravel()[:, None] for a in np.meshgrid(steps, steps, indexing="ij"))
    lon, lat = WCS(grid.to_header()).wcs_pix2world(x + dx, y + dy, 0)
    # The frame by its name: astropy takes ecliptic headers for FK5.
    there = SkyCoord(lon * u.deg, lat * u.deg, frame=ASTROPY[own]).transform_to(ASTROPY[frame]).spherical
    return np.array(there.lon.deg), np.array(there.lat.deg)


@pytest.mark.parametrize("frame", ["icrs", "galactic"])
@pytest.mark.parametrize(("projection", "own", "center"), WHOLE_SKY)
def test_no_streak_crosses_the_whole_sky(projection: str, own: str, center: str, frame: str) -> None:
    grid = Grid.around(center, scale="0.9 deg", shape=(200, 400), projection=projection, frame=own)
    inked, wrong = strays(grid, own, frame, 10.0)
    assert inked > 5000 and wrong == 0


@pytest.mark.parametrize("frame", ["icrs", "galactic", "ecliptic"])
@pytest.mark.parametrize(("projection", "own", "center", "scale"), PARTS)
def test_no_streak_crosses_a_part(projection: str, own: str, center: str, scale: str, frame: str) -> None:
    grid = Grid.around(center, scale=scale, shape=(300, 300), projection=projection, frame=own)
    inked, wrong = strays(grid, own, frame, 1.0 if scale == "1 arcmin" else 15.0)
    assert inked > 1000 and wrong == 0


@pytest.mark.parametrize("ends", [((0, 399), (20, 23)), ((55, 145), (199, 199))])
def test_the_test_sees_a_streak(ends: tuple[tuple[int, int], tuple[int, int]]) -> None:
    """One across the picture, and one as astropy's own lines have it, across a gap of HEALPix."""
    grid = Grid.around("138.01 0", scale="0.9 deg", shape=(200, 400), projection="HPX", frame="ecliptic")
    _, wrong = strays(grid, "ecliptic", "galactic", 10.0, lambda axes: axes.plot(*ends, color="black", linewidth=0.5))
    assert wrong > 40


@pytest.mark.parametrize("frame", ["icrs", "galactic"])
def test_lines_are_all_there(frame: str) -> None:
    """Along every line that astropy puts into the picture there is ink."""
    grid = Grid.around("0 1", scale="1 arcmin", shape=(300, 300))
    drawn, axes = empty_figure(grid, 300, bare=True)
    coordinate_grid(axes, frame, color="black", alpha=1.0, labels="", spacing="1 deg")
    ink = render(drawn)[::-1, :, 3] > 60
    near = np.zeros(ink.shape, bool)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            near |= np.roll(ink, (dy, dx), (0, 1))
    lon, lat = np.meshgrid(np.arange(0.0, 360.0, 1.0), np.arange(-90.0, 90.0, 0.01))
    wcs = WCS(grid.to_header())
    middle = wcs.pixel_to_world(150, 150)
    for a, b in ((lon, lat), (np.meshgrid(np.arange(0.0, 360.0, 0.01), np.arange(-89.0, 90.0, 1.0)))):
        places = SkyCoord(a.ravel() * u.deg, b.ravel() * u.deg, frame=frame)
        places = places[places.separation(middle) < 4 * u.deg]
        x, y = (np.rint(v).astype(int) for v in wcs.world_to_pixel(places))
        seen = (x > 1) & (x < 298) & (y > 1) & (y < 298)
        assert seen.sum() > 500
        assert near[y[seen], x[seen]].all()


def test_labels_stand_where_they_are_asked_for() -> None:
    grid = Grid.around("05h35m -5d23m", scale="1 arcsec", shape=(200, 300))
    data = np.zeros((200, 300))
    sizes = {}
    for labels in ("bl", "tr", "inside", ""):
        drawn, axes = figure(data, grid)
        coordinate_grid(axes, "galactic", labels=labels)
        out = render(drawn)
        left, low = (np.rint(v).astype(int) for v in (axes.bbox.x0, axes.bbox.y0))
        sizes[labels] = left, low, out.shape[1] - left - 300, out.shape[0] - low - 200
    # A whole label of the last line reaches out by 30.
    wide = {k: tuple(side > 35 for side in v) for k, v in sizes.items()}
    assert wide["bl"] == (True, True, False, False)
    assert wide["tr"] == (True, True, True, True)  # the grid's own stay below and left
    assert wide["inside"] == wide[""] == (True, True, False, False)
    with pytest.raises(InputError, match="labels 'left'"):
        coordinate_grid(axes, labels="left")


def test_frames_that_are_drawn_together_have_sides_of_their_own() -> None:
    """One above and right, one below and left, where the grid's own is not drawn; what is left over inside."""
    drawn, axes = figure(np.zeros((200, 300)), Grid.around("05h35m -5d23m", scale="10 arcsec", shape=(200, 300)))
    coordinates = [coordinate_grid(axes, frame) for frame in ("galactic", "ecliptic", "icrs")]
    sides = [{side for coord in each for side in coord.get_axislabel_position()} for each in coordinates]
    assert sides[0] == {"t", "r"} and sides[1] == {"b", "l"} and not any(c.get_axislabel() for c in coordinates[2])
    render(drawn)


@pytest.mark.skipif(not minversion("astropy", "7.0"), reason="astropy has no choice")
def test_values_are_whole() -> None:
    """Hours and degrees stand before all minutes."""
    drawn, axes = figure(np.zeros((300, 300)), Grid.around("05h35m -5d23m", scale="5 arcsec", shape=(300, 300)))
    coordinate_grid(axes, "galactic")
    render(drawn)
    for coord in axes.coords:
        texts = [text for side in coord._ticklabels.text.values() for text in side if text]
        assert len(texts) > 2 and all("^h" in text or "°" in text for text in texts)


@pytest.mark.parametrize("rotation", ["0 deg", "90 deg", "200 deg"])
def test_values_stand_on_the_side_where_their_lines_end(rotation: str) -> None:
    """Right ascension below, but on a picture that lies on its side, left."""
    grid = Grid.around("05h35m -5d23m", scale="1 arcsec", shape=(200, 300), rotation=rotation)
    _, axes = figure(np.zeros((200, 300)), grid)
    on_its_side = rotation == "90 deg"
    assert _sides(axes, grid.frame, "bl") == ("lb" if on_its_side else "bl")
    assert _sides(axes, grid.frame, "tr") == ("rt" if on_its_side else "tr")


def test_a_frame_of_another_equinox_is_its_own() -> None:
    """FK5 of J1975 on a grid of J2000: precession moves lines by 0.3 degrees."""
    grid = Grid.around("90 1", scale="10 arcsec", shape=(100, 100), frame="fk5")
    _, axes = empty_figure(grid, 100, bare=True)
    coords = coordinate_grid(axes, FK5(equinox="J1975"), labels="")
    lon, lat = coords[0].transform.transform(np.array([[50.0, 50.0]]))[0]
    true = WCS(grid.to_header()).pixel_to_world(50, 50).transform_to(FK5(equinox="J1975"))
    assert (lon, lat) == pytest.approx((true.ra.deg, true.dec.deg), abs=1e-9)
    back = coords[0].transform.inverted().transform(np.array([[lon, lat]]))[0]
    assert back == pytest.approx((50.0, 50.0), abs=1e-6)


def test_places_have_astropy_s_pixels() -> None:
    grid = Grid.around("05h35m -5d23m", scale="1 arcsec", shape=(200, 300))
    _, axes = empty_figure(grid, 300)
    place = SkyCoord("05h35m01s -5d23m40s").galactic
    x, y = sky_pixel(axes, place.l, place.b.deg, "galactic")
    np.testing.assert_allclose((x, y), WCS(grid.to_header()).world_to_pixel(place), atol=1e-7)
