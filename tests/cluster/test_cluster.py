"""A cluster as users start it: the same bits as without, and what cannot work is told by name before any work."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import pytest
from astropy.io import fits
from cluster_fixtures import products, run
from orders import give, keep, pids
from processes import Processes, elsewhere, environment
from surveys import Survey, make_survey

import dmontage as dm
from dmontage.errors import InputError
from dmontage.fits_files import FitsPixels, FitsWriter, product_digests
from dmontage.graph.cluster import connected, reported
from dmontage.store.product import Product
from dmontage.window import Window


def command(survey: Survey, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """`dmontage mosaic` in a process of its own."""
    grid = folder / "grid.hdr"
    grid.write_text(survey.grid.to_template())
    arguments = ["mosaic", str(survey.folder), "-o", str(folder / "m.fits"), "--header", str(grid), *more]
    return subprocess.run(
        [sys.executable, "-c", "from dmontage.cli import main; main()", *arguments],
        env=environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


# --- the same bits --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("client", "small_tasks")
def test_two_processes_over_tcp_give_the_same_bits(
    processes: Processes, cluster_survey: Survey, cluster_reference: list[bytes], tmp_path: Path
) -> None:
    """Those of one thread; each worker has a part in it."""
    give(processes.orders)
    made = run(cluster_survey, tmp_path)
    assert products(tmp_path) == cluster_reference
    told, found = product_digests(tmp_path / "m.fits")
    assert told == found == fits.getheader(tmp_path / "m.fits")["DATAHASH"]
    assert made.plan.each_worker
    assert pids(processes.orders) == set(processes.workers().values()) and len(pids(processes.orders)) == 2


@pytest.mark.usefixtures("small_tasks")
def test_threads_give_the_same_bits(cluster_survey: Survey, cluster_reference: list[bytes], tmp_path: Path) -> None:
    with dask.config.set(num_workers=2):
        run(cluster_survey, tmp_path)
    assert products(tmp_path) == cluster_reference


@pytest.mark.usefixtures("client")
def test_the_command_on_a_cluster(
    processes: Processes, cluster_survey: Survey, cluster_reference: list[bytes], tmp_path: Path
) -> None:
    done = command(cluster_survey, tmp_path, "--scheduler", processes.address)
    assert done.returncode == 0, done.stderr
    assert products(tmp_path) == cluster_reference
    assert not list(tmp_path.glob("*.zarr"))


@pytest.mark.usefixtures("small_tasks", "client")
def test_workers_of_several_threads(
    processes: Processes, cluster_survey: Survey, cluster_reference: list[bytes], tmp_path: Path
) -> None:
    """Which share what one process has open."""
    with worker(processes, environment(), threads=4):
        run(cluster_survey, tmp_path)
    assert products(tmp_path) == cluster_reference


@pytest.mark.usefixtures("client", "small_tasks")
@pytest.mark.parametrize("kind", ["same machine", "another machine", "other files"])
def test_workers_write_the_files(
    cluster_survey: Survey, cluster_reference: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """On the driver's machine they do, and it reads no pixel; what they cannot write it does."""
    reads: list[Any] = []
    read, write = Product.read, FitsPixels.write

    def spy(self: Product, name: str, window: Window) -> Any:
        reads.append(window)
        return read(self, name, window)

    def write_anyway(self: FitsPixels, *arguments: Any) -> Any:
        return write(self._replace(inode=Path(self.path).stat().st_ino), *arguments)

    monkeypatch.setattr(Product, "read", spy)
    if kind == "another machine":
        monkeypatch.setattr("dmontage.pipeline.products.boot_of_machine", lambda: "another")
    if kind == "other files":
        monkeypatch.setattr(FitsWriter, "pixels", property(lambda writer: writer._pixels._replace(inode=1)))
        monkeypatch.setattr(FitsPixels, "write", write_anyway)  # of the driver
    made = run(cluster_survey, tmp_path)
    assert len(reads) == (0 if kind == "same machine" else 2 * len(made.plan.chunks))
    assert products(tmp_path) == cluster_reference


