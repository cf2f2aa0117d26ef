"""`dmontage.project`: one image on a grid, lazily."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from dask.base import compute
from numpy.typing import NDArray
from reproject import reproject_exact

import dmontage as dm
from dmontage.graph import image as graph_image
from dmontage.grid import Grid

RNG = np.random.default_rng(3)
GRID_IN = Grid.around("83.8 -5.4", shape=(150, 130), scale="2 arcsec", rotation="20 deg")
GRID_OUT = Grid.around("83.8 -5.4", shape=(210, 190), scale="2.3 arcsec")
IMAGE = RNG.normal(100.0, 3.0, GRID_IN.shape)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_image, "_SIDE", 64)


def computed(*arrays: Any) -> tuple[NDArray[np.float64], ...]:
    return compute(*arrays, scheduler="synchronous")  # type: ignore[no-any-return]


def test_agrees_with_reproject_exact() -> None:
    mean, area = computed(*dm.project((IMAGE, GRID_IN.wcs()), GRID_OUT))
    reference, footprint = reproject_exact(
        (IMAGE, GRID_IN.wcs()), GRID_OUT.wcs(), shape_out=GRID_OUT.shape, parallel=False
    )
    inside = (footprint > 1e-6) & (area > 1e-6)
    assert inside.sum() > 10_000
    # The bound of the mapping is 1e-5 px, and neighbours differ by some units.
    assert np.abs(mean - reference)[inside].max() < 3e-4
    assert np.abs(area - footprint).max() < 2e-5
    assert (np.isnan(mean) == (area == 0)).all()


def test_on_the_sphere_it_is_reproject_exact_to_1e_8() -> None:
    mean, area = computed(*dm.project((IMAGE, GRID_IN), GRID_OUT, method="sky"))
    reference, footprint = reproject_exact(
        (IMAGE, GRID_IN.wcs()), GRID_OUT.wcs(), shape_out=GRID_OUT.shape, parallel=False
    )
    inside = (footprint > 1e-3) & (area > 1e-3)
    assert np.abs(mean - reference)[inside].max() < 1e-8 * 100
    assert np.abs(area - footprint)[inside].max() < 1e-8


@pytest.mark.parametrize("method", ["plane", "sky"])
@pytest.mark.parametrize(("pixfrac", "kernel"), [(1.0, "square"), (0.7, "square"), (1.0, "point"), (0.9, "gaussian")])
def test_bits_do_not_depend_on_chunks(
    monkeypatch: pytest.MonkeyPatch, method: str, pixfrac: float, kernel: str
) -> None:
    whole = computed(*dm.project((IMAGE, GRID_IN), GRID_OUT, method, pixfrac, kernel))
    monkeypatch.setattr(graph_image, "_SIDE", 64)
    lazy = dm.project((IMAGE, GRID_IN), GRID_OUT, method, pixfrac, kernel)
    assert lazy[0].numblocks == (4, 3)
    for a, b in zip(whole, computed(*lazy), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_cutout_costs_what_it_touches(small_chunks: None) -> None:
    seen: list[tuple[int, int]] = []

    def block(block_info: Any = None) -> NDArray[np.float64]:
        (y0, y1), (x0, x1) = block_info[None]["array-location"]
        seen.append((y0, x0))
        return IMAGE[y0:y1, x0:x1]

    lazy_image = da.map_blocks(block, chunks=((50, 50, 50), (65, 65)), dtype=float, meta=np.empty((0, 0)))
    mean, _ = dm.project((lazy_image, GRID_IN), GRID_OUT)
    corner = mean[:20, :20].compute(scheduler="synchronous")
    assert 0 < len(set(seen)) < 6
    seen.clear()
    middle = mean[100:110, 90:100].compute(scheduler="synchronous")
    assert seen
    whole = computed(*dm.project((IMAGE, GRID_IN), GRID_OUT))[0]
    np.testing.assert_array_equal(middle, whole[100:110, 90:100])
    np.testing.assert_array_equal(corner, whole[:20, :20])


def test_an_array_is_in_the_graph_once(small_chunks: None) -> None:
    mean, _ = dm.project((IMAGE, GRID_IN), GRID_OUT)
    assert len(pickle.dumps(dict(mean.__dask_graph__()))) < 2 * IMAGE.nbytes
    assert mean.name == dm.project((IMAGE, GRID_IN), GRID_OUT)[0].name
    assert mean.name != dm.project((IMAGE + 1, GRID_IN), GRID_OUT)[0].name


def test_every_kind_of_image(tmp_path: Path) -> None:
    image = IMAGE.astype(np.float32)
    hdu = fits.PrimaryHDU(image, GRID_IN.to_header())
    hdu.writeto(tmp_path / "a.fits")
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(image, GRID_IN.to_header(), name="SCI")])
    hdus.writeto(tmp_path / "b.fits")
    kinds: list[Any] = [
        (image, GRID_IN.wcs()),
        (image, GRID_IN.to_header()),
        (da.from_array(image, chunks=40), GRID_IN.wcs()),
        hdu,
        hdus,
        CCDData(image, unit="adu", wcs=GRID_IN.wcs()),
        tmp_path / "a.fits",
        str(tmp_path / "b.fits"),
        dm.scan(tmp_path / "a.fits")[0],
    ]
    first = computed(*dm.project((image, GRID_IN), GRID_OUT))
    for kind in kinds:
        for grid, shape in (
            (GRID_OUT, None),
            (GRID_OUT.wcs(), None),
            (GRID_OUT.to_header(naxis=False), GRID_OUT.shape),
        ):
            for a, b in zip(first, computed(*dm.project(kind, grid, shape=shape)), strict=True):
                np.testing.assert_array_equal(a, b)


def test_the_callers_pixels_stay_as_they_are() -> None:
    """A sentinel is blank, and is still in the caller's array."""
    image = IMAGE.astype(np.float64)
    image[10, 10] = 1e300
    before = image.copy()
    mean, _ = computed(*dm.project(fits.PrimaryHDU(image, GRID_IN.to_header()), GRID_IN))
    assert np.isnan(mean[10, 10]) and np.isfinite(mean).sum() == image.size - 1
    np.testing.assert_array_equal(image, before)


