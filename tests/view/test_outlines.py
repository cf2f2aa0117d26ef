"""Outlines and traces: against circles, and against the edges that astropy's WCS finds, at seams and poles too."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from numpy.typing import NDArray

from dmontage.errors import InputError
from dmontage.grid import Grid
from dmontage.view.figure import empty_figure, render
from dmontage.view.outlines import coverage, outline, outlines
from dmontage.view.trace import traced

Floats = NDArray[np.float64]
SHOWN = (-0.5, 99.5, -0.5, 99.5)

ONTO = {
    "CAR": Grid.around("0 0", scale="0.9 deg", shape=(200, 400), projection="CAR"),
    "AIT": Grid.around("0 0", scale="0.9 deg", shape=(200, 400), projection="AIT", frame="galactic"),
    "HPX": Grid.around("0 0", scale="0.6 deg", shape=(400, 600), projection="HPX", frame="galactic"),
    "pole": Grid.around("0 89.8", scale="1 arcmin", shape=(300, 300)),
    "RA=0": Grid.around("0 2", scale="1 arcmin", shape=(300, 300)),
}
IMAGES = {
    "wide": Grid.around("0 0", size=("60 deg", "30 deg"), scale="0.5 deg"),
    "across the seam": Grid.around("175 -5", size=("60 deg", "30 deg"), scale="0.5 deg"),
    "about the pole": Grid.around("30 75", size=("60 deg", "40 deg"), scale="0.5 deg"),
    "turned": Grid.around("359.9 2", size="2 deg", scale="1 arcmin", rotation="30 deg"),
    "small, about the pole": Grid.around("200 89.9", size=("1 deg", "2 deg"), scale="1 arcmin"),
}


def test_a_circle_is_smooth_to_the_tolerance() -> None:
    def way(t: Floats) -> tuple[Floats, Floats]:
        return 50 + 40 * np.cos(t), 50 + 40 * np.sin(t)

    (line,) = traced(way, np.linspace(0, 2 * np.pi, 9), 0.1, SHOWN)
    middles = 0.5 * (line[1:] + line[:-1]) - 50
    assert abs(np.hypot(*middles.T) - 40).max() < 0.1 and len(line) < 100


@pytest.mark.parametrize("at", [0.3, 0.5, 1 / 3])
def test_a_jump_is_cut_and_met_from_both_sides(at: float) -> None:
    def way(t: Floats) -> tuple[Floats, Floats]:
        return np.where(t < at, 10 + 20 * t, 90 - 20 * t), 30 + 10 * t

    low, high = traced(way, np.linspace(0, 1, 5), 0.1, SHOWN)
    assert low[-1] == pytest.approx((10 + 20 * at, 30 + 10 * at), abs=0.01)
    assert high[0] == pytest.approx((90 - 20 * at, 30 + 10 * at), abs=0.01)


def test_a_line_goes_up_to_the_limb() -> None:
    def way(t: Floats) -> tuple[Floats, Floats]:
        return np.where((t > 0.3) & (t < 0.7), 100 * t, np.nan), np.full(t.shape, 50.0)

    (line,) = traced(way, np.linspace(0, 1, 9), 0.1, SHOWN)
    assert (line[0, 0], line[-1, 0]) == pytest.approx((30.0, 70.0), abs=0.05)
    assert traced(lambda t: (np.nan * t, t), np.linspace(0, 1, 9), 0.1, SHOWN) == []


def test_what_is_beside_the_picture_is_left_coarse() -> None:
    def way(t: Floats) -> tuple[Floats, Floats]:
        return 1e6 + 1e5 * np.cos(9 * t), 50 + 40 * np.sin(t)

    (line,) = traced(way, np.linspace(0, 6, 9), 0.1, SHOWN)
    assert len(line) == 9


def border_distance(image: Grid, onto: Grid, x: Floats, y: Floats) -> Floats:
    """How far pixels of a picture lie from an image's edge, in parts of the picture's pixel, by astropy."""
    places: SkyCoord = WCS(onto.to_header()).pixel_to_world(x, y)
    px, py = WCS(image.to_header()).world_to_pixel(places)
    ny, nx = image.shape
    across = np.maximum(np.abs(px - (nx - 1) / 2) - nx / 2, np.abs(py - (ny - 1) / 2) - ny / 2)
    return np.asarray(np.abs(across) * image.scale / onto.scale)


def true_edge(image: Grid, onto: Grid) -> Floats:
    """Many points (n, 2) of an image's edge that lie in the picture, by astropy."""
    ny, nx = image.shape
    t = np.linspace(0.0, 1.0, 4001)
    x = np.concatenate([t * nx, 0 * t + nx, t * nx, 0 * t]) - 0.5
    y = np.concatenate([0 * t, t * ny, 0 * t + ny, t * ny]) - 0.5
    places: SkyCoord = WCS(image.to_header()).pixel_to_world(x, y)
    points = np.stack(WCS(onto.to_header()).world_to_pixel(places), axis=-1)
    inside = (points > -0.5).all(axis=1) & (points < np.array(onto.shape[::-1]) - 0.5).all(axis=1)
    return np.asarray(points[inside])


