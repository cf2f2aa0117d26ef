"""mSubimage, mShrink and mFixNaN: against numpy and the WCS, and beside MontagePy."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from surveys import image_header, write_image
from test_wcs_kinds import with_tables

from dmontage.fits_files import one_image
from dmontage.grid import Grid
from dmontage.montage import mFixNaN, mShrink, mSubimage

SHAPE = (60, 50)
Floats = NDArray[np.float64]

Box = tuple[float, float, float, float]

NONE: Any = np.empty(0)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """in.fits: floats with a few blanks, turned; i16.fits: scaled integers with a BLANK."""
    monkeypatch.chdir(tmp_path)
    header = image_header(rotation=17.0, shape=SHAPE)
    header["OBJECT"] = "a thing"
    header["CRPIX1A"], header["CRPIX2A"], header["LTV1"], header["LTM1_1"] = 1.0, 2.0, 3.0, 1.0
    write_image(tmp_path / "in.fits", values(), header)
    write_image(tmp_path / "cube.fits", np.stack([values(), values(1), values(2)]), header)
    stored = np.arange(3000, dtype=np.int16).reshape(SHAPE) - 100
    form = fits.Header([("SIMPLE", True), ("BITPIX", 16), ("NAXIS", 2), ("NAXIS1", 50), ("NAXIS2", 60)])
    form.extend([*header.cards, ("BSCALE", 0.5), ("BZERO", 10.0), ("BLANK", 7)], strip=False)
    pixels = stored.astype(">i2").tobytes()
    (tmp_path / "i16.fits").write_bytes(form.tostring().encode() + pixels + bytes(-len(pixels) % 2880))
    fits.writeto(tmp_path / "nowcs.fits", np.arange(200.0).reshape(20, 10))
    fits.writeto(tmp_path / "blank.fits", np.full(SHAPE, np.nan), header)
    (tmp_path / "no.fits").write_text("garbage")
    return tmp_path


def values(seed: int = 0) -> Floats:
    data = 100 + np.random.default_rng(seed).normal(size=SHAPE)
    data[20:25, 30] = np.nan
    return data


class Cut(NamedTuple):
    """A file as it is stored."""

    data: NDArray[Any]
    header: fits.Header


def cut(image: str = "in.fits", box: Box = (10, 12, 5, 6), **options: Any) -> Cut:
    answer = mSubimage(image, "out.fits", *box, **({"mode": 1} | options))
    assert answer["status"] == "0", answer
    with fits.open("out.fits", do_not_scale_image_data=True, memmap=False) as hdus:
        return Cut(hdus[0].data, hdus[0].header)


# -- mSubimage ---------------------------------------------------------------------------------------------------------


def test_a_box_of_pixels(work: Path) -> None:
    """FITS pixels 10 to 15 and 12 to 18, both included."""
    made = cut()
    np.testing.assert_array_equal(made.data, values()[11:18, 9:15])
    assert one_image("out.fits").grid.shift_from(one_image("in.fits").grid) == (-11, -9)
    header = fits.getheader("in.fits")
    assert (made.header["CRPIX1A"], made.header["CRPIX2A"], made.header["LTV1"]) == (-8.0, -9.0, -6.0)
    assert made.header["OBJECT"] == "a thing" and made.header["CRVAL1"] == header["CRVAL1"]


@pytest.mark.parametrize(
    ("box", "where"),
    [
        ((10.4, 12.6, 5.2, 6.7), (slice(11, 19), slice(9, 16))),
        ((-5, -5, 10, 10), (slice(0, 5), slice(0, 5))),
        ((45, 55, 20, 20), (slice(54, 60), slice(44, 50))),
        ((1, 1, 0, 0), (slice(0, 1), slice(0, 1))),
    ],
)
def test_boxes_are_cropped_to_the_image(work: Path, box: Box, where: tuple[slice, slice]) -> None:
    np.testing.assert_array_equal(cut(box=box).data, values()[where])


def test_a_box_on_the_sky(work: Path) -> None:
    grid = one_image("in.fits").grid
    x, y = 30.2, 20.9
    ra, dec = grid.wcs().wcs_pix2world([[x, y]], 0)[0]
    made = cut(box=(ra, dec, 9.5 * 2.0 / 3600, 5.6 * 2.0 / 3600), mode=0)
    assert made.data.shape == (7, 11)
    shift = one_image("out.fits").grid.shift_from(grid)
    assert shift == (-18, -25)  # the corner lies in pixel (25, 18)
    np.testing.assert_array_equal(made.data, values()[18:25, 25:36])


def test_a_place_is_j2000_whatever_the_image_is(work: Path) -> None:
    grid = Grid.around("83.8 -5.4", shape=SHAPE, scale="2 arcsec").frame
    galactic = Grid.around("05h35m12s -5d24m", shape=SHAPE, scale="2 arcsec", frame="galactic")
    assert not galactic.frame.is_equivalent_frame(grid)
    write_image(work / "gal.fits", values(), galactic.to_header())
    made = cut("gal.fits", (83.8, -5.4, 0.004, 0.004), mode=0)
    shift = one_image("out.fits").grid.shift_from(galactic) or (0, 0)
    ny, nx = made.data.shape
    assert abs(-shift[0] + (ny - 1) / 2 - 29.5) <= 1 and abs(-shift[1] + (nx - 1) / 2 - 24.5) <= 1


def test_integers_stay_as_they_are_stored(work: Path) -> None:
    made = cut("i16.fits")
    stored = np.arange(3000).reshape(SHAPE) - 100
    assert made.data.dtype.kind == "i" and (made.header["BITPIX"], made.header["BSCALE"]) == (16, 0.5)
    np.testing.assert_array_equal(made.data, stored[11:18, 9:15])
    cut("i16.fits", (1, 1, 49, 59))
    found, mine = fits.getdata("out.fits"), stored * 0.5 + 10.0
    assert np.isnan(found[stored == 7]).all()
    np.testing.assert_array_equal(found[stored != 7], mine[stored != 7])


def test_compressed_files_and_extensions(work: Path) -> None:
    Path("in.fits.gz").write_bytes(gzip.compress(Path("in.fits").read_bytes()))
    np.testing.assert_array_equal(cut("in.fits.gz").data, values()[11:18, 9:15])
    counts = np.arange(3000, dtype=np.int16).reshape(SHAPE)
    header = fits.getheader("in.fits")
    header["EXTNAME"] = "SCI"
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(values(), header), fits.CompImageHDU(counts, header)])
    hdus.writeto("mef.fits")
    np.testing.assert_array_equal(cut("mef.fits", hdu=1).data, values()[11:18, 9:15])
    made = cut("mef.fits", hdu=2)
    np.testing.assert_array_equal(made.data, counts[11:18, 9:15])
    assert not {"EXTNAME", "ZIMAGE", "XTENSION", "ZCMPTYPE"} & set(made.header)
    assert "its images are in HDUs 1, 2" in mSubimage("mef.fits", "o.fits", 1, 1, 2, 2, mode=1)["msg"]


def test_all_planes_of_a_cube(work: Path) -> None:
    made = cut("cube.fits")
    np.testing.assert_array_equal(made.data, np.stack([values(k) for k in range(3)])[:, 11:18, 9:15])


def test_blank_borders_go(work: Path) -> None:
    data = np.full(SHAPE, np.nan)
    data[13:30, 7:9] = 4.0
    data[20, 8] = np.nan
    write_image(work / "island.fits", data)
    answer = mSubimage("island.fits", "out.fits", 0, 0, 0, 0, mode=3)
    assert answer == {"status": "0", "content": "flat"}
    np.testing.assert_array_equal(fits.getdata("out.fits"), data[13:30, 7:9])
    assert one_image("out.fits").grid.shift_from(one_image("island.fits").grid) == (-13, -7)


def test_other_modes_and_contents(work: Path) -> None:
    np.testing.assert_array_equal(cut(mode=2).data, values())
    made = cut(box=(-5, -6, 10, 11), mode=4)  # about CRPIX 25.5, 30.5
    np.testing.assert_array_equal(made.data, values()[23:42, 19:36])
    assert mSubimage("blank.fits", "o.fits", 1, 1, 5, 5, mode=1)["content"] == "blank"
    assert mSubimage("in.fits", "o.fits", 1, 1, 5, 5, mode=1)["content"] == "normal"
    np.testing.assert_array_equal(
        cut("nowcs.fits", (2, 3, 4, 5), nowcs=True).data, np.arange(200.0).reshape(20, 10)[2:8, 1:6]
    )


def test_lookup_tables_are_cut_too(work: Path) -> None:
    with_tables().writeto("tables.fits")
    whole = one_image("tables.fits").grid
    cut("tables.fits", (21, 31, 40, 30))
    part = one_image("out.fits").grid
    assert part.has_tables
    x, y = np.meshgrid(np.arange(0.0, 41, 5), np.arange(0.0, 31, 5))
    np.testing.assert_allclose(part.sky(x, y), whole.sky(x + 20, y + 30), rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("image", "box", "options", "words"),
    [
        ("none.fits", (1, 1, 5, 5), {"mode": 1}, "Image file none.fits missing or invalid FITS"),
        ("no.fits", (1, 1, 5, 5), {"mode": 1}, "Image file no.fits missing or invalid FITS"),
        ("in.fits", (1, 1, 5, 5), {"mode": 1, "hdu": 3}, "HDU 3 is no image; its images are in HDUs 0"),
        ("in.fits", (1, 1, 5, 5), {"mode": 1, "hdu": -1}, "hdu -1"),
        ("in.fits", (60, 70, 5, 5), {"mode": 1}, "Region outside image."),
        ("in.fits", (10, 10, 1, 1), {}, "Region outside image."),
        ("in.fits", (263.8, 5.4, 1, 1), {}, "Region outside image."),
        ("nowcs.fits", (10, 10, 1, 1), {}, "no WCS"),
        ("blank.fits", (0, 0, 0, 0), {"mode": 3}, "No pixels match area."),
        ("in.fits", (0, 0, 0, 0), {"mode": 7}, "mode is 7"),
        ("in.fits", (float("nan"), 0, 0, 0), {"mode": 1}, "must be finite"),
        ("in.fits", (10, 10, -5, 5), {"mode": 1}, "Invalid 'x' size -5: give 0 or more pixels"),
        ("in.fits", (83.8, -5.4, 0.01, -0.01), {}, "Invalid 'y' size -0.01: give 0 or more degrees"),
        ("in.fits", (0, 0, 5, -1), {"mode": 4}, "Invalid 'y' size: mode 4 goes from pixel 0 to -1"),
    ],
)
def test_bad_cuts(work: Path, image: str, box: Box, options: dict[str, Any], words: str) -> None:
    before = sorted(work.iterdir())
    answer = mSubimage(image, "out.fits", *box, **options)
    assert answer["status"] == "1" and words in answer["msg"], answer
    assert sorted(work.iterdir()) == before


# -- mShrink -----------------------------------------------------------------------------------------------------------


def naive(data: Floats, factor: float) -> Floats:
    """Means by the overlap of each pixel with each square, one by one."""
    ny, nx = (int(side / factor + 1e-9) for side in data.shape)
    out = np.full((ny, nx), np.nan)
    for j, i in np.ndindex(ny, nx):
        total = weight = 0.0
        for y in range(int(j * factor), min(int(np.ceil((j + 1) * factor - 1e-9)), data.shape[0])):
            for x in range(int(i * factor), min(int(np.ceil((i + 1) * factor - 1e-9)), data.shape[1])):
                part = (min(y + 1, (j + 1) * factor) - max(y, j * factor)) * (
                    min(x + 1, (i + 1) * factor) - max(x, i * factor)
                )
                if part > 1e-9 and np.isfinite(data[y, x]):
                    total, weight = total + part * data[y, x], weight + part
        if weight:
            out[j, i] = total / weight
    return out


@pytest.mark.parametrize("factor", [1.0, 2.0, 3.0, 2.5, 1.3, 0.5, 0.7, 60 / 7])
def test_means_over_squares(work: Path, factor: float) -> None:
    assert mShrink("in.fits", "out.fits", factor)["status"] == "0"
    found = fits.getdata("out.fits")
    expected = naive(values(), factor)
    assert found.shape == expected.shape
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("image", ["in.fits", "sip.fits", "dss.fits"])
def test_shrunk_pixels_lie_where_they_did(work: Path, image: str) -> None:
    if image == "sip.fits":
        with_tables(cpdis=False, d2im=False).writeto(image)
    elif image == "dss.fits":
        write_dss(image)
    whole = one_image(image).grid
    assert mShrink(image, "out.fits", 2.5)["status"] == "0"
    small = one_image("out.fits").grid
    x, y = np.meshgrid(np.arange(0.0, small.shape[1], 4), np.arange(0.0, small.shape[0], 4))
    there = whole.sky((x + 0.5) * 2.5 - 0.5, (y + 0.5) * 2.5 - 0.5)
    np.testing.assert_allclose(small.sky(x, y), there, rtol=0, atol=1e-14)


def write_dss(path: str) -> None:
    """A plate like that of the Digitized Sky Survey, whose pixels are counted from the plate's corner."""
    header = fits.Header()
    cards = {
        "PLTRAH": 5, "PLTRAM": 40, "PLTRAS": 20.0, "PLTDECSN": "-", "PLTDECD": 5, "PLTDECM": 0, "PLTDECS": 10.0,
        "XPIXELSZ": 25.28, "YPIXELSZ": 25.28, "PPO1": 0.0, "PPO2": 0.0, "PPO3": 177500.0, "PPO4": 0.0, "PPO5": 0.0,
        "PPO6": 177500.0, "CNPIX1": 6000, "CNPIX2": 7000,
    }  # fmt: skip
    header.update(cards)
    first = {1: 67.2, 2: -0.2, 3: 3.1, 8: 1.9e-6}
    header.update({f"AMDX{k}": first.get(k, 0.0) for k in range(1, 21)})
    header.update({f"AMDY{k}": first.get(k, 0.0) for k in range(1, 21)})
    fits.writeto(path, np.ones(SHAPE), header)


