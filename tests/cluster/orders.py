"""What happens to worker processes, at chosen points: loaded into each by ``dask worker --preload``.

A test writes orders (`give`) into a folder that workers know by the variable ORDERS. Every event (a task of a stage
begins or ends, a key of the store is written) has a number of its own among those of its kind, over all processes, and
the order for that number is obeyed there and then.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

VARIABLE = "ORDERS"

TASKS = {
    "project": "dmontage.graph.rows.project_rows",
    "fit": "dmontage.graph.overlaps.fit_pairs",
    "coadd": "dmontage.graph.coadd.coadd_chunks",
}


class Order(NamedTuple):
    """Do something at an event."""

    event: str
    """STAGE-before, STAGE-after; put-before, put-after."""
    n: int
    """Number of the event, from 0; -1 for all."""
    action: str
    """kill, eat (memory), fail, twice, or a number of seconds to sleep."""


def give(folder: Path, *orders: Order) -> None:
    """Replace all orders, and count from 0."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    whole = folder / "orders.json"
    whole.with_suffix(".new").write_text(json.dumps(orders))
    whole.with_suffix(".new").rename(whole)


def happened(folder: Path, event: str) -> int:
    """How many events of a kind there were."""
    return len(list(folder.glob(f"{event}.*")))


def pids(folder: Path) -> set[int]:
    """The processes in which something happened."""
    return {int(path.read_text() or 0) for path in folder.glob("*-*.*")}


def meet(event: str) -> str:
    """Obey the order for an event, if there is one; the action that its caller must take."""
    folder = Path(os.environ[VARIABLE])
    try:
        orders = [Order(*order) for order in json.loads((folder / "orders.json").read_text())]
    except FileNotFoundError:
        return ""
    mine = [order for order in orders if order.event == event]
    number = _number(folder, event)
    for order in mine:
        if order.n in (number, -1):
            _obey(order.action)
            return order.action
    return ""


def _number(folder: Path, event: str) -> int:
    number = 0
    while True:
        try:
            with (folder / f"{event}.{number}").open("x") as file:
                file.write(str(os.getpid()))
            return number
        except FileExistsError:
            number += 1


def _obey(action: str) -> None:
    if action == "kill":
        with (Path(os.environ[VARIABLE]) / f"killed-{os.getpid()}").open("x"):
            pass
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "eat":
        eaten = []
        while True:  # until the nanny sees it
            eaten.append(bytearray(os.urandom(1)) * 20_000_000)
            time.sleep(0.005)
    elif action == "fail":
        raise OSError(5, "Input/output error")
    elif action != "twice":
        time.sleep(float(action))


def _obedient(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def task(*args: Any) -> Any:
        if meet(f"{stage}-before") == "twice":
            function(*args)
        result = function(*args)
        meet(f"{stage}-after")
        return result

    return task


def keep(path: str, dask_worker: Any) -> bool:
    """Hold a store, with all that it knows, in a worker."""
    from dmontage.store import Store

    dask_worker.kept = Store.open(path)
    return bool(dask_worker.kept.product._arrays)


def dask_setup(worker: Any) -> None:
    """Called by the worker at its start."""
    from dmontage.store.files import Files

    for stage, name in TASKS.items():
        module, _, function = name.rpartition(".")
        home = importlib.import_module(module)
        setattr(home, function, _obedient(stage, getattr(home, function)))
    put = Files.put

    def obedient_put(self: Files, key: str, data: bytes) -> None:
        meet("put-before")
        put(self, key, data)
        meet("put-after")

    Files.put = obedient_put  # type: ignore[method-assign]
