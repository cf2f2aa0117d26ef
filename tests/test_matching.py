"""Matching of backgrounds from files to mosaic: wishes, tables of corrections, stored fits, stated errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray
from surveys import Survey, damage, image_header, make_survey, write_image

import dmontage as dm
from dmontage.errors import InputError
from dmontage.grid import Grid
from dmontage.model import PlaneFit, SkyPlane
from dmontage.noise import kept_variance
from dmontage.pipeline import Mosaic
from dmontage.pipeline.pair_noise import pair_correlations
from dmontage.store import Store
from dmontage.window import Window

Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    return make_survey(tmp_path_factory.mktemp("survey") / "raw", seed=3)


@pytest.fixture(scope="module")
def made(survey: Survey, tmp_path_factory: pytest.TempPathFactory) -> Mosaic:
    mosaic = dm.mosaic(survey.folder, survey.grid, tmp_path_factory.mktemp("made") / "run.zarr")
    mosaic.compute()
    return mosaic


# --- tables -------------------------------------------------------------------------------------------------------


def test_corrections_of_a_table_give_the_same_mosaic(made: Mosaic, survey: Survey, tmp_path: Path) -> None:
    """Through the sky and a file and back, without a fit: to the float32 of the product."""
    made.write_corrections(tmp_path / "c.ecsv")
    again = dm.mosaic(survey.folder, survey.grid, corrections=tmp_path / "c.ecsv")
    np.testing.assert_allclose(again.compute().data, made.compute().data, rtol=1e-6)
    assert "fit" not in again.summary.seconds and again.summary.uncorrected == () and again.fits == ()
    table = Table.read(tmp_path / "c.ecsv")
    assert table["file"].tolist() == [path.name for path in survey.paths]
    assert set(table["status"]) == {"fitted"} and "zero mean" in table.meta["gauge"]
    assert made.solution is not None
    np.testing.assert_allclose(table["level_error"], made.solution.standard_errors[:, 0], rtol=1e-9)
    assert list(tmp_path.iterdir()) == [tmp_path / "c.ecsv"]


def test_slopes_of_a_table_are_those_put_in(made: Mosaic, survey: Survey) -> None:
    """Towards east and north per degree; a gradient common to all, which no overlap tells, taken out of both."""
    table = made.corrections()
    assert made.solution is not None
    for name, slope, sign in (("slope_east", 1, -1), ("slope_north", 2, 1)):
        truth = sign * survey.planes[:, slope] * 3600 / 2.0
        found, error = np.array(table[name]), np.array(table[f"{name}_error"])
        # The common gradient is most of the errors.
        np.testing.assert_allclose(found - found.mean(), truth - truth.mean(), atol=0.5 * error.min())
        np.testing.assert_allclose(error, made.solution.standard_errors[:, slope] * 3600 / 2.0, rtol=1e-3)


@pytest.mark.parametrize("projection", ["SIN", "CAR"])
def test_a_table_outlives_its_grid(made: Mosaic, survey: Survey, projection: str) -> None:
    """On another projection, turned, with other pixels: the seams stay away."""
    grid = Grid.around("83.8 -5.4", size="0.15 deg", scale="3 arcsec", projection=projection, rotation="25 deg")
    raw, matched = (dm.mosaic(survey.folder, grid, **options).compute().data for options in (
        {"background": "none"}, {"corrections": made.corrections()}))  # fmt: skip
    fitted = dm.mosaic(survey.folder, grid).compute().data
    y, x = np.indices(grid.shape)
    design = np.column_stack([np.ones(x.size), x.ravel(), y.ravel()])

    def beyond_a_plane(data: NDArray[np.float32]) -> float:
        known = np.isfinite(data).ravel()
        values = data.ravel()[known] - fitted.ravel()[known]
        return float(np.std(values - design[known] @ np.linalg.lstsq(design[known], values)[0]))

    assert beyond_a_plane(matched) < 0.1 and beyond_a_plane(raw) > 5


def test_what_a_table_lacks_is_told(made: Mosaic, survey: Survey) -> None:
    table = made.corrections()
    partial = dm.mosaic(survey.folder, survey.grid, corrections=table[:4])
    partial.compute()
    assert partial.summary.uncorrected == tuple(path.name for path in survey.paths[4:])
    assert "no correction was given" in str(partial.summary)
    level = dm.mosaic(survey.folder, survey.grid, corrections={survey.paths[0].name: SkyPlane(83.8, -5.4, 7.0, 0, 0)})
    none = dm.mosaic(survey.folder, survey.grid, background="none")
    taken = none.compute().data - level.compute().data
    window = none.plan.rows[0].window
    assert np.nanmax(taken) == pytest.approx(7, abs=1e-4)
    outside = np.ones(taken.shape, bool)
    outside[window.slices] = False
    assert np.nanmax(np.abs(taken[outside])) < 1e-4


def _garbage(path: Path, table: Table) -> Any:
    path.write_text("no table at all")
    return path


def _without(name: str) -> Callable[[Path, Table], Any]:
    def change(path: Path, table: Table) -> Any:
        table.remove_column(name)
        return table

    return change


def _with(name: str, value: Any) -> Callable[[Path, Table], Any]:
    def change(path: Path, table: Table) -> Any:
        table[name][1] = value
        return table

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_garbage, "no table of corrections"),
        (lambda path, table: path.with_name("none.ecsv"), "no table of corrections"),
        (_without("level"), "no column 'level'"),
        (_with("level", np.nan), "level is .*nan"),
        (_with("dec", 91.0), "dec is .*91"),
        (_with("scale", 0.0), "scale is 0.0"),
        (_with("file", "image00.fits"), "'image00.fits' twice"),
        (lambda path, table: {"x.fits": SkyPlane(0, 0, 1, 0, 0)}, "none of the 6 images"),
        (lambda path, table: {"image00.fits": SkyPlane(263.8, 5.4, 1, 1, 0)}, "too far from its origin"),
    ],
)
def test_bad_tables_are_refused(
    made: Mosaic, survey: Survey, tmp_path: Path, change: Callable[[Path, Table], Any], words: str
) -> None:
    source = change(tmp_path / "c.ecsv", made.corrections())
    with pytest.raises(InputError, match=words):
        dm.mosaic(survey.folder, survey.grid, corrections=source).compute()


def test_images_of_one_name_are_told_apart(survey: Survey, tmp_path: Path) -> None:
    for k in range(2):
        header = image_header(30.0 * k)
        write_image(tmp_path / f"night{k}" / "x.fits", np.full((80, 100), 5.0 + k, np.float32), header)
    two = dm.mosaic(tmp_path, survey.grid)
    table = two.corrections()
    assert {Path(name).parent.name for name in table["file"]} == {"night0", "night1"}
    np.testing.assert_allclose(
        dm.mosaic(tmp_path, survey.grid, corrections=table).compute().data, two.compute().data, rtol=1e-6
    )


# --- wishes -------------------------------------------------------------------------------------------------------


def test_locked_and_anchored_images_by_name(survey: Survey) -> None:
    names = [path.name for path in survey.paths]
    locked = dm.mosaic(survey.folder, survey.grid, lock=[names[1], names[4]])
    locked.compute()
    anchored = dm.mosaic(survey.folder, survey.grid, anchor=names[2])
    anchored.compute()
    assert locked.solution is not None and anchored.solution is not None
    assert not locked.solution.parameters[[1, 4]].any() and locked.solution.parameters[[0, 2, 3, 5]].any(axis=1).all()
    assert anchored.solution.level[2] == pytest.approx(0, abs=1e-9) and anchored.solution.level.any()
    assert "2 locked images" in str(locked.summary) and "anchors" in str(anchored.summary)
    assert f"locked {names[1]}, {names[4]}" in str(locked.plan) and f"anchored to {names[2]}" in str(anchored.plan)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"anchor": "nobody.fits"}, "anchor 'nobody.fits' is none of the 6 images"),
        ({"lock": ["nobody.fits"]}, "lock 'nobody.fits' is none of the 6 images"),
        ({"lock": "image00.fits", "anchor": "image00.fits"}, "both an anchor and locked"),
        ({"lock": "image00.fits", "background": "none"}, "no meaning with background 'none'"),
        ({"solver": "guess"}, "solver 'guess' is not one of direct, relaxation"),
        ({"slope_prior": -1.0}, "slope_prior -1"),
        ({"slope_prior": "wide"}, "slope_prior 'wide'"),
    ],
)
def test_bad_wishes_are_refused_before_any_work(survey: Survey, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        dm.plan(survey.folder, survey.grid, **options)


def test_a_prior_is_told_per_degree(survey: Survey) -> None:
    made = dm.mosaic(survey.folder, survey.grid, slope_prior=36.0)
    made.compute()
    assert made.solution is not None and made.solution.tau is not None
    assert made.solution.tau == pytest.approx(36.0 * 2.0 / 3600, rel=1e-6)


def test_relaxation_matches_and_has_no_errors(survey: Survey) -> None:
    relaxed = dm.mosaic(survey.folder, survey.grid, solver="relaxation")
    relaxed.compute()
    assert relaxed.solution is not None and (relaxed.solution.steps or 0) > 10
    assert np.abs(relaxed.medians_left()).max() < 0.2
    for ask in (lambda: relaxed.background_error(Window(100, 150, 100, 150)), relaxed.background_error_map):
        with pytest.raises(InputError, match="solver='direct'"):
            ask()
    report = dm.background_report(relaxed)
    assert report.large_scale is None and "not known from a relaxation" in str(report)


# --- stored fits --------------------------------------------------------------------------------------------------


def test_another_model_fits_nothing_anew(survey: Survey, tmp_path: Path) -> None:
    first = dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr")
    first.compute()
    n = len(first.fits)
    for options in ({"background": "level"}, {"slope_prior": 1.0}, {"lock": "image02.fits"}):
        again = dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr", **options)
        again.compute()
        assert again.summary.fits_reused == n and again.summary.reused == 6 and not again.summary.matching_reused
        assert again.fits == first.fits
    again = dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr")
    np.testing.assert_array_equal(again.compute().data, first.compute().data)
    assert again.summary.matching_reused and again.solution is None, "nothing is solved twice"
    assert again.summary.on_matching() == first.summary.on_matching()
    assert again._solved().parameters.tobytes() == first._solved().parameters.tobytes() and again.fits == first.fits


def test_fits_of_other_rows_are_not_taken_up(survey: Survey, tmp_path: Path) -> None:
    """A fit is true for the rows it was made from; what a damaged image lacks is not kept."""
    folder = tmp_path / "raw"
    make_survey(folder, seed=3)
    damage(folder / "image03.fits")
    broken = dm.mosaic(folder, survey.grid, tmp_path / "other.zarr")
    broken.compute()
    assert not broken.summary.fits_reused and len(broken.summary.skipped) == 1
    again = dm.mosaic(folder, survey.grid, tmp_path / "other.zarr")
    again.compute()
    assert again.summary.matching_reused
    touching = sum(3 in (pair.plus, pair.minus) for pair in again.plan.pairs)
    assert len(Store.open(tmp_path / "other.zarr").tables.fits()) == len(again.plan.pairs) - touching > touching > 0
    make_survey(folder, seed=3)
    whole = dm.mosaic(folder, survey.grid, tmp_path / "other.zarr")
    data = whole.compute().data
    assert whole.summary.fits_reused == len(again.plan.pairs) - touching or whole.summary.reused == 0
    np.testing.assert_array_equal(data, dm.mosaic(folder, survey.grid).compute().data)


def test_a_fit_is_a_row_of_numbers_and_back(made: Mosaic) -> None:
    assert tuple(PlaneFit.from_row(np.array(fit.to_row()).tolist()) for fit in made.fits) == made.fits


# --- stated errors ------------------------------------------------------------------------------------------------


def brute_force(made: Mosaic, window: Window) -> Floats:
    """(3n,) mean correction over a window as a function of the parameters, pixel by pixel from the stored areas."""
    store = Store.open(str(made._open().path))
    windows, n = store.rows.windows(), made.plan.n_images
    total, parts = np.zeros(window.shape), []
    for row, origin in enumerate(windows):
        common = origin & window
        if common:
            (area,) = store.projected.read(row, origin, common, ("area",))
            whole: Floats = np.zeros(window.shape)
            whole[common.relative_to(window).slices] = area
            total += whole
            parts.append((row, whole))
    g = np.zeros(3 * n)
    y, x = np.mgrid[window.slices]
    covered = total > 0
    assert made.solution is not None
    for row, mine in parts:
        share = np.divide(mine, total, out=np.zeros_like(total), where=covered) / covered.sum()
        x0, y0 = made.solution.centres[row]
        g[3 * row : 3 * row + 3] = share.sum(), (share * (x - x0)).sum(), (share * (y - y0)).sum()
    return g


WINDOWS = (Window(150, 180, 140, 190), Window(60, 260, 40, 280), Window(100, 101, 120, 121))


@pytest.mark.parametrize("window", WINDOWS)
def test_the_error_over_a_window_is_that_of_its_pixels(made: Mosaic, window: Window) -> None:
    assert made.solution is not None
    g = brute_force(made, window)
    error = made.background_error(window)
    assert error == pytest.approx(float(np.sqrt(made.solution.variance(g[None])[0])), rel=1e-6)
    other = WINDOWS[0].shift(-60, 10)
    between = made.background_error(window, relative_to=other)
    h = g - brute_force(made, other)
    assert between == pytest.approx(float(np.sqrt(made.solution.variance(h[None])[0])), rel=1e-5)
    assert made.background_error(window, relative_to=window) < 1e-6


def test_errors_do_not_follow_the_order_in_which_a_store_met_its_images(
    made: Mosaic, survey: Survey, tmp_path: Path
) -> None:
    dm.mosaic(survey.paths[4:], survey.grid, tmp_path / "run.zarr").fit()
    again = dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr")
    for window in WINDOWS:
        assert again.background_error(window) == pytest.approx(made.background_error(window), rel=1e-9)


def test_a_closed_mosaic_measures_anew(made: Mosaic, survey: Survey) -> None:
    """It knows its corrections; the images' pixels went with its store."""
    closed = dm.mosaic(survey.folder, survey.grid)
    closed.corrections()
    asks: tuple[Callable[[Mosaic], Any], ...] = (
        lambda mosaic: mosaic.medians_left(),
        lambda mosaic: mosaic.background_error(WINDOWS[0]),
        lambda mosaic: mosaic.background_error_map(side=80).total,
    )
    for ask in asks:
        closed.close()
        np.testing.assert_array_equal(ask(closed), ask(made))


