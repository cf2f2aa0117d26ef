"""How Sphinx builds the documentation: ``sphinx-build -W -b html docs docs/_build/html``, from the repository's root.

It needs no network. Notebooks are shown as they are committed, without outputs; ``-D nb_execution_mode=force`` runs
them.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import directives

from dmontage import __version__

project = "dmontage"
author = "The dmontage developers"
project_copyright = author
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_nb",
    "sphinx_copybutton",
    "sphinx_design",
    "directives",
]
exclude_patterns = ["_build", "notebooks/README.md", "**/.ipynb_checkpoints"]

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 4
nb_execution_mode = "off"
nb_execution_timeout = 600
nb_execution_raise_on_error = True
suppress_warnings = [
    "mystnb.unknown_mime_type",  # widgets; a page keeps the picture beside them
]

autosummary_generate = False  # names have no page of their own: reference/*.rst list them by the directive `public`
autodoc_default_options = {"member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
numpydoc_show_class_members = False
numpydoc_use_plots = False
default_role = "py:obj"
smartquotes_action = "qe"  # no dashes: of --help one would be made

nitpicky = True
nitpick_ignore_regex = directives.NOT_OURS

html_theme = "pydata_sphinx_theme"
html_title = f"dmontage {__version__}"
html_static_path = ["_static"]
html_css_files = ["dmontage.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_nav_level": 1,
    "navigation_depth": 3,
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars: dict[str, list[str]] = {"index": [], "start": [], "changelog": []}
