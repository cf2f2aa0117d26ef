"""What becomes of suspicious files, looked at in a process of its own: a crash, a hang or a greedy allocation is a fact
to be told, not the end of the tests.

``python faults.py`` reads paths from its standard input, one a line, and answers each with a line of JSON. A file that
kills such a `Child` costs that one, and the next goes on behind it.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

SECONDS = 10
"""Time for one file."""
MEGABYTES = 48
"""Memory for one file, in use; no more than four times that may be asked for."""

FATES = {-signal.SIGALRM: f"hung for {SECONDS} s", -signal.SIGSEGV: "segmentation fault", -signal.SIGABRT: "aborted"}


@dataclass
class Outcome:
    """What became of a file."""

    stage: str = "scan"
    """The last stage begun: scan, read, done."""
    kind: str = ""
    """Class of the error that ended it."""
    reason: str = ""
    """The error's text, with all that the scan skipped."""
    megabytes: float = 0.0
    """Growth of the memory in use, at its peak."""
    starved: bool = False
    """Memory was asked for that there is not."""
    sums: list[list[float]] = field(default_factory=list)
    """Of each image (ny, nx, sum of finite pixels, number of these)."""


def environment() -> dict[str, str]:
    """That of this process, with the package that is under test."""
    return os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}


class Child:
    """A process that looks at files for this one; use as a context."""

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError("the child does not start")

    def look(self, path: Path) -> Outcome:
        """What becomes of a file."""
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(f"{path}\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if answer:
            return Outcome(**json.loads(answer))
        fate = process.wait()
        self._start()
        return Outcome(kind=FATES.get(fate, f"ended by {fate}"))


def trouble(found: Outcome) -> str:
    """What must never be, whatever the file: empty where all is well."""
    if found.kind not in ("", "InputError"):
        return f"{found.kind} at the {found.stage}: {found.reason}"
    if found.starved or found.megabytes > MEGABYTES:
        return f"took {found.megabytes:.0f} MB, or wanted what is not there: {found.reason}"
    if found.kind and not found.reason.strip():
        return "refused without a reason"
    return ""


def _memory(key: str) -> float:
    """Megabytes by a key of /proc/self/status."""
    text = Path("/proc/self/status").read_text()
    return int(text.split(f"{key}:")[1].split()[0]) / 1024


def _look(path: Path) -> Outcome:
    import numpy as np

    from dmontage.errors import InputError
    from dmontage.fits_files import read, scan

    found = Outcome()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _memory("VmRSS")
    try:
        images = scan(path)
        found.stage, found.reason = "read", "\n".join(map(str, images.skipped))
        for ref in images:
            data = read(ref)
            good = np.isfinite(data)
            found.sums.append([*data.shape, float(data[good].sum(dtype=np.float64)), int(good.sum())])
        found.stage = "done"
    except InputError as error:
        found.kind, found.reason = "InputError", str(error)
        chain: BaseException | None = error
        while chain is not None:
            found.starved |= isinstance(chain, MemoryError)
            chain = chain.__cause__ or chain.__context__
    except Exception as error:
        found.kind, found.reason = type(error).__name__, str(error)
    found.megabytes = _memory("VmHWM") - before
    return found


def _warm_up(path: Path) -> None:
    """A good file and an error, so that imports and caches are not counted."""
    from corpus import image

    path.write_bytes(image())
    _look(path)
    path.write_bytes(image(CRVAL1="NaN"))
    _look(path)


def main() -> None:
    """The child."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        _warm_up(Path(folder, "warm.fits"))
    limit = int(_memory("VmSize") + 4 * MEGABYTES) << 20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries in C print where they like
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        signal.alarm(SECONDS)  # nobody catches it
        answer = asdict(_look(Path(line[:-1])))
        signal.alarm(0)
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main()
