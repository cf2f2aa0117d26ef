"""The plan: footprints and pairs against brute force, batches by property, refusals, and that it opens no file."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from surveys import Survey, field_grid, image_header, make_survey, write_image

import dmontage as dm
from dmontage.errors import InputError
from dmontage.grid import Grid
from dmontage.mapping import fit_mapping
from dmontage.model import Companions, ImageRef, Images
from dmontage.planner import Footprint, deviation_warnings, human, make_plan, overlap_pairs
from dmontage.planner.batching import batches, in_tasks
from dmontage.planner.estimate import REFERENCE, estimate
from dmontage.window import Window


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    return make_survey(tmp_path_factory.mktemp("survey"))


@pytest.fixture(scope="module")
def images(survey: Survey) -> Images:
    return dm.scan(survey.folder)


def at(dx: float, dy: float, shape: tuple[int, int] = (40, 50), name: str = "a.fits", bunit: str = "") -> ImageRef:
    grid = Grid.from_header(image_header(dx, dy, shape=shape), shape=shape)
    return ImageRef(name, 0, grid, bunit, 8640, 0)


def test_a_footprint_is_the_pixels_that_the_image_reaches(survey: Survey, images: Images) -> None:
    """By astropy: corners of all input pixels in output pixels, none outside and none of the edge in vain."""
    plan = make_plan(images, survey.grid)
    assert [row.image for row in plan.rows] == list(images)
    out = survey.grid.wcs()
    for row in plan.rows:
        ny, nx = row.image.grid.shape
        x, y = np.meshgrid(np.arange(nx + 1) - 0.5, np.arange(ny + 1) - 0.5)
        u, v = out.all_world2pix(*row.image.grid.wcs().all_pix2world(x, y, 0), 0)
        wanted = [
            np.floor(v.min() + 0.5),
            np.floor(v.max() + 0.5) + 1,
            np.floor(u.min() + 0.5),
            np.floor(u.max() + 0.5) + 1,
        ]
        assert [row.window.y0, row.window.y1, row.window.x0, row.window.x1] == wanted


@pytest.mark.parametrize("shift", [(-200, 0), (170, 3), (0, 179.5), (150, 150)])
def test_images_at_the_edge(shift: tuple[float, float]) -> None:
    """Half on the grid, on it by a part of a pixel, and beside it: the others are named; a row ends with its margin."""
    inside, outside = at(0, 0, name="in.fits"), at(*shift, name="far.fits")
    x, y = (159.5 + shift[0], 159.5 + shift[1])
    reaches = x - 25 < 319.5 and x + 25 > -0.5 and y - 20 < 319.5
    for margin in (0, 7):
        plan = make_plan([inside, outside], field_grid(), margin=margin)
        assert len(plan.rows) == 1 + reaches
        assert [item.name for item in plan.skipped] == ([] if reaches else ["far.fits"])
        for row in plan.rows:
            assert row.window in field_grid().window.pad(margin)


boxes = st.builds(
    lambda y, x, ny, nx: Window(y, y + ny, x, x + nx),
    st.integers(-10, 300), st.integers(-10, 300), st.integers(1, 120), st.integers(1, 120),
)  # fmt: skip


@given(st.lists(boxes, min_size=1, max_size=25))
def test_pairs_are_those_of_all_against_all(windows: list[Window]) -> None:
    image = at(0, 0)
    mapping = fit_mapping(image.grid, field_grid())
    rows = [Footprint(replace(image), window, mapping, "plane") for window in windows]
    pairs = [(pair.plus, pair.minus, pair.window) for pair in overlap_pairs(rows)]
    wanted = [
        (i, j, windows[i] & windows[j]) for i, j in combinations(range(len(windows)), 2) if windows[i] & windows[j]
    ]
    assert pairs == wanted


@given(st.lists(st.floats(1, 3e6), max_size=60), st.integers(1, 80))
def test_batches_cut_the_numbers_in_order(costs: list[float], n: int) -> None:
    """All numbers once and in order; no more batches than asked for, none far from its share of the whole."""
    cut = batches(costs, n)
    assert [i for batch in cut for i in batch] == list(range(len(costs)))
    assert len(cut) <= n and all(cut)
    sums = [sum(costs[i] for i in batch) for batch in cut]
    assert all(total <= (sum(costs) / n + max(costs)) * (1 + 1e-9) for total in sums)


@pytest.mark.parametrize(("threads", "tasks"), [(1, 15), (2, 16), (4, 16), (7, 28), (8, 32), (40, 80), (1000, 60)])
def test_batches_grow_with_the_work(threads: int, tasks: int) -> None:
    """Things of 0.1 s: up to four in a task, fewer where a thread had less than four tasks; as many for each thread."""
    cut = in_tasks([2_000_000 * REFERENCE] * 60, threads)
    assert len(cut) == min(tasks, 60) and sum(map(len, cut)) == 60


def test_chunks_know_the_rows_that_reach_them(survey: Survey, images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dmontage.planner.memory.CHUNKS", (64,))
    plan = make_plan(images, survey.grid)
    seen = np.zeros(survey.grid.shape, int)
    for chunk, rows in plan.chunks:
        seen[chunk.slices] += 1
        assert rows == tuple(i for i, row in enumerate(plan.rows) if row.window & chunk)
    assert (seen == 1).all() and len(plan.chunks) == 25
    for batched, n in ((plan.row_batches, 6), (plan.pair_batches, len(plan.pairs)), (plan.chunk_batches, 25)):
        assert [i for batch in batched for i in batch] == list(range(n))


def test_a_plan_opens_no_file(tmp_path: Path, survey: Survey) -> None:
    """The files are gone when the plan is made; printing it computes nothing either."""
    shutil.copytree(survey.folder, tmp_path / "raw")
    found = dm.scan(tmp_path / "raw")
    shutil.rmtree(tmp_path / "raw")
    plan = dm.plan(found, survey.grid)
    text = str(plan)
    assert not list(tmp_path.iterdir())
    lines = dict(line.split(maxsplit=1) for line in text.splitlines())
    assert lines["mosaic"] == "320 x 320 pixels of 2 arcsec, TAN (icrs)"
    assert lines["images"] == "6 used, 0.0 Mpix; 0 skipped"
    assert lines["projection"].startswith("6 on the plane, 0 on the sphere; error at most ")
    assert re.fullmatch(
        r"6 windows of \d+ x \d+ pixels \(median\); up to 6 reach a chunk of 320 x 320", lines["footprints"]
    )
    assert lines["overlaps"].startswith(f"{len(plan.pairs)} pairs at most; mean depth 0.")
    assert lines["tasks"] == "1 project, 1 fit, 1 coadd; an image is read 1 times for the coadd"
    assert lines["memory"].startswith(f"{plan.memory.workers} tasks at once of up to ")
    size = sum(ref.size for ref in found)
    assert lines["bytes"].startswith(f"{human(size)} in, store at most ") and plan.bytes_in == size


def test_a_terabyte_is_refused_by_its_size(images: Images) -> None:
    grid = replace(field_grid(), shape=(400_000, 400_000))
    with pytest.raises(InputError, match=r"400000 x 400000 pixels needs 1\.28 TB, the limit is 275 GB.*--max-bytes"):
        make_plan(images, grid)
    with pytest.raises(InputError, match=r"needs 1.22 MB, the limit is 900 kB"):  # the product fits, the store does not
        make_plan(images, field_grid(), max_bytes=900_000)
    assert make_plan(images, field_grid(), max_bytes=2_000_000)


def test_no_overlap_with_the_grid_is_refused(images: Images) -> None:
    with pytest.raises(InputError, match=r"no image reaches the grid: image00.fits: does not overlap"):
        make_plan(images, Grid.around("10h +40d", "1 deg", "10 arcsec"))


def test_the_other_side_of_the_sky_is_no_overlap() -> None:
    """A tangent plane maps the antipodes onto itself, mirrored."""
    header = image_header(shape=(40, 50))
    header["CRVAL1"], header["CRVAL2"] = header["CRVAL1"] + 180, -header["CRVAL2"]
    antipode = ImageRef("anti.fits", 0, Grid.from_header(header, shape=(40, 50)), "", 1, 0)
    plan = make_plan([at(0, 0), antipode], field_grid())
    assert [item.name for item in plan.skipped] == ["anti.fits"]


def test_an_image_on_the_seam_has_a_row_on_either_side() -> None:
    """Of a map of all the sky: two rows of one image are no pair, and follow one another; nor is the whole map kept."""
    all_sky = Grid.around("0 0", ("360 deg", "180 deg"), "0.25 deg", "CAR")
    at_lon = [Grid.around(f"{lon} 10", shape=(40, 50), scale="360 arcsec") for lon in (170, 180, 181)]
    images = [ImageRef(f"{k}.fits", 0, grid, "", 1, 0) for k, grid in enumerate(at_lon)]
    plan = make_plan(images, all_sky)
    assert [row.image.name for row in plan.rows] == ["0.fits", "1.fits", "1.fits", "2.fits", "2.fits"]
    assert {row.method for row in plan.rows[1:]} == {"sky"}
    assert sum(row.window.size for row in plan.rows) < 0.1 * all_sky.window.size
    owners = [(plan.rows[pair.plus].image.name, plan.rows[pair.minus].image.name) for pair in plan.pairs]
    assert ("1.fits", "2.fits") in owners
    assert all(a != b for a, b in owners)


@pytest.mark.parametrize(
    "option", [{"background": "mesh"}, {"combine": "mode"}, {"weights": "noise"}, {"method": "fast"}]
)
def test_an_unknown_word_is_refused_with_the_known_ones(images: Images, option: dict[str, str]) -> None:
    name, value = next(iter(option.items()))
    with pytest.raises(InputError, match=rf"{name} '{value}' is not one of .*(none|mean|auto)"):
        make_plan(images, field_grid(), **option)  # type: ignore[arg-type]


def test_suspicious_inputs_are_named() -> None:
    coarse = Grid.from_header(image_header(shape=(40, 50), scale=7.0), shape=(40, 50))
    refs = [at(0, 0, bunit="DN"), at(30, 0, name="b.fits", bunit="MJy/sr"), at(0, 9, name="c.fits", bunit="MJy/sr")]
    text = str(make_plan([*refs, replace(refs[1], path="coarse.fits", grid=coarse)], field_grid()))
    assert "different units: DN, MJy/sr" in text
    assert "BUNIT 'DN' counts per pixel" in text
    assert "coarse.fits" in text and text.count("warning") == 3
    assert "warning" not in str(make_plan(refs[1:], field_grid()))


def test_different_filters_and_zero_points_are_told(tmp_path: Path) -> None:
    """By cards of the image's own header, or of its file's first."""
    data = np.ones((40, 50), np.float32)
    write_image(tmp_path / "a.fits", data, FILTER="g", MAGZP=25.0)
    write_image(tmp_path / "b.fits", data, BAND="r", MAGZP=25.0005)
    write_image(tmp_path / "c.fits", data, FILTER=" ")
    first = fits.PrimaryHDU(header=fits.Header({"FILTER": "r", "MAGZP": 25.1}))
    fits.HDUList([first, fits.ImageHDU(data, image_header(3, 0, shape=data.shape))]).writeto(tmp_path / "d.fits")
    images = dm.scan(tmp_path)
    assert [image.filter for image in images] == ["g", "r", "", "r"]
    assert [image.magzp for image in images] == [25.0, 25.0005, None, 25.1]
    filters, zero_points = make_plan(images, field_grid()).warnings
    assert "different filters: g, r; " in filters and "(--group-by FILTER, or BAND," in filters
    assert "MAGZP 25 to 25.1," in zero_points
    assert make_plan(images[1:3], field_grid()).warnings == ()
    scaled = dm.mosaic(tmp_path, field_grid(), zero_point={ref.name: 24.0 for ref in images}).plan
    assert scaled.warnings[0] == filters and not any("MAGZP" in text for text in scaled.warnings)


def test_counts_of_different_exposures_are_told(tmp_path: Path) -> None:
    """Counts grow with the exposure; rates, and counts that are scaled, do not."""
    data = np.ones((40, 50), np.float32)
    for bunit, warns in (("ELECTRONS", True), ("adu", True), ("counts / pixel", True), ("count/s", False), ("", False)):
        write_image(tmp_path / "a.fits", data, BUNIT=bunit, EXPTIME=30.0)
        write_image(tmp_path / "b.fits", data, BUNIT=bunit, EXPTIME=120)
        write_image(tmp_path / "c.fits", data, BUNIT=bunit)
        images = dm.scan(tmp_path)
        assert [image.exptime for image in images] == [30.0, 120.0, None]
        options: dict[str, Any] = {"grid": field_grid(), "unit": "flux_per_pixel"}
        assert any("EXPTIME 30 to 120," in text for text in make_plan(images, **options).warnings) == warns
        assert not any("EXPTIME" in text for text in make_plan(images[1:], **options).warnings)
        scaled = dm.plan(images[:2], flux_scale="1/EXPTIME", **options)
        assert [round(beside.scale * 120.0, 12) for beside in scaled.companions] == [4.0, 1.0]
        assert not any("EXPTIME" in text for text in scaled.warnings)


def test_standard_deviations_for_variances_are_told(tmp_path: Path) -> None:
    header = image_header(shape=(40, 50))
    for name in ("ERR", "VAR"):
        hdus = [fits.PrimaryHDU(np.ones((40, 50)), header), fits.ImageHDU(np.ones((40, 50)), header, name=name)]
        fits.HDUList(hdus).writeto(tmp_path / f"{name}.fits")
        warned = any(f"named {name!r}" in text for text in dm.plan(tmp_path / f"{name}.fits", variance=name).warnings)
        assert warned == (name == "ERR")
    named = [".err.fits", "_rms.fits", "x.sigma.fits", "uncert", "STDDEV", ".var.fits", "variance", "TERRA", "rmsx"]
    assert [bool(deviation_warnings(name)) for name in named] == [True] * 5 + [False] * 4


@pytest.mark.parametrize("unit", ["counts", "Jy/beam", "ADU", "electron", "DN", "mJy / pixel"])
def test_units_per_pixel_are_known(unit: str) -> None:
    assert any("per pixel" in text for text in make_plan([at(0, 0, bunit=unit)], field_grid()).warnings)


@pytest.mark.parametrize("unit", ["MJy/sr", "Jy/arcsec**2", "K", "", "mag", "count/s/arcsec2"])
def test_surface_brightness_is_no_cause_for_a_warning(unit: str) -> None:
    assert make_plan([at(0, 0, bunit=unit)], field_grid()).warnings == ()


def test_methods_and_defaults(images: Images) -> None:
    plan = make_plan(images, field_grid())
    assert {row.method for row in plan.rows} == {"plane"} and plan.weights == "area"
    assert make_plan(images, field_grid(), combine="median").weights == "none"
    assert {row.method for row in make_plan(images, field_grid(), method="sky").rows} == {"sky"}
    assert {row.method for row in make_plan(images, field_grid(), tol=1e-12).rows} == {"sky"}
    all_sky = Grid.around("0 0", ("360 deg", "180 deg"), "1 deg", "AIT")
    seam = ImageRef("sky.fits", 0, all_sky, "", 1, 0)
    assert make_plan([seam], Grid.around("180 0", "20 deg", "1 deg")).rows[0].method == "sky"
    with pytest.raises(InputError, match=r"sky.fits: method 'plane' cannot"):
        make_plan([seam], Grid.around("180 0", "20 deg", "1 deg"), method="plane")


def test_the_digest_changes_with_what_a_row_depends_on(tmp_path: Path, survey: Survey, images: Images) -> None:
    plan = make_plan(images, survey.grid)
    assert make_plan(images, survey.grid, combine="median", background="none").input_digest == plan.input_digest
    others = [
        make_plan(images, field_grid(321)),
        make_plan(images, survey.grid, method="sky"),
        make_plan(images[1:], survey.grid),
    ]
    path = write_image(tmp_path / "image00.fits", np.zeros((80, 100), np.float32), image_header())
    others.append(make_plan([*images[1:], *dm.scan(path)], survey.grid))
    assert len({plan.input_digest, *(other.input_digest for other in others)}) == 5
    assert len({plan.digest, *(other.digest for other in others)}) == 2, "only another grid is another run"


@pytest.mark.parametrize(
    ("n", "text"), [(0, "0 B"), (999, "999 B"), (1234, "1.23 kB"), (2.5e9, "2.5 GB"), (1.28e15, "1280 TB")]
)
def test_sizes_for_people(n: float, text: str) -> None:
    assert human(n) == text


def test_the_time_goes_by_what_is_to_be_done(images: Images, survey: Survey) -> None:
    """Each stage by its pixels and by the machine's speed; printed, with whose speed it is."""
    plan = make_plan(images, survey.grid, workers=1)
    stages = estimate(plan)
    assert list(stages) == ["scan", "project", "fit", "solve", "coadd", "write"] and min(stages.values()) > 0
    twice = estimate(replace(plan, per_pixel=2 * REFERENCE))
    assert all(twice[name] == pytest.approx(2 * stages[name]) for name in stages if name != "write")
    pixels = sum(image.grid.window.size for image in plan.images)
    assert stages["project"] == pytest.approx(REFERENCE * pixels)
    assert estimate(replace(plan, workers=2))["project"] == pytest.approx(stages["project"] / 2**0.77)
    assert estimate(make_plan(images, survey.grid, background="none"))["fit"] == 0
    assert estimate(make_plan(images, survey.grid, method="sky", workers=1))["project"] > 10 * stages["project"]
    assert estimate(make_plan(images, survey.grid, combine="median", workers=1))["coadd"] > stages["coadd"]
    assert "by another machine's speed (--calibrate): " in str(plan)
    assert "s by this machine's speed: " in str(replace(plan, per_pixel=1e-8))


def test_a_machine_is_calibrated(survey: Survey) -> None:
    """A plausible speed: between a hundredth and ten times of what any machine is known for."""
    plan = dm.plan(survey.folder, survey.grid, calibrate=True)
    assert 1e-9 < plan.per_pixel < 1e-5 and plan.per_pixel != REFERENCE


def test_a_variance_is_of_all_images_or_of_none(tmp_path: Path) -> None:
    """Of one alone the store would have no room for the others' rows."""
    grid = field_grid(40)
    paths = [write_image(tmp_path / f"{name}.fits", np.ones(grid.shape), grid.to_header()) for name in "abv"]
    *images, variance = dm.scan(paths)
    for names, known in (("b", images[:1]), ("a", images[1:])):
        with pytest.raises(InputError, match=rf"{names}\.fits: no variance, which others have"):
            make_plan(images, grid, companions={image: Companions(variance=variance) for image in known})
    assert make_plan(images, grid, companions={image: Companions(variance=variance) for image in images}).has_variance
