"""Faults of Montage's differences, background model and adding: ours does right, and the fault is really theirs."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from six_images import write_pair, write_table
from test_corrections import fit_row, mesh
from their_programs import montagepy, program

from dmontage.grid import Grid
from dmontage.montage import mAdd, mBgExec, mBgModel, mDiff, raising
from dmontage.montage.fitplane import FIT_COLUMNS
from dmontage.montage.tables import read_rows, write_rows

Floats = NDArray[np.float64]
GRID = Grid.around("10 20", shape=(10, 12), frame="fk5")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("t.hdr").write_text(GRID.to_template())
    return tmp_path


# -- background --------------------------------------------------------------------------------------------------------


def test_c15_mdiff_of_equal_fields() -> None:
    """C15: mDiff makes 150 less 150 up to 162 where areas differ; ours: `test_differences.py`."""
    areas = np.full(GRID.shape, 0.3)
    areas[:, :6] = 0.5
    for name, area in (("a", np.ones(GRID.shape)), ("b", areas)):
        write_pair(Path(f"{name}.fits"), np.full(GRID.shape, 150.0), GRID, area)
    assert mDiff("a.fits", "b.fits", "ours.fits", "t.hdr")["max_diff"] == 0.0
    assert (fits.getdata("ours.fits") == 0.0).all()
    program("mDiff", "a.fits", "b.fits", "theirs.fits", "t.hdr")
    assert np.nanmax(fits.getdata("theirs.fits")) > 90.0


def test_mdiff_keeps_the_last_row_and_column() -> None:
    """Of images as large as the template; Montage's have one less."""
    for name, level in (("a", 3.0), ("b", 1.0)):
        write_pair(Path(f"{name}.fits"), np.full(GRID.shape, level), GRID, 1.0)
    mDiff("a.fits", "b.fits", "ours.fits", "t.hdr")
    assert fits.getdata("ours.fits").shape == GRID.shape and (fits.getdata("ours.fits") == 2.0).all()
    program("mDiff", "a.fits", "b.fits", "theirs.fits", "t.hdr")
    assert fits.getdata("theirs.fits").shape == (9, 11)


def left(rows: list[dict[str, float]], planes: Floats, side: int, far: float) -> float:
    """The largest level that corrections leave in the images' middles, less one plane."""
    y, x = np.divmod(np.arange(side * side), side)
    some = np.array([(row["a"], row["b"], row["c"]) for row in rows]) - planes
    levels = some[:, 2] + (some[:, :2] * (far + 50 * np.column_stack([x, y]) + 30)).sum(axis=1)
    design = np.column_stack([np.ones(len(x)), x, y])
    return float(np.abs(levels - design @ np.linalg.lstsq(design, levels, rcond=None)[0]).max())


@pytest.mark.parametrize(("side", "far", "fault"), [(16, 0.0, 1e-3), (4, 1e6, np.nan)])
def test_c17_noise_free_fits(here: Path, side: int, far: float, fault: float) -> None:
    """C17: mBgModel leaves steps at 256 images, and NaN where CRPIX lies far outside; ours nothing."""
    planes = mesh(here, side, far)
    assert mBgModel("i.tbl", "f.tbl", "c.tbl")["status"] == "0"
    assert left(read_rows("c.tbl", ("a", "b", "c")), planes, side, far) < 1e-6
    program("mBgModel", "i.tbl", "f.tbl", "theirs.tbl")
    rows = read_rows("theirs.tbl", ("a", "b", "c"))
    off = left(rows, planes, side, far) if len(rows) == side * side else np.nan
    assert off > fault or (np.isnan(fault) and not off < 1.0)