@pytest.mark.usefixtures("small_tasks")
def test_workers_write_tiles(cluster_survey: Survey, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Which overlap each other, and have parts of several chunks."""
    for folder in (tmp_path / "here", tmp_path / "there"):
        folder.mkdir()
        dm.mosaic(cluster_survey.folder, cluster_survey.grid, folder / "run.zarr").write(
            folder / "m.fits", tiles=128, overlap=64
        )
        request.getfixturevalue("client")
    here, there = (sorted((tmp_path / name).glob("*.fits")) for name in ("here", "there"))
    assert [path.name for path in here] == [path.name for path in there] and len(here) > 8
    assert [path.read_bytes() for path in here] == [path.read_bytes() for path in there]


@pytest.mark.usefixtures("small_tasks")
def test_workers_that_know_an_older_product(client: Any, cluster_survey: Survey, tmp_path: Path) -> None:
    """A process that has a store open sees that the driver has laid the product out anew."""
    run(cluster_survey, tmp_path)
    assert all(client.run(keep, str(tmp_path / "run.zarr")).values())
    run(cluster_survey, tmp_path, combine="median", also=("depth",))
    assert not dm.pipeline.verify(tmp_path / "run.zarr", sample=0).wrong


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("tiles", [None, 64])
def test_a_task_is_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiles: int | None) -> None:
    """Below 1 kB pickled, its function and what it needs of a worker with it: no header, no pixel."""
    from distributed import Client

    sizes: list[int] = []
    map_ = Client.map

    def spy(self: Any, function: Any, *iterables: Any, key: list[str], **more: Any) -> Any:
        sizes.extend(len(pickle.dumps((name, function, *task))) for name, *task in zip(key, *iterables, strict=True))
        return map_(self, function, *iterables, key=key, **more)

    monkeypatch.setattr(Client, "map", spy)
    many = make_survey(tmp_path / "raw", layout=(10, 10))
    made = dm.mosaic(many.folder, store=tmp_path / "run.zarr").write(tmp_path / "m.fits", tiles=tiles)
    assert max(map(len, made.plan.pair_batches)) > 40
    assert len(sizes) == len(made.plan.row_batches) + len(made.plan.pair_batches) + len(made.plan.chunk_batches)
    assert max(sizes) < 1000


# --- what cannot work -----------------------------------------------------------------------------------------------


@contextmanager
def worker(processes: Processes, environ: dict[str, str], **options: Any) -> Iterator[None]:
    """One more worker for a while, of another kind."""
    processes.start_workers("other", nanny=False, environ=environ, **options)
    try:
        yield
    finally:
        processes.kill("other")


@pytest.mark.usefixtures("client")
def test_another_version_on_a_worker(processes: Processes, tmp_path: Path) -> None:
    about = tmp_path / "site" / "numpy-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 1.0\n")
    with (
        worker(processes, environment(tmp_path / "site")),
        pytest.raises(InputError, match=r"worker tcp://\S+ has numpy 1\.0 \(here \d.*\); install there what is here"),
        connected(processes.address),
    ):
        pass


@pytest.mark.usefixtures("client")
def test_a_package_is_missing_on_a_worker(processes: Processes) -> None:
    with (
        worker(processes, elsewhere(processes.folder, BLOCKED="dmontage")),
        pytest.raises(InputError, match=r"worker tcp://\S+ has no dmontage; install there what is here"),
        connected(processes.address),
    ):
        pass


def test_a_package_is_missing_on_the_scheduler(tmp_path: Path) -> None:
    """It cannot read the tasks then."""
    with Processes(tmp_path, elsewhere(tmp_path, BLOCKED="dmontage")) as alone:
        alone.start_workers("one", nanny=False)
        with pytest.raises(InputError, match=r"the scheduler has no dmontage; install"), connected(alone.address):
            pass


@pytest.mark.usefixtures("client")
def test_inputs_that_a_worker_does_not_see(processes: Processes, cluster_survey: Survey, tmp_path: Path) -> None:
    hidden = elsewhere(processes.folder, HIDDEN=str(cluster_survey.folder))
    with (
        worker(processes, hidden),
        pytest.raises(InputError, match=r"worker tcp://\S+ does not see \S+image00.fits: No such file .*shared disk"),
    ):
        run(cluster_survey, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("client")
def test_a_store_that_a_worker_does_not_see(processes: Processes, cluster_survey: Survey, tmp_path: Path) -> None:
    hidden = elsewhere(processes.folder, HIDDEN=str(tmp_path / "run.zarr"))
    with (
        worker(processes, hidden),
        pytest.raises(InputError, match=r"worker tcp://\S+ does not see the store \S+run.zarr; give a store that all"),
    ):
        run(cluster_survey, tmp_path)


@pytest.mark.usefixtures("client")
def test_a_worker_without_the_memory(processes: Processes, cluster_survey: Survey, tmp_path: Path) -> None:
    """Told by the plan, with what is needed and what there is; and of a plan that was made before."""
    made = dm.mosaic(cluster_survey.folder, cluster_survey.grid, tmp_path / "run.zarr")
    with worker(processes, environment(), memory="350 MB"):
        with pytest.raises(InputError, match=r"needs 3\d\d MB .* limit is 280 MB; 0.8 of a worker's"):
            dm.plan(cluster_survey.folder, cluster_survey.grid)
        with pytest.raises(InputError, match=r"worker \S+ may use 280 MB .* beside 320 MB for the process; give"):
            made.compute()


def test_no_worker(cluster_survey: Survey, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Told at once that it waits, and for how long."""
    with Processes(tmp_path) as alone:
        start = time.monotonic()
        with pytest.raises(InputError, match="has no worker after 1 s: start one by 'dask worker tcp"):
            connected(alone.address, wait=1).__enter__()
        assert time.monotonic() - start < 8
        assert f"{alone.address} has no worker yet; waiting for one up to 1 s" in caplog.text
        from distributed import Client

        made = dm.mosaic(cluster_survey.folder, cluster_survey.grid, tmp_path / "run.zarr")
        with (
            Client(alone.address),
            dask.config.set({"dmontage.wait-for-workers": 0.1}),
            pytest.raises(InputError, match=r"no worker after 0\.1 s"),
        ):
            made.compute()


def test_an_address_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dmontage.graph.cluster._CONNECT", 1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        start = time.monotonic()
        with pytest.raises(InputError, match="no dask scheduler answers at"):
            connected(f"tcp://127.0.0.1:{silent.getsockname()[1]}").__enter__()
        assert time.monotonic() - start < 5


@pytest.mark.usefixtures("client", "small_tasks")
def test_a_worker_that_joins_late_and_sees_no_input(
    processes: Processes, cluster_survey: Survey, tmp_path: Path
) -> None:
    """It is named by the error of its first task."""
    hidden, started = elsewhere(processes.folder, HIDDEN=str(cluster_survey.folder)), []

    def join(stage: str, done: int, total: int) -> None:
        if (stage, done) == ("project", 0):
            processes.start_workers("other", nanny=False, environ=hidden, threads=8)
            started.append(os.getpid())

    try:
        with pytest.raises(InputError, match=r"image\d\d.fits: cannot be read any more.*\(on worker tcp://"):
            run(cluster_survey, tmp_path, progress=join)
    finally:
        if started:
            processes.kill("other")


def test_a_performance_report(
    processes: Processes, client: Any, cluster_survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written by dask, where the scheduler has bokeh; else that is told before any work."""
    pytest.importorskip("bokeh")
    wanted = ["--scheduler", processes.address, "--performance-report", str(tmp_path / "report.html")]
    done = command(cluster_survey, tmp_path, *wanted)
    assert done.returncode == 0, done.stderr
    assert "dmontage-coadd" in (tmp_path / "report.html").read_text()
    monkeypatch.setattr(client, "get_versions", lambda packages: _without_bokeh())
    with pytest.raises(InputError, match="needs bokeh where the scheduler runs"):
        reported(client, tmp_path / "other.html").__enter__()
    assert not (tmp_path / "other.html").exists()


def test_what_fails_inside_a_performance_report_is_told_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was told as a report that cannot be written, with advice to choose another place for it."""
    monkeypatch.setattr("distributed.performance_report", lambda filename: nullcontext())
    monkeypatch.setattr("dmontage.graph.cluster.inquire", lambda *_, **__: {"scheduler": {"packages": {"bokeh": "3"}}})
    client = SimpleNamespace(get_versions=None)
    for error in (FileNotFoundError(2, "No such file", "x.fits"), InputError("no such image")):
        with pytest.raises(type(error), match=r"(?i)no such"), reported(client, tmp_path / "report.html"):
            raise error
    with pytest.raises(InputError, match=r"cannot write .*absent/report\.html"):
        reported(client, tmp_path / "absent" / "report.html").__enter__()
    assert not list(tmp_path.iterdir())


async def _without_bokeh() -> dict[str, Any]:
    return {"scheduler": {"packages": {"bokeh": None}}}
