"""Pictures as files: read back by Pillow, and their coordinates by pyavm and astropy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.wcs import WCS
from numpy.typing import NDArray
from PIL import Image
from pyavm import AVM

from dmontage.errors import InputError
from dmontage.grid import Grid
from dmontage.sphere import unit_vectors
from dmontage.view.avm import step_between
from dmontage.view.picture import picture
from dmontage.view.save import check_saved, save


def read(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


def rgba(shape: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    """Smooth colours, which JPEG keeps."""
    y, x = np.mgrid[: shape[0], : shape[1]] / max(shape)
    colours = [0.5 + 0.5 * np.sin(3 * x + seed), y, 1 - x, np.ones(shape)]
    shown: NDArray[np.uint8] = np.rint(255 * np.stack(colours, axis=-1)).astype(np.uint8)
    return shown


def test_a_png_has_no_more_channels_than_it_needs(tmp_path: Path) -> None:
    grey = np.repeat(rgba((30, 40))[..., :1], 4, axis=-1)
    grey[..., 3] = 255
    holed = grey.copy()
    holed[3, 4] = 255, 255, 255, 0
    colour = rgba((30, 40))
    both = colour.copy()
    both[3, 4] = 255, 255, 255, 0
    for name, shown, mode, wanted in (
        ("grey", grey, "L", grey[..., 0]), ("holed", holed, "LA", holed[..., ::3]),
        ("colour", colour, "RGB", colour[..., :3]), ("both", both, "RGBA", both),
    ):  # fmt: skip
        path = tmp_path / f"{name}.png"
        save(shown, path)
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("PNG", mode, (40, 30))
        np.testing.assert_array_equal(read(path), wanted)
    assert len(list(tmp_path.iterdir())) == 4


def test_a_jpeg_has_blank_pixels_in_a_colour_that_is_told(tmp_path: Path) -> None:
    shown = rgba((64, 80))
    shown[:32, :32] = 255, 255, 255, 0
    for suffix, background in ((".jpg", (255, 255, 255)), (".JPEG", (0, 0, 60))):
        path = tmp_path / f"p{suffix}"
        save(shown, path, background=background, quality=95)
        seen = read(path).astype(int)
        assert seen.shape == (64, 80, 3)
        assert np.abs(seen[4:28, 4:28] - background).max() <= 3
        assert np.abs(seen[36:, 36:] - shown[36:, 36:, :3]).mean() < 2
    grey = np.repeat(shown[..., :1], 4, axis=-1)
    save(grey, tmp_path / "grey.jpg", quality=30)
    with Image.open(tmp_path / "grey.jpg") as image:
        assert (image.format, image.mode) == ("JPEG", "L")
    save(shown, tmp_path / "rough.jpg", quality=5)
    assert (tmp_path / "rough.jpg").stat().st_size < 0.7 * (tmp_path / "p.jpg").stat().st_size


def header(**cards: Any) -> WCS:
    """A WCS of 1.5 arcsec pixels, but for what is told."""
    usual = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 83.8, "CRVAL2": -5.4, "CRPIX1": 120.3,
             "CRPIX2": 70.1, "CDELT1": -1.5 / 3600, "CDELT2": 1.5 / 3600}  # fmt: skip
    if "CD1_1" in cards:
        del usual["CDELT1"], usual["CDELT2"]
    return WCS(usual | cards)


SHAPE = (151, 263)
TURNED = {"CD1_1": -3e-4, "CD1_2": 2e-4, "CD2_1": 2e-4, "CD2_2": 3e-4}
EXACT: dict[str, dict[str, Any]] = {
    "north up": {},
    "turned": TURNED,
    "turned by CROTA2": {"CROTA2": 133.0},
    "not square": {"CDELT2": 3.0 / 3600, "CROTA2": 20.0},
    "skewed": TURNED | {"CD1_2": 1e-4},
    "seen from behind": {"CDELT1": 1.5 / 3600},
    "sine": {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN"},
    "FK5": {"RADESYS": "FK5", "EQUINOX": 2000.0},
    "FK4": {"RADESYS": "FK4", "EQUINOX": 1950.0},
    "galactic": {"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"},
    "plates carrées": {"CTYPE1": "GLON-CAR", "CTYPE2": "GLAT-CAR", "CRVAL2": 0.0},
    "ecliptic": {"CTYPE1": "ELON-ARC", "CTYPE2": "ELAT-ARC"},
    "supergalactic": {"CTYPE1": "SLON-TAN", "CTYPE2": "SLAT-TAN"},
}
MORE: dict[str, dict[str, Any]] = {
    "distorted": {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 2e-5,
                  "B_0_2": -1e-5},
    "parameters": {"CTYPE1": "RA---ZPN", "CTYPE2": "DEC--ZPN", "PV2_1": 1.0, "PV2_3": 40.0},
    "another": {"CTYPE1": "RA---ZEA", "CTYPE2": "DEC--ZEA"},
    "pole": {"LONPOLE": 150.0},
}  # fmt: skip


def distances(path: Path, grid: Grid, step: int) -> NDArray[np.float64]:
    """Between the sky of a picture's pixels by its tags and by the grid, in pixels of the picture, at its corners."""
    avm = AVM.from_image(str(path))
    with Image.open(path) as image:
        nx, ny = image.size
    x, y = np.array([0, nx - 1, 0, nx - 1, nx / 2]), np.array([0, 0, ny - 1, ny - 1, ny / 3])
    lon, lat = np.radians(avm.to_wcs().wcs_pix2world(x, y, 0))
    at = grid.pixel(unit_vectors(lon, lat))
    # Pixel k of the picture is the middle of pixels k·step … (k + 1)·step − 1 of the grid.
    return np.hypot(at[0] - (x * step + (step - 1) / 2), at[1] - (y * step + (step - 1) / 2)) / step


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("name", EXACT)
def test_the_coordinates_are_the_grid_s(tmp_path: Path, name: str, suffix: str) -> None:
    grid = Grid.from_header(header(**EXACT[name]), SHAPE)
    for side in (300, 100):
        path = tmp_path / f"{side}{suffix}"
        shown = picture(np.ones(SHAPE), max_side=side)
        save(shown, path, grid)
        avm = AVM.from_image(str(path))
        assert avm.Spatial.Quality == "Full"
        assert avm.Spatial.ReferenceDimension == [shown.shape[1], shown.shape[0]]
        assert distances(path, grid, 1 if side == 300 else 3).max() < 1e-6


