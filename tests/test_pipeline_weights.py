"""Whole mosaics of drops, weights, masks, borders and variances: what counts, how much, and with which noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units
from astropy.io import fits
from numpy.typing import NDArray
from scipy import stats
from surveys import SHAPE, damage, field_grid, image_header, make_survey, write_image

import dmontage as dm
from dmontage.errors import InputError
from dmontage.grid import Grid
from dmontage.pipeline import Mosaic, Pixels

Floats = NDArray[np.float64]

RNG = np.random.default_rng(11)
VALUES = RNG.normal(50, 10, SHAPE).astype(np.float32)
HEADER = image_header(0.3, 0.7, rotation=31.0)


def write_with(path: Path, data: NDArray[Any] = VALUES, header: fits.Header = HEADER, **maps: NDArray[Any]) -> Path:
    """An image with maps of its own shape as extensions, named by the keywords."""
    hdus: list[Any] = [fits.PrimaryHDU(data, header)]
    hdus += [fits.ImageHDU(layer, name=name) for name, layer in maps.items()]
    path.parent.mkdir(exist_ok=True)
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def pixels(path: Path, grid: Grid | None = None, **options: Any) -> Pixels:
    made = dm.mosaic(path, grid or field_grid(200, 1.7), background="none", **options)
    found = made.compute()
    made.close()
    return found


def same(one: Pixels, other: Pixels) -> bool:
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one[:2], other[:2], strict=True))


# --- drops --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["plane", "sky"])
@pytest.mark.parametrize(("pixfrac", "kernel"), [(0.7, "square"), (0.5, "point"), (0.8, "gaussian"), (1.0, "square")])
def test_drops_close_and_keep_constants(tmp_path: Path, method: str, pixfrac: float, kernel: str) -> None:
    """C3, C6 through the store: Σ area = d² Σ Ω, and a constant stays that in every pixel that anything reaches."""
    header = image_header(0.3, 0.7, rotation=31.0, shape=(40, 50))
    path = write_image(tmp_path / "a.fits", np.full((40, 50), 7.3, np.float32), header)
    grid = field_grid(100, 1.7)
    made = pixels(path, grid, pixfrac=pixfrac, kernel=kernel, method=method)
    covered = made.area > 0
    np.testing.assert_array_equal(np.isfinite(made.data), covered)
    np.testing.assert_allclose(made.data[covered], 7.3, rtol=3e-7)
    omega_in = dm.scan(path)[0].grid.solid_angle(dm.scan(path)[0].grid.window)
    total = (made.area * grid.solid_angle(grid.window)).sum()
    assert total == pytest.approx(pixfrac**2 * omega_in.sum(), rel=1e-6)


def test_whole_drops_are_the_plain_projection(tmp_path: Path) -> None:
    """C6: d = 1."""
    path = write_image(tmp_path / "a.fits", VALUES, HEADER)
    assert same(pixels(path), pixels(path, pixfrac=1.0, kernel="square"))


@pytest.mark.parametrize(("pixfrac", "scale"), [(0.7, 0.8), (0.7, 2.0), (0.7, 4.5), (0.4, 2.0), (0.4, 4.5)])
def test_a_median_of_drops_is_not_empty(tmp_path: Path, pixfrac: float, scale: float) -> None:
    """C7, C22: what a drop can cover is what half is taken of; dithered images fill the field."""
    rng = np.random.default_rng(1)
    for k in range(9):
        header = image_header(*rng.uniform(-2, 2, 2), rotation=5 * k)
        write_image(tmp_path / f"a{k}.fits", np.full(SHAPE, 3.5, np.float32), header)
    grid = field_grid(int(100 * 2 / scale), scale)
    mean, median = (pixels(tmp_path, grid, pixfrac=pixfrac, combine=combine) for combine in ("mean", "median"))
    middle = grid.window.pad(-int(40 / scale)).slices
    assert np.isfinite(mean.data[middle]).all()
    # Where drops are smaller than cells, nine positions leave each cell more than half of its drops at least once.
    assert np.isfinite(median.data[middle]).mean() > 0.98
    np.testing.assert_allclose(median.data[np.isfinite(median.data)], 3.5, rtol=3e-7)
    assert (median.area <= mean.area).all()


@pytest.mark.parametrize("pixfrac", [1.0, 0.6])
def test_backgrounds_of_drops_are_matched(tmp_path: Path, pixfrac: float) -> None:
    """The overlap fit's threshold is a part of what drops can cover, and weights change no difference."""
    survey = make_survey(tmp_path / "raw", 5, noise=0.1)
    for path in survey.paths:
        write_image(path.with_suffix(".w.fits"), np.random.default_rng(0).uniform(0.5, 2, SHAPE))
    made = dm.mosaic(survey.folder, survey.grid, pixfrac=pixfrac, weight_map=".w.fits")
    made.compute()
    assert sum(fit.n_pixels > 500 for fit in made.fits) >= 7  # the sides; corners share less
    assert made.summary.rms_after < 0.03 and made.summary.rms_before > 5
    assert made.summary.unpaired == ()


