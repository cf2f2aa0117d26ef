"""A published workflow, Pegasus' montage-workflow (version 3): its own command lines by installed executables.

A small stand-in for the planner writes what the workflow's generator writes, in the same way; jobs are run as they are
on a node: executables are copied to the job's folder, and nothing of ours is on the path.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from astropy.io import ascii as tables
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from dmontage.fits_files import one_image, write_image
from dmontage.grid import Grid
from dmontage.montage.install import install
from dmontage.window import Window

SIDE, MARGIN = 130, 60
"""Pixels of the mosaic, and by which the template of the projection is larger on each side."""
SKY = Grid.around("84.0 10.0", scale="1.1 arcsec", shape=(170, 170), rotation="17 deg", frame="fk5")
WINDOWS = [Window(y0, y0 + 95, x0, x0 + 100) for y0 in (0, 75) for x0 in (0, 70)]
PLANES = ((0.0, 0.02, -0.01), (40.0, -0.02, 0.01), (-25.0, 0.01, 0.02), (12.0, -0.01, -0.01))
"""Of each image's background: level and slopes."""

Job = tuple[str, list[str]]


def sky(grid: Grid) -> NDArray[np.float64]:
    """A smooth nebula, a function of the place alone."""
    y, x = np.indices(grid.shape)
    u, v = SKY.pixel(grid.sky(x.astype(float), y.astype(float)))
    return 100.0 + 10.0 * np.exp(-((u - 95) ** 2 + (v - 80) ** 2) / 2 / 40.0**2)


def header(margin: int) -> str:
    """The template of the generator, card by card."""
    cards = [("NAXIS1", SIDE + 2 * margin), ("NAXIS2", SIDE + 2 * margin), ("CTYPE1", "'RA---TAN'"),
             ("CTYPE2", "'DEC--TAN'"), ("CRVAL1", f"{84:.6f}"), ("CRVAL2", f"{10:.6f}"),
             ("CRPIX1", f"{(SIDE + 1) / 2 + margin:.6f}"), ("CRPIX2", f"{(SIDE + 1) / 2 + margin:.6f}"),
             ("CDELT1", "-0.000277778"), ("CDELT2", "0.000277778"), ("CROTA2", "0.000000"),
             ("EQUINOX", 2000)]  # fmt: skip
    lines = ["SIMPLE  = T", "BITPIX  = -64", "NAXIS   = 2", *(f"{key:<8}= {value}" for key, value in cards), "END"]
    return "".join(f"{line}\n" for line in lines)


ARCHIVE = {
    "cntr": ("int", "7d"), "ctype1": ("char", "8"), "ctype2": ("char", "8"), "naxis1": ("int", "6d"),
    "naxis2": ("int", "6d"), "crval1": ("double", "10.6f"), "crval2": ("double", "10.6f"), "crpix1": ("double", "8.2f"),
    "crpix2": ("double", "8.2f"), "cdelt1": ("double", "11.8f"), "cdelt2": ("double", "11.8f"),
    "crota2": ("double", "10.5f"), "URL": ("char", "24"), "file": ("char", "20"),
}  # fmt: skip
"""Columns of the archive's tables, and the digits that they have there."""


def write_archive(folder: Path) -> None:
    """The images, and the table that the archive gives of them, names of packed files in ``file``."""
    rows = []
    for k, (window, (level, slope_x, slope_y)) in enumerate(zip(WINDOWS, PLANES, strict=True), 1):
        grid, name = SKY.subgrid(window), f"poss_{k:03d}.fits"
        y, x = np.indices(grid.shape)
        write_image(folder / name, sky(grid) + level + slope_x * x + slope_y * y, grid)
        cards = {key.lower(): value for key, value in grid.to_header().items()}
        cards |= {"cntr": k, "naxis1": grid.shape[1], "naxis2": grid.shape[0], "file": f"{name}.gz"}
        cards |= {"crota2": np.degrees(np.arctan2(-cards["pc2_1"], cards["pc1_1"])), "url": f"http://archive/p&n={k}"}
        rows.append("".join(f" {cards[key.lower()]:{form}}" for key, (_, form) in ARCHIVE.items()))
    # The archive sends them packed, whatever name they get.
    first = folder / "poss_001.fits"
    first.write_bytes(gzip.compress(first.read_bytes()))
    widths = [int(form.partition(".")[0].rstrip("d")) for _, form in ARCHIVE.values()]
    kinds = [kind for kind, _ in ARCHIVE.values()]
    head = ["".join(f"|{word:>{width}}" for word, width in zip(words, widths, strict=True)) + "|"
            for words in (list(ARCHIVE), kinds)]  # fmt: skip
    (folder / "1-images.tbl").write_text("\n".join(["\\datatype=fitshdr", *head, *rows, ""]))


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tools")
    install(folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path, tools: Path) -> Path:
    """A node's: its executables lie in it."""
    for tool in tools.iterdir():
        shutil.copy(tool, tmp_path)
    write_archive(tmp_path)
    (tmp_path / "region.hdr").write_text(header(0))
    (tmp_path / "region-oversized.hdr").write_text(header(MARGIN))
    return tmp_path