def test_the_map_has_the_errors_of_its_cells(made: Mosaic) -> None:
    errors = made.background_error_map(side=100)
    assert errors.error.shape == (4, 4) and errors.cells.ys.tolist() == [0, 100, 200, 300, 320]
    for j, i in ((1, 1), (2, 0), (0, 2)):
        cell = Window(100 * j, 100 * (j + 1), 100 * i, 100 * (i + 1))
        assert errors.total[j, i] == pytest.approx(made.background_error(cell), rel=1e-6)
    usual = made.background_error_map()
    (ys, xs), (j, i) = usual.cells, (11, 9)
    cell = Window(int(ys[j]), int(ys[j + 1]), int(xs[i]), int(xs[i + 1]))
    assert usual.error[j, i] == pytest.approx(made.background_error(cell, relative_to="plane"), rel=1e-6)
    data = made.compute().data
    raw = dm.mosaic(made.plan.images, made.grid, background="none").compute().data
    taken = np.nanmean((raw - data)[100:200, 100:200].astype(float))
    assert errors.correction[1, 1] == pytest.approx(taken, abs=1e-3)
    finite = np.isfinite(errors.error)
    assert (errors.error[finite] <= errors.total[finite] * (1 + 1e-9)).all() and errors.rms > 0


@pytest.mark.parametrize(
    "options",
    [
        {"combine": "median"},
        {"combine": "clip"},
        {"combine": "first"},
        {"weights": "none"},
        {"image_weight": {f"image{k:02d}.fits": 1.0 + k for k in range(6)}},
    ],
)
def test_errors_follow_the_shares_of_the_images(survey: Survey, options: dict[str, Any]) -> None:
    """The correction that the shares predict is what was taken out of the pixels, however they were combined."""
    made = dm.mosaic(survey.folder, survey.grid, **options)
    errors = made.background_error_map(side=80)
    raw = dm.mosaic(survey.folder, survey.grid, background="none", **options).compute().data
    taken = (raw - made.compute().data).astype(float)
    tolerance = 1.0 if options.get("combine") in ("median", "clip") else 1e-3  # of two, these are the mean
    for j, i in ((1, 1), (1, 2), (2, 1)):
        part = taken[80 * j : 80 * (j + 1), 80 * i : 80 * (i + 1)]
        assert errors.correction[j, i] == pytest.approx(np.nanmean(part), abs=tolerance)


