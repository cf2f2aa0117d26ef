"""Bad input: status "1" with the words of Montage that scripts look for, and nothing written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from six_images import GRID, Scene, make, write_pair, write_table

from dmontage import montage
from dmontage.errors import InputError
from dmontage.grid import Grid
from dmontage.montage import raising
from dmontage.window import Window


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Six images, and files that are none."""
    made = make(tmp_path_factory.mktemp("scene"))
    folder, side = made.folder, Window(0, 30, 0, 30)
    montage.mOverlaps(made.table, made.path("diffs.tbl"))
    montage.mDiffFitExec(made.proj, made.path("diffs.tbl"), made.template, "", made.path("fits.tbl"))
    montage.mBgModel(made.table, made.path("fits.tbl"), made.path("corr.tbl"))
    (folder / "bad.fits").write_text("hello")
    (folder / "bad.hdr").write_text("SIMPLE  = T\nNAXIS1  = 10\nNAXIS2  = 10\nEND\n")
    (folder / "bad.tbl").write_text("hello\n")
    (folder / "wrong.tbl").write_text("| a | b |\n  1   2 \n")
    (folder / "empty.tbl").write_text("| cntr | fname |\n| int  | char  |\n")
    write_pair(folder / "nan.fits", np.full((30, 30), np.nan), GRID.subgrid(side), 0.0)
    write_pair(folder / "alone.fits", np.ones((30, 30)), GRID.subgrid(side), None)
    write_pair(folder / "one.fits", np.ones((1, 1)), GRID.subgrid(Window(0, 1, 0, 1)), None)
    write_pair(folder / "off.fits", np.ones((30, 30)), GRID.subgrid(Window(900, 930, 0, 30)), 1.0)
    write_pair(folder / "other.fits", np.ones((30, 30)), Grid.around("10 20.001", shape=(30, 30), frame="fk5"), 1.0)
    write_table(folder / "one.tbl", {"one.fits": GRID.subgrid(Window(0, 1, 0, 1))})
    return made


IM = "proj/im0.fits"
T, D, F, C, HDR = "proj.tbl", "diffs.tbl", "fits.tbl", "corr.tbl", "region.hdr"

