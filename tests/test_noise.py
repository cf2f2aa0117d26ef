"""The noise correlation factor against drawn noise, against exact lists of overlaps, and in its limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from strategies import Mesh, make_mesh

from dmontage.errors import InputError
from dmontage.kernels.deposit import deposit
from dmontage.kernels.drops import list_square
from dmontage.noise import correlation_factor, kept_variance

# Ratios that spread the phases evenly: no small fraction.
GOLDEN = (1 + math.sqrt(5)) / 2
RATIOS = (GOLDEN / 4, GOLDEN / 2, 0.5 + GOLDEN / 3, GOLDEN, 2 * GOLDEN)


def overlaps(mesh: Mesh, pixfrac: float) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    pixel, cell, part = list_square(np.ones(mesh.shape, bool), mesh.x, mesh.y, pixfrac, 0, 0, mesh.shape_out)
    return pixel, cell, part


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("pixfrac", [1.0, 0.8, 0.5, 0.1])
@pytest.mark.parametrize("angle", [0.0, 17.0, 45.0])
def test_agrees_with_the_overlaps_of_many_drops(angle: float, pixfrac: float, ratio: float) -> None:
    """Σ over drops of (Σ part)² against Σ part²: true variance of the total against that of independent pixels."""
    mesh = make_mesh((120, 120), 1 / ratio, angle)
    pixel, _, part = overlaps(mesh, pixfrac)
    whole = np.bincount(pixel, part)
    factor = math.sqrt((whole**2).sum() / (part**2).sum())
    assert correlation_factor(ratio, pixfrac) == pytest.approx(factor, rel=5e-3)


@pytest.mark.parametrize(("ratio", "pixfrac"), [(RATIOS[0], 1.0), (RATIOS[1], 0.8), (RATIOS[2], 1.0), (RATIOS[3], 0.6)])
@pytest.mark.parametrize("angle", [0.0, 30.0])
def test_agrees_with_drawn_noise(angle: float, ratio: float, pixfrac: float) -> None:
    """Noise of several levels and weights, drizzled; the scatter of the mean over the image, 1.1 % for 4000 draws."""
    rng = np.random.default_rng(1)
    mesh = make_mesh((40, 40), 1 / ratio, angle, offset=(0.2, 0.7))
    n_in, n_out = 1600, mesh.shape_out[0] * mesh.shape_out[1]
    variance, weights = rng.uniform(0.5, 2.0, (1, n_in)), rng.uniform(0.5, 2.0, (1, n_in))
    found = overlaps(mesh, pixfrac)
    means = []
    for _ in range(40):
        values = np.sqrt(variance) * rng.standard_normal((100, n_in))
        flux, area, weight, var = np.zeros((4, 100, n_out))
        deposit(*found, values, weights, variance, flux, area, weight, var)
        means.append(flux.sum(axis=1) / weight.sum(axis=1))
    independent = math.sqrt(var[0].sum()) / weight[0].sum()
    assert float(np.std(means)) / independent == pytest.approx(correlation_factor(ratio, pixfrac), rel=0.04)


def test_whole_pixel_shifts_correlate_nothing() -> None:
    """What the factor assumes and such grids do not have: every drop falls on one pixel."""
    _, _, part = overlaps(make_mesh((20, 20), 1.0), 1.0)
    assert set(part) == {1.0}


def test_limits() -> None:
    assert correlation_factor(1.0) == pytest.approx(1.5)
    assert correlation_factor(1e9) == pytest.approx(1.0)
    assert correlation_factor(1.0, 0.0) == 1.0
    assert correlation_factor(1e-6, 0.5) == pytest.approx(0.5e6, rel=1e-6)
    below, above = correlation_factor(1.0 + 1e-9), correlation_factor(1.0 - 1e-9)
    assert below == pytest.approx(above, rel=1e-8), "both branches meet at r = 1"


def test_only_the_drop_over_the_output_pixel_counts() -> None:
    for ratio in RATIOS:
        assert correlation_factor(ratio, 0.7) == pytest.approx(correlation_factor(ratio / 0.7), rel=1e-14)


@pytest.mark.parametrize("ratio", [0.0, -1.0, math.inf, math.nan])
def test_a_bad_ratio_is_named(ratio: float) -> None:
    with pytest.raises(InputError, match=f"ratio {ratio}"):
        correlation_factor(ratio)


@pytest.mark.parametrize("pixfrac", [-0.1, 1.1, math.nan])
def test_a_bad_pixfrac_is_named(pixfrac: float) -> None:
    with pytest.raises(InputError, match=f"pixfrac {pixfrac}"):
        correlation_factor(1.0, pixfrac)


@pytest.mark.parametrize("ratio", [0.4, 0.7, 1.0, 1.3, 2.5, 3.7])
def test_kept_variance_is_the_overlaps_squared(ratio: float) -> None:
    """Against overlaps laid out one by one; both axes in the mean over phases are what `correlation_factor` says."""
    phases = (np.arange(400) + 0.5) / 400
    edges = phases[:, None] + np.array([0, ratio])
    cells = np.arange(-1, 6)
    shared = np.clip(np.minimum(edges[:, 1:], cells + 1) - np.maximum(edges[:, :1], cells), 0, None)
    np.testing.assert_allclose(kept_variance(phases, ratio), (shared**2).sum(axis=1) / ratio**2, rtol=1e-12)
    mean = kept_variance(phases, ratio).mean()
    assert mean**2 == pytest.approx(1 / (correlation_factor(ratio) * ratio) ** 2, rel=1e-4)
    assert kept_variance(np.array([3.0 - phases[0]]), ratio)[0] == pytest.approx(kept_variance(phases, ratio)[-1])


def test_pixels_that_coincide_keep_all() -> None:
    assert kept_variance(np.array([0.0, 1.0, -7.0]), 1.0).tolist() == [1.0, 1.0, 1.0]
    assert kept_variance(np.array([0.0]), 3.0)[0] == pytest.approx(1 / 3)
