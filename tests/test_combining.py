"""Whole mosaics by every combine: what becomes of pixels, and the layers that tell of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner
from naive import kept_naive
from numpy.typing import NDArray
from surveys import SHAPE, field_grid, image_header, make_survey, write_image

import dmontage as dm
from dmontage.cli import main
from dmontage.errors import InputError
from dmontage.grid import Grid
from dmontage.pipeline import Mosaic

Floats = NDArray[np.float64]

GRID = Grid.from_header(image_header(), shape=SHAPE)


def stack(folder: Path, n: int = 9, **maps: NDArray[Any]) -> Floats:
    """Images on one grid, with noise of 1, cosmic rays in 2 % of the pixels and holes in 5 %; NaN where they are."""
    rng = np.random.default_rng(8)
    values = rng.normal(100, 1, (n, *SHAPE)).astype(np.float32)
    values[rng.random(values.shape) < 0.02] += 500
    values[rng.random(values.shape) < 0.05] = np.nan
    for k in range(n):
        hdus: list[Any] = [fits.PrimaryHDU(values[k], image_header())]
        hdus += [fits.ImageHDU(layer[k], name=name) for name, layer in maps.items()]
        folder.mkdir(exist_ok=True)
        fits.HDUList(hdus).writeto(folder / f"a{k}.fits")
    return values.astype(float)


def test_cosmic_rays_are_clipped(tmp_path: Path) -> None:
    """Against the reference, pixel by pixel; the other combines as numpy has them, from the same store."""
    values = stack(tmp_path / "raw")
    made = dm.mosaic(
        tmp_path / "raw", GRID, tmp_path / "run.zarr", "none", "clip", clip=(4, 3.5), also=("depth", "rejected")
    )
    found = made.compute()
    assert found.depth is not None and found.rejected is not None
    kept = ~np.isnan(values)
    for at in np.ndindex(*SHAPE):
        mine = kept[:, *at]
        mine[mine] = kept_naive(values[:, *at][mine], (4, 3.5))
    wanted = np.nanmean(np.where(kept, values, np.nan), axis=0)
    np.testing.assert_allclose(found.data, wanted, rtol=1e-6)
    np.testing.assert_array_equal(found.depth, kept.sum(axis=0))
    np.testing.assert_array_equal(found.area, kept.sum(axis=0))
    np.testing.assert_array_equal(found.rejected, (~np.isnan(values)).sum(axis=0) - kept.sum(axis=0))
    assert (abs(wanted - 100) < 3).mean() > 0.999 and (values > 400).sum() > 500
    np.testing.assert_array_equal(made.depth.compute(), found.depth)
    np.testing.assert_array_equal(made.rejected.compute(), found.rejected)
    first = np.take_along_axis(values, np.argmin(np.isnan(values), axis=0)[None], axis=0)[0]
    others = {"min": np.nanmin(values, axis=0), "max": np.nanmax(values, axis=0), "sum": np.nansum(values, axis=0),
              "first": first}  # fmt: skip
    for combine, truth in others.items():
        other = dm.mosaic(tmp_path / "raw", GRID, tmp_path / "run.zarr", "none", combine)
        np.testing.assert_allclose(other.compute().data, truth, rtol=1e-6)
        assert other.summary.reused == 9


def test_a_constant_sky_of_turned_images_is_not_clipped(tmp_path: Path) -> None:
    """Their values differ by rounding, near a level of 1e5 too; a cosmic ray in one of them goes."""
    for k in range(6):
        data = np.full(SHAPE, 1e5, np.float32)
        data[40, 50] += 1e4 * (k == 2)
        write_image(tmp_path / f"a{k}.fits", data, image_header(0.3 * k, 0.2, rotation=7 * k))
    found = dm.mosaic(tmp_path, field_grid(140), None, "none", "clip", also="rejected").compute()
    assert found.rejected is not None
    assert 0 < found.rejected.sum() < 20
    np.testing.assert_allclose(found.data[np.isfinite(found.data)], 1e5, rtol=1e-6)


def test_pixels_weigh_by_their_inverse_variance(tmp_path: Path) -> None:
    """Σ v/σ² / Σ 1/σ² and 1/Σ 1/σ² on one grid, with weights of images; σ² of 0, and what is none, does not count."""
    rng = np.random.default_rng(2)
    variance = rng.uniform(0.5, 9, (4, *SHAPE)).astype(np.float32)
    variance[0, :10], variance[1, 5:20], variance[2, 15:30] = 0, np.nan, -1
    values = stack(tmp_path, 4, VAR=variance)
    options: dict[str, Any] = {"background": "none", "variance": "VAR", "weights": "ivar"}
    weights = {f"a{k}.fits": 1.0 + k for k in range(4)}
    grid = dm.scan(tmp_path)[0].grid  # a file's cards have not all the digits of the header's
    for image_weight, factors in ((None, np.ones(4)), (weights, np.array([1.0, 2, 3, 4]))):
        found = dm.mosaic(tmp_path, grid, image_weight=image_weight, **options).compute()
        share = np.where(
            (variance > 0) & ~np.isnan(values), factors[:, None, None] / np.where(variance > 0, variance, 1), 0
        )
        total = share.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            np.testing.assert_allclose(found.data, (share * np.nan_to_num(values)).sum(axis=0) / total, rtol=1e-5)
            spread = (share**2 * np.nan_to_num(variance, nan=0)).sum(axis=0) / total**2
        assert found.variance is not None
        np.testing.assert_allclose(found.variance, spread, rtol=1e-5)
        np.testing.assert_array_equal(found.area, (share > 0).sum(axis=0))


def test_inverse_variances_are_the_weight_map_of_them(tmp_path: Path) -> None:
    """On any grid, with scales: as a map of 1/variance in the scaled unit gives."""
    rng = np.random.default_rng(3)
    for k in range(3):
        variance = rng.uniform(0.5, 9, SHAPE)
        scale = 1.0 + k
        header = image_header(5 * k, -3 * k, rotation=11 * k)
        header["FLXSCALE"] = scale
        hdus = [fits.PrimaryHDU(rng.normal(50, 3, SHAPE), header), fits.ImageHDU(variance, name="VAR"),
                fits.ImageHDU(1 / (variance * scale**2), name="WHT")]  # fmt: skip
        fits.HDUList(hdus).writeto(tmp_path / f"a{k}.fits")
    options: dict[str, Any] = {"background": "none", "variance": "VAR", "flux_scale": "FLXSCALE"}
    grid = field_grid(150, 2.3)
    one = dm.mosaic(tmp_path, grid, weights="ivar", **options).compute()
    other = dm.mosaic(tmp_path, grid, weight_map="WHT", **options).compute()
    for a, b in zip(one, other, strict=True):
        if isinstance(a, np.ndarray):
            np.testing.assert_allclose(a, b, rtol=1e-6)  # type: ignore[arg-type]


def test_sources_tell_the_images_of_each_pixel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the chunks; numbers rise with the sorted sets, and the table names their images."""
    values = stack(tmp_path / "raw", 5)
    plan = dm.plan(tmp_path / "raw", GRID, background="none", combine="clip", clip=3.5, also=("depth", "sources"))
    made = Mosaic(plan).write(tmp_path / "m.fits")
    found = made.sources()
    assert str(found) == f"<Sources {GRID.shape[1]} x {GRID.shape[0]}: numbers, sets; {len(found.sets)} sets of images>"
    monkeypatch.setattr("dmontage.planner.memory.CHUNKS", (64,))
    cut_plan = replace(plan)
    assert len(cut_plan.chunks) == 4 and len(plan.chunks) == 1
    cut = Mosaic(cut_plan).write(tmp_path / "n.fits").sources()
    np.testing.assert_array_equal(cut.numbers, found.numbers)
    assert cut.sets == found.sets == tuple(sorted(found.sets))
    names = np.array([f"a{k}.fits" for k in range(5)])
    for at in np.ndindex(*SHAPE):
        mine = ~np.isnan(values[:, *at])
        mine[mine] = kept_naive(values[:, *at][mine], (3.5, 3.5))
        here = int(found.numbers[at])
        assert (found.sets[here - 1] if here else ()) == tuple(names[mine])
    with fits.open(tmp_path / "m_sources.fits") as hdus:
        assert hdus[0].header["BITPIX"] == 32
        assert hdus[0].header["DATAHASH"] == fits.getheader(tmp_path / "n_sources.fits")["DATAHASH"]
        np.testing.assert_array_equal(hdus[0].data, found.numbers)
        table = hdus["SOURCES"].data
        for number, each in enumerate(found.sets, 1):
            assert tuple(table["IMAGE"][table["NUMBER"] == number]) == each
            assert tuple(names[table["INDEX"][table["NUMBER"] == number]]) == each
    np.testing.assert_array_equal(fits.getdata(tmp_path / "m_depth.fits"), made.compute().depth)


