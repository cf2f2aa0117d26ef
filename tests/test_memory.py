"""The memory limit: what the plan promises, and that a process of its own keeps to it (peak resident memory)."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from surveys import field_grid, image_header, make_survey

import dmontage as dm
from dmontage.errors import InputError
from dmontage.graph.coadd import Chunk, How
from dmontage.graph.shares import Cells, share_sums
from dmontage.graph.sources import Reach, source_sets
from dmontage.planner.memory import CHUNKS, _cgroup_limits, chunk_shape, decide_memory

_RUN = """
import json, resource, sys
import dmontage as dm
from dmontage.grid import Grid
folder, out, side, options = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
grid = Grid.from_header(sys.argv[5])
made = dm.mosaic(folder, grid, **options)
made.write(out)
peak = [line for line in open("/proc/self/status") if line.startswith("VmHWM")][0].split()[1]
print(json.dumps({"peak": 1024 * int(peak), "memory": list(made.plan.memory)}))
"""


def peak_of(folder: Path, out: Path, side: int, scale: float = 2.0, **options: Any) -> dict[str, Any]:
    """Make a mosaic on a square grid in a process of its own; its peak memory, and what was promised."""
    header = out.with_suffix(".hdr")
    header.write_text(field_grid(side, scale).to_template())
    command = [sys.executable, "-c", _RUN, str(folder), str(out), str(side), json.dumps(options), str(header)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def write_images(folder: Path, n: int, side: int, spread: float, seed: int = 1) -> None:
    """``n`` square images of noise, scattered over ``spread`` pixels, and none of them on whole pixels of the grid."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    values = rng.normal(size=(side, side)).astype(np.float32)
    for k in range(n):
        dx, dy = rng.uniform(-spread / 2, spread / 2, 2)
        header = image_header(dx, dy, rotation=rng.uniform(-1, 1), shape=(side, side))
        fits.PrimaryHDU(np.roll(values, k), fits.Header(header)).writeto(folder / f"i{k:04d}.fits")


@pytest.mark.parametrize(
    "times", [pytest.param(1.5), pytest.param(10.0, marks=pytest.mark.slow)], ids=["a little larger", "ten times"]
)
def test_a_mosaic_larger_than_memory(tmp_path: Path, times: float) -> None:
    """Its pixels are ``times`` the limit, and the peak stays within."""
    limit = 480_000_000
    side = int(np.sqrt(times * limit / 8))
    write_images(tmp_path / "raw", int(25 * times), 1024, side - 1100)
    found = peak_of(tmp_path / "raw", tmp_path / "m.fits", side, memory_limit=limit)
    assert sum(path.stat().st_size for path in tmp_path.glob("*.fits")) > 0.999 * times * limit
    assert found["peak"] <= limit, found
    assert found["peak"] > limit / 4, "the measurement measures something"


@pytest.mark.parametrize(
    ("n", "side"), [pytest.param(150, 128), pytest.param(1000, 512, marks=pytest.mark.slow)], ids=["150", "1000"]
)
@pytest.mark.parametrize("combine", [pytest.param("median", marks=pytest.mark.slow), "clip"])
def test_a_deep_stack(tmp_path: Path, combine: str, n: int, side: int) -> None:
    """All images on one chunk: the chunk gets smaller, the answer does not change."""
    write_images(tmp_path / "raw", n, side, 4.0)
    limit = 580_000_000
    options: dict[str, Any] = {"combine": combine, "background": "none"}
    found = peak_of(tmp_path / "raw", tmp_path / "m.fits", side, memory_limit=limit, **options)
    assert found["peak"] <= limit, found
    if n < 1000:
        dm.mosaic(tmp_path / "raw", field_grid(side), memory_limit=8e9, **options).write(tmp_path / "free.fits")
        assert fits.getheader(tmp_path / "free.fits")["DATAHASH"] == fits.getheader(tmp_path / "m.fits")["DATAHASH"]


def test_chunks_are_as_wide_as_they_may_be() -> None:
    """Of about as many pixels, on the lattice of the digests' blocks; one column of them where that is possible."""
    assert chunk_shape(1024, (4716, 4209)) == (192, 4224)
    for side in CHUNKS:
        for shape in ((50, 30), (300, 300), (5000, 4209), (12000, 12000), (100_000, 100_000)):
            ny, nx = chunk_shape(side, shape)
            assert ny % 64 == nx % 64 == 0 and 0.3 * side**2 <= ny * nx <= 1.1 * side**2
            assert nx - 64 < shape[1] or nx == 64


