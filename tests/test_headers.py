"""The gate of foreign headers: every kind of damage is an InputError that names its keyword."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.io.fits import Card, Header
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from dmontage.errors import InputError
from dmontage.grid import Grid
from dmontage.headers import (
    angle,
    build_wcs,
    card_text,
    checked_cards,
    checked_shape,
    frame_of,
    header_of,
    parse_header,
)

GOOD: dict[str, Any] = {
    "NAXIS": 2,
    "NAXIS1": 100,
    "NAXIS2": 80,
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 83.8,
    "CRVAL2": -5.4,
    "CRPIX1": 50.5,
    "CRPIX2": 40.5,
    "CDELT1": -1 / 3600,
    "CDELT2": 1 / 3600,
}
SIP: dict[str, Any] = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2}


def header(**changes: Any) -> Header:
    """A good header with some cards changed, or (None) taken out."""
    return Header([(key, value) for key, value in (GOOD | changes).items() if value is not None])


def with_card(text: str) -> Header:
    """A good header with one card as it stands in a file."""
    result = header(**{text[:8].strip(): None})
    result.append(Card.fromstring(text))
    return result


def test_the_good_header_passes() -> None:
    assert Grid.from_header(header()).shape == (80, 100)
    assert checked_cards(header()) == {k: v for k, v in GOOD.items() if not k.startswith("NAXIS")}


@pytest.mark.parametrize(
    ("damaged", "named"),
    [
        (header(CRVAL1="NaN"), "CRVAL1 = 'NaN'"),
        (with_card("CRVAL1  = 1E400"), "CRVAL1 = inf"),
        (with_card("CRPIX2  = -1E400"), "CRPIX2 = -inf"),
        (header(CDELT1=1e31), "CDELT1"),
        (header(CRPIX1=True), "CRPIX1 = True"),
        (header(CDELT2="0.1"), "CDELT2 = '0.1'"),
        (with_card("CRVAL2  ="), "CRVAL2"),
        (header(CTYPE1=None), "CTYPE1 is missing"),
        (header(CTYPE2=None), "CTYPE2 is missing"),
        (header(CTYPE1=5), "CTYPE1 = 5"),
        (header(CTYPE1="FREQ", CTYPE2="VELO"), "CTYPE1 = 'FREQ'"),
        (header(CTYPE1="", CTYPE2=""), "CTYPE1"),
        (header(CTYPE2="GLAT-TAN"), "WCS"),
        (header(CDELT1=0.0), "singular"),
        (header(CD1_1=1e-4, CD1_2=2e-4, CD2_1=2e-4, CD2_2=4e-4), "singular"),
        (header(PC1_1=0.0, PC2_2=0.0), "singular"),
        (header(NAXIS1=0), "NAXIS1 = 0"),
        (header(NAXIS2=-5), "NAXIS2 = -5"),
        (header(NAXIS1=100.0), "NAXIS1 = 100.0"),
        (header(NAXIS1=True), "NAXIS1 = True"),
        (header(NAXIS1="100"), "NAXIS1 = '100'"),
        (header(NAXIS1=2**31), "NAXIS1"),
        (header(NAXIS2=None), "NAXIS2 = None"),
        (with_card("NAXIS1  = 1..2"), "NAXIS1"),
        (with_card("CTYPE1  = 'RA---TAN"), "CTYPE1"),
        (with_card("CTYPE3  = 1..2"), "CTYPE3"),
        (with_card("CD3_1   = NaN"), "CD3_1"),
        (with_card("CPDIS1  = 1..2"), "CPDIS1"),
        (header(CPDIS1="LOOKUP"), "CPDIS1"),
        (header(CPDIS2="lookup"), "CPDIS2"),
        (header(D2IMDIS1="LOOKUP"), "D2IMDIS1"),
        (header(CQDIS2="LOOKUP"), "CQDIS2"),
        (header(**SIP, A_2_0="1e-5"), "A_2_0"),
        (header(**(SIP | {"A_ORDER": 40000})), "A_ORDER = 40000"),
        (header(**(SIP | {"B_ORDER": 2.5})), "B_ORDER = 2.5"),
        (header(**(SIP | {"B_ORDER": None})), "B_ORDER"),
        (header(**SIP, A_2_0=0.02, A_0_2=-0.02, B_1_1=0.03), "distortion"),
        (header(CRPIX1=1e9, CRPIX2=1e9, CTYPE1="RA---SIN", CTYPE2="DEC--SIN"), "CRPIX"),
        (header(CUNIT1="furlong"), "WCS"),
    ],
)
def test_damage_is_named(damaged: Header, named: str) -> None:
    with pytest.raises(InputError) as caught:
        Grid.from_header(damaged)
    assert named in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_refused(value: float) -> None:
    # A Header refuses to hold such a number, a card's text does not.
    with pytest.raises(InputError, match="CRVAL1"):
        Grid.from_header(parse_header(Grid.from_header(header()).to_template().replace("83.8", f"{value!r}".upper())))


@pytest.mark.parametrize("number", [np.int64(50), np.int16(50), np.float32(50.0)])
def test_numbers_of_numpy_are_numbers(number: Any) -> None:
    """A side over two, a mean of float32: headers that are made in memory hold them."""
    made = header()
    made["CRPIX1"] = number
    for cards in (made, GOOD | {"CRPIX1": number}):
        assert checked_cards(cards)["CRPIX1"] == 50.0
    assert Grid.from_header(made) == Grid.from_header(header(CRPIX1=50.0))
    with pytest.raises(InputError, match="CRPIX1"):
        checked_cards(GOOD | {"CRPIX1": np.bool_(True)})


def test_old_names_and_units_are_read() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        old = Grid.from_header(header(RADECSYS="FK5", EQUINOX=1975, CUNIT1="degrees", CUNIT2="degree"))
    assert old.frame.name == "fk5"
    assert old.frame.equinox.jyear == 1975
    harmless = header(WAT0_001="system=image", WAT1_001="wtype=tan axtype=ra", LTV1="x")
    assert Grid.from_header(harmless) == Grid.from_header(header())


@pytest.mark.parametrize(("value", "year"), [("2000.0", 2000.0), ("J2000", 2000.0), ("B1950.0", 1950.0), (0, None)])
def test_equinoxes_in_words_and_none(value: Any, year: float | None) -> None:
    cards = checked_cards(header(EQUINOX=value))
    assert cards.get("EQUINOX") == year
    assert frame_of(build_wcs(cards)).name == {None: "icrs", 1950.0: "fk4", 2000.0: "fk5"}[year]
    assert checked_cards(header(EQUINOX=2000.0, EPOCH=2451545.0))["EQUINOX"] == 2000.0  # the old name yields


@pytest.mark.parametrize("key", ["EQUINOX", "EPOCH"])
@pytest.mark.parametrize("year", [-5.0, 1799.0, 10000.0, 1e9])
def test_equinoxes_out_of_range_are_named(key: str, year: float) -> None:
    with pytest.raises(InputError, match=rf"{key} = {re.escape(repr(year))} .*1800 to 2100"):
        checked_cards(header(**{key: year}))


def test_units_in_capitals_and_a_latitude_beyond_the_pole() -> None:
    assert checked_cards(header(CUNIT1="DEG", CUNIT2="DEG")) | {"CUNIT1": "deg"} == checked_cards(
        header(CUNIT1="deg", CUNIT2="deg")
    )
    with pytest.raises(InputError, match=r"CRVAL2 = 91.0 must be a latitude from -90 to 90"):
        checked_cards(header(CRVAL2=91.0))
    checked_cards(header(CUNIT1="arcsec", CUNIT2="arcsec", CRVAL2=3600.0))


def test_cards_of_other_axes_and_keywords_are_left_out() -> None:
    cards = checked_cards(header(CTYPE3="FREQ", CRVAL3=1e99, OBJECT="M42", CD3_3=1.0, CRVAL1A=5.0))
    assert set(cards) == set(checked_cards(header()))


def test_an_absent_crpix_is_the_standards_zero() -> None:
    assert checked_cards(header(CRPIX1=None))["CRPIX1"] == 0.0


# -- templates ---------------------------------------------------------------------------------------------------------


def test_templates_in_every_form() -> None:
    lines = [card_text(key, value) for key, value in GOOD.items()]
    want = dict(parse_header("\n".join(lines)))
    assert want == GOOD
    assert dict(parse_header("\r\n".join(lines) + "\r\nEND\r\nCRVAL1 = 7\r\n")) == GOOD
    assert dict(parse_header("".join(f"{line:<80}" for line in [*lines, "END"]))) == GOOD
    assert dict(parse_header("\n".join(f"{k.lower()} ={v!r}" for k, v in GOOD.items()))) == GOOD
    assert parse_header("CRVAL1 = 1.5D2 / " + "a long comment " * 8)["CRVAL1"] == 150.0


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("junk", "no FITS cards"),
        ("", "no FITS cards"),
        ("CRVAL1 = abc def\n", "CRVAL1 = abc def"),
        ("CTYPE1 = 'RA---TAN\n", "CTYPE1"),
        ("\x00\x01=5\n", "cannot read the card"),
        ("CRVAL1 = (1, 2\n", "CRVAL1"),
    ],
)
def test_garbage_in_a_template_is_named(text: str, named: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_header(text, "mine.hdr")
    assert "mine.hdr" in str(caught.value)
    assert named in str(caught.value)


@pytest.mark.parametrize("content", [bytes(range(256)) * 20, None])
def test_a_file_that_is_no_template_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "image.hdr"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"image\.hdr"):
        Grid.from_header(path)


# -- numbers keep their digits -----------------------------------------------------------------------------------------


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_cards_number_comes_back_bit_for_bit(value: float) -> None:
    text = card_text("CRVAL1", value)
    assert len(text) <= 80
    back = Card.fromstring(text).value
    assert float(back).hex() == value.hex()


@pytest.mark.parametrize("value", ["RA---TAN", "it's", "", True, False, 7, np.int64(-3)])
def test_other_cards_come_back(value: Any) -> None:
    assert Card.fromstring(card_text("KEY", value)).value == value


def test_build_wcs_keeps_all_digits_and_is_quiet() -> None:
    cards = GOOD | {"CDELT1": -1 / 3600.1, "CDELT2": 1 / 3600.1, "CRVAL1": 1e-5 / 3, "RADESYS": "FK5", "EPOCH": 2000.0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wcs = build_wcs({key: value for key, value in cards.items() if not key.startswith("NAXIS")})
    assert tuple(wcs.wcs.cdelt) == (-1 / 3600.1, 1 / 3600.1)
    assert wcs.wcs.crval[0] == 1e-5 / 3


def test_header_of_keeps_what_to_header_cuts() -> None:
    wcs = WCS(header(**SIP, A_2_0=1e-6, B_0_2=1e-6))
    third = 1 / 3
    wcs.wcs.crval = [83 + third, -5 - third]
    wcs.wcs.crpix = [50 + third, 40 + third]
    wcs.wcs.cdelt = [-third / 1200, third / 1200]
    wcs.wcs.set()
    cut, kept = wcs.to_header(relax=True), header_of(wcs)
    for key, value in (("CRVAL1", 83 + third), ("CRPIX2", 40 + third), ("CDELT1", -third / 1200)):
        assert kept[key] == value
        assert cut[key] != value
    assert (kept["A_2_0"], kept["B_0_2"]) == (wcs.sip.a[2, 0], wcs.sip.b[0, 2])


# -- angles and shapes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_angle", "degrees"),
    [("1 deg", 1.0), ("0.5arcsec", 0.5 / 3600), (3 * u.arcmin, 0.05), ("1 rad", 57.29577951308232)],
)
def test_angles(given_angle: Any, degrees: float) -> None:
    assert angle(given_angle, "size") == pytest.approx(degrees, rel=1e-15)


@pytest.mark.parametrize(
    "wrong", ["5", 5, "wide", None, "1 m", "-1 deg", "0 deg", "nan deg", "inf deg", [1, 2] * u.deg]
)
def test_what_is_no_angle_is_named(wrong: Any) -> None:
    with pytest.raises(InputError, match="scale"):
        angle(wrong, "scale")


def test_a_rotation_may_be_negative() -> None:
    assert angle("-1 deg", "rotation", positive=False) == -1.0


@pytest.mark.parametrize("shape", [(0, 5), (5, -1), (2.0, 3), (True, 4), (2**31, 4)])
def test_shapes_that_are_none(shape: Any) -> None:
    with pytest.raises(InputError, match="NAXIS"):
        checked_shape(Header(), shape)


@pytest.mark.parametrize("shape", [5, (5,), ()])
def test_a_shape_has_two_sides(shape: Any) -> None:
    with pytest.raises(InputError, match=r"shape .* must be two whole numbers: \(ny, nx\)"):
        checked_shape(Header(), shape)
