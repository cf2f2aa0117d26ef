"""A corpus of broken FITS files: small, the same every time, each named by its damage and with what must come of it.

Files are made from the text of cards, since no library would write most of them.
"""

from __future__ import annotations

import gzip
import io
import os
import random
import re
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

SHAPE = (8, 10)
PIXELS: NDArray[np.float32] = np.arange(1, 81, dtype=np.float32).reshape(SHAPE)
BLOCK = 2880

Cards = dict[str, str | None]
"""Text of values as in a file, by keyword; None leaves a card out."""

CARDS: Cards = {
    "SIMPLE": "T", "BITPIX": "-32", "NAXIS": "2", "NAXIS1": "10", "NAXIS2": "8", "CTYPE1": "'RA---TAN'",
    "CTYPE2": "'DEC--TAN'", "CRVAL1": "83.8", "CRVAL2": "-5.4", "CRPIX1": "5.5", "CRPIX2": "4.5", "CDELT1": "-0.001",
    "CDELT2": "0.001", "BUNIT": "'MJy/sr'",
}  # fmt: skip
EXTENSION: Cards = {"XTENSION": "'IMAGE   '"} | {k: v for k, v in CARDS.items() if k != "SIMPLE"} | {
    "PCOUNT": "0", "GCOUNT": "1",
}  # fmt: skip
EMPTY: Cards = {"SIMPLE": "T", "BITPIX": "8", "NAXIS": "0", "EXTEND": "T"}
SIP: Cards = {"CTYPE1": "'RA---TAN-SIP'", "CTYPE2": "'DEC--TAN-SIP'", "A_ORDER": "2", "B_ORDER": "2"}


class Broken(NamedTuple):
    """One file of the corpus."""

    name: str
    """The damage; the file is called so, with `suffix`."""
    make: Callable[[Path], object]
    """Makes the file at a path."""
    reason: str | None
    """Pattern of the reason that it is refused for, when it is scanned or at the latest when it is read; None where
    the damage is none by the FITS standard, and it gives its pixels."""
    suffix: str = ".fits"
    images: tuple[NDArray[Any], ...] = (PIXELS,)
    """What it gives where it is not refused."""


def card(key: str, value: str) -> bytes:
    """A card of 80 columns."""
    return f"{key:<8}= {value:>20}"[:80].ljust(80).encode("latin-1")


def padded(data: bytes, fill: bytes = b"\0") -> bytes:
    """Whole blocks."""
    return data + fill * (-len(data) % BLOCK)


def head(cards: Cards, *more: bytes) -> bytes:
    """A header; further cards (80 bytes each) stand before its END."""
    text = b"".join(card(key, value) for key, value in cards.items() if value is not None)
    return padded(text + b"".join(line.ljust(80) for line in more) + b"END".ljust(80), b" ")


def image(*more: bytes, **changes: Any) -> bytes:
    """A good file with some cards changed, and the bytes of its pixels too (``body``)."""
    body = changes.pop("body", PIXELS.astype(">f4").tobytes())
    return head(CARDS | changes, *more) + padded(body)


def chip(**changes: Any) -> bytes:
    """A good image extension with some cards changed."""
    return head(EXTENSION | changes) + padded(PIXELS.astype(">f4").tobytes())


def file(
    name: str, data: bytes, reason: str | None, suffix: str = ".fits", images: tuple[NDArray[Any], ...] = (PIXELS,)
) -> Broken:
    """A file of these bytes."""
    return Broken(name, lambda path: path.write_bytes(data), reason, suffix, images)


def corpus() -> list[Broken]:
    """All of it."""
    found: list[Broken] = []
    for kind in (cuts, sizes, values, numbers_of_wcs, matrices, projections, distortions, tables, packed, zipped,
                 headers, noise, extensions, not_files):  # fmt: skip
        found += kind()
    return found


# --- truncation ---------------------------------------------------------------------------------------------------


def cuts() -> Iterator[Broken]:
    """The end is missing, from anywhere on."""
    good = image()
    n_cards = len(CARDS) + 1
    for at in (0, 1, 9, 29, 30, 79, 80, 81, 400, 80 * n_cards - 80):
        yield file(f"cut-in-header-{at:04d}", good[:at], "not a readable FITS file")
    for at in (80 * n_cards, 2000, 2800, 2879, 2880, 2881, 3000, 3199):
        yield file(f"cut-after-end-{at:04d}", good[:at], r"truncated|not a readable FITS file")
    for at in (3200, 3201, 4000, 5759):  # only the padding is missing, which no pixel needs
        yield file(f"cut-in-padding-{at:04d}", good[:at], None)
    two = head(EMPTY) + chip() + chip(CRVAL1="83.801")
    for at in (2880, 2881, 3000, 4320, 5759, 5760, 5761, 6079):
        yield file(f"cut-in-extension-{at:04d}", two[:at], "truncated|not a readable FITS|holds no image|HDU 1 is none")
    for at in (8641, 9000, 11519):
        yield file(f"cut-in-second-extension-{at:05d}", two[:at], "HDU 2 .*(truncated|is none)")
    for at in (11520, 11700, 11839):
        yield file(f"cut-in-second-extension-{at:05d}", two[:at], "truncated")
    yield file("cut-in-last-padding", two[:11840], None, images=(PIXELS, PIXELS))


