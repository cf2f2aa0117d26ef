"""mProject and its kin: against what must hold, and beside Montage's own programs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from surveys import image_header, write_image

import dmontage as dm
from dmontage.fits_files import one_image
from dmontage.grid import Grid
from dmontage.montage import mProject, mProjectCube, mProjectPP, mProjectQL, raising
from dmontage.window import Window

SHAPE = (50, 60)
Floats = NDArray[np.float64]


class Pair(NamedTuple):
    """A pair of files."""

    values: Floats
    area: Floats
    grid: Grid


def pair(path: Path) -> Pair:
    area = path.with_name(path.name.replace(".fits", "_area.fits"))
    return Pair(fits.getdata(path), fits.getdata(area), one_image(path).grid)


def named(work: Path, *names: str) -> tuple[str, str, str]:
    image, out, hdr = (str(work / name) for name in names)
    return image, out, hdr


def template(path: Path, grid: Grid) -> Path:
    path.write_text(grid.to_template())
    return path


def values(seed: int = 0) -> Floats:
    data = 100 + np.random.default_rng(seed).normal(size=SHAPE)
    data[20:25, 30] = np.nan
    return data


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """An image in.fits, turned and of another projection; templates whole.hdr, with room, and part.hdr, inside it."""
    header = image_header(shape=SHAPE, rotation=17.0)
    header["CTYPE1"], header["CTYPE2"] = "RA---SIN", "DEC--SIN"
    write_image(tmp_path / "in.fits", values(), header)
    grid = Grid.from_header(image_header(shape=(90, 100), scale=2.54), (90, 100))
    template(tmp_path / "whole.hdr", grid)
    template(tmp_path / "part.hdr", grid.subgrid(Window(40, 51, 45, 56)))
    return tmp_path


def called(work: Path, out: str = "out.fits", hdr: str = "whole.hdr", image: str = "in.fits", **options: Any) -> Pair:
    answer = raising.mProject(str(work / image), str(work / out), str(work / hdr), **options)
    assert answer.keys() == {"time"} and answer["time"] > 0
    return pair(work / out)


def test_a_constant_stays_and_areas_add_up(work: Path) -> None:
    write_image(work / "one.fits", np.full(SHAPE, 7.5), fits.getheader(work / "in.fits"))
    found = called(work, image="one.fits")
    some = found.area > 0
    assert (np.isfinite(found.values) == some).all()
    np.testing.assert_allclose(found.values[some], 7.5, rtol=1e-13)
    source = one_image(work / "one.fits").grid
    np.testing.assert_allclose(found.area.sum(), source.solid_angle(source.window).sum(), rtol=1e-9)
    np.testing.assert_allclose(found.area.max(), found.grid.scale**2, rtol=1e-6)
    assert found.area[0].any() and found.area[-1].any() and found.area[:, 0].any() and found.area[:, -1].any()


def test_it_is_what_the_engine_makes(work: Path) -> None:
    whole = called(work, fullRegion=True)
    grid = Grid.from_header(work / "whole.hdr")
    mean, covered = (each.compute() for each in dm.project(work / "in.fits", grid))
    np.testing.assert_array_equal(whole.values, mean)
    np.testing.assert_allclose(whole.area, covered * grid.solid_angle(grid.window), rtol=1e-14)
    assert whole.grid == grid
    wrapped = called(work)
    assert wrapped.grid.shape < grid.shape
    y, x = grid.shift_from(wrapped.grid) or (0, 0)
    window = wrapped.grid.window.shift(y, x)
    np.testing.assert_array_equal(wrapped.values, mean[window.slices])
    assert fits.getheader(work / "out.fits")["BUNIT"] == "MJy/sr"
    assert fits.getheader(work / "out_area.fits")["BUNIT"] == "sr"
    assert fits.getheader(work / "out.fits")["BITPIX"] == -64


def test_expand_reaches_beyond_the_template_in_whole_pixels(work: Path) -> None:
    whole = called(work)
    part = called(work, hdr="part.hdr")
    assert part.values.shape == (11, 11) and (part.area > 0).all()
    grown = called(work, hdr="part.hdr", expand=True)
    assert grown.grid.shift_from(whole.grid) == (0, 0) and grown.values.shape == whole.values.shape
    np.testing.assert_allclose(grown.values, whole.values, rtol=1e-12)


def test_weights_count_in_means_and_in_areas(work: Path) -> None:
    weights = np.linspace(0.0, 2.0, 3000).reshape(SHAPE)
    write_image(work / "weight.fits", weights)  # no matter where it says it is
    weighted = called(work, weight_file=str(work / "weight.fits"), fixedWeight=2.5, fullRegion=True)
    product = called(work, "product.fits", image=write_image(work / "vw.fits", values() * weights, fits.getheader(
        work / "in.fits")).name, fullRegion=True)  # fmt: skip
    blank = np.where(np.isnan(values()) | (weights == 0), np.nan, weights)
    plain = called(work, "w.fits", image=write_image(work / "wv.fits", blank, fits.getheader(work / "in.fits")).name,
                   fullRegion=True)  # fmt: skip
    some = plain.area > 1e-3 * plain.area.max()
    np.testing.assert_allclose(weighted.area[some], 2.5 * (plain.values * plain.area)[some], rtol=1e-11)
    inside = some & (plain.values > 0.2)  # where the weight of 0 does not reach
    expected = (product.values * product.area)[inside] / (plain.values * plain.area)[inside]
    np.testing.assert_allclose(weighted.values[inside], expected, rtol=1e-11)
    limited = called(work, weight_file=str(work / "weight.fits"), threshold=1.0)
    assert 0.45 < limited.area.sum() * 2.5 / weighted.area.sum() / 1.5 < 0.55  # half the pixels, of weight 1.5


def test_energy_is_kept(work: Path) -> None:
    total = np.nansum(values())
    for drizzle in (1.0, 0.5):
        found = called(work, energyMode=True, drizzle=drizzle)
        np.testing.assert_allclose(np.nansum(found.values), total, rtol=1e-8)
    assert np.nansum(called(work, energyMode=True, fluxScale=3.0).values) == pytest.approx(3 * total, rel=1e-8)


def test_drops_cover_what_they_are(work: Path) -> None:
    plain, drops = called(work), called(work, drizzle=0.5)
    assert drops.area.sum() == pytest.approx(plain.area.sum() / 4, rel=1e-7)


def test_borders(work: Path) -> None:
    template(work / "own.hdr", one_image(work / "in.fits").grid)
    mine = values()

    def kept(border: str) -> NDArray[np.bool_]:
        found = called(work, hdr="own.hdr", borderstr=border, fullRegion=True)
        some = np.isfinite(found.values)
        np.testing.assert_array_equal(found.values[some], mine[some])
        return some | np.isnan(mine)

    expected = np.zeros(SHAPE, bool)
    expected[10:-10, 10:-10] = True
    np.testing.assert_array_equal(kept("10"), expected | np.isnan(mine))
    box = np.zeros(SHAPE, bool)
    box[12:30, 10:20] = True
    for text in ("10,12,20,12,20,30,10,30", "10 12 20 12 20 30 10 30", "10,30,20,30,20,12,10,12"):
        np.testing.assert_array_equal(kept(text), box | np.isnan(mine))


def test_a_cube_is_projected_plane_by_plane(work: Path) -> None:
    planes = np.stack([values(), 2 * values(), values() + 5])
    planes[1, 30:, :] = np.nan
    header = fits.getheader(work / "in.fits")
    header.update({"CTYPE3": "FREQ", "CRVAL3": 1.4e9, "CDELT3": 1e6, "CRPIX3": 1.0})
    write_image(work / "cube.fits", planes[:, None], header, CTYPE4="FREQ", CRVAL4=1.4e9, CDELT4=1e6, CTYPE3="STOKES")
    answer = mProjectCube(str(work / "cube.fits"), str(work / "c.fits"), str(work / "whole.hdr"))
    assert answer["status"] == "0"
    found = pair(work / "c.fits")
    assert found.values.shape == (3, *found.area.shape)
    one = called(work)
    np.testing.assert_allclose(found.values[0], one.values, rtol=1e-13)
    np.testing.assert_allclose(found.area, one.area, rtol=1e-13, atol=1e-15 * one.area.max())
    write_image(work / "second.fits", planes[1], fits.getheader(work / "in.fits"))
    second = called(work, image="second.fits", fullRegion=True)
    full = called(work, image="cube.fits", fullRegion=True)
    np.testing.assert_allclose(full.values[1], second.values, rtol=1e-11)
    made = fits.getheader(work / "c.fits")
    assert (made["CTYPE3"], made["CRVAL3"], made["CDELT3"]) == ("FREQ", 1.4e9, 1e6) and "CTYPE4" not in made


def test_many_blocks_of_a_large_template(work: Path) -> None:
    """Beyond 1024 pixels a side, of an image that is read part by part."""
    fine = Grid.from_header(image_header(shape=(1500, 1500), scale=2.0 / 29), (1500, 1500))
    template(work / "fine.hdr", fine)
    found = called(work, hdr="fine.hdr", fullRegion=True)
    mean, _ = dm.project(work / "in.fits", fine)
    np.testing.assert_array_equal(found.values, mean.compute())


def test_quick_look_is_exact_too(work: Path) -> None:
    names = named(work, "in.fits", "q.fits", "whole.hdr")
    assert mProjectQL(*names)["status"] == "0" and not (work / "q_area.fits").exists()
    exact = called(work)
    np.testing.assert_array_equal(fits.getdata(work / "q.fits"), exact.values)
    assert mProjectQL(*names, interp=1, noAreas=False)["status"] == "0"
    np.testing.assert_array_equal(fits.getdata(work / "q_area.fits"), exact.area)
    assert "interp is 2" in mProjectQL(*names, interp=2)["msg"]


def test_names_of_pairs(work: Path) -> None:
    for name in ("a", "b.fits", "c.fit", "d.x.fits"):
        mProject(str(work / "in.fits"), str(work / name), str(work / "whole.hdr"))
    made = {path.name for path in work.glob("[abcd]*.fits")}
    assert made == {f"{stem}{end}.fits" for stem in ("a", "b", "c", "d.x") for end in ("", "_area")}


def test_the_only_image_of_a_file(work: Path) -> None:
    header = fits.getheader(work / "in.fits")
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(np.nan_to_num(values()).astype(np.int16), header)])
    hdus.writeto(work / "mef.fits")
    assert called(work, image="mef.fits", hdu=0).grid == called(work, image="mef.fits", hdu=1).grid


@pytest.mark.parametrize(
    ("image", "hdr", "options", "words"),
    [
        ("none.fits", "whole.hdr", {}, ("Image file", "none.fits missing or invalid FITS")),
        ("no.fits", "whole.hdr", {}, ("Image file", "no.fits missing or invalid FITS")),
        ("in.fits", "none.hdr", {}, ("Template file not found.", "none.hdr")),
        ("in.fits", "bad.hdr", {}, ("Output wcsinit() failed.", "CTYPE1")),
        ("in.fits", "no.fits", {}, ("Output wcsinit() failed.", "no FITS cards")),
        ("far.fits", "whole.hdr", {}, ("No overlap", "far.fits")),
        ("blank.fits", "whole.hdr", {}, ("All pixels are blank. Check for overlap of output template with image",)),
        ("in.fits", "vast.hdr", {"fullRegion": True}, ("the output takes", "smaller template")),
        ("in.fits", "whole.hdr", {"hdu": 5}, ("in.fits missing or invalid FITS", "hdu=5")),
        ("in.fits", "whole.hdr", {"borderstr": "a"}, ("border 'a'",)),
        ("in.fits", "whole.hdr", {"borderstr": "1,2"}, ("border '1,2'",)),
        ("in.fits", "whole.hdr", {"borderstr": "-4"}, ("border '-4'",)),
        ("in.fits", "whole.hdr", {"borderstr": "1,2,3,4,inf,6"}, ("border",)),
        ("in.fits", "whole.hdr", {"drizzle": 2.0}, ("drizzle 2.0",)),
        ("in.fits", "whole.hdr", {"fixedWeight": 0.0}, ("fixedWeight 0.0",)),
        ("in.fits", "whole.hdr", {"fluxScale": float("nan")}, ("fluxScale nan",)),
        ("in.fits", "whole.hdr", {"threshold": -1.0}, ("threshold -1.0",)),
        ("in.fits", "whole.hdr", {"weight_file": "none"}, ("Weight image file none missing",)),
    ],
)
def test_bad_input_is_told_in_montages_words(
    work: Path, image: str, hdr: str, options: dict[str, Any], words: tuple[str, ...]
) -> None:
    write_image(work / "far.fits", values(), image_header(shape=SHAPE), CRVAL1=10.0)
    write_image(work / "blank.fits", np.full(SHAPE, np.nan))
    (work / "no.fits").write_text("garbage")
    (work / "bad.hdr").write_text((work / "whole.hdr").read_text().replace("CTYPE1", "CTYPEX"))
    template(work / "vast.hdr", Grid.from_header(image_header(shape=(10**6, 10**6)), (10**6, 10**6)))
    before = sorted(work.iterdir())
    answer = mProject(str(work / image), str(work / "out.fits"), str(work / hdr), **options)
    assert answer["status"] == "1" and all(word in answer["msg"] for word in words), answer
    assert sorted(work.iterdir()) == before


def test_a_weight_of_another_shape_is_refused(work: Path) -> None:
    write_image(work / "weight.fits", np.ones((4, 5)))
    names = named(work, "in.fits", "o.fits", "whole.hdr")
    answer = mProject(*names, weight_file=str(work / "weight.fits"))
    assert "has shape (4, 5), the image (50, 60)" in answer["msg"]


def test_an_image_is_not_taken_for_its_own_projection(work: Path) -> None:
    """Nor are its weights: what was raw would be lost."""
    write_image(work / "w_area.fits", np.ones(SHAPE))
    before = {path: path.read_bytes() for path in work.iterdir()}
    for out, more in (("in.fits", {}), ("./in", {}), ("w.fits", {"weight_file": str(work / "w_area.fits")})):
        answer = mProject(*named(work, "in.fits", out, "whole.hdr"), **more)  # type: ignore[arg-type]
        assert answer["status"] == "1" and "it is what it is made of" in answer["msg"], answer
    assert {path: path.read_bytes() for path in work.iterdir()} == before


def test_no_half_of_a_pair_is_left(work: Path) -> None:
    (work / "out.fits").mkdir()
    answer = mProject(*named(work, "in.fits", "out.fits", "whole.hdr"))
    assert answer["status"] == "1" and "cannot write" in answer["msg"] and not (work / "out_area.fits").exists()
    assert "cannot write" in mProject(*named(work, "in.fits", "none/out.fits", "whole.hdr"))["msg"]
    (work / "out_area.fits").write_text("an older one")
    assert mProject(*named(work, "in.fits", "out.fits", "whole.hdr"))["status"] == "1"
    assert (work / "out_area.fits").read_text() == "an older one" and not list(work.glob(".*"))


def test_alternate_headers_are_read_and_change_nothing(work: Path) -> None:
    names = named(work, "in.fits", "alt.fits", "whole.hdr")
    assert mProjectPP(*names, altin=str(work / "whole.hdr"), altout=str(work / "part.hdr"))["status"] == "0"
    np.testing.assert_array_equal(pair(work / "alt.fits").values, called(work).values)
    assert "Template file not found." in mProjectPP(*names, altin="none.hdr")["msg"]


# -- Montage's own -----------------------------------------------------------------------------------------------------

SAME_OPTIONS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"weight_file": "weight.fits"}, ["-w", "weight.fits"]),
    ({"weight_file": "weight.fits", "threshold": 1.0}, ["-w", "weight.fits", "-t", "1.0"]),
    ({"fluxScale": 3.0}, ["-x", "3.0"]),
    ({"drizzle": 0.5}, ["-z", "0.5"]),
    ({"energyMode": True}, ["-e"]),
    ({"fullRegion": True}, ["-f"]),
    ({"borderstr": "7"}, ["-b", "7"]),
]


def check_same(mine: Pair, theirs: Pair, *, energy: bool = False) -> None:
    assert mine.grid.shape == theirs.grid.shape
    np.testing.assert_allclose(mine.grid.wcs().wcs.crpix, theirs.grid.wcs().wcs.crpix, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(np.isnan(mine.values), np.isnan(theirs.values))
    some = mine.area > 1e-6 * mine.area.max()
    # mProjectPP has one solid angle for all pixels.
    np.testing.assert_allclose(mine.values[some], theirs.values[some], rtol=1e-6 if energy else 1e-9)
    np.testing.assert_allclose(mine.area[some], theirs.area[some], rtol=1e-6)


@pytest.mark.skipif(shutil.which("mProjectPP") is None, reason="needs Montage's mProjectPP")
@pytest.mark.parametrize(("options", "flags"), SAME_OPTIONS)
def test_beside_the_program(
    work: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], flags: list[str]
) -> None:
    """The same pixels, and values to ten digits; areas to those by which mProjectPP's plane is no sphere."""
    monkeypatch.chdir(work)
    write_image(work / "weight.fits", np.linspace(0.0, 2.0, 3000).reshape(SHAPE))
    done = subprocess.run(
        ["mProjectPP", *flags, "in.fits", "theirs.fits", "whole.hdr"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert 'stat="OK"' in done.stdout
    mine, theirs = called(work, **options), pair(work / "theirs.fits")
    check_same(mine, theirs, energy="energyMode" in options)


@pytest.mark.parametrize("options", [each for each, _ in SAME_OPTIONS] + [{"fixedWeight": 2.5}])
def test_beside_montagepy(work: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    """The same calls, and the answers that scripts look at."""
    theirs = pytest.importorskip("MontagePy.main")
    monkeypatch.chdir(work)
    write_image(work / "weight.fits", np.linspace(0.0, 2.0, 3000).reshape(SHAPE))
    answers = [
        function("in.fits", f"{name}.fits", "whole.hdr", **options)
        for name, function in (("theirs", theirs.mProjectPP), ("mine", mProjectPP))
    ]
    assert answers[0]["status"] == answers[1]["status"] == "0" and answers[0].keys() == answers[1].keys()
    check_same(pair(work / "mine.fits"), pair(work / "theirs.fits"), energy="energyMode" in options)