@pytest.mark.parametrize("name", MORE)
def test_where_tags_cannot_tell_they_have_the_middle(tmp_path: Path, name: str) -> None:
    grid = Grid.from_header(header(**MORE[name]), SHAPE)
    save(rgba((51, 88)), tmp_path / "p.png", grid)
    avm = AVM.from_image(str(tmp_path / "p.png"))
    assert avm.Spatial.Quality == "Position"
    wcs = avm.to_wcs()
    middle = np.radians(wcs.wcs_pix2world([43.5], [25.0], 0))[:, 0]
    x, y = grid.pixel(unit_vectors(*middle))
    assert abs(float(x) - (43.5 * 3 + 1)) < 1e-6 and abs(float(y) - (25 * 3 + 1)) < 1e-6
    assert 1e-6 < distances(tmp_path / "p.png", grid, 3).max() < 1.0


def test_a_picture_whose_middle_has_no_sky_has_no_coordinates(tmp_path: Path) -> None:
    cards = {"CTYPE1": "RA---AIT", "CTYPE2": "DEC--AIT", "CRVAL1": 0.0, "CRVAL2": 0.0, "CDELT1": -1.0, "CDELT2": 1.0,
             "CRPIX1": 170.0, "CRPIX2": 85.0, "PV1_1": 0.0, "PV1_2": 80.0}  # fmt: skip
    grid = Grid.from_header(WCS(cards), (40, 40))
    save(rgba((40, 40)), tmp_path / "p.png", grid)
    with Image.open(tmp_path / "p.png") as image:
        assert "XML:com.adobe.xmp" not in image.info


def test_a_grid_must_be_that_of_the_picture(tmp_path: Path) -> None:
    grid = Grid.from_header(header(), (100, 100))
    with pytest.raises(InputError, match="no whole part"):
        save(rgba((40, 60)), tmp_path / "p.png", grid)
    with pytest.raises(InputError, match=r"10 to 11.*step="):
        save(rgba((10, 10)), tmp_path / "p.png", grid)
    with pytest.raises(InputError, match="shrunk by 7"):
        save(rgba((10, 10)), tmp_path / "p.png", grid, step=7)
    assert not list(tmp_path.iterdir())
    save(rgba((10, 10)), tmp_path / "p.png", grid, step=10)
    assert distances(tmp_path / "p.png", grid, 10).max() < 1e-6


def test_the_step_between_two_shapes_is_the_one_that_was_taken() -> None:
    for large in ((1000, 700), (999, 5), (100_000, 3), (1, 1), (4001, 4000)):
        for step in (1, 2, 3, 7, 30):
            small = (-(-large[0] // step), -(-large[1] // step))
            fits = [s for s in range(1, max(large) + 1) if (-(-large[0] // s), -(-large[1] // s)) == small]
            assert step in fits or step > max(large)
            if len(fits) == 1:
                assert step_between(large, small) == fits[0]
            else:
                with pytest.raises(InputError, match=f"{fits[0]} to {fits[-1]}"):
                    step_between(large, small)


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.png, \.jpg"):
        save(rgba((4, 4)), tmp_path / "p.gif")
    with pytest.raises(InputError, match="65500"):
        save(np.zeros((1, 65_501, 4), np.uint8), tmp_path / "p.jpg")
    with pytest.raises(InputError, match="65500"):
        check_saved("p.jpeg", (65_501, 1))
    check_saved("p.png", (65_501, 1))
    with pytest.raises(InputError, match="quality is 0"):
        save(rgba((4, 4)), tmp_path / "p.jpg", quality=0)
    no_pictures: list[Any] = [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 4))]
    for wrong in no_pictures:
        with pytest.raises(InputError, match=r"uint8 \(ny, nx, 4\)"):
            save(wrong, tmp_path / "p.png")
    with pytest.raises(InputError, match="cannot write"):
        save(rgba((4, 4)), tmp_path / "no" / "p.png")
    assert not list(tmp_path.iterdir())


def test_a_jpeg_as_long_as_can_be(tmp_path: Path) -> None:
    save(np.full((1, 65_500, 4), 255, np.uint8), tmp_path / "p.jpg")
    assert read(tmp_path / "p.jpg").shape == (1, 65_500)


def test_failed_write_leaves_the_old_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mosaic.png"
    save(rgba((8, 8)), path)
    before = path.read_bytes()

    def fail(image: Image.Image, part: Path, **options: Any) -> None:
        part.write_bytes(b"half a picture")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(InputError, match="disk full"):
        save(rgba((4, 4)), path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["mosaic.png"]
    assert path.read_bytes() == before
