"""The CRDs of the dask-kubernetes operator, from its wheel, and what an API server does by them."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from jsonschema import Draft202012Validator

Object = dict[str, Any]


@cache
def crds() -> dict[str, Object]:
    """By kind."""
    folder = files("dask_kubernetes") / "operator/deployment/helm/dask-kubernetes-operator/crds"
    read = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a megabyte: 8 s without the C library
    loaded = [yaml.load(path.read_text(), read) for path in folder.iterdir() if path.name.endswith(".yaml")]
    return {crd["spec"]["names"]["kind"]: crd for crd in loaded}


def schema_of(kind: str) -> Object:
    (version,) = crds()[kind]["spec"]["versions"]
    schema: Object = version["schema"]["openAPIV3Schema"]
    return schema


@cache
def _validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(_with_null(schema_of(kind)))


def errors(body: Object) -> list[str]:
    """What of an object its CRD's schema refuses."""
    return [f"{error.json_path}: {error.message}" for error in _validator(body["kind"]).iter_errors(body)]


def prune(body: Object) -> list[str]:
    """Take out what the schema does not know, as an API server does, and return its names; set the defaults."""
    known = {"apiVersion": {}, "kind": {}, "metadata": {"x-kubernetes-preserve-unknown-fields": True}}
    schema = schema_of(body["kind"])
    return list(_prune(body, {**schema, "properties": {**schema["properties"], **known}}, ""))


def _prune(value: Any, schema: Object, place: str) -> Any:
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    if isinstance(value, list):
        for each in value:
            yield from _prune(each, schema.get("items", {}), f"{place}[]")
    if not isinstance(value, dict):
        return
    properties = schema.get("properties", {})
    for key in list(value):
        inside = properties.get(key, schema.get("additionalProperties"))
        if inside is None and schema.get("type") == "object":
            del value[key]
            yield f"{place}.{key}"
        elif isinstance(inside, dict):
            yield from _prune(value[key], inside, f"{place}.{key}")
    for key, inside in properties.items():
        if "default" in inside:
            value.setdefault(key, inside["default"])


def _with_null(schema: Any) -> Any:
    """OpenAPI's ``nullable`` as JSON schema says it."""
    if isinstance(schema, list):
        return [_with_null(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _with_null(value) for key, value in schema.items()}
    if made.pop("nullable", None) is True and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made
