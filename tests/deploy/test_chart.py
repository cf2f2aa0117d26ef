"""The chart: rendered, linted, checked by the schemas of Kubernetes and of the operator; its values by its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml
from chart import CHART, DEPLOY, MOSAIC, render, render_texts, walk
from crds import crds, errors, prune, schema_of
from dask.utils import parse_bytes
from helm_python.errors import HelmError

from dmontage.cli.options import _bytes

KUBERNETES = ("1.30.0", "1.37.0")

EVERYTHING: dict[str, Any] = {
    "mosaic": {**MOSAIC, "options": ["--combine", "clip"]},
    "image": {"pullSecrets": ["registry"]},
    "worker": {
        "memory": "6Gi",
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}],
    },
    "autoscaler": {"enabled": True},
    "objectStore": {
        "endpoint": "http://minio:9000",
        "region": "eu-central-1",
        "existingSecret": "keys",
    },
    "data": {"existingClaim": "survey"},
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/sky"}},
    "access": {"subjects": [{"kind": "User", "name": "anna", "apiGroup": "rbac.authorization.k8s.io"}]},
    "networkPolicy": {"from": [{"podSelector": {"matchLabels": {"app": "jupyter"}}}]},
    "daskConfig": {"distributed": {"scheduler": {"allowed-failures": 20}}},
}
CASES: dict[str, dict[str, Any]] = {
    "job": {"mosaic": MOSAIC},
    "cluster": {"mode": "cluster"},
    "everything": EVERYTHING,
    "cluster, everything": {**EVERYTHING, "mode": "cluster"},
}
all_cases = pytest.mark.parametrize("values", CASES.values(), ids=CASES)


def pods(body: Any, kind: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The specs of all pods in an object, and whose they are."""
    if isinstance(body, list):
        for each in body:
            yield from pods(each, kind)
    elif isinstance(body, dict):
        if "containers" in body:
            yield kind, body
        for key, value in body.items():
            yield from pods(value, key if key != "spec" else kind)


def containers(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind, spec in pods(objects):
        for each in [*spec.get("initContainers", []), *spec["containers"]]:
            yield kind, each


@all_cases
def test_lint_finds_nothing(values: dict[str, Any]) -> None:
    report = helm_python.lint(CHART, values, strict=True, kube_version=f"v{KUBERNETES[0]}")
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > 1] == []


@all_cases
@pytest.mark.parametrize("version", KUBERNETES)
def test_objects_are_what_kubernetes_and_the_operator_know(values: dict[str, Any], version: str) -> None:
    objects = render(values)
    for body in objects:
        if body["kind"] in crds():
            kept = deepcopy(body)
            assert prune(kept) == []
            assert errors(kept) == []
        else:
            kubernetes_validate.validate(body, version, strict=True)
    for _, spec in pods(objects):  # which the operator makes pods of; its CRDs are of an older Kubernetes
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}
        kubernetes_validate.validate(pod, version, strict=True)


def test_kinds() -> None:
    def kinds(values: dict[str, Any]) -> set[str]:
        return {body["kind"] for body in render(values)}

    always = {"NetworkPolicy", "ServiceAccount"}
    assert kinds(CASES["job"]) == always | {"DaskJob"}
    assert kinds(CASES["cluster"]) == always | {"DaskCluster", "Pod"}  # the pod is helm's test
    more = {"Role", "RoleBinding", "ConfigMap", "DaskAutoscaler"}
    assert kinds(EVERYTHING) == always | more | {"DaskJob"}


@all_cases
def test_memory_of_a_worker_is_one_number(values: dict[str, Any]) -> None:
    memory = values.get("worker", {}).get("memory", "4Gi")
    objects = render(values)
    (worker,) = [each for kind, each in containers(objects) if kind == "worker"]
    assert worker["resources"]["requests"]["memory"] == worker["resources"]["limits"]["memory"] == memory
    assert option(worker, "--memory-limit") == memory
    # In units that each of them reads as the same number of bytes.
    size = parse_bytes(memory)
    for driver in [each for _, each in containers(objects) if each["name"] == "driver"]:
        assert _bytes(option(driver, "--memory-limit")) == size
        assert option(driver, "--workers") == option(worker, "--nthreads") == "1"


@all_cases
def test_all_containers_request_their_limits(values: dict[str, Any]) -> None:
    for _, each in containers(render(values)):
        resources = each["resources"]
        assert resources["requests"]["memory"] == resources["limits"]["memory"]
        assert "cpu" not in resources["limits"]


@all_cases
def test_pods_may_do_little(values: dict[str, Any]) -> None:
    objects = render(values)
    for _, spec in pods(objects):
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["runAsUser"] == 10001
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
    for _, each in containers(objects):
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"name": "tmp", "mountPath": "/tmp"} in each["volumeMounts"]
    services = [inner["service"] for inner in walk(objects) if "service" in inner]
    assert [service["type"] for service in services] == ["ClusterIP"]
    for body in objects:
        if body["kind"] in ("Role", "ClusterRole"):
            assert body["metadata"]["name"] == "sky-user"  # of people; pods have no role
            for rule in body["rules"]:
                assert "*" not in (*rule["verbs"], *rule["resources"], *rule["apiGroups"])
                assert "secrets" not in rule["resources"]