def test_fixed_size_and_cdelt(work: Path) -> None:
    mShrink("in.fits", "out.fits", 20, fixedSize=True)
    np.testing.assert_allclose(fits.getdata("out.fits"), naive(values(), 3.0), rtol=1e-12)
    mShrink("in.fits", "out.fits", 2, cdelt=0.0011)
    assert [fits.getheader("out.fits")[f"CDELT{k}"] for k in (1, 2)] == [-0.0011, 0.0011]


def test_kinds_of_numbers(work: Path) -> None:
    """Means of integers are none; blank ones do not count."""
    mShrink("i16.fits", "out.fits", 2)
    stored = np.arange(3000.0).reshape(SHAPE) - 100
    data = np.where(stored == 7, np.nan, stored * 0.5 + 10)
    header = fits.getheader("out.fits")
    assert header["BITPIX"] == -64 and not {"BSCALE", "BZERO", "BLANK"} & set(header) and header["OBJECT"] == "a thing"
    np.testing.assert_allclose(fits.getdata("out.fits"), naive(data, 2.0), rtol=1e-14)
    write_image(work / "f4.fits", values().astype(np.float32))
    mShrink("f4.fits", "out.fits", 2)
    assert fits.getheader("out.fits")["BITPIX"] == -32
    mShrink("cube.fits", "out.fits", 3)
    np.testing.assert_allclose(fits.getdata("out.fits")[2], naive(values(2), 3.0), rtol=1e-12)


