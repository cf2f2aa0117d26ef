"""The published notebook's sequence, with only its import line changed, beside MontagePy's own run of it."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from PIL import Image

from dmontage.grid import Grid
from dmontage.montage.tables import read_images, read_rows

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "orion-bgjump"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the real images are not at hand")

HEADER = """
from MontagePy.main import *

rtn = mHdr("84.3 -5.8", 0.6, 0.7, "region.hdr", resolution=2.0)
assert rtn["status"] == "0", rtn
"""
SEQUENCE = """
from MontagePy.main import *

rtns = []
rtns.append(mImgtbl("raw", "rimages.tbl"))
rtns.append(mProjExec("raw", "rimages.tbl", "region.hdr", projdir="projected", quickMode=False))
rtns.append(mImgtbl("projected", "pimages.tbl"))
rtns.append(mAdd("projected", "pimages.tbl", "region.hdr", "uncorrected.fits"))
rtns.append(mOverlaps("pimages.tbl", "diffs.tbl"))
rtns.append(mDiffFitExec("projected", "diffs.tbl", "region.hdr", "diffs", "fits.tbl"))
rtns.append(mBgModel("pimages.tbl", "fits.tbl", "corrections.tbl"))
rtns.append(mBgExec("projected", "pimages.tbl", "corrections.tbl", "corrected"))
rtns.append(mImgtbl("corrected", "cimages.tbl"))
rtns.append(mAdd("corrected", "cimages.tbl", "region.hdr", "mosaic.fits"))
for rtn in rtns:
    assert rtn["status"] == "0", rtn
"""
PICTURE = """
from MontagePy.main import *

