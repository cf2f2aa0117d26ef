"""What a run tells while it works: lines of JSON for programs, bars for people."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits
from click.testing import CliRunner, Result
from surveys import Survey, damage, make_survey

import dmontage as dm
from dmontage.cli import main
from dmontage.log import LOGGER, say
from dmontage.progress import bars


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    """Its last image is damaged, and one file is none."""
    made = make_survey(tmp_path_factory.mktemp("log") / "raw", layout=(1, 3))
    damage(made.paths[2])
    (made.folder / "notes.fits").write_text("no image")
    return made


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """A command leaves the logger as it found it."""
    before = LOGGER.level, list(LOGGER.handlers)
    yield
    assert (LOGGER.level, LOGGER.handlers) == before


def call(survey: Survey, folder: Path, *more: str) -> Result:
    return CliRunner().invoke(main, ["mosaic", str(survey.folder), "-o", str(folder / "m.fits"), *more])


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_the_lines_of_a_run(survey: Survey, tmp_path: Path) -> None:
    """A start with its parameters, a line for each skipped image and each stage, and an end with the digests."""
    log = tmp_path / "log.jsonl"
    done = call(survey, tmp_path, "--log-json", str(log), "--background", "level")
    assert done.exit_code == 0, done.output
    told = events(log.read_text())
    kinds = [event["event"] for event in told]
    assert kinds == ["start", "skipped", "stage", "skipped", "stage", "stage", "stage", "stage", "end"]
    assert [event["stage"] for event in told if event["event"] == "stage"] == [
        "project",
        "fit",
        "solve",
        "coadd",
        "write",
    ]
    start, notes, project, damaged, *_, end = told
    assert (start["version"], start["images"], start["background"]) == (dm.__version__, 3, "level")
    assert notes["image"].endswith("notes.fits") and notes["reason"]
    assert damaged["image"].startswith("image02.fits") and "cannot be read" in damaged["reason"]
    assert project["tasks"] == 1 and project["images"] == 3 and project["bytes"] > 10_000 and project["seconds"] > 0
    assert end["digests"] == {name: fits.getheader(tmp_path / name)["DATAHASH"] for name in ("m.fits", "m_area.fits")}
    assert all(event["time"] and event["level"] == "INFO" and event["message"] for event in told)
    assert "images      2 used" in done.output, "people are told as ever"


def test_the_standard_output_has_nothing_else(survey: Survey, tmp_path: Path) -> None:
    done = call(survey, tmp_path, "--log-json", "-")
    assert done.exit_code == 0
    assert [event["event"] for event in events(done.stdout)][-1] == "end"
    assert "images      2 used" in done.stderr and "wrote" in done.stderr


def test_an_error_is_the_last_line(survey: Survey, tmp_path: Path) -> None:
    """Of a run that had begun, and of one that had not; lines are appended, and are there as they happen."""
    log = tmp_path / "log.jsonl"
    for more in (["--strict"], ["--center", "nowhere", "--size", "1 deg"]):
        done = call(survey, tmp_path, "--log-json", str(log), *more)
        last = events(log.read_text())[-1]
        assert done.exit_code == 1 and f"Error: {last['message']}" in done.output
        assert (last["event"], last["level"], last["kind"]) == ("error", "ERROR", "InputError")
    assert len(events(log.read_text())) >= 2


def test_a_log_that_cannot_be_written(survey: Survey, tmp_path: Path) -> None:
    done = call(survey, tmp_path, "--log-json", str(tmp_path / "no" / "log"))
    assert done.exit_code == 1 and "(--log-json)" in done.output


def test_a_performance_report_is_of_a_cluster(survey: Survey, tmp_path: Path) -> None:
    done = call(survey, tmp_path, "--performance-report", str(tmp_path / "r.html"))
    assert done.exit_code == 1 and "is of a cluster: give --scheduler" in done.output


def test_python_has_the_same_by_its_own_logging(
    survey: Survey, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="dmontage"):
        dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr").write(tmp_path / "m.fits")
    assert [record.event["event"] for record in caplog.records][-1] == "end"  # type: ignore[attr-defined]
    assert "wrote" in caplog.text


def test_numbers_that_json_has_not(tmp_path: Path) -> None:
    from dmontage.cli.log_json import logged

    with logged(str(tmp_path / "log")):
        say("end", "of time", seconds=float("nan"), sides=(1.0, float("inf")))
    assert events((tmp_path / "log").read_text())[0]["sides"] == [1.0, None]


# --- bars ---------------------------------------------------------------------------------------------------------


def test_bars_of_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Each stage has its own: tasks done, how fast, the time."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    with bars() as show:
        for done in range(3):
            show("project", done, 2)
        show("coadd", 0, 7)
    said = capsys.readouterr().err
    assert "project" in said and "2/2 tasks" in said and "/s" in said and "0/7 tasks" in said


def test_progress_that_is_asked_for(survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """progress=True shows bars where there is somebody to see them, a stage at a time; there is nothing elsewhere."""
    seen: list[tuple[str, int, int]] = []

    @contextmanager
    def spy() -> Iterator[Any]:
        yield lambda stage, done, total: seen.append((stage, done, total))

    dm.mosaic(survey.folder, survey.grid, tmp_path / "silent.zarr", progress=True).compute()
    monkeypatch.setattr("dmontage.pipeline.telling.bars", spy)
    dm.mosaic(survey.folder, survey.grid, tmp_path / "run.zarr", progress=True).compute()
    assert seen[:2] == [("project", 0, 1), ("project", 1, 1)] and seen[-1] == ("cutout", 1, 1)


def test_task_names_on_the_dashboard(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask groups tasks by the first words of their names."""
    from dask.utils import key_split

    from dmontage.graph.drive import Call, run

    names: list[str] = []

    def spy(calls: list[Call], *more: Any, **others: Any) -> Any:
        names.extend(call.key for call in calls)
        return run(calls, *more, **others)

    monkeypatch.setattr("dmontage.pipeline.stages.run", spy)
    made = dm.mosaic(survey.folder, survey.grid)
    made.compute()
    groups = list(dict.fromkeys(map(key_split, names)))
    assert groups == ["dmontage-project", "dmontage-fit", "dmontage-cutout"]
    lazy = {key_split(key) for key in dict(made.data.dask)}
    assert "dmontage-coadd" in lazy
