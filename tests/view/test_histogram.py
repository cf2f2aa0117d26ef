"""The histogram against numpy's sort, and against itself in other pieces."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import zarr
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from dmontage.errors import InputError
from dmontage.view import counting
from dmontage.view import histogram as module
from dmontage.view.histogram import Histogram, histogram, merge


def sky(shape: tuple[int, int] = (400, 300), level: float = 0.0, sigma: float = 1.0, seed: int = 0) -> NDArray[Any]:
    """Noise, stars of 10 to 1e8 sigma, a blank corner."""
    rng = np.random.default_rng(seed)
    values = rng.normal(level, sigma, shape)
    stars = rng.random(shape) < 0.01
    values[stars] += sigma * 10 ** rng.uniform(1, 8, int(stars.sum()))
    values[: shape[0] // 10, : shape[1] // 10] = np.nan
    return values.astype(np.float32)


def assert_same(a: Histogram, b: Histogram) -> None:
    assert a.level == b.level
    np.testing.assert_array_equal(a.bins, b.bins)
    np.testing.assert_array_equal(a.counts, b.counts)
    np.testing.assert_array_equal([a.minimum, a.maximum], [b.minimum, b.maximum])


def widths(found: Histogram, values: Any) -> NDArray[np.float64]:
    """Of the bins around values: the definition, by float32 steps."""
    values = np.abs(np.asarray(values, dtype=np.float32))
    steps: NDArray[np.float64] = np.spacing(values * np.float32(1 + 2.0 ** (found.level - 23))).astype(np.float64)
    return 2.0**found.level * steps


@pytest.mark.parametrize(("level", "sigma"), [(0.0, 1.0), (1000.0, 1.0), (1e5, 1.0), (-300.0, 0.1), (0.0, 1e-20)])
def test_quantiles_are_those_of_the_sorted_pixels_to_one_bin(level: float, sigma: float) -> None:
    values = sky(level=level, sigma=sigma)
    found = histogram(values)
    exact = np.sort(values[np.isfinite(values)]).astype(np.float64)
    assert found.n == exact.size
    assert (found.minimum, found.maximum) == (exact[0], exact[-1])
    q = np.concatenate([np.linspace(0, 1, 501), 1 - 10.0 ** -np.arange(3, 8)])
    expected = np.quantile(exact, q, method="inverted_cdf")
    assert (np.abs(found.quantile(q) - expected) <= widths(found, expected)).all()
    assert widths(found, [exact[exact.size // 2]])[0] < sigma / 5
    assert found.median == found.quantile(0.5)
    assert found.sigma == pytest.approx(np.subtract(*np.quantile(exact, [0.84, 0.16])) / 2, rel=2e-2)


def test_level_keeps_what_it_promises() -> None:
    noise = np.random.default_rng(0).normal(0, 1, (1000, 2000)).astype(np.float32)
    assert histogram(np.float32(300) + noise).level == 0
    noise.flat[::1000] = 10 ** np.random.default_rng(1).uniform(1, 12, 2000)
    assert histogram(noise).level <= 10
    noise[np.random.default_rng(3).random(noise.shape) < 0.01] *= np.float32(1e6)
    assert 2.0 ** (histogram(np.float32(1000) + noise).level - 23) * 512 < 1 / 30
    rng = np.random.default_rng(2)
    anything = rng.integers(0, 1 << 32, 2_000_000, dtype=np.uint32).view(np.float32)
    assert histogram(anything).level == 13
    for whole in (np.arange(1 << 16), np.arange(-(1 << 15), 1 << 15)):
        found = histogram(whole)
        assert found.bins.size == whole.size and (found.counts == 1).all()


def test_bright_pixels_do_not_take_the_resolution_from_the_sky() -> None:
    values = np.random.default_rng(3).normal(0, 1, (1000, 1000)).astype(np.float32)
    alone = histogram(values)
    values[500, 500] = 1e30
    found = histogram(values)
    assert found.level == alone.level
    assert found.sigma == pytest.approx(alone.sigma, rel=1e-5)


def test_rank_is_the_fraction_below_and_undoes_the_quantile() -> None:
    values = sky()
    found = histogram(values)
    good = values[np.isfinite(values)]
    at = np.concatenate([np.linspace(-5, 20, 201), 10.0 ** np.arange(2, 10)])
    exact = np.array([(good < v).mean() for v in at])
    step = np.array([(np.abs(good - v) <= w).mean() for v, w in zip(at, widths(found, at), strict=True)])
    assert (np.abs(found.rank(at) - exact) <= step + 1e-12).all()
    q = np.linspace(0.001, 0.999, 999)
    np.testing.assert_allclose(found.rank(found.smooth_quantile(q)), q, atol=1e-9)


def test_equal_pixels_lie_half_below_their_value() -> None:
    found = histogram(np.array([[1.0, 2.0, 2.0, 2.0, 3.0, 3.0]]))
    np.testing.assert_allclose(found.rank([0, 1, 1.5, 2, 2.5, 3, 4]), [0, 0.5 / 6, 1 / 6, 2.5 / 6, 4 / 6, 5 / 6, 1])
    np.testing.assert_array_equal(found.quantile([0, 0.16, 0.2, 0.5, 0.84, 1]), [1, 1, 2, 2, 3, 3])


@pytest.mark.parametrize("chunks", [(400, 300), (64, 64), (37, 300), (400, 11), (1, 300)])
@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_chunks_and_threads_change_no_bit(chunks: tuple[int, int], scheduler: str) -> None:
    values = sky()
    with dask.config.set(scheduler=scheduler):
        assert_same(histogram(da.from_array(values, chunks=chunks)), histogram(values))


def test_workers_of_a_cluster_count_to_the_same(client: Any) -> None:
    values = sky()
    assert_same(histogram(da.from_array(values, chunks=(100, 70))), histogram(values))


@given(
    values=arrays(np.float32, array_shapes(min_dims=1, max_dims=1, max_side=60), elements=st.floats(width=32)),
    cuts=st.lists(st.integers(0, 60), max_size=5).map(sorted),
    pages=st.integers(2, 6),
)
def test_any_pieces_in_any_order_give_the_histogram_of_the_whole(
    values: NDArray[np.float32], cuts: list[int], pages: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "MAX_PAGES", 1 << pages)  # levels rise soon
        parts = [module.count(part) for part in np.split(values, cuts)]
        whole = module.count(values)
        assert_same(merge(parts), whole)
        assert_same(merge(parts[::-1]), whole)
        tree = parts[0]
        for part in parts[1:]:
            tree = part + tree
        assert_same(tree, whole)
    assert whole.n == np.isfinite(values).sum()


@pytest.mark.parametrize("dtype", [">f4", "<f8", ">f8", ">i2", "<i4", "u1", "?", "f2"])
def test_types_and_byte_orders(dtype: str) -> None:
    values = np.random.default_rng(1).integers(0, 200, (50, 40)).astype(dtype)
    assert_same(histogram(values), histogram(values.astype(np.float32)))


def test_what_is_not_finite_or_masked_is_blank() -> None:
    values = np.array([[1.0, np.nan, 2.0], [np.inf, -np.inf, 3.0]])
    assert_same(histogram(values), histogram(np.array([1.0, 2.0, 3.0])))
    assert_same(histogram(np.ma.masked_greater([[1, 2, 3, 9]], 5)), histogram(np.array([1, 2, 3])))


@pytest.mark.parametrize("blank", [np.full((5, 4), np.nan), np.zeros((0, 4)), np.full((3, 3), np.inf)])
def test_blank_image_has_no_statistics(blank: NDArray[np.float64]) -> None:
    found = histogram(blank)
    assert found.n == 0
    assert np.isnan([found.minimum, found.maximum, found.median, found.sigma]).all()
    assert np.isnan(found.quantile([0, 1])).all() and np.isnan(found.rank([0, 1])).all()
    assert_same(found + histogram(np.ones(3)), histogram(np.ones(3)))


def test_constant_image_has_its_value_exactly() -> None:
    for value in (0.0, -0.0, 0.1, -1e30, 1e300, 16777217.0):
        found = histogram(np.full((30, 20), value))
        assert (found.minimum, found.median, found.maximum, found.sigma) == (value, value, value, 0.0)


def test_values_beyond_float32_are_its_largest() -> None:
    found = histogram(np.array([-1e300, 0.0, 1.0, 2.0, 1e300]))
    assert (found.n, found.minimum, found.median, found.maximum) == (5, -1e300, 1.0, 1e300)
    np.testing.assert_allclose(found.quantile([0.1, 0.9]), [-counting.LARGEST, counting.LARGEST])


class Rows:
    """Rows on demand, of which it tells."""

    def __init__(self, values: NDArray[np.float32]) -> None:
        self.values, self.shape, self.asked = values, values.shape, [0]

    def __getitem__(self, rows: slice, /) -> NDArray[np.float32]:
        self.asked += list(range(*rows.indices(len(self.values))))
        return self.values[rows]


def test_each_row_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PIECE", 2000)
    rows = Rows(sky())
    assert_same(histogram(rows), histogram(rows.values))
    assert rows.asked == [0, *range(400)]


def test_each_chunk_is_made_once_and_let_go() -> None:
    """A lazy image of 128 MB in chunks of 4 MB: one pass, in the memory of a few of them."""
    made: list[Any] = []

    def chunk(block_info: Any = None) -> NDArray[np.float32]:
        if block_info:
            made.append(block_info[None]["chunk-location"])
        rng = np.random.default_rng(len(made))
        return rng.normal(5, 2, (1024, 1024)).astype(np.float32)

    lazy = da.map_blocks(chunk, chunks=((1024,) * 8, (1024,) * 4), dtype=np.float32, meta=np.empty((0, 0), np.float32))
    tracemalloc.start()
    with dask.config.set(scheduler="synchronous"):
        found = histogram(lazy)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sorted(made) == [(j, i) for j in range(8) for i in range(4)]
    assert found.n == 8 * 4 << 20
    assert found.median == pytest.approx(5, abs=0.01)
    assert peak < 100e6


def test_files_and_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = sky()
    monkeypatch.setattr(module, "_PIECE", 5000)
    fits.PrimaryHDU(values).writeto(tmp_path / "m.fits")
    with fits.open(tmp_path / "m.fits", memmap=True) as hdus:
        assert_same(histogram(hdus[0].data), histogram(values))
    stored = zarr.create_array(tmp_path / "m.zarr", data=values, chunks=(100, 100))
    assert_same(histogram(stored), histogram(values))


def test_what_cannot_be_counted_is_refused() -> None:
    with pytest.raises(InputError, match="complex64"):
        histogram(np.ones((2, 2), dtype=np.complex64))
    with pytest.raises(InputError, match="one value"):
        histogram(np.float32(3))
    with pytest.raises(InputError, match="one value"):
        histogram(da.from_array(np.float32(3)))
    with pytest.raises(InputError, match=r"1\.5"):
        histogram(np.ones(3)).quantile(1.5)