@pytest.mark.parametrize("combine", ["min", "max", "sum", "count"])
def test_what_has_no_shares_has_no_error(survey: Survey, combine: str, tmp_path: Path) -> None:
    """Its report has all the rest."""
    made = dm.mosaic(survey.folder, survey.grid, combine=combine)
    for ask in (lambda: made.background_error(WINDOWS[0]), made.background_error_map):
        with pytest.raises(InputError, match=f"not known of combine '{combine}'"):
            ask()
    report = dm.background_report(made)
    assert report.error_map is None and report.large_scale is not None
    text = str(report)
    assert "relaxation" not in text and "not known of the mosaic's background" in text
    assert "  gradient  " in text and "  largest   " in text
    assert report.write(tmp_path / "background")[2].stat().st_size > 0


def test_without_a_match_there_is_no_error(survey: Survey, made: Mosaic) -> None:
    plain = dm.mosaic(survey.folder, survey.grid, background="none")
    for ask in (plain.background_error_map, plain.corrections, plain.medians_left, lambda: dm.background_report(plain)):
        with pytest.raises(InputError, match="matches nothing"):
            ask()
    with pytest.raises(InputError, match="no pixel with a value"):
        made.background_error(Window(0, 4, 0, 4))
    with pytest.raises(InputError, match="no pixel with a value to compare"):
        made.background_error(WINDOWS[0], relative_to=Window(0, 4, 0, 4))


