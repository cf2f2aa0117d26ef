"""Montage's own programs, and MontagePy, run beside ours; tests are skipped where they are absent."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest


def program(*words: object, cwd: Path | None = None) -> dict[str, float]:
    """The numbers that a program of Montage answers, with status OK."""
    told = [str(word) for word in words]
    if shutil.which(told[0]) is None:
        pytest.skip(f"Montage's {told[0]} is not installed")
    done = subprocess.run(told, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    assert 'stat="OK"' in done.stdout, done.stdout + done.stderr
    return {
        key: float(value) for key, value in re.findall(r"(\w+)=([-+]?(?:nan|inf|[\d.]+(?:e[-+]?\d+)?))", done.stdout)
    }


def montagepy(name: str, *words: object, **options: object) -> dict[str, Any]:
    """What a function of MontagePy answers, with status "0"."""
    answer: dict[str, Any] = getattr(pytest.importorskip("MontagePy.main"), name)(*words, **options)
    assert answer["status"] == "0", answer
    return answer