# --- weights ------------------------------------------------------------------------------------------------------


def test_weights_that_are_all_equal_change_nothing(tmp_path: Path) -> None:
    """C7: not even the way that is taken; a power of two not even a bit."""
    plain = pixels(write_image(tmp_path / "plain.fits", VALUES, HEADER))
    for k, weight in enumerate((1.0, 0.25, 2.0**60)):
        path = write_with(tmp_path / f"a{k}.fits", WHT=np.full(SHAPE, weight, np.float32))
        assert same(pixels(path, weight_map="WHT"), plain)


@pytest.mark.parametrize("method", ["plane", "sky"])
@pytest.mark.parametrize("bad", [0.0, np.nan, -1.0, 0.2, np.inf])
def test_a_weight_of_nothing_is_a_blank(tmp_path: Path, bad: float, method: str) -> None:
    """C7: 0, below the threshold, negative or NaN takes the pixel's own overlap away and leaves neighbours alone."""
    weights = np.ones(SHAPE, np.float32)
    weights[30:34, 40:47] = weights[0] = bad
    path = write_with(tmp_path / "a.fits", WHT=weights)
    blank = VALUES.copy()
    blank[30:34, 40:47] = blank[0] = np.nan
    wanted = pixels(write_image(tmp_path / "blank.fits", blank, HEADER), method=method)
    assert same(pixels(path, weight_map="WHT", min_weight=0.3, method=method), wanted)


@pytest.mark.parametrize("weights", ["area", "none"])
def test_weights_multiply_in_the_mean_only(tmp_path: Path, weights: str) -> None:
    """C7: against the images one by one, whose flux is linear in w·v and weight in w."""
    grid = field_grid(150, 2.3)
    layers: list[Pixels] = []
    for k in range(3):
        rng = np.random.default_rng(k)
        header = image_header(8 * k, -5 * k, rotation=10 * k)
        v, w = rng.normal(20, 5, SHAPE), rng.uniform(0.2, 3, SHAPE)
        write_with(tmp_path / f"a{k}.fits", v, header, WHT=w)
        for name, values in (("wv", w * v), ("w", w)):
            layers.append(pixels(write_image(tmp_path / f"{name}.dat.fits", values, header), grid))
            (tmp_path / f"{name}.dat.fits").unlink()
    made = pixels(tmp_path, grid, weight_map="WHT", weights=weights)
    area = [layer.area.astype(float) for layer in layers[::2]]
    means = [np.nan_to_num(layer.data.astype(float)) for layer in layers]
    share = [[mean * a for mean, a in zip(means[first::2], area, strict=True)] for first in (0, 1)]
    wv, w = np.array(share)
    np.testing.assert_allclose(made.area, sum(area), atol=1e-5)
    with np.errstate(invalid="ignore", divide="ignore"):
        if weights == "area":
            wanted = wv.sum(axis=0) / w.sum(axis=0)
        else:
            wanted = np.nansum(wv / w, axis=0) / (w > 0).sum(axis=0)
    well = np.min([np.where(a == 0, 1, a) for a in area], axis=0) > 1e-3  # slivers of float32 sums are not compared
    np.testing.assert_allclose(made.data[well], wanted[well], rtol=1e-4)
    assert well.sum() > 5000


