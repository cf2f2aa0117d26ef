"""The documentation is built, without the network and without a warning, and all its links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from public import MEMBERS, PUBLIC

ROOT = Path(__file__).parent.parent.parent


class Page(HTMLParser):
    """What a page of HTML can be linked to by, and what it links to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for key, value in attrs:
            if key == "id" and value:
                self.anchors.add(value)
            elif key in ("href", "src") and value is not None:
                self.links.append(value)


def wrong_links(folder: Path) -> list[str]:
    """Links of the pages in a folder that lead nowhere, and external ones that are not well formed."""
    # What lies in _static is the theme's, and no page.
    pages = {path: Page(path) for path in folder.rglob("*.html") if "_static" not in path.parts}
    wrong = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https"):
                right = re.fullmatch(r"[\w.-]+(:\d+)?", parts.netloc) is not None and " " not in link
            elif parts.scheme:
                right = parts.scheme in ("mailto", "data")
            else:
                target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
                right = target.is_file()
                if right and parts.fragment and target in pages:
                    right = unquote(parts.fragment) in pages[target].anchors
            if not right:
                wrong.append(f"{path.relative_to(folder)}: {link}")
    return wrong


def test_the_site_builds_and_its_links_lead_somewhere(tmp_path: Path) -> None:
    from sphinx.util.inventory import InventoryFile

    site = (tmp_path / "site").resolve()
    where = ["-d", str(tmp_path / "doctrees"), str(ROOT / "docs"), str(site)]
    # A proxy that is not there: whatever would ask the network fails.
    offline = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", *where],
        capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ | offline,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    assert len(list(site.rglob("*.html"))) > 30
    assert not wrong_links(site)

    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="").data
    there = {name for kind, names in inventory.items() if kind.startswith("py:") for name in names}
    names = [name for section in PUBLIC.values() for name in section]
    names += [f"{name}.{member}" for name, members in MEMBERS.items() for member in members.split(", ")]
    assert not set(names) - there
    commands = (site / "reference" / "commands.html").read_text()
    assert all(f"Usage: dmontage {name}" in commands for name in ("mosaic", "view", "montage-tools install"))


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<p id="here"><a href="#here"></a><a href="b.html#there"></a></p>')
    (tmp_path / "b.html").write_text('<a href="a.html#here"></a><a href="c.html"></a><a href="https://x y/"></a>')
    assert sorted(wrong_links(tmp_path)) == ["a.html: b.html#there", "b.html: c.html", "b.html: https://x y/"]


def test_links_of_files_that_are_read_in_the_repository_lead_somewhere() -> None:
    """The README, and the pages as they are read without Sphinx, which makes pages of .rst files too."""
    files = [ROOT / "README.md", ROOT / "deploy" / "README.md", *(ROOT / "docs").rglob("*.md")]
    checked = 0
    for path in files:
        text = re.sub(r"(?ms)^```.*?^```", "", path.read_text())
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            parts = urlsplit(link)
            if not parts.scheme and parts.path:
                assert (path.parent / parts.path).exists(), f"{path}: {link}"
                checked += 1
    assert checked > 20
