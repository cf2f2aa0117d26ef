"""Programs: Montage's flags as arguments, its line and exit codes, and executables that are installed."""

from __future__ import annotations

import inspect
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pairs_of_files import GRID, Stack, write_table, write_template

from dmontage import InputError, montage
from dmontage.cli import main as cli
from dmontage.fits_files import one_image
from dmontage.montage import raising
from dmontage.montage.answer_line import answer_line
from dmontage.montage.install import install
from dmontage.montage.program import arguments_of, main
from dmontage.montage.programs import PROGRAMS
from dmontage.window import Window


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("mAdd -p proj i.tbl t.hdr m.fits",
         {"path": "proj", "shrink": True, "tblfile": "i.tbl", "template_file": "t.hdr", "outfile": "m.fits"}),
        ("mAdd -n -e -a median -d 1 i.tbl t.hdr m.fits",
         {"path": ".", "shrink": False, "haveAreas": False, "coadd": 1, "debug": 1, "tblfile": "i.tbl",
          "template_file": "t.hdr", "outfile": "m.fits"}),
        ("mImgtbl -ra -C raw i.tbl",
         {"recursiveMode": True, "processAreaFiles": True, "haveCubes": False, "showCorners": False,
          "pathname": "raw", "tblname": "i.tbl"}),
        ("mProjExec -praw -b 3 -X i.tbl t.hdr proj stats.tbl",
         {"path": "raw", "border": "3", "wholeImages": True, "tblfile": "i.tbl", "template": "t.hdr",
          "projdir": "proj", "stats": "stats.tbl"}),
        ("mProject a.fits b.fits t.hdr -z 0.7 -x -2.5 -t 0.1",
         {"drizzle": 0.7, "fluxScale": -2.5, "threshold": 0.1, "input_file": "a.fits", "output_file": "b.fits",
          "template_file": "t.hdr"}),
        ("mSubimage in.fits out.fits 10.5 -20.25 0.1",
         {"infile": "in.fits", "outfile": "out.fits", "mode": 0, "ra": 10.5, "dec": -20.25, "xsize": 0.1,
          "ysize": 0.1}),
        ("mSubimage -p -h 2 in.fits out.fits 10 20 100 200",
         {"infile": "in.fits", "outfile": "out.fits", "mode": 1, "hdu": 2, "ra": 10, "dec": 20, "xsize": 100,
          "ysize": 200}),
        ("mSubimage -c in.fits out.fits",
         {"infile": "in.fits", "outfile": "out.fits", "mode": 3, "ra": 0, "dec": 0, "xsize": 0, "ysize": 0}),
        ("mBackground -n in.fits out.fits 1e-3 -2e-3 -5",
         {"noAreas": True, "input_file": "in.fits", "output_file": "out.fits", "A": 1e-3, "B": -2e-3, "C": -5}),
        ("mFixNaN -b in.fits out.fits min -5 1e6 max",
         {"boundaries": True, "input_file": "in.fits", "output_file": "out.fits", "haveVal": False, "NaNvalue": 0,
          "nMinMax": 2, "minblank": [0, 1e6], "ismin": [False, True], "maxblank": [-5, 0], "ismax": [True, False]}),
        ("mFixNaN -v -1 in.fits out.fits",
         {"input_file": "in.fits", "output_file": "out.fits", "haveVal": True, "NaNvalue": -1, "nMinMax": 0,
          "minblank": [], "ismin": [], "maxblank": [], "ismax": []}),
        ("mCoverageCheck -p raw i.tbl o.tbl -circle 10 -20 0.5",
         {"path": "raw", "infile": "i.tbl", "outfile": "o.tbl", "mode": 2, "narray": 3, "array": [10, -20, 0.5]}),
        ("mCoverageCheck i.tbl o.tbl -points 1 2 3 4 5 6",
         {"infile": "i.tbl", "outfile": "o.tbl", "mode": 0, "narray": 6, "array": [1, 2, 3, 4, 5, 6]}),
        ("mCoverageCheck i.tbl o.tbl -header t.hdr",
         {"infile": "i.tbl", "outfile": "o.tbl", "mode": 4, "hdrfile": "t.hdr"}),
        ("mExamine -p 10.5 -20 30p m.fits[2][5]",
         {"areaMode": 1, "ra": 10.5, "dec": -20, "radius": 30, "locinpix": False, "radinpix": True,
          "infile": "m.fits", "hdu": 2, "plane3": 5}),
        ("mHdr -c gal -r 30 M31 0.5 out.hdr",
         {"csys": "gal", "rotation": 30, "locstr": "M31", "width": 0.5, "height": 0.5, "outfile": "out.hdr"}),
        ("mHdr -h 0.2 M31 0.5 out.hdr", {"height": 0.2, "locstr": "M31", "width": 0.5, "outfile": "out.hdr"}),
        ("mMakeHdr -n -p 2e-4 i.tbl t.hdr GAL 2000",
         {"northAligned": 1, "pixelScale": 2e-4, "tblfile": "i.tbl", "template": "t.hdr", "csys": "GAL",
          "equinox": 2000}),
        ("mViewer -gray m.fits -2s max gaussian-log -out m.png",
         {"cmdstr": "-gray m.fits -2s max gaussian-log -out m.png", "outFile": "", "mode": 2}),
        ("mJPEG -ct 1 -gray m.fits 20% 99.98% loglog -out m.jpg",
         {"cmdstr": "-ct 1 -gray m.fits 20% 99.98% loglog -out m.jpg", "outFile": "", "mode": 2}),
        ("mViewer -jsonfile m.json -out m.png", {"cmdstr": "m.json", "outFile": "m.png", "mode": 0}),
        ("mHistogram -file m.fits -2s max asinh 20 -out m.hist",
         {"imgFile": "m.fits", "minString": "-2s", "maxString": "max", "stretchType": "asinh", "betaString": "20",
          "histFile": "m.hist"}),
        ("mTileHdr t.hdr u.hdr 3 3 1 2 10",
         {"orig": "t.hdr", "new": "u.hdr", "nx": 3, "ny": 3, "ix": 1, "iy": 2, "xpad": 10}),
    ],
)  # fmt: skip
def test_words_as_arguments(command: str, arguments: dict[str, Any]) -> None:
    name, *words = command.split()
    assert arguments_of(name, words) == arguments


