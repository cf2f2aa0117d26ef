"""Several runs whose backgrounds are matched by one solve: parts of the sky as one run of all would make them."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from click.testing import CliRunner
from numpy.typing import NDArray
from surveys import Survey, damage, make_survey, write_image

import dmontage as dm
from dmontage.cli import main
from dmontage.errors import InputError
from dmontage.grid import Grid
from dmontage.pipeline import Mosaic
from dmontage.pipeline.corrections import write_table
from dmontage.pipeline.merged import _one_of_each
from dmontage.sphere import lonlat
from dmontage.window import Window

Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    """Images in three rows of six; noise of 0.001, so that the match is known well beyond their planes of 20."""
    return make_survey(tmp_path_factory.mktemp("survey") / "raw", seed=3, layout=(3, 6), noise=1e-3)


@pytest.fixture(scope="module")
def grid(survey: Survey) -> Grid:
    return Grid.fit(dm.scan(survey.folder))


@pytest.fixture(scope="module")
def whole(survey: Survey, grid: Grid, tmp_path_factory: pytest.TempPathFactory) -> Mosaic:
    mosaic = dm.mosaic(survey.folder, grid, tmp_path_factory.mktemp("whole") / "run.zarr")
    mosaic.compute()
    return mosaic


def halves(grid: Grid) -> list[Window]:
    """Two parts that share more than an image's side."""
    (ny, nx), cut = grid.shape, int(0.38 * grid.shape[1])
    return [Window(0, ny, 0, nx - cut), Window(0, ny, cut, nx)]


