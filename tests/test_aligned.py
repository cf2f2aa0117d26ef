"""Images on one grid already: coadded without projection, with area files or without, Montage's own too."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner
from numpy.typing import NDArray
from surveys import SHAPE, image_header, make_survey, write_image

import dmontage as dm
from dmontage.cli import main
from dmontage.errors import InputError

Floats = NDArray[np.float64]

SHIFTS = ((0, 0), (7, -12), (-30, 25), (-30, 40))
"""(y, x) of each image's first pixel on the lattice."""
NY, NX = SHAPE[0] + 37, SHAPE[1] + 52


def write_aligned(folder: Path, areas: tuple[int, ...] = ()) -> tuple[Floats, Floats]:
    """Images whole pixels apart with holes; values (n, NY, NX) and areas on their union, NaN and 0 outside."""
    rng = np.random.default_rng(5)
    values, area = np.full((4, NY, NX), np.nan), np.zeros((4, NY, NX))
    for k, (y, x) in enumerate(SHIFTS):
        data = rng.normal(10, 3, SHAPE).astype(np.float32)
        data[rng.random(SHAPE) < 0.05] = np.nan
        part = rng.choice([0, 0.25, 0.75, 1], SHAPE)
        header = image_header()
        header["CRPIX1"] -= x
        header["CRPIX2"] -= y
        path = write_image(folder / f"a{k}.fits", data, header)
        if k in areas:
            omega = dm.scan(path)[0].grid.solid_angle(dm.scan(path)[0].grid.window)
            write_image(folder / f"a{k}_area.fits", part * omega, header)
        else:
            part = np.ones(SHAPE)
        at = k, slice(y + 30, y + 30 + SHAPE[0]), slice(x + 12, x + 12 + SHAPE[1])
        values[at], area[at] = np.where(part > 0, data, np.nan), np.where(np.isnan(data), 0, part)
    return values, area


