"""The margin: fits go on beyond the grid, the mosaic does not, and nobody's pixels change by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from surveys import SHAPE, Survey, field_grid, image_header, make_survey, write_image

import dmontage as dm
from dmontage.errors import InputError
from dmontage.graph.rows import create_store, project_rows
from dmontage.grid import Grid
from dmontage.model import ImageRef
from dmontage.pipeline import Mosaic
from dmontage.planner import MosaicPlan, make_plan
from dmontage.window import Window

Floats = NDArray[np.float64]

SMALL = 70
"""Side of a grid inside the survey: two images cover most of it, the other four reach its edge by a few columns."""


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    """Six tilted images with weights, a mask and variances."""
    survey = make_survey(tmp_path_factory.mktemp("survey"))
    rng = np.random.default_rng(3)
    for path in survey.paths:
        with fits.open(path) as hdus:
            layers = {"WHT": rng.uniform(0, 2, SHAPE), "DQ": rng.integers(0, 3, SHAPE).astype(np.int16),
                      "VAR": rng.uniform(1, 2, SHAPE)}  # fmt: skip
            image = fits.PrimaryHDU(hdus[0].data.copy(), hdus[0].header)
        maps = [fits.ImageHDU(layer, name=name) for name, layer in layers.items()]
        fits.HDUList([image, *maps]).writeto(path, overwrite=True)
    return survey


def at(dx: float, dy: float, shape: tuple[int, int] = (40, 50), name: str = "a.fits") -> ImageRef:
    return ImageRef(name, 0, Grid.from_header(image_header(dx, dy, shape=shape), shape=shape), "", 1, 0)


def overlaps_line(plan: MosaicPlan) -> str:
    return next(line for line in str(plan).splitlines() if line.startswith("overlaps"))


# --- the plan -----------------------------------------------------------------------------------------------------


def test_rows_go_on_and_the_mosaic_does_not(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows end with the image or with the margin; chunks, their rows and the depth are those without one."""
    monkeypatch.setattr("dmontage.planner.memory.CHUNKS", (32,))
    grid = field_grid(SMALL)
    plain, wide, whole = (dm.plan(survey.folder, grid, margin=margin) for margin in (0, 25, 10**9))
    for row, wider, all_of_it in zip(plain.rows, wide.rows, whole.rows, strict=True):
        assert row.window == wider.window & grid.window
        assert wider.window == all_of_it.window & grid.window.pad(25)
        assert min(all_of_it.window.shape) >= 80
    assert any(row.window.x0 < 0 for row in wide.rows) and any(row.window.y1 > SMALL for row in wide.rows)
    assert wide.chunks == plain.chunks and len(wide.chunks) == 9
    assert all(pair.window == wide.rows[pair.plus].window & wide.rows[pair.minus].window for pair in wide.pairs)
    assert wide.bytes_store > plain.bytes_store and wide.bytes_out == plain.bytes_out
    assert overlaps_line(wide) == f"{overlaps_line(plain)};  fits reach up to 25 pixels beyond the grid"
    assert len({plan.input_digest for plan in (plain, wide, whole)}) == 3


def test_a_margin_that_no_image_reaches_is_not_told_and_changes_no_run(survey: Survey) -> None:
    plain, wide = (dm.plan(survey.folder, survey.grid, margin=margin) for margin in (0, 50))
    assert str(wide) == str(plain) and wide.digest == plain.digest and wide.margin == 50


@pytest.mark.parametrize(("scale", "wanted"), [(2.0, 20), (4.0, 10), (1.0, 40)])
def test_the_automatic_margin_is_a_quarter_of_the_median_image(scale: float, wanted: int) -> None:
    """Of shorter sides 40, 80 and 120 pixels of 2 arcsec; a part of a pixel more changes no quarter of them."""
    images = [at(3, 3, (80, 100), "b.fits"), at(0, 0, (50, 40)), at(1, 0, (120, 200), "c.fits")]
    for background, margin in (("plane", wanted), ("level", wanted), ("none", 0)):
        plan = make_plan(images, field_grid(30, scale), background=background)
        assert plan.margin == margin == make_plan(images[::-1], field_grid(30, scale), background=background).margin
        assert plan.reaches_beyond == (background != "none")
    assert make_plan(images, field_grid(30, scale), background="none", margin=3).reaches_beyond


