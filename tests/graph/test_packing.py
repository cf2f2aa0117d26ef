"""Tasks' arguments in few bytes: they come back as they were."""

from __future__ import annotations

import hashlib
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmontage.graph.coadd import Chunk, How
from dmontage.graph.overlaps import Pairs
from dmontage.graph.packing import packed, unpacked
from dmontage.window import Window

ROWS = st.integers(0, 2**30)
FLOATS = st.floats(allow_nan=False)
WINDOWS = st.tuples(ROWS, ROWS, ROWS, ROWS).map(lambda w: Window(w[0], w[0] + w[1] % 9999, w[2], w[2] + w[3] % 9999))
CHUNKS = st.builds(
    Chunk, WINDOWS, st.lists(ROWS, max_size=9).map(tuple), st.lists(FLOATS, max_size=3).map(tuple),
    st.binary(max_size=32).map(bytes.hex),
)  # fmt: skip
PAIRS = st.lists(st.tuples(ROWS, ROWS, FLOATS), max_size=9).map(lambda pairs: Pairs(tuple(pairs)))


@given(st.lists(st.one_of(CHUNKS, PAIRS, ROWS, st.text(), st.lists(CHUNKS)), max_size=5))
def test_arguments_come_back(arguments: list[Any]) -> None:
    """With their types: rows are Python's numbers, since digests and names are made of them."""
    back = unpacked(packed(arguments))
    assert back == arguments and repr(back) == repr(arguments)


@pytest.mark.parametrize("first", [0, 10**6])
def test_they_are_small(first: int) -> None:
    """Pairs and chunks of images far up in a table: half of what they take pickled, and less than half a kB."""
    pairs = Pairs(tuple((first + k // 4, first + k // 4 + 317 + k % 4, 2 + (k * k % 97) / 128) for k in range(60)))
    rows = [tuple(range(first + 15 * k, first + 15 * k + 17)) for k in range(9)]
    digests = [hashlib.sha256(bytes([k])).hexdigest() for k in range(9)]
    windows = [Window(128 * k, 128 * k + 128, first, first + 7488) for k in range(9)]
    chunks = list(map(Chunk, windows, rows, [()] * 9, digests))
    for arguments in ((pairs,), (chunks, How("plane", "mean", "area", 1, None, ("mean", "area")))):
        assert len(packed(arguments)) < min(500, len(pickle.dumps(arguments)) / 2)
