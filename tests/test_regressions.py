"""Faults that a review proved, each with its smallest case."""

from __future__ import annotations

import gc
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import zarr
from astropy.coordinates import FK5, ICRS, SkyCoord
from astropy.io import fits
from astropy.time import Time
from numpy.typing import NDArray
from surveys import field_grid, image_header, make_survey, write_image

import dmontage as dm
from dmontage.background import ImageFrame, PairTable, solve
from dmontage.errors import InputError
from dmontage.fits_files import pixels, scan
from dmontage.graph.job import Job
from dmontage.graph.project import project
from dmontage.grid import Grid
from dmontage.mapping import TOL, fit_mapping
from dmontage.sphere import lonlat, rotate_frame, unit_vectors


def test_a_duplicated_image_does_not_switch_planes_off(tmp_path: Path) -> None:
    """Images equal to the last bit are infinitely precise a pair; the others' slopes must still count."""
    survey = make_survey(tmp_path / "raw")
    alone = dm.mosaic(survey.folder, survey.grid)
    alone.compute()
    shutil.copy(survey.paths[1], survey.folder / "copy.fits")
    twice = dm.mosaic(survey.folder, survey.grid)
    twice.compute()
    assert alone.solution is not None and twice.solution is not None
    assert alone.solution.tau and twice.solution.tau == pytest.approx(alone.solution.tau, rel=0.3)
    assert twice.summary.rms_after < 2 * alone.summary.rms_after + 0.05


def test_exact_pairs_do_not_drown_the_others() -> None:
    """Three pairs of equal images and two noisy ones, of which the levels are known all the same."""
    plus, minus = np.array([0, 0, 1, 0, 1]), np.array([1, 2, 2, 3, 3])
    difference = np.zeros((5, 3))
    difference[3:, 0] = -10.0
    information = np.zeros((5, 3, 3))
    information[:] = np.diag([1.0, 100.0, 100.0])
    information[:3] *= 1e203
    zero = np.zeros(5)
    solution = solve(
        PairTable(plus, minus, zero, zero, difference, information), [ImageFrame(0.0, 0.0, 10.0)] * 4, "level"
    )
    np.testing.assert_allclose(solution.level, [-2.5, -2.5, -2.5, 7.5], atol=1e-6)
    assert np.isfinite(solution.standard_errors).all()


@pytest.mark.parametrize("name", ["flux", "area"])
def test_a_lost_chunk_is_an_error(tmp_path: Path, name: str) -> None:
    survey = make_survey(tmp_path / "raw")
    made = dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr", background="none")
    made.compute()
    del made  # and with it the rows that it has in memory
    (tmp_path / f"run.zarr/projected/{name}/c.2.0.0").unlink()
    with pytest.raises(InputError, match=r"row 2 of .* is damaged: a chunk is missing"):
        dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr", background="none").compute()


def test_two_runs_on_one_store_do_not_mix(tmp_path: Path) -> None:
    """One of them is refused while the other writes; what is written is one product."""
    survey = make_survey(tmp_path / "raw")
    store = tmp_path / "run.zarr"
    dm.mosaic(survey.folder, survey.grid, store).compute()
    refused: list[InputError] = []
    inside, go_on = threading.Event(), threading.Event()

    def wait(stage: str, done: int, total: int) -> None:
        if stage == "coadd" and done == 0:
            inside.set()
            go_on.wait(20)

    first = dm.mosaic(survey.folder, survey.grid, store, progress=wait)
    thread = threading.Thread(target=first.write, args=(tmp_path / "mean.fits",))
    thread.start()
    assert inside.wait(20)
    try:
        dm.mosaic(survey.folder, survey.grid, store, combine="count").write(tmp_path / "count.fits")
    except InputError as error:
        refused.append(error)
    go_on.set()
    thread.join()
    assert len(refused) == 1 and "in use by another run" in str(refused[0])
    assert not (tmp_path / "count.fits").exists()
    dm.mosaic(survey.folder, survey.grid, store, combine="count").write(tmp_path / "count.fits")
    assert set(np.unique(pixels(tmp_path / "count.fits"))) <= set(range(7))


def test_a_folder_that_moved_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    survey = make_survey(tmp_path / "raw")
    made = dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr", background="none")
    made.cutout("83.8 -5.4", "20 arcsec").compute()
    assert made.summary.images > 0
    part = Path(shutil.move(survey.folder, tmp_path / "elsewhere"))
    again = dm.mosaic(part, survey.grid, tmp_path / "run.zarr", background="none")
    again.compute()
    assert again.summary.images == 6 and not again.summary.skipped
    monkeypatch.chdir(tmp_path)
    assert all(Path(ref.path).is_absolute() for ref in scan("elsewhere"))


