"""Grid: text that keeps every digit, places that stay, and grids that fit."""

from __future__ import annotations

import math
import pickle
import socket
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import ICRS, SkyCoord
from astropy.io.fits import Header
from astropy.wcs import WCS
from catalogues import atlas
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dmontage.errors import InputError
from dmontage.grid import Grid
from dmontage.grid.recipes import _PROJECTIONS
from dmontage.headers import parse_header
from dmontage.sphere import lonlat, rotate_frame, unit_vectors
from dmontage.window import Window

Floats = NDArray[np.float64]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """C27: whatever a grid does, it does without a network."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a grid asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def make(projection: str = "TAN", lon: float = 83.8, lat: float = -5.4, **changes: Any) -> Grid:
    cards = {
        "NAXIS": 2,
        "NAXIS1": 100,
        "NAXIS2": 80,
        "CTYPE1": f"RA---{projection}",
        "CTYPE2": f"DEC--{projection}",
        "CRVAL1": lon,
        "CRVAL2": lat,
        "CRPIX1": 50.5,
        "CRPIX2": 40.5,
        "CDELT1": -1 / 3600,
        "CDELT2": 1 / 3600,
    } | changes
    return Grid.from_header(Header(list(cards.items())))


def separation(a: Floats, b: Floats) -> Floats:
    """Angles between unit vectors, radians; exact for small ones."""
    return np.asarray(2 * np.arcsin(0.5 * np.linalg.norm(a - b, axis=-1)))


# -- where grids come from ---------------------------------------------------------------------------------------------


def test_the_same_grid_from_header_template_and_wcs(tmp_path: Path) -> None:
    grid = make(CRVAL1=83.0 + 1 / 3, CDELT1=-1 / 3601, CRPIX2=1e-3 / 7)
    path = tmp_path / "region.hdr"
    path.write_text(grid.to_template())
    assert Grid.from_header(path) == Grid.from_header(str(path)) == grid
    assert Grid.from_header(grid.to_header()) == grid
    assert Grid.from_header(grid.to_header(naxis=False), grid.shape) == grid
    wcs = grid.wcs()
    assert wcs.array_shape == grid.shape
    again = Grid.from_header(wcs)
    x, y = np.array([0.0, 99.0]), np.array([0.0, 79.0])
    assert again.shape == grid.shape
    assert separation(again.sky(x, y), grid.sky(x, y)).max() < 1e-15


def test_a_wcs_without_a_shape_needs_one() -> None:
    wcs = WCS(make().to_header(naxis=False))
    with pytest.raises(InputError, match="shape"):
        Grid.from_header(wcs)
    assert Grid.from_header(wcs, (7, 9)).shape == (7, 9)


@given(
    st.tuples(st.floats(0, 360), st.floats(-90, 90), st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), st.floats(1e-7, 1e-4)
)
def test_every_digit_survives_the_template(place: tuple[float, float, float, float], step: float) -> None:
    cards = dict(zip(("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2"), place, strict=True))
    cards |= {"CDELT1": -step, "CDELT2": step / 3}
    text = make("ZEA", **cards).to_template()
    grid = Grid.from_header(parse_header(text))
    for key, value in cards.items():
        assert grid.to_header()[key].hex() == value.hex()
    wcs = grid.wcs().wcs
    assert (*wcs.crval, *wcs.crpix, *wcs.cdelt) == tuple(cards.values())
    assert grid.to_template() == text


def test_a_template_comes_back_as_the_same_value(tmp_path: Path) -> None:
    path = tmp_path / "t.hdr"
    for grid in (
        make("SIN", PV2_1=0.01, PV2_2=-0.02, LONPOLE=170.0 + 1 / 3),
        make("TAN-SIP", A_ORDER=2, B_ORDER=2, A_2_0=1e-6 / 3, B_1_1=-1e-6 / 7),
        make(CD1_1=-1e-4 / 3, CD1_2=1e-6 / 3, CD2_1=1e-6 / 7, CD2_2=1e-4 / 3, EQUINOX=1975, RADESYS="FK5"),
    ):
        path.write_text(grid.to_template())
        assert Grid.from_header(path) == grid
        assert Grid.from_header(path).header == grid.header


def test_a_value_that_hashes_and_pickles_small() -> None:
    a, b, c = make(), make(), make(CRVAL1=83.9)
    assert a == b
    assert len({a, b, c}) == 2
    assert pickle.loads(pickle.dumps(a)) == a
    assert len(pickle.dumps(a)) < 1000
    with pytest.raises(AttributeError):
        a.shape = (1, 1)  # type: ignore[misc]


# -- sky and pixels ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("projection", ["TAN", "SIN", "ZEA", "STG", "ARC"])
def test_sky_agrees_with_astropy_and_comes_back(projection: str) -> None:
    grid = make(projection, lon=0.001, lat=-67.0, CROTA2=33.0)
    x, y = np.random.default_rng(1).uniform(-0.5, 99.5, (2, 50))
    world = grid.wcs().pixel_to_world(x, y)
    vectors = grid.sky(x, y)
    assert separation(vectors, np.moveaxis(world.cartesian.xyz.value, 0, -1)).max() < 1e-15
    back = grid.pixel(vectors)
    np.testing.assert_allclose(back, [x, y], rtol=0, atol=1e-8)


def test_latitude_may_come_first() -> None:
    grid = make()
    header = grid.to_header()
    for key in ("CTYPE", "CRVAL", "CDELT", "CRPIX"):
        header[f"{key}1"], header[f"{key}2"] = header[f"{key}2"], header[f"{key}1"]
    header["NAXIS1"], header["NAXIS2"] = 80, 100
    swapped = Grid.from_header(header)
    x, y = np.array([3.0, 70.0]), np.array([60.0, 11.0])
    assert separation(swapped.sky(y, x), grid.sky(x, y)).max() < 1e-15
    np.testing.assert_allclose(swapped.pixel(grid.sky(x, y)), [y, x], atol=1e-8)


def test_scale_is_the_pixels_side_in_radians() -> None:
    assert make().scale == pytest.approx(math.radians(1 / 3600), rel=1e-6)
    assert make(CDELT1=-2 / 3600).scale == pytest.approx(math.radians(math.sqrt(2) / 3600), rel=1e-6)
    assert make(
        CUNIT1="arcsec", CUNIT2="arcsec", CDELT1=-1.0, CDELT2=1.0, CRVAL1=0.0, CRVAL2=0.0
    ).scale == pytest.approx(math.radians(1 / 3600), rel=1e-6)


@pytest.mark.parametrize(
    "grid",
    [
        make(CRPIX1=0.1, CRPIX2=12345.7),
        make("CAR", lat=0.0, CRPIX2=20000.3, CROTA2=12.0),
        make("TAN-SIP", A_ORDER=2, B_ORDER=2, A_2_0=1e-5, B_1_1=-1e-5),
        make(CRPIX1=0.0).subgrid(Window(0, 80, 0, 100)),
    ],
    ids=["TAN", "CAR", "SIP", "zero"],
)
def test_a_subgrid_keeps_its_pixels_where_they_are(grid: Grid) -> None:
    window = Window(11, 40, 7, 90)
    part = grid.subgrid(window)
    assert part.shape == window.shape
    y, x = np.mgrid[0:29:7, 0:83:9].astype(float)
    apart = separation(part.sky(x, y), grid.sky(x + 7, y + 11)) / grid.scale
    assert apart.max() < 1e-8
    assert part.shift_from(grid) == (-11, -7)
    assert grid.shift_from(part) == (11, 7)
    assert part.subgrid(Window(-11, 69, -7, 93)).shift_from(grid) == (0, 0)


@given(st.floats(-4000, 4000), st.floats(-4000, 4000), st.integers(-5000, 5000), st.integers(-5000, 5000))
def test_a_subgrid_is_a_whole_shift_whatever_crpix(crpix1: float, crpix2: float, y0: int, x0: int) -> None:
    header = "\n".join(
        [
            *make().header.splitlines()[:4],
            f"CRPIX1  = {crpix1!r}".upper(),
            f"CRPIX2  = {crpix2!r}".upper(),
            *make().header.splitlines()[6:],
        ]
    )
    grid = Grid(header, (10, 10))
    assert grid.subgrid(Window(y0, y0 + 3, x0, x0 + 3)).shift_from(grid) == (-y0, -x0)


def test_shift_from_tells_other_grids_apart() -> None:
    grid = make()
    assert grid.shift_from(grid) == (0, 0)
    assert make(CRPIX1=53.5, CRPIX2=30.5).shift_from(grid) == (-10, 3)
    for other in (make(CRPIX1=50.6), make(CRPIX1=50.5 + 1e-9), make(CRVAL1=83.9), make("SIN"), make(RADESYS="FK5")):
        assert other.shift_from(grid) is None


def test_corners_and_points() -> None:
    grid = make()
    corners = grid.corners(Window(3, 5, 10, 13))
    assert corners.shape == (3, 4, 3)
    assert separation(corners[2, 3], grid.sky(np.array(12.5), np.array(4.5))) < 1e-15
    finer = grid.corners(Window(3, 5, 10, 13), sub=3)
    assert finer.shape == (7, 10, 3)
    assert separation(finer[::3, ::3], corners).max() < 1e-15
    x, y = grid.pixel(grid.points_in(grid.frame))
    on_edge = np.isclose(x, -0.5) | np.isclose(x, 99.5) | np.isclose(y, -0.5) | np.isclose(y, 79.5)
    assert on_edge.sum() > 4 * 100
    assert (x.min(), x.max(), y.min(), y.max()) == pytest.approx((-0.5, 99.5, -0.5, 79.5), abs=1e-8)


# -- solid angles ------------------------------------------------------------------------------------------------------


def test_solid_angles_of_the_whole_sky_are_4_pi() -> None:
    grid = make("CAR", 0.0, 0.0, NAXIS1=72, NAXIS2=36, CDELT1=-5.0, CDELT2=5.0, CRPIX1=36.5, CRPIX2=18.5)
    omega = grid.solid_angle(grid.window)
    assert omega.shape == (36, 72)
    assert math.fsum(omega.ravel()) == pytest.approx(4 * math.pi, rel=1e-12)


def test_solid_angles_of_a_gnomonic_square() -> None:
    # The rectangle |ξ| ≤ a, |η| ≤ b of the tangent plane subtends 4 asin(a b / √((1 + a²)(1 + b²))).
    grid = make(CDELT1=-0.1, CDELT2=0.1)
    a, b = (math.radians(0.1 * n / 2) for n in (100, 80))
    want = 4 * math.asin(a * b / math.sqrt((1 + a * a) * (1 + b * b)))
    assert math.fsum(grid.solid_angle(grid.window).ravel()) == pytest.approx(want, rel=1e-12)
    small = make(CDELT1=-1e-7, CDELT2=1e-7)
    a, b = (math.radians(1e-7 * n / 2) for n in (100, 80))
    want = 4 * math.asin(a * b / math.sqrt((1 + a * a) * (1 + b * b)))
    assert math.fsum(small.solid_angle(small.window).ravel()) == pytest.approx(want, rel=1e-6)


def test_solid_angles_are_nan_off_the_sky() -> None:
    grid = make("SIN", CDELT1=-2.0, CDELT2=2.0)
    omega = grid.solid_angle(grid.window)
    assert np.isnan(omega[0, 0])
    assert np.isfinite(omega[40, 50])


# -- around ------------------------------------------------------------------------------------------------------------

ORION = SkyCoord(83.82208333, -5.39111111, unit="deg")


ANY_FRAME = [ORION, ORION.galactic, ORION.transform_to("fk5"), "05h35m17.3s -5d23m28s", "05:35:17.3 -05:23:28"]
DEGREES = ["83.82208333 -5.39111111", "83.82208333, -5.39111111", "83d49m19.5s -5d23m28s"]


@pytest.mark.filterwarnings("ignore:transforming other coordinates from <ICRS")
@pytest.mark.parametrize(
    ("center", "frame"),
    [(c, "icrs") for c in DEGREES] + [(c, f) for c in ANY_FRAME for f in ("icrs", "fk5", "galactic", "fk4")],
)
def test_around_finds_its_centre(center: Any, frame: str) -> None:
    grid = Grid.around(center, ("10 arcmin", "6 arcmin"), "2 arcsec", frame=frame)
    assert grid.shape == (180, 300)
    middle = grid.wcs().pixel_to_world(149.5, 89.5)
    assert middle.separation(ORION).arcsec < (0.1 if frame != "fk4" else 0.2)
    assert grid.frame.name == frame


def test_around_in_degrees_means_the_grids_own_frame() -> None:
    for center in ("120.5 -5.25", "120d30m -5d15m"):
        place = Grid.around(center, "1 deg", frame="galactic").wcs().pixel_to_world(1799.5, 1799.5)
        assert (place.l.deg, place.b.deg) == pytest.approx((120.5, -5.25), abs=1e-9)


@pytest.mark.parametrize(
    "projection",
    sorted(_PROJECTIONS - {"SZP", "AZP", "XPH"}),
)
@pytest.mark.parametrize("rotation", ["0 deg", "30 deg"])
def test_around_in_every_projection_puts_the_centre_in_the_middle(projection: str, rotation: str) -> None:
    grid = Grid.around("40.0 25.0", scale="10 arcsec", projection=projection, rotation=rotation, shape=(81, 121))
    (vector,) = grid.sky(np.array([60.0]), np.array([40.0]))
    truth = unit_vectors(np.radians(40.0), np.radians(25.0))
    assert separation(vector, truth) / grid.scale < 1e-6


@pytest.mark.parametrize("rotation", [0.0, 17.0, -90.0, 200.0])
def test_rotation_is_crota2_as_wcslib_reads_it(rotation: float) -> None:
    grid = Grid.around("83.8 -5.4", scale="1 arcsec", rotation=f"{rotation} deg", shape=(80, 100))
    truth = make(CROTA2=rotation)
    x, y = np.random.default_rng(2).uniform(0, 80, (2, 20))
    assert (separation(grid.sky(x, y), truth.sky(x, y)) / grid.scale).max() < 1e-8


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"center": "M42"}, "M42"),
        ({"center": "83.8"}, "83.8"),
        ({"center": "5 95"}, "5 95"),
        ({"center": 5}, "centre 5"),
        ({"center": SkyCoord([1, 2], [3, 4], unit="deg")}, "one place"),
        ({"center": SkyCoord(math.nan, 4, unit="deg")}, "not finite"),
        ({"center": "5 5", "size": None}, "size"),
        ({"center": "5 5", "size": "5"}, "size '5'"),
        ({"center": "5 5", "scale": "0 deg"}, "scale '0 deg'"),
        ({"center": "5 5", "projection": "XYZ"}, "XYZ"),
        ({"center": "5 5", "projection": "COE"}, "PV parameters"),
        ({"center": "5 5", "frame": "mars"}, "mars"),
        ({"center": "5 5", "size": "100 deg", "scale": "1e-6 arcsec"}, "NAXIS"),
        ({"center": "5 5", "shape": (0, 5)}, "NAXIS2 = 0"),
        ({"center": "5 5", "shape": 5}, "shape 5"),
        ({"center": "5 5", "shape": (5,)}, "shape (5,)"),
        ({"center": "5 5", "size": ("1 deg", "1 deg", "1 deg")}, "(width, height)"),
    ],
)
def test_around_names_what_it_cannot_use(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError) as caught:
        Grid.around(**({"size": "1 arcmin"} | arguments))
    assert named in str(caught.value)


# -- fit ---------------------------------------------------------------------------------------------------------------


def assert_holds(grid: Grid, images: list[Grid], spare: float = 1.0) -> None:
    """Every image's outline lies inside the grid, and on all sides one comes within ``spare`` pixels of the edge."""
    x, y = grid.pixel(np.concatenate([image.points_in(grid.frame) for image in images]))
    ny, nx = grid.shape
    assert np.isfinite(x).all()
    assert min(x.min(), y.min()) > -0.5 - 1e-4
    assert x.max() < nx - 0.5 + 1e-4
    assert y.max() < ny - 0.5 + 1e-4
    assert max(x.min(), y.min()) < -0.5 + spare
    assert x.max() > nx - 0.5 - spare
    assert y.max() > ny - 0.5 - spare