@pytest.mark.parametrize(
    ("image", "factor", "options", "words"),
    [
        ("none.fits", 2, {}, "Image file none.fits missing or invalid FITS"),
        ("no.fits", 2, {}, "Image file no.fits missing or invalid FITS"),
        ("in.fits", 0, {}, "Shrink factor must be positive"),
        ("in.fits", float("nan"), {}, "Shrink factor must be positive"),
        ("in.fits", 55, {}, "Trying to shrink image to smaller than one pixel"),
        ("in.fits", 1e-4, {}, "the output takes"),
        ("in.fits", 2, {"cdelt": float("inf")}, "cdelt inf"),
        ("tables.fits", 2, {}, "CPDIS1"),
    ],
)
def test_bad_shrinking(work: Path, image: str, factor: float, options: dict[str, Any], words: str) -> None:
    with_tables().writeto("tables.fits")
    before = sorted(work.iterdir())
    answer = mShrink(image, "out.fits", factor, **options)
    assert answer["status"] == "1" and words in answer["msg"], answer
    assert sorted(work.iterdir()) == before


# -- mFixNaN -----------------------------------------------------------------------------------------------------------


def fixed(image: str = "in.fits", **options: Any) -> tuple[dict[str, Any], Floats]:
    told = {"haveVal": False, "NaNvalue": 0.0, "nMinMax": 0, "minblank": NONE, "ismin": NONE, "maxblank": NONE}
    answer = mFixNaN(image, "out.fits", **(told | {"ismax": NONE} | options))
    assert answer.pop("status") == "0", answer
    return answer, fits.getdata("out.fits")


