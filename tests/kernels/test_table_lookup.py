"""The table against numpy's interpolation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmontage.kernels.table_lookup import jumps_of, look_up


@pytest.mark.parametrize("spread", [0.0, 2.0, 12.0, 40.0])
def test_is_the_interpolation(spread: float) -> None:
    rng = np.random.default_rng(int(spread))
    knots = np.sort(np.concatenate([[0.0, 1.0], 10 ** -rng.uniform(0, spread, 254)]))
    levels = np.sort(rng.uniform(0, 1, 256))
    values = np.concatenate(
        [10 ** -rng.uniform(0, spread + 1, 20_000), knots[np.diff(knots, append=2) > 0], [-1, 0, 2]]
    )
    out = np.empty(values.size)
    look_up(values, knots, levels, jumps_of(knots), out)
    np.testing.assert_allclose(out, np.interp(values, knots, levels), rtol=1e-12)


@given(
    knots=st.lists(st.floats(0, 1, width=32), min_size=2, max_size=9).map(sorted),
    values=st.lists(st.floats(allow_nan=False), min_size=1, max_size=20),
)
def test_any_table_rises_between_its_levels(knots: list[float], values: list[float]) -> None:
    table, row = np.array(knots), np.sort(values)
    levels = np.linspace(0, 1, table.size)
    out = np.empty(row.size)
    look_up(row, table, levels, jumps_of(table), out)
    assert (np.diff(out) >= -1e-15).all()
    assert (out[row < table[0]] == 0).all() and (out[row > table[-1]] == 1).all()
    for value, level in zip(row, out, strict=True):  # where knots are alike there is a step: between is anything right
        first, last = np.searchsorted(table, value, "left"), np.searchsorted(table, value, "right")
        if first == last and 0 < first < table.size:
            assert level == pytest.approx(np.interp(value, table, levels), abs=1e-12)


def test_blank_stays_blank_and_out_may_be_the_values() -> None:
    knots = np.array([0.0, 0.5, 0.5, 1.0])
    row = np.array([np.nan, -np.inf, 0.25, 0.5, 0.75, np.inf])
    look_up(row, knots, np.array([0.0, 0.2, 0.8, 1.0]), jumps_of(knots), row)
    np.testing.assert_allclose(row, [np.nan, 0.0, 0.1, 0.8, 0.9, 1.0])
