"""Make the comparison page: ``python -m tests.bench [--only [NAME ...]] [--quick] [--out FILE] [--json FILE]``.

Each part is a benchmark in a process of its own, ended when it takes too long. What it measured goes to the JSON file,
with its date, command and versions, and the page is made from that file: with ``--only`` the other parts stay as they
were; with no name after it the page is written anew from what there is. A part that fails keeps what it had; it is
named at the end, and the exit code is 1. Nothing is asserted of times.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

from machine import about, libraries, tools  # noqa: E402
from page import Record, page  # noqa: E402
from parts import PARTS, Part  # noqa: E402
from results import read  # noqa: E402

PAGE = ROOT / "docs" / "comparison.md"


class PartFailed(Exception):
    """What a benchmark said last."""


def run(part: Part, quick: bool) -> Record:
    """Run a benchmark; what it measured, and how."""
    command = part.command(quick)
    print(f"{part.name}: {command}", file=sys.stderr, flush=True)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "figures.json")
        words = [sys.executable, *shlex.split(command)[1:], "--json", str(out)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *_python_path()])}
        # A session of its own: its peers' programs end with it.
        with subprocess.Popen(
            words, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        ) as process:  # fmt: skip
            try:
                _, said = process.communicate(timeout=part.limit)
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise PartFailed(f"took more than {part.limit:.0f} s") from None
                raise
        if process.returncode:
            raise PartFailed(said[-2000:])
        figures = [figure._asdict() for figure in read(out)]
    return {
        "command": command, "date": datetime.now(UTC).date().isoformat(), "seconds": time.perf_counter() - start,
        "machine": about(), "tools": tools(), "libraries": libraries(), "figures": figures,
    }  # fmt: skip


def _python_path() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [part.name for part in PARTS]
    parser.add_argument("--only", nargs="*", metavar="NAME", help=f"of {', '.join(names)}; none: the page alone")
    parser.add_argument("--quick", action="store_true", help="small images, seconds a part: to try, not to publish")
    parser.add_argument("--out", type=Path, default=PAGE)
    parser.add_argument("--json", type=Path, help="default: beside the page, by its name")
    given = parser.parse_args()
    if unknown := set(given.only or ()) - set(names):
        parser.error(f"no part is called {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that a part ends with its command
    if given.quick and given.out == PAGE:
        parser.error("the numbers of --quick are not for the page in docs: say where with --out")
    store: Path = given.json or given.out.with_suffix(".json")
    records: dict[str, Record] = json.loads(store.read_text()) if store.exists() else {}
    failed = {}
    for part in PARTS:
        if part.name not in given.only if given.only is not None else not part.usual:
            continue
        try:
            records[part.name] = run(part, given.quick)
        except PartFailed as error:
            failed[part.name] = str(error)
            continue
        store.write_text(json.dumps({name: records[name] for name in names if name in records}, indent=1) + "\n")
        given.out.write_text(page(records))
    given.out.write_text(page(records))
    for name, why in failed.items():
        print(f"{name} failed, and keeps what it had: {why}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
