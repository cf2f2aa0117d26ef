"""Real images of public surveys, where they are at hand: ``shared/data`` beside the repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

import dmontage as dm
from dmontage.errors import InputError
from dmontage.fits_files import read, scan
from dmontage.grid import Grid
from dmontage.headers import header_text, parse_header
from dmontage.model import OverlapPair
from dmontage.pipeline import Mosaic
from dmontage.sphere import unit_vectors
from dmontage.store import Store

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the real images are not at hand")


# --- Orion, one night ---------------------------------------------------------------------------------------------


def reaches(image: Grid, grid: Grid | None) -> bool:
    """Whether any pixel centre of an image lies on a grid, by astropy."""
    assert grid is not None
    y, x = np.indices(image.shape)
    u, v = grid.wcs().all_world2pix(*image.wcs().all_pix2world(x, y, 0), 0)
    return bool(((np.abs(u - 449) < 449) & (np.abs(v - 449) < 449)).any())


@pytest.mark.parametrize("fitted", [False, True])
def test_orion_on_its_region_and_on_a_fitted_grid(tmp_path: Path, fitted: bool) -> None:
    """The region lies inside the images: no pixel of it is blank; a fitted grid holds every image."""
    images = scan(DATA / "orion-quarter")
    assert len(images) == 10 and images.skipped == ()
    grid = None if fitted else Grid.from_header(DATA / "orion-quarter/montage0.25_region.hdr")
    made = dm.mosaic(images, grid).write(tmp_path / "m.fits")
    data, header = fits.getdata(tmp_path / "m.fits", header=True)
    area = fits.getdata(tmp_path / "m_area.fits")
    reach = [image.name for image in images if fitted or reaches(image.grid, grid)]
    assert [row.image.name for row in made.plan.rows] == reach and made.summary.images == len(reach) >= 6
    assert {item.name for item in made.summary.skipped} == {image.name for image in images} - set(reach)
    assert (made.summary.unpaired, made.summary.groups) == ((), 1)
    # Two images of one scan share their raw pixels, and in the nebula's core no plane fits what differs between scans.
    assert made.summary.rms_after < made.summary.rms_before / 5
    if fitted:
        wcs = WCS(header)
        for image in images:
            ny, nx = image.grid.shape
            sky = image.grid.wcs().calc_footprint(axes=(nx, ny), center=False)
            x, y = wcs.all_world2pix(sky, 0).T
            assert (np.abs(x - (data.shape[1] - 1) / 2) <= data.shape[1] / 2 + 0.01).all()
            assert (np.abs(y - (data.shape[0] - 1) / 2) <= data.shape[0] / 2 + 0.01).all()
        # Every pixel of an image is in the mosaic: the areas add up to those of the images.
        omega = sum(float(image.grid.solid_angle(image.grid.window).sum()) for image in images)
        blank = sum(int(np.isnan(read(image)).sum()) for image in images)
        assert area.astype(float).sum() == pytest.approx(omega, rel=1e-6 + 2 * blank / 5e6)
    else:
        assert data.shape == (899, 899) and np.isfinite(data).all() and (area > 0).all()


# --- Orion, five nights: background jumps -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def jumps(tmp_path_factory: pytest.TempPathFactory) -> tuple[Mosaic, Store]:
    path = tmp_path_factory.mktemp("jumps") / "run.zarr"
    made = dm.mosaic(DATA / "orion-bgjump", store=path)
    made.data  # noqa: B018 (the first use projects, fits and solves)
    return made, Store.open(path)


def median_difference(store: Store, pair: OverlapPair, planes: NDArray[np.float64]) -> float:
    """Of the stored rows minus planes, where both images cover nine tenths of a pixel."""
    windows, w = store.rows.windows(), pair.window
    y, x = np.mgrid[w.slices]
    means, good = [], np.ones(w.shape, bool)
    for row in (pair.plus, pair.minus):
        flux, area = store.projected.read(row, windows[row], w)
        good &= area > 0.9
        level, slope_x, slope_y, x0, y0 = planes[row]
        mean = np.divide(flux, area, out=np.zeros(w.shape), where=area > 0)
        means.append(mean - (level + slope_x * (x - x0) + slope_y * (y - y0)))
    return float(np.median((means[0] - means[1])[good]))


def test_background_jumps_are_what_was_measured(jumps: tuple[Mosaic, Store]) -> None:
    """Raw medians of all 26 overlaps against figures measured with other software, from -142 to 116 DN."""
    made, store = jumps
    names = {row.image.name: i for i, row in enumerate(made.plan.rows)}
    pairs = {(pair.plus, pair.minus): pair for pair in made.plan.pairs}
    listed = json.loads((DATA / "orion-bgjump/bgjump-pairdiffs.json").read_text())
    assert len(listed) == len(pairs) == 26
    for entry in listed:
        plus, minus = names[entry["plus"]], names[entry["minus"]]
        pair, sign = pairs[min(plus, minus), max(plus, minus)], np.sign(minus - plus)
        found = sign * median_difference(store, pair, np.zeros((12, 5)))
        assert found == pytest.approx(entry["median_diff"], abs=0.1), entry
        fit = next(fit for fit in made.fits if (fit.plus, fit.minus) == (pair.plus, pair.minus))
        assert fit.median == pytest.approx(sign * found, abs=1e-3)


def test_background_jumps_are_taken_out(jumps: tuple[Mosaic, Store]) -> None:
    """The largest falls from 141.8 DN to below 1, measured anew on the pixels and not taken from the fit."""
    made, store = jumps
    before, after = (
        max(abs(median_difference(store, pair, planes)) for pair in made.plan.pairs)
        for planes in (np.zeros((12, 5)), store.tables.planes(made.plan.corrected_by, len(store.rows)))
    )
    assert before == pytest.approx(141.8, abs=0.1)
    assert after < 1
    assert made.summary.groups == 1 and made.summary.unpaired == ()


def test_zero_points_of_2mass_are_read(tmp_path: Path) -> None:
    """MAGZP of 12 images of five nights, as the cards in the files say: they differ by a quarter of a magnitude."""
    made = dm.mosaic(DATA / "orion-bgjump", background="none", zero_point="MAGZP")
    cards = {path.name: fits.getheader(path)["MAGZP"] for path in (DATA / "orion-bgjump").glob("*.fits.gz")}
    assert made.plan.zero_point == sorted(cards.values())[5] == 20.8555
    assert "zero points 20.7626 to 21.0148 brought to 20.8555" in str(made.plan)
    for row, beside in zip(made.plan.rows, made.plan.companions, strict=True):
        assert beside.zero_point == cards[row.image.name]
        assert beside.scale == pytest.approx(10.0 ** (-0.4 * (cards[row.image.name] - 20.8555)), rel=1e-15)


def source_ratios(folder: Path, **options: Any) -> list[float]:
    """Of each overlap with enough of them, the light of sources in one image over that in the other."""
    made = dm.mosaic(DATA / "orion-bgjump", store=folder / "run.zarr", background="none", **options)
    made.compute()
    store = Store.open(folder / "run.zarr")
    ratios = []
    for pair in made.plan.pairs:
        rows = [store.projected.read(row, made.plan.rows[row].window, pair.window) for row in (pair.plus, pair.minus)]
        good = np.all([area > 0.9 for _, area in rows], axis=0)
        if not good.any():
            continue
        one, other = ((flux / np.where(good, area, 1))[good] for flux, area in rows)
        one, other = one - np.median(one), other - np.median(other)
        bright = (one + other > 200) & (one + other < 8000)
        if bright.sum() > 50:
            ratios.append(float(one[bright].sum() / other[bright].sum()))
    return ratios


def test_zero_points_of_2mass_make_stars_agree(tmp_path: Path) -> None:
    """From a tenth to a hundredth in half of the overlaps; in some the nebula's own slopes are in the way."""
    plain, scaled = source_ratios(tmp_path / "plain"), source_ratios(tmp_path / "scaled", zero_point="MAGZP")
    assert len(plain) > 8 and len(scaled) > 8
    assert np.median(np.abs(np.array(plain) - 1)) > 0.08
    assert np.median(np.abs(np.array(scaled) - 1)) < 0.02


