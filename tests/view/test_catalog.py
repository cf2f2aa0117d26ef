"""Catalogues: columns found in every format, places against astropy's, sizes against the definition of magnitudes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, QTable, Table
from astropy.utils import minversion
from astropy.utils.masked import Masked
from astropy.visualization.wcsaxes import WCSAxes
from astropy.wcs import WCS
from matplotlib import colormaps
from matplotlib.collections import PathCollection

from dmontage.errors import InputError
from dmontage.grid import Grid
from dmontage.view.catalog import SCALES, catalog, symbol_sizes
from dmontage.view.figure import empty_figure, render
from dmontage.view.signs import SYMBOLS, label, marker

GRID = Grid.around("0 1", scale="10 arcsec", shape=(200, 300))
PLACES = SkyCoord([359.9, 0.1, 0.05, 90.0, 180.0, 0.0] * u.deg, [1.05, 0.9, 1.1, 1.0, -1.0, 1.0] * u.deg)
SEEN = [0, 1, 2, 5]


def axes_of(grid: Grid = GRID) -> WCSAxes:
    return empty_figure(grid, grid.shape[1])[1]


def drawn_at(drawn: PathCollection) -> Any:
    """Pixels (n, 2) of the symbols, sorted."""
    return np.array(sorted(np.asarray(drawn.get_offsets()).tolist()))


def true_pixels() -> Any:
    return np.array(sorted(np.stack(WCS(GRID.to_header()).world_to_pixel(PLACES[SEEN]), axis=-1).tolist()))


def stars() -> Table:
    return Table({"id": np.arange(6), "ra": PLACES.ra, "dec": PLACES.dec, "mag": [10.0, 12.0, 11.0, 5.0, 4.0, 15.0]})


@pytest.mark.parametrize(("name", "kind"), [
    ("a.tbl", "ascii.ipac"), ("a.xml", "votable"), ("a.ecsv", "ascii.ecsv"), ("a.fits", "fits"), ("a.csv", "ascii.csv"),
])  # fmt: skip
def test_tables_of_every_format_are_read(tmp_path: Path, name: str, kind: str) -> None:
    stars().write(tmp_path / name, format=kind)
    drawn = catalog(axes_of(), tmp_path / name, size_by="mag")
    np.testing.assert_allclose(drawn_at(drawn), true_pixels(), atol=1e-6)


@pytest.mark.parametrize("names", [("RAJ2000", "DEJ2000"), ("ALPHA_J2000", "DELTA_J2000"), ("_RA.icrs", "_DE.icrs")])
def test_columns_are_found_by_their_usual_names(names: tuple[str, str]) -> None:
    table = Table([PLACES.ra.deg, PLACES.dec.deg], names=names)
    np.testing.assert_allclose(drawn_at(catalog(axes_of(), table)), true_pixels(), atol=1e-6)


def test_columns_are_found_by_their_ucds_before_their_names(tmp_path: Path) -> None:
    table = Table({"ra": np.zeros(6), "dec": np.zeros(6), "p1": PLACES.ra, "p2": PLACES.dec})
    table["p1"].meta["ucd"], table["p2"].meta["ucd"] = "pos.eq.ra;meta.main", "pos.eq.dec;meta.main"
    table.write(tmp_path / "a.vot", format="votable")
    np.testing.assert_allclose(drawn_at(catalog(axes_of(), tmp_path / "a.vot")), true_pixels(), atol=1e-6)


@pytest.mark.parametrize("kind", ["sky", "galactic", "hours", "text", "radians", "named"])
def test_places_are_astropy_s(kind: str) -> None:
    options: dict[str, Any] = {}
    if kind == "sky":
        table = Table({"where": PLACES.galactic})
    elif kind == "galactic":
        table = Table({"glon": PLACES.galactic.l, "glat": PLACES.galactic.b})
    elif kind == "hours":
        table = Table({"ra": PLACES.ra.hour * u.hourangle, "dec": PLACES.dec.arcmin * u.arcmin})
    elif kind == "radians":
        table = Table({"ra": PLACES.ra.to(u.rad), "dec": PLACES.dec.to(u.rad)})
    elif kind == "text":
        text = {"sep": ":", "precision": 8}
        table = Table({"ra": PLACES.ra.to_string(unit=u.hourangle, **text), "dec": PLACES.dec.to_string(**text)})
    else:
        there = PLACES.fk4
        table = Table({"a": there.ra.deg, "b": there.dec.deg, "ra": np.zeros(6), "dec": np.zeros(6)})
        options = {"lon": "a", "lat": "b", "frame": "fk4"}
    np.testing.assert_allclose(drawn_at(catalog(axes_of(), table, **options)), true_pixels(), atol=1e-4)


def test_rows_without_a_place_are_left_out() -> None:
    table = stars()
    table["ra"] = MaskedColumn(table["ra"], mask=[True, *[False] * 5])
    assert len(drawn_at(catalog(axes_of(), table))) == 3
    table["dec"][1] = np.nan
    assert len(drawn_at(catalog(axes_of(), table))) == 2
    table["dec"][1] = np.inf
    assert len(drawn_at(catalog(axes_of(), table))) == 2


@pytest.mark.skipif(not minversion("astropy", "7.0"), reason="astropy's SkyCoord has no masks before")
def test_places_of_the_sky_that_are_masked_are_left_out() -> None:
    ra = Masked(PLACES.ra, mask=[True, *[False] * 5])
    assert len(drawn_at(catalog(axes_of(), QTable({"where": SkyCoord(ra, PLACES.dec)})))) == 3


@pytest.mark.parametrize("kind", ["objects", "numbers", "degrees"])
def test_texts_are_read_by_what_they_say(tmp_path: Path, kind: str) -> None:
    """A VOTable's texts of any length are objects; decimals are degrees, and so is what has that unit."""
    style = {"sep": ":", "precision": 8}
    if kind == "numbers":
        ra, dec = ([f"{value:.9f}" for value in each.deg] for each in (PLACES.ra, PLACES.dec))
    else:
        unit = u.deg if kind == "degrees" else u.hourangle
        ra, dec = PLACES.ra.to_string(unit=unit, **style), PLACES.dec.to_string(**style)
    table = Table({"ra": ra, "dec": dec})
    if kind == "objects":
        table = Table({"ra": [*ra, None], "dec": [*dec, None]}, dtype=[object, object])
    if kind == "degrees":
        table["ra"].unit = u.deg
    np.testing.assert_allclose(drawn_at(catalog(axes_of(), table)), true_pixels(), atol=1e-4)


