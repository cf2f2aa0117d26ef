"""The background report: its numbers against the pixels, its text, JSON and picture."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image
from scipy.sparse import csr_array
from surveys import Survey, image_header, make_survey, write_image

import dmontage as dm
from dmontage.background import LargeScale, Mode, large_scale
from dmontage.pipeline import Mosaic
from dmontage.report import BackgroundReport
from dmontage.store import Store
from dmontage.window import Window


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    return make_survey(tmp_path_factory.mktemp("survey") / "raw", seed=4, layout=(3, 3))


@pytest.fixture(scope="module")
def made(survey: Survey, tmp_path_factory: pytest.TempPathFactory) -> Mosaic:
    return dm.mosaic(survey.folder, survey.grid, tmp_path_factory.mktemp("made") / "run.zarr")


@pytest.fixture(scope="module")
def report(made: Mosaic) -> BackgroundReport:
    return dm.background_report(made)


def test_medians_are_those_of_the_pixels(made: Mosaic, report: BackgroundReport) -> None:
    store = Store.open(str(made._open().path))
    windows, planes = store.rows.windows(), store.tables.planes(made.plan.corrected_by, len(store.rows))
    for pair, line in zip(made.plan.pairs, report.pairs, strict=True):
        w = pair.window
        y, x = np.mgrid[w.slices]
        means, good = [], np.ones(w.shape, bool)
        for row in (pair.plus, pair.minus):
            flux, area = (a.astype(float) for a in store.projected.read(row, windows[row], w))
            good &= area >= 0.9
            level, slope_x, slope_y, x0, y0 = planes[row]
            mean = np.divide(flux, area, out=np.zeros(w.shape), where=area > 0)
            means.append((mean, mean - (level + slope_x * (x - x0) + slope_y * (y - y0))))
        before, after = (float(np.median((means[0][k] - means[1][k])[good])) for k in (0, 1))
        assert line.n_pixels == good.sum() and line.window == w
        assert line.before == pytest.approx(before, abs=1e-3) and line.after == pytest.approx(after, abs=1e-3)
        assert 0.9 < line.kept <= 1 and line.error > 0


def test_numbers_are_those_of_the_survey(report: BackgroundReport) -> None:
    assert report.noise == pytest.approx(1.0, rel=0.1)  # as put in; the pixels' phases differ little
    assert (report.model, report.solver, report.unit, report.misfit) == ("plane", "direct", "MJy/sr", 0)
    assert report.rms_before > 5 and report.rms_after < 0.1
    assert report.rejected == () and report.advice == ""
    assert report.tolerance == pytest.approx(0.1 * np.median([pair.rms for pair in report.pairs]))
    assert len(report.images) == 9 and {line.status for line in report.images} == {"fitted"}


def test_what_is_left_is_named(made: Mosaic) -> None:
    """All pairs beyond three errors and the tolerance, worst first; with a negative tolerance that is every one."""
    every = dm.background_report(made, tolerance=-1e9)
    known = [pair for pair in every.pairs if pair.n_pixels]
    assert len(every.named) == len(known)
    worst = [abs(pair.after) for pair in every.named]
    assert worst == sorted(worst, reverse=True)
    assert str(every).count("  left      ") == len(known) and "left" in str(every).splitlines()[-1]


def test_a_pair_that_disagrees_is_rejected_and_named(tmp_path: Path) -> None:
    """A level of its own in the strip that two images share, of one of them: that image's plane does not follow it."""
    folder = tmp_path / "raw"
    odd = make_survey(folder, seed=4, layout=(3, 3))
    with fits.open(odd.paths[4], mode="update") as hdus:
        hdus[0].data[14:66, 84:] += 30.0
    report = dm.background_report(dm.mosaic(folder, odd.grid))
    assert [(pair.plus, pair.minus) for pair in report.rejected] == [("image04.fits", "image05.fits")]
    assert "rejected  image04.fits and image05.fits" in str(report)
    assert abs(report.rejected[0].after) > 20
    others = [pair for pair in report.pairs if pair.n_pixels and "image04.fits" not in (pair.plus, pair.minus)]
    assert max(abs(pair.after) for pair in others) < 0.3


