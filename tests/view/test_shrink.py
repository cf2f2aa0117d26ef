"""Shrinking against numpy's own means, in whatever pieces the pixels come."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dmontage.errors import InputError
from dmontage.graph import shrunk
from dmontage.view.shrink import shrink, step_for


def means(data: NDArray[Any], step: int) -> NDArray[np.float64]:
    """By a loop over squares, each a numpy mean of what is finite."""
    ny, nx = data.shape
    result = np.full((-(-ny // step), -(-nx // step)), np.nan)
    for j, i in np.ndindex(*result.shape):
        square = data[j * step : (j + 1) * step, i * step : (i + 1) * step].astype(np.float64)
        if np.isfinite(square).any():
            result[j, i] = square[np.isfinite(square)].mean()
    return result


def image(seed: int, shape: tuple[int, int] = (41, 26), dtype: str = "<f4") -> NDArray[Any]:
    """Noise with holes."""
    rng = np.random.default_rng(seed)
    values = np.clip(rng.normal(100, 30, shape), 0, 255).astype(dtype)
    if values.dtype.kind == "f":
        values[rng.random(shape) < 0.3] = np.nan
        values[: shape[0] // 5, shape[1] // 5 : shape[1] // 2] = np.nan
        values[shape[0] // 2, shape[1] // 2], values[-1, 0] = np.inf, -np.inf
    return values


class Reader:
    """Rows on demand, as a file or a store gives them."""

    def __init__(self, values: NDArray[np.float32]) -> None:
        self.values = values
        self.shape = values.shape
        self.asked: list[tuple[int, int]] = []

    def __getitem__(self, rows: slice, /) -> NDArray[np.float32]:
        self.asked.append((rows.start, min(rows.stop, len(self.values))))
        return self.values[rows]


@pytest.mark.parametrize("step", [2, 3, 7, 100])
@pytest.mark.parametrize("dtype", [">f4", "<f8", ">i2", "u1", "<f2"])
def test_it_is_the_mean_of_finite_pixels(step: int, dtype: str) -> None:
    values = image(step, dtype=dtype)
    np.testing.assert_allclose(shrink(values, step), means(values, step), rtol=1e-13)


def test_a_step_of_one_gives_the_pixels() -> None:
    small, large = image(1), image(1, dtype="<f8")
    assert np.shares_memory(shrink(small, 1), small)
    np.testing.assert_array_equal(shrink(small.astype(">f4"), 1), small)
    assert shrink(large, 1).dtype == np.float64
    np.testing.assert_array_equal(shrink(large, 1), large)


def test_masked_pixels_are_blank() -> None:
    values = np.ma.array(np.arange(16.0).reshape(4, 4), mask=np.eye(4) > 0)
    counts = np.ma.array(np.arange(16).reshape(4, 4), mask=np.eye(4) > 0)
    wanted = [[(1 + 4) / 2, (2 + 3 + 6 + 7) / 4], [(8 + 9 + 12 + 13) / 4, (11 + 14) / 2]]
    np.testing.assert_array_equal(shrink(values, 2), wanted)
    np.testing.assert_array_equal(shrink(counts, 2), wanted)
    assert np.isnan(shrink(values, 1)).sum() == 4


def test_each_row_is_read_once_in_bounded_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    values = image(0, (301, 100))
    whole = shrink(values, 6)
    monkeypatch.setattr(shrunk, "_BAND", 2000)
    reader = Reader(values)
    np.testing.assert_array_equal(shrink(reader, 6), whole)
    starts, stops = zip(*reader.asked, strict=True)
    assert starts[0] == 0 and stops[-1] == 301 and starts[1:] == stops[:-1]
    assert max(stop - start for start, stop in reader.asked) * 100 <= 2000


@pytest.mark.parametrize("chunks", [(41, 26), (1, 26), (41, 1), (10, 10), (6, 7), ((1, 39, 1), (25, 1))])
@pytest.mark.parametrize("step", [1, 2, 3, 7, 100])
def test_a_lazy_array_gives_the_same_bits_in_any_chunks(chunks: Any, step: int) -> None:
    values = image(5)
    values[0, 0] = 1e7  # sums in another order would have other last bits
    lazy = da.from_array(values, chunks=chunks)  # type: ignore[no-untyped-call]
    np.testing.assert_array_equal(shrink(lazy, step), shrink(values, step))


@given(st.integers(0, 2**32 - 1), st.integers(2, 9))
def test_sums_are_exact(seed: int, step: int) -> None:
    """Rounded once: Fractions have the same mean, of values that cancel over thirteen orders of magnitude."""
    rng = np.random.default_rng(seed)
    values = (rng.normal(size=(19, 14)) * 10.0 ** rng.uniform(-4, 9, (19, 14))).astype(np.float32)
    values[1::2] = -values[:-1:2]
    values += rng.integers(-1, 2, values.shape).astype(np.float32)
    lazy = da.from_array(values, chunks=(int(rng.integers(1, 20)), int(rng.integers(1, 15))))  # type: ignore[no-untyped-call]
    for shrunk_values in (shrink(values, step), shrink(lazy, step)):
        for j, i in np.ndindex(*shrunk_values.shape):
            square = values[j * step : (j + 1) * step, i * step : (i + 1) * step].ravel().tolist()
            assert shrunk_values[j, i] == float(sum(map(Fraction, square))) / len(square)


def test_sums_beyond_float64_are_blank_in_pieces_too() -> None:
    values = np.tile([[1e308], [-1e308], [1.0]], (1, 40))
    lazy = da.from_array(values, chunks=(1, 7))  # type: ignore[no-untyped-call]
    for shown in (shrink(values, 40), shrink(lazy, 40)):
        assert np.isnan(shown).all()
    np.testing.assert_array_equal(shrink(lazy[2:], 40), 1.0)


def test_a_stored_array_is_read_by_its_chunks(tmp_path: Path) -> None:
    values = image(6, (90, 70))
    stored = zarr.create_array(tmp_path / "a.zarr", shape=values.shape, chunks=(32, 32), dtype="f4")
    stored[:] = values
    np.testing.assert_array_equal(shrink(stored, 4), shrink(values, 4))


def test_memory_map_of_a_fits_file(tmp_path: Path) -> None:
    values = image(4)
    fits.PrimaryHDU(values).writeto(tmp_path / "m.fits")
    with fits.open(tmp_path / "m.fits", memmap=True) as hdus:
        assert hdus[0].data.dtype.byteorder == ">"
        np.testing.assert_array_equal(shrink(hdus[0].data, 5), shrink(values, 5))


@pytest.mark.parametrize(("shape", "max_side", "step"), [
    ((300, 200), 300, 1), ((300, 200), 299, 2), ((301, 7), 100, 4), ((5, 1000), 1, 1000), ((100_000, 10), 2000, 50),
    ((100_000, 10), None, 1),
])  # fmt: skip
def test_the_step_fits_the_largest_side(shape: tuple[int, int], max_side: int | None, step: int) -> None:
    assert step_for(shape, max_side) == step
    assert max_side is None or -(-max(shape) // step) <= max_side


def test_what_has_no_picture_is_refused() -> None:
    with pytest.raises(InputError, match=r"\(2, 4, 4\)"):
        step_for((2, 4, 4), 10)
    with pytest.raises(InputError, match=r"\(0, 4\)"):
        step_for((0, 4), 10)
    with pytest.raises(InputError, match="max_side is 0"):
        step_for((4, 4), 0)
    with pytest.raises(InputError, match="complex128"):
        shrink(np.ones((4, 4), complex), 2)


def test_workers_of_a_cluster_make_the_sums(client: Any, tmp_path: Path) -> None:
    values = image(7, (90, 70))
    lazy = da.from_array(values, chunks=(32, 20))  # type: ignore[no-untyped-call]
    np.testing.assert_array_equal(shrink(lazy, 4), shrink(values, 4))
    stored = zarr.create_array(tmp_path / "a.zarr", shape=values.shape, chunks=(32, 32), dtype="f4")
    stored[:] = values
    np.testing.assert_array_equal(shrink(stored, 4), shrink(values, 4))