def test_weights_of_images(tmp_path: Path) -> None:
    """Σ W v / Σ W where both images lie on the grid, by keyword or by name, in means and medians; rows are kept."""
    grid = Grid.from_header(image_header(), shape=SHAPE)
    values = RNG.normal(0, 10, (3, *SHAPE)).astype(np.float32)
    times = [30.0, 90.0, 0.0]
    for k, time in enumerate(times):
        write_image(tmp_path / f"a{k}.fits", values[k], image_header(), EXPTIME=time)
    by_name = {"a0.fits": 30.0, "a1.fits": 90.0, "a2.fits": 1.0}
    store = tmp_path / "run.zarr"
    options: dict[str, Any] = {"store": store, "background": "none"}
    one = dm.mosaic(tmp_path, grid, image_weight="EXPTIME", background="none").compute()
    np.testing.assert_allclose(one.data, (values[0] * 30.0 + values[1] * 90.0) / 120, rtol=1e-5, atol=1e-6)
    assert (one.area == 2).all()
    all_three = dm.mosaic(tmp_path, grid, image_weight=by_name, **options)
    np.testing.assert_allclose(
        all_three.compute().data, np.average(values, axis=0, weights=[30, 90, 1]), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(all_three.data.compute(), all_three.compute().data)
    equal = dm.mosaic(tmp_path, grid, **options)
    np.testing.assert_allclose(equal.compute().data, values.mean(axis=0), rtol=1e-5, atol=1e-5)
    assert equal.summary.reused == 3
    heavy = dm.mosaic(tmp_path, grid, combine="median", weights="area", image_weight=by_name, **options).compute()
    np.testing.assert_array_equal(heavy.data, values[1])
    assert "images weigh 1 to 90" in str(all_three.plan)
    with pytest.raises(InputError, match="no meaning with weights 'none', the default of a median"):
        dm.plan(tmp_path, grid, combine="median", image_weight=by_name)


# --- borders, polygons, masks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["plane", "sky"])
def test_what_is_left_out_is_blank(tmp_path: Path, method: str) -> None:
    """C9: a border on all four sides, polygons and flagged pixels are what NaN is, bit for bit."""
    flags = np.zeros(SHAPE, np.int16)
    flags[20:23, 30:40], flags[50:52, 60:70] = 4, 5
    path = write_with(tmp_path / "a.fits", DQ=flags)
    blank = VALUES.copy()
    blank[:3] = blank[-3:] = blank[:, :3] = blank[:, -3:] = np.nan
    blank[50:52, 60:70] = np.nan
    blank[10:16, 70:81] = np.nan
    wanted = pixels(write_image(tmp_path / "blank.fits", blank, HEADER), method=method)
    box = [(69.5, 9.5), (80.5, 9.5), (80.5, 15.5), (69.5, 15.5)]
    assert same(pixels(path, mask="DQ", good_bits=4, border=3, polygons=[box], method=method), wanted)
    blank[20:23, 30:40] = np.nan
    wanted = pixels(write_image(tmp_path / "blank.fits", blank, HEADER), method=method)
    assert same(pixels(path, mask="DQ", border=(3, 3, 3, 3), polygons=[box], method=method), wanted)


def test_a_border_takes_its_pixels_from_each_side(tmp_path: Path) -> None:
    """C9: b pixels on the left, right, bottom and top, on the image's own grid."""
    path = write_image(tmp_path / "a.fits", VALUES)
    made = pixels(path, dm.scan(path)[0].grid, border=(1, 2, 3, 4))
    inside = np.zeros(SHAPE, bool)
    inside[3:-4, 1:-2] = True
    np.testing.assert_array_equal(made.data, np.where(inside, VALUES, np.nan))
    np.testing.assert_array_equal(made.area, inside)


@pytest.mark.parametrize("bit", [0, 52, 62])
def test_no_bit_of_a_mask_is_lost(tmp_path: Path, bit: int) -> None:
    """In a float64 2^60 + 1 is 2^60, and its bad bit gone."""
    mask = np.zeros(SHAPE, np.int64)
    mask[10:20] = 2**60 + (1 << bit)
    path = write_with(tmp_path / "a.fits", VALUES, image_header(), DQ=mask)
    made = pixels(path, dm.scan(path)[0].grid, mask="DQ", good_bits=2**60)
    np.testing.assert_array_equal(np.isnan(made.data), mask > 0)


def test_images_that_contribute_nothing_are_named(tmp_path: Path) -> None:
    """C27: blank, masked, of no weight; not counted as used, by a second run from the store neither."""
    for k, (value, weight) in enumerate(((np.nan, 1), (1, 0), (1, 1), (1, 1))):
        write_with(
            tmp_path / "raw" / f"a{k}.fits", np.full(SHAPE, value), image_header(9 * k), WHT=np.full(SHAPE, weight)
        )
    for reused in (0, 4):
        made = dm.mosaic(tmp_path / "raw", field_grid(150), tmp_path / "run.zarr", weight_map="WHT")
        made.compute()
        summary = made.summary
        assert (summary.images, summary.empty, summary.reused) == (2, ("a0.fits", "a1.fits"), reused)
        assert summary.unpaired == () and "contribute nothing" in str(summary) and "a0.fits, a1.fits" in str(summary)
    made.write(tmp_path / "m.fits")
    assert fits.getheader(tmp_path / "m.fits")["NIMAGES"] == 2


# --- drops and backgrounds ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def matched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Floats]:
    """Six images of levels up to 20 apart, and these levels by whole pixels."""
    survey = make_survey(tmp_path_factory.mktemp("matched"), 5, noise=0.1)
    made = dm.mosaic(survey.folder, survey.grid)
    made.compute()
    assert made.solution is not None
    return survey.folder, made.solution.level


@pytest.mark.parametrize(
    ("pixfrac", "scale", "kernel"),
    [(0.6, 1.0, "square"), (0.5, 1.0, "square"), (0.8, 1.2, "square"), (0.5, 3.0, "square"), (0.6, 1.0, "gaussian"),
     (0.5, 1.5, "point"), (0.7, 2.0, "point")],
)  # fmt: skip
def test_backgrounds_match_with_drops_that_leave_gaps(
    matched: tuple[Path, Floats], pixfrac: float, scale: float, kernel: str
) -> None:
    """As with whole pixels, but for the tilt that overlaps hardly tell; both images reach pixels of every overlap."""
    folder, levels = matched
    made = dm.mosaic(folder, field_grid(int(640 / scale), scale), pixfrac=pixfrac, kernel=kernel)
    made.compute()
    assert min(fit.n_pixels for fit in made.fits) > 20 and made.summary.unpaired == ()
    assert made.solution is not None
    q, _ = np.linalg.qr(np.column_stack([np.ones(6), made.solution.centres]))
    off = made.solution.level - levels
    np.testing.assert_allclose(off - q @ (q.T @ off), 0, atol=0.05)
    made.close()


def test_gaps_that_two_images_do_not_share_are_told_of(tmp_path: Path) -> None:
    """Half the pixel: between points there is one pixel of the grid without any."""
    survey = make_survey(tmp_path)
    assert not dm.plan(survey.folder, field_grid(640, 1.0), pixfrac=0.6).warnings
    assert not dm.plan(survey.folder, field_grid(640, 1.0), pixfrac=0.3, background="none").warnings
    for options in ({"kernel": "point"}, {"pixfrac": 0.3}):
        assert "drops leave gaps of" in str(dm.plan(survey.folder, field_grid(640, 1.0), **options))


# --- variance -----------------------------------------------------------------------------------------------------


DRAWS = 12


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Floats, Pixels, Mosaic]:
    """Errors (draw, y, x) of means of three weighted images whose noise changes across them, and one such mosaic."""
    folder = tmp_path_factory.mktemp("drawn")
    grid, shape, rng = field_grid(112, 2.6), (120, 128), np.random.default_rng(42)
    variance = [rng.uniform(0.5, 4, shape) for _ in range(3)]
    headers = [image_header(3.3 * k, 1.7 * k, rotation=15 * k, shape=shape) for k in range(3)]
    errors = []
    for _ in range(DRAWS):
        for k in range(3):
            values = rng.normal(100, np.sqrt(variance[k]))
            write_with(folder / f"a{k}.fits", values, headers[k], WHT=1 / variance[k], VAR=variance[k])
        made = dm.mosaic(folder, grid, background="none", pixfrac=0.8, weight_map="WHT", variance="VAR")
        found = made.compute()
        errors.append(found.data.astype(float) - 100)
        made.close()
    return np.array(errors), found, made


