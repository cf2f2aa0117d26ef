"""Suspicious inputs: far places against brute force, scales, blank images; named by the plan, and silent otherwise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from surveys import damage, field_grid, image_header, make_survey, write_image

import dmontage as dm
from dmontage.errors import ChangedError, InputError, UnreachableError
from dmontage.fits_files import only_value
from dmontage.fits_files import read as read_pixels
from dmontage.grid import Grid
from dmontage.model import ImageRef
from dmontage.planner import make_plan
from dmontage.planner.suspects import Place, far_away
from dmontage.window import Window

Floats = NDArray[np.float64]

HDR = (80, 100)


def at(dx: float, dy: float, name: str, *, ra: float = 0.0, scale: float = 2.0) -> ImageRef:
    """An image at (dx, dy) pixels of 2 arcsec from the field's middle, and ``ra`` degrees beside it."""
    header = image_header(dx, dy, shape=HDR, scale=scale)
    header["CRVAL1"] = (header["CRVAL1"] + ra) % 360
    return ImageRef(name, 0, Grid.from_header(header, shape=HDR), "MJy/sr", 8640, 0)


def survey(n: int = 5) -> list[ImageRef]:
    return [at(90 * (i - n // 2), 70 * (j - n // 2), f"{i}-{j}.fits") for i in range(n) for j in range(n)]


def far_in(warnings: tuple[str, ...]) -> str:
    return "".join(text for text in warnings if "far from all other images" in text)


# -- places ------------------------------------------------------------------------------------------------------------


def angles(centres: Floats) -> Floats:
    """All against all, by cross and dot products."""
    cross = np.linalg.norm(np.cross(centres[:, None], centres), axis=-1)
    return np.asarray(np.arctan2(cross, centres @ centres.T))


def sphere(lon: Any, lat: Any) -> Floats:
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def test_far_is_what_comparing_all_with_all_says() -> None:
    """Groups of one to eight, of sizes and distances of all magnitudes, but none where rounding could decide."""
    rng = np.random.default_rng(1)
    n_far = 0
    for _ in range(600):
        starts = 10 ** rng.uniform(-3, 0.3, rng.integers(1, 9))
        lon = np.concatenate([start + 10 ** rng.uniform(-4, -1) * rng.random(rng.integers(1, 9)) for start in starts])
        centres = sphere(rng.permutation(lon), 1e-3 * rng.random(len(lon)))
        radii = 10 ** rng.uniform(-5, -1.3) * rng.uniform(0.3, 3.0, len(lon))
        found = far_away([Place(str(i), *each, 1e-5) for i, each in enumerate(zip(centres, radii, strict=True))])
        k = min(3, len(lon) // 3)
        kth = np.sort(angles(centres), axis=1)[:, k]
        limits = 10 * max(float(np.median(kth)), 2 * float(np.median(radii))) + radii
        if k == 0 or (np.abs(kth / limits - 1) < 1e-6).any():
            assert k or not found
            continue
        assert dict(found) == {str(i): pytest.approx(kth[i], abs=1e-8) for i in np.flatnonzero(kth > limits)}
        n_far += len(found)
    assert n_far > 100


def test_few_of_many_thousands_are_found() -> None:
    """Three that share a wrong place, and one at the other side of the sky; more images than are sampled."""
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(70), np.arange(70)))
    centres = sphere(1.0 + 2e-3 * x, 2e-3 * y)
    wrong = np.array([100, 2000, 3000, 4800])
    centres[wrong] = [*sphere(np.full(3, 1.3), np.array([-0.5, -0.501, -0.502])), -centres[0]]
    found = far_away([Place(str(i), centre, 1e-3, 1e-5) for i, centre in enumerate(centres)])
    assert [name for name, _ in found] == [str(i) for i in wrong]
    nearest = np.arccos((np.delete(centres, wrong, axis=0) @ centres[100]).max())
    assert found[0][1] == pytest.approx(nearest)  # its third neighbour, two being wrong with it
    assert far_away([Place("", centre, 1e-3, 1e-5) for centre in np.delete(centres, wrong, axis=0)]) == []


def test_a_plan_names_an_image_far_from_the_rest_on_the_grid_or_not() -> None:
    grid, wrong = field_grid(), at(0, 0, "far.fits", ra=30)
    plan = make_plan([*survey(), wrong], grid)
    assert [item.name for item in plan.skipped] == ["far.fits"]
    # Its third nearest is of the westernmost column or two, 0.1 deg from the middle, on a parallel shrunk by cos(dec).
    assert far_in(plan.warnings).endswith("wrong WCS: far.fits (29.8 deg)")
    assert "warning     far from all" in str(plan)
    assert "far.fits" in far_in(dm.plan([*survey(), at(0, 0, "far.fits", ra=3)]).warnings)  # on a grid that holds it


def test_what_is_not_far_is_no_suspect() -> None:
    grid = field_grid()
    assert make_plan(survey(), grid).warnings == ()
    islands = [replace(image, path=f"{k}/{image.path}", grid=at(0, 0, "", ra=2.0 * k).grid)
               for k in range(8) for image in survey(2)]  # fmt: skip
    assert make_plan(islands, grid).warnings == ()
    header = image_header(5, 5, shape=HDR)
    header.update(CTYPE1="GLON-TAN", CTYPE2="GLAT-TAN", CRVAL1=209.05, CRVAL2=-19.4)  # the same place, in another frame
    galactic = ImageRef("g.fits", 0, Grid.from_header(header, shape=HDR), "MJy/sr", 8640, 0)
    assert far_in(make_plan([*survey(), galactic], grid).warnings) == ""


def test_a_grid_that_cannot_be_made_names_who_is_to_blame() -> None:
    with pytest.raises(InputError, match=r"span more sky than one TAN grid .* choose .*wrong WCS: far.fits \(1[67]\d"):
        dm.plan([*survey(), at(0, 0, "far.fits", ra=175)])
    with pytest.raises(InputError, match=r"the limit is 50 MB; choose .*wrong WCS: far.fits \(39.* deg\)$"):
        dm.plan([*survey(), at(0, 0, "far.fits", ra=40)], max_bytes=50e6)
    with pytest.raises(InputError, match=r"\(max_bytes, --max-bytes\)$"):
        dm.plan(survey(), max_bytes=1e5)


def test_an_image_without_sky_has_no_place() -> None:
    places = [Place(str(i), centre, 1e-3, 1e-5) for i, centre in enumerate(sphere(1e-3 * np.arange(9), np.zeros(9)))]
    assert far_away([*places, Place("nowhere", np.full(3, np.nan), 0.0, 1e-5)]) == []


@pytest.mark.parametrize(("times", "odd"), [(2.9, False), (3.1, True), (10, True), (1 / 2.9, False), (0.1, True)])
def test_a_scale_off_by_ten(times: float, odd: bool) -> None:
    plan = make_plan([*survey(), at(0, 0, "odd.fits", scale=2.0 * times)], field_grid())
    assert any("pixels over 3 times larger or smaller" in text and "odd.fits" in text for text in plan.warnings) == odd


def test_units_are_those_of_images_on_the_grid() -> None:
    away = replace(at(0, 0, "away.fits", ra=0.5), bunit="DN")
    assert not any("units" in text for text in make_plan([*survey(), away], field_grid()).warnings)
    assert any("units" in text for text in make_plan([*survey(), replace(away, grid=survey()[0].grid)], field_grid())
               .warnings)  # fmt: skip


# -- pixels ------------------------------------------------------------------------------------------------------------


def ref_of(folder: Path, data: NDArray[Any], name: str = "x.fits", **cards: Any) -> ImageRef:
    return dm.scan(write_image(folder / name, data, **cards))[0]


def test_only_value_looks_at_every_pixel_of_a_suspect(tmp_path: Path) -> None:
    """Whichever single pixel differs: seen. Blank pixels are no values, and infinite ones are blank."""
    flat = np.full((9, 7), 4.0, np.float32)
    for y, x in [(0, 0), (2, 6), (4, 3), (5, 1), (8, 6)]:
        one = flat.copy()
        one[y, x] = 5
        assert only_value(ref_of(tmp_path, one)) is None
        one[y, x] = np.nan
        assert only_value(ref_of(tmp_path, one)) == 4.0
        blank = np.full((9, 7), np.nan)
        blank[y, x] = -2
        assert only_value(ref_of(tmp_path, blank)) == -2.0
        blank[y, x] = np.inf
        assert np.isnan(only_value(ref_of(tmp_path, blank)) or 0.0)
    rows = np.broadcast_to(np.arange(9.0)[:, None], (9, 7))
    assert only_value(ref_of(tmp_path, rows)) is None
    assert only_value(ref_of(tmp_path, np.zeros((1, 5)))) == 0.0


@pytest.mark.parametrize("name", ["x.fits", "x.fits.gz"])
def test_only_value_of_scaled_integers(tmp_path: Path, name: str) -> None:
    """BLANK of integers is blank; BSCALE and BZERO count."""
    data = np.full((6, 5), -9, np.int16)
    assert np.isnan(only_value(ref_of(tmp_path, data, name, BLANK=-9)) or 0.0)
    assert only_value(ref_of(tmp_path, data, name)) == -9
    data[5, 4] = 10
    assert only_value(ref_of(tmp_path, data, name, BLANK=-9)) == 10


def test_one_row_is_read_of_an_image_that_says_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Window | None] = []

    def counted(ref: ImageRef, window: Window | None = None) -> NDArray[Any]:
        read.append(window)
        return read_pixels(ref, window)

    monkeypatch.setattr("dmontage.fits_files.blank.read", counted)
    images = dm.scan(make_survey(tmp_path).folder)
    plan = dm.plan(images, check_pixels=True)
    assert plan.warnings == dm.plan(images).warnings
    assert read == [Window(40, 41, 0, 100)] * len(images)


def test_a_plan_tells_images_without_content(tmp_path: Path) -> None:
    """Only where asked to look; one that cannot be read to its end too, which strict refuses."""
    paths = make_survey(tmp_path).paths
    grid = Grid.fit(dm.scan(tmp_path))
    for path, value in zip(paths, (np.nan, 0.0, 7.5, 1.0), strict=False):
        write_image(path, np.full(HDR, value, np.float32))
    bad = damage(paths[3])
    plain = dm.plan(tmp_path, grid).warnings
    said = dm.plan(tmp_path, grid, check_pixels=True).warnings[len(plain) :]
    assert said[1:] == (
        "all pixels are blank: image00.fits",
        "all pixels have one value: image01.fits (0), image02.fits (7.5)",
    )
    assert said[0].startswith(f"will be left out: {bad}: HDU 1 cannot be read")
    with pytest.raises(InputError, match="cannot be read"):
        dm.plan(tmp_path, grid, check_pixels=True, strict=True)


@pytest.mark.parametrize("kind", [UnreachableError, ChangedError])
def test_what_is_out_of_reach_is_not_said_to_be_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[InputError]
) -> None:
    """And no other image is asked."""
    asked: list[ImageRef] = []

    def fails(ref: ImageRef) -> float | None:
        asked.append(ref)
        raise kind(f"{ref.path}: no answer")

    monkeypatch.setattr("dmontage.pipeline.pixel_check.only_value", fails)
    with pytest.raises(kind, match=r"image00\.fits: no answer"):
        dm.plan(make_survey(tmp_path).folder, check_pixels=True)
    assert len(asked) == 1