def ranges(*limits: tuple[float, float, int, int]) -> dict[str, Any]:
    low, high, is_min, is_max = (np.array(each) for each in zip(*limits, strict=True))
    return {"nMinMax": len(limits), "minblank": low, "ismin": is_min, "maxblank": high, "ismax": is_max}


def test_ranges_become_blank(work: Path) -> None:
    data = values()
    answer, found = fixed(**ranges((99.0, 99.5, 0, 0), (101.0, 0.0, 1, 0), (0.0, 98.0, 0, 1)))
    with np.errstate(invalid="ignore"):
        inside = ((data >= 99) & (data <= 99.5)) | (data >= 101) | (data <= 98)
    np.testing.assert_array_equal(found, np.where(inside, np.nan, data))
    assert answer == {"rangeCount": inside.sum(), "nanCount": inside.sum(), "boundaryCount": 0}
    assert fits.getheader("out.fits")["OBJECT"] == "a thing"
    answer, found = fixed("i16.fits", **ranges((10.0, 20.0, 0, 0)))  # of values, not of what is stored
    assert answer["rangeCount"] == 20 and found[np.isfinite(found)].min() == -40.0


def test_blank_becomes_a_value(work: Path) -> None:
    answer, found = fixed(haveVal=True, NaNvalue=-9.0, **ranges((101.0, 102.0, 0, 0)))
    data = values()
    with np.errstate(invalid="ignore"):
        inside = (data >= 101) & (data <= 102)
    np.testing.assert_array_equal(found, np.where(inside | np.isnan(data), -9.0, data))
    assert answer == {"rangeCount": inside.sum(), "nanCount": inside.sum() + 5, "boundaryCount": 0}