# --- noise of pairs -----------------------------------------------------------------------------------------------


def test_pairs_on_one_lattice_are_not_alike(tmp_path: Path) -> None:
    """Images that differ from the grid by whole pixels keep their noise, by half a pixel along x half of it."""
    half = np.array([0.0, 40.0, 40.5])
    for k, dx in enumerate(half):
        write_image(tmp_path / f"i{k}.fits", np.zeros((80, 100), np.float32), image_header(dx))
    grid = Grid.from_header(image_header(20.0, shape=(200, 300)), shape=(200, 300))
    plan = dm.plan([tmp_path], grid)
    assert [(pair.plus, pair.minus) for pair in plan.pairs] == [(0, 1), (0, 2), (1, 2)]
    factors = pair_correlations(plan)
    np.testing.assert_allclose(factors, [1.0, 2 / 1.5, 2 / 1.5], rtol=5e-3)  # tangent points apart: nearly so


def test_the_phases_of_an_overlap_are_those_of_astropy(survey: Survey) -> None:
    """The factor of each pair from the WCS of its images, at all of the overlap's pixels."""
    plan = dm.plan(survey.folder, survey.grid)
    wcs_out = survey.grid.wcs()
    for pair, factor in zip(plan.pairs, pair_correlations(plan), strict=True):
        y, x = np.mgrid[pair.window.slices]
        kept = 0.0
        for row in (pair.plus, pair.minus):
            image = plan.rows[row].image.grid
            u, v = image.wcs().all_world2pix(*wcs_out.all_pix2world(x, y, 0), 0)
            inside = (u > 0) & (u < image.shape[1] - 1) & (v > 0) & (v < image.shape[0] - 1)
            # Pixels of one size, turned by less than a degree: an output pixel begins half a pixel before its middle.
            kept += (kept_variance(u[inside], 1.0) * kept_variance(v[inside], 1.0)).mean()
        assert factor == pytest.approx(2 / kept, rel=0.08)


