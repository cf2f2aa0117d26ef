"""A Kubernetes API server, as much of it as kopf, kr8s and a DaskJob need: create, read, list, merge and JSON patches,
the status and scale subresources, finalizers, owner references with cascading deletion, CRDs with validation, pruning
and defaults. Objects are dicts; what happened is kept, for watches. `api_http` serves it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import uuid4

import jsonpatch
from crds import Object, crds, errors, prune


class Refused(Exception):
    """What a client gets instead of an object."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
                     "message": message, "metadata": {}}  # fmt: skip


class Resource(NamedTuple):
    group: str
    plural: str
    kind: str
    namespaced: bool = True
    subresources: tuple[str, ...] = ()
    version: str = "v1"

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


_BUILT_IN = [
    Resource("", "namespaces", "Namespace", False),
    Resource("", "pods", "Pod", True, ("status",)),
    Resource("", "services", "Service", True, ("status",)),
    Resource("", "configmaps", "ConfigMap"),
    Resource("", "secrets", "Secret"),
    Resource("", "serviceaccounts", "ServiceAccount"),
    Resource("", "events", "Event"),
    Resource("apps", "deployments", "Deployment", True, ("status",)),
    Resource("networking.k8s.io", "networkpolicies", "NetworkPolicy"),
    Resource("rbac.authorization.k8s.io", "roles", "Role"),
    Resource("rbac.authorization.k8s.io", "rolebindings", "RoleBinding"),
    Resource("apiextensions.k8s.io", "customresourcedefinitions", "CustomResourceDefinition", False),
]


def _of_crd(crd: Object) -> Resource:
    spec = crd["spec"]
    subresources = tuple(spec["versions"][0].get("subresources", {}))
    return Resource(spec["group"], spec["names"]["plural"], spec["names"]["kind"], True, subresources)


