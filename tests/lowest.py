"""The lowest version of each package that dmontage says it runs with, as constraints for pip.

::

    python3 tests/lowest.py > lowest.txt && pip install --constraint lowest.txt .

Continuous integration installs the wheel so, and runs the demo and a part of the tests.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"


def lowest() -> list[str]:
    """One ``name==version`` for each package that installing dmontage needs."""
    wanted = tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"]
    return [re.sub(r"^([\w.-]+)(?:\[.*\])?>=([\w.]+)$", r"\1==\2", each) for each in wanted]


if __name__ == "__main__":
    print("\n".join(lowest()))
