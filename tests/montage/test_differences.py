"""mOverlaps, mDiff, mFitplane and their loops, against geometry, numpy and planes that are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from six_images import GRID, OMEGA, Scene, make, write_pair, write_table

from dmontage.grid import Grid
from dmontage.montage import mDiff, mDiffExec, mDiffFitExec, mFitExec, mFitplane, mOverlaps
from dmontage.montage.tables import read_rows
from dmontage.window import Window

FITS_KEYS = ["a", "b", "c", "crpix1", "crpix2", "xmin", "xmax", "ymin", "ymax", "xcenter", "ycenter", "npixel", "rms",
             "boxx", "boxy", "boxwidth", "boxheight", "boxang"]  # fmt: skip


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = make(tmp_path)
    assert mOverlaps(made.table, made.path("diffs.tbl"))["status"] == "0"
    return made


def test_overlaps_of_images_on_one_grid(scene: Scene) -> None:
    """All neighbours, the diagonal ones too, in the table's order; the names of differences are Montage's."""
    rows = read_rows(scene.path("diffs.tbl"), ("cntr1", "cntr2", "plus", "minus", "diff"))
    pairs = [(0, 1), (0, 3), (0, 4), (1, 2), (1, 3), (1, 4), (1, 5), (2, 4), (2, 5), (3, 4), (4, 5)]
    assert [(row["cntr1"], row["cntr2"]) for row in rows] == pairs
    assert rows[2] == {"cntr1": 0, "cntr2": 4, "plus": "im0.fits", "minus": "im4.fits",
                       "diff": "diff.000000.000004.fits"}  # fmt: skip


def test_overlaps_on_the_sky(tmp_path: Path) -> None:
    """Rotated images: a corner that reaches into another one, and one that just does not."""
    side, turned = Grid.around("10.0 0.0", shape=(100, 100), frame="fk5"), {}
    reach = (100 / 2 + 100 / 2**0.5) / 3600  # from middle to middle where the corner touches the side
    for name, step in (("in", reach - 0.2 / 3600), ("out", reach + 0.2 / 3600)):
        turned[name] = Grid.around(SkyCoord(10.0 + step, 0.0, unit="deg", frame="fk5"), shape=(100, 100), frame="fk5",
                                   rotation="45 deg")  # fmt: skip
    far = Grid.around("190.0 0.0", shape=(100, 100), frame="fk5")
    sky = Grid.around("0.0 0.0", shape=(180, 360), scale="1 deg", projection="CAR", frame="fk5")
    write_table(tmp_path / "a.tbl", {"side": side, **turned, "far": far, "sky": sky})
    assert mOverlaps(str(tmp_path / "a.tbl"), str(tmp_path / "o.tbl"))["count"] == 6
    rows = read_rows(str(tmp_path / "o.tbl"), ())
    named = {(row["plus"], row["minus"]) for row in rows}
    assert named == {("side", "in"), ("in", "out"), *((name, "sky") for name in ("side", "in", "out", "far"))}


def test_overlaps_across_right_ascension_zero(tmp_path: Path) -> None:
    grids = {
        f"{ra}": Grid.around(f"{ra} 60.0", shape=(50, 50), scale="1 arcmin", frame="fk5") for ra in (359.5, 0.5, 3.0)
    }
    write_table(tmp_path / "a.tbl", grids)
    assert mOverlaps(str(tmp_path / "a.tbl"), str(tmp_path / "o.tbl"))["count"] == 1


def test_many_overlaps_are_those_of_all_pairs(tmp_path: Path) -> None:
    """700 turned images against the geometry of rectangles on a plane: the sky is flat enough over half a degree."""
    rng = np.random.default_rng(3)
    middles, angles = rng.uniform(-1500, 1500, (700, 2)), rng.uniform(0, 90, 700)
    grids = {}
    for k, ((x, y), angle) in enumerate(zip(middles.tolist(), angles.tolist(), strict=True)):
        place = SkyCoord(180.0 - x / 3600, y / 3600, unit="deg", frame="fk5")
        grids[f"{k}"] = Grid.around(place, shape=(80, 80), frame="fk5", rotation=f"{angle} deg")
    write_table(tmp_path / "a.tbl", grids)
    assert mOverlaps(str(tmp_path / "a.tbl"), str(tmp_path / "o.tbl"))["status"] == "0"
    found = {(row["cntr1"], row["cntr2"]) for row in read_rows(str(tmp_path / "o.tbl"), ())}

    def gap(i: int, j: int) -> float:
        """Largest gap between two squares along any of their axes; below 0 where they overlap."""
        largest = -np.inf
        for k in (i, j):
            off = np.radians(angles[k] - angles[[i, j]])
            reach = 40 * float((abs(np.cos(off)) + abs(np.sin(off))).sum())
            for turn in (0.0, np.pi / 2):
                axis = np.array([np.cos(np.radians(angles[k]) + turn), np.sin(np.radians(angles[k]) + turn)])
                largest = max(largest, abs(float((middles[i] - middles[j]) @ axis)) - reach)
        return largest

    near = [(i, j) for i in range(700) for j in range(i + 1, 700) if np.hypot(*(middles[i] - middles[j])) < 120]
    gaps = {pair: gap(*pair) for pair in near}
    close = {pair for pair, space in gaps.items() if abs(space) < 0.1}  # corners that touch
    assert found - close == {pair for pair, space in gaps.items() if space <= -0.1} and len(found) > 500 > 50 * len(
        close
    )


def test_a_difference(scene: Scene) -> None:
    """It is that of the pixels, where both are well covered: not on the rims, whose area is 0.4."""
    out = scene.path("d.fits")
    told = mDiff(f"{scene.proj}/im0.fits", f"{scene.proj}/im1.fits", out, scene.template)
    a, b = (fits.getdata(f"{scene.proj}/im{k}.fits") for k in (0, 1))
    expected = a[1:-1, 51:-1] - b[1:-1, 1:9]  # columns 50 to 59 of the one are 0 to 9 of the other
    np.testing.assert_allclose(fits.getdata(out), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(fits.getdata(scene.path("d_area.fits")), 2 * OMEGA)
    assert fits.getheader(out)["CRPIX1"] == 95.5 - 54 and fits.getheader(out)["CRPIX2"] == 75.5 - 6
    assert told["status"] == "0" and told["time"] > 0
    assert (told["min_diff"], told["max_diff"]) == pytest.approx((expected.min(), expected.max()))
    both = np.concatenate([a[1:-1, 51:-1], b[1:-1, 1:9]], axis=1)
    assert (told["min_pixel"], told["max_pixel"]) == pytest.approx((both.min(), both.max()))
    none = mDiff(f"{scene.proj}/im0.fits", f"{scene.proj}/im1.fits", scene.path("n.fits"), scene.template, True, 2.0)
    assert none["status"] == "0" and not Path(scene.path("n_area.fits")).exists()
    np.testing.assert_allclose(fits.getdata(scene.path("n.fits")), a[:, 50:] - 2 * b[:, :10], rtol=0, atol=1e-12)


def test_equal_fields_differ_by_nothing_whatever_their_areas(tmp_path: Path) -> None:
    """150 less 150 is 0, though one has drops of a third of the pixel; Montage has up to 162."""
    grid = Grid.around("10 20", shape=(40, 40), frame="fk5")
    (tmp_path / "t.hdr").write_text(grid.to_template())
    areas = np.random.default_rng(1).uniform(0.2, 0.5, (40, 40))
    write_pair(tmp_path / "a.fits", np.full((40, 40), 150.0), grid, 1.0)
    write_pair(tmp_path / "b.fits", np.full((40, 40), 150.0), grid, areas)
    one, other, out, template = (str(tmp_path / name) for name in ("a.fits", "b.fits", "d.fits", "t.hdr"))
    assert mDiff(one, other, out, template)["status"] == "0"
    d = fits.getdata(out)
    assert d.shape == (40, 40) and np.isfinite(d).all() and (d == 0).all()


def test_headers_in_other_forms_are_the_same_lattice(tmp_path: Path) -> None:
    """CDELT and CROTA2 against CD, and 1e-9 degrees: the pixels are the same; half a pixel is refused."""
    grid = Grid.around("10 20", shape=(40, 40), frame="fk5", rotation="30 deg")
    (tmp_path / "t.hdr").write_text(grid.to_template())
    write_pair(tmp_path / "a.fits", np.ones((40, 40)), grid, 1.0)
    header = grid.to_header()
    cd = {f"CD{i}_{j}": header[f"CDELT{i}"] * header.get(f"PC{i}_{j}", 0.0) for i in (1, 2) for j in (1, 2)}
    for key in ("CDELT1", "CDELT2", "PC1_1", "PC1_2", "PC2_1", "PC2_2"):
        del header[key]
    for step, name in ((3.0, "b"), (3.4, "c")):
        header.update(cd, CRVAL1=round(header["CRVAL1"], 9), CRPIX1=grid.to_header()["CRPIX1"] - step)
        fits.writeto(tmp_path / f"{name}.fits", np.full((40, 40), 3.0), header)
    a, b, c, d, t = (str(tmp_path / name) for name in ("a.fits", "b.fits", "c.fits", "d.fits", "t.hdr"))
    assert mDiff(a, b, d, t, noAreas=True)["status"] == "0"
    assert (fits.getdata(d) == -2.0).all() and fits.getdata(d).shape == (40, 37)
    refused = mDiff(a, c, d, t, noAreas=True)
    assert refused["status"] == "1" and "Images are not in same pixel space" in refused["msg"]


def test_a_plane_and_where_it_lies(tmp_path: Path) -> None:
    """A turned rectangle of noise on a plane, with sources: the plane within its errors, and the rectangle."""
    rng, t = np.random.default_rng(5), np.radians(30.0)
    y, x = np.indices((90, 100))
    u, v = (x - 50) * np.cos(t) + (y - 45) * np.sin(t), -(x - 50) * np.sin(t) + (y - 45) * np.cos(t)
    inside = (abs(u) <= 30) & (abs(v) <= 10)
    grid = Grid.around("10 20", shape=(90, 100), frame="fk5").subgrid(Window(0, 90, 0, 100))
    cx, cy = (grid.to_header()[key] for key in ("CRPIX1", "CRPIX2"))
    values = 7 + 0.03 * (x - cx) - 0.05 * (y - cy) + rng.normal(0, 0.5, x.shape)
    values[inside & (rng.uniform(size=x.shape) < 0.03)] += 100
    write_pair(tmp_path / "d.fits", np.where(inside, values, np.nan), grid, None)
    path = str(tmp_path / "d.fits")
    fit = mFitplane(path)
    assert list(fit) == ["status", *FITS_KEYS]
    n = inside.sum()
    for key, true, error in (("a", 0.03, 0.5 / 17 / n**0.5), ("b", -0.05, 0.5 / 10 / n**0.5), ("c", 7, 0.5 / n**0.5)):
        assert abs(fit[key] - true) < 4 * error
    assert 0.95 * n < fit["npixel"] < 0.975 * n and fit["rms"] == pytest.approx(0.5, abs=0.03)
    assert (fit["boxx"], fit["boxy"]) == pytest.approx((50 - cx, 45 - cy), abs=0.1)
    assert (fit["boxwidth"], fit["boxheight"], fit["boxang"]) == pytest.approx((60, 20, 30), abs=0.2)
    some = np.nonzero(inside)
    assert [fit[k] for k in ("xmin", "xmax", "ymin", "ymax")] == [
        some[1].min() - cx, some[1].max() - cx, some[0].min() - cy, some[0].max() - cy
    ]  # fmt: skip
    level = mFitplane(path, levelOnly=True)
    assert level["a"] == level["b"] == 0 and level["c"] == pytest.approx(np.median(values[inside]), abs=0.1)
    bare = mFitplane(path, nofit=True)
    assert (bare["a"], bare["c"], bare["rms"], bare["npixel"]) == (0, 0, 0, n)
    assert bare["xcenter"] == pytest.approx(some[1].mean() - cx)
    edge = mFitplane(path, border=40)
    assert edge["xmin"] >= 40 - cx and edge["ymax"] <= 49 - cy and edge["boxwidth"] == fit["boxwidth"]


def test_a_level_with_stars_on_it(tmp_path: Path) -> None:
    """A clipped mean of noise: within its error of the truth, over 40 draws, with 5 % of the pixels in sources."""
    grid, rng, left = Grid.around("10 20", shape=(50, 60), frame="fk5"), np.random.default_rng(6), []
    for _ in range(40):
        values = rng.normal(3.0, 1.0, (50, 60))
        values[rng.uniform(size=values.shape) < 0.05] += 50
        write_pair(tmp_path / "d.fits", values, grid, None)
        left.append((mFitplane(str(tmp_path / "d.fits"), levelOnly=True)["c"] - 3.0) * 2850**0.5)
    assert np.mean(np.square(left)) == pytest.approx(1.0, abs=0.6)


@pytest.mark.parametrize(("line", "box"), [("row", (8, 0)), ("column", (0, 8)), ("two", (8, 1))])
def test_thin_regions_have_boxes_too(tmp_path: Path, line: str, box: tuple[float, float]) -> None:
    grid, values = Grid.around("10 20", shape=(20, 20), frame="fk5"), np.full((20, 20), np.nan)
    where: Any = {"row": np.s_[4, 3:12], "column": np.s_[3:12, 4], "two": np.s_[4:6, 3:12]}[line]
    values[where] = 5.0
    write_pair(tmp_path / "d.fits", values, grid, None)
    fit = mFitplane(str(tmp_path / "d.fits"))
    assert fit["status"] == "0" and fit["boxang"] == 90.0
    assert (fit["boxheight"], fit["boxwidth"]) == pytest.approx(box)
    assert fit["c"] + fit["a"] * fit["boxx"] + fit["b"] * fit["boxy"] == pytest.approx(5.0)


def test_both_ways_to_the_fits_are_one(scene: Scene) -> None:
    """Through files and in memory: the same table, to the last bit; it tells the planes that were put in."""
    diffs, proj, diff = scene.path("diffs.tbl"), scene.proj, scene.path("diff")
    assert mDiffExec(proj, diffs, scene.template, diff) == {"status": "0", "count": 11, "failed": 0}
    assert mFitExec(diffs, scene.path("f1.tbl"), diff) == {
        "status": "0", "count": 11, "failed": 0, "warning": 0, "missing": 0
    }  # fmt: skip
    assert len(list(Path(diff).iterdir())) == 22
    # Without keepAll nothing is written, and no folder needed.
    told = mDiffFitExec(proj, diffs, scene.template, scene.path("none"), scene.path("f2.tbl"))
    assert told == {"status": "0", "count": 11, "diff_failed": 0, "fit_failed": 0, "warning": 0}
    first, second = (Path(scene.path(name)).read_text() for name in ("f1.tbl", "f2.tbl"))
    assert first == second
    for row in read_rows(scene.path("f2.tbl"), ("plus", "minus", *FITS_KEYS)):
        a, b, c = scene.planes[row["plus"]] - scene.planes[row["minus"]]
        level = a * row["boxx"] + b * row["boxy"] + c
        error = 4 * 2**0.5 / row["npixel"] ** 0.5
        assert abs(row["a"] * row["boxx"] + row["b"] * row["boxy"] + row["c"] - level) < error
        # What the star's pixels are clipped by is 3 σ of the difference's own noise.
        assert row["rms"] == pytest.approx(2**0.5, rel=0.2)
    kept = scene.path("kept")
    Path(kept).mkdir()
    mDiffFitExec(proj, diffs, scene.template, kept, scene.path("f3.tbl"), keepAll=True, levelOnly=True)
    assert sorted(p.name for p in Path(kept).iterdir()) == sorted(p.name for p in Path(diff).iterdir())
    assert all(row["a"] == row["b"] == 0 for row in read_rows(scene.path("f3.tbl"), ()))


def test_pairs_that_fail_are_counted_and_named(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """One image gone, one blank: their pairs are left out of the table, the others are as they were."""
    Path(scene.proj, "im0.fits").unlink()
    write_pair(Path(scene.proj, "im5.fits"), np.full((70, 60), np.nan), GRID.subgrid(Window(65, 135, 103, 163)), 1.0)
    diffs = scene.path("diffs.tbl")
    with caplog.at_level("WARNING", logger="dmontage"):
        told = mDiffFitExec(scene.proj, diffs, scene.template, scene.path("diff"), scene.path("f.tbl"))
    assert told == {"status": "0", "count": 11, "diff_failed": 6, "fit_failed": 0, "warning": 0}
    assert len(read_rows(scene.path("f.tbl"), ())) == 5
    assert "im0.fits missing or invalid FITS" in caplog.text and "All pixels are blank" in caplog.text
    assert sum("mDiffFitExec: diff." in record.message for record in caplog.records) == 6  # each once
    assert mDiffExec(scene.proj, diffs, scene.template, scene.path("diff"))["failed"] == 6
    fitted = mFitExec(diffs, scene.path("f4.tbl"), scene.path("diff"))
    assert (fitted["missing"], fitted["failed"]) == (6, 0)
    assert Path(scene.path("f4.tbl")).read_text() == Path(scene.path("f.tbl")).read_text()


def test_on_a_cluster_the_same(scene: Scene, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Paths are the caller's, wherever workers are at home; tables are the same to the last bit."""
    monkeypatch.chdir(scene.folder)
    told = mDiffFitExec("proj", "diffs.tbl", "region.hdr", "diff", "here.tbl")
    request.getfixturevalue("client")
    assert mDiffFitExec("proj", "diffs.tbl", "region.hdr", "diff", "there.tbl", keepAll=True) == told
    assert len(list(Path("diff").iterdir())) == 22
    assert Path("there.tbl").read_text() == Path("here.tbl").read_text()