# --- one store, several wishes; one table, several scales ---------------------------------------------------------


def test_runs_of_other_wishes_do_not_mix_in_one_store(survey: Survey, tmp_path: Path) -> None:
    """Their corrections, and their lazy arrays, have names of their own."""
    plain = dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr")
    locked = dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr", lock="image00.fits")
    before, arrays = plain.compute().data, [plain.data, locked.data]
    locked.compute()
    np.testing.assert_array_equal(plain.compute().data, before)
    assert arrays[0].name != arrays[1].name
    assert np.nanmax(np.abs((arrays[0] - arrays[1]).compute())) > 1
    assert np.abs(plain.medians_left()).max() < 0.3


def test_a_table_follows_the_zero_point(survey: Survey, tmp_path: Path) -> None:
    """A table told for 25 mag in a mosaic of 27.5 mag, whose values are ten times as large."""
    points = dict.fromkeys([path.name for path in survey.paths], 25.0)
    table = dm.mosaic(survey.folder, survey.grid, zero_point=points).corrections()
    ten: dict[str, Any] = {"zero_point": points, "zero_point_out": 27.5}
    given, fitted = (dm.mosaic(survey.folder, survey.grid, **ten, **more).compute().data for more in (
        {"corrections": table}, {}))  # fmt: skip
    np.testing.assert_allclose(given, fitted, rtol=1e-5)
    with pytest.raises(InputError, match=r"zero point 25.0, the mosaic for None"):
        dm.mosaic(survey.folder, survey.grid, corrections=table).compute()
    with pytest.raises(InputError, match="'surface_brightness', the mosaic of 'flux_per_pixel'"):
        dm.mosaic(survey.folder, survey.grid, corrections=table, unit="flux_per_pixel", **ten).compute()


