"""Zero points and flux scales: images of one sky on different scales become one mosaic of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from numpy.typing import NDArray
from surveys import DEC, RA, SHAPE, field_grid, image_header, make_survey, write_image

import dmontage as dm
from dmontage.errors import InputError
from dmontage.fits_files import scan
from dmontage.fits_files.companions import Wanted, find_companions
from dmontage.grid import Grid
from dmontage.model import Companions
from dmontage.pipeline import Pixels
from dmontage.planner import row_digest

Floats = NDArray[np.float64]

RNG = np.random.default_rng(3)
VALUES = RNG.normal(50, 10, SHAPE).astype(np.float32)
ZERO_POINTS = (20.5, 21.3, 20.9, 19.8, 22.1, 20.7)
"""Of six images; the lower middle one is 20.7."""


class Scaled(NamedTuple):
    """A survey twice: on one scale, and every image on that of its own zero point."""

    plain: Path
    own: Path
    grid: Grid
    numbers: dict[str, float]


def on_own_scales(folder: Path, out: Path, zero_points: dict[str, float], zero_point_out: float) -> None:
    """Copies of images whose values have their own zero points, and say so; float64, so that nothing else changes."""
    for name, number in zero_points.items():
        data, header = fits.getdata(folder / name, header=True)
        factor = 10.0 ** (0.4 * (number - zero_point_out))
        write_image(out / name, data.astype(np.float64) * factor, header, MAGZP=number, FLXSCALE=1.0 / factor)


@pytest.fixture(scope="module")
def scaled(tmp_path_factory: pytest.TempPathFactory) -> Scaled:
    """Six images with planes of their own."""
    folder = tmp_path_factory.mktemp("scaled")
    survey = make_survey(folder / "plain", 5, noise=0.1)
    numbers = {path.name: number for path, number in zip(survey.paths, ZERO_POINTS, strict=True)}
    on_own_scales(survey.folder, folder / "own", numbers, 20.7)
    return Scaled(survey.folder, folder / "own", survey.grid, numbers)


def pixels(path: Path, grid: Grid | None = None, background: str = "none", **options: Any) -> Pixels:
    made = dm.mosaic(path, grid or field_grid(200, 1.7), background=background, **options)
    found = made.compute()
    made.close()
    return found


def write_with(path: Path, variance: NDArray[Any], header: fits.Header, data: NDArray[Any] = VALUES) -> Path:
    hdus = [fits.PrimaryHDU(data, header), fits.ImageHDU(variance, name="VAR")]
    path.parent.mkdir(exist_ok=True)
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def with_cards(dx: float = 0.0, **cards: Any) -> fits.Header:
    header = image_header(dx)
    header.update(cards)
    return header


def found_in(path: Path, **wanted: Any) -> dict[str, Companions]:
    return {ref.name: beside for ref, beside in find_companions(scan(path), Wanted(**wanted))[1].items()}


# --- the sky comes out --------------------------------------------------------------------------------------------


def sky(header: fits.Header, shape: tuple[int, int]) -> Floats:
    """A smooth known sky in the middles of an image's pixels, by astropy."""
    y, x = np.indices(shape)
    ra, dec = WCS(header).all_pix2world(x, y, 0)
    u, v = (np.asarray(angle) - middle for angle, middle in ((ra, RA), (dec, DEC)))
    return 100 + 40 * np.sin(15 * u) * np.cos(12 * v)


def test_images_of_one_sky_mosaic_to_it(tmp_path: Path) -> None:
    """Nothing but the scales differs between the images: with zero points no seam is left, without them all are."""
    shape, zero_points = (120, 140), (20.1, 21.4, 20.8, 22.0)
    for k, number in enumerate(zero_points):
        header = image_header(45 * (-1) ** k, 40 * (1 if k > 1 else -1), rotation=7 * k, shape=shape)
        data = sky(header, shape) * 10.0 ** (0.4 * (number - 25.0))
        write_image(tmp_path / f"a{k}.fits", data, header, MAGZP=number)
    grid = field_grid(180)
    wanted = sky(image_header(shape=grid.shape), grid.shape)
    # From one pixel to the next the sky changes by up to 0.4 %; of one at an image's border a part counts.
    made = pixels(tmp_path, grid, zero_point="MAGZP", zero_point_out=25.0)
    well = made.area > 0.99
    assert (made.area > 1.99).sum() > 3000
    assert np.abs(made.data[well] / wanted[well] - 1).max() < 1e-3
    assert np.abs(pixels(tmp_path, grid).data[well] / wanted[well] - 1).max() > 0.5


