"""Names for what is being written."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dmontage import InputError
from dmontage.aside import name_aside, sweep_aside, write_together

TELL = """
import sys
from pathlib import Path
from dmontage.aside import name_aside
print(name_aside(Path(sys.argv[1])), end="")
"""


def test_a_name_is_given_once(tmp_path: Path) -> None:
    assert name_aside(tmp_path / "m.fits") != name_aside(tmp_path / "m.fits")


def test_what_the_dead_left_goes_and_no_more(tmp_path: Path) -> None:
    """Not what a machine writes whose name begins as this one's; nor is an earlier process of this number alive."""
    tell = [sys.executable, "-c", TELL, str(tmp_path / "m.fits")]
    dead = Path(subprocess.run(tell, capture_output=True, text=True, check=True).stdout)
    mine, host = name_aside(tmp_path / "m.fits"), socket.gethostname()
    pid = dead.name.removesuffix(".partial").rpartition("-")[2]
    before = dead.with_name(dead.name.replace(f"{host}-{pid}.", f"{host}-{os.getpid()}."))
    other = dead.with_name(dead.name.replace(f"{host}-{pid}.", f"{host}-2-{pid}."))
    for each in (dead, before, other, mine):
        each.touch()
    sweep_aside(tmp_path)
    assert set(tmp_path.iterdir()) == {other, mine}


def test_files_that_belong_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They get their names in order, the last one last: where that is, all are."""
    paths = [tmp_path / name for name in ("x_area.fits", "x_more.fits", "x.fits")]
    named: list[Path] = []
    replace = Path.replace

    def noted(part: Path, path: Path) -> Path:
        named.append(path)
        return replace(part, path)

    monkeypatch.setattr(Path, "replace", noted)

    def write(part: Path) -> None:
        assert not any(path.exists() for path in paths)
        part.write_text("new")

    write_together([(path, write) for path in paths])
    assert named == paths and all(path.read_text() == "new" for path in paths)
    assert set(tmp_path.iterdir()) == set(paths)


@pytest.mark.parametrize("bad", [0, 1])
@pytest.mark.parametrize("fault", ["folder", "none", "full"])
def test_where_one_cannot_be_written_the_others_stay(tmp_path: Path, bad: int, fault: str) -> None:
    """A folder of that name, no folder for it, no room; the error names that file."""
    paths = [tmp_path / name for name in ("x_area.fits", "x.fits")]
    if fault == "folder":
        paths[bad].mkdir()
    elif fault == "none":
        paths[bad] = tmp_path / "none" / paths[bad].name
    paths[1 - bad].write_text("old")
    before = set(tmp_path.iterdir())

    def write(part: Path) -> None:
        part.write_text("new")
        if fault == "full" and f".{paths[bad].name}." in part.name:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(InputError, match=f"cannot write {paths[bad]}: "):
        write_together([(path, write) for path in paths])
    assert paths[1 - bad].read_text() == "old" and set(tmp_path.iterdir()) == before


def test_two_files_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two files"):
        write_together([(tmp_path / "a", Path.touch)] * 2)
    assert not list(tmp_path.iterdir())