def test_a_table_of_energy_follows_the_size_of_the_pixels(survey: Survey) -> None:
    """Found with pixels of 2 arcsec, applied to such of 1: a quarter of the values is taken out."""
    energy: dict[str, Any] = {"unit": "flux_per_pixel"}
    table = dm.mosaic(survey.folder, survey.grid, **energy).corrections()
    fine = Grid.around("83.8 -5.4", size="0.1 deg", scale="1 arcsec")
    raw, given = (dm.mosaic(survey.folder, fine, **energy, **more).compute().data.astype(float) for more in (
        {"background": "none"}, {"corrections": table}))  # fmt: skip
    coarse = [dm.mosaic(survey.folder, survey.grid, **energy, **more).compute().data.astype(float) for more in (
        {"background": "none"}, {"corrections": table})]  # fmt: skip
    taken = np.nansum(raw - given), np.nansum((coarse[0] - coarse[1])[70:250, 70:250])
    assert taken[0] == pytest.approx(taken[1], abs=0.02 * np.nansum(np.abs(raw - given)))


def test_the_unit_of_a_survey_does_not_matter(survey: Survey, tmp_path: Path) -> None:
    """Pixels of 1e-12 are matched as those of 1."""
    for path in survey.paths:
        with fits.open(path) as hdus:
            write_image(tmp_path / path.name, hdus[0].data.astype(float) * 1e-12, hdus[0].header)
    small, usual = dm.mosaic(tmp_path, survey.grid), dm.mosaic(survey.folder, survey.grid)
    np.testing.assert_allclose(small.compute().data * 1e12, usual.compute().data, rtol=1e-5)
    assert small.background_error_map().rms * 1e12 == pytest.approx(usual.background_error_map().rms, rel=1e-3)


@pytest.mark.parametrize("projection", ["CAR", "AIT", "MOL"])
@pytest.mark.parametrize("lat", [0, 45])
def test_an_image_astride_the_seam_is_given_the_plane_that_it_has(tmp_path: Path, projection: str, lat: int) -> None:
    """A tall image across RA 0 of an all-sky map, of a known plane on the sky: nothing is left of it, to 5 %."""
    grid = Grid.around("180 0", shape=(360, 720), scale="0.5 deg", projection=projection)
    image = Grid.around(f"0 {lat}", shape=(60, 30), scale="0.2 deg")
    y, x = np.mgrid[:60, :30]
    xi, eta = np.radians(-0.2 * (x - 14.5)), np.radians(0.2 * (y - 29.5))
    write_image(tmp_path / "i.fits", 3 + 40 * xi - 20 * eta, image.to_header())
    plane = SkyPlane(0.0, float(lat), 3.0, 40.0, -20.0)
    mosaic = dm.mosaic(tmp_path, grid, corrections={"i.fits": plane})
    made = mosaic.compute()
    left = np.abs(made.data[made.area > 0.5])
    assert left.size > 200
    # An affine map follows it, or the summary says that it does not.
    assert left.max() < 0.05 * 4.2 or "where the map is bent, of i.fits" in str(mosaic.summary)
    assert left.max() < 0.05 * 4.2 or projection != "CAR"


@pytest.mark.parametrize("bad", [5, [1, 2], {"image00.fits": (1, 2, 3)}, {"image00.fits": SkyPlane(0, -95, 1, 0, 0)}])
def test_what_are_no_corrections_is_refused(survey: Survey, bad: Any) -> None:
    with pytest.raises(InputError, match="correction"):
        dm.plan(survey.folder, survey.grid, corrections=bad)


def test_parts_that_are_none_are_refused(made: Mosaic) -> None:
    for part in ((0, 10, 0, 10), "middle"):
        with pytest.raises(InputError, match="no part of a mosaic"):
            made.background_error(part)  # type: ignore[arg-type]
    for side in (-1, 0, 2.5):
        with pytest.raises(InputError, match="whole number of pixels"):
            made.background_error_map(side)
    with pytest.raises(InputError, match="names no images"):
        dm.plan(made.plan.images, made.grid, anchor=3)


def test_a_name_of_two_images_locks_none(tmp_path: Path, survey: Survey) -> None:
    for k in range(2):
        write_image(tmp_path / f"night{k}" / "x.fits", np.zeros((80, 100), np.float32), image_header(30.0 * k))
    with pytest.raises(InputError, match=r"'x.fits' names 2 images: give the path"):
        dm.plan(tmp_path, survey.grid, lock="x.fits")
    assert dm.plan(tmp_path, survey.grid, lock=tmp_path.resolve() / "night1" / "x.fits").locked == (1,)