# --- sizes that are not so ----------------------------------------------------------------------------------------


def sizes() -> Iterator[Broken]:
    """NAXIS, NAXISn, BITPIX, PCOUNT, GCOUNT."""
    for value in ("-1", "1000", "1E3", "2.5", "'2'", "T", "", "99999999999999999999"):
        yield file(f"naxis-{value}", image(NAXIS=value), ".")
    yield file("naxis-0", image(NAXIS="0"), "HDU 1 is none")
    yield file("naxis-1", image(NAXIS="1"), "holds no image")
    yield file("naxis-3-third-missing", image(NAXIS="3"), ".")
    yield file("naxis-3-third-0", image(NAXIS="3", NAXIS3="0"), ".")
    yield file("naxis-3-third-huge", image(NAXIS="3", NAXIS3="2000000000"), "truncated: its header claims")
    yield file("naxis-missing", image(NAXIS=None), ".")
    many = {f"NAXIS{i}": "1" for i in range(3, 1000)}
    yield file("naxis-999", image(NAXIS="999", **many), ".")
    for side in ("0", "-1", "-10", "1.5", "'10'", "T", "", "1E400", "NaN"):
        yield file(f"naxis1-{side}", image(NAXIS1=side), ".")
    for n in (9, 7):
        yield file(
            f"naxis1-{n}-is-too-small",
            image(NAXIS1=str(n)),
            None,
            images=(PIXELS.ravel()[: 8 * n].reshape(8, n),),
        )
    for side in ("11", "721", "2147483647", "2147483648", "2000000000", "4294967296", "9223372036854775807",
                 "9223372036854775808", "18446744073709551616", "99999999999999999999999999"):  # fmt: skip
        yield file(f"naxis2-{side}", image(NAXIS2=side, body=b""), ".")
    yield file("naxis-2e9-x-2e9", image(NAXIS1="2000000000", NAXIS2="2000000000"), "truncated: its header claims")
    yield file("naxis-2^32-x-2^32-wraps-to-0", image(NAXIS1="4294967296", NAXIS2="4294967296"), "truncated")
    yield file("naxis1-missing", image(NAXIS1=None), ".")
    yield file("naxis2-missing", image(NAXIS2=None), ".")
    for bitpix in ("7", "0", "-33", "'16'", "-16", "128", "-128", "1E400", "T", "", "16.5", "2147483648"):
        yield file(f"bitpix-{bitpix}", image(BITPIX=bitpix), ".")
    yield file("bitpix-missing", image(BITPIX=None), ".")
    yield file("bitpix-64-cut", image(BITPIX="64")[:3200], "truncated")
    yield file("pcount-huge-primary", image(PCOUNT="9223372036854775807"), ".")
    for key in ("PCOUNT", "GCOUNT"):
        for value in ("-1", "9223372036854775807", "99999999999999999999", "'x'", "1.5"):
            yield file(f"{key.lower()}-{value}", head(EMPTY) + chip(**{key: value}), ".")
    yield file("gcount-0", head(EMPTY) + chip(GCOUNT="0"), ".")
    groups = image(NAXIS1="0", NAXIS="3", NAXIS3="8", GROUPS="T", PCOUNT="1000000000", GCOUNT="1000000000")
    yield file("groups-huge", groups, ".")


# --- values of pixels ---------------------------------------------------------------------------------------------


def values() -> Iterator[Broken]:
    """BSCALE, BZERO, BLANK, checksums."""
    body = PIXELS.astype(">i2").tobytes()
    for key in ("BSCALE", "BZERO"):
        for value in ("NaN", "Inf", "1E400", "'1.0'", "'one'", "T", ""):
            yield file(f"{key.lower()}-{value}", image(BITPIX="16", body=body, **{key: value}), key)
    yield file("bscale-0", image(BITPIX="16", body=body, BSCALE="0"), "BSCALE")
    for value in ("NaN", "'-1'", "1.5", "T", "", "1E400"):
        yield file(f"blank-{value}", image(BITPIX="16", body=body, BLANK=value), "BLANK")
    yield file("blank-out-of-range", image(BITPIX="16", body=body, BLANK="99999999999999999999999"), None)
    yield file("blank-of-floats", image(BLANK="-1"), None)
    # Checksums are stale in many a good file, whose header was edited since; what cannot be read shows otherwise.
    yield file("datasum-wrong", image(DATASUM="'1234567890'"), None)
    yield file("checksum-wrong", image(CHECKSUM="'AAAAAAAAAAAAAAAA'"), None)
    yield file("checksum-nonsense", image(CHECKSUM="'x'", DATASUM="'none'"), None)
    yield file("checksum-numbers", image(CHECKSUM="-1", DATASUM="1E400"), None)