@pytest.mark.parametrize("background", ["none", "level", "plane"])
def test_a_scaled_survey_is_the_survey(scaled: Scaled, background: str) -> None:
    """Of the images' own median, and before the match: levels, slopes and pixels are those of the one scale."""
    wanted = dm.mosaic(scaled.plain, scaled.grid, background=background)
    made = dm.mosaic(scaled.own, scaled.grid, background=background, zero_point="MAGZP")
    one, other = wanted.compute(), made.compute()
    np.testing.assert_allclose(other.data, one.data, rtol=1e-6, atol=1e-4)
    np.testing.assert_array_equal(other.area, one.area)
    assert made.plan.zero_point == 20.7
    if background == "none":
        return
    assert wanted.solution is not None and made.solution is not None
    np.testing.assert_allclose(made.solution.parameters, wanted.solution.parameters, rtol=1e-4, atol=1e-4)
    assert made.summary.rms_after == pytest.approx(wanted.summary.rms_after, rel=1e-3)
    unmatched = dm.mosaic(scaled.own, scaled.grid, background=background)
    unmatched.compute()
    assert unmatched.summary.rms_before > 2 * made.summary.rms_before


def test_scales_compose(scaled: Scaled) -> None:
    """A flux scale alone does it too; with a zero point the factors multiply."""
    wanted = pixels(scaled.plain, scaled.grid)
    for options in (
        {"flux_scale": "FLXSCALE"},
        {"zero_point": "MAGZP", "flux_scale": dict.fromkeys(scaled.numbers, 0.5), "zero_point_out": 20.7},
    ):
        factor = 1.0 if "zero_point" not in options else 0.5
        made = pixels(scaled.own, scaled.grid, **options)
        np.testing.assert_allclose(made.data, factor * wanted.data, rtol=1e-6)
    brighter = pixels(scaled.own, scaled.grid, zero_point="MAGZP", zero_point_out=20.7 + 2.5)
    np.testing.assert_allclose(brighter.data, 10 * wanted.data, rtol=1e-6)


@pytest.mark.parametrize("method", ["plane", "sky"])
@pytest.mark.parametrize("unit", ["surface_brightness", "flux_per_pixel"])
def test_powers_of_two_change_no_bit(tmp_path: Path, method: str, unit: str) -> None:
    """Values by the factor, variances by its square, weights and area not at all."""
    header = image_header(0.3, 0.7, rotation=31.0)
    path = write_with(tmp_path / "a.fits", RNG.uniform(1, 2, SHAPE), header)
    options: dict[str, Any] = {"variance": "VAR", "unit": unit, "method": method}
    plain = pixels(path, **options)
    made = pixels(path, flux_scale={"a.fits": 0.25}, **options)
    assert plain.variance is not None and made.variance is not None
    np.testing.assert_array_equal(made.data, np.float32(0.25) * plain.data)
    np.testing.assert_array_equal(made.variance, np.float32(0.0625) * plain.variance)
    np.testing.assert_array_equal(made.area, plain.area)


