"""What cards cannot carry: lookup tables of distortions (CPDIS, D2IM) and coordinate arrays (-TAB), as bytes.

They are found in other HDUs of the file that the header is from, checked, and packed (numpy's own npz, which has no
time in it: equal tables are equal bytes). From those bytes a WCS gets them back as it is built.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io.fits import BinTableHDU, Card, HDUList, Header, ImageHDU, PrimaryHDU
from astropy.wcs import WCS, DistortionLookupTable

from dmontage.errors import InputError
from dmontage.headers.text import card_text, is_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dmontage.headers.text import Cards

__all__ = [
    "Lookup",
    "attach",
    "find_tables",
    "lookups",
    "moved",
    "needs_tables",
    "tab_hdus",
    "table_cards",
    "table_hdus",
    "tables_of_wcs",
]

_MAX_CELLS = 2**24
"""Cells of a table: 64 MB, more than any detector's."""

_SLOTS = {"CPDIS1": "cpdis1", "CPDIS2": "cpdis2", "D2IMDIS1": "det2im1", "D2IMDIS2": "det2im2"}
"""FITS keywords, and astropy's names for the tables."""

_RECORDS = {"CPDIS": ("DP", "WCSDVARR"), "D2IMDIS": ("D2IM", "D2IMARR")}
"""Keyword of the records that describe a table, and EXTNAME of the HDU that holds it."""


@dataclass(frozen=True, slots=True, eq=False)
class Lookup:
    """A distortion in pixels on a regular mesh of pixels, linear between its points."""

    name: str
    """CPDIS1, CPDIS2, D2IMDIS1 or D2IMDIS2."""
    data: NDArray[np.float32]
    """Shape (ny, nx)."""
    axes: NDArray[np.float64]
    """CRPIX, CRVAL and CDELT of the mesh, shape (3, 2): of x, of y; pixels counted from 1."""


def needs_tables(header: Cards) -> str | None:
    """The card, as text, that asks for another HDU; None where the header stands for itself."""
    for key in (*_SLOTS, "AXISCORR", "CTYPE1", "CTYPE2"):
        value = header.get(key)
        if value is not None and (not key.startswith("CTYPE") or str(value).rstrip().endswith("-TAB")):
            return f"{key} = {value!r}"
    return None


def find_tables(header: Cards, hdus: HDUList | None) -> bytes:
    """The tables that a header asks for, packed; nothing where it asks for none.

    Raises
    ------
    InputError
        If one is asked for and not there, or is not usable.
    """
    asked = needs_tables(header)
    if asked is None:
        return b""
    for key in _SLOTS:
        if key in header and str(header[key]).strip().upper() != "LOOKUP":
            raise InputError(f"{key} = {header[key]!r}: of such distortions only LOOKUP is supported")
    if hdus is None:
        raise InputError(f"{asked} asks for a table in another HDU: give the open file's HDUList (hdus=)")
    try:
        if asked.startswith("CTYPE"):
            return _packed([], _tab_bytes(header, hdus))
        return _packed(list(_old_d2im(header, hdus) if "AXISCORR" in header else _asked_for(header, hdus)))
    except (KeyError, IndexError) as error:
        raise InputError(f"{asked}: its table is not in the file: {str(error).strip(chr(34))}") from error


def tables_of_wcs(wcs: WCS) -> bytes:
    """The lookup tables that an astropy WCS holds, packed."""
    found = {name: getattr(wcs, slot) for name, slot in _SLOTS.items()}
    return _packed(
        [_checked(name, t.data, np.array([t.crpix, t.crval, t.cdelt])) for name, t in found.items() if t is not None]
    )


def lookups(tables: bytes) -> list[Lookup]:
    """The lookup tables in packed bytes."""
    if not tables:
        return []
    with np.load(io.BytesIO(tables), allow_pickle=False) as pack:
        return [Lookup(name, pack[name], pack[f"{name}_axes"]) for name in _SLOTS if name in pack]


def tab_hdus(tables: bytes) -> HDUList | None:
    """The HDUs with the coordinate arrays of -TAB axes, as astropy's WCS wants them; None where there are none."""
    if not tables:
        return None
    with np.load(io.BytesIO(tables), allow_pickle=False) as pack:
        return HDUList.fromstring(pack["TAB"].tobytes()) if "TAB" in pack else None