class Api:
    """The objects, and what may be done with them; all in one event loop."""

    def __init__(self) -> None:
        self.resources = [*_BUILT_IN, *map(_of_crd, crds().values())]
        self.objects: dict[tuple[str, str, str], Object] = {}
        """By plural, namespace and name."""
        self.log: list[tuple[int, str, Resource, Object]] = []
        self.news = asyncio.Condition()
        for crd in crds().values():
            self.create(self.of_kind("CustomResourceDefinition"), "", deepcopy(crd))

    def of_kind(self, kind: str) -> Resource:
        return next(resource for resource in self.resources if resource.kind == kind)

    def named(self, group: str, plural: str) -> Resource:
        for resource in self.resources:
            if (resource.group, resource.plural) == (group, plural):
                return resource
        raise Refused(404, "NotFound", f"no resource {plural} in {group!r}")

    def list(self, resource: Resource, namespace: str = "", selector: str = "", fields: str = "") -> list[Object]:
        return [
            body
            for (plural, place, _), body in self.objects.items()
            if plural == resource.plural and namespace in ("", place) and matches(body, selector, fields)
        ]

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        try:
            return self.objects[resource.plural, namespace, name]
        except KeyError:
            raise Refused(404, "NotFound", f"{resource.plural} {name!r} not found") from None

    def create(self, resource: Resource, namespace: str, body: Object, strict: bool = False) -> Object:
        body.setdefault("apiVersion", resource.api_version)
        body.setdefault("kind", resource.kind)
        meta = body.setdefault("metadata", {})
        if "generateName" in meta:
            meta.setdefault("name", meta["generateName"] + uuid4().hex[:5])
        if (resource.plural, namespace, meta["name"]) in self.objects:
            raise Refused(409, "AlreadyExists", f"{resource.plural} {meta['name']!r} already exists")
        self._admit(resource, body, strict)
        if "status" in resource.subresources:
            body.pop("status", None)
        if resource.kind == "Service":
            body["status"] = {"loadBalancer": {}}
        if resource.namespaced:
            meta["namespace"] = namespace
        meta |= {"uid": str(uuid4()), "creationTimestamp": _now(), "generation": 1}
        return self._put("ADDED", resource, body)

    def patch(self, resource: Resource, namespace: str, name: str, change: Any, subresource: str = "") -> Object:
        """By a merge patch (a dict), or a JSON patch (a list)."""
        old = self.get(resource, namespace, name)
        if subresource == "scale":
            change = {"spec": {"worker": {"replicas": change["spec"]["replicas"]}}}
        body = jsonpatch.apply_patch(old, change) if isinstance(change, list) else _merged(old, change)
        if "status" in resource.subresources:
            # Each way writes its own part, and leaves the other as it is.
            body = {**old, "status": body.get("status", {})} if subresource == "status" else _kept(body, old, "status")
        self._admit(resource, body)
        if body == old:
            return old
        if body.get("spec") != old.get("spec"):
            body["metadata"]["generation"] += 1
        made = self._put("MODIFIED", resource, deepcopy(body))
        if "deletionTimestamp" in made["metadata"] and not made["metadata"].get("finalizers"):
            self._remove(resource, made)
        return made

    def delete(self, resource: Resource, namespace: str, name: str) -> Object:
        body = self.get(resource, namespace, name)
        if not body["metadata"].get("finalizers"):
            self._remove(resource, body)
        elif "deletionTimestamp" not in body["metadata"]:
            meta = {**body["metadata"], "deletionTimestamp": _now()}
            body = self._put("MODIFIED", resource, {**body, "metadata": meta})
        return body

    def _admit(self, resource: Resource, body: Object, strict: bool = False) -> None:
        if resource.kind not in crds():
            return
        if (unknown := prune(body)) and strict:
            raise Refused(400, "BadRequest", f"strict decoding error: unknown field {', '.join(unknown)}")
        if refused := errors(body):
            raise Refused(422, "Invalid", "; ".join(refused))

    def _put(self, event: str, resource: Resource, body: Object) -> Object:
        version = len(self.log) + 1
        body["metadata"]["resourceVersion"] = str(version)
        meta = body["metadata"]
        self.objects[resource.plural, meta.get("namespace", ""), meta["name"]] = body
        self._tell(version, event, resource, body)
        return body

    def _remove(self, resource: Resource, body: Object) -> None:
        """And all that it owns: what has no owner any more."""
        meta = body["metadata"]
        del self.objects[resource.plural, meta.get("namespace", ""), meta["name"]]
        self._tell(len(self.log) + 1, "DELETED", resource, body)
        there = {each["metadata"]["uid"] for each in self.objects.values()}
        for each in list(self.objects.values()):
            owners = {owner["uid"] for owner in each["metadata"].get("ownerReferences", [])}
            if meta["uid"] in owners and not owners & there:
                self.delete(self.of_kind(each["kind"]), each["metadata"].get("namespace", ""), each["metadata"]["name"])

    def _tell(self, version: int, event: str, resource: Resource, body: Object) -> None:
        self.log.append((version, event, resource, deepcopy(body)))
        asyncio.get_running_loop().create_task(self._notify())

    async def _notify(self) -> None:
        async with self.news:
            self.news.notify_all()

    async def events(self, since: int = 0) -> AsyncIterator[tuple[int, str, Resource, Object]]:
        """All that happened after a version, and all that will; without end."""
        while True:
            async with self.news:
                while len(self.log) <= since:
                    await self.news.wait()
            for happened in self.log[since:]:
                since += 1
                yield happened


def matches(body: Object, selector: str, fields: str = "") -> bool:
    """Whether labels and fields are as ``a=b,c=d,e`` asks for."""
    labels = body["metadata"].get("labels") or {}
    for term in filter(None, selector.split(",")):
        key, equals, value = term.replace("==", "=").partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    for term in filter(None, fields.split(",")):
        path, _, value = term.replace("==", "=").partition("=")
        found: Any = body
        for key in path.split("."):
            found = found.get(key, {}) if isinstance(found, dict) else {}
        if found != value:
            return False
    return True


def _merged(old: Any, change: Any) -> Any:
    """RFC 7396."""
    if not isinstance(change, dict):
        return change
    made = dict(old) if isinstance(old, dict) else {}
    for key, value in change.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = _merged(made.get(key), value)
    return made


def _kept(body: Object, old: Object, key: str) -> Object:
    made = {k: v for k, v in body.items() if k != key}
    return {**made, key: old[key]} if key in old else made


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
