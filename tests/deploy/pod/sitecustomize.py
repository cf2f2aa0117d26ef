"""A network of its own for a process that plays a pod: it listens on its own loopback address, and names of Services
have addresses. Fixed ports are moved by a number, since others of this machine may listen on them, on all addresses.
Imported by Python itself, from PYTHONPATH.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

_OWN = os.environ.get("POD_IP")
_HOSTS = Path(os.environ.get("POD_HOSTS", "/nowhere"))
_MOVED = int(os.environ.get("POD_MOVED", "0"))
_getaddrinfo = socket.getaddrinfo


def _resolve(host: Any, port: Any, family: int = 0, *args: Any, **kwargs: Any) -> Any:
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "0.0.0.0", "::", socket.gethostname(), _OWN):
        name, port = _OWN, _moved(port)
    elif not name.replace(".", "").isdigit() and name != "localhost":
        try:
            name, port = json.loads(_HOSTS.read_text())[name], _moved(port)
        except KeyError:
            raise socket.gaierror(socket.EAI_NONAME, f"no Service {name}") from None
    return _getaddrinfo(name, port, socket.AF_INET, *args, **kwargs)


def _moved(port: Any) -> Any:
    """A fixed port; those above are what the system gave, and 0 asks it for one."""
    return int(port) + _MOVED if port and 0 < int(port) < 10_000 else port


if _OWN:
    socket.getaddrinfo = _resolve
