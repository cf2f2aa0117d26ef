"""One cluster for all tests of this folder, and the survey that they mosaic."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import pytest
from processes import Processes
from surveys import Survey, make_survey

import dmontage as dm

__all__ = ["client", "cluster_reference", "cluster_survey", "processes", "products", "run", "small_tasks"]


@pytest.fixture(scope="session")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """A scheduler and two workers of one thread each."""
    with Processes(tmp_path_factory.mktemp("cluster")) as made:
        made.start_workers("one", "two", memory="900 MB")
        yield made


@pytest.fixture
def client(processes: Processes) -> Iterator[Any]:
    """Active, and both workers are there."""
    from distributed import Client

    with Client(processes.address, timeout=60) as made:
        made.wait_for_workers(2, timeout=60)
        yield made


@pytest.fixture
def small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several chunks, and one unit of work in each task."""
    monkeypatch.setattr("dmontage.planner.memory.CHUNKS", (128,))
    monkeypatch.setattr("dmontage.planner.batching._TASK_PIXELS", 1)


@pytest.fixture(scope="session")
def cluster_survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    return make_survey(tmp_path_factory.mktemp("survey") / "raw")


@pytest.fixture(scope="session")
def cluster_reference(cluster_survey: Survey, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The products of a run in one thread."""
    folder = tmp_path_factory.mktemp("reference")
    with dask.config.set(scheduler="synchronous"):
        dm.mosaic(cluster_survey.folder, cluster_survey.grid).write(folder / "m.fits")
    return products(folder)


def run(survey: Survey, folder: Path, **options: Any) -> dm.Mosaic:
    """A mosaic, and its store, in a folder."""
    folder.mkdir(exist_ok=True)
    return dm.mosaic(survey.folder, survey.grid, folder / "run.zarr", **options).write(folder / "m.fits")


def products(folder: Path) -> list[bytes]:
    """The bytes of a mosaic's files; their headers have the digests."""
    return [(folder / name).read_bytes() for name in ("m.fits", "m_area.fits")]
