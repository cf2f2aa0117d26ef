"""The simulated survey against its own formulae by brute force, and the judge against mosaics with known faults."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from dmontage.demo.judge import judge
from dmontage.demo.simulate import simulate
from dmontage.demo.sky import paint
from dmontage.demo.truth import FWHM_TO_SIGMA, Star, Truth
from dmontage.demo.verdict import Verdict
from dmontage.errors import InputError

Image = NDArray[np.float64]


def grid(truth: Truth, scale: float, side: int, code: str = "TAN") -> WCS:
    """A square grid about the field's centre."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"RA---{code}", f"DEC--{code}"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crval = [truth.ra, truth.dec]
    wcs.wcs.crpix = [(side + 1) / 2, (side + 1) / 2]
    wcs.wcs.cdelt = [-scale / 3600, scale / 3600]
    return wcs


def write(path: Path, image: Image, wcs: WCS) -> Path:
    fits.PrimaryHDU(image.astype(np.float32), wcs.to_header()).writeto(path, overwrite=True)
    return path


def failed(verdict: Verdict) -> set[str]:
    return {check.name for check in verdict.checks if not check.ok}


# --- the survey ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    folder = tmp_path_factory.mktemp("small")
    return folder, simulate(folder, size_deg=0.06, seed=7, n_pixels=(256, 128))


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    return simulate(tmp_path_factory.mktemp("field"), size_deg=0.5, seed=2)


def test_one_square_degree_is_45_images_that_cover_it(tmp_path: Path) -> None:
    truth = simulate(tmp_path)
    assert len(truth.images) == 45
    assert len(truth.stars) == pytest.approx(2000 * (4198.4 * 4710.4) / 3600**2, rel=0.1)
    wcs = grid(truth, 60.0, 61)  # nodes every arcminute, the field's rim included
    y, x = np.indices((61, 61))
    ra, dec = wcs.all_pix2world(x, y, 0)
    depth = np.zeros((61, 61), dtype=int)
    for image in truth.images:
        header = fits.getheader(tmp_path / image.name)
        assert (header["BITPIX"], header["NAXIS1"], header["NAXIS2"]) == (-32, 512, 1024)
        assert header["CDELT1"] < 0 and header["CTYPE1"] == "RA---SIN" and header["CROTA2"] == image.rotation
        x_in, y_in = WCS(header).all_world2pix(ra, dec, 0)
        depth += (np.abs(x_in - 255.5) < 255.5) & (np.abs(y_in - 511.5) < 511.5)
    assert depth.min() >= 1
    assert np.mean(depth) == pytest.approx(1 / 0.9**2, rel=0.03)  # 10 % shared on each axis


def test_raw_image_is_sky_plus_plane_plus_noise(small: tuple[Path, Truth]) -> None:
    folder, _ = small
    truth = Truth.load(folder)
    blanks = 0
    for image in truth.images:
        with fits.open(folder / image.name) as hdus:
            data, wcs = np.array(hdus[0].data, dtype=np.float64), WCS(hdus[0].header)
        y, x = np.indices(data.shape)
        plane = image.level + image.slope_x * (x - 63.5) + image.slope_y * (y - 127.5)
        noise = data - paint(truth, wcs, (256, 128), image.fwhm) - plane
        blank = np.isnan(noise)
        assert blank.sum() == image.n_blank
        blanks += int(blank.sum())
        kept = noise[~blank]
        assert abs(kept.mean()) < 4 / np.sqrt(kept.size)
        assert kept.std() == pytest.approx(truth.noise, abs=4 / np.sqrt(2 * kept.size))
        assert abs(image.level) <= 20 and abs(image.slope_x * 128) <= 20 and abs(image.slope_y * 256) <= 20
    assert blanks > 0


