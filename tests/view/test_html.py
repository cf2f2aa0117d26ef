"""What notebooks show, parsed: the numbers that are printed, nothing unescaped, nothing computed, small and quick."""

from __future__ import annotations

import base64
import io
import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from catalogues import atlas
from PIL import Image
from surveys import Survey, make_survey, write_image

import dmontage as dm
from dmontage.model import Images
from dmontage.planner import BandPlans
from dmontage.view import thumbnail
from dmontage.view.html import html
from dmontage.view.sketch import MOST

VOID = {"img", "br", "hr"}


class Page(HTMLParser):
    """All elements and texts; every element is closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)
        if self.open[-1:] in (["td"], ["th"]):
            self.rows[-1][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    @property
    def picture(self) -> Image.Image:
        (found,) = self.all("img")
        kind, _, data = (found["src"] or "").partition(",")
        assert kind == "data:image/png;base64"
        return Image.open(io.BytesIO(base64.b64decode(data)))


def page(value: Any) -> Page:
    text = value._repr_html_()
    assert text is not None and len(text.encode()) < 100_000
    assert not re.search(r"https?://|<script|url\(", text)  # self-contained
    return Page(text)


def printed(value: Any) -> list[list[str]]:
    """Lines as they are printed, as rows of a table."""
    return [[line[:12].strip(), line[12:]] for line in str(value).splitlines() if line.strip()]


@pytest.fixture
def survey(tmp_path: Path) -> Survey:
    return make_survey(tmp_path / "raw", layout=(2, 3))


def test_a_plan_says_what_it_prints_and_shows_its_footprints(survey: Survey) -> None:
    plan = dm.plan(survey.folder, survey.grid)
    found = page(plan)
    assert found.rows == printed(plan)
    drawn = found.all("polygon")
    assert [p["class"] for p in drawn] == ["dm-i"] * 6 + ["dm-g"]
    points = [np.array([[float(v) for v in xy.split(",")] for xy in (p["points"] or "").split()]) for p in drawn]
    # The grid's frame in the drawing's pixels tells the scale; y grows downwards.
    (x0, _), (x1, y1) = points[-1].min(axis=0), points[-1].max(axis=0)
    scale = (x1 - x0) / 320
    for row, outline in zip(plan.rows, points, strict=False):
        expected = np.array(row.outline) + 0.5
        x, y = (outline[:, 0] - x0) / scale, (y1 - outline[:, 1]) / scale
        np.testing.assert_allclose(np.stack([x, y], axis=-1), expected, atol=0.1 / scale)


def test_names_are_escaped(survey: Survey, tmp_path: Path) -> None:
    evil = '<img src=x onerror="alert(1)">&amp;.fits'
    survey.paths[0].rename(survey.folder / evil)
    (survey.folder / "<b>no.fits").write_text("no image")
    images = dm.scan(survey.folder)
    for value in (images, dm.plan(images, survey.grid), dm.mosaic(images, survey.grid)):
        found = page(value)
        assert found.all("img") == [] and found.all("b") == []
        assert any(evil in text for text in found.texts)
        assert any("<b>no.fits" in text for text in found.texts)


def test_images_are_listed_and_drawn_on_the_sky(survey: Survey) -> None:
    images = dm.scan(survey.folder)
    found = page(images)
    assert "6 images, 0.0 Mpix, 0 skipped" in found.text
    assert [row[:5] for row in found.rows[1:]] == [
        [path.name, "100 × 80", "2", "TAN (icrs)", "MJy/sr"] for path in survey.paths
    ]
    assert len(found.all("polygon")) == 6


def test_many_images_are_thinned_and_said(survey: Survey) -> None:
    one = dm.scan(survey.folder)
    many = Images(one.refs * 200)
    found = page(many)
    assert len(found.all("polygon")) == 240 <= MOST
    assert "one of 5 is drawn, of 1200" in found.text
    assert "... and 1180 more" in found.text


def test_a_map_of_all_the_sky_is_not_drawn_but_told_of(survey: Survey, tmp_path: Path) -> None:
    cards = {"CTYPE1": "RA---AIT", "CTYPE2": "DEC--AIT", "CRPIX1": 36.5, "CRPIX2": 18.5, "CDELT1": -5.0, "CDELT2": 5.0,
             "CRVAL1": 0.0, "CRVAL2": 0.0}  # fmt: skip
    write_image(survey.folder / "sky.fits", np.ones((36, 72), np.float32), fits.Header(cards.items()))
    found = page(dm.scan(survey.folder))
    assert len(found.all("polygon")) == 6 and "not 1 whose edges leave the sky" in found.text


def test_east_is_left_and_north_is_up(survey: Survey) -> None:
    """Centres of the drawn outlines against the sky's own directions."""
    images = dm.scan(survey.folder)
    drawn = page(images).all("polygon")
    centres = [
        np.mean([[float(v) for v in xy.split(",")] for xy in (p["points"] or "").split()], axis=0) for p in drawn
    ]
    sky = [ref.grid.wcs().pixel_to_world(49.5, 39.5).icrs for ref in images]
    for a in range(6):
        for b in range(6):
            d_ra = (sky[a].ra - sky[b].ra).wrap_at("180d").arcsec
            d_dec = (sky[a].dec - sky[b].dec).arcsec
            if abs(d_ra) > 60:
                assert (centres[a][0] < centres[b][0]) == (d_ra > 0)
            if abs(d_dec) > 60:
                assert (centres[a][1] < centres[b][1]) == (d_dec > 0)


