"""mGetHdr, mPutHdr and mTileHdr."""

from __future__ import annotations

import gzip
import html.parser
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from dmontage.grid import Grid
from dmontage.montage import mGetHdr, mPutHdr, mTileHdr

GRID = Grid.around("40 60", shape=(7, 11), scale="5 arcsec", rotation="20 deg")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    header = GRID.to_header(naxis=False)
    header["OBJECT"] = ("<M 42 & more>", "where it looked")
    header.add_history("made for a test")
    second = fits.ImageHDU(np.arange(77, dtype=np.int16).reshape(7, 11), header, name="TWO")
    second.header["BSCALE"], second.header["BZERO"], second.header["BLANK"] = 0.5, 10.0, 76
    path = tmp_path / "a.fits"
    fits.HDUList([fits.PrimaryHDU(np.arange(77.0, dtype=np.float32).reshape(7, 11), header)]).writeto(path)
    with fits.open(path, "append") as hdus:
        hdus.append(second)
    return path


def test_a_header_as_text(image: Path, tmp_path: Path) -> None:
    """Every card, as the file has it; gzipped or not; of any HDU."""
    blocks = [image.read_bytes().partition(b"XTENSION=")[i] for i in (0, 2)]
    raw = [block.decode("latin-1") for block in (blocks[0], b"XTENSION=" + blocks[1])]
    cards = [[text[i : i + 80].rstrip() for i in range(0, text.index("END" + " " * 77), 80)] for text in raw]
    packed = tmp_path / "b.fits.gz"
    packed.write_bytes(gzip.compress(image.read_bytes()))
    for path in (image, packed):
        for hdu in (0, 1):
            assert mGetHdr(str(path), str(tmp_path / "a.hdr"), hdu) == {"status": "0", "ncard": len(cards[hdu])}
            assert (tmp_path / "a.hdr").read_text().splitlines() == [*cards[hdu], "END"]
    mGetHdr(str(image), str(tmp_path / "a.hdr"))
    assert Grid.from_header(tmp_path / "a.hdr") == GRID


def test_a_header_as_a_page(image: Path, tmp_path: Path) -> None:
    """A page says the same to who reads it."""

    class Words(html.parser.HTMLParser):
        text = ""
        tags: tuple[str, ...] = ()

        def handle_data(self, data: str) -> None:
            self.text += data

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            self.tags += (tag,)

    mGetHdr(str(image), str(tmp_path / "a.hdr"))
    text = (tmp_path / "a.hdr").read_text()
    for mode, tags in ((1, ("html", "head", "title", "body", "pre")), (2, ("pre",))):
        mGetHdr(str(image), str(tmp_path / "a.html"), htmlMode=mode)
        words = Words()
        words.feed((tmp_path / "a.html").read_text())
        assert words.tags == tags and text in words.text


@pytest.mark.parametrize("hdu", [0, 1])
def test_a_header_for_an_image(image: Path, tmp_path: Path, hdu: int) -> None:
    """The pixels mean what they did; cards, digits and comments are the new ones."""
    other = Grid.around("100 -20", shape=(7, 11), scale="0.1234567890123 arcsec")
    template = other.to_template().replace("\nEND", "\nOBJECT  = 'new' / what it is\nCOMMENT said so\nBZERO   = 9\nEND")
    (tmp_path / "a.hdr").write_text(template)
    out = tmp_path / "out.fits"
    assert mPutHdr(str(image), str(out), str(tmp_path / "a.hdr"), hdu) == {"status": "0"}
    wanted = np.arange(77.0).reshape(7, 11)
    if hdu == 1:
        wanted = np.where(wanted == 76, np.nan, wanted)
        with fits.open(image, do_not_scale_image_data=True) as hdus:
            wanted = hdus[1].data * hdus[1].header["BSCALE"] + hdus[1].header["BZERO"]
            wanted[hdus[1].data == 76] = np.nan
    with fits.open(out) as hdus:
        np.testing.assert_array_equal(hdus[0].data, wanted)
        assert hdus[0].header["BITPIX"] == -64 and len(hdus) == 1
        assert hdus[0].header["OBJECT"] == "new" and hdus[0].header.comments["OBJECT"] == "what it is"
        assert str(hdus[0].header["COMMENT"]) == "said so"
    assert Grid.from_header(out) == other


