"""The API server over HTTP: discovery, objects, watches."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web
from crds import Object
from fake_api import Api, Refused, Resource, matches


def application(api: Api) -> web.Application:
    """The same over HTTP."""
    app = web.Application(client_max_size=2**24, middlewares=[_as_status])
    groups = sorted({resource.group for resource in api.resources} - {""})
    listed = [
        {"name": name, "versions": [gv], "preferredVersion": gv}
        for name in groups
        for gv in [{"groupVersion": f"{name}/v1", "version": "v1"}]
    ]
    _route(app, "GET", "/version", _constant({"major": "1", "minor": "30", "gitVersion": "v1.30.0"}))
    _route(app, "GET", "/api", _constant({"kind": "APIVersions", "versions": ["v1"]}))
    _route(app, "GET", "/apis", _constant({"kind": "APIGroupList", "groups": listed}))
    for group in ["", *groups]:
        root = f"/apis/{group}/v1" if group else "/api/v1"
        _route(app, "GET", root, _constant(_discovery(api, group)))
        handler = _handler(api, group)
        for place in (root, root + "/namespaces/{namespace}"):
            for path in ("/{plural}", "/{plural}/{name}", "/{plural}/{name}/{subresource}"):
                _route(app, "*", place + path, handler)
    return app


def _route(app: web.Application, method: str, path: str, handler: Any) -> None:
    app.router.add_route(method, path, handler)
    app.router.add_route(method, path + "/", handler)


def _constant(body: Object) -> Any:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(body)

    return answer


@web.middleware
async def _as_status(request: web.Request, handler: Any) -> Any:
    try:
        return await handler(request)
    except Refused as error:
        return web.json_response(error.body, status=error.code)


def _discovery(api: Api, group: str) -> Object:
    verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
    found = [
        {"name": name, "singularName": r.kind.lower(), "namespaced": r.namespaced, "kind": r.kind, "verbs": verbs}
        for r in api.resources
        if r.group == group
        for name in (r.plural, *(f"{r.plural}/{subresource}" for subresource in r.subresources))
    ]
    return {"kind": "APIResourceList", "groupVersion": f"{group}/v1".lstrip("/"), "resources": found}


def _handler(api: Api, group: str) -> Any:
    async def answer(request: web.Request) -> web.StreamResponse:
        where, query = request.match_info, request.query
        namespace, name, subresource = (where.get(key, "") for key in ("namespace", "name", "subresource"))
        resource = api.named(group, where["plural"])
        body = await request.json() if request.can_read_body else {}
        if subresource and subresource not in resource.subresources:
            raise Refused(404, "NotFound", f"{resource.plural} have no subresource {subresource}")
        if request.method == "POST" and not name:
            made = api.create(resource, namespace, body, query.get("fieldValidation") == "Strict")
            return web.json_response(made, status=201)
        if request.method == "PATCH":
            return web.json_response(api.patch(resource, namespace, name, body, subresource))
        if request.method == "DELETE":
            return web.json_response(api.delete(resource, namespace, name))
        if request.method == "GET" and name:
            return web.json_response(api.get(resource, namespace, name))
        if request.method != "GET":
            raise Refused(405, "MethodNotAllowed", request.method)
        chosen = namespace, query.get("labelSelector", ""), query.get("fieldSelector", "")
        if query.get("watch") in ("true", "1"):
            return await _watch(api, request, resource, *chosen)
        meta = {"resourceVersion": str(len(api.log))}
        items = api.list(resource, *chosen)
        kind = f"{resource.kind}List"
        return web.json_response({"apiVersion": resource.api_version, "kind": kind, "metadata": meta, "items": items})

    return answer


async def _watch(
    api: Api, request: web.Request, resource: Resource, namespace: str, selector: str, fields: str
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    since = int(request.query.get("resourceVersion") or 0)
    try:
        async with asyncio.timeout(float(request.query.get("timeoutSeconds", 600))):
            async for _, event, kind, body in api.events(since):
                is_seen = kind == resource and namespace in ("", body["metadata"].get("namespace"))
                if is_seen and matches(body, selector, fields):
                    await response.write(json.dumps({"type": event, "object": body}).encode() + b"\n")
    except (TimeoutError, ConnectionError):
        return response  # the client asks again
    return response
