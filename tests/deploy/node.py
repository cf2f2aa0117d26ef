"""A node: Deployments become pods, and pods local processes, each on a loopback address of its own.

What of a pod's spec a process can feel is followed: containers one after the other and side by side, arguments and
variables with ``$(NAME)``, ConfigMaps as files, Secrets as variables (and what is missing keeps the pod waiting),
readiness, restarts, the names of Services. Images, users, limits and the root file system are not.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path

import aiohttp
from crds import Object
from fake_api import Api, Refused, matches

ROOT = Path(__file__).parents[2]
_SHIM = Path(__file__).parent / "pod"
_GRACE = 3
"""Seconds between SIGTERM and SIGKILL."""


class Node:
    def __init__(self, api: Api, folder: Path) -> None:
        self.api, self.folder = api, folder
        self.hosts = folder / "hosts.json"
        self.hosts.write_text("{}")
        self.moved = _free(range(11_000, 22_000, 11))
        # A part of the loopback network that no other test of this machine uses.
        self._network = f"127.{64 + os.getpid() // 256 % 128}.{os.getpid() % 256}"
        self._numbers = count(2)
        self._pods: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        try:
            async for _, event, resource, body in self.api.events():
                if resource.kind == "Deployment":
                    self._fill(body)
                elif resource.kind == "Pod":
                    self._follow(event, body)
                if resource.kind in ("Pod", "Service"):
                    self._tell_hosts()
        finally:
            for task in self._pods.values():
                task.cancel()
            await asyncio.gather(*self._pods.values(), return_exceptions=True)

    def _fill(self, deployment: Object) -> None:
        """Make the pods of a Deployment that are missing."""
        meta, spec = deployment["metadata"], deployment["spec"]
        pods = self.api.of_kind("Pod")
        if meta["uid"] not in {each["metadata"]["uid"] for each in self.api.list(self.api.of_kind("Deployment"))}:
            return
        template = spec["template"]
        selector = ",".join(f"{key}={value}" for key, value in spec["selector"]["matchLabels"].items())
        if not matches({"metadata": template["metadata"]}, selector):
            raise AssertionError(f"Deployment {meta['name']} does not select its own pods: {selector}")
        # By owner: all workers of a group have the same labels.
        owned = [pod for pod in self.api.list(pods, meta["namespace"]) if _is_owned(pod, meta["uid"])]
        for _ in range(spec["replicas"] - len(owned)):
            name = f"{meta['name']}-{next(self._numbers)}"
            owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": meta["name"], "uid": meta["uid"]}
            labels = {"labels": template["metadata"]["labels"], "ownerReferences": [owner]}
            self.api.create(pods, meta["namespace"], {"metadata": {"name": name, **labels}, "spec": template["spec"]})

    def _follow(self, event: str, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if event == "ADDED":
            self._pods[uid] = asyncio.create_task(self._run(pod, f"{self._network}.{next(self._numbers)}"))
        elif event == "DELETED":
            self._pods[uid].cancel()
            for deployment in self.api.list(self.api.of_kind("Deployment"), pod["metadata"]["namespace"]):
                self._fill(deployment)

    async def _run(self, pod: Object, address: str) -> None:
        """One pod from its start to its end."""
        spec, name = pod["spec"], pod["metadata"]["name"]
        folder = self.folder / name
        folder.mkdir()
        self._status(pod, {"phase": "Pending", "podIP": address})
        try:
            while (missing := self._missing(pod)) is not None:
                self._status(pod, {"message": missing})
                await asyncio.sleep(0.2)
            for container in spec.get("initContainers", []):
                if await self._process(pod, container, address, folder) != 0:
                    return self._status(pod, {"phase": "Failed"})
            self._status(pod, {"phase": "Running"})
            again = spec.get("restartPolicy", "Always") == "Always"
            async with asyncio.TaskGroup() as group:
                ready = group.create_task(self._ready(pod, address))
                kept = [self._keep(pod, each, address, folder, again) for each in spec["containers"]]
                codes = await asyncio.gather(*kept)
                ready.cancel()
            self._status(pod, {"phase": "Failed" if any(codes) else "Succeeded"})
        except asyncio.CancelledError:
            return  # deleted

    async def _keep(self, pod: Object, container: Object, address: str, folder: Path, again: bool) -> int:
        """Run a container, again and again if it is to be."""
        while True:
            code = await self._process(pod, container, address, folder)
            if not again:
                return code
            await asyncio.sleep(1)

    async def _process(self, pod: Object, container: Object, address: str, folder: Path) -> int:
        variables, words = self._command(pod, container, folder)
        bin_folders = (Path(sys.executable).parent, ROOT / "deploy" / "bin", "/usr/bin", "/bin")
        environment = {
            "PATH": ":".join(map(str, bin_folders)), "HOME": str(folder), "TMPDIR": str(folder),
            "PYTHONPATH": f"{_SHIM}:{ROOT}", "POD_IP": address, "POD_HOSTS": str(self.hosts),
            "POD_MOVED": str(self.moved), "PYTHONUNBUFFERED": "1",
            **{key: value for key, value in os.environ.items() if key.startswith("NUMBA_")}, **variables,
        }  # fmt: skip
        with (folder / f"{container['name']}.log").open("ab") as log:
            # Not by asyncio: a task that is cancelled while it starts a process leaves it behind.
            process = subprocess.Popen(
                words, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True
            )
        try:
            return await _ended(process)
        finally:
            await _end(process)

    def _command(self, pod: Object, container: Object, folder: Path) -> tuple[dict[str, str], list[str]]:
        """Variables and words of a container's command, with the files that it mounts."""
        namespace = pod["metadata"]["namespace"]
        variables: dict[str, str] = {}
        for source in container.get("envFrom", []):
            secret = self.api.get(self.api.of_kind("Secret"), namespace, source["secretRef"]["name"])
            variables |= secret["stringData"]
        variables |= {each["name"]: each["value"] for each in container.get("env", [])}
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
        for mount in container.get("volumeMounts", []):
            if "configMap" in (volume := volumes[mount["name"]]):
                place = folder / mount["mountPath"].lstrip("/")
                place.mkdir(parents=True, exist_ok=True)
                found = self.api.get(self.api.of_kind("ConfigMap"), namespace, volume["configMap"]["name"])
                for file, text in found["data"].items():
                    (place / file).write_text(text)
                variables = {k: str(place) if v == mount["mountPath"] else v for k, v in variables.items()}
        words = [
            re.sub(r"\$\((\w+)\)", lambda found: variables.get(found[1], found[0]), word) for word in container["args"]
        ]
        return variables, words

    def _missing(self, pod: Object) -> str | None:
        """What a pod names that does not exist."""
        spec, namespace = pod["spec"], pod["metadata"]["namespace"]
        wanted = [("ServiceAccount", spec["serviceAccountName"])] if "serviceAccountName" in spec else []
        wanted += [("ConfigMap", v["configMap"]["name"]) for v in spec.get("volumes", []) if "configMap" in v]
        containers = [*spec.get("initContainers", []), *spec["containers"]]
        wanted += [("Secret", s["secretRef"]["name"]) for each in containers for s in each.get("envFrom", [])]
        for kind, name in wanted:
            try:
                self.api.get(self.api.of_kind(kind), namespace, name)
            except Refused as error:
                return str(error)
        return None

    async def _ready(self, pod: Object, address: str) -> None:
        """Say that a pod is ready once each container's readiness probe succeeds."""
        for container in pod["spec"]["containers"]:
            if "readinessProbe" in container:
                probe = container["readinessProbe"]["httpGet"]
                (port,) = [p["containerPort"] for p in container["ports"] if p["name"] == probe["port"]]
                while not await _answers(f"http://{address}:{port + self.moved}{probe['path']}"):
                    await asyncio.sleep(0.3)
        conditions = [{"type": kind, "status": "True"} for kind in ("ContainersReady", "Ready")]
        self._status(pod, {"conditions": conditions})

    def _status(self, pod: Object, status: Object) -> None:
        meta = pod["metadata"]
        with suppress(Refused):  # deleted meanwhile
            self.api.patch(self.api.of_kind("Pod"), meta["namespace"], meta["name"], {"status": status}, "status")

    def _tell_hosts(self) -> None:
        """Names of Services: the address of a ready pod, or one where nothing listens."""
        table: dict[str, str] = {}
        for service in self.api.list(self.api.of_kind("Service")):
            meta, spec = service["metadata"], service["spec"]
            selector = ",".join(f"{key}={value}" for key, value in spec["selector"].items())
            pods = self.api.list(self.api.of_kind("Pod"), meta["namespace"], selector)
            ready = [pod["status"]["podIP"] for pod in pods if pod.get("status", {}).get("conditions")]
            for pod in pods:
                _check_ports(spec, pod)
            for ending in ("", f".{meta['namespace']}", f".{meta['namespace']}.svc"):
                table[meta["name"] + ending] = [*ready, f"{self._network}.1"][0]
            table[f"{meta['name']}.{meta['namespace']}.svc.cluster.local"] = table[meta["name"]]
        aside = self.hosts.with_suffix(".new")
        aside.write_text(json.dumps(table))
        aside.rename(self.hosts)


