"""What a release is made of: one version everywhere, stated bounds, all that it is tested with."""

from __future__ import annotations

import re
import subprocess
import tomllib

import pytest
import yaml
from lowest import PYPROJECT, lowest

from dmontage import __version__

ROOT = PYPROJECT.parent

# Files that tell a version of dmontage, and how they do.
TELLING = {
    "CITATION.cff": r"^version: (\S+)$",
    "deploy/Containerfile": r"(?:dmontage:|^ARG VERSION=)(\S+)",
    "deploy/README.md": r"\$IMAGE:(\S+)",
    "deploy/values-dask.yaml": r"^\s*tag: (\S+)$",
    "deploy/helm/dmontage/Chart.yaml": r'^appVersion: "(\S+)"$',
}


@pytest.mark.parametrize("name", TELLING)
def test_one_version_everywhere(name: str) -> None:
    told = re.findall(TELLING[name], (ROOT / name).read_text(), re.MULTILINE)
    assert told, "the pattern finds nothing any more"
    assert [each.rstrip("`.") for each in told] == [__version__] * len(told)


def test_every_dependency_has_a_lowest_version() -> None:
    assert [each for each in lowest() if not re.fullmatch(r"[\w.-]+==[\d.]+", each)] == []


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="only a checkout knows which files are its own")
def test_the_sdist_has_all_folders_and_pages() -> None:
    packed = set(tomllib.loads(PYPROJECT.read_text())["tool"]["hatch"]["build"]["targets"]["sdist"]["include"])
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    top = {line.split("/")[0] for line in tracked.splitlines()}
    assert {each for each in top if not each.startswith(".")} - packed == {"pyproject.toml"}  # that one is always in it


@pytest.mark.skipif(not (ROOT / ".github").is_dir(), reason="an sdist has no issue forms")
def test_issue_forms_are_complete() -> None:
    """GitHub shows a form only where its required keys are there, and says nothing where they are not."""
    forms = [each for each in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if each.name != "config.yml"]
    assert len(forms) == 3
    for form in forms:
        told = yaml.safe_load(form.read_text())
        assert {"name", "description", "body"} <= set(told), form.name
        for field in told["body"]:
            assert field["type"] in {"markdown", "textarea", "input", "dropdown", "checkboxes"}
            assert field["type"] == "markdown" or field["attributes"]["label"]
