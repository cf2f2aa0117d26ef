"""The chart, rendered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "dmontage"

MOSAIC = {"inputs": ["s3://sky/raw/"], "output": "s3://sky/mosaic.fits", "workdir": "s3://sky/run.zarr"}
"""The least that a job must be told."""

# Helm installs in this order, and what is not here last, by name.
_FIRST = ("NetworkPolicy", "ServiceAccount", "Secret", "ConfigMap", "Role", "RoleBinding", "Service", "Pod")


def render_texts(values: dict[str, Any], **release: Any) -> dict[str, str]:
    """By the names of the templates."""
    with helm_python.Chart.load(CHART) as chart:
        return chart.render(values, **{"name": "sky", "namespace": "mosaics", "revision": 1, **release})


def render(values: dict[str, Any], **release: Any) -> list[dict[str, Any]]:
    """The objects, in the order in which Helm installs them."""
    texts = (text for name, text in render_texts(values, **release).items() if name.endswith(".yaml"))
    objects = [body for text in texts for body in yaml.safe_load_all(text) if body]
    rank = {kind: k for k, kind in enumerate(_FIRST)}
    return sorted(objects, key=lambda body: (rank.get(body["kind"], len(rank)), body["kind"]))


def walk(value: Any) -> Iterator[dict[str, Any]]:
    """All dicts in it."""
    if isinstance(value, list):
        for each in value:
            yield from walk(each)
    elif isinstance(value, dict):
        yield value
        for each in value.values():
            yield from walk(each)
