"""Whole arrays into files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from dmontage.errors import InputError
from dmontage.fits_files import one_image, other_cards, read, write_image
from dmontage.grid import Grid


def grid() -> Grid:
    return Grid.around("05h35m -5d23m", scale="0.1234567890123 arcsec", shape=(4, 5), rotation="31.3 deg")


def test_an_image_comes_back_with_all_its_digits(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(4, 5))
    values[1, 2] = np.nan
    write_image(tmp_path / "a.fits", values, grid(), [("BUNIT", "Jy/sr", "of pixels"), ("OBJECT", "Orion")])
    ref = one_image(tmp_path / "a.fits")
    assert ref.grid == grid()
    np.testing.assert_array_equal(read(ref), values)
    header = fits.getheader(tmp_path / "a.fits")
    assert (header["BITPIX"], header["NAXIS"], header["BUNIT"], header["OBJECT"]) == (-64, 2, "Jy/sr", "Orion")
    assert header.comments["BUNIT"] == "of pixels"


def test_a_cube_too(tmp_path: Path) -> None:
    values = np.arange(60.0).reshape(3, 4, 5)
    write_image(str(tmp_path / "a.fits"), values, grid())
    ref = one_image(tmp_path / "a.fits")
    assert (ref.grid, ref.planes) == (grid(), (3,))
    np.testing.assert_array_equal(read(ref), values)


def test_nothing_is_left_where_it_fails(tmp_path: Path) -> None:
    (tmp_path / "a.fits").mkdir()
    with pytest.raises(InputError, match=r"cannot write .*a\.fits"):
        write_image(tmp_path / "a.fits", np.zeros((4, 5)), grid())
    with pytest.raises(InputError, match="cannot write"):
        write_image(tmp_path / "none" / "a.fits", np.zeros((4, 5)), grid())
    with pytest.raises(ValueError, match="shape"):
        write_image(tmp_path / "b.fits", np.zeros((5, 4)), grid())
    assert [p.name for p in tmp_path.iterdir()] == ["a.fits"]


def test_an_older_file_is_replaced(tmp_path: Path) -> None:
    write_image(tmp_path / "a.fits", np.zeros((4, 5)), grid())
    write_image(tmp_path / "a.fits", np.ones((4, 5)), grid())
    assert read(one_image(tmp_path / "a.fits")).sum() == 20.0
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("compressed", [False, True])
def test_cards_that_are_neither_wcs_nor_structure(tmp_path: Path, compressed: bool) -> None:
    header = grid().to_header()
    header.update(BUNIT="DN", FILTER=("J", "band"), BSCALE=2.0, BZERO=1.0, BLANK=-1, EPOCH=2000.0, DATAMAX=7)
    header.add_history("flat-fielded")
    header.add_comment(" FITS (Flexible Image Transport System) format is defined in 'Astronomy")
    header.add_comment("clouds")
    kind = fits.CompImageHDU if compressed else fits.ImageHDU
    fits.HDUList([fits.PrimaryHDU(), kind(np.zeros((4, 5), np.int16), header)]).writeto(tmp_path / "a.fits")
    assert other_cards(one_image(tmp_path / "a.fits")) == [
        ("BUNIT", "DN", ""), ("FILTER", "J", "band"), ("HISTORY", "flat-fielded", ""), ("COMMENT", "clouds", "")
    ]  # fmt: skip
