"""Names for what is being written."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from dmontage.aside import name_aside, sweep_aside

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
