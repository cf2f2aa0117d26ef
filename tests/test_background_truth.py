"""Whether what is said of a mosaic's background is true: its errors, and that a strong nebula keeps its light.

A small survey of 16 images, each with a plane of its own, is made with and without a nebula; noise, stars and planes
are the same in both. What the mosaic has is compared with the sky and the planes that were put in.

The errors of one mosaic's cells are those of a wave or two, so a seed is one draw, however many cells it has. Each
figure is therefore a mean over seeds, and its own error is told by their scatter: it must agree with that of a Gaussian
by Student's t, at one in a thousand since some forty are looked at. Few seeds can tell gross faults only, but for the
steps from image to image, of which each mosaic has 42.

The wings of stars, seen with a seeing of their own in each image, add some 1 % in σ to the errors of steps that the
scatter of the pixels does not tell, since most are clipped.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.stats import norm, t
from surveys import blocks_of

import dmontage as dm
from dmontage.demo.judge_background import Blocks, emission_kept, without_plane
from dmontage.demo.simulate import simulate
from dmontage.demo.truth import Truth
from dmontage.pipeline import Mosaic
from dmontage.window import Window

Floats = NDArray[np.float64]

N_IMAGES, SIZE, N_PIXELS = 16, 0.06, (98, 98)
NEBULA = 500.0  # where the error of the background is some 0.5, and its largest wave may take the nebula's shape
CHANCE = 1e-3
LIMITS = np.array([1.0, 2.0, 3.0])
EXPECTED = np.append(1.0, 2 * norm.cdf(LIMITS) - 1)
"""Mean of z², and the parts within 1, 2 and 3 σ, of a Gaussian."""
WINGS = np.append(1.02**2 - 1, EXPECTED[1:] - 2 * norm.cdf(LIMITS / 1.02) + 1)
"""What errors that are stated 2 % too small do to these."""


class Sky(NamedTuple):
    """One mosaic against the truth."""

    z: dict[str, Floats]
    """True over stated errors, of several kinds."""
    blocks: Blocks
    stated: float
    """Root mean square of the stated error of cells about a plane."""


def make_sky(folder: Path, seed: int, nebula: float) -> Sky:
    folder = folder / f"{seed}-{nebula:g}"
    truth = simulate(folder, SIZE, seed, N_PIXELS, nebula)
    assert len(truth.images) == N_IMAGES
    mosaic = dm.mosaic(folder, background="plane")
    told = mosaic.background_error_map()
    side = int(np.diff(told.cells.xs)[0])
    blocks = blocks_of(mosaic, truth, side)
    planes = planes_put_in(mosaic, truth)
    # Not an error of the background, but in what is measured: a median of pixels has π/2 of the variance of a mean.
    noise = np.sqrt(np.pi / 2) * truth.noise / side
    flat, total = without_plane(blocks.residual), blocks.residual - planes[:, 0].mean()
    known = np.isfinite(flat)
    pairs, single = window_errors(mosaic, blocks.residual, side, noise)
    z = {
        "cells about a plane": (flat / np.hypot(told.error, noise))[known],
        "cells in the gauge": (total / np.hypot(told.total, noise))[known],
        "windows to the middle": pairs,
        "window about a plane": single,
        "steps between images": step_errors(mosaic, planes),
    }
    mosaic.close()
    return Sky(z, blocks, told.rms)


def planes_put_in(mosaic: Mosaic, truth: Truth) -> Floats:
    """(n, 3) planes of the images about their corrections' origins, like `Solution.parameters` but for the gauge.

    Corrections have zero mean there, so that the mean of the levels put in stays in the mosaic.
    """
    assert mosaic.summary.gauge.startswith("zero mean level in the one connected group")
    assert mosaic.solution is not None and not mosaic.solution.unpaired + mosaic.solution.level_only
    images, (ny, nx), wcs = {image.name: image for image in truth.images}, truth.n_pixels, mosaic.grid.wcs()
    planes = []
    for ref, (x, y) in zip(mosaic.plan.images, mosaic.solution.centres, strict=True):
        image = images[Path(ref.path).name]
        there = wcs.all_pix2world([x, x + 1, x], [y, y, y + 1], 0)
        x_in, y_in = WCS(fits.getheader(ref.path)).all_world2pix(*there, 0)
        value = image.level + image.slope_x * (x_in - (nx - 1) / 2) + image.slope_y * (y_in - (ny - 1) / 2)
        planes.append((value[0], *(value[1:] - value[0])))
    return np.array(planes)


def window_errors(mosaic: Mosaic, residual: Floats, side: int, noise: float) -> tuple[Floats, Floats]:
    """True over stated errors of windows of 4 × 4 blocks: of two to a third in the middle, and of one about a plane."""
    ny, nx = (n - 5 for n in residual.shape)  # the last block is cut by the rim
    corners = [(1, 1), (ny, nx // 3), (ny // 2, nx // 2)]
    windows = [Window(side * j, side * (j + 4), side * i, side * (i + 4)) for j, i in corners]
    *level, middle = (np.nanmean(residual[j : j + 4, i : i + 4]) for j, i in corners)
    about_plane = np.nanmean(without_plane(residual)[1:5, 1:5])
    pairs = [
        (value - middle) / np.hypot(mosaic.background_error(window, windows[-1]), noise * np.sqrt(2 / 16))
        for value, window in zip(level, windows[:-1], strict=True)
    ]
    single = about_plane / np.hypot(mosaic.background_error(windows[0], "plane"), noise * np.sqrt(1 / 16))
    return np.array(pairs), np.array([single])


def step_errors(mosaic: Mosaic, planes: Floats) -> Floats:
    """True over stated errors of the steps from image to image, in the middle of each overlap: the shortest scale."""
    assert mosaic.solution is not None
    centres, error = mosaic.solution.centres, mosaic.solution.parameters - planes
    met = [fit for fit in mosaic.fits if fit.n_pixels]
    at = np.zeros((len(met), *planes.shape))
    for k, fit in enumerate(met):
        for image, sign in ((fit.plus, 1.0), (fit.minus, -1.0)):
            x, y = np.array((fit.plane.x0, fit.plane.y0)) - centres[image]
            at[k, image] = sign, sign * x, sign * y
    at = at.reshape(len(met), -1)
    return np.asarray(at @ error.ravel() / np.sqrt(mosaic.solution.variance(at)))


def figures(skies: list[Sky], kind: str, scale: float = 1.0) -> tuple[Floats, Floats]:
    """(4,) means over seeds of z² and of the parts within 1, 2, 3 σ, and the furthest that chance takes them."""
    z = [scale * sky.z[kind] for sky in skies]
    each = np.array([[np.mean(one**2), *(np.mean(np.abs(one) < limit) for limit in LIMITS)] for one in z])
    # A few seeds may have nothing beyond 3 σ, and then no scatter; but no mosaic has more free levels than images.
    least = np.append(0, np.sqrt(EXPECTED[1:] * (1 - EXPECTED[1:]) / N_IMAGES))
    error = np.maximum(each.std(axis=0, ddof=1), least) / np.sqrt(len(z))
    return each.mean(axis=0), t.ppf(1 - CHANCE / 2, len(z) - 1) * error


def check_errors(skies: list[Sky]) -> None:
    for kind in skies[0].z:
        mean, reach = figures(skies, kind)
        told = ", ".join(f"{value:.4f} ± {most:.4f}" for value, most in zip(mean, reach, strict=True))
        print(f"{kind}, {len(skies)} seeds: z², parts within 1, 2, 3 σ: {told}")
        if kind == "steps between images":
            reach = reach + WINGS
        assert (np.abs(mean - EXPECTED) <= reach).all(), (kind, mean, reach)


def check_nebula(skies: list[Sky]) -> None:
    """All of it to 1 %: by regression on its shape, and as the flux above its surroundings."""
    for name, of in (("emission", lambda blocks: emission_kept(blocks)[0]), ("flux", flux_kept)):
        kept = np.array([of(sky.blocks) for sky in skies])
        worst = np.abs(kept - 1).max()
        print(f"{name} kept: mean {kept.mean():.5f}, σ {kept.std():.5f}, worst {worst:.5f} off")
        assert worst < 0.01


def flux_kept(blocks: Blocks) -> float:
    """Measured over true flux of what is brighter than a tenth of the peak, above the mean of what is fainter than 5 %.

    One plane is taken out of the error first: a gradient common to all images is beyond what overlaps can tell.
    """
    flat = without_plane(blocks.residual)
    bright, faint = blocks.emission > 0.1 * NEBULA, blocks.emission < 0.05 * NEBULA
    true, error = (values[bright].mean() - values[faint].mean() for values in (blocks.emission, flat))
    return float(1 + error / true)


def check_difference(plain: Sky, bright: Sky) -> None:
    """The nebula alone, by two mosaics that share all else, and so their drift: it is kept to 0.1 %.

    What the overlaps do see of it is how resampling broadens it, by up to an eighth of its second derivative, in each
    image by its own phase on the grid. It must be small beside the errors: an eighth of them at most in quadrature.
    """
    alone = Blocks(*(one - other for one, other in zip(bright.blocks, plain.blocks, strict=True)))
    kept, change = emission_kept(alone)[0], float(np.nanstd(without_plane(alone.residual)) / plain.stated)
    print(f"{kept:.6f} of the nebula kept, the background changed by {change:.3f} of its error")
    assert abs(kept - 1) < 1e-3
    assert change < 0.5


@pytest.mark.parametrize("nebula", [0.0, NEBULA])
def test_stated_errors_are_true(tmp_path: Path, nebula: float) -> None:
    skies = [make_sky(tmp_path, seed, nebula) for seed in range(1, 11)]
    check_errors(skies)
    if nebula:
        check_nebula(skies)
        check_difference(make_sky(tmp_path, 1, 0.0), skies[0])


@pytest.mark.slow
@pytest.mark.parametrize("nebula", [0.0, NEBULA])
def test_stated_errors_are_true_over_200_skies(tmp_path: Path, nebula: float) -> None:
    skies = [make_sky(tmp_path, seed, nebula) for seed in range(1, 201)]
    check_errors(skies)
    if nebula:
        check_nebula(skies)
    # So many would tell errors that are a fifth too large or too small.
    for scale in (1.2, 1 / 1.2):
        mean, reach = figures(skies, "cells about a plane", scale)
        assert abs(mean[0] - 1) > reach[0]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 22))
def test_nebula_changes_no_background_of_20_skies(tmp_path: Path, seed: int) -> None:
    check_difference(make_sky(tmp_path, seed, 0.0), make_sky(tmp_path, seed, NEBULA))