def to_polylines(points: Floats, pieces: list[Floats]) -> Floats:
    """Distances of points from the nearest segment of polylines."""
    best = np.full(len(points), np.inf)
    for piece in pieces:
        for a, b in pairwise(piece):
            step = b - a
            t = np.clip((points - a) @ step / max(step @ step, 1e-30), 0, 1)
            best = np.minimum(best, np.hypot(*(points - a - t[:, None] * step).T))
    return best


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("where", ONTO)
def test_an_outline_is_the_true_edge(where: str, name: str) -> None:
    """Every point of it, and of the chords between, lies on the edge; and all of the edge is there."""
    onto, image = ONTO[where], IMAGES[name]
    _, axes = empty_figure(onto, onto.shape[1], bare=True)
    drawn = outline(image, axes)
    limits = np.array(onto.shape[::-1]) - 0.5
    edge = true_edge(image, onto)
    if not edge.size:
        assert not any(((p > -0.5) & (p < limits)).all(axis=1).any() for p in drawn.pieces)
        return
    for piece in drawn.pieces:
        along = np.linspace(0.0, 1.0, 5)[:, None, None]
        points = (piece[:-1] + along * (piece[1:] - piece[:-1])).reshape(-1, 2)
        points = points[((points > 0) & (points < limits - 0.5)).all(axis=1)]
        # At a pole of CAR a pixel of the picture is a thousandth of itself wide: there the edge's own pixels decide.
        off = border_distance(image, onto, points[:, 0], points[:, 1])
        assert np.nanmax(off, initial=0.0) < 0.6
    assert to_polylines(edge[::7], drawn.pieces).max() < 0.6


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("where", ONTO)
def test_a_filled_outline_covers_the_image(where: str, name: str) -> None:
    onto, image = ONTO[where], IMAGES[name]
    drawn, axes = empty_figure(onto, onto.shape[1], bare=True)
    seen = outlines(axes, [image], color="black", fill=1.0, linewidth=0.1)
    covered = render(drawn)[::-1, :, 3] > 127
    y, x = np.mgrid[: onto.shape[0], : onto.shape[1]].astype(float)
    places: SkyCoord = WCS(onto.to_header()).pixel_to_world(x, y)
    px, py = WCS(image.to_header()).world_to_pixel(places)
    ny, nx = image.shape
    true = (np.abs(px - (nx - 1) / 2) < nx / 2) & (np.abs(py - (ny - 1) / 2) < ny / 2)
    assert seen == int(true.any())
    wrong = covered != true
    near = np.zeros(true.shape, bool)  # a pixel that the edge cuts may be either
    for shift in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        near |= np.roll(true, shift, (0, 1)) != true
    assert not (wrong & ~near).any()


def test_what_is_off_the_projection_is_left_out() -> None:
    onto = Grid.around("0 0", scale="30 arcmin", shape=(100, 100))
    far = [Grid.around("180 0", size="5 deg", scale="0.1 deg"), Grid.around("80 0", size="5 deg", scale="0.1 deg")]
    drawn, axes = empty_figure(onto, 100, bare=True)
    assert outlines(axes, [*far, Grid.around("3 3", size="5 deg", scale="0.1 deg")], color="black") == 1
    ink = render(drawn)[::-1, :, 3] > 0
    x, y = WCS(onto.to_header()).world_to_pixel(SkyCoord(3 * u.deg, 3 * u.deg))
    rows, columns = np.nonzero(ink)
    assert ink.any() and np.hypot(rows - y, columns - x).max() < 9


def test_coverage_adds_up_where_images_overlap() -> None:
    onto = Grid.around("10 10", scale="1 arcmin", shape=(120, 200))
    images = [Grid.around(f"{lon} 10", scale="1 arcmin", shape=(60, 80)) for lon in (10.5, 10.0, 9.5)]
    drawn = coverage(images, onto, width=400)
    out = render(drawn)[::-1, :, :3].astype(int)
    box = drawn.axes[0].bbox
    wcs = WCS(onto.to_header())

    def shade(lon: float, lat: float) -> int:
        x, y = wcs.world_to_pixel(SkyCoord(lon * u.deg, lat * u.deg))
        return int(out[round(box.y0 + (float(y) + 0.5) * 2), round(box.x0 + (float(x) + 0.5) * 2), 0])

    none, one, two, three = shade(8.55, 10.83), shade(10.87, 10.11), shade(10.4, 10.11), shade(10.07, 10.11)
    assert none == 255 > one > two > three
    with pytest.raises(InputError, match="no images to show"):
        coverage([], onto)
    with pytest.raises(InputError, match=r"'a\.fits' is no image"):
        coverage(["a.fits"], onto)


def test_names_that_would_cover_another_are_left_out() -> None:
    class Named(NamedTuple):
        name: str
        grid: Grid

    onto = Grid.around("10 10", scale="1 arcmin", shape=(200, 200))
    places = {"a.fits": "10 10", "b.fits": "10.01 10", "c.fits": "10 11", "far.fits": "50 10"}
    images = [Named(name, Grid.around(place, scale="1 arcmin", shape=(30, 30))) for name, place in places.items()]
    _, axes = empty_figure(onto, 400)
    outlines(axes, images, names=True)
    assert [text.get_text() for text in axes.texts] == ["a.fits", "c.fits"]
    wcs = WCS(onto.to_header())
    x, y = wcs.world_to_pixel(SkyCoord(10 * u.deg, 11 * u.deg))
    assert axes.texts[1].get_position() == pytest.approx((float(x), float(y)), abs=0.01)