def test_what_is_not_on_the_sky(work: Path) -> None:
    grid = Grid.around("0 0", shape=(20, 40), scale="9 deg", projection="AIT")
    write_image(work / "ait.fits", np.ones((2, 20, 40)), grid.to_header())
    answer, found = fixed("ait.fits", boundaries=True)
    y, x = np.indices((20, 40))
    # The outline of Aitoff's projection: an ellipse of semi-axes 2√2 and √2 radians.
    beyond = (np.radians(9 * (x - 19.5)) / 2) ** 2 + np.radians(9 * (y - 9.5)) ** 2 > 2.0
    np.testing.assert_array_equal(np.isnan(found), np.broadcast_to(beyond, (2, 20, 40)))
    assert answer["boundaryCount"] == beyond.sum()


def test_counting_alone_writes_nothing(work: Path) -> None:
    before = sorted(work.iterdir())
    answer = mFixNaN("in.fits", "-", True, 0.0, 0, NONE, NONE, NONE, NONE)
    assert answer == {"status": "0", "rangeCount": 0, "nanCount": 5, "boundaryCount": 0}
    assert sorted(work.iterdir()) == before


@pytest.mark.parametrize(
    ("image", "options", "words"),
    [
        ("none.fits", {}, "Image file none.fits missing or invalid FITS"),
        ("no.fits", {}, "Image file no.fits missing or invalid FITS"),
        ("nowcs.fits", {"boundaries": True}, "no WCS, which boundaries needs"),
        ("in.fits", ranges((3.0, 2.0, 0, 0)), "range 0 goes from 3.0 to 2.0"),
        ("in.fits", {"nMinMax": 1}, "minblank has fewer than nMinMax = 1"),
    ],
)
def test_bad_mending(work: Path, image: str, options: dict[str, Any], words: str) -> None:
    before = sorted(work.iterdir())
    told = {"nMinMax": 0, "minblank": NONE, "ismin": NONE, "maxblank": NONE, "ismax": NONE} | options
    answer = mFixNaN(image, "out.fits", False, 0.0, **told)
    assert answer["status"] == "1" and words in answer["msg"], answer
    assert sorted(work.iterdir()) == before


