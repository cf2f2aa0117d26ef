"""The comparison page: made from what benchmarks return, each number with its command; that in git is of its JSON."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests" / "bench"))

from page import cell, number, page  # noqa: E402
from parts import PARTS, Part  # noqa: E402
from results import NOT_INSTALLED, Figure, absent  # noqa: E402

PAGE = ROOT / "docs" / "comparison.md"


def make(folder: Path, *options: str) -> tuple[str, dict[str, Any]]:
    """Page and JSON of a run of the command."""
    out = folder / "page.md"
    command = [sys.executable, "-m", "tests.bench", "--quick", "--out", str(out), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr
    return out.read_text(), json.loads(out.with_suffix(".json").read_text())


def test_one_command_makes_a_page_and_only_makes_a_part_of_it(tmp_path: Path) -> None:
    text, records = make(tmp_path, "--only", "background")
    assert list(records) == ["background"]
    record = records["background"]
    assert text == page(records)
    for figure in record["figures"]:
        assert figure["value"] is None or number(figure["value"]) in text
    assert {"dmontage", "mBgModel"} <= {figure["tool"] for figure in record["figures"]}
    left = [f["value"] for f in record["figures"] if f["tool"] == "dmontage" and f["table"].startswith("What is left")]
    assert left[0] < 1e-6, "the benchmark solves what it says"
    records["background"]["date"] = "2001-01-01"
    (tmp_path / "page.json").write_text(json.dumps(records))
    text, again = make(tmp_path, "--only", "view")
    assert list(again) == ["background", "view"] and again["background"] == records["background"]
    assert "2001-01-01" in text and again["view"]["date"] in text


@pytest.mark.parametrize(("script", "limit"), [("nothing.py", 60.0), ("bench_view.py", 0.1)], ids=["error", "late"])
def test_a_part_that_fails_keeps_what_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], script: str, limit: float
) -> None:
    command: Any = importlib.import_module("tests.bench.__main__")
    monkeypatch.setattr(command, "PARTS", (Part("view", script, "heading", "", "", "text", limit),))
    monkeypatch.setattr(sys, "argv", ["bench", "--quick", "--out", str(tmp_path / "page.md")])
    had = {
        "view": {
            "date": "2001-01-01", "command": "c", "seconds": 1.0, "tools": {}, "libraries": {},
            "machine": {"processor": "p", "cores": "2", "memory": "m", "system": "s"},
            "figures": [Figure("t", "w", "dmontage", 1.0)._asdict()],
        }
    }  # fmt: skip
    (tmp_path / "page.json").write_text(json.dumps(had))
    assert command.main() == 1
    assert json.loads((tmp_path / "page.json").read_text()) == had
    assert "view failed, and keeps what it had" in capsys.readouterr().err


@pytest.fixture(scope="module")
def records() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(PAGE.with_suffix(".json").read_text())
    return found


def test_the_page_is_that_of_its_json(records: dict[str, Any]) -> None:
    assert PAGE.read_text() == page(records)


def test_every_table_stands_under_its_command(records: dict[str, Any]) -> None:
    commands = {part.name: part.command(False) for part in PARTS}
    sections = PAGE.read_text().split("\n## ")[1:]
    assert len(sections) == len(records)
    for name, section in zip(records, sections, strict=True):
        command, _, tables = section.partition("\n\n")[2].partition("\n")
        assert command.startswith(f"`{commands[name]}` ({name}; {records[name]['date']}"), (
            "as it is asked for, not quick"
        )
        assert (ROOT / commands[name].split()[1]).is_file()
        assert tables.count("\n|---") == len({figure["table"] for figure in records[name]["figures"]}) > 0
        assert "|---" not in section[: section.index(command)]


def test_the_page_tells_machine_and_versions(records: dict[str, Any]) -> None:
    head = " ".join(PAGE.read_text().split("\n## ")[0].split())
    for record in records.values():
        for said in (record["machine"], record["tools"], record["libraries"]):
            for name, value in said.items():
                assert (value or NOT_INSTALLED) in head
                assert name in head or said is record["machine"]


def test_cells() -> None:
    ours = Figure("t", "w", "dmontage", 2.0, "s")
    assert cell(ours, ours) == "2"
    assert cell(Figure("t", "w", "SWarp", 10.0, "s"), ours) == "10 (5×)"
    assert cell(Figure("t", "w", "SWarp", 1.0, "s"), ours) == "1 (0.5×)"
    assert cell(Figure("t", "w", "SWarp", 1.0, "Mpix/s"), ours._replace(unit="Mpix/s")) == "1 (2×)"
    assert cell(None, ours) == "—"
    assert cell(absent("t", "w", "SWarp"), ours) == NOT_INSTALLED
    assert cell(Figure("t", "w", "SWarp", 3e-4, limit=1e-3), ours) == "3e-4"
    assert [number(v) for v in (0, 0.5, 12.345, 123456, 1.234e-9, -0.25, 4e14)] == [
        "0", "0.5", "12.3", "123,000", "1.2e-9", "-0.25", "4e+14",
    ]  # fmt: skip