def test_a_cube_is_its_planes(small_chunks: None) -> None:
    cube = RNG.normal(10.0, 1.0, (2, 3, *GRID_IN.shape))
    cube[1, 2, 40:60, 30:50] = np.nan
    cube[0, 0, 80, 80] = np.nan
    for method in ("plane", "sky"):
        mean, area = computed(*dm.project((cube, GRID_IN), GRID_OUT, method))
        assert mean.shape == (2, 3, *GRID_OUT.shape)
        for plane in np.ndindex(2, 3):
            one_mean, one_area = computed(*dm.project((cube[plane], GRID_IN), GRID_OUT, method))
            np.testing.assert_allclose(area[plane], one_area, rtol=0, atol=1e-12)
            both = one_area > 1e-9
            np.testing.assert_allclose(mean[plane][both], one_mean[both], rtol=1e-9)
            assert (np.isnan(mean[plane]) == (area[plane] == 0)).all()


@pytest.mark.parametrize("method", ["plane", "sky"])
def test_weights_never_enter_the_area(method: str) -> None:
    weights = RNG.uniform(0.1, 5.0, GRID_IN.shape)
    weights[10, 10] = 0.0
    weights[20, 20] = np.nan
    mean, area = computed(*dm.project((np.full(GRID_IN.shape, 7.25), GRID_IN), GRID_OUT, method, weights=weights))
    covered = area > 0
    np.testing.assert_allclose(mean[covered], 7.25, rtol=1e-12)
    blank = np.ones(GRID_IN.shape)
    blank[10, 10] = blank[20, 20] = np.nan
    _, expected = computed(*dm.project((blank, GRID_IN), GRID_OUT, method))
    np.testing.assert_allclose(area, expected, atol=1e-11)