# -- Montage's own -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("box", "mode"),
    [((83.8, -5.4, 0.01, 0.008), 0), ((83.805, -5.41, 0.004, 0.003), 0), ((10.4, 12.6, 5.2, 6.7), 1), ((0, 0, 0, 0), 2),
     ((0, 0, 0, 0), 3), ((-5, -6, 10, 11), 4), ((-5, 50, 20, 30), 1)],
)  # fmt: skip
def test_cuts_beside_montagepy(work: Path, box: Box, mode: int) -> None:
    theirs = pytest.importorskip("MontagePy.main")
    assert theirs.mSubimage("in.fits", "theirs.fits", *box, mode=mode)["status"] == "0"
    made = cut(box=box, mode=mode)
    np.testing.assert_array_equal(made.data, fits.getdata("theirs.fits"))
    header = fits.getheader("theirs.fits")
    assert [made.header[key] for key in ("CRPIX1", "CRPIX2")] == [header["CRPIX1"], header["CRPIX2"]]


@pytest.mark.parametrize("factor", [2.0, 2.5, 3.0])
def test_shrinking_beside_montagepy(work: Path, factor: float) -> None:
    """All but its last row, which is always wrong."""
    theirs = pytest.importorskip("MontagePy.main")
    assert theirs.mShrink("in.fits", "theirs.fits", factor)["status"] == "0"
    mShrink("in.fits", "out.fits", factor)
    np.testing.assert_allclose(fits.getdata("out.fits")[:-1], fits.getdata("theirs.fits")[:-1], rtol=1e-13)
    mine, header = fits.getheader("out.fits"), fits.getheader("theirs.fits")
    for key in ("NAXIS1", "NAXIS2", "CRPIX1", "CRPIX2", "CDELT1", "CDELT2"):
        assert mine[key] == pytest.approx(header[key], rel=1e-12)


@pytest.mark.parametrize("limits", [(99.0, 100.0, 0, 0), (99.0, 100.0, 1, 0), (99.0, 100.0, 0, 1)])
@pytest.mark.parametrize("have", [True, False])
def test_mending_beside_montagepy(work: Path, limits: tuple[float, float, int, int], have: bool) -> None:
    theirs = pytest.importorskip("MontagePy.main")
    told = ranges(limits)
    answer = theirs.mFixNaN("in.fits", "theirs.fits", have, -1.0, *told.values())
    mine, found = fixed(haveVal=have, NaNvalue=-1.0, **told)
    assert answer == {"status": "0"} | mine
    np.testing.assert_array_equal(found, fits.getdata("theirs.fits"))
