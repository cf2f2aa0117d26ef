"""A Kubernetes cluster: API server and node in this process, the unmodified dask-kubernetes operator beside it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml
from aiohttp import web
from api_http import application
from crds import Object
from fake_api import Api
from node import Node

_T = TypeVar("_T")

NAMESPACE = "mosaics"


class Kube:
    """What tests do with it, by the objects' kinds, from a thread of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> str:
        """Start the server and the node; the server's address."""
        self._thread.start()
        return self._do(self._start())

    async def _start(self) -> str:
        self.api = Api()
        self._runner = web.AppRunner(application(self.api), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        node = Node(self.api, self.folder)
        self.moved = node.moved
        self._node = asyncio.create_task(node.run())
        return site.name.replace("localhost", "127.0.0.1")

    def stop(self) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _stop(self) -> None:
        self._node.cancel()
        await asyncio.gather(self._node, return_exceptions=True)
        await self._runner.cleanup()

    def _do(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def call(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """A method of the API, in its own thread."""

        async def work() -> _T:
            return function(*arguments)

        return self._do(work())

    def apply(self, *bodies: Object) -> None:
        """As `kubectl create` does, which has unknown fields refused."""
        for body in bodies:
            self.call(self.api.create, self.api.of_kind(body["kind"]), NAMESPACE, body, True)

    def list(self, kind: str, selector: str = "") -> list[Object]:
        return self.call(self.api.list, self.api.of_kind(kind), NAMESPACE, selector)

    def get(self, kind: str, name: str) -> Object:
        return self.call(self.api.get, self.api.of_kind(kind), NAMESPACE, name)

    def delete(self, kind: str, name: str) -> None:
        self.call(self.api.delete, self.api.of_kind(kind), NAMESPACE, name)

    def scale(self, kind: str, name: str, replicas: int) -> None:
        """As `kubectl scale` does."""
        change = {"spec": {"replicas": replicas}}
        self.call(self.api.patch, self.api.of_kind(kind), NAMESPACE, name, change, "scale")

    def wait(self, what: str, done: Callable[[], _T], seconds: float) -> _T:
        """Until something is true, and what it is; AssertionError with all logs if it does not come."""
        end = time.monotonic() + seconds
        while not (found := done()):
            if self._node.done():
                self._node.result()
            if time.monotonic() > end:
                raise AssertionError(f"no {what} after {seconds} s\n{self.logs()}")
            time.sleep(0.1)
        return found

    def log(self, pod: str, container: str) -> str:
        return (self.folder / pod / f"{container}.log").read_text()

    def logs(self) -> str:
        files = sorted(self.folder.rglob("*.log"))
        return "\n".join(f"--- {path.relative_to(self.folder)}\n{path.read_text()[-3000:]}" for path in files)


@contextmanager
def kube(folder: Path) -> Iterator[Kube]:
    """Start all of it, and end all of it."""
    made = Kube(folder)
    address = made.start()
    try:
        with _operator(address, made):
            yield made
    finally:
        made.stop()


@contextmanager
def _operator(address: str, made: Kube) -> Iterator[None]:
    """The controller as its image starts it (kopf run --all-namespaces)."""
    folder = made.folder
    config = folder / "kubeconfig"
    context = {"cluster": "c", "user": "u", "namespace": NAMESPACE}
    config.write_text(yaml.safe_dump({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": address}}],
        "users": [{"name": "u", "user": {"token": "none"}}], "contexts": [{"name": "c", "context": context}],
    }))  # fmt: skip
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "KUBECONFIG": str(config), "POD_IP": "127.0.0.1",
        "PYTHONPATH": str(Path(__file__).parent / "pod"), "POD_HOSTS": str(folder / "hosts.json"),
        "POD_MOVED": str(made.moved),
    }  # fmt: skip
    command = [sys.executable, "-m", "kopf", "run", "-m", "dask_kubernetes.operator.controller", "--all-namespaces"]
    with (folder / "operator.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.kill()  # asked, it takes 10 s, and has nothing to save
        process.wait()
