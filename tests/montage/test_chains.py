"""Mixed chains: each stage by Montage's own program or by ours, over the same files, by the same words.

The sky is smooth, and each image has a plane of its own: where chains are right, mosaics differ by one plane.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from dmontage.fits_files import one_image, write_image
from dmontage.grid import Grid
from dmontage.montage.program import main
from dmontage.window import Window

STAGES = [
    ("mImgtbl", "-c raw rimages.tbl"),
    ("mProjExec", "-p raw rimages.tbl region.hdr proj stats.tbl"),
    ("mImgtbl", "-c proj pimages.tbl"),
    ("mOverlaps", "pimages.tbl diffs.tbl"),
    ("mDiffFitExec", "-p proj diffs.tbl region.hdr diff fits.tbl"),
    ("mBgModel", "pimages.tbl fits.tbl corrections.tbl"),
    ("mBgExec", "-p proj pimages.tbl corrections.tbl corr"),
    ("mAdd", "-p corr -e pimages.tbl region.hdr mosaic.fits"),
]
IN_TWO = [("mDiffExec", "-p proj diffs.tbl region.hdr diff"), ("mFitExec", "diffs.tbl fits.tbl diff")]
"""In place of mDiffFitExec."""

REGION = Grid.around("84.0 10.0", scale="2 arcsec", shape=(170, 160), rotation="0 deg")
SKY = Grid.around("84.0 10.0", scale="2.2 arcsec", shape=(180, 180), rotation="17 deg")
N_PLACES = 6

needs_montage = pytest.mark.skipif(
    any(shutil.which(name) is None for name, _ in [*STAGES, *IN_TWO]), reason="Montage is not installed"
)


def sky(grid: Grid) -> NDArray[np.float64]:
    """A smooth nebula on a grid, a function of the place alone."""
    y, x = np.indices(grid.shape)
    u, v = SKY.pixel(grid.sky(x.astype(float), y.astype(float)))
    return 100.0 + 10.0 * np.exp(-((u - 95) ** 2 + (v - 80) ** 2) / 2 / 40.0**2)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six overlapping images."""
    for name in ("raw", "proj", "diff", "corr"):
        (tmp_path / name).mkdir()
    random = np.random.default_rng(3)
    for k in range(N_PLACES):
        y0, x0 = 55 * (k // 2), 80 * (k % 2)
        grid = SKY.subgrid(Window(y0, y0 + 70, x0, x0 + 100))
        y, x = np.indices(grid.shape)
        level, slope_x, slope_y = random.uniform(-20, 20), *random.uniform(-0.02, 0.02, 2)
        write_image(tmp_path / f"raw/i{k}.fits", sky(grid) + level + slope_x * x + slope_y * y, grid)
    (tmp_path / "region.hdr").write_text(REGION.to_template())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ours(name: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    code = main(name, words.split())
    said = capsys.readouterr().out
    assert code == 0 and said.startswith(f'[struct stat="OK", module="{name}"'), said


def theirs(name: str, words: str) -> None:
    program = shutil.which(name)
    assert program is not None
    said = subprocess.run([program, *words.split()], capture_output=True, text=True, check=True, env=os.environ)
    assert 'stat="OK"' in said.stdout, (name, said.stdout)
    for word in ("failed", "missing"):  # the boxes of two images meet in their blank corners
        assert f"{word}=" not in said.stdout or f"{word}=0" in said.stdout or f"{word}=1" in said.stdout, said.stdout


def off_by_a_plane() -> tuple[float, float]:
    """The largest and the rms difference between the mosaic and the sky, beyond one plane; of pixels wholly inside."""
    image = one_image("mosaic.fits")
    assert image.grid == REGION
    values, area = fits.getdata("mosaic.fits"), fits.getdata("mosaic_area.fits")
    omega = REGION.scale**2
    inside = np.isfinite(values) & (area > 0.99 * omega)
    assert inside.mean() > 0.8
    y, x = np.nonzero(inside)
    design = np.stack([np.ones(x.size), x - 80.0, y - 80.0], axis=1)
    off = (values - sky(REGION))[inside]
    left = off - design @ np.linalg.lstsq(design, off, rcond=None)[0]
    return float(np.abs(left).max()), float(left.std())


def test_ours(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is left is the pixels' own size: a curved sky averaged over them."""
    for name, words in STAGES:
        ours(name, words, capsys)
    largest, rms = off_by_a_plane()
    assert largest < 0.05 and rms < 0.005


@needs_montage
@pytest.mark.parametrize("stage", range(len(STAGES)))
def test_one_stage_is_ours(folder: Path, stage: int, capsys: pytest.CaptureFixture[str]) -> None:
    for k, (name, words) in enumerate(STAGES):
        if k == stage:
            ours(name, words, capsys)
        else:
            theirs(name, words)
    largest, rms = off_by_a_plane()
    assert largest < 0.06 and rms < 0.005


@needs_montage
@pytest.mark.parametrize("stage", range(len(STAGES)))
def test_one_stage_is_theirs(folder: Path, stage: int, capsys: pytest.CaptureFixture[str]) -> None:
    for k, (name, words) in enumerate(STAGES):
        if k == stage:
            theirs(name, words)
        else:
            ours(name, words, capsys)
    largest, rms = off_by_a_plane()
    assert largest < 0.06 and rms < 0.005


@needs_montage
@pytest.mark.parametrize("stage", range(2))
def test_differences_and_fits_by_two_programs(folder: Path, stage: int, capsys: pytest.CaptureFixture[str]) -> None:
    for name, words in STAGES[:4]:
        ours(name, words, capsys)
    for k, (name, words) in enumerate(IN_TWO):
        if k == stage:
            theirs(name, words)
        else:
            ours(name, words, capsys)
    for name, words in STAGES[5:]:
        ours(name, words, capsys)
    largest, rms = off_by_a_plane()
    assert largest < 0.06 and rms < 0.005