def test_seed_decides_every_bit(small: tuple[Path, Truth], tmp_path: Path) -> None:
    folder, truth = small
    again = simulate(str(tmp_path / "again"), size_deg=0.06, seed=7, n_pixels=(256, 128))
    other = simulate(tmp_path / "other", size_deg=0.06, seed=8, n_pixels=(256, 128))
    assert again == truth == Truth.load(str(folder))
    assert other.stars != truth.stars and other.images != truth.images
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "again").iterdir())
    for name in names:
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    first, second = (fits.getdata(folder / image.name) for image in truth.images[:2])
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(("scale", "code"), [(1.0, "SIN"), (2.0, "TAN"), (0.4, "TAN")])
def test_painted_star_is_the_gaussian_integrated_over_each_pixel(field: Truth, scale: float, code: str) -> None:
    """Gauss-Legendre quadrature of flux / (2πσ²) exp(-separation² / 2σ²) over each pixel, by astropy's separations."""
    fwhm = 2.6
    star = Star(field.ra + 3 / 3600, field.dec - 2 / 3600, 4e4)
    truth = replace(field, stars=(star,), clouds=())
    wcs = grid(truth, scale, 21, code)
    wcs.wcs.pc = [[0.8, -0.6], [0.6, 0.8]]
    nodes, weights = np.polynomial.legendre.leggauss(10)
    fine = (np.arange(21)[:, None] + 0.5 * nodes).ravel()
    points = SkyCoord(*wcs.all_pix2world(fine[None, :], fine[:, None], 0), unit="deg")
    separation = points.separation(SkyCoord(star.ra, star.dec, unit="deg")).arcsec
    sigma = fwhm * FWHM_TO_SIGMA
    brightness = star.flux / (2 * np.pi * sigma**2) * np.exp(-0.5 * (separation / sigma) ** 2)
    expected = np.einsum("yjxi,j,i->yx", brightness.reshape(21, 10, 21, 10), 0.5 * weights, 0.5 * weights)
    painted = paint(truth, wcs, (21, 21), fwhm)
    np.testing.assert_allclose(painted, expected, rtol=0, atol=1e-7 * expected.max())
    if scale == 2.0:  # the whole star is on this grid
        assert painted.sum() * scale**2 == pytest.approx(star.flux, rel=1e-7)


def test_star_across_the_edge_gives_its_inside_part(field: Truth) -> None:
    wcs = grid(field, 1.0, 40)
    wide = wcs.deepcopy()
    wide.wcs.crpix = wcs.wcs.crpix + 30
    ra, dec = wcs.all_pix2world([-3.2, 39.4, 12.1, -20.0], [10.3, 39.9, -8.4, -20.0], 0)
    stars = tuple(Star(*row, 1e4) for row in zip(ra, dec, strict=True))
    truth = replace(field, stars=stars, clouds=())
    np.testing.assert_allclose(
        paint(truth, wcs, (40, 40), 3.0), paint(truth, wide, (100, 100), 3.0)[30:70, 30:70], rtol=0, atol=1e-8
    )


def test_emission_follows_its_formula(field: Truth) -> None:
    """Against astropy's separations and position angles, and the spline that is painted against both."""
    wcs = grid(field, 9.0, 301)
    y, x = np.indices((301, 301))
    ra, dec = wcs.all_pix2world(x, y, 0)
    points = SkyCoord(ra, dec, unit="deg")
    expected = np.zeros((301, 301))
    for cloud in field.clouds:
        centre = SkyCoord(cloud.ra, cloud.dec, unit="deg")
        chord = np.sin(centre.separation(points).radian) * u.radian.to(u.arcsec)
        angle = centre.position_angle(points).radian - np.radians(cloud.angle)
        along, across = chord * np.cos(angle) / cloud.sigma_major, chord * np.sin(angle) / cloud.sigma_minor
        expected += cloud.peak * np.exp(-0.5 * (along**2 + across**2))
    np.testing.assert_allclose(field.sky_background(ra, dec), expected, rtol=1e-9, atol=1e-9)
    starless = replace(field, stars=(Star(field.ra, -field.dec, 1.0),))
    np.testing.assert_allclose(paint(starless, wcs, (301, 301), 2.8), expected, rtol=0, atol=1e-3)
    assert 5 < expected.max() < 100
    assert field.sky_background(field.ra + 180, -field.dec) == 0