def test_images_in_the_margin_alone_are_skipped() -> None:
    """Their rows would give the mosaic nothing."""
    near, beyond = at(0, 0), at(60, 0, name="beyond.fits")
    grid = field_grid(60)
    for margin in (0, 20, None, 1000):
        plan = make_plan([near, beyond], grid, margin=margin)
        assert [row.image.name for row in plan.rows] == ["a.fits"]
        assert [str(item) for item in plan.skipped] == ["beyond.fits: does not overlap the grid"]
    with pytest.raises(InputError, match="no image reaches the grid"):
        make_plan([beyond], grid, margin=1000)


def test_maps_of_all_the_sky_end_with_it() -> None:
    """Cut images and others on the sphere; beyond the seam the sky would come again."""
    places = ("170 10", "177.4 -10", "180 10", "-178 40", "20 89.9", "100 -80")
    images = [
        ImageRef(f"{k}.fits", 0, Grid.around(place, shape=(40, 50), scale="360 arcsec"), "", 1, 0)
        for k, place in enumerate(places)
    ]
    for projection in ("CAR", "AIT", "HPX"):
        grid = Grid.around("0 0", ("360 deg", "180 deg"), "0.25 deg", projection)
        plain, wide = (make_plan(images, grid, margin=margin) for margin in (0, 500))
        assert wide.digest == plain.digest and len(wide.rows) >= len(images)
    small = Grid.around("170 10", "2 deg", "360 arcsec")
    assert make_plan(images, small, margin=100).reaches_beyond
    assert not make_plan(images, small, margin=100, method="sky").reaches_beyond


@pytest.mark.parametrize("margin", [-1, 2.5, 4.0, "8", True, float("nan"), (3, 3)])
def test_what_is_no_margin_is_refused(margin: Any) -> None:
    with pytest.raises(InputError, match=r"margin .* must be a whole number of mosaic pixels, 0 or more; by default"):
        make_plan([at(0, 0)], field_grid(), margin=margin)
    as_numpy: Any = np.int32(4)
    assert make_plan([at(0, 0)], field_grid(), margin=as_numpy).margin == 4


def test_a_store_that_the_margin_makes_too_large_is_told_of() -> None:
    image, grid = at(0, 0, (400, 500)), field_grid(20)
    with pytest.raises(InputError, match=r"choose a smaller size, a larger scale or a smaller margin, or raise"):
        make_plan([image], grid, max_bytes=50_000)
    assert make_plan([image], grid, max_bytes=50_000, margin=0)


# --- the same bits ------------------------------------------------------------------------------------------------

WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "median": {"combine": "median"},
    "count": {"combine": "count"},
    "counts": {"unit": "flux_per_pixel"},
    "drizzle": {"pixfrac": 0.6, "variance": "VAR"},
    "points": {"pixfrac": 0.5, "kernel": "point"},
    "gaussians": {"pixfrac": 0.9, "kernel": "gaussian"},
    "weights": {"weight_map": "WHT", "mask": "DQ", "good_bits": 1, "variance": "VAR", "border": 3},
    "weighted drops": {"pixfrac": 0.8, "weight_map": "WHT", "variance": "VAR", "unit": "flux_per_pixel"},
    "sphere": {"method": "sky"},
}