CASES: list[tuple[str, tuple[Any, ...], str]] = [
    ("mOverlaps", ("no.tbl", "out"), "Invalid image metadata file: no.tbl"),
    ("mOverlaps", ("bad.tbl", "out"), "Invalid image metadata file: bad.tbl"),
    ("mOverlaps", ("wrong.tbl", "out"), "Need columns: cntr fname"),
    ("mOverlaps", (T, "none/out"), "cannot write none/out"),
    ("mDiff", ("no.fits", IM, "out.fits", HDR), "Image file no.fits missing or invalid FITS"),
    ("mDiff", ("bad.fits", IM, "out.fits", HDR), "Image file bad.fits missing or invalid FITS"),
    ("mDiff", (IM, "alone.fits", "out.fits", HDR), "Area file alone_area.fits missing or invalid FITS"),
    ("mDiff", (IM, "off.fits", "out.fits", HDR), "Images don't overlap"),
    ("mDiff", (IM, "nan.fits", "out.fits", HDR), "All pixels are blank."),
    ("mDiff", (IM, "other.fits", "out.fits", HDR), "Images are not in same pixel space"),
    ("mDiff", (IM, IM, "out.fits", "no.hdr"), "Template file not found."),
    ("mDiff", (IM, IM, "out.fits", "bad.hdr"), "Output wcsinit() failed."),
    ("mDiff", (IM, "proj/im1.fits", "none/out.fits", HDR), "cannot write none/out"),
    ("mFitplane", ("no.fits",), "Image file no.fits missing or invalid FITS"),
    ("mFitplane", ("bad.fits",), "Image file bad.fits missing or invalid FITS"),
    ("mFitplane", ("nan.fits",), "Too few pixels to fit"),
    ("mFitplane", ("one.fits",), "Too few pixels to fit"),
    ("mFitplane", ("alone.fits", False, False, 15), "Too few pixels to fit"),
    ("mFitplane", ("alone.fits", False, False, -1), "border is -1"),
    ("mDiffExec", ("proj", "no.tbl", HDR, "diff"), "Invalid image difference list file: no.tbl"),
    ("mDiffExec", ("proj", "wrong.tbl", HDR, "diff"), "Need columns: plus minus diff"),
    ("mDiffExec", ("proj", D, "no.hdr", "diff"), "Template file not found."),
    ("mDiffExec", ("proj", D, HDR, "none"), "Cannot access none"),
    ("mFitExec", ("bad.tbl", "out", "diff"), "Invalid diffs metadata file: bad.tbl"),
    ("mFitExec", ("wrong.tbl", "out", "diff"), "Need columns: cntr1 cntr2 diff"),
    ("mDiffFitExec", ("proj", "no.tbl", HDR, "diff", "out"), "Invalid diffs metadata file: no.tbl"),
    ("mDiffFitExec", ("proj", "wrong.tbl", HDR, "diff", "out"), "Need columns: cntr1 cntr2 plus minus diff"),
    ("mDiffFitExec", ("proj", D, "bad.hdr", "diff", "out"), "Output wcsinit() failed."),
    ("mDiffFitExec", ("proj", D, HDR, "none", "out", True), "Cannot access none"),
    ("mDiffFitExec", ("proj", D, HDR, "diff", "out", False, False, False, "s3"), "archive 's3'"),
    ("mDiffFitExec", ("proj", D, HDR, "diff", "none/out"), "cannot write none/out"),
    ("mBgModel", ("no.tbl", F, "out"), "Invalid image metadata file: no.tbl"),
    ("mBgModel", ("wrong.tbl", F, "out"), "Need columns: cntr fname"),
    ("mBgModel", ("empty.tbl", F, "out"), "Need columns: cntr fname"),
    ("mBgModel", (T, "no.tbl", "out"), "Invalid background fit parameters file: no.tbl"),
    ("mBgModel", (T, "wrong.tbl", "out"), "Need columns: plus minus a b c crpix1"),
    ("mBgModel", (T, F, "out", "gaps"), "gap_dir 'gaps'"),
    ("mBackground", ("no.fits", "out.fits", 1, 1, 1), "Image file no.fits missing or invalid FITS"),
    ("mBackground", ("alone.fits", "out.fits", 1, 1, 1), "Area file alone_area.fits missing or invalid FITS"),
    ("mBackground", (IM, "out.fits", np.nan, 1, 1), "not finite"),
    ("mBackground", (IM, "none/out.fits", 1, 1, 1), "cannot write none/out"),
    ("mBgExec", ("proj", "no.tbl", C, "corr"), "Invalid image metadata file: no.tbl"),
    ("mBgExec", ("proj", "wrong.tbl", C, "corr"), "Need columns: cntr fname"),
    ("mBgExec", ("proj", T, "no.tbl", "corr"), "Invalid corrections file: no.tbl"),
    ("mBgExec", ("proj", T, "wrong.tbl", "corr"), "Need columns: id a b c"),
    ("mBgExec", ("proj", T, C, "none"), "Cannot access none"),
    ("mFlatten", ("no.fits", "out.fits"), "Image file no.fits missing or invalid FITS"),
    ("mFlatten", ("nan.fits", "out.fits"), "Too few pixels to fit"),
]


@pytest.mark.parametrize(("name", "arguments", "words"), CASES)
def test_it_says_what_is_wrong(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, name: str, arguments: tuple[Any, ...], words: str
) -> None:
    monkeypatch.chdir(scene.folder)
    before = sorted(Path().rglob("*"))
    answer = getattr(montage, name)(*arguments)
    assert answer["status"] == "1" and words in answer["msg"] and isinstance(answer["msg"], str)
    assert set(answer) == {"status", "msg"}
    with pytest.raises(InputError, match=r".") as error:
        getattr(raising, name)(*arguments)
    assert str(error.value) == answer["msg"]
    assert sorted(Path().rglob("*")) == before


def test_one_image_has_no_overlaps(scene: Scene) -> None:
    """No pairs are an answer: empty tables all the way, and every image is copied."""
    proj, out = scene.path("one.tbl"), scene.path("o.tbl")
    assert montage.mOverlaps(proj, out) == {"status": "0", "count": 0}
    told = montage.mDiffFitExec(scene.proj, out, scene.template, "", scene.path("f0.tbl"))
    assert told == {"status": "0", "count": 0, "diff_failed": 0, "fit_failed": 0, "warning": 0}
    assert montage.mBgModel(proj, scene.path("f0.tbl"), scene.path("c0.tbl")) == {"status": "0"}
    told = montage.mBgExec(str(scene.folder), proj, scene.path("c0.tbl"), scene.path("corr"), noAreas=True)
    assert told == {"status": "0", "count": 1, "nocorrection": 1, "failed": 0}
