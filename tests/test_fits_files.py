"""The gate of files: what is read equals what astropy was given; what cannot be used is refused with its reason."""

from __future__ import annotations

import gzip
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from surveys import damage, field_grid, image_header, write_image

from dmontage.errors import InputError
from dmontage.fits_files import FitsWriter, check_writable, pixels, read, scan
from dmontage.grid import Grid
from dmontage.window import Window

SHAPE = (30, 40)


@pytest.fixture
def values() -> NDArray[np.float32]:
    image = np.random.default_rng(4).normal(100, 10, SHAPE).astype(np.float32)
    image[3, 5] = np.nan
    return image


def gzipped(path: Path, data: bytes) -> Path:
    path.write_bytes(gzip.compress(data))
    return path


# --- what is an image ---------------------------------------------------------------------------------------------


def test_every_name_of_a_fits_file_is_found(tmp_path: Path, values: NDArray[np.float32]) -> None:
    plain = write_image(tmp_path / "a.fits", values)
    for name in ("b.fit", "c.FTS", "sub/deep/d.fits"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(plain.read_bytes())
    gzipped(tmp_path / "e.fits.gz", plain.read_bytes())
    fits.CompImageHDU(np.nan_to_num(values), image_header(shape=SHAPE)).writeto(tmp_path / "f.fits.fz")
    for other in ("notes.txt", "table.gz", ".hidden.fits", "x.fits.partial"):
        (tmp_path / other).write_bytes(b"no image")
    images = scan(tmp_path)
    assert [ref.name for ref in images] == ["a.fits", "b.fit", "c.FTS", "d.fits", "e.fits.gz", "f.fits.fz[1]"]
    assert images.skipped == ()
    for ref in images[:5]:
        np.testing.assert_array_equal(read(ref), values)


def test_what_accompanies_images_is_told_in_a_line_for_each_kind(tmp_path: Path, values: NDArray[np.float32]) -> None:
    """An instrument's files have some of them each; what else is skipped has a line of its own."""
    header = image_header(shape=SHAPE)
    for k in range(3):
        chips = [fits.ImageHDU(values, header, name, ver) for ver in (1, 2) for name in ("SCI", "ERR", "DQ")]
        fits.HDUList([fits.PrimaryHDU(), *chips]).writeto(tmp_path / f"f{k}.fits")
    fits.PrimaryHDU(values, header).writeto(tmp_path / "lone_area.fits")
    fits.PrimaryHDU(values, header).writeto(tmp_path / "other_area.fits")
    images = scan(tmp_path)
    assert len(images) == 6 and len(images.skipped) == 14
    assert str(images).splitlines()[-5:] == [
        "14 skipped",
        "  lone_area.fits: an area file, not an image",
        "  other_area.fits: an area file, not an image",
        "  f0.fits: HDU 2: extension ERR accompanies an image (and 5 more)",
        "  f0.fits: HDU 3: extension DQ accompanies an image (and 5 more)",
    ]


def test_each_image_of_a_multi_extension_file(tmp_path: Path, values: NDArray[np.float32]) -> None:
    """C28: any HDU; what accompanies an image is left out and named."""
    header = image_header(shape=SHAPE)
    hdus = [
        fits.PrimaryHDU(),
        fits.ImageHDU(values, header, name="CHIP1"),
        fits.ImageHDU(values, header, name="VAR"),
        fits.BinTableHDU.from_columns([fits.Column("a", "E", array=[1.0])]),
        fits.CompImageHDU(2 * np.nan_to_num(values), header, name="CHIP2", compression_type="GZIP_1", quantize_level=0),
        fits.ImageHDU(np.zeros((3, *SHAPE), np.float32), header, name="CUBE"),
        fits.ImageHDU(3 * values[None], header, name="FLAT"),
        fits.ImageHDU(np.zeros(7, np.float32), name="SPECTRUM"),
    ]
    fits.HDUList(hdus).writeto(tmp_path / "many.fits")
    images = scan(tmp_path / "many.fits")
    assert [ref.hdu for ref in images] == [1, 4, 5, 6]
    assert [ref.planes for ref in images] == [(), (), (3,), ()]
    truth: list[NDArray[Any]] = [values, 2 * np.nan_to_num(values), np.zeros((3, *SHAPE)), 3 * values]
    for ref, wanted in zip(images, truth, strict=True):
        np.testing.assert_array_equal(read(ref), wanted)
        np.testing.assert_array_equal(read(ref, Window(2, 9, 5, 21)), wanted[..., 2:9, 5:21])
    reasons = [str(item) for item in images.skipped]
    assert len(reasons) == 1 and "HDU 2" in reasons[0] and "VAR" in reasons[0]


INTEGERS: list[tuple[str, dict[str, Any], Any]] = [
    ("u1", {}, np.float32),
    ("i2", {"BSCALE": 0.5, "BZERO": 100.0, "BLANK": -7}, np.float32),
    ("i2", {"BLANK": -7}, np.float32),
    ("i2", {"BZERO": 32768, "BLANK": -7}, np.float32),
    ("i2", {"BZERO": 32768, "BSCALE": 1}, np.float32),
    ("i4", {"BLANK": -7}, np.float64),
    ("i4", {"BSCALE": 1e-3, "BZERO": 5.0, "BLANK": -7}, np.float64),
]


@pytest.mark.parametrize(("dtype", "cards", "kind"), INTEGERS)
def test_integers_with_scale_zero_and_blank(tmp_path: Path, dtype: str, cards: dict[str, Any], kind: Any) -> None:
    """C28: the raw integers are written byte by byte, so that no library scales them on the way."""
    raw = np.random.default_rng(1).integers(0, 250, SHAPE).astype(f">{dtype}")
    if "BLANK" in cards:
        raw[::3, ::4] = -7
    elif dtype == "i2":
        raw[0, :3] = [-32768, -1, 32767]
    header = fits.Header([("SIMPLE", True), ("BITPIX", 8 * raw.itemsize), ("NAXIS", 2), ("NAXIS1", 40), ("NAXIS2", 30)])
    header.update(image_header(shape=SHAPE))
    header.update(cards)
    body = raw.tobytes()
    path = tmp_path / "raw.fits"
    path.write_bytes(header.tostring(padding=True).encode() + body + b"\0" * (-len(body) % 2880))
    wanted = raw.astype(float) * cards.get("BSCALE", 1) + cards.get("BZERO", 0)
    if "BLANK" in cards:
        wanted[raw == -7] = np.nan
    found = read(scan(path)[0])
    assert found.dtype == kind and found.dtype.isnative and found.flags.c_contiguous
    np.testing.assert_allclose(found, wanted, rtol=1e-6 if kind is np.float32 else 1e-14)
    np.testing.assert_array_equal(read(scan(path)[0], Window(3, 10, 4, 9)), found[3:10, 4:9])


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8"])
def test_floats_keep_their_bits(tmp_path: Path, values: NDArray[np.float32], dtype: str) -> None:
    """C28: float64 stays float64; FITS is big-endian whatever it was made from."""
    given = values.astype(dtype) * (1 + 1e-12)
    found = read(scan(write_image(tmp_path / "a.fits", given))[0])
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(found, given)


@pytest.mark.parametrize("kind", ["RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1", "PLIO_1"])
def test_compressed_images_equal_plain_ones(tmp_path: Path, kind: str) -> None:
    """C28: integers, with a BLANK, through each lossless codec (PLIO is for small positive numbers)."""
    raw = np.random.default_rng(2).integers(0, 200, SHAPE).astype(np.int16)
    raw[4, 6] = 201
    header = image_header(shape=SHAPE)
    header["BLANK"] = 201
    plain = fits.PrimaryHDU(raw, header)
    plain.writeto(tmp_path / "plain.fits")
    packed = fits.CompImageHDU(raw, header, compression_type=kind, hcomp_scale=0)
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(tmp_path / "packed.fits.fz")
    one, other = scan(tmp_path)
    wanted = raw.astype(np.float32)
    wanted[4, 6] = np.nan
    np.testing.assert_array_equal(read(other), wanted)
    np.testing.assert_array_equal(read(one), read(other))
    assert one.grid == other.grid


# --- order, and names ---------------------------------------------------------------------------------------------


def test_the_order_of_the_inputs_does_not_matter(tmp_path: Path, values: NDArray[np.float32]) -> None:
    """And a file that is named twice, or lies in a folder that is named too, counts once."""
    for name in ("z/a.fits", "b.fits", "a.fits"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_image(tmp_path / name, values)
    one = scan([tmp_path / "b.fits", tmp_path / "a.fits", tmp_path / "z"])
    other = scan([tmp_path / "z" / "a.fits", tmp_path, tmp_path / "b.fits"])
    assert one == other
    assert [Path(ref.path).relative_to(tmp_path).as_posix() for ref in one] == ["a.fits", "z/a.fits", "b.fits"]


def test_a_file_counts_once_however_it_is_spelled(
    tmp_path: Path, values: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "a.fits", values)
    monkeypatch.chdir(tmp_path)
    assert len(scan(["a.fits", tmp_path / "a.fits", "./a.fits", "."])) == 1


@pytest.mark.parametrize("name", ["m_area.fits", "m.v2_area.fits.gz", "m_area.FIT"])
def test_area_files_of_a_folder_are_left_out(tmp_path: Path, values: NDArray[np.float32], name: str) -> None:
    plain = write_image(tmp_path / "m.fits", values).read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(plain) if name.endswith("gz") else plain)
    images = scan(tmp_path)
    assert [ref.name for ref in images] == ["m.fits"]
    assert [item.name for item in images.skipped] == [name]
    assert len(scan([tmp_path / name])) == 1  # unless it is asked for


# --- what cannot be used ------------------------------------------------------------------------------------------


def _no_wcs(path: Path) -> None:
    fits.PrimaryHDU(np.zeros(SHAPE, np.float32)).writeto(path)


def _text(path: Path) -> None:
    path.write_text("SIMPLE is not what this is\n" * 200)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _cut_data(path: Path) -> None:
    data = write_image(path, np.zeros(SHAPE, np.float32)).read_bytes()
    path.write_bytes(data[:5000])


def _cut_header(path: Path) -> None:
    data = write_image(path, np.zeros(SHAPE, np.float32)).read_bytes()
    path.write_bytes(data[:1000])


def _cut_packed(path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=(200, 200)).astype(np.float32)
    fits.CompImageHDU(noise, image_header(shape=(200, 200))).writeto(path)
    path.write_bytes(path.read_bytes()[:-20000])


def _claims(path: Path) -> None:
    header = fits.Header([("SIMPLE", True), ("BITPIX", -32), ("NAXIS", 2), ("NAXIS1", 2_000_000_000), ("NAXIS2", 10)])
    header.update(image_header(shape=SHAPE))
    path.write_bytes(header.tostring(padding=True).encode() + bytes(2880))


def _nan_wcs(path: Path) -> None:
    write_image(path, np.zeros(SHAPE, np.float32), CRVAL1="NaN")


def _table(path: Path) -> None:
    fits.BinTableHDU.from_columns([fits.Column("a", "E", array=[1.0])]).writeto(path)


BAD = [
    (_no_wcs, "no celestial WCS"),
    (_text, "not a readable FITS"),
    (_empty, "not a readable FITS"),
    (_cut_data, "truncated"),
    (_cut_header, "not a readable FITS"),
    (_cut_packed, "truncated"),
    (_claims, "truncated"),
    (_nan_wcs, "CRVAL1"),
    (_table, "holds no image"),
]


@pytest.mark.parametrize(("make", "reason"), BAD)
def test_a_bad_file_is_skipped_with_its_reason(
    tmp_path: Path, values: NDArray[np.float32], make: Any, reason: str
) -> None:
    """C27: alone it is an error, among good ones it is skipped and named, and ``strict`` raises."""
    make(tmp_path / "bad.fits")
    with pytest.raises(InputError, match=rf"(?s)no usable image.*bad.fits.*{reason}"):
        scan(tmp_path)
    write_image(tmp_path / "good.fits", values)
    images = scan(tmp_path)
    assert [ref.name for ref in images] == ["good.fits"]
    assert [item.name for item in images.skipped] == ["bad.fits"] and reason in images.skipped[0].reason
    assert "1 skipped" in str(images) and "bad.fits" in str(images)
    with pytest.raises(InputError, match=rf"bad.fits.*{reason}"):
        scan(tmp_path, strict=True)


def test_a_gz_file_of_several_members(tmp_path: Path, values: NDArray[np.float32]) -> None:
    """Its last bytes tell the length of the last member alone, which may be a whole number of blocks."""
    data = write_image(tmp_path / "a.fits", values).read_bytes()
    for k, at in enumerate((2880, 5760, 7000, len(data))):
        (tmp_path / f"b{k}.fits.gz").write_bytes(gzip.compress(data[:at]) + gzip.compress(data[at:]))
    images = scan(tmp_path)
    assert len(images) == 5 and not images.skipped
    for ref in images:
        np.testing.assert_array_equal(read(ref), values)


def test_an_image_behind_random_groups(tmp_path: Path, values: NDArray[np.float32]) -> None:
    """NAXIS1 is 0 there, and no factor of the size."""
    groups = fits.GroupData(np.ones((900, 1, 3), np.float32), parnames=["u"], pardata=[np.arange(900.0)], bitpix=-32)
    fits.HDUList([fits.GroupsHDU(groups), fits.ImageHDU(values, image_header())]).writeto(tmp_path / "a.fits")
    images = scan(tmp_path)
    assert [ref.name for ref in images] == ["a.fits[1]"]
    np.testing.assert_array_equal(read(images[0]), values)


@pytest.mark.parametrize("length", [10, 500, 3000, -5])
def test_a_truncated_gz_file_is_skipped(tmp_path: Path, values: NDArray[np.float32], length: int) -> None:
    noisy = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    whole = gzip.compress(write_image(tmp_path / "good.fits", noisy).read_bytes())
    assert len(whole) > 3000
    (tmp_path / "cut.fits.gz").write_bytes(whole[:length])
    images = scan(tmp_path)
    assert [ref.name for ref in images] == ["good.fits"] and "not a readable FITS" in images.skipped[0].reason


def test_a_huge_claim_is_refused_without_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """80 GB by the header, in 6 kB of file, plain and gzipped: no large array is ever asked for."""
    import tracemalloc

    _claims(tmp_path / "plain.fits")
    gzipped(tmp_path / "packed.fits.gz", (tmp_path / "plain.fits").read_bytes())
    tracemalloc.start()
    with pytest.raises(InputError, match="80000000000 bytes"):
        scan(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


def test_nothing_to_scan(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no FITS file"):
        scan(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        scan(tmp_path / "absent.fits")
    with pytest.raises(InputError, match="no image was given"):
        scan([])


def test_a_file_that_went_or_changed_after_the_scan(tmp_path: Path, values: NDArray[np.float32]) -> None:
    path = write_image(tmp_path / "a.fits", values)
    ref = scan(path)[0]
    write_image(path, values[:-1])
    with pytest.raises(InputError, match="has changed since the scan"):
        read(ref)
    path.unlink()
    with pytest.raises(InputError, match=r"a\.fits"):
        read(ref)


def test_damaged_data_show_when_they_are_read(tmp_path: Path) -> None:
    """A compressed image whose headers are well, and whose pixels are not."""
    noisy = np.random.default_rng(0).normal(size=(80, 100)).astype(np.float32)
    ref = scan(damage(write_image(tmp_path / "bad.fits", noisy)))[0]
    with pytest.raises(InputError, match=r"bad.fits.fz: HDU 1 cannot be read"):
        read(ref)


def test_reading_in_threads_leaves_the_warning_filters_alone(
    tmp_path: Path, values: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two readers that enter and leave in turn: with ``catch_warnings`` the second puts the first one's filter back."""
    ref = scan(write_image(tmp_path / "a.fits", values))[0]
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def slow(data: NDArray[Any], *_: object) -> NDArray[Any]:
        if threading.current_thread().name == "first":
            first_in.set()
            second_in.wait(5)
        else:
            second_in.set()
            first_out.wait(5)
        return data

    monkeypatch.setattr("dmontage.fits_files.reader._as_float", slow)
    before = list(warnings.filters)
    first = threading.Thread(target=read, args=(ref,), name="first")
    second = threading.Thread(target=read, args=(ref,), name="second")
    first.start()
    assert first_in.wait(5)
    second.start()
    first.join()
    first_out.set()
    second.join()
    assert list(warnings.filters) == before


def test_astropys_warnings_are_not_shown(tmp_path: Path, values: NDArray[np.float32]) -> None:
    """BLANK in an image of floats is common, and harmless."""
    path = write_image(tmp_path / "a.fits", values)
    path.write_bytes(path.read_bytes().replace(b"BUNIT   = 'MJy/sr  '", b"BLANK   =         -1", 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read(scan(path)[0]), values)


# --- writing ------------------------------------------------------------------------------------------------------


def band(shape: tuple[int, int]) -> NDArray[np.float32]:
    return np.random.default_rng(5).normal(size=shape).astype(np.float32)


def test_a_product_is_exact(tmp_path: Path) -> None:
    """Data bit for bit, and the cards of the grid to the last digit, by astropy's own reading."""
    from dmontage.grid import Grid

    header = image_header(shape=(50, 37))
    header.update(
        {"CRVAL1": 83.81234567890123, "CRVAL2": -5.400000000000001, "CDELT1": -1 / 3 / 3600, "CRPIX1": 1e5 / 7}
    )
    grid = Grid.from_header(header, shape=(50, 37))
    data = band(grid.shape)
    data[3, 4], data[5, 6] = np.nan, -np.inf
    path = tmp_path / "out.fits"
    with FitsWriter(path, grid, [("BUNIT", "MJy/sr", "unit"), ("NIMAGES", 3, "images")]) as writer:
        assert not path.exists()
        writer.write(Window(0, 50, 0, 37), data)
    with fits.open(path) as hdus:
        hdus.verify("exception")
        np.testing.assert_array_equal(hdus[0].data, data)
        for key in ("CRVAL1", "CRVAL2", "CDELT1", "CDELT2", "CRPIX1", "CRPIX2"):
            assert hdus[0].header[key] == header[key], key
        assert hdus[0].header["BUNIT"] == "MJy/sr" and hdus[0].header["NIMAGES"] == 3
    assert Grid.from_header(fits.getheader(path)) == grid
    assert path.stat().st_size % 2880 == 0
    assert [p.name for p in tmp_path.iterdir()] == ["out.fits"]
    mapped = pixels(path)
    np.testing.assert_array_equal(mapped, data)
    assert np.array_equal(read(scan(path)[0]), data, equal_nan=False) is False  # NaN and Inf are there to be seen


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out.fits"
    path.write_bytes(b"the old one")
    grid = field_grid(10)
    with pytest.raises(RuntimeError), FitsWriter(path, grid) as writer:
        writer.write(grid.window, band((10, 10)))
        raise RuntimeError
    with pytest.raises(ValueError, match=r"block .* was never written"), FitsWriter(path, field_grid(70)) as writer:
        writer.write(Window(0, 64, 0, 70), band((64, 70)))
    for window, shape in (
        (Window(0, 4, 0, 11), (4, 11)),
        (Window(0, 4, 0, 10), (4, 9)),
        (Window(-1, 3, 0, 10), (4, 10)),
    ):
        with pytest.raises(ValueError, match="do not belong"), FitsWriter(path, grid) as writer:
            writer.write(window, band(shape))
    with pytest.raises(ValueError, match="not on the lattice"), FitsWriter(path, grid) as writer:
        writer.write(Window(0, 4, 0, 10), band((4, 10)))
    assert path.read_bytes() == b"the old one"
    assert [p.name for p in tmp_path.iterdir()] == ["out.fits"]
    with FitsWriter(path, grid) as writer:
        writer.write(grid.window, band((10, 10)))
    np.testing.assert_array_equal(fits.getdata(path), band((10, 10)))


def test_who_was_told_of_a_file_writes_to_no_later_one(tmp_path: Path) -> None:
    """Of the same name, nor one that has the old one's inode, as file systems do: a task of a run that was given up."""
    path, grid = tmp_path / "out.fits", field_grid(10)
    with pytest.raises(RuntimeError), FitsWriter(path, grid) as writer:
        told = writer.pixels
        raise RuntimeError
    with FitsWriter(path, grid) as writer:
        writer.write(grid.window, band((10, 10)))
        with pytest.raises(FileNotFoundError):
            told.write(grid.window, np.zeros((10, 10), np.float32))
    np.testing.assert_array_equal(fits.getdata(path), band((10, 10)))


@pytest.mark.parametrize("name", ["absent/out.fits", "file/out.fits", "folder"])
def test_an_output_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot write"):
        check_writable(tmp_path / name)
    if name != "folder":
        with pytest.raises(InputError, match="cannot write"), FitsWriter(tmp_path / name, field_grid(4)):
            pass
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder"]


def test_a_compressed_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not compressed"):
        check_writable(tmp_path / "out.fits.gz")
    check_writable(tmp_path / "out.fits")
    assert not list(tmp_path.iterdir())


def with_card(path: Path, card: str) -> Path:
    """A file of two images, in HDU 1 and 2, and a card as it stands here in the header of the second."""
    grid = Grid.around("10 20", shape=(8, 9))
    hdu = fits.ImageHDU(np.ones(grid.shape, np.float32), grid.to_header(naxis=False))
    hdus = fits.HDUList([fits.PrimaryHDU(), hdu, hdu.copy()])
    hdus[2].header["DAMAGED"] = 0.5
    hdus.writeto(path)
    data = path.read_bytes()
    at = data.index(b"DAMAGED =")
    path.write_bytes(data[:at] + card.ljust(80).encode() + data[at + 80 :])
    return path


@pytest.mark.parametrize(
    ("card", "left"),
    [("EXPTIME = 12,5 s", ()), ("FILTER  = r band", ()), ("MAGZP   = NaN", ()), ("BUNIT   = 1..2", ("HDU 2",))],
)
def test_a_damaged_card_that_warnings_need_leaves_no_image_out(tmp_path: Path, card: str, left: tuple[str]) -> None:
    """One that tells the unit does, but of its own HDU only."""
    found = scan(with_card(tmp_path / "a.fits", card))
    assert [ref.hdu for ref in found] == ([1] if left else [1, 2])
    assert [each.reason[:5] for each in found.skipped] == list(left)


def test_a_damaged_card_takes_its_own_hdu_along_and_no_other(tmp_path: Path) -> None:
    found = scan(with_card(tmp_path / "a.fits", "CD3_1   = 1..2"))
    assert [ref.hdu for ref in found] == [1]
    assert [
        str(each) for each in found.skipped if "HDU 2: the header cannot be read" in str(each) and "CD3_1" in str(each)
    ]