def test_variance_is_scaled_by_the_square(tmp_path: Path) -> None:
    """Exact on the grid: Σ s² σ² / n² of images whose zero points differ."""
    numbers = (20.0, 21.0, 23.5)
    values, variances = RNG.normal(50, 10, (3, *SHAPE)), RNG.uniform(0.5, 2, (3, *SHAPE))
    for k, number in enumerate(numbers):
        write_with(tmp_path / f"a{k}.fits", variances[k], with_cards(MAGZP=number), values[k])
    grid = Grid.from_header(image_header(), shape=SHAPE)
    made = pixels(tmp_path, grid, zero_point="MAGZP", zero_point_out=22.0, variance="VAR")
    scale = 10.0 ** (-0.4 * (np.array(numbers)[:, None, None] - 22.0))
    assert made.variance is not None
    np.testing.assert_allclose(made.data, (scale * values).mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(made.variance, (scale**2 * variances).sum(axis=0) / 9, rtol=1e-6)


def test_counts_are_scaled_and_kept(tmp_path: Path) -> None:
    """The total is the image's times its factor."""
    path = write_image(tmp_path / "a.fits", VALUES, image_header(rotation=20.0), MAGZP=24.5)
    made = pixels(path, field_grid(120, 2.9), zero_point="MAGZP", zero_point_out=22.0, unit="flux_per_pixel")
    assert np.nansum(made.data.astype(float) * made.area) == pytest.approx(0.1 * VALUES.astype(float).sum(), rel=1e-5)


# --- numbers of images --------------------------------------------------------------------------------------------


def test_keyword_mapping_and_tables_agree(tmp_path: Path, scaled: Scaled) -> None:
    """Each format of a table that astropy reads, whatever its column of names is called."""
    wanted = found_in(scaled.own, zero_point="MAGZP")
    assert {name: beside.zero_point for name, beside in wanted.items()} == scaled.numbers
    assert found_in(scaled.own, zero_point=scaled.numbers) == wanted
    names, numbers = list(scaled.numbers), list(scaled.numbers.values())
    for suffix, kind, column, name in (
        ("ecsv", "ascii.ecsv", "FNAME", names), ("csv", "ascii.csv", "file", names),
        ("fits", "fits", "Filename", names), ("tbl", "ascii.ipac", "name", names),
        ("txt", "ascii.basic", "fname", [str(scaled.own / n) for n in names]),
    ):  # fmt: skip
        path = tmp_path / f"phot.{suffix}"
        Table({"n": np.arange(6), column: name, "zp": numbers}).write(path, format=kind)
        assert found_in(scaled.own, zero_point=f"{path}:zp") == wanted


def test_weights_come_from_tables_too(tmp_path: Path, scaled: Scaled) -> None:
    path = tmp_path / "a table: weights.csv"
    Table({"fname": list(scaled.numbers), "w": [1, 2, 3, 4, 5, 6]}).write(path, format="ascii.csv")
    found = found_in(scaled.own, image_weight=f"{path}:w", flux_scale="FLXSCALE", zero_point="MAGZP")
    assert [beside.factor for beside in found.values()] == [1, 2, 3, 4, 5, 6]
    one = found["image01.fits"]
    assert one.zero_point == 21.3 and one.scale == pytest.approx(10.0 ** (-0.4 * 0.6))


def test_rows_of_a_table_go_by_hdu(tmp_path: Path) -> None:
    """A name with its HDU is meant before one of the file; two numbers for one name are refused, two equal ones not."""
    chips = [fits.ImageHDU(VALUES, image_header(dx)) for dx in (0, 30)]
    fits.HDUList([fits.PrimaryHDU(), *chips]).writeto(tmp_path / "x.fits")
    table = tmp_path / "t.csv"
    table.write_text("fname,zp\nx.fits[1],20\nx.fits,21\nx.fits,21\n")
    found = found_in(tmp_path / "x.fits", zero_point=f"{table}:zp")
    assert [beside.zero_point for beside in found.values()] == [20, 21]
    table.write_text("fname,zp\nx.fits,20\nx.fits,21\n")
    with pytest.raises(InputError, match=r"t\.csv has two rows for x\.fits, with 20 and 21; .* \('x\.fits\[1\]'\)"):
        found_in(tmp_path / "x.fits", zero_point=f"{table}:zp")


@pytest.mark.parametrize(
    ("text", "source", "message"),
    [
        (None, "absent.csv:zp", r"there is no table .*absent\.csv'; give a header keyword, or FILE:COLUMN"),
        ("fname,zp\na.fits,20\n", "t.csv:", r"t\.csv has no column ; it has fname, zp"),
        ("fname,zp\na.fits,20\n", "t.csv:ZP", r"t\.csv has no column ZP; it has fname, zp"),
        (
            "path,zp\na.fits,20\n",
            "t.csv:zp",
            r"has no column of file names \(fname, file, filename, name\); it has path",
        ),
        ("", "t.csv:zp", r"t\.csv has no column of file names"),
        ("%ECSV", "t.ecsv:zp", r"t\.ecsv cannot be read as a table: "),
        ("\0\1\2", "t.dat:zp", r"t\.dat (cannot be read as a table|has no column)"),
        (
            "fname,zp\nb.fits,20\n",
            "t.csv:zp",
            r"no entry of .*t\.csv:zp names any .* first is 'b\.fits', .* is a\.fits",
        ),
        ("fname,zp\na.fits,\nb.fits,20\n", "t.csv:zp", r"a\.fits: has no zero point: no entry of .*t\.csv:zp"),
        ("fname,zp\na.fits,nan\n", "t.csv:zp", r"a\.fits: has no zero point: its entry of .*t\.csv:zp is nan, not a"),
        ("fname,zp\na.fits,faint\n", "t.csv:zp", r"its entry of .*t\.csv:zp is 'faint', not a number of magnitudes"),
    ],
)
def test_tables_that_do_not_serve(tmp_path: Path, text: str | None, source: str, message: str) -> None:
    path = write_image(tmp_path / "a.fits", VALUES)
    if text is not None:
        (tmp_path / source.split(":", maxsplit=1)[0]).write_text(text)
    with pytest.raises(InputError, match=message):
        dm.plan(path, zero_point=f"{tmp_path}/{source}")


# --- the plan -----------------------------------------------------------------------------------------------------


def test_the_mosaics_zero_point(tmp_path: Path, scaled: Scaled) -> None:
    """One of the images' own, whatever their order, the grid, and what is skipped."""
    images = scan(scaled.own)
    plan = dm.plan(images, zero_point="MAGZP")
    assert plan.zero_point == 20.7 and 1.0 in [beside.scale for beside in plan.companions]
    assert dm.plan(list(images)[::-1], zero_point="MAGZP").zero_point == 20.7
    part = dm.plan(images, field_grid(20), zero_point="MAGZP")
    assert part.n_images < 6 and part.zero_point == 20.7
    assert "scale       zero points 19.8 to 22.1 brought to 20.7;  values times 0.2754 to 2.291" in str(plan)
    assert "\nscale " not in str(dm.plan(images))
    assert "scale       values times 0.5 to 0.5" in str(dm.plan(images[:1], flux_scale={"image00.fits": 0.5}))
    raw = tmp_path / "raw"
    shutil.copytree(scaled.own, raw)
    write_image(raw / "cube.fits", np.ones((3, *SHAPE), np.float32), MAGZP=30.0)
    write_image(raw / "none.fits", VALUES)
    more = dm.plan(raw, zero_point="MAGZP")
    assert more.zero_point == 20.7
    assert "none.fits: has no zero point: no header keyword MAGZP" in str(more)
    with pytest.raises(InputError, match=r"none\.fits: has no zero point"):
        dm.plan(raw, zero_point="MAGZP", strict=True)


def test_an_entry_for_some(scaled: Scaled) -> None:
    """One among others is skipped with its reason."""
    plan = dm.plan(scaled.own, zero_point={"image00.fits": 20.0, "image03.fits": 21.0})
    assert plan.n_images == 2 and plan.zero_point == 20.0
    assert plan.skipped[0].reason == "has no zero point: no entry of zero_point"


def test_equal_zero_points_change_nothing(scaled: Scaled) -> None:
    """Neither a bit nor a digest."""
    plain = dm.plan(scaled.plain, scaled.grid)
    plan = dm.plan(scaled.plain, scaled.grid, zero_point=dict.fromkeys(scaled.numbers, 20.3))
    assert plan.zero_point == 20.3 and plan.digest == plain.digest
    assert {beside.scale for beside in plan.companions} == {1.0}


def test_a_scale_is_part_of_a_rows_digest(scaled: Scaled) -> None:
    row = dm.plan(scaled.plain, scaled.grid).rows[0]
    scales = (1.0, 2.0, float(np.nextafter(2.0, 3.0)))
    assert len({row_digest(row, Companions(scale=scale)) for scale in scales}) == 3
    beside = Companions(factor=2.0, zero_point=20.0)  # what the coadd uses, and what the scale was made from
    assert row_digest(row, beside) == row_digest(row, Companions())


def test_a_store_is_that_of_its_scales(tmp_path: Path, scaled: Scaled) -> None:
    """Rows are reused with the same scales however they are told, and with others made anew."""
    store = tmp_path / "run.zarr"

    def run(**options: Any) -> int:
        made = dm.mosaic(scaled.own, scaled.grid, store, "none", **options)
        made.compute()
        return made.summary.reused

    assert [run(zero_point="MAGZP"), run(zero_point=scaled.numbers, zero_point_out=20.7)] == [0, 6]
    others: list[dict[str, Any]] = [
        {"zero_point": "MAGZP", "zero_point_out": 20.8}, {"flux_scale": "FLXSCALE", "zero_point": "MAGZP"},
        {"zero_point": scaled.numbers | {"image02.fits": 21.8}, "zero_point_out": 20.7},
    ]  # fmt: skip
    assert [run(**other) for other in others] == [0, 1, 5], "one image is of scale 1 either way"
    assert [run(**other) for other in others] == [6, 6, 6], "the rows of each are kept"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"zero_point_out": 20.0}, r"zero_point_out 20\.0 needs the images' own: give a zero_point"),
        ({"zero_point_out": 20.0, "flux_scale": {"a.fits": 2.0}}, "needs the images' own"),
        (
            {"zero_point": "MAGZP", "zero_point_out": "V"},
            "zero_point_out 'V' must be a number of magnitudes between -90",
        ),
        ({"zero_point": "MAGZP", "zero_point_out": float("nan")}, "zero_point_out nan must be a number of magnitudes"),
        ({"zero_point": "MAGZP", "zero_point_out": -99}, "zero_point_out -99 must be a number of magnitudes"),
        ({"zero_point": "MAGZP", "zero_point_out": True}, "zero_point_out True must be a number of magnitudes"),
        ({"zero_point": 20.0}, r"zero_point 20\.0 is neither a header keyword \('MAGZP'\), nor numbers by file name"),
        ({"flux_scale": ""}, r"flux_scale '' is neither a header keyword \('FLXSCALE'\), nor .* \('FILE:COLUMN'\)"),
        ({"flux_scale": {"a.fits": 1e80}}, r"a\.fits: .* multiply values by 1e\+80 \(limits 1e-76 to 1e\+76\)"),
        (
            {"zero_point": "MAGZP", "flux_scale": {"a.fits": 1e-60}, "zero_point_out": -80},
            r"a\.fits: its flux scale and zero point multiply values by 5\.75e-101 .* choose another zero_point_out",
        ),
    ],
)
def test_scales_that_cannot_be_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    path = write_image(tmp_path / "a.fits", VALUES, MAGZP=20.6)
    with pytest.raises(InputError, match=message):
        dm.plan(path, **options)