@pytest.mark.parametrize("method", ["plane", "sky"])
@pytest.mark.parametrize("kernel", ["square", "point", "gaussian"])
def test_every_kernel_conserves(method: str, kernel: str) -> None:
    pixfrac = 0.6
    image = RNG.uniform(1.0, 2.0, GRID_IN.shape)
    mean, area = computed(*dm.project((image, GRID_IN), GRID_OUT, method, pixfrac, kernel))
    omega_in, omega_out = GRID_IN.solid_angle(GRID_IN.window), GRID_OUT.solid_angle(GRID_OUT.window)
    scale = 1e-9 if method == "sky" else 1e-5
    assert (area * omega_out).sum() == pytest.approx(pixfrac**2 * omega_in.sum(), rel=scale)
    assert np.nansum(mean * area * omega_out) == pytest.approx(pixfrac**2 * (image * omega_in).sum(), rel=scale)


def test_masks_borders_and_polygons() -> None:
    flags = np.zeros(GRID_IN.shape, np.int16)
    flags[5:9, 5:9] = 4
    flags[50:60, 50:60] = 8
    expected = IMAGE.copy()
    expected[:3], expected[-3:], expected[:, :3], expected[:, -3:] = np.nan, np.nan, np.nan, np.nan
    expected[50:60, 50:60] = np.nan
    expected[100:111, 20:31] = np.nan
    polygon = [(19.5, 99.5), (30.5, 99.5), (30.5, 110.5), (19.5, 110.5)]
    got = dm.project((IMAGE, GRID_IN), GRID_OUT, mask=flags, good_bits=4, border=3, polygons=[polygon])
    for a, b in zip(computed(*got), computed(*dm.project((expected, GRID_IN), GRID_OUT)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_counts_are_conserved() -> None:
    counts = RNG.uniform(1.0, 2.0, GRID_IN.shape)
    for method, limit in (("sky", 1e-9), ("plane", 1e-5)):
        mean, area = computed(*dm.project((counts, GRID_IN), GRID_OUT, method, unit="flux_per_pixel"))
        assert np.nansum(mean * area) == pytest.approx(counts.sum(), rel=limit)


def test_an_uncertainty_becomes_a_variance() -> None:
    sigma = RNG.uniform(0.5, 2.0, GRID_IN.shape)
    image = CCDData(IMAGE, unit="adu", wcs=GRID_IN.wcs(), uncertainty=StdDevUncertainty(sigma))
    _, _, variance = computed(*dm.project(image, GRID_OUT))
    _, _, same = computed(*dm.project((IMAGE, GRID_IN), GRID_OUT, variance=sigma**2))
    np.testing.assert_allclose(variance, same, rtol=1e-12)
    # Drawn: the same geometry, 300 times.
    draws = np.stack([RNG.normal(0.0, sigma) for _ in range(300)])
    means, _ = computed(*dm.project((draws, GRID_IN), GRID_OUT))
    measured = means.var(axis=0)
    inside = np.isfinite(variance)
    ratio = measured[inside] / variance[inside]
    assert ratio.mean() == pytest.approx(1.0, abs=0.01)
    assert ratio.std() == pytest.approx(np.sqrt(2 / 300), rel=0.1)


def test_what_is_masked_is_blank_in_every_kind_of_array() -> None:
    hidden = RNG.random(GRID_IN.shape) < 0.2
    blank = np.where(hidden, np.nan, IMAGE)
    expected = computed(*dm.project((blank, GRID_IN), GRID_OUT))
    masked = np.ma.array(IMAGE, mask=hidden)
    lazy = da.ma.masked_array(da.from_array(IMAGE, chunks=60), da.from_array(hidden, chunks=60))
    for image, options in (
        (masked, {}),
        (lazy, {}),
        (IMAGE, {"mask": hidden}),
        (IMAGE, {"mask": np.ma.array(np.zeros(GRID_IN.shape, np.uint8), mask=hidden)}),
        (IMAGE, {"mask": da.from_array(hidden, chunks=50)}),
    ):
        for a, b in zip(computed(*dm.project((image, GRID_IN), GRID_OUT, **options)), expected, strict=True):
            np.testing.assert_array_equal(a, b)
    weighted = computed(*dm.project((IMAGE, GRID_IN), GRID_OUT, weights=np.ma.array(np.ones_like(IMAGE), mask=hidden)))
    np.testing.assert_allclose(weighted[1], expected[1], atol=1e-12)


@pytest.mark.parametrize("kind", ["i2", "u1", ">f4", "f2", "longdouble", "?"])
def test_any_real_numbers_will_do(kind: str) -> None:
    image = (IMAGE > 100).astype(kind)
    mean, _ = computed(*dm.project((image, GRID_IN), GRID_OUT))
    np.testing.assert_allclose(mean, computed(*dm.project((image.astype(float), GRID_IN), GRID_OUT))[0], rtol=1e-12)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1)])