def test_nebula_is_all_that_a_nebula_changes(small: tuple[Path, Truth], tmp_path: Path) -> None:
    folder, plain = small
    truth = simulate(tmp_path, size_deg=0.06, seed=7, n_pixels=(256, 128), nebula=200.0)
    assert truth == Truth.load(tmp_path)
    assert replace(truth, clouds=plain.clouds) == plain and truth.clouds[: len(plain.clouds)] == plain.clouds
    alone = replace(truth, stars=(Star(truth.ra, -truth.dec, 1.0),), clouds=truth.clouds[len(plain.clouds) :])
    for image in truth.images:
        with_it, without = (fits.getdata(place / image.name).astype(float) for place in (tmp_path, folder))
        wcs = WCS(fits.getheader(folder / image.name))
        np.testing.assert_allclose(
            with_it - without,
            np.where(np.isnan(without), np.nan, paint(alone, wcs, (256, 128), 3.0)),
            rtol=0,
            atol=3e-3,
        )


@pytest.mark.parametrize("seed", range(5))
def test_nebula_is_bright_over_a_third_of_the_survey_and_centred_on_no_image(tmp_path: Path, seed: int) -> None:
    side = 96
    truth = simulate(tmp_path, size_deg=0.06, seed=seed, n_pixels=(side, side), nebula=200.0)
    plain = simulate(tmp_path, size_deg=0.06, seed=seed, n_pixels=(side, side))
    n = round(side * (3 * 0.9 + 1))  # four by four images
    wcs = grid(truth, 1.0, n)
    y, x = np.indices((n, n))
    alone = replace(truth, clouds=truth.clouds[len(plain.clouds) :])
    brightness = alone.sky_background(*wcs.all_pix2world(x, y, 0))
    assert np.mean(brightness > 20) == pytest.approx(1 / 3, abs=0.03)
    assert 200 < brightness.max() < 400
    body = alone.clouds[0]
    offsets = [np.hypot((body.ra - i.ra) * np.cos(np.radians(i.dec)), body.dec - i.dec) for i in truth.images]
    assert min(offsets) * 3600 > 0.05 * side


def test_unusable_requests_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"size_deg is 0\.0.*20"):
        simulate(tmp_path, size_deg=0.0)
    with pytest.raises(InputError, match="nebula is -1"):
        simulate(tmp_path, nebula=-1.0)
    with pytest.raises(InputError, match="seed is -1"):
        simulate(tmp_path, seed=-1)
    with pytest.raises(InputError, match="64 pixels"):
        simulate(tmp_path, n_pixels=(512, 10))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot make the folder"):
        simulate(tmp_path / "file", size_deg=0.02, n_pixels=(64, 64))
    (tmp_path / "file").unlink()
    (tmp_path / "mine.fits").write_bytes(b"precious")
    with pytest.raises(InputError, match=r"mine\.fits"):
        simulate(tmp_path, size_deg=0.02, n_pixels=(64, 64))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.fits"]
    with pytest.raises(InputError, match=r"truth\.json"):
        Truth.load(tmp_path)
    (tmp_path / "truth.json").write_text("{}")
    with pytest.raises(InputError, match=r"truth\.json"):
        Truth.load(tmp_path)


# --- the judge ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def perfect(field: Truth) -> tuple[Image, WCS]:
    """The true sky on a TAN grid of 1 arcsec, with the noise of a single raw image."""
    wcs = grid(field, 1.0, 1800)
    sky = paint(field, wcs, (1800, 1800), 2.75)
    return sky + np.random.default_rng(5).standard_normal(sky.shape), wcs


def test_true_sky_passes_with_and_without_noise(field: Truth, perfect: tuple[Image, WCS], tmp_path: Path) -> None:
    image, wcs = perfect
    assert failed(judge(write(tmp_path / "noisy.fits", image, wcs), field)) == set()
    sky = paint(field, wcs, image.shape, 2.75)
    verdict = judge(write(tmp_path / "clean.fits", sky, wcs), field)
    assert verdict.ok
    figures = {check.name: check.measured for check in verdict.checks}
    assert figures["background flatness, rms"] < 0.003  # faint wings of stars are all that is left
    assert abs(figures["photometry, median"]) < 0.02
    assert figures["astrometry, median"] < 0.2


@pytest.mark.parametrize(("scale", "code"), [(0.7, "TAN"), (2.0, "SIN"), (4.0, "CAR")])
def test_pixel_size_and_projection_do_not_matter(field: Truth, tmp_path: Path, scale: float, code: str) -> None:
    side = int(1800 / scale)
    wcs = grid(field, scale, side, code)
    image = paint(field, wcs, (side, side), 2.75)
    image += np.random.default_rng(6).standard_normal(image.shape) / scale
    verdict = judge(write(tmp_path / "mosaic.fits", image, wcs), field)
    assert verdict.ok, str(verdict)