@pytest.mark.parametrize("name", sorted(set(PROGRAMS) & set(raising.__all__)))
def test_its_arguments_are_those_of_the_function(name: str) -> None:
    """Flags and words set what it has; all that it must have is a word, or read by its own reader."""
    program, parameters = PROGRAMS[name], inspect.signature(getattr(raising, name)).parameters
    told = {key for key, _ in program.flags.values()} | set(program.usual)
    words = {word.removeprefix("?").partition(":")[0] for word in program.words}
    assert (told | words) - {"table"} <= set(parameters)
    needed = {key for key, parameter in parameters.items() if parameter.default is parameter.empty}
    assert program.rest is not None or needed <= told | words


def test_every_function_is_a_program() -> None:
    for name, program in PROGRAMS.items():
        assert getattr(raising, program.function or name).__module__ == f"dmontage.montage.{program.home}"
    assert set(raising.__all__) - set(PROGRAMS) <= {"mCoord"}  # Montage has no program for it


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("mAdd", "Usage: mAdd [-d level] [-p imgdir]"),
        ("mAdd i.tbl t.hdr", "outfile is missing. Usage: mAdd"),
        ("mAdd i.tbl t.hdr m.fits more", "'more' is too much"),
        ("mAdd -k i.tbl t.hdr m.fits", "the flag -k of '-k' is not known"),
        ("mAdd -a mode i.tbl t.hdr m.fits", "Invalid argument for -a flag"),
        ("mAdd i.tbl t.hdr m.fits -p", "the flag -p lacks its value"),
        ("mProject -z wide a.fits b.fits t.hdr", "-z 'wide' is no number"),
        ("mShrink a.fits b.fits two", "'two' is no number"),
        ("mSubimage a.fits b.fits 10", "give a place and a size"),
        ("mCoverageCheck i.tbl o.tbl -square 1 2", "give a region"),
        ("mBackground a.fits b.fits 1 2", "give three numbers"),
        ("mHistogram -file m.fits -out m.hist", "give an image with its range"),
    ],
)
def test_words_that_make_no_sense(command: str, message: str) -> None:
    name, *words = command.split()
    with pytest.raises(InputError) as error:
        arguments_of(name, words)
    assert message in str(error.value) and f"Usage: {name} " in str(error.value)


