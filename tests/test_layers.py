"""The order of the layers, read from the imports (design, section 4)."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parent.parent / "dmontage"

LEVELS = {
    "errors": -2,  # everybody may raise
    "places": -1,  # everybody may be told a URL
    "aside": 0,
    "log": 0,
    "progress": 0,
    "shown": 0,
    "window": 0,
    "headers": 0,
    "sphere": 0,
    "kernels": 0,
    "polynomial": 0,
    "noise": 0,
    "quality": 1,
    "grid": 1,
    "mapping": 2,
    "model": 2,
    "fits_files": 3,
    "store": 3,
    "planner": 3,
    "background": 3,
    "graph": 4,
    "pipeline": 5,
    "view": 6,
    "demo": 6,
    "montage": 7,
    "report": 7,
    "cli": 8,
}
"""Modules and folders. A new one gets its level here first."""

FREE = {"__init__", "_version"}


class Import(NamedTuple):
    """One imported name: the module that imports, the full dotted name, the line."""

    source: str
    target: str
    line: int

    def __str__(self) -> str:
        return f"{self.source}:{self.line} imports {self.target}"


def sources() -> dict[str, Path]:
    """Dotted names below the package (``grid``, ``graph.coadd``, ``graph.__init__``) and their files."""
    return {".".join(p.relative_to(PACKAGE).with_suffix("").parts): p for p in sorted(PACKAGE.rglob("*.py"))}


def imports(source: str, text: str) -> Iterator[Import]:
    """All imports of a module, those in functions, under TYPE_CHECKING and by name included."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(source, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                folder = ["dmontage", *source.split(".")][: -node.level]
                base = ".".join([*folder, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(source, f"{base}.{alias.name}", node.lineno)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("import_module", "__import__"):
                yield Import(source, str(node.args[0].value), node.lineno)


ALL = [found for source, path in sources().items() for found in imports(source, path.read_text())]


def top(dotted: str) -> str:
    return dotted.split(".", maxsplit=1)[0]


def forbidden(found: Import) -> str | None:
    """Why an import inside the package breaks the order; None where it does not."""
    here = top(found.source)
    parts = found.target.split(".")
    if parts[0] != "dmontage" or here in FREE:
        return None
    there = parts[1] if len(parts) > 1 else "__init__"
    if there == "_version":
        return None
    if there not in LEVELS:
        return f"{found}: {there!r} has no level (nothing inside imports the package's own front)"
    if there == here and (PACKAGE / here).is_dir():
        return None
    if here not in LEVELS or LEVELS[there] >= LEVELS[here]:
        return f"{found}: level {LEVELS.get(here)} may not know level {LEVELS[there]}"
    return None


def test_every_module_has_a_level() -> None:
    names = {top(source) for source in sources()} - FREE
    assert names, "no modules found"
    assert names <= set(LEVELS), f"give {sorted(names - set(LEVELS))} a level in tests/test_layers.py"


def test_imports_go_down_only() -> None:
    assert len(ALL) > 50, "the walk finds nothing"
    assert [reason for found in ALL if (reason := forbidden(found))] == []


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("grid", "from dmontage.mapping import Mapping"),
        ("mapping", "def f():\n    from dmontage.model import Plane"),
        ("kernels.sky", "from dmontage.window import Window"),
        ("window", "from .grid import Grid"),
        ("graph.coadd", "from ..pipeline import run"),
        ("grid", "if TYPE_CHECKING:\n    import dmontage.planner"),
        ("grid", "import dmontage"),
        ("grid", "from dmontage import Grid"),
        ("grid", "importlib.import_module('dmontage.cli')"),
        ("store", "from dmontage.something_new import x"),
    ],
)
def test_the_test_sees_a_wrong_import(source: str, line: str) -> None:
    assert [found for found in imports(source, line) if forbidden(found)]


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("graph.coadd", "from dmontage.graph.project import project_row"),
        ("graph.coadd", "from .project import project_row"),
        ("kernels.sky", "from dmontage.kernels._jit import kernel"),
        ("cli", "from dmontage._version import __version__"),
        ("__init__", "from dmontage.cli import main"),
        ("headers", "from dmontage.errors import InputError"),
        ("store", "import zarr"),
    ],
)
def test_the_test_lets_right_imports_pass(source: str, line: str) -> None:
    assert not [found for found in imports(source, line) if forbidden(found)]


def users(library: str) -> set[str]:
    return {found.source for found in ALL if top(found.target) == library}


def test_kernels_know_numpy_and_numba_only() -> None:
    allowed = {"numpy", "numba", "dmontage"} | sys.stdlib_module_names
    strangers = [str(i) for i in ALL if top(i.source) == "kernels" and top(i.target) not in allowed]
    assert strangers == []


def test_zarr_lives_in_the_store() -> None:
    assert {top(user) for user in users("zarr") | users("numcodecs") | users("google_crc32c")} <= {"store"}


def test_object_stores_live_in_the_places() -> None:
    assert {top(user) for user in users("obstore")} <= {"places"}


def test_dask_lives_in_the_graph() -> None:
    assert {top(user) for user in users("dask") | users("distributed")} <= {"graph"}


def test_fits_files_are_opened_in_one_place() -> None:
    """Others may take the value classes of astropy.io.fits; a header's tables, as bytes, are HDUs in memory."""
    values = {f"astropy.io.fits.{name}" for name in ("Card", "Header", "HDUList", "VerifyError")}
    tables = {f"astropy.io.fits.{name}" for name in ("BinTableHDU", "ImageHDU", "PrimaryHDU")}
    found = [i for i in ALL if i.target.startswith("astropy.io.fits") and i.target not in values]
    found = [i for i in found if (i.source, i.target) not in {("headers.tables", name) for name in tables}]
    assert {top(i.source) for i in found} <= {"fits_files", "demo"}, [str(i) for i in found]
    assert not [str(i) for i in ALL if i.target in ("astropy.io", "astropy.io.*", "fitsio")]
