"""A network of its own for a process that plays a pod: it listens on its own loopback address, so that each pod has all
ports, and names of Services have addresses. Imported by Python itself, from PYTHONPATH.
"""

import json
import os
import socket
from pathlib import Path

_OWN = os.environ.get("POD_IP")
_HOSTS = Path(os.environ.get("POD_HOSTS", "/nowhere"))
_getaddrinfo = socket.getaddrinfo


def _resolve(host, port, family=0, *args, **kwargs):
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "0.0.0.0", "::", socket.gethostname()):
        name = _OWN
    elif not name.replace(".", "").isdigit() and name != "localhost":
        try:
            name = json.loads(_HOSTS.read_text())[name]
        except KeyError:
            raise socket.gaierror(socket.EAI_NONAME, f"no Service {name}") from None
    return _getaddrinfo(name, port, socket.AF_INET, *args, **kwargs)


if _OWN:
    socket.getaddrinfo = _resolve