# --- WCS ----------------------------------------------------------------------------------------------------------


def numbers_of_wcs() -> Iterator[Broken]:
    """Cards that must be finite numbers, and are not."""
    for key in ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CDELT1", "CDELT2"):
        for value in ("NaN", "Inf", "1E400", "'NaN'", "'83.8'", "T", "", "1E300"):
            yield file(f"{key.lower()}-{value}", image(**{key: value}), key)
    for key in ("CROTA2", "PC1_1", "CD1_1", "LONPOLE", "LATPOLE", "EQUINOX", "PV2_1"):
        for value in ("NaN", "-1E400", "'x'"):
            yield file(f"{key.lower()}-{value}", image(**{key: value}), key)
    for key in ("CTYPE1", "CUNIT2", "RADESYS"):
        yield file(f"{key.lower()}-number", image(**{key: "5"}), f"{key} = 5")
    yield file("crval2-beyond-pole", image(CRVAL2="95.0"), "CRVAL2")
    yield file("crpix-far", image(CRPIX1="1E12", CRPIX2="-1E12"), ".")
    yield file("equinox-3000", image(EQUINOX="3000."), "EQUINOX")
    yield file("radesys-unknown", image(RADESYS="'MARS'"), "RADESYS")
    yield file("cunit-unknown", image(CUNIT1="'furlong'"), "WCS cannot be read|CUNIT1")


def matrices() -> Iterator[Broken]:
    """Singular, nearly so, and beside one another."""
    for axis in "12":
        yield file(f"cdelt{axis}-0", image(**{f"CDELT{axis}": "0.0"}), "singular")
        yield file(f"cdelt{axis}-1e-300", image(**{f"CDELT{axis}": "1E-300"}), ".")
        yield file(f"cdelt{axis}-1e-30", image(**{f"CDELT{axis}": "1E-30"}), ".")
        yield file(f"cdelt{axis}-1e6", image(**{f"CDELT{axis}": "1E6"}), ".")
    cd = {"CDELT1": None, "CDELT2": None}
    for name, rows in {
        "0": "0 0 0 0", "parallel": "1E-4 2E-4 2E-4 4E-4", "nearly": "1E-4 1E-4 1E-4 1.0000000000001E-4",
        "one-row": "1E-4 1E-4 0 0", "tiny": "1E-200 0 0 1E-200", "huge": "1E29 0 0 1E29",
    }.items():  # fmt: skip
        keys = dict(zip(("CD1_1", "CD1_2", "CD2_1", "CD2_2"), rows.split(), strict=True))
        yield file(f"cd-{name}", image(**cd, **keys), ".")
        pc = {key.replace("CD", "PC"): value for key, value in keys.items()}
        yield file(f"pc-{name}", image(**pc), ".")
    yield file("cd-with-third-axis", image(CD1_3="1.0"), "CD1_3")


def projections() -> Iterator[Broken]:
    """CTYPE pairs and their parameters."""
    for one, other in (
        ("RA---TAN", "RA---TAN"), ("RA---TAN", "DEC--SIN"), ("RA---TAN", "GLAT-TAN"), ("RA---XXX", "DEC--XXX"),
        ("FREQ", "VELO"), ("", ""), ("RA---TAN", ""), ("RA", "DEC"), ("RA---", "DEC--"), ("RA---TAB", "DEC--TAB"),
        ("SOLX-TAN", "SOLY-TAN"), ("HPLN-TAN", "HPLT-TAN"), ("RA---COE", "DEC--COE"), ("RA---BON", "DEC--BON"),
        ("R\xc4---TAN", "DEC--TAN"),
    ):  # fmt: skip
        name = f"ctypes-{one or 'none'}-{other or 'none'}".replace("\xc4", "umlaut")
        yield file(name, image(CTYPE1=f"'{one}'", CTYPE2=f"'{other}'"), ".")
    yield file("ctype1-missing", image(CTYPE1=None), "CTYPE1 is missing")
    yield file("ctypes-too-long", image(CTYPE1="'RA---TANTANTAN'", CTYPE2="'DEC--TANTANTAN'"), None)
    yield file("lonpole-999", image(LONPOLE="999"), None)
    for lonpole in ("-1E20", "1E29"):
        yield file(f"lonpole-{lonpole}", image(LONPOLE=lonpole), ".")
    yield file("latpole-far", image(LATPOLE="1E29"), None)  # it is not asked for where LONPOLE settles all
    for code, cards in {
        "AZP": {"PV2_1": "-1"}, "CYP": {"PV2_1": "0", "PV2_2": "0"},
        "CEA": {"PV2_1": "-3"}, "COP": {"PV2_1": "0", "PV2_2": "0"}, "COD": {"PV2_1": "0", "PV2_2": "0"},
        "ZPN": {"PV2_99": "1E20"}, "AIR": {"PV2_1": "-200"}, "HPX": {"PV2_1": "-5", "PV2_2": "0"},
        "TPV": {"PV1_1": "0", "PV2_1": "0"},
    }.items():  # fmt: skip
        yield file(f"{code}-parameters", image(CTYPE1=f"'RA---{code}'", CTYPE2=f"'DEC--{code}'", **cards), ".")