@pytest.mark.parametrize("way", WAYS)
def test_without_a_background_no_bit_changes(survey: Survey, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Data, area and variance, for several margins, one chunk or many; cutouts are parts of it still."""
    made = {margin: dm.mosaic(survey.folder, field_grid(SMALL), background="none", margin=margin, **WAYS[way])
            for margin in (0, 1, 17)}  # fmt: skip
    monkeypatch.setattr("dmontage.planner.memory.CHUNKS", (32,))
    made[400] = dm.mosaic(survey.folder, field_grid(SMALL), background="none", margin=400, **WAYS[way])
    wanted = made[0].compute()
    assert np.isfinite(wanted.data).mean() > 0.3 and (wanted.variance is None) == ("variance" not in WAYS[way])
    for margin, mosaic in made.items():
        assert mosaic.plan.reaches_beyond == (margin > 0 and way != "sphere")
        found = mosaic.compute()
        np.testing.assert_array_equal(found.data, wanted.data)
        np.testing.assert_array_equal(found.area, wanted.area)
        if wanted.variance is not None:
            np.testing.assert_array_equal(found.variance, wanted.variance)
        part = mosaic.cutout("83.8 -5.4", ("30 arcsec", "50 arcsec"))
        np.testing.assert_array_equal(part.compute().data, wanted.data[part.window.slices])
        mosaic.close()


@pytest.mark.parametrize("way", ["plain", "drizzle", "points", "gaussians", "weights"])
def test_no_bit_of_a_row_depends_on_the_margin(tmp_path: Path, survey: Survey, way: str) -> None:
    """In negative pixels and beyond the grid too, of all sums that the store holds."""
    plans = [dm.plan(survey.folder, field_grid(SMALL), margin=margin, **WAYS[way]) for margin in (21, 500)]
    stores = [create_store(tmp_path / f"{plan.margin}.zarr", plan)[0].projected for plan in plans]
    for plan in plans:
        receipts = project_rows(str(tmp_path / f"{plan.margin}.zarr"), range(len(plan.rows)))
        assert not any("error" in receipt or receipt["empty"] for receipt in receipts)
    for number, (row, wider) in enumerate(zip(*(plan.rows for plan in plans), strict=True)):
        found = stores[0].read(number, row.window, row.window, stores[0].names)
        wanted = stores[1].read(number, wider.window, row.window, stores[1].names)
        assert wider.window not in row.window and len(found) == 2 + ("variance" in WAYS[way]) + (way == "weights")
        for values, others in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(values, others)
        beyond = np.ones(row.window.shape, bool)
        beyond[(row.window & plans[0].grid.window).relative_to(row.window).slices] = False
        assert (found[1][beyond] > 0).mean() > 0.2


# --- the fits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["plain", "drizzle", "gaussians", "weights"])
def test_with_a_wide_margin_corrections_are_those_of_the_grid_that_holds_all(survey: Survey, way: str) -> None:
    """A part of a grid: the same pixels in other coordinates. Blocks of sums lie elsewhere, so last bits differ."""
    window = Window(130, 195, 120, 190)
    parent = dm.mosaic(survey.folder, survey.grid, **WAYS[way])
    part = dm.mosaic(survey.folder, survey.grid.subgrid(window), margin=500, **WAYS[way])
    whole, cutout = parent.compute(), part.compute()
    assert len(part.plan.rows) == 6 and part.solution is not None and parent.solution is not None
    assert [row.window.shift(window.y0, window.x0) for row in part.plan.rows] == [r.window for r in parent.plan.rows]
    for fit, wanted in zip(part.fits, parent.fits, strict=True):
        assert (fit.plus, fit.minus, fit.n_pixels) == (wanted.plus, wanted.minus, wanted.n_pixels)
    np.testing.assert_allclose(part.solution.parameters, parent.solution.parameters, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(cutout.data, whole.data[window.slices], rtol=1e-5)
    np.testing.assert_allclose(cutout.area, whole.area[window.slices], atol=1e-6)
    assert (whole.variance is None) == ("variance" not in WAYS[way])
    if whole.variance is not None and cutout.variance is not None:
        np.testing.assert_allclose(cutout.variance, whole.variance[window.slices], rtol=1e-5)
    parent.close()
    part.close()


def left(made: Mosaic, survey: Survey, *, beyond: bool) -> float:
    """Mean square of what the corrections differ from the planes put in by, but for a common plane.

    In each image's pixels on the grid, or in all of its pixels (``beyond``).
    """
    made.compute()
    assert made.solution is not None
    columns: list[Floats] = []
    for k, row in enumerate(made.plan.rows):
        assert row.mapping.extent is not None
        w = row.mapping.extent if beyond else row.window & made.grid.window
        y, x = (a.astype(float) for a in np.mgrid[w.y0 : w.y1 : 4, w.x0 : w.x1 : 4])
        u, v = row.image.grid.wcs().all_world2pix(*made.grid.wcs().all_pix2world(x, y, 0), 0)
        inside = (u > 0) & (u < SHAPE[1] - 1) & (v > 0) & (v < SHAPE[0] - 1)
        x, y, u, v = (a[inside] for a in (x, y, u, v))
        truth = survey.planes[k] @ [np.ones(u.size), u - (SHAPE[1] - 1) / 2, v - (SHAPE[0] - 1) / 2]
        columns.append(np.array([np.ones(x.size), x, y, made.solution.plane(k).at(x, y) - truth]))
    *terms, off = np.hstack(columns)
    common = np.column_stack(terms)
    return float(np.mean((off - common @ np.linalg.lstsq(common, off)[0]) ** 2))


def test_corrections_come_closer_to_the_truth(tmp_path: Path) -> None:
    """Planes of ±20 over a noise of 1 in four surveys, on a grid that four of six images hardly reach."""
    found: dict[tuple[str, bool], float] = {}
    for seed in range(4):
        survey = make_survey(tmp_path / str(seed), seed)
        for name, margin in (("none", 0), ("automatic", None)):
            made = dm.mosaic(survey.folder, field_grid(SMALL), margin=margin)
            assert made.plan.margin == {"none": 0, "automatic": 20}[name] and len(made.plan.rows) == 6
            for beyond in (False, True):
                found[name, beyond] = found.get((name, beyond), 0.0) + left(made, survey, beyond=beyond) / 4
    assert found["automatic", False] < 0.6 * found["none", False] and found["automatic", False] < 0.06**2
    assert found["automatic", True] < 0.01 * found["none", True] and found["automatic", True] < 0.2**2


def diamonds(folder: Path, beside: float) -> Path:
    """Two images turned by 45°, below a grid of 20 pixels left and right, that meet below it only.

    Their edges pass the grid's lower corners at ``beside`` pixels along its sides: inside it, or outside if negative.
    """
    shape = (100, 100)
    away = (20 - beside + 100 / np.sqrt(2)) / 2
    for name, dx, level in (("a", -away, 10.0), ("b", away, 14.0)):
        header = image_header(dx, -away, rotation=45.0, shape=shape)
        write_image(folder / f"{name}.fits", np.full(shape, level, np.float32), header)
    return folder


@pytest.mark.parametrize("background", ["level", "plane"])
def test_a_pair_that_meets_in_the_margin_connects_two_images(tmp_path: Path, background: str) -> None:
    folder, grid = diamonds(tmp_path / "raw", 6.0), field_grid(20)
    apart = dm.mosaic(folder, grid, background=background, margin=0)
    values = apart.compute().data
    assert set(np.unique(values[np.isfinite(values)].round(4))) == {10.0, 14.0}
    assert apart.summary.unpaired == ("a.fits", "b.fits") and apart.fits[0].n_pixels == 0
    made = dm.mosaic(folder, grid, background=background)
    whole = made.compute()
    np.testing.assert_array_equal(np.isfinite(whole.data), np.isfinite(values))
    np.testing.assert_allclose(whole.data[np.isfinite(values)], 12.0, rtol=1e-6)
    assert made.summary.unpaired == () and made.summary.groups == 1 and made.summary.empty == ()
    assert made.fits[0].n_pixels > 500 and made.plan.pairs[0].window.y0 < -20


def test_an_image_without_a_pixel_on_the_grid_is_empty_still(tmp_path: Path) -> None:
    """Its window is a box, which reaches the grid; its pixels lie in the margin."""
    folder = diamonds(tmp_path / "raw", -4.0)
    write_image(folder / "c.fits", np.full(SHAPE, 3, np.float32))
    for background, margin in (("none", 0), ("none", 30), ("plane", None)):
        made = dm.mosaic(folder, field_grid(20), background=background, margin=margin)
        made.compute()
        assert made.summary.empty == ("a.fits", "b.fits") and made.summary.images == 1
    assert made.summary.unpaired == () and made.summary.pairs == 3


def test_a_row_of_the_margin_is_reused(tmp_path: Path, survey: Survey) -> None:
    """A second run takes the rows up; those of another margin are others, beside them."""
    grid, store = field_grid(SMALL), tmp_path / "run.zarr"
    first = dm.mosaic(survey.folder, grid, store)
    wanted = first.compute().data
    again = dm.mosaic(survey.folder, grid, store, margin=first.plan.margin)
    np.testing.assert_array_equal(again.compute().data, wanted)
    assert again.summary.reused == 6
    without = dm.mosaic(survey.folder, grid, store, "none", margin=first.plan.margin)
    without.compute()
    assert without.summary.reused == 6
    bare = dm.mosaic(survey.folder, grid, store, "none")
    np.testing.assert_array_equal(bare.compute().data, without.compute().data)
    assert bare.summary.reused == 0