def test_a_grid_tells_its_middle_and_directions() -> None:
    grid = dm.Grid.around("05h35m -5d23m", ("1 deg", "30 arcmin"), "1 arcsec", rotation="90 deg")
    found = page(grid)
    said = {row[0]: row[1] for row in found.rows}
    assert said["pixels"].startswith("3600 × 1800, 6.48 Mpix") and said["extent"] == "1 deg × 30 arcmin"
    assert said["middle"] == "83.750000 -5.383333 deg (05h35m00.0s -05d23m00.0s)"
    assert said["WCS"] == "TAN (icrs)" and said["scale"] == "1 arcsec"
    assert "CRVAL1" in found.text
    north, _ = found.all("line")
    dx, dy = (float(north[f"{a}2"] or 0) - float(north[f"{a}1"] or 0) for a in "xy")
    middle = grid.wcs()
    here = middle.pixel_to_world(1799.5, 899.5)
    px, py = middle.world_to_pixel(here.directional_offset_by(0 * here.ra.unit, 10 / 3600 * here.ra.unit))
    np.testing.assert_allclose([dx, -dy], 26 * np.array([px - 1799.5, py - 899.5]) / 10, atol=0.1)


def test_a_grid_without_sky_in_its_middle() -> None:
    header = fits.Header({"NAXIS": 2, "NAXIS1": 200, "NAXIS2": 200, "CTYPE1": "RA---AIT", "CTYPE2": "DEC--AIT",
                          "CRPIX1": -20.0, "CRPIX2": 30.0, "CDELT1": -1.0, "CDELT2": 1.0, "CRVAL1": 0.0,
                          "CRVAL2": 0.0})  # fmt: skip
    found = page(dm.Grid.from_header(header))
    assert ["middle", "not on the sky"] in found.rows and found.all("line") == []


def test_nothing_is_computed_for_it(survey: Survey, tmp_path: Path) -> None:
    for store in (None, tmp_path / "run.zarr"):
        mosaic = dm.mosaic(survey.folder, survey.grid, store)
        found = page(mosaic)
        assert "not computed yet" in found.text and found.all("img") == []
        assert found.rows == printed(mosaic.plan)
        assert mosaic._store is None and not mosaic.summary.seconds
    assert not (tmp_path / "run.zarr").exists()