def test_variance_agrees_with_draws(drawn: tuple[Floats, Pixels, Mosaic]) -> None:
    """C25: over the draws Σ (error/σ)² of a pixel is drawn from χ², and its mean is 1 where σ² is small and large."""
    errors, found, _ = drawn
    assert found.variance is not None
    np.testing.assert_array_equal(np.isfinite(found.variance), np.isfinite(found.data))
    squares = (errors**2).sum(axis=0) / found.variance
    inside = np.isfinite(squares) & (found.area > 0.1)
    for low, high in ((0, 25), (25, 50), (50, 75), (75, 100)):
        limits = np.percentile(found.variance[inside], [low, high])
        part = inside & (found.variance >= limits[0]) & (found.variance <= limits[1])
        # Neighbours are correlated: they count for as many as there are drops in them, a third or more.
        assert abs(squares[part].mean() / DRAWS - 1) < 4 * np.sqrt(2 / DRAWS / (part.sum() / 3))
    apart = squares[::4, ::4][inside[::4, ::4]]
    assert apart.size > 500
    assert stats.kstest(apart, stats.chi2(DRAWS).cdf).pvalue > 1e-3


def test_the_noise_of_wide_means_is_as_stated(drawn: tuple[Floats, Pixels, Mosaic]) -> None:
    """C25: the correlation that projection makes, from the means of blocks of 16 × 16 pixels that all images cover."""
    errors, found, made = drawn
    assert found.variance is not None
    side, n = 16, 5
    inner = slice(16, 16 + side * n)
    weight = 1 / found.variance[inner, inner].astype(float)  # near enough to the sum of the weights
    cut = (n, side, n, side)
    blocks = (errors[:, inner, inner] * weight).reshape(DRAWS, *cut).sum(axis=(2, 4))
    single = weight.reshape(cut).sum(axis=(1, 3))
    measured = np.sqrt(np.mean(blocks**2 / single))
    stated = made.plan.noise_correlation
    assert made.summary.noise_correlation == stated and f"{stated:.3g} times" in str(made.summary)
    # 25 blocks of 12 draws: 4.1 % (1σ). A block lacks at its rim what its neighbours share: a few per cent.
    assert stated * 0.85 < measured < stated * 1.10
    assert stated > 1.2