def test_sources_of_files_with_any_name(tmp_path: Path) -> None:
    """FITS has ASCII alone: other letters are escaped, and the index tells the image still."""
    names = ["b.fits", "bild_\xfc\u03b1.fits"]
    for name in names:
        write_image(tmp_path / "raw" / name, np.ones(SHAPE, np.float32))
    made = dm.mosaic(tmp_path / "raw", GRID, background="none", also="sources").write(tmp_path / "m.fits")
    assert made.sources().sets == (tuple(names),)
    table = fits.getdata(tmp_path / "m_sources.fits", "SOURCES")
    assert table["IMAGE"].tolist() == ["b.fits", r"bild_\xfc\u03b1.fits"] and table["INDEX"].tolist() == [0, 1]


@pytest.mark.parametrize("combine", ["mean", "median", "first"])
def test_sources_of_matched_images(tmp_path: Path, combine: str) -> None:
    """As many as the depth, of overlapping turned images; pixels of none have number 0."""
    survey = make_survey(tmp_path / "raw")
    made = dm.mosaic(survey.folder, survey.grid, combine=combine, also="depth")
    found, pixels = made.sources(), made.compute()
    size = np.array([0, *map(len, found.sets)])
    np.testing.assert_array_equal(size[found.numbers], pixels.depth)
    assert (found.numbers == 0).any() and len(found.sets) == len(np.unique(found.numbers)) - 1
    assert {name for each in found.sets for name in each} == {path.name for path in survey.paths}