def test_a_live_run_keeps_its_store(tmp_path: Path) -> None:
    """A second command with other options, at the same place, is refused and deletes nothing."""
    survey = make_survey(tmp_path / "raw", layout=(1, 2))
    store = tmp_path / "run.zarr"
    live = dm.mosaic(survey.folder, survey.grid, store)
    with live._locked():
        live._rectify()
        other = dm.mosaic(survey.folder, survey.grid, store, border=2)
        with pytest.raises(InputError, match="in use by another run"):
            other.discard_stale()
    assert live.compute().data.any()
    other.discard_stale()
    assert not store.exists()


def test_a_store_of_an_older_format_is_no_obstacle(tmp_path: Path) -> None:
    survey = make_survey(tmp_path / "raw", layout=(1, 2))
    made = dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr")
    made.compute()
    zarr.open_group(str(tmp_path / "run.zarr"), mode="r+").attrs["dmontage_format"] = 1
    again = dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr")
    with pytest.raises(InputError, match=r"store format 1, .*remove it, or choose another --workdir"):
        again.compute()
    again.discard_stale()
    again.compute()
    assert again.summary.reused == 0


def all_sky(scale: float, projection: str = "CAR") -> Grid:
    """All of the sky with RA 180 in the middle: RA 0 is its seam."""
    return Grid.around("180 0", shape=(int(180 / scale), int(360 / scale)), scale=f"{scale} deg", projection=projection)


@pytest.mark.parametrize("background", ["level", "plane"])
def test_an_image_across_the_seam_is_one_image(tmp_path: Path, background: str) -> None:
    """Two rows of the store, one correction: the sky is matched across RA = 0, and all is one group."""
    rng = np.random.default_rng(1)
    for k, level in enumerate((0, 10, 30, 60, 100)):
        image = Grid.around(f"{8 * k - 16} 5", shape=(50, 50), scale="0.2 deg")
        noisy = level + 0.01 * rng.standard_normal(image.shape)
        write_image(tmp_path / "raw" / f"i{k}.fits", noisy.astype(np.float32), image.to_header())
    for again in range(2):
        made = dm.mosaic(tmp_path / "raw", all_sky(1.0), tmp_path / "run.zarr", background)
        data = made.compute().data
        assert (len(made.plan.rows), made.plan.n_images, made.summary.reused) == (6, 5, 5 * again)
        assert (made.summary.groups, made.summary.unpaired) == (1, ())
        for side in (data[:, :180], data[:, 180:]):
            np.testing.assert_allclose(side[np.isfinite(side)], 40, atol=0.05)
    assert made.summary.level_only == ()


def test_slopes_are_matched_across_the_seam(tmp_path: Path) -> None:
    """Each image is tilted in its own way; the one that RA = 0 cuts has one plane on the sky, seen from both sides."""
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:50, :50] - 24.5
    tilts = rng.uniform(-1, 1, (5, 2))  # towards east and north, per degree
    for k, (east, north) in enumerate(tilts):
        image = Grid.around(f"{8 * k - 16} 5", shape=(50, 50), scale="0.2 deg")
        noisy = 10 * k + 0.2 * (-east * x + north * y) + 0.01 * rng.standard_normal(image.shape)
        write_image(tmp_path / "raw" / f"i{k}.fits", noisy.astype(np.float32), image.to_header())
    made = dm.mosaic(tmp_path / "raw", all_sky(0.5), tmp_path / "run.zarr")
    found = made.corrections()
    assert (len(made.plan.rows), made.summary.level_only, made.summary.rejected) == (6, (), ())
    for name, truth in (("slope_east", tilts[:, 0]), ("slope_north", tilts[:, 1])):
        common = np.array(found[name]) - truth  # a gradient common to all is beyond what overlaps tell
        assert np.ptp(common) < 0.03 and np.ptp(truth) > 0.3
    assert np.nanmax(np.abs(made.medians_left())) < 0.01


def test_an_image_over_the_pole_of_a_cylinder_has_a_level_only(tmp_path: Path) -> None:
    """Its tangent plane is far from affine there, and the summary says so."""
    rng = np.random.default_rng(3)
    for k, place in enumerate(("0 90", "0 82", "90 82", "180 82", "270 82")):
        image = Grid.around(place, shape=(50, 50), scale="0.2 deg")
        noisy = 10 * k + 0.01 * rng.standard_normal(image.shape)
        write_image(tmp_path / "raw" / f"i{k}.fits", noisy.astype(np.float32), image.to_header())
    made = dm.mosaic(tmp_path / "raw", all_sky(0.5))
    made.compute()
    assert "i0.fits" in made.summary.level_only and "matched without slopes" in str(made.summary)
    assert np.nanmax(np.abs(made.medians_left())) < 0.01