def test_tiles(tmp_path: Path) -> None:
    """Together they have every pixel once, where it was; other cards stay, letter for letter."""
    path, tile = tmp_path / "a.hdr", tmp_path / "t.hdr"
    path.write_text(GRID.to_template().replace("\nEND", "\nOBJECT  = 'M 42'  / kept\nEND"))
    seen = np.zeros(GRID.shape, int)
    for iy in range(3):
        for ix in range(4):
            told = mTileHdr(str(path), str(tile), 4, 3, ix, iy)
            grid = Grid.from_header(tile)
            assert (told["naxis2"], told["naxis1"]) == grid.shape and told["status"] == "0"
            shift = grid.shift_from(GRID)
            assert shift is not None
            seen[-shift[0] : grid.shape[0] - shift[0], -shift[1] : grid.shape[1] - shift[1]] += 1
            assert "OBJECT  = 'M 42'  / kept" in tile.read_text().splitlines()
    assert (seen == 1).all()
    padded = mTileHdr(str(path), str(tile), 1, 1, 0, 0, 2, 5)
    assert (padded["naxis1"], padded["naxis2"]) == (15, 17)
    assert Grid.from_header(tile).shift_from(GRID) == (5, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mGetHdr("no.fits", "o"), "Image file no.fits missing or invalid FITS"),
        (lambda: mGetHdr("a.hdr", "o"), "Image file a.hdr missing or invalid FITS"),
        (lambda: mGetHdr("a.fits", "o", 2), "there is no HDU 2: the last is 1"),
        (lambda: mGetHdr("a.fits", "o", htmlMode=3), "htmlMode is 3"),
        (lambda: mGetHdr("a.fits", "none/o"), "cannot write"),
        (lambda: mPutHdr("no.fits", "o", "a.hdr"), "Image file no.fits missing or invalid FITS"),
        (lambda: mPutHdr("a.fits", "o", "no.hdr"), "Template file not found."),
        (lambda: mPutHdr("a.fits", "o", "text.hdr"), "Bad template: text.hdr"),
        (lambda: mPutHdr("a.fits", "o", "big.hdr"), "NAXIS/NAXES values cannot be modified using this program"),
        (lambda: mPutHdr("a.fits", "o", "a.hdr", 5), "HDU 5 is no image"),
        (lambda: mTileHdr("no.hdr", "o", 1, 1, 0, 0), "Template file not found."),
        (lambda: mTileHdr("text.hdr", "o", 1, 1, 0, 0), "Output wcsinit() failed."),
        (lambda: mTileHdr("a.hdr", "o", 2, 2, 2, 0), "have to be in the range"),
        (lambda: mTileHdr("a.hdr", "o", 2, 0, 0, 0), "have to be positive"),
        (lambda: mTileHdr("a.hdr", "o", 2, 2, 0, 0, -1), "xpad and ypad are -1 and 0"),
        (lambda: mTileHdr("a.hdr", "o", 12, 1, 0, 0), "12 tiles along axis 1 are more than its 11 pixels"),
    ],
)
def test_what_is_refused(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Any, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.hdr").write_text(GRID.to_template())
    Path("big.hdr").write_text(GRID.to_template().replace("11\n", "12\n"))
    Path("text.hdr").write_text("no cards\n")
    before = sorted(tmp_path.iterdir())
    answer = call()
    assert answer["status"] == "1" and message in answer["msg"] and sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(shutil.which("mGetHdr") is None, reason="Montage is not installed")
def test_beside_montage(image: Path, tmp_path: Path) -> None:
    """The same text; the same tile where tiles divide the sides; its pixels under our header, and ours under its."""

    def run(*words: str) -> str:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    ours, theirs = (str(tmp_path / name) for name in ("ours.hdr", "theirs.hdr"))
    mGetHdr(str(image), ours)
    run("mGetHdr", str(image), theirs)
    assert Path(ours).read_text() == Path(theirs).read_text()
    (tmp_path / "a.hdr").write_text(Grid.around("40 60", shape=(8, 12), scale="5 arcsec").to_template())
    for tile in (("3", "2", "1", "1"), ("3", "2", "0", "1", "2", "3")):
        run("mTileHdr", str(tmp_path / "a.hdr"), theirs, *tile)
        assert mTileHdr(str(tmp_path / "a.hdr"), ours, *map(int, tile))["status"] == "0"
        assert Grid.from_header(ours) == Grid.from_header(theirs)