def run_all(folder: Path, jobs: Sequence[Job]) -> list[str]:
    """Jobs that need nothing of each other, two at a time; what they said."""
    # Where dmontage is not installed but on Python's path it has to be told; an installed one needs nothing.
    env = {"PATH": "/usr/bin:/bin:."} | {key: os.environ[key] for key in ("PYTHONPATH",) if key in os.environ}

    def run(job: Job) -> str:
        name, words = job
        done = subprocess.run(
            [f"./{name}", *words], cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0 and done.stderr == "", (job, done.stdout, done.stderr)
        return done.stdout

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(run, jobs))


def base(name: str) -> str:
    return re.sub(r"(diff\.|\.fits.*)", "", name)


def write_answers_table(folder: Path) -> None:
    """The table of the answers' files, as the generator makes it of the table of pairs."""
    table = tables.read(folder / "1-diffs.tbl")
    table["stat"] = " " * 66
    for row in table:
        row["stat"] = f"1-fit.{base(row['diff'])}.txt"
    tables.write(table, folder / "1-stat.tbl", format="ipac")


def files(folder: Path, table: str, column: str = "file") -> list[str]:
    """A column, by the reader that guesses the format, as the generator has it."""
    return [str(name) for name in tables.read(folder / table)[column]]


def projections(folder: Path) -> list[Job]:
    names = [base(name) for name in files(folder, "1-images.tbl")]
    return [("mProject", ["-X", f"{name}.fits", f"p{name}.fits", "region-oversized.hdr"]) for name in names]


def differences(folder: Path) -> list[Job]:
    pairs: Table = tables.read(folder / "1-diffs.tbl")
    return [
        ("mDiffFit", ["-d", "-s", f"1-fit.{base(row['diff'])}.txt", f"p{row['plus']}", f"p{row['minus']}",
                      f"1-diff.{base(row['diff'])}.fits", "region-oversized.hdr"])
        for row in pairs
    ]  # fmt: skip


def corrections(folder: Path) -> list[Job]:
    names = [base(name) for name in files(folder, "1-raw.tbl")]
    return [("mBackground", ["-t", f"p{name}.fits", f"c{name}.fits", "1-projected.tbl", "1-corrections.tbl"])
            for name in names]  # fmt: skip


@pytest.mark.slow
def test_the_workflow(folder: Path, tools: Path) -> None:
    assert {"mDiff", "mFitplane"} <= {path.name for path in tools.iterdir()}  # which mDiffFit says to need
    tables_made = "1-images.tbl region-oversized.hdr 1-raw.tbl 1-projected.tbl 1-corrected.tbl"
    run_all(folder, [("mDAGTbls", tables_made.split())])
    run_all(folder, [("mOverlaps", ["1-raw.tbl", "1-diffs.tbl"])])
    write_answers_table(folder)
    assert len(files(folder, "1-diffs.tbl", "diff")) == 6

    run_all(folder, projections(folder))
    for planned, made in zip(tables.read(folder / "1-projected.tbl"), files(folder, "1-projected.tbl"), strict=True):
        shape = one_image(folder / made).grid.shape  # some of its window may be blank, but no more than a rim
        assert 0 <= planned["naxis1"] - shape[1] <= 2 and 0 <= planned["naxis2"] - shape[0] <= 2
    run_all(folder, differences(folder))
    (said,) = run_all(folder, [("mConcatFit", ["1-stat.tbl", "1-fits.tbl", "."])])
    assert said.startswith('[struct stat="OK", module="mConcatFit", count=6, failed=0, missing=0, warning=0')
    run_all(folder, [("mBgModel", ["-i", "100000", "1-images.tbl", "1-fits.tbl", "1-corrections.tbl"])])
    run_all(folder, corrections(folder))
    run_all(folder, [("mImgtbl", [".", "-t", "1-corrected.tbl", "1-updated-corrected.tbl"])])
    run_all(folder, [("mAdd", ["-e", "1-updated-corrected.tbl", "region.hdr", "1-mosaic.fits"])])

    image, region = one_image(folder / "1-mosaic.fits"), Grid.from_header(str(folder / "region.hdr"))
    assert image.grid == region
    values, area = (fits.getdata(folder / name) for name in ("1-mosaic.fits", "1-mosaic_area.fits"))
    inside = np.isfinite(values) & (area > 0.99 * region.scale**2)
    assert inside.mean() > 0.95
    y, x = np.nonzero(inside)
    design = np.stack([np.ones(x.size), x - SIDE / 2, y - SIDE / 2], axis=1)
    off = (values - sky(region))[inside]
    plane = np.linalg.lstsq(design, off, rcond=None)[0]
    left = off - design @ plane
    # Backgrounds are gone but for one plane of all images; what is left is the pixels' own size, on a curved sky.
    assert abs(plane[0] - np.mean([level for level, _, _ in PLANES])) < 5.0 and np.abs(plane[1:]).max() < 0.03
    assert np.abs(left).max() < 0.05 and left.std() < 0.006, (np.abs(left).max(), left.std())
    view_it(folder)


def view_it(folder: Path) -> None:
    """The pictures of the mosaic, and of three of them in colours."""
    limits = ["-0.5s", "max", "gaussian-log"]
    colours = [word for band in ("red", "green", "blue") for word in (f"-{band}", "1-mosaic.fits", *limits)]
    run_all(folder, [
        ("mViewer", ["-ct", "1", "-gray", "1-mosaic.fits", "-1s", "max", "gaussian", "-png", "1-mosaic.png"]),
        ("mViewer", [*colours, "-png", "mosaic-color.png"]),
    ])  # fmt: skip
    for name in ("1-mosaic.png", "mosaic-color.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