def test_json_holds_all_of_it(report: BackgroundReport) -> None:
    table = json.loads(report.to_json())
    assert len(table["pairs"]) == len(report.pairs) and len(table["images"]) == 9
    assert report.error_map is not None and report.large_scale is not None
    np.testing.assert_array_equal(np.array(table["error_map"]["error"], dtype=float), report.error_map.error)
    assert table["large_scale"]["modes"][0]["name"] == report.large_scale.modes[0].name
    assert "NaN" not in report.to_json() and table["gauge"] == report.gauge


def test_text_and_picture_are_written(report: BackgroundReport, tmp_path: Path) -> None:
    paths = report.write(str(tmp_path / "background.v1"))
    assert [path.name for path in paths] == [f"background.v1.{end}" for end in ("txt", "json", "png")]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    text = paths[0].read_text()
    for words in ("background  plane, direct", "noise     ", "overlaps  ", "  gradient  ", "  mode   ", "image00.fits"):
        assert words in text
    with Image.open(paths[2]) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape[0] > 400 and pixels.shape[1] > 1000
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100  # four panels in colour, not an empty frame


# --- largest scales -----------------------------------------------------------------------------------------------


def test_the_large_scale_error_is_that_of_the_covariance(made: Mosaic) -> None:
    """Its rms from the dense covariance of the levels; modes add up to it, and are named by their shape."""
    solution = made.solution
    assert solution is not None
    n = len(solution.parameters)
    q, z = solution.known.functionals(csr_array(np.eye(3 * n)[::3]))
    covariance = q.T @ z / solution.known.weight
    x, y = solution.centres.T
    plane = np.column_stack([np.ones(n), x, y])
    beyond = np.eye(n) - plane @ np.linalg.pinv(plane)
    dense = beyond @ covariance @ beyond
    found = large_scale(solution)
    assert found.rms == pytest.approx(np.sqrt(np.trace(dense) / n), rel=1e-6)
    values = np.sort(np.linalg.eigvalsh(dense))[::-1]
    np.testing.assert_allclose([mode.rms for mode in found.modes], np.sqrt(values[: len(found.modes)] / n), rtol=1e-6)
    assert sum(mode.share for mode in found.modes) <= 1 + 1e-9
    slope = np.linalg.pinv(plane)[1]
    across = np.ptp(x) + 2 * np.median(solution.frames[:, 2])
    assert found.gradient[0] == pytest.approx(np.sqrt(slope @ covariance @ slope) * across, rel=1e-6)


def test_advice_is_given_where_the_largest_scales_are_not_known(report: BackgroundReport) -> None:
    bad = LargeScale(9, 0.5 * report.noise, (1.0, 1.0), (Mode("a bowl", 0.4, 0.6),))
    vague = replace(report, large_scale=bad)
    assert "compare what levels alone leave" in vague.advice and f"advice    {vague.advice}" in str(vague)
    level = replace(vague, model="level")
    assert "levels alone" not in level.advice and "lock images" in level.advice


def test_what_no_overlap_tells_is_not_known(tmp_path: Path) -> None:
    """Two images that match and one beside them: its level has no error, nor has the background where it lies."""
    for k, dx in enumerate((0.0, 70.0, 400.0)):
        values = 10.0 * k + np.random.default_rng(k).standard_normal((80, 100))
        write_image(tmp_path / f"i{k}.fits", values.astype(np.float32), image_header(dx))
    mosaic = dm.mosaic(tmp_path)
    report = dm.background_report(mosaic)
    assert report.unpaired == ("i2.fits",) and "unpaired  no overlap tells their level: i2.fits" in str(report)
    assert [np.isnan(line.level_error) for line in report.images] == [False, False, True]
    assert report.error_map is not None
    known = np.isfinite(report.error_map.error)
    covered = np.isfinite(report.error_map.correction)
    assert known.any() and (covered & ~known).any()
    x, y = mosaic.solution.centres[2] if mosaic.solution else (0, 0)
    assert mosaic.background_error(Window(int(y) - 5, int(y) + 5, int(x) - 5, int(x) + 5)) == np.inf
    alone = dm.background_report(dm.mosaic([tmp_path / "i0.fits", tmp_path / "i2.fits"]))
    assert "none: nothing was matched" in str(alone) and len(alone.write(tmp_path / "alone")) == 3