def test_variance_in_all_ways_and_products(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C24: lazy, cut out, in small chunks and written, the same bits; the file tells its unit and correlation."""
    for k in range(3):
        rng = np.random.default_rng(k)
        header = image_header(10 * k, -7 * k, rotation=5 * k)
        write_with(tmp_path / f"a{k}.fits", VALUES, header, VAR=rng.uniform(1, 2, SHAPE), WHT=rng.uniform(1, 2, SHAPE))
    options: dict[str, Any] = {"variance": "VAR", "weight_map": "WHT", "background": "level"}
    grid = field_grid(150)
    whole = dm.mosaic(tmp_path, grid, **options).compute()
    assert whole.variance is not None
    monkeypatch.setattr("dmontage.planner.memory.CHUNKS", (64,))
    made = dm.mosaic(tmp_path, grid, tmp_path / "run.zarr", **options)
    np.testing.assert_array_equal(made.variance.compute(), whole.variance)
    np.testing.assert_array_equal(made.data.compute(), whole.data)
    part = made.cutout("83.8 -5.4", "1 arcmin")
    np.testing.assert_array_equal(part.compute().variance, whole.variance[part.window.slices])
    out = tmp_path / "out"
    out.mkdir()
    made.write(out / "m.fits")
    assert sorted(p.name for p in out.iterdir()) == ["m.fits", "m_area.fits", "m_variance.fits"]
    np.testing.assert_array_equal(fits.getdata(out / "m_variance.fits"), whole.variance)
    header = fits.getheader(out / "m_variance.fits")
    assert units.Unit(header["BUNIT"], format="fits") == units.Unit("MJy2/sr2")
    assert header["NOISECOR"] == pytest.approx(made.plan.noise_correlation, rel=1e-3)
    assert (header["PIXFRAC"], header["DROPKERN"]) == (1.0, "square")
    assert made.summary.bytes_out == 3 * 4 * 150**2
    with pytest.raises(InputError, match="has no variance"):
        dm.mosaic(tmp_path, grid).variance  # noqa: B018


def test_variance_of_counts(tmp_path: Path) -> None:
    """C5: four pixels of ones to each output pixel are 4 counts, and their variances add to 4 times that of one."""
    header = image_header(shape=(40, 40))
    path = write_with(tmp_path / "a.fits", np.ones((40, 40)), header, VAR=np.full((40, 40), 0.3))
    grid = field_grid(20, 2 * 2.0)
    made = pixels(path, grid, unit="flux_per_pixel", variance="VAR")
    assert made.variance is not None
    np.testing.assert_allclose(made.data, 4, rtol=1e-5)
    np.testing.assert_allclose(made.variance, 4 * 0.3, rtol=1e-5)
    assert np.nansum(made.data.astype(float) * made.area) == pytest.approx(1600, rel=1e-6)
    bright = pixels(path, grid, variance="VAR")
    assert bright.variance is not None
    np.testing.assert_allclose(bright.variance, 0.3 / 4, rtol=1e-5)


@pytest.mark.parametrize("weights", ["area", "none"])
def test_variance_of_a_stack_on_the_grid(tmp_path: Path, weights: str) -> None:
    """C4, C25: exact where every output pixel is an input pixel: Σ (W w)² σ² / (Σ W w)², or Σ σ² / n²."""
    rng = np.random.default_rng(3)
    w, s2 = rng.uniform(0.5, 2, (2, 4, *SHAPE))
    factors = [1.0, 2.0, 5.0, 0.5] if weights == "area" else [1.0] * 4
    for k in range(4):
        write_with(tmp_path / f"a{k}.fits", VALUES, image_header(), WHT=w[k], VAR=s2[k])
    made = pixels(
        tmp_path, Grid.from_header(image_header(), shape=SHAPE), weights=weights, weight_map="WHT", variance="VAR",
        image_weight={f"a{k}.fits": factor for k, factor in enumerate(factors)},
    )  # fmt: skip
    share = w * np.array(factors)[:, None, None] if weights == "area" else np.ones_like(w)
    assert made.variance is not None
    np.testing.assert_allclose(made.variance, (share**2 * s2).sum(axis=0) / share.sum(axis=0) ** 2, rtol=1e-5)


def test_variances_that_float32_cannot_hold_are_told_of(tmp_path: Path) -> None:
    """Images in units of 1e-21 W have variances that would be stored as 0, which would claim perfection."""
    path = write_with(tmp_path / "a.fits", 1e-21 * VALUES.astype(float), VAR=np.full(SHAPE, 1e-43))
    with pytest.raises(InputError, match=r"a\.fits: variances of .* to 1e-43 .* choose another unit"):
        pixels(path, variance="VAR")


@pytest.mark.parametrize("exponent", [-480, -150, -128, 100, 140, 480])
def test_weights_of_any_size_give_the_same_bits(tmp_path: Path, exponent: int) -> None:
    """Beyond float32 too: 1e-46 to 1e40, alone and beside an image of other weights; and of one weight for all."""
    w = RNG.uniform(0.5, 2, (3, *SHAPE))
    w[2] = 0.7
    for name, scale in (("plain", 1.0), ("far", 2.0**exponent)):
        for k, header in enumerate((HEADER, image_header(5, 3), image_header(-4, 2))):
            write_with(tmp_path / name / f"a{k}.fits", 1e6 * VALUES * (k + 1), header, WHT=scale * w[k], VAR=w[k])
    plain, far = (
        pixels(tmp_path / name, weight_map="WHT", variance="VAR", combine="mean") for name in ("plain", "far")
    )
    assert same(plain, far) and plain.variance is not None and far.variance is not None
    np.testing.assert_array_equal(plain.variance, far.variance)
    medians = [pixels(tmp_path / n, weight_map="WHT", combine="median", weights="area") for n in ("plain", "far")]
    assert same(*medians)


@pytest.mark.parametrize("factor", [1e-30, 1e-160])
def test_weights_that_no_float_holds_together_are_refused(tmp_path: Path, factor: float) -> None:
    w = np.ones(SHAPE)
    w[3, 4] = factor
    path = write_with(tmp_path / "a.fits", WHT=w)
    with pytest.raises(InputError, match=r"a\.fits: weights of 1e-\d+ to 1 are too far .* set min_weight"):
        pixels(path, weight_map="WHT")
    made = pixels(path, weight_map="WHT", min_weight=1e-20)
    assert np.isfinite(made.data).any()


@pytest.mark.parametrize("combine", ["median", "count"])
def test_variance_is_that_of_a_mean(tmp_path: Path, combine: str) -> None:
    path = write_with(tmp_path / "a.fits", VAR=np.ones(SHAPE))
    with pytest.raises(InputError, match=f"through a mean, not through a {combine}"):
        dm.plan(path, variance="VAR", combine=combine)


# --- plans and stores ---------------------------------------------------------------------------------------------


def test_a_plan_says_what_is_in_force(tmp_path: Path) -> None:
    path = write_with(tmp_path / "a.fits", WHT=np.ones(SHAPE), DQ=np.zeros(SHAPE, np.int16), VAR=np.ones(SHAPE))
    assert "\npixels " not in str(dm.plan(path))
    options: dict[str, Any] = {"pixfrac": 0.8, "border": 5, "weight_map": "WHT", "mask": "DQ", "good_bits": 6}
    plan = dm.plan(path, **options, min_weight=0.1, variance="VAR", polygons=[[(1, 1), (2, 2), (3, 1)]])
    line = next(line for line in str(plan).splitlines() if line.startswith("pixels "))
    for text in ("square drops of 0.8 pixels", "weights a.fits[1], mask a.fits[2], variance a.fits[3]", "good bits 6",
                 "weights from 0.1", "border 5, 1 polygons"):  # fmt: skip
        assert text in line
    plain = dm.plan(path)
    assert plan.bytes_store - plan.bytes_out == 2 * (plain.bytes_store - plain.bytes_out)
    assert plan.memory.task > plain.memory.task
    assert plan.bytes_out == plain.bytes_out * 3 // 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pixfrac": 0}, "pixfrac 0.0 must lie above 0"),
        ({"kernel": "lanczos"}, "'lanczos' is not one of square, point, gaussian"),
        ({"border": -3}, "border -3 is negative"),
        ({"min_weight": 0.5}, "min_weight 0.5 needs weights of pixels"),
        ({"good_bits": 4}, "good_bits 4 needs bits"),
        ({"weight_map": "WHT"}, "a.fits: has no weight map: no HDU named WHT"),
        ({"pixfrac": "a"}, "pixfrac 'a' is no number"),
        ({"tol": float("nan")}, "tol nan must be a number above 0"),
        ({"tol": 0}, "tol 0 must be a number above 0"),
        ({"tol": -1.0}, "tol -1.0 must be a number above 0"),
        ({"max_bytes": float("inf")}, "max_bytes inf must be a number above 0, and finite"),
        ({"image_weight": 3.0}, "image_weight 3.0 is neither a header keyword"),
        ({"weight_map": 5}, "weight_map 5 is no name"),
        ({"min_weight": "x"}, "min_weight 'x' must be 0 or more"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    write_image(tmp_path / "a.fits", VALUES)
    with pytest.raises(InputError, match=message):
        dm.plan(tmp_path, **options)


def test_a_store_is_that_of_its_options(tmp_path: Path) -> None:
    """Refused with others that all images share; the same again reuses the rows, other maps or changed ones do not."""
    path = write_with(tmp_path / "a.fits", WHT=RNG.uniform(1, 2, SHAPE), DQ=np.zeros(SHAPE, np.int16))
    write_image(tmp_path / "a.w.fits", RNG.uniform(1, 2, SHAPE))
    base: dict[str, Any] = {"pixfrac": 0.9, "weight_map": ".w.fits", "mask": "DQ", "border": 1}
    store = tmp_path / "run.zarr"

    def run(**options: Any) -> int:
        made = dm.mosaic(path, field_grid(120), store, "none", **options)
        made.compute()
        return made.summary.reused

    assert [run(**base), run(**base)] == [0, 1]
    others: list[dict[str, Any]] = [
        {"pixfrac": 0.8}, {"kernel": "gaussian"}, {"border": 2}, {"good_bits": 1}, {"min_weight": 0.01},
        {"polygons": [[(1, 1), (5, 1), (5, 5)]]}, {"tol": 1e-6}, {"weight_map": None},
    ]  # fmt: skip
    for other in others:
        with pytest.raises(InputError, match="holds another run"):
            run(**base | other)
    assert [run(**base | {"weight_map": "WHT"}), run(**base | {"mask": None}), run(**base)] == [0, 0, 1]
    write_image(tmp_path / "a.w.fits", np.ones(SHAPE, np.float32))
    assert [run(**base), run(**base)] == [0, 1]


def test_a_damaged_map_leaves_its_image_out(tmp_path: Path) -> None:
    """C27: told when its pixels are read."""
    for k in range(2):
        write_image(tmp_path / f"a{k}.fits", VALUES, image_header(10 * k))
        write_image(tmp_path / f"a{k}.w.fits", np.ones(SHAPE))
    damage(tmp_path / "a1.w.fits")
    (tmp_path / "a0.w.fits").rename(tmp_path / "a0.w.fits.fz")
    made = dm.mosaic(tmp_path, background="none", weight_map=".w.fits.fz")
    made.compute()
    assert made.summary.images == 1
    assert "a1.w.fits.fz: HDU 1 cannot be read" in made.summary.skipped[-1].reason
    with pytest.raises(InputError, match=r"a1\.w\.fits"):
        Mosaic(made.plan, strict=True).compute()


def test_a_map_that_changes_stops_the_run(tmp_path: Path) -> None:
    """Without its image the mosaic would be another than was planned."""
    for k in range(2):
        write_image(tmp_path / f"a{k}.fits", VALUES, image_header(10 * k))
        write_image(tmp_path / f"a{k}.w.fits", np.ones(SHAPE))
    made = dm.mosaic(tmp_path, background="none", weight_map=".w.fits")
    data = (tmp_path / "a1.w.fits").read_bytes()
    (tmp_path / "a1.w.fits").write_bytes(data + b"\0" * 2880)
    with pytest.raises(InputError, match=r"a1\.w\.fits: has changed since the scan"):
        made.compute()


def test_cubes_and_grids_with_tables_are_told_where_to_go(tmp_path: Path) -> None:
    """C27: a cube is skipped by name; a grid that no header holds is refused."""
    write_image(tmp_path / "a.fits", VALUES)
    write_image(tmp_path / "cube.fits", np.ones((3, *SHAPE), np.float32))
    plan = dm.plan(tmp_path)
    assert "  a.fits  100x80\n  cube.fits  100x80x3" in str(dm.scan(tmp_path))
    assert [(s.name, s.reason) for s in plan.skipped] == [
        (
            "cube.fits",
            "a cube of shape (3, 80, 100): project it with dmontage.project, or write the plane you want to a file",
        )
    ]
    assert plan.grid.shape == SHAPE
    write_image(tmp_path / "cube.fits", np.ones((3, *SHAPE), np.float32), image_header(5000, 0, scale=0.1))
    assert dm.plan(tmp_path).grid == plan.grid  # what is skipped does not shape it
    with pytest.raises(InputError, match="no mosaic's file can carry it"):
        dm.plan(tmp_path, replace(field_grid(), tables=b"something"))