def test_no_columns_no_places() -> None:
    table = Table({"alpha1": [1.0], "flux": [2.0], "name": ["a"]})
    with pytest.raises(InputError, match="among alpha1, flux, name"):
        catalog(axes_of(), table)
    with pytest.raises(InputError, match="no column 'x'; there are alpha1, flux, name"):
        catalog(axes_of(), table, lon="x", lat="flux")
    with pytest.raises(InputError, match="only one column"):
        catalog(axes_of(), table, lon="alpha1")
    with pytest.raises(InputError, match="'name' holds no angles"):
        catalog(axes_of(), table, lon="name", lat="flux")
    with pytest.raises(InputError, match="there is no table"):
        catalog(axes_of(), "nowhere.tbl")
    table["flux"].unit = "Jy"
    with pytest.raises(InputError, match="Jy, which is no angle"):
        catalog(axes_of(), table, lon="alpha1", lat="flux")
    for option in ("size_by", "color_by", "label_by"):
        with pytest.raises(InputError, match=f"{option}: there is no column 'J'; there are id, ra, dec, mag"):
            catalog(axes_of(), stars(), **{option: "J"})  # type: ignore[arg-type]


# --- sizes and colours --------------------------------------------------------------------------------------------


def test_magnitudes_and_logarithms_of_fluxes_are_one() -> None:
    mags = np.array([5.0, 7.5, 10.0, np.nan, 20.0])
    by_mag, by_log = symbol_sizes(mags, "mag", (2.0, 8.0)), symbol_sizes(10 ** (-0.4 * mags), "log", (2.0, 8.0))
    np.testing.assert_allclose(by_mag, [8.0, 7.0, 6.0, np.nan, 2.0])
    np.testing.assert_allclose(by_log, by_mag)


@pytest.mark.parametrize("scale", SCALES)
def test_what_is_infinite_has_no_size(scale: str) -> None:
    """And takes none from the others."""
    values = np.array([2.0, np.inf, 4.0, -np.inf])
    np.testing.assert_allclose(symbol_sizes(values, scale, (2.0, 8.0))[::2], symbol_sizes(values[::2], scale, (2, 8)))
    assert np.isnan(symbol_sizes(values, scale, (2.0, 8.0))[1::2]).all()


def test_areas_go_with_flux() -> None:
    sizes = symbol_sizes(np.array([100.0, 25.0, 1.0, 0.0, -3.0]), "flux", (2.0, 10.0))
    np.testing.assert_allclose(sizes, [10.0, 5.0, 2.0, np.nan, np.nan])
    assert np.isnan(symbol_sizes(np.full(3, np.nan), "mag", (2.0, 10.0))).all()
    np.testing.assert_allclose(symbol_sizes(np.array([3.0, 3.0]), "mag", (2.0, 10.0)), 6.0)
    with pytest.raises(InputError, match="scale 'size' is not one of flux, mag, log"):
        catalog(axes_of(), stars(), size_by="mag", scale="size")
    with pytest.raises(InputError, match="two diameters"):
        symbol_sizes(np.ones(2), "mag", (5.0, 2.0))


