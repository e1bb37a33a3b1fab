# SPDX-License-Identifier: Apache-2.0
"""Sphinx: MyST pages, furo, doctests.  Pages of this folder join the table of contents by being here."""

import logging
import shutil
import sys
from importlib.metadata import version as installed
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import reference_pages  # noqa: E402  # a module beside this file

PAGES = HERE.parent / "src" / "transect" / "errors"

project = "transect"
author = "The transect authors"
project_copyright = "The transect authors, Apache-2.0"
version = release = installed("transect")

extensions = ["myst_parser", "sphinx.ext.doctest"]
source_suffix = {".md": "markdown"}
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
highlight_language = "python"

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = "transect"
html_static_path = ["_static"]
html_css_files = ["transect.css"]
html_show_sourcelink = False

# Pages join the table of contents when they are written; a pattern without pages yet is no warning.
logging.getLogger("sphinx.sphinx.directives.other").addFilter(
    lambda r: getattr(r, "subtype", None) != "empty_glob"
)


def copy_error_pages(app: Sphinx) -> None:
    """The pages of `transect explain` are package data; the documentation shows the same files."""
    target = HERE / "errors"
    target.mkdir(exist_ok=True)
    pages = {page.name: page for page in PAGES.glob("*.md")}
    for stale in target.glob("*.md"):
        if stale.name not in pages:
            stale.unlink()
    for name, page in pages.items():
        copy = target / name
        if not copy.exists() or copy.read_bytes() != page.read_bytes():
            shutil.copyfile(page, copy)


def write_reference(app: Sphinx) -> None:
    reference_pages.write(HERE / "reference")


def setup(app: Sphinx) -> None:
    app.connect("builder-inited", copy_error_pages)
    app.connect("builder-inited", write_reference)
