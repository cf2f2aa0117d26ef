"""The grid as WCSAxes sees it, against astropy's own WCS of the same header."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import FK4, FK5, Galactic, SkyCoord
from astropy.wcs import WCS
from astropy.wcs.wcsapi import HighLevelWCSWrapper

from dmontage.errors import InputError
from dmontage.grid import Grid
from dmontage.view.grid_wcs import GridWCS, axis_names, sky_frame


@pytest.mark.parametrize(
    ("projection", "frame"), [("TAN", "icrs"), ("SIN", "galactic"), ("CAR", "fk5"), ("AIT", "fk4")]
)
def test_it_is_the_wcs_of_the_header(projection: str, frame: str) -> None:
    grid = Grid.around("40 12", scale="0.1 deg", shape=(61, 81), projection=projection, frame=frame)
    here, true = HighLevelWCSWrapper(GridWCS(grid)), WCS(grid.to_header())
    x, y = np.array([0.0, 13.7, 80.0]), np.array([60.0, 20.2, 0.0])
    places, expected = here.pixel_to_world(x, y), true.pixel_to_world(x, y)
    assert places.frame.is_equivalent_frame(expected.frame)
    assert places.separation(expected).max() < 1e-9 * u.deg
    np.testing.assert_allclose(here.world_to_pixel(expected), (x, y), atol=1e-8)


def test_the_order_of_the_cards_does_not_matter() -> None:
    header = Grid.around("40 12", scale="0.1 deg", shape=(61, 81)).to_header()
    for key in ("CTYPE", "CRVAL", "CDELT"):
        header[f"{key}1"], header[f"{key}2"] = header[f"{key}2"], header[f"{key}1"]
    lon, lat = GridWCS(Grid.from_header(header)).pixel_to_world_values(10.0, 20.0)
    expected = WCS(header).pixel_to_world(10.0, 20.0)
    assert (lon, lat) == pytest.approx((expected.ra.deg, expected.dec.deg), abs=1e-9)


def test_what_is_off_the_sky_is_not_a_number() -> None:
    wcs = GridWCS(Grid.around("0 0", scale="1 deg", shape=(180, 360), projection="AIT", frame="galactic"))
    assert np.isnan(wcs.pixel_to_world_values(0.0, 0.0)).all()
    behind = GridWCS(Grid.around("0 0", scale="1 deg", shape=(50, 50)))
    x, y = behind.world_to_pixel_values([0.0, 180.0, np.nan], [0.0, 0.0, 1.0])
    assert np.isfinite(x).tolist() == np.isfinite(y).tolist() == [True, False, False]


def test_axes_are_named_after_the_frame() -> None:
    assert axis_names(FK5(equinox="J1975")).lon == "RA (J1975)"
    assert axis_names(FK4()).lat == "Dec (B1950)"
    assert axis_names(Galactic()).lon == "galactic l" and not axis_names(Galactic()).hours


def test_frames_are_named_as_grids_name_them() -> None:
    place = SkyCoord(10 * u.deg, 20 * u.deg)
    assert sky_frame("ecliptic").name == place.barycentricmeanecliptic.name
    assert sky_frame(place.galactic.frame).is_equivalent_frame(Galactic())
    with pytest.raises(InputError, match=r"'sky' is not one of icrs"):
        sky_frame("sky")
    with pytest.raises(InputError, match="5 is no frame"):
        sky_frame(5)
