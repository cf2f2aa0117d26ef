"""Companions: which HDU or file belongs to an image, and what is said of one that is missing or wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from surveys import SHAPE, image_header, write_image

import dmontage as dm
from dmontage.errors import InputError
from dmontage.fits_files import read, scan
from dmontage.fits_files.companions import Wanted, find_companions
from dmontage.model import Companions, ImageRef

ONES = np.ones(SHAPE, np.float32)


def write_extensions(path: Path, *extensions: tuple[str, int, NDArray[Any]], **cards: Any) -> Path:
    """A file with an empty primary HDU and extensions (EXTNAME, EXTVER, data), each with the image's WCS."""
    hdus: list[Any] = [fits.PrimaryHDU()]
    for name, version, data in extensions:
        header = image_header()
        header.update(cards)
        hdus.append(fits.ImageHDU(data, header, name=name, ver=version))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def only(path: Path, strict: bool = False, **wanted: Any) -> tuple[ImageRef, Companions]:
    """The one image of a file, and what stands beside it."""
    images, found = find_companions(scan(path), Wanted(**wanted), strict=strict)
    assert len(images) == 1
    return images[0], found[images[0]]


def test_nothing_wanted_nothing_done(tmp_path: Path) -> None:
    images = scan(write_image(tmp_path / "a.fits", ONES))
    assert find_companions(images, Wanted()) == (images, {})


def test_extensions_of_the_same_file(tmp_path: Path) -> None:
    """By name, in any case; their pixels are read as an image's are."""
    layers = [np.full(SHAPE, k) for k in range(4)]
    path = write_extensions(
        tmp_path / "a.fits", *((name, 1, layers[k]) for k, name in enumerate(("SCI", "WHT", "DQ", "VAR")))
    )
    ref, beside = only(path, weight_map="wht", mask="DQ", variance="VAR")
    assert ref.hdu == 1
    for companion, layer in zip(beside.maps[:3], layers[1:], strict=True):
        assert companion is not None
        np.testing.assert_array_equal(read(companion), layer)


def test_extensions_go_by_their_version(tmp_path: Path) -> None:
    """Two chips in one file, their masks in another order."""
    path = write_extensions(
        tmp_path / "a.fits", ("SCI", 1, ONES), ("DQ", 2, 2 * ONES), ("SCI", 2, ONES), ("DQ", 1, ONES)
    )
    images, found = find_companions(scan(path), Wanted(mask="DQ"))
    assert [(ref.hdu, found[ref].mask.hdu) for ref in images] == [(1, 4), (3, 2)]  # type: ignore[union-attr]
    write_extensions(path, ("SCI", 1, ONES), ("DQ", 1, ONES), ("SCI", 2, ONES))
    images, _ = find_companions(scan(path), Wanted(mask="DQ"))
    assert [ref.hdu for ref in images] == [1]
    assert images.skipped[-1].reason == "has no mask: no HDU named DQ of version (EXTVER) 2"
    write_extensions(path, ("SCI", 7, ONES), ("DQ", 1, ONES))  # one image and one mask belong together
    assert only(path, mask="DQ")[1].mask is not None


def test_files_of_one_name_in_two_folders(tmp_path: Path) -> None:
    """Sorted by name, their images stand mixed; each has the map of its own chip, or none."""
    layers = [("SCI", 1, ONES), ("SCI", 2, ONES), ("WHT", 1, ONES), ("WHT", 2, 2 * ONES)]
    for folder, n in (("n1", 4), ("n2", 4), ("n3", 3)):
        (tmp_path / folder).mkdir()
        write_extensions(tmp_path / folder / "x.fits", *layers[:n])
    images, found = find_companions(scan(tmp_path), Wanted("WHT"))
    assert [(Path(ref.path).parent.name, ref.hdu) for ref in images] == [
        ("n1", 1), ("n2", 1), ("n3", 1), ("n1", 2), ("n2", 2)
    ]  # fmt: skip
    assert [found[ref].weight.hdu for ref in images] == [3, 3, 3, 4, 4]  # type: ignore[union-attr]
    with pytest.raises(InputError, match=r"x\.fits\[2\]: has no weight map: .* of version \(EXTVER\) 2"):
        find_companions(scan(tmp_path / "n3")[1:2], Wanted("WHT"))  # a selection of one is not the only one


