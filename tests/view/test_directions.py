"""Compass and scale bar against astropy's great circles."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.visualization.wcsaxes import WCSAxes
from astropy.wcs import WCS
from matplotlib.text import Annotation

from dmontage.errors import InputError
from dmontage.grid import Grid
from dmontage.view.directions import compass, scale_bar
from dmontage.view.figure import empty_figure

CORNERS = ("bottom left", "bottom right", "top left", "top right")


def axes_of(grid: Grid, width: int = 400) -> WCSAxes:
    return empty_figure(grid, width)[1]


def arrows(axes: WCSAxes) -> list[tuple[float, float]]:
    """Unit vectors in pixels of the compass' arrows."""
    found = []
    for text in axes.texts:
        if isinstance(text, Annotation) and text.arrow_patch is not None:
            step = np.subtract(text.xy, text.xyann)
            found.append(tuple(step / np.hypot(*step)))
    return found


def texts(axes: WCSAxes) -> list[str]:
    return [text.get_text() for text in axes.texts if text.get_text()]


@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize(
    ("grid", "frame"),
    [
        (Grid.around("05h35m -5d23m", scale="1 arcsec", shape=(200, 300), rotation="33 deg"), "icrs"),
        (Grid.around("05h35m -5d23m", scale="1 arcsec", shape=(200, 300), rotation="33 deg"), "galactic"),
        (Grid.around("0 89.5", scale="30 arcsec", shape=(300, 300)), "icrs"),
        (Grid.around("0 0", scale="0.9 deg", shape=(200, 400), projection="CAR", frame="galactic"), "icrs"),
        (Grid.around("0 0", scale="0.9 deg", shape=(200, 400), projection="AIT", frame="galactic"), "icrs"),
    ],
)
def test_arrows_point_where_the_great_circles_go(grid: Grid, frame: str, corner: str) -> None:
    axes = axes_of(grid)
    x, y = compass(axes, corner, frame=frame)
    wcs = WCS(grid.to_header())
    place = wcs.pixel_to_world(x, y).transform_to(frame)
    for (dx, dy), bearing in zip(arrows(axes), (0.0, 90.0), strict=True):
        ends = [
            np.array(
                wcs.world_to_pixel(place.directional_offset_by((bearing + turn) * u.deg, 0.02 * grid.scale * u.rad))
            )
            for turn in (180.0, 0.0)
        ]
        true = ends[1] - ends[0]
        assert (dx, dy) == pytest.approx(tuple(true / np.hypot(*true)), abs=1e-4)
    assert texts(axes) == ["N", "E"]


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_mirrored_picture_has_east_on_its_other_side(mirrored: bool) -> None:
    header = Grid.around("05h35m -5d23m", scale="1 arcsec", shape=(200, 300)).to_header()
    header["CDELT1"] *= -1 if mirrored else 1
    axes = axes_of(Grid.from_header(header))
    compass(axes)
    north, east = arrows(axes)
    assert north == pytest.approx((0, 1), abs=0.01) and east == pytest.approx((1 if mirrored else -1, 0), abs=0.01)


def test_a_compass_stands_on_the_sky() -> None:
    """The corners of an all-sky picture are none: it moves in, with its arrows."""
    grid = Grid.around("0 0", scale="0.9 deg", shape=(200, 400), projection="AIT", frame="galactic")
    axes = axes_of(grid)
    x, y = compass(axes, "top right")
    assert 200 < x < 399 and 100 < y < 199
    assert all(
        np.isfinite(WCS(grid.to_header()).wcs_pix2world(x + dx, y + dy, 0)).all() for dx, dy in [(16, 0), (0, 16)]
    )
    with pytest.raises(InputError, match="'middle' is not one of bottom left"):
        compass(axes, "middle")


@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("length", ["10 arcsec", "1 arcmin", None])
def test_a_bar_is_as_long_as_it_says(corner: str, length: str | None) -> None:
    grid = Grid.around("05h35m 70d", scale="1 arcsec", shape=(200, 300), rotation="20 deg")
    axes = axes_of(grid)
    x0, x1 = scale_bar(axes, length, corner)
    (line,) = axes.lines
    y = line.get_ydata()[0]
    assert sorted(line.get_xdata()) == [x0, x1] and 0 < x0 < x1 < 299 and 0 < y < 199
    a, b = WCS(grid.to_header()).pixel_to_world([x0, x1], [y, y])
    said = {"10″": 10, "1′": 60}[texts(axes)[0]]
    assert a.separation(b).arcsec == pytest.approx(said, rel=1e-9)
    assert said == {"10 arcsec": 10, "1 arcmin": 60, None: 60}[length]  # 75″ is a quarter of the width


def test_a_bar_is_measured_where_it_stands() -> None:
    """A cylindrical map is stretched towards its pole: the same bar is longer there, by 1/cos(latitude)."""
    grid = Grid.around("0 0", scale="0.25 deg", shape=(720, 1440), projection="CAR")
    spans = {}
    for corner in ("bottom right", "top right"):
        axes = axes_of(grid)
        x0, x1 = scale_bar(axes, "2 deg", corner)
        y = axes.lines[0].get_ydata()[0]
        lat = float(WCS(grid.to_header()).wcs_pix2world(0, y, 0)[1])
        # Along a parallel the chord of a span of longitudes is cos(lat) of theirs.
        half = np.arcsin(np.sin(np.radians(1.0)) / np.cos(np.radians(lat)))
        assert x1 - x0 == pytest.approx(2 * np.degrees(half) / 0.25, rel=1e-9)
        spans[corner] = lat
    assert spans["bottom right"] < -60 and spans["top right"] > 60


@pytest.mark.parametrize("scale", ["0.01 arcsec", "0.3 arcsec", "7 arcsec", "1 arcmin", "0.2 deg"])
def test_the_bar_s_own_length_is_round_and_fits(scale: str) -> None:
    axes = axes_of(Grid.around("10 10", scale=scale, shape=(200, 300)))
    x0, x1 = scale_bar(axes)
    assert 300 / 4 / 2.6 < x1 - x0 <= 300 / 4 * 1.001
    number = texts(axes)[0].rstrip("°′″")
    assert f"{float(number):.0e}"[0] in "12356" and float(f"{float(number):.0e}") == float(number)


def test_a_bar_that_does_not_fit_is_refused() -> None:
    axes = axes_of(Grid.around("10 10", scale="1 arcsec", shape=(200, 300)))
    with pytest.raises(InputError, match=r"a bar of 10′ does not fit: there are 4\.8′ of sky"):
        scale_bar(axes, "10 arcmin")


def test_lengths_to_choose_from_fall() -> None:
    from dmontage.view.directions import _ROUND

    lengths: list[Any] = [length for length, _ in _ROUND]
    assert all(a > b for a, b in pairwise(lengths)) and len(lengths) > 40
    assert lengths[0] == 60.0 and dict(_ROUND)[30 / 3600] == "30″"