def test_grids_of_one_pixel(shape: tuple[int, int]) -> None:
    grid = Grid.around("83.8 -5.4", shape=shape, scale="5 arcsec")
    for method in ("auto", "sky"):
        mean, area = computed(*dm.project((np.full(GRID_IN.shape, 2.0), GRID_IN), grid, method))
        np.testing.assert_allclose(mean, 2.0, rtol=1e-12)
        np.testing.assert_allclose(area, 1.0, rtol=1e-8)


def test_an_image_elsewhere_gives_nothing_and_says_so() -> None:
    for method in ("auto", "sky"):
        with pytest.warns(UserWarning, match="does not reach the grid"):
            mean, area = dm.project((IMAGE, GRID_IN), Grid.around("200 40", shape=(30, 40), scale="2 arcsec"), method)
        values, covered = computed(mean, area)
        assert np.isnan(values).all() and not covered.any() and covered.shape == (30, 40)


def test_a_large_grid_costs_what_the_image_covers() -> None:
    """Chunks that the image does not reach share one block of nothing."""
    grid = Grid.around("83.8 -5.4", shape=(30_000, 30_000), scale="2.3 arcsec")
    mean, area = dm.project((IMAGE, GRID_IN), grid)
    names = [key for key in mean.__dask_graph__() if "dmontage-project-" in str(key)]
    assert 1 <= len(names) <= 4
    values, covered = computed(mean[14_990:15_010, 14_990:15_010], area[:5, :5])
    assert np.isfinite(values).all() and not covered.any()


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: dm.project(IMAGE, GRID_OUT), "no image"),
        (lambda: dm.project(fits.HDUList([fits.PrimaryHDU()]), GRID_OUT, hdu=("SCI", 1)), "has no such HDU"),  # type: ignore[arg-type]
        (lambda: dm.project((IMAGE[:5], GRID_IN), GRID_OUT), "shape"),
        (lambda: dm.project((IMAGE, GRID_IN), GRID_OUT, method="fast"), "method 'fast'"),
        (lambda: dm.project((IMAGE, GRID_IN), GRID_OUT, pixfrac=0), "pixfrac"),
        (lambda: dm.project((IMAGE, GRID_IN), GRID_OUT, kernel="lanczos"), "kernel 'lanczos'"),
        (lambda: dm.project((IMAGE, GRID_IN), GRID_OUT, weights=np.ones(3)), "weights has shape"),
        (lambda: dm.project((IMAGE, GRID_IN), GRID_OUT.to_header(naxis=False)), "shape"),
        (lambda: dm.project((IMAGE * 1j, GRID_IN), GRID_OUT), "no real numbers"),
        (lambda: dm.project((np.empty((0, *GRID_IN.shape)), GRID_IN), GRID_OUT), "no planes"),
        (lambda: dm.project((IMAGE, GRID_IN), GRID_OUT, tol=float("nan")), "tol"),
        (lambda: dm.project((IMAGE, GRID_IN), GRID_OUT, pixfrac="a"), "pixfrac"),  # type: ignore[arg-type]
    ],
)
def test_what_is_wrong_is_named(call: Any, word: str) -> None:
    with pytest.raises(dm.InputError, match=word):
        call()
