"""Directives of these pages: public names, the command line's own help, and pages that may not be there."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from inspect import isclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import public
from docutils import nodes
from sphinx.directives.other import TocTree
from sphinx.util.docutils import SphinxDirective
from sphinx.util.matching import patfilter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx

__all__ = ["NOT_OURS", "Commands", "Present", "Public", "setup"]

NOT_OURS = [
    # Annotations that are no link, of which mypy knows that they are right: other libraries' types, whose inventories
    # lie on the network, which no build needs; and names of types that are not public.
    (r"py:class", r"[^.]+"),
    (r"py:class", r"dmontage\..*\._\w+"),  # type variables
    (r"py:class", r"(np|numpy|astropy|dask|matplotlib|collections|pathlib|typing)\..*"),
]
"""References that may lead nowhere: kind, and name. Docstrings and pages have none of this kind but by mistake."""

_NOT_TOLD = "tuple, Sequence, Mapping, Exception, ImageNormalize"
"""Classes whose members are not told again where they are inherited."""


class Public(SphinxDirective):
    """``.. public:: SECTION``: a table of the section's names, and then each with its docstring."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:  # noqa: D102 (docutils')
        self.env.note_dependency(public.__file__)
        names = public.PUBLIC[self.arguments[0]]
        lines = [".. autosummary::", "   :nosignatures:", ""]
        lines += [f"   {name}" for name in names]
        for name in names:
            lines += ["", *_documented(name)]
        return self.parse_text_to_nodes("\n".join(lines))


def _documented(name: str) -> list[str]:
    module, _, attribute = name.rpartition(".")
    if isclass(getattr(import_module(module), attribute)):
        if name in public.MEMBERS:
            return [f".. autoclass:: {name}", f"   :members: {public.MEMBERS[name]}", "   :undoc-members:"]
        return [f".. autoclass:: {name}", "   :members:", f"   :inherited-members: {_NOT_TOLD}", "   :undoc-members:"]
    return [f".. autofunction:: {name}"]


class Commands(SphinxDirective):
    """``.. commands::``: a section for each command of dmontage, with what its ``--help`` prints."""

    def run(self) -> list[nodes.Node]:  # noqa: D102
        from dmontage.cli import main

        return [self._section(path, context) for path, context in _all_commands("dmontage", main)]

    def _section(self, path: str, context: click.Context) -> nodes.section:
        section = nodes.section("", nodes.title("", path), ids=[nodes.make_id(path)], names=[path])
        text = context.get_help()
        section += nodes.literal_block(text, text, language="text", classes=["help"])
        self.state.document.note_explicit_target(section)
        return section


class Present(TocTree):
    """``.. present::`` is a toctree of globs from the top, of which some, or all, may match no page."""

    def run(self) -> list[nodes.Node]:  # noqa: D102
        self.options["glob"] = None
        there = self.env.found_docs
        self.content.data = [f"/{entry}" for entry in self.content if patfilter(there, entry)]
        return super().run() if self.content.data else []


def _all_commands(
    name: str, command: click.Command, parent: click.Context | None = None
) -> Iterator[tuple[str, click.Context]]:
    """A command and those below it, each by its path, with the context that its help is told in."""
    context = click.Context(command, parent, name, terminal_width=100, **command.context_settings)
    yield context.command_path, context
    for below, each in sorted(getattr(command, "commands", {}).items()):
        yield from _all_commands(below, each, context)


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx calls it, before it looks for pages: of those, too, that lie beside its own folder."""
    with suppress(FileExistsError):
        (Path(app.srcdir) / "notebooks").symlink_to("../notebooks")
    app.add_directive("public", Public)
    app.add_directive("commands", Commands)
    app.add_directive("present", Present)
    return {"parallel_read_safe": True}
