"""This machine, and the versions of everything that is measured on it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

LIBRARIES = ("numpy", "numba", "scipy", "dask", "zarr", "astropy")


def swarp_program() -> str | None:
    """SWarp under either of its names."""
    return shutil.which("SWarp") or shutil.which("swarp")


def peak_mb(pid: int | str = "self") -> float:
    """Greatest resident memory of a process so far, 10^6 bytes (ru_maxrss would be that of who started it)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def about() -> dict[str, str]:
    """Processor, cores that may be used, memory, system."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    total = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    return {
        "processor": cpu[1] if cpu else platform.processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(total[1]) / 2**20:.1f} GiB" if total else "?",
        "system": platform.platform(),
    }


def tools() -> dict[str, str | None]:
    """Version of each tool; None where it is not installed."""
    return {
        "dmontage": _python_version("dmontage"),
        "Montage": _debian_version("montage") if shutil.which("mProject") else None,
        "MontagePy": _python_version("MontagePy"),
        "reproject": _python_version("reproject"),
        "SWarp": _swarp_version(),
        "drizzle": _python_version("drizzle"),
    }


def libraries() -> dict[str, str]:
    """Version of Python and of what dmontage stands on."""
    return {"Python": platform.python_version(), **{name: _python_version(name) or "?" for name in LIBRARIES}}


def _python_version(package: str) -> str | None:
    if find_spec(package) is None:
        return None
    try:
        return version(package)
    except PackageNotFoundError:
        return "?"


def _debian_version(package: str) -> str:
    """Of a Debian package, for Montage's programs do not tell theirs; "?" elsewhere."""
    if shutil.which("dpkg-query") is None:
        return "?"
    query = ["dpkg-query", "-W", "-f", "${Version}", package]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout or "?"


def _swarp_version() -> str | None:
    program = swarp_program()
    if program is None:
        return None
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=False, timeout=60)
    found = re.search(r"version (\S+)", said.stdout + said.stderr)
    return found[1] if found else "?"