def distortions() -> Iterator[Broken]:
    """SIP, PV, PS, WAT, CQDIS, plate solutions."""
    for order in ("-1", "10", "40000", "2147483648", "99999999999999999999", "2.5", "NaN", "'2'", "T"):
        yield file(f"sip-order-{order}", image(**SIP | {"A_ORDER": order}), "A_ORDER")
    yield file("sip-b-missing", image(**SIP | {"B_ORDER": None}), "B_ORDER|WCS")
    yield file("sip-ap-order-huge", image(**SIP, AP_ORDER="2000000000"), "AP_ORDER")
    yield file("sip-coefficient-beyond-order", image(**SIP, A_9_9="1.0"), None)
    yield file("sip-coefficient-nan", image(**SIP, A_2_0="NaN"), "A_2_0")
    yield file("sip-coefficient-huge", image(**SIP, A_2_0="1E20", B_0_2="1E20"), ".")
    yield file("sip-folds", image(**SIP, A_2_0="-0.2", B_0_2="-0.2"), ".")
    tpv = {"CTYPE1": "'RA---TPV'", "CTYPE2": "'DEC--TPV'"}
    yield file("pv-index-41", image(**tpv, PV1_41="1E10"), "PV|TPV")
    for index in ("-1", "100", "9999", "1_1"):  # by the standard these are no cards of a WCS
        yield file(f"pv-index-{index}", image(**tpv, **{f"PV1_{index}": "1E10"}), None)
    yield file("pv-huge", image(CTYPE1="'RA---TPV'", CTYPE2="'DEC--TPV'", PV1_39="1E29"), ".")
    yield file("ps-number", image(PS1_0="5"), "PS1_0")
    for name, text in {
        "no-numbers": "a b c", "orders-huge": "1. 99999 99999 1. 0. 1. 0. 1. 0.",
        "orders-negative": "3 -4 -4 2 0 1 0 1 0",
        "nan": "3. 1. 1. 1. 0. 1. 0. 1. nan", "ranges-equal": "1. 1. 1. 1. 0. 0. 0. 0. 1.", "short": "3. 4.",
    }.items():  # fmt: skip
        wat = f"'wtype=tnx axtype=ra lngcor = \"{text}\"'"
        yield file(f"tnx-{name}", image(CTYPE1="'RA---TNX'", CTYPE2="'DEC--TNX'", WAT1_001=wat), "WAT1")
    yield file("cqdis-unknown", image(CQDIS1="'WARP'"), "CQDIS1")
    for name, fields in {
        "naxes-huge": "NAXES: 2000000000", "coeff-index-huge": "TPD.FWD.2000000000: 1", "no-number": "TPD.FWD.1: x",
        "axis-lies": "AXIS.1: 77",
    }.items():  # fmt: skip
        yield file(f"cqdis-{name}", image(CQDIS1="'TPD'", DQ1=f"'{fields}'"), ".")
    dss = {"AMDX1": "1E20", "AMDY1": "NaN", "PPO3": "0", "XPIXELSZ": "0", "PLTRAH": "99"}
    yield file("dss-nonsense", image(CTYPE1=None, CTYPE2=None, **dss), "AMDY1")
    yield file("dss-incomplete", image(CTYPE1=None, CTYPE2=None, AMDX1="1.0"), ".")


# --- tables of other HDUs -----------------------------------------------------------------------------------------


def lookup(**changes: Any) -> bytes:
    """A lookup table of 4 × 4 zeros as an extension."""
    cards: Cards = {
        "XTENSION": "'IMAGE   '", "BITPIX": "-32", "NAXIS": "2", "NAXIS1": "4", "NAXIS2": "4", "PCOUNT": "0",
        "GCOUNT": "1", "EXTNAME": "'WCSDVARR'", "EXTVER": "1", "CRPIX1": "1", "CRPIX2": "1", "CRVAL1": "1",
        "CRVAL2": "1", "CDELT1": "3", "CDELT2": "3",
    }  # fmt: skip
    body = changes.pop("body", bytes(64))
    return head(cards | changes) + padded(body)