# --- compressed ---------------------------------------------------------------------------------------------------


def test_compressed_images_equal_the_plain_one() -> None:
    """C28: 16-bit pixels through gzip and Rice are the plain ones; hcompress kept them within its noise."""
    ref = {image.name.split(".")[0]: image for image in scan(DATA / "compressed")}
    plain = read(ref["m13"])
    for name in ("m13_gzip", "m13_rice", "m13_hcomp"):
        packed = read(ref[name])
        assert ref[name].grid == ref["m13"].grid
        with fits.open(ref[name].path) as hdus:
            np.testing.assert_array_equal(packed, hdus[1].data)
        if name != "m13_hcomp":
            np.testing.assert_array_equal(packed, plain)
    difference = read(ref["m13_hcomp"]) - plain
    assert np.abs(difference).max() <= 1e-2 * np.std(plain)


# --- what is really out there -------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["decam-tpv", "odd-wcs", "gc-jhk", "humvi-gri", "proj-1904-66/real", "compressed"])
def test_every_file_is_used_or_has_a_reason(folder: str) -> None:
    """And each usable one can be read, by the same pixels as astropy's."""
    for path in sorted((DATA / folder).glob("*.fits*")):
        try:
            images = scan(path)
        except InputError as error:
            assert path.name in str(error) and len(str(error)) > len(path.name) + 20
            continue
        for image in images:
            values = read(image)
            assert values.shape == (*image.planes, *image.grid.shape) and values.dtype.isnative
            with fits.open(path) as hdus:
                wanted = np.squeeze(hdus[image.hdu].data).astype(float)
                blank = hdus[image.hdu].header.get("BLANK") if hdus[image.hdu].header["BITPIX"] > 0 else None
            if blank is not None:
                wanted[wanted == blank] = np.nan
            np.testing.assert_allclose(values, wanted, rtol=1e-6)