def test_a_misspelt_name_is_not_told_of_each_image(tmp_path: Path) -> None:
    data = np.ones((4, 5), np.float32)
    for k in range(53):
        write_image(tmp_path / f"{k:02}.fits", data)
    with pytest.raises(InputError) as caught:
        dm.plan(tmp_path, mask="DQQ")
    lines = str(caught.value).splitlines()
    assert len(lines) == 52
    assert lines[1] == "  00.fits: has no mask: no HDU named DQQ" and lines[-1] == "  ... and 3 more"


@pytest.mark.parametrize("name", ["a.fits", "a.fit", "a.fits.gz"])
def test_files_beside_the_image(tmp_path: Path, name: str) -> None:
    """As SWarp names them; found in the image's own folder, and no image themselves."""
    write_image(tmp_path / name, ONES)
    write_image(tmp_path / "a.weight.fits", 3 * ONES)
    write_image(tmp_path / "b.fits", ONES)
    images, found = find_companions(scan(tmp_path), Wanted(weight_map=".weight.fits"))
    assert [ref.name for ref in images] == [name]
    companion = found[images[0]].weight
    assert companion is not None and companion.path == str(tmp_path / "a.weight.fits")
    np.testing.assert_array_equal(read(companion), 3 * ONES)
    assert {item.name: item.reason for item in images.skipped} == {
        "a.weight.fits": "it is a weight map, no image",
        "b.fits": "has no weight map: there is no b.weight.fits beside it",
    }


def test_the_hdu_of_a_file_beside(tmp_path: Path) -> None:
    """That of the image's number, or the only one there is."""
    write_image(tmp_path / "a.fits", ONES)
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(ONES)]).writeto(tmp_path / "a_wht.fits")
    assert only(tmp_path / "a.fits", weight_map="_wht.fits")[1].weight.hdu == 1  # type: ignore[union-attr]
    write_extensions(tmp_path / "b.fits", ("SCI", 1, ONES), ("SCI", 2, ONES))
    write_extensions(tmp_path / "b_wht.fits", ("WHT", 1, ONES), ("WHT", 2, ONES))
    _, found = find_companions(scan(tmp_path / "b.fits"), Wanted(weight_map="_wht.fits"))
    assert [beside.weight.hdu for beside in found.values()] == [1, 2]  # type: ignore[union-attr]


