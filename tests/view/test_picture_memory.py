"""A lazy mosaic much larger than the memory that its picture takes, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

_RUN = """
import json, sys
import dask, numpy as np
import dask.array as da
from dask.array.core import normalize_chunks
from dmontage.view.picture import picture

def peak():
    return 1024 * int([line for line in open("/proc/self/status") if line.startswith("VmHWM")][0].split()[1])

def make(block_info=None):
    (y0, y1), (x0, x1) = block_info[None]["array-location"]
    across = np.cos(np.arange(x0, x1, dtype=np.float32) / 700)
    return np.sin(np.arange(y0, y1, dtype=np.float32) / 900)[:, None] * across

side, chunk, max_side, out = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
lazy = da.map_blocks(make, chunks=normalize_chunks(chunk, (side, side)), dtype="f4", meta=np.empty((0, 0), "f4"))
with dask.config.set(scheduler="threads", num_workers=2):
    small = lazy[:300, :300]
    picture(small, max_side=100)  # all imports and kernels
    before = peak()
    shown = picture(lazy, max_side=max_side, stretch="linear", low=-1, high=1)
    extra = peak() - before
    np.save(out, shown)
print(json.dumps({"bytes": lazy.nbytes, "extra": extra}))
"""


def preview(path: Path, side: int, chunk: int, max_side: int) -> dict[str, int]:
    """Make a picture of a product of two waves; the array's size, and by how much memory rose."""
    command = [sys.executable, "-c", _RUN, *map(str, (side, chunk, max_side, path))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def wave_means(wave: np.ufunc, length: float, side: int, step: int) -> list[float]:
    """Means over every ``step`` values."""
    values = wave(np.arange(side) / length)
    return [float(values[k : k + step].mean()) for k in range(0, side, step)]


def check(path: Path, side: int, max_side: int) -> None:
    """The picture is that of the two waves' means: a mean of products is the product of means here."""
    step = -(-side // max_side)
    wanted = np.outer(wave_means(np.sin, 900, side, step), wave_means(np.cos, 700, side, step))
    shown = np.load(path)[::-1]
    assert shown.shape == (*wanted.shape, 4) and (shown[..., 3] == 255).all()
    np.testing.assert_allclose(shown[..., 0], 255 * (wanted + 1) / 2, rtol=0, atol=0.5 + 1e-4)  # of float32 waves


def test_memory_is_that_of_some_chunks(tmp_path: Path) -> None:
    found = preview(tmp_path / "p.npy", 8192, 1024, 500)
    assert found["bytes"] == 4 * 8192**2
    assert found["extra"] < found["bytes"] / 3  # a chunk is 1/64 of them, and a sixth in all is usual
    check(tmp_path / "p.npy", 8192, 500)


@pytest.mark.slow
def test_a_gigapixel_within_half_a_gigabyte(tmp_path: Path) -> None:
    found = preview(tmp_path / "p.npy", 32_768, 2048, 2000)
    assert found["bytes"] == 4 << 30
    assert found["extra"] < 512 << 20
    check(tmp_path / "p.npy", 32_768, 2000)