@pytest.fixture(scope="module")
def stores(survey: Survey, grid: Grid, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs on one lattice."""
    folder = tmp_path_factory.mktemp("runs")
    paths = [folder / "b.zarr", folder / "a.zarr"]
    for path, window in zip(paths, halves(grid), strict=True):
        run = dm.mosaic(survey.folder, grid.subgrid(window), path).fit()
        assert run.plan.n_images == 12 and run.solution is None and len(run.fits) == len(run.plan.pairs)
    return paths


def names_of(table: Table) -> list[str]:
    return [str(name) for name in table["file"]]


def test_one_run_is_solved_as_it_solves_itself(whole: Mosaic, stores: list[Path], tmp_path: Path) -> None:
    """To the bit."""
    own, path = whole.corrections(), whole._place
    assert path is not None
    found = dm.solve_runs(path)  # as [path]
    for name in own.colnames:
        np.testing.assert_array_equal(found[name], own[name])
    assert found.meta["missing"] == [] and {k: v for k, v in found.meta.items() if k != "missing"} == own.meta


def test_runs_on_one_lattice_are_solved_as_one(whole: Mosaic, stores: list[Path], grid: Grid, survey: Survey) -> None:
    """To two units in the last place of a float32: rows of either run differ by one in a few pixels, and so the fits.

    Each run then has the pixels of the whole, on its border too.
    """
    found, own = dm.solve_runs(stores), whole.corrections()
    assert names_of(found) == names_of(own) and len(found) == 18  # six of them are in both runs
    for name in ("level", "slope_east", "slope_north"):
        np.testing.assert_allclose(found[name], own[name], atol=1e-7 * float(np.ptp(own[name])))
        np.testing.assert_allclose(found[f"{name}_error"], own[f"{name}_error"], rtol=1e-4)
    assert set(found["status"]) == {"fitted"} and set(found["group"]) == {0}
    pixels = whole.compute().data
    for path, window in zip(stores, halves(grid), strict=True):
        run = dm.mosaic(survey.folder, grid.subgrid(window), path, corrections=found)
        part = run.compute().data
        assert run.summary.reused == 12 and "fit" not in run.summary.seconds
        np.testing.assert_array_max_ulp(part, pixels[window.slices], maxulp=2)


def test_the_order_of_runs_does_not_matter(stores: list[Path]) -> None:
    one, other = dm.solve_runs(stores), dm.solve_runs([str(path) for path in stores[::-1]])
    for name in one.colnames:
        np.testing.assert_array_equal(one[name], other[name])


def test_images_are_counted_in_one_go() -> None:
    """Copies in one run are two images. To count anew for each image took 16 s for 20,000."""
    asked = 0

    class Digest(str):
        def __eq__(self, other: object) -> bool:
            nonlocal asked
            asked += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    def image(k: int, digest: int) -> Any:
        path = f"/{k}.fits"
        return SimpleNamespace(digest=Digest(f"{digest:064x}"), path=path, full_name=path, order=(path, 0))

    n = 300
    runs: Any = [SimpleNamespace(images=[image(k, max(k, 1)) for k in range(n)], missing=()) for _ in range(2)]
    images, numbers, _ = _one_of_each(runs)
    assert len(images) == n and all(sorted(each.tolist()) == list(range(n)) for each in numbers)
    assert asked < 30 * n


def beyond_a_plane(data: NDArray[np.float32]) -> Floats:
    """A common gradient is what overlaps hardly tell."""
    y, x = np.nonzero(np.isfinite(data))
    design = np.column_stack([np.ones(x.size), x, y])
    return np.asarray(data[y, x] - design @ np.linalg.lstsq(design, data[y, x])[0])


@pytest.fixture(scope="module")
def turned(survey: Survey, grid: Grid, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Runs on grids that have nothing in common: other projections, scales and angles."""
    ny, nx = grid.shape
    folder = tmp_path_factory.mktemp("turned")
    hows: list[dict[str, Any]] = [
        {"scale": "2 arcsec"},
        {"scale": "2.5 arcsec", "rotation": "30 deg", "projection": "CAR"},
    ]
    paths = []
    for k, (x, how) in enumerate(zip((0.31 * nx, 0.69 * nx), hows, strict=True)):
        lon, lat = lonlat(grid.sky(np.array(x), np.array(ny / 2)))
        own = Grid.around(f"{float(lon)} {float(lat)}", shape=(ny + 100, int(0.68 * nx)), **how)
        paths.append(folder / f"{k}.zarr")
        dm.mosaic(survey.folder, own, paths[-1]).fit()
    return paths


def test_runs_on_any_grids_are_solved_on_the_sky(whole: Mosaic, turned: list[Path], grid: Grid, survey: Survey) -> None:
    """As one run, but for the noise of an image, 0.001: resampled on two grids it is another."""
    found = dm.solve_runs(turned)
    assert names_of(found) == names_of(whole.corrections()) and set(found["group"]) == {0}
    ours = dm.mosaic(survey.folder, grid, corrections=found).compute().data
    left = beyond_a_plane(ours - whole.compute().data)
    raw = beyond_a_plane(dm.mosaic(survey.folder, grid, background="none").compute().data)
    assert left.std() < 5e-4 and np.abs(left).max() < 3e-3
    assert raw.std() > 5.0
    np.testing.assert_allclose(found["level_error"], whole.corrections()["level_error"], rtol=0.25)


def test_a_run_whose_seam_cuts_images(
    whole: Mosaic, stores: list[Path], survey: Survey, grid: Grid, tmp_path: Path
) -> None:
    """A belt round the sky that begins at the survey's middle: some of its images come at both ends."""
    nx = 180 * 3600
    belt = Grid(
        f"CTYPE1  = 'RA---CAR'\nCTYPE2  = 'DEC--CAR'\nCRVAL1  = 263.8\nCRVAL2  = 0.0\nCRPIX1  = {(nx + 1) / 2}\n"
        "CRPIX2  = 9920.5\nCDELT1  = -0.0005555555555555556\nCDELT2  = 0.0005555555555555556",
        (400, nx),
    )
    run = dm.mosaic(survey.folder, belt, tmp_path / "belt.zarr").fit()
    assert len(run.plan.rows) > run.plan.n_images == 18
    for paths in ([tmp_path / "belt.zarr"], [tmp_path / "belt.zarr", stores[0]]):
        found = dm.solve_runs(paths)
        ours = dm.mosaic(survey.folder, grid, corrections=found).compute().data
        left = beyond_a_plane(ours - whole.compute().data)
        assert left.std() < 5e-4 and np.abs(left).max() < 3e-3


def test_wishes_are_those_of_one_run(stores: list[Path], turned: list[Path]) -> None:
    level = dm.solve_runs(turned, background="level")
    assert not np.any(level["slope_east"]) and np.ptp(level["level"]) > 10
    name = names_of(level)[4]
    for paths in (stores, turned):
        locked = dm.solve_runs(paths, lock=[name])
        assert locked["status"][4] == "locked" and locked["level"][4] == 0 == locked["slope_north"][4]
        anchored = dm.solve_runs(paths, anchor=[name])
        assert abs(anchored["level"][4]) < 1e-9 and anchored["slope_north"][4] != 0
    steep, flat = (dm.solve_runs(turned, slope_prior=prior)["slope_east"] for prior in (1e4, 1e-6))
    assert np.abs(steep).max() > 100 and np.abs(flat).max() < 1e-3


def test_commands_from_fits_to_mosaics(survey: Survey, whole: Mosaic, grid: Grid, tmp_path: Path) -> None:
    """fit, fit, solve, mosaic; a damaged image is left out, and said."""
    folder = tmp_path / "raw"
    make_survey(folder, seed=3, layout=(3, 6), noise=1e-3)
    damage(folder / "image00.fits")

    def call(*arguments: object) -> str:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    runs = []
    for k, window in enumerate(halves(grid)):
        header = tmp_path / f"{k}.hdr"
        header.write_text(grid.subgrid(window).to_template())
        runs.append((header, tmp_path / f"{k}.zarr"))
        told = call("fit", folder, "--header", header, "--workdir", runs[-1][1])
        assert f"kept in {runs[-1][1]}" in told and not list(tmp_path.glob("*.fits"))
    told = call("solve", *(store for _, store in runs), "-o", tmp_path / "c.ecsv")
    assert "solved      17 images of 2 runs in 1 groups" in told
    assert "not projected: image00.fits.fz[1]" in told and str(tmp_path / "c.ecsv") in told
    for k, (header, store) in enumerate(runs):
        out = tmp_path / f"{k}.fits"
        call("mosaic", folder, "-o", out, "--header", header, "--workdir", store, "--corrections", tmp_path / "c.ecsv")
    one, other = (fits.getdata(tmp_path / f"{k}.fits") for k in (0, 1))
    common = grid.shape[1] - 2 * int(0.38 * grid.shape[1])
    np.testing.assert_array_max_ulp(one[:, -common:], other[:, :common], maxulp=2)


def test_stores_and_table_by_url(survey: Survey, stores: list[Path], grid: Grid) -> None:
    window = halves(grid)[1]
    dm.mosaic(survey.folder, grid.subgrid(window), "memory://runs/b.zarr").fit()
    arguments = ["solve", str(stores[0]), "memory://runs/b.zarr", "-o", "memory://runs/c.ecsv"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    again = dm.mosaic(survey.folder, grid.subgrid(window), corrections="memory://runs/c.ecsv").compute().data
    usual = dm.mosaic(survey.folder, grid.subgrid(window), corrections=dm.solve_runs(stores)).compute().data
    np.testing.assert_array_equal(again, usual)


@pytest.fixture
def nights(tmp_path: Path) -> tuple[list[Path], Grid]:
    """Two folders, each with a file image00.fits.gz; that of the second is 500 brighter, and damaged."""
    made = make_survey(tmp_path / "n1", seed=3, noise=1e-3)
    grid = Grid.fit(dm.scan(made.folder))
    compress(made.paths[0], tmp_path / "n1", 0)
    compress(made.paths[0], tmp_path / "n2", 500, damaged=True)
    made.paths[0].unlink()
    return [tmp_path / "n1", tmp_path / "n2"], grid


def compress(path: Path, folder: Path, add: float, *, damaged: bool = False) -> None:
    """An image, brighter, with gzip; damaged by a wrong checksum at its end."""
    with fits.open(path) as hdus:
        write_image(folder / path.name, hdus[0].data + np.float32(add), hdus[0].header)
    data = bytearray(gzip.compress((folder / path.name).read_bytes(), 1))
    data[-8] ^= damaged
    (folder / f"{path.name}.gz").write_bytes(data)
    if add:
        (folder / path.name).unlink()


def test_a_missing_image_is_told_from_its_namesake(nights: tuple[list[Path], Grid], tmp_path: Path) -> None:
    """And is not corrected by its plane, once it is mended."""
    folders, grid = nights
    run = dm.mosaic(folders, grid, tmp_path / "r.zarr").fit()
    one, other = (str(folder / "image00.fits.gz") for folder in folders)
    assert [image.name for image in run.summary.skipped] == ["image00.fits.gz"]
    found = dm.solve_runs(tmp_path / "r.zarr")
    assert found.meta["missing"] == [other]
    assert names_of(found) == [one, *(f"image{k:02d}.fits" for k in range(1, 6))]
    dm.mosaic(folders[0], grid, tmp_path / "r1.zarr").fit()
    both = dm.solve_runs([tmp_path / "r1.zarr", tmp_path / "r.zarr"])
    assert both.meta["missing"] == [other] and names_of(both) == names_of(found)
    Path(other).write_bytes(Path(one).read_bytes())
    mosaic = dm.mosaic(folders, grid, corrections=found)
    mosaic.compute()
    assert mosaic.summary.uncorrected == ("image00.fits.gz",) and not mosaic.summary.skipped
    bare = dm.mosaic(folders[0], grid).corrections()
    assert names_of(bare)[0] == "image00.fits.gz" and "digest" not in bare.colnames
    with pytest.raises(InputError, match=r"'image00.fits.gz' may be that of 2 images, as of .*: give the path"):
        dm.plan(folders, grid, corrections=bare)


def test_an_image_missing_in_one_run_is_found_in_another(nights: tuple[list[Path], Grid], tmp_path: Path) -> None:
    """By its path, though the mended file is another."""
    folders, grid = nights
    other = folders[1] / "image00.fits.gz"
    dm.mosaic(folders, grid, tmp_path / "old.zarr").fit()
    other.write_bytes((folders[0] / "image00.fits.gz").read_bytes())
    dm.mosaic(folders, grid, tmp_path / "new.zarr").fit()
    found = dm.solve_runs([tmp_path / "old.zarr", tmp_path / "new.zarr"])
    assert found.meta["missing"] == [] and str(other) in names_of(found) and len(found) == 7


def test_an_image_that_has_another_path_elsewhere_is_known(nights: tuple[list[Path], Grid], tmp_path: Path) -> None:
    """Where names do not tell images apart, what they are does."""
    folders, grid = nights
    (folders[1] / "image00.fits.gz").write_bytes((folders[0] / "image00.fits.gz").read_bytes())
    table = dm.mosaic(folders, grid).corrections()
    write_table(table, tmp_path / "c.ecsv")
    away = [tmp_path / "away" / folder.name for folder in folders]
    for folder, copy in zip(folders, away, strict=True):
        shutil.copytree(folder, copy)  # which keeps the times
    here, there = (dm.mosaic(each, grid, corrections=tmp_path / "c.ecsv") for each in (folders, away))
    np.testing.assert_array_equal(there.compute().data, here.compute().data)
    assert there.summary.uncorrected == ()


def test_images_of_one_file_are_told_from_those_of_its_namesake(survey: Survey, grid: Grid, tmp_path: Path) -> None:
    for night in "12":
        (tmp_path / night).mkdir()
        with fits.open(survey.paths[0]) as a, fits.open(survey.paths[1]) as b:
            hdus = [fits.PrimaryHDU(a[0].data + int(night), a[0].header), fits.ImageHDU(b[0].data, b[0].header)]
            fits.HDUList(hdus).writeto(tmp_path / night / "x.fits")
    mosaic = dm.mosaic([tmp_path / "1", tmp_path / "2"], grid)
    table = mosaic.corrections()
    assert names_of(table) == [f"{tmp_path}/{k}/x.fits{hdu}" for hdu in ("", "[1]") for k in "12"]
    again = dm.mosaic([tmp_path / "1", tmp_path / "2"], grid, corrections=table)
    np.testing.assert_allclose(again.compute().data, mosaic.compute().data, rtol=1e-6)
    table.remove_column("digest")
    less = dm.mosaic([tmp_path / "1", tmp_path / "2"], grid, corrections=table[:2])
    less.compute()
    assert less.summary.uncorrected == ("x.fits[1]", "x.fits[1]")


def unfinished(survey: Survey, grid: Grid, folder: Path) -> list[Path]:
    mosaic = dm.mosaic(survey.folder, grid, folder / "half.zarr")
    mosaic._project(range(len(mosaic.plan.rows)))
    return [folder / "half.zarr"]


def nothing_done(survey: Survey, grid: Grid, folder: Path) -> list[Path]:
    dm.mosaic(survey.folder, grid, folder / "none.zarr")._open()
    return [folder / "none.zarr"]


def other_unit(survey: Survey, grid: Grid, folder: Path) -> list[Path]:
    dm.mosaic(survey.folder, grid, folder / "unit.zarr", unit="flux_per_pixel").fit()
    return [folder / "unit.zarr"]


def other_zero_point(survey: Survey, grid: Grid, folder: Path) -> list[Path]:
    points = {path.name: 20.0 for path in survey.paths}
    dm.mosaic(survey.folder, grid, folder / "zp.zarr", zero_point=points).fit()
    return [folder / "zp.zarr"]


def other_scale(survey: Survey, grid: Grid, folder: Path) -> list[Path]:
    scales = {path.name: 10.0 if k == 9 else 1.0 for k, path in enumerate(survey.paths)}
    dm.mosaic(survey.folder, grid, folder / "scale.zarr", flux_scale=scales).fit()
    return [folder / "scale.zarr"]


def changed(survey: Survey, grid: Grid, folder: Path) -> list[Path]:
    raw = make_survey(folder / "raw", layout=(1, 2))
    dm.mosaic(raw.folder, grid, folder / "old.zarr").fit()
    os.utime(raw.paths[1], ns=(1, 1))
    dm.mosaic(raw.folder, grid, folder / "new.zarr").fit()
    return [folder / "old.zarr", folder / "new.zarr"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (unfinished, r"lacks 47 of 47 fits of overlaps \(image00.fits, image01.fits\): project and fit it"),
        (nothing_done, "none.zarr has no image: project"),
        (other_unit, "has unit 'flux_per_pixel'"),
        (other_zero_point, "has zero point 20.0"),
        (other_scale, r"image09.fits: its values are times 10 in .*, times 1 in .*: give both runs one \(flux_scale"),
        (changed, "image01.fits has changed between two of the runs"),
    ],
)
def test_runs_that_do_not_go_together_are_refused(
    make: Callable[[Survey, Grid, Path], list[Path]],
    words: str,
    survey: Survey,
    grid: Grid,
    stores: list[Path],
    tmp_path: Path,
) -> None:
    with pytest.raises(InputError, match=words):
        dm.solve_runs([*stores, *make(survey, grid, tmp_path)])


def test_a_table_tells_the_scales_that_it_was_found_with(survey: Survey, grid: Grid, tmp_path: Path) -> None:
    """Two runs with one image's values times 10; the table is refused where they are not, or are times 20."""
    scales = {path.name: 10.0 if k == 9 else 1.0 for k, path in enumerate(survey.paths)}
    points = dict.fromkeys(scales, 25.0)
    paths = [tmp_path / "a.zarr", tmp_path / "b.zarr"]
    for path, window in zip(paths, halves(grid), strict=True):
        dm.mosaic(survey.folder, grid.subgrid(window), path, flux_scale=scales, zero_point=points).fit()
    found = dm.solve_runs(paths)
    assert found["scale"].tolist() == [10.0 if k == 9 else 1.0 for k in range(18)]
    write_table(found, tmp_path / "c.ecsv")
    given: dict[str, Any] = {"corrections": tmp_path / "c.ecsv", "zero_point": points}
    fitted = dm.mosaic(survey.folder, grid, flux_scale=scales, zero_point=points).compute().data
    ours = dm.mosaic(survey.folder, grid, flux_scale=scales, **given).compute().data
    np.testing.assert_allclose(ours, fitted, rtol=1e-5)
    brighter = dm.mosaic(survey.folder, grid, flux_scale=scales, zero_point_out=27.5, **given).compute().data
    np.testing.assert_allclose(brighter, 10 * fitted, rtol=1e-5)
    twice = {"image09.fits": 20.0} | {name: 1.0 for name in scales if name != "image09.fits"}
    for other, words in ((None, "here they are times 1:"), (twice, "here they are times 20:")):
        with pytest.raises(InputError, match=f"image09.fits was found with its values times 10, {words} give the flux"):
            dm.plan(survey.folder, grid, flux_scale=other, **given)
    found.remove_column("scale")  # a table made by hand
    given["corrections"] = found
    assert np.isfinite(dm.mosaic(survey.folder, grid, **given).compute().data).any()


def test_what_cannot_be_solved_is_refused(
    survey: Survey, stores: list[Path], turned: list[Path], tmp_path: Path
) -> None:
    for bad, words in (
        (lambda: dm.solve_runs([]), "no run was given"),
        (lambda: dm.solve_runs([tmp_path / "no.zarr"]), "there is no"),
        (lambda: dm.solve_runs(stores, background="none"), "background 'none' is not one of"),
        (lambda: dm.solve_runs(turned, slope_prior=None), "needs runs on one lattice"),
        (lambda: dm.solve_runs(stores, lock=["x.fits"]), "lock 'x.fits' is none of the 18 images"),
        (lambda: dm.mosaic(survey.folder, background="none").fit(), "background 'none' matches nothing"),
    ):
        with pytest.raises(InputError, match=words):
            bad()