def test_pixels_far_from_the_reference_point_count_by_their_own_area(field: Truth, tmp_path: Path) -> None:
    """On a Mercator map at latitude 40 a pixel of nominally 1 arcsec is cos 40 on a side, which the painter ignores."""
    wcs = grid(field, 1.0, 1800, "MER")
    wcs.wcs.crval = [field.ra, field.dec - 40]
    wcs.wcs.crpix = [900.5, 900.5 - np.degrees(np.log(np.tan(np.radians(65)))) * 3600]
    ra, dec, flux = np.array(field.stars).T
    pole = SkyCoord(field.ra, field.dec + 50, unit="deg")
    sides = np.sin(pole.separation(SkyCoord(ra, dec, unit="deg")).radian)
    stars = tuple(Star(*row) for row in zip(ra, dec, flux / sides**2, strict=True))
    shrink = np.cos(np.radians(40))
    image = paint(replace(field, stars=stars), wcs, (1800, 1800), 2.75 / shrink)
    verdict = judge(write(tmp_path / "mosaic.fits", image, wcs), field)
    assert verdict.ok, str(verdict)
    figures = {check.name: check.measured for check in verdict.checks}
    assert abs(figures["photometry, median"]) < 0.03 and figures["photometry, scatter"] < 0.03


def test_constants_planes_and_blank_pixels_are_no_faults(
    field: Truth, perfect: tuple[Image, WCS], tmp_path: Path
) -> None:
    image, wcs = perfect[0].copy(), perfect[1]
    image += 1234.5 + 0.01 * np.arange(1800)
    image.flat[np.random.default_rng(1).choice(image.size, 300, replace=False)] = np.nan
    verdict = judge(write(tmp_path / "mosaic.fits", image, wcs), field)
    assert verdict.ok, str(verdict)


def test_a_steep_plane_is_no_seam_at_a_rim_that_cuts_blocks(
    field: Truth, perfect: tuple[Image, WCS], tmp_path: Path
) -> None:
    """The last 42 columns are most of a block: their median is that of their own middle, 11 pixels off the block's."""
    image, wcs = perfect[0][:, :1770] + 0.03 * np.arange(1770), perfect[1]
    verdict = judge(write(tmp_path / "mosaic.fits", image, wcs), field)
    assert verdict.ok, str(verdict)


def _seam(image: Image, field: Truth, wcs: WCS) -> None:
    image[:, 930:] += 1.0


def _faint_seam(image: Image, field: Truth, wcs: WCS) -> None:
    image[700:, :500] += 0.4


def _flux(image: Image, field: Truth, wcs: WCS) -> None:
    image += 0.02 * paint(replace(field, clouds=()), wcs, (1800, 1800), 2.75)


def _shift(image: Image, field: Truth, wcs: WCS) -> None:
    wcs.wcs.crpix = wcs.wcs.crpix + np.array([0.2, 0.0])


def _swallow(image: Image, field: Truth, wcs: WCS) -> None:
    nobody = (Star(field.ra, -field.dec, 1.0),)
    image -= 0.2 * paint(replace(field, stars=nobody), wcs, (1800, 1800), 2.75)


def _lose(image: Image, field: Truth, wcs: WCS) -> None:
    image[512:768, 256:512] = np.nan


def _warp(image: Image, field: Truth, wcs: WCS) -> None:
    x = np.linspace(-1, 1, 1800)
    image += 0.8 * x * x[:, None]


def _scatter(image: Image, field: Truth, wcs: WCS) -> None:
    gains = np.random.default_rng(2).normal(0, 0.03, len(field.stars))
    stars = tuple(Star(s.ra, s.dec, s.flux * g) for s, g in zip(field.stars, gains, strict=True))
    image += paint(replace(field, stars=stars, clouds=()), wcs, (1800, 1800), 2.75)


