"""mBgModel, mBackground, mBgExec and mFlatten: planes that were put in are found, and taken out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from six_images import FIRST, OMEGA, SIDES, Scene, at, make, sky, write_pair

from dmontage.grid import Grid
from dmontage.montage import mBackground, mBgExec, mBgModel, mDiffFitExec, mFlatten, mOverlaps
from dmontage.montage.fitplane import FIT_COLUMNS
from dmontage.montage.tables import read_rows, write_rows
from dmontage.window import Window


def matched(scene: Scene, noslope: bool = False) -> list[dict[str, float]]:
    """The corrections of a scene."""
    assert mOverlaps(scene.table, scene.path("diffs.tbl"))["status"] == "0"
    assert mDiffFitExec(scene.proj, scene.path("diffs.tbl"), scene.template, "", scene.path("fits.tbl"),
                        levelOnly=noslope)["status"] == "0"  # fmt: skip
    assert mBgModel(scene.table, scene.path("fits.tbl"), scene.path("corr.tbl"), noslope=noslope) == {"status": "0"}
    return read_rows(scene.path("corr.tbl"), ("id", "a", "b", "c"))


def left(scene: Scene, rows: list[dict[str, float]], folder: str) -> np.ndarray:
    """What is left of the planes in corrected images, less the sky: over all of them one common plane taken out."""
    whole, parts = sky(), []
    for k, (y, x) in enumerate(FIRST):
        window = Window(y, y + SIDES[0], x, x + SIDES[1])
        across, up = at(window)
        values = fits.getdata(scene.path(f"{folder}/im{k}.fits")) - whole[window.slices]
        parts.append(np.column_stack([a.ravel() for a in (values, across, up)]))
    values, across, up = np.concatenate(parts).T
    design = np.column_stack([np.ones_like(across), across, up])
    return np.asarray(values - design @ np.linalg.lstsq(design, values, rcond=None)[0])


def test_planes_are_found_and_taken_out(tmp_path: Path) -> None:
    """Without noise nothing is left but a common plane, which no difference tells."""
    scene = make(tmp_path, noise=0.0)
    rows = matched(scene)
    assert [row["id"] for row in rows] == [0, 1, 2, 3, 4, 5]
    told = mBgExec(scene.proj, scene.table, scene.path("corr.tbl"), scene.path("corr"))
    assert told == {"status": "0", "count": 6, "nocorrection": 0, "failed": 0}
    assert np.abs(left(scene, rows, "proj")).max() > 10
    assert np.abs(left(scene, rows, "corr")).max() < 1e-6
    for k in range(6):
        name = f"im{k}_area.fits"
        np.testing.assert_array_equal(fits.getdata(scene.path(f"corr/{name}")), fits.getdata(f"{scene.proj}/{name}"))


def test_noise_is_all_that_is_left(tmp_path: Path) -> None:
    scene = make(tmp_path, noise=1.0)
    rows = matched(scene)
    mBgExec(scene.proj, scene.table, scene.path("corr.tbl"), scene.path("corr"))
    after = left(scene, rows, "corr").reshape(6, *SIDES)
    assert np.std(after) == pytest.approx(1.0, abs=0.02)
    # 4200 pixels an image: what the planes' errors leave of the levels is far below a pixel's noise.
    assert np.abs(after.mean(axis=(1, 2))).max() < 0.25


def test_levels_only(tmp_path: Path) -> None:
    scene = make(tmp_path, noise=0.0, slopes=0.0)
    rows = matched(scene, noslope=True)
    assert all(row["a"] == row["b"] == 0 for row in rows)
    levels = np.array([row["c"] for row in rows]) - scene.planes[:, 2]
    assert np.ptp(levels) < 1e-9 and sum(row["c"] for row in rows) == pytest.approx(0, abs=1e-9)
    # Fits without slopes say nothing of slopes, however they are asked.
    mBgModel(scene.table, scene.path("fits.tbl"), scene.path("c2.tbl"))
    assert read_rows(scene.path("c2.tbl"), ()) == rows


def fit_row(plus: int, minus: int, plane: np.ndarray, middle: np.ndarray, n: int = 600) -> list[float]:
    numbers = dict.fromkeys(FIT_COLUMNS, 0.0) | dict(zip("abc", plane.tolist(), strict=True))
    numbers |= {"boxx": middle[0], "boxy": middle[1], "boxwidth": 9.0, "boxheight": 59.0, "boxang": 0.0,
                "npixel": n, "rms": 1e-6}  # fmt: skip
    return [plus, minus, *numbers.values()]


def mesh(folder: Path, side: int, far: float, locked: int | None = None) -> np.ndarray:
    """A table of side x side images, 50 pixels apart, and noise-free fits; their planes about CRPIX, `far` away."""
    rng, images, rows = np.random.default_rng(2), [], []
    planes = np.column_stack([rng.normal(0, 0.01, (side * side, 2)), rng.normal(0, 20, side * side)])
    planes[:, 2] -= planes[:, :2] @ [far, far]  # levels near the images are of order 20
    for k in range(side * side):
        y, x = divmod(k, side)
        images.append([k + 100, f"{k}.fits", 60, 60, -far - 50 * x, -far - 50 * y, int(k == locked)])
        for other, step in ((k + 1, (55, 30)), (k + side, (30, 55))):
            if other < side * side and (other != k + 1 or x + 1 < side):
                middle = np.array([far + 50 * x, far + 50 * y]) + step
                rows.append(fit_row(k + 100, other + 100, planes[k] - planes[other], middle))
    columns = {"cntr": int, "fname": str, "naxis1": int, "naxis2": int, "crpix1": float, "crpix2": float, "locked": int}
    write_rows(str(folder / "i.tbl"), columns if locked is not None else dict(list(columns.items())[:-1]),
               images if locked is not None else [row[:-1] for row in images])  # fmt: skip
    write_rows(str(folder / "f.tbl"), {"plus": int, "minus": int} | FIT_COLUMNS, rows)
    return planes


def model(folder: Path, useall: bool = False) -> dict[str, Any]:
    """i.tbl and f.tbl into c.tbl."""
    return mBgModel(str(folder / "i.tbl"), str(folder / "f.tbl"), str(folder / "c.tbl"), useall=useall)


@pytest.mark.parametrize(("side", "far"), [(2, 0.0), (16, 0.0), (16, 1e6)])
def test_consistent_fits_leave_nothing(tmp_path: Path, side: int, far: float) -> None:
    """C17: residuals below 1e-6 once one plane is taken out; Montage has 0.32 at 256 images, and NaN at 3e5 pixels."""
    planes = mesh(tmp_path, side, far)
    assert model(tmp_path)["status"] == "0"
    rows = read_rows(str(tmp_path / "c.tbl"), ())
    assert [row["id"] for row in rows] == list(range(100, 100 + side * side))
    y, x = np.divmod(np.arange(side * side), side)
    middles = far + 50 * np.column_stack([x, y]) + 30
    some = np.array([(row["a"], row["b"], row["c"]) for row in rows]) - planes
    levels = some[:, 2] + (some[:, :2] * middles).sum(axis=1)
    design = np.column_stack([np.ones(len(x)), x, y])
    rest = levels - design @ np.linalg.lstsq(design, levels, rcond=None)[0]
    assert np.abs(rest).max() < 1e-6
    assert np.ptp(some[:, 0]) < 1e-7 and np.ptp(some[:, 1]) < 1e-7


def test_a_locked_image_stays(tmp_path: Path) -> None:
    planes = mesh(tmp_path, 3, 0.0, locked=4)
    model(tmp_path)
    rows = np.array([(row["a"], row["b"], row["c"]) for row in read_rows(str(tmp_path / "c.tbl"), ())])
    assert (rows[4] == 0).all()
    np.testing.assert_allclose(rows, planes - planes[4], atol=1e-6)


def test_small_overlaps_and_strange_fits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of less than a thousandth of an image: used only if all are; fits without numbers, or images, never."""
    write_rows(str(tmp_path / "i.tbl"), {"cntr": int, "fname": str, "naxis1": int, "naxis2": int, "crpix1": float,
                                         "crpix2": float},
               [[k, f"{k}.fits", 100, 100, -90.0 * k, 0.0] for k in range(4)])  # fmt: skip
    at_middle = np.array([95.0, 50.0])
    lines = [fit_row(0, 1, np.array([0.0, 0.0, 2.0]), at_middle, 900),
             fit_row(1, 2, np.array([0.0, 0.0, 3.0]), np.array([185.0, 50.0]), 9),
             fit_row(2, 9, np.array([0.0, 0.0, 5.0]), at_middle, 900),
             fit_row(0, 3, np.array([0.0, 0.0, np.nan]), at_middle, 900)]  # fmt: skip
    write_rows(str(tmp_path / "f.tbl"), {"plus": int, "minus": int} | FIT_COLUMNS, lines)
    out = str(tmp_path / "c.tbl")
    with caplog.at_level("WARNING", logger="dmontage"):
        assert model(tmp_path)["status"] == "0"
    assert "2 fits are of images that are not in the table" in caplog.text
    assert [(row["id"], round(row["c"], 9)) for row in read_rows(out, ())] == [(0, 1.0), (1, -1.0)]
    model(tmp_path, useall=True)
    few = {row["id"]: row["c"] for row in read_rows(out, ())}
    assert sorted(few) == [0, 1, 2] and few[1] - few[2] == pytest.approx(3.0)