@pytest.mark.parametrize("folder", ["decam-tpv", "odd-wcs", "proj-1904-66/real", "proj-1904-66/headers", "compressed"])
def test_every_wcs_is_astropys_and_comes_back(folder: str) -> None:
    """C12: to 1e-4 px of astropy, which holds CSC in single precision, and back to 1e-9 px."""
    for path in sorted((DATA / folder).glob("*.*")):
        if path.suffix == ".hdr":
            grids = [(Grid.from_header(path), parse_header(header_text(path)))]
        else:
            try:
                grids = [(image.grid, fits.getheader(image.path, image.hdu)) for image in scan(path)]
            except InputError:
                continue  # the test above sees to its reason
        for grid, header in grids:
            rng = np.random.default_rng(0)
            x, y = (rng.uniform(-0.5, side - 0.5, 300) for side in grid.shape[::-1])
            wcs = WCS(header).celestial
            world = np.radians(wcs.all_pix2world(x, y, 0))
            there = unit_vectors(world[wcs.wcs.lng], world[wcs.wcs.lat])
            vectors = grid.sky(x, y)
            on = np.isfinite(vectors[:, 0])
            assert on.any() and (on == np.isfinite(there[:, 0])).all(), path
            assert np.linalg.norm(vectors - there, axis=-1)[on].max() / grid.scale < 1e-4, path
            assert np.hypot(*(np.stack(grid.pixel(vectors)) - [x, y]))[on].max() < 1e-9, path


def test_decam_images_stack_where_they_overlap() -> None:
    """TPV: five cut-outs with polynomial distortion make one mosaic, by the plane kernel."""
    images = scan(DATA / "decam-tpv")
    made = dm.mosaic(images, background="level")
    assert {row.method for row in made.plan.rows} == {"plane"}
    whole = made.compute()
    assert np.isfinite(whole.data[whole.area > 0]).all()
    omega = made.grid.solid_angle(made.grid.window)
    total = sum(float(image.grid.solid_angle(image.grid.window)[np.isfinite(read(image))].sum()) for image in images)
    assert (whole.area * omega).sum() == pytest.approx(total, rel=1e-6)


def test_three_bands_lie_on_one_grid() -> None:
    """C4 on real headers: 2MASS J, H and K of the Galactic Centre, each on the grid of the first."""
    images = [image for image in scan(DATA / "gc-jhk") if image.name.startswith("2MASS")]
    for image in images:
        made = dm.mosaic([image], images[0].grid, background="none")
        mapping = made.plan.rows[0].mapping
        assert mapping.patches[0].shift == (0, 0) and mapping.bound == 0
        np.testing.assert_array_equal(made.compute().data, read(image).astype(np.float32))


def test_relaxation_takes_the_jumps_out_too() -> None:
    """Images of one scan share raw pixels: weighed by noise, they would tie each other down for ever."""
    made = dm.mosaic(DATA / "orion-bgjump", solver="relaxation")
    assert np.abs(made.medians_left()).max() < 1 and made.summary.rms_before > 50


def test_every_jump_that_is_left_is_told_of() -> None:
    """None is left above three of its standard errors and 0.2 DN without the report naming it."""
    report = dm.background_report(dm.mosaic(DATA / "orion-bgjump"))
    named = {(pair.plus, pair.minus) for pair in (*report.named, *report.rejected)}
    assert len(report.pairs) == 26 and report.rms_before > 50 and report.rms_after < 0.1
    for pair in report.pairs:
        assert pair.n_pixels > 1000 and np.isfinite(pair.after) and 0 < pair.error < 0.1
        assert abs(pair.after) <= 3 * pair.error + 0.2 or (pair.plus, pair.minus) in named
        assert f"{pair.plus}  {pair.minus}" in str(report)
