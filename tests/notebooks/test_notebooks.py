"""The notebooks: each runs in a real kernel of this interpreter without a word on stderr, and is committed bare.

What they use is public: modules that the documentation names, and what these list in ``__all__``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from surveys import make_survey

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
PUBLIC = ("dmontage", "dmontage.demo", "dmontage.montage", "dmontage.view")
"""Modules that users are told of; of `demo` and `view` those inside them too."""
TIMEOUT = 900
"""Seconds of a cell: the first one that needs a kernel may compile it."""

pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="no notebooks beside the tests")
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
LONG = ("b_exploring", "c_science_grade", "d_wavelengths", "e_cluster", "g_from_reproject")
"""Half a minute each, two processors at work: with `pytest -m slow`, as before a release."""


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code(notebook: Any) -> Iterator[tuple[Any, ast.Module]]:
    """The cells of code, parsed, their magics left out."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            lines = ("" if line.lstrip().startswith(("%", "!")) else line for line in cell.source.splitlines())
            yield cell, ast.parse("\n".join(lines))


def run(notebook: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Execute a notebook in a folder, which must stay as it was; what it printed is returned."""
    monkeypatch.delenv("PYTHONWARNINGS", raising=False)  # what users see
    monkeypatch.setenv("TMPDIR", str(folder.parent))
    before = sorted(folder.iterdir())
    # The native kernel "python3" is the interpreter that runs this.
    resources = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(notebook, timeout=TIMEOUT, kernel_name="python3", resources=resources).execute()
    outputs = [(cell.source, out) for cell, _ in code(notebook) for out in cell.outputs]
    said = [(source, out.text) for source, out in outputs if out.output_type == "stream" and out.name == "stderr"]
    assert not said, "\n".join(f"{source}\n--- says on stderr:\n{text}" for source, text in said)
    assert sorted(folder.iterdir()) == before, "files are left in the working directory"
    return "".join(out.text for _, out in outputs if out.output_type == "stream")


def parameters(notebook: Any) -> tuple[Any, list[str]]:
    """The cell that says where the raw images are, and the names that are None there until users have their own."""
    for cell, tree in code(notebook):
        values = {
            target.id: ast.unparse(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        if "RAW" in values:
            assert len(values) == len(tree.body), "parameters are assigned, and nothing else is done there"
            return cell, [name for name, value in values.items() if value == "None"]
    raise AssertionError("no cell says RAW = None, or where the user's own files are")


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * (path.stem in LONG)) for path in NOTEBOOKS]
)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    run(read(path), folder, monkeypatch)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("tmp")] == [], "temporary folders are left"


@pytest.mark.slow
def test_the_first_runs_with_own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    survey = make_survey(tmp_path / "raw", noise=0.1)
    folder = tmp_path / "here"
    folder.mkdir()
    notebook = read(FOLDER / "a_quick_start.ipynb")
    cell, names = parameters(notebook)
    assert names == ["RAW"]
    cell.source = f"RAW = {str(survey.folder)!r}"
    said = run(notebook, folder, monkeypatch)
    assert f"images      {len(survey.paths)} used" in said


@each
def test_a_notebook_is_committed_bare(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None, f"outputs are kept of:\n{cell.source}"


@each
def test_a_notebook_takes_own_files(path: Path) -> None:
    notebook = read(path)
    cell, names = parameters(notebook)
    assert "RAW" in names, "RAW is None until users say where their own files are"
    assert notebook.cells.index(cell) <= 3, "the parameters are near the top"
    used = {node.id for other, tree in code(notebook) if other is not cell for node in ast.walk(tree)
            if isinstance(node, ast.Name)}  # fmt: skip
    assert set(names) <= used


@each
def test_a_notebook_uses_public_names(path: Path) -> None:
    for cell, tree in code(read(path)):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for name in node.names:
                    check_import(name.name, None, cell.source)
            elif isinstance(node, ast.ImportFrom):
                for name in node.names:
                    check_import(node.module or "", name.name, cell.source)
            elif isinstance(node, ast.Attribute):
                is_private = node.attr.startswith("_") and not node.attr.startswith("__")
                assert not is_private, f"{node.attr} is private:\n{cell.source}"


def check_import(module: str, name: str | None, source: str) -> None:
    """Of this package only public modules, and of these only what they list."""
    top, *inside = module.split(".")
    if top != "dmontage":
        return
    assert not any(part.startswith("_") for part in inside), source
    assert module in PUBLIC or ".".join([top, *inside[:1]]) in PUBLIC[1:], f"{module} is not public:\n{source}"
    if name is not None and name != "*":
        listed = getattr(import_module(module), "__all__", ())
        assert name in listed, f"{module} does not list {name}:\n{source}"
