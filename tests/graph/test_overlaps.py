"""Differences of pairs: their sign and origin, and that a task returns what the body does."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from surveys import SHAPE, image_header

from dmontage.graph.job import Job
from dmontage.graph.overlaps import MIN_AREA, MIN_OF_DROPS, Pairs, fit_pair, fit_pairs
from dmontage.graph.project import project
from dmontage.grid import Grid
from dmontage.kernels.plane_fit import Sums
from dmontage.mapping import fit_mapping
from dmontage.model import OverlapPair
from dmontage.noise import correlation_factor
from dmontage.store import Store
from dmontage.window import Window

Row = tuple[NDArray[np.float32], ...]

WINDOWS = (Window(0, 60, 0, 80), Window(40, 100, 10, 90), Window(30, 50, 60, 120))
PLANES = np.array([[10.0, 0.05, -0.02], [-4.0, 0.0, 0.03], [7.0, -0.1, 0.0]])


def row(i: int, sigma: float = 0.0) -> Row:
    """Image i: a plane about mosaic pixel (0, 0) and noise, with an area of 1 but for a thin rim."""
    w = WINDOWS[i]
    y, x = np.mgrid[w.slices]
    level, slope_x, slope_y = PLANES[i]
    value = level + slope_x * x + slope_y * y + sigma * np.random.default_rng(i).standard_normal(w.shape)
    area = np.full(w.shape, 0.2, np.float32)
    area[1:-1, 1:-1] = 1
    value[area < MIN_AREA] += 1e4  # what is badly covered does not count
    return (value * area).astype(np.float32), area


def cut(parts: Row, w: Window, window: Window) -> Sums:
    """Of (flux, area), or (flux, area, weight)."""
    at = window.relative_to(w).slices
    return Sums(parts[0][at], parts[-1][at], parts[1][at], MIN_AREA)


def test_a_difference_is_plus_minus_minus() -> None:
    pair = OverlapPair(0, 1, WINDOWS[0] & WINDOWS[1])
    w = pair.window
    fit = fit_pair(pair, cut(row(0), WINDOWS[0], w), cut(row(1), WINDOWS[1], w), 1.0)
    assert (fit.plus, fit.minus) == (0, 1)
    assert (fit.plane.x0, fit.plane.y0) == ((10 + 79) / 2, (40 + 59) / 2)
    # The well covered rim of either image lies inside the overlap by one pixel.
    level, slope_x, slope_y = PLANES[0] - PLANES[1]
    inner_x, inner_y = (11 + 78) / 2, (41 + 58) / 2
    np.testing.assert_allclose([fit.plane.slope_x, fit.plane.slope_y], [slope_x, slope_y], atol=1e-6)
    assert fit.plane.at(20.0, 45.0) == pytest.approx(level + 20 * slope_x + 45 * slope_y, abs=1e-4)
    assert fit.n_kept == fit.n_pixels
    assert fit.n_pixels == 18 * 68
    assert fit.median == pytest.approx(level + inner_x * slope_x + inner_y * slope_y, abs=0.05)


def test_correlated_pixels_count_for_fewer() -> None:
    """To (ν - 2)/ν of some 500 and 1000 degrees of freedom."""
    pair = OverlapPair(0, 1, WINDOWS[0] & WINDOWS[1])
    parts = [cut(row(i, 1.0), WINDOWS[i], pair.window) for i in (0, 1)]
    white, alike = (np.array(fit_pair(pair, parts[0], parts[1], c).information) for c in (1.0, 2.25))
    np.testing.assert_allclose(white / alike, 2.25, rtol=3e-3)


def test_without_pixels_in_common_there_is_no_fit() -> None:
    pair = OverlapPair(0, 1, Window(0, 5, 0, 5))
    nothing = np.zeros((5, 5), np.float32)
    none = Sums(nothing, nothing, nothing, MIN_AREA)
    fit = fit_pair(pair, none, none, 1.0)
    assert fit.n_pixels == fit.n_kept == 0 and not np.any(fit.information)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("pixfrac", [1.0, 0.7])
def test_the_task_fits_what_the_body_fits(tmp_path: Path, weighted: bool, pixfrac: float) -> None:
    """With weights, which change no value, and with drops whose mean coverage is 0.49: C7."""
    path = str(tmp_path / "run.zarr")
    mean = pixfrac**2
    tables = [
        {"path": f"{w}.fits", "window": [w.y0, w.y1, w.x0, w.x1], "nominal": 1.0, "digest": f"{w}"} for w in WINDOWS
    ]
    run = {"digest": "x", "shape": [100, 120], "drop": {"pixfrac": pixfrac, "kernel": "square"}}
    store, _ = Store.create(path, run | {"sums": ["flux", "area", *["weight"] * weighted]}, tables)
    rows = []
    for i in range(3):
        flux, area = row(i, 0.5)
        weight = np.random.default_rng(i).uniform(0.5, 2, area.shape).astype(np.float32) if weighted else np.float32(1)
        sums = ((flux * weight).astype(np.float32), np.float32(mean) * area, weight * area)
        rows.append(sums if weighted else tuple(np.float32(mean) * part for part in (flux, area)))
        store.projected.write(i, rows[-1], "00" * 32)
    pairs = [(0, 1), (0, 2), (1, 2)]
    fits = fit_pairs(path, Pairs(tuple((*pair, 1.3) for pair in pairs)))
    for (fit, correlation), (i, j) in zip(fits, pairs, strict=True):
        assert correlation == 1.3
        pair = OverlapPair(i, j, WINDOWS[i] & WINDOWS[j])
        limit = MIN_AREA if pixfrac == 1.0 else MIN_OF_DROPS * mean
        plus, minus = (cut(rows[k], WINDOWS[k], pair.window)._replace(min_area=limit) for k in (i, j))
        assert fit == fit_pair(pair, plus, minus, 1.3)
        plus, minus = (cut(row(k, 0.5), WINDOWS[k], pair.window) for k in (i, j))
        plain = fit_pair(pair, plus, minus, 1.3)
        assert fit.n_pixels == plain.n_pixels > 100
        assert fit.plane.level == pytest.approx(plain.plane.level, abs=1e-4)
    assert fit_pairs(path, Pairs(((1, 2, 1.3), (0, 1, 1.3)))) == [fits[2], fits[0]]


def test_the_stated_errors_of_projected_images_are_right() -> None:
    """C16: χ² of 500 overlaps of two noise images, projected from their own grids, with planes and 5 % of sources."""
    rng, n = np.random.default_rng(5), 500
    grid = Grid.from_header(image_header(scale=2.2), shape=(60, 70))
    pair = OverlapPair(0, 1, Window(12, 48, 10, 60))
    headers = [image_header(dx, dy, rotation=turn) for dx, dy, turn in ((0.3, -2.2, 11.0), (-3.1, 4.7, -23.0))]
    jobs = []
    for header in headers:
        image = Grid.from_header(header, shape=SHAPE)
        jobs.append(Job(image, grid, fit_mapping(image, grid), "plane"))
    y, x = np.mgrid[pair.window.slices]
    x0, y0 = pair.origin
    truth = np.array([7.0, 0.02, -0.03])
    plane = truth[0] + truth[1] * (x - x0) + truth[2] * (y - y0)
    correlation = correlation_factor(1.1) ** 2
    chi2 = np.empty(n)
    for k in range(n):
        sums = []
        for job, added in zip(jobs, (plane, 0.0), strict=True):
            values = rng.standard_normal(SHAPE)
            hit = rng.random(SHAPE) < 0.02  # spread by projection over twice as many
            values[hit] += rng.uniform(5, 500, hit.sum())
            done = project(values, job, pair.window)
            sums.append(Sums(done.flux + added * done.area, done.area, done.area, MIN_AREA))
        fit = fit_pair(pair, sums[0], sums[1], correlation)
        e = np.array([fit.plane.level, fit.plane.slope_x, fit.plane.slope_y]) - truth
        chi2[k] = e @ np.array(fit.information) @ e
    # The overlap's edge shares its input pixels with pixels outside: of order 2 / (side in input pixels).
    assert abs(chi2.mean() / 3 - 1) < 3 * math.sqrt(2 / (3 * n)) + 2 / (36 * 1.1)
    assert np.mean(chi2 < 7.815) == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / n) + 0.01)