@pytest.mark.parametrize("projection", ["TAN", "SIN", "CAR", "AIT"])
@pytest.mark.parametrize("lon", [83.8, 0.0])
def test_fit_holds_its_images_and_no_more(projection: str, lon: float) -> None:
    images = [make(lon=(lon + d) % 360, lat=40.0 + d / 3, CROTA2=35 * d) for d in (-0.02, 0.0, 0.013, 0.03)]
    grid = Grid.fit(images, projection=projection)
    assert_holds(grid, images)
    if projection != "CAR":  # whose pixels are narrower there than at its equator
        assert grid.scale == pytest.approx(min(image.scale for image in images), rel=1e-3)
    assert grid.frame.name == "icrs"


@pytest.mark.parametrize(("projection", "dec"), [("TAN", -5.4), ("CAR", 40.0), ("AIT", 89.0), ("SIN", -85.0)])
def test_fit_of_many_images_is_that_of_all_their_points(
    projection: str, dec: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only images near the edge are looked at closely; round a pole, across a seam, and beside a wide one."""
    images = [image.grid for image in atlas(60, 179.9, dec)] + [make(lon=178.0, lat=dec, CDELT1=-0.1, CDELT2=0.1)]
    whole = Grid.fit(images, projection=projection)
    assert_holds(whole, images)
    monkeypatch.setattr("dmontage.grid.span._FEW", 0)
    monkeypatch.setattr("dmontage.grid.span._AT_ONCE", 7)
    looked_at: list[int] = []
    points_in = Grid.points_in

    def counted(self: Grid, frame: Any) -> Any:
        looked_at.append(1)
        return points_in(self, frame)

    monkeypatch.setattr(Grid, "points_in", counted)
    assert Grid.fit(images, projection=projection) == whole
    assert len(looked_at) < 3 * len(images)


def test_fit_of_many_images_that_are_all_wide_warns_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine points stand for none of them, so that all are looked at closely."""
    images = [make("CAR", lon=10.0 + d, lat=0.0, CDELT1=-0.2, CDELT2=0.2) for d in range(5)]
    whole = Grid.fit(images)
    monkeypatch.setattr("dmontage.grid.span._FEW", 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Grid.fit(images) == whole


def test_fit_of_wide_curved_images() -> None:
    images = [make("CAR", lon=50.0 + d, lat=0.0, CDELT1=-0.05, CDELT2=0.05, CRPIX2=-1100.0) for d in (0.0, 4.0)]
    assert_holds(Grid.fit(images), images)


def test_fit_has_north_up_and_keeps_the_images_frame() -> None:
    galactic = make(CTYPE1="GLON-TAN", CTYPE2="GLAT-TAN", CROTA2=20.0)
    grid = Grid.fit([galactic])
    assert grid.frame.name == "galactic"
    (a, b), y = grid.sky(np.full(2, grid.shape[1] / 2 - 0.5), np.array([10.0, 60.0])), np.array([0.0, 0.0, 1.0])
    lon, lat = lonlat(np.stack([a, b]))
    assert lat[1] > lat[0]
    assert abs(lon[1] - lon[0]) * 3600 < 1e-3
    assert y @ (b - a) > 0
    assert Grid.fit([galactic, make()]).frame.name == "icrs"
    assert Grid.fit([galactic], frame="fk5").frame.name == "fk5"
    assert Grid.fit([galactic], scale="3 arcsec").scale == pytest.approx((3 * u.arcsec).to_value(u.rad), rel=1e-6)


@pytest.mark.parametrize("frame", ["icrs", "galactic"])
@pytest.mark.parametrize("south", [False, True])
@pytest.mark.parametrize(("x", "y"), [(60, 30), (0, 0), (99, 79), (-1, 40), (100, 40), (50, 81), (50, -300), (5000, 0)])
def test_the_points_of_a_grid_hold_the_poles_that_lie_on_it(frame: str, south: bool, x: int, y: int) -> None:
    ny, nx = 80, 100
    pole = np.array([0.0, 0.0, -1.0 if south else 1.0])
    target = SkyCoord(0, 0, unit="deg", frame=frame).frame.replicate_without_data()
    lon, lat = lonlat(rotate_frame(pole, target, ICRS()))
    around = {"CRVAL1": float(lon), "CRVAL2": float(lat), "CRPIX1": x + 1.0, "CRPIX2": y + 1.0}
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -1e-3, "CDELT2": 1e-3, "CROTA2": 20.0}
    points = Grid.from_header(Header((cards | around).items()), (ny, nx)).points_in(target)
    near = np.linalg.norm(points - pole, axis=-1).min() < 1e-12
    assert near == (-0.5 <= x <= nx - 0.5 and -0.5 <= y <= ny - 0.5)


def test_fit_to_one_image_is_that_images_size() -> None:
    image = make()
    grid = Grid.fit([image])
    assert grid.shape == image.shape


@pytest.mark.parametrize("images", ["raw/", [Path("a.fits")], [Grid.around("5 5", "1 arcmin"), None]])
def test_fit_says_what_is_no_image(images: Any) -> None:
    with pytest.raises(InputError, match=r"dmontage\.scan gives, not to .*: scan it"):
        Grid.fit(images)


def test_a_window_around_names_a_size_that_is_none() -> None:
    grid = Grid.around("5 5", "1 arcmin")
    with pytest.raises(InputError, match=r"size \('1 arcsec',\) must be an angle"):
        grid.window_around("5 5", ("1 arcsec",))


def test_fit_says_what_it_cannot_hold() -> None:
    with pytest.raises(InputError, match="no images"):
        Grid.fit([])
    opposite = [make(lon=0.0, lat=0.0), make(lon=120.0, lat=0.0), make(lon=180.0, lat=0.0)]
    with pytest.raises(InputError, match="AIT"):
        Grid.fit(opposite)


# -- sphere ------------------------------------------------------------------------------------------------------------


def test_frames_agree_with_astropy() -> None:
    rng = np.random.default_rng(3)
    places = SkyCoord(rng.uniform(0, 360, 30), rng.uniform(-89.9, 89.9, 30), unit="deg")
    vectors = np.moveaxis(places.cartesian.xyz.value, 0, -1)
    for name in ("galactic", "fk5"):
        there = places.transform_to(name)
        turned = rotate_frame(vectors, places.frame, there.frame.replicate_without_data())
        assert separation(turned, np.moveaxis(there.cartesian.xyz.value, 0, -1)).max() < 1e-14
    vectors[3] = np.nan
    turned = rotate_frame(vectors, places.frame, SkyCoord(0, 0, unit="deg", frame="galactic").frame)
    assert np.isnan(turned[3]).all()
    assert np.isfinite(np.delete(turned, 3, axis=0)).all()


def test_lonlat_is_the_inverse_of_unit_vectors() -> None:
    lon, lat = np.meshgrid(np.linspace(0, 359, 30), np.linspace(-90, 90, 19)[1:-1])
    back_lon, back_lat = lonlat(unit_vectors(np.radians(lon), np.radians(lat)))
    np.testing.assert_allclose(back_lon, lon, atol=1e-12)
    np.testing.assert_allclose(back_lat, lat, atol=1e-13)
    assert lonlat(np.array([0.0, 0.0, -1.0]))[1] == -90.0