def tables() -> Iterator[Broken]:
    """Lookup tables that lie."""
    records = [card("DP1", f"'{text}'") for text in ("EXTVER: 1", "NAXES: 2", "AXIS.1: 1", "AXIS.2: 2")]
    asking = image(*records, CPDIS1="'LOOKUP'")
    yield file("lookup-fine", asking + lookup(), None)
    yield file("lookup-absent", asking, "CPDIS1.*table is not in the file")
    yield file("lookup-cut", (asking + lookup())[:-2850], "truncated")
    yield file("lookup-unknown-kind", image(CPDIS1="'POLYNOM'"), "CPDIS1")
    yield file("lookup-without-records", image(CPDIS1="'LOOKUP'") + lookup(), "DP1")
    for name, changes in {
        "sides-huge": {"NAXIS1": "2000000000", "NAXIS2": "2000000000"}, "side-0": {"NAXIS1": "0"},
        "side-negative": {"NAXIS1": "-4"}, "cube": {"NAXIS": "3", "NAXIS3": "1"}, "cdelt-0": {"CDELT1": "0"},
        "crpix-nan": {"CRPIX1": "NaN"}, "crval-text": {"CRVAL2": "'1'"}, "bitpix-7": {"BITPIX": "7"},
        "other-version": {"EXTVER": "2"}, "extver-text": {"EXTVER": "'x'"}, "other-name": {"EXTNAME": "'OTHER'"},
        "no-axes": {"NAXIS": "0"}, "bscale-nan": {"BSCALE": "NaN"},
    }.items():  # fmt: skip
        yield file(f"lookup-{name}", asking + lookup(**changes), ".")
    yield file("lookup-nan", asking + lookup(body=np.full((4, 4), np.nan, ">f4").tobytes()), "CPDIS1")
    yield file("lookup-huge-values", asking + lookup(body=np.full((4, 4), 3e38, ">f4").tobytes()), ".")
    axis = [card("DP1", f"'{text}'") for text in ("EXTVER: x", "AXIS.1: 9")]
    yield file("lookup-records-lie", image(*axis, CPDIS1="'LOOKUP'") + lookup(), ".")
    yield file("axiscorr-9", image(AXISCORR="9") + lookup(), "AXISCORR")
    tab: Cards = {"CTYPE1": "'RA---TAB'", "CTYPE2": "'DEC--TAB'", "PS1_0": "'COORDS'", "PS1_1": "'XY'"}
    tab |= {"PS2_0": "'COORDS'", "PS2_1": "'XY'", "PV1_3": "1", "PV2_3": "2"}
    for name, table in {
        "absent": b"", "of-one-column": _bintable(), "rows-huge": _bintable(NAXIS2="2000000000"),
        "width-huge": _bintable(NAXIS1="2000000000"), "format-lies": _bintable(TFORM1="'99999999D'"),
        "format-nonsense": _bintable(TFORM1="'??'"), "fields-999": _bintable(TFIELDS="999"),
        "fields-2^31": _bintable(TFIELDS="2147483647"),
        "fields-negative": _bintable(TFIELDS="-1"), "dimension-lies": _bintable(TDIM1="'(2,999999999,999999999)'"),
        "dimension-nonsense": _bintable(TDIM1="'(2,-2,x)'"), "heap-lies": _bintable(PCOUNT="100", THEAP="999999999999"),
    }.items():  # fmt: skip
        yield file(f"tab-{name}", image(**tab) + table, ".")
    yield file("tab-axis-index-huge", image(**tab | {"PV1_3": "2000000000"}) + _bintable(), ".")
    for name, text in {"nan": "NaN", "half": "1.5", "text": "'one'"}.items():
        yield file(f"tab-version-{name}", image(**tab, PV1_1=text) + _bintable(), "PV1_1")


def _bintable(**changes: Any) -> bytes:
    """A binary table of one row with a coordinate array (2, 2, 2) of zeros."""
    cards: Cards = {
        "XTENSION": "'BINTABLE'", "BITPIX": "8", "NAXIS": "2", "NAXIS1": "64", "NAXIS2": "1", "PCOUNT": "0",
        "GCOUNT": "1", "TFIELDS": "1", "TTYPE1": "'XY'", "TFORM1": "'8D'", "TDIM1": "'(2,2,2)'",
        "EXTNAME": "'COORDS'",
    }  # fmt: skip
    return head(cards | changes) + padded(bytes(64))


# --- compressed ---------------------------------------------------------------------------------------------------


