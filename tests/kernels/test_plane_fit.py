"""The pair fit against numpy, scipy-free statistics of many draws, and exact planes."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dmontage.kernels.plane_fit import ClippedPlane, Sums, difference, fit_plane
from dmontage.noise import correlation_factor

Floats = NDArray[np.float64]
TRUTH = np.array([12.5, 0.7, -1.3])


def coordinates(shape: tuple[int, int], y_first: int = 0, x_first: int = 0) -> tuple[Floats, Floats, float, float]:
    y, x = np.mgrid[y_first : y_first + shape[0], x_first : x_first + shape[1]].astype(float)
    return y, x, float(y.mean()), float(x.mean())


def draw(
    rng: np.random.Generator, shape: tuple[int, int], plane: Floats = TRUTH, sources: float = 0.05, both: bool = False
) -> tuple[Floats, float, float]:
    """Plane plus unit noise; a share of the pixels has a source of 5 to 1000 σ on top."""
    y, x, y0, x0 = coordinates(shape)
    d = plane[0] + plane[1] * (x - x0) + plane[2] * (y - y0) + rng.normal(size=shape)
    hit = rng.random(shape) < sources
    height = 10 ** rng.uniform(math.log10(5), 3, shape)
    d[hit] += (height * (rng.choice((-1, 1), shape) if both else 1))[hit]
    return d, x0, y0


def offsets(fit: ClippedPlane, plane: Floats = TRUTH) -> Floats:
    return np.array(fit[:3]) - plane


# --- difference -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [150.0, 0.1, -3.3e-20, 1.2345678e8, 0.0])
def test_identical_constants_differ_by_exactly_zero(value: float, dtype: Any) -> None:
    """C15: whatever their areas, and however the store has rounded them."""
    rng = np.random.default_rng(1)
    areas = rng.uniform(0.2, 1, (2, 300, 300))
    stored = [((value * a).astype(dtype), a.astype(dtype)) for a in areas]
    d = difference(*(Sums(flux, area, area, 0.5) for flux, area in stored))
    kept = (stored[0][1] >= 0.5) & (stored[1][1] >= 0.5)
    assert d.dtype == dtype
    assert np.all(d[kept] == 0)
    assert np.all(np.isnan(d[~kept]))
    assert 0.3 < kept.mean() < 0.5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_difference_is_that_of_the_means(dtype: Any) -> None:
    rng = np.random.default_rng(2)
    area_a, area_b = rng.uniform(0.5, 1, (2, 50, 60))
    flux_a, flux_b = rng.normal(100, 1, (2, 50, 60)) * (area_a, area_b)
    flux_a[3, 4], flux_b[5, 6], area_a[7, 8], area_b[9, 1] = np.nan, np.inf, np.nan, 0
    stored = [(f.astype(dtype), a.astype(dtype)) for f, a in ((flux_a, area_a), (flux_b, area_b))]
    d = difference(*(Sums(flux, area, area, 0.0) for flux, area in stored))
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = flux_a / area_a - flux_b / area_b
    expected[~np.isfinite(expected)] = np.nan
    np.testing.assert_allclose(d, expected, rtol=0, atol=400 * np.finfo(dtype).eps)
    assert np.isnan(d).sum() == 4


def test_small_differences_survive_the_zero() -> None:
    area = np.ones((4, 4), dtype=np.float32)
    flux = np.full((4, 4), 1000, dtype=np.float32)
    d = difference(Sums(flux + np.float32(1e-3), area, area, 0.5), Sums(flux, area, area, 0.5))
    np.testing.assert_allclose(d, 1e-3, rtol=0.03)


def test_the_area_decides_and_the_weight_divides() -> None:
    """C7: each image by its own threshold; weights of any size, also where they are 0."""
    area = np.array([[0.49, 0.5, 0.9, 1, 1]], np.float32)
    weight = area * np.array([[5, 5, 2, 1e-20, 0]], np.float32)
    one = Sums(7 * weight, weight, area, 0.5)
    np.testing.assert_array_equal(difference(one, Sums(3 * area, area, area, 0.3)), [[np.nan, 4, 4, 4, np.nan]])
    np.testing.assert_array_equal(difference(one, Sums(3 * area, area, area, 1)), [[np.nan] * 3 + [4, np.nan]])


# --- recovery ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("slope", [0.0, 1.0, 40.0])
def test_plane_under_sources_within_three_standard_errors(slope: float, both: bool, dtype: Any) -> None:
    truth = TRUTH * (1, slope, slope)
    d, x0, y0 = draw(np.random.default_rng(3), (400, 300), truth, both=both)
    fit = fit_plane(d.astype(dtype), 0, 0, x0, y0)
    errors = np.sqrt(np.diag(np.linalg.inv(fit.information)))
    np.testing.assert_allclose(errors[0], 1 / math.sqrt(0.95 * d.size), rtol=0.03)
    assert np.all(np.abs(offsets(fit, truth)) < 3 * errors)
    assert abs(fit.rms - 1) < 0.015
    assert fit.n_pixels == d.size
    assert abs(fit.n_kept / d.size - 0.95 * 0.9973) < 0.004


@pytest.mark.parametrize("sources", [0.0, 0.05])
def test_standard_errors_are_right(sources: float) -> None:
    rng, n = np.random.default_rng(4), 500
    chi2, rms = np.empty(n), np.empty(n)
    for i in range(n):
        d, x0, y0 = draw(rng, (60, 80), TRUTH, sources)
        fit = fit_plane(d, 0, 0, x0, y0)
        e = offsets(fit)
        chi2[i], rms[i] = e @ fit.information @ e, fit.rms
    assert abs(chi2.mean() / 3 - 1) < 3 * math.sqrt(2 / (3 * n))
    assert abs(rms.mean() - 1) < 3 * 1.05 / math.sqrt(2 * 4800 * n) + (0.002 if sources else 0)  # 5 σ ± 1 leaks in


def test_sources_do_not_bias_a_large_overlap() -> None:
    rng = np.random.default_rng(5)
    z = []
    for _ in range(16):
        d, x0, y0 = draw(rng, (700, 700))
        fit = fit_plane(d, 0, 0, x0, y0)
        z.append(offsets(fit)[0] * math.sqrt(fit.information[0, 0]))
    assert abs(np.mean(z)) < 3 / math.sqrt(16)  # a clip about the median would be off by 1.3


def test_the_plane_is_least_squares_of_its_own_kept_pixels() -> None:
    d, x0, y0 = draw(np.random.default_rng(6), (80, 70))
    y, x, *_ = coordinates((80, 70))
    fit = fit_plane(d, 0, 0, x0, y0)
    design = np.stack((np.ones(d.size), (x - x0).ravel(), (y - y0).ravel()), axis=1)
    residual = np.abs(d.ravel() - design @ np.array(fit[:3]))
    kept = np.argsort(residual)[: fit.n_kept]
    expected = np.linalg.lstsq(design[kept], d.ravel()[kept], rcond=None)[0]
    np.testing.assert_allclose(fit[:3], expected, rtol=1e-12)
    moments = design[kept].T @ design[kept]
    np.testing.assert_allclose(fit.information / fit.information[0, 0], moments / moments[0, 0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("plane", [(0.0, 0.0, 0.0), (0.1, 0.0, 0.0), (1e6, 3.0, -2.0), (1e-3, 1e3, 1e3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_noise_free_planes_come_back_to_rounding(plane: tuple[float, ...], dtype: Any) -> None:
    rng = np.random.default_rng(7)
    y, x, y0, x0 = coordinates((120, 310), 5000, 70000)
    d = plane[0] + plane[1] * (x - x0) + plane[2] * (y - y0)
    scale = np.abs(d).max()
    hit = rng.random(d.shape) < 0.05
    d[hit] += rng.uniform(1, 1e4, hit.sum()) * (scale + 1)
    fit = fit_plane(d.astype(dtype), 5000, 70000, x0, y0)
    tolerance = 2 * np.finfo(dtype).eps * scale
    assert np.all(np.abs(offsets(fit, np.array(plane))) <= tolerance / np.array([1, 155, 60]))
    assert np.isfinite(fit.information).all()
    assert fit.rms <= max(tolerance, 1e-99)


@pytest.mark.parametrize("sigma", [0.25, 0.4, 0.6, 1.5])
@pytest.mark.parametrize("slope", [0.0, 1e-3, 0.05])
def test_whole_numbers_keep_their_noise(sigma: float, slope: float) -> None:
    rng = np.random.default_rng(8)
    y, x, y0, x0 = coordinates((300, 300))
    d = np.round(slope * (x - x0) + slope * (y - y0) + sigma * rng.normal(size=x.shape))
    hit = rng.random(d.shape) < 0.03
    d[hit] += np.round(rng.uniform(10, 1000, hit.sum()))
    fit = fit_plane(d, 0, 0, x0, y0)
    design = np.stack((np.ones(x.shape), x - x0, y - y0), axis=-1)
    clean = np.asarray(np.linalg.lstsq(design[~hit], d[~hit], rcond=None)[0], dtype=np.float64)
    rms = float(np.std(d[~hit] - design[~hit] @ clean))
    assert abs(fit.n_kept / (~hit).sum() - 1) < 0.01
    assert abs(fit.rms / rms - 1) < 0.05
    e = offsets(fit, clean)
    assert e @ fit.information @ e < 3


def test_quantized_noise_free_constant_is_not_taken_for_noise() -> None:
    rng = np.random.default_rng(9)
    d = np.full((100, 100), 3.0)
    hit = rng.random(d.shape) < 0.05
    d[hit] += np.round(rng.uniform(1, 1000, hit.sum()))
    fit = fit_plane(d, 0, 0, 49.5, 49.5)
    assert fit[:3] == (3.0, 0.0, 0.0)
    assert fit.n_kept == (~hit).sum()


@pytest.mark.parametrize("huge", [1e30, -3e38, np.inf, np.nan])
def test_huge_values_change_nothing(huge: float) -> None:
    d, x0, y0 = draw(np.random.default_rng(10), (64, 90))
    blank = d.copy()
    where = np.random.default_rng(11).random(d.shape) < 0.1
    d[where], blank[where] = huge, np.nan
    a, b = fit_plane(d.astype(np.float32), 0, 0, x0, y0), fit_plane(blank.astype(np.float32), 0, 0, x0, y0)
    np.testing.assert_allclose(a[:3], b[:3], atol=0.25 / math.sqrt(b.information[0, 0]))
    assert abs(a.rms - b.rms) < 0.01


# --- thin and small ---------------------------------------------------------------------------------------------


def test_one_row_knows_one_slope() -> None:
    rng = np.random.default_rng(13)
    x = np.arange(500.0)
    d = (4 + 0.02 * (x - 250) + rng.normal(size=500))[None, :]
    fit = fit_plane(d, 1000, 0, 250.0, 990.0)  # the row lies 10 px above the origin
    values, vectors = np.linalg.eigh(fit.information)
    assert values[0] < 1e-10 * values[1]
    np.testing.assert_allclose(np.abs(vectors[:, 0]), np.array([10, 0, 1]) / math.sqrt(101), atol=1e-6)
    assert fit.slope_y == 0.0
    expected = np.polynomial.polynomial.polyfit(x - 250, d[0], 1)
    np.testing.assert_allclose((fit.level, fit.slope_x), expected, atol=0.05)


def test_a_diagonal_line_knows_the_slope_along_it() -> None:
    d = np.full((200, 200), np.nan)
    i = np.arange(200)
    d[i, i] = 2 * (i - 99.5) + np.random.default_rng(14).normal(size=200)
    fit = fit_plane(d, 0, 0, 99.5, 99.5)
    np.testing.assert_allclose((fit.slope_x, fit.slope_y), 1, atol=0.01)
    across, along = (np.array([0, 1, s]) @ fit.information @ np.array([0, 1, s]) for s in (-1, 1))
    assert abs(across) < 1e-9 * along


@pytest.mark.parametrize("pixels", [[], [5.0], [5.0, 7.0], [5.0, 7.0, 6.0]])
def test_too_few_pixels_give_a_level_and_no_information(pixels: list[float]) -> None:
    d = np.full((3, 4), np.nan)
    d.flat[: len(pixels)] = pixels
    fit = fit_plane(d, 0, 0, 1.0, 0.0)
    assert fit.n_pixels == len(pixels)
    assert not fit.information.any()
    assert np.isfinite(fit[:3]).all()
    assert np.isfinite(fit.median) == bool(pixels)


def test_few_pixels_are_not_overrated() -> None:
    rng, n = np.random.default_rng(15), 2000
    levels = np.array([fit_plane(rng.normal(size=(3, 4)), 0, 0, 1.5, 1.0).information[0, 0] for _ in range(n)])
    assert 12 < levels.mean() < 1.5 * 12  # 12 is the truth; the clip of so few takes 1.4, and ν - 2 would add to it


# --- bits and medians -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blank_border_does_not_change_a_bit(dtype: Any) -> None:
    d, x0, y0 = draw(np.random.default_rng(16), (300, 280))
    d = d.astype(dtype)
    for y_first, x_first in ((250, 100), (-130, -700)):
        first = fit_plane(d, y_first, x_first, x0 + x_first, y0 + y_first)
        for top, left, bottom, right in ((1, 0, 0, 0), (0, 3, 0, 5), (300, 257, 513, 11)):
            wide = np.full((top + 300 + bottom, left + 280 + right), np.nan, dtype=dtype)
            wide[top : top + 300, left : left + 280] = d
            again = fit_plane(wide, y_first - top, x_first - left, x0 + x_first, y0 + y_first)
            assert again[:3] == first[:3]
            assert again[4:] == first[4:]
            assert np.array_equal(again.information, first.information)


@pytest.mark.parametrize("n", [1, 2, 3, 1001, 1000, 4096])
def test_median_is_numpys(n: int) -> None:
    rng = np.random.default_rng(17)
    for values in (rng.normal(size=n), rng.normal(1e4, 1e-2, n), np.round(rng.normal(size=n)), rng.standard_cauchy(n)):
        single = values.astype(np.float32)
        assert fit_plane(single[None, :], 0, 0, 0.0, 0.0).median == float(np.median(single.astype(np.float64)))


# --- noise correlation ------------------------------------------------------------------------------------------


def overlaps(n_out: int, ratio: float, phase: float) -> Floats:
    """(n_out, n_in) lengths that output pixels of size `ratio` and unit input pixels share, along one axis."""
    edges = phase + ratio * np.arange(n_out + 1)
    i = np.arange(math.ceil(edges[-1]) + 1)
    shared = np.minimum(edges[1:, None], i + 1) - np.maximum(edges[:-1, None], i)
    return np.asarray(np.maximum(shared, 0), dtype=np.float64)


@pytest.mark.parametrize("ratio", [0.4, 1.0, 1.3, 2.5])
def test_errors_of_projected_noise(ratio: float) -> None:
    rng, n, size = np.random.default_rng(18), 400, 50
    chi2 = np.empty(n)
    variance = 0.0
    *_, y0, x0 = coordinates((size, size))
    for i in range(n):  # 20 × 20 phases: their spread is no part of what is tested
        rows, columns = (overlaps(size, ratio, (phase + 0.5) / 20) for phase in divmod(i, 20))
        d = rows @ rng.normal(size=(rows.shape[1], columns.shape[1])) @ columns.T / ratio**2
        variance += float(np.mean(d**2)) / n
        fit = fit_plane(d, 0, 0, x0, y0, correlation=correlation_factor(ratio) ** 2)
        chi2[i] = offsets(fit, np.zeros(3)) @ fit.information @ offsets(fit, np.zeros(3))
    r = 1 / (correlation_factor(ratio) * ratio) ** 2
    assert abs(variance / r - 1) < 0.01
    # The overlap's edges share their input pixels with pixels outside: of order 1 / (ratio · size).
    assert abs(chi2.mean() / 3 - 1) < 3 * math.sqrt(2 / (3 * n)) + 2 / (3 * ratio * size)


@pytest.mark.parametrize("seed", range(5))
def test_a_level_alone_is_the_mean_of_its_own_kept_pixels(seed: int) -> None:
    """Slopes stay zero, whatever the values do; what is known is known at the centroid of the pixels kept."""
    rng = np.random.default_rng(seed)
    d = rng.normal(5.0, 1.0, (40, 50)) + 0.01 * np.arange(50)
    d[rng.uniform(size=d.shape) < 0.05] += 300
    fit = fit_plane(d, 0, 0, 20.0, 10.0, level_only=True)
    assert fit.slope_x == fit.slope_y == 0
    kept = abs(d - fit.level) < 100
    assert 0.99 * kept.sum() < fit.n_kept <= kept.sum()
    assert fit.level == pytest.approx(d[kept].mean(), abs=0.01)
    y, x = np.nonzero(kept)
    center = np.array([x.mean() - 20, y.mean() - 10])
    np.testing.assert_allclose(fit.information[0, 1:] / fit.information[0, 0], center, atol=0.1)
    assert np.linalg.matrix_rank(fit.information, tol=1e-6 * fit.information.max()) == 1
    assert 1 / fit.information[0, 0] ** 0.5 == pytest.approx(d[kept].std() / kept.sum() ** 0.5, rel=0.05)
