"""Files that tasks write to, where they cannot."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from surveys import field_grid

from dmontage.aside import boot_of_machine
from dmontage.fits_files import FitsPixels, FitsWriter
from dmontage.graph.outlet import Outlet


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_what_a_task_cannot_write_is_left_to_the_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Such as into a folder that its container has, but not to write to."""
    grid = field_grid(70)

    def fail(*_: Any) -> None:
        raise OSError(number, "no")

    with FitsWriter(tmp_path / "m.fits", grid) as writer:
        outlet = Outlet(boot_of_machine(), (grid.window,), {"mean": [writer.pixels]})
        layers = [np.ones(grid.shape, np.float32)]
        with monkeypatch.context() as patch:
            patch.setattr(FitsPixels, "write", fail)
            assert outlet.write_from_task(grid, 1, grid.window, layers) is None
        written = outlet.write_from_task(grid, 1, grid.window, layers)
        assert written is not None
        writer.note(written.blocks[writer.pixels.path])