@pytest.mark.parametrize(
    ("fault", "caught", "only"),
    [
        (_seam, "largest seam", False),
        (_faint_seam, "largest seam", False),
        (_flux, "photometry, median", True),
        (_scatter, "photometry, scatter", False),
        (_shift, "astrometry, median", False),
        (_swallow, "emission kept", False),
        (_lose, "covered", True),
        (_warp, "background flatness, rms", True),
    ],
)
def test_each_fault_fails_its_own_check(
    field: Truth,
    perfect: tuple[Image, WCS],
    tmp_path: Path,
    fault: Callable[[Image, Truth, WCS], None],
    caught: str,
    only: bool,
) -> None:
    image, wcs = perfect[0].copy(), perfect[1].deepcopy()
    fault(image, field, wcs)
    verdict = judge(write(tmp_path / "mosaic.fits", image, wcs), field)
    assert caught in failed(verdict), str(verdict)
    assert not only or failed(verdict) == {caught}, str(verdict)
    assert not verdict.ok
    if fault is _shift:
        figures = {check.name: check.measured for check in verdict.checks if check.unit == "mas"}
        assert figures["astrometry, median"] == pytest.approx(200, abs=2)
        assert failed(verdict) == {"astrometry, median", "astrometry, rms"}


def test_verdict_prints_and_serialises(field: Truth, perfect: tuple[Image, WCS], tmp_path: Path) -> None:
    image, wcs = perfect
    verdict = judge(write(tmp_path / "mosaic.fits", image[:640, :640], wcs), field)
    table = json.loads(verdict.to_json())
    assert table["ok"] is verdict.ok and len(table["checks"]) == len(verdict.checks)
    lines = str(verdict).splitlines()
    assert len(lines) == len(verdict.checks) + 2
    assert all(check.name in line for check, line in zip(verdict.checks, lines[1:-1], strict=True))
    assert "mosaic.fits" in lines[-1]
    starless = np.where(image[:640, :640] > 8 + np.median(image), np.nan, image[:640, :640])
    blind = judge(write(tmp_path / "starless.fits", starless, wcs), field)
    assert not blind.ok and None in {row["measured"] for row in json.loads(blind.to_json())["checks"]}


def test_files_that_cannot_be_judged_are_refused(field: Truth, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a FITS file"):
        judge(tmp_path / "absent.fits", field)
    plain = write(tmp_path / "plain.fits", np.zeros((200, 200)), WCS(naxis=2))
    with pytest.raises(InputError, match="celestial"):
        judge(plain, field)
    elsewhere = grid(replace(field, ra=(field.ra + 180) % 360, dec=-field.dec), 1.0, 640)
    with pytest.raises(InputError, match="simulated field"):
        judge(write(tmp_path / "elsewhere.fits", np.zeros((640, 640)), elsewhere), field)
    with pytest.raises(InputError, match="blocks"):
        judge(write(tmp_path / "tiny.fits", np.zeros((128, 128)), grid(field, 1.0, 128)), field)


def test_survey_reprojected_by_another_program_passes(small: tuple[Path, Truth], tmp_path: Path) -> None:
    """The raw files, minus their planes, mosaicked by reproject: the headers, the planes and the judge agree."""
    reproject = pytest.importorskip("reproject")
    folder, truth = small
    wcs = grid(truth, 1.0, 216)
    flux, area = np.zeros((2, 216, 216))
    for image in truth.images:
        with fits.open(folder / image.name) as hdus:
            data, wcs_in = np.array(hdus[0].data, dtype=np.float64), WCS(hdus[0].header)
        y, x = np.indices(data.shape)
        data -= image.level + image.slope_x * (x - 63.5) + image.slope_y * (y - 127.5)
        projected, footprint = reproject.reproject_exact((data, wcs_in), wcs, shape_out=(216, 216), parallel=False)
        flux += np.where(footprint > 0, np.nan_to_num(projected) * footprint, 0)
        area += np.where(np.isfinite(projected), footprint, 0)
    mosaic = np.divide(flux, area, out=np.full_like(flux, np.nan), where=area > 0)
    verdict = judge(write(tmp_path / "mosaic.fits", mosaic, wcs), truth)
    assert verdict.ok, str(verdict)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_no_false_alarm(tmp_path: Path, seed: int) -> None:
    truth = simulate(tmp_path, size_deg=0.4, seed=seed)
    wcs = grid(truth, 1.0, 1440)
    image = paint(truth, wcs, (1440, 1440), 2.75)
    image += np.random.default_rng(seed).standard_normal(image.shape)
    verdict = judge(write(tmp_path / "mosaic.fit", image, wcs), truth)
    assert verdict.ok, str(verdict)