def test_undefined_pixels_of_a_cut_image_count_once(tmp_path: Path) -> None:
    """A strip from limb to limb: each row of the store meets one end of it."""
    image = Grid.around("0 0", shape=(10, 130), scale="1 deg", projection="SIN")
    write_image(tmp_path / "s.fits", np.ones(image.shape, np.float32), image.to_header())
    made = dm.mosaic(tmp_path / "s.fits", all_sky(0.5), background="none")
    made.compute()
    undefined = np.isnan(image.solid_angle(image.window)).sum()
    assert len(made.plan.rows) == 2 and made.summary.undefined == undefined > 100


@pytest.mark.parametrize(("scale_in", "scale_out", "lat"), [(1.0, 5.0, 60), (5.0, 1.0, 0)])
def test_coarse_pixels_keep_their_flux(tmp_path: Path, scale_in: float, scale_out: float, lat: float) -> None:
    """C5 on the sphere, where the edges of pixels of degrees are curved: 1e-9, and through the store to float32."""
    n = int(40 / scale_in)
    image = Grid.around(f"170 {lat}", shape=(n, n), scale=f"{scale_in} deg")
    values = np.random.default_rng(1).uniform(1, 2, image.shape)
    path = write_image(tmp_path / "s.fits", values, image.to_header())
    mean, area = dm.project(path, all_sky(scale_out), unit="flux_per_pixel")
    total = np.nansum(mean.compute() * area.compute())
    assert total == pytest.approx(values.sum(), rel=1e-11)
    made = dm.mosaic(path, all_sky(scale_out), background="none", unit="flux_per_pixel").compute()
    assert np.nansum(made.data.astype(float) * made.area) == pytest.approx(values.sum(), rel=3e-7)


def test_companions_and_areas_are_no_images(tmp_path: Path) -> None:
    data = np.full((30, 40), 100.0, np.float32)
    header = image_header(shape=(30, 40))
    names = ("IMAGE", "MASK", "VARIANCE", "IVAR", "BKG")
    extensions = [fits.ImageHDU(data, header, name=name) for name in names]
    fits.HDUList([fits.PrimaryHDU(), *extensions]).writeto(tmp_path / "calexp.fits")
    found = scan(tmp_path)
    assert [(ref.hdu, len(found.skipped)) for ref in found] == [(1, 4)]
    dm.mosaic(found).write(tmp_path / "m.fits")
    assert len(scan([tmp_path / "calexp.fits", tmp_path / "m_area.fits"])) == 1
    assert len(scan([tmp_path, f"{tmp_path}/../{tmp_path.name}/calexp.fits"])) == 1
    assert len(scan(iter([tmp_path / "calexp.fits"]))) == 1


@pytest.mark.parametrize("projection", ["CAR", "AIT", "SFL"])
def test_a_fitted_grid_holds_the_pole(projection: str) -> None:
    image = Grid.around("40 89", shape=(40, 40), scale="0.1 deg")
    grid = Grid.fit([image], projection=projection)
    mapping = fit_mapping(image, grid)
    window = mapping.footprint(grid)
    _, area, _, _, lost = project(np.ones(image.shape), Job(image, grid, mapping, "sky"), window)
    covered = float((area * grid.solid_angle(window, mapping.sub_out))[area > 0].sum())
    # Pixels of the output that its seam cuts are no pixels: less than two rows of the forty.
    assert covered == pytest.approx(float(image.solid_angle(image.window).sum()), rel=0.05)
    assert lost == 0


@pytest.mark.parametrize("unit", ["surface_brightness", "flux_per_pixel"])
def test_pixels_with_an_undefined_corner_are_counted_in_either_unit(tmp_path: Path, unit: str) -> None:
    image = Grid.around("0 0", size=("360 deg", "180 deg"), scale="10 deg", projection="AIT")
    path = write_image(tmp_path / "a.fits", np.ones(image.shape), image.to_header(naxis=False))
    grid = Grid.around("0 0", size=("360 deg", "180 deg"), scale="10 deg", projection="CAR")
    made = dm.mosaic(path, grid, background="none", unit=unit)
    made.compute()
    undefined = int(np.isnan(image.solid_angle(image.window)).sum())
    assert undefined > 100
    assert f"{undefined} pixels have a corner where their projection has no sky" in str(made.summary)


@pytest.mark.parametrize("top", [1e-42, 1e-50])
def test_values_below_what_float32_holds_are_told_of(tmp_path: Path, top: float) -> None:
    """They lost digits, or all of them, without a word; as many as the largest keeps are enough."""
    grid = Grid.around("10 20", size="20 arcsec")
    values = np.random.default_rng(1).uniform(0.5, 1.0, grid.shape)
    path = write_image(tmp_path / "faint.fits", top * values, grid.to_header(naxis=False))
    with pytest.raises(InputError, match=r"faint\.fits: values up to .* outside of what a float32 holds .* flux_scale"):
        dm.mosaic(path, grid, background="none").compute()
    write_image(path, 1e-36 * values, grid.to_header(naxis=False))
    np.testing.assert_allclose(dm.mosaic(path, grid, background="none").compute().data, 1e-36 * values, rtol=1e-6)


