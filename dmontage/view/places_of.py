"""Places of a catalogue's rows: which columns are coordinates, of what frame and unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from astropy import units as u

from dmontage.errors import InputError
from dmontage.sphere import rotate_frame, unit_vectors
from dmontage.view.grid_wcs import axis_names, sky_frame

if TYPE_CHECKING:
    from astropy.coordinates import BaseCoordinateFrame
    from astropy.table import Table
    from numpy.typing import NDArray

__all__ = ["check_column", "column", "places_of"]


class _Usual(NamedTuple):
    """Names that a pair of columns usually has, and what is meant by them."""

    frame: str
    ucd: tuple[str, str]
    lon: tuple[str, ...]
    lat: tuple[str, ...]


_RA = "ra ra_deg raj2000 _raj2000 ra_icrs _ra _ra.icrs alpha_j2000 alpha s_ra right_ascension crval1"
_DEC = "dec dec_deg dej2000 _dej2000 de_icrs _de _de.icrs delta_j2000 delta s_dec declination crval2 decj2000 decl de"
_USUAL = (
    _Usual("icrs", ("pos.eq.ra", "pos.eq.dec"), tuple(_RA.split()), tuple(_DEC.split())),
    _Usual(
        "galactic",
        ("pos.galactic.lon", "pos.galactic.lat"),
        ("glon", "_glon", "gal_lon", "l"),
        ("glat", "_glat", "gal_lat", "b"),
    ),
    _Usual(
        "ecliptic", ("pos.ecliptic.lon", "pos.ecliptic.lat"), ("elon", "_elon", "ecl_lon"), ("elat", "_elat", "ecl_lat")
    ),
)
"""In order of preference."""


def places_of(
    table: Table, lon: str | None, lat: str | None, frame: str | BaseCoordinateFrame | None, to: BaseCoordinateFrame
) -> NDArray[np.float64]:
    """Unit vectors (n, 3) of a table's rows in the frame ``to``; NaN where a row has no place.

    A column of SkyCoord is taken first, then the columns named, then those that are usually called so or whose UCD
    says so. Numbers without a unit are degrees, also where they are text; other text is sexagesimal, right ascension in
    hours unless the column's unit is degrees.

    Raises
    ------
    InputError
        If there are no such columns (all are listed), or what they hold are no angles.
    """
    from astropy.coordinates import SkyCoord

    if lon is None and lat is None:
        for name in table.colnames:
            if isinstance(table[name], SkyCoord):
                return _vectors_of(table[name], to)
    lon, lat, usual = _columns(table, lon, lat)
    found = sky_frame(frame or usual)
    hours = axis_names(found).hours
    angles = [_angles(table, name, hours=hours and k == 0) for k, name in enumerate((lon, lat))]
    return rotate_frame(unit_vectors(*angles), found, to)


def column(table: Table, name: str, asked_by: str) -> NDArray[np.float64]:
    """A column as numbers (n,), NaN where masked; InputError where there is none, or it holds no numbers."""
    check_column(table, name, asked_by)
    values = np.ma.asarray(table[name])
    if values.dtype.kind not in "biuf" or values.ndim != 1:
        raise InputError(f"{asked_by}: column {name!r} holds no numbers; give another of {', '.join(table.colnames)}")
    return np.asarray(np.ma.filled(values.astype(np.float64), np.nan))


def check_column(table: Table, name: str, asked_by: str) -> None:
    """InputError, with the names of all columns, where there is none of this name."""
    if name not in table.colnames:
        raise InputError(f"{asked_by}: there is no column {name!r}; there are {', '.join(table.colnames)}")


def _columns(table: Table, lon: str | None, lat: str | None) -> tuple[str, str, str]:
    """Names of both columns, and of the frame that they are usually of."""
    names = {name.lower(): name for name in reversed(table.colnames)}
    for wanted in (lon, lat):
        if wanted is not None and wanted not in table.colnames:
            raise InputError(f"there is no column {wanted!r}; there are {', '.join(table.colnames)}")
    if (lon is None) != (lat is None):
        raise InputError(f"only one column of the two is named, {lon or lat!r}: give lon= and lat=")
    for usual in _USUAL:
        if lon is not None and lat is not None:
            if lon.lower() in usual.lon:
                return lon, lat, usual.frame
            continue
        by_name = [next((names[n] for n in each if n in names), None) for each in (usual.lon, usual.lat)]
        by_ucd = [_of_ucd(table, ucd) for ucd in usual.ucd]
        for a, b in (by_ucd, by_name):
            if a is not None and b is not None:
                return a, b, usual.frame
    if lon is not None and lat is not None:
        return lon, lat, "icrs"
    raise InputError(
        "no columns of right ascension and declination, nor of other coordinates, are found among "
        f"{', '.join(table.colnames)}: name them by lon= and lat="
    )


def _of_ucd(table: Table, ucd: str) -> str | None:
    """The column of a UCD, the main one first."""
    words = {
        name: str(table[name].info.meta.get("ucd", "")).lower() for name in table.colnames if table[name].info.meta
    }
    found = [name for name, word in words.items() if word.split(";")[0] == ucd]
    return next((name for name in found if "meta.main" in words[name]), found[0] if found else None)


def _angles(table: Table, name: str, *, hours: bool) -> NDArray[np.float64]:
    """Radians (n,) of a column; NaN where masked."""
    values, unit = table[name], getattr(table[name], "unit", None)
    if values.dtype.kind in "USO":  # objects are a VOTable's texts of any length
        return _of_texts(np.ma.filled(np.ma.asarray(values), "").astype(str), name, hours=hours and unit != u.deg)
    try:
        factor = u.Unit(unit or u.deg).to(u.rad)
    except (u.UnitConversionError, ValueError) as error:
        raise InputError(f"column {name!r} is in {unit}, which is no angle: name others by lon= and lat=") from error
    degrees = column(table, name, "coordinates")
    return np.where(np.isfinite(degrees), degrees, np.nan) * float(factor)


def _of_texts(texts: NDArray[np.str_], name: str, *, hours: bool) -> NDArray[np.float64]:
    """Radians (n,) of texts; NaN where there is none."""
    from astropy.coordinates import Angle

    radians = np.full(texts.shape, np.nan)
    told = ~np.isin(np.char.strip(texts), ("", "None"))
    try:
        radians[told] = np.radians(texts[told].astype(np.float64))
    except ValueError:
        try:
            radians[told] = Angle(texts[told], unit=u.hourangle if hours else u.deg).radian
        except (ValueError, u.UnitsError) as error:
            raise InputError(f"column {name!r} holds no angles: {error}") from error
    return np.where(np.isfinite(radians), radians, np.nan)


def _vectors_of(places: Any, to: BaseCoordinateFrame) -> NDArray[np.float64]:
    angles = (places.spherical.lon.radian, places.spherical.lat.radian)
    # Masked angles of astropy show their values to numpy.
    vectors = unit_vectors(*(np.where(getattr(a, "mask", False), np.nan, np.asarray(a)) for a in angles))
    return rotate_frame(vectors, places.frame.replicate_without_data(), to)