def mean_of(values: Floats, weights: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.asarray((np.nan_to_num(values) * weights).sum(axis=0) / weights.sum(axis=0))


@pytest.mark.parametrize("areas", [(), (0, 1, 2, 3), (1, 3)])
def test_shifts_by_whole_pixels(tmp_path: Path, areas: tuple[int, ...]) -> None:
    """C21: areas weigh, pixels without count as 1; the grid is the union; mixed folders are told of."""
    values, area = write_aligned(tmp_path, areas)
    made = dm.coadd(tmp_path)
    found = made.compute()
    assert found.data.shape == (NY, NX) and made.plan.n_images == 4
    np.testing.assert_allclose(found.area, area.sum(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found.data, mean_of(values, area), rtol=1e-5)
    told = [text for text in made.plan.warnings if "no area file" in text]
    assert len(told) == (len(areas) == 2) and all(text.startswith("2 of 4 images") for text in told)
    plain = dm.coadd(tmp_path, weights="none").compute()
    np.testing.assert_allclose(plain.data, mean_of(values, (area > 0).astype(float)), rtol=1e-5)
    median = dm.coadd(tmp_path, combine="median").compute()
    used = np.where(area > 0.5, values, np.nan)
    some = ~np.isnan(used).all(axis=0)
    np.testing.assert_array_equal(np.isfinite(median.data), some)
    np.testing.assert_allclose(median.data[some], np.nanmedian(used[:, some], axis=0), rtol=1e-5)


def test_the_image_itself_comes_through_to_the_bit(tmp_path: Path) -> None:
    values, _ = write_aligned(tmp_path)
    for k in (0, 2, 3):
        (tmp_path / f"a{k}.fits").unlink()
    found = dm.coadd(tmp_path).compute()
    y, x = SHIFTS[1]
    np.testing.assert_array_equal(found.data, values[1, y + 30 : y + 30 + SHAPE[0], x + 12 : x + 12 + SHAPE[1]])


@pytest.mark.parametrize(
    "cards",
    [{"CRPIX1": 20.5}, {"CRPIX2": 40.001}, {"CDELT1": -2.001 / 3600}, {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN"}],
)
def test_parts_of_pixels_are_refused(tmp_path: Path, cards: dict[str, Any]) -> None:
    """C24: never rounded; nor is another scale or projection taken for the same grid."""
    write_image(tmp_path / "a.fits", np.ones(SHAPE, np.float32), image_header(), CRPIX1=10.0, CRPIX2=30.0)
    write_image(
        tmp_path / "b.fits", np.ones(SHAPE, np.float32), image_header(), **{"CRPIX1": 10.0, "CRPIX2": 30.0} | cards
    )
    with pytest.raises(InputError, match=r"b.fits does not lie on the grid.*project it"):
        dm.coadd(tmp_path)
    grid = dm.scan(tmp_path / "a.fits")[0].grid
    with pytest.raises(InputError, match=r"b.fits does not lie on the grid"):
        dm.coadd(tmp_path, grid)
    with pytest.raises(InputError, match="not laid on it by drops"):
        dm.coadd(tmp_path / "a.fits", pixfrac=0.5)


@pytest.mark.parametrize("ending", [".fits.gz", ".fits.fz", ".FITS", ".dat"])
def test_area_files_of_any_ending_weigh(tmp_path: Path, ending: str) -> None:
    """A folder of Montage's that was packed is what it was."""
    values, area = write_aligned(tmp_path, (0, 1, 2, 3))
    for path in tmp_path.glob("*.fits"):
        with fits.open(path) as hdus:
            packed: list[Any] = [fits.PrimaryHDU(hdus[0].data, hdus[0].header)]
            if ending == ".fits.fz":
                how = {"compression_type": "GZIP_1", "quantize_level": 0.0}
                packed = [fits.PrimaryHDU(), fits.CompImageHDU(hdus[0].data, hdus[0].header, **how)]
            fits.HDUList(packed).writeto(path.with_name(f"{path.stem}-packed{ending}"))
        path.unlink()
    for path in tmp_path.glob("*_area-packed*"):
        path.rename(path.with_name(path.name.replace("_area-packed", "-packed_area")))
    made = dm.coadd(sorted(path for path in tmp_path.iterdir() if "_area" not in path.name))
    found = made.compute()
    np.testing.assert_allclose(found.area, area.sum(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found.data, mean_of(values, area), rtol=1e-5)


def test_a_packed_image_has_an_area_file_that_is_not(tmp_path: Path) -> None:
    values, area = write_aligned(tmp_path, (0, 1, 2, 3))
    for k in range(4):
        data, header = fits.getdata(tmp_path / f"a{k}.fits", header=True)
        write_image(tmp_path / f"a{k}.fits.gz", data, header)
        (tmp_path / f"a{k}.fits").unlink()
    found = dm.coadd(tmp_path).compute()
    np.testing.assert_allclose(found.data, mean_of(values, area), rtol=1e-5)


def test_an_area_that_is_not_in_steradian_is_told_of(tmp_path: Path) -> None:
    """And one of another shape."""
    write_image(tmp_path / "a.fits", np.ones(SHAPE, np.float32))
    write_image(tmp_path / "a_area.fits", np.ones(SHAPE, np.float32))
    with pytest.raises(InputError, match=r"a.fits: its area file has up to .* not in steradian"):
        dm.coadd(tmp_path, strict=True).compute()
    write_image(tmp_path / "a_area.fits", np.ones((4, 5), np.float32))
    with pytest.raises(InputError, match=r"area file a_area.fits has shape \(4, 5\)"):
        dm.coadd(tmp_path)


def test_own_mosaics_are_coadded(tmp_path: Path) -> None:
    """Two halves of a survey on one grid, written, weigh by their areas: as if all had been one."""
    survey = make_survey(tmp_path / "raw", 3)
    options: dict[str, Any] = {"background": "none", "also": ("depth",)}
    for k, paths in enumerate((survey.paths[:2], survey.paths[2:])):
        (tmp_path / "halves").mkdir(exist_ok=True)
        dm.mosaic(paths, survey.grid, **options).write(tmp_path / f"halves/m{k}.fits")
    done = CliRunner().invoke(main, ["coadd", str(tmp_path / "halves"), "-o", str(tmp_path / "all.fits")])
    assert done.exit_code == 0, done.output
    assert "depth of a mosaic that dmontage wrote, not an image" in done.output
    whole = dm.mosaic(survey.folder, survey.grid, background="none").write(tmp_path / "whole.fits").compute()
    with fits.open(tmp_path / "all.fits") as hdus:
        well = whole.area > 1e-3
        np.testing.assert_allclose(hdus[0].data[well], whole.data[well], rtol=1e-5)
        assert hdus[0].header["NIMAGES"] == 2
    with fits.open(tmp_path / "all_area.fits") as one, fits.open(tmp_path / "whole_area.fits") as other:
        np.testing.assert_allclose(one[0].data, other[0].data, rtol=1e-5, atol=1e-20)


def test_backgrounds_of_aligned_images_are_matched_on_request(tmp_path: Path) -> None:
    """Levels of 0 and 50 over a common sky."""
    rng = np.random.default_rng(1)
    for k in range(2):
        header = image_header()
        header["CRPIX1"] += 40 * k
        write_image(tmp_path / f"a{k}.fits", (rng.normal(0, 0.1, SHAPE) + 50 * k).astype(np.float32), header)
    assert np.nanstd(dm.coadd(tmp_path).compute().data) > 15
    assert np.nanstd(dm.coadd(tmp_path, background="level").compute().data) < 0.2


@pytest.mark.skipif(shutil.which("mProjectPP") is None, reason="Montage is not installed")
def test_montages_projected_images_and_its_coadd(tmp_path: Path) -> None:
    """Its own mProjectPP's images and areas, against its own mAdd of them."""
    survey = make_survey(tmp_path / "raw", 3)
    (tmp_path / "grid.hdr").write_text(survey.grid.to_template())
    (tmp_path / "p").mkdir()

    def montage(*command: str) -> None:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert 'stat="OK"' in done.stdout, done.stdout

    for path in survey.paths:
        montage("mProjectPP", str(path), f"p/{path.name}", "grid.hdr")
    montage("mImgtbl", "p", "p.tbl")
    montage("mAdd", "-e", "-p", "p", "p.tbl", "grid.hdr", "madd.fits")
    template = dm.Grid.from_header(tmp_path / "grid.hdr")
    found = dm.coadd(tmp_path / "p", template).write(tmp_path / "m.fits").compute()
    theirs, area = (fits.getdata(tmp_path / name).astype(float) for name in ("madd.fits", "madd_area.fits"))
    well = (area > 0.01 * template.scale**2) & (found.area > 0.01)
    assert well.mean() > 0.2
    np.testing.assert_allclose(found.data[well], theirs[well], rtol=1e-5)
    np.testing.assert_allclose(fits.getdata(tmp_path / "m_area.fits")[well], area[well], rtol=1e-5)