rtn = mViewer("-ct 1 -gray mosaic.fits -2s max gaussian-log -out mosaic.png", "", mode=2)
assert rtn["status"] == "0", rtn
"""

Run = Callable[[Path], None]


def lay_out(folder: Path) -> Path:
    for name in ("raw", "projected", "diffs", "corrected"):
        (folder / name).mkdir(parents=True)
    for path in DATA.glob("*.fits.gz"):
        (folder / "raw" / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    return folder


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of our run."""
    folder = lay_out(tmp_path_factory.mktemp("ours") / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        told: dict[str, Any] = {}
        for cell in (HEADER, SEQUENCE, PICTURE):
            exec(cell.replace("MontagePy.main", "dmontage.montage"), told)
    return folder


@pytest.fixture(scope="module")
def theirs(ours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of MontagePy's on the same header: its own mHdr needs a server, its mViewer a package that it does not name.

    In a process of its own: the C library keeps state.
    """
    pytest.importorskip("MontagePy.main")
    folder = lay_out(tmp_path_factory.mktemp("theirs") / "run")
    (folder / "region.hdr").write_text((ours / "region.hdr").read_text())
    subprocess.run([sys.executable, "-c", SEQUENCE], cwd=folder, check=True, capture_output=True, timeout=300)
    return folder


def test_a_mosaic_and_a_picture(ours: Path) -> None:
    """Jumps of up to 142 between neighbours are gone from the mosaic; all that images cover has a value."""
    grid = Grid.from_header(ours / "region.hdr")
    before, after = fits.getdata(ours / "uncorrected.fits"), fits.getdata(ours / "mosaic.fits")
    assert before.shape == after.shape == grid.shape
    np.testing.assert_array_equal(np.isfinite(before), np.isfinite(after))
    assert np.isfinite(after).mean() > 0.75
    assert Image.open(ours / "mosaic.png").size == grid.shape[::-1]
    assert steps(ours / "corrected", ours / "cimages.tbl") < 0.05 * steps(ours / "projected", ours / "pimages.tbl")


def steps(folder: Path, table: Path) -> float:
    """The mean of what neighbours differ by: of the medians over overlaps of a thousand pixels and more."""
    grid = Grid.from_header(folder.parent / "region.hdr")
    stack = np.stack([pasted(Path(row.path), grid) for row in read_images(str(table), str(folder))])
    found = []
    for i, a in enumerate(stack):
        for b in stack[:i]:
            off = (a - b)[np.isfinite(a) & np.isfinite(b)]
            if off.size > 1000:
                found.append(abs(float(np.median(off))))
    assert len(found) > 12
    return float(np.mean(found))


def pasted(path: Path, grid: Grid, blank: float = np.nan) -> NDArray[np.float64]:
    """An image on the whole grid, by its reference pixel."""
    data, header = fits.getdata(path, header=True)
    whole = np.full(grid.shape, blank)
    of_grid = grid.to_header()
    x, y = (round(of_grid[f"CRPIX{k}"] - header[f"CRPIX{k}"]) for k in (1, 2))
    whole[y : y + data.shape[0], x : x + data.shape[1]] = data
    return whole


def test_the_same_files(ours: Path, theirs: Path) -> None:
    """Names are those of MontagePy's run, differences that it deletes included."""

    def names(folder: Path) -> set[str]:
        return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != "mosaic.png"}

    assert names(ours) == names(theirs)


def test_the_same_pixels(ours: Path, theirs: Path) -> None:
    """Within 1e-6 of mProjectPP's, but where that drops pixels on the template's border; areas to what it neglects.

    Its area of a pixel is the same over the whole field, which is 0.35° from the middle at most: 6e-5 off, twice that
    with the images' own.
    """
    grid = Grid.from_header(ours / "region.hdr")
    for path in sorted((theirs / "projected").glob("*_area.fits")):
        area, their_area = pasted(ours / "projected" / path.name, grid, 0.0), pasted(path, grid, 0.0)
        name = path.name.replace("_area", "")
        values, their_values = (pasted(folder / "projected" / name, grid) for folder in (ours, theirs))
        np.testing.assert_array_equal(np.isfinite(values), np.isfinite(their_values))
        border = np.ones(grid.shape, bool)
        border[1:-1, 1:-1] = False
        inside = np.isfinite(values) & ~border
        np.testing.assert_allclose(values[inside], their_values[inside], rtol=1e-6)
        np.testing.assert_allclose(area[inside], their_area[inside], rtol=3e-4)
        assert (area[border] >= 0.999 * their_area[border]).all()


def test_the_same_tables(ours: Path, theirs: Path) -> None:
    """Each reads the other's: the columns are those of Montage, and so are the pairs."""
    for name in ("rimages.tbl", "pimages.tbl", "cimages.tbl", "diffs.tbl", "fits.tbl", "corrections.tbl"):
        mine, others = read_rows(str(ours / name), ()), read_rows(str(theirs / name), ())
        assert len(mine) == len(others) and set(mine[0]) >= set(others[0]), name
    pairs = []
    for folder in (ours, theirs):
        names = {row.cntr: row.name for row in read_images(str(folder / "pimages.tbl"))}
        found = read_rows(str(folder / "fits.tbl"), ("plus", "minus"))
        pairs.append({frozenset((names[row["plus"]], names[row["minus"]])) for row in found})
    assert pairs[0] == pairs[1]


def test_the_uncorrected_mosaic_is_theirs(ours: Path, theirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own default, without areas: but where it drops pixels."""
    from dmontage.montage import mAdd

    monkeypatch.chdir(ours)
    assert mAdd("projected", "pimages.tbl", "region.hdr", "plain.fits", haveAreas=False)["status"] == "0"
    a, b = fits.getdata(ours / "plain.fits"), fits.getdata(theirs / "uncorrected.fits")
    np.testing.assert_array_equal(np.isfinite(a), np.isfinite(b))
    np.testing.assert_allclose(a[1:-1, 1:-1], b[1:-1, 1:-1], rtol=1e-6)


def test_the_background_is_no_worse(ours: Path, theirs: Path) -> None:
    assert steps(ours / "corrected", ours / "cimages.tbl") <= steps(theirs / "corrected", theirs / "cimages.tbl")
