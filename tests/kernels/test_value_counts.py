"""Counts of pixels against numpy's sort of the values themselves."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dmontage.kernels.value_counts import KEY_ZERO, PAGE_BITS, count_values


def plain_keys(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """How many float32 steps from zero: counted up on either side."""
    bits = np.abs(values).view(np.uint32).astype(np.int64)
    return KEY_ZERO + np.where(values < 0, -bits, bits)


def table_of(level: int) -> NDArray[np.int16]:
    return np.zeros(1 << (32 - level - PAGE_BITS), dtype=np.int16)


@pytest.mark.parametrize("level", [0, 5, 13])
def test_each_value_is_counted_in_its_bin(level: int) -> None:
    rng = np.random.default_rng(level)
    values = (rng.integers(-40, 40, 5000) * 10.0 ** rng.integers(-3, 3, 5000)).astype(np.float32)
    blank = np.array([np.nan, -np.nan, np.inf, -np.inf], dtype=np.float32)
    extreme = np.array([0.0, -0.0, 1e-45, -1e-45, np.finfo(np.float32).max], dtype=np.float32)
    row = np.concatenate([values, blank, extreme])
    numbers, counts = np.zeros(4096, dtype=np.int64), np.zeros((4096, 1 << PAGE_BITS), dtype=np.int64)
    done, n_pages = count_values(row.view(np.uint32), 0, level, table_of(level), numbers, counts, 0)
    assert done == row.size
    found = {
        (int(number) << PAGE_BITS) + int(place): int(counts[page, place])
        for page, number in enumerate(numbers[:n_pages])
        for place in np.flatnonzero(counts[page])
    }
    bins, expected = np.unique(plain_keys(row[np.isfinite(row)]) >> level, return_counts=True)
    assert found == dict(zip(bins.tolist(), expected.tolist(), strict=True))
    assert not counts[n_pages:].any()


def test_keys_are_in_the_order_of_the_values() -> None:
    values = np.array([-3e38, -2.0, -1.0, -1e-40, 0.0, 1e-45, 1.0, 2.0, 3e38], dtype=np.float32)
    assert (np.diff(plain_keys(values)) > 0).all()
    numbers, counts = np.zeros(20, dtype=np.int64), np.zeros((20, 1 << PAGE_BITS), dtype=np.int64)
    _, n_pages = count_values(values.view(np.uint32), 0, 0, table_of(0), numbers, counts, 0)
    assert (np.diff(numbers[:n_pages]) >= 0).all()
    assert n_pages == 8  # the subnormal 1e-45 is zero's neighbour, -1e-40 is not


def test_stops_before_the_pixel_that_has_no_room() -> None:
    row = np.array([1.0, 1.0, 2.0, 1.0, 4.0, 8.0], dtype=np.float32)
    numbers, counts = np.zeros(2, dtype=np.int64), np.zeros((2, 1 << PAGE_BITS), dtype=np.int64)
    table = table_of(0)
    assert count_values(row.view(np.uint32), 0, 0, table, numbers, counts, 0) == (4, 2)
    assert counts.sum() == 4
    np.testing.assert_array_equal(numbers, plain_keys(row[[0, 2]]) >> PAGE_BITS)
    assert count_values(row.view(np.uint32), 4, 0, table, numbers, counts, 2) == (4, 2)
