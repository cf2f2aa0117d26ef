"""From a DaskJob of the chart to the mosaic: the unmodified operator against the tests' own API server and node."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from chart import render
from distributed import Client
from fake_api import Refused
from kube import Kube, kube

import dmontage as dm
from dmontage.demo.simulate import simulate


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    with kube(tmp_path_factory.mktemp("kube")) as made:
        yield made


def test_a_job_makes_the_mosaic(cluster: Kube, tmp_path: Path) -> None:
    raw, output = tmp_path / "raw", tmp_path / "mosaic.fits"
    simulate(raw, 0.05, n_pixels=(128, 128))
    values = {
        "mosaic": {"inputs": [str(raw)], "output": str(output), "workdir": str(tmp_path / "run.zarr")},
        "worker": {"replicas": 1, "memory": "1Gi"},
        "daskConfig": {"distributed": {"scheduler": {"allowed-failures": 7}}},
        "objectStore": {"existingSecret": "keys"},
    }
    cluster.apply(*render(values))
    cluster.wait("cluster", lambda: has_started(cluster, "sky-1"), 30)
    # Its pods wait for what they name.
    messages = [pod["status"].get("message", "") for pod in cluster.list("Pod", "dask.org/component=job-runner")]
    assert messages == ["secrets 'keys' not found"]
    keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}
    cluster.apply({"kind": "Secret", "metadata": {"name": "keys"}, "stringData": keys})

    cluster.scale("DaskCluster", "sky-1", 2)
    cluster.wait("second worker", lambda: len(running_workers(cluster, "sky-1")) == 2, 30)
    cluster.wait("end of the job", lambda: job_status(cluster, "sky-1") == "Successful", 120)
    assert re.search(r"sky-1-scheduler:8786: [12]\n$", cluster.log("sky-1-runner", "wait"))

    here = dm.mosaic(raw)
    here.write(tmp_path / "here.fits")
    np.testing.assert_array_equal(fits.getdata(output), fits.getdata(tmp_path / "here.fits"))

    # The operator deletes the cluster, with all that is its own; the pod stays for its log, and goes with the job.
    cluster.wait("deletion", lambda: remains(cluster) == {"sky-1-runner"}, 30)
    assert "9 used, 0 skipped" in cluster.log("sky-1-runner", "driver")
    cluster.delete("DaskJob", "sky-1")
    cluster.wait("deletion of the job", lambda: not remains(cluster) and not cluster.list("DaskJob"), 30)
    cluster.wait("end of the processes", lambda: not processes_with(str(cluster.folder / "sky-1")), 30)


def test_a_job_that_fails_says_so_and_leaves_no_cluster(cluster: Kube, tmp_path: Path) -> None:
    mosaic = {"inputs": ["/nowhere/raw"], "output": str(tmp_path / "m.fits"), "workdir": str(tmp_path / "run.zarr")}
    cluster.apply(*render({"mosaic": mosaic, "worker": {"replicas": 1}}, name="lost"))
    cluster.wait("failure", lambda: job_status(cluster, "lost-1") == "Failed", 60)
    assert "/nowhere/raw" in cluster.log("lost-1-runner", "driver")
    cluster.wait("deletion", lambda: remains(cluster, "lost") == {"lost-1-runner"}, 30)
    cluster.wait("end of the processes", lambda: not processes_with(str(cluster.folder / "lost")), 30)
    cluster.delete("DaskJob", "lost-1")


@pytest.mark.slow
def test_a_cluster_follows_the_load_and_is_deleted_whole(cluster: Kube) -> None:
    values = {
        "mode": "cluster",
        "worker": {"replicas": 1, "memory": "512Mi"},
        "autoscaler": {"enabled": True, "minimum": 1, "maximum": 2},
    }
    objects = {body["kind"]: body for body in render(values, name="stay")}
    helm_test, autoscaler = objects.pop("Pod"), objects.pop("DaskAutoscaler")
    cluster.apply(*objects.values())
    cluster.wait("cluster", lambda: has_started(cluster, "stay"), 30)
    cluster.apply(autoscaler, helm_test)
    test = helm_test["metadata"]["name"]
    cluster.wait("helm test", lambda: cluster.get("Pod", test).get("status", {}).get("phase") == "Succeeded", 30)
    cluster.delete("Pod", test)
    address = cluster.wait("scheduler", lambda: ready_scheduler(cluster, "stay"), 30)
    with Client(f"tcp://{address}:{8786 + cluster.moved}", timeout="20s", set_as_default=False) as client:
        futures = client.map(time.sleep, [0.5] * 400, pure=False)
        cluster.wait("worker for the load", lambda: len(running_workers(cluster, "stay")) == 2, 40)
        client.wait_for_workers(2, timeout=30)
        # By their names, which it gave them, the operator retires workers.
        assert worker_names(client) == deployed(cluster)
        cluster.delete("DaskAutoscaler", "stay")
        client.cancel(futures)
        cluster.scale("DaskWorkerGroup", "stay-default", 1)
        cluster.wait("retirement", lambda: len(deployed(cluster)) == 1, 30)
        cluster.wait("one worker, the same", lambda: worker_names(client) == deployed(cluster), 30)
    cluster.delete("DaskCluster", "stay")
    cluster.wait("deletion", lambda: not remains(cluster, "stay"), 30)
    cluster.wait("end of the processes", lambda: not processes_with(str(cluster.folder / "stay")), 30)


@pytest.mark.parametrize(
    ("path", "value", "code", "words"),
    [
        (("job",), None, 422, "'job' is a required property"),
        (("cluster", "spec", "worker", "replicas"), "two", 422, "replicas: 'two' is not of type 'integer'"),
        (("cluster", "spec", "worker", "replica"), 2, 400, "unknown field .spec.cluster.spec.worker.replica"),
    ],
)
def test_a_resource_that_is_wrong_is_refused(
    cluster: Kube, path: tuple[str, ...], value: Any, code: int, words: str
) -> None:
    mosaic = {"inputs": ["/raw"], "output": "/m.fits", "workdir": "/run.zarr"}
    (job,) = [body for body in render({"mosaic": mosaic}, name="wrong") if body["kind"] == "DaskJob"]
    inside = job["spec"]
    for key in path[:-1]:
        inside = inside[key]
    if value is None:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value
    with pytest.raises(Refused, match=words) as refused:
        cluster.apply(job)
    assert refused.value.code == code
    assert "wrong-1" not in {body["metadata"]["name"] for body in cluster.list("DaskJob")}


def test_the_operator_refuses_a_name_that_is_too_long(cluster: Kube) -> None:
    (dask,) = [body for body in render({"mode": "cluster"}) if body["kind"] == "DaskCluster"]
    dask["metadata"]["name"] = "x" * 54
    cluster.apply(dask)
    cluster.wait("refusal", lambda: phase(cluster, "x" * 54) == "Error", 30)
    assert not cluster.list("Deployment", f"dask.org/cluster-name={'x' * 54}")
    cluster.delete("DaskCluster", "x" * 54)


def phase(cluster: Kube, name: str) -> str | None:
    found = [body for body in cluster.list("DaskCluster") if body["metadata"]["name"] == name]
    return found[0].get("status", {}).get("phase") if found else None


def has_started(cluster: Kube, name: str) -> bool:
    """Whether the operator has made all of a cluster; it says "Running" and then "Pending", or the other way round."""
    workers = cluster.list("Deployment", f"dask.org/component=worker,dask.org/cluster-name={name}")
    return phase(cluster, name) in ("Pending", "Running") and bool(workers)


def deployed(cluster: Kube) -> set[str]:
    return {body["metadata"]["name"] for body in cluster.list("Deployment", "dask.org/component=worker")}


def worker_names(client: Client) -> set[str]:
    """What Dask's scheduler calls its workers."""
    return {worker["name"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()}


def job_status(cluster: Kube, name: str) -> str | None:
    status: str | None = cluster.get("DaskJob", name).get("status", {}).get("jobStatus")
    return status


def running_workers(cluster: Kube, name: str) -> list[str]:
    pods = cluster.list("Pod", f"dask.org/component=worker,dask.org/cluster-name={name}")
    return [pod["metadata"]["name"] for pod in pods if pod.get("status", {}).get("phase") == "Running"]


def ready_scheduler(cluster: Kube, name: str) -> str | None:
    """Its address."""
    pods = cluster.list("Pod", f"dask.org/component=scheduler,dask.org/cluster-name={name}")
    return next((pod["status"]["podIP"] for pod in pods if pod.get("status", {}).get("conditions")), None)


def remains(cluster: Kube, release: str = "sky") -> set[str]:
    """Names of all that the operator made for a release."""
    kinds = ("DaskCluster", "DaskWorkerGroup", "DaskAutoscaler", "Deployment", "Service", "Pod")
    chosen = f"app.kubernetes.io/instance={release}"
    return {body["metadata"]["name"] for kind in kinds for body in cluster.list(kind, chosen)}


def processes_with(folder: str) -> list[str]:
    """Processes whose working folder begins so."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            where = str((process / "cwd").readlink())
        except OSError:
            continue  # gone, or not ours
        if where.startswith(folder):
            found.append((process / "cmdline").read_text().replace("\0", " "))
    return found