def test_the_command_writes_what_is_asked_for(tmp_path: Path) -> None:
    values = stack(tmp_path / "raw", 6)
    out = tmp_path / "m.fits"
    arguments = ["mosaic", str(tmp_path / "raw"), "-o", str(out), "--background", "none", "--combine", "clip"]
    done = CliRunner().invoke(main, [*arguments, "--clip", "inf,4", "--also", "sources, rejected,depth"])
    assert done.exit_code == 0, done.output
    files = ["m.fits", "m_area.fits", "m_depth.fits", "m_rejected.fits", "m_sources.fits"]
    assert sorted(path.name for path in tmp_path.glob("m*.fits")) == files
    assert all(name in done.output for name in files)
    header = fits.getheader(out)
    assert (header["COMBINE"], header["CLIPHIGH"]) == ("clip", 4.0) and "CLIPLOW" not in header
    assert "BUNIT" not in fits.getheader(tmp_path / "m_depth.fits")
    with fits.open(tmp_path / "m_rejected.fits") as hdus:
        assert (values > 400).sum() * 0.5 < hdus[0].data.sum() < (values > 400).sum() * 1.2
    assert "combine clip beyond -inf and +4 sigma (also depth, rejected, sources), weights area" in (
        CliRunner().invoke(main, ["plan", *arguments[1:2], *arguments[4:], "--clip", "inf,4",
                                  "--also", "depth,rejected,sources"]).output
    )  # fmt: skip


def test_a_store_serves_every_combine(tmp_path: Path) -> None:
    """And gets the layers that another run of it did not ask for."""
    stack(tmp_path / "raw", 3)
    for also in ((), ("depth",), ("depth", "sources"), ()):
        made = dm.mosaic(tmp_path / "raw", GRID, tmp_path / "run.zarr", "none", also=also)
        made.write(tmp_path / "m.fits")
    assert made.summary.reused == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clip": 3}, "clip 3 has no meaning with combine 'mean'"),
        ({"combine": "clip", "clip": 0}, "clip 0 must be a number of sigma above 0"),
        ({"combine": "clip", "clip": (3, 3, 3)}, r"clip \(3, 3, 3\) must be"),
        ({"combine": "clip", "clip": "3"}, "clip '3' must be"),
        ({"combine": "clip", "clip": (float("nan"), 3)}, "must be a number of sigma"),
        ({"also": "noise"}, "also 'noise' is not one of depth, rejected, sources"),
        ({"also": ("rejected",)}, "nothing is rejected by combine 'mean'"),
        ({"combine": "min", "weights": "area"}, "weights 'area' have no meaning with combine 'min'"),
        ({"weights": "ivar"}, "give a variance"),
        ({"weights": "ivar", "variance": "VAR", "weight_map": "VAR"}, "take the place of a weight_map"),
        ({"combine": "sum", "variance": "VAR"}, "not through a sum: ask for combine 'mean' or 'clip'"),
        ({"combine": "first", "image_weight": {"a0.fits": 2.0}}, "have no meaning with weights 'none'"),
    ],
)
def test_words_that_do_not_go_together_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    stack(tmp_path, 1, VAR=np.ones((1, *SHAPE), np.float32))
    with pytest.raises(InputError, match=message):
        dm.plan(tmp_path, GRID, **options)


def test_a_layer_that_was_not_asked_for_says_how(tmp_path: Path) -> None:
    stack(tmp_path, 1)
    made = dm.mosaic(tmp_path, GRID, background="none")
    with pytest.raises(InputError, match="this mosaic has no depth: ask for it by also='depth'"):
        _ = made.depth


def test_a_clipped_mosaic_is_verified_and_reused(tmp_path: Path) -> None:
    """Its limits, an infinite one too, and its layers are noted in the store; other limits make its chunks anew."""
    stack(tmp_path / "raw", 5)
    arguments = ["mosaic", str(tmp_path / "raw"), "-o", str(tmp_path / "m.fits"), "--background", "none",
                 "--combine", "clip", "--also", "depth", "--workdir", str(tmp_path / "run.zarr")]  # fmt: skip
    made = []
    for limits in ("inf,3", "inf,3", "2"):
        done = CliRunner().invoke(main, [*arguments, "--clip", limits])
        assert done.exit_code == 0, done.output
        made.append(fits.getheader(tmp_path / "m.fits")["DATAHASH"])
        assert ("1 of 1 chunks made before" in done.output) == (len(made) == 2)
    assert made[0] == made[1] != made[2]
    done = CliRunner().invoke(main, ["verify", str(tmp_path / "run.zarr")])
    assert done.exit_code == 0, done.output