@pytest.mark.parametrize("combine", [pytest.param("mean", marks=pytest.mark.slow), "median", "first"])
def test_what_each_image_has_in_a_stack_is_never_held_for_all(tmp_path: Path, combine: str) -> None:
    """Sources and shares of 60 images on one chunk: a few arrays of its size at once."""
    write_images(tmp_path / "raw", 60, 256, 4.0)
    made = dm.mosaic(tmp_path / "raw", field_grid(256), tmp_path / "run.zarr", background="none", combine=combine)
    made.write(tmp_path / "m.fits")
    plan, path = made.plan, str(tmp_path / "run.zarr")
    del made  # and the rows that it has in memory
    gc.collect()
    (window, rows), how = plan.chunks[0], How.of(plan)
    chunk = Chunk(window, rows, ())
    cells = Cells(np.array([0, 128, 256]), np.array([0, 256]))
    for task in (
        lambda: share_sums(path, [chunk], how, cells),
        lambda: source_sets(path, [Reach(chunk, rows)], how),
    ):
        task()
        tracemalloc.start()
        task()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 14 * 8 * window.size < 60 * 4 * window.size


def test_what_is_given_up_first() -> None:
    """The size of chunks, then tasks at once; what is left keeps rows; and both numbers where nothing helps."""

    def task(side: int) -> int:
        return 100 * side**2

    wide = decide_memory(10**10, 4, 10, 10**9, task)
    assert (wide.workers, wide.chunk, wide.cache) == (4, 1024, 10**9)
    small = decide_memory(wide.base + 4 * int(1.15 * task(512)), 4, 10, 10**9, task)
    assert (small.workers, small.chunk, small.cache) == (4, 512, 0)
    least = decide_memory(wide.base + int(1.15 * task(64)), 4, 10, 10**9, task)
    assert (least.workers, least.chunk) == (1, 64)
    assert all(m.base + m.workers * m.task + m.cache <= m.limit for m in (wide, small, least))
    with pytest.raises(InputError, match=r"needs 321 MB at least .*limit is 320 MB; raise it .*--memory-limit"):
        decide_memory(320_000_000, 4, 10, 10**9, task)


def test_any_number_of_workers_is_weighed_at_once() -> None:
    """The size of a task is asked for once a chunk's side: it takes all images to tell."""
    asked: list[int] = []

    def task(side: int) -> int:
        asked.append(side)
        return 100 * side**2

    least = decide_memory(340_000_000, 100_000, 10, 10**9, task)
    assert least.workers > 1 and least.base + least.workers * least.task <= least.limit
    assert sorted(asked) == sorted(CHUNKS)


def test_the_plan_promises(tmp_path: Path) -> None:
    """Both numbers in the refusal; fewer workers before it; all in the printed plan."""
    survey = make_survey(tmp_path / "raw")
    with pytest.raises(InputError, match=r"the run needs .* at least .*, the memory limit is 100 MB"):
        dm.plan(survey.folder, survey.grid, memory_limit=1e8)
    for wrong in (0, -1, float("nan"), "much"):
        with pytest.raises(InputError, match="memory_limit"):
            dm.plan(survey.folder, survey.grid, memory_limit=wrong)
    plan = dm.plan(survey.folder, survey.grid, memory_limit=1e9, workers=3)
    assert plan.memory.limit == 10**9 and plan.memory.workers == 3 and plan.memory.chunk in CHUNKS
    assert "memory      3 tasks at once of up to " in str(plan) and "limit 1 GB" in str(plan)
    assert replace(plan, memory_limit=None).memory.limit > 10**8


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_limits_its_processes(tmp_path: Path, version: int) -> None:
    """By either version of control groups; "max" and the largest number are no limit."""
    root, own = tmp_path / "cgroup", tmp_path / "self"
    name, place = ("memory.max", root / "a/b") if version == 2 else ("memory.limit_in_bytes", root / "memory/a/b")
    place.mkdir(parents=True)
    own.write_text("0::/a/b\n" if version == 2 else "5:cpu,cpuacct:/x\n4:memory:/a/b\n")
    (place / name).write_text("123456\n")
    assert _cgroup_limits(root, own) == [123456]
    (place / name).write_text("max\n")
    assert _cgroup_limits(root, own) == []
    assert _cgroup_limits(tmp_path / "none", tmp_path / "neither") == []