def test_the_line() -> None:
    """One line, text in quotes without quotes in it, all digits of numbers, and no lists."""
    told = {"module": "mX", "count": 3, "flag": True, "left": ["a", "b"], "rms": 0.1 + 0.2, "msg": 'a "b"\n  c'}
    assert answer_line("OK", told) == (
        '[struct stat="OK", module="mX", count=3, flag=1, rms=0.30000000000000004, msg="a \'b\' c"]'
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    stack = Stack([Window(10, 60, 20, 70), Window(40, 90, 30, 90)])
    write_table(tmp_path, stack.write(tmp_path))
    write_template(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_its_line_and_its_code(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Shrunk unless -e is given, as the program does."""
    assert main("mAdd", ["images.tbl", "t.hdr", "m.fits"]) == 0
    said = capsys.readouterr().out
    assert said.startswith('[struct stat="OK", module="mAdd", time=') and said.count("\n") == 1
    assert one_image("m.fits").grid == GRID.subgrid(Window(10, 90, 20, 90))
    assert main("mAdd", ["-e", "images.tbl", "t.hdr", "m.fits"]) == 0
    assert one_image("m.fits").grid == GRID
    capsys.readouterr()
    assert main("mAdd", ["images.tbl", "none.hdr", "m.fits"]) == 1
    said = capsys.readouterr().out
    assert said.startswith('[struct stat="ERROR", msg="Template file not found.') and said.endswith('"]\n')


def test_a_status_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("mAdd", ["-s", "status.txt", "images.tbl", "t.hdr", "m.fits"]) == 0
    assert capsys.readouterr().out == ""
    assert Path("status.txt").read_text().startswith('[struct stat="OK", module="mAdd"')
    assert main("mAdd", ["-s", "none/status.txt", "images.tbl", "t.hdr", "m.fits"]) == 1
    assert "Cannot open status file: none/status.txt" in capsys.readouterr().out


def test_installed(folder: Path) -> None:
    """An executable for each function; it runs by its own name, with nothing on the path."""
    said = CliRunner().invoke(cli, ["montage-tools", "install", "bin"])
    assert said.exit_code == 0 and "mAdd" in said.output, said.output
    names = {path.name for path in Path("bin").iterdir()}
    assert names == set(PROGRAMS)
    done = subprocess.run(["bin/mAdd", "-p", ".", "images.tbl", "t.hdr", "m.fits"], capture_output=True, text=True,
                          check=False, timeout=120)  # fmt: skip
    assert done.returncode == 0 and done.stdout.startswith('[struct stat="OK"'), (done.stdout, done.stderr)
    done = subprocess.run(["bin/mAdd"], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1 and "Usage: mAdd" in done.stdout and done.stderr == ""


def test_files_of_others_are_left(tmp_path: Path) -> None:
    """None is written where one is in the way; our own are written anew."""
    (tmp_path / "mAdd").write_text("#!/bin/sh\n")
    with pytest.raises(InputError, match="has mAdd of somebody else's"):
        install(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mAdd"]
    names = install(tmp_path, force=True)
    assert install(tmp_path) == names and (tmp_path / "mAdd").stat().st_mode & 0o777 == 0o755
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot make the folder"):
        install(tmp_path / "file")


BESIDE = [
    "mImgtbl -c . all.tbl",
    "mMakeHdr -n images.tbl made.hdr",
    "mGetHdr i00.fits got.hdr",
    "mPutHdr i00.fits put.fits got.hdr",
    "mTileHdr t.hdr tile.hdr 5 5 1 1",
    "mTANHdr t.hdr tan.hdr",
    "mPix2Coord t.hdr 10 10",
    "mSubimage -p i00.fits sub.fits 10 12 20 25",
    "mSubimage i00.fits sub.fits 83.8 -5.4 0.01",
    "mShrink i00.fits shrunk.fits 2",
    "mFixNaN -v 0 i00.fits fixed.fits",
    "mCoverageCheck images.tbl some.tbl -point 83.8 -5.4",
    "mExamine -p 83.8 -5.4 0.005 i00.fits",
    "mOverlaps images.tbl diffs.tbl",
    "mDiff i00.fits i01.fits d.fits t.hdr",
    "mDiffFit i00.fits i01.fits d.fits t.hdr",
    "mDAGTbls images.tbl t.hdr raw.tbl proj.tbl corr.tbl",
    "mFitplane i00.fits",
    "mBackground i00.fits b.fits 1e-3 -2e-3 -5",
    "mProject i00.fits p.fits t.hdr",
    "mProjectPP -b 3 i00.fits p.fits t.hdr",
    "mAdd images.tbl t.hdr m.fits",
    "mProject none.fits p.fits t.hdr",
    "mFitplane none.fits",
    "mOverlaps none.tbl diffs.tbl",
    "mSubimage i00.fits sub.fits 10 10 0.1",
]
COUNTS = {
    "count", "nfile", "nhdu", "badfits", "badwcs", "ncard", "nanCount", "naxis1", "naxis2", "crpix1", "crpix2",
    "crval1", "crval2", "lon", "lat", "content", "proj", "csys", "ncube", "xmin", "xmax", "ymin", "ymax",
}  # fmt: skip


@pytest.mark.parametrize("command", BESIDE)
def test_beside_the_program(folder: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The same words are understood; what the program's line has ours has too, and counts and places are the same."""
    name, *words = command.split()
    program = shutil.which(name)
    if program is None:
        pytest.skip("Montage is not installed")
    if "got.hdr" in words and name != "mGetHdr":
        main("mGetHdr", ["i00.fits", "got.hdr"])
    theirs = subprocess.run([program, *words], capture_output=True, text=True, check=False, timeout=60).stdout
    capsys.readouterr()
    code = main(name, words)
    ours = capsys.readouterr().out
    assert code == ('stat="OK"' not in theirs), (ours, theirs)
    told, others = pairs_in(ours), pairs_in(theirs)
    assert set(others) - {"msg", "loncize"} <= set(told)  # as one version of mMakeHdr writes lonsize
    for key in COUNTS & set(others):
        if others[key].startswith('"'):
            assert told[key].strip('"') == others[key].strip('"'), key
        else:
            slack = 4.0 if name == "mMakeHdr" else 1e-4 if key in ("lon", "lat") else 1e-6
            assert float(told[key]) == pytest.approx(float(others[key]), abs=slack), key


def pairs_in(said: str) -> dict[str, str]:
    """Keys and values of a line."""
    return dict(re.findall(r"(\w+)=(\"[^\"]*\"|[^,\]\s]+)", said))


def test_names_of_the_toolkit() -> None:
    """Sessions complete them before any is used, and pools of processes are handed the functions by name."""
    code = "import dmontage.montage as m; n = dir(m); from dmontage.montage import *; print(*n); print(mAdd.__module__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names, home = done.stdout.splitlines()
    assert names.split() == sorted(raising.__all__) and home == "dmontage.montage"
    for name in raising.__all__:
        function = getattr(montage, name)
        assert pickle.loads(pickle.dumps(function)) is function