def _is_owned(body: Object, uid: str) -> bool:
    return any(owner["uid"] == uid for owner in body["metadata"].get("ownerReferences", []))


def _check_ports(service: Object, pod: Object) -> None:
    """A name is an address here, without a proxy: what a Service listens on must be what the pod does."""
    ports = {port["name"]: port["containerPort"] for each in pod["spec"]["containers"] for port in each["ports"]}
    for port in service["ports"]:
        if ports.get(port["targetPort"], port["targetPort"]) != port["port"]:
            raise AssertionError(f"the Service has {port}, its pod {ports}")


def _free(numbers: Sequence[int]) -> int:
    """By how much the ports of Dask are to be moved, so that nobody listens there."""
    first = os.getpid() % len(numbers)
    for moved in (*numbers[first:], *numbers[:first]):
        with ExitStack() as stack:
            try:
                for port in (8786, 8787, 8788):
                    stack.enter_context(socket.socket()).bind(("", port + moved))
            except OSError:
                continue
            return moved
    raise AssertionError("no free ports")


async def _answers(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


async def _ended(process: subprocess.Popen[bytes]) -> int:
    while (code := process.poll()) is None:
        await asyncio.sleep(0.05)
    return code


async def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    try:
        if process.poll() is None:
            process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(_ended(process), _GRACE)
    finally:  # a worker whose scheduler goes at the same moment may never end
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
