"""A scheduler and workers as users start them: ``dask scheduler`` and ``dask worker``, over TCP on the loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

from orders import VARIABLE

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

LIMIT = 60
"""Seconds that anything here may take at most."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(*first: Path, **more: str) -> dict[str, str]:
    """This process's, with the package under test, and what comes before it on the path."""
    path = os.pathsep.join(map(str, (*first, ROOT)))
    quiet = {"DASK_LOGGING__DISTRIBUTED": "error", "DASK_DISTRIBUTED__COMM__RETRY__COUNT": "0"}
    return os.environ | quiet | {"PYTHONPATH": path} | more


def elsewhere(folder: Path, **more: str) -> dict[str, str]:
    """That of a process on another machine, as ``elsewhere.py`` tells; ``folder`` is for what is first on its path."""
    first = folder / "elsewhere"
    first.mkdir(exist_ok=True)
    shutil.copy(HERE / "elsewhere.py", first / "sitecustomize.py")
    return environment(first, **more)


class Processes:
    """One cluster; use as a context: what it started ends with it."""

    def __init__(self, folder: Path, environ: dict[str, str] | None = None) -> None:
        self.folder = folder
        self._environ = environ or environment()
        """Of the scheduler."""
        self.orders = folder / "orders"
        self.port = free_port()
        self.address = f"tcp://127.0.0.1:{self.port}"
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self.start_scheduler()
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._running):
            self.kill(name)

    def start_scheduler(self) -> None:
        arguments = ["--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard", "--no-show"]
        arguments += ["--idle-timeout", "2 hours"]  # should the tests be killed; they may leave it alone for long
        self._start("scheduler", ["scheduler", *arguments], self._environ)
        self._wait(self._answers, "the scheduler does not listen")

    def start_workers(
        self,
        *names: str,
        nanny: bool = True,
        threads: int = 1,
        memory: str = "0",
        environ: dict[str, str] | None = None,
    ) -> None:
        """Start workers, and wait until the scheduler knows them."""
        for name in names:
            arguments = ["worker", self.address, "--name", name, "--nthreads", str(threads), "--no-dashboard"]
            arguments += ["--memory-limit", memory, "--nanny" if nanny else "--no-nanny", "--host", "127.0.0.1"]
            arguments += ["--local-directory", str(self.folder), "--death-timeout", "30"]
            if environ is None:
                arguments += ["--preload", str(HERE / "orders.py")]
            self._start(name, arguments, environ or environment(HERE, **{VARIABLE: str(self.orders)}))
        self._wait(lambda: set(names) <= set(self.workers()), f"no worker {names}")

    def workers(self) -> dict[str, int]:
        """The process ids of the workers that the scheduler knows, by name."""
        from distributed import Client

        with Client(self.address, set_as_default=False, timeout=LIMIT) as client:
            pids = client.run(os.getpid, on_error="ignore")
            known = client.scheduler_info()["workers"]
        return {known[address]["name"]: pid for address, pid in pids.items() if address in known}

    def pid(self, name: str) -> int:
        """Of what was started by that name; the scheduler's is "scheduler"."""
        return self._running[name].pid

    def kills(self) -> int:
        """How many processes obeyed the order to kill themselves."""
        return len(list(self.orders.glob("killed-*")))

    def kill(self, name: str) -> None:
        """SIGKILL a process, with its nanny's worker if it has one."""
        process = self._running.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(LIMIT)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def _start(self, name: str, arguments: list[str], environ: dict[str, str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-m", "dask", *arguments]
            self._running[name] = subprocess.Popen(
                command, env=environ, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def _wait(self, there: Any, why: str) -> None:
        deadline = time.monotonic() + LIMIT
        while not there():
            if time.monotonic() > deadline:
                logs = "\n".join(f"{name}: {self.log(name)[-2000:]}" for name in self._running)
                raise TimeoutError(f"{why}\n{logs}")
            time.sleep(0.1)
