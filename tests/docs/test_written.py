"""What README and docs tell to type exists: commands with their options, Python with its names, figures."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import click
import pytest

import dmontage
from dmontage.cli import main

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(language: str) -> list[tuple[str, str]]:
    """Pages and their blocks of code in a language."""
    found = [
        (path.name, block)
        for path in PAGES
        for block in re.findall(rf"(?ms)^```{language}\n(.*?)^```$", path.read_text())
    ]
    assert len(found) > 10
    return found


def commands() -> list[list[str]]:
    lines = [line for _, block in blocks("sh") for line in block.replace("\\\n", " ").splitlines()]
    lines += [each for path in PAGES for each in re.findall(r"`(dmontage [^`<>\n]+)`", path.read_text())]
    said = [shlex.split(line.rstrip(" &"), comments=True) for line in lines]
    words = [each[each.index("&&") + 1 :] if "&&" in each else each for each in said]
    return [each for each in words if each and each[0].removeprefix(".venv/bin/") == "dmontage"]


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    command: click.Command = main
    while isinstance(command, click.Group) and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    return command, words


@pytest.mark.parametrize("words", commands(), ids=lambda words: " ".join(words[1:4]))
def test_commands_and_their_options_exist(words: list[str]) -> None:
    command, rest = command_of(words[1:])
    assert command is not main or not rest, f"no command {rest[0]}"
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    given = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
    assert given <= options | {"--help", "-1s"}


def test_the_test_sees_the_commands() -> None:
    assert len(commands()) > 30
    assert {words[1] for words in commands()} >= {"demo", "scan", "plan", "mosaic", "view", "coadd", "status", "verify"}


@pytest.mark.parametrize("block", [block for _, block in blocks("python")])
def test_python_has_the_names_that_it_uses(block: str) -> None:
    tree = ast.parse(block)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "dm":
            assert node.attr in dmontage.__all__


def test_the_figures_are_made(tmp_path: Path) -> None:
    import figures

    figures.make([], tmp_path, size_deg=0.1)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in figures.STATIC.glob("*.png")}
    shown = {name for path in PAGES for name in re.findall(r"_static/(\w+\.png)", path.read_text())}
    assert shown == {path.name for path in figures.STATIC.glob("*.png")}
    with pytest.raises(SystemExit, match="no figure nothing"):
        figures.make(["nothing"], tmp_path)