def test_an_extension_with_a_name_of_its_own_is_no_image(tmp_path: Path) -> None:
    """The scan cannot know that WGT1 is a weight map; who asks for it does."""
    path = write_extensions(tmp_path / "a.fits", ("SCI", 1, ONES), ("WGT1", 1, ONES))
    assert len(scan(path)) == 2
    ref, beside = only(path, strict=True, weight_map="WGT1")
    assert (ref.hdu, beside.weight.hdu) == (1, 2)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"mask": "FLAGS"}, "has no mask: no HDU named FLAGS"),
        ({"mask": " "}, "mask ' ' is no name: give an EXTNAME"),
        ({"weight_map": ""}, "weight_map '' is no name: give an EXTNAME"),
        ({"variance": ".var.fits"}, "has no variance: there is no a.var.fits beside it"),
        ({"weight_map": "WHT"}, r"its weight map, HDU 2, has shape \(3, 4\), the image \(80, 100\)"),
        ({"weight_map": ".bad.fits"}, r"its weight map a\.bad\.fits has shape \(3, 4\), the image \(80, 100\)"),
        ({"weight_map": ".text.fits"}, r"its weight map a\.text\.fits cannot be opened"),
        ({"image_weight": "GAIN"}, "has no weight: no header keyword GAIN"),
        ({"image_weight": "EXPTIME"}, "its header keyword EXPTIME is -3.0, not a positive number"),
        ({"image_weight": "OBJECT"}, "its header keyword OBJECT is 'M31', not a positive number"),
        ({"image_weight": {"b.fits": 2.0}}, "no entry of image_weight names any of the images: the first is 'b.fits'"),
        ({"image_weight": {}}, "no entry of image_weight names any of the images: there is none"),
        ({"zero_point": "MAGZP"}, "has no zero point: no header keyword MAGZP"),
        ({"zero_point": "OBJECT"}, "OBJECT is 'M31', not a number of magnitudes between -90 and 90"),
        ({"zero_point": {"a.fits": np.nan}}, "its entry of zero_point is nan, not a number of magnitudes"),
        ({"zero_point": {"a.fits": 99.0}}, "its entry of zero_point is 99.0, not a number of magnitudes"),
        ({"zero_point": {"a.fits": True}}, "its entry of zero_point is True, not a number of magnitudes"),
        ({"flux_scale": "EXPTIME"}, "has no flux scale: its header keyword EXPTIME is -3.0, not a positive number"),
        ({"flux_scale": "1/EXPTIME"}, "has no flux scale: its header keyword EXPTIME is -3.0, not a positive number"),
        ({"zero_point": "1/EXPTIME"}, "has no zero point: no header keyword 1/EXPTIME"),
        ({"flux_scale": {"a.fits": 0.0}}, "its entry of flux_scale is 0.0, not a positive number"),
        ({"image_weight": {"a.fits": np.inf}}, "its entry of image_weight is inf, not a positive number"),
    ],
)
def test_what_is_missing_or_wrong_is_said(tmp_path: Path, wanted: dict[str, Any], reason: str) -> None:
    """Of one among others it is a reason to be skipped; strict, and of all, an error."""
    path = write_extensions(
        tmp_path / "a.fits", ("SCI", 1, ONES), ("WHT", 1, np.ones((3, 4))), EXPTIME=-3.0, OBJECT="M31"
    )
    write_image(tmp_path / "a.bad.fits", np.ones((3, 4)))
    (tmp_path / "a.text.fits").write_text("nothing")
    for strict in (True, False):
        with pytest.raises(InputError, match=reason):
            find_companions(scan(path), Wanted(**wanted), strict=strict)


def test_weights_of_images(tmp_path: Path) -> None:
    """From the image's header, else the primary one; or by name, by file name or by path."""
    path = write_image(tmp_path / "a.fits", ONES, EXPTIME=30)
    assert only(path, image_weight="EXPTIME")[1].factor == 30
    primary = fits.PrimaryHDU()
    primary.header["EXPTIME"] = 12.5
    other = tmp_path / "b.fits"
    fits.HDUList([primary, fits.ImageHDU(ONES, image_header())]).writeto(other)
    assert only(other, image_weight="EXPTIME")[1].factor == 12.5
    for number in (np.int64(2), np.float32(2)):
        assert only(other, image_weight={"b.fits": number})[1].factor == 2
    for key in ("b.fits[1]", "b.fits", str(other)):
        assert only(other, image_weight={key: 2})[1].factor == 2


def test_a_skipped_image_is_in_the_plan(tmp_path: Path) -> None:
    """C27: counted and named."""
    for name in ("a", "b"):
        write_image(tmp_path / f"{name}.fits", ONES)
    write_image(tmp_path / "a.w.fits", ONES)
    text = str(dm.plan(tmp_path, weight_map=".w.fits"))
    assert "1 used" in text and "2 skipped" in text
    assert "b.fits: has no weight map: there is no b.w.fits beside it" in text and "a.w.fits: it is a weight" in text
    with pytest.raises(InputError, match=r"b\.fits: has no weight map"):
        dm.plan(tmp_path, weight_map=".w.fits", strict=True)