@pytest.mark.parametrize("kept", ["file", "tiles", "store"])
def test_a_mosaic_that_is_kept_has_a_picture(survey: Survey, tmp_path: Path, kept: str) -> None:
    store = tmp_path / "run.zarr" if kept == "store" else None
    mosaic = dm.mosaic(survey.folder, survey.grid, store, background="none")
    mosaic.write(tmp_path / "m.fits", tiles=192 if kept == "tiles" else None)
    data = mosaic.compute().data
    if kept == "store":
        (tmp_path / "m.fits").unlink()
    found = page(mosaic)
    assert {"file": "from m.fits", "tiles": "from 4 tiles", "store": "from the store"}[kept] in found.text
    assert printed(mosaic.summary)[0] in found.rows
    picture = np.asarray(found.picture.convert("RGBA"))[::-1]
    small = np.full((160, 160), np.nan)
    for y in range(160):
        for x in range(160):
            square = data[2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
            if np.isfinite(square).any():
                small[y, x] = np.nanmean(square)
    assert picture.shape[:2] == small.shape
    np.testing.assert_array_equal(picture[..., 3] > 0, np.isfinite(small))
    inside = np.isfinite(small)
    order = np.argsort(small[inside])
    grey = picture[..., 0][inside].astype(int)
    assert (np.diff(grey[order]) >= 0).all() and grey.max() - grey.min() > 100


def test_a_large_file_is_sampled(survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mosaic = dm.mosaic(survey.folder, survey.grid, background="none")
    mosaic.write(tmp_path / "m.fits", tiles=128, overlap=64)
    data = mosaic.compute().data
    monkeypatch.setattr(thumbnail, "_MOST", 1000)
    for side, step in ((100, 4), (45, 8), (256, 2)):
        found = thumbnail.preview(mosaic, side)
        assert not isinstance(found, str)
        np.testing.assert_array_equal(found.values, data[::step, ::step])
    assert "from 16 tiles, one pixel of 2 × 2" in page(mosaic).text


def test_a_damaged_store_leaves_the_numbers(survey: Survey, tmp_path: Path) -> None:
    mosaic = dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr", background="none")
    mosaic.write(tmp_path / "m.fits")
    (tmp_path / "m.fits").unlink()
    for chunk in (tmp_path / "run.zarr" / "mosaic" / "mean").rglob("*"):
        if chunk.is_file() and chunk.name != "zarr.json":
            chunk.write_bytes(b"x" * 100)
    found = page(mosaic)
    assert "cannot be shown" in found.text and found.all("img") == []
    assert printed(mosaic.summary)[0] in found.rows


def test_noise_stays_small(tmp_path: Path) -> None:
    """What a PNG cannot pack is shown in fewer pixels."""
    rng = np.random.default_rng(0)
    write_image(tmp_path / "noise.fits", rng.standard_normal((256, 256)).astype(np.float32))
    mosaic = dm.mosaic(tmp_path / "noise.fits", background="none")
    mosaic.write(tmp_path / "m.fits")
    found = page(mosaic)
    assert 100 < max(found.picture.size) < 256
    declared = found.all("img")[0]
    assert declared["width"] == str(mosaic.grid.shape[1])


def test_bands_and_their_plans(tmp_path: Path) -> None:
    survey = make_survey(tmp_path / "raw", layout=(1, 4))
    for k, path in enumerate(survey.paths):
        fits.setval(path, "FILTER", value="<J>" if k % 2 else "K")
    bands = dm.mosaics(survey.folder, survey.grid, group_by="FILTER", background="none")
    found = page(bands)
    assert found.text.count("not computed yet") == 2 and "<J>" in found.text and found.all("j") == []
    bands["K"].write(tmp_path / "k.fits")
    assert max(page(bands).picture.size) <= 96
    plans = page(bands.plan)
    assert len(plans.all("svg")) == 2
    for line in printed(str(bands.plan).partition("\n\n")[0]):
        assert line in plans.rows


def test_long_names_and_noise_stay_small_together() -> None:
    """Beside 250 footprints with long names, three times for bands, and the noisiest picture."""
    refs = [replace(ref, path=f"/survey/{'&' * 9}{'n' * 60}{Path(ref.path).name}") for ref in atlas(MOST)]
    images = Images(tuple(refs))
    plan = dm.plan(images, dm.Grid.fit(images, scale="10 arcsec"))
    assert len(page(plan).all("polygon")) == MOST + 1
    assert page(BandPlans("FILTER", dict.fromkeys("JHK", plan), ())).text.count("one of 4 is drawn") == 3
    noise = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)
    assert len(thumbnail._encoded(noise)) + len(html(plan) or "") < 99_000


def test_whatever_goes_wrong_leaves_the_numbers(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    mosaic = dm.mosaic(survey.folder, survey.grid)
    for error in (KeyError("depth"), IndexError("row 8"), RuntimeError("blosc")):

        def fail(_: Any, error: Exception = error) -> Any:
            raise error

        monkeypatch.setattr("dmontage.pipeline.value.Mosaic.made", fail)
        found = page(mosaic)
        assert f"cannot be shown: {error}" in found.text and found.rows == printed(mosaic.plan)


def test_stores_of_many_images_are_not_looked_at(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnail, "_MOST_ROWS", 5)
    assert "not looked for among 6 images" in page(dm.mosaic(survey.folder, survey.grid)).text


def test_it_is_quick(survey: Survey, tmp_path: Path) -> None:
    """Half a second, with all that is imported; for thousands of images."""
    many = Images(dm.scan(survey.folder).refs * 500)
    mosaic = dm.mosaic(survey.folder, survey.grid, background="none")
    mosaic.write(tmp_path / "m.fits")
    for value in (many, mosaic, mosaic.plan, mosaic.grid):
        html(value)
        start = time.perf_counter()
        html(value)
        assert time.perf_counter() - start < 0.5


def test_what_is_not_known_is_left_to_text() -> None:
    class Grid:
        """Of somebody else."""

    assert html(Grid()) is None and html(3) is None