def test_a_background_is_taken_out_of_an_image(tmp_path: Path) -> None:
    grid = Grid.around("10 20", shape=(20, 30), frame="fk5", rotation="20 deg")
    values, area = np.random.default_rng(1).normal(size=(20, 30)), np.ones((20, 30))
    area[3, 4] = 0.0
    write_pair(tmp_path / "a.fits", values, grid, area)
    with fits.open(tmp_path / "a.fits", mode="update") as hdus:
        hdus[0].header.update(BUNIT="DN", OBJECT="M42", DATAMAX=3.0)
        hdus[0].header.add_history("cleaned")
    assert mBackground(str(tmp_path / "a.fits"), str(tmp_path / "b.fits"), 0.5, -0.25, 3.0)["time"] > 0
    y, x = np.indices((20, 30))
    header = fits.getheader(tmp_path / "b.fits")
    expected = values - (0.5 * (x - header["CRPIX1"]) - 0.25 * (y - header["CRPIX2"]) + 3.0)
    expected[3, 4] = np.nan
    np.testing.assert_allclose(fits.getdata(tmp_path / "b.fits"), expected, rtol=0, atol=1e-13)
    assert header["BITPIX"] == -64 and (header["BUNIT"], header["OBJECT"]) == ("DN", "M42")
    assert "DATAMAX" not in header and str(header["HISTORY"]) == "cleaned"
    assert Grid.from_header(header) == grid
    np.testing.assert_array_equal(fits.getdata(tmp_path / "b_area.fits"), area * OMEGA)
    assert mBackground(str(tmp_path / "a.fits"), str(tmp_path / "c.fits"), 0, 0, 0, noAreas=True)["status"] == "0"
    assert not (tmp_path / "c_area.fits").exists()
    np.testing.assert_array_equal(fits.getdata(tmp_path / "c.fits"), values)


