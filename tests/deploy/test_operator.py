"""From a DaskJob of the chart to the mosaic: the unmodified operator against the tests' own API server and node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chart import render
from kube import Kube, kube

from dmontage.demo.simulate import simulate


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    with kube(tmp_path_factory.mktemp("kube")) as made:
        yield made


def test_a_job_makes_the_mosaic(cluster: Kube, tmp_path: Path) -> None:
    simulate(tmp_path / "raw", 0.05, n_pixels=(128, 128))
    values = {
        "mosaic": {
            "inputs": [str(tmp_path / "raw")],
            "output": str(tmp_path / "mosaic.fits"),
            "workdir": str(tmp_path / "run.zarr"),
        },
        "worker": {"replicas": 1, "memory": "1Gi"},
        "daskConfig": {"distributed": {"scheduler": {"allowed-failures": 7}}},
    }
    import time
    t0=time.monotonic()
    cluster.apply(*render(values))
    cluster.wait("cluster", lambda: [c for c in cluster.list("DaskCluster") if c.get("status", {}).get("phase") == "Running"], 30)
    print("cluster", time.monotonic()-t0)
    cluster.scale("DaskCluster", "sky-1", 2)
    cluster.wait("second worker", lambda: len(cluster.list("Pod", "dask.org/component=worker")) == 2, 30)
    print("2 workers", time.monotonic()-t0)
    cluster.wait("end", lambda: cluster.get("DaskJob", "sky-1").get("status", {}).get("jobStatus") == "Successful", 90)
    print("done", time.monotonic()-t0)
    assert (tmp_path / "mosaic.fits").exists()
    cluster.wait("deletion", lambda: not cluster.list("DaskCluster"), 30)
    print("gone", time.monotonic()-t0, [ (k, len(cluster.list(k))) for k in ("Deployment","Service","Pod","DaskWorkerGroup")])
    print(cluster.logs())
