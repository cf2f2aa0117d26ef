"""C29: ten thousand small files are scanned with few of them open, and the tasks of a run carry no pixels.

The work is done in a process of its own, whose limit of open files is lowered to 64: one more is an error there.
"""

from __future__ import annotations

import pickle
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from faults import environment

LIMIT = 64
SIDE = 8


def make(folder: Path, n: int) -> None:
    """``n`` files of 8 × 8 pixels of 5.0 in a square lattice, each a good half over its neighbours, by one template."""
    from corpus import image

    template = image(
        NAXIS1=str(SIDE), NAXIS2=str(SIDE), CRPIX1="12345678.5", CRPIX2="87654321.5",
        body=b"\x40\xa0\0\0" * SIDE * SIDE,
    )  # fmt: skip
    across = int(n**0.5)
    for i in range(n):
        x, y = (f"{5 * (k - across // 2) + 0.5:>10}".encode() for k in (i % across, i // across))
        data = template.replace(b"12345678.5", x).replace(b"87654321.5", y)
        (folder / f"small{i:05d}.fits").write_bytes(data)


def main(folder: Path, n: int, n_mosaic: int) -> None:
    """In the child: scan all, make a mosaic of some; prints the images found and the bytes of all tasks."""
    import numpy as np

    import dmontage as dm
    from dmontage.graph import drive
    from dmontage.pipeline import stages

    sizes: list[int] = []

    def spy(calls: list[drive.Call], progress: Any, **options: Any) -> list[Any]:
        sizes.append(len(pickle.dumps(calls)))
        return drive.run(calls, progress, **options)

    setattr(stages, "run", spy)  # noqa: B010
    make(folder, n)
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
    images = dm.scan(folder)
    assert not images.skipped, images.skipped[0]
    mosaic = dm.mosaic(images[:n_mosaic], background="level")
    mosaic.compute()
    setattr(stages, "run", drive.run)  # noqa: B010 (tasks that write a product hold its open file, and stay here)
    mosaic.write(folder / "out" / "mosaic.fits")
    (written,) = dm.scan(folder / "out" / "mosaic.fits")
    from dmontage.fits_files import read

    data = read(written)
    np.testing.assert_allclose(data[np.isfinite(data)], 5.0, rtol=1e-6)
    print(len(images), sum(sizes), flush=True)


def _run(folder: Path, n: int, n_mosaic: int) -> tuple[int, int]:
    (folder / "out").mkdir()
    code = "import sys, test_many_files as t; t.main(t.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(n), str(n_mosaic)],
        capture_output=True, text=True, check=False, env=environment(), cwd=Path(__file__).parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found, n_bytes = done.stdout.split()
    return int(found), int(n_bytes)


def _check(folder: Path, n: int, n_mosaic: int) -> None:
    found, n_bytes = _run(folder, n, n_mosaic)
    assert found == n
    # Less than the headers of the images would be, let alone their pixels.
    assert 0 < n_bytes < 100 * n_mosaic + 100_000


def test_many_files_need_no_more_than_64_open(tmp_path: Path) -> None:
    _check(tmp_path, 500, 50)


@pytest.mark.slow
def test_ten_thousand_files_need_no_more_than_64_open(tmp_path: Path) -> None:
    _check(tmp_path, 10_000, 1000)