def data_start(data: bytes) -> int:
    """First byte of the data of the first extension of a file whose primary HDU is a header alone."""
    end = next(i for i in range(BLOCK, len(data), 80) if data[i : i + 80] == b"END".ljust(80))
    return BLOCK * (end // BLOCK + 1)


NOISE: NDArray[np.int16] = np.random.default_rng(1).integers(0, 1000, (40, 50)).astype(np.int16)


def compressed(kind: str = "RICE_1") -> bytes:
    """A good compressed image of noise."""
    data = NOISE.astype(np.int32) if kind == "PLIO_1" else NOISE
    header = fits.Header([(k, fits.Card.fromstring(card(k, v)).value) for k, v in CARDS.items()
                          if v is not None and k[:5] not in ("SIMPL", "BITPI", "NAXIS")])  # fmt: skip
    out = io.BytesIO()
    packed = fits.CompImageHDU(data, header, compression_type=kind, hcomp_scale=0)
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(out)
    return re.sub(rb"(\x1f\x8b\x08.)....", rb"\1\0\0\0\0", out.getvalue(), flags=re.DOTALL)  # no time of day


def changed(data: bytes, key: str, value: str | None) -> bytes:
    """The first card of this keyword after the primary header with another value, or blanked."""
    at = data.index(f"{key:<8}=".encode(), BLOCK)
    return data[:at] + (b" " * 80 if value is None else card(key, value)) + data[at + 80 :]


def packed() -> Iterator[Broken]:
    """Tile-compressed images whose headers or tiles lie."""
    good = compressed()
    header_end = data_start(good)
    for at in (BLOCK, BLOCK + 100, header_end - 1, header_end, header_end + 5, header_end + 320, header_end + 1000):
        yield file(f"packed-cut-{at:05d}", good[:at], "truncated|not a readable FITS file|holds no image", ".fits.fz")
    for key, value in {"ZBITPIX": "64", "ZTILE1": "2000000000", "TFORM1": "'1PB(9)'"}.items():
        yield file(f"packed-{key.lower()}-harmless", changed(good, key, value), None, ".fits.fz", (NOISE,))
    for key, lies in {
        "ZNAXIS1": ("0", "-50", "49", "51", "2000000000", "9223372036854775807", "'50'", "NaN", None),
        "ZNAXIS2": ("0", "-40", "41", "2000000000", "99999999999999999999", None),
        "ZNAXIS": ("0", "1", "3", "-1", "1000000000", "'2'", None),
        "ZBITPIX": ("7", "0", "'16'", None),
        "ZTILE1": ("0", "-1", "1", "49", "'50'"),
        "ZTILE2": ("0", "-1", "7", "2000000000"),
        "ZCMPTYPE": ("'NONE'", "'GZIP_1'", "'HCOMPRESS_1'", "5", None),
        "ZVAL1": ("0", "-32", "2000000000", "'32'"),
        "ZVAL2": ("0", "3", "8", "'2'"),
        "TFORM1": ("'1QB'", "'B'", "'??'", "5"),
        "TFIELDS": ("0", "9", "-1", "2147483647"),
        "NAXIS1": ("0", "7", "2000000000", "-8"),
        "NAXIS2": ("0", "39", "41", "2000000000"),
        "PCOUNT": ("0", "-1", "2000000000", "9223372036854775807"),
    }.items():  # fmt: skip
        for lie in lies:
            yield file(f"packed-{key.lower()}-{lie}", changed(good, key, lie), ".", ".fits.fz")
    yield file("packed-zimage-F", changed(good, "ZIMAGE", "F"), "holds no image", ".fits.fz")
    yield file("packed-theap", changed(good, "ZCMPTYPE", "'RICE_1'").replace(
        b"GCOUNT  =                    1", b"THEAP   =         999999999999"), ".", ".fits.fz")  # fmt: skip
    for kind in ("RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1", "PLIO_1"):
        data = bytearray(compressed(kind))
        start = data_start(bytes(data))
        for name, length, offset in (
            ("length-2^30", 2**30, 0), ("length-negative", -5, 0), ("offset-2^30", 100, 2**30), ("empty", 0, 0),
            ("short", 3, 0),
        ):  # fmt: skip
            data[start : start + 8] = struct.pack(">ii", length, offset)
            # HCOMPRESS finds the end of a tile itself. PLIO does too, and takes what is missing for zeros.
            reason = {"HCOMPRESS_1": "", "PLIO_1": ""}.get(kind, "cannot be read")
            yield file(f"packed-{kind}-tile-{name}", bytes(data), reason, ".fits.fz", (NOISE,))


# --- gzip ---------------------------------------------------------------------------------------------------------


def bomb(prefix: bytes) -> bytes:
    """A gzip file, in many members, of a prefix and then 2 GB of zeros: a thousand times smaller than what it holds."""
    return gzip.compress(prefix, mtime=0) + 64 * gzip.compress(bytes(1 << 25), 1, mtime=0)


def zipped() -> Iterator[Broken]:
    """Gzip files that are cut, lie about what they hold, or hold too much."""
    pixels = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    noisy = image(body=pixels.astype(">f4").tobytes())
    good = gzip.compress(noisy, mtime=0)
    for at in (2, 5, 10, 18, 100, len(good) // 2, len(good) - 9, len(good) - 8, len(good) - 4, len(good) - 1):
        yield file(f"gzip-cut-{at:04d}", good[:at], ".", ".fits.gz")
    yield file("gzip-wrong-crc", good[:-8] + bytes(4) + good[-4:], ".", ".fits.gz")
    for told in (0, 2880, 5761, 2**31, 2880 * 1000000):
        yield file(f"gzip-tells-{told}", good[:-4] + told.to_bytes(4, "little"), ".", ".fits.gz")
    yield file("gzip-of-nothing", gzip.compress(b"", mtime=0), "not a readable FITS file", ".fits.gz")
    yield file("gzip-of-text", gzip.compress(b"no image " * 1000, mtime=0), "not a readable FITS file", ".fits.gz")
    yield file("gzip-of-gzip", gzip.compress(good, mtime=0), ".", ".fits.gz")
    yield file("gzip-bad-stream", good[:12] + bytes(200) + good[212:], ".", ".fits.gz")
    yield file("gzip-then-garbage", good + b"garbage" * 10, ".", ".fits.gz")
    yield file("gzip-in-plain-name", good, None, images=(pixels,))
    yield file("gzip-claims-2e9-x-2e9", gzip.compress(
        image(NAXIS1="2000000000", NAXIS2="2000000000"), mtime=0), "truncated", ".fits.gz")  # fmt: skip
    yield file("gzip-bomb-after-image", bomb(image()), ".", ".fits.gz")
    yield file("gzip-bomb-without-end", bomb(head(CARDS)[: 80 * len(CARDS)]), ".", ".fits.gz")
    yield file("gzip-bomb-of-zeros", bomb(b""), "not a readable FITS file", ".fits.gz")
    yield file("bzip2-magic", b"BZh9" + noisy, "not a readable FITS file")
    yield file("zip-magic", b"PK\x03\x04" + noisy, "not a readable FITS file")
    yield file("xz-magic", b"\xfd7zXZ\0" + noisy, "not a readable FITS file")


# --- headers ------------------------------------------------------------------------------------------------------


def headers() -> Iterator[Broken]:
    """Cards in the wrong form, at the wrong place, too many, too few."""
    good = image()
    n_cards = len(CARDS)
    cards = [good[i : i + 80] for i in range(0, 80 * n_cards, 80)]
    body = good[BLOCK:]

    def of(*lines: bytes, end: bytes = b"END") -> bytes:
        return padded(b"".join(line.ljust(80) for line in lines) + end.ljust(80), b" ") + body

    yield file("no-end", padded(b"".join(cards), b" ") + body, "not a readable FITS file")
    yield file("no-end-and-sparse-4-gb", b"", "not a readable FITS file")._replace(make=_sparse)
    yield file("end-lower-case", of(*cards, end=b"end"), ".")
    yield file("end-with-value", of(*cards, end=b"END     = 1"), None)
    yield file("end-in-the-middle", of(*cards[:5], b"END", *cards[5:]), "no celestial WCS")
    yield file("end-before-sizes", of(*cards[:2], b"END", *cards[2:]), ".")
    yield file("end-first", of(b"END", *cards), ".")
    yield file("simple-F", image(SIMPLE="F"), "SIMPLE = F")
    yield file("simple-text", image(SIMPLE="'T'"), ".")
    yield file("simple-missing", image(SIMPLE=None), ".")
    yield file("simple-second", of(cards[1], cards[0], *cards[2:]), ".")
    yield file("order-of-axes-wrong", of(*cards[:3], cards[4], cards[3], *cards[5:]), None)
    yield file("twice-naxis1", of(*cards[:4], card("NAXIS1", "2000000000"), *cards[4:]), ".")
    yield file("twice-crval1", of(*cards, card("CRVAL1", "10.0")), None)
    yield file("twice-crval1-second-nan", of(*cards, card("CRVAL1", "NaN")), None)
    yield file("twice-bitpix", of(*cards[:2], card("BITPIX", "64"), *cards[2:]), ".")
    yield file("lines-of-text", b"\n".join(c.rstrip() for c in cards) + b"\nEND\n" + body, "not a readable FITS file")
    yield file("lower-case-keys", of(*(c.lower() for c in cards)), ".")
    yield file("tabs", of(*(c.replace(b" ", b"\t") for c in cards)), ".")
    yield file("all-blank", b" " * (2 * BLOCK), "not a readable FITS file")
    yield file("all-zero", bytes(2 * BLOCK), "not a readable FITS file")
    yield file("header-of-bytes-255", b"\xff" * (2 * BLOCK), "not a readable FITS file")
    yield file("padding-of-zeros", b"".join([*cards, b"END".ljust(80)]).ljust(BLOCK, b"\0") + body, None)
    yield file("no-padding", b"".join([*cards, b"END".ljust(80)]) + body, ".")
    yield file("comment-not-ascii", of(*cards, "COMMENT µ°ü".encode("latin-1")), None)
    yield file("comment-utf8", of(*cards, "COMMENT 天文".encode()), None)
    yield file("comment-control", of(*cards, b"COMMENT \x00\x01\x07\x1b[2J"), None)
    yield file("value-not-ascii", image(CRVAL1="8\xb33.8"), ".")
    yield file("key-not-ascii", of(*cards, "SCHLÜSS = 1".encode("latin-1")), None)
    yield file("object-not-ascii", image(OBJECT="'\xe9toile'"), None)
    yield file("bunit-not-ascii", image(BUNIT="'\xb5Jy'"), None)
    yield file("bunit-number", image(BUNIT="3"), None)
    yield file("bunit-open-quote", image(BUNIT="'MJy"), ".")
    yield file("quote-open", image(CTYPE1="'RA---TAN"), ".")
    yield file("value-garbage", image(CRVAL1="83.8.1e"), "CRVAL1")
    yield file("value-comma", image(CRVAL1="83,8"), "CRVAL1")
    yield file("value-hex", image(CRVAL1="0x53"), "CRVAL1")
    yield file("value-complex", image(CRVAL1="(83.8, 1.0)"), "CRVAL1")
    yield file("value-1000-digits", of(*cards[:7], b"CRVAL1  = " + b"9" * 70, *cards[8:]), "CRVAL1")
    yield file("value-fortran-d", image(CDELT1="-1.0D-3"), None)
    yield file("hierarch-lies", of(*cards, b"HIERARCH NAXIS1 = 999999999"), None)
    yield file("continue-without-start", of(*cards, b"CONTINUE  'lost'"), None)
    yield file("continue-5000", of(*cards, b"LONG    = 'x&'", *[b"CONTINUE  'x&'"] * 5000), None)
    yield file("cards-40000", of(*cards, *[b"HISTORY again"] * 40000), None)
    yield file("extension-name-number", head(EMPTY) + chip(EXTNAME="5", EXTVER="'x'"), None)


def _sparse(path: Path) -> None:
    """A header without an end, before 4 GB of nothing that take no room on the disk."""
    path.write_bytes(head(CARDS)[: 80 * len(CARDS)])
    os.truncate(path, 4 << 30)


def noise() -> Iterator[Broken]:
    """Random bytes in headers, at places of cards that matter; what comes of it may be anything but trouble."""
    good = image()
    for seed in range(40):
        rng = random.Random(seed)
        data = bytearray(good)
        for _ in range(rng.choice((1, 3, 10, 100))):
            data[rng.randrange(80 * (len(CARDS) + 1))] = rng.randrange(256)
        yield file(f"random-bytes-{seed:02d}", bytes(data), "")
    for seed in range(5):
        yield file(f"random-file-{seed}", random.Random(seed).randbytes(9000), "not a readable FITS file")


def extensions() -> Iterator[Broken]:
    """What stands beside a good image, or in the place of one."""
    good = image()
    yield file("then-garbage", good + random.Random(1).randbytes(2880), "HDU 1")
    yield file("then-zeros", good + bytes(28800), None)
    yield file("then-half-a-header", good + chip()[:1000], "HDU 1")
    yield file("then-sides-huge", good + chip(NAXIS1="2000000000", NAXIS2="2000000000"), "truncated")
    yield file("then-bitpix-7", good + chip(BITPIX="7"), "HDU 1")
    yield file("then-naxis-negative", good + chip(NAXIS1="-10"), "HDU 1")
    yield file("then-unknown-extension", good + chip(XTENSION="'FOREIGN '"), None)
    yield file("then-xtension-number", good + chip(XTENSION="5"), "HDU 1")
    yield file("extension-first", chip(), ".")
    yield file("two-primaries", good + good, "HDU 1")
    yield file("table-fields-lie", head(EMPTY) + _bintable(TFIELDS="999"), ".")


# --- no files -----------------------------------------------------------------------------------------------------

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU"


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(path.parent)  # the names of sockets are short
        try:
            listener.bind(path.name)
        finally:
            os.chdir(here)


def _link_loop(path: Path) -> None:
    path.symlink_to(path.with_suffix(".loop"))
    path.with_suffix(".loop").symlink_to(path)


def not_files() -> Iterator[Broken]:
    """Things by the name of a FITS file."""
    yield file("empty", b"", "not a readable FITS file|empty")
    yield file("text", b"SIMPLE is not what this is\n" * 200, "not a readable FITS file")
    yield file("html", b"<html><body>404 not found</body></html>\n", "not a readable FITS file")
    yield file("png", PNG, "not a readable FITS file")
    yield file("git-lfs-pointer", b"version https://git-lfs.github.com/spec/v1\n", "not a readable FITS file")
    yield Broken("folder", lambda path: path.mkdir(), "no FITS file")
    yield Broken("fifo", os.mkfifo, "no regular file|not a file")
    yield Broken("socket", _socket, "no regular file|not a file")
    yield Broken("device", lambda path: path.symlink_to("/dev/zero"), "no regular file|not a file")
    yield Broken("link-loop", _link_loop, "no such file|link")
    yield Broken("link-to-nothing", lambda path: path.symlink_to("absent"), "no such file|link")
    if os.geteuid():  # root reads all
        yield Broken("unreadable", _unreadable, "Permission denied")


def _unreadable(path: Path) -> None:
    path.write_bytes(image())
    path.chmod(0)


def file_name(broken: Broken) -> str:
    """A name that any file system takes, and that tells the damage."""
    return re.sub(r"[^\w.^+-]", "_", broken.name) + broken.suffix