def test_c18_groups_that_do_not_touch_and_an_image_alone() -> None:
    """C18: each group is solved by itself, to a mean of zero; an image without a pair gets no correction."""
    middle = np.array([55.0, 30.0])
    write_rows("i.tbl", {"cntr": int, "fname": str, "naxis1": int, "naxis2": int, "crpix1": float, "crpix2": float},
               [[k, f"{k}.fits", 60, 60, -50.0 * (k % 2) - 1e3 * (k // 2), 0.0] for k in range(5)])  # fmt: skip
    lines = [fit_row(0, 1, np.array([0.0, 0.0, 4.0]), middle),
             fit_row(2, 3, np.array([0.0, 0.0, -10.0]), middle + np.array([1000.0, 0.0]))]  # fmt: skip
    write_rows("f.tbl", {"plus": int, "minus": int} | FIT_COLUMNS, lines)
    assert mBgModel("i.tbl", "f.tbl", "c.tbl")["status"] == "0"
    found = {row["id"]: row["c"] for row in read_rows("c.tbl", ("id", "c"))}
    assert found == pytest.approx({0: 2.0, 1: -2.0, 2: -5.0, 3: 5.0}, abs=1e-9)


def test_c19_a_wrong_pair_bends_no_neighbour(here: Path) -> None:
    """C19: a difference that is off by 1e4 bends the other corrections by a thousandth of it at most."""
    planes = mesh(here, 4, 0.0)
    rows = read_rows("f.tbl", ("plus", "minus", *FIT_COLUMNS))
    for row in rows:
        row["rms"] = 1.0
    rows[7]["c"] += 1e4
    write_rows("f.tbl", {"plus": int, "minus": int} | FIT_COLUMNS, [list(row.values()) for row in rows])
    assert mBgModel("i.tbl", "f.tbl", "c.tbl")["status"] == "0"
    assert left(read_rows("c.tbl", ("a", "b", "c")), planes, 4, 0.0) < 10.0
    program("mBgModel", "i.tbl", "f.tbl", "theirs.tbl")
    assert left(read_rows("theirs.tbl", ("a", "b", "c")), planes, 4, 0.0) > 1000.0


def test_tables_may_be_in_any_order(here: Path) -> None:
    """Rows are found by their number, which need not be their place, in mBgModel as in mBgExec."""
    for name in ("proj", "corr"):
        Path(name).mkdir()
    for k in range(3):
        write_pair(Path(f"proj/{k}.fits"), np.full(GRID.shape, 10.0 * k), GRID, 1.0)
    columns = {"cntr": int, "fname": str, "naxis1": int, "naxis2": int, "crpix1": float, "crpix2": float, "hdu": int}
    card = GRID.to_header()
    order = [(70, 2), (5, 0), (900, 1)]
    write_rows("i.tbl", columns, [[n, f"{k}.fits", 12, 10, card["CRPIX1"], card["CRPIX2"], 0] for n, k in order])
    write_rows("c.tbl", {"id": int, "a": float, "b": float, "c": float},
               [[900, 0.0, 0.0, 10.0], [70, 0.0, 0.0, 20.0], [5, 0.0, 0.0, 0.0]])  # fmt: skip
    assert mBgExec("proj", "i.tbl", "c.tbl", "corr")["status"] == "0"
    for k in range(3):
        assert (fits.getdata(f"corr/{k}.fits") == 0.0).all()


# -- adding ------------------------------------------------------------------------------------------------------------


def stack(values: list[float | Floats], areas: list[float] | None = None) -> None:
    """Images of the whole template, and their table."""
    for k, value in enumerate(values):
        pixels = np.broadcast_to(np.asarray(value, float), GRID.shape)
        write_pair(Path(f"s{k}.fits"), pixels, GRID, None if areas is None else areas[k])
    write_table(Path("s.tbl"), {f"s{k}.fits": GRID for k in range(len(values))})


def added(coadd: int = 0, areas: bool = False) -> Floats:
    raising.mAdd(".", "s.tbl", "t.hdr", "ours.fits", haveAreas=areas, coadd=coadd)
    return np.asarray(fits.getdata("ours.fits"), float)


@pytest.mark.parametrize("n", [51, pytest.param(1000, marks=pytest.mark.slow)])
def test_c21_deep_stacks(n: int) -> None:
    """C21: the mean of 0, 1, ..., n - 1 in every pixel; mAdd loses a row's rest where a stack passes fifty."""
    stack([float(k) for k in range(n)])
    np.testing.assert_allclose(added(), (n - 1) / 2, rtol=1e-13)
    np.testing.assert_array_equal(added(coadd=2), n)
    if n == 51:
        montagepy("mAdd", ".", "s.tbl", "t.hdr", "theirs.fits", haveAreas=False)
        assert (np.abs(fits.getdata("theirs.fits") - 25.0) > 1e-3).any()


def test_c22_c23_medians_of_two_and_negative_values() -> None:
    """C22, C23: two give their mean, negative values count; mAdd takes the lower one, and counts positive ones."""
    stack([-5.0, 3.0, -1.0, 7.0], [1.0, 1.0, 1.0, 0.4])
    assert (added(0, True) == pytest.approx((-5 + 3 - 1 + 2.8) / 3.4)) and (added(1, True) == -1.0).all()
    assert (added(2, True) == 4.0).all() and (added(3, True) == 4.0).all()
    program("mAdd", "-e", "-a", "count", "s.tbl", "t.hdr", "theirs.fits")
    assert (fits.getdata("theirs.fits") == 2.0).all()
    stack([3.0, 8.0], [1.0, 1.0])
    assert (added(1, True) == 5.5).all()
    program("mAdd", "-e", "-a", "median", "s.tbl", "t.hdr", "theirs.fits")
    assert (fits.getdata("theirs.fits") == 3.0).all()


def test_c24_offsets_are_not_rounded() -> None:
    """C24: grids 0.4 of a pixel apart are refused by mAdd and mDiff; Montage's take them for one."""
    stack([1.0, 2.0], [1.0, 1.0])
    header = fits.getheader("s1.fits")
    for name in ("s1.fits", "s1_area.fits"):
        fits.setval(name, "CRPIX1", value=header["CRPIX1"] + 0.4)
    for answer in (mAdd(".", "s.tbl", "t.hdr", "ours.fits"), mDiff("s0.fits", "s1.fits", "ours.fits", "t.hdr")):
        assert answer["status"] == "1" and "not in same pixel space" in answer["msg"]
    assert not Path("ours.fits").exists()
    program("mAdd", "s.tbl", "t.hdr", "theirs.fits")
    program("mDiff", "s0.fits", "s1.fits", "difference.fits", "t.hdr")


def test_c29_more_images_than_files_may_be_open() -> None:
    """C29: 150 images and their areas, where 64 files may be open; a program of Montage holds 200."""
    stack([float(k) for k in range(150)], [1.0] * 150)
    code = "import resource; from dmontage.montage import raising\nraising.mAdd('.', 's.tbl', 't.hdr', 'ours.fits')\n"
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    done = subprocess.run(
        ["sh", "-c", f"ulimit -Sn {min(64, hard)}; exec {sys.executable} -c \"$0\"", code],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(fits.getdata("ours.fits"), 74.5, rtol=1e-13)