def attach(wcs: WCS, tables: bytes) -> None:
    """Give an astropy WCS its lookup tables."""
    for table in lookups(tables):
        setattr(wcs, _SLOTS[table.name], DistortionLookupTable(table.data, *table.axes))


def table_cards(tables: bytes) -> list[Card]:
    """The cards that ask for the lookup tables where they lie in `table_hdus`."""
    cards = []
    for version, table in enumerate(lookups(tables), 1):
        axis = table.name[-1]
        record = f"{_RECORDS[table.name[:-1]][0]}{axis}"
        cards.append(Card.fromstring(card_text(table.name, "LOOKUP")))
        fields = {"EXTVER": version, "NAXES": 2, "AXIS.1": 1, "AXIS.2": 2}
        cards += [Card.fromstring(card_text(f"{record}.{field}", value)) for field, value in fields.items()]
    return cards


def table_hdus(tables: bytes) -> list[ImageHDU | BinTableHDU]:
    """The extensions of a FITS file that the header of a grid with tables asks for."""
    hdus: list[ImageHDU | BinTableHDU] = list((tab_hdus(tables) or [None])[1:])
    for version, table in enumerate(lookups(tables), 1):
        hdu = ImageHDU(table.data, name=_RECORDS[table.name[:-1]][1], ver=version)
        for key, pair in zip(("CRPIX", "CRVAL", "CDELT"), table.axes, strict=True):
            for axis, value in enumerate(pair, 1):
                hdu.header.append(Card.fromstring(card_text(f"{key}{axis}", value)), end=True)
        hdus.append(hdu)
    return hdus


def moved(tables: bytes, x0: int, y0: int) -> bytes:
    """The same lookup tables for pixels counted from (x0, y0); a -TAB axis moves by its CRPIX alone."""
    found = lookups(tables)
    if not found:
        return tables
    shift = np.array([[0.0, 0.0], [x0, y0], [0.0, 0.0]])
    return _packed([replace(table, axes=table.axes - shift) for table in found])


def _packed(found: list[Lookup], tab: bytes = b"") -> bytes:
    arrays: dict[str, Any] = {}
    for table in found:
        arrays |= {table.name: table.data, f"{table.name}_axes": table.axes}
    if tab:
        arrays["TAB"] = np.frombuffer(tab, np.uint8)
    if not arrays:
        return b""
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def _asked_for(header: Cards, hdus: HDUList) -> Iterator[Lookup]:
    """Tables after the distortion paper: ``CPDISj`` with ``DPj``, and ``D2IMDISj`` with ``D2IMj`` in its manner."""
    for kind, (records, extension) in _RECORDS.items():
        for axis in (1, 2):
            name, record = f"{kind}{axis}", f"{records}{axis}"
            if name not in header:
                continue
            first = header.get(f"{record}.AXIS.{axis}")
            if first is None:
                raise InputError(f"{name}: the record {record}.AXIS.{axis} is missing")
            if first not in (1, 2):
                raise InputError(f"{name}: {record}.AXIS.{axis} = {first!r} must be 1 or 2")
            hdu = hdus[extension, int(header.get(f"{record}.EXTVER", 1))]
            data = _pixels(name, hdu)
            yield _checked(name, data if first == axis else data.T, _mesh(hdu.header))


def _old_d2im(header: Cards, hdus: HDUList) -> Iterator[Lookup]:
    """The older form: AXISCORR names the one axis that is corrected, along x, by the only D2IMARR."""
    if header["AXISCORR"] not in (1, 2):
        raise InputError(f"AXISCORR = {header['AXISCORR']!r} must be 1 or 2")
    name = f"D2IMDIS{header['AXISCORR']}"
    if "D2IMARR" in hdus:  # resampled images keep the card and have lost the table: nothing is left to correct
        hdu = hdus["D2IMARR", 1]
        yield _checked(name, np.atleast_2d(_pixels(name, hdu)), _mesh(hdu.header))
    # Such files have the other distortions besides.
    yield from (table for table in _asked_for(header, hdus) if table.name.startswith("CPDIS"))


