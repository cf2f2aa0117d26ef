"""Every command, option, path, port, variable and value that deploy/ names exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from chart import CHART, DEPLOY, MOSAIC, ROOT, render, walk
from crds import schema_of

from dmontage.cli import main

README = (DEPLOY / "README.md").read_text()
BLOCKS = re.findall(r"(?ms)^```sh\n(.*?)^```$", README)

# Of programs that are not here, from their references: subcommands and the options that we use.
_ELSEWHERE = {
    ("helm", "install"): {"--repo", "--namespace", "--create-namespace", "--values"},
    ("helm", "template"): {"--values"},
    ("helm", "test"): {"--namespace"},
    ("helm", "upgrade"): {"--install", "--namespace", "--values"},
    ("helm", "uninstall"): {"--namespace"},
    ("kubectl", "apply"): {"--namespace", "--filename"},
    ("kubectl", "create"): {"--namespace", "--from-literal"},
    ("kubectl", "get"): {"--namespace"},
    ("kubectl", "logs"): {"--namespace", "--follow", "--container"},
    ("kubectl", "port-forward"): {"--namespace"},
    ("kubectl", "scale"): {"--namespace", "--replicas"},
    ("kubectl", "wait"): {"--namespace", "--for", "--all", "--timeout"},
    ("docker", "build"): {"--file", "--tag", "--build-arg"},
    ("docker", "push"): set(),
}

# Values of the upstream chart (dask/helm-chart) that exist.
_UPSTREAM = {
    "scheduler.image.repository", "scheduler.image.tag", "scheduler.serviceType", "scheduler.resources",
    "scheduler.readinessProbe", "scheduler.securityContext", "worker.image.repository", "worker.image.tag",
    "worker.replicas", "worker.threads_per_worker", "worker.resources", "worker.extraArgs", "worker.securityContext",
    "worker.env", "jupyter.enabled", "jupyter.rbac",
}  # fmt: skip


def commands() -> list[list[str]]:
    """All commands of the README and of comments, a list of words each."""
    text = "\n".join(BLOCKS).replace("\\\n", " ")
    text = re.sub(r"(?ms)<<(\w+)$.*?^\1$", "", text)
    inline = re.findall(r"`((?:kubectl|helm|dmontage|docker) [^`]*[^`.])`", README)
    for path in (DEPLOY / "values-dask.yaml", DEPLOY / "Containerfile", DEPLOY / "manifests" / "values.yaml"):
        inline += re.findall(r"(?m)^#   ((?:helm|docker) .*)$", path.read_text())
    found = [shlex.split(line.rstrip(" &"), comments=True) for line in [*text.splitlines(), *inline]]
    return [words for words in found if words and "=" not in words[0]]


def arguments_of_pods() -> list[list[str]]:
    objects = [*render({"mosaic": {**MOSAIC, "options": ["--combine", "clip"]}}), *render({"mode": "cluster"})]
    objects += [*yaml.safe_load_all((DEPLOY / "manifests" / "mosaic.yaml").read_text())]
    return [inner["args"] for inner in walk(objects) if "args" in inner]


def scripts() -> list[list[str]]:
    text = (DEPLOY / "bin" / "compile-kernels").read_text()
    lines = [re.sub(r"^mosaic\b", "dmontage mosaic raw --output m.fits", line.strip()) for line in text.splitlines()]
    found = [
        shlex.split(line.rstrip(" &").replace('"$@"', "")) for line in lines if re.match(r"(dask|dmontage) ", line)
    ]
    assert len(found) > 8
    return found


def dask_command(name: str) -> click.Command:
    from distributed.cli import dask_scheduler, dask_worker

    found: click.Command = {"scheduler": dask_scheduler.main, "worker": dask_worker.main}[name]
    return found


def known(words: list[str]) -> set[str] | None:
    """The options that a command has; None of a command that has none to check."""
    program, rest = words[0], words[1:]
    if program in ("dmontage", "dask"):
        command = main.commands[rest[0]] if program == "dmontage" else dask_command(rest[0])
        return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    if program == "wait-for-workers":
        return set(re.findall(r'add_argument\("(--[\w-]+)"', (DEPLOY / "bin" / program).read_text()))
    if program in ("helm", "kubectl", "docker"):
        return _ELSEWHERE[program, rest[0]]
    assert program in (".", "kill", "cat"), f"{program} is not known to this test"
    return None


@pytest.mark.parametrize(
    "words", [*commands(), *arguments_of_pods(), *scripts()], ids=lambda words: " ".join(words[:3])
)
def test_commands_and_their_options_exist(words: list[str]) -> None:
    options = known(words)
    if options is not None:
        given = {re.sub(r"=.*", "", word) for word in words if re.match(r"--?[a-z]", word)}
        assert given <= options


def test_the_test_sees_the_commands() -> None:
    programs = [words[0] for words in commands()]
    assert programs.count("kubectl") > 8
    assert programs.count("helm") > 4
    assert programs.count("dmontage") >= 3
    assert known(["dmontage", "mosaic"]) and "--schedular" not in (known(["dmontage", "mosaic"]) or ())


def test_paths_exist() -> None:
    texts = [path.read_text() for path in DEPLOY.rglob("*") if path.is_file()]
    paths = {path.rstrip(".") for text in texts for path in re.findall(r"(?<![\w./-])(deploy/[\w./-]+)", text)}
    assert len(paths) > 5
    for path in paths:
        assert (ROOT / path).exists(), path
    table = re.findall(r"(?m)^\| (`.*?`) \|", README)
    named = {name for row in table for name in re.findall(r"`([^`]+)`", row)}
    here = {path.name for path in DEPLOY.iterdir()} - {"README.md", "Containerfile.dockerignore"}
    assert {name.split("/")[0].rstrip("/") for name in named} == here
    for name in named:
        assert (DEPLOY / name).exists(), name


def test_ports_are_those_of_dask() -> None:
    for name, option, port in (("scheduler", "--port", 8786), ("scheduler", "--dashboard-address", 8787)):
        (found,) = [p for p in dask_command(name).params if option in p.opts]
        if found.default is not None:
            assert str(found.default) == f":{port}"
    from distributed import Scheduler

    assert Scheduler.default_port == 8786
    texts = {path: path.read_text() for path in DEPLOY.rglob("*") if path.is_file()}
    for path, text in texts.items():
        ports = {int(port) for port in re.findall(r"(?<![\d.])(8\d{3})(?!\d)", text)}
        assert ports <= {8786, 8787, 8788}, path


def test_variables_are_read_by_somebody() -> None:
    from numba.core import config
    from obstore.store import S3Store

    texts = [path.read_text() for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".txt"]
    named = {name for text in texts for name in re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+_?\b", text)}
    numba = Path(config.__file__).read_text()
    bucket: Any = S3Store
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "a"}
    for name in named:
        if name.startswith("AWS_"):
            bucket("bucket", config={**keys, name.lower(): "http://a"})  # refuses what it does not know
        elif name.startswith("NUMBA_"):
            assert f'"{name}"' in numba, name
        elif name.startswith("DMONTAGE_"):
            assert f"${name}" in (DEPLOY / "bin" / "with-kernels").read_text()
        else:
            assert name in _VARIABLES, name
    with pytest.raises(Exception, match="aws_regoin"):
        bucket("bucket", config={**keys, "aws_regoin": "a"})


_VARIABLES = {
    # Dask's: its configuration from the environment, and what the operator sets.
    "DASK_CONFIG", "DASK_NUM_WORKERS", "DASK_SCHEDULER_ADDRESS", "DASK_WORKER_NAME", "DASK_PORT",
    # Of BLAS, the C library, Python.
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MALLOC_TRIM_THRESHOLD_",
}  # fmt: skip


def test_values_that_the_readme_names_exist() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    dotted = set(re.findall(r"`([a-z]\w+(?:\.[a-z]\w+)+)(?::[^`]*)?`", README))
    dotted = {name for name in dotted if name.split(".")[0] in values}
    assert len(dotted) > 5
    for name in dotted:
        inside = values
        for key in name.split("."):
            assert key in inside, name
            inside = inside[key]


def test_values_and_names_of_the_walk_through() -> None:
    (text,) = re.findall(r"(?ms)^cat > sky.yaml <<END\n(.*?)^END$", README)
    objects = render(yaml.safe_load(text.replace("$IMAGE", "registry.example.org/dmontage")))
    (job,) = [body for body in objects if body["kind"] == "DaskJob"]
    name = job["metadata"]["name"]
    for made in (f"{name}-runner", f"service/{name}-scheduler", f"daskjob/{name}", f"daskworkergroup/{name}-default"):
        assert made in README
    assert job["spec"]["job"]["spec"]["containers"][0]["name"] == "driver"
    assert "jobStatus" in schema_of("DaskJob")["properties"]["status"]["properties"]


def test_values_for_the_upstream_chart_are_its_own_and_one_memory() -> None:
    values = yaml.safe_load((DEPLOY / "values-dask.yaml").read_text())
    for part, inside in values.items():
        for key, value in inside.items():
            names = [f"{part}.{key}.{more}" for more in value] if key == "image" else [f"{part}.{key}"]
            assert set(names) <= _UPSTREAM
    for part in ("scheduler", "worker"):
        resources = values[part]["resources"]
        assert resources["requests"]["memory"] == resources["limits"]["memory"]
    assert values["scheduler"]["serviceType"] == "ClusterIP"
    assert all("value" not in each or "KEY" not in each["name"] for each in values["worker"]["env"])
    assert set(values["worker"]["extraArgs"]) <= {"60"} | (known(["dask", "worker"]) or set())
