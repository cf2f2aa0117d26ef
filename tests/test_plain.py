"""What is read without astropy's help is what astropy reads: headers of plain files, and the WCS of plain cards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from dmontage.fits_files.plain import plain_image
from dmontage.headers import build_wcs, cards_text

CARDS: dict[str, Any] = {
    "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 83.8, "CRVAL2": -5.4, "CRPIX1": 8.0, "CRPIX2": 9.5,
    "CDELT1": -1e-3, "CDELT2": 1e-3, "EQUINOX": 2000.0, "OBJECT": "O'Neil's", "CREATOR": "me", "EXPTIME": 3, "OK": True,
}  # fmt: skip

STRANGE = (
    "CRVAL1  = 1D2", "CRVAL1  = 007", "CRVAL1  = - 5", "CRVAL1  = 1E400", "CRVAL1  = 'NaN'", "CRVAL1  = NaN",
    "CRVAL1  =12.5", "CRVAL1  = 12.5/c", "CRVAL1  = 5 x", "CRVAL1  = 5.0E", "CRVAL1  = +.001", "CRVAL1  = 1.E-3",
    "CRVAL1  =", "CRVAL1 = 3", "crval1  = 3", "DQ1     = 'A.1: 2'", "OBJECT  = 'a: 1.0'", "OBJECT  = 'a'/b'c'",
    "OBJECT  = 'a' b", "OBJECT  = ''", "OBJECT  = 'a''b '", "CONTINUE  'abc'", "HIERARCH ESO = 3", "COMPLEX = (1, 2)",
    "COMMENT   = 4", "HISTORY = 'x'", "        = 5", "NAXIS3  = 1", "NAXIS   = 3", "NAXIS1  = 0", "BITPIX  = 16",
    "SIMPLE  = F", "GROUPS  = T", "PCOUNT  = 8", "EXTEND  = T", "END", "END     = 3", "CPDIS1  = 'LOOKUP'",
    "BSCALE  = 0", "BSCALE  = 'a'", "BZERO   = 1E999", "BLANK   = 1.5",
)  # fmt: skip
"""Cards that astropy reads in its own way, or mends, or that make an image another one."""


def file_with(path: Path, cards: dict[str, Any] = CARDS) -> bytes:
    fits.PrimaryHDU(np.zeros((16, 12), np.float32), fits.Header(cards.items())).writeto(path, overwrite=True)
    return path.read_bytes()


def agrees(path: Path) -> bool:
    """Whether a file is taken for a plain one; then everything in it must be what astropy has."""
    plain = plain_image(path, path.stat().st_size)
    if plain is None:
        return False
    with fits.open(path, memmap=False) as hdus:
        assert len(hdus) == 1
        assert plain.shape == hdus[0].shape
        header = hdus[0].header
        assert {*plain.header} == {*header} - {"COMMENT", "HISTORY", ""}
        for key, value in plain.header.items():
            assert value == header[key]
            assert type(value) is type(header[key])
    return True


def test_a_plain_file_is_read_as_astropy_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    file_with(path)
    assert agrees(path)


@pytest.mark.parametrize("card", STRANGE)
def test_a_strange_card_is_read_as_astropy_reads_it_or_left_to_it(tmp_path: Path, card: str) -> None:
    path = tmp_path / "a.fits"
    data = file_with(path)
    for place in range(4, 10):
        path.write_bytes(data[: 80 * place] + card.ljust(80).encode() + data[80 * (place + 1) :])
        agrees(path)


@pytest.mark.parametrize("seed", range(4))
def test_any_damage_is_read_as_astropy_reads_it_or_left_to_it(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    path = tmp_path / "a.fits"
    data = file_with(path)
    taken = 0
    for _ in range(150):
        damaged = bytearray(data)
        for _ in range(rng.integers(1, 3)):
            damaged[rng.integers(80 * 22)] = rng.choice(list(b" '=/TFED.019+-eax:\x00\x80N"))
        path.write_bytes(damaged)
        try:
            taken += agrees(path)
        except OSError as error:  # astropy gives a file up: it must not have been taken
            raise AssertionError(bytes(damaged)) from error
    assert 0 < taken < 150


@pytest.mark.filterwarnings("ignore:File may have been truncated")
@pytest.mark.parametrize("change", [-1, -2880, 80, 2880])
def test_a_file_of_another_size_is_left_to_astropy(tmp_path: Path, change: int) -> None:
    path = tmp_path / "a.fits"
    data = file_with(path)
    path.write_bytes(data[:change] if change < 0 else data + bytes(change))
    n_bytes = 16 * 12 * 4
    assert agrees(path) == (len(data) - 2880 + n_bytes <= len(data) + change <= len(data))


def test_an_image_of_several_is_left_to_astropy(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    file_with(path)
    fits.append(path, np.zeros((3, 4), np.float32))
    assert not agrees(path)


SIP: dict[str, Any] = {
    "CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 3, "B_ORDER": 2, "A_2_0": 3e-6, "A_1_2": -1e-9,
    "B_0_2": 4e-6,
}  # fmt: skip
BACK: dict[str, Any] = {"AP_ORDER": 2, "BP_ORDER": 3, "AP_1_1": 1e-6, "BP_3_0": 2e-9}
TPV: dict[str, Any] = {
    "CTYPE1": "RA---TPV",
    "CTYPE2": "DEC--TPV",
    "PV1_1": 1.0,
    "PV2_1": 1.0,
    "PV1_7": 1e-3,
    "PV2_4": -2e-3,
}
WCS_CARDS: dict[str, dict[str, Any]] = {
    "TAN": {},
    "CROTA": {"CROTA2": -0.29, "CUNIT1": "deg"},
    "CD": {"CD1_1": -1e-3, "CD1_2": 1e-5, "CD2_1": 2e-5, "CD2_2": 1e-3},
    "PC": {"PC1_1": 0.8, "PC1_2": 0.6, "PC2_1": -0.6, "PC2_2": 0.8, "LONPOLE": 170.0},
    "galactic": {"CTYPE1": "GLON-CAR", "CTYPE2": "GLAT-CAR", "CRVAL2": 0.0},
    "swapped": {"CTYPE1": "DEC--SIN", "CTYPE2": "RA---SIN", "CRVAL1": -5.4, "CRVAL2": 83.8},
    "slant": {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "PV2_1": 0.1, "PV2_2": -0.2},
    "old": {"RADESYS": "FK4", "EQUINOX": 1950.0},
    "SIP": SIP,
    "SIP both ways": SIP | BACK,
    "SIP of the first order": SIP | {"A_ORDER": 1, "B_ORDER": 1},
    "SIP of one axis": {key: value for key, value in SIP.items() if not key.startswith("B")},
    "TPV": TPV,
    "SCAMP": TPV | {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"},
    "text for a number": {"CRVAL1": "NaN"},
    "nonsense": {"CTYPE1": "RA---XYZ", "CTYPE2": "DEC--XYZ"},
    "unit": {"CUNIT1": "furlong"},
}


def astropys(text: str) -> Any:
    wcs = WCS(fits.Header.fromstring(text, sep="\n"), fix=False)
    wcs.wcs.fix()
    wcs.wcs.set()
    return wcs


@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning")
@pytest.mark.parametrize("name", WCS_CARDS)
def test_a_wcs_is_astropys_to_the_bit(name: str) -> None:
    cards = {key: value for key, value in CARDS.items() if key[:3] in ("CTY", "CRV", "CRP", "CDE")} | WCS_CARDS[name]
    if name == "CD":
        cards = {key: value for key, value in cards.items() if not key.startswith("CDELT")}
    text = cards_text(cards)
    try:
        true = astropys(text)
    except Exception as error:
        with pytest.raises(type(error)) as raised:
            build_wcs(text)
        assert str(raised.value) == str(error)
        return
    wcs = build_wcs(text)
    assert wcs.wcs.compare(true.wcs)
    assert wcs.to_header(relax=True).tostring() == true.to_header(relax=True).tostring()
    x, y = np.random.default_rng(2).uniform(-50, 50, (2, 500))
    world = true.all_pix2world(x, y, 0)
    assert np.array_equal(wcs.all_pix2world(x, y, 0), world, equal_nan=True)
    assert np.array_equal(wcs.wcs_world2pix(*world, 0), true.wcs_world2pix(*world, 0), equal_nan=True)
    assert np.array_equal(wcs.pix2foc(x, y, 0), true.pix2foc(x, y, 0))
    if true.sip is not None and true.sip.ap is not None:
        assert np.array_equal(wcs.sip_foc2pix(x, y, 0), true.sip_foc2pix(x, y, 0))


@pytest.mark.parametrize("card", ["BSCALE  = 0", "BSCALE  = 'a'", "BZERO   = 1E999", "BLANK   = 1.5"])
def test_a_strange_scale_is_left_to_astropy(tmp_path: Path, card: str) -> None:
    path = tmp_path / "a.fits"
    data = file_with(path)
    assert agrees(path)
    path.write_bytes(data[: 80 * 8] + card.ljust(80).encode() + data[80 * 9 :])
    assert not agrees(path)