def test_keys_come_from_a_secret_to_those_who_read_images() -> None:
    objects = render(EVERYTHING)
    with_keys = {each["name"] for _, each in containers(objects) if "envFrom" in each}
    assert with_keys == {"worker", "driver"}
    names = {variable["name"] for _, each in containers(objects) for variable in each["env"]}
    assert names == {"DASK_SCHEDULER_ADDRESS", "DASK_CONFIG", "AWS_ENDPOINT_URL", "AWS_REGION"}
    assert "Secret" not in {body["kind"] for body in objects}


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("*.y*ml")), ids=lambda path: str(path.relative_to(DEPLOY)))
def test_nothing_in_deploy_holds_a_secret(path: Any) -> None:
    words = r"(?i)(secret_?access_?key|access_?key_?id|password|token)['\"]?\s*[:=]\s*['\"]?[A-Za-z0-9/+]{8,}"
    assert re.findall(words, path.read_text()) == []


def test_workers_have_the_names_that_the_operator_retires() -> None:
    (worker,) = [each for kind, each in containers(render(CASES["job"])) if kind == "worker"]
    assert option(worker, "--name") == "$(DASK_WORKER_NAME)"
    assert "--no-nanny" in worker["args"]


def test_a_job_has_a_new_name_with_each_revision() -> None:
    def names(revision: int) -> set[str]:
        return {body["metadata"]["name"] for body in render(EVERYTHING, revision=revision) if "dask.org" in str(body)}

    assert "sky-3" in names(3)
    assert "sky-2" not in names(3)
    address = {v["value"] for _, each in containers(render(EVERYTHING, revision=3)) for v in each["env"][:1]}
    assert address == {"tcp://sky-3-scheduler:8786"}


@pytest.mark.parametrize("name", ["x" * 53, "a.b"])
def test_names_that_the_operator_refuses_are_refused_at_once(name: str) -> None:
    with pytest.raises(HelmError, match="the operator takes"):
        render(CASES["job"], name=name)
    if "." not in name:
        render(CASES["cluster"], name=name)


def test_values_are_those_of_the_schema() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert {*schema["properties"]} == {*values} | {"global"}
    for inner in walk(schema):
        if inner.get("type") == "object" and "propertyNames" not in inner:
            assert "additionalProperties" in inner, inner


def mistyped(values: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The place of every section of the values."""
    yield path
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from mistyped(value, (*path, key))


@pytest.mark.parametrize("path", [*mistyped(yaml.safe_load((CHART / "values.yaml").read_text()))], ids=".".join)
def test_unknown_keys_are_refused(path: tuple[str, ...]) -> None:
    values: dict[str, Any] = {"mosaic": dict(MOSAIC)}
    inside = values
    for key in path:
        inside = inside.setdefault(key, {})
    render_refused(values, None)
    inside["memroy"] = "4Gi"
    render_refused(values, "memroy")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"mosaic": {"inputs": [], "output": "s3://a/m.fits", "workdir": "s3://a/r"}}, "/mosaic/inputs"),
        ({"mosaic": {"inputs": ["s3://a/r"], "output": "s3://a/m.fits"}}, "/mosaic/workdir"),
        ({"mosaic": {**MOSAIC, "inputs": ["raw/"]}}, "/mosaic/inputs/0"),
        ({"mosaic": {**MOSAIC, "inputs": ["s3://id:key@a/r"]}}, "/mosaic/inputs/0"),
        ({"mosaic": {**MOSAIC, "options": ["--scheduler", "threads"]}}, "/mosaic/options/0"),
        ({"mosaic": {**MOSAIC, "options": ["--memory-limit=1GB"]}}, "/mosaic/options/0"),
        ({"worker": {"memory": "4G"}}, "/worker/memory"),
        ({"worker": {"memory": 4}}, "/worker/memory"),
        ({"worker": {"replicas": 0}}, "/worker/replicas"),
        ({"image": {"tag": "latest"}}, "/image/tag"),
        ({"objectStore": {"endpoint": "https://id:key@store"}}, "/objectStore/endpoint"),
        ({"objectStore": {"accessKeyId": "A"}}, "accessKeyId"),
        ({"daskConfig": {"distribute": {}}}, "distribute"),
        ({"autoscaler": {"enabled": True, "minimum": 5, "maximum": 2}}, "autoscaler.minimum is 5"),
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any], words: str) -> None:
    render_refused({"mosaic": MOSAIC, **values}, words)


def test_the_service_is_as_the_crd_wants_it() -> None:
    required = schema_of("DaskCluster")["properties"]["spec"]["properties"]["scheduler"]["required"]
    assert "service" in required
    (dask,) = [body for body in render(CASES["cluster"]) if body["kind"] == "DaskCluster"]
    service = dask["spec"]["scheduler"]["service"]
    # By these names the operator finds the ports.
    assert {port["name"] for port in service["ports"]} == {"tcp-comm", "http-dashboard"}
    assert service["selector"] == {"dask.org/cluster-name": "sky", "dask.org/component": "scheduler"}


def test_notes_name_what_there_is() -> None:
    notes = render_texts(CASES["job"])["dmontage/templates/NOTES.txt"]
    assert "daskjob sky-1 " in notes
    assert "service/sky-1-scheduler 8787" in notes
    assert "tcp://sky-scheduler:8786" in render_texts(CASES["cluster"])["dmontage/templates/NOTES.txt"]


def test_manifests_are_what_the_chart_renders() -> None:
    values = yaml.safe_load((DEPLOY / "manifests" / "values.yaml").read_text())
    kept = [*yaml.safe_load_all((DEPLOY / "manifests" / "mosaic.yaml").read_text())]
    assert kept == render(values, namespace="default")


def render_refused(values: dict[str, Any], words: str | None) -> None:
    """Rendering fails, and says so in these words; it does not if there are none."""
    if words is None:
        render_texts(values)
        return
    with pytest.raises(HelmError) as refused:
        render_texts(values)
    assert words in str(refused.value)


def option(container: dict[str, Any], name: str) -> str:
    args: list[str] = container["args"]
    return args[args.index(name) + 1]
