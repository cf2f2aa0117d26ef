"""Whether kernels must be compiled first: told from the files that numba leaves, without numba."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from surveys import SHAPE, make_survey, write_image

import dmontage as dm
import dmontage.kernels
from dmontage.pipeline import compiling
from dmontage.pipeline.compiling import seconds_to_compile

TAG = f"py{sys.version_info[0]}{sys.version_info[1]}"


def fill(folder: Path, source: Path, function: str = "f", tag: str = TAG, age: float = 0.0) -> None:
    """What numba leaves of a compiled function: an index, newer than the source by a second."""
    folder.mkdir(parents=True, exist_ok=True)
    index = folder / f"{source.stem}.{function}-12.{tag}.nbi"
    index.touch()
    time = source.stat().st_mtime + 1 - age
    os.utime(index, (time, time))


def kernel_files() -> list[Path]:
    return sorted(Path(dmontage.kernels.__path__[0]).rglob("*.py"))


def test_a_warm_cache_is_one_with_an_index_for_each_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    plan = dm.plan(make_survey(tmp_path / "raw").folder)
    cold = seconds_to_compile(plan)
    assert cold == sum(compiling._SECONDS[name] for name in ("chebyshev", "plane", "fit", "stack"))
    for source in kernel_files():
        fill(tmp_path / f"{source.parent.name}_0123abcd", source, tag="py27")
        fill(tmp_path / f"{source.parent.name}_0123abcd", source, age=2.0)  # the source has changed since
    assert seconds_to_compile(plan) == cold
    for source in kernel_files():
        fill(tmp_path / f"{source.parent.name}_0123abcd", source)
    assert seconds_to_compile(plan) == 0
    next(tmp_path.glob(f"kernels_*/stack.*.{TAG}.nbi")).unlink()
    assert seconds_to_compile(plan) == compiling._SECONDS["stack"]


def test_a_package_that_is_installed_again_is_warm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files are younger than numba's indices, which know them by their text."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    source = tmp_path / "kernels" / "stack.py"
    source.parent.mkdir()
    source.write_text("text")
    fill(tmp_path / "kernels_00", source, age=2.0)
    index = tmp_path / f"kernels_00/stack.f-12.{TAG}.nbi"
    for text, same in (("other", False), ("text", True)):
        index.write_bytes(b"0.68" + hashlib.sha256(text.encode()).digest() + b"more")
        os.utime(index, (0, 0))
        assert compiling._is_cached(source.with_suffix("")) == same
    other = source.with_name("other.py")
    other.write_text("changed")
    assert compiling._is_cached(source.parent), "nothing of it was ever compiled"
    fill(tmp_path / "kernels_00", other, age=2.0)
    assert not compiling._is_cached(source.parent)


@pytest.mark.parametrize(
    ("options", "module", "function"),
    [
        ({"combine": "median"}, "stack", "median"),
        ({"pixfrac": 0.5}, "drops", "list_square"),
        ({"pixfrac": 0.5, "kernel": "gaussian"}, "drops", "list_gaussian"),
    ],
)
def test_functions_of_a_warm_module_may_be_cold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], module: str, function: str
) -> None:
    """A mean leaves no median, nor squares Gaussians."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    plan = dm.plan(make_survey(tmp_path / "raw").folder, **options)
    for source in kernel_files():
        fill(tmp_path / f"{source.parent.name}_0123abcd", source)
    assert seconds_to_compile(plan) == compiling._SECONDS[f"{module}.{function}"]
    source = Path(dmontage.kernels.__path__[0]) / f"{module}.py"
    fill(tmp_path / "kernels_0123abcd", source, function)
    assert seconds_to_compile(plan) == 0


@pytest.mark.parametrize(
    ("options", "needed"),
    [
        ({"background": "none"}, {"chebyshev", "plane", "stack"}),
        ({"background": "none", "pixfrac": 0.5}, {"chebyshev", "drops.list_square", "deposit", "stack"}),
        ({"method": "sky"}, {"sky", "fit", "stack"}),
        ({"method": "sky", "variance": ".v.fits"}, {"sky", "deposit", "fit", "stack"}),
    ],
)
def test_only_what_a_plan_needs_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], needed: set[str]
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    for path in make_survey(tmp_path / "raw").paths:
        write_image(path.with_suffix(".v.fits"), np.ones(SHAPE))
    plan = dm.plan([*sorted((tmp_path / "raw").glob("image??.fits"))], **options)
    assert seconds_to_compile(plan) == sum(compiling._SECONDS[name] for name in needed)


def test_the_places_where_numba_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the source, or where that cannot be written in the user's cache."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    source = tmp_path / "kernels" / "stack.py"
    source.parent.mkdir()
    source.touch()
    assert not compiling._is_cached(source.with_suffix(""))
    fill(tmp_path / "user/numba/kernels_00", source)
    assert compiling._is_cached(source.with_suffix(""))
    (tmp_path / f"user/numba/kernels_00/stack.f-12.{TAG}.nbi").unlink()
    fill(source.parent / "__pycache__", source)
    assert compiling._is_cached(source.with_suffix(""))


def test_what_numba_writes_is_what_is_looked_for(tmp_path: Path) -> None:
    """One kernel compiled in a process of its own, into a folder of its own; also after the sources were touched."""
    code = (
        "import numpy as np\nfrom dmontage.kernels import stack\n"
        "stack.finish_mean(np.zeros((1, 1)), np.zeros((1, 1)))\n"
        "import sys\nfrom dmontage.pipeline import compiling\nassert compiling._cached('stack')\n"
        "assert not compiling._cached('plane') and not compiling._cached('fit')\n"
        "import os\nfrom pathlib import Path\nimport numba.core.caching\n"
        "for index in Path(os.environ['NUMBA_CACHE_DIR']).rglob('*.nbi'):\n    os.utime(index, (0, 0))\n"
        "assert compiling._cached('stack') == hasattr(numba.core.caching, '_hash_source_file')"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=Path(__file__).parents[1])