@pytest.mark.parametrize("scale", [1e-40, 1e37])
def test_values_that_float32_cannot_hold_are_told_of(tmp_path: Path, scale: float) -> None:
    """Magnitudes apart a mosaic would be of zeros, or infinite."""
    path = write_image(tmp_path / "a.fits", VALUES)
    with pytest.raises(
        InputError, match=r"a\.fits: values up to .* outside of what a float32 .* another zero_point_out"
    ):
        pixels(path, flux_scale={"a.fits": scale})
    erg = pixels(path, zero_point={"a.fits": 25.0}, zero_point_out=-48.6)  # DN to erg/s/cm²/Hz
    np.testing.assert_allclose(erg.data, pixels(path).data * 10.0 ** (-0.4 * 73.6), rtol=1e-6)


# --- products -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("combine", ["mean", "count"])
def test_products_tell_their_zero_point(tmp_path: Path, combine: str) -> None:
    """Where they are values or variances of that scale, and zero points were used."""
    for k in range(2):
        header = with_cards(10.0 * k, MAGZP=20.0 + k)
        write_with(tmp_path / "raw" / f"a{k}.fits", np.ones(SHAPE), header)
    variance = {"variance": "VAR"} if combine == "mean" else {}
    products = ["m.fits", "m_area.fits", "m_variance.fits"] if variance else ["m.fits", "m_area.fits"]
    cards = []
    ways: list[dict[str, Any]] = [{}, {"zero_point": "MAGZP"}, {"zero_point": "MAGZP", "zero_point_out": 22.5}]
    for options in ways:
        dm.mosaic(tmp_path / "raw", background="none", combine=combine, **(variance | options)).write(
            tmp_path / "m.fits"
        )
        cards.append([fits.getheader(tmp_path / name).get("MAGZP") for name in products])
    wanted = [[None] * 3, [20.0, None, 20.0], [22.5, None, 22.5]] if combine == "mean" else [[None] * 2] * 3
    assert cards == wanted