def test_images_without_a_correction_are_copied(tmp_path: Path) -> None:
    scene = make(tmp_path)
    write_rows(scene.path("corr.tbl"), {"id": int, "a": float, "b": float, "c": float}, [[2, 0.0, 0.0, 7.0]])
    Path(scene.proj, "im4_area.fits").unlink()
    told = mBgExec(scene.proj, scene.table, scene.path("corr.tbl"), scene.path("corr"))
    assert told == {"status": "0", "count": 6, "nocorrection": 5, "failed": 1}
    for k in (0, 2):
        before, after = (fits.getdata(f"{folder}/im{k}.fits") for folder in (scene.proj, scene.path("corr")))
        np.testing.assert_allclose(after, before - (7.0 if k == 2 else 0.0), rtol=0, atol=1e-12)
    assert not Path(scene.path("corr/im4.fits")).exists()
    assert mBgExec(scene.proj, scene.table, scene.path("corr.tbl"), scene.path("corr"), noAreas=True)["failed"] == 0


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    """Of two folders; before anything is written."""
    scene = make(tmp_path)
    (tmp_path / "more").mkdir()
    (tmp_path / "more/im0.fits").write_bytes(Path(scene.proj, "im0.fits").read_bytes())
    write_rows(scene.path("two.tbl"), {"cntr": int, "fname": str}, [(0, "proj/im0.fits"), (1, "more/im0.fits")])
    write_rows(scene.path("corr.tbl"), {"id": int, "a": float, "b": float, "c": float}, [[1, 0.0, 0.0, 7.0]])
    told = mBgExec(str(tmp_path), scene.path("two.tbl"), scene.path("corr.tbl"), scene.path("corr"), noAreas=True)
    assert told["status"] == "1" and "more/im0.fits would both go to" in told["msg"]
    assert not list(Path(scene.path("corr")).iterdir())


def test_an_older_pair_stays_where_the_image_cannot_be_written(tmp_path: Path) -> None:
    scene = make(tmp_path)
    (tmp_path / "out.fits").mkdir()
    (tmp_path / "out_area.fits").write_text("an older one")
    told = mBackground(f"{scene.proj}/im0.fits", scene.path("out.fits"), 1, 1, 1)
    assert told["status"] == "1" and "cannot write" in told["msg"]
    assert (tmp_path / "out_area.fits").read_text() == "an older one" and not list(tmp_path.glob(".*"))


def test_flattened(tmp_path: Path) -> None:
    grid = Grid.around("10 20", shape=(40, 50), frame="fk5")
    y, x = np.indices((40, 50))
    noise = np.random.default_rng(1).normal(0, 0.1, (40, 50))
    write_pair(tmp_path / "a.fits", 5 + 0.3 * x - 0.2 * y + noise, grid, 1.0)
    a, b = str(tmp_path / "a.fits"), str(tmp_path / "b.fits")
    told = mFlatten(a, b)
    assert (told["a"], told["b"]) == pytest.approx((0.3, -0.2), abs=1e-3)
    assert told["c"] == pytest.approx(5 + 0.3 * 25.5 - 0.2 * 20.5, abs=0.05)  # where x and y of the plane are zero
    rest = fits.getdata(b)
    assert np.std(rest) == pytest.approx(np.std(noise), rel=0.01) and abs(rest.mean()) < 0.01
    assert (tmp_path / "b_area.fits").exists()
    assert mFlatten(a, b, levelOnly=True, border=3)["a"] == 0