def test_symbols_are_scaled_by_the_rows_in_the_picture() -> None:
    """The brightest of them has the largest; the brighter ones elsewhere do not count. It lies below."""
    drawn = catalog(axes_of(), stars(), size_by="mag", sizes=(4.0, 14.0))
    np.testing.assert_allclose(np.sqrt(drawn.get_sizes()), [14.0, 12.0, 10.0, 4.0])
    x, y = WCS(GRID.to_header()).world_to_pixel(PLACES[0])
    np.testing.assert_allclose(np.asarray(drawn.get_offsets())[0], (x, y), atol=1e-6)


@pytest.mark.parametrize("filled", [False, True])
def test_colours_are_those_of_the_column(filled: bool) -> None:
    table = stars()
    table["color"] = [1.0, 3.0, 2.0, 99.0, -99.0, np.nan]
    axes = axes_of()
    drawn = catalog(axes, table, color_by="color", filled=filled, cmap="viridis")
    figure: Any = axes.figure
    render(figure)
    order = [int(np.argmin(np.hypot(*(np.stack(WCS(GRID.to_header()).world_to_pixel(PLACES[SEEN])).T - at).T)))
             for at in np.asarray(drawn.get_offsets())]  # fmt: skip
    expected = np.array([colormaps["viridis"](v) for v in (0.0, 1.0, 0.5)] + [(0.6, 0.6, 0.6, 1.0)])
    np.testing.assert_allclose(np.asarray(drawn.get_edgecolor()), expected[order], atol=0.01)
    faces = np.asarray(drawn.get_facecolor())
    assert len(faces) == 0 or filled or (faces[:, 3] == 0).all()
    if filled:
        np.testing.assert_allclose(faces, expected[order], atol=0.01)


def test_labels_are_what_the_column_says() -> None:
    """Dollars are no mathematics, and a masked name is no text."""
    table, axes = stars(), axes_of()
    table["name"] = MaskedColumn(["$a$ $b_$", "b", "c", "d", "e", "f"], mask=[False, True, *[False] * 4])
    catalog(axes, table, label_by="name")
    assert sorted(text.get_text() for text in axes.texts) == ["$a$ $b_$", "c", "f"]
    figure: Any = axes.figure
    render(figure)


def test_labels_and_markers_stand_at_their_places() -> None:
    axes = axes_of()
    catalog(axes, stars(), label_by="id", symbol="square")
    assert sorted(text.get_text() for text in axes.texts) == ["0", "1", "2", "5"]
    assert marker(axes, 0.1, 0.9, text="here", symbol="star") and label(axes, 0.1 * u.deg, 0.9 * u.deg, "there")
    assert not marker(axes, 180.0, 0.0, text="far") and not label(axes, 0.0, 40.0, "far")
    x, y = WCS(GRID.to_header()).world_to_pixel(PLACES[1])
    assert [text.get_text() for text in axes.texts[4:]] == ["here", "there"]
    assert all(text.xy == pytest.approx((float(x), float(y)), abs=1e-6) for text in axes.texts[4:])
    with pytest.raises(InputError, match="symbol 'blob' is not one of circle"):
        marker(axes, 0.1, 0.9, symbol="blob")


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_symbols_have_their_size_and_middle(symbol: str) -> None:
    """Across 24 points: at 72 to the inch as many pixels."""
    drawn, axes = empty_figure(GRID, 300, bare=True, dpi=72)
    marker(axes, 0.0, 1.0, symbol=symbol, size=24.0, color="black")
    y, x = np.nonzero(render(drawn)[::-1, :, 3] > 100)
    at = WCS(GRID.to_header()).world_to_pixel(PLACES[5])
    middle = 0.5 * (x.min() + x.max()), 0.5 * (y.min() + y.max())
    assert middle == pytest.approx((float(at[0]), float(at[1])), abs=2.0)
    assert (9 if symbol == "dot" else 19) < np.ptp(x) < 37  # a diamond stands on its corner


@pytest.mark.parametrize(
    ("color", "edge"), [("white", 0), ("yellow", 0), ("black", 255), ("0.4", 255), ("tab:blue", 255)]
)
def test_text_has_an_edge_that_it_differs_from(color: str, edge: int) -> None:
    drawn, axes = empty_figure(GRID, 300, bare=True)
    label(axes, 0.0, 1.0, "sky", color=color, fontsize=20)
    out = render(drawn)
    half = out[(out[..., 3] > 120) & (out[..., 3] < 170), :3]  # the edge alone: its opacity is 0.6
    assert len(half) > 20 and (np.abs(half.astype(int) - edge).max(axis=1) < 40).mean() > 0.7