def test_pixels_off_the_sky_are_no_pixels(tmp_path: Path) -> None:
    """An all-sky grid onto itself: the shift of zero is exact, but not for what is no sky."""
    grid = Grid.around("0 0", shape=(45, 90), scale="4 deg", projection="AIT")
    header = grid.to_header()
    write_image(tmp_path / "a.fits", np.ones(grid.shape, np.float32), header)
    made = dm.mosaic(tmp_path / "a.fits", grid, background="none")
    made.write(tmp_path / "m.fits")
    value, area = pixels(tmp_path / "m.fits"), pixels(tmp_path / "m_area.fits")
    y, x = np.indices(grid.shape, dtype=float)
    off = ~np.isfinite(grid.sky(x, y)).all(axis=-1)
    assert off.sum() > 1000 and np.isnan(value[off]).all()
    assert np.isfinite(area).all() and (area[off] == 0).all()
    assert made.summary.undefined == np.isnan(value).sum()
    assert "off sky" in str(made.summary)


def test_the_bound_of_the_plane_counts_the_inputs_own_edges() -> None:
    """HPX pixels have curved edges: onto fine pixels the plane is wrong by more than the tolerance, and must say so."""
    image = Grid.around("30 20", shape=(40, 40), scale="160 arcsec", projection="HPX")
    grid = Grid.around("30 20", shape=(400, 400), scale="20 arcsec", projection="ZEA")
    mapping = fit_mapping(image, grid)
    window = mapping.footprint(grid)
    plane, sky = (project(np.ones(image.shape), Job(image, grid, mapping, m), window).area for m in ("plane", "sky"))
    off = float(np.abs(plane - sky).max())
    assert TOL < off < mapping.bound + mapping.edge + mapping.rounding


def test_sub_pixels_are_chosen_in_output_pixels() -> None:
    image = Grid.around("30 45", shape=(10, 10), scale="0.5 deg", projection="CAR")
    grid = Grid.around("30 45", shape=(100, 100), scale="9 arcsec")
    assert fit_mapping(image, grid).sub_in == 64


def test_an_equinox_keeps_its_digits() -> None:
    points = unit_vectors(np.linspace(0.0, 6.0, 7), np.linspace(-1.4, 1.4, 7))
    equinox = Time(2012.34567, format="jyear")
    lon, lat = lonlat(points)
    truth = SkyCoord(lon, lat, unit="deg", frame=FK5(equinox=equinox)).icrs
    found = rotate_frame(points, FK5(equinox=equinox), ICRS())
    assert np.abs(found - unit_vectors(truth.ra.radian, truth.dec.radian)).max() < 1e-14


def test_an_unknown_frame_skips_its_image_only(tmp_path: Path) -> None:
    data = np.ones((20, 30), np.float32)
    header = image_header(shape=(20, 30))
    write_image(tmp_path / "a.fits", data, header, RADESYS="fk5", EQUINOX=2000.0)
    write_image(tmp_path / "b.fits", data, header, RADESYS="UNKNOWN")
    found = scan(tmp_path)
    assert [ref.name for ref in found] == ["a.fits"]
    assert "RADESYS = 'UNKNOWN'" in str(found.skipped[0])
    assert dm.plan(found).rows


def test_a_lazy_array_outlives_its_mosaic(tmp_path: Path) -> None:
    survey = make_survey(tmp_path / "raw")
    data = dm.mosaic(survey.folder, survey.grid, background="none").data
    gc.collect()
    assert np.isfinite(data.compute()).any()


def test_what_float32_cannot_hold_is_blank(tmp_path: Path) -> None:
    data: NDArray[np.float64] = np.ones((20, 30))
    data[5, 6] = np.finfo(float).max
    path = write_image(tmp_path / "a.fits", data, image_header(shape=(20, 30)))
    value = dm.mosaic(path, scan(path)[0].grid, background="none").compute().data
    assert np.isnan(value[5, 6]) and np.nanmax(value) == pytest.approx(1.0)


def test_a_url_of_another_kind_is_refused_as_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    survey = make_survey(tmp_path / "raw")
    with pytest.raises(InputError, match="ftp:// is no place that can be read"):
        dm.mosaic(survey.folder, survey.grid, store="ftp://bucket/run.zarr").compute()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]


def test_the_plane_refuses_pixels_that_its_buffers_cannot_hold(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.fits", np.ones((3, 3), np.float32), image_header(shape=(3, 3), scale=4000.0))
    with pytest.raises(InputError, match="pixels 2000 times larger than the output's"):
        dm.plan(path, field_grid(), method="plane")
    assert dm.plan(path, field_grid()).rows
