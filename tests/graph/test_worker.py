"""What a worker is asked for, and how many tasks it runs at once."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from dmontage._version import __version__
from dmontage.graph import worker
from dmontage.graph.worker import Needs, _Tasks, differences, own_versions, unseen


def test_the_versions_that_matter() -> None:
    """All parts of what makes the numbers, two of what carries them; what is not known here is not asked for."""
    mine = {"python": "3.12.1", "numpy": "2.1.0", "dask": "2026.8.0"}
    assert differences(mine, {"python": "3.12.9", "numpy": "2.1.0", "dask": "2026.8.1", "zarr": "3"}) == []
    theirs = {"python": "3.11.9", "numpy": "2.1.1", "dask": None}
    assert differences(mine, theirs) == [
        "python 3.11.9 (here 3.12.1)", "numpy 2.1.1 (here 2.1.0)", "no dask (here 2026.8.0)",
    ]  # fmt: skip
    assert own_versions()["dmontage"] == __version__ and set(own_versions()) <= set(worker.PACKAGES)


def test_files_as_another_process_sees_them(tmp_path: Path) -> None:
    there, gone = tmp_path / "there", tmp_path / "gone"
    there.write_text("x")
    stat = there.stat()
    assert unseen([(str(there), 1, stat.st_mtime_ns)]) == ""
    assert unseen([(str(there), 2, stat.st_mtime_ns)]).startswith(f"sees another {there}")
    assert unseen([(str(there), 1, 0)]).startswith(f"sees another {there}")
    assert unseen([(str(gone), 1, 0)]) == f"does not see {gone}: No such file or directory"
    if os.getuid():
        there.chmod(0)
        assert unseen([(str(there), 1, stat.st_mtime_ns)]) == f"may not read {there}"


@pytest.mark.parametrize(("room", "most"), [(None, 4), (1000, 4), (350, 2), (250, 1), (100, 1)])
def test_no_more_tasks_at_once_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch, room: int | None, most: int
) -> None:
    """Whatever the threads of a worker; one at a time where not even that is sure."""
    monkeypatch.setattr(worker, "room", lambda limit: room)
    tasks, needs = _Tasks(), Needs("", "a.zarr", None, base=100, task=100)
    seen: list[int] = []
    inside: list[int] = []

    def one() -> None:
        with tasks.running(needs):
            inside.append(1)
            seen.append(len(inside))
            time.sleep(0.05)
            inside.pop()

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(seen) == most and len(seen) == 4
    assert tasks.at_work["a.zarr"] == 0


def test_a_task_that_waits_for_room_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins when the other ends, whoever asked in between."""
    monkeypatch.setattr(worker, "room", lambda limit: 250)
    tasks, needs = _Tasks(), Needs("", "a.zarr", None, base=100, task=100)

    def one() -> None:
        with tasks.running(needs):
            pass

    with tasks.running(needs):
        thread = threading.Thread(target=one)
        thread.start()
        deadline = time.monotonic() + 10
        while tasks.at_work["a.zarr"] < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert tasks.at_work["a.zarr"] == 2
    thread.join()
    assert tasks.at_work["a.zarr"] == 0