def _pixels(name: str, hdu: Any) -> NDArray[Any]:
    """A table's numbers, after its header's claim was looked at."""
    shape = getattr(hdu, "shape", ())
    if len(shape) not in (1, 2) or not 0 < np.prod(shape, dtype=object) <= _MAX_CELLS:
        raise InputError(
            f"{name}: its table has the shape {tuple(shape)}; at most {_MAX_CELLS} cells in 2 axes are read"
        )
    return np.asarray(hdu.data)


def _mesh(header: Header) -> NDArray[Any]:
    """CRPIX, CRVAL and CDELT of a table's own header, with the standard's defaults."""
    defaults = {"CRPIX": 0.0, "CRVAL": 0.0, "CDELT": 1.0}
    return np.array([[header.get(f"{key}{axis}", value) for axis in (1, 2)] for key, value in defaults.items()])


def _checked(name: str, data: NDArray[Any], axes: NDArray[Any]) -> Lookup:
    """A table with its mesh, or an InputError that says what is wrong with it."""
    if axes.dtype.kind not in "iuf" or not np.isfinite(axes).all() or not axes[2].all():
        raise InputError(f"{name}: its table's CRPIX, CRVAL, CDELT = {axes.tolist()} must be finite, CDELT not zero")
    if data.dtype.kind not in "iuf" or data.ndim != 2 or not np.isfinite(data).all():
        raise InputError(f"{name}: its table must hold finite numbers in 2 axes; its shape is {data.shape}")
    return Lookup(name, np.ascontiguousarray(data, np.float32), axes.astype(np.float64))


def _tab_bytes(header: Cards, hdus: HDUList) -> bytes:
    """A FITS file of just the bintables that -TAB axes name, with the columns that they name."""
    wanted: dict[tuple[str, int], set[str]] = {}
    for axis in (1, 2):
        name = header.get(f"PS{axis}_0")
        if not isinstance(name, str):
            raise InputError(f"PS{axis}_0 = {name!r} must name the table of a -TAB axis")
        version = header.get(f"PV{axis}_1", 1)
        if not (is_number(version) and 1 <= version < 2**31 and version == int(version)):
            raise InputError(
                f"PV{axis}_1 = {version!r} must be the EXTVER of the table, a whole number from 1 to {2**31 - 1}"
            )
        columns = {str(value).strip() for key in ("1", "2") if (value := header.get(f"PS{axis}_{key}"))}
        wanted.setdefault((name.strip(), int(version)), set()).update(columns)
    out = HDUList([PrimaryHDU()])
    for (name, version), columns in wanted.items():
        hdu = hdus[name, version]
        if not isinstance(hdu, BinTableHDU) or hdu.size > 8 * _MAX_CELLS:
            raise InputError(f"PS1_0 = {name!r}: is no binary table of at most {8 * _MAX_CELLS} bytes")
        out.append(BinTableHDU.from_columns([hdu.columns[c] for c in sorted(columns)], nrows=1, name=name, ver=version))
        _check_tab(header, name, out[-1].data)
    data = io.BytesIO()
    out.writeto(data)
    return data.getvalue()


def _check_tab(header: Header, name: str, table: Any) -> None:
    """Refuse a table that does not hold what its axes say of it: wcslib reads on into memory that is not its own."""
    for axis in (1, 2):
        if str(header.get(f"PS{axis}_0")).strip() != name:
            continue
        array = table[str(header.get(f"PS{axis}_1")).strip()][0]
        shape = np.shape(array)
        if not shape or shape[-1] != len(shape) - 1 or array.dtype.kind != "f":
            raise InputError(f"PS{axis}_1: the coordinate array {shape} in {name} has not M axes and M floats")
        number = header.get(f"PV{axis}_3", 1)
        if number not in range(1, len(shape)):
            raise InputError(f"PV{axis}_3 = {number!r} must be a whole number from 1 to {len(shape) - 1}")
        if index := header.get(f"PS{axis}_2"):
            size, wanted = np.size(table[str(index).strip()][0]), shape[-1 - int(number)]
            if size != wanted:
                raise InputError(f"PS{axis}_2: the index of {name} has {size} values, its coordinate array {wanted}")
